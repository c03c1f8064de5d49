//! The auditor: reads every record of the log as it appears, and holds it against what was promised, what is durable, and a book of
//! its own.
//!
//! It stays over deaths of the process: what it has seen below the floor of a death must be in the log that comes back, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use lotbook_core::apply::Place;
use lotbook_core::codec::Decoder;
use lotbook_core::event::{Class, CorrectedEvent, Event, Reason};
use lotbook_core::history::Addition;
use lotbook_core::mark::Valued;
use lotbook_core::position::Reconciliation;
use lotbook_core::wide_event::LockEvent;
use lotbook_engine::checkpoint::State;
use lotbook_engine::recovery::{self, is_log_record};
use lotbook_engine::{EngineConfig, Host, side_log};
use lotbook_wal::{From, Limit, Log, Reader};

/// What the auditor found.
#[derive(Debug)]
pub(crate) enum Finding {
    /// It cannot read: fair where calls are made to fail.
    Unread(String),
    /// Something is not as it must be, whatever the disk does.
    Wrong(String),
}

impl std::convert::From<String> for Finding {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

/// What is kept of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    checksum: u32,
    /// The step that asked for it, and what became of it; `None` where the engine made it.
    pub(crate) of: Option<(usize, Outcome)>,
    /// How many positions there were before it.
    pub(crate) positions: u32,
    /// Breaks that it resolves: whose, and the digest of their set.
    pub(crate) resolved: Option<(u32, u64)>,
}

/// What became of a step, as its event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) class: Option<Class>,
    pub(crate) reason: Reason,
}

/// What is counted, over all lives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) corrections: u64,
    pub(crate) rebooked: u64,
    pub(crate) arrived: u64,
    pub(crate) duplicates: u64,
    pub(crate) locks: u64,
    pub(crate) resolved: u64,
    pub(crate) marks: u64,
}

/// The auditor. See the module's text.
pub(crate) struct Auditor {
    records: Vec<Seen>,
    /// Highest sequences that were durable, and published, in this life.
    durable: u64,
    published: u64,
    /// Of the life that runs.
    life: Option<Life>,
    pub(crate) counts: Counts,
}

/// What the auditor has of one life of the process.
struct Life {
    reader: Reader,
    decoder: Decoder,
    state: State,
    accepted: BTreeSet<u128>,
    /// Sequence of the event of each version of a position.
    versions: BTreeMap<(u32, u64), u64>,
}

impl Auditor {
    pub(crate) fn new() -> Self {
        Self { records: Vec::new(), durable: 0, published: 0, life: None, counts: Counts::default() }
    }

    /// What became of the step that a record was asked by.
    pub(crate) fn of(&self, sequence: u64) -> Option<Seen> {
        self.records.get(usize::try_from(sequence).ok()?.checked_sub(1)?).copied()
    }

    /// All records, by sequence from 1 on.
    pub(crate) fn records(&self) -> &[Seen] {
        &self.records
    }

    /// The book of everything seen.
    pub(crate) fn state(&self) -> Option<&State> {
        self.life.as_ref().map(|life| &life.state)
    }

    /// The process is dead. Below this nothing may be missing when it comes back.
    pub(crate) fn died(&mut self, power_cut: bool) {
        self.life = None;
        let floor = if power_cut { self.durable } else { self.published };
        self.published = floor;
        self.durable = self.durable.min(floor);
    }

    /// The process is back: the log begins as it was.
    pub(crate) fn began(&mut self, host: &Host, config: &EngineConfig) -> Result<(), Finding> {
        let reader = host.log().reader(From::Start).map_err(|error| Finding::Unread(error.to_string()))?;
        let state = State::new(config.limits, config.trade_ids_max);
        let (accepted, versions) = Default::default();
        self.life = Some(Life { reader, decoder: Decoder::new(), state, accepted, versions });
        let (before, floor) = (std::mem::take(&mut self.records), self.published as usize);
        self.read(host, true)?;
        if self.records.len() < floor {
            return Err(format!("{floor} records were promised, {} came back", self.records.len()).into());
        }
        for (index, (is, was)) in self.records.iter().zip(&before).take(floor).enumerate() {
            if is != was {
                return Err(format!("record {} was {was:?}, and came back as {is:?}", index + 1).into());
            }
        }
        Ok(self.observe(host.log())?)
    }

    /// Promises only grow within a life.
    fn observe(&mut self, log: &Log) -> Result<(), String> {
        let (durable, published) = (log.durable_sequence(), log.published_sequence());
        if durable < self.durable || published < self.published || durable > published {
            return Err(format!(
                "durable went from {} to {durable}, published from {} to {published}",
                self.durable, self.published
            ));
        }
        (self.durable, self.published) = (durable, published);
        Ok(())
    }

    /// Reads what is new.
    pub(crate) fn look(&mut self, host: &Host) -> Result<(), Finding> {
        self.observe(host.log())?;
        self.read(host, false)
    }

