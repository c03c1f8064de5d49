//! The phase page: a mapped file in the data directory that says what each thread is doing.
//!
//! It survives a killed process, so that a post-mortem (and the crash tests) can see in which phase
//! it died. It promises nothing and nothing reads it for recovery.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapMut;

/// A phase: its word holds how many times it was entered, and in the low bit whether it is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Phase {
    /// Recovery at start.
    Recovery = 0,
    /// The shard is between taking a batch and having answered it.
    Append = 1,
    /// The log thread waits for fdatasync.
    Sync = 2,
    /// The log goes to its next segment.
    Roll = 3,
    /// The follower writes a checkpoint.
    Checkpoint = 4,
    /// The coldpath reconciles a position.
    Correction = 5,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] =
        [Self::Recovery, Self::Append, Self::Sync, Self::Roll, Self::Checkpoint, Self::Correction];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovery => "recovery",
            Self::Append => "append",
            Self::Sync => "sync",
            Self::Roll => "roll",
            Self::Checkpoint => "checkpoint",
            Self::Correction => "correction",
        }
    }
}

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "phases";
const PAGE_BYTES: u64 = 4096;
const SHARED_MEMORY: &str = "/dev/shm";

fn data_dir_hash(data_dir: &Path) -> String {
    let full = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_path_buf());
    format!("{:016x}", lotbook_core::digest::bytes(full.as_os_str().as_encoded_bytes()))
}

/// Whether another process holds the log of this directory. The probe lets go at once; of two processes that start at the
/// same moment one is refused in any case.
fn is_held(data_dir: &Path) -> bool {
    let Ok(file) = File::open(data_dir.join("log/LOCK")) else { return false };
    // SAFETY: plain system call on an open descriptor, whose lock ends with it at the latest.
    let code = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) };
    code != 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

const WORDS_APART: usize = 8; // a cache line each

/// The mapped page.
#[derive(Clone, Debug)]
pub struct Phases {
    map: Arc<MmapMut>,
}

impl Phases {
    /// Creates and maps the page, all phases off. It lies with the mapped tails, for the shard stores
    /// into it and must not meet a page that the kernel writes back; a link in the data directory
    /// leads to it. Where another process has the directory, whose page must stay, it lies nowhere: this
    /// start is about to be refused.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(data_dir: &Path, tail_dir: Option<&Path>) -> io::Result<Self> {
        if is_held(data_dir) {
            return Self::private();
        }
        let shared = tail_dir.unwrap_or(Path::new(SHARED_MEMORY));
        let link = data_dir.join(FILE_NAME);
        Self::remove(data_dir);
        let path = if shared.is_dir() {
            // Named by the process too: two hosts never share a page.
            let name = format!("lotbook-{}-{}.phases", std::process::id(), data_dir_hash(data_dir));
            let path = shared.join(name);
            std::os::unix::fs::symlink(&path, &link)?;
            path
        } else {
            link
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(PAGE_BYTES)?;
        // SAFETY: the file is ours (the data directory is locked), never truncated while mapped, and
        // only read and written through atomics of the mapping's own alignment.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self { map: Arc::new(map) })
    }

    /// A page that lies nowhere.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn private() -> io::Result<Self> {
        Ok(Self { map: Arc::new(MmapMut::map_anon(PAGE_BYTES as usize)?) })
    }

    fn word(&self, phase: Phase) -> &AtomicU64 {
        let offset = phase as usize * WORDS_APART * 8;
        assert!(offset + 8 <= self.map.len());
        // SAFETY: in bounds (asserted), aligned (the mapping is page-aligned, the offset a multiple
        // of 64), lives as long as `self`, and is never accessed other than atomically.
        unsafe { &*self.map.as_ptr().add(offset).cast::<AtomicU64>() }
    }

    /// Enters a phase. ORDERING: relaxed, for nothing is published by it.
    #[inline]
    pub fn enter(&self, phase: Phase) {
        self.word(phase).store(self.word(phase).load(Ordering::Relaxed).wrapping_add(2) | 1, Ordering::Relaxed);
    }

    /// Leaves a phase.
    #[inline]
    pub fn leave(&self, phase: Phase) {
        self.word(phase).store(self.word(phase).load(Ordering::Relaxed) & !1, Ordering::Relaxed);
    }

    /// Removes the page and its link, as far as they are there.
    pub fn remove(data_dir: &Path) {
        let link = data_dir.join(FILE_NAME);
        if let Ok(path) = std::fs::read_link(&link) {
            let _ = std::fs::remove_file(path);
        }
        let _ = std::fs::remove_file(link);
    }

    /// Enters or leaves a phase, whichever is to be.
    pub fn set(&self, phase: Phase, on: bool) {
        let is = self.word(phase).load(Ordering::Relaxed) & 1 == 1;
        match (is, on) {
            (false, true) => self.enter(phase),
            (true, false) => self.leave(phase),
            _ => {}
        }
    }

    /// Reads a page that another process left or is writing: the phases that are on.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(data_dir: &Path) -> io::Result<Vec<Phase>> {
        let bytes = std::fs::read(data_dir.join(FILE_NAME))?;
        let on = |phase: Phase| bytes.get(phase as usize * WORDS_APART * 8).is_some_and(|low| low & 1 == 1);
        Ok(Phase::ALL.into_iter().filter(|&phase| on(phase)).collect())
    }
}
