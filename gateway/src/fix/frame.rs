//! One whole message out of a byte buffer.
//!
//! ```text
//!  0         begin_end      body                             body_end  end
//!  | 8=FIX.4.4 | 9=0000117 | 35=8 | 49=.. | ... | 60=...     | 10=nnn |
//!              SOH         SOH                           SOH          SOH
//!              <- counted by BodyLength: body..body_end ->
//!  <-------------- summed by CheckSum: 0..body_end -------->
//! ```
//!
//! Length and checksum are verified before anything looks at a field. What fails is *garbled*: FIX 4.4 volume 2 has it ignored, without an
//! answer and without consuming a number, so that the gap is found by the next good message and resent.

use std::ops::Range;

use super::limits::{BEGIN_STRING_BYTES_MAX, BODY_LENGTH_DIGITS_MAX, FRAME_BYTES_MAX};

/// The field separator.
pub const SOH: u8 = 1;

/// `10=nnn` and its SOH.
const TRAILER_BYTES: usize = 7;

/// Where the parts of one verified message lie in the buffer that was passed to [`next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The end of the BeginString value, which starts at 2.
    pub(super) begin_end: u16,
    /// The first byte after BodyLength: `35=`.
    pub(super) body: u16,
    /// The first byte of `10=`.
    pub(super) body_end: u16,
    /// One past the message.
    pub(super) end: u16,
}

impl Frame {
    /// The whole message's length; the next message starts here.
    pub fn len(&self) -> usize {
        usize::from(self.end)
    }

    /// Never: a frame holds at least its header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where the BeginString value lies.
    pub fn begin_string(&self) -> Range<usize> {
        2..usize::from(self.begin_end)
    }

    /// Where the fields counted by BodyLength lie.
    pub fn body(&self) -> Range<usize> {
        usize::from(self.body)..usize::from(self.body_end)
    }
}

/// What the front of the buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed {
    /// Nothing whole yet. At least `bytes_min` bytes from the front are needed before it is worth calling again.
    NeedMore {
        /// The least length of the buffer at which the answer can differ.
        bytes_min: usize,
    },
    /// A message whose length and checksum are right.
    Frame(Frame),
    /// Bytes that are no message: go on at `skip_to` (at least 1, at most the buffer's length).
    Garbled {
        /// Where to look next.
        skip_to: usize,
        /// What is wrong.
        why: Garbled,
    },
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garbled {
    /// Does not start with `8=FIX`.
    NoBeginString,
    /// `9=` does not follow BeginString, or is no number.
    NoBodyLength,
    /// Longer than [`FRAME_BYTES_MAX`]. Unlike the others this cannot be cured by a resend, so the session ends.
    Oversize,
    /// No `10=` where BodyLength says.
    WrongBodyLength,
    /// The checksum is another one.
    WrongCheckSum,
    /// MsgType is not the third field.
    NoMsgType,
}

