//! The command line: what can be asked for, and the exit codes that answer.
//!
//! Only definitions: what the commands do is elsewhere. Every example of the help is parsed by a test.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand};
use lotbook_core::amount::parse_e8;
use lotbook_core::rules::LotMethod;

use crate::config::{Ack, Config, ConfigError, Listen, Origins};
use crate::input::text::{check_id, check_name};
use crate::input::time::parse_timestamp;
use crate::input::{Filter, Format, InputOptions, MapError, Mapping};

mod archive;
mod audit;
mod burst;
mod coldpath;
mod config;
mod control;
mod dlq;
mod doctor;
mod load;
mod past;
mod profile;
mod scenario;
mod token;

pub use archive::{ArchiveArgs, ArchiveCommand, RestoreArgs, Table};
pub use audit::{AuditArgs, AuditFormat};
pub use burst::{BurstArgs, Plant};
pub use coldpath::{ColdpathArgs, ColdpathCommand};
pub use config::{ConfigArgs, ConfigCommand};
pub use control::{ControlArgs, ControlCommand, ScopeArgs, ScopeKind, SwitchArgs};
pub use dlq::{By, DlqArgs, DlqCommand};
pub use doctor::DoctorArgs;
pub use load::{LoadArgs, LoadTarget, ProfileName};
pub use past::{PastArgs, PositionArgs, parse_date, parse_moment};
pub use profile::ProfileArgs;
pub use scenario::{ScenarioArgs, ScenarioCommand, ScenarioRunArgs};
pub use token::{TokenArgs, TokenCommand};

macro_rules! exit_codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $code:literal,)+) => {
        /// How a command ended. The numbers are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum ExitCode {
            $($(#[doc = $meaning])+ $variant = $code,)+
        }

        impl ExitCode {
            /// All codes, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What it means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }
    };
}

exit_codes! {
    /// Done.
    Ok = 0,
    /// A verdict is broken (burst, load), a criterion is missed (scenario), no rate holds the ceiling (load), the machine keeps a host from what it promises (doctor), lots are refused or totals differ (import), the archive differs from the log (archive verify), the newest records are not back (archive restore), the log ends in a torn tail that a start would cut (wal
    /// verify), or a repair has something to do and was not told to do it (wal repair).
    Broken = 1,
    /// Wrong usage, unreadable input (file and line are named), damage found (wal verify), or damage that no copy mends (wal repair).
    Unreadable = 2,
    /// The configuration is invalid; file, key and value are named.
    BadConfig = 3,
    /// The data directory is held by another process.
    Locked = 4,
    /// The data directory or an output cannot be written or read.
    Io = 5,
    /// An address to listen on is in use.
    AddressInUse = 6,
    /// Out of disk space.
    NoSpace = 7,
    /// A write to the log failed; it is latched, and outstanding answers are unknown: resend them.
    Latched = 8,
    /// The log is damaged below its durable watermark; nothing was started.
    Damaged = 9,
    /// A fault of the program itself; please report it.
    Internal = 10,
    /// No host answers at the address (position, coldpath, control, dlq, audit), no database (archive), or no host on the data directory (profile).
    Unreachable = 11,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

fn exit_code_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for code in ExitCode::ALL {
        text.push_str(&format!("  {:>2}  {}\n", *code as u8, code.meaning()));
    }
    text
}

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "lotbook",
    version,
    about = "Positions, tax lots and P&L in memory, with a write-ahead log that loses nothing",
    long_about = "Positions, tax lots and P&L in memory, with a write-ahead log that loses nothing.\n\n\
                  One pinned thread decides every trade; what it decided is in the log before it is \
                  acknowledged. A killed process comes back with exactly what it acknowledged.\n\n\
                  First steps:\n  \
                  lotbook burst                     a market close on this machine, with a verdict\n  \
                  lotbook replay trades.jsonl       the book that a file of trades gives\n  \
                  lotbook serve                     a host with FIX and HTTP doors",
    after_help = exit_code_help(),
    arg_required_else_help = true,
    subcommand_required = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a host: FIX acceptor, HTTP, engine and log
    Serve(ServeArgs),
    /// Load a host as a market close does, and judge it
    Burst(BurstArgs),
    /// Load a host in any shape, through any door; find the highest rate that it holds
    Load(Box<LoadArgs>),
    /// Run named scenarios and hold them against their criteria
    Scenario(ScenarioArgs),
    /// Feed files through the engine and print the book
    Replay(ReplayArgs),
    /// Check an opening book as a whole, then book it
    Import(ImportArgs),
    /// Show a position: now, as it was known at a moment, as of a date
    Position(PositionArgs),
    /// Check the configuration, or show each value with its origin
    Config(ConfigArgs),
    /// Look at this machine: what to change for a host, and why
    Doctor(DoctorArgs),
    /// Draw where a running host spends its time
    Profile(ProfileArgs),
    /// Look after the workers of a running host that reconcile late trades
    Coldpath(ColdpathArgs),
    /// Stop and resume what a running host takes: an account, an instrument, a session, all
    Control(ControlArgs),
    /// Look after inputs that did not come in: list, show, resubmit, discard
    Dlq(DlqArgs),
    /// Look after the archive in Postgres: status, migrate, verify, rebuild
    Archive(ArchiveArgs),
    /// Ask a running host what it has recorded, and what caused what
    Audit(AuditArgs),
    /// Make, list and revoke tokens; keep passwords and certificates
    Token(TokenArgs),
    /// Look into a log: inspect, verify, dump, stats; mend one: repair
    Wal(WalArgs),
}

