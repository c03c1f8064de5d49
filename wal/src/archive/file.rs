//! An archived segment as a file of the bytes it was made of, so that readers know one kind of segment only.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use zstd::bulk::Decompressor;

use crate::archive::entry::ArchiveEntry;
use crate::archive::seekable::{self, Table, damage, read_all};
use crate::disk::{DiskError, DiskFile, DiskResult};
use crate::limits::{ARCHIVE_FRAME_BYTES, ARCHIVE_FRAMES_CACHED};
use crate::log::lock;

/// Offsets are those of the segment file. Many readers share one: a frame is decompressed outside the lock.
pub(crate) struct ArchivedFile {
    packed: Arc<dyn DiskFile>,
    entry: ArchiveEntry,
    table: Table,
    /// The frames read last, the newest behind: a walk along back-links and a reader's start stay in a few of them.
    cache: Mutex<VecDeque<(usize, Arc<[u8]>)>>,
    idle: Mutex<Vec<Tools>>,
}

/// What decompressing one frame needs, kept from read to read.
struct Tools {
    decompressor: Decompressor<'static>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for ArchivedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArchivedFile({})", self.packed.path().display())
    }
}

impl ArchivedFile {
    /// Reads the table of frames.
    pub(crate) fn open(packed: Arc<dyn DiskFile>) -> DiskResult<Self> {
        let (entry, table) = seekable::open(&*packed)?;
        Ok(Self { packed, entry, table, cache: Mutex::default(), idle: Mutex::default() })
    }

    /// What the file says of itself.
    pub(crate) fn entry(&self) -> &ArchiveEntry {
        &self.entry
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The compressed file.
    pub(crate) fn packed(&self) -> &Arc<dyn DiskFile> {
        &self.packed
    }

    fn tools(&self) -> DiskResult<Tools> {
        if let Some(tools) = lock(&self.idle).pop() {
            return Ok(tools);
        }
        let decompressor = Decompressor::new().map_err(|e| DiskError::new("zstd", self.packed.path(), 0, e))?;
        Ok(Tools { decompressor, packed: Vec::new() })
    }

    /// Decompresses a frame into a buffer of exactly its size. The frame's own checksum is compared.
    pub(crate) fn unpack(&self, frame: usize, out: &mut [u8]) -> DiskResult<()> {
        let mut tools = self.tools()?;
        let range = self.table.packed(frame);
        tools.packed.resize((range.end - range.start) as usize, 0);
        read_all(&*self.packed, range.start, &mut tools.packed)?;
        let done = tools.decompressor.decompress_to_buffer(&tools.packed, out);
        let whole = matches!(done, Ok(bytes) if bytes == out.len());
        lock(&self.idle).push(tools);
        if whole { Ok(()) } else { Err(damage(&*self.packed, range.start, "a frame does not decompress")) }
    }

    fn cached(&self, frame: usize) -> DiskResult<Arc<[u8]>> {
        if let Some((_, bytes)) = lock(&self.cache).iter().find(|(known, _)| *known == frame) {
            return Ok(Arc::clone(bytes));
        }
        let plain = self.table.plain(frame);
        let mut bytes = vec![0u8; (plain.end - plain.start) as usize];
        self.unpack(frame, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        let mut cache = lock(&self.cache);
        if cache.len() == ARCHIVE_FRAMES_CACHED {
            cache.pop_front();
        }
        cache.push_back((frame, Arc::clone(&bytes)));
        Ok(bytes)
    }

    fn refuse(&self, call: &'static str, offset: u64) -> DiskError {
        DiskError::new(call, self.packed.path(), offset, io::Error::from_raw_os_error(libc::EROFS))
    }
}

impl DiskFile for ArchivedFile {
    fn path(&self) -> &Path {
        self.packed.path()
    }

    fn len(&self) -> DiskResult<u64> {
        Ok(self.table.file_bytes())
    }

    fn preallocate(&self, _bytes: u64) -> DiskResult<()> {
        Err(self.refuse("fallocate", 0))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        let end = self.table.file_bytes().min(offset.saturating_add(buffer.len() as u64));
        let mut at = offset;
        while at < end {
            let frame = self.table.frame_of(at);
            let plain = self.table.plain(frame);
            let upto = end.min(plain.end);
            let out = &mut buffer[(at - offset) as usize..(upto - offset) as usize];
            if at == plain.start && upto == plain.end {
                // A scan takes whole frames, once: no copy, nothing of it kept.
                self.unpack(frame, out)?;
            } else {
                let bytes = self.cached(frame)?;
                out.copy_from_slice(&bytes[(at - plain.start) as usize..(upto - plain.start) as usize]);
            }
            at = upto;
        }
        Ok(end.saturating_sub(offset) as usize)
    }

    fn write_at(&self, offset: u64, _bytes: &[u8]) -> DiskResult<()> {
        Err(self.refuse("pwrite", offset))
    }

    fn sync_data(&self) -> DiskResult<()> {
        Err(self.refuse("fdatasync", 0))
    }
}

const _: () = assert!(ARCHIVE_FRAME_BYTES as u64 <= u32::MAX as u64);
