//! `lotbook replay`, as its contract says: golden documents, stderr and exit codes, determinism, real data.
//!
//! Inputs and the documents that they give lie in `tests/replay`. `LOTBOOK_BLESS=1 cargo test -p lotbook-gateway
//! --test replay` writes the documents anew; every number in them was checked by hand, so look at the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use lotbook_gateway::cli::{Cli, Command, ExitCode, ReplayArgs};
use lotbook_gateway::output::Colours;
use lotbook_gateway::replay::execute;
use serde_json::Value;

/// What a run gave.
struct Ran {
    code: ExitCode,
    out: String,
    err: String,
}

impl Ran {
    fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {:?}; {}", self.out, self.err))
    }
}

fn args(words: &[&str]) -> ReplayArgs {
    match Cli::try_parse_from(["lotbook", "replay"].iter().chain(words)).expect("a command line").command {
        Command::Replay(args) => args,
        other => panic!("{other:?}"),
    }
}

fn run(words: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match execute(&args(words), Colours::Off, &mut out, &mut err) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            err.extend_from_slice(format!("{error}\n").as_bytes());
            error.exit_code()
        }
    };
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code, out: text(out), err: text(err) }
}

fn run_json(words: &[&str]) -> Ran {
    run(&[&["--json"], words].concat())
}

/// Name of the golden document, options and files, exit code, what standard error holds.
const GOLDEN: &[(&str, &str, ExitCode, &[&str])] = &[
    ("flips", "--allow-short flips.jsonl", ExitCode::Ok, &[]),
    ("oversell", "oversell.jsonl", ExitCode::Ok, &[]),
    ("mismatch", "--allow-short mismatch.jsonl", ExitCode::Ok, &[]),
    ("lots", "lots.jsonl", ExitCode::Ok, &[]),
    ("duplicates", "duplicates.jsonl", ExitCode::Ok, &[]),
    ("late", "late.jsonl", ExitCode::Ok, &[]),
    ("break", "break.jsonl", ExitCode::Ok, &[]),
    (
        "forward",
        "--allow-short forward.jsonl",
        ExitCode::Ok,
        &["forward.jsonl:10: business date refused: BUSINESS_DATE_BACK"],
    ),
    ("marks", "--allow-short marks.jsonl", ExitCode::Ok, &["marks.jsonl:17: mark refused: BAD_PRICE"]),
    ("contracts", "contracts.jsonl", ExitCode::Ok, &[]),
    ("actions", "actions.jsonl", ExitCode::Ok, &[]),
    ("locks", "locks.jsonl", ExitCode::Ok, &["locks.jsonl:19: contract refused: PERIOD_LOCKED"]),
    ("instruments", "instruments.jsonl", ExitCode::Ok, &["instruments.jsonl:8: instrument refused: BAD_TERMS"]),
    ("bounds", "bounds.jsonl", ExitCode::Ok, &[]),
    ("rounded", "--round rounded.jsonl", ExitCode::Ok, &[]),
    ("unrounded", "rounded.jsonl", ExitCode::Unreadable, &["rounded.jsonl:1: TOO_MANY_DECIMALS: price"]),
    ("bad", "bad.jsonl second.jsonl", ExitCode::Unreadable, &["bad.jsonl:3: MALFORMED_JSON"]),
    ("skipped", "--skip-bad bad.jsonl second.jsonl", ExitCode::Ok, &[]),
    ("lost", "--skip-bad no-such-file.jsonl second.jsonl", ExitCode::Unreadable, &["no-such-file.jsonl: CANNOT_OPEN"]),
    ("files", "oversell.jsonl second.jsonl", ExitCode::Ok, &[]),
    ("csv", "fills.csv", ExitCode::Ok, &[]),
    ("fix", "session.fix", ExitCode::Ok, &[]),
    ("money", "--base-currency USD money.jsonl", ExitCode::Ok, &["money.jsonl:7: rate refused: BAD_RATE"]),
    ("wash", "wash.jsonl", ExitCode::Ok, &[]),
    ("ruled", "--rules rules.jsonl ruled.jsonl", ExitCode::Ok, &[]),
    ("lifo", "--lot-method LIFO lots.jsonl", ExitCode::Ok, &[]),
];

