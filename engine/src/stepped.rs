//! A host without threads: whoever opened it gives each of its actors one step at a time.
//!
//! Compiled under the feature `sim` alone. The actors are the product's own, put together as [`Host`] does it; only the loops around
//! them, the threads and the disk are not. What waits in the middle of a step does so by the clock ([`crate::clock::Simulated`]): a
//! world that wants others to go on meanwhile runs such an actor on a stack of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::TryRecvError;

use lotbook_core::Book;
use lotbook_core::legs::ALL_PARTITIONS;
use lotbook_wal::sim::{SteppedFlusher, SteppedKeeper, SteppedPreparer, open_stepped};
use lotbook_wal::{Appender, Disk, LogConfig, OpenReport, Opened};

use crate::checkpoint::State;
use crate::coldpath::Paper;
use crate::coldpath::desk::Asker;
use crate::coldpath::worker::{Common, IDLE, Worker};
use crate::config::EngineConfig;
use crate::error::{HostError, StartError};
use crate::follower::Follower;
use crate::host::{Actors, Host};
use crate::opening::{Dirs, log_config};
use crate::phase::Phases;
use crate::recovery;
use crate::retention::reach;
use crate::retention::watch::Watch;
use crate::shard::{Shard, Stop};

/// Blocks of the side log's mapped tail: a world has many lives.
const SIDE_TAIL_BLOCKS: u32 = 8;

/// The threads of one log.
#[derive(Debug)]
pub struct LogThreads {
    /// What opening found.
    pub report: OpenReport,
    /// The log thread.
    pub flusher: SteppedFlusher,
    /// The preparer.
    pub preparer: SteppedPreparer,
    /// The keeper.
    pub keeper: SteppedKeeper,
}

/// A host and all its actors. See the module's text.
#[derive(Debug)]
pub struct SteppedHost {
    /// Doors, logs, read model, queue: as of every host. Its own threads are not there.
    pub host: Host,
    /// The hot thread.
    pub shard: SteppedShard,
    /// The follower.
    pub follower: SteppedFollower,
    /// Makes workers of the coldpath.
    pub workers: SteppedWorkers,
    /// The thread that moves cursors.
    pub retention: SteppedRetention,
    /// Threads of the shard's log and of the side log.
    pub logs: [LogThreads; 2],
}

/// As [`Host::start`], without threads, on this disk. The data directory is made on it.
///
/// # Errors
/// [`StartError`].
pub fn open(config: &EngineConfig, disk: &Arc<dyn Disk>) -> Result<SteppedHost, StartError> {
    let dirs = Dirs::of(&config.data_dir);
    let made = |dir: &Path| {
        let made = disk.create_dir(dir).map(|_| ()).and_then(|()| disk.sync_dir(dir.parent().unwrap_or(dir)));
        made.map_err(|error| StartError::Io { what: "creating", path: dir.into(), source: error.source })
    };
    for dir in [&config.data_dir, &dirs.checkpoints] {
        made(dir)?;
    }
    let phases = Phases::private().map_err(crate::opening::io_error("mapping", &config.data_dir))?;
    let (main, main_threads) = open_log(log_config(config, &dirs.log, "log", config.tail_blocks, Some(&phases)), disk)?;
    let (side, side_threads) = open_log(log_config(config, &dirs.side, "side", SIDE_TAIL_BLOCKS, None), disk)?;
    let logs = [&main.log, &side.log];
    let recovered = recovery::recover(config, ALL_PARTITIONS, &dirs.log, &dirs.checkpoints, &main.log, &side.log)
        .map_err(|error| reach::explain(error, logs))?;
    let (host, actors) = Host::assemble(config, dirs, phases, main, side, recovered, None, None)?;
    let Actors { shard, follower, group, retention } = actors;
    Ok(SteppedHost {
        host,
        shard: SteppedShard(shard),
        follower: SteppedFollower(follower),
        workers: SteppedWorkers { common: group.common, desks: group.desks },
        retention: SteppedRetention(retention),
        logs: [main_threads, side_threads],
    })
}

fn open_log(wanted: LogConfig, disk: &Arc<dyn Disk>) -> Result<(Opened, LogThreads), StartError> {
    let dir = wanted.dir.clone();
    let stepped = open_stepped(wanted, disk.clone()).map_err(|source| StartError::Log { dir, source })?;
    let keeper = SteppedKeeper::of(&stepped.log);
    let report = stepped.report.clone();
    let threads = LogThreads { report, flusher: stepped.flusher, preparer: stepped.preparer, keeper };
    Ok((Opened { log: stepped.log, appender: stepped.appender, report: stepped.report }, threads))
}

