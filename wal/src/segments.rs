//! The segments of a log as its readers see them: in which forms each is there, and files to read it from.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::aligned::AlignedBuffer;
use crate::archive::entry::ArchiveEntry;
use crate::archive::file::ArchivedFile;
use crate::archive::manifest::Manifest;
use crate::archive::target::{ArchiveTarget, target_name};
use crate::chain::{Chain, Walk};
use crate::damage::What;
use crate::disk::{Access, DiskError, DiskFile, DiskResult};
use crate::error::ReadError;
use crate::limits::{CHUNK_BYTES, HEAD_BYTES, SEGMENT_HANDLES_MAX};
use crate::log::{Log, lock};
use crate::planted::{self, Bug};
use crate::preparer::Unmade;
use crate::reader::Limit;
use crate::segment::{archive_path, segment_path};

/// A form of a segment can go away while it is opened: the segment file, then the archive here.
const OPEN_TRIES: u32 = 4;

/// One segment, in every form it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct SegmentEntry {
    /// The segment file is here.
    pub(crate) plain: bool,
    /// Its archive is here, and takes so many bytes.
    pub(crate) packed_bytes: Option<u64>,
    /// It was archived.
    pub(crate) archived: Option<ArchiveEntry>,
    /// Its archive was found whole in the target since the log was opened.
    pub(crate) shipped: bool,
    /// Sequence of its first record, once it is known.
    pub(crate) first_sequence: Option<u64>,
    handle: Option<Arc<dyn DiskFile>>,
    /// The handle was opened while the segment was still being written.
    direct: bool,
}

impl SegmentEntry {
    /// It can be read without asking the target.
    pub(crate) fn is_local(&self) -> bool {
        self.plain || self.packed_bytes.is_some()
    }
}

/// The table of segments, from the oldest there is to those prepared ahead.
#[derive(Debug)]
pub(crate) struct Segments {
    entries: Mutex<BTreeMap<u64, SegmentEntry>>,
    target: Option<Arc<dyn ArchiveTarget>>,
    /// Of those on disk, kept equal to the file.
    manifest: Mutex<Manifest>,
}

impl Segments {
    /// `packed` are the archives found beside the segments: first address and bytes.
    pub(crate) fn new(manifest: Manifest, packed: &[(u64, u64)], target: Option<Arc<dyn ArchiveTarget>>) -> Self {
        let mut entries: BTreeMap<u64, SegmentEntry> = BTreeMap::new();
        for archived in &manifest.entries {
            let first_sequence = Some(archived.first_sequence);
            let entry = SegmentEntry { archived: Some(*archived), first_sequence, ..SegmentEntry::default() };
            entries.insert(archived.first_address, entry);
        }
        for (first, bytes) in packed {
            if let Some(entry) = entries.get_mut(first) {
                entry.packed_bytes = Some(*bytes);
            }
        }
        Self { entries: Mutex::new(entries), target, manifest: Mutex::new(manifest) }
    }

    pub(crate) fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, SegmentEntry>> {
        lock(&self.entries)
    }

    pub(crate) fn manifest(&self) -> MutexGuard<'_, Manifest> {
        lock(&self.manifest)
    }

    pub(crate) fn target(&self) -> Option<&Arc<dyn ArchiveTarget>> {
        self.target.as_ref()
    }

    /// A segment file that is there.
    pub(crate) fn add(&self, first_address: u64) {
        self.entries().entry(first_address).or_default().plain = true;
    }

    /// Segments with a file here.
    pub(crate) fn count(&self) -> u64 {
        self.entries().values().filter(|e| e.is_local()).count() as u64
    }

    /// The oldest address that can be read without a gap up to the end.
    pub(crate) fn first_address(&self, segment_bytes: u64) -> u64 {
        let entries = self.entries();
        let readable = |e: &SegmentEntry| e.is_local() || self.target.is_some();
        let Some((mut first, _)) = entries.last_key_value() else { return 0 };
        for (address, entry) in entries.iter().rev() {
            let follows = address == first || address + segment_bytes == *first;
            if !follows || !readable(entry) {
                break;
            }
            first = address;
        }
        *first
    }
}

/// Changes one segment's entry and forgets the file it was read from: readers that have it go on with it.
pub(crate) fn change(log: &Log, first: u64, what: impl FnOnce(&mut SegmentEntry)) {
    if let Some(entry) = log.segments.entries().get_mut(&first) {
        what(entry);
        entry.handle = None;
    }
}

