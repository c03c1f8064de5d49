//! Random histories on one host, and on houses of one, two and four shards that are killed all the time: the same book, to the
//! last unit.

use lotbook_core::event::{Class, Reason};
use lotbook_engine::Status;
use lotbook_perf::rng::Rng;

use crate::desk::{Desk, Trap, config, is_nothing, shown};
use crate::lines::{Line, draw};

/// Histories in CI; `LOTBOOK_LONG=1` for the long form.
const HISTORIES: u64 = 3;
const HISTORIES_LONG: u64 = 1_000;
const LINES: u32 = 60;

#[derive(Debug, Default)]
struct Counts {
    histories: u64,
    lines: u64,
    kills: u64,
    traps: u64,
    one_shard_first: u64,
    tails_lost: u64,
    same_digest: u64,
    positions: u64,
}

/// The same question has the same answer after a kill: then it was known.
fn is_same(before: (Status, Reason), now: (Status, Reason)) -> bool {
    let accepted = |status| match status {
        Status::Trade(class) | Status::Action(class) => class != Class::Rejected,
        Status::Done => true,
        _ => false,
    };
    accepted(before.0) == accepted(now.0) && before.1 == now.1
}

/// What one host says to each line, and its book.
struct Plain {
    told: Vec<(Status, Reason)>,
    book: Vec<String>,
    digest: u64,
    keys: Vec<String>,
}

fn keys(desk: &mut Desk) -> Vec<String> {
    desk.positions().iter().map(|view| format!("{}/{}", view.account, view.instrument)).collect()
}

fn book(desk: &mut Desk) -> Vec<String> {
    desk.positions().iter().filter(|view| !is_nothing(view)).map(|view| shown(view)).collect()
}

fn plain(lines: &[Line]) -> Plain {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut desk = Desk::open(&config(dir.path()), 0);
    let told = lines
        .iter()
        .map(|line| {
            if !line.is_free() {
                assert!(desk.settle());
            }
            desk.ask(line)
        })
        .collect();
    assert!(desk.settle());
    let (book, digest, keys) = (book(&mut desk), desk.economic_digest(), keys(&mut desk));
    desk.stop();
    Plain { told, book, digest, keys }
}

/// What a kill takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    /// The process: whatever was answered is there.
    Process,
    /// Now and then the power: of some logs, what is not on the disk is gone too.
    Power,
}

/// Starts again after a kill, with a new trap. Says whether something that was answered may be gone.
#[must_use]
fn restart(desk: &mut Desk, rng: &mut Rng, kill: Kill, counts: &mut Counts) -> bool {
    desk.kill();
    counts.kills += 1;
    let mut lost = 0;
    if kill == Kill::Power && rng.below(2) == 0 {
        lost = desk.lose_tails(|| rng.below(3) == 0);
        counts.tails_lost += lost;
    }
    let trap = if rng.below(2) == 0 { Trap::after(rng.below(12) as i64) } else { Trap::never() };
    desk.start(trap);
    lost > 0
}

/// Waits until nothing is to be done, over kills. Says whether something that was answered may be gone.
#[must_use]
fn settle(desk: &mut Desk, rng: &mut Rng, kill: Kill, counts: &mut Counts) -> bool {
    let mut is_lost = false;
    while !desk.settle() {
        counts.traps += 1;
        is_lost |= restart(desk, rng, kill, counts);
    }
    is_lost
}

