//! What was published since a follower of the read model last looked: sets of bits, so that who is late has less to do and never more to keep.
//!
//! The engine's follower marks, one reader drains. Neither waits for the other, and a position that is published a thousand times before the
//! reader looks is one bit. A set takes 33 KiB for each 4,096 numbers in use, whatever happens.
//!
//! ```text
//! chunk   keys: what each number stands for | words: a bit a number | any: a bit a word that has one
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use lotbook_core::id::NameId;

/// Numbers in a chunk: as many words as a word has bits.
const CHUNK: usize = 64 * 64;

/// Interned account and instrument of a position.
pub type PositionKey = (NameId, NameId);

/// Positions and instruments that were published since the reader looked.
#[derive(Debug)]
pub struct Watch {
    positions: Bits,
    instruments: Bits,
}

impl Watch {
    /// For so many positions, and so many instruments.
    pub(crate) fn new(positions_max: usize, instruments_max: usize) -> Self {
        Self { positions: Bits::new(positions_max), instruments: Bits::new(instruments_max) }
    }

    /// The follower only.
    pub(crate) fn position(&self, number: u32, (account, instrument): PositionKey) {
        self.positions.mark(number, u64::from(account) << 32 | u64::from(instrument));
    }

    /// The follower only.
    pub(crate) fn instrument(&self, number: NameId) {
        self.instruments.mark(number, u64::from(number));
    }

    /// Takes the positions that were published since it was last called. One reader only.
    ///
    /// What is published before the call is among them; what is published during the call is now or the next time.
    pub fn positions(&self, out: &mut Vec<PositionKey>) {
        self.positions.drain(|key| out.push(((key >> 32) as NameId, key as NameId)));
    }

    /// As [`Self::positions`]: instruments whose terms or mark changed.
    pub fn instruments(&self, out: &mut Vec<NameId>) {
        self.instruments.drain(|key| out.push(key as NameId));
    }

    /// How often a position was published again before the reader had taken it, since the beginning.
    #[must_use]
    pub fn conflated(&self) -> u64 {
        self.positions.again.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Bits {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
    again: AtomicU64,
}

#[derive(Debug)]
struct Chunk {
    keys: [AtomicU64; CHUNK],
    words: [AtomicU64; 64],
    any: AtomicU64,
}

impl Chunk {
    fn new() -> Box<Self> {
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        Box::new(Self { keys: std::array::from_fn(|_| AtomicU64::new(0)), words, any: AtomicU64::new(0) })
    }
}

impl Bits {
    fn new(max: usize) -> Self {
        let chunks = (0..max.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        Self { chunks, again: AtomicU64::new(0) }
    }

    fn mark(&self, number: u32, key: u64) {
        let (chunk, at) = (number as usize / CHUNK, number as usize % CHUNK);
        let chunk = self.chunks[chunk].get_or_init(Chunk::new);
        chunk.keys[at].store(key, Ordering::Relaxed);
        let (word, bit) = (at / 64, 1 << (at % 64));
        // ORDERING: pairs with the acquire swap in `drain`: who takes the bit sees the key, and what was published before it was set.
        if chunk.words[word].fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            // Whoever set it has said so in `any` too, and a reader that has cleared that since is about to take the word.
            self.again.fetch_add(1, Ordering::Relaxed);
        } else {
            chunk.any.fetch_or(1 << word, Ordering::Release);
        }
    }

    fn drain(&self, mut take: impl FnMut(u64)) {
        for chunk in self.chunks.iter().filter_map(OnceLock::get) {
            // Cleared before the words are: a bit that comes between is taken with its word, or says so again.
            let mut any = chunk.any.swap(0, Ordering::AcqRel);
            while any != 0 {
                let word = any.trailing_zeros() as usize;
                any &= any - 1;
                // ORDERING: pairs with the release in `mark`.
                let mut bits = chunk.words[word].swap(0, Ordering::AcqRel);
                while bits != 0 {
                    take(chunk.keys[word * 64 + bits.trailing_zeros() as usize].load(Ordering::Relaxed));
                    bits &= bits - 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    fn drained(watch: &Watch) -> Vec<PositionKey> {
        let mut out = Vec::new();
        watch.positions(&mut out);
        out
    }

    #[test]
    fn a_position_that_changes_often_is_taken_once() {
        let watch = Watch::new(10_000, 10);
        for number in [0, 63, 64, 4_095, 4_096, 9_999, 64, 64] {
            watch.position(number, (number + 1, number + 2));
        }
        assert_eq!(drained(&watch), [0, 63, 64, 4_095, 4_096, 9_999].map(|number| (number + 1, number + 2)));
        assert_eq!((drained(&watch), watch.conflated()), (Vec::new(), 2));
        watch.position(64, (65, 66));
        watch.instrument(7);
        let mut instruments = Vec::new();
        watch.instruments(&mut instruments);
        assert_eq!((drained(&watch), instruments), (vec![(65, 66)], vec![7]));
    }

    /// A writer that raises values and marks them, a reader that drains beside it: at the end the reader has seen every last value.
    #[test]
    fn nothing_is_lost_between_a_writer_and_a_reader() {
        const NUMBERS: u32 = 300;
        const ROUNDS: u64 = 2_000;
        let watch = Arc::new(Watch::new(NUMBERS as usize, 1));
        let values: Arc<Vec<AtomicU64>> = Arc::new((0..NUMBERS).map(|_| AtomicU64::new(0)).collect());
        let done = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (watch, values, done) = (watch.clone(), values.clone(), done.clone());
            move || {
                for round in 1..=ROUNDS {
                    for number in (0..NUMBERS).filter(|number| !(u64::from(*number) + round).is_multiple_of(7)) {
                        values[number as usize].store(round, Ordering::Relaxed);
                        watch.position(number, (number, 0));
                    }
                }
                done.store(true, Ordering::Release);
            }
        });
        let mut seen = vec![0; NUMBERS as usize];
        let mut last = false;
        while !last {
            last = done.load(Ordering::Acquire);
            for (number, _) in drained(&watch) {
                seen[number as usize] = values[number as usize].load(Ordering::Relaxed);
            }
        }
        writer.join().expect("the writer ends");
        let values: Vec<u64> = values.iter().map(|value| value.load(Ordering::Relaxed)).collect();
        assert_eq!(seen, values);
    }
}
