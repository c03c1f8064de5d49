//! Marks and the waterfall: official close, last trade, middle of bid and ask, previous close.
//!
//! Marks are kept with the business date on which they came. When the date has moved on, whatever
//! mark was in force has become the previous close and the day's own marks are gone; this is
//! computed when a mark is read or written, so that a date roll touches no instrument.

use crate::amount::{Money, Overflow, div_half_even, notional};
use crate::command::{Mark, MarkKind};
use crate::date::Date;
use crate::id::ChronoKey;

/// A price and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Price.
    pub price_e8: i64,
    /// Time, UTC nanoseconds.
    pub at_ns: i64,
    /// Among prices of one time the greatest wins: own trades by the rest of their chronological key, so
    /// that arrival does not choose; a mark that was sent beats them.
    pub rank: (u64, u128),
}

/// The rank of a mark that was sent.
const SENT: (u64, u128) = (u64::MAX, u128::MAX);

/// The marks of one instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Marks {
    /// Business date of the day's marks; `None` before any date was set.
    pub(crate) day: Option<Date>,
    pub(crate) official_close: Option<Quote>,
    pub(crate) last: Option<Quote>,
    pub(crate) bid_ask: Option<Quote>,
    pub(crate) previous_close: Option<Quote>,
}

/// A mark with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Price.
    pub price_e8: i64,
    /// Which step of the waterfall gave it.
    pub source: MarkKind,
    /// Time, UTC nanoseconds.
    pub at_ns: i64,
}

impl Marks {
    /// The marks as they stand on a business date.
    #[must_use]
    pub fn on(&self, day: Option<Date>) -> Self {
        if self.day >= day {
            return *self;
        }
        let previous_close = self.waterfall().map(|m| Quote { price_e8: m.price_e8, at_ns: m.at_ns, rank: (0, 0) });
        Self { day, official_close: None, last: None, bid_ask: None, previous_close }
    }

    /// Takes a mark on a business date. A mark older than the one of its kind is ignored.
    pub fn set(&mut self, day: Option<Date>, mark: &Mark) {
        *self = self.on(day);
        let price_e8 = match mark.kind {
            // The middle of two i64 always fits.
            MarkKind::BidAsk => div_half_even(i128::from(mark.price_e8) + i128::from(mark.ask_e8), 2) as i64,
            _ => mark.price_e8,
        };
        let slot = match mark.kind {
            MarkKind::OfficialClose => &mut self.official_close,
            MarkKind::Last => &mut self.last,
            MarkKind::BidAsk => &mut self.bid_ask,
            MarkKind::PreviousClose => &mut self.previous_close,
        };
        if slot.is_none_or(|old| old.at_ns <= mark.at_ns) {
            *slot = Some(Quote { price_e8, at_ns: mark.at_ns, rank: SENT });
        }
    }

    /// An own trade is a last trade.
    #[inline]
    pub fn traded(&mut self, day: Option<Date>, price_e8: i64, key: &ChronoKey) {
        if self.day < day {
            *self = self.on(day);
        }
        let (at_ns, rank) = (key.executed_at_ns, (key.source_order, key.hash.0));
        if self.last.is_none_or(|old| (old.at_ns, old.rank) <= (at_ns, rank)) {
            self.last = Some(Quote { price_e8, at_ns, rank });
        }
    }

    /// The mark in force: the first of the four steps that there is.
    #[must_use]
    pub fn waterfall(&self) -> Option<Marked> {
        let steps = [
            (self.official_close, MarkKind::OfficialClose),
            (self.last, MarkKind::Last),
            (self.bid_ask, MarkKind::BidAsk),
            (self.previous_close, MarkKind::PreviousClose),
        ];
        steps
            .into_iter()
            .find_map(|(quote, source)| quote.map(|q| Marked { price_e8: q.price_e8, source, at_ns: q.at_ns }))
    }
}

/// Flash figures of a position at a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flash {
    /// Unrealized profit and loss.
    pub unrealized_e16: Money,
    /// Quantity x mark x multiplier, signed.
    pub exposure_e16: Money,
}

/// What positions of an instrument are valued at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valued {
    /// The mark's price.
    pub price_e8: i64,
    /// Multiplier of the instrument, above zero.
    pub multiplier_e8: i64,
}

impl Valued {
    /// Exposure of a quantity; `None` where it leaves its exact range.
    #[must_use]
    pub fn exposure_e16(&self, quantity_e8: i64) -> Option<Money> {
        notional(self.price_e8, quantity_e8, self.multiplier_e8).ok()
    }
}

/// Values a position at a mark: market value against the remaining cost of its lots.
///
/// # Errors
/// [`Overflow`] when a figure leaves its exact range.
pub fn flash(quantity_e8: i64, cost_e16: Money, multiplier_e8: i64, price_e8: i64) -> Result<Flash, Overflow> {
    let exposure_e16 = notional(price_e8, quantity_e8, multiplier_e8)?;
    // A short's cost is what was received, so both sides read value minus signed cost.
    let signed_cost = if quantity_e8 < 0 { -cost_e16 } else { cost_e16 };
    Ok(Flash { unrealized_e16: crate::amount::sub(exposure_e16, signed_cost)?, exposure_e16 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{ONE_E8, ONE_E16};

    fn mark(kind: MarkKind, price_e8: i64, at_ns: i64) -> Mark {
        Mark { instrument: 0, kind, price_e8, ask_e8: price_e8 + 1, at_ns }
    }

    #[test]
    fn waterfall_takes_the_first_there_is() {
        let day = Some(Date(1));
        let mut marks = Marks::default();
        assert_eq!(marks.waterfall(), None);
        for (kind, price, want) in [
            (MarkKind::PreviousClose, 10, 10),
            (MarkKind::BidAsk, 21, 22), // (21 + 22) / 2 = 21.5, half to even
            (MarkKind::Last, 30, 30),
            (MarkKind::OfficialClose, 40, 40),
            (MarkKind::Last, 50, 40),
        ] {
            marks.set(day, &mark(kind, price, price));
            assert_eq!(marks.waterfall().map(|m| m.price_e8), Some(want));
        }
        assert_eq!(
            marks.on(Some(Date(2))).waterfall().map(|m| (m.price_e8, m.source)),
            Some((40, MarkKind::PreviousClose))
        );
        marks.set(day, &mark(MarkKind::OfficialClose, 99, 1));
        assert_eq!(marks.waterfall().map(|m| m.price_e8), Some(40), "an older mark does not replace a newer one");
        let key = |order| ChronoKey { executed_at_ns: 70, source_order: order, ..ChronoKey::MIN };
        marks.traded(Some(Date(2)), 60, &key(2));
        marks.traded(Some(Date(2)), 59, &key(1));
        assert_eq!(marks.waterfall().map(|m| (m.price_e8, m.source)), Some((60, MarkKind::Last)));
    }

    #[test]
    fn flash_long_and_short() {
        let ten = 10 * ONE_E8;
        let cost = 1000 * ONE_E16;
        assert_eq!(flash(ten, cost, ONE_E8, 110 * ONE_E8).map(|f| f.unrealized_e16), Ok(100 * ONE_E16));
        assert_eq!(flash(-ten, cost, ONE_E8, 110 * ONE_E8).map(|f| f.unrealized_e16), Ok(-100 * ONE_E16));
        assert_eq!(flash(0, 0, ONE_E8, 110 * ONE_E8).map(|f| f.unrealized_e16), Ok(0));
    }
}
