//! Tests of the crate as a whole, against real files.

mod crash;
mod damage;
mod faults;
mod flips;
mod golden;
mod kill;
mod normal;
mod refused;
mod tails;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{HEAD_BYTES, SLOT_BYTES, SLOT_OFFSETS};
use crate::*;

pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A log in a directory of its own, tail included.
pub(crate) struct Bench {
    pub(crate) root: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("log")
    }

    pub(crate) fn config(&self) -> LogConfig {
        let tail_dir = self.root.path().join("tail");
        std::fs::create_dir_all(&tail_dir).unwrap();
        LogConfig {
            tail_dir: Some(tail_dir),
            segment_bytes: 256 << 10,
            tail_blocks: 8,
            max_flush_bytes: 128 << 10,
            idle_watermark_ms: 5,
            ..LogConfig::new(self.dir())
        }
    }

    pub(crate) fn open(&self) -> Opened {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Opened, OpenError> {
        open(self.config())
    }

    pub(crate) fn tail_file(&self) -> Option<PathBuf> {
        let mut entries = std::fs::read_dir(self.root.path().join("tail")).unwrap();
        entries.find_map(|e| {
            let path = e.unwrap().path();
            (path.extension().is_some_and(|x| x == "tail")).then_some(path)
        })
    }

    /// A log with `count` durable records that was killed after its watermark had come up.
    pub(crate) fn killed_after(&self, count: u64) -> Vec<Appended> {
        let mut opened = self.open();
        let places = append_many(&mut opened.appender, count);
        settle(&opened.log);
        opened.appender.abandon();
        places
    }

    pub(crate) fn segment(&self, address: u64) -> PathBuf {
        self.segment_of(address, 256 << 10)
    }

    pub(crate) fn segment_of(&self, address: u64, segment_bytes: u64) -> PathBuf {
        self.dir().join(format!("seg-{:016x}.lotlog", address - address % segment_bytes))
    }

    /// Every file of the log with its contents; the half-made ones of a living preparer left out.
    pub(crate) fn snapshot(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = std::fs::read_dir(self.dir())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.file_name().is_some_and(|n| n != "LOCK"))
            .filter(|p| p.extension().is_none_or(|x| x != "new"))
            .map(|p| (p.clone(), std::fs::read(&p).unwrap()))
            .collect();
        files.sort();
        files
    }

    pub(crate) fn restore(&self, files: &[(PathBuf, Vec<u8>)]) {
        for entry in std::fs::read_dir(self.dir()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (path, bytes) in files {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// A payload that names its own sequence; lengths vary with it.
pub(crate) fn payload(sequence: u64) -> Vec<u8> {
    let length = 8 + (sequence as usize * 37) % 301;
    let mut bytes: Vec<u8> = (0..length).map(|i| (i as u64 * 31 + sequence) as u8).collect();
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    bytes
}

pub(crate) fn append_payload(appender: &mut Appender, group: Group, bytes: &[u8]) -> Result<Appended, AppendError> {
    let meta = RecordMeta { group, ..RecordMeta::single(7) };
    appender.append(&meta, bytes.len(), |out| out.copy_from_slice(bytes))
}

/// Appends one record that names itself, waiting out a full tail.
pub(crate) fn append_one(appender: &mut Appender, group: Group) -> Appended {
    let bytes = payload(appender.next_sequence());
    let deadline = Instant::now() + LONG;
    loop {
        match append_payload(appender, group, &bytes) {
            Ok(appended) => return appended,
            Err(AppendError::TailFull) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(e) => panic!("{e}"),
        }
    }
}

pub(crate) fn append_many(appender: &mut Appender, count: u64) -> Vec<Appended> {
    (0..count).map(|_| append_one(appender, Group::Single)).collect()
}

/// Waits until everything is durable and a tail slot says so.
pub(crate) fn settle(log: &Arc<Log>) {
    let last = log.published_sequence();
    assert!(log.wait_durable(last, LONG).unwrap());
    let deadline = Instant::now() + LONG;
    while watermark_of(log) < last {
        assert!(Instant::now() < deadline, "the watermark never came up");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn watermark_of(log: &Arc<Log>) -> u64 {
    let segments = open_read_only(log.dir()).unwrap().segments().unwrap();
    segments.iter().map(|s| s.watermark_sequence).max().unwrap_or(0)
}

/// Reads the log from its start and checks every user record; returns the user sequences.
pub(crate) fn read_back(log: &Arc<Log>, limit: Limit) -> Vec<u64> {
    let mut reader = log.reader(From::Start).unwrap();
    let mut sequences = Vec::new();
    let mut next = None;
    while let Some(record) = reader.next(limit).unwrap() {
        assert_eq!(record.payload.as_ptr() as usize % 16, 0);
        assert!(next.is_none_or(|n| n == record.header.sequence));
        next = Some(record.header.sequence + 1);
        if !record.header.is_internal() {
            assert_eq!(record.payload, payload(record.header.sequence));
            sequences.push(record.header.sequence);
        }
    }
    sequences
}

/// Overwrites bytes of a file.
pub(crate) fn poke(path: &Path, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

pub(crate) fn peek(path: &Path, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    File::open(path).unwrap().read_exact_at(&mut bytes, offset).unwrap();
    bytes
}

pub(crate) fn flip(path: &Path, offset: u64, bit: u8) {
    let byte = peek(path, offset, 1)[0];
    poke(path, offset, &[byte ^ (1 << bit)]);
}

/// Clears the tail slots of a segment.
pub(crate) fn wipe_slots(path: &Path) {
    let header = crate::segment::SegmentHeader::decode(&peek(path, 0, HEAD_BYTES)).unwrap();
    let mut unwritten = [0; SLOT_BYTES];
    for (place, at) in SLOT_OFFSETS.into_iter().enumerate() {
        header.unwritten_slot(place, &mut unwritten);
        poke(path, at, &unwritten);
    }
}

pub(crate) fn stream_offset(address: u64) -> u64 {
    HEAD_BYTES as u64 + address % (256 << 10)
}
