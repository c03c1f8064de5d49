//! Scenarios through the command: each can be run, each that loads a host fails where the host is at fault, and what is not built is not passed.
//! Nothing here judges time: criteria of rate and latency are asked elsewhere, on machines that are asked to be fast.

use clap::Parser as _;
use lotbook_gateway::cli::{Cli, Command, ScenarioCommand};
use lotbook_gateway::scenario;
use serde_json::Value;

/// Runs `lotbook scenario run` and returns its JSON.
#[track_caller]
fn run(words: &str) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let json = dir.path().join("result.json");
    let line =
        format!("lotbook scenario run --json {} --program {} {words}", json.display(), env!("CARGO_BIN_EXE_lotbook"));
    let Command::Scenario(args) = Cli::try_parse_from(line.split(' ')).expect("arguments").command else {
        panic!("{line}")
    };
    scenario::run(&args.command, &mut Vec::new()).unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_slice(&std::fs::read(json).expect("a result")).expect("JSON")
}

fn value(result: &Value, scenario: &str, measure: &str) -> (Option<f64>, String) {
    let named = |list: &Value, key: &str, name: &str| {
        let list = list.as_array().expect("a list");
        list.iter().find(|one| one[key] == name).unwrap_or_else(|| panic!("{name}: {result:#}")).clone()
    };
    let one = named(&named(&result["scenarios"], "name", scenario)["criteria"], "measure", measure);
    (one["value"].as_f64(), one["word"].as_str().expect("a word").to_owned())
}

#[test]
fn loads_are_run_and_their_books_are_exact() {
    let result = run("--seconds 1 --rate 500 throughput burst integrity http");
    for name in ["throughput", "burst", "integrity", "http"] {
        assert_eq!(value(&result, name, "mismatches"), (Some(0.0), "passed".into()), "{result:#}");
    }
    assert_eq!(value(&result, "integrity", "invalid_accepted"), (Some(0.0), "passed".into()), "{result:#}");
    // A machine that stands still for longer than the senders' patience leaves messages without an answer.
    if value(&result, "integrity", "unanswered").0 == Some(0.0) {
        assert_eq!(value(&result, "integrity", "duplicates_missed"), (Some(0.0), "passed".into()), "{result:#}");
    }
}

#[test]
fn prices_are_seen_at_a_subscriber() {
    let result = run("--seconds 1 --rate 500 prices");
    assert_eq!(value(&result, "prices", "mismatches"), (Some(0.0), "passed".into()), "{result:#}");
    if value(&result, "prices", "ticks_share").0 == Some(0.0) {
        // The machine stood still for longer than the door waits for a durable answer.
        return;
    }
    for measure in ["ticks_share", "ticks_seen_share", "tick_seen_p95_ms"] {
        assert!(value(&result, "prices", measure).0.is_some_and(|value| value > 0.0), "{measure}: {result:#}");
    }
}

#[test]
fn a_host_at_fault_fails_the_scenario() {
    for plant in ["drop", "double"] {
        let result = run(&format!("--seconds 1 --rate 5000 --plant {plant} throughput"));
        let (count, word) = value(&result, "throughput", "mismatches");
        assert!(count > Some(0.0) && word == "failed", "{plant}: {result:#}");
        assert_eq!((&result["passed"], &result["failed"]), (&Value::from(false), &Value::from(1)), "{plant}");
    }
}

#[test]
fn what_is_taken_away_shows_in_the_health() {
    let result = run("health");
    for measure in ["ready_s", "coldpath_shown_s", "coldpath_over_s"] {
        // How soon is the criterion's question; that it shows at all is this test's.
        assert!(value(&result, "health", measure).0.is_some_and(f64::is_finite), "{measure}: {result:#}");
    }
    match value(&result, "health", "disk_shown_s") {
        (Some(seconds), _) => assert!(seconds.is_finite(), "{result:#}"),
        (None, word) if word == "not_available" => println!("passed over: no call can be made to fail here"),
        (None, _) => panic!("a failed disk never showed: {result:#}"),
    }
    assert_eq!(value(&result, "health", "postgres_shown_s"), (None, "not_available".into()));
    assert_ne!(result["scenarios"][0]["word"], "passed");
}

#[test]
fn what_is_not_built_is_not_passed() {
    let result = run("archive dead-letters");
    assert_eq!((&result["passed"], &result["not_available"]), (&Value::from(false), &Value::from(2)));
}

#[test]
fn the_list_names_every_criterion_with_its_source() {
    let mut out = Vec::new();
    scenario::run(&ScenarioCommand::List { json: true }, &mut out).expect("a list");
    let list: Value = serde_json::from_slice(&out).expect("JSON");
    assert!(list["scenarios"].as_array().expect("a list").len() >= 8);
    out.clear();
    scenario::run(&ScenarioCommand::List { json: false }, &mut out).expect("a list");
    let text = String::from_utf8(out).expect("text");
    assert!(text.contains("achieved_share at least 0.95 (required: 95 % of the target rate)"), "{text}");
    assert!(text.contains("not available: no scenario runs a Postgres yet"), "{text}");
}
