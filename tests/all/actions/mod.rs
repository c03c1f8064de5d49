//! Corporate actions, resets and period locks through a whole host: late and in time, long and short, crashed and cut
//! while positions take them.

mod arrivals;
mod slices;

use lotbook_core::action_input::{ActionInput, ActionKind};
use lotbook_core::amend::{AmendInput, AmendKind, Changes, NO_TIME};
use lotbook_core::amount::{format_e8, format_e16};
use lotbook_core::command::{Command, NameClass, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::rules::{ContractTerms, LockedChanges, LotMethod, Rules};
use lotbook_core::wide_event::LockInput;
use lotbook_engine::{Answer, Host, Status};
use lotbook_tests::rig::{Naming, PATIENCE, Rig, T, config};

use crate::support::E8;

/// An action by its id, its names defined; what it says beside that is the caller's.
pub(crate) fn action(host: &Host, id: &str, kind: ActionKind, instrument: &str, day: i32) -> ActionInput {
    let name = |class, text| host.directory().name(class, text);
    ActionInput {
        action_id: TradeId::new(id.as_bytes()).expect("short"),
        hash: TradeHash::new(b"test", id.as_bytes()),
        namespace: name(NameClass::Namespace, "test"),
        kind,
        instrument: name(NameClass::Instrument, instrument),
        effective_date: Date(day),
        correlation: TradeId::new(b"test-correlation").expect("short"),
        ..ActionInput::EMPTY
    }
}

fn account(host: &Host, text: &str) -> NameId {
    host.directory().name(NameClass::Account, text)
}

/// Quantity, realized, dividends and cost of a position, as text.
fn shown(rig: &Rig, account: &str) -> String {
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?} {:?}", rig.host.error(), rig.host.dead_letters());
    let views = rig.host.model().positions();
    let view = views.iter().find(|view| &*view.account == account).expect("a position");
    format!(
        "{} realized {} dividends {} cost {}",
        format_e8(view.quantity_e8),
        format_e16(view.realized_e16),
        format_e16(view.dividends_e16),
        format_e16(view.cost_e16),
    )
}

fn trade(rig: &mut Rig, id: &str, account: &str, side: Side, units: i64, price: i64, day: i32) -> Answer {
    let (quantity_e8, price_e8) = (units * E8, price * E8);
    let spec = T { id, account, instrument: "I0", side, quantity_e8, price_e8, date: day, executed_at_ns: 0, order: 0 };
    let input = rig.input(&spec);
    rig.ask(Command::Trade(input))
}

fn started(dir: &std::path::Path) -> Rig {
    let mut rig = Rig::start(&config(dir));
    rig.rules(LotMethod::Fifo, true, 0);
    let contract = rig.host.directory().name(NameClass::Contract, "adjusts");
    let rules = Rules { allow_short: true, locked_changes: LockedChanges::Adjust, ..Rules::DEFAULT };
    let account = account(&rig.host, "OPEN");
    let terms = ContractTerms { contract, account, instrument: NO_NAME, rules, effective_date: Date(0) };
    assert_eq!(rig.ask(Command::Contract(terms)).reason, Reason::None);
    rig
}

