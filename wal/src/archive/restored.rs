//! `log.restored`: this log was brought back from an archive target, up to here.
//!
//! What the archive's entries call durable behind that went with the disk that was lost: without this mark a start would take it for damage. It
//! stays for good.

use std::path::Path;

use crate::disk::{Access, Disk, DiskResult};
use crate::error::OpenError;
use crate::limits::FORMAT_VERSION;
use crate::record::{u32_at, u64_at};

const RESTORED_MAGIC: u64 = u64::from_le_bytes(*b"LOTBACK\x01");
const RESTORED_BYTES: usize = 64;
pub(crate) const RESTORED_NAME: &str = "log.restored";

/// ```text
/// offset  bytes  field
///      0      8  magic           "LOTBACK", 1
///      8      4  format_version
///     12      4  checksum        CRC32C of bytes 16..64
///     16      8  log_id
///     24      8  sequence        the last one that came back
///     32      4  epoch           of who shipped last: openings before the restore had this one at most
///     36      4  zero
///     40      8  restored_ns     wall clock
///     48     16  zero
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RestoredMark {
    pub(crate) log_id: u64,
    pub(crate) sequence: u64,
    pub(crate) epoch: u32,
    pub(crate) restored_ns: u64,
}

impl RestoredMark {
    fn encode(&self) -> [u8; RESTORED_BYTES] {
        let mut bytes = [0u8; RESTORED_BYTES];
        bytes[0..8].copy_from_slice(&RESTORED_MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.restored_ns.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let sound = bytes.len() == RESTORED_BYTES
            && u64_at(bytes, 0) == RESTORED_MAGIC
            && u32_at(bytes, 8) == FORMAT_VERSION
            && u32_at(bytes, 12) == crc32c::crc32c(&bytes[16..]);
        let (log_id, sequence) = sound.then(|| (u64_at(bytes, 16), u64_at(bytes, 24)))?;
        Some(Self { log_id, sequence, epoch: u32_at(bytes, 32), restored_ns: u64_at(bytes, 40) })
    }

    /// `None` when there is no such file.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path, log_id: u64) -> Result<Option<Self>, OpenError> {
        let path = dir.join(RESTORED_NAME);
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_missing() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut bytes = [0u8; RESTORED_BYTES + 1];
        let read = file.read_at(0, &mut bytes)?;
        match Self::decode(&bytes[..read]) {
            Some(mark) if mark.log_id == log_id => Ok(Some(mark)),
            Some(mark) => Err(OpenError::Meta { path, what: format!("belongs to log {:016x}", mark.log_id) }),
            None => Err(OpenError::Meta { path, what: "damaged".into() }),
        }
    }

    /// Written before there is a log: the file that makes the directory one comes last.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> DiskResult<()> {
        let file = disk.open(&dir.join(RESTORED_NAME), Access::CreateSmall)?;
        file.write_at(0, &self.encode())?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_guarded() {
        let mark = RestoredMark { log_id: 1, sequence: 2, epoch: 3, restored_ns: 4 };
        let mut bytes = mark.encode();
        assert_eq!(RestoredMark::decode(&bytes), Some(mark));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RestoredMark::decode(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
