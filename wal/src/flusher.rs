//! The log thread's work, one step at a time: take what is published, write full blocks and a tail slot, sync, say so.
//!
//! The stream area gets full blocks only, each once. The partial last block goes to the slot that does not hold the newest one, so
//! that a torn write never hurts what is already durable. Each flush touches one segment; the next one begins after it is
//! synced, so bytes in a segment prove that the one before it is durable as a whole.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aligned::AlignedBuffer;
use crate::config::{LogConfig, WaitStrategy};
use crate::disk::{DiskFile, DiskResult, WriteAt};
use crate::error::LatchedError;
use crate::limits::{
    BLOCK_BYTES, CHUNK_BYTES, HEAD_BYTES, HEADER_BYTES, MAX_WRITE_BYTES, SLOT_BYTES, SLOT_HEADER_BYTES, SLOT_OFFSETS,
    block_floor, chunk_floor,
};
use crate::log::Log;
use crate::planted::{self, Bug};
use crate::record::RecordHeader;
use crate::segment::SlotHead;
use crate::stats::{Activity, bump};
use crate::stop::{DRAIN, RUN, STOP};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Records became durable.
    Flushed,
    /// Only the watermark was written.
    Watermark,
    /// Nothing to do now.
    Idle,
}

/// The log thread's state.
#[derive(Debug)]
pub(crate) struct Flusher {
    log: Arc<Log>,
    segment: Option<Arc<dyn DiskFile>>,
    segment_first: u64,
    /// Everything below is durable.
    flushed: u64,
    /// Chunks below have given their blocks back.
    freed: u64,
    slot_index: usize,
    slot_generation: u64,
    /// The durable sequence the newest slot names.
    slot_watermark: u64,
    blocks: AlignedBuffer,
    slot: AlignedBuffer,
    max_flush_bytes: u64,
    max_flush_delay_ns: u64,
    idle_watermark_ns: u64,
    pending_since_ns: Option<u64>,
    last_flush_ns: u64,
}

impl Flusher {
    /// `flushed` is where this epoch begins; `slot_index` and `slot_generation` say which slot to write next when that lies in
    /// a segment that has slots already.
    pub(crate) fn new(
        log: Arc<Log>,
        config: &LogConfig,
        flushed: u64,
        slot_index: usize,
        slot_generation: u64,
    ) -> Self {
        let max_flush = config.max_flush_bytes - config.max_flush_bytes % CHUNK_BYTES;
        Self {
            log,
            segment: None,
            segment_first: 0,
            flushed,
            freed: chunk_floor(flushed),
            slot_index,
            slot_generation,
            slot_watermark: 0,
            blocks: AlignedBuffer::new(max_flush),
            slot: AlignedBuffer::new(SLOT_BYTES),
            max_flush_bytes: max_flush as u64,
            max_flush_delay_ns: config.max_flush_delay_us * 1_000,
            idle_watermark_ns: config.idle_watermark_ms * 1_000_000,
            pending_since_ns: None,
            last_flush_ns: 0,
        }
    }

    /// One look, at most one flush. `now_ns` only needs to rise.
    pub(crate) fn step(&mut self, now_ns: u64) -> Result<Step, LatchedError> {
        if let Some(error) = self.log.latched() {
            return Err(error);
        }
        // In this order: the address covers the sequence.
        let sequence = self.log.tail.published_sequence();
        let address = self.log.tail.published_address();
        if address == self.flushed {
            return self.step_idle(sequence, now_ns);
        }
        if self.max_flush_delay_ns > 0 && address - self.flushed < self.max_flush_bytes {
            let since = *self.pending_since_ns.get_or_insert(now_ns);
            let draining = self.log.stop.told() == DRAIN;
            if now_ns - since < self.max_flush_delay_ns && !draining {
                return Ok(Step::Idle);
            }
        }
        self.pending_since_ns = None;
        if !self.enter_segment() {
            return Ok(Step::Idle);
        }
        let cut = (chunk_floor(self.flushed) + self.max_flush_bytes).min(self.segment_first + self.log.segment_bytes);
        let (end, sequence) = if address <= cut { (address, sequence) } else { (cut, self.sequence_before(cut)) };
        self.flush(end, sequence, now_ns)?;
        Ok(Step::Flushed)
    }

    /// Before the clock begins: everything up to `sequence`, which is published, becomes durable at once, and a watermark says so.
    pub(crate) fn settle(&mut self, sequence: u64) -> Result<(), LatchedError> {
        while self.log.durable_sequence() < sequence {
            // A delay that is configured begins and is over.
            if self.step(0)? == Step::Idle {
                self.step(u64::MAX)?;
            }
        }
        self.write_watermark(0)?;
        Ok(())
    }

