//! Field values: text to exact numbers, dates and times.
//!
//! No float anywhere: a decimal is read straight into an integer at 10^-8, or refused.

use super::limits::{DECIMAL_BYTES_MAX, SEQ_MAX, YEAR_MAX, YEAR_MIN};

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds in a day.
pub const DAY_NS: i64 = 86_400 * SECOND_NS;
/// One unit of a quantity, price or amount at 10^-8.
pub const ONE_E8: i64 = 100_000_000;

/// Why a value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueError {
    /// Not of the type's form: a letter in a number, a thirteenth month, an unprintable byte.
    Format,
    /// Of the right form and out of range: it does not fit.
    Range,
    /// A digit beyond the eighth decimal is not zero.
    Decimals,
    /// Text longer than the field's limit.
    TooLong,
}

/// Reads an exact decimal at 10^-8.
///
/// The form is FIX's float: an optional `-`, digits, an optional point. No `+`, no exponent, no spaces. Zeros beyond the eighth decimal change
/// nothing and are accepted, for some engines pad; any other digit there is [`ValueError::Decimals`], never rounded.
pub fn decimal_e8(text: &[u8]) -> Result<i64, ValueError> {
    if text.len() > DECIMAL_BYTES_MAX {
        return Err(ValueError::TooLong);
    }
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let mut whole: u64 = 0;
    let mut at = 0;
    let mut overflow = false;
    while at < digits.len() {
        let digit = digits[at].wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        match whole.checked_mul(10).and_then(|w| w.checked_add(u64::from(digit))) {
            Some(next) => whole = next,
            None => overflow = true,
        }
        at += 1;
    }
    let whole_digits = at;
    let mut fraction: u64 = 0;
    let mut fraction_digits = 0;
    let mut inexact = false;
    if at < digits.len() {
        if digits[at] != b'.' {
            return Err(ValueError::Format);
        }
        at += 1;
        while at < digits.len() {
            let digit = digits[at].wrapping_sub(b'0');
            if digit > 9 {
                return Err(ValueError::Format);
            }
            if fraction_digits < 8 {
                fraction = fraction * 10 + u64::from(digit);
            } else {
                inexact |= digit != 0;
            }
            fraction_digits += 1;
            at += 1;
        }
    }
    if whole_digits + fraction_digits == 0 {
        return Err(ValueError::Format);
    }
    if overflow {
        return Err(ValueError::Range);
    }
    if inexact {
        return Err(ValueError::Decimals);
    }
    const PAD: [u64; 9] = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    fraction *= PAD[fraction_digits.min(8)];
    let magnitude = whole
        .checked_mul(ONE_E8 as u64)
        .and_then(|w| w.checked_add(fraction))
        .and_then(|m| i64::try_from(m).ok())
        .ok_or(ValueError::Range)?;
    Ok(if negative { -magnitude } else { magnitude })
}

/// Reads an unsigned whole number of 64 bits; leading zeros are accepted.
pub fn unsigned(text: &[u8]) -> Result<u64, ValueError> {
    if text.is_empty() {
        return Err(ValueError::Format);
    }
    let mut value: u64 = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(ValueError::Format);
        }
        value = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit))).ok_or(ValueError::Range)?;
    }
    Ok(value)
}

/// Reads a sequence number: 1 to [`SEQ_MAX`].
pub fn sequence(text: &[u8]) -> Result<u64, ValueError> {
    match unsigned(text)? {
        value @ 1..=SEQ_MAX => Ok(value),
        _ => Err(ValueError::Range),
    }
}

/// Reads a sequence number or 0, which stands for none, or in EndSeqNo for the end of all.
pub fn sequence_or_zero(text: &[u8]) -> Result<u64, ValueError> {
    match unsigned(text)? {
        value @ 0..=SEQ_MAX => Ok(value),
        _ => Err(ValueError::Range),
    }
}

/// Reads a FIX Boolean: `Y` or `N`.
pub fn boolean(text: &[u8]) -> Result<bool, ValueError> {
    match text {
        b"Y" => Ok(true),
        b"N" => Ok(false),
        _ => Err(ValueError::Format),
    }
}

