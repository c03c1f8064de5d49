//! What `lotbook replay` prints: one JSON document, or tables for people.
//!
//! The shape is a contract (`docs/replay.md`, `docs/replay-output.schema.json`): keys may be added, none
//! is renamed or removed. Numbers that must be exact are decimal strings.
//!
//! Order: positions by account, then instrument, as bytes; trades as they were read (file, then
//! line); corrections by position, then version; skipped lines as they were read.

mod lots;
mod table;
mod wash;
mod wide;

use std::io::{self, Write};
use std::sync::Arc;

use lotbook_core::event::Figures;
use serde::{Serialize, Serializer};

pub use lotbook_archiver::text::{Day, E8, E16};
pub use lots::{LotChangeRow, LotStateRow};
pub use table::{Colours, write_table};
pub use wash::{ReplacementRow, WashLossRow, WashLotRow, WashPieceRow, WashRow};
pub use wide::{ActionRow, AdjustedFigures, AdjustedRow, AdjustmentRow, LockRow, LockedScope};

/// The name of a file is shared by all its lines.
fn shared_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Whether a position holds anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PositionStatus {
    /// Its quantity is not zero.
    Open,
    /// Its quantity is zero.
    Closed,
}

/// How far a position's figures can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Reconciliation {
    /// Equal to the chronological replay of the accepted trades.
    Reconciled,
    /// An estimate that waits for its replay.
    Provisional,
    /// Replayed; a break waits for a person.
    Pending,
}

/// What became of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Booked; its figures are final or reconciled.
    Applied,
    /// Came late and was booked as an estimate; its position's status says whether the replay has come since.
    Provisional,
    /// Its id was accepted before.
    Duplicate,
    /// Refused, with a reason.
    Rejected,
    /// Kept apart: a forward-dated trade, or an amendment that waits for its target.
    Held,
}

/// A lot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LotRow {
    /// The trade that opened it.
    pub trade_id: String,
    /// `long` or `short`.
    pub side: LotSide,
    /// Open quantity, positive.
    pub quantity: E8,
    /// Opening price.
    pub price: E8,
    /// Remaining cost (for a short lot: remaining proceeds).
    pub cost: E16,
    /// The same in base currency, at the rates of opening.
    pub base_cost: E16,
    /// From when it is held: its date of opening, or what an opening lot says.
    pub acquired: Day,
    /// First date on which selling it is long-term, by the rules in force; null for a short lot.
    pub long_term_from: Option<Day>,
    /// Sub-account, null where it has none.
    pub sub_account: Option<String>,
    /// Unrealized at the mark, null where there is no mark.
    pub unrealized_pnl: Option<E16>,
}

/// Side of a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LotSide {
    /// Bought.
    Long,
    /// Sold short.
    Short,
}

/// The price that a position is valued at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MarkRow {
    /// Price; the middle for bid and ask, rounded half to even.
    pub price: E8,
    /// Which step of the waterfall: `official_close`, `last`, `bid_ask` or `previous_close`.
    pub source: &'static str,
    /// Its age in milliseconds at the time of the newest input; never negative.
    pub age_ms: u64,
}

/// A position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PositionRow {
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// Net quantity, negative when short.
    pub quantity: E8,
    /// Whether it holds anything.
    pub status: PositionStatus,
    /// How far its figures can be trusted.
    pub reconciliation_status: Reconciliation,
    /// Number of changes.
    pub version: u64,
    /// Realized since inception; without fees, unless a contract's `fees_rule` says otherwise.
    pub realized_pnl: E16,
    /// The part of it that is long-term.
    pub realized_long_term: E16,
    /// The part of it that is short-term.
    pub realized_short_term: E16,
    /// Realized since inception, in base currency.
    pub realized_base: E16,
    /// Remaining cost of the open lots.
    pub cost: E16,
    /// Remaining base cost of the open lots.
    pub base_cost: E16,
    /// Unrealized at the mark; zero when closed, null where there is no mark.
    pub unrealized_pnl: Option<E16>,
    /// Cost of the open lots by quantity and multiplier, half to even at eight decimals; zero when closed.
    pub average_cost: E8,
    /// Quantity at the mark, with multiplier; zero when closed, null where there is no mark.
    pub exposure: Option<E16>,
    /// Currency of the instrument, null where none is known.
    pub currency: Option<String>,
    /// Business date of the last applied trade.
    pub last_effective_date: Option<Day>,
    /// Accepted trades that wait for the replay.
    pub provisional_trade_ids: Vec<String>,
    /// Signed quantity of forward-dated trades, kept apart.
    pub forward_quantity: E8,
    /// What the open period carries of changes of closed days, null where there were none.
    pub adjustment: Option<AdjustedRow>,
    /// Unique transaction identifier, null where none was made.
    pub uti: Option<String>,
    /// What it is valued at, null where there is no mark.
    pub mark: Option<MarkRow>,
    /// Fees since inception, kept apart from cost and P&L.
    pub fees: E16,
    /// Dividends since inception, apart from realized P&L; negative where shorts paid more.
    pub dividends: E16,
    /// Accepted trades that break a rule at their place in history; with any the status is PENDING.
    pub breaks: Vec<BreakRow>,
    /// Who resolved these breaks, null where nobody did.
    pub resolution: Option<ResolutionRow>,
    /// Open lots in the order of opening.
    pub lots: Vec<LotRow>,
}

