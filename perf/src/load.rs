//! Offering a flow through doors: several senders, each on a thread of its own, all on one schedule.
//!
//! The loop is open: a message is offered when it is due, whatever became of the ones before it, and its latency runs from then. A sender
//! that is late, because it was not scheduled or because its door was full, makes up for it at once; how late it was is measured apart
//! ([`BurstOutcome::lateness`]), so that a generator at its own limit is not taken for a host at its.

use crate::burst::{BurstError, BurstOutcome, Progress, assemble};
use crate::door::{Door, DoorError, Reply, Target};
use crate::ledger::{Kind, Ledger, Status};
use crate::limits;
use crate::plan::BurstPlan;
use crate::poll::FineTimers;
use crate::schedule::Schedule;
use crate::settle::{Interval, SegmentFigures, Settled, latency_histogram};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How a sender waits for the next message to come due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Sleeps, and wakes a little late: for hosts on the same few cores.
    #[default]
    Sleep,
    /// Spins: a core a sender, and not a microsecond late.
    Spin,
}

/// Offers `ledger` (of `plan`, nothing sent) to `target`; returns when all is answered, or the plan's patience has ended. `stop` ends the run early.
pub fn run(
    plan: &BurstPlan,
    mut ledger: Ledger,
    target: &dyn Target,
    pace: Pace,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<BurstOutcome, BurstError> {
    plan.checked()?;
    for (index, entry) in (1..).zip(&mut ledger.entries) {
        // An account keeps to one sender, so this is the order in which a position's trades are sent.
        entry.source_order = index;
    }
    let schedule = Schedule::of(plan);
    let doors = (0..plan.sessions)
        .map(|number| target.open(number).map_err(|error| BurstError::Door { sender: number, error }))
        .collect::<Result<Vec<_>, _>>()?;
    let shared = Shared { stop, broken: AtomicBool::new(false), finished: AtomicU64::new(0), parts: Mutex::default() };
    let mut books = Books::new(schedule.clone());
    let origin = Instant::now();
    let done = std::thread::scope(|scope| {
        let (ledger, schedule, shared) = (&ledger, &schedule, &shared);
        let mut threads = Vec::new();
        for (number, door) in (0..).zip(doors) {
            let sender = Sender::new(number, plan, ledger, schedule, origin, shared);
            let thread = std::thread::Builder::new().name(format!("load-{number}"));
            threads.push(thread.spawn_scoped(scope, move || sender.run(door, pace))?);
        }
        while shared.finished.load(Ordering::Relaxed) < u64::from(plan.sessions) {
            std::thread::sleep(Duration::from_nanos(limits::INTERVAL_NS / 5));
            // One interval behind, so that every sender has told its part of what is closed here.
            let upto = (origin.elapsed().as_nanos() as u64 / limits::INTERVAL_NS).saturating_sub(1);
            books.close(shared.parts(), upto, ledger.entries.len(), progress);
        }
        // A sender that panicked has a defect of this crate; it ends this thread as well.
        Ok::<_, std::io::Error>(
            threads.into_iter().map(|thread| thread.join().expect("a sender ends")).collect::<Vec<_>>(),
        )
    })?;
    books.close(shared.parts(), u64::MAX, ledger.entries.len(), progress);
    let mut settled = books.settled;
    let mut broken = None;
    for sent in done {
        if let (Some(error), true) = (sent.error, broken.is_none()) {
            broken = Some(BurstError::Door { sender: sent.number, error });
        }
        for (into, from) in settled.segments.iter_mut().zip(&sent.segments) {
            into.answered += from.answered;
            into.last_answer_ns = into.last_answer_ns.max(from.last_answer_ns);
            into.latency.add(&from.latency).expect("the same bounds");
        }
        settled.lateness.add(&sent.lateness).expect("the same bounds");
        book_replies(&mut ledger, &mut settled, sent.offered, sent.replies);
    }
    if let Some(error) = broken {
        return Err(error);
    }
    contradictions(&ledger, &mut settled);
    Ok(assemble(plan, ledger, settled))
}

/// What all senders see.
struct Shared<'a> {
    stop: &'a AtomicBool,
    broken: AtomicBool,
    finished: AtomicU64,
    /// By the interval's number.
    parts: Mutex<BTreeMap<u64, Part>>,
}

impl Shared<'_> {
    fn parts(&self) -> MutexGuard<'_, BTreeMap<u64, Part>> {
        // Whoever panicked with it ends the run in any case.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> bool {
        // ORDERING: nothing is published with these flags; each is looked at every turn.
        self.stop.load(Ordering::Relaxed) || self.broken.load(Ordering::Relaxed)
    }
}

/// What one interval saw.
struct Part {
    offered: u64,
    latency: Histogram<u64>,
}

impl Part {
    fn new() -> Self {
        Self { offered: 0, latency: latency_histogram() }
    }
}

/// The interval log, put together from the senders' parts.
struct Books {
    settled: Settled,
    next: u64,
    offered: u64,
}

