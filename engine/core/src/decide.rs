//! Decides: looks at one position and chooses. Changes nothing, so a decision can be dropped.

use crate::amount::{Money, ONE_E8, Overflow, add, are_far_from_the_end, convert, sub, unit};
use crate::book::{Book, NO_POSITION};
use crate::command::{Command, Mark, MarkKind, NO_CONSIDERATION, NO_PRICE, NameClass, Origin, Side};
use crate::command::{TradeInput, TradeKind, TradeType};
use crate::date::Date;
use crate::decide_amend::Target;
use crate::event::{Averaged, Class, Event, Reason, Run, TradeEvent};
use crate::forward::Forward;
use crate::id::{ChronoKey, NO_NAME, NameId, TradeHash};
use crate::limits::NAME_BYTES_MAX;
use crate::lots::{LotArena, LotBlock};
use crate::position::Position;
use crate::rules::{ContractBook, ContractTerms, LotMethod, LotScope, Rules};
pub use crate::select::Scratch;
use crate::select::{Choice, Wanted, Whose, select};
use crate::values::{self, Average, Closing, fees_e16};
use crate::wide_event::LockEvent;

mod booking;

pub use booking::Booked;
pub(crate) use booking::{BROKEN_CONTRACT, Ground, Legality, carried_rules, sums_fit};

impl From<Overflow> for Reason {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// What was decided about a trade; with the input and the runs in the scratch it is the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub class: Class,
    /// Why it is refused, or the break of a matured trade.
    pub reason: Reason,
    /// Position number, or [`NO_POSITION`].
    pub position: u32,
    /// Version after the event.
    pub version: u64,
    /// The position is PROVISIONAL.
    pub on_provisional: bool,
    /// Below the frontier: an estimate, until the coldpath has replayed.
    pub late: bool,
    /// Late by date, not only by time.
    pub backdated: bool,
    /// Dated in a closed period, and final.
    pub adjusts: bool,
    /// Figures.
    pub booked: Booked,
    /// The first event of a matured trade.
    pub first: Option<(u64, u64)>,
}

impl Decision {
    /// The event of this decision.
    #[must_use]
    pub fn event<'a>(&self, input: &'a TradeInput, origin: &Origin, scratch: &'a Scratch) -> TradeEvent<'a> {
        let moved = matches!(self.class, Class::Applied | Class::Provisional | Class::Matured | Class::Rebooked);
        self.event_with(input, origin, if moved { &scratch.runs } else { &[] })
    }

    /// The event of this decision, with these runs.
    pub(crate) fn event_with<'a>(&self, input: &'a TradeInput, origin: &Origin, runs: &'a [Run]) -> TradeEvent<'a> {
        let (first_sequence, first_address) = self.first.unwrap_or((0, u64::MAX));
        TradeEvent {
            input,
            origin: *origin,
            class: self.class,
            reason: self.reason,
            position: self.position,
            version: self.version,
            method: self.booked.method,
            on_provisional: self.on_provisional,
            late: self.late,
            backdated: self.backdated,
            adjusts: self.adjusts,
            closed_quantity_e8: self.booked.closed_quantity_e8,
            opened_quantity_e8: self.booked.opened_quantity_e8,
            opened_cost_e16: self.booked.opened_cost_e16,
            opened_base_e16: self.booked.opened_base_e16,
            lot_price_e8: self.booked.lot_price_e8,
            enlarges: self.booked.enlarges,
            averaged: self.booked.averaged,
            closed_cost_e16: self.booked.closed_cost_e16,
            closed_base_e16: self.booked.closed_base_e16,
            realized_e16: self.booked.realized_e16,
            realized_long_e16: self.booked.realized_long_e16,
            realized_base_e16: self.booked.realized_base_e16,
            first_class: self.class,
            first_sequence,
            first_address,
            runs,
        }
    }
}

/// Where a trade stands in time. A row each:
///
/// | row | effective date | key | class |
/// |---|---|---|---|
/// | F | after the business date | any | forward-dated |
/// | C | not after it, or none set | above the frontier | current |
/// | T | the frontier's date | not above the frontier | late within the day |
/// | B | before the frontier's date | not above the frontier | backdated |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Row F.
    Forward,
    /// Row C.
    Current,
    /// Row T.
    LateWithinDay,
    /// Row B.
    Backdated,
}

