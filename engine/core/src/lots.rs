//! Lots in parallel arrays: hot columns (quantity, total remaining cost) apart from the cold ones.
//!
//! One arena serves all positions. A position holds a *block*, a power of two of consecutive slots;
//! its lots lie in it from `head`, in the order in which they were opened, so that taking the oldest
//! moves one number. Freed blocks are kept in lists by size, linked through the quantity column.
//! Base costs and sub-accounts have columns of their own, which a block uses from its first lot on that
//! differs from the plain case (base cost equal to cost, no sub-account): until then nobody touches them.
//! Everything is reserved at the start; nothing here allocates afterwards.

use alloc::vec;
use alloc::vec::Vec;

use crate::amount::Money;
use crate::date::Date;
use crate::id::{NO_NAME, NameId, TradeHash};
use crate::limits::{LOT_BLOCK_MAX, LOT_BLOCK_MIN};

/// One open lot. Its side is the sign of its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// The trade that opened it.
    pub origin: TradeHash,
    /// Remaining quantity, positive.
    pub quantity_e8: i64,
    /// Total remaining cost (long) or proceeds (short); negative where fees in the basis exceed a short's proceeds.
    pub cost_e16: Money,
    /// The same in base currency, at the rates of the days on which it was opened and enlarged.
    pub base_cost_e16: Money,
    /// Price of the opening trade or `unit(cost, quantity)`: informational, and the rank for HIFO.
    pub price_e8: i64,
    /// From when it is held: the effective date of the opening trade, or what the opening lot says.
    pub acquired: Date,
    /// Interned sub-account, or `NO_NAME`.
    pub sub_account: NameId,
}

impl Lot {
    /// No base cost apart from the cost, no sub-account.
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.base_cost_e16 == self.cost_e16 && self.sub_account == NO_NAME
    }
}

/// Where a position's lots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotBlock {
    start: u32,
    head: u32,
    len: u32,
    class: u8,
    /// All lots are plain: the columns of base costs and sub-accounts hold nothing for this block.
    plain: bool,
}

const NO_CLASS: u8 = u8::MAX;
const NO_BLOCK: u32 = u32::MAX;
const CLASSES: usize = (LOT_BLOCK_MAX / LOT_BLOCK_MIN).ilog2() as usize + 1;

impl LotBlock {
    /// No lots, no block.
    pub const EMPTY: Self = Self { start: 0, head: 0, len: 0, class: NO_CLASS, plain: true };

    /// Number of lots.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every lot's base cost is its cost and none has a sub-account. May be `false` where that is so again.
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Size class of the block, for images.
    pub(crate) fn class(&self) -> u8 {
        self.class
    }

    #[inline]
    fn slots(&self) -> core::ops::Range<usize> {
        let first = self.start as usize + self.head as usize;
        first..first + self.len as usize
    }
}

/// The lots of a book.
#[derive(Debug)]
pub struct LotArena {
    quantity_e8: Vec<i64>,
    cost_e16: Vec<Money>,
    origin: Vec<u128>,
    price_e8: Vec<i64>,
    acquired: Vec<i32>,
    base_cost_e16: Vec<Money>,
    sub_account: Vec<NameId>,
    /// Slots below were handed out at least once.
    used: usize,
    /// Slots that decisions may use. What is beyond serves events that were decided already: where
    /// blocks lie depends on the way by which a book came to its state, and an event must apply on all ways.
    limit: usize,
    free: [u32; CLASSES],
}

const fn class_slots(class: usize) -> usize {
    LOT_BLOCK_MIN << class
}

