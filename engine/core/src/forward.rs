//! Forward-dated trades: accepted and logged, kept apart until their date comes.

use alloc::vec::Vec;

use hashbrown::HashTable;

use crate::command::TradeInput;
use crate::date::Date;
use crate::id::TradeHash;

/// A forward-dated trade that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The trade as accepted.
    pub input: TradeInput,
    /// Its position's number.
    pub position: u32,
    /// Sequence of the event that accepted it.
    pub sequence: u64,
    /// Log address of that event.
    pub address: u64,
}

/// All that wait, in chronological order.
#[derive(Debug)]
pub struct Forwards {
    slots: Vec<Forward>,
    free: Vec<u32>,
    /// Slots by chronological key.
    order: Vec<u32>,
    /// Slots by the identity of the trade.
    by_hash: HashTable<u32>,
    capacity: usize,
}

impl Forwards {
    /// Room for `capacity` trades.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            order: Vec::with_capacity(capacity),
            // Twice as much, so that what was removed never makes it grow.
            by_hash: HashTable::with_capacity(capacity * 2),
            capacity,
        }
    }

    /// Number of trades that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether another one fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room_for(1)
    }

    /// Whether so many more fit.
    #[must_use]
    pub fn has_room_for(&self, count: usize) -> bool {
        self.order.len() + count <= self.capacity
    }

    /// Trades in chronological order.
    pub fn iter(&self) -> impl Iterator<Item = &Forward> {
        self.order.iter().map(|&slot| &self.slots[slot as usize])
    }

    /// The first trade whose date has come by `date`.
    #[must_use]
    pub fn first_due(&self, date: Date) -> Option<&Forward> {
        self.due(date, 0)
    }

    /// Of the trades whose date has come by `date`, the one after the first `skip`.
    #[must_use]
    pub fn due(&self, date: Date, skip: usize) -> Option<&Forward> {
        let first = &self.slots[*self.order.get(skip)? as usize];
        (first.input.effective_date <= date).then_some(first)
    }

    /// The first trade of a position whose date has come by `date`.
    #[must_use]
    pub fn first_due_of(&self, position: u32, date: Date) -> Option<&Forward> {
        self.iter().take_while(|f| f.input.effective_date <= date).find(|f| f.position == position)
    }

    /// Keeps a trade. The caller has checked for room.
    pub fn insert(&mut self, forward: Forward) {
        assert!(self.has_room());
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = forward;
                slot
            }
            None => {
                self.slots.push(forward);
                self.slots.len() as u32 - 1
            }
        };
        let key = forward.input.key();
        let at = self.order.partition_point(|&other| self.slots[other as usize].input.key() < key);
        self.order.insert(at, slot);
        let slots = &self.slots;
        self.by_hash.insert_unique(forward.input.hash.0 as u64, slot, |&slot| slots[slot as usize].input.hash.0 as u64);
    }

    /// The trade with this identity, if it waits.
    #[must_use]
    pub fn find(&self, hash: TradeHash) -> Option<&Forward> {
        let found = self.by_hash.find(hash.0 as u64, |&slot| self.slots[slot as usize].input.hash == hash)?;
        Some(&self.slots[*found as usize])
    }

    /// Takes the trade with this identity out, if it waits.
    pub fn take(&mut self, hash: TradeHash) -> Option<Forward> {
        let input = self.find(hash)?.input;
        self.remove(&input)
    }

    /// Takes the trade of this position and id out, if it waits.
    pub fn remove(&mut self, input: &TradeInput) -> Option<Forward> {
        let key = input.key();
        let from = self.order.partition_point(|&other| self.slots[other as usize].input.key() < key);
        let at = self.order[from..]
            .iter()
            .take_while(|&&slot| self.slots[slot as usize].input.key() == key)
            .position(|&slot| self.slots[slot as usize].input.hash == input.hash)?;
        let slot = self.order.remove(from + at);
        self.free.push(slot);
        let slots = &self.slots;
        let entry = self
            .by_hash
            .find_entry(input.hash.0 as u64, |&other| other == slot && slots[slot as usize].input.hash == input.hash);
        if let Ok(entry) = entry {
            entry.remove();
        }
        Some(self.slots[slot as usize])
    }
}
