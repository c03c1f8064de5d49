//! A worker of the coldpath: takes positions one after the other, replays, publishes, proposes.
//!
//! What fails is put back with a backoff by its stage. A panic is caught where the position is known: the position is tried again
//! with everything that the worker had in hand made anew.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lotbook_core::Scratch;
use lotbook_core::closed::Adjusted;
use lotbook_core::date::Date;
use lotbook_core::history::History;
use lotbook_core::id::{TradeHash, TradeId};
use lotbook_core::lot_changes::{LotChange, lot_changes};
use lotbook_core::outcome::Outcome;
use lotbook_core::replay::{ReplayError, ReplayRoom};
use lotbook_wal::Log;

use super::desk::Asker;
use super::queue::Lease;
use super::stream::{Loader, Stream, StreamError};
use super::{ColdQueue, Head, Paper, Proposal, Stage, Verdict, Watched};
use crate::clock::Clock;
use crate::limits::{COLD_GROUP_BYTES, NAMED_OF_NEWEST, RECONCILE_TRIES};
use crate::phase::Phases;
use crate::planted::{self, Bug};
use crate::read_model::{PositionView, ReadModel};
use crate::side_log::{BodyError, BodyRef, SideWriter};
use crate::views::UNNAMED;
use crate::wait::{WaitKind, Waiter};
use crate::waymarks::Waymarks;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Common {
    pub queue: Arc<ColdQueue>,
    pub log: Arc<Log>,
    pub side: SideWriter,
    pub model: Arc<ReadModel>,
    pub waymarks: Arc<Waymarks>,
    pub phases: Phases,
}

/// What one worker has in hand; made anew after a panic.
#[derive(Debug)]
struct Tools {
    scratch: Scratch,
    room: ReplayRoom,
    loader: Loader,
}

impl Tools {
    fn new() -> Self {
        Self { scratch: Scratch::unbounded(), room: ReplayRoom::new(0), loader: Loader::new() }
    }
}

/// How a try ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// The correction was accepted and is this version.
    Accepted(u64),
    /// The position trades on: after others it gets another turn.
    Again,
    /// It was reconciled meanwhile, or the host stops.
    Gone,
    /// Its body is written, and the proposal follows.
    Prepared,
}

/// A replay that may be proposed once it is durable.
struct Replayed {
    base_version: u64,
    seen: u32,
    cause: TradeHash,
    cause_sequence: u64,
    /// The newest record of the log that it rests on.
    read_sequence: u64,
    outcome: Box<Outcome>,
}

/// A position between its body and its proposal.
struct Prepared {
    lease: Lease,
    stream: Stream,
    replayed: Replayed,
    body: BodyRef,
    body_sequence: u64,
}

/// Why a try failed.
struct Failure {
    stage: Stage,
    error: String,
    is_unread: bool,
}

impl Failure {
    fn at(stage: Stage, error: impl ToString) -> Self {
        Self { stage, error: error.to_string(), is_unread: false }
    }
}

/// The worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub common: Arc<Common>,
    pub desk: Asker<Paper>,
    /// It is to end after the position that it has.
    pub retired: Arc<AtomicBool>,
    /// The position that it has, for the group; `u32::MAX` for none.
    pub has: Arc<AtomicU32>,
    stage: Stage,
    /// The shard watches a position for this desk.
    is_watching: bool,
}

/// Looks, 50 us apart, at whether the follower has seen the changes that a position has; then the proposal is refused and made again.
const CHANGES_LOOKS: u32 = 200;

/// No position.
pub(crate) const IDLE: u32 = u32::MAX;

impl Worker {
    pub(crate) fn new(common: Arc<Common>, desk: Asker<Paper>, retired: Arc<AtomicBool>, has: Arc<AtomicU32>) -> Self {
        Self { common, desk, retired, has, stage: Stage::Load, is_watching: false }
    }

    /// Serves positions until told to end; gives the desk back.
    pub(crate) fn run(mut self) -> Asker<Paper> {
        let common = self.common.clone();
        let mut tools = Tools::new();
        let retired = self.retired.clone();
        // ORDERING: acquire and release; they carry nothing but themselves.
        while let Some(leases) = common.queue.next(&common.phases, || !retired.load(Ordering::Acquire)) {
            match leases[..] {
                [lease] => self.guarded(lease, &mut tools, Self::reconcile),
                _ => self.reconcile_together(&leases, &mut tools),
            }
            self.has.store(IDLE, Ordering::Release);
        }
        self.desk
    }

