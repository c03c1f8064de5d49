//! Reading a log's segments from the front: which are there, how far the chain goes, what witnesses speak of more.

use std::path::Path;
use std::sync::Arc;

use crate::aligned::{AlignedBuffer, all_zero};
use crate::chain::{Chain, Walk};
use crate::damage::{Corrupt, What};
use crate::disk::{Access, Disk, DiskFile, DiskResult};
use crate::error::OpenError;
use crate::limits::{
    BLOCK_BYTES, CHUNK_BYTES, HEAD_BYTES, HEADER_BYTES, MAX_FLUSHES_IN_FLIGHT, SCAN_BYTES, SLOT_COUNT, SLOT_OFFSETS,
    SLOTS_END, chunk_floor,
};
use crate::planted::{self, Bug};
use crate::record::{EpochStart, KIND_EPOCH_START, read_record, u64_at};
use crate::recovery::{Ending, Place};
use crate::segment::{SegmentHeader, Slot, SlotFound, parse_segment_name, segment_path};

/// One segment file that is what its name says.
#[derive(Debug)]
pub(crate) struct DiskSegment {
    pub(crate) first: u64,
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) slots: [SlotFound; SLOT_COUNT],
    /// Something was ever written to it.
    pub(crate) begun: bool,
}

impl DiskSegment {
    /// The slot written last.
    pub(crate) fn newest_slot(&self) -> Option<(usize, &Slot)> {
        let valid = self.slots.iter().enumerate().filter_map(|(i, s)| Some((i, s.valid()?)));
        valid.max_by_key(|(_, s)| (s.epoch, s.generation))
    }

    /// Flushes that may have been under way when the segment was written last. Its slots say so; where none that was written is whole, the
    /// first flushes into it may have been.
    fn flushes_in_flight(&self) -> usize {
        let said = self.slots.iter().filter_map(SlotFound::valid).map(|slot| slot.in_flight);
        said.max().unwrap_or(MAX_FLUSHES_IN_FLIGHT)
    }
}

/// Opens every segment file of a directory from address `from` on and checks names, identities, lengths, order and head areas.
pub(crate) fn load_segments(
    disk: &dyn Disk,
    dir: &Path,
    log_id: u64,
    segment_bytes: u64,
    from: u64,
) -> Result<Vec<DiskSegment>, OpenError> {
    let mut segments: Vec<DiskSegment> = Vec::new();
    loop {
        let mut firsts: Vec<u64> = disk.list(dir)?.iter().filter_map(|name| parse_segment_name(name)).collect();
        firsts.sort_unstable();
        let loaded_to = segments.last().map_or(from, |s| s.first + segment_bytes);
        let before = segments.len();
        for first in firsts.into_iter().filter(|first| *first >= loaded_to) {
            if let Some(last) = segments.last()
                && last.first + segment_bytes != first
            {
                let address = last.first + segment_bytes;
                return Err(OpenError::MissingSegment { path: segment_path(dir, address), address });
            }
            segments.push(load_segment(disk, dir, first, log_id, segment_bytes)?);
        }
        let end = segments.last().map_or(0, |s| s.first + segment_bytes);
        let slots = segments.iter().flat_map(|s| &s.slots).filter_map(SlotFound::valid);
        let wanted = slots.map(|s| s.segments_end).max().unwrap_or(0);
        if wanted <= end || planted::is(Bug::LastSegmentNotMissed) {
            check_slots(&segments)?;
            return Ok(segments);
        }
        // A slot speaks of a segment that is not here. While the log is being written it may have come since the directory was read.
        if segments.len() == before {
            return Err(OpenError::MissingSegment { path: segment_path(dir, end), address: end });
        }
    }
}

