//! Streams: a position's history, read along the back-links from tail, segment or archive, and kept for the next time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use lotbook_core::apply::{Misfit, Place};
use lotbook_core::codec::{CodecError, Decoder};
use lotbook_core::course::Course;
use lotbook_core::history::Addition;
use lotbook_core::id::TradeHash;
use lotbook_wal::{Log, NO_ADDRESS, ReadError, RecordBuffer};

use super::{ColdQueue, Head};
use crate::limits::STREAMS_IN_CHECKPOINT_BYTES;
use crate::planted::{self, Bug};
use crate::side_log::BodyError;
use crate::waymarks::{Raw, Waymarks, walk};

/// A position's history up to a version.
#[derive(Debug)]
pub(crate) struct Stream {
    pub version: u64,
    /// Address of the event of that version, unless it is a correction of the worker's own.
    pub address: u64,
    /// The newest record of it.
    pub read_sequence: u64,
    pub course: Course,
    /// It traded on while it was replayed the last time.
    pub is_busy: bool,
    /// What makes the position wait, by arrival: version, hash, and sequence of its event.
    causes: VecDeque<(u64, TradeHash, u64)>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            version: 0,
            address: NO_ADDRESS,
            read_sequence: 0,
            course: Course::default(),
            is_busy: false,
            causes: VecDeque::new(),
        }
    }
}

impl Stream {
    /// It as bytes, for a checkpoint.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.version, self.address, self.read_sequence, self.causes.len() as u64] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        for (version, hash, sequence) in &self.causes {
            bytes.extend_from_slice(&version.to_le_bytes());
            bytes.extend_from_slice(&hash.0.to_le_bytes());
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        bytes.extend_from_slice(&self.course.encode());
        bytes
    }

    /// Reads what [`Self::encode`] has written; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        fn word(rest: &mut &[u8]) -> Option<u64> {
            let (head, tail) = rest.split_first_chunk()?;
            *rest = tail;
            Some(u64::from_le_bytes(*head))
        }
        let mut rest = bytes;
        let (version, address, read_sequence) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
        let mut causes = VecDeque::new();
        for _ in 0..word(&mut rest)? {
            let version = word(&mut rest)?;
            let hash = u128::from(word(&mut rest)?) | u128::from(word(&mut rest)?) << 64;
            causes.push_back((version, TradeHash(hash), word(&mut rest)?));
        }
        let course = Course::decode(rest).ok()?;
        Some(Self { version, address, read_sequence, course, is_busy: false, causes })
    }

    /// The first by arrival of what makes the position wait, with the sequence of its event.
    pub(crate) fn cause(&self) -> Option<(TradeHash, u64)> {
        self.causes.front().map(|(_, hash, sequence)| (*hash, *sequence))
    }

    /// A correction of what was replayed last, which was this version, was accepted.
    pub(crate) fn accepted(&mut self, base_version: u64) {
        self.corrected(base_version);
        self.course.accepted(base_version);
    }

    /// A correction of this version is in the log: what came up to it waits no more.
    fn corrected(&mut self, base_version: u64) {
        while self.causes.front().is_some_and(|(version, ..)| *version <= base_version) {
            self.causes.pop_front();
        }
    }
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("reading the log: {0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Codec(CodecError),
    #[error("the back-links of the position lead to another position's event")]
    Astray,
    #[error("reading a correction: {0}")]
    Body(#[from] BodyError),
    #[error("{0}")]
    Misfit(Misfit),
}

impl StreamError {
    /// Whether an archive that comes back may help.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self, Self::Read(ReadError::Disk(_)) | Self::Body(BodyError::Read(ReadError::Disk(_))))
    }
}

/// What reading a stream takes, of one worker.
#[derive(Debug)]
pub(crate) struct Loader {
    pub(super) decoder: Decoder,
    pub(super) buffer: RecordBuffer,
    fresh: Vec<(u64, u64, Addition)>,
}

impl Loader {
    pub(crate) fn new() -> Self {
        Self { decoder: Decoder::new(), buffer: RecordBuffer::new(), fresh: Vec::new() }
    }

