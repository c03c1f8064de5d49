//! One run from logon to logout, and its outcome in figures.

use crate::door::DoorError;
use crate::driver::Driver;
use crate::fixclient::FixError;
use crate::flow;
use crate::hlog::IntervalLog;
use crate::invalid::{InvalidClass, RefusalKind};
use crate::ledger::{Kind, Ledger, Status};
use crate::plan::{BurstPlan, PlanError};
use crate::schedule::Phase;
use crate::settle::{Contradictions, Interval, SegmentFigures, Settled, latency_histogram, refusal_kind};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Tells the greatest log sequence that the host's acknowledgement policy covers at this moment.
pub type Published = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The host under load.
#[derive(Clone)]
pub struct Target {
    /// Its FIX door.
    pub fix_addr: SocketAddr,
    /// Its CompID.
    pub target_comp_id: String,
    /// CompIDs of the sessions, one each; as many as the plan has sessions.
    pub sender_comp_ids: Vec<String>,
    /// HeartBtInt.
    pub heartbeat_s: u32,
    /// Log on with ResetSeqNumFlag the first time.
    pub reset_sequence: bool,
    /// For an embedded host: its durable sequence (for sessions that acknowledge `applied`: its published one). Read after every batch of
    /// answers, so that an acknowledgement sent before the log had the trade is caught in the act.
    pub published: Option<Published>,
}

impl Target {
    /// A target on `fix_addr` with `BURST01`, `BURST02` and so on as senders.
    pub fn new(fix_addr: SocketAddr, target_comp_id: &str, sessions: u32) -> Self {
        Self {
            fix_addr,
            target_comp_id: target_comp_id.to_owned(),
            sender_comp_ids: (1..=sessions).map(|at| format!("BURST{at:02}")).collect(),
            heartbeat_s: 30,
            reset_sequence: false,
            published: None,
        }
    }
}

/// Where a run stands; handed out four times a second.
#[derive(Clone, Debug)]
pub struct Progress {
    /// From the start.
    pub elapsed_ms: u64,
    /// Scheduled length.
    pub total_ms: u64,
    /// Base or burst.
    pub phase: Phase,
    /// Name of the stretch of the profile.
    pub stretch: &'static str,
    /// Messages sent.
    pub sent: u64,
    /// Messages in all.
    pub total: u64,
    /// Messages answered.
    pub answered: u64,
    /// Messages a second offered over the last interval.
    pub rate_offered: f64,
    /// Messages a second answered over the last interval.
    pub rate_answered: f64,
    /// Median latency over the last interval.
    pub p50_ns: u64,
    /// 99th percentile over the last interval.
    pub p99_ns: u64,
}

/// Why a run has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum BurstError {
    /// The plan cannot be run.
    #[error("plan: {0}")]
    Plan(#[from] PlanError),
    /// The target has another number of senders than the plan has sessions.
    #[error("the plan has {sessions} sessions, the target {senders} sender CompIDs")]
    Senders {
        /// Of the plan.
        sessions: u32,
        /// Of the target.
        senders: usize,
    },
    /// A session broke. What was acknowledged until then is acknowledged.
    #[error("session {session}: {error}")]
    Session {
        /// Its sender CompID.
        session: String,
        /// How.
        error: FixError,
    },
    /// A door broke. What was acknowledged until then is acknowledged.
    #[error("sender {sender}: {error}")]
    Door {
        /// The sender's number.
        sender: u32,
        /// How.
        error: DoorError,
    },
    /// A logon was not answered in time.
    #[error("session {session}: the logon was not answered")]
    LogonTimeout {
        /// Its sender CompID.
        session: String,
    },
    /// Waiting for sockets or starting a thread failed.
    #[error("operating system: {0}")]
    Io(#[from] std::io::Error),
}

/// How many messages came to what. `sent = acknowledged + duplicates + rejected + unanswered`.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Trades accepted: applied, provisional or forward.
    pub acknowledged: u64,
    /// Of these: applied.
    pub applied: u64,
    /// Of these: provisional.
    pub provisional: u64,
    /// Of these: kept for a later date.
    pub forward: u64,
    /// Answered as a duplicate.
    pub duplicates: u64,
    /// Duplicates sent.
    pub duplicates_sent: u64,
    /// Backdated trades sent.
    pub backdated_sent: u64,
    /// Refused, in whatever way, planted or not.
    pub rejected: u64,
    /// Planted invalid messages sent.
    pub invalid_sent: u64,
    /// Planted invalid messages refused.
    pub invalid_refused: u64,
    /// Refused because the host took none at the moment.
    pub unavailable: u64,
    /// Valid trades refused.
    pub refused_valid: u64,
    /// No answer came: shed.
    pub unanswered: u64,
}

