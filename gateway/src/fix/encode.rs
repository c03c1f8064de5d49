//! Every message that Lotbook sends, written into a buffer that the caller keeps.
//!
//! One call writes one whole message: header, body, then the length back-patched and the checksum summed in one pass over what was just
//! written, still in cache. No user-defined tags: the default dictionary of each version accepts all of it.

use std::ops::Range;

use super::frame::{SOH, check_sum, check_sum_digits};
use super::limits::TEXT_BYTES_MAX;
use super::message::{Fault, RejectReason};
use super::order::Order;
use super::stamp::Stamp;
use super::version::{APPL_VER_ID, Version};

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckPolicy {
    /// In the log's mapped tail: survives a killed process.
    Applied,
    /// After the log's sync: survives a power cut.
    Durable,
}

impl AckPolicy {
    /// As in Text (58) and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            AckPolicy::Applied => "applied",
            AckPolicy::Durable => "durable",
        }
    }
}

/// What became of a trade that the engine has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckOutcome<'a> {
    /// Booked.
    Applied,
    /// Booked as an estimate: it came late, and its position is being replayed.
    Provisional,
    /// Accepted, and applied when its effective date comes.
    Forward,
    /// A cancel or correct that waits for its target.
    Held,
    /// Known already; nothing changed. The first result stands at `first_seq` of the log.
    Duplicate {
        /// The log sequence of the first result.
        first_seq: u64,
    },
    /// Refused by the engine.
    Rejected {
        /// The stable reason code, such as `OVERSELL`.
        code: &'a str,
    },
}

impl AckOutcome<'_> {
    /// As in Text (58).
    pub fn name(self) -> &'static str {
        match self {
            AckOutcome::Applied => "applied",
            AckOutcome::Provisional => "provisional",
            AckOutcome::Forward => "forward",
            AckOutcome::Held => "held",
            AckOutcome::Duplicate { .. } => "duplicate",
            AckOutcome::Rejected { .. } => "rejected",
        }
    }
}

/// What an answer is about, as ExecType (150).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AckType {
    /// A trade.
    Trade = b'F',
    /// A correct of one.
    Correct = b'G',
    /// A cancel of one.
    Cancel = b'H',
}

/// The answer to one trade or amendment: TradeCaptureReportAck (35=AR), or what FIX 4.2 has in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TradeAck<'a> {
    /// ExecType (150).
    pub exec_type: AckType,
    /// TradeReportRefID (572): what an amendment amends; empty for a trade.
    pub target_id: &'a str,
    /// The trade id, as TradeReportID (571) and ExecID (17).
    pub trade_id: &'a str,
    /// Account (1); empty where an amendment gave none.
    pub account: &'a str,
    /// Symbol (55).
    pub instrument: &'a str,
    /// SecondaryTradeReportID (818): the sender's correlation id, or the one made at the door.
    pub correlation_id: &'a str,
    /// TransactTime (60): when the trade was executed; to the millisecond on the wire.
    pub transact_utc_ns: i64,
    /// What became of it.
    pub outcome: AckOutcome<'a>,
    /// The log sequence of this trade's event, as SecondaryExecID (527) and in Text.
    pub log_seq: u64,
    /// The position's version after it.
    pub position_version: u64,
    /// What this answer promises.
    pub ack: AckPolicy,
    /// Side (54) as it came; FIX 5.0 gives the account in a side, and only there.
    pub side: Option<u8>,
    /// The order behind a FIX 4.2 fill. With it the answer is an ExecutionReport of status (20=3), or DontKnowTrade (Q) for a refusal.
    pub order: Option<Order<'a>>,
}

impl TradeAck<'_> {
    fn is_rejected(&self) -> bool {
        matches!(self.outcome, AckOutcome::Rejected { .. })
    }
}

/// BusinessRejectReason (380).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BusinessReason {
    /// None of the others.
    Other = 0,
    /// A type of message that Lotbook does not take.
    UnsupportedMessageType = 3,
    /// Overload, or the engine is not taking trades now. Sending again later is right.
    ApplicationNotAvailable = 4,
    /// A field is missing that this message needs.
    ConditionallyRequiredFieldMissing = 5,
}

