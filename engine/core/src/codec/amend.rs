//! Layouts of amendments and resolutions, and their way to and from bytes.
//!
//! An amendment is the fixed part, then its id, its target's id, its correlation id, and the runs. A resolution
//! is the fixed part, its correlation id and the note.

use alloc::vec::Vec;

use rkyv::{Archive, Serialize};

use super::layout::OriginV1;
use super::runs::{RUN_BYTES, align_runs, read_runs, write_runs};
use super::{fixed, write};
use crate::amend::{AmendInput, AmendKind, Changes};
use crate::amend_event::{AmendEvent, Estimate, ResolveInput, ResolvedEvent};
use crate::amendments::Root;
use crate::command::{Side, TradeType};
use crate::date::Date;
use crate::event::{Class, Reason, Run};
use crate::id::{TradeHash, TradeId};
use crate::note::Note;

#[derive(Archive, Serialize)]
struct AmendV1 {
    origin: OriginV1,
    hash: u128,
    target: u128,
    root: u128,
    lot: u128,
    opened_cost_e16: i128,
    opened_base_e16: i128,
    closed_cost_e16: i128,
    closed_base_e16: i128,
    executed_at_ns: i64,
    source_order: u64,
    version: u64,
    root_quantity_e8: i64,
    moved_e8: i64,
    closed_quantity_e8: i64,
    opened_quantity_e8: i64,
    lot_price_e8: i64,
    waiting_before_e8: i64,
    waiting_after_e8: i64,
    first_sequence: u64,
    first_address: u64,
    quantity_e8: i64,
    price_e8: i64,
    fees_e8: i64,
    consideration_e8: i64,
    fx_to_base_e8: i64,
    changed_executed_at_ns: i64,
    cash_e8: i64,
    cash_in_lieu_e8: i64,
    namespace: u32,
    account: u32,
    instrument: u32,
    user: u32,
    position: u32,
    root_date: i32,
    effective_date: i32,
    position_account: u32,
    position_instrument: u32,
    contract: u32,
    currency: u32,
    sub_account: u32,
    numerator: u32,
    denominator: u32,
    record_date: i32,
    fields: u32,
    reason: u16,
    runs: u16,
    kind: u8,
    class: u8,
    first_class: u8,
    side: u8,
    trade_type: u8,
    amend_id_bytes: u8,
    target_id_bytes: u8,
    correlation_bytes: u8,
    root_to_account: u32,
}

#[derive(Archive, Serialize)]
struct ResolvedV1 {
    origin: OriginV1,
    version: u64,
    wanted_version: u64,
    break_set: u64,
    position: u32,
    account: u32,
    instrument: u32,
    user: u32,
    breaks: u32,
    reason: u16,
    correlation_bytes: u8,
    note_bytes: u8,
}

// Frozen: these sizes are on disk.
const _: () = assert!(size_of::<ArchivedAmendV1>() == 432);
const _: () = assert!(size_of::<ArchivedResolvedV1>() == 112);

pub(super) const RESOLVED_BYTES: usize = size_of::<ArchivedResolvedV1>();

fn text_bytes(input: &AmendInput) -> usize {
    let ids = [&input.amend_id, &input.target_id, &input.correlation];
    align_runs(ids.into_iter().map(|id| id.as_bytes().len()).sum())
}

pub(super) fn amend_bytes(event: &AmendEvent<'_>) -> usize {
    size_of::<ArchivedAmendV1>() + text_bytes(&event.input) + event.runs.len() * RUN_BYTES
}

pub(super) fn resolved_bytes(event: &ResolvedEvent) -> usize {
    RESOLVED_BYTES + event.input.correlation.as_bytes().len() + event.input.note.as_bytes().len()
}

