//! Beginning an epoch on a recovered log: the new tail, the threads, the first record.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::appender::Appender;
use crate::config::LogConfig;
use crate::cursor::Cursors;
use crate::disk::{Access, Disk, DiskError, HeldLock};
use crate::durability::Durability;
use crate::error::OpenError;
use crate::flusher::Flusher;
use crate::limits::{NO_ADDRESS, chunk_ceil};
use crate::log::{Bell, Log};
use crate::meta::Meta;
use crate::open::{OpenReport, Opened, Recovered, SHARED_MEMORY};
use crate::padded::CachePadded;
use crate::preparer::{Preparer, lanes_of};
use crate::record::{EPOCH_START_BYTES, EpochStart, Group, KIND_EPOCH_START, RecordMeta};
use crate::retention::keeper::Keeper;
use crate::room::Room;
use crate::segment::segment_path;
use crate::segments::Segments;
use crate::stats::StatsCells;
use crate::stop::Stop;
use crate::tail::{Tail, TailIdentity, tail_bytes, tail_name};
use crate::threads::start_threads;

pub(crate) fn make_tail(
    disk: &dyn Disk,
    config: &LogConfig,
    tail_dir: &Path,
    identity: &TailIdentity,
    notes: &mut Vec<String>,
) -> Result<Tail, OpenError> {
    let name = tail_name(disk, identity.log_id, &config.dir);
    let no_room = |e: &DiskError| e.is_out_of_space() || e.errno() == libc::ENOMEM;
    let needed_bytes = tail_bytes(identity.block_count) as u64;
    let failed = |dir: &Path, e: DiskError| {
        if no_room(&e) { OpenError::OutOfSpace { dir: dir.to_path_buf(), needed_bytes } } else { OpenError::Disk(e) }
    };
    let mut place = tail_dir;
    let tail = match Tail::create(disk, &place.join(&name), identity) {
        Ok(tail) => tail,
        Err(e) if no_room(&e) && config.tail_dir.is_none() && place != config.dir => {
            notes.push(format!(
                "no room for a tail of {needed_bytes} bytes in {}: it lies beside the log, stores may meet pages under write-back",
                place.display()
            ));
            place = &config.dir;
            Tail::create(disk, &place.join(&name), identity).map_err(|e| failed(place, e))?
        }
        Err(e) => return Err(failed(place, e)),
    };
    tail.install(disk).map_err(|e| failed(place, e))?;
    // A tail of an epoch before may lie elsewhere; its records are durable by now, and it must not be found first next time.
    for other in [tail_dir, Path::new(SHARED_MEMORY), config.dir.as_path()] {
        if other.join(&name) != tail.path() {
            let _ = disk.unlink(&other.join(&name));
        }
    }
    Ok(tail)
}

