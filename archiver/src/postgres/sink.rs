//! The sink: follows a shard's durable log into Postgres, on a thread of its own.
//!
//! ```text
//! connect -> schema -> cursor of the database -> reader behind it -> batch, batch, batch ...
//!    ^                                                                 |
//!    +------------- backoff, breaker <------------- any error ---------+
//! ```
//! After any error the connection is dropped and the database's cursor is asked again: so a batch whose answer was lost is found, and
//! none is written twice. Whatever the database does, the log goes on; what the sink has not taken, its cursor in the log holds.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::batch::{self, Records, Take, Written};
use super::error::PgError;
use super::link::{Archived, Target, within};
use super::migrate;
use super::row::Rows;
use super::turns::{LOOK_EVERY, Session, Stop, Thread, Turns};
use crate::cursor::{register, resume};
use crate::names::LearnedNames;
use crate::retry::RetryTerms;
use crate::status::{SinkBoard, SinkState, SinkStatus};
use lotbook_wal::{Cursor, CursorClass, CursorError, Limit, Log, LogPosition, Reader};

/// Name of the sink, of its cursor and of its labels.
pub const NAME: &str = "postgres";
/// How long the rest of a group of records is waited for.
const GROUP_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of log records in one batch, whatever its rows: so that a batch ends within the patience.
const BATCH_LOG_BYTES_MAX: u64 = 64 << 20;

/// What a sink is told.
#[derive(Clone, Debug)]
pub struct SinkTerms {
    /// Where the archive is.
    pub target: Target,
    /// The shard whose log it is.
    pub shard: i16,
    /// Rows that make a batch; at least 1.
    pub batch_rows: u64,
    /// Rows of a batch when so many wait; at least `batch_rows`.
    pub backlog_rows: u64,
    /// After so long fewer rows make a batch too.
    pub batch_delay: Duration,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Whether the schema is brought up at start.
    pub migrate: bool,
    /// Whether the log keeps what the sink has not taken when space runs short.
    pub class: CursorClass,
    /// How soon it is tried again.
    pub retry: RetryTerms,
}

/// A running sink. Dropping it stops it, and waits until it has. A batch under way is given up: the server rolls it back, and the next
/// start writes it.
#[derive(Debug)]
pub struct Sink {
    board: SinkBoard,
    _thread: Thread,
}

/// Names defined so far: asked once, on the sink's thread, before it reads the log.
pub type KnownNames = Box<dyn FnOnce() -> LearnedNames + Send>;

impl Sink {
    /// Starts the thread. The log's cursor is registered when this returns, so from then on the log holds what the sink needs. Nothing
    /// here waits for the database.
    ///
    /// # Errors
    /// The log's cursor cannot be had, or no thread can be started.
    pub fn start(log: &Arc<Log>, names: KnownNames, terms: SinkTerms) -> Result<Self, CursorError> {
        let cursor = register(log, NAME, terms.class)?;
        let board = SinkBoard::new(NAME);
        if let Some(position) = cursor.position() {
            board.write(|status| status.sequence = position.sequence);
        }
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let (seed, retry) = (seed ^ log.log_id(), terms.retry);
        let rows = Rows::new(terms.shard, LearnedNames::new());
        let follower = Follower { log: log.clone(), names: Some(names), rows, terms, cursor };
        let thread = Thread::start("lb-archive-pg", board.clone(), retry, seed, follower);
        let thread =
            thread.map_err(|source| CursorError::Disk(lotbook_wal::DiskError::new("clone", log.dir(), 0, source)))?;
        Ok(Self { board, _thread: thread })
    }

    /// What it says of itself.
    #[must_use]
    pub fn board(&self) -> &SinkBoard {
        &self.board
    }
}

struct Follower {
    log: Arc<Log>,
    names: Option<KnownNames>,
    rows: Rows,
    terms: SinkTerms,
    cursor: Cursor,
}

