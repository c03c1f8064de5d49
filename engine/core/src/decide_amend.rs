//! Decides amendments and resolutions. Changes nothing, so a decision can be dropped.
//!
//! The book equals the history with its amendments only after the replay. Until then the position is PROVISIONAL,
//! and this estimate holds: its quantity is that of the amended history, moved at cost; nothing is realized.

use crate::amend::{AmendInput, AmendKind, Changes};
use crate::amend_event::{AmendEvent, Estimate, ResolveInput, ResolvedEvent};
use crate::amendments::{Effective, Root};
use crate::amount::unit;
use crate::book::{Book, NO_POSITION};
use crate::command::{Origin, Side, TradeInput};
use crate::date::Date;
use crate::decide::{Booked, Decision, Legality, Scratch, sums_fit};
use crate::event::{Class, Reason, TradeEvent};
use crate::held::Held;
use crate::id::{NO_NAME, NameId, TradeHash};
use crate::position::{Position, Reconciliation};
use crate::rules::{LotMethod, Rules};

/// What is known of an amendment's target. Whoever keeps the ids says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Never accepted.
    Unknown,
    /// An amendment that is held itself.
    Held,
    /// An accepted trade or opening lot.
    Trade {
        /// Its position.
        position: u32,
        /// Its quantity as accepted, with the sign of its side.
        quantity_e8: i64,
        /// Its effective date as accepted.
        date: Date,
        /// Of a transfer: the account that its lots go to. Else `NO_NAME`.
        to_account: NameId,
    },
    /// An accepted amendment.
    Amendment {
        /// Its position, [`NO_POSITION`] where it amends an action.
        position: u32,
    },
    /// An accepted action or reset.
    Action,
}

/// What was decided about an amendment; with the input and the runs in the scratch it is the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendDecision {
    /// What becomes of it.
    pub class: Class,
    /// Why it is refused or lapses.
    pub reason: Reason,
    /// Position number, or [`NO_POSITION`].
    pub position: u32,
    /// Account and instrument of the position.
    pub of: (NameId, NameId),
    /// Version after the event.
    pub version: u64,
    /// The amended trade.
    pub root: Root,
    /// What it does until the replay.
    pub estimate: Estimate,
    /// Sequence and address of the event that held it.
    pub first: Option<(u64, u64)>,
}

impl AmendDecision {
    /// A decision that changes no position.
    #[must_use]
    pub fn apart(class: Class, reason: Reason) -> Self {
        let root = Root { hash: TradeHash::NONE, quantity_e8: 0, date: Date::NONE, to_account: NO_NAME };
        let (position, estimate) = (NO_POSITION, Estimate::default());
        Self { class, reason, position, of: (NO_NAME, NO_NAME), version: 0, root, estimate, first: None }
    }

    /// The event of this decision.
    #[must_use]
    pub fn event<'a>(&self, input: &AmendInput, origin: &Origin, scratch: &'a Scratch) -> AmendEvent<'a> {
        let (first_sequence, first_address) = self.first.unwrap_or((0, u64::MAX));
        let moves = self.estimate.closed_quantity_e8 > 0;
        AmendEvent {
            input: *input,
            origin: *origin,
            class: self.class,
            reason: self.reason,
            position: self.position,
            account: self.of.0,
            instrument: self.of.1,
            version: self.version,
            root: self.root,
            estimate: self.estimate,
            first_class: self.class,
            first_sequence,
            first_address,
            runs: if moves { &scratch.runs } else { &[] },
        }
    }
}

/// Where a trade's quantity stands: in the position, or among what waits for its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    booked_e8: i64,
    waiting_e8: i64,
}

impl Book {
    /// Decides an amendment that came from a door.
    pub fn decide_amend(&self, input: &AmendInput, target: Target, scratch: &mut Scratch) -> AmendDecision {
        let decided = well_formed(input).and_then(|()| match target {
            Target::Unknown | Target::Held => self.hold(input),
            Target::Action | Target::Amendment { position: NO_POSITION } => self.accept_of_action(input),
            Target::Trade { .. } | Target::Amendment { .. } => self.accept(input, target, scratch),
        });
        decided.unwrap_or_else(|reason| AmendDecision::apart(Class::Rejected, reason))
    }

