//! Lots that arrive from another position: deciding on a leg at its target, and applying it there.
//!
//! An arrival is not asked whether it may come: where it does not fit it is booked all the same and is a break.
//! `docs/rules.md`, section 16.

use alloc::vec::Vec;

use crate::amend_event::break_digest;
use crate::amount::{Money, ONE_E8, Overflow, share, sub, unit};
use crate::apply::{Misfit, settle};
use crate::book::Book;
use crate::closed::PeriodFigures;
use crate::command::{NO_PRICE, Origin, Side, TradeInput, TradeKind};
use crate::decide::{Booked, Decision, Ground, Legality, Scratch, sums_fit};
use crate::event::{Class, Reason, Run, TradeEvent};
use crate::id::NO_NAME;
use crate::legs::{Due, Leg, Sending};
use crate::lots::LotArena;
use crate::names::Names;
use crate::outcome::Allocation;
use crate::position::Position;
use crate::replay::SeenArrival;
use crate::rules::{LotMethod, Rules};
use crate::values::{Average, Closing, taken};

/// A leg has arrived at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivedEvent<'a> {
    /// Where it came from.
    pub origin: Origin,
    /// The target's number.
    pub position: u32,
    /// The target's version after this event.
    pub version: u64,
    /// What arrived.
    pub due: Due,
    /// Its place is at or below the frontier, or what was there changes: an estimate, until the coldpath has replayed.
    pub late: bool,
    /// The position was PROVISIONAL when this was decided, or is by it.
    pub on_provisional: bool,
    /// The rule that it breaks at its place.
    pub reason: Reason,
    /// It moves lots or figures; else it only changes status and frontier.
    pub books: bool,
    /// What it did.
    pub booked: Booked,
    /// Which lots of the other side it took, by index into the target's lots.
    pub runs: &'a [Run],
}

impl ArrivedEvent<'_> {
    /// What it added to the position's totals: what a break realized.
    #[must_use]
    pub fn figures(&self) -> PeriodFigures {
        if !self.books {
            return PeriodFigures::default();
        }
        let Booked { realized_e16, realized_long_e16: long_e16, realized_base_e16: base_e16, .. } = self.booked;
        PeriodFigures { realized_e16, long_e16, base_e16, ..PeriodFigures::default() }
    }
}

impl Leg {
    /// The leg in the words of an opening lot. The costs are beside it, for they have more digits than words have.
    pub(crate) fn as_input(&self) -> TradeInput {
        TradeInput {
            hash: self.lot.origin,
            account: self.account,
            instrument: self.instrument,
            side: if self.is_long { Side::Buy } else { Side::Sell },
            kind: TradeKind::OpenLot,
            quantity_e8: self.lot.quantity_e8,
            sub_account: self.lot.sub_account,
            acquired: self.lot.acquired,
            effective_date: self.key.date,
            ..TradeInput::EMPTY
        }
    }
}

