//! What changes of closed days make of the open period, through the real binary and over restarts: the sum of the
//! adjustments is what the closed days are by the whole history, less what they were when they were closed. Rule 14.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lotbook_perf::rng::Rng;
use serde_json::Value;

use crate::process::expect;

/// Random histories in CI; `LOTBOOK_LONG=1` for the long form.
const HISTORIES: u64 = 8;
const HISTORIES_LONG: u64 = 500;
const CLOSED: &str = "2024-01-31";

#[track_caller]
fn replay(dir: &Path, lines: &[String], arguments: &[&str]) -> Value {
    fs::write(dir.join("lines.jsonl"), lines.join("\n")).expect("a file in a temporary directory");
    let (out, _) = expect(dir, &[&["replay", "--json"], arguments, &["lines.jsonl"]].concat(), 0);
    serde_json::from_str(&out).expect("JSON")
}

/// A decimal of at most six places, in millionths.
fn millionths(value: &Value) -> i64 {
    let text = value.as_str().expect("a decimal");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    assert!(part.len() <= 6, "{text}");
    let magnitude = whole.trim_start_matches('-').parse::<i64>().expect("digits") * 1_000_000
        + format!("{part:0<6}").parse::<i64>().expect("digits");
    if text.starts_with('-') { -magnitude } else { magnitude }
}

/// Realized and fees of the closed days of each account, from the rows of the trades.
fn closed(document: &Value, dates: &BTreeMap<String, String>) -> BTreeMap<String, (i64, i64)> {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in document["trades"].as_array().expect("trades") {
        let text = |field: &str| row[field].as_str().unwrap_or("").to_owned();
        if row["amends"].is_null() && text("amended") != "cancelled" && dates[&text("trade_id")].as_str() <= CLOSED {
            let sum = sums.entry(text("account")).or_default();
            sum.0 += millionths(&row["realized_pnl"]);
            sum.1 += millionths(&row["fees"]);
        }
    }
    sums
}

fn trade(rng: &mut Rng, id: u64, days: u64) -> (String, String) {
    let side = ["buy", "sell"][rng.below(2) as usize];
    let (account, quantity, price) = (1 + rng.below(2), 1 + rng.below(9), 5 + rng.below(20));
    let day = 1 + rng.below(days);
    let date = format!("2024-{:02}-{:02}", 1 + (day - 1) / 31, 1 + (day - 1) % 31);
    let line = format!(
        r#"{{"type":"trade","trade_id":"t{id}","account":"A{account}","instrument":"I","side":"{side}","quantity":"{quantity}","price":"{price}","fees":"0.{}","effective_date":"{date}","source_order":{id}}}"#,
        rng.below(10)
    );
    (line, date)
}

#[test]
fn adjustments_are_what_the_closed_days_differ_by() {
    let histories = if std::env::var_os("LOTBOOK_LONG").is_some() { HISTORIES_LONG } else { HISTORIES };
    let mut adjusted = 0;
    for seed in 0..histories {
        let mut rng = Rng::new(seed, 14);
        let mut dates = BTreeMap::new();
        let head = vec![
            r#"{"type":"contract","contract_id":"K","locked_changes":"ADJUST","allow_short":true,"effective_date":"2020-01-01"}"#.to_owned(),
            r#"{"type":"business_date","date":"2024-02-20"}"#.to_owned(),
        ];
        let mut before = head.clone();
        for id in 0..12 {
            let (line, date) = trade(&mut rng, id, 40);
            dates.insert(format!("t{id}"), date);
            before.push(line);
        }
        let lock = format!(r#"{{"type":"period_lock","account":"*","through":"{CLOSED}"}}"#);
        let mut after = Vec::new();
        for id in 12..22 {
            let target = rng.below(id);
            after.push(match rng.below(3) {
                0 => format!(r#"{{"type":"cancel","trade_id":"c{id}","cancels":"t{target}"}}"#),
                _ => trade(&mut rng, id, 40).0,
            });
            if let Some(date) = after.last().and_then(|line| line.split_once("\"effective_date\":\"")) {
                dates.insert(format!("t{id}"), date.1[..10].to_owned());
            }
        }
        // A cancel of what was never sent would be held, and say nothing.
        after.retain(|line| {
            line.split_once("\"cancels\":\"").is_none_or(|(_, id)| dates.contains_key(id.trim_end_matches("\"}")))
        });
        let dir = tempfile::tempdir().expect("a temporary directory");
        let whole = [before.clone(), after.clone()].concat();
        let then = closed(&replay(dir.path(), &before, &[]), &dates);
        let now = closed(&replay(dir.path(), &whole, &[]), &dates);

        // The same over four lives of one book: what was reported is found again in the log and its bodies.
        let data = ["--data-dir", "data"];
        replay(dir.path(), &[before, vec![lock.clone()]].concat(), &data);
        let mut told: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let parts = [rng.below(after.len() as u64 + 1) as usize, rng.below(after.len() as u64 + 1) as usize];
        let (first, second) = (parts[0].min(parts[1]), parts[0].max(parts[1]));
        for part in [&after[..first], &after[first..second], &after[second..]] {
            let document = replay(dir.path(), part, &data);
            for row in document["adjustments"].as_array().expect("adjustments") {
                let sum = told.entry(row["account"].as_str().expect("text").to_owned()).or_default();
                sum.0 += millionths(&row["realized_pnl"]);
                sum.1 += millionths(&row["fees"]);
                assert_eq!(row["date"], "2024-02-01", "seed {seed}");
            }
            // What the open period carries is their sum.
            for position in document["positions"].as_array().expect("positions") {
                let carried = &position["adjustment"];
                let sum = told.get(position["account"].as_str().expect("text")).copied().unwrap_or_default();
                let shown = match carried.is_null() {
                    true => (0, 0),
                    false => (millionths(&carried["realized_pnl"]), millionths(&carried["fees"])),
                };
                assert_eq!(shown, sum, "seed {seed}");
            }
        }
        for account in ["A1", "A2"] {
            let of = |sums: &BTreeMap<String, (i64, i64)>| sums.get(account).copied().unwrap_or_default();
            let (then, now, told) = (of(&then), of(&now), of(&told));
            assert_eq!(told, (now.0 - then.0, now.1 - then.1), "seed {seed}, {account}:\n{}", whole.join("\n"));
            adjusted += u64::from(told != (0, 0));
        }
        // Closing more days closes what they carry.
        let lock = lock.replace(CLOSED, "2024-02-03");
        let document = replay(dir.path(), &[lock], &data);
        let positions = document["positions"].as_array().expect("positions");
        let all_reconciled = positions.iter().all(|position| position["reconciliation_status"] == "RECONCILED");
        assert_eq!(document["locks"][0]["outcome"] == "applied", all_reconciled, "seed {seed}");
        if all_reconciled {
            assert!(positions.iter().all(|position| position["adjustment"].is_null()), "seed {seed}");
        }
    }
    println!("{histories} histories, {adjusted} accounts adjusted");
    assert!(adjusted >= histories, "too tame");
}
