//! What an operator sees and does over HTTP: held amendments, positions with breaks, and a resolution that is audited.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use lotbook_core::amend::{AmendInput, AmendKind, Changes, NO_TIME};
use lotbook_core::codec::{Decoder, kind};
use lotbook_core::command::{Command, NameClass, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Event};
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_engine::Status;
use lotbook_gateway::http::{Health, HttpServer, HttpState, Operator, serve};
use lotbook_gateway::resolver::Resolver;
use lotbook_wal::{From, Limit};
use serde_json::{Value, json};
use support::{DAY, Rig};

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const PATIENCE: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";

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

fn get(server: &HttpServer, path: &str) -> Value {
    let (status, body) = ask(server.local_addr, "GET", path, JSON, "");
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn resolve(server: &HttpServer, body: &Value) -> (u16, Value) {
    ask(server.local_addr, "POST", "/v1/resolutions", JSON, &body.to_string())
}

fn started(rig: &mut Rig) -> HttpServer {
    let door = rig.host.open_door().expect("a second door");
    let operator = Operator::new(door, Resolver::new(rig.host.directory().clone(), "lotbook"));
    let state = HttpState::of(&rig.host, Arc::new(Health::default)).with_operator(operator);
    serve(ANY_PORT.into(), state).expect("a free port")
}

fn cancel(rig: &mut Rig, id: &str, target: &str) -> Class {
    let input = AmendInput {
        amend_id: TradeId::new(id.as_bytes()).expect("short"),
        hash: TradeHash::new(b"test", id.as_bytes()),
        namespace: rig.name(NameClass::Namespace, "test"),
        kind: AmendKind::Cancel,
        target_id: TradeId::new(target.as_bytes()).expect("short"),
        target: TradeHash::new(b"test", target.as_bytes()),
        executed_at_ns: NO_TIME,
        source_order: 0,
        account: NO_NAME,
        instrument: NO_NAME,
        changes: Changes::NONE,
        user: rig.name(NameClass::User, "ann"),
        correlation: TradeId::new(b"c-1").expect("short"),
    };
    match rig.ask(Command::Amend(input)).status {
        Status::Trade(class) => class,
        other => panic!("{other:?}"),
    }
}

fn settle(rig: &Rig) {
    rig.settle();
    assert!(rig.host.wait_published(PATIENCE), "{:?}", rig.host.error());
}

fn metric(server: &HttpServer, line: &str) {
    let page = get(server, "/metrics");
    let page = page.as_str().expect("text");
    assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
}

#[test]
fn what_is_held_is_listed_until_its_target_comes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    let server = started(&mut rig);
    assert_eq!(get(&server, "/v1/amendments/held")["held"], json!([]));
    assert_eq!(cancel(&mut rig, "x1", "t1"), Class::Held);
    assert_eq!(cancel(&mut rig, "x2", "never"), Class::Held);
    rig.ask(Command::BusinessDate(Date(DAY + 1)));
    settle(&rig);
    let held = get(&server, "/v1/amendments/held");
    let list = held["held"].as_array().expect("a list");
    let sequence = list[0]["sequence"].as_u64().expect("a number");
    assert_eq!(
        list[0],
        json!({
            "trade_id": "x1", "namespace": "test", "type": "cancel", "target_id": "t1", "dates_left": 29, "user_id": "ann",
            "correlation_id": "c-1", "sequence": sequence
        })
    );
    assert_eq!(held["as_of_sequence"], rig.host.model().published_sequence());
    metric(&server, "lotbook_held_amendments 2");
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 10, 10, (DAY, 1));
    settle(&rig);
    let held = get(&server, "/v1/amendments/held");
    assert_eq!(held["held"].as_array().map(Vec::len), Some(1));
    assert_eq!(held["held"][0]["trade_id"], "x2");
    assert_eq!(get(&server, "/v1/positions/A1/AAPL")["quantity"], "0");
    for line in [
        "lotbook_amendments_total{class=\"held\"} 2",
        "lotbook_amendments_total{class=\"accepted\"} 1",
        "lotbook_held_matched_total 1",
        "lotbook_held_expired_total 0",
        "lotbook_held_amendments 1",
    ] {
        metric(&server, line);
    }
    for day in 2..32 {
        rig.ask(Command::BusinessDate(Date(DAY + day)));
    }
    // A clean stop serves what is due and would wait for nothing else.
    server.stop();
    rig.host.stop().expect("a clean stop");
    let mut rig = Rig::start(dir.path());
    let server = started(&mut rig);
    assert_eq!(get(&server, "/v1/amendments/held")["held"], json!([]));
}

