//! The disk the operating system gives us: direct where it can be, io_uring where several writes go at once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use io_uring::{IoUring, opcode, types};
use memmap2::MmapOptions;

use crate::aligned::AlignedBuffer;
use crate::config::{DirectMode, IoMode};
use crate::disk::{Access, DirLock, Disk, DiskError, DiskFile, DiskResult, WriteAt};
use crate::limits::{BLOCK_BYTES, MAX_FLUSHES_IN_FLIGHT};
use crate::lock::FlockedDir;
use crate::mapped::MappedBytes;
use crate::mapping::Mapping;

/// Writes in flight in one ring.
const RING_ENTRIES: u32 = 64;

/// As many as flushes may be under way; none where the system grants none. Under locks that are poisoned by a panic, for a ring whose owner panicked may
/// have calls under way and is not to be used again.
type Rings = Arc<[Mutex<IoUring>]>;

/// The real disk.
pub struct RealDisk {
    rings: Rings,
    direct: bool,
    notes: Vec<String>,
}

impl std::fmt::Debug for RealDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RealDisk(io_uring: {}, direct: {})", !self.rings.is_empty(), self.direct)
    }
}

impl RealDisk {
    /// Finds out what the system and the file system under `dir` allow. `dir` must exist and be writable.
    pub fn probe(dir: &Path, io: IoMode, direct: DirectMode) -> Self {
        let mut notes = Vec::new();
        let rings: Vec<Mutex<IoUring>> = match io {
            IoMode::Plain => {
                notes.push("io_uring is off by configuration: plain pwrite".to_string());
                Vec::new()
            }
            IoMode::Auto | IoMode::Uring => match open_rings() {
                Ok(rings) => rings,
                Err(reason) => {
                    notes.push(format!("io_uring is refused here ({reason}): plain pwrite"));
                    Vec::new()
                }
            },
        };
        let direct = match direct {
            DirectMode::Never => {
                notes.push("O_DIRECT is off by configuration: writes go through the page cache".into());
                false
            }
            DirectMode::Auto => match probe_direct(dir) {
                Ok(()) => true,
                Err(reason) => {
                    notes.push(format!(
                        "O_DIRECT is refused on {} ({reason}): writes go through the page cache",
                        dir.display()
                    ));
                    false
                }
            },
        };
        Self { rings: rings.into(), direct, notes }
    }

    /// Plain calls through the page cache: nothing is probed.
    pub fn plain() -> Self {
        Self { rings: Arc::new([]), direct: false, notes: Vec::new() }
    }

    /// A disk for reading only: nothing is probed.
    pub fn read_only() -> Self {
        Self::plain()
    }

    /// True when io_uring was granted.
    pub fn has_ring(&self) -> bool {
        !self.rings.is_empty()
    }
}

fn open_rings() -> io::Result<Vec<Mutex<IoUring>>> {
    (0..MAX_FLUSHES_IN_FLIGHT).map(|_| open_ring().map(Mutex::new)).collect()
}

fn open_ring() -> io::Result<IoUring> {
    let ring = IoUring::new(RING_ENTRIES)?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if !probe.is_supported(opcode::Write::CODE) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    Ok(ring)
}

fn probe_direct(dir: &Path) -> io::Result<()> {
    let path = dir.join(".direct-probe");
    let result = (|| {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_DIRECT | libc::O_CLOEXEC)
            .open(&path)?;
        let block = AlignedBuffer::new(BLOCK_BYTES);
        file.write_all_at(&block, 0)
    })();
    let _ = std::fs::remove_file(&path);
    result
}

