//! A position at a moment together with those that its lots came from: figures, status, ids.

use std::collections::BTreeMap;

use lotbook_core::Date;
use lotbook_core::id::{NO_NAME, TradeHash};
use lotbook_core::legs::Leg;
use lotbook_core::lots::Lot;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::Rules;

use super::one::{Known, One};
use super::{Correction, LotDifference, OnDate, Past, PastError};
use crate::read_model::{BreakView, LotView, PositionView};
use crate::views;

/// What is known of a position and of its sources, each by its number in the whole book.
pub(super) struct Story {
    ones: BTreeMap<u32, One>,
    known_at: u64,
}

impl Story {
    /// Reads the position, and every position that lots came from, directly or through others.
    /// `since`: corrections of the position after that are told lot by lot.
    pub(super) fn read(past: &Past, number: u32, known_at: u64, since: Option<u64>) -> Result<Self, PastError> {
        let facts = past.facts(known_at)?;
        let mut ones = BTreeMap::new();
        let mut next = vec![number];
        while let Some(at) = next.pop() {
            if ones.contains_key(&at) {
                continue;
            }
            // What arrives after the moment may come from a position that had no event by then.
            let since = since.filter(|_| at == number);
            if let Some(one) = One::read(past, at, (known_at, since), &facts)? {
                next.extend(one.sources.iter().chain(&one.later_sources));
                ones.insert(at, one);
            }
        }
        if ones.contains_key(&number) { Ok(Self { ones, known_at }) } else { Err(PastError::Unknown { known_at }) }
    }

    pub(super) fn told(&self, number: u32) -> &One {
        &self.ones[&number]
    }

    /// As it was published then.
    pub(super) fn as_it_stood(&self, number: u32) -> PositionView {
        let one = self.told(number);
        let mut view = views::view_as(&one.state, 0, self.reconciliation(number));
        let lots = one.state.book.lots().iter(&one.position().block);
        for (lot, view) in lots.zip(&mut view.lots) {
            view.trade_id = self.id(number, lot.origin);
        }
        for (found, view) in one.state.breaks.get(&0).into_iter().flatten().zip(&mut view.breaks) {
            view.trade_id = self.id(number, found.0);
        }
        view.sequence = self.known_at;
        view
    }

    /// The figures of a date, out of a replay.
    pub(super) fn on(&self, number: u32, date: Date, found: &OnDate) -> PositionView {
        let OnDate { outcome, later_e8 } = found;
        let one = self.told(number);
        let (book, after) = (&one.state.book, &outcome.after);
        let held = one.position();
        let rules = book.contracts().in_force(held.account, held.instrument, NO_NAME, date).unwrap_or(&Rules::DEFAULT);
        let is_long = after.quantity_e8 > 0;
        let lot = |lot: &Lot| LotView::of(lot, self.id(number, lot.origin), book.names(), is_long, rules);
        let breaks: Vec<BreakView> = outcome
            .breaks
            .iter()
            .map(|(trade, reason)| BreakView { trade_id: self.id(number, *trade), reason: *reason })
            .collect();
        let is_resolved = held.is_resolved() && one.state.breaks.get(&0) == Some(&outcome.breaks);
        let reconciliation = match self.reconciliation(number) {
            Reconciliation::Provisional => Reconciliation::Provisional,
            _ if breaks.is_empty() || is_resolved => Reconciliation::Reconciled,
            _ => Reconciliation::Pending,
        };
        let last = outcome.frontier.date;
        PositionView {
            quantity_e8: after.quantity_e8,
            realized_e16: after.realized_e16,
            realized_long_e16: after.realized_long_e16,
            realized_base_e16: after.realized_base_e16,
            cost_e16: after.cost_e16,
            base_cost_e16: after.base_cost_e16,
            fees_e16: after.fees_e16,
            dividends_e16: after.dividends_e16,
            reconciliation,
            resolution: is_resolved.then(|| views::resolution(&one.state, 0)).flatten(),
            breaks,
            forward_quantity_e8: *later_e8,
            last_effective_date: (last != Date::NONE).then_some(last),
            lots: outcome.lots.iter().map(lot).collect(),
            averaged: outcome.averaged,
            sequence: self.known_at,
            ..views::view_as(&one.state, 0, reconciliation)
        }
    }

    /// Corrections after a sequence.
    pub(super) fn corrections(&self, number: u32, since: u64) -> Vec<Correction> {
        let one = self.told(number);
        let newer = one.corrections.iter().filter(|known| known.sequence > since);
        let lot = |(before, after): &(Option<Lot>, Option<Lot>)| LotDifference {
            trade_id: before.or(*after).map_or_else(Box::default, |lot| self.id(number, lot.origin)),
            before: *before,
            after: *after,
        };
        let correction = |Known { sequence, event, lots }: &Known| Correction {
            sequence: *sequence,
            at_ns: event.origin.occurred_at_ns,
            version: event.version,
            base_version: event.base_version,
            cause: one.id(event.cause).unwrap_or_default().into(),
            cause_sequence: event.cause_sequence,
            late: event.late_trades,
            breaks: event.breaks,
            before: event.before,
            after: event.after,
            exposures_e16: event.exposures_e16(),
            lots: lots.iter().map(lot).collect(),
        };
        newer.map(correction).collect()
    }

    /// Whether the figures were final: as the whole book says it of a position and those before it.
    fn reconciliation(&self, number: u32) -> Reconciliation {
        let own = self.told(number).position().reconciliation();
        if own == Reconciliation::Provisional || !self.depends_on_provisional(number) {
            return own;
        }
        Reconciliation::Provisional
    }

    fn depends_on_provisional(&self, number: u32) -> bool {
        let (mut seen, mut next) = (vec![number], 0);
        while let Some(&at) = seen.get(next) {
            let Some(one) = self.ones.get(&at) else {
                next += 1;
                continue;
            };
            if (next > 0 && one.position().provisional > 0) || self.awaits_lots(one) {
                return true;
            }
            for source in &one.sources {
                if !seen.contains(source) {
                    seen.push(*source);
                }
            }
            next += 1;
        }
        false
    }

    /// Whether something was on its way to a position: what another one has sent to it is not what it has from there.
    fn awaits_lots(&self, one: &One) -> bool {
        let what = |leg: &Leg| (leg.key, leg.lot, leg.is_long, leg.trade);
        one.sources.iter().chain(&one.later_sources).any(|number| {
            let Some(source) = self.ones.get(number) else { return false };
            let had = |leg: &&Leg| leg.source == *number;
            let is_had = |sent: &Leg| one.history.arrival(sent.key.hash).map(what) == Some(what(sent));
            let is_sent = |had: &Leg| source.sent_to(one.position()).any(|sent| what(sent) == what(had));
            !source.sent_to(one.position()).all(is_had) || !one.history.arrivals().filter(had).all(is_sent)
        })
    }

    /// Id of what a lot or a break comes from: of this position, or of one that its lots came from.
    fn id(&self, number: u32, hash: TradeHash) -> Box<str> {
        let own = self.told(number).id(hash);
        let elsewhere = || self.ones.values().find_map(|one| one.id(hash));
        own.or_else(elsewhere).unwrap_or_else(|| views::UNNAMED.to_owned()).into()
    }
}
