//! The hot side: one owner, one store after the other into the mapped tail.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::checksum::seal;
use crate::disk::HeldLock;
use crate::error::{AppendError, LatchedError};
use crate::limits::{CHUNK_BYTES, HEADER_BYTES, MAX_PAYLOAD_BYTES, NO_ADDRESS, padded_bytes};
use crate::log::Log;
use crate::planted::{self, Bug};
use crate::prefetch;
use crate::record::{Group, INTERNAL_KINDS, KIND_CLOSE, RecordHeader, RecordMeta};
use crate::stop::{DRAIN, ENDED, STOP};
use crate::tail::FreeBlock;

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its sequence.
    pub sequence: u64,
    /// Its address; with the log's id, unique for ever.
    pub address: u64,
}

/// Lines are asked for so many bytes before a record is stored into them. Measured with the log thread on another core: from 512 bytes on
/// it helps, at 4 KiB the most.
const AHEAD_BYTES: usize = 4_096;
/// Offsets in a block at which the step to the next one is prepared.
const ASK_AT: usize = CHUNK_BYTES / 2;
const ASK_AGAIN_AT: usize = ASK_AT + CHUNK_BYTES / 8;
const RESERVE_AT: usize = ASK_AGAIN_AT + CHUNK_BYTES / 8;
const NOTHING_AHEAD: usize = usize::MAX;

const _: () = assert!(RESERVE_AT + AHEAD_BYTES <= CHUNK_BYTES);

/// The one writer of a log. Belongs to one thread at a time.
///
/// [`Appender::append`] allocates nothing, locks nothing and makes no system call. Dropping the appender flushes what was
/// published and stops the threads, without a close record; [`Appender::close`] ends the epoch in order.
#[derive(Debug)]
pub struct Appender {
    log: Arc<Log>,
    /// First byte of the block being filled; null before the first.
    block: *mut u8,
    chunk_address: u64,
    /// Next free byte in the block.
    offset: usize,
    next_chunk: u64,
    /// The block after this one, taken ahead of time.
    reserved: Option<FreeBlock>,
    /// The offset at which to look ahead again.
    look_ahead_at: usize,
    /// The last record.
    sequence: u64,
    checksum: u32,
    in_group: bool,
    threads: Vec<JoinHandle<()>>,
    lock: Option<Box<dyn HeldLock>>,
}

// SAFETY: `block` and `reserved` point into the tail's mapping, which `log` keeps alive, and the appender is the only one who stores there;
// which thread does so does not matter as long as it is one at a time.
unsafe impl Send for Appender {}

impl Appender {
    pub(crate) fn new(log: Arc<Log>, next_chunk: u64, sequence: u64, checksum: u32, lock: Box<dyn HeldLock>) -> Self {
        Self {
            log,
            block: std::ptr::null_mut(),
            chunk_address: NO_ADDRESS,
            offset: CHUNK_BYTES,
            next_chunk,
            reserved: None,
            look_ahead_at: NOTHING_AHEAD,
            sequence,
            checksum,
            in_group: false,
            threads: Vec::with_capacity(2),
            lock: Some(lock),
        }
    }

    /// The threads to stop in the end.
    pub(crate) fn adopt(&mut self, threads: Vec<JoinHandle<()>>) {
        self.threads = threads;
    }