impl Log {
    /// Drops sealed segments that lie wholly below `address` (of a durable record) for good, oldest first: segment files and local
    /// archives; what was shipped stays where it is and is no part of this log any more. Returns how many. Readers inside them go on
    /// reading what they have open. What a cursor still needs stays, and so does at least one durable record.
    ///
    /// The beginning is written down first, which takes a block of the disk: without room for it (`ENOSPC`, `EDQUOT`) nothing is dropped
    /// and nothing latches. Any other failure latches.
    pub fn retain_from(&self, address: u64) -> io::Result<usize> {
        let durable = self.durable_address();
        let address = address.min(self.cursors.floor().unwrap_or(u64::MAX));
        let _work = lock(&self.segments_work);
        let mut dropped = 0;
        while let Some(first) = self.first_to_go(address, durable) {
            let end = first + self.segment_bytes;
            // Strictly below what is durable: a log that forgot its last record would forget its sequence.
            if end > address || end >= durable {
                break;
            }
            let chain = self.chain_behind(first).map_err(|e| match e {
                ReadError::Disk(e) => e.source,
                other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
            })?;
            if chain.end.sequence >= self.durable_sequence() {
                break;
            }
            self.forget(first, &chain).map_err(|e| e.source)?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// The oldest segment.
    fn first_to_go(&self, address: u64, durable: u64) -> Option<u64> {
        let entries = self.segments.entries();
        if planted::is(Bug::RetentionNewestFirst) {
            let goes = |f: &&u64| **f + self.segment_bytes <= address && **f + self.segment_bytes < durable;
            return entries.keys().rev().find(goes).copied();
        }
        entries.keys().next().copied()
    }

    /// The manifest says so first: what is left of the files after a crash in here is swept at the next opening.
    fn forget(&self, first: u64, chain: &Chain) -> DiskResult<()> {
        if !planted::is(Bug::RetentionNewestFirst) {
            let mut manifest = self.segments.manifest();
            let mut next = manifest.clone();
            next.forget_below(first + self.segment_bytes, chain);
            match next.store(&*self.disk, &self.dir) {
                Ok(()) => *manifest = next,
                // Foreseen, and nothing has changed: who makes room tries again.
                Err(Unmade::NoRoom(error)) => return Err(error),
                Err(Unmade::Failed(error)) => {
                    self.latch(&error);
                    return Err(error);
                }
            }
        }
        let Some(entry) = self.segments.entries().remove(&first) else { return Ok(()) };
        if entry.plain {
            self.disk.unlink(&segment_path(&self.dir, first))?;
        }
        if entry.packed_bytes.is_some() {
            self.disk.unlink(&archive_path(&self.dir, first))?;
        }
        // When that fails nobody knows which names are there after a crash, so it latches like any failed sync.
        self.disk.sync_dir(&self.dir).inspect_err(|error| {
            self.latch(error);
        })
    }

    /// The chain behind a sealed segment: what the next one must continue.
    pub(crate) fn chain_behind(&self, first: u64) -> Result<Chain, ReadError> {
        let end = first + self.segment_bytes;
        let archived = self.segments.entries().get(&first).and_then(|e| e.archived);
        if let Some(entry) = archived {
            return Ok(entry.chain());
        }
        // Every chunk begins with a record, so the last one is enough.
        let address = end - CHUNK_BYTES as u64;
        let (_, file) = self.read_handle(address)?;
        let mut chunk = AlignedBuffer::new(CHUNK_BYTES);
        let read = file.read_at(HEAD_BYTES as u64 + (address - first), &mut chunk)?;
        let mut chain = Chain::on_trust(self.log_id, address);
        if read < CHUNK_BYTES {
            return Err(ReadError::NoRecord { address, what: What::Length });
        }
        loop {
            match chain.step(&chunk, address) {
                Walk::Record { .. } => {}
                Walk::NextChunk => return Ok(chain),
                Walk::Stop(what) => return Err(ReadError::NoRecord { address: chain.end.address, what }),
            }
        }
    }

    /// The segment that holds `address`, opened for reading: past the page cache while it is being written, its archive once it has no
    /// file any more.
    pub(crate) fn read_handle(&self, address: u64) -> Result<(u64, Arc<dyn DiskFile>), ReadError> {
        let none = || ReadError::NoRecord { address, what: What::Gap };
        let mut tries = OPEN_TRIES;
        loop {
            let sealed_below = self.durable_address();
            let (first, seen) = {
                let entries = self.segments.entries();
                let Some((first, entry)) = entries.range(..=address).next_back() else { return Err(none()) };
                (*first, entry.clone())
            };
            if address >= first + self.segment_bytes {
                return Err(none());
            }
            let sealed = first + self.segment_bytes <= sealed_below;
            if let Some(handle) = &seen.handle
                && !(sealed && seen.direct)
            {
                return Ok((first, Arc::clone(handle)));
            }
            // Not under the lock: a target may take its time, and who makes the next segment waits for nobody's archive.
            let opened = if seen.plain {
                let access = if sealed { Access::Read } else { Access::ReadDirect };
                self.disk.open(&segment_path(&self.dir, first), access).map(Some)
            } else {
                self.open_archive(&seen)
            };
            match opened {
                Ok(Some(handle)) => {
                    self.keep_handle(first, &seen, &handle, !sealed);
                    return Ok((first, handle));
                }
                Ok(None) => return Err(self.gone(&seen).unwrap_or_else(none)),
                // The keeper took this form away meanwhile: the next one is there.
                Err(e) if e.is_missing() && seen.is_local() && tries > 0 => tries -= 1,
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// For an archived segment that is not here, where there is no target to ask.
    fn gone(&self, seen: &SegmentEntry) -> Option<ReadError> {
        let wanted = seen.archived?.first_sequence;
        let entries = self.segments.entries();
        let last = entries.values().rev().find(|e| !e.is_local()).and_then(|e| e.archived)?;
        Some(ReadError::Gone { wanted, first: last.last_sequence + 1 })
    }

    /// Keeps an opened file for the next reader, unless the form it is of was taken away: it would hold the room of a file that is gone.
    fn keep_handle(&self, first: u64, seen: &SegmentEntry, handle: &Arc<dyn DiskFile>, direct: bool) {
        let mut entries = self.segments.entries();
        let Some(entry) = entries.get_mut(&first) else { return };
        if (entry.plain, entry.packed_bytes) != (seen.plain, seen.packed_bytes) {
            return;
        }
        (entry.handle, entry.direct) = (Some(Arc::clone(handle)), direct);
        // A scan from the oldest record opens every segment there is; those behind it are closed again.
        let open: Vec<u64> = entries.iter().filter(|(_, e)| e.handle.is_some()).map(|(first, _)| *first).collect();
        if open.len() > SEGMENT_HANDLES_MAX
            && let Some(other) = open.iter().find(|other| **other != first)
            && let Some(entry) = entries.get_mut(other)
        {
            entry.handle = None;
        }
    }

    /// Opens the archive of a segment, here or in the target; `None` when there is none within reach.
    fn open_archive(&self, entry: &SegmentEntry) -> DiskResult<Option<Arc<dyn DiskFile>>> {
        let Some(archived) = &entry.archived else { return Ok(None) };
        let packed = if entry.packed_bytes.is_some() {
            self.disk.open(&archive_path(&self.dir, archived.first_address), Access::Read)?
        } else if let Some(target) = self.segments.target() {
            target.open(&target_name(self.log_id, archived.first_address))?
        } else {
            return Ok(None);
        };
        let file = open_named(packed, archived)?;
        Ok(Some(Arc::new(file)))
    }

    /// Sequence of the first record of each segment, found once.
    pub(crate) fn first_sequence(&self, first: u64) -> Result<u64, ReadError> {
        if let Some(sequence) = self.segments.entries().get(&first).and_then(|e| e.first_sequence) {
            return Ok(sequence);
        }
        let mut probe = crate::reader::RecordBuffer::new();
        self.read_at(first, Limit::Applied, &mut probe)?;
        let sequence = probe.header().sequence;
        if let Some(entry) = self.segments.entries().get_mut(&first) {
            entry.first_sequence = Some(sequence);
        }
        Ok(sequence)
    }
}

/// Opens an archive and compares it with what the manifest says of it.
pub(crate) fn open_named(packed: Arc<dyn DiskFile>, wanted: &ArchiveEntry) -> DiskResult<ArchivedFile> {
    let path = packed.path().to_path_buf();
    let file = ArchivedFile::open(packed)?;
    if file.entry() == wanted {
        return Ok(file);
    }
    let reason = io::Error::new(io::ErrorKind::InvalidData, "another archive than the manifest names");
    Err(DiskError::new("read archive", &path, 0, reason))
}
