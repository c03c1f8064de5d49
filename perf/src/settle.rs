//! Booking answers: which message an answer is for, what it says, how long it took.

use crate::answer::Answer;
use crate::hlog::IntervalLog;
use crate::invalid::RefusalKind;
use crate::ledger::{FORM_CORRELATED, Kind, Ledger, NO_LINK, Status};
use crate::limits;
use crate::message::is_correlation_of;
use crate::schedule::{Phase, Schedule};
use crate::wire;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// A histogram of latencies in nanoseconds, three significant digits.
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, limits::LATENCY_NS_MAX, 3).expect("the bounds are constants")
}

/// One line of the interval log.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// End of the interval from the start of the run.
    pub at_ms: u64,
    /// Length.
    pub length_ms: f64,
    /// Messages offered in it.
    pub offered: u64,
    /// Messages answered in it.
    pub answered: u64,
    /// Sent and not answered at its end.
    pub outstanding: u64,
    /// Median latency of the answers in it.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Greatest.
    pub max_ns: u64,
}

/// What was measured of one stretch of the schedule.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFigures {
    pub(crate) name: &'static str,
    pub(crate) phase: Phase,
    pub(crate) length_ns: u64,
    pub(crate) start_ns: u64,
    pub(crate) offered: u64,
    pub(crate) answered: u64,
    pub(crate) last_answer_ns: u64,
    pub(crate) latency: Histogram<u64>,
}

/// Answers that contradict what was sent.
#[derive(Clone, Debug, Default)]
pub struct Contradictions {
    /// How many.
    pub count: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Contradictions {
    pub(crate) fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < limits::EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

/// Everything that is counted from answers, apart from the ledger itself.
pub(crate) struct Settled {
    pub(crate) schedule: Schedule,
    /// Start of the schedule; moved forward by the time spent disconnected.
    pub(crate) origin: Option<Instant>,
    pub(crate) answered: u64,
    pub(crate) segments: Vec<SegmentFigures>,
    pub(crate) interval: Histogram<u64>,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) interval_log: IntervalLog,
    /// How long after its due time each message was handed to the door: the generator's own share, and the door's while it was full.
    pub(crate) lateness: Histogram<u64>,
    pub(crate) highest_sequence: u64,
    pub(crate) contradictions: Contradictions,
    pub(crate) early: u64,
    pub(crate) codes: BTreeMap<String, u64>,
    pub(crate) unknown: u64,
}

impl Settled {
    /// Nothing answered yet.
    pub(crate) fn new(schedule: Schedule) -> Self {
        let segments = schedule
            .segments()
            .iter()
            .map(|segment| SegmentFigures {
                name: segment.name,
                phase: segment.phase,
                length_ns: segment.length_ns,
                start_ns: segment.start_ns,
                offered: segment.count,
                answered: 0,
                last_answer_ns: 0,
                latency: latency_histogram(),
            })
            .collect();
        Self {
            schedule,
            origin: None,
            answered: 0,
            segments,
            interval: latency_histogram(),
            intervals: Vec::new(),
            interval_log: IntervalLog::default(),
            lateness: latency_histogram(),
            highest_sequence: 0,
            contradictions: Contradictions::default(),
            early: 0,
            codes: BTreeMap::new(),
            unknown: 0,
        }
    }