/// One message to send, without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outbound<'a> {
    /// Logon (A).
    Logon {
        /// HeartBtInt (108), seconds.
        heartbeat_s: u64,
        /// ResetSeqNumFlag (141).
        reset: bool,
    },
    /// Heartbeat (0).
    Heartbeat {
        /// TestReqID (112), where it answers a TestRequest.
        test_req_id: Option<&'a [u8]>,
    },
    /// TestRequest (1).
    TestRequest {
        /// TestReqID (112).
        test_req_id: &'a [u8],
    },
    /// ResendRequest (2) from `begin_seq` to the end (EndSeqNo 0).
    ResendRequest {
        /// BeginSeqNo (7).
        begin_seq: u64,
    },
    /// SequenceReset (4).
    SequenceReset {
        /// NewSeqNo (36): the number of the next message.
        new_seq: u64,
        /// GapFillFlag (123).
        gap_fill: bool,
    },
    /// Logout (5).
    Logout {
        /// Text (58); none where empty.
        text: &'a str,
    },
    /// Reject (3).
    Reject {
        /// RefSeqNum (45).
        ref_seq: u64,
        /// RefMsgType (372).
        ref_msg_type: &'a [u8],
        /// RefTagID (371), none where 0, and SessionRejectReason (373).
        fault: Fault,
        /// The stable code that opens Text (58).
        code: &'a str,
        /// The rest of Text.
        text: &'a str,
    },
    /// BusinessMessageReject (j).
    BusinessReject {
        /// RefSeqNum (45).
        ref_seq: u64,
        /// RefMsgType (372).
        ref_msg_type: &'a [u8],
        /// BusinessRejectRefID (379): the trade id, where it could be read.
        trade_id: Option<&'a str>,
        /// BusinessRejectReason (380).
        reason: BusinessReason,
        /// The stable code that opens Text (58).
        code: &'a str,
        /// The rest of Text.
        text: &'a str,
    },
    /// TradeCaptureReportAck (AR).
    TradeAck(&'a TradeAck<'a>),
    /// An answer as it was stored, to be sent again.
    Stored {
        /// Its MsgType.
        msg_type: &'a [u8],
        /// Its fields behind the header.
        body: &'a [u8],
    },
}

impl<'a> Outbound<'a> {
    /// MsgType (35).
    pub fn msg_type(&self) -> &'a [u8] {
        match *self {
            Outbound::Logon { .. } => b"A",
            Outbound::Heartbeat { .. } => b"0",
            Outbound::TestRequest { .. } => b"1",
            Outbound::ResendRequest { .. } => b"2",
            Outbound::SequenceReset { .. } => b"4",
            Outbound::Logout { .. } => b"5",
            Outbound::Reject { .. } => b"3",
            Outbound::BusinessReject { .. } => b"j",
            Outbound::TradeAck(TradeAck { order: None, .. }) => b"AR",
            Outbound::TradeAck(ack) if ack.is_rejected() => b"Q",
            Outbound::TradeAck(_) => b"8",
            Outbound::Stored { msg_type, .. } => msg_type,
        }
    }

    /// Whether it answers a message of the peer's and is therefore sent again on request. The rest is gap-filled.
    pub fn is_answer(&self) -> bool {
        matches!(self, Outbound::Reject { .. } | Outbound::BusinessReject { .. } | Outbound::TradeAck(_))
    }
}

/// Where [`Encoder::encode`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The whole message.
    pub message: Range<usize>,
    /// The fields behind the header, which a resend repeats.
    pub body: Range<usize>,
}

/// Writes the messages of one session.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// `8=..|9=`: the same in every message of a session.
    begin: Vec<u8>,
    /// `49=..|56=..|34=`: likewise.
    ids: Vec<u8>,
    stamp: Stamp,
    version: Version,
}

