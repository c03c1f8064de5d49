//! Many seeds, side by side, and what they must have met in all.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::run::{Ground, run};
use crate::tally::Tally;

/// Seeds of the short form.
pub(crate) const SHORT: u64 = 2_000;
/// Seeds of the long form.
pub(crate) const LONG: u64 = 100_000;
/// A campaign that has found so much ends.
const PROBLEMS_MAX: usize = 40;

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs the first `count` seeds on all cores: the sums, and what the seeds that found something found.
pub(crate) fn seeds(count: u64) -> (Tally, Vec<(u64, String)>) {
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8);
    let sums = Mutex::new((Tally::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let ground = Ground::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = sums.lock().unwrap().1.len() >= PROBLEMS_MAX;
                    if seed >= count || enough {
                        break;
                    }
                    let outcome = run(seed, &ground, false);
                    let mut sums = sums.lock().unwrap();
                    sums.0.add(&outcome.tally);
                    sums.1.extend(outcome.problem.map(|problem| (seed, problem)));
                }
            });
        }
    });
    let (tally, mut problems) = sums.into_inner().unwrap();
    problems.sort();
    (tally, problems)
}

/// `LOTBOOK_SEED=N` runs that seed alone and prints every call; `LOTBOOK_SEEDS=N` runs so many.
#[test]
fn nothing_promised_is_lost_whatever_a_seed_does() {
    if let Some(seed) = given("LOTBOOK_SEED") {
        let outcome = run(seed, &Ground::new(), true);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{}", outcome.tally);
        assert_eq!(outcome.problem, None, "seed {seed}");
        return;
    }
    let long = std::env::var_os("LOTBOOK_LONG").is_some();
    let count = given("LOTBOOK_SEEDS").unwrap_or(if long { LONG } else { SHORT });
    let began = Instant::now();
    let (tally, problems) = seeds(count);
    println!("{tally}\n  {:.1} s", began.elapsed().as_secs_f64());
    let problems: Vec<_> = problems.iter().map(|(seed, what)| format!("LOTBOOK_SEED={seed} shows: {what}")).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    check_coverage(&tally, count);
}

/// A campaign that did not meet what it is about proves nothing.
fn check_coverage(tally: &Tally, count: u64) {
    if count < SHORT {
        return;
    }
    let rows: BTreeSet<char> = crate::oracle::page_table().iter().map(|line| line.letter).collect();
    let met: BTreeSet<char> = tally.rows.keys().copied().collect();
    assert_eq!(met, rows, "rows of the table that no seed met: {:?}", rows.difference(&met));
    for (name, count) in [
        ("kills", tally.kills),
        ("power cuts", tally.cuts),
        ("misplaced writes", tally.misplaced),
        ("kills while opening", tally.killed_opening),
        ("failures while opening", tally.failed_opening),
        ("latches", tally.latches),
        ("refusals for space", tally.refused_for_space),
        ("segments dropped", tally.dropped_segments),
        ("records from the tail", tally.from_tail),
        ("losses of applied records", tally.lost_applied),
        ("verifications", tally.verified),
        ("watermarks", tally.watermarks),
        ("flushes through while others are under way", tally.overtaking),
    ] {
        assert!(count > 0, "no {name}");
    }
}

/// The same seed twice is the same calls twice: what a seed shows can be looked at again.
#[test]
fn a_seed_is_the_same_at_every_run() {
    let ground = Ground::new();
    for seed in 0..40 {
        let (first, second) = (run(seed, &ground, false), run(seed, &ground, true));
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!(first.tally.calls, second.tally.calls, "seed {seed}");
        assert!(!second.trace.is_empty());
    }
}
