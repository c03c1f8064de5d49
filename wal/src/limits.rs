//! Every bound of the format and of the writer, in one place, with the relations between them asserted.

/// The stream is cut in chunks of this many bytes; no record straddles a chunk.
pub const CHUNK_BYTES: usize = 65_536;
/// The unit in which the stream area of a segment is written. Each full block is written once.
pub const BLOCK_BYTES: usize = 4_096;
/// A record's header.
pub const HEADER_BYTES: usize = 64;
/// Records begin at multiples of this; what lies between is zeros.
pub const RECORD_ALIGN: usize = 8;
/// The largest payload of one record. A larger decision is a group of records.
pub const MAX_PAYLOAD_BYTES: usize = CHUNK_BYTES - HEADER_BYTES;
/// "No such record": the end of a back-link chain, or a tail block that holds nothing.
pub const NO_ADDRESS: u64 = u64::MAX;

/// The head area of a segment file: header block, tail slots, zeros. The stream bytes follow.
pub const HEAD_BYTES: usize = 65_536;
/// Tail slots of a segment.
pub const SLOT_COUNT: usize = 4;
/// Where the tail slots lie in the head area.
pub const SLOT_OFFSETS: [u64; SLOT_COUNT] = [4_096, 12_288, 20_480, 28_672];
/// Behind the last slot: zeros up to the end of the head area.
pub const SLOTS_END: usize = 36_864;
/// Most flushes under way at a time. One slot more holds the newest durable end of the log, whatever becomes of theirs.
pub const MAX_FLUSHES_IN_FLIGHT: usize = SLOT_COUNT - 1;
/// One tail slot, header and all. The checksum covers every byte of it.
pub const SLOT_BYTES: usize = 8_192;
/// The header of a tail slot.
pub const SLOT_HEADER_BYTES: usize = 64;

/// Version of the files. A reader refuses what it does not know.
pub const FORMAT_VERSION: u32 = 1;
/// Version of the segment files, the only one that is read: those before it, with two tail slots, were never released.
pub const SEGMENT_VERSION: u32 = 3;

/// Smallest segment: tests roll often.
pub const MIN_SEGMENT_BYTES: u64 = 2 * CHUNK_BYTES as u64;
/// Largest segment.
pub const MAX_SEGMENT_BYTES: u64 = 16 << 30;
/// Fewest tail blocks: one being filled, one being written on, and room to breathe.
pub const MIN_TAIL_BLOCKS: u32 = 4;
/// Most tail blocks (4 GiB).
pub const MAX_TAIL_BLOCKS: u32 = 65_536;
/// Segments kept ready beyond the one being written.
pub const SEGMENTS_AHEAD: u64 = 2;
/// Largest single write handed to the disk; more bytes become several writes in flight.
pub const MAX_WRITE_BYTES: usize = 256 << 10;
/// Ceiling of one flush.
pub const MAX_FLUSH_BYTES: usize = 64 << 20;
/// How often the preparer tries again while space is short.
pub const SPACE_RETRY_MS: u64 = 200;
/// Bytes read in one call when a log is read from the front.
pub const SCAN_BYTES: usize = 1 << 20;

/// Chunks that a reader of single records keeps whole, ...
pub const NEAR_CHUNKS: usize = 16;
/// ... and reads back at which it looks for one that is met again.
pub const NEAR_MET: usize = 32;

/// Bytes of a segment file in one frame of an archive: what reading one record of it decompresses.
pub const ARCHIVE_FRAME_BYTES: usize = 256 << 10;
/// Most frames of an archive.
pub const ARCHIVE_FRAMES_MAX: usize = (MAX_SEGMENT_BYTES as usize + HEAD_BYTES).div_ceil(ARCHIVE_FRAME_BYTES);
/// Most archived segments of one log.
pub const MANIFEST_ENTRIES_MAX: usize = 1 << 20;
/// Largest file that an archive target replaces whole: what is shipped of a log of the most segments, or its tail.
pub const SMALL_FILE_BYTES_MAX: u64 = 1 << 30;
/// Stream bytes that a copy of a log's tail holds at most: with more of them in no shipped segment none is made, and that is told.
pub const TAIL_COPY_BYTES_MAX: u64 = 256 << 20;
/// Damaged files of one name that are kept beside it.
pub const ASIDE_MAX: u32 = 1_000;
/// Most cursors of one log.
pub const CURSORS_MAX: usize = 64;
/// Decompressed frames that an open archive keeps.
pub const ARCHIVE_FRAMES_CACHED: usize = 4;
/// Files of sealed and archived segments that a log keeps open for its readers.
pub const SEGMENT_HANDLES_MAX: usize = 64;

const _: () = assert!(SMALL_FILE_BYTES_MAX > (MANIFEST_ENTRIES_MAX * 128) as u64);
const _: () = assert!(TAIL_COPY_BYTES_MAX <= SMALL_FILE_BYTES_MAX);
const _: () = assert!(NEAR_CHUNKS <= NEAR_MET);
const _: () = assert!(CHUNK_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(HEAD_BYTES.is_multiple_of(CHUNK_BYTES));
const _: () = assert!(ARCHIVE_FRAME_BYTES.is_multiple_of(CHUNK_BYTES));
const _: () = assert!(ARCHIVE_FRAME_BYTES >= HEAD_BYTES + CHUNK_BYTES);
const _: () = assert!(HEADER_BYTES.is_multiple_of(RECORD_ALIGN));
const _: () = assert!(MAX_PAYLOAD_BYTES >= 32 << 10);
const _: () = assert!(SLOT_OFFSETS[0] as usize >= BLOCK_BYTES);
const _: () = assert!(SLOT_OFFSETS[0] as usize + SLOT_BYTES <= SLOT_OFFSETS[1] as usize);
const _: () = assert!(SLOT_OFFSETS[1] as usize + SLOT_BYTES <= SLOT_OFFSETS[2] as usize);
const _: () = assert!(SLOT_OFFSETS[2] as usize + SLOT_BYTES <= SLOT_OFFSETS[3] as usize);
const _: () = assert!(SLOT_OFFSETS[SLOT_COUNT - 1] as usize + SLOT_BYTES == SLOTS_END);
const _: () = assert!(SLOTS_END <= HEAD_BYTES);
const _: () = assert!(MAX_FLUSHES_IN_FLIGHT >= 1 && MAX_FLUSHES_IN_FLIGHT < SLOT_COUNT);
const _: () = assert!(SLOT_HEADER_BYTES + BLOCK_BYTES <= SLOT_BYTES);
const _: () = assert!(HEAD_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(MIN_SEGMENT_BYTES.is_multiple_of(CHUNK_BYTES as u64));
const _: () = assert!(SCAN_BYTES.is_multiple_of(CHUNK_BYTES));
const _: () = assert!(MAX_WRITE_BYTES.is_multiple_of(BLOCK_BYTES));

/// The start of the chunk that holds `address`.
#[inline]
pub(crate) const fn chunk_floor(address: u64) -> u64 {
    address - address % CHUNK_BYTES as u64
}

/// `address` rounded up to a chunk boundary.
#[inline]
pub(crate) const fn chunk_ceil(address: u64) -> u64 {
    address.next_multiple_of(CHUNK_BYTES as u64)
}

/// The start of the block that holds `address`.
#[inline]
pub(crate) const fn block_floor(address: u64) -> u64 {
    address - address % BLOCK_BYTES as u64
}

/// The bytes a record of that payload takes in the stream, padding included.
#[inline]
pub(crate) const fn padded_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(RECORD_ALIGN)
}
