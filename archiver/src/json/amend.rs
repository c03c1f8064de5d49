//! Lines of amendments, resolutions, and what a replay's body says about them.

use lotbook_core::amend::{Changes, NO_TIME};
use lotbook_core::amend_event::{AmendEvent, ResolvedEvent};
use lotbook_core::command::{NameClass, Side, TradeType};
use lotbook_core::event::Class;
use lotbook_core::history::Standing;
use lotbook_core::outcome::Outcome;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Line, RunRow, address, code, day, hash, number, some_text, trade_class};
use crate::names::Names;
use crate::text::{Day, E8, E16, Hex64, Hex128, Nanos};

/// What a correct changes; only the fields that it names.
struct ChangesOf<'a, N>(&'a Changes, &'a Line<'a, N>);

impl<N: Names> Serialize for ChangesOf<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(changes, line) = *self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(side) = changes.side() {
            map.serialize_entry("side", Side::as_str(side))?;
        }
        if let Some(trade_type) = changes.trade_type() {
            map.serialize_entry("trade_type", &some_text(TradeType::as_str(trade_type)))?;
        }
        for (key, value) in [
            ("quantity", changes.quantity_e8()),
            ("price", changes.price_e8()),
            ("consideration", changes.consideration_e8()),
            ("fees", changes.fees_e8()),
            ("fx_to_base", changes.fx_to_base_e8()),
            ("cash_per_unit", changes.cash_e8()),
            ("cash_in_lieu_price", changes.cash_in_lieu_e8()),
        ] {
            if let Some(value) = value {
                map.serialize_entry(key, &E8(value))?;
            }
        }
        for (key, date) in [("effective_date", changes.effective_date()), ("record_date", changes.record_date())] {
            if let Some(date) = date {
                map.serialize_entry(key, &Day(date))?;
            }
        }
        for (key, term) in [("numerator", changes.numerator()), ("denominator", changes.denominator())] {
            if let Some(term) = term {
                map.serialize_entry(key, &term)?;
            }
        }
        if let Some(at_ns) = changes.executed_at_ns() {
            map.serialize_entry("executed_at", &Nanos(at_ns))?;
        }
        if let Some(lot) = changes.lot() {
            map.serialize_entry("lot", &hash(lot))?;
        }
        for (key, class, id) in [
            ("contract_id", NameClass::Contract, changes.contract()),
            ("currency", NameClass::Currency, changes.currency()),
            ("sub_account", NameClass::SubAccount, changes.sub_account()),
        ] {
            if let Some(id) = id {
                map.serialize_entry(key, &line.name(class, id))?;
            }
        }
        map.end()
    }
}

/// The amended trade as it was accepted.
#[derive(Serialize)]
struct RootRow {
    hash: Hex128,
    quantity: E8,
    effective_date: Option<Day>,
}

/// What the hot thread does until the replay.
#[derive(Serialize)]
struct EstimateRow {
    quantity: E8,
    closed_quantity: E8,
    closed_cost: E16,
    closed_base_cost: E16,
    opened_quantity: E8,
    opened_cost: E16,
    opened_base_cost: E16,
    lot_price: Option<E8>,
    forward_quantity_before: E8,
    forward_quantity_after: E8,
}

