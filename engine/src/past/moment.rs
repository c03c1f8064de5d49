//! Which sequence a moment is.

use lotbook_core::codec::Decoder;
use lotbook_wal::{From, Limit};

use super::chain::decode;
use super::{Moment, Past, PastError};
use crate::recovery::is_log_record;

impl Past {
    /// The sequence of a moment.
    ///
    /// # Errors
    /// [`PastError::Beyond`], and what keeps the log from being read.
    pub(super) fn sequence_of(&self, moment: Moment) -> Result<u64, PastError> {
        let complete = self.complete();
        match moment {
            Moment::Now => Ok(complete),
            Moment::Sequence(asked) if asked > complete => Err(PastError::Beyond { asked, complete }),
            Moment::Sequence(asked) => Ok(asked),
            Moment::Time(at_ns) => self.last_by(at_ns, complete),
        }
    }

    /// The last sequence up to `complete` that was decided by that time, by bisection.
    fn last_by(&self, at_ns: i64, complete: u64) -> Result<u64, PastError> {
        let first = self.log.reader(From::Start)?.next(Limit::Applied)?.map_or(1, |record| record.header.sequence);
        // All below `low` were decided by then, all from `high` on later.
        let (mut low, mut high) = (first, complete + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.next_decided(middle, high)? {
                Some((sequence, decided_ns)) if decided_ns <= at_ns => low = sequence + 1,
                // Nothing of the book's own between the two, or decided later.
                _ => high = middle,
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// The first event at or behind a sequence and before another one, and when it was decided.
    fn next_decided(&self, sequence: u64, end: u64) -> Result<Option<(u64, i64)>, PastError> {
        let mut decoder = Decoder::new();
        let mut reader = self.log.reader(From::Sequence(sequence))?;
        while let Some(record) = reader.next(Limit::Applied)? {
            let header = record.header;
            if header.sequence >= end {
                break;
            }
            if !is_log_record(&header) {
                let event = decode(&mut decoder, &header, record.payload)?;
                return Ok(Some((header.sequence, event.origin().occurred_at_ns)));
            }
        }
        Ok(None)
    }
}
