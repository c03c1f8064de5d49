//! The side log: bodies of the coldpath's outcomes, each a run of records, durable before it is proposed.

use std::sync::Arc;
use std::time::Duration;

use lotbook_core::closed::BodyPlace;
use lotbook_core::digest;
use lotbook_core::event::CorrectedEvent;
use lotbook_core::outcome::Outcome;
use lotbook_wal::{AppendError, Appender, From, Group, Limit, Log, NO_ADDRESS, ReadError, RecordBuffer, RecordMeta};
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::limits::BODY_RECORD_BYTES;

/// Kind of a side-log record: a piece of an outcome's body.
pub const KIND_BODY: u16 = 64;

/// Where a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRef {
    /// Log id of the side log.
    pub log_id: u64,
    /// Address of the first record.
    pub address: u64,
    /// Sequence of the first record.
    pub sequence: u64,
    /// Bytes in all.
    pub bytes: u32,
    /// Digest of the bytes.
    pub digest: u64,
}

/// Why a body was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The side log takes nothing now.
    #[error("the side log has no space")]
    OutOfSpace,
    /// The side log stopped.
    #[error("the side log stopped: {0}")]
    Latched(String),
    /// Larger than a length field holds.
    #[error("an outcome of {0} bytes is too large")]
    TooLarge(usize),
    /// Reading failed.
    #[error("reading the side log: {0}")]
    Read(#[from] ReadError),
    /// What was read is not what the event names.
    #[error("the body at {address} of the side log is not the one that event names: {what}")]
    Mismatch {
        /// Address.
        address: u64,
        /// What differs.
        what: &'static str,
    },
}

/// The side log's writing end, shared by the workers: bodies go in one after the other, and wait for the disk together.
#[derive(Debug)]
pub(crate) struct SideWriter {
    appender: Mutex<Option<Appender>>,
    log: Arc<Log>,
    clock: Clock,
}

impl SideWriter {
    pub(crate) fn new(appender: Appender, log: Arc<Log>, clock: Clock) -> Self {
        Self { appender: Mutex::new(Some(appender)), log, clock }
    }

    /// Writes a body; it is durable once the sequence is that is given with it. Blocks while the log's tail is full.
    ///
    /// # Errors
    /// [`BodyError`]; the body is garbage then that nothing names.
    pub(crate) fn write(&self, outcome: &Outcome) -> Result<(BodyRef, u64), BodyError> {
        let body = outcome.encode();
        match &mut *self.clock.lock(&self.appender) {
            Some(appender) => append(appender, &self.log, &body, &self.clock),
            None => Err(BodyError::Latched("the host has stopped".into())),
        }
    }

    /// Waits until what was written up to this sequence is durable; false where it was told to wait no longer. Blocks.
    ///
    /// # Errors
    /// [`BodyError::Latched`]; it may be durable or not.
    pub(crate) fn await_durable(&self, sequence: u64, is_over: impl Fn() -> bool) -> Result<bool, BodyError> {
        loop {
            match self.clock.wait_durable(&self.log, sequence, Duration::from_millis(100)) {
                Ok(true) => return Ok(true),
                Ok(false) if is_over() => return Ok(false),
                Ok(false) => {}
                Err(error) => return Err(BodyError::Latched(error.to_string())),
            }
        }
    }

    /// Reads the body at a place.
    ///
    /// # Errors
    /// As [`read`].
    pub(crate) fn read(&self, place: &BodyPlace) -> Result<Outcome, BodyError> {
        read_body(&self.log, place)
    }

    /// The log itself.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Takes the appender away: nothing is written from here on. `None`: somebody writes for longer than that.
    pub(crate) fn close(&self, patience: Duration) -> Option<Appender> {
        self.appender.try_lock_for(patience)?.take()
    }
}

