//! A stand-in for a host: it accepts every valid trade once, or does wrong what it is told to. A scenario that it passes while it does wrong
//! could not fail.

use crate::door::{Door, DoorError, Reply, Target};
use crate::ledger::{Kind, Ledger, Status};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a stand-in does otherwise than a host should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every so manieth message gets no answer.
    pub silent: Option<u32>,
    /// Every so manieth message is answered twice.
    pub twice: Option<u32>,
    /// Duplicates name another first result.
    pub wrong_first: bool,
    /// Duplicates are taken for new trades.
    pub forgets: bool,
    /// What must be refused is accepted.
    pub lax: bool,
    /// Every so manieth valid trade is refused.
    pub strict: Option<u32>,
    /// Breaks after so many messages.
    pub breaks: Option<u32>,
    /// Takes at most one message at a time.
    pub narrow: bool,
    /// Answers no sooner than so long after it took a message.
    pub slow: Option<Duration>,
}

/// A host that is none.
#[derive(Debug)]
pub struct StandIn {
    faults: Faults,
    sequence: Arc<AtomicU64>,
}

impl StandIn {
    /// One that does these things wrong.
    pub fn with(faults: Faults) -> Self {
        Self { faults, sequence: Arc::new(AtomicU64::new(0)) }
    }
}

impl Target for StandIn {
    fn describe(&self) -> String {
        "a stand-in".to_owned()
    }

    fn open(&self, _number: u32) -> Result<Box<dyn Door>, DoorError> {
        let sequence = Arc::clone(&self.sequence);
        Ok(Box::new(StandInDoor {
            faults: self.faults,
            sequence,
            taken: VecDeque::new(),
            firsts: HashMap::new(),
            count: 0,
        }))
    }
}

struct StandInDoor {
    faults: Faults,
    sequence: Arc<AtomicU64>,
    taken: VecDeque<(Instant, Reply)>,
    firsts: HashMap<u32, u64>,
    count: u32,
}

impl StandInDoor {
    fn hits(&self, every: Option<u32>) -> bool {
        every.is_some_and(|every| self.count.is_multiple_of(every))
    }
}

impl Door for StandInDoor {
    fn offer(&mut self, ledger: &Ledger, index: u32) -> Result<bool, DoorError> {
        if self.faults.narrow && !self.taken.is_empty() {
            return Ok(false);
        }
        self.count += 1;
        if self.faults.breaks.is_some_and(|after| self.count > after) {
            return Err(DoorError::Closed);
        }
        if self.hits(self.faults.silent) {
            return Ok(true);
        }
        // ORDERING: a number of its own for each event is all that is asked of it.
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = &ledger.entries[index as usize];
        let refused = Reply { index, status: Status::Rejected, sequence, first: None, code: Some("NO".to_owned()) };
        let applied = Reply { status: Status::Applied, code: None, ..refused.clone() };
        let reply = match entry.kind() {
            Kind::Invalid(_) if !self.faults.lax => refused,
            Kind::Duplicate if !self.faults.forgets => {
                let first = self.firsts.get(&entry.link).map(|first| first + u64::from(self.faults.wrong_first));
                Reply { status: Status::Duplicate, first, ..applied }
            }
            Kind::Trade if self.hits(self.faults.strict) => refused,
            _ => {
                self.firsts.insert(index, sequence);
                applied
            }
        };
        let now = Instant::now();
        if self.hits(self.faults.twice) {
            self.taken.push_back((now, reply.clone()));
        }
        self.taken.push_back((now, reply));
        Ok(true)
    }

    fn turn(&mut self, replies: &mut Vec<Reply>) -> Result<(), DoorError> {
        let slow = self.faults.slow.unwrap_or_default();
        while let Some((_, reply)) = self.taken.pop_front_if(|(taken, _)| taken.elapsed() >= slow) {
            replies.push(reply);
        }
        Ok(())
    }

    fn wait(&mut self, at_most: Duration) {
        std::thread::sleep(at_most);
    }
}
