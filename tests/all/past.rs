//! What was known when, through a host: every answer that a run published is given again, whatever came later, wherever the log lies.
//!
//! *As it stood* is compared with what the read model published at that sequence; *as of* a date with a book of its own, to which only
//! what was known and dated by then was ever sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lotbook_core::Date;
use lotbook_core::action_input::{ActionInput, ActionKind};
use lotbook_core::amend::{AmendInput, AmendKind, Changes};
use lotbook_core::amend_event::ResolveInput;
use lotbook_core::amount::ONE_E8;
use lotbook_core::command::{Command, NO_PRICE, NameClass, Side, TradeInput, TradeKind};
use lotbook_core::event::Class;
use lotbook_core::id::{NO_NAME, NameId, TradeHash, TradeId};
use lotbook_core::lots::Lot;
use lotbook_core::note::Note;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_engine::past::{LotDifference, Moment, PastError, Question};
use lotbook_engine::read_model::LotView;
use lotbook_engine::{EngineConfig, Host, PositionView, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::lots_told::lots_are_told;
use lotbook_tests::rig::{Naming, PATIENCE, Rig, T};

use crate::retention::{archive, dropped, shelved, small};

const E8: i64 = ONE_E8;
const FIRST_DAY: i32 = 19_700;
const ACCOUNTS: [&str; 3] = ["A1", "A2", "A3"];
const INSTRUMENTS: [&str; 2] = ["X", "Y"];

/// A position as it was published, by its interned names.
type Seen = BTreeMap<(NameId, NameId, u64), Arc<PositionView>>;

/// What was accepted, with the sequence of its event.
#[derive(Clone)]
struct Accepted {
    sequence: u64,
    command: Command,
}

struct World {
    rig: Rig,
    rng: Rng,
    today: i32,
    next: u64,
    /// Ids of trades and amendments that may be amended.
    targets: Vec<String>,
    accepted: Vec<Accepted>,
    seen: Seen,
    /// Moments at which nothing was PROVISIONAL.
    settled: Vec<u64>,
}

fn id(text: &str) -> TradeId {
    TradeId::new(text.as_bytes()).expect("short")
}

fn hash(text: &str) -> TradeHash {
    TradeHash::new(b"test", text.as_bytes())
}

impl World {
    fn new(config: &EngineConfig, seed: u64) -> Self {
        let mut rig = Rig::start(config);
        rig.rules(LotMethod::Fifo, true, 0);
        let mut world = Self {
            rig,
            rng: Rng::new(seed, 0),
            today: FIRST_DAY,
            next: 0,
            targets: Vec::new(),
            accepted: Vec::new(),
            seen: Seen::new(),
            settled: Vec::new(),
        };
        world.send(Command::BusinessDate(Date(FIRST_DAY)));
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    fn send(&mut self, command: Command) -> bool {
        let answer = self.rig.ask(command);
        let is_in = match answer.status {
            Status::Trade(class) | Status::Action(class) => {
                matches!(class, Class::Applied | Class::Provisional | Class::Forward)
            }
            status => status == Status::Done,
        };
        if is_in {
            self.accepted.push(Accepted { sequence: answer.sequence, command });
        }
        is_in
    }

    fn name(&mut self) -> String {
        self.next += 1;
        format!("t{}", self.next)
    }

    fn trade(&mut self) {
        let name = self.name();
        let (account, instrument) = (ACCOUNTS[self.below(3) as usize], INSTRUMENTS[self.below(2) as usize]);
        // Mostly today, some late, some ahead of their date.
        let day = match self.below(10) {
            0 | 1 => self.today - self.below(6) as i32,
            2 => self.today + 1 + self.below(3) as i32,
            _ => self.today,
        };
        let trade = T {
            id: &name,
            account,
            instrument,
            side: if self.below(5) < 3 { Side::Buy } else { Side::Sell },
            quantity_e8: (1 + self.below(30) as i64) * E8,
            price_e8: (500 + self.below(100) as i64) * E8 / 10,
            date: day,
            executed_at_ns: Date(day - 1).end_ns() + 1 + self.below(1_000) as i64,
            order: self.next,
        };
        let mut input = self.rig.input(&trade);
        if self.below(12) == 0 {
            let to = ACCOUNTS[self.below(3) as usize];
            let to_account = self.rig.host.directory().name(NameClass::Account, to);
            input = TradeInput { kind: TradeKind::Transfer, to_account, side: Side::Sell, price_e8: NO_PRICE, ..input };
        }
        if self.send(Command::Trade(input)) {
            self.targets.push(name);
        }
    }

    fn amend(&mut self) {
        if self.targets.is_empty() {
            return;
        }
        let name = self.name();
        let at = self.below(self.targets.len() as u64) as usize;
        let target = self.targets[at].clone();
        let mut changes = Changes::NONE;
        let kind = if self.below(2) == 0 { AmendKind::Cancel } else { AmendKind::Correct };
        if kind == AmendKind::Correct {
            changes.set_price(Some((500 + self.below(100) as i64) * E8 / 10));
        }
        let input = AmendInput {
            amend_id: id(&name),
            hash: hash(&name),
            namespace: self.rig.host.directory().name(NameClass::Namespace, "test"),
            kind,
            target_id: id(&target),
            target: hash(&target),
            executed_at_ns: self.next as i64,
            source_order: self.next,
            account: NO_NAME,
            instrument: NO_NAME,
            changes,
            user: NO_NAME,
            correlation: TradeId::EMPTY,
        };
        if self.send(Command::Amend(input)) {
            self.targets.push(name);
        }
    }

    fn contract(&mut self) {
        let methods = LotMethod::ALL;
        let method = methods[self.below(methods.len() as u64) as usize];
        let contract = self.rig.host.directory().name(NameClass::Contract, "default");
        let effective_date = Date(self.today - self.below(5) as i32);
        let rules = Rules { method, allow_short: true, ..Rules::DEFAULT };
        self.send(Command::Contract(ContractTerms {
            contract,
            account: NO_NAME,
            instrument: NO_NAME,
            rules,
            effective_date,
        }));
    }

    fn action(&mut self) {
        let name = self.name();
        let directory = self.rig.host.directory();
        let namespace = directory.name(NameClass::Namespace, "test");
        let instrument = directory.name(NameClass::Instrument, INSTRUMENTS[0]);
        let effective_date = Date(self.today + 1 - self.below(4) as i32);
        let input = ActionInput {
            action_id: id(&name),
            hash: hash(&name),
            namespace,
            kind: ActionKind::Split,
            instrument,
            numerator: 2 + self.below(2) as u32,
            denominator: 1,
            cash_in_lieu_e8: NO_PRICE,
            effective_date,
            ..ActionInput::EMPTY
        };
        if self.send(Command::Action(input)) {
            self.targets.push(name);
        }
    }

    fn resolve(&mut self) {
        let pending = self.rig.host.model().positions();
        let Some(view) = pending.iter().find(|view| view.reconciliation == Reconciliation::Pending) else { return };
        let directory = self.rig.host.directory();
        let input = ResolveInput {
            account: directory.find(NameClass::Account, &view.account).expect("a name"),
            instrument: view.instrument_id,
            version: 0,
            user: directory.name(NameClass::User, "ann"),
            note: Note::new(b"looked at").expect("short"),
            correlation: TradeId::EMPTY,
        };
        self.send(Command::Resolve(input));
    }

    fn look(&mut self) {
        let directory = self.rig.host.directory();
        for view in self.rig.host.model().positions() {
            let account = directory.find(NameClass::Account, &view.account).expect("a name");
            self.seen.insert((account, view.instrument_id, view.sequence), view);
        }
    }

    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            match self.below(40) {
                0..28 => self.trade(),
                28..31 => self.amend(),
                31 => self.contract(),
                32 => self.action(),
                33 => self.resolve(),
                34 => self.rig.host.coldpath().pause(),
                35 => self.rig.host.coldpath().resume(),
                36..39 => {
                    self.rig.host.coldpath().resume();
                    assert!(self.rig.host.wait_reconciled(PATIENCE), "{:?}", self.rig.host.error());
                    self.settled.push(self.rig.host.model().published_sequence());
                }
                _ => {
                    self.today += 1;
                    self.send(Command::BusinessDate(Date(self.today)));
                }
            }
            self.look();
        }
        self.rig.host.coldpath().resume();
        assert!(self.rig.host.wait_reconciled(PATIENCE), "{:?}", self.rig.host.error());
        self.look();
    }
}

