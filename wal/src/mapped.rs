//! Sealed segments in place: records as slices of the mapped file, nothing copied.
//!
//! A mapping pins the file and nothing else: the segment may be archived and its name taken away while someone reads here. A disk that
//! can no longer read a page kills the process that touches it (SIGBUS), where the copying readers get an error; so this is for
//! consumers that read much and can be started again.

use std::fmt;
use std::sync::Arc;

use crate::chain::{Chain, Walk};
use crate::damage::{Corrupt, What};
use crate::disk::DiskError;
use crate::error::ReadError;
use crate::limits::{CHUNK_BYTES, HEAD_BYTES, HEADER_BYTES, chunk_floor};
use crate::log::Log;
use crate::record::Record;
use crate::segment::segment_path;

/// The bytes of a file, mapped for reading, alive as long as this is.
pub struct MappedBytes(Box<dyn AsRef<[u8]> + Send + Sync>);

impl MappedBytes {
    /// Bytes from elsewhere, which stay as they are.
    pub fn new(bytes: Box<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        Self(bytes)
    }

    fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for MappedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedBytes({})", self.bytes().len())
    }
}

/// A sealed segment, mapped. Clones share the mapping; it outlives the file's name.
#[derive(Clone, Debug)]
pub struct SealedSegment {
    map: Arc<MappedBytes>,
    log: Arc<Log>,
    first: u64,
}

impl Log {
    /// Maps the segment that holds `address`. `None` when it is not sealed yet, when only its archive is left, or when the disk maps
    /// nothing.
    ///
    /// # Errors
    /// [`ReadError::NoRecord`] outside of the log; [`ReadError::Disk`].
    pub fn map_sealed(self: &Arc<Self>, address: u64) -> Result<Option<SealedSegment>, ReadError> {
        let (first, file) = self.read_handle(address)?;
        let plain = self.segments.entries().get(&first).is_some_and(|entry| entry.plain);
        if !plain || first + self.segment_bytes > self.durable_address() {
            return Ok(None);
        }
        let Some(map) = file.map()? else { return Ok(None) };
        let (wanted, found) = (HEAD_BYTES as u64 + self.segment_bytes, map.bytes().len() as u64);
        if found != wanted {
            // Touching what is not there would be SIGBUS.
            let short = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, format!("{found} bytes, not {wanted}"));
            return Err(DiskError::new("mmap", &segment_path(&self.dir, first), 0, short).into());
        }
        Ok(Some(SealedSegment { map: Arc::new(map), log: Arc::clone(self), first }))
    }
}

impl SealedSegment {
    /// Address of its first stream byte.
    pub fn first_address(&self) -> u64 {
        self.first
    }

    /// Address behind its last stream byte.
    pub fn end_address(&self) -> u64 {
        self.first + self.log.segment_bytes
    }

    /// Its stream bytes.
    pub(crate) fn stream(&self) -> &[u8] {
        &self.map.bytes()[HEAD_BYTES..]
    }

    /// Its records in order, from the first one. See [`SealedSegment::records_from`].
    pub fn records(&self) -> SealedRecords<'_> {
        self.records_from(self.first)
    }

    /// Its records from the one at `address` on, each verified alone and along the chain, the log's own among them. Payloads lie at
    /// multiples of eight and live as long as the mapping is borrowed.
    pub fn records_from(&self, address: u64) -> SealedRecords<'_> {
        let chain = Chain::on_trust(self.log.log_id, address.max(self.first));
        SealedRecords { segment: self, chain, failed: false }
    }
}

/// The records of a mapped segment; ends behind the last one, or after the first error.
#[derive(Debug)]
pub struct SealedRecords<'a> {
    segment: &'a SealedSegment,
    chain: Chain,
    failed: bool,
}

impl<'a> Iterator for SealedRecords<'a> {
    type Item = Result<Record<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let segment = self.segment;
        let mut chunk_address = chunk_floor(self.chain.end.address);
        while !self.failed && chunk_address < segment.end_address() {
            let from = (chunk_address - segment.first) as usize;
            let chunk = &segment.stream()[from..from + CHUNK_BYTES];
            match self.chain.step(chunk, chunk_address) {
                Walk::Record { offset, header } => {
                    let payload = &chunk[offset + HEADER_BYTES..offset + header.length as usize];
                    return Some(Ok(Record { header, payload }));
                }
                // The chain's end stays behind; the next chunk is looked at from its start.
                Walk::NextChunk => chunk_address += CHUNK_BYTES as u64,
                Walk::Stop(what) => {
                    self.failed = true;
                    return Some(Err(self.corrupt(chunk_address, what)));
                }
            }
        }
        None
    }
}

impl SealedRecords<'_> {
    fn corrupt(&self, chunk_address: u64, what: What) -> ReadError {
        let address = self.chain.end.address.max(chunk_address);
        ReadError::Corrupt(Corrupt {
            segment: segment_path(&self.segment.log.dir, self.segment.first),
            offset: HEAD_BYTES as u64 + (address - self.segment.first),
            address,
            sequence: self.chain.next_sequence(),
            what,
        })
    }
}
