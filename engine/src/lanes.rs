//! Lanes: rings between a thread of the house and a shard, for what concerns more shards than one.
//!
//! Doors carry what one shard decides alone. Over a lane the house asks a shard before all of them do a thing, has it done
//! by each, brings legs of other shards, and takes away what went elsewhere. Nothing here waits: a shard answers each request
//! before it looks at its doors again.

use lotbook_core::amend::AmendInput;
use lotbook_core::carried::{DeliveredEvent, ReceivedEvent};
use lotbook_core::command::{Command, Origin};
use lotbook_core::event::{Class, Event, Reason};
use lotbook_core::id::{NameId, TradeHash};
use lotbook_core::wide_event::LockEvent;
use lotbook_wal::NO_ADDRESS;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::door::{Answer, Status};
use crate::idempotency::Lookup;
use crate::limits::LANE_SLOTS;
use crate::shard::{NotLogged, Shard, apply};

/// What a thread of the house wants of a shard.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "requests live in preallocated ring slots of one size")]
pub(crate) enum LaneCommand {
    /// Whether this shard would refuse it. Leaves no event, promises nothing.
    Ask(Command),
    /// All shards would accept it: do it.
    Do(Command),
    /// Record that it was refused.
    Refuse(Command, Reason),
    /// A held amendment comes from the shard that held it.
    Amend(AmendInput),
    /// A leg comes from another shard.
    Receive(ReceivedEvent),
    /// What this shard sent up to this number is durable at its targets.
    Delivered(u64),
    /// A held amendment is elsewhere by now, or came to nothing there.
    Release(TradeHash, Reason),
}

/// A request over a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneRequest {
    pub token: u64,
    pub origin: Origin,
    pub what: LaneCommand,
}

/// The house's side of a lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub requests: Producer<LaneRequest>,
    pub answers: Consumer<Answer>,
}

/// The shard's side of a lane.
#[derive(Debug)]
pub(crate) struct LaneEnd {
    requests: Consumer<LaneRequest>,
    answers: Producer<Answer>,
}

/// A new lane, both sides. The house has at most [`LANE_SLOTS`] in flight.
pub(crate) fn lane() -> (Lane, LaneEnd) {
    let (request_in, request_out) = RingBuffer::new(LANE_SLOTS);
    let (answer_in, answer_out) = RingBuffer::new(LANE_SLOTS);
    (Lane { requests: request_in, answers: answer_out }, LaneEnd { requests: request_out, answers: answer_in })
}

impl Shard {
    /// Serves what is in the lanes. Says whether there was anything.
    #[inline]
    pub(crate) fn serve_lanes(&mut self) -> bool {
        let mut worked = false;
        for index in 0..self.lanes.len() {
            while let Ok(request) = self.lanes[index].requests.pop() {
                self.stamp();
                let answer = self.answer_lane(&request);
                let pushed = self.lanes[index].answers.push(answer);
                assert!(pushed.is_ok(), "a lane has no more in flight than its ring holds");
                worked = true;
            }
        }
        worked
    }

    fn answer_lane(&mut self, request: &LaneRequest) -> Answer {
        let LaneRequest { token, what, .. } = *request;
        let origin = Origin { occurred_at_ns: self.now_ns, ..request.origin };
        let answered = match &what {
            LaneCommand::Ask(command) => {
                self.drain_doors();
                self.ask(token, command)
            }
            LaneCommand::Do(command) => {
                // What a door sent before comes before it. Names need not wait: nobody can have used them.
                if !matches!(command, Command::Define { .. }) {
                    self.drain_doors();
                }
                self.settled(token, command, &origin)
            }
            LaneCommand::Refuse(command, reason) => self.refuse(token, command, &origin, *reason),
            LaneCommand::Amend(input) => self.amend(token, input, &origin),
            LaneCommand::Receive(leg) => self.receive(token, &ReceivedEvent { origin, ..*leg }),
            LaneCommand::Delivered(through) => self.delivered(token, &DeliveredEvent { origin, through: *through }),
            LaneCommand::Release(hash, reason) => self.release(*hash, *reason).map(|was_held| {
                let sequence = if was_held { self.journal.appender.next_sequence() - 1 } else { 0 };
                Answer { sequence, ..Answer::bare(token, Status::Done) }
            }),
        };
        match answered {
            Ok(answer) => answer,
            Err(NotLogged::OutOfSpace) => Answer::bare(token, Status::OutOfSpace),
            Err(NotLogged::Latched) => Answer::bare(token, Status::Unknown),
        }
    }

    /// Serves what the doors' rings hold now, and no more of it: it came before what is to be done next.
    fn drain_doors(&mut self) {
        while let Some(door) = self.new_doors.pop() {
            self.doors.push(door);
        }
        for index in 0..self.doors.len() {
            for _ in 0..self.doors[index].requests.slots() {
                let Ok(request) = self.doors[index].requests.pop() else { break };
                let answer = self.answer(request);
                let pushed = self.doors[index].answers.push(answer);
                assert!(pushed.is_ok(), "answer ring is full");
            }
        }
    }

