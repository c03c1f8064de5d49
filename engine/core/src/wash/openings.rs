//! What was opened and what will be: which units may still replace others, found in order of opening.
//!
//! An opening that has no free unit left never has one again, so each list skips it for good: a window full of
//! used openings costs nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::holding::Run;
use super::{Opened, Step, What};
use crate::date::Date;
use crate::id::{NameId, TradeHash};

/// Where replacements of one loss may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// The position of the loss.
    pub position: u32,
    /// Whose accounts count too.
    pub taxpayer: Option<NameId>,
    pub is_long: bool,
    /// First and last date of the window.
    pub from: Date,
    pub until: Date,
    /// What opened the units sold: its other units never count.
    pub but: u32,
}

/// Units of one opening that can replace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub opening: u32,
    /// Its units, as it counts them.
    pub units_e8: i64,
    /// The units sold that they replace, as those were counted.
    pub sold_e8: i64,
}

#[derive(Debug)]
struct Opening {
    position: u32,
    cause: TradeHash,
    opens: Opened,
    /// Its step.
    place: usize,
    /// Units that may still replace: all of them before it is opened, those that are still there after.
    free_e8: i64,
    is_open: bool,
    /// Units that replaced others before they were opened.
    matched: Vec<Run>,
    /// Where it stands in the lists of its position and of its taxpayer.
    rows: [(usize, usize); 2],
}

/// Openings of one position or taxpayer and side, by date and place.
#[derive(Debug, Default)]
struct Row {
    openings: Vec<u32>,
    /// For each place the first one from there on that may have free units; shortened as it is walked.
    next: Vec<u32>,
}

impl Row {
    fn next(&mut self, from: usize) -> usize {
        let mut end = from;
        while self.next[end] as usize != end {
            end = self.next[end] as usize;
        }
        let mut at = from;
        while at != end {
            let next = self.next[at] as usize;
            self.next[at] = end as u32;
            at = next;
        }
        end
    }
}

/// Whose openings a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Position(u32, bool),
    Taxpayer(NameId, bool),
}

/// All openings of an instrument.
#[derive(Debug)]
pub(super) struct Openings {
    openings: Vec<Opening>,
    rows: Vec<Row>,
    by_whom: BTreeMap<Whose, usize>,
    /// Place, numerator and denominator of each split.
    splits: Vec<(usize, u32, u32)>,
}