impl Session for Follower {
    /// It ends well only when the log has ended or the sink is to stop.
    async fn session(&mut self, turns: &mut Turns) -> Result<(), PgError> {
        let mut link = self.terms.target.connect(self.terms.patience).await?;
        let patience = self.terms.patience;
        match within(patience, "checking the schema", migrate::check(&link.client)).await {
            Err(PgError::SchemaOlder { .. }) if self.terms.migrate => {
                within(patience, "bringing the schema up", migrate::migrate(&mut link.client)).await?;
            }
            checked => checked?,
        }
        let found = link.cursor(self.terms.shard).await?;
        let none = LogPosition { log_id: self.log.log_id(), epoch: 0, sequence: 0, checksum: 0 };
        let mut at = found.unwrap_or(Archived { position: none, occurred_at_ns: 0 });
        let mut reader = resume(&self.log, &mut self.cursor, found.map(|found| found.position)).map_err(of_cursor)?;
        // What is defined from now on is learned from the log.
        if let Some(names) = self.names.take() {
            self.rows = Rows::new(self.terms.shard, names());
        }
        turns.board.write(|status| {
            status.state = SinkState::Following;
            // Committed, and its answer was lost: the batch is there.
            if at.position.sequence > status.sequence && status.batches > 0 {
                status.commits_found += 1;
            }
            status.sequence = at.position.sequence;
            status.occurred_at_ns = at.occurred_at_ns;
        });
        while self.gather(&reader, &turns.stop)? {
            let began = Instant::now();
            let batch_rows = self.batch_rows(at.position.sequence);
            let mut records = Piece::new(&mut reader, batch_rows);
            let written = batch::write(&mut link, self.terms.shard, &at, &mut self.rows, &mut records).await?;
            if let Some(written) = written {
                at = written.archived;
                self.cursor.advance(&written.header).map_err(PgError::Hold)?;
                turns.succeeded(|status| tell(status, &written, began.elapsed()));
            }
            // A told stop is heard between two batches.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl Follower {
    /// Waits until there is a batch; false when there will be none.
    fn gather(&self, reader: &Reader, stop: &Stop) -> Result<bool, PgError> {
        let mut waits_since = None;
        while !stop.is_told() {
            let waiting = (self.log.durable_sequence() + 1).saturating_sub(reader.sequence());
            let ended = self.log.has_ended();
            let since = *waits_since.get_or_insert_with(Instant::now);
            match waiting {
                0 if ended => return Ok(false),
                0 => waits_since = None,
                _ if waiting >= self.terms.batch_rows || ended || since.elapsed() >= self.terms.batch_delay => {
                    return Ok(true);
                }
                _ => {}
            }
            if waits_since.is_none() {
                reader.wait(Limit::Durable, LOOK_EVERY)?;
            } else {
                std::thread::sleep(LOOK_EVERY.min(self.terms.batch_delay));
            }
        }
        Ok(false)
    }

    /// Rows of the next batch: more where more wait.
    fn batch_rows(&self, at_sequence: u64) -> u64 {
        let waiting = self.log.durable_sequence().saturating_sub(at_sequence);
        waiting.clamp(self.terms.batch_rows, self.terms.backlog_rows.max(self.terms.batch_rows))
    }
}

fn tell(status: &mut SinkStatus, written: &Written, took: Duration) {
    status.sequence = written.archived.position.sequence;
    status.occurred_at_ns = written.archived.occurred_at_ns;
    status.rows += written.rows;
    status.bytes += written.bytes;
    status.batches += 1;
    status.last_batch_rows = written.rows;
    status.last_batch_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
}

fn of_cursor(error: CursorError) -> PgError {
    match error {
        CursorError::Disk(_) => PgError::Hold(error),
        CursorError::Read(read) => PgError::Log(read),
        other => PgError::Cursor(other),
    }
}

/// The records of one batch: whole groups, up to about so many rows.
struct Piece<'a> {
    reader: &'a mut Reader,
    rows_left: u64,
    bytes_left: u64,
    in_group: bool,
}

impl<'a> Piece<'a> {
    fn new(reader: &'a mut Reader, rows: u64) -> Self {
        Self { reader, rows_left: rows, bytes_left: BATCH_LOG_BYTES_MAX, in_group: false }
    }
}

impl Records for Piece<'_> {
    fn next(&mut self, take: &mut Take<'_>) -> Result<bool, PgError> {
        let full = self.rows_left == 0 || self.bytes_left == 0;
        if full && !self.in_group {
            return Ok(false);
        }
        // The rest of a decision is on its way; where it does not come, none of it counts.
        if self.in_group && !self.reader.wait(Limit::Durable, GROUP_PATIENCE)? {
            return Err(PgError::Unfinished { sequence: self.reader.sequence() });
        }
        let Some(record) = self.reader.next(Limit::Durable)? else { return Ok(false) };
        take(&record.header, record.payload)?;
        self.in_group = record.header.group().continues();
        self.rows_left = self.rows_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(record.header.length.into());
        Ok(true)
    }
}