/// What became of one class of planted invalid messages.
#[derive(Clone, Debug, Serialize)]
pub struct ClassCount {
    /// The class.
    pub class: InvalidClass,
    /// In words.
    pub name: &'static str,
    /// Sent.
    pub sent: u64,
    /// Refused in a way that is right for the class.
    pub refused_as_expected: u64,
    /// Answers by kind.
    pub seen: BTreeMap<RefusalKind, u64>,
    /// Accepted, which is a fault.
    pub accepted: u64,
}

/// Figures of a phase, or of the whole run.
#[derive(Clone, Debug)]
pub struct PhaseFigures {
    /// Messages scheduled.
    pub offered: u64,
    /// Of these answered.
    pub answered: u64,
    /// Scheduled messages a second.
    pub rate_offered: f64,
    /// Answered messages a second: each stretch counts until its last answer, if that came after its end.
    pub rate_achieved: f64,
    /// Latency from the scheduled time.
    pub latency: Histogram<u64>,
}

/// A finished run.
pub struct BurstOutcome {
    /// What was run.
    pub plan: BurstPlan,
    /// Counts.
    pub counts: Counts,
    /// Outside the burst.
    pub base: PhaseFigures,
    /// The burst.
    pub burst: PhaseFigures,
    /// Both.
    pub total: PhaseFigures,
    /// Each stretch of the profile by its name, in order.
    pub stretches: Vec<(&'static str, PhaseFigures)>,
    /// Four lines a second.
    pub intervals: Vec<Interval>,
    /// The same with whole histograms.
    pub interval_log: IntervalLog,
    /// How long after its due time each message was handed over: what the generator itself, or a full door, adds to the latencies.
    pub lateness: Histogram<u64>,
    /// Planted invalid messages by class.
    pub classes: Vec<ClassCount>,
    /// Valid trades refused, by reason code.
    pub refusals: BTreeMap<String, u64>,
    /// Answers that contradict what was sent (correlation id, log sequence, first result of a duplicate), counted and the first in words.
    pub contradictions: Contradictions,
    /// Batches of answers that acknowledged more than the host had published.
    pub early_acknowledgements: u64,
    /// Answers to messages that were never sent.
    pub unknown_answers: u64,
    /// Everything sent and what was answered, for the verdict.
    pub ledger: Ledger,
}

/// Runs `plan` against `target`: makes the flow, logs on, offers it, waits for what is outstanding, logs out.
pub fn run(plan: &BurstPlan, target: &Target, progress: &mut dyn FnMut(&Progress)) -> Result<BurstOutcome, BurstError> {
    run_with(plan, flow::generate(plan)?, target, progress)
}

/// The same with a flow made before: making ten million messages takes seconds that a caller may want to spend elsewhere.
pub fn run_with(
    plan: &BurstPlan,
    ledger: Ledger,
    target: &Target,
    progress: &mut dyn FnMut(&Progress),
) -> Result<BurstOutcome, BurstError> {
    plan.checked()?;
    if target.sender_comp_ids.len() != plan.sessions as usize {
        return Err(BurstError::Senders { sessions: plan.sessions, senders: target.sender_comp_ids.len() });
    }
    let mut driver = Driver::new(plan, ledger, target.clone());
    driver.connect()?;
    let result = driver
        .run(progress, &mut |_| false)
        .and_then(|()| driver.drain(Duration::from_millis(plan.drain_ms), progress).map(|_| ()));
    if let Err(interrupted) = result {
        let session = target.sender_comp_ids[interrupted.session].clone();
        return Err(BurstError::Session { session, error: interrupted.error });
    }
    driver.close();
    Ok(outcome(plan, driver))
}

/// The outcome of a driver that has finished, or is given up.
pub fn outcome(plan: &BurstPlan, driver: Driver) -> BurstOutcome {
    let (ledger, settled) = driver.into_parts();
    assemble(plan, ledger, settled)
}

/// The outcome of a ledger in which all is settled.
pub(crate) fn assemble(plan: &BurstPlan, ledger: Ledger, settled: Settled) -> BurstOutcome {
    let phase =
        |wanted: &dyn Fn(Phase) -> bool| figures(settled.segments.iter().filter(|segment| wanted(segment.phase)));
    let (counts, classes) = count(&ledger);
    BurstOutcome {
        plan: plan.clone(),
        counts,
        classes,
        base: phase(&|phase| phase == Phase::Base),
        burst: phase(&|phase| phase == Phase::Burst),
        total: phase(&|_| true),
        stretches: settled.segments.iter().map(|segment| (segment.name, figures([segment].into_iter()))).collect(),
        intervals: settled.intervals,
        interval_log: settled.interval_log,
        lateness: settled.lateness,
        refusals: settled.codes,
        contradictions: settled.contradictions,
        early_acknowledgements: settled.early,
        unknown_answers: settled.unknown,
        ledger,
    }
}

fn figures<'a>(segments: impl Iterator<Item = &'a SegmentFigures>) -> PhaseFigures {
    let mut latency = latency_histogram();
    let (mut offered, mut answered, mut scheduled_ns, mut taken_ns) = (0, 0, 0, 0);
    for segment in segments {
        offered += segment.offered;
        answered += segment.answered;
        scheduled_ns += segment.length_ns;
        taken_ns += segment.length_ns.max(segment.last_answer_ns.saturating_sub(segment.start_ns));
        latency.add(&segment.latency).expect("the same bounds");
    }
    let per_second = |count: u64, ns: u64| if ns == 0 { 0.0 } else { count as f64 * 1e9 / ns as f64 };
    PhaseFigures {
        offered,
        answered,
        rate_offered: per_second(offered, scheduled_ns),
        rate_achieved: per_second(answered, taken_ns),
        latency,
    }
}

