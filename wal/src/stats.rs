//! Counters of the log thread: sums and buckets, divided on reading.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What the log thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// Nothing to write.
    Idle = 0,
    /// Writing blocks.
    Write = 1,
    /// In fdatasync.
    Sync = 2,
    /// Going over to the next segment.
    Roll = 3,
}

impl Activity {
    const fn from_u8(value: u8) -> Self {
        match value {
            1 => Activity::Write,
            2 => Activity::Sync,
            3 => Activity::Roll,
            _ => Activity::Idle,
        }
    }
}

/// Told what the log thread does at each change, on the log thread: for a host that shows it elsewhere. Must not block.
#[derive(Clone)]
pub struct ActivityHook(pub Arc<dyn Fn(Activity) + Send + Sync>);

impl std::fmt::Debug for ActivityHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ActivityHook")
    }
}

/// Buckets of flush latency: bucket `i` counts flushes of at least `2^i` and below `2^(i+1)` nanoseconds.
pub const LATENCY_BUCKETS: usize = 40;

/// The live counters.
#[derive(Debug)]
pub(crate) struct StatsCells {
    pub(crate) activity: AtomicU8,
    pub(crate) hook: Option<ActivityHook>,
    pub(crate) flushes: AtomicU64,
    pub(crate) flushed_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) watermark_flushes: AtomicU64,
    pub(crate) flush_ns_sum: AtomicU64,
    pub(crate) flush_ns_max: AtomicU64,
    pub(crate) segments_prepared: AtomicU64,
    pub(crate) rolls: AtomicU64,
    pub(crate) latency: [AtomicU64; LATENCY_BUCKETS],
}

impl Default for StatsCells {
    fn default() -> Self {
        Self {
            activity: AtomicU8::new(0),
            hook: None,
            flushes: AtomicU64::new(0),
            flushed_bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            watermark_flushes: AtomicU64::new(0),
            flush_ns_sum: AtomicU64::new(0),
            flush_ns_max: AtomicU64::new(0),
            segments_prepared: AtomicU64::new(0),
            rolls: AtomicU64::new(0),
            latency: [const { AtomicU64::new(0) }; LATENCY_BUCKETS],
        }
    }
}

/// Adds to a counter that one thread writes: no locked instruction.
pub(crate) fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl StatsCells {
    pub(crate) fn new(hook: Option<ActivityHook>) -> Self {
        Self { hook, ..Self::default() }
    }

    pub(crate) fn enter(&self, activity: Activity) {
        self.activity.store(activity as u8, Ordering::Relaxed);
        if let Some(hook) = &self.hook {
            (hook.0)(activity);
        }
    }

    pub(crate) fn flushed(&self, stream_bytes: u64, written_bytes: u64, took_ns: u64) {
        bump(&self.flushes, 1);
        bump(&self.flushed_bytes, stream_bytes);
        bump(&self.written_bytes, written_bytes);
        bump(&self.flush_ns_sum, took_ns);
        self.flush_ns_max.store(self.flush_ns_max.load(Ordering::Relaxed).max(took_ns), Ordering::Relaxed);
        let bucket = (63 - took_ns.max(1).leading_zeros() as usize).min(LATENCY_BUCKETS - 1);
        bump(&self.latency[bucket], 1);
    }

    pub(crate) fn snapshot(&self) -> LogStats {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        LogStats {
            activity: Activity::from_u8(self.activity.load(Ordering::Relaxed)),
            flushes: get(&self.flushes),
            flushed_bytes: get(&self.flushed_bytes),
            written_bytes: get(&self.written_bytes),
            watermark_flushes: get(&self.watermark_flushes),
            flush_ns_sum: get(&self.flush_ns_sum),
            flush_ns_max: get(&self.flush_ns_max),
            segments_prepared: get(&self.segments_prepared),
            rolls: get(&self.rolls),
            flush_latency_buckets: std::array::from_fn(|i| get(&self.latency[i])),
            ..LogStats::default()
        }
    }
}

/// A snapshot of the counters since the log was opened.
#[derive(Clone, Debug)]
pub struct LogStats {
    /// What the log thread is doing right now.
    pub activity: Activity,
    /// Records published in this epoch, the log's own included.
    pub records: u64,
    /// Stream bytes published in this epoch.
    pub published_bytes: u64,
    /// Stream bytes published and not yet durable.
    pub pending_bytes: u64,
    /// Segment files of the log.
    pub segments: u64,
    /// Flushes that made records durable.
    pub flushes: u64,
    /// Stream bytes made durable.
    pub flushed_bytes: u64,
    /// Bytes handed to the disk, tail slots included.
    pub written_bytes: u64,
    /// Flushes of the watermark alone.
    pub watermark_flushes: u64,
    /// Sum of the time from the start of a flush to durable.
    pub flush_ns_sum: u64,
    /// The longest flush.
    pub flush_ns_max: u64,
    /// Segments prepared ahead.
    pub segments_prepared: u64,
    /// Segments gone over to.
    pub rolls: u64,
    /// Flushes by duration: bucket `i` holds those of at least `2^i` and below `2^(i+1)` nanoseconds.
    pub flush_latency_buckets: [u64; LATENCY_BUCKETS],
}

impl Default for LogStats {
    fn default() -> Self {
        Self {
            activity: Activity::Idle,
            records: 0,
            published_bytes: 0,
            pending_bytes: 0,
            segments: 0,
            flushes: 0,
            flushed_bytes: 0,
            written_bytes: 0,
            watermark_flushes: 0,
            flush_ns_sum: 0,
            flush_ns_max: 0,
            segments_prepared: 0,
            rolls: 0,
            flush_latency_buckets: [0; LATENCY_BUCKETS],
        }
    }
}
