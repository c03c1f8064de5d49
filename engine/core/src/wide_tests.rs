//! Actions, what positions take of them, contract changes and period locks as tables.

mod closed;
mod course;
mod order;
mod rig;
mod told;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{ONE_E8, format_e8, format_e16};
use crate::command::{Command, Side, TradeInput, TradeKind};
use crate::date::Date;
use crate::event::Reason;
use crate::id::NO_NAME;
use crate::rules::{ContractTerms, LockedChanges, LotMethod, Rules};
use crate::wide_event::LockInput;

use rig::*;
fn position(rig: &Rig, account: u32) -> String {
    let Some(number) = rig.book.find(account, 0) else { return "none".into() };
    let p = &rig.book.positions()[number as usize];
    let lots: Vec<String> = rig
        .lots_of(account, 0)
        .iter()
        .map(|lot| format!("{}@{}", format_e8(lot.quantity_e8), format_e16(lot.cost_e16)))
        .collect();
    format!(
        "{} {} realized {} dividends {} [{}]",
        format_e8(p.quantity_e8),
        p.reconciliation().as_str(),
        format_e16(p.realized_e16),
        format_e16(p.dividends_e16),
        lots.join(" ")
    )
}

const UNIT: i64 = ONE_E8;

/// One thing a line: what is sent, why it is refused, the position after all positions have taken it.
fn check(rig: &mut Rig, table: &[(&str, Command, Reason, &str)]) {
    for (name, command, reason, want) in table {
        assert_eq!(rig.send(command), *reason, "{name}");
        rig.settle();
        assert_eq!(position(rig, 0), *want, "{name}");
    }
}

fn buy(number: usize, quantity: i64, price: i64, day: i32) -> Command {
    Command::Trade(trade(number, 0, Side::Buy, quantity * UNIT, price * UNIT, day))
}

fn sell(number: usize, quantity: i64, price: i64, day: i32) -> Command {
    Command::Trade(trade(number, 0, Side::Sell, quantity * UNIT, price * UNIT, day))
}

fn paid(kind: ActionKind, number: usize, cash_e8: i64, day: i32) -> Command {
    Command::Action(ActionInput { cash_e8, ..action(number, kind, day) })
}

#[test]
fn actions_at_their_place() {
    let in_lieu = ActionInput { cash_in_lieu_e8: 9 * UNIT, ..split(4, 1, 3, 4) };
    check(
        &mut Rig::new(Rules { method: LotMethod::Lifo, ..free() }),
        &[
            ("a flat position takes nothing", Command::Action(split(1, 2, 1, 0)), Reason::None, "none"),
            ("buy", buy(1, 100, 10, 1), Reason::None, "100 RECONCILED realized 0 dividends 0 [100@1000]"),
            (
                "split",
                Command::Action(split(2, 2, 1, 2)),
                Reason::None,
                "200 RECONCILED realized 0 dividends 0 [200@1000]",
            ),
            ("buy more", buy(2, 10, 6, 2), Reason::None, "210 RECONCILED realized 0 dividends 0 [200@1000 10@60]"),
            (
                "dividend",
                paid(ActionKind::CashDividend, 3, UNIT / 2, 3),
                Reason::None,
                "210 RECONCILED realized 0 dividends 105 [200@1000 10@60]",
            ),
            // 70 units, and nothing above them.
            (
                "reverse split",
                Command::Action(in_lieu),
                Reason::None,
                "70 RECONCILED realized 0 dividends 105 [66.66666666@1000 3.33333334@60]",
            ),
            (
                "sell one",
                sell(3, 1, 20, 4),
                Reason::None,
                "69 RECONCILED realized 2.0000000359999999 dividends 105 \
              [66.66666666@1000 2.33333334@42.0000000359999999]",
            ),
            (
                "merger for cash",
                paid(ActionKind::Merger, 5, 20 * UNIT, 5),
                Reason::None,
                "0 RECONCILED realized 340 dividends 105 []",
            ),
            (
                "a dividend that nobody gets",
                paid(ActionKind::CashDividend, 6, UNIT, 6),
                Reason::None,
                "0 RECONCILED realized 340 dividends 105 []",
            ),
            ("short", sell(4, 10, 30, 7), Reason::None, "-10 RECONCILED realized 340 dividends 105 [10@300]"),
            (
                "a short pays",
                paid(ActionKind::CashDividend, 7, UNIT, 8),
                Reason::None,
                "-10 RECONCILED realized 340 dividends 95 [10@300]",
            ),
            (
                "reset",
                paid(ActionKind::Reset, 8, 25 * UNIT, 9),
                Reason::None,
                "-10 RECONCILED realized 390 dividends 95 [10@250]",
            ),
        ],
    );
}

