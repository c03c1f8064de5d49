//! `lotbook wal` by the real binary, on logs with archives and cursors: what is damaged is named, what a copy proves comes back, and
//! nothing else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use lotbook_core::command::{Side, TradeInput};
use lotbook_core::rules::LotMethod;
use lotbook_engine::EngineConfig;
use lotbook_tests::rig::{PATIENCE, Rig, T, config};
use lotbook_wal::{Retention, SegmentForm};
use serde_json::{Value, json};

use crate::process::{Serving, expect, until};
use crate::wire::Client;

const E8: i64 = 100_000_000;
/// Where the stream begins in a segment.
const HEAD_BYTES: u64 = 64 << 10;
/// Stream bytes of a segment in these tests.
const SEGMENT_BYTES: u64 = 128 << 10;
const TRADES: u64 = 1_300;

/// Small segments, kept as they are, archived beside and in `DIR/archive`; a checkpoint now and then.
fn archiving(dir: &Path) -> EngineConfig {
    EngineConfig {
        segment_bytes: SEGMENT_BYTES,
        checkpoint_records: 500,
        retention: Retention {
            archive_dir: Some(dir.join("archive")),
            plain_segments: 1_000,
            low_segments: 2,
            check_ms: 5,
            ..Retention::default()
        },
        ..config(dir)
    }
}

fn trades(rig: &Rig, from: u64, count: u64) -> Vec<TradeInput> {
    let trade = |n: u64| {
        let (id, account) = (format!("t{n}"), format!("A{}", n % 5));
        rig.input(&T {
            id: &id,
            account: &account,
            instrument: "EUR/USD",
            side: if n.is_multiple_of(3) { Side::Sell } else { Side::Buy },
            quantity_e8: E8,
            price_e8: (50 + (n % 7) as i64) * E8,
            date: 100,
            executed_at_ns: n as i64,
            order: n,
        })
    };
    (from..from + count).map(trade).collect()
}

/// Waits until every sealed segment of both logs is there in all three forms.
fn settle(rig: &Rig) {
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
    for log in [rig.host.log(), rig.host.side_log()] {
        until("archived and shipped", || {
            let report = log.retention();
            report.segments.iter().filter(|s| s.sealed).all(|s| s.form == SegmentForm::Both && s.shipped)
        });
    }
}

/// A stopped host's directory.
fn stopped(dir: &Path) {
    let mut rig = Rig::start(&archiving(dir));
    rig.rules(LotMethod::Fifo, true, 0);
    let inputs = trades(&rig, 0, TRADES);
    rig.ask_all(inputs);
    settle(&rig);
    rig.host.stop().expect("a clean stop");
}

fn json_of(dir: &Path, arguments: &[&str], code: i32) -> Value {
    let (out, _) = expect(dir, arguments, code);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn lines_of(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let (out, _) = expect(dir, arguments, 0);
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("data/log/seg-{:016x}.lotlog", number * SEGMENT_BYTES))
}

fn flip(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 8], offset).expect("a byte");
}

/// Every file below a directory but the writer's lock.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().is_some_and(|name| name != "LOCK") {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    found
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in:\n{text}"));
}

#[test]
fn archives_cursors_and_rates_are_shown() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    stopped(at);
    let inspected = json_of(at, &["wal", "inspect", "--json", "data"], 0);
    let log = &inspected["logs"][0];
    let forms: Vec<&str> =
        log["segments"].as_array().expect("segments").iter().filter_map(|s| s["form"].as_str()).collect();
    let archives = log["archives"].as_u64().expect("a number");
    assert!(archives >= 3 && forms.iter().filter(|form| **form == "both").count() as u64 == archives, "{forms:?}");
    assert!(log["packed_bytes"].as_u64() > Some(0) && log["space"]["room_bytes"].as_u64() > Some(0), "{log:#}");
    let cursors = log["cursors"].as_array().expect("cursors");
    assert!(!cursors.is_empty() && cursors.iter().all(|cursor| cursor["finding"] == "in_log"), "{cursors:?}");
    let newest = log["segments"].as_array().expect("segments").iter().rfind(|s| s["state"] == "open").expect("one");
    assert_eq!(newest["held_by"].as_array().map(Vec::len), Some(cursors.len()), "each holder is named");
    let (text, _) = expect(at, &["wal", "inspect", "data"], 0);
    says(&text, &["archives", "room", "held by", "both", "cursor ", "required"]);

    let verified = json_of(at, &["wal", "verify", "--json", "data", "--archive-dir", "archive"], 0);
    let checked = &verified["logs"][0]["archives"];
    assert_eq!((&checked["segments"], &checked["whole_copies"]), (&json!(archives), &json!(2 * archives)));
    assert_eq!((&checked["damaged_copies"], &checked["out_of_reach"]), (&json!(0), &json!(0)));

    let stats = json_of(at, &["wal", "stats", "--json", "data"], 0);
    let counted = &stats["logs"][0];
    assert_eq!(counted["records"], verified["logs"][0]["records"]);
    for rows in ["kinds", "sizes", "rates"] {
        let sum: u64 = counted[rows].as_array().expect(rows).iter().filter_map(|row| row["records"].as_u64()).sum();
        assert_eq!(counted["records"], sum, "{rows}: {counted:#}");
    }
    let kinds = counted["kinds"].as_array().expect("kinds");
    let applied = kinds.iter().find(|kind| kind["kind"] == "TradeApplied").expect("trades");
    assert_eq!(applied["records"], TRADES);
    let (text, _) = expect(at, &["wal", "stats", "data", "--every", "3600"], 0);
    says(&text, &["TradeApplied", "every 3600 s", "records in the fullest second"]);
}

