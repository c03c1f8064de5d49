//! What can go wrong between the log and Postgres, and who can mend it.

use std::time::Duration;

use lotbook_wal::{CursorError, LogPosition, OpenError, ReadError};
use tokio_postgres::error::SqlState;

use super::row::RowError;

/// Why the archive could not be held against a log, or made anew from it. What was archived is whole batches, up to where its cursor is.
#[derive(Debug, thiserror::Error)]
pub enum FromLogError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] PgError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The log's start is not within reach, and names are defined there. Nothing was changed.
    #[error("the log begins at sequence {first}; name the archive directory that its segments were shipped to")]
    Begins {
        /// First record within reach.
        first: u64,
    },
}

/// Why the archive cannot go on. The rows of an unfinished batch are not there, unless the variant says that it is not known: then the
/// cursor in the database knows, and is asked before anything is written again.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The address or its parameters are not understood.
    #[error("archive.postgres.url: {0}")]
    Url(tokio_postgres::Error),
    /// The address asks for an encrypted connection, which this version does not make.
    #[error(
        "archive.postgres.url asks for sslmode=require, and this version has no TLS; put a proxy that has in front"
    )]
    Tls,
    /// No connection, or no session on it.
    #[error("connecting to Postgres: {}", words(.0))]
    Connect(tokio_postgres::Error),
    /// Postgres did not do what it was asked. After a commit it is not known whether it did.
    #[error("{doing}: {}", words(.source))]
    Sql {
        /// What was asked.
        doing: &'static str,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// No answer in time. After a commit it is not known whether it was done.
    #[error("{doing}: no answer within {} s", .after.as_secs_f32())]
    Timeout {
        /// What was asked.
        doing: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The schema is of an earlier program.
    #[error(
        "the schema is at version {found} and this program writes {wanted}: run `lotbook archive migrate`, or set archive.postgres.migrate"
    )]
    SchemaOlder {
        /// What is there; 0 for nothing.
        found: i32,
        /// What is wanted.
        wanted: i32,
    },
    /// The schema is of a later program.
    #[error(
        "the schema is at version {found} and this program knows {wanted}: it was brought up by a later one, which must be used"
    )]
    SchemaNewer {
        /// What is there.
        found: i32,
        /// What is known.
        wanted: i32,
    },
    /// A version was applied from another text.
    #[error(
        "version {version} of the schema was applied from another text than this program's: it is not known what the tables are"
    )]
    SchemaChanged {
        /// The version.
        version: i32,
    },
    /// The cursor in the database is not one that was written by this program.
    #[error("archive_cursor of shard {shard} cannot be read: {what}")]
    CursorRow {
        /// The shard.
        shard: i16,
        /// What is wrong.
        what: String,
    },
    /// The log does not hold what the archive's cursor names, or not any more.
    #[error("the archive and the log do not belong together: {0}")]
    Cursor(CursorError),
    /// Somebody else has moved the cursor since it was read.
    #[error("the archive's cursor is no more at {at}: another host writes into it")]
    OtherWriter {
        /// Where it was.
        at: LogPosition,
    },
    /// Somebody else projects trades into the same archive.
    #[error("the cursor of trades is no more at sequence {sequence}: somebody else moves it")]
    OtherProjection {
        /// Where it was.
        sequence: i64,
    },
    /// An amendment of a trade that is parked.
    #[error("record {sequence} amends a trade that is parked")]
    TradeParked {
        /// The amendment.
        sequence: i64,
    },
    /// An amendment, or its trade, that does not say what one says.
    #[error("record {sequence} amends a trade, and the archive's words of them are not understood")]
    AmendmentWords {
        /// The amendment.
        sequence: i64,
    },
    /// A group of records of which the rest did not become durable.
    #[error("the decision before record {sequence} is unfinished in the log")]
    Unfinished {
        /// The record that is wanted.
        sequence: u64,
    },
    /// A record cannot be made a row; nothing is passed over.
    #[error("record {sequence}: {source}")]
    Row {
        /// The record.
        sequence: u64,
        /// Why.
        source: RowError,
    },
    /// The log cannot be read.
    #[error("reading the log: {0}")]
    Log(#[from] ReadError),
    /// The log, which is open for reading only, cannot be read.
    #[error("reading the log: {0}")]
    Open(OpenError),
    /// The log's own cursor cannot be moved; the rows are in the database.
    #[error("moving the log's cursor: {0}")]
    Hold(CursorError),
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Time: it is tried again.
    Time,
    /// A person. It is looked at again from time to time.
    Person,
}

impl PgError {
    /// Who can mend it: by variant and SQLSTATE, never by text.
    #[must_use]
    pub fn mend(&self) -> Mend {
        match self {
            Self::Connect(source) | Self::Sql { source, .. } => of_state(source.code()),
            Self::Timeout { .. }
            | Self::OtherWriter { .. }
            | Self::OtherProjection { .. }
            | Self::Unfinished { .. } => Mend::Time,
            Self::Hold(CursorError::Disk(_)) | Self::Log(ReadError::Disk(_)) => Mend::Time,
            _ => Mend::Person,
        }
    }
}

fn of_state(state: Option<&SqlState>) -> Mend {
    // Without a state it was the connection.
    let Some(state) = state else { return Mend::Time };
    match &state.code()[..2] {
        // Connection, resources (a full disk, too many connections), operator's intervention, rollback, the system.
        "08" | "53" | "57" | "40" | "58" | "55" => Mend::Time,
        _ => Mend::Person,
    }
}

/// What the server said, with the details that its own text leaves out.
fn words(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else {
        // The outer text is general; what it was caused by says what happened.
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text = format!("{text}: {inner_text}");
            }
            cause = inner.source();
        }
        return text;
    };
    let mut text = format!("{} (SQLSTATE {})", said.message(), said.code().code());
    for more in [said.detail(), said.hint()].into_iter().flatten() {
        text = format!("{text}; {more}");
    }
    text
}

/// Says what was being done when a statement failed.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, PgError>;
}

impl<T> Doing<T> for Result<T, tokio_postgres::Error> {
    fn doing(self, doing: &'static str) -> Result<T, PgError> {
        self.map_err(|source| PgError::Sql { doing, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_say_who_can_mend() {
        for (state, mend) in [
            (None, Mend::Time),
            (Some(SqlState::ADMIN_SHUTDOWN), Mend::Time),
            (Some(SqlState::CANNOT_CONNECT_NOW), Mend::Time),
            (Some(SqlState::DISK_FULL), Mend::Time),
            (Some(SqlState::TOO_MANY_CONNECTIONS), Mend::Time),
            (Some(SqlState::T_R_SERIALIZATION_FAILURE), Mend::Time),
            (Some(SqlState::INVALID_PASSWORD), Mend::Person),
            (Some(SqlState::INVALID_CATALOG_NAME), Mend::Person),
            (Some(SqlState::INSUFFICIENT_PRIVILEGE), Mend::Person),
            (Some(SqlState::UNDEFINED_TABLE), Mend::Person),
            (Some(SqlState::UNIQUE_VIOLATION), Mend::Person),
            (Some(SqlState::CHECK_VIOLATION), Mend::Person),
        ] {
            assert_eq!(of_state(state.as_ref()), mend, "{state:?}");
        }
    }
}
