//! The steps of a walk, as a replay of each position's history tells them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::merge::Told;
use super::{ArrivedLot, Booked, Closed, LeftLot, LotName, Opened, PaidOut, Spun, Step, Washes, What};
use crate::action::{Holding, concerned, split};
use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{Money, Overflow, sub};
use crate::arrival::closed_by;
use crate::command::TradeKind;
use crate::date::Date;
use crate::decide::Scratch;
use crate::digest;
use crate::event::Run;
use crate::history::{History, Item};
use crate::id::{ChronoKey, NO_NAME, NameId, TradeHash};
use crate::leaving::{exchanged, spin_off, unpriced};
use crate::legs::identity;
use crate::lots::Lot;
use crate::outcome::{Allocation, Outcome};
use crate::replay::{ReplayError, SeenAction, SeenArrival, SeenTrade, Witness, replay_witnessed};
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
    /// Names of the account and the instrument: what leaves is known elsewhere by them.
    pub names: (&'a str, &'a str),
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
) -> Result<(Outcome, Told), ReplayError> {
    let mut items = history.effective(ground.today).items;
    items.extend(ground.actions.iter().copied().map(Item::Action));
    let (account, instrument) = ground.names;
    let source_key = digest::mix(digest::bytes(account.as_bytes()), digest::bytes(instrument.as_bytes()));
    let mut teller = Teller { position, source_key, twice: BTreeSet::new(), steps: Vec::with_capacity(items.len()) };
    let outcome = replay_witnessed(&mut items, ground.contracts, ground.multiplier_e8, scratch, &mut teller)?;
    Ok((outcome, teller.steps))
}

/// The splits of an instrument, which change what a unit is, in every account and also where nothing is held.
pub fn splits(security: u32, actions: &[ActionInput]) -> impl Iterator<Item = (ChronoKey, Step)> {
    actions.iter().filter(|action| action.kind == ActionKind::Split).map(move |action| {
        let (numerator, denominator) = (action.numerator, action.denominator);
        let what = What::Split { security, numerator, denominator };
        (action.key(), Step { position: 0, date: action.date(), what })
    })
}

struct Teller {
    position: u32,
    /// Hash of the position's names.
    source_key: u64,
    /// Identities of which the position had two lots at a time.
    twice: BTreeSet<TradeHash>,
    steps: Told,
}

impl Teller {
    fn push(&mut self, key: ChronoKey, what: What) {
        self.steps.push((key, Step { position: self.position, date: key.date, what }));
    }

    /// Names of all lots of a position.
    fn names(&self, lots: impl Iterator<Item = TradeHash>) -> Vec<LotName> {
        let mut seen: BTreeMap<TradeHash, u32> = BTreeMap::new();
        let name = |origin| {
            if !self.twice.contains(&origin) {
                return LotName { origin, nth: 0 };
            }
            let held = seen.entry(origin).or_default();
            *held += 1;
            LotName { origin, nth: *held - 1 }
        };
        lots.map(name).collect()
    }

    /// Allocations of runs as the walk has them. `lots`: identities of the lots that the runs count, asked for where one
    /// does not say which lot it is.
    fn closed(&self, allocations: &[Allocation], runs: &[Run], lots: impl FnOnce() -> Vec<TradeHash>) -> Vec<Closed> {
        let is_plain = self.twice.is_empty() || !allocations.iter().any(|taken| self.twice.contains(&taken.lot));
        let names = if is_plain { Vec::new() } else { self.names(lots().into_iter()) };
        let taken_at = runs.iter().flat_map(|run| run.from..run.from + run.count);
        let of = |(taken, at): (&Allocation, u32)| Closed {
            lot: names.get(at as usize).copied().unwrap_or(LotName { origin: taken.lot, nth: 0 }),
            quantity_e8: taken.quantity_e8,
            realized_e16: taken.realized_e16,
            is_long_term: taken.is_long_term,
        };
        allocations.iter().zip(taken_at).map(of).collect()
    }

    /// Lots that leave, numbered in lot order.
    fn leave(&mut self, key: ChronoKey, lots: impl Iterator<Item = (LotName, i64)>, is_spent: bool) {
        let numbered = (0..).zip(lots);
        let left = |(number, (lot, quantity_e8))| {
            let parcel = identity(self.source_key, key.hash, number);
            LeftLot { lot, quantity_e8, parcel, is_spent }
        };
        let lots: Vec<_> = numbered.map(left).collect();
        if !lots.is_empty() {
            self.push(key, What::Left(lots));
        }
    }

    /// A spin-off gives a part of what each lot carries to a new lot.
    fn spin(&mut self, seen: &SeenAction<'_>, until: Date) -> Result<(), Overflow> {
        let SeenAction { input, rules, multiplier_e8, position, .. } = *seen;
        let mut held: Vec<Lot> = seen.lots.iter(&position.block).collect();
        held.truncate(concerned(input, &held));
        let names = self.names(held.iter().map(|lot| lot.origin));
        let mut new: Vec<Lot> = unpriced(&held).collect();
        split(input, &mut new)?;
        let mut spun = Vec::new();
        let mut paid = Vec::new();
        let holding = Holding { is_long: position.quantity_e8 > 0, multiplier_e8, rules };
        spin_off(input, &holding, &mut held, &mut spun, &mut |quantity_e8, realized_e16: Money, is_long_term| {
            paid.push(PaidOut { quantity_e8, realized_e16, is_long_term });
        })?;
        if new.iter().all(|lot| lot.quantity_e8 == 0) {
            return Ok(());
        }
        let key = input.key();
        let parcels = (0..spun.len() as u32).map(|number| identity(self.source_key, key.hash, number)).collect();
        let lots = names.into_iter().zip(new.iter().map(|lot| lot.quantity_e8)).collect();
        let fraction_e8 = input.basis_fraction_e8;
        self.push(key, What::Spun(Spun { fraction_e8, long_term_until: until, lots, paid, parcels }));
        Ok(())
    }
}

