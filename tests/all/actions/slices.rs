//! One split for very many positions: taken in slices while trades go on, and by a process that is killed between.

use std::time::{Duration, Instant};

use lotbook_core::action_input::{ActionInput, ActionKind};
use lotbook_core::command::{Command, NameClass, Origin, Side, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::event::Class;
use lotbook_core::id::{NameId, TradeHash, TradeId};
use lotbook_core::rules::LotMethod;
use lotbook_engine::{EngineConfig, Request, Status};
use lotbook_tests::rig::{Naming, PATIENCE, Rig, T, config};

use super::action;
use crate::amend::host::{cut, records};
use crate::support::{E8, long_form};

fn positions() -> u32 {
    if long_form() { 1_000_000 } else { 100_000 }
}

/// One lot of three units on each of very many accounts.
fn filled(config: &EngineConfig) -> (Rig, Vec<NameId>) {
    let mut rig = Rig::start(config);
    rig.rules(LotMethod::Fifo, true, 0);
    let directory = rig.host.directory();
    let accounts: Vec<NameId> =
        (0..positions()).map(|n| directory.name(NameClass::Account, &format!("A{n}"))).collect();
    let spec = T {
        id: "t",
        account: "A0",
        instrument: "I0",
        side: Side::Buy,
        quantity_e8: 3 * E8,
        price_e8: 10 * E8,
        date: 100,
        executed_at_ns: 0,
        order: 0,
    };
    let one = rig.input(&spec);
    let trades: Vec<TradeInput> = accounts
        .iter()
        .map(|&account| {
            let id = format!("t{account}");
            let trade_id = TradeId::new(id.as_bytes()).expect("short");
            TradeInput { trade_id, hash: TradeHash::new(b"test", id.as_bytes()), account, ..one }
        })
        .collect();
    let answers = rig.ask_all(trades);
    assert!(answers.iter().all(|answer| answer.status == Status::Trade(Class::Applied)));
    (rig, accounts)
}

fn large(dir: &std::path::Path) -> EngineConfig {
    let mut config = config(dir);
    let room = positions().next_power_of_two() as usize * 2;
    config.limits.positions_max = room;
    config.limits.names_max = room;
    config.limits.lots_max = room * 8;
    config.trade_ids_max = room * 2;
    config
}

fn quantities(rig: &Rig) -> (usize, i64, i64) {
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?} {:?}", rig.host.error(), rig.host.dead_letters());
    let views = rig.host.model().positions();
    let of: Vec<i64> = views.iter().filter(|v| &*v.instrument == "I0").map(|v| v.quantity_e8).collect();
    (of.len(), of.iter().copied().min().unwrap_or(0), of.iter().copied().max().unwrap_or(0))
}

