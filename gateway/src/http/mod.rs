//! The HTTP door: health, metrics, positions, retention, commands, and an operator's resolution of breaks.
//!
//! It serves from the read model and from counters; only commands and resolutions reach the shard. A runtime of
//! its own keeps it apart from the doors that trade. There are no credentials yet, so the
//! configuration admits loopback addresses only, and so does [`serve`].

mod amendments;
mod audit;
mod coldpath;
mod commands;
mod control;
mod dead_letters;
pub mod health;
pub mod metrics;
mod operator;
mod past;
mod positions;
mod problem;
mod retention;
mod stream;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use lotbook_engine::coldpath::ColdQueue;
use lotbook_engine::host::StartReport;
use lotbook_engine::past::Past;
use lotbook_engine::retention::Outlook;
use lotbook_engine::shard::Counters;
use lotbook_engine::{Directory, Host, ReadModel};
use lotbook_wal::Log;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::office::Office;
use stream::Streams;

pub use health::Health;
pub use operator::Operator;

/// Threads that serve requests. One is enough for people and scrapers; long lists go to another.
const WORKERS: usize = 1;
/// Threads that build long answers, so that health is answered meanwhile.
const BUILDERS_MAX: usize = 2;
/// How long a stop waits for requests under way.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// What the door reads from.
#[derive(Clone)]
pub struct HttpState {
    /// Published positions.
    pub model: Arc<ReadModel>,
    /// What was known when.
    pub past: Past,
    /// Names to numbers.
    pub directory: Arc<Directory>,
    /// The shard's log.
    pub log: Arc<Log>,
    /// The side log.
    pub side: Arc<Log>,
    /// The log of the FIX door's journal, where there is one.
    pub journal: Option<Arc<Log>>,
    /// What did not come in, and what operators did about it.
    pub office: Option<Arc<Office>>,
    /// What retention wants an operator to know.
    pub outlook: Arc<Outlook>,
    /// The shard's counters.
    pub counters: Arc<Counters>,
    /// The coldpath's queue.
    pub coldpath: Arc<ColdQueue>,
    /// What the start found.
    pub report: Arc<StartReport>,
    /// What only the owner of the host knows. Called for each request about health.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// The Redis sink, where there is one.
    pub redis: Option<crate::redis::Seen>,
    /// The archive in Postgres, where there is one.
    pub archive: Option<crate::archive::Seen>,
    /// The way of an operator's commands; without it they are refused.
    pub operator: Option<Arc<Operator>>,
    streams: Arc<Streams>,
}

impl HttpState {
    /// Of a host.
    #[must_use]
    pub fn of(host: &Host, health: Arc<dyn Fn() -> Health + Send + Sync>) -> Self {
        Self {
            model: host.model().clone(),
            past: host.past().clone(),
            directory: host.directory().clone(),
            log: host.log().clone(),
            side: host.side_log().clone(),
            journal: None,
            office: None,
            outlook: host.outlook().clone(),
            counters: host.counters().clone(),
            coldpath: host.coldpath().clone(),
            report: Arc::new(host.report().clone()),
            health,
            redis: None,
            archive: None,
            operator: None,
            streams: Arc::default(),
        }
    }

    /// With a way for an operator's commands.
    #[must_use]
    pub fn with_operator(self, operator: Operator) -> Self {
        Self { operator: Some(Arc::new(operator)), ..self }
    }
}

impl HttpState {
    /// The host's logs, by the names of labels and documents.
    pub(crate) fn logs(&self) -> Vec<(&'static str, &Arc<Log>)> {
        let journal = self.journal.as_ref().map(|log| ("journal", log));
        let office = self.office.as_ref().map(|office| ("office", office.log()));
        [("main", &self.log), ("side", &self.side)].into_iter().chain(journal).chain(office).collect()
    }
}

impl fmt::Debug for HttpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpState").field("log", &self.log.dir()).finish_non_exhaustive()
    }
}

/// A serving door. Dropping it stops it.
#[derive(Debug)]
pub struct HttpServer {
    /// Where it listens.
    pub local_addr: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    runtime: Runtime,
    streams: Arc<Streams>,
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

/// Starts the door. It is bound when this returns, so a busy port is an error here.
///
/// # Errors
/// The address cannot be bound or is no loopback address, or a thread cannot be started.
pub fn serve(listen: SocketAddr, state: HttpState) -> io::Result<HttpServer> {
    if !listen.ip().is_loopback() {
        let why = format!("{listen} is no loopback address; without credentials nothing else is served");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let local_addr = listener.local_addr()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BUILDERS_MAX)
        .thread_name("lb-http")
        .enable_io()
        .enable_time()
        .build()?;
    let (stop, stopped) = oneshot::channel();
    let (finished, done) = oneshot::channel();
    let streams = state.streams.clone();
    let app = router(state);
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    runtime.spawn(async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(async {
            // A dropped sender means stop as well.
            let _ = stopped.await;
        });
        if let Err(error) = served.await {
            tracing::error!(%error, "the HTTP door stopped");
        }
        let _ = finished.send(());
    });
    Ok(HttpServer { local_addr, running: Some(Running { runtime, streams, stop, done }) })
}

impl HttpServer {
    /// Stops: takes no more requests, ends those under way, and waits a short time for them. Blocks;
    /// not to be called from an asynchronous task.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(Running { runtime, streams, stop, done }) = self.running.take() else { return };
        streams.stop();
        let _ = stop.send(());
        // An idle connection is closed at once; one that never ends is cut with the runtime.
        let _ = runtime.block_on(async { tokio::time::timeout(STOP_PATIENCE, done).await });
        runtime.shutdown_timeout(Duration::from_millis(100));
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/health", get(health::summary))
        .route("/health/liveness", get(health::liveness))
        .route("/health/readiness", get(health::readiness))
        .route("/health/detailed", get(health::detailed))
        .route("/metrics", get(metrics::scrape))
        .route("/v1/retention", get(retention::show))
        .route("/v1/positions", get(positions::list))
        .route("/v1/positions/{account}/{*instrument}", get(positions::one))
        .route("/v1/coldpath", get(coldpath::show).post(coldpath::command))
        .route("/v1/control", get(control::show).post(control::order))
        .route("/v1/dead-letters", get(dead_letters::list))
        .route("/v1/dead-letters/{letter}", get(dead_letters::one))
        .route("/v1/stream", get(stream::open))
        .route("/v1/audit", get(audit::page))
        .route("/v1/audit/chain", get(audit::chain))
        .route("/v1/amendments/held", get(amendments::held))
        .route("/v1/resolutions", post(amendments::resolution))
        .layer(DefaultBodyLimit::max(operator::BODY_BYTES_MAX))
        .route(
            "/v1/dead-letters/{letter}/{deed}",
            post(dead_letters::act).layer(DefaultBodyLimit::max(dead_letters::DEED_BYTES_MAX)),
        )
        .route("/v1/commands", post(commands::post).layer(DefaultBodyLimit::max(commands::COMMANDS_BYTES_MAX)))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(Arc::new(state))
}

/// A query as it is handed to whoever parses it.
#[cfg(test)]
pub(crate) fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
    query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
