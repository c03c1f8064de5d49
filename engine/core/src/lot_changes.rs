//! What a correction does lot by lot: which lots it opens, changes and closes.
//!
//! A lot is known by its origin, the trade that opened it. Where several open lots have one origin, the first of them before is
//! the first of them after, and so on. What is the same in every field is not listed.

use alloc::vec::Vec;

use crate::apply::{Misfit, settle};
use crate::bytes::{Reader, Writer};
use crate::command::TradeKind;
use crate::digest;
use crate::event::{Class, Figures, TradeEvent};
use crate::lots::{Lot, LotArena};
use crate::names::Names;
use crate::outcome::{BadBody, Outcome};
use crate::position::Position;

/// No lot, in bytes.
const NONE: u32 = u32::MAX;

/// One lot before and after a correction. At least one of the two is there, and they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotChange {
    /// As the estimate had it; `None`: the correction opens it.
    pub before: Option<Lot>,
    /// Its index among the lots of the outcome; `None`: the correction closes it.
    pub after: Option<u32>,
}

impl LotChange {
    /// The lot after the correction, of the outcome's lots.
    #[must_use]
    pub fn after<'a>(&self, lots: &'a [Lot]) -> Option<&'a Lot> {
        lots.get(self.after? as usize)
    }
}

/// What makes the lots `after` of the lots `before`: opened and changed ones in the order of `after`, then those that are closed in
/// the order of `before`.
#[must_use]
pub fn lot_changes(before: &[Lot], after: &[Lot]) -> Vec<LotChange> {
    let same = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    let mut old: Vec<usize> = (same..before.len()).collect();
    let mut new: Vec<usize> = (same..after.len()).collect();
    old.sort_unstable_by_key(|&index| (before[index].origin.0, index));
    new.sort_unstable_by_key(|&index| (after[index].origin.0, index));
    let mut old = old.into_iter().peekable();
    let (mut found, mut closed) = (Vec::new(), Vec::new());
    for index in new {
        let lot = &after[index];
        while let Some(gone) = old.next_if(|&gone| before[gone].origin.0 < lot.origin.0) {
            closed.push(gone);
        }
        let was = old.next_if(|&was| before[was].origin == lot.origin).map(|was| before[was]);
        if was.as_ref() != Some(lot) {
            found.push(LotChange { before: was, after: Some(index as u32) });
        }
    }
    closed.extend(old);
    closed.sort_unstable();
    found.sort_unstable_by_key(|change| change.after);
    found.extend(closed.into_iter().map(|gone| LotChange { before: Some(before[gone]), after: None }));
    found
}

/// The lots of one position as its events told them: estimates, from lots that are known at a version on.
#[derive(Debug)]
pub struct ToldLots {
    lots: LotArena,
    names: Names,
    position: Position,
}

impl ToldLots {
    /// These lots and figures, and room for what so many events open. `averaged`: their costs were averaged since the position was flat.
    #[must_use]
    pub fn new(figures: &Figures, averaged: bool, lots: &[Lot], events: usize) -> Self {
        let room = (lots.len() + events) * 4;
        let mut told = Self {
            lots: LotArena::new(room.max(crate::limits::LOT_BLOCK_SLOTS_MIN * 4).next_power_of_two()),
            names: Names::new(0),
            position: Position::new(0, 0, 0),
        };
        told.begin(figures, averaged, lots);
        told
    }

    fn begin(&mut self, figures: &Figures, averaged: bool, lots: &[Lot]) {
        let Self { lots: arena, names, position } = self;
        position.quantity_e8 = figures.quantity_e8;
        position.cost_e16 = figures.cost_e16;
        position.base_cost_e16 = figures.base_cost_e16;
        let tag = |lot: &Lot| digest::lot_tag(0, names, lot);
        arena.replace(&mut position.block, averaged, lots.iter().copied(), tag);
    }

    /// A trade of the position, in the order of versions.
    ///
    /// # Errors
    /// [`Misfit`]: it is not of these lots.
    pub fn trade(&mut self, event: &TradeEvent<'_>) -> Result<(), Misfit> {
        match event.class {
            Class::Applied | Class::Provisional | Class::Rebooked => {
                settle(&mut self.lots, &self.names, &mut self.position, event)
            }
            Class::Matured
                if event.input.kind == TradeKind::Transfer
                    || event.opened_quantity_e8 + event.closed_quantity_e8 > 0 =>
            {
                settle(&mut self.lots, &self.names, &mut self.position, event)
            }
            _ => Ok(()),
        }
    }