/// Classifies a trade against a frontier and the business date.
#[inline]
#[must_use]
pub fn timing(input: &TradeInput, frontier: &ChronoKey, business_date: Option<Date>) -> Timing {
    if business_date.is_some_and(|today| input.effective_date > today) {
        Timing::Forward
    } else if input.is_after(frontier) {
        Timing::Current
    } else if input.effective_date == frontier.date {
        Timing::LateWithinDay
    } else {
        Timing::Backdated
    }
}

/// What a trade must be to be one: rule 4.1.
fn form(input: &TradeInput) -> Result<(), Reason> {
    if input.quantity_e8 <= 0 {
        return Err(Reason::BadQuantity);
    }
    if input.price_e8 < 0 && input.price_e8 != NO_PRICE {
        return Err(Reason::BadPrice);
    }
    if input.fees_e8 < 0 {
        return Err(Reason::BadFees);
    }
    if input.consideration_e8 < 0 {
        let is_given = input.consideration_e8 != NO_CONSIDERATION;
        match input.kind {
            TradeKind::OpenLot => return Err(Reason::BadConsideration),
            TradeKind::Trade | TradeKind::Transfer if is_given => return Err(Reason::BadConsideration),
            TradeKind::Trade if input.price_e8 == NO_PRICE => return Err(Reason::BadPrice),
            TradeKind::Trade | TradeKind::Transfer => {}
        }
    }
    if input.fx_to_base_e8 <= 0 {
        return Err(Reason::BadRate);
    }
    if input.kind == TradeKind::Transfer && (input.to_account == NO_NAME || input.to_account == input.account) {
        return Err(Reason::BadTerms);
    }
    let acquired_later = input.acquired > input.effective_date;
    if input.effective_date == Date::NONE || acquired_later {
        return Err(Reason::BadDate);
    }
    Ok(())
}

impl Book {
    /// Decides one command. The event borrows the scratch for its runs and the command for its text.
    #[must_use]
    pub fn decide<'a>(&self, command: &'a Command, origin: &Origin, scratch: &'a mut Scratch) -> Event<'a> {
        let origin = *origin;
        match command {
            Command::Trade(input) => Event::Trade(self.decide_trade(input, scratch).event(input, &origin, scratch)),
            Command::Resolve(input) => Event::Resolved(self.decide_resolve(input, &origin)),
            // Who knows the ids knows the target: it asks `decide_amend` itself.
            Command::Amend(input) => {
                Event::Amended(self.decide_amend(input, Target::Unknown, scratch).event(input, &origin, scratch))
            }
            Command::Define { class, text } => {
                let (id, reason) = self.decide_name(*class, text.as_bytes());
                Event::Defined { origin, class: *class, id, reason, text: text.as_bytes() }
            }
            Command::Instrument(terms) => {
                Event::Instrument { origin, reason: self.decide_instrument(terms), terms: *terms }
            }
            Command::Contract(terms) => Event::Contract { origin, reason: self.decide_contract(terms), terms: *terms },
            Command::BusinessDate(date) => {
                let back = self.business_date.is_some_and(|today| *date < today);
                let reason = if back { Reason::BusinessDateBack } else { Reason::None };
                Event::BusinessDate { origin, reason, date: *date }
            }
            Command::Action(input) => Event::Action(self.decide_action(input, &origin)),
            Command::PeriodLock(input) => {
                Event::PeriodLock(LockEvent { origin, reason: self.decide_lock(input), input: *input })
            }
            Command::Mark(mark) => Event::Mark { origin, reason: self.decide_mark(mark), mark: *mark },
        }
    }

