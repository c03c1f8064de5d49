//! Waymarks: where some events of each position lie, so that a walk along its back-links begins near a moment and goes on in many places at once.
//!
//! ```text
//! events of a position   o<-o<-o<-M<-o<-o<-o<-M<-o<-o<-o<-M<-o<-o   head
//!                                             |<--------------| not read: known later
//!                        |<-------|<----------|                  stretches, read side by side
//! ```
//! Each event names the one before it, so a chain alone is read one record after the other, each a wait for the disk. The follower notes
//! every [`WAYMARK_EVERY`]th event as it applies it; checkpoints keep what it noted. It is an index, and nothing but time depends on it.

use lotbook_wal::{Limit, Log, NO_ADDRESS, ReadError, RecordBuffer, RecordHeader, What};
use parking_lot::RwLock;

use crate::limits::{WALK_LANES, WAYMARK_EVERY};

/// An event of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waymark {
    pub(crate) sequence: u64,
    pub(crate) address: u64,
}

/// Of one position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// Events since the newest waymark.
    pub(crate) since: u32,
    /// Sequence of the newest event by which a lot arrived, 0 for none.
    pub(crate) arrived: u64,
    /// Oldest first.
    pub(crate) marks: Vec<Waymark>,
}

/// Of all positions, by number. The follower writes; whoever asks about the past and workers of the coldpath read.
#[derive(Debug, Default)]
pub struct Waymarks(RwLock<Vec<Way>>);

impl Waymarks {
    /// An event of a position was applied: its newest. `arrival`: a lot arrived by it.
    pub(crate) fn note(&self, position: u32, header: &RecordHeader, arrival: bool) {
        let mut ways = self.0.write();
        let at = position as usize;
        if ways.len() <= at {
            ways.resize_with(at + 1, Way::default);
        }
        let way = &mut ways[at];
        if arrival {
            way.arrived = header.sequence;
        }
        way.since += 1;
        if way.since == WAYMARK_EVERY {
            way.since = 0;
            way.marks.push(Waymark { sequence: header.sequence, address: header.address });
        }
    }

    /// What a checkpoint keeps, one position after the other.
    pub(crate) fn each<E>(&self, mut put: impl FnMut(&Way) -> Result<(), E>) -> Result<(), E> {
        self.0.read().iter().try_for_each(&mut put)
    }

    /// How many positions there are.
    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Those of a checkpoint.
    pub(crate) fn restored(ways: Vec<Way>) -> Self {
        Self(RwLock::new(ways))
    }

    /// Where a walk over a position's events up to a sequence begins: the newest end of each stretch, the newest stretch first.
    /// `head`: address of the newest event that is known, which is no older than that sequence. Some events behind the sequence are among
    /// them; all are, where a lot arrived later.
    pub(crate) fn stretches(&self, position: u32, head: u64, known_at: u64) -> Vec<u64> {
        let ways = self.0.read();
        let Some(way) = ways.get(position as usize).filter(|_| head != NO_ADDRESS) else { return vec![head] };
        let below_head = way.marks.partition_point(|mark| mark.address < head);
        let known = way.marks[..below_head].partition_point(|mark| mark.sequence <= known_at);
        let marks = |end: usize| way.marks[..end].iter().rev().map(|mark| mark.address);
        if way.arrived <= known_at && known < below_head {
            marks(known + 1).collect()
        } else {
            std::iter::once(head).chain(marks(below_head)).collect()
        }
    }
}

/// A record, copied out.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) header: RecordHeader,
    pub(crate) payload: Box<[u8]>,
}

/// A stretch that is read.
struct Lane {
    /// Address of the next record of it ...
    at: u64,
    /// ... and of the one that begins the next stretch.
    until: u64,
    found: Vec<Raw>,
}

impl Lane {
    fn is_open(&self) -> bool {
        self.at != self.until
    }

    /// The next record of it.
    fn read(&mut self, log: &Log, buffer: &mut RecordBuffer) -> Result<Raw, ReadError> {
        log.read_at(self.at, Limit::Applied, buffer)?;
        let record = buffer.record();
        let previous = record.header.previous;
        // The end of the chain is greater than any address, and every link leads back.
        let goes_back = previous == NO_ADDRESS || previous < self.at;
        let passes_by = self.until != NO_ADDRESS && (previous == NO_ADDRESS || previous < self.until);
        if !goes_back || passes_by {
            return Err(ReadError::NoRecord { address: self.at, what: What::Gap });
        }
        self.at = previous;
        Ok(Raw { header: record.header, payload: record.payload.into() })
    }
}

