//! A third party's FIX client trades with the host: QuickFIX, its own dictionaries validating every message that we send.
//!
//! `tests/peers/quickfix_initiator.py` is QuickFIX told what to do line by line. `scripts/test` makes the Python
//! environment and names it in `LOTBOOK_PYTHON`; without it these tests say so and pass over.

mod versions;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Lines, Serving, collect, free_port, until};

/// One message as the peer saw it: type and fields in wire order.
#[derive(Clone, Debug)]
struct Seen {
    incoming: bool,
    kind: String,
    fields: Vec<(u32, String)>,
}

impl Seen {
    fn of(line: &Value) -> Option<Self> {
        let incoming = match line["event"].as_str()? {
            "in" => true,
            "out" => false,
            _ => return None,
        };
        let pair = |field: &Value| Some((u32::try_from(field[0].as_u64()?).ok()?, field[1].as_str()?.to_owned()));
        let fields = line["fields"].as_array()?.iter().filter_map(pair).collect();
        Some(Self { incoming, kind: line["type"].as_str()?.to_owned(), fields })
    }

    fn get(&self, tag: u32) -> &str {
        self.fields.iter().find(|(held, _)| *held == tag).map_or("", |(_, value)| value)
    }

    fn number(&self) -> u64 {
        self.get(34).parse().expect("MsgSeqNum is a number")
    }

    fn possible_duplicate(&self) -> bool {
        self.get(43) == "Y"
    }

    /// A word of our Text, such as `outcome=applied`.
    fn word(&self, name: &str) -> &str {
        self.get(58).split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
    }
}

/// QuickFIX as initiator.
struct Peer {
    child: Child,
    orders: ChildStdin,
    lines: Lines,
}

impl Peer {
    /// Starts one on a store that outlives it. `None`, with the reason on the output, where QuickFIX is not to be had.
    fn start(port: u16, store: &Path, comp_id: &str, heartbeat_s: u32) -> Option<Self> {
        Self::start_with(port, store, &["--comp-id", comp_id, "--heartbeat", &heartbeat_s.to_string()])
    }

