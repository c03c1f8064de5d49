//! What an operator says about retention. Every key says its meaning, default and bounds.

use std::path::PathBuf;
use std::sync::Arc;

use crate::archive::target::{ArchiveTarget, DirectoryTarget};
use crate::disk::Disk;
use crate::limits::HEAD_BYTES;

/// Retention of one log. The default archives nothing, deletes nothing, and compresses when space runs short.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Directory that sealed segments are shipped to, best on another disk; made when absent. Default none: then nothing is ever
    /// deleted.
    pub archive_dir: Option<PathBuf>,
    /// Another place to ship to, instead of a directory. Default none.
    pub archive_target: Option<Arc<dyn ArchiveTarget>>,
    /// How often the records behind the sealed segments are copied to the target, in milliseconds, 100 to 3,600,000; once more when the log is closed.
    /// Default none: a loss of this disk loses them.
    pub tail_ms: Option<u64>,
    /// Sealed segments that keep their segment file while space allows: what zero-copy readers and walks along back-links like best. 0 to
    /// 65,536, default 8. Only where there is an archive; without one all do.
    pub plain_segments: u32,
    /// Hours after which a shipped segment that no cursor needs is dropped here, 1 to 87,600. Default none: when space runs short.
    pub local_hours: Option<u32>,
    /// Bytes that the log's files may take here. Default none: what the file system has.
    pub budget_bytes: Option<u64>,
    /// The ladder is climbed while there is room for fewer segments than these: 0 (never) to 65,536, default 16.
    pub low_segments: u32,
    /// No segment is prepared, and so admission closes, unless there is room left for so many behind it: 0 to 65,535 and below
    /// `low_segments` where that is not 0, default 1.
    pub reserve_segments: u32,
    /// Level of zstd, 1 to 19. Default 3.
    pub level: i32,
    /// How often the keeper looks, in milliseconds, 1 to 60,000. Default 1,000. A sealed segment wakes it.
    pub check_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            archive_dir: None,
            archive_target: None,
            tail_ms: None,
            plain_segments: 8,
            local_hours: None,
            budget_bytes: None,
            low_segments: 16,
            reserve_segments: 1,
            level: 3,
            check_ms: 1_000,
        }
    }
}

impl Retention {
    /// The first key out of its bounds, in words.
    pub(crate) fn check(&self, segment_bytes: u64) -> Result<(), String> {
        let within = |key: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(format!("{key} = {value} is outside {min}..={max}")) }
        };
        within("plain_segments", self.plain_segments.into(), 0, 65_536)?;
        within("tail_ms", self.tail_ms.unwrap_or(100), 100, 3_600_000)?;
        within("local_hours", self.local_hours.unwrap_or(1).into(), 1, 87_600)?;
        within("low_segments", self.low_segments.into(), 0, 65_536)?;
        let below = if self.low_segments == 0 { 65_536 } else { self.low_segments };
        within("reserve_segments", self.reserve_segments.into(), 0, u64::from(below) - 1)?;
        within("level", self.level.max(0) as u64, 1, 19)?;
        within("check_ms", self.check_ms, 1, 60_000)?;
        // One being written, two ahead, and one being archived.
        let least = (u64::from(self.reserve_segments) + 4) * (HEAD_BYTES as u64 + segment_bytes);
        within("budget_bytes", self.budget_bytes.unwrap_or(u64::MAX), least, u64::MAX)
    }

    /// Where sealed segments go.
    pub(crate) fn target(&self, disk: &Arc<dyn Disk>) -> Option<Arc<dyn ArchiveTarget>> {
        if let Some(target) = &self.archive_target {
            return Some(Arc::clone(target));
        }
        let dir = self.archive_dir.as_ref()?;
        Some(Arc::new(DirectoryTarget::new(Arc::clone(disk), dir)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_out_of_bounds_is_named() {
        let base = Retention::default();
        assert_eq!(base.check(1 << 20), Ok(()));
        let cases: [(&str, Retention); 6] = [
            ("plain_segments", Retention { plain_segments: 65_537, ..base.clone() }),
            ("local_hours", Retention { local_hours: Some(0), ..base.clone() }),
            ("low_segments", Retention { low_segments: 65_537, ..base.clone() }),
            ("reserve_segments", Retention { reserve_segments: 16, ..base.clone() }),
            ("level", Retention { level: -3, ..base.clone() }),
            ("budget_bytes", Retention { budget_bytes: Some(5 << 20), ..base }),
        ];
        for (name, retention) in cases {
            assert!(retention.check(1 << 20).unwrap_err().contains(name), "{name}");
        }
    }
}
