//! `log.archive`: which segments were archived, in order and without a gap, and where the log begins now.
//!
//! A witness of what comes after it: the first segment that is not archived must continue the chain named here. The file is replaced
//! whole, so after a crash the old or the new one is there.

use std::path::{Path, PathBuf};

use crate::archive::entry::{ArchiveEntry, ENTRY_BYTES};
use crate::chain::{Chain, End};
use crate::disk::{Access, Disk};
use crate::error::OpenError;
use crate::limits::{FORMAT_VERSION, MANIFEST_ENTRIES_MAX};
use crate::preparer::Unmade;
use crate::record::{u32_at, u64_at};

const MANIFEST_MAGIC: u64 = u64::from_le_bytes(*b"LOTARCH\x01");
const HEADER_BYTES: usize = 64;
const FLAG_CLOSED: u32 = 1;
const FLAG_IN_GROUP: u32 = 2;
pub(crate) const MANIFEST_NAME: &str = "log.archive";
pub(crate) const MANIFEST_NEW: &str = "log.archive.new";

/// What the log knows of its past beyond the segment files.
///
/// ```text
/// offset  bytes  field
///      0      8  magic            "LOTARCH", 1
///      8      4  format_version
///     12      4  checksum         CRC32C of bytes 16 to the end
///     16      8  log_id
///     24      8  base_address     the log begins here; everything before is gone for good
///     32      8  base_end         just past the last record before
///     40      8  base_sequence    of that record, 0 for none
///     48      4  base_checksum    of that record
///     52      4  base_epoch       of that record
///     56      4  base_flags       bit 0: it closes its epoch; bit 1: a group goes on behind it
///     60      4  entries
///     64  128 n  entries          by address, each beginning where the one before ends
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) log_id: u64,
    pub(crate) base: Base,
    pub(crate) entries: Vec<ArchiveEntry>,
}

/// Where a log begins, and what its first record continues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) address: u64,
    pub(crate) end: End,
    pub(crate) in_group: bool,
}

impl Manifest {
    pub(crate) fn new(log_id: u64) -> Self {
        Self { log_id, base: Base::default(), entries: Vec::new() }
    }

    /// Address behind the last archived segment; of the first one to be archived next.
    pub(crate) fn end(&self) -> u64 {
        self.entries.last().map_or(self.base.address, ArchiveEntry::next_address)
    }

    /// The chain as it stands before the segment at `address`; `None` when the manifest does not reach there.
    pub(crate) fn chain_before(&self, address: u64) -> Option<Chain> {
        if address == self.base.address {
            return Some(match (self.base.end.sequence, address) {
                (0, 0) => Chain::from_start(self.log_id),
                // Its beginning was dropped before there were manifests.
                (0, _) => Chain::on_trust(self.log_id, address),
                _ => Chain::resume(self.log_id, self.base.end, self.base.in_group),
            });
        }
        let index = self.entries.partition_point(|e| e.next_address() < address);
        self.entries.get(index).filter(|e| e.next_address() == address).map(ArchiveEntry::chain)
    }

    /// The entry of the segment at `address`.
    pub(crate) fn entry(&self, address: u64) -> Option<&ArchiveEntry> {
        let index = self.entries.partition_point(|e| e.first_address < address);
        self.entries.get(index).filter(|e| e.first_address == address)
    }