impl Witness for Teller {
    fn trade(&mut self, seen: &SeenTrade<'_>) {
        let SeenTrade { input, rules, position, lots, booked, runs, allocations } = *seen;
        let origins = || lots.iter(&position.block).map(|lot| lot.origin).collect();
        let closed = self.closed(allocations, runs, origins);
        if input.kind == TradeKind::Transfer {
            return self.leave(input.key(), closed.iter().map(|closed| (closed.lot, closed.quantity_e8)), false);
        }
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
            closed,
            opened,
        };
        self.push(input.key(), What::Booked(booked));
    }

    fn arrival(&mut self, seen: &SeenArrival<'_>) -> Result<(), Overflow> {
        let SeenArrival { leg, rules, position, lots, booked, runs } = *seen;
        let origins = || lots.iter(&position.block).map(|lot| lot.origin).collect();
        let closed = self.closed(&closed_by(seen)?, runs, origins);
        let opened_e8 = booked.map_or(0, |booked| booked.opened_quantity_e8);
        if opened_e8 > 0 && lots.find(&position.block, leg.lot.origin).is_some() {
            self.twice.insert(leg.lot.origin);
        }
        let arrived = ArrivedLot {
            parcel: leg.key.hash,
            origin: leg.lot.origin,
            quantity_e8: leg.lot.quantity_e8,
            is_long: leg.is_long,
            acquired: leg.lot.acquired,
            taxpayer: taxpayer(rules, leg.account),
            long_term_until: rules.long_term_until(leg.key.date),
            closed,
            opened_e8,
        };
        self.push(leg.key, What::Arrived(arrived));
        Ok(())
    }

    fn action(&mut self, seen: &SeenAction<'_>) -> Result<(), Overflow> {
        let SeenAction { input, rules, position, runs, .. } = *seen;
        let (key, long_term_until) = (input.key(), rules.long_term_until(input.date()));
        let (after, taken) = taking::effects(seen)?;
        let names = self.names(after.iter().map(|lot| lot.origin));
        let is_exchange = input.kind == ActionKind::Merger && input.leads_on();
        match input.kind {
            _ if is_exchange || input.kind == ActionKind::Split => {
                if after.iter().all(|lot| lot.quantity_e8 == 0) {
                    // What the units cost is lost, long-term or short-term by their own dates: as struck at nothing.
                    let costs = if is_exchange { exchanged_costs(seen)? } else { costs(seen) };
                    let lots = struck(seen, long_term_until, &names, &costs, |_| 0)?;
                    self.push(key, What::Struck { long_term_until, lots });
                }
                self.push(key, What::Scaled(names.into_iter().zip(after.iter().map(|lot| lot.quantity_e8)).collect()));
            }
            ActionKind::Reset => {
                let lots = struck(seen, long_term_until, &names, &costs(seen), |at| after[at].cost_e16)?;
                self.push(key, What::Struck { long_term_until, lots });
            }
            ActionKind::SpinOff => self.spin(seen, long_term_until)?,
            ActionKind::SymbolChange => {
                let lots: Vec<_> = names.into_iter().zip(after.iter().map(|lot| lot.quantity_e8)).collect();
                self.leave(key, lots.into_iter(), false);
            }
            _ => {}
        }
        let mut left: Vec<(TradeHash, i64)> =
            after.iter().filter(|lot| lot.quantity_e8 != 0).map(|lot| (lot.origin, lot.quantity_e8)).collect();
        if !taken.is_empty() {
            let taxpayer = taxpayer(rules, position.account);
            let closed = self.closed(&taken, runs, || left.iter().map(|lot| lot.0).collect());
            let booked = Booked { cause: input.hash, taxpayer, washes: None, long_term_until, closed, opened: None };
            self.push(key, What::Booked(booked));
        }
        if is_exchange {
            let taken_at = runs.iter().flat_map(|run| run.from..run.from + run.count);
            for (at, taken) in taken_at.zip(&taken) {
                left[at as usize].1 -= taken.quantity_e8;
            }
            left.retain(|lot| lot.1 != 0);
            let names = self.names(left.iter().map(|lot| lot.0));
            self.leave(key, names.into_iter().zip(left.into_iter().map(|lot| lot.1)), true);
        }
        Ok(())
    }
}

/// Costs of the lots before an action, in lot order.
fn costs(seen: &SeenAction<'_>) -> Vec<Money> {
    seen.lots.iter(&seen.position.block).map(|lot| lot.cost_e16).collect()
}

/// The same after the cash of a merger.
fn exchanged_costs(seen: &SeenAction<'_>) -> Result<Vec<Money>, Overflow> {
    let mut lots: Vec<Lot> = seen.lots.iter(&seen.position.block).collect();
    let is_long = seen.position.quantity_e8 > 0;
    exchanged(seen.input, &Holding { is_long, multiplier_e8: seen.multiplier_e8, rules: seen.rules }, &mut lots)?;
    Ok(lots.iter().map(|lot| lot.cost_e16).collect())
}

/// What each lot realizes whose cost becomes another.
fn struck(
    seen: &SeenAction<'_>,
    until: Date,
    names: &[LotName],
    costs: &[Money],
    cost_after: impl Fn(usize) -> Money,
) -> Result<Vec<Closed>, Overflow> {
    let is_long = seen.position.quantity_e8 > 0;
    let of = |(at, before): (usize, Lot)| {
        let realized = sub(cost_after(at), costs[at])?;
        Ok(Closed {
            lot: names[at],
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
