//! A FIX session by a script: messages that are well framed and mean anything, bytes that are none, time, lost connections.

use lotbook_gateway::fix::encode::{AckOutcome, AckPolicy, AckType, TradeAck};
use lotbook_gateway::fix::frame::{self, Framed, SOH, check_sum};
use lotbook_gateway::fix::limits::{OUT_BLOCK_DEFAULT, OUT_NUMBERS_PER_CALL_MAX};
use lotbook_gateway::fix::message::{Message, Tag};
use lotbook_gateway::fix::session::{Now, Persist, Resume, Session, SessionConfig, Step};
use lotbook_gateway::fix::stamp::Stamp;
use lotbook_gateway::fix::store::RingStore;
use lotbook_gateway::fix::trade::FixTrade;
use lotbook_gateway::fix::value;
use lotbook_gateway::fix::version::Version;

use crate::bytes::Bytes;

/// 2020-03-05 14:30:00.
const START_UTC_NS: i64 = 1_583_418_600_000_000_000;
/// Steps of a script.
const STEPS_MAX: usize = 256;
/// Answers that are kept for resends.
const STORED: usize = 32;
const STORED_BYTES: usize = 16 << 10;
/// Most that one call writes: all that is stored with a header each, and a few messages of its own.
const OUT_BYTES_MAX: usize = STORED_BYTES + (STORED + 8) * 512;

const TYPES: &[&str] = &["A", "0", "1", "2", "3", "4", "5", "8", "AE", "j", "D", "AR", "", "ZZ"];
/// Fields that a message may have beside its header, `|` for the separator.
const FIELDS: &[&str] = &[
    "98=0|108=30|",
    "141=Y|",
    "1137=9|",
    "112=T|",
    "7=1|16=0|",
    "7=3|16=2|",
    "123=Y|36=9|",
    "123=N|36=2|",
    "36=1|",
    "45=1|373=5|",
    "58=bye|",
    "17=T1|20=0|150=F|39=2|37=O|1=A1|55=AAPL|54=1|32=10|31=2.5|151=0|14=10|6=2.5|60=20200305-14:30:00|75=20200305|",
    "17=T2|19=T1|150=H|37=O|39=2|55=AAPL|54=1|75=20200305|",
    "571=R1|570=N|55=AAPL|32=1|31=1|75=20200305|60=20200305-14:30:00|552=1|54=2|37=O|1=A1|",
    "150=2|20=0|",
    "20=1|19=T1|",
    "32=-1|",
    "31=0.123456789|",
    "55=|",
    "97=Y|",
    "95=3|96=a\u{1}b|",
    "7=0|16=999999999999|",
    "36=18446744073709551616|",
];

struct Line {
    session: Session<RingStore>,
    now: Now,
    /// The greatest number that was sent for the first time.
    sent: u64,
    next_in: u64,
}

/// Plays a script.
///
/// # Panics
/// What is sent are no whole messages, a number comes twice for the first time, or the expected number goes back by itself.
pub fn run(bytes: &[u8]) {
    let mut script = Bytes(bytes);
    let version = script.pick(&Version::ALL);
    let config = SessionConfig { version, ..SessionConfig::new("LOTBOOK", "CLIENT") };
    let resume = Resume { out_reserved_through: OUT_BLOCK_DEFAULT, ..Resume::FRESH };
    let session = Session::new(config, RingStore::new(STORED, STORED_BYTES), resume);
    let now = Now { mono_ns: 1_000_000_000, utc_ns: START_UTC_NS };
    let mut line = Line { session, now, sent: 0, next_in: 1 };
    let mut steps = 0;
    while let Some(what) = script.byte().filter(|_| steps < STEPS_MAX) {
        steps += 1;
        if line.session.numbers_left() < 4 * OUT_NUMBERS_PER_CALL_MAX {
            line.session.reserve_through(line.session.next_out() + OUT_BLOCK_DEFAULT);
        }
        line.step(what, &mut script);
    }
}

impl Line {
    fn step(&mut self, what: u8, script: &mut Bytes<'_>) {
        let mut out = Vec::new();
        match what % 8 {
            0 if self.session.is_connected() => self.session.disconnected(),
            0 => self.session.connect(self.now),
            1 => {
                let passed_ms = i64::from(script.number() % 1_000_000);
                self.now.mono_ns += passed_ms as u64 * 1_000_000;
                self.now.utc_ns += passed_ms * 1_000_000;
                let step = self.session.tick(self.now, &mut out);
                self.after(&step, false, &out);
            }
            2 => {
                let seq = self.session.answer(&ack(), self.now, &mut out);
                if out.is_empty() {
                    // Nobody is there: it has its number, and is had by a resend.
                    assert_eq!(seq, self.sent + 1);
                    self.sent = seq;
                }
                self.check(&out);
            }
            3 => {
                let bytes = script.some();
                self.stream(bytes);
            }
            _ => {
                let bytes = self.message(script);
                self.stream(&bytes);
            }
        }
    }

