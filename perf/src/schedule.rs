//! When each message is due: stretches of even, rising or recorded spacing. Integers only, so that every machine offers the same.

use crate::plan::BurstPlan;
use crate::profile::Mood;
use crate::tape::Tape;
use serde::Serialize;
use std::sync::Arc;

/// Which part of the profile a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// At the plan's rate.
    Base,
    /// Above it.
    Burst,
}

/// One stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name in the profile.
    pub name: &'static str,
    /// Base or burst.
    pub phase: Phase,
    /// What is traded.
    pub mood: Mood,
    /// Start, from the start of the run.
    pub start_ns: u64,
    /// Length.
    pub length_ns: u64,
    /// Messages a second at its start.
    pub rate: u64,
    /// Messages a second at its end.
    pub rate_end: u64,
    /// Index of its first message.
    pub first: u64,
    /// Messages in it.
    pub count: u64,
}

/// The profile of a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    segments: Vec<Segment>,
    /// Of a recorded run: where the times are.
    tape: Option<Arc<Tape>>,
}

const SECOND_NS: u64 = 1_000_000_000;
/// Ramps are reckoned in microseconds: the square of a day's length times a rate fits 128 bits then.
const SECOND_US: u64 = 1_000_000;
const US_NS: u64 = 1_000;

impl Schedule {
    /// The schedule of `plan`.
    pub fn of(plan: &BurstPlan) -> Self {
        if let Some(tape) = &plan.tape {
            return Self::recorded(plan, Arc::clone(tape));
        }
        let mut segments = Vec::new();
        let (mut start_ns, mut first) = (0, 0);
        for stretch in plan.profile.stretches(plan) {
            let twice_rate = u128::from(stretch.rate) + u128::from(stretch.rate_end);
            let count = (u128::from(stretch.length_ns) * twice_rate / u128::from(2 * SECOND_NS)) as u64;
            if count > 0 {
                segments.push(Segment {
                    name: stretch.name,
                    phase: stretch.phase,
                    mood: stretch.mood,
                    start_ns,
                    length_ns: stretch.length_ns,
                    rate: stretch.rate,
                    rate_end: stretch.rate_end,
                    first,
                    count,
                });
            }
            start_ns += stretch.length_ns;
            first += count;
        }
        Self { segments, tape: None }
    }

    fn recorded(plan: &BurstPlan, tape: Arc<Tape>) -> Self {
        let count = tape.rows.len() as u64;
        let length_ns = plan.seconds * SECOND_NS;
        let rate = (count / plan.seconds).max(1);
        let segment = Segment {
            name: "recorded",
            phase: Phase::Base,
            mood: Mood::Ordinary,
            start_ns: 0,
            length_ns,
            rate,
            rate_end: rate,
            first: 0,
            count,
        };
        Self { segments: vec![segment], tape: Some(tape) }
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
        if let Some(tape) = &self.tape {
            return tape.due_ns(index, segment.length_ns);
        }
        let number = index - segment.first;
        segment.start_ns
            + if segment.rate == segment.rate_end {
                (u128::from(number) * u128::from(SECOND_NS) / u128::from(segment.rate)) as u64
            } else {
                ramp_us(segment, number) * US_NS
            }
    }

    /// The phase at `now_ns` from the start of the run.
    pub fn phase_at(&self, now_ns: u64) -> Phase {
        self.segment_at(now_ns).map_or(Phase::Base, |segment| segment.phase)
    }

    /// The stretch at `now_ns` from the start of the run; none after its end.
    pub fn segment_at(&self, now_ns: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| now_ns < segment.start_ns + segment.length_ns)
    }
}

/// When message `number` of a ramp is due, from its start: the time at which the area below the line reaches `number`.
///
/// With rate f at the start, a change of d over the length L, and time t: f t + d t² / 2L = n; solved for t.
fn ramp_us(segment: &Segment, number: u64) -> u64 {
    let length = i128::from(segment.length_ns / US_NS);
    let start = i128::from(segment.rate) * length;
    let change = i128::from(segment.rate_end) - i128::from(segment.rate);
    let area = 2 * change * length * i128::from(SECOND_US) * i128::from(number);
    let root = (start * start + area).max(0).isqrt();
    let at = (root - start) / change;
    at.clamp(0, length - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

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
        for profile in Profile::ALL {
            let plan = BurstPlan { profile, rate: 777, seconds: 3, burst_permille: 333, ..BurstPlan::default() };
            let schedule = Schedule::of(&plan);
            let mut last = 0;
            for index in 0..schedule.messages() {
                let due = schedule.due_ns(index);
                assert!(due >= last, "{profile:?} {index}");
                assert!(due < schedule.length_ns(), "{profile:?} {index}");
                last = due;
            }
            assert_eq!(schedule.messages() == 0, profile == Profile::Recorded, "{profile:?}");
        }
    }

    #[test]
    fn a_ramp_offers_the_area_below_its_line() {
        let plan =
            BurstPlan { profile: Profile::Ramp, rate: 1_000, burst_multiplier: 9, seconds: 10, ..BurstPlan::default() };
        let schedule = Schedule::of(&plan);
        // 1,000/s to 9,000/s over 10 s: 5,000/s in the middle, and 2,000/s x 2.5 s in the first quarter.
        assert_eq!(schedule.messages(), 50_000);
        let before = |ns: u64| (0..50_000).filter(|&index| schedule.due_ns(index) < ns).count();
        assert_eq!(before(2_500_000_000), 5_000);
        assert_eq!(before(5_000_000_000), 15_000);
    }

    #[test]
    fn a_step_after_the_other() {
        let plan =
            BurstPlan { profile: Profile::Step, rate: 100, burst_multiplier: 5, seconds: 5, ..BurstPlan::default() };
        let rates: Vec<_> = Schedule::of(&plan).segments().iter().map(|s| (s.rate, s.count)).collect();
        assert_eq!(rates, [(100, 100), (200, 200), (300, 300), (400, 400), (500, 500)]);
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
