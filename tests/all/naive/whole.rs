//! A whole host beside the naive model of all positions: doors, shard, legs, coldpath, follower, crashes between.
//!
//! Two forms. *Settled*: every input meets a reconciled book, and the answer is predicted. *Hasty*: the coldpath stands
//! still while inputs come, so estimates meet estimates; what the host accepted is booked by the model, and both must
//! agree once it is reconciled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use lotbook_core::Limits;
use lotbook_core::amend_event::ResolveInput;
use lotbook_core::command::{Command, NameClass};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason as EngineReason};
use lotbook_core::id::{NO_NAME, TradeId};
use lotbook_core::note::Note;
use lotbook_core::position::Reconciliation;
use lotbook_core::wide_event::LockInput;
use lotbook_engine::{Answer as Told, EngineConfig, NameError, PositionView, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::beside::{self, number, same};
use lotbook_tests::naive::amend::Amendment;
use lotbook_tests::naive::desk::{Amended, Answer, same_set};
use lotbook_tests::naive::history::Booked;
use lotbook_tests::naive::words::{Day, Id, Name, OVERFLOW, Reason, Trade};
use lotbook_tests::naive::world::{Place, World};
use lotbook_tests::rig::{PATIENCE, Rig, config};
use lotbook_wal::{Disk, LogConfig};

use super::Seen;
use super::compare::breaks;
use super::draw_wash::ACCOUNTS;
use super::draw_world::INSTRUMENTS;
use super::steps::Step;
use super::translate::{action_input, amend_input, contract_terms, input, instrument_terms, name, names};
use super::washes;
use crate::retention::kill::shim::{Call, Gate, Op, Say, Shim};

const LIMITS: Limits = Limits {
    positions_max: 16,
    lots_max: 1 << 12,
    names_max: 64,
    forwards_max: 1 << 10,
    contracts_max: 128,
    ..Limits::SMALL
};

/// Says that everything is durable: a killed process loses nothing by it, and hundreds of them take seconds.
#[derive(Debug)]
struct NoSync;

impl Gate for NoSync {
    fn before(&self, op: &Op<'_>) -> Say {
        if matches!(op.call, Call::Sync | Call::SyncDir) { Say::Skip } else { Say::Go }
    }
}

fn unsynced(config: &LogConfig) -> Arc<dyn Disk> {
    Shim::new(config, Arc::new(NoSync))
}

/// How inputs meet the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Each meets a reconciled book.
    Settled,
    /// The coldpath begins when all have come.
    Hasty,
}

/// The host and the model.
struct Whole {
    rig: Rig,
    config: EngineConfig,
    world: World,
    books: BTreeMap<Place, Booked>,
    /// Breaks that were resolved, by position.
    resolved: BTreeMap<Place, Vec<(Id, Reason)>>,
    pace: Pace,
    seen: Seen,
}

/// A host on a directory, with names numbered as in the model.
fn start(config: &EngineConfig) -> Rig {
    let rig = Rig::start(config);
    let deadline = Instant::now() + PATIENCE;
    let resolve = |class, text: &str| loop {
        match rig.host.directory().resolve(class, text) {
            // The shard has not had its turn yet.
            Err(NameError::Unavailable) if Instant::now() < deadline => {}
            done => break done,
        }
    };
    assert_eq!(resolve(NameClass::Namespace, "test"), Ok(0));
    for (class, number, text) in names(ACCOUNTS, INSTRUMENTS) {
        assert_eq!(resolve(class, &text), Ok(number));
    }
    rig
}

