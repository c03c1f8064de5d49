//! Where a log begins once retention has dropped its first segments: `log.archive`, read a second time from the format page.

use std::path::Path;

use lotbook_wal::sim::Hand;

/// What comes before the first record that is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Base {
    /// The first segment's address.
    pub(crate) address: u64,
    /// Just past the last record before it.
    pub(crate) end: u64,
    pub(crate) sequence: u64,
    pub(crate) checksum: u32,
    pub(crate) epoch: u32,
    pub(crate) closed: bool,
    pub(crate) in_group: bool,
}

/// `None` where there is no such file; an error where it is not whole. The simulation archives nothing, so there are no entries.
pub(crate) fn read(hand: &Hand<'_>, dir: &Path, log_id: u64) -> Result<Option<Base>, String> {
    let Some(bytes) = hand.read(&dir.join("log.archive")) else { return Ok(None) };
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let sound = bytes.len() == 64
        && &bytes[0..8] == b"LOTARCH\x01"
        && u32_at(8) == 1
        && crc32c::crc32c(&bytes[16..]) == u32_at(12)
        && u64_at(16) == log_id
        && u32_at(60) == 0;
    if !sound {
        return Err("manifest".into());
    }
    Ok(Some(Base {
        address: u64_at(24),
        end: u64_at(32),
        sequence: u64_at(40),
        checksum: u32_at(48),
        epoch: u32_at(52),
        closed: u32_at(56) & 1 != 0,
        in_group: u32_at(56) & 2 != 0,
    }))
}