/// Reads a FIX char: exactly one printable byte.
pub fn character(text: &[u8]) -> Result<u8, ValueError> {
    match text {
        [byte @ 0x20..=0x7e] => Ok(*byte),
        _ => Err(ValueError::Format),
    }
}

/// Reads text of 1 to `bytes_max` printable ASCII bytes.
pub fn text(bytes: &[u8], bytes_max: usize) -> Result<&str, ValueError> {
    if bytes.len() > bytes_max {
        return Err(ValueError::TooLong);
    }
    if bytes.is_empty() || !is_printable(bytes) {
        return Err(ValueError::Format);
    }
    // A trade has four texts, and to have each checked once more costs a tenth of the whole message (22 of 255 ns).
    // SAFETY: every byte is printable ASCII, as was just checked, and ASCII is UTF-8.
    Ok(unsafe { std::str::from_utf8_unchecked(bytes) })
}

/// Whether every byte is printable ASCII (0x20 to 0x7e).
fn is_printable(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut bad = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // With the high bits clear, adding 0x60 carries into bit 7 exactly for bytes of 0x20 and above, and adding 1 exactly for 0x7f.
        let low = word & !HIGH;
        bad |= (word | !(low + 0x60 * ONES) | (low + ONES)) & HIGH;
    }
    bad == 0 && rest.iter().all(|byte| matches!(byte, 0x20..=0x7e))
}

/// Reads a LocalMktDate (`YYYYMMDD`) as days since 1970-01-01.
pub fn local_date(text: &[u8]) -> Result<i32, ValueError> {
    let Ok(text) = <&[u8; 8]>::try_from(text) else {
        return Err(ValueError::Format);
    };
    date_of(text)
}

/// Reads a UTCTimestamp as nanoseconds since the epoch.
///
/// `YYYYMMDD-HH:MM:SS`, with no fraction, or one of three, six or nine digits. A leap second (23:59:60) is the first second of the next day, as
/// POSIX has it.
pub fn utc_timestamp_ns(text: &[u8]) -> Result<i64, ValueError> {
    let Some((seconds_part, fraction)) = text.split_first_chunk::<17>() else {
        return Err(ValueError::Format);
    };
    let [date @ .., b'-', _, _, _, _, _, _, _, _] = seconds_part else {
        return Err(ValueError::Format);
    };
    let (_, time) = seconds_part.split_last_chunk::<8>().ok_or(ValueError::Format)?;
    let days = date_of(date)?;
    let (hour, minute, second) = time_of(time)?;
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] => {
            let scale = match digits.len() {
                3 => 1_000_000,
                6 => 1_000,
                9 => 1,
                _ => return Err(ValueError::Format),
            };
            unsigned(digits)? as i64 * scale
        }
        _ => return Err(ValueError::Format),
    };
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    // The years are bounded so that this cannot overflow.
    Ok(i64::from(days) * DAY_NS + seconds * SECOND_NS + nanos)
}

/// The day, as days since 1970-01-01, of a time stamp.
pub fn day_of_ns(utc_ns: i64) -> i32 {
    utc_ns.div_euclid(DAY_NS) as i32
}

fn date_of(text: &[u8; 8]) -> Result<i32, ValueError> {
    let pairs = pairs_of(u64::from_le_bytes(*text))?;
    let pair = |at: usize| u32::from(pairs[at]);
    let (year, month, day) = (pair(0) * 100 + pair(2), pair(4), pair(6));
    if !(YEAR_MIN..=YEAR_MAX).contains(&year) {
        return Err(ValueError::Range);
    }
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return Err(ValueError::Format);
    }
    Ok(days_from_civil(year, month, day))
}

/// Hour, minute and second of `HH:MM:SS`.
fn time_of(text: &[u8; 8]) -> Result<(u32, u32, u32), ValueError> {
    let [_, _, b':', _, _, b':', _, _] = text else {
        return Err(ValueError::Format);
    };
    // The colons become zeros.
    const COLONS: u64 = u64::from_le_bytes([0, 0, b':' ^ b'0', 0, 0, b':' ^ b'0', 0, 0]);
    let pairs = pairs_of(u64::from_le_bytes(*text) ^ COLONS)?;
    let (hour, minute, second) = (u32::from(pairs[0]), u32::from(pairs[3]), u32::from(pairs[6]));
    let leap = second == 60 && minute == 59 && hour == 23;
    if hour > 23 || minute > 59 || (second > 59 && !leap) {
        return Err(ValueError::Format);
    }
    Ok((hour, minute, second))
}

