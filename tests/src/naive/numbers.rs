//! Numbers of the naive model (rule 1): exact fractions, rounded half to even in four named places, and ranges.
//!
//! Prices, quantities and rates are whole numbers at 10^-8, money at 10^-16. Every rounding is that of one exact
//! fraction of whole numbers; where its numerator leaves 128 bits it is worked out in big integers.

use num_bigint::BigInt;

use super::words::{OVERFLOW, Reason};

/// One at 10^-8.
pub const ONE: i128 = 100_000_000;
/// Largest magnitude of a price, a quantity, a fee or a rate.
pub const SMALL_MAX: i128 = i64::MAX as i128;
/// Largest magnitude of money.
pub const MONEY_MAX: i128 = 10i128.pow(38) - 1;

/// The value if it is in the range of prices and quantities.
///
/// # Errors
/// `OVERFLOW`.
pub fn small(value: i128) -> Result<i128, Reason> {
    if value.abs() <= SMALL_MAX { Ok(value) } else { Err(OVERFLOW) }
}

/// The value if it is in the range of money.
///
/// # Errors
/// `OVERFLOW`.
pub fn money(value: i128) -> Result<i128, Reason> {
    if (-MONEY_MAX..=MONEY_MAX).contains(&value) { Ok(value) } else { Err(OVERFLOW) }
}

/// A sum in the range of money.
///
/// # Errors
/// `OVERFLOW`.
pub fn add(a: i128, b: i128) -> Result<i128, Reason> {
    money(a.checked_add(b).ok_or(OVERFLOW)?)
}

/// A difference in the range of money.
///
/// # Errors
/// `OVERFLOW`.
pub fn sub(a: i128, b: i128) -> Result<i128, Reason> {
    money(a.checked_sub(b).ok_or(OVERFLOW)?)
}

/// `a x b / c`, exact, rounded half to even; `c` is positive.
///
/// # Errors
/// `OVERFLOW` where the result leaves 128 bits.
pub fn fraction(a: i128, b: i128, c: i128) -> Result<i128, Reason> {
    assert!(c > 0, "a fraction over {c}");
    match a.checked_mul(b) {
        Some(numerator) => Ok(half_even(numerator, c)),
        None => big_fraction(a, b, c),
    }
}

/// `a x b / c`, rounded down; none of them is negative, and `c` is above zero.
///
/// # Errors
/// `OVERFLOW` where the result leaves 128 bits.
pub fn floor(a: i128, b: i128, c: i128) -> Result<i128, Reason> {
    i128::try_from(BigInt::from(a) * b / c).map_err(|_| OVERFLOW)
}

/// The same in big integers, whatever the size.
fn big_fraction(a: i128, b: i128, c: i128) -> Result<i128, Reason> {
    let (numerator, denominator) = (BigInt::from(a) * b, BigInt::from(c));
    let mut quotient = &numerator / &denominator;
    // The rest is between zero and the denominator.
    let mut rest = numerator - &quotient * &denominator;
    if rest < BigInt::ZERO {
        quotient -= 1;
        rest += &denominator;
    }
    let twice = rest * 2;
    let up = twice > denominator || (twice == denominator && &quotient % 2 != BigInt::ZERO);
    i128::try_from(if up { quotient + 1 } else { quotient }).map_err(|_| OVERFLOW)
}