#[test]
fn breaks_are_listed_and_resolved_by_a_named_person() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    // No shorts: a sale that loses its buy is a break.
    rig.trade("t1", ("A1", "EUR/USD"), Side::Buy, 10, 10, (DAY, 1));
    rig.trade("t2", ("A1", "EUR/USD"), Side::Sell, 10, 11, (DAY, 2));
    rig.trade("t3", ("A2", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    settle(&rig);
    let server = started(&mut rig);
    let line = |position: (&str, &str), version: Value| {
        json!({
            "type": "resolve", "account": position.0, "instrument": position.1, "user_id": "ops",
            "reason": "the desk has it \"so\"", "version": version, "correlation_id": "r-1"
        })
    };
    let broken = ("A1", "EUR/USD");
    let (status, problem) = resolve(&server, &line(broken, Value::Null));
    assert_eq!((status, &problem["code"]), (409, &json!("NOT_PENDING")), "{problem}");
    assert_eq!(get(&server, "/v1/positions?reconciliation=PENDING")["positions"], json!([]));
    assert_eq!(cancel(&mut rig, "x1", "t1"), Class::Provisional);
    settle(&rig);
    let page = get(&server, "/v1/positions?reconciliation=PENDING");
    assert_eq!(page["positions"].as_array().map(Vec::len), Some(1), "{page}");
    let pending = &page["positions"][0];
    assert_eq!((&pending["account"], &pending["quantity"]), (&json!("A1"), &json!("-10")));
    assert_eq!(pending["breaks"], json!([{"trade_id": "t2", "reason": "OVERSELL"}]));
    assert_eq!(pending["resolution"], Value::Null);
    metric(&server, "lotbook_pending_positions 1");
    metric(&server, "lotbook_breaks 1");
    let version = pending["version"].as_u64().expect("a number");

    for (body, status, parameter) in [
        (json!({"type": "resolve"}), 400, "account"),
        (json!({"type": "resolve", "account": "A1", "instrument": "EUR/USD", "user_id": "ops"}), 400, "reason"),
        (json!({"type": "resolve", "account": "A1", "instrument": "EUR/USD", "reason": "so"}), 400, "user_id"),
        (json!({"type": "business_date", "date": "2026-01-01"}), 400, "type"),
        (json!([]), 400, "body"),
    ] {
        let (got, problem) = resolve(&server, &body);
        assert_eq!((got, &problem["parameter"]), (status, &json!(parameter)), "{body}: {problem}");
    }
    let (status, problem) = ask(server.local_addr, "POST", "/v1/resolutions", "text/plain", "{}");
    assert_eq!((status, &problem["type"]), (415, &json!("/problems/wrong-type")), "{problem}");
    let (status, problem) = ask(server.local_addr, "GET", "/v1/resolutions", JSON, "");
    assert_eq!((status, &problem["type"]), (405, &json!("/problems/method-not-allowed")), "{problem}");
    for nobody in [("A1", "nothing"), ("nobody", "AAPL"), ("A2", "EUR/USD")] {
        let (status, problem) = resolve(&server, &line(nobody, Value::Null));
        assert_eq!((status, &problem["type"]), (404, &json!("/problems/unknown-position")), "{problem}");
    }
    assert_eq!(rig.host.directory().find(NameClass::Account, "nobody"), None, "asking defines nothing");
    let (status, problem) = resolve(&server, &line(broken, json!(version + 1)));
    assert_eq!((status, &problem["code"]), (409, &json!("VERSION_MOVED")), "{problem}");

    let (status, resolved) = resolve(&server, &line(broken, json!(version)));
    assert_eq!(status, 200, "{resolved}");
    let sequence = resolved["sequence"].as_u64().expect("a number");
    let wanted = json!({"account": "A1", "instrument": "EUR/USD", "version": version + 1, "sequence": sequence});
    assert_eq!(resolved, wanted);
    assert!(rig.host.log().durable_sequence() >= sequence, "it survives power loss when it is answered");
    settle(&rig);
    let found = get(&server, "/v1/positions/A1/EUR/USD");
    assert_eq!(found["reconciliation_status"], "RECONCILED");
    assert_eq!(found["breaks"], json!([{"trade_id": "t2", "reason": "OVERSELL"}]));
    assert_eq!(found["resolution"], json!({"user_id": "ops", "reason": "the desk has it \"so\""}));
    metric(&server, "lotbook_pending_positions 0");
    metric(&server, "lotbook_breaks 1");
    // The log has who, why and which breaks.
    let mut reader = rig.host.log().reader(From::Sequence(sequence)).expect("the record");
    let record = reader.next(Limit::Applied).expect("sound").expect("there");
    assert_eq!(record.header.kind, kind::RESOLVED);
    let mut decoder = Decoder::new();
    let event = decoder.decode(record.header.kind, record.header.version, record.payload).expect("an event");
    let Event::Resolved(event) = event else { panic!("{event:?}") };
    assert_eq!((event.input.note.as_str(), event.input.correlation.as_str()), ("the desk has it \"so\"", "r-1"));
    assert_eq!(event.input.user, rig.name(NameClass::User, "ops"));
    assert_eq!(event.breaks, 1);
    // It holds over a restart.
    server.stop();
    rig.host.crash();
    let mut rig = Rig::start(dir.path());
    let server = started(&mut rig);
    assert_eq!(get(&server, "/v1/positions/A1/EUR/USD")["resolution"]["user_id"], "ops");
    metric(&server, "lotbook_breaks 1");
}

#[test]
fn without_a_way_to_the_shard_nothing_is_taken() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    settle(&rig);
    let server = serve(ANY_PORT.into(), HttpState::of(&rig.host, Arc::new(Health::default))).expect("a free port");
    let body = json!({"type": "resolve", "account": "A1", "instrument": "AAPL", "user_id": "ops", "reason": "so"});
    let (status, problem) = resolve(&server, &body);
    assert_eq!((status, &problem["type"]), (503, &json!("/problems/unavailable")), "{problem}");
    let (status, problem) =
        ask(server.local_addr, "POST", "/v1/resolutions", JSON, &format!("{{\"reason\":\"{}\"}}", "x".repeat(5_000)));
    assert_eq!((status, &problem["type"]), (413, &json!("/problems/too-large")), "{problem}");
}

