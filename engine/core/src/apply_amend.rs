//! Applies amendments, resolutions and outcomes of replays. As [`crate::apply`], it never chooses.

use alloc::vec::Vec;

use crate::amend_event::{AmendEvent, ResolvedEvent, break_digest};
use crate::apply::{Misfit, Place, settle};
use crate::book::Book;
use crate::date::Date;
use crate::decide_amend::{movement, moving};
use crate::digest;
use crate::event::{Class, CorrectedEvent, Reason};
use crate::forward::Forward;
use crate::held::Held;
use crate::id::TradeHash;
use crate::legs::Leg;
use crate::lots::Lot;
use crate::outcome::Outcome;

macro_rules! fits {
    ($condition:expr, $what:literal) => {
        if !$condition {
            return Err(Misfit($what));
        }
    };
}

impl Book {
    pub(crate) fn apply_amend(&mut self, event: &AmendEvent<'_>, place: Place) -> Result<(), Misfit> {
        let input = &event.input;
        match event.class {
            Class::Rejected | Class::Duplicate => Ok(()),
            Class::Held => {
                fits!(self.held.has_room(), "more held amendments than the book holds");
                fits!(self.held.find(input.hash).is_none(), "an amendment is held twice");
                let Place { sequence, address } = place;
                self.held.insert(Held { input: *input, moves: self.date_moves, sequence, address });
                Ok(())
            }
            Class::Lapsed => {
                fits!(self.held.remove(input.hash).is_some(), "a lapsed amendment was not held");
                Ok(())
            }
            Class::Provisional => self.apply_accepted(event),
            Class::Applied => self.apply_of_action(event),
            _ => Err(Misfit("an amendment of no class")),
        }
    }

    fn apply_accepted(&mut self, event: &AmendEvent<'_>) -> Result<(), Misfit> {
        let (input, root, estimate) = (&event.input, &event.root, &event.estimate);
        let held = self.held.remove(input.hash).is_some();
        fits!(held == (event.first_sequence != 0), "an amendment was held and its event does not say so");
        fits!(self.amendments.can_insert(input, root), "an amendment of nothing that is known");
        let position =
            self.positions.get_mut(event.position as usize).ok_or(Misfit("an amendment of an unknown position"))?;
        fits!(position.account == event.account, "position number names another account");
        fits!(position.instrument == event.instrument, "position number names another instrument");
        fits!(event.version == position.version + 1, "version is not the next one");
        if let Some(waited) = self.forwards.take(root.hash) {
            fits!(waited.position == event.position, "the amended trade waits for another position");
            position.forwards -= 1;
        }
        let (before, after) = (estimate.waiting_before_e8, estimate.waiting_after_e8);
        // In the order in which it was decided: a trade that turns to the other side may move by more than a quantity holds.
        position.forward_quantity_e8 = position.forward_quantity_e8 - before + after;
        position.forward_gross_e8 = position.forward_gross_e8 - before.abs() + after.abs();
        if estimate.moved_e8 != 0 {
            let frontier = position.frontier;
            let input = moving(position, event);
            settle(&mut self.lots, &self.names, position, &movement(&input, event))?;
            position.frontier = frontier;
        }
        position.version = event.version;
        position.provisional += 1;
        self.amendments.insert(input, root);
        self.amendments.set_waits(root.hash, after != 0);
        self.sums.refresh(position);
        Ok(())
    }

    fn apply_of_action(&mut self, event: &AmendEvent<'_>) -> Result<(), Misfit> {
        let input = &event.input;
        let held = self.held.remove(input.hash).is_some();
        fits!(held == (event.first_sequence != 0), "an amendment was held and its event does not say so");
        let entry = self.actions.root_of(input.target).ok_or(Misfit("an amendment of an unknown action"))?;
        fits!(self.actions.root_of(input.hash).is_none(), "an amendment of an action came twice");
        fits!(self.actions.admit(entry).is_ok(), "more amendments of actions than the book holds");
        let after = self.actions.effective(entry, Some(input));
        let names = self.names_of(&after.1);
        self.actions.amend(input, entry, after, names, self.business_date);
        Ok(())
    }

