//! `lotbook.toml`: what a host is told, checked before anything starts.
//!
//! One table of keys (`keys`) is the source of everything: what is read, what is refused, the
//! defaults, the documentation in `docs/cli.md` and the effective configuration that `serve
//! --print-config` writes. An error names file, line, key, value and what is allowed.

mod access;
mod coldpath;
mod engine;
mod fix;
mod gate;
mod keys;
mod objects;
mod postgres;
mod redis;
mod retention;
mod shown;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use lotbook_core::date::Date;
use lotbook_core::limits::Limits;
use lotbook_core::rules::LotMethod;
use toml::de::{DeTable, DeValue};

pub use self::access::{Auth, Http, TlsFiles};
use crate::office::OfficeTerms;

pub use self::coldpath::Coldpath;
pub use self::fix::{Fix, FixSession};
pub use self::gate::Gate;
use self::keys::{Key, SECTIONS, SESSION_KEYS, Value};
pub use self::objects::Objects;
pub use self::postgres::{Postgres, TargetError};
pub use self::redis::Redis;
pub use self::retention::Retention;
pub use self::shown::{Origin, Origins, Shown, as_toml, shown};

/// When a trade is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ack {
    /// Once it is in the mapped tail: survives a killed process.
    Applied,
    /// After fdatasync: survives a power cut.
    Durable,
}

impl Ack {
    /// The name in files and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Durable => "durable",
        }
    }
}

/// How a pinned thread waits for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// By the number of cores: spins only where cores are to spare.
    Auto,
    /// Never gives the core away.
    Spin,
    /// Sleeps when idle.
    Park,
}

impl Wait {
    /// The name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Spin => "spin",
            Self::Park => "park",
        }
    }
}

/// Where a door listens; `None` keeps it shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl Listen {
    const fn loopback(port: u16) -> Self {
        Self(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
    }
}

impl std::str::FromStr for Listen {
    type Err = String;

    /// Takes `ADDRESS:PORT`, `localhost:PORT` or `off`. Whether a door may listen there is for the whole configuration to say.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        let address: SocketAddr =
            numeric.parse().map_err(|_| format!("{LISTEN_FORM}; a port is from 0 to 65535, 0 takes a free one"))?;
        Ok(Self(Some(address)))
    }
}

/// What [`Listen`] takes, for messages.
const LISTEN_FORM: &str = "must be an address with a port, such as 127.0.0.1:9878 or [::1]:9878, or \"off\"";

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// The business date at the start of a host with an empty log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusinessDate {
    /// The calendar's, UTC.
    Today,
    /// This one.
    Fixed(Date),
}

impl fmt::Display for BusinessDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Today => f.write_str("today"),
            Self::Fixed(date) => date.fmt(f),
        }
    }
}

/// `[data]`: where the log lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Log, checkpoints and side log; one process at a time.
    pub dir: PathBuf,
    /// The mapped tail's place; `None`: the log chooses.
    pub tail_dir: Option<PathBuf>,
    /// Size of a segment.
    pub segment_mib: u32,
    /// Size of the mapped tail.
    pub tail_mib: u32,
    /// Flushes of the log under way at a time.
    pub flushes_in_flight: u8,
}

/// `[engine]`: threads and sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The shard's core; `None`: the engine chooses.
    pub core: Option<u16>,
    /// The log thread's core; `None`: not pinned.
    pub log_core: Option<u16>,
    /// How pinned threads wait.
    pub wait: Wait,
    /// Whether the books lie on huge pages, touched at the start.
    pub huge_pages: bool,
    /// Sizes of the book.
    pub limits: Limits,
    /// Trade ids held in memory for recognising duplicates.
    pub trade_ids_max: usize,
}

/// `[business]`: what holds without a contract, and the first business date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Business {
    /// The business date of a new log.
    pub date: BusinessDate,
    /// Whether positions may be short where no contract is in force.
    pub allow_short: bool,
    /// Lot method where no contract is in force.
    pub lot_method: LotMethod,
}

/// `[checkpoint]`: how often the follower saves the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// After so many records; 0: only at a clean stop.
    pub every_records: u64,
}

/// Everything that a host is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the log lives.
    pub data: Data,
    /// Threads and sizes.
    pub engine: Engine,
    /// The FIX acceptor.
    pub fix: Fix,
    /// The HTTP door.
    pub http: Http,
    /// TLS of the doors.
    pub tls: TlsFiles,
    /// Who may come in.
    pub auth: Auth,
    /// What holds without a contract.
    pub business: Business,
    /// What inputs must keep.
    pub gate: Gate,
    /// What is kept of those that do not.
    pub dead_letters: OfficeTerms,
    /// How often the follower saves the book.
    pub checkpoint: Checkpoint,
    /// What the logs keep here.
    pub retention: Retention,
    /// Who reconciles late trades.
    pub coldpath: Coldpath,
    /// Where positions are shown to others.
    pub redis: Redis,
    /// Where every record is archived as a row.
    pub postgres: Postgres,
    /// Where sealed segments go instead of a directory.
    pub objects: Objects,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: Data {
                dir: PathBuf::from("lotbook-data"),
                tail_dir: None,
                segment_mib: 64,
                tail_mib: 16,
                flushes_in_flight: 2,
            },
            engine: Engine {
                core: None,
                log_core: None,
                wait: Wait::Auto,
                huge_pages: false,
                limits: Limits::HOST,
                trade_ids_max: 1 << 22,
            },
            fix: Fix::default(),
            http: Http::default(),
            tls: TlsFiles::default(),
            auth: Auth::default(),
            business: Business { date: BusinessDate::Today, allow_short: false, lot_method: LotMethod::Fifo },
            gate: Gate::default(),
            dead_letters: OfficeTerms::default(),
            checkpoint: Checkpoint { every_records: 2_000_000 },
            retention: Retention::default(),
            coldpath: Coldpath::default(),
            redis: Redis::default(),
            postgres: Postgres::default(),
            objects: Objects::default(),
        }
    }
}

