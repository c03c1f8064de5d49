//! The open lots of all positions, in one arena made at the start.
//!
//! A lot is a slot of one cache line; beside the slots lie the origins, which most trades never read.
//! A position with few lots has a *block*: consecutive slots in lot order (rule 5 of `docs/rules.md`), so that taking
//! the oldest moves one number. Beyond a block's 64 its lots become slots of their own, ordered by
//! a counted tree ([`tree`]), with a second tree by sub-account once a lot names one, and an entry in
//! the table of origins: every way of choosing, and every change, takes steps that grow with the logarithm of
//! the number of lots. Average costs are kept as pools ([`pool`]) and worked out for whoever asks.
//!
//! A lot is named by its *index*: how many lots of the position stand before it in lot order. Nothing
//! depends on where a lot lies, so two books that came to a state on different ways go on alike.
//! Nothing here allocates after [`LotArena::new`].

mod large;
mod origins;
mod pages;
mod pool;
mod scope;
mod small;
#[cfg(test)]
mod tests;
mod tree;
#[cfg(test)]
mod tree_tests;
mod walk;

use alloc::vec::Vec;

use origins::Origins;
use pages::{PAGE_SLOTS, Pages};
use pool::Pools;
pub(crate) use scope::{Candidate, Held, Ranking, Scope, Tax};
pub(crate) use tree::Extreme;
use tree::{Forest, NIL};
pub use walk::Lots;

use crate::amount::{Money, share};
use crate::date::Date;
use crate::digest;
use crate::event::Run;
use crate::id::{NameId, TradeHash};
use crate::limits::{LOT_BLOCK_SLOTS_MAX, LOT_BLOCK_SLOTS_MIN, LOTS_PER_POSITION_MAX};

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

/// A lot as it lies in the arena.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Slot {
    /// Meaningless while the lot is pooled.
    cost_e16: Money,
    base_cost_e16: Money,
    quantity_e8: i64,
    price_e8: i64,
    /// Digest of what stays the same: position, origin, price, acquisition, sub-account.
    tag: u64,
    acquired: i32,
    sub_account: NameId,
}

const _: () = assert!(size_of::<Slot>() == 64);

/// A position's lots are nowhere, ...
const EMPTY: u8 = u8::MAX;
/// ... in a tree, or else in a block of this class of run.
const LARGE: u8 = u8::MAX - 1;
/// Class of the smallest and of the largest block.
const BLOCK_MIN: u8 = LOT_BLOCK_SLOTS_MIN.ilog2() as u8;
const BLOCK_MAX: u8 = LOT_BLOCK_SLOTS_MAX.ilog2() as u8;
const _: () = assert!(LOT_BLOCK_SLOTS_MAX == PAGE_SLOTS);
/// A tree with this many lots or fewer becomes a block again: far below where it became a tree, so that a position
/// that goes up and down around one number does not move each time.
const BACK_TO_BLOCK: u32 = LOT_BLOCK_SLOTS_MAX as u32 / 4;
/// Nodes that a position may need for one more lot, its turning from a block into a tree included.
const NODES_FOR_ONE: usize = 32;

/// Where a position's lots are, and their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotBlock {
    /// First slot of the block, or root of the tree.
    start: u32,
    len: u32,
    /// Root of the tree by sub-account, while there is one.
    subs: u32,
    /// Number for the next lot in a tree: orders lots of one date.
    opened: u32,
    /// First pool of average costs.
    pool: u32,
    /// Slots before the first lot of a block.
    head: u8,
    form: u8,
    averaged: bool,
    quantities: u64,
    costs: u64,
}

impl LotBlock {
    /// No lots.
    pub const EMPTY: Self = Self {
        start: NIL,
        len: 0,
        subs: NIL,
        opened: 0,
        pool: NIL,
        head: 0,
        form: EMPTY,
        averaged: false,
        quantities: 0,
        costs: 0,
    };

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

    /// Whether costs were averaged since the position was flat. From then on its digests hold its costs as sums only.
    #[inline]
    #[must_use]
    pub fn is_averaged(&self) -> bool {
        self.averaged
    }

