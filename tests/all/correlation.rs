//! One trade's correlation id, from the answer to the log line to the event in the log: made at the door where the sender gave none,
//! kept as it is where there was one.

use serde_json::Value;

use crate::process::{Serving, expect, until};
use crate::wire::Client;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// UUIDv7, `@`, service id.
#[track_caller]
fn assert_made_at_the_door(id: &str) {
    let (uuid, service) = id.split_once('@').unwrap_or_else(|| panic!("no @ in {id:?}"));
    assert_eq!(service, "lotbook");
    assert_eq!(uuid.len(), 36, "{id}");
    assert_eq!(uuid.as_bytes()[14], b'7', "a UUID of version 7: {id}");
    let hyphens: Vec<_> = uuid.match_indices('-').map(|(at, _)| at).collect();
    assert_eq!(hyphens, [8, 13, 18, 23]);
}

#[test]
fn it_comes_back_in_answer_log_line_and_event() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = Serving::command(dir.path(), &[]);
    command.env("LOTBOOK_LOG", "debug");
    let host = Serving::spawn(&mut command);
    let mut client = Client::log_on(host.fix, "DESK");
    // Trade, given id; the last is refused by the engine, and has an id all the same.
    let trades =
        [("T1", "", "1", "0"), ("T2", "desk/4711 of today", "1", "0"), ("T3", "", "1", "0"), ("T4", "", "2", "1")];
    let mut ids = Vec::new();
    for (trade, given, side, status) in trades {
        // Three are bought one by one; four cannot be sold.
        let quantity = if side == "1" { "1" } else { "4" };
        let mut fields = vec![(17, trade), (150, "F"), (1, "A1"), (55, "AAPL"), (54, side), (32, quantity), (31, "10")];
        if !given.is_empty() {
            fields.push((527, given));
        }
        client.send("8", &fields);
        let answer = client.answer();
        assert_eq!((answer.get(35), answer.get(571), answer.get(939)), ("AR", trade, status), "{answer:?}");
        let id = answer.get(818).to_owned();
        if given.is_empty() {
            assert_made_at_the_door(&id);
        } else {
            assert_eq!(id, given);
        }
        ids.push((trade, id, answer.word("seq").to_owned()));
    }
    assert!(
        ids.iter().enumerate().all(|(at, (_, id, _))| ids[..at].iter().all(|(_, other, _)| other != id)),
        "{ids:?}"
    );
    client.log_out();
    until("the log lines", || host.log_lines("answered").len() == trades.len());
    let said = host.log_lines("answered");
    for (trade, id, sequence) in &ids {
        let line = said.iter().find(|line| line["trade_id"] == *trade).expect("a log line for each trade");
        assert_eq!(line["correlation_id"], *id);
        assert_eq!(line["log_seq"].to_string(), *sequence);
        // Of a running host as of a stopped one: the whole dump says the same.
        let (dumped, _) = expect(dir.path(), &["wal", "dump", "data", "--correlation", id], 0);
        let events = lines(&dumped);
        assert_eq!(events.len(), 1, "{id}: {dumped}");
        assert_eq!(events[0]["trade_id"], *trade);
        assert_eq!(events[0]["correlation_id"], *id);
        assert_eq!(events[0]["sequence"].to_string(), *sequence);
    }
    host.stop();
    let (dumped, _) = expect(dir.path(), &["wal", "dump", "data", "--kind", "trade"], 0);
    let found: Vec<_> =
        lines(&dumped).iter().map(|event| event["correlation_id"].as_str().unwrap_or("").to_owned()).collect();
    assert_eq!(found, ids.iter().map(|(_, id, _)| id.clone()).collect::<Vec<_>>());
}

/// Found by asking for a duplicate's: the first trade keeps its id, the answer to the second carries the second's own.
#[test]
fn a_duplicate_has_an_id_of_its_own() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let host = Serving::start(dir.path(), &[]);
    let mut client = Client::log_on(host.fix, "DESK");
    client.buy("T1", &[(527, "first")]);
    assert_eq!((client.answer().get(818), "first"), ("first", "first"));
    client.buy("T1", &[(527, "second")]);
    let again = client.answer();
    assert_eq!((again.word("outcome"), again.get(818)), ("duplicate", "second"));
    client.log_out();
    let (dumped, _) = expect(dir.path(), &["wal", "dump", "data", "--kind", "trade", "--correlation", "second"], 0);
    let events = lines(&dumped);
    assert_eq!((events.len(), events[0]["outcome"].as_str()), (1, Some("duplicate")), "{dumped}");
    host.stop();
}

#[test]
fn replay_shows_it_too() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let trade =
        r#""account":"A1","instrument":"AAPL","side":"buy","quantity":"1","price":"10","effective_date":"2020-03-05""#;
    let text = format!(
        "{{\"type\":\"trade\",\"trade_id\":\"t1\",{trade}}}\n{{\"type\":\"trade\",\"trade_id\":\"t2\",{trade},\"correlation_id\":\"order-9\"}}\n"
    );
    std::fs::write(dir.path().join("trades.jsonl"), text).expect("a file");
    let (out, _) = expect(dir.path(), &["replay", "--json", "--data-dir", "data", "trades.jsonl"], 0);
    let document: Value = serde_json::from_str(&out).expect("one JSON document");
    let id = |row: usize| document["trades"][row]["correlation_id"].as_str().expect("an id of each trade").to_owned();
    assert_made_at_the_door(&id(0));
    assert_eq!(id(1), "order-9");
    for row in 0..2 {
        let (dumped, _) = expect(dir.path(), &["wal", "dump", "data", "--correlation", &id(row)], 0);
        let events = lines(&dumped);
        assert_eq!(events.len(), 1, "{dumped}");
        assert_eq!(events[0]["trade_id"], document["trades"][row]["trade_id"]);
    }
}
