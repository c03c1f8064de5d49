//! The integrity verdict: what was acknowledged, what the log holds, and what the positions say, against each other.
//!
//! - *Missing*: acknowledged, and not in the log exactly once (none, or twice), or under another log sequence than the acknowledgement named.
//! - *Extra*: in the log as accepted, but never sent so: an unknown id, another account or instrument, a message that had to be refused, or a
//!   trade that was answered with a refusal.
//! - *Wrong positions*: what the oracle books from the ledger, compared lot by lot with what the host shows.
//!
//! A trade that was sent and never answered may or may not be in the log; both are right. The oracle books it if the log has it.

use crate::burst::BurstOutcome;
use crate::compare::compare;
use crate::ledger::{Kind, Ledger, NO_LINK, Status};
use crate::limits::EXAMPLES_MAX;
use crate::oracle::{OracleTrade, SeenPosition, book};
use crate::universe::Pair;
use serde::Serialize;
use std::collections::HashSet;

/// What an event in the log says became of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOutcome {
    /// Applied.
    Applied,
    /// Applied as an estimate, to be replayed.
    Provisional,
    /// Kept for a later business date.
    Forward,
    /// Known before.
    Duplicate,
    /// Refused.
    Rejected,
}

impl LoggedOutcome {
    fn accepted(self) -> bool {
        matches!(self, Self::Applied | Self::Provisional | Self::Forward)
    }
}

/// One trade event found in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedTrade {
    /// The sender's id, without its namespace.
    pub trade_id: String,
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// Log sequence of the event.
    pub sequence: u64,
    /// What became of it.
    pub outcome: LoggedOutcome,
}

/// The verdict and what it rests on.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Integrity {
    /// `exact` or `broken`.
    pub verdict: &'static str,
    /// Acknowledged and not in the log exactly once under the acknowledged sequence.
    pub missing: u64,
    /// In the log and never sent so.
    pub extra: u64,
    /// Positions that differ from the oracle's.
    pub wrong_positions: u64,
    /// Answers that contradict what was sent, or each other.
    pub wrong_answers: u64,
    /// Batches of answers that acknowledged more than the host had published.
    pub acknowledged_early: u64,
    /// Trades acknowledged.
    pub acknowledged: u64,
    /// Accepted trades found in the log.
    pub logged: u64,
    /// Positions of the oracle.
    pub positions: u64,
    /// Open lots of the oracle.
    pub lots: u64,
    /// The first few faults in words.
    pub examples: Vec<String>,
}

impl Integrity {
    /// Nothing is wrong.
    pub fn exact(&self) -> bool {
        self.verdict == "exact"
    }
}

/// The verdict on a run.
pub fn verify(
    outcome: &BurstOutcome,
    logged: impl IntoIterator<Item = LoggedTrade>,
    positions: &[SeenPosition],
) -> Integrity {
    LogCheck::new(&outcome.ledger).run(outcome, logged, positions)
}

/// The verdict on a run whose log cannot be read: the acknowledged trades are taken as logged, and every position is compared but those with a
/// trade that was not answered, of which nobody here can say whether it was booked.
pub fn of_positions(outcome: &BurstOutcome, positions: &[SeenPosition]) -> Integrity {
    let ledger = &outcome.ledger;
    let accepted = (0..).zip(&ledger.entries).filter(|(_, entry)| entry.status.accepted());
    let logged = accepted.map(|(index, entry)| LoggedTrade {
        trade_id: ledger.trade_id(index),
        account: ledger.universe.account(entry.account).to_owned(),
        instrument: ledger.universe.instrument(entry.instrument).to_owned(),
        sequence: entry.log_sequence,
        outcome: match entry.status {
            Status::Forward => LoggedOutcome::Forward,
            _ => LoggedOutcome::Applied,
        },
    });
    let open = ledger.entries.iter().filter(|entry| entry.status == Status::Sent);
    let name = |pair: Pair| {
        let universe = &ledger.universe;
        (universe.account(pair.account).to_owned(), universe.instrument(pair.instrument).to_owned())
    };
    let mut check = LogCheck::new(ledger);
    check.unjudged = open.map(|entry| name(entry.pair())).collect();
    check.run(outcome, logged, positions)
}

