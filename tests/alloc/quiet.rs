//! A spinning shard makes no system call in steady state: counted by `strace` on its thread in a child.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use lotbook_engine::config::Role;
use lotbook_engine::wait::WaitKind;
use lotbook_tests::rig::{Rig, config};

use crate::load::Load;

const CHILD: &str = "LOTBOOK_QUIET_CHILD";
const WATCHED: Duration = Duration::from_secs(2);

static SHARD: AtomicI32 = AtomicI32::new(0);

fn on_thread(role: Role) {
    if role == Role::Shard {
        // SAFETY: takes nothing and always succeeds.
        SHARD.store(unsafe { libc::gettid() }, Ordering::Release);
    }
}

/// Not a test of its own: the process that is watched. Without its variable it does nothing.
#[test]
fn child_under_load() {
    let Some(wait) = std::env::var_os(CHILD) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.wait = if wait == "spin" { WaitKind::Spin } else { WaitKind::Park };
    // Room for a disk that pauses: a full tail makes the shard yield, which is a call and no steady state.
    config.tail_blocks = 1_024;
    config.on_thread = Some(on_thread);
    let mut rig = Rig::start(&config);
    let mut load = Load::new(&mut rig);
    load.run(&mut rig, 20_000);
    let full = rig.host.counters().tail_full();
    println!("\nshard {}", SHARD.load(Ordering::Acquire));
    std::io::stdout().flush().expect("a parent that reads");
    load.run_until(&mut rig, Instant::now() + WATCHED + Duration::from_secs(2));
    println!("\nsteady {}", rig.host.counters().tail_full() == full);
}

#[test]
fn a_spinning_shard_makes_no_system_call() {
    let _alone = crate::ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    // The control first: a parking shard sleeps, and that must be seen.
    let Some((parking, _)) = watch("park") else { return };
    assert!(!parking.is_empty(), "strace sees nothing");
    // A disk that is long behind fills the tail, and the shard yields: no steady state, so watch again.
    let mut watched = (0..4).map(|_| watch("spin").expect("it was permitted a moment ago"));
    let Some((spinning, _)) = watched.find(|(_, steady)| *steady) else {
        println!("skipped: the log thread fell behind each time; this machine has no steady state now");
        return;
    };
    assert!(spinning.is_empty(), "system calls of the shard's thread: {spinning:#?}");
}

/// Rows of system calls of a shard that waits in this way, and whether its log kept up; `None`, with the reason printed, where strace
/// may not attach.
fn watch(wait: &str) -> Option<(Vec<String>, bool)> {
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "quiet::child_under_load", "--nocapture", "--test-threads=1"])
        .env(CHILD, wait)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let shard = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("shard ").map(str::to_owned))
        .expect("the child names its shard's thread");
    // Without -f: that one thread and no other. INT makes strace detach and print its table.
    let watched = Command::new("timeout")
        .args(["-s", "INT", &WATCHED.as_secs().to_string(), "strace", "-c", "-p", &shard])
        .output()
        .expect("timeout of coreutils");
    let said = String::from_utf8_lossy(&watched.stderr);
    // The child ends by itself; what it says later must not fill its pipe.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(child.wait().expect("a child").success(), "{rest:?}");
    if !said.contains("attached") || said.contains("not permitted") {
        println!("skipped: strace may not attach here: {said}");
        return None;
    }
    // A row a system call: % time, seconds, usecs/call, calls, (errors,) name.
    let rows = said
        .lines()
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()) && !line.ends_with("total"));
    Some((rows.map(str::to_owned).collect(), rest.iter().any(|line| line == "steady true")))
}
