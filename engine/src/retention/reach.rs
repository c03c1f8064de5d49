//! Archived segments that nothing within reach has: which of them a start needs, and the words for the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_wal::{DiskError, Log};

use crate::error::StartError;

/// What of a log is out of reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Directory of the log.
    pub dir: PathBuf,
    /// Segments.
    pub segments: usize,
    /// First and last sequence in them; there may be others between.
    pub sequences: (u64, u64),
    /// Where they were looked for; `None` when no archive is configured.
    pub place: Option<String>,
}

impl Missing {
    /// Asks the archive for its names. `None` when everything can be had. Blocks for as long as that takes.
    pub(crate) fn of(log: &Arc<Log>) -> Result<Option<Self>, DiskError> {
        let missing = log.missing_archives()?;
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else { return Ok(None) };
        Ok(Some(Self {
            dir: log.dir().to_path_buf(),
            segments: missing.len(),
            sequences: (first.first_sequence, last.last_sequence),
            place: log.archive_place(),
        }))
    }

    /// In one sentence, for an operator.
    pub(crate) fn words(&self) -> String {
        let (first, last) = self.sequences;
        let place = self.place.as_ref().map_or("no archive is configured".into(), |place| format!("looked in {place}"));
        format!(
            "{} archived segments of {}, records {first} to {last}, are out of reach ({place}): late trades into them wait",
            self.segments,
            self.dir.display()
        )
    }
}

/// Names what is out of reach where a start failed for want of it; another error stands as it is.
pub(crate) fn explain(error: StartError, logs: [&Arc<Log>; 2]) -> StartError {
    let for_want = match &error {
        StartError::Read { .. } | StartError::Gap { .. } => 0,
        // The event is there; its body is not.
        StartError::Event { .. } => 1,
        _ => return error,
    };
    match logs[for_want..].iter().find_map(|log| Missing::of(log).ok().flatten()) {
        Some(missing) => StartError::Missing {
            dir: missing.dir,
            segments: missing.segments,
            sequences: missing.sequences,
            place: missing.place.map_or_else(|| "no archive is configured".into(), |p| format!("not in {p}")),
            source: Box::new(error),
        },
        None => error,
    }
}

/// Remarks of a start about what it could do without.
pub(crate) fn notes(logs: [&Arc<Log>; 2]) -> Vec<String> {
    let note = |log: &&Arc<Log>| match Missing::of(log) {
        Ok(missing) => missing.map(|missing| missing.words()),
        Err(error) => Some(unasked(log.dir(), &error)),
    };
    logs.iter().filter_map(note).collect()
}

/// The archive does not say what it has.
pub(crate) fn unasked(dir: &Path, error: &DiskError) -> String {
    format!("the archive of {} cannot be asked for its segments: {error}", dir.display())
}
