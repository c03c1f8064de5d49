//! A house: several shards in one process and one data directory, as one book.
//!
//! ```text
//! gateway thread -> house door --+-- door --> shard 0 -> log 0 -> follower 0 --+
//!                                +-- door --> shard 1 -> log 1 -> follower 1 --+--> reads
//!                   house thread +-- lanes -> all shards, one order            |
//!                   courier -----+-- lanes <- legs, held amendments <----------+
//! ```
//!
//! Each shard is a [`Host`] of its own: one thread, one book, one log, and no shard ever waits for another one. What
//! positions do to one another goes by the [`courier`]; what all take, by the [`common`] thread. What is absent: no state of the
//! house's own beside the assignment of partitions ([`layout`]); everything else is in the shards' logs. `docs/decisions/0013`.

pub(crate) mod common;
mod courier;
mod door;
mod heal;
pub(crate) mod ids;
pub mod layout;
mod line;
mod reads;
pub(crate) mod seat;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;

pub use courier::{Step, StepHook};
pub use door::HouseDoor;
pub(crate) use heal::Names;
pub use layout::Layout;

use self::common::{Asked, Counter, Gate, Office};
use self::courier::{Courier, Stop};
use self::ids::HouseIds;
use self::line::Line;
use self::seat::Seat;
use crate::config::EngineConfig;
use crate::directory::Directory;
use crate::door::Answer;
use crate::error::{HostError, StartError};
use crate::follower::Observer;
use crate::host::Host;
use crate::lanes::lane;

/// A running house. See the module's text.
#[derive(Debug)]
pub struct House {
    layout: Layout,
    /// By shard; `None`: crashed, in a test.
    hosts: Vec<Option<Host>>,
    directory: Arc<Directory>,
    ids: Arc<HouseIds>,
    gate: Arc<Gate>,
    requests: Option<Sender<Asked>>,
    office: Option<JoinHandle<()>>,
    courier: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    crashed: Arc<AtomicBool>,
    error: Arc<Mutex<Option<HostError>>>,
}

/// What a house is started with beside the configuration of its shards.
#[derive(Default)]
pub struct HouseOptions {
    /// Observers of the shards' events, by shard; missing ones are none.
    pub observers: Vec<Box<dyn Observer>>,
    /// Called at each step of the courier. For tests.
    pub hook: Option<StepHook>,
}

impl House {
    /// Recovers all shards of the data directory, gives each what it lacks, and starts the threads. `config` is that of each
    /// shard, its directory that of the house. Blocks until the house can serve.
    ///
    /// # Errors
    /// [`StartError`]; [`StartError::Layout`] where the directory was made for another number of shards.
    pub fn start(config: &EngineConfig, shards: u16) -> Result<Self, StartError> {
        Self::start_with(config, shards, HouseOptions::default())
    }

    /// As [`Self::start`].
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_with(config: &EngineConfig, shards: u16, options: HouseOptions) -> Result<Self, StartError> {
        let layout = layout::open(&config.data_dir, shards)?;
        let ids = Arc::new(HouseIds::default());
        let mut observers = options.observers.into_iter();
        let (mut seats, mut office_lines, mut courier_lines) = (Vec::new(), Vec::new(), Vec::new());
        for shard in 0..shards {
            let ((ours, its), (couriers, its_second)) = (lane(), lane());
            office_lines.push(Line::new(ours));
            courier_lines.push(Line::new(couriers));
            let partitions = layout.partitions_of(shard);
            let seat = Seat { shard, partitions, lanes: vec![its, its_second], ids: ids.clone() };
            seats.push((of_shard(config, &layout, shard), observers.next(), seat));
        }
        // Each recovers on its own; the first that fails is named, and the others are stopped again.
        let start = |(config, observer, seat)| move || Host::start_seated(&config, observer, Some(seat));
        let hosts = at_once(seats.into_iter().map(start)).into_iter().collect::<Result<Vec<Host>, StartError>>()?;
        let (stop, crashed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let names = heal::heal(&hosts, &mut office_lines, &crashed)?;

        let (requests, asked) = channel();
        let gate = Arc::new(Gate::default());
        let error = Arc::new(Mutex::new(None));
        let office = Office {
            lines: office_lines,
            logs: hosts.iter().map(|host| host.log().clone()).collect(),
            requests: asked,
            gate: gate.clone(),
            ids: ids.clone(),
            stop: stop.clone(),
            crashed: crashed.clone(),
            error: error.clone(),
        };
        let stops = hosts.iter().zip(courier_lines);
        let courier = Courier {
            stops: stops
                .map(|(host, line)| Stop { line, log: host.log().clone(), model: host.model().clone() })
                .collect(),
            layout,
            ids: ids.clone(),
            counter: Counter::new(requests.clone()),
            stop: stop.clone(),
            crashed: crashed.clone(),
            hook: options.hook,
        };
        let directory = Arc::new(Directory::of_house(&names, Counter::new(requests.clone())));
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let io = |source| StartError::Io { what: "starting a thread for", path: name.into(), source };
            Builder::new().name(name.into()).spawn(body).map_err(io)
        };
        let office = spawn("lb-house", Box::new(move || office.run()))?;
        let courier = spawn("lb-courier", Box::new(move || courier.run()))?;
        let hosts = hosts.into_iter().map(Some).collect();
        Ok(Self {
            layout,
            hosts,
            directory,
            ids,
            gate,
            requests: Some(requests),
            office: Some(office),
            courier: Some(courier),
            stop,
            crashed,
            error,
        })
    }

