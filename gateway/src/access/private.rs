//! Files with secrets: nobody but their owner may read them, and a change is noticed.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Largest file of secrets, in bytes.
pub const PRIVATE_BYTES_MAX: u64 = 1 << 20;

/// Why a file of secrets is not read. Its content is in none of these.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("{}: has mode {mode:03o}, and nobody but its owner may read it: chmod 600 it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no file, or far too large.
    #[error("{}: is no file of at most {PRIVATE_BYTES_MAX} bytes", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file that its owner alone may read. The permissions are those of what is opened, not of a name.
///
/// # Errors
/// [`PrivateError`].
pub fn read(path: &Path) -> Result<Vec<u8>, PrivateError> {
    let io = |source| PrivateError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if !about.is_file() || about.len() > PRIVATE_BYTES_MAX {
        return Err(PrivateError::Shape { path: path.into() });
    }
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateError::Open { path: path.into(), mode });
    }
    let mut bytes = Vec::new();
    file.take(PRIVATE_BYTES_MAX).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// By what a change of a file is noticed: another file, another length, another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Of a file; `None`: it is not there.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        Some(Self { inode: about.ino(), bytes: about.len(), changed: (about.ctime(), about.ctime_nsec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_the_owner_may_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        std::fs::write(&path, "canary").expect("written");
        for (mode, fine) in
            [(0o600, true), (0o400, true), (0o700, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
            let read = read(&path);
            assert_eq!(read.is_ok(), fine, "{mode:o}");
            if let Err(error) = read {
                assert!(error.to_string().contains("chmod 600") && !error.to_string().contains("canary"), "{error}");
            }
        }
        assert!(matches!(read(dir.path()), Err(PrivateError::Shape { .. })), "a directory is no file");
        assert!(matches!(read(&dir.path().join("none")), Err(PrivateError::Io { .. })));
    }

    #[test]
    fn a_change_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        assert_eq!(Stamp::of(&path), None);
        std::fs::write(&path, "a").expect("written");
        let first = Stamp::of(&path);
        assert_eq!(Stamp::of(&path), first);
        std::fs::write(dir.path().join("new"), "b").expect("written");
        std::fs::rename(dir.path().join("new"), &path).expect("renamed");
        assert_ne!(Stamp::of(&path), first, "another file of the same length");
    }
}
