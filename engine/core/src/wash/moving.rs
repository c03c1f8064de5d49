//! What moves in the walk: units leave a lot of one position and are in a lot of another one, as they were.
//!
//! Between the two they are a *parcel*, by the identity under which the lot arrives. Rule 11, point 7 of `docs/rules.md`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::holding::{Lot, LotHome, Run, SPENT};
use super::{Closed, Cumulated, LotName, Opened, Owner, Sold, Walk, WashError};
use crate::amount::{Money, add};
use crate::date::Date;
use crate::id::{NameId, TradeHash};

/// What left of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftLot {
    /// The lot.
    pub lot: LotName,
    /// Units; positive.
    pub quantity_e8: i64,
    /// Identity under which they arrive.
    pub parcel: TradeHash,
    /// They go on as another security: they never replace anything from then on.
    pub is_spent: bool,
}

/// What a spin-off did. It made at least one new unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spun {
    /// The part of an addition that goes with the new units; at 10^-8, from 0 to 1.
    pub fraction_e8: i64,
    /// What was held since this date or before is long-term.
    pub long_term_until: Date,
    /// All lots that are held, in lot order, with the units of their new lots; zero: it vanished.
    pub lots: Vec<(LotName, i64)>,
    /// What was paid out, in the order of the new lots.
    pub paid: Vec<PaidOut>,
    /// Identities under which the new lots arrive that are left, in lot order.
    pub parcels: Vec<TradeHash>,
}

/// Units of a new lot that were paid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaidOut {
    /// Units; positive.
    pub quantity_e8: i64,
    /// Realized, as the plain book has it.
    pub realized_e16: Money,
    /// The plain book has it as long-term.
    pub is_long_term: bool,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivedLot {
    /// Its identity.
    pub parcel: TradeHash,
    /// The trade that opened the lot.
    pub origin: TradeHash,
    /// Units; positive.
    pub quantity_e8: i64,
    /// Side.
    pub is_long: bool,
    /// Its date.
    pub acquired: Date,
    /// Whose the account is by the rules in force on its arrival.
    pub taxpayer: NameId,
    /// What was held since this date or before is long-term.
    pub long_term_until: Date,
    /// What it closed on the other side.
    pub closed: Vec<Closed>,
    /// Units that opened a lot: all, but where it came to the other side or was passed over.
    pub opened_e8: i64,
}

/// Units on their way.
#[derive(Debug, Default)]
pub(super) struct Parcels(BTreeMap<TradeHash, Vec<Run>>);

impl Parcels {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn send(&mut self, identity: TradeHash, runs: Vec<Run>) -> Result<(), WashError> {
        match self.0.insert(identity, runs) {
            None => Ok(()),
            Some(_) => Err(WashError::Misfit),
        }
    }
}

impl Walk<'_> {
    pub(super) fn leave(&mut self, position: u32, lots: &[LeftLot]) -> Result<(), WashError> {
        for left in lots {
            let mut runs = self.holdings.lot(position, left.lot)?.take(left.quantity_e8)?;
            for run in runs.iter_mut().filter(|run| !run.is_matched()) {
                self.openings.leave(run.part, run.quantity_e8);
                if left.is_spent {
                    run.part = SPENT;
                }
            }
            self.parcels.send(left.parcel, runs)?;
        }
        self.holdings.sweep(position, lots.iter().map(|left| left.lot.origin));
        Ok(())
    }

    pub(super) fn spin(&mut self, position: u32, spun: &Spun) -> Result<(), WashError> {
        let mut new = Vec::with_capacity(spun.lots.len());
        for (name, quantity_e8) in &spun.lots {
            new.push((name.origin, self.holdings.lot(position, *name)?.spin(spun.fraction_e8)?, *quantity_e8));
        }
        give_on(&mut new)?;
        let (mut parcels, mut paid) = (spun.parcels.iter(), spun.paid.iter());
        for (origin, mut lot, _) in new.into_iter().filter(|(_, _, quantity_e8)| *quantity_e8 != 0) {
            if let Some(out) = paid.next() {
                let (is_long, acquired, was_long_term) = (lot.is_long, lot.acquired, out.is_long_term);
                let mut sums = Cumulated::of(out.realized_e16, out.quantity_e8);
                for run in lot.take(out.quantity_e8)? {
                    let realized_e16 = sums.next(run.quantity_e8)?;
                    let sold = Sold { lot: origin, is_long, acquired, run, realized_e16, was_long_term };
                    self.sum(position, spun.long_term_until, &sold, 0)?;
                }
            }
            if !lot.is_empty() {
                let parcel = parcels.next().ok_or(WashError::Misfit)?;
                self.parcels.send(*parcel, lot.take(lot.quantity_e8())?)?;
            }
        }
        if paid.next().is_some() || parcels.next().is_some() {
            return Err(WashError::Misfit);
        }
        Ok(())
    }

    pub(super) fn arrive(&mut self, position: u32, arrived: &ArrivedLot) -> Result<(), WashError> {
        let runs = self.parcels.0.remove(&arrived.parcel).ok_or(WashError::Misfit)?;
        let units: i128 = runs.iter().map(|run| i128::from(run.quantity_e8)).sum();
        if units != i128::from(arrived.quantity_e8) {
            return Err(WashError::Misfit);
        }
        let ArrivedLot { origin, is_long, acquired, long_term_until, .. } = *arrived;
        let mut sold = Vec::new();
        for closed in &arrived.closed {
            self.take(position, closed, &mut sold)?;
        }
        self.holdings.sweep(position, arrived.closed.iter().map(|closed| closed.lot.origin));
        let mut lot = Lot::of(is_long, acquired, runs);
        // What closes the other side, or is passed over, realizes what it carries and nothing else.
        for run in lot.take(arrived.quantity_e8 - arrived.opened_e8)? {
            sold.push(Sold { lot: origin, is_long, acquired, run, realized_e16: 0, was_long_term: false });
        }
        for units in &sold {
            self.sum(position, long_term_until, units, 0)?;
        }
        if arrived.opened_e8 == 0 {
            return Ok(());
        }
        let runs = lot.take(arrived.opened_e8)?;
        let opens = Opened { lot: origin, quantity_e8: arrived.opened_e8, is_long, opened: acquired };
        let serial = self.holdings.open(position, &opens, false, Vec::new());
        let home = LotHome { position, origin, serial };
        let owner = Owner { home: (self.home)(position), taxpayer: arrived.taxpayer };
        let mut there = Vec::with_capacity(runs.len());
        for mut run in runs {
            if !run.is_matched() && run.part != SPENT {
                self.openings.arrive(&mut run, home, owner);
            }
            there.push(run);
        }
        self.holdings.lot_by_number(&home)?.fill(there);
        Ok(())
    }
}

/// New lots in new units: what a lot carries that vanishes goes to the first units of the lot that gets its cost.
fn give_on(lots: &mut [(TradeHash, Lot, i64)]) -> Result<(), WashError> {
    let last = lots.iter().rposition(|(_, _, quantity_e8)| *quantity_e8 != 0).ok_or(WashError::Misfit)?;
    let mut gone = 0;
    for (_, lot, quantity_e8) in lots.iter_mut() {
        if *quantity_e8 == 0 {
            gone = add(gone, lot.vanish()?.0)?;
        } else {
            lot.scale(*quantity_e8)?;
            lot.give(core::mem::take(&mut gone))?;
        }
    }
    lots[last].1.give(gone)
}
