//! The read model: published positions. Queries never touch the shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use dashmap::DashMap;
use lotbook_core::Date;
use lotbook_core::amend::{AmendInput, AmendKind};
use lotbook_core::amount::Money;
use lotbook_core::book::Instrument;
use lotbook_core::closed::Adjusted;
use lotbook_core::command::{InstrumentTerms, NameClass};
use lotbook_core::event::Reason;
use lotbook_core::id::{NameId, TradeHash, TradeId};
use lotbook_core::legs::Due;
use lotbook_core::limits::Limits;
use lotbook_core::lots::Lot;
use lotbook_core::mark::{Flash, Marked, flash};
use lotbook_core::names::Names;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::Rules;
use parking_lot::RwLock;

use crate::changed::Watch;

/// An open lot as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotView {
    /// The trade that opened it.
    pub trade_id: Box<str>,
    /// Hash of its id.
    pub origin: TradeHash,
    /// Remaining quantity.
    pub quantity_e8: i64,
    /// Opening price.
    pub price_e8: i64,
    /// Remaining cost.
    pub cost_e16: Money,
    /// Remaining base cost.
    pub base_cost_e16: Money,
    /// From when it is held.
    pub acquired: Date,
    /// First date on which it is long-term; `None` for a short lot.
    pub long_term_from: Option<Date>,
    /// Sub-account, where it has one.
    pub sub_account: Option<Box<str>>,
    /// Interned sub-account, or `NO_NAME`.
    pub sub_account_id: NameId,
}

impl LotView {
    /// A lot of a long or short position under the rules in force there, opened by the trade of this id.
    pub(crate) fn of(lot: &Lot, trade_id: Box<str>, names: &Names, is_long: bool, rules: &Rules) -> Self {
        Self {
            trade_id,
            origin: lot.origin,
            quantity_e8: lot.quantity_e8,
            price_e8: lot.price_e8,
            cost_e16: lot.cost_e16,
            base_cost_e16: lot.base_cost_e16,
            acquired: lot.acquired,
            long_term_from: is_long.then(|| rules.long_term_from(lot.acquired)),
            sub_account: names
                .text(NameClass::SubAccount, lot.sub_account)
                .map(|text| String::from_utf8_lossy(text).into_owned().into_boxed_str()),
            sub_account_id: lot.sub_account,
        }
    }
}

/// A position as people read it, at one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionView {
    /// Account.
    pub account: Arc<str>,
    /// Instrument.
    pub instrument: Arc<str>,
    /// Interned instrument.
    pub instrument_id: NameId,
    /// Net quantity.
    pub quantity_e8: i64,
    /// Realized since inception.
    pub realized_e16: Money,
    /// The long-term part of it; the rest is short-term.
    pub realized_long_e16: Money,
    /// Realized since inception, in base currency.
    pub realized_base_e16: Money,
    /// Remaining cost.
    pub cost_e16: Money,
    /// Remaining base cost.
    pub base_cost_e16: Money,
    /// Fees since inception.
    pub fees_e16: Money,
    /// Dividends since inception.
    pub dividends_e16: Money,
    /// Version.
    pub version: u64,
    /// Whether the figures are final.
    pub reconciliation: Reconciliation,
    /// Accepted trades that break a rule at their place in history.
    pub breaks: Vec<BreakView>,
    /// Who resolved these breaks, if anybody did.
    pub resolution: Option<ResolutionView>,
    /// Late trades that await the coldpath.
    pub provisional_trade_ids: Vec<Box<str>>,
    /// Signed quantity of forward-dated trades.
    pub forward_quantity_e8: i64,
    /// What the open period carries of changes of closed days.
    pub adjusted: Option<Adjusted>,
    /// Effective date of the greatest applied key.
    pub last_effective_date: Option<Date>,
    /// Multiplier of the instrument.
    pub multiplier_e8: i64,
    /// Open lots.
    pub lots: Vec<LotView>,
    /// Their costs were averaged since the position was flat.
    pub averaged: bool,
    /// Log sequence of the last event in it.
    pub sequence: u64,
}

impl PositionView {
    /// Flash figures at a mark; zero when flat.
    #[must_use]
    pub fn flash(&self, mark: Option<&Marked>) -> Option<Flash> {
        if self.quantity_e8 == 0 {
            return Some(Flash { unrealized_e16: 0, exposure_e16: 0 });
        }
        flash(self.quantity_e8, self.cost_e16, self.multiplier_e8, mark?.price_e8).ok()
    }
}

impl PositionView {
    /// Flash figures of one of its lots at a mark.
    #[must_use]
    pub fn lot_flash(&self, lot: &LotView, mark: Option<&Marked>) -> Option<Flash> {
        let signed_e8 = if self.quantity_e8 < 0 { -lot.quantity_e8 } else { lot.quantity_e8 };
        flash(signed_e8, lot.cost_e16, self.multiplier_e8, mark?.price_e8).ok()
    }
}

