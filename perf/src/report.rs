//! The run as JSON, and whether it passed and why not.

use crate::burst::{BurstOutcome, ClassCount, Counts, PhaseFigures};
use crate::machine::Machine;
use crate::plan::BurstPlan;
use crate::settle::Interval;
use crate::verdict::Integrity;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// Least share of the offered rate, and of the control's, that the base must achieve.
pub const BASE_SHARE_MIN: f64 = 0.95;
/// The 95th percentile of the latency must stay below this.
pub const P95_NS_LIMIT: u64 = 100_000_000;

/// Latency percentiles in nanoseconds, from the scheduled time.
#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq)]
pub struct LatencyNs {
    /// Least.
    pub min: u64,
    /// Median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 95 %.
    pub p95: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// 99.99 %.
    pub p9999: u64,
    /// Greatest.
    pub max: u64,
    /// Messages measured.
    pub count: u64,
}

impl LatencyNs {
    /// The percentiles of a histogram.
    pub fn of(latency: &Histogram<u64>) -> Self {
        let at = |quantile| latency.value_at_quantile(quantile);
        Self {
            min: if latency.is_empty() { 0 } else { latency.min() },
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: latency.max(),
            count: latency.len(),
        }
    }
}

/// A phase's figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PhaseReport {
    /// Messages scheduled.
    pub offered: u64,
    /// Of these answered.
    pub answered: u64,
    /// Scheduled messages a second.
    pub rate_offered: f64,
    /// Answered messages a second.
    pub rate_achieved: f64,
    /// Latency.
    pub latency_ns: LatencyNs,
}

impl PhaseReport {
    /// Of measured figures.
    pub fn of(figures: &PhaseFigures) -> Self {
        Self {
            offered: figures.offered,
            answered: figures.answered,
            rate_offered: rounded(figures.rate_offered),
            rate_achieved: rounded(figures.rate_achieved),
            latency_ns: LatencyNs::of(&figures.latency),
        }
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// The control's figures, from the same plan cut short, in the same process.
#[derive(Clone, Debug, Serialize)]
pub struct ControlReport {
    /// Length of the control's run.
    pub seconds: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages not answered.
    pub unanswered: u64,
    /// Outside the burst.
    pub base: PhaseReport,
    /// The burst.
    pub burst: PhaseReport,
    /// Both.
    pub total: PhaseReport,
}

impl ControlReport {
    /// Of a control's outcome.
    pub fn of(outcome: &BurstOutcome) -> Self {
        Self {
            seconds: outcome.plan.seconds,
            sent: outcome.counts.sent,
            unanswered: outcome.counts.unanswered,
            base: PhaseReport::of(&outcome.base),
            burst: PhaseReport::of(&outcome.burst),
            total: PhaseReport::of(&outcome.total),
        }
    }
}

/// A stretch of the profile by its name.
#[derive(Clone, Debug, Serialize)]
pub struct StretchReport {
    /// Its name.
    pub name: &'static str,
    /// Its figures.
    #[serde(flatten)]
    pub figures: PhaseReport,
}

/// What a run must reach to pass, beside an exact book and an answer to everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Criteria {
    /// Least share of the offered rate, and of the control's, that the base achieves.
    pub base_share_min: f64,
    /// The 95th percentile of the latency stays below this.
    pub p95_ns_limit: u64,
}

impl Criteria {
    /// Those of `lotbook burst`.
    pub const BURST: Self = Self { base_share_min: BASE_SHARE_MIN, p95_ns_limit: P95_NS_LIMIT };
    /// None: whatever the rate, only the book is judged.
    pub const NONE: Self = Self { base_share_min: 0.0, p95_ns_limit: u64::MAX };
}

/// Everything about one run. The first keys are a contract; see `docs` of the command that prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether the run passed.
    pub pass: bool,
    /// Why not; empty when it passed.
    pub reasons: Vec<String>,
    /// Worth knowing, and no reason to fail.
    pub notes: Vec<String>,
    /// Messages sent.
    pub sent: u64,
    /// Trades acknowledged as accepted.
    pub acknowledged: u64,
    /// Messages refused, planted or not.
    pub rejected: u64,
    /// Messages answered as duplicates.
    pub duplicates: u64,
    /// Messages not answered.
    pub unanswered: u64,
    /// Scheduled messages a second over the whole run.
    pub rate_offered: f64,
    /// Answered messages a second over the whole run.
    pub rate_achieved: f64,
    /// Latency over the whole run.
    pub latency_ns: LatencyNs,
    /// The verdict.
    pub integrity: Integrity,
    /// Where it ran.
    pub machine: Machine,
    /// What an acknowledgement promised: `applied` or `durable`.
    pub ack: String,
    /// What was loaded, and through which door.
    pub target: String,
    /// What had to be reached.
    pub criteria: Criteria,
    /// How long after its due time each message was handed over: the generator's own share of the latencies, and a full door's.
    pub lateness_ns: LatencyNs,
    /// The latency's curve: pairs of 1/(1 - quantile) and nanoseconds.
    pub percentiles: Vec<(f64, u64)>,
    /// The stretches of the profile.
    pub stretches: Vec<StretchReport>,
    /// All counts.
    pub counts: Counts,
    /// Outside the burst.
    pub base: PhaseReport,
    /// The burst.
    pub burst: PhaseReport,
    /// The echo without an engine.
    pub control: Option<ControlReport>,
    /// Planted invalid messages by class.
    pub invalid_classes: Vec<ClassCount>,
    /// Valid trades refused, by reason code.
    pub refusals: BTreeMap<String, u64>,
    /// What was run.
    pub plan: BurstPlan,
    /// Four lines a second.
    pub intervals: Vec<Interval>,
}

