//! A log without threads: whoever opened it takes the steps of the log thread and of the preparer.

use std::sync::Arc;

use crate::appender::Appender;
use crate::config::LogConfig;
use crate::disk::Disk;
use crate::error::{AppendError, LatchedError, OpenError};
use crate::flusher::{self, Flusher};
use crate::log::Log;
use crate::open::{OpenReport, Opened, begin};
use crate::preparer::{self, Preparer};
use crate::retention::keeper::{Keeper, Kept, act_word};
use crate::stop::DRAIN;

/// Steps that closing takes at most: a tail is a few flushes.
const TURNS_MAX: u32 = 10_000;

/// What a step of the log thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Records became durable.
    Flushed,
    /// Only the watermark was written.
    Watermark,
    /// Nothing to do now.
    Idle,
}

/// What a step of the preparer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// One more segment is ready.
    One,
    /// Enough are.
    Enough,
    /// There is no room.
    NoSpace,
    /// A call failed; the log is latched.
    Latched,
}

/// The log thread's work.
#[derive(Debug)]
pub struct SteppedFlusher(Flusher);

impl SteppedFlusher {
    /// One look, at most one flush. `now_ns` only needs to rise.
    pub fn step(&mut self, now_ns: u64) -> Result<Step, LatchedError> {
        self.0.step(now_ns).map(|step| match step {
            flusher::Step::Flushed => Step::Flushed,
            flusher::Step::Watermark => Step::Watermark,
            flusher::Step::Idle => Step::Idle,
        })
    }
}

/// The preparer's work.
#[derive(Debug)]
pub struct SteppedPreparer(Preparer);

impl SteppedPreparer {
    /// Makes at most one segment.
    pub fn step(&self) -> Prepared {
        match self.0.step() {
            preparer::Prepared::One => Prepared::One,
            preparer::Prepared::Enough => Prepared::Enough,
            preparer::Prepared::NoSpace => Prepared::NoSpace,
            preparer::Prepared::Latched => Prepared::Latched,
        }
    }
}

/// The keeper's work.
#[derive(Debug)]
pub struct SteppedKeeper(Keeper);

impl SteppedKeeper {
    /// The keeper of an open log.
    pub fn of(log: &Arc<Log>) -> Self {
        Self(Keeper::new(Arc::clone(log)))
    }

    /// One look, at most one thing done: what was done, or what failed; `None` when there is nothing to do. `now_ns` only needs to rise.
    pub fn step(&mut self, now_ns: u64) -> Option<Result<&'static str, &'static str>> {
        match self.0.step(now_ns) {
            Kept::Done(act) => Some(Ok(act_word(act))),
            Kept::Failed(act) => Some(Err(act_word(act))),
            Kept::Nothing => None,
        }
    }
}

/// An open log and the steps of its threads.
#[derive(Debug)]
pub struct SteppedLog {
    /// As every log.
    pub log: Arc<Log>,
    /// The one writer. Dropping it stops nothing here; end with [`SteppedLog::close`], or as a crash would, by dropping everything.
    pub appender: Appender,
    /// What opening found and did.
    pub report: OpenReport,
    /// The log thread.
    pub flusher: SteppedFlusher,
    /// The preparer.
    pub preparer: SteppedPreparer,
}

/// As [`open_on`](crate::open_on), without threads.
pub fn open_stepped(config: LogConfig, disk: Arc<dyn Disk>) -> Result<SteppedLog, OpenError> {
    let mut begun = begin(config, disk)?;
    begun.settle()?;
    let Opened { log, appender, report } = begun.opened;
    Ok(SteppedLog {
        log,
        appender,
        report,
        flusher: SteppedFlusher(begun.flusher),
        preparer: SteppedPreparer(begun.preparer),
    })
}

impl SteppedLog {
    /// As [`Appender::close`], taking the steps that are left.
    pub fn close(self, mut now_ns: u64) -> Result<(), LatchedError> {
        let Self { log, mut appender, mut flusher, preparer, .. } = self;
        let mut turns = 0;
        let closed = loop {
            match appender.append_close() {
                Err(AppendError::TailFull) => {
                    preparer.step();
                    turns += 1;
                    assert!(turns < TURNS_MAX, "the log never takes the close record");
                    // A delay that was configured passes.
                    now_ns += 1_000_000_000;
                    if flusher.step(now_ns).is_err() {
                        break false;
                    }
                }
                other => break other.is_ok(),
            }
        };
        log.stop.tell(DRAIN);
        while flusher.0.turn(now_ns).is_some() {
            turns += 1;
            assert!(turns < TURNS_MAX, "the log never drains");
        }
        appender.end(closed)
    }
}
