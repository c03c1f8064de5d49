//! `lotbook serve`: a host until Ctrl-C or SIGTERM.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lotbook_archiver::objects::ObjectsError;
use lotbook_core::Date;
use lotbook_core::rules::Rules;
use lotbook_engine::HostError;
use parking_lot::Mutex;

use crate::archive::{Archive, ArchiveError};
use crate::config::{Ack, BusinessDate, Config};
use crate::fix::acceptor::{AcceptorConfig, SessionTerms};
use crate::fix::encode::AckPolicy;
use crate::http::{self, Health, HttpState, Operator};
use crate::redis::Redis;
use crate::resolver::Resolver;
use crate::server::{Defaults, ServeError, Server};

/// Between two looks at the host's health.
const HEALTH_EVERY: Duration = Duration::from_millis(100);
/// After a failed write: time for the doors to tell their senders that the fate of what is outstanding is unknown.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Service id in correlation ids.
const SERVICE_ID: &str = "lotbook";

/// Why `serve` ended otherwise than by a signal.
#[derive(Debug, thiserror::Error)]
pub enum ServeFailure {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] ServeError),
    /// It stopped working.
    #[error(transparent)]
    Host(#[from] HostError),
    /// `applied` would promise what the tail's place cannot keep.
    #[error(
        "fix.ack or a session asks for `applied`, and this looks like a container: its own /dev/shm ends with it. Name a \
         data.tail_dir that outlives it (a tmpfs mounted from outside), or answer `durable`"
    )]
    AppliedUnsafe,
    /// Signals could not be waited for.
    #[error("waiting for signals: {0}")]
    Signals(std::io::Error),
    /// A sink's thread could not be started.
    #[error("starting the Redis sink: {0}")]
    Sink(std::io::Error),
    /// There is no store to ship segments to.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The archive was not started.
    #[error("starting the archive: {0}")]
    Archive(#[from] ArchiveError),
}

fn policy(ack: Ack) -> AckPolicy {
    match ack {
        Ack::Applied => AckPolicy::Applied,
        Ack::Durable => AckPolicy::Durable,
    }
}

fn acceptor_config(config: &Config) -> Option<AcceptorConfig> {
    let sessions = config.fix.sessions.iter().map(|session| SessionTerms {
        comp_id: session.comp_id.clone(),
        ack: policy(session.ack.unwrap_or(config.fix.ack)),
        namespace: session.namespace.clone(),
        version: session.version,
    });
    Some(AcceptorConfig {
        listen: config.fix.listen.0?,
        comp_id: config.fix.comp_id.clone(),
        base_currency: config.fix.base_currency.clone(),
        ack: policy(config.fix.ack),
        sessions: sessions.collect(),
        service_id: SERVICE_ID.into(),
    })
}

fn asks_applied(config: &Config) -> bool {
    let of = |ack: Option<Ack>| ack.unwrap_or(config.fix.ack) == Ack::Applied;
    of(None) || config.fix.sessions.iter().any(|session| of(session.ack))
}