    fn read(&mut self, host: &Host, recovered: bool) -> Result<(), Finding> {
        let Some(life) = &mut self.life else { return Ok(()) };
        while let Some(record) = life.reader.next(Limit::Applied).map_err(|error| Finding::Unread(error.to_string()))? {
            let header = record.header;
            let wrong = |what: String| Finding::Wrong(format!("record {}: {what}", header.sequence));
            if header.sequence != self.records.len() as u64 + 1 {
                return Err(wrong(format!("comes behind {}", self.records.len())));
            }
            let positions = life.state.book.positions().len() as u32;
            let mut seen = Seen { checksum: header.checksum, of: None, positions, resolved: None };
            if is_log_record(&header) {
                (life.state.sequence, life.state.checksum) = (header.sequence, header.checksum);
                self.records.push(seen);
                continue;
            }
            let event = life
                .decoder
                .decode(header.kind, header.version, record.payload)
                .map_err(|error| wrong(error.to_string()))?;
            let mut outcome = None;
            if let Event::Corrected(corrected) = &event {
                if !recovered {
                    self.counts.corrections += 1;
                    if host.side_log().durable_sequence() < corrected.body_sequence {
                        return Err(wrong(format!("body {} is not durable yet", corrected.body_sequence)));
                    }
                    let base = life.versions.get(&(corrected.position, corrected.base_version)).copied();
                    if base.is_none_or(|base| base > host.log().durable_sequence()) {
                        return Err(wrong(format!("rests on version {} that is not durable", corrected.base_version)));
                    }
                }
                let body = side_log::read(host.side_log(), corrected).map_err(|error| match error {
                    side_log::BodyError::Read(error) => Finding::Unread(error.to_string()),
                    error => wrong(error.to_string()),
                })?;
                outcome = Some(body);
                valued(&life.state, corrected).map_err(wrong)?;
            }
            match &event {
                Event::PeriodLock(lock) if lock.reason == Reason::None => {
                    closes_what_is_exact(&life.state, lock).map_err(wrong)?;
                    self.counts.locks += u64::from(!recovered);
                }
                Event::Resolved(resolved) if resolved.reason == Reason::None => {
                    seen.resolved = Some((resolved.position, resolved.break_set));
                    self.counts.resolved += u64::from(!recovered);
                }
                Event::Mark { reason: Reason::None, .. } => self.counts.marks += u64::from(!recovered),
                _ => {}
            }
            let before = match &event {
                Event::Corrected(corrected) if corrected.tail == 0 => {
                    let position = &life.state.book.positions()[corrected.position as usize];
                    if position.figures() != corrected.before {
                        return Err(wrong(format!("corrects {:?}, not {:?}", position.figures(), corrected.before)));
                    }
                    Some(corrected)
                }
                _ => None,
            };
            recovery::apply(&mut life.state, &header, &event, outcome.as_ref())
                .map_err(|error| Finding::Wrong(error.to_string()))?;
            if let Some(corrected) = before {
                let after = life.state.book.positions()[corrected.position as usize].figures();
                if after != corrected.after {
                    return Err(wrong(format!("says {:?}, and is {after:?}", corrected.after)));
                }
            }
            let place = Place { sequence: header.sequence, address: header.address };
            if let Some((position, version, _)) = Addition::of(&event, place) {
                life.versions.insert((position, version), header.sequence);
            }
            self.counts.records += u64::from(!recovered);
            if let Some(of) = outcome_of(&event) {
                let step = event.origin().source_offset.checked_sub(1).map(|step| step as usize);
                seen.of = step.map(|step| (step, of));
                self.counts.duplicates += u64::from(of.class == Some(Class::Duplicate) && !recovered);
            }
            if let Some(hash) = accepted(&event)
                && !life.accepted.insert(hash)
            {
                return Err(wrong("an id is accepted twice".into()));
            }
            if !recovered {
                self.counts.rebooked += u64::from(matches!(&event, Event::Trade(t) if t.class == Class::Rebooked));
                self.counts.arrived += u64::from(matches!(&event, Event::Arrived(_)));
            }
            self.records.push(seen);
        }
        Ok(())
    }
}

/// A correction's exposure is taken at the mark that was in force.
fn valued(state: &State, event: &CorrectedEvent) -> Result<(), String> {
    let book = &state.book;
    let multiplier_e8 = book.instrument(event.instrument).map(|held| held.terms.multiplier_e8);
    let mark = book.mark(event.instrument).zip(multiplier_e8);
    let wanted = mark.map(|(mark, multiplier_e8)| Valued { price_e8: mark.price_e8, multiplier_e8 });
    if event.valued == wanted { Ok(()) } else { Err(format!("valued at {:?}, not {wanted:?}", event.valued)) }
}

/// Nothing is closed, and so reported, of a position that is an estimate or awaits a person.
fn closes_what_is_exact(state: &State, lock: &LockEvent) -> Result<(), String> {
    let concerns = |account: u32| lock.input.account().is_none_or(|of| of == account);
    for (number, position) in (0..).zip(state.book.positions()) {
        let status = state.book.reconciliation_of(number);
        if concerns(position.account) && status != Reconciliation::Reconciled {
            return Err(format!("position {number} is closed while it is {status:?}"));
        }
    }
    Ok(())
}

/// What a step came to; `None` for events that no step asks for.
fn outcome_of(event: &Event<'_>) -> Option<Outcome> {
    let (class, reason) = match event {
        Event::Trade(trade) => (Some(trade.class), trade.reason),
        Event::Amended(amend) => (Some(amend.class), amend.reason),
        Event::Action(action) => (Some(action.class), action.reason),
        Event::Resolved(resolved) => (None, resolved.reason),
        Event::PeriodLock(lock) => (None, lock.reason),
        Event::Defined { reason, .. }
        | Event::Instrument { reason, .. }
        | Event::Contract { reason, .. }
        | Event::BusinessDate { reason, .. }
        | Event::Mark { reason, .. } => (None, *reason),
        _ => return None,
    };
    Some(Outcome { class, reason })
}

/// The id that an event takes into the book, where it does.
fn accepted(event: &Event<'_>) -> Option<u128> {
    let is_new = |class| matches!(class, Class::Applied | Class::Provisional | Class::Forward);
    match event {
        Event::Trade(trade) if is_new(trade.class) => Some(trade.input.hash.0),
        Event::Action(action) if is_new(action.class) => Some(action.input.hash.0),
        _ => None,
    }
}
