//! What was shipped of a log, as the place it was shipped to keeps it: who ships there, the log's identity, every segment that is there.
//!
//! A restore begins here: without it nobody could tell a segment that is missing from one that never was. It is also what keeps two hosts with one
//! log apart: it is replaced only over the version that was read, and only by who took it over.

use crate::archive::manifest::Manifest;
use crate::limits::FORMAT_VERSION;
use crate::meta::{META_BYTES, Meta};
use crate::record::{u32_at, u64_at};

const SHIPPED_MAGIC: u64 = u64::from_le_bytes(*b"LOTSHIP\x01");
const HEADER_BYTES: usize = 64;
/// Longest place in words.
const PLACE_BYTES_MAX: usize = 4_096;

/// Who ships a log to a place: one opening of it.
///
/// ```text
/// offset  bytes  field
///      0      8  magic            "LOTSHIP", 1
///      8      4  format_version
///     12      4  checksum         CRC32C of bytes 16 to the end
///     16      8  opening          an id that no other opening of any log has
///     24      4  epoch            that it began
///     28      4  place_bytes
///     32      8  written_ns       wall clock
///     40     24  zero
///     64     64  log.meta
///    128      .  place            host and directory of the log, in words
///      .      .  log.archive      of the segments that are there
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipper {
    /// An id that no other opening of any log has.
    pub opening: u64,
    /// The epoch that it began.
    pub epoch: u32,
    /// Wall clock when it shipped last, nanoseconds since 1970.
    pub written_ns: u64,
    /// Host and directory of the log, as `host:/directory`.
    pub place: String,
}

impl std::fmt::Display for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (epoch {}, opening {:016x})", self.place, self.epoch, self.opening)
    }
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shipped {
    pub(crate) by: Shipper,
    pub(crate) meta: Meta,
    /// Every segment that is there, from the log's beginning on, without a gap.
    pub(crate) manifest: Manifest,
}

impl Shipped {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let place = &self.by.place.as_bytes()[..self.by.place.len().min(PLACE_BYTES_MAX)];
        let mut bytes = vec![0u8; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &SHIPPED_MAGIC.to_le_bytes());
        put(8, &FORMAT_VERSION.to_le_bytes());
        put(16, &self.by.opening.to_le_bytes());
        put(24, &self.by.epoch.to_le_bytes());
        put(28, &(place.len() as u32).to_le_bytes());
        put(32, &self.by.written_ns.to_le_bytes());
        bytes.extend_from_slice(&self.meta.encode());
        bytes.extend_from_slice(place);
        bytes.extend_from_slice(&self.manifest.encode());
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The reason when these bytes are no such file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < HEADER_BYTES + META_BYTES {
            return Err("shorter than its header".into());
        }
        if u64_at(bytes, 0) != SHIPPED_MAGIC {
            return Err("not what says what was shipped".into());
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(format!("format version {version}, this build knows {FORMAT_VERSION}"));
        }
        if crc32c::crc32c(&bytes[16..]) != u32_at(bytes, 12) {
            return Err("checksum mismatch".into());
        }
        let (meta, rest) = bytes[HEADER_BYTES..].split_at(META_BYTES);
        let place_bytes = u32_at(bytes, 28) as usize;
        if place_bytes > PLACE_BYTES_MAX || place_bytes > rest.len() {
            return Err(format!("a place of {place_bytes} bytes"));
        }
        let (place, manifest) = rest.split_at(place_bytes);
        let by = Shipper {
            opening: u64_at(bytes, 16),
            epoch: u32_at(bytes, 24),
            written_ns: u64_at(bytes, 32),
            place: String::from_utf8_lossy(place).into_owned(),
        };
        let (meta, manifest) = (Meta::decode(meta)?, Manifest::decode(manifest)?);
        if meta.log_id != manifest.log_id {
            return Err(format!("segments of log {:016x}, and this is {:016x}", manifest.log_id, meta.log_id));
        }
        Ok(Self { by, meta, manifest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::manifest::tests::two;

    #[test]
    fn every_bit_is_guarded() {
        let manifest = two();
        let meta = Meta { log_id: manifest.log_id, segment_bytes: 1 << 18, created_ns: 5 };
        let by = Shipper { opening: 1, epoch: 2, written_ns: 3, place: "a:/b".into() };
        let shipped = Shipped { by, meta, manifest };
        let mut bytes = shipped.encode();
        assert_eq!(Shipped::decode(&bytes), Ok(shipped));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Shipped::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(Shipped::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }
}
