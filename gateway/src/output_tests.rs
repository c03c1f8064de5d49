//! The document against its schema and its order, and the tables against their text.

use super::*;
use lotbook_core::amount::{MONEY_E16_MAX, format_e8, format_e16};
use lotbook_core::date::Date;

fn day(text: &str) -> Day {
    Day(Date::parse(text).expect(text))
}

fn position(account: &str, instrument: &str) -> PositionRow {
    PositionRow {
        account: account.to_owned(),
        instrument: instrument.to_owned(),
        quantity: E8(6_000_000_000),
        status: PositionStatus::Open,
        reconciliation_status: Reconciliation::Reconciled,
        version: 2,
        realized_pnl: E16(-4_000_000_000_000_000_000),
        realized_long_term: E16(-5_000_000_000_000_000_000),
        realized_short_term: E16(1_000_000_000_000_000_000),
        realized_base: E16(-4_000_000_000_000_000_000),
        cost: E16(100_578_000_000_000_000_000),
        base_cost: E16(110_000_000_000_000_000_000),
        unrealized_pnl: Some(E16(12_500_000_000_000_000)),
        average_cost: E8(16_763_000_000),
        exposure: Some(E16(0)),
        currency: None,
        last_effective_date: Some(day("2020-03-05")),
        provisional_trade_ids: Vec::new(),
        forward_quantity: E8(0),
        adjustment: Some(AdjustedRow { date: day("2020-03-01"), figures: adjusted_figures() }),
        uti: None,
        mark: Some(MarkRow { price: E8(17_000_000_000), source: "last", age_ms: 0 }),
        fees: E16(0),
        dividends: E16(0),
        breaks: Vec::new(),
        resolution: None,
        lots: vec![LotRow {
            trade_id: "t1".to_owned(),
            side: LotSide::Long,
            quantity: E8(6_000_000_000),
            price: E8(16_763_000_000),
            cost: E16(100_578_000_000_000_000_000),
            base_cost: E16(110_000_000_000_000_000_000),
            acquired: day("2020-03-05"),
            long_term_from: Some(day("2021-03-06")),
            sub_account: Some("ALPHA".to_owned()),
            unrealized_pnl: None,
        }],
    }
}

fn trade(id: &str, outcome: Outcome, reason: Option<&'static str>) -> TradeRow {
    TradeRow {
        trade_id: id.to_owned(),
        kind: "trade",
        amends: None,
        amended: None,
        outcome,
        reason,
        realized_pnl: E16(0),
        realized_long_term: E16(0),
        realized_short_term: E16(0),
        realized_base: E16(0),
        realized_market: E16(0),
        realized_fx: E16(0),
        allocations: vec![AllocationRow {
            lot_trade_id: "t1".to_owned(),
            quantity: E8(4_000_000_000),
            price: E8(16_763_000_000),
            cost: E16(2),
            base_cost: E16(3),
            acquired: day("2020-03-05"),
            term: Term::Long,
            realized_pnl: E16(1),
        }],
        account: "A1".to_owned(),
        instrument: "AAPL".to_owned(),
        fees: E8(0),
        consideration: Some(E8(1)),
        consideration_difference: Some(E16(-1)),
        currency: None,
        fx_to_base: Some(E8(100_000_000)),
        sub_account: None,
        correlation_id: "c".to_owned(),
        file: Arc::from("trades.jsonl"),
        line: 3,
    }
}

fn correction(account: &str, version: u64) -> CorrectionRow {
    let before = FiguresRow {
        quantity: E8(1),
        realized_pnl: E16(5),
        realized_long_term: E16(0),
        realized_base: E16(6),
        cost: E16(1),
        base_cost: E16(2),
        dividends: E16(0),
        lot_count: 3,
        exposure: Some(E16(2)),
    };
    let after = FiguresRow {
        realized_pnl: E16(2),
        realized_long_term: E16(1),
        cost: E16(4),
        dividends: E16(7),
        lot_count: 1,
        exposure: None,
        ..before.clone()
    };
    CorrectionRow {
        position: format!("{account}/AAPL"),
        account: account.to_owned(),
        instrument: "AAPL".to_owned(),
        trade_id: "t9".to_owned(),
        version,
        base_version: version - 1,
        late_trades: 1,
        delta: CorrectionRow::delta_of(&before, &after).expect("fits"),
        before,
        after,
        lots: vec![],
        adjustment: None,
    }
}