/// `lotbook serve`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Run a host: FIX acceptor, HTTP, engine and log, until Ctrl-C or SIGTERM.\n\n\
                  What the command line does not say comes from the configuration file, and what that does not \
                  say from the defaults; --print-config shows the result.",
    after_help = "Examples:\n  \
                  lotbook serve\n  \
                  lotbook serve --data-dir /srv/book --fix-listen 127.0.0.1:9878 --http-listen off\n  \
                  lotbook serve --config lotbook.toml --print-config"
)]
pub struct ServeArgs {
    /// What the host is told.
    #[command(flatten)]
    pub told: Told,
    /// Print the effective configuration as TOML and exit
    #[arg(long)]
    pub print_config: bool,
}

/// What a host is told: a file, and options above it.
#[derive(Clone, Debug, Args)]
pub struct Told {
    /// Configuration file [default: lotbook.toml in this directory, where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of log and checkpoints (data.dir)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of the mapped tail, on tmpfs (data.tail_dir)
    #[arg(long, value_name = "DIR")]
    pub tail_dir: Option<PathBuf>,
    /// Address of the FIX acceptor, or off (fix.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub fix_listen: Option<Listen>,
    /// Address of the HTTP door, or off (http.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http_listen: Option<Listen>,
    /// When trades are answered, for sessions without an ack of their own (fix.ack)
    #[arg(long, value_enum)]
    pub ack: Option<Ack>,
}

/// Where `serve` looks for its configuration when none is named.
pub const CONFIG_FILE: &str = "lotbook.toml";

impl Told {
    /// The effective configuration: defaults, below the file, below the command line.
    ///
    /// # Errors
    /// What is wrong with the file. A named file must exist; the default one need not.
    pub fn effective_config(&self) -> Result<Config, ConfigError> {
        self.with_origins().map(|(config, _)| config)
    }

