//! An embedded host on a temporary directory, driven through one door.
#![allow(unreachable_pub, dead_code, reason = "each test crate that includes it uses a part of it")]

use std::path::Path;
use std::time::{Duration, Instant};

use lotbook_core::command::{Command, InstrumentTerms, Mark, MarkKind, NameClass, Origin, Side, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_engine::{Answer, Door, EngineConfig, Host, Request};

pub const E8: i64 = 100_000_000;
/// 2020-03-05.
pub const DAY: i32 = 18_326;
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Rig {
    pub host: Host,
    door: Door,
    token: u64,
}

pub fn config(dir: &Path) -> EngineConfig {
    let mut config = EngineConfig::new(dir);
    config.segment_bytes = 1 << 20;
    config.tail_blocks = 32;
    config.limits = lotbook_core::Limits::SMALL;
    config.trade_ids_max = 1 << 14;
    config
}

impl Rig {
    pub fn start(dir: &Path) -> Self {
        let mut host = Host::start(&config(dir)).expect("a start");
        let door = host.open_door().expect("a door");
        Self { host, door, token: 0 }
    }

    pub fn ask(&mut self, command: Command) -> Answer {
        self.token += 1;
        let origin = Origin { source_offset: self.token, ..Origin::INTERNAL };
        self.door.submit(Request { token: self.token, origin, command }).expect("room in an idle door");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.door.poll() {
                return answer;
            }
            assert!(Instant::now() < deadline, "no answer: {:?}", self.host.error());
            lotbook_engine::wait::nap();
        }
    }

    pub fn name(&self, class: NameClass, text: &str) -> NameId {
        self.host.directory().resolve(class, text).expect("a name")
    }

    /// The usual beginning: shorts allowed, a business date, an instrument with a currency, a mark.
    pub fn lay_the_table(&mut self) {
        let contract = self.name(NameClass::Contract, "all");
        let rules = Rules { method: LotMethod::Fifo, allow_short: true, ..Rules::DEFAULT };
        let effective_date = Date(0);
        self.ask(Command::Contract(ContractTerms {
            contract,
            account: NO_NAME,
            instrument: NO_NAME,
            rules,
            effective_date,
        }));
        self.ask(Command::BusinessDate(Date(DAY)));
        let instrument = self.name(NameClass::Instrument, "EUR/USD");
        let currency = self.name(NameClass::Currency, "USD");
        self.ask(Command::Instrument(InstrumentTerms {
            instrument,
            currency,
            multiplier_e8: 50 * E8,
            tick_e8: 0,
            price_min_e8: 0,
            price_max_e8: 0,
            isin: [0; 12],
            cusip: [0; 9],
        }));
    }

    pub fn close(&mut self, instrument: &str, price_e8: i64) {
        let instrument = self.name(NameClass::Instrument, instrument);
        let at_ns = Date(DAY).end_ns();
        self.ask(Command::Mark(Mark { instrument, kind: MarkKind::OfficialClose, price_e8, ask_e8: 0, at_ns }));
    }

    /// A trade of whole units; `seconds` into the day of `date` order it.
    pub fn trade(
        &mut self,
        id: &str,
        position: (&str, &str),
        side: Side,
        units: i64,
        price: i64,
        when: (i32, i64),
    ) -> Answer {
        let (date, seconds) = when;
        let input = TradeInput {
            trade_id: TradeId::new(id.as_bytes()).expect("short"),
            hash: TradeHash::new(b"test", id.as_bytes()),
            namespace: self.name(NameClass::Namespace, "test"),
            account: self.name(NameClass::Account, position.0),
            instrument: self.name(NameClass::Instrument, position.1),
            side,
            quantity_e8: units * E8,
            price_e8: price * E8,
            fees_e8: E8 / 4,
            effective_date: Date(date),
            executed_at_ns: Date(date - 1).end_ns() + 1 + seconds * 1_000_000_000,
            source_order: self.token + 1,
            correlation: TradeId::new(format!("c-{id}").as_bytes()).expect("short"),
            ..TradeInput::EMPTY
        };
        self.ask(Command::Trade(input))
    }

    pub fn settle(&self) {
        assert!(self.host.wait_reconciled(PATIENCE), "{:?} {:?}", self.host.error(), self.host.dead_letters());
        let last = self.host.log().published_sequence();
        assert!(self.host.log().wait_durable(last, PATIENCE).expect("no latch"));
    }
}
