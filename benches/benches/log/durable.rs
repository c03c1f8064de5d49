//! From append to durable at 10,000 records a second, beside one write and one fdatasync of the same disk.

use std::collections::VecDeque;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use lotbook_wal::{LogConfig, Opened, RecordMeta, open};

use crate::support::{Clock, Cores, Pages, Report, Times, fresh_dir, ticks, times_head, zeroed_file};

const PAYLOAD_BYTES: usize = 128;
const TICK: Duration = Duration::from_micros(100);
const SLICE: Duration = Duration::from_millis(500);
const SLICES: usize = 10;
/// What a flush of one record writes: a tail slot.
const CONTROL_BYTES: usize = 8_192;
const FILE_BYTES: u64 = 64 << 20;

pub(crate) fn run(clock: Clock, cores: Cores, report: &mut Report) {
    println!(
        "\n## From append to durable: 10,000 records/s of {PAYLOAD_BYTES} bytes, one thread that appends and watches\n"
    );
    println!(
        "Slices of {} ms take turns. The control: {CONTROL_BYTES} bytes by O_DIRECT into a zeroed file, then fdatasync, one after",
        SLICE.as_millis()
    );
    println!(
        "the other. The goal compares with that; a record that comes while a flush runs waits for the rest of it and for its own.\n"
    );
    let dir = fresh_dir();
    drop(zeroed_file(&dir.path().join("control"), FILE_BYTES));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).custom_flags(libc::O_DIRECT);
    let file = options
        .open(dir.path().join("control"))
        .or_else(|_| std::fs::OpenOptions::new().write(true).open(dir.path().join("control")));
    let file = file.expect("the control's file");
    let mut pages = Pages::new(CONTROL_BYTES);
    let mut config = LogConfig::new(dir.path().join("log"));
    config.log_core = Some(cores.log);
    let Opened { log, mut appender, .. } = open(config).expect("a log");
    std::thread::sleep(Duration::from_secs(1));
    let _pinned = cores.pin_hot();
    let mut control = Times::new();
    let mut durable = Times::new();
    let mut at = 0;
    for _ in 0..SLICES {
        let until = Instant::now() + SLICE;
        while Instant::now() < until {
            let from = ticks();
            file.write_all_at(pages.bytes(), at % FILE_BYTES).expect("written");
            file.sync_data().expect("synced");
            control.record(clock.ns(ticks() - from));
            at += CONTROL_BYTES as u64;
        }
        slice(clock, &log, &mut appender, &mut durable);
    }
    println!("{}", times_head("latency", "us"));
    println!("{}", control.row("8 KiB write + fdatasync", 1e3));
    println!("{}", durable.row("append to durable", 1e3));
    let at = |q: f64| durable.at(q) / control.at(q);
    println!("durable / fdatasync: p50 {:.2}, p99 {:.2}, p99.9 {:.2}", at(0.5), at(0.99), at(0.999));
    report.at_most("durable acknowledgement at 10,000/s against one write + fdatasync, p50", at(0.5), 1.6);
    report.at_most("durable acknowledgement at 10,000/s against one write + fdatasync, p99", at(0.99), 2.2);
    appender.close().expect("closed");
}

/// Open loop: a record is due each tick whatever the disk does, and its time counts from when it was due.
fn slice(clock: Clock, log: &lotbook_wal::Log, appender: &mut lotbook_wal::Appender, durable: &mut Times) {
    let tick = clock.ticks_of(TICK);
    let mut waiting: VecDeque<(u64, u64)> = VecDeque::with_capacity(65_536);
    let begin = ticks();
    let until = begin + clock.ticks_of(SLICE);
    let mut next = begin;
    while next < until || !waiting.is_empty() {
        let now = ticks();
        if next < until && now >= next {
            let fill = |out: &mut [u8]| out.fill(7);
            let appended = appender.append(&RecordMeta::single(1), PAYLOAD_BYTES, fill).expect("the disk keeps up");
            waiting.push_back((appended.sequence, next));
            next += tick;
        }
        let reached = log.durable_sequence();
        while let Some(&(sequence, due)) = waiting.front()
            && sequence <= reached
        {
            durable.record(clock.ns(ticks().saturating_sub(due)));
            waiting.pop_front();
        }
        std::hint::spin_loop();
    }
}