    /// Decides a held amendment whose target has come. What cannot be accepted lapses.
    pub fn decide_held(&self, held: &Held, target: Target, scratch: &mut Scratch) -> AmendDecision {
        let decided = match target {
            _ if held.is_overdue(self.date_moves) => Err(Reason::HeldExpired),
            Target::Unknown | Target::Held => Err(Reason::BadTarget),
            Target::Action | Target::Amendment { position: NO_POSITION } => self.accept_of_action(&held.input),
            Target::Trade { .. } | Target::Amendment { .. } => self.accept(&held.input, target, scratch),
        };
        let decided = decided.unwrap_or_else(|reason| AmendDecision::apart(Class::Lapsed, reason));
        AmendDecision { first: Some((held.sequence, held.address)), ..decided }
    }

    fn hold(&self, input: &AmendInput) -> Result<AmendDecision, Reason> {
        // Chains of held amendments end at an unknown target: none was let in that would close a circle.
        let mut at = input.target;
        while at != input.hash {
            let Some(next) = self.held.find(at) else {
                let room = self.held.has_room();
                return if room {
                    Ok(AmendDecision::apart(Class::Held, Reason::None))
                } else {
                    Err(Reason::HeldCapacity)
                };
            };
            at = next.input.target;
        }
        Err(Reason::BadTarget)
    }

    /// An amendment of an action changes no position by itself: it is a change of history that positions take.
    fn accept_of_action(&self, input: &AmendInput) -> Result<AmendDecision, Reason> {
        let entry = self.actions.root_of(input.target).ok_or(Reason::BadTarget)?;
        let held = &self.actions.entries()[entry as usize];
        let instrument = held.original.instrument;
        let is_of_amendment = input.target != held.original.hash;
        if input.account != NO_NAME
            || (input.instrument != NO_NAME && input.instrument != instrument)
            || (input.kind == AmendKind::Correct && is_of_amendment)
            || !input.changes.fits_action(&held.input)
        {
            return Err(Reason::NotSupported);
        }
        if input.changes.contract().is_some_and(|contract| !self.contracts.is_known(contract)) {
            return Err(Reason::UnknownContract);
        }
        self.actions.admit(entry)?;
        let (_, after) = self.actions.effective(entry, Some(input));
        if input.kind == AmendKind::Correct {
            after.check()?;
        }
        if self.is_action_locked(&held.input) || self.is_action_locked(&after) {
            return Err(Reason::PeriodLocked);
        }
        let (hash, date) = (held.original.hash, held.original.date());
        let root = Root { hash, quantity_e8: 0, date, to_account: NO_NAME };
        let of = (NO_NAME, instrument);
        Ok(AmendDecision { root, of, ..AmendDecision::apart(Class::Applied, Reason::None) })
    }

    fn accept(&self, input: &AmendInput, target: Target, scratch: &mut Scratch) -> Result<AmendDecision, Reason> {
        let (number, fresh) = match target {
            Target::Trade { position, quantity_e8, date, to_account } => {
                (position, Some(Root { hash: input.target, quantity_e8, date, to_account }))
            }
            Target::Amendment { position } => (position, None),
            Target::Unknown | Target::Held | Target::Action => return Err(Reason::BadTarget),
        };
        let position = self.positions.get(number as usize).ok_or(Reason::BadTarget)?;
        let root = self.amendments.root_of(input.target).or(fresh).ok_or(Reason::BadTarget)?;
        let own = (position.account, position.instrument);
        let repeats = |given, held| given == NO_NAME || given == held;
        let may_move = input.kind == AmendKind::Correct && root.to_account == NO_NAME;
        let stays = repeats(input.account, own.0) && repeats(input.instrument, own.1);
        if !stays && !may_move {
            return Err(Reason::NotSupported);
        }
        if !stays {
            self.leg_room()?;
        }
        let (before, after) = self.amendments.effect(&root, input);
        let (was_of, is_of) = (before.of(own), after.of(own));
        if self.key_hash(is_of.0, is_of.1).is_none() {
            return Err(Reason::UnknownName);
        }
        let terms = &self.instruments[is_of.1 as usize].terms;
        if terms.currency != NO_NAME && input.changes.currency().is_some_and(|named| named != terms.currency) {
            return Err(Reason::CurrencyMismatch);
        }
        if !input.changes.fits_trade() {
            return Err(Reason::NotSupported);
        }
        // The door holds a trade's price against them; of an amendment only the book knows the instrument.
        input.changes.price_e8().map_or(Ok(()), |price_e8| terms.check_price(price_e8))?;
        self.amendments.admit(input.kind, input.target)?;
        if self.find(is_of.0, is_of.1).is_none() && self.positions.len() == self.limits.positions_max {
            return Err(Reason::PositionCapacity);
        }
        let refuses = |of, date| self.refuses_at(of, date) || self.refuses_at((root.to_account, own.1), date);
        if refuses(was_of, before.date) || refuses(is_of, after.date) {
            return Err(Reason::PeriodLocked);
        }
        let estimate = self.estimate(position, input, &root, &before, &after, scratch)?;
        Ok(AmendDecision {
            class: Class::Provisional,
            reason: Reason::None,
            position: number,
            of: own,
            version: position.version + 1,
            root,
            estimate,
            first: None,
        })
    }

