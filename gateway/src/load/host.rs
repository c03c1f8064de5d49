//! An embedded host under load: made for a plan, with the doors that are asked for; at the end ended without a word, read back from its log, and judged.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lotbook_core::codec::Decoder;
use lotbook_core::command::NameClass;
use lotbook_core::event::{Class, Event};
use lotbook_core::rules::Rules;
use lotbook_core::{Book, Date, Limits};
use lotbook_engine::fault::Fault;
use lotbook_engine::recovery::is_log_record;
use lotbook_engine::{EngineConfig, PositionView};
use lotbook_perf::burst::{BurstOutcome, Published};
use lotbook_perf::ledger::Ledger;
use lotbook_perf::oracle::{LotSide, SeenLot, SeenPosition};
use lotbook_perf::plan::BurstPlan;
use lotbook_perf::report::{duration, grouped};
use lotbook_perf::verdict::{Integrity, LogCheck, LoggedOutcome};
use tempfile::TempDir;

use super::LoadFailure;
use crate::cli::Plant;
use crate::config::Ack;
use crate::fix::acceptor::AcceptorConfig;
use crate::fix::encode::AckPolicy;
use crate::http::{self, Health, HttpServer, HttpState, Operator};
use crate::office::OfficeTerms;
use crate::resolver::Resolver;
use crate::server::{Defaults, ServeError, Server, lot_method};

/// Where mapped tails lie unless they are told otherwise.
const SHARED_MEMORY: &str = "/dev/shm";
/// How long reconciliation may take after the last answer.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(120);

/// Where an embedded host keeps its files. What is not named is temporary, and goes with it.
#[derive(Debug)]
pub struct Place {
    data_dir: PathBuf,
    tail_dir: Option<PathBuf>,
    _temporary: [Option<TempDir>; 2],
}

impl Place {
    /// A place; `prefix` begins the names of temporary directories.
    ///
    /// # Errors
    /// No temporary directory can be made.
    pub fn new(data_dir: Option<&Path>, tail_dir: Option<&Path>, prefix: &str) -> Result<Self, LoadFailure> {
        let named = |dir: &Path| tempfile::Builder::new().prefix(prefix).tempdir_in(dir);
        let temporary = match data_dir {
            Some(_) => None,
            None => Some(named(&std::env::temp_dir()).map_err(|source| LoadFailure::Io {
                what: "making a temporary directory in",
                path: std::env::temp_dir(),
                source,
            })?),
        };
        // A tail on shared memory outlives its process, which is its purpose; that of a temporary directory goes with it.
        let temporary_tail = match (data_dir, tail_dir) {
            (None, None) => named(SHARED_MEMORY.as_ref()).ok(),
            _ => None,
        };
        let path = |dir: &Option<TempDir>| dir.as_ref().map(|dir| dir.path().to_path_buf());
        Ok(Self {
            data_dir: data_dir.map(Path::to_path_buf).or_else(|| path(&temporary)).unwrap_or_default(),
            tail_dir: tail_dir.map(Path::to_path_buf).or_else(|| path(&temporary_tail)),
            _temporary: [temporary, temporary_tail],
        })
    }

    /// Directory of logs and checkpoints.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Directory of the mapped tail, where it was chosen.
    #[must_use]
    pub fn tail_dir(&self) -> Option<&Path> {
        self.tail_dir.as_deref()
    }
}

/// A host of a plan.
#[derive(Debug)]
pub struct Embedded {
    /// The host.
    pub server: Server,
    place: Place,
    ack: Ack,
    http: Option<HttpServer>,
}

