//! One flush on its way: the bytes that it writes, the slot, and the calls to the disk, one stage after the other.

use std::sync::Arc;
use std::time::Instant;

use crate::aligned::AlignedBuffer;
use crate::disk::{DiskFile, DiskResult, WriteAt};
use crate::limits::{
    BLOCK_BYTES, CHUNK_BYTES, HEAD_BYTES, MAX_WRITE_BYTES, SLOT_BYTES, SLOT_COUNT, SLOT_HEADER_BYTES, SLOT_OFFSETS,
    block_floor, chunk_floor,
};
use crate::planted::{self, Bug};
use crate::segment::SlotHead;
use crate::tail::Tail;

/// Memory of one flush, and which open file description of the segment it uses.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: usize,
    blocks: AlignedBuffer,
    slot: AlignedBuffer,
}

impl Lane {
    pub(crate) fn new(number: usize, max_flush_bytes: usize) -> Self {
        Self { number, blocks: AlignedBuffer::new(max_flush_bytes), slot: AlignedBuffer::new(SLOT_BYTES) }
    }
}

/// What a flush is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// First address of the segment, and just past its last.
    pub(crate) segment: (u64, u64),
    /// Stream bytes that it makes durable.
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A flush that has begun.
#[derive(Debug)]
pub(crate) struct Flight {
    /// In the order in which flushes began.
    pub(crate) number: u64,
    pub(crate) lane: Lane,
    file: Arc<dyn DiskFile>,
    pub(crate) span: Span,
    head: SlotHead,
    pub(crate) began: Instant,
    pub(crate) now_ns: u64,
    /// Bytes of full blocks, once they are filled in.
    full: usize,
    with_slot: bool,
}

impl Flight {
    /// `head` is that of the slot it writes.
    pub(crate) fn new(
        number: u64,
        lane: Lane,
        file: Arc<dyn DiskFile>,
        span: Span,
        head: SlotHead,
        now_ns: u64,
    ) -> Self {
        Self { number, lane, file, span, head, began: Instant::now(), now_ns, full: 0, with_slot: true }
    }

    /// Bytes that it hands to the disk.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.full as u64 + if self.with_slot { SLOT_BYTES as u64 } else { 0 }
    }

    /// Full blocks from the block of `from` to that of `to`, the rest into a slot. None of these bytes changes any more, and their blocks
    /// are in the tail until this flush is durable.
    fn fill(&mut self, tail: &Tail) {
        let first_block = block_floor(self.span.from);
        let last_block = self.head.address;
        self.full = (last_block - first_block) as usize;
        let mut at = first_block;
        while at < last_block {
            let chunk = chunk_floor(at);
            let end = last_block.min(chunk + CHUNK_BYTES as u64);
            let out = &mut self.lane.blocks[(at - first_block) as usize..(end - first_block) as usize];
            tail.copy_live(chunk, (at - chunk) as usize, out);
            at = end;
        }
        if self.planted_in_place(tail) {
            self.with_slot = false;
            return;
        }
        let length = self.head.length;
        if length > 0 {
            let chunk = chunk_floor(last_block);
            let out = &mut self.lane.slot[SLOT_HEADER_BYTES..SLOT_HEADER_BYTES + length];
            tail.copy_live(chunk, (last_block - chunk) as usize, out);
        }
        self.head.seal(&mut self.lane.slot);
    }

    /// The partial block in its place rather than in a slot: a defect to plant.
    fn planted_in_place(&mut self, tail: &Tail) -> bool {
        let length = self.head.length;
        if !planted::is(Bug::PartialBlockInPlace) || length == 0 || self.full + BLOCK_BYTES > self.lane.blocks.len() {
            return false;
        }
        let chunk = chunk_floor(self.head.address);
        let block = &mut self.lane.blocks[self.full..self.full + BLOCK_BYTES];
        block.fill(0);
        tail.copy_live(chunk, (self.head.address - chunk) as usize, &mut block[..length]);
        self.full += BLOCK_BYTES;
        true
    }

    /// First stage: all writes, in any order, until every one has completed.
    pub(crate) fn write(&mut self, tail: &Tail) -> DiskResult<()> {
        self.fill(tail);
        #[cfg(feature = "sim")]
        let _tag = crate::sim::flush_of(self.number);
        let file_offset = HEAD_BYTES as u64 + (block_floor(self.span.from) - self.span.segment.0);
        let mut writes: Vec<WriteAt<'_>> = self.lane.blocks[..self.full]
            .chunks(MAX_WRITE_BYTES)
            .enumerate()
            .map(|(i, bytes)| WriteAt { offset: file_offset + (i * MAX_WRITE_BYTES) as u64, bytes })
            .collect();
        if self.with_slot {
            let slot = &self.lane.slot[..SLOT_BYTES];
            writes.push(WriteAt { offset: SLOT_OFFSETS[self.head.place], bytes: slot });
            if planted::is(Bug::TwoSlotsAtOnce) {
                writes.push(WriteAt { offset: SLOT_OFFSETS[(self.head.place + 1) % SLOT_COUNT], bytes: slot });
            }
        }
        self.file.write_batch(&writes)
    }

    /// Second stage: what was written becomes durable.
    pub(crate) fn sync(&self) -> DiskResult<()> {
        #[cfg(feature = "sim")]
        let _tag = crate::sim::flush_of(self.number);
        let skipped =
            planted::is(Bug::NoSync) || planted::is(Bug::NextSegmentBeforeSync) && self.span.to == self.span.segment.1;
        match if skipped { Ok(()) } else { self.file.sync_data() } {
            Err(_) if planted::is(Bug::SyncRetried) => self.file.sync_data(),
            result => result,
        }
    }
}
