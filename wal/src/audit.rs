//! The one verification of a log: segments, archives, tail and cursors, each against what it must be. The tool, the tests and a repair
//! all ask here.

use std::path::PathBuf;

use crate::archive::entry::ArchiveEntry;
use crate::archive::pack::{PackError, check};
use crate::archive::target::target_name;
use crate::cursor::slots::{CursorSlot, cursor_path};
use crate::cursor::{CursorClass, LogPosition};
use crate::damage::{Corrupt, What};
use crate::disk::{DiskError, DiskFile};
use crate::error::{OpenError, ReadError};
use crate::join::{TailFile, join};
use crate::limits::{CHUNK_BYTES, HEAD_BYTES, chunk_floor};
use crate::open::find_tail;
use crate::past::difference;
use crate::read_only::ReadOnlyLog;
use crate::reader::RecordBuffer;
use crate::recovery::{Ending, Place, TailFound};
use crate::scan::{Scan, Stream, scan};
use crate::segment::archive_path;
use crate::segment_check::SegmentCheck;
use crate::segments::open_named;

/// What `verify` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// Every byte is accounted for.
    Whole,
    /// What was durable is whole; behind it lies a write that never completed. Opening the log cuts it.
    TornTail {
        /// End of the last whole record.
        address: u64,
        /// Bytes behind it that are not zero, counted to the last such byte.
        bytes: u64,
    },
    /// What was durable is damaged: the first place.
    Damaged(Corrupt),
}

/// One archived segment, as `verify` found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveReport {
    /// What the manifest says of it.
    pub entry: ArchiveEntry,
    /// Copies that were read and are whole: the one here and the one in the target, as far as they can be reached.
    pub whole: u32,
    /// Copies that are not what was written, or that should be there and are not.
    pub damaged: Vec<Corrupt>,
}

/// What a cursor says, compared with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorFinding {
    /// The log has its record.
    InLog,
    /// It has taken nothing yet, or was released.
    Nothing,
    /// Its record lies in an archive out of reach, or was dropped.
    NotCompared,
    /// Neither of its slots is whole.
    Damaged,
    /// The log has something else in that place, or ends before it.
    NotInLog {
        /// What the log has: the record at that address, or its last one.
        log: LogPosition,
    },
}

/// One cursor, as `verify` found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorReport {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// `None` when it is damaged.
    pub class: Option<CursorClass>,
    /// It was released when space ran short.
    pub released: bool,
    /// The last record taken.
    pub position: Option<LogPosition>,
    /// Whether the log has it.
    pub finding: CursorFinding,
}

impl CursorReport {
    /// Damage, or a log that was cut below it.
    pub fn is_broken(&self) -> bool {
        matches!(self.finding, CursorFinding::Damaged | CursorFinding::NotInLog { .. })
    }
}

/// The result of [`ReadOnlyLog::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The verdict about segments and archives.
    pub outcome: VerifyOutcome,
    /// Every damaged file once, with the first place in it. Empty unless the outcome is [`VerifyOutcome::Damaged`].
    pub damaged: Vec<Corrupt>,
    /// Whole records in segments and archives.
    pub records: u64,
    /// Stream bytes they and their padding take.
    pub bytes: u64,
    /// Sequence of the oldest record, 0 when there is none.
    pub first_sequence: u64,
    /// Sequence of the newest record on disk.
    pub last_sequence: u64,
    /// The highest sequence any witness calls durable.
    pub watermark_sequence: u64,
    /// The last epoch.
    pub epoch: u32,
    /// The last record is a close record.
    pub closed: bool,
    /// Records that only the tail holds.
    pub tail_records: u64,
    /// What the tail is, in a word.
    pub tail: &'static str,
    /// Segment files begin here; what lies below is archived.
    pub plain_from_address: u64,
    /// Archived segments, oldest first.
    pub archives: Vec<ArchiveReport>,
    /// Cursors by name.
    pub cursors: Vec<CursorReport>,
}

/// Progress in bytes over several parts.
struct Progress<'a> {
    done: u64,
    all: u64,
    tell: &'a mut dyn FnMut(u64, u64),
}

impl Progress<'_> {
    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        (self.tell)(self.done, self.all);
    }
}

/// How often a log that seems damaged is looked at again while the damage moves on.
const LOOKS_MAX: u32 = 8;

