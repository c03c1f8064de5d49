//! Rows in the binary format of `COPY`, and the same bytes again when they are read back.
//!
//! ```text
//! file    "PGCOPY\n\xff\r\n\0"  flags u32 = 0  extension u32 = 0  row*  -1 i16
//! row     columns i16, then each column: its length i32, -1 for null, and its bytes
//! numeric digits i16, weight i16, sign u16, scale u16, then digits to the base 10,000
//! ```
//! All numbers are big endian. A numeric has no zero digit at either end: so the server sends back what it was given, and a row is
//! verified by comparing bytes. *Source*: PostgreSQL 15 documentation, chapter "COPY", and `numeric_send` of its sources.

use lotbook_core::date::Date;

/// What a binary file begins with.
pub const FILE_HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub const FILE_TRAILER: [u8; 2] = (-1i16).to_be_bytes();

/// Days from 1970-01-01 to 2000-01-01, where the server's dates begin.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_US: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
const NUMERIC_NEGATIVE: u16 = 0x4000;
/// Decimal digits of a digit to the base 10,000.
const DIGIT_DECIMALS: u16 = 4;
/// 128 bits have 39 decimal digits.
const NUMERIC_DIGITS_MAX: usize = 10;

/// Appends the columns of one row to a buffer.
#[derive(Debug)]
pub struct RowWriter<'a> {
    out: &'a mut Vec<u8>,
    columns_left: usize,
}

impl<'a> RowWriter<'a> {
    /// Begins a row of so many columns.
    pub fn begin(out: &'a mut Vec<u8>, columns: usize) -> Self {
        out.extend_from_slice(&(columns as i16).to_be_bytes());
        Self { out, columns_left: columns }
    }

    /// Every column was written.
    pub fn end(self) {
        assert_eq!(self.columns_left, 0, "a row lacks columns");
    }

    /// Null.
    pub fn null(&mut self) {
        self.count();
        self.out.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// A value of a fixed number of bytes.
    fn plain<const N: usize>(&mut self, bytes: [u8; N]) {
        self.count();
        self.out.extend_from_slice(&(N as i32).to_be_bytes());
        self.out.extend_from_slice(&bytes);
    }

    /// `smallint`.
    pub fn i16(&mut self, value: i16) {
        self.plain(value.to_be_bytes());
    }

    /// `integer`.
    pub fn i32(&mut self, value: i32) {
        self.plain(value.to_be_bytes());
    }

    /// `bigint`.
    pub fn i64(&mut self, value: i64) {
        self.plain(value.to_be_bytes());
    }

    /// `bigint`, or null.
    pub fn some_i64(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.i64(value),
            None => self.null(),
        }
    }

    /// `uuid`: any 128 bits.
    pub fn some_uuid(&mut self, value: Option<u128>) {
        match value {
            Some(value) => self.plain(value.to_be_bytes()),
            None => self.null(),
        }
    }