    /// Reads the events after the stream's version, up to the head, along the back-links.
    pub(crate) fn catch_up(
        &mut self,
        (log, waymarks): (&Log, &Waymarks),
        position: u32,
        stream: &mut Stream,
        head: &Head,
    ) -> Result<(), StreamError> {
        let Self { decoder, buffer, fresh } = self;
        fresh.clear();
        let mut stretches = vec![head.address];
        if stream.version == 0 {
            // All of it is read: from many places at once.
            stretches = waymarks.stretches(position, head.address, u64::MAX);
        } else if planted::is(Bug::StaleStream) {
            stretches.clear();
        }
        // From the tail, a segment, or an archive, whichever has it. Applied is enough: what is replayed is proposed once it is durable.
        walk(log, &stretches, buffer, |Raw { header, payload }| {
            let event = decoder.decode(header.kind, header.version, &payload).map_err(StreamError::Codec)?;
            let place = Place { sequence: header.sequence, address: header.address };
            let Some((_, version, addition)) = Addition::of(&event, place).filter(|found| found.0 == position) else {
                return Err(StreamError::Astray);
            };
            let is_new = version > stream.version;
            if is_new {
                fresh.push((version, header.sequence, addition));
            }
            Ok(is_new)
        })?;
        for (version, sequence, addition) in fresh.drain(..).rev() {
            stream.read_sequence = stream.read_sequence.max(sequence);
            if let Addition::Corrected { base_version, .. } = addition {
                stream.corrected(base_version);
            }
            stream.causes.extend(addition.cause().map(|hash| (version, hash, sequence)));
            stream.course.add(version, &addition);
        }
        if head.version > stream.version {
            (stream.version, stream.address) = (head.version, head.address);
        }
        Ok(())
    }
}

/// Streams of recently served positions: a position that is corrected again is not read again.
#[derive(Debug)]
pub(crate) struct Streams {
    by_position: HashMap<u32, (u64, usize, Stream)>,
    /// By the time of their last use.
    recent: BTreeMap<u64, u32>,
    uses: u64,
    bytes: usize,
    bytes_max: usize,
}

impl Streams {
    /// Keeps streams of about so many bytes in all.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { by_position: HashMap::new(), recent: BTreeMap::new(), uses: 0, bytes: 0, bytes_max }
    }

    /// The stream of a position, or an empty one.
    pub(crate) fn take(&mut self, position: u32) -> Stream {
        let Some((used, bytes, stream)) = self.by_position.remove(&position) else { return Stream::default() };
        self.recent.remove(&used);
        self.bytes -= bytes;
        stream
    }

    /// Keeps a stream, in place of those that were not used for longest.
    pub(crate) fn keep(&mut self, position: u32, stream: Stream) {
        // Two workers may have had it, one of them taken for hung: the one that read further stays.
        let other = self.take(position);
        let stream = if other.version > stream.version { other } else { stream };
        let bytes = stream.course.bytes();
        if bytes == 0 || bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = self.recent.pop_first() else { break };
            if let Some((_, gone, _)) = self.by_position.remove(&oldest) {
                self.bytes -= gone;
            }
        }
        self.uses += 1;
        self.bytes += bytes;
        self.recent.insert(self.uses, position);
        self.by_position.insert(position, (self.uses, bytes, stream));
    }
}

impl ColdQueue {
    /// The streams that a checkpoint keeps, as bytes: those used last, as many as [`STREAMS_IN_CHECKPOINT_BYTES`] hold. `version`: up to
    /// which the log that the checkpoint ends has a position's events. What a stream knows beyond it a power cut may take, and another event
    /// may have that version then.
    pub(crate) fn streams_up_to(&self, version: impl Fn(u32) -> u64) -> Vec<(u32, Vec<u8>)> {
        let recent: Vec<u32> = self.streams.lock().recent.values().rev().copied().collect();
        let (mut found, mut left) = (Vec::new(), STREAMS_IN_CHECKPOINT_BYTES);
        for position in recent {
            // One at a time: no worker waits for all of them.
            let streams = self.streams.lock();
            let Some((_, _, stream)) = streams.by_position.get(&position) else { continue };
            if stream.version > version(position) {
                continue;
            }
            let bytes = stream.encode();
            drop(streams);
            if bytes.len() > left {
                break;
            }
            left -= bytes.len();
            found.push((position, bytes));
        }
        found
    }

