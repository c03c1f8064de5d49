//! What is to be written: positions, each once, however often it changed; never more than there are positions.

use std::collections::{HashMap, HashSet};

/// Interned account and instrument of a position.
pub type Key = (u32, u32);

/// A position to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub key: Key,
    /// Its lots too; where only its mark moved they are as they were.
    pub lots: bool,
}

/// Positions to write, those of an account together, and who holds which instrument.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Written from its end.
    items: Vec<Item>,
    holders: HashMap<u32, HashSet<u32>>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// All there is, whatever was in it before.
    pub(super) fn everything(&mut self, keys: &[Key]) {
        self.items.clear();
        self.add(keys, &[]);
    }

    /// Positions that changed, and instruments whose mark or terms did: whoever holds one of those is shown with it.
    pub(super) fn add(&mut self, positions: &[Key], instruments: &[u32]) {
        for &(account, instrument) in positions {
            self.holders.entry(instrument).or_default().insert(account);
            self.items.push(Item { key: (account, instrument), lots: true });
        }
        for instrument in instruments {
            let holders = self.holders.get(instrument).into_iter().flatten();
            self.items.extend(holders.map(|account| Item { key: (*account, *instrument), lots: false }));
        }
        // Of equals the one with lots comes last, and is kept.
        self.items.sort_unstable();
        self.items.dedup_by(|next, kept| {
            let same = next.key == kept.key;
            kept.lots |= same && next.lots;
            same
        });
    }

    /// Takes a batch, its own order kept.
    pub(super) fn take(&mut self, most: usize) -> Vec<Item> {
        self.items.split_off(self.items.len().saturating_sub(most))
    }

    /// Gives back what was not written.
    pub(super) fn give_back(&mut self, batch: &[Item]) {
        self.items.extend_from_slice(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(account: u32, instrument: u32, lots: bool) -> Item {
        Item { key: (account, instrument), lots }
    }

    #[test]
    fn each_position_once_with_its_lots_if_anything_wants_them() {
        let mut backlog = Backlog::default();
        backlog.everything(&[(2, 7), (1, 7), (1, 8)]);
        assert_eq!(backlog.take(2), [item(1, 8, true), item(2, 7, true)]);
        assert_eq!(backlog.take(2), [item(1, 7, true)]);
        assert!(backlog.is_empty());
        backlog.add(&[(2, 7), (2, 7)], &[7, 9]);
        assert_eq!(backlog.len(), 2);
        let batch = backlog.take(10);
        assert_eq!(batch, [item(1, 7, false), item(2, 7, true)]);
        backlog.give_back(&batch);
        backlog.add(&[(1, 7)], &[7]);
        assert_eq!(backlog.take(10), [item(1, 7, true), item(2, 7, true)]);
    }
}
