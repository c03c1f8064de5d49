//! Durable records a second with sixteen producers, each with a ring of its own to the one thread that appends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lotbook_wal::{AppendError, LogConfig, Opened, RecordMeta, nap, open};

use super::support::{fresh_dir, median};

/// Threads that want records written.
pub(crate) const PRODUCERS: usize = 16;
/// Payload bytes of a record.
pub(crate) const PAYLOAD_BYTES: usize = 128;
/// Records a producer may have on the way in its ring.
const RING_RECORDS: usize = 4_096;

type Payload = [u8; PAYLOAD_BYTES];

/// Producers that go on while their records become durable: `records` in all, timed from the first to the last one durable.
pub(crate) fn pipelined(records: u64, depth: usize) -> f64 {
    let dir = fresh_dir();
    let Opened { log, mut appender, .. } = open(config(dir.path(), depth)).expect("a log");
    let each = records / PRODUCERS as u64;
    let mut receivers = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..PRODUCERS {
        let (sender, receiver) = rtrb::RingBuffer::<Payload>::new(RING_RECORDS);
        senders.push(sender);
        receivers.push(receiver);
    }
    let took = std::thread::scope(|scope| {
        let began = Instant::now();
        for mut sender in senders {
            scope.spawn(move || {
                let payload = [7u8; PAYLOAD_BYTES];
                for _ in 0..each {
                    while sender.push(payload).is_err() {
                        nap();
                    }
                }
            });
        }
        let mut left = each * PRODUCERS as u64;
        let mut last = 0;
        while left > 0 {
            let mut taken = 0;
            for receiver in &mut receivers {
                let ready = receiver.slots();
                let Ok(chunk) = receiver.read_chunk(ready) else { continue };
                let (front, back) = chunk.as_slices();
                for payload in front.iter().chain(back) {
                    last = append(&mut appender, payload);
                }
                chunk.commit_all();
                taken += ready as u64;
            }
            left -= taken;
            if taken == 0 {
                nap();
            }
        }
        assert!(log.wait_durable(last, Duration::from_secs(60)).expect("a whole disk"));
        began.elapsed()
    });
    appender.close().expect("closed");
    let records = each * PRODUCERS as u64;
    records as f64 / took.as_secs_f64()
}

/// Producers that wait for each record before the next, as a caller of a blocking commit must: for `time`.
pub(crate) fn one_at_a_time(time: Duration, depth: usize) -> f64 {
    let dir = fresh_dir();
    let Opened { log, mut appender, .. } = open(config(dir.path(), depth)).expect("a log");
    // Per producer: records asked for, and the sequence of the last one (0: not appended yet).
    let asked: Vec<AtomicU64> = (0..PRODUCERS).map(|_| AtomicU64::new(0)).collect();
    let sequences: Vec<AtomicU64> = (0..PRODUCERS).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (asked, sequence) in asked.iter().zip(&sequences) {
            let (log, stop) = (&log, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    sequence.store(0, Ordering::Relaxed);
                    asked.fetch_add(1, Ordering::Release);
                    let mut mine = 0;
                    while mine == 0 && !stop.load(Ordering::Relaxed) {
                        nap();
                        mine = sequence.load(Ordering::Acquire);
                    }
                    log.wait_durable(mine, Duration::from_secs(60)).expect("a whole disk");
                }
            });
        }
        let payload = [7u8; PAYLOAD_BYTES];
        let mut taken = [0u64; PRODUCERS];
        while began.elapsed() < time {
            let mut idle = true;
            for (n, asked) in asked.iter().enumerate() {
                if asked.load(Ordering::Acquire) > taken[n] {
                    taken[n] += 1;
                    idle = false;
                    sequences[n].store(append(&mut appender, &payload), Ordering::Release);
                }
            }
            if idle {
                nap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let took = began.elapsed();
    let records = log.durable_sequence();
    appender.close().expect("closed");
    records as f64 / took.as_secs_f64()
}

/// The median of some runs.
pub(crate) fn median_rate(runs: usize, mut run: impl FnMut() -> f64) -> f64 {
    median((0..runs).map(|_| run()).collect())
}

fn append(appender: &mut lotbook_wal::Appender, payload: &Payload) -> u64 {
    loop {
        match appender.append(&RecordMeta::single(1), PAYLOAD_BYTES, |out| out.copy_from_slice(payload)) {
            Ok(at) => return at.sequence,
            // The disk is behind by the whole tail.
            Err(AppendError::TailFull) => nap(),
            Err(e) => panic!("{e}"),
        }
    }
}

fn config(dir: &std::path::Path, depth: usize) -> LogConfig {
    LogConfig { flushes_in_flight: depth, ..LogConfig::new(dir.join("log")) }
}