/// Looks for one message at the front of `buffer`.
///
/// Pure: the caller keeps the buffer, and drops [`Frame::len`] or `skip_to` bytes from its front. Cost is linear in the message, and a
/// message that trickles in is not scanned again before `bytes_min` bytes are there.
pub fn next(buffer: &[u8]) -> Framed {
    // Nearly every message starts the same.
    const USUAL: &[u8] = b"8=FIX.4.4\x019=";
    let begin_end = match buffer.starts_with(USUAL) {
        true => USUAL.len() - 3,
        false => match begin_end_of(buffer) {
            Ok(begin_end) => begin_end,
            Err(framed) => return framed,
        },
    };
    let digits_at = begin_end + 3;
    let mut body_bytes: usize = 0;
    let mut at = digits_at;
    loop {
        match buffer.get(at) {
            Some(&SOH) if at > digits_at => break,
            Some(digit @ b'0'..=b'9') if at - digits_at < BODY_LENGTH_DIGITS_MAX => {
                body_bytes = body_bytes * 10 + usize::from(digit - b'0');
            }
            Some(_) => return garbled(buffer, Garbled::NoBodyLength),
            None => return Framed::NeedMore { bytes_min: at + 1 },
        }
        at += 1;
    }
    let body = at + 1;
    let body_end = body + body_bytes;
    let end = body_end + TRAILER_BYTES;
    if end > FRAME_BYTES_MAX {
        return garbled(buffer, Garbled::Oversize);
    }
    let Some(message) = buffer.get(..end) else {
        return Framed::NeedMore { bytes_min: end };
    };

    let [b'1', b'0', b'=', hundreds, tens, ones, SOH] = &message[body_end..] else {
        return garbled(buffer, Garbled::WrongBodyLength);
    };
    if message[body_end - 1] != SOH {
        return garbled(buffer, Garbled::WrongBodyLength);
    }
    let written = [*hundreds, *tens, *ones];
    if written != check_sum_digits(check_sum(&message[..body_end])) {
        // The trailer stands where BodyLength puts it: this was a message, and the next one starts behind it.
        return Framed::Garbled { skip_to: end, why: Garbled::WrongCheckSum };
    }
    if !message[body..].starts_with(b"35=") {
        return Framed::Garbled { skip_to: end, why: Garbled::NoMsgType };
    }
    // `end` is below FRAME_BYTES_MAX, which fits 16 bits.
    Framed::Frame(Frame { begin_end: begin_end as u16, body: body as u16, body_end: body_end as u16, end: end as u16 })
}

/// The end of BeginString, with `9=` behind it.
#[cold]
fn begin_end_of(buffer: &[u8]) -> Result<usize, Framed> {
    const START: &[u8] = b"8=FIX";
    let common = buffer.len().min(START.len());
    if buffer[..common] != START[..common] {
        return Err(garbled(buffer, Garbled::NoBeginString));
    }
    if buffer.len() < START.len() {
        return Err(Framed::NeedMore { bytes_min: START.len() });
    }

    let begin_limit = 2 + BEGIN_STRING_BYTES_MAX + 1;
    let Some(begin_end) = buffer.iter().take(begin_limit).position(|&byte| byte == SOH) else {
        return Err(need_or(buffer, begin_limit, Garbled::NoBeginString));
    };
    // `8=FIX8=FIX.4.4` is the end of one thing and the start of another.
    if !buffer[2..begin_end].iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'.')) {
        return Err(garbled(buffer, Garbled::NoBeginString));
    }
    let digits_at = begin_end + 3;
    if buffer.len() < digits_at {
        return Err(match b"9=".starts_with(&buffer[begin_end + 1..]) {
            true => Framed::NeedMore { bytes_min: digits_at },
            false => garbled(buffer, Garbled::NoBodyLength),
        });
    }
    if &buffer[begin_end + 1..digits_at] != b"9=" {
        return Err(garbled(buffer, Garbled::NoBodyLength));
    }
    Ok(begin_end)
}

/// The sum of all bytes, modulo 256.
pub fn check_sum(bytes: &[u8]) -> u8 {
    // Plain on purpose: the compiler turns it into packed adds, about 10 ns for a trade report.
    bytes.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
}

/// The three digits of a checksum.
pub fn check_sum_digits(sum: u8) -> [u8; 3] {
    [b'0' + sum / 100, b'0' + sum / 10 % 10, b'0' + sum % 10]
}

fn need_or(buffer: &[u8], bytes_min: usize, why: Garbled) -> Framed {
    match buffer.len() < bytes_min {
        true => Framed::NeedMore { bytes_min: buffer.len() + 1 },
        false => garbled(buffer, why),
    }
}

