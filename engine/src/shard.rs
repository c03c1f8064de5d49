//! The shard thread: owner of the book. Takes commands from its rings, decides, logs, applies, answers.
//!
//! Nothing here allocates, locks, makes a system call or formats in steady state. The order of the
//! steps is the promise: an answer leaves after the record is in the mapped tail, never before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam::queue::ArrayQueue;
use lotbook_core::action_input::ActionInput;
use lotbook_core::apply::Place;
use lotbook_core::codec;
use lotbook_core::command::{Command, Origin, TradeInput};
use lotbook_core::event::{Class, Event, Reason, TradeEvent};
use lotbook_core::gate::GateTerms;
use lotbook_core::id::NO_NAME;
use lotbook_core::limits::LOOK_AHEAD_MAX;
use lotbook_core::taking::ActionRoom;
use lotbook_core::{Book, Scratch};
use lotbook_wal::{AppendError, Appended, Appender, Group, Log, NO_ADDRESS, RecordMeta};

use crate::amendments::Matching;
use crate::clock::Clock;
use crate::coldpath::Paper;
use crate::coldpath::desk::Desks;
use crate::coldpath::watch::Watches;
pub use crate::counters::Counters;
use crate::door::{Answer, DoorEnd, Request, Status};
use crate::fault::{Fault, PLANT_EVERY};
use crate::idempotency::{First, Lookup, TradeIds};
use crate::lanes::LaneEnd;
use crate::limits::{DIGEST_EVERY, DOOR_BATCH};
use crate::past::fact::log_chained;
use crate::phase::{Phase, Phases};
use crate::taking::Sweep;
use crate::wait::{WaitKind, Waiter};

/// How a shard is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stop {
    No = 0,
    /// Answer what is in the rings, write digests, close the log.
    Clean = 1,
    /// Stop at once and leave everything as it is, as a killed process does.
    Crash = 2,
}

/// Why the shard cannot log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotLogged {
    OutOfSpace,
    Latched,
}

/// The shard's end of the log.
pub(crate) struct Journal {
    pub appender: Appender,
    pub log: Arc<Log>,
    pub stop: Arc<AtomicU8>,
    pub counters: Arc<Counters>,
    pub clock: Clock,
}

impl Journal {
    /// Appends an event to the mapped tail. When the log thread is behind, this is the one place where
    /// the shard waits: no request is taken, so the rings fill and the doors hold their senders back.
    #[inline]
    pub(crate) fn append(&mut self, event: &Event<'_>, partition: u16, previous: u64) -> Result<Place, NotLogged> {
        self.append_in(event, partition, previous, Group::Single)
    }

    /// As [`Self::append`], as a record of a group.
    #[inline]
    pub(crate) fn append_in(
        &mut self,
        event: &Event<'_>,
        partition: u16,
        previous: u64,
        group: Group,
    ) -> Result<Place, NotLogged> {
        let meta =
            RecordMeta { kind: codec::kind_of(event), version: codec::SCHEMA_VERSION, partition, previous, group };
        loop {
            match self.appender.append(&meta, codec::payload_bytes(event), |payload| codec::encode(event, payload)) {
                Ok(Appended { sequence, address }) => return Ok(Place { sequence, address }),
                Err(AppendError::TailFull) => self.wait_for_tail()?,
                Err(AppendError::OutOfSpace) => return Err(NotLogged::OutOfSpace),
                Err(_) => return Err(NotLogged::Latched),
            }
        }
    }

    /// As [`Self::append_in`], for what a group goes on with: room was asked for, so space that is short now comes back.
    pub(crate) fn append_rest(
        &mut self,
        event: &Event<'_>,
        partition: u16,
        previous: u64,
        group: Group,
    ) -> Result<Place, NotLogged> {
        loop {
            match self.append_in(event, partition, previous, group) {
                Err(NotLogged::OutOfSpace) => self.wait_for_tail()?,
                other => return other,
            }
        }
    }