#[test]
fn refused_actions_change_nothing() {
    let mut rig = Rig::new(free());
    let held = "1 RECONCILED realized 0 dividends 0 [1@10]";
    let ok = split(1, 2, 2, 3);
    check(
        &mut rig,
        &[
            ("buy", buy(1, 1, 10, 1), Reason::None, held),
            ("accepted", Command::Action(ok), Reason::None, held),
            ("the same id", Command::Action(ok), Reason::IdConflict, held),
            ("terms", Command::Action(split(2, 0, 1, 2)), Reason::BadTerms, held),
            (
                "instrument",
                Command::Action(ActionInput { instrument: 9, ..split(2, 2, 1, 2) }),
                Reason::UnknownName,
                held,
            ),
            (
                "contract",
                Command::Action(ActionInput { contract: 9, ..action(2, ActionKind::Reset, 2) }),
                Reason::UnknownContract,
                held,
            ),
            ("spin-off", Command::Action(action(2, ActionKind::SpinOff, 2)), Reason::BadTerms, held),
        ],
    );
    let mut number = 10;
    while rig.book.actions().has_room() {
        assert_eq!(rig.send(&Command::Action(split(number, 1, 1, 3))), Reason::None);
        rig.settle();
        number += 1;
    }
    assert_eq!(rig.send(&Command::Action(split(number, 1, 1, 3))), Reason::ActionCapacity);
}

/// What has left a position is kept for its replays, and there is a bound to it.
#[test]
fn lots_that_leave_have_a_bound() {
    let mut rig = Rig::new(free());
    let moved = |number: usize| TradeInput {
        kind: TradeKind::Transfer,
        to_account: 1,
        price_e8: 0,
        ..trade(number, 0, Side::Sell, 1, 1, 1)
    };
    let mut number = 2;
    assert_eq!(rig.send(&Command::Trade(trade(1, 0, Side::Buy, 1_000, 1, 1))), Reason::None);
    while rig.book.legs().sent_len() < LIMITS.legs_max {
        assert_eq!(rig.send(&Command::Trade(moved(number))), Reason::None);
        rig.settle();
        number += 1;
    }
    assert_eq!(rig.send(&Command::Trade(moved(number))), Reason::LegCapacity);
    let renamed = ActionInput { to_instrument: 1, ..action(number, ActionKind::SymbolChange, 2) };
    assert_eq!(rig.send(&Command::Action(renamed)), Reason::LegCapacity);
    assert_eq!(rig.send(&Command::Trade(trade(number, 0, Side::Sell, 1, 1, 1))), Reason::None);
}

/// What leaves a range on a position is passed over there, whenever it came, and a person is told.
#[test]
fn an_action_that_does_not_fit_is_a_break() {
    let huge = trade(1, 0, Side::Buy, i64::MAX / 2, 1, 1);
    let mut rig = Rig::new(free());
    let held = "46116860184.27387903 PENDING realized 0 dividends 0 [46116860184.27387903@461.1686018427387903]";
    assert_eq!(rig.send(&Command::Trade(huge)), Reason::None);
    check(&mut rig, &[("split", Command::Action(split(1, 3, 1, 2)), Reason::None, held)]);
    let mut late = Rig::new(free());
    assert_eq!(
        late.send(&Command::Trade(TradeInput { effective_date: Date(3), ..trade(2, 0, Side::Buy, 1, 1, 3) })),
        Reason::None
    );
    assert_eq!(late.send(&Command::Action(split(1, 3, 1, 2))), Reason::None);
    assert_eq!(late.send(&Command::Trade(huge)), Reason::None);
    late.settle();
    late.reconcile_all();
    assert_eq!(
        position(&late, 0),
        "46116860184.27387904 PENDING realized 0 dividends 0 \
        [46116860184.27387903@461.1686018427387903 0.00000001@0.0000000000000001]"
    );
}