    /// The effective configuration, and who said what of it.
    ///
    /// # Errors
    /// As [`Self::effective_config`].
    pub fn with_origins(&self) -> Result<(Config, Origins), ConfigError> {
        let (mut config, mut origins) = match &self.config {
            Some(path) => Config::load_with_origins(path)?,
            None if std::path::Path::new(CONFIG_FILE).exists() => Config::load_with_origins(CONFIG_FILE.as_ref())?,
            None => (Config::default(), Origins::default()),
        };
        if let Some(dir) = &self.data_dir {
            config.data.dir.clone_from(dir);
            origins.set("data.dir", "--data-dir");
        }
        if let Some(dir) = &self.tail_dir {
            config.data.tail_dir = Some(dir.clone());
            origins.set("data.tail_dir", "--tail-dir");
        }
        if let Some(listen) = self.fix_listen {
            config.fix.listen = listen;
            origins.set("fix.listen", "--fix-listen");
        }
        if let Some(listen) = self.http_listen {
            config.http.listen = listen;
            origins.set("http.listen", "--http-listen");
        }
        if let Some(ack) = self.ack {
            config.fix.ack = ack;
            origins.set("fix.ack", "--ack");
        }
        match config.open_door() {
            Some((key, value, allowed)) => Err(ConfigError::OpenDoor { key, value, allowed }),
            None => Ok((config, origins)),
        }
    }
}

/// A share in parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ppm(pub u32);

fn parse_percent(text: &str) -> Result<Ppm, String> {
    // 10^-8 of one percent in, 10^-6 of the whole out: four decimals of a percent are exact.
    parse_e8(text, false)
        .ok()
        .filter(|percent_e8| (0..=100 * 100_000_000).contains(percent_e8) && percent_e8 % 10_000 == 0)
        .and_then(|percent_e8| u32::try_from(percent_e8 / 10_000).ok())
        .map(Ppm)
        .ok_or_else(|| "a percentage from 0 to 100 with at most four decimals is wanted".to_owned())
}

/// `lotbook replay`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Feed files through the same engine, log and coldpath as a host, and print the book.\n\n\
                  JSON lines, CSV and raw FIX messages are read, also compressed by gzip; `-` is standard input. \
                  With no contract in force lots are used first in, first out, and no position may be short. An \
                  unreadable line stops the run with file and line (exit code 2). docs/replay.md describes the \
                  formats.",
    after_help = "Examples:\n  \
                  lotbook replay trades.jsonl\n  \
                  lotbook replay --json --allow-short --lot-method HIFO monday.jsonl.gz tuesday.jsonl.gz\n  \
                  lotbook replay --round --allow-short --map preset:pyfolio fills_pyfolio.csv.gz\n  \
                  lotbook replay --allow-short --map preset:taq --where CORR=0 taq_trades.csv.gz\n  \
                  lotbook replay --map side=sign:amount --map quantity=abs:amount fills.csv"
)]
pub struct ReplayArgs {
    /// Files in the order of reading; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Format of all files [default: told from each file's name or first bytes]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub input_format: Option<Format>,
    /// JSON lines of contracts, instruments and rates, fed before the files
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Positions may be short where no contract is in force
    #[arg(long)]
    pub allow_short: bool,
    /// Lot method where no contract is in force
    #[arg(long, value_name = "METHOD", default_value = "FIFO", ignore_case = true, value_parser = lot_method_parser())]
    pub lot_method: LotMethod,
    /// Base currency: trades without a rate take the last one of the lines of type fx against it
    #[arg(long, value_name = "CURRENCY", value_parser = parse_id)]
    pub base_currency: Option<String>,
    /// Round what has more than eight decimals, half to even, instead of refusing it
    #[arg(long)]
    pub round: bool,
    /// Which book is printed.
    #[command(flatten)]
    pub past: PastArgs,
    /// Pass over unreadable lines and list them, instead of stopping at the first
    #[arg(long)]
    pub skip_bad: bool,
    /// Keep log and checkpoints here [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of the mapped tail, on tmpfs [default: chosen]
    #[arg(long, value_name = "DIR")]
    pub tail_dir: Option<PathBuf>,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub json: bool,
    /// CSV: say what a field is made of, such as side=sign:amount or preset:taq; repeatable
    #[arg(long, value_name = "FIELD=FORM")]
    pub map: Vec<String>,
    /// CSV: take only rows with this value in this column; repeatable, all must hold
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub filters: Vec<Filter>,
}