/// Takes the log's trades one by one; for logs that do not fit memory as a list.
#[derive(Debug)]
pub struct LogCheck<'a> {
    ledger: &'a Ledger,
    /// Times seen in the log, saturating, by ledger index.
    times: Vec<u8>,
    /// Positions that are not compared, by account and instrument.
    unjudged: HashSet<(String, String)>,
    integrity: Integrity,
}

impl<'a> LogCheck<'a> {
    /// A check of the log against `ledger`.
    pub fn new(ledger: &'a Ledger) -> Self {
        Self {
            ledger,
            times: vec![0; ledger.entries.len()],
            unjudged: HashSet::new(),
            integrity: Integrity {
                verdict: "broken",
                missing: 0,
                extra: 0,
                wrong_positions: 0,
                wrong_answers: 0,
                acknowledged_early: 0,
                acknowledged: 0,
                logged: 0,
                positions: 0,
                lots: 0,
                examples: Vec::new(),
            },
        }
    }

    fn run(
        mut self,
        outcome: &BurstOutcome,
        logged: impl IntoIterator<Item = LoggedTrade>,
        positions: &[SeenPosition],
    ) -> Integrity {
        for trade in logged {
            self.saw(&trade.trade_id, &trade.account, &trade.instrument, trade.sequence, trade.outcome);
        }
        self.contradictions(outcome.contradictions.count, &outcome.contradictions.examples);
        self.early(outcome.early_acknowledgements);
        self.unknown(outcome.unknown_answers);
        self.finish(positions)
    }

    /// A trade event of the log.
    pub fn saw(&mut self, trade_id: &str, account: &str, instrument: &str, sequence: u64, outcome: LoggedOutcome) {
        if !outcome.accepted() {
            return;
        }
        self.integrity.logged += 1;
        let fault = match self.accepted_message(trade_id) {
            Err(fault) => Some(fault),
            Ok(index) => {
                let entry = &self.ledger.entries[index as usize];
                let universe = &self.ledger.universe;
                if universe.account(entry.account) != account || universe.instrument(entry.instrument) != instrument {
                    Some("sent for another position")
                } else {
                    let times = &mut self.times[index as usize];
                    *times = times.saturating_add(1);
                    let sequence_known = entry.status.accepted() && entry.log_sequence != 0;
                    if *times == 1 && sequence_known && entry.log_sequence != sequence {
                        let said = entry.log_sequence;
                        self.integrity.missing += 1;
                        self.example(|| {
                            format!("{trade_id}: acknowledged as sequence {said}, the log has it at {sequence}")
                        });
                    }
                    None
                }
            }
        };
        if let Some(fault) = fault {
            self.integrity.extra += 1;
            self.example(|| {
                format!("{trade_id} on {account}/{instrument} at sequence {sequence}: in the log, but {fault}")
            });
        }
    }