/// Allocates, maps and warms a file that nobody else knows of yet. On failure: the call and the reason.
fn map_new_file(file: &File, bytes: usize) -> Result<Mapping, (&'static str, io::Error)> {
    // SAFETY: plain system call on an open descriptor.
    let code = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes as libc::off_t) };
    if code != 0 {
        return Err(("fallocate", io::Error::from_raw_os_error(code)));
    }
    let map = MmapOptions::new().len(bytes).populate().map_raw(file).map_err(|e| ("mmap", e))?;
    let start = map.as_mut_ptr();
    for page in (0..bytes).step_by(BLOCK_BYTES) {
        // Populating a shared mapping only reads the pages in. A store makes each writable now rather than under a record.
        // SAFETY: inside the mapping; the file is new, zero is what is there.
        unsafe { start.add(page).write_volatile(0) };
    }
    // SAFETY: the mapping is `bytes` long, starts on a page, is allocated in the file, and lives as long as its owner.
    Ok(unsafe { Mapping::new(start, bytes, Box::new(map)) })
}

struct RealFile {
    file: File,
    path: PathBuf,
    rings: Rings,
    /// Past the page cache.
    direct: bool,
}

impl std::fmt::Debug for RealFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RealFile({})", self.path.display())
    }
}

impl RealFile {
    fn error(&self, call: &'static str, offset: u64, source: io::Error) -> DiskError {
        DiskError::new(call, &self.path, offset, source)
    }

