//! Lots on their way from one position to another: what each source has sent, and what has not arrived yet.
//!
//! A lot that leaves is *sent* when the event of its cause is applied, and *due* from then until an event of the target
//! says that it arrived. Both lists are state, so nothing that was sent is lost by a crash, and nothing arrives twice.
//! When a replay finds that other lots leave, the difference is sent. `docs/rules.md`, section 16.
//!
//! These lists grow by transfers and by actions that lead to another instrument, never by trades.

mod channels;
mod finality;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::cell::RefCell;

pub use channels::{ALL_PARTITIONS, Channels};

use crate::action_input::ActionInput;
use crate::book::Book;
use crate::bytes::{Reader, Writer};
use crate::command::{NO_PRICE, NameClass, TradeInput};
use crate::date::Date;
use crate::digest;
use crate::event::{Averaged, TradeEvent};
use crate::id::{ChronoKey, NO_NAME, NameId, TradeHash, TradeId};
use crate::input_bytes::BadInput;
use crate::lots::{Lot, LotArena};
use crate::names::Names;
use crate::position::Position;
use crate::values::{Average, taken};

/// A lot, or part of one, that an item of a position's history sends elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The item's key.
    pub key: ChronoKey,
    /// Interned account that it goes to, or `NO_NAME`: the position's own.
    pub to_account: NameId,
    /// Interned instrument that it goes to, or `NO_NAME`: the position's own.
    pub to_instrument: NameId,
    /// Number among what the item sends, in lot order.
    pub number: u32,
    /// Long or short.
    pub is_long: bool,
    /// As it leaves; price [`NO_PRICE`] where units or cost have changed.
    pub lot: Lot,
    /// A trade that a correct has moved goes whole, as corrected; the lot is none then.
    pub trade: Option<TradeInput>,
}

/// What goes beside a trade that goes whole.
const NO_LOT: Lot = Lot {
    origin: TradeHash::NONE,
    quantity_e8: 0,
    cost_e16: 0,
    base_cost_e16: 0,
    price_e8: NO_PRICE,
    acquired: Date::NONE,
    sub_account: NO_NAME,
};

impl Leaving {
    /// A trade that corrects have moved to the position of the account and instrument that it names.
    #[must_use]
    pub fn of_moved(input: &TradeInput) -> Self {
        Self {
            key: input.key(),
            to_account: input.account,
            to_instrument: input.instrument,
            number: 0,
            is_long: input.side.sign() > 0,
            lot: NO_LOT,
            trade: Some(*input),
        }
    }

    /// As it goes from this position.
    #[must_use]
    pub fn from(&self, source: &Position, number: u32) -> Leg {
        let or = |name, own| if name == NO_NAME { own } else { name };
        Leg {
            // A trade that goes whole keeps its own identity.
            key: match self.trade {
                Some(_) => self.key,
                None => ChronoKey { hash: identity(source.key_hash, self.key.hash, self.number), ..self.key },
            },
            source: number,
            account: or(self.to_account, source.account),
            instrument: or(self.to_instrument, source.instrument),
            is_long: self.is_long,
            lot: self.lot,
            trade: self.trade,
        }
    }
}

/// What an action sends elsewhere: these lots, in lot order.
pub(crate) fn leaving_by_action(input: &ActionInput, is_long: bool, gone: &[Lot], out: &mut Vec<Leaving>) {
    let leaving = |(number, lot): (u32, &Lot)| Leaving {
        key: input.key(),
        to_account: NO_NAME,
        to_instrument: input.to_instrument,
        number,
        is_long,
        lot: *lot,
        trade: None,
    };
    out.extend((0..).zip(gone).map(leaving));
}

