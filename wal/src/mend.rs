//! What can be mended in a log that is not whole, and the mending: a torn end is cut, a damaged or missing file comes back from a
//! verified copy. Nothing is guessed: what no copy proves stays as it is, and is named.
//!
//! A plan is made on a picture of the disk in which every file that has a whole copy lies in its place ([`Overlay`]); the one
//! verification of the crate judges that picture. So a plan says what the log will be, and the steps are done only after that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aligned::AlignedBuffer;
use crate::archive::entry::ArchiveEntry;
use crate::archive::file::ArchivedFile;
use crate::archive::manifest::MANIFEST_NAME;
use crate::archive::pack::{PackError, check};
use crate::archive::seekable::read_all;
use crate::archive::target::{ArchiveTarget, DirectoryTarget, target_name};
use crate::audit::{VerifyOutcome, VerifyReport};
use crate::damage::{Corrupt, What};
use crate::disk::{Access, DirLock, Disk, DiskError, DiskFile, DiskResult, HeldLock};
use crate::error::OpenError;
use crate::limits::{ASIDE_MAX, CHUNK_BYTES, HEAD_BYTES, SCAN_BYTES};
use crate::meta::Meta;
use crate::open::{SHARED_MEMORY, find_tail, join_tail, next_epoch};
use crate::overlay::{Mended, Overlay};
use crate::read_only::{ReadOnlyLog, open_read_only_on};
use crate::real_disk::RealDisk;
use crate::recovery::{Ending, Findings, GroupEnd, Place, Row, Verdict, decide};
use crate::repair::Repair;
use crate::scan::{Scan, Stream, scan};
use crate::segment::{archive_path, parse_archive_name, parse_segment_name, segment_path};

/// Where a repair looks.
#[derive(Clone, Debug, Default)]
pub struct RepairPlaces {
    /// Looked into for the tail before the default places.
    pub tail_dir: Option<PathBuf>,
    /// The directory that the log ships its archives to.
    pub archive_dir: Option<PathBuf>,
    /// Another place that it ships them to, instead of a directory.
    pub archive_target: Option<Arc<dyn ArchiveTarget>>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairStep {
    /// A segment file comes back from an archive. What lies in its place is kept beside it.
    RestoreSegment {
        /// The segment file.
        path: PathBuf,
        /// Why: the first place of the damage in it.
        damage: Corrupt,
        /// The archive that holds it.
        from: PathBuf,
        /// What it holds: sequences, addresses, bytes, checksum.
        entry: ArchiveEntry,
    },
    /// An archive comes back from its other copy. What lies in its place is kept beside it.
    RestoreArchive {
        /// The archive.
        path: PathBuf,
        /// Why.
        damage: Corrupt,
        /// Its other copy.
        from: PathBuf,
        /// What it holds.
        entry: ArchiveEntry,
    },
    /// The bytes of a write that never completed become zeros, as at a start.
    CutTail {
        /// The segment in which the log ends.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The same as a stream address.
        address: u64,
        /// Bytes up to the last one that is not zero.
        bytes: u64,
        /// The last record that stays.
        last_sequence: u64,
        /// Answers from this sequence on that were only `applied` may be lost; a start says so too.
        lost_from_sequence: Option<u64>,
    },
}

/// Why a start refuses this log whatever is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailRefusal {
    /// Row of the recovery table.
    pub row: char,
    /// Its reason.
    pub reason: &'static str,
    /// The tail file.
    pub path: PathBuf,
}

/// What is to be done, and what the log will be then.
#[derive(Clone, Debug, Default)]
pub struct RepairPlan {
    /// In the order in which they are done.
    pub steps: Vec<RepairStep>,
    /// Damage without a whole copy within reach: a backup is needed.
    pub unrepaired: Vec<Corrupt>,
    /// Copies that were looked at and are not whole, or are another segment's.
    pub rejected: Vec<Corrupt>,
    /// A tail that is at odds with the segments. It is never touched.
    pub refused: Option<TailRefusal>,
    /// What a verification says after the steps; `None` where the segments that are left cannot be opened.
    pub report: Option<VerifyReport>,
}

