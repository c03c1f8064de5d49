//! The doctor: what of this machine stands between a host and its latency, what to change, and why.
//!
//! It reads what the kernel tells, asks it for two things (a ring, a sync), and changes nothing. Reading and judging are apart: a check sees a
//! [`Tree`] of files and what was measured, so that any machine can be put before it.

mod cores;
mod memory;
mod probe;
mod script;
mod storage;
mod time;
mod tree;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::machine::Machine;
pub use probe::{Probed, SyncCost};
pub use script::fix_script;
pub use tree::Tree;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The system does not tell.
    Unknown,
    /// A host runs well without; latency would be steadier with it.
    Advice,
    /// A host will be slow, or cannot keep what it promises.
    Bad,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of the check.
    pub check: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What is there.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do; empty where nothing is to be done.
    pub change: String,
    /// Commands that do it until the next start of the machine, for the fix script; each is run as root.
    #[serde(skip)]
    pub commands: Vec<String>,
}

impl Finding {
    fn new(check: &'static str, why: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { check, verdict, found: found.into(), why, change: String::new(), commands: Vec::new() }
    }

    fn change(mut self, change: impl Into<String>) -> Self {
        self.change = change.into();
        self
    }

    fn commands(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.commands = commands.into_iter().collect();
        self
    }
}

/// Where a host would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Data directory. It, or the nearest directory above that exists, is measured.
    pub data_dir: PathBuf,
    /// Directory of the mapped tail.
    pub tail_dir: PathBuf,
    /// Core of the shard thread; `None`: the last one.
    pub shard_core: Option<usize>,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The checks, in the order of what they are about.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst verdict.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Good)
    }
}

/// Examines this machine. Blocks for a second or two: it writes and syncs a small file in the data directory, and removes it.
#[must_use]
pub fn examine(places: &Places) -> Report {
    let probed = Probed::here(places);
    Report { machine: Machine::here(), findings: findings(&Tree::of_system(), &probed, places) }
}

/// All checks over one machine.
#[must_use]
pub fn findings(tree: &Tree, probed: &Probed, places: &Places) -> Vec<Finding> {
    let mut found = cores::checks(tree, probed, places);
    found.extend(time::checks(tree, probed));
    found.extend(memory::checks(tree, probed, places));
    found.extend(storage::checks(tree, probed, places));
    found
}

/// The nearest directory that exists: a data directory is made at the first start.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests;
