//! Inputs that did not come in: kept as they came before their sender is told, shown, corrected and sent again, given up.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lotbook_core::date::Date;
use lotbook_core::rules::Rules;
use lotbook_gateway::fix::acceptor::AcceptorConfig;
use lotbook_gateway::fix::encode::AckPolicy;
use lotbook_gateway::fix::frame::check_sum;
use lotbook_gateway::http::{Health, HttpServer, HttpState, Operator, serve};
use lotbook_gateway::office::controls::{Given, Order, Scope};
use lotbook_gateway::office::{OPEN_ALERT, Office, OfficeTerms, Refused, letter::Form};
use lotbook_gateway::resolver::Resolver;
use lotbook_gateway::server::{Defaults, Server};
use lotbook_wal::Retention;
use serde_json::{Value, json};
use support::Rig;

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const PATIENCE: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn ask(at: SocketAddr, method: &str, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(at).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
}

/// A host with its HTTP door and an office in a directory of its own.
struct Desk {
    rig: Rig,
    office: Arc<Office>,
    server: HttpServer,
}

impl Desk {
    fn new(dir: &Path) -> Self {
        let mut rig = Rig::start(dir);
        let terms = OfficeTerms::default();
        let office = Office::open(dir, Some(dir), &Retention::default(), terms).expect("the office opens");
        let office = Arc::new(office);
        let door = rig.host.open_door().expect("a second door");
        let operator = Operator::new(door, Resolver::new(rig.host.directory().clone(), "lotbook"));
        let mut state = HttpState::of(&rig.host, Arc::new(Health::default)).with_operator(operator);
        state.office = Some(office.clone());
        let server = serve(ANY_PORT.into(), state).expect("a free port");
        Self { rig, office, server }
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = ask(self.server.local_addr, "GET", path, JSON, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn post(&self, path: &str, kind: &str, body: &str) -> (u16, Value) {
        ask(self.server.local_addr, "POST", path, kind, body)
    }

    fn send(&self, line: &Value) -> (u16, Value) {
        self.post("/v1/commands", JSON, &line.to_string())
    }

    fn act(&self, letter: &Value, deed: &str, said: &Value) -> (u16, Value) {
        self.post(&format!("/v1/dead-letters/{letter}/{deed}"), JSON, &said.to_string())
    }

    fn open(&self) -> usize {
        self.office.tally().open
    }

    fn end(self) {
        self.server.stop();
        self.office.close().expect("the office closes");
        self.rig.host.stop().expect("a clean stop");
    }
}

fn trade(id: &str, quantity: &str) -> Value {
    json!({"type": "trade", "trade_id": id, "account": "A1", "instrument": "AAPL", "side": "buy", "quantity": quantity,
        "price": "10", "effective_date": "2020-01-02", "correlation_id": "c-7"})
}

fn by(reason: &str) -> Value {
    json!({"user_id": "ann", "reason": reason})
}

#[test]
fn a_refused_trade_is_corrected_and_comes_in_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = Desk::new(dir.path());
    let (status, problem) = desk.send(&trade("t1", "0"));
    assert_eq!((status, &problem["code"]), (409, &json!("BAD_QUANTITY")), "{problem}");
    let letter = problem["dead_letter"].clone();
    let shown = desk.get(&format!("/v1/dead-letters/{letter}"));
    let fields = ["state", "class", "code", "source", "trade_id", "account", "instrument", "correlation_id", "tries"];
    let want = [
        json!("open"),
        json!("Validation"),
        json!("BAD_QUANTITY"),
        json!("http"),
        json!("t1"),
        json!("A1"),
        json!("AAPL"),
        json!("c-7"),
        json!(1),
    ];
    assert_eq!(fields.map(|field| shown[field].clone()), want, "{shown}");
    assert_eq!(shown["raw"], trade("t1", "0").to_string());
    assert!(shown["sequence"].as_u64().is_some_and(|sequence| sequence > 0), "the refusal's event: {shown}");

    // The same bytes again are one more try.
    assert_eq!(desk.send(&trade("t1", "0")).1["dead_letter"], letter);
    assert_eq!(desk.get(&format!("/v1/dead-letters/{letter}"))["tries"], 2);
    // As it came it is refused again, with what is wrong with it now.
    let (status, problem) = desk.act(&letter, "resubmit", &by("try again"));
    assert_eq!(
        (status, &problem["code"], &problem["dead_letter"]),
        (409, &json!("BAD_QUANTITY"), &letter),
        "{problem}"
    );
    // Corrected it comes in under its own id, which the refusals have not consumed.
    let mut said = by("the quantity was left out");
    said["line"] = trade("t1", "5");
    let (status, done) = desk.act(&letter, "resubmit", &said);
    assert_eq!(
        (status, &done["state"], &done["result"]["outcome"]),
        (200, &json!("resubmitted"), &json!("applied")),
        "{done}"
    );
    let whats: Vec<&str> =
        done["deeds"].as_array().expect("deeds").iter().filter_map(|deed| deed["what"].as_str()).collect();
    assert_eq!(whats, ["repeated", "sent", "refused", "sent", "taken"]);
    assert_eq!(done["deeds"][3]["user_id"], "ann");
    assert_eq!(done["deeds"][4]["sequence"], done["result"]["sequence"]);
    // Its event carries the letter's correlation and who sent it.
    let events = desk.get("/v1/audit?trade_id=t1&correlation_id=c-7&user_id=ann");
    assert_eq!(events["events"].as_array().map(Vec::len), Some(2), "{events}");
    // Once: the letter is done with, and the id is taken.
    let (status, problem) = desk.act(&letter, "resubmit", &said);
    assert_eq!((status, &problem["code"]), (409, &json!("DEAD_LETTER_NOT_OPEN")), "{problem}");
    let (status, again) = desk.send(&trade("t1", "5"));
    assert_eq!((status, &again["outcome"]), (200, &json!("duplicate")), "{again}");
    assert!(again.get("dead_letter").is_none(), "{again}");
    // Another content under the same id is a conflict, and a letter.
    let (status, problem) = desk.send(&trade("t1", "6"));
    assert_eq!((status, &problem["code"]), (409, &json!("ID_CONFLICT")), "{problem}");
    assert_eq!(
        desk.get("/v1/dead-letters?code=ID_CONFLICT&class=Validation")["dead_letters"][0]["dead_letter"],
        problem["dead_letter"]
    );
    assert_eq!(desk.open(), 1);
    desk.end();
}

#[test]
fn what_cannot_be_read_is_kept_as_it_came() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = Desk::new(dir.path());
    let bad = "{\"type\":\"trade\",\"trade_id\":\"q\"}";
    let body = format!("{}\n{bad}\n", trade("never", "1"));
    let (status, problem) = desk.post("/v1/commands", LINES, &body);
    assert_eq!((status, &problem["code"]), (400, &json!("MISSING_FIELD")), "{problem}");
    let letter = problem["dead_letter"].clone();
    let shown = desk.get(&format!("/v1/dead-letters/{letter}"));
    assert_eq!((&shown["raw"], &shown["class"]), (&json!(bad), &json!("Deserialization")), "{shown}");
    assert_eq!((&shown["source_offset"], &shown["sequence"]), (&json!(2), &json!(0)), "{shown}");
    assert!(shown["correlation_id"].as_str().is_some_and(|id| id.ends_with("@lotbook")), "{shown}");
    // Bytes that are no text.
    let mut stream = TcpStream::connect(desk.server.local_addr).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let head = "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n";
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&[0xff, 0xfe, b'{'])).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let page = desk.get(&format!("/v1/dead-letters?after={letter}"));
    let last = page["dead_letters"][0]["dead_letter"].clone();
    assert_eq!(desk.get(&format!("/v1/dead-letters/{last}"))["raw_hex"], "fffe7b");

    // Nothing can be done without saying who and why, and nothing with what is not there.
    for (path, said, want) in [
        (format!("/v1/dead-letters/{letter}/discard"), json!({"user_id": "ann"}), 400),
        (format!("/v1/dead-letters/{letter}/discard"), json!({"user_id": "ann", "reason": " "}), 400),
        (format!("/v1/dead-letters/{letter}/discard"), json!({"user_id": "", "reason": "r"}), 400),
        (format!("/v1/dead-letters/{letter}/resubmit"), by("it stays unreadable"), 400),
        (format!("/v1/dead-letters/{letter}/burn"), by("r"), 404),
        ("/v1/dead-letters/4711/discard".to_owned(), by("r"), 404),
        ("/v1/dead-letters/x/discard".to_owned(), by("r"), 400),
    ] {
        let (status, problem) = desk.post(&path, JSON, &said.to_string());
        assert_eq!(status, want, "{path} {said}: {problem}");
    }
    assert_eq!(desk.post(&format!("/v1/dead-letters/{letter}/discard"), LINES, "{}").0, 415);
    let (status, done) = desk.act(&letter, "discard", &by("a test"));
    assert_eq!((status, &done["state"]), (200, &json!("discarded")), "{done}");
    assert_eq!(done["deeds"][0]["reason"], "a test");
    assert_eq!(desk.act(&letter, "discard", &by("again")).0, 409);
    assert_eq!(desk.get("/v1/dead-letters?state=discarded")["dead_letters"].as_array().map(Vec::len), Some(1));
    for query in ["state=dead", "limit=0", "nonsense=1", "class=a&class=b"] {
        assert_eq!(
            ask(desk.server.local_addr, "GET", &format!("/v1/dead-letters?{query}"), JSON, "").0,
            400,
            "{query}"
        );
    }
    desk.end();
}