impl Ground<'_> {
    /// Books what arrives on this ground. The runs are left in the scratch.
    pub(crate) fn book_arrival(&self, rules: &Rules, leg: &Leg, scratch: &mut Scratch) -> Result<Booked, Reason> {
        scratch.runs.clear();
        let (lot, input) = (&leg.lot, leg.as_input());
        let is_opposite = self.quantity_e8 != 0 && (self.quantity_e8 > 0) != leg.is_long;
        let held_e8 = self.quantity_e8.checked_abs().ok_or(Reason::Overflow)?;
        let closed_e8 = if is_opposite { lot.quantity_e8.min(held_e8) } else { 0 };
        let opened_e8 = lot.quantity_e8 - closed_e8;
        let mut booked = Booked {
            method: rules.method,
            closed_quantity_e8: closed_e8,
            opened_quantity_e8: opened_e8,
            broke: if is_opposite { Reason::OppositeSide } else { Reason::None },
            ..Booked::NOTHING
        };
        let closed = |total: Money| if closed_e8 == 0 { 0 } else { share(total, closed_e8, lot.quantity_e8) };
        let (value, base_value) = (closed(lot.cost_e16), closed(lot.base_cost_e16));
        if closed_e8 > 0 {
            let price_e8 = match rules.method {
                LotMethod::MinTax => unit(lot.cost_e16, lot.quantity_e8, self.multiplier_e8)?,
                // Nothing ranks by it, so it is held to no range.
                _ => 0,
            };
            self.close_by(rules, &TradeInput { price_e8, ..input }, (value, base_value), &mut booked, scratch)?;
        }
        if opened_e8 > 0 {
            booked.opened_cost_e16 = sub(lot.cost_e16, value)?;
            booked.opened_base_e16 = sub(lot.base_cost_e16, base_value)?;
            booked.lot_price_e8 = match lot.price_e8 {
                price_e8 if price_e8 != NO_PRICE && closed_e8 == 0 => price_e8,
                _ => unit(booked.opened_cost_e16, opened_e8, self.multiplier_e8)?,
            };
        }
        Ok(booked)
    }

    /// Closes lots of the other side at a value that is a cost.
    fn close_by(
        &self,
        rules: &Rules,
        input: &TradeInput,
        (value, base_value): (Money, Money),
        booked: &mut Booked,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        let choice = self.choose(rules, input, Legality::Carried, booked, scratch)?;
        booked.averaged = choice.averaged;
        (booked.closed_cost_e16, booked.closed_base_e16) = (choice.cost_e16, choice.base_cost_e16);
        let is_long = self.quantity_e8 > 0;
        let gain = |value, cost| if is_long { sub(value, cost) } else { sub(cost, value) };
        booked.realized_e16 = gain(value, choice.cost_e16)?;
        booked.realized_base_e16 = gain(base_value, choice.base_cost_e16)?;
        if is_long {
            // A value that is given as a whole is shared by quantity.
            let whole = TradeInput { price_e8: NO_PRICE, consideration_e8: 0, ..*input };
            booked.realized_long_e16 = self.long_term(rules, &whole, value, booked, scratch)?;
            sub(booked.realized_e16, booked.realized_long_e16)?;
        }
        Ok(())
    }
}

/// What an arrival takes of lots of the other side; its value is attributed to them as a consideration is.
///
/// # Errors
/// [`Overflow`]: never for an arrival that was decided.
pub(crate) fn closed_by(seen: &SeenArrival<'_>) -> Result<Vec<Allocation>, Overflow> {
    let SeenArrival { leg, rules, position, lots, booked, runs } = *seen;
    let mut found = Vec::new();
    let Some(booked) = booked.filter(|booked| booked.closed_quantity_e8 > 0) else { return Ok(found) };
    let (quantity_e8, cost, base_cost) = (booked.closed_quantity_e8, booked.closed_cost_e16, booked.closed_base_e16);
    let parts = taken(lots, &position.block, runs, Average::of(booked.averaged, quantity_e8, cost, base_cost));
    let is_long = position.quantity_e8 > 0;
    let closing = Closing {
        input: &TradeInput { price_e8: NO_PRICE, consideration_e8: 0, ..leg.as_input() },
        // Nothing is valued by a price.
        multiplier_e8: ONE_E8,
        is_long,
        quantity_e8,
        value_e16: share(leg.lot.cost_e16, quantity_e8, leg.lot.quantity_e8),
        realized_e16: booked.realized_e16,
    };
    let until = rules.long_term_until(leg.key.date);
    closing.allocate(parts, |part, realized_e16| {
        found.push(part.allocation(realized_e16, is_long && part.lot.acquired <= until));
    })?;
    Ok(found)
}

