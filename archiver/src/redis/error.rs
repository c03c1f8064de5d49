//! Why the Redis sink could not do what it wanted to.

use std::io;
use std::time::Duration;

/// What failed. Nothing that the host promised depends on it; the sink tries again by itself.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// No connection came about.
    #[error("{address}: cannot be connected to: {source}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// The system's words.
        source: io::Error,
    },
    /// The password file cannot be read.
    #[error("{file}: the password of Redis cannot be read: {source}")]
    Password {
        /// The file.
        file: String,
        /// The system's words.
        source: io::Error,
    },
    /// The connection broke. What was under way may have been done or not, and is sent again.
    #[error("the connection to Redis broke: {0}")]
    Broken(io::Error),
    /// No answer in time. What was under way may still be done, until the next connection forbids it.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    Silent(Duration),
    /// A command was refused.
    #[error("Redis refuses {command}: {words}")]
    Refused {
        /// The command.
        command: &'static str,
        /// Redis's code and words.
        words: String,
    },
    /// The peer speaks something else than Redis.
    #[error("what answers is no Redis: {0}")]
    Protocol(&'static str),
    /// The database holds the positions of another log.
    #[error(
        "this Redis database holds the positions of log {theirs}, and this host writes log {ours}: give archive.redis.prefix or another \
         database, or hand it over by deleting the key {key}"
    )]
    ForeignLog {
        /// The log of the database.
        theirs: String,
        /// The log of this host.
        ours: String,
        /// The marker's key.
        key: String,
    },
    /// A later opening of the same log writes there.
    #[error(
        "a later opening of this log (epoch {theirs}, this is {ours}) writes to this Redis database: this process gives way"
    )]
    LaterEpoch {
        /// The epoch in the database.
        theirs: u64,
        /// The epoch of this process.
        ours: u64,
    },
    /// The host's log takes no more: what is not durable never leaves.
    #[error("the log makes nothing durable any more: {0}")]
    NotDurable(String),
    /// The sink was told to stop.
    #[error("stopped")]
    Stopped,
}

impl RedisError {
    pub(super) fn refused(command: &'static str, words: String) -> Self {
        Self::Refused { command, words }
    }
}

impl PartialEq for RedisError {
    /// By what is said: for tests.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}