    /// The highest sequence it calls durable.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark_of(|entry| entry.durable_sequence)
    }

    /// As [`Self::watermark`], of what is believed of each entry.
    pub(crate) fn watermark_of(&self, believed: impl Fn(&ArchiveEntry) -> u64) -> u64 {
        // A durable record always stays behind what is dropped.
        let behind_base = if self.base.end.sequence > 0 { self.base.end.sequence + 1 } else { 0 };
        self.entries.iter().map(believed).max().unwrap_or(0).max(behind_base)
    }

    /// The log begins at `address` from now on, behind `chain`.
    pub(crate) fn forget_below(&mut self, address: u64, chain: &Chain) {
        self.entries.retain(|e| e.first_address >= address);
        self.base = Base { address, end: chain.end, in_group: chain.in_group() };
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; HEADER_BYTES];
        let flags =
            if self.base.end.closed { FLAG_CLOSED } else { 0 } | if self.base.in_group { FLAG_IN_GROUP } else { 0 };
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MANIFEST_MAGIC.to_le_bytes());
        put(8, &FORMAT_VERSION.to_le_bytes());
        put(16, &self.log_id.to_le_bytes());
        put(24, &self.base.address.to_le_bytes());
        put(32, &self.base.end.address.to_le_bytes());
        put(40, &self.base.end.sequence.to_le_bytes());
        put(48, &self.base.end.checksum.to_le_bytes());
        put(52, &self.base.end.epoch.to_le_bytes());
        put(56, &flags.to_le_bytes());
        put(60, &(self.entries.len() as u32).to_le_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.encode());
        }
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The reason when these bytes are no manifest.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < HEADER_BYTES {
            return Err("shorter than its header".into());
        }
        if u64_at(bytes, 0) != MANIFEST_MAGIC {
            return Err("not a log's manifest".into());
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(format!("format version {version}, this build knows {FORMAT_VERSION}"));
        }
        if crc32c::crc32c(&bytes[16..]) != u32_at(bytes, 12) {
            return Err("checksum mismatch".into());
        }
        let count = u32_at(bytes, 60) as usize;
        if bytes.len() != HEADER_BYTES + count * ENTRY_BYTES {
            return Err(format!("{} bytes long with {count} entries", bytes.len()));
        }
        let log_id = u64_at(bytes, 16);
        let flags = u32_at(bytes, 56);
        let end = End {
            address: u64_at(bytes, 32),
            sequence: u64_at(bytes, 40),
            checksum: u32_at(bytes, 48),
            epoch: u32_at(bytes, 52),
            closed: flags & FLAG_CLOSED != 0,
        };
        let base = Base { address: u64_at(bytes, 24), end, in_group: flags & FLAG_IN_GROUP != 0 };
        let mut manifest = Self { log_id, base, entries: Vec::with_capacity(count) };
        for bytes in bytes[HEADER_BYTES..].as_chunks::<ENTRY_BYTES>().0 {
            let entry = ArchiveEntry::decode(bytes).ok_or("a damaged entry")?;
            let before = manifest
                .entries
                .last()
                .map_or((base.end.sequence, base.end.checksum), |e| (e.last_sequence, e.last_checksum));
            // A log whose beginning was dropped before there were manifests knows nothing of what came before.
            let unknown = manifest.entries.is_empty() && base.end.sequence == 0 && base.address > 0;
            let chained = unknown || (entry.first_sequence, entry.before_checksum) == (before.0 + 1, before.1);
            if entry.log_id != log_id || entry.first_address != manifest.end() || !chained {
                return Err(format!("the entry of address {:#x} is out of place", entry.first_address));
            }
            manifest.entries.push(entry);
        }
        Ok(manifest)
    }

    /// `None` when there is no such file.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, log_id: u64) -> Result<Option<Self>, OpenError> {
        let path = dir.join(MANIFEST_NAME);
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_missing() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let wrong = |what: String| OpenError::Manifest { path: path.clone(), what };
        let length = file.len()?;
        if length > (HEADER_BYTES + MANIFEST_ENTRIES_MAX * ENTRY_BYTES) as u64 {
            return Err(wrong(format!("{length} bytes long")));
        }
        let mut bytes = vec![0u8; length as usize];
        let read = file.read_at(0, &mut bytes)?;
        let manifest = Self::decode(&bytes[..read]).map_err(wrong)?;
        if manifest.log_id != log_id {
            return Err(wrong(format!("belongs to log {:016x}, this is {log_id:016x}", manifest.log_id)));
        }
        Ok(Some(manifest))
    }

    /// Replaces the file; durable when this returns. Without room for the new one nothing has changed.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), Unmade> {
        let new: PathBuf = dir.join(MANIFEST_NEW);
        let written = disk.open(&new, Access::CreateSmall).and_then(|file| {
            file.write_at(0, &self.encode())?;
            Ok(file)
        });
        let file = written.map_err(|error| {
            // What is half made only takes room.
            let _ = disk.unlink(&new);
            Unmade::before_sync(error)
        })?;
        let named = file.sync_data().and_then(|()| {
            disk.rename(&new, &dir.join(MANIFEST_NAME))?;
            disk.sync_dir(dir)
        });
        named.map_err(Unmade::Failed)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::archive::entry::tests::sample;

    pub(crate) fn two() -> Manifest {
        let first = sample();
        let second = ArchiveEntry {
            first_address: first.next_address(),
            first_sequence: 21,
            last_sequence: 30,
            before_checksum: 11,
            ..first
        };
        let base = Base { address: first.first_address, ..Base::default() };
        Manifest { log_id: first.log_id, base, entries: vec![first, second] }
    }

    #[test]
    fn every_bit_is_guarded() {
        let manifest = two();
        let mut bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_gap_or_a_stranger_is_refused() {
        type Damage = fn(&mut Manifest);
        let cases: [(&str, Damage); 5] = [
            ("a gap", |m| m.entries[1].first_address += 1 << 18),
            ("swapped", |m| m.entries.swap(0, 1)),
            ("another record before", |m| m.entries[1].before_checksum ^= 1),
            ("another sequence", |m| m.entries[1].first_sequence += 1),
            ("of another log", |m| m.entries[1].log_id ^= 1),
        ];
        for (name, break_it) in cases {
            let mut manifest = two();
            break_it(&mut manifest);
            assert!(Manifest::decode(&manifest.encode()).unwrap_err().contains("out of place"), "{name}");
        }
    }

    #[test]
    fn the_chain_before_a_segment_is_the_end_of_the_one_before() {
        let manifest = two();
        let [first, second] = [manifest.entries[0], manifest.entries[1]];
        assert!(manifest.chain_before(first.first_address).is_some());
        let chain = manifest.chain_before(second.first_address).unwrap();
        assert_eq!((chain.end.sequence, chain.end.checksum), (first.last_sequence, first.last_checksum));
        assert!(manifest.chain_before(second.next_address()).is_some());
        assert!(manifest.chain_before(second.next_address() + (1 << 18)).is_none());
        assert_eq!(manifest.watermark(), 33);
    }
}
