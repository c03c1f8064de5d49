//! Rows of what reaches into many positions: actions, period locks, and what was changed in closed periods.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{Day, E16, Outcome, shared_text};
use crate::input::{ActionLine, Located};

/// An action or a reset as it stands after reconciliation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionRow {
    /// Id: as given, else made of action, instrument and date.
    pub action_id: String,
    /// Which action, `reset` for a reset.
    pub action: &'static str,
    /// Instrument as given.
    pub instrument: String,
    /// Date on which it takes effect.
    pub effective_date: Day,
    /// What became of it; never `provisional`: the positions say so themselves.
    pub outcome: Outcome,
    /// Why it was refused, a stable code, or why it waits; null otherwise.
    pub reason: Option<&'static str>,
    /// Positions on which it is booked.
    pub positions: u64,
    /// Realized by it on all of them.
    pub realized_pnl: E16,
    /// Dividends by it on all of them, negative where shorts paid more.
    pub dividends: E16,
    /// File as named on the command line.
    #[serde(serialize_with = "shared_text")]
    pub file: Arc<str>,
    /// Line in that file.
    pub line: u64,
}

impl ActionRow {
    /// A row for a line that was not answered yet.
    #[must_use]
    pub fn new(located: &Located, line: &ActionLine) -> Self {
        Self {
            action_id: line.action_id.clone(),
            action: line.kind.as_str(),
            instrument: line.instrument.clone(),
            effective_date: Day(line.effective_date),
            outcome: Outcome::Rejected,
            reason: None,
            positions: 0,
            realized_pnl: E16(0),
            dividends: E16(0),
            file: located.file.clone(),
            line: located.line,
        }
    }
}

/// Whom a lock concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockedScope {
    /// Every account.
    All,
    /// One account.
    Account(String),
}

impl Serialize for LockedScope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::All => crate::input::text::WILDCARD,
            Self::Account(account) => account,
        })
    }
}

/// A period lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockRow {
    /// Account, `*` for all.
    pub account: LockedScope,
    /// Up to and with this date.
    pub through: Day,
    /// `applied` or `rejected`.
    pub outcome: Outcome,
    /// Why it was refused, a stable code; null otherwise.
    pub reason: Option<&'static str>,
    /// File as named on the command line.
    #[serde(serialize_with = "shared_text")]
    pub file: Arc<str>,
    /// Line in that file.
    pub line: u64,
}

/// What a change of a closed period made of its realized amounts: it belongs to the open one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdjustmentRow {
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// The trade or action that changed it, the first one of several.
    pub trade_id: String,
    /// The first open day.
    pub date: Day,
    /// Change of the realized amounts of closed days.
    pub realized_pnl: E16,
    /// Change of the dividends of closed days.
    pub dividends: E16,
    /// The position's version after it.
    pub version: u64,
}