impl Openings {
    /// The openings of the steps, numbered in their order.
    pub(super) fn of(steps: &[Step]) -> Self {
        let mut found = Self { openings: Vec::new(), rows: Vec::new(), by_whom: BTreeMap::new(), splits: Vec::new() };
        let mut members: Vec<Vec<(Date, u32)>> = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            match &step.what {
                What::Split { numerator, denominator } => found.splits.push((place, *numerator, *denominator)),
                What::Booked(booked) => {
                    let Some(opens) = booked.opened else { continue };
                    let id = found.openings.len() as u32;
                    let whose = [
                        Whose::Position(step.position, opens.is_long),
                        Whose::Taxpayer(booked.taxpayer, opens.is_long),
                    ];
                    let rows = whose.map(|whose| {
                        let new = members.len();
                        let row = *found.by_whom.entry(whose).or_insert(new);
                        if row == new {
                            members.push(Vec::new());
                        }
                        members[row].push((opens.opened, id));
                        (row, 0)
                    });
                    found.openings.push(Opening {
                        position: step.position,
                        cause: booked.cause,
                        opens,
                        place,
                        free_e8: opens.quantity_e8,
                        is_open: false,
                        matched: Vec::new(),
                        rows,
                    });
                }
                What::Scaled(_) | What::Struck { .. } => {}
            }
        }
        for (row, mut members) in members.into_iter().enumerate() {
            members.sort_unstable();
            for (at, (_, id)) in members.iter().enumerate() {
                let rows = &mut found.openings[*id as usize].rows;
                let mine = if rows[0].0 == row { 0 } else { 1 };
                rows[mine].1 = at;
            }
            found.rows.push(Row {
                openings: members.iter().map(|member| member.1).collect(),
                next: (0..=members.len() as u32).collect(),
            });
        }
        found
    }

    /// Position and lot of an opening.
    pub(super) fn which(&self, opening: u32) -> (u32, Opened) {
        let opening = &self.openings[opening as usize];
        (opening.position, opening.opens)
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
        if opening.free_e8 > 0 {
            let quantity_e8 = opening.free_e8;
            runs.push(Run { opening: id, matched: 0, quantity_e8, addition_e16: 0, tacked_days: 0 });
        }
        runs
    }

    /// Free units left their lot.
    pub(super) fn leave(&mut self, id: u32, quantity_e8: i64) {
        let free_e8 = self.openings[id as usize].free_e8 - quantity_e8;
        self.set_free(id, free_e8);
    }

    /// Units of the run's opening replace others. Whether they are open already; else they wait here.
    pub(super) fn serve(&mut self, run: &Run) -> bool {
        self.leave(run.opening, run.quantity_e8);
        let opening = &mut self.openings[run.opening as usize];
        if !opening.is_open {
            opening.matched.push(*run);
        }
        opening.is_open
    }

    /// So many units may still replace.
    pub(super) fn set_free(&mut self, id: u32, free_e8: i64) {
        assert!(free_e8 >= 0, "no unit replaces twice");
        let opening = &mut self.openings[id as usize];
        opening.free_e8 = free_e8;
        if free_e8 == 0 {
            for (row, at) in opening.rows {
                self.rows[row].next[at] = at as u32 + 1;
            }
        }
    }

    /// Units that replace `quantity_e8` units sold by the step at `place`, in order of opening.
    pub(super) fn replacements(&mut self, scope: &Scope, place: usize, quantity_e8: i64) -> Vec<Found> {
        let of_position = self.by_whom.get(&Whose::Position(scope.position, scope.is_long)).copied();
        let of_taxpayer =
            scope.taxpayer.and_then(|whose| self.by_whom.get(&Whose::Taxpayer(whose, scope.is_long)).copied());
        let mut cursors = [self.cursor(of_position, scope), self.cursor(of_taxpayer, scope)];
        let mut found = Vec::new();
        let mut left = quantity_e8;
        while left > 0 {
            let heads = cursors.map(|cursor| self.head(cursor, scope));
            let Some((_, id)) = heads.into_iter().flatten().min() else { break };
            for (cursor, head) in cursors.iter_mut().zip(heads) {
                // The same opening may stand in both lists.
                if let (Some((_, at)), Some((_, standing))) = (cursor.as_mut(), head)
                    && standing == id
                {
                    *at += 1;
                }
            }
            for (row, at) in cursors.iter_mut().flatten() {
                *at = self.rows[*row].next(*at);
            }
            if id == scope.but {
                continue;
            }
            if let Some(fitting) = self.fit(id, place, left) {
                left -= fitting.sold_e8;
                found.push(fitting);
            }
        }
        found
    }

    /// List and place of the first opening of the window.
    fn cursor(&mut self, row: Option<usize>, scope: &Scope) -> Option<(usize, usize)> {
        let row = row?;
        let openings = &self.openings;
        let from = self.rows[row].openings.partition_point(|id| openings[*id as usize].opens.opened < scope.from);
        Some((row, self.rows[row].next(from)))
    }

    /// Date and number of the opening at a cursor, if it is in the window.
    fn head(&self, cursor: Option<(usize, usize)>, scope: &Scope) -> Option<(Date, u32)> {
        let (row, at) = cursor?;
        let id = *self.rows[row].openings.get(at)?;
        let date = self.openings[id as usize].opens.opened;
        (date <= scope.until).then_some((date, id))
    }

    /// How many units of an opening replace how many of those sold.
    fn fit(&self, id: u32, place: usize, sold_e8: i64) -> Option<Found> {
        let opening = &self.openings[id as usize];
        // Those that are open are counted as the units sold are.
        let between = |split: &&(usize, u32, u32)| !opening.is_open && place < split.0 && split.0 < opening.place;
        let (mut wanted_e8, mut backward) = (sold_e8, Vec::new());
        for (_, numerator, denominator) in self.splits.iter().filter(between) {
            wanted_e8 = scaled(wanted_e8, *numerator, *denominator);
            backward.push((*denominator, *numerator));
        }
        let units_e8 = wanted_e8.min(opening.free_e8);
        let sold_e8 = if units_e8 == wanted_e8 {
            sold_e8
        } else {
            let same = backward.iter().rev().fold(units_e8, |units_e8, (of, by)| scaled(units_e8, *of, *by));
            same.min(sold_e8)
        };
        (units_e8 > 0 && sold_e8 > 0).then_some(Found { opening: id, units_e8, sold_e8 })
    }
}

/// Units after a split, rounded down; as many as can be held where there would be more.
fn scaled(units_e8: i64, numerator: u32, denominator: u32) -> i64 {
    let units = i128::from(units_e8) * i128::from(numerator) / i128::from(denominator);
    i64::try_from(units).unwrap_or(i64::MAX)
}
