//! The regulatory trades against the engine's own answer: every accepted trade once, as amended; enriched when the reference comes; a
//! refused one parked, and nothing stopped by it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lotbook_tests::postgres::{Postgres, USER};
use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served};
use serde_json::{Value, json};

use crate::drive::{DATABASE, Desk, archive, place, post, until_projected, verify};

fn server() -> Postgres {
    let server = Postgres::start();
    server.run("postgres", &format!("CREATE DATABASE {DATABASE}"));
    server
}

fn send(host: &Served, lines: &[Value]) -> Value {
    let body = lines.iter().fold(String::new(), |mut body, line| {
        let _ = writeln!(body, "{line}");
        body
    });
    post(host, &body)
}

fn trade(id: &str, account: &str, instrument: &str, price: &str) -> Value {
    json!({"type": "trade", "trade_id": id, "account": account, "instrument": instrument, "side": "buy", "quantity": "10",
        "price": price, "effective_date": "2020-03-02", "executed_at": "2020-03-02T10:00:00Z"})
}

/// What `trades` says of an execution, version by version.
fn versions(server: &Postgres, id: &str) -> String {
    let text = format!(
        "SELECT version, change, status, price, quantity, business_date, account, enrichment FROM lotbook.trades WHERE exec_id = '{id}' ORDER BY version"
    );
    server.run(DATABASE, &text)
}

fn load(place: &Place, table: &str, name: &str, text: &str) -> (i32, Value, String) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join(name);
    std::fs::write(&file, text).expect("written");
    archive(place, &["reference", table, file.to_str().expect("a path")])
}

#[test]
fn every_version_of_a_trade_is_kept() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = place.start();
    send(
        &host,
        &[
            trade("b", "A", "X", "5"),
            trade("plain", "A", "X", "1"),
            // An opening lot is no trade.
            json!({"type": "open_lot", "trade_id": "o", "account": "A", "instrument": "X", "quantity": "1", "consideration": "3",
                "acquired": "2019-01-02", "effective_date": "2020-01-02"}),
            json!({"type": "correct", "trade_id": "c1", "corrects": "b", "price": "6", "executed_at": "2020-03-03T10:00:00Z"}),
            json!({"type": "correct", "trade_id": "c2", "corrects": "b", "quantity": "11", "effective_date": "2020-04-01"}),
        ],
    );
    until_projected(&host);
    send(&host, &[json!({"type": "cancel", "trade_id": "x", "cancels": "b"})]);
    send(&host, &[json!({"type": "cancel", "trade_id": "y", "cancels": "x"})]);
    send(&host, &[json!({"type": "cancel", "trade_id": "z", "cancels": "c1"})]);
    until_projected(&host);
    let wanted = "1|NEW|LIVE|5.00000000|10.00000000|2020-03-02|A|UNENRICHED\n\
                  2|AMENDED|LIVE|6.00000000|10.00000000|2020-03-02|A|UNENRICHED\n\
                  3|AMENDED|LIVE|6.00000000|11.00000000|2020-04-01|A|UNENRICHED\n\
                  4|CANCELLED|CANCELLED|6.00000000|11.00000000|2020-04-01|A|UNENRICHED\n\
                  5|REINSTATED|LIVE|6.00000000|11.00000000|2020-04-01|A|UNENRICHED\n\
                  6|AMENDED|LIVE|5.00000000|11.00000000|2020-04-01|A|UNENRICHED";
    assert_eq!(versions(&server, "b"), wanted);
    assert_eq!(
        server.run(DATABASE, "SELECT string_agg(exec_id, ',' ORDER BY exec_id) FROM lotbook.executions"),
        "b,plain"
    );
    verify(&place);
    // Two who write one archive turn each other away: the host ends before it is made anew.
    assert!(host.process.stop().success());
    let (code, report, said) = archive(&place, &["rebuild", "--yes"]);
    assert_eq!((code, report["trade_versions"].as_i64()), (0, Some(7)), "{report:#} {said}");
    assert_eq!(versions(&server, "b"), wanted, "the log says the same again");
    // Whatever is changed behind its back is found.
    server.run(DATABASE, "ALTER TABLE lotbook.trades DISABLE TRIGGER USER");
    for (plant, words) in [
        (
            "UPDATE lotbook.trades SET price = price + 1 WHERE exec_id = 'plain'",
            "version 1 is not what the record says",
        ),
        ("UPDATE lotbook.trades SET fees = 1 WHERE exec_id = 'b' AND version = 6", "is not what the amendments make"),
        (
            "UPDATE lotbook.trades SET version = 9 WHERE exec_id = 'b' AND version = 2",
            "versions are missing or doubled",
        ),
        ("DELETE FROM lotbook.trades WHERE exec_id = 'plain'", "no row"),
    ] {
        server.run(DATABASE, plant);
        let (code, report, said) = archive(&place, &["verify"]);
        let wrong = report["trades"]["wrong"].to_string();
        assert!(code == 1 && wrong.contains(words), "{plant}: {code} {wrong} {said}");
    }
}

