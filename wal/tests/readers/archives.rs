//! Archives: the same bytes for every tool, and nothing else passes for one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lotbook_wal::{
    ArchiveTarget, DirectoryTarget, DiskFile, DiskResult, From, Limit, ReadError, RealDisk, SegmentForm, VerifyOutcome,
    VerifyReport, Version, open, open_read_only,
};

use crate::shelf::{FILE_BYTES, Shelf, Writer, all_sealed_are, archive_name, read_from, sealed};
use crate::support::{Random, count, flip, peek, poke, until};

/// A log whose sealed segments are archives here and in the archive, with the segment files as they were.
fn archived(shelf: &Shelf, segments: u64) -> (lotbook_wal::Opened, Vec<(u64, Vec<u8>)>) {
    let mut opened = open(shelf.alone()).unwrap();
    Writer::default().fill(&mut opened, segments);
    let firsts = sealed(&opened.log);
    let files = firsts.iter().map(|first| (*first, std::fs::read(shelf.place.segment(*first)).unwrap())).collect();
    opened.appender.close().unwrap();
    let opened = shelf.open();
    all_sealed_are(&opened.log, SegmentForm::Packed);
    until("shipped", || opened.log.retention().segments.iter().filter(|s| s.sealed).all(|s| s.shipped));
    (opened, files)
}

fn verify(shelf: &Shelf) -> VerifyReport {
    let log = open_read_only(&shelf.place.dir()).unwrap().with_tail_dir(&shelf.place.root().join("tail"));
    log.with_archive(&shelf.archive_dir()).verify(&mut |_, _| {}).unwrap()
}

/// What the zstd library makes of a file, frame by frame, as every tool does.
fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(std::fs::File::open(path).unwrap()).unwrap();
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

#[test]
fn an_archive_gives_its_segment_back_bit_for_bit() {
    let shelf = Shelf::new();
    let (opened, files) = archived(&shelf, 4);
    let tool = Command::new("zstd").arg("--version").output().is_ok_and(|o| o.status.success());
    let mut packed_bytes = 0;
    for (first, bytes) in &files {
        assert!(!shelf.place.segment(*first).exists());
        for path in [shelf.packed(*first), shelf.archive_of(&opened.log, *first)] {
            assert!(unpacked(&path) == *bytes, "{}", path.display());
            if tool {
                let output = Command::new("zstd").args(["-d", "-q", "-c"]).arg(&path).output().unwrap();
                assert!(output.status.success() && output.stdout == *bytes, "{}", path.display());
            }
            packed_bytes = std::fs::metadata(&path).unwrap().len();
        }
    }
    let tool = if tool { "zstd -d agrees" } else { "no zstd tool here: passed over" };
    println!("{} archives, {FILE_BYTES} bytes become {packed_bytes}; {tool}", files.len());
    opened.appender.close().unwrap();
    let report = verify(&shelf);
    assert_eq!(report.outcome, VerifyOutcome::Whole);
    assert!(report.archives.iter().all(|a| a.whole == 2 && a.damaged.is_empty()), "{:?}", report.archives);
    assert_eq!(report.records, report.last_sequence);
}

