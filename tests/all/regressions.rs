//! Defects that hostile tests found, each with its story. They are gone; these tests keep them away.

use std::time::Duration;

use lotbook_core::Limits;
use lotbook_core::command::{Command, NO_PRICE, NameClass, Side, TradeInput, TradeKind};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::history::Item;
use lotbook_core::id::TradeHash;
use lotbook_core::position::Reconciliation;
use lotbook_core::replay::replay;
use lotbook_core::rules::{LotMethod, Rules};
use lotbook_core::wide_event::LockInput;
use lotbook_engine::{Host, Status};
use lotbook_tests::rig::{Naming as _, PATIENCE, Rig, config};

use crate::coldpath::{equals_oracle, input};
use crate::support::{BookRig, E8, LIMITS, Spec};

const OPEN: Rules = Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT };

fn at(id: u32, side: Side, quantity_e8: i64, price_e8: i64, day: i32) -> Spec {
    let mut spec = Spec::new(id, side, quantity_e8, price_e8, day);
    spec.order = u64::from(id);
    spec
}

fn send(rig: &mut Rig, list: &[Spec]) -> Vec<Status> {
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs).iter().map(|answer| answer.status).collect()
}

/// As it was found: Forward-dated sums are checked in the order of arrival, taken back in the order of maturity: the
/// shard panics, and so does every start after it.
#[test]
fn forward_sums_are_bounded_by_magnitude() {
    let mut rig = BookRig::new(OPEN, 1, false, LIMITS);
    rig.other(&Command::BusinessDate(Date(10)));
    let list = [
        (0, Side::Buy, 11, Class::Forward),
        (1, Side::Sell, 12, Class::Rejected),
        (2, Side::Sell, 13, Class::Rejected),
    ];
    for (id, side, day, class) in list {
        assert_eq!(rig.trade(&at(id, side, i64::MAX, 0, day)).0, class);
    }
    rig.other(&Command::BusinessDate(Date(11)));
    assert_eq!(rig.mature().len(), 1);
}

/// As it was found: the record is in the log before the shard panics, so no start works any more.
#[test]
fn forward_sums_never_stop_a_host() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(dir.path());
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Fifo, true, 0);
    rig.ask(Command::BusinessDate(Date(10)));
    let list =
        [at(0, Side::Buy, i64::MAX, 0, 11), at(1, Side::Sell, i64::MAX, 0, 12), at(2, Side::Sell, i64::MAX, 0, 13)];
    send(&mut rig, &list);
    rig.ask(Command::BusinessDate(Date(11)));
    std::thread::sleep(Duration::from_millis(300));
    let error = rig.host.error();
    rig.host.crash();
    let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Host::start(&config).is_ok()));
    assert!(error.is_none() && matches!(started, Ok(true)), "{error:?}, start again: {started:?}");
}

/// As it was found: A matured trade that cannot be booked (here: the quantity would overflow) stands at the head of all
/// that wait: no other position's trades ever mature, unless that position trades.
#[test]
fn a_stuck_maturity_does_not_hold_up_others() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Fifo, true, 0);
    rig.ask(Command::BusinessDate(Date(10)));
    let mut other = at(3, Side::Buy, E8, E8, 11);
    other.account = 1;
    send(&mut rig, &[at(1, Side::Buy, i64::MAX, 0, 10), at(2, Side::Buy, E8, 0, 11), other]);
    rig.ask(Command::BusinessDate(Date(11)));
    std::thread::sleep(Duration::from_millis(300));
    assert!(rig.host.wait_published(PATIENCE));
    let views = rig.host.model().positions();
    let waits = views.iter().find(|view| &*view.account == "A1").map(|view| view.forward_quantity_e8);
    assert_eq!(waits, Some(0), "A1's trade of day 11 waits for A0's");
}

/// As it was found: Trades before the first business date are booked whatever their date; a forward-dated trade below
/// that frontier then matures out of order and the position says RECONCILED.
#[test]
fn a_maturity_below_the_frontier_is_reconciled() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Fifo, true, 0);
    let list = [
        at(0, Side::Buy, 10 * E8, 2 * E8, 20),
        at(1, Side::Sell, 4 * E8, 3 * E8, 21),
        at(2, Side::Buy, 10 * E8, E8, 15),
    ];
    send(&mut rig, &list[..2]);
    assert_eq!(rig.ask(Command::BusinessDate(Date(10))).status, Status::Done);
    assert_eq!(send(&mut rig, &list[2..]), [Status::Trade(Class::Forward)]);
    rig.ask(Command::BusinessDate(Date(21)));
    std::thread::sleep(Duration::from_millis(300));
    assert!(rig.host.wait_reconciled(PATIENCE));
    assert_eq!(rig.host.model().positions()[0].reconciliation, Reconciliation::Reconciled);
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
}

