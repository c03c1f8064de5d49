//! A desk between a worker and the shard: one asks, the other answers, in one cell that changes hands.
//!
//! ```text
//! worker: fills the cell, turn = SHARD, rings ---> shard: takes the ask, puts the answer, turn = WORKER ---> worker: takes it
//! ```
//! The cell belongs to whoever's turn it is. Nothing is allocated, freed or waited for on the shard's side; one word, the
//! bell, tells it whether any desk has work.

#[cfg(not(loom))]
use std::cell::UnsafeCell;
#[cfg(not(loom))]
use std::sync::Arc;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(loom)]
use loom::sync::Arc;
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

const WORKER: u8 = 0;
const SHARD: u8 = 1;

#[derive(Debug)]
struct Desk<T> {
    turn: AtomicU8,
    cell: UnsafeCell<Option<T>>,
}

// SAFETY: the cell is touched only by the one whose turn it is, see `with`; the turn goes over by release and acquire, to the shard
// those of the bell.
unsafe impl<T: Send> Sync for Desk<T> {}

impl<T> Desk<T> {
    /// Touches the cell.
    ///
    /// # Safety
    /// It is the caller's turn, and each side is one thread at a time.
    unsafe fn with<R>(&self, what: impl FnOnce(&mut Option<T>) -> R) -> R {
        #[cfg(not(loom))]
        // SAFETY: by the caller's promise nobody else touches the cell until the turn is given away.
        return what(unsafe { &mut *self.cell.get() });
        #[cfg(loom)]
        // SAFETY: as above; the model checker watches.
        return self.cell.with_mut(|cell| what(unsafe { &mut *cell }));
    }
}

/// What all desks of a shard share.
#[derive(Debug)]
struct Shared {
    /// A bit for each desk at which somebody may wait.
    bell: AtomicU64,
    /// The shard is gone: no answer will come.
    closed: AtomicBool,
}

/// A worker's side of its desk. Belongs to one thread at a time.
#[derive(Debug)]
pub(crate) struct Asker<T> {
    desk: Arc<Desk<T>>,
    shared: Arc<Shared>,
    bit: u64,
}

/// The shard's side of all desks.
#[derive(Debug)]
pub(crate) struct Desks<T> {
    desks: Vec<Arc<Desk<T>>>,
    shared: Arc<Shared>,
    /// Bits of the bell that were taken and not yet looked at.
    rung: u64,
}

/// So many desks, at most 64.
pub(crate) fn desks<T>(count: usize) -> (Vec<Asker<T>>, Desks<T>) {
    assert!(count <= 64, "a bit of the bell each");
    let shared = Arc::new(Shared { bell: AtomicU64::new(0), closed: AtomicBool::new(false) });
    let desk = |_| Arc::new(Desk { turn: AtomicU8::new(WORKER), cell: UnsafeCell::new(None) });
    let desks: Vec<_> = (0..count).map(desk).collect();
    let asker =
        |(bit, desk): (usize, &Arc<Desk<T>>)| Asker { desk: desk.clone(), shared: shared.clone(), bit: 1 << bit };
    let askers = desks.iter().enumerate().map(asker).collect();
    (askers, Desks { desks, shared, rung: 0 })
}

impl<T> Asker<T> {
    /// Asks. The answer to the last ask has been taken.
    pub(crate) fn ask(&mut self, ask: T) {
        // ORDERING: pairs with the shard's release in `answer`: its touch of the cell came before this one.
        assert!(self.desk.turn.load(Ordering::Acquire) == WORKER, "the answer to the last ask has not come");
        // SAFETY: it is our turn, and `&mut self` makes us the only worker here.
        unsafe { self.desk.with(|cell| *cell = Some(ask)) };
        // ORDERING: relaxed, for the bell follows: who hears it sees the turn.
        self.desk.turn.store(SHARD, Ordering::Relaxed);
        // ORDERING: release, pairs with the acquire in `next`: who hears the bell sees the turn and the cell as they were left.
        self.shared.bell.fetch_or(self.bit, Ordering::Release);
    }

