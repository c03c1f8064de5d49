//! The office: the gateway's own log of what did not come in, of what operators did about it, and of what they stopped.
//!
//! A log of its own in `office/`, read whole at a start. A refusal is recorded here, with the bytes as they came, before
//! its sender is told; what an operator does about it is a record too, so that the log is the audit of it. In memory
//! are the letters that wait and the newest of the others, within bounds of count and bytes.
//!
//! One lock: who refuses holds it for a copy into the mapped tail, and nobody holds it while the disk is waited for.

pub mod controls;
pub mod letter;
mod record;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lotbook_engine::retention::hold;
use lotbook_wal::{
    AppendError, Appender, CursorError, From, Group, Limit, Log, LogConfig, NO_ADDRESS, OpenError, Opened, ReadError,
    RecordMeta, Retention,
};
use parking_lot::Mutex;

use controls::{Controls, Given};
use letter::{Deed, Form, Kept, Letter, State};
use record::{DeedOf, kind};

use crate::gate::Class;

/// Name of the office's own cursor.
pub const LETTERS_CURSOR: &str = "letters";
/// Letters that wait, from which on it is an alarm.
pub const OPEN_ALERT: usize = 100;
/// Bytes of an input that are kept.
pub const RAW_BYTES_MAX: usize = 32 << 10;
/// Bytes that a letter takes beside its input, about.
const LETTER_BYTES: usize = 1 << 10;
/// Bytes of a reason's words that are kept.
const ERROR_BYTES_MAX: usize = 1 << 10;
/// Bytes of names and ids that are kept.
const NAME_BYTES_MAX: usize = 256;
/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

// A letter with all its texts, each byte escaped, is one record.
const _: () = assert!(RAW_BYTES_MAX + 6 * (ERROR_BYTES_MAX + 8 * NAME_BYTES_MAX) < lotbook_wal::MAX_PAYLOAD_BYTES);

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfficeTerms {
    /// Letters in memory.
    pub letters_max: usize,
    /// Bytes of them, about.
    pub bytes_max: usize,
    /// A letter that waits gives way to newer ones only after so many days.
    pub retention_days: u32,
}

impl Default for OfficeTerms {
    fn default() -> Self {
        Self { letters_max: 10_000, bytes_max: 64 << 20, retention_days: 30 }
    }
}

/// The office's log could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// Opening.
    #[error("cannot open the log of dead letters: {0}")]
    Open(#[from] OpenError),
    /// Reading.
    #[error("cannot read the log of dead letters: {0}")]
    Read(#[from] ReadError),
    /// Its own cursor cannot be used.
    #[error("the log of dead letters: {0}")]
    Cursor(#[from] CursorError),
    /// A record that no release of ours wrote.
    #[error("record {0} of the log of dead letters is malformed")]
    Malformed(u64),
}

/// Why a letter was not taken: nothing was recorded, and its sender is to try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// As many wait as may, and none of them is old enough to give way.
    #[error("too many dead letters wait for an operator")]
    Full,
    /// The log takes nothing now.
    #[error("the log of dead letters takes nothing")]
    Log,
}

/// Why nothing was done about a letter; nothing was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeedError {
    /// There is none of this number, or none any more.
    #[error("no such dead letter")]
    Unknown,
    /// It does not wait any more.
    #[error("the dead letter is not open")]
    NotOpen,
    /// Somebody sends it again right now.
    #[error("the dead letter is being sent again by somebody else")]
    Busy,
    /// The log takes nothing now.
    #[error("the log of dead letters takes nothing")]
    Log,
}

/// Why an order was not taken; nothing was recorded, and nothing was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// As much is halted as may be.
    #[error("too many names are halted; halt all, or resume some")]
    Full,
    /// The log takes nothing now.
    #[error("the log of orders takes nothing")]
    Log,
}

/// An input that did not come in, as a door tells it.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The stable code; it says the class.
    pub code: &'a str,
    /// The reason in words.
    pub error: &'a str,
    /// The field at fault.
    pub field: Option<&'a str>,
    /// Who brought it.
    pub source: &'a str,
    /// Its place there.
    pub source_offset: u64,
    /// How its bytes are read.
    pub form: Form,
    /// Namespace of its id.
    pub namespace: Option<&'a str>,
    /// Its id.
    pub trade_id: Option<&'a str>,
    /// Account.
    pub account: Option<&'a str>,
    /// Instrument.
    pub instrument: Option<&'a str>,
    /// Correlation id; made here where there is none.
    pub correlation_id: Option<&'a str>,
    /// Now, UTC nanoseconds.
    pub at_ns: i64,
    /// Log sequence of the event that refuses it, or 0.
    pub sequence: u64,
    /// The bytes as they came.
    pub raw: &'a [u8],
}