    /// Does something with a position and tells the queue how it ended; a panic ends with it.
    fn guarded(
        &mut self,
        lease: Lease,
        tools: &mut Tools,
        what: impl FnOnce(&mut Self, Lease, &mut Tools) -> Result<Turn, Failure>,
    ) {
        let common = self.common.clone();
        let (queue, phases) = (&common.queue, &common.phases);
        self.has.store(lease.position, Ordering::Release);
        match catch_unwind(AssertUnwindSafe(|| what(self, lease, tools))) {
            Ok(Ok(Turn::Prepared)) => {}
            Ok(Ok(Turn::Accepted(version))) => queue.settled(lease, version, phases),
            Ok(Ok(Turn::Again | Turn::Gone)) => queue.put_back(lease, phases),
            Ok(Err(Failure { stage, error, is_unread })) => queue.failed(lease, stage, error, is_unread, phases),
            Err(panic) => {
                queue.counters().note_panic();
                *tools = Tools::new();
                self.clear_desk();
                self.end_watch();
                let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                let position = lease.position;
                tracing::error!(position, stage = self.stage.as_str(), words, "a coldpath worker panicked");
                queue.failed(lease, self.stage, format!("a worker panicked: {words}"), false, phases);
            }
        }
    }

    fn clock(&self) -> &Clock {
        self.common.queue.clock()
    }

    fn enter(&mut self, stage: Stage, position: u32) {
        self.stage = stage;
        if let Some(hook) = self.common.queue.config().on_stage {
            hook(stage, position);
        }
    }

    fn reconcile(&mut self, lease: Lease, tools: &mut Tools) -> Result<Turn, Failure> {
        let mut stream = self.common.queue.streams.lock().take(lease.position);
        let turn = self.tries(lease, &mut stream, tools);
        self.end_watch();
        self.common.queue.streams.lock().keep(lease.position, stream);
        turn
    }

    /// Several positions, whose bodies wait for the disk together. One that has moved on by then gets another turn, and is watched.
    fn reconcile_together(&mut self, leases: &[Lease], tools: &mut Tools) {
        let mut prepared: Vec<Prepared> = Vec::with_capacity(leases.len());
        let mut bytes = 0;
        for &lease in leases {
            self.guarded(lease, tools, |worker, lease, tools| {
                Ok(match worker.prepare(lease, tools)? {
                    Ok(found) => {
                        bytes += found.body.bytes as usize;
                        prepared.push(found);
                        Turn::Prepared
                    }
                    Err(turn) => turn,
                })
            });
            if bytes > COLD_GROUP_BYTES {
                self.propose_together(std::mem::take(&mut prepared), tools);
                bytes = 0;
            }
        }
        self.propose_together(prepared, tools);
    }

    fn propose_together(&mut self, prepared: Vec<Prepared>, tools: &mut Tools) {
        for one in prepared {
            self.guarded(one.lease, tools, |worker, lease, _| {
                let (position, mut stream) = (lease.position, one.stream);
                worker.stage = Stage::Publish;
                // The first one waits for nearly all.
                let verdict = worker.publish(lease, one.replayed, one.body, one.body_sequence);
                let turn = verdict.and_then(|verdict| match verdict {
                    None => Ok(Turn::Gone),
                    Some(verdict) => Ok(accepted(&worker.common, &mut stream, verdict)?.unwrap_or_else(|| {
                        stream.is_busy = true;
                        Turn::Again
                    })),
                });
                worker.common.queue.streams.lock().keep(position, stream);
                turn
            });
        }
    }

