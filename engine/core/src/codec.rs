//! Events as bytes. The one place where kinds, schema versions and layouts are known.
//!
//! A payload is a fixed rkyv struct, then byte slices: for a trade, where it is not a plain one, a second struct;
//! then its id, its correlation id, and the runs as 32-byte rows. A plain trade has a price and no consideration, its
//! base figures are its own, nothing was long-term, and it is no opening lot. Each (kind, version) is a frozen struct whose size is asserted; a
//! change in layout, or in what `apply` does to an event, is a new version beside the old one.
//! rkyv's endianness, alignment and pointer width are pinned by features in the workspace manifest.

mod amend;
mod arrived;
mod carried;
pub mod kind;
mod layout;
mod parts;
mod runs;
mod wide;

use alloc::vec::Vec;

use layout::*;
use parts::{contract_rules, corrected};
use rkyv::rancor::Failure;
use rkyv::ser::writer::Buffer;
use rkyv::{Archive, Serialize};
use runs::{RUN_BYTES, align_runs, read_runs, write_runs};

use crate::amount::ONE_E8;
use crate::command::{InstrumentTerms, Mark, MarkKind, NO_CONSIDERATION, NameClass, Side};
use crate::command::{TradeInput, TradeKind, TradeType};
use crate::date::Date;
use crate::event::{Averaged, Class, CorrectedEvent, Event, Reason, Run, TradeEvent};
use crate::id::{NO_NAME, TradeHash, TradeId};
use crate::limits::{CORRELATION_BYTES_MAX, RUNS_PER_TRADE_MAX, TRADE_ID_BYTES_MAX};
use crate::rules::{ContractTerms, FeesRule, LockedChanges, LotMethod, LotScope, Rules, ShortRank, TaxRates, WashSale};

/// Current schema version of every kind.
pub const SCHEMA_VERSION: u8 = 1;

/// Largest payload of one event, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = size_of::<ArchivedTradeV1>()
    + size_of::<ArchivedTradeExtraV1>()
    + align_runs(TRADE_ID_BYTES_MAX + CORRELATION_BYTES_MAX)
    + RUNS_PER_TRADE_MAX * RUN_BYTES;
const _: () = assert!(wide::PAYLOAD_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(arrived::PAYLOAD_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(carried::PAYLOAD_BYTES_MAX <= PAYLOAD_BYTES_MAX);

const FLAG_ON_PROVISIONAL: u8 = 1;
const FLAG_BACKDATED: u8 = 2;
const FLAG_LATE: u8 = 4;
const FLAG_ENLARGES: u8 = 8;
const FLAG_EXTRA: u8 = 16;
/// Two bits: [`Averaged`].
const SHIFT_AVERAGED: u8 = 5;
const FLAG_ADJUSTS: u8 = 128;

/// A payload that is not one of ours, or not of a version that this build reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// No such kind.
    UnknownKind(u16),
    /// A kind of ours in a version of a later release.
    UnknownVersion(u16, u8),
    /// Lengths or codes that no encoder wrote.
    Malformed(u16),
}

impl core::error::Error for CodecError {}

impl core::fmt::Display for CodecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "unknown event kind {kind}"),
            Self::UnknownVersion(kind, version) => {
                write!(f, "event kind {kind} has version {version}, written by a later release")
            }
            Self::Malformed(kind) => write!(f, "malformed event of kind {kind}"),
        }
    }
}

/// Kind of an event.
#[must_use]
pub fn kind_of(event: &Event<'_>) -> u16 {
    match event {
        Event::Defined { .. } => kind::DEFINED,
        Event::Instrument { .. } => kind::INSTRUMENT,
        Event::Contract { .. } => kind::CONTRACT,
        Event::BusinessDate { .. } => kind::BUSINESS_DATE,
        Event::Mark { .. } => kind::MARK,
        Event::Trade(trade) => trade_kind(trade.class),
        Event::Amended(amend) => amend_kind(amend.class),
        Event::Resolved(_) => kind::RESOLVED,
        Event::Action(_) => kind::ACTION,
        Event::Taken(_) => kind::TAKEN,
        Event::Arrived(_) => kind::ARRIVED,
        Event::Received(_) => kind::RECEIVED,
        Event::Delivered(_) => kind::DELIVERED,
        Event::Settled(_) => kind::SETTLED,
        Event::PeriodLock(_) => kind::PERIOD_LOCK,
        Event::Corrected(_) => kind::CORRECTED,
        Event::Digests { .. } => kind::DIGESTS,
    }
}

