//! Joining what the disk holds with what a tail file from before holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::aligned::all_zero;
use crate::chain::{Chain, Walk};
use crate::damage::What;
use crate::disk::{Access, Disk, DiskResult};
use crate::limits::{CHUNK_BYTES, FORMAT_VERSION, NO_ADDRESS, chunk_ceil, chunk_floor};
use crate::planted::{self, Bug};
use crate::record::{u32_at, u64_at};
use crate::recovery::TailFound;
use crate::scan::Stream;
use crate::tail::{
    DIRECTORY_OFFSET, ENTRY_BYTES, IDENTITY_BYTES, PUBLISHED_ADDRESS_OFFSET, TAIL_MAGIC, TailIdentity, blocks_offset,
    tail_bytes,
};

/// A tail file as read.
#[derive(Debug)]
pub(crate) enum TailFile {
    /// None.
    Missing,
    /// Not usable, and why.
    Unreadable(String),
    /// Its contents.
    Image(TailImage),
}

/// The contents of a tail file.
#[derive(Debug)]
pub(crate) struct TailImage {
    pub(crate) path: PathBuf,
    pub(crate) identity: TailIdentity,
    /// The cursor. Its companion, the published sequence, may be one record behind it and is not needed.
    pub(crate) published_address: u64,
    bytes: Vec<u8>,
    /// Chunk address to offset in `bytes`.
    blocks: BTreeMap<u64, usize>,
}

impl TailFile {
    /// Reads the file whole. Of a live log that is a picture with blurred edges; checksums and the chain tell what is sharp.
    pub(crate) fn load(disk: &dyn Disk, path: &Path) -> DiskResult<Self> {
        let file = match disk.open(path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.is_missing() => return Ok(TailFile::Missing),
            Err(e) => return Err(e),
        };
        let mut bytes = vec![0; file.len()? as usize];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(match TailImage::decode(path, bytes) {
            Ok(image) => TailFile::Image(image),
            Err(reason) => TailFile::Unreadable(reason),
        })
    }
}

impl TailImage {
    fn decode(path: &Path, bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.len() < DIRECTORY_OFFSET {
            return Err(format!("only {} bytes long", bytes.len()));
        }
        if u64_at(&bytes, 0) != TAIL_MAGIC || u32_at(&bytes, 8) != FORMAT_VERSION {
            return Err("not a tail file of this version".into());
        }
        if crc32c::crc32c(&bytes[16..IDENTITY_BYTES]) != u32_at(&bytes, 12) {
            return Err("first page damaged".into());
        }
        let lost = u64_at(&bytes, 64);
        let identity = TailIdentity {
            log_id: u64_at(&bytes, 16),
            epoch: u32_at(&bytes, 24),
            block_count: u32_at(&bytes, 28),
            boot_id: bytes[32..48].try_into().expect("sixteen bytes"),
            start_address: u64_at(&bytes, 48),
            start_sequence: u64_at(&bytes, 56),
            lost_from_sequence: (lost != u64::MAX).then_some(lost),
        };
        let wanted = tail_bytes(identity.block_count);
        if bytes.len() != wanted {
            return Err(format!("{} bytes long, not {wanted}", bytes.len()));
        }
        let mut blocks = BTreeMap::new();
        for block in 0..identity.block_count as usize {
            let address = u64_at(&bytes, DIRECTORY_OFFSET + block * ENTRY_BYTES);
            if address != NO_ADDRESS && address.is_multiple_of(CHUNK_BYTES as u64) {
                let offset = blocks_offset(identity.block_count) + block * CHUNK_BYTES;
                blocks.insert(address, offset);
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            identity,
            published_address: u64_at(&bytes, PUBLISHED_ADDRESS_OFFSET),
            bytes,
            blocks,
        })
    }

    /// The block of that chunk.
    pub(crate) fn chunk(&self, address: u64) -> Option<&[u8]> {
        self.blocks.get(&address).map(|&at| &self.bytes[at..at + CHUNK_BYTES])
    }
}

/// The result of joining.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) found: TailFound,
    /// At the last whole record of disk and tail together.
    pub(crate) chain: Chain,
    /// Records taken from the tail.
    pub(crate) records: u64,
    /// Where disk and tail differ, or where the gap begins.
    pub(crate) at: u64,
}

