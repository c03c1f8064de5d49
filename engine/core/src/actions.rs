//! The actions of a book: what was accepted, what is in history by now, and which changes positions are still taking.
//!
//! A *change* is anything that reaches into the history of many positions at once: an action whose date has come,
//! an amendment of one, a contract change. It has an *ordinal*; it is *pending* until every position has been looked
//! at. A position takes a change of its past (a late one) once, by the ordinal that it has seen; it takes the
//! actions that lie ahead of its frontier one by one, whenever they came. So nothing needs to be kept by position but
//! one number, and a host that starts again finds out from the state what is still to be taken.

mod amending;

use alloc::vec::Vec;

use amending::Amending;
use hashbrown::HashTable;

use crate::action_input::ActionInput;
use crate::amend::AmendInput;
use crate::date::Date;
use crate::digest;
use crate::id::{ChronoKey, DayPart, NO_NAME, NameId, TradeHash};
use crate::limits::CHANGES_PENDING_SPARE;
use crate::position::Position;
use crate::rules::ContractTerms;

/// An accepted action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it counts by now: with its live corrects.
    pub input: ActionInput,
    /// As it was accepted.
    pub original: ActionInput,
    /// Sequence of the event that accepted it.
    pub sequence: u64,
    /// Ordinal of the change by which it came into history; 0 while it waits for its date.
    pub entered: u32,
    /// It is not cancelled.
    pub is_in: bool,
    /// Hash of the names in it, for digests.
    pub(crate) names: u64,
    /// Its newest amendment, or [`NO_AMENDMENT`], and how many it has.
    newest: u32,
    amendments: u32,
}

const NO_AMENDMENT: u32 = u32::MAX;

impl Entry {
    /// As accepted, without amendments.
    pub(crate) fn new(input: ActionInput, sequence: u64, entered: u32, names: u64) -> Self {
        let (newest, amendments) = (NO_AMENDMENT, 0);
        Self { input, original: input, sequence, entered, is_in: true, names, newest, amendments }
    }

    /// In history: not cancelled, and its date has come.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.is_in && self.entered > 0
    }

    /// Accepted and not there yet.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.is_in && self.entered == 0
    }
}

/// No action: the change is of another kind.
pub const NO_ACTION: u32 = u32::MAX;

/// A change of history that positions are taking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number, from 1 on.
    pub ordinal: u32,
    /// The action that came into history, or [`NO_ACTION`].
    pub action: u32,
    /// What caused it: an action, an amendment; [`TradeHash::NONE`] for contract changes.
    pub cause: TradeHash,
    /// The contract whose rules changed, of several the first; else `NO_NAME`.
    pub contract: NameId,
    /// Positions of this account, or `NO_NAME` for all.
    pub account: NameId,
    /// Positions of this instrument, or `NO_NAME` for all.
    pub instrument: NameId,
    /// History from here on may be another.
    pub from: ChronoKey,
}

impl Change {
    /// Whether it reaches into the past of this position.
    #[must_use]
    pub fn concerns(&self, position: &Position) -> bool {
        self.ordinal > position.seen
            && (self.instrument == NO_NAME || self.instrument == position.instrument)
            && (self.account == NO_NAME || self.account == position.account)
            && self.from <= position.frontier
    }
}

/// The least key of a date.
#[must_use]
pub fn start_of(date: Date) -> ChronoKey {
    ChronoKey { date, ..ChronoKey::MIN }
}

type Place = (Date, DayPart);

/// All actions of a book.
#[derive(Debug)]
pub struct ActionBook {
    entries: Vec<Entry>,
    /// Entries by id.
    index: HashTable<u32>,
    /// Entries that are not cancelled by (instrument, key).
    order: Vec<u32>,
    /// Of each instrument the greatest place of an action in history.
    last: Vec<Option<Place>>,
    pending: Vec<Change>,
    pending_max: usize,
    /// Ordinal of the newest change.
    changes: u32,
    /// Entries that wait for their date, the last one first.
    waiting: Vec<u32>,
    /// Amendments in the order of arrival.
    amendments: Vec<Amending>,
    /// Sum of the digests of entries and amendments.
    digest: u64,
    capacity: usize,
}

impl ActionBook {
    /// Room for `capacity` actions of `instruments` instruments.
    #[must_use]
    pub fn new(capacity: usize, instruments: usize) -> Self {
        Self {
            entries: Vec::with_capacity(capacity),
            index: HashTable::with_capacity(capacity),
            order: Vec::with_capacity(capacity),
            last: Vec::with_capacity(instruments),
            // Each action may come into history on one day, and be amended on it.
            pending: Vec::with_capacity(capacity + CHANGES_PENDING_SPARE),
            pending_max: capacity + CHANGES_PENDING_SPARE,
            changes: 0,
            waiting: Vec::with_capacity(capacity),
            amendments: Vec::with_capacity(capacity),
            digest: 0,
            capacity,
        }
    }