/// `lotbook import`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Bring an opening book into a data directory: lots with the dates and costs that they have.\n\n\
                  Without --commit this is a dry run: the directory is opened as a start does, and everything is \
                  booked on a copy of it. The control totals of the files (lots, quantity and cost by instrument) \
                  are printed, in the form that --expect reads. With --commit the book itself takes the lots, where \
                  the totals are as wanted and not one line is refused. Lots that an earlier run has booked are \
                  recognised by their ids and are not booked again.",
    after_help = "Examples:\n  \
                  lotbook import --data-dir /srv/book opening.jsonl\n  \
                  lotbook import --data-dir /srv/book --expect totals.csv opening.jsonl\n  \
                  lotbook import --data-dir /srv/book --expect totals.csv --commit opening.jsonl"
)]
pub struct ImportArgs {
    /// JSON lines of type open_lot, contract, instrument, business_date and fx
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Data directory of the book; no host may be running on it
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Directory of the mapped tail, on tmpfs [default: chosen]
    #[arg(long, value_name = "DIR")]
    pub tail_dir: Option<PathBuf>,
    /// CSV of the control totals that are wanted: instrument,lots,quantity,cost
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// Book the lots, where nothing speaks against it
    #[arg(long)]
    pub commit: bool,
    /// Positions may be short where no contract is in force
    #[arg(long)]
    pub allow_short: bool,
    /// Base currency: lots without a rate take the last one of the lines of type fx against it
    #[arg(long, value_name = "CURRENCY", value_parser = parse_id)]
    pub base_currency: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn lot_method_parser() -> impl clap::builder::TypedValueParser<Value = LotMethod> {
    PossibleValuesParser::new(LotMethod::ALL.map(LotMethod::as_str))
        .try_map(|name| LotMethod::parse(&name.to_ascii_uppercase()).ok_or("no lot method"))
}

impl ReplayArgs {
    /// How the files are read.
    ///
    /// # Errors
    /// A `--map` that cannot be understood: wrong usage.
    pub fn input_options(&self) -> Result<InputOptions, MapError> {
        Ok(InputOptions {
            format: self.input_format,
            round: self.round,
            mapping: Mapping::parse(&self.map)?,
            filters: self.filters.clone(),
        })
    }
}

/// `lotbook wal`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Look into a log, or mend one.\n\n\
                  inspect, verify, dump and stats change nothing and do not disturb a running host. repair needs the \
                  host to be stopped, and without --write only says what it would do.",
    after_help = "Examples:\n  \
                  lotbook wal inspect lotbook-data\n  \
                  lotbook wal verify --json lotbook-data\n  \
                  lotbook wal dump lotbook-data --position A1/AAPL --kind trade --from-sequence 1000\n  \
                  lotbook wal stats lotbook-data --every 60\n  \
                  lotbook wal repair lotbook-data --archive-dir /mnt/archive"
)]
pub struct WalArgs {
    /// What to look for.
    #[command(subcommand)]
    pub command: WalCommand,
}

/// What to look for in a log.
#[derive(Clone, Debug, Subcommand)]
pub enum WalCommand {
    /// Print segments, archives, cursors, epochs, sequences, watermarks, sizes and the time to a full disk
    Inspect(WalDirArgs),
    /// Check every checksum, chain and back-link, archives and cursors; exit code 1 for a torn tail, 2 for damage
    Verify(WalDirArgs),
    /// Print records, one a line
    Dump(WalDumpArgs),
    /// Print sizes and kinds of records, and how many came when
    Stats(WalStatsArgs),
    /// Cut a torn tail, restore damaged files from whole copies; says what it would do, and does it with --write
    Repair(WalRepairArgs),
}

