//! When each message is due: base, burst, base, each evenly spaced. Integers only.

use crate::plan::BurstPlan;
use serde::Serialize;

/// Which part of the profile a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// At the plan's rate.
    Base,
    /// At the multiplied rate.
    Burst,
}

/// One stretch at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Base or burst.
    pub phase: Phase,
    /// Start, from the start of the run.
    pub start_ns: u64,
    /// Length.
    pub length_ns: u64,
    /// Messages a second.
    pub rate: u64,
    /// Index of its first message.
    pub first: u64,
    /// Messages in it.
    pub count: u64,
}

/// The profile of a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    segments: Vec<Segment>,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Schedule {
    /// The schedule of `plan`.
    pub fn of(plan: &BurstPlan) -> Self {
        let total_ns = plan.seconds * SECOND_NS;
        let burst_ns = total_ns / 1000 * u64::from(plan.burst_permille);
        let before_ns = (total_ns - burst_ns) / 2;
        let mut segments = Vec::new();
        let (mut start_ns, mut first) = (0, 0);
        for (phase, length_ns, rate) in [
            (Phase::Base, before_ns, plan.rate),
            (Phase::Burst, burst_ns, plan.rate * plan.burst_multiplier),
            (Phase::Base, total_ns - burst_ns - before_ns, plan.rate),
        ] {
            let count = (u128::from(length_ns) * u128::from(rate) / u128::from(SECOND_NS)) as u64;
            if count > 0 {
                segments.push(Segment { phase, start_ns, length_ns, rate, first, count });
            }
            start_ns += length_ns;
            first += count;
        }
        Self { segments }
    }

    /// The stretches, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Messages in all.
    pub fn messages(&self) -> u64 {
        self.segments.iter().map(|segment| segment.count).sum()
    }

    /// Length of the run.
    pub fn length_ns(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.start_ns + last.length_ns)
    }

    /// Which stretch message `index` belongs to.
    pub fn segment_of(&self, index: u64) -> usize {
        let at = self.segments.iter().position(|segment| index < segment.first + segment.count);
        at.expect("an index of this schedule")
    }

    /// When message `index` is due, from the start of the run.
    pub fn due_ns(&self, index: u64) -> u64 {
        let segment = &self.segments[self.segment_of(index)];
        let offset = u128::from(index - segment.first) * u128::from(SECOND_NS) / u128::from(segment.rate);
        segment.start_ns + offset as u64
    }

    /// The phase at `now_ns` from the start of the run.
    pub fn phase_at(&self, now_ns: u64) -> Phase {
        let within = self.segments.iter().find(|segment| now_ns < segment.start_ns + segment.length_ns);
        within.map_or(Phase::Base, |segment| segment.phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_seconds_are_twelve_six_twelve() {
        let plan = BurstPlan::default();
        let schedule = Schedule::of(&plan);
        let shape: Vec<_> = schedule.segments().iter().map(|s| (s.phase, s.length_ns / SECOND_NS, s.count)).collect();
        assert_eq!(shape, [(Phase::Base, 12, 120_000), (Phase::Burst, 6, 600_000), (Phase::Base, 12, 120_000)]);
        assert_eq!(schedule.messages(), 840_000);
        assert_eq!(schedule.length_ns(), 30 * SECOND_NS);
        assert_eq!(schedule.due_ns(0), 0);
        assert_eq!(schedule.due_ns(1), 100_000);
        assert_eq!(schedule.due_ns(120_000), 12 * SECOND_NS);
        assert_eq!(schedule.due_ns(120_001), 12 * SECOND_NS + 10_000);
        assert_eq!(schedule.phase_at(13 * SECOND_NS), Phase::Burst);
    }

    #[test]
    fn due_times_never_go_back() {
        let plan = BurstPlan { rate: 777, seconds: 3, burst_permille: 333, ..BurstPlan::default() };
        let schedule = Schedule::of(&plan);
        let mut last = 0;
        for index in 0..schedule.messages() {
            let due = schedule.due_ns(index);
            assert!(due >= last);
            assert!(due < schedule.length_ns());
            last = due;
        }
    }

    #[test]
    fn no_burst_and_only_burst() {
        let flat = Schedule::of(&BurstPlan { burst_permille: 0, seconds: 2, ..BurstPlan::default() });
        assert!(flat.segments().iter().all(|segment| segment.phase == Phase::Base));
        let only = Schedule::of(&BurstPlan { burst_permille: 1000, seconds: 2, ..BurstPlan::default() });
        assert_eq!(only.segments().len(), 1);
        assert_eq!(only.messages(), 200_000);
    }
}
