//! A published position as people read it: one conversion for `replay --json` and for HTTP.

use lotbook_core::id::NO_NAME;
use lotbook_core::mark::Marked;
use lotbook_core::position::Reconciliation as CoreReconciliation;
use lotbook_engine::read_model::{BreakView, InstrumentView, ResolutionView};
use lotbook_engine::{PositionView, ReadModel};

use crate::output::{AdjustedRow, ResolutionRow};
use crate::output::{BreakRow, Day, E8, E16, LotRow, LotSide, MarkRow, PositionRow, PositionStatus, Reconciliation};

const NS_PER_MS: u64 = 1_000_000;

/// A position's row. `now_ns` is the moment from which the age of the mark counts: the newest input
/// for a replay, the wall clock for a host.
#[must_use]
pub fn position_row(view: &PositionView, model: &ReadModel, now_ns: i64) -> PositionRow {
    let instrument = model.instrument(view.instrument_id);
    let mark = instrument.and_then(|instrument| instrument.mark);
    marked_row(view, model, instrument.as_ref(), mark, now_ns)
}

/// A position of the past: the mark of today says nothing about it.
#[must_use]
pub fn past_row(view: &PositionView, model: &ReadModel) -> PositionRow {
    marked_row(view, model, model.instrument(view.instrument_id).as_ref(), None, 0)
}

fn marked_row(
    view: &PositionView,
    model: &ReadModel,
    instrument: Option<&InstrumentView>,
    mark: Option<Marked>,
    now_ns: i64,
) -> PositionRow {
    let flash = view.flash(mark.as_ref());
    PositionRow {
        account: view.account.as_ref().into(),
        instrument: view.instrument.as_ref().into(),
        quantity: E8(view.quantity_e8),
        status: status(view),
        reconciliation_status: reconciliation(view.reconciliation),
        version: view.version,
        realized_pnl: E16(view.realized_e16),
        realized_long_term: E16(view.realized_long_e16),
        realized_short_term: E16(view.realized_e16 - view.realized_long_e16),
        realized_base: E16(view.realized_base_e16),
        cost: E16(view.cost_e16),
        base_cost: E16(view.base_cost_e16),
        unrealized_pnl: flash.map(|flash| E16(flash.unrealized_e16)),
        average_cost: E8(average_cost_e8(view.cost_e16, view.quantity_e8, view.multiplier_e8)),
        exposure: flash.map(|flash| E16(flash.exposure_e16)),
        currency: currency(instrument, model),
        last_effective_date: view.last_effective_date.map(Day),
        provisional_trade_ids: view.provisional_trade_ids.iter().map(|id| id.as_ref().into()).collect(),
        forward_quantity: E8(view.forward_quantity_e8),
        adjustment: view.adjusted.as_ref().and_then(AdjustedRow::of),
        uti: None,
        mark: mark.map(|mark| mark_row(&mark, now_ns)),
        fees: E16(view.fees_e16),
        dividends: E16(view.dividends_e16),
        breaks: view.breaks.iter().map(break_row).collect(),
        resolution: view.resolution.as_ref().map(resolution_row),
        lots: lot_rows(view, mark.as_ref()),
    }
}

/// Whether a position holds anything.
#[must_use]
pub fn status(view: &PositionView) -> PositionStatus {
    if view.quantity_e8 == 0 { PositionStatus::Closed } else { PositionStatus::Open }
}

fn break_row(broken: &BreakView) -> BreakRow {
    BreakRow { trade_id: broken.trade_id.as_ref().into(), reason: broken.reason.code() }
}

fn resolution_row(resolution: &ResolutionView) -> ResolutionRow {
    ResolutionRow { user_id: resolution.user.as_ref().into(), reason: resolution.note.as_ref().into() }
}

fn reconciliation(status: CoreReconciliation) -> Reconciliation {
    match status {
        CoreReconciliation::Reconciled => Reconciliation::Reconciled,
        CoreReconciliation::Provisional => Reconciliation::Provisional,
        CoreReconciliation::Pending => Reconciliation::Pending,
    }
}

fn currency(instrument: Option<&InstrumentView>, model: &ReadModel) -> Option<String> {
    let currency = instrument?.terms.currency;
    if currency == NO_NAME { None } else { model.currency(currency).map(|text| text.as_ref().into()) }
}

fn mark_row(mark: &Marked, now_ns: i64) -> MarkRow {
    // A mark from the future (another machine's clock) has no age.
    let age_ns = now_ns.saturating_sub(mark.at_ns).max(0).unsigned_abs();
    MarkRow { price: E8(mark.price_e8), source: mark.source.as_str(), age_ms: age_ns / NS_PER_MS }
}