impl Books {
    fn new(schedule: Schedule) -> Self {
        Self { settled: Settled::new(schedule), next: 0, offered: 0 }
    }

    /// Closes all intervals below `upto` of which there are parts, and those between them.
    fn close(
        &mut self,
        mut parts: MutexGuard<'_, BTreeMap<u64, Part>>,
        upto: u64,
        messages: usize,
        progress: &mut dyn FnMut(&Progress),
    ) {
        let later = parts.split_off(&upto);
        let closed = std::mem::replace(&mut *parts, later);
        drop(parts);
        for (number, part) in closed {
            while self.next < number {
                self.interval(&Part::new(), messages, progress);
            }
            self.interval(&part, messages, progress);
        }
    }

    fn interval(&mut self, part: &Part, messages: usize, progress: &mut dyn FnMut(&Progress)) {
        let (start_ns, at_ns) = (self.next * limits::INTERVAL_NS, (self.next + 1) * limits::INTERVAL_NS);
        self.next += 1;
        self.offered += part.offered;
        self.settled.answered += part.latency.len();
        let interval = Interval {
            at_ms: at_ns / 1_000_000,
            length_ms: limits::INTERVAL_NS as f64 / 1e6,
            offered: part.offered,
            answered: part.latency.len(),
            outstanding: self.offered.saturating_sub(self.settled.answered),
            p50_ns: part.latency.value_at_quantile(0.5),
            p99_ns: part.latency.value_at_quantile(0.99),
            max_ns: part.latency.max(),
        };
        let per_second = |count: u64| count as f64 * 1e9 / limits::INTERVAL_NS as f64;
        let schedule = &self.settled.schedule;
        progress(&Progress {
            elapsed_ms: interval.at_ms,
            total_ms: schedule.length_ns() / 1_000_000,
            phase: schedule.phase_at(start_ns),
            stretch: schedule.segment_at(start_ns).map_or("drain", |segment| segment.name),
            sent: self.offered,
            total: messages as u64,
            answered: self.settled.answered,
            rate_offered: per_second(interval.offered),
            rate_answered: per_second(interval.answered),
            p50_ns: interval.p50_ns,
            p99_ns: interval.p99_ns,
        });
        self.settled.interval_log.push(start_ns, limits::INTERVAL_NS, &part.latency);
        self.settled.intervals.push(interval);
    }
}

/// One sender at work.
struct Sender<'a> {
    number: u32,
    ledger: &'a Ledger,
    schedule: &'a Schedule,
    origin: Instant,
    shared: &'a Shared<'a>,
    patience: Duration,
    /// Its messages, in the order of their schedule.
    messages: Vec<u32>,
    next: usize,
    answered: usize,
    segments: Vec<SegmentFigures>,
    lateness: Histogram<u64>,
    replies: Vec<Reply>,
    interval: u64,
    part: Part,
}

/// What a sender leaves.
struct Sent {
    number: u32,
    offered: Vec<u32>,
    replies: Vec<Reply>,
    segments: Vec<SegmentFigures>,
    lateness: Histogram<u64>,
    error: Option<DoorError>,
}

impl<'a> Sender<'a> {
    fn new(
        number: u32,
        plan: &BurstPlan,
        ledger: &'a Ledger,
        schedule: &'a Schedule,
        origin: Instant,
        shared: &'a Shared<'a>,
    ) -> Self {
        let mine = |(index, entry): (usize, &crate::ledger::Entry)| {
            (u32::from(entry.session) == number).then_some(index as u32)
        };
        let messages: Vec<u32> = ledger.entries.iter().enumerate().filter_map(mine).collect();
        Self {
            number,
            ledger,
            schedule,
            origin,
            shared,
            patience: Duration::from_millis(plan.drain_ms),
            replies: Vec::with_capacity(messages.len()),
            messages,
            next: 0,
            answered: 0,
            segments: Settled::new(schedule.clone()).segments,
            lateness: latency_histogram(),
            interval: 0,
            part: Part::new(),
        }
    }

    fn run(mut self, mut door: Box<dyn Door>, pace: Pace) -> Sent {
        let _fine = FineTimers::new();
        let error = self.offer_all(door.as_mut(), pace).err();
        if error.is_some() {
            self.shared.broken.store(true, Ordering::Relaxed);
        }
        door.close();
        self.tell_part();
        self.shared.finished.fetch_add(1, Ordering::Relaxed);
        self.messages.truncate(self.next);
        Sent {
            number: self.number,
            offered: self.messages,
            replies: self.replies,
            segments: self.segments,
            lateness: self.lateness,
            error,
        }
    }

    fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn due_ns(&self, index: u32) -> u64 {
        self.schedule.due_ns(u64::from(index))
    }

