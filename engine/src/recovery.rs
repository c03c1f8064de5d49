//! Recovery: newest usable checkpoint, then the log's tail through `apply`, to exactly what was acknowledged.
//!
//! The shard and the follower each need a state of their own; both are built in one pass over the
//! log, and they compare digests from then on.

use std::path::Path;
use std::sync::Arc;

use lotbook_core::actions::NO_ACTION;
use lotbook_core::apply::Place;
use lotbook_core::codec::{Decoder, kind};
use lotbook_core::event::{Class, Event, Reason};
use lotbook_core::outcome::Outcome;
use lotbook_core::past::is_fact;
use lotbook_wal::{From, Limit, Log, ReadError, RecordHeader};

use crate::checkpoint::{self, Read, Resolution, State};
use crate::config::EngineConfig;
use crate::error::StartError;
use crate::memory::Guard;
use crate::planted::{self, Bug};
use crate::side_log;

/// The result of a recovery.
#[derive(Debug)]
pub struct Recovered {
    /// For the shard.
    pub shard: State,
    /// For the follower: equal, and separate.
    pub follower: State,
    /// Sequence of the checkpoint that was used, 0 for none.
    pub checkpoint_sequence: u64,
    /// Records that were applied from the log.
    pub records: u64,
    /// Checkpoints that could not be used, with the reason.
    pub notes: Vec<String>,
}

/// A record that a state cannot take.
#[derive(Debug, thiserror::Error)]
#[error("event {sequence}: {what}")]
pub struct Unapplied {
    /// Its sequence.
    pub sequence: u64,
    /// Why.
    pub what: String,
}

/// Whether a record belongs to the log itself and not to the book.
#[must_use]
pub fn is_log_record(header: &RecordHeader) -> bool {
    header.kind >= 0xFF00
}

