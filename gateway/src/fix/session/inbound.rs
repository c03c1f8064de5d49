//! What a session does with a message: the envelope first, then the table's row, then the row's act.

use super::super::encode::Outbound;
use super::super::frame::Garbled;
use super::super::limits::{GARBLED_RUN_MAX, HEARTBEAT_S_MAX, HEARTBEAT_S_MIN};
use super::super::message::{Fault, Message, MsgType, RejectReason, Tag};
use super::super::store::OutboundStore;
use super::super::trade;
use super::super::value;
use super::super::version::Version;
use super::table::{self, Act, Kind, Phase, Relation};
use super::{Consumed, Disconnect, Now, Persist, Session, State, Step, fault};

/// The fields of a session message that its act needs.
#[derive(Debug, Clone, Copy)]
enum Fields<'a> {
    Logon { heartbeat_s: u64 },
    TestRequest { test_req_id: &'a [u8] },
    ResendRequest { begin_seq: u64, end_seq: u64 },
    SequenceReset { new_seq: u64 },
    None,
}

impl<S: OutboundStore> Session<S> {
    /// Takes one message that was framed and split.
    pub fn on_message(&mut self, message: &Message<'_>, now: Now, out: &mut Vec<u8>) -> Step {
        if self.state == State::Disconnected {
            return Step { row: Some('a'), ..Step::default() };
        }
        self.heard_at_ns = now.mono_ns;
        self.test_sent = false;
        self.garbled_run = 0;

        let seq = match self.check_envelope(message, now, out) {
            Ok(seq) => seq,
            Err(step) => return step,
        };
        let kind = kind_of(message, self.config.version);
        let row = table::row_for(self.phase(), kind, self.relation(message, seq));
        let step = match self.read_fields(row.act, kind, seq, message) {
            Ok(fields) => self.act(row.act, fields, seq, message, now, out),
            Err(fault) => self.on_fault(kind, seq, fault, message, now, out),
        };
        Step { row: Some(row.id), ..step }
    }

    /// Takes note of bytes that were no message.
    ///
    /// FIX ignores them, and their gap is found by the next good message. Two exceptions: a message beyond the size limit would come again
    /// with each resend, so it ends the session; and a peer that sends nothing but noise is cut.
    pub fn on_garbled(&mut self, why: Garbled, now: Now, out: &mut Vec<u8>) -> Step {
        match self.phase() {
            Phase::Disconnected => Step::default(),
            Phase::AwaitLogon => self.end(Disconnect::Stranger),
            _ if why == Garbled::Oversize => {
                self.end_with_logout("a message is longer than the limit", Disconnect::Oversize, now, out)
            }
            _ => {
                self.garbled_run += 1;
                if self.garbled_run < GARBLED_RUN_MAX {
                    return Step::default();
                }
                self.end_with_logout("too many garbled messages", Disconnect::Garbled, now, out)
            }
        }
    }

    /// Version, number, CompIDs, SendingTime: what every message must have right before its number means anything.
    fn check_envelope(&mut self, message: &Message<'_>, now: Now, out: &mut Vec<u8>) -> Result<u64, Step> {
        let stranger = self.state == State::AwaitLogon;
        let begin_string = self.config.version.begin_string();
        if message.get(Tag::BeginString) != Some(begin_string.as_bytes()) {
            if stranger {
                return Err(self.end(Disconnect::Stranger));
            }
            let text = format!("BeginString must be {begin_string}");
            return Err(self.end_with_logout(&text, Disconnect::WrongBeginString, now, out));
        }
        // 0 is nobody's number, but some engines write it into a SequenceReset-Reset, whose number does not count.
        let Ok(seq) = message.required(Tag::MsgSeqNum, value::sequence_or_zero) else {
            return Err(match stranger {
                true => self.end(Disconnect::Stranger),
                false => self.end_with_logout("MsgSeqNum is missing or malformed", Disconnect::SeqMissing, now, out),
            });
        };
        if let Some(tag) = self.wrong_comp_id(message) {
            if stranger {
                return Err(self.end(Disconnect::Stranger));
            }
            let fault = fault(tag, RejectReason::CompIdProblem);
            return Err(self.reject_and_end(message, seq, fault, Disconnect::WrongCompId, now, out));
        }
        if let Some(tolerance_ns) = self.config.sending_time_tolerance_ns
            && let Some(Ok(sent_ns)) = message.get(Tag::SendingTime).map(value::utc_timestamp_ns)
            && sent_ns.abs_diff(now.utc_ns) > tolerance_ns
        {
            let fault = fault(Tag::SendingTime, RejectReason::SendingTimeAccuracy);
            return Err(self.reject_and_end(message, seq, fault, Disconnect::SendingTime, now, out));
        }
        Ok(seq)
    }

