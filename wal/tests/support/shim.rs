//! A disk in front of the real one that asks before each call and tells after it: for tracing, failing, stalling, dying.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_wal::{Access, DirLock, Disk, DiskError, DiskFile, DiskResult, Mapping, RealDisk, WriteAt};

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Open,
    Create,
    Preallocate,
    Write,
    Sync,
    Rename,
    Unlink,
    SyncDir,
}

/// One call that changes the disk, or opens a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    pub(crate) call: Call,
    pub(crate) path: &'a Path,
    /// Of a rename.
    pub(crate) to: Option<&'a Path>,
    /// Of a write; of a preallocation, the length.
    pub(crate) offset: u64,
    /// Of a write.
    pub(crate) bytes: &'a [u8],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// It is made.
    Go,
    /// It is not made and seems to succeed.
    Skip,
    /// It is not made and fails with this errno.
    Fail(i32),
}

/// Decides. Writes of one batch are asked about one by one, then made together.
pub(crate) trait Gate: Send + Sync + fmt::Debug {
    /// Before the call.
    fn before(&self, _op: &Op<'_>) -> Say {
        Say::Go
    }
    /// After it went through.
    fn after(&self, _op: &Op<'_>) {}
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Shim {
    real: RealDisk,
    gate: Arc<dyn Gate>,
}

impl Shim {
    /// The real disk as `config` would have it, behind a gate.
    pub(crate) fn new(config: &lotbook_wal::LogConfig, gate: Arc<dyn Gate>) -> Arc<Self> {
        std::fs::create_dir_all(&config.dir).unwrap();
        Arc::new(Self { real: RealDisk::probe(&config.dir, config.io, config.direct), gate })
    }

    fn pass<T>(&self, op: Op<'_>, skipped: T, call: impl FnOnce() -> DiskResult<T>) -> DiskResult<T> {
        pass(&*self.gate, op, skipped, call)
    }
}

fn pass<T>(gate: &dyn Gate, op: Op<'_>, skipped: T, call: impl FnOnce() -> DiskResult<T>) -> DiskResult<T> {
    match gate.before(&op) {
        Say::Go => {
            let done = call()?;
            gate.after(&op);
            Ok(done)
        }
        Say::Skip => Ok(skipped),
        Say::Fail(errno) => Err(refusal(&op, errno)),
    }
}

fn refusal(op: &Op<'_>, errno: i32) -> DiskError {
    let name = match op.call {
        Call::Open | Call::Create => "open",
        Call::Preallocate => "fallocate",
        Call::Write => "pwrite",
        Call::Sync => "fdatasync",
        Call::Rename => "rename",
        Call::Unlink => "unlink",
        Call::SyncDir => "fsync directory",
    };
    DiskError::new(name, op.path, op.offset, io::Error::from_raw_os_error(errno))
}

#[derive(Debug)]
struct ShimFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<dyn Gate>,
}

impl ShimFile {
    fn op<'a>(&'a self, call: Call, offset: u64, bytes: &'a [u8]) -> Op<'a> {
        Op { call, path: self.file.path(), to: None, offset, bytes }
    }
}

impl DiskFile for ShimFile {
    fn path(&self) -> &Path {
        self.file.path()
    }
    fn len(&self) -> DiskResult<u64> {
        self.file.len()
    }
    fn preallocate(&self, bytes: u64) -> DiskResult<()> {
        pass(&*self.gate, self.op(Call::Preallocate, bytes, &[]), (), || self.file.preallocate(bytes))
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()> {
        pass(&*self.gate, self.op(Call::Write, offset, bytes), (), || self.file.write_at(offset, bytes))
    }
    fn write_batch(&self, writes: &[WriteAt<'_>]) -> DiskResult<()> {
        let mut made = Vec::with_capacity(writes.len());
        for write in writes {
            let op = self.op(Call::Write, write.offset, write.bytes);
            match self.gate.before(&op) {
                Say::Go => made.push(*write),
                Say::Skip => {}
                Say::Fail(errno) => return Err(refusal(&op, errno)),
            }
        }
        self.file.write_batch(&made)?;
        made.iter().for_each(|w| self.gate.after(&self.op(Call::Write, w.offset, w.bytes)));
        Ok(())
    }
    fn sync_data(&self) -> DiskResult<()> {
        pass(&*self.gate, self.op(Call::Sync, 0, &[]), (), || self.file.sync_data())
    }
}

impl Disk for Shim {
    fn open(&self, path: &Path, access: Access) -> DiskResult<Arc<dyn DiskFile>> {
        let creates = matches!(access, Access::Create | Access::CreateSmall);
        let call = if creates { Call::Create } else { Call::Open };
        let op = Op { call, path, to: None, offset: 0, bytes: &[] };
        if let Say::Fail(errno) = self.gate.before(&op) {
            return Err(refusal(&op, errno));
        }
        let file = self.real.open(path, access)?;
        self.gate.after(&op);
        Ok(Arc::new(ShimFile { file, gate: Arc::clone(&self.gate) }))
    }
    fn create_mapped(&self, path: &Path, bytes: usize) -> DiskResult<Mapping> {
        self.real.create_mapped(path, bytes)
    }
    fn create_dir(&self, dir: &Path) -> DiskResult<bool> {
        self.real.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> DiskResult<()> {
        let op = Op { call: Call::Rename, path: from, to: Some(to), offset: 0, bytes: &[] };
        self.pass(op, (), || self.real.rename(from, to))
    }
    fn unlink(&self, path: &Path) -> DiskResult<()> {
        let op = Op { call: Call::Unlink, path, to: None, offset: 0, bytes: &[] };
        self.pass(op, (), || self.real.unlink(path))
    }
    fn list(&self, dir: &Path) -> DiskResult<Vec<String>> {
        self.real.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> DiskResult<()> {
        let op = Op { call: Call::SyncDir, path: dir, to: None, offset: 0, bytes: &[] };
        self.pass(op, (), || self.real.sync_dir(dir))
    }
    fn free_bytes(&self, dir: &Path) -> DiskResult<u64> {
        self.real.free_bytes(dir)
    }
    fn is_memory(&self, dir: &Path) -> bool {
        self.real.is_memory(dir)
    }
    fn real_path(&self, dir: &Path) -> PathBuf {
        self.real.real_path(dir)
    }
    fn lock_dir(&self, dir: &Path) -> DiskResult<DirLock> {
        self.real.lock_dir(dir)
    }
    fn notes(&self) -> Vec<String> {
        self.real.notes()
    }
}
