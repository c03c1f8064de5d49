//! Scenarios with pass criteria as data (`scenarios.toml`): what is run, what is measured, what must hold.
//!
//! Whoever has a host implements [`World`]; reading the data, judging and telling is here, so that command line, API and tests say the same.

use crate::burst::Progress;
use crate::feed::{FeedReport, Took};
use crate::plan::BurstPlan;
use crate::profile::Profile;
use crate::report::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The scenarios of the product.
pub const BUILT_IN: &str = include_str!("../scenarios.toml");

/// What a scenario does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioKind {
    /// Loads a host.
    Load,
    /// Takes away what a host depends on.
    Health,
    /// Nothing yet: none of its measures is available.
    None,
}

/// Which door a load goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioDoor {
    /// Rings, in process.
    Rings,
    /// HTTP.
    Http,
    /// FIX.
    Fix,
}

/// What must hold of a measure: exactly one bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Its name.
    pub measure: String,
    /// This or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// This or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Where it comes from.
    pub source: String,
}

impl Criterion {
    /// Whether a value meets it. What is no number meets nothing.
    pub fn met(&self, value: f64) -> bool {
        self.at_least.is_none_or(|bound| value >= bound)
            && self.at_most.is_none_or(|bound| value <= bound)
            && self.below.is_none_or(|bound| value < bound)
            && !value.is_nan()
    }

    /// The bound in words.
    pub fn words(&self) -> String {
        let bounds = [("at least", self.at_least), ("at most", self.at_most), ("below", self.below)];
        let words: Vec<String> =
            bounds.iter().filter_map(|(word, bound)| bound.map(|bound| format!("{word} {bound}"))).collect();
        words.join(", ")
    }
}

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What it is, in a sentence.
    pub what: String,
    /// What it does.
    pub kind: ScenarioKind,
    /// Of a load: the door.
    pub door: Option<ScenarioDoor>,
    /// Of a load: `applied` or `durable`.
    pub ack: Option<String>,
    /// Of a load: the shape.
    pub profile: Option<String>,
    /// Of a load: messages a second.
    pub rate: Option<u64>,
    /// Of a load: how many times the rate at the peak.
    #[serde(default = "one")]
    pub multiplier: u64,
    /// Of a load: length.
    pub seconds: Option<u64>,
    /// Of a load: senders.
    #[serde(default = "one_sender")]
    pub senders: u32,
    /// Of a load: late trades, in thousandths.
    #[serde(default)]
    pub backdated_permille: u32,
    /// Of a load: duplicates, in thousandths.
    #[serde(default)]
    pub duplicate_permille: u32,
    /// Of a load: invalid messages, in thousandths.
    #[serde(default)]
    pub invalid_permille: u32,
    /// Of a load: prices a second beside the trades.
    #[serde(default)]
    pub ticks: u64,
    /// What decides.
    #[serde(rename = "criterion")]
    pub criteria: Vec<Criterion>,
    /// What is shown beside.
    #[serde(rename = "goal", default)]
    pub goals: Vec<Criterion>,
    /// Measures that cannot be taken yet, and why.
    #[serde(default)]
    pub not_available: BTreeMap<String, String>,
}

fn one() -> u64 {
    1
}

fn one_sender() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "scenario")]
    scenarios: Vec<Scenario>,
}

/// Why a file of scenarios cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It cannot be read as such.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A scenario contradicts itself.
    #[error("scenario {name}: {what}")]
    Scenario {
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// No scenario has this name.
    #[error("there is no scenario {0}; `lotbook scenario list` names them")]
    Unknown(String),
}

/// Reads and checks scenarios.
///
/// # Errors
/// What is wrong with the text, by scenario.
pub fn parse(text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let scenarios = toml::from_str::<File>(text)?.scenarios;
    for (at, scenario) in scenarios.iter().enumerate() {
        let wrong = |what| Err(ScenarioError::Scenario { name: scenario.name.clone(), what });
        let bounds =
            |one: &Criterion| [one.at_least, one.at_most, one.below].iter().filter(|bound| bound.is_some()).count();
        if scenarios[..at].iter().any(|other| other.name == scenario.name) {
            return wrong("the name is taken");
        }
        if scenario.criteria.is_empty() {
            return wrong("it has no criterion, and could not fail");
        }
        if scenario.criteria.iter().chain(&scenario.goals).any(|one| bounds(one) != 1) {
            return wrong("a criterion has one bound");
        }
        if scenario.kind == ScenarioKind::Load && scenario.plan().is_none() {
            return wrong("a load wants door, ack, profile, rate and seconds, each as it is known");
        }
    }
    Ok(scenarios)
}

/// The scenarios of these names among the product's own, in the order asked; all for none.
///
/// # Errors
/// An unknown name.
pub fn built_in(names: &[String]) -> Result<Vec<Scenario>, ScenarioError> {
    let all = parse(BUILT_IN)?;
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| all.iter().find(|one| one.name == *name).cloned();
    names.iter().map(|name| find(name).ok_or_else(|| ScenarioError::Unknown(name.clone()))).collect()
}