/// A reset for one contract strikes only the positions that it covers on the date.
#[test]
fn a_reset_may_be_for_one_contract() {
    let mut rig = Rig::new(free());
    for account in 0..2 {
        let bought = trade(account as usize, account, Side::Buy, UNIT, 10 * UNIT, 1);
        assert_eq!(rig.send(&Command::Trade(bought)), Reason::None);
    }
    let terms = ContractTerms { account: 1, ..contract(1, free(), 2) };
    assert_eq!(rig.send(&Command::Contract(terms)), Reason::None);
    let reset = |number, day| {
        let input = action(number, ActionKind::Reset, day);
        Command::Action(ActionInput { contract: 1, cash_e8: 15 * UNIT, ..input })
    };
    assert_eq!(rig.send(&reset(1, 1)), Reason::None);
    rig.settle();
    let untouched = "1 RECONCILED realized 0 dividends 0 [1@10]";
    assert_eq!((position(&rig, 0), position(&rig, 1)), (untouched.into(), untouched.into()));
    assert_eq!(rig.send(&reset(2, 3)), Reason::None);
    rig.settle();
    assert_eq!(position(&rig, 0), untouched);
    assert_eq!(position(&rig, 1), "1 RECONCILED realized 5 dividends 0 [1@15]");
}

/// A contract that is accepted again, word for word, changes nothing; another one replays whom it concerns.
#[test]
fn late_rules_replay_whom_they_concern() {
    let mut rig = Rig::new(free());
    for account in 0..2 {
        for (number, price) in [(1, 10), (2, 20)] {
            let number = number + 10 * account as usize;
            let bought = trade(number, account, Side::Buy, UNIT, price * UNIT, number as i32 % 10);
            assert_eq!(rig.send(&Command::Trade(bought)), Reason::None);
        }
        let sold = trade(3 + 10 * account as usize, account, Side::Sell, UNIT, 30 * UNIT, 5);
        assert_eq!(rig.send(&Command::Trade(sold)), Reason::None);
    }
    let again = Command::Contract(contract(0, free(), -1_000_000));
    assert_eq!(rig.send(&again), Reason::None);
    assert!(rig.book.actions().pending().is_empty());
    let terms = ContractTerms { account: 1, ..contract(1, Rules { method: LotMethod::Lifo, ..free() }, 5) };
    assert_eq!(rig.send(&Command::Contract(terms)), Reason::None);
    rig.settle();
    assert_eq!(position(&rig, 0), "1 RECONCILED realized 20 dividends 0 [1@20]");
    assert_eq!(position(&rig, 1), "1 PROVISIONAL realized 20 dividends 0 [1@20]");
    rig.reconcile_all();
    assert_eq!(position(&rig, 1), "1 RECONCILED realized 10 dividends 0 [1@10]");
    // From a day on which nothing was booked.
    assert_eq!(rig.send(&Command::Contract(contract(2, free(), 6))), Reason::None);
    rig.settle();
    assert_eq!(rig.book.provisional_positions(), 0);
}

