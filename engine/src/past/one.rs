//! One position's state at a moment, out of its own events and the facts.

use lotbook_core::Book;
use lotbook_core::apply::Place;
use lotbook_core::codec::Decoder;
use lotbook_core::event::{Class, CorrectedEvent, Event};
use lotbook_core::history::{Addition, History};
use lotbook_core::id::TradeHash;
use lotbook_core::legs::Leg;
use lotbook_core::lot_changes::{LotChange, lot_changes};
use lotbook_core::lots::Lot;
use lotbook_core::position::Position;
use lotbook_wal::{RecordBuffer, RecordHeader};

use super::chain::decode;
use super::{Past, PastError};
use crate::checkpoint::State;
use crate::idempotency::TradeIds;
use crate::limits::PAST_HELD_BYTES;
use crate::recovery;
use crate::side_log::Bodies;
use crate::waymarks::Raw;

/// A position at a moment.
#[derive(Debug)]
pub(super) struct One {
    /// The state, with this position alone, as number 0.
    pub(super) state: State,
    pub(super) history: History,
    /// Numbers of the positions that lots came from.
    pub(super) sources: Vec<u32>,
    /// Numbers of those that lots came from later: some may have been on their way.
    pub(super) later_sources: Vec<u32>,
    /// Corrections up to the moment, newest last.
    pub(super) corrections: Vec<Known>,
    /// Corrections after it are told lot by lot.
    since: Option<u64>,
    /// The lots before a correction whose end has not come.
    before: Option<Vec<Lot>>,
    bodies: Bodies,
}

/// A correction, with what was booked again behind it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) sequence: u64,
    pub(super) event: CorrectedEvent,
    /// The lots that it opens, changes and closes: before, and after.
    pub(super) lots: Vec<(Option<Lot>, Option<Lot>)>,
}

/// An event of the position on the way back.
enum Step {
    /// Copied out: on the way forward it is not read again.
    Here(Raw),
    /// At this address: a long history is not held in memory.
    There(u64),
}

/// What the walk back finds.
#[derive(Default)]
struct Found {
    /// The events up to the moment, newest first.
    events: Vec<Step>,
    /// Bytes of those that were copied out.
    bytes: usize,
    /// Most lots that a correction brings.
    lots: u32,
    /// Where lots came from after it.
    later_sources: Vec<u32>,
}

impl One {
    /// The state by the events of position `number` up to `known_at`; `None`: it had none by then.
    /// Corrections after the second of the two are told lot by lot.
    pub(super) fn read(
        past: &Past,
        number: u32,
        (known_at, since): (u64, Option<u64>),
        facts: &[Raw],
    ) -> Result<Option<Self>, PastError> {
        let found = find(past, number, known_at)?;
        if found.events.is_empty() {
            return Ok(None);
        }
        let events = found.events.len() + found.lots as usize;
        let mut one = Self {
            state: State::of(
                Book::of_one(&past.index.names.read(), events, facts.len()),
                TradeIds::new(events + facts.len() + 1),
            ),
            history: History::default(),
            sources: Vec::new(),
            later_sources: found.later_sources,
            corrections: Vec::new(),
            since,
            before: None,
            bodies: Bodies::default(),
        };
        let mut buffer = RecordBuffer::new();
        let mut decoder = Decoder::new();
        let mut facts = facts.iter().peekable();
        for step in found.events.iter().rev() {
            let (header, payload) = match step {
                Step::Here(raw) => (raw.header, &raw.payload[..]),
                Step::There(address) => {
                    past.record(*address, &mut buffer)?;
                    let record = buffer.record();
                    (record.header, record.payload)
                }
            };
            let is_before = |fact: &&Raw| fact.header.sequence < header.sequence;
            while let Some(fact) = facts.next_if(is_before) {
                let event = decode(&mut decoder, &fact.header, &fact.payload)?;
                one.apply(past, &fact.header, &event)?;
            }
            let event = decode(&mut decoder, &header, payload)?;
            one.tell_lots(&event);
            one.note(&header, &event);
            one.apply(past, &header, &event)?;
            one.follow_up(&header, &event);
        }
        for fact in facts {
            let event = decode(&mut decoder, &fact.header, &fact.payload)?;
            one.apply(past, &fact.header, &event)?;
        }
        one.end_lots();
        Ok(Some(one))
    }

    /// The position.
    pub(super) fn position(&self) -> &Position {
        &self.state.book.positions()[0]
    }

