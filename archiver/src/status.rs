//! What a sink says of itself, for health, metrics and operators.
//!
//! The sink's thread writes it, any number of readers look; nobody waits for more than the copy of a few numbers.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::retry::Breaker;

/// Where a sink stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// Not connected yet, or between two tries.
    Connecting,
    /// It takes what becomes durable.
    Following,
    /// Its peer fails; it is tried again by itself.
    Failing,
    /// It waits for a person: the reason says for what. It looks again from time to time.
    Refused,
    /// Its thread has ended.
    Stopped,
}

impl SinkState {
    /// The word of metrics and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Following => "following",
            Self::Failing => "failing",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
        }
    }
}

/// A sink's numbers at one moment.
#[derive(Clone, Debug)]
pub struct SinkStatus {
    /// Where it stands.
    pub state: SinkState,
    /// What went wrong last, and has not gone well since.
    pub problem: Option<String>,
    /// The last record that it has for good.
    pub sequence: u64,
    /// When the shard decided that record, UTC nanoseconds; 0 where it is not known.
    pub occurred_at_ns: i64,
    /// Rows, keys or messages written since the start.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Batches since the start.
    pub batches: u64,
    /// Rows of the last one.
    pub last_batch_rows: u64,
    /// Nanoseconds that it took to be made and to be safe.
    pub last_batch_ns: u64,
    /// Failed tries since the start.
    pub failures: u64,
    /// Times that the breaker opened since the start.
    pub breaker_opened: u64,
    /// What the breaker does with the next try.
    pub breaker: Breaker,
    /// Times that a batch whose answer was lost turned out to be safe.
    pub commits_found: u64,
}

impl Default for SinkStatus {
    fn default() -> Self {
        Self {
            state: SinkState::Connecting,
            problem: None,
            sequence: 0,
            occurred_at_ns: 0,
            rows: 0,
            bytes: 0,
            batches: 0,
            last_batch_rows: 0,
            last_batch_ns: 0,
            failures: 0,
            breaker_opened: 0,
            breaker: Breaker::Closed,
            commits_found: 0,
        }
    }
}

impl SinkStatus {
    /// Durable records that it has not taken.
    #[must_use]
    pub fn lag_records(&self, durable_sequence: u64) -> u64 {
        durable_sequence.saturating_sub(self.sequence)
    }

    /// Age of what it has, where it has not all; an upper bound, for what it lacks is younger. UTC nanoseconds.
    #[must_use]
    pub fn lag_ns(&self, durable_sequence: u64, now_ns: i64) -> u64 {
        match (self.lag_records(durable_sequence), self.occurred_at_ns) {
            (0, _) | (_, 0) => 0,
            (_, at) => u64::try_from(now_ns.saturating_sub(at)).unwrap_or(0),
        }
    }
}

/// The board on which a sink writes its status.
#[derive(Clone, Debug)]
pub struct SinkBoard {
    name: &'static str,
    status: Arc<Mutex<SinkStatus>>,
}

impl SinkBoard {
    /// An empty one; the name is that of labels and documents.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, status: Arc::default() }
    }

    /// The sink's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it says now.
    #[must_use]
    pub fn read(&self) -> SinkStatus {
        self.status.lock().clone()
    }

    /// Changes what it says.
    pub fn write(&self, change: impl FnOnce(&mut SinkStatus)) {
        change(&mut self.status.lock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_nothing_where_all_is_taken() {
        let board = SinkBoard::new("test");
        board.write(|status| (status.sequence, status.occurred_at_ns) = (7, 1_000));
        let status = board.read();
        assert_eq!((status.lag_records(7), status.lag_ns(7, 5_000)), (0, 0));
        assert_eq!((status.lag_records(9), status.lag_ns(9, 5_000)), (2, 4_000));
        assert_eq!(status.lag_ns(9, 500), 0, "a clock that went back is no lag");
    }
}
