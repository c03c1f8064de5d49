//! Recovery and reads along a chain, beside reading the same bytes.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lotbook_wal::{
    AppendError, CHUNK_BYTES, From, HEAD_BYTES, HEADER_BYTES, Limit, LogConfig, NO_ADDRESS, Opened, RecordBuffer,
    RecordMeta, open, open_read_only,
};

use crate::support::{fresh_dir, median};

const PAYLOAD_BYTES: usize = 320;
const RECORDS: u64 = 1_500_000;
/// Positions whose records are chained: a position's next record comes so many records later.
const CHAINS: u64 = 1_000;
const REPEATS: usize = 3;
const SEGMENT_BYTES: u64 = 64 << 20;

pub(crate) fn run() {
    println!(
        "\n## Recovery and backward chain reads against reading the same bytes: {RECORDS} records of {PAYLOAD_BYTES} bytes\n"
    );
    let dir = fresh_dir();
    let path = dir.path().join("log");
    let config = || {
        let mut config = LogConfig::new(&path);
        config.segment_bytes = SEGMENT_BYTES;
        config
    };
    let (last, end) = fill(open(config()).expect("a log"));
    let segments = segments(&path);
    let stream_gb = end as f64 / 1e9;
    println!(
        "{stream_gb:.2} GB of stream in {} segments; median of {REPEATS} rounds that take turns\n",
        segments.len()
    );
    println!("{:<58} {:>9} {:>16} {:>10}", "", "GB/s", "M records/s", "of plain");
    for cold in [false, true] {
        let state = if cold { "cold: page cache dropped" } else { "warm: in the page cache" };
        let (mut plain, mut verified, mut reopened) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            prepare(&segments, cold);
            plain.push(time(|| read_all(&segments)));
            prepare(&segments, cold);
            verified.push(time(|| {
                let log = open_read_only(&path).expect("a log");
                std::hint::black_box(log.verify(&mut |_, _| {}).expect("read").records);
            }));
            prepare(&segments, cold);
            let began = Instant::now();
            let opened = open(config()).expect("recovered");
            reopened.push(began.elapsed().as_secs_f64());
            assert!(opened.log.published_sequence() > last);
            opened.appender.abandon();
        }
        let plain = median(plain);
        let line = |name: &str, took: f64| {
            println!(
                "{:<58} {:>9.2} {:>16.2} {:>10.2}",
                format!("{name}, {state}"),
                stream_gb / took,
                RECORDS as f64 / took / 1e6,
                plain / took
            );
        };
        line("reading the files", plain);
        line("verify", median(verified));
        line("recovery (open until the first record is durable)", median(reopened));
    }
    sequential(&path, end);
    chains(&path, last);
}

/// Writes the log and ends without a close record. Returns the last sequence and the end of the stream.
fn fill(opened: Opened) -> (u64, u64) {
    let Opened { log, mut appender, .. } = opened;
    let mut heads = vec![NO_ADDRESS; CHAINS as usize];
    let payload = [7u8; PAYLOAD_BYTES];
    let mut last = 0;
    for n in 0..RECORDS {
        let chain = (n % CHAINS) as usize;
        let meta = RecordMeta { previous: heads[chain], ..RecordMeta::single(1) };
        let at = loop {
            match appender.append(&meta, PAYLOAD_BYTES, |out| out.copy_from_slice(&payload)) {
                Ok(at) => break at,
                Err(AppendError::TailFull) => std::thread::sleep(Duration::from_micros(200)),
                Err(e) => panic!("{e}"),
            }
        };
        heads[chain] = at.address;
        last = at.sequence;
    }
    assert!(log.wait_durable(last, Duration::from_secs(120)).expect("a whole disk"));
    let end = log.published_address();
    appender.abandon();
    (last, end)
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the log's directory")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "lotlog"))
        .collect();
    names.sort();
    names
}

