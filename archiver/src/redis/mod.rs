//! The Redis sink: published positions, their lots and messages about them in a Redis database, by a thread of its own.
//!
//! It is fed by what is published, not by the log: a set of changed positions, of which the newest state is written whenever Redis takes it.
//! So a Redis that is slow, frozen or gone costs nothing but its own freshness. Only what is durable leaves. Everything in Redis can be had
//! again: when its marker is not what this process wrote, all is written anew. Keys, fields and values are in `docs/redis.md`, the reasons in
//! `docs/decisions/0025-redis-is-a-cache.md`.

mod backlog;
mod connection;
mod error;
mod limits;
mod marker;
mod resp;
mod sink;
mod socket;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::retry::RetryTerms;
use crate::status::{SinkBoard, SinkState};

pub use self::backlog::Key;
use self::connection::Plug;
pub use self::error::RedisError;
pub use self::limits::BATCH_MAX;
pub use self::marker::{FORMAT, Identity, Why};
use self::sink::Sink;
pub use self::socket::UNIX;

/// Where Redis is, and how it is written to.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Host and port, or `unix:` and a path.
    pub address: String,
    /// User of its access lists; `None`: the default one.
    pub user: Option<String>,
    /// File with the password; `None`: no login.
    pub password_file: Option<PathBuf>,
    /// Number of the database.
    pub database: u32,
    /// In front of every key and channel.
    pub prefix: String,
    /// Between two looks at what changed.
    pub interval: Duration,
    /// Positions in a transaction, 1 to [`BATCH_MAX`].
    pub batch: usize,
    /// For a connection, and for the answers to a transaction.
    pub timeout: Duration,
    /// When a failed try is made again.
    pub retry: RetryTerms,
}

/// A position as it is written.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Account: part of the key.
    pub account: Arc<str>,
    /// Instrument: the field.
    pub instrument: Arc<str>,
    /// The position.
    pub position: Vec<u8>,
    /// Its lots, where they were asked for.
    pub lots: Option<Vec<u8>>,
}

/// What is written: published positions and how far the log is. None of these waits, but [`Source::wait_durable`].
pub trait Source: Send {
    /// Every event up to this sequence is in what [`Self::show`] gives from now on, and was told by [`Self::changed`] or will be by its next call.
    fn published(&self) -> u64;

    /// Nothing that [`Self::show`] has given so far shows an event beyond this sequence.
    fn shown_through(&self) -> u64;

    /// Takes what changed since the last call: positions, and instruments whose mark or terms did.
    fn changed(&mut self, positions: &mut Vec<Key>, instruments: &mut Vec<u32>);

    /// All positions.
    fn all(&self) -> Vec<Key>;

    /// A position as it is now.
    fn show(&mut self, key: Key, lots: bool) -> Option<Shown>;

    /// Account and instrument of a position.
    fn names(&self, key: Key) -> Option<(Arc<str>, Arc<str>)>;

    /// Waits until a sequence is durable; false when it is not yet.
    ///
    /// # Errors
    /// It never will be, in words.
    fn wait_durable(&self, sequence: u64, timeout: Duration) -> Result<bool, String>;
}

/// What only this sink says of itself, beside its [`SinkBoard`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Everything is being written anew, and why.
    pub rebuilding: Option<Why>,
    /// How often everything was written anew, since the start.
    pub rebuilds: u64,
    /// Messages published since the start.
    pub messages: u64,
    /// Positions that are known to be written yet.
    pub backlog: u64,
    /// Keys that Redis has thrown away for want of memory, since it was connected to.
    pub evicted: u64,
}

/// What the thread shares with whoever looks at it or ends it.
#[derive(Clone, Debug)]
struct Shared {
    board: SinkBoard,
    extra: Arc<Mutex<Extra>>,
    stop: Arc<AtomicU8>,
    plug: Plug,
}

/// Goes on.
const RUNS: u8 = 0;
/// Writes what there is, if Redis takes it, and ends.
const ENDS: u8 = 1;

/// The running sink.
#[derive(Debug)]
pub struct RedisSink {
    shared: Shared,
    thread: Option<JoinHandle<()>>,
}

/// A sink's status, for whoever shows it.
#[derive(Clone, Debug)]
pub struct RedisView {
    /// What every sink says.
    pub board: SinkBoard,
    extra: Arc<Mutex<Extra>>,
}

impl RedisView {
    /// What only this sink says.
    #[must_use]
    pub fn extra(&self) -> Extra {
        self.extra.lock().clone()
    }
}

impl RedisSink {
    /// Starts the thread. Whether Redis is there is its own affair.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(config: RedisConfig, us: Identity, source: Box<dyn Source>) -> io::Result<Self> {
        let (board, extra) = (SinkBoard::new("redis"), Arc::default());
        let shared = Shared { board, extra, stop: Arc::new(AtomicU8::new(RUNS)), plug: Plug::default() };
        let sink = Sink::new(config, us, source, shared.clone());
        let thread = Builder::new().name("lb-redis".into()).spawn(move || sink.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Its status, for whoever shows it.
    #[must_use]
    pub fn view(&self) -> RedisView {
        RedisView { board: self.shared.board.clone(), extra: self.shared.extra.clone() }
    }

    /// Lets it write what there is for so long, then ends it.
    pub fn stop(mut self, patience: Duration) {
        self.end(patience);
    }

    fn end(&mut self, patience: Duration) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.stop.store(ENDS, Ordering::Release);
        thread.thread().unpark();
        let deadline = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shared.plug.pull();
        if thread.join().is_err() {
            self.shared.board.write(|status| status.state = SinkState::Stopped);
        }
    }
}

impl Drop for RedisSink {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}