/// A trade that breaks a rule at its place in history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakRow {
    /// The trade.
    pub trade_id: String,
    /// The rule, as a reason code.
    pub reason: &'static str,
}

/// An operator's resolution of a position's breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResolutionRow {
    /// Who.
    pub user_id: String,
    /// Why.
    pub reason: String,
}

/// A part of a reduction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllocationRow {
    /// The trade that opened the lot.
    pub lot_trade_id: String,
    /// Quantity taken, positive.
    pub quantity: E8,
    /// The lot's opening price.
    pub price: E8,
    /// Cost taken.
    pub cost: E16,
    /// Base cost taken.
    pub base_cost: E16,
    /// From when the lot was held.
    pub acquired: Day,
    /// How long it was held.
    pub term: Term,
    /// Realized by this part.
    pub realized_pnl: E16,
}

/// How long what was closed had been held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Term {
    /// A long lot beyond its holding period.
    Long,
    /// Any other.
    Short,
}

/// What amendments have made of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Amended {
    /// It counts with other fields than it came with.
    Corrected,
    /// It is out of the history.
    Cancelled,
}

/// A trade or amendment as it stands after reconciliation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TradeRow {
    /// Its id as given, or as made for an amendment that gave none.
    pub trade_id: String,
    /// Type of the line: `trade`, `open_lot`, `cancel` or `correct`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Id of what an amendment amends, null for others.
    pub amends: Option<String>,
    /// What amendments have made of it, null where it counts as it came.
    pub amended: Option<Amended>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused, a stable code; null otherwise.
    pub reason: Option<&'static str>,
    /// Realized by it; zero for what is not booked.
    pub realized_pnl: E16,
    /// The part of it that is long-term.
    pub realized_long_term: E16,
    /// The part of it that is short-term.
    pub realized_short_term: E16,
    /// Realized by it in base currency.
    pub realized_base: E16,
    /// The part of that which is due to prices: what it realized, at its own rate.
    pub realized_market: E16,
    /// The part of that which is due to rates.
    pub realized_fx: E16,
    /// Which lots it reduced.
    pub allocations: Vec<AllocationRow>,
    /// Account as given; of an amendment its target's, empty where that is not known.
    pub account: String,
    /// Instrument, likewise.
    pub instrument: String,
    /// Fees as given.
    pub fees: E8,
    /// Gross amount as given, null where none was.
    pub consideration: Option<E8>,
    /// That less price x quantity x multiplier, null where one of the two was not given.
    pub consideration_difference: Option<E16>,
    /// Currency as given, null where none was.
    pub currency: Option<String>,
    /// Units of base currency for one of the trade's: given, or stamped; null of an amendment that does not change it.
    pub fx_to_base: Option<E8>,
    /// Sub-account as given, null where none was.
    pub sub_account: Option<String>,
    /// Correlation id, made by the door where the sender gave none.
    pub correlation_id: String,
    /// File as named on the command line.
    #[serde(serialize_with = "shared_text")]
    pub file: Arc<str>,
    /// Line in that file.
    pub line: u64,
}

/// A position's figures before or after a correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FiguresRow {
    /// Net quantity.
    pub quantity: E8,
    /// Realized since inception.
    pub realized_pnl: E16,
    /// The part of it that is long-term.
    pub realized_long_term: E16,
    /// Realized since inception, in base currency.
    pub realized_base: E16,
    /// Remaining cost of the open lots.
    pub cost: E16,
    /// Remaining base cost of the open lots.
    pub base_cost: E16,
    /// Dividends since inception.
    pub dividends: E16,
    /// Open lots.
    pub lot_count: u64,
    /// Exposure at the mark of the moment, null where there was none.
    pub exposure: Option<E16>,
}

