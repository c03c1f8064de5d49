//! Late trades through the whole engine: whatever the order of arrival, the number of doors and the
//! crashes between, the reconciled positions are the oracle's over the accepted set, and the corrections
//! are exactly the difference.

mod hot;
mod kept;
pub(crate) mod workers;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lotbook_core::Book;
use lotbook_core::amend_event::AmendEvent;
use lotbook_core::codec::Decoder;
use lotbook_core::command::{Command, NameClass, Origin, Side, TradeInput, TradeType};
use lotbook_core::event::{Class, CorrectedEvent, Event, Figures, TradeEvent};
use lotbook_core::id::TradeHash;
use lotbook_core::outcome::Outcome;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::LotMethod;
use lotbook_engine::follower::Observer;
use lotbook_engine::{Answer, Door, EngineConfig, Host, Request, Status};
use lotbook_perf::rng::Rng;
use lotbook_tests::lots_told::lots_are_told;
use lotbook_tests::rig::{Naming, PATIENCE, Rig, config};
use lotbook_wal::{From, Limit, RecordHeader};

use crate::support::{E8, ORACLE_METHODS, Spec, compare_view, long_form, oracle_books, shuffle, sort_chronologically};

/// Trades of one door: dates spread over a month, ties on time, eight decimals.
pub(crate) fn trades(
    rng: &mut Rng,
    ids: std::ops::Range<u32>,
    accounts: std::ops::Range<u32>,
    instruments: u32,
) -> Vec<Spec> {
    ids.map(|id| {
        let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
        let mut spec =
            Spec::new(id, side, rng.between(1, 90 * E8), rng.between(10 * E8, 13 * E8), 100 + rng.below(30) as i32);
        spec.account = rng.between(i64::from(accounts.start), i64::from(accounts.end) - 1) as u32;
        spec.instrument = rng.below(u64::from(instruments)) as u32;
        spec.at_ns = rng.between(0, 3);
        spec.order = u64::from(id);
        spec.fees_e8 = rng.between(0, 5);
        spec
    })
    .collect()
}

/// The input of a trade in a host.
pub(crate) fn input(host: &Host, spec: &Spec) -> TradeInput {
    let directory = host.directory();
    let account = directory.name(NameClass::Account, &format!("A{}", spec.account));
    let instrument = directory.name(NameClass::Instrument, &format!("I{}", spec.instrument));
    let namespace = directory.name(NameClass::Namespace, "test");
    TradeInput { namespace, ..spec.input(account, instrument) }
}

/// The accepted trades, by the answers.
pub(crate) fn accepted(sent: &[Spec], answers: &[Answer]) -> Vec<Spec> {
    assert_eq!(sent.len(), answers.len());
    let taken = |answer: &Answer| matches!(answer.status, Status::Trade(class) if class.is_accepted());
    sent.iter().zip(answers).filter(|(_, answer)| taken(answer)).map(|(spec, _)| *spec).collect()
}

/// Every published position is the oracle's, and there are no others.
pub(crate) fn equals_oracle(host: &Host, accepted: &[Spec], method: LotMethod) {
    assert!(host.wait_reconciled(PATIENCE), "{:?} {:?}", host.error(), host.dead_letters());
    let wanted = oracle_books(accepted, method);
    let views = host.model().positions();
    assert_eq!(views.len(), wanted.len(), "number of positions");
    for ((account, instrument), wanted) in &wanted {
        let names = (format!("A{account}"), format!("I{instrument}"));
        let view = views
            .iter()
            .find(|view| (&*view.account, &*view.instrument) == (names.0.as_str(), names.1.as_str()))
            .unwrap_or_else(|| panic!("{names:?} is missing"));
        assert_ne!(view.reconciliation, Reconciliation::Provisional, "{names:?}");
        assert_eq!(view.provisional_trade_ids.len(), 0, "{names:?}");
        compare_view(wanted, view).unwrap_or_else(|what| panic!("{names:?}: {what}"));
    }
}

/// Sends through a door of one's own, keeping at most `ahead` in flight; gives the answers in order.
fn send_all(door: &mut Door, inputs: &[TradeInput], source: u32, ahead: usize) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(inputs.len());
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    while answers.len() < inputs.len() {
        while sent < inputs.len() && door.outstanding() < ahead {
            let origin = Origin { source, source_offset: sent as u64 + 1, ..Origin::INTERNAL };
            door.submit(Request { token: sent as u64, origin, command: Command::Trade(inputs[sent]) })
                .expect("room was asked for");
            sent += 1;
        }
        match door.poll() {
            Some(answer) => {
                assert_eq!(answer.token, answers.len() as u64, "answers come in the order of the requests");
                answers.push(answer);
            }
            None => lotbook_engine::wait::nap(),
        }
        assert!(Instant::now() < deadline, "no answer");
    }
    answers
}

