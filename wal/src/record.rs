//! The record: 64 bytes of header, the payload, zeros up to the next multiple of eight.
//!
//! The drawing below is the one of `docs/wal-format.md`; a test keeps the two equal.
//!
//! ```text
//! offset  bytes  field
//!      0      4  checksum            CRC32C of byte 8 to the end of the padding, and last of bytes 4..8
//!      4      4  previous_checksum   checksum of the record with sequence - 1; 0 for the first
//!      8      8  log_id
//!     16      8  sequence            1, 2, 3, ... over the whole life of the log
//!     24      8  address             where this record lies in the stream
//!     32      8  previous            address of the previous record of the same chain; all ones: none
//!     40      8  durable_sequence    known to be durable when this record was written
//!     48      4  epoch               rises by each opening of the log
//!     52      4  length              header + payload, without padding
//!     56      2  kind                0xFF00 and above belong to the log itself
//!     58      2  partition
//!     60      1  version             of the payload's schema
//!     61      1  flags               bit 0: the group goes on after this record; bit 1: not the group's first
//!     62      2  reserved            zero
//!     64      .  payload             then zeros to a multiple of 8
//! ```
//! All numbers are little endian.

use std::mem::{offset_of, size_of};

use crate::checksum::{CHAIN_AT, HEADER_WORDS, SUMMED_FROM, checksum_of};
use crate::damage::What;
use crate::limits::{CHUNK_BYTES, HEADER_BYTES, NO_ADDRESS, RECORD_ALIGN};

/// Kinds from here on are written by the log itself; everything below belongs to the user.
pub const INTERNAL_KINDS: u16 = 0xFF00;
/// The first record of every epoch. See [`EpochStart`].
pub const KIND_EPOCH_START: u16 = 0xFF01;
/// The last record of an epoch that was closed in order. Payload: wall clock in nanoseconds, `u64`.
pub const KIND_CLOSE: u16 = 0xFF02;

/// Bit 0 of `flags`.
pub const FLAG_GROUP_CONTINUES: u8 = 1;
/// Bit 1 of `flags`.
pub const FLAG_GROUP_MEMBER: u8 = 2;

/// The header as it lies on disk. Only its layout is used: the offsets below are taken from it.
#[repr(C)]
struct Drawn {
    checksum: u32,
    previous_checksum: u32,
    log_id: u64,
    sequence: u64,
    address: u64,
    previous: u64,
    durable_sequence: u64,
    epoch: u32,
    length: u32,
    kind: u16,
    partition: u16,
    version: u8,
    flags: u8,
    reserved: u16,
}

const _: () = assert!(size_of::<Drawn>() == HEADER_BYTES);
const _: () = assert!(offset_of!(Drawn, checksum) == 0);
const _: () = assert!(offset_of!(Drawn, previous_checksum) == CHAIN_AT);
const _: () = assert!(offset_of!(Drawn, log_id) == SUMMED_FROM);
const _: () = assert!(offset_of!(Drawn, sequence) == 16);
const _: () = assert!(offset_of!(Drawn, address) == 24);
const _: () = assert!(offset_of!(Drawn, previous) == 32);
const _: () = assert!(offset_of!(Drawn, durable_sequence) == 40);
const _: () = assert!(offset_of!(Drawn, epoch) == 48);
const _: () = assert!(offset_of!(Drawn, length) == 52);
const _: () = assert!(offset_of!(Drawn, kind) == 56);
const _: () = assert!(offset_of!(Drawn, partition) == 58);
const _: () = assert!(offset_of!(Drawn, version) == 60);
const _: () = assert!(offset_of!(Drawn, flags) == 61);
const _: () = assert!(offset_of!(Drawn, reserved) == 62);

/// Where a record stands in a group. A group is atomic: recovery keeps it whole or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// A record of its own.
    #[default]
    Single,
    /// Opens a group.
    First,
    /// Neither the first nor the last of its group.
    Middle,
    /// Completes a group.
    Last,
}