/// A log's directory.
#[derive(Clone, Debug, Args)]
pub struct WalDirArgs {
    /// Data directory of the log
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Directory of the mapped tail [default: shared memory, then beside the log]
    #[arg(long, value_name = "DIR")]
    pub tail_dir: Option<PathBuf>,
    /// Directory that sealed segments are shipped to (retention.archive_dir), to read what only it has
    #[arg(long, value_name = "DIR")]
    pub archive_dir: Option<PathBuf>,
    /// Configuration file whose [archive.objects] or retention.archive_dir has them
    #[arg(long, value_name = "FILE", conflicts_with = "archive_dir")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `lotbook wal stats`.
#[derive(Clone, Debug, Args)]
pub struct WalStatsArgs {
    /// Where the log is.
    #[command(flatten)]
    pub log: WalDirArgs,
    /// Seconds that one row of the rates covers [default: chosen for at most 60 rows]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=2_678_400))]
    pub every: Option<u32>,
}

/// `lotbook wal repair`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Mend a log whose host is stopped.\n\n\
                  A torn end is cut as a start would cut it. A damaged or missing segment or archive comes back from \
                  a copy that is whole to the last byte: the archive beside it, or the one in --archive-dir. What was \
                  damaged is kept beside it under a name that ends in .damaged-1. Without a whole copy nothing is \
                  touched. Tail files and cursors are never touched.\n\n\
                  Without --write nothing is changed.",
    after_help = "Exit codes: 0 whole, or whole now; 1 steps are to be done (--write does them); 2 something stays \
                  damaged; 4 the host runs."
)]
pub struct WalRepairArgs {
    /// Where the log is.
    #[command(flatten)]
    pub log: WalDirArgs,
    /// Do it; without this the steps are only printed
    #[arg(long)]
    pub write: bool,
}

/// Kinds of events, as `wal dump --kind` names them.
pub const EVENT_KINDS: [&str; 17] = [
    "defined",
    "instrument",
    "contract",
    "business_date",
    "mark",
    "trade",
    "amendment",
    "action",
    "taken",
    "arrived",
    "received",
    "delivered",
    "settled",
    "period_lock",
    "corrected",
    "resolved",
    "digests",
];

/// `lotbook wal dump`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "All filters given must hold.")]
pub struct WalDumpArgs {
    /// Where the log is.
    #[command(flatten)]
    pub log: WalDirArgs,
    /// Only this position's history, along its back-links; the first slash divides account and instrument
    #[arg(long, value_name = "ACCOUNT/INSTRUMENT")]
    pub position: Option<PositionName>,
    /// Read all records for --position: what was refused and repeated for it is printed too
    #[arg(long, requires = "position")]
    pub scan: bool,
    /// Only events of this kind; repeatable
    #[arg(long, value_parser = PossibleValuesParser::new(EVENT_KINDS))]
    pub kind: Vec<String>,
    /// Only from this sequence on
    #[arg(long, value_name = "SEQUENCE")]
    pub from_sequence: Option<u64>,
    /// Only up to and with this sequence
    #[arg(long, value_name = "SEQUENCE")]
    pub to_sequence: Option<u64>,
    /// Only what was decided at this time or later, such as 2026-03-05T14:30:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub from_time: Option<i64>,
    /// Only what was decided before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub to_time: Option<i64>,
    /// Only with this correlation id
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub correlation: Option<String>,
}

/// Nanoseconds since 1970.
fn parse_time(text: &str) -> Result<i64, String> {
    parse_timestamp(text).ok_or_else(|| "a time such as 2026-03-05T14:30:00Z is wanted".to_owned())
}

fn parse_id(text: &str) -> Result<String, String> {
    check_id(text.as_bytes()).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// A position by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionName {
    /// Account.
    pub account: String,
    /// Instrument; may hold slashes, such as EUR/USD.
    pub instrument: String,
}

impl std::str::FromStr for PositionName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (account, instrument) = text.split_once('/').ok_or("ACCOUNT/INSTRUMENT is wanted")?;
        for name in [account, instrument] {
            check_name(name.as_bytes()).map_err(|error| format!("\"{name}\" {error}"))?;
        }
        Ok(Self { account: account.to_owned(), instrument: instrument.to_owned() })
    }
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
