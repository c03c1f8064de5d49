//! Feeds amendments and resolutions, and lets the coldpath run where what follows must not depend on its speed.
//!
//! A cancel may bring a break that a later line resolves, and a correct may put a trade off to a date that a later line
//! brings: both are known only after the replay. So the coldpath runs before a resolution, and before a business date
//! once there were amendments; the document is then the same however fast the machine is.

use std::time::{Duration, Instant};

use lotbook_core::command::Command;
use lotbook_core::id::TradeHash;
use lotbook_engine::HostError;

use super::feed::{Feeder, NAMESPACE, Pending, RowKey, stamps};
use super::{ReplayError, STALLED};
use crate::input::{AmendLine, Located, ResolveLine};
use crate::output::{E8, E16, Outcome, TradeRow};

impl Feeder<'_> {
    pub(super) fn amend(&mut self, located: &Located, line: &AmendLine) -> Result<(), ReplayError> {
        self.amended = true;
        let namespace = line.namespace.as_deref().unwrap_or(NAMESPACE);
        let hash = TradeHash::new(namespace.as_bytes(), line.amend_id.as_bytes());
        let row = self.fed.rows.len();
        // Its own time is no time at which anything was priced.
        self.fed.keys.push(RowKey { hash, executed_at_ns: i64::MIN, priced: None });
        self.fed.rows.push(TradeRow {
            trade_id: line.amend_id.clone(),
            kind: line.kind.as_str(),
            amends: Some(line.target_id.clone()),
            amended: None,
            outcome: Outcome::Rejected,
            reason: None,
            realized_pnl: E16(0),
            realized_long_term: E16(0),
            realized_short_term: E16(0),
            realized_base: E16(0),
            realized_market: E16(0),
            realized_fx: E16(0),
            allocations: Vec::new(),
            account: line.account.clone().unwrap_or_default(),
            instrument: line.instrument.clone().unwrap_or_default(),
            fees: E8(line.changes.fees_e8.unwrap_or(0)),
            consideration: line.changes.consideration_e8.map(E8),
            consideration_difference: None,
            currency: line.changes.currency.clone(),
            fx_to_base: line.changes.fx_to_base_e8.map(E8),
            sub_account: line.changes.sub_account.clone(),
            correlation_id: line.correlation_id.clone().unwrap_or_default(),
            file: located.file.clone(),
            line: located.line,
        });
        let resolved =
            self.origin(located).and_then(|origin| Ok((origin, self.resolver.amend_line(line, &stamps(located, 0))?)));
        let (origin, input) = match resolved {
            Ok(resolved) => resolved,
            Err(error) => {
                self.fed.rows[row].reason = Some(self.name_code(error)?);
                return Ok(());
            }
        };
        self.fed.rows[row].correlation_id = input.correlation.as_str().to_owned();
        self.submit(Pending::Trade(row), origin, Command::Amend(input))
    }

    pub(super) fn resolve(&mut self, located: &Located, line: &ResolveLine) -> Result<(), ReplayError> {
        self.settle()?;
        let place = located.place();
        let resolved =
            self.origin(located).and_then(|origin| Ok((origin, self.resolver.resolve(line, origin.received_at_ns)?)));
        match resolved {
            Ok((origin, input)) => self.command(place, origin, Command::Resolve(input)),
            Err(error) => self.name_refused(place, error),
        }
    }

    /// Waits until every position is reconciled that can be, as far as this input goes.
    pub(super) fn settle(&mut self) -> Result<(), ReplayError> {
        self.drain()?;
        let (model, queue) = (self.host.model(), self.host.coldpath());
        let target = self.host.log().published_sequence();
        let mut seen = (0, 0);
        let mut since = Instant::now();
        let mut resumed = false;
        loop {
            let (sequence, provisional) = (model.sequence(), model.provisional_positions());
            let followed = sequence >= target;
            if followed && provisional <= self.host.dead_letters().len() as u64 {
                break;
            }
            // Every late trade is known to the follower before the coldpath begins.
            if followed && !resumed {
                queue.resume();
                resumed = true;
            }
            match self.host.error() {
                None | Some(HostError::Checkpoint(_)) => {}
                Some(error) => return Err(error.into()),
            }
            if seen != (sequence, provisional) {
                (seen, since) = ((sequence, provisional), Instant::now());
            } else if since.elapsed() > STALLED {
                return Err(ReplayError::Internal("the reconciliation does not go on"));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        if resumed {
            queue.pause();
            self.forward_dates = self.ledger.lock().waiting_dates().collect();
        }
        Ok(())
    }
}