const DIR: &str = "tests/replay";

/// The words of a golden run; files lie in [`DIR`], relative to the crate, so that documents name them alike.
fn golden_words(line: &str) -> Vec<String> {
    let is_file = |word: &str| [".jsonl", ".csv", ".fix"].iter().any(|ending| word.ends_with(ending));
    line.split(' ').map(|word| if is_file(word) { format!("{DIR}/{word}") } else { word.to_owned() }).collect()
}

fn run_golden(line: &str) -> Ran {
    let words = golden_words(line);
    run_json(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn golden_documents() {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string("../docs/replay-output.schema.json").expect("the schema"))
            .expect("JSON");
    let bless = std::env::var_os("LOTBOOK_BLESS").is_some();
    for (name, line, code, errors) in GOLDEN {
        let ran = run_golden(line);
        assert_eq!(ran.code, *code, "{name}: {}", ran.err);
        for error in *errors {
            assert!(ran.err.contains(error), "{name}: {error} is not in {}", ran.err);
        }
        assert_eq!(ran.err.lines().count(), errors.len(), "{name}: {}", ran.err);
        let document = ran.document();
        follows(&document, &schema, &schema, name);
        let path = format!("{DIR}/{name}.json");
        let pretty = serde_json::to_string_pretty(&document).expect("text") + "\n";
        if bless {
            fs::write(&path, &pretty).expect("the golden document is written");
        }
        let want = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(pretty, want, "{name}");
    }
}

/// The example of the documentation is a real one.
#[test]
fn the_documented_document_is_what_comes_out() {
    let page = fs::read_to_string("../docs/replay.md").expect("the page");
    let blocks: Vec<&str> = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let (lines, document) = (blocks[0], blocks.iter().find(|block| block.contains("\"positions\"")).expect("one"));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("trades.jsonl");
    fs::write(&path, lines).expect("a file");
    let (mut got, mut want) =
        (run_json(&[path.to_str().expect("UTF-8")]).document(), serde_json::from_str(document).expect("JSON"));
    for document in [&mut got, &mut want] {
        for trade in document["trades"].as_array_mut().expect("a list") {
            // The first one is made, and the file lies where there is room.
            let trade = trade.as_object_mut().expect("an object");
            trade.remove("correlation_id");
            trade.remove("file");
        }
    }
    assert_eq!(got, want);
}

/// Wash sales are beside the book: what arrives in another order gives the same view, and a book without the rule has the
/// same plain figures.
#[test]
fn wash_sales_are_a_view_of_history_and_no_more() {
    let text = fs::read_to_string(format!("{DIR}/wash.jsonl")).expect("the golden input");
    let (contracts, others): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.contains("\"contract\","));
    let of = |lines: &[&str]| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("wash.jsonl");
        fs::write(&path, lines.join("\n")).expect("a file");
        let ran = run_json(&[path.to_str().expect("UTF-8")]);
        assert_eq!((ran.code, ran.err.as_str()), (ExitCode::Ok, ""));
        let document = ran.document();
        let plain: Vec<Value> = document["positions"].as_array().expect("a list").iter().map(plain_figures).collect();
        (document["wash"].clone(), plain)
    };
    let in_order = of(&[&contracts[..], &others[..]].concat());
    assert_eq!(in_order.0.as_array().map(Vec::len), Some(7));
    for turn in 0..4 {
        let mut lines = others.clone();
        if turn == 0 {
            lines.reverse();
        } else {
            let third = lines.len() * turn / 5;
            lines.rotate_left(third);
        }
        assert_eq!(of(&[&contracts[..], &lines[..]].concat()), in_order, "turn {turn}");
    }
    let without: Vec<String> =
        contracts.iter().map(|line| line.replace("TAXPAYER", "NONE").replace("\"ACCOUNT\"", "\"NONE\"")).collect();
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    let (none, plain) = of(&[&without[..], &others[..]].concat());
    assert_eq!(none, Value::Array(Vec::new()));
    assert_eq!(plain, in_order.1);
}

