//! Counters of a shard: one writer; readers see each number whole, and all of them soon.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use lotbook_core::amend_event::AmendEvent;
use lotbook_core::event::{Class, Reason};

/// Counters of a shard. One writer; readers see each number whole, and all of them soon.
#[derive(Debug, Default)]
pub struct Counters {
    /// By class, see [`Class`]; index 0 is every command that is not a trade.
    classes: [CachePadded<AtomicU64>; 10],
    /// Amendments by class, as above.
    amendments: [CachePadded<AtomicU64>; 10],
    /// Amendments that are held now.
    held: CachePadded<AtomicU64>,
    /// Held amendments whose target came, and those whose time ran out.
    matched: CachePadded<AtomicU64>,
    expired: CachePadded<AtomicU64>,
    /// Trades booked again behind corrections.
    rebooked: CachePadded<AtomicU64>,
    /// Proposals of the coldpath that were accepted.
    corrected: CachePadded<AtomicU64>,
    /// Proposals that came too late: the position had moved on.
    stale: CachePadded<AtomicU64>,
    /// Commands that were not taken in for want of space.
    shed: CachePadded<AtomicU64>,
    /// Times that the log's tail was full.
    tail_full: CachePadded<AtomicU64>,
    /// Sequence of the last record at which the shard had nothing left to do.
    rested_at: CachePadded<AtomicU64>,
    /// Changes of history that positions took.
    taken: CachePadded<AtomicU64>,
}

#[inline]
fn bump(counter: &AtomicU64) {
    // A single writer needs no read-modify-write. ORDERING: relaxed, a statistic.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl Counters {
    /// Trades of a class.
    #[must_use]
    pub fn trades(&self, class: Class) -> u64 {
        self.classes[class as usize].load(Ordering::Relaxed)
    }

    /// Amendments of a class: accepted ones are [`Class::Provisional`].
    #[must_use]
    pub fn amendments(&self, class: Class) -> u64 {
        self.amendments[class as usize].load(Ordering::Relaxed)
    }

    /// Amendments that are held for their target.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Amendments that were held and whose target came in time, since the start.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.matched.load(Ordering::Relaxed)
    }

    /// Held amendments whose time ran out, since the start.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    pub(crate) fn count_amendment(&self, event: &AmendEvent<'_>, held: usize) {
        bump(&self.amendments[event.class as usize]);
        match event.class {
            Class::Provisional if event.first_sequence != 0 => bump(&self.matched),
            Class::Lapsed if event.reason == Reason::HeldExpired => bump(&self.expired),
            _ => {}
        }
        self.set_held(held);
    }

    pub(crate) fn set_held(&self, held: usize) {
        // ORDERING: relaxed, a statistic.
        self.held.store(held as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_other(&self) {
        bump(&self.classes[0]);
    }

    /// Commands that are not trades.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.classes[0].load(Ordering::Relaxed)
    }

    /// Accepted and stale proposals.
    #[must_use]
    pub fn corrections(&self) -> (u64, u64) {
        (self.corrected.load(Ordering::Relaxed), self.stale.load(Ordering::Relaxed))
    }

    /// Changes of history that positions took, counted by position.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn note_taken(&self) {
        bump(&self.taken);
    }

    /// The shard looked at everything once after its last record and found nothing to do: what follows from that record by itself
    /// (dates that came, lots on their way, amendments that found their target) is in the log.
    #[must_use]
    pub fn rested_at(&self) -> u64 {
        // ORDERING: acquire, pairs with the release in `note_rest`: the records before it are published.
        self.rested_at.load(Ordering::Acquire)
    }

    pub(crate) fn note_rest(&self, sequence: u64) {
        if self.rested_at.load(Ordering::Relaxed) != sequence {
            self.rested_at.store(sequence, Ordering::Release);
        }
    }

    /// Commands refused for want of disk space.
    #[must_use]
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// Times that the log's tail was full.
    #[must_use]
    pub fn tail_full(&self) -> u64 {
        self.tail_full.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn count_trade(&self, class: Class) {
        bump(&self.classes[class as usize]);
    }

    /// Trades that were booked again behind corrections.
    #[must_use]
    pub fn rebooked(&self) -> u64 {
        self.rebooked.load(Ordering::Relaxed)
    }

    pub(crate) fn note_rebooked(&self, trades: u64) {
        // ORDERING: relaxed, a statistic of one writer.
        self.rebooked.store(self.rebooked.load(Ordering::Relaxed) + trades, Ordering::Relaxed);
    }

    pub(crate) fn note_proposal(&self, accepted: bool) {
        bump(if accepted { &self.corrected } else { &self.stale });
    }

    pub(crate) fn note_shed(&self) {
        bump(&self.shed);
    }

    pub(crate) fn note_tail_full(&self) {
        bump(&self.tail_full);
    }
}