/// As it was found: The chronological key does not tell two namespaces apart: the same id, date, time and order from two
/// sessions is ordered by arrival.
#[test]
fn equal_keys_of_two_namespaces_are_not_ordered_by_arrival() {
    let mut rig = BookRig::new(OPEN, 1, false, LIMITS);
    let mut first = rig.input(&at(0, Side::Buy, E8, 5 * E8, 10));
    let mut second = rig.input(&at(0, Side::Buy, E8, 7 * E8, 10));
    first.hash = TradeHash::new(b"session-a", first.trade_id.as_bytes());
    second.hash = TradeHash::new(b"session-b", second.trade_id.as_bytes());
    second.namespace = 1;
    let sell = rig.input(&at(1, Side::Sell, E8, 9 * E8, 11));
    let realized = |rig: &mut BookRig, inputs: [_; 3]| {
        replay(&mut inputs.map(Item::Trade), rig.book.contracts(), E8, &mut rig.scratch)
            .expect("in range")
            .after
            .realized_e16
    };
    let one = realized(&mut rig, [first, second, sell]);
    let other = realized(&mut rig, [second, first, sell]);
    assert_eq!(one, other);
}

/// As it was found: HIFO over more than 1,024 lots needs as many runs, also where they are neighbours. Live the sale takes
/// one lot; at its place in history it takes 1,100, and the position can never be reconciled.
#[test]
fn a_replay_of_many_lots_under_hifo_goes_through() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Hifo, true, 0);
    let mut list = vec![at(0, Side::Buy, 1_100 * E8, E8, 20), at(1, Side::Sell, 1_100 * E8, 3 * E8, 21)];
    list.extend((2..1_102).map(|id| at(id, Side::Buy, E8, 2 * E8, 10)));
    assert!(send(&mut rig, &list).iter().all(|status| matches!(status, Status::Trade(c) if c.is_accepted())));
    assert!(rig.host.wait_reconciled(PATIENCE));
    assert_eq!(rig.host.dead_letters(), []);
    equals_oracle(&rig.host, &list, LotMethod::Hifo);
}

/// As it was found: A position of which a trade found no room in its range is never tried again, though a later trade makes room:
/// only a restart does.
#[test]
fn a_trade_that_left_a_range_is_booked_once_it_fits() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(dir.path());
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Fifo, true, 0);
    let list = [
        at(0, Side::Buy, i64::MAX, 0, 10),
        at(1, Side::Sell, i64::MAX, 0, 12),
        // Fits now; on day 11 it makes twice the largest quantity.
        at(2, Side::Buy, i64::MAX, 0, 11),
        // Day 10 is flat again before that.
        at(3, Side::Sell, i64::MAX, 0, 10),
    ];
    send(&mut rig, &list[..3]);
    assert!(rig.host.wait_reconciled(PATIENCE));
    assert_eq!(rig.host.model().positions()[0].reconciliation, Reconciliation::Pending, "passed over so far");
    send(&mut rig, &list[3..]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(rig.host.wait_reconciled(PATIENCE));
    let status = rig.host.model().positions()[0].reconciliation;
    rig.host.crash();
    let after = Rig::start(&config);
    assert!(after.host.wait_reconciled(PATIENCE));
    assert_eq!(after.host.model().positions()[0].reconciliation, Reconciliation::Reconciled, "a restart heals it");
    assert_eq!(status, Reconciliation::Reconciled, "without a restart");
}