/// A position without what tells how it came about.
fn plain_figures(position: &Value) -> Value {
    let mut position = position.clone();
    let row = position.as_object_mut().expect("an object");
    row.remove("version");
    row.remove("mark");
    position
}

/// Two runs give the same bytes, also where threads race: late trades, maturing trades, corrections.
#[test]
fn runs_are_deterministic() {
    for (name, line, ..) in
        GOLDEN.iter().filter(|(name, ..)| ["late", "forward", "contracts", "actions", "locks", "fix"].contains(name))
    {
        let first = run_golden(line);
        for _ in 0..2 {
            assert_eq!(run_golden(line).out, first.out, "{name}");
        }
    }
}

/// The part of JSON Schema that the output's schema uses.
fn follows(value: &Value, rule: &Value, root: &Value, at: &str) {
    if let Some(name) = rule["$ref"].as_str() {
        let name = name.strip_prefix("#/$defs/").expect("a local reference");
        return follows(value, &root["$defs"][name], root, at);
    }
    if let Some(choices) = rule["oneOf"].as_array() {
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null());
        return follows(value, choice.unwrap_or_else(|| panic!("{at}: {value}")), root, at);
    }
    if let Some(values) = rule["enum"].as_array() {
        assert!(values.contains(value), "{at}: {value} is none of {values:?}");
    }
    match rule["type"].as_str() {
        Some("object") => {
            let object = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
            let known = rule["properties"].as_object().expect("properties");
            for name in rule["required"].as_array().expect("required keys") {
                assert!(object.contains_key(name.as_str().expect("a key")), "{at}: {name} is missing");
            }
            for (key, value) in object {
                let rule = known.get(key).unwrap_or_else(|| panic!("{at}: {key} is not documented"));
                follows(value, rule, root, &format!("{at}.{key}"));
            }
        }
        Some("array") => {
            for (index, item) in value.as_array().expect("an array").iter().enumerate() {
                follows(item, &rule["items"], root, &format!("{at}[{index}]"));
            }
        }
        Some("string") => assert!(value.is_string(), "{at}: {value} is no text"),
        Some("integer") => assert!(value.is_i64() || value.is_u64(), "{at}: {value} is no integer"),
        Some("null") => assert!(value.is_null(), "{at}: {value} is not null"),
        _ => {}
    }
}

#[test]
fn tables_for_people() {
    let ran = run(&["--allow-short", "tests/replay/late.jsonl"]);
    assert_eq!(ran.code, ExitCode::Ok, "{}", ran.err);
    assert!(ran.out.starts_with("account  instrument"), "{}", ran.out);
    assert!(ran.out.contains("9 trades: 6 applied, 3 provisional, 0 duplicate"), "{}", ran.out);
}

/// A data directory is kept: the same files again are all duplicates, and the book is the same. What earlier runs
/// said once is not held against the second run.
#[test]
fn a_data_dir_is_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let data = data.to_str().expect("UTF-8");
    for file in ["tests/replay/break.jsonl", "tests/replay/contracts.jsonl"] {
        let name = Path::new(file).file_stem().expect("a name").to_str().expect("UTF-8");
        let other = tempfile::tempdir().expect("a temporary directory");
        let other = other.path().to_str().expect("UTF-8").to_owned();
        let words = |file| vec!["--allow-short", "--data-dir", &*other, file];
        let (first, second) = (run_json(&words(file)).document(), run_json(&words(file)));
        let document = second.document();
        assert_eq!(document["positions"], first["positions"], "{name}");
        for (before, after) in rows(&first, "trades").iter().zip(rows(&document, "trades")) {
            let accepted = ["applied", "provisional"].contains(&before["outcome"].as_str().expect("text"));
            let want = if accepted { "duplicate" } else { "rejected" };
            assert_eq!(after["outcome"], want, "{name}: {before}");
        }
        assert_eq!(rows(&document, "corrections").len(), 0);
        assert_eq!(
            document["counts"]["refused_commands"], first["counts"]["refused_commands"],
            "{name}: {}",
            second.err
        );
    }
    // A later file goes on where the first one ended; lots of the first run keep their ids.
    let words = |file| ["--allow-short", "--data-dir", data, file];
    run_json(&words("tests/replay/late.jsonl")).document();
    let on = run_json(&words("tests/replay/second.jsonl")).document();
    let sale = &rows(&on, "trades")[0];
    assert_eq!((&sale["trade_id"], &sale["outcome"]), (&"s9".into(), &"provisional".into()));
    assert_eq!(sale["allocations"][0]["lot_trade_id"], "b0");
    // Without the option other rules hold from the first day on, and both positions are replayed for them.
    let ran = run_json(&["--data-dir", data, "tests/replay/second.jsonl"]);
    assert_eq!(ran.err, "");
    assert_eq!(rows(&ran.document(), "corrections").len(), 2);
}

