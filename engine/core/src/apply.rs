//! Applies events: the only mutator. It never chooses and never fails on a valid event.
//!
//! An event that does not fit the book is a damaged log or a defect: [`Misfit`] says so and the book
//! must not be used any further.

use crate::amount::Money;
use crate::book::{Book, Instrument, NO_POSITION, index_hash};
use crate::command::{NameClass, TradeInput};
use crate::decide::fees_e16;
use crate::digest;
use crate::event::{Class, CorrectedEvent, Event, Reason, Run, TradeEvent};
use crate::forward::Forward;
use crate::id::NO_NAME;
use crate::lots::{Lot, LotArena};
use crate::outcome::Outcome;
use crate::position::Position;

/// An event contradicts the book that it is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit(pub &'static str);

impl core::error::Error for Misfit {}

impl core::fmt::Display for Misfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "event does not fit the book: {}", self.0)
    }
}

macro_rules! fits {
    ($condition:expr, $what:literal) => {
        if !$condition {
            return Err(Misfit($what));
        }
    };
}

/// Where the event lies in the log: forward-dated trades remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Sequence.
    pub sequence: u64,
    /// Address.
    pub address: u64,
}

impl Book {
    /// Applies one event. `outcome` is the decoded body of a [`Event::Corrected`], else `None`.
    ///
    /// # Errors
    /// [`Misfit`]: the log or the body is damaged, or this is a defect. Stop using the book.
    pub fn apply(&mut self, event: &Event<'_>, place: Place, outcome: Option<&Outcome>) -> Result<(), Misfit> {
        match event {
            Event::Trade(trade) => self.apply_trade(trade, place),
            Event::Corrected(corrected) => {
                let outcome = outcome.ok_or(Misfit("correction without its body"))?;
                self.apply_corrected(corrected, outcome)
            }
            Event::Defined { class, id, reason, text, .. } => self.apply_name(*class, *id, *reason, text),
            Event::Instrument { reason, terms, .. } => {
                if *reason == Reason::None {
                    let held = self.instruments.get_mut(terms.instrument as usize);
                    held.ok_or(Misfit("terms of an undefined instrument"))?.terms = *terms;
                }
                Ok(())
            }
            Event::Contract { reason, terms, .. } => {
                if *reason == Reason::None {
                    fits!(self.contracts.has_room(), "more contract versions than the book holds");
                    self.contracts.insert(*terms);
                }
                Ok(())
            }
            Event::BusinessDate { reason, date, .. } => {
                if *reason == Reason::None {
                    self.business_date = Some(*date);
                }
                Ok(())
            }
            Event::Mark { reason, mark, .. } => {
                if *reason == Reason::None {
                    let held = self.instruments.get_mut(mark.instrument as usize);
                    held.ok_or(Misfit("mark of an undefined instrument"))?.marks.set(self.business_date, mark);
                }
                Ok(())
            }
            Event::Digests { economic, full, .. } => {
                fits!(*economic == self.economic_digest(), "economic digest differs");
                fits!(*full == self.full_digest(), "full digest differs");
                Ok(())
            }
        }
    }

    fn apply_name(&mut self, class: NameClass, id: u32, reason: Reason, text: &[u8]) -> Result<(), Misfit> {
        if reason != Reason::None || self.names.find(class, text) == Some(id) {
            return Ok(());
        }
        fits!(id as usize == self.names.len(class), "names are not dense");
        fits!(self.names.has_room(class), "more names than the book holds");
        self.names.define(class, text);
        match class {
            NameClass::Account => self.sums.add_account(),
            NameClass::Instrument => self.instruments.push(Instrument::unnamed(id)),
            _ => {}
        }
        Ok(())
    }

    /// Applies a trade's event.
    ///
    /// # Errors
    /// As [`Self::apply`].
    #[inline]
    pub fn apply_trade(&mut self, event: &TradeEvent<'_>, place: Place) -> Result<(), Misfit> {
        match event.class {
            Class::Rejected | Class::Duplicate => return Ok(()),
            Class::Applied | Class::Provisional | Class::Forward | Class::Matured => {}
        }
        let number = self.position_for(&event.input, event.position)?;
        let position = &mut self.positions[number as usize];
        fits!(event.version == position.version + 1, "version is not the next one");

        position.version = event.version;
        match event.class {
            Class::Forward => {
                fits!(self.forwards.has_room(), "more forward-dated trades than the book holds");
                position.forwards += 1;
                position.forward_quantity_e8 += event.input.signed_quantity_e8();
                position.forward_gross_e8 += event.input.quantity_e8;
                let Place { sequence, address } = place;
                self.forwards.insert(Forward { input: event.input, position: number, sequence, address });
            }
            Class::Matured => {
                fits!(self.forwards.remove(&event.input).is_some(), "matured trade was not waiting");
                position.forwards -= 1;
                position.forward_quantity_e8 -= event.input.signed_quantity_e8();
                position.forward_gross_e8 -= event.input.quantity_e8;
                position.breaks += u32::from(event.reason != Reason::None);
                settle(&mut self.lots, position, event)?;
            }
            _ => settle(&mut self.lots, position, event)?,
        }
        position.provisional += u32::from(event.late);
        self.sums.refresh(position);
        if event.class != Class::Forward {
            let marks = &mut self.instruments[event.input.instrument as usize].marks;
            marks.traded(self.business_date, event.input.price_e8, &event.input.key());
        }
        Ok(())
    }

