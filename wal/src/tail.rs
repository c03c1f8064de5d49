//! The mapped tail: blocks in shared memory that the appender stores into and the log thread writes on from.
//!
//! It is a file so that what a killed process has appended outlives it, and on tmpfs so that no store ever meets a page under
//! write-back. Drawn in `docs/wal-format.md`. All of it is allocated at open: a store into it cannot raise SIGBUS.
//!
//! Who touches what:
//! - block bytes: stored by the appender only; read by the log thread below the published address; copied by readers, who check the
//!   block's generation before and after (a seqlock) and the record's checksum.
//! - directory entries: stored by the appender when it takes a block.
//! - the free list: popped by the appender, pushed by the log thread; last in, first out, so that a quiet disk keeps few blocks hot.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskResult};
use crate::limits::{BLOCK_BYTES, CHUNK_BYTES, FORMAT_VERSION, NO_ADDRESS};
use crate::mapping::Mapping;
use crate::padded::CachePadded;
use crate::prefetch;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence, order};
use crate::tail_memory::TailMemory;

pub(crate) const TAIL_MAGIC: u64 = u64::from_le_bytes(*b"LOTTAIL\x01");
pub(crate) const PUBLISHED_ADDRESS_OFFSET: usize = 128;
pub(crate) const PUBLISHED_SEQUENCE_OFFSET: usize = 136;
pub(crate) const DIRECTORY_OFFSET: usize = BLOCK_BYTES;
pub(crate) const ENTRY_BYTES: usize = 16;
pub(crate) const IDENTITY_BYTES: usize = 80;

/// The end of the free list.
const NO_BLOCK: u32 = u32::MAX;

/// What the first page says for good.
///
/// ```text
/// offset  bytes  field
///      0      8  magic               "LOTTAIL", 1
///      8      4  format_version
///     12      4  checksum            CRC32C of bytes 16..80
///     16      8  log_id
///     24      4  epoch
///     28      4  block_count
///     32     16  boot_id
///     48      8  start_address       of the epoch
///     56      8  start_sequence      the first the epoch may use
///     64      8  lost_from_sequence  found by the recovery that made this file; all ones: none
///     72      8  zero
///    128      8  published_address   atomic
///    136      8  published_sequence  atomic, in the same cache line: both are stored and loaded together
///   4096         directory: per block the stream address of its chunk (u64) and its generation (u64), atomic
///      .         blocks of 65536 bytes, from the next multiple of 4096
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TailIdentity {
    pub(crate) log_id: u64,
    pub(crate) epoch: u32,
    pub(crate) block_count: u32,
    pub(crate) boot_id: [u8; 16],
    pub(crate) start_address: u64,
    pub(crate) start_sequence: u64,
    pub(crate) lost_from_sequence: Option<u64>,
}

