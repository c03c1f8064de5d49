//! What opening must come to, worked out a second time: straight from the format page, on plain bytes, slow and simple.
//!
//! Nothing of the log's own reading is used. The recovery table is read from the page itself, so the page, this file and the log must
//! all agree.

mod tail;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lotbook_wal::sim::SimDisk;

use crate::base::{self, Base};
use tail::Tail;
pub(crate) use tail::end_in_tail;

const BLOCK: usize = 4_096;
const CHUNK: usize = 65_536;
const HEAD: usize = 65_536;
const SLOTS: [usize; 4] = [4_096, 12_288, 20_480, 28_672];
const SLOT: usize = 8_192;
/// Flushes under way where no slot says how many there may be.
const FLUSHES: usize = 3;
const EPOCH_START: u16 = 0xFF01;
const CLOSE: u16 = 0xFF02;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    bytes.chunks(BLOCK).all(|part| *part == ZEROS[..part.len()])
}
fn up(address: u64) -> u64 {
    address.next_multiple_of(CHUNK as u64)
}

/// What opening must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Foretold {
    /// There is no log: one is made.
    Made,
    /// Refused before the table is asked: the segments are not what their names say, or not without a gap, or the meta file is not whole.
    Unfit(String),
    /// A row of the table.
    Row(Row),
}

/// A row and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) letter: char,
    pub(crate) verdict: String,
    /// End, place, tail, group.
    pub(crate) findings: [&'static str; 4],
    /// The last sequence that is kept.
    pub(crate) end_sequence: u64,
    pub(crate) lost_from: Option<u64>,
    pub(crate) epoch: u32,
}

impl Row {
    /// The row's verdict is to start.
    pub(crate) fn starts(&self) -> bool {
        self.verdict.starts_with("Start")
    }
}

/// A line of the page's recovery table.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) letter: char,
    columns: [Vec<String>; 4],
    verdict: String,
}

/// The table of the format page.
pub(crate) fn page_table() -> Vec<Line> {
    let page = include_str!("../../../docs/wal-format.md");
    let from = page.find("| row | end | place |").expect("the recovery table");
    let lines = page[from..].lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let list = |cell: &str| cell.split(", ").map(str::to_owned).collect();
            Line {
                letter: cells[1].chars().next().unwrap(),
                columns: [list(cells[2]), list(cells[3]), list(cells[4]), list(cells[5])],
                verdict: cells[6].to_owned(),
            }
        })
        .collect()
}

fn find_row<'a>(table: &'a [Line], findings: &[&str; 4]) -> &'a Line {
    let fits = |line: &&Line| {
        line.columns
            .iter()
            .zip(findings)
            .all(|(column, found)| column.iter().any(|word| word == "any" || word == found))
    };
    let mut fitting = table.iter().filter(fits);
    let line = fitting.next().unwrap_or_else(|| panic!("no line of the page for {findings:?}"));
    assert!(fitting.next().is_none(), "two lines of the page for {findings:?}");
    line
}

/// A record that verifies alone.
#[derive(Clone, Copy, Debug)]
struct Rec {
    checksum: u32,
    length: usize,
    sequence: u64,
    durable: u64,
    epoch: u32,
    previous_checksum: u32,
    kind: u16,
    flags: u8,
}

impl Rec {
    fn padded(&self) -> usize {
        self.length.next_multiple_of(8)
    }

    /// The record at `at` of a chunk's bytes.
    fn read(chunk: &[u8], at: usize, log_id: u64, address: u64) -> Option<Self> {
        let bytes = chunk.get(at..)?;
        // What almost never matches by chance comes first.
        if bytes.len() < 64 || u64_at(bytes, 24) != address || u64_at(bytes, 8) != log_id {
            return None;
        }
        let length = u32_at(bytes, 52) as usize;
        let padded = length.next_multiple_of(8);
        if length < 64 || padded > bytes.len() {
            return None;
        }
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[8..padded]), &bytes[4..8]);
        let sound =
            sum == u32_at(bytes, 0) && u16_at(bytes, 62) == 0 && bytes[61] <= 3 && is_zero(&bytes[length..padded]);
        sound.then(|| Rec {
            checksum: u32_at(bytes, 0),
            length,
            sequence: u64_at(bytes, 16),
            durable: u64_at(bytes, 40),
            epoch: u32_at(bytes, 48),
            previous_checksum: u32_at(bytes, 4),
            kind: u16_at(bytes, 56),
            flags: bytes[61],
        })
    }
}

