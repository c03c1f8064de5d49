//! The log beside other logs of the registry, in one run: what an append costs without waiting for the disk, and durable records a second
//! with sixteen producers. Started by the bench `log`, which passes its output on; `cargo run --release` here does the same.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

#[allow(dead_code)]
#[path = "../../benches/log/producers.rs"]
mod producers;
#[allow(dead_code)]
#[path = "../../benches/log/support.rs"]
mod support;

use lotbook_wal::{AppendError, Appender, LogConfig, RecordMeta};
use support::{Cores, Report, fresh_dir, load, median};

const PAYLOAD_BYTES: usize = 128;
/// Records that one log takes before it is the next one's turn.
const CHUNK: usize = 5_000;
const ROUNDS: usize = 24;
const RAFT_BATCH: usize = 100;

type Payload = [u8; PAYLOAD_BYTES];

/// One log under comparison.
trait Peer {
    fn name(&self) -> &'static str;
    /// Takes that many records, in whatever way is its fastest without a sync.
    fn take(&mut self, records: usize, payload: &Payload);
}

/// The bare loop: length, checksum and copy into a block that stays in cache.
struct Bare {
    block: Vec<u8>,
    at: usize,
}

impl Peer for Bare {
    fn name(&self) -> &'static str {
        "bare warm loop: length, CRC32C, copy"
    }
    fn take(&mut self, records: usize, payload: &Payload) {
        for _ in 0..records {
            let total = 8 + PAYLOAD_BYTES;
            if self.at + total > self.block.len() {
                self.at = 0;
            }
            let out = &mut self.block[self.at..self.at + total];
            out[8..].copy_from_slice(black_box(payload));
            let sum = u64::from(crc32c::crc32c(&out[8..]));
            out[..8].copy_from_slice(&(sum | (PAYLOAD_BYTES as u64) << 32).to_le_bytes());
            self.at += total;
        }
        black_box(&self.block);
    }
}

struct Lotbook(Option<Appender>);

impl Peer for Lotbook {
    fn name(&self) -> &'static str {
        "lotbook-wal"
    }
    fn take(&mut self, records: usize, payload: &Payload) {
        let Some(appender) = &mut self.0 else { return };
        for _ in 0..records {
            while let Err(e) =
                appender.append(&RecordMeta::single(1), PAYLOAD_BYTES, |out| out.copy_from_slice(black_box(payload)))
            {
                assert_eq!(e, AppendError::TailFull);
                lotbook_wal::nap();
            }
        }
    }
}

impl Drop for Lotbook {
    fn drop(&mut self) {
        if let Some(appender) = self.0.take() {
            appender.close().expect("closed");
        }
    }
}

struct Commitlog(commitlog::CommitLog);

impl Peer for Commitlog {
    fn name(&self) -> &'static str {
        "commitlog 0.2"
    }
    fn take(&mut self, records: usize, payload: &Payload) {
        for _ in 0..records {
            self.0.append_msg(black_box(payload)).expect("appended");
        }
    }
}

struct Walrus(walrus_rust::Walrus);

impl Peer for Walrus {
    fn name(&self) -> &'static str {
        "walrus-rust 0.2, no fsync"
    }
    fn take(&mut self, records: usize, payload: &Payload) {
        for _ in 0..records {
            self.0.append_for_topic("t", black_box(payload)).expect("appended");
        }
    }
}

struct RaftEngine {
    engine: raft_engine::Engine,
    next: u64,
}

impl Peer for RaftEngine {
    fn name(&self) -> &'static str {
        "raft-engine 0.4, batches of 100, no sync"
    }
    fn take(&mut self, records: usize, payload: &Payload) {
        for _ in 0..records / RAFT_BATCH {
            let mut batch = raft_engine::LogBatch::with_capacity(RAFT_BATCH);
            for _ in 0..RAFT_BATCH {
                // A bounded set of keys, so that its memory table stays small.
                let key = (self.next % 1_000).to_be_bytes().to_vec();
                batch.put(1, key, black_box(payload).to_vec()).expect("a key of its own");
                self.next += 1;
            }
            self.engine.write(&mut batch, false).expect("written");
        }
    }
}

struct Fjall {
    _database: fjall::Database,
    keyspace: fjall::Keyspace,
    next: u64,
}

impl Peer for Fjall {
    fn name(&self) -> &'static str {
        "fjall 3, insert, no sync"
    }
    fn take(&mut self, records: usize, payload: &Payload) {
        for _ in 0..records {
            self.keyspace.insert(self.next.to_be_bytes(), black_box(payload)).expect("inserted");
            self.next += 1;
        }
    }
}