/// Figures as the events tell them: each trade adds, each correction replaces.
#[derive(Debug, Default)]
struct Told {
    figures: HashMap<u32, Figures>,
    /// As they were at each version.
    versions: HashMap<(u32, u64), Figures>,
    rebooked: u64,
    left: u64,
    estimated_e16: i128,
    corrected_e16: i128,
    late: u64,
    corrections: u64,
    reconciles: u64,
    /// Of each position what each trade realized, as told last: by its event, or by a body that names it; with the version.
    parts: HashMap<u32, HashMap<TradeHash, (u64, i128)>>,
    wrong: Vec<String>,
}

impl Told {
    fn trade(&mut self, event: &TradeEvent<'_>) {
        if !matches!(event.class, Class::Applied | Class::Provisional | Class::Matured | Class::Rebooked) {
            return;
        }
        let parts = self.parts.entry(event.position).or_default();
        parts.insert(event.input.hash, (event.version, event.realized_e16));
        self.rebooked += u64::from(event.class == Class::Rebooked);
        self.late += u64::from(event.class == Class::Provisional);
        let figures = self.figures.entry(event.position).or_default();
        figures.quantity_e8 += event.input.signed_quantity_e8();
        figures.realized_e16 += event.realized_e16;
        figures.cost_e16 += event.opened_cost_e16 - event.closed_cost_e16;
        self.versions.insert((event.position, event.version), *figures);
        self.estimated_e16 += event.realized_e16;
    }

    fn corrected(&mut self, event: &CorrectedEvent) {
        let known = self.figures.entry(event.position).or_default();
        let before = event.before;
        // What came behind the version that was replayed is taken back, and booked again by the events that follow.
        let now = *known;
        if event.tail > 0 {
            *known = self.versions[&(event.position, event.base_version)];
            self.estimated_e16 -= now.realized_e16 - known.realized_e16;
        }
        if (before.quantity_e8, before.realized_e16, before.cost_e16)
            != (known.quantity_e8, known.realized_e16, known.cost_e16)
        {
            self.wrong.push(format!("position {}: before {before:?}, told {known:?}", event.position));
        }
        if before.quantity_e8 != event.after.quantity_e8 {
            self.wrong.push(format!("position {}: a correction moved the quantity", event.position));
        }
        if event.version != event.base_version + u64::from(event.tail) + 1 {
            self.wrong.push(format!("position {}: versions {event:?}", event.position));
        }
        *known = event.after;
        self.versions.insert((event.position, event.version), event.after);
        self.left += u64::from(event.left);
        self.corrected_e16 += event.after.realized_e16 - before.realized_e16;
        self.corrections += 1;
        self.reconciles += u64::from(event.late_trades);
    }

    /// Estimates plus corrections are the final figures of every position, and each lot that a correction changes is told. Says how many.
    fn sums_up(&self, host: &Host) -> usize {
        assert_eq!(self.wrong, Vec::<String>::new());
        let views = host.model().positions();
        let realized: i128 = views.iter().map(|view| view.realized_e16).sum();
        assert_eq!(self.estimated_e16 + self.corrected_e16, realized, "corrections are not the difference");
        assert_eq!(self.reconciles, self.late, "every late trade is reconciled by exactly one correction");
        let mut told: Vec<_> = self.figures.values().map(|f| (f.quantity_e8, f.realized_e16, f.cost_e16)).collect();
        let mut seen: Vec<_> = views.iter().map(|v| (v.quantity_e8, v.realized_e16, v.cost_e16)).collect();
        told.sort_unstable();
        seen.sort_unstable();
        assert_eq!(told, seen);
        lots_are_told(host)
    }

    /// Reads the whole log from its first record.
    fn from_log(host: &Host) -> Self {
        let mut told = Self::default();
        let mut reader = host.log().reader(From::Sequence(1)).expect("a log that nothing was dropped from");
        let mut decoder = Decoder::new();
        while let Some(record) = reader.next(Limit::Applied).expect("a sound log") {
            if record.header.kind >= 0xFF00 {
                continue;
            }
            match decoder.decode(record.header.kind, record.header.version, record.payload).expect("an event") {
                Event::Trade(trade) => told.trade(&trade),
                Event::Corrected(corrected) => told.corrected(&corrected),
                _ => {}
            }
        }
        told
    }
}

