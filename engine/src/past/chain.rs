//! Reading a chain of the log: from its newest record back, and forward again over the addresses that were found.

use lotbook_core::codec::Decoder;
use lotbook_core::event::Event;
use lotbook_wal::{Limit, NO_ADDRESS, ReadError, RecordBuffer, RecordHeader};

use super::{Past, PastError};
use crate::waymarks::{Raw, walk};

/// Decodes an event.
pub(super) fn decode<'a>(
    decoder: &'a mut Decoder,
    header: &RecordHeader,
    payload: &'a [u8],
) -> Result<Event<'a>, PastError> {
    decoder
        .decode(header.kind, header.version, payload)
        .map_err(|error| PastError::Codec { sequence: header.sequence, error })
}

impl Past {
    /// Looks at the events of a position up to a sequence and at some behind it, newest first: at all of those where a lot arrived later.
    pub(super) fn walk_events(
        &self,
        number: u32,
        known_at: u64,
        mut look: impl FnMut(Raw) -> Result<(), PastError>,
    ) -> Result<(), PastError> {
        let stretches = self.index.waymarks.stretches(number, self.index.head(number), known_at);
        walk(&self.log, &stretches, &mut RecordBuffer::new(), |raw| look(raw).map(|()| true))
    }

    /// Looks at the records of a chain, newest first, until `look` says that it has seen enough.
    pub(super) fn walk_back(
        &self,
        head: u64,
        mut look: impl FnMut(&RecordHeader, &[u8]) -> Result<bool, PastError>,
    ) -> Result<(), PastError> {
        let mut buffer = RecordBuffer::new();
        let mut address = head;
        while address != NO_ADDRESS {
            self.log.read_at(address, Limit::Applied, &mut buffer)?;
            let record = buffer.record();
            address = record.header.previous;
            if !look(&record.header, record.payload)? {
                break;
            }
        }
        Ok(())
    }

    /// Copies out the record at an address.
    pub(super) fn record(&self, address: u64, buffer: &mut RecordBuffer) -> Result<(), ReadError> {
        self.log.read_at(address, Limit::Applied, buffer)
    }

    /// The facts up to a sequence, oldest first. What was read before is not read again.
    pub(super) fn facts(&self, known_at: u64) -> Result<Vec<Raw>, PastError> {
        let mut facts = self.index.facts.lock();
        let newest = facts.last().map_or(0, |fact| fact.header.sequence);
        let mut fresh = Vec::new();
        self.walk_back(self.index.last_fact(), |header, payload| {
            let is_new = header.sequence > newest;
            if is_new {
                fresh.push(Raw { header: *header, payload: payload.into() });
            }
            Ok(is_new)
        })?;
        facts.extend(fresh.into_iter().rev());
        let end = facts.partition_point(|fact| fact.header.sequence <= known_at);
        Ok(facts[..end].to_vec())
    }
}
