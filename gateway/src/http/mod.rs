//! The HTTP door: health, metrics, positions, retention, commands, and an operator's resolution of breaks.
//!
//! ```text
//! door (connections, TLS) -> guard (who, how often, how much) -> endpoints -> read model | operator -> shard
//! ```
//! It serves from the read model and from counters; only commands and resolutions reach the shard. A runtime of
//! its own keeps it apart from the doors that trade. Without TLS and logins it listens on loopback addresses only.

mod amendments;
mod audit;
mod coldpath;
mod commands;
mod control;
mod dead_letters;
mod door;
pub mod endpoints;
mod guard;
pub mod health;
pub mod metrics;
pub mod openapi;
mod operator;
mod past;
mod positions;
mod problem;
mod retention;
mod stream;
mod throttle;
mod trail;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use lotbook_engine::coldpath::ColdQueue;
use lotbook_engine::host::StartReport;
use lotbook_engine::past::Past;
use lotbook_engine::retention::Outlook;
use lotbook_engine::shard::Counters;
use lotbook_engine::{Directory, Host, ReadModel};
use lotbook_wal::Log;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};

use crate::access::{Access, Tls, Trail};
use crate::office::Office;
use endpoints::ENDPOINTS;
use stream::Streams;

pub use door::DoorTerms;
pub use health::Health;
pub use operator::Operator;

/// Threads that serve requests. One is enough for people and scrapers; long lists go to another.
const WORKERS: usize = 1;
/// Threads that build long answers, so that health is answered meanwhile.
const BUILDERS_MAX: usize = 2;
/// Connections of the door to health alone.
const HEALTH_CONNECTIONS_MAX: usize = 64;
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
    /// The wire log, likewise.
    pub wire: Option<Arc<Log>>,
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
    /// Credentials; without them whoever reaches the door may do everything.
    pub access: Option<Arc<Access>>,
    /// TLS; without it what is said can be read on the way.
    pub tls: Option<Arc<Tls>>,
    /// Who did what that the book does not record.
    pub trail: Option<Arc<Trail>>,
    /// Bounds of the door.
    pub terms: DoorTerms,
    /// Other machines are served though TLS or logins are missing.
    pub insecure: bool,
    only_for_this_machine: bool,
    streams: Arc<Streams>,
    connections: Arc<door::Connections>,
    throttle: Arc<throttle::Throttle>,
    refusals: Arc<guard::Refusals>,
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
            wire: None,
            outlook: host.outlook().clone(),
            counters: host.counters().clone(),
            coldpath: host.coldpath().clone(),
            report: Arc::new(host.report().clone()),
            health,
            redis: None,
            archive: None,
            operator: None,
            access: None,
            tls: None,
            trail: None,
            terms: DoorTerms::default(),
            insecure: false,
            only_for_this_machine: false,
            streams: Arc::default(),
            connections: Arc::default(),
            throttle: Arc::default(),
            refusals: Arc::default(),
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
        let wire = self.wire.as_ref().map(|log| ("wire", log));
        [("main", &self.log), ("side", &self.side)].into_iter().chain(journal).chain(office).chain(wire).collect()
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
    stop: watch::Sender<bool>,
    done: oneshot::Receiver<()>,
}

/// Starts the door. It is bound when this returns, so a busy port is an error here.
///
/// # Errors
/// The address cannot be bound, or a thread cannot be started; or other machines could reach the address, and the state has not both
/// TLS and logins, nor says that this is meant.
pub fn serve(listen: SocketAddr, mut state: HttpState) -> io::Result<HttpServer> {
    let is_guarded = state.tls.is_some() && state.access.is_some();
    if !listen.ip().is_loopback() && !is_guarded && !state.insecure {
        let why = format!("{listen} is no loopback address; without TLS and logins nothing else is served");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    state.only_for_this_machine = listen.ip().is_loopback() && state.access.is_none() && !state.insecure;
    let (streams, tls, terms, connections) =
        (state.streams.clone(), state.tls.clone(), state.terms, state.connections.clone());
    let shared = door::Shared { router: router(state), tls, terms, connections };
    start(listen, "lb-http", streams, shared)
}

/// Starts a door to health alone: without logins, on a thread that serves nothing else, so that no load of the other door keeps a
/// supervisor's question waiting.
///
/// # Errors
/// The address cannot be bound, or a thread cannot be started.
pub fn serve_health(listen: SocketAddr, state: HttpState) -> io::Result<HttpServer> {
    let terms = DoorTerms { connections_max: HEALTH_CONNECTIONS_MAX, ..DoorTerms::default() };
    let shared = door::Shared { router: health_router(state), tls: None, terms, connections: Arc::default() };
    start(listen, "lb-health", Arc::default(), shared)
}

fn start(
    listen: SocketAddr,
    thread: &'static str,
    streams: Arc<Streams>,
    shared: door::Shared,
) -> io::Result<HttpServer> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let local_addr = listener.local_addr()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BUILDERS_MAX)
        .thread_name(thread)
        .enable_io()
        .enable_time()
        .build()?;
    let (stop, stops) = watch::channel(false);
    let (finished, done) = oneshot::channel();
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    runtime.spawn(async move {
        door::run(listener, Arc::new(shared), stops).await;
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
        let _ = stop.send(true);
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
    let state = Arc::new(state);
    let routes = ENDPOINTS.iter().fold(Router::new(), |routes, endpoint| {
        let guard = middleware::from_fn_with_state((state.clone(), endpoint), guard::pass);
        routes.route(endpoint.path, endpoint.serve().route_layer(guard))
    });
    // What is too long is refused in front of the endpoints.
    routes
        .layer(DefaultBodyLimit::disable())
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(state)
}

fn health_router(state: HttpState) -> Router {
    let health = ENDPOINTS.iter().filter(|endpoint| {
        endpoint.privilege == crate::access::Privilege::Open && endpoint.path.starts_with("/health")
    });
    health
        .fold(Router::new(), |routes, endpoint| routes.route(endpoint.path, endpoint.serve()))
        .layer(DefaultBodyLimit::max(operator::BODY_BYTES_MAX))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(Arc::new(state))
}

/// A query as it is handed to whoever parses it.
#[cfg(test)]
pub(crate) fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
    query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
