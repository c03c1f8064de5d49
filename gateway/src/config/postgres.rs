//! `[archive.postgres]`: where every record of the log is archived as a row.

use std::path::PathBuf;
use std::time::Duration;

use lotbook_archiver::CursorClass;
use lotbook_archiver::postgres::sink::SinkTerms;
use lotbook_archiver::postgres::trades::follow::ProjectionTerms;
use lotbook_archiver::postgres::{PgError, Target};
use lotbook_archiver::retry::RetryTerms;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    /// Its address; `None`: there is no such archive.
    pub url: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// A start brings the schema up.
    pub migrate: bool,
    /// The log keeps what is not archived.
    pub required: bool,
    /// Rows that make a batch.
    pub batch_rows: u64,
    /// Rows of a batch where so many wait.
    pub backlog_rows: u64,
    /// After so long fewer make one too.
    pub batch_delay_ms: u64,
    /// For a connection, and for an answer.
    pub timeout_ms: u64,
    /// Failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// How long it stays open.
    pub breaker_open_ms: u64,
}

impl Default for Postgres {
    fn default() -> Self {
        let theirs = RetryTerms::default();
        Self {
            url: None,
            password_file: None,
            migrate: false,
            required: true,
            batch_rows: 5_000,
            backlog_rows: 50_000,
            batch_delay_ms: 5_000,
            timeout_ms: 60_000,
            breaker_failures: theirs.breaks_after,
            breaker_open_ms: u64::try_from(theirs.open_for.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Why there is no address to go to.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is not understood.
    #[error(transparent)]
    Url(#[from] PgError),
    /// The file with the password cannot be read.
    #[error("archive.postgres.password_file {}: {source}", file.display())]
    Password {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Postgres {
    /// The address with its password; `None` where there is no archive. Reads the file.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn target(&self) -> Result<Option<Target>, TargetError> {
        let Some(url) = &self.url else { return Ok(None) };
        let target = Target::parse(url)?;
        let Some(file) = &self.password_file else { return Ok(Some(target)) };
        let password =
            std::fs::read_to_string(file).map_err(|source| TargetError::Password { file: file.clone(), source })?;
        Ok(Some(target.with_password(password.trim_end_matches(['\r', '\n']))))
    }

    /// How long an answer is waited for.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// In the sink's words.
    #[must_use]
    pub fn of_sink(&self, target: Target) -> SinkTerms {
        SinkTerms {
            target,
            shard: 0,
            batch_rows: self.batch_rows,
            backlog_rows: self.backlog_rows.max(self.batch_rows),
            batch_delay: Duration::from_millis(self.batch_delay_ms),
            patience: self.timeout(),
            migrate: self.migrate,
            class: if self.required { CursorClass::Required } else { CursorClass::Rebuildable },
            retry: self.retry(),
        }
    }

    /// In the projection's words.
    #[must_use]
    pub fn of_projection(&self, target: Target) -> ProjectionTerms {
        ProjectionTerms { target, shard: 0, patience: self.timeout(), retry: self.retry() }
    }

    fn retry(&self) -> RetryTerms {
        RetryTerms {
            breaks_after: self.breaker_failures,
            open_for: Duration::from_millis(self.breaker_open_ms),
            ..RetryTerms::default()
        }
    }
}
