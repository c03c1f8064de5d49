//! What is known of one archived segment: where it begins and ends, what it links to, and the checksums of its bytes.

use crate::chain::{Chain, End};
use crate::record::{u32_at, u64_at};

const ENTRY_MAGIC: u32 = u32::from_le_bytes(*b"LARC");
const FLAG_CLOSED: u32 = 1;
const FLAG_IN_GROUP: u32 = 2;

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 128;

/// One archived segment.
///
/// ```text
/// offset  bytes  field
///      0      4  magic              "LARC"
///      4      4  checksum           CRC32C of bytes 8..128
///      8      8  log_id
///     16      8  first_address      of the segment
///     24      8  stream_bytes       of the segment
///     32      8  first_sequence     of the first record that begins in it
///     40      8  last_sequence      of the last one
///     48      8  end_address        just past the last record
///     56      4  last_checksum      of the last record
///     60      4  last_epoch         of the last record
///     64      4  before_checksum    of the record before the first, 0 for none
///     68      4  flags              bit 0: the last record closes its epoch; bit 1: a group goes on in the next segment
///     72      8  durable_sequence   known when the segment was archived
///     80      8  file_bytes         of the segment file
///     88      4  file_checksum      CRC32C of the segment file
///     92      4  frame_bytes        of the segment file in one frame
///     96      8  packed_bytes       of all frames
///    104      4  packed_checksum    CRC32C of all frames
///    108      4  zero
///    112      8  prepared_ns        wall clock when the segment file was made
///    120      8  archived_ns        wall clock when it was archived
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// The log.
    pub log_id: u64,
    /// Address of the segment's first stream byte.
    pub first_address: u64,
    /// Stream bytes of the segment.
    pub stream_bytes: u64,
    /// Sequence of its first record.
    pub first_sequence: u64,
    /// Sequence of its last record.
    pub last_sequence: u64,
    /// Just past its last record.
    pub end_address: u64,
    /// Checksum of its last record: the next segment's first record names it.
    pub last_checksum: u32,
    /// Epoch of its last record.
    pub last_epoch: u32,
    /// Checksum of the record before its first, 0 for none.
    pub before_checksum: u32,
    /// Its last record closes an epoch.
    pub closed: bool,
    /// A group goes on in the next segment.
    pub in_group: bool,
    /// Everything up to here was durable when it was archived: a witness of what comes after it.
    pub durable_sequence: u64,
    /// Bytes of the segment file.
    pub file_bytes: u64,
    /// CRC32C of the segment file.
    pub file_checksum: u32,
    /// Bytes of the segment file in one frame.
    pub frame_bytes: u32,
    /// Bytes of all frames.
    pub packed_bytes: u64,
    /// CRC32C of all frames.
    pub packed_checksum: u32,
    /// Wall clock when the segment file was made, nanoseconds since 1970.
    pub prepared_ns: u64,
    /// Wall clock when it was archived, nanoseconds since 1970.
    pub archived_ns: u64,
}

impl ArchiveEntry {
    /// Address of the first stream byte behind the segment.
    pub const fn next_address(&self) -> u64 {
        self.first_address + self.stream_bytes
    }

    /// The chain as it stands behind this segment.
    pub(crate) fn chain(&self) -> Chain {
        let end = End {
            address: self.end_address,
            sequence: self.last_sequence,
            checksum: self.last_checksum,
            epoch: self.last_epoch,
            closed: self.closed,
        };
        Chain::resume(self.log_id, end, self.in_group)
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0u8; ENTRY_BYTES];
        let flags = if self.closed { FLAG_CLOSED } else { 0 } | if self.in_group { FLAG_IN_GROUP } else { 0 };
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &ENTRY_MAGIC.to_le_bytes());
        put(8, &self.log_id.to_le_bytes());
        put(16, &self.first_address.to_le_bytes());
        put(24, &self.stream_bytes.to_le_bytes());
        put(32, &self.first_sequence.to_le_bytes());
        put(40, &self.last_sequence.to_le_bytes());
        put(48, &self.end_address.to_le_bytes());
        put(56, &self.last_checksum.to_le_bytes());
        put(60, &self.last_epoch.to_le_bytes());
        put(64, &self.before_checksum.to_le_bytes());
        put(68, &flags.to_le_bytes());
        put(72, &self.durable_sequence.to_le_bytes());
        put(80, &self.file_bytes.to_le_bytes());
        put(88, &self.file_checksum.to_le_bytes());
        put(92, &self.frame_bytes.to_le_bytes());
        put(96, &self.packed_bytes.to_le_bytes());
        put(104, &self.packed_checksum.to_le_bytes());
        put(112, &self.prepared_ns.to_le_bytes());
        put(120, &self.archived_ns.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` when these bytes are no entry.
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let flags = u32_at(bytes, 68);
        let sound = u32_at(bytes, 0) == ENTRY_MAGIC
            && u32_at(bytes, 4) == crc32c::crc32c(&bytes[8..])
            && flags & !(FLAG_CLOSED | FLAG_IN_GROUP) == 0
            && u32_at(bytes, 108) == 0;
        sound.then(|| Self {
            log_id: u64_at(bytes, 8),
            first_address: u64_at(bytes, 16),
            stream_bytes: u64_at(bytes, 24),
            first_sequence: u64_at(bytes, 32),
            last_sequence: u64_at(bytes, 40),
            end_address: u64_at(bytes, 48),
            last_checksum: u32_at(bytes, 56),
            last_epoch: u32_at(bytes, 60),
            before_checksum: u32_at(bytes, 64),
            closed: flags & FLAG_CLOSED != 0,
            in_group: flags & FLAG_IN_GROUP != 0,
            durable_sequence: u64_at(bytes, 72),
            file_bytes: u64_at(bytes, 80),
            file_checksum: u32_at(bytes, 88),
            frame_bytes: u32_at(bytes, 92),
            packed_bytes: u64_at(bytes, 96),
            packed_checksum: u32_at(bytes, 104),
            prepared_ns: u64_at(bytes, 112),
            archived_ns: u64_at(bytes, 120),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> ArchiveEntry {
        ArchiveEntry {
            log_id: 7,
            first_address: 1 << 18,
            stream_bytes: 1 << 18,
            first_sequence: 10,
            last_sequence: 20,
            end_address: (1 << 19) - 64,
            last_checksum: 11,
            last_epoch: 2,
            before_checksum: 12,
            closed: true,
            in_group: false,
            durable_sequence: 33,
            file_bytes: (1 << 18) + (1 << 16),
            file_checksum: 13,
            frame_bytes: 1 << 18,
            packed_bytes: 999,
            packed_checksum: 14,
            prepared_ns: 15,
            archived_ns: 16,
        }
    }

    #[test]
    fn every_bit_is_guarded() {
        let entry = sample();
        let mut bytes = entry.encode();
        assert_eq!(ArchiveEntry::decode(&bytes), Some(entry));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ArchiveEntry::decode(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