fn rows<'v>(document: &'v Value, list: &str) -> &'v [Value] {
    document[list].as_array().expect("a list")
}

#[test]
fn errors_have_exit_codes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = lotbook_engine::EngineConfig::new(dir.path().join("held"));
    let host = lotbook_engine::Host::start(&config).expect("a host");
    let held = dir.path().join("held");
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").expect("a file");
    let below = file.join("data");
    let bad_rules = dir.path().join("rules.jsonl");
    fs::write(&bad_rules, "{\"type\":\"mark\"}\n").expect("a file");
    let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    for (words, code, error) in [
        (vec!["--data-dir".to_owned(), text(&held)], ExitCode::Locked, "owned by another process"),
        (vec!["--data-dir".to_owned(), text(&below)], ExitCode::Io, "creating"),
        (vec!["--rules".to_owned(), text(&bad_rules)], ExitCode::Unreadable, "rules.jsonl:1: MISSING_FIELD"),
        (vec!["--rules".to_owned(), text(&below)], ExitCode::Unreadable, "CANNOT_OPEN"),
        (vec!["--map".to_owned(), "nonsense".to_owned()], ExitCode::Unreadable, "--map"),
    ] {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.push("tests/replay/second.jsonl");
        let ran = run_json(&words);
        assert_eq!(ran.code, code, "{words:?}: {}", ran.err);
        assert!(ran.err.contains(error), "{words:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{words:?}: nothing was fed");
    }
    host.stop().expect("stops");
}

/// Correlation ids are made where none were given, and differ.
#[test]
fn correlation_ids_are_made() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("trades");
    let line = |id| {
        format!(
            r#"{{"type":"trade","trade_id":"{id}","account":"A","instrument":"I","side":"buy","quantity":"1","price":"1","effective_date":"2020-03-02"}}"#
        )
    };
    fs::write(&file, format!("{}\n{}\n", line("a"), line("b"))).expect("a file");
    let document = run_json(&[file.to_str().expect("UTF-8")]).document();
    let ids: Vec<_> = rows(&document, "trades").iter().map(|t| t["correlation_id"].as_str().expect("text")).collect();
    assert!(ids[0].ends_with("@lotbook"), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
}

/// Every order of arrival of the same trades ends, reconciled, in the same book and with the same figures.
#[test]
fn arrival_does_not_order() {
    let trade = |id: &str, side: &str, quantity: u32, price: u32, day: u32, order: u32| {
        format!(
            r#"{{"type":"trade","trade_id":"{id}","account":"A","instrument":"I","side":"{side}","quantity":"{quantity}","price":"{price}","effective_date":"2020-03-0{day}","executed_at":"2020-03-0{day}T10:00:00Z","source_order":{order}}}"#
        )
    };
    let lines = [
        trade("a", "buy", 10, 10, 2, 1),
        trade("b", "buy", 5, 12, 2, 2),
        trade("c", "sell", 12, 13, 3, 3),
        trade("d", "sell", 9, 11, 4, 4),
        trade("e", "buy", 20, 9, 5, 5),
    ];
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut want: Option<(Value, Figures)> = None;
    for rotation in 0..lines.len() {
        for reversed in [false, true] {
            let mut lines = lines.clone();
            lines.rotate_left(rotation);
            if reversed {
                lines.reverse();
            }
            let file = dir.path().join("trades.jsonl");
            fs::write(&file, lines.join("\n")).expect("a file");
            let document = run_json(&["--allow-short", file.to_str().expect("UTF-8")]).document();
            let got = (without_history(&document), figures(&document));
            assert_eq!(&got, want.get_or_insert_with(|| got.clone()), "{rotation} {reversed}");
        }
    }
}

