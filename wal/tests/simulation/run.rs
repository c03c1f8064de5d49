//! One seed from its first opening to its last: lives, ends, other hands, and after each opening the comparison with what was foretold
//! and with what was promised.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use lotbook_wal::sim::{Call, Cut, Failure, Random, SimDisk, SteppedLog, Stop, open_stepped};
use lotbook_wal::{
    Disk, EpochStart, From, Group, KIND_EPOCH_START, Limit, LogConfig, OpenError, VerifyOutcome, open_read_only_on,
};

use crate::hands::{COPIED, Deed, Earlier, Places};
use crate::life::{ERRNOS, Life};
use crate::oracle::{self, Foretold, Line, Row, foretell, page_table};
use crate::tally::Tally;
use crate::truth::{Truth, is_filled};

/// What all seeds share.
pub(crate) struct Ground {
    table: Vec<Line>,
    foreign_tail: Vec<u8>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self { table: page_table(), foreign_tail: foreign_tail() }
    }
}

/// The tail that some other log left behind when it was killed.
fn foreign_tail() -> Vec<u8> {
    let disk = SimDisk::new(0xF0E1);
    let config = config_for(&mut Random::new(1));
    let mut opened = open_stepped(config, Arc::new(disk.clone())).unwrap();
    let meta = lotbook_wal::RecordMeta::single(1);
    opened.appender.append(&meta, 100, |out| out.fill(9)).unwrap();
    drop(opened);
    disk.restart(Stop::Kill);
    let tail = disk.hand().files().into_iter().find(|path| path.extension().is_some_and(|end| end == "tail")).unwrap();
    disk.hand().read(&tail).unwrap()
}

/// What a seed came to.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) digest: u64,
    /// What was wrong.
    pub(crate) problem: Option<String>,
    pub(crate) trace: Vec<String>,
}

fn config_for(random: &mut Random) -> LogConfig {
    LogConfig {
        tail_dir: Some(PathBuf::from(if random.percent(85) { "/dev/shm" } else { "/data" })),
        segment_bytes: random.pick(&[128 << 10, 128 << 10, 192 << 10, 256 << 10]),
        tail_blocks: random.within(4, 8) as u32,
        max_flush_bytes: random.pick(&[64 << 10, 128 << 10, 256 << 10]),
        max_flush_delay_us: random.pick(&[0, 0, 0, 20_000]),
        flushes_in_flight: random.pick(&[1, 2, 2, 3]),
        ..LogConfig::new("/data/books/log")
    }
}

/// Runs one seed.
pub(crate) fn run(seed: u64, ground: &Ground, trace: bool) -> Outcome {
    let tally = Rc::new(RefCell::new(Tally { seeds: 1, ..Tally::default() }));
    let mut random = Random::new(seed);
    let disk = SimDisk::new(random.bits());
    disk.set_direct(random.percent(50));
    if trace {
        disk.keep_trace();
    }
    let mut seeded = Seeded {
        ground,
        disk: disk.clone(),
        config: config_for(&mut random),
        truth: Rc::default(),
        tally: Rc::clone(&tally),
        earlier: Earlier::default(),
        random,
        since: Since::default(),
        exists: false,
    };
    let result = catch_unwind(AssertUnwindSafe(|| seeded.all())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    });
    drop(seeded);
    let mut tally = tally.borrow().clone();
    tally.calls = disk.calls();
    Outcome { tally, digest: disk.digest(), problem: result.err(), trace: disk.take_trace() }
}

/// What has happened to the files since an opening last returned.
#[derive(Default)]
struct Since {
    cut: bool,
    misplaced: bool,
    /// An opening died or failed half-way.
    half_opened: bool,
    deed: Option<Deed>,
    /// Refused, and nobody has a copy to put back: the seed ends here.
    ruined: bool,
}

struct Seeded<'a> {
    ground: &'a Ground,
    disk: SimDisk,
    config: LogConfig,
    truth: Rc<RefCell<Truth>>,
    tally: Rc<RefCell<Tally>>,
    earlier: Earlier,
    random: Random,
    /// What has happened since an opening last returned.
    since: Since,
    /// An opening has returned: from then on there is a log.
    exists: bool,
}

