//! Wash sales: a view beside the plain lots, walked over the history of instruments between which lots moved, or of one.
//! Rule 11 of `docs/rules.md`.
//!
//! Input is what the plain book did, step by step in chronological order, over every position of the instruments;
//! output is what of each loss is disallowed, which units carry it on, and what that makes of open lots and totals.
//! Nothing here is read by `decide`, and no plain figure changes. *Source: 26 USC 1091 and 1223(3), 26 CFR 1.1091-1
//! and 1.1091-2, Publication 550 "Wash Sales", Rev. Rul. 56-602.*
//!
//! ```text
//! steps -> Openings (all of them, also the ones to come: a loss may be replaced later)
//!       -> walk: a trade takes Runs out of Lots -> losses -> matched with Openings -> Runs with additions
//! ```

pub mod history;
mod holding;
pub mod merge;
mod moving;
mod openings;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod moving_tests;
#[cfg(test)]
mod naive_story;
#[cfg(test)]
mod naive_tests;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::amount::{Money, Overflow, add, share, sub};
use crate::date::Date;
use crate::id::{NameId, TradeHash};
use holding::{Holdings, Run};
use moving::Parcels;
pub use moving::{ArrivedLot, LeftLot, PaidOut, Spun};
use openings::{Openings, Owner, Scope};

/// One step of the plain book, in chronological order over all positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The position, by any number that is its own in this walk. Of no meaning for [`What::Split`].
    pub position: u32,
    /// Effective date.
    pub date: Date,
    /// What was done.
    pub what: What,
}

/// Where a position counts for replacements: all of an account's positions in one security are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The account, by any number that is its own in this walk.
    pub account: u32,
    /// The security: one for all instruments between which a symbol change leads.
    pub security: u32,
}

/// A lot of a position: the n-th of its identity, in lot order, as they are before the step (after its
/// [`What::Scaled`], for what an action closes behind it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LotName {
    /// The trade that opened it.
    pub origin: TradeHash,
    /// Lots of this identity before it: zero, but where parts of one lot moved.
    pub nth: u32,
}

/// What a step did to the lots of its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A trade, an opening lot, or the closing part of an action.
    Booked(Booked),
    /// From here on `numerator` new units stand for `denominator` old ones, in every position.
    Split {
        /// Of which security.
        security: u32,
        /// New units; at least 1.
        numerator: u32,
        /// Old units; at least 1.
        denominator: u32,
    },
    /// The position's lots, in lot order, have other quantities; zero: the lot is gone and what it cost went to
    /// the lot behind it, or to the last one that is left.
    Scaled(Vec<(LotName, i64)>),
    /// Open lots were struck anew at a market price, and their results realized: a reset.
    Struck {
        /// What was held since this date or before is long-term.
        long_term_until: Date,
        /// The lots, each with all of its units, which stay.
        lots: Vec<Closed>,
    },
    /// Lots, or parts of them, left for other positions.
    Left(Vec<LeftLot>),
    /// A spin-off: each lot has given a part of what it carries to a new one.
    Spun(Spun),
    /// A lot arrived from another position.
    Arrived(ArrivedLot),
}

/// What a booking closed and opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// The trade or action.
    pub cause: TradeHash,
    /// Whose the account is by the rules in force for it.
    pub taxpayer: NameId,
    /// What becomes of its losses. `None`: they stand.
    pub washes: Option<Washes>,
    /// What was held since this date or before is long-term.
    pub long_term_until: Date,
    /// Allocations, in lot order.
    pub closed: Vec<Closed>,
    /// What was opened after that.
    pub opened: Option<Opened>,
}

/// How losses are washed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Washes {
    /// Replacements are looked for in all accounts of the taxpayer too.
    pub across_accounts: bool,
    /// Days of the window to either side.
    pub window_days: u16,
}

/// What was taken of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The lot.
    pub lot: LotName,
    /// Units taken; positive.
    pub quantity_e8: i64,
    /// Realized, as the plain book has it.
    pub realized_e16: Money,
    /// The plain book has it as long-term.
    pub is_long_term: bool,
}

/// What was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The trade that opened the lot: the step's own, or an earlier one's whose lot is enlarged.
    pub lot: TradeHash,
    /// Units added; positive.
    pub quantity_e8: i64,
    /// Side of the lot.
    pub is_long: bool,
    /// When the units were acquired: the date that the window looks at.
    pub opened: Date,
}

/// Why there is no view. The plain book is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WashError {
    /// A figure leaves its exact range.
    Overflow,
    /// The steps do not fit each other: a lot that is not there, or too small.
    Misfit,
}

