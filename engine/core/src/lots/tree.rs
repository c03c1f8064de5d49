//! A counted tree: the lots of one position in the order of a key, with count, quantity and price range of every subtree.
//!
//! A B+-tree. A leaf's entries are lots, an inner node's are nodes; both look alike, so that there is
//! one shape of node and one way to sum it up:
//!
//! ```text
//! node   level | len | child u32 x 16 | count u32 x 16 | key x 16 | quantity i64 x 16 | high i64 x 16 | low i64 x 16
//! leaf   level 0: child = slot of the lot, count = 1, key = its own, high = low = its price
//! inner  level n: child = node of level n - 1, key = no key in it is greater
//! ```
//! Nodes of all positions lie in one arena, made at the start. Nothing points upwards: every operation
//! walks down from the root and mends the way back. Two neighbours of together no more than half a
//! node become one, so a tree has at most a quarter as many nodes as lots, and a few.

mod cursor;

use alloc::vec::Vec;

pub(super) use cursor::Cursor;

/// Entries of a node.
pub(super) const FAN: usize = 16;
/// "No node": the root of an empty tree.
pub(super) const NIL: u32 = u32::MAX;
/// Most levels. Neighbours hold more than half a node together, so a level has less than a quarter of the nodes below
/// it; this many levels are beyond the most lots that a position may have.
const LEVELS_MAX: usize = 16;
/// Merging stops here: two neighbours with more entries stay apart.
const MERGED_MAX: usize = FAN / 2;

/// A lot in a leaf, or what a whole subtree comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<K> {
    /// Slot of the lot, or node.
    pub child: u32,
    /// Lots.
    pub count: u32,
    /// No key below is greater.
    pub key: K,
    pub quantity_e8: i64,
    pub high_e8: i64,
    pub low_e8: i64,
}

/// Which end of the prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    Highest,
    Lowest,
}

impl Extreme {
    #[inline]
    pub(crate) fn beats(self, price_e8: i64, other_e8: i64) -> bool {
        match self {
            Self::Highest => price_e8 > other_e8,
            Self::Lowest => price_e8 < other_e8,
        }
    }
}

#[derive(Clone, Debug)]
struct Node<K> {
    level: u8,
    len: u8,
    child: [u32; FAN],
    count: [u32; FAN],
    key: [K; FAN],
    quantity_e8: [i64; FAN],
    high_e8: [i64; FAN],
    low_e8: [i64; FAN],
}

impl<K: Copy + Ord + Default> Node<K> {
    #[inline]
    fn len(&self) -> usize {
        usize::from(self.len)
    }

    #[inline]
    fn entry(&self, at: usize) -> Entry<K> {
        Entry {
            child: self.child[at],
            count: self.count[at],
            key: self.key[at],
            quantity_e8: self.quantity_e8[at],
            high_e8: self.high_e8[at],
            low_e8: self.low_e8[at],
        }
    }

    #[inline]
    fn set(&mut self, at: usize, entry: &Entry<K>) {
        self.child[at] = entry.child;
        self.count[at] = entry.count;
        self.key[at] = entry.key;
        self.quantity_e8[at] = entry.quantity_e8;
        self.high_e8[at] = entry.high_e8;
        self.low_e8[at] = entry.low_e8;
    }

    /// The first entry whose key is not below `key`, or the number of entries.
    #[inline]
    fn find(&self, key: K) -> usize {
        self.key[..self.len()].iter().position(|&held| held >= key).unwrap_or(self.len())
    }

    /// Where to go down for a key: behind all others, to the last child.
    #[inline]
    fn way(&self, key: K) -> usize {
        self.find(key).min(self.len() - 1)
    }

    /// Moves the entries from `from` on to `to`; there is room.
    fn shift(&mut self, from: usize, to: usize) {
        let moved = from..self.len();
        self.child.copy_within(moved.clone(), to);
        self.count.copy_within(moved.clone(), to);
        self.key.copy_within(moved.clone(), to);
        self.quantity_e8.copy_within(moved.clone(), to);
        self.high_e8.copy_within(moved.clone(), to);
        self.low_e8.copy_within(moved, to);
        self.len = (self.len() + to - from) as u8;
    }

    fn open(&mut self, at: usize, entry: &Entry<K>) {
        self.shift(at, at + 1);
        self.set(at, entry);
    }

    fn close(&mut self, at: usize, count: usize) {
        self.shift(at + count, at);
    }