/// Both along a history, with crashes drawn from the seed.
pub(crate) fn agree(history: &[Step], pace: Pace, crashes: Option<u64>) -> Result<Seen, String> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.tail_dir = Some(dir.path().join("tail"));
    (config.segment_bytes, config.tail_blocks) = (1 << 20, 64);
    (config.limits, config.trade_ids_max) = (LIMITS, 1 << 12);
    config.disk = Some(unsynced);
    config.coldpath = pace == Pace::Settled;
    let rig = start(&config);
    let (world, books) = (World::default(), BTreeMap::new());
    let mut whole = Whole { rig, config, world, books, resolved: BTreeMap::new(), pace, seen: Seen::new() };
    let mut rng = Rng::new(crashes.unwrap_or(0), 77);
    for (number, step) in history.iter().enumerate() {
        let done = whole.step(step).map_err(|what| format!("step {number}: {what}"))?;
        if !done {
            whole.saw("over");
            return Ok(whole.end());
        }
        if crashes.is_some() && rng.below(25) == 0 {
            whole = whole.crash().map_err(|what| format!("crash behind step {number}: {what}"))?;
        }
    }
    whole.rig.host.coldpath().resume();
    if whole.rebook() {
        whole.shown()?;
        washes::compare(&whole.rig.host, &whole.world, &mut whole.seen)?;
    }
    if crashes.is_some() {
        whole = whole.crash()?;
        if whole.rebook() {
            whole.shown()?;
        }
    }
    Ok(whole.end())
}

impl Whole {
    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn end(self) -> Seen {
        drop(self.rig.door);
        self.rig.host.crash();
        self.seen
    }

    /// The model's book of what was accepted; false where it has none.
    fn rebook(&mut self) -> bool {
        match self.world.book() {
            Ok(books) => self.books = books,
            Err(_) => return false,
        }
        true
    }

    /// The process is killed, and another one starts on what it left: the same book, by the same digest.
    fn crash(mut self) -> Result<Self, String> {
        self.saw("crash");
        let digest = (self.pace == Pace::Settled).then(|| self.settled()).transpose()?;
        drop(self.rig.door);
        self.rig.host.crash();
        self.rig = start(&self.config);
        if let Some(digest) = digest {
            same("digest after recovery", self.settled()?, digest)?;
        }
        Ok(self)
    }

    /// Waits for a reconciled book, and gives its digest.
    fn settled(&self) -> Result<u64, String> {
        let host = &self.rig.host;
        if !host.wait_reconciled(PATIENCE) {
            return Err(format!("never reconciled: {:?} {:?}", host.error(), host.dead_letters()));
        }
        match host.dead_letters().is_empty() {
            true => Ok(host.model().economic_digest()),
            false => Err(format!("dead letters: {:?}", host.dead_letters())),
        }
    }

    /// Takes a step in both; false where nothing more is said of this history.
    fn step(&mut self, step: &Step) -> Result<bool, String> {
        match step {
            Step::Contract(contract) => {
                let terms = contract_terms(contract);
                if let Err(reason) = self.world.answer_contract(contract, &self.books) {
                    self.saw("contract refused");
                    let told = self.rig.ask(Command::Contract(terms));
                    same("contract", (told.status, told.reason.code()), (Status::Refused, reason))?;
                    return Ok(true);
                }
                self.done(Command::Contract(terms))?;
                self.world.contracts.push(*contract);
            }
            Step::Instrument(number, terms) => {
                self.done(Command::Instrument(instrument_terms(*number, terms)))?;
                self.world.instruments.insert(*number, *terms);
            }
            // What was booked before the first date and amended then hangs on when it is replayed: only shrunk histories
            // have that.
            Step::Today(_) if self.world.today.is_none() && !self.world.trades.is_empty() => return Ok(true),
            Step::Today(day) => {
                self.done(Command::BusinessDate(Date(*day)))?;
                self.world.move_date(*day);
            }
            Step::Trade(trade) => return self.trade(trade),
            Step::Amend(amendment) => return self.amend(amendment),
            Step::Action(action) => {
                let told = self.rig.ask(Command::Action(action_input(action)));
                match self.world.answer_action(action, &self.known()) {
                    Err(reason) => {
                        self.saw(reason);
                        same("action", (told.status, told.reason.code()), (Status::Action(Class::Rejected), reason))?;
                        return Ok(true);
                    }
                    Ok(()) => same("action", told.reason, EngineReason::None)?,
                }
                self.saw("action");
                self.world.accept_action(action, &self.known());
            }
            // Both need a reconciled book.
            Step::Lock(..) | Step::Resolve(..) if self.pace == Pace::Hasty => {}
            Step::Lock(account, through) => self.lock(*account, *through)?,
            Step::Resolve(account, instrument) => self.resolve((*account, *instrument))?,
            // The coldpath goes its own way here.
            Step::Replay(..) => {}
        }
        self.after()
    }