/// A walk along the chain.
#[derive(Clone, Debug, Default)]
struct Chain {
    log_id: u64,
    address: u64,
    sequence: u64,
    checksum: u32,
    epoch: u32,
    closed: bool,
    in_group: bool,
    /// Sequence of the last record that is not inside a group.
    whole_sequence: u64,
    records: u64,
    durable: u64,
    /// Nothing before is known: retention has dropped it.
    trust: bool,
}

/// Where a walk stands still.
#[derive(Debug, PartialEq, Eq)]
enum Halt {
    /// There are no bytes to go on in.
    NoBytes,
    /// There are, and they are not the next record.
    NotNext,
    /// They are a record that verifies, but of another history.
    AnotherRecord,
}

impl Chain {
    /// Goes on as far as it can in `chunk_at`, a way to get at chunks.
    fn walk<'a>(&mut self, chunk_at: impl Fn(u64) -> Option<&'a [u8]>) -> Halt {
        self.walk_from(0, chunk_at)
    }

    /// As [`Chain::walk`], where there is nothing before `first`: the end it stands at was dropped.
    fn walk_from<'a>(&mut self, first: u64, chunk_at: impl Fn(u64) -> Option<&'a [u8]>) -> Halt {
        let mut chunk_address = (self.address - self.address % CHUNK as u64).max(first);
        loop {
            let Some(chunk) = chunk_at(chunk_address) else { return Halt::NoBytes };
            loop {
                let at = self.address.saturating_sub(chunk_address) as usize;
                match Rec::read(chunk, at, self.log_id, chunk_address + at as u64) {
                    Some(rec) => {
                        let address = chunk_address + at as u64;
                        if !self.takes(&rec, &chunk[at + 64..at + rec.length], address) {
                            return Halt::AnotherRecord;
                        }
                    }
                    // Zeros to the end of the chunk, and something was there before them.
                    None if at > 0 && is_zero(&chunk[at.min(CHUNK)..]) => break,
                    None => return Halt::NotNext,
                }
            }
            chunk_address += CHUNK as u64;
        }
    }

    fn takes(&mut self, rec: &Rec, payload: &[u8], address: u64) -> bool {
        let follows = if self.trust {
            true
        } else if rec.sequence != self.sequence + 1
            || rec.previous_checksum != self.checksum
            || (rec.flags & 2 != 0) != self.in_group
        {
            false
        } else if rec.kind == EPOCH_START {
            payload.len() == 64
                && u32_at(payload, 0) == rec.epoch
                && rec.epoch > self.epoch
                && u64_at(payload, 8) == self.address
                && u64_at(payload, 16) == self.sequence
                && u32_at(payload, 24) == self.checksum
                && address == up(self.address)
        } else {
            let left = up(self.address) - self.address;
            let place = address == self.address || (address == up(self.address) && (left as usize) < rec.padded());
            rec.epoch == self.epoch && !self.closed && place
        };
        if !follows {
            return false;
        }
        self.trust = false;
        self.address = address + rec.padded() as u64;
        self.sequence = rec.sequence;
        self.checksum = rec.checksum;
        self.epoch = rec.epoch;
        self.closed = rec.kind == CLOSE;
        self.in_group = rec.flags & 1 != 0;
        self.durable = self.durable.max(rec.durable);
        self.records += 1;
        if !self.in_group {
            self.whole_sequence = rec.sequence;
        }
        true
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    Empty,
    Torn,
    Whole(Whole),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole {
    in_flight: usize,
    epoch: u32,
    generation: u64,
    address: u64,
    durable: u64,
    durable_address: u64,
    segments_end: u64,
    bytes: Vec<u8>,
}

impl Slot {
    /// The slots of a segment, which begins with `head`.
    fn all(head: &[u8]) -> [Self; 4] {
        std::array::from_fn(|place| Slot::read(&head[SLOTS[place]..SLOTS[place] + SLOT], place, head))
    }

    fn whole(&self) -> Option<&Whole> {
        match self {
            Slot::Whole(whole) => Some(whole),
            _ => None,
        }
    }

    fn read(bytes: &[u8], place: usize, head: &[u8]) -> Self {
        let (log_id, first) = (u64_at(head, 16), u64_at(head, 24));
        let mut blank = bytes.to_vec();
        blank[4..8].fill(0);
        let length = usize::from(u16_at(bytes, 20));
        let in_flight = usize::from(bytes[23]);
        let address = u64_at(bytes, 32);
        let sound = &bytes[0..4] == b"LSLT"
            && crc32c::crc32c(&blank) == u32_at(bytes, 4)
            && u64_at(bytes, 8) == log_id
            && usize::from(bytes[22]) == place
            && in_flight <= FLUSHES
            && length < BLOCK
            && address.is_multiple_of(BLOCK as u64);
        if !sound {
            return Slot::Torn;
        }
        let (epoch, generation) = (u32_at(bytes, 16), u64_at(bytes, 24));
        if epoch == 0 && generation == 0 {
            return if in_flight == 0 && length == 0 && address == first { Slot::Empty } else { Slot::Torn };
        }
        Slot::Whole(Whole {
            in_flight,
            epoch,
            generation,
            address,
            durable: u64_at(bytes, 40),
            durable_address: u64_at(bytes, 48),
            segments_end: u64_at(bytes, 56),
            bytes: bytes[64..64 + length].to_vec(),
        })
    }
}

struct Segment {
    first: u64,
    bytes: Vec<u8>,
    slots: [Slot; 4],
    begun: bool,
}

/// Says what opening the log in `dir` must come to.
pub(crate) fn foretell(disk: &SimDisk, dir: &Path, tail_dir: &Path, boot_id: [u8; 16], table: &[Line]) -> Foretold {
    let hand = disk.hand();
    let mut segments: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for path in hand.files() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.parent() == Some(dir)
            && let Some(digits) = name.strip_prefix("seg-").and_then(|n| n.strip_suffix(".lotlog"))
        {
            segments.insert(u64::from_str_radix(digits, 16).unwrap(), path);
        }
    }
    let Some(meta) = hand.read(&dir.join("log.meta")) else {
        let blank = |path: &PathBuf| {
            let bytes = padded(hand.read(path).unwrap());
            Slot::all(&bytes).iter().all(|slot| *slot == Slot::Empty) && is_zero(&bytes[SLOTS[3] + SLOT..HEAD + BLOCK])
        };
        return match segments.iter().next() {
            None => Foretold::Made,
            Some((0, path)) if segments.len() == 1 && blank(path) => Foretold::Made,
            _ => Foretold::Unfit("meta".into()),
        };
    };
    let sound = meta.len() == 64
        && &meta[0..8] == b"LOTMETA\x01"
        && u32_at(&meta, 8) == 1
        && crc32c::crc32c(&meta[16..]) == u32_at(&meta, 12)
        && u64_at(&meta, 32) == CHUNK as u64;
    if !sound {
        return Foretold::Unfit("meta".into());
    }
    let (log_id, segment_bytes) = (u64_at(&meta, 16), u64_at(&meta, 24));
    let base = match base::read(&hand, dir, log_id) {
        Ok(base) => base,
        Err(what) => return Foretold::Unfit(what),
    };
    // Files below the beginning are what a removal left that was cut short.
    segments.retain(|first, _| base.is_none_or(|base| *first >= base.address));
    let begins = segments.keys().next().copied();
    if begins.is_none() || base.is_some_and(|base| begins != Some(base.address)) {
        return Foretold::Unfit("missing".into());
    }
    let read = segments.iter().map(|(first, path)| (*first, hand.read(path).unwrap()));
    let segments = match read_segments(read.collect(), log_id, segment_bytes) {
        Ok(segments) => segments,
        Err(what) => return Foretold::Unfit(what),
    };
    let tail_name = tail_name(log_id, dir);
    let mut places = [tail_dir, Path::new("/dev/shm"), dir].into_iter();
    let tail = places.find_map(|place| hand.read(&place.join(&tail_name)));
    by_the_table(&segments, base, log_id, segment_bytes, tail.as_deref(), boot_id, table)
}

