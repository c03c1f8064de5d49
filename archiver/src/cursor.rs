//! How far a sink has come: a cursor of the log under the sink's name, so that retention knows what the sink still needs.
//!
//! The cursor is the log's own ([`lotbook_wal::Cursor`]): kept beside the log, checked when the log is opened, refused with both positions
//! where the log was cut or replaced. A sink that commits its position with its rows (Postgres) trusts what it committed; its cursor
//! follows, and holds.

use std::sync::Arc;

pub use lotbook_wal::{Cursor, CursorClass, CursorError, LogPosition};
use lotbook_wal::{Log, ReadError, Reader};

/// The cursor of a sink, `sink.<name>`, made where there is none: a new one has taken nothing and holds everything. `Required` for what
/// nothing else can make again, `Rebuildable` for what a release costs no more than a rebuild.
///
/// # Errors
/// As [`Log::cursor`]; what names may be is said at [`CursorError::Name`].
pub fn register(log: &Arc<Log>, name: &str, class: CursorClass) -> Result<Cursor, CursorError> {
    log.cursor(&format!("sink.{name}"), class)
}

/// A reader of what comes after the position that a sink committed with its rows; of everything, where it committed none. The cursor
/// goes where the sink is, forward or, after the sink was restored from a copy, back. Read durable records only. Blocks on the disk.
///
/// # Errors
/// [`CursorError::NotInLog`] with both positions; [`CursorError::Gone`] where retention has removed what the sink has not; the cursor is
/// then where it was.
pub fn resume(log: &Arc<Log>, cursor: &mut Cursor, committed: Option<LogPosition>) -> Result<Reader, CursorError> {
    let reader = log.resume(cursor.name(), committed)?;
    let sequence = committed.map_or(0, |position| position.sequence);
    if cursor.is_released() || cursor.position().map_or(0, |position| position.sequence) != sequence {
        match cursor.restart(sequence) {
            // Its record was removed and the log begins right behind it: the next commit moves the cursor.
            Err(CursorError::Read(ReadError::Gone { .. })) => {}
            moved => moved?,
        }
    }
    Ok(reader)
}
