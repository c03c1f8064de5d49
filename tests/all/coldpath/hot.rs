//! A position that does not stop trading is reconciled all the same: trades that come while it is replayed are booked again behind its
//! correction, and the book at the end is the chronological one.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use lotbook_core::command::Side;
use lotbook_core::event::Class;
use lotbook_engine::coldpath::{ColdConfig, Stage};
use lotbook_engine::limits::CATCH_UP_MOST;
use lotbook_engine::{EngineConfig, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::{PATIENCE, Rig, config};

use super::{Told, equals_oracle, input};
use crate::support::{E8, ORACLE_METHODS, Spec, long_form};

/// From the worker, which is about to publish, to the test, which trades on, and back.
struct Between {
    publishes: Sender<()>,
    goes_on: Receiver<()>,
}

static BETWEEN: Mutex<Option<Between>> = Mutex::new(None);

/// Between replay and proposal of position 0 the test trades.
fn waits_for_trades(stage: Stage, position: u32) {
    if stage == Stage::Publish && position == 0 {
        let between = BETWEEN.lock().expect("not poisoned");
        if let Some(between) = &*between
            && between.publishes.send(()).is_ok()
        {
            // The test that is gone lets it go on.
            let _ = between.goes_on.recv();
        }
    }
}

/// Trades of one hot position: most above all before, some late by a little, some by a lot.
struct Flow {
    rng: Rng,
    sent: Vec<Spec>,
}

impl Flow {
    fn next(&mut self) -> Spec {
        let id = self.sent.len() as u32;
        let side = if self.rng.below(2) == 0 { Side::Buy } else { Side::Sell };
        let mut spec = Spec::new(id, side, self.rng.between(1, 9 * E8), self.rng.between(E8, 2 * E8), 50);
        let back = match self.rng.below(30) {
            0 => i64::from(id) / 2,
            1 | 2 => 3,
            _ => 0,
        };
        (spec.at_ns, spec.order) = (i64::from(id) - back, u64::from(id));
        self.sent.push(spec);
        spec
    }

    fn trade(&mut self, rig: &mut Rig, count: usize) {
        let specs: Vec<Spec> = (0..count).map(|_| self.next()).collect();
        let inputs: Vec<_> = specs.iter().map(|spec| input(&rig.host, spec)).collect();
        for answer in rig.ask_all(inputs) {
            assert!(matches!(answer.status, Status::Trade(Class::Applied | Class::Provisional)), "{answer:?}");
        }
    }
}

/// At each publication the position moves on: by nothing, a few trades, late ones among them, and by more than the shard takes.
#[test]
fn trades_behind_a_replay_are_booked_again() {
    let (publications, methods) = if long_form() { (400, &ORACLE_METHODS[..]) } else { (40, &ORACLE_METHODS[..3]) };
    let (mut rebooked, mut left, mut corrections, mut stale) = (0, 0, 0, 0);
    for (round, &method) in methods.iter().enumerate() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let on_stage: Option<fn(Stage, u32)> = Some(waits_for_trades);
        let cold = ColdConfig { workers: 2, on_stage, ..ColdConfig::default() };
        let config = EngineConfig { cold, ..config(dir.path()) };
        let (publishes, published) = channel();
        let (goes, goes_on) = channel();
        *BETWEEN.lock().expect("not poisoned") = Some(Between { publishes, goes_on });
        let mut rig = Rig::start(&config);
        rig.rules(method, true, 0);
        let mut flow = Flow { rng: Rng::new(11, round as u64), sent: Vec::new() };
        flow.trade(&mut rig, 300);
        for publication in 0..publications {
            published.recv_timeout(PATIENCE).expect("the position is PROVISIONAL, so somebody publishes");
            let count = match flow.rng.below(12) {
                0 => 0,
                1 => CATCH_UP_MOST + 1,
                2 => CATCH_UP_MOST,
                _ => flow.rng.below(40) as usize,
            };
            flow.trade(&mut rig, count);
            if publication + 1 == publications {
                // Nobody waits for the test from here on.
                drop(goes);
                break;
            }
            goes.send(()).expect("the worker waits");
            // One late trade at least, so that there is a next publication.
            let mut spec = flow.next();
            (spec.at_ns, spec.order) = (i64::from(spec.id) - 100, u64::from(spec.id));
            *flow.sent.last_mut().expect("this one") = spec;
            let input = input(&rig.host, &spec);
            rig.ask_all([input]);
        }
        drop(published);
        equals_oracle(&rig.host, &flow.sent, method);
        let told = Told::from_log(&rig.host);
        told.sums_up(&rig.host);
        assert_eq!(told.rebooked, rig.host.counters().rebooked());
        rebooked += told.rebooked;
        left += told.left;
        corrections += told.corrections;
        stale += rig.host.counters().corrections().1;
        *BETWEEN.lock().expect("not poisoned") = None;
        // The same book out of the log, the shard's and the follower's.
        rig.host.crash();
        let rig = Rig::start(&config);
        equals_oracle(&rig.host, &flow.sent, method);
        drop(rig.door);
        rig.host.stop().expect("digests of both sides agree");
    }
    println!("{corrections} corrections, {rebooked} trades rebooked, {left} late ones left, {stale} stale proposals");
    assert!(rebooked > 100 && left > 10 && stale > 0);
}