#[test]
fn a_refused_fix_message_comes_in_as_it_came_once_it_can() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = Desk::new(dir.path());
    let body =
        "35=8|49=DESK1|56=LOTBOOK|34=7|52=20200305-14:30:00|17=E1|150=F|1=A1|55=AAPL|54=2|32=4|31=12|75=20200102|";
    let body = body.replace('|', "\u{1}");
    let framed = format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len());
    let sum = framed.bytes().fold(0_u8, u8::wrapping_add);
    let raw = format!("{framed}10={sum:03}\u{1}");
    let refused = Refused {
        code: "OVERSELL",
        error: "the book refuses it",
        field: None,
        source: "LOTBOOK:DESK1",
        source_offset: 7,
        form: Form::Fix,
        namespace: Some("DESKS"),
        trade_id: Some("E1"),
        account: Some("A1"),
        instrument: Some("AAPL"),
        correlation_id: None,
        at_ns: 1,
        sequence: 3,
        raw: raw.as_bytes(),
    };
    let letter = json!(desk.office.put(&refused).expect("filed").letter);
    assert_eq!(desk.get("/v1/dead-letters?source=LOTBOOK:DESK1")["dead_letters"][0]["class"], "Processing");
    let (status, problem) = desk.act(&letter, "resubmit", &by("too early"));
    assert_eq!((status, &problem["code"]), (409, &json!("OVERSELL")), "{problem}");
    let mut buy = trade("b", "10");
    buy["effective_date"] = json!("2020-01-01");
    let (status, done) = desk.send(&buy);
    assert_eq!((status, &done["outcome"]), (200, &json!("applied")), "{done}");
    let (status, done) = desk.act(&letter, "resubmit", &by("the buy is there"));
    assert_eq!((status, &done["state"]), (200, &json!("resubmitted")), "{done}");
    assert_eq!(done["result"]["outcome"], "applied", "{done}");
    // In the session's namespace: a line of this door with the same id is another trade.
    let (status, other) = desk.send(&trade("E1", "1"));
    assert_eq!((status, &other["outcome"]), (200, &json!("applied")), "{other}");
    desk.end();
}

