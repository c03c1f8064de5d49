//! Which lots a reduction takes (rules 5 and 6 of `docs/rules.md`), as runs over the position's lots. Chooses; changes nothing.

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::amount::{Money, share};
use crate::date::Date;
use crate::event::{Averaged, Reason, Run};
use crate::id::{NameId, TradeHash};
use crate::limits::{LOTS_PER_POSITION_MAX, RUNS_PER_TRADE_MAX};
use crate::lots::{Candidate, Extreme, Held, LotArena, LotBlock, Ranking, Scope, Tax};
use crate::rules::{LotMethod, Rules, ShortRank};

/// Room for one decision, owned by the caller and reused; nothing here grows after `new`.
#[derive(Debug)]
pub struct Scratch {
    /// Runs of the last decision, by ascending lot index.
    pub runs: Vec<Run>,
    ranked: Vec<Reverse<Candidate>>,
    taken: Vec<u32>,
    runs_max: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Reserves for the largest position.
    #[must_use]
    pub fn new() -> Self {
        Self {
            runs: Vec::with_capacity(RUNS_PER_TRADE_MAX),
            // All lots, and the nodes above those that were not looked at.
            ranked: Vec::with_capacity(LOTS_PER_POSITION_MAX + LOTS_PER_POSITION_MAX / 4),
            taken: Vec::with_capacity(LOTS_PER_POSITION_MAX),
            runs_max: RUNS_PER_TRADE_MAX,
        }
    }

    /// For replays, whose decisions are no single events: any number of runs.
    #[must_use]
    pub fn unbounded() -> Self {
        Self { runs: Vec::new(), ranked: Vec::new(), taken: Vec::new(), runs_max: usize::MAX }
    }

    fn add(&mut self, run: Run) -> Result<(), Reason> {
        if self.runs.len() >= self.runs_max {
            return Err(Reason::TooManyLots);
        }
        self.runs.push(run);
        Ok(())
    }
}

/// Whose lots are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The position's.
    Position,
    /// Those of this sub-account only; `NO_NAME`: those without one.
    SubAccount(NameId),
    /// All of this sub-account, which holds too little, and the rest of the others.
    SubAccountFirst(NameId),
}

/// A reduction that looks for lots.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Method, rank of shorts, tax rates and holding period.
    pub rules: &'a Rules,
    /// The trade that opened the lot to take from, or [`TradeHash::NONE`].
    pub lot: TradeHash,
    /// Whose lots.
    pub whose: Whose,
    /// Positive, and at most what all lots hold.
    pub quantity_e8: i64,
    /// The lots are long.
    pub is_long: bool,
    /// What `MIN_TAX` compares with.
    pub price_e8: i64,
    /// Date of the reduction, for the holding period.
    pub date: Date,
    /// Quantity of all lots: the position's, positive.
    pub held_e8: i64,
    /// Cost and base cost of all lots.
    pub cost: (Money, Money),
}

/// What a choice takes; the runs are in the scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Cost that leaves.
    pub cost_e16: Money,
    /// Base cost that leaves.
    pub base_cost_e16: Money,
    /// Whether it comes from a pool, and from which.
    pub averaged: Averaged,
}

/// Selects lots of `block`. Leaves the runs in `scratch` and gives what they take.
///
/// # Errors
/// [`Reason::UnknownLot`], [`Reason::LotTooSmall`], [`Reason::SubAccountOversell`], [`Reason::TooManyLots`].
pub fn select(
    arena: &LotArena,
    block: &LotBlock,
    wanted: &Wanted<'_>,
    scratch: &mut Scratch,
) -> Result<Choice, Reason> {
    assert!(wanted.quantity_e8 > 0);
    assert!(wanted.quantity_e8 <= wanted.held_e8);
    scratch.runs.clear();
    let mut selection = Selection { arena, block, scratch, rest_e8: wanted.quantity_e8, cost: (0, 0), counts: true };
    if wanted.lot != TradeHash::NONE {
        selection.specific(wanted)?;
        return Ok(selection.choice());
    }
    if wanted.rules.method == LotMethod::Average {
        return selection.averaged(wanted);
    }
    if wanted.quantity_e8 == wanted.held_e8 && !matches!(wanted.whose, Whose::SubAccount(_)) {
        // Everything goes: no method orders that, and its cost is known.
        selection.scratch.add(whole(0, block.len() as u32))?;
        return Ok(Choice { cost_e16: wanted.cost.0, base_cost_e16: wanted.cost.1, averaged: Averaged::No });
    }
    match wanted.whose {
        Whose::Position => selection.by_method(wanted, Scope::All)?,
        Whose::SubAccount(own) => {
            selection.check_holding(wanted, own)?;
            selection.by_method(wanted, Scope::Only(own))?;
        }
        Whose::SubAccountFirst(own) => selection.own_first(wanted, own)?,
    }
    Ok(selection.choice())
}

