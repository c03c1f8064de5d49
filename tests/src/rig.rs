//! An embedded host on a temporary directory, driven through one door.

use std::path::Path;
use std::time::{Duration, Instant};

use lotbook_core::command::{Command, NameClass, Origin, Side, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_engine::{Answer, Directory, Door, EngineConfig, Host, NameError, Request};

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A host and its door.
#[derive(Debug)]
pub struct Rig {
    /// The host.
    pub host: Host,
    /// Its door.
    pub door: Door,
    next_token: u64,
}

/// A small configuration on a directory, with everything private inside it.
#[must_use]
pub fn config(dir: &Path) -> EngineConfig {
    let mut config = EngineConfig::new(dir.join("data"));
    std::fs::create_dir_all(dir.join("tail")).expect("a directory in a temporary directory");
    // Shared memory where there is any: the tail must not lie on the disk that is written.
    config.tail_dir = None;
    config.segment_bytes = 4 << 20;
    config.limits = limits();
    config.trade_ids_max = 1 << 20;
    config
}

/// Sizes of the book of such a host.
#[must_use]
pub fn limits() -> lotbook_core::Limits {
    lotbook_core::Limits { lots_max: 1 << 20, positions_max: 1 << 16, ..lotbook_core::Limits::SMALL }
}

/// A trade by its texts and whole numbers.
#[derive(Clone, Debug)]
pub struct T<'a> {
    /// Trade id.
    pub id: &'a str,
    /// Account.
    pub account: &'a str,
    /// Instrument.
    pub instrument: &'a str,
    /// Side.
    pub side: Side,
    /// Quantity at 10^-8.
    pub quantity_e8: i64,
    /// Price at 10^-8.
    pub price_e8: i64,
    /// Effective date.
    pub date: i32,
    /// Execution time.
    pub executed_at_ns: i64,
    /// Source order.
    pub order: u64,
}

/// Names of a host that may be busy: a definition that is not answered in time is asked for again.
pub trait Naming {
    /// The number of a name; defines it where it is new.
    ///
    /// # Panics
    /// Not within [`PATIENCE`].
    fn name(&self, class: NameClass, text: &str) -> NameId;
}

impl Naming for Directory {
    fn name(&self, class: NameClass, text: &str) -> NameId {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.resolve(class, text) {
                Ok(id) => return id,
                // A disk that many write to may let the log wait for longer than a definition does.
                Err(NameError::Unavailable) if Instant::now() < deadline => {}
                Err(error) => panic!("{class:?} {text}: {error}"),
            }
        }
    }
}

impl Rig {
    /// Starts a host.
    #[must_use]
    pub fn start(config: &EngineConfig) -> Self {
        let mut host = Host::start(config).unwrap_or_else(|error| panic!("start: {error}"));
        let door = host.open_door().expect("a first door");
        Self::over(host, door)
    }

    /// A rig over a host that was started otherwise.
    #[must_use]
    pub fn over(host: Host, door: Door) -> Self {
        Self { host, door, next_token: 0 }
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, command: Command) -> Answer {
        self.next_token += 1;
        let origin = Origin { source_offset: self.next_token, ..Origin::INTERNAL };
        let request = Request { token: self.next_token, origin, command };
        self.door.submit(request).expect("room in an idle door");
        self.await_answer()
    }

    /// Waits for the next answer.
    pub fn await_answer(&mut self) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.door.poll() {
                return answer;
            }
            assert!(Instant::now() < deadline, "no answer");
            assert!(!self.door.is_abandoned(), "the shard is gone: {:?}", self.host.error());
            lotbook_engine::wait::nap();
        }
    }

    /// Sends many trades, keeping the door busy; gives the answers in order.
    pub fn ask_all(&mut self, inputs: impl IntoIterator<Item = TradeInput>) -> Vec<Answer> {
        let mut answers = Vec::new();
        for input in inputs {
            self.next_token += 1;
            let origin = Origin { source_offset: self.next_token, ..Origin::INTERNAL };
            while !self.door.has_room() {
                answers.push(self.await_answer());
            }
            let request = Request { token: self.next_token, origin, command: Command::Trade(input) };
            self.door.submit(request).expect("room was asked for");
        }
        while self.door.outstanding() > 0 {
            answers.push(self.await_answer());
        }
        answers
    }

    /// The command for a trade, its names defined.
    #[must_use]
    pub fn input(&self, trade: &T<'_>) -> TradeInput {
        let directory = self.host.directory();
        TradeInput {
            trade_id: TradeId::new(trade.id.as_bytes()).expect("a short id"),
            hash: TradeHash::new(b"test", trade.id.as_bytes()),
            namespace: directory.name(NameClass::Namespace, "test"),
            account: directory.name(NameClass::Account, trade.account),
            instrument: directory.name(NameClass::Instrument, trade.instrument),
            side: trade.side,
            quantity_e8: trade.quantity_e8,
            price_e8: trade.price_e8,
            effective_date: Date(trade.date),
            executed_at_ns: trade.executed_at_ns,
            source_order: trade.order,
            correlation: TradeId::new(b"test-correlation").expect("short"),
            ..TradeInput::EMPTY
        }
    }

    /// Rules for every account and instrument from a date on.
    pub fn rules(&mut self, method: LotMethod, allow_short: bool, from: i32) -> Answer {
        let contract = self.host.directory().name(NameClass::Contract, "default");
        self.ask(Command::Contract(ContractTerms {
            contract,
            account: NO_NAME,
            instrument: NO_NAME,
            rules: Rules { method, allow_short, ..Rules::DEFAULT },
            effective_date: Date(from),
        }))
    }
}