#[test]
fn as_many_as_is_an_alarm_are_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let desk = Desk::new(dir.path());
    let lines: String = (0..OPEN_ALERT).map(|at| format!("{}\n", trade(&format!("t{at}"), "0"))).collect();
    assert_eq!(desk.get("/health")["warnings"], json!([]));
    let (status, done) = desk.post("/v1/commands", LINES, &lines);
    assert_eq!(status, 200, "{done}");
    let numbers: Vec<u64> =
        done["results"].as_array().expect("results").iter().filter_map(|d| d["dead_letter"].as_u64()).collect();
    assert_eq!(numbers.len(), OPEN_ALERT);
    let health = desk.get("/health");
    assert!(health["warnings"][0].as_str().is_some_and(|words| words.contains("lotbook dlq list")), "{health}");
    let Value::String(metrics) = desk.get("/metrics") else { panic!("text") };
    assert!(metrics.contains(&format!("lotbook_input_dead_letters_open {OPEN_ALERT}\n")), "{metrics}");
    // Page by page, everything comes once.
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = desk.get(&format!("/v1/dead-letters?limit=33&after={after}"));
        assert_eq!((&page["open"], &page["alert"]), (&json!(OPEN_ALERT), &json!(true)));
        seen.extend(page["dead_letters"].as_array().expect("letters").iter().filter_map(|l| l["dead_letter"].as_u64()));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, numbers);
    desk.end();
}

