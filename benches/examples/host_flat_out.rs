//! A whole host at its limit: trades through one door as fast as it takes them, with few and with many positions.
//!
//! `cargo run --release -p lotbook-benches --example host_flat_out -- [POSITIONS] [TRADES]`. Says trades a second from the first
//! submission to the last answer (`applied`); the door's thread and the shard have a core each where there are two.

use std::time::{Duration, Instant};

use lotbook_benches::{Flow, INSTRUMENTS};
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::rules::{ContractTerms, Rules};
use lotbook_engine::{Door, EngineConfig, Host, Request};

const SLICE: usize = 50_000;

fn main() {
    let mut args = std::env::args().skip(1).map(|n| n.parse().expect("a number"));
    let positions: u64 = args.next().unwrap_or(10_000);
    let count: u64 = args.next().unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut host = Host::start(&EngineConfig::new(dir.path().join("data"))).expect("a host");
    let mut door = host.open_door().expect("a door");
    let name = |class, text: &str| host.directory().resolve(class, text).expect("a name");
    let namespace = name(NameClass::Namespace, "bench");
    let contract = name(NameClass::Contract, "C");
    let accounts: Vec<NameId> =
        (0..positions.div_ceil(INSTRUMENTS)).map(|n| name(NameClass::Account, &format!("A{n}"))).collect();
    let instruments: Vec<NameId> = (0..INSTRUMENTS).map(|n| name(NameClass::Instrument, &format!("I{n}"))).collect();
    let rules = Rules { allow_short: true, ..Rules::DEFAULT };
    let terms = ContractTerms { contract, account: NO_NAME, instrument: NO_NAME, rules, effective_date: Date(0) };
    send(&mut door, &[Request { token: 0, origin: Origin::INTERNAL, command: Command::Contract(terms) }]);
    let (mut flow, mut batch) = (Flow::new(positions), Flow::batch(SLICE));
    let mut requests: Vec<Request> = Vec::with_capacity(SLICE);
    let (mut spent, mut sent) = (Duration::ZERO, 0);
    while sent < count {
        flow.fill(&mut batch);
        requests.clear();
        for input in &mut batch {
            let id = format!("{sent:012}");
            input.trade_id = TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY);
            input.hash = TradeHash::new(b"bench", id.as_bytes());
            input.namespace = namespace;
            input.account = accounts[input.account as usize];
            input.instrument = instruments[input.instrument as usize];
            requests.push(Request { token: sent, origin: Origin::INTERNAL, command: Command::Trade(*input) });
            sent += 1;
        }
        let start = Instant::now();
        send(&mut door, &requests);
        spent += start.elapsed();
    }
    let nanos = spent.as_nanos() as f64;
    println!(
        "{positions} positions: {:.0} ns a trade, {:.2} million trades/s",
        nanos / sent as f64,
        sent as f64 * 1e3 / nanos
    );
    drop(door);
    host.stop().expect("a stop");
}

fn send(door: &mut Door, requests: &[Request]) {
    let (mut answered, mut next) = (0, 0);
    while answered < requests.len() {
        while let Some(request) = requests.get(next)
            && door.submit(*request).is_ok()
        {
            next += 1;
        }
        while door.poll().is_some() {
            answered += 1;
        }
    }
}
