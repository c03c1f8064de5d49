//! Amendments through a whole host: cut at every record of its log, crashed, stopped and started from checkpoints, in
//! any order of arrival; what was acknowledged is there, what is held stays held, and corrections are the difference.

use std::collections::BTreeMap;
use std::path::Path;

use lotbook_core::amend::AmendInput;
use lotbook_core::codec::{Decoder, kind};
use lotbook_core::command::{Command, NameClass, Side};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Event, Figures, Reason};
use lotbook_core::limits::HELD_DATES_MAX;
use lotbook_core::position::Reconciliation;
use lotbook_core::rules::LotMethod;
use lotbook_engine::{Answer, EngineConfig, Host, PositionView, Status};
use lotbook_perf::oracle;
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::{Naming, PATIENCE, Rig, config};
use lotbook_wal::{From, Group, Limit, LogConfig, RecordMeta};

use super::rig::{Amend, AmendRig, Arrival, Of, effective};
use super::{NAMES, arrivals, rules};
use crate::coldpath::input;
use crate::support::{E8, Spec, compare_view, long_form, oracle_books, oracle_method, shuffle};

fn amend_input(host: &Host, amend: &Amend) -> AmendInput {
    let namespace = host.directory().name(NameClass::Namespace, "test");
    AmendInput { namespace, ..amend.input() }
}

fn class_of(answer: &Answer) -> Class {
    match answer.status {
        Status::Trade(class) => class,
        other => panic!("{other:?} {:?}", answer.reason),
    }
}

/// Takes one thing in; says what became of it.
pub(super) fn arrive(rig: &mut Rig, arrival: &Arrival) -> (Class, Reason) {
    let command = match arrival {
        Arrival::Trade(spec) => Command::Trade(input(&rig.host, spec)),
        Arrival::Amend(amend) => Command::Amend(amend_input(&rig.host, amend)),
        Arrival::Date(day) => {
            let answer = rig.ask(Command::BusinessDate(Date(*day)));
            assert!(matches!(answer.status, Status::Done | Status::Refused), "{answer:?}");
            return (Class::Applied, answer.reason);
        }
        Arrival::Reconcile => return (Class::Applied, Reason::None),
    };
    let answer = rig.ask(command);
    (class_of(&answer), answer.reason)
}

/// As a client does that does not know what was taken: everything again.
fn send_again(rig: &mut Rig, list: &[Arrival]) {
    for arrival in list {
        arrive(rig, arrival);
    }
}

fn view(views: &[std::sync::Arc<PositionView>], spec: (u32, u32)) -> Option<&PositionView> {
    let names = (format!("A{}", spec.0), format!("I{}", spec.1));
    views.iter().find(|view| (&*view.account, &*view.instrument) == (names.0.as_str(), names.1.as_str())).map(|v| &**v)
}

/// After the coldpath the host has the naive reading of what the model accepted, and holds what the model holds.
pub(super) fn agrees_with(host: &Host, model: &AmendRig, method: LotMethod, name: &str) {
    assert!(host.wait_reconciled(PATIENCE), "{name}: {:?} {:?}", host.error(), host.dead_letters());
    assert!(host.wait_published(PATIENCE), "{name}: {:?}", host.error());
    let counts = effective(&model.trades, &model.amends);
    let books = oracle_books(&counts, method);
    let nothing = oracle::book(Vec::new(), oracle_method(method));
    let views = host.model().positions();
    let mut positions: Vec<(u32, u32)> = model.trades.iter().map(Spec::position).collect();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(views.len(), positions.len(), "{name}: number of positions");
    for position in positions {
        let found = view(&views, position).unwrap_or_else(|| panic!("{name}: {position:?} is missing"));
        assert_ne!(found.reconciliation, Reconciliation::Provisional, "{name}: {position:?}");
        compare_view(books.get(&position).unwrap_or(&nothing), found)
            .unwrap_or_else(|what| panic!("{name}: {position:?}: {what}"));
    }
    let names = |mut ids: Vec<String>| {
        ids.sort_unstable();
        ids
    };
    let held = names(host.model().held().iter().map(|held| held.amend_id.as_ref().into()).collect());
    let wanted = names(model.book.held().iter().map(|held| held.input.amend_id.as_str().to_owned()).collect());
    assert_eq!(held, wanted, "{name}: held");
    assert_eq!(host.counters().held(), wanted.len() as u64, "{name}: counted as held");
    assert_eq!(host.model().economic_digest(), model.book.economic_digest(), "{name}: economic digest");
}

