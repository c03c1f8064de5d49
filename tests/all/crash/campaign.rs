//! A host under load, killed and started again, with a driver whose ledger knows what was promised.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lotbook_engine::phase::{Phase, Phases};
use lotbook_perf::burst::{BurstError, Target};
use lotbook_perf::driver::{Driver, Interrupted};
use lotbook_perf::fixclient::FixError;
use lotbook_perf::flow;
use lotbook_perf::ledger::{Kind, Ledger, Status};
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::text::date_of_days;
use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served, Terms};

use super::readback::{self, LogImage};
use super::trap::{self, Wire, Wish};

/// Business date of every campaign.
const BUSINESS_DATE_DAYS: i32 = 20_400;
/// The load comes in waves: so long nothing is offered, then everything that became due at once.
const EBB: Duration = Duration::from_millis(150);
/// Between two looks in the ebb.
const STEP: Duration = Duration::from_millis(5);
/// Most messages sent and not answered, so that a slow machine is not drowned.
const IN_FLIGHT_MAX: u64 = 6_000;
/// The trap waits until so many positions in a hundred are PROVISIONAL.
const LATE_PERCENT: u64 = 14;
/// A wave is over when this few are unanswered.
const IN_FLIGHT_LOW: u64 = 200;
/// Without an answer for so long, what is outstanding is asked for again.
const STALLED: Duration = Duration::from_millis(300);

/// A plan of `seconds`: over real sessions, with many late trades, so that positions are PROVISIONAL at any moment.
pub(crate) fn plan(seconds: u64, seed: u64) -> BurstPlan {
    BurstPlan {
        rate: 20_000,
        burst_multiplier: 1,
        seconds,
        positions: 1_000,
        accounts: 100,
        instruments: 50,
        seed,
        sessions: 4,
        // More late trades than are reconciled meanwhile.
        backdated_permille: 500,
        business_date_days: BUSINESS_DATE_DAYS,
        ..BurstPlan::default()
    }
}

/// Whether the session with this index was promised durability.
pub(crate) fn is_durable(session: u8) -> bool {
    session % 2 == 1
}

/// What was found at one kill.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) wanted: Phase,
    pub(crate) found: Vec<Phase>,
    pub(crate) in_flight: u64,
    /// PROVISIONAL positions and all, as the log has them.
    pub(crate) provisional: (usize, usize),
    pub(crate) acknowledged: u64,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found: Vec<&str> = self.found.iter().map(|phase| phase.as_str()).collect();
        let (provisional, positions) = self.provisional;
        write!(f, "wanted {:<10} found {:<34} ", self.wanted.as_str(), found.join("+"))?;
        write!(f, "in flight {:>5}, provisional {provisional:>4} of {positions:>4}, ", self.in_flight)?;
        write!(f, "acknowledged {}", self.acknowledged)
    }
}

/// See the module.
pub(crate) struct Campaign {
    pub(crate) place: Place,
    pub(crate) driver: Driver,
    pub(crate) log: LogImage,
    pub(crate) kills: Vec<Kill>,
    /// Trades whose answer was lost and that a possible resend found booked.
    pub(crate) asked_again: u64,
    /// Refusals of planted faults that were lost with a connection: nobody asks for them again.
    given_up: u64,
    /// All messages before this one are answered or given up.
    settled: usize,
    target: Target,
}

