//! What was opened and what will be: which units may still replace others, found in order of opening.
//!
//! Moves divide the units of an opening into *parts*, one for each lot in which free units of it are; a part stands in the
//! lists of where it is. One that has no free unit left never has one again and leaves its lists: a window full of used
//! openings costs nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::holding::{LotHome, Run, SPENT};
use super::{Home, Opened, Step, What};
use crate::date::Date;
use crate::id::{NameId, TradeHash};

/// Where replacements of one loss may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// Account and security of the loss.
    pub home: Home,
    /// Whose accounts count too.
    pub taxpayer: Option<NameId>,
    pub is_long: bool,
    /// First and last date of the window.
    pub from: Date,
    pub until: Date,
    /// What opened the units sold: its other units never count.
    pub but: u32,
}

/// Units of one opening, in one lot, that can replace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub opening: u32,
    pub part: u32,
    /// Its units, as it counts them.
    pub units_e8: i64,
    /// The units sold that they replace, as those were counted.
    pub sold_e8: i64,
}

#[derive(Debug)]
struct Opening {
    cause: TradeHash,
    opens: Opened,
    /// Its step.
    place: usize,
    is_open: bool,
    /// Units that replaced others before they were opened.
    matched: Vec<Run>,
}

/// Free units of one opening in one lot.
#[derive(Debug)]
struct Part {
    opening: u32,
    /// Units that may still replace: all of them before the opening, those that are still there after.
    free_e8: i64,
    lot: LotHome,
    /// The lists in which it stands.
    rows: [Whose; 2],
}

/// Whose openings a list holds, of one security and side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Account(u32, u32, bool),
    Taxpayer(NameId, u32, bool),
}

/// Whose free units are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub home: Home,
    pub taxpayer: NameId,
}

impl Owner {
    fn rows(&self, is_long: bool) -> [Whose; 2] {
        let Home { account, security } = self.home;
        [Whose::Account(account, security, is_long), Whose::Taxpayer(self.taxpayer, security, is_long)]
    }
}

/// All openings of the walk.
#[derive(Debug, Default)]
pub(super) struct Openings {
    openings: Vec<Opening>,
    /// The first part of each opening has its number; those that moved stand behind, in the order of their arrivals.
    parts: Vec<Part>,
    /// Date, opening and part of all that have free units.
    rows: BTreeMap<Whose, BTreeSet<(Date, u32, u32)>>,
    /// Place, security, numerator and denominator of each split.
    splits: Vec<(usize, u32, u32, u32)>,
}

impl Openings {
    /// The openings of the steps, numbered in their order.
    pub(super) fn of(steps: &[Step], home: impl Fn(u32) -> Home) -> Self {
        let mut found = Self::default();
        for (place, step) in steps.iter().enumerate() {
            match &step.what {
                What::Split { security, numerator, denominator } => {
                    found.splits.push((place, *security, *numerator, *denominator));
                }
                What::Booked(booked) => {
                    let Some(opens) = booked.opened else { continue };
                    let opening = found.openings.len() as u32;
                    let (cause, matched) = (booked.cause, Vec::new());
                    found.openings.push(Opening { cause, opens, place, is_open: false, matched });
                    let owner = Owner { home: home(step.position), taxpayer: booked.taxpayer };
                    let lot = LotHome { position: step.position, origin: opens.lot, serial: u32::MAX };
                    found.add(opening, opens.quantity_e8, lot, owner);
                }
                _ => {}
            }
        }
        found
    }

    /// Free units in a lot.
    fn add(&mut self, opening: u32, free_e8: i64, lot: LotHome, owner: Owner) -> u32 {
        let opens = self.openings[opening as usize].opens;
        let (rows, part) = (owner.rows(opens.is_long), self.parts.len() as u32);
        for row in rows {
            self.rows.entry(row).or_default().insert((opens.opened, opening, part));
        }
        self.parts.push(Part { opening, free_e8, lot, rows });
        part
    }

    /// Free units of an opening have arrived in a lot, where this owner has them from now on.
    pub(super) fn arrive(&mut self, run: &mut Run, lot: LotHome, owner: Owner) {
        run.part = self.add(run.opening, run.quantity_e8, lot, owner);
    }

    /// Where the units of a part are, or will be opened.
    pub(super) fn lot_of(&self, part: u32) -> LotHome {
        self.parts[part as usize].lot
    }

    /// The trade behind an opening.
    pub(super) fn cause(&self, opening: u32) -> TradeHash {
        self.openings[opening as usize].cause
    }