/// One bit at a time: of the entry and the tables each, of the frames a seeded part. The audit names the file; a reader gives a record
/// that is right, or an error, and never another record.
#[test]
fn every_damaged_bit_of_an_archive_is_found() {
    let shelf = Shelf::new();
    let (opened, files) = archived(&shelf, 3);
    let last = opened.log.published_sequence();
    let log_id = opened.log.log_id();
    let wanted: Vec<(u64, u64)> = vec![read_from(&opened.log, From::Start, Limit::Durable)];
    assert_eq!(wanted, [(1, last)]);
    opened.appender.close().unwrap();
    let path = shelf.packed(files[1].0);
    let length = std::fs::metadata(&path).unwrap().len();
    let behind = 8 + 128 + 8 + 9 + 8 * (FILE_BYTES.div_ceil(256 << 10) + 1);
    let mut random = Random::seeded("archive_bits", 9);
    let mut places: Vec<u64> = (length - behind..length).collect();
    places.extend((0..count(120, 20_000)).map(|_| random.below(length - behind)));
    for at in &places {
        let bit = random.below(8) as u8;
        flip(&path, *at, bit);
        let report = verify(&shelf);
        let VerifyOutcome::Damaged(place) = &report.outcome else { panic!("byte {at} bit {bit}: {report:?}") };
        assert_eq!(place.segment, path, "byte {at} bit {bit}");
        assert_eq!(report.damaged.len(), 1, "the copy in the archive is whole");
        assert_eq!(report.archives[1].whole, 1);
        let mut log = open_read_only(&shelf.place.dir()).unwrap();
        assert_eq!(log.log_id(), log_id);
        let mut next = 1;
        while let Ok(Some(record)) = log.next() {
            assert_eq!(record.header.sequence, next);
            crate::shelf::check(&record);
            next += 1;
        }
        // Some bits of a frame's header mean nothing to a decoder: then everything is read, and all of it is right.
        assert!(next <= last + 2);
        flip(&path, *at, bit);
    }
    assert_eq!(verify(&shelf).outcome, VerifyOutcome::Whole);
    println!("{} flipped bits of an archive of {length} bytes, all found", places.len());
}

/// Files that are whole and in the wrong place, or of the wrong length.
#[test]
fn an_archive_in_anothers_place_is_found() {
    let shelf = Shelf::new();
    let (opened, files) = archived(&shelf, 4);
    opened.appender.close().unwrap();
    let [a, b] = [shelf.packed(files[0].0), shelf.packed(files[2].0)];
    let (whole_a, whole_b) = (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
    let other = Shelf::new();
    let (strangers, _) = archived(&other, 4);
    strangers.appender.close().unwrap();
    let foreign = std::fs::read(other.packed(files[0].0)).unwrap();
    let mut longer = whole_a.clone();
    longer.extend_from_slice(&[0; 16]);
    let cases: [(&str, Vec<u8>); 7] = [
        ("another segment's", whole_b.clone()),
        ("another log's", foreign),
        ("empty", Vec::new()),
        ("cut in its table", whole_a[..whole_a.len() - 5].to_vec()),
        ("cut in its frames", whole_a[..whole_a.len() / 2].to_vec()),
        ("longer", longer),
        ("zeros", vec![0; whole_a.len()]),
    ];
    for (name, bytes) in cases {
        std::fs::write(&a, bytes).unwrap();
        let report = verify(&shelf);
        let VerifyOutcome::Damaged(place) = &report.outcome else { panic!("{name}: {report:?}") };
        assert_eq!((&place.segment, place.sequence), (&a, 1), "{name}");
        let mut log = open_read_only(&shelf.place.dir()).unwrap();
        assert!(log.next().is_err(), "{name}: something was read");
    }
    // Gone here, and whole in the archive: nothing is lost.
    std::fs::remove_file(&a).unwrap();
    assert_eq!(verify(&shelf).outcome, VerifyOutcome::Whole);
    // Gone in both places.
    let there = shelf.archive_dir().join(format!("{:016x}", shelf.open().log.log_id())).join(archive_name(files[0].0));
    let kept = std::fs::read(&there).unwrap();
    std::fs::remove_file(&there).unwrap();
    let report = verify(&shelf);
    let VerifyOutcome::Damaged(place) = &report.outcome else { panic!("{report:?}") };
    assert_eq!(place.segment, there);
    assert!(place.to_string().contains("missing"), "{place}");
    std::fs::write(&there, kept).unwrap();
    std::fs::write(&a, whole_a).unwrap();
    std::fs::write(&b, whole_b).unwrap();
    assert_eq!(verify(&shelf).outcome, VerifyOutcome::Whole);
}

/// An archive target that can be told to lie, to lose and to refuse.
#[derive(Debug)]
struct Gate {
    real: DirectoryTarget,
    refuse: AtomicBool,
    spoil: AtomicBool,
    puts: AtomicU64,
    dir: std::path::PathBuf,
}

impl Gate {
    fn new(shelf: &Shelf) -> Self {
        let dir = shelf.archive_dir();
        let real = DirectoryTarget::new(Arc::new(RealDisk::read_only()), &dir);
        Self { real, refuse: AtomicBool::new(false), spoil: AtomicBool::new(false), puts: AtomicU64::new(0), dir }
    }
}

impl ArchiveTarget for Gate {
    fn put(&self, name: &str, source: &dyn DiskFile) -> DiskResult<()> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        if self.refuse.load(Ordering::SeqCst) {
            let refused = std::io::Error::from_raw_os_error(libc::EHOSTUNREACH);
            return Err(lotbook_wal::DiskError::new("put", Path::new(name), 0, refused));
        }
        self.real.put(name, source)?;
        if self.spoil.load(Ordering::SeqCst) {
            let path = self.dir.join(name);
            let byte = peek(&path, 1_000, 1)[0];
            poke(&path, 1_000, &[!byte]);
        }
        Ok(())
    }

    fn open(&self, name: &str) -> DiskResult<Arc<dyn DiskFile>> {
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
        "a gate".into()
    }
}

