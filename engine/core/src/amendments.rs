//! The accepted amendments of a book: what a decision about the next one needs, and no more.
//!
//! Each amended trade is a *root*; below it stand its cancels and corrects, below those the cancels of them.
//! A record keeps how many live cancels target it, so that liveness is read, not searched for: a new cancel
//! walks up from its target for as long as liveness changes.
//!
//! Only side, quantity, date, account and instrument are kept of what a trade says and what corrects change: this is for the
//! estimate of the hot thread, which has its quantity right. The replay works on the whole inputs.

use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::amend::{AmendInput, AmendKey, AmendKind};
use crate::bytes::{Reader, Writer};
use crate::command::Side;
use crate::date::Date;
use crate::digest;
use crate::event::Reason;
use crate::id::{NO_NAME, NameId, TradeHash};
use crate::input_bytes::BadInput;
use crate::limits::AMENDMENTS_PER_TRADE_MAX;

const NONE: u32 = u32::MAX;
/// Stands in the digest for a root that waits.
const WAITS: u64 = 1;

/// A trade as its first amendment found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The trade.
    pub hash: TradeHash,
    /// Its quantity as accepted, with the sign of its side.
    pub quantity_e8: i64,
    /// Its effective date as accepted.
    pub date: Date,
    /// Of a transfer: the account that its lots go to. Else `NO_NAME`.
    pub to_account: NameId,
}

/// How a trade counts after its amendments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Whether it is in the history.
    pub is_in: bool,
    /// Its quantity, signed; also where it is not in.
    pub quantity_e8: i64,
    /// Its effective date.
    pub date: Date,
    /// The account that corrects give it, or `NO_NAME`: the one that it came with.
    pub account: NameId,
    /// The instrument that corrects give it, likewise.
    pub instrument: NameId,
}