    /// The message whose acceptance a log event with this id records, or why there can be none.
    fn accepted_message(&self, trade_id: &str) -> Result<u32, &'static str> {
        let index = self.ledger.index_of(trade_id.as_bytes()).ok_or("never sent")?;
        let entry = &self.ledger.entries[index as usize];
        if let Kind::Invalid(_) = entry.kind() {
            return Err("it had to be refused");
        }
        match entry.status {
            Status::Unsent => Err("never sent"),
            // A refusal does not consume the id: the copy sent later may have been accepted.
            status if status.refused() => {
                let copy = (entry.link != NO_LINK).then(|| &self.ledger.entries[entry.link as usize]);
                match copy {
                    Some(copy) if copy.status.accepted() || copy.status == Status::Sent => Ok(entry.link),
                    _ => Err("answered with a refusal"),
                }
            }
            _ => Ok(index),
        }
    }

    /// Adds answers that contradict what was sent.
    pub fn contradictions(&mut self, count: u64, examples: &[String]) {
        self.integrity.wrong_answers += count;
        for example in examples {
            self.example(|| example.clone());
        }
    }

    /// Adds answers to messages that were never sent.
    pub fn unknown(&mut self, count: u64) {
        self.integrity.wrong_answers += count;
        if count > 0 {
            self.example(|| format!("{count} answers name no message that was sent"));
        }
    }

    /// Adds acknowledgements of what was not published yet.
    pub fn early(&mut self, count: u64) {
        self.integrity.acknowledged_early += count;
        if count > 0 {
            self.example(|| format!("{count} batches of answers acknowledged trades that the log had not published"));
        }
    }

    fn example(&mut self, words: impl FnOnce() -> String) {
        if self.integrity.examples.len() < EXAMPLES_MAX {
            self.integrity.examples.push(words());
        }
    }

    /// The verdict, once the whole log was seen.
    pub fn finish(mut self, positions: &[SeenPosition]) -> Integrity {
        let ledger = self.ledger;
        for (index, entry) in (0u32..).zip(&ledger.entries) {
            if !entry.status.accepted() {
                if entry.status == Status::Sent && self.times[index as usize] > 1 {
                    self.integrity.extra += 1;
                    self.example(|| format!("{}: unanswered, and in the log more than once", ledger.trade_id(index)));
                }
                continue;
            }
            if matches!(entry.kind(), Kind::Invalid(_)) {
                self.integrity.wrong_answers += 1;
                self.example(|| format!("{}: accepted, but it had to be refused", ledger.trade_id(index)));
                continue;
            }
            self.integrity.acknowledged += 1;
            let times = self.times[index as usize];
            if entry.kind() == Kind::Duplicate && ledger.entries[entry.link as usize].status.accepted() {
                self.integrity.wrong_answers += 1;
                self.example(|| format!("{}: accepted twice", ledger.trade_id(index)));
            } else if times != 1 {
                self.integrity.missing += 1;
                self.example(|| format!("{}: acknowledged, in the log {times} times", ledger.trade_id(index)));
            }
        }
        let judged =
            |position: &SeenPosition| !self.unjudged.contains(&(position.account.clone(), position.instrument.clone()));
        let mut expected = expected_positions(ledger, |index| self.times[index as usize] > 0);
        let differences = if self.unjudged.is_empty() {
            compare(&expected, positions)
        } else {
            expected.retain(judged);
            let seen: Vec<SeenPosition> = positions.iter().filter(|position| judged(position)).cloned().collect();
            compare(&expected, &seen)
        };
        self.integrity.positions = expected.len() as u64;
        self.integrity.lots = expected.iter().map(|position| position.lots.len() as u64).sum();
        self.integrity.wrong_positions = differences.len() as u64;
        for difference in &differences {
            self.example(|| difference.to_string());
        }
        let seen = &self.integrity;
        let faults = seen.missing + seen.extra + seen.wrong_positions + seen.wrong_answers + seen.acknowledged_early;
        self.integrity.verdict = if faults == 0 { "exact" } else { "broken" };
        self.integrity
    }
}

