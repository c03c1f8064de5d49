//! A lot that leaves, the events of its way to another shard, the event by which it arrives, and what a correction changes
//! in closed days.

use lotbook_core::amount::ONE_E16;
use lotbook_core::arrival::ArrivedEvent;
use lotbook_core::book::NO_POSITION;
use lotbook_core::carried::{DeliveredEvent, ReceivedEvent};
use lotbook_core::closed::{Adjusted, Days, PeriodFigures};
use lotbook_core::command::{NO_PRICE, Origin};
use lotbook_core::date::Date;
use lotbook_core::decide::Booked;
use lotbook_core::event::{Event, Reason};
use lotbook_core::id::{ChronoKey, DayPart, NO_NAME, TradeHash, TradeId};
use lotbook_core::legs::{Due, Leaving, Leg, Sending};
use lotbook_core::lot_changes::LotChange;
use lotbook_core::lots::Lot;
use lotbook_core::outcome::Outcome;

use super::{E8, RUNS};

fn lot() -> Lot {
    Lot {
        origin: TradeHash::new(b"desk", b"t-1000"),
        quantity_e8: 7 * E8,
        cost_e16: 700 * ONE_E16,
        base_cost_e16: 350 * ONE_E16,
        price_e8: NO_PRICE,
        acquired: Date(18_300),
        sub_account: 0,
    }
}

fn key() -> ChronoKey {
    ChronoKey {
        date: Date(18_327),
        part: DayPart::Opening,
        executed_at_ns: 3,
        source_order: 0,
        trade_id: TradeId::new(b"merger:EUR/USD:2020-03-06").expect("short"),
        hash: TradeHash(0x0000_0001_0000_0002_0000_0000_0000_0003),
    }
}

/// What an outcome says beside its figures: closed days, what leaves, and its lot.
pub(super) fn outcome() -> Outcome {
    let lot = Lot {
        origin: TradeHash::new(b"desk", b"t-1001"),
        quantity_e8: 5 * E8,
        cost_e16: 0,
        base_cost_e16: 1,
        price_e8: 167 * E8,
        acquired: Date(18_326),
        sub_account: 0,
    };
    let changed = vec![
        LotChange { before: Some(Lot { quantity_e8: E8, ..lot }), after: Some(0) },
        LotChange { before: Some(lot), after: None },
    ];
    let changed_ids = vec![TradeId::new(b"t-1001").expect("short"), TradeId::EMPTY];
    let (lots, leaving) = (vec![lot], vec![leaving()]);
    Outcome { lots, changed, changed_ids, leaving, days: days(), adjusted: adjusted(), ..Outcome::default() }
}

fn leaving() -> Leaving {
    Leaving { key: key(), to_account: NO_NAME, to_instrument: 0, number: 1, is_long: true, lot: lot(), trade: None }
}

pub(super) fn arrived() -> Event<'static> {
    let leg = Leg { key: key(), source: 3, account: 0, instrument: 0, is_long: true, lot: lot(), trade: None };
    Event::Arrived(ArrivedEvent {
        origin: Origin::INTERNAL,
        position: 4,
        version: 2,
        due: Due { sending: Sending::New, leg },
        late: false,
        on_provisional: true,
        reason: Reason::OppositeSide,
        books: true,
        booked: Booked {
            closed_quantity_e8: 2 * E8,
            closed_cost_e16: 210 * ONE_E16,
            closed_base_e16: 105 * ONE_E16,
            opened_quantity_e8: 5 * E8,
            opened_cost_e16: 500 * ONE_E16,
            opened_base_e16: 250 * ONE_E16,
            lot_price_e8: 100 * E8,
            realized_e16: -10 * ONE_E16,
            realized_base_e16: -5 * ONE_E16,
            broke: Reason::OppositeSide,
            ..Booked::NOTHING
        },
        runs: &RUNS,
    })
}

/// What a correction changes in closed days.
pub(super) fn adjusted() -> Adjusted {
    let figures = PeriodFigures { realized_e16: -ONE_E16, fees_e16: ONE_E16 / 8, ..PeriodFigures::default() };
    Adjusted { through: Date(18_320), figures }
}

fn days() -> Days {
    Days(vec![(Date(18_300), adjusted().figures)])
}

pub(super) fn received() -> Event<'static> {
    let trade = Some(super::input());
    let leg = Leg { key: key(), source: NO_POSITION, account: 0, instrument: 0, is_long: false, lot: lot(), trade };
    Event::Received(ReceivedEvent {
        origin: Origin::INTERNAL,
        shard: 3,
        number: 77,
        from: (0, 0),
        lot_id: TradeId::new(b"t-1000").expect("short"),
        due: Due { sending: Sending::Instead, leg },
    })
}

pub(super) fn delivered() -> Event<'static> {
    Event::Delivered(DeliveredEvent { origin: Origin::INTERNAL, through: 77 })
}
