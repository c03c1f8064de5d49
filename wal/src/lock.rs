//! One writer a directory: an advisory lock on `LOCK`, which also names its owner.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::disk::{DirLock, DiskError, DiskResult, HeldLock};

/// Held for as long as it lives; the system lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct FlockedDir {
    file: File,
}

impl HeldLock for FlockedDir {}

/// The lock of a directory that never had a writer.
#[derive(Debug)]
struct Nobody;

impl HeldLock for Nobody {}

impl FlockedDir {
    pub(crate) fn take(dir: &Path) -> DiskResult<DirLock> {
        let path = dir.join("LOCK");
        let fail = |call, e| DiskError::new(call, &path, 0, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| fail("open", e))?;
        if let Some(owned) = Self::flock(&mut file).map_err(|e| fail("flock", e))? {
            return Ok(owned);
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        // The name inside is a courtesy; a full disk must not keep a log from opening.
        let _ = write(&mut file);
        Ok(DirLock::Taken(Box::new(Self { file })))
    }

    /// As [`Self::take`], without a word in the file, and without making one: for who changes nothing.
    pub(crate) fn take_as_it_is(dir: &Path) -> DiskResult<DirLock> {
        let path = dir.join("LOCK");
        let fail = |call, e| DiskError::new(call, &path, 0, e);
        match File::open(&path) {
            Ok(mut file) => {
                let owned = Self::flock(&mut file).map_err(|e| fail("flock", e))?;
                Ok(owned.unwrap_or_else(|| DirLock::Taken(Box::new(Self { file }))))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(DirLock::Taken(Box::new(Nobody))),
            Err(e) => Err(fail("open", e)),
        }
    }

    /// `None`: it is ours.
    fn flock(file: &mut File) -> std::io::Result<Option<DirLock>> {
        // SAFETY: plain system call on an open descriptor.
        let code = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
        if code == 0 {
            return Ok(None);
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::WouldBlock {
            return Err(error);
        }
        let mut text = String::new();
        let _ = file.read_to_string(&mut text);
        Ok(Some(DirLock::Owned(text.trim().parse().ok())))
    }
}

impl Drop for FlockedDir {
    fn drop(&mut self) {
        // Let go by word, not only by closing: a child that was just forked still holds a copy of the descriptor until it executes.
        // SAFETY: plain system call on an open descriptor.
        unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_UN) };
    }
}