fn question(key: &(NameId, NameId, u64)) -> Question {
    let (account, instrument, sequence) = *key;
    Question { account, instrument, as_of: None, known_at: Moment::Sequence(sequence), since: None }
}

/// Every view that was published is the answer of its moment.
#[track_caller]
fn check_seen(host: &Host, seen: &Seen) {
    until_complete(host, seen);
    for (key, view) in seen {
        let answer = host.past().ask(&question(key)).unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(answer.view, **view, "{key:?}");
    }
}

/// What was published may not be durable yet.
#[track_caller]
fn until_complete(host: &Host, seen: &Seen) {
    let last = seen.keys().map(|key| key.2).max().unwrap_or(0);
    assert!(host.wait_published(PATIENCE));
    assert!(host.log().wait_durable(last, PATIENCE).expect("a log that goes on"));
}

fn own_tail(mut config: EngineConfig, dir: &Path) -> EngineConfig {
    config.tail_dir = Some(dir.join("tail"));
    config
}

#[test]
fn every_figure_that_was_shown_is_shown_again_after_restarts() {
    let (mut shown, mut open, mut lots) = (0, 0, 0);
    let (seeds, steps) = if std::env::var_os("LOTBOOK_LONG").is_some() { (40, 2_000) } else { (3, 300) };
    for seed in 0..seeds {
        let dir = tempfile::tempdir().expect("a directory");
        let config = own_tail(small(dir.path()), dir.path());
        let mut world = World::new(&config, seed);
        world.run(steps);
        let World { rig, seen, .. } = world;
        shown += seen.len();
        open += seen.values().filter(|view| view.reconciliation != Reconciliation::Reconciled).count();
        check_seen(&rig.host, &seen);
        lots += lots_are_told(&rig.host);
        rig.host.crash();
        let rig = Rig::start(&config);
        check_seen(&rig.host, &seen);
        rig.host.stop().expect("a clean end");
        let rig = Rig::start(&config);
        check_seen(&rig.host, &seen);
        rig.host.stop().expect("a clean end");
    }
    println!(
        "{shown} published positions, {open} of them not final, each shown again three times; {lots} lots corrected"
    );
    assert!(open * 20 > shown, "the windows that matter were hardly met: {open} of {shown}");
}

