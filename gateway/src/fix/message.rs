//! A message split into fields, and a view of the tags that Lotbook reads.
//!
//! One pass over the bytes fills a small table of offsets, one slot a known tag; no map, no allocation, nothing copied. Fields that Lotbook does
//! not read are checked for form and passed over. A fault does not stop the pass: a message that will be rejected still has a sequence number.

use super::frame::{Frame, SOH};
use super::value::{self, ValueError};
use super::version::Version;

/// Defines the tags that have a slot: their numbers, and whether they belong to the standard header.
macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $number:literal $place:ident,)*) => {
        /// A tag that Lotbook reads.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Tag { $($(#[$doc])* $name = $number,)* }

        /// How many tags have a slot.
        const SLOTS: usize = [$($number),*].len();

        const TAGS: [(u16, Place); SLOTS] = [$(($number, Place::$place)),*];
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Body,
}

tags! {
    /// BeginString.
    BeginString = 8 Header,
    /// BodyLength.
    BodyLength = 9 Header,
    /// MsgType.
    MsgType = 35 Header,
    /// SenderCompID.
    SenderCompId = 49 Header,
    /// TargetCompID.
    TargetCompId = 56 Header,
    /// MsgSeqNum.
    MsgSeqNum = 34 Header,
    /// SendingTime.
    SendingTime = 52 Header,
    /// PossDupFlag.
    PossDup = 43 Header,
    /// PossResend.
    PossResend = 97 Header,
    /// OrigSendingTime.
    OrigSendingTime = 122 Header,
    /// ApplVerID.
    ApplVerId = 1128 Header,
    /// CheckSum; in the body it is out of place.
    CheckSum = 10 Body,
    /// EncryptMethod.
    EncryptMethod = 98 Body,
    /// HeartBtInt.
    HeartBtInt = 108 Body,
    /// ResetSeqNumFlag.
    ResetSeqNumFlag = 141 Body,
    /// TestReqID.
    TestReqId = 112 Body,
    /// BeginSeqNo.
    BeginSeqNo = 7 Body,
    /// EndSeqNo.
    EndSeqNo = 16 Body,
    /// NewSeqNo.
    NewSeqNo = 36 Body,
    /// GapFillFlag.
    GapFillFlag = 123 Body,
    /// RefSeqNum.
    RefSeqNum = 45 Body,
    /// Text.
    Text = 58 Body,
    /// Account.
    Account = 1 Body,
    /// Commission.
    Commission = 12 Body,
    /// CommType.
    CommType = 13 Body,
    /// Currency.
    Currency = 15 Body,
    /// ExecID.
    ExecId = 17 Body,
    /// ExecRefID.
    ExecRefId = 19 Body,
    /// LastPx.
    LastPx = 31 Body,
    /// LastQty.
    LastQty = 32 Body,
    /// Side.
    Side = 54 Body,
    /// Symbol.
    Symbol = 55 Body,
    /// TransactTime.
    TransactTime = 60 Body,
    /// TradeDate.
    TradeDate = 75 Body,
    /// PositionEffect.
    PositionEffect = 77 Body,
    /// SettlCurrency.
    SettlCurrency = 120 Body,
    /// ExecType.
    ExecType = 150 Body,
    /// SettlCurrFxRate.
    SettlCurrFxRate = 155 Body,
    /// SettlCurrFxRateCalc.
    SettlCurrFxRateCalc = 156 Body,
    /// TradeReportTransType.
    TradeReportTransType = 487 Body,
    /// SecondaryExecID.
    SecondaryExecId = 527 Body,
    /// NoSides.
    NoSides = 552 Body,
    /// TradeReportID.
    TradeReportId = 571 Body,
    /// SecondaryTradeReportID.
    SecondaryTradeReportId = 818 Body,
    /// TrdRptStatus.
    TrdRptStatus = 939 Body,
    /// SessionRejectReason.
    SessionRejectReason = 373 Body,
    /// BusinessRejectReason.
    BusinessRejectReason = 380 Body,
    /// GrossTradeAmt.
    GrossTradeAmt = 381 Body,
    /// AvgPx.
    AvgPx = 6 Body,
    /// CumQty.
    CumQty = 14 Body,
    /// ExecTransType, of FIX 4.2.
    ExecTransType = 20 Body,
    /// OrderID.
    OrderId = 37 Body,
    /// OrdStatus.
    OrdStatus = 39 Body,
    /// LeavesQty.
    LeavesQty = 151 Body,
    /// Username.
    Username = 553 Body,
    /// Password.
    Password = 554 Body,
    /// TradeReportRefID.
    TradeReportRefId = 572 Body,
    /// DefaultApplVerID.
    DefaultApplVerId = 1137 Body,
}

