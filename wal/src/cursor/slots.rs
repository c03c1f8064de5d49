//! The file of a cursor: two slots written in turn, so that a torn write leaves the position before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cursor::position::{CursorClass, LogPosition};
use crate::disk::{Access, Disk, DiskFile, DiskResult};
use crate::record::{u32_at, u64_at};

const CURSOR_MAGIC: u32 = u32::from_le_bytes(*b"LCUR");
/// Slots lie in blocks of their own.
pub(crate) const CURSOR_SLOT_BYTES: usize = 4_096;
const CLASS_REQUIRED: u32 = 1;
const CLASS_REBUILDABLE: u32 = 2;
const FLAG_RELEASED: u32 = 1;
pub(crate) const CURSORS_DIR: &str = "cursors";
const SUFFIX: &str = ".cursor";

/// What a slot says.
///
/// ```text
/// offset  bytes  field
///      0      4  magic             "LCUR"
///      4      4  checksum          CRC32C of bytes 8..4096
///      8      8  log_id
///     16      8  generation        rises with every slot written
///     24      8  sequence          of the last record taken; 0: none
///     32      8  address           of that record
///     40      4  epoch             of that record
///     44      4  record_checksum   of that record
///     48      4  class             1: required; 2: rebuildable
///     52      4  flags             bit 0: released
///     56      8  written_ns        wall clock
///     64      .  zeros to 4096
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CursorSlot {
    pub(crate) position: LogPosition,
    pub(crate) address: u64,
    pub(crate) class: CursorClass,
    pub(crate) released: bool,
    pub(crate) written_ns: u64,
    pub(crate) generation: u64,
}

impl CursorSlot {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; CURSOR_SLOT_BYTES];
        let class = match self.class {
            CursorClass::Required => CLASS_REQUIRED,
            CursorClass::Rebuildable => CLASS_REBUILDABLE,
        };
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &CURSOR_MAGIC.to_le_bytes());
        put(8, &self.position.log_id.to_le_bytes());
        put(16, &self.generation.to_le_bytes());
        put(24, &self.position.sequence.to_le_bytes());
        put(32, &self.address.to_le_bytes());
        put(40, &self.position.epoch.to_le_bytes());
        put(44, &self.position.checksum.to_le_bytes());
        put(48, &class.to_le_bytes());
        put(52, &(if self.released { FLAG_RELEASED } else { 0 }).to_le_bytes());
        put(56, &self.written_ns.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let class = match u32_at(bytes, 48) {
            CLASS_REQUIRED => CursorClass::Required,
            CLASS_REBUILDABLE => CursorClass::Rebuildable,
            _ => return None,
        };
        let sound = u32_at(bytes, 0) == CURSOR_MAGIC && u32_at(bytes, 4) == crc32c::crc32c(&bytes[8..]);
        sound.then(|| Self {
            position: LogPosition {
                log_id: u64_at(bytes, 8),
                epoch: u32_at(bytes, 40),
                sequence: u64_at(bytes, 24),
                checksum: u32_at(bytes, 44),
            },
            address: u64_at(bytes, 32),
            class,
            released: u32_at(bytes, 52) & FLAG_RELEASED != 0,
            written_ns: u64_at(bytes, 56),
            generation: u64_at(bytes, 16),
        })
    }
}

/// What a file holds: the slot written last, `None` where neither is whole.
pub(crate) fn read_slots(file: &dyn DiskFile) -> DiskResult<Option<CursorSlot>> {
    let mut bytes = vec![0u8; 2 * CURSOR_SLOT_BYTES];
    // What the file does not have reads as zeros, which are no slot.
    file.read_at(0, &mut bytes)?;
    Ok(bytes.chunks(CURSOR_SLOT_BYTES).filter_map(CursorSlot::decode).max_by_key(|slot| slot.generation))
}

/// The file, open for the one who moves the cursor.
#[derive(Debug)]
pub(crate) struct CursorFile {
    file: Arc<dyn DiskFile>,
    generation: u64,
}

