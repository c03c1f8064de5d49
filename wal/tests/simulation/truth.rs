//! What was really appended, and what was promised for it: the simulation's own memory of the log.

use lotbook_wal::{Appended, Group};

/// A record of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) address: u64,
    /// Never used twice in a seed: it fills the payload.
    pub(crate) serial: u64,
    pub(crate) length: usize,
    pub(crate) group: Group,
}

/// Everything that was appended and may still be there, in order, and the promises given.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) entries: Vec<Entry>,
    /// Everything up to here was answered as applied.
    pub(crate) applied: u64,
    /// Everything up to here was answered as durable.
    pub(crate) durable: u64,
    /// Everything up to here was durable when the last flush began: no single damage may hide its loss.
    pub(crate) witnessed: u64,
    /// Entries before this one were dropped by retention.
    pub(crate) dropped: usize,
    next_serial: u64,
}

impl Truth {
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    pub(crate) fn took(&mut self, at: Appended, serial: u64, length: usize, group: Group) {
        let entry = Entry { sequence: at.sequence, address: at.address, serial, length, group };
        assert!(self.entries.last().is_none_or(|last| last.sequence < entry.sequence));
        self.entries.push(entry);
    }

    /// The log's promises are read. They never fall back, and durable never outruns applied.
    pub(crate) fn observe(&mut self, applied: u64, durable: u64) -> Result<(), String> {
        if durable < self.durable || applied < self.applied {
            return Err(format!(
                "promises fell back: applied {} to {applied}, durable {} to {durable}",
                self.applied, self.durable
            ));
        }
        if durable > applied {
            return Err(format!("durable {durable} is ahead of applied {applied}"));
        }
        for (promise, name) in [(applied, "applied"), (durable, "durable")] {
            if self.inside_group(promise) {
                return Err(format!("{name} {promise} ends inside a group"));
            }
        }
        (self.applied, self.durable) = (applied, durable);
        Ok(())
    }

    /// True when a group goes on after that sequence.
    fn inside_group(&self, sequence: u64) -> bool {
        self.find(sequence).is_some_and(|entry| entry.group.continues())
    }

    pub(crate) fn find(&self, sequence: u64) -> Option<&Entry> {
        let at = self.entries.partition_point(|entry| entry.sequence < sequence);
        self.entries.get(at).filter(|entry| entry.sequence == sequence)
    }

    /// A log began whose records up to `end` are these first `kept` entries; all of it is durable.
    pub(crate) fn restarted(&mut self, kept: usize, end: u64) {
        self.entries.truncate(kept);
        self.applied = end;
        self.durable = end;
        self.witnessed = end;
    }
}

/// The payload of a record: words that follow from its serial and their place.
pub(crate) fn fill(serial: u64, out: &mut [u8]) {
    let mut word = serial.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for part in out.chunks_mut(8) {
        part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
        word = word.rotate_left(5) ^ serial;
    }
    // Short payloads name their serial as well.
    let length = out.len().min(8);
    out[..length].copy_from_slice(&serial.to_le_bytes()[..length]);
}

/// True when that is the payload of that record.
pub(crate) fn is_filled(serial: u64, payload: &[u8]) -> bool {
    let mut wanted = vec![0; payload.len()];
    fill(serial, &mut wanted);
    wanted == payload
}