    /// Sums of the digests of the lots' quantities and of their costs.
    #[inline]
    pub(crate) fn digests(&self) -> (u64, u64) {
        (self.quantities, self.costs)
    }

    /// How the lots lie, for images.
    pub(crate) fn form(&self) -> u8 {
        self.form
    }

    #[inline]
    pub(crate) fn is_large(&self) -> bool {
        self.form == LARGE
    }

    #[inline]
    fn count_in(&mut self, slot: &Slot) {
        self.quantities = self.quantities.wrapping_add(digest::lot_quantity(slot.tag, slot.quantity_e8));
        if !self.averaged {
            self.costs = self.costs.wrapping_add(digest::lot_cost(slot.tag, slot.cost_e16, slot.base_cost_e16));
        }
    }

    #[inline]
    fn count_out(&mut self, slot: &Slot) {
        self.quantities = self.quantities.wrapping_sub(digest::lot_quantity(slot.tag, slot.quantity_e8));
        if !self.averaged {
            self.costs = self.costs.wrapping_sub(digest::lot_cost(slot.tag, slot.cost_e16, slot.base_cost_e16));
        }
    }
}

/// What left the lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Quantity.
    pub quantity_e8: i64,
    /// Cost; zero where it comes from a pool.
    pub cost_e16: Money,
    /// Base cost; zero where it comes from a pool.
    pub base_cost_e16: Money,
}

/// Runs that name lots which are not there, or not as they say. The lots may have changed by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRuns;

/// The lots of a book.
#[derive(Debug)]
pub struct LotArena {
    slots: Vec<Slot>,
    origins: Vec<u128>,
    /// Of lots in a tree: their number among the position's openings.
    opened: Vec<u32>,
    pages: Pages,
    all: Forest<u64>,
    subs: Forest<(NameId, u64)>,
    by_origin: Origins,
    pools: Pools,
    /// Slots that decisions may use. What is beyond serves events that were decided already: where
    /// lots lie depends on the way by which a book came to its state, and an event must apply on all ways.
    limit: usize,
}

/// Who asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// A decision, within the limit.
    Decide,
    /// An event, within all that there is.
    Apply,
}