fn peers(dir: &Path) -> Vec<Box<dyn Peer>> {
    let raft = raft_engine::Config { dir: dir.join("raft").to_string_lossy().into_owned(), ..Default::default() };
    let database = fjall::Database::builder(dir.join("fjall")).open().expect("a database");
    let keyspace = database.keyspace("t", fjall::KeyspaceCreateOptions::default).expect("a keyspace");
    let walrus = walrus_rust::Walrus::with_consistency_and_schedule(
        walrus_rust::ReadConsistency::AtLeastOnce { persist_every: 1_000 },
        walrus_rust::FsyncSchedule::NoFsync,
    );
    let appender = lotbook_wal::open(LogConfig::new(dir.join("lotbook"))).expect("a log").appender;
    vec![
        Box::new(Bare { block: vec![1; 65_536], at: 0 }),
        Box::new(Lotbook(Some(appender))),
        Box::new(Commitlog(
            commitlog::CommitLog::new(commitlog::LogOptions::new(dir.join("commitlog"))).expect("a log"),
        )),
        Box::new(Walrus(walrus.expect("a log"))),
        Box::new(RaftEngine { engine: raft_engine::Engine::open(raft).expect("an engine"), next: 0 }),
        Box::new(Fjall { _database: database, keyspace, next: 0 }),
    ]
}

fn without_sync(report: &mut Report) {
    println!("\n## An append of {PAYLOAD_BYTES} bytes without waiting for the disk\n");
    println!("Median of {ROUNDS} chunks of {CHUNK} records that take turns.\n");
    let dir = fresh_dir();
    // SAFETY: no other thread of this process reads the environment yet.
    unsafe {
        std::env::set_var("WALRUS_DATA_DIR", dir.path().join("walrus"));
        std::env::set_var("WALRUS_QUIET", "1");
    }
    let mut peers = peers(dir.path());
    let payload = [9u8; PAYLOAD_BYTES];
    let _pinned = Cores::chosen().pin_hot();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for _ in 0..ROUNDS {
        for (peer, times) in peers.iter_mut().zip(&mut times) {
            let began = Instant::now();
            peer.take(CHUNK, &payload);
            times.push(began.elapsed().as_nanos() as f64 / CHUNK as f64);
        }
    }
    let times: Vec<f64> = times.into_iter().map(median).collect();
    println!("{:<44} {:>12} {:>14}", "", "ns a record", "to lotbook-wal");
    for (peer, ns) in peers.iter().zip(&times) {
        println!("{:<44} {ns:>12.1} {:>14.2}", peer.name(), ns / times[1]);
    }
    report.at_least("append without sync against commitlog", times[2] / times[1], 20.0);
    report.at_least("append without sync against walrus-rust", times[3] / times[1], 35.0);
    report.at_least("append without sync against raft-engine, batched by 100", times[4] / times[1], 14.0);
}

/// Sixteen threads that commit one record after the other.
fn okaywal(time: Duration) -> f64 {
    let dir = fresh_dir();
    let log = okaywal::WriteAheadLog::recover(dir.path().join("okaywal"), okaywal::LogVoid).expect("a log");
    let payload = [7u8; PAYLOAD_BYTES];
    let began = Instant::now();
    let records: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..producers::PRODUCERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut records = 0u64;
                    while began.elapsed() < time {
                        let mut entry = log.begin_entry().expect("an entry");
                        entry.write_chunk(&payload).expect("written");
                        entry.commit().expect("durable");
                        records += 1;
                    }
                    records
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).sum()
    });
    records as f64 / began.elapsed().as_secs_f64()
}

fn durable(report: &mut Report) {
    println!(
        "\n## Durable records a second, {} producers of {} bytes\n",
        producers::PRODUCERS,
        producers::PAYLOAD_BYTES
    );
    println!(
        "okaywal's commit blocks its caller, so its producers wait for each record. The log's may go on; both are shown.\n"
    );
    let second = Duration::from_secs(1);
    let (mut theirs, mut ours, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        theirs.push(okaywal(second));
        let depth = LogConfig::new("").flushes_in_flight;
        ours.push(producers::pipelined(3_000_000, depth));
        waiting.push(producers::one_at_a_time(second, depth));
    }
    let (theirs, ours, waiting) = (median(theirs), median(ours), median(waiting));
    println!("{:<58} {:>14} {:>12}", "", "records/s", "to okaywal");
    println!("{:<58} {theirs:>14.0} {:>12.2}", "okaywal 0.3", 1.0);
    println!("{:<58} {waiting:>14.0} {:>12.2}", "lotbook-wal, producers wait for each record", waiting / theirs);
    println!("{:<58} {ours:>14.0} {:>12.2}", "lotbook-wal, producers go on", ours / theirs);
    report.at_least("durable records/s, 16 producers, against okaywal", ours / theirs, 15.0);
}

fn main() {
    println!("load before the peers: {}", load());
    let mut report = Report::default();
    without_sync(&mut report);
    durable(&mut report);
    report.print();
}
