//! The follower: applies the log to a second book, publishes the read model, writes checkpoints,
//! feeds the coldpath, and compares digests with the shard through the log.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use lotbook_core::Book;
use lotbook_core::amend_event::AmendEvent;
use lotbook_core::apply::Place;
use lotbook_core::arrival::ArrivedEvent;
use lotbook_core::codec::Decoder;
use lotbook_core::command::NameClass;
use lotbook_core::event::{Class, CorrectedEvent, Event, Reason, TradeEvent};
use lotbook_core::history::Addition;
use lotbook_core::outcome::Outcome;
use lotbook_core::wide_event::{ActionEvent, TakenEvent};
use lotbook_wal::{Disk, Limit, Log, Reader, RecordHeader};
use parking_lot::Mutex;

use crate::checkpoint::{self, State};
use crate::clock::Clock;
use crate::coldpath::{ColdQueue, Head};
use crate::error::HostError;
use crate::house::ids::HouseIds;
use crate::limits::{FOLLOWER_BATCH, PUBLISH_BEHIND_MS};
use crate::past::Index;
use crate::phase::{Phase, Phases};
use crate::planted::{self, Bug};
use crate::read_model::ReadModel;
use crate::recovery::{self, is_log_record};
use crate::retention::holders::Checkpointed;
use crate::side_log;
use crate::views::{held, outbox, view};
use crate::wait::{WaitKind, Waiter};

/// First sleeps of an idle follower: nobody waits for it within a trade.
const IDLE_SLEEP: Duration = Duration::from_micros(200);

