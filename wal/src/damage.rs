//! What can be wrong with bytes, in words, and where.

use std::fmt;
use std::path::PathBuf;

/// Why some bytes are not the next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Zeros where a record should begin: the log simply ends here, unless a witness says otherwise.
    Nothing,
    /// A length that cannot be.
    Length,
    /// The checksum does not match.
    Checksum,
    /// A record of another log.
    LogId {
        /// The log it names.
        found: u64,
    },
    /// A record of another place.
    Address {
        /// The address it names.
        found: u64,
    },
    /// Bits that must be zero.
    Reserved,
    /// Bytes between this record and the next that must be zero.
    Padding,
    /// Bytes at the end of a chunk that must be zero.
    ChunkRest,
    /// Not the next sequence.
    Sequence {
        /// The sequence it names.
        found: u64,
    },
    /// Follows another record than the one before it.
    PreviousChecksum,
    /// An epoch that falls, or rises without an epoch start.
    Epoch {
        /// The epoch it names.
        found: u32,
    },
    /// An epoch start that does not name the end of the epoch before.
    EpochStart,
    /// A gap: the record would have fitted into the chunk before.
    Gap,
    /// Group flags out of order.
    Group,
    /// Something after a close record of the same epoch.
    AfterClose,
    /// A tail slot of a sealed segment is damaged.
    Slot,
    /// Bytes of the head area that must be zero.
    HeadArea,
    /// The header of a segment is damaged, or another segment's.
    SegmentHeader,
    /// An archive whose bytes are not what was written, or that is not the one the manifest names.
    Archive,
    /// A file that should be there and is not.
    Missing,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Nothing => write!(f, "zeros where a record should be"),
            What::Length => write!(f, "impossible record length"),
            What::Checksum => write!(f, "checksum mismatch"),
            What::LogId { found } => write!(f, "record of another log ({found:016x})"),
            What::Address { found } => write!(f, "record of another address ({found:#x})"),
            What::Reserved => write!(f, "reserved bits set"),
            What::Padding => write!(f, "padding after a record is not zero"),
            What::ChunkRest => write!(f, "rest of a chunk is not zero"),
            What::Sequence { found } => write!(f, "not the next sequence (found {found})"),
            What::PreviousChecksum => write!(f, "does not follow the record before it"),
            What::Epoch { found } => write!(f, "epoch {found} out of order"),
            What::EpochStart => write!(f, "epoch start that names another end"),
            What::Gap => write!(f, "gap before a record"),
            What::Group => write!(f, "group flags out of order"),
            What::AfterClose => write!(f, "record after a close record"),
            What::Slot => write!(f, "damaged tail slot in a sealed segment"),
            What::HeadArea => write!(f, "head area is not zero where it must be"),
            What::SegmentHeader => write!(f, "damaged segment header, or another segment's"),
            What::Archive => write!(f, "archive is not what was written"),
            What::Missing => write!(f, "missing"),
        }
    }
}

/// Damage below the durable watermark: bytes that were durable and are no longer what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The segment file.
    pub segment: PathBuf,
    /// Byte offset in that file.
    pub offset: u64,
    /// Address in the stream.
    pub address: u64,
    /// The sequence that should be there.
    pub sequence: u64,
    /// What is wrong.
    pub what: What,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} at offset {} (address {:#x}, where sequence {} was durable)",
            self.segment.display(),
            self.what,
            self.offset,
            self.address,
            self.sequence
        )
    }
}