    #[cold]
    fn wait_for_tail(&self) -> Result<(), NotLogged> {
        self.counters.note_tail_full();
        // The log thread may need this core to make room.
        self.clock.nap();
        let crashed = self.stop.load(Ordering::Acquire) == Stop::Crash as u8;
        if crashed || self.log.latched().is_some() { Err(NotLogged::Latched) } else { Ok(()) }
    }
}

/// The shard. See the module's text.
pub(crate) struct Shard {
    pub book: Book,
    pub ids: TradeIds,
    pub gate: GateTerms,
    pub journal: Journal,
    pub scratch: Scratch,
    pub room: ActionRoom,
    pub sweep: Sweep,
    /// From which position on it is still to be seen whether one is behind: after a start, and where the log had no room.
    pub catch_up: Option<u32>,
    pub doors: Vec<DoorEnd>,
    pub new_doors: Arc<ArrayQueue<DoorEnd>>,
    pub desks: Desks<Paper>,
    pub watches: Watches,
    pub phases: Phases,
    pub wait: WaitKind,
    /// Wall clock of the current batch, UTC nanoseconds.
    pub now_ns: i64,
    /// Sequence from which the next digests are due.
    pub digest_due: u64,
    pub matching: Matching,
    /// Where this shard stands among those of a house; `None`: it is alone.
    pub seat: Option<u16>,
    /// Requests of the house's own threads.
    pub lanes: Vec<LaneEnd>,
    pub planted: Option<Planted>,
}

impl Shard {
    /// Runs until told to stop. A clean stop first serves what is in the rings and logs the digests.
    /// Gives the log's appender back: who stops the host closes it, or leaves it as a crash would.
    pub(crate) fn run(mut self) -> Appender {
        let mut waiter = Waiter::new(self.wait);
        loop {
            let worked = self.turn();
            match self.journal.stop.load(Ordering::Acquire) {
                stop if stop == Stop::Crash as u8 => return self.journal.appender,
                stop if stop == Stop::Clean as u8 && !worked => break,
                _ => {}
            }
            if worked {
                waiter.reset();
            } else {
                self.journal.counters.note_rest(self.journal.appender.next_sequence() - 1);
                waiter.idle();
            }
        }
        // A latched log takes nothing more; that error was answered already.
        let _ = self.log_digests();
        self.journal.appender
    }

    /// One round over all rings, in the order of their priority. Says whether there was work.
    pub(crate) fn turn(&mut self) -> bool {
        let mut worked = self.serve_lanes();
        for index in 0..self.doors.len() {
            worked |= self.serve(index);
        }
        worked |= self.serve_desk();
        worked |= self.mature_slice();
        worked |= self.take_slice();
        worked |= self.deliver_slice();
        worked |= self.catch_up_slice();
        worked |= self.held_slice();
        if !worked && let Some(door) = self.new_doors.pop() {
            self.doors.push(door);
            worked = true;
        }
        worked
    }

    pub(crate) fn stamp(&mut self) {
        self.now_ns = self.journal.clock.wall_ns();
    }

    fn serve(&mut self, index: usize) -> bool {
        if self.doors[index].requests.is_empty() {
            return false;
        }
        self.phases.enter(Phase::Append);
        self.stamp();
        for served in 0..DOOR_BATCH {
            if served % LOOK_AHEAD_MAX == 0 {
                self.look_ahead(index);
            }
            let Ok(request) = self.doors[index].requests.pop() else { break };
            let answer = self.answer(request);
            // A door has never more in flight than its answer ring holds.
            let pushed = self.doors[index].answers.push(answer);
            assert!(pushed.is_ok(), "answer ring is full");
        }
        self.phases.leave(Phase::Append);
        true
    }