#[test]
fn a_target_that_refuses_or_spoils_is_never_believed() {
    for spoils in [false, true] {
        let shelf = Shelf::new();
        let gate = Arc::new(Gate::new(&shelf));
        gate.refuse.store(!spoils, Ordering::SeqCst);
        gate.spoil.store(spoils, Ordering::SeqCst);
        let mut config = shelf.short();
        config.retention.archive_target = Some(gate.clone());
        let mut opened = open(config).unwrap();
        let mut writer = Writer::default();
        writer.fill(&mut opened, 3);
        until("a problem", || gate.puts.load(Ordering::SeqCst) > 0 && !opened.log.retention().problems.is_empty());
        let report = opened.log.retention();
        assert_eq!((report.shipped, report.dropped), (0, 0), "{report:?}");
        assert_eq!(report.problems[0].0, "ship");
        assert!(report.segments.iter().all(|s| s.form != SegmentForm::Shipped), "{report:?}");
        let last = opened.log.published_sequence();
        assert_eq!(read_from(&opened.log, From::Start, Limit::Durable), (1, last));
        // It comes to its senses; a step that failed is tried again after a while, and at the next opening at once.
        gate.refuse.store(false, Ordering::SeqCst);
        gate.spoil.store(false, Ordering::SeqCst);
        opened.appender.close().unwrap();
        let mut config = shelf.short();
        config.retention.archive_target = Some(gate.clone());
        let mut opened = open(config).unwrap();
        writer.fill(&mut opened, 1);
        all_sealed_are(&opened.log, SegmentForm::Shipped);
        let last = opened.log.published_sequence();
        assert_eq!(read_from(&opened.log, From::Start, Limit::Durable), (1, last));
        opened.appender.close().unwrap();
    }
}

/// Dropped here and then lost there: said so by name, wherever it is asked for.
#[test]
fn what_the_archive_lost_is_an_error_and_not_an_end() {
    let shelf = Shelf::new();
    let mut opened = open(shelf.short()).unwrap();
    Writer::default().fill(&mut opened, 3);
    all_sealed_are(&opened.log, SegmentForm::Shipped);
    let lost = shelf.archive_of(&opened.log, 0);
    std::fs::remove_file(&lost).unwrap();
    opened.appender.close().unwrap();
    let opened = open(shelf.short()).unwrap();
    match opened.log.reader(From::Start) {
        Err(ReadError::Disk(error)) => assert!(error.is_missing() && error.path == lost, "{error}"),
        other => panic!("{other:?}"),
    }
    let second = sealed(&opened.log)[1];
    let first_kept = opened.log.reader(From::Address(second)).unwrap().sequence();
    read_from(&opened.log, From::Sequence(first_kept), Limit::Durable);
    opened.appender.close().unwrap();
}