    /// Id of what came to this position: a trade, an action, a leg's cause.
    pub(super) fn id(&self, hash: TradeHash) -> Option<String> {
        let of_leg = || self.history.arrival(hash).map(|leg| leg.key.trade_id.as_str().to_owned());
        self.state.ids.id(hash).map(str::to_owned).or_else(of_leg)
    }

    /// What has left for a position.
    pub(super) fn sent_to(&self, target: &Position) -> impl Iterator<Item = &Leg> {
        let to = (target.account, target.instrument);
        self.state.book.legs().sent_by(0).iter().filter(move |leg| (leg.account, leg.instrument) == to)
    }

    /// Keeps what the state does not.
    fn note(&mut self, header: &RecordHeader, event: &Event<'_>) {
        let place = Place { sequence: header.sequence, address: header.address };
        if let Some((.., addition)) = Addition::of(event, place) {
            self.history.add(&addition);
        }
        match event {
            Event::Arrived(arrived) => {
                let source = arrived.due.leg.source;
                if !self.sources.contains(&source) {
                    self.sources.push(source);
                }
            }
            // What was shown before and after it: with the trades that are booked again behind it.
            Event::Corrected(corrected) => {
                let before = self.position().figures();
                if self.since.is_some_and(|since| header.sequence > since) {
                    self.before = Some(self.lots());
                }
                let event = CorrectedEvent { before, ..*corrected };
                self.corrections.push(Known { sequence: header.sequence, event, lots: Vec::new() });
            }
            _ => {}
        }
    }

    /// A trade that was booked again belongs to the correction before it: nobody saw the one without the other.
    fn follow_up(&mut self, header: &RecordHeader, event: &Event<'_>) {
        let (figures, version) = (self.position().figures(), self.position().version);
        if let Event::Trade(trade) = event
            && trade.class == Class::Rebooked
            && let Some(Known { sequence, event: correction, .. }) = self.corrections.last_mut()
        {
            (*sequence, correction.after, correction.version) = (header.sequence, figures, version);
        }
    }

    /// What comes next is not booked again behind a correction: that is complete.
    fn tell_lots(&mut self, next: &Event<'_>) {
        if !matches!(next, Event::Trade(trade) if trade.class == Class::Rebooked) {
            self.end_lots();
        }
    }

    fn end_lots(&mut self) {
        if let Some(before) = self.before.take() {
            let after = self.lots();
            let told = |change: LotChange| (change.before, change.after(&after).copied());
            let lots = lot_changes(&before, &after).into_iter().map(told).collect();
            if let Some(known) = self.corrections.last_mut() {
                known.lots = lots;
            }
        }
    }

    fn lots(&self) -> Vec<Lot> {
        self.state.book.lots().iter(&self.position().block).collect()
    }

    fn apply(&mut self, past: &Past, header: &RecordHeader, event: &Event<'_>) -> Result<(), PastError> {
        let outcome = match event {
            Event::Corrected(corrected) => Some(self.bodies.read(&past.side, corrected)?),
            _ => None,
        };
        let Some(event) = self.state.book.alone(event) else { return Ok(()) };
        recovery::apply(&mut self.state, header, &event, outcome.as_ref())
            .map_err(|unapplied| PastError::Misfit { sequence: unapplied.sequence, what: unapplied.what })
    }
}

fn find(past: &Past, number: u32, known_at: u64) -> Result<Found, PastError> {
    let mut found = Found::default();
    let mut decoder = Decoder::new();
    past.walk_events(number, known_at, |raw| {
        let header = &raw.header;
        let event = decode(&mut decoder, header, &raw.payload)?;
        // Nobody ever knew a group of records in part: a correction without what is booked again behind it.
        let is_in_part = found.events.is_empty() && header.group().continues();
        if header.sequence > known_at || is_in_part {
            if let Event::Arrived(arrived) = event
                && !found.later_sources.contains(&arrived.due.leg.source)
            {
                found.later_sources.push(arrived.due.leg.source);
            }
            return Ok(());
        }
        if let Event::Corrected(corrected) = event {
            found.lots = found.lots.max(corrected.after.lot_count).max(corrected.before.lot_count);
        }
        if found.bytes + raw.payload.len() <= PAST_HELD_BYTES {
            found.bytes += raw.payload.len();
            found.events.push(Step::Here(raw));
        } else {
            found.events.push(Step::There(header.address));
        }
        Ok(())
    })?;
    Ok(found)
}
