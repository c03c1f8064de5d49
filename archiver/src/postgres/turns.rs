//! A thread of the archive: sessions one after the other, with backoff and breaker between them, until it is told to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::Notify;

use super::error::{Mend, PgError};
use crate::retry::{Retry, RetryTerms};
use crate::status::{SinkBoard, SinkState, SinkStatus};

/// How long anything is waited for before it is looked whether the thread is to stop.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a thread does from a connection to its end.
pub(super) trait Session: Send + 'static {
    /// Ends well only when there will be nothing more to do, or the thread is to stop.
    fn session(&mut self, turns: &mut Turns) -> impl Future<Output = Result<(), PgError>>;
}

/// Whether the thread is to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    told: AtomicBool,
    bell: Notify,
}

impl Stop {
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }
}

/// A running thread. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Thread {
    name: &'static str,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts it; `thread` is its name in the system, the board's that in words.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        thread: &str,
        board: SinkBoard,
        retry: RetryTerms,
        seed: u64,
        session: impl Session,
    ) -> io::Result<Self> {
        let (name, stop) = (board.name(), Arc::new(Stop::default()));
        let turns = Turns { board, stop: stop.clone(), retry: Retry::new(retry, seed), began: Instant::now() };
        let thread = std::thread::Builder::new().name(thread.into()).spawn(move || turns.run(session))?;
        Ok(Self { name, stop, thread: Some(thread) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.told.store(true, Ordering::Relaxed);
        self.stop.bell.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(sink = self.name, "a thread of the archive panicked");
        }
    }
}

/// The turns of a thread, and what it says of them.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) board: SinkBoard,
    pub(super) stop: Arc<Stop>,
    retry: Retry,
    began: Instant,
}

impl Turns {
    fn run(mut self, mut session: impl Session) {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.board.write(|status| {
                    status.state = SinkState::Stopped;
                    status.problem = Some(format!("no runtime: {error}"));
                });
                return;
            }
        };
        while !self.stop.is_told() {
            let stop = self.stop.clone();
            let ended = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.bell.notified() => Ok(()),
                    ended = session.session(&mut self) => ended,
                }
            });
            let Err(error) = ended else { break };
            self.failed(&error);
            self.pause();
        }
        // Sockets are closed before the thread ends.
        drop(runtime);
        self.board.write(|status| status.state = SinkState::Stopped);
    }

    fn failed(&mut self, error: &PgError) {
        let now = self.began.elapsed();
        self.retry.failed(now);
        let state = match error.mend() {
            Mend::Time => SinkState::Failing,
            Mend::Person => SinkState::Refused,
        };
        let sink = self.board.name();
        tracing::warn!(sink, state = state.as_str(), failures = self.retry.failures(), "{error}");
        let (breaker, opened) = (self.retry.breaker(now), self.retry.opened());
        self.board.write(|status| {
            status.state = state;
            status.problem = Some(error.to_string());
            status.failures += 1;
            status.breaker = breaker;
            status.breaker_opened = opened;
        });
    }

    fn pause(&self) {
        while !self.stop.is_told() {
            let left = self.retry.wait(self.began.elapsed());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
        let breaker = self.retry.breaker(self.began.elapsed());
        self.board.write(|status| status.breaker = breaker);
    }

    /// Something went well: it follows, and what it did is told.
    pub(super) fn succeeded(&mut self, tell: impl FnOnce(&mut SinkStatus)) {
        self.retry.succeeded();
        let breaker = self.retry.breaker(self.began.elapsed());
        self.board.write(|status| {
            status.state = SinkState::Following;
            status.problem = None;
            status.breaker = breaker;
            tell(status);
        });
    }
}
