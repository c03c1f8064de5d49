//! Readers of a log that is being written: many at once, none able to slow the writer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aligned::{AlignedBuffer, all_zero};
use crate::chain::Chain;
use crate::damage::{Corrupt, What};
use crate::error::ReadError;
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES, HEAD_BYTES, HEADER_BYTES, SCAN_BYTES, block_floor, chunk_floor};
use crate::log::Log;
use crate::mapped::SealedSegment;
use crate::nap::nap;
use crate::near::NearChunks;
use crate::planted::{self, Bug};
use crate::record::{Record, RecordHeader, read_record};
use crate::segment::segment_path;

/// Memory alignment of the payloads handed out.
const PAYLOAD_ALIGN: usize = 16;
/// Of those in a mapped segment, where nothing is copied.
const MAPPED_ALIGN: usize = 8;
/// A reader that waits for applied records looks so often before it sleeps, and then sleeps up to so long.
const WAIT_NAPS: u32 = 64;
const WAIT_SLEEP_MAX: Duration = Duration::from_millis(1);
/// Read for a record whose length is not known yet: most are shorter than a block, and may end in the next one.
const GUESS_BYTES: usize = 2 * BLOCK_BYTES;
/// How often a reader that lost a race against a recycled block tries again. Once is enough: the bytes are on disk by then.
const RACE_TRIES: usize = 4;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The oldest record still here.
    Start,
    /// That record; the one after the newest is allowed and means "what comes next".
    Sequence(u64),
    /// The record at that stream address.
    Address(u64),
}

/// How far a reader may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Only what survives power loss. For everything whose effects leave the process.
    Durable,
    /// Also what survives only a killed process.
    Applied,
}

/// Reads records in order. Copies from the live tail, reads the segment being written past the page cache, sealed ones in large
/// pieces; verifies every record alone and along the chain.
#[derive(Debug)]
pub struct Reader {
    log: Arc<Log>,
    chain: Chain,
    /// Sequence of the next record.
    next_sequence: u64,
    /// Where it is looked for: the end of the last one, or the chunk after that.
    at: u64,
    buffer: AlignedBuffer,
    /// Stream address of the buffer's first byte, a chunk boundary.
    base: u64,
    /// The buffer holds the stream from here ...
    from: u64,
    /// ... to here.
    to: u64,
    aligned: AlignedBuffer,
    maps: bool,
    /// The segment that takes the buffer's place.
    mapped: Option<SealedSegment>,
}

impl Reader {
    pub(crate) fn open(log: Arc<Log>, from: From) -> Result<Self, ReadError> {
        match from {
            From::Start => {
                let first = log.first_address();
                Self::at_address(log, first)
            }
            From::Address(address) => Self::at_address(log, address),
            From::Sequence(sequence) => Self::at_sequence(log, sequence),
        }
    }

    fn at_address(log: Arc<Log>, address: u64) -> Result<Self, ReadError> {
        let mut probe = RecordBuffer::new();
        read_at(&log, address, &mut probe)?;
        let chain = if address == 0 { Chain::from_start(log.log_id) } else { Chain::on_trust(log.log_id, address) };
        Ok(Self {
            next_sequence: probe.header().sequence,
            chain,
            at: address,
            buffer: AlignedBuffer::new(SCAN_BYTES.min(log.segment_bytes as usize)),
            base: 0,
            from: 0,
            to: 0,
            aligned: AlignedBuffer::new(CHUNK_BYTES),
            maps: false,
            mapped: None,
            log,
        })
    }

    fn at_sequence(log: Arc<Log>, sequence: u64) -> Result<Self, ReadError> {
        let last = log.published_sequence();
        if sequence > last + 1 || sequence == 0 {
            return Err(ReadError::Beyond { wanted: sequence, last });
        }
        // For "what comes next" the newest record is found and stepped over.
        let target = sequence.min(last);
        let chunk = find_chunk(&log, target)?;
        let mut reader = Self::at_address(log, chunk)?;
        if reader.next_sequence > target {
            return Err(ReadError::Gone { wanted: sequence, first: reader.next_sequence });
        }
        while reader.next_sequence < sequence {
            if reader.next(Limit::Applied)?.is_none() {
                return Err(ReadError::Beyond { wanted: sequence, last });
            }
        }
        Ok(reader)
    }

