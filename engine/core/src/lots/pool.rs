//! Average costs, kept as pools: a restatement is a few numbers, and a lot's cost is worked out when somebody asks.
//!
//! After a reduction under `AVERAGE` (rule 5) the lots in scope hold `share(R, c_i, Q) - share(R, c_(i-1), Q)`,
//! with R and Q what was left of cost and quantity, and c_i the quantity up to and with lot i. A pool
//! keeps R and Q; the c_i are sums that the trees have. What happens to single lots afterwards is kept
//! beside it, so that the others' c_i stay as they were:
//!
//! - lots behind the last pooled one (`below`) have costs of their own, and so have those in the list of *moved* ones;
//! - a moved entry says by how much the axis of cumulated quantities differs from the quantities that
//!   are there: a pooled lot that left, gave a part or grew, a lot that was put between pooled ones;
//! - what leaves at the front is a single number (`lead`), and what leaves at the back counts for nobody.
//!
//! With more than [`LOTS_OUT_OF_POOL_MAX`] entries, or no room for a pool, all costs are written into
//! the lots. A position with a block has at most one pool, over all its lots, without moved ones.

mod scan;

use alloc::vec::Vec;

use super::tree::NIL;
use super::{Gone, LotArena, LotBlock};
use crate::amount::{Money, share};
use crate::event::Run;
use crate::id::NameId;
use crate::limits::LOTS_OUT_OF_POOL_MAX;

/// Slots of an arena for each pool.
const SLOTS_PER_POOL: usize = 8;
/// Slots of an arena for each list of moved lots.
const SLOTS_PER_LIST: usize = 512;

/// One lot, or the place of one that left: where the axis differs from the quantities.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    key: u64,
    /// Length on the axis less the quantity that is there.
    delta_e8: i64,
}

#[derive(Clone, Debug)]
struct Pool {
    /// The next pool of the position.
    next: u32,
    /// List of moved lots.
    moved: u32,
    /// The sub-account whose lots these are, or `None` for all lots of the position.
    scope: Option<NameId>,
    /// Lots from this place on are not pooled: a place in the order of the tree, or an index in a block.
    below: u64,
    /// Q.
    quantity_e8: i64,
    /// Axis before the first lot that is there.
    lead_e8: i64,
    /// R.
    cost_e16: Money,
    base_cost_e16: Money,
    /// Cost of all lots of the sub-account as it is now.
    total_e16: Money,
    total_base_e16: Money,
}

/// The pools of all positions, and their lists of moved lots.
#[derive(Debug)]
pub(super) struct Pools {
    pools: Vec<Pool>,
    free: u32,
    lists: Vec<MovedList>,
    free_lists: u32,
}

#[derive(Clone, Debug)]
struct MovedList {
    next: u32,
    len: u32,
    /// By ascending key.
    moved: [Moved; LOTS_OUT_OF_POOL_MAX],
}

impl Pools {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            pools: Vec::with_capacity(slots / SLOTS_PER_POOL + 1),
            free: NIL,
            lists: Vec::with_capacity(slots / SLOTS_PER_LIST + 1),
            free_lists: NIL,
        }
    }

    fn take(&mut self, pool: Pool) -> Option<u32> {
        if self.free != NIL {
            let id = self.free;
            self.free = self.pools[id as usize].next;
            self.pools[id as usize] = pool;
            return Some(id);
        }
        (self.pools.len() < self.pools.capacity()).then(|| {
            self.pools.push(pool);
            self.pools.len() as u32 - 1
        })
    }

    fn give(&mut self, id: u32) {
        let list = self.pools[id as usize].moved;
        if list != NIL {
            self.lists[list as usize].next = self.free_lists;
            self.free_lists = list;
        }
        self.pools[id as usize].next = self.free;
        self.free = id;
    }

    fn moved(&self, pool: &Pool) -> &[Moved] {
        if pool.moved == NIL {
            return &[];
        }
        let list = &self.lists[pool.moved as usize];
        &list.moved[..list.len as usize]
    }

    /// The list of a pool; a new one where it has none. `None`: there is no more.
    fn list(&mut self, id: u32) -> Option<&mut MovedList> {
        if self.pools[id as usize].moved == NIL {
            let list = if self.free_lists != NIL {
                let list = self.free_lists;
                self.free_lists = self.lists[list as usize].next;
                list
            } else if self.lists.len() < self.lists.capacity() {
                self.lists.push(MovedList { next: NIL, len: 0, moved: [Moved::default(); LOTS_OUT_OF_POOL_MAX] });
                self.lists.len() as u32 - 1
            } else {
                return None;
            };
            self.lists[list as usize].len = 0;
            self.pools[id as usize].moved = list;
        }
        Some(&mut self.lists[self.pools[id as usize].moved as usize])
    }
}

