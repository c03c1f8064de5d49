//! Killed at each step of archiving, shipping, dropping and of moving a cursor: the next start has every trade that was answered, and the
//! archive has every segment that is not here.
//!
//! The victim is this very program, started again: a host that kills itself just before or just after a chosen call to the disk.

#[path = "../../../wal/tests/support/shim.rs"]
#[allow(dead_code, reason = "here calls are met by a kill only")]
pub(crate) mod shim;

use std::io::Write as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use lotbook_core::event::Class;
use lotbook_core::rules::LotMethod;
use lotbook_engine::Status;
use lotbook_tests::rig::{PATIENCE, Rig};
use lotbook_wal::{Disk, LogConfig, VerifyOutcome, open_read_only};

use super::{archive, history, shelved, small, started, until};
use crate::coldpath::{equals_oracle, input};
use crate::support::{Spec, long_form};
use shim::{Call, Gate, Op, Say, Shim};

const ORDERS: &str = "LOTBOOK_RETENTION_VICTIM";

/// Enough for each point to come as often as is asked for.
fn count() -> u32 {
    if long_form() { 5_000 } else { 1_800 }
}

/// A file of retention, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// An archive being made beside the segments.
    Packing,
    /// An archive beside the segments.
    Packed,
    /// An archive on its way into the archive directory.
    Shipping,
    Manifest,
    Segment,
    Cursor,
}

fn what(archive_dir: &Path, path: &Path) -> Option<What> {
    let name = path.file_name()?.to_str()?;
    let is_there = path.starts_with(archive_dir);
    match name {
        "log.archive.new" => Some(What::Manifest),
        _ if name.ends_with(".lotlog.zst.new") => Some(if is_there { What::Shipping } else { What::Packing }),
        _ if name.ends_with(".lotlog.zst") && !is_there => Some(What::Packed),
        _ if name.ends_with(".lotlog") => Some(What::Segment),
        _ if name.ends_with(".cursor") => Some(What::Cursor),
        _ => None,
    }
}

/// A call to die at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    what: What,
    call: Call,
    after: bool,
}

const fn before(what: What, call: Call) -> Point {
    Point { what, call, after: false }
}

const fn after(what: What, call: Call) -> Point {
    Point { what, call, after: true }
}

/// In the order in which they come for one segment.
const POINTS: [Point; 16] = [
    after(What::Packing, Call::Create),
    after(What::Packing, Call::Write),
    before(What::Packing, Call::Rename),
    after(What::Packing, Call::Rename),
    after(What::Manifest, Call::Write),
    before(What::Manifest, Call::Rename),
    after(What::Manifest, Call::Rename),
    before(What::Segment, Call::Unlink),
    after(What::Segment, Call::Unlink),
    after(What::Shipping, Call::Write),
    before(What::Shipping, Call::Rename),
    after(What::Shipping, Call::Rename),
    before(What::Packed, Call::Unlink),
    after(What::Packed, Call::Unlink),
    after(What::Cursor, Call::Write),
    after(What::Cursor, Call::Sync),
];

/// Dies at the n-th time that its point comes.
#[derive(Debug)]
struct Fate {
    archive_dir: std::path::PathBuf,
    point: Point,
    left: AtomicU64,
}

impl Fate {
    fn meet(&self, op: &Op<'_>, after: bool) {
        let Point { what: wanted, call, after: at_end } = self.point;
        if (op.call, after) != (call, at_end) || what(&self.archive_dir, op.path) != Some(wanted) {
            return;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // SAFETY: plain system calls on this very process.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            loop {
                std::thread::park();
            }
        }
    }
}

impl Gate for Fate {
    fn before(&self, op: &Op<'_>) -> Say {
        self.meet(op, false);
        Say::Go
    }

    fn after(&self, op: &Op<'_>) {
        self.meet(op, true);
    }
}

static FATE: OnceLock<Arc<Fate>> = OnceLock::new();

fn deadly(config: &LogConfig) -> Arc<dyn Disk> {
    Shim::new(config, FATE.get().expect("set before the host starts").clone())
}

