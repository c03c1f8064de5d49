//! What a store costs while the keeper compresses, ships and drops sealed segments without pause, and what reading from archives costs.

use std::time::{Duration, Instant};

use lotbook_wal::{
    Appended, Limit, LogConfig, NO_ADDRESS, Opened, RecordBuffer, RecordMeta, Retention, SegmentForm, open,
};

use crate::support::{Clock, Cores, Report, Times, fresh_dir, ticks, times_head};

const PAYLOAD_BYTES: usize = 256;
const TICK: Duration = Duration::from_micros(10);
const SLICE: Duration = Duration::from_millis(250);
const SEGMENT_BYTES: u64 = 1 << 20;
/// Of the chain that is read back: one record in so many.
const CHAIN_EVERY: u64 = 100;

/// Compresses like events do, to about half: numbers that count up, and digits that do not repeat.
fn fill(out: &mut [u8], n: u64) {
    let mut word = n;
    for (index, bytes) in out.chunks_exact_mut(8).enumerate() {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let shown = if index % 2 == 0 { word } else { n / 16 };
        bytes.copy_from_slice(&shown.to_le_bytes());
    }
}

fn config(dir: &std::path::Path, cores: Cores, retention: Retention) -> LogConfig {
    let mut config = LogConfig::new(dir);
    config.segment_bytes = SEGMENT_BYTES;
    config.log_core = Some(cores.log);
    config.retention = retention;
    config
}

/// Slices of a log whose keeper works without pause and of one whose keeper has nothing to do, in turn.
pub(crate) fn run(clock: Clock, cores: Cores, report: &mut Report) {
    println!(
        "\n## A store with and without archiving, at 100,000 records/s of {PAYLOAD_BYTES} bytes, segments of 1 MiB\n"
    );
    let dir = fresh_dir();
    let kept = Retention {
        archive_dir: Some(dir.path().join("archive")),
        plain_segments: 0,
        // Always short: each segment is compressed, shipped and dropped.
        low_segments: 65_536,
        budget_bytes: Some(1 << 30),
        check_ms: 10,
        ..Retention::default()
    };
    let mut logs = [
        open(config(&dir.path().join("kept"), cores, kept)).expect("a log"),
        open(config(&dir.path().join("alone"), cores, Retention::default())).expect("a log"),
    ];
    let mut times = [Times::new(), Times::new()];
    let (mut full, mut count) = ([0u64; 2], 0u64);
    let (tick, slice) = (clock.ticks_of(TICK), clock.ticks_of(SLICE));
    std::thread::sleep(Duration::from_secs(1));
    let pinned = cores.pin_hot();
    for round in 0..40 {
        let which = round % 2;
        let until = ticks() + slice;
        let mut next = ticks();
        while next < until {
            while ticks() < next {
                std::hint::spin_loop();
            }
            count += 1;
            let from = ticks();
            let done = logs[which].appender.append(&RecordMeta::single(1), PAYLOAD_BYTES, |out| fill(out, count));
            match done {
                Ok(_) => times[which].record(clock.ns(ticks() - from)),
                Err(_) => full[which] += 1,
            }
            next += tick;
        }
    }
    drop(pinned);
    let seen = logs[0].log.retention();
    println!("{}", times_head("store", "ns"));
    println!("{}", times[0].row("each sealed segment archived, shipped, dropped", 1.0));
    println!("{}", times[1].row("nothing archived", 1.0));
    println!(
        "segments archived {}, shipped {}, dropped {} by the end of the slices; archives take {:.2} of the segments; refused {full:?}",
        seen.archived,
        seen.shipped,
        seen.dropped,
        seen.bytes.shipped as f64 / (seen.archived.max(1) * SEGMENT_BYTES) as f64
    );
    let at = |q: f64| times[0].at(q) / times[1].at(q);
    println!(
        "with / without: p50 {:.2}, p99 {:.2}, p99.9 {:.2}, p99.99 {:.2}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(0.9999)
    );
    report.at_most("store with archiving against without, p50", at(0.5), 1.1);
    report.at_most("store with archiving against without, p99.9", at(0.999), 1.5);
    for opened in logs {
        opened.appender.close().expect("closed");
    }
}

/// One chain through many segments, read back one record at a time: from segment files, from archives here, from the archive directory.
pub(crate) fn reads(cores: Cores) {
    println!("\n## A chain read backwards, one record in {CHAIN_EVERY}, over 64 segments of 1 MiB\n");
    let dir = fresh_dir();
    let archive = dir.path().join("archive");
    let forms = [
        ("from segment files", SegmentForm::Plain, Retention::default()),
        (
            "from archives here",
            SegmentForm::Packed,
            Retention {
                archive_dir: Some(archive.clone()),
                plain_segments: 0,
                check_ms: 10,
                low_segments: 2,
                ..Retention::default()
            },
        ),
        (
            "from the archive directory",
            SegmentForm::Shipped,
            Retention {
                archive_dir: Some(archive),
                plain_segments: 0,
                low_segments: 65_536,
                budget_bytes: Some(1 << 30),
                check_ms: 10,
                ..Retention::default()
            },
        ),
    ];
    let mut head: Option<Appended> = None;
    for (name, form, retention) in forms {
        let Opened { log, mut appender, .. } = open(config(&dir.path().join("log"), cores, retention)).expect("a log");
        while head.is_none_or(|head| head.address < 64 * SEGMENT_BYTES) {
            let n = appender.next_sequence();
            let linked = n.is_multiple_of(CHAIN_EVERY);
            let previous = head.filter(|_| linked).map_or(NO_ADDRESS, |head| head.address);
            let meta = RecordMeta { previous, ..RecordMeta::single(1) };
            match appender.append(&meta, PAYLOAD_BYTES, |out| fill(out, n)) {
                Ok(appended) if linked => head = Some(appended),
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
        let newest = head.expect("a chain");
        log.wait_durable(newest.sequence, Duration::from_secs(60)).expect("no latch");
        let began = Instant::now();
        let in_form = || log.retention().segments.iter().filter(|s| s.sealed).take(48).all(|s| s.form == form);
        while !in_form() {
            assert!(began.elapsed() < Duration::from_secs(120), "the keeper is done by then");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut rounds = Vec::new();
        let mut read = 0u64;
        for _ in 0..3 {
            let (mut buffer, mut at) = (RecordBuffer::new(), newest.address);
            let began = Instant::now();
            read = 0;
            while at != NO_ADDRESS {
                log.read_at(at, Limit::Durable, &mut buffer).expect("a record");
                at = buffer.header().previous;
                read += 1;
            }
            rounds.push(began.elapsed().as_secs_f64() * 1e6 / read as f64);
        }
        println!(
            "{name:<46} {:>10.2} us a record the first time, {:>8.2} again ({read} records)",
            rounds[0], rounds[2]
        );
        appender.close().expect("closed");
    }
}