struct Listener(Arc<Mutex<Told>>);

impl Observer for Listener {
    fn trade(&mut self, before: &Book, _: &RecordHeader, event: &TradeEvent<'_>) {
        let mut told = self.0.lock().expect("not poisoned");
        if let (Some(position), Some(known)) =
            (before.positions().get(event.position as usize), told.figures.get(&event.position).copied())
            && known.realized_e16 != position.realized_e16
        {
            told.wrong.push(format!("before {}: {known:?}", event.input.trade_id));
        }
        told.trade(event);
    }

    fn amended(&mut self, _: &Book, _: &RecordHeader, _: &AmendEvent<'_>) {}

    fn corrected(&mut self, before: &Book, _: &RecordHeader, event: &CorrectedEvent, outcome: &Outcome) {
        let mut told = self.0.lock().expect("not poisoned");
        let position = &before.positions()[event.position as usize];
        if (event.tail == 0 && position.figures() != event.before) || outcome.after != event.after {
            told.wrong.push(format!("position {}: the book and the correction disagree", event.position));
        }
        let parts = told.parts.entry(event.position).or_default();
        // What came behind the version that was replayed is booked again by the events that follow.
        parts.retain(|_, (version, _)| *version <= event.base_version);
        parts.extend(outcome.trades.iter().map(|trade| (trade.hash, (event.base_version, trade.realized_e16))));
        let sum: i128 = parts.values().map(|(_, realized_e16)| realized_e16).sum();
        if sum != event.after.realized_e16 {
            told.wrong.push(format!("position {}: events and bodies do not sum up by trade", event.position));
        }
        told.corrected(event);
    }
}

#[test]
fn shuffled_arrivals_become_the_chronological_book() {
    for (round, method) in ORACLE_METHODS.into_iter().enumerate() {
        for allow_short in [true, false] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let told = Arc::new(Mutex::new(Told::default()));
            let mut host = Host::start_observed(&config(dir.path()), Some(Box::new(Listener(told.clone()))))
                .unwrap_or_else(|error| panic!("start: {error}"));
            let door = host.open_door().expect("a first door");
            let mut rig = Rig::over(host, door);
            rig.rules(method, allow_short, 0);
            let mut rng = Rng::new(round as u64, u64::from(allow_short));
            let mut list = trades(&mut rng, 0..6_000, 0..8, 4);
            sort_chronologically(&mut list);
            // A tenth arrives anywhere, the rest in order.
            let (mut late, mut arrived): (Vec<_>, Vec<_>) = list.into_iter().partition(|_| rng.below(10) == 0);
            shuffle(&mut late, &mut rng);
            for spec in late {
                arrived.insert(rng.below(arrived.len() as u64 + 1) as usize, spec);
            }
            let inputs: Vec<_> = arrived.iter().map(|spec| input(&rig.host, spec)).collect();
            let answers = rig.ask_all(inputs);
            let accepted = accepted(&arrived, &answers);
            assert!(if allow_short { accepted.len() == 6_000 } else { accepted.len() < 6_000 });
            equals_oracle(&rig.host, &accepted, method);
            let told = told.lock().expect("not poisoned");
            assert!(told.late > 100, "{}", told.late);
            assert!(told.corrections > 0);
            assert!(told.sums_up(&rig.host) > 0);
        }
    }
}

/// Four doors on threads of their own, each with accounts that nobody else trades and some that all do.
#[test]
fn doors_at_once_on_shared_positions() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut host = Host::start(&config(dir.path())).unwrap_or_else(|error| panic!("start: {error}"));
    let door = host.open_door().expect("a first door");
    let mut rig = Rig::over(host, door);
    rig.rules(LotMethod::Fifo, true, 0);
    let work: Vec<(Door, Vec<Spec>, Vec<TradeInput>)> = (0..4u32)
        .map(|number| {
            let door = rig.host.open_door().expect("a door");
            let mut rng = Rng::new(9, u64::from(number));
            let ids = number * 10_000..number * 10_000 + 5_000;
            let mut list = trades(&mut rng, ids, number * 2..number * 2 + 2, 3);
            for spec in &mut list {
                // A third goes to the account that all doors share.
                if rng.below(3) == 0 {
                    spec.account = 99;
                }
            }
            let inputs = list.iter().map(|spec| input(&rig.host, spec)).collect();
            (door, list, inputs)
        })
        .collect();
    let threads: Vec<_> = work
        .into_iter()
        .enumerate()
        .map(|(number, (mut door, list, inputs))| {
            thread::spawn(move || {
                let answers = send_all(&mut door, &inputs, number as u32, 1 + number * 500);
                accepted(&list, &answers)
            })
        })
        .collect();
    let all: Vec<Spec> = threads.into_iter().flat_map(|thread| thread.join().expect("a sender")).collect();
    assert_eq!(all.len(), 20_000);
    equals_oracle(&rig.host, &all, LotMethod::Fifo);
    Told::from_log(&rig.host).sums_up(&rig.host);
}