impl Effective {
    /// Account and instrument that it has by then; `own` are those that it came with.
    #[must_use]
    pub fn of(&self, own: (NameId, NameId)) -> (NameId, NameId) {
        let or = |name, own| if name == NO_NAME { own } else { name };
        (or(self.account, own.0), or(self.instrument, own.1))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Root { quantity_e8: i64, date: Date, to_account: NameId },
    Cancel,
    Correct { side: Option<Side>, quantity_e8: Option<i64>, date: Option<Date>, of: (NameId, NameId) },
}

#[derive(Clone, Copy, Debug)]
struct Record {
    hash: TradeHash,
    what: What,
    key: AmendKey,
    /// What it amends; [`NONE`] for a root.
    target: u32,
    root: u32,
    /// The next one in its root's list.
    next: u32,
    /// Of a root: the newest of its list, and how many.
    newest: u32,
    count: u32,
    live_cancels: u32,
    /// Of a root: counted among what waits for its date since its last amendment, until the replay has decided.
    waits: bool,
}

/// The accepted amendments. Nothing here allocates after `new`.
#[derive(Debug)]
pub struct Amendments {
    records: Vec<Record>,
    index: HashTable<u32>,
    amendments: usize,
    digest: u64,
    capacity: usize,
}

impl Amendments {
    /// Room for `capacity` amended trades and amendments.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            records: Vec::with_capacity(capacity),
            index: HashTable::with_capacity(capacity),
            amendments: 0,
            digest: 0,
            capacity,
        }
    }

    /// Number of accepted amendments.
    #[must_use]
    pub fn len(&self) -> usize {
        self.amendments
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn find(&self, hash: TradeHash) -> Option<u32> {
        self.index.find(hash.0 as u64, |&at| self.records[at as usize].hash == hash).copied()
    }

    /// The amended trade at the root of an amendment, or the trade itself.
    #[must_use]
    pub fn root_of(&self, hash: TradeHash) -> Option<Root> {
        let root = &self.records[self.records[self.find(hash)? as usize].root as usize];
        let What::Root { quantity_e8, date, to_account } = root.what else { unreachable!("a root is a root") };
        Some(Root { hash: root.hash, quantity_e8, date, to_account })
    }

    /// Whether the estimate counts this trade among what waits for its date.
    pub(crate) fn waits(&self, trade: TradeHash) -> bool {
        self.find(trade).is_some_and(|at| self.records[at as usize].waits)
    }

    /// Keeps how the estimate, or the replay, counts an amended trade.
    pub(crate) fn set_waits(&mut self, trade: TradeHash, waits: bool) {
        let Some(at) = self.find(trade) else { return };
        let record = &mut self.records[at as usize];
        if record.waits != waits {
            record.waits = waits;
            let own = digest::mix(trade.0 as u64, (trade.0 >> 64) as u64);
            let own = digest::mix(own, WAITS);
            self.digest = if waits { self.digest.wrapping_add(own) } else { self.digest.wrapping_sub(own) };
        }
    }

    /// Whether an amendment of this kind may join the others of its root.
    ///
    /// # Errors
    /// [`Reason::NotSupported`] for a correct of an amendment; a named limit.
    pub(crate) fn admit(&self, kind: AmendKind, target: TradeHash) -> Result<(), Reason> {
        let found = self.find(target).map(|at| &self.records[at as usize]);
        if kind == AmendKind::Correct && found.is_some_and(|record| record.target != NONE) {
            return Err(Reason::NotSupported);
        }
        let root = found.map(|record| &self.records[record.root as usize]);
        if root.is_some_and(|root| root.count as usize >= AMENDMENTS_PER_TRADE_MAX) {
            return Err(Reason::TooManyAmendments);
        }
        // One for the amendment, one for a root that is new.
        if self.records.len() + 2 > self.capacity { Err(Reason::AmendmentCapacity) } else { Ok(()) }
    }

    /// How a trade counts that was ever amended; `None`: nothing ever amended it.
    #[must_use]
    pub fn effective_of(&self, trade: TradeHash) -> Option<Effective> {
        self.find(trade).map(|at| self.effective(at, None, None))
    }

    /// How a trade counts before and after one more amendment. `root` is what [`Self::root_of`] gives, or the
    /// trade itself where it is amended for the first time.
    pub(crate) fn effect(&self, root: &Root, input: &AmendInput) -> (Effective, Effective) {
        let Some(at) = self.find(root.hash) else {
            let before = Effective {
                is_in: true,
                quantity_e8: root.quantity_e8,
                date: root.date,
                account: NO_NAME,
                instrument: NO_NAME,
            };
            let after = match input.kind {
                AmendKind::Cancel => Effective { is_in: false, ..before },
                AmendKind::Correct => overlaid(before, corrected(input)),
            };
            return (before, after);
        };
        let turned = match input.kind {
            AmendKind::Correct => None,
            AmendKind::Cancel => self.find(input.target).and_then(|target| self.turned_by_cancel(target)),
        };
        let extra = (input.kind == AmendKind::Correct).then(|| (input.key(), corrected(input)));
        (self.effective(at, None, None), self.effective(at, turned, extra))
    }

    /// What a new live cancel of `target` turns at the end of the chain of changes: a trade or a correct, and
    /// whether it is live from then on. `None`: nothing that counts.
    fn turned_by_cancel(&self, target: u32) -> Option<(u32, bool)> {
        let (mut at, mut live_cancels) = (target, self.records[target as usize].live_cancels + 1);
        loop {
            let record = &self.records[at as usize];
            let (was_live, is_live) = (record.live_cancels == 0, live_cancels == 0);
            if was_live == is_live {
                return None;
            }
            if record.what != What::Cancel {
                return Some((at, is_live));
            }
            at = record.target;
            let of = self.records[at as usize].live_cancels;
            live_cancels = if is_live { of + 1 } else { of - 1 };
        }
    }

    /// How the root at `at` counts, with one record's liveness or one more correct supposed.
    fn effective(&self, at: u32, turned: Option<(u32, bool)>, extra: Option<(AmendKey, What)>) -> Effective {
        let live = |number: u32, record: &Record| match turned {
            Some((which, is_live)) if which == number => is_live,
            _ => record.live_cancels == 0,
        };
        let root = &self.records[at as usize];
        let What::Root { quantity_e8, date, .. } = root.what else { unreachable!("a root is a root") };
        let is_in = live(at, root);
        let mut found = Effective { is_in, quantity_e8, date, account: NO_NAME, instrument: NO_NAME };
        // Of the corrects that name a field the one with the greatest key has it.
        let (mut side, mut quantity, mut day) = (None, None, None);
        let (mut account, mut instrument) = (None, None);
        let mut lay = |key: AmendKey, what: What| {
            let What::Correct { side: s, quantity_e8: q, date: d, of } = what else { return };
            let named = |name| (name != NO_NAME).then_some(name);
            later(&mut account, key, named(of.0));
            later(&mut instrument, key, named(of.1));
            later(&mut side, key, s);
            later(&mut quantity, key, q);
            later(&mut day, key, d);
        };
        let mut number = root.newest;
        while number != NONE {
            let record = &self.records[number as usize];
            if live(number, record) {
                lay(record.key, record.what);
            }
            number = record.next;
        }
        if let Some((key, what)) = extra {
            lay(key, what);
        }
        let what = What::Correct {
            side: side.map(|f| f.1),
            quantity_e8: quantity.map(|f| f.1),
            date: day.map(|f| f.1),
            of: (account.map_or(NO_NAME, |f| f.1), instrument.map_or(NO_NAME, |f| f.1)),
        };
        found = overlaid(found, what);
        found
    }

    /// Sum of the digests.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether [`Self::insert`] would find its target and room.
    pub(crate) fn can_insert(&self, input: &AmendInput, root: &Root) -> bool {
        let known = self.find(input.target).is_some() || input.target == root.hash;
        known && self.find(input.hash).is_none() && self.records.len() + 2 <= self.capacity
    }

    /// Takes an accepted amendment. The caller has asked [`Self::can_insert`].
    pub(crate) fn insert(&mut self, input: &AmendInput, root: &Root) {
        assert!(self.can_insert(input, root));
        let root_at = self.find(root.hash).unwrap_or_else(|| {
            let Root { quantity_e8, date, to_account, .. } = *root;
            let what = What::Root { quantity_e8, date, to_account };
            self.push(root.hash, what, None, AmendKey { hash: root.hash, ..AmendKey::NONE })
        });
        let target = self.find(input.target).unwrap_or(root_at);
        let what = match input.kind {
            AmendKind::Cancel => What::Cancel,
            AmendKind::Correct => corrected(input),
        };
        self.push(input.hash, what, Some(target), input.key());
    }

    /// Puts a record behind the others and counts what it does. `target`: its number; none for a root.
    fn push(&mut self, hash: TradeHash, what: What, target: Option<u32>, key: AmendKey) -> u32 {
        let number = self.records.len() as u32;
        let mut record = Record {
            hash,
            what,
            key,
            target: target.unwrap_or(NONE),
            root: number,
            next: NONE,
            newest: NONE,
            count: 0,
            live_cancels: 0,
            waits: false,
        };
        if let Some(target) = target {
            let Record { hash: target_hash, root: root_at, .. } = self.records[target as usize];
            record.root = root_at;
            let root = &mut self.records[root_at as usize];
            record.next = root.newest;
            (root.newest, root.count) = (number, root.count + 1);
            self.amendments += 1;
            let own = digest::mix(hash.0 as u64, (hash.0 >> 64) as u64);
            self.digest = self.digest.wrapping_add(digest::mix(own, target_hash.0 as u64));
        }
        self.records.push(record);
        let records = &self.records;
        self.index.insert_unique(hash.0 as u64, number, |&at| records[at as usize].hash.0 as u64);
        if what == What::Cancel {
            self.cancel(record.target);
        }
        number
    }

    /// A live cancel of `at` came: counts it, and turns what depends on it.
    fn cancel(&mut self, mut at: u32) {
        let mut more = true;
        loop {
            let record = &mut self.records[at as usize];
            let was_live = record.live_cancels == 0;
            record.live_cancels = if more { record.live_cancels + 1 } else { record.live_cancels - 1 };
            let is_live = record.live_cancels == 0;
            if was_live == is_live || record.what != What::Cancel {
                return;
            }
            (at, more) = (record.target, is_live);
        }
    }
}

