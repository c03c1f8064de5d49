//! Exact values as text: decimals, time stamps, dates, hexadecimal.

use std::fmt;

use lotbook_core::amount::Money;
use lotbook_core::date::Date;
use serde::{Serialize, Serializer};

/// A number at 10^-8, as the shortest exact decimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct E8(pub i64);

/// An amount of money at 10^-16, as the shortest exact decimal string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct E16(pub Money);

/// UTC nanoseconds, as RFC 3339 with all nine decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nanos(pub i64);

/// A date as `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub Date);

/// 32 bits as 8 hexadecimal digits: checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex32(pub u32);

/// 64 bits as 16 hexadecimal digits: digests and log ids, which readers of JSON would round as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex64(pub u64);

/// 128 bits as 32 hexadecimal digits: hashes of trade ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex128(pub u128);

/// Bytes as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HexBytes<'a>(pub &'a [u8]);

impl fmt::Display for E8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, i128::from(self.0), 8)
    }
}

impl fmt::Display for E16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, 16)
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 64 bits of nanoseconds reach the years 1677 to 2262, all of which a time stamp holds.
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(|_| fmt::Error)?;
        write!(f, "{stamp:.9}")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Hex64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Hex128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for HexBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// As `lotbook_core::amount::format_scaled`, without its `String`: a document holds millions of numbers.
fn write_scaled(f: &mut fmt::Formatter<'_>, value: i128, decimals: usize) -> fmt::Result {
    let scale = 10u128.pow(decimals as u32);
    let (whole, mut fraction) = (value.unsigned_abs() / scale, value.unsigned_abs() % scale);
    let sign = if value < 0 { "-" } else { "" };
    if fraction == 0 {
        return write!(f, "{sign}{whole}");
    }
    let mut width = decimals;
    while fraction % 10 == 0 {
        fraction /= 10;
        width -= 1;
    }
    write!(f, "{sign}{whole}.{fraction:0width$}")
}

macro_rules! serialize_as_text {
    ($($name:ty),+) => {
        $(impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })+
    };
}

serialize_as_text!(E8, E16, Nanos, Day, Hex32, Hex64, Hex128, HexBytes<'_>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_text() {
        for (text, want) in [
            (E8(-150_000_000).to_string(), "-1.5"),
            (E16(i128::MIN / 2).to_string(), "-8507059173023461586584.3651857942052864"),
            (Nanos(0).to_string(), "1970-01-01T00:00:00.000000000Z"),
            (Nanos(1_583_418_600_000_000_001).to_string(), "2020-03-05T14:30:00.000000001Z"),
            (Nanos(i64::MIN).to_string(), "1677-09-21T00:12:43.145224192Z"),
            (Nanos(i64::MAX).to_string(), "2262-04-11T23:47:16.854775807Z"),
            (Day(Date(18_326)).to_string(), "2020-03-05"),
            (Hex32(10).to_string(), "0000000a"),
            (Hex64(10).to_string(), "000000000000000a"),
            (Hex128(10).to_string(), "0000000000000000000000000000000a"),
            (HexBytes(&[0, 255]).to_string(), "00ff"),
        ] {
            assert_eq!(text, want);
        }
    }
}
