//! The loop that offers the flow over all sessions and settles the answers: one thread, open loop.
//!
//! A message's latency runs from when it was *due*, not from when it was written: a host (or a driver) that falls behind pays for it in the
//! figures instead of quietly slowing the load down.

use crate::burst::{BurstError, Progress, Published, Target};
use crate::fixclient::{FixClient, FixError, SessionConfig};
use crate::ledger::{Kind, Ledger, Status};
use crate::limits;
use crate::plan::BurstPlan;
use crate::poll::{FineTimers, Watch};
use crate::schedule::Schedule;
use crate::settle::{Contradictions, Interval, Settled, Settling, settle};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Why a run stopped before its end.
#[derive(Debug)]
pub struct Interrupted {
    /// The session that broke.
    pub session: usize,
    /// How.
    pub error: FixError,
}

/// A run in progress. Outlives connections: after an interruption, `connect` and `run` go on where it stood.
pub struct Driver {
    /// What was sent and answered.
    pub ledger: Ledger,
    target: Target,
    sessions: Vec<FixClient>,
    watch: Watch,
    interrupted_at: Option<Instant>,
    next: usize,
    settled: Settled,
    interval_sent: u64,
    interval_start_ns: u64,
    keep_alive_at: Instant,
}

impl Driver {
    /// A driver for `ledger` (of the same `plan`), not connected.
    pub fn new(plan: &BurstPlan, ledger: Ledger, target: Target) -> Self {
        let sessions = target
            .sender_comp_ids
            .iter()
            .map(|sender| {
                FixClient::new(SessionConfig {
                    sender_comp_id: sender.clone(),
                    target_comp_id: target.target_comp_id.clone(),
                    heartbeat_s: target.heartbeat_s,
                    next_out: 1,
                    next_in: 1,
                    reset: target.reset_sequence,
                })
            })
            .collect();
        Self {
            ledger,
            target,
            sessions,
            watch: Watch::default(),
            interrupted_at: None,
            next: 0,
            settled: Settled::new(Schedule::of(plan)),
            interval_sent: 0,
            interval_start_ns: 0,
            keep_alive_at: Instant::now(),
        }
    }

    /// Where the sessions connect from now on; a host that comes back may have another port.
    pub fn retarget(&mut self, target: Target) {
        self.target = target;
    }

    /// Messages handed to a session so far.
    pub fn sent(&self) -> u64 {
        self.next as u64
    }

    /// Messages answered so far.
    pub fn answered(&self) -> u64 {
        self.settled.answered
    }

    /// Messages sent and not answered.
    pub fn outstanding(&self) -> u64 {
        self.sent() - self.settled.answered
    }

    /// Greatest log sequence acknowledged.
    pub fn highest_sequence(&self) -> u64 {
        self.settled.highest_sequence
    }

    /// Answers that contradict what was sent.
    pub fn contradictions(&self) -> &Contradictions {
        &self.settled.contradictions
    }

    /// Acknowledgements of what the host had not published yet.
    pub fn early_acknowledgements(&self) -> u64 {
        self.settled.early
    }

    /// Refusals of trades that should have been taken, by reason code.
    pub fn unexpected_refusals(&self) -> &BTreeMap<String, u64> {
        &self.settled.codes
    }

    /// Answers to messages that this driver never sent.
    pub fn unknown_answers(&self) -> u64 {
        self.settled.unknown
    }

    /// The interval log so far.
    pub fn intervals(&self) -> &[Interval] {
        &self.settled.intervals
    }

    pub(crate) fn into_parts(self) -> (Ledger, Settled) {
        (self.ledger, self.settled)
    }

    /// The sessions, for their numbers.
    pub fn sessions(&self) -> &[FixClient] {
        &self.sessions
    }

    /// Connects every session that is not, and waits until all are logged on.
    pub fn connect(&mut self) -> Result<(), BurstError> {
        let deadline = Instant::now() + Duration::from_millis(limits::LOGON_TIMEOUT_MS);
        for at in 0..self.sessions.len() {
            if self.sessions[at].is_idle() {
                let addr = self.target.fix_addr;
                self.sessions[at].open(addr).map_err(|error| self.broken(at, error))?;
            }
        }
        while !self.sessions.iter().all(FixClient::is_active) {
            if Instant::now() > deadline {
                let at = self.sessions.iter().position(|session| !session.is_active()).unwrap_or(0);
                return Err(BurstError::LogonTimeout { session: self.sessions[at].sender_comp_id().to_owned() });
            }
            self.wait(Duration::from_millis(5))?;
            self.tick_io().map_err(|interrupted| self.broken(interrupted.session, interrupted.error))?;
        }
        let now = Instant::now();
        match (self.settled.origin, self.interrupted_at.take()) {
            (None, _) => self.settled.origin = Some(now),
            // The schedule stood still meanwhile: the outage is not the flow's to catch up.
            (Some(origin), Some(since)) => self.settled.origin = Some(origin + (now - since)),
            (Some(_), None) => {}
        }
        Ok(())
    }

