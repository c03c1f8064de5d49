//! Opening a log: lock, read, decide by the table, repair, begin an epoch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aligned::all_zero;
use crate::appender::Appender;
use crate::archive::manifest::MANIFEST_NEW;
use crate::chain::{Chain, End};
use crate::config::LogConfig;
use crate::disk::{Access, DirLock, Disk, DiskResult, HeldLock};
use crate::epoch::{Begun, begin_epoch, make_tail};
use crate::error::OpenError;
use crate::join::{Joined, TailFile, TailImage, join};
use crate::limits::{BLOCK_BYTES, HEAD_BYTES, SEGMENT_VERSION, SLOTS_END, chunk_ceil};
use crate::log::Log;
use crate::meta::{META_NAME, Meta};
use crate::past::Past;
use crate::planted::{self, Bug};
use crate::preparer::make_segment;
use crate::real_disk::RealDisk;
use crate::recovery::{Findings, GroupEnd, Row, TailFound, Verdict, decide};
use crate::repair::Repair;
use crate::scan::{DiskSegment, Scan, Stream, load_segments, scan};
use crate::segment::{SegmentHeader, SlotFound, parse_segment_name, segment_path};
use crate::tail::{TailIdentity, tail_name};

/// Where tails live unless the configuration says otherwise.
pub(crate) const SHARED_MEMORY: &str = "/dev/shm";

/// An open log.
#[derive(Debug)]
pub struct Opened {
    /// Shared by readers and waiters.
    pub log: Arc<Log>,
    /// The one writer.
    pub appender: Appender,
    /// What opening found and did.
    pub report: OpenReport,
}

/// What opening found and did. Log it once; `lost_from_sequence` loudly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// The log.
    pub log_id: u64,
    /// The epoch that began.
    pub epoch: u32,
    /// The sequence of the next record.
    pub next_sequence: u64,
    /// Just past the last recovered record of the epochs before; 0 for a new log.
    pub end_address: u64,
    /// The log did not exist.
    pub created: bool,
    /// The epoch before was closed in order (or there was none).
    pub clean: bool,
    /// Row of the recovery table.
    pub row: char,
    /// The row's reason, in words.
    pub reason: &'static str,
    /// Bytes of torn writes or of an unfinished group that were cut from the segments.
    pub cut_bytes: u64,
    /// Records that only the tail held; durable by now.
    pub from_tail_records: u64,
    /// `applied` answers from this sequence on may be lost.
    pub lost_from_sequence: Option<u64>,
    /// Fallbacks and oddities.
    pub notes: Vec<String>,
}

/// Opens the log in `config.dir` for writing, making it when absent. Everything recovered is durable when this returns.
pub fn open(config: LogConfig) -> Result<Opened, OpenError> {
    config.check().map_err(OpenError::Config)?;
    let lock = take_lock(&RealDisk::read_only(), &config.dir)?;
    // The lock comes first: probing writes a file.
    let disk = Arc::new(RealDisk::probe(&config.dir, config.io, config.direct));
    open_locked(config.clone(), disk, lock)?.start(&config)
}

/// As [`open`], on another disk.
pub fn open_on(config: LogConfig, disk: Arc<dyn Disk>) -> Result<Opened, OpenError> {
    begin(config.clone(), disk)?.start(&config)
}