/// What a transfer sends elsewhere: what its runs take of the lots as they stand before it is applied.
pub(crate) fn leaving_by_transfer(lots: &LotArena, before: &Position, event: &TradeEvent<'_>, out: &mut Vec<Leaving>) {
    let (cost, base_cost) = (event.closed_cost_e16, event.closed_base_e16);
    let average = Average::of(event.averaged, event.closed_quantity_e8, cost, base_cost);
    for (number, part) in (0..).zip(taken(lots, &before.block, event.runs, average)) {
        let is_as_it_was = part.quantity_e8 == part.lot.quantity_e8 && event.averaged == Averaged::No;
        let lot = Lot {
            quantity_e8: part.quantity_e8,
            cost_e16: part.cost_e16,
            base_cost_e16: part.base_cost_e16,
            price_e8: if is_as_it_was { part.lot.price_e8 } else { NO_PRICE },
            ..part.lot
        };
        out.push(Leaving {
            key: event.input.key(),
            to_account: event.input.to_account,
            to_instrument: NO_NAME,
            number,
            is_long: before.quantity_e8 > 0,
            lot,
            trade: None,
        });
    }
}

impl Book {
    /// Sends what the event that was applied last takes away from a position.
    pub(crate) fn send_leaving(&mut self, source: u32) {
        let position = &self.positions[source as usize];
        for leaving in self.leaving.drain(..) {
            self.legs.send(leaving.from(position, source), &self.names);
        }
    }
}

impl Book {
    /// Account and instrument of the positions that ever sent something to this one, of any shard.
    #[must_use]
    pub fn sources_of(&self, number: u32) -> Vec<(NameId, NameId)> {
        let of = |source: &u32| {
            self.legs.channels.foreign_source(*source).or_else(|| {
                let position = self.positions.get(*source as usize)?;
                Some((position.account, position.instrument))
            })
        };
        self.legs.sources_of(number).iter().filter_map(of).collect()
    }

    /// Positions that have lots from this one, or ever had, directly or through others, each once: those whose status
    /// this one's may change.
    #[must_use]
    pub fn dependants_of(&self, number: u32) -> Vec<u32> {
        if self.legs.is_empty() {
            return Vec::new();
        }
        let (mut found, mut next) = (Vec::from([number]), 0);
        while let Some(&at) = found.get(next) {
            let sent = self.legs.sent_by(at).iter().filter_map(|leg| self.find(leg.account, leg.instrument));
            for target in sent.chain(self.legs.targets_of(at).iter().copied()) {
                if !found.contains(&target) {
                    found.push(target);
                }
            }
            next += 1;
        }
        found.remove(0);
        found
    }
}

/// Identity of what the item with this hash sends from a position: its number first, so that what one item sends
/// keeps its order in the chronological key.
pub(crate) fn identity(source_key: u64, cause: TradeHash, number: u32) -> TradeHash {
    let low = digest::mix(digest::mix(source_key, cause.0 as u64), (cause.0 >> 64) as u64);
    let high = digest::mix(low, source_key) & u64::from(u32::MAX);
    TradeHash(u128::from(number) << 96 | u128::from(high) << 64 | u128::from(low))
}

/// A lot on its way: an item of the target's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Its place in the target's history: the key of its cause, with an identity of its own.
    pub key: ChronoKey,
    /// Number of the position that sends it.
    pub source: u32,
    /// Account that it goes to.
    pub account: NameId,
    /// Instrument that it goes to.
    pub instrument: NameId,
    /// Long or short.
    pub is_long: bool,
    /// As it arrives; price [`NO_PRICE`]: what cost and quantity say.
    pub lot: Lot,
    /// A trade that a correct has moved here, as corrected; the lot is none then.
    pub trade: Option<TradeInput>,
}

/// What a leg does to its target's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sending {
    /// It was not there before.
    New = 0,
    /// It takes the place of the one with its identity.
    Instead = 1,
    /// The one with its identity did not leave after all.
    Withdrawn = 2,
}

impl Sending {
    /// In the archive's words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Instead => "instead",
            Self::Withdrawn => "withdrawn",
        }
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        [Self::New, Self::Instead, Self::Withdrawn].into_iter().find(|sending| *sending as u8 == value)
    }
}

