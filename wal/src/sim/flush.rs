//! Which flush of the log a call on this thread belongs to: a simulated sync answers for its own flush and for no other.

use std::cell::Cell;

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// The calls of this thread belong to a flush until it is dropped.
#[derive(Debug)]
pub(crate) struct FlushCalls(u64);

impl Drop for FlushCalls {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// From here on calls belong to flush `number`.
pub(crate) fn flush_of(number: u64) -> FlushCalls {
    FlushCalls(CURRENT.replace(number + 1))
}

/// From here on calls belong to no flush: somebody else acts in the middle of one.
pub(super) fn none() -> FlushCalls {
    FlushCalls(CURRENT.replace(0))
}

/// The flush of this moment, counted from 1; 0: none.
pub(super) fn current() -> u64 {
    CURRENT.get()
}
