//! The session layer, as tables and scripts.

mod lossy_link;
mod script;
mod sequence_table;
mod versions;

use super::super::encode::AckType;
use super::super::fixtures::{framed, messages, parsed, shown};
use super::super::store::RingStore;
use super::*;

pub(super) const START_UTC_NS: i64 = 1_583_418_600_000_000_000; // 2020-03-05 14:30:00
const SECOND_NS: u64 = 1_000_000_000;

/// A session with its peer's end of the line, and the clock.
pub(super) struct Line {
    pub(super) session: Session<RingStore>,
    pub(super) now: Now,
    pub(super) out: Vec<u8>,
}

impl Line {
    /// A session that has consumed numbers below `next_in` and used those below `next_out`.
    pub(super) fn new(next_in: u64, next_out: u64) -> Line {
        Line::with(SessionConfig::new("LOTBOOK", "CLIENT"), next_in, next_out)
    }

    pub(super) fn with(config: SessionConfig, next_in: u64, next_out: u64) -> Line {
        let resume = Resume { next_in, next_out, out_reserved_through: next_out + 999 };
        let now = Now { mono_ns: 7 * SECOND_NS, utc_ns: START_UTC_NS };
        Line { session: Session::new(config, RingStore::new(64, 65_536), resume), now, out: Vec::new() }
    }

    pub(super) fn connected(next_in: u64, next_out: u64) -> Line {
        Line::speaking(Version::Fix44, next_in, next_out)
    }

    /// Connected, of any version.
    pub(super) fn speaking(version: Version, next_in: u64, next_out: u64) -> Line {
        let config = SessionConfig { version, ..SessionConfig::new("LOTBOOK", "CLIENT") };
        let mut line = Line::with(config, next_in, next_out);
        line.session.connect(line.now);
        line
    }

    /// Logged on with a heartbeat of 30 s; the Logon took one number in each direction.
    pub(super) fn active(next_in: u64, next_out: u64) -> Line {
        Line::active_in(Version::Fix44, next_in, next_out)
    }

    /// The same, of any version.
    pub(super) fn active_in(version: Version, next_in: u64, next_out: u64) -> Line {
        let mut line = Line::speaking(version, next_in, next_out);
        let step = line.take(next_in, "35=A", &format!("98=0|108=30|{}", appl_ver_id(version)));
        assert_eq!(step.disconnect, None);
        line.out.clear();
        line
    }

    /// The peer sends a message. `kind` is `35=` and what else goes into the header, `|` between.
    pub(super) fn take(&mut self, seq: u64, kind: &str, fields: &str) -> Step {
        let mut stamp = crate::fix::stamp::Stamp::default();
        let sent = String::from_utf8(stamp.text(self.now.utc_ns).to_vec()).unwrap();
        self.take_body(&format!("{kind}|49=CLIENT|56=LOTBOOK|34={seq}|52={sent}|{fields}"))
    }

    pub(super) fn take_body(&mut self, body: &str) -> Step {
        let bytes = framed(self.session.config().version.begin_string(), body);
        self.session.on_message(&parsed(&bytes), self.now, &mut self.out)
    }

    pub(super) fn pass(&mut self, interval_ms: u64) -> Step {
        self.now.mono_ns += interval_ms * 1_000_000;
        self.now.utc_ns += interval_ms as i64 * 1_000_000;
        self.session.tick(self.now, &mut self.out)
    }

    pub(super) fn answer(&mut self, trade_id: &str) -> u64 {
        self.session.answer(&ack(trade_id), self.now, &mut self.out)
    }

    /// What was written since, one line a message: type, number, `dup` for a resend, and the fields behind the header.
    pub(super) fn sent(&mut self) -> Vec<String> {
        let bytes = std::mem::take(&mut self.out);
        messages(&bytes).iter().map(|message| essence(message)).collect()
    }

    /// The types of what was written since.
    pub(super) fn sent_types(&mut self) -> String {
        self.sent().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>().join(",")
    }
}

/// What a Logon of the version has beside the rest.
fn appl_ver_id(version: Version) -> &'static str {
    if version == Version::Fix50Sp2 { "1137=9|" } else { "" }
}

fn ack(trade_id: &str) -> TradeAck<'_> {
    use super::super::encode::{AckOutcome, AckPolicy};
    TradeAck {
        exec_type: AckType::Trade,
        target_id: "",
        trade_id,
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

fn essence(bytes: &[u8]) -> String {
    let message = parsed(bytes);
    assert_eq!(message.fault(), None, "{}", shown(bytes));
    let text = |tag| String::from_utf8(message.get(tag).unwrap().to_vec()).unwrap();
    let dup = if message.is_set(Tag::PossDup) { " dup" } else { "" };
    let whole = shown(bytes);
    let mut rest = whole.split_once("|52=").unwrap().1.split_once('|').unwrap().1;
    if message.get(Tag::OrigSendingTime).is_some() {
        rest = rest.split_once('|').unwrap().1;
    }
    let rest = rest.rsplit_once("10=").unwrap().0;
    // Of an acknowledgement the trade id will do.
    let rest = match text(Tag::MsgType).as_str() {
        "AR" => format!("571={}", text(Tag::TradeReportId)),
        _ => rest.trim_end_matches('|').to_owned(),
    };
    format!("{} {}{dup} {rest}", text(Tag::MsgType), text(Tag::MsgSeqNum)).trim_end().to_owned()
}

/// Application fields of a good trade.
pub(super) fn trade(trade_id: &str) -> String {
    format!("17={trade_id}|150=F|1=A1|55=AAPL|54=1|32=100|31=10|")
}

fn consumed(seq: u64, what: Consumed) -> Option<Persist> {
    Some(Persist::Consumed { first_seq: seq, last_seq: seq, what })
}
