//! Models of the desk and of what is said over it, for the checker: it runs them in every order of steps.
//!
//! The desk is the product's. Around it stands the protocol of decision 0014 with a book made of keys: a trade is late when its key is
//! below one that was booked before. Run with `scripts/models`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

use super::desk::{Asker, Desks, desks};

/// Runs a model with few forced changes of thread: enough for each known way to break the protocol.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn await_answer<T>(asker: &mut Asker<T>) -> T {
    loop {
        match asker.poll() {
            Some(answer) => return answer,
            None => thread::yield_now(),
        }
    }
}

#[test]
fn each_ask_is_answered_once_at_its_own_desk() {
    check(|| {
        let (askers, mut desks) = desks::<u32>(2);
        let threads: Vec<_> = (1..)
            .zip(askers)
            .map(|(number, mut asker)| {
                thread::spawn(move || {
                    asker.ask(number);
                    asker
                })
            })
            .collect();
        let mut served = 0;
        while served < 2 {
            match desks.next() {
                Some((index, ask)) => {
                    assert_eq!(ask, index as u32 + 1);
                    desks.answer(index, ask * 10);
                    served += 1;
                }
                None => thread::yield_now(),
            }
        }
        for (number, thread) in (1..).zip(threads) {
            let mut asker = thread.join().expect("no panic");
            assert_eq!(asker.poll(), Some(number * 10));
            assert_eq!(asker.poll(), None, "once");
        }
        assert!(desks.next().is_none());
    });
}

#[test]
fn a_desk_serves_again_and_again() {
    check(|| {
        let (mut askers, mut desks) = desks::<u32>(1);
        let mut asker = askers.pop().expect("one desk");
        let worker = thread::spawn(move || {
            for ask in [1, 2] {
                asker.ask(ask);
                assert_eq!(await_answer(&mut asker), ask + 100);
            }
        });
        let mut served = 0;
        while served < 2 {
            match desks.next() {
                Some((index, ask)) => {
                    served += 1;
                    assert_eq!(ask, served);
                    desks.answer(index, ask + 100);
                }
                None => thread::yield_now(),
            }
        }
        worker.join().expect("no panic");
    });
}

#[test]
fn who_waits_learns_that_the_shard_is_gone() {
    check(|| {
        let (mut askers, desks) = desks::<u32>(1);
        let mut asker = askers.pop().expect("one desk");
        let shard = thread::spawn(move || drop(desks));
        asker.ask(1);
        while !asker.is_closed() {
            thread::yield_now();
        }
        assert!(asker.is_waiting(), "nobody has answered");
        shard.join().expect("no panic");
    });
}

/// An entry of the log that is no trade: a correction, or a trade booked again.
const NO_TRADE: u64 = u64::MAX;
/// Room in the model's log.
const ENTRIES: usize = 12;
/// Trades that the shard books again behind a replay: one less than may come, so that too many is seen as well.
const TAIL_MOST: usize = 2;

/// The log: entries, and how many are published.
struct Log {
    entries: [AtomicU64; ENTRIES],
    published: AtomicU64,
}

impl Log {
    fn new() -> Self {
        Self { entries: std::array::from_fn(|_| AtomicU64::new(0)), published: AtomicU64::new(0) }
    }

    /// Trades up to a version.
    fn trades(&self, version: usize) -> Vec<u64> {
        let entries = self.entries[..version].iter().map(|entry| entry.load(Ordering::Relaxed));
        entries.filter(|key| *key != NO_TRADE).collect()
    }

    fn version(&self) -> usize {
        // ORDERING: acquire, pairs with the release in `Shard::append`.
        self.published.load(Ordering::Acquire) as usize
    }
}

#[derive(Debug)]
enum Paper {
    Watch,
    Watched(usize),
    Propose { base: usize, outcome: Vec<u64> },
    Verdict(bool),
}

/// The hot thread: the only one that changes the book and the log.
struct Shard {
    log: Arc<Log>,
    desks: Desks<Paper>,
    /// As booked: late ones at the end, until a correction.
    book: Vec<u64>,
    late: usize,
    /// From which version on, and what came since.
    watch: Option<(usize, Vec<u64>)>,
}

impl Shard {
    fn append(&mut self, entries: &[u64]) {
        let at = self.log.version();
        for (slot, entry) in self.log.entries[at..].iter().zip(entries) {
            slot.store(*entry, Ordering::Relaxed);
        }
        // A group is published as one. ORDERING: release, pairs with the acquire in `version`.
        self.log.published.store((at + entries.len()) as u64, Ordering::Release);
    }