    /// Brings near what the next trades of a door's ring will read.
    #[inline]
    fn look_ahead(&mut self, index: usize) {
        let requests = &mut self.doors[index].requests;
        let waiting = requests.slots().min(LOOK_AHEAD_MAX);
        // One alone has nothing to overlap with.
        if waiting < 2 {
            return;
        }
        // Nothing is taken out here.
        let Ok(chunk) = requests.read_chunk(waiting) else { return };
        let (front, back) = chunk.as_slices();
        let trades = front.iter().chain(back).filter_map(|request| match &request.command {
            Command::Trade(input) => Some(input),
            _ => None,
        });
        trades.clone().for_each(|input| self.ids.look_ahead(input.hash));
        self.book.look_ahead(trades.map(|input| (input.account, input.instrument)));
    }

    pub(crate) fn answer(&mut self, mut request: Request) -> Answer {
        request.origin.occurred_at_ns = self.now_ns;
        let answered = match &request.command {
            Command::Trade(input) if self.planted.is_none() => self.trade(request.token, input, &request.origin),
            Command::Trade(_) => self.trade_with_fault(&request),
            Command::Amend(input) => self.amend(request.token, input, &request.origin),
            Command::Resolve(input) => self.resolve(request.token, input, &request.origin),
            Command::Action(input) => self.action(request.token, input, &request.origin),
            command => self.other(request.token, command, &request.origin),
        };
        match answered {
            Ok(answer) => answer,
            Err(NotLogged::OutOfSpace) => {
                self.journal.counters.note_shed();
                Answer::bare(request.token, Status::OutOfSpace)
            }
            Err(NotLogged::Latched) => Answer::bare(request.token, Status::Unknown),
        }
    }

    pub(crate) fn other(&mut self, token: u64, command: &Command, origin: &Origin) -> Result<Answer, NotLogged> {
        let event = self.book.decide(command, origin, &mut self.scratch);
        let (reason, name) = match &event {
            Event::Defined { reason, id, .. } => (*reason, *id),
            Event::Instrument { reason, .. }
            | Event::Contract { reason, .. }
            | Event::BusinessDate { reason, .. }
            | Event::Mark { reason, .. } => (*reason, NO_NAME),
            Event::PeriodLock(lock) => (lock.reason, NO_NAME),
            _ => (Reason::None, NO_NAME),
        };
        let place = log_chained(&mut self.journal, &mut self.book, &event)?;
        self.journal.counters.count_other();
        self.log_digests_if_due(place);
        let status = if reason == Reason::None { Status::Done } else { Status::Refused };
        Ok(Answer { reason, sequence: place.sequence, name, ..Answer::bare(token, status) })
    }

    /// An action or a reset: one event, acknowledged at once; positions take it in slices.
    #[cold]
    pub(crate) fn action(&mut self, token: u64, input: &ActionInput, origin: &Origin) -> Result<Answer, NotLogged> {
        self.lapse_if_overdue(input.hash)?;
        let id = input.action_id.as_bytes();
        let mut event = self.book.decide_action(input, origin);
        match self.ids.lookup_action(input) {
            Lookup::New if !event.class.is_accepted() || self.ids.has_room(id.len()) => {}
            Lookup::New => (event.class, event.reason) = (Class::Rejected, Reason::TradeIdCapacity),
            Lookup::Same(first) => {
                (event.class, event.reason) = (Class::Duplicate, Reason::None);
                (event.first_class, event.first_sequence) = (first.class, first.sequence);
            }
            Lookup::Conflict(_) => (event.class, event.reason) = (Class::Rejected, Reason::IdConflict),
        }
        let place = log_chained(&mut self.journal, &mut self.book, &Event::Action(event))?;
        self.ids.note_action(&event, place.sequence, place.address);
        self.journal.counters.count_other();
        self.log_digests_if_due(place);
        // Amendments of actions are a matter of all shards, and wait for the house.
        if event.class.is_accepted() && self.seat.is_none() {
            self.match_held(input.hash);
        }
        Ok(Answer {
            reason: event.reason,
            first_class: event.first_class,
            sequence: place.sequence,
            first_sequence: event.first_sequence,
            ..Answer::bare(token, Status::Action(event.class))
        })
    }

