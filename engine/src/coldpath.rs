//! The coldpath: reconciles PROVISIONAL positions on a thread of its own.
//!
//! The set of PROVISIONAL positions is state; the queue here is only its shadow, fed by the follower
//! and rebuilt at every start. For a position the worker walks the back-links of its events, replays
//! the items of its history in chronological order, makes the outcome durable in the side log, and
//! proposes. The shard accepts when the position is still at the version that was replayed;
//! otherwise the worker reads what came meanwhile and proposes again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lotbook_core::Scratch;
use lotbook_core::apply::Place;
use lotbook_core::closed::Adjusted;
use lotbook_core::codec::{CodecError, Decoder};
use lotbook_core::date::Date;
use lotbook_core::history::{Addition, History};
use lotbook_core::id::{ChronoKey, NameId, TradeHash};
use lotbook_core::outcome::Outcome;
use lotbook_core::replay::ReplayError;
use lotbook_wal::{Appender, Limit, Log, NO_ADDRESS, ReadError, RecordBuffer};
use parking_lot::{Condvar, Mutex};
use rtrb::{Consumer, Producer};

use crate::changes::Changes;
use crate::limits::{RECONCILE_TRIES, STREAM_CACHE};
use crate::phase::{Phase, Phases};
use crate::side_log::{self, BodyError, BodyRef};

/// A proposal to the shard.
#[derive(Debug)]
pub struct Proposal {
    /// Position.
    pub position: u32,
    /// Version that was replayed.
    pub base_version: u64,
    /// Changes of history that are in it, as an ordinal.
    pub seen: u32,
    /// The first late trade since the last correction.
    pub cause: TradeHash,
    /// Sequence of its event.
    pub cause_sequence: u64,
    /// Where the outcome's body is.
    pub body: BodyRef,
    /// The outcome itself.
    pub outcome: Box<Outcome>,
}

/// The shard's verdict about a proposal.
#[derive(Debug)]
pub struct Verdict {
    /// Position.
    pub position: u32,
    /// Whether it was accepted.
    pub accepted: bool,
    /// Whether its lots would have found room.
    pub fits: bool,
    /// Version of the position before.
    pub version: u64,
    /// The outcome, back to be freed.
    pub outcome: Box<Outcome>,
}

/// Where a PROVISIONAL position stands, as the follower has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Version.
    pub version: u64,
    /// Address of the event of that version.
    pub address: u64,
    /// Instrument.
    pub instrument: NameId,
    /// Greatest key that is booked.
    pub frontier: ChronoKey,
    /// Multiplier of the instrument.
    pub multiplier_e8: i64,
    /// The last day that is closed for its account: it stays as long as the position is PROVISIONAL.
    pub closed_through: Date,
}

/// A position that cannot be reconciled without a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position.
    pub position: u32,
    /// Version at which it was tried.
    pub version: u64,
    /// Why.
    pub error: String,
    /// Its history could not be read: it is tried again when an archive may be back.
    pub unread: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<u32>,
    heads: HashMap<u32, Head>,
    /// Served right now.
    busy: Option<u32>,
    dead: Vec<DeadLetter>,
}

/// What the follower and the worker share.
#[derive(Debug)]
pub struct ColdQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Contracts and actions, as the follower has seen them.
    pub(crate) changes: Changes,
    paused: AtomicBool,
    stop: AtomicBool,
}

