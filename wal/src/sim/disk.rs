//! A disk in memory that keeps what a system sees apart from what survives, and does to the difference what real disks do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::Random;
use super::call::{Call, Failed, Failure, Stop};
use super::file::{Change, File, Memory};
use super::hand::Hand;
use super::handle::{SimFile, SimLock};
use super::interleave;
use super::names::{Names, Node};
use crate::disk::{Access, DirLock, Disk, DiskError, DiskFile, DiskResult};
use crate::log::lock;
use crate::mapping::Mapping;

/// Failed calls that are remembered.
const FAILED_MAX: usize = 64;

/// All there is to the disk.
#[derive(Debug)]
pub(super) struct State {
    pub(super) random: Random,
    pub(super) names: Names,
    pub(super) files: BTreeMap<u64, File>,
    next_file: u64,
    /// Rises with every restart; handles of another life are dead.
    pub(super) life: u64,
    memory: Vec<PathBuf>,
    pub(super) locked: BTreeSet<PathBuf>,
    capacity: u64,
    /// Reads past the page cache show the device.
    pub(super) direct: bool,
    calls: u64,
    by_kind: BTreeMap<Call, u64>,
    stop_at: Option<u64>,
    stopped: bool,
    failures: Vec<Failure>,
    failed: Vec<Failed>,
    digest: u64,
    trace: Option<Vec<String>>,
    boot: u64,
    clock_ns: u64,
}

/// The simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

/// How a call goes.
pub(super) enum Fate {
    Well,
    /// Fails with that reason; what it was to do may be done in part.
    Fails(i32),
    /// The process dies in it; what it was to do may be done in part.
    Dies,
    /// The process has died before: nothing is done.
    Dead,
}

impl State {
    fn fate(&mut self, call: Call, path: &Path, offset: u64, length: usize) -> Fate {
        if self.stopped {
            return Fate::Dead;
        }
        self.calls += 1;
        *self.by_kind.entry(call).or_insert(0) += 1;
        self.clock_ns += 1_000;
        let fate = if self.stop_at.is_some_and(|at| self.calls >= at) {
            self.stopped = true;
            Fate::Dies
        } else {
            self.failure_of(call, path, offset)
        };
        let word = match fate {
            Fate::Well => 0,
            Fate::Fails(errno) => errno as u64,
            Fate::Dies | Fate::Dead => 1 << 32,
        };
        for part in [call as u64, offset, length as u64, word] {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01B3).rotate_left(17);
        }
        if let Some(trace) = &mut self.trace {
            let end = match fate {
                Fate::Well => String::new(),
                Fate::Fails(errno) => format!(" = errno {errno}"),
                Fate::Dies | Fate::Dead => " = dies in it".into(),
            };
            trace.push(format!("{:>6} {} {} {offset}+{length}{end}", self.calls, call.name(), path.display()));
        }
        fate
    }

    fn failure_of(&mut self, call: Call, path: &Path, offset: u64) -> Fate {
        for failure in &mut self.failures {
            if !failure.call.map_or(call.changes(), |wanted| wanted == call) {
                continue;
            }
            if failure.after > 0 {
                failure.after -= 1;
                continue;
            }
            let errno = failure.errno;
            if !failure.lasting {
                failure.after = u64::MAX;
            }
            // Enough to name them; a test that goes on and on must not fill memory.
            self.failed.truncate(FAILED_MAX);
            self.failed.push(Failed { call, path: path.to_path_buf(), offset, errno });
            return Fate::Fails(errno);
        }
        Fate::Well
    }

    pub(super) fn used(&self) -> u64 {
        let on_disk = |path: &Path| !self.in_memory(path);
        let size = |id: u64| self.files.get(&id).map_or(0, |file| file.seen.len());
        self.names.files().filter(|(path, _)| on_disk(path)).map(|(_, id)| size(id)).sum()
    }

    pub(super) fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    pub(super) fn in_memory(&self, path: &Path) -> bool {
        self.memory.iter().any(|dir| path.starts_with(dir))
    }

    pub(super) fn new_file(&mut self, file: File) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, file);
        self.next_file
    }
}

/// The errno of a call that died: nobody is there to see it.
pub(super) const DEAD: i32 = libc::EOWNERDEAD;

pub(super) fn refuse<T>(call: Call, path: &Path, offset: u64, errno: i32) -> DiskResult<T> {
    Err(DiskError::new(call.name(), path, offset, io::Error::from_raw_os_error(errno)))
}

