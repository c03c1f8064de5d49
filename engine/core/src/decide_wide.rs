//! Decides about what reaches into many positions at once: actions, what a position takes of them, period locks.

use crate::action_input::ActionInput;
use crate::actions::{Change, NO_ACTION};
use crate::book::Book;
use crate::command::{NameClass, Origin};
use crate::date::Date;
use crate::decide::Scratch;
use crate::event::{Class, Reason};
use crate::id::{NO_NAME, NameId, TradeHash, TradeId};
use crate::position::Position;
use crate::rules::{ContractTerms, LockedChanges, Rules};
use crate::taking::{ActionRoom, Site, Took, take};
use crate::wide_event::{ActionEvent, LockInput, TakenEvent};

/// What a position is to take next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A change of its past: an estimate, and a replay.
    Late(Change),
    /// An action ahead of its frontier, by its number in the book.
    Ahead(u32),
}

impl Book {
    /// Decides about an action; whether its id is new is the caller's to know.
    #[must_use]
    pub fn decide_action(&self, input: &ActionInput, origin: &Origin) -> ActionEvent {
        let reason = self.action_reason(input).err().unwrap_or(Reason::None);
        let class = match reason {
            Reason::None if self.is_ahead(input.date()) => Class::Forward,
            Reason::None => Class::Applied,
            _ => Class::Rejected,
        };
        ActionEvent { origin: *origin, input: *input, class, reason, first_class: class, first_sequence: 0 }
    }

    /// Whether a date is after the business date.
    #[must_use]
    pub fn is_ahead(&self, date: Date) -> bool {
        self.business_date.is_some_and(|today| date > today)
    }

    fn action_reason(&self, input: &ActionInput) -> Result<(), Reason> {
        input.check()?;
        let known = |class, id| id == NO_NAME || self.names.text(class, id).is_some();
        if self.names.text(NameClass::Instrument, input.instrument).is_none()
            || !known(NameClass::Instrument, input.to_instrument)
        {
            return Err(Reason::UnknownName);
        }
        if input.contract != NO_NAME && !self.contracts.is_known(input.contract) {
            return Err(Reason::UnknownContract);
        }
        if self.actions.find(input.hash).is_some() {
            return Err(Reason::IdConflict);
        }
        if !self.actions.has_room() {
            return Err(Reason::ActionCapacity);
        }
        if input.to_instrument != NO_NAME {
            self.leg_room()?;
        }
        if self.is_action_locked(input) { Err(Reason::PeriodLocked) } else { Ok(()) }
    }

    /// Whether a period lock refuses a change of an account's history on a date, under these rules.
    #[inline]
    #[must_use]
    pub fn is_locked(&self, account: NameId, date: Date, rules: &Rules) -> bool {
        date <= self.locks.latest()
            && date <= self.locks.through(account)
            && rules.locked_changes == LockedChanges::Refuse
    }

    /// Whether a period lock refuses a change of a position's history on a date, by the rules in force there; of nobody's
    /// (`NO_NAME`) it does not.
    #[must_use]
    pub fn refuses_at(&self, (account, instrument): (NameId, NameId), date: Date) -> bool {
        if account == NO_NAME || date > self.locks.latest() {
            return false;
        }
        let rules = self.contracts.in_force(account, instrument, NO_NAME, date).unwrap_or(&Rules::DEFAULT);
        self.is_locked(account, date, rules)
    }

    /// Whether a lock of any position of the instrument refuses the action at its place.
    #[must_use]
    pub fn is_action_locked(&self, input: &ActionInput) -> bool {
        let date = input.date();
        if date > self.locks.latest() || self.is_settled {
            return false;
        }
        let refuses = |position: &Position| {
            let rules = self.rules_on(position, date);
            self.is_locked(position.account, date, &rules)
        };
        self.positions_of(input.instrument).any(|number| refuses(&self.positions[number as usize]))
    }

    /// Whether a lock refuses a contract change: the rules that were in force are asked, of the positions that hold
    /// something on or after its date.
    pub(crate) fn is_contract_locked(&self, terms: &ContractTerms) -> bool {
        let date = terms.effective_date;
        if date > self.locks.latest() || self.is_settled {
            return false;
        }
        let refuses = |position: &Position| {
            let through = self.locks.through(position.account);
            date <= through
                && position.frontier.date >= date
                && terms.covers(position.account, position.instrument)
                && self.rules_on(position, date).locked_changes == LockedChanges::Refuse
        };
        match terms.instrument {
            NO_NAME => self.positions.iter().any(refuses),
            instrument => self.positions_of(instrument).any(|number| refuses(&self.positions[number as usize])),
        }
    }

    pub(crate) fn rules_on(&self, position: &Position, date: Date) -> Rules {
        *self.contracts.in_force(position.account, position.instrument, NO_NAME, date).unwrap_or(&Rules::DEFAULT)
    }

    /// Whether a position may have something to take: cheap, and rarely true without need.
    #[inline]
    #[must_use]
    pub fn may_be_behind(&self, position: &Position) -> bool {
        self.actions.may_concern(position.instrument, &position.frontier)
    }