/// A leg that has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What it does.
    pub sending: Sending,
    /// The leg.
    pub leg: Leg,
}

impl Due {
    fn digest(&self, names: &Names) -> u64 {
        // The source's number is left out: its name is in the identity.
        let Leg { key, source: _, account, instrument, is_long, lot, trade } = &self.leg;
        let named = |class, id| names.hash(class, id).unwrap_or(u64::from(id));
        let hash = digest::mix(named(NameClass::Account, *account), named(NameClass::Instrument, *instrument));
        let hash = digest::mix(hash, u64::from(self.sending as u8) << 1 | u64::from(*is_long));
        let hash = digest::mix(hash, u64::from(key.date.0 as u32));
        // Of a trade what is most often corrected; the target's history says the rest.
        let hash = trade.as_ref().map_or(hash, |input| {
            let hash = digest::mix(hash, input.signed_quantity_e8() as u64);
            digest::mix(digest::mix(hash, input.price_e8 as u64), input.fees_e8 as u64)
        });
        let tag = digest::lot_tag(digest::mix(hash, key.hash.0 as u64), names, lot);
        let costs = digest::lot_cost(tag, lot.cost_e16, lot.base_cost_e16);
        digest::lot_quantity(tag, lot.quantity_e8).wrapping_add(costs)
    }
}

/// What was sent, and what is due.
#[derive(Debug, Default)]
pub struct Legs {
    /// By source, in the order of the keys.
    sent: BTreeMap<u32, Vec<Leg>>,
    /// How much that is.
    sent_len: usize,
    /// In the order in which it was sent.
    due: VecDeque<Due>,
    /// Sources that ever sent something to a position, by the position's number; ascending.
    sources: BTreeMap<u32, Vec<u32>>,
    /// The same the other way round.
    targets: BTreeMap<u32, Vec<u32>>,
    /// Between this book and those of other shards.
    channels: Channels,
    digest: u64,
    /// Room for a walk along sources; it grows only where one goes farther than all before. No state.
    walk: RefCell<Vec<u32>>,
}

impl Legs {
    /// Digest of all that was sent and of all that is due.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// What has not arrived, in the order in which it was sent.
    pub fn due(&self) -> impl Iterator<Item = &Due> {
        self.due.iter()
    }

    /// What was sent first and has not arrived.
    #[must_use]
    pub fn first_due(&self) -> Option<Due> {
        self.due.front().copied()
    }

    /// How much has not arrived.
    #[must_use]
    pub fn due_len(&self) -> usize {
        self.due.len()
    }

    /// Lots that left their position, arrived or not.
    #[must_use]
    pub fn sent_len(&self) -> usize {
        self.sent_len
    }

