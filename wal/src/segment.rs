//! The segment file: a head area of 64 KiB, then stream bytes. Drawn in `docs/wal-format.md`.

use std::path::{Path, PathBuf};

use crate::limits::{
    BLOCK_BYTES, MAX_FLUSHES_IN_FLIGHT, SEGMENT_VERSION, SLOT_BYTES, SLOT_COUNT, SLOT_HEADER_BYTES, SLOT_OFFSETS,
};
use crate::planted::{self, Bug};
use crate::record::{u16_at, u32_at, u64_at};

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"LOTSEG\x00\x01");
const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"LSLT");

/// What block 0 of a segment says.
///
/// ```text
/// offset  bytes  field
///      0      8  magic           "LOTSEG", 0, 1
///      8      4  format_version  3
///     12      4  checksum        CRC32C of the block with these four bytes zero
///     16      8  log_id
///     24      8  first_address   of the stream bytes held here
///     32      8  stream_bytes
///     40      8  created_ns      since 1970
///     48      .  zeros to 4096
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Of the file: [`SEGMENT_VERSION`].
    pub version: u32,
    /// The log.
    pub log_id: u64,
    /// Address of the first stream byte.
    pub first_address: u64,
    /// Stream bytes of the file.
    pub stream_bytes: u64,
    /// Wall clock when the file was prepared.
    pub created_ns: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, block: &mut [u8]) {
        let block = &mut block[..BLOCK_BYTES];
        block.fill(0);
        block[0..8].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        block[8..12].copy_from_slice(&self.version.to_le_bytes());
        block[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        block[24..32].copy_from_slice(&self.first_address.to_le_bytes());
        block[32..40].copy_from_slice(&self.stream_bytes.to_le_bytes());
        block[40..48].copy_from_slice(&self.created_ns.to_le_bytes());
        let checksum = crc32c::crc32c(block);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The reason when this is no segment header of ours.
    pub(crate) fn decode(block: &[u8]) -> Result<Self, String> {
        let block = block.get(..BLOCK_BYTES).ok_or("the file is shorter than its header")?;
        if u64_at(block, 0) != SEGMENT_MAGIC {
            return Err("no segment magic".into());
        }
        let sum = crc32c::crc32c(&block[..12]);
        let sum = crc32c::crc32c_append(sum, &[0; 4]);
        let sum = crc32c::crc32c_append(sum, &block[16..]);
        if sum != u32_at(block, 12) {
            return Err("segment header checksum mismatch".into());
        }
        let version = u32_at(block, 8);
        if version != SEGMENT_VERSION {
            return Err(format!("format version {version}, this build knows {SEGMENT_VERSION}"));
        }
        Ok(Self {
            version,
            log_id: u64_at(block, 16),
            first_address: u64_at(block, 24),
            stream_bytes: u64_at(block, 32),
            created_ns: u64_at(block, 40),
        })
    }

    /// The slot at `place` of this segment as it is when it was never written.
    pub(crate) fn unwritten_slot(&self, place: usize, slot: &mut [u8]) {
        SlotHead {
            log_id: self.log_id,
            place,
            in_flight: 0,
            epoch: 0,
            generation: 0,
            address: self.first_address,
            length: 0,
            durable_sequence: 0,
            durable_address: 0,
            segments_end: 0,
        }
        .seal(slot);
    }
}

/// One of the tail slots, which are written in turn: the partial last block and the watermark.
///
/// One that was never written has epoch and generation zero, the segment's first address, no bytes, and is sealed like any other: so a
/// write of zeros that went astray never passes for it. One that lies in another slot's place is as good as torn.
///
/// ```text
/// offset  bytes  field
///      0      4  magic             "LSLT"
///      4      4  checksum          CRC32C of all 8192 bytes with these four zero
///      8      8  log_id
///     16      4  epoch
///     20      2  length            valid bytes of the block, below 4096
///     22      1  place             which slot of the segment this is, from 0 on
///     23      1  in_flight         flushes that may be under way at a time; 0 in a slot never written
///     24      8  generation        rises with every slot written
///     32      8  address           of the block
///     40      8  durable_sequence  durable before this flush began
///     48      8  durable_address
///     56      8  segments_end      segments up to this address were there, with durable names
///     64   4096  the block's bytes, zeros after `length`
///   4160   4032  zeros
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) log_id: u64,
    pub(crate) in_flight: usize,
    pub(crate) epoch: u32,
    pub(crate) generation: u64,
    pub(crate) address: u64,
    pub(crate) durable_sequence: u64,
    pub(crate) durable_address: u64,
    pub(crate) segments_end: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The fields of a slot without its bytes: the log thread fills those in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotHead {
    pub(crate) log_id: u64,
    pub(crate) place: usize,
    pub(crate) in_flight: usize,
    pub(crate) epoch: u32,
    pub(crate) generation: u64,
    pub(crate) address: u64,
    pub(crate) length: usize,
    pub(crate) durable_sequence: u64,
    pub(crate) durable_address: u64,
    pub(crate) segments_end: u64,
}