    /// What a position is to take before anything else is decided on it: late changes first, by ordinal, then the
    /// actions ahead of its frontier, in chronological order.
    #[must_use]
    pub fn next_due(&self, number: u32) -> Option<Due> {
        let position = &self.positions[number as usize];
        if !self.may_be_behind(position) {
            return None;
        }
        if let Some(change) = self.actions.pending().iter().find(|change| change.concerns(position)) {
            return Some(Due::Late(*change));
        }
        if position.quantity_e8 == 0 {
            return None;
        }
        let mut ahead = self.actions.after(position.instrument, &position.frontier);
        ahead
            .find(|(_, input)| self.contracts.strikes(position.account, position.instrument, input))
            .map(|(entry, _)| Due::Ahead(entry))
    }

    /// Decides what a position takes.
    #[must_use]
    pub fn decide_taken<'a>(
        &self,
        number: u32,
        due: &Due,
        origin: &Origin,
        room: &mut ActionRoom,
        scratch: &'a mut Scratch,
    ) -> TakenEvent<'a> {
        let position = &self.positions[number as usize];
        let (entry, seen, is_late, (cause, cause_id)) = match due {
            Due::Late(change) => (change.action, change.ordinal, true, self.cause_of(change)),
            Due::Ahead(entry) => (*entry, self.actions.changes(), false, (TradeHash::NONE, TradeId::EMPTY)),
        };
        // A late action that was cancelled meanwhile, or finds nothing, leaves the estimate as it is.
        let action = (entry != NO_ACTION).then(|| self.actions.entries()[entry as usize]);
        let counts = action.filter(|action| action.counts() && position.quantity_e8 != 0);
        // What leads elsewhere is not estimated: what leaves would have to come back.
        let counts = counts.filter(|action| !(is_late && action.input.leads_on()));
        let took = match counts
            .filter(|action| self.contracts.strikes(position.account, position.instrument, &action.input))
        {
            Some(action) => self.take_on(position, &action.input, room, scratch),
            None => Err(Reason::None),
        };
        // At its place, what leaves a range is a break; what only has no room here is the coldpath's.
        let (late, reason) = match took {
            Err(Reason::Overflow) if !is_late => (false, Reason::Overflow),
            Err(_) => (true, Reason::None),
            Ok(_) => (is_late, Reason::None),
        };
        if took.is_err() {
            scratch.runs.clear();
        }
        let on_provisional = position.provisional > 0 || late;
        let date = action.map_or(self.locks.latest(), |action| action.input.date());
        TakenEvent {
            origin: *origin,
            position: number,
            account: position.account,
            instrument: position.instrument,
            version: position.version + 1,
            action: entry,
            cause: action.map_or(cause, |action| action.input.hash),
            cause_id: action.map_or(cause_id, |action| action.input.action_id),
            date: action.map_or(Date::NONE, |action| action.input.date()),
            seen,
            ahead: !is_late,
            late,
            on_provisional,
            reason,
            books: took.is_ok(),
            adjusts: !on_provisional && date <= self.locks.through(position.account),
            took: took.unwrap_or_else(|_| Took::nothing(position)),
            runs: &scratch.runs,
        }
    }

    /// Hash and id of what caused a change; a change of rules is named by its contract.
    fn cause_of(&self, change: &Change) -> (TradeHash, TradeId) {
        match self.names.text(NameClass::Contract, change.contract) {
            // No namespace has such a name.
            Some(text) => (TradeHash::new(b"\0contract", text), TradeId::new(text).unwrap_or(TradeId::EMPTY)),
            None => (change.cause, TradeId::EMPTY),
        }
    }

    fn take_on(
        &self,
        position: &Position,
        input: &ActionInput,
        room: &mut ActionRoom,
        scratch: &mut Scratch,
    ) -> Result<Took, Reason> {
        let multiplier_e8 = self.instruments[position.instrument as usize].terms.multiplier_e8;
        let site = Site { position, lots: &self.lots, multiplier_e8 };
        take(&site, input, &self.rules_on(position, input.date()), room, scratch)
    }

    /// Decides about a period lock.
    #[must_use]
    pub fn decide_lock(&self, input: &LockInput) -> Reason {
        let account = input.account();
        if account.is_some_and(|account| self.names.text(NameClass::Account, account).is_none()) {
            return Reason::UnknownName;
        }
        if input.through == Date::NONE || self.is_ahead(input.through) {
            return Reason::BadDate;
        }
        let held = account.map_or(self.locks.through_all(), |account| self.locks.through(account));
        if input.through < held {
            return Reason::LockBack;
        }
        let waits = self.business_date.is_some_and(|today| self.forwards.first_due(today).is_some());
        if self.is_settled {
            return Reason::None;
        }
        if !self.is_final(account) || !self.actions.pending().is_empty() || waits {
            return Reason::NotReconciled;
        }
        Reason::None
    }
}
