//! Makes segments ahead of the writer: allocated, zero-filled, synced, named, and the name synced. Zero-filled because an extent that
//! was only allocated makes every later fdatasync pay for metadata.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::aligned::AlignedBuffer;
use crate::disk::{Access, Disk, DiskError, DiskFile, DiskResult};
use crate::limits::{HEAD_BYTES, SEGMENT_VERSION, SEGMENTS_AHEAD, SLOT_OFFSETS, SLOTS_END, SPACE_RETRY_MS};
use crate::log::Log;
use crate::planted::{self, Bug};
use crate::segment::{SegmentHeader, segment_path};
use crate::stats::bump;
use crate::stop::RUN;

/// Zeros written by one call.
const ZERO_BYTES: usize = 1 << 20;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepared {
    /// One more segment is ready.
    One,
    /// Enough are.
    Enough,
    /// There is no room; said to everyone.
    NoSpace,
    /// A call failed; the log is latched.
    Latched,
}

/// Why there is no new segment, or no new manifest.
#[derive(Debug)]
pub(crate) enum Unmade {
    /// No room, and nothing depends on what was begun: to be tried again.
    NoRoom(DiskError),
    /// A failed call. That includes a sync that fails for lack of room: what it left undone cannot be known, so it is not repeated.
    Failed(DiskError),
}

impl Unmade {
    /// Of a call that came before anything was synced or named.
    pub(crate) fn before_sync(error: DiskError) -> Self {
        if error.is_out_of_space() { Unmade::NoRoom(error) } else { Unmade::Failed(error) }
    }
}

impl From<Unmade> for DiskError {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::NoRoom(error) | Unmade::Failed(error) => error,
        }
    }
}

/// Makes one whole segment file under its final name.
pub(crate) fn make_segment(disk: &dyn Disk, dir: &Path, header: &SegmentHeader) -> Result<Arc<dyn DiskFile>, Unmade> {
    let path = segment_path(dir, header.first_address);
    let new = path.with_extension("lotlog.new");
    let filled = fill_segment(disk, header, &new).map_err(Unmade::before_sync);
    let made = filled.and_then(|file| name_segment(disk, dir, file, &new, &path).map_err(Unmade::Failed));
    if made.is_err() {
        // What is half made only takes room.
        let _ = disk.unlink(&new);
    }
    made
}

/// Takes the room, all of it: whatever can run out, runs out here.
fn fill_segment(disk: &dyn Disk, header: &SegmentHeader, new: &Path) -> DiskResult<Arc<dyn DiskFile>> {
    let file = disk.open(new, Access::Create)?;
    let bytes = HEAD_BYTES as u64 + header.stream_bytes;
    file.preallocate(bytes)?;
    let zeros = AlignedBuffer::new(ZERO_BYTES.min(bytes as usize));
    let mut head = AlignedBuffer::new(SLOTS_END);
    let mut at = head.len() as u64;
    while at < bytes {
        let part = (bytes - at).min(ZERO_BYTES as u64) as usize;
        file.write_at(at, &zeros[..part])?;
        at += part as u64;
    }
    header.encode(&mut head);
    for (place, at) in SLOT_OFFSETS.into_iter().enumerate() {
        header.unwritten_slot(place, &mut head[at as usize..]);
    }
    file.write_at(0, &head)?;
    Ok(file)
}

/// Makes the bytes durable, then the name.
fn name_segment(
    disk: &dyn Disk,
    dir: &Path,
    file: Arc<dyn DiskFile>,
    new: &Path,
    path: &Path,
) -> DiskResult<Arc<dyn DiskFile>> {
    if planted::is(Bug::RenameBeforeSync) {
        disk.rename(new, path)?;
        disk.sync_dir(dir)?;
        file.sync_data()?;
        return disk.open(path, Access::Write);
    }
    file.sync_data()?;
    disk.rename(new, path)?;
    if !planted::is(Bug::NoDirectorySync) {
        disk.sync_dir(dir)?;
    }
    drop(file);
    // Under its final name, so that a failure names the file an operator sees.
    disk.open(path, Access::Write)
}

/// A segment opened once for each flush that may be under way.
///
/// A failure of writing back is told once to every open file description of a file. Two flushes that shared one would take it from each
/// other: one is told that its sync failed, the other that all is well.
pub(crate) type Lanes = Vec<Arc<dyn DiskFile>>;

/// Opens the segment as often as it takes.
pub(crate) fn lanes_of(disk: &dyn Disk, file: Arc<dyn DiskFile>, count: usize) -> DiskResult<Lanes> {
    let path = file.path().to_path_buf();
    let mut lanes = vec![file];
    while lanes.len() < count {
        lanes.push(disk.open(&path, Access::Write)?);
    }
    Ok(lanes)
}

/// The preparer's state.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) log: Arc<Log>,
}

impl Preparer {
    /// Makes at most one segment.
    pub(crate) fn step(&self) -> Prepared {
        if self.log.durability.has_latched() {
            return Prepared::Latched;
        }
        if self.log.room.waiting() as u64 >= SEGMENTS_AHEAD {
            return Prepared::Enough;
        }
        if planted::is(Bug::SpaceNeverReturns) && self.log.out_of_space() {
            return Prepared::NoSpace;
        }
        if !self.log.has_room_for(self.log.retention.reserve_segments + 1) {
            // Foreseen: the reserve is for what is taken in already and for those who make room.
            self.log.room.set_short(true);
            self.log.keeper_bell.ring();
            return Prepared::NoSpace;
        }
        self.make_one()
    }

    /// Makes a segment, whatever the reserve says.
    pub(crate) fn make_one(&self) -> Prepared {
        let first_address = self.log.room.end();
        let header = SegmentHeader {
            version: SEGMENT_VERSION,
            log_id: self.log.log_id,
            first_address,
            stream_bytes: self.log.segment_bytes,
            created_ns: self.log.disk.wall_clock_ns(),
        };
        let made = make_segment(&*self.log.disk, &self.log.dir, &header)
            .and_then(|file| lanes_of(&*self.log.disk, file, self.log.flushes_in_flight).map_err(Unmade::Failed));
        match made {
            Ok(lanes) => {
                self.log.segments.add(first_address);
                bump(&self.log.stats.0.segments_prepared, 1);
                self.log.room.add(first_address, lanes, first_address + self.log.segment_bytes);
                Prepared::One
            }
            Err(Unmade::NoRoom(_)) => {
                // Foreseen: what was taken in fits into the segments that are ready.
                self.log.room.set_short(true);
                Prepared::NoSpace
            }
            Err(Unmade::Failed(error)) => {
                self.log.latch(&error);
                Prepared::Latched
            }
        }
    }

    /// The thread.
    pub(crate) fn run(self) {
        while self.log.stop.told() == RUN {
            match self.step() {
                Prepared::One => {}
                Prepared::Enough => self.log.preparer_bell.wait(Duration::from_secs(1)),
                Prepared::NoSpace => {
                    self.log.preparer_bell.wait(Duration::from_millis(SPACE_RETRY_MS));
                }
                Prepared::Latched => return,
            }
        }
    }
}