#[test]
fn trades_follow_a_desk_over_killed_servers() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let mut server = server();
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = place.start();
    let mut desk = Desk::default();
    for _ in 0..3 {
        desk.send(&host, 400);
        server.kill();
        desk.send(&host, 200);
        server.go_on();
    }
    until_projected(&host);
    verify(&place);
    let cancelled = "SELECT count(*) > 0 FROM lotbook.trades_enriched WHERE status = 'CANCELLED'";
    assert_eq!(server.run(DATABASE, cancelled), "t", "some were");
    // As many as the engine has accepted: every answer says what became of its line.
    let accepted = "SELECT count(*) FROM lotbook.event_store WHERE event_type IN ('TradeApplied', 'ProvisionalTradeApplied', \
                    'ForwardTradeAccepted')";
    let trades = server.run(DATABASE, "SELECT count(*) FROM lotbook.trades_enriched");
    assert_eq!(server.run(DATABASE, accepted), trades);
    println!("{trades} trades over 3 killed servers");
}

#[test]
fn what_lacks_its_reference_is_written_and_enriched_when_it_comes() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = place.start();
    let mut later = trade("t2", "A", "X", "5");
    later["effective_date"] = "2020-06-01".into();
    later["sub_account"] = "ALPHA".into();
    send(&host, &[trade("t1", "A", "X", "5"), later, trade("t3", "B", "Y", "5")]);
    until_projected(&host);
    let (code, report, said) = archive(&place, &["unenriched"]);
    assert_eq!((code, report["count"].as_i64()), (1, Some(3)), "{said}");
    let first = &report["trades"][0];
    assert_eq!((&first["exec_id"], &first["missing"]), (&json!("t1"), &json!(["account", "security"])), "{report:#}");

    let (code, _, said) =
        load(&place, "securities", "s.csv", "instrument,valid_from,name,cusip,isin\nX,2020-01-01,Ex,037833101,\n");
    assert!(code == 2 && said.contains("line 2") && said.contains("CUSIP"), "{code} {said}");
    let securities =
        "instrument,valid_from,name,cusip,isin\nX,2020-01-01,Ex,037833100,US0378331005\nY,2021-01-01,\"Why, Inc\",,\n";
    assert_eq!(load(&place, "securities", "s.csv", securities).0, 0);
    let accounts = "{\"account\":\"A\",\"valid_from\":\"2020-01-01\",\"trader_id\":\"T1\",\"strategy_id\":\"BETA\"}\n";
    assert_eq!(load(&place, "accounts", "a.jsonl", accounts).0, 0);
    let traders = "trader_id,valid_from,name,mpid,ended\nT1,2020-01-01,Jo,ABCD,\nT1,2020-05-01,Joanna,ABCE,\n";
    assert_eq!(load(&place, "traders", "t.csv", traders).0, 0);
    let strategies = "strategy_id,valid_from,name,desk\nALPHA,2020-01-01,Alpha,D1\nBETA,2020-01-01,Beta,D2\n";
    assert_eq!(load(&place, "strategies", "y.csv", strategies).0, 0);
    let lacking = "SELECT string_agg(exec_id, ',' ORDER BY exec_id) FROM lotbook.trades_unenriched";
    let deadline = Instant::now() + PATIENCE;
    while server.run(DATABASE, lacking) != "t3" {
        assert!(Instant::now() < deadline, "t1 and t2 are enriched, t3 is not: {}", server.run(DATABASE, lacking));
        std::thread::sleep(Duration::from_millis(20));
    }
    let enriched = "SELECT exec_id, change, trader_id, trader_name, trader_mpid, strategy_id, desk, security_name, cusip, isin \
                    FROM lotbook.trades_enriched WHERE exec_id <> 't3' ORDER BY exec_id";
    let wanted = "t1|ENRICHED|T1|Jo|ABCD|BETA|D2|Ex|037833100|US0378331005\n\
                  t2|ENRICHED|T1|Joanna|ABCE|ALPHA|D1|Ex|037833100|US0378331005";
    assert_eq!(server.run(DATABASE, enriched), wanted);
    // What is known is there at once, by its date.
    let mut more = trade("t4", "A", "Y", "5");
    more["effective_date"] = "2021-02-01".into();
    send(&host, &[more]);
    until_projected(&host);
    let at_once =
        server.run(DATABASE, "SELECT version, change, security_name FROM lotbook.trades WHERE exec_id = 't4'");
    assert_eq!(at_once, "1|NEW|Why, Inc");
    let first = server
        .run(DATABASE, "SELECT change, enrichment, missing FROM lotbook.trades WHERE exec_id = 't1' AND version = 1");
    assert_eq!(first, "NEW|UNENRICHED|{account,security}", "what was said at first stays");
    verify(&place);
}

