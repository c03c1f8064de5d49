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
use crate::history::{Effective, History, Item};
use crate::id::{NO_NAME, TradeHash, TradeId};
use crate::legs::{Leaving, Leg, leaving_by_action, leaving_by_transfer};
use crate::limits::LOT_BLOCK_SLOTS_MIN;
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
    let mut replayer = Replayer {
        witness,
        contracts,
        multiplier_e8,
        scratch,
        // A block moves to one of twice its size, so four times the lots is room for every move.
        lots: LotArena::new((items.len() * 4).max(LOT_BLOCK_SLOTS_MIN * 4).next_power_of_two()),
        position: Position::new(0, 0, 0),
        names: Names::new(0),
        trades: Vec::with_capacity(items.len()),
        actions: Vec::new(),
        room: None,
        rewritten: Vec::new(),
        gone: Vec::new(),
        leaving: Vec::new(),
        lots_max: items.len(),
        breaks: Vec::new(),
        days: Days::default(),
    };
    for item in items.iter() {
        replayer.book(item)?;
        replayer.days.close(item.key().date, PeriodFigures::of(&replayer.position));
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

/// A replay under way: the book of one position, and what was found so far.
struct Replayer<'a> {
    contracts: &'a ContractBook,
    multiplier_e8: i64,
    scratch: &'a mut Scratch,
    lots: LotArena,
    position: Position,
    /// Empty: digests of this position only check its own steps, so names enter by their numbers.
    names: Names,
    trades: Vec<TradeFigures>,
    actions: Vec<ActionFigures>,
    /// For actions, made when there is one.
    room: Option<ActionRoom>,
    rewritten: Vec<Lot>,
    gone: Vec<Lot>,
    leaving: Vec<Leaving>,
    lots_max: usize,
    breaks: Vec<(TradeHash, Reason)>,
    days: Days,
    witness: &'a mut dyn Witness,
}

