//! Records of a log as JSON lines: every field of header and event, names as text, numbers exact.
//!
//! One object a record, keys in a fixed order: the record's header, then `origin`, then the event's
//! own fields. Quantities, prices and money are decimal strings, 64-bit hashes and digests are
//! hexadecimal strings; sequences, addresses and counts are numbers. What there is none of is null.
//! An interned number without a known name stays a number. Keys may be added, none is renamed.

mod amend;
mod lots;
mod wide;

use lotbook_core::codec::kind;
use lotbook_core::command::{NameClass, Origin, Side, TradeType};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, CorrectedEvent, Event, Figures, Reason, TradeEvent};
use lotbook_core::id::{NO_NAME, NameId, TradeHash};
use lotbook_core::outcome::{Allocation, Outcome};
use lotbook_core::rules::Rules;
use lotbook_wal::{EpochStart, Group, KIND_CLOSE, KIND_EPOCH_START, NO_ADDRESS, RecordHeader};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::names::Names;
use crate::text::{Day, E8, E16, Hex32, Hex64, Hex128, HexBytes, Nanos};

/// Kind of a side-log record: a piece of an outcome's body.
pub const KIND_OUTCOME_BODY: u16 = 64;

/// Name of a record's kind.
#[must_use]
pub fn kind_name(kind: u16) -> &'static str {
    match kind {
        KIND_EPOCH_START => "EpochStart",
        KIND_CLOSE => "Close",
        KIND_OUTCOME_BODY => "OutcomeBody",
        _ => kind::ALL.iter().find(|(known, _)| *known == kind).map_or("unknown", |(_, name)| name),
    }
}

/// What a record holds.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// An event of the book.
    Event(&'a Event<'a>),
    /// A correction together with its body, which says what it does lot by lot.
    Correction(&'a Event<'a>, &'a Outcome),
    /// The body of a coldpath outcome, put together from its records; the header is the first one's.
    Outcome(&'a Outcome),
    /// A record that the log wrote for itself.
    Internal(&'a [u8]),
    /// A payload that cannot be read, and why.
    Unreadable(&'a [u8], &'a str),
}

/// A record as a line. Serialize it with [`to_line`].
#[derive(Debug)]
pub struct Line<'a, N> {
    /// Its header.
    pub header: &'a RecordHeader,
    /// Its content.
    pub content: Content<'a>,
    /// Names known at its place.
    pub names: &'a N,
}

/// Writes a line, its line end included.
///
/// # Errors
/// Those of the writer.
pub fn to_line<N: Names>(line: &Line<'_, N>, mut out: impl std::io::Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")
}

impl<N: Names> Serialize for Line<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        header(&mut map, self.header)?;
        self.content(&mut map)?;
        map.end()
    }
}

/// What a line says without the record's header, for whom keeps the header apart.
#[derive(Debug)]
pub struct Payload<'a, N>(pub Line<'a, N>);

impl<N: Names> Serialize for Payload<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.content(&mut map)?;
        map.end()
    }
}

fn header<M: SerializeMap>(map: &mut M, header: &RecordHeader) -> Result<(), M::Error> {
    map.serialize_entry("sequence", &header.sequence)?;
    map.serialize_entry("epoch", &header.epoch)?;
    map.serialize_entry("address", &header.address)?;
    map.serialize_entry("previous", &address(header.previous))?;
    map.serialize_entry("partition", &header.partition)?;
    map.serialize_entry("kind", kind_name(header.kind))?;
    map.serialize_entry("kind_code", &header.kind)?;
    map.serialize_entry("schema_version", &header.version)?;
    map.serialize_entry("group", group_name(header.group()))?;
    map.serialize_entry("durable_sequence", &header.durable_sequence)?;
    map.serialize_entry("checksum", &Hex32(header.checksum))
}

fn group_name(group: Group) -> &'static str {
    match group {
        Group::Single => "single",
        Group::First => "first",
        Group::Middle => "middle",
        Group::Last => "last",
    }
}

fn address(value: u64) -> Option<u64> {
    (value != NO_ADDRESS).then_some(value)
}

fn number(value: u32) -> Option<u32> {
    (value != u32::MAX).then_some(value)
}

fn stamp(value: i64) -> Option<Nanos> {
    (value != 0).then_some(Nanos(value))
}

