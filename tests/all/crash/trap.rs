//! Kills a process at the moment at which its phase page says what was wished for.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lotbook_engine::phase::{FILE_NAME, Phase};

/// Distance of the words on the page.
const WORD_APART_BYTES: u64 = 64;

/// What the trap and the thread that makes the load tell each other.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Sent and not answered.
    pub(crate) in_flight: AtomicU64,
    /// Enough positions are PROVISIONAL.
    pub(crate) ripe: AtomicBool,
    /// The process was killed.
    pub(crate) dead: AtomicBool,
}

/// When to kill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) phase: Phase,
    /// Answers that must be in flight.
    pub(crate) in_flight_min: u64,
    /// After this long, kill whatever the phase is.
    pub(crate) patience: Duration,
}

/// A thread that watches the page of process `pid` and kills it once.
pub(crate) fn set(pid: i32, data_dir: &Path, wish: Wish, wire: Arc<Wire>) -> JoinHandle<()> {
    let page = page_of(pid, data_dir, Instant::now() + wish.patience).expect("the phase page of a host that serves");
    std::thread::spawn(move || {
        let start = Instant::now();
        // Without the phase after half of the patience any phase will do, without the rest after all of it.
        while start.elapsed() < wish.patience {
            if !wire.ripe.load(Ordering::Relaxed) || wire.in_flight.load(Ordering::Relaxed) < wish.in_flight_min {
                std::thread::sleep(Duration::from_micros(200));
            } else if is_on(&page, wish.phase) || start.elapsed() > wish.patience / 2 {
                break;
            }
            // Some phases are short: giving the core away now would miss them.
            std::hint::spin_loop();
        }
        kill(pid);
        wire.dead.store(true, Ordering::Release);
    })
}

/// Waits on this thread until the process recovers, and a moment longer, and kills it. `false` when it was too fast.
pub(crate) fn spring_in_recovery(pid: i32, data_dir: &Path, delay: Duration) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    let page = page_of(pid, data_dir, deadline);
    let caught = page.is_some_and(|page| {
        while !is_on(&page, Phase::Recovery) && !has_been(&page, Phase::Recovery) && Instant::now() < deadline {
            lotbook_engine::wait::nap();
        }
        let until = Instant::now() + delay;
        while Instant::now() < until && is_on(&page, Phase::Recovery) {
            lotbook_engine::wait::nap();
        }
        is_on(&page, Phase::Recovery)
    });
    kill(pid);
    caught
}

fn word(page: &File, phase: Phase) -> u64 {
    let mut bytes = [0; 8];
    // A page that is being made is shorter.
    let read = page.read_exact_at(&mut bytes, phase as u64 * WORD_APART_BYTES);
    read.map_or(0, |()| u64::from_le_bytes(bytes))
}

fn is_on(page: &File, phase: Phase) -> bool {
    word(page, phase) & 1 == 1
}

fn has_been(page: &File, phase: Phase) -> bool {
    word(page, phase) > 0
}

/// The page of this very process: the one of the process before may still be there.
fn page_of(pid: i32, data_dir: &Path, deadline: Instant) -> Option<File> {
    let link = data_dir.join(FILE_NAME);
    let own = format!("lotbook-{pid}-");
    while Instant::now() < deadline {
        if let Ok(target) = std::fs::read_link(&link)
            && target.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own))
            && let Ok(page) = File::open(&target)
        {
            return Some(page);
        }
        lotbook_engine::wait::nap();
    }
    None
}

fn kill(pid: i32) {
    // SAFETY: a plain system call. The process is a child of ours that nobody has waited for, so its number is still its own.
    let code = unsafe { libc::kill(pid, libc::SIGKILL) };
    assert_eq!(code, 0, "killing {pid}");
}
