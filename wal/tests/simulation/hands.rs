//! What other hands than the log's do between two lives: tails are lost, cut, damaged and swapped, durable bytes are damaged, files are
//! put back to what they were.

use std::path::{Path, PathBuf};

use lotbook_wal::HEAD_BYTES;
use lotbook_wal::sim::{Random, SimDisk};

/// The tail of an earlier moment, put in the tail's place.
pub(crate) const COPIED: &str = "tail of a moment ago";

/// What was done, and what could have been lost by it.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(crate) name: &'static str,
    /// The segments are not what the dead process left, and everything durable up to this sequence must still be there, or opening must refuse.
    pub(crate) disk: Option<u64>,
    undo: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Deed {
    /// Puts everything back, as someone would whose log has refused to open.
    pub(crate) fn undo(&self, disk: &SimDisk) {
        for (path, bytes) in &self.undo {
            match bytes {
                Some(bytes) => disk.hand().put(path, bytes),
                None => disk.hand().remove(path),
            }
        }
    }
}

/// The files of an earlier moment.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    pub(crate) tail: Option<Vec<u8>>,
    pub(crate) tail_of_old_epoch: Option<Vec<u8>>,
    pub(crate) segments: Vec<(PathBuf, Vec<u8>)>,
    /// Durable at that moment.
    pub(crate) durable: u64,
    /// Entries appended by then. Once some of them were cut these files tell another history.
    pub(crate) entries: usize,
}

/// Where things lie.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    pub(crate) disk: &'a SimDisk,
    pub(crate) dir: &'a Path,
    pub(crate) earlier: &'a Earlier,
    /// A tail of some other log.
    pub(crate) foreign: &'a [u8],
    pub(crate) witnessed: u64,
}

impl Places<'_> {
    /// The log's tail file, wherever it lies.
    pub(crate) fn tail_path(&self) -> Option<PathBuf> {
        self.disk.hand().files().into_iter().find(|path| path.extension().is_some_and(|end| end == "tail"))
    }

    fn segments(&self) -> Vec<PathBuf> {
        let files = self.disk.hand().files().into_iter();
        files
            .filter(|path| path.parent() == Some(self.dir) && path.extension().is_some_and(|e| e == "lotlog"))
            .collect()
    }

    /// Does one of many things, if there is something to do it to.
    pub(crate) fn meddle(&self, random: &mut Random) -> Option<Deed> {
        if random.percent(60) { self.at_the_tail(random) } else { self.at_the_segments(random) }
    }

    fn at_the_tail(&self, random: &mut Random) -> Option<Deed> {
        let path = self.tail_path()?;
        let hand = self.disk.hand();
        let bytes = hand.read(&path)?;
        let put = |name, new: Vec<u8>| {
            hand.put(&path, &new);
            name
        };
        let name = match random.below(9) {
            0 => {
                hand.remove(&path);
                "tail deleted"
            }
            1 => put("tail cut short", bytes[..random.below(bytes.len() as u64) as usize].to_vec()),
            2 => put("tail's first page flipped", flipped(&bytes, random.below(80), random)),
            3 => put("tail flipped", flipped(&bytes, random.below(bytes.len() as u64), random)),
            4 => {
                // Where records are.
                let at = random.below(bytes.len() as u64 / 2);
                put("tail flipped", flipped(&bytes, at, random))
            }
            5 => put("tail of another log", self.foreign.to_vec()),
            6 => put("tail of an older epoch", self.earlier.tail_of_old_epoch.clone()?),
            7 => put(COPIED, self.earlier.tail.clone()?),
            _ => {
                // The directory entry of a block: the block is as good as gone.
                let mut new = bytes.clone();
                let block = random.below(4) as usize;
                new[4_096 + block * 16..][..8].fill(0xFF);
                put("tail block gone", new)
            }
        };
        Some(Deed { name, disk: None, undo: vec![(path, Some(bytes))] })
    }

    fn at_the_segments(&self, random: &mut Random) -> Option<Deed> {
        let hand = self.disk.hand();
        let segments = self.segments();
        if segments.is_empty() {
            return None;
        }
        let path = random.pick(&segments.iter().collect::<Vec<_>>()).clone();
        let bytes = hand.read(&path)?;
        let mut undo = vec![(path.clone(), Some(bytes.clone()))];
        let mut floor = self.witnessed;
        let name = match random.below(12) {
            0 | 1 => {
                let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0) as u64;
                let at = random.below(used + 1);
                hand.poke(&path, at, &[bytes[at as usize] ^ (1 << random.below(8))]);
                "bit flipped"
            }
            2 => {
                let at = random.below(36_864);
                hand.poke(&path, at, &[bytes[at as usize] ^ (1 << random.below(8))]);
                "head flipped"
            }
            3 => {
                let at = random.below(bytes.len() as u64 / 512) * 512;
                hand.poke(&path, at, &[0; 512]);
                "sector zeroed"
            }
            4 | 10 | 11 => {
                // Behind the last record: in the last segment that has one.
                let mut last = None;
                for path in &segments {
                    let bytes = hand.read(path)?;
                    let used = bytes[HEAD_BYTES..].iter().rposition(|b| *b != 0);
                    last = used.map(|used| (path.clone(), bytes, HEAD_BYTES + used)).or(last);
                }
                let (path, bytes, used) = last?;
                let at = (used as u64 + 1 + random.below(6_000)).min(bytes.len() as u64 - 100);
                hand.poke(&path, at, &[0x5A; 100]);
                undo.push((path, Some(bytes)));
                "garbage behind the end"
            }
            5 => {
                let blocks = bytes.len() as u64 / 4_096;
                let (from, to) = (random.below(blocks) * 4_096, random.below(blocks) * 4_096);
                hand.poke(&path, to, &bytes[from as usize..from as usize + 4_096]);
                "block copied"
            }
            6 => {
                hand.remove(&path);
                "segment missing"
            }
            7 => {
                let other = random.pick(&segments.iter().collect::<Vec<_>>()).clone();
                let theirs = hand.read(&other)?;
                hand.put(&other, &bytes);
                hand.put(&path, &theirs);
                undo.push((other, Some(theirs)));
                "segments swapped"
            }
            8 => {
                let length = random.below(bytes.len() as u64);
                hand.put(&path, &bytes[..length as usize]);
                "segment cut short"
            }
            _ => {
                if self.earlier.segments.is_empty() {
                    return None;
                }
                undo = segments.iter().map(|path| (path.clone(), hand.read(path))).collect();
                for (path, earlier) in &self.earlier.segments {
                    if hand.read(path).is_none() {
                        undo.push((path.clone(), None));
                    }
                    hand.put(path, earlier);
                }
                for path in segments.iter().filter(|path| self.earlier.segments.iter().all(|(p, _)| p != *path)) {
                    hand.remove(path);
                }
                floor = self.earlier.durable;
                "segments of a moment ago"
            }
        };
        Some(Deed { name, disk: Some(floor), undo })
    }
}

fn flipped(bytes: &[u8], at: u64, random: &mut Random) -> Vec<u8> {
    let mut new = bytes.to_vec();
    new[at as usize] ^= 1 << random.below(8);
    new
}
