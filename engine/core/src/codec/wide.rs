//! Layouts of the events that reach into many positions at once: actions, what a position took, period locks.
//!
//! As all layouts: a frozen struct whose size is asserted, then text and runs.

use alloc::vec::Vec;

use rkyv::{Archive, Serialize};

use super::layout::OriginV1;
use super::runs::{RUN_BYTES, align_runs, read_runs, write_runs};
use super::{exact, fixed, write};
use crate::action::Gains;
use crate::action_input::{ActionInput, ActionKind};
use crate::date::Date;
use crate::decide::Booked;
use crate::event::{Averaged, Class, Event, Reason, Run};
use crate::id::{TradeHash, TradeId};
use crate::limits::RUNS_PER_TRADE_MAX;
use crate::rules::LotMethod;
use crate::taking::Took;
use crate::wide_event::{ActionEvent, LockEvent, LockInput, SettledEvent, TakenEvent};

#[derive(Archive, Serialize)]
struct ActionV1 {
    origin: OriginV1,
    hash: u128,
    cash_e8: i64,
    cash_in_lieu_e8: i64,
    basis_fraction_e8: i64,
    fx_to_base_e8: i64,
    first_sequence: u64,
    numerator: u32,
    denominator: u32,
    namespace: u32,
    instrument: u32,
    to_instrument: u32,
    contract: u32,
    user: u32,
    effective_date: i32,
    record_date: i32,
    reason: u16,
    kind: u8,
    class: u8,
    first_class: u8,
    action_id_bytes: u8,
    correlation_bytes: u8,
    reserved: [u8; 13],
}

#[derive(Archive, Serialize)]
struct TakenV1 {
    origin: OriginV1,
    cause: u128,
    cost_e16: i128,
    base_cost_e16: i128,
    gains_e16: i128,
    gains_long_e16: i128,
    gains_base_e16: i128,
    dividends_e16: i128,
    closed_cost_e16: i128,
    closed_base_e16: i128,
    realized_e16: i128,
    realized_long_e16: i128,
    realized_base_e16: i128,
    version: u64,
    quantity_e8: i64,
    closed_quantity_e8: i64,
    position: u32,
    account: u32,
    instrument: u32,
    action: u32,
    seen: u32,
    reason: u16,
    runs: u16,
    flags: u8,
    method: u8,
    averaged: u8,
    cause_id_bytes: u8,
    reserved: [u8; 8],
    date: i32,
}

#[derive(Archive, Serialize)]
struct SettledV1 {
    origin: OriginV1,
    ordinal: u32,
    positions: u32,
    reserved: [u8; 8],
}

#[derive(Archive, Serialize)]
struct LockV1 {
    origin: OriginV1,
    account: u32,
    through: i32,
    reason: u16,
    reserved: [u8; 6],
}

// Frozen: these sizes are on disk.
const _: () = assert!(size_of::<ArchivedActionV1>() == 176);
const _: () = assert!(size_of::<ArchivedTakenV1>() == 320);
const _: () = assert!(size_of::<ArchivedSettledV1>() == 80);
const _: () = assert!(size_of::<ArchivedLockV1>() == 80);

/// Largest payload of these, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize =
    size_of::<ArchivedTakenV1>() + align_runs(crate::limits::TRADE_ID_BYTES_MAX) + RUNS_PER_TRADE_MAX * RUN_BYTES;

const FLAG_AHEAD: u8 = 1;
const FLAG_LATE: u8 = 2;
const FLAG_ON_PROVISIONAL: u8 = 4;
const FLAG_BOOKS: u8 = 8;
const FLAG_ADJUSTS: u8 = 16;

pub(super) fn action_bytes(event: &ActionEvent) -> usize {
    let text = event.input.action_id.as_bytes().len() + event.input.correlation.as_bytes().len();
    size_of::<ArchivedActionV1>() + align_runs(text)
}

pub(super) fn taken_bytes(event: &TakenEvent<'_>) -> usize {
    let text = align_runs(event.cause_id.as_bytes().len());
    size_of::<ArchivedTakenV1>() + text + event.runs.len() * RUN_BYTES
}

pub(super) const SETTLED_BYTES: usize = size_of::<ArchivedSettledV1>();
pub(super) const LOCK_BYTES: usize = size_of::<ArchivedLockV1>();

