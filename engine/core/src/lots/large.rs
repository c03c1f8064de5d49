//! Lots in a tree: each in a slot of its own, ordered by the date it is held from and the order of opening.

use super::tree::{Cursor, Entry, FAN};
use super::{BLOCK_MAX, Gone, LARGE, LotArena, LotBlock, NIL, Slot, class_for, order};
use crate::event::Run;
use crate::id::{NO_NAME, NameId};

impl LotArena {
    /// The place of a lot in the order of its tree.
    #[inline]
    pub(super) fn order_of(&self, at: usize) -> u64 {
        order(self.slots[at].acquired, self.opened[at])
    }

    #[inline]
    fn key_of(&self, at: usize) -> (NameId, u64) {
        (self.slots[at].sub_account, self.order_of(at))
    }

    fn entry<K>(&self, at: usize, key: K) -> Entry<K> {
        let Slot { quantity_e8, price_e8, .. } = self.slots[at];
        Entry { child: at as u32, count: 1, key, quantity_e8, high_e8: price_e8, low_e8: price_e8 }
    }

    /// Makes single slots of a block and a tree over them.
    pub(super) fn become_tree(&mut self, block: &mut LotBlock) {
        let held = self.block_slots(block);
        let whole = block.start as usize..block.start as usize + (1 << block.form);
        for at in (whole.start..held.start).chain(held.end..whole.end) {
            self.pages.give(at as u32, 0);
        }
        if block.pool != NIL {
            self.leave_all_pools(block);
        }
        (block.start, block.subs, block.head, block.form, block.opened) = (NIL, NIL, 0, LARGE, 0);
        let mut named = false;
        for at in held.clone() {
            self.opened[at] = block.opened;
            block.opened += 1;
            named |= self.slots[at].sub_account != NO_NAME;
            self.add_to_tree(block, at);
        }
        if named {
            self.grow_subs(block);
        }
    }

    fn add_to_tree(&mut self, block: &mut LotBlock, at: usize) {
        let entry = self.entry(at, self.order_of(at));
        self.all.insert(&mut block.start, &entry);
        self.by_origin.insert(self.origins[at], at as u32);
    }

    /// The tree by sub-account, from the first lot on that names one. The only step here that looks at every lot.
    #[cold]
    fn grow_subs(&mut self, block: &mut LotBlock) {
        let mut cursor = Cursor::new(&self.all, block.start, 0);
        while let Some(at) = cursor.next(&self.all) {
            let entry = self.entry(at as usize, self.key_of(at as usize));
            self.subs.insert(&mut block.subs, &entry);
        }
    }

    pub(super) fn open_in_tree(&mut self, block: &mut LotBlock, slot: &Slot, origin: u128) {
        let at = self.take_run(0) as usize;
        if block.opened == u32::MAX {
            self.count_openings_anew(block);
        }
        (self.slots[at], self.origins[at], self.opened[at]) = (*slot, origin, block.opened);
        block.opened += 1;
        self.add_to_tree(block, at);
        block.len += 1;
        if block.subs != NIL {
            let entry = self.entry(at, self.key_of(at));
            self.subs.insert(&mut block.subs, &entry);
        } else if slot.sub_account != NO_NAME {
            self.grow_subs(block);
        }
        if block.pool != NIL {
            self.open_beside_pool(block, at);
        }
    }

    /// Four billion openings are behind: numbers from zero on, in the order in which the lots stand.
    #[cold]
    fn count_openings_anew(&mut self, block: &mut LotBlock) {
        self.leave_all_pools(block);
        let (mut cursor, mut next) = (Cursor::new(&self.all, block.start, 0), 0);
        while let Some(at) = cursor.next(&self.all) {
            self.opened[at as usize] = next;
            next += 1;
        }
        block.opened = next;
        let Self { all, subs, slots, opened, .. } = self;
        all.rekey(block.start, &|at| order(slots[at].acquired, opened[at]));
        subs.rekey(block.subs, &|at| (slots[at].sub_account, order(slots[at].acquired, opened[at])));
    }

    /// Brings quantity and price of a changed lot into the trees.
    pub(super) fn update_tree(&mut self, block: &LotBlock, at: usize) {
        let Slot { quantity_e8, price_e8, .. } = self.slots[at];
        self.all.update(block.start, self.order_of(at), quantity_e8, price_e8);
        if block.subs != NIL {
            self.subs.update(block.subs, self.key_of(at), quantity_e8, price_e8);
        }
    }

