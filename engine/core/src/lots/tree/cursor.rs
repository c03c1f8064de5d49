//! A place in a counted tree, from which one walks either way.

use super::{Forest, NIL, Path};

/// A place between two lots of a tree, from which one walks either way. A change of the tree makes it useless.
#[derive(Clone, Copy, Debug)]
pub(in crate::lots) struct Cursor {
    path: Path,
    leaf: u32,
    at: u8,
}

impl Cursor {
    /// Before lot number `rank`; behind the last one where there are no more.
    pub(in crate::lots) fn new<K: Copy + Ord + Default>(forest: &Forest<K>, root: u32, rank: usize) -> Self {
        let mut path = Path::new();
        let (mut child, mut rank) = (root, rank as u32);
        if root == NIL {
            return Self { path, leaf: NIL, at: 0 };
        }
        while forest.node(child).level > 0 {
            let node = forest.node(child);
            let mut at = 0;
            while at + 1 < node.len() && rank >= node.count[at] {
                rank -= node.count[at];
                at += 1;
            }
            path.push(child, at);
            child = node.child[at];
        }
        let at = (rank as usize).min(forest.node(child).len());
        Self { path, leaf: child, at: at as u8 }
    }

    /// The lot behind the place, which moves behind it.
    #[inline]
    pub(in crate::lots) fn next<K: Copy + Ord + Default>(&mut self, forest: &Forest<K>) -> Option<u32> {
        if self.leaf == NIL {
            return None;
        }
        if usize::from(self.at) == forest.node(self.leaf).len() && !self.turn(forest, true) {
            return None;
        }
        let slot = forest.node(self.leaf).child[usize::from(self.at)];
        self.at += 1;
        Some(slot)
    }

    /// The lot before the place, which moves before it.
    #[inline]
    pub(in crate::lots) fn previous<K: Copy + Ord + Default>(&mut self, forest: &Forest<K>) -> Option<u32> {
        if self.leaf == NIL || (self.at == 0 && !self.turn(forest, false)) {
            return None;
        }
        self.at -= 1;
        Some(forest.node(self.leaf).child[usize::from(self.at)])
    }

    /// To the next leaf or the one before. `false`: there is none, and the place stays.
    fn turn<K: Copy + Ord + Default>(&mut self, forest: &Forest<K>, forward: bool) -> bool {
        let mut depth = self.path.len;
        let mut child = loop {
            let Some(above) = depth.checked_sub(1) else { return false };
            depth = above;
            let (parent, at) = self.path.steps[depth];
            let node = forest.node(parent);
            let next = if forward { Some(at + 1).filter(|&next| next < node.len) } else { at.checked_sub(1) };
            if let Some(next) = next {
                self.path.steps[depth] = (parent, next);
                break node.child[usize::from(next)];
            }
        };
        for step in &mut self.path.steps[depth + 1..self.path.len] {
            let node = forest.node(child);
            let at = if forward { 0 } else { node.len - 1 };
            *step = (child, at);
            child = node.child[usize::from(at)];
        }
        self.leaf = child;
        self.at = if forward { 0 } else { forest.node(child).len };
        true
    }
}
