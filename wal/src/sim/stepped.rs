//! A log without threads: whoever opened it takes the steps of the log thread and of the preparer.

use std::sync::Arc;

use crate::appender::Appender;
use crate::config::LogConfig;
use crate::disk::{Disk, DiskError};
use crate::error::{AppendError, LatchedError, OpenError};
use crate::flight::Flight;
use crate::flusher::{self, Flusher, Look};
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
    /// Records were written and synced; they are durable once every flush before is.
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

/// The log threads' work.
#[derive(Clone, Debug)]
pub struct SteppedFlusher(Arc<Flusher>);

impl SteppedFlusher {
    /// One look, at most one flush from its beginning to its end. `now_ns` only needs to rise.
    pub fn step(&self, now_ns: u64) -> Result<Step, LatchedError> {
        self.0.step(now_ns).map(Step::from)
    }

    /// One look: a flush that has begun, and that others may overtake.
    pub fn begin(&self, now_ns: u64) -> Result<Option<SteppedFlight>, LatchedError> {
        let look = self.0.look(now_ns)?;
        let Look::Begun(flight) = look else { return Ok(None) };
        Ok(Some(SteppedFlight { flusher: Arc::clone(&self.0), flight: Some(flight), stage: Stage::Begun }))
    }

    /// The highest durable sequence that a slot of a durable flush names.
    pub fn witnessed(&self) -> u64 {
        self.0.witnessed()
    }
}

/// How far a flush is.
#[derive(Debug)]
enum Stage {
    Begun,
    Written,
    Synced,
    /// A call has failed, and the log does not know yet.
    Failed(DiskError),
}

/// A flush under way: written, then synced, then told. Where a call fails, another stage tells the log: a thread may be stopped between
/// the two.
#[derive(Debug)]
pub struct SteppedFlight {
    flusher: Arc<Flusher>,
    flight: Option<Box<Flight>>,
    stage: Stage,
}

impl SteppedFlight {
    /// The next stage; what the flush did once it was the last one. After a failure, or the last stage, there is nothing more to do.
    pub fn advance(&mut self) -> Result<Option<Step>, LatchedError> {
        let Some(mut flight) = self.flight.take() else { return Ok(Some(Step::Idle)) };
        match &self.stage {
            Stage::Begun => {
                self.flusher.go_on()?;
                self.stage = flight.write(self.flusher.tail()).map_or_else(Stage::Failed, |()| Stage::Written);
            }
            Stage::Written => {
                self.flusher.go_on()?;
                self.stage = flight.sync().map_or_else(Stage::Failed, |()| Stage::Synced);
            }
            Stage::Synced => return Ok(Some(self.flusher.land(*flight)?.into())),
            Stage::Failed(error) => return Err(self.flusher.fail(error)),
        }
        self.flight = Some(flight);
        Ok(None)
    }

    /// All stages that are left.
    pub fn finish(mut self) -> Result<Step, LatchedError> {
        loop {
            if let Some(step) = self.advance()? {
                return Ok(step);
            }
        }
    }
}

impl From<flusher::Step> for Step {
    fn from(step: flusher::Step) -> Self {
        match step {
            flusher::Step::Flushed => Step::Flushed,
            flusher::Step::Watermark => Step::Watermark,
            flusher::Step::Idle => Step::Idle,
        }
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
        let Self { log, mut appender, flusher, preparer, .. } = self;
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
        while flusher.0.turn_and_fly(now_ns).is_some() {
            turns += 1;
            assert!(turns < TURNS_MAX, "the log never drains");
        }
        appender.end(closed)
    }
}
