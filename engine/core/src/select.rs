//! Which lots a reduction takes, as runs over the position's lots. Chooses; changes nothing.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::amount::{Money, share};
use crate::event::{Reason, Run};
use crate::id::TradeHash;
use crate::limits::{LOT_BLOCK_MAX, RUNS_PER_TRADE_MAX};
use crate::lots::{LotArena, LotBlock};
use crate::rules::LotMethod;

/// Room for one decision, owned by the caller and reused; nothing here grows after `new`.
#[derive(Debug)]
pub struct Scratch {
    /// Runs of the last decision, by ascending lot index.
    pub runs: Vec<Run>,
    ranked: Vec<(i64, Reverse<u32>)>,
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
            ranked: Vec::with_capacity(LOT_BLOCK_MAX),
            taken: Vec::with_capacity(LOT_BLOCK_MAX),
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

/// Selects lots of `block` for `quantity_e8`, which is positive and at most what the lots hold.
/// Leaves the runs in `scratch` and gives their total cost.
///
/// # Errors
/// [`Reason::TooManyLots`], [`Reason::UnknownLot`], [`Reason::LotTooSmall`].
pub fn select(
    arena: &LotArena,
    block: &LotBlock,
    method: LotMethod,
    lot: TradeHash,
    quantity_e8: i64,
    scratch: &mut Scratch,
) -> Result<Money, Reason> {
    assert!(quantity_e8 > 0);
    scratch.runs.clear();
    if lot != TradeHash::NONE {
        return specific(arena, block, lot, quantity_e8, scratch);
    }
    match method {
        LotMethod::Fifo => oldest_first(arena, block, quantity_e8, scratch),
        LotMethod::Lifo => newest_first(arena, block, quantity_e8, scratch),
        LotMethod::Hifo => highest_first(arena, block, quantity_e8, scratch),
    }
}

fn part(arena: &LotArena, block: &LotBlock, index: usize, quantity_e8: i64) -> Run {
    let (whole, cost) = (arena.quantities(block)[index], arena.costs(block)[index]);
    let part_cost_e16 = share(cost, quantity_e8, whole);
    Run { from: index as u32, count: 1, part_quantity_e8: quantity_e8, part_cost_e16 }
}

fn oldest_first(arena: &LotArena, block: &LotBlock, quantity_e8: i64, scratch: &mut Scratch) -> Result<Money, Reason> {
    let (quantities, costs) = (arena.quantities(block), arena.costs(block));
    let (mut rest, mut cost, mut index) = (quantity_e8, 0, 0);
    while rest > 0 && quantities[index] <= rest {
        rest -= quantities[index];
        cost += costs[index];
        index += 1;
    }
    if index > 0 {
        scratch.add(Run { from: 0, count: index as u32, part_quantity_e8: 0, part_cost_e16: 0 })?;
    }
    if rest > 0 {
        let run = part(arena, block, index, rest);
        cost += run.part_cost_e16;
        scratch.add(run)?;
    }
    Ok(cost)
}

fn newest_first(arena: &LotArena, block: &LotBlock, quantity_e8: i64, scratch: &mut Scratch) -> Result<Money, Reason> {
    let (quantities, costs) = (arena.quantities(block), arena.costs(block));
    let (mut rest, mut cost, mut end) = (quantity_e8, 0, quantities.len());
    while rest > 0 && quantities[end - 1] <= rest {
        end -= 1;
        rest -= quantities[end];
        cost += costs[end];
    }
    let whole = quantities.len() - end;
    if rest > 0 {
        let run = part(arena, block, end - 1, rest);
        cost += run.part_cost_e16;
        scratch.add(run)?;
    }
    if whole > 0 {
        scratch.add(Run { from: end as u32, count: whole as u32, part_quantity_e8: 0, part_cost_e16: 0 })?;
    }
    Ok(cost)
}

/// Most reductions end inside the dearest lot, which one pass finds. Only a larger one ranks them all.
fn highest_first(arena: &LotArena, block: &LotBlock, quantity_e8: i64, scratch: &mut Scratch) -> Result<Money, Reason> {
    let (quantities, costs, prices) = (arena.quantities(block), arena.costs(block), arena.prices(block));
    let mut best = 0;
    for (index, &price) in prices.iter().enumerate() {
        if price > prices[best] {
            best = index;
        }
    }
    if quantities[best] > quantity_e8 {
        let run = part(arena, block, best, quantity_e8);
        scratch.add(run)?;
        return Ok(run.part_cost_e16);
    }
    let mut ranked = core::mem::take(&mut scratch.ranked);
    ranked.clear();
    ranked.extend(prices.iter().enumerate().map(|(index, &price)| (price, Reverse(index as u32))));
    let mut heap = BinaryHeap::from(ranked);
    let mut taken = core::mem::take(&mut scratch.taken);
    taken.clear();
    let (mut rest, mut cost) = (quantity_e8, 0);
    let mut last = None;
    while rest > 0 {
        let Some((_, Reverse(index))) = heap.pop() else { break };
        let held = quantities[index as usize];
        if held <= rest {
            rest -= held;
            cost += costs[index as usize];
            taken.push(index);
        } else {
            let run = part(arena, block, index as usize, rest);
            rest = 0;
            cost += run.part_cost_e16;
            last = Some(run);
        }
    }
    scratch.ranked = heap.into_vec();
    assert!(rest == 0, "the caller asked for no more than the lots hold");
    let found = runs_of(&mut taken, last, scratch);
    scratch.taken = taken;
    found.map(|()| cost)
}

/// Runs of the lots that were taken whole, neighbours together, and of the one that was taken in part; by index.
fn runs_of(taken: &mut [u32], mut last: Option<Run>, scratch: &mut Scratch) -> Result<(), Reason> {
    taken.sort_unstable();
    let mut rest = &*taken;
    while let Some(&from) = rest.first() {
        if let Some(run) = last.take_if(|run| run.from < from) {
            scratch.add(run)?;
        }
        let count = rest.iter().zip(from..).take_while(|(index, wanted)| **index == *wanted).count();
        scratch.add(Run { from, count: count as u32, part_quantity_e8: 0, part_cost_e16: 0 })?;
        rest = &rest[count..];
    }
    last.map_or(Ok(()), |run| scratch.add(run))
}

fn specific(
    arena: &LotArena,
    block: &LotBlock,
    lot: TradeHash,
    quantity_e8: i64,
    scratch: &mut Scratch,
) -> Result<Money, Reason> {
    let index = arena.origins(block).iter().position(|&origin| origin == lot.0).ok_or(Reason::UnknownLot)?;
    let held = arena.quantities(block)[index];
    if quantity_e8 > held {
        return Err(Reason::LotTooSmall);
    }
    if quantity_e8 == held {
        scratch.add(Run { from: index as u32, count: 1, part_quantity_e8: 0, part_cost_e16: 0 })?;
        return Ok(arena.costs(block)[index]);
    }
    let run = part(arena, block, index, quantity_e8);
    scratch.add(run)?;
    Ok(run.part_cost_e16)
}
