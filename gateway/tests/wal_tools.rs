//! `lotbook wal` on the log of a running host, of one that stopped, of one that crashed, and of a damaged one.

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser as _;
use lotbook_core::command::Side;
use lotbook_gateway::cli::{Cli, Command, ExitCode};
use lotbook_gateway::tools::wal::{self, WalError};
use serde_json::{Value, json};
use support::{DAY, Rig};

fn run(args: &[&str]) -> Result<(ExitCode, String), WalError> {
    let cli = Cli::try_parse_from(["lotbook", "wal"].iter().chain(args)).expect("arguments");
    let Command::Wal(args) = cli.command else { panic!("another command") };
    let mut out = Vec::new();
    let code = wal::run(&args, &mut out)?;
    Ok((code, String::from_utf8(out).expect("text")))
}

fn verify(dir: &Path) -> (ExitCode, Value) {
    let (code, text) = run(&["verify", "--json", &dir.display().to_string()]).expect("an answer");
    (code, serde_json::from_str(&text).expect("JSON"))
}

fn dump(dir: &Path, filters: &[&str]) -> Vec<Value> {
    let dir = dir.display().to_string();
    let args: Vec<&str> = ["dump", dir.as_str()].iter().chain(filters).copied().collect();
    let (code, text) = run(&args).expect("a dump");
    assert_eq!(code, ExitCode::Ok);
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Three positions, a late trade, a duplicate, a rejection; everything durable.
fn filled(dir: &Path) -> Rig {
    let mut rig = Rig::start(dir);
    rig.lay_the_table();
    for n in 0..200 {
        let account = ["A1", "A2", "A3"][n % 3];
        rig.trade(&format!("t{n}"), (account, "EUR/USD"), Side::Buy, 1, 10, (DAY, 10 + n as i64));
    }
    rig.trade("t0", ("A1", "EUR/USD"), Side::Buy, 1, 10, (DAY, 10));
    rig.trade("bad", ("A1", "EUR/USD"), Side::SellShort, 1, 10, (DAY, 500));
    rig.trade("late", ("A2", "EUR/USD"), Side::Sell, 1, 10, (DAY - 1, 1));
    rig.settle();
    rig
}

fn first_segment(log: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir(log)
        .expect("a log directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "lotlog"))
        .collect();
    found.sort();
    found.into_iter().next().expect("a segment")
}

#[test]
fn a_live_log_a_stopped_one_and_a_crashed_one_are_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = filled(dir.path());
    let (code, live) = verify(dir.path());
    assert_eq!(code, ExitCode::Ok, "{live:#}");
    assert_eq!(live["verdict"], "whole");
    assert_eq!(live["logs"][0]["findings"], json!([]));
    assert!(live["logs"][0]["references"].as_u64() >= Some(202), "{live:#}");
    assert_eq!(live["logs"][1]["name"], "side");
    assert!(live["logs"][1]["references"].as_u64() >= Some(1), "the body of the correction: {live:#}");
    let events = dump(dir.path(), &[]);
    assert_eq!(events.last().expect("records")["sequence"], rig.host.log().published_sequence());
    rig.host.stop().expect("a clean stop");
    let (code, stopped) = verify(dir.path());
    assert_eq!(code, ExitCode::Ok, "{stopped:#}");
    assert_eq!(stopped["logs"][0]["closed"], true);
    let rig = Rig::start(dir.path());
    rig.host.crash();
    let (code, crashed) = verify(&dir.path().join("log"));
    assert_eq!(code, ExitCode::Ok, "{crashed:#}");
    assert_eq!(crashed["logs"][0]["closed"], false);
    assert_eq!(crashed["logs"].as_array().map(Vec::len), Some(1), "a log directory alone");
    // The tail of a crashed host stays in shared memory until the next start takes it over.
    Rig::start(dir.path()).host.stop().expect("a clean stop");
}

/// Pictures of a log that grows meanwhile: each is whole, and none goes back.
#[test]
fn a_log_under_way_is_whole_in_every_picture() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = filled(dir.path());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let trading = scope.spawn(|| {
            let mut n = 0;
            while !ended.load(Ordering::Acquire) && n < 10_000 {
                n += 1;
                let side = if n % 2 == 0 { Side::Sell } else { Side::Buy };
                rig.trade(&format!("w{n}"), ("A1", "EUR/USD"), side, 1, 10, (DAY, 1_000 + n));
            }
        });
        let mut last = 0;
        for _ in 0..15 {
            let (code, got) = verify(dir.path());
            let lines = dump(dir.path(), &[]);
            // The other thread ends whatever is found.
            ended.store(code != ExitCode::Ok, Ordering::Release);
            assert_eq!(code, ExitCode::Ok, "{got:#}");
            let dumped = lines.last().expect("records")["sequence"].as_u64().expect("a number");
            assert_eq!(lines.len() as u64, dumped, "no gap");
            assert!(dumped >= last, "{dumped} after {last}");
            last = dumped;
        }
        ended.store(true, Ordering::Release);
        trading.join().expect("no panic");
    });
    rig.host.stop().expect("a clean stop");
    assert_eq!(verify(dir.path()).0, ExitCode::Ok);
}