impl Tag {
    /// The tag's number on the wire.
    pub const fn number(self) -> u32 {
        self as u32
    }

    const fn slot(self) -> usize {
        (CLASSES[self as usize] & SLOT_BITS) as usize - 1
    }
}

/// Tags at or above this have no class: they are neither read nor of the header.
const CLASSES_LEN: usize = 1152;
const SLOT_BITS: u8 = 0x3f;
const HEADER_BIT: u8 = 0x40;
const LENGTH_BIT: u8 = 0x80;

const _: () = assert!(SLOTS <= SLOT_BITS as usize);

/// Header tags that are passed over, beside those with a slot.
const HEADER_TAGS: [u16; 20] =
    [115, 128, 90, 91, 50, 142, 57, 143, 116, 144, 129, 145, 212, 213, 347, 369, 627, 628, 629, 630];

/// Length tags: the next field holds that many bytes, SOH among them.
const LENGTH_TAGS: [u16; 15] = [90, 93, 95, 212, 348, 350, 352, 354, 356, 358, 360, 362, 364, 445, 618];

/// By tag: the slot plus one in the low six bits, then whether it is of the header, then whether it announces a data field.
static CLASSES: [u8; CLASSES_LEN] = {
    let mut classes = [0_u8; CLASSES_LEN];
    let mut at = 0;
    while at < SLOTS {
        let (number, place) = TAGS[at];
        assert!(classes[number as usize] == 0);
        classes[number as usize] = (at as u8 + 1) | if matches!(place, Place::Header) { HEADER_BIT } else { 0 };
        at += 1;
    }
    at = 0;
    while at < HEADER_TAGS.len() {
        classes[HEADER_TAGS[at] as usize] |= HEADER_BIT;
        at += 1;
    }
    at = 0;
    while at < LENGTH_TAGS.len() {
        classes[LENGTH_TAGS[at] as usize] |= LENGTH_BIT;
        at += 1;
    }
    classes
};

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsgType {
    /// `0`
    Heartbeat,
    /// `1`
    TestRequest,
    /// `2`
    ResendRequest,
    /// `3`
    Reject,
    /// `4`
    SequenceReset,
    /// `5`
    Logout,
    /// `A`
    Logon,
    /// `j`
    BusinessMessageReject,
    /// `8`
    ExecutionReport,
    /// `AE`
    TradeCaptureReport,
    /// Anything else of the form of a message type.
    Other,
    /// Not of the form of a message type.
    Invalid,
}

impl MsgType {
    fn of(text: &[u8]) -> MsgType {
        match text {
            b"0" => MsgType::Heartbeat,
            b"1" => MsgType::TestRequest,
            b"2" => MsgType::ResendRequest,
            b"3" => MsgType::Reject,
            b"4" => MsgType::SequenceReset,
            b"5" => MsgType::Logout,
            b"A" => MsgType::Logon,
            b"j" => MsgType::BusinessMessageReject,
            b"8" => MsgType::ExecutionReport,
            b"AE" => MsgType::TradeCaptureReport,
            [b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'] => MsgType::Other,
            [b'A' | b'B' | b'C', b'A'..=b'Z'] | [b'U', _, ..] => MsgType::Other,
            _ => MsgType::Invalid,
        }
    }
}

/// SessionRejectReason (373).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RejectReason {
    /// The tag is no number.
    InvalidTagNumber = 0,
    /// A required tag is missing.
    RequiredTagMissing = 1,
    /// A tag without a value.
    TagWithoutValue = 4,
    /// The value is out of range for this tag.
    ValueIncorrect = 5,
    /// The value is not of the tag's type.
    IncorrectDataFormat = 6,
    /// Sender or target is not the session's.
    CompIdProblem = 9,
    /// SendingTime is too far from now, or before OrigSendingTime.
    SendingTimeAccuracy = 10,
    /// MsgType is not of the form of one.
    InvalidMsgType = 11,
    /// The tag appears more than once.
    TagRepeated = 13,
    /// A header tag behind a body tag.
    TagOutOfOrder = 14,
    /// ApplVerID or DefaultApplVerID is another one than is spoken; FIXT only.
    ApplVersion = 18,
}

impl From<ValueError> for RejectReason {
    fn from(error: ValueError) -> RejectReason {
        match error {
            ValueError::Format => RejectReason::IncorrectDataFormat,
            ValueError::Range | ValueError::Decimals | ValueError::TooLong => RejectReason::ValueIncorrect,
        }
    }
}

/// Something wrong with one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The field's tag; 0 where it could not be read.
    pub tag: u32,
    /// The reason, as Reject (35=3) carries it.
    pub reason: RejectReason,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// 0 where the field is absent: no value starts at the first byte of a message.
    start: u16,
    end: u16,
}

