//! A disk as it would be after a repair: some files lie in the place of others. For reading only.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::archive::target::{ArchiveTarget, Version};
use crate::disk::{Access, DirLock, Disk, DiskError, DiskFile, DiskResult};
use crate::log::lock;
use crate::mapping::Mapping;

/// See the module. What is not replaced is what lies under it.
#[derive(Debug)]
pub(crate) struct Overlay {
    under: Arc<dyn Disk>,
    files: Mutex<BTreeMap<PathBuf, Arc<dyn DiskFile>>>,
}

/// A file under the name that it would have.
#[derive(Debug)]
struct Placed {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

fn refuse<T>(call: &'static str, path: &Path) -> DiskResult<T> {
    Err(DiskError::new(call, path, 0, io::Error::from_raw_os_error(libc::EROFS)))
}

impl Overlay {
    pub(crate) fn new(under: Arc<dyn Disk>) -> Self {
        Self { under, files: Mutex::default() }
    }

    /// From now on `file` is what is found at `path`.
    pub(crate) fn put(&self, path: &Path, file: Arc<dyn DiskFile>) {
        let placed = Placed { path: path.to_path_buf(), file };
        lock(&self.files).insert(path.to_path_buf(), Arc::new(placed));
    }

    pub(crate) fn has(&self, path: &Path) -> bool {
        lock(&self.files).contains_key(path)
    }
}

impl DiskFile for Placed {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> DiskResult<u64> {
        self.file.len()
    }

    fn preallocate(&self, _bytes: u64) -> DiskResult<()> {
        refuse("fallocate", &self.path)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> DiskResult<()> {
        refuse("pwrite", &self.path)
    }

    fn sync_data(&self) -> DiskResult<()> {
        refuse("fdatasync", &self.path)
    }
}

impl Disk for Overlay {
    fn open(&self, path: &Path, access: Access) -> DiskResult<Arc<dyn DiskFile>> {
        if !matches!(access, Access::Read | Access::ReadDirect) {
            return refuse("open", path);
        }
        match lock(&self.files).get(path) {
            Some(file) => Ok(Arc::clone(file)),
            None => self.under.open(path, access),
        }
    }

    fn create_mapped(&self, path: &Path, _bytes: usize) -> DiskResult<Mapping> {
        refuse("create", path)
    }

    fn create_dir(&self, dir: &Path) -> DiskResult<bool> {
        refuse("mkdir", dir)
    }

    fn rename(&self, from: &Path, _to: &Path) -> DiskResult<()> {
        refuse("rename", from)
    }

    fn unlink(&self, path: &Path) -> DiskResult<()> {
        refuse("unlink", path)
    }

    fn list(&self, dir: &Path) -> DiskResult<Vec<String>> {
        let mut names = self.under.list(dir)?;
        for path in lock(&self.files).keys().filter(|path| path.parent() == Some(dir)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> DiskResult<()> {
        refuse("fsync directory", dir)
    }

    fn free_bytes(&self, dir: &Path) -> DiskResult<u64> {
        self.under.free_bytes(dir)
    }

    fn is_memory(&self, dir: &Path) -> bool {
        self.under.is_memory(dir)
    }

    fn real_path(&self, dir: &Path) -> PathBuf {
        self.under.real_path(dir)
    }

    fn lock_dir(&self, dir: &Path) -> DiskResult<DirLock> {
        refuse("flock", dir)
    }

    fn boot_id(&self) -> [u8; 16] {
        self.under.boot_id()
    }

    fn wall_clock_ns(&self) -> u64 {
        self.under.wall_clock_ns()
    }
}

/// An archive target in which some files lie that are not there.
#[derive(Debug)]
pub(crate) struct Mended {
    pub(crate) real: Arc<dyn ArchiveTarget>,
    pub(crate) overlay: Arc<Overlay>,
}

impl ArchiveTarget for Mended {
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()> {
        self.real.put(name, source)
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let path = Path::new(&self.real.describe()).join(name);
        if self.overlay.has(&path) { self.overlay.open(&path, Access::Read) } else { self.real.open(name) }
    }

    fn list(&self, log: &str) -> DiskResult<Vec<String>> {
        self.real.list(log)
    }

    fn logs(&self) -> DiskResult<Vec<String>> {
        self.real.logs()
    }

    fn load(&self, name: &str) -> DiskResult<Option<(Vec<u8>, Version)>> {
        self.real.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8], over: Option<&Version>) -> DiskResult<Version> {
        self.real.store(name, bytes, over)
    }

    fn set_aside(&self, name: &str) -> DiskResult<()> {
        self.real.set_aside(name)
    }

    fn describe(&self) -> String {
        self.real.describe()
    }
}