fn day(date: Date) -> Option<Day> {
    (date != Date::NONE).then_some(Day(date))
}

fn hash(hash: TradeHash) -> Option<Hex128> {
    (hash != TradeHash::NONE).then_some(Hex128(hash.0))
}

fn code(reason: Reason) -> Option<&'static str> {
    (reason != Reason::None).then(|| reason.code())
}

fn some_text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Bounds of an instrument's prices: zero is none.
fn bound(value_e8: i64) -> Option<E8> {
    (value_e8 != 0).then_some(E8(value_e8))
}

/// Fixed-width identifiers: zeros are none.
fn identifier(bytes: &[u8]) -> Option<String> {
    bytes.iter().any(|b| *b != 0).then(|| String::from_utf8_lossy(bytes).into_owned())
}

fn class_name(class: NameClass) -> &'static str {
    match class {
        NameClass::Account => "account",
        NameClass::Instrument => "instrument",
        NameClass::Contract => "contract",
        NameClass::User => "user",
        NameClass::Source => "source",
        NameClass::Namespace => "namespace",
        NameClass::Currency => "currency",
        NameClass::SubAccount => "sub_account",
    }
}

/// The class as the book knows it: finer than the outcome that a sender sees.
fn trade_class(class: Class) -> &'static str {
    match class {
        Class::Matured => "matured",
        Class::Lapsed => "lapsed",
        Class::Rebooked => "rebooked",
        other => other.as_str(),
    }
}

/// A name: its text, else its number, else null.
struct Name<'a, N> {
    names: &'a N,
    class: NameClass,
    id: NameId,
}

impl<N: Names> Serialize for Name<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.names.text(self.class, self.id) {
            _ if self.id == NO_NAME => serializer.serialize_none(),
            Some(text) => serializer.serialize_str(&text),
            None => serializer.serialize_u32(self.id),
        }
    }
}

/// An origin with its names.
struct OriginOf<'a, N>(&'a Origin, &'a N);

impl<N: Names> Serialize for OriginOf<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(origin, names) = *self;
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("source", &Name { names, class: NameClass::Source, id: origin.source })?;
        map.serialize_entry("source_offset", &origin.source_offset)?;
        map.serialize_entry("received_at", &stamp(origin.received_at_ns))?;
        map.serialize_entry("occurred_at", &stamp(origin.occurred_at_ns))?;
        map.serialize_entry("raw_hash", &(origin.raw_hash != 0).then_some(Hex64(origin.raw_hash)))?;
        map.serialize_entry("trace_id", &(origin.trace_id != 0).then_some(Hex128(origin.trace_id)))?;
        map.serialize_entry("causation", &(origin.causation != 0).then_some(origin.causation))?;
        map.end()
    }
}

