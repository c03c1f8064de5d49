//! The HTTP door of an embedded host, asked by a plain client.

// The document of a position is one literal, a field a step.
#![recursion_limit = "256"]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lotbook_core::command::Side;
use lotbook_gateway::http::{Health, HttpServer, HttpState, serve};
use lotbook_wal::CursorClass;
use serde_json::{Value, json};
use support::{DAY, E8, Rig};

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn ask(at: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(at).expect("the door listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.into() }
}

fn get(server: &HttpServer, path: &str) -> Answer {
    ask(server.local_addr, "GET", path)
}

fn healthy() -> Arc<dyn Fn() -> Health + Send + Sync> {
    Arc::new(Health::default)
}

fn started(rig: &Rig) -> HttpServer {
    serve(ANY_PORT.into(), HttpState::of(&rig.host, healthy())).expect("a free port")
}

#[test]
fn figures_of_one_position() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    let position = ("A1", "EUR/USD");
    rig.trade("t1", position, Side::Buy, 100, 10, (DAY, 1));
    rig.trade("t2", position, Side::Buy, 50, 13, (DAY, 2));
    rig.trade("t3", position, Side::Sell, 120, 14, (DAY, 3));
    rig.close("EUR/USD", 15 * E8);
    rig.settle();
    let server = started(&rig);
    // 100 lots of 10 and 20 of 13 were sold at 14: (4 x 100 + 1 x 20) x 50 = 21000; 30 of 13 remain.
    for path in ["/v1/positions/A1/EUR%2FUSD", "/v1/positions/A1/EUR/USD"] {
        let answer = get(&server, path);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        let mut got = answer.json();
        let as_of = got["as_of_sequence"].take();
        assert_eq!(as_of, json!(rig.host.model().published_sequence()));
        let age = got["mark"]["age_ms"].take();
        assert!(age.as_u64().expect("a number") > 1_000_000_000, "the mark is years old: {age}");
        assert_eq!(
            got,
            json!({
                "account": "A1",
                "instrument": "EUR/USD",
                "quantity": "30",
                "status": "OPEN",
                "reconciliation_status": "RECONCILED",
                "version": 3,
                "realized_pnl": "21000",
                "realized_long_term": "0",
                "realized_short_term": "21000",
                "realized_base": "21000",
                "cost": "19500",
                "base_cost": "19500",
                "unrealized_pnl": "3000",
                "average_cost": "13",
                "exposure": "22500",
                "currency": "USD",
                "last_effective_date": "2020-03-05",
                "provisional_trade_ids": [],
                "forward_quantity": "0",
                "adjustment": null,
                "uti": null,
                "mark": {"price": "15", "source": "official_close", "age_ms": null},
                "fees": "0.75",
                "dividends": "0",
                "breaks": [],
                "resolution": null,
                "break_count": 0,
                "lot_count": 1,
                "as_of_sequence": null,
                "durable": true,
                "lots": [{
                    "trade_id": "t2", "side": "long", "quantity": "30", "price": "13", "cost": "19500",
                    "base_cost": "19500", "acquired": "2020-03-05", "long_term_from": "2021-03-06", "sub_account": null,
                    "unrealized_pnl": "3000"
                }],
            })
        );
    }
    // Two late trades: the short was legal at its place until the earlier buy came. Acceptance is final,
    // so it is booked, and the position waits for a person. A forward-dated one is kept apart.
    rig.trade("t4", position, Side::SellShort, 10, 14, (DAY, 0));
    rig.trade("t0", position, Side::Buy, 5, 9, (DAY - 1, 1));
    rig.trade("t9", position, Side::Buy, 7, 9, (DAY + 1, 1));
    rig.settle();
    let got = get(&server, "/v1/positions/A1/EUR%2FUSD").json();
    assert_eq!((&got["reconciliation_status"], &got["break_count"]), (&json!("PENDING"), &json!(1)), "{got:#}");
    assert_eq!((&got["quantity"], &got["forward_quantity"]), (&json!("25"), &json!("7")));
    assert_eq!(got["provisional_trade_ids"], json!([]));
    server.stop();
    rig.host.stop().expect("a clean stop");
}