/// Whether the life of /dev/shm is not the machine's: as far as the usual container runtimes tell.
fn in_container() -> bool {
    let marks = ["/.dockerenv", "/run/.containerenv"];
    marks.iter().any(|mark| std::path::Path::new(mark).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn today() -> Date {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date::of_ns(since.as_nanos() as i64)
}

/// Refuses what a file may say and this machine cannot keep.
///
/// # Errors
/// [`ServeFailure::AppliedUnsafe`].
pub fn check(config: &Config) -> Result<(), ServeFailure> {
    if asks_applied(config) && config.data.tail_dir.is_none() && in_container() {
        return Err(ServeFailure::AppliedUnsafe);
    }
    Ok(())
}

/// Serves until a signal. Says on `out` where it listens, once it does.
///
/// # Errors
/// [`ServeFailure`].
pub fn run(config: &Config, out: &mut dyn Write) -> Result<(), ServeFailure> {
    check(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeFailure::Signals)?;
    let mut engine = config.engine_config();
    if let Some(target) = config.objects.target()? {
        engine.retention.archive_target = Some(target);
        engine.retention.tail_ms = config.retention.tail_ms();
    }
    let business_date = match config.business.date {
        BusinessDate::Today => today(),
        BusinessDate::Fixed(date) => date,
    };
    let defaults = Defaults {
        business_date: Some(business_date),
        rules: Rules { method: config.business.lot_method, allow_short: config.business.allow_short, ..Rules::DEFAULT },
        office: config.dead_letters,
    };
    let (mut server, known) = Server::start(&engine, &defaults)?;
    let report = server.host.report();
    tracing::info!(
        row = %report.log.row,
        records = report.records,
        checkpoint = report.checkpoint_sequence,
        took_ms = report.took.as_millis() as u64,
        "recovered"
    );
    for note in &report.notes {
        tracing::warn!(note, "start");
    }
    if let Some(from) = report.log.lost_from_sequence {
        tracing::error!(
            from,
            "the mapped tail is missing after an unclean stop: answers that promised `applied` only may be lost from this sequence on"
        );
    }
    let redis = Redis::start(&config.redis, &engine.limits, &server.host).map_err(ServeFailure::Sink)?;
    let archive = Archive::start(&config.postgres, &server.host)?;
    let health = Arc::new(Mutex::new(Health::of(&server.host)));
    let http = match config.http.listen.0 {
        Some(address) => {
            let seen = health.clone();
            let mut state = HttpState::of(&server.host, Arc::new(move || seen.lock().clone()));
            if let Some(door) = server.host.open_door() {
                let resolver = Resolver::new(server.host.directory().clone(), SERVICE_ID);
                let base_currency = config.fix.base_currency.as_deref();
                let operator = Operator::new(door, resolver).with(defaults.rules, base_currency);
                state = state.with_operator(operator.map_err(|_| ServeError::Stopped(server.host.error()))?);
            }
            state.journal = Some(server.journal.clone());
            state.office = Some(server.office.clone());
            state.redis = redis.as_ref().map(Redis::seen);
            state.archive = archive.as_ref().map(Archive::seen);
            let listening = |source| ServeError::Listen { address, door: "HTTP", source };
            Some(http::serve(address, state).map_err(listening)?)
        }
        None => None,
    };
    if let Some(acceptor) = acceptor_config(config) {
        server = server.open_fix(acceptor, known)?;
    }
    let said = |address: Option<std::net::SocketAddr>| address.map_or("off".into(), |a| a.to_string());
    let _ = writeln!(
        out,
        "ready: fix={} http={} data={} pid={}",
        said(server.acceptor().map(|a| a.local_addr)),
        said(http.as_ref().map(|h| h.local_addr)),
        config.data.dir.display(),
        std::process::id()
    );
    let _ = out.flush();
    let failed = runtime.block_on(until_signal(&server, &health)).map_err(ServeFailure::Signals)?;
    if failed.is_some() {
        std::thread::sleep(LAST_WORDS);
    }
    health.lock().stopping = true;
    tracing::info!("stopping");
    if let Some(archive) = archive {
        archive.stop();
    }
    let stopped = server.stop();
    if let Some(http) = http {
        http.stop();
    }
    if let Some(redis) = redis {
        redis.stop();
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(stopped?),
    }
}

/// Waits for a signal, or for an error that ends the host.
async fn until_signal(server: &Server, health: &Mutex<Health>) -> std::io::Result<Option<HostError>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut tick = tokio::time::interval(HEALTH_EVERY);
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(None),
            _ = terminate.recv() => return Ok(None),
            _ = tick.tick() => {
                *health.lock() = Health::of(&server.host);
                match server.host.error() {
                    // The log has everything; only the next start takes longer.
                    None | Some(HostError::Checkpoint(_)) => {}
                    fatal => return Ok(fatal),
                }
            }
        }
    }
}