/// The same through a house that is killed now and then.
fn through_house(seed: u64, shards: u16, kill: Kill, lines: &[Line], wanted: &Plain, counts: &mut Counts) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rng = Rng::new(seed, 100 + u64::from(shards));
    let mut desk = Desk::open(&config(dir.path()), shards);
    // What stands before `safe` is durable everywhere. What is lost is sent again, as one does who is not sure.
    let (mut at, mut safe) = (0, 0);
    loop {
        let Some(line) = lines.get(at) else {
            if settle(&mut desk, &mut rng, kill, counts) {
                at = safe;
                continue;
            }
            break;
        };
        if !line.is_free() && settle(&mut desk, &mut rng, kill, counts) {
            at = safe;
            continue;
        }
        let free = || lines[at..].iter().take_while(|line| line.is_free());
        let killed = match rng.below(24) {
            // Killed with the question on its way, or with some of those behind it too.
            0 if line.is_free() => {
                free().take(1 + rng.below(5) as usize).for_each(|line| desk.send(line));
                true
            }
            // One shard dies first, the others go on for a while.
            1 if shards > 1 && line.is_free() => {
                // Names first: without the shard nobody gets a new one.
                let commands: Vec<_> = free().take(6).map(|line| desk.command(line)).collect();
                desk.house().crash_shard(rng.below(u64::from(shards)) as u16);
                counts.one_shard_first += 1;
                commands.into_iter().for_each(|command| desk.send_command(command));
                for _ in 0..rng.below(200) {
                    desk.poll();
                    lotbook_engine::wait::nap();
                }
                true
            }
            2 => {
                desk.send(line);
                true
            }
            _ if desk.trap.has_fired() && rng.below(3) == 0 => {
                counts.traps += 1;
                true
            }
            _ => false,
        };
        if killed {
            if restart(&mut desk, &mut rng, kill, counts) {
                at = safe;
            }
            continue;
        }
        let told = desk.ask(line);
        let is_known = matches!(told.0, Status::Trade(Class::Duplicate) | Status::Action(Class::Duplicate));
        assert!(
            is_same(wanted.told[at], told) || is_known,
            "seed {seed}, {shards} shards, {line:?}: {told:?} in place of {:?}",
            wanted.told[at]
        );
        counts.lines += 1;
        at += 1;
        if !line.is_free() {
            desk.wait_durable();
            safe = at;
        }
    }
    let found = book(&mut desk);
    for (found, wanted) in found.iter().zip(&wanted.book) {
        assert_eq!(found, wanted, "seed {seed}, {shards} shards\n{lines:#?}");
    }
    assert_eq!(
        found.len(),
        wanted.book.len(),
        "seed {seed}, {shards} shards: positions\n{found:#?}\n{:#?}",
        wanted.book
    );
    counts.positions += found.len() as u64;
    // Where the same positions are there, empty ones too, the sums of their digests are the same.
    if keys(&mut desk) == wanted.keys {
        counts.same_digest += 1;
        assert_eq!(desk.economic_digest(), wanted.digest, "seed {seed}, {shards} shards: economic digest");
    } else {
        println!("seed {seed}, {shards} shards: {:?} in place of {:?}", keys(&mut desk), wanted.keys);
    }
    desk.stop();
    // And once more from what is on disk.
    desk.start(Trap::never());
    assert!(desk.settle());
    assert_eq!(book(&mut desk), found, "seed {seed}, {shards} shards: after a clean stop");
    desk.stop();
}

fn histories(stream: u64, with_amendments: bool, kill: Kill) {
    let (from, count) = match std::env::var("LOTBOOK_SEED") {
        Ok(seed) => (seed.parse().expect("a number"), 1),
        Err(_) if std::env::var_os("LOTBOOK_LONG").is_some() => (0, HISTORIES_LONG),
        Err(_) => (0, HISTORIES),
    };
    let mut counts = Counts::default();
    for seed in from..from + count {
        let lines = draw(&mut Rng::new(seed, stream), LINES, with_amendments);
        let wanted = plain(&lines);
        let sizes: &[u16] = if kill == Kill::Power { &[4] } else { &[1, 2, 4] };
        for &shards in sizes {
            through_house(seed, shards, kill, &lines, &wanted, &mut counts);
        }
        counts.histories += 1;
    }
    println!("{counts:?}");
    assert!(counts.same_digest > 0 || count == 1);
    assert!(counts.kills > 0);
}

#[test]
fn houses_of_any_size_have_the_same_book() {
    histories(1, false, Kill::Process);
}

#[test]
fn amendments_find_their_targets_on_any_shard() {
    histories(2, true, Kill::Process);
}

/// Without power, each log keeps what it has on its disk, and they were never at the same place.
#[test]
fn power_cuts_lose_no_lot_between_shards() {
    histories(3, true, Kill::Power);
}
