//! The stage that waits for a disk: a durable acknowledgement.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use lotbook_wal::{LogConfig, Opened, RecordMeta, open};
use tempfile::TempDir;

use super::Pair;

const ROUNDS: usize = 300;
const PAYLOAD_BYTES: usize = 320;

/// A directory on the disk that is measured: `LOTBOOK_BENCH_DIR`, or the temporary one.
pub(super) fn temporary() -> TempDir {
    let dir = std::env::var_os("LOTBOOK_BENCH_DIR");
    let made = dir.map_or_else(tempfile::tempdir, tempfile::tempdir_in);
    made.expect("a temporary directory")
}

/// One record at a time until it is durable, against one write of 8 KiB with fdatasync into a file that is there already: the medians, by turns.
pub(super) fn durable() -> Pair {
    let dir = temporary();
    let Opened { log, mut appender, .. } = open(LogConfig::new(dir.path().join("log"))).expect("a log");
    let file = OpenOptions::new().create_new(true).write(true).open(dir.path().join("plain")).expect("a file");
    let bytes = vec![7u8; 8 << 10];
    for block in 0..ROUNDS as u64 {
        file.write_all_at(&bytes, block * bytes.len() as u64).expect("written");
    }
    file.sync_all().expect("synced");
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for block in 0..ROUNDS as u64 {
        let start = Instant::now();
        let at = appender.append(&RecordMeta::single(1), PAYLOAD_BYTES, |out| out.fill(7)).expect("room");
        assert!(log.wait_durable(at.sequence, Duration::from_secs(60)).expect("a whole disk"));
        ours.push(start.elapsed().as_nanos());
        let start = Instant::now();
        file.write_all_at(&bytes, block * bytes.len() as u64).expect("written");
        // SAFETY: a plain system call on an open descriptor.
        let synced = unsafe { libc::fdatasync(file.as_raw_fd()) };
        assert_eq!(synced, 0);
        limit.push(start.elapsed().as_nanos());
    }
    appender.close().expect("closed");
    let median = |mut times: Vec<u128>| {
        times.sort_unstable();
        times[times.len() / 2] as f64
    };
    (median(ours), median(limit))
}
