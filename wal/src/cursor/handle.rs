//! A cursor in its owner's hands.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::cursor::position::{CursorClass, CursorError, LogPosition};
use crate::cursor::slots::{CursorFile, CursorSlot, cursor_path, is_name};
use crate::error::ReadError;
use crate::limits::CURSORS_MAX;
use crate::log::Log;
use crate::reader::{From, Limit, Reader};
use crate::record::RecordHeader;

/// How far one consumer has come. One owner; it blocks on the disk when it is moved.
///
/// Dropping it changes nothing: the cursor goes on holding what its owner has not taken.
#[derive(Debug)]
pub struct Cursor {
    log: Arc<Log>,
    name: String,
    file: Arc<Mutex<CursorFile>>,
}

impl Log {
    /// The cursor of that name, made where there is none: a new one has taken nothing and holds everything.
    ///
    /// An existing one keeps its position and takes the class given here.
    ///
    /// # Errors
    /// [`CursorError::Name`], [`CursorError::InUse`], [`CursorError::TooMany`], [`CursorError::Damaged`], [`CursorError::Disk`].
    pub fn cursor(self: &Arc<Self>, name: &str, class: CursorClass) -> Result<Cursor, CursorError> {
        if !is_name(name) {
            return Err(CursorError::Name { name: name.into() });
        }
        let fresh = CursorSlot {
            position: LogPosition { log_id: self.log_id, epoch: 0, sequence: 0, checksum: 0 },
            address: 0,
            class,
            released: false,
            written_ns: self.disk.wall_clock_ns(),
            generation: 0,
        };
        let mut table = self.cursors.held();
        let known = match table.get(name) {
            Some(held) if held.in_use => return Err(CursorError::InUse { name: name.into() }),
            None if table.len() >= CURSORS_MAX => return Err(CursorError::TooMany { name: name.into() }),
            held => held.and_then(|held| held.file.clone()),
        };
        let file = match known {
            Some(file) => file,
            None => {
                let (file, found) = CursorFile::open_or_create(&*self.disk, &self.dir, name, fresh)?;
                let path = file.path().to_path_buf();
                let held = table.entry(name.into()).or_default();
                held.slot = found;
                if found.is_none() {
                    return Err(CursorError::Damaged { path });
                }
                Arc::clone(held.file.insert(Arc::new(Mutex::new(file))))
            }
        };
        if let Some(held) = table.get_mut(name) {
            held.in_use = true;
        }
        drop(table);
        let cursor = Cursor { log: Arc::clone(self), name: name.into(), file };
        self.cursors.store(name, &cursor.file, |slot| (slot.class != class).then_some(CursorSlot { class, ..slot }))?;
        Ok(cursor)
    }

    /// A reader of what comes after a position that someone else keeps, checked: of everything, where there is none yet. `name` is for
    /// the error.
    ///
    /// Only durable records count: what a consumer has taken must have been durable, so a position beyond that is of another log's life.
    ///
    /// # Errors
    /// [`CursorError::NotInLog`] with both positions, [`CursorError::Gone`], [`CursorError::Read`].
    pub fn resume(self: &Arc<Self>, name: &str, cursor: Option<LogPosition>) -> Result<Reader, CursorError> {
        let none = LogPosition { log_id: self.log_id, epoch: 0, sequence: 0, checksum: 0 };
        let Some(cursor) = cursor else {
            let reader = self.reader(From::Start)?;
            let first = reader.sequence();
            // Without a cursor all of it is wanted; a log that begins later has lost some.
            return if first == 1 {
                Ok(reader)
            } else {
                Err(CursorError::Gone { name: name.into(), cursor: none, first })
            };
        };
        let not_in_log = |log| CursorError::NotInLog { name: name.into(), cursor, log };
        if cursor.sequence == 0 || cursor.log_id != self.log_id || cursor.sequence > self.durable_sequence() {
            return Err(not_in_log(self.last_durable()?));
        }
        let mut reader = match self.reader(From::Sequence(cursor.sequence)) {
            Ok(reader) => reader,
            Err(ReadError::Gone { first, .. }) => return self.resume_after_removal(name, cursor, first),
            Err(error) => return Err(error.into()),
        };
        let found = reader.next(Limit::Durable)?.map(|record| LogPosition::of(&record.header));
        match found {
            Some(found) if found == cursor => Ok(reader),
            Some(found) => Err(not_in_log(found)),
            None => Err(not_in_log(self.last_durable()?)),
        }
    }

    /// The cursor's own record was removed. If the log begins right after it, its first record still names the checksum of the one
    /// before.
    fn resume_after_removal(
        self: &Arc<Self>,
        name: &str,
        cursor: LogPosition,
        first: u64,
    ) -> Result<Reader, CursorError> {
        let gone = || CursorError::Gone { name: name.into(), cursor, first };
        if first != cursor.sequence + 1 {
            return Err(gone());
        }
        let mut probe = self.reader(From::Start)?;
        match probe.next(Limit::Durable)?.map(|record| record.header) {
            Some(header) if header.sequence == first && header.previous_checksum == cursor.checksum => {
                Ok(self.reader(From::Start)?)
            }
            Some(header) => Err(CursorError::NotInLog { name: name.into(), cursor, log: LogPosition::of(&header) }),
            None => Err(gone()),
        }
    }

