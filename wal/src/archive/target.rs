//! The place elsewhere that archived segments are shipped to: another directory now, an object store by the same four calls later.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Access, Disk, DiskFile, DiskResult};
use crate::limits::SCAN_BYTES;
use crate::log::lock;
use crate::open::{make_dirs, sync_parents};

/// Keeps whole files by name, for ever. Files are never changed once they are there.
///
/// Names are `<log id, 16 hex digits>/seg-<first address, 16 hex digits>.lotlog.zst`. All calls may block for as long as the place
/// needs; they are made on the log's housekeeping thread, and on the thread of a reader that wants what only the archive has.
pub trait ArchiveTarget: Send + Sync + std::fmt::Debug {
    /// Puts the whole of `source` there under that name, replacing what has the name. When this returns the file is there and durable;
    /// after a failure it may be there or not, but never half of it under that name.
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()>;
    /// Opens a file for reading in parts.
    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>>;
    /// Names of all files of one log, unordered, without the log's own part.
    fn list(&self, log: &str) -> DiskResult<Vec<String>>;
    /// Where it is, in words, for reports.
    fn describe(&self) -> String;
}

/// A directory, best on another disk.
#[derive(Debug)]
pub struct DirectoryTarget {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Folders that are there, with durable names.
    named: Mutex<Vec<PathBuf>>,
}

impl DirectoryTarget {
    /// Nothing is touched yet; folders are made when the first file comes.
    pub fn new(disk: Arc<dyn Disk>, dir: impl Into<PathBuf>) -> Self {
        Self { disk, dir: dir.into(), named: Mutex::default() }
    }

    fn make_folder(&self, folder: &Path) -> DiskResult<()> {
        let mut named = lock(&self.named);
        if !named.iter().any(|known| known == folder) {
            make_dirs(&*self.disk, folder)?;
            sync_parents(&*self.disk, folder)?;
            named.push(folder.to_path_buf());
        }
        Ok(())
    }

    fn copy(&self, new: &Path, source: &dyn DiskFile) -> DiskResult<()> {
        let file = self.disk.open(new, Access::CreateSmall)?;
        let mut buffer = vec![0u8; SCAN_BYTES];
        let mut at = 0;
        loop {
            let read = source.read_at(at, &mut buffer)?;
            if read == 0 {
                break;
            }
            file.write_at(at, &buffer[..read])?;
            at += read as u64;
        }
        file.sync_data()
    }
}

impl ArchiveTarget for DirectoryTarget {
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()> {
        let path = self.dir.join(name);
        let folder = path.parent().unwrap_or(&self.dir).to_path_buf();
        self.make_folder(&folder)?;
        let new = path.with_extension("zst.new");
        let result = self.copy(&new, source).and_then(|()| {
            self.disk.rename(&new, &path)?;
            self.disk.sync_dir(&folder)
        });
        if result.is_err() {
            // What is half made only takes room.
            let _ = self.disk.unlink(&new);
        }
        result
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        self.disk.open(&self.dir.join(name), Access::Read)
    }

    fn list(&self, log: &str) -> DiskResult<Vec<String>> {
        match self.disk.list(&self.dir.join(log)) {
            Err(e) if e.is_missing() => Ok(Vec::new()),
            other => other,
        }
    }

    fn describe(&self) -> String {
        self.dir.display().to_string()
    }
}

/// A log's own part of the names.
pub(crate) fn log_folder(log_id: u64) -> String {
    format!("{log_id:016x}")
}

/// The name of a segment's archive in a target.
pub(crate) fn target_name(log_id: u64, first_address: u64) -> String {
    format!("{}/{}", log_folder(log_id), crate::segment::archive_name(first_address))
}