/// Along the back-links, from a checkpoint and what came after it: the same events as by reading everything, also where most of the log
/// cannot be read.
#[test]
fn the_history_of_a_position_is_walked_along_its_links() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    stopped(at);
    // More behind the last checkpoint, a new position among it, and no clean end.
    let mut rig = Rig::start(&archiving(at));
    let inputs = trades(&rig, TRADES, 40);
    rig.ask_all(inputs);
    let again = trades(&rig, 3, 1);
    rig.ask_all(again);
    settle(&rig);
    rig.host.crash();
    let of = |position: &str, more: &[&str]| {
        lines_of(at, &[&["wal", "dump", "data", "--position", position], more].concat())
    };
    for account in ["A3/EUR/USD", "A0/EUR/USD"] {
        let walked = of(account, &[]);
        assert_eq!(walked.len() as u64, (TRADES + 40) / 5);
        let scanned = of(account, &["--scan"]);
        let moving: Vec<&Value> = scanned.iter().filter(|line| line["outcome"] != "duplicate").collect();
        assert_eq!(walked.iter().collect::<Vec<_>>(), moving);
        let since = walked[100]["sequence"].to_string();
        assert_eq!(of(account, &["--from-sequence", &since]), walked[100..]);
        assert_eq!(of(account, &["--to-sequence", &since]), walked[..=100]);
    }
    assert_eq!(
        of("A3/EUR/USD", &["--scan"]).len(),
        of("A3/EUR/USD", &[]).len() + 1,
        "the repeated trade is in the scan"
    );
    assert!(of("nobody/EUR/USD", &[]).is_empty());
    // A record of A1 is damaged, in the segment and without an archive: who reads the log stops there, who walks A3's links does not.
    let victim = of("A1/EUR/USD", &[])[2]["address"].as_u64().expect("an address");
    flip(&segment(at, victim / SEGMENT_BYTES), HEAD_BYTES + victim % SEGMENT_BYTES + 80);
    let (_, error) = expect(at, &["wal", "dump", "data", "--position", "A3/EUR/USD", "--scan"], 2);
    says(&error, &["cannot be read beyond sequence"]);
    assert_eq!(of("A3/EUR/USD", &[]).len() as u64, (TRADES + 40) / 5);
    let (_, error) = expect(at, &["wal", "dump", "data", "--position", "A1/EUR/USD"], 2);
    says(&error, &["no record at stream address"]);
    // The tail goes with the next start.
    flip(&segment(at, victim / SEGMENT_BYTES), HEAD_BYTES + victim % SEGMENT_BYTES + 80);
    Rig::start(&archiving(at)).host.stop().expect("a clean stop");
}

/// A moment divides the trades of a real host in two; it takes whatever decided them.
#[test]
fn time_divides_what_was_decided() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    let host = Serving::start(at, &[]);
    let mut client = Client::log_on(host.fix, "DESK");
    for n in 0..8 {
        client.buy(&format!("T{n}"), &[]);
        assert_eq!(client.answer().word("outcome"), "applied");
    }
    client.log_out();
    host.stop();
    let dump = |filters: &[&str]| lines_of(at, &[&["wal", "dump", "data"], filters].concat());
    let all = dump(&["--kind", "trade"]);
    assert_eq!(all.len(), 8);
    let moment = all[5]["origin"]["occurred_at"].as_str().expect("a time stamp").to_owned();
    for more in [&["--kind", "trade"][..], &["--position", "ACC1/AAPL"], &["--position", "ACC1/AAPL", "--scan"]] {
        let before = dump(&[more, &["--to-time", &moment]].concat());
        let after = dump(&[more, &["--from-time", &moment]].concat());
        assert!(!after.is_empty(), "{more:?}");
        // In the order of the log, whatever the machine's clock did between two trades.
        let mut both = [before, after].concat();
        both.sort_by_key(|line| line["sequence"].as_u64());
        assert!(both == all, "{more:?}");
    }
    assert!(dump(&["--from-time", "2261-01-01T00:00:00Z"]).is_empty());
    // The log's own records have no such time.
    assert!(
        dump(&["--from-time", "1970-01-01T00:00:00Z"]).iter().all(|line| line["origin"]["occurred_at"].is_string())
    );
    let stats = json_of(at, &["wal", "stats", "--json", "data", "--every", "60"], 0);
    assert_eq!(stats["logs"][0]["every_seconds"], 60);
}

