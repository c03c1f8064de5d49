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
        // SAFETY: plain system call on an open descriptor.
        let code = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
        if code != 0 {
            let error = std::io::Error::last_os_error();
            if error.kind() != std::io::ErrorKind::WouldBlock {
                return Err(fail("flock", error));
            }
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            return Ok(DirLock::Owned(text.trim().parse().ok()));
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
}

impl Drop for FlockedDir {
    fn drop(&mut self) {
        // Let go by word, not only by closing: a child that was just forked still holds a copy of the descriptor until it executes.
        // SAFETY: plain system call on an open descriptor.
        unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_UN) };
    }
}
