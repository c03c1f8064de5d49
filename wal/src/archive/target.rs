//! The place elsewhere that archived segments are shipped to: another directory, or whatever else makes these calls true, an object
//! store for one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::archive::seekable::read_all;
use crate::disk::{Access, Disk, DiskError, DiskFile, DiskResult};
use crate::limits::{ASIDE_MAX, SCAN_BYTES, SMALL_FILE_BYTES_MAX};
use crate::log::lock;
use crate::open::{make_dirs, sync_parents};

/// Which contents a small file had when it was read or written: compared, never read by people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// Keeps whole files by name. Segments are never changed once they are there; the few small files that are replaced are replaced by
/// [`ArchiveTarget::store`] alone, which says over which version.
///
/// Names are `<log id, 16 hex digits>/seg-<first address, 16 hex digits>.lotlog.zst`, and `shipped` and `tail` in the same folder. All
/// calls may block for as long as the place needs; they are made on the log's housekeeping thread, and on the thread of a reader that
/// wants what only the archive has.
///
/// Two hosts may hold one log, by mistake or because one was taken for dead. So nothing here replaces what it does not know: what is there already
/// under a name is [`io::ErrorKind::AlreadyExists`].
pub trait ArchiveTarget: Send + Sync + std::fmt::Debug {
    /// Puts the whole of `source` there under that name. When this returns the file is there and durable; after a failure it may be there
    /// or not, but never half of it under that name. [`io::ErrorKind::AlreadyExists`] where something has the name.
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()>;
    /// Opens a file for reading in parts.
    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>>;
    /// Names of all files of one log, unordered, without the log's own part.
    fn list(&self, log: &str) -> DiskResult<Vec<String>>;
    /// The logs that have files there: their own parts of the names, unordered.
    fn logs(&self) -> DiskResult<Vec<String>>;
    /// A small file whole, with its version; `None` where there is none.
    fn load(&self, name: &str) -> DiskResult<Option<(Vec<u8>, Version)>>;
    /// Replaces a small file whole where it still has that version; without one, where there is none. As durable as [`ArchiveTarget::put`].
    /// [`io::ErrorKind::AlreadyExists`] where it has another version: somebody else writes there, and nothing was changed.
    fn store(&self, name: &str, bytes: &[u8], over: Option<&Version>) -> DiskResult<Version>;
    /// Gives a damaged file another name, that of `<name>.damaged-1` or the next that is free, so that a whole one can take its place.
    fn set_aside(&self, name: &str) -> DiskResult<()>;
    /// The place checks its files itself, and reading one whole costs: one that was checked when it was put there is not read
    /// again at each opening of the log.
    fn keeps_checksums(&self) -> bool {
        false
    }
    /// Where it is, in words, for reports. No secrets.
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

    /// Writes a file beside its place and then names it.
    fn place(&self, path: &Path, write: impl FnOnce(&Path) -> DiskResult<()>) -> DiskResult<()> {
        let folder = path.parent().unwrap_or(&self.dir);
        self.make_folder(folder)?;
        let mut new = path.as_os_str().to_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let result = write(&new).and_then(|()| {
            self.disk.rename(&new, path)?;
            self.disk.sync_dir(folder)
        });
        if result.is_err() {
            // What is half made only takes room.
            let _ = self.disk.unlink(&new);
        }
        result
    }

    fn is_there(&self, path: &Path) -> DiskResult<bool> {
        match self.disk.open(path, Access::Read) {
            Ok(_) => Ok(true),
            Err(e) if e.is_missing() => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Something has the name.
fn taken(call: &'static str, path: &Path, what: &'static str) -> DiskError {
    DiskError::new(call, path, 0, io::Error::new(io::ErrorKind::AlreadyExists, what))
}

/// Which contents a small file of a directory has.
fn version_of(bytes: &[u8]) -> Version {
    Version(format!("{:08x}-{}", crc32c::crc32c(bytes), bytes.len()))
}

/// A directory has no conditional writes: it looks, then writes. What keeps two hosts apart there for certain is a folder of its own for each; the
/// look tells a mistake.
impl ArchiveTarget for DirectoryTarget {
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()> {
        let path = self.dir.join(name);
        if self.is_there(&path)? {
            return Err(taken("put", &path, "another file has the name"));
        }
        self.place(&path, |new| self.copy(new, source))
    }

    fn logs(&self) -> DiskResult<Vec<String>> {
        self.list("")
    }

    fn load(&self, name: &str) -> DiskResult<Option<(Vec<u8>, Version)>> {
        let path = self.dir.join(name);
        let file = match self.disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_missing() => return Ok(None),
            Err(e) => return Err(e),
        };
        let length = file.len()?;
        if length > SMALL_FILE_BYTES_MAX {
            let reason = io::Error::new(io::ErrorKind::InvalidData, "larger than any such file");
            return Err(DiskError::new("load", &path, 0, reason));
        }
        let mut bytes = vec![0u8; length as usize];
        read_all(&*file, 0, &mut bytes)?;
        let version = version_of(&bytes);
        Ok(Some((bytes, version)))
    }

    fn store(&self, name: &str, bytes: &[u8], over: Option<&Version>) -> DiskResult<Version> {
        let path = self.dir.join(name);
        let found = self.load(name)?.map(|(_, version)| version);
        if found.as_ref() != over {
            return Err(taken("store", &path, "somebody else has written it"));
        }
        self.place(&path, |new| {
            let file = self.disk.open(new, Access::CreateSmall)?;
            file.write_at(0, bytes)?;
            file.sync_data()
        })?;
        Ok(version_of(bytes))
    }

    fn set_aside(&self, name: &str) -> DiskResult<()> {
        let path = self.dir.join(name);
        let folder = path.parent().unwrap_or(&self.dir);
        let names = self.disk.list(folder)?;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
        for number in 1..ASIDE_MAX {
            let aside = format!("{name}.damaged-{number}");
            if !names.contains(&aside) {
                self.disk.rename(&path, &folder.join(aside))?;
                return self.disk.sync_dir(folder);
            }
        }
        Err(taken("set aside", &path, "there are too many of its name"))
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

/// What is shipped of a log, and by whom.
pub(crate) fn shipped_name(log_id: u64) -> String {
    format!("{}/shipped", log_folder(log_id))
}

/// The records behind what is shipped.
pub(crate) fn tail_copy_name(log_id: u64) -> String {
    format!("{}/tail", log_folder(log_id))
}