/// Brings the files into the page cache, or out of it.
fn prepare(segments: &[PathBuf], cold: bool) {
    for path in segments {
        let Ok(file) = File::open(path) else { continue };
        if cold {
            // SAFETY: plain system call on an open descriptor.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }
    if !cold {
        read_all(segments);
    }
}

fn read_all(segments: &[PathBuf]) {
    let mut buffer = vec![0u8; 1 << 20];
    for path in segments {
        let Ok(file) = File::open(path) else { continue };
        let mut at = 0;
        while let Ok(read) = file.read_at(&mut buffer, at)
            && read > 0
        {
            std::hint::black_box(&buffer);
            at += read as u64;
        }
    }
}

fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

/// A reader from the first record to the last, as a follower reads.
fn sequential(path: &Path, end: u64) {
    let Opened { log, appender, .. } = open(LogConfig::new(path)).expect("a log");
    let began = Instant::now();
    let mut reader = log.reader(From::Start).expect("a reader");
    let (mut records, mut sum) = (0u64, 0u64);
    while let Some(record) = reader.next(Limit::Durable).expect("whole") {
        records += 1;
        sum = sum.wrapping_add(u64::from(record.payload.first().copied().unwrap_or(0)));
    }
    std::hint::black_box(sum);
    let took = began.elapsed().as_secs_f64();
    println!(
        "{:<58} {:>9.2} {:>16.2}",
        "a reader from the start, every record verified and chained",
        end as f64 / 1e9 / took,
        records as f64 / took / 1e6
    );
    appender.abandon();
}

/// Follows chains backwards, record by record, and reads the same places without looking at them.
fn chains(path: &Path, last: u64) {
    let Opened { log, appender, .. } = open(LogConfig::new(path)).expect("a log");
    // The newest record of some chains.
    let mut heads = Vec::new();
    let mut reader = log.reader(From::Sequence(last - CHAINS + 1)).expect("a reader");
    while heads.len() < 40 {
        let record = reader.next(Limit::Durable).expect("whole").expect("there");
        heads.push(record.header.address);
    }
    let mut buffer = RecordBuffer::new();
    let mut places = Vec::new();
    let mut walked = Vec::new();
    let mut plain = Vec::new();
    for round in 0..REPEATS {
        let began = Instant::now();
        for &head in &heads {
            let mut address = head;
            while address != NO_ADDRESS {
                log.read_at(address, Limit::Applied, &mut buffer).expect("a record");
                if round == 0 {
                    places.push(address);
                }
                address = buffer.header().previous;
            }
        }
        if round > 0 {
            walked.push(began.elapsed().as_secs_f64());
        }
        // The floor: blocks around the record, from open files.
        let files: Vec<File> = segments(path).iter().map(|p| File::open(p).expect("a segment")).collect();
        let mut bytes = vec![0u8; 2 * 4_096];
        let began = Instant::now();
        for &address in &places {
            let file = &files[(address / SEGMENT_BYTES) as usize];
            let block = address - address % 4_096;
            let chunk_left = (CHUNK_BYTES as u64 - block % CHUNK_BYTES as u64) as usize;
            let length = bytes.len().min(chunk_left);
            file.read_exact_at(&mut bytes[..length], HEAD_BYTES as u64 + block % SEGMENT_BYTES).expect("read");
            std::hint::black_box(&bytes);
        }
        plain.push(began.elapsed().as_secs_f64());
    }
    let count = places.len() as f64;
    let record_bytes = (HEADER_BYTES + PAYLOAD_BYTES) as f64;
    let (walked, plain) = (median(walked), median(plain));
    println!(
        "\n{:<58} {:>9} {:>16} {:>10}",
        "one record at a time, sealed segments in the page cache", "GB/s", "M records/s", "of plain"
    );
    for (name, took) in
        [("pread of the blocks around each record", plain), ("backwards along a chain, verified", walked)]
    {
        println!(
            "{name:<58} {:>9.2} {:>16.2} {:>10.2}",
            count * record_bytes / took / 1e9,
            count / took / 1e6,
            plain / took
        );
    }
    // In order, so that nothing of it stays in shared memory.
    appender.close().expect("closed");
}