fn action(id: &str, action: &'static str) -> ActionRow {
    ActionRow {
        action_id: id.to_owned(),
        action,
        instrument: "AAPL".to_owned(),
        effective_date: day("2020-03-05"),
        outcome: Outcome::Applied,
        reason: None,
        amended: Some(Amended::Cancelled),
        positions: 3,
        realized_pnl: E16(-1),
        dividends: E16(0),
        file: Arc::from("trades.jsonl"),
        line: 7,
    }
}

fn adjusted_figures() -> AdjustedFigures {
    AdjustedFigures {
        realized_pnl: E16(5),
        realized_long_term: E16(7),
        realized_short_term: E16(-2),
        realized_base: E16(6),
        fees: E16(1),
        dividends: E16(0),
    }
}

fn adjustment(account: &str, version: u64) -> AdjustmentRow {
    AdjustmentRow {
        account: account.to_owned(),
        instrument: "AAPL".to_owned(),
        trade_id: "t9".to_owned(),
        date: day("2020-03-05"),
        figures: adjusted_figures(),
        version,
    }
}

fn wash(account: &str) -> WashRow {
    WashRow {
        account: account.to_owned(),
        instrument: "Z".to_owned(),
        disallowed: E16(1),
        recognized: E16(2),
        carried: E16(30_000_000_000_000_000),
        realized_pnl: E16(-4),
        realized_long_term: E16(5),
        realized_short_term: E16(-9),
        losses: vec![WashLossRow {
            trade_id: "s".to_owned(),
            date: day("2020-03-05"),
            lot_trade_id: "t1".to_owned(),
            quantity: E8(2),
            realized_pnl: E16(-3),
            addition: E16(0),
            replaced_quantity: E8(1),
            disallowed: E16(2),
            replacements: vec![ReplacementRow {
                account: account.to_owned(),
                instrument: "X".into(),
                trade_id: "t2".to_owned(),
                lot_trade_id: "t2".to_owned(),
                quantity: E8(1),
                addition: E16(2),
                tacked_days: 3,
            }],
        }],
        lots: vec![WashLotRow {
            trade_id: "t2".to_owned(),
            side: LotSide::Short,
            quantity: E8(1),
            cost: E16(7),
            pieces: vec![WashPieceRow { quantity: E8(1), cost: E16(7), addition: E16(2), acquired: day("2020-03-02") }],
        }],
    }
}

fn document() -> ReplayDocument {
    let mut document = ReplayDocument {
        positions: vec![position("b", "A"), position("a", "Z"), position("B", "A"), position("a", "B")],
        trades: vec![
            trade("t2", Outcome::Applied, None),
            trade("t1", Outcome::Rejected, Some("OVERSELL")),
            trade("t0", Outcome::Rejected, Some("OVERSELL")),
            trade("t2", Outcome::Duplicate, None),
        ],
        actions: vec![action("split:AAPL:2020-03-05", "split"), action("a-1", "reset")],
        locks: vec![LockRow {
            account: LockedScope::All,
            through: day("2020-03-04"),
            outcome: Outcome::Rejected,
            reason: Some("NOT_RECONCILED"),
            file: Arc::from("trades.jsonl"),
            line: 8,
        }],
        corrections: vec![correction("b", 4), correction("a", 9), correction("a", 3)],
        adjustments: vec![adjustment("b", 5), adjustment("a", 10), adjustment("a", 9)],
        wash: vec![wash("b"), wash("a")],
        skipped: vec![SkippedRow {
            file: Arc::from("trades.jsonl"),
            line: 9,
            code: "BAD_DATE",
            field: Some("effective_date".to_owned()),
            message: "no".to_owned(),
        }],
        counts: Counts { lines: 5, ..Counts::default() },
    };
    document.finish();
    document
}

