//! A position's course of trades, replayed again and again as late ones come.

use lotbook_core::Scratch;
use lotbook_core::apply::Place;
use lotbook_core::closed::PeriodFigures;
use lotbook_core::command::TradeInput;
use lotbook_core::course::Course;
use lotbook_core::date::Date;
use lotbook_core::history::Addition;
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::outcome::Outcome;
use lotbook_core::replay::ReplayRoom;
use lotbook_core::rules::{ContractBook, ContractTerms, Rules};
use lotbook_core::trail::By;

use crate::trades;

const E8: i64 = 100_000_000;
/// Between two trades in order, so that late ones fit between them.
const GAP_NS: i64 = 100;

/// A course of so many trades that came in order and were replayed once, and what it is replayed with.
pub struct Replays {
    course: Course,
    contracts: ContractBook,
    room: ReplayRoom,
    scratch: Scratch,
    version: u64,
}

impl Replays {
    /// Takes the trades and replays them.
    #[must_use]
    pub fn of(trades: &[TradeInput]) -> Self {
        let mut contracts = ContractBook::new(1);
        let rules = Rules { allow_short: true, ..Rules::DEFAULT };
        let (account, instrument) = (NO_NAME, NO_NAME);
        contracts.insert(ContractTerms { contract: 0, account, instrument, rules, effective_date: Date(0) });
        let mut this = Self {
            course: Course::default(),
            contracts,
            room: ReplayRoom::new(0),
            scratch: Scratch::unbounded(),
            version: 0,
        };
        trades.iter().for_each(|input| this.add(*input, false));
        let _ = this.replay();
        this
    }

    /// Takes another one.
    pub fn add(&mut self, input: TradeInput, late: bool) {
        self.version += 1;
        let place = Place { sequence: self.version, address: 0 };
        let figures = PeriodFigures::default();
        self.course.add(self.version, &Addition::Trade { input, place, waits: false, late, figures });
    }

    /// Replays what must be, and takes the outcome as accepted.
    pub fn replay(&mut self) -> Outcome {
        let by = By { today: None, actions: &[], contracts: &self.contracts, multiplier_e8: E8 };
        let outcome = self.course.replay(&by, true, &mut self.room, &mut self.scratch);
        self.course.accepted(self.version);
        // Its own trades are legal; another outcome is a defect worth a panic in a bench.
        outcome.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Trades that the last replay booked.
    #[must_use]
    pub fn booked(&self) -> usize {
        self.course.booked()
    }
}

/// One position's trades in order.
#[must_use]
pub fn in_order(count: u64) -> Vec<TradeInput> {
    trades(1, count).into_iter().map(|t| TradeInput { executed_at_ns: t.executed_at_ns * GAP_NS, ..t }).collect()
}

/// The `n`th trade, of 99, that comes late by so many of these.
#[must_use]
pub fn late(list: &[TradeInput], by: u64, n: i64) -> TradeInput {
    let at = &list[list.len() - by as usize];
    let id = format!("late{n:08}");
    TradeInput {
        trade_id: TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY),
        hash: TradeHash::new(b"bench", id.as_bytes()),
        executed_at_ns: at.executed_at_ns - (GAP_NS - 1) + n,
        ..*at
    }
}