    /// Nothing new: the pair may have been a step apart, and the watermark may lag.
    fn step_idle(&mut self, sequence: u64, now_ns: u64) -> Result<Step, LatchedError> {
        if sequence > self.log.durable_sequence() {
            // The address loaded after this sequence is durable, and so is the sequence.
            self.log.publish_durable(sequence, self.flushed)?;
        }
        let lags = self.slot_watermark < self.log.durable_sequence();
        let due = now_ns.saturating_sub(self.last_flush_ns) >= self.idle_watermark_ns;
        if lags && due && self.write_watermark(now_ns)? {
            return Ok(Step::Watermark);
        }
        Ok(Step::Idle)
    }

    /// Writes the tail slot again with everything durable as its watermark: into the next segment when this one is full. False
    /// when that one is not ready.
    pub(crate) fn write_watermark(&mut self, now_ns: u64) -> Result<bool, LatchedError> {
        if !self.enter_segment() {
            return Ok(false);
        }
        let durable = self.log.durable_sequence();
        let result = self.write_and_sync(self.flushed, self.flushed);
        result.map_err(|e| self.log.latch(&e))?;
        self.slot_watermark = durable;
        self.last_flush_ns = now_ns;
        bump(&self.log.stats.0.watermark_flushes, 1);
        self.log.stats.0.enter(Activity::Idle);
        Ok(true)
    }

    /// The last sequence before the chunk at `cut`, which has begun: known without walking. Inside a group: what is durable stays as it
    /// is, for a group is answered as a whole.
    fn sequence_before(&self, cut: u64) -> u64 {
        let mut bytes = [0u8; HEADER_BYTES];
        self.log.tail.copy_live(cut, 0, &mut bytes);
        let next = RecordHeader::decode(&bytes);
        debug_assert_eq!(next.address, cut);
        let inside_group = next.group().is_member() && !planted::is(Bug::DurableInsideGroup);
        if inside_group { self.log.durable_sequence() } else { next.sequence - 1 }
    }

    /// Makes sure that the segment of the next byte to write is open. False when it is not ready, which the appender's own check makes
    /// impossible for published records.
    fn enter_segment(&mut self) -> bool {
        if self.segment.is_some() && self.flushed < self.segment_first + self.log.segment_bytes {
            return true;
        }
        self.log.stats.0.enter(Activity::Roll);
        let Some((first, file)) = self.log.room.take() else { return false };
        assert_eq!(first, self.flushed - self.flushed % self.log.segment_bytes);
        if self.segment.is_some() {
            self.slot_index = 0;
            bump(&self.log.stats.0.rolls, 1);
        }
        self.segment = Some(file);
        self.segment_first = first;
        self.log.preparer_bell.ring();
        self.log.keeper_bell.ring();
        true
    }

    fn flush(&mut self, end: u64, sequence: u64, now_ns: u64) -> Result<(), LatchedError> {
        let began = Instant::now();
        let watermark = self.log.durable_sequence();
        if planted::is(Bug::AcknowledgeBeforeSync) {
            self.log.publish_durable(sequence, end)?;
        }
        if planted::is(Bug::BlocksFreedEarly) {
            self.free_blocks(end);
        }
        let written = self.write_and_sync(self.flushed, end).map_err(|e| self.log.latch(&e))?;
        let flushed_bytes = end - self.flushed;
        self.flushed = end;
        self.slot_watermark = watermark;
        self.log.publish_durable(sequence, end)?;
        self.free_blocks(end);
        self.last_flush_ns = now_ns;
        self.log.stats.0.flushed(flushed_bytes, written, began.elapsed().as_nanos() as u64);
        self.log.stats.0.enter(Activity::Idle);
        Ok(())
    }

    /// Gives back the blocks of all chunks that end at or before `end`.
    fn free_blocks(&mut self, end: u64) {
        while self.freed + CHUNK_BYTES as u64 <= end {
            self.log.tail.free_block(self.freed);
            self.freed += CHUNK_BYTES as u64;
        }
    }

    /// Full blocks from the block of `from` to that of `to`, the rest into a slot, one sync. Returns the bytes handed to the disk.
    fn write_and_sync(&mut self, from: u64, to: u64) -> DiskResult<u64> {
        self.log.stats.0.enter(Activity::Write);
        let first_block = block_floor(from);
        let last_block = block_floor(to);
        let mut full = (last_block - first_block) as usize;
        self.copy_stream(first_block, last_block);
        let segment_end = self.segment_first + self.log.segment_bytes;
        let with_slot = !self.planted_in_place(&mut full, last_block, to);
        if with_slot {
            self.fill_slot(last_block, to);
        }
        let Some(file) = &self.segment else { unreachable!("entered before writing") };
        let file_offset = HEAD_BYTES as u64 + (first_block - self.segment_first);
        let mut writes: Vec<WriteAt<'_>> = self.blocks[..full]
            .chunks(MAX_WRITE_BYTES)
            .enumerate()
            .map(|(i, bytes)| WriteAt { offset: file_offset + (i * MAX_WRITE_BYTES) as u64, bytes })
            .collect();
        if with_slot {
            writes.push(WriteAt { offset: SLOT_OFFSETS[self.slot_index], bytes: &self.slot[..SLOT_BYTES] });
            if planted::is(Bug::BothSlotsAtOnce) {
                writes.push(WriteAt { offset: SLOT_OFFSETS[self.slot_index ^ 1], bytes: &self.slot[..SLOT_BYTES] });
            }
        }
        file.write_batch(&writes)?;
        self.log.stats.0.enter(Activity::Sync);
        let skipped = planted::is(Bug::NoSync) || planted::is(Bug::NextSegmentBeforeSync) && to == segment_end;
        match if skipped { Ok(()) } else { file.sync_data() } {
            Err(_) if planted::is(Bug::SyncRetried) => file.sync_data()?,
            result => result?,
        }
        if with_slot && !planted::is(Bug::SameSlotAgain) {
            self.slot_index ^= 1;
        }
        Ok(full as u64 + if with_slot { SLOT_BYTES as u64 } else { 0 })
    }

