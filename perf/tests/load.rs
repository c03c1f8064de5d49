//! The open load against targets that live in the test: all is answered and counted once, and whatever a target does wrong is seen. Nothing
//! here judges time.

use lotbook_perf::burst::{BurstError, BurstOutcome};
use lotbook_perf::door::DoorError;
use lotbook_perf::flow;
use lotbook_perf::ledger::Status;
use lotbook_perf::load::{self, Pace};
use lotbook_perf::machine::Machine;
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::profile::Profile;
use lotbook_perf::report::{Criteria, Report};
use lotbook_perf::scenario::{self, Word};
use lotbook_perf::stand_in::{Faults, StandIn};
use lotbook_perf::verdict;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

fn plan(profile: Profile) -> BurstPlan {
    let base = BurstPlan { rate: 2_000, burst_multiplier: 4, seconds: 1, positions: 1_000, ..BurstPlan::default() };
    BurstPlan { profile, sessions: 3, drain_ms: 300, ..base }
}

fn run_with(plan: &BurstPlan, faults: Faults, stop: &AtomicBool) -> Result<BurstOutcome, BurstError> {
    let ledger = flow::generate(plan).unwrap();
    load::run(plan, ledger, &StandIn::with(faults), Pace::Sleep, stop, &mut |progress| {
        assert!(progress.sent <= progress.total);
        assert!(progress.answered <= progress.sent || faults.twice.is_some());
    })
}

fn run(faults: Faults) -> BurstOutcome {
    run_with(&plan(Profile::Burst), faults, &AtomicBool::new(false)).unwrap()
}

#[test]
fn every_message_of_every_shape_is_answered_and_counted_once() {
    let mut counted = Vec::new();
    for profile in [Profile::Burst, Profile::Flat, Profile::Step, Profile::Ramp, Profile::Close] {
        let plan = plan(profile);
        let outcome = run_with(&plan, Faults::default(), &AtomicBool::new(false)).unwrap();
        let messages = outcome.ledger.entries.len() as u64;
        let counts = &outcome.counts;
        assert_eq!((counts.sent, counts.unanswered), (messages, 0), "{profile:?}");
        assert_eq!(counts.sent, counts.acknowledged + counts.duplicates + counts.rejected, "{profile:?}");
        assert_eq!((counts.duplicates, counts.invalid_refused), (counts.duplicates_sent, counts.invalid_sent));
        assert_eq!((outcome.total.latency.len(), outcome.lateness.len()), (messages, messages), "{profile:?}");
        assert_eq!(outcome.intervals.iter().map(|line| line.answered).sum::<u64>(), messages, "{profile:?}");
        assert_eq!(outcome.intervals.iter().map(|line| line.offered).sum::<u64>(), messages, "{profile:?}");
        let stretches: u64 = outcome.stretches.iter().map(|(_, figures)| figures.answered).sum();
        assert_eq!(stretches, messages, "{profile:?}");
        assert_eq!((outcome.unknown_answers, outcome.contradictions.count), (0, 0), "{profile:?}");
        counted.push(messages);
    }
    println!("messages by shape: {counted:?}");
}

#[test]
fn what_is_not_answered_is_counted() {
    let outcome = run(Faults { silent: Some(100), ..Faults::default() });
    let silent: u64 = outcome.counts.unanswered;
    assert!(silent >= outcome.counts.sent / 100 - 3, "{silent} of {}", outcome.counts.sent);
    assert_eq!(outcome.total.latency.len() + silent, outcome.counts.sent);
}

#[test]
fn a_second_answer_is_an_unknown_one() {
    let outcome = run(Faults { twice: Some(1_000), ..Faults::default() });
    assert!(outcome.unknown_answers > 0);
    let integrity = verdict::of_positions(&outcome, &[]);
    assert!(integrity.wrong_answers > 0 || !integrity.exact());
}

#[test]
fn a_duplicate_with_another_first_result_contradicts() {
    let outcome = run(Faults { wrong_first: true, ..Faults::default() });
    assert_eq!(outcome.contradictions.count, outcome.counts.duplicates);
    assert!(outcome.contradictions.count > 0);
}

#[test]
fn a_door_that_breaks_ends_the_run() {
    let result =
        run_with(&plan(Profile::Flat), Faults { breaks: Some(100), ..Faults::default() }, &AtomicBool::new(false));
    let Err(BurstError::Door { error: DoorError::Closed, .. }) = result else { panic!("it went on") };
}