/// Most messages are 100 to 999 bytes long, so BodyLength is given three digits at first.
const LENGTH_DIGITS: usize = 3;

impl Encoder {
    /// An encoder for messages from `sender` to `target`.
    pub fn new(version: Version, sender: &str, target: &str) -> Encoder {
        Encoder {
            begin: format!("8={}\u{1}9=", version.begin_string()).into_bytes(),
            ids: format!("\u{1}49={sender}\u{1}56={target}\u{1}34=").into_bytes(),
            stamp: Stamp::default(),
            version,
        }
    }

    /// Appends one message to `out`. With `first_sent_utc_ns` it is a resend: PossDupFlag and OrigSendingTime are set.
    pub fn encode(
        &mut self,
        out: &mut Vec<u8>,
        seq: u64,
        utc_ns: i64,
        first_sent_utc_ns: Option<i64>,
        what: &Outbound<'_>,
    ) -> Encoded {
        let start = out.len();
        out.extend_from_slice(&self.begin);
        let length_at = out.len();
        out.extend_from_slice(b"000\x01");
        out.extend_from_slice(b"35=");
        out.extend_from_slice(what.msg_type());
        out.extend_from_slice(&self.ids);
        number(out, seq);
        if first_sent_utc_ns.is_some() {
            out.extend_from_slice(b"\x0143=Y");
        }
        out.extend_from_slice(b"\x0152=");
        out.extend_from_slice(self.stamp.text(utc_ns));
        if let Some(first_sent_utc_ns) = first_sent_utc_ns {
            out.extend_from_slice(b"\x01122=");
            out.extend_from_slice(self.stamp.text(first_sent_utc_ns));
        }
        out.push(SOH);
        let body = out.len();
        self.body(out, what);
        let moved = patch_length(out, length_at);
        let sum = check_sum(&out[start..]);
        out.extend_from_slice(b"10=");
        out.extend_from_slice(&check_sum_digits(sum));
        out.push(SOH);
        // The body moved when BodyLength took another number of digits than foreseen.
        let body_start = (body as isize + moved) as usize;
        Encoded { message: start..out.len(), body: body_start..out.len() - b"10=nnn|".len() }
    }

    fn body(&mut self, out: &mut Vec<u8>, what: &Outbound<'_>) {
        match *what {
            Outbound::Logon { heartbeat_s, reset } => {
                bytes_field(out, b"98=", b"0");
                number_field(out, b"108=", heartbeat_s);
                if reset {
                    bytes_field(out, b"141=", b"Y");
                }
                if self.version == Version::Fix50Sp2 {
                    bytes_field(out, b"1137=", APPL_VER_ID.as_bytes());
                }
            }
            Outbound::Heartbeat { test_req_id } => {
                if let Some(id) = test_req_id {
                    bytes_field(out, b"112=", id);
                }
            }
            Outbound::TestRequest { test_req_id } => bytes_field(out, b"112=", test_req_id),
            Outbound::ResendRequest { begin_seq } => {
                number_field(out, b"7=", begin_seq);
                bytes_field(out, b"16=", b"0");
            }
            Outbound::SequenceReset { new_seq, gap_fill } => {
                bytes_field(out, b"123=", if gap_fill { b"Y" } else { b"N" });
                number_field(out, b"36=", new_seq);
            }
            Outbound::Logout { text } => {
                if !text.is_empty() {
                    text_field(out, &[text]);
                }
            }
            Outbound::Reject { ref_seq, ref_msg_type, fault, code, text } => {
                number_field(out, b"45=", ref_seq);
                if fault.tag != 0 {
                    number_field(out, b"371=", u64::from(fault.tag));
                }
                bytes_field(out, b"372=", ref_msg_type);
                if let Some(reason) = self.version.reject_reason(fault.reason) {
                    number_field(out, b"373=", u64::from(reason));
                }
                text_field(out, &["code=", code, " ", text]);
            }
            Outbound::BusinessReject { ref_seq, ref_msg_type, trade_id, reason, code, text } => {
                number_field(out, b"45=", ref_seq);
                bytes_field(out, b"372=", ref_msg_type);
                if let Some(trade_id) = trade_id {
                    bytes_field(out, b"379=", trade_id.as_bytes());
                }
                number_field(out, b"380=", reason as u64);
                text_field(out, &["code=", code, " ", text]);
            }
            Outbound::TradeAck(ack) => self.trade_ack(out, ack),
            Outbound::Stored { body, .. } => out.extend_from_slice(body),
        }
    }

