//! One life of a log between opening and its end: a seed appends, flushes, prepares, reads, lets calls fail and time pass, in the gaps
//! between any two calls too.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use lotbook_wal::sim::{
    Call, Failed, Failure, Prepared, Random, SimDisk, Step, SteppedFlight, SteppedFlusher, SteppedLog, SteppedPreparer,
};
use lotbook_wal::{
    AppendError, Appender, From, Group, LatchedError, Limit, Log, MAX_PAYLOAD_BYTES, OpenReport, ReadError, Reader,
    RecordBuffer, RecordMeta,
};

use crate::tally::Tally;
use crate::truth::{Truth, is_filled};

/// Reasons that calls fail for. Those that mean "no room" are among them; EACCES is not: no sync fails by it.
pub(crate) const ERRNOS: [i32; 9] = [
    libc::EIO,
    libc::ENOSPC,
    libc::EDQUOT,
    libc::EROFS,
    libc::EMFILE,
    libc::ENOMEM,
    libc::ENOLINK,
    libc::ENXIO,
    libc::ETIMEDOUT,
];

/// Calls that are made to fail while a log runs.
const FAILING: [Call; 6] = [Call::Write, Call::Write, Call::Sync, Call::Sync, Call::SyncDir, Call::Allocate];

/// An open log with all its actors apart, so that one can act in the middle of another's step.
pub(crate) struct Life {
    pub(crate) disk: SimDisk,
    pub(crate) log: Arc<Log>,
    pub(crate) report: OpenReport,
    appender: RefCell<Appender>,
    flusher: SteppedFlusher,
    /// Flushes under way.
    flights: RefCell<Vec<SteppedFlight>>,
    preparer: RefCell<SteppedPreparer>,
    readers: RefCell<[Option<Reader>; 2]>,
    buffer: RefCell<RecordBuffer>,
    pub(crate) truth: Rc<RefCell<Truth>>,
    random: RefCell<Random>,
    pub(crate) tally: Rc<RefCell<Tally>>,
    /// Records still to come in the group that is open.
    group_left: Cell<u64>,
    now_ns: Cell<u64>,
    /// The first thing that was wrong.
    problem: RefCell<Option<String>>,
    latched: RefCell<Option<LatchedError>>,
    full: Cell<bool>,
    /// A call holds a lock of the log: nobody else gets anywhere.
    alone: Cell<bool>,
    sizes: u64,
}

impl Life {
    pub(crate) fn new(
        disk: &SimDisk,
        opened: SteppedLog,
        truth: &Rc<RefCell<Truth>>,
        tally: &Rc<RefCell<Tally>>,
        mut random: Random,
    ) -> Rc<Self> {
        let sizes = random.below(4);
        Rc::new(Self {
            disk: disk.clone(),
            log: opened.log,
            report: opened.report,
            appender: RefCell::new(opened.appender),
            flusher: opened.flusher,
            flights: RefCell::new(Vec::new()),
            preparer: RefCell::new(opened.preparer),
            readers: RefCell::new([None, None]),
            buffer: RefCell::new(RecordBuffer::new()),
            truth: Rc::clone(truth),
            random: RefCell::new(random),
            tally: Rc::clone(tally),
            group_left: Cell::new(0),
            now_ns: Cell::new(0),
            problem: RefCell::new(None),
            latched: RefCell::new(None),
            full: Cell::new(false),
            alone: Cell::new(false),
            sizes,
        })
    }

