//! The gateway's journal: what doors must remember and no shard records.
//!
//! A log of its own in `journal/`: inbound numbers that no engine event holds, refusals with the bytes
//! that were refused, blocks of outbound numbers, restarts of sessions. At a start it is read whole.
//!
//! Payloads, version 1, little endian: incarnation u32, length of the session's name u8, 0 u8 x 3, then
//! three numbers u64 (by kind), the name, and for a refusal its code (length u8 first) and the raw bytes.
//!
//! The [wire log](crate::wire_log) is opened and closed with it: what came in and what was answered, byte by byte.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use lotbook_engine::retention::hold;
use lotbook_wal::{
    AppendError, Appender, CursorError, From, Group, Limit, Log, LogConfig, NO_ADDRESS, OpenError, Opened, ReadError,
    RecordMeta, Retention,
};

use crate::wire_log::{Kept, WireLog};

/// Name of the journal's own cursor.
pub const SESSIONS_CURSOR: &str = "sessions";

/// Kinds of journal records. Numbers are never reused.
pub mod kind {
    /// Inbound numbers `a..=b` are done with; `c` is the last trade's number handed to the engine before.
    pub const CONSUMED: u16 = 80;
    /// The session restarted at 1; outbound numbers through `a` are set aside. `b` is the second at which the window of its schedule began, 0
    /// without one; `c` how many inbound numbers the restart itself took.
    pub const RESTARTED: u16 = 81;
    /// Outbound numbers through `a` are set aside.
    pub const RESERVED: u16 = 82;
    /// The message with number `a` was refused; `c` as in [`CONSUMED`].
    pub const REFUSED: u16 = 83;
    /// Clean end: the next inbound number is `a`, the next outbound number `b`.
    pub const ENDED: u16 = 84;
}

/// What the journal knows of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// How many times both directions restarted at 1.
    pub incarnation: u32,
    /// Consumed numbers: (last, last trade before).
    consumed: Vec<(u64, u64)>,
    /// Outbound numbers set aside.
    pub reserved_through: u64,
    /// Numbers at a clean end, until something came after it.
    ended: Option<(u64, u64)>,
    /// When the window of its schedule began that its numbers belong to, in seconds since 1970; 0 where it has none.
    pub window_s: i64,
    /// What the end of the wire log has of it.
    pub kept: Kept,
}

impl Known {
    /// The next inbound number, given the greatest number of this incarnation in the shard's log: the end of
    /// the contiguous prefix over both. What was journalled after a trade that the shard never got does not count.
    #[must_use]
    pub fn next_in(&self, shard_max: u64) -> u64 {
        let journalled = self.consumed.iter().filter(|(_, after)| *after <= shard_max).map(|(last, _)| *last).max();
        let ended = self.ended.map_or(0, |(next_in, _)| next_in - 1);
        shard_max.max(journalled.unwrap_or(0)).max(ended) + 1
    }

    /// The next outbound number: after everything that may have been used.
    #[must_use]
    pub fn next_out(&self) -> u64 {
        self.ended.map_or(self.reserved_through + 1, |(_, next_out)| next_out)
    }
}

/// A number of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionRef<'a> {
    /// The session's name.
    pub name: &'a str,
    /// Its incarnation.
    pub incarnation: u32,
}

