//! The load generator against hosts of this process, through each of their doors: what was acknowledged is booked to the last unit, and a host
//! with a planted fault is found out. Nothing here judges time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser as _;
use lotbook_gateway::cli::{Cli, Command, LoadArgs, Plant};
use lotbook_gateway::config::Ack;
use lotbook_gateway::load::{self, Embedded, LoadFailure, Place, Rings};
use lotbook_perf::invalid::InvalidClass;
use lotbook_perf::load::Pace;
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::profile::Profile;
use lotbook_perf::verdict::Integrity;
use lotbook_perf::{flow, tape};
use serde_json::Value;
use tempfile::TempDir;

fn args(dir: &TempDir, words: &str) -> LoadArgs {
    let data = dir.path().join("data");
    let tail = dir.path().join("tail");
    std::fs::create_dir_all(&tail).expect("a directory");
    let fixed = format!("lotbook load --data-dir {} --tail-dir {} {words}", data.display(), tail.display());
    match Cli::try_parse_from(fixed.split(' ')).unwrap_or_else(|error| panic!("{error}")).command {
        Command::Load(args) => *args,
        other => panic!("{other:?}"),
    }
}

/// Runs `lotbook load` and returns its JSON and what it printed.
#[track_caller]
fn run(words: &str) -> (bool, Value, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let json = dir.path().join("result.json");
    let (mut args, mut out) = (args(&dir, words), Vec::new());
    args.files.json = Some(json.clone());
    let passed = load::run(&args, &mut out).unwrap_or_else(|error| panic!("{error}"));
    let value = serde_json::from_slice(&std::fs::read(json).expect("a result")).expect("JSON");
    (passed, value, String::from_utf8(out).expect("text"))
}

/// Whether everything was answered. A machine that stands still for longer than a door's patience makes the door say that it does not know, and
/// a sender give up: both are right, and the book must be exact all the same.
fn is_whole(report: &Value) -> bool {
    let unanswered = report["unanswered"].as_u64().expect("a count");
    if unanswered > 0 {
        println!("{unanswered} messages without an answer: the machine stood still");
    }
    unanswered == 0
}

const SMALL: &str = "--rate 500 --burst-multiplier 4 --seconds 1 --positions 300 --accounts 30 --instruments 20";

#[test]
fn each_door_of_an_embedded_host_books_every_trade() {
    for words in [
        "--target rings --ack applied",
        "--target rings",
        "--target http --profile burst",
        "--target fix --profile ramp",
    ] {
        let (passed, report, out) = run(&format!("{words} {SMALL}"));
        assert_eq!(report["integrity"]["verdict"], "exact", "{words}: {out}");
        assert_eq!(passed, is_whole(&report), "{words}: {out}");
        if !passed {
            continue;
        }
        let counts = &report["counts"];
        assert_eq!(counts["duplicates"], counts["duplicates_sent"], "{words}: {out}");
        assert_eq!(counts["invalid_refused"], counts["invalid_sent"], "{words}: {out}");
        assert!(counts["provisional"].as_u64() > Some(0) && counts["duplicates"].as_u64() > Some(0), "{words}: {out}");
        println!("{words}: {} messages, {} lots compared", report["sent"], report["integrity"]["lots"]);
    }
}

#[test]
fn prices_come_beside_a_load_and_change_no_trade() {
    let (passed, report, out) = run(&format!("--target rings --ticks 400 {SMALL}"));
    assert_eq!(report["integrity"]["verdict"], "exact", "{out}");
    assert_eq!(passed, is_whole(&report), "{out}");
    let notes: Vec<&str> = report["notes"].as_array().expect("notes").iter().filter_map(Value::as_str).collect();
    let line = notes.iter().find(|note| note.starts_with("prices: ")).unwrap_or_else(|| panic!("{notes:?}"));
    println!("{line}");
    if line.contains("; refused: ") {
        // The machine stood still for longer than the door waits for a durable answer.
        return;
    }
    // How many of the 400 come due before the load ends is the machine's matter; the closes of all instruments always come.
    assert!(line.contains(" and 20 closes taken") && !line.contains("prices: 0 of"), "{line}");
    assert!(!line.contains("at a subscriber 0 of"), "{line}");
}

#[test]
fn a_running_host_is_loaded_through_its_http_door_and_compared_position_by_position() {
    let (dir, plan) = (tempfile::tempdir().expect("a directory"), small());
    let ledger = flow::generate(&plan).expect("a flow");
    let mut host = Embedded::start(&plan, &ledger, place(&dir), Ack::Durable, None).expect("a host");
    let addr = host.open_http().expect("a door");
    let mut sequences = Vec::new();
    // The accounts of a seed are its own; what is sent a second time is known, and the book stays what it was.
    for seed in [1, 2, 2] {
        let (passed, report, out) = run(&format!("--target http={addr} --seed {seed} --invalid 0 {SMALL}"));
        assert_eq!(report["integrity"]["verdict"], "exact", "{seed}: {out}");
        assert_eq!(passed, is_whole(&report), "{seed}: {out}");
        if !passed {
            return;
        }
        assert!(report["notes"].to_string().contains("its log was not read"));
        sequences.push(host.server.host.model().positions().iter().map(|view| view.version).sum::<u64>());
    }
    assert!(sequences[0] < sequences[1], "{sequences:?}");
    assert_eq!(sequences[1], sequences[2], "{sequences:?}");
    host.stop().expect("a stop");
}

fn small() -> BurstPlan {
    BurstPlan {
        profile: Profile::Flat,
        rate: 1_000,
        seconds: 1,
        positions: 200,
        accounts: 20,
        instruments: 20,
        sessions: 2,
        invalid_classes: vec![InvalidClass::ShortOnLong],
        ..BurstPlan::default()
    }
}

