//! `lotbook import` with the real binary: a dry run that changes nothing, control totals, all or nothing, once only.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::process::{Serving, expect};

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("a file in a temporary directory");
}

/// A line of an opening lot; `more` begins with a comma.
fn lot(id: &str, instrument: &str, quantity: &str, cost: &str, more: &str) -> String {
    format!(
        "{{\"type\":\"open_lot\",\"trade_id\":\"{id}\",\"account\":\"A1\",\"instrument\":\"{instrument}\",\"quantity\":\"{quantity}\",\
         \"consideration\":\"{cost}\",\"acquired\":\"2015-06-30\",\"effective_date\":\"2020-01-02\"{more}}}\n"
    )
}

const TOTALS: &str = "instrument,lots,quantity,cost\nAAPL,2,150,1600.5\nMSFT,1,-30,1200\n";

fn opening(dir: &Path) {
    let lines = [
        lot("o1", "AAPL", "100", "1000", ""),
        "{\"type\":\"business_date\",\"date\":\"2020-01-03\"}\n".to_owned(),
        lot("o2", "AAPL", "50", "600.5", ",\"sub_account\":\"CORE\""),
        lot("o3", "MSFT", "-30", "1200", ""),
    ];
    write(dir, "opening.jsonl", &lines.concat());
    write(dir, "totals.csv", TOTALS);
}

/// The book of a data directory: its positions, as `replay` prints them.
fn positions(dir: &Path) -> Value {
    write(dir, "nothing.jsonl", "\n");
    let (out, _) = expect(dir, &["replay", "--json", "--allow-short", "--data-dir", "data", "nothing.jsonl"], 0);
    let document: Value = serde_json::from_str(&out).expect("JSON");
    document["positions"].clone()
}

const IMPORT: [&str; 4] = ["import", "--allow-short", "--data-dir", "data"];

fn import(dir: &Path, more: &[&str], code: i32) -> (String, String) {
    expect(dir, &[&IMPORT[..], more, &["opening.jsonl"]].concat(), code)
}

#[test]
fn a_dry_run_says_what_a_commit_does_and_changes_nothing() {
    let dir = place();
    opening(dir.path());
    let (out, _) = import(dir.path(), &["--expect", "totals.csv"], 0);
    assert_eq!(out, format!("{TOTALS}dry run: 3 lots to book; --commit books them\n"));
    assert!(!dir.path().join("data").exists(), "a dry run on a new book makes none");

    let (out, _) = import(dir.path(), &["--expect", "totals.csv", "--commit"], 0);
    assert_eq!(out, format!("{TOTALS}booked 3 lots\n"));
    let booked = positions(dir.path());
    assert_eq!(booked[0]["lots"].as_array().map(Vec::len), Some(2), "{booked}");
    assert_eq!(booked[0]["cost"], "1600.5");
    assert_eq!(booked[0]["lots"][0]["acquired"], "2015-06-30");
    assert_eq!(booked[1]["quantity"], "-30");
    assert_eq!(booked[1]["realized_pnl"], "0");

    // Again: known by their ids, and booked once.
    let (out, _) = import(dir.path(), &["--commit"], 0);
    assert_eq!(out, format!("{TOTALS}booked 0 lots, 3 lots already there\n"));
    write(dir.path(), "opening.jsonl", &lot("o9", "AAPL", "1", "2", ""));
    let (out, _) = import(dir.path(), &[], 0);
    assert!(out.ends_with("dry run: 1 lot to book; --commit books them\n"), "{out}");
    assert_eq!(positions(dir.path()), booked, "a dry run on a book leaves it as it is");
}

/// What holds without a contract is the book's, and no import changes it.
#[test]
fn the_rules_of_the_book_stay() {
    let dir = place();
    opening(dir.path());
    let sale = |id: &str, quantity: u32| {
        format!(
            "{{\"type\":\"trade\",\"trade_id\":\"{id}\",\"account\":\"A1\",\"instrument\":\"AAPL\",\"side\":\"sell\",\"quantity\":\"{quantity}\",\
             \"price\":\"20\",\"effective_date\":\"2020-01-03\"}}\n"
        )
    };
    // The book was begun under HIFO.
    write(dir.path(), "first.jsonl", &lot("o0", "IBM", "1", "1", ""));
    expect(dir.path(), &["replay", "--lot-method", "HIFO", "--data-dir", "data", "first.jsonl"], 0);
    import(dir.path(), &["--commit"], 0);
    write(dir.path(), "sale.jsonl", &sale("s1", 10));
    let hifo = ["replay", "--json", "--allow-short", "--lot-method", "HIFO", "--data-dir", "data", "sale.jsonl"];
    let (out, _) = expect(dir.path(), &hifo, 0);
    let document: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(document["trades"][0]["allocations"][0]["lot_trade_id"], "o2", "the lot with the higher price");
    let (out, _) = expect(dir.path(), &["wal", "dump", "--json", "--kind", "contract", "data"], 0);
    assert!(!out.contains("\"lot_method\":\"FIFO\""), "{out}");
}