impl MovedList {
    fn find(&self, key: u64) -> Result<usize, usize> {
        self.moved[..self.len as usize].binary_search_by_key(&key, |moved| moved.key)
    }

    fn remove(&mut self, from: usize, count: usize) {
        self.moved.copy_within(from + count..self.len as usize, from);
        self.len -= count as u32;
    }
}

impl Pool {
    /// Cost and base cost between two places of the axis.
    #[inline]
    fn between(&self, from_e8: i64, to_e8: i64) -> (Money, Money) {
        let up_to = |total, part| if part == 0 { 0 } else { share(total, part, self.quantity_e8) };
        let cost = up_to(self.cost_e16, to_e8) - up_to(self.cost_e16, from_e8);
        if self.base_cost_e16 == self.cost_e16 {
            return (cost, cost);
        }
        (cost, up_to(self.base_cost_e16, to_e8) - up_to(self.base_cost_e16, from_e8))
    }
}

/// A walk over the lots of a pool's scope, in order: each lot's cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pool: u32,
    /// Moved entries that are behind.
    passed: usize,
    at_e8: i64,
}

impl LotArena {
    /// The walk over a pool that holds all lots of the position, where there is one, from lot `index` on.
    pub(super) fn axis(&self, block: &LotBlock, index: usize) -> Option<Axis> {
        let pool = self.pools.pools.get(block.pool as usize).filter(|pool| pool.scope.is_none())?;
        let mut axis = Axis { pool: block.pool, passed: 0, at_e8: pool.lead_e8 };
        if block.is_large() && index > 0 && index < block.len() {
            let key = self.order_of(self.all.at(block.start, index) as usize);
            axis.at_e8 += self.all.before(block.start, key).1;
            for moved in self.pools.moved(pool).iter().take_while(|moved| moved.key < key) {
                axis.at_e8 += moved.delta_e8;
                axis.passed += 1;
            }
        } else if !block.is_large() {
            let before = self.block_slots(block).take(index);
            axis.at_e8 += before.map(|at| self.slots[at].quantity_e8).sum::<i64>();
        }
        Some(axis)
    }

    /// Cost and base cost of the next lot of the walk: at this place in the order, in this slot.
    #[inline]
    pub(super) fn next_cost(&self, axis: &mut Axis, key: u64, at: usize) -> (Money, Money) {
        let pool = &self.pools.pools[axis.pool as usize];
        let slot = &self.slots[at];
        let moved = self.pools.moved(pool);
        while let Some(left) = moved.get(axis.passed).filter(|left| left.key < key) {
            axis.at_e8 += left.delta_e8;
            axis.passed += 1;
        }
        if let Some(own) = moved.get(axis.passed).filter(|own| own.key == key) {
            axis.at_e8 += slot.quantity_e8 + own.delta_e8;
            axis.passed += 1;
        } else if key < pool.below {
            let from_e8 = axis.at_e8;
            axis.at_e8 += slot.quantity_e8;
            return pool.between(from_e8, axis.at_e8);
        }
        (slot.cost_e16, slot.base_cost_e16)
    }

