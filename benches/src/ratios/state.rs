//! What the state weighs, and what it costs to keep: lots in few bytes, a checkpoint, and what a late trade makes the coldpath do again.

use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Instant;

use lotbook_core::compress::compress;
use lotbook_core::lots::Lot;
use lotbook_core::rules::LotMethod;
use lotbook_core::{Book, Limits, Scratch};
use lotbook_engine::checkpoint::{self, State};
use lotbook_wal::RealDisk;

use super::disk::temporary;
use super::{Best, Pair};
use crate::course::{Replays, in_order, late};
use crate::{Flow, book, decide_and_apply, lots};

const BATCH: usize = 256;
const POSITIONS: u64 = 100_000;
/// Trades until the state is weighed, and again as many.
const TRADES: usize = 1_500_000;

/// What is given to a process that weighs a state alone: memory that other stages gave back would be taken again and not be seen.
pub const CHILD: &str = "--state-bytes";

/// What a process says of a state.
struct Weighed {
    /// What the process grew by until the trades were booked.
    first: f64,
    /// And until as many more were.
    second: f64,
    /// 64 bytes a position and 48 a lot, at both times.
    least: [f64; 2],
}

/// Weighs a state in this process, and prints what [`weigh`] reads.
pub fn weigh_here() {
    let (mut flow, mut batch, mut scratch) = (Flow::new(POSITIONS), Flow::batch(BATCH), Scratch::new());
    flow.fill(&mut batch);
    let before = resident_bytes();
    let mut book = book(POSITIONS, LotMethod::Fifo);
    for _ in 0..2 {
        for _ in 0..TRADES / BATCH {
            decide_and_apply(&mut book, &mut scratch, &batch);
            flow.fill(&mut batch);
        }
        println!("{} {}", resident_bytes() - before, least_bytes(&book));
    }
}

fn least_bytes(book: &Book) -> usize {
    let lots: usize = book.positions().iter().map(|position| position.block.len()).sum();
    64 * book.positions().len() + 48 * lots
}

fn weigh() -> Weighed {
    let program = std::env::current_exe().expect("this program");
    let told = Command::new(program).arg(CHILD).output().expect("this program again");
    let text = String::from_utf8_lossy(&told.stdout);
    let mut words = text.split_whitespace().map(|word| word.parse().expect("a number"));
    let mut next = || words.next().expect("four numbers");
    let (first, least, second, second_least) = (next(), next(), next(), next());
    Weighed { first, second, least: [least, second_least] }
}

/// What the process grew by while a book took its trades, against positions and lots at their least.
pub(super) fn bytes() -> Pair {
    let weighed = weigh();
    (weighed.first, weighed.least[0])
}

/// The same again after as many trades, against before; both beside their least, for lots come and go.
pub(super) fn growth() -> Pair {
    let weighed = weigh();
    (weighed.second / weighed.least[1], weighed.first / weighed.least[0])
}

fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0
}

/// A lot as it lies in memory, without padding.
const LOT_BYTES: usize = 16 + 8 + 16 + 16 + 8 + 4 + 4;

/// Lots into an image, against zstd at its fastest over the same lots as they are.
pub(super) fn compressed() -> Pair {
    const LOTS: usize = 10_000;
    let lots: Vec<Lot> = lots(LOTS);
    let mut plain = Vec::with_capacity(LOTS * LOT_BYTES);
    for lot in &lots {
        plain.extend_from_slice(&lot.origin.0.to_le_bytes());
        plain.extend_from_slice(&lot.quantity_e8.to_le_bytes());
        plain.extend_from_slice(&lot.cost_e16.to_le_bytes());
        plain.extend_from_slice(&lot.base_cost_e16.to_le_bytes());
        plain.extend_from_slice(&lot.price_e8.to_le_bytes());
        plain.extend_from_slice(&lot.acquired.0.to_le_bytes());
        plain.extend_from_slice(&lot.sub_account.to_le_bytes());
    }
    let (mut out, mut theirs) = (Vec::with_capacity(plain.len() * 2), vec![0u8; plain.len() * 2]);
    let (mut ours, mut limit) = (Best::new(), Best::new());
    for _ in 0..50 {
        out.clear();
        ours.time(LOTS, || compress(black_box(&lots).iter().copied(), &mut out));
        limit.time(LOTS, || {
            black_box(zstd::bulk::compress_to_buffer(black_box(&plain), &mut theirs, 1).expect("room"));
        });
    }
    (ours.get(), limit.get())
}

/// A checkpoint of a book, against writing and syncing as many bytes.
pub(super) fn checkpointed() -> Pair {
    let (mut flow, mut batch, mut scratch) = (Flow::new(POSITIONS), Flow::batch(BATCH), Scratch::new());
    let none = Limits { positions_max: 1, lots_max: 1, ..Limits::HOST };
    let mut state = State::new(none, 1 << 10);
    state.book = book(POSITIONS, LotMethod::Fifo);
    for _ in 0..TRADES / BATCH {
        flow.fill(&mut batch);
        decide_and_apply(&mut state.book, &mut scratch, &batch);
    }
    let (dir, disk) = (temporary(), RealDisk::plain());
    let (mut ours, mut limit) = (Best::new(), Best::new());
    for _ in 0..5 {
        let mut written = None;
        state.sequence += 1;
        ours.time(POSITIONS as usize, || {
            written = Some(checkpoint::write(&disk, dir.path(), 1, &state).expect("written"));
        });
        let bytes = std::fs::read(written.expect("a checkpoint")).expect("read");
        limit.time(POSITIONS as usize, || {
            let path = dir.path().join("plain");
            std::fs::write(&path, &bytes).expect("written");
            let file = std::fs::File::open(&path).expect("a file");
            // SAFETY: a plain system call on an open descriptor.
            assert_eq!(unsafe { libc::fdatasync(file.as_raw_fd()) }, 0);
        });
        std::fs::remove_file(dir.path().join("plain")).expect("removed");
    }
    (ours.get(), limit.get())
}

/// A replay that is late by so many trades, against decide and apply of those alone.
pub(super) fn replayed() -> Pair {
    const COUNT: u64 = 10_000;
    const BY: u64 = 100;
    let list = in_order(COUNT);
    let mut replays = Replays::of(&list);
    let (mut ours, mut limit) = (Best::new(), Best::new());
    for n in 0..99 {
        let input = late(&list, BY, n);
        ours.time(1, || {
            replays.add(black_box(input), true);
            black_box(replays.replay());
        });
    }
    let (before, behind) = list.split_at((COUNT - BY) as usize);
    for _ in 0..9 {
        let (mut book, mut scratch) = (book(1, LotMethod::Fifo), Scratch::new());
        decide_and_apply(&mut book, &mut scratch, before);
        let start = Instant::now();
        decide_and_apply(&mut book, &mut scratch, behind);
        limit = limit.or(start.elapsed());
    }
    (ours.get(), limit.get())
}
