//! Bringing a log back from its archive alone: what was closed in order comes back whole, what was killed comes back up to the copy of its tail,
//! what is missing is named, and of two hosts with one log only one ships.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_wal::{
    Appender, Behind, DirectoryTarget, From, Limit, LogConfig, MoreRecords, Opened, RealDisk, RecordHeader,
    RestoreError, Restored, ShippedLog, VerifyOutcome, What, open, open_read_only, restore, shipped_logs,
};

use crate::shelf::{Shelf, Writer, archive_name, check, durable, sealed};
use crate::support::until;

fn target(shelf: &Shelf) -> DirectoryTarget {
    DirectoryTarget::new(Arc::new(RealDisk::read_only()), shelf.archive_dir())
}

/// As [`Shelf::config`], the tail copied all the time.
fn copying(shelf: &Shelf) -> LogConfig {
    let mut config = shelf.config();
    config.retention.tail_ms = Some(100);
    config
}

fn only(shelf: &Shelf) -> ShippedLog {
    let mut logs = shipped_logs(&target(shelf)).unwrap();
    assert_eq!(logs.len(), 1);
    logs.remove(0)
}

fn bring_back(shelf: &Shelf, dir: &Path) -> Result<Restored, RestoreError> {
    restore(&only(shelf), &target(shelf), dir, behind(None, &mut all_of_it), &mut |_, _| {})
}

fn behind<'a>(
    more: Option<&'a mut dyn MoreRecords>,
    wanted: &'a mut dyn FnMut(&RecordHeader, &[u8]) -> bool,
) -> Behind<'a> {
    Behind { more, wanted }
}

fn all_of_it(_: &RecordHeader, _: &[u8]) -> bool {
    true
}

/// Every record of a log that nobody writes to.
fn records(dir: &Path) -> Vec<(u64, u32, Vec<u8>)> {
    let mut log = open_read_only(dir).unwrap();
    let mut all = Vec::new();
    while let Some(record) = log.next().unwrap() {
        check(&record);
        all.push((record.header.sequence, record.header.checksum, record.payload.to_vec()));
    }
    all
}

fn wait_shipped(opened: &Opened) {
    until("shipped", || {
        let report = opened.log.retention();
        report.problems.is_empty() && report.segments.iter().filter(|s| s.sealed).all(|s| s.shipped)
    });
}

/// The same log in another directory, its tail elsewhere than the other host's.
fn at(shelf: &Shelf, dir: &Path) -> LogConfig {
    let mut config = copying(shelf);
    config.dir = dir.to_path_buf();
    config
}

fn elsewhere(shelf: &Shelf, name: &str) -> PathBuf {
    shelf.place.root().join(name)
}

#[test]
fn a_log_that_was_closed_comes_back_whole() {
    for segments in [0, 1, 5] {
        let shelf = Shelf::new();
        let mut opened = open(copying(&shelf)).unwrap();
        Writer::default().fill(&mut opened, segments);
        wait_shipped(&opened);
        opened.appender.close().unwrap();
        let before = records(&shelf.place.dir());
        fs::remove_dir_all(shelf.place.dir()).unwrap();

        let back = bring_back(&shelf, &shelf.place.dir()).unwrap();
        assert_eq!(records(&shelf.place.dir()), before);
        assert_eq!(back.last_sequence, before.len() as u64);
        assert_eq!((back.tail_problem, back.found), (None, 0));
        assert!(back.known_durable <= back.last_sequence);

        // It goes on, ships what comes, and comes back once more.
        let mut opened = open(copying(&shelf)).unwrap();
        assert!(opened.report.clean, "{:?}", opened.report);
        assert!(opened.log.epoch() > 1);
        Writer::default().fill(&mut opened, 2);
        wait_shipped(&opened);
        opened.appender.close().unwrap();
        let before = records(&shelf.place.dir());
        fs::remove_dir_all(shelf.place.dir()).unwrap();
        bring_back(&shelf, &shelf.place.dir()).unwrap();
        assert_eq!(records(&shelf.place.dir()), before);
    }
}

#[test]
fn a_log_that_was_killed_comes_back_up_to_the_copy_of_its_tail_and_says_what_is_lost() {
    let shelf = Shelf::new();
    let mut opened = open(copying(&shelf)).unwrap();
    let mut writer = Writer::default();
    writer.fill(&mut opened, 3);
    wait_shipped(&opened);
    let copy = shelf.archive_dir().join(format!("{:016x}", opened.log.log_id())).join("tail");
    let copied_to = opened.log.durable_sequence();
    // A copy that covers all there is by now; it is kept, as if no later one had been made.
    until("copied", || fs::read(&copy).is_ok_and(|bytes| bytes.len() > 64 && bytes[32..40] == copied_to.to_le_bytes()));
    let kept = fs::read(&copy).unwrap();
    writer.append(&mut opened.appender, 10);
    durable(&opened.log);
    opened.appender.abandon();
    fs::write(&copy, kept).unwrap();
    let before = records(&shelf.place.dir());
    fs::remove_dir_all(shelf.place.dir()).unwrap();

    let back = bring_back(&shelf, &shelf.place.dir()).unwrap();
    assert_eq!(back.last_sequence, copied_to);
    assert_eq!(records(&shelf.place.dir()), before[..copied_to as usize]);
    assert!(back.tail_records > 0);
    let mut opened = open(copying(&shelf)).unwrap();
    assert!(!opened.report.clean);
    writer.fill(&mut opened, 2);
    wait_shipped(&opened);
    opened.appender.close().unwrap();
    let report = open_read_only(&shelf.place.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.outcome, VerifyOutcome::Whole);
}

