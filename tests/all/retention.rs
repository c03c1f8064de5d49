//! Retention through a whole host: history that only the archive has is read as if it had never left, and nothing that a start needs goes.

pub(crate) mod kill;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lotbook_core::position::Reconciliation;
use lotbook_core::rules::LotMethod;
use lotbook_engine::retention::{BODIES_CURSOR, CHECKPOINT_CURSOR};
use lotbook_engine::{EngineConfig, Host, StartError, Status, checkpoint};
use lotbook_perf::rng::Rng;
use lotbook_tests::rig::{PATIENCE, Rig, config};
use lotbook_wal::{CursorClass, From, Limit, Log, Retention, RetentionReport, SegmentForm};

use crate::coldpath::{accepted, equals_oracle, input, trades};
use crate::support::{Spec, sort_chronologically};

/// Bytes of a segment file of [`small`].
const FILE_BYTES: u64 = 192 << 10;

/// Smallest segments, a checkpoint every few hundred records.
pub(crate) fn small(dir: &Path) -> EngineConfig {
    let mut config = config(dir);
    config.segment_bytes = 128 << 10;
    config.checkpoint_records = 300;
    config
}

/// As [`small`], with an archive and never enough space: whatever may go, goes at once.
pub(crate) fn shelved(dir: &Path) -> EngineConfig {
    let mut config = small(dir);
    config.retention = Retention {
        archive_dir: Some(archive(dir)),
        plain_segments: 0,
        low_segments: 65_536,
        budget_bytes: Some(1 << 30),
        check_ms: 5,
        ..Retention::default()
    };
    config
}

pub(crate) fn archive(dir: &Path) -> PathBuf {
    dir.join("archive")
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn segments(log: &Log, form: SegmentForm) -> usize {
    log.retention().segments.iter().filter(|segment| segment.form == form).count()
}

/// A host whose oldest events only the archive has.
pub(crate) fn dropped(host: &Host, least: usize) {
    until("segments that only the archive has", || segments(host.log(), SegmentForm::Shipped) >= least);
    assert_eq!(host.log().retention().segments[0].form, SegmentForm::Shipped, "the oldest goes first");
}

pub(crate) fn started(config: &EngineConfig) -> Rig {
    let mut rig = Rig::start(config);
    if rig.host.model().sequence() < 4 {
        rig.rules(LotMethod::Fifo, true, 0);
    }
    rig
}

/// Sends all; each is accepted.
pub(crate) fn send(rig: &mut Rig, specs: &[Spec]) -> Vec<Spec> {
    let inputs: Vec<_> = specs.iter().map(|spec| input(&rig.host, spec)).collect();
    let answers = rig.ask_all(inputs);
    let taken = accepted(specs, &answers);
    assert_eq!(taken.len(), specs.len());
    taken
}

fn digest(host: &Host) -> u64 {
    assert!(host.wait_reconciled(PATIENCE), "{:?} {:?}", host.error(), host.dead_letters());
    assert_eq!(host.dead_letters(), []);
    host.model().economic_digest()
}

/// Trades in order, and late ones that belong before nearly all of them.
pub(crate) fn history(seed: u64, count: u32) -> (Vec<Spec>, Vec<Spec>) {
    let mut rng = Rng::new(47, seed);
    let mut list = trades(&mut rng, 0..count, 0..6, 4);
    sort_chronologically(&mut list);
    let mut late = Vec::new();
    let mut place = 0;
    list.retain(|spec| {
        place += 1;
        let is_late = place < count / 6 && place % 10 == 5;
        late.extend(is_late.then_some(*spec));
        !is_late
    });
    (list, late)
}

/// Every step as a host does that keeps everything: late trades into history that only the archive has, a crash, late trades again, a
/// clean stop.
#[test]
fn late_trades_into_archived_history_become_the_same_book() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory"));
    let configs = [small(dirs[0].path()), shelved(dirs[1].path())];
    let (list, late) = history(1, 8_000);
    let (first, second) = late.split_at(late.len() / 2);
    let mut digests = Vec::new();
    for (config, is_shelved) in configs.iter().zip([false, true]) {
        let mut rig = started(config);
        let mut sent = send(&mut rig, &list);
        let mut seen = vec![digest(&rig.host)];
        if is_shelved {
            dropped(&rig.host, 4);
        } else {
            assert_eq!(segments(rig.host.log(), SegmentForm::Shipped), 0, "without an archive nothing goes");
        }
        sent.extend(send(&mut rig, first));
        equals_oracle(&rig.host, &sent, LotMethod::Fifo);
        seen.push(digest(&rig.host));
        rig.host.crash();
        let mut rig = started(config);
        let report = rig.host.report();
        assert!(report.checkpoint_sequence > 0 && report.records < 6_000, "from a checkpoint: {report:?}");
        assert_eq!(report.notes.iter().filter(|note| note.contains("out of reach")).count(), 0, "{report:?}");
        seen.push(digest(&rig.host));
        sent.extend(send(&mut rig, second));
        equals_oracle(&rig.host, &sent, LotMethod::Fifo);
        seen.push(digest(&rig.host));
        drop(rig.door);
        rig.host.stop().expect("a clean stop");
        let rig = started(config);
        equals_oracle(&rig.host, &sent, LotMethod::Fifo);
        seen.push(digest(&rig.host));
        // The whole log is there still, by one reader, over the seam from archive to segments to tail.
        let mut reader = rig.host.log().reader(From::Start).expect("a log");
        assert_eq!(reader.sequence(), 1);
        while reader.next(Limit::Applied).expect("a sound log").is_some() {}
        assert_eq!(reader.sequence(), rig.host.log().published_sequence() + 1);
        if is_shelved {
            let report = rig.host.log().retention();
            println!(
                "{} records: {} segments in the archive alone, {} here",
                reader.sequence() - 1,
                segments(rig.host.log(), SegmentForm::Shipped),
                report.segments.len() - segments(rig.host.log(), SegmentForm::Shipped),
            );
        }
        digests.push(seen);
    }
    assert_eq!(digests[0], digests[1]);
}