    /// Cost and base cost of one lot of a position with pools.
    #[cold]
    pub(super) fn pooled_cost(&self, block: &LotBlock, index: usize, at: usize) -> (Money, Money) {
        let slot = &self.slots[at];
        if !block.is_large() {
            return self
                .axis(block, index)
                .map_or((slot.cost_e16, slot.base_cost_e16), |mut axis| self.next_cost(&mut axis, index as u64, at));
        }
        let held = (slot.cost_e16, slot.base_cost_e16);
        let Some(id) = self.pool_of(block, slot.sub_account) else { return held };
        let (pool, key) = (&self.pools.pools[id as usize], self.order_of(at));
        let moved = self.pools.moved(pool);
        if key >= pool.below || moved.iter().any(|moved| moved.key == key) {
            return held;
        }
        let before: i64 = moved.iter().take_while(|moved| moved.key < key).map(|moved| moved.delta_e8).sum();
        let from_e8 = pool.lead_e8 + before + self.before_in_scope(block, pool.scope, key).1;
        pool.between(from_e8, from_e8 + slot.quantity_e8)
    }

    /// Number and quantity of the lots in scope before a place in the order of a tree.
    fn before_in_scope(&self, block: &LotBlock, scope: Option<NameId>, key: u64) -> (usize, i64) {
        match scope.filter(|_| block.subs != NIL) {
            None => self.all.before(block.start, key),
            Some(sub_account) => {
                let (start, start_e8) = self.subs.before(block.subs, (sub_account, 0));
                let (rank, until_e8) = self.subs.before(block.subs, (sub_account, key));
                (rank - start, until_e8 - start_e8)
            }
        }
    }

    /// The pool that a lot of this sub-account may be in.
    fn pool_of(&self, block: &LotBlock, sub_account: NameId) -> Option<u32> {
        self.pool_with(block, |scope| scope.is_none_or(|named| named == sub_account))
    }

    fn pool_with(&self, block: &LotBlock, wanted: impl Fn(Option<NameId>) -> bool) -> Option<u32> {
        let mut id = block.pool;
        while id != NIL {
            let pool = &self.pools.pools[id as usize];
            if wanted(pool.scope) {
                return Some(id);
            }
            id = pool.next;
        }
        None
    }

    /// Lot `index` gets a cost of its own, before `taken_e8` of its quantity leaves (or joins, where negative).
    #[cold]
    pub(super) fn leave_pool(&mut self, block: &mut LotBlock, index: usize, taken_e8: i64) {
        self.unpool(block, index, taken_e8, false);
    }

    /// Lot `index` gets a cost of its own, before all of it leaves.
    #[cold]
    pub(super) fn leave_pool_for_good(&mut self, block: &mut LotBlock, index: usize) {
        let quantity_e8 = self.slots[self.slot_at(block, index)].quantity_e8;
        self.unpool(block, index, quantity_e8, true);
    }

    fn unpool(&mut self, block: &mut LotBlock, index: usize, taken_e8: i64, for_good: bool) {
        if !block.is_large() {
            self.leave_all_pools(block);
            return;
        }
        let at = self.slot_at(block, index);
        let Some(id) = self.pool_of(block, self.slots[at].sub_account) else { return };
        let key = self.order_of(at);
        if key >= self.pools.pools[id as usize].below {
            return;
        }
        let (cost_e16, base_cost_e16) = self.pooled_cost(block, index, at);
        (self.slots[at].cost_e16, self.slots[at].base_cost_e16) = (cost_e16, base_cost_e16);
        let scope = self.pools.pools[id as usize].scope;
        let is_first = for_good && self.before_in_scope(block, scope, key).0 == 0;
        if !self.note(id, key, taken_e8, for_good, is_first) {
            self.leave_all_pools(block);
        }
    }

