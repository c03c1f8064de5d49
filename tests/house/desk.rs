//! A desk: sends lines to a host or to a house, kills and starts it again, and says what its book is in the end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use lotbook_core::command::{Command, Origin};
use lotbook_core::event::Reason;
use lotbook_core::position::Reconciliation;
use lotbook_engine::house::{HouseDoor, HouseOptions, Step, StepHook};
use lotbook_engine::{Answer, Directory, Door, EngineConfig, Host, House, PositionView, Request, Status};
use lotbook_tests::rig::PATIENCE;

use crate::lines::Line;

/// A small configuration with everything private inside the directory.
pub(crate) fn config(dir: &Path) -> EngineConfig {
    let mut config = lotbook_tests::rig::config(dir);
    config.tail_dir = Some(dir.join("tail"));
    config.segment_bytes = 256 << 10;
    config.tail_blocks = 8;
    config.trade_ids_max = 1 << 12;
    config.limits = lotbook_core::Limits { lots_max: 1 << 14, positions_max: 1 << 8, ..lotbook_core::Limits::SMALL };
    config
}

/// Ends the courier at its n-th step from now; never, while negative.
#[derive(Clone, Debug)]
pub(crate) struct Trap {
    left: Arc<AtomicI64>,
    pub(crate) fired: Arc<AtomicBool>,
}

impl Trap {
    pub(crate) fn never() -> Self {
        Self { left: Arc::new(AtomicI64::new(-1)), fired: Arc::default() }
    }

    pub(crate) fn after(steps: i64) -> Self {
        Self { left: Arc::new(AtomicI64::new(steps)), fired: Arc::default() }
    }

    fn hook(&self) -> StepHook {
        let Self { left, fired } = self.clone();
        StepHook(Arc::new(move |_: Step| {
            if left.load(Ordering::Acquire) < 0 {
                return true;
            }
            let goes_on = left.fetch_sub(1, Ordering::AcqRel) > 0;
            if !goes_on {
                fired.store(true, Ordering::Release);
            }
            goes_on
        }))
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.fired.load(Ordering::Acquire)
    }
}

enum Works {
    Alone(Host, Door),
    House(House, HouseDoor),
}

/// See the module's text.
pub(crate) struct Desk {
    config: EngineConfig,
    shards: u16,
    works: Option<Works>,
    pub(crate) trap: Trap,
    tokens: u64,
}

impl Desk {
    /// With one host where `shards` is 0, else with a house.
    pub(crate) fn open(config: &EngineConfig, shards: u16) -> Self {
        let mut desk = Self { config: config.clone(), shards, works: None, trap: Trap::never(), tokens: 0 };
        desk.start(Trap::never());
        desk
    }

    pub(crate) fn start(&mut self, trap: Trap) {
        let works = if self.shards == 0 {
            let mut host = Host::start(&self.config).unwrap_or_else(|error| panic!("start: {error}"));
            let door = host.open_door().expect("a first door");
            Works::Alone(host, door)
        } else {
            let options = HouseOptions { hook: Some(trap.hook()), ..HouseOptions::default() };
            let mut house = House::start_with(&self.config, self.shards, options)
                .unwrap_or_else(|error| panic!("start of {} shards: {error}", self.shards));
            let door = house.open_door().expect("a first door");
            Works::House(house, door)
        };
        self.trap = trap;
        self.works = Some(works);
    }

    fn works(&mut self) -> &mut Works {
        self.works.as_mut().expect("started")
    }

    pub(crate) fn house(&mut self) -> &mut House {
        match self.works() {
            Works::House(house, _) => house,
            Works::Alone(..) => panic!("one host is no house"),
        }
    }

    fn names(&mut self) -> Arc<Directory> {
        match self.works() {
            Works::Alone(host, _) => host.directory().clone(),
            Works::House(house, _) => house.directory().clone(),
        }
    }

    fn error(&mut self) -> String {
        match self.works() {
            Works::Alone(host, _) => format!("{:?} {:?}", host.error(), host.dead_letters()),
            Works::House(house, _) => {
                let of = |host: &Host| {
                    let model = host.model();
                    let at = (model.sequence(), model.published_sequence(), host.log().published_sequence());
                    let held: Vec<_> =
                        model.held().iter().map(|h| format!("{} of {}", h.amend_id, h.target_id)).collect();
                    let waits = (model.provisional_positions(), model.changes_pending(), model.outbox().targets.len());
                    format!("at {at:?} waits {waits:?} held {held:?} dead {:?}", host.dead_letters())
                };
                format!("{:?} {:#?}", house.error(), house.hosts().map(of).collect::<Vec<_>>())
            }
        }
    }

    /// As a command; names that are new are waited for.
    pub(crate) fn command(&mut self, line: &Line) -> Command {
        line.command(&self.names())
    }

    /// Sends without waiting. Names that are new are waited for.
    pub(crate) fn send(&mut self, line: &Line) {
        let command = line.command(&self.names());
        self.send_command(command);
    }

