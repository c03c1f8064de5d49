//! The courier: carries legs from the shard that sends them to the shard of their target, and held amendments to where
//! their target came.
//!
//! It reads what a follower shows, up to what is durable, and keeps nothing: whatever it has done is in the logs at both ends, and
//! whatever it does again is known there. So it may be killed between any two steps, and a new one goes on.
//!
//! A leg: *receive* at the target, wait until that is durable and shown, *delivered* at the source. Who reads that
//! nothing is on its way from a shard thus finds it at the target. A held amendment: *amend* at its target's shard, wait, *release*
//! where it was held; one of an action goes to all shards.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lotbook_core::carried::ReceivedEvent;
use lotbook_core::command::{Command, Origin};
use lotbook_core::event::{Class, Reason};
use lotbook_wal::Log;

use super::common::Counter;
use super::ids::{HouseIds, Whereabouts};
use super::layout::Layout;
use super::line::{Gone, Line};
use crate::door::{Answer, Request, Status};
use crate::lanes::LaneCommand;
use crate::read_model::{HeldView, Outbox, ReadModel};

/// A step of the courier, for tests that end it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Before legs of a shard are brought to their targets.
    Receive,
    /// One leg of them is with its target's shard, and perhaps not durable.
    Received,
    /// All of them are durable at their targets; the source has not been told.
    Delivered,
    /// The source has been told.
    Told,
    /// Before a held amendment goes to its target's shard.
    Amend,
    /// It is durable there, and still held where it was.
    Amended,
    /// It was released where it was held.
    Released,
}

/// Called at each step; `false` ends the courier there, as a kill does.
#[derive(Clone)]
pub struct StepHook(pub Arc<dyn Fn(Step) -> bool + Send + Sync>);

impl fmt::Debug for StepHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StepHook")
    }
}

/// How long it looks for something to carry.
const IDLE: Duration = Duration::from_micros(300);
/// How long it lets a shard without room be.
const NO_ROOM: Duration = Duration::from_millis(2);
/// How long the serving of an amendment of an action may take.
const COMMON: Duration = Duration::from_secs(60);

/// What the courier sees of a shard, and its way to it.
#[derive(Debug)]
pub(crate) struct Stop {
    pub line: Line,
    pub log: Arc<Log>,
    pub model: Arc<ReadModel>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Courier {
    pub stops: Vec<Stop>,
    pub layout: Layout,
    pub ids: Arc<HouseIds>,
    pub counter: Counter,
    pub stop: Arc<AtomicBool>,
    pub crashed: Arc<AtomicBool>,
    pub hook: Option<StepHook>,
}

impl Courier {
    /// Carries until told to stop, or until a shard is gone.
    pub(crate) fn run(mut self) {
        let ends = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        while !ends(&self.stop) && !ends(&self.crashed) {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => std::thread::sleep(IDLE),
                Err(Gone) => return,
            }
        }
    }

    /// Once around. Says whether there was anything to carry.
    fn turn(&mut self) -> Result<bool, Gone> {
        let mut worked = false;
        for shard in 0..self.stops.len() {
            let outbox = self.stops[shard].model.outbox();
            if !outbox.first.is_empty() {
                worked |= self.carry(shard as u16, &outbox)?;
            }
            for held in self.stops[shard].model.held().iter() {
                worked |= self.move_held(shard as u16, held)?;
            }
        }
        Ok(worked)
    }

    fn step(&self, step: Step) -> Result<(), Gone> {
        let goes_on = self.hook.as_ref().is_none_or(|hook| hook.0(step));
        if goes_on && !self.crashed.load(Ordering::Acquire) { Ok(()) } else { Err(Gone) }
    }

    /// Legs of one shard.
    fn carry(&mut self, from: u16, outbox: &Outbox) -> Result<bool, Gone> {
        self.await_durable(from, outbox.sequence)?;
        self.step(Step::Receive)?;
        let mut reached = vec![0u64; self.stops.len()];
        let mut through = 0;
        for leg in &outbox.first {
            let to = usize::from(self.layout.shard_of(leg.partition));
            let event = ReceivedEvent {
                origin: Origin::INTERNAL,
                shard: from,
                number: leg.number,
                from: leg.from,
                lot_id: leg.lot_id,
                due: leg.due,
            };
            let answer = self.stops[to].line.ask(Origin::INTERNAL, LaneCommand::Receive(event), &self.crashed)?;
            match answer.status {
                Status::Done => {}
                Status::OutOfSpace => {
                    std::thread::sleep(NO_ROOM);
                    break;
                }
                _ => return Err(Gone),
            }
            // What was known before left no event: all that is there by now is waited for.
            let now = if answer.sequence == 0 { self.stops[to].log.published_sequence() } else { answer.sequence };
            reached[to] = reached[to].max(now);
            through = leg.number;
            self.step(Step::Received)?;
        }
        if through == 0 {
            return Ok(false);
        }
        for (to, sequence) in reached.iter().enumerate() {
            self.await_shown(to as u16, *sequence)?;
        }
        self.step(Step::Delivered)?;
        let told = self.tell(from, LaneCommand::Delivered(through))?;
        self.step(Step::Told)?;
        // Until its follower shows it, the same would be carried again.
        self.await_shown(from, told.sequence)?;
        Ok(true)
    }