impl FiguresRow {
    /// Of a position's figures, at an exposure that the caller knows.
    #[must_use]
    pub fn of(figures: &Figures, exposure: Option<E16>) -> Self {
        Self {
            quantity: E8(figures.quantity_e8),
            realized_pnl: E16(figures.realized_e16),
            realized_long_term: E16(figures.realized_long_e16),
            realized_base: E16(figures.realized_base_e16),
            cost: E16(figures.cost_e16),
            base_cost: E16(figures.base_cost_e16),
            dividends: E16(figures.dividends_e16),
            lot_count: u64::from(figures.lot_count),
            exposure,
        }
    }
}

/// After less before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeltaRow {
    /// Of the net quantity.
    pub quantity: E8,
    /// Of realized P&L.
    pub realized_pnl: E16,
    /// Of the long-term part of it.
    pub realized_long_term: E16,
    /// Of realized P&L in base currency.
    pub realized_base: E16,
    /// Of dividends.
    pub dividends: E16,
    /// Of the number of lots.
    pub lot_count: i64,
    /// Of the exposure, null where one of the two is.
    pub exposure: Option<E16>,
}

/// A correction of a position's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CorrectionRow {
    /// `account/instrument`, for reading; the two keys below are exact.
    pub position: String,
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// The first late trade that caused it.
    pub trade_id: String,
    /// The position's version after it.
    pub version: u64,
    /// The version whose estimate it replaces: `before` was told there.
    pub base_version: u64,
    /// Late trades that it reconciles.
    pub late_trades: u64,
    /// Before.
    pub before: FiguresRow,
    /// After.
    pub after: FiguresRow,
    /// After less before.
    pub delta: DeltaRow,
    /// The lots that it opens, changes and closes.
    pub lots: Vec<LotChangeRow>,
    /// What of it lies in closed days, null where nothing does.
    pub adjustment: Option<AdjustedRow>,
}

impl CorrectionRow {
    /// The differences of two sets of figures; `None` where one leaves its exact range.
    #[must_use]
    pub fn delta_of(before: &FiguresRow, after: &FiguresRow) -> Option<DeltaRow> {
        let exposure = match (before.exposure, after.exposure) {
            (Some(before), Some(after)) => Some(E16(after.0.checked_sub(before.0)?)),
            _ => None,
        };
        Some(DeltaRow {
            quantity: E8(after.quantity.0.checked_sub(before.quantity.0)?),
            realized_pnl: E16(after.realized_pnl.0.checked_sub(before.realized_pnl.0)?),
            realized_long_term: E16(after.realized_long_term.0.checked_sub(before.realized_long_term.0)?),
            realized_base: E16(after.realized_base.0.checked_sub(before.realized_base.0)?),
            dividends: E16(after.dividends.0.checked_sub(before.dividends.0)?),
            lot_count: i64::try_from(after.lot_count).ok()?.checked_sub(i64::try_from(before.lot_count).ok()?)?,
            exposure,
        })
    }
}

