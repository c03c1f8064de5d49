//! Memory of the book on huge pages: a global allocator that, while it is told to, gives large pieces pages of 2 MiB and touches them.
//!
//! A trade reads a dozen lines that lie far apart: position, lots, trees, the window of ids. With pages of 4 KiB each of them wants
//! an entry of its own in the processor's table of pages, and a page that was never touched stops the shard for a microsecond. So a host
//! that asks for it (`engine.huge_pages`) makes its books under a [`Guard`]: what is allocated meanwhile and is large lies on
//! huge pages and is touched at once (since Linux 5.14; before, when it is used). All other memory is the
//! system allocator's, and this file changes nothing of it.
//!
//! A binary takes part with `#[global_allocator] static MEMORY: Memory = Memory;`. Without it a guard does nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, and huge pages for large pieces while a [`Guard`] lives.
#[derive(Debug)]
pub struct Memory;

/// Bytes of a huge page, on all of Linux's 64-bit systems that this runs on.
const HUGE_PAGE: usize = 2 << 20;

/// Guards alive. Of any thread: what another thread allocates meanwhile lies on huge pages too, and is none the worse for it.
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// While it lives, large pieces of memory come on huge pages and touched.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// From here until it is dropped.
    #[must_use]
    pub fn new() -> Self {
        // ORDERING: a count; it guards no other memory. A thread that sees it late allocates as without it.
        GUARDS.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // ORDERING: as above.
        GUARDS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The layout on whole huge pages, for what is large while a guard lives.
fn huge(layout: Layout) -> Option<Layout> {
    // ORDERING: as above.
    if layout.size() < HUGE_PAGE || GUARDS.load(Ordering::Relaxed) == 0 {
        return None;
    }
    layout.align_to(HUGE_PAGE).ok()
}

/// Asks for huge pages under a piece of memory, and for all of them now. Best effort: where the kernel has none to give, pages of 4 KiB
/// do the same, slower.
fn settle(piece: *mut u8, size: usize) {
    if piece.is_null() {
        return;
    }
    let whole = size & !(HUGE_PAGE - 1);
    // SAFETY: the piece was just allocated with this size at a multiple of the huge page; both calls leave its content as it is.
    unsafe {
        libc::madvise(piece.cast(), whole, libc::MADV_HUGEPAGE);
        libc::madvise(piece.cast(), whole, libc::MADV_POPULATE_WRITE);
    }
}

// SAFETY: every piece is the system allocator's, of the layout asked for or one of the same size and a larger alignment. `System` is
// malloc's family here: what it frees by, `free`, takes any of its pieces whatever its alignment was.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match huge(layout) {
            // SAFETY: of size at least a huge page.
            Some(wide) => unsafe {
                let piece = System.alloc(wide);
                settle(piece, wide.size());
                piece
            },
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match huge(layout) {
            // SAFETY: of size at least a huge page; the bytes written lie within it.
            Some(wide) => unsafe {
                let piece = System.alloc(wide);
                settle(piece, wide.size());
                if !piece.is_null() {
                    piece.write_bytes(0, wide.size());
                }
                piece
            },
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, and what is said above of alignments.
        unsafe { System.dealloc(piece, layout) }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above. What grows while a guard lives grows as it would without.
        unsafe { System.realloc(piece, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(size: usize) -> Layout {
        Layout::from_size_align(size, 16).expect("a layout")
    }

    /// Tests of other threads may hold guards: only what this one sees for sure is asserted.
    #[test]
    fn large_pieces_are_aligned_filled_and_freed() {
        let guard = Guard::new();
        for size in [HUGE_PAGE, HUGE_PAGE + 16, 5 * HUGE_PAGE - 4_096] {
            // SAFETY: allocated, used within its size, and freed by the same allocator.
            unsafe {
                let piece = Memory.alloc_zeroed(bytes(size));
                assert_eq!(piece as usize % HUGE_PAGE, 0);
                assert!(std::slice::from_raw_parts(piece, size).iter().all(|byte| *byte == 0));
                piece.write_bytes(7, size);
                let piece = Memory.realloc(piece, bytes(size), 2 * size);
                assert!(std::slice::from_raw_parts(piece, size).iter().all(|byte| *byte == 7));
                Memory.dealloc(piece, bytes(2 * size));
                let piece = Memory.alloc(bytes(size));
                assert_eq!(piece as usize % HUGE_PAGE, 0);
                piece.write_bytes(9, size);
                Memory.dealloc(piece, bytes(size));
            }
        }
        assert_eq!(huge(bytes(HUGE_PAGE - 1)), None, "small pieces are none of its business");
        drop(guard);
    }
}