impl Seeded<'_> {
    fn all(&mut self) -> Result<(), String> {
        let lives = self.random.within(2, 4);
        for _ in 0..lives {
            let Some(life) = self.begin_life()? else { continue };
            self.live(life)?;
        }
        // A last opening in peace. It may refuse what has been damaged, and then opens what was put back.
        self.disk.remark(|| "       the last opening".into());
        for _ in 0..2 {
            if self.since.ruined {
                return Ok(());
            }
            if let Some(opened) = self.open()? {
                let closed = self.life(opened).close()?;
                return if closed { Ok(()) } else { Err("the last closing was not in order".into()) };
            }
        }
        if self.since.ruined { Ok(()) } else { Err("the last opening did not succeed".into()) }
    }

    fn life(&mut self, opened: SteppedLog) -> Rc<Life> {
        Life::new(&self.disk, opened, &self.truth, &self.tally, self.random.fork())
    }

    /// Other hands, then an opening that may die or fail half-way. `None`: it did, or it refused.
    fn begin_life(&mut self) -> Result<Option<Rc<Life>>, String> {
        if self.exists && self.since.deed.is_none() && !self.since.half_opened && self.random.percent(30) {
            self.since.deed = self.meddle();
        }
        if self.random.percent(30) {
            let calls = self.random.below(60);
            self.disk.stop_after(calls);
        } else if self.random.percent(10) {
            let any = self.random.percent(50);
            let call =
                if any { None } else { Some(self.random.pick(&[Call::Read, Call::Open, Call::Sync, Call::Map])) };
            let failure =
                Failure { call, after: self.random.below(12), errno: self.random.pick(&ERRNOS), lasting: false };
            self.disk.remark(|| format!("       {failure:?}"));
            self.disk.fail(failure);
        }
        if self.since.ruined {
            return Ok(None);
        }
        let Some(opened) = self.open()? else { return Ok(None) };
        Ok(Some(self.life(opened)))
    }

    fn meddle(&mut self) -> Option<Deed> {
        let witnessed = self.truth.borrow().witnessed;
        let places = Places {
            disk: &self.disk,
            dir: &self.config.dir,
            earlier: &self.earlier,
            foreign: &self.ground.foreign_tail,
            witnessed,
        };
        let deed = places.meddle(&mut self.random)?;
        *self.tally.borrow_mut().hands.entry(deed.name).or_insert(0) += 1;
        self.disk.remark(|| format!("       {}", deed.name));
        Some(deed)
    }

    /// Opens and compares with what was foretold and promised.
    fn open(&mut self) -> Result<Option<SteppedLog>, String> {
        let foretold = self.foretell();
        self.disk.remark(|| format!("       foretold {foretold:?}"));
        if self.random.percent(15) {
            self.verify_beside(&foretold)?;
        }
        let picture = self.disk.hand().picture();
        self.tally.borrow_mut().openings += 1;
        let result = open_stepped(self.config.clone(), Arc::new(self.disk.clone()));
        if self.disk.stopped() {
            self.tally.borrow_mut().killed_opening += 1;
            drop(result);
            self.since.half_opened = true;
            self.end(None);
            return Ok(None);
        }
        match result {
            Ok(opened) => {
                self.disk.remark(|| format!("       opened {:?}", opened.report));
                self.disk.heal();
                self.disk.never_stop();
                self.check_opened(&opened, &foretold)?;
                self.exists = true;
                self.since = Since::default();
                Ok(Some(opened))
            }
            Err(error) => {
                self.disk.remark(|| format!("       refused: {error}"));
                let failed = matches!(error, OpenError::Disk(_) | OpenError::Latched(_) | OpenError::OutOfSpace { .. });
                self.check_refused(&error, &foretold, &picture)?;
                self.disk.restart(Stop::Kill);
                if failed {
                    self.since.half_opened = true;
                } else if self.since.half_opened || self.since.misplaced {
                    self.since.ruined = true;
                } else if let Some(deed) = self.since.deed.take() {
                    deed.undo(&self.disk);
                }
                Ok(None)
            }
        }
    }

    fn foretell(&self) -> Foretold {
        let tail_dir = self.config.tail_dir.as_deref().unwrap_or(Path::new("/dev/shm"));
        foretell(&self.disk, &self.config.dir, tail_dir, self.disk.boot_id(), &self.ground.table)
    }

    /// The tool that only reads must see the same.
    fn verify_beside(&mut self, foretold: &Foretold) -> Result<(), String> {
        let log = match open_read_only_on(&self.config.dir, Arc::new(self.disk.clone())) {
            Ok(log) => log,
            Err(_) if self.disk.stopped() || !self.disk.failed().is_empty() => return Ok(()),
            Err(error) => {
                return match foretold {
                    Foretold::Row(_) => Err(format!("verify refuses what opening should not: {error}")),
                    Foretold::Made | Foretold::Unfit(_) => Ok(()),
                };
            }
        };
        let log = log.with_tail_dir(self.config.tail_dir.as_deref().unwrap());
        let Ok(report) = log.verify(&mut |_, _| {}) else { return Ok(()) };
        self.tally.borrow_mut().verified += 1;
        let Foretold::Row(row) = foretold else { return Err(format!("verify reads what is foretold {foretold:?}")) };
        let damaged = matches!(report.outcome, VerifyOutcome::Damaged(_));
        if damaged != (row.letter == 'A') {
            return Err(format!("verify says {:?}, foretold {row:?}", report.outcome));
        }
        if !damaged && row.findings[0] == "Broken" && !matches!(report.outcome, VerifyOutcome::TornTail { .. }) {
            return Err(format!("verify says {:?} of a broken end", report.outcome));
        }
        if report.tail != row.findings[2].to_lowercase() {
            return Err(format!("verify says tail {}, foretold {row:?}", report.tail));
        }
        Ok(())
    }

    fn check_refused(
        &mut self,
        error: &OpenError,
        foretold: &Foretold,
        picture: &lotbook_wal::sim::Picture,
    ) -> Result<(), String> {
        let failed = self.disk.failed();
        if !failed.is_empty() {
            let fits = match error {
                OpenError::Disk(e) => failed.iter().any(|f| f.errno == e.errno() && f.path == e.path),
                OpenError::Latched(e) => failed.iter().any(|f| f.errno == e.errno && f.path == e.file),
                OpenError::OutOfSpace { .. } => {
                    failed.iter().any(|f| matches!(f.errno, libc::ENOSPC | libc::EDQUOT | libc::ENOMEM))
                }
                _ => false,
            };
            if fits {
                self.tally.borrow_mut().failed_opening += 1;
                return Ok(());
            }
            // The failed call was one that does not matter.
        }
        let expected = match foretold {
            Foretold::Made => false,
            Foretold::Unfit(what) => match what.as_str() {
                "meta" => matches!(error, OpenError::Meta { .. }),
                "manifest" => matches!(error, OpenError::Manifest { .. }),
                "missing" => matches!(error, OpenError::MissingSegment { .. }),
                "corrupt" => matches!(error, OpenError::Corrupt(_)),
                _ => matches!(error, OpenError::WrongSegment { .. }),
            },
            Foretold::Row(row) => match row.verdict.as_str() {
                "RefuseCorrupt" => matches!(error, OpenError::Corrupt(_)),
                "RefuseForeign" => matches!(error, OpenError::TailForeign { .. }),
                "RefuseDiffers" => matches!(error, OpenError::TailDiffers { .. }),
                "RefuseGap" => matches!(error, OpenError::TailGap { .. }),
                _ => false,
            },
        };
        let mut tally = self.tally.borrow_mut();
        match foretold {
            Foretold::Row(row) => *tally.rows.entry(row.letter).or_insert(0) += 1,
            _ => tally.unfit += 1,
        }
        if !expected {
            return Err(format!("refused by {error:?}, foretold {foretold:?}"));
        }
        if self.since.deed.is_none() && !self.since.misplaced {
            return Err(format!("a log that nobody damaged is refused: {error}"));
        }
        if !self.disk.hand().same(picture) {
            return Err("a refusal touched files".into());
        }
        Ok(())
    }

    fn check_opened(&mut self, opened: &SteppedLog, foretold: &Foretold) -> Result<(), String> {
        let report = &opened.report;
        match foretold {
            Foretold::Made => {
                self.tally.borrow_mut().made += 1;
                if !report.created || self.exists {
                    return Err(format!("a log was made anew: {report:?}"));
                }
            }
            Foretold::Unfit(what) => return Err(format!("opened, foretold unfit: {what}")),
            Foretold::Row(row) => {
                *self.tally.borrow_mut().rows.entry(row.letter).or_insert(0) += 1;
                compare(report, row)?;
            }
        }
        self.tally.borrow_mut().from_tail += report.from_tail_records;
        self.check_rest(report.row)?;
        let end = report.next_sequence - 2;
        let kept = self.read_back(opened, end)?;
        self.check_promises(opened, kept)?;
        if kept < self.earlier.entries {
            self.earlier.segments.clear();
        }
        self.truth.borrow_mut().restarted(kept, report.next_sequence - 1);
        Ok(())
    }

    /// What opening leaves behind is a log that was killed at rest: no byte behind its end that is not zero.
    fn check_rest(&self, row: char) -> Result<(), String> {
        match self.foretell() {
            Foretold::Row(rest) if rest.letter == 'G' && rest.findings[0] == "Stopped" => Ok(()),
            other => Err(format!("opened by row {row}, and left behind {other:?}")),
        }
    }

    /// Reads everything: it must be what was appended, in order, without a gap. Returns how many entries are there, dropped ones counted.
    fn read_back(&mut self, opened: &SteppedLog, end: u64) -> Result<usize, String> {
        let mut reader = opened.log.reader(From::Start).map_err(|e| format!("reading back: {e}"))?;
        let mut truth = self.truth.borrow_mut();
        let first = opened.log.first_address();
        // Retention may have got further than its caller was told, or less far.
        let mut at = truth.entries.partition_point(|entry| entry.address < first);
        truth.dropped = at;
        let mut next = reader.sequence();
        let mut losses = Vec::new();
        while let Some(record) = reader.next(Limit::Durable).map_err(|e| format!("reading back: {e}"))? {
            let header = record.header;
            if header.sequence != next {
                return Err(format!("sequence {} after {}", header.sequence, next - 1));
            }
            next += 1;
            if header.kind == KIND_EPOCH_START {
                losses.extend(EpochStart::decode(record.payload).and_then(|start| start.lost_from_sequence));
            }
            if header.is_internal() {
                continue;
            }
            let entry =
                truth.entries.get(at).ok_or_else(|| format!("sequence {} was never appended", header.sequence))?;
            let same = (entry.sequence, entry.address, entry.length, entry.group)
                == (header.sequence, header.address, record.payload.len(), header.group());
            if !same || !is_filled(entry.serial, record.payload) {
                return Err(format!("{entry:?} was appended, {header:?} is read"));
            }
            at += 1;
        }
        if next != end + 2 {
            return Err(format!("the log says it ends at {end}, reading back ends at {}", next as i64 - 2));
        }
        if at > 0 && at > truth.dropped && truth.entries[at - 1].group.continues() {
            return Err(format!("half a group was kept: {:?}", truth.entries[at - 1]));
        }
        // What is lost must have been said, now or in the log itself by an opening that died.
        let first_lost = truth.entries.get(at).filter(|entry| entry.sequence <= truth.applied);
        if let Some(first_lost) = first_lost {
            let said =
                opened.report.lost_from_sequence.into_iter().chain(losses).any(|from| from <= first_lost.sequence);
            let applied = truth.applied;
            let lost = truth.entries[at..].iter().filter(|entry| entry.sequence <= applied).count();
            self.tally.borrow_mut().lost_applied += lost as u64;
            // A copy of this epoch's tail that is not behind the disk cannot be told from the tail.
            let copied = self.since.deed.as_ref().is_some_and(|deed| deed.name == COPIED);
            if !said && !copied {
                return Err(format!("{lost} applied records from {first_lost:?} on are lost and nobody says so"));
            }
        }
        Ok(at)
    }

    fn check_promises(&self, opened: &SteppedLog, kept: usize) -> Result<(), String> {
        let truth = self.truth.borrow();
        let Some(lost) = truth.entries.get(kept) else { return Ok(()) };
        let deed = self.since.deed.as_ref();
        let floor = match deed.and_then(|deed| deed.disk) {
            Some(floor) if self.since.misplaced => floor.min(truth.witnessed),
            Some(floor) => floor,
            None if self.since.misplaced => truth.witnessed,
            None => truth.durable,
        };
        if lost.sequence <= floor {
            return Err(format!(
                "durable {} (witnessed {}), and {lost:?} is lost: {:?}",
                truth.durable, truth.witnessed, opened.report
            ));
        }
        if !self.since.cut && deed.is_none() && lost.sequence <= truth.applied {
            return Err(format!("applied {}, killed, and {lost:?} is lost: {:?}", truth.applied, opened.report));
        }
        Ok(())
    }

    /// Lives and ends.
    fn live(&mut self, life: Rc<Life>) -> Result<(), String> {
        let actions = self.random.within(1, 120);
        if self.random.percent(60) {
            let calls = self.random.below(2 * actions);
            self.disk.stop_after(calls);
        }
        let halves = self.random.below(actions + 1);
        life.live(halves)?;
        self.remember_moment();
        life.live(actions - halves)?;
        self.disk.set_capacity(u64::MAX);
        if self.random.percent(25) {
            life.settle();
        }
        if !self.disk.stopped() && self.random.percent(25) {
            self.tally.borrow_mut().closes += 1;
            if self.random.percent(50) {
                self.disk.never_stop();
            }
            life.close()?;
            if self.random.percent(60) {
                self.disk.restart(Stop::Kill);
            } else {
                self.end(None);
            }
            return Ok(());
        }
        self.end(Some(life));
        Ok(())
    }

    /// Someone takes a copy of the files.
    fn remember_moment(&mut self) {
        if self.disk.stopped() || !self.random.percent(30) {
            return;
        }
        let hand = self.disk.hand();
        let files = hand.files();
        let tail = files.iter().find(|path| path.extension().is_some_and(|end| end == "tail"));
        let before = self.earlier.tail.take();
        let segment = |path: &&PathBuf| path.extension().is_some_and(|end| end == "lotlog");
        self.earlier = Earlier {
            tail: tail.and_then(|path| hand.read(path)),
            tail_of_old_epoch: before,
            segments: files.iter().filter(segment).filter_map(|p| Some((p.clone(), hand.read(p)?))).collect(),
            durable: self.truth.borrow().durable,
            entries: self.truth.borrow().entries.len(),
        };
    }

    /// The process did not die between two calls but in the middle of an append: before the last record was published, or with a part of
    /// the next one stored behind it.
    fn kill_inside_an_append(&mut self) {
        let hand = self.disk.hand();
        let files = hand.files();
        let Some(path) = files.iter().find(|path| path.extension().is_some_and(|end| end == "tail")) else { return };
        let Some(tail) = hand.read(path) else { return };
        let mut truth = self.truth.borrow_mut();
        let last = truth.entries.last().copied();
        if let Some(last) = last
            && last.group == Group::Single
            && last.sequence == truth.applied
            && truth.durable < truth.applied
            && self.random.percent(50)
        {
            // The address goes first, and the sequence may have been left behind.
            if self.random.percent(50) {
                hand.poke(path, 128, &last.address.to_le_bytes());
            }
            hand.poke(path, 136, &(last.sequence - 1).to_le_bytes());
            truth.applied -= 1;
            self.disk.remark(|| format!("       killed before {} was published", last.sequence));
        } else if let Some((at, left)) = oracle::end_in_tail(&tail) {
            let length = self.random.within(1, 100).min(left);
            let stale: Vec<u8> = (0..length).map(|_| self.random.bits() as u8).collect();
            hand.poke(path, at, &stale);
            self.disk.remark(|| format!("       killed with {length} bytes of the next record in the tail"));
        }
    }

    /// The process ends by a kill or with the machine.
    fn end(&mut self, life: Option<Rc<Life>>) {
        let cut = self.random.pick(&[Cut::Nothing, Cut::Everything, Cut::InOrder, Cut::Reversed, Cut::Torn, Cut::Torn]);
        let stop = match self.random.below(100) {
            0..45 => Stop::Kill,
            45..93 => Stop::PowerCut(cut),
            _ => Stop::Misplacing(cut),
        };
        let mut tally = self.tally.borrow_mut();
        match stop {
            Stop::Kill => tally.kills += 1,
            Stop::PowerCut(_) => tally.cuts += 1,
            Stop::Misplacing(_) => {
                tally.cuts += 1;
                tally.misplaced += 1;
            }
        }
        drop(tally);
        self.disk.remark(|| format!("       {stop:?}"));
        self.since.cut |= stop != Stop::Kill;
        self.since.misplaced |= matches!(stop, Stop::Misplacing(_));
        self.disk.restart(stop);
        if stop == Stop::Kill && life.is_some() && self.random.percent(40) {
            self.kill_inside_an_append();
        }
        // Whatever the dead process still does goes nowhere.
        drop(life);
    }
}

fn compare(report: &lotbook_wal::OpenReport, row: &Row) -> Result<(), String> {
    if !row.starts() {
        return Err(format!("opened by row {}, foretold {row:?}", report.row));
    }
    let said = (report.row, report.next_sequence - 2, report.lost_from_sequence, report.epoch);
    let foretold = (row.letter, row.end_sequence, row.lost_from, row.epoch);
    if said != foretold {
        return Err(format!("opened as {said:?} (row, end, lost from, epoch), foretold {foretold:?}: {row:?}"));
    }
    Ok(())
}