    /// Takes entries of another node behind its own.
    fn append(&mut self, other: &Self, from: usize) {
        let (len, count) = (self.len(), other.len() - from);
        self.child[len..len + count].copy_from_slice(&other.child[from..from + count]);
        self.count[len..len + count].copy_from_slice(&other.count[from..from + count]);
        self.key[len..len + count].copy_from_slice(&other.key[from..from + count]);
        self.quantity_e8[len..len + count].copy_from_slice(&other.quantity_e8[from..from + count]);
        self.high_e8[len..len + count].copy_from_slice(&other.high_e8[from..from + count]);
        self.low_e8[len..len + count].copy_from_slice(&other.low_e8[from..from + count]);
        self.len += count as u8;
    }

    /// What the node comes to, as the entry of its parent. It is not empty.
    #[inline]
    fn sum(&self, id: u32) -> Entry<K> {
        let len = self.len();
        Entry {
            child: id,
            count: self.count[..len].iter().sum(),
            key: self.key[len - 1],
            quantity_e8: self.quantity_e8[..len].iter().sum(),
            high_e8: self.high_e8[..len].iter().copied().fold(i64::MIN, i64::max),
            low_e8: self.low_e8[..len].iter().copied().fold(i64::MAX, i64::min),
        }
    }
}

/// The way from a root down: node and entry of each level.
#[derive(Clone, Copy, Debug)]
struct Path {
    steps: [(u32, u8); LEVELS_MAX],
    len: usize,
}

impl Path {
    #[inline]
    fn new() -> Self {
        Self { steps: [(0, 0); LEVELS_MAX], len: 0 }
    }

    #[inline]
    fn push(&mut self, node: u32, at: usize) {
        self.steps[self.len] = (node, at as u8);
        self.len += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<(u32, usize)> {
        self.len = self.len.checked_sub(1)?;
        let (node, at) = self.steps[self.len];
        Some((node, usize::from(at)))
    }
}

/// A lot that was found: its number in the tree's order, its slot, its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub rank: usize,
    pub slot: u32,
    pub price_e8: i64,
}

/// The trees of all positions.
#[derive(Debug)]
pub(super) struct Forest<K> {
    nodes: Vec<Node<K>>,
    /// First of the nodes that were given back, linked through their first child.
    free: u32,
    taken: usize,
}

impl<K: Copy + Ord + Default> Forest<K> {
    /// Room for `nodes` nodes.
    pub(super) fn new(nodes: usize) -> Self {
        Self { nodes: Vec::with_capacity(nodes), free: NIL, taken: 0 }
    }

