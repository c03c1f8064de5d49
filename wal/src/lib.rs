//! A write-ahead log with one writer that never waits for the disk.
//!
//! The writer ([`Appender`]) stores records into a mapped tail in shared memory: no allocation, no lock, no system call. A log thread
//! writes them on to segment files and publishes what is durable. Readers copy from the tail or read the segments, and slow
//! nobody. Opening a log decides by one table what a crash left behind.
//!
//! Two promises, never mixed up:
//! - *applied*: [`Appender::append`] returned; the record survives a killed process;
//! - *durable*: [`Log::durable_sequence`] has reached it; the record survives power loss.
//!
//! The bytes are drawn in `docs/wal-format.md`, the reasons are in `docs/decisions/0002-log-format.md`. The crate knows nothing of what
//! is logged.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! use std::time::Duration;
//! use lotbook_wal::{From, Limit, LogConfig, RecordMeta, open};
//!
//! let mut config = LogConfig::new(dir.path().join("log"));
//! config.segment_bytes = 256 << 10;
//! config.tail_blocks = 8;
//! let mut opened = open(config).unwrap();
//! let text = b"hello";
//! let at = opened.appender.append(&RecordMeta::single(1), text.len(), |bytes| bytes.copy_from_slice(text)).unwrap();
//! assert!(opened.log.wait_durable(at.sequence, Duration::from_secs(10)).unwrap());
//! let mut reader = opened.log.reader(From::Sequence(at.sequence)).unwrap();
//! assert_eq!(reader.next(Limit::Durable).unwrap().unwrap().payload, text);
//! opened.appender.close().unwrap();
//! ```
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(target_endian = "little"))]
compile_error!("the log's words are little endian in memory and on disk");
#[cfg(not(target_os = "linux"))]
compile_error!("the log speaks to Linux: tmpfs, O_DIRECT, io_uring");

mod aligned;
mod appender;
mod archive;
mod audit;
mod backwards;
mod chain;
mod checksum;
mod config;
mod cursor;
mod damage;
mod disk;
mod durability;
mod epoch;
mod error;
mod flight;
mod flights;
mod flusher;
mod join;
pub mod limits;
mod lock;
mod log;
mod machine;
mod mapped;
mod mapping;
mod mend;
mod meta;
mod nap;
mod near;
mod open;
mod overlay;
mod padded;
mod past;
mod planted;
mod prefetch;
mod preparer;
mod read_only;
mod reader;
mod real_disk;
mod record;
mod recovery;
mod repair;
mod restore;
mod retention;
mod room;
mod scan;
mod segment;
mod segment_check;
mod segments;
mod shadow;
#[cfg(feature = "sim")]
pub mod sim;
mod stats;
mod stop;
mod sync;
mod tail;
mod tail_memory;
mod threads;

#[cfg(all(loom, test))]
mod models;
#[cfg(all(not(loom), test))]
mod tests;

pub use appender::{Appended, Appender};
pub use archive::entry::ArchiveEntry;
pub use archive::shipped::Shipper;
pub use archive::target::{ArchiveTarget, DirectoryTarget, Version};
pub use audit::{ArchiveReport, CursorFinding, CursorReport, VerifyOutcome, VerifyReport};
pub use backwards::Backwards;
pub use config::{DirectMode, IoMode, LogConfig, WaitStrategy};
pub use cursor::{Cursor, CursorClass, CursorError, LogPosition};
pub use damage::{Corrupt, What};
pub use disk::{Access, DirLock, Disk, DiskError, DiskFile, DiskResult, HeldLock, WriteAt};
pub use error::{AppendError, LatchedError, OpenError, ReadError};
pub use limits::{
    BLOCK_BYTES, CHUNK_BYTES, FORMAT_VERSION, HEAD_BYTES, HEADER_BYTES, MAX_PAYLOAD_BYTES, NO_ADDRESS, RECORD_ALIGN,
};
pub use log::Log;
pub use mapped::{MappedBytes, SealedRecords, SealedSegment};
pub use mapping::Mapping;
pub use mend::{
    RepairError, RepairPlaces, RepairPlan, RepairStep, Repairer, TailRefusal, open_for_repair, open_for_repair_on,
};
pub use nap::{nap, precise_sleeps};
pub use open::{OpenReport, Opened, open, open_on};
pub use read_only::{ReadOnlyLog, SegmentForm, SegmentInfo, open_read_only, open_read_only_on};
pub use reader::{From, Limit, Reader, RecordBuffer};
pub use real_disk::RealDisk;
pub use record::{
    EPOCH_START_BYTES, EpochStart, FLAG_GROUP_CONTINUES, FLAG_GROUP_MEMBER, Group, INTERNAL_KINDS, KIND_CLOSE,
    KIND_EPOCH_START, Record, RecordHeader, RecordMeta,
};
pub use restore::{Behind, MoreRecords, RestoreError, Restored, ShippedLog, restore, restore_on, shipped_logs};
pub use retention::growth::SpaceAlert;
pub use retention::outlook::SpaceOutlook;
pub use retention::report::{BytesByClass, CursorHold, RetentionReport, SegmentHold};
pub use retention::settings::Retention;
pub use segment::SegmentHeader;
pub use shadow::Shadow;
pub use stats::{Activity, ActivityHook, LATENCY_BUCKETS, LogStats};