impl<N: Names> Line<'_, N> {
    fn name(&self, class: NameClass, id: NameId) -> Name<'_, N> {
        Name { names: self.names, class, id }
    }

    fn content<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match &self.content {
            Content::Event(event) => self.event(map, event, None),
            Content::Correction(event, outcome) => self.event(map, event, Some(outcome)),
            Content::Outcome(outcome) => body(map, outcome),
            Content::Internal(payload) => internal(map, self.header.kind, payload),
            Content::Unreadable(payload, why) => {
                map.serialize_entry("error", why)?;
                map.serialize_entry("payload", &HexBytes(payload))
            }
        }
    }

    fn event<M: SerializeMap>(
        &self,
        map: &mut M,
        event: &Event<'_>,
        outcome: Option<&Outcome>,
    ) -> Result<(), M::Error> {
        map.serialize_entry("origin", &OriginOf(event.origin(), self.names))?;
        match event {
            Event::Defined { class, id, reason, text, .. } => {
                map.serialize_entry("class", class_name(*class))?;
                map.serialize_entry("id", &number(*id))?;
                map.serialize_entry("text", &String::from_utf8_lossy(text))?;
                map.serialize_entry("reason", &code(*reason))
            }
            Event::Instrument { reason, terms, .. } => {
                map.serialize_entry("instrument", &self.name(NameClass::Instrument, terms.instrument))?;
                map.serialize_entry("currency", &self.name(NameClass::Currency, terms.currency))?;
                map.serialize_entry("multiplier", &E8(terms.multiplier_e8))?;
                map.serialize_entry("tick", &bound(terms.tick_e8))?;
                map.serialize_entry("price_min", &bound(terms.price_min_e8))?;
                map.serialize_entry("price_max", &bound(terms.price_max_e8))?;
                map.serialize_entry("isin", &identifier(&terms.isin))?;
                map.serialize_entry("cusip", &identifier(&terms.cusip))?;
                map.serialize_entry("reason", &code(*reason))
            }
            Event::Contract { reason, terms, .. } => {
                map.serialize_entry("contract_id", &self.name(NameClass::Contract, terms.contract))?;
                map.serialize_entry("account", &self.name(NameClass::Account, terms.account))?;
                map.serialize_entry("instrument", &self.name(NameClass::Instrument, terms.instrument))?;
                self.rules(map, &terms.rules)?;
                map.serialize_entry("effective_date", &day(terms.effective_date))?;
                map.serialize_entry("reason", &code(*reason))
            }
            Event::BusinessDate { reason, date, .. } => {
                map.serialize_entry("date", &day(*date))?;
                map.serialize_entry("reason", &code(*reason))
            }
            Event::Mark { reason, mark, .. } => {
                map.serialize_entry("instrument", &self.name(NameClass::Instrument, mark.instrument))?;
                map.serialize_entry("mark_kind", mark.kind.as_str())?;
                map.serialize_entry("price", &E8(mark.price_e8))?;
                map.serialize_entry("ask", &bound(mark.ask_e8))?;
                map.serialize_entry("at", &Nanos(mark.at_ns))?;
                map.serialize_entry("reason", &code(*reason))
            }
            Event::Trade(trade) => self.trade(map, trade),
            Event::Amended(amended) => self.amended(map, amended),
            Event::Resolved(resolved) => self.resolved(map, resolved),
            Event::Action(action) => self.action(map, action),
            Event::Taken(taken) => self.taken(map, taken),
            Event::Arrived(arrived) => self.arrived(map, arrived),
            Event::Received(received) => self.received(map, received),
            Event::Delivered(delivered) => map.serialize_entry("through", &delivered.through),
            Event::Settled(settled) => {
                map.serialize_entry("change", &settled.ordinal)?;
                map.serialize_entry("positions", &settled.positions)
            }
            Event::PeriodLock(lock) => {
                map.serialize_entry("account", &self.name(NameClass::Account, lock.input.account))?;
                map.serialize_entry("through", &day(lock.input.through))?;
                map.serialize_entry("reason", &code(lock.reason))
            }
            Event::Corrected(corrected) => self.corrected(map, corrected, outcome),
            Event::Digests { economic, full, .. } => {
                map.serialize_entry("economic", &Hex64(*economic))?;
                map.serialize_entry("full", &Hex64(*full))
            }
        }
    }

    fn rules<M: SerializeMap>(&self, map: &mut M, rules: &Rules) -> Result<(), M::Error> {
        let rate = |rate_e8: u32| E8(rate_e8.into());
        map.serialize_entry("lot_method", rules.method.as_str())?;
        map.serialize_entry("allow_short", &rules.allow_short)?;
        map.serialize_entry("short_rank", rules.short_rank.as_str())?;
        map.serialize_entry("lot_scope", rules.lot_scope.as_str())?;
        map.serialize_entry("fees_rule", rules.fees_rule.as_str())?;
        map.serialize_entry("tax_rate_short", &rules.tax_rates.map(|rates| rate(rates.short_e8)))?;
        map.serialize_entry("tax_rate_long", &rules.tax_rates.map(|rates| rate(rates.long_e8)))?;
        map.serialize_entry("long_term_days", &(rules.long_term_days != 0).then_some(rules.long_term_days))?;
        map.serialize_entry("wash_sale", rules.wash_sale.as_str())?;
        map.serialize_entry("wash_window_days", &rules.wash_window_days)?;
        map.serialize_entry("taxpayer", &self.name(NameClass::Account, rules.taxpayer))?;
        map.serialize_entry("locked_changes", rules.locked_changes.as_str())
    }

    fn trade<M: SerializeMap>(&self, map: &mut M, trade: &TradeEvent<'_>) -> Result<(), M::Error> {
        let input = &trade.input;
        map.serialize_entry("trade_id", input.trade_id.as_str())?;
        map.serialize_entry("hash", &Hex128(input.hash.0))?;
        map.serialize_entry("namespace", &self.name(NameClass::Namespace, input.namespace))?;
        map.serialize_entry("account", &self.name(NameClass::Account, input.account))?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, input.instrument))?;
        map.serialize_entry("contract_id", &self.name(NameClass::Contract, input.contract))?;
        map.serialize_entry("type", input.kind.as_str())?;
        map.serialize_entry("to_account", &self.name(NameClass::Account, input.to_account))?;
        map.serialize_entry("side", Side::as_str(input.side))?;
        map.serialize_entry("trade_type", &some_text(TradeType::as_str(input.trade_type)))?;
        map.serialize_entry("quantity", &E8(input.quantity_e8))?;
        map.serialize_entry("price", &input.price().map(E8))?;
        map.serialize_entry("consideration", &input.consideration().map(E8))?;
        map.serialize_entry("fees", &E8(input.fees_e8))?;
        map.serialize_entry("currency", &self.name(NameClass::Currency, input.currency))?;
        map.serialize_entry("fx_to_base", &E8(input.fx_to_base_e8))?;
        map.serialize_entry("sub_account", &self.name(NameClass::SubAccount, input.sub_account))?;
        map.serialize_entry("acquired", &day(input.acquired))?;
        map.serialize_entry("effective_date", &day(input.effective_date))?;
        map.serialize_entry("executed_at", &Nanos(input.executed_at_ns))?;
        map.serialize_entry("source_order", &input.source_order)?;
        map.serialize_entry("lot", &hash(input.lot))?;
        map.serialize_entry("user_id", &self.name(NameClass::User, input.user))?;
        map.serialize_entry("correlation_id", &some_text(input.correlation.as_str()))?;
        map.serialize_entry("outcome", trade.class.as_str())?;
        map.serialize_entry("class", trade_class(trade.class))?;
        map.serialize_entry("reason", &code(trade.reason))?;
        map.serialize_entry("reason_code", &(trade.reason as u16))?;
        map.serialize_entry("position", &number(trade.position))?;
        map.serialize_entry("version", &trade.version)?;
        map.serialize_entry("lot_method", trade.method.as_str())?;
        map.serialize_entry("on_provisional", &trade.on_provisional)?;
        map.serialize_entry("late", &trade.late)?;
        map.serialize_entry("backdated", &trade.backdated)?;
        map.serialize_entry("adjusts", &trade.adjusts)?;
        map.serialize_entry("closed_quantity", &E8(trade.closed_quantity_e8))?;
        map.serialize_entry("averaged_over", &some_text(trade.averaged.as_str()))?;
        map.serialize_entry("closed_cost", &E16(trade.closed_cost_e16))?;
        map.serialize_entry("closed_base_cost", &E16(trade.closed_base_e16))?;
        map.serialize_entry("opened_quantity", &E8(trade.opened_quantity_e8))?;
        map.serialize_entry("opened_cost", &E16(trade.opened_cost_e16))?;
        map.serialize_entry("opened_base_cost", &E16(trade.opened_base_e16))?;
        map.serialize_entry("lot_price", &(trade.opened_quantity_e8 > 0).then_some(E8(trade.lot_price_e8)))?;
        map.serialize_entry("enlarges", &trade.enlarges)?;
        map.serialize_entry("realized_pnl", &E16(trade.realized_e16))?;
        map.serialize_entry("realized_long_term", &E16(trade.realized_long_e16))?;
        map.serialize_entry("realized_base", &E16(trade.realized_base_e16))?;
        map.serialize_entry("first_class", trade_class(trade.first_class))?;
        map.serialize_entry("first_sequence", &(trade.first_sequence != 0).then_some(trade.first_sequence))?;
        map.serialize_entry("first_address", &address(trade.first_address))?;
        map.serialize_entry("allocation_runs", &trade.runs.iter().map(RunRow::from).collect::<Vec<_>>())
    }

    fn corrected<M: SerializeMap>(
        &self,
        map: &mut M,
        event: &CorrectedEvent,
        outcome: Option<&Outcome>,
    ) -> Result<(), M::Error> {
        map.serialize_entry("account", &self.name(NameClass::Account, event.account))?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, event.instrument))?;
        map.serialize_entry("position", &number(event.position))?;
        map.serialize_entry("version", &event.version)?;
        map.serialize_entry("base_version", &event.base_version)?;
        map.serialize_entry("cause", &hash(event.cause))?;
        map.serialize_entry("cause_sequence", &event.cause_sequence)?;
        map.serialize_entry("late_trades", &event.late_trades)?;
        map.serialize_entry("tail", &event.tail)?;
        map.serialize_entry("left", &event.left)?;
        map.serialize_entry("breaks", &event.breaks)?;
        map.serialize_entry("seen", &event.seen)?;
        let [before, after] = event.exposures_e16();
        let delta = delta(&event.before, &event.after);
        let exposed = after.zip(before).and_then(|(after, before)| after.checked_sub(before));
        map.serialize_entry("before", &Exposed::of(FiguresRow::from(&event.before), before))?;
        map.serialize_entry("after", &Exposed::of(FiguresRow::from(&event.after), after))?;
        map.serialize_entry("delta", &Exposed::of(delta, exposed))?;
        map.serialize_entry("lots", &outcome.map(lots::changes))?;
        map.serialize_entry("adjustment", &wide::AdjustedRow::of(&event.adjusted))?;
        map.serialize_entry("body_log_id", &Hex64(event.body_log_id))?;
        map.serialize_entry("body_address", &event.body_address)?;
        map.serialize_entry("body_sequence", &event.body_sequence)?;
        map.serialize_entry("body_bytes", &event.body_bytes)?;
        map.serialize_entry("body_digest", &Hex64(event.body_digest))
    }
}

