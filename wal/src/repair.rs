//! Making the disk say what recovery decided, before anyone is served. Every step may be repeated: a process killed in here recovers
//! again to the same end.

use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;

use crate::aligned::AlignedBuffer;
use crate::chain::End;
use crate::disk::{Access, Disk, DiskError, DiskFile, DiskResult};
use crate::join::TailImage;
use crate::limits::{
    BLOCK_BYTES, CHUNK_BYTES, HEAD_BYTES, SEGMENT_VERSION, SLOT_BYTES, SLOT_COUNT, SLOT_OFFSETS, chunk_ceil,
    chunk_floor,
};
use crate::planted::{self, Bug};
use crate::preparer::make_segment;
use crate::scan::{DiskSegment, Stream};
use crate::segment::{SegmentHeader, SlotFound, SlotHead, segment_path};

/// What a repair needs to know.
pub(crate) struct Repair<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) log_id: u64,
    pub(crate) segment_bytes: u64,
    /// The epoch about to begin.
    pub(crate) epoch: u32,
    /// An epoch begins right after this: there has to be a segment for it.
    pub(crate) epoch_begins: bool,
    /// How many flushes may be under way in that epoch.
    pub(crate) in_flight: usize,
    /// The epoch before was closed in order, or there was none.
    pub(crate) clean: bool,
    /// Where the log ends from now on.
    pub(crate) end: End,
    /// Where the chain on disk ended.
    pub(crate) disk_end: End,
    /// Past the last byte on disk that is not zero.
    pub(crate) nonzero_until: u64,
    /// The tail, where records were taken from it.
    pub(crate) tail: Option<&'a TailImage>,
}

