//! One error type an operation. Each says what happened and what became of the bytes.

use std::path::PathBuf;

use crate::cursor::CursorError;
use crate::damage::Corrupt;
use crate::disk::DiskError;

/// Why a log did not open. In every case the files are as they were, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another writer owns the directory.
    #[error("{dir} is owned by another process{}", pid.map(|p| format!(" (pid {p})")).unwrap_or_default(), dir = dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// The owner, where the lock file names it.
        pid: Option<u32>,
    },
    /// A setting is out of its bounds.
    #[error("configuration: {0}")]
    Config(String),
    /// There is no log here (read-only opening never makes one).
    #[error("{dir} holds no log", dir = dir.display())]
    NotALog {
        /// The directory.
        dir: PathBuf,
    },
    /// `log.meta` is damaged, missing beside segments, or of a version this build does not know.
    #[error("{path}: {what}", path = path.display())]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// `log.archive` is damaged, missing beside archives, or of a version this build does not know. The archives name themselves, so it can
    /// be made again from them.
    #[error("{path}: {what}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A segment is missing between two others, or all of them are.
    #[error("segment {path} is missing (stream address {address:#x})", path = path.display())]
    MissingSegment {
        /// The file that should be there.
        path: PathBuf,
        /// Its first stream address.
        address: u64,
    },
    /// A segment that is not what its name says: swapped, copied, of another log, unreadable.
    #[error("segment {path}: {what}", path = path.display())]
    WrongSegment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The log does not hold what a cursor in its directory names: it was cut, or the cursor is another log's. Both places are named.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Damage below the durable watermark. Nothing was touched; the repair path starts from the place named here.
    #[error("damage in what was durable: {0}")]
    Corrupt(Corrupt),
    /// The tail file belongs to another log.
    #[error("tail {path} belongs to log {found:016x}, this is {expected:016x}", path = path.display())]
    TailForeign {
        /// The tail file.
        path: PathBuf,
        /// The log it names.
        found: u64,
        /// This log.
        expected: u64,
    },
    /// Disk and tail hold different bytes for the same addresses.
    #[error("tail {path} and the segments differ at stream address {address:#x}", path = path.display())]
    TailDiffers {
        /// The tail file.
        path: PathBuf,
        /// Chunk of the first difference.
        address: u64,
    },
    /// The tail begins beyond the end of the segments: durable records are missing on disk.
    #[error("records from sequence {sequence} (stream address {address:#x}) are neither in the segments nor in tail {path}", path = path.display())]
    TailGap {
        /// The tail file.
        path: PathBuf,
        /// First missing address.
        address: u64,
        /// First missing sequence.
        sequence: u64,
    },
    /// No room for the tail file or for the first segments.
    #[error("no room in {dir}: {needed_bytes} bytes needed", dir = dir.display())]
    OutOfSpace {
        /// Where.
        dir: PathBuf,
        /// How much was asked for.
        needed_bytes: u64,
    },
    /// A file operation failed. Recovery may have been under way; opening again continues it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Opening went through but the first flush failed.
    #[error(transparent)]
    Latched(#[from] LatchedError),
    /// A thread could not be started, or the machine refused memory.
    #[error("starting the log: {0}")]
    Start(std::io::Error),
}

/// The first failed write or sync. It stays: nothing is retried, nothing more is acknowledged; restart and recover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} {file} at offset {offset} failed (errno {errno}); durable up to sequence {durable_sequence}; restart to recover", file = file.display())]
pub struct LatchedError {
    /// The errno; 0 when the failure was not the system's.
    pub errno: i32,
    /// The call.
    pub call: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Offset in it.
    pub offset: u64,
    /// Everything up to here is durable; what was appended after it is unknown.
    pub durable_sequence: u64,
}

/// Why a record was not appended. Nothing was taken in; the appender can be used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// All tail blocks are waiting for the disk. Try again.
    #[error("the tail is full: the disk is behind")]
    TailFull,
    /// The next segment cannot be prepared for lack of space. It resumes by itself once there is room.
    #[error("out of space: the next segment cannot be prepared")]
    OutOfSpace,
    /// A write or sync has failed; see [`Log::latched`](crate::Log::latched). Restart.
    #[error("the log is latched after a failed write")]
    Latched,
    /// The payload is larger than [`MAX_PAYLOAD_BYTES`](crate::MAX_PAYLOAD_BYTES).
    #[error("payload too large for one record")]
    TooLarge,
    /// Group flags out of order: a member without a first, or something else inside a group.
    #[error("group flags out of order")]
    GroupOrder,
    /// The kind belongs to the log itself.
    #[error("kind is reserved for the log")]
    ReservedKind,
}

/// Why a reader cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Retention has dropped it.
    #[error("sequence {wanted} is gone: the log begins at {first}")]
    Gone {
        /// What was asked for.
        wanted: u64,
        /// The oldest there is.
        first: u64,
    },
    /// The log does not reach that far.
    #[error("sequence {wanted} is beyond the end of the log ({last})")]
    Beyond {
        /// What was asked for.
        wanted: u64,
        /// The newest there is.
        last: u64,
    },
    /// No record begins at that address.
    #[error("no record at stream address {address:#x}: {what}")]
    NoRecord {
        /// What was asked for.
        address: u64,
        /// What lies there.
        what: crate::damage::What,
    },
    /// What was written is no longer what is read.
    #[error("damage: {0}")]
    Corrupt(Corrupt),
    /// A write or sync has failed: what was not durable will not become so. Only who waits for it is told.
    #[error(transparent)]
    Latched(#[from] LatchedError),
    /// A file operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}
