//! Decides: looks at one position and chooses. Changes nothing, so a decision can be dropped.

use crate::amount::{Money, Overflow, add, convert, sub, unit};
use crate::book::{Book, NO_POSITION};
use crate::command::{Command, Mark, MarkKind, NO_CONSIDERATION, NO_PRICE, NameClass, Origin, Side};
use crate::command::{TradeInput, TradeKind, TradeType};
use crate::date::Date;
use crate::event::{Class, Event, Reason, Run, TradeEvent};
use crate::forward::Forward;
use crate::id::{ChronoKey, NO_NAME, NameId, TradeHash};
use crate::limits::NAME_BYTES_MAX;
use crate::lots::{LotArena, LotBlock};
use crate::position::Position;
use crate::rules::{ContractTerms, LotMethod, Rules};
pub use crate::select::Scratch;
use crate::select::select;
use crate::values::{self, Closing, fees_e16};
use crate::wide_event::LockEvent;

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
    pub fn event<'a>(&self, input: &TradeInput, origin: &Origin, scratch: &'a Scratch) -> TradeEvent<'a> {
        self.with_runs(input, origin, &scratch.runs)
    }

    /// The event of this decision with these runs.
    pub(crate) fn with_runs<'a>(&self, input: &TradeInput, origin: &Origin, runs: &'a [Run]) -> TradeEvent<'a> {
        let (first_sequence, first_address) = self.first.unwrap_or((0, u64::MAX));
        let moved = matches!(self.class, Class::Applied | Class::Provisional | Class::Matured);
        TradeEvent {
            input: *input,
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
            closed_cost_e16: self.booked.closed_cost_e16,
            closed_base_e16: self.booked.closed_base_e16,
            realized_e16: self.booked.realized_e16,
            realized_long_e16: self.booked.realized_long_e16,
            realized_base_e16: self.booked.realized_base_e16,
            first_class: self.class,
            first_sequence,
            first_address,
            runs: if moved { runs } else { &[] },
        }
    }
}

/// Figures of a booking; each is what the field of its name in [`TradeEvent`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Lot method used.
    pub method: LotMethod,
    /// Quantity that closes lots.
    pub closed_quantity_e8: i64,
    /// Quantity of the lot that opens.
    pub opened_quantity_e8: i64,
    /// Cost of that quantity.
    pub opened_cost_e16: Money,
    /// Base cost of that quantity.
    pub opened_base_e16: Money,
    /// Price of the lot that opens or is enlarged.
    pub lot_price_e8: i64,
    /// The named lot is enlarged.
    pub enlarges: bool,
    /// Cost of the closed lots and parts.
    pub closed_cost_e16: Money,
    /// Base cost of the closed lots and parts.
    pub closed_base_e16: Money,
    /// Realized.
    pub realized_e16: Money,
    /// The long-term part.
    pub realized_long_e16: Money,
    /// Realized in base currency.
    pub realized_base_e16: Money,
    /// The rule that a carried trade breaks.
    pub broke: Reason,
}

impl Booked {
    /// Nothing was booked.
    pub const NOTHING: Self = Self {
        method: LotMethod::Fifo,
        closed_quantity_e8: 0,
        opened_quantity_e8: 0,
        opened_cost_e16: 0,
        opened_base_e16: 0,
        lot_price_e8: 0,
        enlarges: false,
        closed_cost_e16: 0,
        closed_base_e16: 0,
        realized_e16: 0,
        realized_long_e16: 0,
        realized_base_e16: 0,
        broke: Reason::None,
    };
}

/// How strictly a trade is held against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legality {
    /// A trade at the frontier: every rule.
    Checked,
    /// A late trade: what it would do at its own place is not known yet, so side qualifier, trade type
    /// and named lot are left to the replay; the quantity is held against the position as it stands.
    Late,
    /// An accepted trade: booked exactly, whatever rule it breaks; the rule is named.
    Carried,
}

/// What a trade would do to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Opens,
    Increases,
    Decreases,
    Flips,
}

/// The ground on which a trade is booked: one position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    pub quantity_e8: i64,
    pub lots: &'a LotArena,
    pub block: &'a LotBlock,
    /// No lot is held for longer than since this date.
    pub oldest: Date,
    pub multiplier_e8: i64,
}

