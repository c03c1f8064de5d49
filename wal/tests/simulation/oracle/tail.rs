//! The tail file as the format page draws it, and what it adds to the disk's end.

use std::collections::BTreeMap;

use super::{CHUNK, Chain, Halt, is_zero, u32_at, u64_at};

pub(super) struct Tail<'a> {
    pub(super) log_id: u64,
    pub(super) epoch: u32,
    pub(super) boot_id: [u8; 16],
    pub(super) start: u64,
    pub(super) lost_from: Option<u64>,
    pub(super) published: u64,
    pub(super) chunks: BTreeMap<u64, &'a [u8]>,
}

/// Where in a tail's file the next record would be stored, and how many bytes are left there; `None` when its block is not there.
pub(crate) fn end_in_tail(bytes: &[u8]) -> Option<(u64, u64)> {
    let tail = Tail::read(bytes)?;
    let floor = tail.published - tail.published % CHUNK as u64;
    let chunk = tail.chunks.get(&floor)?;
    let at = chunk.as_ptr() as usize - bytes.as_ptr() as usize + (tail.published - floor) as usize;
    (tail.published > floor).then_some((at as u64, floor + CHUNK as u64 - tail.published))
}

impl<'a> Tail<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let sound = bytes.len() >= 4_096
            && &bytes[0..8] == b"LOTTAIL\x01"
            && u32_at(bytes, 8) == 1
            && crc32c::crc32c(&bytes[16..80]) == u32_at(bytes, 12);
        if !sound {
            return None;
        }
        let blocks = u32_at(bytes, 28) as usize;
        let from = (4_096 + blocks * 16).next_multiple_of(4_096);
        if bytes.len() != from + blocks * CHUNK {
            return None;
        }
        let mut chunks = BTreeMap::new();
        for block in 0..blocks {
            let address = u64_at(bytes, 4_096 + block * 16);
            if address.is_multiple_of(CHUNK as u64) {
                chunks.insert(address, &bytes[from + block * CHUNK..][..CHUNK]);
            }
        }
        let lost = u64_at(bytes, 64);
        Some(Tail {
            log_id: u64_at(bytes, 16),
            epoch: u32_at(bytes, 24),
            boot_id: bytes[32..48].try_into().unwrap(),
            start: u64_at(bytes, 48),
            lost_from: (lost != u64::MAX).then_some(lost),
            published: u64_at(bytes, 128),
            chunks,
        })
    }

    /// Goes on where the disk ends; says what the tail is.
    pub(super) fn join<'d>(
        &self,
        chain: &mut Chain,
        disk: impl Fn(u64) -> Option<&'d [u8]>,
        log_id: u64,
        boot_id: [u8; 16],
    ) -> &'static str {
        if self.log_id != log_id {
            return "Foreign";
        }
        if self.epoch < chain.epoch {
            return "Older";
        }
        let same_epoch = self.epoch == chain.epoch;
        let rebooted = self.boot_id != boot_id;
        if same_epoch && self.published < chain.address {
            return "Stale";
        }
        if same_epoch {
            for (address, tail) in self.chunks.range(..chain.address) {
                let length = (chain.address - address).min(CHUNK as u64) as usize;
                if disk(*address).is_some_and(|bytes| bytes[..length] != tail[..length]) {
                    return if rebooted { "Stale" } else { "Differs" };
                }
            }
        }
        let before = chain.records;
        let skipped = !chain.address.is_multiple_of(CHUNK as u64)
            && !self.chunks.contains_key(&(chain.address - chain.address % CHUNK as u64));
        let halt = self.go_on(chain, same_epoch, disk);
        let took = chain.records > before;
        if self.published == self.start || chain.address >= self.published {
            return match (took, rebooted && same_epoch) {
                (false, false) => "Agrees",
                (false, true) => "Stale",
                (true, false) => "Extends",
                (true, true) => "Damaged",
            };
        }
        match halt {
            Halt::NoBytes if took && !rebooted => "Gap",
            _ if took => "Damaged",
            Halt::NotNext => "Damaged",
            _ if rebooted => "Stale",
            Halt::AnotherRecord if same_epoch && !skipped => "Differs",
            _ => "Gap",
        }
    }

    /// The next record lies where the last one ended, or at the start of the next chunk: an epoch begins there, and a chunk that is full
    /// and durable is no longer in the tail.
    fn go_on<'d>(&self, chain: &mut Chain, same_epoch: bool, disk: impl Fn(u64) -> Option<&'d [u8]>) -> Halt {
        let floor = chain.address - chain.address % CHUNK as u64;
        let within = (chain.address - floor) as usize;
        if within == 0 || (same_epoch && self.chunks.contains_key(&floor)) {
            return chain.walk(|address| self.chunks.get(&address).copied());
        }
        let rest_is_zero = disk(floor).is_some_and(|bytes| is_zero(&bytes[within..]));
        if same_epoch && !rest_is_zero {
            return Halt::NoBytes;
        }
        let zeros = vec![0; CHUNK];
        chain.walk(|address| if address == floor { Some(&zeros) } else { self.chunks.get(&address).copied() })
    }
}