    fn estimate(
        &self,
        position: &Position,
        input: &AmendInput,
        root: &Root,
        before: &Effective,
        after: &Effective,
        scratch: &mut Scratch,
    ) -> Result<Estimate, Reason> {
        let own = (position.account, position.instrument);
        let is_moved = |effective: &Effective| effective.of(own) != own;
        let stood = match self.forwards.find(root.hash) {
            Some(waiting) => Standing { booked_e8: 0, waiting_e8: waiting.input.signed_quantity_e8() },
            None if !before.is_in => Standing { booked_e8: 0, waiting_e8: 0 },
            // Of another position by then, which the replay sees to; what waits does so here.
            None if !self.amendments.waits(root.hash) && is_moved(before) => Standing { booked_e8: 0, waiting_e8: 0 },
            // As it was counted, whatever the business date says by now: the replay moves it.
            None if self.amendments.waits(root.hash) => Standing { booked_e8: 0, waiting_e8: before.quantity_e8 },
            None => Standing { booked_e8: before.quantity_e8, waiting_e8: 0 },
        };
        let mut stands = self.standing(after);
        if is_moved(after) {
            stands.booked_e8 = 0;
        }
        let (waited, waits) = (stood.waiting_e8, stands.waiting_e8);
        let sum = |sum: i64, less: i64, more: i64| sum.checked_sub(less)?.checked_add(more);
        sum(position.forward_quantity_e8, waited, waits).ok_or(Reason::Overflow)?;
        sum(position.forward_gross_e8, waited.abs(), waits.abs()).ok_or(Reason::Overflow)?;
        let moved_e8 = stands.booked_e8.checked_sub(stood.booked_e8).ok_or(Reason::Overflow)?;
        let still = Estimate { moved_e8, waiting_before_e8: waited, waiting_after_e8: waits, ..Estimate::default() };
        if moved_e8 == 0 {
            return Ok(still);
        }
        let magnitude_e8 = moved_e8.checked_abs().ok_or(Reason::Overflow)?;
        let price_e8 = self.price_of_estimate(position);
        // Where the price would leave a range, the quantity alone may still be right.
        let booked = self
            .book_estimate(position, input, moved_e8.signum() * magnitude_e8, price_e8, scratch)
            .or_else(|_| self.book_estimate(position, input, moved_e8, 0, scratch))?;
        Ok(Estimate {
            closed_quantity_e8: booked.closed_quantity_e8,
            opened_quantity_e8: booked.opened_quantity_e8,
            opened_cost_e16: booked.opened_cost_e16,
            opened_base_e16: booked.opened_base_e16,
            lot_price_e8: booked.lot_price_e8,
            closed_cost_e16: booked.closed_cost_e16,
            closed_base_e16: booked.closed_base_e16,
            ..still
        })
    }

    fn book_estimate(
        &self,
        position: &Position,
        input: &AmendInput,
        moved_e8: i64,
        price_e8: i64,
        scratch: &mut Scratch,
    ) -> Result<Booked, Reason> {
        let synthetic = synthetic(position, input, moved_e8, price_e8);
        let ground = self.ground(position);
        let booked = at_cost(&ground.book(&NEWEST_FIRST, &synthetic, Legality::Carried, scratch)?);
        sums_fit(position, &synthetic, &booked)?;
        if booked.opened_quantity_e8 > 0 && !self.lots.can_open(&position.block) {
            return Err(Reason::LotCapacity);
        }
        Ok(booked)
    }