    /// Everything up to a body that is written, and not durable yet; or how the turn ended without.
    fn prepare(&mut self, lease: Lease, tools: &mut Tools) -> Result<Result<Prepared, Turn>, Failure> {
        let common = self.common.clone();
        let Some((view, head)) = self.standing(lease) else { return Ok(Err(Turn::Gone)) };
        let mut stream = common.queue.streams.lock().take(lease.position);
        if stream.is_busy {
            // It would have moved on again by the time that the others are ready.
            let turn = self.tries(lease, &mut stream, tools);
            self.end_watch();
            common.queue.streams.lock().keep(lease.position, stream);
            return turn.map(Err);
        }
        let done = match self.replay(&head, view.as_deref(), lease, &mut stream, tools) {
            Ok(Ok(replayed)) => {
                self.enter(Stage::Publish, lease.position);
                self.write(&replayed.outcome).map(|written| Ok((replayed, written)))
            }
            Ok(Err(turn)) => Ok(Err(turn)),
            Err(failure) => Err(failure),
        };
        match done {
            Ok(Ok((replayed, (body, body_sequence)))) => {
                Ok(Ok(Prepared { lease, stream, replayed, body, body_sequence }))
            }
            other => {
                common.queue.streams.lock().keep(lease.position, stream);
                other.map(|found| found.map(|_| unreachable!("it was prepared")))
            }
        }
    }

    fn tries(&mut self, lease: Lease, stream: &mut Stream, tools: &mut Tools) -> Result<Turn, Failure> {
        let common = self.common.clone();
        let (queue, position) = (&common.queue, lease.position);
        // A position that trades on is watched, so that a few trades since do not matter; one that did so the last time, at once.
        let mut is_busy = stream.is_busy;
        for _ in 0..RECONCILE_TRIES {
            let Some((view, mut head)) = self.standing(lease) else { return Ok(Turn::Gone) };
            if is_busy {
                let Some(watched) = self.watch(position) else { return Ok(Turn::Gone) };
                (head.version, head.address, head.seen) = (watched.version, watched.address, watched.seen);
                self.await_changes(&head, watched.seen);
            }
            let replayed = match self.replay(&head, view.as_deref(), lease, stream, tools)? {
                Ok(replayed) => replayed,
                Err(turn) => return Ok(turn),
            };
            match queue.head(lease) {
                None => return Ok(Turn::Gone),
                // It has moved on while it was replayed, so it would again while the body is written.
                Some(now) if now.version > stream.version && !is_busy => {
                    is_busy = true;
                    continue;
                }
                Some(_) => {}
            }
            self.enter(Stage::Publish, position);
            let (body, body_sequence) = self.write(&replayed.outcome)?;
            match self.publish(lease, replayed, body, body_sequence)? {
                None => return Ok(Turn::Gone),
                Some(verdict) => match accepted(&common, stream, verdict)? {
                    Some(turn) => return Ok(turn),
                    None => is_busy = true,
                },
            }
        }
        Ok(Turn::Again)
    }

    /// Where a position stands, and what was published of it before that was known; `None`: it is in other hands.
    fn standing(&self, lease: Lease) -> Option<(Option<Arc<PositionView>>, Head)> {
        let Head { account, instrument, .. } = self.common.queue.head(lease)?;
        // The follower tells the queue before it publishes: what was published is of no later version than the queue knows then.
        let view = self.common.model.position(account, instrument);
        Some((view, self.common.queue.head(lease)?))
    }

    /// Reads what there is up to the head and replays it; or how the turn ends without.
    fn replay(
        &mut self,
        head: &Head,
        view: Option<&PositionView>,
        lease: Lease,
        stream: &mut Stream,
        tools: &mut Tools,
    ) -> Result<Result<Replayed, Turn>, Failure> {
        let common = self.common.clone();
        let (queue, position) = (&common.queue, lease.position);
        self.enter(Stage::Load, position);
        tools.loader.catch_up((&common.log, &common.waymarks), position, stream, head).map_err(unread)?;
        let Some((cause, cause_sequence)) = stream.cause() else {
            return match queue.head(lease) {
                // A defect: were it taken for reconciled, it would be taken up again at once, for ever.
                Some(now) if now.version == stream.version => {
                    Err(Failure::at(Stage::Load, "the position's events do not say what it waits for"))
                }
                // Reconciled a moment ago, and the follower has not seen it yet.
                _ => Ok(Err(Turn::Accepted(stream.version))),
            };
        };
        let told = tools.loader.told((&common.log, common.side.log()), stream, view).map_err(unread)?;
        let Some(told) = told else {
            self.await_view(head, stream.version);
            return Ok(Err(Turn::Again));
        };
        self.enter(Stage::Replay, position);
        // Read after the head: what the position has seen is in it.
        let rules = queue.changes.of(head.instrument);
        let (by, has_seen) = (rules.by(head.multiplier_e8), rules.changes == head.seen);
        let mut outcome = stream
            .course
            .replay(&by, has_seen, &mut tools.room, &mut tools.scratch)
            .map_err(|error| Failure::at(Stage::Replay, describe(&error)))?;
        queue.counters().note_items(stream.course.booked() as u64);
        outcome.changed = lot_changes(&told, &outcome.lots);
        outcome.changed_ids = ids_of_changed(&outcome, view, &stream.course.history);
        outcome.adjusted = self
            .adjusted(stream, head, &outcome)
            .map_err(|error| Failure { is_unread: true, ..Failure::at(Stage::Load, error) })?;
        Ok(Ok(Replayed {
            base_version: stream.version,
            seen: rules.changes,
            cause,
            cause_sequence,
            read_sequence: stream.read_sequence.max(rules.sequence),
            outcome: Box::new(outcome),
        }))
    }