    pub(super) fn find_large(&self, block: &LotBlock, origin: u128) -> Option<usize> {
        // Lots of other positions may be of the same origin: the tree knows its own.
        let mine = |at: u32| {
            let rank = self.rank(block, at as usize);
            (rank < block.len() && self.all.at(block.start, rank) == at).then_some(rank)
        };
        let of_origin = self.by_origin.candidates(origin).filter(|&at| self.origins[at as usize] == origin);
        of_origin.filter_map(mine).min()
    }

    /// How many lots of the position stand before this one.
    pub(super) fn rank(&self, block: &LotBlock, at: usize) -> usize {
        self.all.before(block.start, self.order_of(at)).0
    }

    pub(super) fn take_whole_from_tree(&mut self, block: &mut LotBlock, run: &Run, gone: &mut Gone) {
        let mut left = run.count as usize;
        while left > 0 {
            if block.pool != NIL {
                // One after the other: the pool must hear of each while it is there.
                self.leave_pool_for_good(block, run.from as usize);
            }
            let step = if block.pool == NIL { left } else { 1 };
            let (slots, count) = self.cut(block, run.from as usize, step);
            for &at in &slots[..count] {
                let slot = self.slots[at as usize];
                block.count_out(&slot);
                gone.quantity_e8 += slot.quantity_e8;
                gone.cost_e16 += slot.cost_e16;
                gone.base_cost_e16 += slot.base_cost_e16;
                self.count_in_pool(block, slot.sub_account, -slot.cost_e16, -slot.base_cost_e16);
            }
            left -= count;
        }
    }

    /// Takes lots out of the trees and gives their slots back; what was in the slots can be read until another lot opens.
    pub(super) fn cut(&mut self, block: &mut LotBlock, from: usize, count: usize) -> ([u32; FAN], usize) {
        let mut slots = [0; FAN];
        let count = self.all.cut(&mut block.start, from, count, &mut slots);
        for &at in &slots[..count] {
            self.forget(block, at);
        }
        block.len -= count as u32;
        (slots, count)
    }

    fn forget(&mut self, block: &mut LotBlock, at: u32) {
        if block.subs != NIL {
            let rank = self.subs.before(block.subs, self.key_of(at as usize)).0;
            let cut = self.subs.cut(&mut block.subs, rank, 1, &mut [0; FAN]);
            assert!(cut == 1);
        }
        self.by_origin.remove(at, &self.origins);
        self.pages.give(at, 0);
    }

    /// Makes a block of a tree with few lots.
    #[cold]
    pub(super) fn back_to_block(&mut self, block: &mut LotBlock) {
        let Some(class) = class_for(block.len() * 2).filter(|&class| class <= BLOCK_MAX) else { return };
        if !self.pages.can_take(class.into()) {
            return;
        }
        self.leave_all_pools(block);
        let start = self.take_run(class);
        let mut cursor = Cursor::new(&self.all, block.start, 0);
        for to in start as usize.. {
            let Some(at) = cursor.next(&self.all) else { break };
            (self.slots[to], self.origins[to]) = (self.slots[at as usize], self.origins[at as usize]);
        }
        self.release_tree(block);
        (block.start, block.form, block.head, block.subs) = (start, class, 0, NIL);
    }

    pub(super) fn release_tree(&mut self, block: &mut LotBlock) {
        let mut cursor = Cursor::new(&self.all, block.start, 0);
        while let Some(at) = cursor.next(&self.all) {
            self.by_origin.remove(at, &self.origins);
            self.pages.give(at, 0);
        }
        self.all.clear(&mut block.start);
        self.subs.clear(&mut block.subs);
    }

    /// The numbers, in the tree by sub-account, of the lots of one.
    pub(super) fn subs_range(&self, block: &LotBlock, sub_account: NameId) -> (core::ops::Range<usize>, i64) {
        let (from, before_e8) = self.subs.before(block.subs, (sub_account, 0));
        let (to, until_e8) = self.subs.before(block.subs, (sub_account, u64::MAX));
        (from..to, until_e8 - before_e8)
    }
}
