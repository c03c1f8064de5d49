//! Where a load goes: a target, and the doors that its senders open there.
//!
//! A door of another kind (a broker's topic, for one) is one more implementation of [`Door`]; the generator knows nothing of what lies behind.

use crate::ledger::{Ledger, Status};
use std::time::Duration;

/// A host under load, as far as the generator is concerned: something that opens doors.
pub trait Target: Sync {
    /// What it is, for reports.
    fn describe(&self) -> String;

    /// A door for sender `number`, on the sender's own thread from then on. May block until it is open.
    ///
    /// # Errors
    /// Why there is none.
    fn open(&self, number: u32) -> Result<Box<dyn Door>, DoorError>;
}

/// One sender's way in. No call but [`Self::wait`] and [`Self::close`] blocks.
pub trait Door: Send {
    /// Takes message `index` of the ledger, or says `false` where there is no room now: the message stays due, and its latency goes on counting.
    ///
    /// # Errors
    /// The door is broken; nothing more will come from it.
    fn offer(&mut self, ledger: &Ledger, index: u32) -> Result<bool, DoorError>;

    /// Sends on what was taken, and adds to `replies` what has been answered since.
    ///
    /// # Errors
    /// The door is broken; `replies` holds what came before.
    fn turn(&mut self, replies: &mut Vec<Reply>) -> Result<(), DoorError>;

    /// Blocks until something may have come, at most so long.
    fn wait(&mut self, at_most: Duration);

    /// Says goodbye; nothing is outstanding any more, or nobody waits for it.
    fn close(&mut self) {}
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its index in the ledger.
    pub index: u32,
    /// What became of it; [`Status::Sent`] where the host says that it does not know.
    pub status: Status,
    /// Log sequence of its own event; 0 where there is none, or where the door does not tell it of a duplicate.
    pub sequence: u64,
    /// Of a duplicate: the log sequence of the first result.
    pub first: Option<u64>,
    /// Why it was refused.
    pub code: Option<String>,
}

/// Why a door is broken.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A socket or the operating system.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The host closed it, or has stopped.
    #[error("the host closed the door")]
    Closed,
    /// The host says something that cannot be understood.
    #[error("the host's answer cannot be understood: {0}")]
    Answer(String),
    /// The host refuses to be loaded.
    #[error("the host refuses: {0}")]
    Refused(String),
}