    /// Notes at a place of the axis that its quantity gets less. `false`: there is no room for the entry.
    fn note(&mut self, id: u32, key: u64, taken_e8: i64, for_good: bool, is_first: bool) -> bool {
        let pool = &mut self.pools.pools[id as usize];
        let is_last = for_good && key + 1 == pool.below;
        if is_last {
            // Nobody pooled stands behind it.
            pool.below = key;
        }
        if pool.moved == NIL && (is_first || is_last) {
            pool.lead_e8 += if is_first { taken_e8 } else { 0 };
            return true;
        }
        let Some(list) = self.pools.list(id) else { return false };
        let found = list.find(key);
        let delta_e8 = taken_e8 + found.map_or(0, |at| list.moved[at].delta_e8);
        let (Ok(place) | Err(place)) = found;
        if is_first {
            // Whatever left before it goes into the lead with it.
            let before: i64 = list.moved[..place].iter().map(|moved| moved.delta_e8).sum();
            list.remove(0, place + usize::from(found.is_ok()));
            self.pools.pools[id as usize].lead_e8 += before + delta_e8;
        } else if is_last || (for_good && delta_e8 == 0) {
            if found.is_ok() {
                list.remove(place, 1);
            }
        } else if found.is_ok() {
            list.moved[place].delta_e8 = delta_e8;
        } else if (list.len as usize) < LOTS_OUT_OF_POOL_MAX {
            list.moved.copy_within(place..list.len as usize, place + 1);
            list.moved[place] = Moved { key, delta_e8 };
            list.len += 1;
        } else {
            return false;
        }
        true
    }

    /// In a block, a lot is about to be put before lot `index`.
    pub(super) fn leave_pools_for_insertion(&mut self, block: &mut LotBlock, index: usize) {
        let pooled = self.pools.pools.get(block.pool as usize).is_some_and(|pool| (index as u64) < pool.below);
        if pooled {
            self.leave_all_pools(block);
        }
    }

    /// A lot was opened in a tree.
    #[cold]
    pub(super) fn open_beside_pool(&mut self, block: &mut LotBlock, at: usize) {
        let slot = self.slots[at];
        self.count_in_pool(block, slot.sub_account, slot.cost_e16, slot.base_cost_e16);
        let Some(id) = self.pool_of(block, slot.sub_account) else { return };
        let key = self.order_of(at);
        if key >= self.pools.pools[id as usize].below || self.note(id, key, -slot.quantity_e8, false, false) {
            return;
        }
        // The other lots' costs are worked out as if it were not there yet.
        self.write_costs(block, Some(at));
        self.drop_pools(block);
    }

    /// The cost of a sub-account's lots changed.
    #[inline]
    pub(super) fn count_in_pool(&mut self, block: &LotBlock, sub_account: NameId, cost_e16: Money, base_e16: Money) {
        if block.pool == NIL {
            return;
        }
        if let Some(id) = self.pool_with(block, |scope| scope == Some(sub_account)) {
            let pool = &mut self.pools.pools[id as usize];
            pool.total_e16 += cost_e16;
            pool.total_base_e16 += base_e16;
        }
    }

    /// Writes the costs of all lots into them.
    #[cold]
    pub(super) fn leave_all_pools(&mut self, block: &mut LotBlock) {
        if block.pool != NIL {
            self.write_costs(block, None);
            self.drop_pools(block);
        }
    }

    /// Writes pooled costs into the lots. `new`: a lot that is in the tree already and not in its pool.
    fn write_costs(&mut self, block: &LotBlock, new: Option<usize>) {
        let mut id = block.pool;
        while id != NIL {
            let (scope, next) = (self.pools.pools[id as usize].scope, self.pools.pools[id as usize].next);
            let mut axis = Axis { pool: id, passed: 0, at_e8: self.pools.pools[id as usize].lead_e8 };
            let mut walk = self.walk(block, scope);
            while let Some((key, at)) = self.step(block, &mut walk) {
                if new != Some(at) {
                    let (cost_e16, base_cost_e16) = self.next_cost(&mut axis, key, at);
                    (self.slots[at].cost_e16, self.slots[at].base_cost_e16) = (cost_e16, base_cost_e16);
                }
            }
            id = next;
        }
    }

