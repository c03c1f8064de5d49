//! `lotbook load`: an open load of any profile through any door of a host, embedded or running, with an exact account of what came of it.

mod bar;
mod host;
mod prices;
mod print;
mod rings;
mod run;

use std::path::PathBuf;

use lotbook_perf::burst::BurstError;
use lotbook_perf::door::DoorError;
use lotbook_perf::plan::PlanError;
use lotbook_perf::tape::TapeError;

use crate::server::ServeError;

pub use bar::Bar;
pub use host::{Embedded, Place};
pub use prices::{feed_of, with_prices};
pub use print::{Files, print, say, write, write_files};
pub use rings::Rings;
pub use run::run;

/// Why a load has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// The plan cannot be run.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The recorded file cannot be used.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// The host did not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A running host cannot be asked or prepared.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The load broke off.
    #[error("the load broke off: {0}")]
    Load(#[from] BurstError),
    /// A file or directory.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log could not be read back.
    #[error("reading the log back: {0}")]
    ReadBack(String),
    /// What was asked for does not go together.
    #[error("{0}")]
    Usage(String),
}