impl Group {
    /// The flag bits of the header.
    #[inline]
    pub const fn flags(self) -> u8 {
        match self {
            Group::Single => 0,
            Group::First => FLAG_GROUP_CONTINUES,
            Group::Middle => FLAG_GROUP_CONTINUES | FLAG_GROUP_MEMBER,
            Group::Last => FLAG_GROUP_MEMBER,
        }
    }

    /// From the flag bits; bits other than the two are refused by the record check.
    pub const fn from_flags(flags: u8) -> Self {
        match flags & (FLAG_GROUP_CONTINUES | FLAG_GROUP_MEMBER) {
            0 => Group::Single,
            FLAG_GROUP_CONTINUES => Group::First,
            FLAG_GROUP_MEMBER => Group::Last,
            _ => Group::Middle,
        }
    }

    /// True when more records of the group follow.
    #[inline]
    pub const fn continues(self) -> bool {
        matches!(self, Group::First | Group::Middle)
    }

    /// True when the group was opened by an earlier record.
    #[inline]
    pub const fn is_member(self) -> bool {
        matches!(self, Group::Middle | Group::Last)
    }
}

/// What the writer says about a record; the log fills in the rest of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// The user's kind, below [`INTERNAL_KINDS`].
    pub kind: u16,
    /// Version of the payload's schema.
    pub version: u8,
    /// The user's partition.
    pub partition: u16,
    /// Address of the previous record of the same chain, [`NO_ADDRESS`] for none.
    pub previous: u64,
    /// Place in a group.
    pub group: Group,
}

impl RecordMeta {
    /// A record of its own of that kind: version 1, partition 0, no back-link.
    pub const fn single(kind: u16) -> Self {
        Self { kind, version: 1, partition: 0, previous: NO_ADDRESS, group: Group::Single }
    }
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// CRC32C of the rest of the record, its padding included.
    pub checksum: u32,
    /// Header and payload, without padding, in bytes.
    pub length: u32,
    /// Which log this record belongs to.
    pub log_id: u64,
    /// Contiguous over the life of the log, from 1.
    pub sequence: u64,
    /// Byte position in the stream.
    pub address: u64,
    /// Previous record of the same chain, or [`NO_ADDRESS`].
    pub previous: u64,
    /// Known to be durable when this record was written.
    pub durable_sequence: u64,
    /// Opening of the log that wrote it.
    pub epoch: u32,
    /// Checksum of the record before.
    pub previous_checksum: u32,
    /// The user's kind, or one of the log's own from [`INTERNAL_KINDS`].
    pub kind: u16,
    /// The user's partition.
    pub partition: u16,
    /// Version of the payload's schema.
    pub version: u8,
    /// Group bits.
    pub flags: u8,
}

impl RecordHeader {
    /// Bytes of payload.
    #[inline]
    pub const fn payload_bytes(&self) -> usize {
        self.length as usize - HEADER_BYTES
    }

    /// Bytes this record takes in the stream.
    #[inline]
    pub const fn padded_bytes(&self) -> usize {
        (self.length as usize).next_multiple_of(RECORD_ALIGN)
    }

    /// Address just past the record and its padding.
    pub const fn end_address(&self) -> u64 {
        self.address + self.padded_bytes() as u64
    }

    /// Place in a group.
    pub const fn group(&self) -> Group {
        Group::from_flags(self.flags)
    }

    /// True for records the log wrote for itself.
    pub const fn is_internal(&self) -> bool {
        self.kind >= INTERNAL_KINDS
    }

