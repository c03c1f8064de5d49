//! What a book says of many ledgers, whoever booked them: the product by its command line, or another one by its peer script.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{command, texts};

/// A part of a closing trade: what it took from one lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The opening trade's id; of coinbasis its execution time, or nothing.
    pub(crate) lot: Option<String>,
    pub(crate) quantity_e8: i128,
    pub(crate) cost_e16: i128,
    /// Where the book tells it for this part; beancount tells it for the whole trade, with the last part.
    pub(crate) realized_e16: Option<i128>,
    pub(crate) long: Option<bool>,
}

/// A lot that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) lot: Option<String>,
    pub(crate) quantity_e8: i128,
    pub(crate) cost_e16: i128,
}

/// One ledger, booked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Booked {
    /// Closing trades by id.
    pub(crate) trades: BTreeMap<String, Vec<Part>>,
    /// Open lots in the order of opening, where the book tells them.
    pub(crate) lots: Option<Vec<Left>>,
}

/// Ledgers by account, each booked or refused with a text.
pub(crate) type Books = BTreeMap<String, Result<Booked, String>>;

/// The product's book: `lotbook replay --json FILE`. Whatever was not booked and reconciled is a refusal.
pub(crate) fn product(file: &Path) -> Books {
    let folder = file.parent().expect("a file in a folder");
    let output = command(folder).args(["replay", "--json"]).arg(file).output().expect("the binary runs");
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{err}");
    let document: Value = serde_json::from_str(&out).expect("a document");
    let mut books = Books::new();
    for position in array(&document["positions"]) {
        let mut book =
            Ok(Booked { lots: Some(array(&position["lots"]).iter().map(left).collect()), ..Booked::default() });
        if position["reconciliation_status"] != "RECONCILED" || position["breaks"] != Value::Array(Vec::new()) {
            book = Err(position["breaks"].to_string());
        }
        books.insert(text(&position["account"]), book);
    }
    for trade in array(&document["trades"]) {
        let id = text(&trade["trade_id"]);
        let Some(book) = books.get_mut(trade["account"].as_str().expect("an account")) else { continue };
        let Ok(booked) = book else { continue };
        match trade["outcome"].as_str() {
            // An amendment has no figures of its own, and neither has what was cancelled.
            Some("applied" | "provisional") if !trade["amends"].is_null() || trade["amended"] == "cancelled" => {
                continue;
            }
            Some("applied" | "provisional") => {}
            _ => {
                *book = Err(format!("{id}: {} {}", trade["outcome"], trade["reason"]));
                continue;
            }
        }
        let parts: Vec<Part> = array(&trade["allocations"])
            .iter()
            .map(|part| Part {
                lot: Some(text(&part["lot_trade_id"])),
                quantity_e8: number(&part["quantity"], 8),
                cost_e16: number(&part["cost"], 16),
                realized_e16: Some(number(&part["realized_pnl"], 16)),
                long: Some(part["term"] == "long"),
            })
            .collect();
        let realized_e16: i128 = parts.iter().filter_map(|part| part.realized_e16).sum();
        assert_eq!(number(&trade["realized_pnl"], 16), realized_e16, "{id}: its parts sum to what it realized");
        if !parts.is_empty() {
            booked.trades.insert(id, parts);
        }
    }
    books
}

/// The book of a peer script. `None`, with the reason on the output, where its package is not to be had.
///
/// # Panics
/// With `CI=true`, where `scripts/test` has set up an interpreter that misses the package.
pub(crate) fn peer(script: &str, arguments: &[&str], file: &Path) -> Option<Books> {
    let Some(python) = std::env::var_os("LOTBOOK_PYTHON") else {
        println!("skipped: LOTBOOK_PYTHON is not set; scripts/test sets it");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/differential").join(script);
    let output = Command::new(python)
        .arg("-B")
        .arg(&script)
        .args(arguments)
        .stdin(Stdio::from(File::open(file).expect("the lines")))
        .output()
        .expect("LOTBOOK_PYTHON is an interpreter");
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{}: {err}", script.display());
    let mut books = Books::new();
    for line in out.lines() {
        let said: Value = serde_json::from_str(line).expect("a JSON line");
        if let Some(why) = said["skipped"].as_str() {
            println!("skipped: {why}");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI has every peer: {why}");
            return None;
        }
        if let Some(count) = said["done"].as_u64() {
            assert_eq!(count, books.len() as u64, "an answer for each ledger");
            return Some(books);
        }
        let book = match said["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(Booked {
                trades: said["trades"].as_object().expect("trades").iter().map(parts).collect(),
                lots: said["lots"].as_array().map(|lots| lots.iter().map(left).collect()),
            }),
        };
        books.insert(text(&said["account"]), book);
    }
    panic!("{}: ended before its last line: {err}", script.display());
}

/// Writes the lines to a file in a folder and gives both books of them.
pub(crate) fn both(lines: &str, script: &str, arguments: &[&str]) -> Option<(Books, Books)> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("ledgers.jsonl");
    fs::write(&file, lines).expect("a file in a temporary directory");
    let theirs = peer(script, arguments, &file)?;
    Some((product(&file), theirs))
}

fn parts((id, list): (&String, &Value)) -> (String, Vec<Part>) {
    let part = |part: &Value| Part {
        lot: part["lot"].as_str().map(Into::into),
        quantity_e8: number(&part["quantity"], 8),
        cost_e16: number(&part["cost"], 16),
        realized_e16: (!part["realized"].is_null()).then(|| number(&part["realized"], 16)),
        long: part["long"].as_bool(),
    };
    (id.clone(), array(list).iter().map(part).collect())
}

/// Peers sign the quantity of a short lot; the product tells its side.
fn left(lot: &Value) -> Left {
    let name = lot["trade_id"].as_str().or(lot["lot"].as_str()).map(Into::into);
    let sign = if lot["side"] == "short" { -1 } else { 1 };
    Left { lot: name, quantity_e8: sign * number(&lot["quantity"], 8), cost_e16: number(&lot["cost"], 16) }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// A decimal string at a scale, rounded half to even: other books keep more digits.
pub(crate) fn number(value: &Value, scale: usize) -> i128 {
    let text = value.as_str().expect("a decimal string");
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let (kept, rest) = decimals.split_at(decimals.len().min(scale));
    let mut units: i128 = format!("{whole}{kept:0<scale$}").parse().expect("digits");
    let half = rest.starts_with('5') && rest[1..].bytes().all(|digit| digit == b'0');
    if rest.as_bytes().first().is_some_and(|digit| *digit >= b'5') && !(half && units % 2 == 0) {
        units += 1;
    }
    if negative { -units } else { units }
}
