//! Shipping: what one opening of a log puts into the archive target, and the claim that keeps two hosts with one log apart there.

use std::io;
use std::path::Path;

use crate::archive::entry::ArchiveEntry;
use crate::archive::file::ArchivedFile;
use crate::archive::manifest::Manifest;
use crate::archive::pack::check_packed;
use crate::archive::shipped::{Shipped, Shipper};
use crate::archive::tail_copy::TailCopy;
use crate::archive::target::{ArchiveTarget, Version, shipped_name, tail_copy_name};
use crate::disk::{DiskError, DiskResult};
use crate::error::ReadError;
use crate::limits::TAIL_COPY_BYTES_MAX;
use crate::log::Log;
use crate::meta::Meta;
use crate::reader::{From, Limit};

/// What this opening knows of the target.
#[derive(Debug, Default)]
pub(crate) struct Shipping {
    /// What it wrote last of what is there, and the version of that. `None`: nothing yet.
    claimed: Option<(Shipped, Version)>,
    /// The copy of the tail that is there, and the last record in it; `None`: not looked.
    tail: Option<(Option<Version>, u64)>,
}

/// What lies in the place of a segment that is to be shipped.
enum There {
    Nothing,
    /// It does not check.
    Damaged,
    /// A whole archive of the same bytes, made at another time.
    Alike,
    /// Another history.
    Other(ArchiveEntry),
}

fn refuse(target: &dyn ArchiveTarget, name: &str, kind: io::ErrorKind, reason: String) -> DiskError {
    let path = Path::new(&target.describe()).join(name);
    DiskError::new("ship", &path, 0, io::Error::new(kind, reason))
}

impl Shipping {
    /// This opening has the log's place in the target.
    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.is_some()
    }

    /// Takes the log's place in the target over for this opening, where nobody has it who must keep it. Nothing is put there before that.
    pub(crate) fn claim(&mut self, log: &Log, target: &dyn ArchiveTarget) -> DiskResult<()> {
        if self.claimed.is_some() {
            return Ok(());
        }
        let name = shipped_name(log.log_id);
        let host = log.disk.host_name();
        let by = Shipper {
            opening: log.disk.random_id(),
            epoch: log.epoch,
            written_ns: log.disk.wall_clock_ns(),
            place: format!("{host}:{}", log.disk.real_path(&log.dir).display()),
        };
        let own = log.segments.manifest().clone();
        let meta = Meta { log_id: log.log_id, segment_bytes: log.segment_bytes, created_ns: log.created_ns };
        let empty = Manifest { log_id: log.log_id, base: own.base, entries: Vec::new() };
        let (manifest, over) = match target.load(&name)? {
            None => (empty, None),
            Some((bytes, version)) => {
                let refused = |reason| refuse(target, &name, io::ErrorKind::InvalidData, reason);
                let found = Shipped::decode(&bytes).map_err(refused)?;
                if found.by.epoch >= log.epoch {
                    let reason = format!("{} ships there; this is {by}, and gives way", found.by);
                    return Err(refuse(target, &name, io::ErrorKind::AlreadyExists, reason));
                }
                check_common(&own, &found).map_err(|e| refuse(target, &name, io::ErrorKind::AlreadyExists, e))?;
                (found.manifest, Some(version))
            }
        };
        let opening = by.opening;
        let shipped = Shipped { by, meta, manifest };
        let version = target.store(&name, &shipped.encode(), over.as_ref())?;
        self.take_tail(log, target, opening)?;
        self.claimed = Some((shipped, version));
        Ok(())
    }

    /// Gives the copy of the tail that is there another version, so that whoever wrote it cannot replace it any more. A version may be nothing but
    /// a digest: so the copy itself says whose it is.
    fn take_tail(&mut self, log: &Log, target: &dyn ArchiveTarget, opening: u64) -> DiskResult<()> {
        let name = tail_copy_name(log.log_id);
        let Some((bytes, version)) = target.load(&name)? else { return Ok(()) };
        let version = match TailCopy::decode(&bytes) {
            Ok(copy) => {
                let bytes = encoded(&TailCopy { opening, ..copy }, log, &name)?;
                target.store(&name, &bytes, Some(&version))?
            }
            // Damaged: the next copy replaces it.
            Err(_) => version,
        };
        self.tail = Some((Some(version), 0));
        Ok(())
    }

    /// True when the segment was put there and checked by an opening before, and the place keeps checksums itself.
    pub(crate) fn vouches(&self, target: &dyn ArchiveTarget, entry: &ArchiveEntry) -> bool {
        let listed = |shipped: &Shipped| shipped.manifest.entry(entry.first_address) == Some(entry);
        target.keeps_checksums() && self.claimed.as_ref().is_some_and(|(shipped, _)| listed(shipped))
    }

    /// Makes sure that nothing has the name of a segment that is to be put there.
    pub(crate) fn make_way(
        target: &dyn ArchiveTarget,
        name: &str,
        ours: &ArchiveEntry,
        stop: &dyn Fn() -> bool,
    ) -> DiskResult<()> {
        match look(target, name, ours, stop)? {
            There::Nothing => Ok(()),
            There::Damaged | There::Alike => target.set_aside(name),
            There::Other(entry) => {
                let reason = format!(
                    "another host's segment lies there: sequences {} to {} of epoch {}, CRC32C {:08x}; ours are {} to {} of epoch \
                     {}, CRC32C {:08x}",
                    entry.first_sequence,
                    entry.last_sequence,
                    entry.last_epoch,
                    entry.file_checksum,
                    ours.first_sequence,
                    ours.last_sequence,
                    ours.last_epoch,
                    ours.file_checksum
                );
                Err(refuse(target, name, io::ErrorKind::AlreadyExists, reason))
            }
        }
    }

    /// Says in the target which segments are there by now: all of them from the first on that has no gap behind it.
    pub(crate) fn tell(&mut self, log: &Log, target: &dyn ArchiveTarget) -> DiskResult<()> {
        let Some((shipped, version)) = &mut self.claimed else { return Ok(()) };
        let mut next = shipped.clone();
        {
            let entries = log.segments.entries();
            let there = |first| entries.get(&first).filter(|e| e.shipped || !e.is_local()).and_then(|e| e.archived);
            while let Some(entry) = there(next.manifest.end()) {
                next.manifest.entries.push(entry);
            }
        }
        if next.manifest == shipped.manifest {
            return Ok(());
        }
        next.by.written_ns = log.disk.wall_clock_ns();
        *version = target.store(&shipped_name(log.log_id), &next.encode(), Some(version))?;
        *shipped = next;
        Ok(())
    }

    /// True when there are durable records behind what is shipped and copied.
    pub(crate) fn has_tail(&self, log: &Log) -> bool {
        let copied = self.tail.as_ref().map_or(0, |(_, sequence)| *sequence);
        log.durable_sequence() > copied
    }

    /// Copies the durable records behind what is shipped.
    pub(crate) fn copy_tail(&mut self, log: &std::sync::Arc<Log>, target: &dyn ArchiveTarget) -> DiskResult<()> {
        self.claim(log, target)?;
        let Some((shipped, _)) = &self.claimed else { return Ok(()) };
        let name = tail_copy_name(log.log_id);
        let from = shipped.manifest.end();
        let behind = log.durable_address().saturating_sub(from);
        if behind > TAIL_COPY_BYTES_MAX {
            let reason = format!("{behind} bytes are in no shipped segment, more than a copy of a tail holds");
            return Err(refuse(target, &name, io::ErrorKind::Other, reason));
        }
        let durable_sequence = log.durable_sequence();
        // None where there was none at the claim.
        let over = self.tail.as_ref().and_then(|(version, _)| version.clone());
        let mut copy = TailCopy {
            log_id: log.log_id,
            first_address: from,
            last_sequence: shipped
                .manifest
                .entries
                .last()
                .map_or(shipped.manifest.base.end.sequence, |e| e.last_sequence),
            durable_sequence,
            written_ns: log.disk.wall_clock_ns(),
            opening: shipped.by.opening,
            records: Vec::with_capacity(behind as usize),
        };
        if behind > 0 {
            let failed = |error: ReadError| match error {
                ReadError::Disk(error) => error,
                other => refuse(target, &name, io::ErrorKind::Other, other.to_string()),
            };
            let mut reader = log.reader(From::Address(from)).map_err(failed)?;
            while copy.last_sequence < durable_sequence
                && let Some(record) = reader.next(Limit::Durable).map_err(failed)?
            {
                copy.push(&record);
            }
        }
        let bytes = encoded(&copy, log, &name)?;
        let version = target.store(&name, &bytes, over.as_ref())?;
        self.tail = Some((Some(version), copy.last_sequence));
        Ok(())
    }
}