    pub(crate) fn send_command(&mut self, command: Command) {
        self.tokens += 1;
        let origin = Origin { source_offset: self.tokens, ..Origin::INTERNAL };
        let request = Request { token: self.tokens, origin, command };
        let sent = match self.works() {
            Works::Alone(_, door) => door.submit(request).is_ok(),
            Works::House(_, door) => door.submit(request).is_ok(),
        };
        assert!(sent, "a door has room for a test");
    }

    pub(crate) fn poll(&mut self) -> Option<Answer> {
        match self.works() {
            Works::Alone(_, door) => door.poll(),
            Works::House(_, door) => door.poll(),
        }
    }

    /// Waits for the next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.poll() {
                return answer;
            }
            assert!(Instant::now() < deadline, "no answer: {}", self.error());
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// Sends and waits.
    pub(crate) fn ask(&mut self, line: &Line) -> (Status, Reason) {
        self.send(line);
        let answer = self.answer();
        assert!(!matches!(answer.status, Status::Unknown | Status::OutOfSpace), "{line:?}: {answer:?}");
        (answer.status, answer.reason)
    }

    /// Waits until nothing is to be done. `false`: the trap has fired, and nothing goes on.
    pub(crate) fn settle(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let short = Duration::from_millis(200);
            let settled = match self.works() {
                Works::Alone(host, _) => host.wait_reconciled(short) && host.wait_published(short),
                Works::House(house, _) => house.wait_reconciled(short),
            };
            if settled || self.trap.has_fired() {
                return settled;
            }
            assert!(Instant::now() < deadline, "not reconciled: {}", self.error());
        }
    }

    /// Kills everything, now.
    pub(crate) fn kill(&mut self) {
        match self.works.take().expect("started") {
            Works::Alone(host, _door) => host.crash(),
            Works::House(house, _door) => house.crash(),
        }
    }

    /// Takes away what is in the memory of logs that are not running, each as asked: what a power cut leaves is on the disk. Says how many.
    pub(crate) fn lose_tails(&mut self, mut is_lost: impl FnMut() -> bool) -> u64 {
        let dir = self.config.tail_dir.as_ref().expect("a directory of its own");
        let mut tails: Vec<_> =
            std::fs::read_dir(dir).expect("the tails").map(|entry| entry.expect("a tail").path()).collect();
        tails.sort_unstable();
        tails.retain(|_| is_lost());
        tails.iter().for_each(|tail| std::fs::remove_file(tail).expect("a file"));
        tails.len() as u64
    }

    /// Waits until everything that was decided is on the disk.
    pub(crate) fn wait_durable(&mut self) {
        let logs: Vec<_> = match self.works() {
            Works::Alone(host, _) => vec![host.log().clone()],
            Works::House(house, _) => house.hosts().map(|host| host.log().clone()).collect(),
        };
        for log in logs {
            assert!(log.wait_durable(log.published_sequence(), PATIENCE).expect("a log that goes on"));
        }
    }

    pub(crate) fn stop(&mut self) {
        match self.works.take().expect("started") {
            Works::Alone(host, door) => {
                drop(door);
                host.stop().unwrap_or_else(|error| panic!("stop: {error}"));
            }
            Works::House(house, door) => {
                drop(door);
                house.stop().unwrap_or_else(|error| panic!("stop: {error}"));
            }
        }
    }

    pub(crate) fn positions(&mut self) -> Vec<Arc<PositionView>> {
        match self.works() {
            Works::Alone(host, _) => host.model().positions(),
            Works::House(house, _) => house.positions(),
        }
    }

    pub(crate) fn economic_digest(&mut self) -> u64 {
        match self.works() {
            Works::Alone(host, _) => host.model().economic_digest(),
            Works::House(house, _) => house.economic_digest(),
        }
    }
}

/// All that a position has, apart from versions and sequences, which depend on how things came.
pub(crate) fn shown(view: &PositionView) -> String {
    let lots: Vec<String> = view
        .lots
        .iter()
        .map(|lot| {
            format!(
                "{}:{}@{}/{} {:?} {}",
                lot.trade_id, lot.quantity_e8, lot.cost_e16, lot.price_e8, lot.acquired, lot.base_cost_e16
            )
        })
        .collect();
    let mut breaks: Vec<String> =
        view.breaks.iter().map(|broken| format!("{}:{}", broken.trade_id, broken.reason.code())).collect();
    breaks.sort_unstable();
    format!(
        "{}/{} {} {} realized {}/{}/{} cost {}/{} fees {} dividends {} forward {} {:?} breaks {breaks:?} lots {lots:?}",
        view.account,
        view.instrument,
        view.reconciliation.as_str(),
        view.quantity_e8,
        view.realized_e16,
        view.realized_long_e16,
        view.realized_base_e16,
        view.cost_e16,
        view.base_cost_e16,
        view.fees_e16,
        view.dividends_e16,
        view.forward_quantity_e8,
        view.last_effective_date,
    )
}

/// Whether a position is as one that never was: it may be there or not, by how things came.
pub(crate) fn is_nothing(view: &PositionView) -> bool {
    view.lots.is_empty()
        && view.realized_e16 == 0
        && view.dividends_e16 == 0
        && view.forward_quantity_e8 == 0
        && view.reconciliation == Reconciliation::Reconciled
}