    /// The answer, once it is there.
    pub(crate) fn poll(&mut self) -> Option<T> {
        // ORDERING: acquire, pairs with the release in `answer`: we see the cell as the shard left it.
        if self.desk.turn.load(Ordering::Acquire) != WORKER {
            return None;
        }
        // SAFETY: it is our turn, and `&mut self` makes us the only worker here.
        unsafe { self.desk.with(Option::take) }
    }

    /// Whether an answer is still to come.
    pub(crate) fn is_waiting(&self) -> bool {
        self.desk.turn.load(Ordering::Acquire) != WORKER
    }

    /// Whether the shard is gone.
    pub(crate) fn is_closed(&self) -> bool {
        // ORDERING: acquire, pairs with the release in `drop`; it carries nothing but itself.
        self.shared.closed.load(Ordering::Acquire)
    }
}

impl<T> Desks<T> {
    /// A desk at which an answer is waited for, with what was asked there. [`Self::answer`] must follow.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(usize, T)> {
        if self.rung == 0 {
            // One load while nobody asks. ORDERING: relaxed, for the swap decides.
            if self.shared.bell.load(Ordering::Relaxed) == 0 {
                return None;
            }
            // ORDERING: acquire, pairs with the release in `ask`.
            self.rung = self.shared.bell.swap(0, Ordering::Acquire);
        }
        while self.rung != 0 {
            let index = self.rung.trailing_zeros() as usize;
            self.rung &= self.rung - 1;
            let desk = &self.desks[index];
            // ORDERING: relaxed, for the bell was heard: the worker's turn ended before it rang.
            if desk.turn.load(Ordering::Relaxed) == SHARD {
                // SAFETY: it is our turn, and `&mut self` makes us the only shard.
                let ask = unsafe { desk.with(Option::take) };
                return Some((index, ask.expect("whoever gives its turn away leaves an ask")));
            }
        }
        None
    }

    /// Answers at a desk that [`Self::next`] gave.
    #[inline]
    pub(crate) fn answer(&mut self, index: usize, answer: T) {
        let desk = &self.desks[index];
        // SAFETY: it is our turn since `next`.
        unsafe { desk.with(|cell| *cell = Some(answer)) };
        // ORDERING: release, pairs with the acquires in `poll` and `ask`.
        desk.turn.store(WORKER, Ordering::Release);
    }
}

impl<T> Drop for Desks<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn asks_are_answered_at_their_own_desks() {
        let (mut askers, mut desks) = desks::<u32>(3);
        assert_eq!(desks.next(), None);
        askers[2].ask(20);
        askers[0].ask(10);
        assert!(askers[0].is_waiting() && !askers[1].is_waiting());
        for wanted in [(0, 10), (2, 20)] {
            let (index, ask) = desks.next().expect("an ask");
            assert_eq!((index, ask), wanted);
            desks.answer(index, ask + 1);
        }
        assert_eq!(desks.next(), None);
        assert_eq!((askers[0].poll(), askers[1].poll(), askers[2].poll()), (Some(11), None, Some(21)));
        assert!(!askers[1].is_closed());
        drop(desks);
        assert!(askers[1].is_closed());
    }

    #[test]
    fn threads_take_turns() {
        let (askers, mut desks) = desks::<u64>(4);
        let threads: Vec<_> = askers
            .into_iter()
            .map(|mut asker| {
                std::thread::spawn(move || {
                    (0..5_000u64).fold(0, |sum, ask| {
                        asker.ask(ask);
                        loop {
                            match asker.poll() {
                                Some(answer) => break sum + answer,
                                None => crate::wait::nap(),
                            }
                        }
                    })
                })
            })
            .collect();
        let mut served = 0;
        while served < 4 * 5_000 {
            match desks.next() {
                Some((index, ask)) => {
                    desks.answer(index, ask * 2);
                    served += 1;
                }
                None => crate::wait::nap(),
            }
        }
        for thread in threads {
            assert_eq!(thread.join().expect("a worker"), 4_999 * 5_000);
        }
    }
}
