//! An estimate goes by no other name: wherever a figure leaves the host while its position awaits a replay, it says PROVISIONAL, and what is
//! reported to authorities (closed periods, wash sales) is not made of it at all.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use lotbook_core::command::{Command, NameClass, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::NO_NAME;
use lotbook_core::rules::{ContractTerms, LotMethod, Rules, WashSale};
use lotbook_core::wide_event::LockInput;
use lotbook_engine::Status;
use lotbook_engine::wash::{NoView, wash_sales};
use lotbook_gateway::http::{Health, HttpServer, HttpState, serve};
use serde_json::Value;
use support::{DAY, Rig};

const PATIENCE: Duration = Duration::from_secs(60);

fn get(server: &HttpServer, path: &str) -> Value {
    let mut stream = TcpStream::connect(server.local_addr).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains(" 200 "), "{path}: {text}");
    serde_json::from_str(body).expect("JSON")
}

/// Closes A2, A1 or all accounts: what is said.
fn closed(rig: &mut Rig, account: &str) -> (Status, Reason) {
    let account = if account == "*" { NO_NAME } else { rig.name(NameClass::Account, account) };
    let answer = rig.ask(Command::PeriodLock(LockInput { account, through: Date(DAY) }));
    (answer.status, answer.reason)
}

/// The status of A1/AAPL wherever it is shown.
fn statuses(server: &HttpServer, now: u64) -> Vec<(String, Value)> {
    let mut shown = Vec::new();
    let one = [
        "/v1/positions/A1/AAPL".to_owned(),
        format!("/v1/positions/A1/AAPL?known_at={now}"),
        format!("/v1/positions/A1/AAPL?known_at={now}&as_of=2020-01-01"),
    ];
    for path in one {
        let document = get(server, &path);
        shown.push((path, document["reconciliation_status"].clone()));
    }
    let list = "/v1/positions?account=A1&lots=true";
    shown.push((list.to_owned(), get(server, list)["positions"][0]["reconciliation_status"].clone()));
    shown
}

#[test]
fn no_figure_of_an_estimate_leaves_without_its_name_and_none_is_reported() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    let (contract, instrument) = (rig.name(NameClass::Contract, "taxed"), rig.name(NameClass::Instrument, "AAPL"));
    let rules = Rules { method: LotMethod::Fifo, allow_short: true, wash_sale: WashSale::Account, ..Rules::DEFAULT };
    let terms = ContractTerms { contract, account: NO_NAME, instrument, rules, effective_date: Date(1) };
    rig.ask(Command::Contract(terms));
    let server =
        serve(([127, 0, 0, 1], 0).into(), HttpState::of(&rig.host, Arc::new(Health::default))).expect("a port");
    rig.trade("bought", ("A1", "AAPL"), Side::Buy, 10, 10, (DAY, 5));
    rig.trade("sold", ("A1", "AAPL"), Side::Sell, 3, 8, (DAY, 6));
    rig.trade("other", ("A2", "AAPL"), Side::Buy, 3, 8, (DAY, 6));
    rig.settle();
    rig.host.coldpath().pause();
    let late = rig.trade("late", ("A1", "AAPL"), Side::Buy, 4, 9, (DAY, 1));
    assert_eq!(late.status, Status::Trade(Class::Provisional));
    assert!(rig.host.wait_published(PATIENCE));
    assert!(rig.host.log().wait_durable(late.sequence, PATIENCE).expect("no latch"));

    for (path, status) in statuses(&server, late.sequence) {
        assert_eq!(status, "PROVISIONAL", "{path}");
    }
    let audited = get(&server, "/v1/audit?trade_id=late");
    let event = &audited["events"][0];
    assert_eq!((&event["kind"], &event["outcome"]), (&"ProvisionalTradeApplied".into(), &"provisional".into()));
    for account in ["A1", "A2", "*"] {
        assert_eq!(closed(&mut rig, account), (Status::Refused, Reason::NotReconciled), "{account}");
    }
    let found = wash_sales(&rig.host).expect("a log from its beginning");
    assert!(matches!(found[0].wash, Err(NoView::Differs { ref account, .. }) if &**account == "A1"), "{found:?}");

    rig.host.coldpath().resume();
    rig.settle();
    let now = rig.host.log().published_sequence();
    for (path, status) in statuses(&server, now) {
        assert_eq!(status, "RECONCILED", "{path}");
    }
    assert!(wash_sales(&rig.host).expect("a log from its beginning").iter().all(|found| found.wash.is_ok()));
    for account in ["A1", "A2", "*"] {
        assert_eq!(closed(&mut rig, account), (Status::Done, Reason::None), "{account}");
    }
    // What it was called then it is called for ever.
    for (path, status) in statuses(&server, late.sequence).iter().filter(|(path, _)| path.contains("known_at")) {
        assert_eq!(status, "PROVISIONAL", "{path}");
    }
    server.stop();
    rig.host.stop().expect("a clean stop");
}