/// Crashes at random moments, with trades in flight and corrections under way. What was not answered is
/// sent again after the restart, as a client does; a duplicate answer then means that it was in.
#[test]
fn crashes_between_late_trade_and_correction() {
    let rounds = if long_form() { 200 } else { 12 };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config: EngineConfig = config(dir.path());
    config.checkpoint_records = 3_000;
    let mut rng = Rng::new(21, 0);
    let list = trades(&mut rng, 0..rounds * 1_000, 0..10, 4);
    let (mut at, mut duplicates, mut open_at_start) = (0, 0, 0);
    let mut known: BTreeMap<u32, u64> = BTreeMap::new();
    for round in 0..rounds {
        let mut host = Host::start(&config).unwrap_or_else(|error| panic!("start {round}: {error}"));
        let door = host.open_door().expect("a first door");
        let mut rig = Rig::over(host, door);
        if round == 0 {
            rig.rules(LotMethod::Lifo, true, 0);
        }
        open_at_start += rig.host.model().provisional_positions();
        let stop_after = rng.between(100, 2_000) as usize;
        let pause = Duration::from_micros(rng.below(4_000));
        let mut sent = at;
        let mut answered = at;
        while answered - at < stop_after && answered < list.len() {
            while sent < list.len() && rig.door.outstanding() < 700 {
                let request = Request {
                    token: sent as u64,
                    origin: Origin { source_offset: sent as u64 + 1, ..Origin::INTERNAL },
                    command: Command::Trade(input(&rig.host, &list[sent])),
                };
                rig.door.submit(request).expect("room was asked for");
                sent += 1;
            }
            let answer = rig.await_answer();
            assert_eq!(answer.token, answered as u64);
            let id = list[answered].id;
            let sequence = match answer.status {
                Status::Trade(Class::Duplicate) => {
                    duplicates += 1;
                    answer.first_sequence
                }
                Status::Trade(class) if class.is_accepted() => {
                    assert_eq!(known.get(&id), None, "t{id} was acknowledged before and is accepted again");
                    answer.sequence
                }
                other => panic!("t{id}: {other:?} {:?}", answer.reason),
            };
            assert_eq!(*known.entry(id).or_insert(sequence), sequence, "t{id} moved");
            answered += 1;
        }
        at = answered;
        thread::sleep(pause);
        if round % 5 == 4 {
            drop(rig.door);
            rig.host.stop().expect("a clean stop");
        } else {
            rig.host.crash();
        }
        // Some of what was answered is sent again too.
        at = at.saturating_sub(rng.below(50) as usize);
    }
    let mut rig = Rig::start(&config);
    let inputs: Vec<_> = list[at..].iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs);
    equals_oracle(&rig.host, &list, LotMethod::Lifo);
    Told::from_log(&rig.host).sums_up(&rig.host);
    assert!(duplicates > 0);
    assert!(open_at_start > 0, "no crash fell between a late trade and its correction");
}

/// A position that goes on trading while it is provisional is reconciled all the same once the input stops.
#[test]
fn a_busy_position_is_reconciled_when_the_input_stops() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Hifo, true, 0);
    let mut list = Vec::new();
    let until = Instant::now() + Duration::from_secs(2);
    let mut rng = Rng::new(3, 3);
    while Instant::now() < until && list.len() < 8_000 {
        let from = list.len() as u32;
        for id in from..from + 50 {
            let late = id > 100 && rng.below(10) == 0;
            let side = if rng.below(2) == 0 { Side::Buy } else { Side::Sell };
            let mut spec = Spec::new(id, side, rng.between(1, 9 * E8), rng.between(E8, 2 * E8), 50);
            (spec.at_ns, spec.order) = (if late { i64::from(id) - 90 } else { i64::from(id) }, u64::from(id));
            list.push(spec);
        }
        let inputs: Vec<_> = list[from as usize..].iter().map(|spec| input(&rig.host, spec)).collect();
        rig.ask_all(inputs);
        thread::sleep(Duration::from_millis(10));
    }
    let began = Instant::now();
    equals_oracle(&rig.host, &list, LotMethod::Hifo);
    let (corrected, stale) = rig.host.counters().corrections();
    println!("{} trades, {corrected} corrections, {stale} stale, reconciled in {:?}", list.len(), began.elapsed());
    assert!(corrected > 0);
    Told::from_log(&rig.host).sums_up(&rig.host);
}