#[test]
fn what_an_operator_has_stopped_stays_so_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let order = |more: Value| {
        let mut said = by("close");
        for (key, value) in more.as_object().expect("an object") {
            said[key] = value.clone();
        }
        said
    };
    let desk = Desk::new(dir.path());
    let give = |desk: &Desk, more: Value| desk.post("/v1/control", JSON, &order(more).to_string());
    assert_eq!(desk.get("/v1/control"), json!({"halts": [], "read_only": null, "drain": null, "orders": []}));
    let (status, standing) = give(&desk, json!({"do": "halt", "scope": "account", "name": "A1"}));
    assert_eq!(
        (status, &standing["halts"][0]["name"], &standing["halts"][0]["user_id"]),
        (200, &json!("A1"), &json!("ann"))
    );
    let (status, problem) = desk.send(&trade("t1", "5"));
    assert_eq!((status, &problem["code"]), (503, &json!("HALTED")), "{problem}");
    // Its sender is to come again: no letter, and no event.
    assert_eq!((desk.open(), desk.get("/v1/audit?trade_id=t1")["events"].as_array().map(Vec::len)), (0, Some(0)));
    let mut other = trade("t2", "5");
    other["account"] = json!("B1");
    assert_eq!(desk.send(&other).0, 200);
    let (status, done) = desk.post("/v1/commands", LINES, &format!("{}\n{other}\n", trade("t1", "5")));
    assert_eq!(
        (status, &done["results"][0]["reason"], &done["results"][1]["outcome"]),
        (503, &json!("HALTED"), &json!("duplicate"))
    );
    for (said, want) in [
        (json!({"do": "halt", "scope": "account", "name": ""}), 400),
        (json!({"do": "halt", "scope": "everybody"}), 400),
        (json!({"do": "stop"}), 400),
        (json!({"do": "halt", "scope": "all", "reason": ""}), 400),
    ] {
        assert_eq!(give(&desk, said.clone()).0, want, "{said}");
    }
    assert_eq!(give(&desk, json!({"do": "drain", "on": true})).0, 200);
    let before = desk.get("/v1/control");
    desk.end();

    let desk = Desk::new(dir.path());
    assert_eq!(desk.get("/v1/control"), before);
    let (status, ready) = ask(desk.server.local_addr, "GET", "/health/readiness", JSON, "");
    assert_eq!((status, &ready["ready"]), (503, &json!(false)), "{ready}");
    assert_eq!(desk.send(&other).1["code"], "DRAINING");
    assert_eq!(give(&desk, json!({"do": "drain", "on": false})).0, 200);
    assert_eq!(desk.send(&trade("t1", "5")).1["code"], "HALTED");
    assert_eq!(give(&desk, json!({"do": "resume", "scope": "account", "name": "A1"})).0, 200);
    let (status, done) = desk.send(&trade("t1", "5"));
    assert_eq!((status, &done["outcome"]), (200, &json!("applied")), "{done}");
    let orders = desk.get("/v1/control")["orders"].clone();
    let whats: Vec<&str> = orders.as_array().expect("orders").iter().filter_map(|order| order["do"].as_str()).collect();
    assert_eq!(whats, ["halt", "drain", "drain", "resume"]);
    desk.end();
}

