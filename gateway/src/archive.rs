//! The archive's side of the host: started with it, fed with its names, shown in health and metrics.

use std::sync::Arc;

use lotbook_archiver::LearnedNames;
use lotbook_archiver::postgres::sink::Sink;
use lotbook_archiver::postgres::trades::follow::Projection;
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
    /// The thread of the trades cannot be started.
    #[error("starting the projection of trades: {0}")]
    Projection(std::io::Error),
}

/// A running archive.
#[derive(Debug)]
pub struct Archive {
    sink: Sink,
    trades: Projection,
}

/// What is shown of it.
#[derive(Clone, Debug)]
pub struct Seen {
    board: SinkBoard,
    trades: SinkBoard,
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
        let sink = Sink::start(host.log(), Box::new(names), config.of_sink(target.clone()))?;
        let trades = Projection::start(sink.board().clone(), config.of_projection(target));
        Ok(Some(Self { sink, trades: trades.map_err(ArchiveError::Projection)? }))
    }

    /// For health and metrics.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen { board: self.sink.board().clone(), trades: self.trades.board().clone() }
    }

    /// Ends it. What is not archived yet is when the next start goes on.
    pub fn stop(self) {
        // What follows the rows ends before what brings them.
        drop(self.trades);
        drop(self.sink);
    }
}

impl Seen {
    /// What an operator should know.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let of = |board: &SinkBoard, who: &str| {
            let status = board.read();
            let words = match status.state {
                SinkState::Refused => "waits for a person",
                _ => "does not follow and is tried again",
            };
            sinks::problem(&status).map(|problem| format!("{who} {words}: {problem}"))
        };
        let rows = of(&self.board, "the archive in Postgres");
        rows.into_iter().chain(of(&self.trades, "the archive's projection of trades")).collect()
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
            "trades": self.trades_document(status.sequence),
        });
        sinks::document(&status, log.durable_sequence(), own)
    }

    /// The projection of trades; it is behind where it has not taken what is archived.
    fn trades_document(&self, archived: u64) -> Value {
        let status = self.trades.read();
        let own = json!({ "versions": status.rows, "batches": status.batches });
        sinks::document(&status, archived, own)
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
        let trades = self.trades.read();
        let named = Named {
            prefix: "archive_trades",
            who: "the archive's projection of trades",
            lag: "Age of the newest projected trade where not all that is archived is projected; an upper bound.",
        };
        sinks::gauges(page, named, &trades, status.sequence);
        let gauge = "gauge";
        let took = seconds(status.last_batch_ns);
        let help = "How long the last batch took, until it was committed.";
        page.family("lotbook_archive_last_batch_seconds", gauge, help, &[("", took)]);
        for (name, kind, help, value) in [
            (
                "lotbook_archive_trades_lag_records",
                gauge,
                "Archived records that are not projected into trades yet.",
                trades.lag_records(status.sequence),
            ),
            (
                "lotbook_archive_trades_versions_total",
                "counter",
                "Versions of trades written since the start.",
                trades.rows,
            ),
            (
                "lotbook_archive_trades_failures_total",
                "counter",
                "Failed tries of the projection since the start.",
                trades.failures,
            ),
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
