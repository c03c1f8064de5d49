//! How far a sink has come: one small file, replaced whole, and the check that a log holds that place.
//!
//! A sink that keeps its rows in a database commits its cursor with them there; this file serves the
//! others. The cursor names a record by log, epoch, sequence and checksum, so that a log that was cut,
//! restored from elsewhere, or belongs to another host is told apart from one that merely went on.
//!
//! The file, little endian:
//! ```text
//! offset  bytes  field
//!      0      8  magic     "LOTCURS", 1
//!      8      8  log_id
//!     16      8  sequence  of the last record that the sink has taken
//!     24      4  epoch     of that record
//!     28      4  checksum  of that record
//!     32      4  CRC32C of bytes 0..32
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_wal::{From, Limit, Log, ReadError, Reader, RecordHeader};

const MAGIC: &[u8; 8] = b"LOTCURS\x01";
const SUMMED_BYTES: usize = 32;
const FILE_BYTES: usize = SUMMED_BYTES + 4;

/// A record, named so that no other record of any log is mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The log.
    pub log_id: u64,
    /// The epoch that wrote it.
    pub epoch: u32,
    /// Its sequence.
    pub sequence: u64,
    /// Its checksum.
    pub checksum: u32,
}

impl LogPosition {
    /// The position of a record.
    #[must_use]
    pub fn of(header: &RecordHeader) -> Self {
        Self { log_id: header.log_id, epoch: header.epoch, sequence: header.sequence, checksum: header.checksum }
    }

    fn encode(&self) -> [u8; FILE_BYTES] {
        let mut bytes = [0; FILE_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.checksum.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..SUMMED_BYTES]);
        bytes[SUMMED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; FILE_BYTES] = bytes.try_into().map_err(|_| "it has another length")?;
        if &bytes[..8] != MAGIC {
            return Err("it is no cursor of this release");
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if crc32c::crc32c(&bytes[..SUMMED_BYTES]) != word(SUMMED_BYTES) {
            return Err("its checksum differs");
        }
        let wide = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        Ok(Self { log_id: wide(8), sequence: wide(16), epoch: word(24), checksum: word(28) })
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log_id, epoch, sequence, checksum } = self;
        write!(f, "log {log_id:016x}, epoch {epoch}, sequence {sequence}, checksum {checksum:08x}")
    }
}

/// Why a sink cannot go on from its cursor. Nothing was read on and nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The file cannot be read or written.
    #[error("{what} the cursor {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a cursor, or not whole.
    #[error("the cursor {}: {what}; check what the sink holds before removing it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The log does not hold the record that the cursor names: it was cut, replaced, or is another host's.
    #[error("the cursor is not in the log: the cursor names {cursor}; the log has {log}")]
    NotInLog {
        /// Where the sink is.
        cursor: LogPosition,
        /// What the log has at that sequence, or its last durable record where it ends before.
        log: LogPosition,
    },
    /// Retention has removed what the sink has not taken.
    #[error("the log begins at sequence {first}, after the cursor ({cursor}): rebuild the sink from the archive")]
    Gone {
        /// Where the sink is.
        cursor: LogPosition,
        /// First sequence in the log.
        first: u64,
    },
    /// The log cannot be read.
    #[error("reading the log behind a cursor: {0}")]
    Read(#[from] ReadError),
}

/// The file of a cursor. One writer.
#[derive(Clone, Debug)]
pub struct CursorFile {
    path: PathBuf,
}

impl CursorFile {
    /// The cursor at a path. Nothing is touched yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; `None` where there is none, which means "from the start".
    ///
    /// # Errors
    /// [`CursorError::Io`], [`CursorError::Damaged`].
    pub fn load(&self) -> Result<Option<LogPosition>, CursorError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.failed("reading", source)),
        };
        let damaged = |what| CursorError::Damaged { path: self.path.clone(), what };
        LogPosition::decode(&bytes).map(Some).map_err(damaged)
    }

    /// Replaces it; durable when this returns. After a crash the old or the new one is there, whole.
    ///
    /// Store a position only when everything up to it is safe where the sink puts it.
    ///
    /// # Errors
    /// [`CursorError::Io`]; the old one stands.
    pub fn store(&self, position: &LogPosition) -> Result<(), CursorError> {
        // Beside, with the whole name: two cursors of one directory never share it.
        let mut beside = self.path.clone().into_os_string();
        beside.push(".tmp");
        let beside = PathBuf::from(beside);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&position.encode())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)?;
            let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(dir)?.sync_all()
        };
        write().map_err(|source| self.failed("writing", source))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> CursorError {
        CursorError::Io { what, path: self.path.clone(), source }
    }
}

/// A reader of what comes after the cursor; of everything, where there is none yet.
///
/// Only durable records count: what a sink has taken must have been durable, so a cursor beyond
/// that is of another log's life.
///
/// # Errors
/// [`CursorError::NotInLog`] with both positions, [`CursorError::Gone`], [`CursorError::Read`].
pub fn resume(log: &Arc<Log>, cursor: Option<LogPosition>) -> Result<Reader, CursorError> {
    let Some(cursor) = cursor else {
        let reader = log.reader(From::Start)?;
        let first = reader.sequence();
        // Without a cursor the sink wants all of it; a log that begins later has lost some.
        let none = LogPosition { log_id: log.log_id(), epoch: 0, sequence: 0, checksum: 0 };
        return if first == 1 { Ok(reader) } else { Err(CursorError::Gone { cursor: none, first }) };
    };
    if cursor.sequence == 0 || cursor.log_id != log.log_id() || cursor.sequence > log.durable_sequence() {
        return Err(CursorError::NotInLog { cursor, log: last_durable(log)? });
    }
    let mut reader = match log.reader(From::Sequence(cursor.sequence)) {
        Ok(reader) => reader,
        Err(ReadError::Gone { first, .. }) => return after_removal(log, cursor, first),
        Err(error) => return Err(error.into()),
    };
    let found = reader.next(Limit::Durable)?.map(|record| LogPosition::of(&record.header));
    match found {
        Some(found) if found == cursor => Ok(reader),
        Some(found) => Err(CursorError::NotInLog { cursor, log: found }),
        None => Err(CursorError::NotInLog { cursor, log: last_durable(log)? }),
    }
}

/// The cursor's own record was removed. If the log begins right after it, its first record still
/// names the checksum of the one before.
fn after_removal(log: &Arc<Log>, cursor: LogPosition, first: u64) -> Result<Reader, CursorError> {
    if first != cursor.sequence + 1 {
        return Err(CursorError::Gone { cursor, first });
    }
    let mut probe = log.reader(From::Start)?;
    match probe.next(Limit::Durable)?.map(|record| record.header) {
        Some(header) if header.sequence == first && header.previous_checksum == cursor.checksum => {
            Ok(log.reader(From::Start)?)
        }
        Some(header) => Err(CursorError::NotInLog { cursor, log: LogPosition::of(&header) }),
        None => Err(CursorError::Gone { cursor, first }),
    }
}

fn last_durable(log: &Arc<Log>) -> Result<LogPosition, CursorError> {
    let sequence = log.durable_sequence();
    let empty = LogPosition { log_id: log.log_id(), epoch: log.epoch(), sequence: 0, checksum: 0 };
    if sequence == 0 {
        return Ok(empty);
    }
    let mut reader = log.reader(From::Sequence(sequence))?;
    Ok(reader.next(Limit::Durable)?.map_or(empty, |record| LogPosition::of(&record.header)))
}
