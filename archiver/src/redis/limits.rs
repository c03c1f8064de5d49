//! Bounds of the Redis sink, and the relations between them.

use std::time::Duration;

/// Longest line, text or error of an answer, in bytes.
pub(super) const REPLY_BYTES_MAX: usize = 1 << 20;
/// Most elements of one answer: names of the positions of one account among them.
pub(super) const REPLY_ELEMENTS_MAX: usize = 1 << 20;
/// Answers within answers.
pub(super) const REPLY_DEPTH_MAX: usize = 4;
/// Bytes that are read from a connection at a time.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Positions in a batch, at most: what may be under way and must be sent again after a failure.
pub const BATCH_MAX: usize = 10_000;
/// A batch ends early when its commands have so many bytes.
pub(super) const BATCH_BYTES: usize = 4 << 20;
/// Accounts whose fields are compared at a time, when what nobody has any more is removed.
pub(super) const PRUNE_ACCOUNTS: usize = 64;
/// Between two looks at a Redis for which there is nothing to write.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A stop, or a peer's silence, is noticed within so long.
pub(super) const STEP: Duration = Duration::from_millis(50);
/// A Redis that throws keys away is written anew no more often.
pub(super) const EVICTED_EVERY: Duration = Duration::from_secs(60);

const _: () = assert!(READ_BYTES <= REPLY_BYTES_MAX);
const _: () = assert!(BATCH_MAX <= REPLY_ELEMENTS_MAX);