impl Report {
    /// Puts a run, its verdict and its control together and judges them.
    pub fn new(
        outcome: &BurstOutcome,
        integrity: Integrity,
        control: Option<&BurstOutcome>,
        (target, ack): (&str, &str),
        criteria: Criteria,
        machine: Machine,
    ) -> Self {
        let mut report = Self {
            pass: false,
            reasons: Vec::new(),
            notes: Vec::new(),
            sent: outcome.counts.sent,
            acknowledged: outcome.counts.acknowledged,
            rejected: outcome.counts.rejected,
            duplicates: outcome.counts.duplicates,
            unanswered: outcome.counts.unanswered,
            rate_offered: rounded(outcome.total.rate_offered),
            rate_achieved: rounded(outcome.total.rate_achieved),
            latency_ns: LatencyNs::of(&outcome.total.latency),
            integrity,
            machine,
            ack: ack.to_owned(),
            target: target.to_owned(),
            criteria,
            lateness_ns: LatencyNs::of(&outcome.lateness),
            percentiles: percentiles(&outcome.total.latency),
            stretches: (outcome.stretches.iter())
                .map(|(name, figures)| StretchReport { name, figures: PhaseReport::of(figures) })
                .collect(),
            counts: outcome.counts.clone(),
            base: PhaseReport::of(&outcome.base),
            burst: PhaseReport::of(&outcome.burst),
            control: control.map(ControlReport::of),
            invalid_classes: outcome.classes.clone(),
            refusals: outcome.refusals.clone(),
            plan: outcome.plan.clone(),
            intervals: outcome.intervals.clone(),
        };
        report.judge();
        report
    }

    /// Sets `pass`, `reasons` and `notes` from the figures.
    pub fn judge(&mut self) {
        let mut reasons = Vec::new();
        let mut notes = Vec::new();
        let counts = &self.counts;
        if !self.integrity.exact() {
            reasons.push("the integrity verdict is broken".to_owned());
        }
        if counts.unanswered > 0 {
            reasons.push(format!("{} messages were shed: no answer came", counts.unanswered));
        }
        if counts.refused_valid > counts.unavailable {
            reasons.push(format!("{} valid trades were refused", counts.refused_valid - counts.unavailable));
        }
        if counts.unavailable > 0 {
            notes.push(format!("{} trades were refused because the host took none at the moment", counts.unavailable));
        }
        if counts.duplicates != counts.duplicates_sent && counts.unanswered == 0 && counts.refused_valid == 0 {
            reasons.push(format!(
                "{} duplicates were sent, {} answered as such",
                counts.duplicates_sent, counts.duplicates
            ));
        }
        for class in &self.invalid_classes {
            if class.accepted > 0 {
                reasons
                    .push(format!("{} of {} messages with {} were accepted", class.accepted, class.sent, class.name));
            } else if class.refused_as_expected < class.sent {
                let otherwise = class.sent - class.refused_as_expected;
                notes.push(format!(
                    "{otherwise} of {} messages with {} were refused otherwise than expected",
                    class.sent, class.name
                ));
            }
        }
        let base = &self.base;
        let Criteria { base_share_min, p95_ns_limit } = self.criteria;
        let asked = 100.0 * base_share_min;
        if base.offered > 0 && base.rate_achieved < base_share_min * base.rate_offered {
            let share = 100.0 * base.rate_achieved / base.rate_offered;
            reasons.push(format!("the base achieved {share:.1} % of what was offered; {asked:.0} % are asked for"));
        }
        if let Some(control) = &self.control
            && control.base.offered > 0
            && base.rate_achieved < base_share_min * control.base.rate_achieved
        {
            let share = 100.0 * base.rate_achieved / control.base.rate_achieved;
            reasons.push(format!("the base achieved {share:.1} % of the control; {asked:.0} % are asked for"));
        }
        if self.latency_ns.p95 >= p95_ns_limit {
            let (seen, limit) = (duration(self.latency_ns.p95), duration(p95_ns_limit));
            reasons.push(format!("p95 is {seen}; it must stay below {limit}"));
        }
        if self.burst.offered > 0 && self.burst.rate_achieved < BASE_SHARE_MIN * self.burst.rate_offered {
            let share = 100.0 * self.burst.rate_achieved / self.burst.rate_offered;
            notes.push(format!("the burst achieved {share:.1} % of what was offered"));
        }
        if self.machine.build == "debug" {
            notes.push("a debug build: the times mean nothing".to_owned());
        }
        self.pass = reasons.is_empty();
        self.reasons = reasons;
        self.notes = notes;
    }