    fn wrong_comp_id(&self, message: &Message<'_>) -> Option<Tag> {
        let is = |tag, comp_id: &String| message.get(tag) == Some(comp_id.as_bytes());
        if !is(Tag::SenderCompId, &self.config.their_comp_id) {
            return Some(Tag::SenderCompId);
        }
        if !is(Tag::TargetCompId, &self.config.our_comp_id) {
            return Some(Tag::TargetCompId);
        }
        None
    }

    fn relation(&self, message: &Message<'_>, seq: u64) -> Relation {
        match seq.cmp(&self.next_in) {
            std::cmp::Ordering::Equal => Relation::Expected,
            std::cmp::Ordering::Greater => Relation::High,
            std::cmp::Ordering::Less if message.is_set(Tag::PossDup) => Relation::LowPossDup,
            std::cmp::Ordering::Less => Relation::Low,
        }
    }

    /// Reads what the act needs, and checks the form of the whole message where the act looks at it.
    fn read_fields<'a>(&self, act: Act, kind: Kind, seq: u64, message: &Message<'a>) -> Result<Fields<'a>, Fault> {
        if !act.reads_fields() {
            return Ok(Fields::None);
        }
        if let Some(fault) = message.fault() {
            return Err(fault);
        }
        const FLAGS: [Tag; 4] = [Tag::PossDup, Tag::PossResend, Tag::ResetSeqNumFlag, Tag::GapFillFlag];
        if let Some(fault) = message.bad_flag(&FLAGS) {
            return Err(fault);
        }
        message.required(Tag::SendingTime, value::utc_timestamp_ns)?;
        let version = self.config.version;
        version.check_appl_ver_id(Tag::ApplVerId, message.get(Tag::ApplVerId))?;
        match kind {
            Kind::Logon | Kind::LogonReset => {
                let heartbeat_s = message.required(Tag::HeartBtInt, value::unsigned)?;
                if !(HEARTBEAT_S_MIN..=HEARTBEAT_S_MAX).contains(&heartbeat_s) {
                    return Err(fault(Tag::HeartBtInt, RejectReason::ValueIncorrect));
                }
                if message.required(Tag::EncryptMethod, value::unsigned)? != 0 {
                    return Err(fault(Tag::EncryptMethod, RejectReason::ValueIncorrect));
                }
                if version == Version::Fix50Sp2 {
                    let appl_ver_id = message.required(Tag::DefaultApplVerId, Ok)?;
                    version.check_appl_ver_id(Tag::DefaultApplVerId, Some(appl_ver_id))?;
                }
                Ok(Fields::Logon { heartbeat_s })
            }
            Kind::TestRequest => Ok(Fields::TestRequest { test_req_id: message.required(Tag::TestReqId, Ok)? }),
            Kind::ResendRequest => {
                let begin_seq = message.required(Tag::BeginSeqNo, value::sequence)?;
                let end_seq = message.required(Tag::EndSeqNo, value::sequence_or_zero)?;
                if end_seq != 0 && end_seq < begin_seq {
                    return Err(fault(Tag::EndSeqNo, RejectReason::ValueIncorrect));
                }
                Ok(Fields::ResendRequest { begin_seq, end_seq })
            }
            Kind::GapFill | Kind::Reset => {
                let new_seq = message.required(Tag::NewSeqNo, value::sequence)?;
                // A gap fill covers at least its own number; a reset never goes back, for what was consumed stays consumed.
                let least = if kind == Kind::GapFill { seq + 1 } else { self.next_in };
                if new_seq < least {
                    return Err(fault(Tag::NewSeqNo, RejectReason::ValueIncorrect));
                }
                Ok(Fields::SequenceReset { new_seq })
            }
            Kind::Other if message.msg_type() == MsgType::Invalid || !is_type_of(version, message) => {
                Err(fault(Tag::MsgType, RejectReason::InvalidMsgType))
            }
            Kind::Heartbeat | Kind::Reject | Kind::Logout | Kind::Trade | Kind::Other => Ok(Fields::None),
        }
    }

    fn act(
        &mut self,
        act: Act,
        fields: Fields<'_>,
        seq: u64,
        message: &Message<'_>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Step {
        match (act, fields) {
            (Act::Deliver, _) => {
                self.advance(seq + 1, now);
                Step { deliver: Some(seq), ..Step::default() }
            }
            (Act::Consume, _) => self.consume(seq, Consumed::Admin, now),
            (Act::Ignore | Act::Drop, _) => Step::default(),
            (Act::Cut, _) => self.end(Disconnect::Stranger),

            (Act::LogOn, Fields::Logon { heartbeat_s }) => {
                self.log_on(heartbeat_s, false, now, out);
                self.consume(seq, Consumed::Admin, now)
            }
            (Act::LogOnAndRequest, Fields::Logon { heartbeat_s }) => {
                self.log_on(heartbeat_s, false, now, out);
                self.open_gap(seq, now, out);
                Step::default()
            }
            (Act::Restart, Fields::Logon { heartbeat_s }) => self.restart(seq, heartbeat_s, now, out),
            (Act::SecondLogon, _) => self.end_with_logout("already logged on", Disconnect::SecondLogon, now, out),
            (Act::TooLow, _) => {
                let text = format!("MsgSeqNum too low, expecting {} but received {seq}", self.next_in);
                self.end_with_logout(&text, Disconnect::SeqTooLow, now, out)
            }
            (Act::Duplicate, _) => self.check_duplicate(message, seq, now, out),

            (Act::AnswerTest, Fields::TestRequest { test_req_id }) => {
                self.send(&Outbound::Heartbeat { test_req_id: Some(test_req_id) }, now, out);
                self.consume(seq, Consumed::Admin, now)
            }
            (Act::AnswerTestEarly | Act::AnswerTestEarlyAndRequest, Fields::TestRequest { test_req_id }) => {
                self.send(&Outbound::Heartbeat { test_req_id: Some(test_req_id) }, now, out);
                if act == Act::AnswerTestEarlyAndRequest {
                    self.open_gap(seq, now, out);
                }
                Step::default()
            }
            (Act::Resend, Fields::ResendRequest { begin_seq, end_seq }) => {
                self.resend(begin_seq, end_seq, now, out);
                self.consume(seq, Consumed::Admin, now)
            }
            (Act::ResendEarly | Act::ResendEarlyAndRequest, Fields::ResendRequest { begin_seq, end_seq }) => {
                self.resend(begin_seq, end_seq, now, out);
                if act == Act::ResendEarlyAndRequest {
                    self.open_gap(seq, now, out);
                }
                Step::default()
            }
            (Act::FillGap | Act::Jump, Fields::SequenceReset { new_seq }) => self.skip_to(new_seq, now),
            (Act::RefuseType, _) => {
                self.refuse(message, &trade::UNSUPPORTED_TYPE, now, out);
                self.consume(seq, Consumed::UnsupportedType, now)
            }
            (Act::Request, _) => {
                self.open_gap(seq, now, out);
                Step::default()
            }

            (Act::LogOut, _) => {
                let consumed = self.consume(seq, Consumed::Admin, now);
                Step { persist: consumed.persist, ..self.end_with_logout("", Disconnect::PeerLogout, now, out) }
            }
            (Act::LogOutEarly, _) => self.end_with_logout("", Disconnect::PeerLogout, now, out),
            (Act::LoggedOut, _) => {
                let consumed = self.consume(seq, Consumed::Admin, now);
                Step { persist: consumed.persist, ..self.end(Disconnect::LoggedOut) }
            }
            (Act::LoggedOutEarly, _) => self.end(Disconnect::LoggedOut),

            (
                Act::LogOn
                | Act::LogOnAndRequest
                | Act::Restart
                | Act::AnswerTest
                | Act::AnswerTestEarly
                | Act::AnswerTestEarlyAndRequest
                | Act::Resend
                | Act::ResendEarly
                | Act::ResendEarlyAndRequest
                | Act::FillGap
                | Act::Jump,
                _,
            ) => unreachable!("read_fields gives each kind its own fields, and the table gives each kind its own acts"),
        }
    }

    fn consume(&mut self, seq: u64, what: Consumed, now: Now) -> Step {
        self.advance(seq + 1, now);
        Step { persist: Some(Persist::Consumed { first_seq: seq, last_seq: seq, what }), ..Step::default() }
    }

    /// The peer's next number is `new_seq`: those below never come.
    fn skip_to(&mut self, new_seq: u64, now: Now) -> Step {
        let first_seq = self.next_in;
        if new_seq == first_seq {
            return Step::default();
        }
        self.advance(new_seq, now);
        let skipped = Persist::Consumed { first_seq, last_seq: new_seq - 1, what: Consumed::Skipped };
        Step { persist: Some(skipped), ..Step::default() }
    }

    fn log_on(&mut self, heartbeat_s: u64, reset: bool, now: Now, out: &mut Vec<u8>) {
        self.heartbeat_ns = heartbeat_s * value::SECOND_NS as u64;
        self.enter(State::Active, now);
        self.send(&Outbound::Logon { heartbeat_s, reset }, now, out);
    }

    fn restart(&mut self, seq: u64, heartbeat_s: u64, now: Now, out: &mut Vec<u8>) -> Step {
        if seq != 1 {
            let text = "ResetSeqNumFlag needs MsgSeqNum 1";
            return self.end_with_logout(text, Disconnect::LogonRefused, now, out);
        }
        self.next_in = 2;
        self.next_out = 1;
        self.out_reserved_through = self.config.out_block;
        self.store.clear();
        self.log_on(heartbeat_s, true, now, out);
        let restarted = Persist::Restarted { out_reserved_through: self.out_reserved_through };
        Step { persist: Some(restarted), ..Step::default() }
    }

    /// A repetition is ignored, if its OrigSendingTime makes it one.
    fn check_duplicate(&mut self, message: &Message<'_>, seq: u64, now: Now, out: &mut Vec<u8>) -> Step {
        let times = message
            .required(Tag::OrigSendingTime, value::utc_timestamp_ns)
            .and_then(|orig| Ok((orig, message.required(Tag::SendingTime, value::utc_timestamp_ns)?)));
        match times {
            Ok((orig_ns, sent_ns)) if orig_ns <= sent_ns => Step::default(),
            Ok(_) => {
                let fault = fault(Tag::OrigSendingTime, RejectReason::SendingTimeAccuracy);
                self.reject_and_end(message, seq, fault, Disconnect::SendingTime, now, out)
            }
            Err(fault) => {
                self.reject(message, seq, fault, now, out);
                Step::default()
            }
        }
    }

    /// A message whose turn it may be, and that is wrong in its form.
    fn on_fault(
        &mut self,
        kind: Kind,
        seq: u64,
        fault: Fault,
        message: &Message<'_>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Step {
        if matches!(kind, Kind::Logon | Kind::LogonReset) {
            return self.end_with_logout(logon_fault_text(fault), Disconnect::LogonRefused, now, out);
        }
        if kind == Kind::Reset {
            // Its own number does not count, so there is none to consume.
            self.reject(message, seq, fault, now, out);
            return Step::default();
        }
        if seq == self.next_in {
            self.reject(message, seq, fault, now, out);
            return self.consume(seq, Consumed::Refused(fault), now);
        }
        // Ahead of its turn it is not acted on: it comes again, or is filled, with the rest.
        if self.state == State::Active {
            self.open_gap(seq, now, out);
        }
        Step::default()
    }

    /// Reject, Logout, disconnect; FIX has the number consumed where it is the expected one.
    fn reject_and_end(
        &mut self,
        message: &Message<'_>,
        seq: u64,
        fault: Fault,
        why: Disconnect,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Step {
        let (_, text) = super::super::encode::fault_text(fault.reason);
        if self.state == State::AwaitLogon {
            return self.end_with_logout(text, why, now, out);
        }
        self.reject(message, seq, fault, now, out);
        let consumed = match seq == self.next_in {
            true => self.consume(seq, Consumed::Refused(fault), now),
            false => Step::default(),
        };
        Step { persist: consumed.persist, ..self.end_with_logout(text, why, now, out) }
    }
}