    /// The same with what an image says; `None`: there is no room for it, or it contradicts itself.
    pub(crate) fn restored(
        mut self,
        instruments: usize,
        entries: Vec<Entry>,
        amendments: Vec<(AmendInput, u32)>,
        (changes, pending): (u32, Vec<Change>),
        names_of: impl Fn(&ActionInput) -> u64,
    ) -> Option<Self> {
        let fits = entries.len() <= self.capacity
            && pending.len() <= self.pending_max
            && amendments.len() <= self.capacity
            && amendments.iter().all(|(_, entry)| (*entry as usize) < entries.len());
        if !fits {
            return None;
        }
        (0..instruments).for_each(|_| self.add_instrument());
        self.changes = changes;
        self.pending.extend(pending);
        entries.iter().for_each(|entry| self.list(*entry));
        amendments.iter().for_each(|(input, entry)| self.keep(input, *entry));
        for number in 0..self.entries.len() as u32 {
            if self.at(number).amendments > 0 {
                let (is_in, input) = self.effective(number, None);
                self.rewrite(number, Entry { input, is_in, names: names_of(&input), ..*self.at(number) });
            }
            let entry = *self.at(number);
            if entry.is_in {
                self.place(number);
            }
            if entry.waits() {
                self.wait(number);
            }
            if entry.counts() {
                self.note_last(number);
            }
        }
        Some(self)
    }

    /// An instrument was defined; the caller has checked for room.
    pub(crate) fn add_instrument(&mut self) {
        self.last.push(None);
    }