    fn write(&self, outcome: &Outcome) -> Result<(BodyRef, u64), Failure> {
        self.common.side.write(outcome).map_err(|error| match error {
            BodyError::TooLarge(_) => Failure::at(Stage::Replay, error),
            error => Failure::at(Stage::Publish, error),
        })
    }

    /// Proposes once the body and what was replayed are durable; `None`: the host stops, or the position is in other hands.
    fn publish(
        &mut self,
        lease: Lease,
        replayed: Replayed,
        body: BodyRef,
        body_sequence: u64,
    ) -> Result<Option<Verdict>, Failure> {
        let common = self.common.clone();
        let written =
            common.side.await_durable(body_sequence, || common.queue.stopped() || planted::is(Bug::EventBeforeBody));
        if !planted::is(Bug::EventBeforeBody) && !written.map_err(|error| Failure::at(Stage::Publish, error))? {
            return Ok(None);
        }
        let Replayed { base_version, seen, cause, cause_sequence, read_sequence, outcome } = replayed;
        let is_durable = planted::is(Bug::ProposalBeforeDurable) || self.await_durable(read_sequence);
        if !is_durable || common.queue.head(lease).is_none() {
            // Stopped, or taken away meanwhile: whoever has it now does the work.
            return Ok(None);
        }
        let position = lease.position;
        Ok(self.propose(Proposal { position, base_version, seen, cause, cause_sequence, body, outcome }))
    }

    /// What the outcome changes in closed days, of what was reported of them.
    fn adjusted(&self, stream: &mut Stream, head: &Head, outcome: &Outcome) -> Result<Adjusted, BodyError> {
        let reported = &mut stream.course.history.reported;
        if head.closed_through != Date::NONE
            && let Some(body) = reported.unread()
        {
            reported.found(self.common.side.read(&body)?.days);
        }
        Ok(reported.adjusted(&outcome.days, head.closed_through))
    }

    /// Waits until what was replayed is durable; false when the log or the host stops. Nothing leaves before it is durable, and a
    /// proposal leaves this thread. The flush of the events ran beside that of the body, so this waits for little or nothing.
    fn await_durable(&self, sequence: u64) -> bool {
        loop {
            match self.clock().wait_durable(&self.common.log, sequence, Duration::from_millis(100)) {
                Ok(true) => return true,
                Ok(false) if !self.common.queue.stopped() => {}
                _ => return false,
            }
        }
    }

    /// Proposes and waits for the verdict; `None` when the shard is gone.
    fn propose(&mut self, proposal: Proposal) -> Option<Verdict> {
        match self.ask(Paper::Proposal(proposal))? {
            Paper::Verdict(verdict) => {
                // A verdict ends the watch.
                self.is_watching = false;
                Some(verdict)
            }
            other => unreachable!("the shard answers a proposal with a verdict, not {other:?}"),
        }
    }

    /// Asks for a watch and waits until it is on; `None` when the shard is gone.
    fn watch(&mut self, position: u32) -> Option<Watched> {
        match self.ask(Paper::Watch(position))? {
            Paper::Watched(watched) => {
                self.is_watching = true;
                Some(watched)
            }
            other => unreachable!("the shard answers a watch with where the position stands, not {other:?}"),
        }
    }

    /// What the shard keeps for this desk it keeps no more.
    fn end_watch(&mut self) {
        if std::mem::take(&mut self.is_watching) {
            drop(self.ask(Paper::Unwatch));
        }
    }

