//! Worked examples that others published, booked by `lotbook replay`: tax publications, books on taxes, tools' own tests.
//!
//! Each example names its source; the numbers are the source's, the words are ours. Dates and prices that a source leaves out are
//! ours and say so. An example is an account and an instrument of its own, so one run books all examples of a test.
//!
//! A row reads `ID SIDE QUANTITY PRICE DATE [fees=F] [lot=ID]` (a price of `-` is none, beside `consideration=C`),
//! `split NEW:OLD DATE [cash_in_lieu_price=P]` or `return_of_capital CASH DATE`. What the book says of it reads, line by line:
//! `SALE: LOT QUANTITY cost COST gain GAIN TERM` for each part of a sale, `SALE = cost COST gain GAIN` for the whole of it,
//! `SALE! REASON` for a refusal, `left: LOT QUANTITY cost COST` for each lot that is left, and `realized GAIN long GAIN` of all.

mod actions;
mod identification;
mod methods;
mod tools;

use serde_json::{Value, json};

use crate::process::expect;

/// One published example.
struct Example {
    /// Who published it, and where it stands.
    source: &'static str,
    method: &'static str,
    /// Further terms of the contract: name and value.
    terms: &'static [(&'static str, &'static str)],
    rows: &'static [&'static str],
    /// Lines that the book must say. They may end early, where the source says no more; where a sale's parts or the
    /// lots that are left are told at all, all of them are.
    says: &'static [&'static str],
}

/// Books all of them in one run and holds each against what its source says.
#[track_caller]
fn hold(examples: &[Example]) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut text = String::new();
    for (number, example) in examples.iter().enumerate() {
        text.push_str(&lines(number, example));
    }
    std::fs::write(folder.path().join("examples.jsonl"), text).expect("a file in a temporary directory");
    let (out, warnings) = expect(folder.path(), &["replay", "--json", "examples.jsonl"], 0);
    assert_eq!(warnings, "", "nothing is refused unseen");
    let document: Value = serde_json::from_str(&out).expect("a document");
    let mut wrong = Vec::new();
    for (number, example) in examples.iter().enumerate() {
        let told = told(&document, &name(number));
        for line in example.says {
            if !told.iter().any(|said| begins(said, line)) {
                wrong.push(format!("{}: it does not say {line:?}; it says {told:#?}", example.source));
            }
            let key = key(line);
            let (mine, all) = (of(example.says.iter().copied(), key), of(told.iter().map(String::as_str), key));
            if mine != all {
                wrong.push(format!("{}: {mine} lines of {key:?}, the book says {all}: {told:#?}", example.source));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} examples", examples.len());
}

/// How many lines tell of one sale, or of what is left.
fn of<'a>(lines: impl Iterator<Item = &'a str>, wanted: &str) -> usize {
    lines.filter(|line| key(line) == wanted).count()
}

/// What a line is about: `s1:`, `s1 =`, `s1!` or `left:`.
fn key(line: &str) -> &str {
    line.split_inclusive([':', '=', '!']).next().unwrap_or(line)
}

/// Whether a line begins with these words, whole.
fn begins(said: &str, line: &str) -> bool {
    said.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Account and instrument of an example.
fn name(number: usize) -> String {
    format!("E{number}")
}

fn lines(number: usize, example: &Example) -> String {
    let name = name(number);
    let mut contract = json!({
        "type": "contract", "contract_id": format!("K{number}"), "account": name, "instrument": "*",
        "lot_method": example.method, "effective_date": "1900-01-01",
    });
    for (term, value) in example.terms {
        contract[*term] = json!(value);
    }
    let mut text = format!("{contract}\n");
    for (order, row) in example.rows.iter().enumerate() {
        let words: Vec<&str> = row.split_whitespace().collect();
        let (mut line, more) = match words.as_slice() {
            ["split", ratio, date, more @ ..] => {
                let whole = |text: &str| text.parse::<u32>().expect("a whole number");
                let (new, old) = ratio.split_once(':').expect("new units for old ones");
                (
                    json!({ "action": "split", "numerator": whole(new), "denominator": whole(old), "effective_date": date }),
                    more,
                )
            }
            ["return_of_capital", cash, date, more @ ..] => {
                (json!({ "action": "return_of_capital", "cash_per_unit": cash, "effective_date": date }), more)
            }
            [id, side, quantity, price, date, more @ ..] => {
                let id = format!("{name}-{id}");
                let mut line = json!({
                    "type": "trade", "trade_id": id, "account": name, "side": side, "quantity": quantity, "effective_date": date,
                    "source_order": order,
                });
                if *price != "-" {
                    line["price"] = json!(price);
                }
                (line, more)
            }
            _ => panic!("no row: {row}"),
        };
        if line["type"].is_null() {
            line["type"] = json!("corporate_action");
        }
        line["instrument"] = json!(name);
        for word in more {
            match word.split_once('=').expect("a name and a value") {
                ("lot", lot) => line["lot"] = json!(format!("{name}-{lot}")),
                (field, value) => line[field] = json!(value),
            }
        }
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// Everything that the document says of an example.
fn told(document: &Value, name: &str) -> Vec<String> {
    let short = |id: &Value| text(id).split_once('-').map_or("", |(_, id)| id).to_owned();
    let mut said = Vec::new();
    for trade in array(&document["trades"]).iter().filter(|trade| trade["account"] == name) {
        let id = short(&trade["trade_id"]);
        if trade["outcome"] == "rejected" {
            said.push(format!("{id}! {}", text(&trade["reason"])));
        }
        let parts = array(&trade["allocations"]);
        for part in parts {
            let (lot, quantity, cost) = (short(&part["lot_trade_id"]), text(&part["quantity"]), text(&part["cost"]));
            let (gain, term) = (text(&part["realized_pnl"]), text(&part["term"]));
            said.push(format!("{id}: {lot} {quantity} cost {cost} gain {gain} {term}"));
        }
        if !parts.is_empty() {
            // Exact: the parts' costs sum to what was sold for less what was gained.
            let cost: i128 = parts.iter().map(|part| units(text(&part["cost"]))).sum();
            said.push(format!("{id} = cost {} gain {}", decimal(cost), text(&trade["realized_pnl"])));
        }
    }
    for position in array(&document["positions"]).iter().filter(|position| position["account"] == name) {
        assert_eq!(position["reconciliation_status"], "RECONCILED", "{name}");
        for lot in array(&position["lots"]) {
            let (id, quantity, cost) = (short(&lot["trade_id"]), text(&lot["quantity"]), text(&lot["cost"]));
            said.push(format!("left: {id} {quantity} cost {cost}"));
        }
        if array(&position["lots"]).is_empty() {
            said.push("left: nothing".into());
        }
        let (realized, long) = (text(&position["realized_pnl"]), text(&position["realized_long_term"]));
        said.push(format!("realized {realized} long {long}"));
    }
    said
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// An exact decimal in units of 10^-16.
fn units(text: &str) -> i128 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{decimals:0<16}").parse().expect("at most 16 decimals")
}

fn decimal(units: i128) -> String {
    let one = 10i128.pow(16);
    let text = format!("{}.{:016}", units / one, units % one);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
