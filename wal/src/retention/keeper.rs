//! The keeper: does what the ladder says, one step at a time, on a thread of its own. Nothing waits for it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::archive::entry::ArchiveEntry;
use crate::archive::file::ArchivedFile;
use crate::archive::manifest::Manifest;
use crate::archive::pack::{Pack, PackError, check_packed};
use crate::archive::target::{ArchiveTarget, log_folder, target_name};
use crate::chain::Chain;
use crate::cursor::CursorClass;
use crate::disk::{Access, DiskError};
use crate::limits::HEAD_BYTES;
use crate::log::{Log, lock};
use crate::retention::growth::Growth;
use crate::retention::ladder::{Act, Sealed, View, next};
use crate::retention::shipping::Shipping;
use crate::segment::{archive_path, segment_path};
use crate::segments::{change, open_named};
use crate::stop::{DRAIN, RUN};

/// A step that failed is not tried again for so long.
const RETRY_NS: u64 = 10_000_000_000;
/// How long the end of a closing log is waited for, and how often it is looked at.
const CLOSING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_millis(1));

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// One thing; there may be more.
    Done(Act),
    /// One thing was tried in vain; the report says why.
    Failed(Act),
    /// Nothing to do.
    Nothing,
}

/// What the keeper tells the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeeperState {
    pub(crate) bytes_per_second: u64,
    /// Space ran short at the last look.
    pub(crate) short: bool,
    /// Letter and reason of the row that was followed last.
    pub(crate) last: Option<(char, &'static str)>,
    /// What failed and has not succeeded since, in words.
    pub(crate) problems: BTreeMap<&'static str, String>,
    pub(crate) done: [u64; 6],
}

/// The keeper's own state.
#[derive(Debug)]
pub(crate) struct Keeper {
    log: Arc<Log>,
    growth: Growth,
    failed: BTreeMap<(u8, u64), u64>,
    shipping: Shipping,
    /// When the tail was copied last.
    tail_at_ns: Option<u64>,
}

impl Log {
    /// Bytes that the log's files can still take here, without what the reserve keeps.
    pub(crate) fn free_room(&self) -> u64 {
        let free = self.disk.free_bytes(&self.dir).unwrap_or(u64::MAX);
        let budget = self.retention.budget_bytes.unwrap_or(u64::MAX);
        free.min(budget.saturating_sub(self.local_bytes()))
    }

    /// Bytes of the log's segment files and archives here.
    pub(crate) fn local_bytes(&self) -> u64 {
        let plain_bytes = HEAD_BYTES as u64 + self.segment_bytes;
        let entries = self.segments.entries();
        let bytes = entries.values().map(|e| e.packed_bytes.unwrap_or(0) + if e.plain { plain_bytes } else { 0 });
        bytes.sum()
    }

    /// True when so many segments still fit.
    pub(crate) fn has_room_for(&self, segments: u32) -> bool {
        self.free_room() >= u64::from(segments) * (HEAD_BYTES as u64 + self.segment_bytes)
    }
}

