//! One simulated file: what the system sees of it, what would survive a power cut, and the writes between the two.

use std::sync::Arc;

use super::{Cut, Random, SECTOR_BYTES, flush};
use crate::aligned::{AlignedBuffer, all_zero};

const PAGE_BYTES: usize = 4_096;

/// Bytes in pages; a page that is not there is zeros. Copies share pages until one is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
    len: u64,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.len = len;
        self.pages.resize(len.div_ceil(PAGE_BYTES as u64) as usize, None);
        let rest = (len % PAGE_BYTES as u64) as usize;
        if rest > 0
            && let Some(Some(page)) = self.pages.last_mut()
        {
            Arc::make_mut(page)[rest..].fill(0);
        }
    }

    /// Extends the file where it has to.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if end > self.len {
            self.set_len(end);
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset as usize + done;
            let (page, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let part = (PAGE_BYTES - within).min(bytes.len() - done);
            let from = &bytes[done..done + part];
            let slot = &mut self.pages[page];
            if part == PAGE_BYTES && all_zero(from) {
                *slot = None;
            } else if slot.is_some() || !all_zero(from) {
                let page = slot.get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
                Arc::make_mut(page)[within..within + part].copy_from_slice(from);
            }
            done += part;
        }
    }

    /// Bytes up to the end of the file; returns how many.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let length = (self.len.saturating_sub(offset)).min(out.len() as u64) as usize;
        let mut done = 0;
        while done < length {
            let at = offset as usize + done;
            let (page, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let part = (PAGE_BYTES - within).min(length - done);
            match &self.pages[page] {
                Some(bytes) => out[done..done + part].copy_from_slice(&bytes[within..within + part]),
                None => out[done..done + part].fill(0),
            }
            done += part;
        }
        length
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// True when both hold the same bytes.
    pub(super) fn same(&self, other: &Self) -> bool {
        let equal = |a: &Option<Arc<[u8; PAGE_BYTES]>>, b: &Option<Arc<[u8; PAGE_BYTES]>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (Some(a), None) | (None, Some(a)) => all_zero(&a[..]),
            (None, None) => true,
        };
        self.len == other.len && self.pages.iter().zip(&other.pages).all(|(a, b)| equal(a, b))
    }
}

/// What was done to a file since it was last synced.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Zeros { offset: u64, length: usize },
    Length(u64),
}

impl Change {
    pub(super) fn write(offset: u64, bytes: &[u8]) -> Self {
        if bytes.len() >= PAGE_BYTES && all_zero(bytes) {
            Change::Zeros { offset, length: bytes.len() }
        } else {
            Change::Write { offset, bytes: Arc::from(bytes) }
        }
    }

    fn span(&self) -> (u64, usize) {
        match self {
            Change::Write { offset, bytes } => (*offset, bytes.len()),
            Change::Zeros { offset, length } => (*offset, *length),
            Change::Length(_) => (0, 0),
        }
    }

    fn sectors(&self) -> u64 {
        let (offset, length) = self.span();
        let sector = SECTOR_BYTES as u64;
        (offset + length as u64).div_ceil(sector) - offset / sector
    }

    /// All of it.
    fn apply(&self, image: &mut Image) {
        match self {
            Change::Write { offset, bytes } => image.write(*offset, bytes),
            Change::Zeros { offset, length } => image.write(*offset, &vec![0; *length]),
            Change::Length(len) => image.set_len(*len),
        }
    }

    /// The sectors that `keep` says, at `shift` bytes from where they should be.
    fn apply_sectors(&self, image: &mut Image, shift: i64, mut keep: impl FnMut(u64) -> bool) {
        let (offset, length) = self.span();
        let zeros;
        let bytes: &[u8] = match self {
            Change::Write { bytes, .. } => bytes,
            Change::Zeros { .. } => {
                zeros = vec![0; length];
                &zeros
            }
            Change::Length(_) => return self.apply(image),
        };
        let sector = SECTOR_BYTES as u64;
        let mut at = offset;
        let end = offset + length as u64;
        let mut number = 0;
        while at < end {
            let next = ((at / sector + 1) * sector).min(end);
            if keep(number) {
                let part = &bytes[(at - offset) as usize..(next - offset) as usize];
                image.write(at.saturating_add_signed(shift), part);
            }
            number += 1;
            at = next;
        }
    }
}

/// A change, and which flush of the log it belongs to; 0: to none.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    flush: u64,
    pub(super) change: Change,
}

/// A file on the disk.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What a read through the page cache shows.
    pub(super) seen: Image,
    /// What is there after a power cut for certain.
    pub(super) durable: Image,
    /// What lies between: on its way, in order of the calls.
    pub(super) changes: Vec<Pending>,
    /// How many syncs have failed, and the reason of the last one: every open file is told once.
    pub(super) failures: (u64, i32),
    /// A failed sync has left bytes in the page cache that are on no disk and on no way to it.
    pub(super) dropped: bool,
    /// Set when the file is memory.
    pub(super) memory: Option<Memory>,
}

