//! The seam to the disk: everything the log does to files goes through it, so that a simulated disk can lose, tear, reorder, misplace
//! and refuse.
//!
//! That includes the tail, which is memory that happens to have a name ([`Disk::create_mapped`]), the lock, and the few facts of the
//! machine that find their way into files: with all of them behind the seam, a simulated log is the same one at every run.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::machine;
use crate::mapped::MappedBytes;
use crate::mapping::Mapping;

/// A failed file operation: which call, where, why.
#[derive(Debug, thiserror::Error)]
#[error("{call} {path} at offset {offset}: {source}", path = path.display())]
pub struct DiskError {
    /// The system call, or what stood in for it.
    pub call: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// Byte offset in the file, 0 where it does not apply.
    pub offset: u64,
    /// The system's reason.
    pub source: io::Error,
}

impl DiskError {
    /// From parts.
    pub fn new(call: &'static str, path: &Path, offset: u64, source: io::Error) -> Self {
        Self { call, path: path.to_path_buf(), offset, source }
    }

    /// The errno; 0 when the reason is not the system's.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// True for the failures that mean "no room": foreseen, and cured by making room.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self.errno(), libc::ENOSPC | libc::EDQUOT)
    }

    /// True when the file is not there.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Result of a file operation.
pub type DiskResult<T> = Result<T, DiskError>;

/// One write of a batch.
#[derive(Clone, Copy, Debug)]
pub struct WriteAt<'a> {
    /// Byte offset in the file.
    pub offset: u64,
    /// What to write. For direct files: block-aligned in memory, in offset and in length.
    pub bytes: &'a [u8],
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Through the page cache: sealed segments, small files.
    Read,
    /// Past the page cache where the disk can: the segment being written, so that reading ahead leaves nothing stale behind.
    ReadDirect,
    /// Written in whole blocks, past the page cache where the disk can.
    Write,
    /// Created or emptied, written in whole blocks.
    Create,
    /// Created or emptied, written in any length.
    CreateSmall,
    /// Created where it is missing, else left as it is; written in any length.
    Update,
}

/// An open file. All methods take `&self`: offsets are explicit, several readers share one handle.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Where it was opened.
    fn path(&self) -> &Path;
    /// Bytes of the file.
    fn len(&self) -> DiskResult<u64>;
    /// True when it has none.
    fn is_empty(&self) -> DiskResult<bool> {
        Ok(self.len()? == 0)
    }
    /// Reserves space for so many bytes; fails with `ENOSPC` before anything depends on it.
    fn preallocate(&self, bytes: u64) -> DiskResult<()>;
    /// Reads until the buffer is full or the file ends; returns the bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize>;
    /// Writes all of it.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()>;
    /// Writes all of them in any order, several in flight; returns when every one has completed.
    fn write_batch(&self, writes: &[WriteAt<'_>]) -> DiskResult<()> {
        writes.iter().try_for_each(|w| self.write_at(w.offset, w.bytes))
    }
    /// Says that these bytes will be read soon, so that several reads can be under way at once. Nothing depends on it.
    fn will_read(&self, _offset: u64, _bytes: usize) {}
    /// Maps the whole file for reading; `None` where there is no such thing. The caller knows that nobody writes to it any more.
    fn map(&self) -> DiskResult<Option<MappedBytes>> {
        Ok(None)
    }
    /// Makes durable what was written.
    fn sync_data(&self) -> DiskResult<()>;
}

/// A lock that was asked for.
#[derive(Debug)]
pub enum DirLock {
    /// Ours until it is dropped, or the process dies.
    Taken(Box<dyn HeldLock>),
    /// Someone else's; the pid where the lock file names it.
    Owned(Option<u32>),
}

/// A held lock; dropping it lets go.
pub trait HeldLock: Send + Sync + fmt::Debug {}

/// A file system, and the machine around it.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> DiskResult<Arc<dyn DiskFile>>;
    /// Makes a file of zeros that must not exist yet, allocates all of it and maps it; a failure leaves no file. Fails with `ENOSPC` or
    /// `ENOMEM` when there is no room: a store into the mapping never does.
    fn create_mapped(&self, path: &Path, bytes: usize) -> DiskResult<Mapping>;
    /// Makes one directory, whose parent must exist; false when it was there already. Its name is not durable by that.
    fn create_dir(&self, dir: &Path) -> DiskResult<bool>;
    /// Renames within one directory, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> DiskResult<()>;
    /// Removes a file.
    fn unlink(&self, path: &Path) -> DiskResult<()>;
    /// Names in a directory, unordered.
    fn list(&self, dir: &Path) -> DiskResult<Vec<String>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> DiskResult<()>;
    /// Bytes that an unprivileged writer can still use.
    fn free_bytes(&self, dir: &Path) -> DiskResult<u64>;
    /// True when `dir` lies in memory (tmpfs): no page there is ever written back, and none survives the machine.
    fn is_memory(&self, dir: &Path) -> bool;
    /// `dir` without links and dots; as it is when it cannot be resolved.
    fn real_path(&self, dir: &Path) -> PathBuf;
    /// Takes the one writer's lock of a directory.
    fn lock_dir(&self, dir: &Path) -> DiskResult<DirLock>;
    /// Which start of the machine this is: shared memory of another one is gone, or was written back page by page.
    fn boot_id(&self) -> [u8; 16] {
        machine::boot_id()
    }
    /// Nanoseconds since 1970, for stamps that nothing depends on.
    fn wall_clock_ns(&self) -> u64 {
        machine::wall_clock_ns()
    }
    /// Name of this host, for messages.
    fn host_name(&self) -> String {
        machine::host_name()
    }
    /// An id that no other log has, never zero.
    fn random_id(&self) -> u64 {
        machine::random_id()
    }
    /// What was asked for and could not be had, in words.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
