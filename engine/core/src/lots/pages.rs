//! Who owns which slot: pages of 64 slots, handed out in aligned runs of a power of two.
//!
//! A page knows its free slots as one 64-bit mask, so neighbours that come back are one run again at
//! once. Pages are listed by their largest free run: taking and giving back never search.

use alloc::vec::Vec;

/// Slots of a page: the largest run.
pub(super) const PAGE_SLOTS: usize = 64;
/// Runs have `1 << class` slots.
pub(super) const CLASS_MAX: usize = PAGE_SLOTS.ilog2() as usize;

const NIL: u32 = u32::MAX;
const UNLISTED: u8 = u8::MAX;

#[derive(Clone, Copy, Debug)]
struct Page {
    free: u64,
    next: u32,
    previous: u32,
    /// Class of the largest free run; the list that the page is in.
    list: u8,
}

/// The pages of an arena.
#[derive(Debug)]
pub(super) struct Pages {
    pages: Vec<Page>,
    heads: [u32; CLASS_MAX + 1],
    taken: usize,
}

/// First slots of the free runs of a class.
#[inline]
fn runs(free: u64, class: usize) -> u64 {
    const STARTS: [u64; CLASS_MAX + 1] = [
        u64::MAX,
        0x5555_5555_5555_5555,
        0x1111_1111_1111_1111,
        0x0101_0101_0101_0101,
        0x0001_0001_0001_0001,
        0x0000_0001_0000_0001,
        1,
    ];
    let mut found = free;
    for half in 0..class {
        found &= found >> (1 << half);
    }
    found & STARTS[class]
}

fn largest_run(free: u64) -> u8 {
    (0..=CLASS_MAX).rev().find(|&class| runs(free, class) != 0).map_or(UNLISTED, |class| class as u8)
}

#[inline]
fn run_mask(class: usize) -> u64 {
    u64::MAX >> (PAGE_SLOTS - (1 << class))
}

impl Pages {
    /// Room for `slots` slots, whole pages of them.
    pub(super) fn new(slots: usize) -> Self {
        assert!(slots.is_multiple_of(PAGE_SLOTS));
        Self { pages: Vec::with_capacity(slots / PAGE_SLOTS), heads: [NIL; CLASS_MAX + 1], taken: 0 }
    }

    /// Slots that are handed out.
    #[inline]
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Slots of all pages that were ever used.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.pages.len() * PAGE_SLOTS
    }

    /// Whether a run of this class is to be had.
    #[inline]
    pub(super) fn can_take(&self, class: usize) -> bool {
        self.pages.len() < self.pages.capacity() || self.heads[class..].iter().any(|&head| head != NIL)
    }

    /// Whether so many single slots are to be had.
    pub(super) fn can_take_singles(&self, count: usize) -> bool {
        self.taken + count <= self.pages.capacity() * PAGE_SLOTS
    }

    /// Takes a run: of the page with the smallest run that holds it. [`Self::can_take`] was asked.
    #[inline]
    pub(super) fn take(&mut self, class: usize) -> u32 {
        let listed = self.heads[class..].iter().copied().find(|&head| head != NIL);
        let page = listed.unwrap_or_else(|| self.fresh());
        let start = runs(self.pages[page as usize].free, class).trailing_zeros();
        self.pages[page as usize].free &= !(run_mask(class) << start);
        self.taken += 1 << class;
        self.relist(page);
        page * PAGE_SLOTS as u32 + start
    }

    /// Gives a run back, also one that was taken as a part of a larger one.
    #[inline]
    pub(super) fn give(&mut self, start: u32, class: usize) {
        let (page, offset) = (start / PAGE_SLOTS as u32, start % PAGE_SLOTS as u32);
        let mask = run_mask(class) << offset;
        let free = &mut self.pages[page as usize].free;
        assert!(*free & mask == 0, "a slot is given back once");
        *free |= mask;
        self.taken -= 1 << class;
        self.relist(page);
    }

    #[cold]
    fn fresh(&mut self) -> u32 {
        assert!(self.pages.len() < self.pages.capacity(), "can_take was asked first");
        let page = self.pages.len() as u32;
        self.pages.push(Page { free: u64::MAX, next: NIL, previous: NIL, list: UNLISTED });
        page
    }

    #[inline]
    fn relist(&mut self, page: u32) {
        let Page { free, next, previous, list } = self.pages[page as usize];
        let wanted = largest_run(free);
        if wanted == list {
            return;
        }
        if list != UNLISTED {
            match previous {
                NIL => self.heads[usize::from(list)] = next,
                previous => self.pages[previous as usize].next = next,
            }
            if next != NIL {
                self.pages[next as usize].previous = previous;
            }
        }
        let mut entry = Page { free, next: NIL, previous: NIL, list: wanted };
        if wanted != UNLISTED {
            entry.next = self.heads[usize::from(wanted)];
            if entry.next != NIL {
                self.pages[entry.next as usize].previous = page;
            }
            self.heads[usize::from(wanted)] = page;
        }
        self.pages[page as usize] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seeded walk beside a plain list of who owns what.
    #[test]
    fn runs_never_overlap_and_come_back_whole() {
        let mut pages = Pages::new(PAGE_SLOTS * 40);
        let mut held: Vec<(u32, usize)> = Vec::new();
        let mut owned = alloc::vec![false; PAGE_SLOTS * 40];
        let mut state = 3u64;
        for step in 0..40_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let class = (state >> 40) as usize % (CLASS_MAX + 1);
            if state >> 63 == 0 && pages.can_take(class) {
                let start = pages.take(class);
                assert!((start as usize).is_multiple_of(1 << class), "step {step}: aligned");
                for slot in &mut owned[start as usize..start as usize + (1 << class)] {
                    assert!(!core::mem::replace(slot, true), "step {step}: taken twice");
                }
                held.push((start, class));
            } else if !held.is_empty() {
                let (start, class) = held.swap_remove((state >> 32) as usize % held.len());
                owned[start as usize..start as usize + (1 << class)].fill(false);
                if class > 0 && state & 1 == 1 {
                    // In two halves, as a block is that became single lots.
                    pages.give(start, class - 1);
                    pages.give(start + (1 << (class - 1)), class - 1);
                } else {
                    pages.give(start, class);
                }
            }
            assert_eq!(pages.taken(), owned.iter().filter(|&&is| is).count(), "step {step}");
        }
        for (start, class) in held.drain(..) {
            pages.give(start, class);
        }
        assert_eq!(pages.taken(), 0);
        for _ in 0..40 {
            assert!(pages.can_take(CLASS_MAX), "all of it is one run again, page by page");
            pages.take(CLASS_MAX);
        }
        assert!(!pages.can_take(0));
    }
}