    /// Forgets the pools; the lots' costs are then what is written in them.
    pub(super) fn drop_pools(&mut self, block: &mut LotBlock) {
        while block.pool != NIL {
            let next = self.pools.pools[block.pool as usize].next;
            self.pools.give(block.pool);
            block.pool = next;
        }
    }

    /// Cost and base cost of a sub-account's lots, and their quantity.
    #[must_use]
    pub fn totals_of(&self, block: &LotBlock, sub_account: NameId) -> Gone {
        let pool = self.pool_with(block, |scope| scope == Some(sub_account));
        if let Some(pool) = pool.filter(|_| block.subs != NIL) {
            let pool = &self.pools.pools[pool as usize];
            let quantity_e8 = self.subs_range(block, sub_account).1;
            return Gone { quantity_e8, cost_e16: pool.total_e16, base_cost_e16: pool.total_base_e16 };
        }
        let mut total = Gone::default();
        let mut count = |quantity_e8, (cost_e16, base_cost_e16)| {
            total.quantity_e8 += quantity_e8;
            total.cost_e16 += cost_e16;
            total.base_cost_e16 += base_cost_e16;
        };
        if block.subs == NIL {
            for lot in self.iter(block).filter(|lot| lot.sub_account == sub_account) {
                count(lot.quantity_e8, (lot.cost_e16, lot.base_cost_e16));
            }
            return total;
        }
        let mut walk = self.walk(block, Some(sub_account));
        while let Some((_, at)) = self.step(block, &mut walk) {
            let slot = &self.slots[at];
            let pooled = block.pool != NIL;
            let cost = if pooled { self.pooled_cost(block, 0, at) } else { (slot.cost_e16, slot.base_cost_e16) };
            count(slot.quantity_e8, cost);
        }
        total
    }

    /// Takes lots out whose cost comes from the pool of their scope, and states the others' costs anew from what is
    /// left of it. `scope`: the sub-account whose lots form the pool, or `None` for all lots. `taken`: cost
    /// and base cost that leave. `left`: what is left of all lots' then.
    ///
    /// # Errors
    /// [`super::BadRuns`].
    pub fn take_averaged(
        &mut self,
        block: &mut LotBlock,
        runs: &[Run],
        scope: Option<NameId>,
        taken: (Money, Money),
        left: (Money, Money),
    ) -> Result<i64, super::BadRuns> {
        super::check_runs(block, runs)?;
        // Where no lot of a tree names a sub-account, those without one are all.
        let scope = scope.filter(|_| !block.is_large() || block.subs != NIL);
        if self.pool_with(block, |other| other.is_none() != scope.is_none()).is_some() {
            // Averaged over other lots so far.
            self.leave_all_pools(block);
        }
        let left = scope.map_or(left, |sub_account| {
            let total = self.totals_of(block, sub_account);
            (total.cost_e16 - taken.0, total.base_cost_e16 - taken.1)
        });
        self.drop_pool(block, scope);
        (block.averaged, block.costs) = (true, 0);
        let mut gone = Gone::default();
        for run in runs.iter().rev() {
            self.take_quantity(block, run, &mut gone.quantity_e8)?;
        }
        self.tidy(block);
        self.restate(block, scope, left);
        Ok(gone.quantity_e8)
    }

