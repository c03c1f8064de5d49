//! From append to durable at 10,000 records a second, beside one write and one fdatasync of the same disk.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lotbook_wal::{Appender, Log, LogConfig, Opened, RecordMeta, open};

use crate::support::{Clock, Cores, Pages, Report, Times, fresh_dir, ticks, times_head, zeroed_file};

const PAYLOAD_BYTES: usize = 128;
const TICK: Duration = Duration::from_micros(100);
const SLICE: Duration = Duration::from_millis(500);
const SLICES: usize = 10;
/// What a flush of one record writes: a tail slot.
const CONTROL_BYTES: usize = 8_192;
const FILE_BYTES: u64 = 64 << 20;

/// How many flushes may be under way at a time, in the order in which they are printed.
const DEPTHS: [usize; 3] = [1, 2, 3];

/// One log of its own for each depth; they take turns.
struct Subject {
    depth: usize,
    log: Arc<Log>,
    appender: Appender,
    times: Times,
    flushes: u64,
    flush_ns: u64,
}

/// The figures of one run.
struct Found {
    /// On the hot thread's core, alone on the machine.
    control: Times,
    /// On the log thread's core, beside a hot thread that spins: where the log itself syncs.
    beside: Times,
    /// What records due each tick would have waited, had those writes and syncs been their group commits.
    ideal: Times,
}

pub(crate) fn run(clock: Clock, cores: Cores, report: &mut Report) {
    println!(
        "\n## From append to durable: 10,000 records/s of {PAYLOAD_BYTES} bytes, one thread that appends and watches\n"
    );
    println!(
        "Slices of {} ms take turns. The control: {CONTROL_BYTES} bytes by O_DIRECT into a zeroed file, then fdatasync, one after",
        SLICE.as_millis()
    );
    println!(
        "the other; the goal compares with that. A record that comes while a flush runs waits for the rest of it and for its own:\n\
         `ideal` is what records at the same ticks would have waited for the control's own writes and syncs.\n"
    );
    let dir = fresh_dir();
    drop(zeroed_file(&dir.path().join("control"), FILE_BYTES));
    let mut disk = ControlDisk::open(&dir.path().join("control"));
    let mut subjects: Vec<Subject> = DEPTHS
        .into_iter()
        .map(|depth| {
            let mut config = LogConfig::new(dir.path().join(format!("log-{depth}")));
            (config.log_core, config.flushes_in_flight) = (Some(cores.log), depth);
            let Opened { log, appender, .. } = open(config).expect("a log");
            Subject { depth, log, appender, times: Times::new(), flushes: 0, flush_ns: 0 }
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let _pinned = cores.pin_hot();
    let mut found = Found { control: Times::new(), beside: Times::new(), ideal: Times::new() };
    for _ in 0..SLICES {
        for took in disk.for_a_slice() {
            found.control.record(clock.ns(took));
        }
        let steps = disk.beside_a_spinner(cores);
        steps.iter().for_each(|&took| found.beside.record(clock.ns(took)));
        ideal(clock, &steps, &mut found.ideal);
        for subject in &mut subjects {
            let before = subject.log.stats();
            slice(clock, &subject.log, &mut subject.appender, &mut subject.times);
            let after = subject.log.stats();
            subject.flushes += after.flushes - before.flushes;
            subject.flush_ns += after.flush_ns_sum - before.flush_ns_sum;
        }
    }
    print(&found, &subjects, report);
    for subject in subjects {
        let Subject { depth, flushes, flush_ns, .. } = subject;
        println!("{depth} in flight: {flushes} flushes, {} us each on average", flush_ns / flushes.max(1) / 1_000);
        subject.appender.close().expect("closed");
    }
}

fn print(found: &Found, subjects: &[Subject], report: &mut Report) {
    let Found { control, beside, ideal } = found;
    println!("{}", times_head("latency", "us"));
    println!("{}", control.row("8 KiB write + fdatasync, alone", 1e3));
    println!("{}", beside.row("the same beside a spinning core", 1e3));
    println!("{}", ideal.row("ideal group commit of those, one at a time", 1e3));
    for subject in subjects {
        println!("{}", subject.times.row(&format!("append to durable, {} in flight", subject.depth), 1e3));
    }
    for Subject { depth, times, .. } in subjects {
        for (name, other) in [("fdatasync alone", control), ("fdatasync beside", beside), ("ideal", ideal)] {
            let at = |q: f64| times.at(q) / other.at(q);
            println!(
                "{depth} in flight, durable / {name}: p50 {:.2}, p99 {:.2}, p99.9 {:.2}",
                at(0.5),
                at(0.99),
                at(0.999)
            );
        }
    }
    let default = LogConfig::new("").flushes_in_flight;
    let Some(Subject { times, .. }) = subjects.iter().find(|subject| subject.depth == default) else { return };
    let at = |q: f64| times.at(q) / control.at(q);
    report.at_most("durable acknowledgement at 10,000/s against one write + fdatasync, p50", at(0.5), 1.6);
    report.at_most("durable acknowledgement at 10,000/s against one write + fdatasync, p99", at(0.99), 2.2);
    report.at_most("the same against ideal group commit, p50", times.at(0.5) / ideal.at(0.5), 1.2);
    report.at_most("the same against ideal group commit, p99", times.at(0.99) / ideal.at(0.99), 1.2);
}

/// The file that the control writes.
struct ControlDisk {
    file: File,
    pages: Pages,
    at: u64,
}

impl ControlDisk {
    fn open(path: &Path) -> Self {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).custom_flags(libc::O_DIRECT);
        let file = options.open(path).or_else(|_| std::fs::OpenOptions::new().write(true).open(path));
        Self { file: file.expect("the control's file"), pages: Pages::new(CONTROL_BYTES), at: 0 }
    }

    /// One write and one fdatasync after the other, for a slice: the ticks that each pair took.
    fn for_a_slice(&mut self) -> Vec<u64> {
        let until = Instant::now() + SLICE;
        let mut took = Vec::with_capacity(65_536);
        while Instant::now() < until {
            let from = ticks();
            self.file.write_all_at(self.pages.bytes(), self.at % FILE_BYTES).expect("written");
            self.file.sync_data().expect("synced");
            took.push(ticks() - from);
            self.at += CONTROL_BYTES as u64;
        }
        took
    }

    /// The same on the log thread's core, while this thread spins on the hot one.
    fn beside_a_spinner(&mut self, cores: Cores) -> Vec<u64> {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let _pinned = cores.pin_log();
                let took = self.for_a_slice();
                done.store(true, Ordering::Release);
                took
            });
            while !done.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            writing.join().expect("the control's thread")
        })
    }
}

/// Records due each tick, committed by steps that follow one another without a gap: each waits for the step after the one it came in.
fn ideal(clock: Clock, steps: &[u64], times: &mut Times) {
    let tick = clock.ticks_of(TICK);
    let (mut begin, mut due) = (0, 0);
    for pair in steps.windows(2) {
        let end = begin + pair[0];
        while due < end {
            times.record(clock.ns(end + pair[1] - due));
            due += tick;
        }
        begin = end;
    }
}

/// Open loop: a record is due each tick whatever the disk does, and its time counts from when it was due.
fn slice(clock: Clock, log: &Log, appender: &mut Appender, durable: &mut Times) {
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
