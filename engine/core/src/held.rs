//! Held amendments: cancels and corrects whose target has not come yet. State, bounded, in arrival order.

use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::amend::AmendInput;
use crate::bytes::{Reader, Writer};
use crate::digest;
use crate::id::TradeHash;
use crate::input_bytes::BadInput;
use crate::limits::HELD_DATES_MAX;

/// A held amendment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// As accepted.
    pub input: AmendInput,
    /// How often the business date had moved when it was held.
    pub moves: u32,
    /// Sequence of the event that held it.
    pub sequence: u64,
    /// Log address of that event.
    pub address: u64,
}

impl Held {
    /// Whether its time has run out by the time that the business date has moved so often.
    #[must_use]
    pub fn is_overdue(&self, moves: u32) -> bool {
        moves.saturating_sub(self.moves) >= HELD_DATES_MAX
    }

    fn digest(&self) -> u64 {
        let hash = digest::mix(self.input.hash.0 as u64, (self.input.hash.0 >> 64) as u64);
        let hash = digest::mix(hash, self.input.target.0 as u64);
        digest::mix(hash, u64::from(self.moves) << 8 | self.input.kind as u64)
    }
}

/// All that are held. Nothing here allocates after `new`.
#[derive(Debug)]
pub struct HeldSet {
    slots: Vec<Held>,
    free: Vec<u32>,
    /// Slots in the order of arrival, so that the first is the first whose time runs out.
    order: Vec<u32>,
    by_hash: HashTable<u32>,
    by_target: HashTable<u32>,
    digest: u64,
    capacity: usize,
}

impl HeldSet {
    /// Room for `capacity` amendments.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            order: Vec::with_capacity(capacity),
            // Twice as much, so that what was removed never makes a table grow.
            by_hash: HashTable::with_capacity(capacity * 2),
            by_target: HashTable::with_capacity(capacity * 2),
            digest: 0,
            capacity,
        }
    }

    /// How many are held.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether another one fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.order.len() < self.capacity
    }

    /// All, in the order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &Held> {
        self.order.iter().map(|&slot| &self.slots[slot as usize])
    }

    /// Number `index` in the order of arrival.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Held> {
        self.order.get(index).map(|&slot| &self.slots[slot as usize])
    }

    /// The held amendment with this identity.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: TradeHash) -> Option<&Held> {
        self.by_hash
            .find(hash.0 as u64, |&slot| self.slots[slot as usize].input.hash == hash)
            .map(|&slot| &self.slots[slot as usize])
    }

    /// Of those that wait for this target the first by key: the order of booking does not depend on arrival.
    #[must_use]
    pub fn first_for(&self, target: TradeHash) -> Option<&Held> {
        self.by_target
            .iter_hash(target.0 as u64)
            .map(|&slot| &self.slots[slot as usize])
            .filter(|held| held.input.target == target)
            .min_by_key(|held| held.input.key())
    }

    /// The first whose time has run out.
    #[must_use]
    pub fn first_overdue(&self, moves: u32) -> Option<&Held> {
        self.get(0).filter(|held| held.is_overdue(moves))
    }

    /// Sum of the digests.
    #[must_use]
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Holds an amendment. The caller has asked [`Self::has_room`].
    pub(crate) fn insert(&mut self, held: Held) {
        assert!(self.has_room());
        self.digest = self.digest.wrapping_add(held.digest());
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = held;
                slot
            }
            None => {
                self.slots.push(held);
                self.slots.len() as u32 - 1
            }
        };
        self.order.push(slot);
        let slots = &self.slots;
        self.by_hash.insert_unique(held.input.hash.0 as u64, slot, |&slot| slots[slot as usize].input.hash.0 as u64);
        self.by_target
            .insert_unique(held.input.target.0 as u64, slot, |&slot| slots[slot as usize].input.target.0 as u64);
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, hash: TradeHash) -> Option<Held> {
        let slots = &self.slots;
        let entry =
            self.by_hash.find_entry(hash.0 as u64, |&slot| slots[slot as usize].input.hash == hash).ok()?.remove();
        let slot = entry.0;
        let held = self.slots[slot as usize];
        if let Ok(entry) = self.by_target.find_entry(held.input.target.0 as u64, |&other| other == slot) {
            entry.remove();
        }
        self.order.retain(|&other| other != slot);
        self.free.push(slot);
        self.digest = self.digest.wrapping_sub(held.digest());
        Some(held)
    }

    /// For images, in the order of arrival.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.u64(self.len() as u64);
        for held in self.iter() {
            out.u32(held.moves);
            out.u64(held.sequence);
            out.u64(held.address);
            out.amend_input(&held.input);
        }
    }

    /// `false`: there is no room for all.
    pub(crate) fn read(&mut self, read: &mut Reader<'_>) -> Result<bool, BadInput> {
        for _ in 0..read.u64()? {
            if !self.has_room() {
                return Ok(false);
            }
            let (moves, sequence, address) = (read.u32()?, read.u64()?, read.u64()?);
            self.insert(Held { input: read.amend_input()?, moves, sequence, address });
        }
        Ok(true)
    }
}