impl Embedded {
    /// Starts a host that has room for `plan` (whose flow has so many messages), with its contracts and business date. Its FIX door is open.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        plan: &BurstPlan,
        ledger: &Ledger,
        place: Place,
        ack: Ack,
        plant: Option<Plant>,
    ) -> Result<Self, LoadFailure> {
        let mut engine = EngineConfig::new(place.data_dir());
        engine.tail_dir = place.tail_dir().map(Path::to_path_buf);
        let messages = ledger.entries.len();
        engine.trade_ids_max = (messages * 5 / 4).next_power_of_two().max(1 << 16);
        engine.limits = Limits {
            positions_max: (plan.positions as usize * 2).next_power_of_two().max(1 << 12),
            lots_max: (messages * 4).next_power_of_two().clamp(1 << 16, 1 << 30),
            ..Limits::HOST
        };
        engine.fault = plant.map(|plant| match plant {
            Plant::Drop => Fault::Drop,
            Plant::Double => Fault::Double,
            Plant::WrongLot => Fault::WrongLot,
            Plant::AckBeforeLog => Fault::AckBeforeLog,
        });
        let shorts = |method| Rules { method, allow_short: true, ..Rules::DEFAULT };
        let rules = shorts(lotbook_core::LotMethod::Fifo);
        let defaults =
            Defaults { business_date: Some(Date(plan.business_date_days)), rules, office: OfficeTerms::default() };
        let (mut server, known) = Server::start(&engine, &defaults)?;
        for (account, method) in ledger.universe.contracts() {
            server.set_contract(account, Some(account), shorts(lot_method(method)))?;
        }
        let config = AcceptorConfig {
            base_currency: None,
            listen: loopback(),
            comp_id: "LOTBOOK".into(),
            ack: match ack {
                Ack::Applied => AckPolicy::Applied,
                Ack::Durable => AckPolicy::Durable,
            },
            sessions: Vec::new(),
            service_id: "burst".into(),
            schedule: None,
            access: None,
            tls: None,
        };
        let server = server.open_fix(config, known)?;
        Ok(Self { server, place, ack, http: None })
    }

    /// Where the FIX door listens.
    #[must_use]
    pub fn fix_addr(&self) -> SocketAddr {
        self.server.acceptor().map_or(loopback(), |acceptor| acceptor.local_addr)
    }

    /// Opens the HTTP door on a free port, where it is not open yet, and says which.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_http(&mut self) -> Result<SocketAddr, LoadFailure> {
        if let Some(http) = &self.http {
            return Ok(http.local_addr);
        }
        let host = &mut self.server.host;
        let stopped = |host: &lotbook_engine::Host| ServeError::Stopped(host.error());
        let mut state = HttpState::of(host, Arc::new(Health::default));
        let door = host.open_door().ok_or(ServeError::Stopped(None))?;
        let resolver = Resolver::new(host.directory().clone(), "load");
        let operator = Operator::new(door, resolver).with(Rules::DEFAULT, None).map_err(|_| stopped(host))?;
        state = state.with_operator(operator);
        let listen = loopback();
        let listening = |source| ServeError::Listen { address: listen, door: "HTTP", source };
        let http = http::serve(listen, state).map_err(listening)?;
        let addr = http.local_addr;
        self.http = Some(http);
        Ok(addr)
    }

    /// What the host's acknowledgements may cover at any moment.
    #[must_use]
    pub fn published(&self) -> Published {
        let (log, ack) = (self.server.host.log().clone(), self.ack);
        Arc::new(move || match ack {
            Ack::Durable => log.durable_sequence(),
            Ack::Applied => log.published_sequence(),
        })
    }

    /// Waits until everything is reconciled, ends the host as a killed process ends, reads its log back and compares: the verdict, and what is
    /// worth knowing beside it.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn judge(mut self, outcome: &BurstOutcome) -> Result<(Integrity, Vec<String>), LoadFailure> {
        let host = &self.server.host;
        let reconciled = host.wait_reconciled(RECONCILE_TIMEOUT);
        let positions: Vec<SeenPosition> = host.model().positions().iter().map(|view| seen(view)).collect();
        let trouble = host.error();
        let (corrected, stale) = host.counters().corrections();
        let flushes = host.log().stats();
        if let Some(http) = self.http.take() {
            http.stop();
        }
        // Without a word to anyone, as a killed process: what is acknowledged must be there all the same.
        self.server.door.poll();
        self.server.crash();
        let mut integrity = read_back(outcome, &self.place, &positions)?;
        if !reconciled {
            integrity.verdict = "broken";
            let why = trouble.map_or("provisional positions remain".into(), |error| error.to_string());
            integrity.examples.push(format!("not reconciled: {why}"));
        }
        let notes = vec![
            format!("{} corrections of late trades, {} proposals came too late", grouped(corrected), grouped(stale)),
            // A latency that is this long is the disk's.
            format!(
                "{} flushes of the log, on average {}, the longest {}",
                grouped(flushes.flushes),
                duration(flushes.flush_ns_sum / flushes.flushes.max(1)),
                duration(flushes.flush_ns_max)
            ),
        ];
        Ok((integrity, notes))
    }

    /// Stops in order. For runs whose book nobody asks about.
    ///
    /// # Errors
    /// What kept it from a clean end.
    pub fn stop(mut self) -> Result<(), LoadFailure> {
        if let Some(http) = self.http.take() {
            http.stop();
        }
        self.server.stop().map_err(|error| ServeError::Stopped(Some(error)).into())
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn seen(view: &PositionView) -> SeenPosition {
    let side = if view.quantity_e8 < 0 { LotSide::Short } else { LotSide::Long };
    let lots = view.lots.iter().map(|lot| SeenLot {
        trade_id: lot.trade_id.to_string(),
        side,
        quantity_e8: lot.quantity_e8,
        price_e8: lot.price_e8,
        cost_e16: lot.cost_e16,
        acquired_days: lot.acquired.0,
    });
    SeenPosition {
        account: view.account.to_string(),
        instrument: view.instrument.to_string(),
        quantity_e8: view.quantity_e8,
        realized_e16: view.realized_e16,
        lots: lots.collect(),
    }
}

/// Reads the log back from disk and tail, as it was left, and compares.
fn read_back(outcome: &BurstOutcome, place: &Place, positions: &[SeenPosition]) -> Result<Integrity, LoadFailure> {
    let fail = LoadFailure::ReadBack;
    let log_dir = place.data_dir().join("log");
    let mut log = lotbook_wal::open_read_only(&log_dir).map_err(|error| fail(error.to_string()))?;
    if let Some(dir) = place.tail_dir() {
        log = log.with_tail_dir(dir);
    }
    // Only names are applied to this book: the log's numbers are to be read as text.
    let mut book = Book::new(Limits { positions_max: 1, lots_max: 8, ..Limits::HOST });
    let mut decoder = Decoder::new();
    let mut check = LogCheck::new(&outcome.ledger);
    while let Some(record) = log.next().map_err(|error| fail(error.to_string()))? {
        let header = record.header;
        if is_log_record(&header) {
            continue;
        }
        let event = decoder
            .decode(header.kind, header.version, record.payload)
            .map_err(|error| fail(format!("event {}: {error}", header.sequence)))?;
        match &event {
            Event::Defined { .. } => {
                let place = lotbook_core::apply::Place { sequence: header.sequence, address: header.address };
                book.apply(&event, place, None).map_err(|misfit| fail(misfit.to_string()))?;
            }
            Event::Trade(trade) => {
                let outcome = match trade.class {
                    Class::Applied => LoggedOutcome::Applied,
                    Class::Provisional => LoggedOutcome::Provisional,
                    Class::Forward => LoggedOutcome::Forward,
                    Class::Duplicate => LoggedOutcome::Duplicate,
                    Class::Rejected => LoggedOutcome::Rejected,
                    // The same trade was seen when it was accepted.
                    Class::Matured | Class::Rebooked | Class::Held | Class::Lapsed => continue,
                };
                let account = book.names().str(NameClass::Account, trade.input.account);
                let instrument = book.names().str(NameClass::Instrument, trade.input.instrument);
                check.saw(trade.input.trade_id.as_str(), account, instrument, header.sequence, outcome);
            }
            _ => {}
        }
    }
    check.contradictions(outcome.contradictions.count, &outcome.contradictions.examples);
    check.early(outcome.early_acknowledgements);
    check.unknown(outcome.unknown_answers);
    Ok(check.finish(positions))
}