    /// `text`. A zero byte, which the server's texts cannot hold, is written as U+FFFD; no door admits one.
    pub fn text(&mut self, text: &str) {
        if text.contains('\0') {
            return self.text(&text.replace('\0', "\u{fffd}"));
        }
        self.count();
        self.out.extend_from_slice(&(text.len() as i32).to_be_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// `text`, or null.
    pub fn some_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    /// `date`, or null.
    pub fn some_date(&mut self, date: Date) {
        if date == Date::NONE {
            return self.null();
        }
        self.i32(date.0.saturating_sub(EPOCH_DAYS));
    }

    /// `timestamptz` of UTC nanoseconds since 1970, cut to microseconds; or null.
    pub fn some_timestamp(&mut self, ns: Option<i64>) {
        match ns {
            Some(ns) => self.i64(ns.div_euclid(1_000) - EPOCH_US),
            None => self.null(),
        }
    }

    /// `numeric` of `value` x 10^-`scale`; the scale is a multiple of four.
    pub fn numeric(&mut self, value: i128, scale: u16) {
        assert!(scale.is_multiple_of(DIGIT_DECIMALS), "digits to the base 10,000");
        let mut digits = [0u16; NUMERIC_DIGITS_MAX];
        let (mut rest, mut count, mut trailing) = (value.unsigned_abs(), 0, 0);
        while rest > 0 {
            digits[count] = (rest % 10_000) as u16;
            rest /= 10_000;
            // Zeros at the low end are not written.
            if digits[count] == 0 && trailing == count {
                trailing += 1;
            }
            count += 1;
        }
        let written = &digits[trailing..count];
        // The place of the highest digit: 0 for units.
        let weight = if count == 0 { 0 } else { count as i16 - 1 - (scale / DIGIT_DECIMALS) as i16 };
        let sign = if value < 0 { NUMERIC_NEGATIVE } else { 0 };
        self.count();
        self.out.extend_from_slice(&(8 + 2 * written.len() as i32).to_be_bytes());
        self.out.extend_from_slice(&(written.len() as i16).to_be_bytes());
        self.out.extend_from_slice(&weight.to_be_bytes());
        self.out.extend_from_slice(&sign.to_be_bytes());
        self.out.extend_from_slice(&scale.to_be_bytes());
        for digit in written.iter().rev() {
            self.out.extend_from_slice(&digit.to_be_bytes());
        }
    }

    /// `numeric`, or null.
    pub fn some_numeric(&mut self, value: Option<i128>, scale: u16) {
        match value {
            Some(value) => self.numeric(value, scale),
            None => self.null(),
        }
    }

    /// `jsonb`, written by `write`, which gives JSON without zero characters.
    ///
    /// # Errors
    /// Those of `write`; the row is then unfinished.
    pub fn jsonb<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.count();
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        // The version of the format.
        self.out.push(1);
        write(self.out)?;
        let length = (self.out.len() - at - 4) as i32;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn count(&mut self) {
        self.columns_left = self.columns_left.checked_sub(1).expect("a row has a column too many");
    }
}

/// The columns of a row that [`RowWriter`] wrote; `None` for null.
#[must_use]
pub fn columns(row: &[u8]) -> Vec<Option<&[u8]>> {
    let count = i16::from_be_bytes([row[0], row[1]]);
    let mut rest = &row[2..];
    (0..count)
        .map(|_| {
            let (length, behind) = rest.split_first_chunk::<4>().expect("a whole row");
            let length = i32::from_be_bytes(*length);
            let Ok(length) = usize::try_from(length) else {
                rest = behind;
                return None;
            };
            let (bytes, behind) = behind.split_at(length);
            rest = behind;
            Some(bytes)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(value: i128, scale: u16) -> Vec<u16> {
        let mut out = Vec::new();
        let mut row = RowWriter::begin(&mut out, 1);
        row.numeric(value, scale);
        row.end();
        let bytes = columns(&out)[0].expect("no null");
        bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn numerics_have_no_zero_at_either_end() {
        const NEGATIVE: u16 = NUMERIC_NEGATIVE;
        let minus = |weight: i16| weight as u16;
        for (value, scale, wanted) in [
            (0, 8, vec![0, 0, 0, 8]),
            (1_0000_0000, 8, vec![1, 0, 0, 8, 1]),
            (-1_5000_0000, 8, vec![2, 0, NEGATIVE, 8, 1, 5_000]),
            (1, 8, vec![1, minus(-2), 0, 8, 1]),
            (1_0000, 8, vec![1, minus(-1), 0, 8, 1]),
            (12_3456_0000_0000, 8, vec![2, 1, 0, 8, 12, 3_456]),
            (1_0000_0000_0000, 8, vec![1, 1, 0, 8, 1]),
            (i128::from(u64::MAX), 0, vec![5, 4, 0, 0, 1_844, 6_744, 737, 955, 1_615]),
            (7, 16, vec![1, minus(-4), 0, 16, 7]),
        ] {
            assert_eq!(numeric(value, scale), wanted, "{value} at {scale}");
        }
        assert_eq!(numeric(i128::MIN, 16)[..4], [10, 5, NEGATIVE, 16], "all 39 digits");
    }

    #[test]
    fn a_row_comes_apart_as_it_was_written() {
        let mut out = Vec::new();
        let mut row = RowWriter::begin(&mut out, 7);
        row.i16(-2);
        row.null();
        row.text("a\0b");
        row.some_date(Date(10_958));
        row.some_date(Date::NONE);
        row.some_timestamp(Some(946_684_800_000_001_999));
        let written: Result<(), ()> = row.jsonb(|out| {
            out.extend_from_slice(b"{}");
            Ok(())
        });
        written.expect("written");
        row.end();
        let (one_day, one_us) = (1i32.to_be_bytes(), 1i64.to_be_bytes());
        let wanted: [Option<&[u8]>; 7] = [
            Some(&[0xff, 0xfe]),
            None,
            Some("a\u{fffd}b".as_bytes()),
            Some(&one_day),
            None,
            Some(&one_us),
            Some(b"\x01{}"),
        ];
        assert_eq!(columns(&out), wanted);
    }

    #[test]
    #[should_panic(expected = "a row lacks columns")]
    fn a_row_with_a_column_missing_is_no_row() {
        let mut out = Vec::new();
        RowWriter::begin(&mut out, 1).end();
    }
}
