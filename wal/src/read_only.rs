//! A log read from outside: without the lock, live or dead, the tail included. For `inspect`, `verify` and `dump`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::aligned::AlignedBuffer;
use crate::chain::{Chain, Walk};
use crate::damage::Corrupt;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::join::{TailFile, TailImage, join};
use crate::limits::{CHUNK_BYTES, HEADER_BYTES, chunk_floor};
use crate::meta::Meta;
use crate::open::{SHARED_MEMORY, find_tail};
use crate::real_disk::RealDisk;
use crate::record::{Record, RecordHeader};
use crate::recovery::{Ending, Place, TailFound};
use crate::scan::{DiskSegment, Stream, load_segments, scan};
use crate::segment::segment_path;

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
}

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
    /// What was durable is damaged.
    Damaged(Corrupt),
}

/// The result of [`ReadOnlyLog::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The verdict.
    pub outcome: VerifyOutcome,
    /// Whole records in the segments.
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
}

/// A log opened for reading only. Of a live log it shows a picture that may be a moment old.
#[derive(Debug)]
pub struct ReadOnlyLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    tail_dir: PathBuf,
    meta: Meta,
    segments: Vec<DiskSegment>,
    cursor: Option<Cursor>,
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
    let segments = load_live(&*disk, dir, &meta)?;
    if segments.is_empty() {
        return Err(OpenError::MissingSegment { path: segment_path(dir, 0), address: 0 });
    }
    let tail_dir = PathBuf::from(SHARED_MEMORY);
    Ok(ReadOnlyLog { disk, dir: dir.to_path_buf(), tail_dir, meta, segments, cursor: None })
}

/// A live log changes while it is listed: a segment is dropped, a slot is read half written. What stays wrong is wrong.
fn load_live(disk: &dyn Disk, dir: &Path, meta: &Meta) -> Result<Vec<DiskSegment>, OpenError> {
    let mut tries = 5;
    loop {
        match load_segments(disk, dir, meta.log_id, meta.segment_bytes) {
            Err(OpenError::Disk(e)) if e.is_missing() && tries > 0 => {}
            Err(OpenError::Corrupt(_) | OpenError::MissingSegment { .. }) if tries > 0 => {}
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
}

impl ReadOnlyLog {
    /// Looks for the tail in `tail_dir` before the default places.
    pub fn with_tail_dir(mut self, tail_dir: &Path) -> Self {
        self.tail_dir = tail_dir.to_path_buf();
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

    /// The segments, oldest first.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, OpenError> {
        let last_begun = self.segments.iter().rposition(|s| s.begun).unwrap_or(0);
        let mut stream = Stream::new(&self.segments, self.meta.segment_bytes);
        let mut infos = Vec::with_capacity(self.segments.len());
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
            });
        }
        Ok(infos)
    }

    /// Reads everything and says what is whole. `progress` gets bytes done and bytes in all.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, OpenError> {
        let mut stream = Stream::new(&self.segments, self.meta.segment_bytes);
        let scan = scan(&mut stream, self.meta.log_id, progress)?;
        let tail = find_tail(&*self.disk, &self.dir, &self.tail_dir, self.meta.log_id)?;
        let (tail_records, tail) = match &tail {
            TailFile::Missing => (0, "missing"),
            TailFile::Unreadable(_) => (0, "unreadable"),
            TailFile::Image(image) => {
                let boot = self.disk.boot_id();
                let joined = join(image, &scan.chain, &mut stream, self.meta.log_id, &boot)?;
                (joined.records, tail_word(joined.found))
            }
        };
        let end = scan.chain.end;
        let (first, _) = stream.range();
        let torn = scan.ending == Ending::Broken
            || (scan.ending == Ending::Empty && scan.nonzero_until > 0)
            || scan.chain.in_group();
        let outcome = if scan.place == Place::Below {
            VerifyOutcome::Damaged(scan.corrupt(&self.dir, self.meta.segment_bytes))
        } else if torn {
            let whole = scan.chain.whole.address;
            let until = scan.nonzero_until.max(end.address);
            VerifyOutcome::TornTail { address: whole, bytes: until.saturating_sub(whole) }
        } else {
            VerifyOutcome::Whole
        };
        Ok(VerifyReport {
            outcome,
            records: scan.records,
            bytes: end.address.saturating_sub(first),
            first_sequence: scan.first_sequence,
            last_sequence: end.sequence,
            watermark_sequence: scan.watermark,
            epoch: end.epoch,
            closed: end.closed,
            tail_records,
            tail,
        })
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

    fn new_cursor(&self) -> Cursor {
        let first = self.segments.first().map_or(0, |s| s.first);
        let log_id = self.meta.log_id;
        let chain = if first == 0 { Chain::from_start(log_id) } else { Chain::on_trust(log_id, first) };
        Cursor {
            chain,
            chunk_address: first,
            chunk: AlignedBuffer::new(CHUNK_BYTES),
            loaded: false,
            tail: None,
            tail_tried: false,
            aligned: AlignedBuffer::new(CHUNK_BYTES),
        }
    }

    fn advance(&self, cursor: &mut Cursor) -> Result<Option<(usize, RecordHeader)>, OpenError> {
        loop {
            if !cursor.loaded {
                cursor.loaded = self.load_chunk(cursor)?;
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
            if let TailFile::Image(image) = find_tail(&*self.disk, &self.dir, &self.tail_dir, self.meta.log_id)?
                && image.identity.log_id == self.meta.log_id
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

    fn load_chunk(&self, cursor: &mut Cursor) -> Result<bool, OpenError> {
        if let Some(tail) = &cursor.tail {
            let Some(bytes) = tail.chunk(cursor.chunk_address) else { return Ok(false) };
            cursor.chunk.copy_from_slice(bytes);
            return Ok(true);
        }
        let mut stream = Stream::small(&self.segments, self.meta.segment_bytes);
        let Some(bytes) = stream.chunk(cursor.chunk_address)? else { return Ok(false) };
        cursor.chunk.copy_from_slice(bytes);
        Ok(true)
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
