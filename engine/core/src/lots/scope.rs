//! The lots that a reduction may take: all of a position, those of a sub-account, or those of all others.
//!
//! In lot order, from either end; or one by one by what taking them does to the result. Every lot is
//! given with its index in the position, whatever tree it was found in.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use super::tree::{Cursor, Entry, Forest};
use super::{Extreme, LotArena, LotBlock, NIL, order};
use crate::amount::{Money, share};
use crate::id::{NO_NAME, NameId};
use crate::rules::TaxRates;

/// Which lots may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All.
    All,
    /// Those of one sub-account; `NO_NAME`: those without one.
    Only(NameId),
    /// All but those.
    Except(NameId),
}

impl Scope {
    #[inline]
    fn holds(self, sub_account: NameId) -> bool {
        match self {
            Self::All => true,
            Self::Only(own) => sub_account == own,
            Self::Except(own) => sub_account != own,
        }
    }
}

/// A lot that may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub index: u32,
    at: u32,
    pub quantity_e8: i64,
}

/// What the result ranks by: the least first, of equals the first in lot order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ranking {
    /// By price alone.
    Price(Extreme),
    /// By the tax that a unit causes.
    Tax(Tax),
}

/// `MIN_TAX` of rule 5, at the trade's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tax {
    pub price_e8: i64,
    pub is_long: bool,
    /// Long lots held since this date or earlier are long-term.
    pub long_until: i32,
    pub rates: Option<TaxRates>,
}

/// Term of the lots of a subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    Short,
    Long,
    Both,
}

impl Tax {
    /// Rank of a lot; of a subtree, a bound that none of its lots is below. `high_e8` and `low_e8`: its prices.
    fn rank(&self, high_e8: i64, low_e8: i64, term: Term) -> i128 {
        let price = i128::from(self.price_e8);
        // The least gain of them all.
        let gain = if self.is_long { price - i128::from(high_e8) } else { i128::from(low_e8) - price };
        let term = if self.is_long { term } else { Term::Short };
        let Some(rates) = self.rates else {
            // Losses, then long-term gains, then short-term gains; each by the gain, which is less than this far apart.
            const APART: i128 = 1 << 66;
            let class = match term {
                _ if gain < 0 => 0,
                Term::Long | Term::Both => 1,
                Term::Short => 2,
            };
            return class * APART + gain;
        };
        let (short, long) = (gain * i128::from(rates.short_e8), gain * i128::from(rates.long_e8));
        match term {
            Term::Short => short,
            Term::Long => long,
            Term::Both => short.min(long),
        }
    }
}

impl Ranking {
    #[inline]
    fn rank(&self, high_e8: i64, low_e8: i64, term: Term) -> i128 {
        match self {
            Self::Price(Extreme::Highest) => -i128::from(high_e8),
            Self::Price(Extreme::Lowest) => i128::from(low_e8),
            Self::Tax(tax) => tax.rank(high_e8, low_e8, term),
        }
    }

    fn long_until(&self) -> i32 {
        match self {
            Self::Price(_) => i32::MAX,
            Self::Tax(tax) => tax.long_until,
        }
    }
}

/// A lot or a subtree that waits for its turn, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    rank: i128,
    /// Number of its first lot in the tree's order.
    first: u32,
    child: u32,
    count: u32,
    is_lot: bool,
}

impl LotArena {
    /// Cost and base cost of a lot.
    #[inline]
    pub(crate) fn cost_of(&self, block: &LotBlock, held: &Held) -> (Money, Money) {
        if block.pool != NIL {
            return self.pooled_cost(block, held.index as usize, held.at as usize);
        }
        let slot = &self.slots[held.at as usize];
        (slot.cost_e16, slot.base_cost_e16)
    }