    fn offer_all(&mut self, door: &mut dyn Door, pace: Pace) -> Result<(), DoorError> {
        let mut drained_by = None;
        while !self.shared.ended() && (self.next < self.messages.len() || self.answered < self.next) {
            let room = self.offer_due(door)?;
            let before = self.replies.len();
            let turned = door.turn(&mut self.replies);
            self.book(before);
            self.roll();
            turned?;
            let now_ns = self.now_ns();
            let wait_ns = match self.messages.get(self.next) {
                Some(&index) if room => self.due_ns(index).saturating_sub(now_ns),
                // A full door, or nothing left to send: answers are what comes next.
                Some(_) => limits::TICK_NS,
                None => {
                    let until = *drained_by.get_or_insert_with(|| Instant::now() + self.patience);
                    if Instant::now() > until {
                        break;
                    }
                    limits::TICK_NS
                }
            };
            match pace {
                Pace::Spin => std::hint::spin_loop(),
                Pace::Sleep if wait_ns > 0 => door.wait(Duration::from_nanos(wait_ns.min(limits::TICK_NS))),
                Pace::Sleep => {}
            }
        }
        Ok(())
    }

    /// Offers what is due; whether the door has room for more.
    fn offer_due(&mut self, door: &mut dyn Door) -> Result<bool, DoorError> {
        let mut now_ns = self.now_ns();
        while let Some(&index) = self.messages.get(self.next) {
            let due_ns = self.due_ns(index);
            if due_ns > now_ns {
                now_ns = self.now_ns();
                if due_ns > now_ns {
                    break;
                }
            }
            if !door.offer(self.ledger, index)? {
                return Ok(false);
            }
            self.lateness.saturating_record((now_ns - due_ns).clamp(1, limits::LATENCY_NS_MAX));
            self.next += 1;
            self.part.offered += 1;
        }
        Ok(true)
    }

    /// Books the replies from number `from` on.
    fn book(&mut self, from: usize) {
        if from == self.replies.len() {
            return;
        }
        let now_ns = self.now_ns();
        for at in from..self.replies.len() {
            let index = self.replies[at].index;
            self.answered += 1;
            if self.replies[at].status == Status::Sent {
                continue;
            }
            let latency_ns = now_ns.saturating_sub(self.due_ns(index)).clamp(1, limits::LATENCY_NS_MAX);
            let segment = &mut self.segments[self.schedule.segment_of(u64::from(index))];
            segment.answered += 1;
            segment.last_answer_ns = segment.last_answer_ns.max(now_ns);
            segment.latency.saturating_record(latency_ns);
            self.part.latency.saturating_record(latency_ns);
        }
    }

    fn roll(&mut self) {
        let interval = self.now_ns() / limits::INTERVAL_NS;
        if interval > self.interval {
            self.tell_part();
            self.interval = interval;
        }
    }

    fn tell_part(&mut self) {
        let mut parts = self.shared.parts();
        let into = parts.entry(self.interval).or_insert_with(Part::new);
        into.offered += self.part.offered;
        into.latency.add(&self.part.latency).expect("the same bounds");
        drop(parts);
        self.part.offered = 0;
        self.part.latency.reset();
    }
}

/// Writes what was sent and answered into the ledger.
fn book_replies(ledger: &mut Ledger, settled: &mut Settled, offered: Vec<u32>, replies: Vec<Reply>) {
    for index in offered {
        ledger.entries[index as usize].status = Status::Sent;
    }
    for reply in replies {
        let Some(entry) = ledger.entries.get_mut(reply.index as usize).filter(|entry| entry.status == Status::Sent)
        else {
            // An answer to what was never sent, or a second one.
            settled.unknown += 1;
            continue;
        };
        let original = entry.kind() != Kind::Duplicate;
        (entry.status, entry.log_sequence) = match reply.status {
            // Known from an earlier run, or from a copy that was faster.
            Status::Duplicate if original => (Status::Learnt, reply.first.unwrap_or(0)),
            status => (status, reply.sequence),
        };
        if let (Status::Duplicate, Some(first)) = (entry.status, reply.first) {
            // Kept here until all is booked: the original may be another sender's reply yet to come.
            entry.log_sequence = first;
        }
        settled.highest_sequence = settled.highest_sequence.max(reply.sequence);
        let refused = reply.status.refused() && !matches!(entry.kind(), Kind::Invalid(_));
        if let (true, Some(code)) = (refused, reply.code) {
            *settled.codes.entry(code).or_default() += 1;
        }
    }
}

/// A duplicate names the first result of its original, and an accepted trade has a place in the log.
fn contradictions(ledger: &Ledger, settled: &mut Settled) {
    for (index, entry) in (0..).zip(&ledger.entries) {
        if entry.status == Status::Duplicate && entry.kind() == Kind::Duplicate {
            let first = &ledger.entries[entry.link as usize];
            if first.status.accepted() && first.log_sequence != entry.log_sequence {
                settled.contradictions.add(|| {
                    format!(
                        "the duplicate of {} names {} as its first result, not {}",
                        ledger.trade_id(index),
                        entry.log_sequence,
                        first.log_sequence
                    )
                });
            }
        }
        if entry.status.accepted() && entry.log_sequence == 0 {
            settled.contradictions.add(|| format!("the answer to {} names no log sequence", ledger.trade_id(index)));
        }
    }
}
