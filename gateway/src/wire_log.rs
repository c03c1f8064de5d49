//! The wire log: messages of the FIX door as they were on the wire, in `wire/` beside the other logs.
//!
//! What comes in is written before anything looks at a field of it, once its length and its checksum are right; each answer is written
//! before it leaves. So a mended parser can be applied to yesterday's bytes (`lotbook replay --input-format fix DIR/wire`), an answer is sent
//! again as it was though the process was killed in between, and a trade whose answer a crash took is asked about again.
//!
//! It is evidence and memory, not the truth: the book never reads it. Sealed segments are shipped and dropped as those of other logs, and
//! no answer waits for it to be durable (decision 0026).
//!
//! Payloads, version 1, little endian:
//!
//! ```text
//! 0      8        16          24            28          29          30     32
//! | time | number | refers to | incarnation | name len  | type len  | 0 0  | name | type | bytes |
//! ```
//!
//! `time` is UTC nanoseconds. Of a message that came in, `bytes` is all of it, and number, reference and type are empty: nobody has read
//! them. That it was delivered is a record behind it, with its `number` and nothing else: a message that is too low, or beyond a gap, has
//! none. Of an answer, `number` is its MsgSeqNum, `refers to` that of the message it answers, `bytes` its fields behind the header.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use lotbook_wal::{
    AppendError, Appender, From, Group, Limit, Log, LogConfig, NO_ADDRESS, Opened, ReadOnlyLog, RecordMeta, Retention,
};

use crate::fix::frame;
use crate::journal::{JournalError, SessionRef};

/// Its directory in the data directory.
pub const DIR: &str = "wire";
/// Records at the end that a start reads: what is still in flight at a crash, and answers that may be asked for again.
pub const READ_BACK_RECORDS: u64 = 32_768;
const HEAD_BYTES: usize = 32;

/// Kinds of its records. Numbers are never reused.
pub mod kind {
    /// A message came in.
    pub const RECEIVED: u16 = 96;
    /// An answer went out, or took its number for later.
    pub const ANSWERED: u16 = 97;
    /// The message of the record before was in turn and is a trade or an amendment: it will be answered.
    pub const DELIVERED: u16 = 98;
}

/// An answer as it was first sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its MsgSeqNum.
    pub number: u64,
    /// Its SendingTime.
    pub at_ns: i64,
    /// Its MsgType.
    pub msg_type: Vec<u8>,
    /// Its fields behind the header.
    pub body: Vec<u8>,
}

/// What the end of the wire log knows of a session's present incarnation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    incarnation: u32,
    /// Answers, in the order of their numbers.
    pub answers: Vec<Answered>,
    /// Delivered messages by their MsgSeqNum that have no answer here.
    pub unanswered: BTreeMap<u64, Vec<u8>>,
}

/// The open wire log.
#[derive(Debug)]
pub struct WireLog {
    appender: Appender,
    log: Arc<Log>,
}