impl Campaign {
    pub(crate) fn new(plan: &BurstPlan) -> Self {
        let nowhere = "127.0.0.1:9".parse().expect("an address");
        let target = Target::new(nowhere, "LOTBOOK", plan.sessions);
        let terms = Terms {
            sessions: (0u8..)
                .zip(&target.sender_comp_ids)
                .map(|(at, sender)| (sender.clone(), if is_durable(at) { "durable" } else { "applied" }))
                .collect(),
            checkpoint_records: 20_000,
            business_date: date_of_days(plan.business_date_days).to_string(),
            trade_ids_max: 1 << 22,
        };
        let ledger = flow::generate(plan).expect("a sound plan");
        Self {
            place: Place::new(&terms),
            driver: Driver::new(plan, ledger, target.clone()),
            log: LogImage::new(),
            kills: Vec::new(),
            asked_again: 0,
            given_up: 0,
            settled: 0,
            target,
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.driver.ledger
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.ledger().entries.iter().filter(|entry| entry.status.accepted()).count() as u64
    }

    /// Messages that are still to be offered.
    pub(crate) fn left(&self) -> u64 {
        self.ledger().entries.len() as u64 - self.driver.sent()
    }

    /// Logs all sessions on, with the numbers as they stand.
    pub(crate) fn connect(&mut self, host: &Served) {
        self.target.fix_addr = host.fix;
        self.driver.retarget(self.target.clone());
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.driver.connect() {
            // A connection is closed while the host has not seen the end of the one before; initiators try again.
            let closed = matches!(error, BurstError::Session { error: FixError::Closed | FixError::Io(_), .. });
            assert!(closed && Instant::now() < deadline, "logging on again: {error}\n{}", self.place.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until everything that can be answered is, and asks again for what is not.
    pub(crate) fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let (mut left, mut moved_at) = (u64::MAX, Instant::now());
        loop {
            let drained = self.driver.drain(Duration::from_millis(20), &mut |_| {});
            drained.unwrap_or_else(|broken| {
                panic!("session {} broke after a restart: {}\n{}", broken.session, broken.error, self.place.said())
            });
            let now_left = self.answerable();
            if now_left == 0 {
                break;
            }
            if now_left < left {
                (left, moved_at) = (now_left, Instant::now());
            } else if moved_at.elapsed() > STALLED {
                self.asked_again += self.driver.ask_again();
                moved_at = Instant::now();
            }
            assert!(Instant::now() < deadline, "{now_left} messages stay unanswered");
        }
        self.given_up = self.driver.outstanding();
        self.settled = self.driver.sent() as usize;
        self.driver.pause();
    }

    /// Sent, unanswered, and to be answered when asked again. The refusal of a planted fault that was lost with a connection stays lost.
    fn answerable(&self) -> u64 {
        let sent = &self.ledger().entries[self.settled..self.driver.sent() as usize];
        let waits = sent.iter().filter(|entry| entry.status == Status::Sent);
        waits.filter(|entry| !matches!(entry.kind(), Kind::Invalid(_))).count() as u64
    }

    fn in_flight(&self) -> u64 {
        // A refusal that was given up may come after all, from the host's store.
        self.driver.outstanding().saturating_sub(self.given_up)
    }

    /// Offers nothing for a while, and looks how many positions are late.
    fn ebb(&mut self, host: &Served, wire: &Wire) -> Result<(), Interrupted> {
        let ripe = host.late_positions().is_some_and(|(late, all)| late > 0 && late * 100 >= all * LATE_PERCENT);
        wire.ripe.store(ripe, Ordering::Relaxed);
        let until = Instant::now() + EBB;
        while Instant::now() < until && !wire.dead.load(Ordering::Acquire) {
            self.driver.drain(STEP, &mut |_| {})?;
            wire.in_flight.store(self.in_flight(), Ordering::Relaxed);
            if self.in_flight() == 0 {
                std::thread::sleep(STEP);
            }
        }
        Ok(())
    }

    /// Offers the flow in waves until the host is dead or the time is over.
    pub(crate) fn load(&mut self, host: &Served, wire: &Wire, time: Duration) {
        assert!(self.left() > 0, "the plan is too short for this campaign");
        let until = Instant::now() + time;
        let (given_up, held) = (self.given_up, self.in_flight());
        while Instant::now() < until && !wire.dead.load(Ordering::Acquire) && self.left() > 0 {
            let ran = self.ebb(host, wire).and_then(|()| {
                let mut crest = false;
                self.driver.run(&mut |_| {}, &mut |driver| {
                    let in_flight = driver.outstanding().saturating_sub(given_up);
                    wire.in_flight.store(in_flight, Ordering::Relaxed);
                    crest |= in_flight > held + IN_FLIGHT_LOW;
                    wire.dead.load(Ordering::Acquire)
                        || Instant::now() > until
                        || in_flight > held + IN_FLIGHT_MAX
                        || (crest && in_flight <= held + IN_FLIGHT_LOW)
                })
            });
            if ran.is_ok() && self.in_flight() > held + IN_FLIGHT_MAX {
                self.catch_breath(wire, held, until);
            }
            if let Err(broken) = ran {
                let dead = (0..100).any(|_| {
                    std::thread::sleep(Duration::from_millis(10));
                    wire.dead.load(Ordering::Acquire)
                });
                let said = self.place.said();
                assert!(dead, "session {} broke on a living host: {}\n{said}", broken.session, broken.error);
            }
        }
    }

    /// The host cannot keep up: what comes due before it has is not caught up, or the next wave would be a flood.
    fn catch_breath(&mut self, wire: &Wire, held: u64, until: Instant) {
        self.driver.pause();
        while self.in_flight() > held + IN_FLIGHT_LOW && Instant::now() < until && !wire.dead.load(Ordering::Acquire) {
            if self.driver.drain(STEP, &mut |_| {}).is_err() {
                return;
            }
            wire.in_flight.store(self.in_flight(), Ordering::Relaxed);
        }
        if !wire.dead.load(Ordering::Acquire) {
            // Sets the clock going. A session that breaks now is seen by the next drain.
            let _ = self.driver.connect();
        }
    }

    /// Loads the host until the trap has killed it; then reads what it left behind and looks whether every promise is in it.
    pub(crate) fn kill_in(&mut self, mut host: Served, wish: Wish, free_run: Duration) {
        self.load(&host, &Wire::default(), free_run);
        let wire = Arc::new(Wire::default());
        let trap = trap::set(host.process.pid(), &self.place.data_dir(), wish, wire.clone());
        self.load(&host, &wire, wish.patience + Duration::from_secs(5));
        trap.join().expect("the trap");
        host.process.kill();
        self.driver.read_out(Duration::from_secs(5));
        self.driver.drop_connections();
        self.post_mortem(wish.phase);
    }

    /// Breaks every connection of a host that lives, and logs on again.
    pub(crate) fn lose_connections(&mut self, host: &Served) {
        self.load(host, &Wire::default(), Duration::from_millis(200));
        self.driver.drop_connections();
        self.connect(host);
    }

    /// Stops the host in order and starts it again: numbers go on from a clean end as well.
    pub(crate) fn stop_in_order(&mut self, host: Served) -> Served {
        let stopping = std::thread::spawn(move || host.process.stop());
        self.driver.read_out(Duration::from_secs(5));
        let status = stopping.join().expect("the thread that stops");
        assert!(status.success(), "{status}: {}", self.place.said());
        self.driver.drop_connections();
        let host = self.place.start();
        let health = host.json("/health/detailed");
        assert_eq!(health["recovery"]["log"]["clean"], true, "{health:#}");
        self.connect(&host);
        host
    }

    /// Starts the host and kills it while it recovers.
    pub(crate) fn kill_in_recovery(&mut self, delay: Duration) {
        let mut starting = self.place.spawn();
        trap::spring_in_recovery(starting.process.pid(), &self.place.data_dir(), delay);
        starting.process.kill();
        self.post_mortem(Phase::Recovery);
    }

    fn post_mortem(&mut self, wanted: Phase) {
        let found = Phases::read(&self.place.data_dir()).unwrap_or_default();
        self.log.read_on(&self.place.data_dir(), self.place.tail_dir());
        let in_flight = self.in_flight();
        let provisional = self.log.provisional();
        let acknowledged = self.acknowledged();
        self.every_promise_is_in_the_log(|_| true);
        let kill = Kill { wanted, found, in_flight, provisional, acknowledged };
        println!("kill {:>3} {kill}", self.kills.len() + 1);
        self.kills.push(kill);
    }

    /// Every acknowledged trade for whose session `counts` is in the log once, where the answer said.
    pub(crate) fn every_promise_is_in_the_log(&self, counts: impl Fn(u8) -> bool) {
        let ledger = self.ledger();
        let found = self.log.by_index(ledger);
        for (index, entry) in (0u32..).zip(&ledger.entries) {
            if entry.status.accepted() && counts(entry.session) {
                let (times, sequence) = found[index as usize];
                let id = ledger.trade_id(index);
                assert_eq!(times, 1, "{id}, acknowledged as {:?} on session {}", entry.status, entry.session);
                assert_eq!(sequence, entry.log_sequence, "{id}");
            }
        }
    }

    /// The whole verdict over a host that serves: log and positions against the recomputation.
    pub(crate) fn compare(&mut self, host: &Served) {
        host.wait_reconciled(PATIENCE);
        let seen = readback::positions(host);
        self.log.read_on(&self.place.data_dir(), self.place.tail_dir());
        let verdict = self.log.verdict(self.ledger(), &seen);
        assert!(verdict.exact(), "{verdict:#?}");
        assert_eq!(verdict.acknowledged, verdict.logged);
        let contradictions = self.driver.contradictions();
        assert_eq!(contradictions.count, 0, "{:?}", contradictions.examples);
        assert_eq!(self.driver.unknown_answers(), 0);
        assert_eq!(self.driver.unexpected_refusals().len(), 0, "{:?}", self.driver.unexpected_refusals());
    }
}
