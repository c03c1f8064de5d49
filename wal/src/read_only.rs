//! A log read from outside: without the lock, live or dead, the tail included. For `inspect`, `verify` and `dump`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::aligned::AlignedBuffer;
use crate::archive::entry::ArchiveEntry;
use crate::archive::file::ArchivedFile;
use crate::archive::target::{ArchiveTarget, DirectoryTarget, target_name};
use crate::chain::{Chain, Walk};
use crate::cursor::Held;
use crate::cursor::slots::CursorSlot;
use crate::disk::{Access, Disk, DiskFile, DiskResult};
use crate::error::{OpenError, ReadError};
use crate::join::{TailFile, TailImage};
use crate::limits::{CHUNK_BYTES, HEAD_BYTES, HEADER_BYTES, chunk_floor};
use crate::meta::Meta;
use crate::open::{SHARED_MEMORY, find_tail};
use crate::past::Past;
use crate::reader::{From, RecordBuffer};
use crate::real_disk::RealDisk;
use crate::record::{Record, RecordHeader, read_record};
use crate::scan::{DiskSegment, Stream, load_segments};
use crate::segment::archive_path;
use crate::segments::open_named;

/// In which forms a segment is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentForm {
    /// Its segment file alone.
    Plain,
    /// Its segment file and its archive.
    Both,
    /// Its archive alone, beside the segments.
    Packed,
    /// Only what was shipped to the archive target.
    Shipped,
}

/// What `inspect` says of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The file.
    pub path: PathBuf,
    /// Its first stream address.
    pub first_address: u64,
    /// Stream bytes it holds when full.
    pub stream_bytes: u64,
    /// Wall clock when it was prepared, nanoseconds since 1970.
    pub created_ns: u64,
    /// Sequence of its first record; `None` while it holds none.
    pub first_sequence: Option<u64>,
    /// Anything was ever written to it.
    pub begun: bool,
    /// A later segment was begun, so this one is full and durable.
    pub sealed: bool,
    /// The highest durable sequence its tail slots name, 0 without one.
    pub watermark_sequence: u64,
    /// Generation of its newest tail slot, 0 without one.
    pub slot_generation: u64,
    /// In which forms it is there.
    pub form: SegmentForm,
    /// Bytes that its files take in the log's directory.
    pub file_bytes: u64,
    /// Bytes of its archive, 0 without one.
    pub packed_bytes: u64,
    /// Cursors that need it, by name.
    pub held_by: Vec<String>,
}

/// A log opened for reading only. Of a live log it shows a picture that may be a moment old.
#[derive(Debug)]
pub struct ReadOnlyLog {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) tail_dir: PathBuf,
    pub(crate) target: Option<Arc<dyn ArchiveTarget>>,
    pub(crate) meta: Meta,
    pub(crate) past: Past,
    pub(crate) segments: Vec<DiskSegment>,
    cursor: Option<Cursor>,
    lookup: Option<Lookup>,
}

/// Opens the log in `dir` without its lock.
pub fn open_read_only(dir: &Path) -> Result<ReadOnlyLog, OpenError> {
    if !dir.is_dir() {
        return Err(OpenError::NotALog { dir: dir.to_path_buf() });
    }
    open_read_only_on(dir, Arc::new(RealDisk::read_only()))
}

/// As [`open_read_only`], on another disk.
pub fn open_read_only_on(dir: &Path, disk: Arc<dyn Disk>) -> Result<ReadOnlyLog, OpenError> {
    let meta = Meta::load(&*disk, dir)?.ok_or_else(|| OpenError::NotALog { dir: dir.to_path_buf() })?;
    let (past, segments) = load_live(&*disk, dir, &meta)?;
    let (dir, tail_dir) = (dir.to_path_buf(), PathBuf::from(SHARED_MEMORY));
    Ok(ReadOnlyLog { disk, dir, tail_dir, target: None, meta, past, segments, cursor: None, lookup: None })
}

