//! Positions, breaks, held amendments and what is on its way to other shards, as the read model shows them, out of a state.

use std::sync::Arc;

use lotbook_core::command::NameClass;
use lotbook_core::event::Reason;
use lotbook_core::held::Held;
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::legs::Due;
use lotbook_core::limits::HELD_DATES_MAX;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::Rules;

use crate::checkpoint::{Resolution, State};
use crate::limits::OUTBOX_SHOWN_MAX;
use crate::read_model::{BreakView, HeldView, LotView, OutLeg, Outbox, PositionView, ResolutionView};

/// In place of an id that nobody here knows.
pub(crate) const UNNAMED: &str = "?";

/// Id of what breaks a rule: a trade, an action, or what sent a lot here.
pub(crate) fn id_of(state: &State, hash: TradeHash) -> String {
    let sent = || state.book.legs().cause_id(hash).map(|id| id.as_str().to_owned());
    let foreign = || state.foreign_ids.get(&hash).map(|id| id.to_string());
    state.ids.id(hash).map(str::to_owned).or_else(sent).or_else(foreign).unwrap_or_else(|| UNNAMED.to_owned())
}

/// Id of the trade that opened a lot, here or on another shard.
pub(crate) fn lot_id(state: &State, origin: TradeHash) -> Option<&str> {
    state.ids.id(origin).or_else(|| state.foreign_ids.get(&origin).map(|id| &**id))
}

/// What is on its way to other shards.
pub(crate) fn outbox(state: &State) -> Outbox {
    let (book, channels) = (&state.book, state.book.legs().channels());
    let of = |due: &Due| (due.leg.account, due.leg.instrument);
    let leg = |(number, due): (u64, &Due)| {
        let source = &book.positions()[due.leg.source as usize];
        let id = lot_id(state, due.leg.lot.origin).and_then(|id| TradeId::new(id.as_bytes()));
        OutLeg {
            number,
            partition: book.partition(due.leg.account, due.leg.instrument),
            from: (source.account, source.instrument),
            lot_id: id.unwrap_or(TradeId::EMPTY),
            due: *due,
        }
    };
    let mut targets: Vec<_> = channels.out().map(|(_, due)| of(due)).collect();
    targets.sort_unstable();
    targets.dedup();
    Outbox { sequence: state.sequence, first: channels.out().take(OUTBOX_SHOWN_MAX).map(leg).collect(), targets }
}

pub(crate) fn breaks(state: &State, number: u32) -> Vec<BreakView> {
    let found = state.breaks.get(&number).map_or(&[][..], Vec::as_slice);
    let view =
        |(trade, reason): &(TradeHash, Reason)| BreakView { trade_id: id_of(state, *trade).into(), reason: *reason };
    found.iter().map(view).collect()
}

/// Who resolved a position's breaks.
pub(crate) fn resolution(state: &State, number: u32) -> Option<ResolutionView> {
    let Resolution { user, note, at_ns } = state.resolutions.get(&number)?;
    let user = state.book.names().str(NameClass::User, *user).into();
    Some(ResolutionView { user, note: note.clone(), at_ns: *at_ns })
}

/// All that are held. There are few, and they change seldom.
pub(crate) fn held(state: &State) -> Arc<[HeldView]> {
    let (book, names) = (&state.book, state.book.names());
    let view = |held: &Held| {
        let input = &held.input;
        let moved = book.date_moves().saturating_sub(held.moves);
        HeldView {
            amend_id: input.amend_id.as_str().into(),
            namespace: names.str(NameClass::Namespace, input.namespace).into(),
            kind: input.kind,
            target_id: input.target_id.as_str().into(),
            dates_left: HELD_DATES_MAX.saturating_sub(moved),
            user: names.str(NameClass::User, input.user).into(),
            correlation: input.correlation.as_str().into(),
            sequence: held.sequence,
            input: *input,
        }
    };
    book.held().iter().map(view).collect()
}

pub(crate) fn view(state: &State, number: u32) -> PositionView {
    view_as(state, number, state.book.reconciliation_of(number))
}

/// A position as it is published, with a status that is known otherwise.
pub(crate) fn view_as(state: &State, number: u32, reconciliation: Reconciliation) -> PositionView {
    let (book, names) = (&state.book, state.book.names());
    let position = &book.positions()[number as usize];
    let is_long = position.quantity_e8 > 0;
    let rules = book
        .contracts()
        .in_force(position.account, position.instrument, NO_NAME, position.frontier.date)
        .unwrap_or(&Rules::DEFAULT);
    let lots = book
        .lots()
        .iter(&position.block)
        .map(|lot| LotView::of(&lot, lot_id(state, lot.origin).unwrap_or(UNNAMED).into(), names, is_long, rules))
        .collect();
    let date = position.frontier.date;
    PositionView {
        account: names.str(NameClass::Account, position.account).into(),
        instrument: names.str(NameClass::Instrument, position.instrument).into(),
        instrument_id: position.instrument,
        quantity_e8: position.quantity_e8,
        realized_e16: position.realized_e16,
        realized_long_e16: position.realized_long_e16,
        realized_base_e16: position.realized_base_e16,
        cost_e16: position.cost_e16,
        base_cost_e16: position.base_cost_e16,
        dividends_e16: position.dividends_e16,
        fees_e16: position.fees_e16,
        version: position.version,
        reconciliation,
        breaks: breaks(state, number),
        resolution: resolution(state, number),
        provisional_trade_ids: state.late.get(&number).cloned().unwrap_or_default(),
        forward_quantity_e8: position.forward_quantity_e8,
        adjusted: book.adjustments().of(number).copied(),
        last_effective_date: (date != lotbook_core::Date::NONE).then_some(date),
        multiplier_e8: book.instrument(position.instrument).map_or(0, |i| i.terms.multiplier_e8),
        lots,
        averaged: position.block.is_averaged(),
        sequence: state.sequence,
    }
}
