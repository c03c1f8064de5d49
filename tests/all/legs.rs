//! What leaves one position for another, through the real binary: transfers, symbol changes, spin-offs, stock mergers,
//! early and late, corrected and cancelled, over a restart; and the same book in any order of arrival. Rule 16.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lotbook_perf::rng::Rng;
use serde_json::Value;

use crate::process::expect;

/// Random histories in CI; `LOTBOOK_LONG=1` for the long form.
const HISTORIES: u64 = 10;
const HISTORIES_LONG: u64 = 2_000;

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn trade(id: &str, account: &str, instrument: &str, side: &str, quantity: &str, price: &str, day: u32) -> String {
    format!(
        r#"{{"type":"trade","trade_id":"{id}","account":"{account}","instrument":"{instrument}","side":"{side}","quantity":"{quantity}","price":"{price}","effective_date":"2024-01-{day:02}"}}"#
    )
}

fn transfer(id: &str, from: &str, to: &str, instrument: &str, quantity: &str, day: u32, more: &str) -> String {
    format!(
        r#"{{"type":"transfer","trade_id":"{id}","account":"{from}","to_account":"{to}","instrument":"{instrument}","quantity":"{quantity}","effective_date":"2024-01-{day:02}"{more}}}"#
    )
}

fn action(action: &str, instrument: &str, to: &str, day: u32, more: &str) -> String {
    format!(
        r#"{{"type":"corporate_action","action":"{action}","instrument":"{instrument}","to_instrument":"{to}","effective_date":"2024-01-{day:02}"{more}}}"#
    )
}

/// Feeds lines to a book of their own, or to the one in `DIR/data`.
#[track_caller]
fn replay(dir: &Path, lines: &[String], arguments: &[&str]) -> Value {
    fs::write(dir.join("lines.jsonl"), lines.join("\n")).expect("a file in a temporary directory");
    let (out, _) = expect(dir, &[&["replay", "--json"], arguments, &["lines.jsonl"]].concat(), 0);
    serde_json::from_str(&out).expect("JSON")
}

/// `account/instrument quantity status realized [quantity@cost acquired origin, ...] break...`, of what is not empty.
fn shown(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let rows = document["positions"].as_array().expect("positions").iter().map(|position| {
        let lots: Vec<String> = position["lots"]
            .as_array()
            .expect("lots")
            .iter()
            .map(|lot| {
                let acquired = &text(&lot["acquired"])[8..];
                format!("{}@{} {acquired} {}", text(&lot["quantity"]), text(&lot["cost"]), text(&lot["trade_id"]))
            })
            .collect();
        let mut row = format!(
            "{}/{} {} {} {} [{}]",
            text(&position["account"]),
            text(&position["instrument"]),
            text(&position["quantity"]),
            text(&position["reconciliation_status"]),
            text(&position["realized_pnl"]),
            lots.join(", ")
        );
        for broken in position["breaks"].as_array().into_iter().flatten() {
            let _ = write!(row, " {}:{}", text(&broken["trade_id"]), text(&broken["reason"]));
        }
        row
    });
    rows.filter(|row| !row.ends_with(" 0 RECONCILED 0 []")).collect()
}

#[track_caller]
fn check(lines: &[String], arguments: &[&str], want: &[&str]) {
    assert_eq!(shown(&replay(place().path(), lines, arguments)), want);
}

fn bought() -> Vec<String> {
    vec![trade("b1", "A1", "I", "buy", "100", "10", 2), trade("b2", "A1", "I", "buy", "50", "12", 3)]
}

