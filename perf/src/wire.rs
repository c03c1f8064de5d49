//! FIX 4.4 on the wire: framing, checksum, one-pass reading, and a writer that patches the body length afterwards.

use crate::limits::FRAME_BYTES_MAX;
use crate::text;

/// The field separator.
pub const SOH: u8 = 1;

/// Bytes that cannot be FIX 4.4. The connection they came on is of no more use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The bytes do not start with `8=FIX.4.4` and a body length.
    #[error("not the start of a FIX 4.4 message")]
    NotFix,
    /// The body length is over the limit.
    #[error("a message of {0} bytes is over the limit")]
    TooLong(usize),
    /// The checksum field is missing or wrong.
    #[error("checksum says {said}, the bytes sum to {sum}")]
    Checksum {
        /// From tag 10; 999 when it is not a number.
        said: u32,
        /// Of the bytes.
        sum: u32,
    },
    /// A field has no number or no `=`.
    #[error("a field without a number or a value")]
    Field,
    /// MsgType or MsgSeqNum is missing.
    #[error("no MsgType or no MsgSeqNum")]
    Header,
}

const START: &[u8] = b"8=FIX.4.4\x019=";
const TRAILER_BYTES: usize = 7;

/// Sum of all bytes modulo 256.
pub fn checksum(bytes: &[u8]) -> u32 {
    // Chunks keep the lanes 16 bits wide, which the compiler turns into vector adds; 256 bytes of 255 cannot overflow 16 bits.
    let sum = bytes.chunks(256).fold(0u32, |sum, chunk| {
        let lanes: u16 = chunk.iter().fold(0u16, |lanes, &byte| lanes.wrapping_add(u16::from(byte)));
        sum.wrapping_add(u32::from(lanes))
    });
    sum & 0xFF
}

/// Length of the first message in `bytes`, checksum verified; none while it is not whole.
pub fn frame(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let common = bytes.len().min(START.len());
    if bytes[..common] != START[..common] {
        return Err(WireError::NotFix);
    }
    let rest = &bytes[common..];
    let Some(end) = memchr::memchr(SOH, &rest[..rest.len().min(8)]) else {
        return if rest.len() < 8 { Ok(None) } else { Err(WireError::NotFix) };
    };
    let body = text::parse_u64(&rest[..end]).ok_or(WireError::NotFix)? as usize;
    let body_end = START.len() + end + 1 + body;
    let whole = body_end + TRAILER_BYTES;
    if whole > FRAME_BYTES_MAX {
        return Err(WireError::TooLong(whole));
    }
    if bytes.len() < whole {
        return Ok(None);
    }
    let sum = checksum(&bytes[..body_end]);
    let trailer = &bytes[body_end..whole];
    let said = match trailer {
        [b'1', b'0', b'=', digits @ .., SOH] => text::parse_u64(digits).map_or(999, |said| said as u32),
        _ => 999,
    };
    if said != sum {
        return Err(WireError::Checksum { said, sum });
    }
    Ok(Some(whole))
}

/// The fields of a message, in order: tag and value.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u32, &[u8]), WireError>> {
    let mut start = 0;
    memchr::memchr_iter(SOH, message).map(move |end| {
        let field = &message[start..end];
        start = end + 1;
        let equals = field.iter().take(8).position(|&byte| byte == b'=').ok_or(WireError::Field)?;
        let tag = text::parse_u64(&field[..equals]).ok_or(WireError::Field)?;
        Ok((tag as u32, &field[equals + 1..]))
    })
}

/// What this crate reads from a message; absent fields are empty or none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming<'a> {
    /// 35.
    pub msg_type: &'a [u8],
    /// 34.
    pub seq: u64,
    /// 43=Y.
    pub poss_dup: bool,
    /// 123=Y.
    pub gap_fill: bool,
    /// 141=Y.
    pub reset: bool,
    /// 7.
    pub begin: Option<u64>,
    /// 16.
    pub end: Option<u64>,
    /// 36.
    pub new_seq: Option<u64>,
    /// 45.
    pub ref_seq: Option<u64>,
    /// 108.
    pub heartbeat_s: Option<u64>,
    /// 49.
    pub sender: &'a [u8],
    /// 56.
    pub target: &'a [u8],
    /// 112.
    pub test_id: &'a [u8],
    /// 58.
    pub text: &'a [u8],
    /// 571, or 17 where there is no 571.
    pub trade_id: &'a [u8],
    /// 939, in an answer.
    pub status: &'a [u8],
    /// 527.
    pub secondary: &'a [u8],
    /// 818.
    pub correlation: &'a [u8],
    /// 371.
    pub ref_tag: Option<u64>,
    /// 373.
    pub reject_reason: Option<u64>,
    /// 380.
    pub business_reason: Option<u64>,
    /// 55.
    pub symbol: &'a [u8],
    /// 1.
    pub account: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// Reads a framed message in one pass.
    pub fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut seen = Self::default();
        let mut exec_id: &[u8] = b"";
        for field in fields(message) {
            let (tag, value) = field?;
            match tag {
                1 => seen.account = value,
                7 => seen.begin = text::parse_u64(value),
                16 => seen.end = text::parse_u64(value),
                17 => exec_id = value,
                34 => seen.seq = text::parse_u64(value).ok_or(WireError::Header)?,
                35 => seen.msg_type = value,
                36 => seen.new_seq = text::parse_u64(value),
                43 => seen.poss_dup = value == b"Y",
                45 => seen.ref_seq = text::parse_u64(value),
                49 => seen.sender = value,
                55 => seen.symbol = value,
                56 => seen.target = value,
                58 => seen.text = value,
                108 => seen.heartbeat_s = text::parse_u64(value),
                112 => seen.test_id = value,
                123 => seen.gap_fill = value == b"Y",
                141 => seen.reset = value == b"Y",
                371 => seen.ref_tag = text::parse_u64(value),
                373 => seen.reject_reason = text::parse_u64(value),
                380 => seen.business_reason = text::parse_u64(value),
                527 => seen.secondary = value,
                571 => seen.trade_id = value,
                818 => seen.correlation = value,
                939 => seen.status = value,
                _ => {}
            }
        }
        if seen.trade_id.is_empty() {
            seen.trade_id = exec_id;
        }
        if seen.msg_type.is_empty() || seen.seq == 0 {
            return Err(WireError::Header);
        }
        Ok(seen)
    }
}