    /// A correction of the position.
    pub fn corrected(&mut self, outcome: &Outcome, events: usize) {
        *self = Self::new(&outcome.after, outcome.averaged, &outcome.lots, events);
    }

    /// The lots now, in lot order.
    #[must_use]
    pub fn lots(&self) -> Vec<Lot> {
        self.lots.iter(&self.position.block).collect()
    }
}

impl Writer {
    pub(crate) fn lot_changes(&mut self, changes: &[LotChange]) {
        self.u32(changes.len() as u32);
        for change in changes {
            self.u32(change.after.unwrap_or(NONE));
            self.u32(u32::from(change.before.is_some()));
            if let Some(lot) = &change.before {
                self.lot(lot);
            }
        }
    }
}

impl Reader<'_> {
    /// `lots`: how many the outcome has.
    pub(crate) fn lot_changes(&mut self, lots: usize) -> Result<Vec<LotChange>, BadBody> {
        let mut found = Vec::new();
        for _ in 0..self.u32()? {
            let (after, had) = (self.u32()?, self.u32()?);
            let after = (after != NONE).then_some(after);
            let before = match had {
                0 => None,
                1 => Some(self.lot()?),
                _ => return Err(BadBody),
            };
            if (before.is_none() && after.is_none()) || after.is_some_and(|after| after as usize >= lots) {
                return Err(BadBody);
            }
            found.push(LotChange { before, after });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::date::Date;
    use crate::id::TradeHash;

    fn lot(origin: u128, quantity_e8: i64) -> Lot {
        let cost_e16 = i128::from(quantity_e8) * 3;
        let (price_e8, acquired, sub_account) = (3, Date(1), 0);
        Lot {
            origin: TradeHash(origin),
            quantity_e8,
            cost_e16,
            base_cost_e16: cost_e16,
            price_e8,
            acquired,
            sub_account,
        }
    }

    #[test]
    fn lots_are_opened_changed_and_closed() {
        let of =
            |list: &[(u128, i64)]| list.iter().map(|(origin, quantity)| lot(*origin, *quantity)).collect::<Vec<_>>();
        // Before, after: what is opened (origin, nothing, after), changed, closed.
        for (before, after, wanted) in [
            (&[(1, 5)][..], &[(1, 5)][..], &[][..]),
            (&[], &[(1, 5)], &[(1, 0, 5)]),
            (&[(1, 5)], &[], &[(1, 5, 0)]),
            (&[(9, 5), (1, 2)], &[(9, 5), (1, 1)], &[(1, 2, 1)]),
            (&[(9, 5), (1, 2), (7, 4)], &[(3, 1), (7, 3)], &[(3, 0, 1), (7, 4, 3), (9, 5, 0), (1, 2, 0)]),
            // Only the order is another.
            (&[(1, 5), (2, 6)], &[(2, 6), (1, 5)], &[]),
            // Three lots of one origin become two: the last one is closed.
            (&[(4, 1), (4, 2), (4, 3)], &[(4, 1), (4, 7)], &[(4, 2, 7), (4, 3, 0)]),
        ] {
            let (before, after) = (of(before), of(after));
            let found = lot_changes(&before, &after);
            let told: Vec<(u128, i64, i64)> = found
                .iter()
                .map(|change| {
                    let now = change.after(&after);
                    let origin = change.before.or(now.copied()).expect("one of the two").origin.0;
                    (origin, change.before.map_or(0, |lot| lot.quantity_e8), now.map_or(0, |lot| lot.quantity_e8))
                })
                .collect();
            assert_eq!(told, wanted, "{before:?} {after:?}");
            let mut bytes = Writer::with_capacity(0);
            bytes.lot_changes(&found);
            let bytes = bytes.into_bytes();
            assert_eq!(Reader::new(&bytes).lot_changes(after.len()), Ok(found));
        }
    }

    #[test]
    fn changes_of_no_lot_are_refused() {
        for (changes, lots) in
            [(vec![LotChange { before: None, after: None }], 1), (vec![LotChange { before: None, after: Some(1) }], 1)]
        {
            let mut bytes = Writer::with_capacity(0);
            bytes.lot_changes(&changes);
            assert_eq!(Reader::new(&bytes.into_bytes()).lot_changes(lots), Err(BadBody));
        }
    }
}