/// A run of allocations: lots `from .. from + count` whole, or a part of one.
#[derive(Serialize)]
struct RunRow {
    from: u32,
    count: u32,
    part_quantity: Option<E8>,
    part_cost: Option<E16>,
}

impl From<&lotbook_core::Run> for RunRow {
    fn from(run: &lotbook_core::Run) -> Self {
        let is_part = run.part_quantity_e8 != 0;
        Self {
            from: run.from,
            count: run.count,
            part_quantity: is_part.then_some(E8(run.part_quantity_e8)),
            part_cost: is_part.then_some(E16(run.part_cost_e16)),
        }
    }
}

#[derive(Serialize)]
struct FiguresRow {
    quantity: E8,
    realized_pnl: E16,
    realized_long_term: E16,
    realized_base: E16,
    cost: E16,
    base_cost: E16,
    fees: E16,
    dividends: E16,
    lot_count: u32,
}

impl From<&Figures> for FiguresRow {
    fn from(figures: &Figures) -> Self {
        Self {
            quantity: E8(figures.quantity_e8),
            realized_pnl: E16(figures.realized_e16),
            realized_long_term: E16(figures.realized_long_e16),
            realized_base: E16(figures.realized_base_e16),
            cost: E16(figures.cost_e16),
            base_cost: E16(figures.base_cost_e16),
            fees: E16(figures.fees_e16),
            dividends: E16(figures.dividends_e16),
            lot_count: figures.lot_count,
        }
    }
}