/// The first records of a log, up to a sequence, as the log of another data directory: what a process that was killed
/// right behind that record leaves.
pub(crate) fn cut(from: &Host, last: u64, config: &EngineConfig) {
    std::fs::create_dir_all(config.data_dir.join("log")).expect("a temporary directory");
    let mut wanted = LogConfig::new(config.data_dir.join("log"));
    wanted.tail_dir.clone_from(&config.tail_dir);
    wanted.segment_bytes = config.segment_bytes;
    wanted.tail_blocks = config.tail_blocks;
    wanted.name = "log";
    let mut opened = lotbook_wal::open(wanted).expect("an empty directory");
    let mut reader = from.log().reader(From::Sequence(1)).expect("a log that nothing was dropped from");
    while let Some(record) = reader.next(Limit::Applied).expect("a sound log") {
        let header = record.header;
        if header.sequence > last {
            break;
        }
        if header.kind >= 0xFF00 {
            continue;
        }
        let meta = RecordMeta {
            kind: header.kind,
            version: header.version,
            partition: header.partition,
            previous: header.previous,
            group: Group::Single,
        };
        let place = opened
            .appender
            .append(&meta, record.payload.len(), |out| out.copy_from_slice(record.payload))
            .expect("room in an empty log");
        // Back-links are addresses: a copy is a log only where every record has its own.
        assert_eq!((place.sequence, place.address), (header.sequence, header.address));
    }
    opened.appender.abandon();
}

/// Sequences of a log, with whether the record is a held amendment's that was booked or lapsed.
pub(crate) fn records(host: &Host) -> Vec<(u64, bool)> {
    let mut reader = host.log().reader(From::Sequence(1)).expect("a log that nothing was dropped from");
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    while let Some(record) = reader.next(Limit::Applied).expect("a sound log") {
        let header = record.header;
        if header.kind < 0xFF00 {
            let event = decoder.decode(header.kind, header.version, record.payload).expect("an event");
            found.push((
                header.sequence,
                matches!(&event, Event::Amended(amend) if amend.first_sequence != 0 && amend.class == Class::Provisional),
            ));
        }
    }
    found
}

fn host_on(dir: &Path, coldpath: bool) -> EngineConfig {
    EngineConfig { coldpath, ..config(dir) }
}

