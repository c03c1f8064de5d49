//! The highest rate that a host sustains below a latency ceiling, by doubling and bisection.
//!
//! A rate is *sustained* when a run at it, flat, answers everything, achieves at least 99 % of what it offered, and keeps the named percentile at
//! or below the ceiling, counted from the scheduled times. The search doubles from the lowest rate until one is not sustained, then halves the
//! bracket until its ends are within the wanted share of each other. Noise of a shared machine can only make a sustainable rate fail: so a failed
//! probe is tried once more, and what is reported is the highest rate that was sustained, never an interpolation.

use crate::burst::{BurstError, BurstOutcome};
use serde::Serialize;

/// Least share of the offered rate that must be achieved, in thousandths.
pub const ACHIEVED_PERMILLE_MIN: u64 = 990;
/// Times a rate is tried before it counts as not sustained.
pub const TRIES: u32 = 2;

/// What is looked for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Search {
    /// Lowest rate, messages a second; must be above zero.
    pub low: u64,
    /// Highest rate that is tried.
    pub high: u64,
    /// Percentile that is held against the ceiling, such as 99.0.
    pub percentile: f64,
    /// The ceiling.
    pub ceiling_ns: u64,
    /// The bracket is small enough when its ends differ by no more than this, in thousandths of the lower one.
    pub close_permille: u64,
}

/// One run of the search.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// Messages a second offered.
    pub rate: u64,
    /// Messages a second achieved.
    pub achieved: f64,
    /// The percentile that was asked for.
    pub latency_ns: u64,
    /// Messages not answered.
    pub unanswered: u64,
    /// Whether the rate was sustained.
    pub sustained: bool,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// What was looked for.
    pub search: Search,
    /// The highest rate that was sustained; none where the lowest was not.
    pub rate: Option<u64>,
    /// The highest rate tried was sustained: the limit lies above it.
    pub beyond: bool,
    /// Every run, in order.
    pub probes: Vec<Probe>,
}

impl Search {
    /// Whether a run at `rate` sustained it.
    pub fn judge(&self, rate: u64, outcome: &BurstOutcome) -> Probe {
        let latency_ns = outcome.total.latency.value_at_percentile(self.percentile);
        let achieved = outcome.total.rate_achieved;
        let unanswered = outcome.counts.unanswered;
        let achieves = achieved * 1000.0 >= outcome.total.rate_offered * ACHIEVED_PERMILLE_MIN as f64;
        let sustained = unanswered == 0 && achieves && latency_ns <= self.ceiling_ns;
        Probe { rate, achieved, latency_ns, unanswered, sustained }
    }

    /// Searches; `run` offers a rate to a fresh host and tells what came of it, `told` hears of every probe.
    ///
    /// # Errors
    /// The first run that broke.
    pub fn find(
        self,
        run: &mut dyn FnMut(u64) -> Result<BurstOutcome, BurstError>,
        told: &mut dyn FnMut(&Probe),
    ) -> Result<Found, BurstError> {
        let mut found = Found { search: self, rate: None, beyond: false, probes: Vec::new() };
        let mut sustains = |rate: u64, found: &mut Found| -> Result<bool, BurstError> {
            for _ in 0..TRIES {
                let probe = self.judge(rate, &run(rate)?);
                told(&probe);
                found.probes.push(probe);
                if found.probes.last().is_some_and(|probe| probe.sustained) {
                    found.rate = found.rate.max(Some(rate));
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let mut held = self.low;
        if !sustains(self.low, &mut found)? {
            return Ok(found);
        }
        let mut failed = loop {
            if held >= self.high {
                found.beyond = true;
                return Ok(found);
            }
            let next = (held * 2).min(self.high);
            if !sustains(next, &mut found)? {
                break next;
            }
            held = next;
        };
        while (failed - held) * 1000 > held * self.close_permille {
            let middle = held.midpoint(failed);
            if middle == held {
                break;
            }
            if sustains(middle, &mut found)? {
                held = middle;
            } else {
                failed = middle;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow;
    use crate::plan::BurstPlan;
    use crate::schedule::Schedule;
    use crate::settle::Settled;

    /// A host that holds 1 ms up to `limit` messages a second, and 50 ms beyond it.
    fn outcome(rate: u64, limit: u64) -> BurstOutcome {
        let plan = BurstPlan { rate: 100, seconds: 1, ..BurstPlan::default() };
        let mut outcome =
            crate::burst::assemble(&plan, flow::generate(&plan).unwrap(), Settled::new(Schedule::of(&plan)));
        let held = rate <= limit;
        (0..1_000).for_each(|_| outcome.total.latency.record(if held { 1_000_000 } else { 50_000_000 }).unwrap());
        outcome.total.rate_offered = rate as f64;
        outcome.total.rate_achieved = rate.min(limit * 2) as f64;
        outcome
    }

    fn search() -> Search {
        Search { low: 1_000, high: 1_000_000, percentile: 99.0, ceiling_ns: 5_000_000, close_permille: 50 }
    }

    #[track_caller]
    fn find(limit: u64) -> Found {
        search().find(&mut |rate| Ok(outcome(rate, limit)), &mut |_| {}).unwrap()
    }

    #[test]
    fn the_limit_is_found_within_its_share() {
        for limit in [1_000, 1_500, 70_000, 123_456, 999_999] {
            let found = find(limit);
            let rate = found.rate.unwrap();
            assert!(rate <= limit && limit <= rate + rate / 20, "{rate} for {limit}");
            assert!(!found.beyond);
            assert!(found.probes.len() < 40, "{}", found.probes.len());
        }
    }

    #[test]
    fn below_the_lowest_and_beyond_the_highest() {
        assert_eq!((find(500).rate, find(500).probes.len()), (None, TRIES as usize));
        let beyond = find(2_000_000);
        assert_eq!((beyond.rate, beyond.beyond), (Some(1_000_000), true));
    }

    #[test]
    fn one_bad_moment_does_not_end_the_search() {
        let mut runs = 0;
        let mut run = |rate: u64| {
            runs += 1;
            // Every first try of the first three rates is disturbed.
            Ok(outcome(rate, if runs % 2 == 1 && runs < 6 { 0 } else { 10_000 }))
        };
        let found = search().find(&mut run, &mut |_| {}).unwrap();
        assert!(found.rate.unwrap() > 9_500);
    }

    #[test]
    fn each_part_of_the_criterion_can_fail() {
        type Harm = fn(&mut BurstOutcome);
        let harms: [Harm; 3] = [
            |outcome| outcome.counts.unanswered = 1,
            |outcome| outcome.total.rate_achieved = 0.98 * outcome.total.rate_offered,
            |outcome| (0..11).for_each(|_| outcome.total.latency.record(6_000_000).unwrap()),
        ];
        assert!(search().judge(1_000, &outcome(1_000, 1_000)).sustained);
        for harm in harms {
            let mut outcome = outcome(1_000, 1_000);
            harm(&mut outcome);
            assert!(!search().judge(1_000, &outcome).sustained);
        }
    }
}