impl SimDisk {
    /// An empty disk. Memory lies at `/dev/shm`; `/data` is there and durable.
    pub fn new(seed: u64) -> Self {
        let memory = vec![PathBuf::from("/dev/shm")];
        let names = Names::default().with_directory(Path::new("/data")).with_directory(&memory[0]);
        let state = State {
            random: Random::new(seed),
            names,
            files: BTreeMap::new(),
            next_file: 0,
            life: 1,
            memory,
            locked: BTreeSet::new(),
            capacity: u64::MAX,
            direct: true,
            calls: 0,
            by_kind: BTreeMap::new(),
            stop_at: None,
            stopped: false,
            failures: Vec::new(),
            failed: Vec::new(),
            digest: 0xCBF2_9CE4_8422_2325,
            trace: None,
            boot: 1,
            clock_ns: 1_700_000_000_000_000_000,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether reads past the page cache show the device, as `O_DIRECT` does; else they show what the cache holds.
    pub fn set_direct(&self, direct: bool) {
        self.state().direct = direct;
    }

    /// Room for so many bytes of files in all.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files on the disk.
    pub fn used_bytes(&self) -> u64 {
        self.state().used()
    }

    /// The process dies in the call that comes after so many more. That call is done in part.
    pub fn stop_after(&self, calls: u64) {
        let mut state = self.state();
        state.stop_at = Some(state.calls + 1 + calls);
    }

    /// It does not die after all.
    pub fn never_stop(&self) {
        self.state().stop_at = None;
    }

    /// The process is dead; every call fails and does nothing until [`SimDisk::restart`].
    pub fn stopped(&self) -> bool {
        self.state().stopped
    }

    /// A call is going to fail.
    pub fn fail(&self, failure: Failure) {
        self.state().failures.push(failure);
    }

    /// No call fails any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.failures.clear();
        state.failed.clear();
    }

    /// The calls that were made to fail, in order.
    pub fn failed(&self) -> Vec<Failed> {
        self.state().failed.clone()
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Calls of one kind so far.
    pub fn calls_of(&self, call: Call) -> u64 {
        self.state().by_kind.get(&call).copied().unwrap_or(0)
    }

    /// A number that two runs share only when they made the same calls in the same order.
    pub fn digest(&self) -> u64 {
        self.state().digest
    }

    /// Writes down every call from now on.
    pub fn keep_trace(&self) {
        self.state().trace.get_or_insert_default();
    }

    /// Adds a line of the test's own to the trace.
    pub fn remark(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.state().trace {
            trace.push(line());
        }
    }

    /// What was written down.
    pub fn take_trace(&self) -> Vec<String> {
        self.state().trace.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The process ends that way, and the machine is ready for the next one: handles are dead, the lock is free, nothing fails.
    pub fn restart(&self, stop: Stop) {
        let mut state = self.state();
        let state = &mut *state;
        state.life += 1;
        state.locked.clear();
        state.stop_at = None;
        state.stopped = false;
        state.failures.clear();
        state.failed.clear();
        match stop {
            Stop::Kill => {}
            Stop::PowerCut(cut) | Stop::Misplacing(cut) => {
                state.boot += 1;
                if matches!(stop, Stop::Misplacing(_)) {
                    misplace_one(state);
                }
                state.names.cut(cut, &state.memory, &mut state.random);
                for file in state.files.values_mut() {
                    if let Some(memory) = file.memory.take() {
                        write_back(file, &memory, &mut state.random);
                    }
                    file.cut(cut, &mut state.random);
                }
                // No name can come back after this.
                let alive: Vec<u64> = state.names.files().map(|(_, id)| id).collect();
                state.files.retain(|id, _| alive.contains(id));
            }
        }
        for file in state.files.values_mut() {
            // Out of reach of the dead process.
            file.memory = file.memory.as_ref().map(Memory::detached);
        }
    }

    /// Another hand than the log's.
    pub fn hand(&self) -> Hand<'_> {
        Hand { disk: self }
    }

    /// Asks for the fate of a call after whatever may come before it.
    pub(super) fn begin(&self, call: Call, path: &Path, offset: u64, length: usize) -> (MutexGuard<'_, State>, Fate) {
        interleave::before(call);
        let mut state = self.state();
        let fate = state.fate(call, path, offset, length);
        (state, fate)
    }
}

/// A mapped file on a disk: pages of it may have been written back, at any moment and in any order.
fn write_back(file: &mut File, memory: &Memory, random: &mut Random) {
    let mut bytes = vec![0; memory.len];
    memory.read(0, &mut bytes);
    let chance = random.pick(&[0, 50, 100]);
    for (number, page) in bytes.chunks(4_096).enumerate() {
        if random.percent(chance) {
            file.durable.write(number as u64 * 4_096, page);
        }
    }
}

fn misplace_one(state: &mut State) {
    let ids: Vec<u64> = state.files.iter().filter(|(_, f)| !f.changes.is_empty()).map(|(id, _)| *id).collect();
    if !ids.is_empty() {
        let id = state.random.pick(&ids);
        let file = state.files.get_mut(&id).expect("listed above");
        let moved = file.misplace(&mut state.random);
        if let (Some(trace), Some((offset, length, target))) = (&mut state.trace, moved) {
            let path = state.names.files().find(|(_, file)| *file == id).map(|(path, _)| path.display().to_string());
            trace.push(format!("       {} {offset}+{length} arrives at {target}", path.unwrap_or_default()));
        }
    }
}

pub(super) fn file_of(state: &mut State, id: u64) -> (&mut File, &mut Random) {
    (state.files.get_mut(&id).expect("a file stays while its process lives"), &mut state.random)
}

impl SimDisk {
    /// A call on names that either does its work or nothing.
    fn on_names<T>(&self, call: Call, path: &Path, work: impl FnOnce(&mut State) -> Result<T, i32>) -> DiskResult<T> {
        let (mut state, fate) = self.begin(call, path, 0, 0);
        match fate {
            Fate::Well => work(&mut state).or_else(|errno| refuse(call, path, 0, errno)),
            Fate::Fails(errno) => refuse(call, path, 0, errno),
            Fate::Dies => {
                // Not torn, but perhaps done.
                if call.changes() && state.random.percent(50) {
                    let _ = work(&mut state);
                }
                refuse(call, path, 0, DEAD)
            }
            Fate::Dead => refuse(call, path, 0, DEAD),
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> DiskResult<Arc<dyn DiskFile>> {
        let makes = matches!(access, Access::Create | Access::CreateSmall | Access::Update);
        let call = if makes { Call::Create } else { Call::Open };
        self.on_names(call, path, |state| {
            let id = match state.names.file(path) {
                Some(id) if !makes || access == Access::Update => id,
                Some(id) => {
                    file_of(state, id).0.change(Change::Length(0));
                    id
                }
                None if !makes => return Err(libc::ENOENT),
                None => {
                    if !path.parent().is_some_and(|dir| state.names.is_directory(dir)) {
                        return Err(libc::ENOENT);
                    }
                    let id = state.new_file(File::default());
                    state.names.link(path, Node::File(id));
                    id
                }
            };
            Ok(SimFile::handle(self, state, path, id, access))
        })
    }

    fn create_mapped(&self, path: &Path, bytes: usize) -> DiskResult<Mapping> {
        self.on_names(Call::Map, path, |state| {
            if state.names.get(path).is_some() {
                return Err(libc::EEXIST);
            }
            if !path.parent().is_some_and(|dir| state.names.is_directory(dir)) {
                return Err(libc::ENOENT);
            }
            let room = state.room();
            if !state.in_memory(path) && bytes as u64 > room {
                return Err(libc::ENOSPC);
            }
            let memory = Memory::new(bytes);
            let mut file = File { memory: Some(memory.clone()), ..File::default() };
            file.seen.set_len(bytes as u64);
            file.durable.set_len(bytes as u64);
            let id = state.new_file(file);
            state.names.link(path, Node::File(id));
            // SAFETY: the buffer starts on a page, is as long as asked for, zeroed, kept by its owner, and never referred to: all
            // access goes through raw pointers.
            Ok(unsafe { Mapping::new(memory.start(), bytes, Box::new(memory.owner())) })
        })
    }

    fn create_dir(&self, dir: &Path) -> DiskResult<bool> {
        self.on_names(Call::MakeDir, dir, |state| match state.names.get(dir) {
            Some(Node::Directory) => Ok(false),
            Some(Node::File(_)) => Err(libc::ENOTDIR),
            None if dir.parent().is_some_and(|up| state.names.is_directory(up)) => {
                state.names.link(dir, Node::Directory);
                Ok(true)
            }
            None => Err(libc::ENOENT),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> DiskResult<()> {
        self.on_names(Call::Rename, from, |state| {
            let node = state.names.get(from).ok_or(libc::ENOENT)?;
            state.names.rename(from, to, node);
            Ok(())
        })
    }

    fn unlink(&self, path: &Path) -> DiskResult<()> {
        self.on_names(Call::Unlink, path, |state| {
            state.names.file(path).ok_or(libc::ENOENT)?;
            state.names.unlink(path);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> DiskResult<Vec<String>> {
        self.on_names(Call::List, dir, |state| {
            if !state.names.is_directory(dir) {
                return Err(libc::ENOENT);
            }
            let below = state.names.files().filter(|(path, _)| path.parent() == Some(dir));
            Ok(below.filter_map(|(path, _)| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
        })
    }

    fn sync_dir(&self, dir: &Path) -> DiskResult<()> {
        self.on_names(Call::SyncDir, dir, |state| {
            if !state.names.is_directory(dir) {
                return Err(libc::ENOENT);
            }
            state.names.sync(dir);
            Ok(())
        })
    }

    fn free_bytes(&self, _dir: &Path) -> DiskResult<u64> {
        let state = self.state();
        Ok(state.room())
    }

    fn is_memory(&self, dir: &Path) -> bool {
        self.state().in_memory(dir)
    }

    fn real_path(&self, dir: &Path) -> PathBuf {
        dir.to_path_buf()
    }

    fn lock_dir(&self, dir: &Path) -> DiskResult<DirLock> {
        self.on_names(Call::Lock, dir, |state| {
            if !state.locked.insert(dir.to_path_buf()) {
                return Ok(DirLock::Owned(None));
            }
            Ok(DirLock::Taken(Box::new(SimLock::new(self, state, dir))))
        })
    }

    fn boot_id(&self) -> [u8; 16] {
        u128::from(self.state().boot).to_le_bytes()
    }

    fn wall_clock_ns(&self) -> u64 {
        self.state().clock_ns
    }

    fn random_id(&self) -> u64 {
        self.state().random.bits().max(1)
    }
}