    /// Decides one trade.
    pub fn decide_trade(&self, input: &TradeInput, scratch: &mut Scratch) -> Decision {
        let number = self.find(input.account, input.instrument);
        let fresh;
        let position = match number {
            Some(number) => &self.positions[number as usize],
            None => {
                fresh = Position::new(input.account, input.instrument, 0);
                &fresh
            }
        };
        if let Err(reason) = self.admissible(input, number) {
            return self.refuse(input, reason);
        }
        let timing = timing(input, &position.frontier, self.business_date);
        let class = match timing {
            Timing::Forward => Class::Forward,
            Timing::Current => Class::Applied,
            Timing::LateWithinDay | Timing::Backdated => Class::Provisional,
        };
        let mut decision = Decision {
            class,
            reason: Reason::None,
            position: number.unwrap_or(self.positions.len() as u32),
            version: position.version + 1,
            on_provisional: position.provisional > 0
                || class == Class::Provisional
                || number.is_some_and(|number| self.depends_on_provisional(number)),
            late: class == Class::Provisional,
            backdated: timing == Timing::Backdated,
            adjusts: class == Class::Applied
                && position.provisional == 0
                && input.effective_date <= self.locks.latest()
                && input.effective_date <= self.locks.through(input.account),
            booked: Booked::NOTHING,
            first: None,
        };
        let fits = match class {
            Class::Forward => self.forward_fits(position, input),
            Class::Applied => self.book_on(position, input, Legality::Checked, &mut decision.booked, scratch),
            _ => self.book_on(position, input, Legality::Late, &mut decision.booked, scratch),
        };
        match fits {
            Ok(()) => decision,
            Err(reason) => {
                scratch.runs.clear();
                self.refuse(input, reason)
            }
        }
    }

    /// A refusal of a trade: changes nothing but is recorded.
    #[must_use]
    pub fn refuse(&self, input: &TradeInput, reason: Reason) -> Decision {
        let number = self.find(input.account, input.instrument);
        let position = number.map(|number| &self.positions[number as usize]);
        Decision {
            class: Class::Rejected,
            reason,
            position: number.unwrap_or(NO_POSITION),
            version: position.map_or(0, |p| p.version),
            on_provisional: position.is_some_and(|p| p.provisional > 0),
            late: false,
            backdated: false,
            adjusts: false,
            booked: Booked::NOTHING,
            first: None,
        }
    }

    /// Books a forward-dated trade whose date has come. It was accepted, so it is carried exactly; a
    /// rule that it breaks by now is named in the reason and makes the position PENDING.
    ///
    /// What would leave a range is passed over and is a break, too; what has no room in an event is left to the replay.
    ///
    /// # Errors
    /// `LOT_CAPACITY`: no room in the book. The trade then goes on waiting.
    pub fn decide_matured(&self, forward: &Forward, scratch: &mut Scratch) -> Result<Decision, Reason> {
        let position = &self.positions[forward.position as usize];
        let own = (position.account, position.instrument);
        let moved = self.amendments.effective_of(forward.input.hash).is_some_and(|effective| effective.of(own) != own);
        // What belongs elsewhere by then goes there by the replay.
        // Trades may have been booked at later dates before the first business date was set.
        let is_below = forward.input.key() <= position.frontier;
        let mut booked = Booked::NOTHING;
        let (booked, late) = match self.book_on(position, &forward.input, Legality::Carried, &mut booked, scratch) {
            Ok(()) if !moved => (booked, is_below),
            Err(Reason::Overflow) if !moved => (Booked { broke: Reason::Overflow, ..Booked::NOTHING }, is_below),
            Err(Reason::LotCapacity) if !moved => return Err(Reason::LotCapacity),
            Ok(_) | Err(_) => (Booked::NOTHING, true),
        };
        if booked.closed_quantity_e8 == 0 {
            scratch.runs.clear();
        }
        Ok(Decision {
            class: Class::Matured,
            reason: booked.broke,
            position: forward.position,
            version: position.version + 1,
            on_provisional: position.provisional > 0 || late,
            late,
            backdated: late && forward.input.effective_date < position.frontier.date,
            // What was due was booked before any lock was granted.
            adjusts: false,
            booked,
            first: Some((forward.sequence, forward.address)),
        })
    }

    fn book_on(
        &self,
        position: &Position,
        input: &TradeInput,
        legality: Legality,
        booked: &mut Booked,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        let (rules, broke) = carried_rules(&self.contracts, input);
        if broke != Reason::None && legality != Legality::Carried {
            return Err(broke);
        }
        let date = input.effective_date;
        let locked = self.is_locked(input.account, date, rules);
        if legality != Legality::Carried && (locked || self.refuses_at((input.to_account, input.instrument), date)) {
            return Err(Reason::PeriodLocked);
        }
        self.ground(position).book_into(booked, rules, input, legality, scratch)?;
        if broke != Reason::None {
            booked.broke = BROKEN_CONTRACT;
        }
        sums_fit(position, input, booked)?;
        if booked.opened_quantity_e8 > 0 && !booked.enlarges && !self.lots.can_open(&position.block) {
            return Err(Reason::LotCapacity);
        }
        Ok(())
    }

