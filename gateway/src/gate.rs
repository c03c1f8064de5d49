//! The gate: what a door checks about a trade before it reaches a shard.
//!
//! Form is the readers' business and legality the book's; what is left is whether the price is one
//! that the instrument can have. Pure functions over a small table.

use std::collections::HashMap;

use lotbook_core::command::InstrumentTerms;
use lotbook_core::id::NameId;

/// The terms that bound a price. Zero means no bound, as in [`InstrumentTerms`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceTerms {
    /// Smallest price step.
    pub tick_e8: i64,
    /// Lowest admissible price.
    pub price_min_e8: i64,
    /// Highest admissible price.
    pub price_max_e8: i64,
}

impl From<&InstrumentTerms> for PriceTerms {
    fn from(terms: &InstrumentTerms) -> Self {
        Self { tick_e8: terms.tick_e8, price_min_e8: terms.price_min_e8, price_max_e8: terms.price_max_e8 }
    }
}

/// Why the gate refuses a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateRefusal {
    /// Below the lowest or above the highest price of the instrument.
    #[error("the price is outside the instrument's bounds")]
    PriceOutOfBounds,
    /// Not a whole number of the instrument's price steps.
    #[error("the price is not on the instrument's tick")]
    PriceOffTick,
}

impl GateRefusal {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::PriceOutOfBounds => "PRICE_OUT_OF_BOUNDS",
            Self::PriceOffTick => "PRICE_OFF_TICK",
        }
    }
}

/// Whether an instrument can have this price. A negative price passes: the book refuses it with its own code.
///
/// # Errors
/// [`GateRefusal`]; bounds come before the tick.
#[inline]
pub fn check_price(terms: &PriceTerms, price_e8: i64) -> Result<(), GateRefusal> {
    if price_e8 < 0 {
        return Ok(());
    }
    if price_e8 < terms.price_min_e8 || (terms.price_max_e8 > 0 && price_e8 > terms.price_max_e8) {
        return Err(GateRefusal::PriceOutOfBounds);
    }
    if terms.tick_e8 > 0 && price_e8 % terms.tick_e8 != 0 {
        return Err(GateRefusal::PriceOffTick);
    }
    Ok(())
}

/// The terms of the instruments that have any.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    terms: HashMap<NameId, PriceTerms>,
}

impl Gate {
    /// Takes an instrument's terms in place of earlier ones.
    pub fn set(&mut self, terms: &InstrumentTerms) {
        self.terms.insert(terms.instrument, terms.into());
    }

    /// As [`check_price`]; an instrument without terms can have any price.
    ///
    /// # Errors
    /// As [`check_price`].
    #[inline]
    pub fn check(&self, instrument: NameId, price_e8: i64) -> Result<(), GateRefusal> {
        self.terms.get(&instrument).map_or(Ok(()), |terms| check_price(terms, price_e8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_come_before_the_tick() {
        use GateRefusal::{PriceOffTick, PriceOutOfBounds};
        let none = PriceTerms::default();
        let all = PriceTerms { tick_e8: 25, price_min_e8: 100, price_max_e8: 200 };
        for (terms, price_e8, want) in [
            (none, 0, Ok(())),
            (none, i64::MAX, Ok(())),
            (all, 100, Ok(())),
            (all, 200, Ok(())),
            (all, 125, Ok(())),
            (all, 99, Err(PriceOutOfBounds)),
            (all, 201, Err(PriceOutOfBounds)),
            (all, 101, Err(PriceOffTick)),
            (all, 0, Err(PriceOutOfBounds)),
            (all, -25, Ok(())),
            (PriceTerms { price_min_e8: 0, ..all }, 0, Ok(())),
            (PriceTerms { price_max_e8: 0, ..all }, i64::MAX - 7, Ok(())),
            (PriceTerms { price_max_e8: 0, ..all }, i64::MAX, Err(PriceOffTick)),
        ] {
            assert_eq!(check_price(&terms, price_e8), want, "{terms:?} {price_e8}");
        }
        assert_eq!(Gate::default().check(7, 1), Ok(()));
    }
}