/// A kill between a target's event and its held amendment's, and between any other two: the next start books what is
/// due, and what is sent again changes nothing.
#[test]
fn a_log_cut_behind_any_record_comes_to_the_same_book() {
    let seeds = if long_form() { 40 } else { 1 };
    let (mut cuts, mut between) = (0, 0);
    for seed in 0..seeds {
        let mut rng = Rng::new(seed, 980);
        let list: Vec<Arrival> =
            arrivals(&mut rng, 4, false).into_iter().filter(|arrival| *arrival != Arrival::Reconcile).collect();
        let mut model = AmendRig::new(rules(LotMethod::Hifo, true), NAMES);
        list.iter().for_each(|arrival| {
            model.arrive(arrival);
        });
        model.reconcile();
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Without corrections the records are the same in every run.
        let mut whole = Rig::start(&host_on(dir.path(), false));
        whole.rules(LotMethod::Hifo, true, -1_000_000);
        send_again(&mut whole, &list);
        let records = records(&whole.host);
        let at_random: Vec<u64> = (0..4).map(|_| records[rng.below(records.len() as u64) as usize].0).collect();
        for pair in records.windows(2) {
            let [(last, _), (_, is_match)] = *pair else { unreachable!("two at a time") };
            between += u64::from(is_match);
            if !is_match && !at_random.contains(&last) {
                continue;
            }
            cuts += 1;
            let dir = tempfile::tempdir().expect("a temporary directory");
            let config = host_on(dir.path(), true);
            cut(&whole.host, last, &config);
            let mut rig = Rig::start(&config);
            rig.rules(LotMethod::Hifo, true, -1_000_000);
            // What was held when its target came is booked without anybody asking.
            let name = format!("seed {seed} cut behind {last}");
            assert!(rig.host.wait_reconciled(PATIENCE), "{name}: {:?}", rig.host.error());
            send_again(&mut rig, &list);
            agrees_with(&rig.host, &model, LotMethod::Hifo, &name);
            drop(rig.door);
            rig.host.stop().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        whole.host.crash();
    }
    println!("{cuts} cuts, {between} of them between a target and what was held for it");
    assert!(between > seeds * 2);
}

/// What is told by events: each trade and estimate adds, each correction replaces.
#[derive(Debug, Default)]
struct Told {
    figures: BTreeMap<u32, (i128, i128, i128)>,
    /// As they were at each version of a position.
    versions: BTreeMap<(u32, u64), (i128, i128, i128)>,
    estimated_e16: i128,
    corrected_e16: i128,
    waited: u64,
    served: u64,
}

impl Told {
    fn of(host: &Host) -> Self {
        let mut told = Self::default();
        let mut reader = host.log().reader(From::Sequence(1)).expect("a log that nothing was dropped from");
        let mut decoder = Decoder::new();
        while let Some(record) = reader.next(Limit::Applied).expect("a sound log") {
            let header = record.header;
            if header.kind >= 0xFF00 || header.kind == kind::DIGESTS {
                continue;
            }
            let event = decoder.decode(header.kind, header.version, record.payload).expect("an event");
            told.take(&event);
        }
        told
    }

    /// Remembers a position's figures at a version.
    fn keep(&mut self, position: u32, version: u64) {
        self.versions.insert((position, version), self.figures[&position]);
    }

    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Trade(trade)
                if matches!(trade.class, Class::Applied | Class::Provisional | Class::Matured | Class::Rebooked) =>
            {
                let (quantity, realized, cost) = self.figures.entry(trade.position).or_default();
                *quantity += i128::from(trade.input.signed_quantity_e8());
                *realized += trade.realized_e16;
                *cost += trade.opened_cost_e16 - trade.closed_cost_e16;
                self.estimated_e16 += trade.realized_e16;
                self.waited += u64::from(trade.late && trade.class != Class::Rebooked);
                self.keep(trade.position, trade.version);
            }
            Event::Amended(amend) if amend.class == Class::Provisional => {
                let (quantity, _, cost) = self.figures.entry(amend.position).or_default();
                *quantity += i128::from(amend.estimate.moved_e8);
                *cost += amend.estimate.opened_cost_e16 - amend.estimate.closed_cost_e16;
                self.waited += 1;
                self.keep(amend.position, amend.version);
            }
            Event::Corrected(corrected) => {
                let of = |f: &Figures| (i128::from(f.quantity_e8), f.realized_e16, f.cost_e16);
                let (before, after) = (of(&corrected.before), of(&corrected.after));
                let known = self.figures.entry(corrected.position).or_default();
                if corrected.tail > 0 {
                    // What came behind the version that was replayed is taken back; the events that follow book it again.
                    let past = self
                        .versions
                        .range((corrected.position, 0)..=(corrected.position, corrected.base_version))
                        .next_back();
                    let base = past.map_or_else(Default::default, |(_, figures)| *figures);
                    self.estimated_e16 -= known.1 - base.1;
                    *known = base;
                }
                assert_eq!(*known, before, "position {}: the estimates do not sum up", corrected.position);
                assert_eq!(before.0, after.0, "position {}: a correction moved the quantity", corrected.position);
                *known = after;
                self.corrected_e16 += after.1 - before.1;
                self.served += u64::from(corrected.late_trades);
                self.keep(corrected.position, corrected.version);
            }
            _ => {}
        }
    }
}

