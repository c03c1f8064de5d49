//! Puts the document together when everything has been fed, reconciled and stopped.

use std::sync::Arc;

use lotbook_core::amount::{ONE_E8, notional, sub};
use lotbook_core::command::NameClass;
use lotbook_core::id::TradeHash;
use lotbook_engine::{Directory, PositionView, ReadModel};

use super::feed::{Fed, FedAction};
use super::ledger::{Amendment, Ledger};
use crate::input::Stats;
use crate::output::{
    ActionRow, AllocationRow, Day, E8, E16, Outcome, PositionRow, ReplayDocument, SkippedRow, Term, TradeRow, WashRow,
};
use crate::view::position_row;

/// Why a held trade waits.
const FORWARD_DATED: &str = "FORWARD_DATED";
/// Why a held amendment waits.
const NO_TARGET: &str = "NO_TARGET";

pub(super) fn build(
    fed: Fed,
    ledger: &Ledger,
    model: &ReadModel,
    directory: &Directory,
    past: Option<Vec<PositionRow>>,
    (skipped, wash): (Vec<SkippedRow>, Vec<WashRow>),
    stats: &Stats,
) -> ReplayDocument {
    let Fed { mut rows, keys, actions, locks, newest_mark_ns, refused_commands, .. } = fed;
    let mut newest_ns = newest_mark_ns;
    for (row, key) in rows.iter_mut().zip(&keys) {
        finish_row(row, key.hash, ledger);
        if let (Some(consideration), Some((price_e8, quantity_e8))) = (row.consideration, key.priced)
            && row.outcome != Outcome::Rejected
        {
            let multiplier_e8 = multiplier(&row.instrument, model, directory);
            row.consideration_difference = difference(consideration, price_e8, quantity_e8, multiplier_e8);
        }
        // What waits or was refused has not happened.
        if matches!(row.outcome, Outcome::Applied | Outcome::Provisional | Outcome::Duplicate) {
            newest_ns = newest_ns.max(key.executed_at_ns);
        }
    }
    let position = |view: &Arc<PositionView>| position_row(view, model, newest_ns);
    let mut document = ReplayDocument {
        positions: past.unwrap_or_else(|| model.positions().iter().map(position).collect()),
        trades: rows,
        actions: action_rows(actions, ledger, model),
        locks,
        adjustments: ledger.adjustments().to_vec(),
        corrections: ledger.corrections().to_vec(),
        skipped,
        wash,
        ..ReplayDocument::default()
    };
    document.counts.lines = stats.lines;
    document.counts.filtered = stats.filtered;
    document.counts.other_messages = stats.session_messages;
    document.counts.refused_commands = refused_commands;
    document.finish();
    document
}

fn multiplier(instrument: &str, model: &ReadModel, directory: &Directory) -> i64 {
    let instrument = directory.find(NameClass::Instrument, instrument).and_then(|id| model.instrument(id));
    instrument.map_or(ONE_E8, |instrument| instrument.terms.multiplier_e8)
}

/// What a consideration exceeds price x quantity by; `None` where that leaves the range.
fn difference(consideration: E8, price_e8: i64, quantity_e8: i64, multiplier_e8: i64) -> Option<E16> {
    let value = notional(price_e8, quantity_e8, multiplier_e8).ok()?;
    sub(i128::from(consideration.0) * i128::from(ONE_E8), value).ok().map(E16)
}

/// An amendment that was held and whose target has come is part of the history like one that found it there.
fn finish_amendment(row: &mut TradeRow, hash: TradeHash, ledger: &Ledger) {
    if !matches!(row.outcome, Outcome::Held | Outcome::Provisional) {
        return;
    }
    match ledger.amendment(hash) {
        Some(Amendment::Accepted { account, instrument }) => {
            row.outcome = Outcome::Provisional;
            (row.account, row.instrument) = (account.as_ref().into(), instrument.as_ref().into());
        }
        Some(Amendment::Held) => row.reason = Some(NO_TARGET),
        Some(Amendment::OfAction) => row.outcome = Outcome::Applied,
        Some(Amendment::Lapsed(reason)) => (row.outcome, row.reason) = (Outcome::Rejected, Some(reason.code())),
        None => {}
    }
}

/// What actions did, as it stands now: one that waited may have come, and a duplicate's figures are the first one's.
fn action_rows(actions: Vec<FedAction>, ledger: &Ledger, model: &ReadModel) -> Vec<ActionRow> {
    let acted = ledger.acted();
    let today = model.business_date();
    let finish = |FedAction { hash, date, mut row }: FedAction| {
        if matches!(row.outcome, Outcome::Applied | Outcome::Held) {
            row.amended = ledger.amended(hash);
        }
        if row.outcome == Outcome::Held {
            let has_come = today.is_some_and(|today| date <= today);
            (row.outcome, row.reason) =
                if has_come { (Outcome::Applied, None) } else { (Outcome::Held, Some(FORWARD_DATED)) };
        }
        if row.outcome == Outcome::Applied
            && let Some((positions, realized_e16, dividends_e16)) = acted.get(&hash)
        {
            row.positions = *positions;
            row.realized_pnl = E16(*realized_e16);
            row.dividends = E16(*dividends_e16);
        }
        row
    };
    actions.into_iter().map(finish).collect()
}

/// Figures as they stand now. A duplicate and a refused trade have none: they are the first one's, or nobody's.
fn finish_row(row: &mut TradeRow, hash: TradeHash, ledger: &Ledger) {
    if row.amends.is_some() {
        return finish_amendment(row, hash, ledger);
    }
    if matches!(row.outcome, Outcome::Applied | Outcome::Provisional | Outcome::Held) {
        row.amended = ledger.amended(hash);
    }
    if row.outcome == Outcome::Held {
        (row.outcome, row.reason) =
            if ledger.has_matured(hash) { (Outcome::Applied, None) } else { (Outcome::Held, Some(FORWARD_DATED)) };
    }
    if !matches!(row.outcome, Outcome::Applied | Outcome::Provisional) {
        return;
    }
    let Some(figures) = ledger.figures(hash) else { return };
    row.realized_pnl = E16(figures.realized_e16);
    row.realized_long_term = E16(figures.realized_long_e16);
    row.realized_short_term = E16(figures.realized_e16 - figures.realized_long_e16);
    row.realized_base = E16(figures.realized_base_e16);
    row.realized_market = E16(figures.realized_market_e16);
    row.realized_fx = E16(figures.realized_base_e16 - figures.realized_market_e16);
    let allocation = |taken: &lotbook_core::outcome::Allocation| AllocationRow {
        lot_trade_id: ledger.id(taken.lot),
        quantity: E8(taken.quantity_e8),
        price: E8(taken.price_e8),
        cost: E16(taken.cost_e16),
        base_cost: E16(taken.base_cost_e16),
        acquired: Day(taken.acquired),
        term: if taken.is_long_term { Term::Long } else { Term::Short },
        realized_pnl: E16(taken.realized_e16),
    };
    row.allocations = figures.allocations.iter().map(allocation).collect();
}