#[test]
fn a_provisional_position_says_so() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    rig.host.coldpath().pause();
    // The pause takes effect when the worker next looks at its queue.
    std::thread::sleep(Duration::from_millis(200));
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 10, 10, (DAY, 5));
    rig.trade("late", ("A1", "AAPL"), Side::SellShort, 4, 10, (DAY, 1));
    rig.trade("late-2", ("A1", "AAPL"), Side::Sell, 4, 10, (DAY, 1));
    assert!(rig.host.wait_published(Duration::from_secs(30)));
    let server = started(&rig);
    let got = get(&server, "/v1/positions/A1/AAPL").json();
    assert_eq!(got["reconciliation_status"], "PROVISIONAL");
    let ids = got["provisional_trade_ids"].as_array().expect("a list");
    assert!(ids.contains(&json!("late-2")), "{got}");
    let detailed = get(&server, "/health/detailed").json();
    assert_eq!(detailed["read_model"]["provisional_positions"], 1);
    assert_eq!(detailed["coldpath"]["queue"], 1);
    rig.host.coldpath().resume();
    rig.settle();
    let got = get(&server, "/v1/positions/A1/AAPL").json();
    assert_eq!(got["reconciliation_status"], "RECONCILED");
    assert_eq!(got["provisional_trade_ids"], json!([]));
    assert_eq!(got["mark"]["source"], "last", "an own trade is a last trade");
    assert_eq!(got["currency"], Value::Null);
}

#[test]
fn pages_hold_every_position_once_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    let mut wanted = Vec::new();
    for account in ["A/1", "A1", "A10", "A2"] {
        for instrument in ["AAPL", "BRK B", "EUR/USD", "MSFT", "Z"] {
            let id = format!("{account}-{instrument}");
            rig.trade(&id, (account, instrument), Side::Buy, 1, 1, (DAY, 1));
            wanted.push((account.to_owned(), instrument.to_owned()));
        }
    }
    rig.trade("closing", ("A1", "MSFT"), Side::Sell, 1, 2, (DAY, 2));
    rig.settle();
    let server = started(&rig);
    for limit in [1, 3, 20, 1000] {
        let (mut got, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(&server, &format!("/v1/positions?limit={limit}{after}")).json();
            let positions = page["positions"].as_array().expect("a list");
            assert!(positions.len() <= limit);
            assert!(positions.iter().all(|position| position["durable"] == true && position.get("lots").is_none()));
            let text = |position: &Value, key: &str| position[key].as_str().expect("text").to_owned();
            got.extend(positions.iter().map(|p| (text(p, "account"), text(p, "instrument"))));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(got, wanted, "limit {limit}");
    }
    for (query, count) in [
        ("account=A1", 5),
        ("account=A%2F1", 5),
        ("instrument=BRK%20B", 4),
        ("instrument=BRK+B&account=A2", 1),
        ("status=CLOSED", 1),
        ("status=OPEN", 19),
        ("status=OPEN&account=A1", 4),
        ("account=nobody", 0),
        ("account=nobody&instrument=AAPL", 0),
    ] {
        let page = get(&server, &format!("/v1/positions?{query}")).json();
        assert_eq!(page["positions"].as_array().map(Vec::len), Some(count), "{query}");
        assert_eq!(page["next"], Value::Null, "{query}");
    }
    let closed = get(&server, "/v1/positions?status=CLOSED&lots=true").json();
    let closed = &closed["positions"][0];
    assert_eq!((&closed["status"], &closed["lots"]), (&json!("CLOSED"), &json!([])));
    assert_eq!((&closed["average_cost"], &closed["exposure"]), (&json!("0"), &json!("0")));
}

#[test]
fn errors_are_problems_that_name_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    rig.settle();
    let server = started(&rig);
    for (method, path, status, kind, detail) in [
        ("GET", "/v1/positions/A1/TSLA", 404, "unknown-position", "TSLA"),
        ("GET", "/v1/positions/A9/AAPL", 404, "unknown-position", "A9"),
        ("GET", "/v1/positions/A1", 404, "unknown-path", "/v1/positions/A1"),
        ("GET", "/", 404, "unknown-path", "/"),
        ("GET", "/v1/positions/%2A/AAPL", 400, "bad-parameter", "account"),
        ("GET", "/v1/positions/A1/%FF", 400, "bad-parameter", "path"),
        ("GET", "/v1/positions?limit=many", 400, "bad-parameter", "limit"),
        ("GET", "/v1/positions?status=open", 400, "bad-parameter", "OPEN or CLOSED"),
        ("GET", "/v1/positions?colour=red", 400, "bad-parameter", "colour"),
        ("GET", "/v1/positions?after=xyz", 400, "bad-parameter", "after"),
        ("POST", "/v1/positions", 405, "method-not-allowed", "POST"),
        ("DELETE", "/v1/positions/A1/AAPL", 405, "method-not-allowed", "DELETE"),
        ("PUT", "/metrics", 405, "method-not-allowed", "PUT"),
    ] {
        let answer = ask(server.local_addr, method, path);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.head.contains("content-type: application/problem+json"), "{path}: {}", answer.head);
        let problem = answer.json();
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{path}");
        assert_eq!(problem["status"], status, "{path}");
        assert!(answer.body.contains(detail), "{path}: {}", answer.body);
        if status == 405 {
            assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
        }
    }
}