impl Book {
    /// Decides on a leg at its target. `None`: the book has no room for another position.
    #[must_use]
    pub fn decide_arrived<'a>(&self, due: &Due, origin: &Origin, scratch: &'a mut Scratch) -> Option<ArrivedEvent<'a>> {
        let leg = &due.leg;
        let fresh;
        let number = self.find(leg.account, leg.instrument);
        let position = match number {
            Some(number) => &self.positions[number as usize],
            None if self.positions.len() == self.limits.positions_max => return None,
            None => {
                fresh = Position::new(leg.account, leg.instrument, 0);
                &fresh
            }
        };
        scratch.runs.clear();
        // A moved trade is booked by the replay, and so shows in a correction here as it does where it came from.
        let is_late = due.sending != Sending::New || leg.trade.is_some() || leg.key <= position.frontier;
        // What was estimated before is corrected by the replay alone.
        let booked = match due.sending {
            Sending::New if leg.trade.is_none() => self.book_arrival_on(position, leg, scratch),
            Sending::New | Sending::Instead | Sending::Withdrawn => Err(Reason::None),
        };
        if booked.is_err() {
            scratch.runs.clear();
        }
        let (late, reason) = match booked {
            Ok(booked) if !is_late => (false, booked.broke),
            Err(Reason::Overflow) if !is_late => (false, Reason::Overflow),
            Ok(_) => (true, Reason::None),
            Err(_) => (true, Reason::None),
        };
        Some(ArrivedEvent {
            origin: *origin,
            position: number.unwrap_or(self.positions.len() as u32),
            version: position.version + 1,
            due: *due,
            late,
            on_provisional: position.provisional > 0 || late,
            reason,
            books: booked.is_ok(),
            booked: booked.unwrap_or(Booked::NOTHING),
            runs: &scratch.runs,
        })
    }

    fn book_arrival_on(&self, position: &Position, leg: &Leg, scratch: &mut Scratch) -> Result<Booked, Reason> {
        let rules =
            self.contracts.in_force(leg.account, leg.instrument, NO_NAME, leg.key.date).unwrap_or(&Rules::DEFAULT);
        let multiplier_e8 = self.instruments[leg.instrument as usize].terms.multiplier_e8;
        let ground = Ground {
            quantity_e8: position.quantity_e8,
            lots: &self.lots,
            block: &position.block,
            cost: (position.cost_e16, position.base_cost_e16),
            oldest: position.oldest,
            multiplier_e8,
        };
        let booked = ground.book_arrival(rules, leg, scratch)?;
        sums_fit(position, &leg.as_input(), &booked)?;
        if booked.opened_quantity_e8 > 0 && !self.lots.can_open(&position.block) {
            return Err(Reason::LotCapacity);
        }
        Ok(booked)
    }

    /// Applies what arrived.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_arrived(&mut self, event: &ArrivedEvent<'_>) -> Result<(), Misfit> {
        let leg = &event.due.leg;
        let number = self.position_for(leg.account, leg.instrument, event.position)?;
        if !self.legs.arrive(&event.due, number, &self.names) {
            return Err(Misfit("what arrived is not what is due"));
        }
        let position = &mut self.positions[number as usize];
        if event.version != position.version + 1 {
            return Err(Misfit("version is not the next one"));
        }
        if event.books {
            settle_arrival(&mut self.lots, &self.names, position, leg, &event.booked, event.runs)?;
        }
        if !event.late {
            if leg.key <= position.frontier {
                return Err(Misfit("an arrival that is late and not marked so"));
            }
            position.frontier = leg.key;
        }
        position.version = event.version;
        position.provisional += u32::from(event.late);
        if event.reason != Reason::None {
            position.breaks += 1;
            let digest = break_digest(leg.key.hash, event.reason);
            position.found_breaks(position.break_set.wrapping_add(digest));
        }
        self.sums.refresh(position);
        if !event.late && position.provisional == 0 {
            self.adjust(number, leg.key.date, event.figures());
        }
        Ok(())
    }

    /// What is on its way between positions.
    #[must_use]
    pub fn legs(&self) -> &crate::legs::Legs {
        &self.legs
    }
}

/// Moves lots and sums of one position as was decided; the frontier is the caller's.
///
/// # Errors
/// [`Misfit`].
pub(crate) fn settle_arrival(
    lots: &mut LotArena,
    names: &Names,
    position: &mut Position,
    leg: &Leg,
    booked: &Booked,
    runs: &[Run],
) -> Result<(), Misfit> {
    let frontier = position.frontier;
    settle(lots, names, position, &as_event(&leg.as_input(), booked, runs))?;
    position.frontier = frontier;
    Ok(())
}

/// What no trade moves, as the event of one, for what books trades: it has no id of its own.
pub(crate) fn as_event<'a>(input: &'a TradeInput, booked: &Booked, runs: &'a [Run]) -> TradeEvent<'a> {
    let decision = Decision {
        class: Class::Applied,
        reason: Reason::None,
        position: 0,
        version: 0,
        on_provisional: false,
        late: false,
        backdated: false,
        adjusts: false,
        booked: *booked,
        first: None,
    };
    decision.event_with(input, &Origin::INTERNAL, runs)
}
