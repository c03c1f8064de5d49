//! An object that is read in parts, as a file: the part that was read last is kept, for readers go forward.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use lotbook_wal::{DiskError, DiskFile, DiskResult};
use object_store::ObjectStoreExt as _;
use object_store::path::Path as ObjectPath;
use parking_lot::Mutex;

use super::target::Caller;

/// Bytes that are asked for at a time where fewer are wanted.
const WINDOW_BYTES: u64 = 1 << 20;

/// An object. It never changes: what has its name is written once.
#[derive(Debug)]
pub(super) struct ObjectFile {
    pub(super) caller: Arc<Caller>,
    pub(super) location: ObjectPath,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) window: Mutex<(u64, Bytes)>,
}

impl ObjectFile {
    fn refuse(&self, call: &'static str, offset: u64) -> DiskError {
        DiskError::new(call, &self.path, offset, io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn fetch(&self, from: u64, to: u64) -> DiskResult<Bytes> {
        let (store, location) = (Arc::clone(&self.caller.store), self.location.clone());
        let got = self.caller.wait("get", &self.path, async move { store.get_range(&location, from..to).await })?;
        if got.len() as u64 != to - from {
            let short = io::Error::new(io::ErrorKind::InvalidData, "fewer bytes than were asked for");
            return Err(DiskError::new("get", &self.path, from, short));
        }
        Ok(got)
    }
}

impl DiskFile for ObjectFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> DiskResult<u64> {
        Ok(self.bytes)
    }

    fn preallocate(&self, _bytes: u64) -> DiskResult<()> {
        Err(self.refuse("preallocate", 0))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        let end = self.bytes.min(offset.saturating_add(buffer.len() as u64));
        if offset >= end {
            return Ok(0);
        }
        let out = &mut buffer[..(end - offset) as usize];
        {
            let window = self.window.lock();
            let (from, bytes) = &*window;
            if *from <= offset && end <= from + bytes.len() as u64 {
                let at = (offset - from) as usize;
                out.copy_from_slice(&bytes[at..at + out.len()]);
                return Ok(out.len());
            }
        }
        // Not under the lock: several readers may share the file.
        let to = self.bytes.min(end.max(offset + WINDOW_BYTES));
        let bytes = self.fetch(offset, to)?;
        out.copy_from_slice(&bytes[..out.len()]);
        let read = out.len();
        *self.window.lock() = (offset, bytes);
        Ok(read)
    }

    fn write_at(&self, offset: u64, _bytes: &[u8]) -> DiskResult<()> {
        Err(self.refuse("write", offset))
    }

    fn sync_data(&self) -> DiskResult<()> {
        Err(self.refuse("sync", 0))
    }
}