impl ColdQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(running: bool) -> Self {
        Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            changes: Changes::default(),
            paused: AtomicBool::new(!running),
            stop: AtomicBool::new(false),
        }
    }

    /// The follower saw an event of a PROVISIONAL position.
    pub fn seen(&self, position: u32, head: Head) {
        let mut waiting = self.waiting.lock();
        let new = waiting.heads.insert(position, head).is_none();
        // What came meanwhile may heal a position that could not be reconciled.
        let buried = waiting.dead.iter().position(|dead| dead.position == position && dead.version < head.version);
        if let Some(index) = buried {
            waiting.dead.swap_remove(index);
        }
        if new || buried.is_some() {
            waiting.order.push_back(position);
            self.changed.notify_all();
        }
    }

    /// The follower saw the correction.
    pub fn reconciled(&self, position: u32) {
        let mut waiting = self.waiting.lock();
        waiting.heads.remove(&position);
        waiting.order.retain(|&other| other != position);
        waiting.dead.retain(|dead| dead.position != position);
        self.changed.notify_all();
    }

    /// Lets the worker go on.
    pub fn resume(&self) {
        self.paused.store(false, Ordering::Release);
        self.changed.notify_all();
    }

    /// Lets the worker end its position and wait.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Release);
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Positions that wait or are served.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.lock().heads.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Positions that a person must look at.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.waiting.lock().dead.clone()
    }

    fn next(&self) -> Option<u32> {
        let mut waiting = self.waiting.lock();
        loop {
            if self.stopped() {
                return None;
            }
            waiting.busy = None;
            if !self.paused.load(Ordering::Acquire)
                && let Some(position) = waiting.order.pop_front()
            {
                waiting.busy = Some(position);
                return Some(position);
            }
            self.changed.wait_for(&mut waiting, Duration::from_millis(50));
        }
    }

    fn head(&self, position: u32) -> Option<Head> {
        self.waiting.lock().heads.get(&position).copied()
    }

    /// Back to the end of the queue, if it is still to be reconciled.
    fn put_back(&self, position: u32) {
        let mut waiting = self.waiting.lock();
        if waiting.heads.contains_key(&position) && !waiting.order.contains(&position) {
            waiting.order.push_back(position);
        }
    }

    /// Tries the positions again whose history could not be read.
    pub(crate) fn retry_unread(&self) {
        let mut waiting = self.waiting.lock();
        let Waiting { order, heads, dead, .. } = &mut *waiting;
        for letter in dead.extract_if(.., |dead| dead.unread) {
            if heads.contains_key(&letter.position) && !order.contains(&letter.position) {
                order.push_back(letter.position);
            }
        }
        self.changed.notify_all();
    }

    fn bury(&self, position: u32, version: u64, error: String) {
        self.bury_letter(DeadLetter { position, version, error, unread: false });
    }

    fn bury_letter(&self, letter: DeadLetter) {
        let DeadLetter { position, version, error, .. } = &letter;
        let (position, version) = (*position, *version);
        tracing::error!(position, version, error, "position cannot be reconciled");
        let mut waiting = self.waiting.lock();
        waiting.dead.retain(|dead| dead.position != position);
        // What came between the try and now may have healed it.
        if waiting.heads.get(&position).is_some_and(|head| head.version > version) {
            waiting.order.push_back(position);
        } else {
            waiting.dead.push(letter);
        }
    }
}

/// A position's history up to a version.
#[derive(Debug, Default)]
struct Stream {
    version: u64,
    /// The newest record of it.
    read_sequence: u64,
    history: History,
    /// What made the position wait since the last correction: the first by arrival.
    cause: Option<(TradeHash, u64)>,
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("reading the log: {0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Codec(CodecError),
    #[error("the back-links of the position lead to another position's event")]
    Astray,
}

/// The worker.
pub(crate) struct Worker {
    pub queue: Arc<ColdQueue>,
    pub log: Arc<Log>,
    pub side: Arc<Log>,
    pub side_appender: Appender,
    pub proposals: Producer<Proposal>,
    pub verdicts: Consumer<Verdict>,
    pub phases: Phases,
    pub scratch: Scratch,
    pub decoder: Decoder,
    pub buffer: RecordBuffer,
    pub streams: Streams,
}

/// Streams of recently served positions: a position that is corrected again is not read again.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    by_position: HashMap<u32, Stream>,
    recent: VecDeque<u32>,
}

impl Streams {
    fn take(&mut self, position: u32) -> Stream {
        self.recent.retain(|&other| other != position);
        self.by_position.remove(&position).unwrap_or_default()
    }

    fn keep(&mut self, position: u32, stream: Stream) {
        if self.recent.len() == STREAM_CACHE
            && let Some(oldest) = self.recent.pop_front()
        {
            self.by_position.remove(&oldest);
        }
        self.recent.push_back(position);
        self.by_position.insert(position, stream);
    }
}

impl Worker {
    /// Serves positions until told to stop; gives the side log's appender back.
    pub(crate) fn run(mut self) -> Appender {
        while let Some(position) = self.queue.next() {
            self.phases.enter(Phase::Correction);
            let mut stream = self.streams.take(position);
            self.reconcile(position, &mut stream);
            self.streams.keep(position, stream);
            self.phases.leave(Phase::Correction);
        }
        self.side_appender
    }