/// Every action on a long and on a short position, each figure worked out by hand; the dividend, the split and the return of
/// capital come after what lies behind them in history.
#[test]
fn every_action_on_a_long_and_on_a_short() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = started(dir.path());
    trade(&mut rig, "b1", "LONG", Side::Buy, 100, 10, 1);
    trade(&mut rig, "s1", "SHORT", Side::SellShort, 50, 12, 1);
    trade(&mut rig, "b2", "LONG", Side::Buy, 11, 20, 5);
    let of = |rig: &Rig, id: &str, kind, day| action(&rig.host, id, kind, "I0", day);
    let dividend = of(&rig, "dividend", ActionKind::CashDividend, 4);
    let split = of(&rig, "split", ActionKind::Split, 3);
    let capital = of(&rig, "capital", ActionKind::ReturnOfCapital, 6);
    let reverse = of(&rig, "reverse", ActionKind::Split, 7);
    let reset = of(&rig, "reset", ActionKind::Reset, 8);
    let merger = of(&rig, "merger", ActionKind::Merger, 9);
    let table = [
        // On 100 units at the record date, before the split; paid on day 4.
        (
            ActionInput { cash_e8: E8 / 2, record_date: Date(2), ..dividend },
            "111 realized 0 dividends 50 cost 1220",
            "-50 realized 0 dividends -25 cost 600",
        ),
        (
            ActionInput { numerator: 2, denominator: 1, ..split },
            "211 realized 0 dividends 50 cost 1220",
            "-100 realized 0 dividends -25 cost 600",
        ),
        // 1,200 on a lot of cost 1,000: 200 gained. 66 on one of 220. The short gives back all of its 600.
        (
            ActionInput { cash_e8: 6 * E8, ..capital },
            "211 realized 200 dividends 50 cost 154",
            "-100 realized 0 dividends -25 cost 0",
        ),
        // 70.33333333 and 33.33333333 units; a third of one is paid out from lots without cost.
        (
            ActionInput { numerator: 1, denominator: 3, cash_in_lieu_e8: 30 * E8, ..reverse },
            "70 realized 209.9999999 dividends 50 cost 154",
            "-33 realized -9.9999999 dividends -25 cost 0",
        ),
        (
            ActionInput { cash_e8: 5 * E8, ..reset },
            "70 realized 405.9999999 dividends 50 cost 350",
            "-33 realized -174.9999999 dividends -25 cost 165",
        ),
        (
            ActionInput { cash_e8: 7 * E8, ..merger },
            "0 realized 545.9999999 dividends 50 cost 0",
            "0 realized -240.9999999 dividends -25 cost 0",
        ),
    ];
    for (input, long, short) in table {
        let answer = rig.ask(Command::Action(input));
        assert_eq!((answer.status, answer.reason), (Status::Action(Class::Applied), Reason::None));
        assert_eq!(shown(&rig, "LONG"), long, "{}", input.action_id);
        assert_eq!(shown(&rig, "SHORT"), short, "{}", input.action_id);
        let again = rig.ask(Command::Action(input));
        assert_eq!((again.status, again.first_sequence), (Status::Action(Class::Duplicate), answer.sequence));
        let other = ActionInput { fx_to_base_e8: 2 * E8, ..input };
        assert_eq!(rig.ask(Command::Action(other)).reason, Reason::IdConflict);
    }
    let wanted = rig.host.model().economic_digest();
    drop(rig.door);
    rig.host.crash();
    let rig = started(dir.path());
    assert_eq!(shown(&rig, "LONG"), table[5].1);
    assert_eq!(rig.host.model().economic_digest(), wanted);
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
}

fn lock(rig: &mut Rig, account: NameId, through: i32) -> Reason {
    rig.ask(Command::PeriodLock(LockInput { account, through: Date(through) })).reason
}

fn amend(rig: &mut Rig, id: &str, kind: AmendKind, target: &str, changes: Changes) -> (Status, Reason) {
    let hash = |text: &str| TradeHash::new(b"test", text.as_bytes());
    let text = |text: &str| TradeId::new(text.as_bytes()).expect("short");
    let answer = rig.ask(Command::Amend(AmendInput {
        amend_id: text(id),
        hash: hash(id),
        namespace: rig.host.directory().name(NameClass::Namespace, "test"),
        kind,
        target_id: text(target),
        target: hash(target),
        executed_at_ns: NO_TIME,
        source_order: 0,
        account: NO_NAME,
        instrument: NO_NAME,
        changes,
        user: NO_NAME,
        correlation: text("test-correlation"),
    }));
    (answer.status, answer.reason)
}

fn cancel(rig: &mut Rig, id: &str, target: &str) -> (Status, Reason) {
    amend(rig, id, AmendKind::Cancel, target, Changes::NONE)
}

