//! Layout of the event by which a lot arrives from another position: a frozen struct, the id of its cause, runs.

use alloc::vec::Vec;

use rkyv::{Archive, Serialize};

use super::layout::OriginV1;
use super::runs::{RUN_BYTES, align_runs, read_runs, write_runs};
use super::{fixed, write};
use crate::arrival::ArrivedEvent;
use crate::bytes::{Reader, Writer};
use crate::date::Date;
use crate::decide::Booked;
use crate::event::{Averaged, Event, Reason, Run};
use crate::id::{ChronoKey, DayPart, TradeHash, TradeId};
use crate::input_bytes::{TRADE_INPUT_BYTES_MAX, trade_input_bytes};
use crate::legs::{Due, Leg, Sending};
use crate::limits::RUNS_PER_TRADE_MAX;
use crate::lots::Lot;
use crate::rules::LotMethod;

#[derive(Archive, Serialize)]
struct ArrivedV1 {
    origin: OriginV1,
    key_hash: u128,
    lot_origin: u128,
    cost_e16: i128,
    base_cost_e16: i128,
    opened_cost_e16: i128,
    opened_base_e16: i128,
    closed_cost_e16: i128,
    closed_base_e16: i128,
    realized_e16: i128,
    realized_long_e16: i128,
    realized_base_e16: i128,
    version: u64,
    executed_at_ns: i64,
    source_order: u64,
    quantity_e8: i64,
    price_e8: i64,
    closed_quantity_e8: i64,
    opened_quantity_e8: i64,
    lot_price_e8: i64,
    position: u32,
    source: u32,
    account: u32,
    instrument: u32,
    sub_account: u32,
    acquired: i32,
    date: i32,
    reason: u16,
    broke: u16,
    runs: u16,
    sending: u8,
    flags: u8,
    part: u8,
    method: u8,
    averaged: u8,
    cause_id_bytes: u8,
    reserved: [u8; 8],
}

const _: () = assert!(TRADE_INPUT_BYTES_MAX <= RUNS_PER_TRADE_MAX * RUN_BYTES);
// Frozen: this size is on disk.
const _: () = assert!(size_of::<ArchivedArrivedV1>() == 352);

/// Largest payload of it, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize =
    size_of::<ArchivedArrivedV1>() + align_runs(crate::limits::TRADE_ID_BYTES_MAX) + RUNS_PER_TRADE_MAX * RUN_BYTES;

const FLAG_LONG: u8 = 1;
const FLAG_LATE: u8 = 2;
const FLAG_ON_PROVISIONAL: u8 = 4;
const FLAG_BOOKS: u8 = 8;
/// A moved trade's words follow the runs, of which there are none then.
const FLAG_MOVED: u8 = 16;

pub(super) fn arrived_bytes(event: &ArrivedEvent<'_>) -> usize {
    let id = event.due.leg.key.trade_id.as_bytes().len();
    let moved = event.due.leg.trade.as_ref().map_or(0, trade_input_bytes);
    size_of::<ArchivedArrivedV1>() + align_runs(id) + event.runs.len() * RUN_BYTES + moved
}

pub(super) fn encode_arrived(event: &ArrivedEvent<'_>, out: &mut [u8]) {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let (leg, booked) = (&event.due.leg, &event.booked);
    let (key, lot) = (&leg.key, &leg.lot);
    let id = key.trade_id.as_bytes();
    let (head, rest) = out.split_at_mut(size_of::<ArchivedArrivedV1>());
    write(
        &ArrivedV1 {
            origin: (&event.origin).into(),
            key_hash: key.hash.0,
            lot_origin: lot.origin.0,
            cost_e16: lot.cost_e16,
            base_cost_e16: lot.base_cost_e16,
            opened_cost_e16: booked.opened_cost_e16,
            opened_base_e16: booked.opened_base_e16,
            closed_cost_e16: booked.closed_cost_e16,
            closed_base_e16: booked.closed_base_e16,
            realized_e16: booked.realized_e16,
            realized_long_e16: booked.realized_long_e16,
            realized_base_e16: booked.realized_base_e16,
            version: event.version,
            executed_at_ns: key.executed_at_ns,
            source_order: key.source_order,
            quantity_e8: lot.quantity_e8,
            price_e8: lot.price_e8,
            closed_quantity_e8: booked.closed_quantity_e8,
            opened_quantity_e8: booked.opened_quantity_e8,
            lot_price_e8: booked.lot_price_e8,
            position: event.position,
            source: leg.source,
            account: leg.account,
            instrument: leg.instrument,
            sub_account: lot.sub_account,
            acquired: lot.acquired.0,
            date: key.date.0,
            reason: event.reason as u16,
            broke: booked.broke as u16,
            runs: event.runs.len() as u16,
            sending: event.due.sending as u8,
            flags: flag(leg.is_long, FLAG_LONG)
                | flag(event.late, FLAG_LATE)
                | flag(event.on_provisional, FLAG_ON_PROVISIONAL)
                | flag(event.books, FLAG_BOOKS)
                | flag(leg.trade.is_some(), FLAG_MOVED),
            part: key.part as u8,
            method: booked.method as u8,
            averaged: booked.averaged as u8,
            cause_id_bytes: id.len() as u8,
            reserved: [0; 8],
        },
        head,
    );
    let (text, rows) = rest.split_at_mut(align_runs(id.len()));
    let (id_bytes, padding) = text.split_at_mut(id.len());
    id_bytes.copy_from_slice(id);
    padding.fill(0);
    let (rows, moved) = rows.split_at_mut(event.runs.len() * RUN_BYTES);
    write_runs(event.runs, rows);
    if let Some(input) = &leg.trade {
        let mut words = Writer::with_capacity(moved.len());
        words.trade_input(input);
        moved.copy_from_slice(words.bytes());
    }
}