/// A counterparty, by hand.
struct Peer {
    stream: TcpStream,
    seq: u64,
    read: Vec<u8>,
}

impl Peer {
    fn say(&mut self, kind: &str, fields: &str) {
        self.seq += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let (year, month, day) = Date::of_ns(since.as_nanos() as i64).ymd();
        let second = since.as_secs() % 86_400;
        let now =
            format!("{year:04}{month:02}{day:02}-{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
        let body = format!("35={kind}|49=DESK1|56=LOTBOOK|34={}|52={now}|{fields}", self.seq).replace('|', "\u{1}");
        let mut bytes = format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len()).into_bytes();
        let sum = check_sum(&bytes);
        bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
        self.stream.write_all(&bytes).expect("sent");
    }

    /// Reads until these words came.
    fn hears(&mut self, words: &str) {
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&self.read).contains(words) {
            let count = self.stream.read(&mut chunk).expect("an answer in time");
            assert!(count > 0, "{words} in {}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&chunk[..count]);
        }
        self.read.clear();
    }
}

#[test]
fn what_a_fix_session_is_refused_is_kept_before_it_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let defaults = Defaults { business_date: None, rules: Rules::DEFAULT, office: OfficeTerms::default() };
    let (server, known) = Server::start(&support::config(dir.path()), &defaults).expect("starts");
    let config = AcceptorConfig {
        listen: ANY_PORT.into(),
        comp_id: "LOTBOOK".into(),
        base_currency: None,
        ack: AckPolicy::Durable,
        sessions: Vec::new(),
        service_id: "lotbook".into(),
        schedule: None,
        access: None,
        tls: None,
    };
    let server = server.open_fix(config, known).expect("listens");
    let at = server.acceptor().expect("an acceptor").local_addr;
    let stream = TcpStream::connect(at).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut peer = Peer { stream, seq: 0, read: Vec::new() };
    peer.say("A", "98=0|108=60|");
    peer.hears("35=A");
    let trade = "150=F|1=A1|55=AAPL|54=2|32=5|31=10|75=20200102|";
    // Refused by its form, by the gate's table, and by the book.
    for (id, fields, code) in [
        ("E1", trade.replace("32=5", "32=0"), "BAD_QUANTITY"),
        ("E2", trade.replace("32=5", "32=five"), "BAD_DECIMAL"),
        ("E3", trade.replace("1=A1|", "1= A1|"), "BAD_TEXT"),
        ("E4", trade.to_owned(), "OVERSELL"),
    ] {
        peer.say("8", &format!("17={id}|{fields}"));
        peer.hears(&format!("code={code}"));
        let (letters, _) = server.office.list(0, 10, |kept| kept.letter.trade_id.as_deref() == Some(id));
        let (_, kept) = &letters[0];
        assert_eq!((kept.letter.code.as_str(), kept.letter.source_offset), (code, peer.seq), "{kept:?}");
        assert_eq!((kept.letter.form, kept.letter.source.as_str()), (Form::Fix, "LOTBOOK:DESK1"));
        assert!(kept.raw.starts_with(b"8=FIX.4.4\x01") && kept.raw.ends_with(b"\x01"), "{kept:?}");
        assert_eq!(kept.letter.sequence > 0, code == "OVERSELL", "{kept:?}");
    }
    let order = Order::Halt(Scope::Session("LOTBOOK:DESK1".into()));
    let given = Given { order, user_id: "ann".into(), reason: "a test".into(), at_ns: 1 };
    server.office.order(given).expect("taken");
    peer.say("8", &format!("17=E5|{}", trade.replace("54=2", "54=1")));
    peer.hears("code=HALTED");
    assert_eq!(server.office.tally().open, 4, "who is to come again is no letter");
    server
        .office
        .order(Given {
            order: Order::Resume(Scope::Session("LOTBOOK:DESK1".into())),
            user_id: "ann".into(),
            reason: "a test".into(),
            at_ns: 2,
        })
        .expect("taken");
    peer.say("8", &format!("17=E5|{}", trade.replace("54=2", "54=1")));
    peer.hears("outcome=applied");
    drop(peer);
    server.stop().expect("a clean stop");
}