impl WireLog {
    /// Opens the wire log of a data directory and reads its end.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(
        data_dir: &Path,
        tail_dir: Option<&Path>,
        retention: &Retention,
    ) -> Result<(Self, HashMap<String, Kept>), JournalError> {
        let mut config = LogConfig::new(data_dir.join(DIR));
        config.tail_dir = tail_dir.map(Path::to_path_buf);
        config.segment_bytes = 16 << 20;
        // 8 MiB: at 100,000 messages a second, with their answers, a tenth of a second that the disk may stand still.
        config.tail_blocks = 128;
        config.name = "wire";
        // The budget is for the main log: without an archive nothing here could be dropped.
        config.retention = Retention { budget_bytes: None, ..retention.clone() };
        // Nobody waits for it.
        config.idle_sleep_us = 500;
        config.flushes_in_flight = 1;
        let Opened { log, appender, .. } = lotbook_wal::open(config)?;
        let mut kept = HashMap::new();
        let end = appender.next_sequence();
        let mut reader = match log.reader(From::Sequence(end.saturating_sub(READ_BACK_RECORDS).max(1))) {
            // Dropped meanwhile, or not so many: from what there is.
            Err(lotbook_wal::ReadError::Gone { .. }) => log.reader(From::Start)?,
            found => found?,
        };
        let mut last = Vec::new();
        while let Some(record) = reader.next(Limit::Applied)? {
            note(&mut kept, &mut last, record.header.kind, record.payload)
                .ok_or(JournalError::Malformed(record.header.sequence))?;
        }
        Ok((Self { appender, log }, kept))
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Writes a message that came in: it survives a killed process when this returns. `session` is empty before the first message has
    /// named one.
    ///
    /// # Errors
    /// The log takes nothing now; the message must not be taken either.
    pub fn received(&mut self, session: SessionRef<'_>, at_ns: i64, bytes: &[u8]) -> Result<(), AppendError> {
        self.write(kind::RECEIVED, session, at_ns, [0, 0], b"", bytes)
    }

    /// Marks the message that was written last as delivered under its number.
    ///
    /// # Errors
    /// The log takes nothing now. Without the record its answer, should a crash take it, is not made again.
    pub fn delivered(&mut self, session: SessionRef<'_>, number: u64) -> Result<(), AppendError> {
        self.write(kind::DELIVERED, session, 0, [number, 0], b"", &[])
    }

    /// Writes an answer with its number, and the number of what it answers.
    ///
    /// # Errors
    /// The log takes nothing now. Without the record the answer is gap-filled after a crash, and its trade asked about again.
    pub fn answered(
        &mut self,
        session: SessionRef<'_>,
        at_ns: i64,
        [number, refers_to]: [u64; 2],
        msg_type: &[u8],
        body: &[u8],
    ) -> Result<(), AppendError> {
        self.write(kind::ANSWERED, session, at_ns, [number, refers_to], msg_type, body)
    }

    fn write(
        &mut self,
        kind: u16,
        session: SessionRef<'_>,
        at_ns: i64,
        [number, refers_to]: [u64; 2],
        msg_type: &[u8],
        bytes: &[u8],
    ) -> Result<(), AppendError> {
        let name = session.name.as_bytes();
        assert!(name.len() <= usize::from(u8::MAX));
        assert!(msg_type.len() <= usize::from(u8::MAX));
        let meta = RecordMeta { kind, version: 1, partition: 0, previous: NO_ADDRESS, group: Group::Single };
        let fill = |out: &mut [u8]| {
            let (head, rest) = out.split_at_mut(HEAD_BYTES);
            head[..8].copy_from_slice(&at_ns.to_le_bytes());
            head[8..16].copy_from_slice(&number.to_le_bytes());
            head[16..24].copy_from_slice(&refers_to.to_le_bytes());
            head[24..28].copy_from_slice(&session.incarnation.to_le_bytes());
            head[28..].copy_from_slice(&[name.len() as u8, msg_type.len() as u8, 0, 0]);
            let (named, rest) = rest.split_at_mut(name.len());
            named.copy_from_slice(name);
            let (typed, rest) = rest.split_at_mut(msg_type.len());
            typed.copy_from_slice(msg_type);
            rest.copy_from_slice(bytes);
        };
        self.appender.append(&meta, HEAD_BYTES + name.len() + msg_type.len() + bytes.len(), fill).map(|_| ())
    }

    /// Leaves it as a killed process does.
    pub(crate) fn abandon(self) {
        self.appender.abandon();
    }

    /// Closes it.
    ///
    /// # Errors
    /// It had stopped.
    pub fn close(self) -> Result<(), lotbook_wal::LatchedError> {
        self.appender.close()
    }
}

