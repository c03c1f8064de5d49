//! The simulated directories: which names the system sees, which would survive a power cut, and the changes between the two.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Cut, Random};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    /// A file by its number.
    File(u64),
}

#[derive(Clone, Debug)]
enum Change {
    Link { path: PathBuf, node: Node },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

impl Change {
    fn parent(&self) -> Option<&Path> {
        match self {
            Change::Link { path, .. } | Change::Unlink { path } | Change::Rename { to: path, .. } => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Change::Link { path, node } => {
                names.insert(path.clone(), *node);
            }
            Change::Unlink { path } => {
                names.remove(path);
            }
            Change::Rename { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    changes: Vec<Change>,
}

impl Names {
    /// A directory that was always there.
    pub(super) fn with_directory(mut self, dir: &Path) -> Self {
        for ancestor in dir.ancestors() {
            self.seen.insert(ancestor.to_path_buf(), Node::Directory);
            self.durable.insert(ancestor.to_path_buf(), Node::Directory);
        }
        self
    }

    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        self.seen.get(path).copied()
    }

    pub(super) fn file(&self, path: &Path) -> Option<u64> {
        match self.get(path) {
            Some(Node::File(id)) => Some(id),
            _ => None,
        }
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.get(path) == Some(Node::Directory)
    }

    /// Every file with its number, by path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.seen.iter().filter_map(|(path, node)| match node {
            Node::File(id) => Some((path.as_path(), *id)),
            Node::Directory => None,
        })
    }

    pub(super) fn link(&mut self, path: &Path, node: Node) {
        self.change(Change::Link { path: path.to_path_buf(), node });
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        self.change(Change::Unlink { path: path.to_path_buf() });
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, node: Node) {
        self.change(Change::Rename { from: from.to_path_buf(), to: to.to_path_buf(), node });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    /// Makes the names in one directory durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        let (here, elsewhere) =
            std::mem::take(&mut self.changes).into_iter().partition(|change| change.parent() == Some(dir));
        self.changes = elsewhere;
        let here: Vec<Change> = here;
        here.iter().for_each(|change| change.apply(&mut self.durable));
    }

    /// Makes every name durable as it is: another hand has been here, long ago.
    pub(super) fn settle(&mut self) {
        self.durable = self.seen.clone();
        self.changes.clear();
    }

    /// The power goes. Each change arrives whole or not at all; a name whose directory did not arrive is gone; names in `memory` are.
    pub(super) fn cut(&mut self, cut: Cut, memory: &[PathBuf], random: &mut Random) {
        let changes = std::mem::take(&mut self.changes);
        let kept_until = random.below(changes.len() as u64 + 1) as usize;
        for (number, change) in changes.into_iter().enumerate() {
            let arrives = match cut {
                Cut::Nothing => false,
                Cut::Everything => true,
                Cut::InOrder => number < kept_until,
                Cut::Reversed => number >= kept_until,
                Cut::Torn => random.percent(50),
            };
            if arrives {
                change.apply(&mut self.durable);
            }
        }
        let in_memory = |path: &Path| memory.iter().any(|dir| path != dir && path.starts_with(dir));
        let names = std::mem::take(&mut self.durable);
        let arrived = |path: &Path| path.ancestors().skip(1).all(|up| names.get(up) == Some(&Node::Directory));
        self.durable = names
            .iter()
            .filter(|(path, _)| !in_memory(path) && arrived(path))
            .map(|(path, node)| (path.clone(), *node))
            .collect();
        self.seen = self.durable.clone();
    }
}