#[test]
fn without_a_copy_of_its_tail_the_segments_come_back() {
    let shelf = Shelf::new();
    let mut opened = open(shelf.config()).unwrap();
    Writer::default().fill(&mut opened, 4);
    wait_shipped(&opened);
    let last = *sealed(&opened.log).last().unwrap();
    let durable_sequence = opened.log.durable_sequence();
    opened.appender.abandon();
    let before = records(&shelf.place.dir());
    fs::remove_dir_all(shelf.place.dir()).unwrap();
    let back = bring_back(&shelf, &shelf.place.dir()).unwrap();
    assert_eq!(back.tail_records, 0);
    assert!(back.last_sequence < durable_sequence);
    assert!(back.known_durable > back.last_sequence, "the witness is told");
    assert_eq!(records(&shelf.place.dir()), before[..back.last_sequence as usize]);
    assert_eq!(only(&shelf).segments.last().unwrap().first_address, last);
    let mut opened = open(shelf.config()).unwrap();
    Writer::default().fill(&mut opened, 2);
    wait_shipped(&opened);
    opened.appender.close().unwrap();
    open(shelf.config()).unwrap().appender.close().unwrap();
}

#[test]
fn what_is_missing_or_damaged_is_named_and_a_second_try_goes_on() {
    let shelf = Shelf::new();
    let mut opened = open(copying(&shelf)).unwrap();
    Writer::default().fill(&mut opened, 5);
    wait_shipped(&opened);
    let firsts = sealed(&opened.log);
    let folder = shelf.archive_dir().join(format!("{:016x}", opened.log.log_id()));
    opened.appender.close().unwrap();
    let before = records(&shelf.place.dir());
    fs::remove_dir_all(shelf.place.dir()).unwrap();
    let (gone, harmed) = (folder.join(archive_name(firsts[1])), folder.join(archive_name(firsts[3])));
    let (kept, whole) = (folder.join("kept"), fs::read(&harmed).unwrap());
    fs::rename(&gone, &kept).unwrap();
    let mut bytes = whole.clone();
    bytes[500] ^= 1;
    fs::write(&harmed, bytes).unwrap();

    let RestoreError::Segments { bad, segments } = bring_back(&shelf, &shelf.place.dir()).unwrap_err() else {
        panic!("another error")
    };
    let named: Vec<_> = bad.iter().map(|b| (b.segment.clone(), b.what)).collect();
    assert_eq!(named, [(gone.clone(), What::Missing), (harmed.clone(), What::Archive)]);
    assert!(segments >= 5);
    assert!(open_read_only(&shelf.place.dir()).is_err(), "half a log is none");

    fs::rename(&kept, &gone).unwrap();
    fs::write(&harmed, whole).unwrap();
    // What an earlier try left is checked as well.
    let left = shelf.place.dir().join(archive_name(firsts[0]));
    let mut bytes = fs::read(&left).unwrap();
    bytes[500] ^= 1;
    fs::write(&left, bytes).unwrap();
    let back = bring_back(&shelf, &shelf.place.dir()).unwrap();
    assert_eq!(back.found, back.segments - 3);
    assert_eq!(records(&shelf.place.dir()), before);
    // Now it is a log, and no place to restore one into.
    assert!(matches!(bring_back(&shelf, &shelf.place.dir()), Err(RestoreError::Occupied { .. })));
}

#[test]
fn a_segment_that_nobody_had_spoken_of_yet_is_taken() {
    let shelf = Shelf::new();
    let mut opened = open(copying(&shelf)).unwrap();
    let mut writer = Writer::default();
    writer.fill(&mut opened, 2);
    wait_shipped(&opened);
    let folder = shelf.archive_dir().join(format!("{:016x}", opened.log.log_id()));
    let said = fs::read(folder.join("shipped")).unwrap();
    writer.fill(&mut opened, 2);
    wait_shipped(&opened);
    opened.appender.close().unwrap();
    let before = records(&shelf.place.dir());
    fs::remove_dir_all(shelf.place.dir()).unwrap();
    let later = only(&shelf).segments.len() as u64;
    fs::write(folder.join("shipped"), said).unwrap();
    assert!((only(&shelf).segments.len() as u64) < later);
    let back = bring_back(&shelf, &shelf.place.dir()).unwrap();
    assert_eq!(back.segments, later);
    assert_eq!(records(&shelf.place.dir()), before);
}