    /// The opening's turn has come: its units, those that have replaced others already first.
    pub(super) fn open(&mut self, id: u32) -> Vec<Run> {
        let opening = &mut self.openings[id as usize];
        opening.is_open = true;
        let mut runs = core::mem::take(&mut opening.matched);
        let quantity_e8 = self.parts[id as usize].free_e8;
        if quantity_e8 > 0 {
            runs.push(Run { opening: id, part: id, matched: 0, quantity_e8, addition_e16: 0, tacked_days: 0 });
        }
        runs
    }

    /// The lot that the opening's units are in.
    pub(super) fn opened_in(&mut self, id: u32, serial: u32) {
        self.parts[id as usize].lot.serial = serial;
    }

    /// Free units left their lot.
    pub(super) fn leave(&mut self, part: u32, quantity_e8: i64) {
        if part != SPENT {
            let free_e8 = self.parts[part as usize].free_e8 - quantity_e8;
            self.set_free(part, free_e8);
        }
    }

    /// Units of the run's part replace others. Whether they are open already; else they wait here.
    pub(super) fn serve(&mut self, run: &Run) -> bool {
        self.leave(run.part, run.quantity_e8);
        let opening = &mut self.openings[run.opening as usize];
        if !opening.is_open {
            opening.matched.push(*run);
        }
        opening.is_open
    }

    /// So many units may still replace.
    pub(super) fn set_free(&mut self, id: u32, free_e8: i64) {
        assert!(free_e8 >= 0, "no unit replaces twice");
        if id == SPENT {
            return;
        }
        let part = &mut self.parts[id as usize];
        part.free_e8 = free_e8;
        if free_e8 == 0 {
            let date = self.openings[part.opening as usize].opens.opened;
            for row in part.rows {
                if let Some(row) = self.rows.get_mut(&row) {
                    row.remove(&(date, part.opening, id));
                }
            }
        }
    }

    /// Units that replace `quantity_e8` units sold by the step at `place`, in order of opening.
    pub(super) fn replacements(&self, scope: &Scope, place: usize, quantity_e8: i64) -> Vec<Found> {
        let Home { account, security } = scope.home;
        let of_account = Some(Whose::Account(account, security, scope.is_long));
        let of_taxpayer = scope.taxpayer.map(|whose| Whose::Taxpayer(whose, security, scope.is_long));
        let window = (scope.from, 0, 0)..=(scope.until, u32::MAX, u32::MAX);
        let mut cursors = [of_account, of_taxpayer].map(|whose| {
            let row = whose.and_then(|whose| self.rows.get(&whose));
            row.map(|row| row.range(window.clone()).copied()).into_iter().flatten().peekable()
        });
        let mut found = Vec::new();
        let mut left = quantity_e8;
        while left > 0 {
            let heads = [cursors[0].peek().copied(), cursors[1].peek().copied()];
            let Some(first) = heads.into_iter().flatten().min() else { break };
            // The same units may stand in both lists.
            for cursor in &mut cursors {
                cursor.next_if_eq(&first);
            }
            if first.1 == scope.but {
                continue;
            }
            if let Some(fitting) = self.fit(first.2, place, security, left) {
                left -= fitting.sold_e8;
                found.push(fitting);
            }
        }
        found
    }

    /// How many units of a part replace how many of those sold.
    fn fit(&self, id: u32, place: usize, security: u32, sold_e8: i64) -> Option<Found> {
        let part = &self.parts[id as usize];
        let opening = &self.openings[part.opening as usize];
        // Those that are open are counted as the units sold are.
        let between = |split: &&(usize, u32, u32, u32)| {
            !opening.is_open && split.1 == security && place < split.0 && split.0 < opening.place
        };
        let (mut wanted_e8, mut backward) = (sold_e8, Vec::new());
        for (_, _, numerator, denominator) in self.splits.iter().filter(between) {
            wanted_e8 = scaled(wanted_e8, *numerator, *denominator);
            backward.push((*denominator, *numerator));
        }
        let units_e8 = wanted_e8.min(part.free_e8);
        let sold_e8 = if units_e8 == wanted_e8 {
            sold_e8
        } else {
            let same = backward.iter().rev().fold(units_e8, |units_e8, (of, by)| scaled(units_e8, *of, *by));
            same.min(sold_e8)
        };
        (units_e8 > 0 && sold_e8 > 0).then_some(Found { opening: part.opening, part: id, units_e8, sold_e8 })
    }
}

/// Units after a split, rounded down; as many as can be held where there would be more.
fn scaled(units_e8: i64, numerator: u32, denominator: u32) -> i64 {
    let units = i128::from(units_e8) * i128::from(numerator) / i128::from(denominator);
    i64::try_from(units).unwrap_or(i64::MAX)
}