/// `lotbook-<log id>-<hash of the directory>.tail`
pub(crate) fn tail_name(log_id: u64, dir: &Path) -> String {
    format!("lotbook-{log_id:016x}-{:08x}.tail", crc32c::crc32c(dir.to_str().unwrap().as_bytes()))
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().max(HEAD + BLOCK), 0);
    bytes
}

fn read_segments(files: Vec<(u64, Vec<u8>)>, log_id: u64, segment_bytes: u64) -> Result<Vec<Segment>, String> {
    let mut segments: Vec<Segment> = Vec::new();
    for (first, bytes) in files {
        if segments.last().is_some_and(|before| before.first + segment_bytes != first) {
            return Err("missing".into());
        }
        if bytes.len() as u64 != HEAD as u64 + segment_bytes {
            return Err("wrong".into());
        }
        let mut head = bytes[..BLOCK].to_vec();
        head[12..16].fill(0);
        let sound = &bytes[0..8] == b"LOTSEG\x00\x01"
            && u32_at(&bytes, 8) == 3
            && crc32c::crc32c(&head) == u32_at(&bytes, 12)
            && u64_at(&bytes, 16) == log_id
            && u64_at(&bytes, 24) == first
            && u64_at(&bytes, 32) == segment_bytes
            && is_zero(&bytes[SLOTS[3] + SLOT..HEAD]);
        if !sound {
            return Err("wrong".into());
        }
        let slots = Slot::all(&bytes);
        let outside = |slot: &Whole| !(first..=first + segment_bytes).contains(&slot.address);
        if slots.iter().filter_map(Slot::whole).any(outside) {
            return Err("wrong".into());
        }
        let begun = slots.iter().any(|slot| *slot != Slot::Empty) || !is_zero(&bytes[HEAD..HEAD + BLOCK]);
        segments.push(Segment { first, bytes, slots, begun });
    }
    let end = segments.last().unwrap().first + segment_bytes;
    let whole = segments.iter().flat_map(|segment| &segment.slots).filter_map(Slot::whole);
    if whole.into_iter().any(|slot| slot.segments_end > end) {
        return Err("missing".into());
    }
    if let Some(last) = segments.iter().rposition(|segment| segment.begun) {
        for (number, segment) in segments[..=last].iter().enumerate() {
            let torn = segment.slots.iter().filter(|slot| **slot == Slot::Torn).count();
            let under_way = segment.slots.iter().filter_map(Slot::whole).map(|slot| slot.in_flight).max();
            let allowed = if number == last { under_way.unwrap_or(FLUSHES) } else { 0 };
            if torn > allowed {
                return Err("corrupt".into());
            }
        }
    }
    Ok(segments)
}