impl Ground<'_> {
    fn effect(&self, input: &TradeInput) -> Effect {
        let (held, moved) = (self.quantity_e8, input.signed_quantity_e8());
        if held == 0 {
            Effect::Opens
        } else if (held > 0) == (moved > 0) {
            Effect::Increases
        } else if moved.unsigned_abs() <= held.unsigned_abs() {
            Effect::Decreases
        } else {
            Effect::Flips
        }
    }

    /// The first rule that the trade breaks here.
    fn illegality(&self, effect: Effect, rules: &Rules, input: &TradeInput) -> Reason {
        if input.kind == TradeKind::OpenLot && matches!(effect, Effect::Decreases | Effect::Flips) {
            return Reason::OppositeSide;
        }
        let kind_fits = match input.trade_type {
            TradeType::Any => true,
            TradeType::NewTrade => matches!(effect, Effect::Opens | Effect::Increases),
            TradeType::Increase => effect == Effect::Increases,
            TradeType::Decrease => effect == Effect::Decreases,
        };
        let side_fits = match input.side {
            Side::Buy | Side::Sell => true,
            Side::SellShort => self.quantity_e8 <= 0,
            Side::BuyToCover => effect == Effect::Decreases,
        };
        if !kind_fits || !side_fits {
            return Reason::TradeTypeMismatch;
        }
        self.oversell(effect, rules, input)
    }

    fn oversell(&self, effect: Effect, rules: &Rules, input: &TradeInput) -> Reason {
        let opens_short = effect != Effect::Decreases && input.side.sign() < 0;
        if opens_short && !rules.allow_short { Reason::Oversell } else { Reason::None }
    }

    /// Books a trade on this ground. The runs are left in the scratch.
    pub(crate) fn book(
        &self,
        rules: &Rules,
        input: &TradeInput,
        legality: Legality,
        scratch: &mut Scratch,
    ) -> Result<Booked, Reason> {
        scratch.runs.clear();
        let effect = self.effect(input);
        let broke = match legality {
            Legality::Late => self.oversell(effect, rules, input),
            Legality::Checked | Legality::Carried => self.illegality(effect, rules, input),
        };
        if broke != Reason::None && legality != Legality::Carried {
            return Err(broke);
        }
        let closes = matches!(effect, Effect::Decreases | Effect::Flips);
        let closed_quantity_e8 =
            if closes { input.quantity_e8.min(self.quantity_e8.checked_abs().ok_or(Reason::Overflow)?) } else { 0 };
        let opened_quantity_e8 = input.quantity_e8 - closed_quantity_e8;
        let mut booked =
            Booked { method: rules.method, closed_quantity_e8, opened_quantity_e8, broke, ..Booked::NOTHING };
        let value = values::values(input, closed_quantity_e8, self.multiplier_e8)?;
        let fees = values::fees(input, rules, closed_quantity_e8);
        if closes {
            self.close(rules, input, legality, (value.closed, fees.closed), &mut booked, scratch)?;
        }
        if opened_quantity_e8 > 0 {
            let cost =
                if input.side.sign() > 0 { add(value.opened, fees.opened)? } else { sub(value.opened, fees.opened)? };
            booked.opened_cost_e16 = cost;
            booked.opened_base_e16 = convert(cost, input.fx_to_base_e8)?;
            self.open(rules, input, effect, legality, &mut booked)?;
        }
        Ok(booked)
    }

    /// The closed part: which lots, at what cost, and what it realizes.
    fn close(
        &self,
        rules: &Rules,
        input: &TradeInput,
        legality: Legality,
        (value_e16, fees_e16): (Money, Money),
        booked: &mut Booked,
        scratch: &mut Scratch,
    ) -> Result<(), Reason> {
        let flips_by_lot = input.lot != TradeHash::NONE && booked.opened_quantity_e8 > 0;
        let taken =
            if flips_by_lot { Err(Reason::LotTooSmall) } else { self.take(rules.method, input.lot, booked, scratch) };
        booked.closed_cost_e16 = match (taken, legality) {
            (Err(reason @ (Reason::UnknownLot | Reason::LotTooSmall)), Legality::Carried | Legality::Late) => {
                // A late trade's lot may be used up by now and open at its place: the estimate takes others.
                if booked.broke == Reason::None {
                    booked.broke = reason;
                }
                self.take(rules.method, TradeHash::NONE, booked, scratch)?
            }
            (taken, _) => taken?,
        };
        let is_long = self.quantity_e8 > 0;
        let cost = booked.closed_cost_e16;
        let gross = if is_long { sub(value_e16, cost)? } else { sub(cost, value_e16)? };
        booked.realized_e16 = sub(gross, fees_e16)?;
        let rate = input.fx_to_base_e8;
        booked.closed_base_e16 = values::base_cost_taken(self.lots, self.block, &scratch.runs, cost);
        booked.realized_base_e16 = values::realized_base(rate, is_long, value_e16, fees_e16, booked.closed_base_e16)?;
        // The FX part is shown as the difference.
        sub(booked.realized_base_e16, values::market_part(booked.realized_e16, rate)?)?;
        if is_long && values::may_be_long_term(rules, self.oldest, input.effective_date) {
            booked.realized_long_e16 = self.long_term(rules, input, value_e16, booked, scratch)?;
            // The short-term part is shown as the difference.
            sub(booked.realized_e16, booked.realized_long_e16)?;
        }
        Ok(())
    }

    /// What the lots that are long-term on the trade's date realize.
    #[cold]
    fn long_term(
        &self,
        rules: &Rules,
        input: &TradeInput,
        value_e16: Money,
        booked: &Booked,
        scratch: &Scratch,
    ) -> Result<Money, Overflow> {
        let until = rules.long_term_until(input.effective_date);
        let closing = Closing {
            input,
            multiplier_e8: self.multiplier_e8,
            is_long: true,
            quantity_e8: booked.closed_quantity_e8,
            value_e16,
            realized_e16: booked.realized_e16,
        };
        let mut long = 0;
        closing.allocate(values::taken(self.lots, self.block, &scratch.runs), |part, realized| {
            if part.lot.acquired <= until {
                long += realized;
            }
        })?;
        add(long, 0)
    }

    /// The opened part: a lot of its own, or more of the one that is named.
    fn open(
        &self,
        rules: &Rules,
        input: &TradeInput,
        effect: Effect,
        legality: Legality,
        booked: &mut Booked,
    ) -> Result<(), Reason> {
        if input.lot != TradeHash::NONE && effect != Effect::Flips {
            match self.enlarge(input, effect, booked)? {
                Some(price_e8) => {
                    booked.lot_price_e8 = price_e8;
                    booked.enlarges = true;
                    return Ok(());
                }
                None => match legality {
                    Legality::Checked => return Err(Reason::UnknownLot),
                    // At its own place the lot may be open: the estimate opens another one.
                    Legality::Late => {}
                    Legality::Carried if booked.broke == Reason::None => booked.broke = Reason::UnknownLot,
                    Legality::Carried => {}
                },
            }
        }
        let (cost, quantity) = (booked.opened_cost_e16, booked.opened_quantity_e8);
        booked.lot_price_e8 = values::lot_price(input, rules, cost, quantity, self.multiplier_e8)?;
        Ok(())
    }

    /// The price that the named lot has after it was enlarged; `None` where it is not to be had.
    fn enlarge(&self, input: &TradeInput, effect: Effect, booked: &Booked) -> Result<Option<i64>, Reason> {
        if effect != Effect::Increases || input.trade_type == TradeType::NewTrade {
            return Ok(None);
        }
        let Some(index) = self.lots.find(self.block, input.lot) else { return Ok(None) };
        let lot = self.lots.get(self.block, index);
        let quantity_e8 = lot.quantity_e8.checked_add(booked.opened_quantity_e8).ok_or(Reason::Overflow)?;
        let cost_e16 = add(lot.cost_e16, booked.opened_cost_e16)?;
        add(lot.base_cost_e16, booked.opened_base_e16)?;
        Ok(Some(unit(cost_e16, quantity_e8, self.multiplier_e8)?))
    }

    fn take(&self, method: LotMethod, lot: TradeHash, booked: &Booked, scratch: &mut Scratch) -> Result<Money, Reason> {
        select(self.lots, self.block, method, lot, booked.closed_quantity_e8, scratch)
    }
}