    fn write_ring(&self, ring: &mut IoUring, writes: &[WriteAt<'_>]) -> DiskResult<()> {
        let fd = types::Fd(self.file.as_raw_fd());
        for (i, write) in writes.iter().enumerate() {
            let entry = opcode::Write::new(fd, write.bytes.as_ptr(), write.bytes.len() as u32)
                .offset(write.offset)
                .build()
                .user_data(i as u64);
            // SAFETY: the bytes are borrowed for the whole of this call, which returns only after every submitted write
            // has completed (the loop below reaps as many completions as were submitted, whatever their results).
            unsafe { ring.submission().push(&entry) }
                .map_err(|_| self.error("io_uring push", write.offset, io::Error::other("queue full")))?;
        }
        let mut left = writes.len();
        let mut first_failure: Option<DiskError> = None;
        while left > 0 {
            match ring.submit_and_wait(left) {
                Ok(_) => {}
                Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {
                    continue;
                }
                Err(e) => {
                    // Buffers may still be in the kernel's hands: returning would free them under it.
                    eprintln!("io_uring_enter failed with writes in flight: {e}");
                    std::process::abort();
                }
            }
            let done: Vec<(u64, i32)> = ring.completion().map(|c| (c.user_data(), c.result())).collect();
            for (index, result) in done {
                left -= 1;
                let write = &writes[index as usize];
                let failure = if result < 0 {
                    self.error("io_uring write", write.offset, io::Error::from_raw_os_error(-result))
                } else if result as usize != write.bytes.len() {
                    // A short write is a failed one: what the missing part means is not ours to guess.
                    self.error("io_uring write", write.offset, io::Error::from_raw_os_error(libc::EIO))
                } else {
                    continue;
                };
                first_failure.get_or_insert(failure);
            }
        }
        first_failure.map_or(Ok(()), Err)
    }
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> DiskResult<u64> {
        Ok(self.file.metadata().map_err(|e| self.error("fstat", 0, e))?.len())
    }

    fn preallocate(&self, bytes: u64) -> DiskResult<()> {
        // SAFETY: plain system call on an open descriptor.
        let code = unsafe { libc::posix_fallocate(self.file.as_raw_fd(), 0, bytes as libc::off_t) };
        match code {
            0 => Ok(()),
            code => Err(self.error("fallocate", 0, io::Error::from_raw_os_error(code))),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error("pread", offset + done as u64, e)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| self.error("pwrite", offset, e))
    }

    fn write_batch(&self, writes: &[WriteAt<'_>]) -> DiskResult<()> {
        // One write gains nothing from a ring, and rings that are busy elsewhere are no reason to wait.
        if writes.len() > 1
            && let Some(mut ring) = self.rings.iter().find_map(|ring| ring.try_lock().ok())
        {
            for part in writes.chunks(RING_ENTRIES as usize) {
                self.write_ring(&mut ring, part)?;
            }
            return Ok(());
        }
        writes.iter().try_for_each(|w| self.write_at(w.offset, w.bytes))
    }

    fn will_read(&self, offset: u64, bytes: usize) {
        // What the page cache reads ahead, direct reads do not find.
        if !self.direct {
            // SAFETY: a plain system call on an open descriptor. It is advice: what it says of its success does not matter.
            unsafe {
                libc::posix_fadvise(
                    self.file.as_raw_fd(),
                    offset as libc::off_t,
                    bytes as libc::off_t,
                    libc::POSIX_FADV_WILLNEED,
                );
            }
        }
    }

    fn map(&self) -> DiskResult<Option<MappedBytes>> {
        // SAFETY: only sealed segments are mapped, which are never written, shortened or taken up again: their names go, their bytes stay.
        let map = unsafe { MmapOptions::new().map(&self.file) }.map_err(|e| self.error("mmap", 0, e))?;
        Ok(Some(MappedBytes::new(Box::new(map))))
    }

    fn sync_data(&self) -> DiskResult<()> {
        // Not through the ring: the kernel hands an fsync to a worker thread, which only adds a wake-up.
        self.file.sync_data().map_err(|e| self.error("fdatasync", 0, e))
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, access: Access) -> DiskResult<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let direct = self.direct && matches!(access, Access::ReadDirect | Access::Write | Access::Create);
        match access {
            Access::Read | Access::ReadDirect => options.read(true),
            Access::Write => options.read(true).write(true),
            Access::Create | Access::CreateSmall => options.read(true).write(true).create(true).truncate(true),
            Access::Update => options.read(true).write(true).create(true).truncate(false),
        };
        let flags = if direct { libc::O_DIRECT } else { 0 };
        let file =
            options.custom_flags(flags | libc::O_CLOEXEC).open(path).map_err(|e| DiskError::new("open", path, 0, e))?;
        Ok(Arc::new(RealFile { file, path: path.to_path_buf(), rings: Arc::clone(&self.rings), direct }))
    }

    fn create_mapped(&self, path: &Path, bytes: usize) -> DiskResult<Mapping> {
        // Shared memory is a public place: a name of our own making, for our eyes only.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|e| DiskError::new("create", path, 0, e))?;
        map_new_file(&file, bytes).map_err(|(call, e)| {
            let _ = std::fs::remove_file(path);
            DiskError::new(call, path, 0, e)
        })
    }

    fn create_dir(&self, dir: &Path) -> DiskResult<bool> {
        match std::fs::create_dir(dir) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(false),
            Err(e) => Err(DiskError::new("mkdir", dir, 0, e)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> DiskResult<()> {
        std::fs::rename(from, to).map_err(|e| DiskError::new("rename", from, 0, e))
    }

    fn unlink(&self, path: &Path) -> DiskResult<()> {
        std::fs::remove_file(path).map_err(|e| DiskError::new("unlink", path, 0, e))
    }

    fn list(&self, dir: &Path) -> DiskResult<Vec<String>> {
        let fail = |e| DiskError::new("readdir", dir, 0, e);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(fail)? {
            names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> DiskResult<()> {
        let fail = |e| DiskError::new("fsync directory", dir, 0, e);
        File::open(dir).map_err(fail)?.sync_all().map_err(fail)
    }

    fn free_bytes(&self, dir: &Path) -> DiskResult<u64> {
        let stat = statfs(dir).map_err(|e| DiskError::new("statfs", dir, 0, e))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_bsize as u64))
    }

    fn is_memory(&self, dir: &Path) -> bool {
        statfs(dir).is_ok_and(|s| s.f_type == libc::TMPFS_MAGIC)
    }

    fn real_path(&self, dir: &Path) -> PathBuf {
        std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_path_buf())
    }

    fn lock_dir(&self, dir: &Path) -> DiskResult<DirLock> {
        FlockedDir::take(dir)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// `statfs(2)` of a path.
fn statfs(path: &Path) -> io::Result<libc::statfs> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeros is a valid `statfs`.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is a terminated string and `stat` is writable for the whole call.
    match unsafe { libc::statfs(name.as_ptr(), &mut stat) } {
        0 => Ok(stat),
        _ => Err(io::Error::last_os_error()),
    }
}