    #[inline]
    fn trade(&mut self, token: u64, input: &TradeInput, origin: &Origin) -> Result<Answer, NotLogged> {
        self.lapse_if_overdue(input.hash)?;
        match self.ids.lookup(input) {
            // Its id was held here for another shard's position, and has just run out of time.
            Lookup::New if self.is_away(input.account, input.instrument) => {
                Ok(Answer { reason: Reason::HeldExpired, ..Answer::bare(token, Status::OutOfSpace) })
            }
            Lookup::New => self.new_trade(token, input, origin),
            Lookup::Same(first) => self.known_trade(token, input, origin, Class::Duplicate, Reason::None, &first),
            Lookup::Conflict(first) => {
                self.known_trade(token, input, origin, Class::Rejected, Reason::IdConflict, &first)
            }
        }
    }

    #[inline]
    fn new_trade(&mut self, token: u64, input: &TradeInput, origin: &Origin) -> Result<Answer, NotLogged> {
        if !self.book.is_quiet() {
            self.deliver_to(input.account, input.instrument)?;
            if let Some(position) = self.book.find(input.account, input.instrument) {
                self.bring_up(position)?;
            }
        }
        let mut decision = match self.gate.check_trade(&self.book, input) {
            Ok(()) => self.book.decide_trade(input, &mut self.scratch),
            Err(reason) => self.book.refuse(input, reason),
        };
        if decision.class.is_accepted() && !self.ids.has_room(input.trade_id.as_bytes().len()) {
            decision = self.book.refuse(input, Reason::TradeIdCapacity);
        }
        let event = Event::Trade(decision.event(input, origin, &self.scratch));
        let place = log_trade(&mut self.journal, &mut self.book, &event)?;
        if let Event::Trade(trade) = &event {
            self.ids.insert(trade, place.sequence, place.address);
            if self.watches.any() {
                self.watches.note(trade, place);
            }
        }
        self.log_digests_if_due(place);
        if decision.class.is_accepted() {
            self.follow_up(decision.position);
            self.match_held(input.hash);
        }
        Ok(Answer {
            reason: decision.reason,
            first_class: decision.class,
            sequence: place.sequence,
            version: decision.version,
            position: decision.position,
            realized_e16: decision.booked.realized_e16,
            ..Answer::bare(token, Status::Trade(decision.class))
        })
    }

    /// A trade id that was accepted before: a record that changes nothing, and the first result.
    #[cold]
    fn known_trade(
        &mut self,
        token: u64,
        input: &TradeInput,
        origin: &Origin,
        class: Class,
        reason: Reason,
        first: &First,
    ) -> Result<Answer, NotLogged> {
        let mut decision = self.book.refuse(input, reason);
        (decision.class, decision.position, decision.version) = (class, first.position, first.version);
        decision.first = Some((first.sequence, first.address));
        let trade = TradeEvent { first_class: first.class, ..decision.event(input, origin, &self.scratch) };
        let place = log_trade(&mut self.journal, &mut self.book, &Event::Trade(trade))?;
        self.log_digests_if_due(place);
        Ok(Answer {
            reason,
            first_class: first.class,
            sequence: place.sequence,
            first_sequence: first.sequence,
            version: first.version,
            position: first.position,
            ..Answer::bare(token, Status::Trade(class))
        })
    }

    #[inline]
    pub(crate) fn log_digests_if_due(&mut self, place: Place) {
        if place.sequence >= self.digest_due {
            // Without room or on a latched log the digests simply come later or not at all.
            let _ = self.log_digests();
        }
    }

    fn log_digests(&mut self) -> Result<(), NotLogged> {
        let event = Event::Digests {
            origin: Origin { occurred_at_ns: self.now_ns, ..Origin::INTERNAL },
            economic: self.book.economic_digest(),
            full: self.book.full_digest(),
        };
        let place = self.journal.append(&event, 0, NO_ADDRESS)?;
        self.digest_due = place.sequence + DIGEST_EVERY;
        Ok(())
    }
}