    pub(crate) fn apply_resolved(&mut self, event: &ResolvedEvent) -> Result<(), Misfit> {
        if event.reason != Reason::None {
            return Ok(());
        }
        let position =
            self.positions.get_mut(event.position as usize).ok_or(Misfit("resolution of an unknown position"))?;
        fits!(event.version == position.version + 1, "version is not the next one");
        fits!(event.break_set == position.break_set, "resolution of other breaks");
        position.version = event.version;
        position.resolved = true;
        self.sums.refresh(position);
        Ok(())
    }

    pub(crate) fn apply_corrected(&mut self, event: &CorrectedEvent, outcome: &Outcome) -> Result<(), Misfit> {
        let position =
            self.positions.get_mut(event.position as usize).ok_or(Misfit("correction of an unknown position"))?;
        fits!(position.version == event.base_version + u64::from(event.tail), "correction of another version");
        fits!(event.version == position.version + 1, "version is not the next one");
        fits!(event.left <= event.tail, "more late trades are left than came");
        fits!(event.seen >= position.seen, "a correction that forgets what the position has seen");
        fits!(outcome.after == event.after, "the body gives other figures than the event");
        fits!(outcome.breaks.len() == event.breaks as usize, "the body gives other breaks than the event");
        fits!(outcome.adjusted == event.adjusted, "the body gives another adjustment than the event");
        let through = self.locks.through(position.account);
        fits!(event.adjusted.through == through, "an adjustment of other days than are closed");
        fits!(self.lots.can_apply_replace(&position.block, outcome.lots.len()), "more lots than the book holds");
        let after = &outcome.after;
        position.version = event.version;
        position.provisional = event.left;
        position.breaks = event.breaks;
        position.found_breaks(break_set(&outcome.breaks));
        position.quantity_e8 = after.quantity_e8;
        position.realized_e16 = after.realized_e16;
        position.realized_long_e16 = after.realized_long_e16;
        position.realized_base_e16 = after.realized_base_e16;
        position.cost_e16 = after.cost_e16;
        position.base_cost_e16 = after.base_cost_e16;
        position.fees_e16 = after.fees_e16;
        position.dividends_e16 = after.dividends_e16;
        position.frontier = outcome.frontier;
        position.seen = event.seen;
        position.oldest = outcome.lots.first().map_or(Date::NONE, |lot| lot.acquired);
        let (key_hash, names) = (position.key_hash, &self.names);
        let tag = |lot: &Lot| digest::lot_tag(key_hash, names, lot);
        self.lots.replace(&mut position.block, outcome.averaged, outcome.lots.iter().copied(), tag);
        // Trades that nothing amended wait where they are.
        for (trade, _) in &outcome.amended {
            position.forwards -= u32::from(self.forwards.take(*trade).is_some());
            self.amendments.set_waits(*trade, false);
        }
        for waiting in &outcome.waiting {
            fits!(self.forwards.has_room(), "more forward-dated trades than the book holds");
            self.forwards.insert(Forward { position: event.position, ..*waiting });
            position.forwards += 1;
        }
        fits!(position.forwards == outcome.forwards, "the body gives other forward-dated trades than the book");
        position.forward_quantity_e8 = outcome.forward_quantity_e8;
        position.forward_gross_e8 = outcome.forward_gross_e8;
        self.sums.refresh(position);
        self.adjustments.add(event.position, key_hash, &event.adjusted);
        if !outcome.leaving.is_empty() || !self.legs.sent_by(event.position).is_empty() {
            let mut now: Vec<Leg> = outcome.leaving.iter().map(|l| l.from(position, event.position)).collect();
            now.sort_unstable_by_key(|leg| leg.key);
            self.legs.resend(event.position, now, &self.names);
        }
        Ok(())
    }
}

/// Digest of a set of breaks; the order leaves no trace.
pub(crate) fn break_set(breaks: &[(TradeHash, Reason)]) -> u64 {
    breaks.iter().fold(0u64, |sum, (trade, reason)| sum.wrapping_add(break_digest(*trade, *reason)))
}
