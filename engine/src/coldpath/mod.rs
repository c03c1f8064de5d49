//! The coldpath: reconciles PROVISIONAL positions on threads of its own.
//!
//! ```text
//! follower -- PROVISIONAL positions --> queue -- lease --> worker: stream along the back-links -> replay -> side log (durable)
//!    ^                                    ^                  |
//!    |                                    +-- failed, later -+-- desk: proposal, verdict --> shard
//!    +------------------ the correction in the log <------------------------------------------+
//! ```
//!
//! The set of PROVISIONAL positions is state; the queue is only its shadow, fed by the follower and rebuilt at every start.
//! For a position a worker walks the back-links of its events, replays the items of its history in chronological order, makes the
//! outcome durable in the side log, and proposes. The shard accepts when the position is still at the version that was
//! replayed. A position that trades on is watched by the shard while the worker replays, and a few trades are booked again behind its
//! correction; see [`watch`]. Workers can be paused, resumed,
//! made more or fewer, and lost, while trading goes on: nothing but the log says what is reconciled.

pub(crate) mod desk;
#[cfg(all(test, loom))]
mod desk_models;
pub(crate) mod group;
pub mod queue;
#[cfg(test)]
mod queue_tests;
pub(crate) mod stream;
mod told;
pub(crate) mod watch;
pub(crate) mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use lotbook_core::date::Date;
use lotbook_core::id::{ChronoKey, NameId, TradeHash};
use lotbook_core::outcome::Outcome;
use parking_lot::{Condvar, Mutex};

use crate::changes::Changes;
use crate::clock::Clock;
use crate::limits::{COLD_GROUP, COLD_WORKERS_MAX, STREAMS_KEPT_BYTES};
use crate::phase::{Phase, Phases};
use crate::side_log::BodyRef;
use queue::{Lease, Queue};
pub use queue::{Level, Order, QueueStatus};
use stream::Streams;

/// How the coldpath runs.
#[derive(Clone, Copy, Debug)]
pub struct ColdConfig {
    /// Workers, 1 to [`COLD_WORKERS_MAX`].
    pub workers: usize,
    /// Core of the first worker, the others take those after it; `None`: not pinned.
    pub core: Option<usize>,
    /// Which position comes first.
    pub order: Order,
    /// Longest time that a position is to be PROVISIONAL: who waits for half of it comes before the order, and who is it for longer is counted.
    pub service_level: Duration,
    /// A worker that has one position for longer is given up, and the position to another.
    pub hung_after: Duration,
    /// What a first retry waits for, give or take a fifth; each further one twice as long.
    pub retry_base: Duration,
    /// Called by a worker as it enters a stage with a position. For tests that plant panics and hangs.
    pub on_stage: Option<fn(Stage, u32)>,
}

impl Default for ColdConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            core: None,
            order: Order::NewestFirst,
            service_level: Duration::from_secs(10),
            hung_after: Duration::from_secs(300),
            retry_base: Duration::from_millis(20),
            on_stage: None,
        }
    }
}

/// Stages of a reconciliation, which fail apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// The position's events are read.
    Load = 0,
    /// Its history is booked anew.
    Replay = 1,
    /// The outcome becomes durable, is proposed and accepted.
    Publish = 2,
}

impl Stage {
    pub(crate) const COUNT: usize = 3;
    /// All stages.
    pub const ALL: [Self; Self::COUNT] = [Self::Load, Self::Replay, Self::Publish];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Replay => "replay",
            Self::Publish => "publish",
        }
    }

    /// How often it is tried again before a person must look; `None`: for ever.
    #[must_use]
    pub fn retries(self) -> Option<u32> {
        match self {
            Self::Load => Some(5),
            Self::Replay => Some(3),
            Self::Publish => None,
        }
    }
}

/// A proposal to the shard.
#[derive(Debug)]
pub struct Proposal {
    /// Position.
    pub position: u32,
    /// Version that was replayed.
    pub base_version: u64,
    /// Changes of history that are in it, as an ordinal.
    pub seen: u32,
    /// The first late trade since the last correction.
    pub cause: TradeHash,
    /// Sequence of its event.
    pub cause_sequence: u64,
    /// Where the outcome's body is.
    pub body: BodyRef,
    /// The outcome itself.
    pub outcome: Box<Outcome>,
}

