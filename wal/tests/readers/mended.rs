//! Mending: what a copy proves comes back bit for bit, a torn end is cut as a start would cut it, and nothing else is touched.

use std::path::{Path, PathBuf};

use lotbook_wal::{
    HEAD_BYTES, OpenError, RepairError, RepairPlaces, RepairPlan, RepairStep, Repairer, SegmentForm, VerifyOutcome,
    What, open, open_for_repair, open_read_only,
};

use crate::shelf::{FILE_BYTES, Shelf, Writer, all_sealed_are, archive_name, sealed};
use crate::support::{Place, append_many, file_offset, flip, killed_after, poke, read_back, settle, until};

fn repairer(shelf: &Shelf) -> Repairer {
    try_repairer(shelf).unwrap()
}

fn places(root: &Path, archive_dir: Option<PathBuf>) -> RepairPlaces {
    RepairPlaces { tail_dir: Some(root.join("tail")), archive_dir, archive_target: None }
}

fn try_repairer(shelf: &Shelf) -> Result<Repairer, RepairError> {
    open_for_repair(&shelf.place.dir(), places(shelf.place.root(), Some(shelf.archive_dir())))
}

fn plan(repairer: &Repairer) -> RepairPlan {
    repairer.plan(&mut |_, _| {}).unwrap()
}

/// A log, closed, whose sealed segments are there as segment files, as archives beside them, and in the archive.
fn in_every_form(shelf: &Shelf, segments: u64) -> Vec<u64> {
    let mut config = shelf.config();
    config.retention.plain_segments = 1_000;
    let mut opened = open(config).unwrap();
    Writer::default().fill(&mut opened, segments);
    all_sealed_are(&opened.log, SegmentForm::Both);
    until("shipped", || opened.log.retention().segments.iter().filter(|s| s.sealed).all(|s| s.shipped));
    let firsts = sealed(&opened.log);
    opened.appender.close().unwrap();
    firsts
}

/// The copy of a segment in the archive.
fn shipped(shelf: &Shelf, first: u64) -> PathBuf {
    let log_id = open_read_only(&shelf.place.dir()).unwrap().log_id();
    shelf.archive_dir().join(format!("{log_id:016x}")).join(archive_name(first))
}

fn aside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.damaged-1", path.display()))
}

#[test]
fn a_damaged_segment_comes_back_from_its_archive_bit_for_bit() {
    let shelf = Shelf::new();
    let firsts = in_every_form(&shelf, 4);
    let victim = shelf.place.segment(firsts[1]);
    let whole = shelf.place.files();
    let other = std::fs::read(shelf.place.segment(firsts[2])).unwrap();
    let good = std::fs::read(&victim).unwrap();
    type Harm<'a> = Box<dyn Fn() + 'a>;
    let harms: Vec<(&str, Harm<'_>)> = vec![
        ("a bit of the header", Box::new(|| flip(&victim, 20, 1))),
        ("a bit of a slot", Box::new(|| flip(&victim, 4_096 + 9, 1))),
        ("a bit of the head area", Box::new(|| flip(&victim, 40_000, 1))),
        ("a bit of a record", Box::new(|| flip(&victim, HEAD_BYTES as u64 + 70_000, 3))),
        ("a sector of zeros", Box::new(|| poke(&victim, HEAD_BYTES as u64 + 1_024, &[0; 512]))),
        ("another segment's bytes", Box::new(|| std::fs::write(&victim, &other).unwrap())),
        ("cut short", Box::new(|| std::fs::write(&victim, &good[..100_000]).unwrap())),
        ("empty", Box::new(|| std::fs::write(&victim, b"").unwrap())),
        ("all zeros", Box::new(|| std::fs::write(&victim, vec![0; good.len()]).unwrap())),
    ];
    for (name, harm) in &harms {
        shelf.place.restore(&whole);
        harm();
        let harmed = shelf.place.files();
        let repairer = repairer(&shelf);
        let plan = plan(&repairer);
        assert!(plan.makes_whole(), "{name}: {plan:?}");
        let [RepairStep::RestoreSegment { path, from, entry, .. }] = &plan.steps[..] else {
            panic!("{name}: {plan:?}")
        };
        assert_eq!((path, from), (&victim, &shelf.packed(firsts[1])), "{name}");
        assert_eq!((entry.file_bytes, entry.first_address), (FILE_BYTES, firsts[1]), "{name}");
        assert!(shelf.place.files() == harmed, "{name}: a plan changes nothing");
        let report = repairer.run(&plan, &mut |_, _| {}).unwrap();
        assert_eq!(report.outcome, VerifyOutcome::Whole, "{name}");
        assert!(std::fs::read(&victim).unwrap() == good, "{name}");
        let kept = harmed.iter().find(|(path, _)| *path == victim).map(|(_, bytes)| bytes);
        assert_eq!(std::fs::read(aside(&victim)).ok().as_ref(), kept, "{name}: what was damaged is kept");
        // And again there is nothing to do.
        let again = repairer.plan(&mut |_, _| {}).unwrap();
        assert!(again.steps.is_empty() && again.makes_whole(), "{name}: {again:?}");
    }
    shelf.open().appender.close().unwrap();
    println!("{} kinds of damage mended", harms.len());
}