    fn broken(&self, at: usize, error: FixError) -> BurstError {
        BurstError::Session { session: self.sessions[at].sender_comp_id().to_owned(), error }
    }

    /// Offers the flow until all is sent, `stop` says so, or a session breaks.
    pub fn run(
        &mut self,
        progress: &mut dyn FnMut(&Progress),
        stop: &mut dyn FnMut(&Self) -> bool,
    ) -> Result<(), Interrupted> {
        let _fine = FineTimers::new();
        while self.next < self.ledger.entries.len() && !stop(self) {
            self.offer();
            let result = self.tick_io();
            self.roll_interval(progress);
            if let Err(interrupted) = result {
                self.interrupted_at = Some(Instant::now());
                return Err(interrupted);
            }
            if self.next < self.ledger.entries.len() {
                let now_ns = self.now_ns();
                let due_in = self.settled.schedule.due_ns(self.next as u64).saturating_sub(now_ns);
                let interval_in = (self.interval_start_ns + limits::INTERVAL_NS).saturating_sub(now_ns);
                // A wait may fail only for want of memory or with a bad pointer; the reads that follow would say more.
                let _ = self.wait(Duration::from_nanos(due_in.min(interval_in).max(limits::TICK_NS)));
            }
        }
        Ok(())
    }

    /// Waits for outstanding answers; returns how many are left when the time is over.
    pub fn drain(&mut self, timeout: Duration, progress: &mut dyn FnMut(&Progress)) -> Result<u64, Interrupted> {
        let deadline = Instant::now() + timeout;
        while self.outstanding() > 0 && Instant::now() < deadline {
            let _ = self.wait(Duration::from_millis(5));
            let result = self.tick_io();
            self.roll_interval(progress);
            if let Err(interrupted) = result {
                self.interrupted_at = Some(Instant::now());
                return Err(interrupted);
            }
        }
        self.close_interval(progress);
        Ok(self.outstanding())
    }

    /// Asks again for every trade and duplicate sent and not answered, as a possible resend; the host's idempotency tells what became of it.
    pub fn ask_again(&mut self) -> u64 {
        let mut asked = 0;
        for index in 0..self.next as u32 {
            let entry = &self.ledger.entries[index as usize];
            let session = usize::from(entry.session);
            // A planted fault is not asked again: a sell short on a long may have become legal meanwhile.
            let again = entry.status == Status::Sent && !matches!(entry.kind(), Kind::Invalid(_));
            if again && self.sessions[session].can_take() {
                self.sessions[session].refresh_clock();
                self.sessions[session].send_again(&self.ledger, index);
                asked += 1;
            }
        }
        asked
    }

    /// Reads what a host that died has still sent, on every session, until all are closed or the time is over: an answer that arrived is an
    /// acknowledgement, whatever became of its sender.
    pub fn read_out(&mut self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.sessions.iter().any(|session| !session.is_idle()) && Instant::now() < deadline {
            let _ = self.wait(Duration::from_millis(5));
            // One session's end is no reason not to read the others; each call ends at most one.
            let _ = self.tick_io();
        }
    }

    /// Stops the schedule's clock until the next `connect`, with or without connections: what comes due meanwhile is not caught up.
    pub fn pause(&mut self) {
        self.interrupted_at.get_or_insert_with(Instant::now);
    }

    /// Breaks every connection at once, unsent bytes included.
    pub fn drop_connections(&mut self) {
        self.sessions.iter_mut().for_each(FixClient::drop_connection);
        self.interrupted_at.get_or_insert_with(Instant::now);
    }

    /// Logs out and waits a moment for the host's goodbye.
    pub fn close(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        for session in &mut self.sessions {
            if session.logout().is_err() {
                session.drop_connection();
            }
        }
        // A host that just closes has said goodbye as well.
        self.read_out(deadline.saturating_duration_since(Instant::now()));
        self.sessions.iter_mut().for_each(FixClient::drop_connection);
    }

    fn now_ns(&self) -> u64 {
        self.settled.now_ns()
    }

