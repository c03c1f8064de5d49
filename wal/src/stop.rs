//! What the log's threads are told: go on, finish, or end at once.

use crate::sync::{AtomicU8, order};

/// Go on.
pub(crate) const RUN: u8 = 0;
/// Flush what is published, write the watermark, end.
pub(crate) const DRAIN: u8 = 1;
/// End at once, as a crash would.
pub(crate) const STOP: u8 = 2;
/// The threads are gone: nothing becomes durable any more.
pub(crate) const ENDED: u8 = 3;

/// The word itself.
#[derive(Debug)]
pub(crate) struct Stop(AtomicU8);

impl Stop {
    /// Everyone goes on.
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(RUN))
    }

    /// Says it.
    pub(crate) fn tell(&self, how: u8) {
        // ORDERING: Release pairs with the Acquire in `told`: who is told to finish sees everything that was published before.
        self.0.store(how, order!("stop.tell", Release));
    }

    /// What was said last.
    pub(crate) fn told(&self) -> u8 {
        self.0.load(order!("stop.told", Acquire))
    }
}
