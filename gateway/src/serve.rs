//! `lotbook serve`: a host until Ctrl-C or SIGTERM.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lotbook_archiver::objects::ObjectsError;
use lotbook_core::Date;
use lotbook_core::rules::Rules;
use lotbook_engine::HostError;
use parking_lot::Mutex;

use crate::access::{Access, AccessError, Tls, TlsError, Trail};
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
/// Between two looks at the files of certificates and credentials; SIGHUP looks at once.
const RENEWALS_EVERY: Duration = Duration::from_secs(1);
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
    /// Credentials cannot be used.
    #[error("auth: {0}")]
    Access(#[from] AccessError),
    /// TLS cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The trail cannot be opened.
    #[error("opening the trail of who did what: {0}")]
    Trail(std::io::Error),
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

fn acceptor_config(config: &Config, access: Option<Arc<Access>>, tls: Option<Arc<Tls>>) -> Option<AcceptorConfig> {
    let sessions = config.fix.sessions.iter().map(|session| SessionTerms {
        comp_id: session.comp_id.clone(),
        ack: policy(session.ack.unwrap_or(config.fix.ack)),
        namespace: session.namespace.clone(),
        version: session.version,
        schedule: session.schedule.clone(),
        user: session.user.clone(),
    });
    Some(AcceptorConfig {
        listen: config.fix.listen.0?,
        comp_id: config.fix.comp_id.clone(),
        base_currency: config.fix.base_currency.clone(),
        ack: policy(config.fix.ack),
        sessions: sessions.collect(),
        service_id: SERVICE_ID.into(),
        schedule: config.fix.schedule.clone(),
        access,
        tls,
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

/// Refuses what a file may say and this machine cannot keep, and files of TLS and logins that cannot be used.
///
/// # Errors
/// [`ServeFailure`]: that it asks for `applied` where that is not safe, or what is wrong with the files.
pub fn check(config: &Config) -> Result<(), ServeFailure> {
    if asks_applied(config) && config.data.tail_dir.is_none() && in_container() {
        return Err(ServeFailure::AppliedUnsafe);
    }
    config.auth.terms().map(Access::open).transpose()?;
    config.tls.terms().map(Tls::open).transpose()?;
    Ok(())
}

/// Serves until a signal. Says on `out` where it listens, once it does.
///
/// # Errors
/// [`ServeFailure`].
pub fn run(config: &Config, out: &mut dyn Write) -> Result<(), ServeFailure> {
    check(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeFailure::Signals)?;
    let access = config.auth.terms().map(Access::open).transpose()?.map(Arc::new);
    let tls = config.tls.terms().map(Tls::open).transpose()?.map(Arc::new);
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
    let trail = Arc::new(Trail::open(&config.data.dir).map_err(ServeFailure::Trail)?);
    if let Some(line) = trail.broken_at() {
        tracing::error!(line, "the trail of who did what was changed: a line does not follow from the one before it");
    }
    if access.is_none() {
        tracing::warn!("there are no logins: whoever reaches the HTTP door may do everything");
    }
    let mut health_door = None;
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
            state.wire = Some(server.wire.clone());
            state.redis = redis.as_ref().map(Redis::seen);
            state.archive = archive.as_ref().map(Archive::seen);
            (state.access, state.tls, state.trail) = (access.clone(), tls.clone(), Some(trail));
            state.insecure = config.http.insecure;
            state.terms.connections_max = config.http.connections_max as usize;
            state.terms.requests_per_second = config.http.requests_per_second;
            if let Some(address) = config.http.health_listen.0 {
                let listening = |source| ServeError::Listen { address, door: "health", source };
                health_door = Some(http::serve_health(address, state.clone()).map_err(listening)?);
            }
            let listening = |source| ServeError::Listen { address, door: "HTTP", source };
            Some(http::serve(address, state).map_err(listening)?)
        }
        None => None,
    };
    if let Some(acceptor) = acceptor_config(config, access.clone(), tls.clone()) {
        server = server.open_fix(acceptor, known)?;
    }
    let said = |address: Option<std::net::SocketAddr>| address.map_or("off".into(), |a| a.to_string());
    let _ = writeln!(
        out,
        "ready: fix={} http={}{} data={} pid={}",
        said(server.acceptor().map(|a| a.local_addr)),
        said(http.as_ref().map(|h| h.local_addr)),
        health_door.as_ref().map_or(String::new(), |door| format!(" health={}", door.local_addr)),
        config.data.dir.display(),
        std::process::id()
    );
    let _ = out.flush();
    let mut renewals = Renewals { access, tls, failure: None };
    let failed = runtime.block_on(until_signal(&server, &health, &mut renewals)).map_err(ServeFailure::Signals)?;
    if failed.is_some() {
        std::thread::sleep(LAST_WORDS);
    }
    health.lock().stopping = true;
    tracing::info!("stopping");
    if let Some(archive) = archive {
        archive.stop();
    }
    let stopped = server.stop();
    for door in [http, health_door].into_iter().flatten() {
        door.stop();
    }
    if let Some(redis) = redis {
        redis.stop();
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(stopped?),
    }
}

/// Files of certificates and credentials that may change while the host runs.
struct Renewals {
    access: Option<Arc<Access>>,
    tls: Option<Arc<Tls>>,
    /// Why what is on the disk is not used.
    failure: Option<String>,
}

impl Renewals {
    /// Reads again what has changed. What cannot be used is told once, and the host goes on with what it has.
    fn look(&mut self) {
        let tls = self.tls.as_ref().map_or(Ok(false), |tls| tls.refresh()).map_err(|error| format!("tls: {error}"));
        let access =
            self.access.as_ref().map_or(Ok(false), |access| access.refresh()).map_err(|error| format!("auth: {error}"));
        for (what, renewed) in [("tls", &tls), ("auth", &access)] {
            if *renewed == Ok(true) {
                tracing::info!(what, "read again: a file has changed");
            }
        }
        let failure = tls.err().or(access.err());
        if let Some(words) = failure.as_ref().filter(|_| failure != self.failure) {
            tracing::error!(words, "a changed file is not used; what was read before still holds");
        }
        self.failure = failure;
    }
}

/// Waits for a signal, or for an error that ends the host.
async fn until_signal(
    server: &Server,
    health: &Mutex<Health>,
    renewals: &mut Renewals,
) -> std::io::Result<Option<HostError>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let mut tick = tokio::time::interval(HEALTH_EVERY);
    let mut look = tokio::time::interval(RENEWALS_EVERY);
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(None),
            _ = terminate.recv() => return Ok(None),
            _ = hangup.recv() => renewals.look(),
            _ = look.tick() => renewals.look(),
            _ = tick.tick() => {
                let mut now = Health::of(&server.host);
                now.warnings.extend(renewals.failure.clone());
                *health.lock() = now;
                match server.host.error() {
                    // The log has everything; only the next start takes longer.
                    None | Some(HostError::Checkpoint(_)) => {}
                    fatal => return Ok(fatal),
                }
            }
        }
    }
}
