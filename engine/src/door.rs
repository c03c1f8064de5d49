//! Doors: a pair of rings, requests in and answers out, between one gateway thread and the shard.

use lotbook_core::amount::Money;
use lotbook_core::command::{Command, Origin};
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::NameId;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::limits::DOOR_SLOTS;

/// A command on its way to the shard.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Comes back in the answer; its meaning is the door's.
    pub token: u64,
    /// Where the command came from.
    pub origin: Origin,
    /// The command.
    pub command: Command,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A trade was decided; the class says how.
    Trade(Class),
    /// An action or a reset was decided; the class says how.
    Action(Class),
    /// Another command took effect.
    Done,
    /// Another command was refused.
    Refused,
    /// Not taken in: the disk has no room. Nothing was recorded; try again later.
    OutOfSpace,
    /// Unknown: the log stopped. Resend after the restart; what was recorded is then a duplicate.
    Unknown,
}

/// An answer. It leaves the shard when the record is in the mapped tail (`applied`); a door that
/// promises more waits until the log's durable sequence has reached [`Answer::sequence`].
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The request's token.
    pub token: u64,
    /// What became of it.
    pub status: Status,
    /// Why it was refused.
    pub reason: Reason,
    /// Class of the first result, for duplicates.
    pub first_class: Class,
    /// The shard whose log has the event; 0 where there is one shard only.
    pub shard: u16,
    /// Log sequence of the event; 0 where there is none.
    pub sequence: u64,
    /// Log sequence of the first result, for duplicates.
    pub first_sequence: u64,
    /// Version of the position after the event.
    pub version: u64,
    /// Number of the position.
    pub position: u32,
    /// Interned number, for a definition.
    pub name: NameId,
    /// Realized by the trade.
    pub realized_e16: Money,
}

impl Answer {
    /// An answer without an event.
    #[must_use]
    pub fn bare(token: u64, status: Status) -> Self {
        Self {
            token,
            status,
            reason: Reason::None,
            first_class: Class::Rejected,
            shard: 0,
            sequence: 0,
            first_sequence: 0,
            version: 0,
            position: u32::MAX,
            name: lotbook_core::id::NO_NAME,
            realized_e16: 0,
        }
    }
}

/// The gateway's side of a door.
#[derive(Debug)]
pub struct Door {
    requests: Producer<Request>,
    answers: Consumer<Answer>,
    outstanding: usize,
}

/// The shard's side of a door.
#[derive(Debug)]
pub(crate) struct DoorEnd {
    pub requests: Consumer<Request>,
    pub answers: Producer<Answer>,
}

/// A new door, both sides.
#[must_use]
pub(crate) fn door() -> (Door, DoorEnd) {
    let (request_in, request_out) = RingBuffer::new(DOOR_SLOTS);
    let (answer_in, answer_out) = RingBuffer::new(DOOR_SLOTS);
    (
        Door { requests: request_in, answers: answer_out, outstanding: 0 },
        DoorEnd { requests: request_out, answers: answer_in },
    )
}

impl Door {
    /// Sends a request. Never blocks.
    ///
    /// # Errors
    /// The request, when [`DOOR_SLOTS`] are in flight: poll for answers first. That is the door's
    /// backpressure; nothing is dropped.
    #[allow(clippy::result_large_err, reason = "the caller gets its request back, as with every ring")]
    pub fn submit(&mut self, request: Request) -> Result<(), Request> {
        if self.outstanding == DOOR_SLOTS {
            return Err(request);
        }
        // Requests in the ring are never more than those outstanding.
        match self.requests.push(request) {
            Ok(()) => {
                self.outstanding += 1;
                Ok(())
            }
            Err(rtrb::PushError::Full(request)) => Err(request),
        }
    }

    /// Takes the next answer, in the order of the requests. Never blocks.
    pub fn poll(&mut self) -> Option<Answer> {
        let answer = self.answers.pop().ok()?;
        self.outstanding -= 1;
        Some(answer)
    }

    /// Requests without their answer.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether another request can be sent now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outstanding < DOOR_SLOTS
    }

    /// Whether the shard is gone: no further answer will come.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.answers.is_abandoned() && self.answers.is_empty()
    }
}