impl CursorFile {
    /// Opens the file, or makes it with that slot in it: whole or not at all.
    pub(crate) fn open_or_create(
        disk: &dyn Disk,
        dir: &Path,
        name: &str,
        fresh: CursorSlot,
    ) -> DiskResult<(Self, Option<CursorSlot>)> {
        let folder = dir.join(CURSORS_DIR);
        let path = cursor_path(dir, name);
        match disk.open(&path, Access::Read) {
            Ok(_) => {}
            Err(e) if e.is_missing() => {
                disk.create_dir(&folder)?;
                // Also when it is there: who made it may have been killed before its name was durable.
                disk.sync_dir(dir)?;
                let new = path.with_extension("cursor.new");
                let file = disk.open(&new, Access::CreateSmall)?;
                let mut bytes = CursorSlot { generation: 1, ..fresh }.encode();
                bytes.resize(2 * CURSOR_SLOT_BYTES, 0);
                file.write_at(0, &bytes)?;
                file.sync_data()?;
                disk.rename(&new, &path)?;
                disk.sync_dir(&folder)?;
            }
            Err(e) => return Err(e),
        }
        let file = disk.open(&path, Access::Update)?;
        let found = read_slots(&*file)?;
        Ok((Self { file, generation: found.map_or(0, |slot| slot.generation) }, found))
    }

    /// Writes the slot that does not hold the newest one; durable when this returns.
    pub(crate) fn store(&mut self, slot: CursorSlot) -> DiskResult<()> {
        let generation = self.generation + 1;
        // Generation 1 lies in the first slot.
        let at = if generation.is_multiple_of(2) { CURSOR_SLOT_BYTES as u64 } else { 0 };
        self.file.write_at(at, &CursorSlot { generation, ..slot }.encode())?;
        self.file.sync_data()?;
        self.generation = generation;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// `cursors/<name>.cursor`.
pub(crate) fn cursor_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(CURSORS_DIR).join(format!("{name}{SUFFIX}"))
}

/// All cursors of a log by name; `None` for one that is damaged. Half-made ones are left out.
pub(crate) fn load_cursors(disk: &dyn Disk, dir: &Path) -> DiskResult<Vec<(String, Option<CursorSlot>)>> {
    let folder = dir.join(CURSORS_DIR);
    let mut names = match disk.list(&folder) {
        Ok(names) => names,
        Err(e) if e.is_missing() => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    names.sort();
    let mut cursors = Vec::new();
    for name in names.iter().filter_map(|n| n.strip_suffix(SUFFIX)) {
        match disk.open(&cursor_path(dir, name), Access::Read) {
            Ok(file) => cursors.push((name.to_string(), read_slots(&*file)?)),
            // Removed while it was listed.
            Err(e) if e.is_missing() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(cursors)
}

/// The rule of names, see [`CursorError::Name`](crate::CursorError::Name).
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
        && name.bytes().next().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real_disk::RealDisk;

    fn sample(sequence: u64) -> CursorSlot {
        CursorSlot {
            position: LogPosition { log_id: 1, epoch: 2, sequence, checksum: 3 },
            address: 4,
            class: CursorClass::Rebuildable,
            released: true,
            written_ns: 5,
            generation: 6,
        }
    }

    #[test]
    fn every_bit_is_guarded() {
        let slot = sample(9);
        let mut bytes = slot.encode();
        assert_eq!(CursorSlot::decode(&bytes), Some(slot));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(CursorSlot::decode(&bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// A write torn at any sector leaves the position before it or the new one, never neither.
    #[test]
    fn a_torn_write_leaves_the_position_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::read_only();
        let (mut file, found) = CursorFile::open_or_create(&disk, dir.path(), "a", sample(1)).unwrap();
        assert_eq!(found.unwrap().position.sequence, 1);
        for sequence in 2..6 {
            let before = std::fs::read(file.path()).unwrap();
            file.store(sample(sequence)).unwrap();
            let after = std::fs::read(file.path()).unwrap();
            for cut in (0..=before.len()).step_by(512) {
                for (head, tail) in [(&before, &after), (&after, &before)] {
                    let mut torn = head[..cut].to_vec();
                    torn.extend_from_slice(&tail[cut..]);
                    std::fs::write(file.path(), &torn).unwrap();
                    let (_, found) = CursorFile::open_or_create(&disk, dir.path(), "a", sample(1)).unwrap();
                    let found = found.expect("one slot is whole").position.sequence;
                    assert!(found == sequence || found == sequence - 1, "{found} of {sequence}, cut at {cut}");
                }
            }
            std::fs::write(file.path(), &after).unwrap();
        }
    }

    #[test]
    fn names_stay_file_names() {
        for (name, good) in [
            ("checkpoint", true),
            ("sink.pg-1_a", true),
            ("", false),
            (".hidden", false),
            ("a/b", false),
            ("A", false),
            ("..", false),
            (&"x".repeat(64), false),
        ] {
            assert_eq!(is_name(name), good, "{name:?}");
        }
    }
}