/// Gives what the log had, as somebody who archived every record does.
struct Elsewhere(Vec<(u64, Vec<u8>)>);

impl MoreRecords for Elsewhere {
    fn from(&mut self, _log_id: u64, sequence: u64) -> Result<Vec<u8>, String> {
        Ok(self.0.iter().filter(|(at, _)| *at >= sequence).flat_map(|(_, bytes)| bytes.clone()).collect())
    }
}

#[test]
fn records_that_somebody_else_has_come_behind() {
    let shelf = Shelf::new();
    let mut opened = open(shelf.config()).unwrap();
    Writer::default().fill(&mut opened, 2);
    wait_shipped(&opened);
    let mut reader = opened.log.reader(From::Start).unwrap();
    let mut all = Vec::new();
    while let Some(record) = reader.next(Limit::Durable).unwrap() {
        let mut bytes = record.header.encode().to_vec();
        bytes.extend_from_slice(record.payload);
        bytes.resize(record.header.padded_bytes(), 0);
        all.push((record.header.sequence, bytes));
    }
    drop(reader);
    opened.appender.abandon();
    let before = records(&shelf.place.dir());
    fs::remove_dir_all(shelf.place.dir()).unwrap();
    let mut more = Elsewhere(all);
    let back = restore(
        &only(&shelf),
        &target(&shelf),
        &shelf.place.dir(),
        behind(Some(&mut more), &mut all_of_it),
        &mut |_, _| {},
    )
    .unwrap();
    assert_eq!(back.last_sequence, before.len() as u64);
    assert!(back.extra_records > 0);
    assert_eq!(records(&shelf.place.dir()), before);
    // What does not continue the chain counts for nothing.
    fs::remove_dir_all(shelf.place.dir()).unwrap();
    let last = more.0.len() - 1;
    more.0[last].1[70] ^= 1;
    let back = restore(
        &only(&shelf),
        &target(&shelf),
        &shelf.place.dir(),
        behind(Some(&mut more), &mut all_of_it),
        &mut |_, _| {},
    )
    .unwrap();
    assert_eq!(back.last_sequence, before.len() as u64 - 1);
    assert!(back.tail_problem.unwrap().contains("checksum"));
}

#[test]
fn what_is_not_wanted_ends_the_log_before_it() {
    let shelf = Shelf::new();
    let mut opened = open(copying(&shelf)).unwrap();
    let mut writer = Writer::default();
    writer.fill(&mut opened, 1);
    wait_shipped(&opened);
    let ends = writer.append(&mut opened.appender, 20)[9].sequence;
    opened.appender.close().unwrap();
    let before = records(&shelf.place.dir());
    fs::remove_dir_all(shelf.place.dir()).unwrap();
    let mut wanted = |header: &RecordHeader, _: &[u8]| header.sequence < ends;
    let back = restore(&only(&shelf), &target(&shelf), &shelf.place.dir(), behind(None, &mut wanted), &mut |_, _| {});
    assert_eq!(back.unwrap().last_sequence, ends - 1);
    assert_eq!(records(&shelf.place.dir()), before[..ends as usize - 1]);
    open(copying(&shelf)).unwrap().appender.close().unwrap();
}

#[test]
fn of_two_hosts_with_one_log_one_ships() {
    let shelf = Shelf::new();
    let mut first = open(copying(&shelf)).unwrap();
    let mut writer = Writer::default();
    writer.fill(&mut first, 2);
    wait_shipped(&first);
    until("copied", || shelf.archive_dir().join(format!("{:016x}", first.log.log_id())).join("tail").exists());
    // Taken for dead, and brought back elsewhere.
    let other = elsewhere(&shelf, "other");
    bring_back(&shelf, &other).unwrap();
    let mut second = open(at(&shelf, &other)).unwrap();
    assert!(second.log.epoch() > first.log.epoch());
    Writer::default().fill(&mut second, 2);
    wait_shipped(&second);
    let shipped = only(&shelf);
    assert_eq!(shipped.by.epoch, second.log.epoch());
    assert_eq!(shipped.dir(), other);
    // The first one goes on trading, and nothing that it has replaces what the second one put there.
    writer.fill(&mut first, 3);
    until("refused", || {
        first.log.retention().problems.iter().any(|(_, why)| why.contains("lies there") || why.contains("written it"))
    });
    let report = second.log.retention();
    assert_eq!(report.problems, []);
    close(second.appender);
    close(first.appender);
    assert_eq!(only(&shelf).by.opening, shipped.by.opening);
    let again = elsewhere(&shelf, "again");
    bring_back(&shelf, &again).unwrap();
    assert_eq!(records(&again), records(&other));
    // Opened once more, it finds that a later opening has the place.
    let first = open(copying(&shelf)).unwrap();
    until("gives way", || {
        first
            .log
            .retention()
            .problems
            .iter()
            .any(|(_, why)| why.contains("gives way") || why.contains("is not this log's"))
    });
    close(first.appender);
    assert_eq!(records(&again), records(&other));
}

fn close(appender: Appender) {
    appender.close().unwrap();
}
