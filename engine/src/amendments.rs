//! Amendments on the shard's thread: routed by id, held until their target comes, booked right after it.
//!
//! The order of the steps is the shard's: decide, append, apply, answer. A held amendment is booked by an event of
//! its own behind its target's. When the log has no room for that event, or the process dies between the two, the
//! amendment is still held and its target known: the shard looks for such pairs until there are none.

use lotbook_core::Book;
use lotbook_core::amend::AmendInput;
use lotbook_core::amend_event::{AmendEvent, ResolveInput};
use lotbook_core::apply::Place;
use lotbook_core::book::NO_POSITION;
use lotbook_core::command::Origin;
use lotbook_core::decide_amend::{AmendDecision, Target};
use lotbook_core::event::{Class, Event, Reason};
use lotbook_core::held::Held;
use lotbook_core::id::TradeHash;
use lotbook_core::past::is_fact;
use lotbook_wal::NO_ADDRESS;

use crate::door::{Answer, Status};
use crate::idempotency::{First, Lookup, TradeIds};
use crate::limits::HELD_SLICE;
use crate::shard::{Journal, NotLogged, Shard, apply};

/// What the shard keeps for held amendments beside the book's state; found again at every start.
#[derive(Debug)]
pub(crate) struct Matching {
    /// Targets that came and whose held amendments are being booked; room for every held one.
    arrived: Vec<TradeHash>,
    /// Some held amendment may have a target that came: look at all, from this place in their order on.
    scan: Option<usize>,
}

impl Matching {
    /// Begins with a look at everything that is held: a crash may have come between a target and its amendment.
    pub(crate) fn new(held_max: usize) -> Self {
        Self { arrived: Vec::with_capacity(held_max + 1), scan: Some(0) }
    }
}

impl Shard {
    /// A cancel or correct from a door.
    pub(crate) fn amend(&mut self, token: u64, input: &AmendInput, origin: &Origin) -> Result<Answer, NotLogged> {
        self.lapse_if_overdue(input.hash)?;
        match self.ids.lookup_amend(input) {
            Lookup::New => self.new_amendment(token, input, origin),
            Lookup::Same(first) => self.known_amendment(token, input, origin, (Class::Duplicate, Reason::None), &first),
            Lookup::Conflict(first) => {
                self.known_amendment(token, input, origin, (Class::Rejected, Reason::IdConflict), &first)
            }
        }
    }

    fn new_amendment(&mut self, token: u64, input: &AmendInput, origin: &Origin) -> Result<Answer, NotLogged> {
        self.lapse_if_overdue(input.target)?;
        let target = self.ids.target(input.target, input.target_id.as_bytes());
        self.bring_up_target(&target)?;
        let mut decision = match self.gate.check_amend(&self.book, input) {
            Ok(()) => self.book.decide_amend(input, target, &mut self.scratch),
            Err(reason) => AmendDecision::apart(Class::Rejected, reason),
        };
        let is_kept = matches!(decision.class, Class::Provisional | Class::Applied | Class::Held);
        if is_kept && !self.ids.has_room(input.amend_id.as_bytes().len()) {
            decision = AmendDecision::apart(Class::Rejected, Reason::TradeIdCapacity);
        }
        let event = Event::Amended(decision.event(input, origin, &self.scratch));
        let place = log_amendment(&mut self.journal, &mut self.book, &mut self.ids, &event)?;
        self.log_digests_if_due(place);
        if decision.class == Class::Provisional || (decision.class == Class::Applied && self.seat.is_none()) {
            self.match_held(input.hash);
        }
        Ok(Answer {
            reason: decision.reason,
            first_class: decision.class,
            sequence: place.sequence,
            version: decision.version,
            position: decision.position,
            ..Answer::bare(token, Status::Trade(decision.class))
        })
    }