/// Everything but the threads.
pub(crate) fn begin(config: LogConfig, disk: Arc<dyn Disk>) -> Result<Begun, OpenError> {
    config.check().map_err(OpenError::Config)?;
    let lock = take_lock(&*disk, &config.dir)?;
    open_locked(config, disk, lock)
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn HeldLock>, OpenError> {
    make_dirs(disk, dir)?;
    match disk.lock_dir(dir)? {
        DirLock::Taken(lock) => Ok(lock),
        DirLock::Owned(pid) => Err(OpenError::Locked { dir: dir.to_path_buf(), pid }),
    }
}

/// Makes the directory, and its parents where they are missing.
pub(crate) fn make_dirs(disk: &dyn Disk, dir: &Path) -> DiskResult<()> {
    match (disk.create_dir(dir), dir.parent()) {
        (Err(e), Some(parent)) if e.is_missing() && !parent.as_os_str().is_empty() => {
            make_dirs(disk, parent)?;
            disk.create_dir(dir).map(|_| ())
        }
        (result, _) => result.map(|_| ()),
    }
}

/// Makes the directory's own name durable, and the names of all above it: they may be as new as the log, made by this process or by one
/// that was killed before it had synced them.
pub(crate) fn sync_parents(disk: &dyn Disk, dir: &Path) -> DiskResult<()> {
    if planted::is(Bug::NoParentSync) {
        return Ok(());
    }
    for parent in disk.real_path(dir).ancestors().skip(1) {
        match disk.sync_dir(parent) {
            // Not ours to open, so someone else made it and before us; or of a kind that cannot be synced. No sync that was tried and
            // failed has these reasons.
            Err(e) if matches!(e.errno(), libc::EACCES | libc::EPERM | libc::EINVAL) => {}
            result => result?,
        }
    }
    Ok(())
}

/// What recovery left behind: the facts an epoch begins with.
pub(crate) struct Recovered {
    pub(crate) end: End,
    pub(crate) epoch: u32,
    /// Of the slot written last.
    pub(crate) slot_generation: u64,
    pub(crate) segments: Vec<DiskSegment>,
    pub(crate) row: &'static Row,
    pub(crate) clean: bool,
    pub(crate) created: bool,
    pub(crate) cut_bytes: u64,
    pub(crate) from_tail_records: u64,
    pub(crate) lost_from_sequence: Option<u64>,
    pub(crate) past: Past,
}

fn open_locked(config: LogConfig, disk: Arc<dyn Disk>, lock: Box<dyn HeldLock>) -> Result<Begun, OpenError> {
    let mut notes = disk.notes();
    let dir = config.dir.clone();
    if !planted::is(Bug::NoDirectorySyncAtOpen) {
        // A process killed between a rename and its sync leaves names that only the system knows of.
        disk.sync_dir(&dir)?;
    }
    let (meta, created) = load_or_create(&*disk, &config)?;
    if meta.segment_bytes != config.segment_bytes {
        notes.push(format!(
            "segment_bytes is {}, fixed when the log was made; the configured {} is not used",
            meta.segment_bytes, config.segment_bytes
        ));
    }
    let tail_dir = choose_tail_dir(&*disk, &config, &mut notes);
    let recovered = recover(&*disk, &config, &meta, &tail_dir, created, &mut notes)?;
    let identity = TailIdentity {
        log_id: meta.log_id,
        epoch: recovered.epoch,
        block_count: config.tail_blocks,
        boot_id: disk.boot_id(),
        start_address: chunk_ceil(recovered.end.address),
        start_sequence: recovered.end.sequence + 1,
        lost_from_sequence: recovered.lost_from_sequence,
    };
    let tail = make_tail(&*disk, &config, &tail_dir, &identity, &mut notes)?;
    begin_epoch(config, disk, lock, &meta, tail, recovered, notes)
}

/// Half-made files of a process that died.
fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    for name in disk.list(dir)? {
        let half_made = name.ends_with(".lotlog.new")
            || name.ends_with(".lotlog.zst.new")
            || name == "log.meta.new"
            || name == MANIFEST_NEW;
        if half_made || name == ".direct-probe" {
            disk.unlink(&dir.join(name))?;
        }
    }
    Ok(())
}

/// A log exists from the moment its meta file does: the first segment is made before it.
fn load_or_create(disk: &dyn Disk, config: &LogConfig) -> Result<(Meta, bool), OpenError> {
    let dir = &config.dir;
    let names: Vec<u64> = disk.list(dir)?.iter().filter_map(|n| parse_segment_name(n)).collect();
    if let Some(meta) = Meta::load(disk, dir)? {
        if names.is_empty() {
            let path = segment_path(dir, 0);
            return Err(OpenError::MissingSegment { path, address: 0 });
        }
        return Ok((meta, false));
    }
    if !names.is_empty() {
        if names != [0] || !never_begun(disk, dir)? {
            return Err(OpenError::Meta { path: dir.join(META_NAME), what: "missing, but there are segments".into() });
        }
        // Making the log was cut short between its first segment and its meta file.
        disk.unlink(&segment_path(dir, 0))?;
    }
    let created_ns = disk.wall_clock_ns();
    let meta = Meta { log_id: disk.random_id(), segment_bytes: config.segment_bytes, created_ns };
    let header = SegmentHeader {
        version: SEGMENT_VERSION,
        log_id: meta.log_id,
        first_address: 0,
        stream_bytes: meta.segment_bytes,
        created_ns,
    };
    make_segment(disk, dir, &header).map_err(|e| space(e.into(), dir, meta.segment_bytes))?;
    sync_parents(disk, dir)?;
    meta.store(disk, dir).map_err(|e| space(e, dir, meta.segment_bytes))?;
    Ok((meta, true))
}