impl RepairPlan {
    /// With these steps done a start succeeds and nothing that was durable is missing.
    pub fn makes_whole(&self) -> bool {
        let cuts = self.steps.iter().any(|step| matches!(step, RepairStep::CutTail { .. }));
        let whole = self.report.as_ref().is_some_and(|report| match report.outcome {
            VerifyOutcome::Whole => true,
            // Cut here, or at a start, which the tail tells what belongs behind the end.
            VerifyOutcome::TornTail { .. } => cuts || report.tail_records > 0,
            VerifyOutcome::Damaged(_) => false,
        });
        whole
            && self.unrepaired.is_empty()
            && self.refused.is_none()
            && self.report.as_ref().is_some_and(|report| !report.cursors.iter().any(|cursor| cursor.is_broken()))
    }
}

/// Why a repair did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The directory holds no log, its writer is running, or what names the segments (`log.meta`, `log.archive`) is damaged. Nothing was
    /// touched.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// A file operation failed. The steps before it are done and durable; the repair can be run again.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file does not hold what was written to it. It did not take its place; nothing of this step counts.
    #[error("{}: reads back as something else than was written", path.display())]
    NotWritten {
        /// The new file.
        path: PathBuf,
    },
    /// The end of the log is not where the plan saw it: somebody else changed files.
    #[error("{}: the log is not what the plan was made for", dir.display())]
    Changed {
        /// The log's directory.
        dir: PathBuf,
    },
}

/// A log whose writer is kept out.
#[derive(Debug)]
pub struct Repairer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    places: RepairPlaces,
    target: Option<Arc<dyn ArchiveTarget>>,
    meta: Meta,
    _lock: Box<dyn HeldLock>,
}

/// Takes the lock of the log in `dir`, so that nobody writes to it.
///
/// # Errors
/// [`RepairError::Log`]: no log, or its writer runs.
pub fn open_for_repair(dir: &Path, places: RepairPlaces) -> Result<Repairer, RepairError> {
    open_for_repair_on(dir, places, Arc::new(RealDisk::read_only()))
}

/// As [`open_for_repair`], on another disk.
pub fn open_for_repair_on(dir: &Path, places: RepairPlaces, disk: Arc<dyn Disk>) -> Result<Repairer, RepairError> {
    let not_a_log = || OpenError::NotALog { dir: dir.to_path_buf() };
    let meta = Meta::load(&*disk, dir)?.ok_or_else(not_a_log)?;
    match disk.lock_dir(dir)? {
        DirLock::Taken(lock) => {
            let of_dir = |dir| -> Arc<dyn ArchiveTarget> { Arc::new(DirectoryTarget::new(Arc::clone(&disk), dir)) };
            let target = places.archive_target.clone().or_else(|| places.archive_dir.clone().map(of_dir));
            Ok(Repairer { disk, dir: dir.to_path_buf(), places, target, meta, _lock: lock })
        }
        DirLock::Owned(pid) => Err(OpenError::Locked { dir: dir.to_path_buf(), pid }.into()),
    }
}

/// A copy that is whole.
struct Copy {
    path: PathBuf,
    packed: Arc<dyn DiskFile>,
    entry: ArchiveEntry,
}

/// Where the log ends, with the tail asked.
struct EndOfLog {
    scan: Scan,
    row: &'static Row,
    tail_path: PathBuf,
    /// Records that only the tail holds.
    tail_records: u64,
}