    fn trade_ack(&mut self, out: &mut Vec<u8>, ack: &TradeAck<'_>) {
        if let Some(order) = &ack.order {
            return self.order_ack(out, ack, order);
        }
        bytes_field(out, b"571=", ack.trade_id.as_bytes());
        if !ack.target_id.is_empty() {
            bytes_field(out, b"572=", ack.target_id.as_bytes());
        }
        bytes_field(out, b"150=", &[ack.exec_type as u8]);
        bytes_field(out, b"939=", if ack.is_rejected() { b"1" } else { b"0" });
        if ack.is_rejected() {
            bytes_field(out, b"751=", b"99");
        }
        bytes_field(out, b"818=", ack.correlation_id.as_bytes());
        bytes_field(out, b"17=", ack.trade_id.as_bytes());
        number_field(out, b"527=", ack.log_seq);
        bytes_field(out, b"55=", ack.instrument.as_bytes());
        bytes_field(out, b"60=", self.stamp.text(ack.transact_utc_ns));
        outcome_text(out, ack);
        // In FIX 5.0 the account is a field of a side, and there is no side without Side.
        let side = ack.side.filter(|_| self.version == Version::Fix50Sp2);
        if let Some(side) = side {
            out.extend_from_slice(b"552=1\x0154=");
            out.extend_from_slice(&[side, SOH]);
        }
        if !ack.account.is_empty() && (side.is_some() || self.version != Version::Fix50Sp2) {
            bytes_field(out, b"1=", ack.account.as_bytes());
        }
    }

    /// FIX 4.2 has no acknowledgement of a trade: an ExecutionReport of status says what became of it, DontKnowTrade that it was refused.
    fn order_ack(&mut self, out: &mut Vec<u8>, ack: &TradeAck<'_>, order: &Order<'_>) {
        bytes_field(out, b"37=", order.order_id.as_bytes());
        if ack.is_rejected() {
            bytes_field(out, b"17=", ack.trade_id.as_bytes());
            bytes_field(out, b"127=", b"Z");
            bytes_field(out, b"55=", ack.instrument.as_bytes());
            bytes_field(out, b"54=", &[order.side]);
            return outcome_text(out, ack);
        }
        // A status has no ExecID of its own: 0, by the standard. What it is about is its ExecRefID.
        bytes_field(out, b"17=", b"0");
        bytes_field(out, b"20=", b"3");
        bytes_field(out, b"19=", ack.trade_id.as_bytes());
        bytes_field(out, b"150=", &[order.exec_type]);
        if !ack.account.is_empty() {
            bytes_field(out, b"1=", ack.account.as_bytes());
        }
        bytes_field(out, b"55=", ack.instrument.as_bytes());
        order.encode(out);
        bytes_field(out, b"60=", self.stamp.text(ack.transact_utc_ns));
        outcome_text(out, ack);
    }
}

/// Text (58) of an acknowledgement.
fn outcome_text(out: &mut Vec<u8>, ack: &TradeAck<'_>) {
    out.extend_from_slice(b"58=outcome=");
    out.extend_from_slice(ack.outcome.name().as_bytes());
    out.extend_from_slice(b" seq=");
    number(out, ack.log_seq);
    out.extend_from_slice(b" ver=");
    number(out, ack.position_version);
    out.extend_from_slice(b" ack=");
    out.extend_from_slice(ack.ack.name().as_bytes());
    match ack.outcome {
        AckOutcome::Rejected { code } => {
            out.extend_from_slice(b" code=");
            out.extend_from_slice(code.as_bytes());
        }
        AckOutcome::Duplicate { first_seq } => {
            out.extend_from_slice(b" first=");
            number(out, first_seq);
        }
        AckOutcome::Applied | AckOutcome::Provisional | AckOutcome::Forward | AckOutcome::Held => {}
    }
    out.push(SOH);
}

