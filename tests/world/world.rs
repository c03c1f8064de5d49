//! The world: one seed decides what is traded, whose turn it is, what time it is, what fails and when everything dies.
//!
//! Chaos first: lives end by kills and power cuts, until the client has been told of all it asked for or the lives run out. Then the
//! faults stop, and within a bound of turns everything must be answered, durable and RECONCILED, and be the naive model's book. A last
//! kill and a last start must give the same book again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lotbook_core::Limits;
use lotbook_engine::clock::Clock;
use lotbook_engine::coldpath::{ColdConfig, Order};
use lotbook_engine::{EngineConfig, StartError};
use lotbook_perf::rng::Rng;
use lotbook_tests::naive::in_force::Method;
use lotbook_wal::Disk;
use lotbook_wal::sim::{Call, Cut, Failure, Random, SimDisk, Stop};

use crate::actor::WorldClock;
use crate::audit::{Auditor, Counts, Finding};
use crate::client::Client;
use crate::life::{KINDS, Life, WEIGHTS, Who};
use crate::mischief::{self, Mischief};
use crate::naive::draw::{Draw, FLAVOURS};
use crate::naive::draw_world::DrawWorld;
use crate::oracle;
use crate::tally::{Tally, Trace};

const METHODS: [Method; 6] = [Method::Fifo, Method::Lifo, Method::Hifo, Method::Lofo, Method::Average, Method::MinTax];

const LIMITS: Limits = Limits {
    positions_max: 16,
    lots_max: 1 << 12,
    names_max: 64,
    forwards_max: 1 << 10,
    contracts_max: 256,
    ..Limits::SMALL
};

/// Turns after the last fault until everything must be RECONCILED.
const TURNS_TO_SETTLE: u64 = 200_000;
/// A worker that has a position for longer hangs.
const HUNG_AFTER: Duration = Duration::from_millis(200);

/// How things go for a while.
struct Mood {
    weights: [u64; KINDS],
    until_turn: u64,
    /// Longest step of time, in powers of two of a nanosecond.
    time_bits: u64,
}

/// One seed's world.
pub(crate) struct World {
    random: Random,
    clock: Arc<WorldClock>,
    disk: SimDisk,
    config: EngineConfig,
    client: Client,
    auditor: Auditor,
    trace: Trace,
    pub(crate) tally: Tally,
    turn: u64,
    mood: Mood,
    /// Calls fail, or the disk is full, since this life began.
    is_faulty: bool,
    is_full: bool,
    /// In a hundred: how often the client sends what was answered.
    resends_percent: u64,
    /// Why this life cannot go on.
    over: Option<String>,
}

/// What one seed came to.
pub(crate) struct Report {
    pub(crate) tally: Tally,
    pub(crate) hash: u64,
    /// What was wrong, if anything was.
    pub(crate) problem: Option<String>,
    pub(crate) lines: Vec<String>,
    /// What the log has of the client's steps: what became of each, and its line for `lotbook replay`.
    pub(crate) history: Vec<String>,
}

/// What is asked for in a world.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asks {
    /// Everything.
    All,
    /// All but marks, locks and resolutions: the worlds of a time at which there were none.
    History,
}

/// Runs a seed.
pub(crate) fn run(seed: u64, keeps_lines: bool) -> Report {
    run_with(seed, Asks::All, keeps_lines)
}

/// Runs a seed in which only so much is asked for.
pub(crate) fn run_with(seed: u64, asks: Asks, keeps_lines: bool) -> Report {
    let mut world = World::new(seed, asks, keeps_lines);
    let before = mischief::set(Some(Mischief {
        random: world.random.fork(),
        clock: world.clock.clone(),
        panics_percent: 0,
        hangs_percent: 0,
        hang_ns: 3 * HUNG_AFTER.as_nanos() as u64,
        breaks_percent: 0,
        is_over: false,
        panics: 0,
        hangs: 0,
    }));
    let problem = world.all().err();
    let mischief = mischief::set(before).expect("set above");
    world.finish(problem, &mischief)
}