/// The shard's verdict about a proposal.
#[derive(Debug)]
pub struct Verdict {
    /// Position.
    pub position: u32,
    /// Whether it was accepted.
    pub accepted: bool,
    /// Whether its lots would have found room.
    pub fits: bool,
    /// Version of the position, after the correction and what was booked again behind it where it was accepted.
    pub version: u64,
    /// The outcome, back to be freed.
    pub outcome: Box<Outcome>,
}

/// What lies on a desk: an ask of a worker, or the shard's answer.
#[derive(Debug)]
pub(crate) enum Paper {
    Proposal(Proposal),
    Verdict(Verdict),
    /// Watch this position.
    Watch(u32),
    Watched(Watched),
    /// Watch nothing any more; the answer is the same.
    Unwatch,
}

/// Where a position stands that is watched from here on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub version: u64,
    /// Address of the event of that version.
    pub address: u64,
    /// Ordinal of the newest change of history that the position has seen.
    pub seen: u32,
}

/// Where a PROVISIONAL position stands, as the follower has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Version.
    pub version: u64,
    /// Address of the event of that version.
    pub address: u64,
    /// Account.
    pub account: NameId,
    /// Instrument.
    pub instrument: NameId,
    /// Greatest key that is booked.
    pub frontier: ChronoKey,
    /// Multiplier of the instrument.
    pub multiplier_e8: i64,
    /// Ordinal of the newest change of history that the position has seen.
    pub seen: u32,
    /// Late changes since the last correction.
    pub late: u32,
    /// The last day that is closed for its account: it stays as long as the position is PROVISIONAL.
    pub closed_through: Date,
}

/// A position that cannot be reconciled without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position.
    pub position: u32,
    /// Its account.
    pub account: NameId,
    /// Its instrument.
    pub instrument: NameId,
    /// Version at which it was tried.
    pub version: u64,
    /// The stage that failed once too often.
    pub stage: Stage,
    /// Why.
    pub error: String,
    /// Its history could not be read: it is tried again when an archive may be back.
    pub unread: bool,
}

/// What the workers have done since the start. Statistics: relaxed atomics.
#[derive(Debug, Default)]
pub struct ColdCounters {
    panics: AtomicU64,
    hangs: AtomicU64,
    retries: [AtomicU64; Stage::COUNT],
    buried: AtomicU64,
    reconciled: AtomicU64,
    replayed: AtomicU64,
    /// Breaches of the service level that no message has told yet, and when one may next, in microseconds.
    untold: AtomicU64,
    tell_from_us: AtomicU64,
}

/// Positions that overstay the service level are told in one message a minute, however many there are.
const BREACHES_TOLD_EVERY: Duration = Duration::from_mins(1);

impl ColdCounters {
    /// Panics of workers that were caught; each position was tried again.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Workers that were given up because they had one position for too long.
    #[must_use]
    pub fn hangs(&self) -> u64 {
        self.hangs.load(Ordering::Relaxed)
    }

    /// Tries that failed in a stage.
    #[must_use]
    pub fn failures(&self, stage: Stage) -> u64 {
        self.retries[stage as usize].load(Ordering::Relaxed)
    }

    /// Dead letters ever written.
    #[must_use]
    pub fn buried(&self) -> u64 {
        self.buried.load(Ordering::Relaxed)
    }

    /// Corrections that were accepted.
    #[must_use]
    pub fn corrections(&self) -> u64 {
        self.reconciled.load(Ordering::Relaxed)
    }

    /// Items that were booked anew.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    pub(crate) fn note_correction(&self) {
        self.reconciled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_items(&self, items: u64) {
        self.replayed.fetch_add(items, Ordering::Relaxed);
    }

    pub(crate) fn note_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}

