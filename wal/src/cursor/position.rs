//! A place in a log's life, named so that no other is mistaken for it, and what can be wrong with one.

use std::fmt;
use std::path::PathBuf;

use crate::disk::DiskError;
use crate::error::ReadError;
use crate::record::RecordHeader;

/// A record, by log, epoch, sequence and checksum: a log that was cut, restored from elsewhere or belongs to another host is told apart
/// from one that merely went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The log.
    pub log_id: u64,
    /// The epoch that wrote it.
    pub epoch: u32,
    /// Its sequence; 0 for "before the first".
    pub sequence: u64,
    /// Its checksum.
    pub checksum: u32,
}

impl LogPosition {
    /// The position of a record.
    pub const fn of(header: &RecordHeader) -> Self {
        Self { log_id: header.log_id, epoch: header.epoch, sequence: header.sequence, checksum: header.checksum }
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log_id, epoch, sequence, checksum } = self;
        write!(f, "log {log_id:016x}, epoch {epoch}, sequence {sequence}, checksum {checksum:08x}")
    }
}

/// What becomes of a cursor when space runs short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CursorClass {
    /// What it has not taken stays on this disk, whatever happens: recovery, and sinks that nothing can make again.
    Required,
    /// What it has not taken may go when space runs short; its owner is told and begins anew.
    Rebuildable,
}

impl fmt::Display for CursorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CursorClass::Required => "required",
            CursorClass::Rebuildable => "rebuildable",
        })
    }
}

/// Why a cursor cannot be used, or a reader cannot go on from it. Nothing was read on and nothing was written, unless the variant
/// says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// Names are 1 to 63 of `a` to `z`, digits, `.`, `_` and `-`, and begin with a letter or digit.
    #[error("{name:?} is no name for a cursor")]
    Name {
        /// What was given.
        name: String,
    },
    /// Someone in this process has it.
    #[error("cursor {name} is in use")]
    InUse {
        /// The cursor.
        name: String,
    },
    /// The most cursors a log can have are there.
    #[error("cursor {name}: the log has as many cursors as it can")]
    TooMany {
        /// The cursor.
        name: String,
    },
    /// Neither of its two slots is whole.
    #[error("the cursor {path} is damaged; check what its owner holds before removing it", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The log does not hold the record that the cursor names: it was cut, replaced, or is another host's.
    #[error("cursor {name} is not in the log: the cursor names {cursor}; the log has {log}")]
    NotInLog {
        /// The cursor.
        name: String,
        /// Where it is.
        cursor: LogPosition,
        /// What the log has at that sequence, or its last record where it ends before.
        log: LogPosition,
    },
    /// Retention has removed what the cursor has not taken.
    #[error("the log begins at sequence {first}, after cursor {name} ({cursor}): rebuild its owner")]
    Gone {
        /// The cursor.
        name: String,
        /// Where it is.
        cursor: LogPosition,
        /// First sequence in the log.
        first: u64,
    },
    /// It was released when space ran short; what it has not taken may be gone. [`Cursor::restart`](crate::Cursor::restart) begins anew.
    #[error("cursor {name} ({cursor}) was released when space ran short: rebuild its owner")]
    Released {
        /// The cursor.
        name: String,
        /// Where it was.
        cursor: LogPosition,
    },
    /// A cursor never names what power loss can take.
    #[error("cursor {name}: sequence {sequence} is not durable yet (durable: {durable})")]
    NotDurable {
        /// The cursor.
        name: String,
        /// Where it was to go.
        sequence: u64,
        /// The log's durable sequence.
        durable: u64,
    },
    /// A cursor goes forward only.
    #[error("cursor {name} is at sequence {at} and does not go back to {to}")]
    Backwards {
        /// The cursor.
        name: String,
        /// Where it is.
        at: u64,
        /// Where it was to go.
        to: u64,
    },
    /// Its file cannot be read or written; the position on disk is the old one or the new one.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log cannot be read.
    #[error("reading the log behind a cursor: {0}")]
    Read(#[from] ReadError),
}