/// A late trade that only its own place makes illegal is carried and makes the position PENDING, also
/// after a crash; a late one that heals it makes it RECONCILED again.
#[test]
fn breaks_make_pending_and_heal() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(dir.path());
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Fifo, false, 0);
    let list = [
        Spec::new(0, Side::Buy, 10 * E8, 5 * E8, 20),
        // Fits the ten held now; on day 10 there was nothing to sell.
        Spec::new(1, Side::Sell, 4 * E8, 6 * E8, 10),
        Spec::new(2, Side::Buy, 4 * E8, 3 * E8, 5),
    ];
    let send = |rig: &mut Rig, spec: &Spec| {
        let input = input(&rig.host, spec);
        let answers = rig.ask_all([input]);
        assert!(matches!(answers[0].status, Status::Trade(class) if class.is_accepted()));
        assert!(rig.host.wait_reconciled(PATIENCE));
        let view = rig.host.model().positions()[0].clone();
        (view.reconciliation, view.breaks.len())
    };
    assert_eq!(send(&mut rig, &list[0]), (Reconciliation::Reconciled, 0));
    assert_eq!(send(&mut rig, &list[1]), (Reconciliation::Pending, 1));
    equals_oracle(&rig.host, &list[..2], LotMethod::Fifo);
    rig.host.crash();
    let mut rig = Rig::start(&config);
    assert_eq!(rig.host.model().positions()[0].reconciliation, Reconciliation::Pending);
    assert_eq!(send(&mut rig, &list[2]), (Reconciliation::Reconciled, 0));
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
    assert_eq!(list[1].trade_type, TradeType::Any);
}

/// A body used to be one group of records, and a group must fit the side log's tail whole: from about
/// 60,000 trades in a position on the coldpath waited for ever, for every position, and the host with it.
#[test]
fn a_long_history_does_not_wedge_the_coldpath() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(&config(dir.path()));
    rig.rules(LotMethod::Fifo, true, 0);
    let mut list: Vec<Spec> = (0..80_000)
        .map(|id| {
            let mut spec = Spec::new(id, if id % 2 == 0 { Side::Buy } else { Side::Sell }, E8, E8, 10);
            spec.order = u64::from(id);
            spec
        })
        .collect();
    list.push(Spec::new(90_000, Side::Buy, E8, E8, 9));
    let inputs: Vec<_> = list.iter().map(|spec| input(&rig.host, spec)).collect();
    rig.ask_all(inputs);
    if !rig.host.wait_reconciled(PATIENCE) {
        // Stopping it would wait for the coldpath.
        std::mem::forget(rig);
        panic!("not reconciled");
    }
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
}

/// What awaits the coldpath is state: it survives a clean stop (checkpoint) and a crash (log), trade by trade.
#[test]
fn what_is_provisional_survives_stops_and_crashes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path());
    config.coldpath = false;
    let list: Vec<Spec> = (0..6).map(|id| Spec::new(id, Side::Buy, E8, E8, 30 - id as i32)).collect();
    let mut wanted: Vec<String> = Vec::new();
    for (round, spec) in list.iter().enumerate() {
        let mut rig = Rig::start(&config);
        if round == 0 {
            rig.rules(LotMethod::Fifo, true, 0);
        } else {
            wanted.push(spec.trade_id());
        }
        let input = input(&rig.host, spec);
        let class = if round == 0 { Class::Applied } else { Class::Provisional };
        assert_eq!(rig.ask_all([input])[0].status, Status::Trade(class));
        assert!(rig.host.wait_published(PATIENCE));
        let view = rig.host.model().positions()[0].clone();
        let ids: Vec<String> = view.provisional_trade_ids.iter().map(ToString::to_string).collect();
        assert_eq!(ids, wanted, "round {round}");
        assert_eq!(rig.host.model().provisional_positions(), u64::from(round > 0));
        if round % 2 == 0 {
            rig.host.crash();
        } else {
            drop(rig.door);
            rig.host.stop().expect("a clean stop");
        }
    }
    let rig = Rig::start(&config);
    rig.host.coldpath().resume();
    equals_oracle(&rig.host, &list, LotMethod::Fifo);
    let told = Told::from_log(&rig.host);
    assert_eq!((told.corrections, told.reconciles), (1, 5));
    told.sums_up(&rig.host);
}
