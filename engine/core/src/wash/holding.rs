//! The lots of the walk: which of their units replaced others, what those carry, and which leave first.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::{Opened, Piece, WashError};
use crate::amount::{Money, add, share};
use crate::date::Date;
use crate::id::TradeHash;

/// Units of one opening that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// What opened them.
    pub opening: u32,
    /// Number of the match in which they replaced others; zero: in none, they are free.
    pub matched: u64,
    /// Units; positive.
    pub quantity_e8: i64,
    /// What they carry.
    pub addition_e16: Money,
    /// Days by which their holding period is longer.
    pub tacked_days: i32,
}

impl Run {
    pub(super) fn is_matched(&self) -> bool {
        self.matched != 0
    }

    /// Takes a part, with its share of what the units carry. `0 < quantity_e8 < self.quantity_e8`.
    fn split_off(&mut self, quantity_e8: i64) -> Self {
        let addition_e16 = share(self.addition_e16, quantity_e8, self.quantity_e8);
        self.quantity_e8 -= quantity_e8;
        self.addition_e16 -= addition_e16;
        Self { quantity_e8, addition_e16, ..*self }
    }
}

/// One open lot of the walk.
#[derive(Debug)]
pub(super) struct Lot {
    pub is_long: bool,
    /// As the plain book has it.
    pub acquired: Date,
    /// Units that replaced others, in the order in which they were matched; they leave first.
    matched: VecDeque<Run>,
    /// The others, in the order in which they came.
    free: VecDeque<Run>,
}

impl Lot {
    pub(super) fn is_empty(&self) -> bool {
        self.matched.is_empty() && self.free.is_empty()
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.matched.iter().chain(&self.free)
    }

    /// Takes units in the order of leaving.
    pub(super) fn take(&mut self, quantity_e8: i64) -> Result<Vec<Run>, WashError> {
        let mut taken = Vec::new();
        let mut left = quantity_e8;
        while left > 0 {
            let queue = if self.matched.is_empty() { &mut self.free } else { &mut self.matched };
            let first = queue.front_mut().ok_or(WashError::Misfit)?;
            let run = if first.quantity_e8 > left {
                first.split_off(left)
            } else {
                queue.pop_front().ok_or(WashError::Misfit)?
            };
            left -= run.quantity_e8;
            taken.push(run);
        }
        Ok(taken)
    }

    /// Free units of the run's opening replace others from now on. This match is the newest.
    pub(super) fn match_units(&mut self, mut run: Run) -> Result<(), WashError> {
        let at = self.free.binary_search_by_key(&run.opening, |free| free.opening).map_err(|_| WashError::Misfit)?;
        let free = &mut self.free[at];
        let units = if free.quantity_e8 > run.quantity_e8 {
            free.split_off(run.quantity_e8)
        } else {
            self.free.remove(at).ok_or(WashError::Misfit)?
        };
        assert!(units.quantity_e8 == run.quantity_e8, "an opening serves no more units than it has free");
        run.addition_e16 = add(run.addition_e16, units.addition_e16)?;
        self.matched.push_back(run);
        Ok(())
    }

    /// The lot has another quantity: units in the order of leaving, by their cumulated number, rounded down. What a
    /// run carries that vanishes goes to the run behind it, or to the last one. Gives the free units of each opening.
    pub(super) fn scale(&mut self, quantity_e8: i64) -> Result<Vec<(u32, i64)>, WashError> {
        let before: i128 = self.runs().map(|run| i128::from(run.quantity_e8)).sum();
        if before == 0 {
            return Err(WashError::Misfit);
        }
        let (mut until, mut reached, mut gone) = (0i128, 0i64, 0);
        let mut free = Vec::with_capacity(self.free.len());
        for run in self.matched.iter_mut().chain(&mut self.free) {
            until += i128::from(run.quantity_e8);
            // Both are below 2^63, and the quotient is at most the new quantity.
            let now = i64::try_from(until * i128::from(quantity_e8) / before).map_err(|_| WashError::Misfit)?;
            run.quantity_e8 = now - reached;
            reached = now;
            if !run.is_matched() {
                free.push((run.opening, run.quantity_e8));
            }
            if run.quantity_e8 == 0 {
                gone = add(gone, core::mem::take(&mut run.addition_e16))?;
            } else {
                run.addition_e16 = add(run.addition_e16, core::mem::take(&mut gone))?;
            }
        }
        self.matched.retain(|run| run.quantity_e8 != 0);
        self.free.retain(|run| run.quantity_e8 != 0);
        let last = self.free.back_mut().or(self.matched.back_mut()).ok_or(WashError::Misfit)?;
        last.addition_e16 = add(last.addition_e16, gone)?;
        Ok(free)
    }

    /// The lot is gone: what its units carried, and the openings whose free units went with it.
    pub(super) fn vanish(&mut self) -> Result<(Money, Vec<u32>), WashError> {
        let mut gone = 0;
        for run in self.runs() {
            gone = add(gone, run.addition_e16)?;
        }
        Ok((gone, self.free.iter().map(|run| run.opening).collect()))
    }

    /// The units that leave first carry this too.
    pub(super) fn give(&mut self, addition_e16: Money) -> Result<(), WashError> {
        let first = self.matched.front_mut().or(self.free.front_mut()).ok_or(WashError::Misfit)?;
        first.addition_e16 = add(first.addition_e16, addition_e16)?;
        Ok(())
    }

    /// All units, which carry nothing any more, as they were.
    pub(super) fn strike(&mut self) -> Vec<Run> {
        let before = self.runs().copied().collect();
        for run in self.matched.iter_mut().chain(&mut self.free) {
            run.addition_e16 = 0;
        }
        before
    }

    /// The units as a reader sees them: neighbours that carry nothing and are tacked alike are one piece.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for run in self.runs() {
            let piece =
                Piece { quantity_e8: run.quantity_e8, addition_e16: run.addition_e16, tacked_days: run.tacked_days };
            match pieces.last_mut() {
                Some(last)
                    if last.addition_e16 == 0 && piece.addition_e16 == 0 && last.tacked_days == piece.tacked_days =>
                {
                    last.quantity_e8 += piece.quantity_e8;
                }
                _ => pieces.push(piece),
            }
        }
        pieces
    }
}

/// The open lots of all positions.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    lots: BTreeMap<(u32, TradeHash), Lot>,
}

impl Holdings {
    pub(super) fn lot(&mut self, position: u32, origin: TradeHash) -> Result<&mut Lot, WashError> {
        self.lots.get_mut(&(position, origin)).ok_or(WashError::Misfit)
    }

    /// A lot opens, or one that is open is enlarged. `runs`: units that have replaced others already, then the free
    /// ones, as [`super::Openings::open`] gives them.
    pub(super) fn open(&mut self, position: u32, opens: &Opened, runs: Vec<Run>) {
        let lot = self.lots.entry((position, opens.lot)).or_insert_with(|| Lot {
            is_long: opens.is_long,
            acquired: opens.opened,
            matched: VecDeque::new(),
            free: VecDeque::new(),
        });
        for run in runs {
            if run.is_matched() {
                let at = lot.matched.partition_point(|other| other.matched < run.matched);
                lot.matched.insert(at, run);
            } else {
                lot.free.push_back(run);
            }
        }
    }

    pub(super) fn close(&mut self, position: u32, origin: TradeHash) {
        self.lots.remove(&(position, origin));
    }

    /// All open lots, by position and origin.
    pub(super) fn lots(&self) -> impl Iterator<Item = ((u32, TradeHash), &Lot)> {
        self.lots.iter().map(|(key, lot)| (*key, lot))
    }
}
