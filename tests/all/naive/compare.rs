//! Figures, lots and allocations of both books, compared to the last unit.

use lotbook_core::date::Date;
use lotbook_core::event::Figures as Totals;
use lotbook_core::lots::Lot;
use lotbook_core::outcome::Allocation;
pub(super) use lotbook_tests::beside::same;
use lotbook_tests::naive::lots::{Book, Figures, Lot as NaiveLot};

use super::translate::{e8, hash, name};

/// The name under which a break is counted.
pub(super) fn breaks(reason: &'static str) -> &'static str {
    match reason {
        "OVERSELL" => "break OVERSELL",
        "TRADE_TYPE_MISMATCH" => "break TRADE_TYPE_MISMATCH",
        "UNKNOWN_LOT" => "break UNKNOWN_LOT",
        "LOT_TOO_SMALL" => "break LOT_TOO_SMALL",
        "SUB_ACCOUNT_OVERSELL" => "break SUB_ACCOUNT_OVERSELL",
        "OPPOSITE_SIDE" => "break OPPOSITE_SIDE",
        _ => "other breaks",
    }
}

pub(super) fn totals(engine: &Totals, model: &Book) -> Result<(), String> {
    same("quantity", i128::from(engine.quantity_e8), model.quantity())?;
    same("total realized", engine.realized_e16, model.realized)?;
    same("total realized long-term", engine.realized_long_e16, model.realized_long)?;
    same("total realized in base", engine.realized_base_e16, model.realized_base)?;
    same("cost", engine.cost_e16, model.cost())?;
    same("base cost", engine.base_cost_e16, model.base_cost())
}

pub(super) fn lots(engine: impl ExactSizeIterator<Item = Lot>, model: &[NaiveLot]) -> Result<(), String> {
    same("lots", engine.len(), model.len())?;
    for (at, (lot, wanted)) in engine.zip(model).enumerate() {
        let is = Lot {
            origin: hash(&wanted.origin),
            quantity_e8: e8(wanted.quantity),
            cost_e16: wanted.cost,
            base_cost_e16: wanted.base_cost,
            price_e8: e8(wanted.price),
            acquired: Date(wanted.acquired),
            sub_account: name(wanted.sub_account),
        };
        same(&format!("lot {at} ({})", wanted.origin), lot, is)?;
    }
    Ok(())
}

pub(super) fn alike(engine: &[Allocation], model: &Figures) -> Result<(), String> {
    same("allocations", engine.len(), model.allocations.len())?;
    for (part, wanted) in engine.iter().zip(&model.allocations) {
        let is = Allocation {
            lot: hash(&wanted.lot.origin),
            quantity_e8: e8(wanted.quantity),
            price_e8: e8(wanted.lot.price),
            cost_e16: wanted.cost,
            base_cost_e16: wanted.base_cost,
            realized_e16: wanted.realized,
            acquired: Date(wanted.lot.acquired),
            is_long_term: wanted.is_long_term,
        };
        same(&format!("allocation of {}", wanted.lot.origin), *part, is)?;
    }
    Ok(())
}