impl LotArena {
    /// Room for `limit` lots, the slack of blocks included. The memory is touched when used.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let slots = (limit + limit / 2).next_multiple_of(PAGE_SLOTS) + PAGE_SLOTS;
        assert!(slots < NIL as usize);
        // A tree has at most a quarter as many nodes as lots, when it was thinned out everywhere; as it fills, an eighth.
        let nodes = slots / 6 + 2 * NODES_FOR_ONE;
        Self {
            slots: Vec::with_capacity(slots),
            origins: Vec::with_capacity(slots),
            opened: Vec::with_capacity(slots),
            pages: Pages::new(slots),
            all: Forest::new(nodes),
            subs: Forest::new(nodes),
            by_origin: Origins::new(slots),
            pools: Pools::new(slots),
            limit,
        }
    }

    /// Lot number `index` of a position.
    #[inline]
    #[must_use]
    pub fn get(&self, block: &LotBlock, index: usize) -> Lot {
        let slot = self.slot_at(block, index);
        let (cost_e16, base_cost_e16) = if block.pool == NIL {
            let held = &self.slots[slot];
            (held.cost_e16, held.base_cost_e16)
        } else {
            self.pooled_cost(block, index, slot)
        };
        self.lot(slot, cost_e16, base_cost_e16)
    }

    /// All lots of a position, in lot order.
    #[must_use]
    pub fn iter<'a>(&'a self, block: &'a LotBlock) -> Lots<'a> {
        self.range(block, 0, block.len())
    }

    /// Lots `from .. from + count` of a position.
    #[must_use]
    pub fn range<'a>(&'a self, block: &'a LotBlock, from: usize, count: usize) -> Lots<'a> {
        Lots::new(self, block, from, count)
    }

    /// The place of the open lot that this trade opened.
    #[must_use]
    pub fn find(&self, block: &LotBlock, origin: TradeHash) -> Option<usize> {
        if block.is_large() {
            return self.find_large(block, origin.0);
        }
        self.origins[self.block_slots(block)].iter().position(|&held| held == origin.0)
    }

    /// Whether a decision may open another lot.
    #[inline]
    #[must_use]
    pub fn can_open(&self, block: &LotBlock) -> bool {
        self.has_room(block, Room::Decide)
    }

    /// Whether [`Self::open`] would find room: more than decisions may use.
    #[inline]
    #[must_use]
    pub fn can_apply_open(&self, block: &LotBlock) -> bool {
        self.has_room(block, Room::Apply)
    }

    #[inline]
    fn has_room(&self, block: &LotBlock, room: Room) -> bool {
        if block.form <= BLOCK_MAX && self.fits_in_block(block) {
            return true;
        }
        let next = match block.form {
            EMPTY => BLOCK_MIN,
            LARGE => u8::MAX,
            class => class + 1,
        };
        (next <= BLOCK_MAX && self.can_take_run(next, room)) || self.can_take_singles(1, room, block.len() + 1)
    }

    fn can_take_run(&self, class: u8, room: Room) -> bool {
        let within = room == Room::Apply || self.pages.taken() + (1 << class) <= self.limit;
        within && self.pages.can_take(class.into())
    }

    /// Whether a tree of `len` lots may be, `count` of them in slots that are still to be had.
    fn can_take_singles(&self, count: usize, room: Room, len: usize) -> bool {
        let nodes = |taken: usize, capacity: usize| match room {
            Room::Decide => taken + NODES_FOR_ONE + count / 4 <= capacity * 2 / 3,
            Room::Apply => taken + NODES_FOR_ONE + count / 4 <= capacity,
        };
        (room == Room::Apply || self.pages.taken() + count <= self.limit)
            && self.pages.can_take_singles(count)
            && nodes(self.all.taken(), self.all.capacity())
            && nodes(self.subs.taken(), self.subs.capacity())
            && len <= LOTS_PER_POSITION_MAX
    }

    /// Whether a correction to `len` lots may be accepted.
    #[must_use]
    pub fn can_hold(&self, block: &LotBlock, len: usize) -> bool {
        self.holds(block, len, Room::Decide)
    }

    /// Whether [`Self::replace`] by `len` lots would find room: more than decisions may use.
    #[must_use]
    pub fn can_apply_replace(&self, block: &LotBlock, len: usize) -> bool {
        self.holds(block, len, Room::Apply)
    }

    fn holds(&self, block: &LotBlock, len: usize, room: Room) -> bool {
        let class = class_for(len);
        class.is_some_and(|class| block.form <= BLOCK_MAX && block.form >= class)
            || class.is_some_and(|class| self.can_take_run(class, room))
            || self.can_take_singles(len, room, len)
    }

    /// Puts lots into a block or a tree as an image says. They come in lot order. `false`: there is no room for them.
    pub fn restore(
        &mut self,
        block: &mut LotBlock,
        form: u8,
        averaged: bool,
        lots: impl ExactSizeIterator<Item = Lot>,
        tag: impl Fn(&Lot) -> u64,
    ) -> bool {
        *block = LotBlock { averaged, ..LotBlock::EMPTY };
        let fits = match form {
            EMPTY => lots.len() == 0,
            LARGE => self.can_take_singles(lots.len(), Room::Apply, lots.len()),
            BLOCK_MIN..=BLOCK_MAX => lots.len() <= 1 << form && self.can_take_run(form, Room::Apply),
            _ => false,
        };
        if fits && form != EMPTY {
            if form != LARGE {
                block.start = self.take_run(form);
            }
            block.form = form;
            for lot in lots {
                let tag = tag(&lot);
                self.open(block, &lot, tag);
            }
        }
        fits
    }

    /// Opens a lot at its place in lot order: behind those that are held for as long or longer. The caller has asked
    /// [`Self::can_open`]. `tag`: [`digest::lot_tag`].
    #[inline]
    pub fn open(&mut self, block: &mut LotBlock, lot: &Lot, tag: u64) {
        let slot = Slot {
            cost_e16: lot.cost_e16,
            base_cost_e16: lot.base_cost_e16,
            quantity_e8: lot.quantity_e8,
            price_e8: lot.price_e8,
            tag,
            acquired: lot.acquired.0,
            sub_account: lot.sub_account,
        };
        block.count_in(&slot);
        if !block.is_large() && self.make_room(block) {
            self.open_in_block(block, &slot, lot.origin.0);
        } else {
            self.open_in_tree(block, &slot, lot.origin.0);
        }
    }

    /// Adds to lot `index`; its price and tag are new. Gives the lot as it is then.
    pub fn enlarge(
        &mut self,
        block: &mut LotBlock,
        index: usize,
        more: &Gone,
        price_e8: i64,
        tag: impl Fn(&Lot) -> u64,
    ) {
        if block.pool != NIL {
            self.leave_pool(block, index, -more.quantity_e8);
        }
        let at = self.slot_at(block, index);
        let mut slot = self.slots[at];
        block.count_out(&slot);
        slot.quantity_e8 += more.quantity_e8;
        slot.cost_e16 += more.cost_e16;
        slot.base_cost_e16 += more.base_cost_e16;
        slot.price_e8 = price_e8;
        self.slots[at] = slot;
        slot.tag = tag(&self.lot(at, slot.cost_e16, slot.base_cost_e16));
        self.slots[at] = slot;
        block.count_in(&slot);
        self.count_in_pool(block, slot.sub_account, more.cost_e16, more.base_cost_e16);
        if block.is_large() {
            self.update_tree(block, at);
        }
    }

    /// Takes lots out as the runs say; indexes are those before the first of them, ascending.
    ///
    /// # Errors
    /// [`BadRuns`].
    #[inline]
    pub fn take(&mut self, block: &mut LotBlock, runs: &[Run]) -> Result<Gone, BadRuns> {
        check_runs(block, runs)?;
        let mut gone = Gone::default();
        // From behind, so that what is taken does not move what is still to be taken.
        for run in runs.iter().rev() {
            if run.part_quantity_e8 > 0 {
                self.take_part(block, run, &mut gone)?;
            } else if block.is_large() {
                self.take_whole_from_tree(block, run, &mut gone);
            } else {
                self.take_whole_from_block(block, run, &mut gone);
            }
        }
        self.tidy(block);
        Ok(gone)
    }

    fn take_part(&mut self, block: &mut LotBlock, run: &Run, gone: &mut Gone) -> Result<(), BadRuns> {
        let index = run.from as usize;
        if block.pool != NIL {
            self.leave_pool(block, index, run.part_quantity_e8);
        }
        let at = self.slot_at(block, index);
        let slot = &mut self.slots[at];
        if run.part_quantity_e8 >= slot.quantity_e8 {
            return Err(BadRuns);
        }
        block.count_out(slot);
        let base_cost_e16 = if slot.base_cost_e16 == slot.cost_e16 {
            run.part_cost_e16
        } else {
            share(slot.base_cost_e16, run.part_quantity_e8, slot.quantity_e8)
        };
        slot.quantity_e8 -= run.part_quantity_e8;
        slot.cost_e16 -= run.part_cost_e16;
        slot.base_cost_e16 -= base_cost_e16;
        block.count_in(slot);
        let sub_account = slot.sub_account;
        gone.quantity_e8 += run.part_quantity_e8;
        gone.cost_e16 += run.part_cost_e16;
        gone.base_cost_e16 += base_cost_e16;
        self.count_in_pool(block, sub_account, -run.part_cost_e16, -base_cost_e16);
        if block.is_large() {
            self.update_tree(block, at);
        }
        Ok(())
    }

    /// After lots were taken: a tree with few lots becomes a block, nothing left is [`LotBlock::EMPTY`].
    #[inline]
    fn tidy(&mut self, block: &mut LotBlock) {
        if block.len == 0 {
            self.release(block);
            *block = LotBlock::EMPTY;
        } else if block.is_large() && block.len <= BACK_TO_BLOCK {
            self.back_to_block(block);
        }
    }

    /// Replaces all lots by others, which come in lot order. The caller has asked [`Self::can_hold`].
    pub fn replace(
        &mut self,
        block: &mut LotBlock,
        averaged: bool,
        lots: impl ExactSizeIterator<Item = Lot>,
        tag: impl Fn(&Lot) -> u64,
    ) {
        self.release(block);
        *block = LotBlock { averaged, ..LotBlock::EMPTY };
        let len = lots.len();
        if let Some(class) = class_for(len).filter(|&class| len > 0 && self.pages.can_take(class.into())) {
            (block.start, block.form) = (self.take_run(class), class);
        } else if len > 0 {
            block.form = LARGE;
        }
        for lot in lots {
            let tag = tag(&lot);
            self.open(block, &lot, tag);
        }
        if len == 0 {
            *block = LotBlock::EMPTY;
        }
    }

    /// The digests of a position's lots, worked out anew: what [`LotBlock`] keeps step by step.
    #[must_use]
    pub(crate) fn digests_anew(&self, block: &LotBlock) -> (u64, u64) {
        let mut anew = LotBlock { quantities: 0, costs: 0, ..*block };
        for index in 0..block.len() {
            anew.count_in(&self.slots[self.slot_at(block, index)]);
        }
        anew.digests()
    }

    #[inline]
    fn slot_at(&self, block: &LotBlock, index: usize) -> usize {
        assert!(index < block.len());
        if block.is_large() {
            return self.all.at(block.start, index) as usize;
        }
        block.start as usize + usize::from(block.head) + index
    }

    #[inline]
    fn lot(&self, at: usize, cost_e16: Money, base_cost_e16: Money) -> Lot {
        let slot = &self.slots[at];
        Lot {
            origin: TradeHash(self.origins[at]),
            quantity_e8: slot.quantity_e8,
            cost_e16,
            base_cost_e16,
            price_e8: slot.price_e8,
            acquired: Date(slot.acquired),
            sub_account: slot.sub_account,
        }
    }

    /// Takes a run of slots, and brings a page into being where it is a new one.
    #[inline]
    fn take_run(&mut self, class: u8) -> u32 {
        let start = self.pages.take(class.into());
        if self.pages.used() > self.slots.len() {
            // Within what was reserved: pages come one by one.
            self.slots.resize(self.pages.used(), Slot::default());
            self.origins.resize(self.pages.used(), 0);
            self.opened.resize(self.pages.used(), 0);
        }
        start
    }

    fn release(&mut self, block: &mut LotBlock) {
        self.drop_pools(block);
        match block.form {
            EMPTY => {}
            LARGE => self.release_tree(block),
            class => self.pages.give(block.start, class.into()),
        }
    }
}

#[inline]
fn check_runs(block: &LotBlock, runs: &[Run]) -> Result<(), BadRuns> {
    let mut end = 0;
    for run in runs {
        let count = if run.part_quantity_e8 == 0 { run.count } else { 1 };
        let fits = run.from >= end && count > 0 && run.part_quantity_e8 >= 0 && run.count == count;
        end = run.from.checked_add(count).filter(|_| fits).ok_or(BadRuns)?;
    }
    if end <= block.len { Ok(()) } else { Err(BadRuns) }
}

/// The smallest block for so many lots; `None`: a tree.
fn class_for(len: usize) -> Option<u8> {
    let slots = len.max(LOT_BLOCK_SLOTS_MIN).next_power_of_two();
    (slots <= LOT_BLOCK_SLOTS_MAX).then(|| slots.ilog2() as u8)
}

/// The place of a lot in the order of a tree: the date it is held from, then the order of opening.
#[inline]
fn order(acquired: i32, opened: u32) -> u64 {
    u64::from(acquired as u32 ^ 1 << 31) << 32 | u64::from(opened)
}
