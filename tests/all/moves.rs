//! Corrects that give a trade another account or instrument, through the real binary: twice, back, cancelled, ahead of
//! their date, into closed days, over restarts; and random histories against the history with the changed trades. Rule 9.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lotbook_perf::rng::Rng;
use serde_json::{Map, Value, json};

use crate::process::expect;

/// Random histories in CI; `LOTBOOK_LONG=1` for the long form.
const HISTORIES: u64 = 12;
const HISTORIES_LONG: u64 = 2_000;

#[track_caller]
fn replay(dir: &Path, lines: &[Value], arguments: &[&str]) -> Value {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    fs::write(dir.join("lines.jsonl"), lines.join("\n")).expect("a file in a temporary directory");
    let (out, _) = expect(dir, &[&["replay", "--json", "--allow-short"], arguments, &["lines.jsonl"]].concat(), 0);
    serde_json::from_str(&out).expect("JSON")
}

fn trade(id: &str, account: &str, instrument: &str, quantity: i64, price: i64, day: u64) -> Value {
    let (side, quantity) = if quantity < 0 { ("sell", -quantity) } else { ("buy", quantity) };
    json!({"type": "trade", "trade_id": id, "account": account, "instrument": instrument, "side": side,
        "quantity": quantity.to_string(), "price": price.to_string(), "effective_date": format!("2024-01-{day:02}")})
}

fn correct(id: &str, of: &str, what: &Value) -> Value {
    let mut line = json!({"type": "correct", "trade_id": id, "corrects": of});
    let fields: &mut Map<String, Value> = line.as_object_mut().expect("an object");
    fields.extend(what.as_object().expect("an object").clone());
    line
}

fn cancel(id: &str, of: &str) -> Value {
    json!({"type": "cancel", "trade_id": id, "cancels": of})
}

/// `account/instrument quantity status realized [lot ...]` of every position that was ever anything.
fn shown(document: &Value) -> Vec<String> {
    let rows = document["positions"].as_array().expect("positions").iter().map(|position| {
        let lot = |lot: &Value| format!("{}@{} {}", lot["quantity"], lot["cost"], lot["trade_id"]).replace('"', "");
        let lots: Vec<String> = position["lots"].as_array().expect("lots").iter().map(lot).collect();
        let text = |field: &str| position[field].as_str().unwrap_or("?").to_owned();
        let mut row = format!("{}/{} {}", text("account"), text("instrument"), text("quantity"));
        for field in ["reconciliation_status", "realized_pnl", "fees"] {
            row = format!("{row} {}", text(field));
        }
        for broken in position["breaks"].as_array().into_iter().flatten() {
            row = format!("{row} {}:{}", broken["trade_id"], broken["reason"]);
        }
        format!("{row} [{}]", lots.join(", "))
    });
    rows.filter(|row| !row.ends_with(" 0 RECONCILED 0 0 []")).collect()
}

#[track_caller]
fn check(lines: &[Value], want: &[&str]) -> Value {
    let document = replay(tempfile::tempdir().expect("a temporary directory").path(), lines, &[]);
    assert_eq!(shown(&document), want);
    document
}

fn base() -> Vec<Value> {
    vec![
        trade("a1", "A", "I", 100, 10, 2),
        trade("a2", "A", "I", 50, 12, 3),
        trade("b1", "B", "I", -30, 15, 4),
        trade("a3", "A", "I", -120, 20, 5),
    ]
}

fn with(more: &[Value]) -> Vec<Value> {
    [base(), more.to_vec()].concat()
}

const MOVED: [&str; 2] = ["A/I -70 RECONCILED 400 0 [70@1400 a3]", "B/I 70 RECONCILED 150 0 [70@700 a1]"];
const AS_IT_WAS: [&str; 2] = ["A/I 30 RECONCILED 1160 0 [30@360 a2]", "B/I -30 RECONCILED 0 0 [30@450 b1]"];