    /// Cost and base cost of a part of a lot that is not all of it.
    #[inline]
    pub(crate) fn part_cost_of(&self, block: &LotBlock, held: &Held, part_e8: i64) -> (Money, Money) {
        let (cost, base) = self.cost_of(block, held);
        // Most lots cost what their price says, and then so does a part: no division.
        let price = Money::from(self.slots[held.at as usize].price_e8);
        let by_price = price * Money::from(held.quantity_e8) == cost;
        let part = if by_price { price * Money::from(part_e8) } else { share(cost, part_e8, held.quantity_e8) };
        (part, if base == cost { part } else { share(base, part_e8, held.quantity_e8) })
    }

    /// The lot of this index.
    #[inline]
    pub(crate) fn held(&self, block: &LotBlock, index: usize) -> Held {
        let at = self.slot_at(block, index);
        Held { index: index as u32, at: at as u32, quantity_e8: self.slots[at].quantity_e8 }
    }

    /// Whether a lot of this index is of a sub-account.
    pub(crate) fn is_of(&self, held: &Held, sub_account: NameId) -> bool {
        self.slots[held.at as usize].sub_account == sub_account
    }

    /// Quantity of the lots of a sub-account.
    pub(crate) fn quantity_of(&self, block: &LotBlock, sub_account: NameId) -> i64 {
        if block.is_large() && block.subs != NIL {
            return self.subs_range(block, sub_account).1;
        }
        let all = match (block.is_large(), sub_account) {
            (true, NO_NAME) => return self.all.before(block.start, u64::MAX).1,
            (true, _) => return 0,
            (false, _) => self.block_slots(block),
        };
        let own = self.slots[all].iter().filter(|slot| slot.sub_account == sub_account);
        own.map(|slot| slot.quantity_e8).sum()
    }

