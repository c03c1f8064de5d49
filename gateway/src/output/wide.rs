//! Rows of what reaches into many positions: actions, period locks, and what was changed in closed periods.

use std::sync::Arc;

use lotbook_core::closed::{Adjusted, PeriodFigures};
use serde::{Serialize, Serializer};

use super::{Amended, Day, E16, Outcome, shared_text};
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
    /// What amendments have made of it, null where it counts as it came.
    pub amended: Option<Amended>,
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
            amended: None,
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

/// What a change of closed days made of their figures: it belongs to the open period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdjustmentRow {
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// What changed it, the first of several.
    pub trade_id: String,
    /// The first open day.
    pub date: Day,
    /// What it makes of the figures of closed days.
    #[serde(flatten)]
    pub figures: AdjustedFigures,
    /// The position's version after it.
    pub version: u64,
}

/// What changes make of the figures of closed days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AdjustedFigures {
    /// Of the realized amounts.
    pub realized_pnl: E16,
    /// Of the long-term part of them.
    pub realized_long_term: E16,
    /// Of the short-term part of them.
    pub realized_short_term: E16,
    /// Of the realized amounts in base currency.
    pub realized_base: E16,
    /// Of fees.
    pub fees: E16,
    /// Of dividends.
    pub dividends: E16,
}

impl From<&PeriodFigures> for AdjustedFigures {
    fn from(figures: &PeriodFigures) -> Self {
        let PeriodFigures { realized_e16, long_e16, base_e16, fees_e16, dividends_e16 } = *figures;
        Self {
            realized_pnl: E16(realized_e16),
            realized_long_term: E16(long_e16),
            realized_short_term: E16(realized_e16.saturating_sub(long_e16)),
            realized_base: E16(base_e16),
            fees: E16(fees_e16),
            dividends: E16(dividends_e16),
        }
    }
}

/// What the open period carries of changes of closed days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AdjustedRow {
    /// The first open day.
    pub date: Day,
    /// What the changes make of the figures of closed days.
    #[serde(flatten)]
    pub figures: AdjustedFigures,
}

impl AdjustedRow {
    /// `None` where nothing was changed.
    #[must_use]
    pub fn of(adjusted: &Adjusted) -> Option<Self> {
        let figures = &adjusted.figures;
        (!figures.are_zero()).then(|| Self { date: Day(adjusted.date()), figures: figures.into() })
    }
}