    /// The 64 bytes, with whatever stands in `checksum`.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0u8; HEADER_BYTES];
        self.store(&mut bytes);
        bytes
    }

    /// Stores the header as eight words. Narrower stores, read back as words by the checksum or copied as vectors, would each wait for
    /// the store buffer; this is the hot path.
    #[inline]
    pub(crate) fn store(&self, out: &mut [u8; HEADER_BYTES]) {
        const fn pair(low: u32, high: u32) -> u64 {
            low as u64 | (high as u64) << 32
        }
        let small =
            self.kind as u64 | (self.partition as u64) << 16 | (self.version as u64) << 32 | (self.flags as u64) << 40;
        let words: [u64; HEADER_WORDS] = [
            pair(self.checksum, self.previous_checksum),
            self.log_id,
            self.sequence,
            self.address,
            self.previous,
            self.durable_sequence,
            pair(self.epoch, self.length),
            small,
        ];
        for (place, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
    }

    /// Decodes without judging; the readers do the checks.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            checksum: u32_at(bytes, 0),
            length: u32_at(bytes, 52),
            log_id: u64_at(bytes, 8),
            sequence: u64_at(bytes, 16),
            address: u64_at(bytes, 24),
            previous: u64_at(bytes, 32),
            durable_sequence: u64_at(bytes, 40),
            epoch: u32_at(bytes, 48),
            previous_checksum: u32_at(bytes, 4),
            kind: u16_at(bytes, 56),
            partition: u16_at(bytes, 58),
            version: bytes[60],
            flags: bytes[61],
        }
    }
}

/// The little-endian number at that offset. Panics beyond the end, as indexing does.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// As [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// As [`u16_at`].
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Reads the record that begins at `offset` of `chunk` and checks everything it can say about itself: length, checksum, log,
/// address, reserved bits, padding. `chunk` may end early (a live tail), never beyond the chunk.
pub(crate) fn read_record(chunk: &[u8], offset: usize, log_id: u64, address: u64) -> Result<RecordHeader, What> {
    debug_assert!(chunk.len() <= CHUNK_BYTES);
    let Some(rest) = chunk.get(offset..) else { return Err(What::Length) };
    let Some(header_bytes) = rest.first_chunk::<HEADER_BYTES>() else { return Err(What::Length) };
    let header = RecordHeader::decode(header_bytes);
    if header.length == 0 && header.checksum == 0 {
        return Err(What::Nothing);
    }
    let length = header.length as usize;
    // The length is judged before it is used, and again by the checksum that covers it.
    if length < HEADER_BYTES || header.padded_bytes() > rest.len() {
        return Err(What::Length);
    }
    if checksum_of(&rest[..header.padded_bytes()]) != header.checksum {
        return Err(What::Checksum);
    }
    if header.log_id != log_id {
        return Err(What::LogId { found: header.log_id });
    }
    if header.address != address {
        return Err(What::Address { found: header.address });
    }
    if u16_at(header_bytes, 62) != 0 || header.flags & !(FLAG_GROUP_CONTINUES | FLAG_GROUP_MEMBER) != 0 {
        return Err(What::Reserved);
    }
    if rest[length..header.padded_bytes()].iter().any(|b| *b != 0) {
        return Err(What::Padding);
    }
    Ok(header)
}

/// The payload of an [`KIND_EPOCH_START`] record: how the epoch before ended.
///
/// ```text
/// offset  bytes  field
///      0      4  epoch               the one that begins; as in the header
///      4      4  flags               bit 0: the epoch before was closed in order
///      8      8  end_address         just past the last record of the epoch before
///     16      8  end_sequence        its sequence, 0 for a new log
///     24      4  end_checksum        its checksum
///     28      4  zero
///     32      8  wall_clock_ns       when this epoch began, since 1970
///     40     16  boot_id             of the machine's start
///     56      8  lost_from_sequence  from here on `applied` answers of the epoch before may be lost; all ones: none
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch that begins.
    pub epoch: u32,
    /// The epoch before ended with a close record.
    pub clean: bool,
    /// Just past the last record of the epoch before.
    pub end_address: u64,
    /// Sequence of that record, 0 for a new log.
    pub end_sequence: u64,
    /// Checksum of that record.
    pub end_checksum: u32,
    /// Wall clock, nanoseconds since 1970.
    pub wall_clock_ns: u64,
    /// The machine's boot id.
    pub boot_id: [u8; 16],
    /// First sequence that may have been answered `applied` and then lost.
    pub lost_from_sequence: Option<u64>,
}

/// Bytes of an [`EpochStart`].
pub const EPOCH_START_BYTES: usize = 64;

