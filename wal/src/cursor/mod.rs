//! Cursors: how far each consumer of a log has come, kept beside the log, and what they hold.
//!
//! A cursor names the last record its owner has taken. It lives in the log's directory, so that the log knows what is still needed, and
//! so that a log that was cut below one is noticed at its opening.

mod handle;
pub(crate) mod position;
pub(crate) mod slots;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use handle::Cursor;
use parking_lot::{Mutex, MutexGuard};
pub use position::{CursorClass, CursorError, LogPosition};
use slots::{CursorFile, CursorSlot};

use crate::disk::{Disk, DiskResult};
use crate::log::lock;

/// A cursor as the log knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// `None` while the file is damaged: what it needs is not known, so it holds everything.
    pub(crate) slot: Option<CursorSlot>,
    /// Its owner has it open.
    pub(crate) in_use: bool,
    /// Locked while it is written; the table is not.
    pub(crate) file: Option<Arc<Mutex<CursorFile>>>,
}

impl Held {
    /// The lowest address it needs; `None` when it needs nothing. Its own record stays with what comes after it: by that record it is
    /// known again.
    pub(crate) fn floor(&self) -> Option<u64> {
        match &self.slot {
            None => Some(0),
            Some(slot) if slot.released => None,
            Some(slot) if slot.position.sequence == 0 => Some(0),
            Some(slot) => Some(slot.address),
        }
    }

    pub(crate) fn class(&self) -> CursorClass {
        self.slot.map_or(CursorClass::Required, |slot| slot.class)
    }
}

/// All cursors of a log.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    held: Mutex<BTreeMap<String, Held>>,
}

impl Cursors {
    pub(crate) fn new(found: Vec<(String, Option<CursorSlot>)>) -> Self {
        let held = found.into_iter().map(|(name, slot)| (name, Held { slot, ..Held::default() })).collect();
        Self { held: Mutex::new(held) }
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        lock(&self.held)
    }

    /// The lowest address that any cursor needs; `None` when none needs anything.
    pub(crate) fn floor(&self) -> Option<u64> {
        self.held().values().filter_map(Held::floor).min()
    }

    /// What the table says of a cursor.
    pub(crate) fn slot(&self, name: &str) -> Option<CursorSlot> {
        self.held().get(name).and_then(|held| held.slot)
    }

    fn set(&self, name: &str, slot: CursorSlot) {
        if let Some(held) = self.held().get_mut(name) {
            held.slot = Some(slot);
        }
    }

    /// Writes what `change` makes of the cursor's slot, and then knows it; nothing is written where it makes none.
    pub(crate) fn store(
        &self,
        name: &str,
        file: &Mutex<CursorFile>,
        change: impl FnOnce(CursorSlot) -> Option<CursorSlot>,
    ) -> DiskResult<bool> {
        let mut file = lock(file);
        let Some(slot) = self.slot(name).and_then(change) else { return Ok(false) };
        file.store(slot)?;
        self.set(name, slot);
        Ok(true)
    }

    /// Lets go of what a cursor holds; its owner finds it released. Durable when this returns.
    pub(crate) fn release(&self, disk: &dyn Disk, dir: &std::path::Path, name: &str) -> DiskResult<bool> {
        let known = self.held().get(name).and_then(|held| held.file.clone());
        let file = match (known, self.slot(name)) {
            (Some(file), _) => file,
            (None, Some(slot)) => {
                let file = Arc::new(Mutex::new(CursorFile::open_or_create(disk, dir, name, slot)?.0));
                let mut table = self.held();
                // The owner may have come meanwhile: then its file is the one.
                match table.get_mut(name) {
                    Some(held) => Arc::clone(held.file.get_or_insert(file)),
                    None => return Ok(false),
                }
            }
            (None, None) => return Ok(false),
        };
        let written_ns = disk.wall_clock_ns();
        self.store(name, &file, |slot| {
            let may_go = slot.class == CursorClass::Rebuildable && !slot.released;
            may_go.then_some(CursorSlot { released: true, written_ns, ..slot })
        })
    }
}
