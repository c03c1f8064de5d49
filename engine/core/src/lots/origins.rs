//! From the trade that opened a lot to the lot: one open-addressing table for all positions with many lots.
//!
//! It holds slots only; whose they are is asked of the slot. The size is fixed at the start, with at
//! least a quarter of the table free, so that probing ends soon. Nothing of it is read in order.

use alloc::vec;
use alloc::vec::Vec;

/// Slots by the trade that opened their lot. An entry is the slot and one; zero is free.
#[derive(Debug)]
pub(super) struct Origins {
    table: Vec<u32>,
    mask: usize,
}

impl Origins {
    /// Room for `slots` entries. The memory is touched when used.
    pub(super) fn new(slots: usize) -> Self {
        // `vec![0; n]` of integers asks the allocator for zeroed memory and so touches none of it.
        let size = (slots + slots / 3 + 1).next_power_of_two();
        Self { table: vec![0; size], mask: size - 1 }
    }

    #[inline]
    fn home(&self, origin: u128) -> usize {
        // A trade's hash is random already.
        origin as usize & self.mask
    }

    /// The slots that may be of this origin; the caller compares.
    #[inline]
    pub(super) fn candidates(&self, origin: u128) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.home(origin);
        core::iter::from_fn(move || {
            let slot = self.table[at].checked_sub(1)?;
            at = (at + 1) & self.mask;
            Some(slot)
        })
    }

    /// Adds a slot that is not in the table.
    #[inline]
    pub(super) fn insert(&mut self, origin: u128, slot: u32) {
        let mut at = self.home(origin);
        while self.table[at] != 0 {
            at = (at + 1) & self.mask;
        }
        self.table[at] = slot + 1;
    }

    /// Takes a slot out that is in the table, and closes the gap. `origins` says what each slot is of.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32, origins: &[u128]) {
        let mut gap = self.home(origins[slot as usize]);
        while self.table[gap] != slot + 1 {
            assert!(self.table[gap] != 0, "the lot is in the table");
            gap = (gap + 1) & self.mask;
        }
        let mut at = gap;
        loop {
            at = (at + 1) & self.mask;
            let Some(other) = self.table[at].checked_sub(1) else { break };
            // An entry may move into the gap when its home does not lie behind the gap.
            let home = self.home(origins[other as usize]);
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(gap) & self.mask {
                self.table[gap] = other + 1;
                gap = at;
            }
        }
        self.table[gap] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_is_found_and_what_is_out_is_not() {
        let mut state = 11u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        // Few homes, also at the end of the table, so that runs of entries are long and wrap around.
        let origins: Vec<u128> =
            (0..96).map(|n| u128::from([0, 1, 126, 127][draw(4) as usize] + 128 * n as u64)).collect();
        let mut table = Origins::new(96);
        let mut inside = [false; 96];
        for _ in 0..20_000 {
            let slot = draw(96) as usize;
            if inside[slot] {
                table.remove(slot as u32, &origins);
            } else {
                table.insert(origins[slot], slot as u32);
            }
            inside[slot] = !inside[slot];
            let asked = draw(96) as usize;
            let found = table.candidates(origins[asked]).any(|slot| slot as usize == asked);
            assert_eq!(found, inside[asked]);
        }
    }
}
