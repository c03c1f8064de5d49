//! Open files of a simulated disk, and its lock: both die with the process that took them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::MutexGuard;

use super::call::Call;
use super::disk::{DEAD, Fate, SimDisk, State, file_of, refuse};
use super::file::Change;
use crate::disk::{Access, DiskFile, DiskResult, HeldLock, WriteAt};

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    id: u64,
    life: u64,
    direct: bool,
    /// Failed syncs of the file that this open file has been told of, or was opened after.
    told: AtomicU64,
}

impl SimFile {
    pub(super) fn handle(disk: &SimDisk, state: &State, path: &Path, id: u64, access: Access) -> Arc<dyn DiskFile> {
        let direct = matches!(access, Access::ReadDirect | Access::Write | Access::Create);
        let told = AtomicU64::new(state.files.get(&id).map_or(0, |file| file.failures.0));
        Arc::new(Self { disk: disk.clone(), path: path.to_path_buf(), id, life: state.life, direct, told })
    }

    fn begin(&self, call: Call, offset: u64, length: usize) -> DiskResult<(MutexGuard<'_, State>, Fate)> {
        let (state, fate) = self.disk.begin(call, &self.path, offset, length);
        if state.life != self.life {
            return refuse(call, &self.path, offset, libc::EBADF);
        }
        Ok((state, fate))
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> DiskResult<u64> {
        match self.begin(Call::Length, 0, 0)? {
            (mut state, Fate::Well) => {
                let (file, _) = file_of(&mut state, self.id);
                Ok(file.memory.as_ref().map_or(file.seen.len(), |memory| memory.len as u64))
            }
            (_, Fate::Fails(errno)) => refuse(Call::Length, &self.path, 0, errno),
            (_, Fate::Dies | Fate::Dead) => refuse(Call::Length, &self.path, 0, DEAD),
        }
    }

    fn preallocate(&self, bytes: u64) -> DiskResult<()> {
        let (mut state, fate) = self.begin(Call::Allocate, 0, bytes as usize)?;
        let before = file_of(&mut state, self.id).0.seen.len();
        let room = state.room();
        let errno = match fate {
            Fate::Well if bytes.saturating_sub(before) > room => libc::ENOSPC,
            Fate::Well => {
                file_of(&mut state, self.id).0.change(Change::Length(bytes.max(before)));
                return Ok(());
            }
            Fate::Fails(errno) => errno,
            Fate::Dies => DEAD,
            Fate::Dead => return refuse(Call::Allocate, &self.path, 0, DEAD),
        };
        // It may have come as far as there was room.
        let (file, random) = file_of(&mut state, self.id);
        if random.percent(50) {
            let reached = before + random.below(bytes.saturating_sub(before).min(room) + 1);
            file.change(Change::Length(reached));
        }
        refuse(Call::Allocate, &self.path, 0, errno)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        match self.begin(Call::Read, offset, buffer.len())? {
            (mut state, Fate::Well) => {
                let past_the_cache = self.direct && state.direct;
                let (file, _) = file_of(&mut state, self.id);
                Ok(match &file.memory {
                    Some(memory) => memory.read(offset, buffer),
                    None if file.dropped && past_the_cache => file.device().read(offset, buffer),
                    None => file.seen.read(offset, buffer),
                })
            }
            (_, Fate::Fails(errno)) => refuse(Call::Read, &self.path, offset, errno),
            (_, Fate::Dies | Fate::Dead) => refuse(Call::Read, &self.path, offset, DEAD),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()> {
        let (mut state, fate) = self.begin(Call::Write, offset, bytes.len())?;
        let room = state.room();
        let (file, random) = file_of(&mut state, self.id);
        let grows = (offset + bytes.len() as u64).saturating_sub(file.seen.len());
        let errno = match fate {
            Fate::Well if grows > room => libc::ENOSPC,
            Fate::Well => {
                file.change(Change::write(offset, bytes));
                return Ok(());
            }
            Fate::Fails(errno) => errno,
            Fate::Dies => DEAD,
            Fate::Dead => return refuse(Call::Write, &self.path, offset, DEAD),
        };
        if grows <= room {
            file.change_partly(offset, bytes, random);
        }
        refuse(Call::Write, &self.path, offset, errno)
    }

    fn write_batch(&self, writes: &[WriteAt<'_>]) -> DiskResult<()> {
        // In any order, all of them tried whatever becomes of the others.
        let mut order: Vec<usize> = (0..writes.len()).collect();
        {
            let mut state = self.disk.state();
            for at in (1..order.len()).rev() {
                order.swap(at, state.random.below(at as u64 + 1) as usize);
            }
        }
        let mut first = Ok(());
        for number in order {
            let result = self.write_at(writes[number].offset, writes[number].bytes);
            first = first.and(result);
        }
        first
    }

    fn sync_data(&self) -> DiskResult<()> {
        let (mut state, fate) = self.begin(Call::Sync, 0, 0)?;
        let (file, random) = file_of(&mut state, self.id);
        match fate {
            // That another one's sync has failed is told to each open file once.
            Fate::Well if self.told.swap(file.failures.0, Ordering::Relaxed) < file.failures.0 => {
                refuse(Call::Sync, &self.path, 0, file.failures.1)
            }
            Fate::Well => {
                file.sync(random);
                Ok(())
            }
            Fate::Fails(errno) => {
                file.fail_sync(errno, random);
                self.told.store(file.failures.0, Ordering::Relaxed);
                refuse(Call::Sync, &self.path, 0, errno)
            }
            // What is on its way stays on its way.
            Fate::Dies | Fate::Dead => refuse(Call::Sync, &self.path, 0, DEAD),
        }
    }
}

/// A lock of one life.
#[derive(Debug)]
pub(super) struct SimLock {
    disk: SimDisk,
    dir: PathBuf,
    life: u64,
}

impl HeldLock for SimLock {}

impl SimLock {
    pub(super) fn new(disk: &SimDisk, state: &State, dir: &Path) -> Self {
        Self { disk: disk.clone(), dir: dir.to_path_buf(), life: state.life }
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locked.remove(&self.dir);
        }
    }
}
