//! Segments that are ready to be written, and how far they reach: what the preparer hands to the appender and to the log thread.

use std::collections::VecDeque;

use crate::padded::CachePadded;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, lock, order};

/// Prepared segments. `F` is an open file.
#[derive(Debug)]
pub(crate) struct Room<F> {
    /// Oldest first, with their first addresses; taken by the log thread.
    ready: Mutex<VecDeque<(u64, F)>>,
    /// Segments up to this stream address are ready on disk; the appender takes no chunk beyond it.
    end: CachePadded<AtomicU64>,
    short_of_space: AtomicBool,
}

impl<F> Room<F> {
    /// The segments that were there at opening, and where the last of them ends.
    pub(crate) fn new(ready: VecDeque<(u64, F)>, end: u64) -> Self {
        Self { ready: Mutex::new(ready), end: CachePadded(AtomicU64::new(end)), short_of_space: AtomicBool::new(false) }
    }

    /// Preparer only: one more segment, on disk, name and all. It is in the log's list of segments already.
    pub(crate) fn add(&self, first_address: u64, file: F, end: u64) {
        lock(&self.ready).push_back((first_address, file));
        self.set_short(false);
        // ORDERING: Release pairs with the Acquire in `end`: who takes a chunk below it may count on the segment.
        self.end.0.store(end, order!("room.store-end", Release));
    }

    /// Segments that wait for the log thread.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.ready).len()
    }

    /// Log thread only: the next segment.
    pub(crate) fn take(&self) -> Option<(u64, F)> {
        lock(&self.ready).pop_front()
    }

    /// Where the last segment that is ready ends.
    pub(crate) fn end(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `add`.
        self.end.0.load(order!("room.load-end", Acquire))
    }

    /// The next segment cannot be made for lack of space, or now can.
    pub(crate) fn set_short(&self, short: bool) {
        // ORDERING: Relaxed; it is told to senders and guards nothing.
        self.short_of_space.store(short, Ordering::Relaxed);
    }

    /// True while the next segment cannot be made for lack of space.
    pub(crate) fn is_short(&self) -> bool {
        self.short_of_space.load(Ordering::Relaxed)
    }
}