/// `n / d` rounded half to even; `d` is positive.
fn half_even(n: i128, d: i128) -> i128 {
    let (quotient, rest) = (n.div_euclid(d), n.rem_euclid(d));
    // rest < d, so d - rest does not overflow where twice the rest would.
    let up = match rest.cmp(&(d - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    quotient + i128::from(up)
}

/// Price x quantity x multiplier, at 10^-16.
///
/// # Errors
/// `OVERFLOW`.
pub fn value(price: i128, quantity: i128, multiplier: i128) -> Result<i128, Reason> {
    // Price x quantity is at 10^-16 already and fits: both are below 2^63.
    money(fraction(price * quantity, multiplier, ONE)?)
}

/// The part of a total that belongs to `part` of `whole`; all of it where they are the same.
///
/// # Errors
/// `OVERFLOW`.
pub fn share(total: i128, part: i128, whole: i128) -> Result<i128, Reason> {
    if part == whole {
        return Ok(total);
    }
    money(fraction(total, part, whole)?)
}

/// Money in the base currency.
///
/// # Errors
/// `OVERFLOW`.
pub fn convert(amount: i128, rate: i128) -> Result<i128, Reason> {
    money(fraction(amount, rate, ONE)?)
}

/// A lot's price where none was given: cost / (quantity x multiplier), at 10^-8. Not held to a range.
///
/// Cost is at 10^-16, quantity and multiplier at 10^-8 each: so the quotient times 10^8 is the price at 10^-8.
///
/// # Errors
/// `OVERFLOW` beyond 128 bits.
pub fn unit(cost: i128, quantity: i128, multiplier: i128) -> Result<i128, Reason> {
    fraction(cost, ONE, quantity * multiplier)
}

/// [`unit`] in the range of prices.
///
/// # Errors
/// `OVERFLOW`.
pub fn unit_price(cost: i128, quantity: i128, multiplier: i128) -> Result<i128, Reason> {
    small(unit(cost, quantity, multiplier)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        let cases = [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (1, 2, 0), (-1, 2, 0), (3, 2, 2), (-3, 2, -2)];
        for (n, d, wanted) in cases {
            assert_eq!(half_even(n, d), wanted, "{n}/{d}");
        }
        for (n, d, wanted) in [(4, 3, 1), (5, 3, 2), (-4, 3, -1), (-5, 3, -2), (6, 3, 2)] {
            assert_eq!(half_even(n, d), wanted, "{n}/{d}");
        }
    }

    #[test]
    fn big_and_small_integers_agree() {
        for n in -60..=60i128 {
            for d in 1..=12i128 {
                assert_eq!(big_fraction(n, 1, d), Ok(half_even(n, d)), "{n}/{d}");
                // Once small and once blown up beyond 128 bits.
                let blow = 10i128.pow(30);
                assert_eq!(fraction(n * blow, blow, 1).is_err(), n != 0);
                assert_eq!(fraction(n * blow, 10i128.pow(20), d * 10i128.pow(50 - 20)), fraction(n, 10i128.pow(20), d));
            }
        }
    }

    #[test]
    fn the_four_places() {
        // 3 x 0.00000001 at a multiplier of one half: 1.5 units of 10^-16 of which the even neighbour is 2.
        assert_eq!(value(3, 1, ONE / 2), Ok(2));
        assert_eq!(value(10 * ONE, 100 * ONE, ONE), Ok(1000 * ONE * ONE));
        assert_eq!(share(100, 1, 3), Ok(33));
        assert_eq!(share(100, 3, 3), Ok(100));
        assert_eq!(share(-5, 1, 2), Ok(-2));
        assert_eq!(convert(3, ONE / 2), Ok(2));
        // 1000 for 3 pieces: 333.33333333.
        assert_eq!(unit_price(1000 * ONE * ONE, 3 * ONE, ONE), Ok(33_333_333_333));
        // The same for contracts of 50: a price is a fiftieth of it.
        assert_eq!(unit_price(1000 * ONE * ONE, 2 * ONE, 50 * ONE), Ok(10 * ONE));
    }

    #[test]
    fn ranges_are_closed() {
        assert_eq!(small(SMALL_MAX), Ok(SMALL_MAX));
        assert_eq!(small(SMALL_MAX + 1), Err(OVERFLOW));
        assert_eq!(money(-MONEY_MAX), Ok(-MONEY_MAX));
        assert_eq!(add(MONEY_MAX, 1), Err(OVERFLOW));
        assert_eq!(value(SMALL_MAX, SMALL_MAX, ONE), Ok(SMALL_MAX * SMALL_MAX));
        assert_eq!(value(SMALL_MAX, SMALL_MAX, 2 * ONE), Err(OVERFLOW));
        assert_eq!(unit_price(MONEY_MAX, 1, 1), Err(OVERFLOW));
    }
}