impl LotArena {
    /// Room for `slots` lots, the slack of blocks included. The memory is touched when used.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let slots = limit + limit / 2 + LOT_BLOCK_MIN;
        assert!(slots < NO_BLOCK as usize);
        // `vec![0; n]` of integers asks the allocator for zeroed memory and so touches none of it.
        Self {
            quantity_e8: vec![0; slots],
            cost_e16: vec![0; slots],
            origin: vec![0; slots],
            price_e8: vec![0; slots],
            acquired: vec![0; slots],
            base_cost_e16: vec![0; slots],
            sub_account: vec![0; slots],
            used: 0,
            limit,
            free: [NO_BLOCK; CLASSES],
        }
    }

    /// Quantities of a position's lots, in their order.
    #[inline]
    #[must_use]
    pub fn quantities(&self, block: &LotBlock) -> &[i64] {
        &self.quantity_e8[block.slots()]
    }

    /// Remaining costs of a position's lots.
    #[inline]
    #[must_use]
    pub fn costs(&self, block: &LotBlock) -> &[Money] {
        &self.cost_e16[block.slots()]
    }

    /// Opening prices of a position's lots.
    #[inline]
    #[must_use]
    pub fn prices(&self, block: &LotBlock) -> &[i64] {
        &self.price_e8[block.slots()]
    }

    /// Opening trades of a position's lots.
    #[inline]
    #[must_use]
    pub fn origins(&self, block: &LotBlock) -> &[u128] {
        &self.origin[block.slots()]
    }

    /// Lot number `index` of a position.
    #[inline]
    #[must_use]
    pub fn get(&self, block: &LotBlock, index: usize) -> Lot {
        assert!(index < block.len());
        let slot = block.start as usize + block.head as usize + index;
        let cost_e16 = self.cost_e16[slot];
        let (base_cost_e16, sub_account) =
            if block.plain { (cost_e16, NO_NAME) } else { (self.base_cost_e16[slot], self.sub_account[slot]) };
        Lot {
            origin: TradeHash(self.origin[slot]),
            quantity_e8: self.quantity_e8[slot],
            cost_e16,
            base_cost_e16,
            price_e8: self.price_e8[slot],
            acquired: Date(self.acquired[slot]),
            sub_account,
        }
    }

    /// Base costs of a position's lots: their costs where all are plain.
    #[inline]
    #[must_use]
    pub fn base_costs(&self, block: &LotBlock) -> &[Money] {
        if block.plain { self.costs(block) } else { &self.base_cost_e16[block.slots()] }
    }

    /// Sub-accounts of a position's lots; `None` where none has one.
    #[inline]
    #[must_use]
    pub fn sub_accounts(&self, block: &LotBlock) -> Option<&[NameId]> {
        (!block.plain).then(|| &self.sub_account[block.slots()])
    }

    /// Days since 1970 from which a position's lots are held; ascending, as the lots are.
    #[inline]
    #[must_use]
    pub fn acquired(&self, block: &LotBlock) -> &[i32] {
        &self.acquired[block.slots()]
    }

    /// The place of the open lot that this trade opened.
    #[must_use]
    pub fn find(&self, block: &LotBlock, origin: TradeHash) -> Option<usize> {
        self.origins(block).iter().position(|&held| held == origin.0)
    }

    /// All lots of a position, in their order.
    pub fn iter<'a>(&'a self, block: &'a LotBlock) -> impl ExactSizeIterator<Item = Lot> + 'a {
        (0..block.len()).map(|index| self.get(block, index))
    }

    /// Whether a decision may open another lot.
    #[inline]
    #[must_use]
    pub fn can_push(&self, block: &LotBlock) -> bool {
        self.has_room(block, self.limit)
    }

    /// Whether [`Self::push`] would find room: more than decisions may use.
    #[inline]
    #[must_use]
    pub fn can_apply_push(&self, block: &LotBlock) -> bool {
        self.has_room(block, self.quantity_e8.len())
    }

    #[inline]
    fn has_room(&self, block: &LotBlock, limit: usize) -> bool {
        if block.class != NO_CLASS && (block.len as usize) < class_slots(block.class.into()) {
            return true;
        }
        let class = if block.class == NO_CLASS { 0 } else { usize::from(block.class) + 1 };
        class < CLASSES && self.can_take(class, limit)
    }

    /// Whether a correction to `len` lots may be accepted.
    #[must_use]
    pub fn can_hold(&self, block: &LotBlock, len: usize) -> bool {
        self.holds(block, len, self.limit)
    }

    /// Whether [`Self::replace`] by `len` lots would find room: more than decisions may use.
    #[must_use]
    pub fn can_apply_replace(&self, block: &LotBlock, len: usize) -> bool {
        self.holds(block, len, self.quantity_e8.len())
    }

    fn holds(&self, block: &LotBlock, len: usize, limit: usize) -> bool {
        let class = class_for(len);
        (block.class != NO_CLASS && usize::from(block.class) >= class)
            || (class < CLASSES && self.can_take(class, limit))
    }

    /// Puts lots into a new block of a class, as an image says. `false`: there is no room for it.
    pub fn restore(&mut self, block: &mut LotBlock, class: u8, lots: impl ExactSizeIterator<Item = Lot>) -> bool {
        if class == NO_CLASS {
            return lots.len() == 0;
        }
        let fits = usize::from(class) < CLASSES && lots.len() <= class_slots(class.into());
        if !fits || !self.can_take(class.into(), self.quantity_e8.len()) {
            return false;
        }
        *block = LotBlock { start: self.take(class.into()), head: 0, len: 0, class, plain: true };
        self.replace(block, lots);
        true
    }

    /// Adds a lot after the others. The caller has asked [`Self::can_push`].
    #[inline]
    pub fn push(&mut self, block: &mut LotBlock, lot: Lot) {
        if block.class == NO_CLASS {
            *block = LotBlock { start: self.take(0), head: 0, len: 0, class: 0, plain: true };
        }
        if block.plain && !lot.is_plain() {
            self.annotate(block);
        }
        let capacity = class_slots(block.class.into());
        if (block.head + block.len) as usize == capacity {
            self.make_room(block, capacity);
        }
        let slot = (block.start + block.head + block.len) as usize;
        self.write(slot, &lot, block.plain);
        block.len += 1;
    }

    /// Puts a lot at its place in the lot order: behind those that are held for as long or longer. The caller has
    /// asked [`Self::can_push`].
    #[cold]
    pub fn insert(&mut self, block: &mut LotBlock, lot: Lot) {
        let at = self.acquired(block).partition_point(|&held| held <= lot.acquired.0);
        self.push(block, lot);
        let slots = block.slots();
        let moved = slots.start + at..slots.end;
        self.quantity_e8[moved.clone()].rotate_right(1);
        self.cost_e16[moved.clone()].rotate_right(1);
        self.origin[moved.clone()].rotate_right(1);
        self.price_e8[moved.clone()].rotate_right(1);
        self.acquired[moved.clone()].rotate_right(1);
        if !block.plain {
            self.base_cost_e16[moved.clone()].rotate_right(1);
            self.sub_account[moved].rotate_right(1);
        }
    }

    /// Sets what is left of lot `index`.
    #[inline]
    pub fn set_rest(
        &mut self,
        block: &LotBlock,
        index: usize,
        quantity_e8: i64,
        cost_e16: Money,
        base_cost_e16: Money,
    ) {
        assert!(index < block.len());
        let slot = block.start as usize + block.head as usize + index;
        self.quantity_e8[slot] = quantity_e8;
        self.cost_e16[slot] = cost_e16;
        if block.plain {
            assert!(base_cost_e16 == cost_e16, "parts of equal costs are equal");
        } else {
            self.base_cost_e16[slot] = base_cost_e16;
        }
    }

    /// Puts another lot in the place of lot `index`.
    pub fn set(&mut self, block: &mut LotBlock, index: usize, lot: &Lot) {
        assert!(index < block.len());
        if block.plain && !lot.is_plain() {
            self.annotate(block);
        }
        let slot = block.start as usize + block.head as usize + index;
        self.write(slot, lot, block.plain);
    }

    /// From here on the block's base costs and sub-accounts stand in their columns.
    #[cold]
    fn annotate(&mut self, block: &mut LotBlock) {
        let slots = block.slots();
        self.base_cost_e16[slots.clone()].copy_from_slice(&self.cost_e16[slots.clone()]);
        self.sub_account[slots].fill(NO_NAME);
        block.plain = false;
    }

    /// Removes the `count` oldest lots.
    #[inline]
    pub fn remove_front(&mut self, block: &mut LotBlock, count: usize) {
        assert!(count <= block.len());
        block.head += count as u32;
        block.len -= count as u32;
        self.release_if_empty(block);
    }

    /// Removes the `count` newest lots.
    #[inline]
    pub fn remove_back(&mut self, block: &mut LotBlock, count: usize) {
        assert!(count <= block.len());
        block.len -= count as u32;
        self.release_if_empty(block);
    }

    /// Removes every lot whose quantity was set to zero, keeping the order of the others.
    pub fn remove_empty(&mut self, block: &mut LotBlock) {
        let slots = block.slots();
        let mut to = slots.start;
        for from in slots {
            if self.quantity_e8[from] != 0 {
                if to != from {
                    self.copy_slot(from, to, block.plain);
                }
                to += 1;
            }
        }
        block.len = (to - (block.start + block.head) as usize) as u32;
        self.release_if_empty(block);
    }

    /// Replaces all lots. The caller has asked [`Self::can_hold`].
    pub fn replace(&mut self, block: &mut LotBlock, lots: impl ExactSizeIterator<Item = Lot>) {
        let len = lots.len();
        let class = class_for(len);
        if block.class == NO_CLASS || usize::from(block.class) < class {
            self.release(block);
            *block = LotBlock { start: self.take(class), head: 0, len: 0, class: class as u8, plain: true };
        }
        (block.head, block.len, block.plain) = (0, 0, true);
        for lot in lots {
            self.push(block, lot);
        }
        self.release_if_empty(block);
    }

    #[inline]
    fn write(&mut self, slot: usize, lot: &Lot, plain: bool) {
        self.quantity_e8[slot] = lot.quantity_e8;
        self.cost_e16[slot] = lot.cost_e16;
        self.origin[slot] = lot.origin.0;
        self.price_e8[slot] = lot.price_e8;
        self.acquired[slot] = lot.acquired.0;
        if !plain {
            self.base_cost_e16[slot] = lot.base_cost_e16;
            self.sub_account[slot] = lot.sub_account;
        }
    }

    fn copy_slot(&mut self, from: usize, to: usize, plain: bool) {
        self.quantity_e8[to] = self.quantity_e8[from];
        self.cost_e16[to] = self.cost_e16[from];
        self.origin[to] = self.origin[from];
        self.price_e8[to] = self.price_e8[from];
        self.acquired[to] = self.acquired[from];
        if !plain {
            self.base_cost_e16[to] = self.base_cost_e16[from];
            self.sub_account[to] = self.sub_account[from];
        }
    }

    fn copy_block(&mut self, from: core::ops::Range<usize>, to: usize, plain: bool) {
        self.quantity_e8.copy_within(from.clone(), to);
        self.cost_e16.copy_within(from.clone(), to);
        self.origin.copy_within(from.clone(), to);
        self.price_e8.copy_within(from.clone(), to);
        self.acquired.copy_within(from.clone(), to);
        if !plain {
            self.base_cost_e16.copy_within(from.clone(), to);
            self.sub_account.copy_within(from, to);
        }
    }

    /// Moves the lots to the front of their block where at least half of it is free, so that each
    /// move is paid for by as many removals; else to a block of twice the size.
    #[cold]
    fn make_room(&mut self, block: &mut LotBlock, capacity: usize) {
        let slots = block.slots();
        let fits_here = slots.len() * 2 <= capacity;
        let next = usize::from(block.class) + 1;
        let everything = self.quantity_e8.len();
        if fits_here || (slots.len() < capacity && !(next < CLASSES && self.can_take(next, everything))) {
            self.copy_block(slots, block.start as usize, block.plain);
            block.head = 0;
            return;
        }
        assert!(next < CLASSES);
        let start = self.take(next);
        self.copy_block(slots, start as usize, block.plain);
        let (len, plain) = (block.len, block.plain);
        self.release(block);
        *block = LotBlock { start, head: 0, len, class: next as u8, plain };
    }

    fn release_if_empty(&mut self, block: &mut LotBlock) {
        if block.len == 0 {
            self.release(block);
        }
    }

    fn release(&mut self, block: &mut LotBlock) {
        if block.class != NO_CLASS {
            self.give(block.class.into(), block.start);
        }
        *block = LotBlock::EMPTY;
    }

    fn can_take(&self, class: usize, limit: usize) -> bool {
        self.used + class_slots(class) <= limit || self.free[class..].iter().any(|&f| f != NO_BLOCK)
    }

    fn take(&mut self, class: usize) -> u32 {
        let head = self.free[class];
        if head != NO_BLOCK {
            self.free[class] = self.quantity_e8[head as usize] as u32;
            return head;
        }
        if self.used + class_slots(class) <= self.quantity_e8.len() {
            let start = self.used as u32;
            self.used += class_slots(class);
            return start;
        }
        // Halve a larger free block; the second half goes to its own list.
        assert!(class + 1 < CLASSES, "can_take was asked first");
        let start = self.take(class + 1);
        self.give(class, start + class_slots(class) as u32);
        start
    }

    fn give(&mut self, class: usize, start: u32) {
        self.quantity_e8[start as usize] = i64::from(self.free[class]);
        self.free[class] = start;
    }
}

