//! Checkpoints: the follower's state at one sequence, so that recovery reads the log's tail only.
//!
//! File `checkpoint-<sequence, 16 hex digits>`, little endian: magic, layout version, log id, sequence
//! and checksum of the last applied record, number of facts, then sections
//! (sources, provisional ids, breaks, resolutions, ids of other shards, waymarks, kept streams, trade ids, image of the book), then CRC32C of everything before. Written beside, synced, renamed, directory synced;
//! and only once the log is durable beyond it, so that no checkpoint names what a power cut can take.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lotbook_core::date::Date;
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::{NameId, TradeHash};
use lotbook_core::image::ImageError;
use lotbook_core::{Book, Limits};
use lotbook_wal::{Access, Disk, DiskError, DiskFile, DiskResult, RealDisk};

use crate::error::StartError;
use crate::idempotency::{Extra, First, IdKind, TradeIds};
use crate::limits::CHECKPOINTS_KEPT;
use crate::waymarks::{Way, Waymark, Waymarks};

const MAGIC: &[u8; 8] = b"LBCHECK1";
/// The layout that is written, and the only one that is read.
const LAYOUT: u64 = 2;
const HEAD_BYTES: usize = 48;

/// Everything that the follower carries from event to event.
#[derive(Debug)]
pub struct State {
    /// The book.
    pub book: Book,
    /// Trade ids of the recent window.
    pub ids: TradeIds,
    /// Greatest offset seen of each source.
    pub sources: HashMap<NameId, u64>,
    /// Late trades of each PROVISIONAL position.
    pub late: HashMap<u32, Vec<Box<str>>>,
    /// Trades of a position that break a rule at their place.
    pub breaks: HashMap<u32, Vec<(TradeHash, Reason)>>,
    /// Who resolved the breaks of a position, and why.
    pub resolutions: HashMap<u32, Resolution>,
    /// Ids of trades of other shards, and of what sent their lots here.
    pub foreign_ids: HashMap<TradeHash, Box<str>>,
    /// Where some events of each position lie.
    pub waymarks: Arc<Waymarks>,
    /// Streams of the coldpath, as bytes, by position: between a checkpoint and its file only.
    pub streams: Vec<(u32, Vec<u8>)>,
    /// How many facts ([`lotbook_core::past::is_fact`]) there were: all shards of a house have the same ones.
    pub facts: u64,
    /// Sequence of the last applied record.
    pub sequence: u64,
    /// Checksum of that record.
    pub checksum: u32,
}

impl State {
    /// Before the first event.
    #[must_use]
    pub fn new(limits: Limits, trade_ids_max: usize) -> Self {
        Self::of(Book::new(limits), TradeIds::new(trade_ids_max))
    }

    /// Around a book that has had no event.
    pub(crate) fn of(book: Book, ids: TradeIds) -> Self {
        Self {
            book,
            ids,
            sources: HashMap::new(),
            late: HashMap::new(),
            breaks: HashMap::new(),
            resolutions: HashMap::new(),
            foreign_ids: HashMap::new(),
            waymarks: Arc::default(),
            streams: Vec::new(),
            facts: 0,
            sequence: 0,
            checksum: 0,
        }
    }
}

/// An operator's resolution of a position's breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Interned user.
    pub user: NameId,
    /// Why.
    pub note: Box<str>,
    /// When, UTC nanoseconds.
    pub at_ns: i64,
}

/// A checkpoint file found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Sequence of the last applied record.
    pub sequence: u64,
}

/// Checkpoints of a directory, newest first. Names that are not ours are left alone.
///
/// # Errors
/// The directory cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<Found>> {
    list_on(&RealDisk::plain(), dir)
}

/// As [`list`], on another disk.
///
/// # Errors
/// The directory cannot be read.
pub fn list_on(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in disk.list(dir).map_err(reason)? {
        let path = dir.join(&name);
        if let Some(hex) = name.strip_prefix("checkpoint-").filter(|hex| hex.len() == 16)
            && let Ok(sequence) = u64::from_str_radix(hex, 16)
        {
            found.push(Found { path, sequence });
        }
    }
    found.sort_unstable_by_key(|found| std::cmp::Reverse(found.sequence));
    Ok(found)
}

