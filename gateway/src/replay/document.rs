//! Puts the document together when everything has been fed, reconciled and stopped.

use std::sync::Arc;

use lotbook_core::command::NameClass;
use lotbook_core::event::Reason;
use lotbook_core::id::TradeHash;
use lotbook_engine::{Directory, PositionView, ReadModel};

use super::feed::{Fed, FedAction};
use super::ledger::Ledger;
use crate::input::Stats;
use crate::output::{
    ActionRow, AllocationRow, BreakRow, E8, E16, Outcome, PositionRow, ReplayDocument, SkippedRow, TradeRow,
};
use crate::view::position_row;

/// Why a held trade waits.
const FORWARD_DATED: &str = "FORWARD_DATED";

pub(super) fn build(
    fed: Fed,
    ledger: &Ledger,
    model: &ReadModel,
    directory: &Arc<Directory>,
    skipped: Vec<SkippedRow>,
    stats: &Stats,
) -> ReplayDocument {
    let Fed { mut rows, keys, actions, locks, newest_mark_ns, refused_commands, .. } = fed;
    let mut newest_ns = newest_mark_ns;
    for (row, key) in rows.iter_mut().zip(&keys) {
        finish_row(row, key.hash, ledger);
        // What waits or was refused has not happened.
        if matches!(row.outcome, Outcome::Applied | Outcome::Provisional | Outcome::Duplicate) {
            newest_ns = newest_ns.max(key.executed_at_ns);
        }
    }
    let position = |view: &Arc<PositionView>| position(view, ledger, model, directory, newest_ns);
    let mut document = ReplayDocument {
        positions: model.positions().iter().map(position).collect(),
        trades: rows,
        actions: action_rows(actions, ledger, model),
        locks,
        adjustments: ledger.adjustments().to_vec(),
        corrections: ledger.corrections().to_vec(),
        skipped,
        ..ReplayDocument::default()
    };
    document.counts.lines = stats.lines;
    document.counts.filtered = stats.filtered;
    document.counts.other_messages = stats.session_messages;
    document.counts.refused_commands = refused_commands;
    document.finish();
    document
}

/// What actions did, as it stands now: one that waited may have come, and a duplicate's figures are the first one's.
fn action_rows(actions: Vec<FedAction>, ledger: &Ledger, model: &ReadModel) -> Vec<ActionRow> {
    let acted = ledger.acted();
    let today = model.business_date();
    let finish = |FedAction { hash, date, mut row }: FedAction| {
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
    if row.outcome == Outcome::Held {
        (row.outcome, row.reason) =
            if ledger.has_matured(hash) { (Outcome::Applied, None) } else { (Outcome::Held, Some(FORWARD_DATED)) };
    }
    if !matches!(row.outcome, Outcome::Applied | Outcome::Provisional) {
        return;
    }
    let Some(figures) = ledger.figures(hash) else { return };
    row.realized_pnl = E16(figures.realized_e16);
    let allocation = |taken: &lotbook_core::outcome::Allocation| AllocationRow {
        lot_trade_id: ledger.id(taken.lot),
        quantity: E8(taken.quantity_e8),
        price: E8(taken.price_e8),
        realized_pnl: E16(taken.realized_e16),
    };
    row.allocations = figures.allocations.iter().map(allocation).collect();
}

fn position(
    view: &PositionView,
    ledger: &Ledger,
    model: &ReadModel,
    directory: &Directory,
    newest_ns: i64,
) -> PositionRow {
    let account = directory.find(NameClass::Account, &view.account);
    let instrument = directory.find(NameClass::Instrument, &view.instrument);
    let broken = account.zip(instrument).map_or(&[][..], |(account, instrument)| ledger.breaks(account, instrument));
    let row = |(hash, reason): &(TradeHash, Reason)| BreakRow { trade_id: ledger.id(*hash), reason: reason.code() };
    position_row(view, model, newest_ns, broken.iter().map(row).collect())
}
