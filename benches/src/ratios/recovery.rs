//! The start of a host from its log alone: recovery of the log, both states, and the read model.

use std::time::{Duration, Instant};

use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, TradeId};
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_core::{Limits, Scratch};
use lotbook_engine::wait::nap;
use lotbook_engine::{Door, EngineConfig, Host, Request};

use super::disk::temporary;
use super::{Best, Pair};
use crate::{Flow, book, decide_and_apply};

const POSITIONS: u64 = 1_000;
const TRADES: usize = 256 * 1_200;
const PATIENCE: Duration = Duration::from_secs(600);

/// From the directory of a host that was killed, without a checkpoint, until it serves; against deciding and applying its trades from memory.
pub(super) fn started() -> Pair {
    let dir = temporary();
    let mut config = EngineConfig::new(dir.path().join("data"));
    // No checkpoint: all comes from the log.
    (config.checkpoint_records, config.tail_dir) = (0, Some(dir.path().to_path_buf()));
    config.limits = Limits { positions_max: 1 << 12, lots_max: 1 << 17, ..Limits::HOST };
    config.trade_ids_max = TRADES.next_power_of_two();
    let mut trades = Flow::batch(TRADES);
    Flow::new(POSITIONS).fill(&mut trades);
    fill(&config, &trades);
    let (mut ours, mut limit) = (Best::new(), Best::new());
    for _ in 0..3 {
        let start = Instant::now();
        let host = Host::start(&config).expect("a host");
        ours = ours.or(start.elapsed());
        host.crash();
        let (mut book, mut scratch) = (book(POSITIONS, LotMethod::Fifo), Scratch::new());
        let start = Instant::now();
        decide_and_apply(&mut book, &mut scratch, &trades);
        limit = limit.or(start.elapsed());
    }
    (ours.get() / TRADES as f64, limit.get() / TRADES as f64)
}

/// Books the trades, and kills the host once they are durable.
fn fill(config: &EngineConfig, trades: &[lotbook_core::TradeInput]) {
    let mut host = Host::start(config).expect("a host");
    let mut door = host.open_door().expect("a door");
    let name = |class, text: &str| host.directory().resolve(class, text).expect("a name");
    let (namespace, contract) = (name(NameClass::Namespace, "bench"), name(NameClass::Contract, "C"));
    let accounts: Vec<_> =
        (0..POSITIONS.div_ceil(crate::INSTRUMENTS)).map(|n| name(NameClass::Account, &format!("A{n}"))).collect();
    let instruments: Vec<_> = (0..crate::INSTRUMENTS).map(|n| name(NameClass::Instrument, &format!("I{n}"))).collect();
    let rules = Rules { allow_short: true, ..Rules::DEFAULT };
    let terms = ContractTerms { contract, account: NO_NAME, instrument: NO_NAME, rules, effective_date: Date(0) };
    send(&mut door, 0, Command::Contract(terms));
    for (n, input) in trades.iter().enumerate() {
        let mut input = *input;
        let id = format!("{n:012}");
        (input.trade_id, input.namespace) = (TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY), namespace);
        (input.account, input.instrument) = (accounts[input.account as usize], instruments[input.instrument as usize]);
        send(&mut door, n as u64 + 1, Command::Trade(input));
    }
    while door.outstanding() > 0 {
        if door.poll().is_none() {
            nap();
        }
    }
    assert!(host.wait_published(PATIENCE), "{:?}", host.error());
    host.crash();
}

fn send(door: &mut Door, token: u64, command: Command) {
    let mut request = Request { token, origin: Origin::INTERNAL, command };
    while let Err(back) = door.submit(request) {
        request = back;
        while door.poll().is_some() {}
        nap();
    }
}