/// Text of a Reject for a fault of form, and its stable code.
pub fn fault_text(reason: RejectReason) -> (&'static str, &'static str) {
    match reason {
        RejectReason::InvalidTagNumber => ("INVALID_TAG", "a field has no valid tag number"),
        RejectReason::RequiredTagMissing => ("FIELD_MISSING", "a required field is missing"),
        RejectReason::TagWithoutValue => ("FIELD_EMPTY", "a field has no value"),
        RejectReason::ValueIncorrect => ("VALUE_OUT_OF_RANGE", "the value is out of range for this field"),
        RejectReason::IncorrectDataFormat => ("VALUE_MALFORMED", "the value is not of this field's type"),
        RejectReason::CompIdProblem => ("COMP_ID_MISMATCH", "SenderCompID or TargetCompID is not this session's"),
        RejectReason::SendingTimeAccuracy => {
            ("SENDING_TIME", "SendingTime is too far from now, or before OrigSendingTime")
        }
        RejectReason::InvalidMsgType => ("INVALID_MSG_TYPE", "MsgType is not a message type"),
        RejectReason::TagRepeated => ("FIELD_REPEATED", "a field appears more than once"),
        RejectReason::TagOutOfOrder => ("FIELD_OUT_OF_ORDER", "a header or trailer field is out of place"),
        RejectReason::ApplVersion => ("APPL_VERSION", "only ApplVerID 9 (FIX50SP2) is spoken"),
    }
}

fn bytes_field(out: &mut Vec<u8>, tag: &[u8], value: &[u8]) {
    out.extend_from_slice(tag);
    out.extend_from_slice(value);
    out.push(SOH);
}

fn number_field(out: &mut Vec<u8>, tag: &[u8], value: u64) {
    out.extend_from_slice(tag);
    number(out, value);
    out.push(SOH);
}

/// Text (58) from parts, cut at its limit; a byte that is not printable ASCII becomes `?`, so that no text can break a message.
fn text_field(out: &mut Vec<u8>, parts: &[&str]) {
    out.extend_from_slice(b"58=");
    let bytes = parts.iter().flat_map(|part| part.bytes());
    out.extend(bytes.take(TEXT_BYTES_MAX).map(|byte| if matches!(byte, b' '..=b'~') { byte } else { b'?' }));
    out.push(SOH);
}

/// An amount at 10^-8 as FIX writes it: no zeros behind the last digit, no point without digits behind it.
pub(super) fn decimal(out: &mut Vec<u8>, amount_e8: i64) {
    const ONE_E8: u64 = 100_000_000;
    if amount_e8 < 0 {
        out.push(b'-');
    }
    let (whole, mut rest) = (amount_e8.unsigned_abs() / ONE_E8, amount_e8.unsigned_abs() % ONE_E8);
    number(out, whole);
    if rest == 0 {
        return;
    }
    out.push(b'.');
    let mut unit = ONE_E8 / 10;
    while rest > 0 {
        out.push(b'0' + (rest / unit) as u8);
        rest %= unit;
        unit /= 10;
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
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

/// Writes BodyLength without padding, moving what follows where it takes more or fewer digits than foreseen; returns by how much.
fn patch_length(out: &mut Vec<u8>, length_at: usize) -> isize {
    let body_bytes = out.len() - (length_at + LENGTH_DIGITS + 1);
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = body_bytes;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let digits = &digits[at..];
    if digits.len() == LENGTH_DIGITS {
        out[length_at..length_at + LENGTH_DIGITS].copy_from_slice(digits);
        return 0;
    }
    out.splice(length_at..length_at + LENGTH_DIGITS, digits.iter().copied());
    digits.len() as isize - LENGTH_DIGITS as isize
}

#[cfg(test)]
mod tests;