    pub(crate) fn ground<'a>(&'a self, position: &'a Position) -> Ground<'a> {
        Ground {
            quantity_e8: position.quantity_e8,
            lots: &self.lots,
            block: &position.block,
            cost: (position.cost_e16, position.base_cost_e16),
            oldest: position.oldest,
            multiplier_e8: self.instruments[position.instrument as usize].terms.multiplier_e8,
        }
    }

    fn forward_fits(&self, position: &Position, input: &TradeInput) -> Result<(), Reason> {
        self.contracts.in_force(input.account, input.instrument, input.contract, input.effective_date)?;
        // Of the magnitudes: they mature by date and not in the order in which they were added up.
        position.forward_gross_e8.checked_add(input.quantity_e8).ok_or(Reason::Overflow)?;
        if self.forwards.has_room() { Ok(()) } else { Err(Reason::ForwardCapacity) }
    }

    fn admissible(&self, input: &TradeInput, number: Option<u32>) -> Result<(), Reason> {
        // The gate refuses these with better words; the core holds its own invariants all the same.
        form(input)?;
        if number.is_none() && self.key_hash(input.account, input.instrument).is_none() {
            return Err(Reason::UnknownName);
        }
        let currency = self.instruments[input.instrument as usize].terms.currency;
        if input.currency != currency && input.currency != NO_NAME && currency != NO_NAME {
            return Err(Reason::CurrencyMismatch);
        }
        if number.is_none() && self.positions.len() == self.limits.positions_max {
            return Err(Reason::PositionCapacity);
        }
        if input.to_account != NO_NAME { self.leg_room() } else { Ok(()) }
    }

    /// Whether something more may be accepted that moves lots from one position to another.
    pub(crate) fn leg_room(&self) -> Result<(), Reason> {
        if self.legs.sent_len() < self.limits.legs_max { Ok(()) } else { Err(Reason::LegCapacity) }
    }

    fn decide_name(&self, class: NameClass, text: &[u8]) -> (NameId, Reason) {
        if let Some(id) = self.names.find(class, text) {
            return (id, Reason::None);
        }
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return (NO_NAME, Reason::UnknownName);
        }
        if !self.names.has_room(class) {
            return (NO_NAME, Reason::NameCapacity);
        }
        (self.names.len(class) as NameId, Reason::None)
    }

    fn decide_instrument(&self, terms: &crate::command::InstrumentTerms) -> Reason {
        let Some(held) = self.instruments.get(terms.instrument as usize) else { return Reason::UnknownName };
        if terms.multiplier_e8 <= 0 || terms.tick_e8 < 0 || terms.price_min_e8 < 0 || terms.price_max_e8 < 0 {
            return Reason::BadTerms;
        }
        // The multiplier is in the cost of every open lot and in every replay of the past.
        let traded = || self.positions.iter().any(|p| p.instrument == terms.instrument);
        if held.terms.multiplier_e8 != terms.multiplier_e8 && !self.is_settled && traded() {
            return Reason::BadTerms;
        }
        Reason::None
    }

    fn decide_contract(&self, terms: &ContractTerms) -> Reason {
        let known = |class, id| id == NO_NAME || self.names.text(class, id).is_some();
        if !known(NameClass::Account, terms.account)
            || !known(NameClass::Instrument, terms.instrument)
            || self.names.text(NameClass::Contract, terms.contract).is_none()
        {
            return Reason::UnknownName;
        }
        if !known(NameClass::Account, terms.rules.taxpayer) {
            return Reason::UnknownName;
        }
        if !terms.rules.are_valid() {
            return Reason::BadTerms;
        }
        if self.contracts.repeats(terms) {
            return Reason::None;
        }
        if !self.contracts.has_room() {
            return Reason::ContractCapacity;
        }
        if !self.actions.has_room_for_change() {
            return Reason::ActionCapacity;
        }
        if self.is_contract_locked(terms) { Reason::PeriodLocked } else { Reason::None }
    }

    fn decide_mark(&self, mark: &Mark) -> Reason {
        if self.instruments.get(mark.instrument as usize).is_none() {
            return Reason::UnknownName;
        }
        let crossed = mark.kind == MarkKind::BidAsk && mark.ask_e8 < mark.price_e8;
        if mark.price_e8 < 0 || mark.ask_e8 < 0 || crossed { Reason::BadPrice } else { Reason::None }
    }
}
