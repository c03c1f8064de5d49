//! Memory with a name: what a disk hands out for the tail.

use std::any::Any;
use std::fmt;

/// Mapped memory, writable and shared with whoever maps or reads the same file. Starts on a page; all of it is allocated, so that a
/// store into it cannot fail.
pub struct Mapping {
    start: *mut u8,
    bytes: usize,
    /// Keeps the memory alive; never looked at.
    _owner: Box<dyn Any + Send + Sync>,
}

// SAFETY: a mapping is an address and a length. What is stored there, by whom and in which order is its users' business; they go
// through raw pointers and atomics, whichever thread they are on.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Memory from elsewhere, kept alive by `owner`.
    ///
    /// # Safety
    /// `start` must be the start of a page with `bytes` readable and writable, initialised bytes behind it, which stay where they are
    /// for as long as `owner` lives, and which nobody holds a reference to.
    pub unsafe fn new(start: *mut u8, bytes: usize, owner: Box<dyn Any + Send + Sync>) -> Self {
        Self { start, bytes, _owner: owner }
    }

    /// The first byte.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.start
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({} bytes)", self.bytes)
    }
}
