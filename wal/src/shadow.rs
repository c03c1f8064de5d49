//! A disk whose writing goes elsewhere: what is read lies in one directory, what is written in another one, and the first is left as it is.
//!
//! ```text
//! asked for: WORK/log/x        found: WORK/log/x, where something has written it; else FROM/log/x, unless it was unlinked since
//! ```
//! So a log is opened as a start opens it, with its tail joined and its end mended, and not one byte of it changes. A file is copied
//! before it is written to: of a log that is its last segment.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Access, DirLock, Disk, DiskError, DiskFile, DiskResult};
use crate::lock::FlockedDir;
use crate::mapping::Mapping;
use crate::real_disk::RealDisk;

/// Below the directory that is written: what was asked for elsewhere, by its whole path.
const ELSEWHERE: &str = "elsewhere";

/// See the module's text.
#[derive(Debug)]
pub struct Shadow {
    real: RealDisk,
    from: PathBuf,
    work: PathBuf,
    /// Unlinked, as they lie in `from` or elsewhere.
    gone: Mutex<BTreeSet<PathBuf>>,
}

/// A file, where it is written and where it is found before.
struct Places {
    above: PathBuf,
    below: PathBuf,
}

impl Shadow {
    /// What lies in `from` is found in `work`, which is written to, must be there, and must lie outside of it.
    pub fn new(from: &Path, work: &Path) -> Self {
        Self { real: RealDisk::plain(), from: from.into(), work: work.into(), gone: Mutex::default() }
    }

    fn places(&self, path: &Path) -> Places {
        match path.strip_prefix(&self.work) {
            Ok(rest) => Places { above: path.into(), below: self.from.join(rest) },
            Err(_) => {
                let rest = path.components().filter(|part| matches!(part, std::path::Component::Normal(_)));
                let above = self.work.join(ELSEWHERE).join(rest.collect::<PathBuf>());
                Places { above, below: path.into() }
            }
        }
    }

    /// Whether what lies below is seen.
    fn shows(&self, places: &Places) -> bool {
        !self.gone.lock().contains(&places.below) && places.below.exists()
    }

    /// Makes the directory above, and brings the file there where it is only below. Says whether there is one.
    fn bring(&self, places: &Places) -> DiskResult<bool> {
        let failed = |call| move |error| DiskError::new(call, &places.above, 0, error);
        if let Some(parent) = places.above.parent() {
            fs::create_dir_all(parent).map_err(failed("mkdir"))?;
        }
        if !places.above.exists() && self.shows(places) {
            fs::copy(&places.below, &places.above).map_err(failed("copy"))?;
        }
        Ok(places.above.exists())
    }

    fn missing<T>(call: &'static str, path: &Path) -> DiskResult<T> {
        Err(DiskError::new(call, path, 0, std::io::ErrorKind::NotFound.into()))
    }
}

impl Disk for Shadow {
    fn open(&self, path: &Path, access: Access) -> DiskResult<Arc<dyn DiskFile>> {
        let places = self.places(path);
        match access {
            Access::Read | Access::ReadDirect if places.above.exists() => self.real.open(&places.above, access),
            Access::Read | Access::ReadDirect if self.shows(&places) => self.real.open(&places.below, access),
            Access::Read | Access::ReadDirect => Self::missing("open", path),
            Access::Write | Access::Update => {
                self.bring(&places)?;
                self.real.open(&places.above, access)
            }
            Access::Create | Access::CreateSmall => {
                // What it replaces is not worth a copy.
                self.gone.lock().insert(places.below.clone());
                self.bring(&places)?;
                self.real.open(&places.above, access)
            }
        }
    }

    fn create_mapped(&self, path: &Path, bytes: usize) -> DiskResult<Mapping> {
        let places = self.places(path);
        if self.shows(&places) {
            return Err(DiskError::new("create", path, 0, std::io::ErrorKind::AlreadyExists.into()));
        }
        self.bring(&places)?;
        self.real.create_mapped(&places.above, bytes)
    }

    fn create_dir(&self, dir: &Path) -> DiskResult<bool> {
        let places = self.places(dir);
        let is_new = !places.above.is_dir() && !self.shows(&places);
        fs::create_dir_all(&places.above).map_err(|error| DiskError::new("mkdir", dir, 0, error))?;
        Ok(is_new)
    }

    fn rename(&self, from: &Path, to: &Path) -> DiskResult<()> {
        let (from, to) = (self.places(from), self.places(to));
        self.bring(&from)?;
        self.gone.lock().extend([from.below.clone(), to.below.clone()]);
        self.bring(&to)?;
        self.real.rename(&from.above, &to.above)
    }

