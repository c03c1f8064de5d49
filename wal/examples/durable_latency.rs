//! From append to durable, one record at a time, beside one write and one fdatasync of the same disk.
//!
//! `cargo run --release -p lotbook-wal --example durable_latency [directory]`

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use lotbook_wal::{LogConfig, RecordMeta, WaitStrategy, open};

const ROUNDS: usize = 2_000;

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).expect("a directory");
    let file =
        OpenOptions::new().create(true).truncate(true).write(true).open(dir.path().join("control")).expect("a file");
    let block = vec![1u8; 8_192];
    file.write_all_at(&vec![0; 64 << 20], 0).expect("filled");
    file.sync_all().expect("synced");
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}  us", "", "p50", "p99", "p99.9", "max");
    let mut at = 0;
    report("8 KiB pwrite + fdatasync", || {
        file.write_all_at(&block, at % (64 << 20)).expect("written");
        file.sync_data().expect("synced");
        at += 8_192;
    });
    for (name, wait) in [("adaptive", WaitStrategy::Adaptive), ("yield", WaitStrategy::Yield)] {
        let mut config = LogConfig::new(dir.path().join(name));
        config.wait = wait;
        let mut opened = open(config).expect("a log");
        let meta = RecordMeta::single(1);
        // Preparing the first segments would be measured with it.
        std::thread::sleep(Duration::from_secs(2));
        report(&format!("append 128 B, wait_durable, {name}"), || {
            let at = opened.appender.append(&meta, 128, |b| b.fill(7)).expect("appended");
            assert!(opened.log.wait_durable(at.sequence, Duration::from_secs(10)).expect("whole"));
        });
        opened.appender.close().expect("closed");
    }
}

fn report(name: &str, mut work: impl FnMut()) {
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_nanos() as f64 / 1_000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let at = |q: f64| took[((took.len() - 1) as f64 * q) as usize];
    println!("{name:<34} {:>9.1} {:>9.1} {:>9.1} {:>9.1}", at(0.5), at(0.99), at(0.999), at(1.0));
}