fn count(ledger: &Ledger) -> (Counts, Vec<ClassCount>) {
    let mut counts = Counts::default();
    let mut classes: Vec<ClassCount> = InvalidClass::ALL
        .into_iter()
        .map(|class| ClassCount {
            class,
            name: class.name(),
            sent: 0,
            refused_as_expected: 0,
            seen: BTreeMap::new(),
            accepted: 0,
        })
        .collect();
    for entry in &ledger.entries {
        let status = entry.status;
        if status == Status::Unsent {
            continue;
        }
        counts.sent += 1;
        match status {
            Status::Applied | Status::Learnt => counts.applied += 1,
            Status::Provisional => counts.provisional += 1,
            Status::Forward => counts.forward += 1,
            Status::Duplicate => counts.duplicates += 1,
            Status::Sent => counts.unanswered += 1,
            _ => {}
        }
        counts.acknowledged += u64::from(status.accepted());
        counts.rejected += u64::from(status.refused());
        counts.unavailable += u64::from(status == Status::Unavailable);
        match entry.kind() {
            Kind::Trade => {
                counts.backdated_sent += u64::from(entry.date_offset < 0);
                counts.refused_valid += u64::from(status.refused());
            }
            Kind::Duplicate => counts.duplicates_sent += 1,
            Kind::Invalid(class) => {
                counts.invalid_sent += 1;
                counts.invalid_refused += u64::from(status.refused());
                let seen = &mut classes[class as usize];
                seen.sent += 1;
                seen.accepted += u64::from(status.accepted());
                if let Some(kind) = refusal_kind(status) {
                    *seen.seen.entry(kind).or_default() += 1;
                    seen.refused_as_expected += u64::from(class.expected().contains(&kind));
                }
            }
        }
    }
    classes.retain(|class| class.sent > 0);
    (counts, classes)
}