/// A parsed message: borrowed bytes and the offsets of the fields that Lotbook reads.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    bytes: &'a [u8],
    spans: [Span; SLOTS],
    msg_type: MsgType,
    fault: Option<Fault>,
}

impl<'a> Message<'a> {
    /// Splits a message that [`super::frame::next`] has found at the front of `buffer`.
    pub fn parse(buffer: &'a [u8], frame: &Frame) -> Message<'a> {
        let bytes = &buffer[..frame.len()];
        let body_end = usize::from(frame.body_end);
        let mut message = Message { bytes, spans: [Span::default(); SLOTS], msg_type: MsgType::Invalid, fault: None };
        message.spans[Tag::BeginString.slot()] = Span { start: 2, end: frame.begin_end };
        // BodyLength lies between `9=` and the SOH before the body.
        message.spans[Tag::BodyLength.slot()] = Span { start: frame.begin_end + 3, end: frame.body - 1 };

        let mut at = usize::from(frame.body);
        let mut in_body = false;
        while at < body_end {
            let field = field_at(bytes, at);
            at = field.end + 1;
            let class = match CLASSES.get(field.tag as usize) {
                Some(class) => *class,
                None => 0,
            };
            if field.tag == 0 || field.start == field.end {
                message.malformed(&field);
                continue;
            }
            if class == 0 {
                in_body = true;
                continue;
            }
            let header = class & HEADER_BIT != 0;
            if header & in_body {
                message.note(field.tag, RejectReason::TagOutOfOrder);
            }
            in_body |= !header;
            if class & LENGTH_BIT != 0 {
                at = message.pass_data(&field, body_end);
                continue;
            }
            let slot = usize::from(class & SLOT_BITS);
            if slot == 0 {
                continue;
            }
            let span = &mut message.spans[slot - 1];
            if span.start != 0 {
                message.repeated(field.tag);
                continue;
            }
            *span = Span { start: field.start as u16, end: field.end as u16 };
        }

        if let Some(text) = message.get(Tag::MsgType) {
            message.msg_type = MsgType::of(text);
        }
        if message.get(Tag::CheckSum).is_some() {
            message.note(Tag::CheckSum.number(), RejectReason::TagOutOfOrder);
        }
        message
    }

    /// The whole message, `8=` to the last SOH.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What kind of message it is.
    pub fn msg_type(&self) -> MsgType {
        self.msg_type
    }

    /// The version that its BeginString begins; `None` for one that is not spoken.
    #[inline]
    pub fn version(&self) -> Option<Version> {
        Version::of(self.get(Tag::BeginString)?)
    }

    /// The first thing wrong with the form of its fields. Values are checked by those who read them.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// A field's bytes, never empty.
    #[inline]
    pub fn get(&self, tag: Tag) -> Option<&'a [u8]> {
        let span = self.spans[tag.slot()];
        if span.start == 0 {
            return None;
        }
        Some(&self.bytes[usize::from(span.start)..usize::from(span.end)])
    }

    /// Whether a flag field is `Y`. Absent and anything else are no; [`Message::bad_flag`] finds the anything else.
    pub fn is_set(&self, tag: Tag) -> bool {
        self.get(tag) == Some(b"Y")
    }

    /// The first of `tags` whose value is neither `Y` nor `N`.
    pub fn bad_flag(&self, tags: &[Tag]) -> Option<Fault> {
        tags.iter().find_map(|&tag| match self.get(tag).map(value::boolean) {
            Some(Err(error)) => Some(Fault { tag: tag.number(), reason: error.into() }),
            _ => None,
        })
    }

