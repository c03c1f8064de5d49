//! Settings of a log. Every key says its meaning, default and bounds.

use std::path::PathBuf;

use crate::limits::{
    CHUNK_BYTES, MAX_FLUSH_BYTES, MAX_FLUSHES_IN_FLIGHT, MAX_SEGMENT_BYTES, MAX_TAIL_BLOCKS, MIN_SEGMENT_BYTES,
    MIN_TAIL_BLOCKS,
};
use crate::retention::settings::Retention;
use crate::stats::ActivityHook;

/// What the log thread does while nothing is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitStrategy {
    /// A short spin, then sleeps of `idle_sleep_us`. For machines that do other work too.
    #[default]
    Adaptive,
    /// Leaves the core only while a flush is under way. Only for a core of its own.
    Spin,
}

/// How several writes reach the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoMode {
    /// io_uring where the system grants it, else plain calls; the open report says which.
    #[default]
    Auto,
    /// As `Auto`: io_uring is wished for, its absence is reported, never fatal.
    Uring,
    /// `pwrite` only.
    Plain,
}

/// Whether segments are written past the page cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DirectMode {
    /// `O_DIRECT` where the file system takes it; the open report says when it does not.
    #[default]
    Auto,
    /// Through the page cache.
    Never,
}

/// Settings of one log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Directory of the log; made when absent. One writer owns it.
    pub dir: PathBuf,
    /// Where the mapped tail lives. Default: `/dev/shm` when it is tmpfs with room, else beside the log (reported).
    pub tail_dir: Option<PathBuf>,
    /// Stream bytes of a segment: a multiple of 64 KiB from 128 KiB to 16 GiB. Default 64 MiB. Fixed when the log is made.
    pub segment_bytes: u64,
    /// Blocks of 64 KiB in the tail, 4 to 65,536. Default 256 (16 MiB): what the disk may lag behind before appends are refused.
    pub tail_blocks: u32,
    /// Core the log thread is pinned to. Default none.
    pub log_core: Option<usize>,
    /// What the log thread does when idle. Default adaptive.
    pub wait: WaitStrategy,
    /// Most stream bytes of one flush, 64 KiB to 64 MiB, rounded down to chunks. Default 1 MiB.
    pub max_flush_bytes: usize,
    /// How long the first waiting record may wait for company, in microseconds, 0 to 1,000,000. Default 0: one record goes at once, and
    /// the next flush takes all that came meanwhile.
    pub max_flush_delay_us: u64,
    /// Flushes that may be under way at a time, 1 to 3. Default 2: while one waits for its fdatasync the next is written. Each has a thread
    /// and `max_flush_bytes` of memory; with 1 a flush begins when the one before it is durable.
    pub flushes_in_flight: usize,
    /// Sleep between looks when idle, in microseconds, 1 to 1,000,000; up to eight times that when idle for long, a quarter of it while flushes are
    /// under way. Default 50.
    pub idle_sleep_us: u64,
    /// With nothing to write, the watermark follows within so many milliseconds, 1 to 60,000. Default 50.
    pub idle_watermark_ms: u64,
    /// How writes reach the disk. Default auto.
    pub io: IoMode,
    /// Past the page cache or not. Default auto.
    pub direct: DirectMode,
    /// What stays, in which form, and what goes first when space runs short. Default: nothing is archived, nothing deleted.
    pub retention: Retention,
    /// Prefix of the thread names. Default "lotbook".
    pub name: &'static str,
    /// Told what the log thread does. Default none.
    pub on_activity: Option<ActivityHook>,
}

impl LogConfig {
    /// Defaults for a log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            tail_dir: None,
            segment_bytes: 64 << 20,
            tail_blocks: 256,
            log_core: None,
            wait: WaitStrategy::default(),
            max_flush_bytes: 1 << 20,
            max_flush_delay_us: 0,
            flushes_in_flight: 2,
            idle_sleep_us: 50,
            idle_watermark_ms: 50,
            io: IoMode::default(),
            direct: DirectMode::default(),
            retention: Retention::default(),
            name: "lotbook",
            on_activity: None,
        }
    }

    /// The first key out of its bounds, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let chunk = CHUNK_BYTES as u64;
        let within = |key: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(format!("{key} = {value} is outside {min}..={max}")) }
        };
        within("segment_bytes", self.segment_bytes, MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)?;
        if !self.segment_bytes.is_multiple_of(chunk) {
            return Err(format!("segment_bytes = {} is no multiple of {chunk}", self.segment_bytes));
        }
        within("tail_blocks", self.tail_blocks.into(), MIN_TAIL_BLOCKS.into(), MAX_TAIL_BLOCKS.into())?;
        within("max_flush_bytes", self.max_flush_bytes as u64, chunk, MAX_FLUSH_BYTES as u64)?;
        within("max_flush_delay_us", self.max_flush_delay_us, 0, 1_000_000)?;
        within("flushes_in_flight", self.flushes_in_flight as u64, 1, MAX_FLUSHES_IN_FLIGHT as u64)?;
        within("idle_sleep_us", self.idle_sleep_us, 1, 1_000_000)?;
        within("idle_watermark_ms", self.idle_watermark_ms, 1, 60_000)?;
        self.retention.check(self.segment_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_out_of_bounds_is_named() {
        let base = LogConfig::new("x");
        assert_eq!(base.check(), Ok(()));
        let cases: [(&str, LogConfig); 7] = [
            ("segment_bytes", LogConfig { segment_bytes: 65_536, ..base.clone() }),
            ("no multiple", LogConfig { segment_bytes: 200_000, ..base.clone() }),
            ("tail_blocks", LogConfig { tail_blocks: 3, ..base.clone() }),
            ("max_flush_bytes", LogConfig { max_flush_bytes: 1, ..base.clone() }),
            ("flushes_in_flight", LogConfig { flushes_in_flight: 0, ..base.clone() }),
            ("flushes_in_flight", LogConfig { flushes_in_flight: 4, ..base.clone() }),
            ("idle_sleep_us", LogConfig { idle_sleep_us: 0, ..base }),
        ];
        for (name, config) in cases {
            assert!(config.check().unwrap_err().contains(name), "{name}");
        }
    }
}