    /// Opens a door to all shards. It serves one thread; dropping it closes it. `None`: no more than [`DOORS_MAX`] in a house's
    /// life, or a shard is gone.
    ///
    /// [`DOORS_MAX`]: crate::limits::DOORS_MAX
    #[must_use]
    pub fn open_door(&mut self) -> Option<HouseDoor> {
        let counter = Counter::new(self.requests.clone()?);
        let doors: Option<Vec<_>> = self.hosts.iter_mut().map(|host| host.as_mut()?.open_door()).collect();
        let (ids, gate, names) = (self.ids.clone(), self.gate.clone(), self.directory.clone());
        Some(HouseDoor::new(doors?, self.layout, ids, gate, names, counter))
    }

    /// Names to numbers, the same on all shards.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Which shard has which partitions.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The shards that run.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().flatten()
    }

    /// Whether the event of an answer is durable.
    #[must_use]
    pub fn is_durable(&self, answer: &Answer) -> bool {
        let host = self.hosts.get(usize::from(answer.shard)).and_then(Option::as_ref);
        host.is_some_and(|host| host.log().durable_sequence() >= answer.sequence)
    }

    /// Why the house does not work any more, if so: the first shard's reason.
    #[must_use]
    pub fn error(&self) -> Option<HostError> {
        let own = self.error.lock().clone();
        let running = !self.stop.load(Ordering::Acquire) && !self.crashed.load(Ordering::Acquire);
        let ended = |thread: &Option<JoinHandle<()>>, name| {
            (running && thread.as_ref().is_some_and(JoinHandle::is_finished)).then_some(HostError::Panicked(name))
        };
        own.or_else(|| self.hosts().find_map(Host::error))
            .or_else(|| ended(&self.office, "house"))
            .or_else(|| ended(&self.courier, "courier"))
    }

    /// Stops cleanly: serves what is on its way to all shards, then each shard ends as [`Host::stop`]. What is on its way
    /// between shards goes on at the next start. Blocks.
    ///
    /// # Errors
    /// The first shard's error; everything acknowledged is in the logs all the same.
    pub fn stop(mut self) -> Result<Vec<Option<Box<dyn Observer>>>, HostError> {
        self.end_threads();
        let mut observers = Vec::new();
        let mut failed = self.error.lock().take();
        let hosts = self.hosts.iter_mut().filter_map(Option::take);
        for stopped in at_once(hosts.map(|host| || host.stop())) {
            match stopped {
                Ok(observer) => observers.push(observer),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(observers), Err)
    }

    /// Stops one shard as a killed process does, while the others go on. For tests of what a kill of the process can leave: a
    /// real one ends them all, each somewhere.
    pub fn crash_shard(&mut self, shard: u16) {
        if let Some(host) = self.hosts[usize::from(shard)].take() {
            host.crash();
        }
    }

    /// Stops at once and leaves files and tails as a killed process does. For tests.
    pub fn crash(mut self) {
        self.crashed.store(true, Ordering::Release);
        at_once(self.hosts.iter_mut().filter_map(Option::take).map(|host| || host.crash()));
        self.end_threads();
    }

    fn end_threads(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.requests = None;
        // A panic of theirs lost nothing that a start does not find again.
        let _ = self.courier.take().map(JoinHandle::join);
        let _ = self.office.take().map(JoinHandle::join);
    }
}

impl Drop for House {
    /// A house that was not stopped is stopped cleanly; errors were logged where they happened.
    fn drop(&mut self) {
        self.end_threads();
    }
}

/// Does all of these, each on a thread of its own, and waits.
fn at_once<T: Send>(all: impl Iterator<Item = impl FnOnce() -> T + Send>) -> Vec<T> {
    std::thread::scope(|scope| {
        let running: Vec<_> = all.map(|one| scope.spawn(one)).collect();
        let done =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        done.collect()
    })
}

/// The configuration of one shard.
fn of_shard(config: &EngineConfig, layout: &Layout, shard: u16) -> EngineConfig {
    let mut of = config.clone();
    of.data_dir = layout.dir(&config.data_dir, shard);
    if layout.shards() == 1 {
        return of;
    }
    // Each on a core of its own, from the last or the wanted one downwards, as far as there are cores.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let last = cores.len().saturating_sub(1);
    let first = config.shard_core.and_then(|wanted| cores.iter().position(|id| id.id == wanted)).unwrap_or(last);
    let at = (first + cores.len() * usize::from(shard) - usize::from(shard)).checked_rem(cores.len());
    of.shard_core = at.map(|at| cores[at].id);
    of
}