    fn standing(&self, effective: &Effective) -> Standing {
        let waits = self.business_date.is_some_and(|today| effective.date > today);
        match (effective.is_in, waits) {
            (false, _) => Standing { booked_e8: 0, waiting_e8: 0 },
            (true, false) => Standing { booked_e8: effective.quantity_e8, waiting_e8: 0 },
            (true, true) => Standing { booked_e8: 0, waiting_e8: effective.quantity_e8 },
        }
    }

    /// The mean price of the open lots, else the instrument's mark, else zero: for a lot that the estimate opens.
    fn price_of_estimate(&self, position: &Position) -> i64 {
        let instrument = &self.instruments[position.instrument as usize];
        let mark = || self.mark(position.instrument).map_or(0, |mark| mark.price_e8);
        if position.quantity_e8 == 0 {
            return mark();
        }
        let quantity_e8 = position.quantity_e8.saturating_abs();
        unit(position.cost_e16, quantity_e8, instrument.terms.multiplier_e8).map_or(0, |price| price.max(0))
    }

    /// Decides an operator's resolution.
    #[must_use]
    pub fn decide_resolve(&self, input: &ResolveInput, origin: &Origin) -> ResolvedEvent {
        let number = self.find(input.account, input.instrument);
        let position = number.map(|number| &self.positions[number as usize]);
        let reason = match position {
            None => Reason::NotPending,
            Some(position) if input.version != 0 && input.version != position.version => Reason::VersionMoved,
            Some(position) if position.reconciliation() != Reconciliation::Pending => Reason::NotPending,
            Some(_) => Reason::None,
        };
        ResolvedEvent {
            origin: *origin,
            reason,
            position: number.unwrap_or(NO_POSITION),
            version: position.map_or(0, |p| p.version + u64::from(reason == Reason::None)),
            breaks: position.map_or(0, |p| p.breaks),
            break_set: position.map_or(0, |p| p.break_set),
            input: *input,
        }
    }
}

/// Rules of an estimate: what goes is taken from the newest lots, which is exact for the newest trade.
const NEWEST_FIRST: Rules = Rules { method: LotMethod::Lifo, ..Rules::DEFAULT };

fn well_formed(input: &AmendInput) -> Result<(), Reason> {
    if input.kind == AmendKind::Cancel && input.changes != Changes::NONE {
        return Err(Reason::NotSupported);
    }
    input.changes.check()
}

/// The movement of an estimate as a trade: of nobody, at no time, so that it leaves no trace but its lots.
fn synthetic(position: &Position, input: &AmendInput, moved_e8: i64, price_e8: i64) -> TradeInput {
    TradeInput {
        trade_id: input.amend_id,
        hash: input.hash,
        namespace: input.namespace,
        account: position.account,
        instrument: position.instrument,
        side: if moved_e8 > 0 { Side::Buy } else { Side::Sell },
        quantity_e8: moved_e8.saturating_abs(),
        price_e8,
        acquired: position.frontier.date,
        ..TradeInput::EMPTY
    }
}

fn at_cost(booked: &Booked) -> Booked {
    Booked { realized_e16: 0, realized_long_e16: 0, realized_base_e16: 0, ..*booked }
}

/// The trade that moves what the estimate of an event moves.
pub(crate) fn moving(position: &Position, event: &AmendEvent<'_>) -> TradeInput {
    synthetic(position, &event.input, event.estimate.moved_e8, event.estimate.lot_price_e8)
}

/// The estimate of an event as the event of that trade, which is booked at cost.
pub(crate) fn movement<'a>(input: &'a TradeInput, event: &AmendEvent<'a>) -> TradeEvent<'a> {
    let estimate = &event.estimate;
    let booked = Booked {
        closed_quantity_e8: estimate.closed_quantity_e8,
        opened_quantity_e8: estimate.opened_quantity_e8,
        opened_cost_e16: estimate.opened_cost_e16,
        opened_base_e16: estimate.opened_base_e16,
        lot_price_e8: estimate.lot_price_e8,
        closed_cost_e16: estimate.closed_cost_e16,
        closed_base_e16: estimate.closed_base_e16,
        ..Booked::NOTHING
    };
    let decision = Decision {
        class: Class::Provisional,
        reason: Reason::None,
        position: event.position,
        version: event.version,
        on_provisional: true,
        late: true,
        backdated: false,
        adjusts: false,
        booked,
        first: None,
    };
    decision.event_with(input, &event.origin, event.runs)
}
