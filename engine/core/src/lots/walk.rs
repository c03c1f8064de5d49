//! A position's lots, one after the other, with their costs.

use super::pool::Axis;
use super::tree::Cursor;
use super::{Lot, LotArena, LotBlock, NIL};
use crate::amount::Money;

/// A walk over lots in lot order. Reads what it gives out and nothing else.
#[derive(Clone, Debug)]
pub struct Lots<'a> {
    arena: &'a LotArena,
    block: &'a LotBlock,
    next: usize,
    left: usize,
    cursor: Option<Cursor>,
    axis: Option<Axis>,
}

impl<'a> Lots<'a> {
    #[inline]
    pub(super) fn new(arena: &'a LotArena, block: &'a LotBlock, from: usize, count: usize) -> Self {
        assert!(from + count <= block.len());
        let cursor = block.is_large().then(|| Cursor::new(&arena.all, block.start, from));
        let axis = if block.pool == NIL { None } else { arena.axis(block, from) };
        Self { arena, block, next: from, left: count, cursor, axis }
    }
}

impl Lots<'_> {
    /// The next lot's slot, cost and base cost.
    #[inline]
    pub(super) fn step(&mut self) -> Option<(usize, Money, Money)> {
        self.left = self.left.checked_sub(1)?;
        let index = self.next;
        self.next += 1;
        let at = match &mut self.cursor {
            Some(cursor) => cursor.next(&self.arena.all)? as usize,
            None => self.block.start as usize + usize::from(self.block.head) + index,
        };
        let (cost_e16, base_cost_e16) = match &mut self.axis {
            Some(axis) => {
                let key = if self.cursor.is_some() { self.arena.order_of(at) } else { index as u64 };
                self.arena.next_cost(axis, key, at)
            }
            None if self.block.pool != NIL => self.arena.pooled_cost(self.block, index, at),
            None => (self.arena.slots[at].cost_e16, self.arena.slots[at].base_cost_e16),
        };
        Some((at, cost_e16, base_cost_e16))
    }
}

impl Iterator for Lots<'_> {
    type Item = Lot;

    #[inline]
    fn next(&mut self) -> Option<Lot> {
        let (at, cost_e16, base_cost_e16) = self.step()?;
        Some(self.arena.lot(at, cost_e16, base_cost_e16))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Lots<'_> {}