/// Sees every event on the follower's thread, before it is applied. For tools that need each trade's
/// figures; it slows the follower, never the shard.
pub trait Observer: Send {
    /// A trade, whatever became of it, and the book before it.
    fn trade(&mut self, before: &Book, header: &RecordHeader, event: &TradeEvent<'_>);
    /// A cancel or correct, whatever became of it, and the book before it.
    fn amended(&mut self, before: &Book, header: &RecordHeader, event: &AmendEvent<'_>);
    /// An action or a reset, whatever became of it.
    fn action(&mut self, _header: &RecordHeader, _event: &ActionEvent) {}
    /// A lot arrived from another position, and the book before it.
    fn arrived(&mut self, before: &Book, header: &RecordHeader, event: &ArrivedEvent<'_>) {
        let _ = (before, header, event);
    }

    /// What a position took of a change of history, and the book before it.
    fn taken(&mut self, _before: &Book, _header: &RecordHeader, _event: &TakenEvent<'_>) {}
    /// An accepted correction and its body, and the book before it.
    fn corrected(&mut self, before: &Book, header: &RecordHeader, event: &CorrectedEvent, outcome: &Outcome);
}

pub(crate) struct Follower {
    pub state: State,
    pub reader: Reader,
    pub log: Arc<Log>,
    pub side: Arc<Log>,
    pub bodies: side_log::Bodies,
    pub model: Arc<ReadModel>,
    pub past: Arc<Index>,
    pub queue: Arc<ColdQueue>,
    pub observer: Option<Box<dyn Observer>>,
    pub disk: Arc<dyn Disk>,
    pub checkpoints: PathBuf,
    pub checkpoint_records: u64,
    pub phases: Phases,
    /// No more events will come; ends when all are applied.
    pub finish: Arc<AtomicBool>,
    /// Ends at once.
    pub crash: Arc<AtomicBool>,
    pub error: Arc<Mutex<Option<HostError>>>,
    pub dirty: Dirty,
    pub checkpointed: u64,
    /// Space runs short, and the last checkpoints hold what could go.
    pub checkpoint_wanted: Arc<AtomicBool>,
    /// Among the shards of a house: its number, and who is told of ids that are free again.
    pub house: Option<(u16, Arc<HouseIds>)>,
    /// Told of each checkpoint.
    pub retention: Sender<Checkpointed>,
    /// Sequence in the side log of the newest body read.
    pub body: Option<u64>,
    pub clock: Clock,
}

/// Positions and instruments that changed since they were published.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    positions: Vec<u32>,
    position_is: Vec<bool>,
    instruments: Vec<u32>,
    instrument_is: Vec<bool>,
    all_instruments: bool,
    held: bool,
    breaks: bool,
    /// Positions that were published with adjustments, which a lock closes.
    adjusted: BTreeSet<u32>,
    /// What was on its way to other shards when it was last noted, as a generation.
    out: (u64, usize),
    out_is: bool,
    /// When the first of these changed, and when the batch began that is under way: microseconds of the clock.
    since_us: Option<u64>,
    now_us: u64,
}

fn mark(list: &mut Vec<u32>, is: &mut Vec<bool>, number: u32) {
    let index = number as usize;
    if is.len() <= index {
        is.resize(index + 1, false);
    }
    if !is[index] {
        is[index] = true;
        list.push(number);
    }
}

impl Dirty {
    fn out(&mut self, generation: (u64, usize)) {
        if self.out != generation {
            (self.out, self.out_is) = (generation, true);
            self.since_us.get_or_insert(self.now_us);
        }
    }

    fn held(&mut self) {
        self.held = true;
        self.since_us.get_or_insert(self.now_us);
    }

    fn position(&mut self, number: u32) {
        mark(&mut self.positions, &mut self.position_is, number);
        self.since_us.get_or_insert(self.now_us);
    }

    fn instrument(&mut self, number: u32) {
        mark(&mut self.instruments, &mut self.instrument_is, number);
        self.since_us.get_or_insert(self.now_us);
    }
}

impl Follower {
    /// Publishes everything that recovery found and queues what is PROVISIONAL.
    pub(crate) fn begin(&mut self) {
        self.dirty.now_us = self.clock.now_us();
        self.queue.changes.begin(&self.state.book, self.state.sequence);
        for number in 0..self.state.book.positions().len() as u32 {
            self.dirty.position(number);
            if !planted::is(Bug::ProvisionalForgotten) {
                self.feed_coldpath(number);
            }
        }
        for number in 0..self.state.book.names().len(NameClass::Instrument) as u32 {
            self.dirty.instrument(number);
        }
        for number in 0..self.state.book.names().len(NameClass::Currency) as u32 {
            self.model.publish_currency(number, self.state.book.names().str(NameClass::Currency, number));
        }
        self.dirty.held();
        self.dirty.breaks = true;
        self.dirty.out(self.state.book.legs().channels().generation());
        self.checkpointed = self.state.sequence;
        self.advance();
        self.publish();
    }

    /// Follows until told to end. The last thing a clean end does is a checkpoint.
    pub(crate) fn run(mut self) -> Option<Box<dyn Observer>> {
        let mut waiter = Waiter::with_sleep(WaitKind::Park, IDLE_SLEEP);
        // A correction is on its way, and somebody looks forward to it.
        let mut soon = Waiter::new(WaitKind::Park);
        loop {
            if self.crash.load(Ordering::Acquire) {
                return self.observer;
            }
            // Read before the batch: what was published before the flag is then in the log.
            let finish = self.finish.load(Ordering::Acquire);
            let count = match self.turn() {
                Ok(count) => count,
                Err(error) => {
                    tracing::error!(%error, "the follower stopped");
                    *self.error.lock() = Some(error);
                    return self.observer;
                }
            };
            if count > 0 {
                waiter.reset();
                soon.reset();
            } else if finish {
                self.publish();
                self.checkpoint();
                return self.observer;
            } else if self.state.book.provisional_positions() > 0 {
                soon.idle();
            } else {
                waiter.idle();
            }
        }
    }

    /// One batch, and what is due behind it: positions published, a checkpoint. Says how many records there were.
    pub(crate) fn turn(&mut self) -> Result<usize, HostError> {
        self.dirty.now_us = self.clock.now_us();
        let count = self.batch()?;
        let behind = count == FOLLOWER_BATCH;
        let due = |since_us: u64| !behind || self.clock.now_us() - since_us > PUBLISH_BEHIND_MS * 1_000;
        match self.dirty.since_us {
            Some(since_us) if due(since_us) => self.publish(),
            Some(_) => {}
            None => self.model.published(self.state.sequence),
        }
        let due = self.checkpoint_records > 0 && self.state.sequence >= self.checkpointed + self.checkpoint_records;
        if due || self.checkpoint_wanted.swap(false, Ordering::Relaxed) {
            self.checkpoint();
        }
        Ok(count)
    }

    fn batch(&mut self) -> Result<usize, HostError> {
        let mut decoder = Decoder::new();
        let mut count = 0;
        // What is published between batches holds whole groups.
        let mut is_in_group = false;
        while count < FOLLOWER_BATCH || is_in_group {
            let sequence = self.state.sequence;
            let diverged = |what: String| HostError::Diverged { sequence: sequence + 1, what };
            let Some(record) = self.reader.next(Limit::Applied).map_err(|error| diverged(error.to_string()))? else {
                break;
            };
            count += 1;
            let header = record.header;
            is_in_group = header.group().continues();
            if is_log_record(&header) {
                (self.state.sequence, self.state.checksum) = (header.sequence, header.checksum);
                continue;
            }
            let event = decoder
                .decode(header.kind, header.version, record.payload)
                .map_err(|error| diverged(error.to_string()))?;
            let outcome = match &event {
                Event::Corrected(corrected) => {
                    self.body = Some(corrected.body_sequence);
                    Some(self.bodies.read(&self.side, corrected).map_err(|error| diverged(error.to_string()))?)
                }
                _ => None,
            };
            if let Some(observer) = &mut self.observer {
                match (&event, &outcome) {
                    (Event::Trade(trade), _) => observer.trade(&self.state.book, &header, trade),
                    (Event::Amended(amend), _) => observer.amended(&self.state.book, &header, amend),
                    (Event::Action(action), _) => observer.action(&header, action),
                    (Event::Taken(taken), _) => observer.taken(&self.state.book, &header, taken),
                    (Event::Arrived(arrived), _) => observer.arrived(&self.state.book, &header, arrived),
                    (Event::Corrected(corrected), Some(outcome)) => {
                        observer.corrected(&self.state.book, &header, corrected, outcome);
                    }
                    _ => {}
                }
            }
            recovery::apply(&mut self.state, &header, &event, outcome.as_ref())
                .map_err(|error| diverged(error.what))?;
            if let Event::Defined { class, id, text, reason: Reason::None, .. } = &event {
                self.past.defined(*class, *id, text);
            }
            if let (Some((shard, ids)), Event::Amended(amend)) = (&self.house, &event)
                && amend.class == Class::Lapsed
                && amend.reason != Reason::None
            {
                ids.lapsed(amend.input.hash, *shard, header.sequence);
            }
            note(&mut self.dirty, &self.queue, &self.model, &self.state, &event);
        }
        if count > 0 {
            self.advance();
        }
        Ok(count)
    }

    fn feed_coldpath(&self, number: u32) {
        feed(&self.queue, &self.state, number);
    }

    fn advance(&self) {
        let book = &self.state.book;
        let digest = book.economic_digest();
        let legs = book.legs();
        let on_the_way = book.actions().pending().len() + legs.due_len() + legs.channels().out_len();
        let waiting = (book.provisional_positions(), on_the_way);
        self.past.advance(book);
        self.model.advance(self.state.sequence, waiting, book.business_date(), digest);
    }

    fn publish(&mut self) {
        let (book, names) = (&self.state.book, self.state.book.names());
        // Before the positions: who sees that a source is reconciled sees what it sent.
        if std::mem::take(&mut self.dirty.out_is) {
            self.model.publish_outbox(outbox(&self.state));
        }
        let has_others = book.legs().has_others();
        let positions = std::mem::take(&mut self.dirty.positions);
        self.past.moved(book, positions.iter().copied());
        for number in positions {
            self.dirty.position_is[number as usize] = false;
            let position = &book.positions()[number as usize];
            if has_others {
                let sources = book.sources_of(number);
                if !sources.is_empty() {
                    self.model.publish_sources((position.account, position.instrument), &sources);
                }
            }
            let view = view(&self.state, number);
            if view.adjusted.is_some() {
                self.dirty.adjusted.insert(number);
            }
            self.model.publish_position(number, (position.account, position.instrument), view);
        }
        let instruments = std::mem::take(&mut self.dirty.instruments);
        for &number in &instruments {
            self.dirty.instrument_is[number as usize] = false;
        }
        let all = std::mem::take(&mut self.dirty.all_instruments);
        let every = 0..if all { names.len(NameClass::Instrument) as u32 } else { 0 };
        for number in instruments.into_iter().chain(every) {
            if let Some(instrument) = book.instrument(number) {
                self.model.publish_instrument(number, instrument, book.mark(number));
            }
        }
        if std::mem::take(&mut self.dirty.held) {
            self.model.publish_held(held(&self.state));
        }
        if std::mem::take(&mut self.dirty.breaks) {
            self.model.publish_breaks(self.state.breaks.values().map(|breaks| breaks.len() as u64).sum());
        }
        self.model.publish_pending(book.unreconciled_positions(None) - book.provisional_positions());
        self.dirty.since_us = None;
        self.model.published(self.state.sequence);
    }

    fn checkpoint(&mut self) {
        if self.state.sequence == self.checkpointed {
            return;
        }
        self.phases.enter(Phase::Checkpoint);
        let book = &self.state.book;
        let version = |number: u32| book.positions().get(number as usize).map_or(0, |position| position.version);
        self.state.streams = self.queue.streams_up_to(version);
        let written = self
            .await_durable()
            .and_then(|()| checkpoint::write(&*self.disk, &self.checkpoints, self.log.log_id(), &self.state));
        self.state.streams = Vec::new();
        match written {
            Ok(_) => {
                self.model.checkpointed(self.state.sequence);
                // It ends after this thread; were it gone, more would be held than must be.
                let _ = self.retention.send(Checkpointed { sequence: self.state.sequence, body: self.body });
                // A warning that an earlier one left has come to its end; any other error has not.
                self.error.lock().take_if(|error| matches!(error, HostError::Checkpoint(_)));
            }
            // The log has everything; only the next start takes longer.
            Err(error) => {
                tracing::warn!(%error, "checkpoint not written");
                let mut first = self.error.lock();
                first.get_or_insert(HostError::Checkpoint(error.into()));
            }
        }
        // Also after a failure, so that it is not tried for every record.
        self.checkpointed = self.state.sequence;
        self.phases.leave(Phase::Checkpoint);
    }

    fn await_durable(&self) -> io::Result<()> {
        if planted::is(Bug::CheckpointBeforeDurable) {
            return Ok(());
        }
        while !self.crash.load(Ordering::Acquire) {
            match self.clock.wait_durable(&self.log, self.state.sequence, Duration::from_millis(100)) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        Err(io::Error::other("stopped"))
    }
}

fn feed(queue: &ColdQueue, state: &State, number: u32) {
    if let Some(head) = head(state, number) {
        queue.seen(number, head);
    }
}

/// Where a position stands for the coldpath, if it waits for that.
fn head(state: &State, number: u32) -> Option<Head> {
    let position = &state.book.positions()[number as usize];
    (position.provisional > 0).then(|| Head {
        version: position.version,
        address: position.last_address,
        account: position.account,
        instrument: position.instrument,
        frontier: position.frontier,
        multiplier_e8: state.book.instrument(position.instrument).map_or(0, |i| i.terms.multiplier_e8),
        seen: position.seen,
        late: position.provisional,
        closed_through: state.book.locks().through(position.account),
    })
}

/// What an applied event means for the follower's duties.
fn note(dirty: &mut Dirty, queue: &ColdQueue, model: &ReadModel, state: &State, event: &Event<'_>) {
    // Whoever has lots from a position shows its status too.
    if !state.book.legs().is_empty()
        && let Some((number, ..)) = Addition::of(event, Place { sequence: 0, address: 0 })
    {
        state.book.dependants_of(number).into_iter().for_each(|dependant| dirty.position(dependant));
    }
    dirty.out(state.book.legs().channels().generation());
    match event {
        Event::Trade(trade) if trade.class.is_a_version() => {
            dirty.position(trade.position);
            dirty.instrument(trade.input.instrument);
            dirty.breaks |= matches!(trade.class, Class::Matured | Class::Rebooked) && trade.reason != Reason::None;
            feed(queue, state, trade.position);
        }
        Event::Corrected(corrected) => {
            dirty.breaks = true;
            dirty.position(corrected.position);
            queue.corrected(corrected.position, head(state, corrected.position));
        }
        Event::Amended(amend) => {
            if amend.class == Class::Provisional {
                dirty.position(amend.position);
                feed(queue, state, amend.position);
            }
            if amend.class == Class::Applied {
                queue.changes.advance(&state.book, state.sequence);
                dirty.instrument(amend.instrument);
            }
            dirty.held();
        }
        Event::Resolved(resolved) if resolved.reason == Reason::None => dirty.position(resolved.position),
        Event::Taken(taken) => {
            dirty.position(taken.position);
            feed(queue, state, taken.position);
        }
        Event::Arrived(arrived) => {
            dirty.position(arrived.position);
            feed(queue, state, arrived.position);
        }
        Event::PeriodLock(lock) if lock.reason == Reason::None => {
            std::mem::take(&mut dirty.adjusted).into_iter().for_each(|number| dirty.position(number));
            // One shard grants no lock while a position waits. A lock that a house has decided may find one that a leg has just
            // reached, and it is replayed against the days that are closed now.
            if state.book.legs().has_others() {
                (0..state.book.positions().len() as u32).for_each(|number| feed(queue, state, number));
            }
        }
        Event::Received(received) => {
            if let Some(target) = state.book.find(received.due.leg.account, received.due.leg.instrument) {
                dirty.position(target);
                state.book.dependants_of(target).into_iter().for_each(|dependant| dirty.position(dependant));
            }
        }
        Event::Contract { .. } => queue.changes.advance(&state.book, state.sequence),
        Event::Action(action) => {
            queue.changes.advance(&state.book, state.sequence);
            dirty.instrument(action.input.instrument);
        }
        Event::Instrument { terms, .. } => dirty.instrument(terms.instrument),
        Event::Mark { mark, .. } => dirty.instrument(mark.instrument),
        Event::BusinessDate { .. } => {
            queue.changes.advance(&state.book, state.sequence);
            dirty.held();
            dirty.all_instruments = true;
            dirty.since_us.get_or_insert(dirty.now_us);
        }
        Event::Defined { class: NameClass::Currency, id, text, .. } => {
            model.publish_currency(*id, std::str::from_utf8(text).unwrap_or_default());
        }
        _ => {}
    }
}
