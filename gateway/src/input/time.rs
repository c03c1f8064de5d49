//! Time stamps: RFC 3339, exact to the nanosecond.
//!
//! Stricter than a general parser on purpose: what is taken here is what the schema says, and a
//! stamp without an offset is refused, for nobody knows which clock it means.

use lotbook_core::date::{Date, NS_PER_DAY};

/// What a time stamp looks like, for messages.
pub const TIMESTAMP_FORM: &str = "an RFC 3339 time stamp such as 2020-03-05T14:30:00.123456789Z \
     (a space may stand for the T; Z or an offset such as -05:00 is required; at most nine decimals)";

/// Parses a time stamp to UTC nanoseconds since 1970.
///
/// `T`, `t` or one space between date and time; `Z`, `z`, `+hh:mm` or `-hh:mm` at the end; up to nine
/// decimals of a second. A leap second (`:60`) is the second after, as UTC counts without them.
/// `None` for anything else, and outside the years 1678 to 2261 that nanoseconds in `i64` hold whole.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < "2020-03-05T14:30:00Z".len() || !text.is_ascii() {
        return None;
    }
    let date = Date::parse(&text[..10])?;
    if !matches!(bytes[10], b'T' | b't' | b' ') || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(bytes, 11, 23)?, two(bytes, 14, 59)?, two(bytes, 17, 60)?);
    let mut at = 19;
    let mut fraction_ns: i64 = 0;
    if bytes[at] == b'.' {
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        for index in 0..9 {
            let digit = if index < digits { i64::from(bytes[at + 1 + index] - b'0') } else { 0 };
            fraction_ns = fraction_ns * 10 + digit;
        }
        at += 1 + digits;
    }
    let offset_s = match bytes.get(at)? {
        b'Z' | b'z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && bytes[at + 3] == b':' => {
            let seconds = two(bytes, at + 1, 23)? * 3600 + two(bytes, at + 4, 59)? * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let second_of_day = hour * 3600 + minute * 60 + second - offset_s;
    i64::from(date.0)
        .checked_mul(NS_PER_DAY)?
        .checked_add(second_of_day * 1_000_000_000 + fraction_ns)
        .filter(|ns| (FIRST_NS..=LAST_NS).contains(ns))
}

/// Prints UTC nanoseconds as the shortest exact time stamp, with `T` and `Z`.
#[must_use]
pub fn format_timestamp(ns: i64) -> String {
    let (day, rest) = (ns.div_euclid(NS_PER_DAY), ns.rem_euclid(NS_PER_DAY));
    let (second, fraction) = (rest / 1_000_000_000, rest % 1_000_000_000);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let mut text = format!("{}T{hour:02}:{minute:02}:{:02}", Date(day as i32), second % 60);
    if fraction != 0 {
        text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// 1678-01-01T00:00:00Z.
const FIRST_NS: i64 = -9_214_560_000_000_000_000;
/// The last nanosecond of 2261.
const LAST_NS: i64 = 9_214_646_399_999_999_999;

fn two(bytes: &[u8], at: usize, max: i64) -> Option<i64> {
    let (tens, ones) = (*bytes.get(at)?, *bytes.get(at + 1)?);
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0')).filter(|n| *n <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01 00:00:00+00:00", Some(0)),
            ("1970-01-01T00:00:00.000000001z", Some(1)),
            ("1969-12-31t23:59:59.999999999Z", Some(-1)),
            ("1970-01-01T01:30:00.5+01:30", Some(500_000_000)),
            ("1969-12-31T19:00:00-05:00", Some(0)),
            ("2018-01-02T10:01:21.479000Z", Some(1_514_887_281_479_000_000)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_800_000_000_000)),
            ("1678-01-01T00:00:00Z", Some(FIRST_NS)),
            ("2261-12-31T23:59:59.999999999Z", Some(LAST_NS)),
            ("1677-12-31T23:59:59Z", None),
            ("2262-01-01T00:00:00Z", None),
            ("2020-03-05T14:30:00", None),
            ("2020-03-05T14:30Z", None),
            ("2020-03-05", None),
            ("2020-03-05T14:30:00.Z", None),
            ("2020-03-05T14:30:00.1234567890Z", None),
            ("2020-03-05T24:00:00Z", None),
            ("2020-02-30T00:00:00Z", None),
            ("2020-03-05T14:60:00Z", None),
            ("2020-03-05T14:30:61Z", None),
            ("2020-03-05T14:30:00+0100", None),
            ("2020-03-05T14:30:00+24:00", None),
            ("2020-03-05T14:30:00Z ", None),
            (" 2020-03-05T14:30:00Z", None),
            ("2020-03-05  14:30:00Z", None),
            ("2020-03-05T14:30:00Z[UTC]", None),
            ("20200305T143000Z     ", None),
            ("２０２０-03-05T14:30:00Z", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text), want, "{text:?}");
        }
    }

    /// An independent calendar says the same, both ways.
    #[test]
    fn agrees_with_jiff() {
        let mut ns = FIRST_NS;
        while ns < LAST_NS - 40_000_000_000_000_000 {
            let text = format_timestamp(ns);
            let theirs: jiff::Timestamp = text.parse().expect(&text);
            assert_eq!(theirs.as_nanosecond(), i128::from(ns), "{text}");
            assert_eq!(theirs.to_string(), text);
            assert_eq!(parse_timestamp(&text), Some(ns), "{text}");
            ns += 39_999_123_456_789_017 / 7;
        }
    }
}