fn load_segment(
    disk: &dyn Disk,
    dir: &Path,
    first: u64,
    log_id: u64,
    segment_bytes: u64,
) -> Result<DiskSegment, OpenError> {
    let path = segment_path(dir, first);
    let wrong = |what: String| OpenError::WrongSegment { path: path.clone(), what };
    let file = disk.open(&path, Access::Read)?;
    // The head area and the first block of the stream in one go.
    let mut head = AlignedBuffer::new(HEAD_BYTES + BLOCK_BYTES);
    if file.read_at(0, &mut head)? < HEAD_BYTES + BLOCK_BYTES {
        return Err(wrong("shorter than its head area".into()));
    }
    let header = SegmentHeader::decode(&head).map_err(wrong)?;
    if header.log_id != log_id {
        return Err(wrong(format!("belongs to log {:016x}, this is {log_id:016x}", header.log_id)));
    }
    if header.first_address != first {
        return Err(wrong(format!("holds stream address {:#x}", header.first_address)));
    }
    if header.stream_bytes != segment_bytes || !first.is_multiple_of(segment_bytes) {
        return Err(wrong(format!("holds {} stream bytes", header.stream_bytes)));
    }
    let wanted = HEAD_BYTES as u64 + segment_bytes;
    let found = file.len()?;
    if found != wanted {
        return Err(wrong(format!("{found} bytes long, not {wanted}")));
    }
    if !all_zero(&head[SLOTS_END..HEAD_BYTES]) {
        return Err(wrong(What::HeadArea.to_string()));
    }
    let slots = SlotFound::all(&head, &header);
    for slot in slots.iter().filter_map(SlotFound::valid) {
        if !(first..=first + segment_bytes).contains(&slot.address) {
            return Err(wrong(format!("holds a tail slot of address {:#x}", slot.address)));
        }
    }
    let begun = slots.iter().any(|s| *s != SlotFound::Empty) || !all_zero(&head[HEAD_BYTES..]);
    Ok(DiskSegment { first, header, file, slots, begun })
}

/// Torn slots are possible only in the segment written last: before anything went to the next one, all of this one was durable. And no
/// more of them than flushes could be under way.
fn check_slots(segments: &[DiskSegment]) -> Result<(), OpenError> {
    let Some(last_begun) = segments.iter().rposition(|s| s.begun) else { return Ok(()) };
    for (number, segment) in segments[..=last_begun].iter().enumerate() {
        let torn = segment.slots.iter().filter(|s| **s == SlotFound::Bad).count();
        let allowed = match number == last_begun {
            true if planted::is(Bug::TornSlotsAccepted) => SLOT_COUNT,
            true => segment.flushes_in_flight(),
            false => 0,
        };
        if torn > allowed
            && let Some(index) = segment.slots.iter().position(|s| *s == SlotFound::Bad)
        {
            return Err(OpenError::Corrupt(Corrupt {
                segment: segment.file.path().to_path_buf(),
                offset: SLOT_OFFSETS[index],
                address: segment.first,
                sequence: 0,
                what: What::Slot,
            }));
        }
    }
    Ok(())
}

/// The stream as the disk holds it: segment bytes, with the tail slots of the segment written last laid over them.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    segments: &'a [DiskSegment],
    segment_bytes: u64,
    buffer: AlignedBuffer,
    base: u64,
    to: u64,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(segments: &'a [DiskSegment], segment_bytes: u64) -> Self {
        let buffer = AlignedBuffer::new(SCAN_BYTES.min(segment_bytes as usize));
        Self { segments, segment_bytes, buffer, base: 0, to: 0 }
    }

    /// One that reads a chunk at a time.
    pub(crate) fn small(segments: &'a [DiskSegment], segment_bytes: u64) -> Self {
        Self { segments, segment_bytes, buffer: AlignedBuffer::new(CHUNK_BYTES), base: 0, to: 0 }
    }

    /// First and last stream address of the segments.
    pub(crate) fn range(&self) -> (u64, u64) {
        match (self.segments.first(), self.segments.last()) {
            (Some(first), Some(last)) => (first.first, last.first + self.segment_bytes),
            _ => (0, 0),
        }
    }

    /// The chunk at that address; `None` beyond the segments.
    pub(crate) fn chunk(&mut self, address: u64) -> DiskResult<Option<&[u8]>> {
        if address < self.base || address >= self.to {
            let Some(index) = self.segment_of(address) else { return Ok(None) };
            self.fill(index, address)?;
        }
        let at = (address - self.base) as usize;
        Ok(Some(&self.buffer[at..at + CHUNK_BYTES]))
    }

    fn segment_of(&self, address: u64) -> Option<usize> {
        let (first, end) = self.range();
        (first..end).contains(&address).then(|| ((address - first) / self.segment_bytes) as usize)
    }

    fn fill(&mut self, index: usize, address: u64) -> DiskResult<()> {
        let segment = &self.segments[index];
        (self.base, self.to) = (0, 0);
        let end = (segment.first + self.segment_bytes).min(address + self.buffer.len() as u64);
        let bytes = &mut self.buffer[..(end - address) as usize];
        let read = segment.file.read_at(HEAD_BYTES as u64 + (address - segment.first), bytes)?;
        // A file cut short since it was opened reads as zeros; the chain and its witnesses judge that.
        bytes[read..].fill(0);
        if self.segments.iter().rposition(|s| s.begun) == Some(index) {
            lay_slots_over(segment, bytes, address);
        }
        (self.base, self.to) = (address, end);
        Ok(())
    }
}

