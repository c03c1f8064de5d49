//! A host: the logs, the threads, and what the gateway needs of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use lotbook_core::Scratch;
use lotbook_core::id::NameId;
use lotbook_core::legs::ALL_PARTITIONS;
use lotbook_core::taking::ActionRoom;
use lotbook_wal::{Appender, From, Log, OpenReport, Opened};
use parking_lot::Mutex;

use crate::amendments::Matching;
use crate::coldpath::desk::desks;
use crate::coldpath::group::Group;
use crate::coldpath::watch::Watches;
use crate::coldpath::worker::Common;
use crate::coldpath::{ColdQueue, DeadLetter};
use crate::config::{EngineConfig, Role};
use crate::directory::Directory;
use crate::door::{Door, DoorEnd, door};
use crate::error::{HostError, StartError};
use crate::follower::{Dirty, Follower, Observer};
use crate::house::layout;
use crate::house::seat::Seat;
use crate::limits::{COLD_DESKS, DIGEST_EVERY, DOORS_MAX, SIDE_TAIL_BLOCKS};
use crate::opening::{Dirs, io_error, log_config, open_log};
use crate::past::{Index, Past};
use crate::phase::{Phase, Phases};
use crate::read_model::ReadModel;
use crate::recovery::{self, Recovered};
use crate::retention::holders::Holders;
use crate::retention::watch::Watch;
use crate::retention::{Outlook, reach};
use crate::shard::{Counters, Journal, Planted, Shard, Stop};
use crate::side_log::{Bodies, SideWriter};
use crate::taking::Sweep;

/// What a start found and did.
#[derive(Clone, Debug)]
pub struct StartReport {
    /// The shard's log.
    pub log: OpenReport,
    /// The side log.
    pub side: OpenReport,
    /// Sequence of the checkpoint that was used, 0 for none.
    pub checkpoint_sequence: u64,
    /// Records applied from the log after it.
    pub records: u64,
    /// Remarks for the operator, each once.
    pub notes: Vec<String>,
    /// Greatest offset that each source has in the log: where FIX sessions and files go on.
    pub sources: Vec<(NameId, u64)>,
    /// How long it took.
    pub took: Duration,
}

/// The facts of a book, as a start found them: how many, and where the newest one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub count: u64,
    pub address: u64,
}

/// What a host consists of: each has a thread of its own, or takes its steps when a simulated world says so.
pub(crate) struct Actors {
    pub shard: Shard,
    pub follower: Follower,
    pub group: Group,
    pub retention: Watch,
}

/// A running host.
#[derive(Debug)]
pub struct Host {
    log: Arc<Log>,
    side: Arc<Log>,
    model: Arc<ReadModel>,
    past: Past,
    queue: Arc<ColdQueue>,
    directory: Arc<Directory>,
    counters: Arc<Counters>,
    new_doors: Arc<ArrayQueue<DoorEnd>>,
    doors_open: usize,
    stop: Arc<AtomicU8>,
    finish: Arc<AtomicBool>,
    crash: Arc<AtomicBool>,
    error: Arc<Mutex<Option<HostError>>>,
    shard: Option<JoinHandle<Appender>>,
    follower: Option<JoinHandle<Option<Box<dyn Observer>>>>,
    coldpath: Option<JoinHandle<Option<Appender>>>,
    retention: Option<JoinHandle<()>>,
    outlook: Arc<Outlook>,
    report: StartReport,
    facts: Facts,
    data_dir: PathBuf,
}