#[test]
fn a_trade_leaves_one_history_and_enters_another() {
    let to_b = correct("c1", "a1", &json!({"account": "B"}));
    let document = check(&with(std::slice::from_ref(&to_b)), &MOVED);
    // Both positions say what it changed, and the trade's own figures are those of its new place.
    let corrections = document["corrections"].as_array().expect("corrections");
    let told: Vec<(&str, &str, &str)> = corrections
        .iter()
        .map(|row| {
            let of = |which: &str| row[which]["quantity"].as_str().expect("a quantity");
            (row["account"].as_str().expect("text"), of("before"), of("after"))
        })
        .collect();
    assert_eq!(told, [("A", "-70", "-70"), ("B", "-30", "70")]);
    assert_eq!(document["trades"][0]["realized_pnl"], "0");
    assert_eq!(document["trades"][2]["realized_pnl"], "150");

    // Back again, by a correct and by a cancel; cancelled altogether; and named as what it is.
    let back = correct("c2", "a1", &json!({"account": "A"}));
    check(&with(&[to_b.clone(), back]), &AS_IT_WAS);
    check(&with(&[to_b.clone(), cancel("x", "c1")]), &AS_IT_WAS);
    check(&with(&[to_b.clone(), cancel("x", "c1"), cancel("y", "x")]), &MOVED);
    check(
        &with(&[to_b.clone(), cancel("x", "a1")]),
        &["A/I -70 RECONCILED 400 0 [70@1400 a3]", "B/I -30 RECONCILED 0 0 [30@450 b1]"],
    );
    check(&with(&[correct("c1", "a1", &json!({"account": "A", "instrument": "I"}))]), &AS_IT_WAS);
    // Moved, then given other fields where it is, before and after others there.
    for (day, want) in [("02", "B/I 10 RECONCILED 180 0 [10@90 a1]"), ("09", "B/I 10 RECONCILED 180 0 [10@90 a1]")] {
        let more = json!({"quantity": "40", "price": "9", "effective_date": format!("2024-01-{day}")});
        check(&with(&[to_b.clone(), correct("c2", "a1", &more)]), &["A/I -70 RECONCILED 400 0 [70@1400 a3]", want]);
    }
    // To a third one, and to another instrument of another account that nobody held before.
    check(
        &with(&[to_b.clone(), correct("c2", "a1", &json!({"account": "C", "instrument": "J"}))]),
        &[
            "A/I -70 RECONCILED 400 0 [70@1400 a3]",
            "B/I -30 RECONCILED 0 0 [30@450 b1]",
            "C/J 100 RECONCILED 0 0 [100@1000 a1]",
        ],
    );
}

#[test]
fn what_may_not_be_moved() {
    let lines = with(&[
        json!({"type": "transfer", "trade_id": "x", "account": "A", "to_account": "C", "instrument": "I", "quantity": "1",
            "effective_date": "2024-01-06"}),
        correct("c1", "x", &json!({"account": "B"})),
        correct("c2", "x", &json!({"account": "A", "instrument": "I"})),
        json!({"type": "cancel", "trade_id": "c3", "cancels": "a1", "account": "B"}),
        json!({"type": "cancel", "trade_id": "c4", "cancels": "b1", "account": "B"}),
    ]);
    let document = replay(tempfile::tempdir().expect("a temporary directory").path(), &lines, &[]);
    let rows = document["trades"].as_array().expect("trades");
    let told: Vec<&str> = rows[5..].iter().map(|row| row["reason"].as_str().unwrap_or("")).collect();
    assert_eq!(told, ["NOT_SUPPORTED", "", "NOT_SUPPORTED", ""]);
}

#[test]
fn it_goes_where_it_belongs_when_its_date_comes() {
    let today = |day: u32| json!({"type": "business_date", "date": format!("2024-01-{day:02}")});
    let lines = [today(3), trade("a1", "A", "I", 10, 10, 9), correct("c", "a1", &json!({"account": "B"}))];
    let document = check(&lines, &[]);
    let waiting = |row: &Value| (row["account"].as_str() == Some("A")).then(|| row["forward_quantity"].clone());
    assert_eq!(document["positions"].as_array().expect("positions").iter().find_map(waiting), Some(json!("10")));
    check(&[&lines[..], &[today(9)]].concat(), &["B/I 10 RECONCILED 0 0 [10@100 a1]"]);
    // A trade that was booked is moved to another account and to a date that has not come.
    let later = json!({"account": "B", "effective_date": "2024-01-20"});
    let lines = [today(10), trade("a1", "A", "I", 10, 10, 9), correct("c", "a1", &later)];
    check(&lines, &[]);
    check(&[&lines[..], &[today(20)]].concat(), &["B/I 10 RECONCILED 0 0 [10@100 a1]"]);
}

