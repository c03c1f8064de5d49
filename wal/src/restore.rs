//! A log brought back from an archive target: every shipped segment, checked, and behind them what was copied of the tail.
//!
//! The directory is a log only when all of it is there: what names it is written last. So a restore that was killed, or that
//! missed a segment, leaves no log behind, and when it is run again it goes on with what it has and checks that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::entry::ArchiveEntry;
use crate::archive::file::ArchivedFile;
use crate::archive::manifest::Manifest;
use crate::archive::pack::{PackError, check};
use crate::archive::restored::RestoredMark;
use crate::archive::seekable::read_all;
use crate::archive::shipped::{Shipped, Shipper};
use crate::archive::tail_copy::{TailCopy, walk_records};
use crate::archive::target::{ArchiveTarget, log_folder, shipped_name, tail_copy_name, target_name};
use crate::audit::{VerifyOutcome, VerifyReport};
use crate::chain::Chain;
use crate::damage::{Corrupt, What};
use crate::disk::{Access, Disk, DiskError, DiskFile, DiskResult};
use crate::error::OpenError;
use crate::limits::{HEAD_BYTES, HEADER_BYTES, SCAN_BYTES, SEGMENT_VERSION, SEGMENTS_AHEAD};
use crate::open::{make_dirs, sync_parents};
use crate::preparer::make_segment;
use crate::read_only::open_read_only_on;
use crate::real_disk::RealDisk;
use crate::record::RecordHeader;
use crate::segment::{SegmentHeader, archive_path, parse_archive_name, segment_path};

/// A log that a target has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShippedLog {
    /// The log.
    pub log_id: u64,
    /// Who shipped it last.
    pub by: Shipper,
    /// Segments that are said to be there.
    pub segments: Vec<ArchiveEntry>,
    /// Stream bytes of a segment.
    pub segment_bytes: u64,
    shipped: Shipped,
}

impl ShippedLog {
    /// The directory that it was shipped from, without the host.
    pub fn dir(&self) -> &Path {
        Path::new(self.by.place.split_once(':').map_or(self.by.place.as_str(), |(_, dir)| dir))
    }

    /// The host that it was shipped from.
    pub fn host(&self) -> &str {
        self.by.place.split_once(':').map_or("", |(host, _)| host)
    }
}

/// Why a log did not come back. The directory holds no log then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A file operation failed, here or in the target. What was done counts when the restore is run again.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What says what was shipped cannot be read.
    #[error("{place}: {what}")]
    Unreadable {
        /// Where it is.
        place: String,
        /// Why.
        what: String,
    },
    /// Segments are missing, or none of their copies is whole. All others are there by now.
    #[error("{} of {segments} segments cannot be had, the first is {}: {}", bad.len(), bad[0].segment.display(), bad[0].what)]
    Segments {
        /// Each of them.
        bad: Vec<Corrupt>,
        /// Of so many.
        segments: u64,
    },
    /// The directory holds something that is no restore begun of this log.
    #[error("{}: not empty", dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
    },
    /// What was put together is not a whole log: it was changed while it was read.
    #[error("{}: what came back does not verify: {what}", dir.display())]
    NotWhole {
        /// The directory.
        dir: PathBuf,
        /// Why.
        what: String,
    },
    /// As [`RestoreError::NotWhole`].
    #[error(transparent)]
    Log(#[from] OpenError),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Segments, the tail not counted.
    pub segments: u64,
    /// Of them, those that were here already and checked.
    pub found: u64,
    /// Bytes that were read from the target.
    pub bytes: u64,
    /// The last record.
    pub last_sequence: u64,
    /// Records that came from the copy of the tail.
    pub tail_records: u64,
    /// Records that came from elsewhere.
    pub extra_records: u64,
    /// Why the copy of the tail was not used, or not all of it.
    pub tail_problem: Option<String>,
    /// The highest sequence that anything in the target calls durable: where it is above `last_sequence`, records between are lost.
    pub known_durable: u64,
    /// Verification of the new log.
    pub report: VerifyReport,
}

