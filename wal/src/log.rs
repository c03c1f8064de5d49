//! The log as its threads and readers share it: positions, states, segment handles.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::durability::Durability;
use crate::error::{LatchedError, ReadError};
use crate::padded::CachePadded;
use crate::planted::{self, Bug};
use crate::reader::{From, Reader, RecordBuffer};
use crate::room::Room;
use crate::segment::segment_path;
use crate::stats::{LogStats, StatsCells};
use crate::stop::Stop;
use crate::tail::Tail;

/// A log that is open for writing, as everyone but the appender sees it.
#[derive(Debug)]
pub struct Log {
    pub(crate) log_id: u64,
    pub(crate) epoch: u32,
    pub(crate) dir: PathBuf,
    pub(crate) segment_bytes: u64,
    /// Where this epoch begins, and the sequence before its first.
    pub(crate) start: (u64, u64),
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) tail: Tail,
    pub(crate) durability: Durability,
    pub(crate) room: Room<Arc<dyn DiskFile>>,
    pub(crate) stop: Stop,
    pub(crate) segments: Segments,
    pub(crate) stats: CachePadded<StatsCells>,
    /// Rung when the preparer may have something to do.
    pub(crate) preparer_bell: Bell,
}

/// A flag one thread sleeps on.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *lock(&self.rung) = true;
        self.changed.notify_all();
    }

    /// Returns when rung or after `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let rung = lock(&self.rung);
        let (mut rung, _) = self
            .changed
            .wait_timeout_while(rung, timeout, |rung| !*rung)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *rung = false;
    }
}

/// A poisoned lock only says that some thread panicked; what these locks guard is whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A segment as readers see it.
#[derive(Debug)]
struct SegmentEntry {
    handle: Option<Arc<dyn DiskFile>>,
    /// The handle was opened while the segment was still being written.
    direct: bool,
}

/// The segment files of a log and handles to read them.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    entries: Mutex<BTreeMap<u64, SegmentEntry>>,
}

impl Segments {
    pub(crate) fn add(&self, first_address: u64) {
        let entry = SegmentEntry { handle: None, direct: false };
        lock(&self.entries).insert(first_address, entry);
    }

    pub(crate) fn count(&self) -> u64 {
        lock(&self.entries).len() as u64
    }

    pub(crate) fn first_address(&self) -> u64 {
        lock(&self.entries).keys().next().copied().unwrap_or(0)
    }
}

impl Log {
    /// The log's identity: (log id, address) is unique for ever.
    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// The epoch this opening began.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The log's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tail file.
    pub fn tail_path(&self) -> &Path {
        self.tail.path()
    }

    /// Everything up to this sequence survives power loss. Always the end of a whole group.
    pub fn durable_sequence(&self) -> u64 {
        self.durability.sequence()
    }

    /// A stream address below which everything is durable.
    pub fn durable_address(&self) -> u64 {
        self.durability.address()
    }

    /// Everything up to this sequence survives a killed process. Always the end of a whole group.
    pub fn published_sequence(&self) -> u64 {
        self.tail.published_sequence()
    }

    /// End of the last published record.
    pub fn published_address(&self) -> u64 {
        self.tail.published_address()
    }

    /// Oldest stream address still here.
    pub fn first_address(&self) -> u64 {
        self.segments.first_address()
    }

    /// Blocks until `sequence` is durable (true), the time is over (false), or the log has latched. For cold threads.
    pub fn wait_durable(&self, sequence: u64, timeout: Duration) -> Result<bool, LatchedError> {
        self.durability.wait(sequence, timeout)
    }

    /// Log thread only. Refused once latched.
    pub(crate) fn publish_durable(&self, sequence: u64, address: u64) -> Result<(), LatchedError> {
        self.durability.publish(sequence, address)
    }

    /// The first failed write or sync, if there was one.
    pub fn latched(&self) -> Option<LatchedError> {
        self.durability.latched()
    }