    fn copy_stream(&mut self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            let chunk = chunk_floor(at);
            let end = to.min(chunk + CHUNK_BYTES as u64);
            let out = &mut self.blocks[(at - from) as usize..(end - from) as usize];
            self.log.tail.copy_live(chunk, (at - chunk) as usize, out);
            at = end;
        }
    }

    fn fill_slot(&mut self, block: u64, end: u64) {
        let length = (end - block) as usize;
        debug_assert!(length < BLOCK_BYTES);
        if length > 0 {
            let chunk = chunk_floor(block);
            let out = &mut self.slot[SLOT_HEADER_BYTES..SLOT_HEADER_BYTES + length];
            self.log.tail.copy_live(chunk, (block - chunk) as usize, out);
        }
        self.slot_generation += 1;
        SlotHead {
            log_id: self.log.log_id,
            epoch: self.log.epoch,
            generation: self.slot_generation,
            address: block,
            length,
            durable_sequence: if planted::is(Bug::WatermarkAhead) {
                self.log.published_sequence()
            } else {
                self.log.durable_sequence()
            },
            durable_address: self.log.durable_address(),
            // A segment is added when its name is durable.
            segments_end: self.log.room.end(),
        }
        .seal(&mut self.slot);
    }

    /// The partial block in its place rather than in a slot: a defect to plant.
    fn planted_in_place(&mut self, full: &mut usize, last_block: u64, to: u64) -> bool {
        if !planted::is(Bug::PartialBlockInPlace) || to == last_block || *full + BLOCK_BYTES > self.blocks.len() {
            return false;
        }
        let chunk = chunk_floor(last_block);
        let part = (to - last_block) as usize;
        let block = &mut self.blocks[*full..*full + BLOCK_BYTES];
        block.fill(0);
        self.log.tail.copy_live(chunk, (last_block - chunk) as usize, &mut block[..part]);
        *full += BLOCK_BYTES;
        true
    }

    /// One turn of the thread's loop: a step, and what the log is told to do beside it. `None`: this was the last one.
    pub(crate) fn turn(&mut self, now_ns: u64) -> Option<Step> {
        let stop = self.log.stop.told();
        if stop == STOP {
            return None;
        }
        debug_assert!(matches!(stop, RUN | DRAIN));
        let step = self.step(now_ns).ok()?;
        // A last look may have raced with the last publication; after DRAIN nothing new comes.
        if step == Step::Idle && stop == DRAIN && self.log.published_address() == self.flushed {
            if self.slot_watermark < self.log.durable_sequence() {
                let _ = self.write_watermark(now_ns);
            }
            return None;
        }
        Some(step)
    }

    /// The thread: turns until the last one.
    pub(crate) fn run(mut self, wait: WaitStrategy, idle_sleep: Duration) {
        let clock = Instant::now();
        let mut idle_rounds = 0u32;
        while let Some(step) = self.turn(clock.elapsed().as_nanos() as u64) {
            if step == Step::Idle {
                idle_rounds = idle_rounds.saturating_add(1);
                pause(wait, idle_rounds, idle_sleep);
            } else {
                idle_rounds = 0;
            }
        }
    }
}

/// One round of waiting.
fn pause(wait: WaitStrategy, idle_rounds: u32, idle_sleep: Duration) {
    match wait {
        WaitStrategy::Spin => std::hint::spin_loop(),
        WaitStrategy::Yield => std::thread::yield_now(),
        WaitStrategy::Adaptive if idle_rounds < 32 => std::hint::spin_loop(),
        WaitStrategy::Adaptive if idle_rounds < 40 => std::thread::yield_now(),
        // Long idle, the sleeps double up to eightfold: a quiet log costs little, and wakes within them.
        WaitStrategy::Adaptive => std::thread::sleep(idle_sleep * (1 << ((idle_rounds - 40) / 256).min(3))),
    }
}