    /// The lots of a block that are in scope, in lot order or from the last one on; of a tree none.
    #[inline]
    pub(crate) fn in_block<'a>(
        &'a self,
        block: &LotBlock,
        scope: Scope,
        backward: bool,
    ) -> impl Iterator<Item = Held> + 'a {
        let slots = if block.is_large() { 0..0 } else { self.block_slots(block) };
        let (first, count) = (slots.start as u32, slots.len() as u32);
        let lots = self.slots[slots].iter();
        (0..count).map(move |passed| if backward { count - 1 - passed } else { passed }).filter_map(move |index| {
            let slot = &lots.as_slice()[index as usize];
            scope.holds(slot.sub_account).then_some(Held { index, at: first + index, quantity_e8: slot.quantity_e8 })
        })
    }

    /// The lots in scope, in lot order or from the last one on.
    #[inline]
    pub(crate) fn in_order<'a>(&'a self, block: &'a LotBlock, scope: Scope, backward: bool) -> InOrder<'a> {
        let (left, walk) = match scope {
            _ if !block.is_large() => (block.len(), Walk::Block),
            Scope::Only(sub_account) if block.subs != NIL => {
                let range = self.subs_range(block, sub_account).0;
                let start = if backward { range.end } else { range.start };
                (range.len(), Walk::Subs(Cursor::new(&self.subs, block.subs, start)))
            }
            _ => {
                let start = if backward { block.len() } else { 0 };
                (block.len(), Walk::All(Cursor::new(&self.all, block.start, start)))
            }
        };
        InOrder { arena: self, block, scope, backward, walk, left, passed: 0 }
    }

    /// The first lot in scope by a ranking.
    pub(crate) fn best(&self, block: &LotBlock, scope: Scope, ranking: &Ranking) -> Option<Held> {
        if !block.is_large() {
            let mut lots = self.in_order(block, scope, false);
            let mut best = lots.next().map(|held| (self.rank_of(&held, ranking), held))?;
            for held in lots {
                let rank = self.rank_of(&held, ranking);
                if rank < best.0 {
                    best = (rank, held);
                }
            }
            return Some(best.1);
        }
        match (self.view(block, scope), scope) {
            (_, Scope::Except(_)) | (None, _) => None,
            (Some(View { in_subs: true, range, .. }), _) => self
                .best_in(&self.subs, block.subs, range, self.long_end(block, scope, ranking), ranking)
                .map(|at| self.held(block, self.rank(block, at as usize))),
            (Some(View { range, .. }), _) => self
                .best_in(&self.all, block.start, range, self.long_end(block, scope, ranking), ranking)
                .map(|at| self.held(block, self.rank(block, at as usize))),
        }
    }

    fn rank_of(&self, held: &Held, ranking: &Ranking) -> i128 {
        let slot = &self.slots[held.at as usize];
        let term = if slot.acquired <= ranking.long_until() { Term::Long } else { Term::Short };
        ranking.rank(slot.price_e8, slot.price_e8, term)
    }

    /// Slot of the best lot among these numbers of a tree; those before `long_end` are long-term.
    fn best_in<K: Copy + Ord + Default>(
        &self,
        forest: &Forest<K>,
        root: u32,
        range: Range<usize>,
        long_end: usize,
        ranking: &Ranking,
    ) -> Option<u32> {
        let which = match ranking {
            Ranking::Price(which) => *which,
            Ranking::Tax(tax) if tax.is_long => Extreme::Highest,
            Ranking::Tax(_) => Extreme::Lowest,
        };
        let middle = long_end.clamp(range.start, range.end);
        // Within one term the best has the extreme price; where a rate of zero makes all equal it is the first.
        let best_of = |range: Range<usize>, term: Term| {
            let is_zero = match ranking {
                Ranking::Tax(Tax { rates: Some(rates), is_long, .. }) => {
                    (if term == Term::Long && *is_long { rates.long_e8 } else { rates.short_e8 }) == 0
                }
                _ => false,
            };
            if is_zero {
                return (!range.is_empty()).then(|| (0, range.start, forest.at(root, range.start)));
            }
            let found = forest.extreme(root, range.start, range.end, which)?;
            Some((ranking.rank(found.price_e8, found.price_e8, term), found.rank, found.slot))
        };
        let (long, short) = (best_of(range.start..middle, Term::Long), best_of(middle..range.end, Term::Short));
        [long, short].into_iter().flatten().min().map(|(_, _, slot)| slot)
    }

    /// All lots in scope by a ranking, into a heap that [`Self::next_ranked`] empties.
    pub(crate) fn rank_all(
        &self,
        block: &LotBlock,
        scope: Scope,
        ranking: &Ranking,
        room: Vec<Reverse<Candidate>>,
    ) -> Ranked {
        let mut heap = BinaryHeap::from(room);
        heap.clear();
        let long_end = self.long_end(block, scope, ranking);
        let view = self.view(block, scope);
        let mut ranked =
            Ranked { heap, in_subs: view.as_ref().is_some_and(|view| view.in_subs), range: 0..0, long_end };
        if !block.is_large() {
            for held in self.in_order(block, scope, false) {
                let rank = self.rank_of(&held, ranking);
                let Held { index, at, .. } = held;
                ranked.heap.push(Reverse(Candidate { rank, first: index, child: at, count: 1, is_lot: true }));
            }
        } else if let Some(View { in_subs, range }) = view {
            ranked.range = range;
            let root = if in_subs { block.subs } else { block.start };
            self.expand(&mut ranked, root, 0, ranking);
        }
        ranked
    }

    /// The next lot by the ranking.
    pub(crate) fn next_ranked(
        &self,
        block: &LotBlock,
        scope: Scope,
        ranking: &Ranking,
        ranked: &mut Ranked,
    ) -> Option<Held> {
        loop {
            let Reverse(candidate) = ranked.heap.pop()?;
            if !candidate.is_lot {
                self.expand(ranked, candidate.child, candidate.first as usize, ranking);
                continue;
            }
            let slot = &self.slots[candidate.child as usize];
            if scope.holds(slot.sub_account) {
                let at = candidate.child;
                let index = if ranked.in_subs { self.rank(block, at as usize) as u32 } else { candidate.first };
                return Some(Held { index, at, quantity_e8: slot.quantity_e8 });
            }
        }
    }

    /// Puts the entries of a node into the heap, as far as they are in range.
    fn expand(&self, ranked: &mut Ranked, node: u32, first: usize, ranking: &Ranking) {
        if ranked.in_subs {
            let is_leaf = self.subs.is_leaf(node);
            ranked.push(self.subs.entries(node), is_leaf, first, ranking);
        } else {
            let is_leaf = self.all.is_leaf(node);
            ranked.push(self.all.entries(node), is_leaf, first, ranking);
        }
    }

    /// Which numbers of which tree are in scope; `None`: there are none, or the lots are no tree.
    fn view(&self, block: &LotBlock, scope: Scope) -> Option<View> {
        if !block.is_large() {
            return None;
        }
        match scope {
            Scope::Only(sub_account) if block.subs != NIL => {
                Some(View { in_subs: true, range: self.subs_range(block, sub_account).0 })
            }
            Scope::Only(sub_account) if sub_account != NO_NAME => None,
            _ => Some(View { in_subs: false, range: 0..block.len() }),
        }
    }

    /// The number, in the tree of the scope, from which on lots are short-term.
    fn long_end(&self, block: &LotBlock, scope: Scope, ranking: &Ranking) -> usize {
        let until = ranking.long_until();
        if !block.is_large() || until == i32::MAX {
            return usize::MAX;
        }
        let key = order(until + 1, 0);
        match scope {
            Scope::Only(sub_account) if block.subs != NIL => self.subs.before(block.subs, (sub_account, key)).0,
            _ => self.all.before(block.start, key).0,
        }
    }
}

