//! Errors of starting and running a host. Each says what happened and what became durable.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lotbook_core::image::ImageError;

/// A host did not start. Nothing was acknowledged by this start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A log could not be opened.
    #[error("cannot open the log in {dir}: {source}")]
    Log {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        source: lotbook_wal::OpenError,
    },
    /// A log could not be read back.
    #[error("cannot read the log in {dir}: {source}")]
    Read {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        source: lotbook_wal::ReadError,
    },
    /// An event in the log cannot be applied: damage that checksums cannot see, or a later release.
    #[error("event {sequence} of the log cannot be applied: {what}")]
    Event {
        /// Its sequence.
        sequence: u64,
        /// Why.
        what: String,
    },
    /// The log begins after the newest checkpoint ends.
    #[error("the log begins at event {first} and no checkpoint reaches it")]
    Gap {
        /// First sequence in the log.
        first: u64,
    },
    /// What the start needs is in archived segments that are neither here nor where archives are.
    #[error(
        "{source}: {segments} archived segments of {}, records {} to {}, are neither here nor in an archive within reach ({place}); \
         bring the archive back, or name it",
        dir.display(), sequences.0, sequences.1
    )]
    Missing {
        /// The log's directory.
        dir: PathBuf,
        /// How many segments.
        segments: usize,
        /// First and last sequence in them.
        sequences: (u64, u64),
        /// Where they were looked for, in words.
        place: String,
        /// What failed for want of them.
        source: Box<StartError>,
    },
    /// The directory holds another number of shards, or was made by another release.
    #[error("{dir}: {what}")]
    Layout {
        /// The data directory.
        dir: PathBuf,
        /// What does not fit, and what to do.
        what: String,
    },
    /// What one shard has could not be given to another one that lacks it.
    #[error("shard {shard} lacks what the others have, and cannot be given it: {what}")]
    Shard {
        /// The shard.
        shard: u16,
        /// Why.
        what: String,
    },
    /// The host's own cursor cannot be used.
    #[error("retention: {0}")]
    Cursor(#[from] lotbook_wal::CursorError),
    /// A checkpoint holds more than the limits allow.
    #[error("the checkpoint {path} {source}; raise the limits")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// A file or directory operation failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A running host stopped working. Acknowledged trades up to the durable sequence are in the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HostError {
    /// A write or sync of a log failed. It is latched; restart recovers what is durable.
    #[error("the log stopped: {0}")]
    Latched(String),
    /// A follower and the shard disagree: a defect or broken memory.
    #[error("the follower stopped at event {sequence}: {what}")]
    Diverged {
        /// Event at which it was seen.
        sequence: u64,
        /// What differs.
        what: String,
    },
    /// Shards of a house do not have the same: a defect. Nothing more is taken in; a restart gives each what the others have.
    #[error("the shards disagree: {0}")]
    Disagree(String),
    /// A thread panicked.
    #[error("the {0} thread panicked")]
    Panicked(&'static str),
    /// A checkpoint could not be written; the log goes on.
    #[error("checkpoint: {0}")]
    Checkpoint(Arc<io::Error>),
}