/// What the oracle books from the ledger: every acknowledged trade, and every unanswered one that `logged` says the log has. Sorted by account
/// and instrument. Trades of later dates are not booked.
pub fn expected_positions(ledger: &Ledger, logged: impl Fn(u32) -> bool) -> Vec<SeenPosition> {
    let mut booked: Vec<u32> = (0..ledger.entries.len() as u32)
        .filter(|&index| {
            let entry = &ledger.entries[index as usize];
            let counts = match entry.kind() {
                Kind::Trade => true,
                Kind::Duplicate => !ledger.entries[entry.link as usize].status.accepted(),
                Kind::Invalid(_) => false,
            };
            let taken = entry.status.accepted() || (entry.status == Status::Sent && logged(index));
            counts && taken && entry.date_offset <= 0
        })
        .collect();
    booked.sort_by_key(|&index| ledger.entries[index as usize].pair());
    booked
        .chunk_by(|&one, &two| ledger.entries[one as usize].pair() == ledger.entries[two as usize].pair())
        .map(|indices| {
            let trades: Vec<OracleTrade> = indices.iter().map(|&index| ledger.oracle_trade(index)).collect();
            let pair = ledger.entries[indices[0] as usize].pair();
            let book = book(trades, ledger.universe.method(pair.account));
            SeenPosition {
                account: ledger.universe.account(pair.account).to_owned(),
                instrument: ledger.universe.instrument(pair.instrument).to_owned(),
                quantity_e8: book.quantity_e8(),
                realized_e16: book.realized_e16,
                lots: book.lots,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow;
    use crate::oracle::LotMethod;
    use crate::plan::BurstPlan;

    /// A run as a faultless host would have answered it, with the log and the positions it would show.
    fn faultless() -> (Ledger, Vec<LoggedTrade>, Vec<SeenPosition>) {
        let plan = BurstPlan {
            seconds: 1,
            rate: 5_000,
            burst_multiplier: 1,
            positions: 600,
            methods: vec![LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo],
            ..BurstPlan::default()
        };
        let mut ledger = flow::generate(&plan).unwrap();
        let mut logged = Vec::new();
        for index in 0..ledger.entries.len() {
            let sequence = index as u64 + 100;
            let entry = &mut ledger.entries[index];
            entry.source_order = index as u32 + 1;
            entry.log_sequence = sequence;
            let outcome;
            (entry.status, outcome) = match entry.kind() {
                Kind::Trade if entry.date_offset < 0 => (Status::Provisional, LoggedOutcome::Provisional),
                Kind::Trade => (Status::Applied, LoggedOutcome::Applied),
                Kind::Duplicate => (Status::Duplicate, LoggedOutcome::Duplicate),
                Kind::Invalid(_) => (Status::Rejected, LoggedOutcome::Rejected),
            };
            let entry = &ledger.entries[index];
            logged.push(LoggedTrade {
                trade_id: ledger.trade_id(index as u32),
                account: ledger.universe.account(entry.account).to_owned(),
                instrument: ledger.universe.instrument(entry.instrument).to_owned(),
                sequence,
                outcome,
            });
        }
        let positions = expected_positions(&ledger, |_| false);
        (ledger, logged, positions)
    }

    fn verdict(ledger: &Ledger, logged: &[LoggedTrade], positions: &[SeenPosition]) -> Integrity {
        let mut check = LogCheck::new(ledger);
        for trade in logged {
            check.saw(&trade.trade_id, &trade.account, &trade.instrument, trade.sequence, trade.outcome);
        }
        check.finish(positions)
    }

    fn a_trade(logged: &[LoggedTrade]) -> usize {
        logged.iter().position(|trade| trade.outcome == LoggedOutcome::Applied).unwrap()
    }

    #[test]
    fn a_faultless_run_is_exact() {
        let (ledger, logged, positions) = faultless();
        let integrity = verdict(&ledger, &logged, &positions);
        assert_eq!(integrity.examples, Vec::<String>::new());
        assert!(integrity.exact());
        assert_eq!(integrity.acknowledged, integrity.logged);
        assert!(integrity.positions > 500 && integrity.lots > 100);
    }

    #[test]
    fn a_dropped_trade_is_missing() {
        let (ledger, mut logged, positions) = faultless();
        let at = a_trade(&logged);
        logged.remove(at);
        let integrity = verdict(&ledger, &logged, &positions);
        assert_eq!((integrity.verdict, integrity.missing, integrity.extra), ("broken", 1, 0));
    }

    #[test]
    fn a_doubled_trade_is_missing_and_one_never_sent_is_extra() {
        let (ledger, mut logged, positions) = faultless();
        let mut again = logged[a_trade(&logged)].clone();
        again.sequence = 1_000_000;
        logged.push(again.clone());
        let integrity = verdict(&ledger, &logged, &positions);
        assert_eq!((integrity.verdict, integrity.missing, integrity.extra), ("broken", 1, 0));
        again.trade_id = "unheard-of".into();
        *logged.last_mut().unwrap() = again;
        let integrity = verdict(&ledger, &logged, &positions);
        assert_eq!((integrity.verdict, integrity.missing, integrity.extra), ("broken", 0, 1));
    }

    #[test]
    fn a_trade_on_the_wrong_position_is_both() {
        let (ledger, mut logged, positions) = faultless();
        let at = a_trade(&logged);
        logged[at].account = "ELSEWHERE".into();
        let integrity = verdict(&ledger, &logged, &positions);
        assert_eq!((integrity.missing, integrity.extra), (1, 1));
    }

    #[test]
    fn a_wrong_lot_is_a_wrong_position() {
        let (ledger, logged, positions) = faultless();
        type Harm = fn(&mut SeenPosition);
        let harms: [Harm; 5] = [
            |position| position.lots[0].cost_e16 += 1,
            |position| position.lots[0].acquired_days += 1,
            |position| position.lots[0].trade_id.push('x'),
            |position| position.realized_e16 -= 1,
            |position| position.lots.clear(),
        ];
        for harm in harms {
            let mut positions = positions.clone();
            harm(positions.iter_mut().find(|position| !position.lots.is_empty()).unwrap());
            let integrity = verdict(&ledger, &logged, &positions);
            assert_eq!((integrity.verdict, integrity.wrong_positions), ("broken", 1));
            assert_eq!(integrity.examples.len(), 1);
        }
    }

    #[test]
    fn an_acknowledged_sequence_that_the_log_does_not_bear_out() {
        let (mut ledger, logged, positions) = faultless();
        ledger.entries[a_trade(&logged)].log_sequence += 1;
        let integrity = verdict(&ledger, &logged, &positions);
        assert_eq!((integrity.verdict, integrity.missing), ("broken", 1));
        let (ledger, logged, positions) = faultless();
        let mut check = LogCheck::new(&ledger);
        logged.iter().for_each(|t| check.saw(&t.trade_id, &t.account, &t.instrument, t.sequence, t.outcome));
        check.early(1);
        assert_eq!(check.finish(&positions).verdict, "broken");
    }

    #[test]
    fn an_unanswered_trade_is_booked_if_the_log_has_it() {
        let (mut ledger, mut logged, positions) = faultless();
        let at = a_trade(&logged);
        ledger.entries[at].status = Status::Sent;
        assert!(verdict(&ledger, &logged, &positions).exact());
        logged.remove(at);
        let without = expected_positions(&ledger, |_| false);
        assert!(verdict(&ledger, &logged, &without).exact());
        assert!(!verdict(&ledger, &logged, &positions).exact());
    }

    #[test]
    fn a_refused_or_invalid_message_must_not_be_in_the_log() {
        let (mut ledger, mut logged, positions) = faultless();
        let invalid = ledger.entries.iter().position(|entry| matches!(entry.kind(), Kind::Invalid(_))).unwrap();
        logged[invalid].outcome = LoggedOutcome::Applied;
        assert_eq!(verdict(&ledger, &logged, &positions).extra, 1);
        logged[invalid].outcome = LoggedOutcome::Rejected;
        let at = logged
            .iter()
            .zip(&ledger.entries)
            .position(|(trade, entry)| trade.outcome == LoggedOutcome::Applied && entry.link == NO_LINK);
        ledger.entries[at.unwrap()].status = Status::Rejected;
        assert_eq!(verdict(&ledger, &logged, &positions).extra, 1);
    }
}
