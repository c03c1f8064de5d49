//! What a thread does when there is nothing to do.

use std::time::Duration;

pub use lotbook_wal::nap;

/// How to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitKind {
    /// Spins: lowest latency, burns its core, makes no system call.
    Spin,
    /// Spins a little, then sleeps, 50 us at first and 400 us in the end.
    Park,
    /// Spins where there are at least four cores, else parks: a laptop is not burnt.
    Auto,
}

impl WaitKind {
    /// The choice for this machine.
    #[must_use]
    pub fn resolve(self) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            Self::Auto if cores >= 4 => Self::Spin,
            Self::Auto => Self::Park,
            chosen => chosen,
        }
    }
}

const SPINS: u32 = 256;
/// Sleeps of the first length before they double, and how often they double: an idle host costs little.
const SLEEPS: u32 = 256;
const DOUBLINGS: u32 = 3;

/// A waiting thread's memory of how long it has been idle.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    kind: WaitKind,
    sleep: Duration,
    idle: u32,
}

impl Waiter {
    /// A waiter of this kind with first sleeps of 50 us; [`WaitKind::Auto`] is resolved.
    #[must_use]
    pub fn new(kind: WaitKind) -> Self {
        Self::with_sleep(kind, Duration::from_micros(50))
    }

    /// As [`Self::new`], with first sleeps of this length.
    #[must_use]
    pub fn with_sleep(kind: WaitKind, sleep: Duration) -> Self {
        Self { kind: kind.resolve(), sleep, idle: 0 }
    }

    /// There was work.
    #[inline]
    pub fn reset(&mut self) {
        self.idle = 0;
    }

    /// There was none.
    #[inline]
    pub fn idle(&mut self) {
        self.idle = self.idle.saturating_add(1);
        match self.kind {
            WaitKind::Spin => std::hint::spin_loop(),
            _ if self.idle < SPINS => std::hint::spin_loop(),
            _ => {
                let doublings = ((self.idle - SPINS) / SLEEPS).min(DOUBLINGS);
                std::thread::sleep(self.sleep * (1 << doublings));
            }
        }
    }
}