#[test]
fn very_many_positions_take_a_split_while_trades_go_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = large(dir.path());
    let (mut rig, accounts) = filled(&config);
    let all = positions() as usize;
    assert_eq!(quantities(&rig), (all, 3 * E8, 3 * E8));

    // Trades on another instrument, one after the other, until every position has taken the split.
    let split = ActionInput { numerator: 2, denominator: 1, ..action(&rig.host, "s", ActionKind::Split, "I0", 101) };
    let since = Instant::now();
    assert_eq!(rig.ask(Command::Action(split)).status, Status::Action(Class::Applied));
    let (mut trades, mut longest) = (0u64, Duration::ZERO);
    while rig.host.counters().taken() < all as u64 {
        let id = format!("o{trades}");
        let spec = T {
            id: &id,
            account: "OTHER",
            instrument: "I1",
            side: Side::Buy,
            quantity_e8: E8,
            price_e8: E8,
            date: 101,
            executed_at_ns: trades as i64,
            order: trades,
        };
        let input = rig.input(&spec);
        let asked = Instant::now();
        assert_eq!(rig.ask(Command::Trade(input)).status, Status::Trade(Class::Applied));
        (trades, longest) = (trades + 1, longest.max(asked.elapsed()));
        assert!(since.elapsed() < PATIENCE, "positions do not take the split");
    }
    println!(
        "{all} positions took a split in {:?}; {trades} trades between, the slowest answered after {longest:?}",
        since.elapsed()
    );
    assert_eq!(quantities(&rig), (all, 6 * E8, 6 * E8));

    // Killed while positions take the inverse: the next start goes on, and the book is what it was before both.
    let back = ActionInput { numerator: 1, denominator: 2, ..action(&rig.host, "b", ActionKind::Split, "I0", 102) };
    let taken = rig.host.counters().taken();
    let origin = Origin { source_offset: u64::MAX, ..Origin::INTERNAL };
    let request = Request { token: u64::MAX, origin, command: Command::Action(back) };
    rig.door.submit(request).expect("room in an idle door");
    rig.await_answer();
    let deadline = Instant::now() + PATIENCE;
    while rig.host.counters().taken() == taken {
        assert!(Instant::now() < deadline, "no position takes the inverse");
        lotbook_engine::wait::nap();
    }
    let had_taken = rig.host.counters().taken() - taken;
    rig.host.crash();
    let rig = Rig::start(&config);
    assert_eq!(quantities(&rig), (all, 3 * E8, 3 * E8));
    println!(
        "killed when {had_taken} positions had taken the inverse; {} took it after the start",
        rig.host.counters().taken()
    );
    assert!(rig.host.counters().taken() < all as u64 + 1);
    let other = rig.host.model().positions();
    assert_eq!(other.len(), accounts.len() + 1);
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
}

/// Behind any record of a log in which positions take a late split: the next start ends in the same book.
#[test]
fn a_log_cut_while_positions_take_a_split() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let without = |dir: &std::path::Path| EngineConfig { coldpath: false, ..config(dir) };
    let mut whole = Rig::start(&without(dir.path()));
    whole.rules(LotMethod::Hifo, true, 0);
    for number in 0..12 {
        let (id, account) = (format!("t{number}"), format!("A{}", number % 6));
        let side = if number % 5 == 4 { Side::Sell } else { Side::Buy };
        let day = if number < 6 { 100 } else { 98 + number % 7 };
        let spec = T {
            id: &id,
            account: &account,
            instrument: "I0",
            side,
            quantity_e8: i64::from(number + 1) * E8,
            price_e8: i64::from(10 + number) * E8,
            date: day,
            executed_at_ns: 0,
            order: 0,
        };
        let input = whole.input(&spec);
        assert!(matches!(whole.ask(Command::Trade(input)).status, Status::Trade(class) if class.is_accepted()));
    }
    let split = ActionInput { numerator: 3, denominator: 2, ..action(&whole.host, "s", ActionKind::Split, "I0", 101) };
    let first = whole.ask(Command::Action(split)).sequence;
    let model = whole.host.model().clone();
    let deadline = Instant::now() + PATIENCE;
    while model.changes_pending() > 0 || model.sequence() < whole.host.log().published_sequence() {
        assert!(Instant::now() < deadline, "positions do not take the split");
        std::thread::sleep(Duration::from_millis(1));
    }
    let records: Vec<u64> = records(&whole.host).into_iter().map(|(sequence, _)| sequence).collect();
    let mut wanted = None;
    let mut cuts = 0;
    for &last in records.iter().rev().filter(|&&sequence| sequence >= first) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path());
        cut(&whole.host, last, &config);
        let mut rig = Rig::start(&config);
        assert!(rig.host.wait_reconciled(PATIENCE), "cut behind {last}: {:?}", rig.host.error());
        assert_eq!(rig.ask(Command::Action(split)).status, Status::Action(Class::Duplicate), "cut behind {last}");
        let digest = rig.host.model().economic_digest();
        assert_eq!(*wanted.get_or_insert(digest), digest, "cut behind {last}");
        let date = rig.host.model().positions().iter().filter_map(|view| view.last_effective_date).max();
        assert_eq!(date, Some(Date(104)), "cut behind {last}");
        cuts += 1;
        drop(rig.door);
        rig.host.stop().unwrap_or_else(|error| panic!("cut behind {last}: {error}"));
    }
    whole.host.crash();
    println!("{cuts} cuts");
    assert!(cuts > 6);
}