#[test]
fn what_only_the_archive_has_is_shown_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = own_tail(shelved(dir.path()), dir.path());
    let mut world = World::new(&config, 77);
    world.run(1_200);
    assert!(archive(dir.path()).exists());
    dropped(&world.rig.host, 1);
    let first: Seen = world.seen.iter().step_by(9).map(|(key, view)| (*key, view.clone())).collect();
    check_seen(&world.rig.host, &first);
    world.rig.host.stop().expect("a clean end");
}

/// A host of its own to which only what was known by `known_at` and is dated by `date` was sent, in the order of arrival.
fn told(accepted: &[Accepted], known_at: u64, date: i32) -> Rig {
    let dir = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::start(&own_tail(small(dir.path()), dir.path()));
    for name in ACCOUNTS {
        rig.host.directory().name(NameClass::Account, name);
    }
    for name in INSTRUMENTS {
        rig.host.directory().name(NameClass::Instrument, name);
    }
    rig.rules(LotMethod::Fifo, true, 0);
    rig.ask(Command::BusinessDate(Date(date)));
    let mut unknown = std::collections::BTreeSet::new();
    for Accepted { command, .. } in accepted.iter().filter(|accepted| accepted.sequence <= known_at) {
        let is_told = match command {
            Command::Trade(input) => input.effective_date.0 <= date || !unknown.insert(input.hash),
            Command::Action(input) => input.effective_date.0 <= date || !unknown.insert(input.hash),
            Command::Amend(input) => !unknown.contains(&input.target) || !unknown.insert(input.hash),
            Command::Contract(_) => true,
            _ => false,
        };
        if is_told {
            rig.ask(*command);
        }
    }
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
    // The directory goes with the guard; the host holds its files open until it is stopped.
    std::mem::forget(dir);
    rig
}

