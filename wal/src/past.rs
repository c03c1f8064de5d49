//! What a log knows of itself beyond its segment files: the manifest, the archives beside it, the cursors.

use std::path::Path;

use crate::archive::manifest::{Base, MANIFEST_NAME, Manifest};
use crate::archive::restored::RestoredMark;
use crate::chain::{Chain, End};
use crate::cursor::position::{CursorError, LogPosition};
use crate::cursor::slots::{CursorSlot, load_cursors};
use crate::disk::{Access, Disk, DiskResult};
use crate::error::OpenError;
use crate::limits::chunk_floor;
use crate::record::read_record;
use crate::scan::Stream;
use crate::segment::{archive_name, archive_path, parse_archive_name, parse_segment_name, segment_name, segment_path};

/// As found in the directory.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) manifest: Manifest,
    /// The log came back from an archive target.
    pub(crate) restored: Option<RestoredMark>,
    /// Archives beside the segments: first address and bytes.
    pub(crate) packed: Vec<(u64, u64)>,
    /// By name; `None` for a damaged one.
    pub(crate) cursors: Vec<(String, Option<CursorSlot>)>,
    /// Segment files count from here on.
    pub(crate) plain_from: u64,
    /// Files below the log's beginning, and segment files of archived segments in front of a gap: a removal that was cut short.
    pub(crate) stray: Vec<String>,
}

impl Past {
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, log_id: u64) -> Result<Self, OpenError> {
        let stored = Manifest::load(disk, dir, log_id)?;
        let names = disk.list(dir)?;
        let mut plain: Vec<u64> = names.iter().filter_map(|name| parse_segment_name(name)).collect();
        plain.sort_unstable();
        let mut archives: Vec<u64> = names.iter().filter_map(|name| parse_archive_name(name)).collect();
        archives.sort_unstable();
        let unknown = stored.is_none();
        let mut manifest = stored.unwrap_or_else(|| Manifest::new(log_id));
        if unknown && let Some(first) = plain.first() {
            // Its beginning was dropped by a release that kept no manifest: the first record is taken on trust.
            manifest.base = Base { address: *first, ..Base::default() };
        }
        let base = manifest.base.address;
        let mut past = Self {
            manifest,
            restored: RestoredMark::load(disk, dir, log_id)?,
            packed: Vec::new(),
            cursors: load_cursors(disk, dir)?,
            plain_from: base,
            stray: Vec::new(),
        };
        for first in archives {
            if first < base {
                past.stray.push(archive_name(first));
            } else if past.manifest.entry(first).is_some() {
                let bytes = disk.open(&archive_path(dir, first), Access::Read).and_then(|file| file.len());
                match bytes {
                    Ok(bytes) => past.packed.push((first, bytes)),
                    // Dropped while it was listed.
                    Err(e) if e.is_missing() => {}
                    Err(e) => return Err(e.into()),
                }
            } else if plain.binary_search(&first).is_ok() {
                // Made, and not entered: it is made again.
                past.stray.push(archive_name(first));
            } else {
                let what = format!("knows nothing of the archive of address {first:#x}, whose segment is gone");
                return Err(OpenError::Manifest { path: dir.join(MANIFEST_NAME), what });
            }
        }
        past.judge_plain(&plain);
        Ok(past)
    }

    /// Segment files are removed oldest first, but names may vanish in another order when power fails. In front of a gap that the archive
    /// fills, what is left of them counts for nothing.
    fn judge_plain(&mut self, plain: &[u64]) {
        for pair in plain.windows(2) {
            let archived = |first| self.manifest.entry(first);
            if let Some(entry) = archived(pair[0])
                && entry.next_address() < pair[1]
                && self.manifest.chain_before(pair[1]).is_some()
            {
                self.plain_from = self.plain_from.max(pair[1]);
            }
        }
        for first in plain.iter().filter(|first| **first < self.plain_from) {
            let gone_for_good = *first < self.manifest.base.address;
            if gone_for_good || self.packed.iter().any(|(packed, _)| packed == first) {
                self.stray.push(segment_name(*first));
            }
        }
    }

    /// Finishes a removal that was cut short, and takes away an archive that was not entered.
    pub(crate) fn sweep(&self, disk: &dyn Disk, dir: &Path) -> DiskResult<()> {
        for name in &self.stray {
            disk.unlink(&dir.join(name))?;
        }
        if self.stray.is_empty() { Ok(()) } else { disk.sync_dir(dir) }
    }

    /// The chain before the first segment file. Between that and what is archived nothing may be missing.
    pub(crate) fn chain_before(&self, dir: &Path, first_segment: Option<u64>) -> Result<Chain, OpenError> {
        let missing = |address| OpenError::MissingSegment { path: segment_path(dir, address), address };
        let end = self.manifest.end();
        let first = first_segment.ok_or_else(|| missing(end))?;
        self.manifest.chain_before(first).ok_or_else(|| missing(end))
    }

    /// The highest sequence that archives and what was dropped bear witness to. What was archived before a restore bears witness to what came back
    /// alone.
    pub(crate) fn watermark(&self) -> u64 {
        let Some(mark) = self.restored else { return self.manifest.watermark() };
        self.manifest.watermark_of(|entry| match entry.last_epoch > mark.epoch {
            true => entry.durable_sequence,
            false => entry.durable_sequence.min(mark.sequence),
        })
    }

    /// Every opening before the restore had this epoch at most; 0 where there was none.
    pub(crate) fn restored_epoch(&self) -> u32 {
        self.restored.map_or(0, |mark| mark.epoch)
    }

    /// Compares the cursors with the log that `stream` holds and that ends at `end`. Records in archives are not looked up here.
    pub(crate) fn check_cursors(&self, stream: &mut Stream<'_>, log_id: u64, end: End) -> Result<(), OpenError> {
        for (name, slot) in &self.cursors {
            let Some(slot) = slot else { continue };
            if let Some(log) = difference(slot, stream, log_id, end)? {
                let (name, cursor) = (name.clone(), slot.position);
                return Err(CursorError::NotInLog { name, cursor, log }.into());
            }
        }
        Ok(())
    }
}

/// What the log has in place of the cursor's record; `None` when it has that record, or when it does not say.
pub(crate) fn difference(
    slot: &CursorSlot,
    stream: &mut Stream<'_>,
    log_id: u64,
    end: End,
) -> DiskResult<Option<LogPosition>> {
    let position = slot.position;
    let last = LogPosition { log_id, epoch: end.epoch, sequence: end.sequence, checksum: end.checksum };
    if position.log_id != log_id || position.sequence > end.sequence {
        return Ok(Some(last));
    }
    if position.sequence == 0 || slot.address < stream.range().0 {
        return Ok(None);
    }
    let chunk = chunk_floor(slot.address);
    let record = match stream.chunk(chunk)? {
        Some(bytes) => read_record(bytes, (slot.address - chunk) as usize, log_id, slot.address).ok(),
        None => None,
    };
    // No record at all where one was durable is damage, and the scan has its say about that.
    Ok(record.map(|header| LogPosition::of(&header)).filter(|found| *found != position))
}
