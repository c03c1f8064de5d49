//! What an operator sees of retention: who holds which segment, what it takes, when the disk is full.

use std::time::Duration;

use crate::cursor::{CursorClass, LogPosition};
use crate::limits::HEAD_BYTES;
use crate::log::{Log, lock};
use crate::read_only::SegmentForm;
use crate::retention::growth::{SpaceAlert, time_to_full};

/// A picture of a log's retention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionReport {
    /// Oldest first, the one being written and those prepared ahead included.
    pub segments: Vec<SegmentHold>,
    /// By name.
    pub cursors: Vec<CursorHold>,
    /// Bytes by what they are.
    pub bytes: BytesByClass,
    /// Bytes that the log's files can still take here: what the file system has, or what is left of the budget.
    pub room_bytes: u64,
    /// Bytes here that go before anyone is refused: archives that were shipped and that no required cursor needs.
    pub reclaimable_bytes: u64,
    /// Stream bytes a second over the last ten minutes.
    pub bytes_per_second: u64,
    /// When room and what can be reclaimed are used up at that pace; `None` while nothing is written.
    pub full_in: Option<Duration>,
    /// Of `full_in`.
    pub alert: SpaceAlert,
    /// Space ran short at the keeper's last look: the ladder is climbed.
    pub short: bool,
    /// Admission closes when the prepared segments are full: the reserve is all that is left.
    pub closed: bool,
    /// Row of the ladder that was followed last, and its reason.
    pub last_step: Option<(char, &'static str)>,
    /// Segments archived since the log was opened.
    pub archived: u64,
    /// Archives found or put in the target since then.
    pub shipped: u64,
    /// Archives dropped here since then.
    pub dropped: u64,
    /// What failed and has not succeeded since: what was tried, and why not.
    pub problems: Vec<(&'static str, String)>,
}

/// Bytes of a log's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesByClass {
    /// The segment being written and those prepared ahead.
    pub open: u64,
    /// Segment files of sealed segments.
    pub sealed: u64,
    /// Archives here.
    pub packed: u64,
    /// Archives that are in the target, whether they are here as well or not.
    pub shipped: u64,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHold {
    /// Its first stream address.
    pub first_address: u64,
    /// Sequence of its first record, where it is known.
    pub first_sequence: Option<u64>,
    /// A later segment holds a durable record.
    pub sealed: bool,
    /// In which forms it is there.
    pub form: SegmentForm,
    /// The target has it.
    pub shipped: bool,
    /// Bytes of its files here.
    pub file_bytes: u64,
    /// Cursors that need it, by name.
    pub held_by: Vec<String>,
}

/// One cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorHold {
    /// Its name.
    pub name: String,
    /// What becomes of it when space runs short.
    pub class: CursorClass,
    /// The last record taken; `None` when there is none, or when the cursor is damaged.
    pub position: Option<LogPosition>,
    /// Neither of its slots is whole: it holds everything.
    pub damaged: bool,
    /// It holds nothing any more; its owner begins anew.
    pub released: bool,
    /// Durable records it has not taken.
    pub lag_records: u64,
    /// Segments here that it needs.
    pub segments: u64,
    /// Wall clock when it was moved last, nanoseconds since 1970.
    pub moved_ns: u64,
}

impl Log {
    /// Who holds what, what it takes, and when the disk is full. Asks the file system for its room; takes no lock that the writer takes.
    pub fn retention(&self) -> RetentionReport {
        let durable = self.durable_address();
        let (durable_sequence, room_bytes) = (self.durable_sequence(), self.free_room());
        let plain_bytes = HEAD_BYTES as u64 + self.segment_bytes;
        let held = self.cursors.held().clone();
        let entries = self.segments.entries().clone();
        let mut bytes = BytesByClass::default();
        let mut reclaimable_bytes = 0;
        let mut segments = Vec::with_capacity(entries.len());
        for (first, entry) in &entries {
            let end = first + self.segment_bytes;
            let sealed = end < durable;
            let needs = |name: &String| held[name].floor().is_some_and(|floor| floor < end);
            let held_by: Vec<String> = held.keys().filter(|name| needs(name)).cloned().collect();
            let packed = entry.packed_bytes.unwrap_or(0);
            let plain = if entry.plain { plain_bytes } else { 0 };
            *(if sealed { &mut bytes.sealed } else { &mut bytes.open }) += plain;
            bytes.packed += packed;
            let remote = entry.shipped || !entry.is_local();
            if remote {
                bytes.shipped += entry.archived.map_or(0, |archived| archived.packed_bytes);
            }
            if entry.shipped && held_by.iter().all(|name| held[name].class() == CursorClass::Rebuildable) {
                reclaimable_bytes += plain + packed;
            }
            segments.push(SegmentHold {
                first_address: *first,
                first_sequence: entry.first_sequence,
                sealed,
                form: match (entry.plain, entry.packed_bytes) {
                    (true, None) => SegmentForm::Plain,
                    (true, Some(_)) => SegmentForm::Both,
                    (false, Some(_)) => SegmentForm::Packed,
                    (false, None) => SegmentForm::Shipped,
                },
                shipped: remote,
                file_bytes: plain + packed,
                held_by,
            });
        }
        let cursors = held.iter().map(|(name, held)| {
            let position = held.slot.map(|slot| slot.position).filter(|position| position.sequence > 0);
            let taken = position.map_or(0, |position| position.sequence);
            CursorHold {
                name: name.clone(),
                class: held.class(),
                position,
                damaged: held.slot.is_none(),
                released: held.slot.is_some_and(|slot| slot.released),
                lag_records: durable_sequence.saturating_sub(taken),
                segments: segments.iter().filter(|s| s.file_bytes > 0 && s.held_by.contains(name)).count() as u64,
                moved_ns: held.slot.map_or(0, |slot| slot.written_ns),
            }
        });
        let cursors = cursors.collect();
        let state = lock(&self.keeper).clone();
        let full_in = time_to_full(room_bytes.saturating_add(reclaimable_bytes), state.bytes_per_second);
        RetentionReport {
            cursors,
            segments,
            bytes,
            room_bytes,
            reclaimable_bytes,
            bytes_per_second: state.bytes_per_second,
            full_in,
            alert: SpaceAlert::of(full_in),
            short: state.short,
            closed: self.out_of_space(),
            last_step: state.last,
            archived: state.done[1],
            shipped: state.done[2],
            dropped: state.done[3],
            problems: state.problems.into_iter().collect(),
        }
    }
}