    /// The same, with arguments of the script.
    fn start_with(port: u16, store: &Path, arguments: &[&str]) -> Option<Self> {
        let Some(python) = std::env::var_os("LOTBOOK_PYTHON") else {
            println!("skipped: LOTBOOK_PYTHON is not set; scripts/test sets it");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/quickfix_initiator.py");
        std::fs::create_dir_all(store).expect("a store");
        let mut child = Command::new(python)
            .arg(script)
            .args(["--port", &port.to_string()])
            .args(arguments)
            .arg("--store")
            .arg(store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("LOTBOOK_PYTHON is an interpreter");
        let orders = child.stdin.take().expect("piped");
        let lines = collect(child.stdout.take().expect("piped"));
        let peer = Self { child, orders, lines };
        until("the peer's first word", || !peer.events().is_empty());
        let first = peer.events().remove(0);
        if first["event"] == "skipped" {
            println!("skipped: {}", first["why"].as_str().unwrap_or_default());
            return None;
        }
        Some(peer)
    }

    fn tell(&mut self, order: &Value) {
        writeln!(self.orders, "{order}").expect("the peer listens");
    }

    fn events(&self) -> Vec<Value> {
        let lines = self.lines.lock().expect("no panic");
        lines.iter().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    fn count(&self, event: &str) -> usize {
        self.events().iter().filter(|line| line["event"] == event).count()
    }

    fn seen(&self) -> Vec<Seen> {
        self.events().iter().filter_map(Seen::of).collect()
    }

    /// Messages that came in, of one type.
    fn got(&self, kind: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.incoming && seen.kind == kind).collect()
    }

    /// Messages that went out, of one type.
    fn sent(&self, kind: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| !seen.incoming && seen.kind == kind).collect()
    }

    /// The next answer to a trade id after `after` earlier ones.
    #[track_caller]
    fn answer(&self, trade_id: &str, after: usize) -> Seen {
        let mut found = None;
        until(&format!("an answer to {trade_id}"), || {
            found = self.got("AR").into_iter().filter(|seen| seen.get(571) == trade_id).nth(after);
            found.is_some()
        });
        found.expect("waited for")
    }

    #[track_caller]
    fn log_on(&mut self) {
        let before = self.count("logon");
        self.tell(&json!({"do": "start"}));
        until("a logon", || self.count("logon") > before);
    }

    #[track_caller]
    fn log_out(&mut self) {
        let (before, answers) = (self.count("stopped"), self.got("5").len());
        self.tell(&json!({"do": "logout"}));
        until("a logout", || self.count("stopped") > before);
        assert!(self.got("5").len() > answers, "our Logout answers theirs");
    }

    /// The next numbers that it will send and that it expects.
    #[track_caller]
    fn numbers(&mut self) -> (u64, u64) {
        let before = self.count("numbers");
        self.tell(&json!({"do": "numbers"}));
        until("numbers", || self.count("numbers") > before);
        let line = self.events().into_iter().rfind(|line| line["event"] == "numbers").expect("waited for");
        (line["sender"].as_u64().expect("a number"), line["target"].as_u64().expect("a number"))
    }

    /// QuickFIX found nothing to object to: it sent no Reject, no BusinessMessageReject, no Logout with a reason.
    #[track_caller]
    fn assert_content(&self) {
        for kind in ["3", "j"] {
            let objections = self.sent(kind);
            assert!(objections.is_empty(), "the peer objects: {objections:#?}");
        }
        for logout in self.sent("5") {
            assert_eq!(logout.get(58), "", "the peer leaves for a reason");
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An ExecutionReport with what the FIX44 dictionary requires, and `more` after it or in place of it.
fn execution(id: &str, side: &str, quantity: &str, price: &str, more: &[(u32, &str)]) -> Value {
    let mut fields = BTreeMap::from([
        (37, "O1"),
        (17, id),
        (150, "F"),
        (39, "2"),
        (1, "ACC1"),
        (55, "AAPL"),
        (54, side),
        (32, quantity),
        (31, price),
        (151, "0"),
        (14, quantity),
        (6, price),
        (75, "20200305"),
        (60, "20200305-14:30:00"),
    ]);
    fields.extend(more.iter().copied());
    fields.retain(|_, value| !value.is_empty());
    let fields: Vec<_> = fields.into_iter().collect();
    json!({"do": "send", "type": "8", "fields": fields})
}

/// A TradeCaptureReport of one side.
fn capture(id: &str, side: &str, quantity: &str, price: &str, more: &[(u32, &str)]) -> Value {
    let mut fields = vec![
        (571, id),
        (570, "N"),
        (55, "AAPL"),
        (32, quantity),
        (31, price),
        (75, "20200305"),
        (60, "20200305-15:00:00"),
    ];
    fields.extend_from_slice(more);
    json!({"do": "send", "type": "AE", "fields": fields, "sides": [[[54, side], [37, "O2"], [1, "ACC1"]]]})
}

fn with_header(mut order: Value, tag: u32, value: &str) -> Value {
    order["header"] = json!([[tag, value]]);
    order
}

/// A host with a business date of long ago, so that the trades of these tests are of today.
#[track_caller]
fn host(dir: &Path, port: u16) -> Serving {
    let config = dir.join("lotbook.toml");
    let text = "[data]\ndir = \"data\"\nsegment_mib = 1\ntail_mib = 1\n[business]\ndate = \"2020-03-05\"\n\
                [engine.limits]\npositions_max = 4096\nlots_max = 65536\nnames_max = 4096\ntrade_ids_max = 65536\n";
    std::fs::write(&config, text).expect("a configuration");
    Serving::start(dir, &["--config", "lotbook.toml", "--fix-listen", &format!("127.0.0.1:{port}")])
}

/// Quantity and realized P&L of the one position.
#[track_caller]
fn position(host: &Serving) -> (String, String) {
    let (status, body) = host.get("/v1/positions/ACC1/AAPL");
    assert_eq!(status, 200, "{body}");
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{name} in {body}")).to_owned();
    (text("quantity"), text("realized_pnl"))
}

#[test]
fn quickfix_logs_on_and_trades() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let host = host(dir.path(), port);
    let Some(mut peer) = Peer::start(port, &dir.path().join("store"), "QF1", 30) else { return };
    peer.log_on();

    // Both kinds of trade, one answer each, the correlation id made or kept.
    peer.tell(&execution("E1", "1", "100", "10", &[]));
    peer.tell(&execution("E2", "1", "50", "11.25", &[(527, "desk-7"), (12, "1.5"), (13, "3")]));
    peer.tell(&capture("T1", "2", "120", "12", &[(818, "desk-8")]));
    let (e1, e2, t1) = (peer.answer("E1", 0), peer.answer("E2", 0), peer.answer("T1", 0));
    for (answer, correlation) in [(&e1, ""), (&e2, "desk-7"), (&t1, "desk-8")] {
        assert_eq!(answer.get(939), "0", "{answer:?}");
        assert_eq!(answer.word("outcome"), "applied", "{answer:?}");
        assert_eq!(answer.word("ack"), "durable");
        assert_eq!((answer.get(150), answer.get(1), answer.get(55)), ("F", "ACC1", "AAPL"));
        assert_eq!(answer.get(571), answer.get(17));
        assert_eq!(answer.get(527), answer.word("seq"));
        if correlation.is_empty() {
            assert!(answer.get(818).ends_with("@lotbook"), "made at the door: {answer:?}");
        } else {
            assert_eq!(answer.get(818), correlation);
        }
    }
    // FIFO: (12 - 10) x 100 + (12 - 11.25) x 20. Fees are carried by the event and are in no lot's cost.
    let (quantity, realized) = position(&host);
    assert_eq!(quantity, "30");
    assert_eq!(realized, "215");

    // The same again: under its own number without the flag, and with PossResend.
    peer.tell(&execution("E1", "1", "100", "10", &[]));
    peer.tell(&with_header(capture("T1", "2", "120", "12", &[(818, "desk-8")]), 97, "Y"));
    for (id, first) in [("E1", &e1), ("T1", &t1)] {
        let again = peer.answer(id, 1);
        assert_eq!((again.get(939), again.word("outcome")), ("0", "duplicate"), "{again:?}");
        assert_eq!(again.word("first"), first.word("seq"));
    }
    assert_eq!(position(&host).0, "30");

    // What the engine refuses: an answer with its reason.
    peer.tell(&execution("E3", "2", "31", "10", &[]));
    let oversell = peer.answer("E3", 0);
    assert_eq!((oversell.get(939), oversell.get(751)), ("1", "99"));
    assert_eq!((oversell.word("outcome"), oversell.word("code")), ("rejected", "OVERSELL"));

    // What never reaches it: a Reject names the field, a BusinessMessageReject the trade.
    peer.tell(&execution("E4", "1", "-5", "10", &[]));
    peer.tell(&execution("E5", "1", "5", "10", &[(1, "")]));
    peer.tell(&execution("E6", "1", "0.123456789", "10", &[]));
    peer.tell(&json!({"do": "send", "type": "D", "fields": [[11, "C1"], [55, "AAPL"], [54, "1"], [60, "20200305-15:00:00"], [40, "1"], [38, "5"]]}));
    until("two Rejects", || peer.got("3").len() == 2);
    until("two BusinessMessageRejects", || peer.got("j").len() == 2);
    let (rejects, mut refusals) = (peer.got("3"), peer.got("j"));
    // What is recorded is answered when the record is durable; what changes nothing, at once.
    refusals.sort_by_key(|seen| seen.get(45).parse::<u64>().expect("RefSeqNum is a number"));
    let sent = peer.sent("8");
    let number_of = |id: &str| sent.iter().find(|seen| seen.get(17) == id).expect("sent").get(34).to_owned();
    for (reject, id, code) in [(&rejects[0], "E4", "BAD_QUANTITY"), (&rejects[1], "E6", "TOO_MANY_DECIMALS")] {
        assert_eq!((reject.get(371), reject.get(372)), ("32", "8"), "{reject:?}");
        assert_eq!(reject.get(45), number_of(id), "{reject:?}");
        assert_eq!(reject.word("code"), code);
    }
    assert_eq!((refusals[0].get(380), refusals[0].get(379), refusals[0].word("code")), ("5", "E5", "MISSING_FIELD"));
    assert_eq!(refusals[0].get(45), number_of("E5"));
    assert_eq!((refusals[1].get(380), refusals[1].get(372), refusals[1].word("code")), ("3", "D", "UNKNOWN_TYPE"));

    peer.log_out();
    peer.assert_content();
    host.stop();
}

#[test]
fn quickfix_keeps_the_session_alive() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let host = host(dir.path(), port);
    let Some(mut peer) = Peer::start(port, &dir.path().join("store"), "QF2", 1) else { return };
    peer.log_on();
    assert_eq!(peer.got("A")[0].get(108), "1", "the interval that was asked for");
    peer.tell(&json!({"do": "send", "type": "1", "fields": [[112, "are you there"]]}));
    until("the answer to a TestRequest", || peer.got("0").iter().any(|beat| beat.get(112) == "are you there"));
    // Silence on both sides but for the heartbeats.
    let beats = || peer.got("0").iter().filter(|beat| beat.get(112).is_empty()).count();
    let before = beats();
    until("three heartbeats", || beats() >= before + 3);
    assert_eq!(peer.count("logon"), 1, "one session all along");
    assert_eq!(peer.count("logout"), 0);
    peer.log_out();
    peer.assert_content();
    host.stop();
}

#[test]
fn quickfix_resumes_after_a_lost_connection() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let host = host(dir.path(), port);
    let store = dir.path().join("store");
    let Some(mut peer) = Peer::start(port, &store, "QF3", 30) else { return };
    peer.log_on();
    for trade in 0..40 {
        peer.tell(&execution(&format!("E{trade}"), "1", "1", "10", &[]));
    }
    // In the middle of the answers; QuickFIX comes back by itself, and asks for those that it has missed.
    peer.answer("E0", 0);
    peer.tell(&json!({"do": "cut"}));
    until("a second logon", || peer.count("logon") == 2);
    let logons = peer.sent("A");
    assert_eq!(logons[1].get(141), "", "no reset");
    assert!(logons[1].number() > 40, "numbers go on");
    for trade in 0..40 {
        assert_eq!(peer.answer(&format!("E{trade}"), 0).word("outcome"), "applied");
    }
    assert_eq!(position(&host).0, "40");

    // It forgets the last ten messages and asks for them: the same numbers, flagged, the original answers in them.
    until("quiet", || peer.numbers().1 > 40);
    let (_, expected) = peer.numbers();
    let originals: BTreeMap<u64, String> = peer
        .got("AR")
        .iter()
        .filter(|seen| seen.number() >= expected - 10)
        .map(|seen| (seen.number(), seen.get(58).to_owned()))
        .collect();
    let (asked, resent) =
        (peer.sent("2").len(), peer.got("AR").iter().filter(|seen| seen.possible_duplicate()).count());
    peer.tell(&json!({"do": "expect", "next": expected - 10}));
    peer.tell(&execution("E40", "1", "1", "10", &[]));
    peer.answer("E40", 0);
    assert!(peer.sent("2").len() > asked, "QuickFIX asks");
    let again: Vec<_> = peer.got("AR").into_iter().filter(Seen::possible_duplicate).skip(resent).collect();
    for (number, text) in &originals {
        let same = again.iter().find(|seen| seen.number() == *number).expect("sent again");
        assert_eq!(same.get(58), text);
        assert_ne!(same.get(122), "", "OrigSendingTime");
    }
    let (mine, theirs) = peer.numbers();
    peer.log_out();

    // Another process on the same store: the numbers go on where the Logout left them.
    drop(peer);
    let Some(mut peer) = Peer::start(port, &store, "QF3", 30) else { return };
    peer.log_on();
    assert_eq!(peer.sent("A")[0].number(), mine + 1);
    assert_eq!(peer.got("A")[0].number(), theirs + 1);
    peer.tell(&execution("E0", "1", "1", "10", &[]));
    assert_eq!(peer.answer("E0", 0).word("outcome"), "duplicate");
    peer.log_out();
    peer.assert_content();
    drop(peer);

    // A store that is lost: its numbers are too low, and it is told so; a reset begins anew, and the trades are known all the same.
    let Some(mut peer) = Peer::start(port, &dir.path().join("new"), "QF3", 30) else { return };
    peer.tell(&json!({"do": "start"}));
    until("a refusal", || !peer.got("5").is_empty());
    assert!(peer.got("5")[0].get(58).starts_with("MsgSeqNum too low, expecting "), "{:?}", peer.got("5"));
    peer.tell(&json!({"do": "logout"}));
    until("the end of the attempts", || peer.count("stopped") == 1);
    drop(peer);
    let Some(mut peer) = Peer::start(port, &dir.path().join("anew"), "QF3", 30) else { return };
    peer.tell(&json!({"do": "start", "reset": true}));
    until("a logon", || peer.count("logon") == 1);
    assert_eq!((peer.got("A")[0].get(141), peer.got("A")[0].number()), ("Y", 1));
    peer.tell(&execution("E0", "1", "1", "10", &[]));
    assert_eq!(peer.answer("E0", 0).word("outcome"), "duplicate");
    peer.log_out();
    assert_eq!(position(&host).0, "41");
    host.stop();
}

#[test]
fn quickfix_resumes_with_a_host_that_was_killed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let mut serving = host(dir.path(), port);
    let Some(mut peer) = Peer::start(port, &dir.path().join("store"), "QF4", 30) else { return };
    peer.log_on();
    let mut trades = 0;
    for round in 1..=3 {
        // A hundred trades of which some are answered, some are on their way, and some are sent to nobody.
        for trade in trades..trades + 100 {
            peer.tell(&execution(&format!("K{trade}"), "1", "1", "10", &[]));
            if trade % 100 == 30 {
                peer.answer(&format!("K{}", trades + 20), 0);
                serving.kill();
                serving = host(dir.path(), port);
            }
        }
        trades += 100;
        until("a logon after the kill", || peer.count("logon") > round);
        for trade in 0..trades {
            let answer = peer.answer(&format!("K{trade}"), 0);
            let outcome = answer.word("outcome");
            assert!(outcome == "applied" || outcome == "duplicate", "{answer:?}");
        }
        assert_eq!(position(&serving).0, trades.to_string(), "each once, round {round}");
    }
    // The session went on: nobody reset, nobody was told that a number was too low.
    for logon in peer.sent("A").iter().chain(&peer.got("A")) {
        assert_eq!(logon.get(141), "", "{logon:?}");
    }
    assert!(peer.got("5").is_empty(), "{:?}", peer.got("5"));
    peer.log_out();
    peer.assert_content();
    serving.stop();
}