/// A letter that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filed {
    /// Its number.
    pub letter: u64,
    /// Sequence of the record that is to be durable before the sender is told.
    pub sequence: u64,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Letters that wait.
    pub open: usize,
    /// Letters in memory.
    pub kept: usize,
    /// Bytes of them, about.
    pub bytes: usize,
    /// Letters ever put, repetitions too.
    pub put: u64,
    /// Letters that gave way while they waited.
    pub gave_way: u64,
}

/// The open office.
#[derive(Debug)]
pub struct Office {
    log: Arc<Log>,
    terms: OfficeTerms,
    desk: Mutex<Desk>,
    controls: Controls,
}

#[derive(Debug)]
struct Desk {
    /// `None`: the office is closed.
    appender: Option<Appender>,
    letters: Letters,
}

/// The letters in memory.
#[derive(Debug, Default)]
struct Letters {
    all: BTreeMap<u64, Kept>,
    /// Those that do not wait, in the order in which they ended.
    ended: VecDeque<u64>,
    /// Those that wait, by source and bytes.
    waiting: HashMap<u64, u64>,
    bytes: usize,
    put: u64,
    gave_way: u64,
}

fn weight(kept: &Kept) -> usize {
    LETTER_BYTES + kept.raw.len()
}

/// Names the bytes of a source: the same again is the same letter.
fn sameness(source: &str, raw: &[u8]) -> u64 {
    lotbook_core::digest::mix(lotbook_core::digest::bytes(source.as_bytes()), lotbook_core::digest::bytes(raw))
}

impl Letters {
    fn insert(&mut self, number: u64, kept: Kept) {
        self.waiting.insert(sameness(&kept.letter.source, &kept.raw), number);
        self.bytes += weight(&kept);
        self.put += 1;
        self.all.insert(number, kept);
    }

    fn remove(&mut self, number: u64) {
        let Some(kept) = self.all.remove(&number) else { return };
        self.bytes -= weight(&kept);
        self.unwait(number, &kept.letter.source, &kept.raw);
    }

    fn unwait(&mut self, number: u64, source: &str, raw: &[u8]) {
        let sameness = sameness(source, raw);
        if self.waiting.get(&sameness) == Some(&number) {
            self.waiting.remove(&sameness);
        }
    }

    /// What a record says. `false`: of a letter that is none.
    fn note(&mut self, number: u64, deed: Deed) -> bool {
        let Some(kept) = self.all.get_mut(&number) else { return false };
        if let Deed::GaveWay { .. } = deed {
            self.gave_way += 1;
            self.remove(number);
            return true;
        }
        self.put += u64::from(matches!(deed, Deed::Repeated { .. }));
        let waited = kept.state == State::Open;
        kept.note(deed);
        if waited && kept.state != State::Open {
            let (source, raw) = (kept.letter.source.clone(), kept.raw.clone());
            self.ended.push_back(number);
            self.unwait(number, &source, &raw);
        }
        true
    }

    /// Makes room for one more among those that have ended.
    fn shed(&mut self, terms: &OfficeTerms, more: usize) {
        while self.is_full(terms, more) {
            let Some(number) = self.ended.pop_front() else { return };
            self.remove(number);
        }
    }

    fn is_full(&self, terms: &OfficeTerms, more: usize) -> bool {
        self.all.len() >= terms.letters_max || self.bytes + more > terms.bytes_max
    }

    fn open(&self) -> usize {
        // What has ended leaves both at once.
        self.all.len() - self.ended.len()
    }
}

impl Desk {
    fn append(&mut self, kind: u16, payload: &[u8]) -> Result<u64, AppendError> {
        let Some(appender) = &mut self.appender else { return Err(AppendError::Latched) };
        let meta = RecordMeta { kind, version: 1, partition: 0, previous: NO_ADDRESS, group: Group::Single };
        appender.append(&meta, payload.len(), |out| out.copy_from_slice(payload)).map(|appended| appended.sequence)
    }

    /// Records a deed and does it.
    fn record(&mut self, letter: u64, deed: Deed) -> Result<u64, AppendError> {
        let bytes = record::of_deed(&DeedOf { letter, deed: deed.clone() });
        let sequence = self.append(kind::DEED, &bytes)?;
        self.letters.note(letter, deed);
        Ok(sequence)
    }
}