impl Scenario {
    /// The plan of a load; none where something is missing or unknown.
    pub fn plan(&self) -> Option<BurstPlan> {
        let (_, ack) = (self.door?, self.ack.as_deref()?);
        let plan = BurstPlan {
            profile: Profile::parse(self.profile.as_deref()?)?,
            rate: self.rate?,
            burst_multiplier: self.multiplier,
            seconds: self.seconds?,
            sessions: self.senders,
            backdated_permille: self.backdated_permille,
            duplicate_permille: self.duplicate_permille,
            invalid_permille: self.invalid_permille,
            ..BurstPlan::default()
        };
        (["applied", "durable"].contains(&ack) && plan.checked().is_ok()).then_some(plan)
    }
}

/// Values by the names of their measures.
pub type Measures = BTreeMap<String, f64>;

/// What a load is held against.
pub fn measures(report: &Report) -> Measures {
    let share = |achieved: f64, offered: f64| if offered > 0.0 { achieved / offered } else { f64::NAN };
    let (counts, seen) = (&report.counts, &report.integrity);
    let mut mismatches =
        seen.missing + seen.extra + seen.wrong_positions + seen.wrong_answers + seen.acknowledged_early;
    // A book that was not reconciled in time is no exact one, whatever was counted.
    mismatches += u64::from(mismatches == 0 && !seen.exact());
    let latency = &report.latency_ns;
    let ms = |ns: u64| ns as f64 / 1e6;
    // Without an answer there is no latency: that meets no bound.
    let or_none = |value: f64| if latency.count == 0 { f64::NAN } else { value };
    let invalid_accepted: u64 = report.invalid_classes.iter().map(|class| class.accepted).sum();
    [
        ("achieved_share", share(report.base.rate_achieved, report.base.rate_offered)),
        ("burst_share", share(report.burst.rate_achieved, report.burst.rate_offered)),
        ("p50_ms", or_none(ms(latency.p50))),
        ("p95_ms", or_none(ms(latency.p95))),
        ("p99_ms", or_none(ms(latency.p99))),
        ("unanswered", counts.unanswered as f64),
        ("mismatches", mismatches as f64),
        ("duplicates_missed", counts.duplicates_sent.abs_diff(counts.duplicates) as f64),
        ("invalid_accepted", invalid_accepted as f64),
        ("valid_refused", counts.refused_valid as f64),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// What a price feed is held against.
pub fn measures_of_feed(feed: &FeedReport) -> Measures {
    let share = |part: u64| if feed.due == 0 { f64::NAN } else { part as f64 / feed.due as f64 };
    // Without a tick there is no time: that meets no bound.
    let ms = |took: &Took, us: f64| if took.count == 0 { f64::NAN } else { us / 1e3 };
    let (durable, seen) = (&feed.durable, &feed.seen);
    [
        ("ticks_share", share(feed.answered)),
        ("ticks_seen_share", share(seen.count as u64)),
        ("tick_durable_p95_ms", ms(durable, durable.p95_us)),
        ("tick_seen_p95_ms", ms(seen, seen.p95_us)),
        ("tick_seen_p99_ms", ms(seen, seen.p99_us)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Where scenarios are run.
pub trait World {
    /// Runs a scenario and takes its measures; those that it cannot take are missing. `tell` hears where a load stands.
    ///
    /// # Errors
    /// Why it broke off, in words.
    fn run(&mut self, scenario: &Scenario, tell: &mut dyn FnMut(&Progress)) -> Result<Measures, String>;
}

/// One word for a scenario, or for a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// Nobody can say.
    NotAvailable,
}

impl Word {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotAvailable => "not available",
        }
    }
}

/// A criterion, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The criterion.
    #[serde(flatten)]
    pub criterion: Criterion,
    /// What was measured.
    pub value: Option<f64>,
    /// What follows.
    pub word: Word,
    /// Why it is not available.
    pub why: Option<String>,
}

/// A scenario, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// What it is.
    pub what: String,
    /// Passed only where every criterion is; failed where one is.
    pub word: Word,
    /// Why it broke off; then it failed.
    pub error: Option<String>,
    /// The criteria.
    pub criteria: Vec<Judged>,
    /// The goals, which decide nothing.
    pub goals: Vec<Judged>,
}

/// Judges a scenario by what was measured.
pub fn judge(scenario: &Scenario, measured: Result<Measures, String>) -> Outcome {
    let (measures, error) = match measured {
        Ok(measures) => (measures, None),
        Err(error) => (Measures::new(), Some(error)),
    };
    let judged = |criterion: &Criterion| {
        let why = scenario.not_available.get(&criterion.measure).cloned();
        let value = measures.get(&criterion.measure).copied().filter(|_| why.is_none());
        let word = match value {
            Some(value) if criterion.met(value) => Word::Passed,
            Some(_) => Word::Failed,
            None => Word::NotAvailable,
        };
        let why = (word == Word::NotAvailable).then(|| why.unwrap_or_else(|| "it was not measured here".to_owned()));
        Judged { criterion: criterion.clone(), value: value.filter(|value| !value.is_nan()), word, why }
    };
    let criteria: Vec<Judged> = scenario.criteria.iter().map(judged).collect();
    let any = |word: Word| criteria.iter().any(|one| one.word == word);
    let word = match (error.is_some() || any(Word::Failed), any(Word::NotAvailable)) {
        (true, _) => Word::Failed,
        (false, true) => Word::NotAvailable,
        (false, false) => Word::Passed,
    };
    let goals = scenario.goals.iter().map(judged).collect();
    Outcome { name: scenario.name.clone(), what: scenario.what.clone(), word, error, criteria, goals }
}