/// Kind of a trade's event, by what became of it.
#[inline]
fn trade_kind(class: Class) -> u16 {
    if class == Class::Rebooked { kind::TRADE_REBOOKED } else { kind::TRADE_APPLIED - 1 + class as u16 }
}

/// Kind of an amendment's event, by what became of it.
fn amend_kind(class: Class) -> u16 {
    match class {
        Class::Held => kind::AMEND_HELD,
        Class::Lapsed => kind::AMEND_LAPSED,
        Class::Rejected => kind::AMEND_REJECTED,
        Class::Duplicate => kind::AMEND_DUPLICATE,
        Class::Applied | Class::Provisional | Class::Forward | Class::Matured | Class::Rebooked => kind::AMEND_APPLIED,
    }
}

/// Bytes of an event's payload.
#[must_use]
pub fn payload_bytes(event: &Event<'_>) -> usize {
    match event {
        Event::Defined { text, .. } => size_of::<ArchivedDefinedV1>() + text.len(),
        Event::Instrument { .. } => size_of::<ArchivedInstrumentV1>(),
        Event::Contract { .. } => size_of::<ArchivedContractV1>(),
        Event::BusinessDate { .. } => size_of::<ArchivedBusinessDateV1>(),
        Event::Mark { .. } => size_of::<ArchivedMarkV1>(),
        Event::Trade(trade) => trade_bytes(trade),
        Event::Amended(event) => amend::amend_bytes(event),
        Event::Resolved(event) => amend::resolved_bytes(event),
        Event::Action(event) => wide::action_bytes(event),
        Event::Taken(event) => wide::taken_bytes(event),
        Event::Arrived(event) => arrived::arrived_bytes(event),
        Event::Received(event) => carried::received_bytes(event),
        Event::Delivered(_) => carried::DELIVERED_BYTES,
        Event::Settled(_) => wide::SETTLED_BYTES,
        Event::PeriodLock(_) => wide::LOCK_BYTES,
        Event::Corrected(_) => size_of::<ArchivedCorrectedV1>(),
        Event::Digests { .. } => size_of::<ArchivedDigestsV1>(),
    }
}

fn trade_bytes(trade: &TradeEvent<'_>) -> usize {
    let text = trade.input.trade_id.as_bytes().len() + trade.input.correlation.as_bytes().len();
    let extra = if is_plain(trade) { 0 } else { size_of::<ArchivedTradeExtraV1>() };
    size_of::<ArchivedTradeV1>() + extra + align_runs(text) + trade.runs.len() * RUN_BYTES
}

/// Whether the fixed part says everything.
#[inline]
fn is_plain(trade: &TradeEvent<'_>) -> bool {
    let input = &trade.input;
    input.fx_to_base_e8 == ONE_E8
        && input.consideration_e8 == NO_CONSIDERATION
        && input.kind == TradeKind::Trade
        && input.acquired == Date::NONE
        && trade.lot_price_e8 == plain_lot_price(trade.opened_quantity_e8, input.price_e8)
        && trade.opened_base_e16 == trade.opened_cost_e16
        && trade.closed_base_e16 == trade.closed_cost_e16
        && trade.realized_base_e16 == trade.realized_e16
        && trade.realized_long_e16 == 0
}

#[inline]
fn plain_lot_price(opened_quantity_e8: i64, price_e8: i64) -> i64 {
    if opened_quantity_e8 > 0 { price_e8 } else { 0 }
}

