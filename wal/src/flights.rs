//! The order of flushes under way: they may be through in any order, and become durable in the one in which they began.

use std::collections::BTreeMap;

use crate::limits::{MAX_FLUSHES_IN_FLIGHT, SLOT_COUNT};
use crate::planted::{self, Bug};

/// What a flush makes true once it and all before it are through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Everything up to here is durable: the end of a group.
    pub(crate) sequence: u64,
    /// Everything below is durable.
    pub(crate) end: u64,
    /// The durable sequence that its slot names.
    pub(crate) watermark: u64,
}

/// Flushes that have begun and are not durable yet.
#[derive(Debug)]
pub(crate) struct Flights {
    /// How many may be in the disk's hands at a time.
    depth: usize,
    /// By number; true once its own sync is through.
    under_way: BTreeMap<u64, (Mark, bool)>,
    next: u64,
}

impl Flights {
    /// `depth` is 1 to [`MAX_FLUSHES_IN_FLIGHT`].
    pub(crate) fn new(depth: usize) -> Self {
        assert!((1..=MAX_FLUSHES_IN_FLIGHT).contains(&depth));
        Self { depth, under_way: BTreeMap::new(), next: 0 }
    }

    /// Every flush that began is durable.
    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Flushes in the disk's hands.
    pub(crate) fn flying(&self) -> usize {
        self.under_way.values().filter(|(_, through)| !through).count()
    }

    /// One more may begin. The slots in turn are the bound beside the depth: the one that the next flush writes must not be that of the
    /// newest durable flush, nor of one that is not durable yet.
    pub(crate) fn may_begin(&self) -> bool {
        self.flying() < self.depth && self.under_way.len() < SLOT_COUNT - 1
    }

    /// One more has begun; its number.
    pub(crate) fn begin(&mut self, mark: Mark) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.insert(number, (mark, false));
        number
    }

    /// The sync of that flush is through: its own blocks and slot are on the disk. That says nothing of any other.
    pub(crate) fn through(&mut self, number: u64) {
        if let Some((_, through)) = self.under_way.get_mut(&number) {
            *through = true;
        }
    }

    /// Takes out the oldest flush when it is through: it and all before it are durable.
    pub(crate) fn next_durable(&mut self) -> Option<Mark> {
        if planted::is(Bug::DurableOutOfOrder) {
            let any = *self.under_way.iter().find(|(_, (_, through))| *through)?.0;
            return self.under_way.remove(&any).map(|(mark, _)| mark);
        }
        let oldest = self.under_way.first_entry()?;
        if oldest.get().1 { Some(oldest.remove().0) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64) -> Mark {
        Mark { sequence, end: sequence * 8, watermark: 0 }
    }

    fn durable(flights: &mut Flights) -> Vec<u64> {
        std::iter::from_fn(|| flights.next_durable()).map(|mark| mark.sequence).collect()
    }

    /// Every order in which three flushes can be through: durable is always a stretch from the first on.
    #[test]
    fn whatever_comes_back_first_they_become_durable_in_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut flights = Flights::new(3);
            for sequence in 1..=3 {
                assert!(flights.may_begin());
                assert_eq!(flights.begin(mark(sequence)), sequence - 1);
            }
            let mut through = [false; 3];
            let mut seen = Vec::new();
            for number in order {
                flights.through(number);
                through[number as usize] = true;
                seen.extend(durable(&mut flights));
                let wanted = through.iter().take_while(|t| **t).count() as u64;
                assert_eq!(seen, (1..=wanted).collect::<Vec<_>>(), "{order:?}");
            }
            assert!(flights.is_empty());
        }
    }

    #[test]
    fn no_more_than_the_depth_are_flying_and_no_more_than_the_slots_are_open() {
        let mut flights = Flights::new(2);
        flights.begin(mark(1));
        flights.begin(mark(2));
        assert!(!flights.may_begin(), "two are flying");
        flights.through(1);
        assert!(flights.may_begin(), "one is flying, the other waits for it");
        flights.begin(mark(3));
        flights.through(2);
        assert_eq!(flights.flying(), 1);
        assert!(!flights.may_begin(), "the next would write over the slot of the newest durable flush");
        flights.through(0);
        assert_eq!(durable(&mut flights), [1, 2, 3]);
        assert!(flights.may_begin());
    }
}
