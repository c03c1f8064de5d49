//! The chain: what a sequential reader checks beyond what a record says about itself.

use crate::aligned::all_zero;
use crate::damage::What;
use crate::limits::{CHUNK_BYTES, HEADER_BYTES, chunk_ceil};
use crate::record::{EpochStart, KIND_CLOSE, KIND_EPOCH_START, RecordHeader, read_record};

/// The end of a stretch of whole records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct End {
    /// Just past the last record.
    pub(crate) address: u64,
    /// Its sequence, 0 when there is none.
    pub(crate) sequence: u64,
    /// Its checksum, 0 when there is none.
    pub(crate) checksum: u32,
    /// Its epoch, 0 when there is none.
    pub(crate) epoch: u32,
    /// It was a close record.
    pub(crate) closed: bool,
}

/// A walk along the records of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    log_id: u64,
    /// Everything up to here was accepted.
    pub(crate) end: End,
    /// The last end that is not inside a group.
    pub(crate) whole: End,
    /// The highest durable sequence any accepted header names.
    pub(crate) durable_seen: u64,
    /// The next record is taken on trust: nothing before it was read.
    trust: bool,
    in_group: bool,
}

/// What one step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// The next record, accepted; it lies at this offset of the chunk.
    Record { offset: usize, header: RecordHeader },
    /// Only zeros are left in this chunk: the next chunk decides.
    NextChunk,
    /// Not the next record.
    Stop(What),
}

impl Chain {
    /// From the very beginning of a log.
    pub(crate) fn from_start(log_id: u64) -> Self {
        Self { log_id, end: End::default(), whole: End::default(), durable_seen: 0, trust: false, in_group: false }
    }

    /// From a place whose past is not known (retention has dropped it, or a reader begins there).
    pub(crate) fn on_trust(log_id: u64, address: u64) -> Self {
        let end = End { address, ..End::default() };
        Self { log_id, end, whole: end, durable_seen: 0, trust: true, in_group: false }
    }

    /// From an end that is known without reading up to it.
    pub(crate) fn resume(log_id: u64, end: End, in_group: bool) -> Self {
        Self { log_id, end, whole: end, durable_seen: 0, trust: false, in_group }
    }

    /// The log it walks along.
    pub(crate) fn log_id(&self) -> u64 {
        self.log_id
    }

    /// The sequence the next record must have; 0 when it is taken on trust.
    pub(crate) fn next_sequence(&self) -> u64 {
        if self.trust { 0 } else { self.end.sequence + 1 }
    }

    /// True when the last accepted record leaves a group open.
    pub(crate) fn in_group(&self) -> bool {
        self.in_group
    }

    /// Takes the next record from `chunk`, which begins at `chunk_address` (the chunk of the end, or the one after it).
    #[inline]
    pub(crate) fn step(&mut self, chunk: &[u8], chunk_address: u64) -> Walk {
        let offset = self.end.address.saturating_sub(chunk_address) as usize;
        if offset + HEADER_BYTES > CHUNK_BYTES {
            let rest = chunk.get(offset..).unwrap_or(&[]);
            return if all_zero(rest) { Walk::NextChunk } else { Walk::Stop(What::ChunkRest) };
        }
        let address = chunk_address + offset as u64;
        match read_record(chunk, offset, self.log_id, address) {
            Ok(header) => {
                let payload = &chunk[offset + HEADER_BYTES..offset + header.length as usize];
                match self.accept(&header, payload) {
                    Ok(()) => Walk::Record { offset, header },
                    Err(what) => Walk::Stop(what),
                }
            }
            Err(What::Nothing) if !all_zero(&chunk[offset..]) => Walk::Stop(What::ChunkRest),
            Err(What::Nothing) if offset > 0 => Walk::NextChunk,
            Err(what) => Walk::Stop(what),
        }
    }

    /// Checks a record that verified alone against the chain, and moves on to it.
    pub(crate) fn accept(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<(), What> {
        let moved = header.address != self.end.address;
        if header.kind == KIND_EPOCH_START {
            self.check_epoch_start(header, payload)?;
        } else if !self.trust {
            if header.epoch != self.end.epoch {
                return Err(What::Epoch { found: header.epoch });
            }
            if self.end.closed {
                return Err(What::AfterClose);
            }
            if moved {
                let left = chunk_ceil(self.end.address) - self.end.address;
                if header.address != chunk_ceil(self.end.address) || left as usize >= header.padded_bytes() {
                    return Err(What::Gap);
                }
            }
        }
        if !self.trust {
            if header.sequence != self.end.sequence + 1 {
                return Err(What::Sequence { found: header.sequence });
            }
            if header.previous_checksum != self.end.checksum {
                return Err(What::PreviousChecksum);
            }
            if header.group().is_member() != self.in_group {
                return Err(What::Group);
            }
        }
        self.trust = false;
        self.durable_seen = self.durable_seen.max(header.durable_sequence);
        self.end = End {
            address: header.end_address(),
            sequence: header.sequence,
            checksum: header.checksum,
            epoch: header.epoch,
            closed: header.kind == KIND_CLOSE,
        };
        self.in_group = header.group().continues();
        if !self.in_group {
            self.whole = self.end;
        }
        Ok(())
    }

    fn check_epoch_start(&self, header: &RecordHeader, payload: &[u8]) -> Result<(), What> {
        let start = EpochStart::decode(payload).ok_or(What::EpochStart)?;
        if start.epoch != header.epoch || !header.address.is_multiple_of(CHUNK_BYTES as u64) {
            return Err(What::EpochStart);
        }
        if self.trust {
            return Ok(());
        }
        if header.epoch <= self.end.epoch {
            return Err(What::Epoch { found: header.epoch });
        }
        let names_the_end = start.end_address == self.end.address
            && start.end_sequence == self.end.sequence
            && start.end_checksum == self.end.checksum;
        if !names_the_end || header.address != chunk_ceil(self.end.address) {
            return Err(What::EpochStart);
        }
        Ok(())
    }
}
