//! One life of the process: a host's actors, each on a stack of its own, from its start to its death.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use lotbook_engine::clock::Simulated;
use lotbook_engine::stepped::{
    self, Death, Desk, LogThreads, SteppedFollower, SteppedHost, SteppedShard, SteppedWorkers, WorkerEnds,
};
use lotbook_engine::{Door, EngineConfig, Host, StartError};
use lotbook_wal::Disk;
use lotbook_wal::sim::SteppedFlusher;

use crate::actor::{Actor, WorldClock, rest};

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Client,
    Shard,
    Follower,
    Retention,
    /// A log thread: of the shard's log the first and the second, of the side log.
    Flush(u8),
    /// A preparer: of the log, of the side log.
    Prepare(u8),
    /// A keeper, likewise.
    Keep(u8),
    Worker,
    /// Looks after hung workers.
    Group,
}

/// Kinds of actors, and how often each acts beside the others when nobody is starved.
pub(crate) const KINDS: usize = WEIGHTS.len();
pub(crate) const WEIGHTS: [u64; 13] = [6, 6, 3, 1, 4, 4, 4, 1, 1, 1, 1, 6, 1];

impl Who {
    /// Its place among the weights.
    pub(crate) fn kind(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Shard => 1,
            Self::Follower => 2,
            Self::Retention => 3,
            Self::Flush(log) => 4 + log as usize,
            Self::Prepare(log) => 7 + log as usize,
            Self::Keep(log) => 9 + log as usize,
            Self::Worker => 11,
            Self::Group => 12,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A worker, as the group sees it.
struct Member {
    ends: WorkerEnds,
    desk: Rc<RefCell<Option<Desk>>>,
    is_hung: bool,
}

/// What all actors of a life can say: why it cannot go on.
type Trouble = Rc<RefCell<Option<String>>>;

/// One life. See the module's text.
pub(crate) struct Life {
    pub(crate) host: Host,
    /// Gone once the process is dead.
    pub(crate) shard: Option<Rc<RefCell<SteppedShard>>>,
    pub(crate) follower: Rc<RefCell<SteppedFollower>>,
    pub(crate) door: Door,
    actors: Vec<(Who, Actor)>,
    workers: SteppedWorkers,
    members: Vec<Member>,
    wanted: usize,
    clock: Arc<WorldClock>,
    death: Death,
    is_dead: Rc<Cell<bool>>,
    /// The follower has stopped, and why.
    pub(crate) trouble: Trouble,
}

impl Life {
    /// Recovers what is on the disk.
    pub(crate) fn start(
        config: &EngineConfig,
        disk: &Arc<dyn Disk>,
        clock: &Arc<WorldClock>,
        workers: usize,
    ) -> Result<Self, StartError> {
        crate::mischief::change(|mischief| mischief.is_over = false);
        let opened = stepped::open(config, disk)?;
        let death = opened.death();
        let SteppedHost { mut host, shard, follower, workers: group, retention, logs } = opened;
        let door = host.open_door().expect("a first door");
        let mut life = Self {
            host,
            shard: None,
            follower: Rc::new(RefCell::new(follower)),
            door,
            actors: Vec::new(),
            workers: group,
            members: Vec::new(),
            wanted: workers,
            clock: clock.clone(),
            death,
            is_dead: Rc::default(),
            trouble: Trouble::default(),
        };
        let shard = Rc::new(RefCell::new(shard));
        life.shard = Some(shard.clone());
        life.add(Who::Shard, move || {
            shard.borrow_mut().turn();
        });
        let (follower, trouble, is_dead) = (life.follower.clone(), life.trouble.clone(), life.is_dead.clone());
        life.add(Who::Follower, move || {
            if trouble.borrow().is_none()
                && let Err(error) = follower.borrow_mut().turn()
                && !is_dead.get()
            {
                *trouble.borrow_mut() = Some(format!("the follower stopped: {error}"));
            }
        });
        let mut retention = retention;
        life.add(Who::Retention, move || retention.turn());
        for (log, LogThreads { flusher, preparer, mut keeper, .. }) in (0..).zip(logs) {
            life.flushes(if log == 0 { 0 } else { 2 }, flusher.clone());
            if log == 0 {
                life.flushes(1, flusher);
            }
            life.add(Who::Prepare(log), move || {
                preparer.step();
            });
            let clock = clock.clone();
            life.add(Who::Keep(log), move || {
                keeper.step(clock.now_ns());
            });
        }
        life.keep_size();
        Ok(life)
    }

    /// An actor that does this again and again until the process is dead.
    fn add(&mut self, who: Who, mut step: impl FnMut() + 'static) {
        let is_dead = self.is_dead.clone();
        self.actors.push((
            who,
            Actor::new(move || {
                while !is_dead.get() {
                    step();
                    rest();
                }
            }),
        ));
    }

    /// A log thread: begins a flush, and takes its stages while others do theirs. A latch ends it.
    fn flushes(&mut self, number: u8, flusher: SteppedFlusher) {
        let (is_dead, clock) = (self.is_dead.clone(), self.clock.clone());
        let actor = Actor::new(move || {
            while !is_dead.get() {
                let Ok(begun) = flusher.begin(clock.now_ns()) else { return };
                if let Some(mut flight) = begun {
                    loop {
                        rest();
                        match flight.advance() {
                            Ok(None) => {}
                            Ok(Some(_)) => break,
                            Err(_) => return,
                        }
                    }
                }
                rest();
            }
        });
        self.actors.push((Who::Flush(number), actor));
    }

    /// As many workers as are wanted, those that hang left out.
    pub(crate) fn keep_size(&mut self) {
        while self.members.iter().filter(|member| !member.is_hung).count() < self.wanted {
            let Some(worker) = self.workers.start() else { return };
            let desk = Rc::new(RefCell::new(None));
            self.members.push(Member { ends: worker.ends.clone(), desk: desk.clone(), is_hung: false });
            self.actors.push((Who::Worker, Actor::new(move || *desk.borrow_mut() = Some(worker.run()))));
        }
    }

    /// Looks after the workers, as the group's thread does.
    pub(crate) fn look_after(&mut self) {
        for position in self.workers.watch() {
            let has = |member: &&mut Member| !member.is_hung && member.ends.has() == Some(position);
            if let Some(member) = self.members.iter_mut().find(has) {
                member.is_hung = true;
                member.ends.retire();
            }
        }
        for member in self.members.extract_if(.., |member| member.desk.borrow().is_some()) {
            let desk = member.desk.borrow_mut().take().expect("seen above");
            self.workers.ended(desk);
        }
        self.actors.retain(|(_, actor)| !actor.is_done());
        self.keep_size();
    }

    /// Who can act, in an order that stays.
    pub(crate) fn actors(&self) -> impl ExactSizeIterator<Item = Who> {
        self.actors.iter().map(|(who, _)| *who)
    }

    /// One turn of one actor.
    pub(crate) fn turn(&mut self, index: usize) -> Result<(), String> {
        let (who, actor) = &mut self.actors[index];
        if actor.is_done() { Ok(()) } else { actor.turn().map_err(|what| format!("{who} panicked: {what}")) }
    }

    /// The process is dead, and cut off from its disk: whatever its actors still do goes nowhere.
    pub(crate) fn die(mut self) -> Result<(), String> {
        self.run_out()
    }

    fn run_out(&mut self) -> Result<(), String> {
        self.is_dead.set(true);
        self.death.tell();
        let mut stopped = false;
        // Who hangs comes back too.
        crate::mischief::change(|mischief| {
            (mischief.panics_percent, mischief.hangs_percent) = (0, 0);
            mischief.is_over = true;
        });
        for _ in 0..ROUNDS_TO_DIE {
            for (who, actor) in &mut self.actors {
                if !actor.is_done() {
                    actor.turn().map_err(|what| format!("{who} panicked in its death: {what}"))?;
                }
            }
            self.actors.retain(|(_, actor)| !actor.is_done());
            if !stopped && self.actors().all(|who| who != Who::Shard) {
                // As a host stops: the hot thread first, and whoever waits for an answer of it knows.
                self.shard = None;
                self.death.tell_coldpath();
                stopped = true;
            }
            if self.actors.is_empty() {
                return Ok(());
            }
        }
        let left: Vec<Who> = self.actors().collect();
        Err(format!("{left:?} do not end"))
    }
}

impl Drop for Life {
    /// A life that something was wrong with ends too: a stack is left by its own end alone.
    fn drop(&mut self) {
        let _ = self.run_out();
        // Whoever does not end keeps its stack: the seed has failed.
        std::mem::take(&mut self.actors).into_iter().for_each(std::mem::forget);
    }
}

/// Turns that the actors of a dead process take at most.
const ROUNDS_TO_DIE: usize = 10_000;
