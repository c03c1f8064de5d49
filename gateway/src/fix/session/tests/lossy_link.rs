//! Random conversations: the link breaks at any byte, in either direction, and the host crashes; nothing is lost or done twice.

use proptest::prelude::*;

use super::super::super::frame::{self, Framed};
use super::*;

/// A plain initiator: sends trades, keeps all it sent, asks for what it misses, and counts answers.
#[derive(Default)]
struct Initiator {
    sent: Vec<Option<String>>, // by number: the trade's fields, or a session message
    next_in: u64,
    wants_through: u64,
    outbox: Vec<u8>,
    answers: Vec<String>,
}

impl Initiator {
    fn send(&mut self, kind: &str, fields: &str, application: bool) {
        self.sent.push(application.then(|| fields.to_owned()));
        let seq = self.sent.len();
        self.write(seq as u64, kind, fields);
    }

    fn write(&mut self, seq: u64, kind: &str, fields: &str) {
        let body = format!("{kind}|49=CLIENT|56=LOTBOOK|34={seq}|52=20200305-14:30:00.000|{fields}");
        self.outbox.extend_from_slice(&framed("FIX.4.4", &body));
    }

    fn logon(&mut self) {
        self.outbox.clear();
        self.wants_through = 0;
        self.send("35=A", "98=0|108=30|", false);
    }

    fn take(&mut self, bytes: &[u8]) {
        let message = parsed(bytes);
        let seq = message.required(Tag::MsgSeqNum, value::sequence).unwrap();
        let number = |tag| message.required(tag, value::unsigned).unwrap();
        let msg_type = message.get(Tag::MsgType).unwrap();
        if msg_type == b"2" {
            // Resends are served at once, whatever is missing here.
            self.resend(number(Tag::BeginSeqNo));
        }
        assert!(seq >= self.next_in || message.is_set(Tag::PossDup), "{}", shown(bytes));
        if seq > self.next_in && self.wants_through < seq {
            let begin = self.next_in;
            self.wants_through = seq;
            self.send("35=2", &format!("7={begin}|16=0|"), false);
        }
        if seq != self.next_in {
            return;
        }
        self.next_in = seq + 1;
        match msg_type {
            b"4" => self.next_in = number(Tag::NewSeqNo),
            b"AR" => self.answers.push(String::from_utf8(message.get(Tag::TradeReportId).unwrap().to_vec()).unwrap()),
            b"A" | b"0" | b"2" => {}
            _ => panic!("{}", shown(bytes)),
        }
    }

    fn resend(&mut self, begin: u64) {
        let last = self.sent.len() as u64;
        for seq in begin..=last {
            match self.sent[seq as usize - 1].clone() {
                Some(fields) => self.write(seq, "35=8|43=Y|122=20200305-14:29:00.000", &fields),
                None => self.write(seq, "35=4|43=Y|122=20200305-14:29:00.000", &format!("123=Y|36={}|", seq + 1)),
            }
        }
    }
}

/// The host: the session, and what it recorded.
struct Host {
    line: Line,
    delivered: Vec<(u64, String)>,
    /// Every number that a durable record or an event holds.
    consumed: std::collections::BTreeSet<u64>,
    reserved: u64,
}

impl Host {
    fn new(store_messages: usize) -> Host {
        let mut host = Host { line: Line::new(1, 1), delivered: Vec::new(), consumed: Default::default(), reserved: 0 };
        host.line.session = host.recovered(store_messages);
        host
    }

    /// The session as it is rebuilt from the records.
    fn recovered(&mut self, store_messages: usize) -> Session<RingStore> {
        let next_in = (1..).find(|seq| !self.consumed.contains(seq)).unwrap();
        let next_out = self.reserved + 1;
        let resume = Resume { next_in, next_out, out_reserved_through: self.reserved };
        let config = SessionConfig::new("LOTBOOK", "CLIENT");
        Session::new(config, RingStore::new(store_messages, 65_536), resume)
    }

    fn take(&mut self, bytes: &[u8], answer: bool) {
        if self.line.session.numbers_left() < 8 {
            self.reserved += 100;
            self.line.session.reserve_through(self.reserved);
        }
        let message = parsed(bytes);
        let step = self.line.session.on_message(&message, self.line.now, &mut self.line.out);
        assert_eq!(step.disconnect, None, "{}", shown(bytes));
        if let Some(Persist::Consumed { first_seq, last_seq, .. }) = step.persist {
            for seq in first_seq..=last_seq {
                assert!(self.consumed.insert(seq));
            }
        }
        if let Some(seq) = step.deliver {
            let trade = crate::fix::trade::FixTrade::from_message(&message).unwrap();
            assert!(self.consumed.insert(seq));
            self.delivered.push((seq, trade.trade_id.to_owned()));
            let trade_id = trade.trade_id.to_owned();
            if answer {
                self.line.answer(&trade_id);
            }
        }
    }
}

/// Moves whole messages out of the first `limit` bytes of a stream.
fn arriving(stream: &mut Vec<u8>, limit: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Framed::Frame(frame) = frame::next(&stream[start..]) {
        if start + frame.len() > limit {
            break;
        }
        found.push(stream[start..start + frame.len()].to_vec());
        start += frame.len();
    }
    stream.drain(..start);
    found
}

#[derive(Debug, Clone)]
enum Event {
    Trades(u8),
    ToHost(u16),
    ToInitiator(u16),
    Break,
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_u8..6).prop_map(Event::Trades),
        4 => (0_u16..2000).prop_map(Event::ToHost),
        4 => (0_u16..2000).prop_map(Event::ToInitiator),
        1 => Just(Event::Break),
        1 => Just(Event::Crash),
    ]
}

