//! What was known when, as people read it: one form for HTTP, `lotbook position` and `replay`.

use lotbook_engine::ReadModel;
use lotbook_engine::past::{Answer, Correction, LotDifference};
use serde::Serialize;

use crate::input::time::format_timestamp;
use crate::output::{CorrectionRow, Day, DeltaRow, E16, FiguresRow, LotChangeRow, LotStateRow, PositionRow};
use crate::view;

/// A position of the past.
#[derive(Debug, Serialize)]
pub struct PastRow {
    /// Its figures; without a mark, which only today has.
    #[serde(flatten)]
    pub position: PositionRow,
    /// Trades that break a rule at their place in history.
    pub break_count: usize,
    /// Open lots.
    pub lot_count: usize,
    /// The date that the figures are of; null: as the position stood at that moment.
    pub as_of: Option<Day>,
    /// Log sequence up to which everything was known, and nothing more.
    pub known_at: u64,
    /// The business date at that moment, null where there was none yet.
    pub business_date: Option<Day>,
    /// What was corrected between the two moments, oldest first; only where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<Vec<PastCorrectionRow>>,
}

/// A correction of a position.
#[derive(Debug, Serialize)]
pub struct PastCorrectionRow {
    /// Log sequence of its event.
    pub sequence: u64,
    /// When it was accepted.
    pub at: String,
    /// The position's version by it.
    pub version: u64,
    /// The version that it replaces: the estimate `before`.
    pub base_version: u64,
    /// The first late change in it; empty for a contract's.
    pub cause: String,
    /// Log sequence of that change.
    pub cause_sequence: u64,
    /// Late changes that it reconciles.
    pub late_changes: u32,
    /// Trades that break a rule by it.
    pub breaks: u32,
    /// Before.
    pub before: FiguresRow,
    /// After.
    pub after: FiguresRow,
    /// After less before; null where that leaves the exact range.
    pub delta: Option<DeltaRow>,
    /// The lots that it opens, changes and closes.
    pub lots: Vec<LotChangeRow>,
}

/// An answer's row. `with_corrections`: they were asked for.
#[must_use]
pub fn row(answer: &Answer, model: &ReadModel, with_corrections: bool) -> PastRow {
    let position = view::past_row(&answer.view, model);
    PastRow {
        break_count: answer.view.breaks.len(),
        lot_count: answer.view.lots.len(),
        position,
        as_of: answer.as_of.map(Day),
        known_at: answer.known_at,
        business_date: answer.business_date.map(Day),
        corrections: with_corrections.then(|| answer.corrections.iter().map(correction_row).collect()),
    }
}

fn correction_row(correction: &Correction) -> PastCorrectionRow {
    let [exposed_before, exposed_after] = correction.exposures_e16.map(|exposure| exposure.map(E16));
    let before = FiguresRow::of(&correction.before, exposed_before);
    let after = FiguresRow::of(&correction.after, exposed_after);
    let lot = |change: &LotDifference| LotChangeRow {
        trade_id: change.trade_id.as_ref().into(),
        before: change.before.as_ref().map(|lot| LotStateRow::of(lot, correction.before.quantity_e8)),
        after: change.after.as_ref().map(|lot| LotStateRow::of(lot, correction.after.quantity_e8)),
    };
    PastCorrectionRow {
        sequence: correction.sequence,
        at: format_timestamp(correction.at_ns),
        version: correction.version,
        base_version: correction.base_version,
        cause: correction.cause.as_ref().into(),
        cause_sequence: correction.cause_sequence,
        late_changes: correction.late,
        breaks: correction.breaks,
        delta: CorrectionRow::delta_of(&before, &after),
        before,
        after,
        lots: correction.lots.iter().map(lot).collect(),
    }
}