impl Repair<'_> {
    /// Runs all steps. `segments` is brought up to date. Returns the generation of the slot written last.
    pub(crate) fn run(&self, segments: &mut Vec<DiskSegment>) -> DiskResult<u64> {
        let stop = chunk_ceil(self.end.address);
        let mut generation =
            segments.iter().filter_map(|s| s.newest_slot()).map(|(_, s)| s.generation).max().unwrap_or(0);
        self.blank_later_segments(segments, stop)?;
        self.rewrite(segments, stop, &mut generation)?;
        if segments.iter().any(|s| s.begun) {
            let prepared = segments.last().map_or(0, |s| s.first + self.segment_bytes);
            if self.epoch_begins && stop >= prepared {
                // Made before the slots are written, so that they name it: one that only its own slots speak of is not missed.
                segments.push(self.new_segment(prepared)?);
            }
            let durable = (self.end.sequence, self.end.address);
            self.write_slots(segments, self.segment_of_end(), stop, durable, &mut generation)?;
        }
        Ok(generation)
    }

    /// The first address of the segment in which the log ends.
    fn segment_of_end(&self) -> u64 {
        let last = self.end.address.saturating_sub(1);
        last - last % self.segment_bytes
    }

    /// Past the last byte that may have to become zero.
    fn cut_until(&self) -> u64 {
        self.nonzero_until.max(self.disk_end.address)
    }

    /// Segments that hold only what was cut (part of an unfinished group, or the rest of a flush) become blank again. Last one first, so
    /// that at every moment what is left looks as a crash leaves it; they are not removed, for slots speak of them.
    ///
    /// After an unclean stop those that look blank are blanked too, as far as it takes for them not to look begun: an opening that failed
    /// may have done so in the page cache alone.
    fn blank_later_segments(&self, segments: &mut [DiskSegment], stop: u64) -> DiskResult<()> {
        let seems_enough = self.clean || planted::is(Bug::RecoveredNotRewritten);
        let later = segments.iter_mut().rev().take_while(|s| s.first >= stop);
        for segment in later.filter(|s| s.begun || s.first < self.cut_until() || !seems_enough) {
            let file = self.disk.open(&segment_path(self.dir, segment.first), Access::Write)?;
            let used = self.cut_until().clamp(segment.first + 1, segment.first + self.segment_bytes) - segment.first;
            let zeros = AlignedBuffer::new(CHUNK_BYTES);
            let mut unwritten = AlignedBuffer::new(SLOT_BYTES);
            // One slot at a time, as ever; the torn ones first.
            for place in rewriting_order(&segment.slots) {
                segment.header.unwritten_slot(place, &mut unwritten);
                file.write_at(SLOT_OFFSETS[place], &unwritten)?;
                file.sync_data()?;
            }
            for at in (0..used).step_by(CHUNK_BYTES) {
                file.write_at(HEAD_BYTES as u64 + at, &zeros)?;
            }
            file.sync_data()?;
            segment.slots = UNWRITTEN;
            segment.begun = false;
        }
        Ok(())
    }

    /// The stream area up to the end of the last chunk: full bytes where a slot held a part, the tail's records, zeros behind the end. Only
    /// blocks that differ are written.
    fn rewrite(&self, segments: &mut Vec<DiskSegment>, stop: u64, generation: &mut u64) -> DiskResult<()> {
        let last_begun = segments.iter().rev().find(|s| s.begun);
        let slot_from = last_begun
            .into_iter()
            .flat_map(|s| &s.slots)
            .filter_map(SlotFound::valid)
            .map(|s| s.address)
            .min()
            .unwrap_or(stop);
        let last_begun = last_begun.map(|s| s.first);
        let from =
            chunk_floor(self.disk_end.address.min(slot_from).min(self.end.address).min(self.witnessed(segments)));
        // What lies in later segments is blank by now.
        let to = stop.max(chunk_ceil(self.cut_until())).min(stop.next_multiple_of(self.segment_bytes));
        let chunk_bytes = CHUNK_BYTES as u64;
        let mut images = Vec::new();
        {
            let mut stream = Stream::new(segments, self.segment_bytes);
            let mut at = from.max(stream.range().0);
            while at < to {
                let mut image = AlignedBuffer::new(CHUNK_BYTES);
                self.compose(&mut stream, at, &mut image)?;
                images.push((at, image));
                at += chunk_bytes;
            }
        }
        let mut at = 0;
        while at < images.len() {
            let first = images[at].0 - images[at].0 % self.segment_bytes;
            let upto = images[at..].partition_point(|(a, _)| *a < first + self.segment_bytes) + at;
            self.write_images(segments, first, &images[at..upto])?;
            if last_begun == Some(first) && first < self.segment_of_end() && !planted::is(Bug::TornSlotLeft) {
                // From the next write on this segment is sealed, and no slot of a sealed segment may be torn.
                let durable = (self.disk_end.sequence, self.disk_end.address);
                self.write_slots(segments, first, first + self.segment_bytes, durable, generation)?;
            }
            at = upto;
        }
        Ok(())
    }

    /// A stream address below which everything is known to be durable. What lies beyond may be in the page cache alone, shown to every
    /// reader and on no disk: a sync that failed leaves it so, and a process that is started again cannot see the difference.
    fn witnessed(&self, segments: &[DiskSegment]) -> u64 {
        // A whole slot proves that all segments before its own were synced. One that does not verify proves nothing: that it was written at
        // all is only one way for it to come about.
        let Some((segment, slot)) = segments.iter().rev().find_map(|s| Some((s, s.newest_slot()?.1))) else { return 0 };
        slot.durable_address.max(segment.first)
    }

    /// The bytes chunk `at` shall hold.
    fn compose(&self, stream: &mut Stream<'_>, at: u64, image: &mut [u8]) -> DiskResult<()> {
        let keep = self.end.address.saturating_sub(at).min(CHUNK_BYTES as u64) as usize;
        // A tail block holds its chunk from the first byte on, and the overlap was compared.
        let from_tail = self.tail.filter(|_| at + keep as u64 > self.disk_end.address).and_then(|tail| tail.chunk(at));
        if let Some(bytes) = from_tail {
            image[..keep].copy_from_slice(&bytes[..keep]);
        } else if keep > 0
            && let Some(bytes) = stream.chunk(at)?
        {
            image[..keep].copy_from_slice(&bytes[..keep]);
        }
        if planted::is(Bug::CutNotCleared)
            && let Some(bytes) = stream.chunk(at)?
        {
            image[keep..].copy_from_slice(&bytes[keep..]);
        }
        Ok(())
    }

    fn write_images(
        &self,
        segments: &mut Vec<DiskSegment>,
        first: u64,
        images: &[(u64, AlignedBuffer)],
    ) -> DiskResult<()> {
        if !segments.iter().any(|s| s.first == first) {
            // Records of a tail that go beyond the segments.
            segments.push(self.new_segment(first)?);
        }
        let file = self.disk.open(&segment_path(self.dir, first), Access::Write)?;
        let witnessed = if planted::is(Bug::RecoveredNotRewritten) { u64::MAX } else { self.witnessed(segments) };
        let mut current = AlignedBuffer::new(CHUNK_BYTES);
        let mut wrote = false;
        for (at, image) in images {
            let offset = HEAD_BYTES as u64 + (at - first);
            file.read_at(offset, &mut current)?;
            for block in (0..CHUNK_BYTES).step_by(BLOCK_BYTES) {
                let range = block..block + BLOCK_BYTES;
                let certain = at + (range.end as u64) <= witnessed;
                if !certain || current[range.clone()] != image[range.clone()] {
                    file.write_at(offset + block as u64, &image[range])?;
                    wrote = true;
                }
            }
        }
        if wrote && !planted::is(Bug::RecoveredNotSynced) {
            file.sync_data()?;
        }
        Ok(())
    }

    fn new_segment(&self, first: u64) -> DiskResult<DiskSegment> {
        let header = SegmentHeader {
            version: SEGMENT_VERSION,
            log_id: self.log_id,
            first_address: first,
            stream_bytes: self.segment_bytes,
            created_ns: self.disk.wall_clock_ns(),
        };
        let file: Arc<dyn DiskFile> = make_segment(self.disk, self.dir, &header).map_err(DiskError::from)?;
        Ok(DiskSegment { first, header, file, slots: UNWRITTEN, begun: false })
    }

    /// All slots of a segment, one after the other. From here on the slots of the old epoch count for nothing: they may hold bytes that
    /// were cut.
    fn write_slots(
        &self,
        segments: &[DiskSegment],
        first: u64,
        address: u64,
        durable: (u64, u64),
        generation: &mut u64,
    ) -> DiskResult<()> {
        if planted::is(Bug::OldSlotsLeft) {
            return Ok(());
        }
        let found = segments.iter().find(|s| s.first == first).map_or(&UNWRITTEN, |s| &s.slots);
        let file = self.disk.open(&segment_path(self.dir, first), Access::Write)?;
        let mut slot = AlignedBuffer::new(SLOT_BYTES);
        for place in rewriting_order(found) {
            *generation += 1;
            SlotHead {
                log_id: self.log_id,
                place,
                in_flight: self.in_flight,
                epoch: self.epoch,
                generation: *generation,
                address,
                length: 0,
                durable_sequence: durable.0,
                durable_address: durable.1,
                segments_end: segments.last().map_or(0, |s| s.first + self.segment_bytes),
            }
            .seal(&mut slot);
            file.write_at(SLOT_OFFSETS[place], &slot)?;
            // One at a time: no more of them are torn at any moment than a crash of the log may tear.
            if !planted::is(Bug::RecoveredNotSynced) {
                file.sync_data()?;
            }
        }
        Ok(())
    }
}

/// Slots that were never written.
const UNWRITTEN: [SlotFound; SLOT_COUNT] = [const { SlotFound::Empty }; SLOT_COUNT];

/// In which order slots are written again: torn ones first, then the newest. A slot may be torn on the disk behind a page cache that
/// still shows it whole, and those are among the newest; so at no moment are more of them torn than were to begin with, or one.
fn rewriting_order(slots: &[SlotFound; SLOT_COUNT]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..SLOT_COUNT).collect();
    order.sort_by_key(|place| match &slots[*place] {
        SlotFound::Bad => (0, Reverse((0, 0))),
        SlotFound::Valid(slot) => (1, Reverse((slot.epoch, slot.generation))),
        SlotFound::Empty => (2, Reverse((0, 0))),
    });
    order
}