/// A Logon with its secrets blanked and the checksum put right; `None` for everything else. Passwords are written nowhere.
#[must_use]
pub fn without_secrets(message: &[u8]) -> Option<Vec<u8>> {
    const SECRETS: [&[u8]; 2] = [b"\x01554=", b"\x01925="];
    const TRAILER_BYTES: usize = b"10=nnn|".len();
    // MsgType is the third field, and nearly no message is a Logon.
    let body = memchr::memchr_iter(frame::SOH, message).nth(1)? + 1;
    if !message[body..].starts_with(b"35=A\x01") {
        return None;
    }
    let mut masked = message.to_vec();
    for secret in SECRETS {
        let mut from = 0;
        while let Some(at) = memchr::memmem::find(&masked[from..], secret) {
            let start = from + at + secret.len();
            let end = memchr::memchr(frame::SOH, &masked[start..]).map_or(masked.len(), |at| start + at);
            masked[start..end].fill(b'*');
            from = end;
        }
    }
    let body_end = masked.len().checked_sub(TRAILER_BYTES)?;
    let sum = frame::check_sum_digits(frame::check_sum(&masked[..body_end]));
    masked[body_end + 3..body_end + 6].copy_from_slice(&sum);
    Some(masked)
}

/// A record's parts.
struct Entry<'a> {
    at_ns: i64,
    number: u64,
    refers_to: u64,
    incarnation: u32,
    name: &'a str,
    msg_type: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    fn of(payload: &'a [u8]) -> Option<Self> {
        let (head, rest) = payload.split_at_checked(HEAD_BYTES)?;
        let word = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let (name, rest) = rest.split_at_checked(usize::from(head[28]))?;
        let (msg_type, bytes) = rest.split_at_checked(usize::from(head[29]))?;
        Some(Self {
            at_ns: word(0)?.cast_signed(),
            number: word(8)?,
            refers_to: word(16)?,
            incarnation: u32::from_le_bytes(head[24..28].try_into().ok()?),
            name: std::str::from_utf8(name).ok()?,
            msg_type,
            bytes,
        })
    }
}

/// Takes a record into what is known; `last` is the message that came in last. `None` where the record is malformed.
fn note(kept: &mut HashMap<String, Kept>, last: &mut Vec<u8>, kind: u16, payload: &[u8]) -> Option<()> {
    let entry = match kind {
        kind::RECEIVED | kind::ANSWERED | kind::DELIVERED => Entry::of(payload)?,
        _ => return Some(()),
    };
    if kind == kind::RECEIVED {
        last.clear();
        last.extend_from_slice(entry.bytes);
        return Some(());
    }
    // Of an incarnation before the present one nothing is of use.
    if kept.get(entry.name).is_none_or(|session| session.incarnation < entry.incarnation) {
        kept.insert(entry.name.to_owned(), Kept { incarnation: entry.incarnation, ..Kept::default() });
    }
    let session = kept.get_mut(entry.name)?;
    if entry.incarnation < session.incarnation {
        return Some(());
    }
    if kind == kind::DELIVERED {
        // Where the reading began between the two, its bytes are not known.
        if !last.is_empty() {
            session.unanswered.insert(entry.number, std::mem::take(last));
        }
        return Some(());
    }
    session.unanswered.remove(&entry.refers_to);
    if session.answers.last().is_none_or(|before| before.number < entry.number) {
        session.answers.push(Answered {
            number: entry.number,
            at_ns: entry.at_ns,
            msg_type: entry.msg_type.to_vec(),
            body: entry.bytes.to_vec(),
        });
    }
    Some(())
}

impl Kept {
    /// What is of this incarnation; nothing where it is another one's.
    #[must_use]
    pub fn of(self, incarnation: u32) -> Self {
        if self.incarnation == incarnation { self } else { Self { incarnation, ..Self::default() } }
    }
}

/// The messages that came in, back to back, as `lotbook replay` reads them: without the log's own records, and without the answers.
pub struct Received {
    log: ReadOnlyLog,
    message: Vec<u8>,
    start: usize,
}

impl Received {
    /// The wire log in `dir`, which a host may be writing. `None` where there is no log.
    pub fn open(dir: &Path) -> Option<Self> {
        let log = lotbook_wal::open_read_only(dir).ok()?;
        Some(Self { log, message: Vec::new(), start: 0 })
    }

