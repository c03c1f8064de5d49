//! What the shard thread must never do in steady state: allocate, free, or (spinning) call the system.
//!
//! A binary of its own, for it replaces the global allocator by one that counts what the shard does.

mod load;
mod quiet;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use lotbook_core::event::Class;
use lotbook_engine::config::Role;
use lotbook_tests::rig::{PATIENCE, Rig, config};

use crate::load::{Load, Seen};

thread_local! {
    /// This is the shard's thread. Const and without drop, so that reading it allocates nothing.
    static IS_SHARD: Cell<bool> = const { Cell::new(false) };
}

/// One test at a time: each wants the machine.
static ALONE: Mutex<()> = Mutex::new(());

static ARMED: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREES: AtomicU64 = AtomicU64::new(0);
/// Proof that the hook ran and the counter counts: what the shard allocated before it was armed.
static BEFORE: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count(counter: &AtomicU64) {
    if IS_SHARD.try_with(Cell::get).unwrap_or(false) {
        let counter = if ARMED.load(Ordering::Relaxed) { counter } else { &BEFORE };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(&ALLOCATIONS);
        // SAFETY: the caller's contract, passed on.
        unsafe { System.realloc(old, layout, bytes) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        count(&FREES);
        // SAFETY: the caller's contract, passed on.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn on_thread(role: Role) {
    if role == Role::Shard {
        IS_SHARD.set(true);
        // One allocation that must be seen, or the proof below proves nothing.
        drop(std::hint::black_box(Box::new(0u8)));
    }
}

#[test]
fn the_shard_allocates_nothing_over_two_million_inputs() {
    const INPUTS: u64 = 2_000_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.trade_ids_max = 1 << 22;
    config.on_thread = Some(on_thread);
    let mut rig = Rig::start(&config);
    let mut load = Load::new(&mut rig);
    load.run(&mut rig, 60_000);
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
    assert!(BEFORE.load(Ordering::Relaxed) >= 2, "the counter counts nothing");
    let (before, segments) = (Seen::now(&rig, &load), load::segments(&config));

    ARMED.store(true, Ordering::SeqCst);
    load.run(&mut rig, INPUTS);
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?} {:?}", rig.host.error(), rig.host.dead_letters());
    ARMED.store(false, Ordering::SeqCst);

    let counted = (ALLOCATIONS.load(Ordering::Relaxed), FREES.load(Ordering::Relaxed));
    let after = Seen::now(&rig, &load);
    println!("before {before:?}\nafter  {after:?}");
    for ((name, before), (_, after)) in before.named().into_iter().zip(after.named()) {
        assert!(after > before, "no {name} among the inputs");
    }
    assert!(load.lots_most >= 1_000, "{}", load.lots_most);
    assert!(load::segments(&config) > segments + 10, "the log rolled too few segments");
    let trades: u64 = Class::ALL.iter().map(|class| rig.host.counters().trades(*class)).sum();
    assert!(trades + rig.host.counters().others() >= INPUTS);
    assert_eq!(counted, (0, 0), "allocations and frees of the shard's thread");
}
