//! A line: the house's end of a lane, with what is in flight on it counted, and waiting for an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lotbook_core::command::Origin;

use crate::door::Answer;
use crate::lanes::{Lane, LaneCommand, LaneRequest};
use crate::limits::LANE_SLOTS;
use crate::wait::{WaitKind, Waiter};

/// The shard, or the house, is gone: no answer will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A lane and what is in flight on it.
#[derive(Debug)]
pub(crate) struct Line {
    lane: Lane,
    in_flight: usize,
}

impl Line {
    pub(crate) fn new(lane: Lane) -> Self {
        Self { lane, in_flight: 0 }
    }

    /// Sends; the caller has fewer than [`LANE_SLOTS`] in flight.
    pub(crate) fn send(&mut self, origin: Origin, what: LaneCommand) {
        assert!(self.in_flight < LANE_SLOTS);
        let pushed = self.lane.requests.push(LaneRequest { token: 0, origin, what });
        assert!(pushed.is_ok(), "requests in the ring are never more than those in flight");
        self.in_flight += 1;
    }

    /// Waits for the next answer, in the order of the requests.
    ///
    /// # Errors
    /// [`Gone`].
    pub(crate) fn wait(&mut self, crashed: &AtomicBool) -> Result<Answer, Gone> {
        let mut waiter = Waiter::with_sleep(WaitKind::Park, Duration::from_micros(20));
        loop {
            if let Ok(answer) = self.lane.answers.pop() {
                self.in_flight -= 1;
                return Ok(answer);
            }
            let is_gone = self.lane.answers.is_abandoned() && self.lane.answers.is_empty();
            if is_gone || crashed.load(Ordering::Acquire) {
                return Err(Gone);
            }
            waiter.idle();
        }
    }

    /// Sends and waits.
    ///
    /// # Errors
    /// [`Gone`].
    pub(crate) fn ask(&mut self, origin: Origin, what: LaneCommand, crashed: &AtomicBool) -> Result<Answer, Gone> {
        self.send(origin, what);
        self.wait(crashed)
    }
}
