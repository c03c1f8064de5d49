//! Archives that are out of reach: named, and nobody but who wants them waits.

use std::sync::{Arc, Condvar, Mutex};

use lotbook_wal::{
    ArchiveTarget, DirectoryTarget, DiskFile, DiskResult, From, Limit, ReadError, RealDisk, RecordBuffer, SegmentForm,
    Version, open,
};

use crate::shelf::{Shelf, Writer, all_sealed_are, durable};
use crate::support::{SEGMENT_BYTES, until};

/// Taken from the archive, and no longer there or no longer known: named by segment, never passed over in silence.
#[test]
fn what_is_out_of_reach_is_named() {
    let shelf = Shelf::new();
    let mut opened = open(shelf.short()).unwrap();
    let mut writer = Writer::default();
    let early = writer.append(&mut opened.appender, 1)[0];
    writer.fill(&mut opened, 4);
    all_sealed_are(&opened.log, SegmentForm::Shipped);
    assert_eq!(opened.log.missing_archives().unwrap(), []);
    assert_eq!(opened.log.archive_place(), Some(shelf.archive_dir().display().to_string()));
    opened.appender.close().unwrap();
    let opened = open(shelf.short()).unwrap();
    // One is taken away.
    let (there, aside) = (shelf.archive_of(&opened.log, 0), shelf.place.root().join("aside"));
    std::fs::rename(&there, &aside).unwrap();
    let missing = opened.log.missing_archives().unwrap();
    assert_eq!(missing.iter().map(|entry| entry.first_address).collect::<Vec<_>>(), [0]);
    let (last, next) = (missing[0].last_sequence, missing[0].next_address());
    let mut buffer = RecordBuffer::new();
    match opened.log.read_at(early.address, Limit::Durable, &mut buffer) {
        Err(ReadError::Disk(e)) => assert!(e.is_missing() && e.path == there, "{e}"),
        other => panic!("{other:?}"),
    }
    opened.log.read_at(next, Limit::Durable, &mut buffer).unwrap();
    assert_eq!(buffer.header().sequence, last + 1);
    std::fs::rename(&aside, &there).unwrap();
    assert_eq!(opened.log.missing_archives().unwrap(), []);
    opened.log.read_at(early.address, Limit::Durable, &mut buffer).unwrap();
    assert_eq!(buffer.header().sequence, early.sequence);
    opened.appender.close().unwrap();
    // Nobody says where the archive is.
    let opened = open(shelf.alone()).unwrap();
    let missing = opened.log.missing_archives().unwrap();
    let first = opened.log.reader(From::Start).unwrap().sequence();
    assert!(missing.len() >= 4 && missing.last().unwrap().last_sequence + 1 == first, "{missing:?} {first}");
    match opened.log.read_at(early.address, Limit::Durable, &mut buffer) {
        Err(ReadError::Gone { wanted, first: begins }) => assert_eq!((wanted, begins), (1, first)),
        other => panic!("{other:?}"),
    }
    opened.appender.close().unwrap();
}

/// The archive's disk is not mounted: an empty directory lies in its place. Nothing is shipped there, nothing dropped here, until it is
/// back.
#[test]
fn nothing_is_shipped_into_an_empty_place() {
    let shelf = Shelf::new();
    let mut opened = open(shelf.short()).unwrap();
    let mut writer = Writer::default();
    writer.fill(&mut opened, 3);
    all_sealed_are(&opened.log, SegmentForm::Shipped);
    opened.appender.close().unwrap();
    let (mounted, aside) = (shelf.archive_dir(), shelf.place.root().join("aside"));
    std::fs::rename(&mounted, &aside).unwrap();
    std::fs::create_dir(&mounted).unwrap();
    let mut opened = open(shelf.short()).unwrap();
    writer.fill(&mut opened, 3);
    until("a problem that is told", || {
        let report = opened.log.retention();
        report.problems.iter().any(|(what, why)| *what == "ship" && why.contains("is its disk mounted?"))
    });
    let report = opened.log.retention();
    assert_eq!((report.shipped, report.dropped), (0, 0), "{report:?}");
    assert_eq!(std::fs::read_dir(&mounted).unwrap().count(), 0);
    opened.appender.close().unwrap();
    std::fs::remove_dir(&mounted).unwrap();
    std::fs::rename(&aside, &mounted).unwrap();
    let opened = open(shelf.short()).unwrap();
    all_sealed_are(&opened.log, SegmentForm::Shipped);
    assert_eq!(opened.log.missing_archives().unwrap(), []);
    opened.appender.close().unwrap();
}