/// Positions without what knowledge, not history, determines.
fn without_history(document: &Value) -> Value {
    let mut positions = document["positions"].clone();
    for position in positions.as_array_mut().expect("a list") {
        position.as_object_mut().expect("an object").remove("version");
    }
    positions
}

/// By trade id: realized P&L and allocations.
type Figures = BTreeMap<String, (Value, Value)>;

fn figures(document: &Value) -> Figures {
    rows(document, "trades")
        .iter()
        .map(|t| {
            (t["trade_id"].as_str().expect("text").to_owned(), (t["realized_pnl"].clone(), t["allocations"].clone()))
        })
        .collect()
}

/// A file of the real data, where it lies beside the checkout.
fn real(name: &str) -> Option<String> {
    let path = format!("{}/../../shared/data/{name}", env!("CARGO_MANIFEST_DIR"));
    Path::new(&path).exists().then_some(path)
}

/// Sum of decimal strings at 10^-16.
fn sum_e16(document: &Value, keys: &[&str]) -> i128 {
    let at_e16 = |text: &str| -> i128 {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        sign * format!("{whole}{fraction:0<16}").parse::<i128>().expect("a number")
    };
    let positions = rows(document, "positions");
    positions.iter().flat_map(|p| keys.iter().map(|key| at_e16(p[*key].as_str().expect("a mark is there")))).sum()
}

#[test]
fn real_fills() {
    let Some(file) = real("fills_pyfolio.csv.gz") else { return };
    let sums = ["FIFO", "LIFO", "HIFO"].map(|method| {
        let ran = run_json(&["--round", "--allow-short", "--lot-method", method, "--map", "preset:pyfolio", &file]);
        assert_eq!(ran.code, ExitCode::Ok, "{}", ran.err);
        let document = ran.document();
        let counts = &document["counts"];
        assert_eq!((&counts["trades"], &counts["applied"]), (&9367.into(), &9367.into()), "{method}: {counts}");
        sum_e16(&document, &["realized_pnl", "unrealized_pnl"])
    });
    assert_eq!(sums[0], sums[1]);
    assert_eq!(sums[0], sums[2]);
    // Without --round the first of the 67 prices with more than eight decimals ends the run.
    let ran = run_json(&["--allow-short", "--map", "preset:pyfolio", &file]);
    assert_eq!(ran.code, ExitCode::Unreadable);
    assert!(ran.err.contains("TOO_MANY_DECIMALS"), "{}", ran.err);
}

#[test]
fn real_prints_in_any_order() {
    let Some(file) = real("taq_trades.csv.gz") else { return };
    let straight = run_json(&["--allow-short", "--map", "preset:taq", &file]).document();
    assert_eq!(straight["counts"]["applied"], 77_263);

    let mut text = String::new();
    let reader = flate2::read::MultiGzDecoder::new(fs::File::open(&file).expect("opens"));
    std::io::Read::read_to_string(&mut { reader }, &mut text).expect("reads");
    let mut lines = text.lines();
    let header = lines.next().expect("a header");
    let mut shuffled: Vec<String> = lines.enumerate().map(|(index, line)| format!("{line},{}", index + 2)).collect();
    // Fisher and Yates over a linear congruence (Knuth's MMIX): any order will do, the same in every run.
    let mut state = 20_180_102u64;
    for last in (1..shuffled.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        shuffled.swap(last, ((state >> 33) % (last as u64 + 1)) as usize);
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("shuffled.csv");
    fs::write(&path, format!("{header},source_order\n{}\n", shuffled.join("\n"))).expect("a file");
    let words = [
        "--allow-short",
        "--map",
        "preset:taq",
        "--map",
        "trade_id=template:T{source_order}",
        path.to_str().expect("UTF-8"),
    ];
    let document = run_json(&words).document();
    assert_eq!(without_history(&document), without_history(&straight));
    assert_eq!(figures(&document), figures(&straight));
    assert_eq!(rows(&document, "corrections").len(), 20, "one correction a position");
}
