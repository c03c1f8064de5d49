//! The examples of `docs/rules.md`, run by the real binary: every rule of the page has at least one.
//!
//! A block fenced as `jsonl` holds lines of input; words behind `jsonl` are options of `lotbook replay`. The block fenced as
//! `json` after it is a part of the document that comes out: each key that it names has the value it says, and a list has
//! as many elements. `LOTBOOK_BLESS=1` writes the values of what comes out into the page, in the shape that stands there (of a
//! list, its first element's); look at the diff, every figure of it is to be followed by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::process::expect;

/// Rules that are not built: they have no example.
const UNBUILT: &[u32] = &[16];

struct Example {
    /// Line of the page at which it begins.
    line: usize,
    /// Number of the rule.
    rule: u32,
    options: Vec<String>,
    input: String,
    /// Lines of the page that hold what is expected.
    expected: std::ops::Range<usize>,
}

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md")
}

/// Number of a heading such as `## 4 What a trade does`.
fn rule_of(line: &str) -> Option<Option<u32>> {
    let heading = line.strip_prefix("## ")?;
    Some(heading.split(' ').next().and_then(|number| number.parse().ok()))
}

fn examples(lines: &[&str]) -> (Vec<u32>, Vec<Example>) {
    let (mut rules, mut found) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < lines.len() {
        if let Some(rule) = rule_of(lines[at]) {
            rules.extend(rule);
        }
        let Some(options) = lines[at].strip_prefix("```jsonl") else {
            at += 1;
            continue;
        };
        let end = |from: usize| {
            lines[from..].iter().position(|line| *line == "```").map_or_else(|| panic!("{from}: no end"), |n| from + n)
        };
        let input_end = end(at + 1);
        let opening = input_end + 1;
        assert_eq!(lines.get(opening), Some(&"```json"), "docs/rules.md:{}: what is expected of it?", at + 1);
        let expected_end = end(opening + 1);
        found.push(Example {
            line: at + 1,
            rule: *rules.last().expect("an example stands below a rule"),
            options: options.split_whitespace().map(str::to_owned).collect(),
            input: lines[at + 1..input_end].iter().map(|line| format!("{line}\n")).collect(),
            expected: opening + 1..expected_end,
        });
        at = expected_end + 1;
    }
    (rules, found)
}

fn run(example: &Example) -> Value {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("example.jsonl"), &example.input).expect("a file");
    let mut arguments = vec!["replay", "--json"];
    arguments.extend(example.options.iter().map(String::as_str));
    arguments.push("example.jsonl");
    let (out, _) = expect(dir.path(), &arguments, 0);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}"))
}

/// Whether `wanted` is a part of `got`; else where it is not.
fn is_part(wanted: &Value, got: &Value, place: &str) -> Result<(), String> {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (key, wanted) in wanted {
                let got = got.get(key).ok_or_else(|| format!("{place}.{key}: no such key"))?;
                is_part(wanted, got, &format!("{place}.{key}"))?;
            }
            Ok(())
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            let mut pairs = wanted.iter().zip(got).enumerate();
            pairs.try_for_each(|(at, (wanted, got))| is_part(wanted, got, &format!("{place}[{at}]")))
        }
        (wanted, got) if wanted == got => Ok(()),
        (wanted, got) => Err(format!("{place}: the page says {wanted}, but it is {got}")),
    }
}

/// What came out, in the shape of what is expected.
fn shaped(wanted: &Value, got: &Value) -> Value {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            let of = |(key, wanted): (&String, &Value)| {
                let got = got.get(key).unwrap_or_else(|| panic!("no key {key} in {got:?}"));
                (key.clone(), shaped(wanted, got))
            };
            Value::Object(wanted.iter().map(of).collect::<Map<_, _>>())
        }
        (Value::Array(wanted), Value::Array(got)) => {
            let shape = |at: usize| wanted.get(at).or(wanted.first());
            let of = |(at, got): (usize, &Value)| shape(at).map_or_else(|| got.clone(), |wanted| shaped(wanted, got));
            Value::Array(got.iter().enumerate().map(of).collect())
        }
        _ => got.clone(),
    }
}

/// A value on one line, as the page writes it.
fn inline(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(map) => {
            format!("{{{}}}", joined(map.iter().map(|(key, value)| format!("\"{key}\": {}", inline(value))).collect()))
        }
        Value::Array(list) => format!("[{}]", joined(list.iter().map(inline).collect())),
        other => other.to_string(),
    }
}

/// An object as the page writes it: a key a line, and an element of a list a line.
fn written(value: &Value) -> String {
    let Value::Object(map) = value else { return inline(value) };
    let mut text = String::from("{");
    for (at, (key, value)) in map.iter().enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        match value {
            Value::Array(list) if !list.is_empty() => {
                let rows: Vec<String> = list.iter().map(|row| format!("    {}", inline(row))).collect();
                let _ = write!(text, "  \"{key}\": [\n{}\n  ]", rows.join(",\n"));
            }
            value => {
                let _ = write!(text, "  \"{key}\": {}", inline(value));
            }
        }
    }
    text + "\n}"
}

#[test]
fn every_rule_has_an_example_and_every_example_is_right() {
    let text = fs::read_to_string(page()).expect("the page");
    let lines: Vec<&str> = text.lines().collect();
    let (rules, examples) = examples(&lines);
    for rule in rules.iter().filter(|rule| !UNBUILT.contains(rule)) {
        assert!(examples.iter().any(|example| example.rule == *rule), "rule {rule} has no example");
    }
    let bless = std::env::var_os("LOTBOOK_BLESS").is_some();
    let mut blessed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut wrong = Vec::new();
    for example in examples.iter().rev() {
        let wanted = lines[example.expected.clone()].join("\n");
        let wanted: Value =
            serde_json::from_str(&wanted).unwrap_or_else(|error| panic!("docs/rules.md:{}: {error}", example.line));
        let got = run(example);
        if bless {
            blessed.splice(example.expected.clone(), written(&shaped(&wanted, &got)).lines().map(str::to_owned));
        } else if let Err(error) = is_part(&wanted, &got, "$") {
            wrong.push(format!("docs/rules.md:{}: {error}", example.line));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if bless {
        fs::write(page(), blessed.join("\n") + "\n").expect("the page is written");
    }
}

/// The comparison itself: a page that is wrong is found.
#[test]
fn a_part_of_a_document_is_told_from_what_is_none() {
    let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let got = value(r#"{"a": {"b": "1", "c": null}, "d": [{"e": "2"}, {"e": "3", "f": 4}]}"#);
    for (wanted, is) in [
        (r#"{}"#, true),
        (r#"{"a": {"b": "1"}}"#, true),
        (r#"{"a": {"c": null}, "d": [{"e": "2"}, {"f": 4}]}"#, true),
        (r#"{"d": [{}, {}]}"#, true),
        (r#"{"a": {"b": "2"}}"#, false),
        (r#"{"a": {"x": null}}"#, false),
        (r#"{"d": [{"e": "2"}]}"#, false),
        (r#"{"d": []}"#, false),
        (r#"{"d": {}}"#, false),
    ] {
        assert_eq!(is_part(&value(wanted), &got, "$").is_ok(), is, "{wanted}");
    }
    assert_eq!(shaped(&value(r#"{"d": [{"e": ""}]}"#), &got), value(r#"{"d": [{"e": "2"}, {"e": "3"}]}"#));
}