fn encoded(copy: &TailCopy, log: &Log, name: &str) -> DiskResult<Vec<u8>> {
    copy.encode(log.retention.level).map_err(|e| DiskError::new("zstd", Path::new(name), 0, e))
}

/// What is there must be what this log has as well: another end is another host's history.
fn check_common(own: &Manifest, found: &Shipped) -> Result<(), String> {
    for entry in found.manifest.entries.iter().filter(|e| e.first_address >= own.base.address) {
        if own.entry(entry.first_address) != Some(entry) {
            return Err(format!(
                "the segment of address {:#x} there, sequences {} to {}, is not this log's: {} put it there",
                entry.first_address, entry.first_sequence, entry.last_sequence, found.by
            ));
        }
    }
    Ok(())
}

fn look(target: &dyn ArchiveTarget, name: &str, ours: &ArchiveEntry, stop: &dyn Fn() -> bool) -> DiskResult<There> {
    let invalid = |e: &DiskError| e.source.kind() == io::ErrorKind::InvalidData;
    let packed = match target.open(name) {
        Ok(packed) => packed,
        Err(e) if e.is_missing() => return Ok(There::Nothing),
        Err(e) => return Err(e),
    };
    let file = match ArchivedFile::open(packed) {
        Ok(file) => file,
        Err(e) if invalid(&e) => return Ok(There::Damaged),
        Err(e) => return Err(e),
    };
    let entry = *file.entry();
    let place = (entry.log_id, entry.first_address) == (ours.log_id, ours.first_address);
    if entry == *ours || !place || check_packed(&file, stop).is_err() {
        return Ok(There::Damaged);
    }
    Ok(if entry.file_checksum == ours.file_checksum { There::Alike } else { There::Other(entry) })
}
