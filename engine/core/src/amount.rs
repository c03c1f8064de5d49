//! Exact numbers. Prices and quantities are `i64` at 10^-8, money is `i128` at 10^-16.
//!
//! Every operation is checked: an overflow is an error that the caller turns into a rejected
//! command, never a wrong number. All rounding is half to even and happens here: [`notional`] with a multiplier
//! that has decimals, [`share`], [`convert`], [`unit`]. Whoever takes the last share takes the remainder, so
//! that sums are conserved.

use alloc::string::String;
use core::fmt::Write as _;

/// Units of 10^-8 in one: the scale of prices, quantities and fees.
pub const ONE_E8: i64 = 100_000_000;
/// Units of 10^-16 in one: the scale of money.
pub const ONE_E16: i128 = 10_000_000_000_000_000;
/// Largest magnitude of money that the archive's NUMERIC(38,16) columns hold; beyond is overflow.
pub const MONEY_E16_MAX: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// An amount of money at 10^-16 units of its currency.
pub type Money = i128;

/// A result left the range in which it is exact. The command is refused and nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// Whether an amount fits the archive's column. Nearly all do by far, and their upper half says so.
#[inline]
fn is_in_range(money: Money) -> bool {
    const UPPER_MAX: u64 = (MONEY_E16_MAX >> 64) as u64;
    ((money >> 64) as i64).unsigned_abs() < UPPER_MAX || money.unsigned_abs() <= MONEY_E16_MAX as u128
}

/// Whether sums and differences of up to four of these amounts are in range, whatever the order; `false` does not say that they are not.
///
/// One look at their upper halves, in place of a check for each sum.
#[inline]
#[must_use]
pub fn are_far_from_the_end<const N: usize>(amounts: [Money; N]) -> bool {
    const _: () = assert!(4 << (64 + FAR_BITS) <= MONEY_E16_MAX);
    // All bits above are the sign's, in a number of that magnitude.
    let spread = amounts.iter().fold(0, |spread, amount| {
        let upper = (amount >> 64) as i64;
        spread | (upper ^ (upper >> 63)) as u64
    });
    spread < 1 << FAR_BITS
}

/// Bits of the upper half of an amount that is far from the end of its range.
const FAR_BITS: u32 = 60;

/// Adds two amounts of money.
///
/// # Errors
/// [`Overflow`] when the sum does not fit the archive's column.
#[inline]
pub fn add(a: Money, b: Money) -> Result<Money, Overflow> {
    match a.checked_add(b) {
        Some(sum) if is_in_range(sum) => Ok(sum),
        _ => Err(Overflow),
    }
}

/// Subtracts `b` from `a`; errors as [`add`].
#[inline]
pub fn sub(a: Money, b: Money) -> Result<Money, Overflow> {
    match a.checked_sub(b) {
        Some(difference) if is_in_range(difference) => Ok(difference),
        _ => Err(Overflow),
    }
}

/// Money for `quantity_e8` at `price_e8` with a contract multiplier at 10^-8.
///
/// Exact when the multiplier is whole; a multiplier with decimals rounds half to even at 10^-16.
///
/// # Errors
/// [`Overflow`] when the result does not fit the archive's column.
#[inline]
pub fn notional(price_e8: i64, quantity_e8: i64, multiplier_e8: i64) -> Result<Money, Overflow> {
    // Two i64 always fit an i128.
    convert(i128::from(price_e8) * i128::from(quantity_e8), multiplier_e8)
}

/// Money at a rate or multiplier at 10^-8: `money x rate`, rounded half to even at 10^-16.
///
/// # Errors
/// [`Overflow`] when the result does not fit the archive's column.
#[inline]
pub fn convert(money: Money, rate_e8: i64) -> Result<Money, Overflow> {
    let converted = if rate_e8 == ONE_E8 { money } else { times(money, rate_e8).ok_or(Overflow)? };
    if is_in_range(converted) { Ok(converted) } else { Err(Overflow) }
}

fn times(money: Money, rate_e8: i64) -> Option<Money> {
    let whole = (money / i128::from(ONE_E8)).checked_mul(i128::from(rate_e8))?;
    // A product of at most 10^8 and 2^63.
    let rest = money % i128::from(ONE_E8) * i128::from(rate_e8);
    add_half_even(whole, rest, i128::from(ONE_E8))
}