    /// A held amendment whose target is at another shard, or at all of them.
    fn move_held(&mut self, from: u16, held: &HeldView) -> Result<bool, Gone> {
        let input = held.input;
        let to = match self.ids.accepted_by(input.target) {
            None => return Ok(false),
            Some(Whereabouts::Shard(shard)) if shard == from => return Ok(false),
            Some(Whereabouts::Shard(shard)) => shard,
            Some(_) => return self.hand_in(from, held),
        };
        self.step(Step::Amend)?;
        let origin = Origin { causation: held.sequence, ..Origin::INTERNAL };
        let answer = self.stops[usize::from(to)].line.ask(origin, LaneCommand::Amend(input), &self.crashed)?;
        let reason = match answer.status {
            Status::Trade(Class::Rejected) => answer.reason,
            Status::Trade(_) => Reason::None,
            Status::OutOfSpace => {
                std::thread::sleep(NO_ROOM);
                return Ok(false);
            }
            _ => return Err(Gone),
        };
        self.await_shown(to, answer.sequence)?;
        self.step(Step::Amended)?;
        if reason == Reason::None {
            self.ids.moved(input.hash, to, answer.sequence);
        }
        let released = self.tell(from, LaneCommand::Release(input.hash, reason))?;
        self.step(Step::Released)?;
        self.await_shown(from, released.sequence)?;
        Ok(true)
    }

    /// A held amendment of an action: all shards take it, the one that held it too.
    fn hand_in(&mut self, from: u16, held: &HeldView) -> Result<bool, Gone> {
        self.step(Step::Amend)?;
        let origin = Origin { causation: held.sequence, ..Origin::INTERNAL };
        let request = Request { token: 0, origin, command: Command::Amend(held.input) };
        let Some(answer) = self.counter.serve(request, COMMON) else { return Err(Gone) };
        self.step(Step::Amended)?;
        match answer.status {
            Status::Trade(Class::Rejected) => {
                let released = self.tell(from, LaneCommand::Release(held.input.hash, answer.reason))?;
                self.await_shown(from, released.sequence)?;
            }
            Status::Trade(_) => {
                let sequence = self.stops[usize::from(from)].log.published_sequence();
                self.await_shown(from, sequence)?;
            }
            Status::OutOfSpace => std::thread::sleep(NO_ROOM),
            _ => return Err(Gone),
        }
        self.step(Step::Released)?;
        Ok(true)
    }

    /// Tells a shard until it has room for it.
    fn tell(&mut self, shard: u16, what: LaneCommand) -> Result<Answer, Gone> {
        loop {
            let answer = self.stops[usize::from(shard)].line.ask(Origin::INTERNAL, what, &self.crashed)?;
            match answer.status {
                Status::OutOfSpace if !self.stop.load(Ordering::Acquire) => std::thread::sleep(NO_ROOM),
                Status::Unknown | Status::OutOfSpace => return Err(Gone),
                _ => return Ok(answer),
            }
        }
    }

    fn await_durable(&self, shard: u16, sequence: u64) -> Result<(), Gone> {
        let log = &self.stops[usize::from(shard)].log;
        while !log.wait_durable(sequence, Duration::from_millis(50)).map_err(|_| Gone)? {
            if self.crashed.load(Ordering::Acquire) {
                return Err(Gone);
            }
        }
        Ok(())
    }

    /// Waits until an event is durable and in the published positions.
    fn await_shown(&self, shard: u16, sequence: u64) -> Result<(), Gone> {
        self.await_durable(shard, sequence)?;
        let model = &self.stops[usize::from(shard)].model;
        while model.published_sequence() < sequence {
            // At a clean stop the follower goes on until this thread has ended.
            if self.crashed.load(Ordering::Acquire) {
                return Err(Gone);
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Ok(())
    }
}
