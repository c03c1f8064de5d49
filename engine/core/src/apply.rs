//! Applies events: the only mutator. It never chooses and never fails on a valid event.
//!
//! An event that does not fit the book is a damaged log or a defect: [`Misfit`] says so and the book
//! must not be used any further.

use crate::amount::{Money, share};
use crate::book::{Book, Instrument, NO_POSITION};
use crate::command::{NameClass, TradeInput, TradeKind};
use crate::date::Date;
use crate::digest;
use crate::event::{Class, CorrectedEvent, Event, Reason, Run, TradeEvent};
use crate::forward::Forward;
use crate::id::NO_NAME;
use crate::lots::{Lot, LotArena};
use crate::names::Names;
use crate::outcome::Outcome;
use crate::position::Position;
use crate::values::{base_cost_taken, fees_e16};

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
            Event::Taken(taken) => self.apply_taken(taken),
            Event::Action(action) => self.apply_action(action, place),
            Event::Settled(settled) => self.apply_settled(settled),
            Event::PeriodLock(lock) => self.apply_lock(lock),
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
                    self.apply_contract(terms)
                } else {
                    Ok(())
                }
            }
            Event::BusinessDate { reason, date, .. } => {
                if *reason == Reason::None {
                    self.business_date = Some(*date);
                    self.actions.advance(*date);
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
            NameClass::Account => {
                self.sums.add_account();
                self.locks.add_account();
            }
            NameClass::Instrument => {
                self.instruments.push(Instrument::unnamed(id));
                self.actions.add_instrument();
            }
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
        // Whatever was due was taken before this was decided.
        position.seen = self.actions.changes();
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
                settle(&mut self.lots, &self.names, position, event)?;
            }
            _ => settle(&mut self.lots, &self.names, position, event)?,
        }
        position.provisional += u32::from(event.late);
        self.sums.refresh(position);
        if event.class != Class::Forward
            && event.input.kind == TradeKind::Trade
            && let Some(price_e8) = event.input.price()
        {
            let marks = &mut self.instruments[event.input.instrument as usize].marks;
            marks.traded(self.business_date, price_e8, &event.input.key());
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
        position.seen = self.actions.changes();
        self.add_position(position);
        Ok(number)
    }

    fn apply_corrected(&mut self, event: &CorrectedEvent, outcome: &Outcome) -> Result<(), Misfit> {
        let position =
            self.positions.get_mut(event.position as usize).ok_or(Misfit("correction of an unknown position"))?;
        fits!(position.version == event.base_version, "correction of another version");
        fits!(event.version == event.base_version + 1, "version is not the next one");
        fits!(event.seen >= position.seen, "a correction that forgets what the position has seen");
        fits!(outcome.after == event.after, "the body gives other figures than the event");
        fits!(outcome.breaks.len() == event.breaks as usize, "the body gives other breaks than the event");
        fits!(self.lots.can_apply_replace(&position.block, outcome.lots.len()), "more lots than the book holds");
        position.version = event.version;
        position.provisional = 0;
        position.breaks = event.breaks;
        position.seen = event.seen;
        position.quantity_e8 = outcome.after.quantity_e8;
        position.realized_e16 = outcome.after.realized_e16;
        position.realized_long_e16 = outcome.after.realized_long_e16;
        position.realized_base_e16 = outcome.after.realized_base_e16;
        position.cost_e16 = outcome.after.cost_e16;
        position.base_cost_e16 = outcome.after.base_cost_e16;
        position.dividends_e16 = outcome.after.dividends_e16;
        position.oldest = outcome.lots.first().map_or(Date::NONE, |lot| lot.acquired);
        self.lots.replace(&mut position.block, outcome.lots.iter().copied());
        position.lots_digest = lots_digest(position.key_hash, &self.names, &outcome.lots);
        self.sums.refresh(position);
        Ok(())
    }
}

/// Sum of the digests of these lots.
pub(crate) fn lots_digest(key_hash: u64, names: &Names, lots: &[Lot]) -> u64 {
    lots.iter().fold(0u64, |sum, lot| sum.wrapping_add(digest::lot(key_hash, names, lot)))
}

