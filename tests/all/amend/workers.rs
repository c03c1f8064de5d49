//! Cancels and corrects while workers of the coldpath are killed at random and trading goes on: the book at the end is the naive
//! reading of what was accepted, and every correction told its lots.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lotbook_core::digest;
use lotbook_core::rules::LotMethod;
use lotbook_engine::EngineConfig;
use lotbook_engine::coldpath::{ColdConfig, Order, Stage};
use lotbook_perf::rng::Rng;
use lotbook_tests::lots_told::lots_are_told;
use lotbook_tests::rig::{PATIENCE, Rig, config};

use super::host::{agrees_with, arrive};
use super::rig::{AmendRig, Arrival};
use super::{NAMES, arrivals, rules};
use crate::coldpath::workers::revive;
use crate::support::long_form;

static STAGES_ENTERED: AtomicU64 = AtomicU64::new(0);
static PANICS_ARE_PLANTED: AtomicBool = AtomicBool::new(false);

/// One stage in four panics, without words.
fn panics_at_random(_: Stage, position: u32) {
    let number = STAGES_ENTERED.fetch_add(1, Ordering::Relaxed);
    if PANICS_ARE_PLANTED.load(Ordering::Relaxed) && digest::mix(number, u64::from(position)).is_multiple_of(4) {
        std::panic::resume_unwind(Box::new("planted"));
    }
}

#[test]
fn workers_that_are_killed_among_cancels_and_corrects_lose_nothing() {
    let seeds = if long_form() { 400 } else { 10 };
    let (mut panics, mut corrections, mut buried, mut lots) = (0, 0, 0, 0);
    for seed in 0..seeds {
        PANICS_ARE_PLANTED.store(true, Ordering::Relaxed);
        let mut rng = Rng::new(seed, 640);
        let method = [LotMethod::Fifo, LotMethod::Hifo, LotMethod::Lifo][(seed % 3) as usize];
        let list: Vec<Arrival> =
            arrivals(&mut rng, 5, false).into_iter().filter(|arrival| *arrival != Arrival::Reconcile).collect();
        let mut model = AmendRig::new(rules(method, true), NAMES);
        list.iter().for_each(|arrival| {
            model.arrive(arrival);
        });
        model.reconcile();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let order = if seed % 2 == 0 { Order::NewestFirst } else { Order::OldestFirst };
        let on_stage: Option<fn(Stage, u32)> = Some(panics_at_random);
        let cold =
            ColdConfig { workers: 2, order, retry_base: Duration::from_millis(1), on_stage, ..ColdConfig::default() };
        let mut rig = Rig::start(&EngineConfig { cold, ..config(dir.path()) });
        rig.rules(method, true, -1_000_000);
        for arrival in &list {
            arrive(&mut rig, arrival);
            let coldpath = rig.host.coldpath();
            match rng.below(12) {
                0 => coldpath.pause(),
                1..=3 => coldpath.resume(),
                4 => assert!(coldpath.resize(rng.below(5) as usize) >= 1),
                // Often enough each of them meets a position that is estimated, replayed, or just corrected.
                5 => {
                    coldpath.resume();
                    assert!(rig.host.wait_reconciled(PATIENCE), "seed {seed}: {:?}", rig.host.error());
                }
                _ => {}
            }
        }
        rig.host.coldpath().resume();
        assert!(rig.host.wait_reconciled(PATIENCE), "seed {seed}: {:?}", rig.host.error());
        PANICS_ARE_PLANTED.store(false, Ordering::Relaxed);
        revive(&rig.host);
        agrees_with(&rig.host, &model, method, &format!("seed {seed}"));
        lots += lots_are_told(&rig.host);
        let counters = rig.host.coldpath().counters();
        panics += counters.panics();
        corrections += counters.corrections();
        buried += counters.buried();
        assert!(rig.host.error().is_none());
        drop(rig.door);
        rig.host.stop().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    println!(
        "{seeds} histories, {corrections} corrections of {lots} lots, {panics} planted panics, {buried} dead letters"
    );
    assert!(panics > seeds && corrections > seeds);
}