impl File {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(Pending { flush: flush::current(), change });
    }

    /// Some sectors of a write, in place of all: it was cut short.
    pub(super) fn change_partly(&mut self, offset: u64, bytes: &[u8], random: &mut Random) {
        let mut from = offset;
        let end = offset + bytes.len() as u64;
        let style = random.below(4);
        let keep_until = random.below(end - offset + 1);
        while from < end {
            let to = ((from / SECTOR_BYTES as u64 + 1) * SECTOR_BYTES as u64).min(end);
            let keep = match style {
                0 => false,
                1 => true,
                2 => from - offset < keep_until,
                _ => random.percent(50),
            };
            if keep {
                self.change(Change::write(from, &bytes[(from - offset) as usize..(to - offset) as usize]));
            }
            from = to;
        }
    }

    /// What a read past the page cache shows.
    pub(super) fn device(&self) -> Image {
        let mut image = self.durable.clone();
        self.changes.iter().for_each(|pending| pending.change.apply(&mut image));
        image
    }

    /// A sync covers what had been written when it began. One of a flush of the log answers for that flush alone: of what other flushes
    /// have on their way it may take some along, and leave the rest.
    pub(super) fn sync(&mut self, random: &mut Random) {
        let flush = flush::current();
        for pending in std::mem::take(&mut self.changes) {
            let others = flush != 0 && pending.flush != 0 && pending.flush != flush;
            if others && random.percent(50) {
                self.changes.push(pending);
            } else {
                pending.change.apply(&mut self.durable);
            }
        }
    }

    /// A failed sync: either the changes stay on their way, or some arrive and the rest is forgotten while the page cache goes on
    /// showing it.
    pub(super) fn fail_sync(&mut self, errno: i32, random: &mut Random) {
        self.failures = (self.failures.0 + 1, errno);
        if random.percent(40) {
            return;
        }
        for Pending { change, .. } in std::mem::take(&mut self.changes) {
            let style = random.below(3);
            change.apply_sectors(&mut self.durable, 0, |_| match style {
                0 => false,
                1 => true,
                _ => random.percent(50),
            });
        }
        self.dropped = true;
    }

    /// The power goes: what was on its way arrives or does not, sector by sector.
    pub(super) fn cut(&mut self, cut: Cut, random: &mut Random) {
        let changes = std::mem::take(&mut self.changes);
        let last = changes.len();
        let kept_until = random.below(last as u64 + 1) as usize;
        let chance = random.pick(&[10, 50, 90]);
        for (number, Pending { change, .. }) in changes.into_iter().enumerate() {
            match cut {
                Cut::Nothing => {}
                Cut::Everything => change.apply(&mut self.durable),
                Cut::InOrder if number < kept_until => change.apply(&mut self.durable),
                Cut::InOrder if number == kept_until => {
                    let sectors = random.below(change.sectors() + 1);
                    change.apply_sectors(&mut self.durable, 0, |n| n < sectors);
                }
                Cut::InOrder => {}
                Cut::Reversed if number >= kept_until => change.apply(&mut self.durable),
                Cut::Reversed => {}
                Cut::Torn => {
                    // Half the writes whole or gone, half of them sector by sector.
                    let style = random.below(4);
                    let keeps_length = random.percent(50);
                    if matches!(change, Change::Length(_)) && !keeps_length {
                        continue;
                    }
                    change.apply_sectors(&mut self.durable, 0, |_| match style {
                        0 => true,
                        1 => false,
                        _ => random.percent(chance),
                    });
                }
            }
        }
        self.seen = self.durable.clone();
        self.dropped = false;
    }

    /// One of the writes on their way arrives at another place: its offset, its length, and where it went; `None` when there was none.
    pub(super) fn misplace(&mut self, random: &mut Random) -> Option<(u64, usize, u64)> {
        let writes: Vec<usize> =
            (0..self.changes.len()).filter(|n| !matches!(self.changes[*n].change, Change::Length(_))).collect();
        if writes.is_empty() {
            return None;
        }
        let Pending { change, .. } = self.changes.remove(random.pick(&writes));
        let (offset, length) = change.span();
        let blocks = self.durable.len().saturating_sub(length as u64) / PAGE_BYTES as u64;
        let target = random.below(blocks + 1) * PAGE_BYTES as u64;
        let before = self.durable.len();
        change.apply_sectors(&mut self.durable, target as i64 - offset as i64, |_| true);
        self.durable.set_len(before);
        Some((offset, length, target))
    }
}

/// Memory with a name, as a mapped file has it.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    bytes: Arc<AlignedBuffer>,
    pub(super) len: usize,
}

impl Memory {
    pub(super) fn new(len: usize) -> Self {
        Self { bytes: Arc::new(AlignedBuffer::new(len)), len }
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.bytes.start()
    }

    pub(super) fn owner(&self) -> Arc<AlignedBuffer> {
        Arc::clone(&self.bytes)
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let length = (self.len as u64).saturating_sub(offset).min(out.len() as u64) as usize;
        // SAFETY: within the buffer; whoever stores into it does so on this thread, not during this copy.
        unsafe { std::ptr::copy_nonoverlapping(self.start().add(offset as usize), out.as_mut_ptr(), length) };
        length
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        assert!(offset as usize + bytes.len() <= self.len);
        // SAFETY: within the buffer by the assertion; on this thread, as above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start().add(offset as usize), bytes.len()) };
    }

    /// The same bytes, out of reach of whoever mapped the old ones.
    pub(super) fn detached(&self) -> Self {
        let copy = Self::new(self.len);
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        copy.write(0, &bytes);
        copy
    }
}