impl Keeper {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self {
            log,
            growth: Growth::default(),
            failed: BTreeMap::new(),
            shipping: Shipping::default(),
            tail_at_ns: None,
        }
    }

    /// One look, at most one thing done. `now_ns` only needs to rise.
    pub(crate) fn step(&mut self, now_ns: u64) -> Kept {
        let log = Arc::clone(&self.log);
        self.growth.sample(now_ns, log.durable_address());
        let view = self.view();
        {
            let mut state = lock(&log.keeper);
            state.bytes_per_second = self.growth.bytes_per_second();
            state.short = view.short;
        }
        let failed = &mut self.failed;
        failed.retain(|_, at| now_ns - *at < RETRY_NS);
        let Some((row, first)) = next(&view, &|act, first| failed.contains_key(&(act as u8, first))) else {
            return self.tail_step(now_ns);
        };
        // A removal that someone asked for at the same time comes before or after, never between.
        let work = lock(&log.segments_work);
        let result = self.act(row.act, first);
        drop(work);
        let mut state = lock(&log.keeper);
        match result {
            Ok(()) => {
                state.done[row.act as usize] += 1;
                state.last = Some((row.letter, row.reason));
                state.problems.remove(act_word(row.act));
                Kept::Done(row.act)
            }
            Err(PackError::Stopped) => Kept::Nothing,
            Err(error) => {
                state.problems.insert(act_word(row.act), error.to_string());
                self.failed.insert((row.act as u8, first), now_ns);
                Kept::Failed(row.act)
            }
        }
    }

    /// With everything sealed where it belongs: what is not sealed is copied, once in a while.
    fn tail_step(&mut self, now_ns: u64) -> Kept {
        let log = Arc::clone(&self.log);
        let (Some(every_ms), Some(target)) = (log.retention.tail_ms, log.segments.target()) else {
            return Kept::Nothing;
        };
        let due = self.tail_at_ns.is_none_or(|at| now_ns - at >= every_ms * 1_000_000);
        let key = (Act::CopyTail as u8, 0);
        if !due || self.failed.contains_key(&key) || !self.shipping.has_tail(&log) {
            return Kept::Nothing;
        }
        self.tail_at_ns = Some(now_ns);
        let copied = self.check_place(&**target).and_then(|()| {
            let work = lock(&log.segments_work);
            let copied = self.shipping.copy_tail(&log, &**target);
            drop(work);
            Ok(copied?)
        });
        let mut state = lock(&log.keeper);
        match copied {
            Ok(()) => {
                state.done[Act::CopyTail as usize] += 1;
                state.problems.remove(act_word(Act::CopyTail));
                Kept::Done(Act::CopyTail)
            }
            Err(error) => {
                state.problems.insert(act_word(Act::CopyTail), error.to_string());
                self.failed.insert(key, now_ns);
                Kept::Failed(Act::CopyTail)
            }
        }
    }

    /// What the table looks at.
    fn view(&self) -> View {
        let log = &self.log;
        let durable = log.durable_address();
        let short = !log.has_room_for(log.retention.low_segments);
        let floors: Vec<(u64, CursorClass)> =
            log.cursors.held().values().filter_map(|held| Some((held.floor()?, held.class()))).collect();
        let now_ns = log.disk.wall_clock_ns();
        let kept_ns = log.retention.local_hours.map(|hours| u64::from(hours) * 3_600_000_000_000);
        let entries = log.segments.entries();
        let mut sealed: Vec<Sealed> = entries
            .iter()
            // As with removal: behind every archived segment a durable record stays in a segment file.
            .filter(|(first, _)| *first + log.segment_bytes < durable)
            .map(|(first, entry)| {
                let needs = |class| floors.iter().any(|(f, c)| *c == class && *f < first + log.segment_bytes);
                Sealed {
                    first: *first,
                    plain: entry.plain,
                    packed: entry.packed_bytes.is_some(),
                    archived: entry.archived.is_some(),
                    shipped: entry.shipped,
                    required: needs(CursorClass::Required),
                    rebuildable: needs(CursorClass::Rebuildable),
                    newest: false,
                    old: kept_ns.is_some_and(|kept| {
                        entry.archived.is_some_and(|archived| now_ns.saturating_sub(archived.archived_ns) >= kept)
                    }),
                }
            })
            .collect();
        drop(entries);
        let durable_sequence = log.durable_sequence();
        // A group that goes on behind the last of them may not be durable yet as a whole.
        while let Some(last) = sealed.last()
            && !log.first_sequence(last.first + log.segment_bytes).is_ok_and(|next| next <= durable_sequence)
        {
            sealed.pop();
        }
        let newest = log.retention.plain_segments as usize;
        sealed.iter_mut().rev().take(newest).for_each(|s| s.newest = true);
        View { sealed, target: log.segments.target().is_some(), short }
    }

    fn act(&mut self, act: Act, first: u64) -> Result<(), PackError> {
        match act {
            Act::Thin => self.thin(first),
            Act::Archive => self.archive(first),
            Act::Ship => self.ship(first),
            Act::Drop => self.drop_local(first),
            Act::Release => self.release(first),
            Act::CopyTail => unreachable!("no row of the ladder"),
        }
    }

    fn stopping(&self) -> impl Fn() -> bool {
        let log = Arc::clone(&self.log);
        move || log.stop.told() != RUN
    }

    fn archive(&self, first: u64) -> Result<(), PackError> {
        let log = &self.log;
        let known = log.segments.manifest().chain_before(first);
        let pack = Pack {
            disk: &*log.disk,
            dir: &log.dir,
            log_id: log.log_id,
            segment_bytes: log.segment_bytes,
            first,
            before: known.unwrap_or_else(|| Chain::on_trust(log.log_id, first)),
            durable_sequence: log.durable_sequence(),
            level: log.retention.level,
            now_ns: log.disk.wall_clock_ns(),
        };
        let entry = pack.run(&self.stopping())?;
        let packed_bytes = log.disk.open(&archive_path(&log.dir, first), Access::Read)?.len()?;
        self.change_manifest(|manifest| manifest.entries.push(entry))?;
        change(log, first, |segment| {
            segment.archived = Some(entry);
            segment.packed_bytes = Some(packed_bytes);
            segment.first_sequence = Some(entry.first_sequence);
        });
        Ok(())
    }

    fn change_manifest(&self, what: impl FnOnce(&mut Manifest)) -> Result<(), DiskError> {
        let log = &self.log;
        let mut manifest = log.segments.manifest();
        let mut next = manifest.clone();
        what(&mut next);
        next.store(&*log.disk, &log.dir)?;
        *manifest = next;
        Ok(())
    }

    fn thin(&self, first: u64) -> Result<(), PackError> {
        let log = &self.log;
        // From now on readers take the archive; those inside the segment file go on with what they have open.
        change(log, first, |segment| segment.plain = false);
        log.disk.unlink(&segment_path(&log.dir, first))?;
        log.disk.sync_dir(&log.dir)?;
        Ok(())
    }

    /// Copies the archive and checks the copy; one that is there and checks is not copied again.
    fn ship(&mut self, first: u64) -> Result<(), PackError> {
        let log = Arc::clone(&self.log);
        let (Some(target), Some(entry)) = (log.segments.target(), self.entry(first)) else { return Ok(()) };
        if !self.shipping.is_claimed() {
            self.check_place(&**target)?;
            self.shipping.claim(&log, &**target)?;
        }
        let is_there = if self.shipping.vouches(&**target, &entry) {
            self.open_shipped(&entry).is_ok()
        } else {
            self.check_shipped(first).is_ok()
        };
        if !is_there {
            self.check_place(&**target)?;
            let name = target_name(log.log_id, first);
            Shipping::make_way(&**target, &name, &entry, &self.stopping())?;
            let packed = log.disk.open(&archive_path(&log.dir, first), Access::Read)?;
            target.put(&name, &*packed)?;
            self.check_shipped(first)?;
        }
        change(&log, first, |segment| segment.shipped = true);
        Ok(self.shipping.tell(&log, &**target)?)
    }

    /// A target without any of a log whose segments only it can have is not the target that they were shipped to: a directory whose disk
    /// is not mounted, for one. Shipped there, and then dropped here, a segment would lie where nobody looks for it later.
    fn check_place(&self, target: &dyn ArchiveTarget) -> Result<(), PackError> {
        let log = &self.log;
        let is_known = log.segments.entries().values().any(|e| !e.is_local());
        if !is_known || !target.list(&log_folder(log.log_id))?.is_empty() {
            return Ok(());
        }
        let reason =
            io::Error::new(io::ErrorKind::NotFound, "it has none of this log's segments: is its disk mounted?");
        Err(DiskError::new("ship", Path::new(&target.describe()), 0, reason).into())
    }

    fn check_shipped(&self, first: u64) -> Result<(), PackError> {
        let Some(entry) = self.entry(first) else { return Ok(()) };
        let Some(file) = self.open_shipped(&entry)? else { return Ok(()) };
        check_packed(&file, &self.stopping())
    }

    /// The archive in the target, when it is the one that the manifest names.
    fn open_shipped(&self, entry: &ArchiveEntry) -> Result<Option<ArchivedFile>, DiskError> {
        let log = &self.log;
        let Some(target) = log.segments.target() else { return Ok(None) };
        open_named(target.open(&target_name(log.log_id, entry.first_address))?, entry).map(Some)
    }

    fn entry(&self, first: u64) -> Option<ArchiveEntry> {
        self.log.segments.entries().get(&first).and_then(|e| e.archived)
    }

    /// The copy is read once more before the last one here goes.
    fn drop_local(&self, first: u64) -> Result<(), PackError> {
        let log = &self.log;
        if let Err(error) = self.check_shipped(first) {
            change(log, first, |segment| segment.shipped = false);
            return Err(error);
        }
        change(log, first, |segment| segment.packed_bytes = None);
        log.disk.unlink(&archive_path(&log.dir, first))?;
        log.disk.sync_dir(&log.dir)?;
        Ok(())
    }

    /// Every rebuildable cursor that needs this segment; those further on keep their place.
    fn release(&self, first: u64) -> Result<(), PackError> {
        let log = &self.log;
        let end = first + log.segment_bytes;
        let names: Vec<String> = log
            .cursors
            .held()
            .iter()
            .filter(|(_, held)| held.class() == CursorClass::Rebuildable && held.floor().is_some_and(|f| f < end))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            log.cursors.release(&*log.disk, &log.dir, &name)?;
        }
        Ok(())
    }

    /// The thread.
    pub(crate) fn run(mut self) {
        let _watch = PanicWatch(Arc::clone(&self.log));
        let clock = Instant::now();
        while self.log.stop.told() == RUN {
            match self.step(clock.elapsed().as_nanos() as u64) {
                Kept::Done(_) => {}
                Kept::Failed(_) | Kept::Nothing => {
                    self.log.keeper_bell.wait(Duration::from_millis(self.log.retention.check_ms));
                }
            }
        }
        self.close();
    }

    /// A log that is closed in order leaves a copy of all of it. What fails now is told by nobody: the next opening copies it.
    fn close(&mut self) {
        let log = Arc::clone(&self.log);
        let (Some(_), Some(target)) = (log.retention.tail_ms, log.segments.target()) else { return };
        let until = Instant::now() + CLOSING.0;
        while log.stop.told() == DRAIN && log.durable_sequence() < log.published_sequence() {
            if log.latched().is_some() || Instant::now() >= until {
                return;
            }
            std::thread::sleep(CLOSING.1);
        }
        if log.stop.told() == DRAIN && self.shipping.has_tail(&log) && self.check_place(&**target).is_ok() {
            let _ = self.shipping.copy_tail(&log, &**target);
        }
    }
}

/// Tells the report when the keeper's thread unwinds.
struct PanicWatch(Arc<Log>);

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.keeper).problems.insert("keep", "the keeper panicked: nothing is archived or dropped".into());
        }
    }
}

/// What an act is called in a report.
pub(crate) fn act_word(act: Act) -> &'static str {
    match act {
        Act::Thin => "remove a segment file",
        Act::Archive => "archive",
        Act::Ship => "ship",
        Act::Drop => "drop a shipped archive",
        Act::Release => "release a cursor",
        Act::CopyTail => "copy the tail",
    }
}