/// Two segments at once, and the archive beside one of them: the copy elsewhere mends both.
#[test]
fn segment_and_archive_come_back_from_the_copy_elsewhere() {
    let shelf = Shelf::new();
    let firsts = in_every_form(&shelf, 4);
    let whole = shelf.place.files();
    let there = shipped(&shelf, firsts[3]);
    flip(&shelf.place.segment(firsts[0]), HEAD_BYTES as u64 + 300, 2);
    flip(&shelf.place.segment(firsts[2]), 30, 2);
    flip(&shelf.packed(firsts[0]), 500, 2);
    // And the other way about.
    let good = std::fs::read(&there).unwrap();
    poke(&there, 200, &[0; 64]);
    let repairer = repairer(&shelf);
    let plan = plan(&repairer);
    assert!(plan.makes_whole(), "{plan:?}");
    let kinds: Vec<_> = plan
        .steps
        .iter()
        .map(|step| match step {
            RepairStep::RestoreSegment { entry, .. } => ("segment", entry.first_address),
            RepairStep::RestoreArchive { entry, .. } => ("archive", entry.first_address),
            RepairStep::CutTail { address, .. } => ("tail", *address),
        })
        .collect();
    for wanted in [("segment", firsts[0]), ("segment", firsts[2]), ("archive", firsts[0]), ("archive", firsts[3])] {
        assert!(kinds.contains(&wanted), "{wanted:?} in {kinds:?}");
    }
    assert_eq!(kinds.len(), 4);
    assert_eq!(repairer.run(&plan, &mut |_, _| {}).unwrap().outcome, VerifyOutcome::Whole);
    for (path, bytes) in &whole {
        assert!(std::fs::read(path).unwrap() == *bytes, "{}", path.display());
    }
    assert!(std::fs::read(&there).unwrap() == good);
}

/// The manifest and the archives beside the log are gone with a segment from the middle. The copy elsewhere says itself what it is.
#[test]
fn a_segment_that_is_gone_comes_back_from_the_archive_alone() {
    let shelf = Shelf::new();
    let firsts = in_every_form(&shelf, 4);
    let victim = shelf.place.segment(firsts[1]);
    let good = std::fs::read(&victim).unwrap();
    for first in &firsts {
        std::fs::remove_file(shelf.packed(*first)).unwrap();
    }
    std::fs::remove_file(shelf.place.dir().join("log.archive")).unwrap();
    std::fs::remove_file(&victim).unwrap();
    let missing = shelf.place.try_open().map(|opened| opened.report);
    assert!(matches!(missing, Err(OpenError::MissingSegment { .. })), "{missing:?}");
    let repairer = repairer(&shelf);
    let plan = plan(&repairer);
    let [RepairStep::RestoreSegment { damage, from, .. }] = &plan.steps[..] else { panic!("{plan:?}") };
    assert_eq!(damage.what, What::Missing);
    assert!(from.starts_with(shelf.archive_dir()), "{}", from.display());
    assert!(plan.makes_whole());
    assert_eq!(repairer.run(&plan, &mut |_, _| {}).unwrap().outcome, VerifyOutcome::Whole);
    assert!(std::fs::read(&victim).unwrap() == good);
}

/// Every copy is damaged, or another segment's, or another log's: nothing passes for the segment, and nothing is touched.
#[test]
fn what_no_copy_proves_stays_as_it_is() {
    let shelf = Shelf::new();
    let firsts = in_every_form(&shelf, 3);
    let stranger = Shelf::new();
    in_every_form(&stranger, 3);
    let (here, there) = (shelf.packed(firsts[1]), shipped(&shelf, firsts[1]));
    let foreign = std::fs::read(stranger.packed(firsts[1])).unwrap();
    let neighbour = std::fs::read(shelf.packed(firsts[0])).unwrap();
    let own = std::fs::read(&here).unwrap();
    let mut flipped = own.clone();
    flipped[own.len() / 2] ^= 4;
    flip(&shelf.place.segment(firsts[1]), HEAD_BYTES as u64 + 5_000, 5);
    for copy in [&foreign, &neighbour, &flipped, &own[..own.len() - 1].to_vec(), &Vec::new()] {
        std::fs::write(&here, copy).unwrap();
        std::fs::write(&there, copy).unwrap();
        let before = shelf.place.files();
        let repairer = repairer(&shelf);
        let plan = plan(&repairer);
        assert!(!plan.makes_whole() && plan.steps.is_empty(), "{plan:?}");
        let named = |path: &Path| plan.unrepaired.iter().any(|place| place.segment == path);
        assert!(named(&shelf.place.segment(firsts[1])), "{plan:?}");
        assert!(plan.rejected.iter().any(|place| place.segment == here), "{:?}", plan.rejected);
        let VerifyOutcome::Damaged(_) = repairer.run(&plan, &mut |_, _| {}).unwrap().outcome else { panic!("whole") };
        assert!(shelf.place.files() == before, "nothing is touched");
    }
}

