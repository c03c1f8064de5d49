//! The budget of instructions: read, judged against, and written anew where a change is accepted.

use serde::{Deserialize, Serialize};

/// The product's budget.
#[cfg(test)]
pub(super) const PRODUCT: &str = include_str!("../../../perf/instructions.toml");

/// What stands above the budget in its file.
const HEAD: &str = "\
# Instructions that a unit of each stage executes, counted by valgrind on x86-64: `scripts/test --only instructions` fails where a stage executes
# more than its figure and the tolerance. Never edited by hand: a change that is worth its cost is accepted by
#
#     cargo run --release -p lotbook-benches --features fix --bin instructions -- --accept
#
# and committed with the reason. docs/performance.md says more.

";

/// A stage's figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The stage.
    pub name: String,
    /// What is counted by: `a trade`.
    pub unit: String,
    /// Instructions a unit.
    pub instructions: f64,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Share of a figure by which a count may be above it.
    pub tolerance: f64,
    /// The stages.
    #[serde(default)]
    pub stage: Vec<Stage>,
}

/// What a count is beside its figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Met,
    /// Below it by more than the tolerance: accept it, so that it stays.
    Better,
    /// Above it by more than the tolerance.
    Exceeded,
    /// There is no figure.
    Unknown,
}

impl Verdict {
    /// Whether the gate stays shut.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Exceeded | Self::Unknown)
    }

    /// A word for a table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Better => "met, and better",
            Self::Exceeded => "EXCEEDED",
            Self::Unknown => "NO FIGURE",
        }
    }
}

/// A count beside its figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The figure; 0 where there is none.
    pub figure: f64,
    /// Count / figure.
    pub ratio: f64,
    /// What it means.
    pub verdict: Verdict,
}

impl Budget {
    /// Reads a budget.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let budget: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if !(0.0..1.0).contains(&budget.tolerance) {
            return Err("tolerance: from 0 to below 1".into());
        }
        match budget.stage.iter().find(|stage| stage.instructions.is_nan() || stage.instructions <= 0.0) {
            Some(stage) => Err(format!("{}: a figure above 0", stage.name)),
            None => Ok(budget),
        }
    }

    /// The figure of a stage.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stage.iter().find(|stage| stage.name == name)
    }

    /// Judges a count.
    #[must_use]
    pub fn judge(&self, name: &str, count: f64) -> Judged {
        let Some(stage) = self.stage(name) else {
            return Judged { figure: 0.0, ratio: 0.0, verdict: Verdict::Unknown };
        };
        let ratio = count / stage.instructions;
        let verdict = match ratio {
            _ if ratio > 1.0 + self.tolerance => Verdict::Exceeded,
            _ if ratio < 1.0 - self.tolerance => Verdict::Better,
            _ => Verdict::Met,
        };
        Judged { figure: stage.instructions, ratio, verdict }
    }

    /// Takes a count as the figure.
    pub fn accept(&mut self, name: &str, unit: &str, count: f64) {
        let rounded = (count * 10.0).round() / 10.0;
        let accepted = Stage { name: name.into(), unit: unit.into(), instructions: rounded };
        match self.stage.iter_mut().find(|stage| stage.name == name) {
            Some(stage) => *stage = accepted,
            None => self.stage.push(accepted),
        }
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}tolerance = {}\n", self.tolerance);
        for stage in &self.stage {
            let (name, unit) = (&stage.name, &stage.unit);
            text +=
                &format!("\n[[stage]]\nname = {name:?}\nunit = {unit:?}\ninstructions = {:.1}\n", stage.instructions);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        let mut budget = Budget { tolerance: 0.05, stage: Vec::new() };
        budget.accept("a", "a trade", 1_000.0);
        budget
    }

    #[test]
    fn a_count_is_judged_by_its_figure() {
        for (count, verdict) in [
            (1_000.0, Verdict::Met),
            (1_050.0, Verdict::Met),
            (1_051.0, Verdict::Exceeded),
            (950.0, Verdict::Met),
            (949.0, Verdict::Better),
        ] {
            assert_eq!(budget().judge("a", count).verdict, verdict, "{count}");
        }
        assert_eq!(budget().judge("b", 1.0).verdict, Verdict::Unknown);
        assert!(Verdict::Unknown.is_failure() && Verdict::Exceeded.is_failure());
        assert!(!Verdict::Met.is_failure() && !Verdict::Better.is_failure());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut budget = budget();
        budget.accept("b, \"quoted\"", "an event", 12.34);
        budget.accept("a", "a trade", 900.0);
        let again = Budget::read(&budget.text()).expect("its own text");
        assert_eq!(again, budget);
        assert_eq!(again.stage("a").map(|stage| stage.instructions), Some(900.0));
    }

    #[test]
    fn the_product_s_file_is_as_the_program_writes_it() {
        assert_eq!(Budget::read(PRODUCT).map(|budget| budget.text()).as_deref(), Ok(PRODUCT));
    }

    #[test]
    fn a_budget_that_says_nothing_is_refused() {
        assert!(Budget::read("tolerance = 1.0").is_err());
        assert!(Budget::read("tolerance = 0.1\n[[stage]]\nname = 'a'\nunit = 'b'\ninstructions = 0").is_err());
        assert!(Budget::read("tolerance = 0.1\nother = 1").is_err());
    }
}
