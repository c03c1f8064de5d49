//! Forward-dated trades: accepted now, apart until their date, booked in chronological order when it comes.

use std::collections::HashMap;

use lotbook_core::codec::Decoder;
use lotbook_core::command::{Command, Origin, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Event, Reason};
use lotbook_core::id::TradeHash;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::{LotMethod, Rules};
use lotbook_engine::{Host, Request, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::{PATIENCE, Rig, config};
use lotbook_wal::{From, Limit};

use crate::coldpath::{equals_oracle, input};
use crate::support::{BookRig, E8, LIMITS, ORACLE_METHODS, Spec, compare, hold, oracle_books, sort_chronologically};

/// Days go by; on each day trades of today, of days to come and, where told, late ones arrive.
fn days_go_by(seed: u64, late: bool) -> Vec<Vec<Spec>> {
    let mut rng = Rng::new(seed, 12);
    let mut id = 0;
    (10..20)
        .map(|today| {
            let mut list: Vec<Spec> = (0..25)
                .map(|_| {
                    id += 1;
                    let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
                    let from = if late { -2 } else { 0 };
                    let day = today + rng.between(from, 3) as i32;
                    let mut spec = Spec::new(id, side, rng.between(1, 7 * E8), rng.between(1, 3 * E8), day);
                    (spec.account, spec.at_ns, spec.order) = (rng.below(3) as u32, rng.between(0, 1), u64::from(id));
                    spec
                })
                .collect();
            if !late {
                // What waits for a day was agreed before anything of that day happens.
                for spec in list.iter_mut().filter(|spec| spec.day == today) {
                    spec.at_ns = 5;
                }
                sort_chronologically(&mut list);
            }
            list
        })
        .collect()
}

fn maturities(days: &[Vec<Spec>], rules: Rules, late: bool) -> Result<(), String> {
    let mut rig = BookRig::new(rules, 3, false, LIMITS);
    for (number, list) in days.iter().enumerate() {
        let today = 10 + number as i32;
        rig.other(&Command::BusinessDate(Date(today)));
        let matured = rig.mature();
        if matured.iter().any(|(_, reason)| rules.allow_short && *reason != Reason::None) {
            return Err("a break where everything is allowed".into());
        }
        for spec in list {
            let frontier = rig.find(spec.account, 0).map(|p| p.frontier);
            let (class, reason) = rig.trade(spec);
            if spec.day > today {
                if class != Class::Forward || reason != Reason::None {
                    return Err(format!("t{} of day {} on day {today}: {class:?}", spec.id, spec.day));
                }
                if rig.find(spec.account, 0).map(|p| p.frontier) != frontier.or(Some(lotbook_core::ChronoKey::MIN)) {
                    return Err("a forward-dated trade moved the frontier".into());
                }
            }
            if !late && spec.day <= today && rules.allow_short && class != Class::Applied {
                return Err(format!("t{} is {class:?}", spec.id));
            }
        }
        let waiting: i64 = rig.accepted.iter().filter(|s| s.day > today).map(|s| s.side.sign() * s.quantity_e8).sum();
        if rig.book.positions().iter().map(|p| p.forward_quantity_e8).sum::<i64>() != waiting {
            return Err("forward quantity is not what waits".into());
        }
        rig.images_agree()?;
    }
    rig.other(&Command::BusinessDate(Date(100)));
    rig.mature();
    if !rig.book.forwards().is_empty() {
        return Err("forward-dated trades are left".into());
    }
    rig.images_agree()?;
    if !late {
        return rig.agrees(rules.method);
    }
    for ((account, instrument), wanted) in oracle_books(&rig.accepted, rules.method) {
        let outcome = rig.replayed(account, instrument);
        compare(&wanted, outcome.after.quantity_e8, outcome.after.realized_e16, outcome.lots.iter().copied())?;
    }
    Ok(())
}

#[test]
fn days_go_by_in_the_bare_book() {
    for seed in 0..60 {
        for method in ORACLE_METHODS {
            for allow_short in [true, false] {
                for late in [false, true] {
                    let days = days_go_by(seed, late);
                    let rules = Rules { method, allow_short, ..Rules::DEFAULT };
                    let name = format!("{method:?} seed {seed} shorts {allow_short} late {late}");
                    hold(&name, &days, |days| maturities(days, rules, late));
                }
            }
        }
    }
}

/// A trade's event, as far as it is asked for here.
struct Logged {
    sequence: u64,
    class: Class,
    reason: Reason,
    hash: TradeHash,
}

impl Logged {
    fn is_matured(&self) -> bool {
        self.class == Class::Matured
    }
}

/// Every trade event of the log, in order.
fn logged(host: &Host) -> Vec<Logged> {
    let mut reader = host.log().reader(From::Sequence(1)).expect("a log that nothing was dropped from");
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    while let Some(record) = reader.next(Limit::Applied).expect("a sound log") {
        if record.header.kind < 0xFF00
            && let Event::Trade(trade) =
                decoder.decode(record.header.kind, record.header.version, record.payload).expect("an event")
        {
            let (class, reason, hash) = (trade.class, trade.reason, trade.input.hash);
            found.push(Logged { sequence: record.header.sequence, class, reason, hash });
        }
    }
    found
}

fn forwards(count: u32, accounts: u32) -> Vec<Spec> {
    let mut rng = Rng::new(31, u64::from(count));
    (0..count)
        .map(|id| {
            let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
            let day = 11 + rng.below(3) as i32;
            let mut spec = Spec::new(id, side, rng.between(1, 9 * E8), rng.between(E8, 9 * E8), day);
            (spec.account, spec.order) = (id % accounts, u64::from(id));
            spec
        })
        .collect()
}

/// The business date and a trade of every position leave in one flight: what is due of a position is
/// booked before its own next event, so nothing is late.
#[test]
fn due_trades_come_before_the_next_event_of_their_position() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Fifo, true, 0);
    rig.ask(Command::BusinessDate(Date(10)));
    let mut list = forwards(1_200, 40);
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    for answer in rig.ask_all(inputs) {
        assert_eq!(answer.status, Status::Trade(Class::Forward));
    }
    assert!(rig.host.wait_published(PATIENCE));
    let apart: i64 = rig.host.model().positions().iter().map(|view| view.forward_quantity_e8).sum();
    assert_eq!(apart, list.iter().map(|s| s.side.sign() * s.quantity_e8).sum::<i64>());
    assert!(rig.host.model().positions().iter().all(|view| view.quantity_e8 == 0 && view.lots.is_empty()));
    let mut next = forwards(0, 1);
    for account in 0..40 {
        let mut spec = Spec::new(10_000 + account, Side::Sell, 3 * E8, 5 * E8, 12);
        (spec.account, spec.at_ns) = (account, 9);
        next.push(spec);
    }
    let later: Vec<_> = next.iter().map(|spec| input(&rig.host, spec)).collect();
    let roll = Request { token: 1, origin: Origin::INTERNAL, command: Command::BusinessDate(Date(12)) };
    rig.door.submit(roll).expect("an idle door");
    let answers = rig.ask_all(later);
    assert_eq!(answers[0].status, Status::Done);
    assert!(answers[1..].iter().all(|answer| answer.status == Status::Trade(Class::Applied)));
    rig.ask(Command::BusinessDate(Date(13)));
    wait_matured(&rig, 1_200);
    list.extend(next);
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
    assert_eq!(rig.host.counters().trades(Class::Provisional), 0);
}