    /// Positions that ever had an item.
    fn known(&self) -> BTreeSet<Place> {
        let views = self.rig.host.model().positions();
        views.iter().map(|view| (number(&view.account), number(&view.instrument))).collect()
    }

    fn lock(&mut self, account: Option<Name>, through: Day) -> Result<(), String> {
        let told = self.rig.ask(Command::PeriodLock(LockInput { account: name(account), through: Date(through) }));
        let concerned = |place: &Place| account.is_none_or(|name| name == place.0);
        let mut of_it = self.books.iter().filter(|(place, _)| concerned(place));
        let settled = of_it.all(|(place, booked)| self.is_settled(*place, booked));
        let wanted = match self.world.lock(account, through, settled, &self.books) {
            Ok(()) => (Status::Done, ""),
            Err(reason) => (Status::Refused, reason),
        };
        self.saw(if wanted.1.is_empty() { "locked" } else { wanted.1 });
        same("lock", (told.status, told.reason.code()), wanted)
    }

    /// Whether a position shows RECONCILED.
    fn is_settled(&self, place: Place, booked: &Booked) -> bool {
        booked.breaks.is_empty() || self.resolved.get(&place).is_some_and(|resolved| same_set(resolved, &booked.breaks))
    }

    fn resolve(&mut self, place: Place) -> Result<(), String> {
        let booked = self.books.get(&place).cloned().unwrap_or_default();
        if self.is_settled(place, &booked) {
            return Ok(());
        }
        let note = Note::new(b"drawn").expect("short");
        let (version, user, correlation) = (0, NO_NAME, TradeId::EMPTY);
        let (account, instrument) = place;
        self.done(Command::Resolve(ResolveInput { account, instrument, version, user, note, correlation }))?;
        self.saw("resolved");
        self.resolved.insert(place, booked.breaks);
        Ok(())
    }

    fn done(&mut self, command: Command) -> Result<(), String> {
        let told = self.rig.ask(command);
        same("answer", (told.status, told.reason), (Status::Done, EngineReason::None))
    }

    /// After each step of a settled history both books are the same.
    fn after(&mut self) -> Result<bool, String> {
        if self.pace == Pace::Hasty {
            return Ok(true);
        }
        if !self.rebook() {
            return Ok(false);
        }
        self.shown().map(|()| true)
    }

    fn trade(&mut self, trade: &Trade) -> Result<bool, String> {
        let told = self.rig.ask(Command::Trade(input(trade)));
        let Status::Trade(class) = told.status else { return Err(format!("{told:?}")) };
        if self.pace == Pace::Settled && !self.predicted(trade, class, &told)? {
            return Ok(false);
        }
        if !class.is_accepted() {
            self.saw("refused");
            return Ok(true);
        }
        self.saw(if trade.moves() { "transfer" } else { "trade" });
        self.world.accept_trade(trade, &self.known());
        self.after()
    }