/// The system's reason.
fn reason(error: DiskError) -> io::Error {
    error.source
}

/// A file that is written from its beginning on.
struct Growing {
    file: Arc<dyn DiskFile>,
    end: u64,
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(self.end, bytes).map_err(reason)?;
        self.end += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Checked<W> {
    out: W,
    checksum: u32,
}

impl<W: Write> Checked<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        self.out.write_all(bytes)
    }
}

/// Writes a checkpoint and drops the older ones beyond those kept. Blocks on the disk.
///
/// # Errors
/// Any failure; the older checkpoints are then as they were.
pub fn write(disk: &dyn Disk, dir: &Path, log_id: u64, state: &State) -> io::Result<PathBuf> {
    let beside = dir.join("checkpoint.tmp");
    let written = write_beside(disk, dir, &beside, log_id, state);
    if written.is_err() {
        // On a full disk, half a checkpoint would keep the room that the log needs.
        let _ = disk.unlink(&beside);
    }
    written
}

fn write_beside(disk: &dyn Disk, dir: &Path, beside: &Path, log_id: u64, state: &State) -> io::Result<PathBuf> {
    let path = dir.join(format!("checkpoint-{:016x}", state.sequence));
    let file = disk.open(beside, Access::CreateSmall).map_err(reason)?;
    let growing = Growing { file: file.clone(), end: 0 };
    let mut out = Checked { out: BufWriter::with_capacity(1 << 20, growing), checksum: 0 };
    out.put(MAGIC)?;
    out.put(&LAYOUT.to_le_bytes())?;
    out.put(&log_id.to_le_bytes())?;
    out.put(&state.sequence.to_le_bytes())?;
    out.put(&u64::from(state.checksum).to_le_bytes())?;
    out.put(&state.facts.to_le_bytes())?;
    out.put(&(state.sources.len() as u64).to_le_bytes())?;
    for (source, offset) in &state.sources {
        out.put(&u64::from(*source).to_le_bytes())?;
        out.put(&offset.to_le_bytes())?;
    }
    out.put(&(state.late.len() as u64).to_le_bytes())?;
    for (position, ids) in &state.late {
        out.put(&u64::from(*position).to_le_bytes())?;
        out.put(&(ids.len() as u64).to_le_bytes())?;
        for id in ids {
            out.put(&(id.len() as u64).to_le_bytes())?;
            out.put(id.as_bytes())?;
        }
    }
    out.put(&(state.breaks.len() as u64).to_le_bytes())?;
    for (position, breaks) in &state.breaks {
        out.put(&u64::from(*position).to_le_bytes())?;
        out.put(&(breaks.len() as u64).to_le_bytes())?;
        for (trade, reason) in breaks {
            out.put(&trade.0.to_le_bytes())?;
            out.put(&u64::from(*reason as u16).to_le_bytes())?;
        }
    }
    out.put(&(state.resolutions.len() as u64).to_le_bytes())?;
    for (position, Resolution { user, note, at_ns }) in &state.resolutions {
        for word in [u64::from(*position), u64::from(*user), *at_ns as u64, note.len() as u64] {
            out.put(&word.to_le_bytes())?;
        }
        out.put(note.as_bytes())?;
    }
    out.put(&(state.foreign_ids.len() as u64).to_le_bytes())?;
    for (hash, id) in &state.foreign_ids {
        out.put(&hash.0.to_le_bytes())?;
        out.put(&(id.len() as u64).to_le_bytes())?;
        out.put(id.as_bytes())?;
    }
    out.put(&(state.waymarks.len() as u64).to_le_bytes())?;
    state.waymarks.each(|way| {
        for word in [u64::from(way.since), way.arrived, way.marks.len() as u64] {
            out.put(&word.to_le_bytes())?;
        }
        for mark in &way.marks {
            out.put(&mark.sequence.to_le_bytes())?;
            out.put(&mark.address.to_le_bytes())?;
        }
        io::Result::Ok(())
    })?;
    out.put(&(state.streams.len() as u64).to_le_bytes())?;
    for (position, bytes) in &state.streams {
        out.put(&u64::from(*position).to_le_bytes())?;
        out.put(&(bytes.len() as u64).to_le_bytes())?;
        out.put(bytes)?;
    }
    out.put(&(state.ids.len() as u64).to_le_bytes())?;
    for (first, id, Extra { quantity_e8, date, to_account }) in state.ids.iter() {
        out.put(&first.hash.0.to_le_bytes())?;
        for word in [first.sequence, first.address, first.content, first.version] {
            out.put(&word.to_le_bytes())?;
        }
        out.put(&quantity_e8.to_le_bytes())?;
        out.put(&first.position.to_le_bytes())?;
        out.put(&date.0.to_le_bytes())?;
        out.put(&to_account.to_le_bytes())?;
        out.put(&[first.class as u8, first.kind as u8, id.len() as u8])?;
        out.put(id)?;
    }
    let mut failed = None;
    state.book.write_image(&mut |piece| {
        if failed.is_none() {
            failed = out.put(piece).err();
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let checksum = out.checksum;
    out.out.write_all(&checksum.to_le_bytes())?;
    out.out.flush()?;
    drop(out);
    let named = || -> DiskResult<()> {
        file.sync_data()?;
        disk.rename(beside, &path)?;
        disk.sync_dir(dir)
    };
    named().map_err(reason)?;
    for old in list_on(disk, dir)?.into_iter().skip(CHECKPOINTS_KEPT) {
        disk.unlink(&old.path).map_err(reason)?;
    }
    Ok(path)
}

/// What a checkpoint file turned out to be.
#[derive(Debug)]
pub enum Read {
    /// Whole, and of this log.
    Whole(Box<State>),
    /// Damaged, of another log, or of another release: not used. Says why.
    Unusable(&'static str),
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
    fn u64(&mut self) -> Option<u64> {
        self.take(8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take(4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
    }
    fn hash(&mut self) -> Option<TradeHash> {
        self.take(16).and_then(|b| b.try_into().ok()).map(u128::from_le_bytes).map(TradeHash)
    }
    fn text(&mut self, len: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(len)?).ok()
    }
}

/// Reads a checkpoint.
///
/// # Errors
/// The file cannot be read, or it holds more than the limits allow. Damage is [`Read::Unusable`].
pub fn read(path: &Path, log_id: u64, limits: Limits, trade_ids_max: usize) -> Result<Read, StartError> {
    read_on(&RealDisk::plain(), path, log_id, limits, trade_ids_max)
}

fn bytes_of(disk: &dyn Disk, path: &Path) -> DiskResult<Vec<u8>> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; file.len()? as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// As [`read`], from another disk.
///
/// # Errors
/// As [`read`].
pub fn read_on(
    disk: &dyn Disk,
    path: &Path,
    log_id: u64,
    limits: Limits,
    trade_ids_max: usize,
) -> Result<Read, StartError> {
    let failed = |error: DiskError| StartError::Io { what: "reading", path: path.into(), source: error.source };
    let bytes = bytes_of(disk, path).map_err(failed)?;
    let Some((content, stored)) = bytes.split_last_chunk::<4>() else { return Ok(Read::Unusable("cut short")) };
    if content.len() < HEAD_BYTES || &content[..8] != MAGIC {
        return Ok(Read::Unusable("not a checkpoint of this release"));
    }
    if crc32c::crc32c(content) != u32::from_le_bytes(*stored) {
        return Ok(Read::Unusable("its checksum differs"));
    }
    let mut state = State::new(limits, trade_ids_max);
    let mut cursor = Cursor(&content[8..]);
    let (layout, id) = (cursor.u64(), cursor.u64());
    if layout != Some(LAYOUT) {
        return Ok(Read::Unusable("another layout"));
    }
    if id != Some(log_id) {
        return Ok(Read::Unusable("of another log"));
    }
    let too_large = |what| StartError::Checkpoint { path: path.into(), source: ImageError::TooLarge(what) };
    match sections(&mut cursor, &mut state) {
        Some(true) => {}
        Some(false) => return Err(too_large("trade ids")),
        None => return Ok(Read::Unusable("malformed")),
    }
    match Book::read_image(cursor.0, limits) {
        Ok(book) => state.book = book,
        Err(ImageError::TooLarge(what)) => return Err(too_large(what)),
        Err(_) => return Ok(Read::Unusable("its image of the book is malformed")),
    }
    Ok(Read::Whole(Box::new(state)))
}

/// `None`: malformed. `Some(false)`: more trade ids than fit.
fn sections(cursor: &mut Cursor<'_>, state: &mut State) -> Option<bool> {
    state.sequence = cursor.u64()?;
    state.checksum = u32::try_from(cursor.u64()?).ok()?;
    state.facts = cursor.u64()?;
    for _ in 0..cursor.u64()? {
        let source = NameId::try_from(cursor.u64()?).ok()?;
        state.sources.insert(source, cursor.u64()?);
    }
    for _ in 0..cursor.u64()? {
        let position = u32::try_from(cursor.u64()?).ok()?;
        let mut ids = Vec::new();
        for _ in 0..cursor.u64()? {
            let len = usize::try_from(cursor.u64()?).ok()?;
            ids.push(cursor.text(len)?.into());
        }
        state.late.insert(position, ids);
    }
    for _ in 0..cursor.u64()? {
        let position = u32::try_from(cursor.u64()?).ok()?;
        let mut breaks = Vec::new();
        for _ in 0..cursor.u64()? {
            let trade = cursor.hash()?;
            breaks.push((trade, Reason::from_u16(u16::try_from(cursor.u64()?).ok()?)?));
        }
        state.breaks.insert(position, breaks);
    }
    for _ in 0..cursor.u64()? {
        let position = u32::try_from(cursor.u64()?).ok()?;
        let (user, at_ns) = (NameId::try_from(cursor.u64()?).ok()?, cursor.u64()? as i64);
        let len = usize::try_from(cursor.u64()?).ok()?;
        state.resolutions.insert(position, Resolution { user, note: cursor.text(len)?.into(), at_ns });
    }
    for _ in 0..cursor.u64()? {
        let hash = cursor.hash()?;
        let len = usize::try_from(cursor.u64()?).ok()?;
        state.foreign_ids.insert(hash, cursor.text(len)?.into());
    }
    let mut ways = Vec::new();
    for _ in 0..cursor.u64()? {
        let (since, arrived) = (u32::try_from(cursor.u64()?).ok()?, cursor.u64()?);
        let mut marks = Vec::new();
        for _ in 0..cursor.u64()? {
            marks.push(Waymark { sequence: cursor.u64()?, address: cursor.u64()? });
        }
        ways.push(Way { since, arrived, marks });
    }
    state.waymarks = Arc::new(Waymarks::restored(ways));
    for _ in 0..cursor.u64()? {
        let position = u32::try_from(cursor.u64()?).ok()?;
        let len = usize::try_from(cursor.u64()?).ok()?;
        state.streams.push((position, cursor.take(len)?.to_vec()));
    }
    for _ in 0..cursor.u64()? {
        let hash = cursor.hash()?;
        let (sequence, address, content, version) = (cursor.u64()?, cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let quantity_e8 = cursor.u64()? as i64;
        let (position, date) = (cursor.u32()?, Date(cursor.u32()? as i32));
        let behind = Extra { quantity_e8, date, to_account: cursor.u32()? };
        let codes = cursor.take(3)?;
        let (class, kind) = (Class::from_u8(codes[0])?, IdKind::from_u8(codes[1])?);
        let id = cursor.take(usize::from(codes[2]))?;
        let entry = First::restored(hash, sequence, address, content, position, version, class, kind);
        if !state.ids.restore(entry, id, &behind) {
            return Some(false);
        }
    }
    Some(true)
}