    /// Lives for so many actions, or until the process dies; what was wrong, if anything was.
    pub(crate) fn live(self: &Rc<Self>, actions: u64) -> Result<(), String> {
        let beside = Rc::clone(self);
        lotbook_wal::sim::interleave(
            move |_| {
                let meddles = beside.random.borrow_mut().percent(25);
                if meddles && !beside.alone.get() && !beside.over() {
                    beside.act();
                }
            },
            || {
                for _ in 0..actions {
                    if self.over() {
                        break;
                    }
                    self.act();
                }
            },
        );
        self.observe();
        self.problem.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn over(&self) -> bool {
        self.disk.stopped() || self.problem.borrow().is_some()
    }

    fn wrong(&self, what: String) {
        self.problem.borrow_mut().get_or_insert(what);
    }

    /// One action of whoever is free to act.
    fn act(&self) {
        let choice = self.random.borrow_mut().below(100);
        match choice {
            0..45 => self.append(),
            45..54 => self.step(Self::flush),
            54..60 => self.step(Self::begin),
            60..72 => self.step(Self::go_on),
            72..80 => self.step(Self::prepare),
            80..88 => self.alone(Self::read),
            88..90 => self.alone(Self::look_up),
            90..94 => self.now_ns.set(self.now_ns.get() + self.random.borrow_mut().below(100_000_000)),
            94..96 => self.alone(Self::retain),
            96..98 => self.let_fail(),
            _ => self.fill_up(),
        }
        self.observe();
    }

    /// Runs a step. One that begins when the log is latched changes nothing; one that was under way goes to its end.
    fn step(&self, action: impl FnOnce(&Self)) {
        let latched = self.latched.borrow().is_some();
        let before = self.changes();
        action(self);
        if latched && self.changes() != before {
            self.wrong("a latched log wrote, synced, renamed or removed".into());
        }
    }

    fn alone(&self, action: impl FnOnce(&Self)) {
        let before = self.alone.replace(true);
        action(self);
        self.alone.set(before);
    }

    /// Reads the promises; once the log is latched nothing moves any more.
    fn observe(&self) {
        let (applied, durable) = (self.log.published_sequence(), self.log.durable_sequence());
        if let Err(what) = self.truth.borrow_mut().observe(applied, durable) {
            self.wrong(what);
        }
        if self.disk.stopped() {
            return;
        }
        let latched = self.latched.borrow();
        let Some(first) = &*latched else { return };
        let now = self.log.latched();
        if now.as_ref() != Some(first) {
            self.wrong(format!("the latch changed from {first:?} to {now:?}"));
        }
        if durable != first.durable_sequence {
            self.wrong(format!("durable {durable} moved on from the latch's {}", first.durable_sequence));
        }
    }

    fn changes(&self) -> u64 {
        let kinds = [Call::Create, Call::Allocate, Call::Write, Call::Sync, Call::Rename, Call::Unlink, Call::SyncDir];
        kinds.iter().map(|kind| self.disk.calls_of(*kind)).sum()
    }

    /// A step has just been seen to latch: the error must name what failed, and what was durable.
    fn check_latch(&self) {
        let Some(error) = self.log.latched() else { return };
        if self.disk.stopped() || self.latched.borrow().is_some() {
            return;
        }
        let names = |failed: &Failed| {
            let said = (error.errno, error.call, &error.file, error.offset);
            said == (failed.errno, failed.call.name(), &failed.path, failed.offset)
        };
        let failed = self.disk.failed();
        if !failed.iter().any(names) {
            self.wrong(format!("{error:?} names none of {failed:?}"));
        }
        if error.durable_sequence != self.log.durable_sequence() {
            self.wrong(format!("{error:?} while {} is durable", self.log.durable_sequence()));
        }
        self.tally.borrow_mut().latches += 1;
        *self.latched.borrow_mut() = Some(error);
    }

    fn size(&self) -> usize {
        let mut random = self.random.borrow_mut();
        let large = match self.sizes {
            0 => 2,
            1 => 20,
            _ => 8,
        };
        match random.below(100) {
            n if n < large => random.below(MAX_PAYLOAD_BYTES as u64 + 1) as usize,
            n if n < 3 * large => random.below(12_000) as usize,
            n if n < 90 => random.below(300) as usize,
            _ => random.below(3_000) as usize,
        }
    }

    fn append(&self) {
        let Ok(mut appender) = self.appender.try_borrow_mut() else { return };
        let left = self.group_left.get();
        let (group, left) = if left > 0 {
            (if left == 1 { Group::Last } else { Group::Middle }, left)
        } else if self.random.borrow_mut().percent(15) {
            (Group::First, self.random.borrow_mut().within(2, 7))
        } else {
            (Group::Single, 1)
        };
        let length = self.size();
        let serial = self.truth.borrow_mut().next_serial();
        let meta = RecordMeta { group, partition: (serial % 16) as u16, ..RecordMeta::single(7) };
        let foretold = appender.next_address_for(length);
        let before = self.log.published_sequence();
        match appender.append(&meta, length, |out| crate::truth::fill(serial, out)) {
            Ok(at) => {
                self.group_left.set(left - 1);
                self.truth.borrow_mut().took(at, serial, length, group);
                self.tally.borrow_mut().records += 1;
                if at.address != foretold {
                    self.wrong(format!("{at:?} where {foretold} was foretold"));
                }
                if self.latched.borrow().is_some() {
                    self.wrong("a latched log took a record".into());
                }
                self.disk.remark(|| {
                    format!("       append {} at {:#x}, {length} bytes, {group:?}", at.sequence, at.address)
                });
            }
            Err(error) => {
                if self.log.published_sequence() != before {
                    self.wrong("a refused record was published".into());
                }
                self.check_refusal(error);
            }
        }
    }

    fn check_refusal(&self, error: AppendError) {
        let fits = match error {
            AppendError::TailFull => true,
            AppendError::OutOfSpace => self.log.out_of_space(),
            AppendError::Latched => self.log.latched().is_some(),
            AppendError::TooLarge | AppendError::GroupOrder | AppendError::ReservedKind => false,
        };
        if !fits {
            self.wrong(format!("refused by {error:?} without cause"));
        }
        if error == AppendError::OutOfSpace {
            self.tally.borrow_mut().refused_for_space += 1;
        }
    }

    /// A flush from its beginning to its end; with others under way, or in the middle of another one's calls.
    fn flush(&self) {
        let result = self.flusher.step(self.now_ns.get());
        self.stepped(result);
    }

    /// A flush begins, and others may overtake it.
    fn begin(&self) {
        match self.flusher.begin(self.now_ns.get()) {
            Ok(flight) => self.flights.borrow_mut().extend(flight),
            Err(error) => self.stepped(Err(error)),
        }
    }

    /// One of the flushes under way takes its next stage.
    fn go_on(&self) {
        let mut flight = {
            let mut flights = self.flights.borrow_mut();
            if flights.is_empty() {
                return;
            }
            let which = self.random.borrow_mut().below(flights.len() as u64) as usize;
            flights.swap_remove(which)
        };
        match flight.advance() {
            Ok(None) => self.flights.borrow_mut().push(flight),
            Ok(Some(step)) => {
                if !self.flights.borrow().is_empty() {
                    self.tally.borrow_mut().overtaking += 1;
                }
                self.stepped(Ok(step));
            }
            Err(error) => self.stepped(Err(error)),
        }
    }

    fn stepped(&self, result: Result<Step, LatchedError>) {
        match result {
            Ok(step) => {
                let mut tally = self.tally.borrow_mut();
                tally.flushes += u64::from(step == Step::Flushed);
                tally.watermarks += u64::from(step == Step::Watermark);
                let mut truth = self.truth.borrow_mut();
                truth.witnessed = truth.witnessed.max(self.flusher.witnessed());
            }
            Err(error) => {
                if self.log.latched() != Some(error.clone()) {
                    self.wrong(format!("a step says {error:?}, the log {:?}", self.log.latched()));
                }
                self.check_latch();
            }
        }
    }

    /// Every flush under way comes to its end, the ones begun last first.
    fn land(&self) {
        loop {
            let Some(flight) = self.flights.borrow_mut().pop() else { break };
            let result = flight.finish();
            self.stepped(result);
        }
    }

    fn prepare(&self) {
        let Ok(preparer) = self.preparer.try_borrow_mut() else { return };
        let result = preparer.step();
        if self.disk.stopped() {
            return;
        }
        match result {
            Prepared::One => {
                if self.log.out_of_space() {
                    self.wrong("a segment was made and the log still says that it is out of space".into());
                }
            }
            Prepared::Enough => {}
            Prepared::NoSpace => {
                if !self.log.out_of_space() {
                    self.wrong("no room for a segment: that is foreseen, and said".into());
                }
            }
            Prepared::Latched => self.check_latch(),
        }
    }

    /// Readers of both kinds go on; what they hand out is what was appended, and no more than is promised.
    fn read(&self) {
        let Ok(mut readers) = self.readers.try_borrow_mut() else { return };
        let which = self.random.borrow_mut().below(2) as usize;
        let limit = [Limit::Durable, Limit::Applied][which];
        if self.random.borrow_mut().percent(10) {
            readers[which] = None;
        }
        if readers[which].is_none() {
            let first = self.report.next_sequence;
            let wanted = self.random.borrow_mut().within(first - 1, self.log.published_sequence() + 1);
            let from_start = self.random.borrow_mut().percent(20);
            match self.log.reader(if from_start { From::Start } else { From::Sequence(wanted) }) {
                Ok(reader) if from_start || reader.sequence() == wanted => readers[which] = Some(reader),
                Ok(reader) => self.wrong(format!("a reader from {wanted} stands at {}", reader.sequence())),
                Err(ReadError::Gone { wanted: w, first })
                    if w == wanted && w < first && self.log.first_address() > 0 =>
                {
                    return;
                }
                Err(error) => return self.check_read_error(&error),
            }
        }
        let Some(reader) = &mut readers[which] else { return };
        for _ in 0..30 {
            let promised = match limit {
                Limit::Durable => self.log.durable_sequence(),
                Limit::Applied => self.log.published_sequence(),
            };
            let next = reader.sequence();
            match reader.next(limit) {
                Ok(None) if next <= promised => {
                    return self.wrong(format!("a reader stops at {next}, promised {promised}"));
                }
                Ok(None) => return,
                Ok(Some(record)) => {
                    self.tally.borrow_mut().reads += 1;
                    if record.header.sequence != next || next > promised {
                        return self.wrong(format!(
                            "a {limit:?} reader handed out {} for {next}, promised {promised}",
                            record.header.sequence
                        ));
                    }
                    if !record.header.is_internal() {
                        self.check_payload(record.header.sequence, record.payload);
                    }
                }
                Err(error) => {
                    readers[which] = None;
                    return self.check_read_error(&error);
                }
            }
        }
    }

    fn check_payload(&self, sequence: u64, payload: &[u8]) {
        let truth = self.truth.borrow();
        let sound = truth.find(sequence).is_some_and(|e| e.length == payload.len() && is_filled(e.serial, payload));
        if !sound {
            drop(truth);
            self.wrong(format!("sequence {sequence} holds what was never appended"));
        }
    }

    fn check_read_error(&self, error: &ReadError) {
        let failing = matches!(error, ReadError::Disk(_)) && (self.disk.stopped() || !self.disk.failed().is_empty());
        if !failing {
            self.wrong(format!("reading: {error:?}"));
        }
    }

    /// A record by its address.
    fn look_up(&self) {
        let Ok(mut buffer) = self.buffer.try_borrow_mut() else { return };
        let entry = {
            let truth = self.truth.borrow();
            let published = truth.entries.partition_point(|entry| entry.sequence <= self.log.published_sequence());
            if published <= truth.dropped {
                return;
            }
            truth.entries[self.random.borrow_mut().within(truth.dropped as u64, published as u64 - 1) as usize]
        };
        match self.log.read_at(entry.address, Limit::Applied, &mut buffer) {
            Ok(()) => {
                let record = buffer.record();
                if record.header.sequence != entry.sequence || !is_filled(entry.serial, record.payload) {
                    self.wrong(format!("{entry:?} reads as {:?}", record.header));
                }
            }
            Err(error) => self.check_read_error(&error),
        }
    }

    /// Drops what lies below some durable record.
    fn retain(&self) {
        if self.latched.borrow().is_some() {
            return;
        }
        let address = {
            let truth = self.truth.borrow();
            let durable = truth.entries.partition_point(|entry| entry.sequence <= truth.durable);
            if durable <= truth.dropped || self.random.borrow_mut().percent(50) {
                return;
            }
            truth.entries[self.random.borrow_mut().within(truth.dropped as u64, durable as u64 - 1) as usize].address
        };
        let result = self.log.retain_from(address);
        let mut truth = self.truth.borrow_mut();
        let first = self.log.first_address();
        // A segment that is half dropped may come back; what lies behind it is there for certain.
        truth.dropped = truth.dropped.max(truth.entries.partition_point(|entry| entry.address < first));
        drop(truth);
        // What a reader has not read of a dropped segment is gone.
        let mut readers = self.readers.borrow_mut();
        for reader in readers.iter_mut() {
            reader.take_if(|reader| reader.address() < first);
        }
        drop(readers);
        match result {
            Ok(dropped) => self.tally.borrow_mut().dropped_segments += dropped as u64,
            Err(_) if self.disk.stopped() => {}
            // The manifest takes room: foreseen, and nothing is dropped.
            Err(error) if self.full.get() && error.raw_os_error() == Some(libc::ENOSPC) => {
                if self.disk.failed().is_empty() && self.log.latched().is_some() {
                    self.wrong(format!("a full disk is not a failed one, and retention latched: {error}"));
                }
                self.check_latch();
            }
            Err(error) if self.disk.failed().is_empty() => self.wrong(format!("retention: {error}")),
            Err(_) => self.check_latch(),
        }
    }

    /// One of the calls to come fails.
    fn let_fail(&self) {
        let mut random = self.random.borrow_mut();
        if self.latched.borrow().is_some() || self.full.get() || random.percent(60) {
            return;
        }
        let failure = Failure {
            call: Some(random.pick(&FAILING)),
            after: random.below(4),
            errno: random.pick(&ERRNOS),
            lasting: random.percent(30),
        };
        self.disk.remark(|| format!("       {failure:?}"));
        self.disk.fail(failure);
    }

    /// The disk fills up, or there is room again: what was taken in still becomes durable, and appending resumes by itself.
    fn fill_up(&self) {
        if self.latched.borrow().is_some() || !self.disk.failed().is_empty() {
            return;
        }
        if self.full.replace(!self.full.get()) {
            self.disk.set_capacity(u64::MAX);
            self.disk.remark(|| "       there is room again".into());
        } else {
            let room = self.random.borrow_mut().below(300_000);
            self.disk.set_capacity(self.disk.used_bytes() + room);
            self.disk.remark(|| format!("       {room} bytes are left"));
        }
    }

    /// Comes to rest: what was taken in becomes durable, if nothing is in the way.
    pub(crate) fn settle(&self) {
        self.land();
        for _ in 0..50 {
            if self.over() || self.log.durable_sequence() == self.log.published_sequence() {
                break;
            }
            self.now_ns.set(self.now_ns.get() + 20_000_000);
            self.flush();
        }
        self.observe();
    }

    /// Ends in order; false when it could not.
    pub(crate) fn close(self: Rc<Self>) -> Result<bool, String> {
        self.land();
        let life = Rc::into_inner(self).expect("the hook is gone");
        let was_latched = life.latched.into_inner();
        let opened = SteppedLog {
            log: Arc::clone(&life.log),
            appender: life.appender.into_inner(),
            report: life.report,
            flusher: life.flusher,
            preparer: life.preparer.into_inner(),
        };
        let in_group = life.group_left.get() > 0;
        let result = opened.close(life.now_ns.get());
        let mut truth = life.truth.borrow_mut();
        truth.observe(life.log.published_sequence(), life.log.durable_sequence())?;
        match result {
            Err(error) if life.disk.stopped() || !life.disk.failed().is_empty() => {
                if was_latched.is_some_and(|first| first != error) {
                    return Err("closing names another failure than the latch".into());
                }
                Ok(false)
            }
            Err(error) => Err(format!("closing: {error:?}")),
            Ok(()) if truth.durable < truth.applied => Err("closed with records that are not durable".into()),
            Ok(()) => Ok(!in_group && !life.full.get() && truth.durable == truth.applied),
        }
    }
}
