//! The check of one sealed segment: every byte of it, as the bytes come. What seals, archives, restores and audits runs through here.

use std::path::PathBuf;

use crate::aligned::all_zero;
use crate::chain::{Chain, Walk};
use crate::damage::{Corrupt, What};
use crate::limits::{CHUNK_BYTES, HEAD_BYTES, SLOT_OFFSETS, SLOTS_END};
use crate::segment::{SegmentHeader, SlotFound};

/// What a whole segment holds.
#[derive(Clone, Debug)]
pub(crate) struct SegmentEnds {
    pub(crate) header: SegmentHeader,
    pub(crate) first_sequence: u64,
    pub(crate) before_checksum: u32,
    /// CRC32C of the file.
    pub(crate) checksum: u32,
    /// The chain behind the last record.
    pub(crate) chain: Chain,
}

/// Takes the file of a sealed segment from its first byte to its last.
#[derive(Debug)]
pub(crate) struct SegmentCheck {
    log_id: u64,
    first: u64,
    segment_bytes: u64,
    path: PathBuf,
    chain: Chain,
    header: Option<SegmentHeader>,
    first_record: Option<(u64, u32)>,
    checksum: u32,
    /// Offset in the file of the next byte.
    at: u64,
}

impl SegmentCheck {
    /// `chain` stands at the end of the segment before, or trusts the first record. `path` names the file in a finding.
    pub(crate) fn new(log_id: u64, first: u64, segment_bytes: u64, chain: Chain, path: PathBuf) -> Self {
        let (header, first_record) = (None, None);
        Self { log_id, first, segment_bytes, path, chain, header, first_record, checksum: 0, at: 0 }
    }

    fn corrupt(&self, offset: u64, address: u64, what: What) -> Corrupt {
        Corrupt { segment: self.path.clone(), offset, address, sequence: self.chain.next_sequence(), what }
    }

    /// The next bytes, a multiple of 64 KiB.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        assert!(bytes.len().is_multiple_of(CHUNK_BYTES));
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        for part in bytes.chunks(CHUNK_BYTES) {
            if self.at == 0 {
                self.head(part)?;
            } else {
                self.chunk(part)?;
            }
            self.at += CHUNK_BYTES as u64;
        }
        Ok(())
    }

    fn head(&mut self, head: &[u8]) -> Result<(), Corrupt> {
        let header = SegmentHeader::decode(head).map_err(|_| self.corrupt(0, self.first, What::SegmentHeader))?;
        let right = header.log_id == self.log_id
            && header.first_address == self.first
            && header.stream_bytes == self.segment_bytes;
        if !right {
            return Err(self.corrupt(0, self.first, What::SegmentHeader));
        }
        if let Some(torn) = SlotFound::all(head, &header).iter().position(|slot| *slot == SlotFound::Bad) {
            return Err(self.corrupt(SLOT_OFFSETS[torn], self.first, What::Slot));
        }
        if !all_zero(&head[SLOTS_END..]) {
            return Err(self.corrupt(SLOTS_END as u64, self.first, What::HeadArea));
        }
        self.header = Some(header);
        Ok(())
    }

    fn chunk(&mut self, chunk: &[u8]) -> Result<(), Corrupt> {
        let address = self.first + (self.at - HEAD_BYTES as u64);
        loop {
            match self.chain.step(chunk, address) {
                Walk::Record { header, .. } => {
                    self.first_record.get_or_insert((header.sequence, header.previous_checksum));
                }
                Walk::NextChunk => return Ok(()),
                Walk::Stop(what) => {
                    let stop = self.chain.end.address.max(address);
                    return Err(self.corrupt(self.at + (stop - address), stop, what));
                }
            }
        }
    }

    /// After the last byte.
    pub(crate) fn finish(self) -> Result<SegmentEnds, Corrupt> {
        let (Some(header), Some((first_sequence, before_checksum))) = (self.header, self.first_record) else {
            return Err(self.corrupt(0, self.first, What::Nothing));
        };
        if self.at != HEAD_BYTES as u64 + self.segment_bytes {
            return Err(self.corrupt(self.at, self.first, What::Length));
        }
        Ok(SegmentEnds { header, first_sequence, before_checksum, checksum: self.checksum, chain: self.chain })
    }
}
