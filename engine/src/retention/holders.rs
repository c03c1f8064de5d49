//! What the host holds in its own logs: whatever a start would read.
//!
//! A start reads the shard's log from the older kept checkpoint on, and the bodies of the corrections among those events. Two cursors say
//! so, both required. They move when a checkpoint is on the disk, so they trail by one checkpoint, never lead. What is below them is read
//! too, but by nobody who cannot wait for an archive: the coldpath walks a position's history, and a start without any usable checkpoint
//! begins at the first event.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use lotbook_wal::{Cursor, CursorClass, CursorError, Disk, Log};

use super::{BODIES_CURSOR, CHECKPOINT_CURSOR};
use crate::checkpoint;
use crate::limits::CHECKPOINTS_KEPT;

/// A checkpoint that is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpointed {
    /// Sequence of its last event.
    pub sequence: u64,
    /// Sequence in the side log of the newest body that its events name; `None` when none did since the start.
    pub body: Option<u64>,
}

/// The host's own cursors.
#[derive(Debug)]
pub(crate) struct Holders {
    log: Cursor,
    side: Cursor,
    disk: Arc<dyn Disk>,
    checkpoints: PathBuf,
    /// Those of this run that may still be kept, oldest first.
    recent: VecDeque<Checkpointed>,
}

impl Holders {
    /// Makes the cursors where there are none; they hold everything then.
    pub(crate) fn register(
        log: &Arc<Log>,
        side: &Arc<Log>,
        disk: Arc<dyn Disk>,
        checkpoints: PathBuf,
    ) -> Result<Self, CursorError> {
        Ok(Self {
            log: hold(log, CHECKPOINT_CURSOR)?,
            side: hold(side, BODIES_CURSOR)?,
            disk,
            checkpoints,
            recent: VecDeque::with_capacity(CHECKPOINTS_KEPT + 1),
        })
    }

    /// Lets go of what no kept checkpoint needs any more. Durable when this returns; blocks on the disk.
    pub(crate) fn settle(&mut self, newest: Option<Checkpointed>) -> Result<(), CursorError> {
        self.recent.extend(newest);
        // Those on the disk count: which of them a start can use only that start knows.
        let Ok(kept) = checkpoint::list_on(&*self.disk, &self.checkpoints) else { return Ok(()) };
        let Some(oldest) = kept.last().map(|found| found.sequence) else { return Ok(()) };
        self.recent.retain(|known| known.sequence >= oldest);
        if oldest > at(&self.log) {
            self.log.advance_to(oldest)?;
        }
        if let Some(body) = self.recent.front().filter(|known| known.sequence == oldest).and_then(|known| known.body)
            && body > at(&self.side)
        {
            self.side.advance_to(body)?;
        }
        Ok(())
    }
}

/// The required cursor of that name, made where there is none; a new one holds everything. A damaged one is made anew, so this is for
/// owners that hold too much rather than too little: what it said follows from elsewhere.
///
/// # Errors
/// As [`Log::cursor`].
pub fn hold(log: &Arc<Log>, name: &str) -> Result<Cursor, CursorError> {
    match log.cursor(name, CursorClass::Required) {
        Err(CursorError::Damaged { path }) => {
            tracing::warn!(path = %path.display(), "the host's own cursor was damaged and is made anew");
            std::fs::remove_file(&path).map_err(|_| CursorError::Damaged { path })?;
            log.cursor(name, CursorClass::Required)
        }
        cursor => cursor,
    }
}

fn at(cursor: &Cursor) -> u64 {
    cursor.position().map_or(0, |position| position.sequence)
}