fn wait_matured(rig: &Rig, count: u64) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while rig.host.counters().trades(Class::Matured) < count {
        assert!(std::time::Instant::now() < deadline, "{} matured", rig.host.counters().trades(Class::Matured));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Forward-dated trades in the crash test: enough that a crash can fall between them.
const WAITING: u32 = 3_600;

/// Crashes right after the roll is answered, again and again: each trade matures exactly once.
#[test]
fn crashes_between_the_roll_and_the_maturities() {
    let mut partly = 0;
    for round in 0..6u64 {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path());
        let mut rig = Rig::start(&config);
        rig.rules(LotMethod::Hifo, true, 0);
        rig.ask(Command::BusinessDate(Date(10)));
        let list = forwards(WAITING, 7);
        let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
        rig.ask_all(inputs.clone());
        for (number, day) in (11..=13).enumerate() {
            rig.ask(Command::BusinessDate(Date(day)));
            if !(round + number as u64).is_multiple_of(3) {
                std::thread::sleep(std::time::Duration::from_micros(round * 37));
            }
            rig.host.crash();
            rig = Rig::start(&config);
            // What recovery found: the shard goes on with the rest at once.
            let found = rig.host.report().checkpoint_sequence + rig.host.report().records;
            let matured = |trade: &&Logged| trade.sequence <= found && trade.is_matured();
            let before = logged(&rig.host).iter().filter(matured).count();
            let due = list.iter().filter(|spec| spec.day <= day).count();
            partly += u32::from(before < due);
        }
        for answer in rig.ask_all(inputs) {
            assert_eq!(answer.status, Status::Trade(Class::Duplicate));
            assert_eq!(answer.first_class, Class::Forward);
        }
        let deadline = std::time::Instant::now() + PATIENCE;
        while rig.host.model().positions().iter().any(|view| view.forward_quantity_e8 != 0) || !settled(&rig) {
            assert!(std::time::Instant::now() < deadline, "trades go on waiting");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let mut matured: HashMap<u128, u32> = HashMap::new();
        for trade in logged(&rig.host).iter().filter(|trade| trade.is_matured()) {
            *matured.entry(trade.hash.0).or_default() += 1;
        }
        assert_eq!(matured.len(), WAITING as usize, "round {round}");
        assert!(matured.values().all(|&times| times == 1), "round {round}: matured twice");
        equals_oracle(&rig.host, &list, LotMethod::Hifo);
    }
    assert!(partly > 0, "no crash fell between a roll and its maturities");
}

fn settled(rig: &Rig) -> bool {
    logged(&rig.host).iter().filter(|trade| trade.is_matured()).count() == WAITING as usize
        && rig.host.wait_published(PATIENCE)
}

/// A forward-dated sell that its own day makes illegal is carried: short, exact, PENDING, named in the log.
#[test]
fn an_illegal_maturity_is_pending() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(dir.path());
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Fifo, false, 0);
    rig.ask(Command::BusinessDate(Date(10)));
    let list = [
        Spec::new(0, Side::Buy, 10 * E8, 2 * E8, 10),
        Spec::new(1, Side::Sell, 8 * E8, 3 * E8, 12),
        Spec::new(2, Side::Sell, 7 * E8, 4 * E8, 10),
    ];
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    let classes: Vec<_> = rig.ask_all(inputs).iter().map(|answer| answer.status).collect();
    let wanted = [Class::Applied, Class::Forward, Class::Provisional].map(Status::Trade);
    // The last two of day 10 share a key but for the id, so the sell is above the buy.
    assert_eq!(classes[..2], wanted[..2]);
    assert_eq!(classes[2], Status::Trade(Class::Applied));
    rig.ask(Command::BusinessDate(Date(12)));
    wait_matured(&rig, 1);
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
    for again in 0..2 {
        let view = rig.host.model().positions()[0].clone();
        assert_eq!((view.reconciliation, view.breaks.len(), view.quantity_e8), (Reconciliation::Pending, 1, -5 * E8));
        let reason = logged(&rig.host).iter().find(|trade| trade.is_matured()).map(|trade| trade.reason);
        assert_eq!(reason, Some(Reason::Oversell));
        if again == 0 {
            rig.host.crash();
            rig = Rig::start(&config);
        }
    }
}

/// A maturity needs no new trade id, and the shard knew; follower and recovery did not, and stopped when the
/// window of ids was full.
#[test]
fn maturities_with_a_full_window_of_ids() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.trade_ids_max = 3;
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Fifo, true, 0);
    rig.ask(Command::BusinessDate(Date(10)));
    let list: Vec<Spec> = (0..4).map(|id| Spec::new(id, Side::Buy, E8, E8, 11)).collect();
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    let answers = rig.ask_all(inputs);
    assert!(answers[..3].iter().all(|answer| answer.status == Status::Trade(Class::Forward)));
    assert_eq!((answers[3].status, answers[3].reason), (Status::Trade(Class::Rejected), Reason::TradeIdCapacity));
    rig.ask(Command::BusinessDate(Date(11)));
    wait_matured(&rig, 3);
    equals_oracle(&rig.host, &list[..3], LotMethod::Fifo);
    rig.host.crash();
    let rig = Rig::start(&config);
    equals_oracle(&rig.host, &list[..3], LotMethod::Fifo);
}