    /// From the start of the schedule; 0 before it.
    pub(crate) fn now_ns(&self) -> u64 {
        self.origin.map_or(0, |origin| Instant::now().saturating_duration_since(origin).as_nanos() as u64)
    }
}

/// An answer with everything borrowed from the socket's buffer looked up.
pub(crate) struct Settling {
    index: Option<u32>,
    status: Status,
    sequence: u64,
    first: Option<u64>,
    sound: bool,
    code: Option<String>,
}

impl Settling {
    pub(crate) fn of(answer: &Answer<'_>, ledger: &Ledger) -> Self {
        match *answer {
            Answer::Ack { trade_id, accepted, outcome, sequence, sequence_in_text, first, correlation, code } => {
                let index = ledger.index_of(trade_id);
                let status = match (accepted, outcome) {
                    (true, b"applied") => Status::Applied,
                    (true, b"provisional") => Status::Provisional,
                    (true, b"forward") => Status::Forward,
                    (_, b"duplicate") => Status::Duplicate,
                    _ => Status::Rejected,
                };
                let correlated = index.is_some_and(|index| ledger.entries[index as usize].form & FORM_CORRELATED != 0);
                let id = &trade_id[..trade_id.len().min(limits::TRADE_ID_BYTES)];
                let correlation_holds =
                    if correlated { is_correlation_of(correlation, id) } else { !correlation.is_empty() };
                let sequence_holds = sequence_in_text.is_none_or(|said| said == sequence);
                let sequence_given = sequence > 0 || status == Status::Rejected;
                Self {
                    index,
                    status,
                    sequence,
                    first,
                    sound: correlation_holds && sequence_holds && sequence_given,
                    code: (status == Status::Rejected).then(|| String::from_utf8_lossy(code).into_owned()),
                }
            }
            Answer::Reject { index, tag, reason, text } => Self {
                index,
                status: Status::SessionRejected,
                sequence: 0,
                first: None,
                sound: true,
                code: Some(code_of(text, || {
                    format!("session reject {} of tag {}", reason.unwrap_or(0), tag.unwrap_or(0))
                })),
            },
            Answer::BusinessReject { index, reason, text } => Self {
                index,
                status: if reason == Some(4) { Status::Unavailable } else { Status::BusinessRejected },
                sequence: 0,
                first: None,
                sound: true,
                code: Some(code_of(text, || format!("business reject {}", reason.unwrap_or(0)))),
            },
        }
    }
}

/// The reason code in a refusal's text, or its numbers where there is none.
fn code_of(text: &[u8], numbers: impl FnOnce() -> String) -> String {
    wire::word(text, b"code").map_or_else(numbers, |code| String::from_utf8_lossy(code).into_owned())
}

/// Books one answer; returns the log sequence it acknowledges, 0 for none.
pub(crate) fn settle(answer: Settling, now_ns: u64, ledger: &mut Ledger, settled: &mut Settled) -> u64 {
    let Some(named) = answer.index else {
        settled.unknown += 1;
        return 0;
    };
    let Some(index) = addressee(ledger, named, &answer) else { return 0 };
    if !answer.sound {
        settled
            .contradictions
            .add(|| format!("the answer to {} has the wrong correlation id or log sequence", ledger.trade_id(index)));
    }
    let entry = &mut ledger.entries[index as usize];
    let original = (entry.kind() == Kind::Duplicate).then_some(entry.link);
    entry.status = answer.status;
    entry.log_sequence = answer.sequence;
    if answer.status == Status::Duplicate && original.is_none() {
        // A copy asked again for a trade whose own answer was lost: the first result is the answer.
        entry.status = Status::Learnt;
        entry.log_sequence = answer.first.unwrap_or(0);
    }
    let kind = entry.kind();
    if let (Status::Duplicate, Some(original)) = (answer.status, original) {
        let first = &ledger.entries[original as usize];
        if first.status.accepted() && answer.first.is_some_and(|said| said != first.log_sequence) {
            settled.contradictions.add(|| {
                format!(
                    "the duplicate of {} names {:?} as its first result, not {}",
                    ledger.trade_id(index),
                    answer.first,
                    first.log_sequence
                )
            });
        }
    }
    if answer.status.refused()
        && !matches!(kind, Kind::Invalid(_))
        && let Some(code) = answer.code
    {
        *settled.codes.entry(code).or_default() += 1;
    }
    settled.answered += 1;
    let latency_ns = now_ns.saturating_sub(settled.schedule.due_ns(u64::from(index))).clamp(1, limits::LATENCY_NS_MAX);
    let segment = &mut settled.segments[settled.schedule.segment_of(u64::from(index))];
    segment.answered += 1;
    segment.last_answer_ns = segment.last_answer_ns.max(now_ns);
    segment.latency.saturating_record(latency_ns);
    settled.interval.saturating_record(latency_ns);
    if answer.status.accepted() || answer.status == Status::Duplicate { answer.sequence } else { 0 }
}

/// Which message an answer that names trade `named` is for: the trade itself or its duplicate; none when it was settled before.
fn addressee(ledger: &Ledger, named: u32, answer: &Settling) -> Option<u32> {
    let entry = &ledger.entries[named as usize];
    let waiting = |index: u32| ledger.entries[index as usize].status == Status::Sent;
    let link = (entry.kind() == Kind::Trade && entry.link != NO_LINK).then_some(entry.link);
    // Session-level answers name the message by its number.
    if matches!(answer.status, Status::SessionRejected | Status::BusinessRejected | Status::Unavailable) {
        return waiting(named).then_some(named);
    }
    let copy = link.filter(|&link| waiting(link));
    if answer.status == Status::Duplicate {
        return copy.or_else(|| waiting(named).then_some(named));
    }
    if waiting(named) {
        return Some(named);
    }
    // The same answer again, as a resend brings it, is no answer to the copy.
    copy.filter(|_| entry.log_sequence != answer.sequence)
}

/// How a refused message was refused.
pub fn refusal_kind(status: Status) -> Option<RefusalKind> {
    match status {
        Status::Rejected => Some(RefusalKind::Rejected),
        Status::SessionRejected => Some(RefusalKind::SessionReject),
        Status::BusinessRejected => Some(RefusalKind::BusinessReject),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow;
    use crate::invalid::InvalidClass;
    use crate::plan::BurstPlan;

    struct Bench {
        ledger: Ledger,
        settled: Settled,
        original: u32,
        copy: u32,
    }

    /// A flow of which a trade and its duplicate are sent.
    fn bench() -> Bench {
        let base = BurstPlan { seconds: 1, rate: 2_000, burst_multiplier: 1, ..BurstPlan::default() };
        let plan = BurstPlan { invalid_permille: 50, ..base };
        let mut ledger = flow::generate(&plan).unwrap();
        let copy = ledger.entries.iter().position(|entry| entry.kind() == Kind::Duplicate).unwrap() as u32;
        let original = ledger.original(copy);
        ledger.entries.iter_mut().for_each(|entry| entry.form &= !FORM_CORRELATED);
        for index in [original, copy] {
            ledger.entries[index as usize].status = Status::Sent;
        }
        Bench { ledger, settled: Settled::new(Schedule::of(&plan)), original, copy }
    }

    impl Bench {
        /// Settles an AR for the trade and tells what the original and the copy then are.
        fn ack(&mut self, outcome: &str, sequence: u64, first: Option<u64>) -> (Status, Status) {
            let id = self.ledger.trade_id(self.original);
            let answer = Answer::Ack {
                trade_id: id.as_bytes(),
                accepted: outcome != "rejected",
                outcome: outcome.as_bytes(),
                sequence,
                sequence_in_text: Some(sequence),
                first,
                correlation: b"made-at-the-door",
                code: b"OVERSELL",
            };
            self.settle(&answer)
        }

        fn settle(&mut self, answer: &Answer<'_>) -> (Status, Status) {
            settle(Settling::of(answer, &self.ledger), 1_000_000_000, &mut self.ledger, &mut self.settled);
            let status = |index: u32| self.ledger.entries[index as usize].status;
            (status(self.original), status(self.copy))
        }
    }

    #[test]
    fn answers_find_their_message() {
        use Status::{Applied, Duplicate, Learnt, Rejected, Sent};
        type Step = (&'static str, u64, Option<u64>, (Status, Status));
        let tables: [&[Step]; 5] = [
            // As it should be.
            &[("applied", 5, None, (Applied, Sent)), ("duplicate", 9, Some(5), (Applied, Duplicate))],
            // The first answer comes again by a resend; it is not the copy's.
            &[
                ("applied", 5, None, (Applied, Sent)),
                ("applied", 5, None, (Applied, Sent)),
                ("duplicate", 9, Some(5), (Applied, Duplicate)),
                ("duplicate", 9, Some(5), (Applied, Duplicate)),
            ],
            // The first answer was lost; a second duplicate answer (to a possible resend) tells the first result.
            &[("duplicate", 9, Some(5), (Sent, Duplicate)), ("duplicate", 12, Some(5), (Learnt, Duplicate))],
            // A refusal does not consume the id.
            &[("rejected", 5, None, (Rejected, Sent)), ("applied", 9, None, (Rejected, Applied))],
            // Booked twice: the ledger shows both, and the verdict will say so.
            &[("applied", 5, None, (Applied, Sent)), ("applied", 9, None, (Applied, Applied))],
        ];
        for (number, table) in tables.into_iter().enumerate() {
            let mut bench = bench();
            for (at, &(outcome, sequence, first, expected)) in table.iter().enumerate() {
                assert_eq!(bench.ack(outcome, sequence, first), expected, "table {number}, step {at}");
            }
            assert_eq!(bench.settled.contradictions.count, 0, "table {number}");
            assert_eq!(bench.settled.answered, 2, "table {number}");
        }
    }

    #[test]
    fn contradictions_are_counted() {
        let mut wrong_first = bench();
        wrong_first.ack("applied", 5, None);
        wrong_first.ack("duplicate", 9, Some(6));
        assert_eq!(wrong_first.settled.contradictions.count, 1);
        let mut no_sequence = bench();
        no_sequence.ack("applied", 0, None);
        assert_eq!(no_sequence.settled.contradictions.count, 1);
        let mut wrong_correlation = bench();
        let original = wrong_correlation.original as usize;
        wrong_correlation.ledger.entries[original].form |= FORM_CORRELATED;
        wrong_correlation.ack("applied", 5, None);
        assert_eq!(wrong_correlation.settled.contradictions.count, 1);
    }

    #[test]
    fn refusals_name_their_kind_and_codes_of_valid_trades_are_kept() {
        let mut bench = bench();
        let (index, text) = (Some(bench.original), &b"code=NOT_AVAILABLE later"[..]);
        let (status, _) = bench.settle(&Answer::BusinessReject { index, reason: Some(4), text });
        assert_eq!((status, refusal_kind(status)), (Status::Unavailable, None));
        assert_eq!(bench.settled.codes["NOT_AVAILABLE"], 1);
        let invalid =
            bench.ledger.entries.iter().position(|entry| entry.kind() == Kind::Invalid(InvalidClass::BadSide));
        let invalid = invalid.unwrap();
        bench.ledger.entries[invalid].status = Status::Sent;
        bench.settle(&Answer::Reject { index: Some(invalid as u32), tag: Some(54), reason: Some(5), text: b"" });
        assert_eq!(refusal_kind(bench.ledger.entries[invalid].status), Some(RefusalKind::SessionReject));
        assert_eq!(bench.settled.codes.len(), 1);
        bench.settle(&Answer::Reject { index: None, tag: None, reason: None, text: b"" });
        assert_eq!(bench.settled.unknown, 1);
    }
}