impl Replayer<'_> {
    fn book(&mut self, item: &Item) -> Result<(), ReplayError> {
        match item {
            Item::Trade(input) => self.trade(input),
            Item::Action(input) => self.action(input),
            Item::Arrival(leg) => self.arrival(leg),
        }
    }

    /// What leaves a range is passed over, like an action.
    fn arrival(&mut self, leg: &Leg) -> Result<(), ReplayError> {
        (self.position.account, self.position.instrument) = (leg.account, leg.instrument);
        let in_force = self.contracts.in_force(leg.account, leg.instrument, NO_NAME, leg.key.date);
        let rules = in_force.unwrap_or(Rules::DEFAULT);
        let input = leg.as_input();
        let ground = Ground {
            quantity_e8: self.position.quantity_e8,
            lots: &self.lots,
            block: &self.position.block,
            cost: (self.position.cost_e16, self.position.base_cost_e16),
            oldest: self.position.oldest,
            multiplier_e8: self.multiplier_e8,
        };
        let booked = ground.book_arrival(&rules, leg, self.scratch);
        let booked = booked.and_then(|booked| sums_fit(&self.position, &input, &booked).map(|()| booked));
        let (position, lots, runs) = (&self.position, &self.lots, &self.scratch.runs);
        let seen = SeenArrival { leg, rules: &rules, position, lots, booked: booked.as_ref().ok(), runs };
        self.witness.arrival(&seen).map_err(|_| ReplayError::Item(leg.key.trade_id, Reason::Overflow))?;
        match booked {
            Ok(booked) => {
                if booked.broke != Reason::None {
                    self.breaks.push((leg.key.hash, booked.broke));
                    self.trades.push(TradeFigures {
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
                settle_arrival(&mut self.lots, &self.names, &mut self.position, leg, &booked, runs)
                    .map_err(ReplayError::Misfit)?;
            }
            Err(Reason::Overflow) => self.breaks.push((leg.key.hash, Reason::Overflow)),
            Err(reason) => return Err(ReplayError::Item(leg.key.trade_id, reason)),
        }
        self.position.frontier = leg.key;
        self.position.version += 1;
        Ok(())
    }

    fn action(&mut self, input: &ActionInput) -> Result<(), ReplayError> {
        let position = &self.position;
        if position.quantity_e8 == 0 || !self.contracts.strikes(position.account, position.instrument, input) {
            return Ok(());
        }
        let rules = self
            .contracts
            .in_force(position.account, position.instrument, NO_NAME, input.date())
            .unwrap_or(Rules::DEFAULT);
        let site = Site { position, lots: &self.lots, multiplier_e8: self.multiplier_e8 };
        let room = self.room.get_or_insert_with(|| ActionRoom::new(self.lots_max));
        let taken = take(&site, input, &rules, room, self.scratch);
        self.position.frontier = input.key();
        self.position.version += 1;
        let took = match taken {
            Ok(took) => took,
            Err(Reason::Overflow) => {
                self.breaks.push((input.hash, Reason::Overflow));
                return Ok(());
            }
            Err(reason) => return Err(ReplayError::Item(input.action_id, reason)),
        };
        let gains = took.realized().map_err(|_| ReplayError::Item(input.action_id, Reason::Overflow))?;
        let (runs, dividends_e16) = (&self.scratch.runs, took.dividends_e16);
        let (position, lots, multiplier_e8) = (&self.position, &self.lots, self.multiplier_e8);
        let seen = SeenAction { input, rules: &rules, multiplier_e8, position, lots, took: &took, runs };
        self.witness.action(&seen).map_err(|_| ReplayError::Item(input.action_id, Reason::Overflow))?;
        let action = (input, self.multiplier_e8);
        let is_long = self.position.quantity_e8 > 0;
        settle_taken(
            &mut self.lots,
            &self.names,
            &mut self.position,
            action,
            (&took, runs),
            &mut self.rewritten,
            &mut self.gone,
        )
        .map_err(ReplayError::Misfit)?;
        leaving_by_action(input, is_long, &self.gone, &mut self.leaving);
        self.actions.push(ActionFigures { hash: input.hash, date: input.date(), gains, dividends_e16 });
        Ok(())
    }

    fn trade(&mut self, input: &TradeInput) -> Result<(), ReplayError> {
        let failed = |reason| ReplayError::Item(input.trade_id, reason);
        (self.position.account, self.position.instrument) = (input.account, input.instrument);
        let (rules, broke) = carried_rules(self.contracts, input);
        let ground = Ground {
            quantity_e8: self.position.quantity_e8,
            lots: &self.lots,
            block: &self.position.block,
            cost: (self.position.cost_e16, self.position.base_cost_e16),
            oldest: self.position.oldest,
            multiplier_e8: self.multiplier_e8,
        };
        let booked = ground.book(&rules, input, Legality::Carried, self.scratch);
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
            self.breaks.push((input.hash, booked.broke));
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
        let allocations = allocations(&self.lots, &self.position, &event, &rules, self.multiplier_e8)
            .map_err(|_| failed(Reason::Overflow))?;
        let (position, lots, runs) = (&self.position, &self.lots, event.runs);
        let seen = SeenTrade { input, rules: &rules, position, lots, booked: &booked, runs, allocations: &allocations };
        self.witness.trade(&seen);
        self.trades.push(TradeFigures {
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
        if input.kind == TradeKind::Transfer {
            leaving_by_transfer(&self.lots, &self.position, &event, &mut self.leaving);
        }
        settle(&mut self.lots, &self.names, &mut self.position, &event).map_err(ReplayError::Misfit)?;
        self.position.version += 1;
        Ok(())
    }

    /// A trade that would leave a range at its place: a break, and nothing changes but the frontier.
    fn pass_over(&mut self, input: &TradeInput) {
        self.breaks.push((input.hash, Reason::Overflow));
        self.trades.push(TradeFigures {
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

    fn outcome(self) -> Outcome {
        let lots: Vec<_> = self.lots.iter(&self.position.block).collect();
        let after = Figures { lot_count: lots.len() as u32, ..self.position.figures() };
        assert!(
            self.lots.digests_anew(&self.position.block) == self.position.block.digests(),
            "the digest kept step by step is the digest of the result"
        );
        let averaged = self.position.block.is_averaged();
        Outcome {
            after,
            frontier: self.position.frontier,
            lots,
            averaged,
            trades: self.trades,
            actions: self.actions,
            breaks: self.breaks,
            leaving: self.leaving,
            days: self.days,
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
        found.push(Allocation {
            lot: part.lot.origin,
            quantity_e8: part.quantity_e8,
            price_e8: part.lot.price_e8,
            cost_e16: part.cost_e16,
            base_cost_e16: part.base_cost_e16,
            realized_e16,
            acquired: part.lot.acquired,
            is_long_term: is_long && part.lot.acquired <= until,
        });
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