/// Puts the partial blocks of the newest epoch's slots where they belong, in the order in which they were written. Each holds bytes of
/// the stream; the flush that filled its block up may not have completed, and then the block is torn in the stream area. Where a slot says
/// that a block is durable as a whole, the stream area has the word: damage there is not to be covered up.
fn lay_slots_over(segment: &DiskSegment, bytes: &mut [u8], address: u64) {
    let Some((_, newest)) = segment.newest_slot() else { return };
    let mut slots: Vec<&Slot> =
        segment.slots.iter().filter_map(SlotFound::valid).filter(|s| s.epoch == newest.epoch).collect();
    slots.sort_by_key(|s| s.generation);
    let durable = slots.iter().map(|s| s.durable_address).max().unwrap_or(0);
    let end = address + bytes.len() as u64;
    for slot in slots.into_iter().filter(|s| s.address + BLOCK_BYTES as u64 > durable) {
        if (address..end).contains(&slot.address) {
            let at = (slot.address - address) as usize;
            bytes[at..at + slot.bytes.len()].copy_from_slice(&slot.bytes);
        }
    }
}

/// What a scan from the front found.
#[derive(Debug)]
pub(crate) struct Scan {
    /// At the last accepted record.
    pub(crate) chain: Chain,
    /// Why it is the last.
    pub(crate) stop: What,
    /// Where the next record was looked for.
    pub(crate) stop_address: u64,
    /// The highest sequence any witness calls durable.
    pub(crate) watermark: u64,
    /// Just past the last byte that is not zero beyond the end; 0 when all of it is.
    pub(crate) nonzero_until: u64,
    pub(crate) records: u64,
    pub(crate) first_sequence: u64,
    pub(crate) ending: Ending,
    pub(crate) place: Place,
    /// What says that the next record was durable was read before the look at its place.
    pub(crate) was_known: bool,
}

impl Scan {
    /// The damage as an error names it.
    pub(crate) fn corrupt(&self, dir: &Path, segment_bytes: u64) -> Corrupt {
        let first = self.stop_address - self.stop_address % segment_bytes;
        Corrupt {
            segment: segment_path(dir, first),
            offset: HEAD_BYTES as u64 + (self.stop_address - first),
            address: self.stop_address,
            sequence: self.chain.next_sequence(),
            what: self.stop,
        }
    }
}