/// Figures, and the exposure at the mark when a correction was accepted; null where there was none.
#[derive(Serialize)]
struct Exposed<T> {
    #[serde(flatten)]
    figures: T,
    exposure: Option<E16>,
}

impl<T> Exposed<T> {
    fn of(figures: T, exposure_e16: Option<i128>) -> Self {
        Self { figures, exposure: exposure_e16.map(E16) }
    }
}

/// After less before; a figure that leaves its exact range is null.
#[derive(Serialize)]
struct DeltaRow {
    quantity: Option<E8>,
    realized_pnl: Option<E16>,
    realized_long_term: Option<E16>,
    realized_base: Option<E16>,
    cost: Option<E16>,
    base_cost: Option<E16>,
    fees: Option<E16>,
    dividends: Option<E16>,
    lot_count: i64,
}

fn delta(before: &Figures, after: &Figures) -> DeltaRow {
    let less = |after: i128, before: i128| after.checked_sub(before).map(E16);
    DeltaRow {
        quantity: after.quantity_e8.checked_sub(before.quantity_e8).map(E8),
        realized_pnl: less(after.realized_e16, before.realized_e16),
        realized_long_term: less(after.realized_long_e16, before.realized_long_e16),
        realized_base: less(after.realized_base_e16, before.realized_base_e16),
        cost: less(after.cost_e16, before.cost_e16),
        base_cost: less(after.base_cost_e16, before.base_cost_e16),
        fees: less(after.fees_e16, before.fees_e16),
        dividends: less(after.dividends_e16, before.dividends_e16),
        lot_count: i64::from(after.lot_count) - i64::from(before.lot_count),
    }
}