    /// From here on sealed segments are read in place, through a mapping: nothing is copied, and payloads lie at multiples of eight only.
    /// See [`SealedSegment`] for what a failing disk does then.
    #[must_use]
    pub fn mapped(mut self) -> Self {
        self.maps = true;
        self
    }

    /// Blocks until there is a next record within `limit` (true), or until the time is over or the log has ended (false).
    ///
    /// For durable records the log thread wakes the waiter; for applied ones the reader looks itself, up to a thousand times a
    /// second, for the writer calls nobody.
    ///
    /// # Errors
    /// [`ReadError::Latched`]: nothing more becomes durable.
    pub fn wait(&self, limit: Limit, timeout: Duration) -> Result<bool, ReadError> {
        if self.is_ready(limit) {
            return Ok(true);
        }
        if limit == Limit::Durable {
            return Ok(self.log.wait_durable(self.next_sequence, timeout)?);
        }
        let deadline = Instant::now().checked_add(timeout);
        let mut looks = 0;
        loop {
            let ended = self.log.has_ended();
            if self.is_ready(limit) {
                return Ok(true);
            }
            if ended || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            looks += 1;
            if looks < WAIT_NAPS {
                nap();
            } else {
                std::thread::sleep((Duration::from_micros(20) * (looks - WAIT_NAPS + 1)).min(WAIT_SLEEP_MAX));
            }
        }
    }