    /// For a thread of the log that panics: without it the log would stand still and say nothing.
    pub(crate) fn latch_if_panicking(&self, call: &'static str) {
        if std::thread::panicking() {
            self.latch(&DiskError::new(call, &self.dir, 0, io::Error::other("panicked")));
        }
    }

    /// Latches on the first failure; later ones change nothing. Returns what stands.
    pub(crate) fn latch(&self, error: &DiskError) -> LatchedError {
        self.durability.latch(error)
    }

    /// True while the next segment cannot be prepared for lack of space. Appends still go through until the segments that are
    /// ready are full; it ends by itself.
    pub fn out_of_space(&self) -> bool {
        self.room.is_short()
    }

    /// A reader of all records from a place on.
    pub fn reader(self: &Arc<Self>, from: From) -> Result<Reader, ReadError> {
        Reader::open(Arc::clone(self), from)
    }

    /// Copies the record at `address` out, from the tail or from its segment, verified. The record must be published.
    pub fn read_at(&self, address: u64, buffer: &mut RecordBuffer) -> Result<(), ReadError> {
        crate::reader::read_at(self, address, buffer)
    }

    /// Counters since the log was opened.
    pub fn stats(&self) -> LogStats {
        let published = self.published_address();
        LogStats {
            records: self.published_sequence() - self.start.1,
            published_bytes: published - self.start.0,
            pending_bytes: published.saturating_sub(self.durable_address()),
            segments: self.segments.count(),
            ..self.stats.0.snapshot()
        }
    }

    /// Unlinks sealed segments that lie wholly below `address` (of a durable record), oldest first, and returns how many. Readers
    /// inside them go on reading what they have open. At least one durable record always stays.
    pub fn retain_from(&self, address: u64) -> io::Result<usize> {
        let durable = self.durable_address();
        let mut dropped = 0;
        loop {
            let mut entries = lock(&self.segments.entries);
            let Some(&first) = entries.keys().next() else { break };
            let first = if planted::is(Bug::RetentionNewestFirst) {
                let goes = |f: &&u64| **f + self.segment_bytes <= address && **f + self.segment_bytes < durable;
                entries.keys().rev().find(goes).copied().unwrap_or(first)
            } else {
                first
            };
            let end = first + self.segment_bytes;
            // Strictly below what is durable: a log that forgot its last record would forget its sequence.
            if end > address || end >= durable {
                break;
            }
            self.disk.unlink(&segment_path(&self.dir, first)).map_err(|e| e.source)?;
            entries.remove(&first);
            // The name is gone before the next one goes: a crash leaves a contiguous log. When that fails nobody knows which names are
            // there after a crash, so it latches like any failed sync.
            if let Err(error) = self.disk.sync_dir(&self.dir) {
                self.latch(&error);
                return Err(error.source);
            }
            dropped += 1;
        }
        Ok(dropped)
    }

    /// The segment that holds `address`, opened for reading: past the page cache while it is being written.
    pub(crate) fn read_handle(&self, address: u64) -> Result<(u64, Arc<dyn DiskFile>), ReadError> {
        let sealed_below = self.durable_address();
        let mut entries = lock(&self.segments.entries);
        let oldest = entries.keys().next().copied().unwrap_or(0);
        let Some((&first, entry)) = entries.range_mut(..=address).next_back() else {
            return Err(ReadError::NoRecord { address, what: crate::damage::What::Gap });
        };
        if address < oldest || address >= first + self.segment_bytes {
            return Err(ReadError::NoRecord { address, what: crate::damage::What::Gap });
        }
        let sealed = first + self.segment_bytes <= sealed_below;
        if let Some(handle) = &entry.handle
            && !(sealed && entry.direct)
        {
            return Ok((first, Arc::clone(handle)));
        }
        let access = if sealed { Access::Read } else { Access::ReadDirect };
        let handle = self.disk.open(&segment_path(&self.dir, first), access)?;
        *entry = SegmentEntry { handle: Some(Arc::clone(&handle)), direct: !sealed };
        Ok((first, handle))
    }
}
