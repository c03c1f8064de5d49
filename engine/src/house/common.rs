//! What all shards take: names, terms, contracts, business dates, marks, actions, locks, in one order, by one thread.
//!
//! What positions of one shard may speak against (terms, contracts, actions and their amendments, locks) is asked of all
//! shards first, while no door may send; then each does it, and may not refuse any more. So all have the same, each
//! as an event of its own log: a shard that a kill left behind is given the rest at the next start ([`super::heal`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use lotbook_core::command::{Command, Origin};
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::TradeHash;
use lotbook_wal::Log;
use parking_lot::Mutex;

use super::ids::HouseIds;
use super::line::{Gone, Line};
use crate::door::{Answer, Request, Status};
use crate::error::HostError;
use crate::lanes::LaneCommand;
use crate::wait::nap;

/// Whether doors may send to shards: closed while all shards are asked about one thing.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    /// Threads between the look at `closed` and the end of their sending.
    entering: AtomicU32,
    /// Something is being done by one shard after the other.
    serving: AtomicBool,
}

impl Gate {
    /// Runs `send` unless the gate is closed. Says whether it ran.
    #[inline]
    pub(crate) fn pass<T>(&self, send: impl FnOnce() -> T) -> Option<T> {
        self.entering.fetch_add(1, Ordering::AcqRel);
        // ORDERING: pairs with the fence in `close`: either this thread sees the gate closed, or who closes it sees it entering.
        fence(Ordering::SeqCst);
        let sent = (!self.closed.load(Ordering::Acquire)).then(send);
        self.entering.fetch_sub(1, Ordering::Release);
        sent
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // ORDERING: pairs with the fence in `pass`.
        fence(Ordering::SeqCst);
        while self.entering.load(Ordering::Acquire) > 0 {
            nap();
        }
    }

    /// Whether some shards may have done what others have not.
    pub(super) fn is_serving(&self) -> bool {
        // ORDERING: acquire, pairs with the release in `serve`: once it is false, what was done is in all logs.
        self.serving.load(Ordering::Acquire)
    }

    fn open(&self) {
        self.closed.store(false, Ordering::Release);
    }
}

/// A request for all shards, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    request: Request,
    reply: Sender<Answer>,
}