impl Host {
    /// Recovers the data directory and starts the threads. Blocks until the host can serve.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: &EngineConfig) -> Result<Self, StartError> {
        Self::start_observed(config, None)
    }

    /// As [`Self::start`], with an observer of every event from here on.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_observed(config: &EngineConfig, observer: Option<Box<dyn Observer>>) -> Result<Self, StartError> {
        layout::refuse_house(&config.data_dir)?;
        Self::start_seated(config, observer, None)
    }

    /// As [`Self::start_observed`], as one of the shards of a house.
    pub(crate) fn start_seated(
        config: &EngineConfig,
        observer: Option<Box<dyn Observer>>,
        seat: Option<Seat>,
    ) -> Result<Self, StartError> {
        let began = Instant::now();
        let dirs = Dirs::make(&config.data_dir)?;
        let phases = Phases::create(&config.data_dir, config.tail_dir.as_deref())
            .map_err(io_error("creating", &config.data_dir))?;
        phases.enter(Phase::Recovery);
        let main = open_log(config, log_config(config, &dirs.log, "log", config.tail_blocks, Some(&phases)))?;
        let side = open_log(config, log_config(config, &dirs.side, "side", SIDE_TAIL_BLOCKS, None))?;
        let logs = [&main.log, &side.log];
        let partitions = seat.as_ref().map_or(ALL_PARTITIONS, |seat| seat.partitions);
        let mut recovered = recovery::recover(config, partitions, &dirs.log, &dirs.checkpoints, &main.log, &side.log)
            .map_err(|error| reach::explain(error, logs))?;
        recovered.notes.extend(reach::notes(logs));
        phases.leave(Phase::Recovery);
        Self::spawn(config, dirs, phases, main, side, recovered, observer, seat, began)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one start, named")]
    fn spawn(
        config: &EngineConfig,
        dirs: Dirs,
        phases: Phases,
        main: Opened,
        side: Opened,
        recovered: Recovered,
        observer: Option<Box<dyn Observer>>,
        seat: Option<Seat>,
        began: Instant,
    ) -> Result<Self, StartError> {
        let (mut host, actors) = Self::assemble(config, dirs, phases, main, side, recovered, observer, seat)?;
        let Actors { shard, follower, group, retention } = actors;
        let (core, on_thread) = (config.shard_core, config.on_thread);
        host.shard = Some(thread("lb-shard", on_thread, Role::Shard, move || {
            pin(core);
            shard.run()
        })?);
        host.follower = Some(thread("lb-follower", on_thread, Role::Follower, move || follower.run())?);
        host.coldpath = Some(thread("lb-coldpath", None, Role::Coldpath, move || group.run())?);
        host.retention = Some(thread("lb-retention", on_thread, Role::Retention, move || retention.run())?);
        host.report.took = began.elapsed();
        Ok(host)
    }

    /// All parts of a host, and nothing that runs: who runs them is the caller's matter.
    #[allow(clippy::too_many_arguments, reason = "the parts of one start, named")]
    pub(crate) fn assemble(
        config: &EngineConfig,
        dirs: Dirs,
        phases: Phases,
        main: Opened,
        side: Opened,
        recovered: Recovered,
        observer: Option<Box<dyn Observer>>,
        seat: Option<Seat>,
    ) -> Result<(Self, Actors), StartError> {
        let Recovered { shard, mut follower, checkpoint_sequence, records, mut notes } = recovered;
        notes.extend(main.report.notes.iter().cloned());
        let sources = follower.sources.iter().map(|(source, offset)| (*source, *offset)).collect();
        let (stop, finish, crash) = (
            Arc::new(AtomicU8::new(Stop::No as u8)),
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let facts = Facts { count: shard.facts, address: shard.book.last_fact() };
        let (number, lanes, house) = match seat {
            None => (None, Vec::new(), None),
            Some(seat) => {
                seat.ids.learn(seat.shard, &shard.ids);
                (Some(seat.shard), seat.lanes, Some((seat.shard, seat.ids)))
            }
        };
        let counters = Arc::new(Counters::default());
        counters.set_held(shard.book.held().len());
        let new_doors = Arc::new(ArrayQueue::new(DOORS_MAX));
        let (directory_door, directory_end) = door();
        let directory = Arc::new(Directory::new(shard.book.names(), directory_door));
        let (askers, desks) = desks(COLD_DESKS);
        let queue = Arc::new(ColdQueue::new(config.cold, config.coldpath, config.clock.clone()));
        let (kept, book) = (std::mem::take(&mut follower.streams), &follower.book);
        let version = |number: u32| book.positions().get(number as usize).map_or(0, |position| position.version);
        let lost = queue.restore_streams(kept, version);
        if lost > 0 {
            notes.push(format!(
                "{lost} streams of the checkpoint are of no use: their positions are read anew when they are late"
            ));
        }
        let model = Arc::new(ReadModel::default());
        let (index, waymarks) = (Arc::new(Index::of(&follower)), follower.waymarks.clone());
        let past = Past { log: main.log.clone(), side: side.log.clone(), model: model.clone(), index: index.clone() };
        let error = Arc::new(Mutex::new(None));

        let (checkpointed_in, checkpointed) = channel();
        let checkpoint_wanted = Arc::new(AtomicBool::new(false));
        let outlook = Arc::new(Outlook::default());
        let watching = Watch {
            holders: Holders::register(&main.log, &side.log, config.checkpoint_disk.clone(), dirs.checkpoints.clone())?,
            checkpointed,
            checkpoint_wanted: checkpoint_wanted.clone(),
            logs: [("log", main.log.clone()), ("side log", side.log.clone())],
            queue: queue.clone(),
            outlook: outlook.clone(),
            every: Duration::from_millis(config.retention.check_ms),
            looks: 0,
            crash: crash.clone(),
        };
        let reader = main
            .log
            .reader(From::Sequence(follower.sequence + 1))
            .map_err(|source| StartError::Read { dir: dirs.log.clone(), source })?;
        let mut following = Follower {
            state: follower,
            reader,
            log: main.log.clone(),
            side: side.log.clone(),
            bodies: Bodies::default(),
            model: model.clone(),
            past: index,
            queue: queue.clone(),
            observer,
            disk: config.checkpoint_disk.clone(),
            checkpoints: dirs.checkpoints,
            checkpoint_records: config.checkpoint_records,
            phases: phases.clone(),
            finish: finish.clone(),
            crash: crash.clone(),
            error: error.clone(),
            dirty: Dirty::default(),
            checkpointed: 0,
            checkpoint_wanted,
            house,
            retention: checkpointed_in,
            body: None,
            clock: config.clock.clone(),
        };
        following.begin();

        let digest_due = main.appender.next_sequence() + DIGEST_EVERY;
        let shard = Shard {
            book: shard.book,
            ids: shard.ids,
            gate: config.gate,
            journal: Journal {
                appender: main.appender,
                log: main.log.clone(),
                stop: stop.clone(),
                counters: counters.clone(),
                clock: config.clock.clone(),
            },
            scratch: Scratch::new(),
            room: ActionRoom::new(config.limits.lots_max),
            sweep: Sweep::default(),
            catch_up: Some(0),
            doors: {
                let mut doors = Vec::with_capacity(DOORS_MAX + 1);
                doors.push(directory_end);
                doors
            },
            new_doors: new_doors.clone(),
            desks,
            watches: Watches::new(COLD_DESKS),
            phases: phases.clone(),
            wait: config.wait,
            now_ns: 0,
            digest_due,
            matching: Matching::new(config.limits.held_max),
            seat: number,
            lanes,
            planted: config.fault.map(|fault| Planted { fault, seen: 0, delayed: Vec::new() }),
        };
        let side_writer = SideWriter::new(side.appender, side.log.clone(), config.clock.clone());
        let common = Common {
            queue: queue.clone(),
            log: main.log.clone(),
            side: side_writer,
            model: model.clone(),
            waymarks,
            phases,
        };
        let group = Group::new(Arc::new(common), askers, config.on_thread);
        let report = StartReport {
            log: main.report,
            side: side.report,
            checkpoint_sequence,
            records,
            notes,
            sources,
            took: Duration::ZERO,
        };
        let host = Self {
            log: main.log,
            side: side.log,
            model,
            past,
            queue,
            directory,
            counters,
            new_doors,
            doors_open: 0,
            stop,
            finish,
            crash,
            error,
            shard: None,
            follower: None,
            coldpath: None,
            retention: None,
            outlook,
            report,
            facts,
            data_dir: config.data_dir.clone(),
        };
        Ok((host, Actors { shard, follower: following, group, retention: watching }))
    }

    /// Opens a door. It serves one thread; dropping it closes it. At most [`DOORS_MAX`] in a host's life.
    #[must_use]
    pub fn open_door(&mut self) -> Option<Door> {
        if self.doors_open == DOORS_MAX {
            return None;
        }
        let (ours, end) = door();
        // The queue holds as many as may ever be opened.
        let pushed = self.new_doors.push(end);
        assert!(pushed.is_ok());
        self.doors_open += 1;
        Some(ours)
    }

    /// Names to numbers.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Published positions.
    #[must_use]
    pub fn model(&self) -> &Arc<ReadModel> {
        &self.model
    }

    /// What was known when.
    #[must_use]
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// The shard's log.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The side log.
    #[must_use]
    pub fn side_log(&self) -> &Arc<Log> {
        &self.side
    }

    /// Counters of the shard.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The coldpath's queue.
    #[must_use]
    pub fn coldpath(&self) -> &Arc<ColdQueue> {
        &self.queue
    }

    /// What retention wants an operator to know, beyond the logs' own reports ([`Log::retention`]).
    #[must_use]
    pub fn outlook(&self) -> &Arc<Outlook> {
        &self.outlook
    }

    /// What the start found.
    #[must_use]
    pub fn report(&self) -> &StartReport {
        &self.report
    }

    pub(crate) fn facts_at_start(&self) -> Facts {
        self.facts
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Positions that cannot be reconciled without a person.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.queue.dead_letters()
    }

    /// Why the host does not work any more, if so. A failed checkpoint is a warning and in here too.
    #[must_use]
    pub fn error(&self) -> Option<HostError> {
        if let Some(latched) = self.log.latched().or_else(|| self.side.latched()) {
            return Some(HostError::Latched(latched.to_string()));
        }
        let ended = |thread: bool, name| thread.then_some(HostError::Panicked(name));
        let running = self.stop.load(Ordering::Acquire) == Stop::No as u8;
        let died = |handle: bool, name| if running { ended(handle, name) } else { None };
        // A warning must not hide what comes after it.
        let (warning, fatal) = match self.error.lock().clone() {
            warning @ Some(HostError::Checkpoint(_)) => (warning, None),
            fatal => (None, fatal),
        };
        fatal
            .or_else(|| died(self.shard.as_ref().is_some_and(JoinHandle::is_finished), "shard"))
            .or_else(|| died(self.follower.as_ref().is_some_and(JoinHandle::is_finished), "follower"))
            .or_else(|| died(self.coldpath.as_ref().is_some_and(JoinHandle::is_finished), "coldpath"))
            .or(warning)
    }

    /// Waits until everything answered so far is published. Says whether it came within the time.
    #[must_use]
    pub fn wait_published(&self, timeout: Duration) -> bool {
        let target = self.log.published_sequence();
        self.wait_until(timeout, || self.model.published_sequence() >= target)
    }

    /// Waits until every position has taken every change, no position is PROVISIONAL, but for dead letters, and all of it is published.
    #[must_use]
    pub fn wait_reconciled(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, || self.is_reconciled())
    }

    /// Whether what [`Self::wait_reconciled`] waits for is so right now.
    #[must_use]
    pub fn is_reconciled(&self) -> bool {
        let target = self.log.published_sequence();
        let settled = self.counters.rested_at() >= target
            && self.model.sequence() >= target
            && self.model.changes_pending() == 0
            && self.model.provisional_positions() <= self.queue.dead_letters().len() as u64;
        settled && self.model.published_sequence() >= target
    }

    fn wait_until(&self, timeout: Duration, done: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            if done() {
                return true;
            }
            // A checkpoint that was not written is a warning: the log goes on.
            let stopped = self.error.lock().as_ref().is_some_and(|error| !matches!(error, HostError::Checkpoint(_)));
            if Instant::now() > deadline || stopped || self.log.latched().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Stops cleanly: serves what is in the rings, applies all of it, writes a checkpoint, closes the
    /// logs. Gives the observer back. Blocks.
    ///
    /// # Errors
    /// What kept it from a clean end; everything acknowledged is in the log all the same.
    pub fn stop(mut self) -> Result<Option<Box<dyn Observer>>, HostError> {
        self.end(Stop::Clean)
    }

    /// Stops at once and leaves files and tail as a killed process does. For tests.
    pub fn crash(mut self) {
        let _ = self.end(Stop::Crash);
    }

    fn end(&mut self, how: Stop) -> Result<Option<Box<dyn Observer>>, HostError> {
        let clean = how == Stop::Clean;
        // A checkpoint that failed earlier is made good by the one at the end, or fails again.
        let before = self.error().filter(|error| !matches!(error, HostError::Checkpoint(_)));
        self.stop.store(how as u8, Ordering::Release);
        if !clean {
            self.crash.store(true, Ordering::Release);
        }
        let appender = self.shard.take().map(JoinHandle::join);
        self.queue.stop();
        let side_appender = match self.coldpath.take().map(JoinHandle::join) {
            // A worker hangs within the side log: that ends with the process, and the next start finds what is durable.
            Some(Ok(None)) | None => None,
            Some(Ok(Some(appender))) => Some(Ok(appender)),
            Some(Err(panic)) => Some(Err(panic)),
        };
        self.finish.store(true, Ordering::Release);
        let observer = self.follower.take().map(JoinHandle::join);
        // It ends with the follower. A panic there cost room, and no record.
        let _ = self.retention.take().map(JoinHandle::join);
        let mut closed = Ok(());
        for (appender, name) in [(appender, "shard"), (side_appender, "coldpath")] {
            match appender {
                Some(Ok(appender)) if clean => {
                    if let Err(error) = appender.close() {
                        closed = Err(HostError::Latched(error.to_string()));
                    }
                }
                Some(Ok(appender)) => appender.abandon(),
                Some(Err(_)) => closed = Err(HostError::Panicked(name)),
                None => {}
            }
        }
        if clean {
            Phases::remove(&self.data_dir);
        }
        closed?;
        match before.or_else(|| self.error.lock().clone()) {
            Some(error) if clean => Err(error),
            _ => Ok(observer.and_then(Result::ok).flatten()),
        }
    }
}

impl Drop for Host {
    /// A host that was not stopped is stopped cleanly; errors were logged where they happened.
    fn drop(&mut self) {
        if self.shard.is_some() {
            let _ = self.end(Stop::Clean);
        }
    }
}

fn thread<T: Send + 'static>(
    name: &'static str,
    on_thread: Option<fn(Role)>,
    role: Role,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StartError> {
    let run = move || {
        if let Some(hook) = on_thread {
            hook(role);
        }
        body()
    };
    Builder::new().name(name.into()).spawn(run).map_err(io_error("starting a thread for", Path::new(name)))
}

/// Pins the calling thread: to the wanted core, else to the last one. Pinning that is not permitted
/// is not an error; the doctor tells.
pub(crate) fn pin(core: Option<usize>) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let chosen = match core {
        Some(wanted) => cores.iter().find(|id| id.id == wanted),
        None => cores.last(),
    };
    match chosen {
        Some(id) => {
            core_affinity::set_for_current(*id);
        }
        None if core.is_some() => tracing::warn!(core, "this machine has no such core for us: a thread is not pinned"),
        None => {}
    }
}