/// With the tail file and without: the log opens afterwards as it would have without the repair.
#[test]
fn a_torn_end_is_cut_as_a_start_would_cut_it() {
    for with_tail in [true, false] {
        let place = Place::in_memory();
        let headers = killed_after(&place, 1_500);
        let end = headers.last().unwrap().end_address();
        // Behind the block that the slots hold: the rest of a flush.
        let segment = place.segment(end);
        poke(&segment, file_offset(end).next_multiple_of(4_096) + 100, &[0x5A; 3_000]);
        if !with_tail {
            place.lose_tail();
        }
        let torn = place.files();
        let repairer = open_for_repair(&place.dir(), places(place.root(), None)).unwrap();
        let plan = plan(&repairer);
        assert!(plan.makes_whole(), "{plan:?}");
        let [RepairStep::CutTail { path, offset, address, bytes, last_sequence, lost_from_sequence }] = &plan.steps[..]
        else {
            panic!("{plan:?}")
        };
        assert_eq!((path, *address, *offset), (&segment, end, file_offset(end)));
        assert!((3_000..=3_000 + 2 * 4_096).contains(bytes), "{bytes}");
        assert_eq!(*last_sequence, headers.len() as u64);
        assert_eq!(*lost_from_sequence, (!with_tail).then_some(last_sequence + 1));
        assert!(place.files() == torn, "a plan changes nothing");
        assert_eq!(repairer.run(&plan, &mut |_, _| {}).unwrap().outcome, VerifyOutcome::Whole);
        drop(repairer);
        let opened = place.open();
        let report = &opened.report;
        assert_eq!((report.row, report.cut_bytes), (if with_tail { 'G' } else { 'J' }, 0), "{report:?}");
        assert_eq!((report.next_sequence, report.lost_from_sequence), (last_sequence + 2, *lost_from_sequence));
        assert_eq!(read_back(&opened.log, lotbook_wal::Limit::Durable).len(), 1_500);
        opened.appender.close().unwrap();
    }
}

/// Records that only the tail holds are not cut, and the tail is never touched: neither one that goes on nor one of another log.
#[test]
fn what_the_tail_holds_is_left_to_a_start() {
    let place = Place::in_memory();
    let mut opened = place.open();
    settle(&opened.log);
    let before = place.files();
    append_many(&mut opened.appender, 50);
    opened.appender.abandon();
    // Whatever was flushed meanwhile: the disk is behind.
    place.restore(&before);
    let repair = || open_for_repair(&place.dir(), places(place.root(), None)).unwrap();
    let tail = std::fs::read(place.tail_file().unwrap()).unwrap();
    let found = plan(&repair());
    assert!(found.steps.is_empty() && found.makes_whole(), "{found:?}");
    assert_eq!(found.report.unwrap().tail_records, 50);
    // Another log's tail in its place.
    let other = Place::in_memory();
    killed_after(&other, 20);
    std::fs::write(place.tail_file().unwrap(), std::fs::read(other.tail_file().unwrap()).unwrap()).unwrap();
    let found = plan(&repair());
    assert!(!found.makes_whole() && found.steps.is_empty());
    assert_eq!(found.refused.map(|refused| (refused.row, refused.path)), Some(('B', place.tail_file().unwrap())));
    std::fs::write(place.tail_file().unwrap(), tail).unwrap();
    assert_eq!(read_back(&place.open().log, lotbook_wal::Limit::Durable).len(), 50);
}

#[test]
fn a_log_that_is_written_to_is_not_mended() {
    let shelf = Shelf::new();
    let opened = shelf.open();
    match try_repairer(&shelf) {
        Err(RepairError::Log(OpenError::Locked { pid, .. })) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    opened.appender.close().unwrap();
    let repairer = repairer(&shelf);
    let refused = open(shelf.config()).map(|opened| opened.report);
    assert!(matches!(refused, Err(OpenError::Locked { .. })), "nor written to while it is mended: {refused:?}");
    drop(repairer);
    shelf.open().appender.close().unwrap();
    let nowhere = open_for_repair(&shelf.place.root().join("nowhere"), RepairPlaces::default());
    assert!(matches!(nowhere, Err(RepairError::Log(OpenError::NotALog { .. }))), "{nowhere:?}");
}