/// Looks at the records of a chain, newest first, until `look` says that it has seen enough. `stretches`: as of [`Waymarks::stretches`].
/// Holds at most the records of [`WALK_LANES`] stretches at a time. Blocks on the disk.
///
/// # Errors
/// What keeps the log from being read, [`ReadError::NoRecord`] where a stretch does not end at the next one, and those of `look`.
pub(crate) fn walk<E: From<ReadError>>(
    log: &Log,
    stretches: &[u64],
    buffer: &mut RecordBuffer,
    mut look: impl FnMut(Raw) -> Result<bool, E>,
) -> Result<(), E> {
    let ends = stretches.iter().skip(1).copied().chain([NO_ADDRESS]);
    let mut lanes: Vec<Lane> =
        stretches.iter().zip(ends).map(|(&at, until)| Lane { at, until, found: Vec::new() }).collect();
    for group in lanes.chunks_mut(WALK_LANES) {
        if let [lane] = group {
            // It may be long, and `look` may want little of it.
            while lane.is_open() {
                if !look(lane.read(log, buffer)?)? {
                    return Ok(());
                }
            }
            continue;
        }
        while group.iter().any(Lane::is_open) {
            // The disk reads for all of them while the first is waited for.
            group.iter().filter(|lane| lane.is_open()).for_each(|lane| log.will_read_at(lane.at));
            for lane in group.iter_mut().filter(|lane| lane.is_open()) {
                let raw = lane.read(log, buffer)?;
                lane.found.push(raw);
            }
        }
        for raw in group.iter_mut().flat_map(|lane| lane.found.drain(..)) {
            if !look(raw)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lotbook_wal::{From, Group, LogConfig, RecordMeta};

    use super::*;

    /// A log with two chains, of which one has an event in three.
    fn log(dir: &std::path::Path, events: u64) -> (lotbook_wal::Opened, Waymarks, Vec<u64>) {
        let mut config = LogConfig::new(dir.join("log"));
        config.tail_dir = Some(dir.into());
        config.segment_bytes = 1 << 20;
        let mut opened = lotbook_wal::open(config).expect("a log");
        let (waymarks, mut addresses) = (Waymarks::default(), Vec::new());
        let mut heads = [NO_ADDRESS; 2];
        for event in 0..events * 3 {
            let chain = usize::from(event % 3 != 0);
            let meta = RecordMeta { kind: 1, version: 1, partition: 0, previous: heads[chain], group: Group::Single };
            let written = loop {
                match opened.appender.append(&meta, 200, |payload| payload.fill(event as u8)) {
                    Ok(written) => break written,
                    Err(lotbook_wal::AppendError::TailFull) => lotbook_wal::nap(),
                    Err(error) => panic!("{error}"),
                }
            };
            heads[chain] = written.address;
            let mut buffer = RecordBuffer::new();
            opened.log.read_at(written.address, Limit::Applied, &mut buffer).expect("what was written");
            waymarks.note(chain as u32, buffer.header(), false);
            if chain == 0 {
                addresses.push(written.address);
            }
        }
        (opened, waymarks, addresses)
    }

    fn walked(log: &Log, stretches: &[u64]) -> Vec<u64> {
        let mut found = Vec::new();
        walk(log, stretches, &mut RecordBuffer::new(), |raw| {
            found.push(raw.header.address);
            Ok::<_, ReadError>(true)
        })
        .expect("a chain");
        found.reverse();
        found
    }

    #[test]
    fn a_walk_over_stretches_is_the_walk_over_the_chain() {
        let dir = tempfile::tempdir().expect("a directory");
        let (opened, waymarks, addresses) = log(dir.path(), 5_000);
        let sequences = |address: &u64| {
            let reader = opened.log.reader(From::Address(*address)).expect("a record");
            reader.sequence()
        };
        let head = *addresses.last().expect("some");
        assert_eq!(walked(&opened.log, &[head]), addresses);
        for known in [1, 2, 31, 32, 33, 1_000, 4_991, 4_992, 4_993, 5_000] {
            let known_at = sequences(&addresses[known - 1]);
            let stretches = waymarks.stretches(0, head, known_at);
            let found = walked(&opened.log, &stretches);
            assert_eq!(found[..known], addresses[..known], "up to event {known}");
            assert!(found.len() <= known + WAYMARK_EVERY as usize, "{} events read for {known}", found.len());
        }
        // A head that was published before newer events were noted.
        let older = addresses[3_000];
        assert_eq!(walked(&opened.log, &waymarks.stretches(0, older, u64::MAX)), addresses[..=3_000]);
        // It stops where it is told to.
        let mut seen = 0;
        let stretches = waymarks.stretches(0, head, u64::MAX);
        walk(&opened.log, &stretches, &mut RecordBuffer::new(), |_| {
            seen += 1;
            Ok::<_, ReadError>(seen < 700)
        })
        .expect("a chain");
        assert_eq!(seen, 700);
    }

    #[test]
    fn stretches_that_are_not_of_the_chain_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let (opened, waymarks, addresses) = log(dir.path(), 200);
        let head = *addresses.last().expect("some");
        let mut stretches = waymarks.stretches(0, head, u64::MAX);
        stretches[2] = waymarks.stretches(1, head, u64::MAX)[5];
        let walked = walk(&opened.log, &stretches, &mut RecordBuffer::new(), |_| Ok::<_, ReadError>(true));
        assert!(matches!(walked, Err(ReadError::NoRecord { what: What::Gap, .. })), "{walked:?}");
    }

    #[test]
    fn where_a_lot_arrived_later_all_is_read() {
        let waymarks = Waymarks::default();
        let mut header = RecordHeader::decode(&[0; lotbook_wal::limits::HEADER_BYTES]);
        for sequence in 1..=100 {
            (header.sequence, header.address) = (sequence, sequence * 8);
            waymarks.note(7, &header, sequence == 90);
        }
        assert_eq!(waymarks.stretches(7, 800, 40), [800, 96 * 8, 64 * 8, 32 * 8]);
        assert_eq!(waymarks.stretches(7, 800, 90), [96 * 8, 64 * 8, 32 * 8]);
        assert_eq!(waymarks.stretches(7, 800, 96), [800, 96 * 8, 64 * 8, 32 * 8]);
        assert_eq!(waymarks.stretches(7, 96 * 8, 96), [96 * 8, 64 * 8, 32 * 8]);
        assert_eq!(waymarks.stretches(3, 5, 96), [5], "a position that nothing is known of");
        assert_eq!(waymarks.stretches(9, NO_ADDRESS, 96), [NO_ADDRESS]);
    }
}