#[test]
fn locks_of_both_accounts_are_asked() {
    let lock = |account: &str| json!({"type": "period_lock", "account": account, "through": "2024-01-31"});
    let today = json!({"type": "business_date", "date": "2024-02-10"});
    let rules = |account: &str| {
        json!({"type": "contract", "contract_id": format!("K{account}"), "account": account,
            "locked_changes": "ADJUST", "allow_short": true, "effective_date": "2020-01-01"})
    };
    let moved = correct("c1", "a1", &json!({"account": "B"}));
    let sent = json!({"type": "transfer", "trade_id": "x", "account": "A", "to_account": "B", "instrument": "I",
        "quantity": "5", "effective_date": "2024-01-20"});
    let reason = |locks: &[Value], rules: &[Value], line: &Value| {
        let lines = [&[today.clone()][..], rules, &base(), locks, std::slice::from_ref(line)].concat();
        let document = replay(tempfile::tempdir().expect("a temporary directory").path(), &lines, &[]);
        let row = document["trades"].as_array().expect("trades").last().cloned().expect("a row");
        row["reason"].as_str().unwrap_or("").to_owned()
    };
    for line in [&moved, &sent] {
        assert_eq!(reason(&[], &[], line), "");
        assert_eq!(reason(&[lock("A")], &[], line), "PERIOD_LOCKED");
        assert_eq!(reason(&[lock("B")], &[], line), "PERIOD_LOCKED");
        assert_eq!(reason(&[lock("*")], &[rules("A")], line), "PERIOD_LOCKED");
        assert_eq!(reason(&[lock("*")], &[rules("B")], line), "PERIOD_LOCKED");
        assert_eq!(reason(&[lock("*")], &[rules("A"), rules("B")], line), "");
    }
    // What it changes in the closed days of each is an adjustment there.
    let lines = [&[today, rules("A"), rules("B")][..], &base(), &[lock("*"), moved]].concat();
    let document = replay(tempfile::tempdir().expect("a temporary directory").path(), &lines, &[]);
    let told: Vec<String> = document["adjustments"]
        .as_array()
        .expect("adjustments")
        .iter()
        .map(|row| format!("{} {}", row["account"], row["realized_pnl"]).replace('"', ""))
        .collect();
    assert_eq!(told, ["A -760", "B 150"]);
}

/// Trades, splits, and amendments of them in the order of their lines.
fn history(rng: &mut Rng) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    let pick = |rng: &mut Rng, of: &[&str]| of[rng.below(of.len() as u64) as usize].to_owned();
    for number in 0..26u64 {
        let id = format!("t{number:02}");
        if number < 8 || rng.below(2) == 0 {
            let quantity = (1 + rng.below(9) as i64) * if rng.below(5) < 2 { -1 } else { 1 };
            let (account, instrument) = (pick(rng, &["A", "B", "C"]), pick(rng, &["I", "J"]));
            let mut line = trade(&id, &account, &instrument, quantity, 5 + rng.below(20) as i64, 1 + rng.below(20));
            line["source_order"] = json!(number);
            line["fees"] = json!(format!("0.{}", rng.below(10)));
            lines.push(line);
            ids.push(id);
            continue;
        }
        let target = ids[rng.below(ids.len() as u64) as usize].clone();
        let is_amendment = target.starts_with('m');
        let id = format!("m{number:02}");
        if is_amendment || rng.below(5) == 0 {
            let mut line = cancel(&id, &target);
            line["source_order"] = json!(number);
            lines.push(line);
        } else {
            let mut fields = Map::new();
            if rng.below(3) > 0 {
                fields.insert("account".into(), json!(pick(rng, &["A", "B", "C", "D"])));
            }
            if rng.below(3) == 0 {
                fields.insert("instrument".into(), json!(pick(rng, &["I", "J"])));
            }
            match rng.below(4) {
                0 => drop(fields.insert("quantity".into(), json!((1 + rng.below(9)).to_string()))),
                1 => drop(fields.insert("price".into(), json!((5 + rng.below(20)).to_string()))),
                2 => drop(fields.insert("effective_date".into(), json!(format!("2024-01-{:02}", 1 + rng.below(20))))),
                _ => {}
            }
            if fields.is_empty() {
                continue;
            }
            fields.insert("source_order".into(), json!(number));
            lines.push(correct(&id, &target, &Value::Object(fields)));
        }
        ids.push(id);
    }
    if rng.below(2) == 0 {
        let at = rng.below(lines.len() as u64) as usize;
        lines.insert(
            at,
            json!({"type": "corporate_action", "action": "split", "instrument": "I", "numerator": 3, "denominator": 2,
                "effective_date": "2024-01-10"}),
        );
    }
    lines
}

