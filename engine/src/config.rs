//! Configuration of a host. The gateway reads it from a file; tests build it directly.

use std::path::PathBuf;
use std::sync::Arc;

use lotbook_core::Limits;
use lotbook_core::gate::GateTerms;
use lotbook_wal::{Disk, LogConfig, RealDisk, Retention};

use crate::clock::Clock;
use crate::coldpath::ColdConfig;
use crate::fault::Fault;
use crate::wait::WaitKind;

/// Roles of the engine's threads, for names and for test hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The shard: owner of the book.
    Shard,
    /// The follower: read model, checkpoints.
    Follower,
    /// A worker of the coldpath.
    Coldpath,
    /// Retention: moves cursors, asks the archive.
    Retention,
}

/// Makes the disk that a log is kept on.
pub type MakeDisk = fn(&LogConfig) -> Arc<dyn Disk>;

/// How a host runs.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Data directory: `log/`, `side/`, `checkpoints/`, `phases`.
    pub data_dir: PathBuf,
    /// Directory of the logs' mapped tails; `None`: shared memory where there is any.
    pub tail_dir: Option<PathBuf>,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Blocks of the mapped tail, 64 KiB each.
    pub tail_blocks: u32,
    /// Core of the shard thread; `None`: the last one.
    pub shard_core: Option<usize>,
    /// Core of the log thread; `None`: not pinned.
    pub log_core: Option<usize>,
    /// Flushes of the log that may be under way at a time, 1 to 3; the side log has one.
    pub flushes_in_flight: usize,
    /// How the shard waits for its rings.
    pub wait: WaitKind,
    /// Whether the books and the window of ids lie on huge pages, touched at the start ([`crate::memory`]).
    pub huge_pages: bool,
    /// Sizes of the book.
    pub limits: Limits,
    /// What new trades and amendments must keep beside the rules of the book.
    pub gate: GateTerms,
    /// Trade ids in the recent window.
    pub trade_ids_max: usize,
    /// Records between two checkpoints; 0: only at a clean stop.
    pub checkpoint_records: u64,
    /// What each log keeps here, where sealed segments go, and what is dropped when space runs short.
    pub retention: Retention,
    /// Whether the coldpath runs from the start. `replay` lets it begin when the input has ended.
    pub coldpath: bool,
    /// How the coldpath runs.
    pub cold: ColdConfig,
    /// The disk of all logs; `None`: the real one.
    pub log_disk: Option<Arc<dyn Disk>>,
    /// Makes the disk of each log in place of the real one. For tests that stop at a call.
    pub disk: Option<MakeDisk>,
    /// The disk that checkpoints are kept on.
    pub checkpoint_disk: Arc<dyn Disk>,
    /// Time and waiting: the system's, or a simulated world's.
    pub clock: Clock,
    /// Called first on each engine thread. For tests that count what a thread does.
    pub on_thread: Option<fn(Role)>,
    /// A planted fault, for the self-test of verdicts. Never set in production.
    pub fault: Option<Fault>,
}

impl EngineConfig {
    /// Defaults for a data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            tail_dir: None,
            segment_bytes: 64 << 20,
            tail_blocks: 256,
            shard_core: None,
            log_core: None,
            flushes_in_flight: 2,
            wait: WaitKind::Auto,
            huge_pages: false,
            limits: Limits::HOST,
            gate: GateTerms::DEFAULT,
            trade_ids_max: 1 << 22,
            checkpoint_records: 2_000_000,
            retention: Retention::default(),
            coldpath: true,
            cold: ColdConfig::default(),
            log_disk: None,
            disk: None,
            checkpoint_disk: Arc::new(RealDisk::plain()),
            clock: Clock::default(),
            on_thread: None,
            fault: None,
        }
    }
}