#[test]
fn a_date_is_answered_by_what_was_known_and_dated_by_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = own_tail(small(dir.path()), dir.path());
    let mut world = World::new(&config, 5);
    world.run(400);
    let World { rig, accepted, mut rng, today, settled, .. } = world;
    let mut compared = 0;
    for _ in 0..12 {
        let known_at = settled[rng.below(settled.len() as u64) as usize];
        let date = FIRST_DAY - 3 + rng.below((today - FIRST_DAY) as u64 + 3) as i32;
        let other = told(&accepted, known_at, date);
        for (name, instrument) in ACCOUNTS.iter().flat_map(|a| INSTRUMENTS.map(|i| (*a, i))) {
            let directory = rig.host.directory();
            let account = directory.find(NameClass::Account, name).expect("a name");
            let instrument = directory.find(NameClass::Instrument, instrument).expect("a name");
            let question = Question {
                account,
                instrument,
                as_of: Some(Date(date)),
                known_at: Moment::Sequence(known_at),
                since: None,
            };
            let answer = match rig.host.past().ask(&question) {
                Ok(answer) => answer,
                Err(PastError::Unknown { .. }) => continue,
                Err(error) => panic!("{question:?}: {error}"),
            };
            // As it stood then is no replay; and what had not arrived from elsewhere, or not been corrected there, was not known here.
            if answer.as_of.is_none() || answer.view.reconciliation == Reconciliation::Provisional {
                continue;
            }
            let flat = Vec::new();
            let view = other.host.model().position(account, instrument);
            let figures = |view: &PositionView| (view.quantity_e8, view.realized_e16, view.cost_e16, view.fees_e16);
            let (want, lots) = view.as_ref().map_or(((0, 0, 0, 0), &flat), |view| (figures(view), &view.lots));
            assert_eq!(figures(&answer.view), want, "{question:?}");
            assert_eq!(&answer.view.lots, lots, "{question:?}");
            compared += 1;
        }
        other.host.stop().expect("a clean end");
    }
    println!("{compared} positions of a past date equal to a book that knew no more");
    assert!(compared >= 20);
    rig.host.stop().expect("a clean end");
}

#[test]
fn corrections_between_two_moments_are_told_and_add_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::new(&own_tail(small(dir.path()), dir.path()), 9);
    world.run(300);
    let (mut told, mut lots, host) = (0, 0, &world.rig.host);
    for view in host.model().positions() {
        let account = host.directory().find(NameClass::Account, &view.account).expect("a name");
        let whole = Question {
            account,
            instrument: view.instrument_id,
            as_of: None,
            known_at: Moment::Now,
            since: Some(Moment::Sequence(0)),
        };
        let all = host.past().ask(&whole).expect("an answer").corrections;
        assert!(all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        for correction in &all {
            // Around the correction, the two books are its two figures.
            let at = |sequence| {
                let question = Question { known_at: Moment::Sequence(sequence), since: None, ..whole };
                host.past().ask(&question).expect("an answer").view
            };
            let (before, after) = (at(correction.sequence - 1), at(correction.sequence));
            assert_eq!(before.realized_e16, correction.before.realized_e16);
            assert_eq!(after.realized_e16, correction.after.realized_e16);
            assert_eq!(before.quantity_e8, correction.before.quantity_e8);
            assert_eq!(after.version, correction.version);
            lots += lots_between(&before, &after, &correction.lots);
            let since = Some(Moment::Sequence(correction.sequence));
            let later = host.past().ask(&Question { since, ..whole }).expect("an answer").corrections;
            assert!(later.iter().all(|later| later.sequence > correction.sequence));
        }
        told += all.len();
    }
    println!("{told} corrections of {lots} lots");
    assert!(told > 10 && lots > told);
}

