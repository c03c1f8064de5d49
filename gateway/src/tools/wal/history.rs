//! A position's history by its back-links: from its newest event to its first, however long the log is.
//!
//! Where the newest event is, the newest checkpoint knows, and what came after that checkpoint is read. So a history costs its own
//! records and the log's end, not the log.

use std::borrow::Cow;

use lotbook_archiver::LearnedNames;
use lotbook_archiver::names::Names;
use lotbook_core::Limits;
use lotbook_core::codec::Decoder;
use lotbook_core::command::NameClass;
use lotbook_core::id::NameId;
use lotbook_engine::checkpoint::{self, Read, State};
use lotbook_wal::{From, NO_ADDRESS, ReadError, ReadOnlyLog, RecordBuffer};

use super::{Target, WalError, checkpoints_dir, failed};
use crate::cli::{PositionName, WalDumpArgs};
use crate::event::{moved_position, position_of};

/// Trade ids that a checkpoint may hold to be used here; with more, the log is read.
const TRADE_IDS_MAX: usize = 1 << 22;

/// Names of a checkpoint, and those defined after it.
#[derive(Debug)]
pub(super) struct KnownNames {
    state: Box<State>,
    learned: LearnedNames,
}

impl KnownNames {
    fn is(&self, class: NameClass, id: NameId, text: &str) -> bool {
        self.state.book.names().text(class, id) == Some(text.as_bytes()) || self.learned.is(class, id, text)
    }
}

impl Names for KnownNames {
    fn text(&self, class: NameClass, id: NameId) -> Option<Cow<'_, str>> {
        Names::text(self.state.book.names(), class, id).or_else(|| self.learned.text(class, id))
    }
}

/// A history that was found.
#[derive(Debug)]
pub(super) struct History {
    /// Addresses of the events, the newest first.
    pub(super) addresses: Vec<u64>,
    /// To print them with.
    pub(super) names: KnownNames,
}

/// Walks a position's chain down to `from_sequence`. `None` where no checkpoint can be used: then only reading everything tells.
pub(super) fn of(
    log: &mut ReadOnlyLog,
    target: &Target,
    args: &WalDumpArgs,
    wanted: &PositionName,
) -> Result<Option<History>, WalError> {
    let Some(state) = newest_checkpoint(log, args)? else { return Ok(None) };
    let names = state.book.names();
    let ids = names
        .find(NameClass::Account, wanted.account.as_bytes())
        .zip(names.find(NameClass::Instrument, wanted.instrument.as_bytes()));
    let known = ids.and_then(|(account, instrument)| state.book.find(account, instrument));
    let position = known.and_then(|at| state.book.positions().get(at as usize));
    let mut head = position.map_or(NO_ADDRESS, |position| position.last_address);
    match log.seek(From::Sequence(state.sequence + 1)) {
        Ok(()) => {}
        // A checkpoint of what this log no longer, or not yet, holds.
        Err(ReadError::Gone { .. } | ReadError::Beyond { .. }) => return Ok(None),
        Err(source) => return Err(WalError::Record { dir: target.dir.clone(), source }),
    }
    let mut names = KnownNames { state, learned: LearnedNames::new() };
    let mut decoder = Decoder::new();
    while let Some(record) = log.next().map_err(|source| failed(target, source))? {
        let header = record.header;
        let Ok(event) = decoder.decode(header.kind, header.version, record.payload) else { continue };
        names.learned.learn(&event);
        let ours = position_of(&event).is_some_and(|(account, instrument)| {
            names.is(NameClass::Account, account, &wanted.account)
                && names.is(NameClass::Instrument, instrument, &wanted.instrument)
        });
        if ours && moved_position(&event).is_some() {
            head = header.address;
        }
    }
    let addresses = walk(log, target, head, args.from_sequence.unwrap_or(0))?;
    Ok(Some(History { addresses, names }))
}

fn walk(log: &mut ReadOnlyLog, target: &Target, head: u64, from_sequence: u64) -> Result<Vec<u64>, WalError> {
    let failed = |source| WalError::Record { dir: target.dir.clone(), source };
    let mut addresses = Vec::new();
    let mut buffer = RecordBuffer::new();
    let mut next = head;
    while next != NO_ADDRESS {
        log.read_at(next, &mut buffer).map_err(failed)?;
        let header = buffer.header();
        if header.sequence < from_sequence {
            break;
        }
        addresses.push(next);
        if header.previous != NO_ADDRESS && header.previous >= next {
            return Err(WalError::Forward { dir: target.dir.clone(), address: next, previous: header.previous });
        }
        next = header.previous;
    }
    Ok(addresses)
}

fn newest_checkpoint(log: &ReadOnlyLog, args: &WalDumpArgs) -> Result<Option<Box<State>>, WalError> {
    let Some(dir) = checkpoints_dir(&args.log.dir) else { return Ok(None) };
    let found = checkpoint::list(&dir).map_err(|source| WalError::Checkpoints { dir, source })?;
    // One that cannot be used (another release's, larger than the limits) is passed over, as at a start.
    Ok(found.into_iter().find_map(|found| {
        match checkpoint::read(&found.path, log.log_id(), Limits::HOST, TRADE_IDS_MAX) {
            Ok(Read::Whole(state)) => Some(state),
            Ok(Read::Unusable(_)) | Err(_) => None,
        }
    }))
}