impl Amendments {
    /// For images, in the order of arrival.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u64(self.records.len() as u64);
        for record in &self.records {
            let AmendKey { executed_at_ns, source_order, amend_id, .. } = record.key;
            out.u128(record.hash.0);
            out.u32(record.target);
            out.i64(executed_at_ns);
            out.u64(source_order);
            out.text(amend_id.as_bytes());
            let none = (NO_NAME, NO_NAME);
            let (kind, side, quantity_e8, date, names) = match record.what {
                What::Root { quantity_e8, date, to_account } => {
                    (0, u8::from(record.waits), Some(quantity_e8), Some(date), (to_account, NO_NAME))
                }
                What::Cancel => (1, 0, None, None, none),
                What::Correct { side, quantity_e8, date, of } => {
                    (2, side.map_or(0, |side| side as u8), quantity_e8, date, of)
                }
            };
            out.slice(&[kind, side, quantity_e8.is_some().into(), date.is_some().into()]);
            out.i64(quantity_e8.unwrap_or(0));
            out.u32(date.map_or(0, |date| date.0 as u32));
            out.u32(names.0);
            out.u32(names.1);
        }
    }

    /// `false`: there is no room for all.
    pub(crate) fn read(&mut self, read: &mut Reader<'_>) -> Result<bool, BadInput> {
        for _ in 0..read.u64()? {
            if self.records.len() == self.capacity {
                return Ok(false);
            }
            let (hash, target) = (TradeHash(read.u128()?), read.u32()?);
            let (executed_at_ns, source_order, amend_id) = (read.i64()?, read.u64()?, read.id()?);
            let [kind, side, has_quantity, has_date] = read.array()?;
            let quantity_e8 = Some(read.i64()?).filter(|_| has_quantity != 0);
            let date = Some(Date(read.u32()? as i32)).filter(|_| has_date != 0);
            let of = (read.u32()?, read.u32()?);
            let what = match kind {
                0 => What::Root {
                    quantity_e8: quantity_e8.ok_or(BadInput)?,
                    date: date.ok_or(BadInput)?,
                    to_account: of.0,
                },
                1 => What::Cancel,
                2 => What::Correct { side: Side::from_u8(side), quantity_e8, date, of },
                _ => return Err(BadInput),
            };
            let target = Some(target).filter(|target| *target != NONE);
            let is_root = matches!(what, What::Root { .. });
            if is_root != target.is_none() || target.is_some_and(|target| target as usize >= self.records.len()) {
                return Err(BadInput);
            }
            self.push(hash, what, target, AmendKey { executed_at_ns, source_order, amend_id, hash });
            self.set_waits(hash, is_root && side != 0);
        }
        Ok(true)
    }
}

fn later<T>(held: &mut Option<(AmendKey, T)>, key: AmendKey, value: Option<T>) {
    if let Some(value) = value
        && held.as_ref().is_none_or(|(other, _)| *other < key)
    {
        *held = Some((key, value));
    }
}

fn corrected(input: &AmendInput) -> What {
    let changes = &input.changes;
    What::Correct {
        side: changes.side(),
        quantity_e8: changes.quantity_e8(),
        date: changes.effective_date(),
        of: (input.account, input.instrument),
    }
}

fn overlaid(before: Effective, what: What) -> Effective {
    let What::Correct { side, quantity_e8, date, of } = what else { return before };
    let sign = side.map_or(before.quantity_e8.signum(), Side::sign);
    // A trade's quantity is positive and so has a magnitude of its own type.
    let magnitude = quantity_e8.unwrap_or(before.quantity_e8.abs());
    let or = |name, before| if name == NO_NAME { before } else { name };
    Effective {
        quantity_e8: sign * magnitude,
        date: date.unwrap_or(before.date),
        account: or(of.0, before.account),
        instrument: or(of.1, before.instrument),
        ..before
    }
}
