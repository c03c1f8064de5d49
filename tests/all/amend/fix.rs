//! Cancels and corrects through the FIX door of a host: answered as trades are, held until their target comes, kept
//! over a kill.

use lotbook_core::date::Date;
use serde_json::{Value, json};

use crate::process::{Serving, until};
use crate::wire::{Client, Incoming};

/// Sends an ExecutionReport of this ExecType about what `target` names; gives the answer.
fn amend(client: &mut Client, id: &str, exec_type: &str, target: &str, more: &[(u32, &str)]) -> Incoming {
    let mut fields = vec![(37, "O"), (17, id), (19, target), (150, exec_type), (39, "2"), (55, "AAPL"), (54, "1")];
    fields.extend_from_slice(more);
    client.send("8", &fields);
    let answer = client.answer();
    assert_eq!((answer.get(35), answer.get(571), answer.get(17)), ("AR", id, id), "{answer:?}");
    assert_eq!((answer.get(150), answer.get(572), answer.get(55)), (exec_type, target, "AAPL"), "{answer:?}");
    answer
}

/// The position when every event is published and it is reconciled.
fn position(host: &Serving) -> Value {
    let mut found = Value::Null;
    until("a reconciled position", || {
        let detailed = host.get("/health/detailed").1;
        let behind = detailed["read_model"]["published_sequence"] != detailed["log"]["published_sequence"];
        // Read after that, so that it has all that was answered.
        found = host.get("/v1/positions/ACC1/AAPL").1;
        !behind && found["reconciliation_status"] != "PROVISIONAL"
    });
    found
}

#[test]
fn cancels_and_corrects_come_through_the_fix_door() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let host = Serving::start(dir.path(), &[]);
    let mut client = Client::log_on(host.fix, "DESK");
    client.buy("T1", &[]);
    assert_eq!(client.answer().word("outcome"), "applied");
    client.buy("T2", &[]);
    assert_eq!(client.answer().word("outcome"), "applied");
    // A correct restates what it gives; the rest stays.
    let answer = amend(&mut client, "X1", "G", "T1", &[(32, "3"), (31, "11"), (1, "ACC1"), (527, "desk/1")]);
    assert_eq!(
        (answer.get(939), answer.word("outcome"), answer.get(818)),
        ("0", "provisional", "desk/1"),
        "{answer:?}"
    );
    assert_eq!(answer.get(1), "ACC1");
    let found = position(&host);
    assert_eq!((&found["quantity"], &found["cost"]), (&json!("4"), &json!("43")), "{found:#}");
    let answer = amend(&mut client, "X2", "H", "T2", &[]);
    assert_eq!((answer.get(939), answer.word("outcome"), answer.get(1)), ("0", "provisional", ""), "{answer:?}");
    let found = position(&host);
    assert_eq!((&found["quantity"], &found["cost"]), (&json!("3"), &json!("33")), "{found:#}");
    // The same again is a duplicate, other words under the same id a conflict.
    assert_eq!(amend(&mut client, "X2", "H", "T2", &[]).word("outcome"), "duplicate");
    let answer = amend(&mut client, "X2", "G", "T2", &[(32, "9")]);
    assert_eq!((answer.get(939), answer.word("code")), ("1", "ID_CONFLICT"), "{answer:?}");
    // A cancel of another instrument's is none; nor is a correct of a correct.
    client.send("8", &[(17, "X3"), (19, "T1"), (150, "H"), (55, "MSFT")]);
    assert_eq!(client.answer().word("code"), "NOT_SUPPORTED");
    assert_eq!(amend(&mut client, "X3", "G", "X1", &[(32, "9")]).word("code"), "NOT_SUPPORTED");
    // The cancel of the cancel: the trade is back.
    assert_eq!(amend(&mut client, "X4", "H", "X2", &[]).word("outcome"), "provisional");
    assert_eq!(position(&host)["quantity"], "4");
    // Before its trade.
    let answer = amend(&mut client, "X5", "G", "T9", &[(32, "7")]);
    assert_eq!((answer.get(939), answer.word("outcome")), ("0", "held"), "{answer:?}");
    host.kill();
    let host = Serving::start(dir.path(), &[]);
    let held = host.get("/v1/amendments/held").1;
    let day = position(&host)["last_effective_date"].as_str().and_then(Date::parse).expect("a date").ymd();
    assert_eq!(held["held"].as_array().map(Vec::len), Some(1), "{held:#}");
    assert_eq!(held["held"][0]["trade_id"], "X5");
    assert_eq!(held["held"][0]["target_id"], "T9");
    assert_eq!(held["held"][0]["namespace"], format!("FIX:DESK:{:04}{:02}{:02}", day.0, day.1, day.2));
    let mut client = Client::log_on(host.fix, "DESK");
    client.buy("T9", &[]);
    assert_eq!(client.answer().word("outcome"), "applied");
    let found = position(&host);
    assert_eq!((&found["quantity"], &found["cost"]), (&json!("11"), &json!("113")), "{found:#}");
    assert_eq!(host.get("/v1/amendments/held").1["held"], json!([]));
    // What is no amendment is told so, and takes no id.
    client.send("8", &[(17, "X6"), (150, "H"), (55, "AAPL")]);
    let answer = client.answer();
    assert_eq!((answer.get(35), answer.word("code")), ("j", "MISSING_FIELD"), "{answer:?}");
    client.log_out();
    host.stop();
}

/// Rates come with the trades: where they settle in the host's base currency, and not otherwise.
#[test]
fn a_trade_brings_its_rate_to_the_base_currency() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("lotbook.toml"), "[fix]\nbase_currency = \"USD\"\n").expect("a file");
    let host = Serving::start(dir.path(), &["--config", "lotbook.toml", "--data-dir", "data"]);
    let mut client = Client::log_on(host.fix, "DESK");
    for (id, rate) in [
        ("T1", &[(15, "EUR"), (120, "USD"), (155, "1.25")][..]),
        ("T2", &[(15, "EUR"), (120, "USD"), (155, "0.8"), (156, "D")]),
        ("T3", &[(15, "EUR"), (120, "CHF"), (155, "0.9")]),
    ] {
        client.buy(id, rate);
        assert_eq!(client.answer().word("outcome"), "applied", "{id}");
    }
    let costs = |host: &Serving| {
        let found = position(host);
        (found["cost"].clone(), found["base_cost"].clone())
    };
    assert_eq!(costs(&host), (json!("30"), json!("35")));
    // A correct brings one, too.
    assert_eq!(amend(&mut client, "X1", "G", "T3", &[(120, "USD"), (155, "2")]).word("outcome"), "provisional");
    assert_eq!(costs(&host), (json!("30"), json!("45")));
    client.log_out();
    host.stop();
}