#[test]
fn locks_close_history() {
    let lock = |account: Option<u32>, day| {
        Command::PeriodLock(LockInput { account: account.unwrap_or(NO_NAME), through: Date(day) })
    };
    let adjusting = Rules { locked_changes: LockedChanges::Adjust, ..free() };
    let mut rig = Rig::new(free());
    for (account, day) in [(0, 5), (1, 5)] {
        let bought = trade(account as usize, account, Side::Buy, 10 * UNIT, 10 * UNIT, day);
        assert_eq!(rig.send(&Command::Trade(bought)), Reason::None);
    }
    let of_one = ContractTerms { account: 1, ..contract(1, adjusting, 0) };
    assert_eq!(rig.send(&Command::Contract(of_one)), Reason::None);
    assert_eq!(rig.send(&lock(None, 5)), Reason::NotReconciled, "a contract change is still being taken");
    rig.settle();
    assert_eq!(rig.send(&lock(None, 5)), Reason::NotReconciled, "and replayed");
    rig.reconcile_all();
    assert_eq!(rig.send(&Command::BusinessDate(Date(9))), Reason::None);
    let late = |number, account, day| trade(number, account, Side::Buy, UNIT, UNIT, day);
    let late_split = |number, day| Command::Action(split(number, 2, 1, day));
    for (name, command, want) in [
        ("beyond the business date", lock(Some(0), 10), Reason::BadDate),
        ("nobody's account", lock(Some(99), 5), Reason::UnknownName),
        ("one account", lock(Some(0), 5), Reason::None),
        ("the same again", lock(Some(0), 5), Reason::None),
        ("back", lock(Some(0), 4), Reason::LockBack),
        ("all, below the one", lock(None, 4), Reason::None),
        ("one, below all", lock(Some(1), 3), Reason::LockBack),
        ("a trade on the day", Command::Trade(late(10, 0, 5)), Reason::PeriodLocked),
        ("a trade after it", Command::Trade(late(11, 0, 6)), Reason::None),
        ("a trade of another account, which adjusts", Command::Trade(late(12, 1, 4)), Reason::None),
        ("an action: one account refuses", late_split(1, 5), Reason::PeriodLocked),
        ("an action after it", late_split(2, 6), Reason::None),
        (
            "a dividend by its record date",
            {
                let input = action(3, ActionKind::CashDividend, 8);
                Command::Action(ActionInput { record_date: Date(4), cash_e8: 1, ..input })
            },
            Reason::PeriodLocked,
        ),
        ("rules on closed days", Command::Contract(contract(2, free(), 5)), Reason::PeriodLocked),
        ("rules after them", Command::Contract(contract(2, free(), 6)), Reason::None),
    ] {
        assert_eq!(rig.send(&command), want, "{name}");
        rig.restart();
    }
    rig.settle();
    rig.reconcile_all();
    assert_eq!(position(&rig, 0), "21 RECONCILED realized 0 dividends 0 [20@100 1@1]");
}

/// Marks of before a split's date are read through it from that date on; forward-dated trades are as sent.
#[test]
fn marks_and_forward_dated_trades_around_a_split() {
    use crate::command::{Mark, MarkKind};
    use crate::date::NS_PER_DAY;
    let mut rig = Rig::new(free());
    let mark = |kind, price: i64, day: i64| {
        Command::Mark(Mark { instrument: 0, kind, price_e8: price * UNIT, ask_e8: 0, at_ns: day * NS_PER_DAY + 7 })
    };
    let marked = |rig: &Rig| rig.book.mark(0).map(|marked| format_e8(marked.price_e8));
    assert_eq!(rig.send(&Command::BusinessDate(Date(5))), Reason::None);
    assert_eq!(rig.send(&buy(1, 10, 30, 5)), Reason::None);
    assert_eq!(rig.send(&mark(MarkKind::Last, 40, 5)), Reason::None);
    assert_eq!(rig.send(&Command::Action(split(1, 2, 1, 7))), Reason::None);
    // Sent before the split's date, in the words of that date.
    assert_eq!(rig.send(&sell(2, 4, 21, 7)), Reason::None);
    assert_eq!(rig.send(&sell(3, 1, 41, 6)), Reason::None);
    rig.settle();
    assert_eq!(marked(&rig), Some("40".into()), "the split waits");
    assert_eq!(position(&rig, 0), "10 RECONCILED realized 0 dividends 0 [10@300]");
    assert_eq!(rig.send(&Command::BusinessDate(Date(7))), Reason::None);
    assert_eq!(marked(&rig), Some("20".into()));
    rig.settle();
    assert_eq!(position(&rig, 0), "14 RECONCILED realized 35 dividends 0 [14@210]");
    assert_eq!(rig.send(&mark(MarkKind::OfficialClose, 44, 6)), Reason::None);
    assert_eq!(marked(&rig), Some("22".into()), "of before the split, though it came after");
    assert_eq!(rig.send(&mark(MarkKind::OfficialClose, 23, 7)), Reason::None);
    assert_eq!(marked(&rig), Some("23".into()));
    rig.restart();
    assert_eq!(marked(&rig), Some("23".into()));
}