/// A trade that breaks a rule at its place in history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakView {
    /// The trade.
    pub trade_id: Box<str>,
    /// The rule.
    pub reason: Reason,
}

/// An operator's resolution of the breaks of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolutionView {
    /// Who.
    pub user: Box<str>,
    /// Why.
    pub note: Box<str>,
    /// When, UTC nanoseconds.
    pub at_ns: i64,
}

/// A held amendment as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldView {
    /// Its own id.
    pub amend_id: Box<str>,
    /// Namespace of its id and its target's.
    pub namespace: Box<str>,
    /// Cancel or correct.
    pub kind: AmendKind,
    /// Id that has not come.
    pub target_id: Box<str>,
    /// Business dates that it is held for yet, this one included.
    pub dates_left: u32,
    /// User, empty for none.
    pub user: Box<str>,
    /// Correlation id.
    pub correlation: Box<str>,
    /// Log sequence of the event that held it.
    pub sequence: u64,
    /// As it was accepted.
    pub input: AmendInput,
}

/// A leg on its way to another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutLeg {
    /// Its number among all that this shard sent to others.
    pub number: u64,
    /// Partition of its target.
    pub partition: u16,
    /// Account and instrument of the position that sent it.
    pub from: (NameId, NameId),
    /// Id of the trade that opened the lot; empty where it is not known.
    pub lot_id: TradeId,
    /// The leg.
    pub due: Due,
}

/// What is on its way to other shards, as of one log sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Log sequence as of which it is so.
    pub sequence: u64,
    /// The oldest ones, in order; at most [`OUTBOX_SHOWN_MAX`](crate::limits::OUTBOX_SHOWN_MAX).
    pub first: Vec<OutLeg>,
    /// Account and instrument of all targets, ascending, each once.
    pub targets: Vec<(NameId, NameId)>,
}

/// An instrument as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentView {
    /// Terms.
    pub terms: InstrumentTerms,
    /// The mark in force.
    pub mark: Option<Marked>,
}

/// Interned account and instrument of a position.
type Key = (NameId, NameId);

/// Published positions and instruments, and how far they have come.
#[derive(Debug)]
pub struct ReadModel {
    positions: DashMap<(NameId, NameId), Arc<PositionView>>,
    instruments: DashMap<NameId, InstrumentView>,
    currencies: DashMap<NameId, Arc<str>>,
    held: RwLock<Arc<[HeldView]>>,
    outbox: RwLock<Arc<Outbox>>,
    /// Positions of any shard that one has lots from, directly; kept where there are other shards.
    sources: DashMap<Key, Arc<[Key]>>,
    /// Who wants to know what changes.
    watches: RwLock<Vec<Arc<Watch>>>,
    sequence: AtomicU64,
    published_sequence: AtomicU64,
    provisional: AtomicU64,
    pending: AtomicU64,
    breaks: AtomicU64,
    changes_pending: AtomicU64,
    business_date: AtomicI64,
    checkpoint_sequence: AtomicU64,
    economic_digest: AtomicU64,
}

impl Default for ReadModel {
    fn default() -> Self {
        Self {
            positions: DashMap::new(),
            instruments: DashMap::new(),
            currencies: DashMap::new(),
            held: RwLock::new(Arc::new([])),
            outbox: RwLock::default(),
            sources: DashMap::new(),
            watches: RwLock::default(),
            sequence: AtomicU64::new(0),
            published_sequence: AtomicU64::new(0),
            provisional: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            breaks: AtomicU64::new(0),
            changes_pending: AtomicU64::new(0),
            business_date: AtomicI64::new(i64::MIN),
            checkpoint_sequence: AtomicU64::new(0),
            economic_digest: AtomicU64::new(0),
        }
    }
}

impl ReadModel {
    /// A position by its interned names.
    #[must_use]
    pub fn position(&self, account: NameId, instrument: NameId) -> Option<Arc<PositionView>> {
        self.positions.get(&(account, instrument)).map(|view| view.clone())
    }

    /// All positions, by account, then instrument, as bytes.
    #[must_use]
    pub fn positions(&self) -> Vec<Arc<PositionView>> {
        let mut all: Vec<_> = self.positions.iter().map(|entry| entry.value().clone()).collect();
        all.sort_unstable_by(|a, b| (&a.account, &a.instrument).cmp(&(&b.account, &b.instrument)));
        all
    }

    /// Number of positions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// An instrument.
    #[must_use]
    pub fn instrument(&self, instrument: NameId) -> Option<InstrumentView> {
        self.instruments.get(&instrument).map(|view| *view)
    }

    /// Text of a currency.
    #[must_use]
    pub fn currency(&self, currency: NameId) -> Option<Arc<str>> {
        self.currencies.get(&currency).map(|text| text.clone())
    }