/// The child: trades in order until it dies. Says how many were answered. As a test of its own it has no orders and does nothing.
#[test]
fn victim() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let fields: Vec<&str> = orders.split('\n').collect();
    let dir = Path::new(fields[0]);
    let point = POINTS[fields[1].parse::<usize>().expect("a point")];
    let left = AtomicU64::new(fields[2].parse().expect("a count"));
    let fate = Arc::new(Fate { archive_dir: archive(dir), point, left });
    FATE.set(fate).expect("once");
    let mut config = shelved(dir);
    config.disk = Some(deadly);
    let mut rig = started(&config);
    let (list, _) = history(5, count());
    let mut answered = 0;
    for chunk in list.chunks(100) {
        super::send(&mut rig, chunk);
        answered += chunk.len();
        println!("answered {answered}");
        std::io::stdout().flush().expect("a parent that listens");
        // So that checkpoints come, and cursors move.
        assert!(rig.host.wait_published(PATIENCE));
    }
    until("death", || false);
}

/// Runs a victim to its end; how many trades it had answered.
fn run_victim(dir: &Path, point: usize, time: u64) -> usize {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["retention::kill::victim", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ORDERS, format!("{}\n{point}\n{time}", dir.display()));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: prctl is async-signal-safe and takes plain numbers. A test that dies takes its victim along.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let output = command.output().expect("a child");
    let said = String::from_utf8_lossy(&output.stdout);
    let noise = String::from_utf8_lossy(&output.stderr);
    let point = POINTS[point];
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{point:?}: {} {said} {noise}", output.status);
    said.lines().rev().find_map(|line| line.strip_prefix("answered ")?.parse().ok()).unwrap_or(0)
}

/// Sends all again; the first `answered` are known already.
fn send_again(rig: &mut Rig, list: &[Spec], answered: usize, name: &str) {
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    let answers = rig.ask_all(inputs);
    for (index, answer) in answers.iter().enumerate() {
        match answer.status {
            Status::Trade(Class::Duplicate) => {}
            Status::Trade(class) if class.is_accepted() => {
                assert!(index >= answered, "{name}: trade {index} was answered and is lost")
            }
            other => panic!("{name}: trade {index}: {other:?}"),
        }
    }
}

#[test]
fn killed_at_each_step_nothing_is_lost() {
    let (list, late) = history(5, count());
    let mut all = list.clone();
    all.extend_from_slice(&late);
    let control = {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut rig = started(&small(dir.path()));
        super::send(&mut rig, &all);
        super::digest(&rig.host)
    };
    let times: &[u64] = if long_form() { &[1, 2, 3, 4] } else { &[1] };
    let mut kills = 0;
    for (place, point) in POINTS.iter().enumerate() {
        for &time in times {
            let name = format!("{point:?}, time {time}");
            let dir = tempfile::tempdir().expect("a temporary directory");
            let answered = run_victim(dir.path(), place, time);
            let config = shelved(dir.path());
            let mut rig = started(&config);
            assert_eq!(rig.host.report().log.lost_from_sequence, None, "{name}");
            send_again(&mut rig, &list, answered, &name);
            assert!(rig.host.wait_reconciled(PATIENCE), "{name}: {:?}", rig.host.error());
            super::dropped(&rig.host, 1);
            // Into history that the archive has, some of it put there by the one that died.
            super::send(&mut rig, &late);
            equals_oracle(&rig.host, &all, LotMethod::Fifo);
            assert_eq!(super::digest(&rig.host), control, "{name}");
            drop(rig.door);
            rig.host.stop().unwrap_or_else(|error| panic!("{name}: {error}"));
            let log = open_read_only(&config.data_dir.join("log")).expect("a log").with_archive(&archive(dir.path()));
            let report = log.verify(&mut |_, _| {}).expect("readable");
            assert_eq!((&report.outcome, report.first_sequence), (&VerifyOutcome::Whole, 1), "{name}: {report:?}");
            assert!(report.archives.iter().all(|archive| archive.whole > 0 && archive.damaged.is_empty()), "{name}");
            kills += 1;
        }
    }
    println!("{kills} kills at {} steps of retention: nothing answered was lost", POINTS.len());
}