    fn unlink(&self, path: &Path) -> DiskResult<()> {
        let places = self.places(path);
        let (is_above, is_below) = (places.above.exists(), self.shows(&places));
        if is_above {
            self.real.unlink(&places.above)?;
        }
        self.gone.lock().insert(places.below);
        if is_above || is_below { Ok(()) } else { Self::missing("unlink", path) }
    }

    fn list(&self, dir: &Path) -> DiskResult<Vec<String>> {
        let places = self.places(dir);
        let mut names = Vec::new();
        if places.below.is_dir() {
            let gone = self.gone.lock();
            names = self.real.list(&places.below)?;
            names.retain(|name| !gone.contains(&places.below.join(name)));
        } else if !places.above.is_dir() {
            return Self::missing("readdir", dir);
        }
        if places.above.is_dir() {
            for name in self.real.list(&places.above)? {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }

    fn sync_dir(&self, _dir: &Path) -> DiskResult<()> {
        // Nothing of it is to outlive the process.
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> DiskResult<u64> {
        self.real.free_bytes(&self.work)
    }

    fn is_memory(&self, dir: &Path) -> bool {
        self.real.is_memory(&self.places(dir).below)
    }

    fn real_path(&self, dir: &Path) -> PathBuf {
        self.real.real_path(&self.places(dir).below)
    }

    fn lock_dir(&self, dir: &Path) -> DiskResult<DirLock> {
        FlockedDir::take_as_it_is(&self.places(dir).below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(disk: &dyn Disk, path: &Path) -> Option<String> {
        let file = disk.open(path, Access::Read).ok()?;
        let mut bytes = vec![0; file.len().expect("a length") as usize];
        file.read_at(0, &mut bytes).expect("read");
        Some(String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn what_is_written_goes_elsewhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, work) = (dir.path().join("from"), dir.path().join("work"));
        for dir in [&from, &work] {
            fs::create_dir(dir).expect("a directory");
        }
        for name in ["read", "written", "replaced", "unlinked", "renamed"] {
            fs::write(from.join(name), name).expect("a file");
        }
        let disk = Shadow::new(&from, &work);
        let at = |name: &str| work.join(name);
        assert_eq!(text(&disk, &at("read")).as_deref(), Some("read"));
        let written = disk.open(&at("written"), Access::Update).expect("a file");
        written.write_at(0, b"W").expect("written");
        assert_eq!(text(&disk, &at("written")).as_deref(), Some("Written"));
        disk.open(&at("replaced"), Access::CreateSmall).expect("a file");
        assert_eq!(text(&disk, &at("replaced")).as_deref(), Some(""));
        disk.unlink(&at("unlinked")).expect("unlinked");
        assert_eq!(text(&disk, &at("unlinked")), None);
        assert!(disk.unlink(&at("unlinked")).expect_err("gone").is_missing());
        disk.rename(&at("renamed"), &at("new")).expect("renamed");
        assert_eq!((text(&disk, &at("renamed")), text(&disk, &at("new")).as_deref()), (None, Some("renamed")));
        let outside = dir.path().join("outside");
        disk.open(&outside, Access::CreateSmall).expect("a file");
        assert_eq!((text(&disk, &outside).as_deref(), outside.exists()), (Some(""), false));
        let mut names = disk.list(&work).expect("names");
        names.retain(|name| name != ELSEWHERE);
        names.sort();
        assert_eq!(names, ["new", "read", "replaced", "written"]);
        assert!(disk.create_dir(&at("deep")).expect("made"));
        assert!(!disk.create_dir(&at("deep")).expect("there"));
        for name in ["read", "written", "replaced", "unlinked", "renamed"] {
            assert_eq!(fs::read_to_string(from.join(name)).expect("as it was"), name);
        }
        assert_eq!(fs::read_dir(&from).expect("names").count(), 5);
    }

    #[test]
    fn the_lock_of_a_writer_is_kept_and_not_touched() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, work) = (dir.path().join("from"), dir.path().join("work"));
        for dir in [&from, &work] {
            fs::create_dir(dir).expect("a directory");
        }
        let disk = Shadow::new(&from, &work);
        assert!(matches!(disk.lock_dir(&work), Ok(DirLock::Taken(_))), "there never was a writer");
        assert!(!from.join("LOCK").exists());
        let DirLock::Taken(owner) = RealDisk::plain().lock_dir(&from).expect("a lock") else { panic!("it is ours") };
        let named = fs::read(from.join("LOCK")).expect("a file");
        let DirLock::Owned(pid) = disk.lock_dir(&work).expect("an answer") else { panic!("it is the writer's") };
        assert_eq!(pid, Some(std::process::id()));
        drop(owner);
        assert!(matches!(disk.lock_dir(&work), Ok(DirLock::Taken(_))));
        assert_eq!(fs::read(from.join("LOCK")).expect("a file"), named);
    }
}
