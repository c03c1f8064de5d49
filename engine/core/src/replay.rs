//! The coldpath's decision: the items of one position's history, in chronological order, decided again.
//!
//! Acceptance is final: nothing is dropped here. A trade that is illegal at its place is booked
//! exactly and named as a break.

use alloc::vec::Vec;

use crate::action_input::ActionInput;
use crate::amount::Overflow;
use crate::apply::{Misfit, settle};
use crate::arrival::settle_arrival;
use crate::closed::{Days, PeriodFigures};
use crate::command::{Origin, TradeInput, TradeKind};
use crate::date::Date;
use crate::decide::{BROKEN_CONTRACT, Booked, Decision, Ground, Legality, Scratch, carried_rules, sums_fit};
use crate::event::{Class, Figures, Reason, Run, TradeEvent};
use crate::history::{Effective, History, Item, ItemRef};
use crate::id::{NO_NAME, TradeHash, TradeId};
use crate::legs::{Leaving, Leg, leaving_by_action, leaving_by_transfer};
use crate::limits::{LOT_BLOCK_SLOTS_MIN, ROOM_ITEMS_KEPT};
use crate::lots::{Lot, LotArena};
use crate::names::Names;
use crate::outcome::{ActionFigures, Allocation, Outcome, TradeFigures};
use crate::position::Position;
use crate::rules::{ContractBook, Rules};
use crate::taking::{ActionRoom, Site, Took, settle_taken, take};
use crate::values::{self, Average, Closing};

/// Why a replay has no outcome. The position stays PROVISIONAL and a person must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Booking this item at its place leaves an exact range or a named limit.
    Item(TradeId, Reason),
    /// A defect: a decision did not fit the state that it was made on.
    Misfit(Misfit),
}

/// Looks on while a replay books. Nothing that it does changes the outcome.
pub trait Witness {
    /// A trade, opening lot or transfer is booked.
    fn trade(&mut self, seen: &SeenTrade<'_>);

    /// A lot from another position is booked.
    ///
    /// # Errors
    /// As for [`Self::action`].
    fn arrival(&mut self, seen: &SeenArrival<'_>) -> Result<(), Overflow>;

    /// An action is booked: on these lots, in lot order, of a position that is long or short.
    ///
    /// # Errors
    /// [`Overflow`]: what the action was booked with stands, and the replay ends all the same.
    fn action(&mut self, seen: &SeenAction<'_>) -> Result<(), Overflow>;
}

/// Nobody looks on.
impl Witness for () {
    fn trade(&mut self, _: &SeenTrade<'_>) {}

    fn arrival(&mut self, _: &SeenArrival<'_>) -> Result<(), Overflow> {
        Ok(())
    }

    fn action(&mut self, _: &SeenAction<'_>) -> Result<(), Overflow> {
        Ok(())
    }
}

/// A trade, and the position before it.
#[derive(Clone, Copy, Debug)]
pub struct SeenTrade<'a> {
    /// The trade.
    pub input: &'a TradeInput,
    /// The rules that it is booked by.
    pub rules: &'a Rules,
    /// The position.
    pub position: &'a Position,
    /// Its lots.
    pub lots: &'a LotArena,
    /// What was decided.
    pub booked: &'a Booked,
    /// What it takes, by index into the lots.
    pub runs: &'a [Run],
    /// The same as allocations.
    pub allocations: &'a [Allocation],
}

/// A lot from another position, and the position before it.
#[derive(Clone, Copy, Debug)]
pub struct SeenArrival<'a> {
    /// What arrived.
    pub leg: &'a Leg,
    /// The rules in force for the position on its date.
    pub rules: &'a Rules,
    /// The position.
    pub position: &'a Position,
    /// Its lots.
    pub lots: &'a LotArena,
    /// What was decided; `None`: it was passed over.
    pub booked: Option<&'a Booked>,
    /// What it takes of lots of the other side, by index into the lots.
    pub runs: &'a [Run],
}

/// An action, and the position before it.
#[derive(Clone, Copy, Debug)]
pub struct SeenAction<'a> {
    /// The action.
    pub input: &'a ActionInput,
    /// The rules in force for the position on its date.
    pub rules: &'a Rules,
    /// Multiplier of the instrument.
    pub multiplier_e8: i64,
    /// The position.
    pub position: &'a Position,
    /// Its lots.
    pub lots: &'a LotArena,
    /// What was decided.
    pub took: &'a Took,
    /// What its closing takes, by index into the lots as it rewrites them.
    pub runs: &'a [Run],
}

/// Books `items` in chronological order on an empty position. They come in any order and are sorted here.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(
    items: &mut [Item],
    contracts: &ContractBook,
    multiplier_e8: i64,
    scratch: &mut Scratch,
) -> Result<Outcome, ReplayError> {
    replay_witnessed(items, contracts, multiplier_e8, scratch, &mut ())
}