/// Conversations of each kind: some thousands, or a million in the long form.
fn scripts() -> u32 {
    if std::env::var_os("LOTBOOK_LONG").is_some() { 1_000_000 } else { 2_000 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: scripts(), ..ProptestConfig::default() })]

    #[test]
    fn every_trade_is_delivered_once_and_in_order(events in proptest::collection::vec(event(), 1..60)) {
        let mut initiator = Initiator { next_in: 1, ..Initiator::default() };
        let mut host = Host::new(10_000);
        let mut trades = 0;
        let mut crashed = false;
        host.line.session.connect(host.line.now);
        initiator.logon();

        let settle = [Event::Break, Event::ToHost(u16::MAX), Event::ToInitiator(u16::MAX), Event::ToHost(u16::MAX),
            Event::ToInitiator(u16::MAX), Event::ToHost(u16::MAX), Event::ToInitiator(u16::MAX)];
        for event in events.iter().chain(&settle) {
            match event {
                Event::Trades(count) => for _ in 0..*count {
                    trades += 1;
                    initiator.send("35=8", &trade(&format!("T-{trades}")), true);
                },
                Event::ToHost(limit) => for message in arriving(&mut initiator.outbox, usize::from(*limit)) {
                    host.take(&message, true);
                },
                Event::ToInitiator(limit) => for message in arriving(&mut host.line.out, usize::from(*limit)) {
                    initiator.take(&message);
                },
                Event::Break | Event::Crash => {
                    // Whatever is on its way is lost.
                    host.line.out.clear();
                    host.line.session.disconnected();
                    if matches!(event, Event::Crash) {
                        crashed = true;
                        host.line.session = host.recovered(10_000);
                    }
                    host.line.session.connect(host.line.now);
                    initiator.logon();
                }
            }
        }

        let expected: Vec<String> = (1..=trades).map(|trade| format!("T-{trade}")).collect();
        let delivered: Vec<String> = host.delivered.iter().map(|(_, trade)| trade.clone()).collect();
        prop_assert_eq!(&delivered, &expected);
        prop_assert_eq!(host.line.session.phase(), table::Phase::Active);
        prop_assert_eq!(host.consumed.len() as u64, initiator.sent.len() as u64);
        prop_assert_eq!(initiator.next_in, host.line.session.next_out());
        if crashed {
            // Answers that were only in memory are filled; none comes twice.
            let mut answers = initiator.answers.clone();
            answers.dedup();
            prop_assert_eq!(answers.len(), initiator.answers.len());
        } else {
            prop_assert_eq!(&initiator.answers, &expected);
        }
    }

    /// Any messages in any order, in any version: no panic, numbers only go up, what is consumed is consumed once and without a hole, and all that is sent is
    /// well formed and numbered without a hole.
    #[test]
    fn no_script_breaks_the_numbers(
        version in proptest::sample::select(Version::ALL.to_vec()),
        script in proptest::collection::vec((0_usize..14, 0_u64..12, any::<bool>(), 0_u64..40_000), 1..60),
    ) {
        const BODIES: [(&str, &str); 14] = [
            ("35=A", "98=0|108=30|"), ("35=A", "98=0|108=30|141=Y|"), ("35=0", ""), ("35=1", "112=x|"), ("35=2", "7=1|16=0|"),
            ("35=2", "7=3|16=5|"), ("35=3", ""), ("35=4", "123=Y|36=9|"), ("35=4", "36=12|"), ("35=5", ""),
            ("35=8", "17=T|150=F|1=A1|55=AAPL|54=1|32=100|31=10|"), ("35=D", ""), ("35=*", ""), ("35=8", "58=|"),
        ];
        let mut line = Line::speaking(version, 1, 1);
        let mut next_in = 1;
        let mut next_out = 1;
        for (which, seq, dup, wait_ms) in script {
            let (kind, fields) = BODIES[which];
            let fields = &format!("{fields}{}", if kind == "35=A" { appl_ver_id(version) } else { "" });
            let kind = if dup { format!("{kind}|43=Y|122=20200305-14:00:00") } else { kind.to_owned() };
            // Mostly near the expected number.
            let seq = (line.session.next_in() + seq).saturating_sub(4).max(1);
            let was_connected = line.session.is_connected();
            let step = line.take(seq, &kind, fields);
            match step.persist {
                Some(Persist::Consumed { first_seq, last_seq, .. }) => {
                    prop_assert_eq!(first_seq, next_in);
                    prop_assert!(last_seq >= first_seq);
                    next_in = last_seq + 1;
                }
                Some(Persist::Restarted { .. }) => { next_in = 2; next_out = 1; }
                None => {}
            }
            if let Some(seq) = step.deliver {
                prop_assert_eq!(step.persist, None);
                prop_assert_eq!(seq, next_in);
                next_in = seq + 1;
            }
            prop_assert_eq!(line.session.next_in(), next_in);
            let tick = if step.disconnect.is_none() { line.pass(wait_ms) } else { Step::default() };
            prop_assert_eq!(tick.persist, None);
            let bytes = std::mem::take(&mut line.out);
            prop_assert!(was_connected || bytes.is_empty());
            for message in messages(&bytes) {
                let message = parsed(&message);
                prop_assert_eq!(message.fault(), None);
                if !message.is_set(Tag::PossDup) {
                    prop_assert_eq!(message.required(Tag::MsgSeqNum, value::sequence), Ok(next_out));
                    next_out += 1;
                }
            }
            prop_assert_eq!(line.session.next_out(), next_out);
            if step.disconnect.or(tick.disconnect).is_some() {
                prop_assert!(!line.session.is_connected());
                line.session.disconnected();
                line.session.connect(line.now);
            }
        }
    }
}
