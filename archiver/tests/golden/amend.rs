//! Events of amendments and of a resolution, one of every class.

use lotbook_core::amend::{AmendInput, AmendKind, Changes, NO_TIME};
use lotbook_core::amend_event::{AmendEvent, Estimate, ResolveInput, ResolvedEvent};
use lotbook_core::amendments::Root;
use lotbook_core::amount::ONE_E16;
use lotbook_core::command::{Side, TradeType};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::note::Note;

use super::{AT_NS, E8, RUNS, origin};

pub(super) const AMEND_CLASSES: [Class; 5] =
    [Class::Provisional, Class::Held, Class::Lapsed, Class::Rejected, Class::Duplicate];

pub(super) fn amendment(class: Class) -> AmendEvent<'static> {
    let mut changes = Changes::NONE;
    changes.set_side(Some(Side::Buy));
    changes.set_trade_type(Some(TradeType::NewTrade));
    changes.set_quantity(Some(3 * E8));
    changes.set_price(Some(168 * E8 + 1));
    changes.set_fees(Some(0));
    changes.set_effective_date(Some(Date(18_325)));
    changes.set_executed_at(Some(AT_NS - 7));
    changes.set_lot(Some(TradeHash::new(b"desk", b"t-1000")));
    changes.set_contract(Some(0));
    changes.set_consideration(Some(504 * E8));
    changes.set_fx_to_base(Some(E8 / 2));
    changes.set_currency(Some(0));
    changes.set_sub_account(Some(0));
    let input = AmendInput {
        amend_id: TradeId::new(b"c-1").expect("short"),
        hash: TradeHash::new(b"desk", b"c-1"),
        namespace: 0,
        kind: AmendKind::Correct,
        target_id: TradeId::new(b"t-1001").expect("short"),
        target: TradeHash::new(b"desk", b"t-1001"),
        executed_at_ns: AT_NS,
        source_order: 18,
        account: 0,
        instrument: NO_NAME,
        changes,
        user: 0,
        correlation: TradeId::new(b"0198c1c5-7a3e-7000-8000-000000000002@desk").expect("short"),
    };
    let cancel = AmendInput {
        kind: AmendKind::Cancel,
        executed_at_ns: NO_TIME,
        changes: Changes::NONE,
        account: NO_NAME,
        user: NO_NAME,
        correlation: TradeId::EMPTY,
        ..input
    };
    let nothing = Root { hash: TradeHash::NONE, quantity_e8: 0, date: Date::NONE, to_account: NO_NAME };
    let apart = AmendEvent {
        input: cancel,
        origin: origin(),
        class,
        reason: Reason::None,
        position: u32::MAX,
        account: NO_NAME,
        instrument: NO_NAME,
        version: 0,
        root: nothing,
        estimate: Estimate::default(),
        first_class: class,
        first_sequence: 0,
        first_address: u64::MAX,
        runs: &[],
    };
    match class {
        Class::Provisional => AmendEvent {
            input,
            position: 3,
            account: 0,
            instrument: 0,
            version: 13,
            root: Root { hash: input.target, quantity_e8: -150 * E8 - 1, date: Date(18_326), to_account: NO_NAME },
            estimate: Estimate {
                moved_e8: 153 * E8 + 1,
                closed_quantity_e8: 150 * E8,
                opened_quantity_e8: 3 * E8 + 1,
                opened_cost_e16: 500 * ONE_E16,
                opened_base_e16: 500 * ONE_E16,
                lot_price_e8: 167 * E8,
                closed_cost_e16: 25_000 * ONE_E16,
                closed_base_e16: 25_000 * ONE_E16,
                waiting_before_e8: -E8,
                waiting_after_e8: 2 * E8,
            },
            first_sequence: 11,
            first_address: 11_264,
            runs: &RUNS,
            ..apart
        },
        Class::Lapsed => AmendEvent { reason: Reason::HeldExpired, first_sequence: 11, first_address: 11_264, ..apart },
        Class::Rejected => AmendEvent { reason: Reason::BadTarget, ..apart },
        Class::Duplicate => AmendEvent {
            position: 3,
            account: 0,
            instrument: 0,
            version: 13,
            first_class: Class::Provisional,
            first_sequence: 11,
            first_address: 11_264,
            ..apart
        },
        _ => apart,
    }
}

pub(super) fn resolved() -> ResolvedEvent {
    ResolvedEvent {
        origin: origin(),
        reason: Reason::None,
        position: 3,
        version: 15,
        breaks: 1,
        break_set: 0x0bad_0bad_0bad_0bad,
        input: ResolveInput {
            account: 0,
            instrument: 0,
            version: 14,
            user: 0,
            note: Note::new(b"agreed with the custodian").expect("short"),
            correlation: TradeId::new(b"ops-1").expect("short"),
        },
    }
}
