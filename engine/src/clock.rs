//! Time and waiting: what the engine's threads ask of the machine, so that a simulated world can answer in its place.
//!
//! Whoever reads a clock, sleeps, or waits for a lock, a bell or the disk does it here. In the product these are the system's own
//! calls, chosen at compile time: nothing is looked up and nothing is asked. Under the feature `sim` a clock may be a simulated
//! one ([`Simulated`]): then time is what the world says, and whoever would wait gives its turn to another actor. Absent: the hot
//! thread's rings, which are polled and never waited for, and the threads themselves, which are started by [`crate::host`] alone.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lotbook_wal::{LatchedError, Log};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::wait::{Waiter, nap};

/// A world that says what time it is, and whose turn.
#[cfg(feature = "sim")]
pub trait Simulated: Send + Sync + std::fmt::Debug {
    /// Time since 1970, UTC nanoseconds. Never goes back.
    fn now_ns(&self) -> u64;
    /// Lets others have their turns. May come back at any time: whoever waits looks again.
    fn rest(&self);
}

/// A clock. Clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    began: Instant,
    #[cfg(feature = "sim")]
    simulated: Option<std::sync::Arc<dyn Simulated>>,
}

impl std::fmt::Debug for Clock {
    /// Without the time, so that two configurations that say the same look the same.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Default for Clock {
    /// The system's.
    fn default() -> Self {
        Self {
            began: Instant::now(),
            #[cfg(feature = "sim")]
            simulated: None,
        }
    }
}

/// Answers with the simulated world's, where there is one.
macro_rules! simulated {
    ($clock:expr, $world:ident => $answer:expr) => {
        #[cfg(feature = "sim")]
        if let Some($world) = &$clock.simulated {
            return $answer;
        }
    };
}

impl Clock {
    /// A simulated one.
    #[cfg(feature = "sim")]
    pub fn simulated(world: std::sync::Arc<dyn Simulated>) -> Self {
        Self { simulated: Some(world), ..Self::default() }
    }

    /// Wall clock, UTC nanoseconds. From the vDSO, without a system call.
    #[inline]
    pub(crate) fn wall_ns(&self) -> i64 {
        simulated!(self, world => world.now_ns() as i64);
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64
    }

    /// Microseconds since a moment that stays the same for this clock. Never goes back.
    #[inline]
    pub(crate) fn now_us(&self) -> u64 {
        simulated!(self, world => world.now_ns() / 1_000);
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Sleeps.
    pub(crate) fn sleep(&self, duration: Duration) {
        simulated!(self, world => world.rest());
        std::thread::sleep(duration);
    }

    /// Lets another thread have this core.
    pub(crate) fn nap(&self) {
        simulated!(self, world => world.rest());
        nap();
    }

    /// There is nothing to do for a waiter.
    #[inline]
    pub(crate) fn idle(&self, waiter: &mut Waiter) {
        simulated!(self, world => world.rest());
        waiter.idle();
    }

    /// Takes a lock that others may hold while they wait.
    pub(crate) fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        simulated!(self, world => loop {
            match mutex.try_lock() {
                Some(guard) => break guard,
                None => world.rest(),
            }
        });
        mutex.lock()
    }

    /// Waits for a bell, at most so long; it may come back sooner.
    pub(crate) fn wait_for<T>(&self, bell: &Condvar, guard: &mut MutexGuard<'_, T>, longest: Duration) {
        simulated!(self, world => MutexGuard::unlocked(guard, || world.rest()));
        bell.wait_for(guard, longest);
    }

    /// As [`Log::wait_durable`], for at most about so long.
    pub(crate) fn wait_durable(&self, log: &Log, sequence: u64, longest: Duration) -> Result<bool, LatchedError> {
        simulated!(self, world => {
            world.rest();
            log.wait_durable(sequence, Duration::ZERO)
        });
        log.wait_durable(sequence, longest)
    }
}
