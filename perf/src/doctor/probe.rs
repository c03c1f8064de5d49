//! What only the kernel can say when it is asked: limits, a ring, a direct write, what a sync costs, the clock's state.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Places, existing};

const BLOCK: usize = 4_096;
/// Blocks of the file that is written and synced.
const BLOCKS: u64 = 64;
/// Syncs at most, and time for them.
const SYNCS_MAX: usize = 400;
const SYNC_TIME: Duration = Duration::from_millis(1_500);
/// How long stolen time is watched.
const STEAL_TIME: Duration = Duration::from_millis(300);

/// What a write of one block and its sync cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncCost {
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// Of a hundred, ninety-nine.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// What was asked and measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Cores that this process may use, ascending.
    pub allowed_cores: Vec<usize>,
    /// Limit of locked memory; `u64::MAX` for none.
    pub memlock_bytes: u64,
    /// Limit of open files.
    pub files_max: u64,
    /// Whether a ring was granted, or why not.
    pub ring: Result<(), String>,
    /// Type and free bytes of the file system of the tail's directory.
    pub tail: Option<(i64, u64)>,
    /// Whether the data directory takes direct writes, or why not.
    pub direct: Result<(), String>,
    /// What a sync costs there.
    pub sync: Option<SyncCost>,
    /// Free bytes there.
    pub free_bytes: Option<u64>,
    /// Whether the clock is kept, and its greatest error in microseconds.
    pub clock: Option<(bool, i64)>,
    /// Time that other virtual machines took from ours, in a thousand.
    pub steal_permille: Option<u64>,
}

impl Probed {
    /// Asks this machine.
    #[must_use]
    pub fn here(places: &Places) -> Self {
        let dir = existing(&places.data_dir);
        let steal_before = stolen();
        let began = Instant::now();
        let (direct, sync) = match ProbeFile::make(dir) {
            Ok(file) => (file.direct(), file.sync_cost()),
            Err(error) => (Err(format!("no file can be made in {}: {error}", dir.display())), None),
        };
        std::thread::sleep(STEAL_TIME.saturating_sub(began.elapsed()));
        let steal = steal_before.zip(stolen()).and_then(|(before, after)| {
            let all = after.1.checked_sub(before.1).filter(|all| *all > 0)?;
            Some(after.0.saturating_sub(before.0) * 1_000 / all)
        });
        Self {
            allowed_cores: allowed_cores(),
            memlock_bytes: limit(libc::RLIMIT_MEMLOCK),
            files_max: limit(libc::RLIMIT_NOFILE),
            ring: ring(),
            tail: statfs(&places.tail_dir),
            direct,
            sync,
            free_bytes: statfs(dir).map(|(_, free)| free),
            clock: clock(),
            steal_permille: steal,
        }
    }
}

fn allowed_cores() -> Vec<usize> {
    // SAFETY: all zeros is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills at most the one set that it is given.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: the number is below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

fn limit(which: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the one struct that it is given.
    if unsafe { libc::getrlimit(which, &mut limit) } != 0 { 0 } else { limit.rlim_cur }
}

/// Asks for a ring and gives it back.
fn ring() -> Result<(), String> {
    // The kernel's `io_uring_params` has 120 bytes, all of which are zero for a plain ring.
    let mut params = [0u64; 15];
    // SAFETY: the kernel reads and fills the 120 bytes of the struct.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    // SAFETY: the descriptor was just given to us.
    unsafe { libc::close(fd as i32) };
    Ok(())
}

/// Type and free bytes of a path's file system.
fn statfs(path: &Path) -> Option<(i64, u64)> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeros is a valid `statfs`.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is a terminated string and `stat` is writable for the whole call.
    (unsafe { libc::statfs(name.as_ptr(), &mut stat) } == 0)
        .then(|| (stat.f_type, stat.f_bavail.saturating_mul(stat.f_bsize as u64)))
}

/// Whether the clock is kept, and its greatest error.
fn clock() -> Option<(bool, i64)> {
    // SAFETY: all zeros asks and sets nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: fills the one struct that it is given.
    let code = unsafe { libc::adjtimex(&mut state) };
    (code >= 0).then_some((code != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0, state.maxerror))
}

/// Stolen and all time of the processors, in ticks.
fn stolen() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; what guests had is in user already.
    Some((*fields.get(7)?, fields.iter().take(8).sum()))
}

/// A file of zeros in the data directory, gone with this.
struct ProbeFile {
    file: File,
    path: std::path::PathBuf,
}

/// Memory that a direct write may come from.
#[repr(align(4096))]
struct Aligned([u8; BLOCK]);

impl ProbeFile {
    fn make(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!(".lotbook-doctor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let made = Self { file, path };
        // As the log does: written and synced once, so that a sync later is about bytes alone.
        for block in 0..BLOCKS {
            made.file.write_all_at(&[0; BLOCK], block * BLOCK as u64)?;
        }
        made.file.sync_all()?;
        Ok(made)
    }

    fn open_direct(&self) -> io::Result<File> {
        OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(&self.path)
    }

    fn direct(&self) -> Result<(), String> {
        self.open_direct()
            .and_then(|file| file.write_all_at(&Aligned([1; BLOCK]).0, 0))
            .map_err(|error| error.to_string())
    }

    fn sync_cost(&self) -> Option<SyncCost> {
        let direct = self.open_direct().ok();
        let file = direct.as_ref().unwrap_or(&self.file);
        let mut times = Vec::with_capacity(SYNCS_MAX);
        let began = Instant::now();
        while times.len() < SYNCS_MAX && began.elapsed() < SYNC_TIME {
            let from = Instant::now();
            let at = times.len() as u64 % BLOCKS * BLOCK as u64;
            file.write_all_at(&Aligned([times.len() as u8; BLOCK]).0, at).and_then(|()| file.sync_data()).ok()?;
            times.push(u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        Some(SyncCost { p50_ns: times[last / 2], p99_ns: times[last * 99 / 100], max_ns: times[last] })
    }
}

impl Drop for ProbeFile {
    fn drop(&mut self) {
        // It is small, and its name says whose it is.
        let _ = std::fs::remove_file(&self.path);
    }
}