#[test]
fn health_follows_the_owner_of_the_host() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    rig.settle();
    let broken = Arc::new(AtomicBool::new(false));
    let seen = broken.clone();
    let health = move || {
        let mut health = Health::default();
        health.details.insert("fix_sessions".into(), json!([{"name": "DESK"}]));
        health.details.insert("log".into(), json!("never shown"));
        if seen.load(Ordering::Acquire) {
            health.error = Some("the shard thread panicked".into());
        }
        health
    };
    let server = serve(ANY_PORT.into(), HttpState::of(&rig.host, Arc::new(health))).expect("a free port");
    assert_eq!(get(&server, "/health/liveness").json(), json!({"alive": true}));
    assert_eq!(get(&server, "/health/readiness").json(), json!({"ready": true, "problems": []}));
    assert_eq!(get(&server, "/health").json()["status"], "ok");
    let detailed = get(&server, "/health/detailed").json();
    let last = rig.host.log().published_sequence();
    assert_eq!(detailed["log"]["durable_sequence"], last);
    assert_eq!(detailed["log"]["lag_records"], 0);
    assert_eq!(detailed["read_model"]["published_sequence"], last);
    assert_eq!(detailed["read_model"]["positions"], 1);
    assert_eq!(detailed["recovery"]["log"]["created"], true);
    assert_eq!(detailed["recovery"]["log"]["lost_from_sequence"], Value::Null);
    assert_eq!(detailed["coldpath"]["dead_letters"], json!([]));
    assert_eq!(detailed["fix_sessions"][0]["name"], "DESK");
    broken.store(true, Ordering::Release);
    let readiness = get(&server, "/health/readiness");
    assert_eq!(readiness.status, 503);
    assert_eq!(readiness.json(), json!({"ready": false, "problems": ["the shard thread panicked"]}));
    assert_eq!(get(&server, "/health").status, 503);
    assert_eq!(get(&server, "/health").json()["status"], "failing");
    assert_eq!(get(&server, "/health/detailed").status, 503);
    assert_eq!(get(&server, "/health/liveness").status, 200);
    assert_eq!(get(&server, "/v1/positions/A1/AAPL").status, 200, "reads go on");
}

/// A lost tail is loud: metric, health, and from which sequence.
#[test]
fn a_lost_tail_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    rig.settle();
    let tail = rig.host.log().tail_path().to_path_buf();
    rig.host.crash();
    std::fs::remove_file(&tail).expect("the tail of a crashed host is there");
    let rig = Rig::start(dir.path());
    let lost = rig.host.report().log.lost_from_sequence.expect("the tail was lost");
    let server = started(&rig);
    let health = get(&server, "/health").json();
    assert_eq!((&health["status"], &health["ready"]), (&json!("degraded"), &json!(true)));
    assert!(health["warnings"][0].as_str().expect("a text").contains(&format!("sequence {lost}")), "{health}");
    assert_eq!(get(&server, "/health/detailed").json()["recovery"]["log"]["lost_from_sequence"], lost);
    assert!(get(&server, "/metrics").body.contains(&format!("\nlotbook_recovery_lost_from_sequence {lost}\n")));
}

#[test]
fn metrics_are_in_the_format_and_count() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    rig.trade("t2", ("A1", "AAPL"), Side::SellShort, 1, 1, (DAY, 2));
    rig.settle();
    let server = started(&rig);
    let answer = get(&server, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    check_format(&answer.body);
    for line in [
        "lotbook_trades_total{class=\"applied\"} 1",
        "lotbook_trades_total{class=\"duplicate\"} 1",
        "lotbook_trades_total{class=\"rejected\"} 1",
        "lotbook_log_latched{log=\"main\"} 0",
        "lotbook_positions 1",
        "lotbook_dead_letters 0",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line} is not in\n{}", answer.body);
    }
    let durable = format!("lotbook_log_durable_sequence{{log=\"main\"}} {}", rig.host.log().durable_sequence());
    assert!(answer.body.contains(&durable));
    ask_promtool(&answer.body);
}

