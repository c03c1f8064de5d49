//! The steps of all positions in one chronological order: nothing arrives before it left.
//!
//! A position's own steps keep their order. Among positions the key decides, then the place of the position; what arrives
//! has the key of its cause and stands behind all of it.

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::{Step, WashError, What};
use crate::id::{ChronoKey, TradeHash};

/// The steps of one position, or the splits of one instrument, in chronological order, each with its place.
pub type Told = Vec<(ChronoKey, Step)>;

/// The next step of a queue: its key, whether it is an arrival, and the queue.
type Head = Reverse<(ChronoKey, bool, usize)>;

/// All steps in one order: of equal keys those of `splits` before those of `positions`, and these in their order.
///
/// # Errors
/// [`WashError::Misfit`]: something arrives that never left.
pub fn merge(splits: Vec<Told>, positions: Vec<Told>) -> Result<Vec<Step>, WashError> {
    let mut causes: BTreeMap<TradeHash, ChronoKey> = BTreeMap::new();
    for (key, step) in positions.iter().flatten() {
        causes.extend(sent(step).map(|parcel| (parcel, *key)));
    }
    let mut queues: Vec<VecDeque<(ChronoKey, Step)>> =
        splits.into_iter().chain(positions).map(VecDeque::from).collect();
    let mut merged = Vec::with_capacity(queues.iter().map(VecDeque::len).sum());
    let mut heads: BinaryHeap<Head> = BinaryHeap::with_capacity(queues.len());
    for (at, queue) in queues.iter().enumerate() {
        heads.extend(head(queue, at, &causes)?);
    }
    let mut left: BTreeSet<TradeHash> = BTreeSet::new();
    // Queues whose next step is to arrive and has not left.
    let mut waiting: BTreeMap<TradeHash, usize> = BTreeMap::new();
    while let Some(Reverse((_, _, at))) = heads.pop() {
        if let Some((_, Step { what: What::Arrived(arrived), .. })) = queues[at].front()
            && !left.contains(&arrived.parcel)
        {
            waiting.insert(arrived.parcel, at);
            continue;
        }
        let Some((_, step)) = queues[at].pop_front() else { continue };
        for parcel in sent(&step) {
            left.insert(parcel);
            if let Some(at) = waiting.remove(&parcel) {
                heads.extend(head(&queues[at], at, &causes)?);
            }
        }
        merged.push(step);
        heads.extend(head(&queues[at], at, &causes)?);
    }
    if waiting.is_empty() { Ok(merged) } else { Err(WashError::Misfit) }
}

/// What a queue has next.
fn head(
    queue: &VecDeque<(ChronoKey, Step)>,
    at: usize,
    causes: &BTreeMap<TradeHash, ChronoKey>,
) -> Result<Option<Head>, WashError> {
    let Some((key, step)) = queue.front() else { return Ok(None) };
    Ok(Some(Reverse(match &step.what {
        What::Arrived(arrived) => (*causes.get(&arrived.parcel).ok_or(WashError::Misfit)?, true, at),
        _ => (*key, false, at),
    })))
}

/// Identities of what a step sends.
fn sent(step: &Step) -> impl Iterator<Item = TradeHash> + '_ {
    let (left, spun) = match &step.what {
        What::Left(lots) => (lots.as_slice(), [].as_slice()),
        What::Spun(spun) => ([].as_slice(), spun.parcels.as_slice()),
        _ => ([].as_slice(), [].as_slice()),
    };
    left.iter().map(|left| left.parcel).chain(spun.iter().copied())
}