    /// Those of the checkpoint that a start begins with. `version`: of each position by now. Says of how many there is no sense to be made:
    /// their positions are read anew.
    pub(crate) fn restore_streams(&self, kept: Vec<(u32, Vec<u8>)>, version: impl Fn(u32) -> u64) -> usize {
        let mut streams = self.streams.lock();
        let mut lost = 0;
        // The one used last comes last.
        for (position, bytes) in kept.into_iter().rev() {
            match Stream::decode(&bytes).filter(|stream| stream.version <= version(position)) {
                Some(mut stream) => {
                    if planted::is(Bug::KeptStreamAsNewest) {
                        stream.version = version(position);
                    }
                    streams.keep(position, stream);
                }
                None => lost += 1,
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use lotbook_core::closed::PeriodFigures;
    use lotbook_core::command::TradeInput;

    use crate::clock::Clock;
    use crate::coldpath::ColdConfig;

    use super::*;

    fn stream(version: u64, trades: u32) -> Stream {
        let mut course = Course::default();
        for _ in 0..trades {
            let place = Place { sequence: 1, address: 0 };
            let figures = PeriodFigures::default();
            let input = TradeInput::EMPTY;
            course.add(version, &Addition::Trade { input, place, waits: false, late: false, figures });
        }
        Stream { version, course, ..Stream::default() }
    }

    #[test]
    fn streams_are_kept_within_their_bound() {
        let mut streams = Streams::new(10 * stream(1, 1).course.bytes());
        streams.keep(1, stream(4, 4));
        streams.keep(2, stream(5, 5));
        assert_eq!(streams.take(1).version, 4);
        streams.keep(1, stream(4, 4));
        // Position 2 was not used for longest.
        streams.keep(3, stream(3, 3));
        assert_eq!((streams.take(2).version, streams.take(1).version, streams.take(3).version), (0, 4, 3));
        assert_eq!((streams.bytes, streams.recent.len(), streams.by_position.len()), (0, 0, 0));
        // One that is too long alone is not kept, and drives nobody out.
        streams.keep(1, stream(4, 4));
        streams.keep(2, stream(11, 11));
        assert_eq!((streams.take(2).version, streams.take(1).version), (0, 4));
    }

    #[test]
    fn a_stream_is_what_it_was_when_it_is_read_again() {
        let mut kept = stream(5, 3);
        kept.causes = [(3, TradeHash(u128::MAX - 7), 11), (5, TradeHash(9), 12)].into();
        (kept.address, kept.read_sequence) = (4_711, 12);
        let bytes = kept.encode();
        let again = Stream::decode(&bytes).expect("what was written");
        assert_eq!((again.encode(), again.cause()), (bytes.clone(), kept.cause()));
        assert!(Stream::decode(&bytes[..bytes.len() - 1]).is_none());
        assert!(Stream::decode(&[bytes, vec![0]].concat()).is_none());
    }

    #[test]
    fn a_checkpoint_keeps_what_it_covers_and_a_start_takes_no_more() {
        let queue = || ColdQueue::new(ColdConfig::default(), false, Clock::default());
        let before = queue();
        for (position, version) in [(1, 4), (2, 6), (3, 5)] {
            before.streams.lock().keep(position, stream(version, 2));
        }
        let kept = before.streams_up_to(|_| 5);
        assert_eq!(kept.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [3, 1], "the one used last first");
        let after = queue();
        let with_rubbish = [kept.clone(), vec![(4, vec![7; 50])]].concat();
        assert_eq!(after.restore_streams(with_rubbish, |position| if position == 1 { 3 } else { 9 }), 2);
        let versions = |position| after.streams.lock().take(position).version;
        assert_eq!((versions(1), versions(3), versions(4)), (0, 5, 0));
        assert_eq!(after.restore_streams(kept, |_| 5), 0);
    }

    #[test]
    fn the_stream_that_read_further_stays() {
        let mut streams = Streams::new(10 * stream(1, 1).course.bytes());
        streams.keep(1, stream(6, 6));
        streams.keep(1, stream(4, 4));
        assert_eq!(streams.take(1).version, 6);
    }
}
