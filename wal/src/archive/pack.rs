//! Making an archive of a sealed segment, and checking one: what is read is checked before it is compressed, and what was written is
//! read back, decompressed and checked again before it counts.

use std::path::Path;

use zstd::bulk::Compressor;

use crate::aligned::AlignedBuffer;
use crate::archive::entry::ArchiveEntry;
use crate::archive::file::ArchivedFile;
use crate::archive::seekable::{read_all, trailer};
use crate::chain::Chain;
use crate::damage::{Corrupt, What};
use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::limits::{ARCHIVE_FRAME_BYTES, HEAD_BYTES, SCAN_BYTES};
use crate::segment::{archive_path, segment_path};
use crate::segment_check::{SegmentCheck, SegmentEnds};

/// Why a segment was not archived, or why an archive does not count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    /// The bytes are not what was written.
    #[error("{0}")]
    Damaged(Corrupt),
    /// A file operation failed. Nothing was left behind but what the next try overwrites.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Told to stop in the middle.
    #[error("stopped")]
    Stopped,
}

/// One segment to be archived.
pub(crate) struct Pack<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) log_id: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) first: u64,
    /// The chain behind the segment before.
    pub(crate) before: Chain,
    pub(crate) durable_sequence: u64,
    /// Of zstd.
    pub(crate) level: i32,
    pub(crate) now_ns: u64,
}

impl Pack<'_> {
    /// Makes the archive beside the segment under its final name, durable and checked. The segment stays. `stop` is asked once a frame.
    pub(crate) fn run(&self, stop: &dyn Fn() -> bool) -> Result<ArchiveEntry, PackError> {
        let path = archive_path(self.dir, self.first);
        let new = path.with_extension("zst.new");
        let result = self.write_and_check(&path, &new, stop);
        if result.is_err() {
            // What is half made only takes room.
            let _ = self.disk.unlink(&new);
        }
        result
    }

    fn write_and_check(&self, path: &Path, new: &Path, stop: &dyn Fn() -> bool) -> Result<ArchiveEntry, PackError> {
        let entry = self.write(new, stop)?;
        let packed = ArchivedFile::open(self.disk.open(new, Access::Read)?)?;
        let (found, _) = check(&packed, Some(self.before.clone()), stop)?;
        assert_eq!(found, entry, "an archive that checks and is another one");
        self.disk.rename(new, path)?;
        self.disk.sync_dir(self.dir)?;
        Ok(entry)
    }

    fn write(&self, new: &Path, stop: &dyn Fn() -> bool) -> Result<ArchiveEntry, PackError> {
        let source_path = segment_path(self.dir, self.first);
        let source = self.disk.open(&source_path, Access::Read)?;
        let out = self.disk.open(new, Access::CreateSmall)?;
        let mut segment =
            SegmentCheck::new(self.log_id, self.first, self.segment_bytes, self.before.clone(), source_path.clone());
        let zstd_failed = |e| DiskError::new("zstd", &source_path, 0, e);
        let mut compressor = Compressor::new(self.level).map_err(zstd_failed)?;
        compressor.include_checksum(true).map_err(zstd_failed)?;
        let file_bytes = HEAD_BYTES as u64 + self.segment_bytes;
        let mut plain = AlignedBuffer::new(ARCHIVE_FRAME_BYTES);
        let mut frame = vec![0u8; zstd::zstd_safe::compress_bound(ARCHIVE_FRAME_BYTES)];
        let mut sizes = Vec::new();
        let (mut at, mut packed_bytes, mut packed_checksum) = (0, 0u64, 0);
        while at < file_bytes {
            if stop() {
                return Err(PackError::Stopped);
            }
            let plain = &mut plain[..(file_bytes - at).min(ARCHIVE_FRAME_BYTES as u64) as usize];
            read_all(&*source, at, plain)?;
            segment.feed(plain).map_err(PackError::Damaged)?;
            let size = compressor.compress_to_buffer(plain, &mut frame[..]).map_err(zstd_failed)?;
            out.write_at(packed_bytes, &frame[..size])?;
            packed_checksum = crc32c::crc32c_append(packed_checksum, &frame[..size]);
            packed_bytes += size as u64;
            sizes.push(size as u32);
            at += plain.len() as u64;
        }
        let ends = segment.finish().map_err(PackError::Damaged)?;
        let entry = self.entry(&ends, file_bytes, packed_bytes, packed_checksum);
        out.write_at(packed_bytes, &trailer(&entry, &sizes))?;
        out.sync_data()?;
        Ok(entry)
    }

    fn entry(&self, ends: &SegmentEnds, file_bytes: u64, packed_bytes: u64, packed_checksum: u32) -> ArchiveEntry {
        let end = ends.chain.end;
        ArchiveEntry {
            log_id: self.log_id,
            first_address: self.first,
            stream_bytes: self.segment_bytes,
            first_sequence: ends.first_sequence,
            last_sequence: end.sequence,
            end_address: end.address,
            last_checksum: end.checksum,
            last_epoch: end.epoch,
            before_checksum: ends.before_checksum,
            closed: end.closed,
            in_group: ends.chain.in_group(),
            durable_sequence: self.durable_sequence,
            file_bytes,
            file_checksum: ends.checksum,
            frame_bytes: ARCHIVE_FRAME_BYTES as u32,
            packed_bytes,
            packed_checksum,
            prepared_ns: ends.header.created_ns,
            archived_ns: self.now_ns,
        }
    }
}

