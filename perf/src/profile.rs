//! Shapes of load: what part of a run is offered at what multiple of the base rate, and what is traded meanwhile.

use crate::plan::BurstPlan;
use crate::schedule::Phase;
use serde::Serialize;

/// A shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Base rate, the multiplied rate, base rate. What `lotbook burst` runs.
    #[default]
    Burst,
    /// The base rate throughout.
    Flat,
    /// From the base rate to the multiplied one in [`STEPS`] equal steps of equal length.
    Step,
    /// From the base rate to the multiplied one in a straight line.
    Ramp,
    /// A market's close: quiet, release of the D-orders, closing cross, liquidations, tail.
    Close,
    /// The times, symbols, prices and quantities of a recorded file ([`crate::tape::Tape`]), its length stretched to the run's.
    Recorded,
}

/// Steps of [`Profile::Step`].
pub const STEPS: u64 = 5;

/// What is traded in a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    /// All kinds of orders.
    Ordinary,
    /// Closing orders at a discretion of the floor (D-orders) come free together: blocks.
    Blocks,
    /// All trades of an instrument at one price, the closing cross's.
    Cross,
    /// Positions are closed, wholly or by half.
    Liquidation,
}

/// A stretch of a profile at one rate, or at one that changes in a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) name: &'static str,
    pub(crate) phase: Phase,
    pub(crate) mood: Mood,
    pub(crate) length_ns: u64,
    pub(crate) rate: u64,
    pub(crate) rate_end: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

/// A stretch of the close: name, what is traded, thousandths of the run, hundredths of the multiplied rate (0: the base rate).
type CloseRow = (&'static str, Mood, u64, u64);

/// Order of magnitude as at an exchange's close: most of a day's closing volume is in the cross, the D-orders come free shortly before it,
/// and forced liquidations follow.
const CLOSE: [CloseRow; 5] = [
    ("quiet", Mood::Ordinary, 400, 0),
    ("D-order release", Mood::Blocks, 150, 40),
    ("closing cross", Mood::Cross, 150, 100),
    ("liquidations", Mood::Liquidation, 150, 30),
    ("tail", Mood::Ordinary, 150, 0),
];

const _: () = assert!(CLOSE[0].2 + CLOSE[1].2 + CLOSE[2].2 + CLOSE[3].2 + CLOSE[4].2 == 1_000);

impl Profile {
    /// All shapes.
    pub const ALL: [Self; 6] = [Self::Burst, Self::Flat, Self::Step, Self::Ramp, Self::Close, Self::Recorded];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::Flat => "flat",
            Self::Step => "step",
            Self::Ramp => "ramp",
            Self::Close => "close",
            Self::Recorded => "recorded",
        }
    }

    /// The shape of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }

    /// The stretches of a run of `plan`, in order. None of a recorded one: its file says when.
    pub(crate) fn stretches(self, plan: &BurstPlan) -> Vec<Stretch> {
        let total_ns = plan.seconds * SECOND_NS;
        let high = plan.rate * plan.burst_multiplier;
        let stretch = |name, phase, length_ns, rate| Stretch {
            name,
            phase,
            mood: Mood::Ordinary,
            length_ns,
            rate,
            rate_end: rate,
        };
        match self {
            Self::Burst => {
                let burst_ns = total_ns / 1000 * u64::from(plan.burst_permille);
                let before_ns = (total_ns - burst_ns) / 2;
                vec![
                    stretch("before", Phase::Base, before_ns, plan.rate),
                    stretch("burst", Phase::Burst, burst_ns, high),
                    stretch("after", Phase::Base, total_ns - burst_ns - before_ns, plan.rate),
                ]
            }
            Self::Flat => vec![stretch("flat", Phase::Base, total_ns, plan.rate)],
            Self::Step => {
                const NAMES: [&str; STEPS as usize] = ["step 1", "step 2", "step 3", "step 4", "step 5"];
                let rate = |step: u64| plan.rate + (high - plan.rate) * step / (STEPS - 1);
                (0..STEPS)
                    .map(|step| {
                        let phase = if step == 0 { Phase::Base } else { Phase::Burst };
                        stretch(NAMES[step as usize], phase, total_ns / STEPS, rate(step))
                    })
                    .collect()
            }
            Self::Ramp => vec![Stretch { rate_end: high, ..stretch("ramp", Phase::Base, total_ns, plan.rate) }],
            Self::Close => CLOSE
                .into_iter()
                .map(|(name, mood, permille, percent)| {
                    let (phase, rate) = match percent {
                        0 => (Phase::Base, plan.rate),
                        _ => (Phase::Burst, (high * percent / 100).max(plan.rate)),
                    };
                    Stretch { mood, ..stretch(name, phase, total_ns / 1000 * permille, rate) }
                })
                .collect(),
            Self::Recorded => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for profile in Profile::ALL {
            assert_eq!(Profile::parse(profile.as_str()), Some(profile));
        }
        assert_eq!(Profile::parse("flood"), None);
    }

    #[test]
    fn the_close_has_its_five_parts() {
        let plan = BurstPlan { profile: Profile::Close, seconds: 20, ..BurstPlan::default() };
        let rows: Vec<_> =
            Profile::Close.stretches(&plan).iter().map(|s| (s.name, s.length_ns / 1_000_000, s.rate)).collect();
        assert_eq!(
            rows,
            [
                ("quiet", 8_000, 10_000),
                ("D-order release", 3_000, 40_000),
                ("closing cross", 3_000, 100_000),
                ("liquidations", 3_000, 30_000),
                ("tail", 3_000, 10_000),
            ]
        );
        // Never below the quiet rate, whatever the multiplier.
        let flat = BurstPlan { burst_multiplier: 1, ..plan };
        assert!(Profile::Close.stretches(&flat).iter().all(|stretch| stretch.rate == 10_000));
    }
}