#[derive(Serialize)]
struct FiguredTradeRow {
    hash: Hex128,
    date: Option<Day>,
    realized_pnl: E16,
    realized_long_term: E16,
    realized_base: E16,
    realized_market: E16,
    reason: Option<&'static str>,
    allocations: Vec<AllocationRow>,
}

#[derive(Serialize)]
struct AllocationRow {
    lot: Hex128,
    quantity: E8,
    price: E8,
    cost: E16,
    base_cost: E16,
    realized_pnl: E16,
    acquired: Option<Day>,
    long_term: bool,
}

impl From<&Allocation> for AllocationRow {
    fn from(allocation: &Allocation) -> Self {
        Self {
            lot: Hex128(allocation.lot.0),
            quantity: E8(allocation.quantity_e8),
            price: E8(allocation.price_e8),
            cost: E16(allocation.cost_e16),
            base_cost: E16(allocation.base_cost_e16),
            realized_pnl: E16(allocation.realized_e16),
            acquired: day(allocation.acquired),
            long_term: allocation.is_long_term,
        }
    }
}

#[derive(Serialize)]
struct BreakRow {
    hash: Hex128,
    reason: &'static str,
}

fn body<M: SerializeMap>(map: &mut M, outcome: &Outcome) -> Result<(), M::Error> {
    let lots = outcome.lots.iter().map(lots::LotRow::from);
    let trades = outcome.trades.iter().map(|trade| FiguredTradeRow {
        hash: Hex128(trade.hash.0),
        date: day(trade.date),
        realized_pnl: E16(trade.realized_e16),
        realized_long_term: E16(trade.realized_long_e16),
        realized_base: E16(trade.realized_base_e16),
        realized_market: E16(trade.realized_market_e16),
        reason: code(trade.reason),
        allocations: trade.allocations.iter().map(AllocationRow::from).collect(),
    });
    let actions = outcome.actions.iter().map(wide::FiguredActionRow::from);
    let breaks = outcome.breaks.iter().map(|(hash, reason)| BreakRow { hash: Hex128(hash.0), reason: reason.code() });
    map.serialize_entry("after", &FiguresRow::from(&outcome.after))?;
    map.serialize_entry("averaged", &outcome.averaged)?;
    map.serialize_entry("lots", &lots.collect::<Vec<_>>())?;
    map.serialize_entry("trades", &trades.collect::<Vec<_>>())?;
    map.serialize_entry("actions", &actions.collect::<Vec<_>>())?;
    map.serialize_entry("breaks", &breaks.collect::<Vec<_>>())?;
    map.serialize_entry("changed", &lots::changes(outcome))?;
    amend::body(map, outcome)
}

/// The log's own records.
fn internal<M: SerializeMap>(map: &mut M, kind: u16, payload: &[u8]) -> Result<(), M::Error> {
    let wall = |ns: u64| i64::try_from(ns).ok().map(Nanos);
    let closed_at = || payload.try_into().ok().map(u64::from_le_bytes);
    match (kind, EpochStart::decode(payload)) {
        (KIND_EPOCH_START, Some(start)) => {
            map.serialize_entry("began_at", &wall(start.wall_clock_ns))?;
            map.serialize_entry("clean", &start.clean)?;
            map.serialize_entry("end_sequence", &start.end_sequence)?;
            map.serialize_entry("end_address", &start.end_address)?;
            map.serialize_entry("end_checksum", &Hex32(start.end_checksum))?;
            map.serialize_entry("boot_id", &HexBytes(&start.boot_id))?;
            map.serialize_entry("lost_from_sequence", &start.lost_from_sequence)
        }
        (KIND_CLOSE, _) => map.serialize_entry("closed_at", &closed_at().and_then(wall)),
        _ => map.serialize_entry("payload", &HexBytes(payload)),
    }
}
