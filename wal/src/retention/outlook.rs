//! When the disk is full, judged from outside: by the files of a log, whether or not anyone writes to it.

use std::time::Duration;

use crate::disk::DiskResult;
use crate::limits::SEGMENTS_AHEAD;
use crate::read_only::ReadOnlyLog;
use crate::retention::growth::{SpaceAlert, time_to_full};

/// Segments that the pace is taken over.
const OVER_SEGMENTS: usize = 16;

/// Room and pace of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceOutlook {
    /// Bytes that the file system still has for an unprivileged writer. A budget of the log's own is not known here.
    pub room_bytes: u64,
    /// Stream bytes a second while the newest segments were written: a segment is made when one before it is begun. 0 where there are too
    /// few to say.
    pub bytes_per_second: u64,
    /// Segments that the pace is taken over.
    pub over_segments: u32,
    /// When the room is used up at that pace; `None` where there is none.
    pub full_in: Option<Duration>,
    /// Of `full_in`.
    pub alert: SpaceAlert,
}

impl ReadOnlyLog {
    /// How long the disk lasts at the pace of the newest segments.
    ///
    /// # Errors
    /// The file system does not say how much room there is.
    pub fn space(&self) -> DiskResult<SpaceOutlook> {
        let room_bytes = self.disk.free_bytes(&self.dir)?;
        let segment_bytes = self.meta.segment_bytes;
        // Those made when the log was are no measure: nothing was written between them.
        let paced = |first: u64| first / segment_bytes > SEGMENTS_AHEAD;
        let archived = self.past.manifest.entries.iter().map(|e| (e.first_address, e.prepared_ns));
        let plain = self.segments.iter().map(|s| (s.first, s.header.created_ns));
        let mut made: Vec<(u64, u64)> = archived.chain(plain).filter(|(first, _)| paced(*first)).collect();
        made.sort_unstable();
        made.dedup_by_key(|(first, _)| *first);
        let made = &made[made.len().saturating_sub(OVER_SEGMENTS)..];
        let pace = match (made.first(), made.last()) {
            (Some((from, began_ns)), Some((to, ended_ns))) if ended_ns > began_ns => {
                (u128::from(to - from) * 1_000_000_000 / u128::from(ended_ns - began_ns)) as u64
            }
            _ => 0,
        };
        let full_in = time_to_full(room_bytes, pace);
        let over_segments = if pace > 0 { made.len() as u32 } else { 0 };
        Ok(SpaceOutlook { room_bytes, bytes_per_second: pace, over_segments, full_in, alert: SpaceAlert::of(full_in) })
    }
}