fn class_for(len: usize) -> usize {
    (len.max(LOT_BLOCK_MIN).next_power_of_two() / LOT_BLOCK_MIN).ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(n: i64) -> Lot {
        Lot {
            origin: TradeHash(n as u128),
            quantity_e8: n,
            cost_e16: i128::from(n) * 7,
            base_cost_e16: i128::from(n) * 7,
            price_e8: n,
            acquired: Date(n as i32),
            sub_account: NO_NAME,
        }
    }

    /// Every so often a lot with a base cost of its own, or with a sub-account.
    fn some_lot(n: i64) -> Lot {
        match n % 97 {
            3 => Lot { base_cost_e16: 5, ..lot(n) },
            50 => Lot { sub_account: n as u32, ..lot(n) },
            _ => lot(n),
        }
    }

    /// A naive model beside the arena, driven by a fixed pseudo-random walk over several positions.
    #[test]
    fn behaves_as_plain_lists() {
        let mut arena = LotArena::new(4096);
        let mut blocks = [LotBlock::EMPTY; 5];
        let mut models: [Vec<Lot>; 5] = core::array::from_fn(|_| Vec::new());
        let mut state = 1u64;
        for step in 1..60_000i64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (which, what) = ((state >> 33) as usize % 5, (state >> 40) % 14);
            let (block, model) = (&mut blocks[which], &mut models[which]);
            let len = model.len();
            match what {
                0..=5 if len < 300 => {
                    assert!(arena.can_push(block));
                    arena.push(block, some_lot(step));
                    model.push(some_lot(step));
                }
                6 if len > 0 => {
                    let count = 1 + (state >> 50) as usize % len;
                    arena.remove_front(block, count);
                    model.drain(..count);
                }
                7 if len > 0 => {
                    arena.remove_back(block, 1);
                    model.pop();
                }
                8 if len > 2 => {
                    arena.set_rest(block, len / 2, 0, 0, 0);
                    arena.set_rest(block, 0, 0, 0, 0);
                    arena.remove_empty(block);
                    model.remove(len / 2);
                    model.remove(0);
                }
                9 if len > 0 => {
                    let base = if block.is_plain() { 5 } else { 6 };
                    arena.set_rest(block, len - 1, step, 5, base);
                    let last = &mut model[len - 1];
                    (last.quantity_e8, last.cost_e16, last.base_cost_e16) = (step, 5, base);
                }
                10 => {
                    let lots: Vec<Lot> = (0..(state >> 45) as i64 % 90).map(|n| some_lot(step + n)).collect();
                    assert!(arena.can_hold(block, lots.len()));
                    arena.replace(block, lots.iter().copied());
                    *model = lots;
                }
                11 if len > 0 => {
                    let (index, new) = ((state >> 50) as usize % len, some_lot(step));
                    let new = Lot { acquired: model[index].acquired, ..new };
                    arena.set(block, index, &new);
                    model[index] = new;
                }
                12 if len < 300 => {
                    let new = Lot { acquired: Date((state >> 45) as i32 % step as i32), ..some_lot(step) };
                    arena.insert(block, new);
                    model.insert(model.partition_point(|held| held.acquired <= new.acquired), new);
                }
                _ => {}
            }
            assert!(arena.iter(block).eq(model.iter().copied()), "step {step}");
        }
    }

    #[test]
    fn full_is_said_before() {
        let mut arena = LotArena::new(8);
        let (mut a, mut b) = (LotBlock::EMPTY, LotBlock::EMPTY);
        for n in 0..4 {
            assert!(arena.can_push(&a));
            arena.push(&mut a, lot(n));
        }
        assert!(!arena.can_push(&a), "a block of eight is not to be had");
        assert!(arena.can_push(&b));
        arena.push(&mut b, lot(9));
        arena.remove_front(&mut b, 1);
        assert!(!arena.can_push(&a));
        arena.remove_front(&mut a, 4);
        assert!(arena.can_push(&a));
    }
}
