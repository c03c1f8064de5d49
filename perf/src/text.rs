//! Numbers and dates as text, without allocation: exact decimals, civil dates, FIX time stamps.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

/// Appends an unsigned decimal.
pub fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a decimal with exactly `width` digits, zeros in front. The value must fit.
pub fn push_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    let mut rest = value;
    for digit in out[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    assert!(rest == 0, "{value} does not fit {width} digits");
}

/// Appends an amount at 10^-8 with no more decimals than it needs.
pub fn push_e8(out: &mut Vec<u8>, value_e8: i64) {
    if value_e8 < 0 {
        out.push(b'-');
    }
    let magnitude = value_e8.unsigned_abs();
    push_u64(out, magnitude / 100_000_000);
    let mut fraction = magnitude % 100_000_000;
    if fraction != 0 {
        let mut width = 8;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        out.push(b'.');
        push_padded(out, fraction, width);
    }
}

/// An amount at 10^-8 as text.
pub fn e8(value_e8: i64) -> String {
    let mut out = Vec::new();
    push_e8(&mut out, value_e8);
    String::from_utf8(out).expect("digits are ASCII")
}

/// An amount at 10^-16 as text, with no more decimals than it needs.
pub fn e16(value_e16: i128) -> String {
    const ONE: u128 = 10_000_000_000_000_000;
    let magnitude = value_e16.unsigned_abs();
    let sign = if value_e16 < 0 { "-" } else { "" };
    let fraction = format!("{:016}", magnitude % ONE);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{dot}{fraction}", magnitude / ONE)
}

/// An unsigned decimal from its digits; nothing else may be in it.
pub fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &digit| {
        if !digit.is_ascii_digit() {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// The civil date that lies `days` days after 1970-01-01.
pub fn date_of_days(days: i32) -> Date {
    Date::constant(1970, 1, 1).checked_add(i64::from(days).days()).expect("a date of this era")
}

/// Days from 1970-01-01 to `date`.
pub fn days_of_date(date: Date) -> i32 {
    let span = date.since((jiff::Unit::Day, Date::constant(1970, 1, 1))).expect("a date of this era");
    span.get_days()
}

/// Today in UTC, as days from 1970-01-01.
pub fn today_days() -> i32 {
    days_of_date(Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// `YYYYMMDD`.
pub fn fix_date(days: i32) -> String {
    let date = date_of_days(days);
    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// Appends `HH:MM:SS.sss`.
pub fn push_time_of_day(out: &mut Vec<u8>, ms_of_day: u32) {
    let seconds = u64::from(ms_of_day / 1000);
    push_padded(out, seconds / 3600, 2);
    out.push(b':');
    push_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    push_padded(out, seconds % 60, 2);
    out.push(b'.');
    push_padded(out, u64::from(ms_of_day % 1000), 3);
}

/// The wall clock as a FIX UTCTimestamp with milliseconds, recomputed only when the millisecond changes.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    ms: i64,
    day: i64,
    date: Vec<u8>,
    text: Vec<u8>,
}

impl WallClock {
    /// The text of now.
    pub fn refresh(&mut self) -> &[u8] {
        let ms = Timestamp::now().as_millisecond();
        if ms != self.ms || self.text.is_empty() {
            let day = ms.div_euclid(86_400_000);
            if day != self.day || self.date.is_empty() {
                self.day = day;
                self.date = fix_date(i32::try_from(day).expect("a date of this era")).into_bytes();
            }
            self.ms = ms;
            self.text.clear();
            self.text.extend_from_slice(&self.date);
            self.text.push(b'-');
            push_time_of_day(&mut self.text, ms.rem_euclid(86_400_000) as u32);
        }
        &self.text
    }

    /// The text as last refreshed.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_written() {
        for (value, text) in [
            (0, "0"),
            (100_000_000, "1"),
            (-150_000_000, "-1.5"),
            (16_763_000_000, "167.63"),
            (1, "0.00000001"),
            (-10, "-0.0000001"),
            (i64::MAX, "92233720368.54775807"),
            (i64::MIN, "-92233720368.54775808"),
        ] {
            assert_eq!(e8(value), text);
        }
        assert_eq!(e16(-15_000_000_000_000_001), "-1.5000000000000001");
        assert_eq!(e16(20_000_000_000_000_000), "2");
        assert_eq!(e16(0), "0");
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(fix_date(0), "19700101");
        assert_eq!(fix_date(18_326), "20200305");
        assert_eq!(days_of_date(date_of_days(20_779)), 20_779);
        let mut out = Vec::new();
        push_time_of_day(&mut out, 86_399_999);
        assert_eq!(out, b"23:59:59.999");
        let mut clock = WallClock::default();
        assert_eq!(clock.refresh().len(), "20200305-14:30:00.123".len());
    }

    #[test]
    fn digits_only() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"-1", b"1a", b"18446744073709551616"] {
            assert_eq!(parse_u64(bad), None);
        }
    }
}