    /// Whether nothing ever left a position.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.due.is_empty() && self.sources.is_empty() && self.channels.is_empty()
    }

    /// Id of what sent the lot with this identity. Looks at everything that was sent.
    #[must_use]
    pub fn cause_id(&self, identity: TradeHash) -> Option<TradeId> {
        let mut sent = self.sent.values().flatten();
        sent.find(|leg| leg.key.hash == identity).map(|leg| leg.key.trade_id)
    }

    /// The first that is due for a position.
    #[must_use]
    pub fn due_to(&self, account: NameId, instrument: NameId) -> Option<&Due> {
        self.due.iter().find(|due| due.leg.account == account && due.leg.instrument == instrument)
    }

    /// What a position has sent.
    #[must_use]
    pub fn sent_by(&self, source: u32) -> &[Leg] {
        self.sent.get(&source).map_or(&[], Vec::as_slice)
    }

    /// Positions that ever sent something to this one.
    #[must_use]
    pub fn sources_of(&self, target: u32) -> &[u32] {
        self.sources.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Positions that something of this one ever arrived at.
    #[must_use]
    pub fn targets_of(&self, source: u32) -> &[u32] {
        self.targets.get(&source).map_or(&[], Vec::as_slice)
    }

    /// Sends lots that an item at the end of the source's history moves.
    pub(crate) fn send(&mut self, leg: Leg, names: &Names) {
        let due = Due { sending: Sending::New, leg };
        let digest = due.digest(names);
        let sent = self.sent.entry(leg.source).or_default();
        let at = sent.partition_point(|held| held.key < leg.key);
        sent.insert(at, leg);
        self.sent_len += 1;
        self.queue(due, names);
        // Once as sent, once as due.
        self.digest = self.digest.wrapping_add(digest).wrapping_add(digest.rotate_left(1));
    }

    /// A replay found what leaves the source, in the order of the keys: sends the difference.
    pub(crate) fn resend(&mut self, source: u32, now: Vec<Leg>, names: &Names) {
        let before = self.sent.remove(&source).unwrap_or_default();
        let target = |leg: &Leg| (leg.account, leg.instrument);
        let same_in = |legs: &[Leg], leg: &Leg| {
            let at = legs.binary_search_by(|held| held.key.cmp(&leg.key)).ok()?;
            Some(legs[at]).filter(|held| target(held) == target(leg))
        };
        // Withdrawals first: what moved in history comes again under the identity that is taken away.
        let mut withdrawn = BTreeSet::new();
        for was in before.iter().filter(|was| same_in(&now, was).is_none()) {
            withdrawn.insert(was.key.hash);
            self.push(Sending::Withdrawn, *was, names);
        }
        for is in &now {
            match same_in(&before, is) {
                // What an action sent at its old place and at its new one has one identity: it went with the old one.
                Some(was) if was == *is && !withdrawn.contains(&is.key.hash) => {}
                Some(_) => self.push(Sending::Instead, *is, names),
                None => self.push(Sending::New, *is, names),
            }
        }
        let digest_of = |leg: &Leg| Due { sending: Sending::New, leg: *leg }.digest(names);
        for leg in &before {
            self.digest = self.digest.wrapping_sub(digest_of(leg));
        }
        for leg in &now {
            self.digest = self.digest.wrapping_add(digest_of(leg));
        }
        self.sent_len = self.sent_len - before.len() + now.len();
        if !now.is_empty() {
            self.sent.insert(source, now);
        }
    }

    /// What a book of one position is about to take in, which no source of its own sends.
    pub(crate) fn expect(&mut self, due: Due, names: &Names) {
        self.push(due.sending, due.leg, names);
    }

    fn push(&mut self, sending: Sending, leg: Leg, names: &Names) {
        let due = Due { sending, leg };
        self.digest = self.digest.wrapping_add(due.digest(names).rotate_left(1));
        self.queue(due, names);
    }

    /// To its target, in this book or in another one.
    fn queue(&mut self, due: Due, names: &Names) {
        let hash = |class, id| names.hash(class, id).unwrap_or(0);
        let (account, instrument) = (due.leg.account, due.leg.instrument);
        let key = digest::mix(hash(NameClass::Account, account), hash(NameClass::Instrument, instrument));
        if self.is_home(digest::partition(key)) {
            self.due.push_back(due);
        } else {
            self.channels.send(due);
        }
    }

    /// Sets which partitions are in this book, a bit each.
    pub(crate) fn set_home(&mut self, partitions: u16) {
        self.channels.home = partitions;
    }

    /// The first that is due for its target has arrived there. `false`: it is not this one.
    pub(crate) fn arrive(&mut self, due: &Due, target: u32, names: &Names) -> bool {
        let (account, instrument) = (due.leg.account, due.leg.instrument);
        let Some(at) = self.due.iter().position(|d| d.leg.account == account && d.leg.instrument == instrument) else {
            return false;
        };
        if self.due[at] != *due {
            return false;
        }
        self.due.remove(at);
        self.digest = self.digest.wrapping_sub(due.digest(names).rotate_left(1));
        self.note_source(target, due.leg.source);
        true
    }

    fn note_source(&mut self, target: u32, source: u32) {
        for (list, other) in [(self.sources.entry(target), source), (self.targets.entry(source), target)] {
            let list = list.or_default();
            if let Err(at) = list.binary_search(&other) {
                list.insert(at, other);
            }
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.u32(self.sent_len as u32);
        for leg in self.sent.values().flatten() {
            out.leg(leg);
        }
        out.u32(self.due.len() as u32);
        for due in &self.due {
            out.u32(u32::from(due.sending as u8));
            out.leg(&due.leg);
        }
        out.u32(self.sources.len() as u32);
        for (target, sources) in &self.sources {
            out.u32(*target);
            out.u32(sources.len() as u32);
            sources.iter().for_each(|source| out.u32(*source));
        }
        self.channels.write(out);
    }

    pub(crate) fn read(read: &mut Reader<'_>, names: &Names) -> Result<Self, BadInput> {
        let mut legs = Self::default();
        for _ in 0..read.u32()? {
            let leg = read.leg()?;
            let digest = Due { sending: Sending::New, leg }.digest(names);
            legs.digest = legs.digest.wrapping_add(digest);
            legs.sent.entry(leg.source).or_default().push(leg);
            legs.sent_len += 1;
        }
        for _ in 0..read.u32()? {
            let due = read.due()?;
            legs.digest = legs.digest.wrapping_add(due.digest(names).rotate_left(1));
            legs.due.push_back(due);
        }
        for _ in 0..read.u32()? {
            let target = read.u32()?;
            for _ in 0..read.u32()? {
                let source = read.u32()?;
                legs.note_source(target, source);
            }
        }
        legs.read_channels(read, names)?;
        Ok(legs)
    }
}

impl Writer {
    pub(crate) fn leg(&mut self, leg: &Leg) {
        self.key(&leg.key);
        for id in [leg.source, leg.account, leg.instrument, u32::from(leg.is_long)] {
            self.u32(id);
        }
        self.lot(&leg.lot);
        self.moved(leg.trade.as_ref());
    }

    fn moved(&mut self, trade: Option<&TradeInput>) {
        self.u32(u32::from(trade.is_some()));
        if let Some(input) = trade {
            self.trade_input(input);
        }
    }

    pub(crate) fn leaving(&mut self, leaving: &Leaving) {
        self.key(&leaving.key);
        for id in [leaving.to_account, leaving.to_instrument, leaving.number, u32::from(leaving.is_long)] {
            self.u32(id);
        }
        self.lot(&leaving.lot);
        self.moved(leaving.trade.as_ref());
    }
}

impl Reader<'_> {
    pub(crate) fn due(&mut self) -> Result<Due, BadInput> {
        let sending = u8::try_from(self.u32()?).ok().and_then(Sending::from_u8).ok_or(BadInput)?;
        Ok(Due { sending, leg: self.leg()? })
    }

    pub(crate) fn leg(&mut self) -> Result<Leg, BadInput> {
        let key = self.key()?;
        let [source, account, instrument, is_long] = [self.u32()?, self.u32()?, self.u32()?, self.u32()?];
        let (is_long, lot, trade) = (is_long == 1, self.lot()?, self.moved()?);
        Ok(Leg { key, source, account, instrument, is_long, lot, trade })
    }

    fn moved(&mut self) -> Result<Option<TradeInput>, BadInput> {
        match self.u32()? {
            0 => Ok(None),
            1 => self.trade_input().map(Some),
            _ => Err(BadInput),
        }
    }

    pub(crate) fn leaving(&mut self) -> Result<Leaving, BadInput> {
        let key = self.key()?;
        let [to_account, to_instrument, number, is_long] = [self.u32()?, self.u32()?, self.u32()?, self.u32()?];
        let (is_long, lot, trade) = (is_long == 1, self.lot()?, self.moved()?);
        Ok(Leaving { key, to_account, to_instrument, number, is_long, lot, trade })
    }
}

#[cfg(test)]
#[path = "legs_tests.rs"]
mod tests;