    fn book(&mut self, key: u64) {
        self.late += usize::from(self.book.iter().any(|booked| *booked > key));
        self.book.push(key);
    }

    fn trade(&mut self, key: u64) {
        self.append(&[key]);
        self.book(key);
        if let Some((_, since)) = &mut self.watch {
            since.push(key);
            self.watch.take_if(|(_, since)| since.len() > TAIL_MOST);
        }
    }

    fn serve(&mut self) -> bool {
        let Some((desk, paper)) = self.desks.next() else { return false };
        let answer = match paper {
            Paper::Watch => {
                let version = self.log.version();
                self.watch = Some((version, Vec::new()));
                Paper::Watched(version)
            }
            Paper::Propose { base, outcome } => Paper::Verdict(self.consider(base, outcome)),
            answer => answer,
        };
        self.desks.answer(desk, answer);
        true
    }

    fn consider(&mut self, base: usize, outcome: Vec<u64>) -> bool {
        let watch = self.watch.take();
        let version = self.log.version();
        let since = match watch {
            _ if base == version => Vec::new(),
            Some((from, since)) if from == base && from + since.len() == version => since,
            _ => return false,
        };
        self.append(&vec![NO_TRADE; 1 + since.len()]);
        (self.book, self.late) = (outcome, 0);
        since.into_iter().for_each(|key| self.book(key));
        true
    }
}

/// One try of a worker, as `Worker::tries` does: read, replay, propose. Says whether the correction was accepted.
fn reconcile(log: &Log, asker: &mut Asker<Paper>, is_watched: bool) -> bool {
    let version = if is_watched {
        asker.ask(Paper::Watch);
        let Paper::Watched(version) = await_answer(asker) else { panic!("a watch is answered by where it begins") };
        version
    } else {
        log.version()
    };
    let mut outcome = log.trades(version);
    outcome.sort_unstable();
    asker.ask(Paper::Propose { base: version, outcome });
    let Paper::Verdict(accepted) = await_answer(asker) else { panic!("a proposal is answered by a verdict") };
    accepted
}

/// Trades come while a worker reconciles; whatever the order, the book ends as the sorted one, and each correction is at its time what the
/// log's order says.
fn trades_meet_a_worker(keys: &'static [u64], tries: usize, watched_from: usize) {
    check(move || {
        let log = Arc::new(Log::new());
        let (mut askers, desks) = desks::<Paper>(1);
        let mut asker = askers.pop().expect("one desk");
        let mut shard = Shard { log: log.clone(), desks, book: Vec::new(), late: 0, watch: None };
        shard.trade(keys[0]);
        shard.trade(keys[1]);
        let done = Arc::new(AtomicBool::new(false));
        let worker = {
            let (log, done) = (log.clone(), done.clone());
            thread::spawn(move || {
                let _ = (0..tries).any(|attempt| reconcile(&log, &mut asker, attempt >= watched_from));
                done.store(true, Ordering::Relaxed);
                asker
            })
        };
        for key in &keys[2..] {
            shard.trade(*key);
            shard.serve();
        }
        while !done.load(Ordering::Relaxed) {
            shard.serve();
            thread::yield_now();
        }
        let mut asker = worker.join().expect("no panic");
        let mut all = keys.to_vec();
        all.sort_unstable();
        let mut booked = shard.book.clone();
        assert_eq!(shard.late == 0, booked == all, "what is not late is the chronological book");
        booked.sort_unstable();
        assert_eq!(booked, all, "nothing is lost and nothing is there twice");
        // Nothing comes any more: the next try is accepted.
        let last = {
            let log = log.clone();
            thread::spawn(move || assert!(reconcile(&log, &mut asker, false)))
        };
        while !shard.serve() {
            thread::yield_now();
        }
        last.join().expect("no panic");
        assert_eq!((shard.book, shard.late), (all, 0));
    });
}

#[test]
fn a_trade_that_comes_while_a_position_is_replayed_is_not_lost() {
    trades_meet_a_worker(&[2, 1, 3], 2, 1);
}

#[test]
fn trades_behind_a_watched_replay_are_booked_again() {
    trades_meet_a_worker(&[2, 1, 3, 4], 1, 0);
}

#[test]
fn late_trades_behind_a_watched_replay_wait_for_the_next() {
    trades_meet_a_worker(&[4, 3, 5, 1, 2], 2, 0);
}

#[test]
fn more_trades_than_a_shard_books_again_spoil_the_watch() {
    trades_meet_a_worker(&[2, 1, 3, 4, 5], 1, 0);
}