    /// Hands every due message to its session.
    fn offer(&mut self) {
        let now_ns = self.now_ns();
        for session in &mut self.sessions {
            session.refresh_clock();
        }
        while self.next < self.ledger.entries.len() && self.settled.schedule.due_ns(self.next as u64) <= now_ns {
            let session = usize::from(self.ledger.entries[self.next].session);
            if !self.sessions[session].can_take() {
                break;
            }
            let late_ns = now_ns - self.settled.schedule.due_ns(self.next as u64);
            self.settled.lateness.saturating_record(late_ns.clamp(1, limits::LATENCY_NS_MAX));
            let number = self.sessions[session].send(&self.ledger, self.next as u32);
            let entry = &mut self.ledger.entries[self.next];
            entry.source_order = u32::try_from(number).expect("a run has fewer messages than 2^32");
            entry.status = Status::Sent;
            self.next += 1;
            self.interval_sent += 1;
        }
    }

    /// One write and one read a session.
    fn tick_io(&mut self) -> Result<(), Interrupted> {
        let keep_alive = self.keep_alive_at.elapsed() > Duration::from_millis(200);
        if keep_alive {
            self.keep_alive_at = Instant::now();
        }
        let mut watched = 0;
        for at in 0..self.sessions.len() {
            let session = &mut self.sessions[at];
            if session.socket().is_none() {
                continue;
            }
            // Sockets were watched in the order of the sessions that have one, and none was opened since.
            let readable = self.watch.is_ready(watched);
            watched += 1;
            let result = session_io(
                session,
                readable,
                keep_alive,
                &mut self.ledger,
                &mut self.settled,
                self.target.published.as_ref(),
            );
            if let Err(error) = result {
                session.drop_connection();
                // The others keep their place in the order only until the next wait.
                self.watch.clear();
                return Err(Interrupted { session: at, error });
            }
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> std::io::Result<()> {
        self.watch.clear();
        for session in &self.sessions {
            if let Some(socket) = session.socket() {
                self.watch.add(socket, session.pending_bytes() > 0);
            }
        }
        self.watch.wait(timeout)
    }

    fn roll_interval(&mut self, progress: &mut dyn FnMut(&Progress)) {
        if self.now_ns().saturating_sub(self.interval_start_ns) >= limits::INTERVAL_NS {
            self.close_interval(progress);
        }
    }

    fn close_interval(&mut self, progress: &mut dyn FnMut(&Progress)) {
        let now_ns = self.now_ns();
        let length_ns = now_ns.saturating_sub(self.interval_start_ns).max(1);
        let histogram = &self.settled.interval;
        let interval = Interval {
            at_ms: now_ns / 1_000_000,
            length_ms: length_ns as f64 / 1e6,
            offered: self.interval_sent,
            answered: histogram.len(),
            outstanding: self.next as u64 - self.settled.answered,
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            max_ns: histogram.max(),
        };
        self.settled.interval_log.push(self.interval_start_ns, length_ns, &self.settled.interval);
        self.settled.interval.reset();
        self.interval_sent = 0;
        self.interval_start_ns = now_ns;
        let per_second = |count: u64| count as f64 * 1000.0 / interval.length_ms;
        progress(&Progress {
            elapsed_ms: interval.at_ms,
            total_ms: self.settled.schedule.length_ns() / 1_000_000,
            phase: self.settled.schedule.phase_at(now_ns),
            stretch: self.settled.schedule.segment_at(now_ns).map_or("drain", |segment| segment.name),
            sent: self.next as u64,
            total: self.ledger.entries.len() as u64,
            answered: self.settled.answered,
            rate_offered: per_second(interval.offered),
            rate_answered: per_second(interval.answered),
            p50_ns: interval.p50_ns,
            p99_ns: interval.p99_ns,
        });
        self.settled.intervals.push(interval);
    }
}

fn session_io(
    session: &mut FixClient,
    readable: bool,
    keep_alive: bool,
    ledger: &mut Ledger,
    settled: &mut Settled,
    published: Option<&Published>,
) -> Result<(), FixError> {
    session.flush()?;
    if keep_alive {
        session.keep_alive()?;
    }
    if !readable && !session.is_resending() {
        return Ok(());
    }
    let mut answers = Vec::new();
    // The ledger answers the client's questions about bodies while it reads, so settling waits until the read is over.
    let result = session.read(&*ledger, &mut |answer| answers.push(Settling::of(&answer, ledger)));
    if !answers.is_empty() {
        let now_ns = settled.now_ns();
        let mut greatest = 0;
        for answer in answers {
            greatest = greatest.max(settle(answer, now_ns, ledger, settled));
        }
        // The host acknowledged before these bytes arrived, so what it has published by now must cover every one of them.
        if let Some(published) = published
            && greatest > published()
        {
            settled.early += 1;
        }
        settled.highest_sequence = settled.highest_sequence.max(greatest);
    }
    result?;
    session.flush()
}