/// The value of `name=` among the words of a text.
pub fn word<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b' ').find_map(|word| word.strip_prefix(name)?.strip_prefix(b"="))
}

/// Appends `tag=value|`.
pub fn push(out: &mut Vec<u8>, tag: &[u8], value: &[u8]) {
    out.extend_from_slice(tag);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(SOH);
}

/// Appends `tag=number|`.
pub fn push_number(out: &mut Vec<u8>, tag: &[u8], value: u64) {
    out.extend_from_slice(tag);
    out.push(b'=');
    text::push_u64(out, value);
    out.push(SOH);
}

/// The part of the header that differs from message to message.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// 35.
    pub msg_type: &'a [u8],
    /// 34.
    pub seq: u64,
    /// 49.
    pub sender: &'a [u8],
    /// 56.
    pub target: &'a [u8],
    /// 52.
    pub sending_time: &'a [u8],
    /// 43=Y, with 122.
    pub poss_dup: bool,
    /// 97=Y.
    pub poss_resend: bool,
}

/// Appends a whole message; `body` writes everything between the header and the checksum.
pub fn write(out: &mut Vec<u8>, header: &Header<'_>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(START);
    // Nearly every message has a body of 100 to 999 bytes; the others move by a byte or two.
    let length_at = out.len();
    out.extend_from_slice(b"000\x01");
    let body_at = out.len();
    push(out, b"35", header.msg_type);
    push_number(out, b"34", header.seq);
    push(out, b"49", header.sender);
    push(out, b"52", header.sending_time);
    push(out, b"56", header.target);
    if header.poss_dup {
        out.extend_from_slice(b"43=Y\x01");
        push(out, b"122", header.sending_time);
    }
    if header.poss_resend {
        out.extend_from_slice(b"97=Y\x01");
    }
    body(out);
    let length = (out.len() - body_at) as u64;
    if (100..1000).contains(&length) {
        out[length_at] = b'0' + (length / 100) as u8;
        out[length_at + 1] = b'0' + (length / 10 % 10) as u8;
        out[length_at + 2] = b'0' + (length % 10) as u8;
    } else {
        let mut digits = Vec::with_capacity(8);
        text::push_u64(&mut digits, length);
        out.splice(length_at..length_at + 3, digits);
    }
    let sum = checksum(&out[start..]);
    out.extend_from_slice(b"10=");
    text::push_padded(out, u64::from(sum), 3);
    out.push(SOH);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(msg_type: &[u8]) -> Header<'_> {
        Header {
            msg_type,
            seq: 7,
            sender: b"A",
            target: b"B",
            sending_time: b"20200305-14:30:00.000",
            poss_dup: false,
            poss_resend: false,
        }
    }

    #[test]
    fn what_is_written_reads_back_whatever_its_length() {
        for filler in [0usize, 10, 40, 50, 500, 930, 960, 5_000] {
            let text = vec![b'x'; filler];
            let mut out = b"before".to_vec();
            write(&mut out, &Header { poss_dup: true, poss_resend: true, ..header(b"0") }, |out| {
                push(out, b"58", &text)
            });
            let message = &out[6..];
            assert_eq!(frame(message), Ok(Some(message.len())), "filler {filler}");
            let seen = Incoming::read(message).unwrap();
            assert_eq!((seen.msg_type, seen.seq, seen.poss_dup, seen.text.len()), (&b"0"[..], 7, true, filler));
            for cut in 0..message.len() {
                assert_eq!(frame(&message[..cut]), Ok(None), "cut at {cut}");
            }
        }
    }

    #[test]
    fn damage_is_seen() {
        let mut out = Vec::new();
        write(&mut out, &header(b"0"), |_| {});
        let at = out.len() - 9;
        let mut flipped = out.clone();
        flipped[at] ^= 1;
        assert!(matches!(frame(&flipped), Err(WireError::Checksum { .. })));
        assert_eq!(frame(b"8=FIX.4.2\x019=5\x01"), Err(WireError::NotFix));
        assert_eq!(frame(b"8=FIX.4.4\x019=999999999"), Err(WireError::NotFix));
        assert!(matches!(frame(b"8=FIX.4.4\x019=9999999\x01"), Err(WireError::TooLong(10_000_000..))));
        assert_eq!(Incoming::read(b"35=A\x01x=1\x01").unwrap_err(), WireError::Field);
        assert_eq!(Incoming::read(b"35=A\x01").unwrap_err(), WireError::Header);
    }

    #[test]
    fn a_known_checksum() {
        assert_eq!(checksum(b"8=FIX.4.4\x019=5\x0135=0\x01"), 163);
        assert_eq!(checksum(&[0xFF; 1000]), 1000 * 255 % 256);
    }

    #[test]
    fn words_of_a_text() {
        let text = b"outcome=duplicate seq=12 ver=3 ack=durable first=9";
        assert_eq!(word(text, b"seq"), Some(&b"12"[..]));
        assert_eq!(word(text, b"first"), Some(&b"9"[..]));
        assert_eq!(word(text, b"code"), None);
    }
}