/// As [`replay`], with somebody who looks on.
///
/// # Errors
/// [`ReplayError`].
pub fn replay_witnessed(
    items: &mut [Item],
    contracts: &ContractBook,
    multiplier_e8: i64,
    scratch: &mut Scratch,
    witness: &mut dyn Witness,
) -> Result<Outcome, ReplayError> {
    items.sort_unstable_by_key(Item::key);
    let mut room = ReplayRoom::new(items.len());
    let mut found = Found { trades: Vec::with_capacity(items.len()), ..Found::default() };
    let mut replayer = Replayer {
        witness,
        contracts,
        multiplier_e8,
        scratch,
        room: &mut room,
        position: Position::new(0, 0, 0),
        found: &mut found,
        names_trades: true,
    };
    for item in items.iter() {
        replayer.book(&item.as_ref())?;
    }
    Ok(replayer.outcome())
}

/// Books what a history's amendments leave of it on a business date, with the actions on its instrument that are in
/// history by then, and says what waits and what was amended.
///
/// # Errors
/// [`ReplayError`].
pub fn replay_history(
    history: &History,
    today: Option<Date>,
    actions: &[ActionInput],
    contracts: &ContractBook,
    multiplier_e8: i64,
    scratch: &mut Scratch,
) -> Result<Outcome, ReplayError> {
    let Effective { mut items, moved, waiting, forwards, amended } = history.effective(today);
    // Each was accepted; only corrects can bring their sums out of range.
    let (forwards, forward_quantity_e8, forward_gross_e8) = forwards.ok_or_else(|| {
        ReplayError::Item(waiting.first().map_or(TradeId::EMPTY, |w| w.input.trade_id), Reason::Overflow)
    })?;
    items.extend(actions.iter().copied().map(Item::Action));
    let mut outcome = replay(&mut items, contracts, multiplier_e8, scratch)?;
    outcome.leaving.extend(moved.iter().map(Leaving::of_moved));
    Ok(Outcome { waiting, amended, forwards, forward_quantity_e8, forward_gross_e8, ..outcome })
}

/// The lots of a replay under way, and what actions need. One serves replays one after the other.
#[derive(Debug)]
pub struct ReplayRoom {
    pub(crate) lots: LotArena,
    /// Items that one replay may book, and lots that it may begin with.
    items_max: usize,
    /// Empty: digests of a replay's position only check its own steps, so names enter by their numbers.
    pub(crate) names: Names,
    /// For actions, made when there is one.
    actions: Option<ActionRoom>,
    rewritten: Vec<Lot>,
    gone: Vec<Lot>,
}

