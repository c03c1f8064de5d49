//! Asking for a cache line before it is stored into.
//!
//! The log thread reads each block of the tail on another core, so when the block is used again its lines must be fetched back from there:
//! about seven nanoseconds a line when many are on their way, a hundred for one alone. Asked for some kilobytes ahead, they are there when the
//! record comes. A hint changes nothing but time, so any address is allowed.

/// Asks for the cache line at `at`, to be written.
#[inline(always)]
pub(crate) fn for_store(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: `prefetchw` reads and writes nothing and faults on no address; where a 64-bit processor lacks it, it does nothing.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}

/// The lines of `bytes` bytes that begin in `block` at `offset`, as far as they lie within it.
#[inline(always)]
pub(crate) fn lines_for_store(block: *const u8, offset: usize, bytes: usize, block_bytes: usize) {
    let mut at = offset.next_multiple_of(LINE_BYTES);
    let end = (offset + bytes).min(block_bytes);
    while at < end {
        for_store(block.wrapping_add(at));
        at += LINE_BYTES;
    }
}

/// A cache line of every processor that this runs on; a smaller one would only be asked for twice.
const LINE_BYTES: usize = 64;