/// Two texts one after the other, then zeros.
fn write_texts(first: &[u8], second: &[u8], out: &mut [u8]) {
    let (head, rest) = out.split_at_mut(first.len());
    head.copy_from_slice(first);
    let (head, rest) = rest.split_at_mut(second.len());
    head.copy_from_slice(second);
    rest.fill(0);
}

pub(super) fn encode_action(event: &ActionEvent, out: &mut [u8]) {
    let input = &event.input;
    let (id, correlation) = (input.action_id.as_bytes(), input.correlation.as_bytes());
    let (head, text) = out.split_at_mut(size_of::<ArchivedActionV1>());
    write(
        &ActionV1 {
            origin: (&event.origin).into(),
            hash: input.hash.0,
            cash_e8: input.cash_e8,
            cash_in_lieu_e8: input.cash_in_lieu_e8,
            basis_fraction_e8: input.basis_fraction_e8,
            fx_to_base_e8: input.fx_to_base_e8,
            first_sequence: event.first_sequence,
            numerator: input.numerator,
            denominator: input.denominator,
            namespace: input.namespace,
            instrument: input.instrument,
            to_instrument: input.to_instrument,
            contract: input.contract,
            user: input.user,
            effective_date: input.effective_date.0,
            record_date: input.record_date.0,
            reason: event.reason as u16,
            kind: input.kind as u8,
            class: event.class as u8,
            first_class: event.first_class as u8,
            action_id_bytes: id.len() as u8,
            correlation_bytes: correlation.len() as u8,
            reserved: [0; 13],
        },
        head,
    );
    write_texts(id, correlation, text);
}

pub(super) fn encode_taken(event: &TakenEvent<'_>, out: &mut [u8]) {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let (took, closed) = (&event.took, &event.took.closed);
    let cause_id = event.cause_id.as_bytes();
    let (head, rest) = out.split_at_mut(size_of::<ArchivedTakenV1>());
    write(
        &TakenV1 {
            origin: (&event.origin).into(),
            cause: event.cause.0,
            cost_e16: took.cost_e16,
            base_cost_e16: took.base_cost_e16,
            gains_e16: took.gains.realized_e16,
            gains_long_e16: took.gains.long_e16,
            gains_base_e16: took.gains.base_e16,
            dividends_e16: took.dividends_e16,
            closed_cost_e16: closed.closed_cost_e16,
            closed_base_e16: closed.closed_base_e16,
            realized_e16: closed.realized_e16,
            realized_long_e16: closed.realized_long_e16,
            realized_base_e16: closed.realized_base_e16,
            version: event.version,
            quantity_e8: took.quantity_e8,
            closed_quantity_e8: closed.closed_quantity_e8,
            position: event.position,
            account: event.account,
            instrument: event.instrument,
            action: event.action,
            seen: event.seen,
            reason: event.reason as u16,
            runs: event.runs.len() as u16,
            flags: flag(event.ahead, FLAG_AHEAD)
                | flag(event.late, FLAG_LATE)
                | flag(event.on_provisional, FLAG_ON_PROVISIONAL)
                | flag(event.books, FLAG_BOOKS)
                | flag(event.adjusts, FLAG_ADJUSTS),
            method: closed.method as u8,
            averaged: closed.averaged as u8,
            cause_id_bytes: cause_id.len() as u8,
            reserved: [0; 8],
            date: event.date.0,
        },
        head,
    );
    let (text, rows) = rest.split_at_mut(align_runs(cause_id.len()));
    write_texts(cause_id, &[], text);
    write_runs(event.runs, rows);
}

pub(super) fn encode_settled(event: &SettledEvent, out: &mut [u8]) {
    let SettledEvent { origin, ordinal, positions } = event;
    write(&SettledV1 { origin: origin.into(), ordinal: *ordinal, positions: *positions, reserved: [0; 8] }, out);
}

pub(super) fn encode_lock(event: &LockEvent, out: &mut [u8]) {
    write(
        &LockV1 {
            origin: (&event.origin).into(),
            account: event.input.account,
            through: event.input.through.0,
            reason: event.reason as u16,
            reserved: [0; 6],
        },
        out,
    );
}

fn text_of(rest: &[u8], from: usize, len: u8) -> Option<TradeId> {
    TradeId::new(rest.get(from..from + usize::from(len))?)
}

