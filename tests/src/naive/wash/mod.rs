//! Wash sales of the naive model (rule 11): a view over the histories of all positions, those between which lots move
//! among them.
//!
//! First the histories are told as steps, with all openings ([`told`]); then one walk over the steps ([`walk`]). The lots
//! of a position are a list beside the plain book's, in its order; each holds runs of units that are alike, in the order
//! in which they leave: matched ones in the order of their matches, then free ones in the order in which they came.

mod told;
mod units;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use super::words::{Day, Id, Name, Reason};
use super::world::{Place, World};

/// Units of a lot that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which opening they came by, by its place among all.
    opening: usize,
    /// They have replaced others, as the so manieth match; else they are free.
    matched: Option<usize>,
    /// They came from another position; else they are where they were opened.
    came: Option<Came>,
    /// They were bought as another security, and replace nothing.
    is_spent: bool,
    /// How many.
    units: i128,
    /// What they carry.
    addition: i128,
    /// By how many days they count as held longer.
    tacked: Day,
}

/// The last arrival of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Came {
    /// The so manieth of all.
    number: usize,
    /// Whose they are, by the rules where they arrived.
    taxpayer: Name,
}

/// Units that replace others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Where they are.
    pub place: Place,
    /// The trade that opened them.
    pub trade: Id,
    /// The trade that opened their lot.
    pub lot: Id,
    /// How many.
    pub units: i128,
    /// What they carry from this loss.
    pub addition: i128,
    /// Days by which their holding period is longer.
    pub tacked: Day,
}

/// A loss of which at least a part is disallowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where.
    pub place: Place,
    /// The closing trade.
    pub trade: Id,
    /// Its date.
    pub date: Day,
    /// The trade that opened the lot.
    pub lot: Id,
    /// Units sold.
    pub units: i128,
    /// What they realized in the plain book.
    pub realized: i128,
    /// What they carried.
    pub addition: i128,
    /// How many of them are replaced.
    pub matched: i128,
    /// What is disallowed.
    pub disallowed: i128,
    /// By what.
    pub replacements: Vec<Replacement>,
}

/// Sums of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Disallowed.
    pub disallowed: i128,
    /// Additions that left with their units.
    pub left: i128,
    /// Additions that open units carry.
    pub carried: i128,
    /// The long-term part as adjusted, less the plain one.
    pub long_shift: i128,
}

/// Units as they are shown, what they carry, and by how many days they count as held longer.
pub type Shown = (i128, i128, Day);

/// An open lot: where, its place in lot order, and the trade that opened it.
pub type LotAt = (Place, usize, Id);

/// The view of instruments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// In chronological order.
    pub losses: Vec<Loss>,
    /// Units of each open lot, as they would leave.
    pub lots: BTreeMap<LotAt, Vec<Run>>,
    /// By position.
    pub totals: BTreeMap<Place, Totals>,
    /// Positions between which something moved, from and to.
    pub moved: BTreeSet<(Place, Place)>,
}

impl View {
    /// Open lots that are not as in the plain book, as they are shown: units next to each other that carry nothing, and
    /// are held for as long, as one.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<&LotAt, Vec<Shown>> {
        let mut all = BTreeMap::new();
        for (key, runs) in &self.lots {
            let mut shown: Vec<Shown> = Vec::new();
            for run in runs {
                match shown.last_mut() {
                    Some(last) if last.1 == 0 && run.addition == 0 && last.2 == run.tacked => last.0 += run.units,
                    _ => shown.push((run.units, run.addition, run.tacked)),
                }
            }
            if shown.iter().any(|piece| (piece.1, piece.2) != (0, 0)) {
                all.insert(key, shown);
            }
        }
        all
    }

    /// Whether nothing is to be said.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.losses.is_empty() && self.shown().is_empty()
    }
}

/// The wash sales of instruments between which lots move, or of one: of all positions in them.
///
/// # Errors
/// A sum that leaves its range, or a history that cannot be booked.
pub fn wash_sales(world: &World, instruments: &BTreeSet<Name>) -> Result<View, Reason> {
    walk::over(&told::tell(world, instruments)?)
}
