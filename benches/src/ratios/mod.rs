//! Every stage beside its limit or its peer, in one run, held against the budget (`perf/budget.toml`).
//!
//! Both sides of a ratio take turns, batch by batch, and of each side the fastest batch counts: whatever else the machine does can only make a batch
//! slower. An empty batch takes its turn as well, and is taken off both.

mod book;
mod disk;
pub(crate) mod log;
mod recovery;
pub mod state;

use std::time::Instant;

use lotbook_perf::machine::Machine;
use serde::{Deserialize, Serialize};

/// The product's budget.
pub const BUDGET: &str = include_str!("../../../perf/budget.toml");

/// A ratio's budget.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The stage.
    pub stage: String,
    /// What it stands beside.
    pub beside: String,
    /// Unit of both figures.
    pub unit: String,
    /// Least limit / ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// Greatest ours / limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Where the figure comes from.
    pub source: String,
}

#[derive(Deserialize)]
struct File {
    ratio: Vec<Budget>,
}

impl File {
    fn read(text: &str) -> Result<Self, String> {
        let file: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        match file.ratio.iter().find(|budget| budget.at_least.is_some() == budget.at_most.is_some()) {
            Some(budget) => Err(format!("{}: one bound is wanted", budget.stage)),
            None => Ok(file),
        }
    }
}

/// A measured ratio.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its budget.
    #[serde(flatten)]
    pub budget: Budget,
    /// What ours takes.
    pub ours: f64,
    /// What the limit or the peer takes.
    pub limit: f64,
    /// Limit / ours where the budget is a least one, ours / limit where it is a greatest one.
    pub ratio: f64,
    /// Whether the budget is met.
    pub met: bool,
}

/// The whole table.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    /// Where it was measured.
    pub machine: Machine,
    /// Tasks that ran or wanted to, as the kernel counts them, at start and end.
    pub load: [f64; 2],
    /// Seconds of the run.
    pub seconds: f64,
    /// The stages.
    pub rows: Vec<Row>,
}

/// What stands above the rows.
pub const HEAD: &str = "stage                                          ours      limit   ratio       budget  beside";

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let budget = &self.budget;
        let bound = match (budget.at_least, budget.at_most) {
            (Some(bound), _) => format!(">= {bound}"),
            (None, bound) => format!("<= {}", bound.unwrap_or(0.0)),
        };
        let word = if self.met { "met" } else { "MISSED" };
        write!(
            f,
            "{:<40} {:>10.1} {:>10.1} {:>7.2} {bound:>8} {word:<6} {} ({})",
            budget.stage, self.ours, self.limit, self.ratio, budget.beside, budget.unit
        )
    }
}

/// Ours and the limit's.
pub type Pair = (f64, f64);

type Stage = (&'static str, fn() -> Pair);

const STAGES: [Stage; 15] = [
    ("decide + apply, 1,000 positions", || book::decide_and_apply(1_000)),
    ("decide + apply, 100,000 positions", || book::decide_and_apply(100_000)),
    ("hot path, 10,000 positions", || log::hot_path(10_000)),
    ("ring hop, batches of 64", book::ring_hop),
    ("ids: a new one", book::new_ids),
    ("ids: a known one", book::known_ids),
    ("encode + append, an ordinary trade", log::append),
    ("durable acknowledgement, one at a time", disk::durable),
    ("replay of a log, 1,000 positions", log::replay),
    ("start of a host from its log", recovery::started),
    ("replay of a late trade, 100 behind it", state::replayed),
    ("lots into an image", state::compressed),
    ("checkpoint, 100,000 positions", state::checkpointed),
    ("state, bytes, 100,000 positions", state::bytes),
    ("state, bytes, as many trades later", state::growth),
];

impl Budget {
    /// What was measured, beside this budget.
    #[must_use]
    pub fn row(&self, (ours, limit): Pair) -> Row {
        let (ratio, met) = match (self.at_least, self.at_most) {
            (Some(bound), _) => (limit / ours, limit / ours >= bound),
            (None, bound) => (ours / limit, bound.is_some_and(|bound| ours / limit <= bound)),
        };
        Row { budget: self.clone(), ours, limit, ratio, met }
    }
}

/// The budget's ratios, each with one bound and measured by a stage of this crate.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn budgets(text: &str) -> Result<Vec<Budget>, String> {
    let file = File::read(text)?;
    for budget in &file.ratio {
        if !STAGES.iter().any(|(name, _)| *name == budget.stage) {
            return Err(format!("{}: nothing measures it", budget.stage));
        }
    }
    match STAGES.iter().find(|(name, _)| !file.ratio.iter().any(|budget| budget.stage == *name)) {
        Some((name, _)) => Err(format!("{name}: it has no budget")),
        None => Ok(file.ratio),
    }
}

/// Measures every stage whose name contains `filter`; `told` hears of each as it is done.
///
/// # Errors
/// The budget cannot be read.
pub fn run(filter: &str, told: &mut dyn FnMut(&Row)) -> Result<Table, String> {
    let (start, load) = (Instant::now(), load());
    let mut rows = Vec::new();
    for budget in budgets(BUDGET)?.iter().filter(|budget| budget.stage.contains(filter)) {
        let Some((_, measure)) = STAGES.iter().find(|(name, _)| *name == budget.stage) else { continue };
        let row = budget.row(measure());
        told(&row);
        rows.push(row);
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Table { machine: Machine::here(), load: [load, self::load()], seconds, rows })
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Fastest of what was measured.
#[derive(Clone, Copy, Debug)]
pub struct Best(f64);

impl Default for Best {
    fn default() -> Self {
        Self::new()
    }
}

impl Best {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(f64::INFINITY)
    }

    /// Times `work`, which does so many things.
    #[inline]
    pub fn time(&mut self, count: usize, work: impl FnOnce()) {
        let start = Instant::now();
        work();
        self.0 = self.0.min(start.elapsed().as_nanos() as f64 / count as f64);
    }

    /// Or so long, if that is faster.
    pub(crate) fn or(self, took: std::time::Duration) -> Self {
        Self(self.0.min(took.as_nanos() as f64))
    }

    /// Without what the empty batch took; never nothing.
    pub(crate) fn less(self, empty: Self) -> f64 {
        (self.0 - empty.0).max(0.01)
    }

    /// Nanoseconds a thing; infinite where nothing was timed.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_one_budget_and_every_budget_a_stage() {
        assert_eq!(budgets(BUDGET).map(|rows| rows.len()), Ok(STAGES.len()));
        assert!(budgets("ratio = []").is_err());
        let other = BUDGET.replace("ring hop, batches of 64", "something else");
        assert_eq!(budgets(&other).err().as_deref(), Some("something else: nothing measures it"));
    }

    #[test]
    fn a_budget_can_be_missed_either_way() {
        let mut budget = budgets(BUDGET).unwrap_or_default().remove(0);
        (budget.at_least, budget.at_most) = (Some(0.9), None);
        assert!(budget.row((100.0, 91.0)).met && !budget.row((100.0, 89.0)).met);
        (budget.at_least, budget.at_most) = (None, Some(1.5));
        assert!(budget.row((149.0, 100.0)).met && !budget.row((151.0, 100.0)).met);
    }
}