fn by_the_table(
    segments: &[Segment],
    base: Option<Base>,
    log_id: u64,
    segment_bytes: u64,
    tail: Option<&[u8]>,
    boot_id: [u8; 16],
    table: &[Line],
) -> Foretold {
    let first = segments[0].first;
    let end_of_all = segments.last().unwrap().first + segment_bytes;
    let mut stream = segments.iter().map(|segment| &segment.bytes[HEAD..]).collect::<Vec<_>>().concat();
    let last_begun = segments.iter().rev().find(|s| s.begun);
    if let Some(segment) = last_begun {
        lay_slots(&mut stream, first, segment);
    }
    let chunk_at =
        |address: u64| (first..end_of_all).contains(&address).then(|| &stream[(address - first) as usize..][..CHUNK]);
    let mut disk = Chain { log_id, address: first, trust: first > 0, ..Chain::default() };
    if let Some(base) = base.filter(|base| base.sequence > 0) {
        let Base { end, sequence, checksum, epoch, closed, in_group, .. } = base;
        disk = Chain { log_id, address: end, sequence, checksum, epoch, closed, in_group, ..Chain::default() };
        disk.whole_sequence = sequence;
    }
    disk.walk_from(first, chunk_at);
    let stop_chunk = halted_at(&disk, first, chunk_at);

    // What speaks of more than the chain. Behind what is dropped a durable record always stays.
    let mut watermark = disk.durable.max(base.map_or(0, |base| if base.sequence > 0 { base.sequence + 1 } else { 0 }));
    for slot in segments.iter().flat_map(|s| &s.slots).filter_map(Slot::whole) {
        watermark = watermark.max(slot.durable);
    }
    let behind = &stream[(disk.address.max(first) - first) as usize..];
    let nonzero = !is_zero(behind);
    let mut names_the_end = false;
    if nonzero {
        let mut at = disk.address.max(first);
        while at < end_of_all {
            let chunk = at - at % CHUNK as u64;
            match Rec::read(chunk_at(chunk).unwrap(), (at - chunk) as usize, log_id, at) {
                Some(rec) => {
                    watermark = watermark.max(rec.durable);
                    if at.is_multiple_of(segment_bytes) {
                        watermark = watermark.max(rec.sequence - 1);
                    }
                    let payload = &stream[(at - first) as usize + 64..(at - first) as usize + rec.length];
                    names_the_end |= rec.kind == EPOCH_START
                        && payload.len() == 64
                        && u64_at(payload, 8) == disk.address
                        && u32_at(payload, 24) == disk.checksum;
                    at += rec.padded() as u64;
                }
                None => at += 8,
            }
        }
    }
    let next = if disk.trust { 0 } else { disk.sequence + 1 };
    let later_begun = segments.iter().any(|s| s.begun && s.first > stop_chunk);
    let place = if watermark >= next || later_begun || names_the_end { "Below" } else { "Above" };
    let end = match () {
        () if disk.sequence == 0 => "Empty",
        () if nonzero => "Broken",
        () if disk.closed => "Closed",
        () => "Stopped",
    };

    let mut joined = disk.clone();
    let image = tail.map(Tail::read);
    let (found, tail_epoch, inherited) = match &image {
        None => ("Missing", 0, None),
        Some(None) => ("Unreadable", 0, None),
        Some(Some(tail)) => {
            let ours = tail.log_id == log_id;
            let inherited = tail.lost_from.filter(|_| ours && tail.epoch > disk.epoch);
            (tail.join(&mut joined, chunk_at, log_id, boot_id), if ours { tail.epoch } else { 0 }, inherited)
        }
    };
    let group = if joined.in_group { "Unfinished" } else { "Whole" };
    let findings = [end, place, found, group];
    let line = find_row(table, &findings);
    let end_sequence = joined.whole_sequence;
    let now = (line.verdict == "StartLost").then_some(end_sequence + 1);
    let slot_epochs = segments.iter().flat_map(|s| &s.slots).filter_map(Slot::whole).map(|slot| slot.epoch).max();
    Foretold::Row(Row {
        letter: line.letter,
        verdict: line.verdict.clone(),
        findings,
        end_sequence,
        lost_from: now.into_iter().chain(inherited).min(),
        epoch: joined.epoch.max(slot_epochs.unwrap_or(0)).max(tail_epoch) + 1,
    })
}