pub(super) fn encode_amend(event: &AmendEvent<'_>, out: &mut [u8]) {
    let AmendEvent { input, estimate, root, .. } = event;
    let changes = &input.changes;
    let (amend_id, target_id) = (input.amend_id.as_bytes(), input.target_id.as_bytes());
    let correlation = input.correlation.as_bytes();
    let (head, rest) = out.split_at_mut(size_of::<ArchivedAmendV1>());
    let archived = AmendV1 {
        origin: (&event.origin).into(),
        hash: input.hash.0,
        target: input.target.0,
        root: root.hash.0,
        lot: changes.lot.0,
        opened_cost_e16: estimate.opened_cost_e16,
        opened_base_e16: estimate.opened_base_e16,
        closed_cost_e16: estimate.closed_cost_e16,
        closed_base_e16: estimate.closed_base_e16,
        executed_at_ns: input.executed_at_ns,
        source_order: input.source_order,
        version: event.version,
        root_quantity_e8: root.quantity_e8,
        moved_e8: estimate.moved_e8,
        closed_quantity_e8: estimate.closed_quantity_e8,
        opened_quantity_e8: estimate.opened_quantity_e8,
        lot_price_e8: estimate.lot_price_e8,
        waiting_before_e8: estimate.waiting_before_e8,
        waiting_after_e8: estimate.waiting_after_e8,
        first_sequence: event.first_sequence,
        first_address: event.first_address,
        quantity_e8: changes.quantity_e8,
        price_e8: changes.price_e8,
        fees_e8: changes.fees_e8,
        consideration_e8: changes.consideration_e8,
        fx_to_base_e8: changes.fx_to_base_e8,
        changed_executed_at_ns: changes.executed_at_ns,
        cash_e8: changes.cash_e8,
        cash_in_lieu_e8: changes.cash_in_lieu_e8,
        namespace: input.namespace,
        account: input.account,
        instrument: input.instrument,
        user: input.user,
        position: event.position,
        root_date: root.date.0,
        position_account: event.account,
        position_instrument: event.instrument,
        effective_date: changes.effective_date.0,
        contract: changes.contract,
        currency: changes.currency,
        sub_account: changes.sub_account,
        numerator: changes.numerator,
        denominator: changes.denominator,
        record_date: changes.record_date.0,
        fields: changes.fields,
        reason: event.reason as u16,
        runs: event.runs.len() as u16,
        kind: input.kind as u8,
        class: event.class as u8,
        first_class: event.first_class as u8,
        side: changes.side as u8,
        trade_type: changes.trade_type as u8,
        amend_id_bytes: amend_id.len() as u8,
        target_id_bytes: target_id.len() as u8,
        correlation_bytes: correlation.len() as u8,
        root_to_account: root.to_account,
    };
    write(&archived, head);
    let (text, rows) = rest.split_at_mut(text_bytes(input));
    text.fill(0);
    let mut at = 0;
    for id in [amend_id, target_id, correlation] {
        text[at..at + id.len()].copy_from_slice(id);
        at += id.len();
    }
    write_runs(event.runs, rows);
}

