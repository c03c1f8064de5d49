//! The archive's side of the host: started with it, fed with its names, shown in health and metrics.

use std::sync::Arc;

use lotbook_archiver::LearnedNames;
use lotbook_archiver::postgres::sink::Sink;
use lotbook_archiver::status::{SinkBoard, SinkState};
use lotbook_core::command::NameClass;
use lotbook_core::id::NameId;
use lotbook_engine::Host;
use lotbook_wal::{CursorError, Log};
use serde_json::{Value, json};

use crate::config::{Postgres, TargetError};
use crate::http::metrics::{Page, seconds};
use crate::sinks::{self, Named};

/// Why the archive was not started. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no address to go to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its cursor in the log cannot be had, or its thread not be started.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

/// A running archive.
#[derive(Debug)]
pub struct Archive {
    sink: Sink,
}

/// What is shown of it.
#[derive(Clone, Debug)]
pub struct Seen {
    board: SinkBoard,
}

impl Archive {
    /// Starts it, where the configuration has one. The database need not be there.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn start(config: &Postgres, host: &Host) -> Result<Option<Self>, ArchiveError> {
        let Some(target) = config.target()? else { return Ok(None) };
        let directory = host.directory().clone();
        let names = move || {
            let mut names = LearnedNames::new();
            for class in NameClass::ALL {
                for (id, text) in (0 as NameId..).zip(directory.texts(class)) {
                    names.insert(class, id, text);
                }
            }
            names
        };
        let sink = Sink::start(host.log(), Box::new(names), config.of_sink(target))?;
        Ok(Some(Self { sink }))
    }

    /// For health and metrics.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen { board: self.sink.board().clone() }
    }

    /// Ends it. What is not archived yet is when the next start goes on.
    pub fn stop(self) {
        self.sink.stop();
    }
}

impl Seen {
    /// What an operator should know.
    pub(crate) fn warning(&self) -> Option<String> {
        let status = self.board.read();
        let words = match status.state {
            SinkState::Refused => "the archive in Postgres waits for a person",
            _ => "the archive in Postgres does not follow and is tried again",
        };
        sinks::problem(&status).map(|problem| format!("{words}: {problem}"))
    }

    fn document(&self, log: &Log) -> Value {
        let status = self.board.read();
        let own = json!({
            "rows": status.rows,
            "bytes": status.bytes,
            "batches": status.batches,
            "last_batch_rows": status.last_batch_rows,
            "last_batch_ms": status.last_batch_ns / 1_000_000,
            "commits_found": status.commits_found,
        });
        sinks::document(&status, log.durable_sequence(), own)
    }

    /// For `/metrics`.
    pub(crate) fn metrics(&self, page: &mut Page, log: &Log) {
        let status = self.board.read();
        let durable = log.durable_sequence();
        let named = Named {
            prefix: "archive",
            who: "the archive in Postgres",
            lag: "Age of the newest archived event where not all are archived; an upper bound.",
        };
        sinks::gauges(page, named, &status, durable);
        let gauge = "gauge";
        let took = seconds(status.last_batch_ns);
        let help = "How long the last batch took, until it was committed.";
        page.family("lotbook_archive_last_batch_seconds", gauge, help, &[("", took)]);
        for (name, kind, help, value) in [
            (
                "lotbook_archive_lag_records",
                gauge,
                "Durable records that are not archived yet.",
                status.lag_records(durable),
            ),
            ("lotbook_archive_complete_sequence", gauge, "Everything up to here is archived.", status.sequence),
            ("lotbook_archive_last_batch_rows", gauge, "Rows of the last batch.", status.last_batch_rows),
            ("lotbook_archive_rows_total", "counter", "Rows committed since the start.", status.rows),
            ("lotbook_archive_bytes_total", "counter", "Bytes of them.", status.bytes),
            ("lotbook_archive_batches_total", "counter", "Batches committed since the start.", status.batches),
            ("lotbook_archive_failures_total", "counter", "Failed tries since the start.", status.failures),
            (
                "lotbook_archive_breaker_opened_total",
                "counter",
                "Times that the breaker opened since the start.",
                status.breaker_opened,
            ),
            (
                "lotbook_archive_commits_found_total",
                "counter",
                "Batches whose answer was lost and that turned out to be committed.",
                status.commits_found,
            ),
        ] {
            page.family(name, kind, help, &[("", value)]);
        }
    }
}

/// Nothing configured, nothing shown.
pub(crate) fn document(seen: Option<&Seen>, log: &Arc<Log>) -> Value {
    seen.map_or_else(sinks::off, |seen| seen.document(log))
}