/// The journal could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Opening.
    #[error("cannot open the gateway's journal: {0}")]
    Open(#[from] OpenError),
    /// Reading.
    #[error("cannot read the gateway's journal: {0}")]
    Read(#[from] ReadError),
    /// Its own cursor cannot be used.
    #[error("the gateway's journal: {0}")]
    Cursor(#[from] CursorError),
    /// A record that no release of ours wrote.
    #[error("record {0} of the gateway's journal is malformed")]
    Malformed(u64),
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    appender: Appender,
    log: Arc<Log>,
    /// The wire log, which has an appender of its own.
    pub wire: WireLog,
}

impl Journal {
    /// Opens the journal of a data directory and reads it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(
        data_dir: &Path,
        tail_dir: Option<&Path>,
        retention: &Retention,
    ) -> Result<(Self, HashMap<String, Known>), JournalError> {
        let mut config = LogConfig::new(data_dir.join("journal"));
        config.tail_dir = tail_dir.map(Path::to_path_buf);
        config.segment_bytes = 16 << 20;
        config.tail_blocks = 64;
        config.name = "journal";
        // It is small and holds all of it; the budget is for what grows with every trade.
        config.retention = Retention { budget_bytes: None, ..retention.clone() };
        // Mostly idle; only refusals and restarts wait for it.
        config.idle_sleep_us = 500;
        config.flushes_in_flight = 1;
        let Opened { log, appender, .. } = lotbook_wal::open(config)?;
        let mut known = HashMap::new();
        let mut reader = log.reader(From::Start)?;
        while let Some(record) = reader.next(Limit::Applied)? {
            if (kind::CONSUMED..=kind::ENDED).contains(&record.header.kind) {
                note(&mut known, record.header.kind, record.payload)
                    .ok_or(JournalError::Malformed(record.header.sequence))?;
            }
        }
        // All of it stays here, compressed where there is an archive: the next start reads it from its first record.
        hold(&log, SESSIONS_CURSOR)?;
        let (wire, kept) = WireLog::open(data_dir, tail_dir, retention)?;
        for (name, kept) in kept {
            let session: &mut Known = known.entry(name).or_default();
            session.kept = kept.of(session.incarnation);
        }
        Ok((Self { appender, log, wire }, known))
    }

    /// The journal's log.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Records numbers for a session. Gives the record's sequence; it is in the mapped tail then.
    ///
    /// # Errors
    /// The journal's log takes nothing now.
    pub fn record(&mut self, kind: u16, session: SessionRef<'_>, numbers: [u64; 3]) -> Result<u64, AppendError> {
        self.write(kind, session, numbers, "", &[])
    }

    /// Records a refusal with the message's bytes.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn refused(
        &mut self,
        session: SessionRef<'_>,
        seq: u64,
        after: u64,
        code: &str,
        raw: &[u8],
    ) -> Result<u64, AppendError> {
        self.write(kind::REFUSED, session, [seq, seq, after], code, raw)
    }

    fn write(
        &mut self,
        kind: u16,
        session: SessionRef<'_>,
        numbers: [u64; 3],
        code: &str,
        raw: &[u8],
    ) -> Result<u64, AppendError> {
        let (name, code) = (session.name.as_bytes(), code.as_bytes());
        assert!(name.len() <= usize::from(u8::MAX));
        assert!(code.len() <= usize::from(u8::MAX));
        let refusal = if kind == kind::REFUSED { 1 + code.len() + raw.len() } else { 0 };
        let meta = RecordMeta { kind, version: 1, partition: 0, previous: NO_ADDRESS, group: Group::Single };
        let fill = |out: &mut [u8]| {
            let (head, rest) = out.split_at_mut(32);
            head[..4].copy_from_slice(&session.incarnation.to_le_bytes());
            head[4..8].copy_from_slice(&[name.len() as u8, 0, 0, 0]);
            for (slot, number) in head[8..].chunks_exact_mut(8).zip(numbers) {
                slot.copy_from_slice(&number.to_le_bytes());
            }
            let (named, rest) = rest.split_at_mut(name.len());
            named.copy_from_slice(name);
            if refusal > 0 {
                rest[0] = code.len() as u8;
                rest[1..=code.len()].copy_from_slice(code);
                rest[1 + code.len()..].copy_from_slice(raw);
            }
        };
        self.appender.append(&meta, 32 + name.len() + refusal, fill).map(|appended| appended.sequence)
    }

    /// Leaves the journal as a killed process does. For tests and for `burst`.
    pub fn abandon(self) {
        self.appender.abandon();
        self.wire.abandon();
    }

    /// Closes the journal.
    ///
    /// # Errors
    /// Its log had stopped.
    pub fn close(self) -> Result<(), lotbook_wal::LatchedError> {
        let closed = self.wire.close();
        self.appender.close().and(closed)
    }
}