/// A line that was passed over by `--skip-bad`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedRow {
    /// File as named on the command line.
    #[serde(serialize_with = "shared_text")]
    pub file: Arc<str>,
    /// Line, 0 where the file as a whole is meant.
    pub line: u64,
    /// The stable code.
    pub code: &'static str,
    /// The field concerned.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl SkippedRow {
    /// From an unreadable line; `None` for a readable one.
    #[must_use]
    pub fn of(located: &crate::input::Located) -> Option<Self> {
        let error = located.line_result.as_ref().err()?;
        Some(Self {
            file: located.file.clone(),
            line: located.line,
            code: error.code.as_str(),
            field: error.field.as_ref().map(|field| field.clone().into_owned()),
            message: error.message.clone(),
        })
    }
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines, rows or messages read, whatever they were.
    pub lines: u64,
    /// Trades and amendments read; the sum of the five outcomes.
    pub trades: u64,
    /// Amendments among them.
    pub amendments: u64,
    /// Trades with outcome applied.
    pub applied: u64,
    /// Trades with outcome provisional.
    pub provisional: u64,
    /// Trades with outcome duplicate.
    pub duplicate: u64,
    /// Trades with outcome rejected.
    pub rejected: u64,
    /// Trades with outcome held.
    pub held: u64,
    /// Lines passed over by `--skip-bad`.
    pub skipped: u64,
    /// CSV rows passed over by `--where`.
    pub filtered: u64,
    /// Positions, open or closed.
    pub positions: u64,
    /// Open lots.
    pub lots: u64,
    /// Corrections.
    pub corrections: u64,
    /// Actions and resets read, whatever became of them.
    pub actions: u64,
    /// Adjustments of closed periods.
    pub adjustments: u64,
    /// Contracts, instruments, business dates, marks and resolutions that were read and refused.
    pub refused_commands: u64,
    /// FIX messages passed over because they are no trades.
    pub other_messages: u64,
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayDocument {
    /// By account, then instrument, as bytes.
    pub positions: Vec<PositionRow>,
    /// As they were read.
    pub trades: Vec<TradeRow>,
    /// Actions and resets, as they were read.
    pub actions: Vec<ActionRow>,
    /// Period locks, as they were read.
    pub locks: Vec<LockRow>,
    /// By position, then version.
    pub corrections: Vec<CorrectionRow>,
    /// By position, then version.
    pub adjustments: Vec<AdjustmentRow>,
    /// By account, then instrument, as bytes.
    pub wash: Vec<WashRow>,
    /// As they were read.
    pub skipped: Vec<SkippedRow>,
    /// How many of what.
    pub counts: Counts,
}

impl ReplayDocument {
    /// Puts everything in the stated order and counts it. `counts.lines`, `counts.filtered`,
    /// `counts.refused_commands` and `counts.other_messages` are the caller's.
    pub fn finish(&mut self) {
        self.positions.sort_by(|a, b| position_key(a).cmp(&position_key(b)));
        self.corrections.sort_by(|a, b| correction_key(a).cmp(&correction_key(b)));
        self.adjustments.sort_by(|a, b| adjustment_key(a).cmp(&adjustment_key(b)));
        self.wash.sort_by(|a, b| wash_key(a).cmp(&wash_key(b)));
        let of = |outcome| self.trades.iter().filter(|t| t.outcome == outcome).count() as u64;
        self.counts = Counts {
            lines: self.counts.lines,
            filtered: self.counts.filtered,
            refused_commands: self.counts.refused_commands,
            other_messages: self.counts.other_messages,
            trades: self.trades.len() as u64,
            amendments: self.trades.iter().filter(|t| t.amends.is_some()).count() as u64,
            applied: of(Outcome::Applied),
            provisional: of(Outcome::Provisional),
            duplicate: of(Outcome::Duplicate),
            rejected: of(Outcome::Rejected),
            held: of(Outcome::Held),
            skipped: self.skipped.len() as u64,
            positions: self.positions.len() as u64,
            lots: self.positions.iter().map(|p| p.lots.len() as u64).sum(),
            corrections: self.corrections.len() as u64,
            actions: self.actions.len() as u64,
            adjustments: self.adjustments.len() as u64,
        };
    }

    fn assert_finished(&self) {
        assert!(self.positions.is_sorted_by(|a, b| position_key(a) < position_key(b)), "positions in order, each once");
        assert!(self.corrections.is_sorted_by(|a, b| correction_key(a) < correction_key(b)), "corrections in order");
        assert_eq!(self.counts.trades, self.trades.len() as u64, "counted");
        assert_eq!(self.counts.positions, self.positions.len() as u64, "counted");
    }
}

fn position_key(row: &PositionRow) -> (&[u8], &[u8]) {
    (row.account.as_bytes(), row.instrument.as_bytes())
}

fn wash_key(row: &WashRow) -> (&[u8], &[u8]) {
    (row.account.as_bytes(), row.instrument.as_bytes())
}

fn correction_key(row: &CorrectionRow) -> (&[u8], &[u8], u64) {
    (row.account.as_bytes(), row.instrument.as_bytes(), row.version)
}

fn adjustment_key(row: &AdjustmentRow) -> (&[u8], &[u8], u64) {
    (row.account.as_bytes(), row.instrument.as_bytes(), row.version)
}

/// Writes the document and a line end, without building it in memory first.
///
/// # Errors
/// Those of the writer.
///
/// # Panics
/// When [`ReplayDocument::finish`] was not called: the order is part of the contract.
pub fn write_json(document: &ReplayDocument, out: impl Write) -> io::Result<()> {
    const BUFFER_BYTES: usize = 64 << 10;
    document.assert_finished();
    let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, out);
    serde_json::to_writer(&mut out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
