//! A copy of the records that are in no shipped segment yet: what a restore puts behind the last of them.
//!
//! It is replaced whole, again and again, while a segment fills. Records are kept as they lie in the stream, so each goes back to its address and
//! verifies alone and in the chain.

use crate::chain::{Chain, End};
use crate::damage::What;
use crate::limits::{CHUNK_BYTES, FORMAT_VERSION, HEADER_BYTES, SMALL_FILE_BYTES_MAX, chunk_floor};
use crate::record::{Record, RecordHeader, u32_at, u64_at};

const TAIL_MAGIC: u64 = u64::from_le_bytes(*b"LOTREST\x01");
const HEAD_BYTES: usize = 80;

/// Records from the first address of a segment on.
///
/// ```text
/// offset  bytes  field
///      0      8  magic            "LOTREST", 1
///      8      4  format_version
///     12      4  checksum         CRC32C of bytes 16 to the end
///     16      8  log_id
///     24      8  first_address    of the segment that the first record begins
///     32      8  last_sequence    of the last record
///     40      8  durable_sequence that was known then
///     48      8  plain_bytes      of all records
///     56      8  written_ns       wall clock
///     64      8  opening          of the log that has the place in the target
///     72      8  zero
///     80      .  a zstd frame of the records, one behind the other, each as it lies in the stream
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailCopy {
    pub(crate) log_id: u64,
    pub(crate) first_address: u64,
    pub(crate) last_sequence: u64,
    pub(crate) durable_sequence: u64,
    pub(crate) written_ns: u64,
    pub(crate) opening: u64,
    /// Records as they lie in the stream, without what lies between.
    pub(crate) records: Vec<u8>,
}

impl TailCopy {
    /// Puts a record behind those that are there.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        push_record(&mut self.records, record);
        self.last_sequence = record.header.sequence;
    }

    pub(crate) fn encode(&self, level: i32) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0u8; HEAD_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &TAIL_MAGIC.to_le_bytes());
        put(8, &FORMAT_VERSION.to_le_bytes());
        put(16, &self.log_id.to_le_bytes());
        put(24, &self.first_address.to_le_bytes());
        put(32, &self.last_sequence.to_le_bytes());
        put(40, &self.durable_sequence.to_le_bytes());
        put(48, &(self.records.len() as u64).to_le_bytes());
        put(56, &self.written_ns.to_le_bytes());
        put(64, &self.opening.to_le_bytes());
        bytes.extend_from_slice(&zstd::bulk::compress(&self.records, level)?);
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }

    /// The reason when these bytes are no such copy. The records are not looked at.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < HEAD_BYTES {
            return Err("shorter than its header".into());
        }
        if u64_at(bytes, 0) != TAIL_MAGIC {
            return Err("not a copy of a log's tail".into());
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(format!("format version {version}, this build knows {FORMAT_VERSION}"));
        }
        if crc32c::crc32c(&bytes[16..]) != u32_at(bytes, 12) {
            return Err("checksum mismatch".into());
        }
        let plain_bytes = u64_at(bytes, 48);
        if plain_bytes > SMALL_FILE_BYTES_MAX {
            return Err(format!("{plain_bytes} bytes of records"));
        }
        let records = zstd::bulk::decompress(&bytes[HEAD_BYTES..], plain_bytes as usize).map_err(|e| e.to_string())?;
        if records.len() as u64 != plain_bytes {
            return Err(format!("{} bytes of records where {plain_bytes} were written", records.len()));
        }
        Ok(Self {
            log_id: u64_at(bytes, 16),
            first_address: u64_at(bytes, 24),
            last_sequence: u64_at(bytes, 32),
            durable_sequence: u64_at(bytes, 40),
            written_ns: u64_at(bytes, 56),
            opening: u64_at(bytes, 64),
            records,
        })
    }
}

/// Appends a record as it lies in the stream.
pub(crate) fn push_record(out: &mut Vec<u8>, record: &Record<'_>) {
    let end = out.len() + record.header.padded_bytes();
    out.extend_from_slice(&record.header.encode());
    out.extend_from_slice(record.payload);
    out.resize(end, 0);
}

/// Walks along records that lie one behind the other and checks each alone and in `chain`. `take` gets address and bytes. Returns the end of the last
/// whole group and how many bytes lead up to it.
pub(crate) fn walk_records(
    records: &[u8],
    chain: &mut Chain,
    take: &mut dyn FnMut(&RecordHeader, &[u8]),
) -> Result<End, (u64, What)> {
    let mut at = 0;
    while at < records.len() {
        let stop = |chain: &Chain, what| (chain.next_sequence(), what);
        let rest = &records[at..];
        let Some(head) = rest.first_chunk::<HEADER_BYTES>() else { return Err(stop(chain, What::Length)) };
        let address = RecordHeader::decode(head).address;
        let within = &rest[..rest.len().min(CHUNK_BYTES - (address - chunk_floor(address)) as usize)];
        let header =
            crate::record::read_record(within, 0, chain.log_id(), address).map_err(|what| stop(chain, what))?;
        let payload = &rest[HEADER_BYTES..header.length as usize];
        chain.accept(&header, payload).map_err(|what| stop(chain, what))?;
        let bytes = header.padded_bytes();
        take(&header, &rest[..bytes]);
        at += bytes;
    }
    Ok(chain.whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_guarded() {
        let copy = TailCopy {
            log_id: 1,
            first_address: 2,
            last_sequence: 3,
            durable_sequence: 4,
            written_ns: 5,
            opening: 6,
            records: vec![7; 4_096],
        };
        let mut bytes = copy.encode(3).unwrap();
        assert_eq!(TailCopy::decode(&bytes), Ok(copy));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(TailCopy::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(TailCopy::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }
}