pub(crate) fn begin_epoch(
    config: LogConfig,
    disk: Arc<dyn Disk>,
    lock: Box<dyn HeldLock>,
    meta: &Meta,
    tail: Tail,
    recovered: Recovered,
    notes: Vec<String>,
) -> Result<Begun, OpenError> {
    let start_address = chunk_ceil(recovered.end.address);
    let registry =
        Segments::new(recovered.past.manifest.clone(), &recovered.past.packed, config.retention.target(&disk));
    let mut ready = VecDeque::new();
    let mut prepared_end = start_address;
    for segment in &recovered.segments {
        registry.add(segment.first);
        if segment.first + meta.segment_bytes > start_address {
            let file = disk.open(&segment_path(&config.dir, segment.first), Access::Write)?;
            ready.push_back((segment.first, lanes_of(&*disk, file, config.flushes_in_flight)?));
            prepared_end = segment.first + meta.segment_bytes;
        }
    }
    let log = Arc::new(Log {
        log_id: meta.log_id,
        epoch: recovered.epoch,
        dir: config.dir.clone(),
        segment_bytes: meta.segment_bytes,
        created_ns: meta.created_ns,
        start: (start_address, recovered.end.sequence),
        disk,
        tail,
        durability: Durability::new(recovered.end.sequence, start_address),
        room: Room::new(ready, prepared_end),
        flushes_in_flight: config.flushes_in_flight,
        stop: Stop::new(),
        segments: registry,
        stats: CachePadded(StatsCells::new(config.on_activity.clone())),
        preparer_bell: Bell::default(),
        cursors: Cursors::new(recovered.past.cursors.clone()),
        keeper_bell: Bell::default(),
        keeper: Mutex::default(),
        segments_work: Mutex::default(),
        retention: config.retention.clone(),
    });
    let preparer = Preparer { log: Arc::clone(&log) };
    if prepared_end == start_address {
        // The reserve is for a log that runs; one that cannot start frees nothing.
        match preparer.make_one() {
            crate::preparer::Prepared::NoSpace => {
                return Err(OpenError::OutOfSpace { dir: config.dir, needed_bytes: meta.segment_bytes });
            }
            crate::preparer::Prepared::Latched => {
                return Err(log.latched().expect("just latched").into());
            }
            _ => {}
        }
    }
    let start = (recovered.end.sequence, start_address);
    let flusher = Arc::new(Flusher::new(Arc::clone(&log), &config, start, recovered.slot_generation));
    let mut appender =
        Appender::new(Arc::clone(&log), start_address, recovered.end.sequence, recovered.end.checksum, lock);
    let first_sequence = append_epoch_start(&mut appender, &recovered);
    let report = OpenReport {
        log_id: meta.log_id,
        epoch: recovered.epoch,
        next_sequence: appender.next_sequence(),
        end_address: recovered.end.address,
        created: recovered.created,
        clean: recovered.clean,
        row: recovered.row.letter,
        reason: recovered.row.reason,
        cut_bytes: recovered.cut_bytes,
        from_tail_records: recovered.from_tail_records,
        lost_from_sequence: recovered.lost_from_sequence,
        notes,
    };
    let keeper = Keeper::new(Arc::clone(&log));
    Ok(Begun { opened: Opened { log, appender, report }, flusher, preparer, keeper, first_sequence })
}

/// A log whose new epoch is in the tail: what is missing is somebody who takes the steps.
pub(crate) struct Begun {
    pub(crate) opened: Opened,
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) preparer: Preparer,
    pub(crate) keeper: Keeper,
    /// Of the epoch's first record, which must be durable before the log is handed out.
    pub(crate) first_sequence: u64,
}

impl Begun {
    /// Makes the epoch's first record durable and witnessed: an epoch that was served can then not be lost by damage to its last flush, and
    /// pass for one that never began.
    pub(crate) fn settle(&mut self) -> Result<(), OpenError> {
        Ok(self.flusher.settle(self.first_sequence)?)
    }

    /// Starts the log's threads.
    pub(crate) fn start(mut self, config: &LogConfig) -> Result<Opened, OpenError> {
        self.settle()?;
        let threads = start_threads(config, &self.opened.log, self.flusher, self.preparer, self.keeper)?;
        self.opened.appender.adopt(threads);
        Ok(self.opened)
    }
}

fn append_epoch_start(appender: &mut Appender, recovered: &Recovered) -> u64 {
    let log = Arc::clone(appender.log());
    let disk = &log.disk;
    let payload = EpochStart {
        epoch: recovered.epoch,
        clean: recovered.clean,
        end_address: recovered.end.address,
        end_sequence: recovered.end.sequence,
        end_checksum: recovered.end.checksum,
        wall_clock_ns: disk.wall_clock_ns(),
        boot_id: disk.boot_id(),
        lost_from_sequence: recovered.lost_from_sequence,
    }
    .encode();
    let meta =
        RecordMeta { kind: KIND_EPOCH_START, version: 1, partition: 0, previous: NO_ADDRESS, group: Group::Single };
    let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&payload);
    let first = appender.append_any(&meta, EPOCH_START_BYTES, fill);
    first.expect("an empty tail and a ready segment take one record").sequence
}
