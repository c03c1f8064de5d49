//! What one append costs beside the bytes it cannot avoid: copying the payload and CRC32C over header and payload.
//!
//! `cargo run --release -p lotbook-wal --example append_speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use lotbook_wal::{HEADER_BYTES, LogConfig, RecordMeta, open};

const RECORDS: usize = 600_000;
const BATCH: usize = 256;

fn main() {
    println!("ns a record, median of batches of {BATCH}; the log thread writes on beside it");
    println!(
        "{:>8} {:>10} {:>12} {:>10} {:>8} {:>12}",
        "payload", "empty loop", "memcpy+crc", "append", "ratio", "tail full"
    );
    for payload_bytes in [64usize, 128, 256, 1_024] {
        let payload: Vec<u8> = (0..payload_bytes).map(|i| i as u8).collect();
        let (empty, floor, append, waits) = run(&payload);
        println!("{payload_bytes:>8} {empty:>10.2} {floor:>12.1} {append:>10.1} {:>8.2} {waits:>12}", floor / append);
    }
}

/// Batches of the three take turns, so that whatever else the machine does meets them alike.
fn run(payload: &[u8]) -> (f64, f64, f64, u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = LogConfig::new(dir.path().join("log"));
    let mut appender = open(config).expect("a log").appender;
    let meta = RecordMeta::single(1);
    let total = HEADER_BYTES + payload.len();
    let mut block = vec![0u8; 65_536];
    let header = [7u8; HEADER_BYTES];
    let mut at = 0;
    let (mut empty, mut floor, mut append) = (Vec::new(), Vec::new(), Vec::new());
    let mut waits = 0;
    for _ in 0..RECORDS / BATCH {
        empty.push(time(|| {
            for i in 0..BATCH {
                black_box(i);
            }
        }));
        // The bytes that cannot be avoided: a header's worth and the payload, checksummed, into a warm block.
        floor.push(time(|| {
            for _ in 0..BATCH {
                if at + total > block.len() {
                    at = 0;
                }
                let out = &mut block[at..at + total];
                out[..HEADER_BYTES].copy_from_slice(black_box(&header));
                out[HEADER_BYTES..].copy_from_slice(black_box(payload));
                let checksum = crc32c::crc32c(&out[4..]);
                out[..4].copy_from_slice(&checksum.to_le_bytes());
                at += total;
            }
        }));
        while !appender.has_room([payload.len(); BATCH]) {
            waits += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        append.push(time(|| {
            for _ in 0..BATCH {
                let fill = |out: &mut [u8]| out.copy_from_slice(black_box(payload));
                appender.append(&meta, payload.len(), fill).expect("room was asked for");
            }
        }));
    }
    black_box(&block);
    appender.close().expect("closed");
    (median(empty), median(floor), median(append), waits)
}

fn time(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_nanos() as f64 / BATCH as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