/// The coldpath as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdStatus {
    /// Sizes and counts of the queue.
    pub queue: QueueStatus,
    /// The alarm about its length.
    pub level: Level,
    /// Whether it is paused.
    pub paused: bool,
    /// Workers that are wanted.
    pub workers: usize,
    /// Workers that run, hung ones left out.
    pub running: usize,
    /// Dead letters, by position.
    pub dead_letters: Vec<DeadLetter>,
}

/// The coldpath's queue and controls: what follower, workers and operators share.
#[derive(Debug)]
pub struct ColdQueue {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// For the group: its size, or that the host stops.
    control: Condvar,
    /// Contracts and actions, as the follower has seen them.
    pub(crate) changes: Changes,
    pub(crate) streams: Mutex<Streams>,
    counters: ColdCounters,
    paused: AtomicBool,
    stop: AtomicBool,
    workers: AtomicUsize,
    running: AtomicUsize,
    clock: Clock,
    config: ColdConfig,
}

impl ColdQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(config: ColdConfig, running: bool, clock: Clock) -> Self {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            queue: Mutex::new(Queue::new(config.order, us(config.service_level), us(config.retry_base))),
            changed: Condvar::new(),
            control: Condvar::new(),
            changes: Changes::default(),
            streams: Mutex::new(Streams::new(STREAMS_KEPT_BYTES)),
            counters: ColdCounters::default(),
            paused: AtomicBool::new(!running),
            stop: AtomicBool::new(false),
            workers: AtomicUsize::new(config.workers.clamp(1, COLD_WORKERS_MAX)),
            running: AtomicUsize::new(0),
            clock,
            config,
        }
    }

    fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn config(&self) -> &ColdConfig {
        &self.config
    }

    /// The follower saw an event of a PROVISIONAL position.
    pub fn seen(&self, position: u32, head: Head) {
        if self.queue.lock().seen(position, head, self.now_us()) {
            self.changed.notify_all();
        }
    }

    /// The follower saw a correction; `left`: the position waits for another.
    pub fn corrected(&self, position: u32, left: Option<Head>) {
        if self.queue.lock().corrected(position, left, self.now_us()) {
            self.changed.notify_all();
        }
    }

    /// Lets the workers go on.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Release);
        self.changed.notify_all();
    }

    /// Lets the workers end their positions and wait.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Release);
    }

    /// Sets the number of workers, within 1 and [`COLD_WORKERS_MAX`]; says what it is. Positions under way are ended first.
    pub fn resize(&self, workers: usize) -> usize {
        let workers = workers.clamp(1, COLD_WORKERS_MAX);
        self.workers.store(workers, Ordering::Release);
        let _queue = self.queue.lock();
        self.changed.notify_all();
        self.control.notify_all();
        workers
    }

    /// Tries dead letters again: that of one position, or all. Says how many there were.
    pub fn retry(&self, position: Option<u32>) -> usize {
        let count = self.queue.lock().retry(position, self.now_us());
        self.changed.notify_all();
        count
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // Under the lock, so that nobody looks before and waits after.
        let _queue = self.queue.lock();
        self.changed.notify_all();
        self.control.notify_all();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Acquire)
    }

    pub(crate) fn set_running(&self, running: usize) {
        self.running.store(running, Ordering::Release);
    }

    /// Positions that wait, are served, or are dead letters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.lock().len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions that a person must look at.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.queue.lock().dead_letters().cloned().collect()
    }

    /// What the workers have done.
    #[must_use]
    pub fn counters(&self) -> &ColdCounters {
        &self.counters
    }

    /// All that an operator wants to see.
    #[must_use]
    pub fn status(&self) -> ColdStatus {
        let mut queue = self.queue.lock();
        let status = queue.status(self.now_us());
        ColdStatus {
            queue: status,
            level: queue.level(),
            paused: self.paused.load(Ordering::Acquire),
            workers: self.workers(),
            running: self.running.load(Ordering::Acquire),
            dead_letters: queue.dead_letters().cloned().collect(),
        }
    }

    /// The next positions for a worker, which blocks until there is one; `None`: it is to end. Several where so many wait that all
    /// workers have enough.
    pub(crate) fn next(&self, phases: &Phases, is_wanted: impl Fn() -> bool) -> Option<Vec<Lease>> {
        let mut queue = self.queue.lock();
        loop {
            if self.stopped() || !is_wanted() {
                return None;
            }
            let now_us = self.now_us();
            if !self.paused.load(Ordering::Acquire)
                && let Some(lease) = queue.take(now_us)
            {
                phases.set(Phase::Correction, true);
                let mut leases = vec![lease];
                let share = (queue.ready() / (2 * self.workers())).min(COLD_GROUP - 1);
                leases.extend((0..share).map_while(|_| queue.take(now_us)));
                return Some(leases);
            }
            let until_us = queue.next_us().unwrap_or(u64::MAX).saturating_sub(now_us);
            let wait = Duration::from_micros(until_us).clamp(Duration::from_millis(1), Duration::from_millis(50));
            self.clock.wait_for(&self.changed, &mut queue, wait);
        }
    }

    /// Waits until the group may have something to look after: a size, a stop, or its time.
    pub(crate) fn await_control(&self, longest: Duration) {
        let mut queue = self.queue.lock();
        if !self.stopped() {
            self.control.wait_for(&mut queue, longest);
        }
    }

    pub(crate) fn head(&self, lease: Lease) -> Option<Head> {
        self.queue.lock().head(lease)
    }

    pub(crate) fn settled(&self, lease: Lease, version: u64, phases: &Phases) {
        let mut queue = self.queue.lock();
        queue.settled(lease, version, self.now_us());
        self.ended(&mut queue, phases);
    }

    /// Back among those that wait, if it is still to be reconciled.
    pub(crate) fn put_back(&self, lease: Lease, phases: &Phases) {
        let mut queue = self.queue.lock();
        queue.put_back(lease, self.now_us());
        self.ended(&mut queue, phases);
    }

    pub(crate) fn failed(&self, lease: Lease, stage: Stage, error: String, unread: bool, phases: &Phases) {
        self.counters.retries[stage as usize].fetch_add(1, Ordering::Relaxed);
        let position = lease.position;
        tracing::debug!(position, stage = stage.as_str(), error, "a reconciliation failed");
        let mut queue = self.queue.lock();
        if queue.failed(lease, stage, error.clone(), unread, self.now_us()) {
            self.counters.buried.fetch_add(1, Ordering::Relaxed);
            tracing::error!(position, stage = stage.as_str(), error, "position cannot be reconciled");
        }
        self.ended(&mut queue, phases);
    }

    fn ended(&self, queue: &mut Queue, phases: &Phases) {
        if queue.busy() == 0 {
            phases.set(Phase::Correction, false);
        }
        self.changed.notify_all();
    }

    /// Looks after what is overdue and what hangs; gives the positions that were taken away.
    pub(crate) fn watch(&self) -> Vec<u32> {
        let limit_us = u64::try_from(self.config.hung_after.as_micros()).unwrap_or(u64::MAX);
        let mut queue = self.queue.lock();
        let now_us = self.now_us();
        let breaches = queue.note_breaches(now_us);
        self.tell_breaches(breaches, now_us);
        let hung = queue.expire(limit_us, now_us);
        self.counters.hangs.fetch_add(hung.len() as u64, Ordering::Relaxed);
        for position in &hung {
            tracing::error!(position, "a worker hangs; its position is given to another");
        }
        hung
    }

    fn tell_breaches(&self, breaches: u64, now_us: u64) {
        // Only the thread that watches comes here.
        let untold = self.counters.untold.load(Ordering::Relaxed) + breaches;
        let tells = untold > 0 && now_us >= self.counters.tell_from_us.load(Ordering::Relaxed);
        self.counters.untold.store(if tells { 0 } else { untold }, Ordering::Relaxed);
        if tells {
            let next_us = now_us + BREACHES_TOLD_EVERY.as_micros() as u64;
            self.counters.tell_from_us.store(next_us, Ordering::Relaxed);
            tracing::warn!(positions = untold, "positions were PROVISIONAL for longer than the service level");
        }
    }

    /// Tries the positions again whose history could not be read.
    pub(crate) fn retry_unread(&self) {
        if self.queue.lock().retry_unread(self.now_us()) > 0 {
            self.changed.notify_all();
        }
    }
}