/// Logs and applies a trade's event and keeps the position's back-link.
#[inline]
pub(crate) fn log_trade(journal: &mut Journal, book: &mut Book, event: &Event<'_>) -> Result<Place, NotLogged> {
    let Event::Trade(trade) = event else { unreachable!("called with trades only") };
    let moves = trade.class.is_accepted();
    let previous = match book.positions().get(trade.position as usize) {
        Some(position) if moves => position.last_address,
        _ => NO_ADDRESS,
    };
    let partition = book.partition(trade.input.account, trade.input.instrument);
    let place = journal.append(event, partition, previous)?;
    apply(book, event, place, None);
    if moves {
        book.set_last_address(trade.position, place.address);
    }
    journal.counters.count_trade(trade.class);
    Ok(place)
}

#[inline]
pub(crate) fn apply(
    book: &mut Book,
    event: &Event<'_>,
    place: Place,
    outcome: Option<&lotbook_core::outcome::Outcome>,
) {
    // The event was decided on this very book a moment ago and is in the log already: a misfit is a
    // defect, and going on would acknowledge what recovery cannot repeat.
    if let Err(misfit) = book.apply(event, place, outcome) {
        panic!("event {}: {misfit}", place.sequence);
    }
}

/// State of a planted fault.
pub(crate) struct Planted {
    pub fault: Fault,
    pub seen: u64,
    /// Acknowledged and not logged.
    pub delayed: Vec<Request>,
}

impl Shard {
    /// Breaks a promise on purpose, for one trade in [`PLANT_EVERY`].
    #[cold]
    fn trade_with_fault(&mut self, request: &Request) -> Result<Answer, NotLogged> {
        let Command::Trade(input) = &request.command else { unreachable!("called with trades only") };
        let Some(planted) = &mut self.planted else { return self.trade(request.token, input, &request.origin) };
        planted.seen += 1;
        let (fault, hit) = (planted.fault, planted.seen.is_multiple_of(PLANT_EVERY));
        let sequence = self.journal.appender.next_sequence();
        let pretended = Answer {
            sequence,
            version: 1,
            first_class: Class::Applied,
            ..Answer::bare(request.token, Status::Trade(Class::Applied))
        };
        match fault {
            Fault::Drop if hit => Ok(pretended),
            Fault::AckBeforeLog if hit => {
                planted.delayed.push(*request);
                Ok(pretended)
            }
            Fault::Double if hit => {
                let answer = self.new_trade(request.token, input, &request.origin)?;
                let again = self.book.decide_trade(input, &mut self.scratch);
                let event = Event::Trade(again.event(input, &request.origin, &self.scratch));
                log_trade(&mut self.journal, &mut self.book, &event)?;
                Ok(answer)
            }
            Fault::WrongLot => {
                let wrong = self.wrong_lot(input).filter(|_| planted_due(&mut self.planted));
                let input = wrong.unwrap_or(*input);
                self.trade(request.token, &input, &request.origin)
            }
            _ => self.trade(request.token, input, &request.origin),
        }
    }

    /// The input with the newest lot named, where the rules would take another one.
    fn wrong_lot(&self, input: &TradeInput) -> Option<TradeInput> {
        let position = &self.book.positions()[self.book.find(input.account, input.instrument)? as usize];
        let count = position.block.len();
        let reduces = (position.quantity_e8 > 0) != (input.side.sign() > 0);
        if count < 2 || !reduces {
            return None;
        }
        let newest = self.book.lots().get(&position.block, count - 1);
        (newest.quantity_e8 >= input.quantity_e8).then_some(TradeInput { lot: newest.origin, ..*input })
    }
}

/// Every twentieth chance: reductions that could take a wrong lot are rarer than trades.
fn planted_due(planted: &mut Option<Planted>) -> bool {
    planted.as_mut().is_some_and(|p| {
        p.seen += 1;
        p.seen.is_multiple_of(20)
    })
}