#[test]
fn a_refused_trade_is_parked_and_nothing_else_stops() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, DATABASE), "");
    assert_eq!(archive(&place, &["migrate"]).0, 0);
    server.run(DATABASE, "ALTER TABLE lotbook.trades ADD CONSTRAINT no_thirteen CHECK (price <> 13)");
    let host = place.start();
    let mut lines: Vec<Value> = (0..200).map(|number| trade(&format!("t{number}"), "A", "X", "5")).collect();
    lines[77] = trade("bad", "A", "X", "13");
    lines[140] = trade("worse", "B", "X", "13");
    lines.push(json!({"type": "correct", "trade_id": "c", "corrects": "bad", "quantity": "3"}));
    lines.push(json!({"type": "correct", "trade_id": "d", "corrects": "t1", "price": "13"}));
    send(&host, &lines);
    until_projected(&host);
    let (code, report, said) = archive(&place, &["verify"]);
    assert_eq!((code, &report["differences_count"]), (1, &json!(0)), "event_store has all: {said}");
    let parked = report["trades"]["wrong"].as_array().expect("a list");
    assert_eq!(parked.len(), 4, "{report:#}");
    assert!(
        parked[0].as_str().is_some_and(|words| words.contains("after 3 tries") && words.contains("no_thirteen")),
        "{report:#}"
    );
    assert_eq!(report["trades"]["trades"], 198, "{report:#}");
    let (code, left, said) = archive(&place, &["retry"]);
    assert_eq!((code, &left["taken"]), (1, &json!(0)), "the cause is still there: {left:#} {said}");
    server.run(DATABASE, "ALTER TABLE lotbook.trades DROP CONSTRAINT no_thirteen");
    let (code, left, said) = archive(&place, &["retry"]);
    assert_eq!((code, left), (0, json!({"taken": 4, "left": []})), "{said}");
    verify(&place);
    let wanted = "1|NEW|LIVE|13.00000000|10.00000000|2020-03-02|A|UNENRICHED\n2|AMENDED|LIVE|13.00000000|3.00000000|2020-03-02|A|UNENRICHED";
    assert_eq!(versions(&server, "bad"), wanted);
    assert!(host.process.stop().success());
}

#[test]
fn parts_are_made_ahead_and_again() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = place.start();
    let dated = |id: &str, date: &str| {
        let mut line = trade(id, "A", "X", "5");
        line["effective_date"] = date.into();
        line
    };
    let dates = ["0001-01-01", "1999-12-31", "2000-01-01", "2020-02-29", "2099-12-31", "2100-01-01", "9999-12-31"];
    let lines: Vec<Value> = dates.iter().map(|date| dated(&format!("t{date}"), date)).collect();
    send(&host, &lines);
    until_projected(&host);
    let parts = "SELECT string_agg(t.business_date || ' ' || c.relname, ',' ORDER BY t.business_date) FROM lotbook.trades t \
                 JOIN pg_class c ON c.oid = t.tableoid";
    let wanted = "0001-01-01 trades_before_2000,1999-12-31 trades_before_2000,2000-01-01 trades_2000_01,2020-02-29 trades_2020_02,\
                  2099-12-31 trades_2099_12,2100-01-01 trades_from_2100,9999-12-31 trades_from_2100";
    assert_eq!(server.run(DATABASE, parts), wanted);
    let ahead = "SELECT bool_and(to_regclass('lotbook.trades_' || to_char(now() + make_interval(months => m), 'YYYY_MM')) IS NOT NULL) \
                 FROM generate_series(0, 2) m";
    assert_eq!(server.run(DATABASE, ahead), "t", "this month and the next ones are there before any trade is");
    verify(&place);
    let as_role = |role: &str, sql: &str| server.psql(DATABASE, &format!("SET ROLE {role}; {sql}"));
    for (role, sql, refusal) in [
        ("lotbook_reader", "INSERT INTO lotbook.ref_loads (what, row_count) VALUES ('x', 0)", "permission denied"),
        ("lotbook_reader", "SELECT lotbook.make_trade_partition(DATE '2033-01-01')", "permission denied"),
        ("lotbook_writer", "UPDATE lotbook.trades SET price = 1", "permission denied"),
        ("lotbook_writer", "DELETE FROM lotbook.executions", "permission denied"),
        (USER, "UPDATE lotbook.trades SET price = 1", "append-only: UPDATE"),
        (USER, "DELETE FROM lotbook.trades", "append-only: DELETE"),
        (USER, "TRUNCATE lotbook.trades", "append-only: TRUNCATE"),
        (USER, "TRUNCATE lotbook.trades_2020_02", "append-only: TRUNCATE"),
        (USER, "UPDATE lotbook.trade_amendments SET sequence = 1", "append-only: UPDATE"),
    ] {
        let answer = as_role(role, sql);
        let nothing = sql.contains("trade_amendments") && answer.is_ok();
        assert!(nothing || answer.as_ref().is_err_and(|said| said.contains(refusal)), "{role} {sql}: {answer:?}");
    }
    let undescribed = server.run(
        DATABASE,
        "SELECT string_agg(c.relname || '.' || a.attname, ',') FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'lotbook' AND c.relkind IN ('r', 'p') \
         AND NOT c.relispartition AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL",
    );
    assert_eq!(undescribed, "", "every column says what it is");
}