/// Writes an event's payload. `out` has exactly [`payload_bytes`].
pub fn encode(event: &Event<'_>, out: &mut [u8]) {
    assert!(out.len() == payload_bytes(event));
    match event {
        Event::Trade(trade) => encode_trade(trade, out),
        Event::Amended(event) => amend::encode_amend(event, out),
        Event::Resolved(event) => amend::encode_resolved(event, out),
        Event::Action(event) => wide::encode_action(event, out),
        Event::Taken(event) => wide::encode_taken(event, out),
        Event::Arrived(event) => arrived::encode_arrived(event, out),
        Event::Received(event) => carried::encode_received(event, out),
        Event::Delivered(event) => carried::encode_delivered(event, out),
        Event::Settled(event) => wide::encode_settled(event, out),
        Event::PeriodLock(event) => wide::encode_lock(event, out),
        Event::Defined { origin, class, id, reason, text } => {
            let (fixed, rest) = out.split_at_mut(size_of::<ArchivedDefinedV1>());
            let text_bytes = text.len() as u8;
            let (class, reason) = (*class as u8, *reason as u16);
            write(&DefinedV1 { origin: origin.into(), id: *id, reason, class, text_bytes, reserved: [0; 8] }, fixed);
            rest.copy_from_slice(text);
        }
        Event::Instrument { origin, reason, terms } => write(
            &InstrumentV1 {
                origin: origin.into(),
                multiplier_e8: terms.multiplier_e8,
                tick_e8: terms.tick_e8,
                price_min_e8: terms.price_min_e8,
                price_max_e8: terms.price_max_e8,
                instrument: terms.instrument,
                currency: terms.currency,
                reason: *reason as u16,
                isin: terms.isin,
                cusip: terms.cusip,
                reserved: [0; 1],
            },
            out,
        ),
        Event::Contract { origin, reason, terms } => write(
            &ContractV1 {
                origin: origin.into(),
                contract: terms.contract,
                account: terms.account,
                instrument: terms.instrument,
                effective_date: terms.effective_date.0,
                reason: *reason as u16,
                long_term_days: terms.rules.long_term_days,
                wash_window_days: terms.rules.wash_window_days,
                method: terms.rules.method as u8,
                allow_short: u8::from(terms.rules.allow_short),
                short_rank: terms.rules.short_rank as u8,
                lot_scope: terms.rules.lot_scope as u8,
                fees_rule: terms.rules.fees_rule as u8,
                wash_sale: terms.rules.wash_sale as u8,
                locked_changes: terms.rules.locked_changes as u8,
                has_tax_rates: u8::from(terms.rules.tax_rates.is_some()),
                reserved: [0; 6],
                tax_rate_short_e8: terms.rules.tax_rates.map_or(0, |rates| rates.short_e8),
                tax_rate_long_e8: terms.rules.tax_rates.map_or(0, |rates| rates.long_e8),
                taxpayer: terms.rules.taxpayer,
            },
            out,
        ),
        Event::BusinessDate { origin, reason, date } => {
            write(
                &BusinessDateV1 { origin: origin.into(), date: date.0, reason: *reason as u16, reserved: [0; 10] },
                out,
            );
        }
        Event::Mark { origin, reason, mark } => write(
            &MarkV1 {
                origin: origin.into(),
                price_e8: mark.price_e8,
                ask_e8: mark.ask_e8,
                at_ns: mark.at_ns,
                instrument: mark.instrument,
                reason: *reason as u16,
                kind: mark.kind as u8,
                reserved: 0,
            },
            out,
        ),
        Event::Corrected(event) => write(
            &CorrectedV1 {
                origin: (&event.origin).into(),
                cause: event.cause.0,
                before: (&event.before).into(),
                after: (&event.after).into(),
                version: event.version,
                base_version: event.base_version,
                cause_sequence: event.cause_sequence,
                body_log_id: event.body_log_id,
                body_address: event.body_address,
                body_sequence: event.body_sequence,
                body_digest: event.body_digest,
                mark_price_e8: event.valued.map_or(0, |valued| valued.price_e8),
                multiplier_e8: event.valued.map_or(0, |valued| valued.multiplier_e8),
                body_bytes: event.body_bytes,
                position: event.position,
                account: event.account,
                instrument: event.instrument,
                late_trades: event.late_trades,
                breaks: event.breaks,
                seen: event.seen,
                closed_through: event.adjusted.through.0,
                adjusted: (&event.adjusted.figures).into(),
                tail: event.tail,
                left: event.left,
                reserved: [0; 2],
            },
            out,
        ),
        Event::Digests { origin, economic, full } => {
            write(&DigestsV1 { origin: origin.into(), economic: *economic, full: *full }, out);
        }
    }
}