/// Who holds what, on the page and as metrics; what a start needs is held by the host itself.
#[test]
fn retention_names_holders() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.trade("t1", ("A1", "AAPL"), Side::Buy, 1, 1, (DAY, 1));
    rig.settle();
    let log = rig.host.log();
    let last = log.durable_sequence();
    let mut sink = log.cursor("sink.pg", CursorClass::Required).expect("a new cursor");
    sink.advance_to(last - 1).expect("durable");
    let server = started(&rig);
    let page = get(&server, "/v1/retention").json();
    assert_eq!(page["warnings"], json!([]));
    let main = &page["logs"][0];
    assert_eq!((&main["log"], &main["archive"], &main["alert"]), (&json!("main"), &Value::Null, &json!("none")));
    assert_eq!((&main["closed"], &main["problems"]), (&json!(false), &json!([])));
    let cursors = main["cursors"].as_array().expect("a list");
    assert_eq!(cursors.iter().map(|cursor| &cursor["name"]).collect::<Vec<_>>(), ["checkpoint", "sink.pg"]);
    let sink = &cursors[1];
    assert_eq!((&sink["class"], &sink["sequence"]), (&json!("required"), &json!(last - 1)), "{sink}");
    assert_eq!(sink["lag_records"], 1);
    let segment = &main["segments"][0];
    assert_eq!(segment["held_by"], json!(["checkpoint", "sink.pg"]));
    assert_eq!((&segment["form"], &segment["sealed"]), (&json!("plain"), &json!(false)));
    assert_eq!(page["logs"][1]["cursors"][0]["name"], "bodies");
    let metrics = get(&server, "/metrics").body;
    for line in [
        "lotbook_log_cursor_lag_records{log=\"main\",cursor=\"sink.pg\",class=\"required\"} 1",
        "lotbook_log_segments_dropped_total{log=\"main\"} 0",
        "lotbook_log_bytes{log=\"main\",class=\"packed\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    // How many are prepared ahead by now is nobody's promise.
    assert!(metrics.contains("\nlotbook_log_cursor_segments{log=\"side\",cursor=\"bodies\",class=\"required\"} "));
}

/// Every sample has its family before it, families are whole and named once, counters say so.
fn check_format(page: &str) {
    let (mut family, mut kind) = (String::new(), String::new());
    let mut families = Vec::new();
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!families.contains(&name.to_owned()), "{name} comes twice");
            assert!(!help.is_empty() && !help.contains('\\'));
            families.push(name.into());
            family = name.into();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').expect("a type");
            assert_eq!(name, family, "the type follows the help");
            assert!(["counter", "gauge", "histogram"].contains(&of));
            assert_eq!(of == "counter", name.ends_with("_total"), "{name}");
            kind = of.into();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest));
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|suffix| name == format!("{family}{suffix}")), "{line} in {family}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{line}");
            assert!(labels.is_empty() || labels.ends_with("\"}"), "{line}");
            assert!(value.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{line}");
        }
    }
    assert!(families.len() > 20);
    // Buckets never fall, and the last one is the count.
    let mut below = 0;
    for line in
        page.lines().filter(|line| line.contains("log=\"main\"") && line.starts_with("lotbook_log_flush_seconds_"))
    {
        let value = line.rsplit_once(' ').expect("a sample").1;
        if line.contains("_bucket{") {
            let value: u64 = value.parse().expect("a count");
            assert!(value >= below, "{line}");
            below = value;
        } else if line.contains("_count{") {
            assert_eq!(value, below.to_string());
        }
    }
    assert!(below > 0, "something was flushed");
}

fn ask_promtool(page: &str) {
    let mut command = Process::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("promtool was not asked, the format was checked here alone: {error}");
            return;
        }
    };
    child.stdin.take().expect("piped").write_all(page.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_busy_port_and_a_wide_address_are_errors_at_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = Rig::start(dir.path());
    let server = started(&rig);
    let busy = serve(server.local_addr, HttpState::of(&rig.host, healthy())).expect_err("the port is taken");
    assert_eq!(busy.kind(), std::io::ErrorKind::AddrInUse);
    let wide = serve(([0, 0, 0, 0], 0).into(), HttpState::of(&rig.host, healthy())).expect_err("not loopback");
    assert_eq!(wide.kind(), std::io::ErrorKind::InvalidInput);
    let at = server.local_addr;
    // A connection that is open and idle does not hold the stop up.
    let idle = TcpStream::connect(at).expect("the door listens");
    let began = std::time::Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drop(idle);
    assert!(TcpStream::connect(at).is_err(), "nobody listens any more");
    let again = serve(at, HttpState::of(&rig.host, healthy())).expect("the port is free again");
    assert_eq!(get(&again, "/health").status, 200);
}
