//! Units of lots for wash sales of the naive model: how they leave a lot and how they are scaled (rule 11, points 1 and 5).

use super::Run;
use crate::naive::numbers::{add, floor, share};
use crate::naive::words::{Id, Reason};

impl Run {
    /// So many of the units, with their share of what all carry.
    pub(super) fn give(&mut self, units: i128) -> Result<Self, Reason> {
        let addition = share(self.addition, units, self.units)?;
        (self.units, self.addition) = (self.units - units, self.addition - addition);
        Ok(Self { units, addition, ..self.clone() })
    }
}

/// A lot beside the plain book's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The trade that opened it.
    pub(super) origin: Id,
    /// Its units in the order in which they leave.
    pub(super) runs: Vec<Run>,
}

impl Held {
    pub(super) fn units(&self) -> i128 {
        self.runs.iter().map(|run| run.units).sum()
    }

    /// The first units leave, with their share of what they carry.
    pub(super) fn give(&mut self, mut wanted: i128) -> Result<Vec<Run>, Reason> {
        let mut gone = Vec::new();
        while wanted > 0 {
            let first = &mut self.runs[0];
            let units = first.units.min(wanted);
            gone.push(first.give(units)?);
            self.runs.retain(|run| run.units > 0);
            wanted -= units;
        }
        Ok(gone)
    }

    /// Matched ones in the order of their matches, then free ones in the order in which they came.
    pub(super) fn in_order_of_leaving(&mut self) {
        self.runs.retain(|run| run.units > 0);
        self.runs.sort_by_key(|run| (run.matched.is_none(), run.matched));
    }
}

/// Units of lots become others, by cumulated units; what a run or a lot that vanishes carries goes on. `new`: the units
/// of each lot, not all of them zero.
pub(super) fn scale(lots: &mut Vec<Held>, new: &[i128]) -> Result<(), Reason> {
    let (mut orphaned, mut last) = (0, 0);
    for (at, (lot, new)) in lots.iter_mut().zip(new).enumerate() {
        let old = lot.units();
        let (mut until, mut given, mut carried) = (0, 0, std::mem::take(&mut orphaned));
        for run in &mut lot.runs {
            until += run.units;
            let new_until = floor(until, *new, old)?;
            (run.units, given) = (new_until - given, new_until);
            carried = add(carried, run.addition)?;
            run.addition = 0;
            if run.units > 0 {
                run.addition = std::mem::take(&mut carried);
            }
        }
        lot.runs.retain(|run| run.units > 0);
        match lot.runs.last_mut() {
            Some(run) => {
                run.addition = add(run.addition, carried)?;
                last = at;
            }
            None => orphaned = carried,
        }
    }
    if orphaned != 0 {
        let run = &mut lots[last].runs[0];
        run.addition = add(run.addition, orphaned)?;
    }
    lots.retain(|lot| !lot.runs.is_empty());
    Ok(())
}

/// The share of so many units of all; nothing for none.
pub(super) fn cumulated(total: i128, until: i128, whole: i128) -> Result<i128, Reason> {
    if until == 0 { Ok(0) } else { share(total, until, whole) }
}
