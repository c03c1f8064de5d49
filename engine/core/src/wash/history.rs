//! The steps of a walk, as a replay of each position's history tells them.

use alloc::vec::Vec;

use super::{Booked, Closed, Opened, Step, Washes, What};
use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{Money, Overflow, sub};
use crate::command::{TradeInput, TradeKind};
use crate::date::Date;
use crate::decide::{self, Scratch};
use crate::event::Reason;
use crate::history::{History, Item};
use crate::id::{ChronoKey, NO_NAME, NameId};
use crate::lots::Lot;
use crate::outcome::{Allocation, Outcome};
use crate::replay::{ReplayError, SeenAction, Witness, replay_witnessed};
use crate::rules::{ContractBook, Rules, WashSale};
use crate::taking;

/// What a position's history is replayed by.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The book's business date, if there is one.
    pub today: Option<Date>,
    /// Actions of the instrument that are in history by then.
    pub actions: &'a [ActionInput],
    /// Contracts.
    pub contracts: &'a ContractBook,
    /// Multiplier of the instrument.
    pub multiplier_e8: i64,
}

/// Replays a position and tells its steps, each with its place. `position` is its number in the walk.
///
/// # Errors
/// [`ReplayError`].
pub fn tell(
    position: u32,
    history: &History,
    ground: &Ground<'_>,
    scratch: &mut Scratch,
) -> Result<(Outcome, Vec<(ChronoKey, Step)>), ReplayError> {
    let mut items = history.effective(ground.today).items;
    items.extend(ground.actions.iter().copied().map(Item::Action));
    // Units that left or arrived have a history in another position, which no walk of this instrument sees.
    if let Some(item) = items.iter().find(|item| goes_elsewhere(item)) {
        return Err(ReplayError::Item(item.id(), Reason::NotSupported));
    }
    let mut teller = Teller { position, steps: Vec::with_capacity(items.len()) };
    let outcome = replay_witnessed(&mut items, ground.contracts, ground.multiplier_e8, scratch, &mut teller)?;
    Ok((outcome, teller.steps))
}

fn goes_elsewhere(item: &Item) -> bool {
    match item {
        Item::Trade(input) => input.kind == TradeKind::Transfer,
        Item::Action(input) => input.leads_on(),
        Item::Arrival(_) => true,
    }
}

/// The splits of an instrument, which change what a unit is, in every account and also where nothing is held.
pub fn splits(actions: &[ActionInput]) -> impl Iterator<Item = (ChronoKey, Step)> {
    actions.iter().filter(|action| action.kind == ActionKind::Split).map(|action| {
        let (numerator, denominator) = (action.numerator, action.denominator);
        let what = What::Split { numerator, denominator };
        (action.key(), Step { position: 0, date: action.date(), what })
    })
}

struct Teller {
    position: u32,
    steps: Vec<(ChronoKey, Step)>,
}

impl Teller {
    fn push(&mut self, key: ChronoKey, what: What) {
        self.steps.push((key, Step { position: self.position, date: key.date, what }));
    }
}

impl Witness for Teller {
    fn trade(&mut self, input: &TradeInput, rules: &Rules, booked: &decide::Booked, allocations: &[Allocation]) {
        let opened = (booked.opened_quantity_e8 > 0).then(|| Opened {
            lot: if booked.enlarges { input.lot } else { input.hash },
            quantity_e8: booked.opened_quantity_e8,
            is_long: input.side.sign() > 0,
            opened: if booked.enlarges { input.effective_date } else { input.acquired() },
        });
        let washes = match rules.wash_sale {
            WashSale::None => None,
            scope => Some(Washes { across_accounts: scope == WashSale::Taxpayer, window_days: rules.wash_window_days }),
        };
        let booked = Booked {
            cause: input.hash,
            taxpayer: taxpayer(rules, input.account),
            washes,
            long_term_until: rules.long_term_until(input.effective_date),
            closed: allocations.iter().map(closed).collect(),
            opened,
        };
        self.push(input.key(), What::Booked(booked));
    }

    fn action(&mut self, seen: &SeenAction<'_>) -> Result<(), Overflow> {
        let SeenAction { input, rules, position, .. } = *seen;
        let (key, long_term_until) = (input.key(), rules.long_term_until(input.date()));
        let (after, taken) = taking::effects(seen)?;
        match input.kind {
            ActionKind::Split => {
                if after.iter().all(|lot| lot.quantity_e8 == 0) {
                    // What the units cost is lost, long-term or short-term by their own dates: as struck at nothing.
                    let lots = struck(seen, long_term_until, |_| 0)?;
                    self.push(key, What::Struck { long_term_until, lots });
                }
                self.push(key, What::Scaled(after.iter().map(|lot| (lot.origin, lot.quantity_e8)).collect()));
            }
            ActionKind::Reset => {
                let lots = struck(seen, long_term_until, |at| after[at].cost_e16)?;
                self.push(key, What::Struck { long_term_until, lots });
            }
            _ => {}
        }
        if !taken.is_empty() {
            let taxpayer = taxpayer(rules, position.account);
            let closed = taken.iter().map(closed).collect();
            let booked = Booked { cause: input.hash, taxpayer, washes: None, long_term_until, closed, opened: None };
            self.push(key, What::Booked(booked));
        }
        Ok(())
    }
}

/// What each lot realizes whose cost becomes another.
fn struck(seen: &SeenAction<'_>, until: Date, cost_after: impl Fn(usize) -> Money) -> Result<Vec<Closed>, Overflow> {
    let is_long = seen.position.quantity_e8 > 0;
    let of = |(at, before): (usize, Lot)| {
        let realized = sub(cost_after(at), before.cost_e16)?;
        Ok(Closed {
            lot: before.origin,
            quantity_e8: before.quantity_e8,
            realized_e16: if is_long { realized } else { -realized },
            is_long_term: is_long && before.acquired <= until,
        })
    };
    seen.lots.iter(&seen.position.block).enumerate().map(of).collect()
}

fn taxpayer(rules: &Rules, account: NameId) -> NameId {
    if rules.taxpayer == NO_NAME { account } else { rules.taxpayer }
}

fn closed(taken: &Allocation) -> Closed {
    Closed {
        lot: taken.lot,
        quantity_e8: taken.quantity_e8,
        realized_e16: taken.realized_e16,
        is_long_term: taken.is_long_term,
    }
}