    /// As [`Reader::next`], after [`Reader::wait`].
    ///
    /// # Errors
    /// As both.
    pub fn next_within(&mut self, limit: Limit, timeout: Duration) -> Result<Option<Record<'_>>, ReadError> {
        if self.wait(limit, timeout)? { self.next(limit) } else { Ok(None) }
    }

    fn is_ready(&self, limit: Limit) -> bool {
        self.next_sequence <= self.available(limit)
    }

    fn available(&self, limit: Limit) -> u64 {
        match limit {
            Limit::Durable if !planted::is(Bug::DurableReadsPublished) => self.log.durable_sequence(),
            _ => self.log.published_sequence(),
        }
    }

    /// The sequence that [`Reader::next`] will hand out next.
    pub fn sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Where the last record ended (or the reader began).
    pub fn address(&self) -> u64 {
        self.chain.end.address
    }

    /// The next record, the log's own included ([`RecordHeader::is_internal`]); `None` when there is nothing new within
    /// `limit` yet. Never blocks on the writer; reads files when the reader is behind.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self, limit: Limit) -> Result<Option<Record<'_>>, ReadError> {
        if !self.is_ready(limit) {
            return Ok(None);
        }
        loop {
            if CHUNK_BYTES - ((self.at % CHUNK_BYTES as u64) as usize) < HEADER_BYTES {
                self.at = chunk_floor(self.at) + CHUNK_BYTES as u64;
            }
            if self.at < self.from || self.at >= self.to {
                self.refill()?;
            }
            let chunk = chunk_floor(self.at);
            let to = self.to.min(chunk + CHUNK_BYTES as u64);
            let start = (chunk - self.base) as usize;
            let window = self.mapped.as_ref().map_or(&self.buffer[..], SealedSegment::stream);
            let bytes = &window[start..(to - self.base) as usize];
            let offset = (self.at - chunk) as usize;
            match read_record(bytes, offset, self.log.log_id, self.at) {
                Ok(header) => {
                    let payload = offset + HEADER_BYTES..offset + header.length as usize;
                    if let Err(what) = self.chain.accept(&header, &bytes[payload.clone()]) {
                        return Err(self.corrupt(what));
                    }
                    self.next_sequence = header.sequence + 1;
                    self.at = header.end_address();
                    let payload = start + payload.start..start + payload.end;
                    return Ok(Some(self.hand_out(header, payload)));
                }
                Err(What::Nothing) if offset > 0 && all_zero(&bytes[offset..]) => {
                    self.at = chunk + CHUNK_BYTES as u64;
                }
                Err(what) => return Err(self.corrupt(what)),
            }
        }
    }

    fn hand_out(&mut self, header: RecordHeader, payload: std::ops::Range<usize>) -> Record<'_> {
        let (window, align) = match &self.mapped {
            Some(segment) => (segment.stream(), MAPPED_ALIGN),
            None => (&self.buffer[..], PAYLOAD_ALIGN),
        };
        if payload.start.is_multiple_of(align) {
            return Record { header, payload: &window[payload] };
        }
        let length = payload.len();
        self.aligned[..length].copy_from_slice(&window[payload]);
        Record { header, payload: &self.aligned[..length] }
    }

    fn corrupt(&self, what: What) -> ReadError {
        let log = &self.log;
        let first = self.at - self.at % log.segment_bytes;
        ReadError::Corrupt(Corrupt {
            segment: segment_path(&log.dir, first),
            offset: HEAD_BYTES as u64 + (self.at - first),
            address: self.at,
            sequence: self.next_sequence,
            what,
        })
    }

    /// Brings the bytes at `self.at` into the buffer: from the tail while it has them, else from disk.
    fn refill(&mut self) -> Result<(), ReadError> {
        let chunk = chunk_floor(self.at);
        for _ in 0..RACE_TRIES {
            let end = self.log.published_address().min(chunk + CHUNK_BYTES as u64);
            if end > self.at && self.copy_from_tail(chunk, end) {
                return Ok(());
            }
            let on_disk = chunk_floor(self.log.durable_address());
            if chunk < on_disk {
                return self.read_from_disk(chunk, on_disk);
            }
        }
        Err(self.corrupt(What::Gap))
    }

    fn copy_from_tail(&mut self, chunk: u64, end: u64) -> bool {
        self.mapped = None;
        // While following the tail only what is new is copied.
        let follows = self.base == chunk && self.to == self.at && self.from < self.to;
        let out = &mut self.buffer[(self.at - chunk) as usize..(end - chunk) as usize];
        if !self.log.tail.copy(chunk, (self.at - chunk) as usize, out) {
            return false;
        }
        if !follows {
            self.from = self.at;
        }
        self.base = chunk;
        self.to = end;
        true
    }

    fn read_from_disk(&mut self, chunk: u64, on_disk: u64) -> Result<(), ReadError> {
        self.mapped = None;
        if self.maps
            && let Some(segment) = self.log.map_sealed(chunk)?
        {
            (self.base, self.from, self.to) = (segment.first_address(), segment.first_address(), segment.end_address());
            self.mapped = Some(segment);
            return Ok(());
        }
        let (first, file) = self.log.read_handle(chunk)?;
        let to = on_disk.min(first + self.log.segment_bytes).min(chunk + self.buffer.len() as u64);
        let bytes = (to - chunk) as usize;
        // Invalid until the read is through.
        (self.from, self.to) = (0, 0);
        let offset = HEAD_BYTES as u64 + (chunk - first);
        let read = file.read_at(offset, &mut self.buffer[..bytes])?;
        if read < bytes {
            return Err(self.corrupt(What::Length));
        }
        (self.base, self.from, self.to) = (chunk, chunk, to);
        Ok(())
    }
}

/// The last chunk whose first record is not beyond `sequence`. Two searches: over the segments by their first sequences, which are
/// known or found once, then over the chunks of one of them. Every chunk begins with a record, so no index is kept.
fn find_chunk(log: &Log, sequence: u64) -> Result<u64, ReadError> {
    let chunk_bytes = CHUNK_BYTES as u64;
    let published = log.published_address();
    let oldest = log.first_address();
    let (mut low, mut high) = (oldest / log.segment_bytes, published.saturating_sub(1) / log.segment_bytes);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if log.first_sequence(middle * log.segment_bytes)? <= sequence { low = middle } else { high = middle - 1 }
    }
    let segment = (low * log.segment_bytes).max(oldest);
    let mut high = (segment + log.segment_bytes).min(published).saturating_sub(1) / chunk_bytes;
    let mut low = segment / chunk_bytes;
    let mut probe = RecordBuffer::new();
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        read_at(log, middle * chunk_bytes, &mut probe)?;
        if probe.header().sequence <= sequence { low = middle } else { high = middle - 1 }
    }
    Ok(low * chunk_bytes)
}

