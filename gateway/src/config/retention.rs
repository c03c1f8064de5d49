//! `[retention]`: what the logs keep on this disk, where sealed segments go, and what gives way when space runs short.

use std::path::PathBuf;

use lotbook_wal::HEAD_BYTES;

use super::Config;

/// The section. Zero is "no limit" where a key says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Directory that sealed segments are shipped to; `None`: nothing is archived elsewhere, and nothing deleted.
    pub archive_dir: Option<PathBuf>,
    /// How often what is not sealed is copied there; 0: never.
    pub tail_copy_ms: u64,
    /// Newest sealed segments that keep their segment file.
    pub plain_segments: u32,
    /// Hours that a shipped segment stays here; 0: until space runs short.
    pub local_hours: u32,
    /// What the main log and the side log may each take here; 0: what the file system has.
    pub budget_mib: u64,
    /// Space is short below room for so many segments.
    pub low_segments: u32,
    /// Admission closes below room for so many segments.
    pub reserve_segments: u32,
    /// Level of compression.
    pub zstd_level: u32,
    /// Time between two looks.
    pub check_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        let theirs = lotbook_wal::Retention::default();
        Self {
            archive_dir: theirs.archive_dir,
            tail_copy_ms: 10_000,
            plain_segments: theirs.plain_segments,
            local_hours: theirs.local_hours.unwrap_or(0),
            budget_mib: theirs.budget_bytes.unwrap_or(0) >> 20,
            low_segments: theirs.low_segments,
            reserve_segments: theirs.reserve_segments,
            zstd_level: theirs.level.unsigned_abs(),
            check_ms: theirs.check_ms,
        }
    }
}

impl Retention {
    /// How often tails are copied where there is a place for them.
    #[must_use]
    pub fn tail_ms(&self) -> Option<u64> {
        (self.tail_copy_ms > 0).then_some(self.tail_copy_ms)
    }

    /// In the log's words.
    #[must_use]
    pub fn of_log(&self) -> lotbook_wal::Retention {
        lotbook_wal::Retention {
            archive_dir: self.archive_dir.clone(),
            tail_ms: self.archive_dir.as_ref().and(self.tail_ms()),
            plain_segments: self.plain_segments,
            local_hours: (self.local_hours > 0).then_some(self.local_hours),
            budget_bytes: (self.budget_mib > 0).then_some(self.budget_mib << 20),
            low_segments: self.low_segments,
            reserve_segments: self.reserve_segments,
            level: self.zstd_level.cast_signed(),
            check_ms: self.check_ms,
            ..lotbook_wal::Retention::default()
        }
    }

    /// The key that does not fit the others, and what is allowed.
    pub(super) fn misfit(&self, config: &Config) -> Option<(&'static str, String, String)> {
        if self.low_segments > 0 && self.reserve_segments >= self.low_segments {
            let allowed = format!("must be below retention.low_segments, which is {}", self.low_segments);
            return Some(("reserve_segments", self.reserve_segments.to_string(), allowed));
        }
        let segment_mib = config.data.segment_mib;
        if config.objects.url.is_some()
            && let Some(dir) = &self.archive_dir
        {
            let allowed = "must be \"off\" where archive.objects.url is set: segments go to one place".to_owned();
            return Some(("archive_dir", dir.display().to_string(), allowed));
        }
        // One being written, two ahead, one being archived, and the reserve.
        let segment_bytes = (u64::from(segment_mib) << 20) + HEAD_BYTES as u64;
        let least_mib = (segment_bytes * (u64::from(self.reserve_segments) + 4)).div_ceil(1 << 20);
        if (1..least_mib).contains(&self.budget_mib) {
            let allowed = format!("must be 0 or at least {least_mib}: four segments and the reserve");
            return Some(("budget_mib", self.budget_mib.to_string(), allowed));
        }
        None
    }
}
