//! The archive file: independent zstd frames, the entry, and the table that lets a reader begin at any frame.
//!
//! It is the seekable format of the zstd project, so `zstd -d` gives the segment file back bit for bit: frames that each
//! decompress alone, then frames that decoders skip.
//!
//! ```text
//!     0      .  frames      each `frame_bytes` of the segment file (the last one what is left), with zstd's content checksum
//!     .      8  skippable   0x184D2A50, 128
//!     .    128  the entry
//!     .      8  skippable   0x184D2A5E, bytes that follow
//!     .    8 n  table       per frame, the entry's included: compressed bytes (u32), decompressed bytes (u32)
//!     .      9  footer      number of frames (u32), descriptor 0 (u8), 0x8F92EAB1 (u32)
//! ```

use std::io;

use crate::archive::entry::{ArchiveEntry, ENTRY_BYTES};
use crate::disk::{DiskError, DiskFile, DiskResult};
use crate::limits::{ARCHIVE_FRAMES_MAX, CHUNK_BYTES};
use crate::record::u32_at;

const SKIPPABLE_ENTRY: u32 = 0x184D_2A50;
const SKIPPABLE_TABLE: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
const SKIPPABLE_HEADER_BYTES: usize = 8;
const ROW_BYTES: usize = 8;
const FOOTER_BYTES: usize = 9;

/// Bytes behind the frames of a file of so many frames.
pub(crate) const fn trailer_bytes(frames: usize) -> usize {
    SKIPPABLE_HEADER_BYTES + ENTRY_BYTES + SKIPPABLE_HEADER_BYTES + (frames + 1) * ROW_BYTES + FOOTER_BYTES
}

/// The frames of a file: where each lies and how much of the segment file it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Offset of each frame in the archive, and behind them the end of the last.
    offsets: Vec<u64>,
    frame_bytes: u64,
    file_bytes: u64,
}

impl Table {
    pub(crate) fn frames(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Which frame holds that byte of the segment file.
    pub(crate) fn frame_of(&self, offset: u64) -> usize {
        (offset / self.frame_bytes) as usize
    }

    /// Where a frame lies in the archive.
    pub(crate) fn packed(&self, frame: usize) -> std::ops::Range<u64> {
        self.offsets[frame]..self.offsets[frame + 1]
    }

    /// Which bytes of the segment file a frame holds.
    pub(crate) fn plain(&self, frame: usize) -> std::ops::Range<u64> {
        let from = frame as u64 * self.frame_bytes;
        from..(from + self.frame_bytes).min(self.file_bytes)
    }

    /// Bytes of the segment file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }
}

/// Everything behind the frames, for a file whose frames have these sizes.
pub(crate) fn trailer(entry: &ArchiveEntry, packed: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(trailer_bytes(packed.len()));
    bytes.extend_from_slice(&SKIPPABLE_ENTRY.to_le_bytes());
    bytes.extend_from_slice(&(ENTRY_BYTES as u32).to_le_bytes());
    bytes.extend_from_slice(&entry.encode());
    bytes.extend_from_slice(&SKIPPABLE_TABLE.to_le_bytes());
    bytes.extend_from_slice(&(((packed.len() + 1) * ROW_BYTES + FOOTER_BYTES) as u32).to_le_bytes());
    let mut left = entry.file_bytes;
    for size in packed {
        let plain = left.min(entry.frame_bytes.into());
        left -= plain;
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&(plain as u32).to_le_bytes());
    }
    assert_eq!(left, 0, "the frames hold the whole segment file");
    bytes.extend_from_slice(&((SKIPPABLE_HEADER_BYTES + ENTRY_BYTES) as u32).to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&(packed.len() as u32 + 1).to_le_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
    bytes
}

/// Reads entry and table. What is not an archive of ours, or not whole, is [`io::ErrorKind::InvalidData`].
pub(crate) fn open(file: &dyn DiskFile) -> DiskResult<(ArchiveEntry, Table)> {
    let bytes = file.len()?;
    let damaged = |offset: u64, what: &'static str| damage(file, offset, what);
    if bytes < trailer_bytes(1) as u64 {
        return Err(damaged(0, "shorter than its table"));
    }
    let mut footer = [0u8; FOOTER_BYTES];
    let footer_at = bytes - FOOTER_BYTES as u64;
    read_all(file, footer_at, &mut footer)?;
    let rows = u32_at(&footer, 0) as usize;
    if u32_at(&footer, 5) != SEEKABLE_MAGIC || footer[4] != 0 || !(2..=ARCHIVE_FRAMES_MAX + 1).contains(&rows) {
        return Err(damaged(footer_at, "no table of frames at its end"));
    }
    let frames = rows - 1;
    let behind = trailer_bytes(frames) as u64;
    if bytes <= behind {
        return Err(damaged(footer_at, "a table larger than the file"));
    }
    let frames_end = bytes - behind;
    let mut trailer_bytes = vec![0u8; behind as usize];
    read_all(file, frames_end, &mut trailer_bytes)?;
    let entry_bytes = trailer_bytes[SKIPPABLE_HEADER_BYTES..].first_chunk().expect("longer than an entry");
    let Some(entry) = ArchiveEntry::decode(entry_bytes) else {
        return Err(damaged(frames_end, "its entry is damaged"));
    };
    let rows_at = SKIPPABLE_HEADER_BYTES + ENTRY_BYTES + SKIPPABLE_HEADER_BYTES;
    let packed: Vec<u32> = (0..frames).map(|i| u32_at(&trailer_bytes, rows_at + i * ROW_BYTES)).collect();
    let frame_bytes = u64::from(entry.frame_bytes);
    let sound = entry.file_bytes > 0
        && frame_bytes > 0
        && frame_bytes.is_multiple_of(CHUNK_BYTES as u64)
        && entry.file_bytes.div_ceil(frame_bytes) == frames as u64
        && entry.packed_bytes == frames_end
        && packed.iter().map(|size| u64::from(*size)).sum::<u64>() == frames_end;
    // With the sizes sound, everything behind the frames follows from entry and sizes.
    if !sound || trailer(&entry, &packed) != trailer_bytes {
        return Err(damaged(frames_end, "its table of frames is damaged"));
    }
    let mut offsets = Vec::with_capacity(rows);
    let mut at = 0;
    offsets.push(at);
    for size in packed {
        at += u64::from(size);
        offsets.push(at);
    }
    Ok((entry, Table { offsets, frame_bytes, file_bytes: entry.file_bytes }))
}

/// Fills the buffer or says that the file is too short.
pub(crate) fn read_all(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> DiskResult<()> {
    if file.read_at(offset, buffer)? == buffer.len() { Ok(()) } else { Err(damage(file, offset, "cut short")) }
}

/// An archive whose bytes are not what was written.
pub(crate) fn damage(file: &dyn DiskFile, offset: u64, what: &'static str) -> DiskError {
    DiskError::new("read archive", file.path(), offset, io::Error::new(io::ErrorKind::InvalidData, what))
}