    /// Appends one record and, at the end of a group, publishes it: from then on it survives a killed process.
    ///
    /// `fill` writes the payload in place and gets exactly `payload_bytes` bytes. They are *not* zeroed: they hold whatever an older
    /// record left there, so every byte must be written. When `fill` panics nothing is appended.
    ///
    /// Records of a group are published together with the last one. When a record in the middle of a group is refused, try it again:
    /// the group stays open. A group that is never finished vanishes at the next opening. Use [`Appender::has_room`]
    /// before the first record of a group.
    #[inline]
    pub fn append(
        &mut self,
        meta: &RecordMeta,
        payload_bytes: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Appended, AppendError> {
        if meta.kind >= INTERNAL_KINDS {
            return Err(AppendError::ReservedKind);
        }
        self.append_any(meta, payload_bytes, fill)
    }

    #[inline]
    pub(crate) fn append_any(
        &mut self,
        meta: &RecordMeta,
        payload_bytes: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Appended, AppendError> {
        if payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(AppendError::TooLarge);
        }
        if meta.group.is_member() != self.in_group {
            return Err(AppendError::GroupOrder);
        }
        if self.log.durability.has_latched() && !planted::is(Bug::AppendsAfterLatch) {
            return Err(AppendError::Latched);
        }
        let padded = padded_bytes(payload_bytes);
        if self.offset + padded > CHUNK_BYTES {
            self.next_block()?;
        }
        let length = HEADER_BYTES + payload_bytes;
        let address = self.chunk_address + self.offset as u64;
        // SAFETY: `next_block` gave us a whole block, `offset + padded` is within it, and until it is published nobody else touches
        // these bytes. They are initialised: the mapping was allocated zeroed.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.block.add(self.offset), padded) };
        self.ask_ahead(padded);
        // The padding lies in the last word. Cleared before the payload is written: one store, where clearing just the padding would be
        // a call.
        bytes[padded - 8..].copy_from_slice(&[0; 8]);
        fill(&mut bytes[HEADER_BYTES..length]);
        let header = RecordHeader {
            checksum: 0,
            length: length as u32,
            log_id: self.log.log_id,
            sequence: self.sequence + 1,
            address,
            previous: meta.previous,
            // A claim about the past; no bytes are read on the strength of it here.
            durable_sequence: if planted::is(Bug::HeaderWatermarkAhead) {
                self.sequence
            } else {
                self.log.durability.sequence_hint()
            },
            epoch: self.log.epoch,
            previous_checksum: self.checksum,
            kind: meta.kind,
            partition: meta.partition,
            version: meta.version,
            flags: meta.group.flags(),
        };
        header.store(bytes.first_chunk_mut().expect("a record holds its header"));
        let checksum = seal(bytes);
        self.offset += padded;
        if self.offset >= self.look_ahead_at {
            self.look_ahead();
        }
        self.sequence += 1;
        self.checksum = checksum;
        self.in_group = meta.group.continues();
        if !self.in_group {
            self.publish(address + padded as u64);
        }
        Ok(Appended { sequence: self.sequence, address })
    }

    #[inline]
    fn publish(&self, end_address: u64) {
        self.log.tail.publish(end_address, self.sequence);
    }

    /// Asks for the lines that records will be stored into some kilobytes from here: of this block, and at its end of the next one.
    #[inline]
    fn ask_ahead(&self, bytes: usize) {
        let from = self.offset + AHEAD_BYTES;
        prefetch::lines_for_store(self.block, from, bytes, CHUNK_BYTES);
        if from + bytes > CHUNK_BYTES
            && let Some(next) = &self.reserved
        {
            prefetch::lines_for_store(next.start, from.saturating_sub(CHUNK_BYTES), bytes, CHUNK_BYTES);
        }
    }

    /// Prepares the step to the next block in three small steps along this one, so that no record pays for all of it: asks for the free
    /// list's head, then for what it leads to, then takes the block.
    #[inline(never)]
    fn look_ahead(&mut self) {
        if self.offset < RESERVE_AT {
            self.log.tail.ask_for_free(self.next_chunk);
            self.look_ahead_at = if self.offset < ASK_AGAIN_AT { ASK_AGAIN_AT } else { RESERVE_AT };
        } else {
            if self.reserved.is_none() {
                self.reserved = self.log.tail.reserve_block();
            }
            self.look_ahead_at = NOTHING_AHEAD;
        }
    }

    /// Goes over to the next chunk, or changes nothing.
    #[cold]
    fn next_block(&mut self) -> Result<(), AppendError> {
        let ready = self.log.room.end();
        if self.next_chunk + CHUNK_BYTES as u64 > ready && !planted::is(Bug::AppendsBeyondRoom) {
            return Err(if self.log.out_of_space() { AppendError::OutOfSpace } else { AppendError::TailFull });
        }
        let Some(block) = self.reserved.take().or_else(|| self.log.tail.reserve_block()) else {
            return Err(AppendError::TailFull);
        };
        if !self.block.is_null() {
            // SAFETY: the rest of the block we own, unpublished; stale bytes there must become zeros before the chunk goes to disk.
            unsafe { self.block.add(self.offset).write_bytes(0, CHUNK_BYTES - self.offset) };
        }
        self.block = self.log.tail.assign_block(block, self.next_chunk);
        self.look_ahead_at = ASK_AT;
        self.chunk_address = self.next_chunk;
        self.next_chunk += CHUNK_BYTES as u64;
        self.offset = 0;
        Ok(())
    }

    /// The log this appender writes.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The sequence of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    /// The address the next record will get if its payload has that many bytes.
    pub fn next_address_for(&self, payload_bytes: usize) -> u64 {
        if self.offset + padded_bytes(payload_bytes) > CHUNK_BYTES {
            self.next_chunk
        } else {
            self.chunk_address + self.offset as u64
        }
    }

    /// True when records of those payload sizes would all be taken in right now: ask before the first record of a group. Counts
    /// conservatively and walks the free list, so it is for the rare large decision. A group that needs more than the tail holds, or more than the
    /// segments kept ahead (two), never gets a yes.
    pub fn has_room(&self, payload_bytes: impl IntoIterator<Item = usize>) -> bool {
        let mut offset = self.offset;
        let mut chunks = 0u64;
        for payload in payload_bytes {
            let padded = padded_bytes(payload);
            if offset + padded > CHUNK_BYTES {
                chunks += 1;
                offset = 0;
            }
            offset += padded;
        }
        let end = self.next_chunk + chunks * CHUNK_BYTES as u64;
        let reserved = u64::from(self.reserved.is_some());
        chunks == 0 || (end <= self.log.room.end() && self.log.tail.has_free(chunks - reserved))
    }

    /// Ends the epoch in order: a close record, everything durable, threads stopped, tail file removed. Where there is no room left for
    /// the close record everything is made durable all the same and the next opening finds an unclean, complete log.
    pub fn close(mut self) -> Result<(), LatchedError> {
        // A disk that is behind is waited for; a disk that is full, or a group left open, is not.
        let closed = loop {
            match self.append_close() {
                Err(AppendError::TailFull) => std::thread::sleep(Duration::from_millis(1)),
                other => break other.is_ok(),
            }
        };
        self.stop_threads(DRAIN);
        self.end(closed)
    }

    /// After the last flush: the tail has done its work when everything in it is durable.
    pub(crate) fn end(self, closed: bool) -> Result<(), LatchedError> {
        if let Some(error) = self.log.latched() {
            return Err(error);
        }
        if closed && self.log.durable_sequence() == self.sequence {
            // A file that stays is found to agree with the disk at the next opening, which replaces it.
            let _ = self.log.tail.remove(&*self.log.disk);
        }
        Ok(())
    }

    pub(crate) fn append_close(&mut self) -> Result<Appended, AppendError> {
        let meta =
            RecordMeta { kind: KIND_CLOSE, version: 1, partition: 0, previous: NO_ADDRESS, group: Group::Single };
        let wall_clock_ns = self.log.disk.wall_clock_ns();
        self.append_any(&meta, 8, |b| b.copy_from_slice(&wall_clock_ns.to_le_bytes()))
    }

    /// Stops the threads at once and leaves files and tail as they are, as a crash would. For tests.
    pub fn abandon(mut self) {
        self.stop_threads(STOP);
    }

    fn stop_threads(&mut self, how: u8) {
        self.log.stop.tell(how);
        self.log.preparer_bell.ring();
        self.log.keeper_bell.ring();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.log.stop.tell(ENDED);
        self.log.durability.wake();
        self.lock = None;
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.stop_threads(DRAIN);
        }
    }
}