/// As it was found: What fits the arena depends on its layout, and a checkpoint does not keep the layout: at the edge of
/// `lots_max` an acknowledged trade finds no room in recovery, and the host does not start again.
#[test]
fn a_full_arena_recovers() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.limits = Limits { lots_max: 16, ..config.limits };
    config.checkpoint_records = 1;
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Lifo, true, 0);
    let on = |account: u32, mut spec: Spec| {
        spec.account = account;
        spec
    };
    let mut list: Vec<Spec> = (0..5).map(|id| at(id, Side::Buy, E8, E8, 10)).collect();
    list.push(on(1, at(10, Side::Buy, E8, E8, 10)));
    list.push(on(2, at(11, Side::Buy, E8, E8, 10)));
    list.push(at(12, Side::Sell, E8, E8, 10));
    assert!(send(&mut rig, &list).iter().all(|status| *status == Status::Trade(Class::Applied)));
    assert!(rig.host.wait_published(PATIENCE));
    let wanted = rig.host.model().sequence();
    while rig.host.model().checkpoint_sequence() < wanted {
        std::thread::sleep(Duration::from_millis(1));
    }
    // No further checkpoint may cover this one: crash at once.
    assert_eq!(send(&mut rig, &[at(13, Side::Buy, E8, E8, 10)]), [Status::Trade(Class::Applied)]);
    rig.host.crash();
    let newest = dir.path().join("data/checkpoints");
    for found in lotbook_engine::checkpoint::list(&newest).expect("a directory") {
        if found.sequence > wanted {
            std::fs::remove_file(found.path).expect("a checkpoint that came too late for the story");
        }
    }
    if let Err(error) = Host::start(&config) {
        panic!("start: {error}");
    }
}

/// As it was found: The same id with another named lot says something else economically, and is called a duplicate.
#[test]
fn another_lot_under_the_same_id_is_a_conflict() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Fifo, true, 0);
    send(&mut rig, &[at(0, Side::Buy, E8, E8, 10), at(1, Side::Buy, E8, 2 * E8, 10)]);
    let mut sell = input(&rig.host, &at(2, Side::Sell, E8 / 2, 3 * E8, 10));
    sell.lot = TradeHash::new(b"test", b"t0");
    let mut other = sell;
    other.lot = TradeHash::new(b"test", b"t1");
    let answers = rig.ask_all([sell, other]);
    assert_eq!(answers[1].status, Status::Trade(Class::Rejected), "{:?}", answers[1]);
}

/// As it was found: A late sale that names a lot which a later sale has used up meanwhile is refused, though at its place
/// in history the lot is whole: other late trades leave legality to the replay.
#[test]
fn a_late_trade_may_name_a_lot_that_was_open_then() {
    let mut rig = BookRig::new(OPEN, 1, false, LIMITS);
    for spec in [at(0, Side::Buy, E8, E8, 10), at(1, Side::Buy, E8, 2 * E8, 10), at(2, Side::Sell, E8, E8, 12)] {
        assert_eq!(rig.trade(&spec).0, Class::Applied);
    }
    let late = at(3, Side::Sell, E8, 3 * E8, 11);
    let mut named = rig.input(&late);
    named.lot = TradeHash::new(b"test", b"t0");
    assert_eq!(rig.trade_input(&named, &late).0, Class::Provisional);
}

/// As it was found, by seeds of the simulated world: An account is closed, and its figures are reported, while a position of another account
/// is PROVISIONAL that sent it lots, or will once it is replayed: the correction changes days that were closed as exact.
#[test]
fn what_came_from_an_estimate_is_not_closed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Fifo, true, 0);
    let [from, to] = ["A0", "A1"].map(|account| rig.host.directory().name(NameClass::Account, account));
    send(&mut rig, &[at(1, Side::Buy, 10 * E8, 10 * E8, 5)]);
    let mut sent = input(&rig.host, &at(2, Side::Sell, 5 * E8, 0, 6));
    sent = TradeInput { kind: TradeKind::Transfer, account: from, to_account: to, price_e8: NO_PRICE, ..sent };
    assert_eq!(rig.ask(Command::Trade(sent)).status, Status::Trade(Class::Applied));
    assert!(rig.host.wait_reconciled(PATIENCE));
    rig.host.coldpath().pause();
    // The lot that was sent will be this one.
    assert_eq!(send(&mut rig, &[at(3, Side::Buy, 10 * E8, 20 * E8, 4)]), [Status::Trade(Class::Provisional)]);
    let lock = |rig: &mut Rig, account| {
        let answer = rig.ask(Command::PeriodLock(LockInput { account, through: Date(6) }));
        (answer.status, answer.reason)
    };
    assert_eq!(lock(&mut rig, to), (Status::Refused, Reason::NotReconciled));
    rig.host.coldpath().resume();
    assert!(rig.host.wait_reconciled(PATIENCE));
    assert_eq!(lock(&mut rig, to), (Status::Done, Reason::None));
}
