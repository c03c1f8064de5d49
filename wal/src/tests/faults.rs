//! A disk that refuses: latched on failure, patient when full.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

/// The real disk with a say in what happens to each call.
#[derive(Debug)]
struct Moody {
    real: RealDisk,
    mood: Arc<Mood>,
}

#[derive(Debug, Default)]
struct Mood {
    /// Preallocation fails with ENOSPC.
    full: AtomicBool,
    /// The call of that name fails with EIO from now on.
    failing: Mutex<Option<&'static str>>,
    /// Writes and renames left before the process "dies": every later one fails.
    left: Mutex<Option<u64>>,
    syncs: AtomicU64,
}

impl Mood {
    fn ask(&self, call: &'static str, path: &Path, offset: u64) -> DiskResult<()> {
        let fail = |errno| Err(DiskError::new(call, path, offset, std::io::Error::from_raw_os_error(errno)));
        if call == "fallocate" && self.full.load(Ordering::SeqCst) {
            return fail(libc::ENOSPC);
        }
        if *self.failing.lock().unwrap() == Some(call) {
            return fail(libc::EIO);
        }
        let mut left = self.left.lock().unwrap();
        if matches!(call, "pwrite" | "rename" | "unlink")
            && let Some(n) = left.as_mut()
        {
            if *n == 0 {
                return fail(libc::EIO);
            }
            *n -= 1;
        }
        if call == "fdatasync" {
            self.syncs.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct MoodyFile {
    file: Arc<dyn DiskFile>,
    mood: Arc<Mood>,
}

impl DiskFile for MoodyFile {
    fn path(&self) -> &Path {
        self.file.path()
    }
    fn len(&self) -> DiskResult<u64> {
        self.file.len()
    }
    fn preallocate(&self, bytes: u64) -> DiskResult<()> {
        self.mood.ask("fallocate", self.path(), 0)?;
        self.file.preallocate(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> DiskResult<usize> {
        self.file.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> DiskResult<()> {
        self.mood.ask("pwrite", self.path(), offset)?;
        self.file.write_at(offset, bytes)
    }
    fn sync_data(&self) -> DiskResult<()> {
        self.mood.ask("fdatasync", self.path(), 0)?;
        self.file.sync_data()
    }
}

impl Disk for Moody {
    fn open(&self, path: &Path, access: Access) -> DiskResult<Arc<dyn DiskFile>> {
        let file = self.real.open(path, access)?;
        Ok(Arc::new(MoodyFile { file, mood: Arc::clone(&self.mood) }))
    }
    fn create_dir(&self, dir: &Path) -> DiskResult<bool> {
        self.real.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> DiskResult<()> {
        self.mood.ask("rename", from, 0)?;
        self.real.rename(from, to)
    }
    fn unlink(&self, path: &Path) -> DiskResult<()> {
        self.mood.ask("unlink", path, 0)?;
        self.real.unlink(path)
    }
    fn list(&self, dir: &Path) -> DiskResult<Vec<String>> {
        self.real.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> DiskResult<()> {
        self.real.sync_dir(dir)
    }
    fn free_bytes(&self, dir: &Path) -> DiskResult<u64> {
        self.real.free_bytes(dir)
    }
    fn create_mapped(&self, path: &Path, bytes: usize) -> DiskResult<Mapping> {
        self.real.create_mapped(path, bytes)
    }
    fn is_memory(&self, dir: &Path) -> bool {
        self.real.is_memory(dir)
    }
    fn real_path(&self, dir: &Path) -> PathBuf {
        self.real.real_path(dir)
    }
    fn lock_dir(&self, dir: &Path) -> DiskResult<DirLock> {
        self.real.lock_dir(dir)
    }
}

fn moody() -> (Arc<Moody>, Arc<Mood>) {
    let mood = Arc::new(Mood::default());
    let real = RealDisk::read_only();
    (Arc::new(Moody { real, mood: Arc::clone(&mood) }), mood)
}

/// Opens and dies at the given write; true when opening went through before that.
pub(crate) fn open_dying_at(config: &LogConfig, writes: u64) -> bool {
    let (disk, mood) = moody();
    *mood.left.lock().unwrap() = Some(writes);
    match open_on(config.clone(), disk) {
        Ok(opened) => {
            opened.appender.abandon();
            true
        }
        Err(_) => false,
    }
}

/// The preparer has made all it wants to.
fn wait_for_segments(log: &Arc<Log>) {
    let deadline = Instant::now() + LONG;
    while log.stats().segments_prepared < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_failed_write_or_sync_latches_names_the_place_and_is_never_retried() {
    for call in ["pwrite", "fdatasync"] {
        let bench = Bench::new();
        let (disk, mood) = moody();
        let mut opened = open_on(bench.config(), disk).unwrap();
        append_many(&mut opened.appender, 10);
        settle(&opened.log);
        wait_for_segments(&opened.log);
        let durable = opened.log.durable_sequence();
        *mood.failing.lock().unwrap() = Some(call);
        let place = append_one(&mut opened.appender, Group::Single);
        let error = opened.log.wait_durable(place.sequence, LONG).unwrap_err();
        assert_eq!((error.errno, error.call), (libc::EIO, call));
        assert_eq!(error.durable_sequence, durable);
        assert!(error.file.to_string_lossy().contains("seg-0000000000000000.lotlog"));
        // The disk has recovered; the log has not.
        *mood.failing.lock().unwrap() = None;
        let refused = append_payload(&mut opened.appender, Group::Single, b"x");
        assert_eq!(refused, Err(AppendError::Latched));
        let syncs = mood.syncs.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(mood.syncs.load(Ordering::SeqCst), syncs);
        assert_eq!(opened.log.durable_sequence(), durable);
        assert_eq!(opened.log.latched().as_ref(), Some(&error));
        assert_eq!(opened.appender.close().unwrap_err(), error);
        // The tail survived, so nothing that was applied is lost after all.
        let opened = bench.open();
        assert_eq!(read_back(&opened.log, Limit::Durable).len(), 11);
    }
}

/// Preparing a segment failed while a flush was in its sync. The log latched, said "durable up to 388", and the flush then called 392
/// durable, which was answered: true, but after the latch, and beyond what the operator was told.
#[test]
fn nothing_becomes_durable_after_the_latch_whoever_latched() {
    let bench = Bench::new();
    let mut opened = bench.open();
    append_many(&mut opened.appender, 10);
    settle(&opened.log);
    let (sequence, address) = (opened.log.durable_sequence(), opened.log.durable_address());
    let failed = DiskError::new("fallocate", &bench.dir(), 0, std::io::Error::from_raw_os_error(libc::EIO));
    let error = opened.log.latch(&failed);
    assert_eq!(error.durable_sequence, sequence);
    assert_eq!(opened.log.publish_durable(sequence + 4, address + 400), Err(error.clone()));
    assert_eq!((opened.log.durable_sequence(), opened.log.durable_address()), (sequence, address));
    assert_eq!(opened.appender.close().unwrap_err(), error);
}

#[test]
fn a_full_disk_closes_admission_early_and_resumes_by_itself() {
    let bench = Bench::new();
    let (disk, mood) = moody();
    let mut opened = open_on(bench.config(), disk).unwrap();
    wait_for_segments(&opened.log);
    let deadline = Instant::now() + LONG;
    mood.full.store(true, Ordering::SeqCst);
    let mut taken = 0u64;
    let bytes = vec![3u8; 5_000];
    loop {
        match append_payload(&mut opened.appender, Group::Single, &bytes) {
            Ok(_) => taken += 1,
            Err(AppendError::TailFull) => std::thread::sleep(Duration::from_millis(1)),
            Err(AppendError::OutOfSpace) => break,
            Err(e) => panic!("{e}"),
        }
        assert!(Instant::now() < deadline);
    }
    assert!(opened.log.out_of_space());
    assert_eq!(opened.log.latched(), None);
    assert!(taken > 100, "{taken}");
    // What was taken in fits.
    let last = opened.log.published_sequence();
    assert!(opened.log.wait_durable(last, LONG).unwrap());
    mood.full.store(false, Ordering::SeqCst);
    while append_payload(&mut opened.appender, Group::Single, &bytes).is_err() {
        assert!(Instant::now() < deadline, "it never resumed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!opened.log.out_of_space());
    opened.appender.close().unwrap();
    let report = open_read_only(&bench.dir()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert_eq!((report.outcome, report.records), (VerifyOutcome::Whole, taken + 3));
}

#[test]
fn a_full_disk_at_the_first_start_is_a_clear_error_and_leaves_nothing_in_the_way() {
    let bench = Bench::new();
    let (disk, mood) = moody();
    mood.full.store(true, Ordering::SeqCst);
    let error = open_on(bench.config(), disk).unwrap_err();
    assert!(matches!(error, OpenError::OutOfSpace { .. }), "{error}");
    let opened = bench.open();
    assert!(opened.report.created);
}

#[test]
fn making_a_log_may_be_cut_short_anywhere() {
    for step in 0..40 {
        let bench = Bench::new();
        let done = open_dying_at(&bench.config(), step);
        let mut opened = bench.open();
        assert_eq!(opened.report.lost_from_sequence, None, "step {step}");
        append_many(&mut opened.appender, 5);
        opened.appender.close().unwrap();
        if done {
            assert!(step > 3);
            return;
        }
    }
    panic!("opening takes more than forty writes");
}
