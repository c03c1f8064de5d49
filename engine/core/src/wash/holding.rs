//! The lots of the walk: which of their units replaced others, what those carry, and which leave first.
//!
//! Two lots of a position may have one identity, since parts of a lot may move one after the other: a lot is the n-th of
//! its identity, in lot order, until the end of the step; for openings it has a number of its own.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::{LotName, Opened, Piece, WashError};
use crate::amount::{Money, add, convert, share, sub};
use crate::date::Date;
use crate::id::TradeHash;

/// The part of units that never replace anything: they came as another security.
pub(super) const SPENT: u32 = u32::MAX;

/// Units of one opening that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// What opened them.
    pub opening: u32,
    /// Of free units: their part of the opening, which is where they may replace; [`SPENT`]: nowhere.
    pub part: u32,
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
    /// A number of its own.
    pub serial: u32,
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

    /// These units, in the order of leaving.
    pub(super) fn of(is_long: bool, acquired: Date, runs: Vec<Run>) -> Self {
        let mut lot = Self { serial: 0, is_long, acquired, matched: VecDeque::new(), free: VecDeque::new() };
        lot.fill(runs);
        lot
    }

    /// An empty lot gets these units, in the order of leaving.
    pub(super) fn fill(&mut self, runs: Vec<Run>) {
        for run in runs {
            let queue = if run.is_matched() { &mut self.matched } else { &mut self.free };
            queue.push_back(run);
        }
    }

    pub(super) fn quantity_e8(&self) -> i64 {
        self.runs().map(|run| run.quantity_e8).sum()
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
    /// run carries that vanishes goes to the run behind it, or to the last one. Gives the free units of each part.
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
                free.push((run.part, run.quantity_e8));
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

    /// The lot is gone: what its units carried, and the parts whose free units went with it.
    pub(super) fn vanish(&mut self) -> Result<(Money, Vec<u32>), WashError> {
        let mut gone = 0;
        for run in self.runs() {
            gone = add(gone, run.addition_e16)?;
        }
        self.matched.clear();
        Ok((gone, self.free.drain(..).map(|run| run.part).collect()))
    }

    /// A spin-off: the new lot, still in the units of this one. Each piece gives this fraction of what it carries to
    /// its like, which never replaces anything.
    pub(super) fn spin(&mut self, fraction_e8: i64) -> Result<Self, WashError> {
        let mut spun = Self { serial: 0, matched: self.matched.clone(), free: self.free.clone(), ..*self };
        let held = self.matched.iter_mut().chain(&mut self.free);
        for (held, new) in held.zip(spun.matched.iter_mut().chain(&mut spun.free)) {
            new.part = SPENT;
            new.addition_e16 = convert(held.addition_e16, fraction_e8)?;
            held.addition_e16 = sub(held.addition_e16, new.addition_e16)?;
        }
        Ok(spun)
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
    /// Lots of one identity in lot order.
    lots: BTreeMap<(u32, TradeHash), Vec<Lot>>,
    lots_ever: u32,
}

impl Holdings {
    pub(super) fn lot(&mut self, position: u32, name: LotName) -> Result<&mut Lot, WashError> {
        let lots = self.lots.get_mut(&(position, name.origin)).ok_or(WashError::Misfit)?;
        lots.get_mut(name.nth as usize).ok_or(WashError::Misfit)
    }

    /// The lot with this number.
    pub(super) fn lot_by_number(&mut self, home: &LotHome) -> Result<&mut Lot, WashError> {
        let lots = self.lots.get_mut(&(home.position, home.origin)).ok_or(WashError::Misfit)?;
        lots.iter_mut().find(|lot| lot.serial == home.serial).ok_or(WashError::Misfit)
    }

    /// A lot opens, or the first one of its identity is enlarged. `runs`: units that have replaced others already, then
    /// the free ones. Gives the lot's number.
    pub(super) fn open(&mut self, position: u32, opens: &Opened, enlarges: bool, runs: Vec<Run>) -> u32 {
        let lots = self.lots.entry((position, opens.lot)).or_default();
        let at = if enlarges && !lots.is_empty() { 0 } else { lots.len() };
        if at == lots.len() {
            lots.push(Lot {
                serial: self.lots_ever,
                is_long: opens.is_long,
                acquired: opens.opened,
                matched: VecDeque::new(),
                free: VecDeque::new(),
            });
            self.lots_ever += 1;
        }
        let lot = &mut lots[at];
        for run in runs {
            if run.is_matched() {
                let at = lot.matched.partition_point(|other| other.matched < run.matched);
                lot.matched.insert(at, run);
            } else {
                lot.free.push_back(run);
            }
        }
        lot.serial
    }

    /// The step is over: lots of these identities that are empty are gone.
    pub(super) fn sweep(&mut self, position: u32, origins: impl Iterator<Item = TradeHash>) {
        for origin in origins {
            let Some(lots) = self.lots.get_mut(&(position, origin)) else { continue };
            lots.retain(|lot| !lot.is_empty());
            if lots.is_empty() {
                self.lots.remove(&(position, origin));
            }
        }
    }

    /// All open lots, by position and origin, with their number among those of one identity.
    pub(super) fn lots(&self) -> impl Iterator<Item = (u32, LotName, &Lot)> {
        let named = |(&(position, origin), lots)| {
            (0..).zip(lots).map(move |(nth, lot)| (position, LotName { origin, nth }, lot))
        };
        self.lots.iter().flat_map(named)
    }
}

/// Where a lot of the walk is found, whatever closes beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LotHome {
    pub position: u32,
    pub origin: TradeHash,
    pub serial: u32,
}