impl<N: Names> Line<'_, N> {
    pub(super) fn amended<M: SerializeMap>(&self, map: &mut M, event: &AmendEvent<'_>) -> Result<(), M::Error> {
        let (input, estimate) = (&event.input, &event.estimate);
        let accepted = event.class == Class::Provisional;
        map.serialize_entry("trade_id", input.amend_id.as_str())?;
        map.serialize_entry("hash", &Hex128(input.hash.0))?;
        map.serialize_entry("namespace", &self.name(NameClass::Namespace, input.namespace))?;
        map.serialize_entry("type", input.kind.as_str())?;
        map.serialize_entry("target_id", input.target_id.as_str())?;
        map.serialize_entry("target", &hash(input.target))?;
        map.serialize_entry("account", &self.name(NameClass::Account, event.account))?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, event.instrument))?;
        map.serialize_entry("given_account", &self.name(NameClass::Account, input.account))?;
        map.serialize_entry("given_instrument", &self.name(NameClass::Instrument, input.instrument))?;
        map.serialize_entry("changes", &ChangesOf(&input.changes, self))?;
        map.serialize_entry("executed_at", &(input.executed_at_ns != NO_TIME).then_some(Nanos(input.executed_at_ns)))?;
        map.serialize_entry("source_order", &input.source_order)?;
        map.serialize_entry("user_id", &self.name(NameClass::User, input.user))?;
        map.serialize_entry("correlation_id", &some_text(input.correlation.as_str()))?;
        map.serialize_entry("outcome", event.class.as_str())?;
        map.serialize_entry("class", trade_class(event.class))?;
        map.serialize_entry("reason", &code(event.reason))?;
        map.serialize_entry("reason_code", &(event.reason as u16))?;
        map.serialize_entry("position", &number(event.position))?;
        map.serialize_entry("version", &event.version)?;
        let root = RootRow {
            hash: Hex128(event.root.hash.0),
            quantity: E8(event.root.quantity_e8),
            effective_date: day(event.root.date),
        };
        map.serialize_entry("amended", &(accepted || event.class == Class::Applied).then_some(root))?;
        let row = EstimateRow {
            quantity: E8(estimate.moved_e8),
            closed_quantity: E8(estimate.closed_quantity_e8),
            closed_cost: E16(estimate.closed_cost_e16),
            closed_base_cost: E16(estimate.closed_base_e16),
            opened_quantity: E8(estimate.opened_quantity_e8),
            opened_cost: E16(estimate.opened_cost_e16),
            opened_base_cost: E16(estimate.opened_base_e16),
            lot_price: (estimate.opened_quantity_e8 > 0).then_some(E8(estimate.lot_price_e8)),
            forward_quantity_before: E8(estimate.waiting_before_e8),
            forward_quantity_after: E8(estimate.waiting_after_e8),
        };
        map.serialize_entry("estimate", &accepted.then_some(row))?;
        map.serialize_entry("first_class", trade_class(event.first_class))?;
        map.serialize_entry("first_sequence", &(event.first_sequence != 0).then_some(event.first_sequence))?;
        map.serialize_entry("first_address", &address(event.first_address))?;
        map.serialize_entry("allocation_runs", &event.runs.iter().map(RunRow::from).collect::<Vec<_>>())
    }

    pub(super) fn resolved<M: SerializeMap>(&self, map: &mut M, event: &ResolvedEvent) -> Result<(), M::Error> {
        let input = &event.input;
        map.serialize_entry("account", &self.name(NameClass::Account, input.account))?;
        map.serialize_entry("instrument", &self.name(NameClass::Instrument, input.instrument))?;
        map.serialize_entry("user_id", &self.name(NameClass::User, input.user))?;
        map.serialize_entry("note", input.note.as_str())?;
        map.serialize_entry("correlation_id", &some_text(input.correlation.as_str()))?;
        map.serialize_entry("wanted_version", &(input.version != 0).then_some(input.version))?;
        map.serialize_entry("reason", &code(event.reason))?;
        map.serialize_entry("position", &number(event.position))?;
        map.serialize_entry("version", &event.version)?;
        map.serialize_entry("breaks", &event.breaks)?;
        map.serialize_entry("break_set", &Hex64(event.break_set))
    }
}

#[derive(Serialize)]
struct StandingRow {
    hash: Hex128,
    standing: &'static str,
}

#[derive(Serialize)]
struct WaitingRow {
    hash: Hex128,
    quantity: E8,
    effective_date: Option<Day>,
}

#[derive(Serialize)]
struct LeavingRow {
    cause_id: String,
    number: u32,
    lot: Hex128,
    quantity: E8,
    cost: E16,
    acquired: Option<Day>,
}

/// What a body says about amended and waiting trades, and about lots that leave.
pub(super) fn body<M: SerializeMap>(map: &mut M, outcome: &Outcome) -> Result<(), M::Error> {
    let amended = outcome.amended.iter().map(|(trade, standing)| StandingRow {
        hash: Hex128(trade.0),
        standing: match standing {
            Standing::AsAccepted => "as_accepted",
            Standing::Corrected => "corrected",
            Standing::Cancelled => "cancelled",
        },
    });
    let waiting = outcome.waiting.iter().map(|waiting| WaitingRow {
        hash: Hex128(waiting.input.hash.0),
        quantity: E8(waiting.input.signed_quantity_e8()),
        effective_date: day(waiting.input.effective_date),
    });
    map.serialize_entry("amended", &amended.collect::<Vec<_>>())?;
    map.serialize_entry("waiting", &waiting.collect::<Vec<_>>())?;
    let leaving = outcome.leaving.iter().map(|leaving| LeavingRow {
        cause_id: leaving.key.trade_id.as_str().to_owned(),
        number: leaving.number,
        lot: Hex128(leaving.lot.origin.0),
        quantity: E8(leaving.lot.quantity_e8),
        cost: E16(leaving.lot.cost_e16),
        acquired: day(leaving.lot.acquired),
    });
    map.serialize_entry("leaving", &leaving.collect::<Vec<_>>())?;
    map.serialize_entry("forward_quantity", &E8(outcome.forward_quantity_e8))
}
