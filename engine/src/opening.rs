//! What a start opens: directories and logs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_wal::{Activity, ActivityHook, LogConfig, Opened};

use crate::config::EngineConfig;
use crate::error::StartError;
use crate::phase::{Phase, Phases};

/// The side log's tail is copied at least so often, where tails are copied at all.
const SIDE_TAIL_MS_MAX: u64 = 1_000;

/// An error of the system, as a start tells it.
pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_path_buf();
    move |source| StartError::Io { what, path, source }
}

/// Directories of a host.
pub(crate) struct Dirs {
    pub log: PathBuf,
    pub side: PathBuf,
    pub checkpoints: PathBuf,
}

impl Dirs {
    /// Where they are.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self { log: data_dir.join("log"), side: data_dir.join("side"), checkpoints: data_dir.join("checkpoints") }
    }

    /// Makes them where they are missing.
    pub(crate) fn make(data_dir: &Path) -> Result<Self, StartError> {
        let dirs = Self::of(data_dir);
        for dir in [data_dir, &dirs.log, &dirs.side, &dirs.checkpoints] {
            fs::create_dir_all(dir).map_err(io_error("creating", dir))?;
        }
        for dir in data_dir.parent().into_iter().chain([data_dir]) {
            // A parent that may not be opened is not ours to sync.
            if let Ok(opened) = File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }) {
                let _ = opened.sync_all();
            }
        }
        Ok(dirs)
    }
}

/// What a log of the host is opened with. The side log has no phases.
pub(crate) fn log_config(
    config: &EngineConfig,
    dir: &Path,
    name: &'static str,
    tail_blocks: u32,
    phases: Option<&Phases>,
) -> LogConfig {
    let mut wanted = LogConfig::new(dir);
    wanted.tail_dir.clone_from(&config.tail_dir);
    wanted.segment_bytes = config.segment_bytes;
    wanted.tail_blocks = tail_blocks;
    wanted.retention = config.retention.clone();
    wanted.log_core = config.log_core;
    wanted.name = name;
    if phases.is_none() {
        // The side log: nobody but the coldpath waits for it.
        wanted.idle_sleep_us = 200;
        // What names its bodies is copied later than they are.
        wanted.retention.tail_ms = wanted.retention.tail_ms.map(|ms| ms.min(SIDE_TAIL_MS_MAX));
    }
    // Nobody waits for the side log but the coldpath, one outcome at a time.
    wanted.flushes_in_flight = if phases.is_some() { config.flushes_in_flight } else { 1 };
    wanted.on_activity = phases.cloned().map(|phases| {
        ActivityHook(Arc::new(move |activity| {
            phases.set(Phase::Sync, activity == Activity::Sync);
            phases.set(Phase::Roll, activity == Activity::Roll);
        }))
    });
    wanted
}

/// Opens a log of the host, with its threads.
pub(crate) fn open_log(config: &EngineConfig, wanted: LogConfig) -> Result<Opened, StartError> {
    let dir = wanted.dir.clone();
    let opened = match config.disk.map(|make| make(&wanted)).or_else(|| config.log_disk.clone()) {
        None => lotbook_wal::open(wanted),
        Some(disk) => lotbook_wal::open_on(wanted, disk),
    };
    opened.map_err(|source| StartError::Log { dir, source })
}
