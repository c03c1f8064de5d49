//! Collects the answers to what was fed: rows get their outcome, rates learn accepted terms.

use std::sync::atomic::Ordering;

use lotbook_core::command::Command;
use lotbook_core::event::Class;
use lotbook_engine::wait::{WaitKind, Waiter};
use lotbook_engine::{Answer, HostError, Status};

use super::super::ReplayError;
use super::{Feeder, Pending};
use crate::output::Outcome;

impl Feeder<'_> {
    /// Takes the answers that are there; waits for the first.
    pub(super) fn collect(&mut self) -> Result<(), ReplayError> {
        let mut waiter = Waiter::new(WaitKind::Park);
        loop {
            if let Some(answer) = self.door.poll() {
                self.take(&answer)?;
                break;
            }
            if self.door.is_abandoned() {
                return Err(self.host.error().unwrap_or(HostError::Panicked("shard")).into());
            }
            waiter.idle();
        }
        while let Some(answer) = self.door.poll() {
            self.take(&answer)?;
        }
        Ok(())
    }

    fn take(&mut self, answer: &Answer) -> Result<(), ReplayError> {
        let Some(pending) = self.pending.pop_front() else {
            return Err(ReplayError::Internal("an answer without a request"));
        };
        self.last_sequence = self.last_sequence.max(answer.sequence);
        match (answer.status, pending) {
            (Status::Trade(class), Pending::Trade(row)) => self.take_trade(answer, class, row),
            (Status::Action(class), Pending::Action(row)) => self.take_action(answer, class, row),
            (status @ (Status::Done | Status::Refused), Pending::Lock(row)) => {
                self.take_lock(answer, status == Status::Done, row);
            }
            (Status::Done, Pending::Command { command, .. }) => self.take_command(&command),
            (Status::Refused, Pending::Command { place, command }) => {
                if !self.is_repeated(&command) {
                    self.refuse(&place, &command, answer.reason.code());
                }
            }
            (Status::OutOfSpace, Pending::Trade(row)) => {
                let row = &self.fed.rows[row];
                return Err(ReplayError::NoSpace { place: format!("{}:{}", row.file, row.line) });
            }
            (Status::OutOfSpace, Pending::Action(row)) => {
                let row = &self.fed.actions[row].row;
                return Err(ReplayError::NoSpace { place: format!("{}:{}", row.file, row.line) });
            }
            (Status::OutOfSpace, Pending::Lock(row)) => {
                let row = &self.fed.locks[row];
                return Err(ReplayError::NoSpace { place: format!("{}:{}", row.file, row.line) });
            }
            (Status::OutOfSpace, Pending::Command { place, .. }) => return Err(ReplayError::NoSpace { place }),
            (Status::Unknown, _) => {
                let latched = || HostError::Latched("it takes nothing more".to_owned());
                return Err(self.host.error().unwrap_or_else(latched).into());
            }
            _ => return Err(ReplayError::Internal("an answer to another request")),
        }
        Ok(())
    }

    fn take_trade(&mut self, answer: &Answer, class: Class, row: usize) {
        let trade = &mut self.fed.rows[row];
        trade.outcome = match class {
            Class::Applied | Class::Matured | Class::Rebooked => Outcome::Applied,
            Class::Provisional => Outcome::Provisional,
            Class::Forward | Class::Held => Outcome::Held,
            Class::Rejected | Class::Lapsed => Outcome::Rejected,
            Class::Duplicate => Outcome::Duplicate,
        };
        if class == Class::Rejected {
            trade.reason = Some(answer.reason.code());
        }
    }

    fn take_command(&mut self, command: &Command) {
        match command {
            Command::Instrument(terms) => self.rates.set_instrument(terms),
            Command::BusinessDate(date) => {
                self.today = Some(*date);
                // ORDERING: read by the same thread, inside the reader.
                self.today_of_fix.store(date.0, Ordering::Relaxed);
            }
            Command::Mark(mark) => self.fed.newest_mark_ns = self.fed.newest_mark_ns.max(mark.at_ns),
            _ => {}
        }
    }

    /// Whether an earlier run on this data directory had the same accepted: it is in force or was, so its
    /// refusal says nothing.
    fn is_repeated(&self, command: &Command) -> bool {
        match command {
            Command::Contract(terms) => self.known.contracts.contains(terms),
            Command::BusinessDate(date) => self.known.dates.contains(date),
            _ => false,
        }
    }

    fn refuse(&mut self, place: &str, command: &Command, code: &str) {
        let what = match command {
            Command::Contract(_) => "contract",
            Command::Instrument(_) => "instrument",
            Command::BusinessDate(_) => "business date",
            Command::Mark(_) => "mark",
            Command::Resolve(_) => "resolution",
            Command::PeriodLock(_) => "period lock",
            Command::Trade(_) | Command::Amend(_) | Command::Action(_) | Command::Define { .. } => "command",
        };
        self.fed.refused_commands += 1;
        self.fed.warnings.push(format!("{place}: {what} refused: {code}"));
    }
}