    /// A required field, read by `read`.
    pub fn required<T>(&self, tag: Tag, read: impl FnOnce(&'a [u8]) -> Result<T, ValueError>) -> Result<T, Fault> {
        match self.get(tag) {
            None => Err(Fault { tag: tag.number(), reason: RejectReason::RequiredTagMissing }),
            Some(text) => read(text).map_err(|error| Fault { tag: tag.number(), reason: error.into() }),
        }
    }

    /// All fields between BodyLength and CheckSum, in their order, data fields split at each SOH like any other.
    pub fn fields(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        let body = self.spans[Tag::BodyLength.slot()].end as usize + 1;
        let body_end = bytes.len() - b"10=nnn|".len();
        let mut at = body;
        std::iter::from_fn(move || {
            if at >= body_end {
                return None;
            }
            let field = field_at(bytes, at);
            at = field.end + 1;
            Some((field.tag, &bytes[field.start..field.end]))
        })
    }

    /// Passes over the data field that a length field announces, and returns where to go on.
    #[cold]
    fn pass_data(&mut self, length: &Field, body_end: usize) -> usize {
        let after_length = length.end + 1;
        let Ok(data_bytes) = value::unsigned(&self.bytes[length.start..length.end]) else {
            self.note(length.tag, RejectReason::IncorrectDataFormat);
            return after_length;
        };
        if after_length >= body_end {
            self.note(length.tag, RejectReason::ValueIncorrect);
            return after_length;
        }
        let data = field_at(self.bytes, after_length);
        let end = usize::try_from(data_bytes).ok().and_then(|bytes| data.start.checked_add(bytes));
        match end {
            Some(end) if data.tag != 0 && end < body_end && self.bytes[end] == SOH => end + 1,
            _ => {
                self.note(length.tag, RejectReason::ValueIncorrect);
                after_length
            }
        }
    }

    #[cold]
    fn malformed(&mut self, field: &Field) {
        match field.tag {
            0 => self.note(0, RejectReason::InvalidTagNumber),
            tag => self.note(tag, RejectReason::TagWithoutValue),
        }
    }

    #[cold]
    fn repeated(&mut self, tag: u32) {
        const OF_A_SIDE: [Tag; 7] =
            [Tag::Side, Tag::OrderId, Tag::Account, Tag::Commission, Tag::CommType, Tag::PositionEffect, Tag::Text];
        // A second side repeats its tags by right. That NoSides is not 1 is the better answer, and the trade's reader gives it.
        let of_a_group = OF_A_SIDE.iter().any(|side| side.number() == tag);
        if of_a_group && self.get(Tag::NoSides).is_some_and(|sides| sides != b"1") {
            return;
        }
        self.note(tag, RejectReason::TagRepeated);
    }

    #[cold]
    fn note(&mut self, tag: u32, reason: RejectReason) {
        self.fault.get_or_insert(Fault { tag, reason });
    }
}

/// One field: `tag=` at the front, the value in `start..end`, SOH at `end`.
struct Field {
    /// 0 where there is no number before the `=`, or no `=`.
    tag: u32,
    start: usize,
    end: usize,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Reads the field at `at`, which lies before the trailer: eight bytes from there on are in the message, and there is a SOH.
///
/// Nearly every tag, and many a whole field, lie in the first eight bytes, so they are looked at as one word. Where the next field starts does
/// not wait for the tag's value: the processor works on several fields at once.
#[inline(always)]
fn field_at(bytes: &[u8], at: usize) -> Field {
    let word = word_at(bytes, at);
    let equals = matches_in(word, b'=');
    let soh = matches_in(word, SOH);
    // The first match of each; 8 where there is none.
    let (tag_len, soh_len) = ((equals.trailing_zeros() / 8) as usize, (soh.trailing_zeros() / 8) as usize);
    if tag_len == 0 || tag_len == 8 || soh_len < tag_len {
        return unusual_field_at(bytes, at);
    }
    // The digits' values at the top of the word, zeros below: a number of eight digits.
    let digits = (word ^ (ONES * 0x30)) << (64 - 8 * tag_len);
    let not_digits = (digits | digits.wrapping_add(ONES * 0x76)) & HIGH;
    if not_digits != 0 || word as u8 == b'0' {
        return unusual_field_at(bytes, at);
    }
    let start = at + tag_len + 1;
    let end = if soh_len < 8 { at + soh_len } else { soh_from(bytes, at + 8) };
    Field { tag: eight_digits(digits), start, end }
}

/// The same for what does not show its whole tag in eight bytes, and for what is no field.
#[cold]
fn unusual_field_at(bytes: &[u8], at: usize) -> Field {
    const TAG_DIGITS_MAX: usize = 9;
    let end = soh_from(bytes, at);
    let field = &bytes[at..end];
    let tag_len = field.iter().position(|&byte| byte == b'=').unwrap_or(0);
    let digits = &field[..tag_len];
    match value::unsigned(digits) {
        Ok(tag) if tag_len <= TAG_DIGITS_MAX && digits[0] != b'0' => {
            Field { tag: tag as u32, start: at + tag_len + 1, end }
        }
        _ => Field { tag: 0, start: at, end },
    }
}

/// The number whose eight digits are the bytes of `digits`, the first in the lowest byte: pairs, then fours, then all eight.
#[inline(always)]
fn eight_digits(digits: u64) -> u32 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) as u32
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// The high bit of each byte of `word` that is `byte`, reliable up to and with the first match.
///
/// Subtracting one borrows into the high bit where a byte, the wanted one turned to zero, was zero. A false match can only lie behind a true
/// one, and only the first is used.
#[inline(always)]
fn matches_in(word: u64, byte: u8) -> u64 {
    let word = word ^ (ONES * byte as u64);
    word.wrapping_sub(ONES) & !word & HIGH
}

/// The place of the first SOH at or behind `from`; the end where there is none.
#[inline(always)]
fn soh_from(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at + 8 <= bytes.len() {
        let found = matches_in(word_at(bytes, at), SOH);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && bytes[at] != SOH {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