#[test]
fn one_refused_lot_keeps_all_of_them_out() {
    let dir = place();
    opening(dir.path());
    import(dir.path(), &["--commit"], 0);
    let before = positions(dir.path());
    let lines = [
        lot("p1", "IBM", "10", "100", ""),
        lot("p2", "AAPL", "-10", "100", ""),
        lot("o1", "AAPL", "7", "70", ""),
        lot("p3", "IBM", "0", "100", ""),
    ];
    write(dir.path(), "opening.jsonl", &lines.concat());
    let (out, _) = import(dir.path(), &["--commit"], 1);
    let told = "refused opening.jsonl:2: p2: OPPOSITE_SIDE\nrefused opening.jsonl:3: o1: ID_CONFLICT\n\
                refused opening.jsonl:4: p3: BAD_QUANTITY\nnothing was booked\n";
    assert!(out.ends_with(told), "{out}");
    assert_eq!(positions(dir.path()), before);
}

#[test]
fn totals_that_differ_keep_the_book_shut() {
    let dir = place();
    opening(dir.path());
    write(dir.path(), "totals.csv", &TOTALS.replace("1600.5", "1600.4").replace("MSFT", "IBM"));
    let (out, _) = import(dir.path(), &["--expect", "totals.csv", "--commit"], 1);
    let told = "differs: AAPL: wanted 2 lots, quantity 150, cost 1600.4; found 2 lots, quantity 150, cost 1600.5\n\
                differs: IBM: wanted 1 lots, quantity -30, cost 1200; found 0 lots, quantity 0, cost 0\n\
                differs: MSFT: wanted 0 lots, quantity 0, cost 0; found 1 lots, quantity -30, cost 1200\n\
                nothing was booked\n";
    assert!(out.ends_with(told), "{out}");
    assert!(!dir.path().join("data").exists());
    let (out, _) = import(dir.path(), &["--expect", "totals.csv", "--json"], 1);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["differences"][0]["found"]["cost_e8"], "1600.5");
    assert_eq!((&report["committed"], &report["new"]), (&Value::Bool(false), &Value::from(3)));
}

#[test]
fn wrong_input_is_named() {
    let dir = place();
    opening(dir.path());
    let trade = "{\"type\":\"trade\",\"trade_id\":\"t\",\"account\":\"A\",\"instrument\":\"I\",\"side\":\"buy\",\"quantity\":\"1\",\
                 \"price\":\"1\",\"effective_date\":\"2020-01-02\"}\n";
    for (text, told) in [
        (trade, "opening.jsonl:1: an opening book has lines of type open_lot"),
        ("{\"type\":\"open_lot\"}\n", "opening.jsonl:1: "),
        ("not JSON\n", "opening.jsonl:1: "),
    ] {
        write(dir.path(), "opening.jsonl", text);
        let (_, err) = import(dir.path(), &["--commit"], 2);
        assert!(err.contains(told), "{told:?} is not in {err}");
    }
    opening(dir.path());
    let (_, err) = import(dir.path(), &["--expect", "missing.csv"], 5);
    assert!(err.contains("missing.csv"), "{err}");
    write(dir.path(), "totals.csv", "instrument,lots\n");
    let (_, err) = import(dir.path(), &["--expect", "totals.csv"], 2);
    assert!(err.contains("totals.csv:1: four cells are wanted"), "{err}");
    assert!(!dir.path().join("data").exists());
}

#[test]
fn a_running_host_keeps_its_book() {
    let dir = place();
    opening(dir.path());
    let host = Serving::start(dir.path(), &[]);
    let (_, err) = import(dir.path(), &["--commit"], 4);
    assert!(err.contains("owned by another process"), "{err}");
    drop(host);
}
