//! The open load against targets that live in the test: all is answered and counted once, and whatever a target does wrong is seen. Nothing
//! here judges time.

use lotbook_perf::burst::{BurstError, BurstOutcome};
use lotbook_perf::door::{Door, DoorError, Reply, Target};
use lotbook_perf::flow;
use lotbook_perf::ledger::{Kind, Ledger, Status};
use lotbook_perf::load::{self, Pace};
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::profile::Profile;
use lotbook_perf::verdict;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What a target does otherwise than it should.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// Every so manieth message gets no answer.
    silent: Option<u32>,
    /// Every so manieth message is answered twice.
    twice: Option<u32>,
    /// Duplicates name another first result.
    wrong_first: bool,
    /// Breaks after so many messages.
    breaks: Option<u32>,
    /// Takes at most one message at a time.
    narrow: bool,
}

/// A host that accepts every trade once and gives each event the next sequence.
struct Echo {
    faults: Faults,
    sequence: Arc<AtomicU64>,
}

impl Echo {
    fn with(faults: Faults) -> Self {
        Self { faults, sequence: Arc::new(AtomicU64::new(0)) }
    }
}

impl Target for Echo {
    fn describe(&self) -> String {
        "an echo".to_owned()
    }

    fn open(&self, _number: u32) -> Result<Box<dyn Door>, DoorError> {
        let sequence = Arc::clone(&self.sequence);
        Ok(Box::new(EchoDoor {
            faults: self.faults,
            sequence,
            taken: Vec::new(),
            firsts: Default::default(),
            count: 0,
        }))
    }
}

struct EchoDoor {
    faults: Faults,
    sequence: Arc<AtomicU64>,
    taken: Vec<Reply>,
    firsts: std::collections::HashMap<u32, u64>,
    count: u32,
}

impl Door for EchoDoor {
    fn offer(&mut self, ledger: &Ledger, index: u32) -> Result<bool, DoorError> {
        if self.faults.narrow && !self.taken.is_empty() {
            return Ok(false);
        }
        self.count += 1;
        if self.faults.breaks.is_some_and(|after| self.count > after) {
            return Err(DoorError::Closed);
        }
        if self.faults.silent.is_some_and(|every| self.count.is_multiple_of(every)) {
            return Ok(true);
        }
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = &ledger.entries[index as usize];
        let reply = match entry.kind() {
            Kind::Trade => {
                self.firsts.insert(index, sequence);
                Reply { index, status: Status::Applied, sequence, first: None, code: None }
            }
            Kind::Duplicate => {
                let first =
                    self.firsts.get(&entry.link).copied().map(|first| first + u64::from(self.faults.wrong_first));
                Reply { index, status: Status::Duplicate, sequence, first, code: None }
            }
            Kind::Invalid(_) => {
                Reply { index, status: Status::Rejected, sequence, first: None, code: Some("NO".to_owned()) }
            }
        };
        if self.faults.twice.is_some_and(|every| self.count.is_multiple_of(every)) {
            self.taken.push(reply.clone());
        }
        self.taken.push(reply);
        Ok(true)
    }

    fn turn(&mut self, replies: &mut Vec<Reply>) -> Result<(), DoorError> {
        replies.append(&mut self.taken);
        Ok(())
    }

    fn wait(&mut self, at_most: Duration) {
        std::thread::sleep(at_most);
    }
}

fn plan(profile: Profile) -> BurstPlan {
    let base = BurstPlan { rate: 2_000, burst_multiplier: 4, seconds: 1, positions: 1_000, ..BurstPlan::default() };
    BurstPlan { profile, sessions: 3, drain_ms: 300, ..base }
}

fn run_with(plan: &BurstPlan, faults: Faults, stop: &AtomicBool) -> Result<BurstOutcome, BurstError> {
    let ledger = flow::generate(plan).unwrap();
    load::run(plan, ledger, &Echo::with(faults), Pace::Sleep, stop, &mut |progress| {
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