fn never_begun(disk: &dyn Disk, dir: &Path) -> Result<bool, OpenError> {
    let file = disk.open(&segment_path(dir, 0), Access::Read)?;
    let mut head = vec![0u8; HEAD_BYTES + BLOCK_BYTES];
    file.read_at(0, &mut head)?;
    let Ok(header) = SegmentHeader::decode(&head) else { return Ok(false) };
    let unwritten = SlotFound::all(&head, &header).iter().all(|slot| *slot == SlotFound::Empty);
    Ok(unwritten && all_zero(&head[SLOTS_END..]))
}

fn space(error: crate::disk::DiskError, dir: &Path, needed_bytes: u64) -> OpenError {
    if error.is_out_of_space() {
        OpenError::OutOfSpace { dir: dir.to_path_buf(), needed_bytes }
    } else {
        OpenError::Disk(error)
    }
}

fn choose_tail_dir(disk: &dyn Disk, config: &LogConfig, notes: &mut Vec<String>) -> PathBuf {
    if let Some(dir) = &config.tail_dir {
        if !disk.is_memory(dir) {
            notes.push(format!("tail_dir {} is not tmpfs: stores may meet pages under write-back", dir.display()));
        }
        return dir.clone();
    }
    let shared = Path::new(SHARED_MEMORY);
    if disk.is_memory(shared) {
        return shared.to_path_buf();
    }
    notes.push(format!(
        "{SHARED_MEMORY} is not tmpfs: the tail lies beside the log, stores may meet pages under write-back"
    ));
    config.dir.clone()
}

/// The first tail file found where one may have been left: the directory in use, shared memory, beside the log.
pub(crate) fn find_tail(disk: &dyn Disk, dir: &Path, tail_dir: &Path, log_id: u64) -> DiskResult<TailFile> {
    let name = tail_name(disk, log_id, dir);
    for place in [tail_dir, Path::new(SHARED_MEMORY), dir] {
        match TailFile::load(disk, &place.join(&name))? {
            TailFile::Missing => {}
            found => return Ok(found),
        }
    }
    Ok(TailFile::Missing)
}

fn recover(
    disk: &dyn Disk,
    config: &LogConfig,
    meta: &Meta,
    tail_dir: &Path,
    created: bool,
    notes: &mut Vec<String>,
) -> Result<Recovered, OpenError> {
    let dir = &config.dir;
    let past = Past::load(disk, dir, meta.log_id)?;
    let mut segments = load_segments(disk, dir, meta.log_id, meta.segment_bytes, past.plain_from)?;
    let before = past.chain_before(dir, segments.first().map(|s| s.first))?;
    for (name, slot) in &past.cursors {
        if slot.is_none() {
            notes.push(format!("cursor {name} is damaged: it holds everything until it is removed"));
        }
    }
    for segment in &segments {
        for (i, slot) in segment.slots.iter().enumerate() {
            if *slot == SlotFound::Bad {
                let path = segment.file.path().display();
                notes.push(format!("tail slot {i} of {path} is torn: the others count"));
            }
        }
    }
    let tail_file = match find_tail(disk, dir, tail_dir, meta.log_id)? {
        _ if planted::is(Bug::TailIgnored) => TailFile::Missing,
        found => found,
    };
    if let TailFile::Unreadable(reason) = &tail_file {
        notes.push(format!("the tail file is unreadable ({reason}): treated as missing"));
    }
    let mut stream = Stream::new(&segments, meta.segment_bytes);
    let scan = scan(&mut stream, before, past.watermark(), &mut |_, _| {})?;
    let joined = join_tail(&tail_file, &scan, &mut stream, meta.log_id, &disk.boot_id())?;
    let findings = Findings {
        ending: scan.ending,
        place: scan.place,
        tail: joined.found,
        group: if joined.chain.in_group() { GroupEnd::Unfinished } else { GroupEnd::Whole },
    };
    let row = decide(&findings);
    let image = match &tail_file {
        TailFile::Image(image) => Some(image),
        _ => None,
    };
    refuse(row.verdict, &scan, &joined, image, dir, meta)?;
    // What a cursor names was durable. Where the log's own witnesses know nothing of it, it was cut with them.
    past.check_cursors(&mut stream, meta.log_id, joined.chain.end)?;
    let end = if planted::is(Bug::UnfinishedGroupKept) { joined.chain.end } else { joined.chain.whole };
    if end.sequence == 0 && segments.first().is_some_and(|s| s.first > 0) {
        // Retention keeps a durable record, so a log whose beginning was dropped is never empty.
        return Err(OpenError::Corrupt(scan.corrupt(dir, meta.segment_bytes)));
    }
    // Only now: a refusal touches nothing.
    remove_leftovers(disk, dir)?;
    past.sweep(disk, dir)?;
    let own_tail = image.filter(|i| i.identity.log_id == meta.log_id);
    let lost_from_sequence = lost_from(row.verdict, end, &scan, own_tail);
    let epoch = next_epoch(&segments, &joined.chain, own_tail).max(past.restored_epoch() + 1);
    let repair = Repair {
        disk,
        dir,
        log_id: meta.log_id,
        segment_bytes: meta.segment_bytes,
        epoch,
        epoch_begins: true,
        in_flight: config.flushes_in_flight,
        end,
        clean: row.verdict == Verdict::StartClean,
        disk_end: scan.chain.end,
        nonzero_until: scan.nonzero_until,
        tail: image.filter(|_| joined.records > 0),
    };
    let generation = repair.run(&mut segments).map_err(|e| space(e, dir, meta.segment_bytes))?;
    let seen_until = scan.nonzero_until.max(joined.chain.end.address);
    let cut_records = joined.chain.end.sequence - end.sequence;
    Ok(Recovered {
        end,
        epoch,
        slot_generation: generation,
        segments,
        row,
        clean: row.verdict == Verdict::StartClean,
        created,
        cut_bytes: seen_until.saturating_sub(end.address),
        from_tail_records: joined.records.saturating_sub(cut_records),
        lost_from_sequence,
        past,
    })
}