/// Random histories of trades and amendments, the host crashing or stopping between, with checkpoints every few
/// records: answers are the model's, and after the coldpath so is the book; corrections are exactly the difference.
#[test]
fn any_order_of_arrival_through_a_host_that_comes_and_goes() {
    let seeds = if long_form() { 400 } else { 4 };
    let (mut count, mut starts, mut from_checkpoints) = (0, 0, 0);
    for seed in 0..seeds {
        let mut rng = Rng::new(seed, 990);
        let method = [LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo][seed as usize % 3];
        let list = arrivals(&mut rng, 5, false);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = host_on(dir.path(), true);
        config.checkpoint_records = rng.below(30) + 5;
        let mut model = AmendRig::new(rules(method, true), NAMES);
        let mut rig = Rig::start(&config);
        rig.rules(method, true, -1_000_000);
        for (at, arrival) in list.iter().enumerate() {
            let name = format!("seed {seed} arrival {at} {arrival:?}");
            let accepted = |(class, reason): (Class, Reason)| (class.is_accepted() || class == Class::Held, reason);
            assert_eq!(accepted(arrive(&mut rig, arrival)), accepted(model.arrive(arrival)), "{name}");
            count += 1;
            if rng.below(12) == 0 {
                starts += 1;
                drop(rig.door);
                if rng.below(2) == 0 {
                    rig.host.crash();
                } else {
                    rig.host.stop().unwrap_or_else(|error| panic!("{name}: a clean stop: {error}"));
                }
                rig = Rig::start(&config);
                from_checkpoints += u64::from(rig.host.report().checkpoint_sequence > 0);
                // What was accepted is known again; so is what is held.
                for arrival in &list[..=at] {
                    if matches!(arrival, Arrival::Trade(_)) || model.holds(arrival) {
                        assert_eq!(arrive(&mut rig, arrival).0, Class::Duplicate, "{name}: {arrival:?}");
                    }
                }
            }
        }
        model.reconcile();
        agrees_with(&rig.host, &model, method, &format!("seed {seed}"));
        let told = Told::of(&rig.host);
        let views = rig.host.model().positions();
        let realized: i128 = views.iter().map(|view| view.realized_e16).sum();
        assert_eq!(
            told.estimated_e16 + told.corrected_e16,
            realized,
            "seed {seed}: corrections are not the difference"
        );
        assert_eq!(told.waited, told.served, "seed {seed}: each late event is in exactly one correction");
        rig.host.crash();
    }
    println!("{count} arrivals through a host, {starts} starts, {from_checkpoints} of them from a checkpoint");
    assert!(from_checkpoints > seeds / 2);
}

/// Cancel of x is the history without x, a cancel of the cancel brings it back, and a correct is the history with the
/// changed trade: whole published positions, in any order of arrival.
#[test]
fn a_host_that_was_told_to_forget_a_trade_never_heard_of_it() {
    let seeds = if long_form() { 200 } else { 2 };
    for seed in 0..seeds {
        let mut rng = Rng::new(seed, 1_010);
        let trades: Vec<Arrival> =
            arrivals(&mut rng, 5, false).into_iter().filter(|arrival| matches!(arrival, Arrival::Trade(_))).collect();
        let x = rng.below(trades.len() as u64) as usize;
        let Arrival::Trade(spec) = trades[x] else { unreachable!("trades only") };
        let changed = Spec { quantity_e8: spec.quantity_e8 + 3 * E8, price_e8: spec.price_e8 + 1, ..spec };
        let correct = Amend {
            quantity_e8: Some(changed.quantity_e8),
            price_e8: Some(changed.price_e8),
            ..Amend::correct(2, Of::Trade(spec.id))
        };
        let cancel = Amend::cancel(1, Of::Trade(spec.id));
        let mut figures = |trades: &[Arrival], amends: &[Amend]| {
            let mut list: Vec<Arrival> =
                trades.iter().copied().chain(amends.iter().map(|a| Arrival::Amend(*a))).collect();
            shuffle(&mut list, &mut rng);
            let dir = tempfile::tempdir().expect("a temporary directory");
            let mut rig = Rig::start(&host_on(dir.path(), true));
            rig.rules(LotMethod::Hifo, true, -1_000_000);
            for arrival in &list {
                let class = arrive(&mut rig, arrival).0;
                assert!(class.is_accepted() || class == Class::Held, "seed {seed}: {arrival:?}: {class:?}");
            }
            assert!(rig.host.wait_reconciled(PATIENCE), "{:?} {:?}", rig.host.error(), rig.host.dead_letters());
            assert!(rig.host.wait_published(PATIENCE), "{:?}", rig.host.error());
            assert!(rig.host.model().held().is_empty());
            let of = |view: &std::sync::Arc<PositionView>| {
                let names = (view.account.clone(), view.instrument.clone());
                let figures = (view.quantity_e8, view.realized_e16, view.cost_e16, view.fees_e16);
                (names, figures, view.last_effective_date, view.lots.clone())
            };
            let views = rig.host.model().positions();
            // A position that only cancelled trades have touched is there, and empty.
            let mut all: Vec<_> = views.iter().map(of).filter(|found| found.2.is_some()).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            rig.host.crash();
            all
        };
        let with: Vec<Arrival> = trades.clone();
        let mut without = trades.clone();
        without.remove(x);
        let mut other = trades.clone();
        other[x] = Arrival::Trade(changed);
        assert_eq!(figures(&with, &[cancel]), figures(&without, &[]), "seed {seed}: cancelled");
        let back = Amend::cancel(3, Of::Amend(1));
        assert_eq!(figures(&with, &[cancel, back]), figures(&with, &[]), "seed {seed}: cancelled and back");
        assert_eq!(figures(&with, &[correct]), figures(&other, &[]), "seed {seed}: corrected");
        let uncorrect = Amend::cancel(4, Of::Amend(2));
        assert_eq!(figures(&with, &[correct, uncorrect]), figures(&with, &[]), "seed {seed}: corrected and back");
    }
}