    fn position_for(&mut self, input: &TradeInput, number: u32) -> Result<u32, Misfit> {
        if let Some(position) = self.positions.get(number as usize) {
            fits!(position.account == input.account, "position number names another account");
            fits!(position.instrument == input.instrument, "position number names another instrument");
            return Ok(number);
        }
        fits!(number as usize == self.positions.len(), "position numbers are not dense");
        fits!(number != NO_POSITION, "an applied trade without a position");
        fits!(self.positions.len() < self.limits.positions_max, "more positions than the book holds");
        fits!(input.account != NO_NAME, "a position without account");
        let key_hash = self.key_hash(input.account, input.instrument).ok_or(Misfit("undefined name"))?;
        let mut position = Position::new(input.account, input.instrument, key_hash);
        self.sums.refresh(&mut position);
        self.positions.push(position);
        let positions = &self.positions;
        self.index.insert_unique(index_hash(input.account, input.instrument), number, |&n| {
            let p = &positions[n as usize];
            index_hash(p.account, p.instrument)
        });
        Ok(number)
    }

    fn apply_corrected(&mut self, event: &CorrectedEvent, outcome: &Outcome) -> Result<(), Misfit> {
        let position =
            self.positions.get_mut(event.position as usize).ok_or(Misfit("correction of an unknown position"))?;
        fits!(position.version == event.base_version, "correction of another version");
        fits!(event.version == event.base_version + 1, "version is not the next one");
        fits!(outcome.after == event.after, "the body gives other figures than the event");
        fits!(outcome.breaks.len() == event.breaks as usize, "the body gives other breaks than the event");
        fits!(self.lots.can_apply_replace(&position.block, outcome.lots.len()), "more lots than the book holds");
        position.version = event.version;
        position.provisional = 0;
        position.breaks = event.breaks;
        position.quantity_e8 = outcome.after.quantity_e8;
        position.realized_e16 = outcome.after.realized_e16;
        position.cost_e16 = outcome.after.cost_e16;
        self.lots.replace(&mut position.block, outcome.lots.iter().copied());
        position.lots_digest = lots_digest(position.key_hash, &outcome.lots);
        self.sums.refresh(position);
        Ok(())
    }
}

/// Sum of the digests of these lots.
pub(crate) fn lots_digest(key_hash: u64, lots: &[Lot]) -> u64 {
    lots.iter().fold(0u64, |sum, lot| sum.wrapping_add(digest::lot(key_hash, lot)))
}

/// Moves lots and sums of one position as the event says.
pub(crate) fn settle(lots: &mut LotArena, position: &mut Position, event: &TradeEvent<'_>) -> Result<(), Misfit> {
    let input = &event.input;
    if !event.runs.is_empty() {
        let cost = take_runs(lots, position, event.runs)?;
        fits!(cost == event.closed_cost_e16, "the runs take another cost than the event says");
    }
    position.quantity_e8 += input.signed_quantity_e8();
    position.realized_e16 += event.realized_e16;
    position.cost_e16 += event.opened_cost_e16 - event.closed_cost_e16;
    position.fees_e16 += fees_e16(input);
    if event.opened_quantity_e8 > 0 {
        fits!(lots.can_apply_push(&position.block), "more lots than the book holds");
        let lot = Lot {
            origin: input.hash,
            quantity_e8: event.opened_quantity_e8,
            cost_e16: event.opened_cost_e16,
            price_e8: input.price_e8,
            acquired: input.effective_date,
        };
        position.lots_digest = position.lots_digest.wrapping_add(digest::lot(position.key_hash, &lot));
        lots.push(&mut position.block, lot);
    }
    let key = input.key();
    if key > position.frontier {
        position.frontier = key;
    }
    Ok(())
}

/// Takes the runs out of the position's lots and gives the cost that went with them.
fn take_runs(lots: &mut LotArena, position: &mut Position, runs: &[Run]) -> Result<Money, Misfit> {
    let held = position.block.len();
    let mut cost = 0;
    let mut emptied = 0;
    for run in runs {
        let (from, count) = (run.from as usize, run.count as usize);
        fits!(from + count <= held, "a run beyond the lots");
        if run.part_quantity_e8 > 0 {
            let before = lots.get(&position.block, from);
            fits!(run.part_quantity_e8 < before.quantity_e8, "a part that is not less than the lot");
            let after = Lot {
                quantity_e8: before.quantity_e8 - run.part_quantity_e8,
                cost_e16: before.cost_e16 - run.part_cost_e16,
                ..before
            };
            lots.set_rest(&position.block, from, after.quantity_e8, after.cost_e16);
            cost += run.part_cost_e16;
            let change = digest::lot(position.key_hash, &after).wrapping_sub(digest::lot(position.key_hash, &before));
            position.lots_digest = position.lots_digest.wrapping_add(change);
        } else {
            for index in from..from + count {
                let lot = lots.get(&position.block, index);
                cost += lot.cost_e16;
                position.lots_digest = position.lots_digest.wrapping_sub(digest::lot(position.key_hash, &lot));
            }
            emptied += count;
        }
    }
    remove_whole(lots, position, runs, emptied, held);
    Ok(cost)
}

fn remove_whole(lots: &mut LotArena, position: &mut Position, runs: &[Run], emptied: usize, held: usize) {
    if emptied == 0 {
        return;
    }
    let mut whole = runs.iter().filter(|run| run.part_quantity_e8 == 0);
    // FIFO and LIFO take one stretch from an end; the rest is the general case.
    let only = match (whole.next(), whole.next()) {
        (Some(run), None) => Some(run),
        _ => None,
    };
    match only {
        Some(run) if run.from == 0 => lots.remove_front(&mut position.block, emptied),
        Some(run) if (run.from + run.count) as usize == held => lots.remove_back(&mut position.block, emptied),
        _ => {
            for run in runs.iter().filter(|run| run.part_quantity_e8 == 0) {
                for index in run.from..run.from + run.count {
                    lots.set_rest(&position.block, index as usize, 0, 0);
                }
            }
            lots.remove_empty(&mut position.block);
        }
    }
}