/// Runs scenarios one after the other.
pub fn run(
    scenarios: &[Scenario],
    world: &mut dyn World,
    tell: &mut dyn FnMut(&Scenario, &Progress),
    done: &mut dyn FnMut(&Outcome),
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let measured = match scenario.kind {
            ScenarioKind::None => Ok(Measures::new()),
            _ => world.run(scenario, &mut |progress| tell(scenario, progress)),
        };
        let outcome = judge(scenario, measured);
        done(&outcome);
        outcomes.push(outcome);
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measures that meet every criterion and goal of a scenario.
    fn well(scenario: &Scenario) -> Measures {
        let value = |one: &Criterion| one.at_least.or(one.at_most).or(one.below.map(|below| below / 2.0)).unwrap();
        scenario.criteria.iter().map(|one| (one.measure.clone(), value(one))).collect()
    }

    #[test]
    fn every_criterion_of_every_scenario_can_fail() {
        let scenarios = parse(BUILT_IN).unwrap();
        let mut count = 0;
        for scenario in &scenarios {
            let scenario = Scenario { not_available: BTreeMap::new(), ..scenario.clone() };
            assert_eq!(judge(&scenario, Ok(well(&scenario))).word, Word::Passed, "{}", scenario.name);
            for one in &scenario.criteria {
                let worse =
                    one.at_least.map_or_else(|| one.at_most.or(one.below).unwrap() + 0.001, |bound| bound - 0.001);
                for (value, word) in
                    [(Some(worse), Word::Failed), (Some(f64::NAN), Word::Failed), (None, Word::NotAvailable)]
                {
                    let mut measures = well(&scenario);
                    measures.remove(&one.measure);
                    measures.extend(value.map(|value| (one.measure.clone(), value)));
                    assert_eq!(judge(&scenario, Ok(measures)).word, word, "{} {}", scenario.name, one.measure);
                    count += 1;
                }
            }
            assert_eq!(judge(&scenario, Err("it broke".into())).word, Word::Failed, "{}", scenario.name);
        }
        println!("{} scenarios, {count} verdicts", scenarios.len());
    }

    #[test]
    fn the_floor_that_was_asked_for_is_there() {
        let scenarios = parse(BUILT_IN).unwrap();
        let bound = |name: &str, measure: &str| {
            let scenario = scenarios.iter().find(|one| one.name == name).unwrap();
            let one = scenario.criteria.iter().find(|one| one.measure == measure).unwrap();
            one.at_least.or(one.at_most).or(one.below).unwrap()
        };
        for (name, measure, floor) in [
            ("throughput", "achieved_share", 0.95),
            ("latency", "p95_ms", 100.0),
            ("burst", "burst_share", 0.8),
            ("integrity", "mismatches", 0.0),
            ("archive", "archived_share_30s", 0.95),
            ("health", "disk_shown_s", 5.0),
        ] {
            assert_eq!(bound(name, measure), floor, "{name} {measure}");
        }
        let throughput = scenarios.iter().find(|one| one.name == "throughput").unwrap();
        assert_eq!((throughput.rate, throughput.seconds), (Some(10_000), Some(60)));
    }

    #[test]
    fn what_is_not_built_is_never_passed() {
        for name in ["archive", "dead-letters"] {
            let scenario = &built_in(&[name.to_owned()]).unwrap()[0];
            // Even where somebody says that all is well.
            let outcome = judge(scenario, Ok(well(scenario)));
            assert_eq!(outcome.word, Word::NotAvailable);
            assert!(outcome.criteria.iter().all(|one| one.why.is_some() && one.value.is_none()));
        }
    }

    #[test]
    fn wrong_data_is_named() {
        let wrong = |text: &str| parse(text).unwrap_err().to_string();
        let head = "[[scenario]]\nname = \"a\"\nwhat = \"b\"\nkind = \"none\"\n";
        let criterion = "[[scenario.criterion]]\nmeasure = \"m\"\nsource = \"s\"\n";
        assert!(wrong(head).contains("criterion"));
        assert_eq!(wrong(&format!("{head}{criterion}")), "scenario a: a criterion has one bound");
        let load = head.replace("none", "load");
        assert!(wrong(&format!("{load}{criterion}below = 1\n")).contains("a load wants door"));
        let twice = format!("{head}{criterion}below = 1\n");
        assert_eq!(wrong(&format!("{twice}{twice}")), "scenario a: the name is taken");
        assert!(built_in(&["nothing".to_owned()]).is_err());
    }
}
