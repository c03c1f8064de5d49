//! Rows of what a correction does lot by lot.

use lotbook_core::lots::Lot;
use serde::Serialize;

use super::{Day, E8, E16, LotSide};

/// A lot that a correction opens, changes or closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LotChangeRow {
    /// The trade that opened it.
    pub trade_id: String,
    /// Before the correction, null where it opens the lot.
    pub before: Option<LotStateRow>,
    /// After it, null where it closes the lot.
    pub after: Option<LotStateRow>,
}

/// A lot on one side of a correction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LotStateRow {
    /// `long` or `short`.
    pub side: LotSide,
    /// Open quantity, positive.
    pub quantity: E8,
    /// Opening price.
    pub price: E8,
    /// Remaining cost.
    pub cost: E16,
    /// Remaining cost in base currency.
    pub base_cost: E16,
    /// From when it is held.
    pub acquired: Day,
}

impl LotStateRow {
    /// Of a lot of a position with this net quantity.
    #[must_use]
    pub fn of(lot: &Lot, quantity_e8: i64) -> Self {
        Self {
            side: if quantity_e8 > 0 { LotSide::Long } else { LotSide::Short },
            quantity: E8(lot.quantity_e8),
            price: E8(lot.price_e8),
            cost: E16(lot.cost_e16),
            base_cost: E16(lot.base_cost_e16),
            acquired: Day(lot.acquired),
        }
    }
}