/// Whether the version has this type of message, or leaves it to its users.
fn is_type_of(version: Version, message: &Message<'_>) -> bool {
    let msg_type = message.get(Tag::MsgType).unwrap_or_default();
    version.has_long_types() || msg_type.len() == 1 || msg_type.starts_with(b"U")
}

fn kind_of(message: &Message<'_>, version: Version) -> Kind {
    match message.msg_type() {
        MsgType::TradeCaptureReport if !version.has_long_types() => Kind::Other,
        MsgType::ExecutionReport | MsgType::TradeCaptureReport => Kind::Trade,
        MsgType::Heartbeat => Kind::Heartbeat,
        MsgType::TestRequest => Kind::TestRequest,
        MsgType::ResendRequest => Kind::ResendRequest,
        MsgType::Reject | MsgType::BusinessMessageReject => Kind::Reject,
        MsgType::SequenceReset if message.is_set(Tag::GapFillFlag) => Kind::GapFill,
        MsgType::SequenceReset => Kind::Reset,
        MsgType::Logout => Kind::Logout,
        MsgType::Logon if message.is_set(Tag::ResetSeqNumFlag) => Kind::LogonReset,
        MsgType::Logon => Kind::Logon,
        MsgType::Other | MsgType::Invalid => Kind::Other,
    }
}

fn logon_fault_text(fault: Fault) -> &'static str {
    const ENCRYPT_METHOD: u32 = Tag::EncryptMethod.number();
    const HEART_BT_INT: u32 = Tag::HeartBtInt.number();
    const SENDING_TIME: u32 = Tag::SendingTime.number();
    const DEFAULT_APPL_VER_ID: u32 = Tag::DefaultApplVerId.number();
    match fault.tag {
        _ if matches!(fault.reason, RejectReason::TagRepeated | RejectReason::TagOutOfOrder) => {
            "Logon has a field twice or out of place"
        }
        ENCRYPT_METHOD => "EncryptMethod must be 0",
        HEART_BT_INT => "HeartBtInt must be 1 to 300 seconds",
        DEFAULT_APPL_VER_ID => "DefaultApplVerID must be 9 (FIX50SP2)",
        SENDING_TIME => "SendingTime is missing or malformed",
        _ => "Logon has a malformed field",
    }
}