fn place(dir: &TempDir) -> Place {
    let tail = dir.path().join("tail");
    std::fs::create_dir_all(&tail).expect("a directory");
    Place::new(Some(&dir.path().join("data")), Some(&tail), "lotbook-test-").expect("a place")
}

fn verdict(plan: &BurstPlan, plant: Option<Plant>) -> Integrity {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = flow::generate(plan).expect("a flow");
    let mut host = Embedded::start(plan, &ledger, place(&dir), Ack::Applied, plant).expect("a host");
    let published = host.published();
    let rings = Rings::open(&mut host.server.host, &ledger, plan.sessions, published, "applied").expect("doors");
    let never = AtomicBool::new(false);
    let outcome = lotbook_perf::load::run(plan, ledger, &rings, Pace::Sleep, &never, &mut |_| {}).expect("a run");
    host.judge(&outcome).expect("a verdict").0
}

#[test]
fn a_planted_fault_is_found_through_the_rings() {
    // One trade in 997 is hit: twenty of them.
    let plan = BurstPlan { rate: 20_000, ..small() };
    assert_eq!(verdict(&plan, None).verdict, "exact");
    for plant in [Plant::Drop, Plant::Double, Plant::WrongLot] {
        let integrity = verdict(&plan, Some(plant));
        assert_eq!(integrity.verdict, "broken", "{plant:?}: {integrity:?}");
    }
}

#[test]
fn a_recorded_file_is_booked_as_it_was_recorded() {
    let mut text = String::from(",amount,price,sid,symbol,txn_dollars\n");
    for n in 0..400 {
        let amount = if n % 3 == 0 { -(n + 1) } else { n + 2 };
        text.push_str(&format!("2004-01-{:02} 00:00:00+00:00,{amount},{}.5,1,S{},0\n", 1 + n / 20, 10 + n % 7, n % 5));
    }
    let tape = Arc::new(tape::Tape::parse("fills.csv", text.as_bytes()).expect("a tape"));
    let plan = BurstPlan {
        profile: Profile::Recorded,
        instruments: 5,
        positions: 50,
        accounts: 10,
        backdated_permille: 0,
        duplicate_permille: 0,
        invalid_permille: 0,
        tape: Some(tape.clone()),
        ..small()
    };
    let ledger = flow::generate(&plan).expect("a flow");
    for (entry, row) in ledger.entries.iter().zip(&tape.rows) {
        assert_eq!((entry.quantity_e8, entry.price_e8), (row.quantity_e8, row.price_e8));
        assert_eq!(Some(entry.signed_e8() > 0), row.buy);
    }
    let integrity = verdict(&plan, None);
    assert_eq!((integrity.verdict, integrity.logged), ("exact", 400), "{integrity:?}");
}

#[test]
fn real_files_are_booked() {
    let folder = std::env::var_os("LOTBOOK_DATA").map_or_else(|| PathBuf::from("../../shared/data"), PathBuf::from);
    for name in ["binance_btcusdt_trades.csv", "fills_pyfolio.csv.gz"] {
        let path = folder.join(name);
        if !path.exists() {
            println!("passed over: {} is not there", path.display());
            continue;
        }
        let (passed, report, out) =
            run(&format!("--tape {} --seconds 2 --accounts 20 --positions 100 --target rings", path.display()));
        assert_eq!(passed, is_whole(&report), "{out}");
        assert_eq!(report["integrity"]["verdict"], "exact", "{out}");
        println!("{name}: {} messages", report["sent"]);
    }
}

#[test]
fn a_search_tells_every_probe() {
    let (passed, found, out) = run(&format!("{SMALL} --search --rate-max 1000 --ceiling-us 60000000 --ack applied"));
    // Whether a rate is sustained is this machine's affair; what is said of it must agree.
    let probes = found["found"]["probes"].as_array().expect("probes");
    assert!((1..=4).contains(&probes.len()), "{out}");
    assert!(probes.iter().all(|probe| [500, 1_000].contains(&probe["rate"].as_u64().unwrap_or(0))), "{out}");
    assert_eq!(out.matches("sustained: ").count(), probes.len(), "{out}");
    let best = probes.iter().filter(|probe| probe["sustained"] == true).map(|probe| probe["rate"].as_u64()).max();
    assert_eq!(found["found"]["rate"].as_u64(), best.flatten(), "{out}");
    assert_eq!(passed, best.is_some(), "{out}");
}

#[test]
fn results_are_written_and_stand_beside_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let mut loaded = args(&dir, &format!("--ack applied {SMALL}"));
    (loaded.files.json, loaded.files.report) = (Some(file("a.json")), Some(file("a.html")));
    (loaded.hgrm, loaded.hlog) = (Some(file("a.hgrm")), Some(file("a.hlog")));
    load::run(&loaded, &mut Vec::new()).expect("a run");
    let read = |name: &str| std::fs::read_to_string(file(name)).expect("written");
    assert!(read("a.hgrm").contains("1/(1-Percentile)"));
    assert!(read("a.hlog").contains("#[Histogram log format version 1.3]"));
    assert!(read("a.html").contains("closing cross"));
    loaded.compare = vec![file("a.json"), file("a.json")];
    loaded.files.report = Some(file("both.html"));
    load::run(&loaded, &mut Vec::new()).expect("a page");
    assert_eq!(read("both.html").matches("<svg").count(), 3);
    loaded.files.report = None;
    assert!(matches!(load::run(&loaded, &mut Vec::new()), Err(LoadFailure::Usage(_))));
}
