//! The course of one position: its history as its events come, and the replays of it, each from where it must.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::bytes::{Reader, Writer};
use crate::decide::Scratch;
use crate::history::{Addition, History};
use crate::id::ChronoKey;
use crate::image::ImageError;
use crate::outcome::Outcome;
use crate::replay::{ReplayError, ReplayRoom};
use crate::trail::{By, Trail};

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// The items and amendments.
    pub history: History,
    trail: Trail,
    /// What makes history another than events told, and awaits a correction: the version, and the first place.
    changed: VecDeque<(u64, ChronoKey)>,
}

impl Course {
    /// An empty one whose replays keep states at least so many items apart.
    #[must_use]
    pub fn new(gap_min: usize) -> Self {
        Self { trail: Trail::new(gap_min), ..Self::default() }
    }

    /// Takes what the event of a version adds. They come in the order of their versions.
    pub fn add(&mut self, version: u64, addition: &Addition) {
        if let Addition::Corrected { base_version, .. } = addition {
            self.settled(*base_version);
        }
        let first = self.history.add(addition);
        self.changed.extend(first.map(|key| (version, key)));
    }

    /// What changed up to a version is told by a correction.
    fn settled(&mut self, base_version: u64) {
        while self.changed.front().is_some_and(|(version, _)| *version <= base_version) {
            self.changed.pop_front();
        }
    }

    /// A correction was accepted of what was replayed last, which was this version.
    pub fn accepted(&mut self, base_version: u64) {
        self.settled(base_version);
        self.trail.accepted();
    }

    /// Replays what there is, as [`replay_history`] does, from the nearest state that was kept. The trades of the outcome are those whose
    /// figures may be others than events and earlier outcomes told; everything else in it is whole.
    ///
    /// `has_seen`: the position has seen all changes of history that it is replayed by.
    ///
    /// # Errors
    /// [`ReplayError`].
    ///
    /// [`replay_history`]: crate::replay::replay_history
    pub fn replay(
        &mut self,
        by: &By<'_>,
        has_seen: bool,
        room: &mut ReplayRoom,
        scratch: &mut Scratch,
    ) -> Result<Outcome, ReplayError> {
        let named_from = self.named_from(has_seen);
        self.trail.replay(&mut self.history, by, named_from, room, scratch)
    }

    /// From here on figures may be others than they were told.
    fn named_from(&self, has_seen: bool) -> ChronoKey {
        // What date and changes have made of amended trades since is not in the events.
        let is_told = self.trail.is_accepted() || (has_seen && !self.history.has_amendments());
        let first = self.changed.iter().map(|(_, key)| *key).min();
        first.filter(|_| is_told).unwrap_or(ChronoKey::MIN)
    }

    /// It as bytes: everything but what the last replay booked.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(self.bytes());
        self.history.write(&mut out);
        self.trail.write(&mut out);
        out.u32(self.changed.len() as u32);
        for (version, key) in &self.changed {
            out.u64(*version);
            out.key(key);
        }
        out.into_bytes()
    }

    /// Reads what [`Self::encode`] has written.
    ///
    /// # Errors
    /// [`ImageError::Malformed`] for anything else. The bytes are trusted to be of a history: whoever kept them has a checksum.
    pub fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut read = Reader::new(bytes);
        let (history, trail) = (History::read(&mut read)?, Trail::read(&mut read)?);
        let mut changed = VecDeque::new();
        for _ in 0..read.u32()? {
            changed.push_back((read.u64()?, read.key()?));
        }
        if read.is_empty() { Ok(Self { history, trail, changed }) } else { Err(ImageError::Malformed) }
    }

    /// Items that the last replay booked.
    #[must_use]
    pub fn booked(&self) -> usize {
        self.trail.booked()
    }

    /// Bytes that it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.history.bytes() + self.trail.bytes()
    }
}
