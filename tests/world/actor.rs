//! Actors: each runs on a stack of its own, on the one thread of the world, and gives its turn back where it would wait.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use generator::{Gn, LocalGenerator};
use lotbook_engine::clock::Simulated;

/// Words of an actor's stack: 1 MiB.
const STACK_WORDS: usize = 1 << 17;

/// Gives the turn of the actor whose stack it lies on back.
type Pause = *mut dyn FnMut();

thread_local! {
    static RUNNING: Cell<Option<Pause>> = const { Cell::new(None) };
}

/// Gives the turn back. Comes back when the actor has its next one.
///
/// # Panics
/// Outside an actor: nobody would ever give the turn back.
pub(crate) fn rest() {
    let pause = RUNNING.take().expect("only an actor waits");
    // SAFETY: set by the actor that runs, see `Actor::new`: the closure lives on its stack as long as its body runs, and nobody else
    // has the pointer while it is called, for it was taken.
    unsafe { (*pause)() };
    RUNNING.set(Some(pause));
}

/// An actor: what it does, as far as it has come.
pub(crate) struct Actor {
    body: LocalGenerator<'static, (), ()>,
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Actor")
    }
}

impl Actor {
    /// One that does this when it has its first turn.
    pub(crate) fn new(body: impl FnOnce() + 'static) -> Self {
        let body = Gn::new_scoped_opt_local(STACK_WORDS, move |mut scope| {
            let mut pause = || scope.yield_with(());
            let pause: *mut (dyn FnMut() + '_) = &mut pause;
            // SAFETY: only the lifetime changes. The pointer is used by `rest` alone, on this stack, while the body runs.
            let pause = unsafe { std::mem::transmute::<*mut (dyn FnMut() + '_), Pause>(pause) };
            RUNNING.set(Some(pause));
            body();
            RUNNING.set(None);
        });
        Self { body }
    }

    /// Whether it has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.body.is_done()
    }

    /// One turn; what it panicked with, if it did.
    pub(crate) fn turn(&mut self) -> Result<(), String> {
        let turn = catch_unwind(AssertUnwindSafe(|| self.body.resume()));
        RUNNING.set(None);
        turn.map(|_| ()).map_err(|panic| words(&*panic))
    }
}

/// What a panic says.
pub(crate) fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The world's clock: it stands still unless the world moves it.
#[derive(Debug)]
pub(crate) struct WorldClock(AtomicU64);

impl WorldClock {
    /// It is this long after 1970.
    pub(crate) fn at_ns(now_ns: u64) -> Self {
        Self(AtomicU64::new(now_ns))
    }

    /// Time passes.
    pub(crate) fn pass(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::Relaxed);
    }
}

impl Simulated for WorldClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn rest(&self) {
        rest();
    }
}