/// Walks the chain from the oldest record to its end, then looks beyond the end for witnesses. `chain` stands before the first segment,
/// `known` is the highest sequence that something outside the segments calls durable. `progress` gets bytes done and in all.
pub(crate) fn scan(
    stream: &mut Stream<'_>,
    mut chain: Chain,
    known: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> DiskResult<Scan> {
    let (first, end) = stream.range();
    let log_id = chain.log_id();
    let mut records = 0;
    let mut first_sequence = 0;
    let mut chunk_address = first;
    let (stop, rest_is_zero) = 'walk: loop {
        let Some(chunk) = stream.chunk(chunk_address)? else { break (What::Nothing, true) };
        loop {
            match chain.step(chunk, chunk_address) {
                Walk::Record { header, .. } => {
                    records += 1;
                    if first_sequence == 0 {
                        first_sequence = header.sequence;
                    }
                }
                Walk::NextChunk => break,
                Walk::Stop(what) => {
                    let from = chain.end.address.saturating_sub(chunk_address) as usize;
                    break 'walk (what, all_zero(&chunk[from.min(CHUNK_BYTES)..]));
                }
            }
        }
        chunk_address += CHUNK_BYTES as u64;
        progress(chunk_address - first, end - first);
    };
    let slots = stream.segments.iter().flat_map(|s| &s.slots).filter_map(SlotFound::valid);
    let before = slots.map(|s| s.durable_sequence).max().unwrap_or(0).max(chain.durable_seen).max(known);
    let beyond = look_beyond(stream, log_id, &chain)?;
    let watermark = before.max(beyond.watermark);
    let next = chain.next_sequence();
    let later_begun = stream.segments.iter().any(|s| s.begun && s.first > chunk_address);
    // Zeros up to here are where the next record should be, or the end of a chunk in order. Where a later segment was begun and this
    // one holds not even its first record, it is this one that was lost; and so it is where the record before has no file any more.
    let blank_segment =
        (later_begun || chain.end.address < first) && chunk_address.is_multiple_of(stream.segment_bytes);
    let ends_in_zeros = rest_is_zero && !blank_segment;
    let stop_address = if ends_in_zeros { chain.end.address } else { chain.end.address.max(chunk_address) };
    let below = watermark >= next || later_begun || beyond.proves_the_end;
    let ending = if chain.end.sequence == 0 {
        Ending::Empty
    } else if beyond.nonzero_until > 0 {
        Ending::Broken
    } else if chain.end.closed {
        Ending::Closed
    } else {
        Ending::Stopped
    };
    Ok(Scan {
        chain,
        stop,
        stop_address,
        watermark,
        nonzero_until: beyond.nonzero_until,
        records,
        first_sequence,
        ending,
        place: if below { Place::Below } else { Place::Above },
        was_known: before >= next || later_begun,
    })
}

#[derive(Default)]
struct Beyond {
    nonzero_until: u64,
    watermark: u64,
    /// An epoch start names the end we found: the zeros up to it were durable, and something is wrong with them.
    proves_the_end: bool,
}

/// Everything behind the end of the chain. A later valid record proves nothing about the bytes before it, for unsynced pages reach the
/// disk in any order; what it *says* was durable when it was written is proof. So is the first record of a segment: all segments
/// before it were synced before this one was touched.
fn look_beyond(stream: &mut Stream<'_>, log_id: u64, chain: &Chain) -> DiskResult<Beyond> {
    let mut beyond = Beyond::default();
    let (first, end) = stream.range();
    let from = chain.end.address;
    let segment_bytes = stream.segment_bytes;
    // The end may lie in a segment that is archived or dropped.
    let mut chunk_address = chunk_floor(from).max(first);
    while chunk_address < end {
        let Some(chunk) = stream.chunk(chunk_address)? else { break };
        let skip = from.saturating_sub(chunk_address) as usize;
        if !all_zero(&chunk[skip..]) {
            let last = chunk.iter().rposition(|b| *b != 0).unwrap_or(0);
            beyond.nonzero_until = chunk_address + last as u64 + 1;
            let opens_segment = chunk_address.is_multiple_of(segment_bytes);
            look_into(&mut beyond, chunk, chunk_address, skip, log_id, chain, opens_segment);
        }
        chunk_address += CHUNK_BYTES as u64;
    }
    Ok(beyond)
}

fn look_into(
    beyond: &mut Beyond,
    chunk: &[u8],
    chunk_address: u64,
    skip: usize,
    log_id: u64,
    chain: &Chain,
    opens_segment: bool,
) {
    let mut at = skip.next_multiple_of(8);
    while at + HEADER_BYTES <= CHUNK_BYTES {
        let address = chunk_address + at as u64;
        // The address field is the cheapest thing that almost never matches by chance.
        let header =
            if u64_at(chunk, at + 24) == address { read_record(chunk, at, log_id, address).ok() } else { None };
        let Some(header) = header else {
            at += 8;
            continue;
        };
        beyond.watermark = beyond.watermark.max(header.durable_sequence);
        // What precedes the first record of a segment lies in segments before it.
        if opens_segment && at == 0 {
            beyond.watermark = beyond.watermark.max(header.sequence - 1);
        }
        if header.kind == KIND_EPOCH_START {
            let payload = &chunk[at + HEADER_BYTES..at + header.length as usize];
            beyond.proves_the_end |= EpochStart::decode(payload).is_some_and(|start| {
                start.end_address == chain.end.address && start.end_checksum == chain.end.checksum
            });
        }
        at += header.padded_bytes();
    }
}