/// Appends a body, and says the sequence of its last record.
fn append(appender: &mut Appender, log: &Arc<Log>, body: &[u8], clock: &Clock) -> Result<(BodyRef, u64), BodyError> {
    let bytes = u32::try_from(body.len()).map_err(|_| BodyError::TooLarge(body.len()))?;
    let mut first = None;
    let mut last_sequence = 0;
    // Not a group: nothing names a body before all of it is durable, so a torn one is garbage, and a
    // group would have to fit the mapped tail whole.
    let meta = RecordMeta { kind: KIND_BODY, version: 1, partition: 0, previous: NO_ADDRESS, group: Group::Single };
    for piece in body.chunks(BODY_RECORD_BYTES) {
        let appended = loop {
            match appender.append(&meta, piece.len(), |payload| payload.copy_from_slice(piece)) {
                Ok(appended) => break appended,
                Err(AppendError::TailFull) => clock.sleep(Duration::from_micros(50)),
                Err(AppendError::OutOfSpace) => return Err(BodyError::OutOfSpace),
                Err(error) => return Err(BodyError::Latched(error.to_string())),
            }
        };
        first.get_or_insert(appended);
        last_sequence = appended.sequence;
    }
    // A body is never empty: its header alone has 64 bytes.
    let Some(first) = first else { unreachable!("a body has a header") };
    let body = BodyRef {
        log_id: log.log_id(),
        address: first.address,
        sequence: first.sequence,
        bytes,
        digest: digest::bytes(body),
    };
    Ok((body, last_sequence))
}

/// Reads bodies one after the other: those of corrections that were made together lie together.
#[derive(Debug, Default)]
pub struct Bodies {
    buffer: RecordBuffer,
}

impl Bodies {
    /// As [`read`], and faster where the body before it lies near. May block on the disk.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&mut self, log: &Arc<Log>, event: &CorrectedEvent) -> Result<Outcome, BodyError> {
        let place = BodyPlace::of(event);
        if place.log_id != log.log_id() || place.bytes as usize > BODY_RECORD_BYTES {
            return read_body(log, &place);
        }
        log.read_at(place.address, Limit::Applied, &mut self.buffer)?;
        let record = self.buffer.record();
        let mismatch = |what| BodyError::Mismatch { address: place.address, what };
        if record.header.sequence != place.sequence {
            return Err(mismatch("another sequence"));
        }
        if record.header.kind != KIND_BODY {
            return Err(mismatch("not a body"));
        }
        decode(record.payload, &place)
    }
}

/// Reads the body that a correction names.
///
/// # Errors
/// [`BodyError::Read`], [`BodyError::Mismatch`].
pub fn read(log: &Arc<Log>, event: &CorrectedEvent) -> Result<Outcome, BodyError> {
    read_body(log, &BodyPlace::of(event))
}

/// Reads the body at a place.
///
/// # Errors
/// As [`read`].
pub fn read_body(log: &Arc<Log>, place: &BodyPlace) -> Result<Outcome, BodyError> {
    let address = place.address;
    let mismatch = |what| BodyError::Mismatch { address, what };
    if place.log_id != log.log_id() {
        return Err(mismatch("another log id"));
    }
    let wanted = place.bytes as usize;
    let mut body = Vec::with_capacity(wanted);
    let mut reader = log.reader(From::Address(address))?;
    while body.len() < wanted {
        let record = reader.next(Limit::Applied)?.ok_or(mismatch("it ends early"))?;
        if body.is_empty() && record.header.sequence != place.sequence {
            return Err(mismatch("another sequence"));
        }
        if record.header.kind == KIND_BODY {
            body.extend_from_slice(record.payload);
        }
    }
    decode(&body, place)
}

/// Checks a body's bytes against what names them.
fn decode(body: &[u8], place: &BodyPlace) -> Result<Outcome, BodyError> {
    let mismatch = |what| BodyError::Mismatch { address: place.address, what };
    if body.len() != place.bytes as usize {
        return Err(mismatch("another length"));
    }
    if digest::bytes(body) != place.digest {
        return Err(mismatch("another digest"));
    }
    Outcome::decode(body).map_err(|_| mismatch("not a body"))
}