impl ReplayRoom {
    /// Room for a replay of so many items, the lots that it begins with counted like items. The memory is touched when
    /// used.
    #[must_use]
    pub fn new(items: usize) -> Self {
        Self {
            // A block moves to one of twice its size, so four times the lots is room for every move.
            lots: LotArena::new((items * 4).max(LOT_BLOCK_SLOTS_MIN * 4).next_power_of_two()),
            items_max: items,
            names: Names::new(0),
            actions: None,
            rewritten: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Makes it anew where it is too small, or far too large to be kept for a replay of this size.
    pub(crate) fn fit(&mut self, items: usize) {
        if items > self.items_max || (self.items_max > ROOM_ITEMS_KEPT && items < self.items_max / 16) {
            *self = Self::new(items.next_power_of_two());
        }
    }
}

/// What a replay found so far, beside the position itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub trades: Vec<TradeFigures>,
    pub actions: Vec<ActionFigures>,
    pub breaks: Vec<(TradeHash, Reason)>,
    pub leaving: Vec<Leaving>,
    pub days: Days,
}

/// A replay under way: the book of one position, and what was found so far.
pub(crate) struct Replayer<'a> {
    pub contracts: &'a ContractBook,
    pub multiplier_e8: i64,
    pub scratch: &'a mut Scratch,
    pub room: &'a mut ReplayRoom,
    pub position: Position,
    pub found: &'a mut Found,
    /// Whether the figures of trades are found; the others are known already.
    pub names_trades: bool,
    pub witness: &'a mut dyn Witness,
}