fn json(document: &ReplayDocument) -> serde_json::Value {
    let mut bytes = Vec::new();
    write_json(document, &mut bytes).expect("writes");
    assert_eq!(bytes.last(), Some(&b'\n'));
    serde_json::from_slice(&bytes).expect("is JSON")
}

#[test]
fn numbers_print_as_the_core_prints_them() {
    for value in [0, 1, -1, 10, 99, 100_000_000, -150_000_000, 16_763_000_000, i64::MAX, i64::MIN] {
        assert_eq!(E8(value).to_string(), format_e8(value));
    }
    for value in
        [0, 1, -1, 10_000_000_000_000_000, -125 * 100_000_000_000_000, MONEY_E16_MAX, -MONEY_E16_MAX, i128::MIN]
    {
        assert_eq!(E16(value).to_string(), format_e16(value));
    }
}

#[test]
fn order_and_counts() {
    let document = document();
    let json = json(&document);
    let names = |list: &str, key: &str| -> Vec<String> {
        let list = json[list].as_array().expect("a list");
        list.iter().map(|row| format!("{}/{}", row["account"].as_str().expect("text"), row[key])).collect()
    };
    assert_eq!(names("positions", "instrument"), ["B/\"A\"", "a/\"B\"", "a/\"Z\"", "b/\"A\""]);
    assert_eq!(names("corrections", "version"), ["a/3", "a/9", "b/4"]);
    let ids: Vec<&str> = document.trades.iter().map(|t| t.trade_id.as_str()).collect();
    assert_eq!(ids, ["t2", "t1", "t0", "t2"], "trades stay as they were read");
    let c = document.counts;
    assert_eq!((c.lines, c.trades, c.applied, c.rejected, c.duplicate), (5, 4, 1, 2, 1));
    assert_eq!((c.positions, c.lots, c.corrections, c.skipped), (4, 4, 3, 1));
    assert_eq!((c.actions, c.adjustments), (2, 3));
    assert_eq!(names("adjustments", "version"), ["a/9", "a/10", "b/5"]);
    assert_eq!(names("wash", "carried"), ["a/\"3\"", "b/\"3\""]);
    assert_eq!(json["locks"][0]["account"], "*");
    assert_eq!(json["corrections"][0]["delta"]["lot_count"], -2);
    assert_eq!(json["corrections"][0]["delta"]["exposure"], serde_json::Value::Null);
    assert_eq!(json["positions"][0]["average_cost"], "167.63");
    assert_eq!(json["positions"][0]["lots"][0]["cost"], "10057.8");
}

#[test]
#[should_panic(expected = "counted")]
fn an_unfinished_document_is_not_written() {
    let document = ReplayDocument { trades: vec![trade("t", Outcome::Applied, None)], ..ReplayDocument::default() };
    let _ = write_json(&document, Vec::new());
}