impl SlotHead {
    /// Writes the header into `slot` (the block's bytes already lie at 64), clears what follows, seals with the checksum.
    pub(crate) fn seal(&self, slot: &mut [u8]) {
        let slot = &mut slot[..SLOT_BYTES];
        assert!(self.length < BLOCK_BYTES, "a full block belongs to the stream area");
        assert!(self.place < SLOT_COUNT);
        assert!(self.in_flight <= MAX_FLUSHES_IN_FLIGHT);
        slot[..SLOT_HEADER_BYTES].fill(0);
        slot[SLOT_HEADER_BYTES + self.length..].fill(0);
        slot[0..4].copy_from_slice(&SLOT_MAGIC.to_le_bytes());
        slot[8..16].copy_from_slice(&self.log_id.to_le_bytes());
        slot[16..20].copy_from_slice(&self.epoch.to_le_bytes());
        slot[20..22].copy_from_slice(&(self.length as u16).to_le_bytes());
        slot[22] = self.place as u8;
        slot[23] = self.in_flight as u8;
        slot[24..32].copy_from_slice(&self.generation.to_le_bytes());
        slot[32..40].copy_from_slice(&self.address.to_le_bytes());
        slot[40..48].copy_from_slice(&self.durable_sequence.to_le_bytes());
        slot[48..56].copy_from_slice(&self.durable_address.to_le_bytes());
        slot[56..64].copy_from_slice(&self.segments_end.to_le_bytes());
        let checksum = crc32c::crc32c(slot);
        slot[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// What lies in a slot's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SlotFound {
    /// Sealed when the segment was made, and never written since.
    Empty,
    /// Torn or damaged.
    Bad,
    /// Whole.
    Valid(Slot),
}

impl SlotFound {
    /// All slots of the segment that begins with `head` and has that header.
    pub(crate) fn all(head: &[u8], segment: &SegmentHeader) -> [Self; SLOT_COUNT] {
        std::array::from_fn(|place| Self::decode(&head[SLOT_OFFSETS[place] as usize..], place, segment))
    }

    /// The slot at `place` of the segment with that header.
    pub(crate) fn decode(slot: &[u8], place: usize, segment: &SegmentHeader) -> Self {
        let slot = &slot[..SLOT_BYTES];
        if planted::is(Bug::ZerosPassForUnwritten) && crate::aligned::all_zero(slot) {
            return SlotFound::Empty;
        }
        let sum = crc32c::crc32c(&slot[..4]);
        let sum = crc32c::crc32c_append(sum, &[0; 4]);
        let sum = crc32c::crc32c_append(sum, &slot[8..]);
        let length = usize::from(u16_at(slot, 20));
        let in_flight = usize::from(slot[23]);
        let address = u64_at(slot, 32);
        let sound = u32_at(slot, 0) == SLOT_MAGIC
            && u32_at(slot, 4) == sum
            && u64_at(slot, 8) == segment.log_id
            && usize::from(slot[22]) == place
            && in_flight <= MAX_FLUSHES_IN_FLIGHT
            && length < BLOCK_BYTES
            && address.is_multiple_of(BLOCK_BYTES as u64);
        if !sound {
            return SlotFound::Bad;
        }
        let (epoch, generation) = (u32_at(slot, 16), u64_at(slot, 24));
        if (epoch, generation) == (0, 0) {
            let unwritten = in_flight == 0 && length == 0 && address == segment.first_address;
            return if unwritten { SlotFound::Empty } else { SlotFound::Bad };
        }
        SlotFound::Valid(Slot {
            log_id: segment.log_id,
            in_flight,
            epoch,
            generation,
            address,
            durable_sequence: u64_at(slot, 40),
            durable_address: u64_at(slot, 48),
            segments_end: u64_at(slot, 56),
            bytes: slot[SLOT_HEADER_BYTES..SLOT_HEADER_BYTES + length].to_vec(),
        })
    }

    pub(crate) fn valid(&self) -> Option<&Slot> {
        match self {
            SlotFound::Valid(slot) => Some(slot),
            _ => None,
        }
    }
}

/// `seg-<first address, 16 hex digits>.lotlog`.
pub(crate) fn segment_name(first_address: u64) -> String {
    format!("seg-{first_address:016x}.lotlog")
}

/// The path of a segment.
pub(crate) fn segment_path(dir: &Path, first_address: u64) -> PathBuf {
    dir.join(segment_name(first_address))
}

/// The name of a segment's archive: what `zstd -d` makes of it is the segment's own name.
pub(crate) fn archive_name(first_address: u64) -> String {
    format!("{}.zst", segment_name(first_address))
}

/// The path of a segment's archive.
pub(crate) fn archive_path(dir: &Path, first_address: u64) -> PathBuf {
    dir.join(archive_name(first_address))
}

/// The first address that the name of an archive claims; `None` for other files.
pub(crate) fn parse_archive_name(name: &str) -> Option<u64> {
    parse_segment_name(name.strip_suffix(".zst")?)
}

/// The first address a file name claims; `None` for other files.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("seg-")?.strip_suffix(".lotlog")?;
    let lower = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if digits.len() != 16 || !lower {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader { version: SEGMENT_VERSION, log_id: 5, first_address: 0, stream_bytes: 1 << 20, created_ns: 3 }
    }

    #[test]
    fn names_go_both_ways_and_strangers_are_no_segments() {
        for (name, want) in [
            ("seg-0000000000000000.lotlog", Some(0)),
            ("seg-0000000004000000.lotlog", Some(0x0400_0000)),
            ("seg-000000000400000.lotlog", None),
            ("seg-000000000400000G.lotlog", None),
            ("seg-0000000004000000.lotlog.new", None),
            ("log.meta", None),
        ] {
            assert_eq!(parse_segment_name(name), want, "{name}");
            if let Some(address) = want {
                assert_eq!(segment_name(address), name);
            }
        }
    }

    #[test]
    fn every_bit_of_header_and_slot_is_guarded() {
        let header = header();
        let mut block = vec![0u8; BLOCK_BYTES];
        header.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&block).is_err(), "header bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        let mut slot = vec![0xAAu8; SLOT_BYTES];
        let head = SlotHead {
            log_id: 5,
            place: 2,
            in_flight: 2,
            epoch: 1,
            generation: 9,
            address: 8_192,
            length: 100,
            durable_sequence: 4,
            durable_address: 640,
            segments_end: 1 << 20,
        };
        head.seal(&mut slot);
        assert!(SlotFound::decode(&slot, 2, &header).valid().is_some_and(|s| s.bytes == [0xAA; 100]));
        for bit in 0..slot.len() * 8 {
            slot[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SlotFound::decode(&slot, 2, &header), SlotFound::Bad, "slot bit {bit}");
            slot[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// Zeros were how an unwritten slot looked, and are what a write that goes astray brings along: the two must differ.
    #[test]
    fn only_a_sealed_slot_of_this_segment_and_place_was_never_written() {
        let header = header();
        let zeros = vec![0u8; SLOT_BYTES];
        assert_eq!(SlotFound::decode(&zeros, 0, &header), SlotFound::Bad);
        let mut slot = vec![0xAAu8; SLOT_BYTES];
        header.unwritten_slot(1, &mut slot);
        assert_eq!(SlotFound::decode(&slot, 1, &header), SlotFound::Empty);
        assert_eq!(SlotFound::decode(&slot, 0, &header), SlotFound::Bad, "another slot's place");
        for stranger in [SegmentHeader { log_id: 6, ..header }, SegmentHeader { first_address: 1 << 20, ..header }] {
            assert_eq!(SlotFound::decode(&slot, 1, &stranger), SlotFound::Bad, "{stranger:?}");
        }
    }

    #[test]
    fn a_version_that_nobody_knows_is_refused() {
        for (version, known) in
            [(0, false), (SEGMENT_VERSION - 1, false), (SEGMENT_VERSION, true), (SEGMENT_VERSION + 1, false)]
        {
            let mut block = vec![0u8; BLOCK_BYTES];
            let header = SegmentHeader { version, ..header() };
            header.encode(&mut block);
            assert_eq!(SegmentHeader::decode(&block).is_ok(), known, "{version}");
        }
    }
}