/// Whether a position's sums stay in range with this booking.
pub(crate) fn sums_fit(position: &Position, input: &TradeInput, booked: &Booked) -> Result<(), Reason> {
    let quantity = position.quantity_e8.checked_add(input.signed_quantity_e8()).ok_or(Reason::Overflow)?;
    // The most negative number has no magnitude of its own type.
    quantity.checked_abs().ok_or(Reason::Overflow)?;
    let realized = add(position.realized_e16, booked.realized_e16)?;
    let long = add(position.realized_long_e16, booked.realized_long_e16)?;
    // The short-term part is shown as the difference.
    sub(realized, long)?;
    add(position.realized_base_e16, booked.realized_base_e16)?;
    add(sub(position.cost_e16, booked.closed_cost_e16)?, booked.opened_cost_e16)?;
    add(sub(position.base_cost_e16, booked.closed_base_e16)?, booked.opened_base_e16)?;
    add(position.fees_e16, fees_e16(input))?;
    Ok(())
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

/// Classifies a key against a frontier and the business date.
#[must_use]
pub fn timing(key: &ChronoKey, frontier: &ChronoKey, business_date: Option<Date>) -> Timing {
    if business_date.is_some_and(|today| key.date > today) {
        Timing::Forward
    } else if key > frontier {
        Timing::Current
    } else if key.date == frontier.date {
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
            TradeKind::Trade if is_given => return Err(Reason::BadConsideration),
            TradeKind::Trade if input.price_e8 == NO_PRICE => return Err(Reason::BadPrice),
            TradeKind::Trade => {}
        }
    }
    if input.fx_to_base_e8 <= 0 {
        return Err(Reason::BadRate);
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
        let refusal = |reason| self.refuse(input, reason);
        if let Err(reason) = self.admissible(input, number) {
            return refusal(reason);
        }
        let timing = timing(&input.key(), &position.frontier, self.business_date);
        let accepted = |class, booked| Decision {
            class,
            reason: Reason::None,
            position: number.unwrap_or(self.positions.len() as u32),
            version: position.version + 1,
            on_provisional: position.provisional > 0 || class == Class::Provisional,
            late: class == Class::Provisional,
            backdated: timing == Timing::Backdated,
            adjusts: class == Class::Applied
                && position.provisional == 0
                && input.effective_date <= self.locks.latest()
                && input.effective_date <= self.locks.through(input.account),
            booked,
            first: None,
        };
        if timing == Timing::Forward {
            return match self.forward_fits(position, input) {
                Ok(()) => accepted(Class::Forward, Booked::NOTHING),
                Err(reason) => refusal(reason),
            };
        }
        let (class, legality) = match timing {
            Timing::Current => (Class::Applied, Legality::Checked),
            _ => (Class::Provisional, Legality::Late),
        };
        match self.book_on(position, input, legality, scratch) {
            Ok(booked) => accepted(class, booked),
            Err(reason) => {
                scratch.runs.clear();
                refusal(reason)
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
    /// # Errors
    /// What cannot be booked exactly: an overflow, or no room. The trade then goes on waiting.
    pub fn decide_matured(&self, forward: &Forward, scratch: &mut Scratch) -> Result<Decision, Reason> {
        let position = &self.positions[forward.position as usize];
        let booked = self.book_on(position, &forward.input, Legality::Carried, scratch)?;
        // Trades may have been booked at later dates before the first business date was set.
        let late = forward.input.key() <= position.frontier;
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
        scratch: &mut Scratch,
    ) -> Result<Booked, Reason> {
        let rules = self.contracts.in_force(input.account, input.instrument, input.contract, input.effective_date);
        let rules = match (rules, legality) {
            (Ok(rules), _) => rules,
            (Err(_), Legality::Carried) => Rules::DEFAULT,
            (Err(reason), _) => return Err(reason),
        };
        if legality != Legality::Carried && self.is_locked(input.account, input.effective_date, &rules) {
            return Err(Reason::PeriodLocked);
        }
        let ground = Ground {
            quantity_e8: position.quantity_e8,
            lots: &self.lots,
            block: &position.block,
            oldest: position.oldest,
            multiplier_e8: self.instruments[input.instrument as usize].terms.multiplier_e8,
        };
        let booked = ground.book(&rules, input, legality, scratch)?;
        sums_fit(position, input, &booked)?;
        if booked.opened_quantity_e8 > 0 && !booked.enlarges && !self.lots.can_push(&position.block) {
            return Err(Reason::LotCapacity);
        }
        Ok(booked)
    }

    fn forward_fits(&self, position: &Position, input: &TradeInput) -> Result<(), Reason> {
        // Of the magnitudes: they mature by date and not in the order in which they were added up.
        position.forward_gross_e8.checked_add(input.quantity_e8).ok_or(Reason::Overflow)?;
        self.contracts.in_force(input.account, input.instrument, input.contract, input.effective_date)?;
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
        Ok(())
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
        if held.terms.multiplier_e8 != terms.multiplier_e8 && traded() {
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