    /// Whether this shard would refuse a command, and why.
    fn ask(&mut self, token: u64, command: &Command) -> Result<Answer, NotLogged> {
        let told = |status, reason| Answer { reason, ..Answer::bare(token, status) };
        let (lookup, id_bytes) = match command {
            Command::Action(input) => {
                self.lapse_if_overdue(input.hash)?;
                (self.ids.lookup_action(input), input.action_id.as_bytes().len())
            }
            Command::Amend(input) => {
                self.lapse_if_overdue(input.hash)?;
                let is_held = self.book.held().find(input.hash).is_some();
                let lookup = self.ids.lookup_amend(input);
                let lookup = if is_held && matches!(lookup, Lookup::Same(_)) { Lookup::New } else { lookup };
                (lookup, input.amend_id.as_bytes().len())
            }
            _ => (Lookup::New, 0),
        };
        let reason = match lookup {
            Lookup::Conflict(_) => Reason::IdConflict,
            Lookup::Same(first) => {
                return Ok(Answer { first_class: first.class, ..told(Status::Trade(Class::Duplicate), Reason::None) });
            }
            Lookup::New if id_bytes > 0 && !self.ids.has_room(id_bytes) => Reason::TradeIdCapacity,
            Lookup::New => match command {
                Command::Amend(input) => {
                    let target = self.ids.target(input.target, input.target_id.as_bytes());
                    self.book.decide_amend(input, target, &mut self.scratch).reason
                }
                _ => reason_of(&self.book.decide(command, &Origin::INTERNAL, &mut self.scratch)),
            },
        };
        Ok(told(if reason == Reason::None { Status::Done } else { Status::Refused }, reason))
    }

    /// Does what all shards were asked about.
    fn settled(&mut self, token: u64, command: &Command, origin: &Origin) -> Result<Answer, NotLogged> {
        self.book.settle_for_all(true);
        let answered = match command {
            Command::Action(input) => self.action(token, input, origin),
            Command::Amend(input) => match self.book.held().find(input.hash).copied() {
                Some(held) => self.book_held(&held).map(|class| {
                    let sequence = self.journal.appender.next_sequence() - 1;
                    Answer { sequence, ..Answer::bare(token, Status::Trade(class)) }
                }),
                None => self.amend(token, input, origin),
            },
            command => self.other(token, command, origin),
        };
        self.book.settle_for_all(false);
        answered
    }

    /// Records a refusal that another shard is the reason for.
    fn refuse(&mut self, token: u64, command: &Command, origin: &Origin, reason: Reason) -> Result<Answer, NotLogged> {
        let refused = |place: lotbook_core::apply::Place, status| Answer {
            reason,
            sequence: place.sequence,
            ..Answer::bare(token, status)
        };
        if let Command::Amend(input) = command {
            let place = self.refuse_amendment(input, origin, reason)?;
            return Ok(refused(place, Status::Trade(Class::Rejected)));
        }
        let mut event = self.book.decide(command, origin, &mut self.scratch);
        let mut status = Status::Refused;
        match &mut event {
            Event::Instrument { reason: told, .. } | Event::Contract { reason: told, .. } => *told = reason,
            Event::PeriodLock(LockEvent { reason: told, .. }) => *told = reason,
            Event::Action(action) => {
                (action.class, action.reason, action.first_class) = (Class::Rejected, reason, Class::Rejected);
                status = Status::Action(Class::Rejected);
            }
            _ => unreachable!("the house asks about no other command"),
        }
        let place = self.journal.append(&event, 0, NO_ADDRESS)?;
        apply(&mut self.book, &event, place, None);
        self.journal.counters.count_other();
        self.log_digests_if_due(place);
        Ok(refused(place, status))
    }

    /// A leg of another shard. One that was taken before is answered and leaves no event.
    fn receive(&mut self, token: u64, event: &ReceivedEvent) -> Result<Answer, NotLogged> {
        if event.number <= self.book.legs().channels().last_received(event.shard) {
            return Ok(Answer::bare(token, Status::Done));
        }
        let leg = &event.due.leg;
        let logged = Event::Received(*event);
        let place = self.journal.append(&logged, self.book.partition(leg.account, leg.instrument), NO_ADDRESS)?;
        apply(&mut self.book, &logged, place, None);
        self.log_digests_if_due(place);
        Ok(Answer { sequence: place.sequence, ..Answer::bare(token, Status::Done) })
    }

    /// Legs are at their targets. What was told before is answered and leaves no event.
    fn delivered(&mut self, token: u64, event: &DeliveredEvent) -> Result<Answer, NotLogged> {
        let first = self.book.legs().channels().out().next().map(|(number, _)| number);
        if first.is_none_or(|first| first > event.through) {
            return Ok(Answer::bare(token, Status::Done));
        }
        let logged = Event::Delivered(*event);
        let place = self.journal.append(&logged, 0, NO_ADDRESS)?;
        apply(&mut self.book, &logged, place, None);
        self.log_digests_if_due(place);
        Ok(Answer { sequence: place.sequence, ..Answer::bare(token, Status::Done) })
    }

    /// Whether a position belongs to another shard. A door sends such a trade only where its id was known here a moment ago and
    /// has gone since; it is to be sent again.
    #[inline]
    pub(crate) fn is_away(&self, account: NameId, instrument: NameId) -> bool {
        self.seat.is_some() && !self.book.legs().is_home(self.book.partition(account, instrument))
    }
}

fn reason_of(event: &Event<'_>) -> Reason {
    match event {
        Event::Defined { reason, .. }
        | Event::Instrument { reason, .. }
        | Event::Contract { reason, .. }
        | Event::BusinessDate { reason, .. }
        | Event::Mark { reason, .. } => *reason,
        Event::PeriodLock(lock) => lock.reason,
        Event::Action(action) => action.reason,
        _ => Reason::None,
    }
}