/// Eight digits at once: byte `at` of the answer is the number that the digits `at` and `at + 1` are.
fn pairs_of(text: u64) -> Result<[u8; 8], ValueError> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let digits = text ^ (ONES * 0x30);
    // Adding 0x76 carries into bit 7 for what is above 9. A byte with that bit set is no digit whatever is added.
    if (digits | digits.wrapping_add(ONES * 0x76)) & HIGH != 0 {
        return Err(ValueError::Format);
    }
    // No byte of the sum is above 99, so none reaches into the next.
    Ok((digits * 10 + (digits >> 8)).to_le_bytes())
}

fn days_in_month(year: u32, month: u32) -> u32 {
    const DAYS: [u8; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    u32::from(DAYS[month as usize - 1]) + u32::from(month == 2 && leap)
}

/// Days since 1970-01-01 of a valid date of the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year and months have a linear pattern (153 days every five).
fn days_from_civil(year: u32, month: u32, day: u32) -> i32 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    (year * 365 + leap_days + day_of_year) as i32 - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
pub fn civil_from_days(days: i32) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, carry) = if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    let year = year_of_era + era * 400 + carry;
    (year as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals() {
        let bad = Err(ValueError::Format);
        let range = Err(ValueError::Range);
        let decimals = Err(ValueError::Decimals);
        let table: &[(&str, Result<i64, ValueError>)] = &[
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("100", Ok(10_000_000_000)),
            ("167.63", Ok(16_763_000_000)),
            ("00023.230", Ok(2_323_000_000)),
            ("23.", Ok(2_300_000_000)),
            (".5", Ok(50_000_000)),
            ("-12.5", Ok(-1_250_000_000)),
            ("0.00000001", Ok(1)),
            ("1.123456780", Ok(112_345_678)),
            ("1.1234567800000", Ok(112_345_678)),
            ("92233720368.54775807", Ok(i64::MAX)),
            ("-92233720368.54775807", Ok(-i64::MAX)),
            ("92233720368.54775808", range),
            ("184467440737.09551616", range),
            ("99999999999999999999", range),
            ("99999999999999999999.5", range),
            ("0.000000001", decimals),
            ("1.123456789", decimals),
            ("", bad),
            ("-", bad),
            (".", bad),
            ("-.", bad),
            ("+1", bad),
            ("--1", bad),
            ("1e3", bad),
            ("1E3", bad),
            ("1.2.3", bad),
            ("1,000", bad),
            (" 1", bad),
            ("1 ", bad),
            ("1.-2", bad),
            ("NaN", bad),
            ("0x10", bad),
            ("000000000000000000000000000000001", Err(ValueError::TooLong)),
        ];
        for (input, expected) in table {
            assert_eq!(decimal_e8(input.as_bytes()), *expected, "{input}");
        }
    }

    #[test]
    fn dates() {
        let bad = Err(ValueError::Format);
        let table: &[(&str, Result<i32, ValueError>)] = &[
            ("19700101", Ok(0)),
            ("19700102", Ok(1)),
            ("19691231", Ok(-1)),
            ("20000229", Ok(11_016)),
            ("20200305", Ok(18_326)),
            ("20240229", Ok(19_782)),
            ("19000101", Ok(-25_567)),
            ("22611231", Ok(106_650)),
            ("20230229", bad),
            ("21000229", bad),
            ("20201301", bad),
            ("20200001", bad),
            ("20200100", bad),
            ("20200431", bad),
            ("2020-3-5", bad),
            ("2020030", bad),
            ("202003055", bad),
            ("", bad),
            ("18991231", Err(ValueError::Range)),
            ("22620101", Err(ValueError::Range)),
        ];
        for (input, expected) in table {
            assert_eq!(local_date(input.as_bytes()), *expected, "{input}");
        }
    }

    #[test]
    fn every_day_of_the_range_comes_back() {
        let mut expected = local_date(b"19000101").unwrap();
        for year in YEAR_MIN..=YEAR_MAX {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_from_civil(year, month, day), expected);
                    assert_eq!(civil_from_days(expected), (year, month, day));
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn timestamps() {
        let bad = Err(ValueError::Format);
        let table: &[(&str, Result<i64, ValueError>)] = &[
            ("19700101-00:00:00", Ok(0)),
            ("19691231-23:59:59.999", Ok(-1_000_000)),
            ("20200305-14:30:00", Ok(1_583_418_600_000_000_000)),
            ("20200305-14:30:00.123", Ok(1_583_418_600_123_000_000)),
            ("20200305-14:30:00.123456", Ok(1_583_418_600_123_456_000)),
            ("20200305-14:30:00.123456789", Ok(1_583_418_600_123_456_789)),
            ("20161231-23:59:60", Ok(1_483_228_800_000_000_000)),
            ("22611231-23:59:59.999999999", Ok(9_214_646_399_999_999_999)),
            ("20200305-14:30:60", bad),
            ("20200305-24:00:00", bad),
            ("20200305-14:60:00", bad),
            ("20200305-14:30:00.", bad),
            ("20200305-14:30:00.1", bad),
            ("20200305-14:30:00.1234", bad),
            ("20200305-14:30:00.1234567890", bad),
            ("20200305-14:30:00.12x", bad),
            ("20200305-14:30:00Z", bad),
            ("20200305 14:30:00", bad),
            ("20200305-14-30-00", bad),
            ("20200231-14:30:00", bad),
            ("20200305-14:30", bad),
            ("", bad),
        ];
        for (input, expected) in table {
            assert_eq!(utc_timestamp_ns(input.as_bytes()), *expected, "{input}");
        }
        assert_eq!(day_of_ns(-1), -1);
        assert_eq!(day_of_ns(1_583_418_600_123_456_789), 18_326);
    }

    #[test]
    fn small_values() {
        assert_eq!(unsigned(b"0007"), Ok(7));
        assert_eq!(unsigned(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), Err(ValueError::Range));
        assert_eq!(unsigned(b"-1"), Err(ValueError::Format));
        assert_eq!(unsigned(b""), Err(ValueError::Format));
        assert_eq!(sequence(b"0"), Err(ValueError::Range));
        assert_eq!(sequence(b"999999999999"), Ok(SEQ_MAX));
        assert_eq!(sequence(b"1000000000000"), Err(ValueError::Range));
        assert_eq!(sequence_or_zero(b"0"), Ok(0));
        assert_eq!(sequence_or_zero(b"1000000000000"), Err(ValueError::Range));
        assert_eq!(boolean(b"Y"), Ok(true));
        assert_eq!(boolean(b"N"), Ok(false));
        assert_eq!(boolean(b"y"), Err(ValueError::Format));
        assert_eq!(character(b"F"), Ok(b'F'));
        assert_eq!(character(b"FF"), Err(ValueError::Format));
        assert_eq!(character(b"\x07"), Err(ValueError::Format));
        assert_eq!(text(b"AAPL", 4), Ok("AAPL"));
        assert_eq!(text(b"AAPL", 3), Err(ValueError::TooLong));
        assert_eq!(text(b"", 3), Err(ValueError::Format));
        assert_eq!(text(b"a\tb", 3), Err(ValueError::Format));
        assert_eq!(text("é".as_bytes(), 3), Err(ValueError::Format));
    }

    #[test]
    fn printable_looks_at_every_byte_of_a_word() {
        for position in 0..19 {
            for byte in 0..=255_u8 {
                let mut bytes = [b'~'; 19];
                bytes[position] = byte;
                assert_eq!(is_printable(&bytes), (0x20..=0x7e).contains(&byte), "{byte:#x} at {position}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_decimal_comes_back(value in -i64::MAX..=i64::MAX) {
            let magnitude = value.unsigned_abs();
            let sign = if value < 0 { "-" } else { "" };
            let written = format!("{sign}{}.{:08}", magnitude / ONE_E8 as u64, magnitude % ONE_E8 as u64);
            prop_assert_eq!(decimal_e8(written.as_bytes()), Ok(value));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decimal_e8(&bytes);
            let _ = unsigned(&bytes);
            let _ = local_date(&bytes);
            let _ = utc_timestamp_ns(&bytes);
            let _ = text(&bytes, 32);
        }
    }
}
