//! A serving host: engine, journal, FIX acceptor. `serve` runs it until it is told to stop; `burst` loads it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lotbook_core::Date;
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::id::NO_NAME;
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_engine::{Answer, Door, EngineConfig, Host, HostError, Request, StartError, Status};
use lotbook_wal::Log;

use crate::fix::acceptor::{Acceptor, AcceptorConfig};
use crate::journal::{Journal, JournalError, Known};
use crate::office::{Office, OfficeError, OfficeTerms};

/// Why a host does not serve. Nothing was acknowledged by this start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The engine did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The journal did not open.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log of dead letters did not open.
    #[error(transparent)]
    Office(#[from] OfficeError),
    /// An address could not be listened on.
    #[error("cannot listen on {address} for {door}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// FIX or HTTP.
        door: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The host stopped while it was being set up.
    #[error("the host stopped while it was being set up{}", .0.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Stopped(Option<HostError>),
}

/// What holds before the first contract and date arrive.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Business date: set when the book's is earlier or not set.
    pub business_date: Option<Date>,
    /// Rules where no contract is in force; set once, on an empty book.
    pub rules: Rules,
    /// How many dead letters are kept, and for how long.
    pub office: OfficeTerms,
}

/// A serving host.
#[derive(Debug)]
pub struct Server {
    /// The engine.
    pub host: Host,
    /// A door for the server's own commands.
    pub door: Door,
    /// The journal's log.
    pub journal: Arc<Log>,
    /// Dead letters.
    pub office: Arc<Office>,
    /// The wire log's.
    pub wire: Arc<Log>,
    fix: Fix,
}

#[derive(Debug)]
enum Fix {
    Off(Journal),
    On(Acceptor),
}

impl Server {
    /// Recovers, sets defaults. The FIX door is still shut.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn start(engine: &EngineConfig, defaults: &Defaults) -> Result<(Self, HashMap<String, Known>), ServeError> {
        let mut host = Host::start(engine)?;
        let (journal, known) = Journal::open(&engine.data_dir, engine.tail_dir.as_deref(), &engine.retention)?;
        let tail_dir = engine.tail_dir.as_deref();
        let office = Arc::new(Office::open(&engine.data_dir, tail_dir, &engine.retention, defaults.office)?);
        let door = host.open_door().ok_or(ServeError::Stopped(None))?;
        let (of_journal, wire) = (journal.log().clone(), journal.wire.log().clone());
        let mut server = Self { host, door, journal: of_journal, office, wire, fix: Fix::Off(journal) };
        server.set_defaults(defaults)?;
        Ok((server, known))
    }

    /// Opens the FIX door.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub fn open_fix(mut self, config: AcceptorConfig, known: HashMap<String, Known>) -> Result<Self, ServeError> {
        let Fix::Off(journal) = self.fix else { return Ok(self) };
        let address = config.listen;
        let acceptor = Acceptor::start(config, &mut self.host, journal, Some(self.office.clone()), known)
            .map_err(|source| ServeError::Listen { address, door: "FIX", source })?;
        Ok(Self { fix: Fix::On(acceptor), ..self })
    }

    /// The FIX door, if it is open.
    #[must_use]
    pub fn acceptor(&self) -> Option<&Acceptor> {
        match &self.fix {
            Fix::On(acceptor) => Some(acceptor),
            Fix::Off(_) => None,
        }
    }

    fn set_defaults(&mut self, defaults: &Defaults) -> Result<(), ServeError> {
        if self.host.model().is_empty() && defaults.rules != Rules::DEFAULT {
            self.set_contract("default", None, defaults.rules)?;
        }
        if let Some(date) = defaults.business_date
            && self.host.model().business_date().is_none_or(|held| held < date)
        {
            self.ask(Command::BusinessDate(date))?;
        }
        Ok(())
    }

    /// A contract for an account, or for all, from the beginning of time.
    ///
    /// # Errors
    /// The host stopped, or takes no more names.
    pub fn set_contract(&mut self, contract: &str, account: Option<&str>, rules: Rules) -> Result<Answer, ServeError> {
        let directory = self.host.directory().clone();
        let name =
            |class, text: &str| directory.resolve(class, text).map_err(|_| ServeError::Stopped(self.host.error()));
        let terms = ContractTerms {
            contract: name(NameClass::Contract, contract)?,
            account: account.map_or(Ok(NO_NAME), |account| name(NameClass::Account, account))?,
            instrument: NO_NAME,
            rules,
            effective_date: Date::from_ymd(1, 1, 1).unwrap_or(Date(0)),
        };
        self.ask(Command::Contract(terms))
    }

    /// Sends a command of the server's own and waits for its answer.
    ///
    /// # Errors
    /// The host stopped.
    pub fn ask(&mut self, command: Command) -> Result<Answer, ServeError> {
        let stopped = |host: &Host| ServeError::Stopped(host.error());
        let request = Request { token: 0, origin: Origin::INTERNAL, command };
        if self.door.submit(request).is_err() {
            return Err(stopped(&self.host));
        }
        loop {
            if let Some(answer) = self.door.poll() {
                return match answer.status {
                    Status::Unknown | Status::OutOfSpace => Err(stopped(&self.host)),
                    _ => Ok(answer),
                };
            }
            if self.door.is_abandoned() {
                return Err(stopped(&self.host));
            }
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
    }

    /// Stops cleanly: sessions are logged out, everything in flight is answered, logs are closed.
    ///
    /// # Errors
    /// What kept it from a clean end.
    pub fn stop(self) -> Result<(), HostError> {
        let Self { host, door, office, fix, .. } = self;
        let journal = match fix {
            Fix::Off(journal) => Some(journal),
            Fix::On(acceptor) => acceptor.stop(),
        };
        drop(door);
        let stopped = host.stop();
        let closed = match journal {
            Some(journal) => journal.close().map_err(|error| HostError::Latched(error.to_string())),
            None => Err(HostError::Panicked("FIX")),
        };
        let office = office.close().map_err(|error| HostError::Latched(error.to_string()));
        stopped.map(|_| ()).and(closed).and(office)
    }

    /// Ends at once, as a killed process does: logs and tails stay as they are.
    pub fn crash(self) {
        let Self { host, door, office, fix, .. } = self;
        office.abandon();
        match fix {
            Fix::Off(journal) => journal.abandon(),
            Fix::On(acceptor) => {
                if let Some(journal) = acceptor.crash() {
                    journal.abandon();
                }
            }
        }
        drop(door);
        host.crash();
    }
}

/// The core's lot method for the load generator's, which shares no code with it.
#[must_use]
pub fn lot_method(method: lotbook_perf::oracle::LotMethod) -> LotMethod {
    match method {
        lotbook_perf::oracle::LotMethod::Fifo => LotMethod::Fifo,
        lotbook_perf::oracle::LotMethod::Lifo => LotMethod::Lifo,
        lotbook_perf::oracle::LotMethod::Hifo => LotMethod::Hifo,
    }
}
