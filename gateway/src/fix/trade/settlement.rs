//! Settlement currency and rate of a trade: SettlCurrency (120), SettlCurrFxRate (155), SettlCurrFxRateCalc (156).

use lotbook_core::amount::ONE_E8;

use super::{Codes, Message, Refusal, Tag, optional, optional_text, value};
use crate::fix::limits::CURRENCY_BYTES_MAX;

/// What a trade is settled in, at which rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement<'a> {
    /// SettlCurrency (120); 1 to 32 printable bytes.
    pub currency: &'a str,
    /// Units of it for one of the trade's currency, at 10^-8; above zero.
    pub rate_e8: i64,
}

impl<'a> Settlement<'a> {
    /// `None` where the message does not give both currency and rate.
    ///
    /// # Errors
    /// [`Refusal`] for a field of another form, a rate that is not above zero, or one whose reciprocal has no place.
    pub(super) fn read(message: &Message<'a>) -> Result<Option<Self>, Refusal> {
        let currency = optional_text(message, Tag::SettlCurrency, CURRENCY_BYTES_MAX, &codes!("SETTL_CURRENCY"))?;
        let Some(rate_e8) = optional(message, Tag::SettlCurrFxRate, value::decimal_e8, &codes!("RATE"))? else {
            return Ok(None);
        };
        if rate_e8 <= 0 {
            return Err(Refusal::value(Tag::SettlCurrFxRate, "BAD_RATE", "SettlCurrFxRate must be above zero"));
        }
        let rate_e8 = match message.get(Tag::SettlCurrFxRateCalc) {
            None | Some(b"M") => rate_e8,
            Some(b"D") => reciprocal(rate_e8).ok_or_else(|| {
                Refusal::value(Tag::SettlCurrFxRate, "OUT_OF_RANGE", "its reciprocal has no eight decimals")
            })?,
            Some(_) => {
                let text = "only SettlCurrFxRateCalc M (multiply) and D (divide) are taken";
                return Err(Refusal::value(Tag::SettlCurrFxRateCalc, "BAD_ENUM", text));
            }
        };
        Ok(currency.map(|currency| Self { currency, rate_e8 }))
    }

    /// The rate to the base currency, where this is one.
    #[must_use]
    pub fn to(&self, base: Option<&str>) -> Option<i64> {
        (base == Some(self.currency)).then_some(self.rate_e8)
    }
}

/// One through a rate, half to even at 10^-8; `None` where that is zero.
fn reciprocal(rate_e8: i64) -> Option<i64> {
    let (one, rate) = (i128::from(ONE_E8) * i128::from(ONE_E8), i128::from(rate_e8));
    let (quotient, rest) = (one / rate, one % rate);
    let up = match (2 * rest).cmp(&rate) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    i64::try_from(quotient + i128::from(up)).ok().filter(|rate| *rate > 0)
}

#[cfg(test)]
mod tests {
    use super::reciprocal;

    #[test]
    fn reciprocals_are_rounded_half_to_even() {
        for (rate, want) in [
            (100_000_000, Some(100_000_000)),
            (110_000_000, Some(90_909_091)),
            (1, Some(10_000_000_000_000_000)),
            // 0.000000005 and 0.000000015: the even neighbours.
            (20_000_000_000_000_000, None),
            (6_666_666_666_666_666, Some(2)),
            (4_000_000_000_000_000, Some(2)),
            (i64::MAX, None),
        ] {
            assert_eq!(reciprocal(rate), want, "{rate}");
        }
    }
}
