//! Atomics and locks of what threads share: the standard ones, or under `--cfg loom` those of the model checker.
//!
//! An ordering that carries something from one thread to another has a name, [`order!`]: the models weaken each by its name and must
//! notice. `docs/wal-testing.md` has the table; `scripts/models` runs the models and makes the table again.

pub(crate) use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(not(loom))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

/// The ordering of an access, by name: `order!("published.address", Acquire)`.
#[cfg(not(loom))]
macro_rules! order {
    ($name:literal, $ordering:ident) => {
        $crate::sync::Ordering::$ordering
    };
}

/// As above; a name that is to be weakened is relaxed.
#[cfg(loom)]
macro_rules! order {
    ($name:literal, $ordering:ident) => {
        if $crate::sync::is_weakened($name) {
            $crate::sync::Ordering::Relaxed
        } else {
            $crate::sync::Ordering::$ordering
        }
    };
}

/// A fence, by name: `fence!("copy.fence", Acquire)`.
#[cfg(not(loom))]
macro_rules! fence {
    ($name:literal, $ordering:ident) => {
        std::sync::atomic::fence($crate::sync::Ordering::$ordering)
    };
}

/// As above; one that is to be weakened is left out.
#[cfg(loom)]
macro_rules! fence {
    ($name:literal, $ordering:ident) => {
        if !$crate::sync::is_weakened($name) {
            loom::sync::atomic::fence($crate::sync::Ordering::$ordering)
        }
    };
}

pub(crate) use {fence, order};

/// True for the one name in `LOTBOOK_WEAKEN`.
#[cfg(loom)]
pub(crate) fn is_weakened(name: &str) -> bool {
    static WEAKENED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    WEAKENED.get_or_init(|| std::env::var("LOTBOOK_WEAKEN").ok()).as_deref() == Some(name)
}

/// Takes a lock. One whose owner panicked is free again: what these locks guard is whole at every step.
#[cfg(not(loom))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(loom)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Sleeps until called or for so long.
#[cfg(not(loom))]
pub(crate) fn wait_for<'a, T>(called: &Condvar, mut guard: MutexGuard<'a, T>, timeout: Duration) -> MutexGuard<'a, T> {
    called.wait_for(&mut guard, timeout);
    guard
}

#[cfg(loom)]
pub(crate) fn wait_for<'a, T>(called: &Condvar, guard: MutexGuard<'a, T>, timeout: Duration) -> MutexGuard<'a, T> {
    called.wait_timeout(guard, timeout).unwrap_or_else(|poisoned| poisoned.into_inner()).0
}
