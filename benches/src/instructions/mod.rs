//! Instructions that each stage executes, counted by valgrind and held against a budget that is data (`perf/instructions.toml`).
//!
//! A count says nothing of misses in caches or of waits, but it is the same on a busy machine as on a quiet one, so that it can fail a build.
//! Each stage runs in a process of its own under callgrind, which collects only inside [`counted`]: what prepares a stage costs nothing.

mod budget;
mod stages;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

pub use budget::{Budget, Judged, Stage, Verdict};

/// What is given to a process of a stage: its name.
pub const CHILD: &str = "--stage";

/// What callgrind collects in: the function below, whatever it was asked to run.
const COLLECTED: &str = "--toggle-collect=lotbook_benches::instructions::counted*";

/// Runs the work where its instructions count.
#[inline(never)]
pub fn counted(work: &mut dyn FnMut()) {
    black_box(work)();
}

/// A stage: its name in the budget, the unit, and what runs it and says how many units it did.
type Known = (&'static str, &'static str, fn() -> u64);

/// Names of all stages with their units.
pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    stages::ALL.iter().map(|(name, unit, _)| (*name, *unit))
}

/// Runs a stage here and prints how many units it did; `false` where there is no such stage.
#[must_use]
pub fn run_here(name: &str) -> bool {
    let found = stages::ALL.iter().find(|(known, _, _)| *known == name);
    if let Some((_, _, run)) = found {
        println!("units {}", run());
    }
    found.is_some()
}

/// Why there is no count.
#[derive(Debug)]
pub enum CountError {
    /// valgrind could not be started: it is not installed, or not allowed.
    NoValgrind(std::io::Error),
    /// It ran, and what it said cannot be used: its words.
    Failed(String),
}

impl std::fmt::Display for CountError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoValgrind(error) => write!(f, "valgrind: {error}"),
            Self::Failed(words) => f.write_str(words),
        }
    }
}

/// Instructions a unit of a stage: `program` is run under callgrind with [`CHILD`] and the stage's name. Blocks for some seconds.
///
/// # Errors
/// There is no valgrind, or it or the stage failed.
pub fn count(program: &Path, stage: &str) -> Result<f64, CountError> {
    let dir = tempfile::tempdir().map_err(|error| CountError::Failed(error.to_string()))?;
    let out = dir.path().join("callgrind.out");
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", COLLECTED])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args([CHILD, stage])
        .output()
        .map_err(CountError::NoValgrind)?;
    let failed = || CountError::Failed(format!("{stage}: {}", String::from_utf8_lossy(&ran.stderr).trim()));
    if !ran.status.success() {
        return Err(failed());
    }
    let text = std::fs::read_to_string(&out).map_err(|error| CountError::Failed(error.to_string()))?;
    let instructions = total(&text).ok_or_else(failed)?;
    let units = number_after(&String::from_utf8_lossy(&ran.stdout), "units ").ok_or_else(failed)?;
    if instructions == 0 || units == 0 {
        return Err(CountError::Failed(format!("{stage}: nothing was counted")));
    }
    Ok(instructions as f64 / units as f64)
}

/// The number behind a word at the start of a line.
fn number_after(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)).and_then(|rest| rest.split_whitespace().next()?.parse().ok())
}

/// All instructions of a profile; `None` where it collected nothing else's.
fn total(profile: &str) -> Option<u64> {
    profile.lines().find(|line| line.trim() == "events: Ir")?;
    number_after(profile, "totals: ").or_else(|| number_after(profile, "summary: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_how_many() {
        let profile = "version: 1\ncreator: callgrind\nevents: Ir\nfn=(1)\n1 7\ntotals: 1234\n";
        assert_eq!(total(profile), Some(1_234));
        assert_eq!(total("events: Ir\nsummary: 99\n"), Some(99));
        assert_eq!(total("events: Ir Bc\ntotals: 1234 5\n"), None);
        assert_eq!(total(""), None);
    }

    #[test]
    fn a_stage_has_one_name_and_the_budget_all_of_them() {
        let budget = Budget::read(budget::PRODUCT).expect("a budget");
        let names: Vec<_> = known().map(|(name, _)| name).collect();
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name), "{name} is there twice");
            assert!(budget.stage(name).is_some(), "{name} has no budget");
        }
    }

    #[test]
    fn no_stage_is_no_stage() {
        assert!(!run_here("nothing"));
    }
}
