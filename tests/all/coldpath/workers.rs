//! Workers of the coldpath that panic, hang, come and go while trading goes on: the book at the end is the chronological one.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lotbook_core::command::Side;
use lotbook_core::rules::LotMethod;
use lotbook_engine::coldpath::{ColdConfig, Order, Stage};
use lotbook_engine::{EngineConfig, Host};
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::{PATIENCE, Rig, config};

use super::{Told, accepted, equals_oracle, input, trades};
use crate::support::{E8, Spec, long_form, shuffle};

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Tries dead letters again until there are none.
pub(crate) fn revive(host: &Host) {
    wait_until("no dead letters", || {
        host.coldpath().retry(None);
        host.wait_reconciled(PATIENCE) && host.dead_letters().is_empty()
    });
}

/// A panic without the words of the hook: it is planted.
fn panic_planted() -> ! {
    std::panic::resume_unwind(Box::new("planted"))
}

static STAGES_ENTERED: AtomicU64 = AtomicU64::new(0);
static PANICS_ARE_PLANTED: AtomicBool = AtomicBool::new(false);

/// One stage in six panics.
fn panics_at_random(_: Stage, position: u32) {
    let number = STAGES_ENTERED.fetch_add(1, Ordering::Relaxed);
    let drawn = lotbook_core::digest::mix(number, u64::from(position)) % 6;
    if PANICS_ARE_PLANTED.load(Ordering::Relaxed) && drawn == 0 {
        panic_planted();
    }
}

/// Any order of arrival, with workers that are killed at random, made more and fewer, paused and resumed.
#[test]
fn workers_that_panic_lose_nothing() {
    let rounds = if long_form() { 40 } else { 3 };
    PANICS_ARE_PLANTED.store(true, Ordering::Relaxed);
    let (mut panics, mut corrections) = (0, 0);
    for round in 0..rounds {
        PANICS_ARE_PLANTED.store(true, Ordering::Relaxed);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let order = if round % 2 == 0 { Order::NewestFirst } else { Order::OldestFirst };
        let retry_base = Duration::from_millis(1);
        let on_stage: Option<fn(Stage, u32)> = Some(panics_at_random);
        let cold = ColdConfig { workers: 3, order, retry_base, on_stage, ..ColdConfig::default() };
        let mut rig = Rig::start(&EngineConfig { cold, ..config(dir.path()) });
        rig.rules(LotMethod::Hifo, true, 0);
        let mut rng = Rng::new(77, round);
        let mut list = trades(&mut rng, 0..3_000, 0..12, 3);
        shuffle(&mut list, &mut rng);
        let mut answers = Vec::new();
        for chunk in list.chunks(250) {
            let inputs: Vec<_> = chunk.iter().map(|spec| input(&rig.host, spec)).collect();
            answers.extend(rig.ask_all(inputs));
            let coldpath = rig.host.coldpath();
            match rng.below(4) {
                0 => coldpath.pause(),
                1 => coldpath.resume(),
                _ => assert!(coldpath.resize(rng.below(20) as usize) >= 1),
            }
        }
        rig.host.coldpath().resume();
        let accepted = accepted(&list, &answers);
        assert_eq!(accepted.len(), list.len());
        assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
        PANICS_ARE_PLANTED.store(false, Ordering::Relaxed);
        revive(&rig.host);
        equals_oracle(&rig.host, &accepted, LotMethod::Hifo);
        Told::from_log(&rig.host).sums_up(&rig.host);
        panics += rig.host.coldpath().counters().panics();
        corrections += rig.host.coldpath().counters().corrections();
        assert!(rig.host.error().is_none());
    }
    println!("{rounds} rounds, {corrections} corrections, {panics} planted panics");
    assert!(panics > 0 && corrections > 0);
}

static HANGS: AtomicBool = AtomicBool::new(false);
static HUNG: AtomicU32 = AtomicU32::new(0);