/// Price of a lot by its cost: `cost / (quantity x multiplier)` at 10^-8, rounded once, half to even.
///
/// `quantity_e8 > 0` and `multiplier_e8 > 0`; asserted, for the callers have checked it.
///
/// # Errors
/// [`Overflow`] when no price holds it.
pub fn unit(cost_e16: Money, quantity_e8: i64, multiplier_e8: i64) -> Result<i64, Overflow> {
    assert!(quantity_e8 > 0);
    assert!(multiplier_e8 > 0);
    let price = if multiplier_e8 == ONE_E8 {
        div_half_even(cost_e16, i128::from(quantity_e8))
    } else {
        unit_by_multiplier(cost_e16, quantity_e8, multiplier_e8)?
    };
    i64::try_from(price).ok().filter(|price| *price != i64::MIN).ok_or(Overflow)
}

/// `cost x 10^8 / (quantity x multiplier)`, the product done bit by bit since it may need more than 128 bits.
fn unit_by_multiplier(cost_e16: Money, quantity_e8: i64, multiplier_e8: i64) -> Result<i128, Overflow> {
    const SCALE: u128 = ONE_E8 as u128;
    // Below 2^126, so that twice a remainder and one addend still fit 128 bits.
    let divisor = u128::from(quantity_e8.unsigned_abs()) * u128::from(multiplier_e8.unsigned_abs());
    let cost = cost_e16.unsigned_abs();
    let (whole, rest) = (cost / divisor, cost % divisor);
    let (mut quotient, mut remainder) = (0u128, 0u128);
    for bit in (0..=SCALE.ilog2()).rev() {
        quotient *= 2;
        remainder *= 2;
        if SCALE >> bit & 1 == 1 {
            remainder += rest;
        }
        quotient += remainder / divisor;
        remainder %= divisor;
    }
    let exact = whole.checked_mul(SCALE).and_then(|whole| whole.checked_add(quotient)).ok_or(Overflow)?;
    let tie = (remainder * 2).cmp(&divisor);
    let rounded = exact + u128::from(tie.is_gt() || (tie.is_eq() && exact & 1 == 1));
    let price = i128::try_from(rounded).map_err(|_| Overflow)?;
    Ok(if cost_e16 < 0 { -price } else { price })
}

/// The share of `total` that `part` of `whole` takes: `total x part / whole`, rounded half to even.
///
/// Taking all takes everything. `0 < part <= whole`; asserted, for the callers have checked it.
#[inline]
#[must_use]
pub fn share(total: Money, part: i64, whole: i64) -> Money {
    assert!(part > 0);
    assert!(part <= whole);
    if part == whole {
        return total;
    }
    // Two steps, so that nothing exceeds 128 bits: |rest| < whole <= i64::MAX, and part < whole.
    let (whole, part) = (i128::from(whole), i128::from(part));
    let unit = total / whole;
    let rest = total - unit * whole;
    // At most |total|, so it fits.
    add_half_even(unit * part, rest * part, whole).unwrap_or(total)
}

/// Divides, rounding half to even. `divisor > 0`.
#[inline]
#[must_use]
pub fn div_half_even(value: i128, divisor: i128) -> i128 {
    // A quotient and its rounding never leave the range of the value.
    add_half_even(0, value, divisor).unwrap_or(value)
}

/// `base + value / divisor`, the sum rounded half to even; the tie looks at the sum, not the quotient.
/// `base` and `value` have the same sign, or one is zero. `None` when the sum does not fit.
#[inline]
fn add_half_even(base: i128, value: i128, divisor: i128) -> Option<i128> {
    assert!(divisor > 0);
    let quotient = value / divisor;
    // Cheaper than a second division.
    let rest = value - quotient * divisor;
    let sum = base.checked_add(quotient)?;
    let away = if value < 0 { -1 } else { 1 };
    match (rest.unsigned_abs() * 2).cmp(&divisor.unsigned_abs()) {
        core::cmp::Ordering::Greater => sum.checked_add(away),
        core::cmp::Ordering::Equal if sum & 1 != 0 => sum.checked_add(away),
        _ => Some(sum),
    }
}

/// Why a decimal string was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// Empty, or not an optional sign, digits, and at most one point with digits on both sides.
    Malformed,
    /// More decimals than the scale holds, and rounding was not asked for.
    TooManyDecimals,
    /// Outside the range of the type.
    OutOfRange,
}

impl core::error::Error for DecimalError {}

impl core::fmt::Display for DecimalError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a decimal number (digits, at most one point, optional leading minus)",
            Self::TooManyDecimals => "more than eight decimals",
            Self::OutOfRange => "out of range",
        })
    }
}