    fn reconcile(&mut self, position: u32, stream: &mut Stream) {
        for _ in 0..RECONCILE_TRIES {
            let Some(head) = self.queue.head(position) else { return };
            if let Err(error) = self.catch_up(position, stream, &head) {
                let unread = matches!(error, StreamError::Read(ReadError::Disk(_)));
                let (version, error) = (head.version, error.to_string());
                self.queue.bury_letter(DeadLetter { position, version, error, unread });
                return;
            }
            let Some((cause, cause_sequence)) = stream.cause else {
                // Reconciled a moment ago, and the follower has not seen it yet.
                std::thread::sleep(Duration::from_millis(1));
                break;
            };
            // Read after the head: what the position has seen is in it.
            let rules = self.queue.changes.of(head.instrument);
            let mut outcome = match rules.replay(&stream.history, head.multiplier_e8, &mut self.scratch) {
                Ok(outcome) => Box::new(outcome),
                Err(error) => {
                    self.queue.bury(position, head.version, describe(&error));
                    return;
                }
            };
            match self.adjusted(stream, &head, &outcome) {
                Ok(adjusted) => outcome.adjusted = adjusted,
                Err(error) => {
                    let (version, error) = (head.version, error.to_string());
                    self.queue.bury_letter(DeadLetter { position, version, error, unread: true });
                    return;
                }
            }
            let body = match side_log::write(&mut self.side_appender, &self.side, &outcome) {
                Ok(body) => body,
                Err(BodyError::OutOfSpace) => break,
                Err(error) => {
                    self.queue.bury(position, head.version, error.to_string());
                    return;
                }
            };
            let base_version = head.version;
            let seen = rules.changes;
            let proposal = Proposal { position, base_version, seen, cause, cause_sequence, body, outcome };
            if !self.await_durable(stream.read_sequence.max(rules.sequence)) {
                return;
            }
            match self.propose(proposal) {
                None => return,
                Some(verdict) if verdict.accepted => {
                    // The correction is the next version; the inputs are the same.
                    stream.version = base_version + 1;
                    stream.cause = None;
                    stream.history.reported.reconciled(verdict.outcome.days);
                    return;
                }
                Some(verdict) if !verdict.fits => {
                    self.queue.bury(position, base_version, "no room for its lots".into());
                    return;
                }
                Some(verdict) => self.await_follower(position, verdict.version),
            }
        }
        self.queue.put_back(position);
    }

    /// What the outcome changes in closed days, of what was reported of them.
    fn adjusted(&self, stream: &mut Stream, head: &Head, outcome: &Outcome) -> Result<Adjusted, BodyError> {
        let reported = &mut stream.history.reported;
        if head.closed_through != Date::NONE
            && let Some(body) = reported.unread()
        {
            reported.found(side_log::read_body(&self.side, &body)?.days);
        }
        Ok(reported.adjusted(&outcome.days, head.closed_through))
    }

    /// Reads the events after the stream's version, along the back-links.
    fn catch_up(&mut self, position: u32, stream: &mut Stream, head: &Head) -> Result<(), StreamError> {
        let mut address = head.address;
        let mut fresh: Vec<(u64, Addition)> = Vec::new();
        while address != NO_ADDRESS {
            // From the tail, a segment, or an archive, whichever has it. Applied is enough here: see `await_durable`.
            self.log.read_at(address, Limit::Applied, &mut self.buffer)?;
            let record = self.buffer.record();
            let header = record.header;
            stream.read_sequence = stream.read_sequence.max(header.sequence);
            address = header.previous;
            let event = self.decoder.decode(header.kind, header.version, record.payload).map_err(StreamError::Codec)?;
            let place = Place { sequence: header.sequence, address: header.address };
            let Some((_, version, addition)) = Addition::of(&event, place).filter(|found| found.0 == position) else {
                return Err(StreamError::Astray);
            };
            if version <= stream.version {
                break;
            }
            fresh.push((header.sequence, addition));
        }
        for (sequence, addition) in fresh.iter().rev() {
            match addition {
                Addition::Corrected { .. } => stream.cause = None,
                _ => stream.cause = stream.cause.or(addition.cause().map(|hash| (hash, *sequence))),
            }
            stream.history.add(addition);
        }
        stream.version = head.version;
        Ok(())
    }

    /// Waits until what was replayed is durable; false when the log or the host stops. Nothing leaves before it is durable, and a
    /// proposal leaves this thread. The flush of the events ran beside that of the body, so this waits for little or nothing.
    fn await_durable(&self, sequence: u64) -> bool {
        loop {
            match self.log.wait_durable(sequence, Duration::from_millis(100)) {
                Ok(true) => return true,
                Ok(false) if !self.queue.stopped() => {}
                _ => return false,
            }
        }
    }

    /// Proposes and waits for the verdict; `None` when the shard is gone.
    fn propose(&mut self, proposal: Proposal) -> Option<Verdict> {
        let mut proposal = Some(proposal);
        loop {
            if let Some(waiting) = proposal.take() {
                match self.proposals.push(waiting) {
                    Ok(()) => {}
                    Err(rtrb::PushError::Full(back)) => proposal = Some(back),
                }
            }
            if let Ok(verdict) = self.verdicts.pop() {
                return Some(verdict);
            }
            if self.verdicts.is_abandoned() || self.queue.stopped() {
                return None;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    fn await_follower(&self, position: u32, version: u64) {
        while !self.queue.stopped() && self.queue.head(position).is_some_and(|head| head.version < version) {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

fn describe(error: &ReplayError) -> String {
    match error {
        ReplayError::Item(id, reason) => format!("replay of {id}: {}", reason.code()),
        ReplayError::Misfit(misfit) => misfit.to_string(),
    }
}
