//! Frames of raw FIX messages in a file: one a line, or back to back as on the wire.
//!
//! A frame is found by its BodyLength (9) and checked by its CheckSum (10). Where fields are divided by
//! `|`, as tools print them, it stands for SOH. What the fields mean is the decoder's business.

use std::io::{self, BufRead};

use super::Line;
use super::error::{Code, LineError};
use super::source::LINE_BYTES_MAX;

/// Turns one whole, checked message into a line; `None` for session messages, which say nothing about the book.
pub type FixDecoder = Box<dyn FnMut(&[u8]) -> Option<Result<Line, LineError>> + Send>;

const SOH: u8 = 1;
/// `10=` three digits and a divider.
const TRAILER_BYTES: usize = 7;

/// Cuts a stream into messages.
pub(super) struct Frames {
    reader: Box<dyn BufRead + Send>,
    pending: Vec<u8>,
    start: usize,
    /// Number of the last frame given out, from 1.
    pub(super) number: u64,
}

impl Frames {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, pending: Vec::new(), start: 0, number: 0 }
    }

    /// The next message with SOH as divider; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<&[u8], LineError>>> {
        loop {
            let Some(byte) = self.byte(0)? else { return Ok(None) };
            if !matches!(byte, b'\r' | b'\n') {
                break;
            }
            self.start += 1;
        }
        self.number += 1;
        match self.frame()? {
            Ok(len) => {
                let frame = self.start..self.start + len;
                self.start += len;
                Ok(Some(Ok(&self.pending[frame])))
            }
            Err(what) => {
                let passed_over = self.resynchronise()?;
                let message = format!("{what}; passed over {passed_over} bytes");
                Ok(Some(Err(LineError::line(Code::MalformedFix, message))))
            }
        }
    }

    /// Length of the message at `start`, checked.
    fn frame(&mut self) -> io::Result<Result<usize, &'static str>> {
        /// `8=FIXT.1.1` and `9=1048576` with room to spare.
        const HEADER_BYTES_MAX: usize = 32;
        self.ensure(HEADER_BYTES_MAX)?;
        let head = &self.pending[self.start..];
        if !head.starts_with(b"8=FIX") {
            return Ok(Err("no BeginString (8) where a message should start"));
        }
        let head = &head[..head.len().min(HEADER_BYTES_MAX)];
        let Some(begin_end) = head.iter().position(|b| matches!(b, &SOH | b'|')) else {
            return Ok(Err("BeginString (8) does not end"));
        };
        let divider = head[begin_end];
        let rest = &head[begin_end + 1..];
        let Some(length_end) = rest.iter().position(|b| *b == divider) else {
            return Ok(Err("BodyLength (9) is not the second field"));
        };
        let digits = rest[..length_end].strip_prefix(b"9=").unwrap_or_default();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Ok(Err("BodyLength (9) is not the second field, or no number"));
        }
        let body = digits.iter().fold(0usize, |n, d| n.saturating_mul(10).saturating_add(usize::from(d - b'0')));
        if body > LINE_BYTES_MAX {
            return Ok(Err("BodyLength (9) is beyond 1 MiB"));
        }
        let checked = begin_end + 1 + length_end + 1 + body;
        let len = checked + TRAILER_BYTES;
        if !self.ensure(len)? {
            // The last divider of a line is often lost on the way.
            let is_short_by_one = self.pending.len() - self.start == len - 1;
            if !is_short_by_one {
                return Ok(Err("the message is cut short"));
            }
            self.pending.push(divider);
        }
        let message = &mut self.pending[self.start..self.start + len];
        if message[len - 1] == b'\n' {
            message[len - 1] = divider;
        }
        let trailer = &message[checked..];
        let is_trailer = trailer.starts_with(b"10=")
            && trailer[3..6].iter().all(u8::is_ascii_digit)
            && trailer[6] == divider
            && message[checked - 1] == divider;
        if !is_trailer {
            return Ok(Err("no CheckSum (10) where BodyLength (9) says"));
        }
        if divider != SOH {
            message.iter_mut().filter(|b| **b == divider).for_each(|b| *b = SOH);
        }
        let sum = message[..checked].iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
        let stated = message[checked + 3..checked + 6].iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
        if u32::from(sum) != stated {
            return Ok(Err("CheckSum (10) is wrong"));
        }
        Ok(Ok(len))
    }

    /// Goes on behind the line, or before the next message on it.
    fn resynchronise(&mut self) -> io::Result<usize> {
        let mut passed_over = 0;
        loop {
            self.start += 1;
            passed_over += 1;
            match self.byte(0)? {
                None | Some(b'\n') => return Ok(passed_over),
                Some(b'8') => {
                    self.ensure(5)?;
                    let is_divided = matches!(self.pending[self.start - 1], SOH | b'|' | b'\r');
                    if is_divided && self.pending[self.start..].starts_with(b"8=FIX") {
                        return Ok(passed_over);
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn byte(&mut self, at: usize) -> io::Result<Option<u8>> {
        self.ensure(at + 1)?;
        Ok(self.pending.get(self.start + at).copied())
    }

    /// Reads on until `len` bytes are there; false when the file ends before.
    fn ensure(&mut self, len: usize) -> io::Result<bool> {
        while self.pending.len() - self.start < len {
            // One byte behind stays: resynchronising looks at it.
            if self.start > 1 {
                self.pending.drain(..self.start - 1);
                self.start = 1;
            }
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(false);
            }
            self.pending.extend_from_slice(available);
            let read = available.len();
            self.reader.consume(read);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn message(body: &str) -> Vec<u8> {
        let mut message = format!("8=FIX.4.4|9={}|{body}", body.len()).replace('|', "\u{1}").into_bytes();
        let sum = message.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
        message.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
        message
    }

    fn frames(bytes: &[u8]) -> Vec<String> {
        // A buffer of seven bytes cuts at every place.
        let reader = std::io::BufReader::with_capacity(7, Cursor::new(bytes.to_vec()));
        let mut frames = Frames::new(Box::new(reader));
        let mut found = Vec::new();
        while let Some(frame) = frames.next().expect("reads") {
            found.push(match frame {
                Ok(frame) => String::from_utf8_lossy(frame).replace('\u{1}', "|"),
                Err(error) => error.message,
            });
        }
        found
    }

    #[test]
    fn frames_and_damage() {
        let (a, b) = (message("35=8|17=a|"), message("35=AE|571=b\n8=FIX|"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\u{1}', "|");
        let piped = text(&a).into_bytes();
        let want = [text(&a), text(&b)];
        assert_eq!(frames(&[&a[..], &b].concat()), want, "back to back");
        assert_eq!(frames(&[&a[..], b"\n", &b, b"\r\n"].concat()), want, "one a line");
        assert_eq!(frames(&[&piped[..], b"\n", &b].concat()), want, "bars for SOH");
        assert_eq!(frames(&[&piped[..piped.len() - 1], b"\n", &b].concat()), want, "no last divider");
        assert_eq!(frames(&piped[..piped.len() - 1]), want[..1], "no last divider at the end");
        for (bad, says) in [
            (b"hello\n".to_vec(), "no BeginString"),
            ([&a[..a.len() - 8], b"9\x01\n"].concat(), "no CheckSum"),
            (text(&a).replace("17=a", "17=b").into_bytes(), "CheckSum (10) is wrong"),
            (b"8=FIX.4.4|35=8|\n".to_vec(), "BodyLength (9) is not the second field"),
            (b"8=FIX.4.4|9=99999999|\n".to_vec(), "beyond 1 MiB"),
        ] {
            let found = frames(&[&bad[..], &b].concat());
            assert!(found[0].starts_with(says) || found[0].contains(says), "{found:?}");
            assert_eq!(found[1..], want[1..], "{says}");
        }
        assert!(frames(&a[..20])[0].starts_with("the message is cut short"));
        assert!(frames(b"\n\r\n").is_empty());
    }
}
