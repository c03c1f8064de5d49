//! The log without a machine: a simulated disk, and the log's threads as steps that a test takes.
//!
//! Compiled under the feature `sim` alone, which the crate's own tests switch on. Everything here is decided by a seed: the same seed
//! gives the same calls in the same order with the same bytes.
//!
//! - [`SimDisk`] is a [`Disk`](crate::Disk) that keeps what a system sees apart from what survives a power cut. It loses, tears,
//!   reorders and misplaces what was not synced, fails any call, fills up, and stops at any call.
//! - [`open_stepped`] opens a log that has no threads. Its [`SteppedFlusher`] and [`SteppedPreparer`] do one step when told to; several
//!   flushes may be under way, each a [`SteppedFlight`] that takes its stages when told to. The sync of one answers for that one alone.
//! - [`interleave`] runs something between any two calls of a step: that is how an append comes in the middle of a flush.
//! - [`plant`] makes the log wrong in one of the ways of [`Bug`], to show that some test notices.

mod call;
mod disk;
mod file;
mod flush;
mod hand;
mod handle;
mod interleave;
mod names;
mod random;
mod stepped;

pub use crate::planted::{Bug, plant, planted};
pub use call::{Call, Cut, Failed, Failure, Stop};
pub use disk::SimDisk;
pub(crate) use flush::flush_of;
pub use hand::{Hand, Picture};
pub use interleave::interleave;
pub use random::Random;
pub use stepped::{
    Prepared, Step, SteppedFlight, SteppedFlusher, SteppedKeeper, SteppedLog, SteppedPreparer, open_stepped,
};

/// The unit in which a write is torn.
pub const SECTOR_BYTES: usize = 512;
