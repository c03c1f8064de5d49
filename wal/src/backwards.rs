//! A chain of records read from its newest to its oldest: each names the one before it.

use std::sync::Arc;

use crate::damage::What;
use crate::error::ReadError;
use crate::limits::NO_ADDRESS;
use crate::log::Log;
use crate::reader::{Limit, RecordBuffer};
use crate::record::Record;

/// Walks along back-links, through tail, segments and archives alike. Each record verifies alone; that it belongs to the chain is the
/// writer's word.
#[derive(Debug)]
pub struct Backwards {
    log: Arc<Log>,
    limit: Limit,
    next: u64,
    /// Of the record given last.
    sequence: u64,
    buffer: RecordBuffer,
}

impl Log {
    /// The chain whose newest record lies at `address` ([`NO_ADDRESS`]: an empty one). Records beyond `limit` are stepped over.
    pub fn backwards(self: &Arc<Self>, address: u64, limit: Limit) -> Backwards {
        Backwards { log: Arc::clone(self), limit, next: address, sequence: u64::MAX, buffer: RecordBuffer::new() }
    }
}

impl Backwards {
    /// The record before the one given last, the newest at first; `None` before the oldest of the chain.
    ///
    /// # Errors
    /// [`ReadError::Gone`] where retention has dropped the rest; [`ReadError::NoRecord`] where the link leads to no record, or forward.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        loop {
            if self.next == NO_ADDRESS {
                return Ok(None);
            }
            let address = self.next;
            if address < self.log.first_address() {
                let first = self.log.first_sequence(self.log.first_address())?;
                return Err(ReadError::Gone { wanted: self.sequence.saturating_sub(1), first });
            }
            self.log.read_at(address, Limit::Applied, &mut self.buffer)?;
            let header = *self.buffer.header();
            let back = header.previous == NO_ADDRESS || header.previous < address;
            if !back || header.sequence >= self.sequence {
                return Err(ReadError::NoRecord { address, what: What::Gap });
            }
            self.sequence = header.sequence;
            self.next = header.previous;
            if self.limit == Limit::Applied || header.sequence <= self.log.durable_sequence() {
                return Ok(Some(self.buffer.record()));
            }
        }
    }

    /// Address of the record that [`Backwards::next`] gives next, or [`NO_ADDRESS`].
    pub fn address(&self) -> u64 {
        self.next
    }
}
