//! `kill -9` in the middle of a burst, of a rotation, of a recovery: what was answered is there.
//!
//! The victim kills itself just before a chosen call to the disk, so a round can be had again; in some rounds the parent does it.

use std::collections::BTreeMap;

use lotbook_wal::{Limit, OpenReport};

use crate::support::victim::{KillAt, Orders, Said, Victim, was_killed};
use crate::support::{Place, Random, count, read_back};

/// More than any round comes to.
const ENDLESS: u64 = u64::MAX / 2;

/// Opens what the victim left behind and holds it to its word. Every second time the log is closed in order, else left as killed.
fn recovered(place: &Place, said: &Said, close: bool, name: &str) -> OpenReport {
    let opened = place.open();
    let report = opened.report.clone();
    assert_eq!(report.lost_from_sequence, None, "{name}: {report:?}");
    assert!(report.next_sequence > said.applied, "{name}: {said:?} {report:?}");
    // Every record is there and is what was written under its sequence.
    read_back(&opened.log, Limit::Durable);
    assert_eq!(opened.log.durable_sequence(), report.next_sequence - 1, "{name}");
    if close {
        opened.appender.close().unwrap();
    } else {
        opened.appender.abandon();
    }
    report
}

/// Rounds on one log after the other; each round's victim dies as `kill` says.
fn rounds(name: &str, rounds: usize, mut kill: impl FnMut(&mut Random) -> KillAt, seed: u64) {
    let seeded = Random::seeded(name, seed);
    let (mut rows, mut records, mut from_tail) = (BTreeMap::new(), 0, 0);
    let mut place = Place::in_memory();
    for round in 0..rounds as u64 {
        if round % 8 == 0 {
            place = Place::in_memory();
        }
        let mut random = seeded.round(round);
        let orders = Orders { kill: kill(&mut random), ..Orders::burst(place.root(), ENDLESS) };
        let (said, status) = Victim::start(&orders).end();
        let name = format!("{name}, round {round}, {:?}", orders.kill);
        assert!(was_killed(status), "{name}: {status}: {said:?}");
        let report = recovered(&place, &said, random.below(3) == 0, &name);
        records += report.next_sequence - 1;
        from_tail += report.from_tail_records;
        *rows.entry(report.row).or_insert(0) += 1;
    }
    println!(
        "{name}: {rounds} kills, nothing answered was lost; {records} records read, {from_tail} from the tail; rows {rows:?}"
    );
}

#[test]
fn killed_in_a_burst() {
    rounds("killed in a burst", count(16, 400), |random| KillAt::Any(random.below(160)), 41);
}

#[test]
fn killed_in_a_rotation() {
    let kill = |random: &mut Random| {
        let n = random.below(4);
        if random.below(2) == 0 { KillAt::Named(n) } else { KillAt::Roll(n) }
    };
    rounds("killed in a rotation", count(12, 300), kill, 42);
}

/// The parent's hand, at a moment that nobody has chosen: once so many records were answered.
#[test]
fn killed_by_another_process() {
    let seeded = Random::seeded("killed by another process", 43);
    let place = Place::in_memory();
    let rounds = count(8, 200) as u64;
    for round in 0..rounds {
        let mut random = seeded.round(round);
        let more = random.below(6_000);
        let mut victim = Victim::start(&Orders::burst(place.root(), ENDLESS));
        let mut from = None;
        let heard =
            victim.listen(|said| said.opened.is_some() && said.applied >= *from.get_or_insert(said.applied) + more);
        assert!(heard, "round {round}: {:?}", victim.said());
        let said = victim.kill();
        recovered(&place, &said, false, &format!("round {round}"));
    }
    println!("{rounds} kills by another process, nothing answered was lost");
}

/// Dies before each call of a recovery in turn: the first recovery that lives finds everything, whatever the dead ones had done.
#[test]
fn killed_in_a_recovery() {
    let place = Place::in_memory();
    let orders = Orders { stalled: Some(2_000), ..Orders::burst(place.root(), 100) };
    let mut victim = Victim::start(&orders);
    assert!(victim.listen(|said| said.line("stalled").is_some()), "{:?}", victim.said());
    let said = victim.kill();
    assert_eq!((said.applied, said.durable), (2_101, 101));
    let (files, tail) = (place.files(), place.tail_file().unwrap());
    let image = std::fs::read(&tail).unwrap();
    let mut kills = 0;
    for at in 0.. {
        place.restore(&files);
        std::fs::write(&tail, &image).unwrap();
        let orders = Orders { kill: KillAt::Any(at), ..Orders::burst(place.root(), 0) };
        let (again, status) = Victim::start(&orders).end();
        if !was_killed(status) {
            assert!(again.line("closed").is_some(), "{status}: {again:?}");
            break;
        }
        let report = recovered(&place, &said, false, &format!("recovery killed at call {at}"));
        // One epoch start each for the recoveries that came so far.
        assert!((2_102..=2_105).contains(&report.next_sequence), "call {at}: {report:?}");
        kills += 1;
    }
    println!("a recovery of 2,000 records from the tail killed at each of its {kills} calls: all found by the next");
    assert!(kills > 10, "{kills}");
}