    /// The last durable record; sequence 0 when there is none.
    pub fn last_durable(self: &Arc<Self>) -> Result<LogPosition, ReadError> {
        let sequence = self.durable_sequence();
        let empty = LogPosition { log_id: self.log_id, epoch: self.epoch, sequence: 0, checksum: 0 };
        if sequence == 0 {
            return Ok(empty);
        }
        let mut reader = self.reader(From::Sequence(sequence))?;
        Ok(reader.next(Limit::Durable)?.map_or(empty, |record| LogPosition::of(&record.header)))
    }
}

impl Cursor {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn slot(&self) -> CursorSlot {
        self.log.cursors.slot(&self.name).expect("an open cursor is whole and known")
    }

    /// The last record taken; `None` when there is none.
    pub fn position(&self) -> Option<LogPosition> {
        Some(self.slot().position).filter(|position| position.sequence > 0)
    }

    /// It was released when space ran short; it holds nothing and its owner must begin anew.
    pub fn is_released(&self) -> bool {
        self.slot().released
    }

    /// A reader of what comes after it; read durable records only.
    ///
    /// # Errors
    /// As [`Log::resume`], and [`CursorError::Released`].
    pub fn reader(&self) -> Result<Reader, CursorError> {
        self.check_not_released()?;
        self.log.resume(&self.name, self.position())
    }

    /// Moves on to a record, which its owner has made safe where it keeps things. Durable when this returns.
    ///
    /// # Errors
    /// [`CursorError::NotDurable`], [`CursorError::Backwards`], [`CursorError::Released`], [`CursorError::NotInLog`] for a record of
    /// another log, [`CursorError::Disk`].
    pub fn advance(&mut self, header: &RecordHeader) -> Result<(), CursorError> {
        self.check_not_released()?;
        let at = self.slot().position.sequence;
        if header.sequence < at {
            return Err(CursorError::Backwards { name: self.name.clone(), at, to: header.sequence });
        }
        self.store_at(header, false)
    }

    /// As [`Cursor::advance`], to the record of that sequence, which is looked up.
    ///
    /// # Errors
    /// As there, and [`CursorError::Read`].
    pub fn advance_to(&mut self, sequence: u64) -> Result<(), CursorError> {
        if sequence == self.slot().position.sequence {
            return self.check_not_released();
        }
        let header = self.find(sequence)?;
        self.advance(&header)
    }

    /// Begins anew behind the record of that sequence, 0 for the start of the log, whether it was released or not: its owner was
    /// rebuilt up to there.
    ///
    /// # Errors
    /// As [`Cursor::advance_to`] without `Backwards` and `Released`.
    pub fn restart(&mut self, sequence: u64) -> Result<(), CursorError> {
        if sequence > 0 {
            let header = self.find(sequence)?;
            return self.store_at(&header, true);
        }
        let position = LogPosition { log_id: self.log.log_id, epoch: 0, sequence: 0, checksum: 0 };
        self.store(position, 0, true)
    }

    /// Takes the cursor away for good: its owner is no more.
    ///
    /// # Errors
    /// [`CursorError::Disk`]; it then holds on.
    pub fn remove(self) -> Result<(), CursorError> {
        let mut table = self.log.cursors.held();
        let path = cursor_path(&self.log.dir, &self.name);
        self.log.disk.unlink(&path)?;
        self.log.disk.sync_dir(path.parent().unwrap_or(&self.log.dir))?;
        table.remove(&self.name);
        drop(table);
        self.log.keeper_bell.ring();
        Ok(())
    }

    fn check_not_released(&self) -> Result<(), CursorError> {
        let slot = self.slot();
        if slot.released {
            return Err(CursorError::Released { name: self.name.clone(), cursor: slot.position });
        }
        Ok(())
    }

    fn find(&self, sequence: u64) -> Result<RecordHeader, CursorError> {
        let durable = self.log.durable_sequence();
        let not_durable = || CursorError::NotDurable { name: self.name.clone(), sequence, durable };
        if sequence > durable {
            return Err(not_durable());
        }
        let mut reader = self.log.reader(From::Sequence(sequence))?;
        Ok(reader.next(Limit::Durable)?.ok_or_else(not_durable)?.header)
    }

    fn store_at(&mut self, header: &RecordHeader, anew: bool) -> Result<(), CursorError> {
        let durable = self.log.durable_sequence();
        if header.sequence > durable {
            return Err(CursorError::NotDurable { name: self.name.clone(), sequence: header.sequence, durable });
        }
        if header.log_id != self.log.log_id {
            let (cursor, log) = (LogPosition::of(header), self.log.last_durable()?);
            return Err(CursorError::NotInLog { name: self.name.clone(), cursor, log });
        }
        self.store(LogPosition::of(header), header.address, anew)
    }

    fn store(&mut self, position: LogPosition, address: u64, anew: bool) -> Result<(), CursorError> {
        let written_ns = self.log.disk.wall_clock_ns();
        let stored = self.log.cursors.store(&self.name, &self.file, |slot| {
            // A release that came meanwhile stands: what comes after this position may be gone.
            (anew || !slot.released).then_some(CursorSlot { position, address, released: false, written_ns, ..slot })
        })?;
        if !stored {
            return self.check_not_released();
        }
        self.log.keeper_bell.ring();
        Ok(())
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Some(held) = self.log.cursors.held().get_mut(&self.name) {
            held.in_use = false;
        }
    }
}