/// The hot thread.
pub struct SteppedShard(Shard);

impl std::fmt::Debug for SteppedShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SteppedShard")
    }
}

impl SteppedShard {
    /// One round over all rings. Says whether there was work; waits where the log's tail is full.
    pub fn turn(&mut self) -> bool {
        let worked = self.0.turn();
        if !worked {
            self.0.journal.counters.note_rest(self.0.journal.appender.next_sequence() - 1);
        }
        worked
    }

    /// The book that decides.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.0.book
    }
}

/// The follower.
pub struct SteppedFollower(Follower);

impl std::fmt::Debug for SteppedFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SteppedFollower")
    }
}

impl SteppedFollower {
    /// One batch and what is due behind it; says how many records there were. Waits where a checkpoint waits for the disk.
    ///
    /// # Errors
    /// What stops a follower for good.
    pub fn turn(&mut self) -> Result<usize, HostError> {
        self.0.turn()
    }

    /// The second state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.0.state
    }
}

/// The thread that moves cursors.
#[derive(Debug)]
pub struct SteppedRetention(Watch);

impl SteppedRetention {
    /// What a checkpoint lets go of, else a look.
    pub fn turn(&mut self) {
        match self.0.checkpointed.try_recv() {
            Ok(newest) => self.0.turn(Some(newest)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => self.0.turn(None),
        }
    }
}

/// Makes workers of the coldpath, and looks after those that hang, as the group does.
#[derive(Debug)]
pub struct SteppedWorkers {
    common: Arc<Common>,
    desks: Vec<Asker<Paper>>,
}

impl SteppedWorkers {
    /// One more worker, if there is a desk for it.
    pub fn start(&mut self) -> Option<SteppedWorker> {
        let desk = self.desks.pop()?;
        let (retired, has) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(IDLE)));
        let ends = WorkerEnds { retired: retired.clone(), has: has.clone() };
        Some(SteppedWorker { worker: Worker::new(self.common.clone(), desk, retired, has), ends })
    }

    /// A worker has ended, and its desk is free again.
    pub fn ended(&mut self, desk: Desk) {
        self.desks.push(desk.0);
    }

    /// Positions that were taken away from workers that hang; breaches are noted.
    pub fn watch(&self) -> Vec<u32> {
        self.common.queue.watch()
    }

    /// Takes the side log's appender away, as the end of the group does; `None` where somebody writes.
    pub fn close(&self) -> Option<Appender> {
        self.common.side.close(std::time::Duration::ZERO)
    }
}

/// A desk that nobody has.
#[derive(Debug)]
pub struct Desk(Asker<Paper>);

/// What the group holds of a worker.
#[derive(Clone, Debug)]
pub struct WorkerEnds {
    retired: Arc<AtomicBool>,
    has: Arc<AtomicU32>,
}

impl WorkerEnds {
    /// It is to end after the position that it has.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// The position that it has.
    #[must_use]
    pub fn has(&self) -> Option<u32> {
        Some(self.has.load(Ordering::Acquire)).filter(|position| *position != IDLE)
    }
}

/// A worker of the coldpath, on the stack of whoever runs it.
#[derive(Debug)]
pub struct SteppedWorker {
    worker: Worker,
    /// The group's hold on it.
    pub ends: WorkerEnds,
}

impl SteppedWorker {
    /// Serves positions until it is retired or the host stops. Waits by the clock.
    #[must_use]
    pub fn run(self) -> Desk {
        Desk(self.worker.run())
    }
}

impl SteppedHost {
    /// From here on everything that waits comes back, and nobody begins anything: the process is dead.
    #[must_use]
    pub fn death(&self) -> Death {
        Death {
            stop: self.shard.0.journal.stop.clone(),
            crash: self.follower.0.crash.clone(),
            queue: self.host.coldpath().clone(),
        }
    }
}

/// How the world tells the actors of a host that their process is dead.
#[derive(Clone, Debug)]
pub struct Death {
    stop: Arc<std::sync::atomic::AtomicU8>,
    crash: Arc<AtomicBool>,
    queue: Arc<crate::coldpath::ColdQueue>,
}

impl Death {
    /// It has come. What the actors still do goes nowhere: the world has cut them off from disk and tail before.
    pub fn tell(&self) {
        self.stop.store(Stop::Crash as u8, Ordering::Release);
        self.crash.store(true, Ordering::Release);
    }

    /// The hot thread is gone: the coldpath ends too.
    pub fn tell_coldpath(&self) {
        self.queue.stop();
    }
}