/// Hides one segment of the shard's log from its archive, or brings it back.
struct Hidden {
    there: PathBuf,
    aside: PathBuf,
}

impl Hidden {
    fn take(dir: &Path, log_id: u64) -> Self {
        let there = archive(dir).join(format!("{log_id:016x}/seg-{:016x}.lotlog.zst", 0));
        let hidden = Self { there, aside: dir.join("aside") };
        std::fs::rename(&hidden.there, &hidden.aside).expect("the archive of the first segment");
        hidden
    }

    fn bring_back(self) {
        std::fs::rename(self.aside, self.there).expect("a place in the archive");
    }
}

/// A position whose history is out of reach stays PROVISIONAL and says why; it is reconciled once the archive is back. Others go on.
#[test]
fn a_history_out_of_reach_waits_for_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = shelved(dir.path());
    let (list, late) = history(2, 4_000);
    let mut rig = started(&config);
    let mut sent = send(&mut rig, &list);
    assert!(rig.host.wait_reconciled(PATIENCE));
    dropped(&rig.host, 2);
    let log_id = rig.host.log().log_id();
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
    // Before the start, so that no file is open from before.
    let hidden = Hidden::take(dir.path(), log_id);
    let mut rig = started(&config);
    let notes = &rig.host.report().notes;
    assert!(
        notes.iter().any(|note| note.contains("1 archived segments") && note.contains("out of reach")),
        "{notes:?}"
    );
    sent.extend(send(&mut rig, &late));
    // A position that is new has no history to miss.
    let fresh: Vec<Spec> =
        [(90_001, 120), (90_002, 101)].map(|(id, day)| Spec { id, day, account: 77, ..list[0] }).into();
    sent.extend(send(&mut rig, &fresh));
    // They are tried again and again, so not all of them are dead at any one time.
    let mut seen = BTreeSet::new();
    until("dead letters of all positions but the new one", || {
        for letter in rig.host.dead_letters() {
            assert!(letter.unread, "{letter:?}");
            seen.insert(letter.position);
        }
        !seen.is_empty() && rig.host.model().provisional_positions() == seen.len() as u64
    });
    until("a warning", || rig.host.outlook().warnings().iter().any(|words| words.contains("out of reach")));
    let views = rig.host.model().positions();
    let fresh = views.iter().find(|view| &*view.account == "A77").expect("the new position");
    assert_eq!(fresh.reconciliation, Reconciliation::Reconciled);
    hidden.bring_back();
    until("all reconciled", || rig.host.model().provisional_positions() == 0 && rig.host.dead_letters().is_empty());
    equals_oracle(&rig.host, &sent, LotMethod::Fifo);
    until("no warning", || rig.host.outlook().warnings().is_empty());
}