/// The lines with the amendments laid over the trades: rule 9, read naively.
fn amended(lines: &[Value]) -> Vec<Value> {
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or("").to_owned();
    let mut dead: BTreeMap<String, bool> = BTreeMap::new();
    // A target stands before its amendments, so from the last one on all that concerns a line is known.
    for line in lines.iter().rev() {
        let is_dead = dead.get(&text(line, "trade_id")).copied().unwrap_or(false);
        if line["type"] == "cancel" && !is_dead {
            dead.insert(text(line, "cancels"), true);
        }
    }
    let live = |line: &&Value| !dead.contains_key(&text(line, "trade_id"));
    let mut found: Vec<Value> = Vec::new();
    for line in lines.iter().filter(live) {
        match text(line, "type").as_str() {
            "cancel" => {}
            "correct" => {
                let of = text(line, "corrects");
                let Some(held) = found.iter_mut().find(|held| text(held, "trade_id") == of) else { continue };
                for (field, value) in line.as_object().expect("an object") {
                    if !["type", "trade_id", "corrects", "source_order"].contains(&field.as_str()) {
                        held[field] = value.clone();
                    }
                }
            }
            _ => found.push(line.clone()),
        }
    }
    found
}

/// What each trade realized, of those that are in the history.
fn realized(document: &Value) -> BTreeMap<String, String> {
    let rows = document["trades"].as_array().expect("trades").iter();
    let counts = rows.filter(|row| row["amends"].is_null() && row["amended"] != "cancelled");
    counts.map(|row| (row["trade_id"].to_string(), row["realized_pnl"].to_string())).collect()
}

#[test]
fn the_book_is_the_history_with_the_changed_trades() {
    let histories = if std::env::var_os("LOTBOOK_LONG").is_some() { HISTORIES_LONG } else { HISTORIES };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut moved = 0;
    for seed in 0..histories {
        let mut rng = Rng::new(seed, 9);
        let lines = history(&mut rng);
        let text = || lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
        let changed = replay(dir.path(), &amended(&lines), &[]);
        let want = shown(&changed);
        let document = replay(dir.path(), &lines, &[]);
        assert_eq!(shown(&document), want, "seed {seed}:\n{}", text());
        assert_eq!(realized(&document), realized(&changed), "seed {seed}:\n{}", text());
        moved += lines.iter().filter(|line| line["type"] == "correct" && line["account"].is_string()).count();
        // Three lives of one book.
        let _ = fs::remove_dir_all(dir.path().join("data"));
        let data = ["--data-dir", "data"];
        let (one, two) = (rng.below(lines.len() as u64) as usize, rng.below(lines.len() as u64) as usize);
        let (one, two) = (one.min(two), one.max(two));
        replay(dir.path(), &lines[..one], &data);
        replay(dir.path(), &lines[one..two], &data);
        let document = replay(dir.path(), &lines[two..], &data);
        assert_eq!(shown(&document), want, "seed {seed}, cut at {one} and {two}:\n{}", text());
    }
    println!("{histories} histories, {moved} corrects of accounts");
    assert!(moved as u64 > histories, "too tame");
}
