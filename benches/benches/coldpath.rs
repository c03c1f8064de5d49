//! The coldpath through a whole host, beside the bare replay loop on the same trades in the same run.
//!
//! `cargo bench -p lotbook-benches --bench coldpath [-- --long] [--backlog]`. First without a host: a replay that is late by so many trades beside the
//! decisions of those alone, in histories of two lengths; and what an estimate costs the hot thread. Then through a host: from the acceptance of a late trade until the read
//! model shows its position RECONCILED, for streams of several lengths, late by one trade and by all of them (`--long`: a
//! million trades too); a trade's way to its answer beside a coldpath that is idle and one that is saturated; one position that does not stop trading while one trade in a hundred is late; and a backlog of positions with one
//! late trade each, drained. The side log is synced on the disk under the temporary directory, so compare within one run only.

use std::time::{Duration, Instant};

use lotbook_benches::course::{Replays, in_order, late};
use lotbook_benches::{Rng, book, decide_and_apply};
use lotbook_core::Scratch;
use lotbook_core::command::{Command, NameClass, Origin, Side, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::history::Item;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::replay::replay;
use lotbook_core::rules::{ContractBook, ContractTerms, LotMethod, Rules};
use lotbook_engine::wait::nap;
use lotbook_engine::{Door, EngineConfig, Host, Request};

const E8: i64 = 100_000_000;
const PATIENCE: Duration = Duration::from_secs(600);

struct Desk {
    host: Host,
    door: Door,
    token: u64,
    names: (NameId, NameId, NameId),
    rng: Rng,
    _dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut host = Host::start(&EngineConfig::new(dir.path().join("data"))).expect("a host");
        let door = host.open_door().expect("a door");
        let name = |class, text: &str| host.directory().resolve(class, text).expect("a name");
        let names =
            (name(NameClass::Namespace, "bench"), name(NameClass::Instrument, "I"), name(NameClass::Contract, "C"));
        let mut desk = Self { host, door, token: 0, names, rng: Rng(1), _dir: dir };
        let rules = Rules { allow_short: true, ..Rules::DEFAULT };
        let terms =
            ContractTerms { contract: names.2, account: NO_NAME, instrument: NO_NAME, rules, effective_date: Date(0) };
        desk.send(Command::Contract(terms));
        desk.drain();
        desk
    }

    fn account(&self, text: &str) -> NameId {
        self.host.directory().resolve(NameClass::Account, text).expect("a name")
    }

    /// A trade that comes as the `at`th of its position's history.
    fn trade(&mut self, account: NameId, at: i64) -> TradeInput {
        let id = format!("{:012}", self.token);
        let roll = self.rng.draw();
        TradeInput {
            trade_id: TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY),
            hash: TradeHash::new(b"bench", id.as_bytes()),
            namespace: self.names.0,
            account,
            instrument: self.names.1,
            side: if roll & 1 == 0 { Side::Buy } else { Side::Sell },
            quantity_e8: (1 + (roll >> 8) % 100) as i64 * E8,
            price_e8: (5_000 + (roll >> 20) % 1_000) as i64 * 1_000_000,
            effective_date: Date(100),
            executed_at_ns: at,
            source_order: self.token,
            ..TradeInput::EMPTY
        }
    }

    fn send(&mut self, command: Command) {
        self.token += 1;
        let mut request = Request { token: self.token, origin: Origin::INTERNAL, command };
        while let Err(back) = self.door.submit(request) {
            request = back;
            self.drain();
        }
    }

    fn drain(&mut self) {
        while self.door.outstanding() > 0 {
            if self.door.poll().is_none() {
                nap();
            }
        }
    }

    /// Until nothing is PROVISIONAL in what readers see.
    fn settle(&self) {
        assert!(self.host.wait_reconciled(PATIENCE), "{:?} {:?}", self.host.error(), self.host.dead_letters());
    }
}

fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn latency(length: usize, repeats: usize) {
    for by_all in [false, true] {
        let mut desk = Desk::new();
        let account = desk.account("A");
        let mut items = Vec::with_capacity(length);
        for at in 0..length as i64 {
            let input = desk.trade(account, 10 * (at + 1));
            items.push(Item::Trade(input));
            desk.send(Command::Trade(input));
        }
        desk.drain();
        desk.settle();
        let mut took = Vec::with_capacity(repeats);
        for repeat in 0..repeats as i64 {
            let at = if by_all { -repeat } else { 10 * length as i64 - 1 };
            let input = desk.trade(account, at);
            desk.send(Command::Trade(input));
            desk.drain();
            let began = Instant::now();
            desk.settle();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let contracts = ContractBook::new(1);
        let mut scratch = Scratch::unbounded();
        let began = Instant::now();
        let bare = replay(&mut items, &contracts, E8, &mut scratch).expect("an outcome");
        let bare_took = began.elapsed();
        assert_eq!(bare.trades.len(), length);
        println!(
            "{length:>9} trades, late by {}: p50 {:>9.3} ms, p99 {:>9.3} ms; bare replay {:>9.3} ms ({:.0} ns a trade)",
            if by_all { "all" } else { "one" },
            percentile(&took, 0.5).as_secs_f64() * 1e3,
            percentile(&took, 0.99).as_secs_f64() * 1e3,
            bare_took.as_secs_f64() * 1e3,
            bare_took.as_nanos() as f64 / length as f64,
        );
    }
}

/// One position at so many trades a second, one in a hundred late by fifty places.
fn hot(rate: u32, seconds: u32) {
    let mut desk = Desk::new();
    let account = desk.account("A");
    let gap = Duration::from_secs(1) / rate;
    let began = Instant::now();
    let mut sent = 0u32;
    while sent < rate * seconds {
        let at = i64::from(sent) * 10;
        let is_late = sent % 100 == 99;
        let input = desk.trade(account, if is_late { at - 500 } else { at });
        desk.send(Command::Trade(input));
        sent += 1;
        while began.elapsed() < gap * sent {
            let _ = desk.door.poll();
            nap();
        }
    }
    desk.drain();
    let offered = began.elapsed();
    let during = desk.host.counters().corrections();
    let rebooked = desk.host.counters().rebooked();
    desk.settle();
    println!(
        "{rate} trades a second on one position for {:.1} s: {} corrections while it traded, {} stale, {rebooked} trades booked again; reconciled {:.1} ms after the last",
        offered.as_secs_f64(),
        during.0,
        during.1,
        (began.elapsed() - offered).as_secs_f64() * 1e3,
    );
}

fn backlog(positions: usize) {
    let mut desk = Desk::new();
    desk.host.coldpath().pause();
    let accounts: Vec<NameId> = (0..positions).map(|n| desk.account(&format!("A{n}"))).collect();
    for at in [10, 20, 5] {
        for &account in &accounts {
            let input = desk.trade(account, at);
            desk.send(Command::Trade(input));
        }
    }
    desk.drain();
    assert!(desk.host.wait_published(PATIENCE));
    let began = Instant::now();
    desk.host.coldpath().resume();
    desk.settle();
    let took = began.elapsed().as_secs_f64();
    println!("{positions} positions with one late trade each: {took:.2} s, {:.0} a second", positions as f64 / took);
}

/// What a replay takes that is late by so many of so many trades, its trade's way into the order included; median.
fn late_by(count: u64, by: u64) -> (Duration, usize) {
    let list = in_order(count);
    let mut replays = Replays::of(&list);
    let mut took: Vec<Duration> = (0..99)
        .map(|n| {
            let input = late(&list, by, n);
            let began = Instant::now();
            replays.add(input, true);
            let outcome = replays.replay();
            let took = began.elapsed();
            assert!(outcome.trades.len() as u64 > by && outcome.trades.len() as u64 <= by + 100);
            took
        })
        .collect();
    took.sort_unstable();
    (took[took.len() / 2], replays.booked())
}

/// Decide and apply of the last so many trades, on a book that has those before; median.
fn suffix_alone(count: u64, by: u64) -> Duration {
    let list = in_order(count);
    let mut took: Vec<Duration> = (0..if by > 10_000 { 3 } else { 9 })
        .map(|_| {
            let (mut book, mut scratch) = (book(1, LotMethod::Fifo), Scratch::new());
            decide_and_apply(&mut book, &mut scratch, &list[..(count - by) as usize]);
            let began = Instant::now();
            decide_and_apply(&mut book, &mut scratch, &list[(count - by) as usize..]);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

/// A replay beside the bare booking of what it must book, and beside the same in a log ten times as long.
fn replays() {
    for by in [1, 10, 100, 1_000, 10_000] {
        for count in [10_000, 100_000u64] {
            let (took, booked) = late_by(count, by);
            let alone = suffix_alone(count, by);
            println!(
                "replay of {count:>7} trades late by {by:>6}: {:>9.1} us, {booked} booked; decide and apply of those alone {:>9.1} us: {:.2} times",
                took.as_secs_f64() * 1e6,
                alone.as_secs_f64() * 1e6,
                took.as_secs_f64() / alone.as_secs_f64(),
            );
        }
    }
}

/// What a late trade costs the hot thread beside one in order, both on a book of one position.
fn estimates() {
    let list = in_order(90_000);
    let (mut book, mut scratch) = (book(1, LotMethod::Fifo), Scratch::new());
    decide_and_apply(&mut book, &mut scratch, &list[..50_000]);
    let mut took = [false, true].map(|is_late| {
        let from = if is_late { 70_000 } else { 50_000 };
        let batch: Vec<TradeInput> = list[from..from + 20_000]
            .iter()
            .enumerate()
            .map(|(n, t)| {
                let id = format!("{is_late}{n:08}");
                let executed_at_ns = if is_late { 7 } else { t.executed_at_ns };
                let trade_id = TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY);
                TradeInput { trade_id, hash: TradeHash::new(b"bench", id.as_bytes()), executed_at_ns, ..*t }
            })
            .collect();
        let began = Instant::now();
        decide_and_apply(&mut book, &mut scratch, &batch);
        began.elapsed().as_nanos() as f64 / batch.len() as f64
    });
    took.iter_mut().for_each(|ns| *ns = ns.round());
    println!("decide and apply in order {} ns a trade, late {} ns", took[0], took[1]);
}

/// From the submission of a trade to its answer, one after the other, while workers have nothing to do or never an end of it.
fn hot_beside() {
    for is_saturated in [false, true] {
        let mut desk = Desk::new();
        let (quiet, busy) = (desk.account("Q"), desk.account("B"));
        for at in 0..20_000 {
            let input = desk.trade(busy, 10 * (at + 1));
            desk.send(Command::Trade(input));
        }
        desk.drain();
        desk.settle();
        let mut took = Vec::with_capacity(40_000);
        for at in 0..40_000 {
            if is_saturated && at % 100 == 0 {
                // Late by all: workers replay the whole without end.
                let input = desk.trade(busy, -at);
                desk.send(Command::Trade(input));
                desk.drain();
            }
            let input = desk.trade(quiet, at);
            let began = Instant::now();
            desk.send(Command::Trade(input));
            desk.drain();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let us = |share| percentile(&took, share).as_secs_f64() * 1e6;
        println!(
            "a trade's way to its answer, coldpath {}: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us",
            if is_saturated { "saturated" } else { "idle" },
            us(0.5),
            us(0.99),
            us(0.999),
        );
    }
}

fn main() {
    let is_long = std::env::args().any(|arg| arg == "--long");
    let only_backlog = std::env::args().any(|arg| arg == "--backlog");
    println!("{} cores, {} workers", std::thread::available_parallelism().map_or(1, usize::from), 2);
    if only_backlog {
        return backlog(if is_long { 100_000 } else { 10_000 });
    }
    replays();
    estimates();
    for (length, repeats) in [(10, 200), (1_000, 200), (10_000, 50)] {
        latency(length, repeats);
    }
    if is_long {
        latency(1_000_000, 3);
    }
    for rate in [1_000, 10_000, 50_000] {
        hot(rate, 3);
    }
    hot_beside();
    backlog(if is_long { 100_000 } else { 10_000 });
}