/// Moves lots and sums of one position as the event says.
pub(crate) fn settle(
    lots: &mut LotArena,
    names: &Names,
    position: &mut Position,
    event: &TradeEvent<'_>,
) -> Result<(), Misfit> {
    let input = &event.input;
    if !event.runs.is_empty() {
        let base_cost = base_cost_taken(lots, &position.block, event.runs, event.closed_cost_e16);
        fits!(base_cost == event.closed_base_e16, "the runs take another base cost than the event says");
        let cost = take_runs(lots, names, position, event.runs)?;
        fits!(cost == event.closed_cost_e16, "the runs take another cost than the event says");
    }
    position.quantity_e8 += input.signed_quantity_e8();
    position.realized_e16 += event.realized_e16;
    position.realized_long_e16 += event.realized_long_e16;
    position.realized_base_e16 += event.realized_base_e16;
    position.cost_e16 += event.opened_cost_e16 - event.closed_cost_e16;
    position.base_cost_e16 += event.opened_base_e16 - event.closed_base_e16;
    position.fees_e16 += fees_e16(input);
    if event.enlarges {
        enlarge(lots, names, position, event)?;
    } else if event.opened_quantity_e8 > 0 {
        open(lots, names, position, event)?;
    }
    let key = input.key();
    if key > position.frontier {
        position.frontier = key;
    }
    Ok(())
}

fn open(lots: &mut LotArena, names: &Names, position: &mut Position, event: &TradeEvent<'_>) -> Result<(), Misfit> {
    fits!(lots.can_apply_push(&position.block), "more lots than the book holds");
    let lot = Lot {
        origin: event.input.hash,
        quantity_e8: event.opened_quantity_e8,
        cost_e16: event.opened_cost_e16,
        base_cost_e16: event.opened_base_e16,
        price_e8: event.lot_price_e8,
        acquired: event.input.acquired(),
        sub_account: event.input.sub_account,
    };
    position.lots_digest = position.lots_digest.wrapping_add(digest::lot(position.key_hash, names, &lot));
    // At the frontier a trade's lot is held for the shortest time; who comes late or from elsewhere may have to be
    // put before others.
    if event.late || event.input.kind == TradeKind::OpenLot {
        lots.insert(&mut position.block, lot);
    } else {
        lots.push(&mut position.block, lot);
    }
    let is_first = position.block.len() == 1;
    position.oldest = if is_first { lot.acquired } else { position.oldest.min(lot.acquired) };
    Ok(())
}

fn enlarge(lots: &mut LotArena, names: &Names, position: &mut Position, event: &TradeEvent<'_>) -> Result<(), Misfit> {
    let index = lots.find(&position.block, event.input.lot).ok_or(Misfit("the lot to enlarge is not open"))?;
    let before = lots.get(&position.block, index);
    let after = Lot {
        quantity_e8: before.quantity_e8 + event.opened_quantity_e8,
        cost_e16: before.cost_e16 + event.opened_cost_e16,
        base_cost_e16: before.base_cost_e16 + event.opened_base_e16,
        price_e8: event.lot_price_e8,
        ..before
    };
    lots.set(&mut position.block, index, &after);
    replace_digest(names, position, &before, &after);
    Ok(())
}

fn replace_digest(names: &Names, position: &mut Position, before: &Lot, after: &Lot) {
    let key_hash = position.key_hash;
    let change = digest::lot(key_hash, names, after).wrapping_sub(digest::lot(key_hash, names, before));
    position.lots_digest = position.lots_digest.wrapping_add(change);
}

/// Takes the runs out of the position's lots and gives the cost that went with them.
fn take_runs(lots: &mut LotArena, names: &Names, position: &mut Position, runs: &[Run]) -> Result<Money, Misfit> {
    let held = position.block.len();
    let mut cost = 0;
    let mut emptied = 0;
    for run in runs {
        let (from, count) = (run.from as usize, run.count as usize);
        fits!(from + count <= held, "a run beyond the lots");
        if run.part_quantity_e8 > 0 {
            let before = lots.get(&position.block, from);
            fits!(run.part_quantity_e8 < before.quantity_e8, "a part that is not less than the lot");
            let base_cost = share(before.base_cost_e16, run.part_quantity_e8, before.quantity_e8);
            let after = Lot {
                quantity_e8: before.quantity_e8 - run.part_quantity_e8,
                cost_e16: before.cost_e16 - run.part_cost_e16,
                base_cost_e16: before.base_cost_e16 - base_cost,
                ..before
            };
            lots.set_rest(&position.block, from, after.quantity_e8, after.cost_e16, after.base_cost_e16);
            cost += run.part_cost_e16;
            replace_digest(names, position, &before, &after);
        } else {
            for index in from..from + count {
                let lot = lots.get(&position.block, index);
                cost += lot.cost_e16;
                position.lots_digest = position.lots_digest.wrapping_sub(digest::lot(position.key_hash, names, &lot));
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
                    lots.set_rest(&position.block, index as usize, 0, 0, 0);
                }
            }
            lots.remove_empty(&mut position.block);
        }
    }
}
