//! Applies events: the only mutator. It never chooses and never fails on a valid event.
//!
//! An event that does not fit the book is a damaged log or a defect: [`Misfit`] says so and the book
//! must not be used any further.

use crate::amend_event::break_digest;
use crate::book::{Book, Instrument, NO_POSITION};
use crate::closed::PeriodFigures;
use crate::command::{NameClass, TradeKind};
use crate::digest;
use crate::event::{Averaged, Class, Event, Reason, TradeEvent};
use crate::forward::Forward;
use crate::id::{NO_NAME, NameId};
use crate::legs::leaving_by_transfer;
use crate::lots::{Gone, Lot, LotArena};
use crate::names::Names;
use crate::outcome::Outcome;
use crate::position::Position;
use crate::values::fees_e16;

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
            Event::Arrived(arrived) => self.apply_arrived(arrived),
            Event::Received(received) => self.apply_received(received),
            Event::Delivered(delivered) => self.apply_delivered(delivered),
            Event::Action(action) => self.apply_action(action, place),
            Event::Settled(settled) => self.apply_settled(settled),
            Event::PeriodLock(lock) => self.apply_lock(lock),
            Event::Corrected(corrected) => {
                let outcome = outcome.ok_or(Misfit("correction without its body"))?;
                self.apply_corrected(corrected, outcome)
            }
            Event::Amended(amend) => self.apply_amend(amend, place),
            Event::Resolved(resolved) => self.apply_resolved(resolved),
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
                    self.date_moves += u32::from(self.business_date != Some(*date));
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
        self.name(class, text);
        Ok(())
    }

    /// Defines the next name of a class and makes room for what is kept by it. The caller has checked that there is some.
    pub(crate) fn name(&mut self, class: NameClass, text: &[u8]) {
        let id = self.names.define(class, text);
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
    }

    /// Applies a trade's event.
    ///
    /// # Errors
    /// As [`Self::apply`].
    #[inline]
    pub fn apply_trade(&mut self, event: &TradeEvent<'_>, place: Place) -> Result<(), Misfit> {
        match event.class {
            Class::Rejected | Class::Duplicate => return Ok(()),
            Class::Held | Class::Lapsed => return Err(Misfit("a trade of an amendment's class")),
            Class::Rebooked => return self.apply_rebooked(event),
            Class::Applied | Class::Provisional | Class::Forward | Class::Matured => {}
        }
        let number = self.position_for(event.input.account, event.input.instrument, event.position)?;
        self.leaving.clear();
        if event.input.kind == TradeKind::Transfer && event.class != Class::Forward {
            leaving_by_transfer(&self.lots, &self.positions[number as usize], event, &mut self.leaving);
        }
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
                self.forwards.insert(Forward { input: *event.input, position: number, sequence, address });
            }
            Class::Matured => {
                fits!(self.forwards.remove(event.input).is_some(), "matured trade was not waiting");
                position.forwards -= 1;
                position.forward_quantity_e8 -= event.input.signed_quantity_e8();
                position.forward_gross_e8 -= event.input.quantity_e8;
                if event.reason != Reason::None {
                    position.breaks += 1;
                    let digest = break_digest(event.input.hash, event.reason);
                    position.found_breaks(position.break_set.wrapping_add(digest));
                }
                // One that a correct has moved moves nothing here: the replay sends it where it belongs. One that is passed
                // over takes the frontier with it (rule 9).
                let is_passed_over = event.reason == Reason::Overflow;
                let is_booked = event.closed_quantity_e8 > 0 || event.opened_quantity_e8 > 0 || is_passed_over;
                if is_booked || event.input.kind == TradeKind::Transfer {
                    settle(&mut self.lots, &self.names, position, event)?;
                }
            }
            _ => settle(&mut self.lots, &self.names, position, event)?,
        }
        position.provisional += u32::from(event.late);
        self.sums.refresh(position);
        if event.adjusts {
            self.adjust(number, event.input.effective_date, PeriodFigures::of_trade(event));
        }
        if !self.leaving.is_empty() {
            self.send_leaving(number);
        }
        if event.class != Class::Forward
            && !is_passed_over(event)
            && event.input.kind == TradeKind::Trade
            && let Some(price_e8) = event.input.price()
        {
            let marks = &mut self.instruments[event.input.instrument as usize].marks;
            marks.traded(self.business_date, price_e8, &event.input.key());
        }
        Ok(())
    }

    pub(crate) fn position_for(&mut self, account: NameId, instrument: NameId, number: u32) -> Result<u32, Misfit> {
        if let Some(position) = self.positions.get(number as usize) {
            fits!(position.account == account, "position number names another account");
            fits!(position.instrument == instrument, "position number names another instrument");
            return Ok(number);
        }
        fits!(number as usize == self.positions.len(), "position numbers are not dense");
        fits!(number != NO_POSITION, "an applied trade without a position");
        fits!(self.positions.len() < self.limits.positions_max, "more positions than the book holds");
        fits!(account != NO_NAME, "a position without account");
        let key_hash = self.key_hash(account, instrument).ok_or(Misfit("undefined name"))?;
        let mut position = Position::new(account, instrument, key_hash);
        position.seen = self.actions.changes();
        self.add_position(position);
        Ok(number)
    }
}