/// Memory for one record, reused from read to read.
#[derive(Debug)]
pub struct RecordBuffer {
    bytes: AlignedBuffer,
    header: RecordHeader,
    payload_at: usize,
    near: NearChunks,
}

impl Default for RecordBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordBuffer {
    /// Room for the largest record.
    pub fn new() -> Self {
        Self {
            // A record of a whole chunk may begin anywhere in its first block.
            bytes: AlignedBuffer::new(CHUNK_BYTES + BLOCK_BYTES),
            header: RecordHeader::decode(&[0; HEADER_BYTES]),
            payload_at: HEADER_BYTES,
            near: NearChunks::default(),
        }
    }

    /// The header read last; all zeros before the first read.
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// Holds no record from here on.
    pub(crate) fn forget(&mut self) {
        self.header = RecordHeader::decode(&[0; HEADER_BYTES]);
    }

    /// The record read last. Panics before the first successful read.
    pub fn record(&self) -> Record<'_> {
        assert!(self.header.length as usize >= HEADER_BYTES, "nothing was read yet");
        let payload = self.payload_at..self.payload_at + self.header.payload_bytes();
        Record { header: self.header, payload: &self.bytes[payload] }
    }
}

/// See [`Log::read_at`].
pub(crate) fn read_at(log: &Log, address: u64, buffer: &mut RecordBuffer) -> Result<(), ReadError> {
    let published = log.published_address();
    let offset = address as usize % CHUNK_BYTES;
    if !address.is_multiple_of(8) || address >= published || offset + HEADER_BYTES > CHUNK_BYTES {
        return Err(ReadError::NoRecord { address, what: What::Nothing });
    }
    let chunk = chunk_floor(address);
    buffer.header = RecordHeader::decode(&[0; HEADER_BYTES]);
    if let Some(taken) = buffer.take_near(log, chunk, offset) {
        return taken;
    }
    for _ in 0..RACE_TRIES {
        if let Some(length) = copy_from_tail(log, chunk, offset, published, buffer) {
            return buffer.check(log.log_id, address, 0, length);
        }
        let is_whole = chunk + CHUNK_BYTES as u64 <= log.durable_address();
        if is_whole
            && buffer.fetch_near(log, chunk)?
            && let Some(taken) = buffer.take_near(log, chunk, offset)
        {
            return taken;
        }
        if is_whole || address < log.start.0 {
            let (start, length) = read_from_disk(log, address, &mut buffer.bytes)?;
            return buffer.check(log.log_id, address, start, length);
        }
    }
    Err(ReadError::NoRecord { address, what: What::Gap })
}

impl RecordBuffer {
    /// Reads a chunk that is durable as a whole when it is met again. Says whether it is here.
    fn fetch_near(&mut self, log: &Log, chunk: u64) -> Result<bool, ReadError> {
        if !self.near.meets((log.log_id, log.epoch), chunk) {
            return Ok(false);
        }
        let (first, file) = log.read_handle(chunk)?;
        self.near.keep((log.log_id, log.epoch), chunk, |bytes| {
            let read = file.read_at(HEAD_BYTES as u64 + (chunk - first), bytes)?;
            Ok(read == CHUNK_BYTES)
        })
    }

    /// The record at `offset` of a chunk that is kept; `None`: it is not.
    fn take_near(&mut self, log: &Log, chunk: u64, offset: usize) -> Option<Result<(), ReadError>> {
        let near = self.near.find((log.log_id, log.epoch), chunk)?;
        let address = chunk + offset as u64;
        let Some(record) = record_in(near, offset) else {
            return Some(Err(ReadError::NoRecord { address, what: What::Nothing }));
        };
        self.bytes[..record.len()].copy_from_slice(record);
        let padded = record.len();
        Some(self.check(log.log_id, address, 0, padded))
    }