impl Replayer<'_> {
    /// Books the next item in chronological order. An action that finds nothing to act on is none of the position's:
    /// what is booked later may stand before it, and still behind all that was reported.
    pub(crate) fn book(&mut self, item: &ItemRef<'_>) -> Result<(), ReplayError> {
        let date = match *item {
            ItemRef::Trade(input) => {
                self.trade(input)?;
                input.effective_date
            }
            ItemRef::Action(input) => {
                if !self.action(input)? {
                    return Ok(());
                }
                input.key().date
            }
            ItemRef::Arrival(leg) => {
                self.arrival(leg)?;
                leg.key.date
            }
        };
        self.found.days.close(date, PeriodFigures::of(&self.position));
        Ok(())
    }

    /// What leaves a range is passed over, like an action.
    fn arrival(&mut self, leg: &Leg) -> Result<(), ReplayError> {
        (self.position.account, self.position.instrument) = (leg.account, leg.instrument);
        let in_force = self.contracts.in_force(leg.account, leg.instrument, NO_NAME, leg.key.date);
        let rules = in_force.unwrap_or(&Rules::DEFAULT);
        let input = leg.as_input();
        let ground = Ground {
            quantity_e8: self.position.quantity_e8,
            lots: &self.room.lots,
            block: &self.position.block,
            cost: (self.position.cost_e16, self.position.base_cost_e16),
            oldest: self.position.oldest,
            multiplier_e8: self.multiplier_e8,
        };
        let booked = ground.book_arrival(rules, leg, self.scratch);
        let booked = booked.and_then(|booked| sums_fit(&self.position, &input, &booked).map(|()| booked));
        let (position, lots, runs) = (&self.position, &self.room.lots, &self.scratch.runs);
        let seen = SeenArrival { leg, rules, position, lots, booked: booked.as_ref().ok(), runs };
        self.witness.arrival(&seen).map_err(|_| ReplayError::Item(leg.key.trade_id, Reason::Overflow))?;
        match booked {
            Ok(booked) => {
                if booked.broke != Reason::None {
                    self.found.breaks.push((leg.key.hash, booked.broke));
                    self.name(TradeFigures {
                        hash: leg.key.hash,
                        realized_e16: booked.realized_e16,
                        realized_long_e16: booked.realized_long_e16,
                        realized_base_e16: booked.realized_base_e16,
                        realized_market_e16: booked.realized_base_e16,
                        date: leg.key.date,
                        reason: booked.broke,
                        allocations: Vec::new(),
                    });
                }
                let runs = &self.scratch.runs;
                settle_arrival(&mut self.room.lots, &self.room.names, &mut self.position, leg, &booked, runs)
                    .map_err(ReplayError::Misfit)?;
            }
            Err(Reason::Overflow) => self.found.breaks.push((leg.key.hash, Reason::Overflow)),
            Err(reason) => return Err(ReplayError::Item(leg.key.trade_id, reason)),
        }
        self.position.frontier = leg.key;
        self.position.version += 1;
        Ok(())
    }

    /// Says whether it is an item of the position's history.
    fn action(&mut self, input: &ActionInput) -> Result<bool, ReplayError> {
        let position = &self.position;
        if position.quantity_e8 == 0 || !self.contracts.strikes(position.account, position.instrument, input) {
            return Ok(false);
        }
        let rules = self
            .contracts
            .in_force(position.account, position.instrument, NO_NAME, input.date())
            .unwrap_or(&Rules::DEFAULT);
        let ReplayRoom { lots, actions, items_max, .. } = &mut *self.room;
        let site = Site { position, lots, multiplier_e8: self.multiplier_e8 };
        let room = actions.get_or_insert_with(|| ActionRoom::new(*items_max));
        let taken = take(&site, input, rules, room, self.scratch);
        self.position.frontier = input.key();
        self.position.version += 1;
        let took = match taken {
            Ok(took) => took,
            Err(Reason::Overflow) => {
                self.found.breaks.push((input.hash, Reason::Overflow));
                return Ok(true);
            }
            Err(reason) => return Err(ReplayError::Item(input.action_id, reason)),
        };
        let gains = took.realized().map_err(|_| ReplayError::Item(input.action_id, Reason::Overflow))?;
        let (runs, dividends_e16) = (&self.scratch.runs, took.dividends_e16);
        let (position, lots, multiplier_e8) = (&self.position, &self.room.lots, self.multiplier_e8);
        let seen = SeenAction { input, rules, multiplier_e8, position, lots, took: &took, runs };
        self.witness.action(&seen).map_err(|_| ReplayError::Item(input.action_id, Reason::Overflow))?;
        let action = (input, self.multiplier_e8);
        let is_long = self.position.quantity_e8 > 0;
        settle_taken(
            &mut self.room.lots,
            &self.room.names,
            &mut self.position,
            action,
            (&took, runs),
            &mut self.room.rewritten,
            &mut self.room.gone,
        )
        .map_err(ReplayError::Misfit)?;
        leaving_by_action(input, is_long, &self.room.gone, &mut self.found.leaving);
        self.found.actions.push(ActionFigures { hash: input.hash, date: input.date(), gains, dividends_e16 });
        Ok(true)
    }

    fn trade(&mut self, input: &TradeInput) -> Result<(), ReplayError> {
        let failed = |reason| ReplayError::Item(input.trade_id, reason);
        (self.position.account, self.position.instrument) = (input.account, input.instrument);
        let (rules, broke) = carried_rules(self.contracts, input);
        let ground = Ground {
            quantity_e8: self.position.quantity_e8,
            lots: &self.room.lots,
            block: &self.position.block,
            cost: (self.position.cost_e16, self.position.base_cost_e16),
            oldest: self.position.oldest,
            multiplier_e8: self.multiplier_e8,
        };
        let booked = ground.book(rules, input, Legality::Carried, self.scratch);
        let mut booked = match booked.and_then(|booked| sums_fit(&self.position, input, &booked).map(|()| booked)) {
            Ok(booked) => booked,
            Err(Reason::Overflow) => {
                self.pass_over(input);
                return Ok(());
            }
            Err(reason) => return Err(failed(reason)),
        };
        if broke != Reason::None {
            booked.broke = BROKEN_CONTRACT;
        }
        if booked.broke != Reason::None {
            self.found.breaks.push((input.hash, booked.broke));
        }
        let decision = Decision {
            class: Class::Applied,
            reason: booked.broke,
            position: 0,
            version: self.position.version + 1,
            on_provisional: false,
            late: false,
            backdated: false,
            adjusts: false,
            booked,
            first: None,
        };
        let event = decision.event(input, &Origin::INTERNAL, self.scratch);
        if self.names_trades {
            let allocations = allocations(&self.room.lots, &self.position, &event, rules, self.multiplier_e8)
                .map_err(|_| failed(Reason::Overflow))?;
            let (position, lots, runs) = (&self.position, &self.room.lots, event.runs);
            let allocated = &allocations;
            let seen = SeenTrade { input, rules, position, lots, booked: &booked, runs, allocations: allocated };
            self.witness.trade(&seen);
            self.found.trades.push(TradeFigures {
                hash: input.hash,
                realized_e16: booked.realized_e16,
                realized_long_e16: booked.realized_long_e16,
                realized_base_e16: booked.realized_base_e16,
                realized_market_e16: values::market_part(booked.realized_e16, input.fx_to_base_e8)
                    .map_err(|_| failed(Reason::Overflow))?,
                date: input.effective_date,
                reason: booked.broke,
                allocations,
            });
        }
        if input.kind == TradeKind::Transfer {
            leaving_by_transfer(&self.room.lots, &self.position, &event, &mut self.found.leaving);
        }
        settle(&mut self.room.lots, &self.room.names, &mut self.position, &event).map_err(ReplayError::Misfit)?;
        self.position.version += 1;
        Ok(())
    }

    fn name(&mut self, figures: TradeFigures) {
        if self.names_trades {
            self.found.trades.push(figures);
        }
    }

    /// A trade that would leave a range at its place: a break, and nothing changes but the frontier.
    fn pass_over(&mut self, input: &TradeInput) {
        self.found.breaks.push((input.hash, Reason::Overflow));
        self.name(TradeFigures {
            hash: input.hash,
            realized_e16: 0,
            realized_long_e16: 0,
            realized_base_e16: 0,
            realized_market_e16: 0,
            date: input.effective_date,
            reason: Reason::Overflow,
            allocations: Vec::new(),
        });
        self.position.frontier = input.key();
        self.position.version += 1;
    }

    /// What the replay comes to. The room's lots are free again.
    pub(crate) fn outcome(self) -> Outcome {
        let Self { room, mut position, found, .. } = self;
        let lots: Vec<_> = room.lots.iter(&position.block).collect();
        let after = Figures { lot_count: lots.len() as u32, ..position.figures() };
        assert!(
            room.lots.digests_anew(&position.block) == position.block.digests(),
            "the digest kept step by step is the digest of the result"
        );
        let averaged = position.block.is_averaged();
        room.lots.replace(&mut position.block, false, core::iter::empty(), |_| 0);
        Outcome {
            after,
            frontier: position.frontier,
            lots,
            averaged,
            trades: core::mem::take(&mut found.trades),
            actions: found.actions.clone(),
            breaks: found.breaks.clone(),
            leaving: found.leaving.clone(),
            days: found.days.clone(),
            ..Outcome::default()
        }
    }
}

