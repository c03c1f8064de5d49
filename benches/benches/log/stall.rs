//! What a store on the hot thread costs while the log thread flushes without pause, and what the step to the next segment adds.

use std::hint::black_box;
use std::time::Duration;

use lotbook_wal::{Appender, HEADER_BYTES, LogConfig, Opened, RecordMeta, open};

use crate::support::{Clock, Cores, Report, Times, fresh_dir, ticks, times_head};

const PAYLOAD_BYTES: usize = 128;
const TICK: Duration = Duration::from_micros(10);
const SLICE: Duration = Duration::from_millis(250);
const BLOCK_BYTES: usize = 65_536;

/// The same record into anonymous memory that nobody else touches: as many blocks in turn as an idle disk keeps busy.
struct Anonymous {
    blocks: Vec<u8>,
    at: usize,
}

impl Anonymous {
    fn new() -> Self {
        Self { blocks: vec![1; 4 * BLOCK_BYTES], at: 0 }
    }

    #[inline(never)]
    fn store(&mut self, header: &[u8; HEADER_BYTES], payload: &[u8; PAYLOAD_BYTES]) {
        let total = HEADER_BYTES + PAYLOAD_BYTES;
        if self.at % BLOCK_BYTES + total > BLOCK_BYTES {
            self.at = self.at.next_multiple_of(BLOCK_BYTES) % self.blocks.len();
        }
        let out = &mut self.blocks[self.at..self.at + total];
        out[..HEADER_BYTES].copy_from_slice(header);
        out[HEADER_BYTES..].copy_from_slice(payload);
        let checksum = crc32c::crc32c(&out[8..]);
        out[..4].copy_from_slice(&checksum.to_le_bytes());
        self.at = (self.at + total) % self.blocks.len();
    }
}

#[inline(never)]
fn store(appender: &mut Appender, payload: &[u8; PAYLOAD_BYTES]) {
    appender
        .append(&RecordMeta::single(1), PAYLOAD_BYTES, |out| out.copy_from_slice(payload))
        .expect("the disk keeps up");
}

/// Three figures for each tick, taken in changing order: nothing at all, the record into anonymous memory, the record into the log.
pub(crate) fn run(clock: Clock, cores: Cores, report: &mut Report) {
    println!(
        "\n## A store on the hot thread, at 100,000 records/s of {PAYLOAD_BYTES} bytes, under a continuous flush\n"
    );
    let dir = fresh_dir();
    let mut config = LogConfig::new(dir.path().join("log"));
    config.log_core = Some(cores.log);
    let Opened { log, mut appender, .. } = open(config).expect("a log");
    let mut anonymous = Anonymous::new();
    let (header, payload) = ([7u8; HEADER_BYTES], [9u8; PAYLOAD_BYTES]);
    let mut times = [Times::new(), Times::new(), Times::new()];
    let tick = clock.ticks_of(TICK);
    std::thread::sleep(Duration::from_secs(1));
    let pinned = cores.pin_hot();
    let mut next = ticks();
    let until = next + clock.ticks_of(Duration::from_secs(12));
    // A machine that is busy elsewhere takes longer for a tick; it gets fewer of them.
    for round in (0..800_000u64).take_while(|_| ticks() < until) {
        while ticks() < next {
            std::hint::spin_loop();
        }
        for turn in 0..3 {
            let which = ((round + turn) % 3) as usize;
            let from = ticks();
            match which {
                0 => {
                    black_box(&header);
                }
                1 => anonymous.store(black_box(&header), black_box(&payload)),
                _ => store(&mut appender, black_box(&payload)),
            }
            times[which].record(clock.ns(ticks() - from));
        }
        next = (next + tick).max(ticks().saturating_sub(100 * tick));
    }
    drop(pinned);
    black_box(&anonymous.blocks);
    let stats = log.stats();
    println!("{}", times_head("store", "ns"));
    for (name, times) in ["the harness alone", "into anonymous memory", "into the log's tail"].iter().zip(&times) {
        println!("{}", times.row(name, 1.0));
    }
    let flush_us = stats.flush_ns_sum as f64 / stats.flushes.max(1) as f64 / 1e3;
    println!("flushes meanwhile: {}, {flush_us:.0} us each on average", stats.flushes);
    let at = |q: f64| times[2].at(q) / times[1].at(q);
    println!(
        "tail / anonymous: p50 {:.2}, p99 {:.2}, p99.9 {:.2}, p99.99 {:.2}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(0.9999)
    );
    report.at_most("store under a continuous flush against anonymous memory, p99.9", at(0.999), 1.2);
    appender.close().expect("closed");
}

/// Slices of a log that goes over to the next segment all the time and of one that never does, in turn.
pub(crate) fn rolls(clock: Clock, cores: Cores, report: &mut Report) {
    println!(
        "\n## A store with and without steps to the next segment, at 100,000 records/s of {PAYLOAD_BYTES} bytes\n"
    );
    let dir = fresh_dir();
    let mut logs: Vec<Opened> = [(1 << 20, "rolls"), (256 << 20, "stays")]
        .into_iter()
        .map(|(segment_bytes, name)| {
            let mut config = LogConfig::new(dir.path().join(name));
            config.segment_bytes = segment_bytes;
            config.log_core = Some(cores.log);
            open(config).expect("a log")
        })
        .collect();
    let payload = [9u8; PAYLOAD_BYTES];
    let mut times = [Times::new(), Times::new()];
    let mut full = 0u64;
    let tick = clock.ticks_of(TICK);
    let slice = clock.ticks_of(SLICE);
    // The second log's segments are being prepared at first.
    std::thread::sleep(Duration::from_secs(1));
    let pinned = cores.pin_hot();
    for round in 0..32 {
        let which = round % 2;
        let until = ticks() + slice;
        let mut next = ticks();
        while next < until {
            while ticks() < next {
                std::hint::spin_loop();
            }
            let from = ticks();
            let done =
                logs[which].appender.append(&RecordMeta::single(1), PAYLOAD_BYTES, |out| out.copy_from_slice(&payload));
            match done {
                Ok(_) => times[which].record(clock.ns(ticks() - from)),
                Err(_) => full += 1,
            }
            next += tick;
        }
    }
    drop(pinned);
    let rolled = logs[0].log.stats().rolls;
    println!("{}", times_head("store", "ns"));
    println!("{}", times[0].row("with rolls, segments of 1 MiB", 1.0));
    println!("{}", times[1].row("without", 1.0));
    println!("rolls: {rolled}; refused because the next segment was not ready or the tail full: {full}");
    let ratio = times[0].at(0.9999) / times[1].at(0.9999);
    report.at_most("store with rolls against without, p99.99", ratio, 2.0);
    for opened in logs.drain(..) {
        opened.appender.close().expect("closed");
    }
}
