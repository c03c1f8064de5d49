//! `lotbook position`: a position now, as it was known at a moment, as of a date.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use lotbook_core::command::NameClass;
use lotbook_engine::past::{Moment, PastError, Question};
use lotbook_engine::phase::Phases;
use lotbook_engine::{EngineConfig, Host, StartError};
use lotbook_wal::Shadow;
use serde_json::Value;

use crate::cli::{ExitCode, PositionArgs};
use crate::client::{Client, ClientError};
use crate::exit;
use crate::input::time::format_timestamp;
use crate::past::row;

/// Why there is no position to show.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The host does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The data directory does not open.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no room to open it in.
    #[error("making a temporary directory: {0}")]
    Work(io::Error),
    /// There is no book in the directory.
    #[error("{} is not the data directory of a book", dir.display())]
    NoBook {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no such position in the data directory.
    #[error("account \"{account}\" has never held instrument \"{instrument}\"")]
    Unknown {
        /// Account.
        account: String,
        /// Instrument.
        instrument: String,
    },
    /// The past does not answer.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

impl PositionError {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::Start(error) => exit::exit_code_of(error),
            Self::Unknown { .. } | Self::NoBook { .. } => ExitCode::Unreadable,
            Self::Past(error) => exit::of_past(error),
            Self::Work(error) | Self::Output(error) => exit::of_io(error),
        }
    }
}

/// Asks and prints. Blocks until the answer is there.
///
/// # Errors
/// [`PositionError`].
pub fn run(args: &PositionArgs, out: &mut dyn Write) -> Result<(), PositionError> {
    let document = match &args.data_dir {
        Some(_) => of_directory(args)?,
        None => of_host(args)?,
    };
    let text = if args.json { format!("{document:#}\n") } else { describe(&document) };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads a pipe to its head has what was wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn words(moment: Moment) -> Option<String> {
    match moment {
        Moment::Now => None,
        Moment::Sequence(sequence) => Some(sequence.to_string()),
        Moment::Time(at_ns) => Some(format_timestamp(at_ns)),
    }
}

fn of_host(args: &PositionArgs) -> Result<Value, PositionError> {
    let parameters = [
        ("as_of", args.past.as_of.map(|date| date.to_string())),
        ("known_at", args.past.known_at.and_then(words)),
        ("since", args.since.and_then(words)),
    ];
    let parameters: Vec<(&str, String)> =
        parameters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let path = ["v1", "positions", &args.account, &args.instrument];
    Ok(Client::new(&args.url).get(&path, &parameters)?)
}

/// Opens the directory as a start does, and asks. What a start writes goes to a temporary directory: nothing in this one changes.
fn of_directory(args: &PositionArgs) -> Result<Value, PositionError> {
    let Some(dir) = &args.data_dir else { unreachable!("called with a directory") };
    if !dir.join("log").is_dir() {
        return Err(PositionError::NoBook { dir: dir.clone() });
    }
    let work = tempfile::Builder::new().prefix("lotbook-position-").tempdir().map_err(PositionError::Work)?;
    let disk = Arc::new(Shadow::new(dir, work.path()));
    let mut config = EngineConfig::new(work.path());
    config.tail_dir.clone_from(&args.tail_dir);
    config.log_disk = Some(disk.clone());
    config.checkpoint_disk = disk;
    // Nothing is decided here: what awaits its replay goes on waiting.
    config.coldpath = false;
    config.checkpoint_records = 0;
    let host = Host::start(&config)?;
    let answer = ask(&host, args);
    // There is nothing to close in order: what was written goes with its directory.
    host.crash();
    Phases::remove(work.path());
    answer
}

fn ask(host: &Host, args: &PositionArgs) -> Result<Value, PositionError> {
    let unknown = || PositionError::Unknown { account: args.account.clone(), instrument: args.instrument.clone() };
    let find = |class, name: &str| host.directory().find(class, name).ok_or_else(unknown);
    let question = Question {
        account: find(NameClass::Account, &args.account)?,
        instrument: find(NameClass::Instrument, &args.instrument)?,
        as_of: args.past.as_of,
        known_at: args.past.known_at.unwrap_or(Moment::Now),
        since: args.since,
    };
    let answer = host.past().ask(&question)?;
    let row = row(&answer, host.model(), args.since.is_some());
    serde_json::to_value(row).map_err(|error| PositionError::Output(error.into()))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// For people: the figures, the lots, what breaks a rule, what was corrected.
fn describe(document: &Value) -> String {
    let field = |name: &str| text(&document[name]);
    let mut out = format!("{} {}", field("account"), field("instrument"));
    if let Some(date) = document["as_of"].as_str() {
        let _ = write!(out, ", as of {date}");
    }
    if let Some(sequence) = document["known_at"].as_u64() {
        let _ = write!(out, ", as known at sequence {sequence}");
        if let Some(date) = document["business_date"].as_str() {
            let _ = write!(out, " (business date {date})");
        }
    }
    let _ = writeln!(out, "\n{} {}, version {}", field("status"), field("reconciliation_status"), field("version"));
    for (name, fields) in [
        ("quantity", &["quantity"][..]),
        ("cost", &["cost", "average_cost"]),
        ("realized", &["realized_pnl", "realized_long_term", "realized_short_term"]),
        ("unrealized", &["unrealized_pnl"]),
        ("fees", &["fees"]),
        ("dividends", &["dividends"]),
        ("forward", &["forward_quantity"]),
    ] {
        let values: Vec<String> = fields.iter().map(|field| text(&document[*field])).collect();
        let of = match name {
            "cost" => format!("{}, {} each", values[0], values[1]),
            "realized" => format!("{}, {} of it long-term, {} short-term", values[0], values[1], values[2]),
            _ => values[0].clone(),
        };
        let _ = writeln!(out, "  {name:<11}{of}");
    }
    list(&mut out, "lots", &document["lots"], &["trade_id", "side", "quantity", "price", "cost", "acquired"]);
    list(&mut out, "breaks", &document["breaks"], &["trade_id", "reason"]);
    for correction in document["corrections"].as_array().into_iter().flatten() {
        let of = |name: &str| text(&correction[name]);
        let delta = |name: &str| text(&correction["delta"][name]);
        let _ = writeln!(
            out,
            "corrected at sequence {}, {}: version {} by {} late ({} first), quantity {}, realized {}, lots {}",
            of("sequence"),
            of("at"),
            of("version"),
            of("late_changes"),
            of("cause"),
            delta("quantity"),
            delta("realized_pnl"),
            delta("lot_count")
        );
    }
    out
}

fn list(out: &mut String, name: &str, rows: &Value, fields: &[&str]) {
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "{name}");
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| fields.iter().map(|field| text(&row[*field])).collect()).collect();
    let width = |at: usize| cells.iter().map(|row| row[at].len()).chain([fields[at].len()]).max().unwrap_or(0);
    let header = fields.iter().map(|field| (*field).replace('_', " ")).collect();
    for row in std::iter::once(&header).chain(&cells) {
        let line: Vec<String> =
            row.iter().enumerate().map(|(at, cell)| format!("{cell:<width$}", width = width(at))).collect();
        let _ = writeln!(out, "  {}", line.join("  ").trim_end());
    }
}
