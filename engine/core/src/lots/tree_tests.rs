//! The counted tree beside a sorted list, over seeded walks.

use alloc::vec::Vec;

use super::tree::{Cursor, Entry, Extreme, FAN, Forest, NIL};

fn lot(key: u64, slot: u32, quantity_e8: i64, price_e8: i64) -> Entry<u64> {
    Entry { child: slot, count: 1, key, quantity_e8, high_e8: price_e8, low_e8: price_e8 }
}

struct Walk {
    forest: Forest<u64>,
    root: u32,
    model: Vec<Entry<u64>>,
    state: u64,
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self { forest: Forest::new(4_000), root: NIL, model: Vec::new(), state: seed }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % below
    }

    fn insert(&mut self, key: u64, slot: u32) {
        let price = self.draw(50) as i64;
        let entry = lot(key, slot, 1 + self.draw(9) as i64, price);
        self.forest.insert(&mut self.root, &entry);
        let at = self.model.partition_point(|held| held.key < key);
        self.model.insert(at, entry);
    }

    fn cut(&mut self, rank: usize, count: usize) {
        let mut left = count;
        while left > 0 {
            let mut slots = [0; FAN];
            let got = self.forest.cut(&mut self.root, rank, left, &mut slots);
            assert!(got > 0);
            let wanted: Vec<u32> = self.model.drain(rank..rank + got).map(|held| held.child).collect();
            assert_eq!(slots[..got], wanted);
            left -= got;
        }
    }

    fn check(&mut self) {
        let (len, root) = (self.model.len(), self.root);
        let mut cursor = Cursor::new(&self.forest, root, 0);
        let forward: Vec<u32> = core::iter::from_fn(|| cursor.next(&self.forest)).collect();
        let wanted: Vec<u32> = self.model.iter().map(|held| held.child).collect();
        assert_eq!(forward, wanted);
        let mut back: Vec<u32> = core::iter::from_fn(|| cursor.previous(&self.forest)).collect();
        back.reverse();
        assert_eq!(back, wanted);
        assert!(self.forest.taken() <= len / 4 + 16, "{} nodes for {len} lots", self.forest.taken());
        assert_eq!(root == NIL, len == 0);
        if len == 0 {
            assert_eq!(self.forest.taken(), 0);
            return;
        }
        for _ in 0..4 {
            let (a, b) = (self.draw(len + 1), self.draw(len + 1));
            let (from, to) = (a.min(b), a.max(b));
            for which in [Extreme::Highest, Extreme::Lowest] {
                let found = self.forest.extreme(root, from, to, which);
                let mut best: Option<usize> = None;
                for rank in from..to {
                    if best.is_none_or(|held| which.beats(self.model[rank].high_e8, self.model[held].high_e8)) {
                        best = Some(rank);
                    }
                }
                assert_eq!(found.map(|found| found.rank), best);
                assert_eq!(found.map(|found| found.slot), best.map(|rank| self.model[rank].child));
            }
            if from < len {
                assert_eq!(self.forest.at(root, from), self.model[from].child);
                let mut cursor = Cursor::new(&self.forest, root, from);
                assert_eq!(cursor.next(&self.forest), Some(self.model[from].child));
                let before = self.forest.before(root, self.model[from].key);
                assert_eq!(before, (from, self.model[..from].iter().map(|held| held.quantity_e8).sum()));
            }
        }
    }
}

#[test]
fn behaves_as_a_sorted_list() {
    for seed in 0..24 {
        let mut walk = Walk::new(seed);
        let mut slot = 0;
        // Phases that grow, hold and shrink, so that leaves split, thin out and merge at every height.
        for phase in 0..12 {
            let growing = [90, 30, 50][(phase + seed as usize) % 3];
            for step in 0..250 {
                let len = walk.model.len();
                let what = walk.draw(100);
                if what < growing || len == 0 {
                    // At the end mostly, as lots come; else anywhere. Keys are unique: the slot is in it.
                    let high = if walk.draw(3) > 0 { 1_000_000 + u64::from(slot) } else { walk.draw(1_000_000) as u64 };
                    walk.insert(high << 32 | u64::from(slot), slot);
                    slot += 1;
                } else if what.is_multiple_of(8) {
                    let rank = walk.draw(len);
                    let (key, quantity, price) = (walk.model[rank].key, walk.draw(9) as i64, walk.draw(50) as i64);
                    walk.forest.update(walk.root, key, quantity, price);
                    walk.model[rank] = lot(key, walk.model[rank].child, quantity, price);
                } else {
                    let rank = if what.is_multiple_of(2) { 0 } else { walk.draw(len) };
                    let count = 1 + walk.draw(3);
                    walk.cut(rank, count.min(len - rank));
                }
                if step % 10 == 0 {
                    walk.check();
                }
            }
        }
        walk.forest.clear(&mut walk.root);
        walk.model.clear();
        walk.check();
    }
}

#[test]
fn a_large_tree_stays_low_and_sparse_ones_merge() {
    let mut walk = Walk::new(99);
    for slot in 0..20_000 {
        walk.insert(u64::from(slot), slot);
    }
    assert!(walk.forest.taken() <= 20_000 / FAN + 20_000 / FAN / FAN + 8, "in order, nodes are full");
    walk.check();
    // Fifteen of every sixteen leave: what stays moves together.
    for rank in 0..20_000 / 16 {
        walk.cut(rank, 15);
    }
    walk.check();
    let len = walk.model.len();
    walk.cut(0, len);
    walk.check();
}