/// Finds where the next message may start: the next `8=FIX`, or what may be the beginning of one at the end of the buffer.
#[cold]
fn garbled(buffer: &[u8], why: Garbled) -> Framed {
    const START: &[u8] = b"8=FIX";
    let skip_to = memchr::memchr_iter(b'8', buffer)
        .skip_while(|&at| at == 0)
        .find(|&at| {
            let rest = &buffer[at..];
            rest.starts_with(START) || START.starts_with(rest)
        })
        .unwrap_or(buffer.len());
    Framed::Garbled { skip_to, why }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{framed, pipes};
    use super::*;
    use proptest::prelude::*;

    const HEARTBEAT: &str = "35=0|49=CLIENT|56=LOTBOOK|34=2|52=20200305-14:30:00.000|";

    fn whole(bytes: &[u8]) -> Frame {
        match next(bytes) {
            Framed::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_is_found_and_its_parts_are_where_they_are() {
        let bytes = framed("FIX.4.4", HEARTBEAT);
        let frame = whole(&bytes);
        assert_eq!(frame.len(), bytes.len());
        assert_eq!(&bytes[frame.begin_string()], b"FIX.4.4");
        assert_eq!(&bytes[frame.body()], pipes(HEARTBEAT));
    }

    #[test]
    fn every_prefix_needs_more_and_says_how_much() {
        let bytes = framed("FIX.4.4", HEARTBEAT);
        for cut in 0..bytes.len() {
            let Framed::NeedMore { bytes_min } = next(&bytes[..cut]) else {
                panic!("{cut}: {:?}", next(&bytes[..cut]));
            };
            assert!(bytes_min > cut);
            assert!(bytes_min <= bytes.len());
        }
        assert_eq!(next(&bytes[..20]), Framed::NeedMore { bytes_min: bytes.len() });
    }

    #[test]
    fn only_the_front_message_counts() {
        let mut bytes = framed("FIX.4.4", HEARTBEAT);
        let len = bytes.len();
        bytes.extend_from_slice(b"8=FI");
        assert_eq!(whole(&bytes).len(), len);
    }

    /// jspurefix writes BodyLength before it knows it and so pads it with zeros to seven digits.
    #[test]
    fn body_length_may_be_padded_with_zeros() {
        let body = pipes(HEARTBEAT);
        let mut bytes = format!("8=FIX.4.4\u{1}9={:07}\u{1}", body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        let sum = check_sum(&bytes);
        bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
        assert_eq!(whole(&bytes).len(), bytes.len());
        for cut in 0..bytes.len() {
            assert!(matches!(next(&bytes[..cut]), Framed::NeedMore { .. }));
        }
    }

    #[test]
    fn garbled_is_named_and_skipped() {
        use Garbled::*;
        let good = framed("FIX.4.4", HEARTBEAT);
        let len = good.len();
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        let mut unended = pipes("8=FIX.4.4|9=9|35=0|58=x");
        let sum = check_sum(&unended);
        unended.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
        let oversize = pipes("8=FIX.4.4|9=9000|35=0|");
        let table: Vec<(&str, Vec<u8>, Garbled, usize)> = vec![
            ("another protocol", b"GET / HTTP/1.1\r\n".to_vec(), NoBeginString, 16),
            ("one wrong byte", b"X".to_vec(), NoBeginString, 1),
            ("a start that goes wrong", b"8=FUX".to_vec(), NoBeginString, 5),
            ("junk, then the start of a start", b"junk8=F".to_vec(), NoBeginString, 4),
            ("BeginString never ends", b"8=FIX.4.4.4.4.4.4.4.4.4".to_vec(), NoBeginString, 23),
            ("no BodyLength", pipes("8=FIX.4.4|35=0|"), NoBodyLength, 15),
            ("BodyLength empty", pipes("8=FIX.4.4|9=|35=0|"), NoBodyLength, 18),
            ("BodyLength is text", pipes("8=FIX.4.4|9=1x|35=0|"), NoBodyLength, 20),
            ("BodyLength is negative", pipes("8=FIX.4.4|9=-1|35=0|"), NoBodyLength, 20),
            ("BodyLength has ten digits", pipes("8=FIX.4.4|9=0000000117|35=0|"), NoBodyLength, 28),
            ("longer than the limit", oversize.clone(), Oversize, oversize.len()),
            ("BodyLength one too small", changed(13, good[13] - 1), WrongBodyLength, len),
            ("one byte flipped", changed(20, good[20] ^ 1), WrongCheckSum, len),
            ("wrong sum", changed(len - 2, b'0' + (good[len - 2] - b'0' + 1) % 10), WrongCheckSum, len),
            ("sum is not digits", changed(len - 2, b' '), WrongCheckSum, len),
            ("sum ends without SOH", changed(len - 1, b'|'), WrongBodyLength, len),
            ("the last field has no SOH", unended, WrongBodyLength, 0),
            ("MsgType is not third", framed("FIX.4.4", "49=CLIENT|35=0|56=LOTBOOK|34=2|"), NoMsgType, 0),
            ("empty body", pipes("8=FIX.4.4|9=0|10=000|"), WrongCheckSum, 21),
        ];
        for (name, bytes, why, skip_to) in table {
            let skip_to = if skip_to == 0 { bytes.len() } else { skip_to };
            assert_eq!(next(&bytes), Framed::Garbled { skip_to, why }, "{name}");
        }
    }

    #[test]
    fn the_message_behind_a_garbled_one_is_found() {
        let good = framed("FIX.4.4", HEARTBEAT);
        let mut bad = good.clone();
        bad[13] -= 1;
        for junk in [b"\r\n".to_vec(), b"8=8=FIX".to_vec(), bad, pipes("8=FIX.4.4|9=99999|35=0|")] {
            let mut bytes = junk.clone();
            bytes.extend_from_slice(&good);
            let mut start = 0;
            while let Framed::Garbled { skip_to, .. } = next(&bytes[start..]) {
                assert!(skip_to > 0);
                start += skip_to;
            }
            assert_eq!(whole(&bytes[start..]).len(), good.len());
            assert_eq!(start, junk.len());
        }
    }

    #[test]
    fn the_longest_message_fits_and_one_byte_more_does_not() {
        let overhead = framed("FIX.4.4", "35=0|58=|").len() + 2; // BodyLength grows from one digit... to four.
        let text = "x".repeat(FRAME_BYTES_MAX - overhead - 1);
        let longest = framed("FIX.4.4", &format!("35=0|58={text}|"));
        let frame_bytes = longest.len();
        assert!(frame_bytes <= FRAME_BYTES_MAX);
        assert_eq!(whole(&longest).len(), frame_bytes);
        let longer = framed("FIX.4.4", &format!("35=0|58={text}{}|", "x".repeat(FRAME_BYTES_MAX - frame_bytes + 1)));
        assert_eq!(longer.len(), FRAME_BYTES_MAX + 1);
        assert!(matches!(next(&longer), Framed::Garbled { why: Garbled::Oversize, .. }));
    }

    /// However a stream is cut into reads, the same messages come out.
    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let message = framed("FIX.4.4", HEARTBEAT);
        let stream = message.repeat(3);
        for cut in 0..=stream.len() {
            let mut buffer = Vec::new();
            let mut found = 0;
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend_from_slice(part);
                while let Framed::Frame(frame) = next(&buffer) {
                    assert_eq!(buffer[..frame.len()], message);
                    buffer.drain(..frame.len());
                    found += 1;
                }
            }
            assert_eq!((found, buffer.len()), (3, 0));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_make_progress_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drain(&bytes);
        }

        #[test]
        fn nearly_right_bytes_make_progress(flips in proptest::collection::vec((0_usize..200, any::<u8>()), 0..6)) {
            let mut bytes = framed("FIX.4.4", HEARTBEAT);
            bytes.extend_from_slice(&framed("FIX.4.4", HEARTBEAT));
            for (at, byte) in flips {
                let len = bytes.len();
                bytes[at % len] = byte;
            }
            drain(&bytes);
        }
    }

    fn drain(bytes: &[u8]) {
        let mut start = 0;
        loop {
            match next(&bytes[start..]) {
                Framed::NeedMore { bytes_min } => {
                    assert!(bytes_min > bytes.len() - start);
                    break;
                }
                Framed::Frame(frame) => start += frame.len(),
                Framed::Garbled { skip_to, .. } => {
                    assert!(skip_to >= 1);
                    start += skip_to;
                }
            }
            assert!(start <= bytes.len());
        }
    }
}
