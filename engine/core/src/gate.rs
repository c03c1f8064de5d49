//! The gate: what a new trade or amendment must keep beside the rules of the book (rule 4.1 of `docs/rules.md`).
//!
//! It stands at the shard, behind the lookup of ids and before the decision: all doors pass it, it judges by the terms and the
//! business date that hold at that place of the log, and what was accepted before is a duplicate whatever has changed
//! since. A replay of history does not ask it again: acceptance is final.

use crate::amend::AmendInput;
use crate::book::Book;
use crate::command::{TradeInput, TradeKind};
use crate::date::Date;
use crate::event::Reason;

/// How far from the business date an effective date may be. Before the first business date there is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateTerms {
    /// Days after it, 0 for no bound.
    pub days_ahead_max: u32,
    /// Days before it, 0 for no bound. An opening lot is not bound: its date is the start of the book.
    pub days_back_max: u32,
}

impl GateTerms {
    /// A year ahead, for a year that was typed wrongly waits for its date unseen; any number of days back, for that is
    /// what late trades are.
    pub const DEFAULT: Self = Self { days_ahead_max: 366, days_back_max: 0 };

    /// Whether an effective date is within the window.
    ///
    /// # Errors
    /// [`Reason::DateTooFarAhead`], [`Reason::DateTooFarBack`].
    #[inline]
    pub fn check_date(&self, date: Date, today: Option<Date>) -> Result<(), Reason> {
        let Some(today) = today else { return Ok(()) };
        // Of two 32-bit dates, exact in 64 bits.
        let ahead = i64::from(date.0) - i64::from(today.0);
        if self.days_ahead_max > 0 && ahead > i64::from(self.days_ahead_max) {
            return Err(Reason::DateTooFarAhead);
        }
        if self.days_back_max > 0 && -ahead > i64::from(self.days_back_max) && date != Date::NONE {
            return Err(Reason::DateTooFarBack);
        }
        Ok(())
    }

    /// Whether a new trade passes.
    ///
    /// # Errors
    /// The window's; [`Reason::PriceOutOfBounds`], [`Reason::PriceOffTick`].
    #[inline]
    pub fn check_trade(&self, book: &Book, input: &TradeInput) -> Result<(), Reason> {
        let window = match input.kind {
            TradeKind::OpenLot => Self { days_back_max: 0, ..*self },
            _ => *self,
        };
        window.check_date(input.effective_date, book.business_date())?;
        match (input.price(), book.instrument(input.instrument)) {
            (Some(price_e8), Some(instrument)) => instrument.terms.check_price(price_e8),
            _ => Ok(()),
        }
    }

    /// Whether a new amendment passes. The price that it brings is checked where it is decided, which knows the
    /// instrument of its target.
    ///
    /// # Errors
    /// The window's.
    pub fn check_amend(&self, book: &Book, input: &AmendInput) -> Result<(), Reason> {
        let date = input.changes.effective_date();
        date.map_or(Ok(()), |date| self.check_date(date, book.business_date()))
    }
}

impl Default for GateTerms {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_around_the_business_date() {
        use Reason::{DateTooFarAhead, DateTooFarBack};
        let today = Some(Date(20_000));
        let terms = |ahead, back| GateTerms { days_ahead_max: ahead, days_back_max: back };
        for (terms, date, today, want) in [
            (terms(2, 3), 20_002, today, Ok(())),
            (terms(2, 3), 20_003, today, Err(DateTooFarAhead)),
            (terms(2, 3), 19_997, today, Ok(())),
            (terms(2, 3), 19_996, today, Err(DateTooFarBack)),
            (terms(0, 3), i32::MAX, today, Ok(())),
            (terms(2, 0), i32::MIN + 1, today, Ok(())),
            (terms(2, 3), i32::MAX, Some(Date(i32::MIN)), Err(DateTooFarAhead)),
            // No date has a reason of its own, and before the first business date there is no window.
            (terms(2, 3), Date::NONE.0, today, Ok(())),
            (terms(2, 3), i32::MAX, None, Ok(())),
        ] {
            let date = Date(date);
            assert_eq!(terms.check_date(date, today), want, "{terms:?} {date:?} {today:?}");
        }
    }
}
