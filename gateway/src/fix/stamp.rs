//! UTC time stamps as text.

use super::value::{DAY_NS, SECOND_NS, civil_from_days};

/// `YYYYMMDD-HH:MM:SS.sss`.
pub const STAMP_BYTES: usize = 21;

/// Formats UTCTimestamp values, remembering the last second.
///
/// Milliseconds and no more: FIX 4.4 knows no finer stamp, and its dictionaries refuse one. At 100,000 messages a second all but one call in
/// 100,000 rewrite three digits only.
#[derive(Debug, Clone)]
pub struct Stamp {
    second: i64,
    text: [u8; STAMP_BYTES],
}

impl Default for Stamp {
    fn default() -> Stamp {
        let mut stamp = Stamp { second: 0, text: *b"19700101-00:00:00.000" };
        stamp.rewrite(0);
        stamp
    }
}

impl Stamp {
    /// The time stamp's text; the fraction below a millisecond is cut off. Years beyond 0 to 9999 cannot come out of an `i64` of nanoseconds.
    pub fn text(&mut self, utc_ns: i64) -> &[u8; STAMP_BYTES] {
        let second = utc_ns.div_euclid(SECOND_NS);
        if second != self.second {
            self.rewrite(second);
        }
        let millis = (utc_ns.rem_euclid(SECOND_NS) / 1_000_000) as u32;
        self.text[18] = b'0' + (millis / 100) as u8;
        two(&mut self.text[19..], millis % 100);
        &self.text
    }

    #[cold]
    fn rewrite(&mut self, second: i64) {
        const DAY_S: i64 = DAY_NS / SECOND_NS;
        let (year, month, day) = civil_from_days(second.div_euclid(DAY_S) as i32);
        let of_day = second.rem_euclid(DAY_S) as u32;
        let text = &mut self.text;
        two(&mut text[0..], year / 100);
        two(&mut text[2..], year % 100);
        two(&mut text[4..], month);
        two(&mut text[6..], day);
        two(&mut text[9..], of_day / 3600);
        two(&mut text[12..], of_day / 60 % 60);
        two(&mut text[15..], of_day % 60);
        self.second = second;
    }
}

fn two(to: &mut [u8], value: u32) {
    to[0] = b'0' + (value / 10) as u8;
    to[1] = b'0' + (value % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::super::value::utc_timestamp_ns;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_stamps() {
        let mut stamp = Stamp::default();
        let table: &[(i64, &str)] = &[
            (0, "19700101-00:00:00.000"),
            (999_999, "19700101-00:00:00.000"),
            (1_000_000, "19700101-00:00:00.001"),
            (-1, "19691231-23:59:59.999"),
            (1_583_418_600_123_456_789, "20200305-14:30:00.123"),
            (1_583_418_600_999_999_999, "20200305-14:30:00.999"),
            (i64::MAX, "22620411-23:47:16.854"),
            (i64::MIN, "16770921-00:12:43.145"),
        ];
        for (ns, expected) in table.iter().chain(table.iter().rev()) {
            assert_eq!(std::str::from_utf8(stamp.text(*ns)).unwrap(), *expected);
        }
    }

    proptest! {
        #[test]
        fn a_stamp_reads_back(millis in proptest::collection::vec(-2_000_000_000_000_i64..9_000_000_000_000, 1..8)) {
            let mut stamp = Stamp::default();
            for millis in millis {
                let ns = millis * 1_000_000;
                prop_assert_eq!(utc_timestamp_ns(stamp.text(ns)), Ok(ns));
            }
        }
    }
}