    /// Nodes in use.
    #[inline]
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Nodes that there are.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.nodes.capacity()
    }

    #[inline]
    fn node(&self, id: u32) -> &Node<K> {
        &self.nodes[id as usize]
    }

    fn take(&mut self, level: u8) -> u32 {
        self.taken += 1;
        if self.free != NIL {
            let id = self.free;
            let node = &mut self.nodes[id as usize];
            self.free = node.child[0];
            (node.level, node.len) = (level, 0);
            return id;
        }
        assert!(self.nodes.len() < self.nodes.capacity(), "room for nodes was asked for first");
        self.nodes.push(Node {
            level,
            len: 0,
            child: [0; FAN],
            count: [0; FAN],
            key: [K::default(); FAN],
            quantity_e8: [0; FAN],
            high_e8: [0; FAN],
            low_e8: [0; FAN],
        });
        self.nodes.len() as u32 - 1
    }

    fn give(&mut self, id: u32) {
        self.nodes[id as usize].child[0] = self.free;
        self.free = id;
        self.taken -= 1;
    }

    /// Puts a lot at the place of its key, behind those of the same key.
    pub(super) fn insert(&mut self, root: &mut u32, lot: &Entry<K>) {
        if *root == NIL {
            *root = self.take(0);
            self.nodes[*root as usize].open(0, lot);
            return;
        }
        let mut path = Path::new();
        let mut child = *root;
        while self.node(child).level > 0 {
            let at = self.node(child).way(lot.key);
            path.push(child, at);
            child = self.node(child).child[at];
        }
        let at = self.node(child).find(lot.key);
        let mut right = self.put(child, at, lot);
        while let Some((parent, at)) = path.pop() {
            if right == NIL {
                let node = &mut self.nodes[parent as usize];
                node.count[at] += 1;
                node.key[at] = node.key[at].max(lot.key);
                node.quantity_e8[at] += lot.quantity_e8;
                node.high_e8[at] = node.high_e8[at].max(lot.high_e8);
                node.low_e8[at] = node.low_e8[at].min(lot.low_e8);
            } else {
                let (left_sum, right_sum) = (self.node(child).sum(child), self.node(right).sum(right));
                self.nodes[parent as usize].set(at, &left_sum);
                right = self.put(parent, at + 1, &right_sum);
            }
            child = parent;
        }
        if right != NIL {
            let (left_sum, right_sum) = (self.node(child).sum(child), self.node(right).sum(right));
            *root = self.take(self.node(child).level + 1);
            let node = &mut self.nodes[*root as usize];
            node.open(0, &left_sum);
            node.open(1, &right_sum);
        }
    }

    /// Puts an entry into a node; gives the new node to its right where it was full, else [`NIL`].
    fn put(&mut self, id: u32, at: usize, entry: &Entry<K>) -> u32 {
        if self.node(id).len() < FAN {
            self.nodes[id as usize].open(at, entry);
            return NIL;
        }
        let right = self.take(self.node(id).level);
        if at == FAN {
            // Lots mostly come in order: full nodes stay full, and the new one starts alone.
            self.nodes[right as usize].open(0, entry);
            return right;
        }
        let middle = FAN / 2;
        let [left_node, right_node] = self.pair(id, right);
        right_node.append(left_node, middle);
        left_node.len = middle as u8;
        if at <= middle {
            left_node.open(at, entry)
        } else {
            right_node.open(at - middle, entry)
        }
        right
    }

    fn pair(&mut self, a: u32, b: u32) -> [&mut Node<K>; 2] {
        let found = self.nodes.get_disjoint_mut([a as usize, b as usize]);
        // Two different nodes of the arena, by construction.
        found.unwrap_or_else(|_| unreachable!("neighbours are two nodes"))
    }

    /// Takes lots out, from number `rank` on: as many as one leaf holds of `count`. Gives how many, with their slots in `slots`.
    pub(super) fn cut(&mut self, root: &mut u32, rank: usize, count: usize, slots: &mut [u32; FAN]) -> usize {
        let mut path = Path::new();
        let (mut child, mut rank) = (*root, rank as u32);
        while self.node(child).level > 0 {
            let at = self.step(child, &mut rank);
            path.push(child, at);
            child = self.node(child).child[at];
        }
        let leaf = &mut self.nodes[child as usize];
        let (from, count) = (rank as usize, count.min(leaf.len() - rank as usize));
        slots[..count].copy_from_slice(&leaf.child[from..from + count]);
        leaf.close(from, count);
        while let Some((parent, at)) = path.pop() {
            if self.node(child).len == 0 {
                self.give(child);
                self.nodes[parent as usize].close(at, 1);
            } else {
                let sum = self.node(child).sum(child);
                self.nodes[parent as usize].set(at, &sum);
                self.merge(parent, at);
            }
            child = parent;
        }
        if self.node(*root).len == 0 {
            self.give(*root);
            *root = NIL;
        } else {
            while self.node(*root).level > 0 && self.node(*root).len == 1 {
                let only = self.node(*root).child[0];
                self.give(*root);
                *root = only;
            }
        }
        count
    }

    /// Down one level towards number `rank`, which becomes the number in the child.
    #[inline]
    fn step(&self, id: u32, rank: &mut u32) -> usize {
        let node = self.node(id);
        let mut at = 0;
        while *rank >= node.count[at] {
            *rank -= node.count[at];
            at += 1;
        }
        at
    }

    /// Makes one node of a child and a neighbour where both are small.
    fn merge(&mut self, parent: u32, at: usize) {
        let node = self.node(parent);
        let len_of = |at: usize| self.node(node.child[at]).len();
        let (own, last) = (len_of(at), node.len() - 1);
        if own >= MERGED_MAX {
            return;
        }
        let left_at = if at < last && own + len_of(at + 1) <= MERGED_MAX {
            at
        } else if at > 0 && len_of(at - 1) + own <= MERGED_MAX {
            at - 1
        } else {
            return;
        };
        let (left, right) = (node.child[left_at], node.child[left_at + 1]);
        let [left_node, right_node] = self.pair(left, right);
        left_node.append(right_node, 0);
        let sum = left_node.sum(left);
        self.give(right);
        let node = &mut self.nodes[parent as usize];
        node.set(left_at, &sum);
        node.close(left_at + 1, 1);
    }

    /// Sets quantity and price of the lot with this key, which is there.
    pub(super) fn update(&mut self, root: u32, key: K, quantity_e8: i64, price_e8: i64) {
        let mut path = Path::new();
        let mut child = root;
        while self.node(child).level > 0 {
            let at = self.node(child).way(key);
            path.push(child, at);
            child = self.node(child).child[at];
        }
        let leaf = &mut self.nodes[child as usize];
        let at = leaf.find(key);
        assert!(leaf.key[at] == key, "the lot is in the tree");
        let change = quantity_e8 - leaf.quantity_e8[at];
        let repriced = price_e8 != leaf.high_e8[at];
        leaf.quantity_e8[at] = quantity_e8;
        (leaf.high_e8[at], leaf.low_e8[at]) = (price_e8, price_e8);
        while let Some((parent, at)) = path.pop() {
            if repriced {
                let sum = self.node(child).sum(child);
                self.nodes[parent as usize].set(at, &sum);
            } else {
                self.nodes[parent as usize].quantity_e8[at] += change;
            }
            child = parent;
        }
    }

    /// Gives every lot another key. The order stays the same.
    pub(super) fn rekey(&mut self, root: u32, key: &impl Fn(usize) -> K) {
        if root == NIL {
            return;
        }
        for at in 0..self.node(root).len() {
            let child = self.node(root).child[at];
            let anew = if self.is_leaf(root) {
                key(child as usize)
            } else {
                self.rekey(child, key);
                self.node(child).key[self.node(child).len() - 1]
            };
            self.nodes[root as usize].key[at] = anew;
        }
    }

    /// Gives all nodes back.
    pub(super) fn clear(&mut self, root: &mut u32) {
        if *root != NIL {
            self.clear_below(*root);
            *root = NIL;
        }
    }

    fn clear_below(&mut self, id: u32) {
        if self.node(id).level > 0 {
            for at in 0..self.node(id).len() {
                self.clear_below(self.node(id).child[at]);
            }
        }
        self.give(id);
    }

    /// How many lots have a key below this one, and their quantity.
    pub(super) fn before(&self, root: u32, key: K) -> (usize, i64) {
        let (mut rank, mut quantity_e8) = (0, 0);
        let mut child = root;
        while child != NIL {
            let node = self.node(child);
            let at = node.find(key);
            rank += node.count[..at].iter().map(|&count| count as usize).sum::<usize>();
            quantity_e8 += node.quantity_e8[..at].iter().sum::<i64>();
            child = if node.level > 0 && at < node.len() { node.child[at] } else { NIL };
        }
        (rank, quantity_e8)
    }

    /// Slot of lot number `rank`, which there is.
    #[inline]
    pub(super) fn at(&self, root: u32, rank: usize) -> u32 {
        let (mut child, mut rank) = (root, rank as u32);
        while self.node(child).level > 0 {
            let at = self.step(child, &mut rank);
            child = self.node(child).child[at];
        }
        self.node(child).child[rank as usize]
    }

    /// The lot of the highest or lowest price among numbers `from..to`; of equal ones the first.
    pub(super) fn extreme(&self, root: u32, from: usize, to: usize, which: Extreme) -> Option<Found> {
        if root == NIL || from >= to {
            return None;
        }
        let mut best = None;
        self.extreme_in(root, 0, from, to, which, &mut best);
        let (entry, leaf, mut first) = best?;
        let price_e8 = price(&entry, which);
        let mut child = entry.child;
        // Down to the first lot of that price.
        let mut level = leaf;
        while level > 0 {
            let node = self.node(child);
            let at = (0..node.len()).find(|&at| price(&node.entry(at), which) == price_e8)?;
            first += node.count[..at].iter().map(|&count| count as usize).sum::<usize>();
            (child, level) = (node.child[at], node.level);
        }
        Some(Found { rank: first, slot: child, price_e8 })
    }

    /// Of the entries that lie inside `from..to` as a whole, the best one: with the level of its node and its first number.
    fn extreme_in(
        &self,
        id: u32,
        first: usize,
        from: usize,
        to: usize,
        which: Extreme,
        best: &mut Option<(Entry<K>, u8, usize)>,
    ) {
        let node = self.node(id);
        let mut first = first;
        for at in 0..node.len() {
            let end = first + node.count[at] as usize;
            if from <= first && end <= to {
                let entry = node.entry(at);
                let better = best.is_none_or(|(held, ..)| which.beats(price(&entry, which), price(&held, which)));
                if better {
                    *best = Some((entry, node.level, first));
                }
            } else if first < to && from < end {
                self.extreme_in(node.child[at], first, from, to, which, best);
            }
            first = end;
        }
    }

    /// The entries of a node.
    #[inline]
    pub(super) fn entries(&self, id: u32) -> impl Iterator<Item = Entry<K>> + '_ {
        let node = self.node(id);
        (0..node.len()).map(|at| node.entry(at))
    }

    /// Whether a node's entries are lots.
    #[inline]
    pub(super) fn is_leaf(&self, id: u32) -> bool {
        self.node(id).level == 0
    }
}

#[inline]
fn price<K>(entry: &Entry<K>, which: Extreme) -> i64 {
    match which {
        Extreme::Highest => entry.high_e8,
        Extreme::Lowest => entry.low_e8,
    }
}