#[inline]
fn encode_trade(trade: &TradeEvent<'_>, out: &mut [u8]) {
    let input = &trade.input;
    let (trade_id, correlation) = (input.trade_id.as_bytes(), input.correlation.as_bytes());
    let (fixed, rest) = out.split_at_mut(size_of::<ArchivedTradeV1>());
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let flags = flag(trade.on_provisional, FLAG_ON_PROVISIONAL)
        | flag(trade.backdated, FLAG_BACKDATED)
        | flag(trade.late, FLAG_LATE)
        | flag(trade.enlarges, FLAG_ENLARGES)
        | (trade.averaged as u8) << SHIFT_AVERAGED
        | flag(trade.adjusts, FLAG_ADJUSTS)
        | flag(!is_plain(trade), FLAG_EXTRA);
    let archived = TradeV1 {
        origin: (&trade.origin).into(),
        hash: input.hash.0,
        lot: input.lot.0,
        realized_e16: trade.realized_e16,
        closed_cost_e16: trade.closed_cost_e16,
        opened_cost_e16: trade.opened_cost_e16,
        quantity_e8: input.quantity_e8,
        price_e8: input.price_e8,
        fees_e8: input.fees_e8,
        executed_at_ns: input.executed_at_ns,
        source_order: input.source_order,
        version: trade.version,
        closed_quantity_e8: trade.closed_quantity_e8,
        opened_quantity_e8: trade.opened_quantity_e8,
        first_sequence: trade.first_sequence,
        first_address: trade.first_address,
        effective_date: input.effective_date.0,
        namespace: input.namespace,
        account: input.account,
        instrument: input.instrument,
        contract: input.contract,
        user: input.user,
        position: trade.position,
        reason: trade.reason as u16,
        runs: trade.runs.len() as u16,
        side: input.side as u8,
        trade_type: input.trade_type as u8,
        class: trade.class as u8,
        first_class: trade.first_class as u8,
        method: trade.method as u8,
        flags,
        trade_id_bytes: trade_id.len() as u8,
        correlation_bytes: correlation.len() as u8,
        currency: input.currency,
        sub_account: input.sub_account,
    };
    write(&archived, fixed);
    let rest = if flags & FLAG_EXTRA == 0 { rest } else { encode_extra(trade, rest) };
    let (text, rows) = rest.split_at_mut(align_runs(trade_id.len() + correlation.len()));
    let (id, tail) = text.split_at_mut(trade_id.len());
    id.copy_from_slice(trade_id);
    let (correlated, padding) = tail.split_at_mut(correlation.len());
    correlated.copy_from_slice(correlation);
    padding.fill(0);
    write_runs(trade.runs, rows);
}

fn encode_extra<'o>(trade: &TradeEvent<'_>, out: &'o mut [u8]) -> &'o mut [u8] {
    let (extra, rest) = out.split_at_mut(size_of::<ArchivedTradeExtraV1>());
    let input = &trade.input;
    let archived = TradeExtraV1 {
        opened_base_e16: trade.opened_base_e16,
        closed_base_e16: trade.closed_base_e16,
        realized_base_e16: trade.realized_base_e16,
        realized_long_e16: trade.realized_long_e16,
        consideration_e8: input.consideration_e8,
        fx_to_base_e8: input.fx_to_base_e8,
        lot_price_e8: trade.lot_price_e8,
        acquired: input.acquired.0,
        to_account: input.to_account,
        kind: input.kind as u8,
        reserved: [0; 15],
    };
    write(&archived, extra);
    rest
}

#[inline]
fn write<T>(value: &T, out: &mut [u8])
where
    T: Archive + for<'a> Serialize<rkyv::rancor::Strategy<Buffer<'a>, Failure>>,
{
    let mut buffer = Buffer::from(out);
    // The buffer has the struct's size and the struct holds no pointers: nothing can fail.
    let written = rkyv::api::serialize_using::<_, Failure>(value, &mut buffer);
    assert!(written.is_ok());
}

/// Reads payloads; owns the room for runs, so that reading allocates nothing once it has grown.
#[derive(Debug)]
pub struct Decoder {
    runs: Vec<Run>,
    /// Of the trade that was read last.
    input: TradeInput,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with no room yet.
    #[must_use]
    pub fn new() -> Self {
        Self { runs: Vec::new(), input: TradeInput::EMPTY }
    }