impl ReadOnlyLog {
    /// Reads everything there is, in every copy that can be reached, and says what is whole. `progress` gets bytes done and bytes in all.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, OpenError> {
        let log_id = self.meta.log_id;
        let entries = &self.past.manifest.entries;
        let mut stream = Stream::new(&self.segments, self.meta.segment_bytes);
        let (plain_from, plain_to) = stream.range();
        let packed: u64 = entries.iter().map(|e| e.file_bytes * self.copies(e).len() as u64).sum();
        let mut progress = Progress { done: 0, all: packed + (plain_to - plain_from), tell: progress };
        let archives: Vec<ArchiveReport> = entries.iter().map(|e| self.audit_archive(e, &mut progress)).collect();
        let before = self.past.chain_before(&self.dir, Some(plain_from))?;
        let done = progress.done;
        let mut scan = scan(&mut stream, before.clone(), self.past.watermark(), &mut |bytes, _| {
            progress.done = done;
            progress.add(bytes);
        })?;
        // A live log is written to while it is read: what says that a record is durable may have been written after the look at its place.
        // What stays wrong is wrong.
        for _ in 0..LOOKS_MAX {
            if scan.place != Place::Below || scan.was_known {
                break;
            }
            let was = scan.stop_address;
            stream = Stream::new(&self.segments, self.meta.segment_bytes);
            scan = self::scan(&mut stream, before.clone(), self.past.watermark(), &mut |_, _| {})?;
            if scan.stop_address == was {
                break;
            }
        }
        let tail = find_tail(&*self.disk, &self.dir, &self.tail_dir, log_id)?;
        let (tail_records, tail, end_with_tail) = match &tail {
            TailFile::Missing => (0, "missing", scan.chain.end),
            TailFile::Unreadable(_) => (0, "unreadable", scan.chain.end),
            TailFile::Image(image) => {
                let joined = join(image, &scan.chain, &mut stream, log_id, &self.disk.boot_id())?;
                (joined.records, tail_word(joined.found), joined.chain.end)
            }
        };
        let (outcome, damaged) = self.judge(&scan, &archives)?;
        let reachable = archives.iter().filter(|a| a.whole > 0 && a.entry.first_address < plain_from);
        let archived_records: u64 = reachable.map(|a| a.entry.last_sequence - a.entry.first_sequence + 1).sum();
        let end = scan.chain.end;
        let oldest = entries.first().map_or(plain_from, |e| e.first_address);
        let mut cursors = Vec::new();
        for (name, slot) in &self.past.cursors {
            let finding = match slot {
                None => CursorFinding::Damaged,
                Some(slot) => self.audit_cursor(slot, &mut stream, &scan, end_with_tail)?,
            };
            cursors.push(CursorReport {
                name: name.clone(),
                path: cursor_path(&self.dir, name),
                class: slot.map(|slot| slot.class),
                released: slot.is_some_and(|slot| slot.released),
                position: slot.map(|slot| slot.position).filter(|position| position.sequence > 0),
                finding,
            });
        }
        Ok(VerifyReport {
            outcome,
            damaged,
            records: archived_records + scan.records,
            bytes: end.address.saturating_sub(oldest),
            first_sequence: entries.first().map_or(scan.first_sequence, |e| e.first_sequence),
            last_sequence: end.sequence,
            watermark_sequence: scan.watermark,
            epoch: end.epoch,
            closed: end.closed,
            tail_records,
            tail,
            plain_from_address: plain_from,
            archives,
            cursors,
        })
    }

    /// Every copy of one archived segment that can be reached. One that must be there and is not is damage; where the tool was not told
    /// of a target, only the copy beside the segments can be asked for.
    fn audit_archive(&self, entry: &ArchiveEntry, progress: &mut Progress<'_>) -> ArchiveReport {
        let mut report = ArchiveReport { entry: *entry, whole: 0, damaged: Vec::new() };
        let before = self.past.manifest.chain_before(entry.first_address);
        for copy in self.copies(entry) {
            let found = copy.and_then(|packed| open_named(packed, entry)).map_err(PackError::from);
            let checked = found.and_then(|file| check(&file, before.clone(), &|| false).map(|_| ()));
            match checked {
                Ok(()) => report.whole += 1,
                // A copy elsewhere that never came is no damage while there is one here.
                Err(PackError::Disk(e)) if e.is_missing() && self.is_here(entry) => {}
                Err(error) => report.damaged.push(place_of(error, entry)),
            }
            progress.add(entry.file_bytes);
        }
        report
    }

    fn is_here(&self, entry: &ArchiveEntry) -> bool {
        let plain = self.segments.first().is_some_and(|s| s.first <= entry.first_address);
        plain || self.past.packed.iter().any(|(first, _)| *first == entry.first_address)
    }

    /// The verdict, and every damaged file once.
    fn judge(&self, scan: &Scan, archives: &[ArchiveReport]) -> Result<(VerifyOutcome, Vec<Corrupt>), OpenError> {
        let mut damaged: Vec<Corrupt> = archives.iter().flat_map(|a| a.damaged.iter().cloned()).collect();
        if scan.place == Place::Below {
            damaged.push(scan.corrupt(&self.dir, self.meta.segment_bytes));
            damaged.extend(self.audit_sealed_behind(scan.stop_address)?);
        }
        if let Some(first) = damaged.first() {
            return Ok((VerifyOutcome::Damaged(first.clone()), damaged));
        }
        let torn = scan.ending == Ending::Broken
            || (scan.ending == Ending::Empty && scan.nonzero_until > 0)
            || scan.chain.in_group();
        if !torn {
            return Ok((VerifyOutcome::Whole, damaged));
        }
        let whole = scan.chain.whole.address;
        let until = scan.nonzero_until.max(scan.chain.end.address);
        Ok((VerifyOutcome::TornTail { address: whole, bytes: until.saturating_sub(whole) }, damaged))
    }

    /// Behind the first damage the chain cannot be followed; sealed segments are whole or not by themselves.
    fn audit_sealed_behind(&self, address: u64) -> Result<Vec<Corrupt>, OpenError> {
        let last_begun = self.segments.iter().rposition(|s| s.begun).unwrap_or(0);
        let mut damaged = Vec::new();
        let mut bytes = vec![0u8; CHUNK_BYTES];
        for segment in self.segments[..last_begun].iter().filter(|s| s.first > address) {
            let chain = self.past.manifest.chain_before(segment.first);
            let chain = chain.unwrap_or_else(|| crate::chain::Chain::on_trust(self.meta.log_id, segment.first));
            let path = segment.file.path().to_path_buf();
            let mut whole = SegmentCheck::new(self.meta.log_id, segment.first, self.meta.segment_bytes, chain, path);
            let mut at = 0;
            let found = loop {
                if at == HEAD_BYTES as u64 + self.meta.segment_bytes {
                    break whole.finish().map(|_| ());
                }
                let read = segment.file.read_at(at, &mut bytes)?;
                bytes[read..].fill(0);
                if let Err(place) = whole.feed(&bytes) {
                    break Err(place);
                }
                at += CHUNK_BYTES as u64;
            };
            damaged.extend(found.err());
        }
        Ok(damaged)
    }

    fn audit_cursor(
        &self,
        slot: &CursorSlot,
        stream: &mut Stream<'_>,
        scan: &Scan,
        end: crate::chain::End,
    ) -> Result<CursorFinding, DiskError> {
        if let Some(log) = difference(slot, stream, self.meta.log_id, end)? {
            return Ok(CursorFinding::NotInLog { log });
        }
        if slot.position.sequence == 0 || slot.released {
            return Ok(CursorFinding::Nothing);
        }
        if slot.address >= stream.range().0 {
            // What lies behind damage was not compared.
            let reached = slot.position.sequence <= scan.chain.end.sequence || scan.place == Place::Above;
            return Ok(if reached { CursorFinding::InLog } else { CursorFinding::NotCompared });
        }
        let chunk = chunk_floor(slot.address);
        let first = slot.address - slot.address % self.meta.segment_bytes;
        let Some(entry) = self.past.manifest.entry(first) else { return Ok(CursorFinding::NotCompared) };
        for copy in self.copies(entry) {
            let Ok(file) = copy.and_then(|packed| open_named(packed, entry)) else { continue };
            let mut bytes = vec![0u8; CHUNK_BYTES];
            if file.read_at(HEAD_BYTES as u64 + (chunk - first), &mut bytes).is_err() {
                continue;
            }
            let mut buffer = RecordBuffer::new();
            let taken = buffer.take(&bytes, (slot.address - chunk) as usize, self.meta.log_id, slot.address);
            return Ok(match taken {
                Ok(()) if LogPosition::of(buffer.header()) == slot.position => CursorFinding::InLog,
                Ok(()) => CursorFinding::NotInLog { log: LogPosition::of(buffer.header()) },
                Err(ReadError::NoRecord { .. }) => CursorFinding::NotInLog { log: last_of(entry) },
                Err(_) => CursorFinding::NotCompared,
            });
        }
        Ok(CursorFinding::NotCompared)
    }

    /// Where the copies of an archived segment are: the file here, and the name in the target.
    pub fn archive_places(&self, entry: &ArchiveEntry) -> (PathBuf, Option<String>) {
        let there = self
            .target
            .as_ref()
            .map(|target| format!("{}/{}", target.describe(), target_name(entry.log_id, entry.first_address)));
        (archive_path(&self.dir, entry.first_address), there)
    }
}

fn last_of(entry: &ArchiveEntry) -> LogPosition {
    LogPosition {
        log_id: entry.log_id,
        epoch: entry.last_epoch,
        sequence: entry.last_sequence,
        checksum: entry.last_checksum,
    }
}

fn place_of(error: PackError, entry: &ArchiveEntry) -> Corrupt {
    match error {
        PackError::Damaged(place) => place,
        PackError::Disk(error) => Corrupt {
            offset: error.offset,
            what: if error.is_missing() { What::Missing } else { What::Archive },
            segment: error.path,
            address: entry.first_address,
            sequence: entry.first_sequence,
        },
        PackError::Stopped => unreachable!("nobody stops an audit"),
    }
}

fn tail_word(found: TailFound) -> &'static str {
    match found {
        TailFound::Missing => "missing",
        TailFound::Unreadable => "unreadable",
        TailFound::Foreign => "foreign",
        TailFound::Older => "older",
        TailFound::Stale => "stale",
        TailFound::Agrees => "agrees",
        TailFound::Extends => "extends",
        TailFound::Damaged => "damaged",
        TailFound::Differs => "differs",
        TailFound::Gap => "gap",
    }
}
