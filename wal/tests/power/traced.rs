//! Power cuts from a trace: every record that was answered as durable is in every image that the cut may leave.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use lotbook_wal::sim::{Bug, plant};
use lotbook_wal::{DirectMode, IoMode, Limit, LogConfig, Opened, open_on};

use crate::support::shim::Shim;
use crate::support::{Place, Random, append_many, count, read_back};
use crate::trace::Trace;

/// Openings in one trace; the log is killed between them, its tail stays.
const OPENINGS: u64 = 4;
const RECORDS: u64 = 2_500;

fn config(place: &Place) -> LogConfig {
    // As the machine allows: direct, several writes in flight.
    LogConfig { io: IoMode::Auto, direct: DirectMode::Auto, ..place.config() }
}

/// Writes a log over several openings and records all of it.
fn traced(place: &Place) -> Arc<Trace> {
    let config = config(place);
    let trace = Arc::new(Trace::new(&config.dir));
    for opening in 0..OPENINGS {
        let Opened { mut appender, log, .. } =
            open_on(config.clone(), Shim::new(&config, Arc::clone(&trace) as _)).unwrap();
        trace.answer(|| log.durable_sequence());
        for _ in 0..RECORDS / 10 {
            append_many(&mut appender, 10);
            trace.answer(|| log.durable_sequence());
        }
        if opening % 2 == 0 {
            let last = log.published_sequence();
            assert!(log.wait_durable(last, crate::support::PATIENCE).unwrap());
            trace.answer(|| last);
        }
        appender.abandon();
    }
    trace
}

/// Lays the files down and opens the log there, its tail gone with the power. `Err` says which promise was broken.
fn recovered(files: &BTreeMap<String, Vec<u8>>, answered: u64) -> Result<char, String> {
    let place = Place::in_memory();
    std::fs::create_dir_all(place.dir()).unwrap();
    for (name, bytes) in files {
        std::fs::write(place.dir().join(name), bytes).unwrap();
    }
    let opened = place.try_open().map_err(|e| format!("answered up to {answered}, refused: {e}"))?;
    let report = &opened.report;
    // The epoch start of this opening has taken one.
    let last = report.next_sequence - 2;
    if last < answered {
        return Err(format!("answered up to {answered}, found up to {last}: {report:?}"));
    }
    if !report.clean && report.lost_from_sequence != Some(last + 1) {
        return Err(format!("records may be lost and it was not said: {report:?}"));
    }
    let users = std::panic::catch_unwind(AssertUnwindSafe(|| read_back(&opened.log, Limit::Durable)));
    users.map_err(|_| format!("the records are not what was written: {report:?}"))?;
    Ok(report.row)
}

/// Cuts the power so many times; the failures in words, and the rows.
fn cuts(name: &str, seed: u64, trace: &Trace, cuts: usize) -> (Vec<String>, BTreeMap<char, u64>) {
    let seeded = Random::seeded(name, seed);
    let answers = trace.answers();
    let (mut failures, mut rows) = (Vec::new(), BTreeMap::new());
    for round in 0..cuts as u64 {
        let mut random = seeded.round(round);
        // Anywhere, or just after an answer, where most is promised.
        let at = if round % 2 == 0 { random.below(trace.len() as u64 + 1) as usize } else { *random.pick(&answers) };
        let (files, answered) = trace.cut(at, &mut random);
        match recovered(&files, answered) {
            Ok(row) => *rows.entry(row).or_insert(0) += 1,
            Err(what) => failures.push(format!("cut {round} after {at} of {} events: {what}", trace.len())),
        }
    }
    (failures, rows)
}

#[test]
fn no_record_answered_as_durable_is_lost_to_a_power_cut() {
    let place = Place::on_disk();
    let trace = traced(&place);
    let number = count(60, 2_000);
    let (failures, rows) = cuts("power cuts from a trace", 51, &trace, number);
    assert!(failures.is_empty(), "{} of {number}:\n{}", failures.len(), failures.join("\n"));
    println!("{number} power cuts in a trace of {} events, nothing durable lost: rows {rows:?}", trace.len());
}

/// The same cuts with a defect planted in the writer must fail, or they show nothing. Goes on until the first that does: which calls
/// meet in time is different in every run.
fn is_caught(bug: Bug, seed: u64) {
    let place = Place::on_disk();
    let trace = plant(bug, || traced(&place));
    for part in 0..100 {
        let (failures, _) = cuts(&format!("power cuts with {bug:?}"), seed + part, &trace, 20);
        if let Some(first) = failures.first() {
            println!("{bug:?}: {} of 20 power cuts show it, such as: {first}", failures.len());
            return;
        }
    }
    panic!("{bug:?} went unnoticed in 2,000 power cuts");
}

#[test]
fn a_log_that_never_syncs_is_caught() {
    is_caught(Bug::NoSync, 5_200);
}

#[test]
fn a_log_that_never_syncs_its_directory_is_caught() {
    is_caught(Bug::NoDirectorySync, 5_300);
}
