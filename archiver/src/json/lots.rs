//! Lots in lines: those of an outcome, and those that a correction opens, changes and closes.

use lotbook_core::id::TradeId;
use lotbook_core::lot_changes::LotChange;
use lotbook_core::lots::Lot;
use lotbook_core::outcome::Outcome;
use serde::Serialize;

use super::{day, number};
use crate::text::{Day, E8, E16, Hex128};

#[derive(Serialize)]
pub(super) struct LotRow {
    origin: Hex128,
    quantity: E8,
    price: E8,
    cost: E16,
    base_cost: E16,
    acquired: Option<Day>,
    /// Its number: a body stands apart from the log that defines names.
    sub_account: Option<u32>,
}

impl From<&Lot> for LotRow {
    fn from(lot: &Lot) -> Self {
        Self {
            origin: Hex128(lot.origin.0),
            quantity: E8(lot.quantity_e8),
            price: E8(lot.price_e8),
            cost: E16(lot.cost_e16),
            base_cost: E16(lot.base_cost_e16),
            acquired: day(lot.acquired),
            sub_account: number(lot.sub_account),
        }
    }
}

/// A lot that a correction opens (nothing before), changes, or closes (nothing after).
#[derive(Serialize)]
pub(super) struct LotChangeRow {
    /// The trade that opened it; null where only another position knows its id.
    trade_id: Option<String>,
    before: Option<LotRow>,
    after: Option<LotRow>,
}

/// What a correction does lot by lot, out of its body.
pub(super) fn changes(outcome: &Outcome) -> Vec<LotChangeRow> {
    let row = |(change, id): (&LotChange, &TradeId)| LotChangeRow {
        trade_id: (*id != TradeId::EMPTY).then(|| id.as_str().to_owned()),
        before: change.before.as_ref().map(LotRow::from),
        after: change.after(&outcome.lots).map(LotRow::from),
    };
    outcome.changed.iter().zip(&outcome.changed_ids).map(row).collect()
}