    /// A message with right length and checksum, and a header that is right or nearly so.
    fn message(&self, script: &mut Bytes<'_>) -> Vec<u8> {
        let how = script.byte().unwrap_or(0);
        let next = self.session.next_in();
        let seq = script.pick(&[
            next,
            next,
            next,
            next + 1,
            next + 3,
            next.saturating_sub(1),
            1,
            u64::from(how),
            999_999_999_999,
        ]);
        let mut stamp = Stamp::default();
        let sent = String::from_utf8_lossy(stamp.text(self.now.utc_ns)).into_owned();
        let kind = script.pick(TYPES);
        let mut body = format!("35={kind}|49=CLIENT|56=LOTBOOK|34={seq}|52={sent}|");
        if how & 1 == 1 {
            body.push_str("43=Y|122=20200305-14:29:00|");
        }
        if how & 6 == 6 {
            body = body.replace(
                script.pick(&["49=CLIENT|", "56=LOTBOOK|", "34=", "52=", "T1", "|"]),
                script.pick(&["", "34=x", "49=OTHER|", "52=now|"]),
            );
        }
        for _ in 0..how >> 3 & 3 {
            body.push_str(script.pick(FIELDS));
        }
        let mut body: Vec<u8> = body.bytes().map(|byte| if byte == b'|' { SOH } else { byte }).collect();
        if how & 0x80 != 0 {
            body.extend_from_slice(script.some());
        }
        let begin = if how & 0x60 == 0x60 { script.pick(&Version::ALL) } else { self.session.config().version };
        let mut bytes = format!("8={}\u{1}9={}\u{1}", begin.begin_string(), body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        let sum = check_sum(&bytes);
        bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
        bytes
    }

    /// Reads bytes as the host of a session does.
    fn stream(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while self.session.is_connected() && at < bytes.len() {
            let (mut out, rest) = (Vec::new(), &bytes[at..]);
            match frame::next(rest) {
                Framed::NeedMore { .. } => return,
                Framed::Garbled { skip_to, why } => {
                    at += skip_to;
                    let step = self.session.on_garbled(why, self.now, &mut out);
                    self.after(&step, false, &out);
                }
                Framed::Frame(frame) => {
                    let message = Message::parse(rest, &frame);
                    let step = self.session.on_message(&message, self.now, &mut out);
                    if step.deliver.is_some() {
                        match FixTrade::from_message(&message) {
                            Ok(_) => self.session.answer(&ack(), self.now, &mut out),
                            Err(refusal) => self.session.refuse(&message, &refusal, self.now, &mut out),
                        };
                    }
                    let resets = message.get(Tag::MsgType) == Some(b"4") || message.is_set(Tag::ResetSeqNumFlag);
                    self.after(&step, resets, &out);
                    at += frame.len();
                }
            }
        }
    }

    fn after(&mut self, step: &Step, resets: bool, out: &[u8]) {
        let restarts = matches!(step.persist, Some(Persist::Restarted { .. }));
        if restarts {
            self.sent = 0;
            assert!(resets, "restarted unasked");
        } else {
            assert!(self.session.next_in() >= self.next_in, "{} after {}", self.session.next_in(), self.next_in);
        }
        self.next_in = self.session.next_in();
        self.check(out);
        if step.disconnect.is_some() && self.session.is_connected() {
            self.session.disconnected();
        }
    }

    fn check(&mut self, out: &[u8]) {
        assert!(out.len() <= OUT_BYTES_MAX, "{} bytes", out.len());
        let mut at = 0;
        while at < out.len() {
            let Framed::Frame(frame) = frame::next(&out[at..]) else {
                panic!("no message: {:?}", String::from_utf8_lossy(&out[at..]));
            };
            let message = Message::parse(&out[at..], &frame);
            let seq = message.required(Tag::MsgSeqNum, value::sequence).unwrap_or_else(|fault| panic!("{fault:?}"));
            if message.is_set(Tag::PossDup) {
                assert!(seq <= self.sent, "{seq} comes again before it came");
            } else {
                assert_eq!(seq, self.sent + 1, "numbers rise by one");
                self.sent = seq;
            }
            at += frame.len();
        }
        assert_eq!(self.session.next_out(), self.sent + 1);
    }
}

fn ack() -> TradeAck<'static> {
    TradeAck {
        exec_type: AckType::Trade,
        target_id: "",
        trade_id: "T1",
        account: "A1",
        instrument: "AAPL",
        correlation_id: "C",
        transact_utc_ns: START_UTC_NS,
        outcome: AckOutcome::Applied,
        log_seq: 1,
        position_version: 1,
        ack: AckPolicy::Applied,
        side: None,
        order: None,
    }
}
