//! Archived segments that nothing within reach has: what an operator must bring back before it is wanted.

use std::collections::BTreeSet;

use crate::archive::entry::ArchiveEntry;
use crate::archive::target::log_folder;
use crate::disk::DiskResult;
use crate::log::Log;
use crate::read_only::ReadOnlyLog;
use crate::segment::parse_archive_name;

impl Log {
    /// Archived segments that are neither here nor in the target, oldest first; without a target all that are not here. The target is
    /// asked for its names once, and none of its files is opened. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The target cannot be asked: then nothing is known of what only it has.
    pub fn missing_archives(&self) -> DiskResult<Vec<ArchiveEntry>> {
        let remote: Vec<ArchiveEntry> = {
            let entries = self.segments.entries();
            entries.values().filter(|e| !e.is_local()).filter_map(|e| e.archived).collect()
        };
        let Some(target) = self.segments.target().filter(|_| !remote.is_empty()) else { return Ok(remote) };
        let names = target.list(&log_folder(self.log_id))?;
        let there: BTreeSet<u64> = names.iter().filter_map(|name| parse_archive_name(name)).collect();
        Ok(remote.into_iter().filter(|entry| !there.contains(&entry.first_address)).collect())
    }

    /// Where sealed segments are shipped to, in words; `None` where nothing is.
    pub fn archive_place(&self) -> Option<String> {
        self.segments.target().map(|target| target.describe())
    }
}

impl ReadOnlyLog {
    /// As [`Log::missing_archives`], of a log that is read from outside.
    ///
    /// # Errors
    /// The target cannot be asked.
    pub fn missing_archives(&self) -> DiskResult<Vec<ArchiveEntry>> {
        let plain_from = self.segments.first().map_or(u64::MAX, |s| s.first);
        let is_here = |e: &ArchiveEntry| {
            e.first_address >= plain_from || self.past.packed.iter().any(|(first, _)| *first == e.first_address)
        };
        let remote: Vec<ArchiveEntry> = self.past.manifest.entries.iter().filter(|e| !is_here(e)).copied().collect();
        let Some(target) = self.target.as_ref().filter(|_| !remote.is_empty()) else { return Ok(remote) };
        let names = target.list(&log_folder(self.meta.log_id))?;
        let there: BTreeSet<u64> = names.iter().filter_map(|name| parse_archive_name(name)).collect();
        Ok(remote.into_iter().filter(|entry| !there.contains(&entry.first_address)).collect())
    }
}