impl From<Overflow> for WashError {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

impl core::error::Error for WashError {}

impl core::fmt::Display for WashError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Overflow => "a figure of the wash sales leaves its exact range",
            Self::Misfit => "the history of the wash sales does not fit its lots",
        })
    }
}

/// A loss of which at least a part is disallowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where.
    pub position: u32,
    /// The closing trade.
    pub cause: TradeHash,
    /// Its date.
    pub date: Date,
    /// The trade that opened the lot that was sold.
    pub lot: TradeHash,
    /// Units sold.
    pub quantity_e8: i64,
    /// What they realized in the plain book.
    pub realized_e16: Money,
    /// Additions that they carried, from losses before.
    pub addition_e16: Money,
    /// Of the units sold, how many were replaced.
    pub matched_e8: i64,
    /// What is disallowed; positive.
    pub disallowed_e16: Money,
    /// By what they were replaced, in chronological order of opening.
    pub replacements: Vec<Replacement>,
}

/// Units that replace units sold at a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Where.
    pub position: u32,
    /// The trade that opened them.
    pub opening: TradeHash,
    /// The trade that opened the lot in which they are.
    pub lot: TradeHash,
    /// Units, as they are counted when they replace, or when they are opened where that is later.
    pub quantity_e8: i64,
    /// What they carry on; sums to what is disallowed.
    pub addition_e16: Money,
    /// Days by which their holding period is longer.
    pub tacked_days: i32,
}

/// A part of an open lot whose units are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Units.
    pub quantity_e8: i64,
    /// What is added to their basis: to the cost of a long lot, off the proceeds of a short one.
    pub addition_e16: Money,
    /// Days by which they were acquired before their lot.
    pub tacked_days: i32,
}

/// Sums of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Losses that are disallowed; positive.
    pub disallowed_e16: Money,
    /// Additions that left with their units: what they realized is less by it.
    pub recognized_e16: Money,
    /// Additions that open units carry.
    pub carried_e16: Money,
    /// Realized and long-term, as adjusted, less what is so in the plain book.
    pub long_shift_e16: Money,
}

impl Totals {
    /// What the view adds to realized amounts.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn shift_e16(&self) -> Result<Money, Overflow> {
        sub(self.disallowed_e16, self.recognized_e16)
    }
}

/// The view of one instrument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// In chronological order, within a trade in lot order, within a lot in the order of leaving.
    pub losses: Vec<Loss>,
    /// Of the positions in which wash sales changed anything.
    pub totals: BTreeMap<u32, Totals>,
    /// Open lots of which at least one unit replaced another, by position and name; pieces in the order of leaving.
    pub lots: BTreeMap<(u32, LotName), Vec<Piece>>,
}

/// Walks the steps of positions, which are in chronological order over all of them; `home` says where each counts.
///
/// Time: `O(n log n)` for `n` steps, lots and matches, whatever the windows hold.
///
/// # Errors
/// [`WashError`].
pub fn walk(steps: &[Step], home: impl Fn(u32) -> Home) -> Result<View, WashError> {
    let mut walk = Walk {
        openings: Openings::of(steps, &home),
        home: &home,
        holdings: Holdings::default(),
        parcels: Parcels::default(),
        matches: 0,
        losses: Vec::new(),
        totals: BTreeMap::new(),
    };
    let mut opened = 0;
    for (place, step) in steps.iter().enumerate() {
        match &step.what {
            What::Booked(booked) => walk.book(place, step, booked, &mut opened)?,
            What::Split { .. } => {}
            What::Scaled(lots) => walk.scale(step.position, lots)?,
            What::Struck { long_term_until, lots } => walk.strike(step.position, *long_term_until, lots)?,
            What::Left(lots) => walk.leave(step.position, lots)?,
            What::Spun(spun) => walk.spin(step.position, spun)?,
            What::Arrived(arrived) => walk.arrive(step.position, arrived)?,
        }
    }
    walk.view()
}

/// A walk under way.
struct Walk<'a> {
    openings: Openings,
    home: &'a dyn Fn(u32) -> Home,
    holdings: Holdings,
    /// What left and has not arrived.
    parcels: Parcels,
    /// Matches so far: they order the units of a lot.
    matches: u64,
    losses: Vec<Loss>,
    totals: BTreeMap<u32, Totals>,
}

/// Units that a booking took, and what they realized.
struct Sold {
    lot: TradeHash,
    is_long: bool,
    acquired: Date,
    run: Run,
    realized_e16: Money,
    was_long_term: bool,
}