impl EpochStart {
    /// The payload bytes.
    pub fn encode(&self) -> [u8; EPOCH_START_BYTES] {
        let mut bytes = [0u8; EPOCH_START_BYTES];
        bytes[0..4].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[4..8].copy_from_slice(&u32::from(self.clean).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.end_address.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.end_sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.end_checksum.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.wall_clock_ns.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.boot_id);
        bytes[56..64].copy_from_slice(&self.lost_from_sequence.unwrap_or(u64::MAX).to_le_bytes());
        bytes
    }

    /// `None` when the payload has another length.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; EPOCH_START_BYTES] = payload.try_into().ok()?;
        let lost = u64_at(bytes, 56);
        Some(Self {
            epoch: u32_at(bytes, 0),
            clean: u32_at(bytes, 4) & 1 != 0,
            end_address: u64_at(bytes, 8),
            end_sequence: u64_at(bytes, 16),
            end_checksum: u32_at(bytes, 24),
            wall_clock_ns: u64_at(bytes, 32),
            boot_id: bytes[40..56].try_into().expect("sixteen bytes"),
            lost_from_sequence: (lost != u64::MAX).then_some(lost),
        })
    }
}

/// A record as readers hand it out. The payload's first byte lies at a multiple of sixteen in memory; in a mapped segment, of eight.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// All fields of the header.
    pub header: RecordHeader,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(payload: &[u8]) -> Vec<u8> {
        let mut header = RecordHeader {
            checksum: 0,
            length: (HEADER_BYTES + payload.len()) as u32,
            log_id: 7,
            sequence: 3,
            address: 128,
            previous: NO_ADDRESS,
            durable_sequence: 1,
            epoch: 2,
            previous_checksum: 9,
            kind: 5,
            partition: 11,
            version: 1,
            flags: 0,
        };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(header.padded_bytes(), 0);
        header.checksum = checksum_of(&bytes);
        bytes[..4].copy_from_slice(&header.checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn every_bit_of_header_payload_and_padding_is_guarded() {
        let bytes = sample(b"nineteen bytes long");
        assert!(read_record(&bytes, 0, 7, 128).is_ok());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read_record(&flipped, 0, 7, 128).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn encoding_and_decoding_meet() {
        let bytes = sample(b"x");
        let header = RecordHeader::decode(bytes.first_chunk().unwrap());
        assert_eq!(header.encode(), bytes[..HEADER_BYTES]);
        assert_eq!((header.sequence, header.kind, header.partition), (3, 5, 11));
    }

    #[test]
    fn the_format_page_shows_the_drawings_above_the_code() {
        let page = include_str!("../../docs/wal-format.md");
        let sources = [
            ("record.rs", include_str!("record.rs"), 2),
            ("segment.rs", include_str!("segment.rs"), 2),
            ("tail.rs", include_str!("tail.rs"), 1),
            ("meta.rs", include_str!("meta.rs"), 1),
        ];
        for (name, source, drawings) in sources {
            let mut found = 0;
            let mut lines = source.lines();
            while let Some(line) = lines.next() {
                let Some(prefix) = ["//! ```text", "/// ```text"].into_iter().find(|p| line == *p).map(|p| &p[..3])
                else {
                    continue;
                };
                let drawing: String = lines
                    .by_ref()
                    .take_while(|l| !l.ends_with("```"))
                    .map(|l| format!("{}\n", l.trim_start_matches(prefix).strip_prefix(' ').unwrap_or("")))
                    .collect();
                assert!(page.contains(&drawing), "docs/wal-format.md must hold, from {name}:\n{drawing}");
                found += 1;
            }
            assert_eq!(found, drawings, "drawings in {name}");
        }
    }

    #[test]
    fn group_bits_go_both_ways() {
        for group in [Group::Single, Group::First, Group::Middle, Group::Last] {
            assert_eq!(Group::from_flags(group.flags()), group);
            assert_eq!(group.continues(), group.flags() & FLAG_GROUP_CONTINUES != 0);
            assert_eq!(group.is_member(), group.flags() & FLAG_GROUP_MEMBER != 0);
        }
    }
}
