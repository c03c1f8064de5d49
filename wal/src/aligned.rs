//! Heap buffers aligned to a disk block: `O_DIRECT` wants it, and payloads come out aligned for zero-copy access.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::limits::BLOCK_BYTES;

/// A zeroed byte buffer whose start is a multiple of [`BLOCK_BYTES`].
pub(crate) struct AlignedBuffer {
    start: NonNull<u8>,
    layout: Layout,
}

impl AlignedBuffer {
    /// `bytes` zeros, rounded up to whole blocks (at least one).
    pub(crate) fn new(bytes: usize) -> Self {
        let bytes = bytes.max(1).next_multiple_of(BLOCK_BYTES);
        let layout = Layout::from_size_align(bytes, BLOCK_BYTES).expect("a buffer below isize::MAX");
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => handle_alloc_error(layout),
        }
    }
}

#[cfg(feature = "sim")]
impl AlignedBuffer {
    /// The first byte, for memory that is stored into while others hold the buffer.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `start` owns `layout.size()` initialised bytes for as long as `self` lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout and never freed elsewhere.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

// SAFETY: the buffer is plain owned memory; nothing else points to it.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuffer {}

impl std::fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuffer({} bytes)", self.layout.size())
    }
}

/// True when every byte is zero. Compares words: this runs over whole segments in recovery.
pub(crate) fn all_zero(bytes: &[u8]) -> bool {
    let mut words = bytes.chunks_exact(64);
    let whole = words.all(|w| w.iter().fold(0u8, |a, b| a | b) == 0);
    whole && words.remainder().iter().all(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_told_from_one_set_bit_anywhere() {
        for len in [0usize, 1, 63, 64, 65, 200] {
            let mut bytes = vec![0u8; len];
            assert!(all_zero(&bytes));
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!all_zero(&bytes), "len {len} at {at}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn buffers_start_on_a_block() {
        let buffer = AlignedBuffer::new(5_000);
        assert_eq!(buffer.len(), 8_192);
        assert_eq!(buffer.as_ptr() as usize % BLOCK_BYTES, 0);
        assert!(all_zero(&buffer));
    }
}
