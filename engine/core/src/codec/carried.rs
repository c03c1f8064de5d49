//! Layout of the events at both ends of a leg between shards: frozen structs, behind the first the ids of its cause and of its lot, and
//! the words of a trade that moves.

use rkyv::{Archive, Serialize};

use super::layout::OriginV1;
use super::runs::align_runs;
use super::{exact, fixed, write};
use crate::book::NO_POSITION;
use crate::bytes::{Reader, Writer};
use crate::carried::{DeliveredEvent, ReceivedEvent};
use crate::date::Date;
use crate::event::Event;
use crate::id::{ChronoKey, DayPart, TradeHash, TradeId};
use crate::input_bytes::{TRADE_INPUT_BYTES_MAX, trade_input_bytes};
use crate::legs::{Due, Leg, Sending};
use crate::limits::TRADE_ID_BYTES_MAX;
use crate::lots::Lot;

#[derive(Archive, Serialize)]
struct ReceivedV1 {
    origin: OriginV1,
    key_hash: u128,
    lot_origin: u128,
    cost_e16: i128,
    base_cost_e16: i128,
    number: u64,
    executed_at_ns: i64,
    source_order: u64,
    quantity_e8: i64,
    price_e8: i64,
    account: u32,
    instrument: u32,
    from_account: u32,
    from_instrument: u32,
    sub_account: u32,
    acquired: i32,
    date: i32,
    shard: u16,
    sending: u8,
    flags: u8,
    part: u8,
    cause_id_bytes: u8,
    lot_id_bytes: u8,
    reserved: [u8; 5],
}

#[derive(Archive, Serialize)]
struct DeliveredV1 {
    origin: OriginV1,
    through: u64,
    reserved: [u8; 8],
}

// Frozen: these sizes are on disk.
const _: () = assert!(size_of::<ArchivedReceivedV1>() == 208);
const _: () = assert!(size_of::<ArchivedDeliveredV1>() == 80);

/// Largest payload of them, in bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize =
    size_of::<ArchivedReceivedV1>() + align_runs(2 * TRADE_ID_BYTES_MAX) + TRADE_INPUT_BYTES_MAX;

const FLAG_LONG: u8 = 1;
/// A moved trade's words follow the ids.
const FLAG_MOVED: u8 = 2;
pub(super) const DELIVERED_BYTES: usize = size_of::<ArchivedDeliveredV1>();

pub(super) fn received_bytes(event: &ReceivedEvent) -> usize {
    let text = event.due.leg.key.trade_id.as_bytes().len() + event.lot_id.as_bytes().len();
    let moved = event.due.leg.trade.as_ref().map_or(0, trade_input_bytes);
    size_of::<ArchivedReceivedV1>() + align_runs(text) + moved
}

pub(super) fn encode_received(event: &ReceivedEvent, out: &mut [u8]) {
    let flag = |on: bool, flag: u8| if on { flag } else { 0 };
    let leg = &event.due.leg;
    let (key, lot) = (&leg.key, &leg.lot);
    let (cause_id, lot_id) = (key.trade_id.as_bytes(), event.lot_id.as_bytes());
    let (head, text) = out.split_at_mut(size_of::<ArchivedReceivedV1>());
    write(
        &ReceivedV1 {
            origin: (&event.origin).into(),
            key_hash: key.hash.0,
            lot_origin: lot.origin.0,
            cost_e16: lot.cost_e16,
            base_cost_e16: lot.base_cost_e16,
            number: event.number,
            executed_at_ns: key.executed_at_ns,
            source_order: key.source_order,
            quantity_e8: lot.quantity_e8,
            price_e8: lot.price_e8,
            account: leg.account,
            instrument: leg.instrument,
            from_account: event.from.0,
            from_instrument: event.from.1,
            sub_account: lot.sub_account,
            acquired: lot.acquired.0,
            date: key.date.0,
            shard: event.shard,
            sending: event.due.sending as u8,
            flags: flag(leg.is_long, FLAG_LONG) | flag(leg.trade.is_some(), FLAG_MOVED),
            part: key.part as u8,
            cause_id_bytes: cause_id.len() as u8,
            lot_id_bytes: lot_id.len() as u8,
            reserved: [0; 5],
        },
        head,
    );
    let (text, moved) = text.split_at_mut(align_runs(cause_id.len() + lot_id.len()));
    let (cause, rest) = text.split_at_mut(cause_id.len());
    cause.copy_from_slice(cause_id);
    let (opened_by, padding) = rest.split_at_mut(lot_id.len());
    opened_by.copy_from_slice(lot_id);
    padding.fill(0);
    if let Some(input) = &leg.trade {
        let mut words = Writer::with_capacity(moved.len());
        words.trade_input(input);
        moved.copy_from_slice(words.bytes());
    }
}

pub(super) fn decode_received(payload: &[u8]) -> Option<Event<'static>> {
    let (v, rest) = fixed::<ReceivedV1>(payload)?;
    let (cause_bytes, lot_bytes) = (usize::from(v.cause_id_bytes), usize::from(v.lot_id_bytes));
    let (text, moved) = rest.split_at_checked(align_runs(cause_bytes + lot_bytes))?;
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
        trade_id: TradeId::new(text.get(..cause_bytes)?)?,
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
        source: NO_POSITION,
        account: v.account.to_native(),
        instrument: v.instrument.to_native(),
        is_long: v.flags & FLAG_LONG != 0,
        lot,
        trade,
    };
    Some(Event::Received(ReceivedEvent {
        origin: (&v.origin).into(),
        shard: v.shard.to_native(),
        number: v.number.to_native(),
        from: (v.from_account.to_native(), v.from_instrument.to_native()),
        lot_id: TradeId::new(text.get(cause_bytes..cause_bytes + lot_bytes)?)?,
        due: Due { sending: Sending::from_u8(v.sending)?, leg },
    }))
}

pub(super) fn encode_delivered(event: &DeliveredEvent, out: &mut [u8]) {
    write(&DeliveredV1 { origin: (&event.origin).into(), through: event.through, reserved: [0; 8] }, out);
}

pub(super) fn decode_delivered(payload: &[u8]) -> Option<Event<'static>> {
    let v = exact::<DeliveredV1>(payload)?;
    Some(Event::Delivered(DeliveredEvent { origin: (&v.origin).into(), through: v.through.to_native() }))
}
