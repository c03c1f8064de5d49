//! `log.meta`: the log's identity and the sizes fixed when it was made.

use std::path::{Path, PathBuf};

use crate::disk::{Access, Disk, DiskResult};
use crate::error::OpenError;
use crate::limits::{CHUNK_BYTES, FORMAT_VERSION};
use crate::record::{u32_at, u64_at};

const META_MAGIC: u64 = u64::from_le_bytes(*b"LOTMETA\x01");
/// Bytes of it.
pub(crate) const META_BYTES: usize = 64;
pub(crate) const META_NAME: &str = "log.meta";

/// ```text
/// offset  bytes  field
///      0      8  magic           "LOTMETA", 1
///      8      4  format_version
///     12      4  checksum        CRC32C of bytes 16..64
///     16      8  log_id
///     24      8  segment_bytes
///     32      8  chunk_bytes
///     40      8  created_ns
///     48     16  zero
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) log_id: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) created_ns: u64,
}

impl Meta {
    pub(crate) fn encode(&self) -> [u8; META_BYTES] {
        let mut bytes = [0u8; META_BYTES];
        bytes[0..8].copy_from_slice(&META_MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log_id.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[32..40].copy_from_slice(&(CHUNK_BYTES as u64).to_le_bytes());
        bytes[40..48].copy_from_slice(&self.created_ns.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The reason when these bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() != META_BYTES {
            return Err(format!("{} bytes long, not {META_BYTES}", bytes.len()));
        }
        if u64_at(bytes, 0) != META_MAGIC {
            return Err("not a log's meta file".into());
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(format!("format version {version}, this build knows {FORMAT_VERSION}"));
        }
        if crc32c::crc32c(&bytes[16..]) != u32_at(bytes, 12) {
            return Err("checksum mismatch".into());
        }
        if u64_at(bytes, 32) != CHUNK_BYTES as u64 {
            return Err(format!("chunks of {} bytes, this build has {CHUNK_BYTES}", u64_at(bytes, 32)));
        }
        Ok(Self { log_id: u64_at(bytes, 16), segment_bytes: u64_at(bytes, 24), created_ns: u64_at(bytes, 40) })
    }

    /// `None` when there is no such file.
    pub(crate) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(META_NAME);
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_missing() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut bytes = [0u8; META_BYTES + 1];
        let read = file.read_at(0, &mut bytes)?;
        Self::decode(&bytes[..read]).map(Some).map_err(|what| OpenError::Meta { path, what })
    }

    /// Makes the file appear whole or not at all.
    pub(crate) fn store(&self, disk: &dyn Disk, dir: &Path) -> DiskResult<()> {
        let new: PathBuf = dir.join("log.meta.new");
        let file = disk.open(&new, Access::CreateSmall)?;
        file.write_at(0, &self.encode())?;
        file.sync_data()?;
        disk.rename(&new, &dir.join(META_NAME))?;
        disk.sync_dir(dir)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_guarded() {
        let meta = Meta { log_id: 1, segment_bytes: 1 << 20, created_ns: 2 };
        let mut bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes), Ok(meta));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
