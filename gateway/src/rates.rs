//! Rates to the base currency, which a door stamps on trades that bring none.
//!
//! A door's own state, no record's: what a trade was booked at stands in its event, and nothing asks for it again.
//! `docs/rules.md`, section 8.

use std::collections::{BTreeMap, HashMap};

use lotbook_core::amount::ONE_E8;
use lotbook_core::command::{InstrumentTerms, TradeInput};
use lotbook_core::id::{NO_NAME, NameId};

/// A pair of currencies: units of the second for one of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What a rate prices.
    pub currency: String,
    /// In what.
    pub base: String,
}

impl Pair {
    /// From `EUR/USD`, or `EURUSD` where both are of three letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (currency, base) = match text.split_once('/') {
            Some(pair) => pair,
            None if text.len() == 6 && text.bytes().all(|b| b.is_ascii_alphabetic()) => text.split_at(3),
            None => return None,
        };
        let is_name = |text: &str| crate::input::text::check_id(text.as_bytes()).is_ok() && !text.contains('/');
        (is_name(currency) && is_name(base)).then(|| Self { currency: currency.to_owned(), base: base.to_owned() })
    }
}

/// The rates that a door has read, and the currencies of the instruments that it knows.
#[derive(Debug, Default)]
pub struct Rates {
    /// Interned base currency, where there is one.
    base: Option<NameId>,
    /// Rates by currency and time, UTC nanoseconds; of one time the last one read.
    by_currency: HashMap<NameId, BTreeMap<i64, i64>>,
    of_instrument: HashMap<NameId, NameId>,
}

impl Rates {
    /// No rates yet; without a base currency none is ever asked for.
    #[must_use]
    pub fn new(base: Option<NameId>) -> Self {
        Self { base, ..Self::default() }
    }

    /// The base currency.
    #[must_use]
    pub fn base(&self) -> Option<NameId> {
        self.base
    }

    /// Takes a rate of a currency against the base currency, positive.
    pub fn set(&mut self, currency: NameId, at_ns: i64, rate_e8: i64) {
        assert!(rate_e8 > 0);
        self.by_currency.entry(currency).or_default().insert(at_ns, rate_e8);
    }

    /// Takes an instrument's terms in place of earlier ones.
    pub fn set_instrument(&mut self, terms: &InstrumentTerms) {
        self.of_instrument.insert(terms.instrument, terms.currency);
    }

    /// As [`Self::set_instrument`], where nothing is known of the instrument yet.
    pub fn learn_instrument(&mut self, terms: &InstrumentTerms) {
        self.of_instrument.entry(terms.instrument).or_insert(terms.currency);
    }

    /// The last rate of a currency not after a time; one where there is none, and for the base currency itself.
    #[must_use]
    pub fn at(&self, currency: NameId, at_ns: i64) -> i64 {
        if self.base.is_none_or(|base| base == currency) {
            return ONE_E8;
        }
        let rates = self.by_currency.get(&currency);
        rates.and_then(|rates| rates.range(..=at_ns).next_back()).map_or(ONE_E8, |(_, rate_e8)| *rate_e8)
    }

    /// The rate for a trade that brings none: of its own currency, else of its instrument's.
    #[must_use]
    pub fn of_trade(&self, trade: &TradeInput) -> i64 {
        let own = (trade.currency != NO_NAME).then_some(trade.currency);
        let currency = own.or_else(|| self.of_instrument.get(&trade.instrument).copied());
        currency.map_or(ONE_E8, |currency| self.at(currency, trade.executed_at_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        for (text, want) in [
            ("EUR/USD", Some(("EUR", "USD"))),
            ("EURUSD", Some(("EUR", "USD"))),
            ("points/USD", Some(("points", "USD"))),
            ("EUR", None),
            ("EUR/", None),
            ("/USD", None),
            ("EUR/USD/JPY", None),
            ("EUR USD", None),
            ("", None),
        ] {
            let pair = Pair::parse(text);
            assert_eq!(pair.as_ref().map(|pair| (&*pair.currency, &*pair.base)), want, "{text}");
        }
    }

    #[test]
    fn the_last_rate_not_after_the_time() {
        const USD: NameId = 0;
        const EUR: NameId = 1;
        let mut rates = Rates::new(Some(USD));
        for (at_ns, rate_e8) in [(10, 110_000_000), (30, 130_000_000), (20, 120_000_000), (20, 121_000_000)] {
            rates.set(EUR, at_ns, rate_e8);
        }
        for (currency, at_ns, want) in [
            (EUR, 9, ONE_E8),
            (EUR, 10, 110_000_000),
            (EUR, 19, 110_000_000),
            (EUR, 29, 121_000_000),
            (EUR, i64::MAX, 130_000_000),
            (USD, 15, ONE_E8),
            (7, 15, ONE_E8),
        ] {
            assert_eq!(rates.at(currency, at_ns), want, "{currency} {at_ns}");
        }
        let trade = |currency| TradeInput { instrument: 3, currency, executed_at_ns: 40, ..TradeInput::EMPTY };
        assert_eq!(rates.of_trade(&trade(NO_NAME)), ONE_E8, "an instrument without terms");
        rates.of_instrument.insert(3, EUR);
        assert_eq!(rates.of_trade(&trade(NO_NAME)), 130_000_000);
        assert_eq!(rates.of_trade(&trade(USD)), ONE_E8);
        let mut none = Rates::new(None);
        none.set(EUR, 1, 5);
        assert_eq!(none.at(EUR, 2), ONE_E8);
    }
}