fn note(known: &mut HashMap<String, Known>, kind: u16, payload: &[u8]) -> Option<()> {
    let (head, rest) = payload.split_at_checked(32)?;
    let incarnation = u32::from_le_bytes(head[..4].try_into().ok()?);
    let number = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let [a, b, c] = [number(8)?, number(16)?, number(24)?];
    let name = std::str::from_utf8(rest.get(..usize::from(head[4]))?).ok()?;
    let session = known.entry(name.to_owned()).or_default();
    if kind == kind::RESTARTED {
        let consumed = if c == 0 { Vec::new() } else { vec![(c, 0)] };
        *session = Known { incarnation, reserved_through: a, consumed, window_s: b.cast_signed(), ..Known::default() };
        return Some(());
    }
    if incarnation != session.incarnation {
        // A record from before a restart that overtook it; void.
        return Some(());
    }
    match kind {
        kind::CONSUMED | kind::REFUSED => {
            // Of two entries with the same trade before, the later says more.
            match session.consumed.last_mut() {
                Some(last) if last.1 == c => last.0 = last.0.max(b),
                _ => session.consumed.push((b, c)),
            }
            session.ended = None;
        }
        kind::RESERVED => {
            session.reserved_through = session.reserved_through.max(a);
            session.ended = None;
        }
        kind::ENDED => session.ended = Some((a, b)),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_in_is_the_contiguous_prefix() {
        let consumed = |pairs: &[(u64, u64)]| Known { consumed: pairs.to_vec(), ..Known::default() };
        for (pairs, shard_max, next) in [
            (&[][..], 0, 1),
            (&[(1, 0)], 0, 2),
            (&[(1, 0)], 7, 8),
            (&[(1, 0), (8, 7)], 7, 9),
            (&[(1, 0), (8, 7)], 6, 7), // trade 7 never reached the shard's log
            (&[(1, 0), (4, 3), (9, 8)], 3, 5),
            (&[(1, 0), (4, 3), (9, 8)], 8, 10),
        ] {
            assert_eq!(consumed(pairs).next_in(shard_max), next, "{pairs:?} {shard_max}");
        }
    }

    #[test]
    fn sessions_survive_close_and_crash() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let session = SessionRef { name: "LOTBOOK:BUY1", incarnation: 0 };
        let (mut journal, known) = Journal::open(dir.path(), None, &Retention::default()).expect("a new journal");
        assert!(known.is_empty());
        journal.record(kind::RESERVED, session, [10_000, 0, 0]).expect("room");
        journal.record(kind::CONSUMED, session, [1, 1, 0]).expect("room");
        journal.refused(session, 5, 4, "BAD", b"8=FIX").expect("room");
        journal.abandon();
        let (mut journal, known) = Journal::open(dir.path(), None, &Retention::default()).expect("recovery");
        let found = &known["LOTBOOK:BUY1"];
        assert_eq!((found.next_in(4), found.next_in(3), found.next_out()), (6, 4, 10_001));
        journal.record(kind::ENDED, session, [6, 42, 0]).expect("room");
        journal.close().expect("closed");
        let (mut journal, known) = Journal::open(dir.path(), None, &Retention::default()).expect("reopening");
        assert_eq!((known["LOTBOOK:BUY1"].next_in(4), known["LOTBOOK:BUY1"].next_out()), (6, 42));
        journal.record(kind::RESTARTED, session_at(1), [500, 77, 1]).expect("room");
        journal.close().expect("closed");
        let (journal, known) = Journal::open(dir.path(), None, &Retention::default()).expect("reopening");
        let found = &known["LOTBOOK:BUY1"];
        assert_eq!((found.incarnation, found.next_in(0), found.next_out(), found.window_s), (1, 2, 501, 77));
        journal.close().expect("closed");
    }

    fn session_at(incarnation: u32) -> SessionRef<'static> {
        SessionRef { name: "LOTBOOK:BUY1", incarnation }
    }
}