fn lot_rows(view: &PositionView, mark: Option<&Marked>) -> Vec<LotRow> {
    let side = if view.quantity_e8 < 0 { LotSide::Short } else { LotSide::Long };
    let row = |lot: &lotbook_engine::read_model::LotView| LotRow {
        trade_id: lot.trade_id.as_ref().into(),
        side,
        quantity: E8(lot.quantity_e8),
        price: E8(lot.price_e8),
        cost: E16(lot.cost_e16),
        base_cost: E16(lot.base_cost_e16),
        acquired: Day(lot.acquired),
        long_term_from: lot.long_term_from.map(Day),
        sub_account: lot.sub_account.as_deref().map(str::to_owned),
        unrealized_pnl: view.lot_flash(lot, mark).map(|flash| E16(flash.unrealized_e16)),
    };
    view.lots.iter().map(row).collect()
}

/// Cost of a unit at 10^-8: cost by quantity and multiplier, rounded once, half to even; 0 when flat.
///
/// Two divisions would round twice, which a multiplier below one then magnifies.
#[must_use]
pub fn average_cost_e8(cost_e16: i128, quantity_e8: i64, multiplier_e8: i64) -> i64 {
    const SCALE: u128 = 100_000_000;
    if quantity_e8 == 0 {
        return 0;
    }
    // No terms yet: a multiplier of one.
    let multiplier = if multiplier_e8 > 0 { u128::from(multiplier_e8.unsigned_abs()) } else { SCALE };
    // Below 2^127, so that twice a remainder and one addend still fit 128 bits.
    let divisor = u128::from(quantity_e8.unsigned_abs()) * multiplier;
    let cost = cost_e16.unsigned_abs();
    let (whole, rest) = (cost / divisor, cost % divisor);
    // rest x 10^8 / divisor in binary, since the product may need more than 128 bits.
    let (mut quotient, mut remainder) = (0u128, 0u128);
    for bit in (0..SCALE.ilog2() + 1).rev() {
        quotient *= 2;
        remainder *= 2;
        if SCALE >> bit & 1 == 1 {
            remainder += rest;
        }
        quotient += remainder / divisor;
        remainder %= divisor;
    }
    let exact = whole.saturating_mul(SCALE).saturating_add(quotient);
    let tie = (remainder * 2).cmp(&divisor);
    let up = tie.is_gt() || (tie.is_eq() && exact & 1 == 1);
    let average = exact.saturating_add(u128::from(up));
    // An average of prices lies between them, so it fits; a cost that no book can hold is shown as the largest price.
    let average = i64::try_from(average).unwrap_or(i64::MAX);
    if cost_e16 < 0 { -average } else { average }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lotbook_core::amount::{ONE_E8, ONE_E16};

    #[test]
    fn average_cost_rounds_once() {
        for (cost_e16, quantity_e8, multiplier_e8, want) in [
            (1_000 * ONE_E16, 10 * ONE_E8, ONE_E8, 100 * ONE_E8),
            (1_000 * ONE_E16, -10 * ONE_E8, ONE_E8, 100 * ONE_E8),
            (1_000 * ONE_E16, 3 * ONE_E8, ONE_E8, 33_333_333_333),
            (2_000 * ONE_E16, 3 * ONE_E8, ONE_E8, 66_666_666_667),
            (5_000 * ONE_E16, 10 * ONE_E8, 50 * ONE_E8, 10 * ONE_E8),
            (1_000 * ONE_E16, 10 * ONE_E8, 0, 100 * ONE_E8),
            (0, 10 * ONE_E8, ONE_E8, 0),
            (1_000 * ONE_E16, 0, ONE_E8, 0),
            // 1.23456789 at a multiplier of 0.01: two roundings would give 1.234568.
            (123_456_789_000_000, ONE_E8, ONE_E8 / 100, 123_456_789),
            // Ties: 0.5 and 1.5 units at 10^-8.
            (1, 2, ONE_E8, 0),
            (3, 2, ONE_E8, 2),
            (-3, 2, ONE_E8, -2),
            (i128::from(i64::MAX) * i128::from(i64::MAX), i64::MAX, ONE_E8, i64::MAX),
            (lotbook_core::amount::MONEY_E16_MAX, i64::MAX, i64::MAX, 117_549_435),
        ] {
            assert_eq!(
                average_cost_e8(cost_e16, quantity_e8, multiplier_e8),
                want,
                "{cost_e16} {quantity_e8} {multiplier_e8}"
            );
        }
    }
}