/// The chunk in which the next record was looked for and not found.
fn halted_at<'a>(chain: &Chain, first: u64, chunk_at: impl Fn(u64) -> Option<&'a [u8]>) -> u64 {
    let mut chunk_address = (chain.address - chain.address % CHUNK as u64).max(first);
    loop {
        let Some(chunk) = chunk_at(chunk_address) else { return chunk_address };
        let at = chain.address.saturating_sub(chunk_address) as usize;
        if at == 0 || !is_zero(&chunk[at.min(CHUNK)..]) {
            return chunk_address;
        }
        chunk_address += CHUNK as u64;
    }
}

/// Over the stream bytes the slots' blocks in the order of their generations, but for those that are durable as a whole; a slot of an
/// earlier epoch counts for nothing.
fn lay_slots(stream: &mut [u8], first: u64, segment: &Segment) {
    let mut whole: Vec<&Whole> = segment.slots.iter().filter_map(Slot::whole).collect();
    let newest = whole.iter().max_by_key(|slot| (slot.epoch, slot.generation)).map_or(0, |slot| slot.epoch);
    whole.retain(|slot| slot.epoch == newest);
    whole.sort_by_key(|slot| slot.generation);
    let durable = whole.iter().map(|slot| slot.durable_address).max().unwrap_or(0);
    for slot in whole {
        let at = (slot.address - first) as usize;
        if slot.address + BLOCK as u64 > durable && at < stream.len() {
            stream[at..at + slot.bytes.len()].copy_from_slice(&slot.bytes);
        }
    }
}