#[test]
fn a_full_door_is_offered_the_message_again() {
    let outcome = run(Faults { narrow: true, ..Faults::default() });
    assert_eq!(outcome.counts.unanswered, 0);
    assert_eq!(outcome.total.latency.len(), outcome.counts.sent);
}

#[test]
fn a_run_that_is_told_to_stop_counts_what_it_sent() {
    let outcome = run_with(&plan(Profile::Flat), Faults::default(), &AtomicBool::new(true)).unwrap();
    assert_eq!((outcome.counts.sent, outcome.counts.unanswered), (0, 0));
    assert_eq!(outcome.ledger.entries.len(), 2_000);
}

#[test]
fn a_book_that_differs_in_one_unit_is_seen() {
    let outcome = run(Faults::default());
    // What the oracle books, as a host would show it.
    let mut positions = verdict::expected_positions(&outcome.ledger, |_| false);
    assert!(verdict::of_positions(&outcome, &positions).exact());
    positions[0].realized_e16 += 1;
    let integrity = verdict::of_positions(&outcome, &positions);
    assert_eq!((integrity.verdict, integrity.wrong_positions), ("broken", 1));
}

#[test]
fn a_position_with_a_trade_that_was_not_answered_is_not_judged_by_what_is_shown() {
    let outcome = run(Faults { silent: Some(100), ..Faults::default() });
    let silent: Vec<_> = outcome.ledger.entries.iter().filter(|entry| entry.status == Status::Sent).collect();
    assert!(!silent.is_empty());
    // Whether the host booked them or not, both are right.
    for booked in [false, true] {
        let positions = verdict::expected_positions(&outcome.ledger, |_| booked);
        let integrity = verdict::of_positions(&outcome, &positions);
        assert!(integrity.exact(), "{booked}: {:?}", integrity.examples);
        assert!(integrity.positions > 0 && integrity.positions < positions.len() as u64);
    }
}

/// Each scenario that loads a host, cut to a second, against stand-ins that do wrong what it is there to find.
#[test]
fn each_scenario_fails_where_it_should() {
    let slow = |ms| Faults { slow: Some(Duration::from_millis(ms)), ..Faults::default() };
    let silent = Faults { silent: Some(50), ..Faults::default() };
    let harms: [(&str, Faults, &str); 11] = [
        // Three seconds late on one second of load: a quarter of the rate, however fast the machine.
        ("throughput", slow(3_000), "achieved_share"),
        ("throughput", silent, "unanswered"),
        ("latency", slow(150), "p95_ms"),
        ("latency", silent, "unanswered"),
        ("latency-applied", slow(150), "p95_ms"),
        ("burst", slow(3_000), "burst_share"),
        ("integrity", Faults { wrong_first: true, ..Faults::default() }, "mismatches"),
        ("integrity", Faults { forgets: true, ..Faults::default() }, "duplicates_missed"),
        ("integrity", Faults { lax: true, ..Faults::default() }, "invalid_accepted"),
        ("integrity", Faults { strict: Some(100), ..Faults::default() }, "valid_refused"),
        ("http", Faults { wrong_first: true, ..Faults::default() }, "mismatches"),
    ];
    // Beside one another: they wait most of the time.
    std::thread::scope(|scope| {
        for (name, faults, measure) in harms {
            scope.spawn(move || fails(name, faults, measure));
        }
    });
}

#[track_caller]
fn fails(name: &str, faults: Faults, measure: &str) {
    let scenario = scenario::built_in(&[name.to_owned()]).unwrap().remove(0);
    let plan = BurstPlan { seconds: 1, rate: 1_000, sessions: 2, drain_ms: 60_000, ..scenario.plan().unwrap() };
    let plan = if faults.silent.is_some() { BurstPlan { drain_ms: 200, ..plan } } else { plan };
    let outcome = run_with(&plan, faults, &AtomicBool::new(false)).unwrap();
    let positions = verdict::expected_positions(&outcome.ledger, |_| false);
    let integrity = verdict::of_positions(&outcome, &positions);
    let report = Report::new(&outcome, integrity, None, ("a stand-in", "durable"), Criteria::NONE, Machine::here());
    let judged = scenario::judge(&scenario, Ok(scenario::measures(&report)));
    let one = judged.criteria.iter().find(|one| one.criterion.measure == measure).unwrap();
    assert_eq!((judged.word, one.word), (Word::Failed, Word::Failed), "{name}, {measure}: {:?}", one.value);
}