struct View {
    in_subs: bool,
    range: Range<usize>,
}

/// Lots that wait to be taken in the order of a ranking.
#[derive(Debug)]
pub(crate) struct Ranked {
    heap: BinaryHeap<Reverse<Candidate>>,
    in_subs: bool,
    /// Numbers of the tree that are in scope.
    range: Range<usize>,
    /// Numbers before it are long-term.
    long_end: usize,
}

impl Ranked {
    fn push<K>(&mut self, entries: impl Iterator<Item = Entry<K>>, is_lot: bool, mut first: usize, ranking: &Ranking) {
        for entry in entries {
            let end = first + entry.count as usize;
            if first < self.range.end && self.range.start < end {
                let term = if end <= self.long_end {
                    Term::Long
                } else if first >= self.long_end {
                    Term::Short
                } else {
                    Term::Both
                };
                let rank = ranking.rank(entry.high_e8, entry.low_e8, term);
                let (child, count) = (entry.child, entry.count);
                self.heap.push(Reverse(Candidate { rank, first: first as u32, child, count, is_lot }));
            }
            first = end;
        }
    }

    /// The room, for the next time.
    pub(crate) fn into_room(self) -> Vec<Reverse<Candidate>> {
        self.heap.into_vec()
    }
}

#[derive(Debug)]
enum Walk {
    Block,
    All(Cursor),
    Subs(Cursor),
}

/// Lots in scope, one after the other.
#[derive(Debug)]
pub(crate) struct InOrder<'a> {
    arena: &'a LotArena,
    block: &'a LotBlock,
    scope: Scope,
    backward: bool,
    walk: Walk,
    left: usize,
    passed: usize,
}

impl Iterator for InOrder<'_> {
    type Item = Held;

    #[inline]
    fn next(&mut self) -> Option<Held> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let passed = self.passed;
            self.passed += 1;
            let index = if self.backward { self.block.len() - 1 - passed } else { passed };
            let at = match &mut self.walk {
                Walk::Block => self.block.start as usize + usize::from(self.block.head) + index,
                Walk::All(cursor) if self.backward => cursor.previous(&self.arena.all)? as usize,
                Walk::All(cursor) => cursor.next(&self.arena.all)? as usize,
                Walk::Subs(cursor) => {
                    let subs = &self.arena.subs;
                    let at = if self.backward { cursor.previous(subs) } else { cursor.next(subs) }? as usize;
                    let index = self.arena.rank(self.block, at) as u32;
                    return Some(Held { index, at: at as u32, quantity_e8: self.arena.slots[at].quantity_e8 });
                }
            };
            let slot = &self.arena.slots[at];
            if self.scope.holds(slot.sub_account) {
                return Some(Held { index: index as u32, at: at as u32, quantity_e8: slot.quantity_e8 });
            }
        }
    }
}