impl Repairer {
    /// Reads everything and says what can be done. Nothing is changed. `progress` gets bytes done and in all, once a look.
    ///
    /// # Errors
    /// [`RepairError::Log`] where the log's own description is damaged, [`RepairError::Disk`].
    pub fn plan(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<RepairPlan, RepairError> {
        let overlay = Arc::new(Overlay::new(Arc::clone(&self.disk)));
        let mut plan = RepairPlan::default();
        loop {
            let (found, log) = match self.look(Some(&overlay), progress) {
                Ok((log, report)) => {
                    let found = report.damaged.clone();
                    plan.report = Some(report);
                    (found, Some(log))
                }
                Err(error) => (vec![self.place_of(error)?], None),
            };
            plan.unrepaired.clear();
            plan.rejected.clear();
            let before = plan.steps.len();
            for damage in found {
                match self.step_for(&overlay, &damage, &mut plan.rejected)? {
                    Some(step) => plan.steps.push(step),
                    None => plan.unrepaired.push(damage),
                }
            }
            if plan.steps.len() > before {
                continue;
            }
            let Some(log) = log else {
                plan.report = None;
                return Ok(plan);
            };
            if plan.unrepaired.is_empty() {
                self.plan_end(&log, &mut plan)?;
            }
            return Ok(plan);
        }
    }

    /// Does the steps of a plan, each durable before the next, and verifies the log.
    ///
    /// # Errors
    /// The step that failed; those before it are done.
    pub fn run(&self, plan: &RepairPlan, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, RepairError> {
        for step in &plan.steps {
            match step {
                RepairStep::RestoreSegment { path, from, entry, .. } => self.restore_segment(path, from, entry)?,
                RepairStep::RestoreArchive { path, from, entry, .. } => self.restore_archive(path, from, entry)?,
                RepairStep::CutTail { address, .. } => self.cut_tail(*address)?,
            }
        }
        Ok(self.look(None, progress)?.1)
    }

    /// The log as the disk shows it, or as it would with what the overlay has in its place; verified.
    fn look(
        &self,
        overlay: Option<&Arc<Overlay>>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(ReadOnlyLog, VerifyReport), OpenError> {
        let disk: Arc<dyn Disk> = match overlay {
            Some(overlay) => Arc::<Overlay>::clone(overlay),
            None => Arc::clone(&self.disk),
        };
        let mut log = open_read_only_on(&self.dir, disk)?;
        if let Some(dir) = &self.places.tail_dir {
            log = log.with_tail_dir(dir);
        }
        match (&self.target, overlay) {
            (Some(real), Some(overlay)) => {
                log = log.with_target(Arc::new(Mended { real: Arc::clone(real), overlay: Arc::clone(overlay) }));
            }
            (Some(target), None) => log = log.with_target(Arc::clone(target)),
            (None, _) => {}
        }
        let report = log.verify(progress)?;
        Ok((log, report))
    }

    /// The place that keeps a log from being read at all; other errors are the caller's.
    fn place_of(&self, error: OpenError) -> Result<Corrupt, RepairError> {
        let (segment, what) = match error {
            OpenError::Corrupt(place) => return Ok(place),
            OpenError::WrongSegment { path, .. } => (path, What::SegmentHeader),
            OpenError::MissingSegment { path, .. } => (path, What::Missing),
            other => return Err(other.into()),
        };
        let address = name_of(&segment).and_then(parse_segment_name).unwrap_or(0);
        Ok(Corrupt { segment, offset: 0, address, sequence: 0, what })
    }

    /// What mends that file, if a copy does; from then on `overlay` shows it mended.
    fn step_for(
        &self,
        overlay: &Overlay,
        damage: &Corrupt,
        rejected: &mut Vec<Corrupt>,
    ) -> Result<Option<RepairStep>, RepairError> {
        let path = damage.segment.clone();
        let Some(name) = name_of(&path).filter(|_| !overlay.has(&path)) else { return Ok(None) };
        let (first, is_segment) = match (parse_segment_name(name), parse_archive_name(name)) {
            (Some(first), _) => (first, true),
            (_, Some(first)) => (first, false),
            _ => return Ok(None),
        };
        let Some(copy) = self.whole_copy(first, &path, rejected)? else { return Ok(None) };
        let (from, entry, damage) = (copy.path, copy.entry, damage.clone());
        if is_segment {
            overlay.put(&path, Arc::new(ArchivedFile::open(copy.packed)?));
            return Ok(Some(RepairStep::RestoreSegment { path, damage, from, entry }));
        }
        overlay.put(&path, copy.packed);
        Ok(Some(RepairStep::RestoreArchive { path, damage, from, entry }))
    }

    /// The nearest copy of a segment that is whole to the last byte and is the one that the manifest names, but for the file at `not`.
    fn whole_copy(&self, first: u64, not: &Path, rejected: &mut Vec<Corrupt>) -> Result<Option<Copy>, RepairError> {
        let manifest = crate::archive::manifest::Manifest::load(&*self.disk, &self.dir, self.meta.log_id)?;
        let before = manifest.as_ref().and_then(|manifest| manifest.chain_before(first));
        let wanted = manifest.as_ref().and_then(|manifest| manifest.entry(first)).copied();
        let local = archive_path(&self.dir, first);
        let remote = self.target.as_ref().map(|target| self.place_in(&**target, first));
        for path in std::iter::once(local).chain(remote).filter(|path| path != not) {
            let bad = |what| Corrupt { segment: path.clone(), offset: 0, address: first, sequence: 0, what };
            let packed = match self.open_copy(&path, first) {
                Ok(packed) => packed,
                Err(e) if e.is_missing() => continue,
                Err(e) => return Err(e.into()),
            };
            let file = match ArchivedFile::open(Arc::clone(&packed)) {
                Ok(file) => file,
                Err(e) if e.source.kind() == io::ErrorKind::InvalidData => {
                    rejected.push(bad(What::Archive));
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            let entry = *file.entry();
            let ours = entry.log_id == self.meta.log_id
                && entry.first_address == first
                && entry.stream_bytes == self.meta.segment_bytes
                && wanted.is_none_or(|wanted| wanted == entry);
            if !ours {
                rejected.push(bad(What::Archive));
                continue;
            }
            match check(&file, before.clone(), &|| false) {
                Ok(_) => return Ok(Some(Copy { path, packed, entry })),
                Err(PackError::Damaged(place)) => rejected.push(place),
                Err(PackError::Disk(e)) if e.source.kind() == io::ErrorKind::InvalidData => {
                    rejected.push(bad(What::Archive));
                }
                Err(PackError::Disk(e)) => return Err(e.into()),
                Err(PackError::Stopped) => unreachable!("nobody stops a repair"),
            }
        }
        Ok(None)
    }

    /// What the copy in the target is called in messages.
    fn place_in(&self, target: &dyn ArchiveTarget, first: u64) -> PathBuf {
        Path::new(&target.describe()).join(target_name(self.meta.log_id, first))
    }

    /// The copy of that segment at `path`: the archive here, or the one in the target.
    fn open_copy(&self, path: &Path, first: u64) -> DiskResult<Arc<dyn DiskFile>> {
        match &self.target {
            Some(target) if path != archive_path(&self.dir, first) => {
                target.open(&target_name(self.meta.log_id, first))
            }
            _ => self.disk.open(path, Access::Read),
        }
    }

    fn end_of(&self, log: &ReadOnlyLog) -> Result<EndOfLog, OpenError> {
        let log_id = self.meta.log_id;
        let mut stream = Stream::new(&log.segments, self.meta.segment_bytes);
        let before = log.past.chain_before(&self.dir, log.segments.first().map(|s| s.first))?;
        let scan = scan(&mut stream, before, log.past.watermark(), &mut |_, _| {})?;
        let tail_dir = self.places.tail_dir.clone().unwrap_or_else(|| PathBuf::from(SHARED_MEMORY));
        let tail = find_tail(&*self.disk, &self.dir, &tail_dir, log_id)?;
        let tail_path = match &tail {
            crate::join::TailFile::Image(image) => image.path.clone(),
            _ => PathBuf::new(),
        };
        let joined = join_tail(&tail, &scan, &mut stream, log_id, &self.disk.boot_id())?;
        let group = if joined.chain.in_group() { GroupEnd::Unfinished } else { GroupEnd::Whole };
        let row = decide(&Findings { ending: scan.ending, place: scan.place, tail: joined.found, group });
        Ok(EndOfLog { scan, row, tail_path, tail_records: joined.records })
    }

    /// A torn end, or a tail that a start refuses.
    fn plan_end(&self, log: &ReadOnlyLog, plan: &mut RepairPlan) -> Result<(), RepairError> {
        let end = self.end_of(log)?;
        let verdict = end.row.verdict;
        if matches!(verdict, Verdict::RefuseForeign | Verdict::RefuseDiffers | Verdict::RefuseGap) {
            plan.refused = Some(TailRefusal { row: end.row.letter, reason: end.row.reason, path: end.tail_path });
            return Ok(());
        }
        let Some((address, bytes)) = torn(&end) else { return Ok(()) };
        let last = end.scan.chain.whole;
        let first = address.saturating_sub(1) - address.saturating_sub(1) % self.meta.segment_bytes;
        plan.steps.push(RepairStep::CutTail {
            path: segment_path(&self.dir, first),
            offset: HEAD_BYTES as u64 + (address - first),
            address,
            bytes,
            last_sequence: last.sequence,
            lost_from_sequence: (verdict == Verdict::StartLost).then_some(last.sequence + 1),
        });
        Ok(())
    }

    /// The same steps as a start's, up to where an epoch would begin: what is left is a log that was killed at rest.
    fn cut_tail(&self, address: u64) -> Result<(), RepairError> {
        let mut log = open_read_only_on(&self.dir, Arc::clone(&self.disk))?;
        let end = self.end_of(&log)?;
        if torn(&end).map(|(at, _)| at) != Some(address) || end.scan.place != Place::Above {
            return Err(RepairError::Changed { dir: self.dir.clone() });
        }
        let epoch = next_epoch(&log.segments, &end.scan.chain, None).max(log.past.restored_epoch() + 1);
        let repair = Repair {
            disk: &*self.disk,
            dir: &self.dir,
            log_id: self.meta.log_id,
            segment_bytes: self.meta.segment_bytes,
            epoch,
            epoch_begins: false,
            // What the next start writes says how many there are from then on.
            in_flight: 1,
            end: end.scan.chain.whole,
            clean: false,
            disk_end: end.scan.chain.end,
            nonzero_until: end.scan.nonzero_until,
            tail: None,
        };
        repair.run(&mut log.segments)?;
        Ok(())
    }

    fn restore_segment(&self, path: &Path, from: &Path, entry: &ArchiveEntry) -> Result<(), RepairError> {
        let file = ArchivedFile::open(self.open_copy(from, entry.first_address)?)?;
        let new = path.with_extension("lotlog.new");
        let made = self.write_segment(&file, &new, entry).and_then(|()| self.put_in_place(&new, path));
        if made.is_err() {
            // What is half made only takes room.
            let _ = self.disk.unlink(&new);
        }
        made
    }

    fn write_segment(&self, file: &ArchivedFile, new: &Path, entry: &ArchiveEntry) -> Result<(), RepairError> {
        let out = self.disk.open(new, Access::Create)?;
        out.preallocate(entry.file_bytes)?;
        let mut buffer = AlignedBuffer::new(entry.frame_bytes as usize);
        for at in (0..entry.file_bytes).step_by(buffer.len()) {
            let part = &mut buffer[..(entry.file_bytes - at).min(u64::from(entry.frame_bytes)) as usize];
            read_all(file, at, part)?;
            out.write_at(at, part)?;
        }
        out.sync_data()?;
        drop(out);
        let checksum = self.checksum_of(&*self.disk.open(new, Access::ReadDirect)?, entry.file_bytes)?;
        if checksum == entry.file_checksum { Ok(()) } else { Err(RepairError::NotWritten { path: new.to_path_buf() }) }
    }

    fn restore_archive(&self, path: &Path, from: &Path, entry: &ArchiveEntry) -> Result<(), RepairError> {
        let source = self.open_copy(from, entry.first_address)?;
        if path.parent() != Some(&self.dir) {
            let Some(target) = &self.target else {
                return Err(RepairError::Changed { dir: self.dir.clone() });
            };
            let name = target_name(entry.log_id, entry.first_address);
            // Killed in between, it is missing there, and the repair mends that when it is run again.
            match target.set_aside(&name) {
                Err(e) if !e.is_missing() => return Err(e.into()),
                _ => {}
            }
            target.put(&name, &*source)?;
            return Ok(());
        }
        let new = path.with_extension("zst.new");
        let made = self.copy(&*source, &new, entry).and_then(|()| self.put_in_place(&new, path));
        if made.is_err() {
            let _ = self.disk.unlink(&new);
        }
        made
    }

    fn copy(&self, source: &dyn DiskFile, new: &Path, entry: &ArchiveEntry) -> Result<(), RepairError> {
        let out = self.disk.open(new, Access::CreateSmall)?;
        let bytes = source.len()?;
        let mut buffer = vec![0u8; SCAN_BYTES];
        let mut at = 0;
        while at < bytes {
            let part = &mut buffer[..(bytes - at).min(SCAN_BYTES as u64) as usize];
            read_all(source, at, part)?;
            out.write_at(at, part)?;
            at += part.len() as u64;
        }
        out.sync_data()?;
        drop(out);
        let file = ArchivedFile::open(self.disk.open(new, Access::Read)?)?;
        let same = file.entry() == entry && crate::archive::pack::check_packed(&file, &|| false).is_ok();
        if same { Ok(()) } else { Err(RepairError::NotWritten { path: new.to_path_buf() }) }
    }

    fn checksum_of(&self, file: &dyn DiskFile, bytes: u64) -> DiskResult<u32> {
        let mut buffer = AlignedBuffer::new(SCAN_BYTES);
        let (mut at, mut checksum) = (0, 0);
        while at < bytes {
            let part = &mut buffer[..(bytes - at).min(SCAN_BYTES as u64) as usize];
            read_all(file, at, part)?;
            checksum = crc32c::crc32c_append(checksum, part);
            at += part.len() as u64;
        }
        Ok(checksum)
    }

    /// The damaged file goes aside first. Killed in between, the file is missing, and the repair mends that when it is run again.
    fn put_in_place(&self, new: &Path, path: &Path) -> Result<(), RepairError> {
        self.put_aside(path)?;
        self.disk.rename(new, path)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(())
    }

    /// Keeps what lies there under another name, which no reader of a log knows.
    fn put_aside(&self, path: &Path) -> Result<(), RepairError> {
        let (Some(folder), Some(name)) = (path.parent(), name_of(path)) else { return Ok(()) };
        let names = self.disk.list(folder)?;
        if !names.iter().any(|there| there == name) {
            return Ok(());
        }
        for number in 1..ASIDE_MAX {
            let aside = format!("{name}.damaged-{number}");
            if !names.contains(&aside) {
                self.disk.rename(path, &folder.join(aside))?;
                return Ok(self.disk.sync_dir(folder)?);
            }
        }
        let full = io::Error::from_raw_os_error(libc::EEXIST);
        Err(DiskError::new("rename", path, 0, full).into())
    }

    /// Where the log's archives are described; for messages.
    pub fn manifest_path(&self) -> PathBuf {
        self.dir.join(MANIFEST_NAME)
    }
}

/// Where a torn end is to be cut, and how much lies behind. `None` where nothing is torn, or where the tail goes on: then a start takes
/// the records from there, and it alone knows which.
fn torn(end: &EndOfLog) -> Option<(u64, u64)> {
    let EndOfLog { scan, tail_records, .. } = end;
    let broken = scan.ending == Ending::Broken || scan.nonzero_until > 0 || scan.chain.in_group();
    let whole = scan.chain.whole.address;
    let until = scan.nonzero_until.max(scan.chain.end.address);
    (broken && *tail_records == 0).then(|| (whole, until.saturating_sub(whole)))
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

const _: () = assert!(SCAN_BYTES.is_multiple_of(CHUNK_BYTES));