/// Applies a decoded event to a state: book, trade ids, sources, late trades, back-links.
///
/// # Errors
/// [`Unapplied`]: damage or a defect; the state must not be used any further.
pub fn apply(
    state: &mut State,
    header: &RecordHeader,
    event: &Event<'_>,
    outcome: Option<&Outcome>,
) -> Result<(), Unapplied> {
    let sequence = header.sequence;
    let place = Place { sequence, address: header.address };
    if let Event::Trade(trade) = event {
        // The shard had room, so a state with the same limits has. A matured trade's id is in it already.
        let new = matches!(trade.class, Class::Applied | Class::Provisional | Class::Forward);
        if new && !state.ids.has_room(trade.input.trade_id.as_bytes().len()) {
            return Err(Unapplied { sequence, what: "more trade ids than the configured limit".into() });
        }
        if new && state.ids.first(trade.input.hash).is_some() {
            return Err(Unapplied { sequence, what: format!("trade {} was accepted before", trade.input.trade_id) });
        }
    }
    if let Event::Action(action) = event
        && matches!(action.class, Class::Applied | Class::Forward)
        && !state.ids.has_room(action.input.action_id.as_bytes().len())
    {
        return Err(Unapplied { sequence, what: "more trade ids than the configured limit".into() });
    }
    if let Event::Amended(amend) = event
        && matches!(amend.class, Class::Provisional | Class::Applied | Class::Held)
        && state.ids.first(amend.input.hash).is_none()
        && !state.ids.has_room(amend.input.amend_id.as_bytes().len())
    {
        return Err(Unapplied { sequence, what: "more trade ids than the configured limit".into() });
    }
    state.book.apply(event, place, outcome).map_err(|misfit| Unapplied { sequence, what: misfit.to_string() })?;
    if is_fact(event) {
        state.book.set_last_fact(header.address);
        state.facts += 1;
    }
    match event {
        Event::Trade(trade) => {
            if !planted::is(Bug::IdsForgotten) {
                state.ids.insert(trade, sequence, header.address);
            }
            if trade.class.is_a_version() {
                link(state, trade.position, header, false);
            }
            if matches!(trade.class, Class::Matured | Class::Rebooked) && trade.reason != Reason::None {
                state.breaks.entry(trade.position).or_default().push((trade.input.hash, trade.reason));
                forget_resolution(state, trade.position);
            }
            if trade.late && trade.class != Class::Rebooked {
                state.late.entry(trade.position).or_default().push(trade.input.trade_id.as_str().into());
            }
            let offset = state.sources.entry(trade.origin.source).or_default();
            *offset = (*offset).max(trade.origin.source_offset);
        }
        Event::Amended(amend) => {
            state.ids.note_amend(amend, sequence, header.address);
            if amend.class == Class::Provisional {
                link(state, amend.position, header, false);
                state.late.entry(amend.position).or_default().push(amend.input.amend_id.as_str().into());
            }
            let offset = state.sources.entry(amend.origin.source).or_default();
            *offset = (*offset).max(amend.origin.source_offset);
        }
        Event::Resolved(resolved) => {
            if resolved.reason == Reason::None {
                let (user, at_ns) = (resolved.input.user, resolved.origin.occurred_at_ns);
                let note = resolved.input.note.as_str().into();
                state.resolutions.insert(resolved.position, Resolution { user, note, at_ns });
                link(state, resolved.position, header, false);
            }
            let offset = state.sources.entry(resolved.origin.source).or_default();
            *offset = (*offset).max(resolved.origin.source_offset);
        }
        Event::Action(action) => {
            state.ids.note_action(action, sequence, header.address);
            let offset = state.sources.entry(action.origin.source).or_default();
            *offset = (*offset).max(action.origin.source_offset);
        }
        Event::Taken(taken) => {
            link(state, taken.position, header, false);
            if taken.reason != Reason::None {
                state.breaks.entry(taken.position).or_default().push((taken.cause, taken.reason));
                forget_resolution(state, taken.position);
            }
            if taken.late && taken.action != NO_ACTION {
                state.late.entry(taken.position).or_default().push(taken.cause_id.as_str().into());
            }
        }
        Event::Arrived(arrived) => {
            link(state, arrived.position, header, true);
            let key = &arrived.due.leg.key;
            if arrived.reason != Reason::None {
                state.breaks.entry(arrived.position).or_default().push((key.hash, arrived.reason));
                forget_resolution(state, arrived.position);
            }
            if arrived.late {
                state.late.entry(arrived.position).or_default().push(key.trade_id.as_str().into());
            }
        }
        Event::Received(received) => {
            let key = &received.due.leg.key;
            for (hash, id) in [(received.due.leg.lot.origin, &received.lot_id), (key.hash, &key.trade_id)] {
                if !id.is_empty() {
                    state.foreign_ids.insert(hash, id.as_str().into());
                }
            }
        }
        Event::Corrected(corrected) => {
            link(state, corrected.position, header, false);
            // Those that came behind what was replayed wait for the next correction.
            if let Some(late) = state.late.get_mut(&corrected.position) {
                late.drain(..late.len().saturating_sub(corrected.left as usize));
            }
            if corrected.left == 0 {
                state.late.remove(&corrected.position);
            }
            let found = outcome.map(|outcome| outcome.breaks.clone()).filter(|breaks| !breaks.is_empty());
            match found {
                Some(breaks) => state.breaks.insert(corrected.position, breaks),
                None => state.breaks.remove(&corrected.position),
            };
            forget_resolution(state, corrected.position);
        }
        _ => {}
    }
    state.sequence = sequence;
    state.checksum = header.checksum;
    Ok(())
}

/// The event is the newest of a position.
fn link(state: &mut State, position: u32, header: &RecordHeader, arrival: bool) {
    state.book.set_last_address(position, header.address);
    state.waymarks.note(position, header, arrival);
}

/// A resolution is of the breaks that there were: with others it is history.
fn forget_resolution(state: &mut State, position: u32) {
    if !state.book.positions()[position as usize].is_resolved() {
        state.resolutions.remove(&position);
    }
}