/// The first one to publish position 0 hangs until it is let go.
fn hangs_once(stage: Stage, position: u32) {
    if stage == Stage::Publish && position == 0 && HUNG.fetch_add(1, Ordering::AcqRel) == 0 {
        while HANGS.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A worker that does not come back loses its position to another; when it comes back, nobody listens.
#[test]
fn a_worker_that_hangs_loses_its_position_to_another() {
    HANGS.store(true, Ordering::Release);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let on_stage: Option<fn(Stage, u32)> = Some(hangs_once);
    let cold = ColdConfig { workers: 1, hung_after: Duration::from_millis(300), on_stage, ..ColdConfig::default() };
    let mut rig = Rig::start(&EngineConfig { cold, ..config(dir.path()) });
    rig.rules(LotMethod::Fifo, true, 0);
    let list = [Spec::new(0, Side::Buy, 9 * E8, 5 * E8, 20), Spec::new(1, Side::Sell, 4 * E8, 6 * E8, 10)];
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs);
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
    let counters = rig.host.coldpath().counters();
    assert!(counters.hangs() >= 1, "another one did it");
    wait_until("as many workers as are wanted", || rig.host.coldpath().status().running == 1);
    HANGS.store(false, Ordering::Release);
    // What it says now is passed over: the next late trade finds the book as it was, and is booked once.
    let more = [Spec::new(2, Side::Buy, E8, 3 * E8, 5)];
    let inputs: Vec<_> = more.iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs);
    let all: Vec<Spec> = list.iter().chain(&more).copied().collect();
    equals_oracle(&rig.host, &all, LotMethod::Fifo);
    let told = Told::from_log(&rig.host);
    assert_eq!((told.corrections, told.reconciles), (2, 2));
    told.sums_up(&rig.host);
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
}

static IS_BROKEN: AtomicBool = AtomicBool::new(false);

fn breaks_position_one(stage: Stage, position: u32) {
    if stage == Stage::Replay && position == 1 && IS_BROKEN.load(Ordering::Acquire) {
        panic_planted();
    }
}

/// What fails for ever is a dead letter that everybody sees, keeps nobody else waiting, and can be sent again.
#[test]
fn a_dead_letter_is_seen_and_sent_again() {
    IS_BROKEN.store(true, Ordering::Release);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let on_stage: Option<fn(Stage, u32)> = Some(breaks_position_one);
    let cold = ColdConfig { retry_base: Duration::from_millis(1), on_stage, ..ColdConfig::default() };
    let mut rig = Rig::start(&EngineConfig { cold, ..config(dir.path()) });
    rig.rules(LotMethod::Fifo, true, 0);
    let list: Vec<Spec> = (0..6)
        .map(|id| Spec { account: id % 3, ..Spec::new(id, Side::Buy, E8, E8, if id < 3 { 20 } else { 10 }) })
        .collect();
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs);
    wait_until("one dead letter", || rig.host.dead_letters().len() == 1);
    wait_until("the others", || rig.host.model().provisional_positions() == 1);
    let letters = rig.host.dead_letters();
    assert_eq!((letters[0].position, letters[0].stage), (1, Stage::Replay));
    assert!(letters[0].error.contains("planted"), "{}", letters[0].error);
    let counters = rig.host.coldpath().counters();
    // Three retries after the first try.
    assert_eq!((counters.panics(), counters.failures(Stage::Replay), counters.buried()), (4, 4, 1));
    assert!(rig.host.wait_reconciled(PATIENCE), "a dead letter is as far as it goes without a person");
    IS_BROKEN.store(false, Ordering::Release);
    assert_eq!(rig.host.coldpath().retry(Some(1)), 1);
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
    assert_eq!(rig.host.dead_letters(), []);
}

/// Paused, nothing is reconciled; resumed, everything is.
#[test]
fn a_pause_holds_and_ends() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Fifo, true, 0);
    rig.host.coldpath().pause();
    let list: Vec<Spec> = (0..40).map(|id| Spec::new(id, Side::Buy, E8, E8, 100 - id as i32)).collect();
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs);
    assert!(rig.host.wait_published(PATIENCE));
    let status = rig.host.coldpath().status();
    assert!(status.paused);
    assert_eq!((status.queue.positions, status.queue.busy, rig.host.model().provisional_positions()), (1, 0, 1));
    rig.host.coldpath().resume();
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
    assert_eq!(Told::from_log(&rig.host).corrections, 1);
}