/// Why a configuration is refused. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: cannot be read: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// The system's words.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{file}:{line}: is not TOML: {reason}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The parser's words.
        reason: String,
    },
    /// No such section or key.
    #[error("{file}:{line}: unknown key {key} = {value}; {allowed}")]
    UnknownKey {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The value as written.
        value: String,
        /// The keys that exist there.
        allowed: String,
    },
    /// A value that the key does not take.
    #[error("{file}:{line}: {key} = {value}: {allowed}")]
    BadValue {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The value as written.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The command line opens a door that the file keeps to this machine.
    #[error("{key} = {value}: {allowed}")]
    OpenDoor {
        /// The key with its section.
        key: &'static str,
        /// Where it would listen.
        value: String,
        /// What is missing.
        allowed: String,
    },
}

impl Config {
    /// Reads a file; what it does not say keeps its default.
    ///
    /// # Errors
    /// The first thing wrong in it, see [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with_origins(path).map(|(config, _)| config)
    }

    /// Reads a file's text; `file` is its name in messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let document = Document { file, text };
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            file: file.to_owned(),
            line: document.line(error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        let mut config = Self::default();
        document.section(&mut config, "", table.get_ref())?;
        document.check_relations(&config)?;
        Ok(config)
    }

    /// The effective configuration as a file that reads back as the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for section in SECTIONS.iter().filter(|section| !section.keys.is_empty()) {
            text.push_str(&format!("[{}]\n", section.name));
            for key in section.keys {
                text.push_str(&format!("{} = {}\n", key.name, (key.show)(self)));
            }
            text.push('\n');
        }
        for session in &self.fix.sessions {
            text.push_str("[[fix.session]]\n");
            for key in SESSION_KEYS {
                let value = (key.show)(session);
                if value != UNSET {
                    text.push_str(&format!("{} = {value}\n", key.name));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Shown for a value that is not set and cannot be written.
const UNSET: &str = "";

/// The file under the reader, for places in messages.
struct Document<'a> {
    file: &'a str,
    text: &'a str,
}

type Entries<'a> = DeTable<'a>;

impl Document<'_> {
    /// Reads a section's keys and goes down into sections below it.
    fn section(&self, config: &mut Config, name: &str, entries: &Entries<'_>) -> Result<(), ConfigError> {
        let keys = SECTIONS.iter().find(|s| s.name == name).map_or(&[][..], |s| s.keys);
        for (key, value) in entries {
            let path = join(name, key.get_ref());
            let span = key.span();
            if let Some(known) = keys.iter().find(|k| k.name == *key.get_ref()) {
                self.key(config, known, &path, value.get_ref(), value.span())?;
            } else if path == "fix.session" {
                self.sessions(config, value.get_ref(), value.span())?;
            } else if let (true, DeValue::Table(inner)) = (is_section(&path), value.get_ref()) {
                self.section(config, &path, inner)?;
            } else {
                let shown = self.source(value.span());
                let mut known: Vec<String> = keys.iter().map(|k| k.name.to_owned()).collect();
                known.extend(subsections(name));
                let allowed = if name.is_empty() { "the sections are" } else { "the keys there are" };
                return Err(ConfigError::UnknownKey {
                    file: self.file.to_owned(),
                    line: self.line(span.start),
                    key: path,
                    value: shown,
                    allowed: format!("{allowed} {}", known.join(", ")),
                });
            }
        }
        Ok(())
    }

    fn sessions(
        &self,
        config: &mut Config,
        value: &DeValue<'_>,
        span: std::ops::Range<usize>,
    ) -> Result<(), ConfigError> {
        let DeValue::Array(entries) = value else {
            return Err(self.bad("fix.session", span, "must be written as [[fix.session]], one for each session"));
        };
        for entry in entries {
            let DeValue::Table(table) = entry.get_ref() else {
                return Err(self.bad("fix.session", entry.span(), "must be a table with comp_id"));
            };
            let mut session = FixSession::default();
            for (key, value) in table {
                let path = join("fix.session", key.get_ref());
                let Some(known) = SESSION_KEYS.iter().find(|k| k.name == *key.get_ref()) else {
                    let names: Vec<&str> = SESSION_KEYS.iter().map(|k| k.name).collect();
                    return Err(ConfigError::UnknownKey {
                        file: self.file.to_owned(),
                        line: self.line(key.span().start),
                        key: path,
                        value: self.source(value.span()),
                        allowed: format!("the keys there are {}", names.join(", ")),
                    });
                };
                self.key(&mut session, known, &path, value.get_ref(), value.span())?;
            }
            if session.comp_id.is_empty() {
                return Err(self.bad("fix.session.comp_id", entry.span(), "is missing"));
            }
            if config.fix.sessions.iter().any(|other| other.comp_id == session.comp_id) {
                let message = format!("comp_id {} stands in two [[fix.session]] tables", session.comp_id);
                return Err(self.bad("fix.session.comp_id", entry.span(), &message));
            }
            config.fix.sessions.push(session);
        }
        Ok(())
    }

    fn key<T>(
        &self,
        target: &mut T,
        key: &Key<T>,
        path: &str,
        value: &DeValue<'_>,
        span: std::ops::Range<usize>,
    ) -> Result<(), ConfigError> {
        let plain = match value {
            DeValue::String(text) => Some(Value::Text(text.to_string())),
            DeValue::Boolean(value) => Some(Value::Bool(*value)),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Integer),
            // A date without quotes is a date too.
            DeValue::Datetime(date) => Some(Value::Text(date.to_string())),
            _ => None,
        };
        let problem = match plain.and_then(|plain| key.allowed.admit(plain)) {
            Some(plain) => (key.set)(target, plain),
            None => Err(key.allowed.to_string()),
        };
        problem.map_err(|allowed| self.bad(path, span, &allowed))
    }

    /// What no single key can see.
    fn check_relations(&self, config: &Config) -> Result<(), ConfigError> {
        let Engine { core, log_core, .. } = config.engine;
        if core == log_core && core.is_some() {
            return Err(ConfigError::BadValue {
                file: self.file.to_owned(),
                line: self.line(self.text.find("log_core").unwrap_or(0)),
                key: "engine.log_core".to_owned(),
                value: log_core.map_or_else(String::new, |core| core.to_string()),
                allowed: "must be another core than engine.core: one would wait for the other".to_owned(),
            });
        }
        if let Some((key, value, allowed)) = config.open_door() {
            let line = self.text.find(value.trim_matches('"')).map_or(1, |at| self.line(at));
            return Err(ConfigError::BadValue {
                file: self.file.to_owned(),
                line,
                key: key.to_owned(),
                value,
                allowed,
            });
        }
        if let Some((name, value, allowed)) = config.retention.misfit(config) {
            return Err(ConfigError::BadValue {
                file: self.file.to_owned(),
                line: self.line(self.text.find(name).unwrap_or(0)),
                key: join("retention", name),
                value,
                allowed,
            });
        }
        Ok(())
    }

    fn bad(&self, key: &str, span: std::ops::Range<usize>, allowed: &str) -> ConfigError {
        ConfigError::BadValue {
            file: self.file.to_owned(),
            line: self.line(span.start),
            key: key.to_owned(),
            value: self.source(span),
            allowed: allowed.to_owned(),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// The value as the user wrote it, in one short line.
    fn source(&self, span: std::ops::Range<usize>) -> String {
        const SHOWN_CHARS_MAX: usize = 60;
        let written = self.text.get(span).unwrap_or_default();
        let mut shown: String = written.chars().take_while(|c| *c != '\n').take(SHOWN_CHARS_MAX).collect();
        if shown.len() < written.len() {
            shown.push('\u{2026}');
        }
        shown
    }
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn is_section(path: &str) -> bool {
    SECTIONS.iter().any(|section| section.name == path)
}

fn subsections(name: &str) -> Vec<String> {
    let mut below: Vec<String> = SECTIONS
        .iter()
        .filter(|s| match s.name.rsplit_once('.') {
            Some((parent, _)) => parent == name,
            None => name.is_empty(),
        })
        .map(|s| s.name.rsplit('.').next().unwrap_or(s.name).to_owned())
        .collect();
    if name == "fix" {
        below.push("session".to_owned());
    }
    below
}

/// All keys as a table for the documentation: key, meaning, default, allowed values.
#[must_use]
pub fn keys_as_markdown() -> String {
    let mut text = String::from("| key | meaning | default | allowed |\n|---|---|---|---|\n");
    let defaults = Config::default();
    for section in SECTIONS {
        for key in section.keys {
            let default = (key.show)(&defaults);
            text.push_str(&row(section.name, key.name, key.meaning, &format!("`{default}`"), &key.allowed.to_string()));
        }
    }
    for key in SESSION_KEYS {
        text.push_str(&row("fix.session", key.name, key.meaning, key.default_words, &key.allowed.to_string()));
    }
    text
}

fn row(section: &str, name: &str, meaning: &str, default: &str, allowed: &str) -> String {
    let allowed = allowed.strip_prefix("must be ").unwrap_or(allowed);
    format!("| `{section}.{name}` | {meaning} | {default} | {} |\n", allowed.replace('|', "\\|"))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
