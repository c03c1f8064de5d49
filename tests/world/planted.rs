//! Defects on purpose: some seed of the short form notices each.
//!
//! `docs/simulation.md` has the table. `LOTBOOK_BUG=Name` plants that one alone.

use lotbook_engine::planted::{self, Bug};
use lotbook_wal::sim;

use crate::world::run;

/// Seeds that are tried.
const TRIED: u64 = 150;

/// The log's own defects that the world is to notice as well.
const OF_THE_LOG: [sim::Bug; 3] = [sim::Bug::AcknowledgeBeforeSync, sim::Bug::NoSync, sim::Bug::TailIgnored];

fn found() -> Option<(u64, String)> {
    (0..TRIED).find_map(|seed| Some((seed, run(seed, false).problem?)))
}

#[test]
fn each_planted_defect_is_noticed() {
    let wanted = std::env::var("LOTBOOK_BUG").ok();
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    let mut missed = Vec::new();
    let mut tell = |name: String, found: Option<(u64, String)>| match found {
        Some((seed, what)) => println!("{name} | seed {seed} | {}", what.chars().take(160).collect::<String>()),
        None => missed.push(name),
    };
    for bug in Bug::ALL.iter().filter(|bug| is_wanted(&format!("{bug:?}"))) {
        tell(format!("{bug:?}"), planted::plant(*bug, found));
    }
    for bug in OF_THE_LOG.iter().filter(|bug| is_wanted(&format!("{bug:?}"))) {
        tell(format!("{bug:?} (log)"), sim::plant(*bug, found));
    }
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}