/// A clean stop ends with amendments held, as a crash does; both keep them, with what is left of their time.
#[test]
fn held_amendments_outlive_stops_and_lapse_in_their_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = host_on(dir.path(), true);
    let mut rig = Rig::start(&config);
    rig.rules(LotMethod::Fifo, true, -1_000_000);
    let day = |rig: &mut Rig, day: i32| assert_eq!(arrive(rig, &Arrival::Date(day)), (Class::Applied, Reason::None));
    day(&mut rig, 100);
    let (early, late) = (Amend::cancel(1, Of::Trade(1)), Amend::cancel(2, Of::Trade(2)));
    assert_eq!(arrive(&mut rig, &Arrival::Amend(early)).0, Class::Held);
    let restart = |rig: Rig, clean: bool| {
        drop(rig.door);
        if clean {
            rig.host.stop().expect("a clean stop does not wait for what is held");
        } else {
            rig.host.crash();
        }
        Rig::start(&config)
    };
    let left = |rig: &Rig| {
        assert!(rig.host.wait_published(PATIENCE), "{:?}", rig.host.error());
        rig.host.model().held().iter().map(|held| (held.amend_id.to_string(), held.dates_left)).collect::<Vec<_>>()
    };
    rig = restart(rig, true);
    assert_eq!(left(&rig), [("a1".to_owned(), HELD_DATES_MAX)]);
    day(&mut rig, 101);
    assert_eq!(arrive(&mut rig, &Arrival::Amend(late)).0, Class::Held);
    rig = restart(rig, false);
    assert_eq!(left(&rig), [("a1".to_owned(), HELD_DATES_MAX - 1), ("a2".to_owned(), HELD_DATES_MAX)]);
    for later in 1..HELD_DATES_MAX as i32 {
        day(&mut rig, 101 + later);
    }
    // The first one's time is over whether or not the shard has looked yet: its target is not cancelled.
    let bought = |id| Arrival::Trade(Spec::new(id, Side::Buy, E8, 5 * E8, 100));
    assert_eq!(arrive(&mut rig, &bought(1)).0, Class::Applied);
    rig = restart(rig, false);
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?}", rig.host.error());
    assert_eq!(left(&rig), [("a2".to_owned(), 1)]);
    assert_eq!(rig.host.counters().held(), 1);
    // The id is free again; the second one's target comes in time.
    let again = Amend { price_e8: Some(6 * E8), ..Amend::correct(1, Of::Trade(1)) };
    assert_eq!(arrive(&mut rig, &Arrival::Amend(again)).0, Class::Provisional);
    assert!(arrive(&mut rig, &bought(2)).0.is_accepted());
    assert!(rig.host.wait_reconciled(PATIENCE), "{:?} {:?}", rig.host.error(), rig.host.dead_letters());
    assert_eq!(left(&rig), []);
    let views = rig.host.model().positions();
    let found = view(&views, (0, 0)).expect("bought");
    assert_eq!((found.quantity_e8, found.lots.len(), found.lots[0].price_e8), (E8, 1, 6 * E8));
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
}