#[test]
fn inspect_names_segments_and_checkpoints() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    filled(dir.path()).host.stop().expect("a clean stop");
    let at = dir.path().display().to_string();
    let (code, text) = run(&["inspect", "--json", &at]).expect("an answer");
    assert_eq!(code, ExitCode::Ok);
    let got: Value = serde_json::from_str(&text).expect("JSON");
    let log = &got["logs"][0];
    assert_eq!((&log["name"], &log["closed"], &log["epoch"]), (&json!("log"), &json!(true), &json!(1)));
    assert_eq!((&log["first_sequence"], &log["last_sequence"]), (&json!(1), &log["records"]));
    assert_eq!(log["segments"][0]["first_sequence"], 1);
    assert_eq!(log["segments"][0]["last_sequence"], log["last_sequence"]);
    assert_eq!(log["segments"][0]["state"], "open");
    let checkpoint = got["checkpoints"][0]["sequence"].as_u64().expect("the clean stop wrote one");
    assert!(checkpoint < log["last_sequence"].as_u64().expect("a number"));
    let (_, text) = run(&["inspect", &at]).expect("an answer");
    for part in ["records", "watermark", "seg-0000000000000000.lotlog", "checkpoint checkpoint-"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn dump_filters_by_position_kind_sequence_and_correlation() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    filled(dir.path()).host.stop().expect("a clean stop");
    let all = dump(dir.path(), &[]);
    let sequences: Vec<u64> = all.iter().map(|line| line["sequence"].as_u64().expect("a number")).collect();
    assert_eq!(sequences, (1..=all.len() as u64).collect::<Vec<_>>(), "every record, once, in order");
    assert_eq!((&all[0]["kind"], &all[all.len() - 1]["kind"]), (&json!("EpochStart"), &json!("Close")));

    let of = dump(dir.path(), &["--position", "A2/EUR/USD"]);
    assert!(of.iter().all(|line| line["account"] == "A2" && line["instrument"] == "EUR/USD"));
    // 67 buys, the late sell, its correction.
    assert_eq!(of.len(), 69);
    assert_eq!(of[68]["kind"], "HistoricalPositionCorrected");
    assert_eq!(of[68]["delta"]["quantity"], "0");
    let mut previous = Value::Null;
    for line in &of {
        assert_eq!(line["previous"], previous, "the back-links of a position lead to its first event");
        previous = line["address"].clone();
    }

    let one = dump(dir.path(), &["--correlation", "c-late"]);
    assert_eq!(one.len(), 1);
    assert_eq!((&one[0]["trade_id"], &one[0]["outcome"]), (&json!("late"), &json!("provisional")));
    assert_eq!(dump(dir.path(), &["--kind", "corrected"]).len(), 1);
    let rejected = dump(dir.path(), &["--kind", "trade", "--correlation", "c-bad"]);
    assert_eq!(rejected[0]["reason"], "TRADE_TYPE_MISMATCH");
    let twice = dump(dir.path(), &["--correlation", "c-t0"]);
    assert_eq!(twice[1]["outcome"], "duplicate");
    assert_eq!(twice[1]["first_sequence"], twice[0]["sequence"]);
    let range = dump(dir.path(), &["--from-sequence", "10", "--to-sequence", "12"]);
    assert_eq!(range, all[9..12]);
    let both = dump(dir.path(), &["--kind", "contract", "--kind", "business_date"]);
    assert_eq!(both.len(), 2);
    assert_eq!(both[0]["contract_id"], "all");

    let bodies = dump(&dir.path().join("side"), &[]);
    let body = bodies.iter().find(|line| line["kind"] == "OutcomeBody").expect("the body of the correction");
    assert_eq!(body["sequence"], of[68]["body_sequence"]);
    let mut after = of[68]["after"].clone();
    // Which mark there was when it was accepted the body does not know.
    assert_eq!(after.as_object_mut().and_then(|after| after.remove("exposure")), Some(json!("33000")));
    assert_eq!(body["after"], after);
}