/// One kind of damage after the other: `verify` names it, `repair` says what it would do and changes nothing, and with `--write` the files
/// are what they were, bit for bit, and a host starts on them.
#[test]
fn damage_comes_back_from_a_copy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    stopped(at);
    let whole = files(at);
    let (first, second) = (segment(at, 0), segment(at, 1));
    let packed = PathBuf::from(format!("{}.zst", first.display()));
    type Harm<'a> = Box<dyn Fn() + 'a>;
    let harms: Vec<(&str, usize, Harm<'_>)> = vec![
        ("a record", 1, Box::new(|| flip(&second, HEAD_BYTES + 40_000))),
        (
            "a header and a slot",
            2,
            Box::new(|| {
                flip(&first, 30);
                flip(&second, 5_000);
            }),
        ),
        ("cut short", 1, Box::new(|| fs::write(&second, &whole[&second][..70_000]).expect("a write"))),
        (
            "segment and archive",
            2,
            Box::new(|| {
                flip(&first, HEAD_BYTES + 9_000);
                flip(&packed, 300);
            }),
        ),
        ("an archive", 1, Box::new(|| flip(&packed, 1_000))),
    ];
    for (name, steps, harm) in &harms {
        harm();
        let harmed = files(at);
        expect(at, &["wal", "verify", "data"], 2);
        let dry = json_of(at, &["wal", "repair", "--json", "data", "--archive-dir", "archive"], 1);
        assert_eq!((&dry["state"], &dry["written"]), (&json!("repairable"), &json!(false)), "{name}");
        let planned = dry["logs"][0]["steps"].as_array().expect("steps");
        assert_eq!(planned.len(), *steps, "{name}: {dry:#}");
        assert!(planned.iter().all(|step| step["checksum"].is_string() && step["copy"].is_string()), "{name}");
        let (text, _) = expect(at, &["wal", "repair", "data", "--archive-dir", "archive"], 1);
        says(&text, &["--write", "restore ", "sequences ", "CRC32C "]);
        assert!(files(at) == harmed, "{name}: nothing is changed without --write");
        let (text, _) = expect(at, &["wal", "repair", "data", "--archive-dir", "archive", "--write"], 0);
        says(&text, &["it is whole now"]);
        for (path, bytes) in &whole {
            assert!(fs::read(path).expect("a file") == *bytes, "{name}: {}", path.display());
        }
        expect(at, &["wal", "verify", "data", "--archive-dir", "archive"], 0);
        let kept: Vec<PathBuf> = files(at).into_keys().filter(|path| !whole.contains_key(path)).collect();
        assert_eq!(kept.len(), *steps, "{name}: what was damaged is kept: {kept:?}");
        kept.iter().for_each(|path| fs::remove_file(path).expect("a file"));
    }
    let (text, _) = expect(at, &["wal", "repair", "data"], 0);
    says(&text, &["whole, nothing to do"]);
    Rig::start(&archiving(at)).host.stop().expect("a clean stop");
}

#[test]
fn without_a_whole_copy_nothing_is_touched() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    stopped(at);
    let packed = PathBuf::from(format!("{}.zst", segment(at, 0).display()));
    flip(&segment(at, 0), HEAD_BYTES + 9_000);
    flip(&packed, 300);
    let damaged = files(at);
    for arguments in [&["wal", "repair", "data"][..], &["wal", "repair", "data", "--write"]] {
        let (text, _) = expect(at, arguments, 2);
        says(&text, &["DAMAGED", "no whole copy", "does not count as a copy", "seg-0000000000000000.lotlog"]);
        assert!(files(at) == damaged);
    }
    let told = json_of(at, &["wal", "repair", "--json", "data"], 2);
    assert_eq!((&told["state"], &told["logs"][1]["state"]), (&json!("damaged"), &json!("whole")));
    // With the copy elsewhere both come back.
    expect(at, &["wal", "repair", "data", "--archive-dir", "archive", "--write"], 0);
    expect(at, &["wal", "verify", "data"], 0);
}