/// Recovers both states. `partitions`: those whose positions are here, a bit each.
///
/// # Errors
/// [`StartError`]; nothing was changed on disk.
pub fn recover(
    config: &EngineConfig,
    partitions: u16,
    log_dir: &Path,
    checkpoints: &Path,
    log: &Arc<Log>,
    side: &Arc<Log>,
) -> Result<Recovered, StartError> {
    let mut notes = Vec::new();
    let (mut shard, mut follower) = start_states(config, checkpoints, log, &mut notes)?;
    shard.book.set_home(partitions);
    follower.book.set_home(partitions);
    let checkpoint_sequence = shard.sequence;
    let read_error = |source: ReadError| StartError::Read { dir: log_dir.into(), source };
    let mut reader = log.reader(From::Sequence(checkpoint_sequence + 1)).map_err(read_error)?;
    let mut decoder = Decoder::new();
    let mut bodies = side_log::Bodies::default();
    let mut records = 0;
    while let Some(record) = reader.next(Limit::Applied).map_err(read_error)? {
        let header = record.header;
        if records == 0 && header.sequence != checkpoint_sequence + 1 {
            return Err(StartError::Gap { first: header.sequence });
        }
        records += 1;
        if is_log_record(&header) {
            (shard.sequence, shard.checksum) = (header.sequence, header.checksum);
            (follower.sequence, follower.checksum) = (header.sequence, header.checksum);
            continue;
        }
        let failed = |what: String| StartError::Event { sequence: header.sequence, what };
        let event =
            decoder.decode(header.kind, header.version, record.payload).map_err(|error| failed(error.to_string()))?;
        let outcome = match &event {
            Event::Corrected(corrected) => {
                Some(bodies.read(side, corrected).map_err(|error| failed(error.to_string()))?)
            }
            _ => None,
        };
        for state in [&mut shard, &mut follower] {
            apply(state, &header, &event, outcome.as_ref()).map_err(|error| failed(error.what))?;
        }
    }
    Ok(Recovered { shard, follower, checkpoint_sequence, records, notes })
}

fn start_states(
    config: &EngineConfig,
    checkpoints: &Path,
    log: &Arc<Log>,
    notes: &mut Vec<String>,
) -> Result<(State, State), StartError> {
    let io = |source| StartError::Io { what: "listing", path: checkpoints.into(), source };
    let disk = &*config.checkpoint_disk;
    let _huge = config.huge_pages.then(Guard::new);
    for found in checkpoint::list_on(disk, checkpoints).map_err(io)? {
        let read = || checkpoint::read_on(disk, &found.path, log.log_id(), config.limits, config.trade_ids_max);
        match read()? {
            Read::Unusable(why) => notes.push(format!("checkpoint {} not used: {why}", found.path.display())),
            Read::Whole(state) if !is_in_log(&state, log) => {
                notes.push(format!("checkpoint {} not used: its last event is not in the log", found.path.display()));
            }
            Read::Whole(shard) => {
                let Read::Whole(follower) = read()? else {
                    notes.push(format!("checkpoint {} not used: it changed while it was read", found.path.display()));
                    continue;
                };
                return Ok((*shard, *follower));
            }
        }
    }
    let fresh = || State::new(config.limits, config.trade_ids_max);
    Ok((fresh(), fresh()))
}

/// Whether the checkpoint's last record is in the log with the same checksum.
fn is_in_log(state: &State, log: &Arc<Log>) -> bool {
    let Ok(mut reader) = log.reader(From::Sequence(state.sequence)) else { return false };
    matches!(reader.next(Limit::Applied), Ok(Some(record))
        if record.header.sequence == state.sequence && record.header.checksum == state.checksum)
}

/// Name of a record kind, for tools.
#[must_use]
pub fn kind_name(kind: u16) -> &'static str {
    match kind {
        0xFF00.. => "log",
        side_log::KIND_BODY => "OutcomeBody",
        _ => kind::ALL.iter().find(|(known, _)| *known == kind).map_or("unknown", |(_, name)| name),
    }
}
