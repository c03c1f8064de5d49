//! The group of workers: so many as are wanted, each on its thread; lost ones replaced, hung ones given up.
//!
//! It lives on the thread `lb-coldpath` and does no reconciling itself. A worker that has one position for too long loses it: the
//! position goes to another, a new worker takes its place, and what the hung one says later is passed over, by its lease
//! in the queue and by the position's version at the shard. Its thread cannot be ended from outside; it ends when it comes back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use lotbook_wal::Appender;

use super::Paper;
use super::desk::Asker;
use super::worker::{Common, IDLE, Worker};
use crate::config::Role;
use crate::limits::COLD_WATCH_MS;

/// A worker's thread, as the group sees it.
#[derive(Debug)]
struct Member {
    thread: JoinHandle<Asker<Paper>>,
    retired: Arc<AtomicBool>,
    has: Arc<AtomicU32>,
    is_hung: bool,
}

/// The group. See the module's text.
#[derive(Debug)]
pub(crate) struct Group {
    pub common: Arc<Common>,
    /// Desks that nobody has: one for each worker that there may be, hung ones included.
    pub desks: Vec<Asker<Paper>>,
    pub on_thread: Option<fn(Role)>,
    members: Vec<Member>,
    started: usize,
}

/// How long a stop waits for a worker that does not come back.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

impl Group {
    pub(crate) fn new(common: Arc<Common>, desks: Vec<Asker<Paper>>, on_thread: Option<fn(Role)>) -> Self {
        Self { common, desks, on_thread, members: Vec::new(), started: 0 }
    }

    /// Keeps the group at its size until the host stops; gives the side log's appender back.
    pub(crate) fn run(mut self) -> Option<Appender> {
        let queue = self.common.queue.clone();
        while !queue.stopped() {
            self.keep_size();
            for position in queue.watch() {
                self.give_up(position);
            }
            queue.await_control(Duration::from_millis(COLD_WATCH_MS));
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.members.iter().any(|member| !member.thread.is_finished()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.reap();
        // Whoever is left hangs, and holds neither the log nor the writer's lock.
        self.common.side.close(STOP_PATIENCE)
    }

    fn keep_size(&mut self) {
        self.reap();
        let wanted = self.common.queue.workers();
        // Of those that are too many the youngest end; of those that were told to, none is told twice.
        let mut running = 0;
        for member in self.members.iter().filter(|member| !member.is_hung) {
            running += 1;
            // ORDERING: release, carries nothing but itself.
            member.retired.store(running > wanted, Ordering::Release);
        }
        for _ in running..wanted {
            if let Err(error) = self.start() {
                tracing::warn!(%error, "no thread for another coldpath worker");
                break;
            }
        }
        let running = self.members.iter().filter(|member| !member.is_hung).count();
        self.common.queue.set_running(running);
    }

    fn start(&mut self) -> io::Result<()> {
        let Some(desk) = self.desks.pop() else {
            return Err(io::Error::other("workers hang at all desks"));
        };
        let (retired, has) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(IDLE)));
        let worker = Worker::new(self.common.clone(), desk, retired.clone(), has.clone());
        let (on_thread, core) = (self.on_thread, self.common.queue.config().core.map(|core| core + self.started));
        let run = move || {
            if let Some(hook) = on_thread {
                hook(Role::Coldpath);
            }
            if core.is_some() {
                crate::host::pin(core);
            }
            worker.run()
        };
        let thread = Builder::new().name(format!("lb-cold-{}", self.members.len())).spawn(run)?;
        self.started = (self.started + 1) % self.common.queue.workers().max(1);
        self.members.push(Member { thread, retired, has, is_hung: false });
        Ok(())
    }

    /// The worker that has this position hangs.
    fn give_up(&mut self, position: u32) {
        let has = |member: &&mut Member| !member.is_hung && member.has.load(Ordering::Acquire) == position;
        if let Some(member) = self.members.iter_mut().find(has) {
            member.is_hung = true;
            member.retired.store(true, Ordering::Release);
        }
    }

    /// Takes the desks of threads that ended.
    fn reap(&mut self) {
        for member in self.members.extract_if(.., |member| member.thread.is_finished()) {
            match member.thread.join() {
                Ok(desk) => self.desks.push(desk),
                // Panics are caught with their position; one beside it costs a desk.
                Err(_) => self.common.queue.counters().note_panic(),
            }
        }
    }
}