/// Cancels and corrects of actions, of each other, before and after their target; the position has what history says.
#[test]
fn actions_are_cancelled_and_corrected() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = started(dir.path());
    trade(&mut rig, "b1", "LONG", Side::Buy, 10, 12, 1);
    let split = ActionInput { numerator: 2, denominator: 1, ..action(&rig.host, "s", ActionKind::Split, "I0", 3) };
    assert_eq!(rig.ask(Command::Action(split)).status, Status::Action(Class::Applied));
    trade(&mut rig, "b2", "LONG", Side::Buy, 1, 7, 5);
    let (mut three, mut later, mut price) = (Changes::NONE, Changes::NONE, Changes::NONE);
    three.set_numerator(Some(3));
    later.set_effective_date(Some(Date(6)));
    price.set_price(Some(E8));
    let applied = (Status::Trade(Class::Applied), Reason::None);
    let refused = (Status::Trade(Class::Rejected), Reason::NotSupported);
    let correct = AmendKind::Correct;
    let nothing = Changes::NONE;
    for (id, kind, target, changes, answer, quantity) in [
        ("c1", correct, "s", three, applied, 31),
        ("c1", correct, "s", three, (Status::Trade(Class::Duplicate), Reason::None), 31),
        ("c2", correct, "s", price, refused, 31),
        ("c3", correct, "c1", three, refused, 31),
        // From day 6 on the second lot is split too.
        ("c4", correct, "s", later, applied, 33),
        ("x1", AmendKind::Cancel, "c1", nothing, applied, 22),
        ("x2", AmendKind::Cancel, "s", nothing, applied, 11),
        ("x3", AmendKind::Cancel, "x2", nothing, applied, 22),
        ("x4", AmendKind::Cancel, "x1", nothing, applied, 33),
        // Held until the dividend comes, which it then takes out.
        ("x5", AmendKind::Cancel, "d", nothing, (Status::Trade(Class::Held), Reason::None), 33),
    ] {
        assert_eq!(amend(&mut rig, id, kind, target, changes), answer, "{id} {target}");
        assert_eq!(shown(&rig, "LONG"), format!("{quantity} realized 0 dividends 0 cost 127"), "{id} {target}");
    }
    let dividend = ActionInput { cash_e8: E8, ..action(&rig.host, "d", ActionKind::CashDividend, "I0", 2) };
    assert_eq!(rig.ask(Command::Action(dividend)).status, Status::Action(Class::Applied));
    assert_eq!(shown(&rig, "LONG"), "33 realized 0 dividends 0 cost 127");
    assert_eq!(cancel(&mut rig, "x6", "x5"), applied);
    assert_eq!(shown(&rig, "LONG"), "33 realized 0 dividends 10 cost 127");
    let wanted = rig.host.model().economic_digest();
    drop(rig.door);
    rig.host.crash();
    let mut rig = started(dir.path());
    assert_eq!(shown(&rig, "LONG"), "33 realized 0 dividends 10 cost 127");
    assert_eq!(rig.host.model().economic_digest(), wanted);
    assert_eq!(cancel(&mut rig, "x7", "s"), applied);
    assert_eq!(shown(&rig, "LONG"), "11 realized 0 dividends 10 cost 127");
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
    let rig = started(dir.path());
    assert_eq!(shown(&rig, "LONG"), "11 realized 0 dividends 10 cost 127");
    rig.host.crash();
}

/// What a lock closes stays closed, also for amendments and for what comes after a restart; where the contract adjusts, it is
/// booked.
#[test]
fn closed_periods_stay_closed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = started(dir.path());
    trade(&mut rig, "l1", "LOCKED", Side::Buy, 10, 10, 5);
    trade(&mut rig, "o1", "OPEN", Side::Buy, 10, 10, 5);
    trade(&mut rig, "l2", "LOCKED", Side::Buy, 10, 12, 12);
    assert_eq!(rig.ask(Command::BusinessDate(Date(20))).reason, Reason::None);
    assert!(rig.host.wait_reconciled(PATIENCE));
    assert_eq!(lock(&mut rig, NO_NAME, 21), Reason::BadDate);
    assert_eq!(lock(&mut rig, NO_NAME, 10), Reason::None);
    assert_eq!(lock(&mut rig, NO_NAME, 9), Reason::LockBack);
    drop(rig.door);
    rig.host.crash();
    let mut rig = Rig::start(&config(dir.path()));
    let refused = (Status::Trade(Class::Rejected), Reason::PeriodLocked);
    let answer = trade(&mut rig, "l3", "LOCKED", Side::Buy, 1, 10, 10);
    assert_eq!((answer.status, answer.reason), refused);
    assert_eq!(cancel(&mut rig, "x1", "l1"), refused);
    assert_eq!(cancel(&mut rig, "x2", "l2"), (Status::Trade(Class::Provisional), Reason::None));
    assert_eq!(cancel(&mut rig, "x3", "o1"), (Status::Trade(Class::Provisional), Reason::None));
    // Late or not: by then the coldpath may have taken the cancelled trade out.
    let late = trade(&mut rig, "o2", "OPEN", Side::Buy, 7, 10, 3);
    assert!(matches!(late.status, Status::Trade(class) if class.is_accepted()), "{late:?}");
    let split = ActionInput { numerator: 2, denominator: 1, ..action(&rig.host, "s", ActionKind::Split, "I0", 7) };
    let answer = rig.ask(Command::Action(split));
    assert_eq!((answer.status, answer.reason), (Status::Action(Class::Rejected), Reason::PeriodLocked));
    assert_eq!(shown(&rig, "LOCKED"), "10 realized 0 dividends 0 cost 100");
    assert_eq!(shown(&rig, "OPEN"), "7 realized 0 dividends 0 cost 70");
    // An account's own lock, and only with everything reconciled.
    let open = account(&rig.host, "OPEN");
    assert_eq!(lock(&mut rig, open, 15), Reason::None);
    assert_eq!(trade(&mut rig, "l4", "LOCKED", Side::Buy, 1, 10, 11).status, Status::Trade(Class::Applied));
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
}
