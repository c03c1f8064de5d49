//! Legs between shards: what is on its way from this book to another one, and how far each other one has been heard.
//!
//! The legs that leave a book for others are one numbered sequence. A target's book remembers the last number that it has
//! taken of each other shard, so what is delivered twice is taken once; the source forgets what it is told has arrived.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::{Due, Legs};
use crate::bytes::{Reader, Writer};
use crate::digest;
use crate::id::NameId;
use crate::input_bytes::BadInput;
use crate::names::Names;

/// Marks the number of a source that is a position of another shard.
const FOREIGN: u32 = 1 << 31;

const _: () = assert!(crate::limits::Limits::HOST.positions_max < FOREIGN as usize);

/// Every partition is here: a house of one shard.
pub const ALL_PARTITIONS: u16 = u16::MAX;

/// What goes between this book and those of other shards.
#[derive(Debug)]
pub struct Channels {
    /// Partitions whose positions are in this book, a bit each. Of the house and not of the state: in no image, in no digest.
    pub(super) home: u16,
    /// Legs for positions of other shards, in the order in which they were sent.
    out: VecDeque<Due>,
    /// Number of the last one that was sent, from 1 on.
    last_sent: u64,
    /// By shard the number of the last leg that was taken from it.
    received: BTreeMap<u16, u64>,
    /// Account and instrument of positions of other shards that ever sent something here.
    foreign: Vec<(NameId, NameId)>,
}

impl Default for Channels {
    fn default() -> Self {
        let (received, foreign) = (BTreeMap::new(), Vec::new());
        Self { home: ALL_PARTITIONS, out: VecDeque::new(), last_sent: 0, received, foreign }
    }
}

impl Channels {
    /// What is on its way to other shards, each with its number, in order.
    pub fn out(&self) -> impl Iterator<Item = (u64, &Due)> {
        let first = self.last_sent + 1 - self.out.len() as u64;
        (first..).zip(&self.out)
    }

    /// How much is on its way to other shards.
    #[must_use]
    pub fn out_len(&self) -> usize {
        self.out.len()
    }

    /// Number of the last leg that was sent to another shard; 0 before the first.
    #[must_use]
    pub fn last_sent(&self) -> u64 {
        self.last_sent
    }

    /// Number of the last leg that was taken from a shard; 0 before the first.
    #[must_use]
    pub fn last_received(&self, shard: u16) -> u64 {
        self.received.get(&shard).copied().unwrap_or(0)
    }

    /// Account and instrument of the position behind the number of a source, where that is one of another shard.
    #[must_use]
    pub fn foreign_source(&self, source: u32) -> Option<(NameId, NameId)> {
        if !is_foreign(source) {
            return None;
        }
        self.foreign.get((source & !FOREIGN) as usize).copied()
    }

    /// Changes whenever what is on its way does.
    #[must_use]
    pub fn generation(&self) -> (u64, usize) {
        (self.last_sent, self.out.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last_sent == 0 && self.received.is_empty()
    }

    /// Digest of the numbers; 0 before the first.
    pub(crate) fn digest(&self) -> u64 {
        let received = self
            .received
            .iter()
            .fold(0, |hash, (shard, number)| digest::mix(digest::mix(hash, u64::from(*shard)), *number));
        if self.is_empty() { 0 } else { digest::mix(received, self.last_sent) }
    }

    pub(super) fn send(&mut self, due: Due) {
        self.last_sent += 1;
        self.out.push_back(due);
    }

    /// The oldest one, where its number is not above this.
    pub(super) fn pop(&mut self, through: u64) -> Option<Due> {
        let first = self.last_sent + 1 - self.out.len() as u64;
        if first <= through { self.out.pop_front() } else { None }
    }

    /// Takes note of a leg. `false`: it was taken before.
    pub(super) fn receive(&mut self, shard: u16, number: u64) -> bool {
        let last = self.received.entry(shard).or_default();
        let is_new = number > *last;
        if is_new {
            *last = number;
        }
        is_new
    }

    /// Number for a source in another shard; there are few, and none goes again.
    pub(super) fn foreign_number(&mut self, source: (NameId, NameId)) -> u32 {
        let at = self.foreign.iter().position(|held| *held == source).unwrap_or_else(|| {
            self.foreign.push(source);
            self.foreign.len() - 1
        });
        FOREIGN | at as u32
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.u64(self.last_sent);
        out.u32(self.out.len() as u32);
        for due in &self.out {
            out.u32(u32::from(due.sending as u8));
            out.leg(&due.leg);
        }
        out.u32(self.received.len() as u32);
        for (shard, number) in &self.received {
            out.u32(u32::from(*shard));
            out.u64(*number);
        }
        out.u32(self.foreign.len() as u32);
        for (account, instrument) in &self.foreign {
            out.u32(*account);
            out.u32(*instrument);
        }
    }
}

/// Whether the number of a source is that of a position of another shard.
pub(super) fn is_foreign(source: u32) -> bool {
    source & FOREIGN != 0
}

impl Legs {
    /// What goes between this book and others.
    #[must_use]
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Whether positions of this partition are in this book.
    #[must_use]
    pub fn is_home(&self, partition: u16) -> bool {
        self.channels.home >> partition & 1 == 1
    }

    /// Whether there are other shards.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.channels.home != ALL_PARTITIONS
    }

    /// Takes in what another shard sent. `false`: it was taken before, or names what is not defined here.
    pub(crate) fn receive(
        &mut self,
        (shard, number): (u16, u64),
        from: (NameId, NameId),
        due: &Due,
        names: &Names,
    ) -> bool {
        if !self.channels.receive(shard, number) {
            return false;
        }
        let source = self.channels.foreign_number(from);
        let due = Due { leg: super::Leg { source, ..due.leg }, ..*due };
        self.digest = self.digest.wrapping_add(due.digest(names).rotate_left(1));
        self.due.push_back(due);
        true
    }

    /// Everything up to this number is durable at its target. `false`: nothing with that number is on its way.
    pub(crate) fn delivered(&mut self, through: u64, names: &Names) -> bool {
        let mut gone = 0;
        while let Some(due) = self.channels.pop(through) {
            self.digest = self.digest.wrapping_sub(due.digest(names).rotate_left(1));
            gone += 1;
        }
        gone > 0 && through <= self.channels.last_sent
    }

    pub(super) fn read_channels(&mut self, read: &mut Reader<'_>, names: &Names) -> Result<(), BadInput> {
        let last_sent = read.u64()?;
        for _ in 0..read.u32()? {
            let due = read.due()?;
            self.digest = self.digest.wrapping_add(due.digest(names).rotate_left(1));
            self.channels.out.push_back(due);
        }
        if last_sent < self.channels.out.len() as u64 {
            return Err(BadInput);
        }
        self.channels.last_sent = last_sent;
        for _ in 0..read.u32()? {
            let shard = u16::try_from(read.u32()?).map_err(|_| BadInput)?;
            self.channels.received.insert(shard, read.u64()?);
        }
        for _ in 0..read.u32()? {
            let from = (read.u32()?, read.u32()?);
            self.channels.foreign.push(from);
        }
        Ok(())
    }
}