/// A live log changes while it is listed: a segment is archived or dropped, a slot is read half written. What stays wrong is wrong.
fn load_live(disk: &dyn Disk, dir: &Path, meta: &Meta) -> Result<(Past, Vec<DiskSegment>), OpenError> {
    let load = || {
        let past = Past::load(disk, dir, meta.log_id)?;
        let segments = load_segments(disk, dir, meta.log_id, meta.segment_bytes, past.plain_from)?;
        past.chain_before(dir, segments.first().map(|s| s.first))?;
        Ok((past, segments))
    };
    let mut tries = 5;
    loop {
        match load() {
            Err(OpenError::Disk(e)) if e.is_missing() && tries > 0 => {}
            Err(OpenError::Corrupt(_) | OpenError::MissingSegment { .. } | OpenError::Manifest { .. }) if tries > 0 => {
            }
            other => return other,
        }
        tries -= 1;
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A walk along disk and tail.
#[derive(Debug)]
struct Cursor {
    chain: Chain,
    chunk_address: u64,
    chunk: AlignedBuffer,
    loaded: bool,
    tail: Option<TailImage>,
    tail_tried: bool,
    aligned: AlignedBuffer,
    archive: LastArchive,
}

/// The archive read last.
type LastArchive = Option<ArchivedFile>;

/// What reading single records keeps between them.
#[derive(Debug)]
struct Lookup {
    chunk: AlignedBuffer,
    archive: LastArchive,
    tail: Option<TailImage>,
}

impl ReadOnlyLog {
    /// Looks for the tail in `tail_dir` before the default places.
    pub fn with_tail_dir(mut self, tail_dir: &Path) -> Self {
        self.tail_dir = tail_dir.to_path_buf();
        self
    }

    /// Reads what only the archive has from the directory that the log ships to.
    pub fn with_archive(self, dir: &Path) -> Self {
        let target = Arc::new(DirectoryTarget::new(Arc::clone(&self.disk), dir));
        self.with_target(target)
    }

    /// Reads what only the archive has from there.
    pub fn with_target(mut self, target: Arc<dyn ArchiveTarget>) -> Self {
        self.target = Some(target);
        self
    }

    /// The log's identity.
    pub fn log_id(&self) -> u64 {
        self.meta.log_id
    }

    /// Stream bytes of a segment.
    pub fn segment_bytes(&self) -> u64 {
        self.meta.segment_bytes
    }

    /// Wall clock when the log was made, nanoseconds since 1970.
    pub fn created_ns(&self) -> u64 {
        self.meta.created_ns
    }

    /// The segments, oldest first, archived ones included.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, OpenError> {
        let plain_from = self.segments.first().map_or(u64::MAX, |s| s.first);
        let archived = self.past.manifest.entries.iter().filter(|e| e.first_address < plain_from);
        let mut infos: Vec<SegmentInfo> = archived.map(|entry| self.archived_info(entry)).collect();
        let last_begun = self.segments.iter().rposition(|s| s.begun).unwrap_or(0);
        let mut stream = Stream::new(&self.segments, self.meta.segment_bytes);
        for (i, segment) in self.segments.iter().enumerate() {
            let mut chain = Chain::on_trust(self.meta.log_id, segment.first);
            let first_sequence = match stream.chunk(segment.first)? {
                Some(chunk) => match chain.step(chunk, segment.first) {
                    Walk::Record { header, .. } => Some(header.sequence),
                    _ => None,
                },
                None => None,
            };
            let slot = segment.newest_slot().map(|(_, s)| s);
            let packed_bytes = self.packed_bytes(segment.first).unwrap_or(0);
            infos.push(SegmentInfo {
                path: segment.file.path().to_path_buf(),
                first_address: segment.first,
                stream_bytes: segment.header.stream_bytes,
                created_ns: segment.header.created_ns,
                first_sequence,
                begun: segment.begun,
                sealed: i < last_begun,
                watermark_sequence: slot.map_or(0, |s| s.durable_sequence),
                slot_generation: slot.map_or(0, |s| s.generation),
                form: if packed_bytes > 0 { SegmentForm::Both } else { SegmentForm::Plain },
                file_bytes: HEAD_BYTES as u64 + segment.header.stream_bytes + packed_bytes,
                packed_bytes,
                held_by: self.holders(segment.first),
            });
        }
        Ok(infos)
    }

    fn packed_bytes(&self, first: u64) -> Option<u64> {
        self.past.packed.iter().find(|(address, _)| *address == first).map(|(_, bytes)| *bytes)
    }

    fn archived_info(&self, entry: &ArchiveEntry) -> SegmentInfo {
        let local = self.packed_bytes(entry.first_address);
        SegmentInfo {
            path: archive_path(&self.dir, entry.first_address),
            first_address: entry.first_address,
            stream_bytes: entry.stream_bytes,
            created_ns: entry.prepared_ns,
            first_sequence: Some(entry.first_sequence),
            begun: true,
            sealed: true,
            watermark_sequence: 0,
            slot_generation: 0,
            form: if local.is_some() { SegmentForm::Packed } else { SegmentForm::Shipped },
            file_bytes: local.unwrap_or(0),
            packed_bytes: entry.packed_bytes,
            held_by: self.holders(entry.first_address),
        }
    }

    /// Cursors that need the segment at `first`; a damaged one needs everything.
    fn holders(&self, first: u64) -> Vec<String> {
        let floor = |slot: &Option<CursorSlot>| Held { slot: *slot, ..Held::default() }.floor();
        let needs = |slot| floor(slot).is_some_and(|floor| floor < first + self.meta.segment_bytes);
        self.past.cursors.iter().filter(|(_, slot)| needs(slot)).map(|(name, _)| name.clone()).collect()
    }

    /// Copies of an archived segment that can be reached, the nearest first.
    pub(crate) fn copies(&self, entry: &ArchiveEntry) -> Vec<DiskResult<Arc<dyn DiskFile>>> {
        let local = self.packed_bytes(entry.first_address).is_some();
        let here = local.then(|| self.disk.open(&archive_path(&self.dir, entry.first_address), Access::Read));
        let there = self.target.as_ref().map(|t| t.open(&target_name(self.meta.log_id, entry.first_address)));
        here.into_iter().chain(there).collect()
    }

    /// The oldest address that can be read without a gap up to the end.
    pub(crate) fn first_readable(&self) -> u64 {
        let plain_from = self.segments.first().map_or(0, |s| s.first);
        let mut first = plain_from;
        for entry in self.past.manifest.entries.iter().rev().skip_while(|e| e.first_address >= plain_from) {
            if self.target.is_none() && self.packed_bytes(entry.first_address).is_none() {
                break;
            }
            first = entry.first_address;
        }
        first
    }

    /// Goes back to the oldest record.
    pub fn rewind(&mut self) {
        self.cursor = None;
    }

    /// The next record, disk first, then what only the tail holds; `None` at the end of what can be read. The log's own records are
    /// among them.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, OpenError> {
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.new_cursor(),
        };
        let found = self.advance(&mut cursor);
        let cursor = self.cursor.insert(cursor);
        let Some((offset, header)) = found? else { return Ok(None) };
        let payload = offset + HEADER_BYTES..offset + header.length as usize;
        let length = payload.len();
        cursor.aligned[..length].copy_from_slice(&cursor.chunk[payload]);
        Ok(Some(Record { header, payload: &cursor.aligned[..length] }))
    }

    /// Goes to a record; [`ReadOnlyLog::next`] gives it next. What only the tail holds is not looked for.
    pub fn seek(&mut self, from: From) -> Result<(), ReadError> {
        let mut cursor = self.new_cursor();
        let (first, end) = (self.first_readable(), Stream::small(&self.segments, self.meta.segment_bytes).range().1);
        let (address, wanted) = match from {
            From::Start => (first, 0),
            From::Address(address) => (address, 0),
            From::Sequence(sequence) => (self.find_chunk(&mut cursor, first, end, sequence)?, sequence),
        };
        if address != first {
            cursor.chain = Chain::on_trust(self.meta.log_id, address);
            cursor.chunk_address = chunk_floor(address);
            cursor.loaded = false;
        }
        if wanted > 0 {
            let mut last = 0;
            loop {
                let before = cursor.chain.clone();
                match self.advance(&mut cursor)? {
                    Some((_, header)) if header.sequence < wanted => last = header.sequence,
                    Some((_, header)) if header.sequence == wanted => {
                        cursor.chain = before;
                        break;
                    }
                    Some((_, header)) => return Err(ReadError::Gone { wanted, first: header.sequence }),
                    None if wanted == last + 1 => break,
                    None => return Err(ReadError::Beyond { wanted, last }),
                }
            }
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    /// The last chunk on disk whose first record is not beyond `sequence`.
    fn find_chunk(&self, cursor: &mut Cursor, first: u64, end: u64, sequence: u64) -> Result<u64, ReadError> {
        let chunk_bytes = CHUNK_BYTES as u64;
        let archived = &self.past.manifest.entries;
        let behind = archived.partition_point(|e| e.first_sequence <= sequence);
        let within = behind.checked_sub(1).and_then(|i| archived.get(i)).filter(|e| sequence <= e.last_sequence);
        let from = within.map_or_else(|| archived.last().map_or(first, |e| e.next_address()), |e| e.first_address);
        let to = within.map_or(end, |e| e.next_address());
        let (mut low, mut high) = (from.max(first) / chunk_bytes, (to - 1) / chunk_bytes);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let address = middle * chunk_bytes;
            let loaded = self.load_chunk(&mut cursor.archive, address, &mut cursor.chunk)?;
            let header = loaded.then(|| read_record(&cursor.chunk, 0, self.meta.log_id, address).ok()).flatten();
            // Beyond the end there are zeros; what is damaged is told by who reads it in order.
            if header.is_some_and(|h| h.sequence <= sequence) { low = middle } else { high = middle - 1 }
        }
        cursor.loaded = false;
        Ok(low * chunk_bytes)
    }

    /// Copies the record at `address` out, verified: from a segment, an archive, or the tail.
    pub fn read_at(&mut self, address: u64, buffer: &mut RecordBuffer) -> Result<(), ReadError> {
        let mut lookup = match self.lookup.take() {
            Some(lookup) => lookup,
            None => Lookup { chunk: AlignedBuffer::new(CHUNK_BYTES), archive: None, tail: self.own_tail()? },
        };
        let found = self.look_up(&mut lookup, address, buffer);
        self.lookup = Some(lookup);
        found
    }

    fn look_up(&self, lookup: &mut Lookup, address: u64, buffer: &mut RecordBuffer) -> Result<(), ReadError> {
        let (chunk, log_id) = (chunk_floor(address), self.meta.log_id);
        let offset = (address - chunk) as usize;
        let on_disk = self.load_chunk(&mut lookup.archive, chunk, &mut lookup.chunk)?;
        let found = buffer.take(if on_disk { &lookup.chunk } else { &[] }, offset, log_id, address);
        match lookup.tail.as_ref().and_then(|tail| tail.chunk(chunk)) {
            Some(bytes) if found.is_err() => buffer.take(bytes, offset, log_id, address),
            _ => found,
        }
    }

    fn own_tail(&self) -> DiskResult<Option<TailImage>> {
        match find_tail(&*self.disk, &self.dir, &self.tail_dir, self.meta.log_id)? {
            TailFile::Image(image) if image.identity.log_id == self.meta.log_id => Ok(Some(image)),
            _ => Ok(None),
        }
    }

    fn new_cursor(&self) -> Cursor {
        let first = self.first_readable();
        let log_id = self.meta.log_id;
        let chain = self.past.manifest.chain_before(first).unwrap_or_else(|| Chain::on_trust(log_id, first));
        Cursor {
            chain,
            chunk_address: first,
            chunk: AlignedBuffer::new(CHUNK_BYTES),
            loaded: false,
            tail: None,
            tail_tried: false,
            aligned: AlignedBuffer::new(CHUNK_BYTES),
            archive: None,
        }
    }

    fn advance(&self, cursor: &mut Cursor) -> DiskResult<Option<(usize, RecordHeader)>> {
        loop {
            if !cursor.loaded {
                cursor.loaded = self.load_next(cursor)?;
            }
            if cursor.loaded {
                match cursor.chain.step(&cursor.chunk, cursor.chunk_address) {
                    Walk::Record { offset, header } => return Ok(Some((offset, header))),
                    Walk::NextChunk => {
                        cursor.chunk_address += CHUNK_BYTES as u64;
                        cursor.loaded = false;
                        continue;
                    }
                    Walk::Stop(_) => {}
                }
            }
            // The disk ends here. The tail may go on, in this chunk or in the one where the record before ended.
            if cursor.tail_tried {
                return Ok(None);
            }
            cursor.tail_tried = true;
            if let Some(image) = self.own_tail()?
                && image.identity.epoch >= cursor.chain.end.epoch
            {
                // A block given back was durable to its end: the disk's own chunk has been read, and the next one decides.
                let end = cursor.chain.end.address;
                if image.identity.epoch == cursor.chain.end.epoch && image.chunk(chunk_floor(end)).is_some() {
                    cursor.chunk_address = chunk_floor(end);
                }
                cursor.tail = Some(image);
                cursor.loaded = false;
            }
        }
    }

    /// The cursor's chunk into its buffer; false beyond the end.
    fn load_next(&self, cursor: &mut Cursor) -> DiskResult<bool> {
        let Some(tail) = &cursor.tail else {
            return self.load_chunk(&mut cursor.archive, cursor.chunk_address, &mut cursor.chunk);
        };
        let Some(bytes) = tail.chunk(cursor.chunk_address) else { return Ok(false) };
        cursor.chunk.copy_from_slice(bytes);
        Ok(true)
    }

    /// A chunk from segment or archive; false where neither has it.
    fn load_chunk(&self, archive: &mut LastArchive, address: u64, out: &mut [u8]) -> DiskResult<bool> {
        let mut stream = Stream::small(&self.segments, self.meta.segment_bytes);
        if address >= stream.range().0 {
            let Some(bytes) = stream.chunk(address)? else { return Ok(false) };
            out.copy_from_slice(bytes);
            return Ok(true);
        }
        let first = address - address % self.meta.segment_bytes;
        if archive.as_ref().is_none_or(|file| file.entry().first_address != first) {
            let Some(entry) = self.past.manifest.entry(first) else { return Ok(false) };
            let Some(copy) = self.copies(entry).into_iter().next() else { return Ok(false) };
            *archive = Some(open_named(copy?, entry)?);
        }
        let Some(file) = archive else { return Ok(false) };
        Ok(file.read_at(HEAD_BYTES as u64 + (address - first), out)? == CHUNK_BYTES)
    }
}
