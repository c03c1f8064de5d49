//! Applies what reaches into many positions at once: actions, what a position took of them, period locks.

use crate::action_input::ActionInput;
use crate::actions::NO_ACTION;
use crate::amend_event::break_digest;
use crate::apply::{Misfit, Place};
use crate::book::Book;
use crate::closed::{Adjusted, PeriodFigures};
use crate::command::NameClass;
use crate::date::Date;
use crate::digest;
use crate::event::{Class, Reason};
use crate::id::NO_NAME;
use crate::legs::leaving_by_action;
use crate::rules::ContractTerms;
use crate::taking::settle_taken;
use crate::wide_event::{ActionEvent, LockEvent, SettledEvent, TakenEvent};

macro_rules! fits {
    ($condition:expr, $what:literal) => {
        if !$condition {
            return Err(Misfit($what));
        }
    };
}

impl Book {
    pub(crate) fn apply_action(&mut self, event: &ActionEvent, place: Place) -> Result<(), Misfit> {
        if !matches!(event.class, Class::Applied | Class::Forward) {
            return Ok(());
        }
        let input = event.input;
        fits!(self.actions.has_room(), "more actions than the book holds");
        fits!(self.actions.find(input.hash).is_none(), "an action that was accepted before");
        fits!((input.instrument as usize) < self.instruments.len(), "an action on an undefined instrument");
        let names = self.names_of(&input);
        self.actions.insert(input, place.sequence, event.class == Class::Applied, names);
        Ok(())
    }

    /// Hash of the names that an action speaks of.
    pub(crate) fn names_of(&self, input: &ActionInput) -> u64 {
        let hash = |class, id| self.names.hash(class, id).unwrap_or(u64::from(NO_NAME));
        let instruments = [input.instrument, input.to_instrument].map(|id| hash(NameClass::Instrument, id));
        digest::mix(digest::mix(instruments[0], instruments[1]), hash(NameClass::Contract, input.contract))
    }

    /// Applies what a position took.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_taken(&mut self, event: &TakenEvent<'_>) -> Result<(), Misfit> {
        let changes = self.actions.changes();
        let position = self.positions.get_mut(event.position as usize).ok_or(Misfit("taken by an unknown position"))?;
        fits!(position.account == event.account, "position number names another account");
        fits!(position.instrument == event.instrument, "position number names another instrument");
        fits!(event.version == position.version + 1, "version is not the next one");
        fits!(event.seen >= position.seen, "a position that forgets what it has seen");
        fits!(event.seen <= changes, "a change that has not come");
        let action = match event.action {
            NO_ACTION => None,
            entry => Some(self.actions.entries().get(entry as usize).ok_or(Misfit("an unknown action"))?.input),
        };
        self.leaving.clear();
        if event.books {
            let input = action.ok_or(Misfit("nothing to book"))?;
            let is_long = position.quantity_e8 > 0;
            fits!(position.quantity_e8 != 0, "an action on a flat position");
            let multiplier_e8 = self.instruments[position.instrument as usize].terms.multiplier_e8;
            let (took, runs) = (&event.took, event.runs);
            settle_taken(
                &mut self.lots,
                &self.names,
                position,
                (&input, multiplier_e8),
                (took, runs),
                &mut self.room,
                &mut self.gone,
            )?;
            leaving_by_action(&input, is_long, &self.gone, &mut self.leaving);
        }
        if event.ahead {
            let key = action.ok_or(Misfit("nothing ahead"))?.key();
            fits!(key > position.frontier, "an action that is not ahead");
            position.frontier = key;
        }
        position.version = event.version;
        position.seen = event.seen;
        position.provisional += u32::from(event.late);
        if event.reason != Reason::None {
            position.breaks += 1;
            let digest = break_digest(event.cause, event.reason);
            position.found_breaks(position.break_set.wrapping_add(digest));
        }
        self.sums.refresh(position);
        if event.adjusts && event.books {
            self.adjust(event.position, event.date, PeriodFigures::of_taken(&event.took));
        }
        self.send_leaving(event.position);
        Ok(())
    }

    pub(crate) fn apply_settled(&mut self, event: &SettledEvent) -> Result<(), Misfit> {
        fits!(self.actions.settle(event.ordinal), "another change is the oldest one");
        Ok(())
    }

    pub(crate) fn apply_contract(&mut self, terms: &ContractTerms) -> Result<(), Misfit> {
        if self.contracts.repeats(terms) {
            return Ok(());
        }
        fits!(self.contracts.has_room(), "more contract versions than the book holds");
        self.contracts.insert(*terms);
        // Without a position nobody's history can change.
        if !self.positions.is_empty() {
            fits!(self.actions.has_room_for_change(), "more changes than the book holds");
            self.actions.change_rules(terms);
        }
        Ok(())
    }

    pub(crate) fn apply_lock(&mut self, event: &LockEvent) -> Result<(), Misfit> {
        if event.reason != Reason::None {
            return Ok(());
        }
        let account = event.input.account();
        fits!(
            account.is_none_or(|account| self.names.text(NameClass::Account, account).is_some()),
            "a lock of an undefined account"
        );
        self.locks.close(account, event.input.through);
        let (positions, locks) = (&self.positions, &self.locks);
        let still = |number: u32, through| locks.through(positions[number as usize].account) == through;
        self.adjustments.close(still, |number| positions[number as usize].key_hash);
        Ok(())
    }

    /// An item of a closed day was booked and is final: it is reported as an adjustment of the open period.
    pub(crate) fn adjust(&mut self, number: u32, date: Date, figures: PeriodFigures) {
        let position = &self.positions[number as usize];
        let through = self.locks.through(position.account);
        if date <= through {
            self.adjustments.add(number, position.key_hash, &Adjusted { through, figures });
        }
    }
}
