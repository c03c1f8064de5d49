//! How far the log is durable, who waits for it, and the failure that ends it.

use std::time::{Duration, Instant};

use crate::disk::DiskError;
use crate::error::LatchedError;
use crate::padded::CachePadded;
use crate::planted::{self, Bug};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, Ordering, fence, lock, order, wait_for};

/// What the log thread publishes: everything up to here survives power loss.
#[derive(Debug)]
struct Marks {
    sequence: AtomicU64,
    address: AtomicU64,
}

/// Cold threads waiting for a durable sequence.
#[derive(Debug)]
struct Waiters {
    count: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

/// The durable sequence and address, the latch, the waiters.
#[derive(Debug)]
pub(crate) struct Durability {
    marks: CachePadded<Marks>,
    /// Read with every append, so it shares its line with nothing that is written.
    has_latched: CachePadded<AtomicBool>,
    latch: Mutex<Option<LatchedError>>,
    waiters: Waiters,
}

impl Durability {
    /// At the beginning of an epoch: everything before it is durable.
    pub(crate) fn new(sequence: u64, address: u64) -> Self {
        Self {
            marks: CachePadded(Marks { sequence: AtomicU64::new(sequence), address: AtomicU64::new(address) }),
            has_latched: CachePadded(AtomicBool::new(false)),
            latch: Mutex::new(None),
            waiters: Waiters { count: AtomicUsize::new(0), lock: Mutex::new(()), changed: Condvar::new() },
        }
    }

    /// Everything up to this sequence survives power loss.
    pub(crate) fn sequence(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `publish`: the address loaded after it covers it.
        self.marks.0.sequence.load(order!("durable.load-sequence", Acquire))
    }

    /// The same as a claim about the past: nothing is read on the strength of it.
    pub(crate) fn sequence_hint(&self) -> u64 {
        self.marks.0.sequence.load(Ordering::Relaxed)
    }

    /// Everything below this address survives power loss.
    pub(crate) fn address(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `publish`: the bytes below it may be read from their segment.
        self.marks.0.address.load(order!("durable.load-address", Acquire))
    }

    /// Log threads only, in order and one at a time. Refused once latched, whichever thread has latched: what the failure calls durable is then the last word.
    pub(crate) fn publish(&self, sequence: u64, address: u64) -> Result<(), LatchedError> {
        debug_assert!(sequence >= self.sequence_hint());
        let latch = lock(&self.latch);
        if let Some(error) = &*latch {
            return Err(error.clone());
        }
        // ORDERING: Release, both: whoever sees the address may read the segment below it; whoever sees the sequence sees an address
        // that covers it.
        self.marks.0.address.store(address, order!("durable.store-address", Release));
        self.marks.0.sequence.store(sequence, order!("durable.store-sequence", Release));
        drop(latch);
        self.wake();
        Ok(())
    }

    /// Blocks until `sequence` is durable (true), the time is over (false), or the log has latched.
    pub(crate) fn wait(&self, sequence: u64, timeout: Duration) -> Result<bool, LatchedError> {
        let deadline = Instant::now().checked_add(timeout);
        self.waiters.count.fetch_add(1, Ordering::Relaxed);
        // ORDERING: pairs with the fence in `wake`: either the log thread sees the count, or we see its sequence.
        fence!("wait.fence", SeqCst);
        let mut guard = lock(&self.waiters.lock);
        let result = loop {
            if self.sequence() >= sequence {
                break Ok(true);
            }
            if let Some(error) = self.latched() {
                break Err(error);
            }
            let left = deadline.map_or(Duration::from_secs(3600), |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break Ok(false);
            }
            guard = wait_for(&self.waiters.changed, guard, left);
        };
        drop(guard);
        // ORDERING: Relaxed; a count that is seen too high wakes nobody, which costs a call.
        self.waiters.count.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// Wakes who waits, after something has changed for them.
    pub(crate) fn wake(&self) {
        // ORDERING: pairs with the fence in `wait`.
        fence!("wake.fence", SeqCst);
        if self.waiters.count.load(Ordering::Relaxed) > 0 {
            // Taken so that a waiter between its look and its sleep does not miss the call.
            drop(lock(&self.waiters.lock));
            self.waiters.changed.notify_all();
        }
    }

    /// True once latched, perhaps a moment late.
    pub(crate) fn has_latched(&self) -> bool {
        // ORDERING: Relaxed; it only says that the lock is worth taking, and whoever takes it sees the failure.
        self.has_latched.0.load(Ordering::Relaxed)
    }

    /// The first failed write or sync, if there was one.
    pub(crate) fn latched(&self) -> Option<LatchedError> {
        if self.has_latched() { lock(&self.latch).clone() } else { None }
    }

    /// Latches on the first failure; later ones change nothing. Returns what stands.
    pub(crate) fn latch(&self, error: &DiskError) -> LatchedError {
        let mut latch = lock(&self.latch);
        if planted::is(Bug::LatchOverwritten) {
            *latch = None;
        }
        let stands = latch.get_or_insert_with(|| LatchedError {
            errno: error.errno(),
            call: error.call,
            file: error.path.clone(),
            offset: error.offset,
            durable_sequence: self.sequence(),
        });
        let stands = stands.clone();
        if planted::is(Bug::FailureForgotten) {
            *latch = None;
            return stands;
        }
        // ORDERING: Relaxed, under the lock: see `has_latched`.
        self.has_latched.0.store(true, Ordering::Relaxed);
        drop(latch);
        self.wake();
        stands
    }
}