impl TailIdentity {
    pub(crate) fn encode(&self) -> [u8; IDENTITY_BYTES] {
        let mut bytes = [0u8; IDENTITY_BYTES];
        bytes[0..8].copy_from_slice(&TAIL_MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.block_count.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.boot_id);
        bytes[48..56].copy_from_slice(&self.start_address.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.start_sequence.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.lost_from_sequence.unwrap_or(u64::MAX).to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// Where the blocks begin.
pub(crate) fn blocks_offset(block_count: u32) -> usize {
    (DIRECTORY_OFFSET + block_count as usize * ENTRY_BYTES).next_multiple_of(BLOCK_BYTES)
}

/// Bytes of the whole file.
pub(crate) fn tail_bytes(block_count: u32) -> usize {
    blocks_offset(block_count) + block_count as usize * CHUNK_BYTES
}

/// `lotbook-<log id>-<hash of the directory>.tail`: two logs, or two copies of one, never meet in one file.
pub(crate) fn tail_name(disk: &dyn Disk, log_id: u64, dir: &Path) -> String {
    let dir = disk.real_path(dir);
    let hash = crc32c::crc32c(dir.as_os_str().as_encoded_bytes());
    format!("lotbook-{log_id:016x}-{hash:08x}.tail")
}

/// A block off the free list, not yet holding anything.
#[derive(Debug)]
pub(crate) struct FreeBlock {
    number: u32,
    /// Its first byte.
    pub(crate) start: *mut u8,
}

/// The mapped tail of a log being written.
#[derive(Debug)]
pub(crate) struct Tail {
    memory: TailMemory,
    path: PathBuf,
    block_count: u32,
    /// Which block holds the chunk with number `n`, at `n % block_count`: live chunks are contiguous and at most that many.
    index: Box<[AtomicU32]>,
    free_next: Box<[AtomicU32]>,
    free_head: CachePadded<AtomicU32>,
}

impl Tail {
    /// Makes the file beside its final name, fully allocated and mapped; [`Tail::install`] puts it in place.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, identity: &TailIdentity) -> DiskResult<Self> {
        let bytes = tail_bytes(identity.block_count);
        let new = path.with_extension("tail.new");
        // Half made by a process that died.
        match disk.unlink(&new) {
            Err(e) if !e.is_missing() => return Err(e),
            _ => {}
        }
        let map = disk.create_mapped(&new, bytes)?;
        assert!(map.len() >= bytes);
        Ok(Self::over(map, path, identity))
    }

    /// In memory that nobody else knows of yet.
    pub(crate) fn over(map: Mapping, path: &Path, identity: &TailIdentity) -> Self {
        let count = identity.block_count;
        let header = identity.encode();
        assert!(map.len() >= header.len());
        // SAFETY: the mapping is longer than the header and nobody else knows of it yet.
        unsafe { std::ptr::copy_nonoverlapping(header.as_ptr(), map.as_mut_ptr(), header.len()) };
        let atomics = |f: &dyn Fn(u32) -> u32| (0..count).map(|i| AtomicU32::new(f(i))).collect();
        let tail = Self {
            memory: TailMemory::new(map, count),
            path: path.to_path_buf(),
            block_count: count,
            index: atomics(&|_| NO_BLOCK),
            free_next: atomics(&|i| if i + 1 == count { NO_BLOCK } else { i + 1 }),
            free_head: CachePadded(AtomicU32::new(0)),
        };
        for block in 0..count {
            tail.entry_address(block).store(NO_ADDRESS, Ordering::Relaxed);
        }
        tail.memory.word(PUBLISHED_ADDRESS_OFFSET).store(identity.start_address, Ordering::Relaxed);
        tail.memory.word(PUBLISHED_SEQUENCE_OFFSET).store(identity.start_sequence - 1, Ordering::Relaxed);
        tail
    }

    /// Replaces the tail of the epoch before, whose records are durable on disk by now.
    pub(crate) fn install(&self, disk: &dyn Disk) -> DiskResult<()> {
        disk.rename(&self.path.with_extension("tail.new"), &self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appender only: everything up to here is in the tail.
    #[inline]
    pub(crate) fn publish(&self, end_address: u64, sequence: u64) {
        // ORDERING: Release, pairs with the Acquire loads of the log thread and of readers: whoever sees the address sees the bytes,
        // the zeros behind the chunk before, and the block's directory entry. Address first: the loaders take the sequence
        // first, so the address they get covers it.
        let address_word = self.memory.word(PUBLISHED_ADDRESS_OFFSET);
        address_word.store(end_address, order!("publish.address", Release));
        self.memory.word(PUBLISHED_SEQUENCE_OFFSET).store(sequence, order!("publish.sequence", Release));
    }

    /// End of the last published record. Loaded after the sequence, it covers it.
    pub(crate) fn published_address(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `publish`: the bytes below it are there.
        self.memory.word(PUBLISHED_ADDRESS_OFFSET).load(order!("published.address", Acquire))
    }

    /// Sequence of the last published record.
    pub(crate) fn published_sequence(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `publish`: the address loaded after it covers it.
        self.memory.word(PUBLISHED_SEQUENCE_OFFSET).load(order!("published.sequence", Acquire))
    }

    fn entry_address(&self, block: u32) -> &AtomicU64 {
        self.memory.word(DIRECTORY_OFFSET + block as usize * ENTRY_BYTES)
    }

    fn entry_generation(&self, block: u32) -> &AtomicU64 {
        self.memory.word(DIRECTORY_OFFSET + block as usize * ENTRY_BYTES + 8)
    }

    /// Appender only: takes the most recently freed block off the list, for [`Tail::assign_block`] later.
    pub(crate) fn reserve_block(&self) -> Option<FreeBlock> {
        // ORDERING: Acquire pairs with the Release in `free_block`: the log thread's reads of the block are over, and the list behind
        // it is what it says. The exchange has nothing to add when it succeeds; when it fails it has seen another head.
        let mut head = self.free_head.0.load(order!("reserve.head", Acquire));
        loop {
            if head == NO_BLOCK {
                return None;
            }
            // Only this thread pops, so `head` cannot leave the list and come back between load and exchange (no ABA).
            let next = self.free_next[head as usize].load(Ordering::Relaxed);
            let retry = order!("reserve.retry", Acquire);
            match self.free_head.0.compare_exchange_weak(head, next, Ordering::Relaxed, retry) {
                Ok(_) => return Some(FreeBlock { number: head, start: self.memory.block_start(head) }),
                Err(seen) => head = seen,
            }
        }
    }

    /// Appender only: from now on the block holds the chunk at `chunk_address`. Its bytes are stale.
    pub(crate) fn assign_block(&self, block: FreeBlock, chunk_address: u64) -> *mut u8 {
        let FreeBlock { number: block, start } = block;
        let generation = self.entry_generation(block);
        let odd = generation.load(Ordering::Relaxed) | 1;
        // ORDERING: the odd generation is visible before any new byte of the block (Release fence here, Acquire fence in `copy`).
        generation.store(odd, Ordering::Relaxed);
        fence!("assign.fence", Release);
        self.entry_address(block).store(chunk_address, Ordering::Relaxed);
        // ORDERING: Release pairs with the Acquire in `copy`: who sees the even generation sees the address.
        generation.store(odd + 1, order!("assign.generation", Release));
        // ORDERING: Relaxed, as the address above; looked up by those who have seen a record of this chunk published (Release there).
        self.index[self.index_of(chunk_address)].store(block, Ordering::Relaxed);
        start
    }

    /// Appender only: asks for the words that [`Tail::reserve_block`] will change, so that it does not wait for another core. The first
    /// call asks for the head of the list, a second one for what the head leads to.
    pub(crate) fn ask_for_free(&self, chunk_address: u64) {
        prefetch::for_store((&raw const self.free_head.0).cast());
        prefetch::for_store((&raw const self.index[self.index_of(chunk_address)]).cast());
        let head = self.free_head.0.load(Ordering::Relaxed);
        if let Some(next) = self.free_next.get(head as usize) {
            prefetch::for_store((&raw const *next).cast());
            prefetch::for_store((&raw const *self.entry_generation(head)).cast());
        }
    }

    /// Appender only: true when at least `wanted` blocks are free. Only the appender takes blocks, so a yes stays true.
    pub(crate) fn has_free(&self, wanted: u64) -> bool {
        // ORDERING: Acquire pairs with the Release in `free_block`: the list behind the head is what it says.
        let mut block = self.free_head.0.load(order!("has-free.head", Acquire));
        for _ in 0..wanted {
            if block == NO_BLOCK {
                return false;
            }
            block = self.free_next[block as usize].load(Ordering::Relaxed);
        }
        true
    }

    fn index_of(&self, chunk_address: u64) -> usize {
        (chunk_address / CHUNK_BYTES as u64 % self.block_count as u64) as usize
    }

    /// For those who have seen a record of that chunk published.
    fn block_of(&self, chunk_address: u64) -> Option<u32> {
        // ORDERING: Relaxed; see there. A later chunk may have come to either place: then it is not this one's block any more, or `copy`
        // will notice.
        let block = self.index[self.index_of(chunk_address)].load(Ordering::Relaxed);
        (block != NO_BLOCK && self.entry_address(block).load(Ordering::Relaxed) == chunk_address).then_some(block)
    }

    /// Log threads only, one at a time: gives back the block of a chunk that is durable as a whole. Its bytes and its directory entry stay until it is
    /// taken again, so readers may go on copying from it.
    pub(crate) fn free_block(&self, chunk_address: u64) {
        let block = self.block_of(chunk_address).expect("a live chunk has a block");
        let mut head = self.free_head.0.load(Ordering::Relaxed);
        loop {
            self.free_next[block as usize].store(head, Ordering::Relaxed);
            // ORDERING: Release pairs with the Acquire in `reserve_block` and `has_free`.
            let push = order!("free.push", Release);
            match self.free_head.0.compare_exchange_weak(head, block, push, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// Log threads only: published bytes of a live chunk.
    pub(crate) fn copy_live(&self, chunk_address: u64, from: usize, out: &mut [u8]) {
        assert!(from + out.len() <= CHUNK_BYTES);
        let block = self.block_of(chunk_address).expect("a live chunk has a block");
        // The bytes are below the published address, which was loaded with Acquire, and the appender never stores below it; the block is
        // freed when the flush that reads it here, and those before it, are durable.
        self.memory.read_plain(block, from, out);
    }

    /// Readers: copies bytes of a chunk, false when its block is gone or was taken again meanwhile. `from` and the length are multiples
    /// of eight; the caller stays below the published address.
    pub(crate) fn copy(&self, chunk_address: u64, from: usize, out: &mut [u8]) -> bool {
        let Some(block) = self.block_of(chunk_address) else { return false };
        let generation = self.entry_generation(block);
        // ORDERING: Acquire pairs with the Release in `assign_block`: the address belongs to this generation.
        let before = generation.load(order!("copy.generation", Acquire));
        if before & 1 == 1 || self.entry_address(block).load(Ordering::Relaxed) != chunk_address {
            return false;
        }
        // The appender may be storing plain bytes here when the block has been taken again; a word then holds some mixture, which the
        // generation check below throws away.
        self.memory.load_words(block, from, out);
        // ORDERING: pairs with the Release fence in `assign_block`: had a byte been new, the generation would be seen changed.
        fence!("copy.fence", Acquire);
        generation.load(Ordering::Relaxed) == before
    }

    /// In a model: that chunk has a block.
    #[cfg(all(loom, test))]
    pub(crate) fn has_chunk(&self, chunk_address: u64) -> bool {
        self.block_of(chunk_address).is_some()
    }

    /// Appender only, in a model: stores a word of a chunk's block, as plain bytes.
    #[cfg(all(loom, test))]
    pub(crate) fn store_word(&self, chunk_address: u64, at: usize, value: u64) {
        self.memory.store_plain(self.block_of(chunk_address).expect("taken"), at, value);
    }

    /// Takes the name away: the log was closed in order.
    pub(crate) fn remove(&self, disk: &dyn Disk) -> DiskResult<()> {
        disk.unlink(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(blocks: u32) -> (tempfile::TempDir, Tail) {
        let dir = tempfile::tempdir().unwrap();
        let identity = TailIdentity {
            log_id: 1,
            epoch: 1,
            block_count: blocks,
            boot_id: [0; 16],
            start_address: 0,
            start_sequence: 1,
            lost_from_sequence: None,
        };
        let tail = Tail::create(&crate::RealDisk::read_only(), &dir.path().join("t.tail"), &identity).unwrap();
        (dir, tail)
    }

    fn take(tail: &Tail, chunk_address: u64) -> Option<*mut u8> {
        tail.reserve_block().map(|block| tail.assign_block(block, chunk_address))
    }

    #[test]
    fn the_most_recently_freed_block_comes_first() {
        let (_dir, tail) = tail(4);
        let chunk = |n: u64| n * CHUNK_BYTES as u64;
        let blocks: Vec<_> = (0..4).map(|n| take(&tail, chunk(n)).unwrap()).collect();
        assert_eq!(take(&tail, chunk(4)), None);
        tail.free_block(chunk(0));
        tail.free_block(chunk(1));
        assert_eq!(take(&tail, chunk(4)), Some(blocks[1]));
        assert_eq!(take(&tail, chunk(5)), Some(blocks[0]));
    }

    #[test]
    fn a_reader_notices_that_a_block_was_taken_again() {
        let (_dir, tail) = tail(4);
        let start = take(&tail, 0).unwrap();
        // SAFETY: the block is ours alone in this test.
        unsafe { start.write_bytes(7, 64) };
        let mut out = [0u8; 64];
        assert!(tail.copy(0, 0, &mut out));
        assert_eq!(out, [7; 64]);
        tail.free_block(0);
        assert!(tail.copy(0, 0, &mut out), "a freed block keeps its bytes until it is taken");
        take(&tail, CHUNK_BYTES as u64 * 4);
        assert!(!tail.copy(0, 0, &mut out));
    }
}