#[derive(Debug)]
struct Stuck {
    real: DirectoryTarget,
    /// How many wait, and whether they must.
    state: Mutex<(u32, bool)>,
    changed: Condvar,
}

impl Stuck {
    fn set(&self, stuck: bool) {
        self.state.lock().unwrap().1 = stuck;
        self.changed.notify_all();
    }

    fn waiting(&self) -> u32 {
        self.state.lock().unwrap().0
    }
}

impl ArchiveTarget for Stuck {
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()> {
        self.real.put(name, source)
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        state = self.changed.wait_while(state, |state| state.1).unwrap();
        state.0 -= 1;
        drop(state);
        self.real.open(name)
    }

    fn list(&self, log: &str) -> DiskResult<Vec<String>> {
        self.real.list(log)
    }

    fn logs(&self) -> DiskResult<Vec<String>> {
        self.real.logs()
    }

    fn load(&self, name: &str) -> DiskResult<Option<(Vec<u8>, Version)>> {
        self.real.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8], over: Option<&Version>) -> DiskResult<Version> {
        self.real.store(name, bytes, over)
    }

    fn set_aside(&self, name: &str) -> DiskResult<()> {
        self.real.set_aside(name)
    }

    fn describe(&self) -> String {
        "a stuck archive".into()
    }
}

/// An archive that does not answer holds up who reads from it, and neither the writer, nor the segments made for it, nor readers of
/// what is here.
#[test]
fn a_stuck_archive_holds_up_nobody_else() {
    let shelf = Shelf::new();
    let real = DirectoryTarget::new(Arc::new(RealDisk::read_only()), shelf.archive_dir());
    let stuck = Arc::new(Stuck { real, state: Mutex::default(), changed: Condvar::new() });
    let mut config = shelf.short();
    config.retention.archive_dir = None;
    config.retention.archive_target = Some(stuck.clone());
    let mut opened = open(config.clone()).unwrap();
    let mut writer = Writer::default();
    let early = writer.append(&mut opened.appender, 1)[0];
    writer.fill(&mut opened, 3);
    all_sealed_are(&opened.log, SegmentForm::Shipped);
    opened.appender.close().unwrap();
    // No handle is left from before.
    let mut opened = open(config).unwrap();
    stuck.set(true);
    let log = opened.log.clone();
    let reading = std::thread::spawn(move || {
        let mut buffer = RecordBuffer::new();
        log.read_at(early.address, Limit::Durable, &mut buffer).map(|()| buffer.header().sequence)
    });
    until("someone waits for the archive", || stuck.waiting() > 0);
    let before = opened.log.stats().rolls;
    let end = opened.log.published_address() + 6 * SEGMENT_BYTES;
    while opened.log.published_address() < end {
        writer.append(&mut opened.appender, 100);
    }
    durable(&opened.log);
    assert!(opened.log.stats().rolls >= before + 5, "more segments than were ready");
    let newest = opened.log.published_sequence();
    let mut reader = opened.log.reader(From::Sequence(newest)).unwrap();
    assert_eq!(reader.next(Limit::Durable).unwrap().unwrap().header.sequence, newest);
    assert!(!reading.is_finished());
    stuck.set(false);
    assert_eq!(reading.join().unwrap().unwrap(), early.sequence);
    opened.appender.close().unwrap();
}
