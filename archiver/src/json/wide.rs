//! Actions, and what a position took of a change, as JSON.

use lotbook_core::action_input::ActionKind;
use lotbook_core::arrival::ArrivedEvent;
use lotbook_core::carried::ReceivedEvent;
use lotbook_core::closed::Adjusted;
use lotbook_core::command::{NO_PRICE, NameClass};
use lotbook_core::date::Date;
use lotbook_core::outcome::ActionFigures;
use lotbook_core::wide_event::{ActionEvent, TakenEvent};
use serde::Serialize;
use serde::ser::SerializeMap;

use super::{Line, RunRow, code, day, hash, number, some_text, trade_class};
use crate::names::Names;
use crate::text::{Day, E8, E16, Hex128};

impl<N: Names> Line<'_, N> {
    pub(super) fn action<M: SerializeMap>(&self, map: &mut M, event: &ActionEvent) -> Result<(), M::Error> {
        let input = &event.input;
        let is_split = input.kind == ActionKind::Split;
        let has_terms = input.numerator != 0;
        map.serialize_entry("action_id", input.action_id.as_str())?;
        map.serialize_entry("hash", &Hex128(input.hash.0))?;
        map.serialize_entry("namespace", &self.name(NameClass::Namespace, input.namespace))?;
        map.serialize_entry("action", input.kind.as_str())?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, input.instrument))?;
        map.serialize_entry("to_instrument", &self.name(NameClass::Instrument, input.to_instrument))?;
        map.serialize_entry("contract_id", &self.name(NameClass::Contract, input.contract))?;
        map.serialize_entry("numerator", &has_terms.then_some(input.numerator))?;
        map.serialize_entry("denominator", &has_terms.then_some(input.denominator))?;
        map.serialize_entry("cash", &(!is_split).then_some(E8(input.cash_e8)))?;
        map.serialize_entry("cash_in_lieu_price", &input.cash_in_lieu().map(E8))?;
        let basis = (input.kind == ActionKind::SpinOff).then_some(E8(input.basis_fraction_e8));
        map.serialize_entry("basis_fraction", &basis)?;
        map.serialize_entry("fx_to_base", &E8(input.fx_to_base_e8))?;
        map.serialize_entry("effective_date", &day(input.effective_date))?;
        map.serialize_entry("record_date", &day(input.record_date))?;
        map.serialize_entry("user_id", &self.name(NameClass::User, input.user))?;
        map.serialize_entry("correlation_id", &some_text(input.correlation.as_str()))?;
        map.serialize_entry("outcome", event.class.as_str())?;
        map.serialize_entry("class", trade_class(event.class))?;
        map.serialize_entry("reason", &code(event.reason))?;
        map.serialize_entry("reason_code", &(event.reason as u16))?;
        map.serialize_entry("first_class", trade_class(event.first_class))?;
        map.serialize_entry("first_sequence", &(event.first_sequence != 0).then_some(event.first_sequence))
    }

    pub(super) fn taken<M: SerializeMap>(&self, map: &mut M, event: &TakenEvent<'_>) -> Result<(), M::Error> {
        let took = &event.took;
        // An event that was decided has sums within their range.
        let gains = took.realized().unwrap_or_default();
        map.serialize_entry("account", &self.name(NameClass::Account, event.account))?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, event.instrument))?;
        map.serialize_entry("position", &number(event.position))?;
        map.serialize_entry("version", &event.version)?;
        map.serialize_entry("action", &number(event.action))?;
        map.serialize_entry("cause_id", &some_text(event.cause_id.as_str()))?;
        map.serialize_entry("cause", &hash(event.cause))?;
        map.serialize_entry("seen", &event.seen)?;
        map.serialize_entry("ahead", &event.ahead)?;
        map.serialize_entry("late", &event.late)?;
        map.serialize_entry("on_provisional", &event.on_provisional)?;
        map.serialize_entry("books", &event.books)?;
        map.serialize_entry("adjusts", &event.adjusts)?;
        map.serialize_entry("reason", &code(event.reason))?;
        map.serialize_entry("quantity", &E8(took.quantity_e8))?;
        map.serialize_entry("cost", &E16(took.cost_e16))?;
        map.serialize_entry("base_cost", &E16(took.base_cost_e16))?;
        map.serialize_entry("realized_pnl", &E16(gains.realized_e16))?;
        map.serialize_entry("realized_long_term", &E16(gains.long_e16))?;
        map.serialize_entry("realized_base", &E16(gains.base_e16))?;
        map.serialize_entry("dividends", &E16(took.dividends_e16))?;
        map.serialize_entry("closed_quantity", &E8(took.closed.closed_quantity_e8))?;
        map.serialize_entry("closed_cost", &E16(took.closed.closed_cost_e16))?;
        map.serialize_entry("lot_method", took.closed.method.as_str())?;
        map.serialize_entry("allocation_runs", &event.runs.iter().map(RunRow::from).collect::<Vec<_>>())
    }
}

