//! Several flushes under way: begun one after the other, written, synced and told in every order, and cut short at every step.
//!
//! All orders of two flushes are tried, ended after every step in two ways (long form: in all six); orders of four, of which as many are
//! under way as may be, are sampled. What was answered as durable must be there, what was applied after a kill too, and nobody is refused.

use std::sync::Arc;

use lotbook_wal::sim::{Call, Cut, Failure, Prepared, Random, SimDisk, SteppedFlight, SteppedLog, Stop, open_stepped};
use lotbook_wal::{LogConfig, RecordMeta};

const SEGMENT: u64 = 128 << 10;
/// Begin, write, sync, tell.
const STEPS: usize = 4;
const STOPS: [Stop; 6] = [
    Stop::Kill,
    Stop::PowerCut(Cut::Nothing),
    Stop::PowerCut(Cut::Everything),
    Stop::PowerCut(Cut::InOrder),
    Stop::PowerCut(Cut::Reversed),
    Stop::PowerCut(Cut::Torn),
];
/// Sampled orders of four flushes: short form, long form.
const SAMPLES: (u64, u64) = (600, 20_000);

/// A log with something in it, and flushes under way.
struct Scene {
    disk: SimDisk,
    config: LogConfig,
    opened: SteppedLog,
    flights: Vec<Option<SteppedFlight>>,
    begun: usize,
}

impl Scene {
    /// `filled` so many records of 60,000 bytes lie in the first segment before: with two of them the next flushes go over to the second.
    fn new(seed: u64, depth: usize, filled: u64) -> Result<Self, String> {
        let disk = SimDisk::new(seed);
        disk.set_direct(seed.is_multiple_of(2));
        let config = LogConfig {
            segment_bytes: SEGMENT,
            tail_blocks: 8,
            max_flush_bytes: 64 << 10,
            flushes_in_flight: depth,
            ..LogConfig::new("/data/log")
        };
        let opened = open_stepped(config.clone(), Arc::new(disk.clone())).map_err(|e| e.to_string())?;
        let mut scene = Self { disk, config, opened, flights: Vec::new(), begun: 0 };
        while scene.opened.preparer.step() == Prepared::One {}
        for _ in 0..filled {
            scene.append(60_000);
            scene.opened.flusher.step(0).map_err(|e| e.to_string())?;
        }
        Ok(scene)
    }

    fn append(&mut self, length: usize) {
        let fill = |out: &mut [u8]| out.fill(5);
        self.opened.appender.append(&RecordMeta::single(1), length, fill).expect("there is room");
    }

    /// The next step of that flush. The first of them all begins it, behind what others have begun: a part of a block, or blocks as well.
    fn step(&mut self, flush: usize) -> Result<(), String> {
        if flush >= self.flights.len() {
            // Flushes begin in order, whichever was named.
            self.append([100, 9_000, 300, 5_000][self.begun % 4]);
            self.begun += 1;
            self.flights.push(self.opened.flusher.begin(0).map_err(|e| e.to_string())?);
            return Ok(());
        }
        let Some(flight) = &mut self.flights[flush] else { return Ok(()) };
        if flight.advance().map_err(|e| e.to_string())?.is_some() {
            self.flights[flush] = None;
        }
        Ok(())
    }

    /// Ends that way and opens again.
    fn end(self, stop: Stop) -> Result<(), String> {
        let (durable, applied) = (self.opened.log.durable_sequence(), self.opened.log.published_sequence());
        self.disk.restart(stop);
        drop((self.opened, self.flights));
        let opened = open_stepped(self.config, Arc::new(self.disk)).map_err(|e| format!("refused: {e}"))?;
        let end = opened.report.next_sequence - 2;
        let promised = if stop == Stop::Kill { applied } else { durable };
        if end < promised {
            return Err(format!("{durable} was durable and {applied} applied, and {:?}", opened.report));
        }
        Ok(())
    }
}

/// All orders of the steps of so many flushes, each flush's own in order.
fn orders(left: &mut [usize], order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if left.iter().all(|left| *left == 0) {
        all.push(order.clone());
        return;
    }
    for flush in 0..left.len() {
        if left[flush] > 0 {
            left[flush] -= 1;
            order.push(flush);
            orders(left, order, all);
            order.pop();
            left[flush] += 1;
        }
    }
}