    /// Compares what was told with what the page says; false where an estimate left its range.
    fn predicted(&mut self, trade: &Trade, class: Class, told: &Told) -> Result<bool, String> {
        let answer = self.world.answer(trade, &self.books);
        let is = (class, told.reason.code(), told.realized_e16);
        let wanted = match &answer {
            Err(reason) => (Class::Rejected, *reason, 0),
            Ok(Answer::Waits) => (Class::Forward, "", 0),
            Ok(Answer::Applied(figures)) => (Class::Applied, "", figures.realized),
            Ok(Answer::Late(figures)) => (Class::Provisional, "", figures.realized),
            Ok(Answer::Refused(_)) => unreachable!("an error"),
        };
        if let Err(reason) = answer {
            self.saw(reason);
        }
        if wanted.1 == OVERFLOW && is.1 == OVERFLOW {
            return Ok(true);
        }
        same(if trade.moves() { "transfer" } else { "trade" }, is, wanted)?;
        Ok(true)
    }

    fn amend(&mut self, amendment: &Amendment) -> Result<bool, String> {
        let told = self.rig.ask(Command::Amend(amend_input(amendment)));
        let class = match told.status {
            Status::Trade(class) | Status::Action(class) => class,
            other => return Err(format!("{other:?} {:?}", told.reason)),
        };
        let answer = self.world.amend(amendment, &self.known());
        let is = (class, told.reason.code());
        if is.1 == OVERFLOW && answer == Amended::Accepted {
            return Ok(false);
        }
        self.saw(match answer {
            Amended::Accepted => "amended",
            Amended::Held => "held",
            Amended::Refused(reason) => reason,
        });
        match answer {
            Amended::Refused(reason) => same("amendment", is, (Class::Rejected, reason))?,
            Amended::Held => same("amendment", is, (Class::Held, ""))?,
            Amended::Accepted => {
                same("amendment", (class.is_accepted(), told.reason), (true, EngineReason::None))?;
                self.world.follow_all(&amendment.id, &self.known());
            }
        }
        self.after()
    }

    /// Every position as it is published is the model's.
    fn shown(&mut self) -> Result<(), String> {
        self.settled()?;
        let views = self.rig.host.model().positions();
        let mut left: BTreeMap<Place, Booked> = self.books.clone();
        for trade in self.world.counting() {
            left.entry((trade.account, trade.instrument)).or_default();
        }
        for view in &views {
            let place = (number(&view.account), number(&view.instrument));
            let booked = left.remove(&place).unwrap_or_default();
            self.position(place, view, &booked).map_err(|what| format!("A{}/I{}: {what}", place.0, place.1))?;
        }
        for (place, booked) in left {
            same(&format!("{place:?} is missing"), Booked::default().book, booked.book)?;
            same(&format!("{place:?} is missing"), 0, self.world.waiting(place).len())?;
        }
        let mut held: Vec<String> = self.rig.host.model().held().iter().map(|held| held.amend_id.to_string()).collect();
        let mut wanted: Vec<String> = self.world.held.iter().map(|(held, _)| held.id.to_string()).collect();
        held.sort_unstable();
        wanted.sort_unstable();
        same("held", held, wanted)?;
        self.saw("compared");
        Ok(())
    }

    fn position(&mut self, place: Place, view: &PositionView, booked: &Booked) -> Result<(), String> {
        let waiting = self.world.waiting(place).iter().map(Trade::signed).sum();
        beside::position(view, booked, waiting)?;
        booked.breaks.iter().for_each(|(_, reason)| self.saw(breaks(reason)));
        if !self.resolved.get(&place).is_some_and(|resolved| same_set(resolved, &booked.breaks)) {
            self.resolved.remove(&place);
        }
        if self.is_settled(place, booked) && view.reconciliation == Reconciliation::Pending && !booked.breaks.is_empty()
        {
            // A replay on the way here may have found another set of breaks: then the resolution is gone.
            self.resolved.remove(&place);
        }
        let settled = self.is_settled(place, booked);
        let status = if settled { Reconciliation::Reconciled } else { Reconciliation::Pending };
        same("status", view.reconciliation, status)?;
        let adjusted = beside::adjustment(view);
        same("adjustment", adjusted, self.world.locks.adjustment(place, booked))?;
        if adjusted.is_some() {
            self.saw("adjusted");
        }
        Ok(())
    }
}