    /// Whether another action fits, and the change that it is.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.entries.len() < self.capacity && self.has_room_for_change()
    }

    /// Whether another change fits that is not an action whose date comes.
    #[must_use]
    pub fn has_room_for_change(&self) -> bool {
        // An amended action may have to wait again, and is a change all the same.
        self.pending.len() + self.waiting.len() + 2 <= self.pending_max
    }

    /// Whether there is no action and no pending change.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.pending.is_empty()
    }

    /// All entries, in the order of arrival.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The action behind an id.
    #[must_use]
    pub fn find(&self, hash: TradeHash) -> Option<u32> {
        self.index.find(hash.0 as u64, |&entry| self.entries[entry as usize].input.hash == hash).copied()
    }

    /// Changes that positions are still taking, in order.
    #[must_use]
    pub fn pending(&self) -> &[Change] {
        &self.pending
    }

    /// Ordinal of the newest change; 0 before the first.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// Number of actions that wait for their date.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Digest of what was accepted and what counts.
    pub(crate) fn digest(&self) -> u64 {
        let pending = self.pending.iter().fold(0, |hash, change| digest::mix(hash, u64::from(change.ordinal)));
        digest::mix(digest::mix(self.digest, u64::from(self.changes)), pending)
    }

    /// Whether a position of this instrument may have something to take. Cheap, and rarely true without need.
    #[inline]
    #[must_use]
    pub fn may_concern(&self, instrument: NameId, frontier: &ChronoKey) -> bool {
        let ahead = |last: &Option<Place>| last.is_some_and(|last| last >= (frontier.date, frontier.part));
        !self.pending.is_empty() || self.last.get(instrument as usize).is_some_and(ahead)
    }

    fn at(&self, entry: u32) -> &Entry {
        &self.entries[entry as usize]
    }

    fn order_key(&self, entry: u32) -> (NameId, ChronoKey) {
        let input = &self.at(entry).input;
        (input.instrument, input.key())
    }

    /// Actions of an instrument that are in history and lie behind a key, in chronological order.
    pub fn after(&self, instrument: NameId, key: &ChronoKey) -> impl Iterator<Item = (u32, &ActionInput)> {
        let from = self.order.partition_point(|&entry| self.order_key(entry) <= (instrument, *key));
        self.order[from..]
            .iter()
            .map(|&entry| (entry, self.at(entry)))
            .take_while(move |(_, found)| found.input.instrument == instrument)
            .filter(|(_, found)| found.counts())
            .map(|(entry, found)| (entry, &found.input))
    }

    /// Takes an accepted action. `is_due`: its date has come. `names`: hash of the names in it.
    pub(crate) fn insert(&mut self, input: ActionInput, sequence: u64, is_due: bool, names: u64) {
        assert!(self.has_room());
        let number = self.entries.len() as u32;
        self.list(Entry::new(input, sequence, 0, names));
        self.place(number);
        if is_due {
            self.enter(number);
        } else {
            self.wait(number);
        }
    }

    /// The business date has moved: actions whose date has come are in history from now on, in chronological order.
    pub(crate) fn advance(&mut self, today: Date) {
        while let Some(&next) = self.waiting.last()
            && self.at(next).input.date() <= today
        {
            self.waiting.pop();
            self.enter(next);
        }
    }

    /// History changes otherwise: a contract's rules.
    pub(crate) fn change_rules(&mut self, terms: &ContractTerms) {
        let ContractTerms { contract, account, instrument, .. } = *terms;
        let from = start_of(terms.effective_date);
        // Rules come in bursts, and what is still to be looked at anyway is looked at once.
        if let Some(last) = self.pending.last_mut()
            && last.cause == TradeHash::NONE
        {
            let common = |a: NameId, b: NameId| if a == b { a } else { NO_NAME };
            self.changes += 1;
            *last = Change {
                ordinal: self.changes,
                account: common(last.account, account),
                instrument: common(last.instrument, instrument),
                from: last.from.min(from),
                ..*last
            };
            return;
        }
        let cause = TradeHash::NONE;
        self.change(Change { ordinal: 0, action: NO_ACTION, cause, contract, account, instrument, from });
    }

    /// Every position has been looked at for the oldest pending change. `false`: that is another one.
    pub(crate) fn settle(&mut self, ordinal: u32) -> bool {
        let is_oldest = self.pending.first().is_some_and(|change| change.ordinal == ordinal);
        if is_oldest {
            self.pending.remove(0);
        }
        is_oldest
    }

    fn list(&mut self, entry: Entry) {
        let number = self.entries.len() as u32;
        self.entries.push(entry);
        let entries = &self.entries;
        self.index.insert_unique(entry.input.hash.0 as u64, number, |&n| entries[n as usize].input.hash.0 as u64);
        self.digest = self.digest.wrapping_add(entry_digest(&entry));
    }

    /// Puts something else in an entry's place, and keeps the digest.
    fn rewrite(&mut self, entry: u32, after: Entry) {
        self.digest = self.digest.wrapping_sub(entry_digest(self.at(entry)));
        self.entries[entry as usize] = after;
        self.digest = self.digest.wrapping_add(entry_digest(&after));
    }

    fn enter(&mut self, entry: u32) {
        let input = self.at(entry).input;
        let (instrument, cause) = (input.instrument, input.hash);
        let (account, contract, from) = (NO_NAME, NO_NAME, input.key());
        self.change(Change { ordinal: 0, action: entry, cause, contract, account, instrument, from });
        self.rewrite(entry, Entry { entered: self.changes, ..*self.at(entry) });
        self.note_last(entry);
    }

    fn note_last(&mut self, entry: u32) {
        let input = self.at(entry).input;
        let last = &mut self.last[input.instrument as usize];
        *last = (*last).max(Some((input.date(), input.kind.part())));
    }

    fn change(&mut self, change: Change) {
        assert!(self.pending.len() < self.pending.capacity());
        self.changes += 1;
        self.pending.push(Change { ordinal: self.changes, ..change });
    }

    fn wait(&mut self, entry: u32) {
        let key = self.at(entry).input.key();
        let at = self.waiting.partition_point(|&other| self.at(other).input.key() > key);
        self.waiting.insert(at, entry);
    }

    fn place(&mut self, entry: u32) {
        let key = self.order_key(entry);
        let at = self.order.partition_point(|&other| self.order_key(other) < key);
        self.order.insert(at, entry);
    }
}

fn entry_digest(entry: &Entry) -> u64 {
    let hash = digest::mix(terms(&entry.input), entry.names);
    digest::mix(hash, u64::from(entry.entered) << 1 | u64::from(entry.is_in))
}

/// Digest of what an action says beside its names, its user and its correlation.
fn terms(input: &ActionInput) -> u64 {
    let words = [
        input.hash.0 as u64,
        u64::from(input.numerator) << 32 | u64::from(input.denominator),
        input.cash_e8 as u64,
        input.cash_in_lieu_e8 as u64,
        input.basis_fraction_e8 as u64,
        input.fx_to_base_e8 as u64,
        u64::from(input.effective_date.0 as u32) << 32 | u64::from(input.record_date.0 as u32),
    ];
    words.into_iter().fold(input.kind as u64, digest::mix)
}

/// Digest of what an action says: the same id with another content is a conflict.
#[must_use]
pub fn content(input: &ActionInput) -> u64 {
    let names = u64::from(input.instrument) << 32 | u64::from(input.to_instrument);
    digest::mix(digest::mix(terms(input), names), u64::from(input.contract))
}