    /// Whether the directory is a wire log: by its name, as that of every log is told.
    pub fn is_there(dir: &Path) -> bool {
        dir.file_name().is_some_and(|name| name == DIR) && dir.is_dir()
    }
}

impl Read for Received {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.start == self.message.len() {
            let Some(record) = self.log.next().map_err(io::Error::other)? else { return Ok(0) };
            if record.header.kind == kind::RECEIVED {
                let entry = Entry::of(record.payload).ok_or(io::ErrorKind::InvalidData)?;
                self.message.clear();
                self.message.extend_from_slice(entry.bytes);
                self.start = 0;
            }
        }
        let count = into.len().min(self.message.len() - self.start);
        into[..count].copy_from_slice(&self.message[self.start..self.start + count]);
        self.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn open(dir: &Path) -> (WireLog, HashMap<String, Kept>) {
        WireLog::open(dir, Some(dir), &Retention::default()).expect("a wire log")
    }

    fn answer(wire: &mut WireLog, session: SessionRef<'_>, number: u64, refers_to: u64) {
        wire.answered(session, 7, [number, refers_to], b"AR", b"571=E\x01").expect("room");
    }

    #[test]
    fn passwords_are_blanked_and_nothing_else_is() {
        use crate::fix::fixtures::{framed, parsed, shown};
        let logon = framed("FIX.4.4", "35=A|49=C|56=L|34=1|98=0|108=30|553=ann|554=secret|925=new|");
        let masked = without_secrets(&logon).expect("a Logon");
        assert_eq!(parsed(&masked).fault(), None);
        assert!(shown(&masked).contains("|553=ann|554=******|925=***|10="), "{}", shown(&masked));
        let plain = framed("FIX.4.4", "35=A|49=C|56=L|34=1|98=0|108=30|");
        assert_eq!(without_secrets(&plain).as_deref(), Some(plain.as_slice()));
        assert_eq!(without_secrets(&framed("FIX.4.4", "35=8|49=C|56=L|34=1|554=x|")), None);
    }

    #[test]
    fn a_crash_leaves_answers_and_what_was_not_answered() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let session = SessionRef { name: "LOTBOOK:BUY1", incarnation: 0 };
        let (mut wire, kept) = open(dir.path());
        assert!(kept.is_empty());
        wire.received(SessionRef { name: "", incarnation: 0 }, 1, b"logon").expect("room");
        for number in 2..6_u64 {
            wire.received(session, 1, format!("trade {number}").as_bytes()).expect("room");
            wire.delivered(session, number).expect("room");
        }
        // Not delivered: too low, or beyond a gap.
        wire.received(session, 1, b"another").expect("room");
        answer(&mut wire, session, 2, 2);
        answer(&mut wire, session, 3, 4);
        wire.abandon();

        let (mut wire, kept) = open(dir.path());
        let found = kept["LOTBOOK:BUY1"].clone().of(0);
        assert_eq!(found.answers.iter().map(|answer| answer.number).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((found.answers[0].at_ns, found.answers[0].body.as_slice()), (7, &b"571=E\x01"[..]));
        let unanswered: Vec<_> = found.unanswered.iter().map(|(number, bytes)| (*number, bytes.as_slice())).collect();
        assert_eq!(unanswered, [(3, &b"trade 3"[..]), (5, b"trade 5")]);
        // After a restart of both directions nothing of before is known.
        assert_eq!(kept["LOTBOOK:BUY1"].clone().of(1), Kept { incarnation: 1, ..Kept::default() });
        answer(&mut wire, SessionRef { incarnation: 1, ..session }, 2, 2);
        wire.close().expect("closed");
        let (wire, kept) = open(dir.path());
        assert_eq!(kept["LOTBOOK:BUY1"].answers.len(), 1);
        assert!(kept["LOTBOOK:BUY1"].unanswered.is_empty());
        wire.close().expect("closed");

        let mut text = String::new();
        let mut received = Received::open(&dir.path().join(DIR)).expect("a log");
        received.read_to_string(&mut text).expect("read");
        assert_eq!(text, "logontrade 2trade 3trade 4trade 5another");
    }
}