impl World {
    fn new(seed: u64, asks: Asks, keeps_lines: bool) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.bits());
        disk.set_direct(random.percent(50));
        if keeps_lines {
            disk.keep_trace();
        }
        let clock = Arc::new(WorldClock::at_ns(1_700_000_000_000_000_000));
        let mut config = EngineConfig::new("/data/books");
        config.tail_dir = Some(PathBuf::from("/dev/shm"));
        config.segment_bytes = random.pick(&[128 << 10, 128 << 10, 256 << 10]);
        config.tail_blocks = random.within(4, 8) as u32;
        config.flushes_in_flight = random.pick(&[1, 2, 2, 3]) as usize;
        (config.limits, config.trade_ids_max) = (LIMITS, 1 << 10);
        config.checkpoint_records = random.pick(&[0, 20, 20, 60, 200]);
        config.checkpoint_disk = Arc::new(disk.clone());
        config.clock = Clock::simulated(clock.clone());
        config.cold = ColdConfig {
            order: if random.percent(50) { Order::NewestFirst } else { Order::OldestFirst },
            service_level: Duration::from_millis(500),
            hung_after: HUNG_AFTER,
            on_stage: Some(mischief::on_stage),
            ..ColdConfig::default()
        };
        let method = random.pick(&METHODS);
        let (flavour, in_order) = (FLAVOURS[random.below(2) as usize], random.percent(20));
        let length = random.pick(&[12, 30, 30, 60, 60, 120]) as usize;
        let history = DrawWorld::new(Draw::new(Rng::new(seed, 55), flavour, in_order)).history(method, length);
        let resends_percent = random.pick(&[2, 5, 5, 70]);
        let mut prices = Rng::new(seed, 56);
        let prices = matches!(asks, Asks::All).then_some(&mut prices);
        let client = Client::new(history, prices, random.pick(&[1, 4, 16, 64]) as usize);
        let tally = Tally { seeds: 1, asks: client.asks.len() as u64, ..Tally::default() };
        Self {
            random,
            clock,
            disk,
            config,
            client,
            auditor: Auditor::new(),
            trace: Trace { hash: 0xCBF2_9CE4_8422_2325, lines: keeps_lines.then(Vec::new) },
            tally,
            turn: 0,
            mood: Mood { weights: [1; KINDS], until_turn: 0, time_bits: 16 },
            is_faulty: false,
            is_full: false,
            resends_percent,
            over: None,
        }
    }

    fn finish(mut self, problem: Option<String>, mischief: &Mischief) -> Report {
        let Counts { records, corrections, rebooked, arrived, duplicates, locks, resolved, marks } =
            self.auditor.counts;
        self.tally = Tally {
            turns: self.turn,
            panics: mischief.panics,
            hangs: mischief.hangs,
            resent: self.client.resent,
            refused_for_space: self.client.refused_for_space,
            records,
            corrections,
            rebooked,
            arrived,
            duplicates,
            locks,
            resolved,
            marks,
            ..self.tally
        };
        let hash = self.trace.hash ^ self.disk.digest();
        let history = oracle::history(&self.client.asks, self.auditor.records());
        Report { tally: self.tally, hash, problem, lines: self.trace.lines.unwrap_or_default(), history }
    }

    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        self.disk.remark(|| format!("{:>7} {what}", self.turn));
        self.trace.say(self.turn, what);
    }

    fn all(&mut self) -> Result<(), String> {
        let lives = self.random.within(1, 6);
        for _ in 0..lives {
            if self.client.is_done() && self.random.percent(60) {
                break;
            }
            let turns = self.random.pick(&[100, 1_000, 2_000, 6_000]);
            let turns = 1 + self.random.below(turns);
            let Some(mut life) = self.start(true)? else { continue };
            self.warm_up(&mut life)?;
            self.draw_faults();
            let lived = self.live(&mut life, turns);
            self.end(life, lived)?;
        }
        self.heal();
        let mut life = self.start(false)?.ok_or("the last start died")?;
        let digests = self.settle(&mut life)?;
        self.end(life, Ok(()))?;
        // The same book again, from what is on the disk.
        self.heal();
        let mut life = self.start(false)?.ok_or("the start after that died")?;
        let again = self.settle(&mut life)?;
        self.end(life, Ok(()))?;
        if digests.0 != again.0 {
            return Err(format!("the economic digest was {:x}, and is {:x} after a restart", digests.0, again.0));
        }
        Ok(())
    }

    /// No fault from here on.
    fn heal(&mut self) {
        self.disk.heal();
        self.disk.never_stop();
        self.disk.set_capacity(u64::MAX);
        (self.is_faulty, self.is_full) = (false, false);
        mischief::change(|mischief| (mischief.panics_percent, mischief.hangs_percent) = (0, 0));
    }

    fn draw_faults(&mut self) {
        let panics = self.random.pick(&[0, 0, 2, 10]);
        let hangs = self.random.pick(&[0, 0, 1, 4]);
        let breaks = self.random.pick(&[0, 50, 100]);
        mischief::change(|mischief| {
            (mischief.panics_percent, mischief.hangs_percent) = (panics, hangs);
            mischief.breaks_percent = breaks;
        });
        if self.random.percent(40) {
            let calls = self.random.below(2_500);
            self.disk.stop_after(calls);
        }
    }

    /// A start, which may die half-way. `None`: it did.
    fn start(&mut self, may_die: bool) -> Result<Option<Life>, String> {
        if may_die && self.random.percent(20) {
            let calls = self.random.below(120);
            self.disk.stop_after(calls);
        }
        self.tally.starts += 1;
        let workers = self.random.within(1, 3) as usize;
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        match Life::start(&self.config, &disk, &self.clock, workers) {
            Ok(life) if !self.disk.stopped() => {
                self.disk.never_stop();
                let report = life.host.report().clone();
                self.say(format_args!(
                    "started: row {}, next {}, checkpoint {}",
                    report.log.row, report.log.next_sequence, report.checkpoint_sequence
                ));
                self.tally.checkpoints_used += u64::from(report.checkpoint_sequence > 0);
                let began = self.auditor.began(&life.host, &self.config);
                self.found(began)?;
                self.check_digests(&life)?;
                Ok(Some(life))
            }
            Ok(life) => {
                self.end(life, Ok(()))?;
                Ok(None)
            }
            Err(error) if self.disk.stopped() => {
                self.tally.dead_in_start += 1;
                self.say(format_args!("died while starting: {}", words(&error)));
                self.cut_off();
                Ok(None)
            }
            Err(error) => Err(format!("the start is refused: {error}")),
        }
    }

    /// The process or the machine stops; the disk is ready for the next start.
    fn cut_off(&mut self) {
        let cut = self.random.pick(&[Cut::Nothing, Cut::Everything, Cut::InOrder, Cut::Reversed, Cut::Torn]);
        let stop = if self.random.percent(50) { Stop::Kill } else { Stop::PowerCut(cut) };
        self.say(format_args!("{stop:?}"));
        match stop {
            Stop::Kill => self.tally.kills += 1,
            _ => self.tally.cuts += 1,
        }
        self.disk.restart(stop);
        self.disk.set_capacity(u64::MAX);
        (self.is_faulty, self.is_full) = (false, false);
        self.auditor.died(stop != Stop::Kill);
        self.client.died();
    }

    fn end(&mut self, life: Life, lived: Result<(), String>) -> Result<(), String> {
        self.tally.tail_full += life.host.counters().tail_full();
        // A failure stays what it is, whatever the death of this life would say.
        lived?;
        if let Some(what) = self.over.take() {
            self.say(format_args!("the life is over: {what}"));
        }
        self.cut_off();
        life.die()
    }

    /// A call failed because it was to.
    fn disk_failed(&self) -> bool {
        self.disk.stopped() || !self.disk.failed().is_empty()
    }

    /// What the auditor found. Where it cannot read a disk that fails, this life has come to its end.
    fn found(&mut self, found: Result<(), Finding>) -> Result<(), String> {
        match found {
            Err(Finding::Unread(what)) if self.disk_failed() => self.over = Some(what),
            Err(Finding::Unread(what) | Finding::Wrong(what)) => return Err(what),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Before the first fault all names are defined.
    fn warm_up(&mut self, life: &mut Life) -> Result<(), String> {
        self.mood = Mood { weights: WEIGHTS, until_turn: u64::MAX, time_bits: 16 };
        while !self.client.is_named() {
            self.one_turn(life)?;
        }
        self.mood.until_turn = self.turn;
        Ok(())
    }

    /// So many turns, or until the process cannot go on.
    fn live(&mut self, life: &mut Life, turns: u64) -> Result<(), String> {
        for _ in 0..turns {
            if self.disk.stopped() {
                self.say(format_args!("died in a call"));
                return Ok(());
            }
            if self.over.is_some() {
                return Ok(());
            }
            if life.host.log().latched().is_some() || life.host.side_log().latched().is_some() {
                if !self.is_faulty && !self.is_full {
                    return Err(format!("a log latched without a fault: {:?}", life.host.error()));
                }
                self.tally.latched += 1;
                self.say(format_args!("latched"));
                return Ok(());
            }
            if self.random.percent(1) {
                self.befall(life);
            }
            self.one_turn(life)?;
        }
        Ok(())
    }

    /// Something that happens now and then.
    fn befall(&mut self, life: &Life) {
        match self.random.below(10) {
            0 if !self.is_faulty => {
                let calls =
                    [Call::Write, Call::Sync, Call::Sync, Call::SyncDir, Call::Allocate, Call::Read, Call::Rename];
                let (call, after) = (self.random.pick(&calls), self.random.below(6));
                let errno = self.random.pick(&[libc::EIO, libc::EIO, libc::ENOSPC, libc::EROFS]);
                self.disk.fail(Failure { call: Some(call), after, errno, lasting: self.random.percent(20) });
                self.is_faulty = true;
                self.say(format_args!("{call:?} is going to fail"));
            }
            1 | 2 => {
                self.is_full = true;
                self.tally.full += 1;
                let room = self.random.below(200_000);
                self.disk.set_capacity(self.disk.used_bytes() + room);
                self.say(format_args!("{room} bytes are left"));
            }
            3 | 4 => {
                self.disk.set_capacity(u64::MAX);
                self.say(format_args!("there is room"));
            }
            5 => {
                let seconds = 1 + self.random.below(60);
                self.clock.pass(seconds * 1_000_000_000);
                self.say(format_args!("{seconds} seconds pass"));
            }
            6 => {
                life.host.coldpath().pause();
                self.say(format_args!("paused"));
            }
            7 | 8 => life.host.coldpath().resume(),
            _ => {
                life.host.coldpath().retry(None);
            }
        }
    }

    fn draw_mood(&mut self) {
        for (weight, usual) in self.mood.weights.iter_mut().zip(WEIGHTS) {
            *weight = usual * self.random.pick(&[0, 1, 2, 2, 2, 8]);
        }
        let turns = self.random.pick(&[50, 300, 300, 1_500]);
        self.mood.until_turn = self.turn + 1 + self.random.below(turns);
        self.mood.time_bits = self.random.within(4, 22);
    }

    fn one_turn(&mut self, life: &mut Life) -> Result<(), String> {
        if self.turn >= self.mood.until_turn {
            self.draw_mood();
        }
        let who: Vec<Who> = [Who::Client, Who::Group].into_iter().chain(life.actors()).collect();
        let weight = |who: &Who| self.mood.weights[who.kind()];
        let all: u64 = who.iter().map(weight).sum();
        let passed = self.random.below(1 << self.mood.time_bits);
        self.turn += 1;
        self.clock.pass(passed);
        if all == 0 {
            self.mood.until_turn = self.turn;
            return Ok(());
        }
        let mut at = self.random.below(all);
        let index = who.iter().position(|who| {
            let found = at < weight(who);
            at = at.saturating_sub(weight(who));
            found
        });
        self.act(life, who[index.expect("below the sum")], index.expect("below the sum"))
    }

    fn act(&mut self, life: &mut Life, who: Who, index: usize) -> Result<(), String> {
        match who {
            Who::Client => {
                let answered = self.client.poll(&mut life.door, &self.auditor)?;
                self.client.tell(life.host.log().durable_sequence());
                let most = if self.resends_percent > 50 { 64 } else { 8 };
                for _ in 0..1 + self.random.below(most) {
                    let Some(sent) = self.client.send(&mut life.door, &mut self.random, self.resends_percent) else {
                        break;
                    };
                    self.say(format_args!("client: {answered} answers, sends {sent}"));
                }
            }
            Who::Group => life.look_after(),
            _ => life.turn(index - 2)?,
        }
        let (published, durable) = (life.host.log().published_sequence(), life.host.log().durable_sequence());
        if life.host.model().checkpoint_sequence() > durable {
            return Err(format!(
                "a checkpoint of {} while {durable} is durable",
                life.host.model().checkpoint_sequence()
            ));
        }
        self.say(format_args!("{who}: {published} {durable}"));
        let looked = self.auditor.look(&life.host);
        self.found(looked)?;
        match life.trouble.borrow().clone() {
            Some(what) if self.disk_failed() => self.over = Some(what),
            Some(what) => return Err(what),
            None => {}
        }
        self.check_digests(life)
    }

    /// The hot book, the follower's and the auditor's are the same wherever they are at the same record.
    fn check_digests(&self, life: &Life) -> Result<(), String> {
        let Some(state) = self.auditor.state() else { return Ok(()) };
        let (economic, full) = (state.book.economic_digest(), state.book.full_digest());
        if let Some(Ok(shard)) = life.shard.as_ref().map(|shard| shard.try_borrow())
            && (shard.book().economic_digest(), shard.book().full_digest()) != (economic, full)
        {
            return Err(format!("the hot book is not that of its log at {}", state.sequence));
        }
        if let Ok(follower) = life.follower.try_borrow()
            && follower.state().sequence == state.sequence
            && (follower.state().book.economic_digest(), follower.state().book.full_digest()) != (economic, full)
        {
            return Err(format!("the follower's book is not that of the log at {}", state.sequence));
        }
        Ok(())
    }

    /// After the faults: within a bound of turns everything is answered, durable and RECONCILED, and the book is the model's.
    fn settle(&mut self, life: &mut Life) -> Result<(u64, u64), String> {
        life.host.coldpath().resume();
        life.host.coldpath().retry(None);
        self.mood = Mood { weights: WEIGHTS, until_turn: u64::MAX, time_bits: 20 };
        self.resends_percent = 0;
        let began = self.turn;
        while !(self.client.is_done() && life.host.is_reconciled()) {
            if self.turn - began > TURNS_TO_SETTLE {
                return Err(format!("not settled within {TURNS_TO_SETTLE} turns: {}", self.state_of(life)));
            }
            self.one_turn(life)?;
        }
        self.tally.settling_most = self.tally.settling_most.max(self.turn - began);
        self.say(format_args!("settled after {} turns", self.turn - began));
        if !life.host.dead_letters().is_empty() {
            return Err(format!("dead letters: {:?}", life.host.dead_letters()));
        }
        let state = self.auditor.state().ok_or("nobody audits")?;
        if let Some(model) = oracle::accepted(&self.client.asks, self.auditor.records(), state)? {
            self.tally.compared += model.compare(&life.host)? as u64;
        }
        self.tally.segments = self.tally.segments.max(life.host.log().retention().segments.len() as u64);
        let shard = life.shard.as_ref().ok_or("the hot thread is gone")?.borrow();
        Ok((shard.book().economic_digest(), shard.book().full_digest()))
    }

    fn state_of(&self, life: &Life) -> String {
        format!(
            "client done {}, durable {} of {}, shown {}, provisional {}, coldpath {:?}, error {:?}",
            self.client.is_done(),
            life.host.log().durable_sequence(),
            life.host.log().published_sequence(),
            life.host.model().published_sequence(),
            life.host.model().provisional_positions(),
            life.host.coldpath().status(),
            life.host.error()
        )
    }
}

fn words(error: &StartError) -> String {
    error.to_string()
}