pub(super) fn decode_action<'a>(payload: &[u8]) -> Option<Event<'a>> {
    let (v, rest) = fixed::<ActionV1>(payload)?;
    let (id_bytes, correlation_bytes) = (v.action_id_bytes, v.correlation_bytes);
    if rest.len() != align_runs(usize::from(id_bytes) + usize::from(correlation_bytes)) {
        return None;
    }
    let input = ActionInput {
        action_id: text_of(rest, 0, id_bytes)?,
        hash: TradeHash(v.hash.to_native()),
        namespace: v.namespace.to_native(),
        kind: ActionKind::from_u8(v.kind)?,
        instrument: v.instrument.to_native(),
        to_instrument: v.to_instrument.to_native(),
        contract: v.contract.to_native(),
        numerator: v.numerator.to_native(),
        denominator: v.denominator.to_native(),
        cash_e8: v.cash_e8.to_native(),
        cash_in_lieu_e8: v.cash_in_lieu_e8.to_native(),
        basis_fraction_e8: v.basis_fraction_e8.to_native(),
        fx_to_base_e8: v.fx_to_base_e8.to_native(),
        effective_date: Date(v.effective_date.to_native()),
        record_date: Date(v.record_date.to_native()),
        user: v.user.to_native(),
        correlation: text_of(rest, usize::from(id_bytes), correlation_bytes)?,
    };
    Some(Event::Action(ActionEvent {
        origin: (&v.origin).into(),
        input,
        class: Class::from_u8(v.class)?,
        reason: Reason::from_u16(v.reason.to_native())?,
        first_class: Class::from_u8(v.first_class)?,
        first_sequence: v.first_sequence.to_native(),
    }))
}

pub(super) fn decode_taken<'a>(payload: &[u8], room: &'a mut Vec<Run>) -> Option<Event<'a>> {
    let (v, rest) = fixed::<TakenV1>(payload)?;
    let (_, rows) = rest.split_at_checked(align_runs(usize::from(v.cause_id_bytes)))?;
    let runs = usize::from(v.runs.to_native());
    read_runs(room, runs, rows)?;
    let closed = Booked {
        method: LotMethod::from_u8(v.method)?,
        averaged: Averaged::from_u8(v.averaged)?,
        closed_quantity_e8: v.closed_quantity_e8.to_native(),
        closed_cost_e16: v.closed_cost_e16.to_native(),
        closed_base_e16: v.closed_base_e16.to_native(),
        realized_e16: v.realized_e16.to_native(),
        realized_long_e16: v.realized_long_e16.to_native(),
        realized_base_e16: v.realized_base_e16.to_native(),
        ..Booked::NOTHING
    };
    let took = Took {
        quantity_e8: v.quantity_e8.to_native(),
        cost_e16: v.cost_e16.to_native(),
        base_cost_e16: v.base_cost_e16.to_native(),
        gains: Gains {
            realized_e16: v.gains_e16.to_native(),
            long_e16: v.gains_long_e16.to_native(),
            base_e16: v.gains_base_e16.to_native(),
        },
        dividends_e16: v.dividends_e16.to_native(),
        closed,
    };
    Some(Event::Taken(TakenEvent {
        origin: (&v.origin).into(),
        position: v.position.to_native(),
        account: v.account.to_native(),
        instrument: v.instrument.to_native(),
        version: v.version.to_native(),
        action: v.action.to_native(),
        cause: TradeHash(v.cause.to_native()),
        cause_id: text_of(rest, 0, v.cause_id_bytes)?,
        date: Date(v.date.to_native()),
        seen: v.seen.to_native(),
        ahead: v.flags & FLAG_AHEAD != 0,
        late: v.flags & FLAG_LATE != 0,
        on_provisional: v.flags & FLAG_ON_PROVISIONAL != 0,
        reason: Reason::from_u16(v.reason.to_native())?,
        books: v.flags & FLAG_BOOKS != 0,
        adjusts: v.flags & FLAG_ADJUSTS != 0,
        took,
        runs: room,
    }))
}

pub(super) fn decode_settled<'a>(payload: &[u8]) -> Option<Event<'a>> {
    let v = exact::<SettledV1>(payload)?;
    let (ordinal, positions) = (v.ordinal.to_native(), v.positions.to_native());
    Some(Event::Settled(SettledEvent { origin: (&v.origin).into(), ordinal, positions }))
}

pub(super) fn decode_lock<'a>(payload: &[u8]) -> Option<Event<'a>> {
    let v = exact::<LockV1>(payload)?;
    let input = LockInput { account: v.account.to_native(), through: Date(v.through.to_native()) };
    Some(Event::PeriodLock(LockEvent {
        origin: (&v.origin).into(),
        reason: Reason::from_u16(v.reason.to_native())?,
        input,
    }))
}