#[test]
fn a_torn_end_is_cut() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    stopped(at);
    let log = &json_of(at, &["wal", "verify", "--json", "data"], 0)["logs"][0];
    let last = log["last_sequence"].as_u64().expect("a number");
    let segments = json_of(at, &["wal", "inspect", "--json", "data"], 0);
    let segments = segments["logs"][0]["segments"].as_array().expect("segments").clone();
    let open = segments.iter().rfind(|s| s["state"] == "open").expect("the one written last");
    let path = at.join("data/log").join(open["file"].as_str().expect("a name"));
    let used =
        fs::read(&path).expect("a file")[HEAD_BYTES as usize..].iter().rposition(|b| *b != 0).map_or(0, |at| at as u64);
    let torn = (HEAD_BYTES + used).next_multiple_of(4_096) + 4_096 + 100;
    let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
    file.write_all_at(&[0x5A; 200], torn).expect("a write");
    expect(at, &["wal", "verify", "data"], 1);
    let before = files(at);
    let dry = json_of(at, &["wal", "repair", "--json", "data"], 1);
    let step = &dry["logs"][0]["steps"][0];
    assert_eq!((&step["action"], &step["last_sequence"]), (&json!("cut_tail"), &json!(last)), "{dry:#}");
    assert_eq!(step["to_offset"], torn + 200, "{dry:#}");
    let (text, _) = expect(at, &["wal", "repair", "data"], 1);
    says(&text, &["cut the torn end", "become zeros", &format!("behind sequence {last}")]);
    assert!(files(at) == before);
    expect(at, &["wal", "repair", "data", "--write"], 0);
    expect(at, &["wal", "verify", "data"], 0);
    expect(at, &["wal", "repair", "data"], 0);
    Rig::start(&archiving(at)).host.stop().expect("a clean stop");
}

/// Cursors of a later moment beside an earlier log: it was cut below them. `verify` says so, a start refuses and names both, and a repair
/// leaves them alone.
#[test]
fn a_cursor_beyond_the_log_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    stopped(at);
    let earlier = files(&at.join("data"));
    let mut rig = Rig::start(&archiving(at));
    let inputs = trades(&rig, TRADES, 600);
    rig.ask_all(inputs);
    settle(&rig);
    rig.host.stop().expect("a clean stop");
    let cursors = files(&at.join("data/log/cursors"));
    fs::remove_dir_all(at.join("data")).expect("a directory");
    for (path, bytes) in earlier.iter().chain(&cursors) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a write");
    }
    let (text, _) = expect(at, &["wal", "verify", "data"], 2);
    says(&text, &["NOT IN THE LOG", "cursor "]);
    let (text, _) = expect(at, &["wal", "inspect", "data"], 0);
    says(&text, &["NOT IN THE LOG"]);
    let before = files(at);
    let (text, _) = expect(at, &["wal", "repair", "data", "--write"], 2);
    says(&text, &["names what the log does not hold", "left alone"]);
    assert!(files(at) == before);
    // Damaged in both slots, it is damage of its own kind.
    let (name, bytes) = cursors.first_key_value().expect("a cursor");
    fs::write(name, vec![1; bytes.len()]).expect("a write");
    let (text, _) = expect(at, &["wal", "verify", "data"], 2);
    says(&text, &["DAMAGED: it holds everything until its file is removed"]);
    // As the runbook says: without them, their owners make them anew.
    cursors.keys().for_each(|path| fs::remove_file(path).expect("a file"));
    expect(at, &["wal", "verify", "data"], 0);
    Rig::start(&archiving(at)).host.stop().expect("a clean stop");
}

#[test]
fn wrong_input_and_a_running_host_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = dir.path();
    for (arguments, word) in [
        (&["wal", "repair"][..], "DIR"),
        (&["wal", "repair", "nowhere"], "nowhere"),
        (&["wal", "stats", "nowhere"], "nowhere"),
        (&["wal", "stats", "data", "--every", "0"], "--every"),
        (&["wal", "dump", "data", "--from-time", "yesterday"], "--from-time"),
        (&["wal", "dump", "data", "--scan"], "--position"),
    ] {
        let (_, error) = expect(at, arguments, 2);
        says(&error, &[word]);
    }
    assert!(fs::read_dir(at).expect("a directory").next().is_none(), "nothing was made");
    let host = Serving::start(at, &[]);
    for arguments in [&["wal", "repair", "data"][..], &["wal", "repair", "data", "--write"]] {
        let (_, error) = expect(at, arguments, 4);
        says(&error, &[&host.pid().to_string()]);
    }
    // Who only looks disturbs nobody.
    expect(at, &["wal", "stats", "data"], 0);
    host.stop();
    // What describes the log is damaged: there is nothing to go by.
    flip(&at.join("data/log/log.meta"), 20);
    let (_, error) = expect(at, &["wal", "repair", "data"], 2);
    says(&error, &["log.meta"]);
}