/// What only somebody else has, behind the end of what the target has.
pub trait MoreRecords {
    /// Records from that sequence on, each as it lies in the stream (header, payload, zeros up to a multiple of eight), one behind the other, all of them.
    ///
    /// # Errors
    /// In words: then there are none.
    fn from(&mut self, log_id: u64, sequence: u64) -> Result<Vec<u8>, String>;
}

/// What comes behind the segments beside the copy of the tail.
pub struct Behind<'a> {
    /// Who has records that the target does not have.
    pub more: Option<&'a mut dyn MoreRecords>,
    /// Asked for each record behind the segments: the log ends before the group of the first that is not wanted.
    pub wanted: &'a mut dyn FnMut(&RecordHeader, &[u8]) -> bool,
}

impl std::fmt::Debug for Behind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Behind(more: {})", self.more.is_some())
    }
}

/// The logs that a target has, by the directories that they were shipped from.
///
/// # Errors
/// [`RestoreError::Disk`], [`RestoreError::Unreadable`].
pub fn shipped_logs(target: &dyn ArchiveTarget) -> Result<Vec<ShippedLog>, RestoreError> {
    let mut logs = Vec::new();
    for folder in target.logs()? {
        let Some(log_id) = u64::from_str_radix(&folder, 16).ok().filter(|id| log_folder(*id) == folder) else {
            continue;
        };
        let name = shipped_name(log_id);
        let Some((bytes, _)) = target.load(&name)? else { continue };
        let place = format!("{}/{name}", target.describe());
        let unreadable = |what| RestoreError::Unreadable { place: place.clone(), what };
        let shipped = Shipped::decode(&bytes).map_err(unreadable)?;
        if shipped.meta.log_id != log_id {
            return Err(unreadable(format!("is of log {:016x}", shipped.meta.log_id)));
        }
        logs.push(ShippedLog {
            log_id,
            by: shipped.by.clone(),
            segments: shipped.manifest.entries.clone(),
            segment_bytes: shipped.meta.segment_bytes,
            shipped,
        });
    }
    logs.sort_by(|a, b| (&a.by.place, a.log_id).cmp(&(&b.by.place, b.log_id)));
    Ok(logs)
}

/// Brings a log back into `dir`, which is empty, missing, or what an earlier try left. `progress` gets bytes done and in all.
///
/// # Errors
/// [`RestoreError`]; `dir` holds no log then.
pub fn restore(
    log: &ShippedLog,
    target: &dyn ArchiveTarget,
    dir: &Path,
    behind: Behind<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    restore_on(log, target, dir, behind, Arc::new(RealDisk::read_only()), progress)
}

/// As [`restore`], on another disk.
pub fn restore_on(
    log: &ShippedLog,
    target: &dyn ArchiveTarget,
    dir: &Path,
    behind: Behind<'_>,
    disk: Arc<dyn Disk>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    make_dirs(&*disk, dir)?;
    sync_parents(&*disk, dir)?;
    let mut work = Work { log, target, dir, disk: &*disk, manifest: log.shipped.manifest.clone(), found: 0, bytes: 0 };
    work.check_dir()?;
    work.segments(progress)?;
    work.behind_the_manifest()?;
    let tail = work.tail(behind);
    let end = work.write_plain(&tail)?;
    let (entries, by) = (&work.manifest.entries, &log.by);
    let last_epoch = entries.last().map_or(0, |e| e.last_epoch).max(by.epoch);
    let mark = RestoredMark { log_id: log.log_id, sequence: end, epoch: last_epoch, restored_ns: disk.wall_clock_ns() };
    mark.store(&*disk, dir)?;
    work.manifest.store(&*disk, dir).map_err(DiskError::from)?;
    log.shipped.meta.store(&*disk, dir)?;
    let known_durable = work.manifest.watermark().max(tail.known_durable);
    let (segments, found, bytes) = (entries.len() as u64, work.found, work.bytes);
    let report = open_read_only_on(dir, disk)?.verify(progress)?;
    if report.outcome != VerifyOutcome::Whole || report.last_sequence != end {
        let what = format!("{:?}, up to sequence {} where {end} was written", report.outcome, report.last_sequence);
        return Err(RestoreError::NotWhole { dir: dir.to_path_buf(), what });
    }
    Ok(Restored {
        segments,
        found,
        bytes,
        last_sequence: end,
        tail_records: tail.copied,
        extra_records: tail.more,
        tail_problem: tail.problem,
        known_durable,
        report,
    })
}