#[test]
fn tables() {
    let mut document = document();
    document.positions[0].lots[0].side = LotSide::Short;
    document.positions[1].reconciliation_status = Reconciliation::Pending;
    document.positions[1].unrealized_pnl = None;
    let mut plain = Vec::new();
    write_table(&document, Colours::Off, &mut plain).expect("writes");
    let plain = String::from_utf8(plain).expect("is text");
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines[0], "account  instrument  quantity  average cost  realized  unrealized      mark  status");
    assert_eq!(lines[1], "B        A                 60        167.63      -400        1.25  170 last  reconciled");
    assert_eq!(
        lines[2],
        "           lot t1         -60        167.63                                  cost 10057.8 of 2020-03-05"
    );
    assert!(lines[3].ends_with("?  170 last  PENDING (0 breaks)"), "{}", lines[3]);
    assert!(
        plain.contains(
            "wash sales of a Z: 0.0000000000000001 disallowed, 3 carried; realized as adjusted -0.0000000000000004\n"
        ),
        "{plain}"
    );
    assert!(plain.contains("rejected 2 OVERSELL, the first t1 at trades.jsonl:3\n"), "{plain}");
    assert!(plain.contains("skipped trades.jsonl:9: BAD_DATE: effective_date: no\n"), "{plain}");
    assert!(plain.contains("4 trades: 1 applied, 0 provisional, 1 duplicate, 2 rejected, 0 held\n"), "{plain}");
    let mut coloured = Vec::new();
    write_table(&document, Colours::On, &mut coloured).expect("writes");
    let mut coloured = String::from_utf8(coloured).expect("is text");
    assert!(coloured.contains("\u{1b}[31m-400\u{1b}[0m"));
    for code in ["31", "32", "33", "2", "1", "0"] {
        coloured = coloured.replace(&format!("\u{1b}[{code}m"), "");
    }
    assert_eq!(coloured, plain, "colours change nothing else");
}

// --- the schemas ---------------------------------------------------------------------------------

fn docs(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
    std::fs::read_to_string(format!("{path}{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn schema(name: &str) -> serde_json::Value {
    serde_json::from_str(&docs(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The part of JSON Schema 2020-12 that our two schemas use; any other keyword fails the test.
///
/// A full validator is fifty crates; two schemas of our own need none of what they add.
fn check(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
    at: &str,
) -> Result<(), String> {
    use serde_json::Value;
    let fail = |what: &str| Err(format!("{at}: {what}: {value}"));
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "$comment" => {}
            "$ref" => {
                let pointer = rule.as_str().and_then(|r| r.strip_prefix('#')).expect("a local reference");
                check(root, root.pointer(pointer).expect("a definition"), value, at)?;
            }
            "type" => {
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("type {other}"),
                };
                let names: Vec<&str> = match rule {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                    name => name.as_str().into_iter().collect(),
                };
                if !names.iter().any(|name| is(name)) {
                    return fail("type");
                }
            }
            "const" if rule != value => return fail("const"),
            "enum" if !rule.as_array().expect("a list").contains(value) => return fail("enum"),
            "const" | "enum" => {}
            "minimum" if value.as_i64().is_some_and(|n| n < rule.as_i64().expect("a number")) => {
                return fail("minimum");
            }
            "maximum" if value.as_i64().is_some_and(|n| n > rule.as_i64().expect("a number")) => {
                return fail("maximum");
            }
            "minLength" | "maxLength" | "minimum" | "maximum" => {
                let len = value.as_str().map(|s| s.chars().count() as u64);
                let bound = rule.as_u64().expect("a number");
                if len.is_some_and(|len| {
                    (keyword == "minLength" && len < bound) || (keyword == "maxLength" && len > bound)
                }) {
                    return fail(keyword);
                }
            }
            "pattern" => {
                if value.as_str().is_some_and(|text| !matches_pattern(rule.as_str().expect("a pattern"), text)) {
                    return fail("pattern");
                }
            }
            "required" => {
                for name in rule.as_array().expect("a list").iter().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        return fail(&format!("lacks {name}"));
                    }
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().expect("an object") {
                    if let Some(inner) = value.get(name) {
                        check(root, rule, inner, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(rule, &Value::Bool(false));
                let known = schema["properties"].as_object().expect("properties");
                if let Some(name) = value.as_object().and_then(|o| o.keys().find(|k| !known.contains_key(*k))) {
                    return fail(&format!("has {name}"));
                }
            }
            "items" => {
                for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, inner, &format!("{at}[{index}]"))?;
                }
            }
            "oneOf" => {
                let options = rule.as_array().expect("a list");
                let results: Vec<_> = options.iter().map(|option| check(root, option, value, at)).collect();
                if results.iter().filter(|r| r.is_ok()).count() != 1 {
                    return fail(&format!("not exactly one of: {results:?}"));
                }
            }
            other => panic!("keyword {other} is not checked"),
        }
    }
    Ok(())
}

/// The patterns of the schemas, by hand.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    use crate::input::text;
    match pattern {
        "^-?[0-9]+(\\.[0-9]+)?$" => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
            let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
            is_digits(whole) && is_digits(fraction)
        }
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" => Date::parse(text).is_some(),
        "^[!-~]([ -~]*[!-~])?$" => text::check_id(text.as_bytes()).is_ok(),
        "^[A-Z]{2}[A-Z0-9]{9}[0-9]$" => text::isin(text).is_some(),
        "^[A-Z0-9*@#]{8}[0-9]$" => text::cusip(text).is_some(),
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$" => {
            crate::input::time::parse_timestamp(text).is_some()
        }
        other => panic!("pattern {other} is not checked"),
    }
}