/// Without its checkpoints a start needs every event. It takes them from the archive, and refuses by name where that does not have them.
#[test]
fn a_start_without_what_it_needs_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = shelved(dir.path());
    let (list, _) = history(3, 4_000);
    let mut rig = started(&config);
    let sent = send(&mut rig, &list);
    let wanted = digest(&rig.host);
    dropped(&rig.host, 2);
    let log_id = rig.host.log().log_id();
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
    let elsewhere = EngineConfig { retention: Retention::default(), ..config.clone() };
    // With its checkpoints a start needs nothing of the archive, and says what is out of reach.
    let rig = started(&elsewhere);
    let notes = &rig.host.report().notes;
    assert!(notes.iter().any(|note| note.contains("no archive is configured")), "{notes:?}");
    assert_eq!(digest(&rig.host), wanted);
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
    let checkpoints = config.data_dir.join("checkpoints");
    std::fs::remove_dir_all(&checkpoints).expect("checkpoints");
    match Host::start(&elsewhere).map(|_| ()) {
        Err(StartError::Missing { segments, sequences, place, .. }) => {
            assert!(segments >= 2 && sequences.0 == 1 && sequences.1 > 1, "{segments} {sequences:?}");
            assert!(place.contains("no archive is configured"), "{place}");
        }
        other => panic!("{other:?}"),
    }
    let hidden = Hidden::take(dir.path(), log_id);
    match Host::start(&config).map(|_| ()) {
        Err(error @ StartError::Missing { .. }) => {
            let words = error.to_string();
            let place = archive(dir.path()).display().to_string();
            assert!(words.contains("1 archived segments") && words.contains(&place), "{words}");
        }
        other => panic!("{other:?}"),
    }
    hidden.bring_back();
    let rig = started(&config);
    let report = rig.host.report();
    let all = report.log.next_sequence - 1;
    assert_eq!(
        (report.checkpoint_sequence, report.records),
        (0, all),
        "every event, the archived ones too: {report:?}"
    );
    assert_eq!(digest(&rig.host), wanted);
    equals_oracle(&rig.host, &sent, LotMethod::Fifo);
}

/// Whether a trade was taken in; where not, for want of space.
fn offer(rig: &mut Rig, spec: &Spec) -> bool {
    let input = input(&rig.host, spec);
    match rig.ask_all([input])[0].status {
        Status::OutOfSpace => false,
        Status::Trade(class) if class.is_accepted() => true,
        other => panic!("{other:?}"),
    }
}

fn all_sealed_are_shipped(report: &RetentionReport) -> bool {
    report.segments.iter().filter(|s| s.sealed).all(|s| s.form == SegmentForm::Packed && s.shipped)
}