#[test]
fn damage_below_the_watermark_is_named_and_what_never_completed_is_torn() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    filled(dir.path()).host.stop().expect("a clean stop");
    let log = dir.path().join("log");
    let segment = first_segment(&log);
    let whole = std::fs::read(&segment).expect("readable");

    // Behind the close record and the block that its tail slot holds: a write that never completed.
    let mut torn = whole.clone();
    let used = torn.iter().rposition(|byte| *byte != 0).expect("records");
    torn[(used + 1).next_multiple_of(4_096) + 4_096 + 100] = 7;
    std::fs::write(&segment, &torn).expect("writable");
    let (code, got) = verify(dir.path());
    assert_eq!(code, ExitCode::Broken, "{got:#}");
    assert_eq!((&got["verdict"], &got["logs"][0]["verdict"]), (&json!("torn"), &json!("torn")));
    assert!(got["logs"][0]["torn"]["bytes"].as_u64() > Some(0));

    // One bit of a record that was durable.
    let mut damaged = whole.clone();
    damaged[65_536 + 9_000] ^= 4;
    std::fs::write(&segment, &damaged).expect("writable");
    let (code, got) = verify(dir.path());
    assert_eq!(code, ExitCode::Unreadable, "{got:#}");
    let place = &got["logs"][0]["damage"];
    assert_eq!(place["segment"], segment.display().to_string());
    let offset = place["offset"].as_u64().expect("an offset");
    assert!((65_536..=65_536 + 9_000).contains(&offset), "{place}");
    assert_eq!(got["logs"][1]["verdict"], "whole");
    let (_, text) = run(&["verify", &dir.path().display().to_string()]).expect("an answer");
    assert!(text.contains("DAMAGED") && text.contains(&format!("offset {offset}")), "{text}");
    // A dump gives what comes before, and does not pretend that this is all.
    let error = run(&["dump", &dir.path().display().to_string()]).expect_err("it ends early");
    assert!(matches!(error, WalError::EndsEarly { .. }), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Unreadable);

    std::fs::write(&segment, &whole).expect("writable");
    assert_eq!(verify(dir.path()).0, ExitCode::Ok);
    // The body of the correction is lost with the side log's records.
    let side = first_segment(&dir.path().join("side"));
    let mut emptied = std::fs::read(&side).expect("readable");
    emptied[65_536 + 300] ^= 1;
    std::fs::write(&side, &emptied).expect("writable");
    let (code, got) = verify(dir.path());
    assert_eq!(code, ExitCode::Unreadable, "{got:#}");
    assert_eq!(got["logs"][1]["verdict"], "damaged");
}

/// What a start would refuse is damage here too, and the tail is named as the cause.
#[test]
fn a_tail_that_contradicts_the_segments_is_damage() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = filled(dir.path());
    let tail = rig.host.log().tail_path().to_path_buf();
    rig.host.crash();
    let whole = std::fs::read(&tail).expect("the tail of a crashed host is there");
    // A record that both hold: one byte of the tail's copy.
    let needle = b"c-t199";
    let at = whole.windows(needle.len()).position(|bytes| bytes == needle).expect("in the tail");
    let mut other = whole.clone();
    other[at] ^= 1;
    std::fs::write(&tail, &other).expect("writable");
    let (code, got) = verify(dir.path());
    assert_ne!(code, ExitCode::Ok, "{got:#}");
    assert!(got["logs"][0]["tail_problem"].is_string(), "{got:#}");
    std::fs::write(&tail, &whole).expect("writable");
    assert_eq!(verify(dir.path()).0, ExitCode::Ok);
    Rig::start(dir.path()).host.stop().expect("a clean stop");
}

#[test]
fn what_is_no_log_is_said_with_its_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let nowhere = dir.path().join("nowhere").display().to_string();
    for args in [["inspect", &nowhere], ["verify", &nowhere], ["dump", &nowhere]] {
        let error = run(&args).expect_err("there is no log");
        assert!(error.to_string().contains("nowhere"), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Unreadable);
    }
}