/// Every ```json block of `docs/replay.md`: input lines agree with schema and parser, documents with theirs.
#[test]
fn documented_examples_follow_the_schemas() {
    let (input, output) = (schema("replay.schema.json"), schema("replay-output.schema.json"));
    let page = docs("replay.md");
    let (mut lines, mut documents) = (0, 0);
    for block in page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let whole: Option<serde_json::Value> = serde_json::from_str(block).ok();
        if let Some(document) = whole.filter(|value| value.get("positions").is_some()) {
            check(&output, &output, &document, "$").unwrap_or_else(|error| panic!("{error}"));
            documents += 1;
            continue;
        }
        for line in block.lines() {
            let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            check(&input, &input, &value, "$").unwrap_or_else(|error| panic!("{error}"));
            crate::input::parse_line(line.as_bytes(), false).unwrap_or_else(|error| panic!("{line}: {error}"));
            lines += 1;
        }
    }
    assert!(lines >= 10, "{lines} lines");
    assert!(documents >= 1, "{documents} documents");
}

#[test]
fn the_document_follows_its_schema() {
    let output = schema("replay-output.schema.json");
    let document = json(&document());
    check(&output, &output, &document, "$").unwrap_or_else(|error| panic!("{error}"));
    let empty = json(&ReplayDocument::default());
    check(&output, &output, &empty, "$").unwrap_or_else(|error| panic!("{error}"));
    // The schema names every key that is written: it is the documentation of them.
    let rows = [
        ("position", "positions"),
        ("trade", "trades"),
        ("action", "actions"),
        ("lock", "locks"),
        ("correction", "corrections"),
        ("adjustment", "adjustments"),
        ("wash", "wash"),
        ("skipped", "skipped"),
    ];
    for (name, list) in rows {
        let described = output["$defs"][name]["properties"].as_object().expect("described");
        for key in document[list][0].as_object().expect("a row").keys() {
            assert!(described.contains_key(key), "{name}.{key} is not described");
        }
    }
}

#[test]
fn the_input_schema_refuses_what_the_parser_refuses() {
    let input = schema("replay.schema.json");
    for line in [
        r#"{"type":"trade"}"#,
        r#"{"type":"trade","trade_id":"t","account":"A","instrument":"I","side":"buy","quantity":1,"price":"1","effective_date":"2020-03-05"}"#,
        r#"{"type":"trade","trade_id":"t","account":"A","instrument":"I","side":"bought","quantity":"1","price":"1","effective_date":"2020-03-05"}"#,
        r#"{"type":"trade","trade_id":"t","account":"A","instrument":"I","side":"buy","quantity":"1","price":"1","effective_date":"2020-03-05","qty":"1"}"#,
        r#"{"type":"mark","instrument":"I","kind":"bid_ask","price":"1","at":"2020-03-05"}"#,
        r#"{"type":"cancel","trade_id":"t"}"#,
        r#"{"type":"business_date"}"#,
    ] {
        let value = serde_json::from_str(line).expect("is JSON");
        assert!(check(&input, &input, &value, "$").is_err(), "{line}");
        assert!(crate::input::parse_line(line.as_bytes(), false).is_err(), "{line}");
    }
}