    fn ask(&mut self, paper: Paper) -> Option<Paper> {
        if self.desk.is_closed() {
            return None;
        }
        self.desk.ask(paper);
        self.await_answer()
    }

    fn await_answer(&mut self) -> Option<Paper> {
        // The shard answers within its turn: nearly always before a sleep would end.
        let mut waiter = Waiter::new(WaitKind::Park);
        loop {
            if let Some(answer) = self.desk.poll() {
                return Some(answer);
            }
            if self.desk.is_closed() || self.common.queue.stopped() {
                return None;
            }
            self.clock().idle(&mut waiter);
        }
    }

    /// After a panic: an answer that nobody waits for is taken off the desk.
    fn clear_desk(&mut self) {
        while self.desk.is_waiting() && !self.desk.is_closed() && !self.common.queue.stopped() {
            self.clock().sleep(Duration::from_micros(20));
        }
        drop(self.desk.poll());
    }

    /// Waits until the follower has published a version, or for its time.
    fn await_view(&self, head: &Head, version: u64) {
        let is_behind =
            || self.common.model.position(head.account, head.instrument).is_none_or(|view| view.version < version);
        for _ in 0..CHANGES_LOOKS {
            if self.common.queue.stopped() || !is_behind() {
                return;
            }
            self.clock().sleep(Duration::from_micros(50));
        }
    }

    /// What a position has seen is in what it is replayed by: the follower is a moment behind.
    fn await_changes(&self, head: &Head, seen: u32) {
        let queue = &self.common.queue;
        for _ in 0..CHANGES_LOOKS {
            if queue.stopped() || queue.changes.of(head.instrument).changes >= seen {
                return;
            }
            self.clock().sleep(Duration::from_micros(50));
        }
    }
}

/// What a verdict means for the stream that was replayed; `None`: the position has moved on.
fn accepted(common: &Common, stream: &mut Stream, verdict: Verdict) -> Result<Option<Turn>, Failure> {
    let base_version = stream.version;
    if verdict.accepted {
        common.queue.counters().note_correction();
        // The correction adds nothing to the inputs; what came behind it is read the next time.
        stream.accepted(base_version);
        stream.is_busy = verdict.version > base_version + 1;
        if verdict.version == base_version + 1 {
            stream.version = verdict.version;
            stream.course.history.reported.reconciled(verdict.outcome.days);
        }
        return Ok(Some(Turn::Accepted(verdict.version)));
    }
    if verdict.fits { Ok(None) } else { Err(Failure::at(Stage::Replay, "no room for its lots")) }
}

/// Ids of the trades that opened the lots that a correction changes: as published of those that were there before, else out of the history.
/// What arrived from another position since is known to that one only.
fn ids_of_changed(outcome: &Outcome, view: Option<&PositionView>, history: &History) -> Vec<TradeId> {
    let origin = |change: &LotChange| change.before.as_ref().or(change.after(&outcome.lots)).map(|lot| lot.origin);
    let mut ids: HashMap<TradeHash, Option<TradeId>> =
        outcome.changed.iter().filter_map(|change| Some((origin(change)?, None))).collect();
    let mut unnamed = ids.len();
    let published = view.into_iter().flat_map(|view| &view.lots).filter(|lot| &*lot.trade_id != UNNAMED);
    let published = published.filter_map(|lot| Some((lot.origin, TradeId::new(lot.trade_id.as_bytes())?)));
    for (hash, id) in published.chain(history.newest_ids().take(NAMED_OF_NEWEST)) {
        if unnamed == 0 {
            break;
        }
        if let Some(named) = ids.get_mut(&hash).filter(|named| named.is_none()) {
            *named = Some(id);
            unnamed -= 1;
        }
    }
    let id = |change: &LotChange| origin(change).and_then(|origin| ids[&origin]).unwrap_or(TradeId::EMPTY);
    outcome.changed.iter().map(id).collect()
}

fn unread(error: StreamError) -> Failure {
    Failure { is_unread: error.is_unread(), ..Failure::at(Stage::Load, error) }
}

fn describe(error: &ReplayError) -> String {
    match error {
        ReplayError::Item(id, reason) => format!("replay of {id}: {}", reason.code()),
        ReplayError::Misfit(misfit) => misfit.to_string(),
    }
}