/// What the tail adds to what the disk holds.
pub(crate) fn join_tail(
    tail: &TailFile,
    scan: &Scan,
    stream: &mut Stream<'_>,
    log_id: u64,
    boot_id: &[u8; 16],
) -> Result<Joined, OpenError> {
    let absent = |found| Joined { found, chain: scan.chain.clone(), records: 0, at: scan.chain.end.address };
    Ok(match tail {
        TailFile::Missing => absent(TailFound::Missing),
        TailFile::Unreadable(_) => absent(TailFound::Unreadable),
        TailFile::Image(image) => join(image, &scan.chain, stream, log_id, boot_id)?,
    })
}

fn refuse(
    verdict: Verdict,
    scan: &Scan,
    joined: &Joined,
    image: Option<&TailImage>,
    dir: &Path,
    meta: &Meta,
) -> Result<(), OpenError> {
    let path = image.map(|i| i.path.clone()).unwrap_or_default();
    match verdict {
        Verdict::RefuseCorrupt => Err(OpenError::Corrupt(scan.corrupt(dir, meta.segment_bytes))),
        Verdict::RefuseForeign => {
            Err(OpenError::TailForeign { path, found: image.map_or(0, |i| i.identity.log_id), expected: meta.log_id })
        }
        Verdict::RefuseDiffers => Err(OpenError::TailDiffers { path, address: joined.at }),
        Verdict::RefuseGap => {
            Err(OpenError::TailGap { path, address: joined.at, sequence: joined.chain.next_sequence() })
        }
        Verdict::StartClean | Verdict::StartWhole | Verdict::StartLost => Ok(()),
    }
}

/// A loss stays reported until an epoch start that names it is durable: the recovery that found it may have been killed.
fn lost_from(verdict: Verdict, end: End, scan: &Scan, tail: Option<&TailImage>) -> Option<u64> {
    let now = (verdict == Verdict::StartLost).then_some(end.sequence + 1);
    let inherited = tail
        .filter(|t| t.identity.epoch > scan.chain.end.epoch && !planted::is(Bug::LossNotInherited))
        .and_then(|t| t.identity.lost_from_sequence);
    now.into_iter().chain(inherited).min()
}

/// Above every epoch that left a trace.
pub(crate) fn next_epoch(segments: &[DiskSegment], chain: &Chain, tail: Option<&TailImage>) -> u32 {
    let slots = segments.iter().flat_map(|s| &s.slots).filter_map(SlotFound::valid);
    let in_slots = slots.map(|s| s.epoch).max().unwrap_or(0);
    let in_tail = tail.map_or(0, |t| t.identity.epoch);
    chain.end.epoch.max(in_slots).max(in_tail) + 1
}
