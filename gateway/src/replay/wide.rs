//! Feeds what reaches into many positions: actions, resets, period locks; and waits until all positions have taken it,
//! so that the document does not depend on timing.

use std::time::{Duration, Instant};

use lotbook_core::command::Command;
use lotbook_core::event::Class;
use lotbook_core::id::TradeHash;
use lotbook_engine::{Answer, HostError};

use super::ReplayError;
use super::feed::{FedAction, Feeder, NAMESPACE, Pending, stamps};
use crate::input::{ActionLine, Located, LockLine};
use crate::output::{ActionRow, Day, LockRow, LockedScope, Outcome};

/// How long nothing at all may happen before the run gives up waiting for positions.
const STALLED: Duration = Duration::from_secs(60);

impl Feeder<'_> {
    /// Feeds an action or a reset, and waits until every position has taken it.
    pub(super) fn action(&mut self, located: &Located, line: &ActionLine) -> Result<(), ReplayError> {
        let hash = TradeHash::new(NAMESPACE.as_bytes(), line.action_id.as_bytes());
        let row = self.fed.actions.len();
        let date = line.record_date.unwrap_or(line.effective_date);
        self.fed.actions.push(FedAction { hash, date, row: ActionRow::new(located, line) });
        let resolved =
            self.origin(located).and_then(|origin| Ok((origin, self.resolver.action_line(line, &stamps(located, 0))?)));
        let (origin, input) = match resolved {
            Ok(resolved) => resolved,
            Err(error) => {
                self.fed.actions[row].row.reason = Some(self.name_code(error)?);
                return Ok(());
            }
        };
        self.submit(Pending::Action(row), origin, Command::Action(input))?;
        self.await_settled()
    }

    pub(super) fn take_action(&mut self, answer: &Answer, class: Class, row: usize) {
        let action = &mut self.fed.actions[row].row;
        action.outcome = match class {
            Class::Forward | Class::Held => Outcome::Held,
            Class::Rejected | Class::Lapsed => Outcome::Rejected,
            Class::Duplicate => Outcome::Duplicate,
            Class::Applied | Class::Provisional | Class::Matured | Class::Rebooked => Outcome::Applied,
        };
        if class == Class::Rejected {
            action.reason = Some(answer.reason.code());
        }
    }

    /// Asks for a period lock, once everything that can be reconciled is.
    pub(super) fn period_lock(&mut self, located: &Located, line: &LockLine) -> Result<(), ReplayError> {
        let row = self.fed.locks.len();
        self.fed.locks.push(LockRow {
            account: line.account.clone().map_or(LockedScope::All, LockedScope::Account),
            through: Day(line.through),
            outcome: Outcome::Rejected,
            reason: None,
            file: located.file.clone(),
            line: located.line,
        });
        let resolved = self.origin(located).and_then(|origin| Ok((origin, self.resolver.lock_line(line)?)));
        let (origin, input) = match resolved {
            Ok(resolved) => resolved,
            Err(error) => {
                self.fed.locks[row].reason = Some(self.name_code(error)?);
                return Ok(());
            }
        };
        self.await_reconciled()?;
        self.submit(Pending::Lock(row), origin, Command::PeriodLock(input))?;
        self.drain()
    }

    pub(super) fn take_lock(&mut self, answer: &Answer, is_granted: bool, row: usize) {
        let lock = &mut self.fed.locks[row];
        if is_granted {
            lock.outcome = Outcome::Applied;
        } else {
            lock.reason = Some(answer.reason.code());
        }
    }

    /// Waits until all that was sent is answered and no position is to take anything more of it.
    pub(super) fn await_settled(&mut self) -> Result<(), ReplayError> {
        self.drain()?;
        let model = self.host.model().clone();
        let target = self.last_sequence;
        self.wait_for("positions do not take what they are to take", |host| {
            let followed = model.sequence();
            (followed >= target && model.changes_pending() == 0, followed + host.log().published_sequence())
        })
    }

    /// Lets the coldpath run until it has reconciled what can be.
    fn await_reconciled(&mut self) -> Result<(), ReplayError> {
        self.await_settled()?;
        self.await_matured()?;
        self.settle()
    }

    /// Waits until `done`; gives up when nothing moves for long.
    fn wait_for(
        &self,
        stalled: &'static str,
        done: impl Fn(&lotbook_engine::Host) -> (bool, u64),
    ) -> Result<(), ReplayError> {
        let mut last = (u64::MAX, Instant::now());
        loop {
            let (is_done, progress) = done(self.host);
            if is_done {
                return Ok(());
            }
            match self.host.error() {
                None | Some(HostError::Checkpoint(_)) => {}
                Some(error) => return Err(error.into()),
            }
            if last.0 != progress {
                last = (progress, Instant::now());
            } else if last.1.elapsed() > STALLED {
                return Err(ReplayError::Internal(stalled));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}