struct Work<'a> {
    log: &'a ShippedLog,
    target: &'a dyn ArchiveTarget,
    dir: &'a Path,
    disk: &'a dyn Disk,
    manifest: Manifest,
    found: u64,
    bytes: u64,
}

/// Whole records behind the last segment.
#[derive(Default)]
struct Tail {
    /// Address and bytes of each.
    records: Vec<(u64, Vec<u8>)>,
    last_sequence: u64,
    copied: u64,
    more: u64,
    known_durable: u64,
    problem: Option<String>,
}

impl Work<'_> {
    /// Nothing but what a restore of this log leaves.
    fn check_dir(&self) -> Result<(), RestoreError> {
        let ours = |name: &String| {
            let name = name.strip_suffix(".new").unwrap_or(name);
            parse_archive_name(name).is_some()
                || crate::segment::parse_segment_name(name).is_some()
                || [crate::archive::restored::RESTORED_NAME, crate::archive::manifest::MANIFEST_NAME].contains(&name)
        };
        // The file that makes a directory a log is not among them.
        if self.disk.list(self.dir)?.iter().all(ours) {
            Ok(())
        } else {
            Err(RestoreError::Occupied { dir: self.dir.to_path_buf() })
        }
    }

    fn bad(&self, entry: &ArchiveEntry, what: What) -> Corrupt {
        let segment =
            PathBuf::from(format!("{}/{}", self.target.describe(), target_name(entry.log_id, entry.first_address)));
        let (address, sequence) = (entry.first_address, entry.first_sequence);
        Corrupt { segment, offset: 0, address, sequence, what }
    }

    /// Every segment that is said to be there. All are tried, so that all that are missing are named.
    fn segments(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), RestoreError> {
        let entries = self.manifest.entries.clone();
        let all = entries.iter().map(|e| e.packed_bytes).sum();
        let (mut done, mut bad) = (0, Vec::new());
        for entry in &entries {
            let before = self.manifest.chain_before(entry.first_address);
            match self.segment(entry, before) {
                Ok(()) => {}
                Err(PackError::Damaged(place)) => bad.push(self.bad(entry, place.what)),
                Err(PackError::Disk(e)) if e.is_missing() => bad.push(self.bad(entry, What::Missing)),
                Err(PackError::Disk(e)) if e.source.kind() == io::ErrorKind::InvalidData => {
                    bad.push(self.bad(entry, What::Archive));
                }
                Err(PackError::Disk(e)) => return Err(e.into()),
                Err(PackError::Stopped) => unreachable!("nobody stops a restore"),
            }
            done += entry.packed_bytes;
            progress(done, all);
        }
        if bad.is_empty() { Ok(()) } else { Err(RestoreError::Segments { bad, segments: entries.len() as u64 }) }
    }

    /// One archive, from an earlier try or from the target, checked to the last byte.
    fn segment(&mut self, entry: &ArchiveEntry, before: Option<Chain>) -> Result<(), PackError> {
        let path = archive_path(self.dir, entry.first_address);
        if self.checked(&path, entry, before.clone()).is_ok() {
            self.found += 1;
            return Ok(());
        }
        let source = self.target.open(&target_name(entry.log_id, entry.first_address))?;
        let new = path.with_extension("zst.new");
        let copied = self.copy(&*source, &new).map_err(PackError::from);
        let checked = copied.and_then(|bytes| {
            self.bytes += bytes;
            self.checked(&new, entry, before)
        });
        if checked.is_err() {
            // What is half made only takes room.
            let _ = self.disk.unlink(&new);
        }
        checked?;
        self.disk.rename(&new, &path)?;
        Ok(self.disk.sync_dir(self.dir)?)
    }

    fn checked(&self, path: &Path, entry: &ArchiveEntry, before: Option<Chain>) -> Result<(), PackError> {
        let file = ArchivedFile::open(self.disk.open(path, Access::Read)?)?;
        if file.entry() != entry {
            return Err(PackError::Damaged(self.bad(entry, What::Archive)));
        }
        check(&file, before, &|| false).map(|_| ())
    }

    fn copy(&self, source: &dyn DiskFile, new: &Path) -> DiskResult<u64> {
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
        Ok(bytes)
    }

    /// A host that died between putting a segment there and saying so.
    fn behind_the_manifest(&mut self) -> Result<(), RestoreError> {
        loop {
            let first = self.manifest.end();
            let file = match self.target.open(&target_name(self.log.log_id, first)) {
                Ok(packed) => ArchivedFile::open(packed),
                Err(e) if e.is_missing() => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let before = self.manifest.chain_before(first);
            let continues = |entry: &ArchiveEntry| {
                (entry.log_id, entry.first_address) == (self.log.log_id, first)
                    && before.as_ref().is_none_or(|chain| {
                        chain.next_sequence() == 0
                            || (chain.next_sequence(), chain.end.checksum)
                                == (entry.first_sequence, entry.before_checksum)
                    })
            };
            // What was never said to be there may be anything.
            let Some(entry) = file.ok().map(|file| *file.entry()).filter(continues) else { return Ok(()) };
            match self.segment(&entry, before) {
                Ok(()) => self.manifest.entries.push(entry),
                Err(PackError::Disk(e)) if e.source.kind() != io::ErrorKind::InvalidData => return Err(e.into()),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Whole groups of records behind the last segment: of the copy of the tail, then of whoever has more.
    fn tail(&self, what: Behind<'_>) -> Tail {
        let end = self.manifest.end();
        let base = Chain::resume(self.log.log_id, self.manifest.base.end, self.manifest.base.in_group);
        let mut chain = self.manifest.chain_before(end).unwrap_or(base);
        let behind = chain.end.sequence;
        let mut tail = Tail { last_sequence: behind, ..Tail::default() };
        if let Err(problem) = self.copied_tail(&mut chain, &mut tail) {
            tail.problem = Some(problem);
        }
        tail.copied = tail.records.len() as u64;
        if let Some(more) = what.more
            && let Err(problem) = add_more(more, &mut chain, &mut tail)
        {
            let before = tail.problem.take().map(|p| p + "; ").unwrap_or_default();
            tail.problem = Some(before + &problem);
        }
        let whole = until_unwanted(&tail.records, chain.whole.sequence.max(behind), behind, what.wanted);
        tail.records.retain(|(_, bytes)| sequence_of(bytes) <= whole);
        tail.copied = tail.copied.min(tail.records.len() as u64);
        tail.more = tail.records.len() as u64 - tail.copied;
        tail.last_sequence = whole;
        tail
    }

    fn copied_tail(&self, chain: &mut Chain, tail: &mut Tail) -> Result<(), String> {
        let name = tail_copy_name(self.log.log_id);
        let Some((bytes, _)) = self.target.load(&name).map_err(|e| e.to_string())? else { return Ok(()) };
        let copy = TailCopy::decode(&bytes).map_err(|what| format!("{}/{name}: {what}", self.target.describe()))?;
        if copy.log_id != self.log.log_id {
            return Err(format!("{}/{name}: of log {:016x}", self.target.describe(), copy.log_id));
        }
        tail.known_durable = copy.durable_sequence;
        let end = self.manifest.end();
        if copy.last_sequence <= chain.end.sequence {
            return Ok(());
        }
        let Some(mut from) = self.manifest.chain_before(copy.first_address) else {
            return Err(format!(
                "{}/{name}: begins at {:#x}, segments end at {end:#x}",
                self.target.describe(),
                copy.first_address
            ));
        };
        // Up to the end of the segments it must be what they are: it may be of a host that gave way.
        let common = before(&copy.records, end);
        let walked = walk_records(&copy.records[..common], &mut from, &mut |_, _| {});
        if walked.is_err() || from.end != chain.end {
            return Err(format!("{}/{name}: is not what lies behind the segments", self.target.describe()));
        }
        let walked = walk_records(&copy.records[common..], chain, &mut |header: &RecordHeader, bytes: &[u8]| {
            tail.records.push((header.address, bytes.to_vec()));
        });
        walked.map(|_| ()).map_err(|(sequence, what)| {
            format!("{}/{name}: the record of sequence {sequence}: {what}", self.target.describe())
        })
    }

    /// The last segment, and what lies behind, as segment files: what a log that runs has at its end. Gives back the last sequence.
    fn write_plain(&mut self, tail: &Tail) -> Result<u64, RestoreError> {
        let segment_bytes = self.log.segment_bytes;
        let from = self.manifest.end();
        if let Some(entry) = self.manifest.entries.last() {
            self.unpack(entry)?;
        }
        let last = tail.records.last().map_or(from, |(address, _)| *address);
        // Slots of the last segment speak of segments that were made ahead.
        let count = (last - from) / segment_bytes + 1 + SEGMENTS_AHEAD;
        for first in (0..count).map(|number| from + number * segment_bytes) {
            let header = SegmentHeader {
                version: SEGMENT_VERSION,
                log_id: self.log.log_id,
                first_address: first,
                stream_bytes: segment_bytes,
                created_ns: self.log.by.written_ns,
            };
            make_segment(self.disk, self.dir, &header).map_err(DiskError::from)?;
            let file = self.disk.open(&segment_path(self.dir, first), Access::Update)?;
            let within = tail.records.iter().filter(|(address, _)| (first..first + segment_bytes).contains(address));
            for (address, bytes) in within {
                file.write_at(HEAD_BYTES as u64 + (address - first), bytes)?;
            }
            file.sync_data()?;
        }
        Ok(tail.last_sequence)
    }

    fn unpack(&self, entry: &ArchiveEntry) -> Result<(), RestoreError> {
        let first = entry.first_address;
        let file = ArchivedFile::open(self.disk.open(&archive_path(self.dir, first), Access::Read)?)?;
        let path = segment_path(self.dir, first);
        let new = path.with_extension("lotlog.new");
        self.copy(&file, &new)?;
        self.disk.rename(&new, &path)?;
        Ok(self.disk.sync_dir(self.dir)?)
    }
}

fn add_more(more: &mut dyn MoreRecords, chain: &mut Chain, tail: &mut Tail) -> Result<(), String> {
    let records = more.from(chain.log_id(), chain.end.sequence + 1)?;
    let walked = walk_records(&records, chain, &mut |header: &RecordHeader, bytes: &[u8]| {
        tail.records.push((header.address, bytes.to_vec()));
    });
    walked.map(|_| ()).map_err(|(sequence, what)| format!("the record of sequence {sequence} from elsewhere: {what}"))
}

/// The last sequence of `whole` groups before the first record that is not wanted.
fn until_unwanted(
    records: &[(u64, Vec<u8>)],
    whole: u64,
    behind: u64,
    wanted: &mut dyn FnMut(&RecordHeader, &[u8]) -> bool,
) -> u64 {
    let mut last = behind;
    for (_, bytes) in records {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { break };
        let header = RecordHeader::decode(head);
        if header.sequence > whole || !wanted(&header, &bytes[HEADER_BYTES..header.length as usize]) {
            break;
        }
        if !header.group().continues() {
            last = header.sequence;
        }
    }
    last
}

/// How many bytes of records lie below that address. Nothing is checked; they end where a header makes no sense.
fn before(records: &[u8], end: u64) -> usize {
    let mut at = 0;
    while let Some(head) = records[at..].first_chunk() {
        let header = RecordHeader::decode(head);
        let bytes = header.padded_bytes();
        if header.address >= end || bytes == 0 || at + bytes > records.len() {
            break;
        }
        at += bytes;
    }
    at
}

fn sequence_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |head| RecordHeader::decode(head).sequence)
}
