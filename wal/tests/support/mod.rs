//! What the fault tests share: a place for a log, records that name themselves, seeded choices.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod shim;
pub(crate) mod victim;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lotbook_wal::{
    AppendError, Appended, Appender, DirectMode, From, Group, HEAD_BYTES, IoMode, Limit, Log, LogConfig, OpenError,
    Opened, RecordHeader, RecordMeta, Retention, open, open_read_only,
};

/// The longest wait for anything: the machine may be very busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Stream bytes of a segment in these tests.
pub(crate) const SEGMENT_BYTES: u64 = 256 << 10;

/// Asked for the long form.
pub(crate) fn long() -> bool {
    std::env::var_os("LOTBOOK_LONG").is_some()
}

/// `short` in CI, `long` with `LOTBOOK_LONG=1`.
pub(crate) fn count(short: usize, long_form: usize) -> usize {
    if long() { long_form } else { short }
}

/// Numbers that look like chance and are the same in every run of a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// From `LOTBOOK_SEED`, or the test's own; printed, so that a failure can be had again.
    pub(crate) fn seeded(test: &str, default: u64) -> Self {
        let given = std::env::var("LOTBOOK_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or(default);
        println!("{test}: seed {seed} (LOTBOOK_SEED)");
        Self(seed)
    }

    /// A stream of its own for one round.
    pub(crate) fn round(&self, round: u64) -> Self {
        let mut next = Self(self.0 ^ round.wrapping_mul(0xD134_2543_DE82_EF95));
        next.next();
        next
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of them.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Every file of a log with its contents.
pub(crate) type Files = Vec<(PathBuf, Vec<u8>)>;

/// A log in a directory of its own, tail included; all of it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    root: tempfile::TempDir,
}

impl Place {
    /// In memory where there is shared memory: what is tested does not depend on the disk's speed.
    pub(crate) fn in_memory() -> Self {
        let shared = Path::new("/dev/shm");
        let root = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        Self { root: root.unwrap() }
    }

    /// On the disk that holds temporary files.
    pub(crate) fn on_disk() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// Holds the log's directory and the tail's.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// The log's directory.
    pub(crate) fn dir(&self) -> PathBuf {
        self.root().join("log")
    }

    /// Small segments, a small tail, plain calls: many openings a second.
    pub(crate) fn config(&self) -> LogConfig {
        config(self.root())
    }

    /// Opens with [`Place::config`].
    pub(crate) fn open(&self) -> Opened {
        self.try_open().unwrap()
    }

    /// As [`Place::open`].
    pub(crate) fn try_open(&self) -> Result<Opened, OpenError> {
        open(self.config())
    }

    /// The tail file, where there is one.
    pub(crate) fn tail_file(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.root().join("tail")).ok()?;
        entries.map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|x| x == "tail"))
    }

    /// Takes the tail file away.
    pub(crate) fn lose_tail(&self) {
        if let Some(path) = self.tail_file() {
            std::fs::remove_file(path).unwrap();
        }
    }

    /// The segment that holds `address`.
    pub(crate) fn segment(&self, address: u64) -> PathBuf {
        segment_file(&self.dir(), address)
    }

    /// Every file of the log but the lock; half-made ones left out.
    pub(crate) fn files(&self) -> Files {
        let mut files: Files = std::fs::read_dir(self.dir())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.file_name().is_some_and(|n| n != "LOCK") && p.extension().is_none_or(|x| x != "new"))
            .map(|p| (p.clone(), std::fs::read(&p).unwrap()))
            .collect();
        files.sort();
        files
    }

    /// Makes the directory hold exactly these files.
    pub(crate) fn restore(&self, files: &Files) {
        for entry in std::fs::read_dir(self.dir()).unwrap() {
            let path = entry.unwrap().path();
            if !files.iter().any(|(p, _)| *p == path) {
                std::fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in files {
            if std::fs::read(path).ok().as_ref() != Some(bytes) {
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
}

/// The settings of a log in `root`.
pub(crate) fn config(root: &Path) -> LogConfig {
    let tail_dir = root.join("tail");
    std::fs::create_dir_all(&tail_dir).unwrap();
    LogConfig {
        tail_dir: Some(tail_dir),
        segment_bytes: SEGMENT_BYTES,
        tail_blocks: 8,
        max_flush_bytes: 128 << 10,
        idle_watermark_ms: 5,
        io: IoMode::Plain,
        direct: DirectMode::Never,
        // A disk that fills up is to stay full.
        retention: Retention { low_segments: 0, reserve_segments: 0, ..Retention::default() },
        ..LogConfig::new(root.join("log"))
    }
}

/// The file of the segment that holds `address`.
pub(crate) fn segment_file(dir: &Path, address: u64) -> PathBuf {
    dir.join(format!("seg-{:016x}.lotlog", address - address % SEGMENT_BYTES))
}

/// Where a stream address lies in its segment's file.
pub(crate) fn file_offset(address: u64) -> u64 {
    HEAD_BYTES as u64 + address % SEGMENT_BYTES
}

/// A payload that names its own sequence; lengths vary with it, from 8 to 308 bytes.
pub(crate) fn payload(sequence: u64) -> Vec<u8> {
    let length = 8 + (sequence as usize * 37) % 301;
    let mut bytes: Vec<u8> = (0..length).map(|i| (i as u64 * 31 + sequence) as u8).collect();
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    bytes
}

/// Appends a payload, waiting out a full tail.
pub(crate) fn append_bytes(appender: &mut Appender, group: Group, bytes: &[u8]) -> Result<Appended, AppendError> {
    let meta = RecordMeta { group, ..RecordMeta::single(7) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match appender.append(&meta, bytes.len(), |out| out.copy_from_slice(bytes)) {
            Err(AppendError::TailFull) if Instant::now() < deadline => std::thread::sleep(Duration::from_micros(100)),
            other => return other,
        }
    }
}

/// Appends records that name themselves.
pub(crate) fn append_many(appender: &mut Appender, count: u64) -> Vec<Appended> {
    let one = |a: &mut Appender| append_bytes(a, Group::Single, &payload(a.next_sequence())).unwrap();
    (0..count).map(|_| one(appender)).collect()
}

/// Waits until everything published is durable and a tail slot says so.
pub(crate) fn settle(log: &Arc<Log>) {
    let last = log.published_sequence();
    assert!(log.wait_durable(last, PATIENCE).unwrap());
    let watermark = || {
        let segments = open_read_only(log.dir()).unwrap().segments().unwrap();
        segments.iter().map(|s| s.watermark_sequence).max().unwrap_or(0)
    };
    until("the watermark", || watermark() >= last);
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A log of `count` durable records that was killed after its watermark had come up, with all its headers.
pub(crate) fn killed_after(place: &Place, count: u64) -> Vec<RecordHeader> {
    let mut opened = place.open();
    append_many(&mut opened.appender, count);
    settle(&opened.log);
    opened.appender.abandon();
    headers(&place.dir())
}

/// The headers of all records on disk, in order.
pub(crate) fn headers(dir: &Path) -> Vec<RecordHeader> {
    let mut log = open_read_only(dir).unwrap();
    let mut headers = Vec::new();
    while let Some(record) = log.next().unwrap() {
        headers.push(record.header);
    }
    headers
}

/// Reads an open log from its start: sequences without a gap, every record of the user what it says; returns the users' sequences.
pub(crate) fn read_back(log: &Arc<Log>, limit: Limit) -> Vec<u64> {
    let mut reader = log.reader(From::Start).unwrap();
    let mut users = Vec::new();
    let mut next = 1;
    while let Some(record) = reader.next(limit).unwrap() {
        assert_eq!(record.header.sequence, next);
        next += 1;
        if !record.header.is_internal() {
            assert_eq!(record.payload, payload(record.header.sequence));
            users.push(record.header.sequence);
        }
    }
    users
}

/// Overwrites bytes of a file.
pub(crate) fn poke(path: &Path, offset: u64, bytes: &[u8]) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Where the tail slots of a segment lie.
pub(crate) const SLOTS: [u64; 4] = [4_096, 12_288, 20_480, 28_672];

/// The tail slot at that place of that segment as it was when the segment was made (`docs/wal-format.md`).
pub(crate) fn unwritten_slot(segment: &Path, place: usize) -> Vec<u8> {
    let head = peek(segment, 0, 64);
    let mut slot = vec![0; 8_192];
    slot[0..4].copy_from_slice(b"LSLT");
    slot[8..16].copy_from_slice(&head[16..24]);
    slot[22] = place as u8;
    slot[32..40].copy_from_slice(&head[24..32]);
    let sum = crc32c::crc32c(&slot);
    slot[4..8].copy_from_slice(&sum.to_le_bytes());
    slot
}

/// Bytes of a file.
pub(crate) fn peek(path: &Path, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    std::fs::File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

/// Inverts one bit of a file.
pub(crate) fn flip(path: &Path, offset: u64, bit: u8) {
    let byte = peek(path, offset, 1)[0];
    poke(path, offset, &[byte ^ (1 << bit)]);
}