/// The allocations of an event, from the lots as they stand before it is applied. The realized parts
/// sum to the event's figure: the last one takes what rounding leaves, and the fees where they are in the basis.
///
/// # Errors
/// [`Overflow`] cannot happen for an event that was decided; it is passed on all the same.
pub fn allocations(
    lots: &LotArena,
    before: &Position,
    event: &TradeEvent<'_>,
    rules: &Rules,
    multiplier_e8: i64,
) -> Result<Vec<Allocation>, Overflow> {
    let mut found: Vec<Allocation> = Vec::new();
    if event.runs.is_empty() {
        return Ok(found);
    }
    let input = &event.input;
    let (cost, base_cost) = (event.closed_cost_e16, event.closed_base_e16);
    let average = Average::of(event.averaged, event.closed_quantity_e8, cost, base_cost);
    let parts = values::taken(lots, &before.block, event.runs, average);
    let until = rules.long_term_until(input.effective_date);
    let is_long = before.quantity_e8 > 0;
    let mut find = |part: &values::Taken, realized_e16| {
        found.push(part.allocation(realized_e16, is_long && part.lot.acquired <= until));
    };
    if input.kind == TradeKind::Transfer {
        parts.for_each(|part| find(&part, 0));
        return Ok(found);
    }
    let closing = Closing {
        input,
        multiplier_e8,
        is_long,
        quantity_e8: event.closed_quantity_e8,
        value_e16: values::values(input, event.closed_quantity_e8, multiplier_e8)?.closed,
        realized_e16: event.realized_e16,
    };
    closing.allocate(parts, |part, realized_e16| find(part, realized_e16))?;
    Ok(found)
}