/// What `MIN_TAX` and the like rank by; `None`: lot order.
fn ranking(wanted: &Wanted<'_>) -> Option<Ranking> {
    let turned = !wanted.is_long && wanted.rules.short_rank == ShortRank::Result;
    let (high, low) = if turned { (Extreme::Lowest, Extreme::Highest) } else { (Extreme::Highest, Extreme::Lowest) };
    match wanted.rules.method {
        LotMethod::Fifo | LotMethod::Lifo | LotMethod::Average => None,
        LotMethod::Hifo => Some(Ranking::Price(high)),
        LotMethod::Lofo => Some(Ranking::Price(low)),
        LotMethod::MinTax => Some(Ranking::Tax(Tax {
            price_e8: wanted.price_e8,
            is_long: wanted.is_long,
            long_until: wanted.rules.long_term_until(wanted.date).0,
            rates: wanted.rules.tax_rates,
        })),
    }
}

#[inline]
fn whole(from: u32, count: u32) -> Run {
    Run { from, count, part_quantity_e8: 0, part_cost_e16: 0 }
}

/// A selection under way.
struct Selection<'a> {
    arena: &'a LotArena,
    block: &'a LotBlock,
    scratch: &'a mut Scratch,
    rest_e8: i64,
    cost: (Money, Money),
    /// Costs come from the lots.
    counts: bool,
}

