//! Wash sales in the document: what the view of a book says, in words and ids.

use std::collections::BTreeMap;

use lotbook_core::amount::{Money, Overflow, add, share, sub};
use lotbook_core::id::TradeHash;
use lotbook_core::lots::Lot;
use lotbook_core::wash::{Loss, LotName, Piece, Totals};
use lotbook_engine::Host;
use lotbook_engine::wash::{Found, HistoryError, LinkedWash, wash_sales};

use super::ledger::Ledger;
use crate::output::{Day, E8, E16, LotSide, ReplacementRow, WashLossRow, WashLotRow, WashPieceRow, WashRow};

/// The rows of all positions in which wash sales changed anything. An instrument that has no view is a warning.
///
/// # Errors
/// [`HistoryError`].
pub(super) fn rows(host: &Host, ledger: &Ledger, warnings: &mut Vec<String>) -> Result<Vec<WashRow>, HistoryError> {
    let mut rows = Vec::new();
    for Found { instruments, wash } in wash_sales(host)? {
        let named = || instruments.join(" and ");
        match wash {
            Ok(found) => match of_linked(&found, ledger) {
                Ok(mut found) => rows.append(&mut found),
                Err(Overflow) => warnings.push(format!("no wash sales of {}: a sum leaves its exact range", named())),
            },
            Err(error) => warnings.push(format!("no wash sales of {}: {error}", named())),
        }
    }
    rows.sort_by(|a, b| (&a.instrument, &a.account).cmp(&(&b.instrument, &b.account)));
    Ok(rows)
}

fn of_linked(found: &LinkedWash, ledger: &Ledger) -> Result<Vec<WashRow>, Overflow> {
    let mut rows = Vec::new();
    for (number, washed) in (0..).zip(&found.positions) {
        let mut seen: BTreeMap<TradeHash, u32> = BTreeMap::new();
        let lot_row = |lot: &Lot| {
            let nth = seen.entry(lot.origin).and_modify(|nth| *nth += 1).or_default();
            let pieces = found.view.lots.get(&(number, LotName { origin: lot.origin, nth: *nth }))?;
            Some(lot_row(lot, pieces, washed.outcome.after.quantity_e8 > 0, ledger))
        };
        let lots = washed.outcome.lots.iter().filter_map(lot_row).collect::<Result<Vec<_>, _>>()?;
        let losses = found.view.losses.iter().filter(|loss| loss.position == number);
        let losses: Vec<_> = losses.map(|loss| loss_row(loss, found, ledger)).collect();
        let totals = found.view.totals.get(&number).copied();
        if totals.is_none() && lots.is_empty() && losses.is_empty() {
            continue;
        }
        let totals = totals.unwrap_or_default();
        let after = &washed.outcome.after;
        let realized = add(after.realized_e16, totals.shift_e16()?)?;
        let long_term = add(after.realized_long_e16, totals.long_shift_e16)?;
        let Totals { disallowed_e16, recognized_e16, carried_e16, .. } = totals;
        rows.push(WashRow {
            account: washed.account.as_ref().to_owned(),
            instrument: washed.instrument.as_ref().to_owned(),
            disallowed: E16(disallowed_e16),
            recognized: E16(recognized_e16),
            carried: E16(carried_e16),
            realized_pnl: E16(realized),
            realized_long_term: E16(long_term),
            realized_short_term: E16(sub(realized, long_term)?),
            losses,
            lots,
        });
    }
    Ok(rows)
}

fn loss_row(loss: &Loss, found: &LinkedWash, ledger: &Ledger) -> WashLossRow {
    let replacement = |by: &lotbook_core::wash::Replacement| ReplacementRow {
        account: found.positions[by.position as usize].account.as_ref().to_owned(),
        instrument: found.positions[by.position as usize].instrument.as_ref().to_owned(),
        trade_id: ledger.id(by.opening),
        lot_trade_id: ledger.id(by.lot),
        quantity: E8(by.quantity_e8),
        addition: E16(by.addition_e16),
        tacked_days: by.tacked_days,
    };
    WashLossRow {
        trade_id: ledger.id(loss.cause),
        date: Day(loss.date),
        lot_trade_id: ledger.id(loss.lot),
        quantity: E8(loss.quantity_e8),
        realized_pnl: E16(loss.realized_e16),
        addition: E16(loss.addition_e16),
        replaced_quantity: E8(loss.matched_e8),
        disallowed: E16(loss.disallowed_e16),
        replacements: loss.replacements.iter().map(replacement).collect(),
    }
}

/// Costs by cumulated units, and the additions of each piece.
fn lot_row(lot: &Lot, pieces: &[Piece], is_long: bool, ledger: &Ledger) -> Result<WashLotRow, Overflow> {
    let (mut until_e8, mut given, mut cost) = (0, 0, 0);
    let mut rows = Vec::with_capacity(pieces.len());
    for piece in pieces {
        until_e8 += piece.quantity_e8;
        let until: Money = share(lot.cost_e16, until_e8, lot.quantity_e8);
        let plain = until - given;
        given = until;
        let adjusted = if is_long { add(plain, piece.addition_e16)? } else { sub(plain, piece.addition_e16)? };
        cost = add(cost, adjusted)?;
        rows.push(WashPieceRow {
            quantity: E8(piece.quantity_e8),
            cost: E16(adjusted),
            addition: E16(piece.addition_e16),
            acquired: Day(lot.acquired.days_before(piece.tacked_days)),
        });
    }
    Ok(WashLotRow {
        trade_id: ledger.id(lot.origin),
        side: if is_long { LotSide::Long } else { LotSide::Short },
        quantity: E8(lot.quantity_e8),
        cost: E16(cost),
        pieces: rows,
    })
}
