//! What a reader of events and bodies is told of each trade, beside a course that starts its replays from what it kept: both
//! must know what a replay of the whole history says.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::amount::Money;
use crate::book::Book;
use crate::course::Course;
use crate::decide::{Scratch, carried_rules};
use crate::event::{Class, Event, TradeEvent};
use crate::history::{Addition, History};
use crate::id::TradeHash;
use crate::outcome::{Allocation, Outcome, TradeFigures};
use crate::replay::{ReplayRoom, allocations};
use crate::trail::By;

type Figures = (Money, Money, Money, Vec<Allocation>);

/// One position's.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) history: History,
    additions: Vec<(u64, Addition)>,
    course: Course,
    figures: BTreeMap<TradeHash, Figures>,
    named: Vec<TradeFigures>,
    rounds: usize,
    /// Items of all replays that had not forgotten: booked, and in all.
    pub(super) booked: (usize, usize),
}

impl Followed {
    /// An event that the book is about to apply.
    pub(super) fn take(&mut self, before: &Book, event: &Event<'_>, version: u64, addition: &Addition) {
        self.history.add(addition);
        self.course.add(version, addition);
        self.additions.push((version, *addition));
        match event {
            Event::Trade(trade) if trade.class != Class::Forward => {
                let found = told(before, trade);
                self.figures.insert(trade.input.hash, found);
            }
            Event::Arrived(arrived) => {
                let figures = arrived.figures();
                let sums = (figures.realized_e16, figures.long_e16, figures.base_e16, Vec::new());
                self.figures.insert(arrived.due.leg.key.hash, sums);
            }
            _ => {}
        }
    }

    /// Replays from what was kept. Every third time it has forgotten, and begins with what events tell; every fifth time
    /// another replay came before whose outcome nobody took.
    pub(super) fn resume(&mut self, by: &By<'_>, has_seen: bool, whole: &Outcome) {
        self.rounds += 1;
        if self.rounds.is_multiple_of(3) {
            self.course = Course::new(1 + self.rounds % 4);
            self.additions.iter().for_each(|(version, addition)| self.course.add(*version, addition));
        }
        // What was kept over a restart is what it was, whatever came since the last replay.
        if self.rounds.is_multiple_of(4) {
            let kept = self.course.encode();
            self.course = Course::decode(&kept).unwrap();
            assert_eq!(self.course.encode(), kept);
        }
        let (mut room, mut scratch) = (ReplayRoom::new(1), Scratch::unbounded());
        if self.rounds.is_multiple_of(5) {
            self.course.replay(by, has_seen, &mut room, &mut scratch).unwrap();
        }
        let outcome = self.course.replay(by, has_seen, &mut room, &mut scratch).unwrap();
        if !self.rounds.is_multiple_of(3) {
            let (booked, items) = self.booked;
            self.booked = (booked + self.course.booked(), items + self.history.len());
        }
        self.named.clone_from(&outcome.trades);
        let first = whole.trades.len() - outcome.trades.len();
        assert_eq!(outcome.trades, whole.trades[first..], "it names the last ones");
        let outcome = Outcome { trades: whole.trades.clone(), ..outcome };
        assert_eq!(outcome, *whole);
    }

    /// The outcome was accepted at this version.
    pub(super) fn corrected(&mut self, base_version: u64, whole: &Outcome) {
        // A coldpath that goes on; one that reads the log learns it from there.
        if self.rounds.is_multiple_of(2) {
            self.course.accepted(base_version);
        }
        let figures =
            |t: &TradeFigures| (t.realized_e16, t.realized_long_e16, t.realized_base_e16, t.allocations.clone());
        self.figures.extend(self.named.iter().map(|trade| (trade.hash, figures(trade))));
        for trade in &whole.trades {
            assert_eq!(self.figures.get(&trade.hash), Some(&figures(trade)), "{:?} was told of {trade:?}", trade.hash);
        }
    }
}

fn told(before: &Book, event: &TradeEvent<'_>) -> Figures {
    let position = before.positions().get(event.position as usize);
    let multiplier_e8 = before.instrument(event.input.instrument).unwrap().terms.multiplier_e8;
    let rules = carried_rules(before.contracts(), event.input).0;
    let parts = position
        .map_or_else(Vec::new, |position| allocations(before.lots(), position, event, rules, multiplier_e8).unwrap());
    (event.realized_e16, event.realized_long_e16, event.realized_base_e16, parts)
}