/// Continues `chain`, which ends where the disk does, with the blocks of the tail.
pub(crate) fn join(
    image: &TailImage,
    chain: &Chain,
    stream: &mut Stream<'_>,
    log_id: u64,
    boot_id: &[u8; 16],
) -> DiskResult<Joined> {
    let end = chain.end;
    let kept = |found| Joined { found, chain: chain.clone(), records: 0, at: end.address };
    let identity = &image.identity;
    if identity.log_id != log_id {
        return Ok(kept(TailFound::Foreign));
    }
    if identity.epoch < end.epoch {
        return Ok(kept(TailFound::Older));
    }
    let same_epoch = identity.epoch == end.epoch;
    // After a reboot the file is what happened to be written back: its whole records still verify, its absences prove nothing.
    let rebooted = identity.boot_id != *boot_id;
    if same_epoch && image.published_address < end.address {
        return Ok(kept(TailFound::Stale));
    }
    if same_epoch
        && !planted::is(Bug::OverlapNotCompared)
        && let Some(at) = first_difference(image, end.address, stream)?
    {
        let found = if rebooted { TailFound::Stale } else { TailFound::Differs };
        return Ok(Joined { at, ..kept(found) });
    }
    let mut joined = kept(TailFound::Agrees);
    let from = if same_epoch { next_chunk(image, end.address, stream)? } else { chunk_ceil(end.address) };
    // A block that was given back was durable: what does not go on behind it is missing on disk.
    let same_chunk = from == chunk_floor(end.address);
    let stop = extend(image, &mut joined, from);
    // Nothing published yet: the cursor stands where the epoch was to begin.
    let nothing_published = image.published_address == identity.start_address;
    if nothing_published || joined.chain.end.address >= image.published_address {
        joined.found = match (joined.records > 0, rebooted && same_epoch) {
            (false, false) => TailFound::Agrees,
            (false, true) => TailFound::Stale,
            (true, false) => TailFound::Extends,
            // The cursor may be as old as any page: what it says was published is not all that was.
            (true, true) => TailFound::Damaged,
        };
        return Ok(joined);
    }
    joined.at = joined.chain.end.address;
    joined.found = match stop {
        // A block that is missing was given back, so it was durable, and it is not on disk: also behind blocks that are still there. From
        // before a reboot the directory of blocks may be of any age.
        None if joined.records == 0 || !rebooted => TailFound::Gap,
        Some(What::EpochStart | What::Sequence { .. } | What::PreviousChecksum | What::Epoch { .. } | What::Gap)
            if joined.records == 0 =>
        {
            if same_epoch && same_chunk {
                TailFound::Differs
            } else {
                TailFound::Gap
            }
        }
        _ => TailFound::Damaged,
    };
    if rebooted && matches!(joined.found, TailFound::Gap | TailFound::Differs) {
        joined.found = TailFound::Stale;
    }
    Ok(joined)
}

/// Where the tail goes on from the end of the disk: in the same chunk, or in the one after it when the tail has given that block back. It
/// does so when the whole chunk is durable, so what is left of it on disk must be zeros.
fn next_chunk(image: &TailImage, end: u64, stream: &mut Stream<'_>) -> DiskResult<u64> {
    let chunk_address = chunk_floor(end);
    if image.chunk(chunk_address).is_some() {
        return Ok(chunk_address);
    }
    let durable = stream.chunk(chunk_address)?.is_some_and(|chunk| all_zero(&chunk[(end - chunk_address) as usize..]));
    Ok(if durable { chunk_ceil(end) } else { chunk_address })
}

/// Takes records from the tail while the chain goes on. `None`: there is no block to go on in.
fn extend(image: &TailImage, joined: &mut Joined, mut chunk_address: u64) -> Option<What> {
    loop {
        let chunk = image.chunk(chunk_address)?;
        loop {
            match joined.chain.step(chunk, chunk_address) {
                Walk::Record { .. } => joined.records += 1,
                Walk::NextChunk => break,
                Walk::Stop(what) => return Some(what),
            }
        }
        chunk_address += CHUNK_BYTES as u64;
    }
}

/// The first chunk where tail and disk hold different bytes below the end of the disk.
fn first_difference(image: &TailImage, end: u64, stream: &mut Stream<'_>) -> DiskResult<Option<u64>> {
    let (first, _) = stream.range();
    // The disk may end before its first segment: what was kept behind the beginning is gone, and there is nothing to compare.
    for (&address, _) in image.blocks.range(first.min(end)..end) {
        let length = (end - address).min(CHUNK_BYTES as u64) as usize;
        let (Some(tail), Some(disk)) = (image.chunk(address), stream.chunk(address)?) else {
            continue;
        };
        if tail[..length] != disk[..length] {
            return Ok(Some(address));
        }
    }
    Ok(None)
}
