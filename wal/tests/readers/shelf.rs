//! A log with an archive beside it, and records that name themselves and their chain.
#![allow(dead_code, reason = "each topic uses a part of it")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lotbook_wal::{
    AppendError, Appended, Appender, From, Group, HEAD_BYTES, Limit, Log, LogConfig, NO_ADDRESS, Opened, Record,
    RecordMeta, Retention, SegmentForm, open,
};

use crate::support::{PATIENCE, Place, SEGMENT_BYTES, append_bytes, payload, until};

/// Bytes of a segment file.
pub(crate) const FILE_BYTES: u64 = HEAD_BYTES as u64 + SEGMENT_BYTES;
/// Chains that the records are divided among.
pub(crate) const CHAINS: u64 = 7;

/// A place with an archive.
pub(crate) struct Shelf {
    pub(crate) place: Place,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self { place: Place::in_memory() }
    }

    pub(crate) fn archive_dir(&self) -> PathBuf {
        self.place.root().join("archive")
    }

    /// Archives at once, keeps nothing plain that need not be, drops nothing while there is room.
    pub(crate) fn config(&self) -> LogConfig {
        let retention = Retention {
            archive_dir: Some(self.archive_dir()),
            plain_segments: 0,
            low_segments: 2,
            check_ms: 5,
            ..Retention::default()
        };
        LogConfig { retention, ..self.place.config() }
    }

    /// As [`Shelf::config`], and always short of space: what was shipped and is not needed is dropped.
    pub(crate) fn short(&self) -> LogConfig {
        let mut config = self.config();
        config.retention.low_segments = 65_536;
        config.retention.budget_bytes = Some(1 << 30);
        config
    }

    /// As [`Shelf::config`], without an archive.
    pub(crate) fn alone(&self) -> LogConfig {
        let mut config = self.config();
        config.retention.archive_dir = None;
        config
    }

    pub(crate) fn open(&self) -> Opened {
        open(self.config()).unwrap()
    }

    pub(crate) fn archive_of(&self, log: &Log, first: u64) -> PathBuf {
        let folder = self.archive_dir().join(format!("{:016x}", log.log_id()));
        folder.join(archive_name(first))
    }

    pub(crate) fn packed(&self, first: u64) -> PathBuf {
        self.place.dir().join(archive_name(first))
    }
}

pub(crate) fn archive_name(first: u64) -> String {
    format!("seg-{first:016x}.lotlog.zst")
}

/// Appends records that name themselves, each linked to the one before it of its chain; returns where each lies.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) heads: [Option<u64>; CHAINS as usize],
}

impl Writer {
    pub(crate) fn append(&mut self, appender: &mut Appender, count: u64) -> Vec<Appended> {
        (0..count).map(|_| self.one(appender).unwrap()).collect()
    }

    pub(crate) fn one(&mut self, appender: &mut Appender) -> Result<Appended, AppendError> {
        let sequence = appender.next_sequence();
        let bytes = payload(sequence);
        let head = &mut self.heads[(sequence % CHAINS) as usize];
        let meta = RecordMeta { previous: head.unwrap_or(NO_ADDRESS), group: Group::Single, ..RecordMeta::single(7) };
        loop {
            match appender.append(&meta, bytes.len(), |out| out.copy_from_slice(&bytes)) {
                Ok(appended) => {
                    *head = Some(appended.address);
                    return Ok(appended);
                }
                Err(AppendError::TailFull) => std::thread::sleep(std::time::Duration::from_micros(100)),
                Err(other) => return Err(other),
            }
        }
    }

    /// So many segments full, and a little more, all durable.
    pub(crate) fn fill(&mut self, opened: &mut Opened, segments: u64) {
        let end = opened.log.published_address() + segments * SEGMENT_BYTES;
        while opened.log.published_address() < end {
            self.one(&mut opened.appender).unwrap();
        }
        durable(&opened.log);
    }
}

/// Waits until everything published is durable.
pub(crate) fn durable(log: &Arc<Log>) {
    until("durable", || log.durable_sequence() == log.published_sequence());
}

/// Waits until the keeper has nothing left to do: every sealed segment has that form.
pub(crate) fn all_sealed_are(log: &Arc<Log>, form: SegmentForm) {
    let done = || {
        let report = log.retention();
        report.problems.is_empty() && report.segments.iter().filter(|s| s.sealed).all(|s| s.form == form)
    };
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {:#?}", log.retention());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sealed segments, oldest first.
pub(crate) fn sealed(log: &Arc<Log>) -> Vec<u64> {
    log.retention().segments.iter().filter(|s| s.sealed).map(|s| s.first_address).collect()
}

/// A record of the user is what its sequence says.
#[track_caller]
pub(crate) fn check(record: &Record<'_>) {
    if !record.header.is_internal() {
        assert_eq!(record.payload, payload(record.header.sequence), "sequence {}", record.header.sequence);
    }
}

/// Reads from a place to the end; sequences without a gap. Returns the first and the last.
pub(crate) fn read_from(log: &Arc<Log>, from: From, limit: Limit) -> (u64, u64) {
    let mut reader = log.reader(from).unwrap();
    let first = reader.sequence();
    let mut next = first;
    while let Some(record) = reader.next(limit).unwrap() {
        assert_eq!(record.header.sequence, next);
        check(&record);
        next += 1;
    }
    (first, next - 1)
}

/// A large record, to fill segments quickly where contents do not matter.
pub(crate) fn bulk(appender: &mut Appender) -> Result<Appended, AppendError> {
    append_bytes(appender, Group::Single, &[3; 30_000])
}