pub(super) fn decode_arrived<'a>(payload: &[u8], room: &'a mut Vec<Run>) -> Option<Event<'a>> {
    let (v, rest) = fixed::<ArrivedV1>(payload)?;
    let id_bytes = usize::from(v.cause_id_bytes);
    let (text, rows) = rest.split_at_checked(align_runs(id_bytes))?;
    let runs = usize::from(v.runs.to_native());
    let (rows, moved) = rows.split_at_checked(runs * RUN_BYTES)?;
    read_runs(room, runs, rows)?;
    let mut words = Reader::new(moved);
    let trade = match v.flags & FLAG_MOVED {
        0 => None,
        _ => Some(words.trade_input().ok()?),
    };
    if !words.is_empty() {
        return None;
    }
    let key = ChronoKey {
        date: Date(v.date.to_native()),
        part: DayPart::from_u8(v.part)?,
        executed_at_ns: v.executed_at_ns.to_native(),
        source_order: v.source_order.to_native(),
        trade_id: TradeId::new(text.get(..id_bytes)?)?,
        hash: TradeHash(v.key_hash.to_native()),
    };
    let lot = Lot {
        origin: TradeHash(v.lot_origin.to_native()),
        quantity_e8: v.quantity_e8.to_native(),
        cost_e16: v.cost_e16.to_native(),
        base_cost_e16: v.base_cost_e16.to_native(),
        price_e8: v.price_e8.to_native(),
        acquired: Date(v.acquired.to_native()),
        sub_account: v.sub_account.to_native(),
    };
    let leg = Leg {
        key,
        source: v.source.to_native(),
        account: v.account.to_native(),
        instrument: v.instrument.to_native(),
        is_long: v.flags & FLAG_LONG != 0,
        lot,
        trade,
    };
    let booked = Booked {
        method: LotMethod::from_u8(v.method)?,
        closed_quantity_e8: v.closed_quantity_e8.to_native(),
        opened_quantity_e8: v.opened_quantity_e8.to_native(),
        opened_cost_e16: v.opened_cost_e16.to_native(),
        opened_base_e16: v.opened_base_e16.to_native(),
        lot_price_e8: v.lot_price_e8.to_native(),
        averaged: Averaged::from_u8(v.averaged)?,
        closed_cost_e16: v.closed_cost_e16.to_native(),
        closed_base_e16: v.closed_base_e16.to_native(),
        realized_e16: v.realized_e16.to_native(),
        realized_long_e16: v.realized_long_e16.to_native(),
        realized_base_e16: v.realized_base_e16.to_native(),
        broke: Reason::from_u16(v.broke.to_native())?,
        ..Booked::NOTHING
    };
    Some(Event::Arrived(ArrivedEvent {
        origin: (&v.origin).into(),
        position: v.position.to_native(),
        version: v.version.to_native(),
        due: Due { sending: Sending::from_u8(v.sending)?, leg },
        late: v.flags & FLAG_LATE != 0,
        on_provisional: v.flags & FLAG_ON_PROVISIONAL != 0,
        reason: Reason::from_u16(v.reason.to_native())?,
        books: v.flags & FLAG_BOOKS != 0,
        booked,
        runs: room,
    }))
}