/// Who holds what is named; a required cursor holds, at last against new trades, and lets them in again by itself; a rebuildable one gives
/// way and is told.
#[test]
fn holders_are_named_and_admission_closes_last() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = shelved(dir.path());
    config.retention.low_segments = 8;
    config.retention.budget_bytes = Some(16 * FILE_BYTES);
    let mut rig = started(&config);
    let log = rig.host.log().clone();
    let mut sink = log.cursor("sink.pg", CursorClass::Required).expect("a cursor");
    let cache = log.cursor("cache", CursorClass::Rebuildable).expect("a cursor");
    sink.advance_to(1).expect("the first record is durable");
    let (list, _) = history(4, 60_000);
    let mut sent = Vec::new();
    let report = loop {
        let next = list.get(sent.len()).unwrap_or_else(|| panic!("all fit: {:?}", log.retention()));
        if offer(&mut rig, next) {
            sent.push(*next);
            continue;
        }
        let report = log.retention();
        // Until then it may open again: the keeper is still making room.
        if report.closed && report.room_bytes < 2 * FILE_BYTES && all_sealed_are_shipped(&report) {
            break report;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(report.short, "{report:?}");
    assert_eq!(report.dropped, 0, "the required cursor holds the oldest: {report:?}");
    assert!(report.segments[0].held_by.contains(&"sink.pg".to_owned()), "{report:?}");
    let names: Vec<&str> = report.cursors.iter().map(|cursor| cursor.name.as_str()).collect();
    assert_eq!(names, ["cache", CHECKPOINT_CURSOR, "sink.pg"]);
    let held = &report.cursors[2];
    assert!(held.lag_records > 1_000 && held.segments > 4, "{held:?}");
    let side = rig.host.side_log().retention();
    assert_eq!(side.cursors.iter().map(|cursor| cursor.name.as_str()).collect::<Vec<_>>(), [BODIES_CURSOR]);
    assert!(!cache.is_released(), "nothing could be won by it");
    sink.advance_to(log.durable_sequence()).expect("durable");
    until("admission is open", || !log.retention().closed);
    for spec in &list[sent.len()..sent.len() + 2_000] {
        until("taken in", || offer(&mut rig, spec));
    }
    sent.extend_from_slice(&list[sent.len()..sent.len() + 2_000]);
    until("the cache gave way", || cache.is_released());
    assert!(log.retention().dropped > 0);
    equals_oracle(&rig.host, &sent, LotMethod::Fifo);
}

fn held_at(log: &Log, name: &str) -> Option<u64> {
    let report = log.retention();
    let cursor = report.cursors.iter().find(|cursor| cursor.name == name).expect("the host's own cursor");
    cursor.position.map(|position| position.sequence)
}

/// Sequences of the kept checkpoints, newest first.
fn checkpoints(config: &EngineConfig) -> Vec<u64> {
    let kept = checkpoint::list(&config.data_dir.join("checkpoints")).expect("a directory");
    kept.iter().map(|found| found.sequence).collect()
}

/// The host holds from its older checkpoint on, and the bodies after it, and no more; a damaged cursor of its own is made anew.
#[test]
fn what_a_start_reads_is_held_and_no_more() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = small(dir.path());
    let oldest = || checkpoints(&config).last().copied();
    let (list, late) = history(6, 4_000);
    let mut rig = started(&config);
    assert_eq!(held_at(rig.host.log(), CHECKPOINT_CURSOR), None, "without a checkpoint everything is held");
    let (first, rest) = list.split_at(600);
    send(&mut rig, first);
    send(&mut rig, &late[..10]);
    assert!(rig.host.wait_reconciled(PATIENCE));
    // Two checkpoints after the corrections.
    for chunk in rest[..1_200].chunks(100) {
        send(&mut rig, chunk);
        assert!(rig.host.wait_published(PATIENCE));
    }
    until("the cursors are where the checkpoints are", || {
        held_at(rig.host.log(), CHECKPOINT_CURSOR) == oldest() && held_at(rig.host.side_log(), BODIES_CURSOR) > Some(1)
    });
    assert!(oldest() > Some(600), "{:?}", oldest());
    let wanted = digest(&rig.host);
    drop(rig.door);
    rig.host.stop().expect("a clean stop");
    let damaged = config.data_dir.join(format!("log/cursors/{CHECKPOINT_CURSOR}.cursor"));
    let bytes = std::fs::metadata(&damaged).expect("a cursor").len();
    std::fs::write(&damaged, vec![0xA5; bytes as usize]).expect("writable");
    let rig = started(&config);
    assert_eq!(digest(&rig.host), wanted);
    until("the cursor is made anew and moved", || held_at(rig.host.log(), CHECKPOINT_CURSOR) == oldest());
}

/// A host that makes no checkpoints of its own accord makes them when space runs short, before it refuses a trade.
#[test]
fn short_of_space_checkpoints_come_early() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = shelved(dir.path());
    config.checkpoint_records = 0;
    let mut rig = started(&config);
    let (list, _) = history(7, 4_000);
    for chunk in list.chunks(500) {
        let before = checkpoints(&config).first().copied();
        send(&mut rig, chunk);
        until("a checkpoint", || checkpoints(&config).first().copied() > before);
    }
    dropped(&rig.host, 2);
    let wanted = digest(&rig.host);
    rig.host.crash();
    let rig = started(&config);
    assert!(rig.host.report().checkpoint_sequence > 0);
    assert_eq!(digest(&rig.host), wanted);
}
