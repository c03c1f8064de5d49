//! The log as its threads and readers share it: positions and states.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::cursor::Cursors;
use crate::disk::{Disk, DiskError};
use crate::durability::Durability;
use crate::error::{LatchedError, ReadError};
use crate::padded::CachePadded;
use crate::preparer::Lanes;
use crate::reader::{From, Limit, Reader, RecordBuffer};
use crate::retention::keeper::KeeperState;
use crate::retention::settings::Retention;
use crate::room::Room;
use crate::segments::Segments;
use crate::stats::{LogStats, StatsCells};
use crate::stop::{ENDED, Stop};
use crate::tail::Tail;

/// How soon who waits for a record notices that the log has ended.
const ENDED_LOOK: Duration = Duration::from_millis(50);

/// A log that is open for writing, as everyone but the appender sees it.
#[derive(Debug)]
pub struct Log {
    pub(crate) log_id: u64,
    pub(crate) epoch: u32,
    pub(crate) dir: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) created_ns: u64,
    /// Where this epoch begins, and the sequence before its first.
    pub(crate) start: (u64, u64),
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) tail: Tail,
    pub(crate) durability: Durability,
    pub(crate) room: Room<Lanes>,
    /// How many flushes may be under way at a time.
    pub(crate) flushes_in_flight: usize,
    pub(crate) stop: Stop,
    pub(crate) segments: Segments,
    pub(crate) stats: CachePadded<StatsCells>,
    /// Rung when the preparer may have something to do.
    pub(crate) preparer_bell: Bell,
    /// What consumers still need.
    pub(crate) cursors: Cursors,
    /// Rung when the keeper may have something to do.
    pub(crate) keeper_bell: Bell,
    /// What the keeper found and did.
    pub(crate) keeper: Mutex<KeeperState>,
    /// Held by who archives or removes segments: one at a time.
    pub(crate) segments_work: Mutex<()>,
    pub(crate) retention: Retention,
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
        let mut rung = lock(&self.rung);
        self.changed.wait_while_for(&mut rung, |rung| !*rung, timeout);
        *rung = false;
    }
}

/// Takes a lock. One whose owner panicked is free again: what these locks guard is whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
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
        self.segments.first_address(self.segment_bytes)
    }

    /// The appender is gone: no record comes any more and none becomes durable.
    pub fn has_ended(&self) -> bool {
        self.stop.told() == ENDED
    }

    /// Blocks until `sequence` is durable (true), the time is over or the log has ended (false), or it has latched. For cold threads.
    pub fn wait_durable(&self, sequence: u64, timeout: Duration) -> Result<bool, LatchedError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let ended = self.has_ended();
            let left = deadline.map_or(ENDED_LOOK, |d| d.saturating_duration_since(Instant::now()));
            if self.durability.wait(sequence, left.min(ENDED_LOOK))? {
                return Ok(true);
            }
            if ended || left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Log threads only, in order. Refused once latched.
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

    /// Says that the record at `address` will be read soon: whoever says so of several has their reads under way at once. Opens what holds it
    /// as [`Log::read_at`] does; what fails here fails there again, and is told then.
    pub fn will_read_at(&self, address: u64) {
        crate::reader::will_read_at(self, address);
    }

    /// Copies the record at `address` out, verified: from the tail, its segment, or its archive, here or in the target. The record must
    /// be within `limit`. May block on the disk, and where only the target has it for as long as that takes.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] for a record that is there and not durable yet; [`ReadError::NoRecord`]; [`ReadError::Gone`] for a
    /// segment that was dropped here, without a target to ask; [`ReadError::Disk`], also of the target. The buffer holds no record then.
    pub fn read_at(&self, address: u64, limit: Limit, buffer: &mut RecordBuffer) -> Result<(), ReadError> {
        crate::reader::read_at(self, address, buffer)?;
        let (wanted, last) = (buffer.header().sequence, self.durable_sequence());
        if limit == Limit::Durable && wanted > last {
            buffer.forget();
            return Err(ReadError::Beyond { wanted, last });
        }
        Ok(())
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
}
