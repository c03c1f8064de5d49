//! `[archive.redis]`: where the positions are shown to others, and how hard it is tried.

use std::path::PathBuf;
use std::time::Duration;

use lotbook_archiver::redis::RedisConfig;
use lotbook_archiver::retry::RetryTerms;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Host and port; `None`: there is no such sink.
    pub address: Option<String>,
    /// Number of the database.
    pub database: u32,
    /// User; `None`: the default one.
    pub user: Option<String>,
    /// File with the password; `None`: no login.
    pub password_file: Option<PathBuf>,
    /// In front of all keys and channels.
    pub prefix: String,
    /// Between two looks at what changed.
    pub interval_ms: u64,
    /// Positions in a transaction.
    pub batch: u32,
    /// For a connection, and for an answer.
    pub timeout_ms: u64,
    /// Failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// How long it stays open.
    pub breaker_open_ms: u64,
}

impl Default for Redis {
    fn default() -> Self {
        let theirs = RetryTerms::default();
        Self {
            address: None,
            database: 0,
            user: None,
            password_file: None,
            prefix: String::new(),
            interval_ms: 50,
            batch: 512,
            timeout_ms: 5_000,
            breaker_failures: theirs.breaks_after,
            breaker_open_ms: u64::try_from(theirs.open_for.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Redis {
    /// In the sink's words, where there is one.
    #[must_use]
    pub fn of_sink(&self) -> Option<RedisConfig> {
        Some(RedisConfig {
            address: self.address.clone()?,
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            database: self.database,
            prefix: self.prefix.clone(),
            interval: Duration::from_millis(self.interval_ms),
            batch: self.batch as usize,
            timeout: Duration::from_millis(self.timeout_ms),
            retry: RetryTerms {
                breaks_after: self.breaker_failures,
                open_for: Duration::from_millis(self.breaker_open_ms),
                ..RetryTerms::default()
            },
        })
    }
}