    /// The document that `--json` writes.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report has string keys only");
        text.push('\n');
        text
    }
}

/// The curve of a histogram: x is 1/(1 - quantile), which spreads the nines evenly on a log scale.
pub(crate) fn percentiles(latency: &Histogram<u64>) -> Vec<(f64, u64)> {
    let last = (latency.len().max(10)) as f64;
    let mut points: Vec<(f64, u64)> = (0..)
        .map(|step| 10f64.powf(f64::from(step) / 20.0))
        .take_while(|&x| x < last)
        .map(|x| (x, latency.value_at_quantile(1.0 - 1.0 / x)))
        .collect();
    points.push((last, latency.max()));
    points
}

/// A duration as people read it: three digits and a unit.
pub fn duration(ns: u64) -> String {
    let value = ns as f64;
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (value / 1e3, "us"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// A whole number with its thousands set apart.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::flow;
    use crate::settle::latency_histogram;
    use crate::verdict::LogCheck;

    /// A report of a run in which all went well.
    pub(crate) fn good() -> Report {
        let plan = BurstPlan { seconds: 1, rate: 100, ..BurstPlan::default() };
        let ledger = flow::generate(&plan).unwrap();
        let integrity = Integrity { verdict: "exact", ..LogCheck::new(&ledger).finish(&[]) };
        let mut latency = latency_histogram();
        for value in 1..=1_000u64 {
            latency.record(value * 20_000).unwrap();
        }
        let phase = |rate: f64| PhaseFigures {
            offered: 1000,
            answered: 1000,
            rate_offered: rate,
            rate_achieved: rate,
            latency: latency.clone(),
        };
        let outcome = || BurstOutcome {
            plan: plan.clone(),
            counts: Counts {
                sent: 1000,
                acknowledged: 985,
                applied: 985,
                duplicates: 10,
                duplicates_sent: 10,
                rejected: 5,
                invalid_sent: 5,
                invalid_refused: 5,
                ..Counts::default()
            },
            base: phase(100.0),
            burst: phase(1000.0),
            total: phase(280.0),
            stretches: vec![("flat", phase(100.0))],
            interval_log: Default::default(),
            lateness: latency_histogram(),
            intervals: (1..=4)
                .map(|at| Interval {
                    at_ms: at * 250,
                    length_ms: 250.0,
                    offered: 70,
                    answered: 69 + at % 2,
                    outstanding: at,
                    p50_ns: 50_000 * at,
                    p99_ns: 900_000,
                    max_ns: 1_000_000,
                })
                .collect(),
            classes: vec![],
            refusals: BTreeMap::new(),
            contradictions: Default::default(),
            early_acknowledgements: 0,
            unknown_answers: 0,
            ledger: ledger.clone(),
        };
        let mut report = Report::new(
            &outcome(),
            integrity,
            Some(&outcome()),
            ("an embedded host", "durable"),
            Criteria::BURST,
            Machine::here(),
        );
        report.machine.build = "release".into();
        report.judge();
        report
    }

    #[test]
    fn the_named_keys_are_there() {
        let report = good();
        assert_eq!((report.pass, report.reasons.len()), (true, 0));
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        for key in [
            "sent",
            "acknowledged",
            "rejected",
            "duplicates",
            "rate_offered",
            "rate_achieved",
            "machine",
            "pass",
            "control",
            "base",
            "burst",
        ] {
            assert!(!json[key].is_null(), "{key}");
        }
        for key in ["p50", "p99", "p999", "p9999", "max"] {
            assert!(json["latency_ns"][key].is_u64(), "{key}");
        }
        assert_eq!(json["integrity"]["verdict"], "exact");
        for key in ["missing", "extra", "wrong_positions"] {
            assert_eq!(json["integrity"][key], 0, "{key}");
        }
    }

    #[test]
    fn each_criterion_can_fail() {
        type Harm = fn(&mut Report);
        let harms: [(Harm, &str); 7] = [
            (|report| report.integrity.verdict = "broken", "integrity"),
            (|report| report.counts.unanswered = 1, "shed"),
            (|report| report.counts.refused_valid = 1, "valid trades"),
            (|report| report.counts.duplicates = 9, "duplicates"),
            (|report| report.base.rate_achieved = 94.9, "offered"),
            (|report| report.control.as_mut().unwrap().base.rate_achieved = 106.0, "control"),
            (|report| report.latency_ns.p95 = P95_NS_LIMIT, "p95"),
        ];
        for (harm, word) in harms {
            let mut report = good();
            harm(&mut report);
            report.judge();
            assert!(!report.pass);
            assert!(report.reasons[0].contains(word), "{:?}", report.reasons);
        }
    }

    #[test]
    fn people_read_units() {
        for (ns, text) in [
            (999, "999 ns"),
            (1_234, "1.23 us"),
            (45_678_000, "45.7 ms"),
            (123_000_000, "123 ms"),
            (2_000_000_000, "2.00 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
        assert_eq!((grouped(7), grouped(1_234_567)), ("7".into(), "1,234,567".into()));
    }
}