/// The way of one thread to the one that serves all shards: one request at a time.
#[derive(Debug)]
pub(crate) struct Counter {
    requests: Sender<Asked>,
    reply: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl Counter {
    pub(crate) fn new(requests: Sender<Asked>) -> Self {
        let (reply, answers) = channel();
        Self { requests, reply, answers }
    }

    /// Sends. `false`: the house is gone.
    pub(crate) fn send(&self, request: Request) -> bool {
        self.requests.send(Asked { request, reply: self.reply.clone() }).is_ok()
    }

    /// The answer, if it has come.
    pub(crate) fn poll(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Sends and waits. `None`: no answer within the time. One that comes later is passed over by its token.
    pub(crate) fn serve(&mut self, mut request: Request, timeout: Duration) -> Option<Answer> {
        // A channel of its own, so that a late answer finds nobody.
        let (reply, answers) = channel();
        request.token = 0;
        self.requests.send(Asked { request, reply }).ok()?;
        answers.recv_timeout(timeout).ok()
    }
}

/// The thread that serves all shards.
#[derive(Debug)]
pub(crate) struct Office {
    pub lines: Vec<Line>,
    pub logs: Vec<Arc<Log>>,
    pub requests: Receiver<Asked>,
    pub gate: Arc<Gate>,
    pub ids: Arc<HouseIds>,
    pub stop: Arc<AtomicBool>,
    pub crashed: Arc<AtomicBool>,
    pub error: Arc<Mutex<Option<HostError>>>,
}

/// Why not all shards have done a thing.
enum Undone {
    /// One of them is gone.
    Gone,
    /// One has no room: nothing was done.
    OutOfSpace,
    /// One of them refuses what others do.
    Disagree(String),
}

impl From<Gone> for Undone {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Office {
    /// Serves until told to stop and nobody waits.
    pub(crate) fn run(mut self) {
        loop {
            if self.crashed.load(Ordering::Acquire) {
                return;
            }
            match self.requests.recv_timeout(Duration::from_millis(20)) {
                Ok(Asked { request, reply }) => {
                    let mut answer = self.serve(&request);
                    answer.token = request.token;
                    // Who asked may be gone.
                    let _ = reply.send(answer);
                }
                Err(_) if self.stop.load(Ordering::Acquire) => return,
                Err(_) => {}
            }
        }
    }

    fn serve(&mut self, request: &Request) -> Answer {
        let command = &request.command;
        self.gate.serving.store(true, Ordering::Release);
        let done = if is_asked(command) {
            self.gate.close();
            let done = self.ask_and_do(request);
            self.gate.open();
            done
        } else {
            self.do_all(request)
        };
        self.gate.serving.store(false, Ordering::Release);
        match done {
            Ok(answer) => answer,
            Err(Undone::OutOfSpace) => Answer::bare(0, Status::OutOfSpace),
            Err(Undone::Gone) => Answer::bare(0, Status::Unknown),
            Err(Undone::Disagree(what)) => {
                tracing::error!(what, "the shards disagree");
                self.error.lock().get_or_insert(HostError::Disagree(what));
                Answer::bare(0, Status::Unknown)
            }
        }
    }

    fn ask_and_do(&mut self, request: &Request) -> Result<Answer, Undone> {
        let command = request.command;
        let votes = self.all(request.origin, LaneCommand::Ask(command))?;
        let refused = votes.iter().find(|vote| vote.status == Status::Refused);
        if let Some(vote) = refused {
            let refused = LaneCommand::Refuse(command, vote.reason);
            return Ok(self.lines[0].ask(request.origin, refused, &self.crashed)?);
        }
        let known = votes.iter().filter(|vote| vote.status == Status::Trade(Class::Duplicate)).count();
        if known == votes.len() {
            // Accepted before: the first shard records that.
            return Ok(self.lines[0].ask(request.origin, LaneCommand::Do(command), &self.crashed)?);
        }
        if known > 0 {
            return Err(Undone::Disagree("an id that only some shards know".into()));
        }
        let answer = self.do_all(request)?;
        if let Some(hash) = id_of(&command)
            && matches!(answer.status, Status::Action(class) | Status::Trade(class) if class.is_accepted())
        {
            self.ids.make_common(hash);
        }
        Ok(answer)
    }

    fn do_all(&mut self, request: &Request) -> Result<Answer, Undone> {
        let command = request.command;
        let first = self.until_done(0, request)?;
        if first.status == Status::OutOfSpace {
            return Err(Undone::OutOfSpace);
        }
        for line in &mut self.lines[1..] {
            line.send(request.origin, LaneCommand::Do(command));
        }
        let mut answers = vec![first];
        for shard in 1..self.lines.len() {
            let mut answer = self.lines[shard].wait(&self.crashed)?;
            // The first has it: the others have to.
            while answer.status == Status::OutOfSpace {
                std::thread::sleep(Duration::from_millis(1));
                answer = self.until_done(shard, request)?;
            }
            answers.push(answer);
        }
        if let Some(other) = answers.iter().find(|answer| outcome(answer) != outcome(&first)) {
            let what =
                format!("{:?} {} and {:?} {}", first.status, first.reason.code(), other.status, other.reason.code());
            return Err(Undone::Disagree(what));
        }
        if is_awaited(&command) {
            for (log, answer) in self.logs.iter().zip(&answers) {
                while !log.wait_durable(answer.sequence, Duration::from_millis(100)).map_err(|_| Undone::Gone)? {
                    if self.crashed.load(Ordering::Acquire) {
                        return Err(Undone::Gone);
                    }
                }
            }
        }
        Ok(first)
    }

    fn until_done(&mut self, shard: usize, request: &Request) -> Result<Answer, Gone> {
        self.lines[shard].ask(request.origin, LaneCommand::Do(request.command), &self.crashed)
    }

    fn all(&mut self, origin: Origin, what: LaneCommand) -> Result<Vec<Answer>, Undone> {
        for line in &mut self.lines {
            line.send(origin, what);
        }
        let mut answers = Vec::with_capacity(self.lines.len());
        for line in &mut self.lines {
            answers.push(line.wait(&self.crashed)?);
        }
        match answers.iter().find(|answer| matches!(answer.status, Status::OutOfSpace | Status::Unknown)) {
            Some(answer) if answer.status == Status::OutOfSpace => Err(Undone::OutOfSpace),
            Some(_) => Err(Undone::Gone),
            None => Ok(answers),
        }
    }
}

/// What has to be the same on all shards.
fn outcome(answer: &Answer) -> (Status, Reason, u32) {
    (answer.status, answer.reason, answer.name)
}

/// Whether positions of a shard may speak against it, or ids.
fn is_asked(command: &Command) -> bool {
    matches!(
        command,
        Command::Instrument(_) | Command::Contract(_) | Command::Action(_) | Command::PeriodLock(_) | Command::Amend(_)
    )
}

/// Whether its answer waits until it is durable everywhere. Names are many, and a start makes good what is lacking.
fn is_awaited(command: &Command) -> bool {
    !matches!(command, Command::Define { .. })
}

fn id_of(command: &Command) -> Option<TradeHash> {
    match command {
        Command::Action(input) => Some(input.hash),
        Command::Amend(input) => Some(input.hash),
        _ => None,
    }
}