/// Parses a decimal string at 10^-8. `round`: more than eight decimals round half to even.
///
/// # Errors
/// See [`DecimalError`]; trailing zeros beyond the eighth decimal are not "more decimals".
pub fn parse_e8(text: &str, round: bool) -> Result<i64, DecimalError> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        _ => (false, bytes),
    };
    let (whole, fraction) = match digits.iter().position(|&b| b == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &digits[..0]),
    };
    let has_point = whole.len() != digits.len();
    if whole.is_empty() || (has_point && fraction.is_empty()) {
        return Err(DecimalError::Malformed);
    }
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DecimalError::Malformed);
    }
    let mut value: i128 = 0;
    for &digit in whole.iter().chain(fraction.iter().take(8)) {
        value = value * 10 + i128::from(digit - b'0');
        if value > i128::from(i64::MAX) * 10 {
            return Err(DecimalError::OutOfRange);
        }
    }
    for _ in fraction.len().min(8)..8 {
        value *= 10;
    }
    let rest = fraction.get(8..).unwrap_or_default();
    if rest.iter().any(|&b| b != b'0') {
        if !round {
            return Err(DecimalError::TooManyDecimals);
        }
        let above_half = rest[0] > b'5' || (rest[0] == b'5' && rest[1..].iter().any(|&b| b != b'0'));
        let is_half = rest[0] == b'5' && !above_half;
        if above_half || (is_half && value & 1 == 1) {
            value += 1;
        }
    }
    if negative {
        value = -value;
    }
    // The most negative number has no magnitude of its own type, and stands for "not given" inside.
    i64::try_from(value).ok().filter(|value| *value != i64::MIN).ok_or(DecimalError::OutOfRange)
}