#[test]
fn lots_move_with_their_dates_and_costs() {
    let with = |more: Vec<String>| [bought(), more].concat();
    // The first lot whole, a part of the second.
    check(
        &with(vec![transfer("x", "A1", "A2", "I", "120", 5, "")]),
        &[],
        &["A1/I 30 RECONCILED 0 [30@360 03 b2]", "A2/I 120 RECONCILED 0 [100@1000 02 b1, 20@240 03 b2]"],
    );
    // A named lot, and one that is sold at its new place under its old name.
    check(
        &with(vec![
            transfer("x", "A1", "A2", "I", "20", 5, r#","lot":"b2""#),
            trade("s", "A2", "I", "sell", "5", "20", 6).replace("}", r#","lot":"b2"}"#),
        ]),
        &[],
        &["A1/I 130 RECONCILED 0 [100@1000 02 b1, 30@360 03 b2]", "A2/I 15 RECONCILED 40 [15@180 03 b2]"],
    );
    // Average cost leaves with what leaves.
    check(
        &with(vec![transfer("x", "A1", "A2", "I", "30", 5, "")]),
        &["--lot-method", "AVERAGE"],
        &[
            "A1/I 120 RECONCILED 0 [70@746.6666666666666667 02 b1, 50@533.3333333333333333 03 b2]",
            "A2/I 30 RECONCILED 0 [30@320 02 b1]",
        ],
    );
    // Short lots too.
    check(
        &[trade("s1", "A1", "I", "sell_short", "10", "9", 2), transfer("x", "A1", "A2", "I", "-4", 3, "")],
        &["--allow-short"],
        &["A1/I -6 RECONCILED 0 [6@54 02 s1]", "A2/I -4 RECONCILED 0 [4@36 02 s1]"],
    );
    // On the other side they close, at cost, and a person is told.
    check(
        &with(vec![trade("s1", "A2", "I", "sell_short", "10", "15", 2), transfer("x", "A1", "A2", "I", "20", 5, "")]),
        &["--allow-short"],
        &["A1/I 130 RECONCILED 0 [80@800 02 b1, 50@600 03 b2]", "A2/I 10 PENDING 50 [10@100 02 b1] x:OPPOSITE_SIDE"],
    );
}

#[test]
fn what_a_transfer_may_not_do() {
    let document = replay(
        place().path(),
        &[
            bought(),
            vec![
                transfer("x1", "A1", "A2", "I", "151", 5, ""),
                transfer("x2", "A1", "A1", "I", "1", 5, ""),
                transfer("x3", "A1", "A2", "I", "0", 5, ""),
                transfer("x4", "A1", "A2", "I", "-1", 5, ""),
                transfer("x5", "A1", "A2", "I", "1", 5, r#","lot":"nothing""#),
                transfer("x6", "A3", "A2", "I", "1", 5, ""),
            ],
        ]
        .concat(),
        &[],
    );
    let told: Vec<&str> = document["trades"].as_array().expect("trades")[2..]
        .iter()
        .map(|row| row["reason"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(told, ["NOT_HELD", "BAD_TERMS", "BAD_QUANTITY", "NOT_HELD", "UNKNOWN_LOT", "NOT_HELD"]);
    assert_eq!(shown(&document), ["A1/I 150 RECONCILED 0 [100@1000 02 b1, 50@600 03 b2]"]);
}

/// Everything at once, and a trade that comes last and belongs first: it changes what was transferred, what was spun
/// off of it, what was renamed, and what was exchanged.
fn chain() -> Vec<String> {
    [
        bought(),
        vec![
            transfer("x", "A1", "A2", "I", "120", 5, ""),
            trade("s1", "A2", "I", "sell", "60", "15", 6),
            action("spin_off", "I", "J", 8, r#","numerator":1,"denominator":2,"basis_fraction":"0.25""#),
            action("symbol_change", "I", "K", 10, ""),
            action(
                "merger",
                "K",
                "L",
                12,
                r#","numerator":2,"denominator":3,"cash_per_unit":"1","cash_in_lieu_price":"20""#,
            ),
        ],
    ]
    .concat()
}

fn late() -> String {
    trade("late", "A1", "I", "buy", "10", "8", 1)
}

const CHAIN: [&str; 7] = [
    "A1/J 20 RECONCILED 0 [20@120 03 b2]",
    "A1/K 0 RECONCILED 44.33333328775 []",
    "A1/L 26 RECONCILED 0 [26@351.00000008775 03 b2]",
    "A2/I 0 RECONCILED 320 []",
    "A2/J 30 RECONCILED 0 [25@125 02 b1, 5@30 03 b2]",
    "A2/K 0 RECONCILED 60 []",
    "A2/L 40 RECONCILED 0 [33.33333333@375 02 b1, 6.66666667@90 03 b2]",
];

#[test]
fn a_late_trade_changes_everything_that_came_of_it() {
    check(&[vec![late()], chain()].concat(), &[], &CHAIN);
    check(&[chain(), vec![late()]].concat(), &[], &CHAIN);
}

#[test]
fn it_goes_on_after_a_restart() {
    let dir = place();
    let data = ["--data-dir", "data"];
    for cut in [2, 3, 5, 6] {
        let _ = fs::remove_dir_all(dir.path().join("data"));
        replay(dir.path(), &chain()[..cut], &data);
        replay(dir.path(), &chain()[cut..], &data);
        assert_eq!(shown(&replay(dir.path(), &[late()], &data)), CHAIN, "cut at {cut}");
    }
}

#[test]
fn a_cancelled_transfer_comes_back() {
    let cancel = r#"{"type":"cancel","cancels":"x","executed_at":"2024-01-20T00:00:00Z"}"#.to_owned();
    let moved = transfer("x", "A1", "A2", "I", "120", 5, "");
    check(
        &[bought(), vec![moved.clone(), cancel.clone()]].concat(),
        &[],
        &["A1/I 150 RECONCILED 0 [100@1000 02 b1, 50@600 03 b2]"],
    );
    let correct =
        r#"{"type":"correct","corrects":"x","quantity":"10","executed_at":"2024-01-20T00:00:00Z"}"#.to_owned();
    check(
        &[bought(), vec![moved.clone(), correct]].concat(),
        &[],
        &["A1/I 140 RECONCILED 0 [90@900 02 b1, 50@600 03 b2]", "A2/I 10 RECONCILED 0 [10@100 02 b1]"],
    );
    // Accepted is accepted: without the purchase the transfer moves what there is, and a person is told.
    let cancel = cancel.replace(r#""x""#, r#""b1""#);
    check(
        &[bought(), vec![moved, cancel]].concat(),
        &[],
        &["A1/I 0 PENDING 0 [] x:NOT_HELD", "A2/I 50 RECONCILED 0 [50@600 03 b2]"],
    );
}

/// A random history: purchases, sales, transfers between two accounts, and each action that leads on at most once.
fn history(rng: &mut Rng) -> Vec<String> {
    let mut lines = Vec::new();
    let pick = |rng: &mut Rng, of: &[&'static str]| of[rng.below(of.len() as u64) as usize];
    for id in 0..14 + rng.below(10) {
        let (account, instrument) = (pick(rng, &["A1", "A2"]), pick(rng, &["I", "I", "J", "K"]));
        let (day, quantity) = (1 + rng.below(12) as u32, (1 + rng.below(9)).to_string());
        let price = (5 + rng.below(20)).to_string();
        lines.push(match rng.below(8) {
            0..=3 => trade(&format!("t{id:02}"), account, instrument, "buy", &quantity, &price, day),
            4 | 5 => trade(&format!("t{id:02}"), account, instrument, "sell", &quantity, &price, day),
            _ => {
                let other = if account == "A1" { "A2" } else { "A1" };
                transfer(&format!("t{id:02}"), account, other, instrument, &quantity, day, "")
            }
        });
    }
    if rng.below(2) == 0 {
        lines.push(action("spin_off", "I", "K", 6, r#","numerator":1,"denominator":3,"basis_fraction":"0.3""#));
    }
    if rng.below(2) == 0 {
        let terms = r#","numerator":3,"denominator":2,"cash_per_unit":"0.5","cash_in_lieu_price":"9""#;
        lines.push(action("merger", "J", "K", 8, terms));
    }
    if rng.below(2) == 0 {
        lines.push(action("symbol_change", "K", "L", 10, ""));
    }
    lines
}

/// The day of a line, and its place in the day: actions come first.
fn place_of(line: &str) -> (String, bool, String) {
    let value: Value = serde_json::from_str(line).expect("a line");
    let text = |field: &str| value[field].as_str().unwrap_or("").to_owned();
    (text("effective_date"), value["type"] != "corporate_action", text("trade_id"))
}

/// Whatever was accepted makes one book, in whatever order it came.
#[test]
fn the_order_of_arrival_leaves_no_trace() {
    let histories = if std::env::var_os("LOTBOOK_LONG").is_some() { HISTORIES_LONG } else { HISTORIES };
    let dir = place();
    let (mut compared, mut corrected) = (0, 0);
    for seed in 0..histories {
        let mut rng = Rng::new(seed, 0);
        let mut lines = history(&mut rng);
        for (at, line) in lines.iter_mut().enumerate() {
            // One order within a date, whatever the order of the lines.
            if line.contains("\"trade_id\"") {
                *line = line.replace('}', &format!(r#","source_order":{at}}}"#));
            }
        }
        for at in (1..lines.len()).rev() {
            lines.swap(at, rng.below(at as u64 + 1) as usize);
        }
        let document = replay(dir.path(), &lines, &["--allow-short"]);
        let refused: Vec<&str> = document["trades"]
            .as_array()
            .expect("trades")
            .iter()
            .filter(|row| row["outcome"] == "rejected")
            .filter_map(|row| row["trade_id"].as_str())
            .collect();
        let mut accepted: Vec<String> =
            lines.iter().filter(|line| !refused.iter().any(|id| line.contains(id))).cloned().collect();
        let order = |line: &String| {
            let value: Value = serde_json::from_str(line).expect("a line");
            (place_of(line), value["source_order"].as_u64())
        };
        accepted.sort_by_key(|line| {
            let ((day, is_trade, id), at) = order(line);
            (day, is_trade, at, id)
        });
        let chronological = replay(dir.path(), &accepted, &["--allow-short"]);
        let again = chronological["trades"].as_array().expect("trades");
        // What was carried there may be illegal at its own place, and then it is refused here.
        if again.iter().any(|row| row["outcome"] == "rejected") {
            continue;
        }
        assert_eq!(shown(&document), shown(&chronological), "seed {seed}:\n{}", lines.join("\n"));
        compared += 1;
        corrected += document["corrections"].as_array().map_or(0, Vec::len);
    }
    println!("{compared} of {histories} histories compared, {corrected} corrections");
    assert!(compared * 4 >= histories, "too few histories say anything: {compared}");
    assert!(corrected > 0);
}

/// A split is in history; a trade that comes later, on a position that was flat then, is dated before it.
#[test]
fn a_position_opened_below_an_action_takes_it_at_once() {
    let split = r#"{"type":"corporate_action","action":"split","instrument":"I","numerator":2,"denominator":1,"effective_date":"2024-01-10"}"#;
    let lines = [
        trade("b0", "A9", "I", "buy", "1", "10", 2),
        split.to_owned(),
        trade("b1", "A1", "I", "buy", "100", "10", 2),
        trade("b2", "A2", "I", "buy", "5", "10", 2),
        trade("s2", "A2", "I", "sell", "5", "11", 3),
    ];
    let want = [
        "A1/I 200 RECONCILED 0 [200@1000 02 b1]",
        // The sale is late by then: ten units are held, of which it takes five; it belongs before the split.
        "A2/I 0 RECONCILED 5 []",
        "A9/I 2 RECONCILED 0 [2@10 02 b0]",
    ];
    check(&lines, &[], &want);
}

/// A trade waited for its date and a correct gave it to another account. When the date came its quantity was counted where it had
/// waited, without a lot; a transfer that came due behind it asked for lots that were not there, and the shard was gone.
#[test]
fn a_waiting_trade_that_was_moved_leaves_nothing_where_it_waited() {
    let date = |day: u32| format!(r#"{{"type":"business_date","date":"2024-01-{day:02}"}}"#);
    let correct =
        r#"{"type":"correct","corrects":"b","account":"A2","quantity":"8","executed_at":"2024-01-20T00:00:00Z"}"#;
    let lines = [
        date(3),
        trade("b", "A1", "I", "buy", "3", "18", 5),
        correct.to_owned(),
        trade("o", "A1", "I", "buy", "4", "10", 3),
        transfer("x", "A1", "A3", "I", "4", 9, ""),
        date(11),
    ];
    let want = ["A2/I 8 RECONCILED 0 [8@144 05 b]", "A3/I 4 RECONCILED 0 [4@40 03 o]"];
    check(&lines, &[], &want);
}