/// Paused, resumed, resized and asked to retry over HTTP; what cannot be meant is refused.
#[test]
fn the_coldpath_is_looked_after() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    let server = started(&mut rig);
    let tell = |body: &str| ask(server.local_addr, "POST", "/v1/coldpath", JSON, body);
    let (status, paused) = tell(r#"{"do": "pause"}"#);
    assert_eq!((status, &paused["paused"]), (200, &json!(true)));
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 10, 10, (DAY, 5));
    rig.trade("late", ("A1", "AAPL"), Side::Buy, 4, 10, (DAY, 1));
    assert!(rig.host.wait_published(PATIENCE), "{:?}", rig.host.error());
    let got = get(&server, "/v1/coldpath");
    assert_eq!((&got["queue"], &got["busy"], &got["dead_letters"]), (&json!(1), &json!(0), &json!([])));
    assert_eq!((&got["level"], &got["corrections"]), (&json!("calm"), &json!(0)));
    let health = get(&server, "/health");
    assert!(health["warnings"].as_array().expect("a list").contains(&json!("the coldpath is paused")), "{health}");
    assert_eq!(tell(r#"{"do": "resize", "workers": 3}"#).1["workers"], 3);
    assert_eq!(tell(r#"{"do": "resume"}"#).1["paused"], false);
    settle(&rig);
    let got = get(&server, "/v1/coldpath");
    assert_eq!((&got["queue"], &got["corrections"]), (&json!(0), &json!(1)));
    assert_eq!(tell(r#"{"do": "retry"}"#).1["retried"], 0);
    assert_eq!(tell(r#"{"do": "retry", "account": "A1", "instrument": "AAPL"}"#).1["retried"], 0);
    for (body, status) in [
        (r#"{"do": "retry", "account": "A1", "instrument": "NONE"}"#, 404),
        (r#"{"do": "retry", "account": "A1"}"#, 400),
        (r#"{"do": "resize", "workers": 0}"#, 400),
        (r#"{"do": "resize"}"#, 400),
        (r#"{"do": "explode"}"#, 400),
        ("", 400),
    ] {
        assert_eq!(tell(body).0, status, "{body}");
    }
    assert_eq!(ask(server.local_addr, "POST", "/v1/coldpath", "text/plain", r#"{"do": "pause"}"#).0, 415);
    metric(&server, "lotbook_coldpath_paused 0");
    server.stop();
    rig.host.stop().expect("a clean stop");
}