/// The lots before, with what a correction does to them, are the lots after; what it leaves alone it does not name.
#[track_caller]
fn lots_between(before: &PositionView, after: &PositionView, told: &[LotDifference]) -> usize {
    type Row = (String, i64, i128, i128, Date);
    let row =
        |lot: &LotView| (lot.trade_id.to_string(), lot.quantity_e8, lot.cost_e16, lot.base_cost_e16, lot.acquired);
    let told_row =
        |id: &str, lot: &Lot| (id.to_owned(), lot.quantity_e8, lot.cost_e16, lot.base_cost_e16, lot.acquired);
    let mut lots: Vec<Row> = before.lots.iter().map(row).collect();
    for difference in told {
        assert_ne!(difference.before, difference.after);
        if let Some(lot) = &difference.before {
            let gone = told_row(&difference.trade_id, lot);
            lots.remove(lots.iter().position(|held| *held == gone).expect("a lot that was shown before"));
        }
        lots.extend(difference.after.iter().map(|lot| told_row(&difference.trade_id, lot)));
    }
    let mut shown: Vec<Row> = after.lots.iter().map(row).collect();
    lots.sort_unstable();
    shown.sort_unstable();
    assert_eq!(lots, shown);
    told.len()
}

#[test]
fn what_is_not_complete_is_refused_and_a_time_finds_its_sequence() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::new(&own_tail(small(dir.path()), dir.path()), 3);
    world.run(120);
    let host = &world.rig.host;
    let view = host.model().positions()[0].clone();
    let account = host.directory().find(NameClass::Account, &view.account).expect("a name");
    let ask = |known_at, since| {
        host.past().ask(&Question { account, instrument: view.instrument_id, as_of: None, known_at, since })
    };
    // Until the last event is durable and shown, what is complete moves.
    let deadline = Instant::now() + PATIENCE;
    while host.past().complete() < host.log().published_sequence() {
        assert!(Instant::now() < deadline, "never complete");
        std::thread::sleep(Duration::from_millis(1));
    }
    let complete = host.past().complete();
    assert!(matches!(ask(Moment::Sequence(complete + 1_000_000), None), Err(PastError::Beyond { .. })));
    assert!(matches!(ask(Moment::Sequence(1), None), Err(PastError::Unknown { known_at: 1 })));
    let (since, known_at) = (Some(Moment::Sequence(complete)), Moment::Sequence(complete - 1));
    assert!(matches!(ask(known_at, since), Err(PastError::Order { .. })));
    let now = ask(Moment::Now, None).expect("an answer");
    // More may have become durable meanwhile.
    assert!(ask(Moment::Time(i64::MAX), None).expect("an answer").known_at >= complete);
    assert!(matches!(ask(Moment::Time(0), None), Err(PastError::Unknown { .. })));
    assert!(now.known_at >= complete);
    // Later than the business date: as it stood.
    let question = Question {
        account,
        instrument: view.instrument_id,
        as_of: Some(Date(world.today + 100)),
        known_at: Moment::Now,
        since: None,
    };
    assert_eq!(host.past().ask(&question).expect("an answer").as_of, None);
}