    /// An id that was accepted before: a record that changes nothing, and the first result.
    #[cold]
    fn known_amendment(
        &mut self,
        token: u64,
        input: &AmendInput,
        origin: &Origin,
        (class, reason): (Class, Reason),
        first: &First,
    ) -> Result<Answer, NotLogged> {
        let mut decision = AmendDecision::apart(class, reason);
        (decision.position, decision.version) = (first.position, first.version);
        if let Some(position) = self.book.positions().get(first.position as usize) {
            decision.of = (position.account, position.instrument);
        }
        decision.first = Some((first.sequence, first.address));
        let event = AmendEvent { first_class: first.class, ..decision.event(input, origin, &self.scratch) };
        let place = log_amendment(&mut self.journal, &mut self.book, &mut self.ids, &Event::Amended(event))?;
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

    /// An operator's resolution.
    pub(crate) fn resolve(&mut self, token: u64, input: &ResolveInput, origin: &Origin) -> Result<Answer, NotLogged> {
        let event = self.book.decide_resolve(input, origin);
        let position = self.book.positions().get(event.position as usize);
        let previous = position.filter(|_| event.reason == Reason::None).map_or(NO_ADDRESS, |p| p.last_address);
        let partition = self.book.partition(input.account, input.instrument);
        let logged = Event::Resolved(event);
        let place = self.journal.append(&logged, partition, previous)?;
        apply(&mut self.book, &logged, place, None);
        if event.reason == Reason::None {
            self.book.set_last_address(event.position, place.address);
        }
        self.journal.counters.count_other();
        self.log_digests_if_due(place);
        let status = if event.reason == Reason::None { Status::Done } else { Status::Refused };
        Ok(Answer {
            reason: event.reason,
            sequence: place.sequence,
            version: event.version,
            position: event.position,
            ..Answer::bare(token, status)
        })
    }

    /// Books what was held for a target that has just come, and what was held for that in turn.
    #[inline]
    pub(crate) fn match_held(&mut self, target: TradeHash) {
        if !self.book.held().is_empty() {
            self.match_arrived(target);
        }
    }

    #[cold]
    fn match_arrived(&mut self, target: TradeHash) {
        assert!(self.matching.arrived.is_empty());
        self.matching.arrived.push(target);
        while let Some(target) = self.matching.arrived.pop() {
            while let Some(held) = self.book.held().first_for(target).copied() {
                match self.book_held(&held) {
                    Ok(Class::Provisional | Class::Applied) => self.matching.arrived.push(held.input.hash),
                    Ok(_) => {}
                    Err(_) => {
                        // The target is in the log and stays accepted; its amendments follow when there is room.
                        self.matching.arrived.clear();
                        self.matching.scan = Some(0);
                        return;
                    }
                }
            }
        }
    }

    /// Everything that is due on the position of a target; an action has none.
    fn bring_up_target(&mut self, target: &Target) -> Result<(), NotLogged> {
        match target {
            Target::Trade { position, .. } | Target::Amendment { position } if *position != NO_POSITION => {
                self.bring_up(*position).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// The event of a held amendment whose target has come, or whose time has run out.
    pub(crate) fn book_held(&mut self, held: &Held) -> Result<Class, NotLogged> {
        let target = self.ids.target(held.input.target, held.input.target_id.as_bytes());
        self.bring_up_target(&target)?;
        let decision = self.book.decide_held(held, target, &mut self.scratch);
        let origin = Origin { occurred_at_ns: self.now_ns, causation: held.sequence, ..Origin::INTERNAL };
        let event = Event::Amended(decision.event(&held.input, &origin, &self.scratch));
        let place = log_amendment(&mut self.journal, &mut self.book, &mut self.ids, &event)?;
        self.log_digests_if_due(place);
        if self.matching.scan.is_some() {
            // What is gone moved the others up.
            self.matching.scan = Some(0);
        }
        Ok(decision.class)
    }

    /// Whoever is asked about an id whose time has run out finds it gone, however long the slices take.
    #[inline]
    pub(crate) fn lapse_if_overdue(&mut self, hash: TradeHash) -> Result<(), NotLogged> {
        let moves = self.book.date_moves();
        if self.book.held().first_overdue(moves).is_none() {
            return Ok(());
        }
        match self.book.held().find(hash).filter(|held| held.is_overdue(moves)).copied() {
            Some(held) => self.book_held(&held).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Between batches: a slice of what ran out of time, and of what a full log or a crash left behind. Says whether
    /// there was any.
    pub(crate) fn held_slice(&mut self) -> bool {
        if self.book.held().is_empty() {
            return false;
        }
        let mut worked = false;
        for _ in 0..HELD_SLICE {
            let Some(held) = self.book.held().first_overdue(self.book.date_moves()).copied() else { break };
            if !worked {
                self.stamp();
            }
            match self.book_held(&held) {
                Ok(_) => worked = true,
                Err(_) => return worked,
            }
        }
        worked | self.scan_slice()
    }

    fn scan_slice(&mut self) -> bool {
        let Some(from) = self.matching.scan else { return false };
        for at in from..from + HELD_SLICE {
            let Some(held) = self.book.held().get(at).copied() else {
                self.matching.scan = None;
                return true;
            };
            let target = self.ids.target(held.input.target, held.input.target_id.as_bytes());
            // Amendments of actions are a matter of all shards, and wait for the house.
            let is_common = matches!(target, Target::Action | Target::Amendment { position: NO_POSITION });
            let is_known = matches!(target, Target::Trade { .. } | Target::Amendment { .. }) || is_common;
            if is_known && !(is_common && self.seat.is_some()) {
                self.stamp();
                // What is found changes the order: begin again. Without room, in the next round.
                self.matching.scan = Some(0);
                let target = held.input.target;
                self.match_arrived(target);
                return self.book.held().first_for(target).is_none();
            }
        }
        self.matching.scan = Some(from + HELD_SLICE);
        true
    }
}

impl Shard {
    /// Records an amendment that is refused for a reason of another shard.
    pub(crate) fn refuse_amendment(
        &mut self,
        input: &AmendInput,
        origin: &Origin,
        reason: Reason,
    ) -> Result<Place, NotLogged> {
        let decision = AmendDecision::apart(Class::Rejected, reason);
        let event = Event::Amended(decision.event(input, origin, &self.scratch));
        let place = log_amendment(&mut self.journal, &mut self.book, &mut self.ids, &event)?;
        self.log_digests_if_due(place);
        Ok(place)
    }

    /// Lets a held amendment go: another shard, or all of them, have it. Says whether it was held.
    pub(crate) fn release(&mut self, hash: TradeHash, reason: Reason) -> Result<bool, NotLogged> {
        let Some(held) = self.book.held().find(hash).copied() else { return Ok(false) };
        let decision =
            AmendDecision { first: Some((held.sequence, held.address)), ..AmendDecision::apart(Class::Lapsed, reason) };
        let origin = Origin { occurred_at_ns: self.now_ns, causation: held.sequence, ..Origin::INTERNAL };
        let event = Event::Amended(decision.event(&held.input, &origin, &self.scratch));
        let place = log_amendment(&mut self.journal, &mut self.book, &mut self.ids, &event)?;
        self.log_digests_if_due(place);
        if self.matching.scan.is_some() {
            self.matching.scan = Some(0);
        }
        Ok(true)
    }
}

/// Logs and applies an amendment's event, keeps its position's back-link and its id.
fn log_amendment(
    journal: &mut Journal,
    book: &mut Book,
    ids: &mut TradeIds,
    event: &Event<'_>,
) -> Result<Place, NotLogged> {
    let Event::Amended(amend) = event else { unreachable!("called with amendments only") };
    let moves = amend.class == Class::Provisional;
    let of = book.positions().get(amend.position as usize);
    let fact = is_fact(event);
    let unmoved = if fact { book.last_fact() } else { NO_ADDRESS };
    let previous = of.filter(|_| moves).map_or(unmoved, |position| position.last_address);
    let partition = of.map_or(0, |position| book.partition(position.account, position.instrument));
    let place = journal.append(event, partition, previous)?;
    apply(book, event, place, None);
    if moves {
        book.set_last_address(amend.position, place.address);
    }
    if fact {
        book.set_last_fact(place.address);
    }
    ids.note_amend(amend, place.sequence, place.address);
    journal.counters.count_amendment(amend, book.held().len());
    Ok(place)
}