    /// Amendments that are held for their target, in the order of arrival.
    #[must_use]
    pub fn held(&self) -> Arc<[HeldView]> {
        self.held.read().clone()
    }

    /// What is on its way to other shards.
    #[must_use]
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.read().clone()
    }

    /// Positions of any shard that this one has lots from, directly; empty where there are no other shards.
    #[must_use]
    pub fn sources(&self, account: NameId, instrument: NameId) -> Arc<[(NameId, NameId)]> {
        self.sources.get(&(account, instrument)).map_or_else(|| Arc::new([]) as _, |found| found.clone())
    }

    pub(crate) fn publish_outbox(&self, outbox: Outbox) {
        *self.outbox.write() = Arc::new(outbox);
    }

    pub(crate) fn publish_sources(&self, position: (NameId, NameId), sources: &[(NameId, NameId)]) {
        self.sources.insert(position, sources.into());
    }

    /// Sequence of the last event that the follower has applied.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Every event up to here is visible in the published positions.
    #[must_use]
    pub fn published_sequence(&self) -> u64 {
        self.published_sequence.load(Ordering::Acquire)
    }

    /// PROVISIONAL positions, as of [`Self::sequence`].
    #[must_use]
    pub fn provisional_positions(&self) -> u64 {
        self.provisional.load(Ordering::Acquire)
    }

    /// Changes of history that positions are still taking, as of [`Self::sequence`].
    #[must_use]
    pub fn changes_pending(&self) -> u64 {
        self.changes_pending.load(Ordering::Acquire)
    }

    /// The business date, as of [`Self::sequence`].
    #[must_use]
    pub fn business_date(&self) -> Option<Date> {
        i32::try_from(self.business_date.load(Ordering::Acquire)).ok().map(Date)
    }

    /// Sequence of the newest checkpoint on disk.
    #[must_use]
    pub fn checkpoint_sequence(&self) -> u64 {
        self.checkpoint_sequence.load(Ordering::Acquire)
    }

    /// Economic digest of the follower's book, as of [`Self::sequence`].
    #[must_use]
    pub fn economic_digest(&self) -> u64 {
        self.economic_digest.load(Ordering::Acquire)
    }

    /// What is published from now on, for one reader; as much of it as limits let a book hold. It is never taken back: for threads that
    /// live as long as the host does.
    #[must_use]
    pub fn watch(&self, limits: &Limits) -> Arc<Watch> {
        let watch = Arc::new(Watch::new(limits.positions_max, limits.names_max));
        self.watches.write().push(watch.clone());
        watch
    }

    /// Account and instrument of every position, in no order.
    #[must_use]
    pub fn keys(&self) -> Vec<(NameId, NameId)> {
        self.positions.iter().map(|entry| *entry.key()).collect()
    }

    pub(crate) fn publish_position(&self, number: u32, key: (NameId, NameId), view: PositionView) {
        self.positions.insert(key, Arc::new(view));
        for watch in &*self.watches.read() {
            watch.position(number, key);
        }
    }

    pub(crate) fn publish_instrument(&self, id: NameId, instrument: &Instrument, mark: Option<Marked>) {
        let view = InstrumentView { terms: instrument.terms, mark };
        if self.instruments.insert(id, view) == Some(view) {
            return;
        }
        for watch in &*self.watches.read() {
            watch.instrument(id);
        }
    }

    pub(crate) fn publish_held(&self, held: Arc<[HeldView]>) {
        *self.held.write() = held;
    }

    pub(crate) fn publish_currency(&self, id: NameId, text: &str) {
        self.currencies.insert(id, text.into());
    }

    // ORDERING: release pairs with the acquire loads above: who reads a sequence sees what it covers.
    /// Positions that are PENDING: with breaks that nobody has resolved.
    #[must_use]
    pub fn pending_positions(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    /// Trades that break a rule at their place in history, of all positions, resolved ones included.
    #[must_use]
    pub fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::Acquire)
    }

    pub(crate) fn publish_breaks(&self, breaks: u64) {
        self.breaks.store(breaks, Ordering::Release);
    }

    pub(crate) fn publish_pending(&self, pending: usize) {
        self.pending.store(pending as u64, Ordering::Release);
    }

    pub(crate) fn advance(&self, sequence: u64, waiting: (usize, usize), today: Option<Date>, economic: u64) {
        self.provisional.store(waiting.0 as u64, Ordering::Release);
        self.changes_pending.store(waiting.1 as u64, Ordering::Release);
        self.business_date.store(today.map_or(i64::MIN, |date| i64::from(date.0)), Ordering::Release);
        self.economic_digest.store(economic, Ordering::Release);
        self.sequence.store(sequence, Ordering::Release);
    }

    pub(crate) fn published(&self, sequence: u64) {
        self.published_sequence.store(sequence, Ordering::Release);
    }

    pub(crate) fn checkpointed(&self, sequence: u64) {
        self.checkpoint_sequence.store(sequence, Ordering::Release);
    }
}