/// Whether an accepted trade's event books nothing of it: at its place it would leave a range, or only the replay can
/// book it.
pub(crate) fn is_passed_over(event: &TradeEvent<'_>) -> bool {
    event.class == Class::Matured && event.closed_quantity_e8 == 0 && event.opened_quantity_e8 == 0
}

/// Moves lots and sums of one position as the event says.
pub(crate) fn settle(
    lots: &mut LotArena,
    names: &Names,
    position: &mut Position,
    event: &TradeEvent<'_>,
) -> Result<(), Misfit> {
    let input = &event.input;
    if input.is_after(&position.frontier) {
        position.frontier = input.key();
    }
    if is_passed_over(event) {
        return Ok(());
    }
    if !event.runs.is_empty() {
        take(lots, position, event)?;
    }
    position.quantity_e8 += input.moved_e8(event.closed_quantity_e8);
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
    Ok(())
}

/// Takes the runs out of the position's lots.
#[inline]
fn take(lots: &mut LotArena, position: &mut Position, event: &TradeEvent<'_>) -> Result<(), Misfit> {
    const MISFIT: Misfit = Misfit("the runs name lots that the position does not have");
    let (cost, base_cost) = (event.closed_cost_e16, event.closed_base_e16);
    let scope = match event.averaged {
        Averaged::No => {
            let gone = lots.take(&mut position.block, event.runs).map_err(|_| MISFIT)?;
            fits!(gone.quantity_e8 == event.closed_quantity_e8, "the runs take another quantity than the event says");
            fits!(gone.cost_e16 == cost, "the runs take another cost than the event says");
            fits!(gone.base_cost_e16 == base_cost, "the runs take another base cost than the event says");
            return Ok(());
        }
        Averaged::Position => None,
        Averaged::SubAccount => Some(event.input.sub_account),
    };
    let left = (position.cost_e16 - cost, position.base_cost_e16 - base_cost);
    let gone = lots.take_averaged(&mut position.block, event.runs, scope, (cost, base_cost), left);
    fits!(gone.map_err(|_| MISFIT)? == event.closed_quantity_e8, "the runs take another quantity than the event says");
    Ok(())
}

#[inline]
fn open(lots: &mut LotArena, names: &Names, position: &mut Position, event: &TradeEvent<'_>) -> Result<(), Misfit> {
    fits!(lots.can_apply_open(&position.block), "more lots than the book holds");
    let lot = Lot {
        origin: event.input.hash,
        quantity_e8: event.opened_quantity_e8,
        cost_e16: event.opened_cost_e16,
        base_cost_e16: event.opened_base_e16,
        price_e8: event.lot_price_e8,
        acquired: event.input.acquired(),
        sub_account: event.input.sub_account,
    };
    lots.open(&mut position.block, &lot, digest::lot_tag(position.key_hash, names, &lot));
    let is_first = position.block.len() == 1;
    position.oldest = if is_first { lot.acquired } else { position.oldest.min(lot.acquired) };
    Ok(())
}

fn enlarge(lots: &mut LotArena, names: &Names, position: &mut Position, event: &TradeEvent<'_>) -> Result<(), Misfit> {
    let index = lots.find(&position.block, event.input.lot).ok_or(Misfit("the lot to enlarge is not open"))?;
    let more = Gone {
        quantity_e8: event.opened_quantity_e8,
        cost_e16: event.opened_cost_e16,
        base_cost_e16: event.opened_base_e16,
    };
    let key_hash = position.key_hash;
    let tag = |lot: &Lot| digest::lot_tag(key_hash, names, lot);
    lots.enlarge(&mut position.block, index, &more, event.lot_price_e8, tag);
    Ok(())
}