impl Office {
    /// Opens the office of a data directory and reads its log.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub fn open(
        data_dir: &Path,
        tail_dir: Option<&Path>,
        retention: &Retention,
        terms: OfficeTerms,
    ) -> Result<Self, OfficeError> {
        let mut config = LogConfig::new(data_dir.join("office"));
        config.tail_dir = tail_dir.map(Path::to_path_buf);
        config.segment_bytes = 4 << 20;
        config.tail_blocks = 16;
        config.name = "office";
        // It is small and holds all of it; the budget is for what grows with every trade.
        config.retention = Retention { budget_bytes: None, ..retention.clone() };
        config.idle_sleep_us = 500;
        config.flushes_in_flight = 1;
        let Opened { log, appender, .. } = lotbook_wal::open(config)?;
        let mut letters = Letters::default();
        let controls = Controls::default();
        let mut reader = log.reader(From::Start)?;
        while let Some(record) = reader.next(Limit::Applied)? {
            let sequence = record.header.sequence;
            match record.header.kind {
                kind::LETTER => {
                    let (letter, raw) = record::letter(record.payload).ok_or(OfficeError::Malformed(sequence))?;
                    let kept = Kept::new(letter, raw);
                    letters.shed(&terms, weight(&kept));
                    letters.insert(sequence, kept);
                }
                kind::DEED => {
                    let DeedOf { letter, deed } =
                        record::deed(record.payload).ok_or(OfficeError::Malformed(sequence))?;
                    // Of a letter that has ended and made room: nothing to remember.
                    letters.note(letter, deed);
                }
                kind::ORDER => controls.take(record::order(record.payload).ok_or(OfficeError::Malformed(sequence))?),
                _ => {}
            }
        }
        hold(&log, LETTERS_CURSOR)?;
        let desk = Mutex::new(Desk { appender: Some(appender), letters });
        Ok(Self { log, terms, desk, controls })
    }

    /// The office's log.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Files an input that did not come in. The same bytes of the same source, while their letter waits, are one more try of
    /// it. In the mapped tail when this returns: it is durable with [`Filed::sequence`].
    ///
    /// # Errors
    /// [`PutError`]; nothing was recorded.
    pub fn put(&self, refused: &Refused<'_>) -> Result<Filed, PutError> {
        let mut desk = self.desk.lock();
        let at_ns = refused.at_ns;
        let raw = &refused.raw[..refused.raw.len().min(RAW_BYTES_MAX)];
        if let Some(&number) = desk.letters.waiting.get(&sameness(refused.source, raw))
            && desk.letters.all.get(&number).is_some_and(|kept| kept.raw == raw && kept.letter.code == refused.code)
        {
            let recorded = desk.record(number, Deed::Repeated { at_ns });
            return recorded.map(|sequence| Filed { letter: number, sequence }).map_err(|_| PutError::Log);
        }
        let cut =
            |text: &str, most: usize| text.char_indices().take_while(|(at, _)| *at < most).map(|(_, c)| c).collect();
        let name = |text: Option<&str>| text.map(|text| -> String { cut(text, NAME_BYTES_MAX) });
        let letter = Letter {
            class: Class::of(refused.code),
            code: cut(refused.code, NAME_BYTES_MAX),
            error: cut(refused.error, ERROR_BYTES_MAX),
            field: name(refused.field),
            source: cut(refused.source, NAME_BYTES_MAX),
            source_offset: refused.source_offset,
            form: refused.form,
            namespace: name(refused.namespace),
            trade_id: name(refused.trade_id),
            account: name(refused.account),
            instrument: name(refused.instrument),
            correlation_id: name(refused.correlation_id)
                .unwrap_or_else(|| format!("{}@lotbook", uuid::Uuid::now_v7().hyphenated())),
            at_ns,
            sequence: refused.sequence,
            raw_bytes: refused.raw.len() as u64,
            is_cut: raw.len() < refused.raw.len(),
        };
        let payload = record::of_letter(&letter, raw);
        let kept = Kept::new(letter, raw.to_vec());
        desk.make_room(&self.terms, weight(&kept), at_ns)?;
        let number = desk.append(kind::LETTER, &payload).map_err(|_| PutError::Log)?;
        desk.letters.insert(number, kept);
        let open = desk.letters.open();
        drop(desk);
        if open == OPEN_ALERT {
            tracing::error!(open, "dead letters wait for an operator");
        }
        Ok(Filed { letter: number, sequence: number })
    }

    /// Whether a record survives power loss; waits for it. Blocks.
    #[must_use]
    pub fn is_durable(&self, sequence: u64, patience: Duration) -> bool {
        matches!(self.log.wait_durable(sequence, patience), Ok(true))
    }

    /// The letters behind a number that a filter passes, the oldest first, and whether there are more. A copy.
    #[must_use]
    pub fn list(&self, after: u64, most: usize, passes: impl Fn(&Kept) -> bool) -> (Vec<(u64, Kept)>, bool) {
        let desk = self.desk.lock();
        let mut found = desk.letters.all.range(after.saturating_add(1)..).filter(|(_, kept)| passes(kept));
        let page = found.by_ref().take(most).map(|(number, kept)| (*number, kept.clone())).collect();
        (page, found.next().is_some())
    }

    /// One letter. A copy.
    #[must_use]
    pub fn get(&self, letter: u64) -> Option<Kept> {
        self.desk.lock().letters.all.get(&letter).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let desk = self.desk.lock();
        let Letters { all, bytes, put, gave_way, .. } = &desk.letters;
        Tally { open: desk.letters.open(), kept: all.len(), bytes: *bytes, put: *put, gave_way: *gave_way }
    }

    /// Begins to send a letter again: recorded, and nobody else can until [`Self::sent`]. Gives the letter, and the sequence
    /// of the record.
    ///
    /// # Errors
    /// [`DeedError`].
    pub fn send(
        &self,
        letter: u64,
        (user, reason): (&str, &str),
        corrected: Option<&str>,
        at_ns: i64,
    ) -> Result<(Kept, u64), DeedError> {
        let mut desk = self.desk.lock();
        desk.waiting(letter)?;
        let (user_id, reason, corrected) = (user.to_owned(), reason.to_owned(), corrected.map(str::to_owned));
        let sequence =
            desk.record(letter, Deed::Sent { at_ns, user_id, reason, corrected }).map_err(|_| DeedError::Log)?;
        let kept = desk.letters.all.get_mut(&letter).ok_or(DeedError::Unknown)?;
        kept.is_busy = true;
        Ok((kept.clone(), sequence))
    }

    /// What became of a letter that was sent again; `None` where that is not known: then it waits, and may be sent once more. Gives
    /// the sequence of the record, 0 where there is none.
    pub fn sent(&self, letter: u64, deed: Option<Deed>) -> u64 {
        let mut desk = self.desk.lock();
        if let Some(kept) = desk.letters.all.get_mut(&letter) {
            kept.is_busy = false;
        }
        // Without a record the letter waits, and sending it again gives a duplicate.
        deed.map_or(0, |deed| desk.record(letter, deed).unwrap_or(0))
    }

    /// Gives a letter up: recorded with who and why. Gives the sequence of the record.
    ///
    /// # Errors
    /// [`DeedError`].
    pub fn discard(&self, letter: u64, (user, reason): (&str, &str), at_ns: i64) -> Result<u64, DeedError> {
        let mut desk = self.desk.lock();
        desk.waiting(letter)?;
        let deed = Deed::Discarded { at_ns, user_id: user.to_owned(), reason: reason.to_owned() };
        desk.record(letter, deed).map_err(|_| DeedError::Log)
    }

    /// What operators have stopped.
    #[must_use]
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Takes an operator's order: in force, for every door, when this returns. Gives the sequence of its record, which is to
    /// be durable before it is answered.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn order(&self, given: Given) -> Result<u64, OrderError> {
        // Under the lock, so that orders are in force in the order of their records.
        let mut desk = self.desk.lock();
        if !self.controls.has_room(&given.order) {
            return Err(OrderError::Full);
        }
        let sequence = desk.append(kind::ORDER, &record::of_order(&given)).map_err(|_| OrderError::Log)?;
        self.controls.take(given);
        Ok(sequence)
    }

    /// Closes the log; nothing is taken after it.
    ///
    /// # Errors
    /// It had stopped.
    pub fn close(&self) -> Result<(), lotbook_wal::LatchedError> {
        let appender = self.desk.lock().appender.take();
        appender.map_or(Ok(()), Appender::close)
    }

    /// Leaves the log as a killed process does. For tests and for `burst`.
    pub fn abandon(&self) {
        if let Some(appender) = self.desk.lock().appender.take() {
            appender.abandon();
        }
    }
}

impl Desk {
    fn waiting(&self, letter: u64) -> Result<(), DeedError> {
        let kept = self.letters.all.get(&letter).ok_or(DeedError::Unknown)?;
        match (kept.state, kept.is_busy) {
            (State::Open, false) => Ok(()),
            (State::Open, true) => Err(DeedError::Busy),
            _ => Err(DeedError::NotOpen),
        }
    }

    /// Makes room for a letter: what has ended goes first, then what has waited for longer than it must be kept.
    fn make_room(&mut self, terms: &OfficeTerms, more: usize, now_ns: i64) -> Result<(), PutError> {
        self.letters.shed(terms, more);
        let old_ns = now_ns.saturating_sub(i64::from(terms.retention_days) * DAY_NS);
        while self.letters.is_full(terms, more) {
            let oldest = self.letters.all.iter().find(|(_, kept)| !kept.is_busy);
            let Some((&number, _)) = oldest.filter(|(_, kept)| kept.letter.at_ns < old_ns) else {
                return Err(PutError::Full);
            };
            tracing::error!(letter = number, "a dead letter that waited gives way to a newer one");
            self.record(number, Deed::GaveWay { at_ns: now_ns }).map_err(|_| PutError::Log)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
