//! Lots in a block: consecutive slots in lot order, from `head` on.

use super::{BLOCK_MAX, BLOCK_MIN, EMPTY, Gone, LARGE, LotArena, LotBlock, NIL, Slot, class_for};
use crate::event::Run;

impl LotArena {
    #[inline]
    pub(super) fn block_slots(&self, block: &LotBlock) -> core::ops::Range<usize> {
        if block.len == 0 {
            return 0..0;
        }
        let first = block.start as usize + usize::from(block.head);
        first..first + block.len()
    }

    /// Reads the ends of a position's lots, where most trades change them: see [`crate::Book::look_ahead`].
    #[inline]
    pub(crate) fn look_ahead(&self, block: &LotBlock) -> u64 {
        if block.is_large() {
            return u64::from(self.all.at(block.start, 0));
        }
        let slots = self.block_slots(block);
        let next = self.origins.get(slots.end).map_or(0, |origin| *origin as u64);
        let ends = [self.slots.get(slots.start), self.slots.get(slots.end)];
        ends.into_iter().flatten().fold(next, |read, slot| read ^ slot.tag)
    }

    /// Whether another lot fits where the block is: behind the last one, or when the lots were moved to its front. They
    /// are only moved where a quarter of the block gets free, so that each move is paid for by as many openings.
    #[inline]
    pub(super) fn fits_in_block(&self, block: &LotBlock) -> bool {
        let capacity = 1u32 << block.form;
        u32::from(block.head) + block.len < capacity || block.len * 4 <= capacity * 3
    }

    /// Makes room for one lot behind the last one. `false`: the lots are, or become, a tree.
    #[inline]
    pub(super) fn make_room(&mut self, block: &mut LotBlock) -> bool {
        if block.form <= BLOCK_MAX && u32::from(block.head) + block.len < 1 << block.form {
            return true;
        }
        self.make_room_slowly(block)
    }

    #[cold]
    fn make_room_slowly(&mut self, block: &mut LotBlock) -> bool {
        if block.form == EMPTY {
            if self.pages.can_take(BLOCK_MIN.into()) {
                (block.start, block.form) = (self.take_run(BLOCK_MIN), BLOCK_MIN);
                return true;
            }
            block.form = LARGE;
            return false;
        }
        // To a block for twice as many, which may be a smaller one; else to the front of this one.
        let fits = self.fits_in_block(block);
        let wanted = class_for(block.len() * 2).unwrap_or(BLOCK_MAX);
        let moves = if fits { wanted < block.form } else { wanted > block.form };
        if moves && self.pages.can_take(wanted.into()) {
            let start = self.take_run(wanted);
            self.move_lots(block, start);
            self.pages.give(block.start, block.form.into());
            (block.start, block.head, block.form) = (start, 0, wanted);
        } else if fits {
            self.move_lots(block, block.start);
            block.head = 0;
        } else {
            self.become_tree(block);
        }
        !block.is_large()
    }

    fn move_lots(&mut self, block: &LotBlock, to: u32) {
        let slots = self.block_slots(block);
        self.slots.copy_within(slots.clone(), to as usize);
        self.origins.copy_within(slots, to as usize);
    }

    /// Opens a lot in a block with room behind the last one.
    #[inline]
    pub(super) fn open_in_block(&mut self, block: &mut LotBlock, slot: &Slot, origin: u128) {
        let end = block.start as usize + usize::from(block.head) + block.len();
        let comes_last = block.len == 0 || self.slots[end - 1].acquired <= slot.acquired;
        let at = if comes_last { end } else { self.shift_for(block, slot.acquired) };
        self.slots[at] = *slot;
        self.origins[at] = origin;
        block.len += 1;
    }

    /// Moves the lots that are held for less long by one slot, and gives the one that is free then.
    #[cold]
    fn shift_for(&mut self, block: &mut LotBlock, acquired: i32) -> usize {
        let slots = self.block_slots(block);
        let index = self.slots[slots.clone()].partition_point(|held| held.acquired <= acquired);
        if block.pool != NIL {
            self.leave_pools_for_insertion(block, index);
        }
        let from = slots.start + index;
        self.slots.copy_within(from..slots.end, from + 1);
        self.origins.copy_within(from..slots.end, from + 1);
        from
    }

    #[inline]
    pub(super) fn take_whole_from_block(&mut self, block: &mut LotBlock, run: &Run, gone: &mut Gone) {
        if block.pool != NIL {
            self.leave_all_pools(block);
        }
        let slots = self.block_slots(block);
        let from = slots.start + run.from as usize;
        let to = from + run.count as usize;
        for slot in &self.slots[from..to] {
            block.count_out(slot);
            gone.quantity_e8 += slot.quantity_e8;
            gone.cost_e16 += slot.cost_e16;
            gone.base_cost_e16 += slot.base_cost_e16;
        }
        self.close_gap(block, run.from, run.count);
    }

    /// Takes lots out of the order of a block: from an end by moving a number, else by moving the rest.
    #[inline]
    pub(super) fn close_gap(&mut self, block: &mut LotBlock, from: u32, count: u32) {
        if from == 0 {
            block.head += count as u8;
        } else if from + count < block.len {
            let slots = self.block_slots(block);
            let gap = slots.start + from as usize;
            self.slots.copy_within(gap + count as usize..slots.end, gap);
            self.origins.copy_within(gap + count as usize..slots.end, gap);
        }
        block.len -= count;
    }
}