impl Walk<'_> {
    fn book(&mut self, place: usize, step: &Step, booked: &Booked, opened: &mut u32) -> Result<(), WashError> {
        let mut sold = Vec::new();
        for closed in &booked.closed {
            self.take(step.position, closed, &mut sold)?;
        }
        for units in &sold {
            self.realize(place, step, booked, units)?;
        }
        self.holdings.sweep(step.position, booked.closed.iter().map(|closed| closed.lot.origin));
        if let Some(opens) = &booked.opened {
            let opening = *opened;
            *opened += 1;
            let runs = self.openings.open(opening);
            let serial = self.holdings.open(step.position, opens, opens.lot != booked.cause, runs);
            self.openings.opened_in(opening, serial);
        }
        Ok(())
    }

    /// Takes the units of an allocation out of their lot, and attributes its realized amount to them.
    fn take(&mut self, position: u32, closed: &Closed, sold: &mut Vec<Sold>) -> Result<(), WashError> {
        let lot = self.holdings.lot(position, closed.lot)?;
        let (is_long, acquired) = (lot.is_long, lot.acquired);
        let runs = lot.take(closed.quantity_e8)?;
        for run in runs.iter().filter(|run| !run.is_matched()) {
            self.openings.leave(run.part, run.quantity_e8);
        }
        let was_long_term = closed.is_long_term;
        let mut sums = Cumulated::of(closed.realized_e16, closed.quantity_e8);
        for run in runs {
            let realized_e16 = sums.next(run.quantity_e8)?;
            sold.push(Sold { lot: closed.lot.origin, is_long, acquired, run, realized_e16, was_long_term });
        }
        Ok(())
    }

    /// What units that left have realized: the loss that is left after their addition may be disallowed.
    fn realize(&mut self, place: usize, step: &Step, booked: &Booked, sold: &Sold) -> Result<(), WashError> {
        let result = sub(sold.realized_e16, sold.run.addition_e16)?;
        let mut disallowed = 0;
        if let Some(washes) = &booked.washes
            && result < 0
        {
            disallowed = self.wash(place, step, booked, washes, sold, -result)?;
        }
        self.sum(step.position, booked.long_term_until, sold, disallowed)
    }

    /// Adds to the position's totals what units realized that were held until now.
    fn sum(&mut self, position: u32, until: Date, sold: &Sold, disallowed: Money) -> Result<(), WashError> {
        let adjusted = add(sub(sold.realized_e16, sold.run.addition_e16)?, disallowed)?;
        let is_long_term = sold.is_long && sold.acquired.days_before(sold.run.tacked_days) <= until;
        let totals = self.totals.entry(position).or_default();
        totals.disallowed_e16 = add(totals.disallowed_e16, disallowed)?;
        totals.recognized_e16 = add(totals.recognized_e16, sold.run.addition_e16)?;
        let before = if sold.was_long_term { sold.realized_e16 } else { 0 };
        let after = if is_long_term { adjusted } else { 0 };
        totals.long_shift_e16 = add(totals.long_shift_e16, sub(after, before)?)?;
        Ok(())
    }

    /// Looks for units that replace those sold at a loss, and hands the loss on to them. Gives what is disallowed.
    fn wash(
        &mut self,
        place: usize,
        step: &Step,
        booked: &Booked,
        washes: &Washes,
        sold: &Sold,
        loss_e16: Money,
    ) -> Result<Money, WashError> {
        let window = i32::from(washes.window_days);
        let scope = Scope {
            home: (self.home)(step.position),
            taxpayer: washes.across_accounts.then_some(booked.taxpayer),
            is_long: sold.is_long,
            from: step.date.days_before(window),
            until: step.date.days_after(window),
            but: sold.run.opening,
        };
        let quantity_e8 = sold.run.quantity_e8;
        let found = self.openings.replacements(&scope, place, quantity_e8);
        let matched_e8: i64 = found.iter().map(|found| found.sold_e8).sum();
        if matched_e8 == 0 {
            return Ok(0);
        }
        let disallowed_e16 = share(loss_e16, matched_e8, quantity_e8);
        let held_days = step.date.0.saturating_sub(sold.acquired.0);
        let tacked_days = held_days.saturating_add(sold.run.tacked_days);
        let mut parts = Cumulated::of(disallowed_e16, matched_e8);
        let mut replacements = Vec::with_capacity(found.len());
        for found in &found {
            let addition_e16 = parts.next(found.sold_e8)?;
            self.matches += 1;
            let run = Run {
                opening: found.opening,
                part: found.part,
                matched: self.matches,
                quantity_e8: found.units_e8,
                addition_e16,
                tacked_days,
            };
            let lot = self.openings.lot_of(found.part);
            replacements.push(Replacement {
                position: lot.position,
                opening: self.openings.cause(found.opening),
                lot: lot.origin,
                quantity_e8: found.units_e8,
                addition_e16,
                tacked_days,
            });
            let is_open = self.openings.serve(&run);
            if is_open {
                self.holdings.lot_by_number(&lot)?.match_units(run)?;
            }
        }
        self.losses.push(Loss {
            position: step.position,
            cause: booked.cause,
            date: step.date,
            lot: sold.lot,
            quantity_e8,
            realized_e16: sold.realized_e16,
            addition_e16: sold.run.addition_e16,
            matched_e8,
            disallowed_e16,
            replacements,
        });
        Ok(disallowed_e16)
    }

    /// The lots of a position have other quantities.
    fn scale(&mut self, position: u32, lots: &[(LotName, i64)]) -> Result<(), WashError> {
        let last = lots.iter().rposition(|(_, quantity_e8)| *quantity_e8 != 0);
        let mut gone = 0;
        for (name, quantity_e8) in lots {
            let lot = self.holdings.lot(position, *name)?;
            if *quantity_e8 == 0 {
                let (addition_e16, free) = lot.vanish()?;
                gone = add(gone, addition_e16)?;
                for part in free {
                    self.openings.set_free(part, 0);
                }
                continue;
            }
            for (part, free_e8) in lot.scale(*quantity_e8)? {
                self.openings.set_free(part, free_e8);
            }
            lot.give(core::mem::take(&mut gone))?;
        }
        match last {
            Some(last) => self.holdings.lot(position, lots[last].0)?.give(gone)?,
            // Nothing is left: what was added is realized with the cost.
            None => {
                let totals = self.totals.entry(position).or_default();
                totals.recognized_e16 = add(totals.recognized_e16, gone)?;
            }
        }
        self.holdings.sweep(position, lots.iter().map(|(name, _)| name.origin));
        Ok(())
    }

    /// Lots were struck anew: what they carried is realized with their results, and they go on without.
    fn strike(&mut self, position: u32, until: Date, lots: &[Closed]) -> Result<(), WashError> {
        for struck in lots {
            let lot = self.holdings.lot(position, struck.lot)?;
            let (is_long, acquired) = (lot.is_long, lot.acquired);
            let runs = lot.strike();
            let mut sums = Cumulated::of(struck.realized_e16, struck.quantity_e8);
            for run in runs {
                let realized_e16 = sums.next(run.quantity_e8)?;
                let was_long_term = struck.is_long_term;
                let sold = Sold { lot: struck.lot.origin, is_long, acquired, run, realized_e16, was_long_term };
                self.sum(position, until, &sold, 0)?;
            }
        }
        Ok(())
    }

    fn view(mut self) -> Result<View, WashError> {
        if !self.parcels.is_empty() {
            return Err(WashError::Misfit);
        }
        let mut lots = BTreeMap::new();
        for (position, name, lot) in self.holdings.lots() {
            let pieces = lot.pieces();
            if pieces.iter().all(|piece| piece.addition_e16 == 0 && piece.tacked_days == 0) {
                continue;
            }
            let totals = self.totals.entry(position).or_default();
            for piece in &pieces {
                totals.carried_e16 = add(totals.carried_e16, piece.addition_e16)?;
            }
            lots.insert((position, name), pieces);
        }
        self.totals.retain(|_, totals| *totals != Totals::default());
        Ok(View { losses: self.losses, totals: self.totals, lots })
    }
}

/// Parts of a total by cumulated quantity: they sum to it.
struct Cumulated {
    total_e16: Money,
    whole_e8: i64,
    until_e8: i64,
    given_e16: Money,
}

impl Cumulated {
    fn of(total_e16: Money, whole_e8: i64) -> Self {
        Self { total_e16, whole_e8, until_e8: 0, given_e16: 0 }
    }

    /// The part of the next units; [`WashError::Misfit`] where there are no more.
    fn next(&mut self, quantity_e8: i64) -> Result<Money, WashError> {
        self.until_e8 = self.until_e8.checked_add(quantity_e8).ok_or(WashError::Misfit)?;
        if self.until_e8 > self.whole_e8 {
            return Err(WashError::Misfit);
        }
        let until = share(self.total_e16, self.until_e8, self.whole_e8);
        let part = until - self.given_e16;
        self.given_e16 = until;
        Ok(part)
    }
}
