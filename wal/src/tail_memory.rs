//! The tail's memory: atomic words of the first pages, and blocks of bytes.
//!
//! In a model the words are the checker's, and a block is a few of them; all else about the tail is the same code.

use crate::limits::CHUNK_BYTES;
use crate::mapping::Mapping;
use crate::sync::AtomicU64;
#[cfg(not(loom))]
use crate::sync::Ordering;
use crate::tail::blocks_offset;

/// See the module.
#[derive(Debug)]
pub(crate) struct TailMemory {
    map: Mapping,
    block_count: u32,
    blocks_offset: usize,
    #[cfg(loom)]
    modelled: modelled::Modelled,
}

impl TailMemory {
    /// Over a mapping, which starts on a page.
    pub(crate) fn new(map: Mapping, block_count: u32) -> Self {
        Self {
            map,
            block_count,
            blocks_offset: blocks_offset(block_count),
            #[cfg(loom)]
            modelled: modelled::Modelled::new(block_count),
        }
    }

    /// The first byte of a block.
    pub(crate) fn block_start(&self, block: u32) -> *mut u8 {
        assert!(block < self.block_count);
        // SAFETY: inside the mapping by the assertion. (In a model the pointer is never followed.)
        unsafe { self.map.as_mut_ptr().add(self.blocks_offset + block as usize * CHUNK_BYTES) }
    }
}

#[cfg(not(loom))]
impl TailMemory {
    /// A word of the pages before the blocks.
    #[inline]
    pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.blocks_offset);
        // SAFETY: inside the mapping, aligned (the mapping starts on a page), and these words are only ever touched as atomics
        // while the mapping lives.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    /// Whole words of a block, whoever may be storing there.
    pub(crate) fn load_words(&self, block: u32, from: usize, out: &mut [u8]) {
        assert!(from.is_multiple_of(8) && out.len().is_multiple_of(8));
        assert!(from + out.len() <= CHUNK_BYTES);
        // SAFETY: inside the block by the assertions, aligned to eight.
        let start = unsafe { self.block_start(block).add(from) }.cast::<u64>();
        for (i, word) in out.chunks_exact_mut(8).enumerate() {
            // SAFETY: as above.
            let value = unsafe { AtomicU64::from_ptr(start.add(i)) }.load(Ordering::Relaxed);
            word.copy_from_slice(&value.to_ne_bytes());
        }
    }

    /// Bytes of a block that nobody stores into.
    pub(crate) fn read_plain(&self, block: u32, from: usize, out: &mut [u8]) {
        assert!(from + out.len() <= CHUNK_BYTES);
        // SAFETY: inside the block by the assertion; that nobody stores there is the caller's word.
        unsafe { std::ptr::copy_nonoverlapping(self.block_start(block).add(from), out.as_mut_ptr(), out.len()) };
    }
}

/// The same in the checker's terms. A plain access is a cell, whose races it reports, beside the word that holds the value.
#[cfg(loom)]
mod modelled {
    use loom::cell::UnsafeCell;

    use super::{AtomicU64, TailMemory};
    use crate::sync::Ordering;
    use crate::tail::{DIRECTORY_OFFSET, ENTRY_BYTES, PUBLISHED_ADDRESS_OFFSET, PUBLISHED_SEQUENCE_OFFSET};

    /// Words of a block.
    const WORDS: usize = 3;

    #[derive(Debug)]
    pub(super) struct Modelled {
        published: [AtomicU64; 2],
        /// Address and generation of each block.
        directory: Vec<AtomicU64>,
        blocks: Vec<[(AtomicU64, UnsafeCell<()>); WORDS]>,
    }

    // SAFETY: the cells hold nothing; the checker watches who touches them.
    unsafe impl Send for Modelled {}
    // SAFETY: as above.
    unsafe impl Sync for Modelled {}

    impl Modelled {
        pub(super) fn new(block_count: u32) -> Self {
            let zero = || AtomicU64::new(0);
            Self {
                published: [zero(), zero()],
                directory: (0..block_count * 2).map(|_| zero()).collect(),
                blocks: (0..block_count).map(|_| std::array::from_fn(|_| (zero(), UnsafeCell::new(())))).collect(),
            }
        }
    }

    impl TailMemory {
        pub(crate) fn word(&self, offset: usize) -> &AtomicU64 {
            match offset {
                PUBLISHED_ADDRESS_OFFSET => &self.modelled.published[0],
                PUBLISHED_SEQUENCE_OFFSET => &self.modelled.published[1],
                _ => &self.modelled.directory[(offset - DIRECTORY_OFFSET) / (ENTRY_BYTES / 2)],
            }
        }

        pub(crate) fn load_words(&self, block: u32, from: usize, out: &mut [u8]) {
            for (i, word) in out.chunks_exact_mut(8).enumerate() {
                let value = self.modelled.blocks[block as usize][from / 8 + i].0.load(Ordering::Relaxed);
                word.copy_from_slice(&value.to_ne_bytes());
            }
        }

        pub(crate) fn read_plain(&self, block: u32, from: usize, out: &mut [u8]) {
            for (i, word) in out.chunks_exact_mut(8).enumerate() {
                let (value, cell) = &self.modelled.blocks[block as usize][from / 8 + i];
                cell.with(|_| ());
                word.copy_from_slice(&value.load(Ordering::Relaxed).to_ne_bytes());
            }
        }

        #[cfg(test)]
        pub(crate) fn store_plain(&self, block: u32, at: usize, value: u64) {
            let (word, cell) = &self.modelled.blocks[block as usize][at / 8];
            cell.with_mut(|_| ());
            word.store(value, Ordering::Relaxed);
        }
    }
}