    fn drop_pool(&mut self, block: &mut LotBlock, scope: Option<NameId>) {
        let (mut before, mut id) = (NIL, block.pool);
        while id != NIL && self.pools.pools[id as usize].scope != scope {
            (before, id) = (id, self.pools.pools[id as usize].next);
        }
        if id == NIL {
            return;
        }
        let next = self.pools.pools[id as usize].next;
        if before == NIL {
            block.pool = next;
        } else {
            self.pools.pools[before as usize].next = next;
        }
        self.pools.give(id);
    }

    fn take_quantity(&mut self, block: &mut LotBlock, run: &Run, gone_e8: &mut i64) -> Result<(), super::BadRuns> {
        let index = run.from as usize;
        if run.part_quantity_e8 > 0 {
            let at = self.slot_at(block, index);
            let slot = &mut self.slots[at];
            if run.part_quantity_e8 >= slot.quantity_e8 {
                return Err(super::BadRuns);
            }
            block.count_out(slot);
            slot.quantity_e8 -= run.part_quantity_e8;
            block.count_in(slot);
            *gone_e8 += run.part_quantity_e8;
            if block.is_large() {
                self.update_tree(block, at);
            }
            return Ok(());
        }
        if !block.is_large() {
            let first = self.block_slots(block).start + index;
            for slot in &self.slots[first..first + run.count as usize] {
                block.count_out(slot);
                *gone_e8 += slot.quantity_e8;
            }
            self.close_gap(block, run.from, run.count);
            return Ok(());
        }
        let mut left = run.count as usize;
        while left > 0 {
            let (slots, count) = self.cut(block, index, left);
            for &at in &slots[..count] {
                block.count_out(&self.slots[at as usize]);
                *gone_e8 += self.slots[at as usize].quantity_e8;
            }
            left -= count;
        }
        Ok(())
    }

    /// States the costs of the lots in scope anew: they sum to these.
    fn restate(&mut self, block: &mut LotBlock, scope: Option<NameId>, (cost_e16, base_cost_e16): (Money, Money)) {
        let (quantity_e8, below) = match scope {
            _ if block.is_empty() => return,
            None if !block.is_large() => {
                (self.block_slots(block).map(|at| self.slots[at].quantity_e8).sum(), u64::from(block.len))
            }
            _ if block.is_large() => {
                let (count, quantity_e8) = self.before_in_scope(block, scope, u64::MAX);
                if count == 0 {
                    return;
                }
                // Behind the last lot in scope, and before whatever will be opened on the same date.
                let last = match scope.filter(|_| block.subs != NIL) {
                    None => self.all.at(block.start, count - 1),
                    Some(sub_account) => {
                        self.subs.at(block.subs, self.subs.before(block.subs, (sub_account, u64::MAX)).0 - 1)
                    }
                };
                (quantity_e8, self.order_of(last as usize) + 1)
            }
            Some(sub_account) => (self.totals_of(block, sub_account).quantity_e8, u64::MAX),
            None => unreachable!("a block or a tree"),
        };
        if quantity_e8 == 0 {
            return;
        }
        let pool = Pool {
            next: block.pool,
            moved: NIL,
            scope,
            below,
            quantity_e8,
            lead_e8: 0,
            cost_e16,
            base_cost_e16,
            total_e16: cost_e16,
            total_base_e16: base_cost_e16,
        };
        let may_keep = block.is_large() || scope.is_none();
        let kept = if may_keep { self.pools.take(pool.clone()) } else { None };
        match kept {
            Some(id) => block.pool = id,
            None => self.write_shares(block, &pool),
        }
    }

    /// The same without a pool: the costs are written into the lots.
    fn write_shares(&mut self, block: &LotBlock, pool: &Pool) {
        let (mut walk, mut at_e8) = (self.walk(block, pool.scope), 0);
        while let Some((_, at)) = self.step(block, &mut walk) {
            let to_e8 = at_e8 + self.slots[at].quantity_e8;
            (self.slots[at].cost_e16, self.slots[at].base_cost_e16) = pool.between(at_e8, to_e8);
            at_e8 = to_e8;
        }
    }
}