/// Writes a number at 10^-`decimals` as the shortest exact decimal string (no trailing zeros).
#[must_use]
pub fn format_scaled(value: i128, decimals: u32) -> String {
    let scale = 10u128.pow(decimals);
    let magnitude = value.unsigned_abs();
    let mut text = String::new();
    if value < 0 {
        text.push('-');
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "{}", magnitude / scale);
    let fraction = magnitude % scale;
    if fraction != 0 {
        let _ = write!(text, ".{fraction:0width$}", width = decimals as usize);
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

/// A price or quantity as an exact decimal string.
#[must_use]
pub fn format_e8(value: i64) -> String {
    format_scaled(i128::from(value), 8)
}

/// An amount of money as an exact decimal string.
#[must_use]
pub fn format_e16(value: Money) -> String {
    format_scaled(value, 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_in() {
        for (text, round, want) in [
            ("100", false, Ok(10_000_000_000)),
            ("167.63", false, Ok(16_763_000_000)),
            ("0.00000001", false, Ok(1)),
            ("-0.5", false, Ok(-50_000_000)),
            ("1.000000000", false, Ok(100_000_000)),
            ("1.000000001", false, Err(DecimalError::TooManyDecimals)),
            ("0.000000005", true, Ok(0)),
            ("0.000000015", true, Ok(2)),
            ("0.0000000151", true, Ok(2)),
            ("0.0000000149", true, Ok(1)),
            ("4.82375000001", true, Ok(482_375_000)),
            ("92233720368.54775807", false, Ok(i64::MAX)),
            ("92233720368.54775808", false, Err(DecimalError::OutOfRange)),
            ("-92233720368.54775807", false, Ok(-i64::MAX)),
            ("-92233720368.54775808", false, Err(DecimalError::OutOfRange)),
            ("99999999999999999999999999999999999999999999", false, Err(DecimalError::OutOfRange)),
            ("", false, Err(DecimalError::Malformed)),
            ("-", false, Err(DecimalError::Malformed)),
            (".5", false, Err(DecimalError::Malformed)),
            ("5.", false, Err(DecimalError::Malformed)),
            ("1e5", false, Err(DecimalError::Malformed)),
            ("+1", false, Err(DecimalError::Malformed)),
            (" 1", false, Err(DecimalError::Malformed)),
            ("1.2.3", false, Err(DecimalError::Malformed)),
        ] {
            assert_eq!(parse_e8(text, round), want, "{text}");
        }
    }

    #[test]
    fn decimals_out() {
        assert_eq!(format_e8(16_763_000_000), "167.63");
        assert_eq!(format_e8(-1), "-0.00000001");
        assert_eq!(format_e8(0), "0");
        assert_eq!(format_e16(ONE_E16 * 3), "3");
        assert_eq!(format_e16(i128::MIN / 2).len(), 40);
    }

    #[test]
    fn shares_are_half_even_and_exact() {
        for (total, part, whole, want) in [
            (10, 1, 4, 2), // 2.5 -> 2
            (30, 1, 4, 8), // 7.5 -> 8
            (10, 4, 4, 10),
            (-10, 1, 4, -2),
            (-30, 1, 4, -8),
            (MONEY_E16_MAX, i64::MAX - 1, i64::MAX, MONEY_E16_MAX - 10_842_021_724_855_044_341),
        ] {
            assert_eq!(share(total, part, whole), want, "{total} x {part} / {whole}");
        }
    }

    #[test]
    fn notional_with_and_without_multiplier() {
        assert_eq!(notional(ONE_E8, ONE_E8, ONE_E8), Ok(ONE_E16));
        assert_eq!(notional(ONE_E8 * 3, ONE_E8 * 2, 50 * ONE_E8), Ok(300 * ONE_E16));
        assert_eq!(notional(1, 1, ONE_E8 / 2), Ok(0)); // half rounds to even
        assert_eq!(notional(3, 1, ONE_E8 / 2), Ok(2));
        assert_eq!(notional(-1, 3, ONE_E8 / 2), Ok(-2));
        // 3.00000001 units at the smallest price, times 50.5: the tie looks at the whole sum.
        assert_eq!(notional(1, 3 * ONE_E8 + 1, 50 * ONE_E8 + ONE_E8 / 2), Ok(15_150_000_050)); // ...050.5 -> even
        assert_eq!(notional(i64::MAX, i64::MAX, ONE_E8), Ok(i128::from(i64::MAX) * i128::from(i64::MAX)));
        assert_eq!(notional(i64::MAX, i64::MAX, 2 * ONE_E8), Err(Overflow));
    }

    #[test]
    fn conversion_rounds_half_even_and_says_overflow() {
        for (money, rate, want) in [
            (12_345, ONE_E8, Ok(12_345)),
            (ONE_E16, 110_000_000, Ok(11_000_000_000_000_000)),
            (1, ONE_E8 / 2, Ok(0)),
            (3, ONE_E8 / 2, Ok(2)),
            (-3, ONE_E8 / 2, Ok(-2)),
            (-5, ONE_E8 / 2, Ok(-2)),
            (MONEY_E16_MAX, ONE_E8, Ok(MONEY_E16_MAX)),
            (MONEY_E16_MAX, ONE_E8 + 1, Err(Overflow)),
            (-MONEY_E16_MAX, i64::MAX, Err(Overflow)),
            (MONEY_E16_MAX, 1, Ok(MONEY_E16_MAX / 100_000_000 + 1)),
        ] {
            assert_eq!(convert(money, rate), want, "{money} x {rate}");
        }
    }

    #[test]
    fn unit_rounds_once() {
        for (cost, quantity, multiplier, want) in [
            (1_000 * ONE_E16, 10 * ONE_E8, ONE_E8, Ok(100 * ONE_E8)),
            (1_000 * ONE_E16, 3 * ONE_E8, ONE_E8, Ok(33_333_333_333)),
            (5_000 * ONE_E16, 10 * ONE_E8, 50 * ONE_E8, Ok(10 * ONE_E8)),
            // 1.23456789 at a multiplier of 0.01: two roundings would give 1.234568.
            (123_456_789_000_000, ONE_E8, ONE_E8 / 100, Ok(123_456_789)),
            // Ties: 0.5 and 1.5 units at 10^-8, and the same with a multiplier of two.
            (1, 2, ONE_E8, Ok(0)),
            (3, 2, ONE_E8, Ok(2)),
            (-3, 2, ONE_E8, Ok(-2)),
            (2, 2, 2 * ONE_E8, Ok(0)),
            (6, 2, 2 * ONE_E8, Ok(2)),
            (-6, 2, 2 * ONE_E8, Ok(-2)),
            (i128::from(i64::MAX) * i128::from(i64::MAX), i64::MAX, ONE_E8, Ok(i64::MAX)),
            (i128::from(i64::MAX) * i128::from(i64::MAX), i64::MAX - 1, ONE_E8, Err(Overflow)),
            (MONEY_E16_MAX, i64::MAX, i64::MAX, Ok(117_549_435)),
            (MONEY_E16_MAX, 1, 1, Err(Overflow)),
            (i128::from(i64::MIN), 1, ONE_E8, Err(Overflow)),
        ] {
            assert_eq!(unit(cost, quantity, multiplier), want, "{cost} / ({quantity} x {multiplier})");
        }
    }
}