fn run(seed: u64, depth: usize, filled: u64, order: &[usize], stop: Stop) -> Result<(), String> {
    let told =
        |what| format!("seed {seed}, depth {depth}, {filled} before, steps of flushes {order:?}, {stop:?}: {what}");
    let mut scene = Scene::new(seed, depth, filled).map_err(told)?;
    for flush in order {
        scene.step(*flush).map_err(told)?;
    }
    scene.end(stop).map_err(told)
}

/// How many ends were tried.
pub(crate) fn flushes_in_every_order() -> Result<u64, String> {
    let mut all = Vec::new();
    orders(&mut [STEPS; 2], &mut Vec::new(), &mut all);
    let long = std::env::var_os("LOTBOOK_LONG").is_some();
    let mut tried = 0;
    for filled in [0, 2] {
        for (number, order) in all.iter().enumerate() {
            for steps in 0..=order.len() {
                // The last way tears what it finds.
                let torn = STOPS.len() - 1;
                let stops = if long { (0..STOPS.len()).collect() } else { vec![(number + steps) % torn, torn] };
                for stop in stops {
                    run(tried, 2, filled, &order[..steps], STOPS[stop])?;
                    tried += 1;
                }
            }
        }
    }
    for seed in 0..if long { SAMPLES.1 } else { SAMPLES.0 } {
        let mut random = Random::new(seed);
        let (depth, filled) = (random.within(1, 3) as usize, random.below(3));
        let steps = random.below(20) as usize;
        let order: Vec<usize> = (0..steps).map(|_| random.below(4) as usize).collect();
        run(seed, depth, filled, &order, random.pick(&STOPS))?;
        tried += 1;
    }
    Ok(tried)
}

#[test]
fn flushes_under_way_may_be_through_in_any_order_and_cut_short_at_any_step() {
    println!("{} ends of flushes under way", flushes_in_every_order().unwrap());
}

/// The sync of one flush fails. What it left undone may be another one's bytes, whose own sync then finds nothing to do; the log does not know
/// of the failure yet. That flush must be told as well.
pub(crate) fn a_failure_told_to_one_is_told_to_all() -> Result<(), String> {
    for seed in 0..40 {
        let mut scene = Scene::new(seed, 2, 0)?;
        for flush in [0, 1, 0, 1] {
            scene.step(flush)?;
        }
        scene.disk.fail(Failure { call: Some(Call::Sync), after: 0, errno: libc::EIO, lasting: false });
        // The second fails, and nobody knows; the first goes on to its end.
        scene.step(1)?;
        let _ = scene.step(0).and_then(|()| scene.step(0));
        scene.end(Stop::PowerCut(Cut::Nothing)).map_err(|what| format!("seed {seed}: {what}"))?;
    }
    Ok(())
}

#[test]
fn a_sync_that_failed_is_told_to_every_flush_under_way() {
    a_failure_told_to_one_is_told_to_all().unwrap();
}

/// Never more than may be: the depth bounds what the disk has in its hands, the slots what is not durable yet.
#[test]
fn no_more_flushes_are_under_way_than_may_be() {
    for depth in 1..=3 {
        let mut scene = Scene::new(9, depth, 0).unwrap();
        for flush in 0..depth {
            scene.step(flush).unwrap();
            assert!(scene.flights[flush].is_some());
        }
        scene.step(depth).unwrap();
        assert!(scene.flights[depth].is_none(), "depth {depth}");
        // The last of them is through, and waits for the ones before it.
        for _ in 1..STEPS {
            scene.step(depth - 1).unwrap();
        }
        assert_eq!(scene.opened.log.durable_sequence() == scene.opened.log.published_sequence() - 1, depth == 1);
        scene.step(depth + 1).unwrap();
        // One more may begin, unless three are open: then its slot would be the newest durable one's.
        assert_eq!(scene.flights[depth + 1].is_some(), depth < 3, "depth {depth}");
    }
}