impl<N: Names> Line<'_, N> {
    pub(super) fn arrived<M: SerializeMap>(&self, map: &mut M, event: &ArrivedEvent<'_>) -> Result<(), M::Error> {
        let (leg, booked) = (&event.due.leg, &event.booked);
        let lot = &leg.lot;
        map.serialize_entry("account", &self.name(NameClass::Account, leg.account))?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, leg.instrument))?;
        map.serialize_entry("position", &number(event.position))?;
        map.serialize_entry("version", &event.version)?;
        map.serialize_entry("source", &number(leg.source))?;
        map.serialize_entry("cause_id", &some_text(leg.key.trade_id.as_str()))?;
        map.serialize_entry("identity", &hash(leg.key.hash))?;
        map.serialize_entry("sending", event.due.sending.as_str())?;
        map.serialize_entry("effective_date", &day(leg.key.date))?;
        map.serialize_entry("side", if leg.is_long { "long" } else { "short" })?;
        map.serialize_entry("lot", &hash(lot.origin))?;
        map.serialize_entry("quantity", &E8(lot.quantity_e8))?;
        map.serialize_entry("cost", &E16(lot.cost_e16))?;
        map.serialize_entry("base_cost", &E16(lot.base_cost_e16))?;
        map.serialize_entry("price", &(lot.price_e8 != NO_PRICE).then_some(E8(lot.price_e8)))?;
        map.serialize_entry("acquired", &day(lot.acquired))?;
        map.serialize_entry("sub_account", &self.name(NameClass::SubAccount, lot.sub_account))?;
        map.serialize_entry("late", &event.late)?;
        map.serialize_entry("on_provisional", &event.on_provisional)?;
        map.serialize_entry("books", &event.books)?;
        map.serialize_entry("reason", &code(event.reason))?;
        map.serialize_entry("opened_quantity", &E8(booked.opened_quantity_e8))?;
        map.serialize_entry("opened_cost", &E16(booked.opened_cost_e16))?;
        map.serialize_entry("closed_quantity", &E8(booked.closed_quantity_e8))?;
        map.serialize_entry("closed_cost", &E16(booked.closed_cost_e16))?;
        map.serialize_entry("realized_pnl", &E16(booked.realized_e16))?;
        map.serialize_entry("realized_long_term", &E16(booked.realized_long_e16))?;
        map.serialize_entry("realized_base", &E16(booked.realized_base_e16))?;
        map.serialize_entry("lot_method", booked.method.as_str())?;
        map.serialize_entry("allocation_runs", &event.runs.iter().map(RunRow::from).collect::<Vec<_>>())
    }

    pub(super) fn received<M: SerializeMap>(&self, map: &mut M, event: &ReceivedEvent) -> Result<(), M::Error> {
        let leg = &event.due.leg;
        let lot = &leg.lot;
        map.serialize_entry("account", &self.name(NameClass::Account, leg.account))?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, leg.instrument))?;
        map.serialize_entry("shard", &event.shard)?;
        map.serialize_entry("number", &event.number)?;
        map.serialize_entry("from_account", &self.name(NameClass::Account, event.from.0))?;
        map.serialize_entry("from_instrument", &self.name(NameClass::Instrument, event.from.1))?;
        map.serialize_entry("cause_id", &some_text(leg.key.trade_id.as_str()))?;
        map.serialize_entry("identity", &hash(leg.key.hash))?;
        map.serialize_entry("sending", event.due.sending.as_str())?;
        map.serialize_entry("effective_date", &day(leg.key.date))?;
        map.serialize_entry("side", if leg.is_long { "long" } else { "short" })?;
        map.serialize_entry("lot", &hash(lot.origin))?;
        map.serialize_entry("lot_id", &some_text(event.lot_id.as_str()))?;
        map.serialize_entry("quantity", &E8(lot.quantity_e8))?;
        map.serialize_entry("cost", &E16(lot.cost_e16))?;
        map.serialize_entry("base_cost", &E16(lot.base_cost_e16))?;
        map.serialize_entry("price", &(lot.price_e8 != NO_PRICE).then_some(E8(lot.price_e8)))?;
        map.serialize_entry("acquired", &day(lot.acquired))?;
        map.serialize_entry("sub_account", &self.name(NameClass::SubAccount, lot.sub_account))
    }
}

/// An action's figures in the body of an outcome.
#[derive(Serialize)]
pub(super) struct FiguredActionRow {
    hash: Hex128,
    date: Option<Day>,
    realized_pnl: E16,
    realized_long_term: E16,
    realized_base: E16,
    dividends: E16,
}

impl From<&ActionFigures> for FiguredActionRow {
    fn from(action: &ActionFigures) -> Self {
        Self {
            hash: Hex128(action.hash.0),
            date: day(action.date),
            realized_pnl: E16(action.gains.realized_e16),
            realized_long_term: E16(action.gains.long_e16),
            realized_base: E16(action.gains.base_e16),
            dividends: E16(action.dividends_e16),
        }
    }
}

/// What a correction changes in closed days.
#[derive(Serialize)]
pub(super) struct AdjustedRow {
    closed_through: Day,
    realized_pnl: E16,
    realized_long_term: E16,
    realized_base: E16,
    fees: E16,
    dividends: E16,
}

impl AdjustedRow {
    /// `None` where no day is closed.
    pub(super) fn of(adjusted: &Adjusted) -> Option<Self> {
        let figures = &adjusted.figures;
        (adjusted.through != Date::NONE).then_some(Self {
            closed_through: Day(adjusted.through),
            realized_pnl: E16(figures.realized_e16),
            realized_long_term: E16(figures.long_e16),
            realized_base: E16(figures.base_e16),
            fees: E16(figures.fees_e16),
            dividends: E16(figures.dividends_e16),
        })
    }
}