    /// Reads the payload of a record. `payload` starts at a multiple of 16 in memory.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode<'a>(&'a mut self, kind: u16, version: u8, payload: &'a [u8]) -> Result<Event<'a>, CodecError> {
        if !kind::ALL.iter().any(|(known, _)| *known == kind) {
            return Err(CodecError::UnknownKind(kind));
        }
        if version != SCHEMA_VERSION {
            return Err(CodecError::UnknownVersion(kind, version));
        }
        self.decode_v1(kind, payload).ok_or(CodecError::Malformed(kind))
    }

    fn decode_v1<'a>(&'a mut self, kind: u16, payload: &'a [u8]) -> Option<Event<'a>> {
        match kind {
            kind::TRADE_APPLIED..=kind::TRADE_DUPLICATE | kind::TRADE_REBOOKED => {
                let trade = self.decode_trade(payload)?;
                (trade_kind(trade.class) == kind).then_some(Event::Trade(trade))
            }
            kind::DEFINED => {
                let (v, rest) = fixed::<DefinedV1>(payload)?;
                Some(Event::Defined {
                    origin: (&v.origin).into(),
                    class: NameClass::from_u8(v.class)?,
                    id: v.id.to_native(),
                    reason: Reason::from_u16(v.reason.to_native())?,
                    text: (rest.len() == usize::from(v.text_bytes)).then_some(rest)?,
                })
            }
            kind::INSTRUMENT => exact::<InstrumentV1>(payload).and_then(|v| {
                let terms = InstrumentTerms {
                    instrument: v.instrument.to_native(),
                    currency: v.currency.to_native(),
                    multiplier_e8: v.multiplier_e8.to_native(),
                    tick_e8: v.tick_e8.to_native(),
                    price_min_e8: v.price_min_e8.to_native(),
                    price_max_e8: v.price_max_e8.to_native(),
                    isin: v.isin,
                    cusip: v.cusip,
                };
                Some(Event::Instrument {
                    origin: (&v.origin).into(),
                    reason: Reason::from_u16(v.reason.to_native())?,
                    terms,
                })
            }),
            kind::CONTRACT => exact::<ContractV1>(payload).and_then(|v| {
                let rules = contract_rules(v)?;
                let terms = ContractTerms {
                    contract: v.contract.to_native(),
                    account: v.account.to_native(),
                    instrument: v.instrument.to_native(),
                    rules,
                    effective_date: Date(v.effective_date.to_native()),
                };
                Some(Event::Contract {
                    origin: (&v.origin).into(),
                    reason: Reason::from_u16(v.reason.to_native())?,
                    terms,
                })
            }),
            kind::BUSINESS_DATE => exact::<BusinessDateV1>(payload).and_then(|v| {
                Some(Event::BusinessDate {
                    origin: (&v.origin).into(),
                    reason: Reason::from_u16(v.reason.to_native())?,
                    date: Date(v.date.to_native()),
                })
            }),
            kind::MARK => exact::<MarkV1>(payload).and_then(|v| {
                let mark = Mark {
                    instrument: v.instrument.to_native(),
                    kind: MarkKind::from_u8(v.kind)?,
                    price_e8: v.price_e8.to_native(),
                    ask_e8: v.ask_e8.to_native(),
                    at_ns: v.at_ns.to_native(),
                };
                Some(Event::Mark { origin: (&v.origin).into(), reason: Reason::from_u16(v.reason.to_native())?, mark })
            }),
            kind::AMEND_APPLIED..=kind::AMEND_DUPLICATE => {
                let event = amend::decode_amend(&mut self.runs, payload)?;
                (amend_kind(event.class) == kind).then_some(Event::Amended(event))
            }
            kind::RESOLVED => amend::decode_resolved(payload).map(Event::Resolved),
            kind::ACTION => wide::decode_action(payload),
            kind::TAKEN => wide::decode_taken(payload, &mut self.runs),
            kind::ARRIVED => arrived::decode_arrived(payload, &mut self.runs),
            kind::RECEIVED => carried::decode_received(payload),
            kind::DELIVERED => carried::decode_delivered(payload),
            kind::SETTLED => wide::decode_settled(payload),
            kind::PERIOD_LOCK => wide::decode_lock(payload),
            kind::CORRECTED => exact::<CorrectedV1>(payload).map(|v| Event::Corrected(corrected(v))),
            kind::DIGESTS => exact::<DigestsV1>(payload).map(|v| Event::Digests {
                origin: (&v.origin).into(),
                economic: v.economic.to_native(),
                full: v.full.to_native(),
            }),
            _ => None,
        }
    }

    fn decode_trade<'a>(&'a mut self, payload: &'a [u8]) -> Option<TradeEvent<'a>> {
        let (v, rest) = fixed::<TradeV1>(payload)?;
        let (extra, rest) = if v.flags & FLAG_EXTRA == 0 {
            (None, rest)
        } else {
            let (extra, rest) = fixed::<TradeExtraV1>(rest)?;
            (Some(extra), rest)
        };
        let (id_bytes, correlation_bytes) = (usize::from(v.trade_id_bytes), usize::from(v.correlation_bytes));
        let (text, rows) = rest.split_at_checked(align_runs(id_bytes + correlation_bytes))?;
        read_runs(&mut self.runs, usize::from(v.runs.to_native()), rows)?;
        let price_e8 = v.price_e8.to_native();
        let opened_quantity_e8 = v.opened_quantity_e8.to_native();
        let (opened_cost_e16, closed_cost_e16) = (v.opened_cost_e16.to_native(), v.closed_cost_e16.to_native());
        let realized_e16 = v.realized_e16.to_native();
        self.input = TradeInput {
            trade_id: TradeId::new(text.get(..id_bytes)?)?,
            hash: TradeHash(v.hash.to_native()),
            namespace: v.namespace.to_native(),
            account: v.account.to_native(),
            instrument: v.instrument.to_native(),
            contract: v.contract.to_native(),
            side: Side::from_u8(v.side)?,
            trade_type: TradeType::from_u8(v.trade_type)?,
            quantity_e8: v.quantity_e8.to_native(),
            kind: extra.map_or(Some(TradeKind::Trade), |extra| TradeKind::from_u8(extra.kind))?,
            price_e8,
            consideration_e8: extra.map_or(NO_CONSIDERATION, |extra| extra.consideration_e8.to_native()),
            fees_e8: v.fees_e8.to_native(),
            currency: v.currency.to_native(),
            fx_to_base_e8: extra.map_or(ONE_E8, |extra| extra.fx_to_base_e8.to_native()),
            sub_account: v.sub_account.to_native(),
            acquired: extra.map_or(Date::NONE, |extra| Date(extra.acquired.to_native())),
            effective_date: Date(v.effective_date.to_native()),
            executed_at_ns: v.executed_at_ns.to_native(),
            source_order: v.source_order.to_native(),
            lot: TradeHash(v.lot.to_native()),
            to_account: extra.map_or(NO_NAME, |extra| extra.to_account.to_native()),
            user: v.user.to_native(),
            correlation: TradeId::new(text.get(id_bytes..id_bytes + correlation_bytes)?)?,
        };
        Some(TradeEvent {
            input: &self.input,
            origin: (&v.origin).into(),
            class: Class::from_u8(v.class)?,
            reason: Reason::from_u16(v.reason.to_native())?,
            position: v.position.to_native(),
            version: v.version.to_native(),
            method: LotMethod::from_u8(v.method)?,
            on_provisional: v.flags & FLAG_ON_PROVISIONAL != 0,
            late: v.flags & FLAG_LATE != 0,
            backdated: v.flags & FLAG_BACKDATED != 0,
            adjusts: v.flags & FLAG_ADJUSTS != 0,
            closed_quantity_e8: v.closed_quantity_e8.to_native(),
            opened_quantity_e8,
            opened_cost_e16,
            opened_base_e16: extra.map_or(opened_cost_e16, |extra| extra.opened_base_e16.to_native()),
            lot_price_e8: extra
                .map_or(plain_lot_price(opened_quantity_e8, price_e8), |extra| extra.lot_price_e8.to_native()),
            enlarges: v.flags & FLAG_ENLARGES != 0,
            averaged: Averaged::from_u8(v.flags >> SHIFT_AVERAGED & 3)?,
            closed_cost_e16,
            closed_base_e16: extra.map_or(closed_cost_e16, |extra| extra.closed_base_e16.to_native()),
            realized_e16,
            realized_long_e16: extra.map_or(0, |extra| extra.realized_long_e16.to_native()),
            realized_base_e16: extra.map_or(realized_e16, |extra| extra.realized_base_e16.to_native()),
            first_class: Class::from_u8(v.first_class)?,
            first_sequence: v.first_sequence.to_native(),
            first_address: v.first_address.to_native(),
            runs: &self.runs,
        })
    }
}

/// The fixed part and what follows it.
fn fixed<T>(payload: &[u8]) -> Option<(&T::Archived, &[u8])>
where
    T: Archive,
    T::Archived: for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::low::LowValidator<'a, Failure>>,
{
    let (fixed, rest) = payload.split_at_checked(size_of::<T::Archived>())?;
    Some((rkyv::api::low::access::<T::Archived, Failure>(fixed).ok()?, rest))
}

fn exact<T>(payload: &[u8]) -> Option<&T::Archived>
where
    T: Archive,
    T::Archived: for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::low::LowValidator<'a, Failure>>,
{
    fixed::<T>(payload).and_then(|(value, rest)| rest.is_empty().then_some(value))
}