impl Selection<'_> {
    fn choice(self) -> Choice {
        let (cost_e16, base_cost_e16) = self.cost;
        Choice { cost_e16, base_cost_e16, averaged: Averaged::No }
    }

    fn check_holding(&self, wanted: &Wanted<'_>, own: NameId) -> Result<(), Reason> {
        let holds = self.arena.quantity_of(self.block, own);
        if holds < wanted.quantity_e8 { Err(Reason::SubAccountOversell) } else { Ok(()) }
    }

    /// Takes all of a lot or what is still wanted; gives its run.
    #[inline]
    fn take(&mut self, held: &Held) -> Run {
        let takes_all = held.quantity_e8 <= self.rest_e8;
        let (cost, base) = match (self.counts, takes_all) {
            (false, _) => (0, 0),
            (true, true) => self.arena.cost_of(self.block, held),
            (true, false) => self.arena.part_cost_of(self.block, held, self.rest_e8),
        };
        if takes_all {
            self.rest_e8 -= held.quantity_e8;
        }
        // Sums of parts of a position's costs: a step outside of the archive's range fits in 128 bits by far.
        self.cost = (self.cost.0 + cost, self.cost.1 + base);
        if takes_all {
            return whole(held.index, 1);
        }
        let part_quantity_e8 = core::mem::take(&mut self.rest_e8);
        Run { from: held.index, count: 1, part_quantity_e8, part_cost_e16: cost }
    }

    fn specific(&mut self, wanted: &Wanted<'_>) -> Result<(), Reason> {
        let index = self.arena.find(self.block, wanted.lot).ok_or(Reason::UnknownLot)?;
        let held = self.arena.held(self.block, index);
        if let Whose::SubAccount(own) = wanted.whose
            && !self.arena.is_of(&held, own)
        {
            return Err(Reason::UnknownLot);
        }
        if wanted.quantity_e8 > held.quantity_e8 {
            return Err(Reason::LotTooSmall);
        }
        let run = self.take(&held);
        self.scratch.add(run)
    }

    fn by_method(&mut self, wanted: &Wanted<'_>, scope: Scope) -> Result<(), Reason> {
        match ranking(wanted) {
            Some(ranking) => self.ranked(scope, &ranking),
            None => self.in_order(scope, wanted.rules.method == LotMethod::Lifo),
        }
    }

    /// Lots in lot order or from the last one on: neighbours become one run as they come.
    #[inline]
    fn in_order(&mut self, scope: Scope, backward: bool) -> Result<(), Reason> {
        let (arena, block) = (self.arena, self.block);
        if block.is_large() {
            self.take_in_order(arena.in_order(block, scope, backward))?;
        } else {
            self.take_in_order(arena.in_block(block, scope, backward))?;
        }
        if backward {
            self.scratch.runs.reverse();
        }
        Ok(())
    }

    #[inline]
    fn take_in_order(&mut self, mut lots: impl Iterator<Item = Held>) -> Result<(), Reason> {
        let mut open: Option<Run> = None;
        while self.rest_e8 > 0 {
            let held = lots.next().unwrap_or_else(|| unreachable!("the caller asked for no more than the lots hold"));
            let run = self.take(&held);
            open = match open {
                Some(last) if run.part_quantity_e8 == 0 && run.from == last.from + last.count => {
                    Some(whole(last.from, last.count + 1))
                }
                Some(last) if run.part_quantity_e8 == 0 && run.from + 1 == last.from => {
                    Some(whole(run.from, last.count + 1))
                }
                Some(last) => {
                    self.scratch.add(last)?;
                    Some(run)
                }
                None => Some(run),
            };
        }
        open.map_or(Ok(()), |last| self.scratch.add(last))
    }

    /// Lots by rank. Most reductions end inside the best lot; only a larger one needs a heap.
    fn ranked(&mut self, scope: Scope, ranking: &Ranking) -> Result<(), Reason> {
        if let Some(best) = self.arena.best(self.block, scope, ranking)
            && best.quantity_e8 >= self.rest_e8
        {
            let run = self.take(&best);
            return self.scratch.add(run);
        }
        let mut taken = core::mem::take(&mut self.scratch.taken);
        taken.clear();
        let last = self.by_rank(scope, ranking, &mut taken);
        let found = self.runs_of(&mut taken, last);
        self.scratch.taken = taken;
        found
    }

    /// Takes lots by rank until all is there; gives the run of the one that was taken in part.
    fn by_rank(&mut self, scope: Scope, ranking: &Ranking, taken: &mut Vec<u32>) -> Option<Run> {
        let (arena, block) = (self.arena, self.block);
        let room = core::mem::take(&mut self.scratch.ranked);
        let mut ranked = arena.rank_all(block, scope, ranking, room);
        let mut last = None;
        while self.rest_e8 > 0 {
            let next = arena.next_ranked(block, scope, ranking, &mut ranked);
            let held = next.unwrap_or_else(|| unreachable!("the caller asked for no more than the lots hold"));
            let run = self.take(&held);
            if run.part_quantity_e8 == 0 {
                taken.push(run.from);
            } else {
                last = Some(run);
            }
        }
        self.scratch.ranked = ranked.into_room();
        last
    }

    /// Runs of the lots that were taken whole, neighbours together, and of the one that was taken in part; by index.
    fn runs_of(&mut self, taken: &mut [u32], mut last: Option<Run>) -> Result<(), Reason> {
        taken.sort_unstable();
        let mut rest = &*taken;
        while let Some(&from) = rest.first() {
            if let Some(run) = last.take_if(|run| run.from < from) {
                self.scratch.add(run)?;
            }
            let count = rest.iter().zip(from..).take_while(|(index, wanted)| **index == *wanted).count();
            self.scratch.add(whole(from, count as u32))?;
            rest = &rest[count..];
        }
        last.map_or(Ok(()), |run| self.scratch.add(run))
    }

    /// All lots of a sub-account that holds too little, then lots of the others by the method.
    fn own_first(&mut self, wanted: &Wanted<'_>, own: NameId) -> Result<(), Reason> {
        let (arena, block) = (self.arena, self.block);
        let mut taken = core::mem::take(&mut self.scratch.taken);
        taken.clear();
        let mut last = None;
        for held in arena.in_order(block, Scope::Only(own), false) {
            taken.push(self.take(&held).from);
        }
        match ranking(wanted) {
            Some(ranking) => last = self.by_rank(Scope::Except(own), &ranking, &mut taken),
            None => {
                let mut others = arena.in_order(block, Scope::Except(own), wanted.rules.method == LotMethod::Lifo);
                while self.rest_e8 > 0 {
                    let held = others.next();
                    let run = self.take(&held.unwrap_or_else(|| unreachable!("the lots hold what is wanted")));
                    if run.part_quantity_e8 == 0 {
                        taken.push(run.from);
                    } else {
                        last = Some(run);
                    }
                }
            }
        }
        let found = self.runs_of(&mut taken, last);
        self.scratch.taken = taken;
        found
    }

    /// Quantities in lot order, the cost from the pool of the scope.
    fn averaged(mut self, wanted: &Wanted<'_>) -> Result<Choice, Reason> {
        self.counts = false;
        let (held_e8, cost, averaged) = match wanted.whose {
            Whose::SubAccount(own) => {
                self.check_holding(wanted, own)?;
                let own = self.arena.totals_of(self.block, own);
                (own.quantity_e8, (own.cost_e16, own.base_cost_e16), Averaged::SubAccount)
            }
            Whose::Position | Whose::SubAccountFirst(_) => (wanted.held_e8, wanted.cost, Averaged::Position),
        };
        match wanted.whose {
            Whose::SubAccount(own) => self.in_order(Scope::Only(own), false)?,
            Whose::SubAccountFirst(own) => self.own_first(wanted, own)?,
            Whose::Position if wanted.quantity_e8 == held_e8 => {
                self.scratch.add(whole(0, self.block.len() as u32))?;
            }
            Whose::Position => self.in_order(Scope::All, false)?,
        }
        let cost_e16 = share(cost.0, wanted.quantity_e8, held_e8);
        let base_cost_e16 = if cost.1 == cost.0 { cost_e16 } else { share(cost.1, wanted.quantity_e8, held_e8) };
        Ok(Choice { cost_e16, base_cost_e16, averaged })
    }
}