    /// The record at `offset` of a chunk, copied and verified.
    pub(crate) fn take(&mut self, chunk: &[u8], offset: usize, log_id: u64, address: u64) -> Result<(), ReadError> {
        let none = ReadError::NoRecord { address, what: What::Nothing };
        let Some(record) = record_in(chunk, offset) else { return Err(none) };
        self.header = RecordHeader::decode(&[0; HEADER_BYTES]);
        self.bytes[..record.len()].copy_from_slice(record);
        self.check(log_id, address, 0, record.len())
    }

    fn check(&mut self, log_id: u64, address: u64, start: usize, length: usize) -> Result<(), ReadError> {
        let header = read_record(&self.bytes[start..start + length], 0, log_id, address)
            .map_err(|what| ReadError::NoRecord { address, what })?;
        self.payload_at = start + HEADER_BYTES;
        if !self.payload_at.is_multiple_of(PAYLOAD_ALIGN) {
            let payload = self.payload_at..self.payload_at + header.payload_bytes();
            self.payload_at -= 8;
            self.bytes.copy_within(payload, self.payload_at);
        }
        self.header = header;
        Ok(())
    }
}

/// The bytes of the record that may lie at `offset` of a chunk, with its padding.
fn record_in(chunk: &[u8], offset: usize) -> Option<&[u8]> {
    let rest = chunk.get(offset..)?;
    let padded = RecordHeader::decode(rest.first_chunk()?).padded_bytes();
    Some(&rest[..padded.clamp(HEADER_BYTES, rest.len())])
}

/// Header first, then as much as it asks for. `None` when the tail does not have it.
fn copy_from_tail(log: &Log, chunk: u64, offset: usize, published: u64, buffer: &mut RecordBuffer) -> Option<usize> {
    let end = (published.min(chunk + CHUNK_BYTES as u64) - chunk) as usize;
    if offset + HEADER_BYTES > end {
        return None;
    }
    if !log.tail.copy(chunk, offset, &mut buffer.bytes[..HEADER_BYTES]) {
        return None;
    }
    let header = RecordHeader::decode(buffer.bytes.first_chunk().expect("64 bytes"));
    // An address in the middle of a record shows some length; the checksum will refuse it.
    let padded = header.padded_bytes().clamp(HEADER_BYTES, end - offset);
    let rest = &mut buffer.bytes[HEADER_BYTES..padded];
    log.tail.copy(chunk, offset + HEADER_BYTES, rest).then_some(padded)
}

/// See [`Log::will_read_at`].
pub(crate) fn will_read_at(log: &Log, address: u64) {
    let is_on_disk = chunk_floor(address) + CHUNK_BYTES as u64 <= log.durable_address();
    if is_on_disk && let Ok((first, file)) = log.read_handle(address) {
        let (block, chunk_end) = (block_floor(address), chunk_floor(address) + CHUNK_BYTES as u64);
        let bytes = (chunk_end - block).min(GUESS_BYTES as u64) as usize;
        file.will_read(HEAD_BYTES as u64 + (block - first), bytes);
    }
}

/// Whole blocks around the record; returns where it starts in `bytes` and how many bytes of it may be there.
fn read_from_disk(log: &Log, address: u64, bytes: &mut [u8]) -> Result<(usize, usize), ReadError> {
    let (first, file) = log.read_handle(address)?;
    let block = block_floor(address);
    let start = (address - block) as usize;
    let file_offset = HEAD_BYTES as u64 + (block - first);
    let chunk_left = (chunk_floor(address) + CHUNK_BYTES as u64 - block) as usize;
    let fill = |from: usize, to: usize, bytes: &mut [u8]| -> Result<(), ReadError> {
        let read = file.read_at(file_offset + from as u64, &mut bytes[from..to])?;
        if read < to - from {
            return Err(ReadError::NoRecord { address, what: What::Length });
        }
        Ok(())
    };
    let guess = chunk_left.min(GUESS_BYTES);
    fill(0, guess, bytes)?;
    let header = bytes[start..].first_chunk().expect("a block and a header");
    let padded = RecordHeader::decode(header).padded_bytes();
    let needed = (start + padded).next_multiple_of(BLOCK_BYTES).min(chunk_left);
    if needed > guess {
        fill(guess, needed, bytes)?;
    }
    Ok((start, padded.clamp(HEADER_BYTES, chunk_left - start)))
}