pub(super) fn decode_amend<'a>(runs: &'a mut Vec<Run>, payload: &[u8]) -> Option<AmendEvent<'a>> {
    let (v, rest) = fixed::<AmendV1>(payload)?;
    let lens = [v.amend_id_bytes, v.target_id_bytes, v.correlation_bytes].map(usize::from);
    let (text, rows) = rest.split_at_checked(align_runs(lens.iter().sum()))?;
    read_runs(runs, usize::from(v.runs.to_native()), rows)?;
    let mut at = 0;
    let mut next = |len: usize| {
        let id = TradeId::new(text.get(at..at + len)?);
        at += len;
        id
    };
    let (amend_id, target_id, correlation) = (next(lens[0])?, next(lens[1])?, next(lens[2])?);
    let changes = Changes {
        fields: v.fields.to_native(),
        side: Side::from_u8(v.side)?,
        trade_type: TradeType::from_u8(v.trade_type)?,
        quantity_e8: v.quantity_e8.to_native(),
        price_e8: v.price_e8.to_native(),
        fees_e8: v.fees_e8.to_native(),
        effective_date: Date(v.effective_date.to_native()),
        executed_at_ns: v.changed_executed_at_ns.to_native(),
        lot: TradeHash(v.lot.to_native()),
        contract: v.contract.to_native(),
        consideration_e8: v.consideration_e8.to_native(),
        fx_to_base_e8: v.fx_to_base_e8.to_native(),
        currency: v.currency.to_native(),
        sub_account: v.sub_account.to_native(),
        numerator: v.numerator.to_native(),
        denominator: v.denominator.to_native(),
        cash_e8: v.cash_e8.to_native(),
        cash_in_lieu_e8: v.cash_in_lieu_e8.to_native(),
        record_date: Date(v.record_date.to_native()),
    };
    let input = AmendInput {
        amend_id,
        hash: TradeHash(v.hash.to_native()),
        namespace: v.namespace.to_native(),
        kind: AmendKind::from_u8(v.kind)?,
        target_id,
        target: TradeHash(v.target.to_native()),
        executed_at_ns: v.executed_at_ns.to_native(),
        source_order: v.source_order.to_native(),
        account: v.account.to_native(),
        instrument: v.instrument.to_native(),
        changes: changes.is_canonical().then_some(changes)?,
        user: v.user.to_native(),
        correlation,
    };
    Some(AmendEvent {
        input,
        origin: (&v.origin).into(),
        class: Class::from_u8(v.class)?,
        reason: Reason::from_u16(v.reason.to_native())?,
        position: v.position.to_native(),
        account: v.position_account.to_native(),
        instrument: v.position_instrument.to_native(),
        version: v.version.to_native(),
        root: Root {
            hash: TradeHash(v.root.to_native()),
            quantity_e8: v.root_quantity_e8.to_native(),
            date: Date(v.root_date.to_native()),
            to_account: v.root_to_account.to_native(),
        },
        estimate: Estimate {
            moved_e8: v.moved_e8.to_native(),
            closed_quantity_e8: v.closed_quantity_e8.to_native(),
            opened_quantity_e8: v.opened_quantity_e8.to_native(),
            opened_cost_e16: v.opened_cost_e16.to_native(),
            opened_base_e16: v.opened_base_e16.to_native(),
            lot_price_e8: v.lot_price_e8.to_native(),
            closed_cost_e16: v.closed_cost_e16.to_native(),
            closed_base_e16: v.closed_base_e16.to_native(),
            waiting_before_e8: v.waiting_before_e8.to_native(),
            waiting_after_e8: v.waiting_after_e8.to_native(),
        },
        first_class: Class::from_u8(v.first_class)?,
        first_sequence: v.first_sequence.to_native(),
        first_address: v.first_address.to_native(),
        runs,
    })
}

pub(super) fn encode_resolved(event: &ResolvedEvent, out: &mut [u8]) {
    let input = &event.input;
    let (correlation, note) = (input.correlation.as_bytes(), input.note.as_bytes());
    let (head, rest) = out.split_at_mut(RESOLVED_BYTES);
    let archived = ResolvedV1 {
        origin: (&event.origin).into(),
        version: event.version,
        wanted_version: input.version,
        break_set: event.break_set,
        position: event.position,
        account: input.account,
        instrument: input.instrument,
        user: input.user,
        breaks: event.breaks,
        reason: event.reason as u16,
        correlation_bytes: correlation.len() as u8,
        note_bytes: note.len() as u8,
    };
    write(&archived, head);
    rest[..correlation.len()].copy_from_slice(correlation);
    rest[correlation.len()..].copy_from_slice(note);
}

pub(super) fn decode_resolved(payload: &[u8]) -> Option<ResolvedEvent> {
    let (v, rest) = fixed::<ResolvedV1>(payload)?;
    let (correlation, note) = rest.split_at_checked(usize::from(v.correlation_bytes))?;
    let input = ResolveInput {
        account: v.account.to_native(),
        instrument: v.instrument.to_native(),
        version: v.wanted_version.to_native(),
        user: v.user.to_native(),
        note: Note::new((note.len() == usize::from(v.note_bytes)).then_some(note)?)?,
        correlation: TradeId::new(correlation)?,
    };
    Some(ResolvedEvent {
        origin: (&v.origin).into(),
        reason: Reason::from_u16(v.reason.to_native())?,
        position: v.position.to_native(),
        version: v.version.to_native(),
        breaks: v.breaks.to_native(),
        break_set: v.break_set.to_native(),
        input,
    })
}