/// Checks an archive whole: packed bytes, frames, the segment file in them, the records in that, and that the entry says so. Gives back
/// the entry and the chain behind the segment. With `before` the records must continue that chain.
pub(crate) fn check(
    file: &ArchivedFile,
    before: Option<Chain>,
    stop: &dyn Fn() -> bool,
) -> Result<(ArchiveEntry, Chain), PackError> {
    let entry = *file.entry();
    let damaged = |offset| {
        PackError::Damaged(Corrupt {
            segment: file.path().to_path_buf(),
            offset,
            address: entry.first_address,
            sequence: entry.first_sequence,
            what: What::Archive,
        })
    };
    check_packed(file, stop)?;
    let before = before.unwrap_or_else(|| Chain::on_trust(entry.log_id, entry.first_address));
    let path = file.path().to_path_buf();
    let mut segment = SegmentCheck::new(entry.log_id, entry.first_address, entry.stream_bytes, before, path);
    let mut plain = AlignedBuffer::new(entry.frame_bytes as usize);
    for frame in 0..file.table().frames() {
        if stop() {
            return Err(PackError::Stopped);
        }
        let range = file.table().plain(frame);
        let plain = &mut plain[..(range.end - range.start) as usize];
        file.unpack(frame, plain)?;
        segment.feed(plain).map_err(PackError::Damaged)?;
    }
    let ends = segment.finish().map_err(PackError::Damaged)?;
    let chain = ends.chain;
    let said = ArchiveEntry {
        first_sequence: ends.first_sequence,
        last_sequence: chain.end.sequence,
        end_address: chain.end.address,
        last_checksum: chain.end.checksum,
        last_epoch: chain.end.epoch,
        before_checksum: ends.before_checksum,
        closed: chain.end.closed,
        in_group: chain.in_group(),
        file_checksum: ends.checksum,
        prepared_ns: ends.header.created_ns,
        ..entry
    };
    if said != entry || entry.durable_sequence <= entry.last_sequence {
        return Err(damaged(0));
    }
    Ok((entry, chain))
}

/// Checks the packed bytes alone: that a copy is a copy.
pub(crate) fn check_packed(file: &ArchivedFile, stop: &dyn Fn() -> bool) -> Result<(), PackError> {
    let entry = file.entry();
    let packed = file.packed();
    let mut buffer = vec![0u8; SCAN_BYTES];
    let (mut at, mut checksum) = (0, 0);
    while at < entry.packed_bytes {
        if stop() {
            return Err(PackError::Stopped);
        }
        let part = &mut buffer[..(entry.packed_bytes - at).min(SCAN_BYTES as u64) as usize];
        read_all(&**packed, at, part)?;
        checksum = crc32c::crc32c_append(checksum, part);
        at += part.len() as u64;
    }
    if checksum == entry.packed_checksum {
        return Ok(());
    }
    Err(PackError::Damaged(Corrupt {
        segment: packed.path().to_path_buf(),
        offset: 0,
        address: entry.first_address,
        sequence: entry.first_sequence,
        what: What::Archive,
    }))
}
