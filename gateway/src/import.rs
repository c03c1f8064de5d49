//! `lotbook import`: an opening book, checked as a whole before any of it is booked.
//!
//! ```text
//! files -> control totals -> as wanted? -> all of it on a copy of the book -> nothing refused? -> the book itself
//!                                                                       `--commit` only ------^
//! ```
//!
//! The lines go through `replay`, on the copy and on the book alike: what the dry run says of a line is what the book
//! will say. `docs/rules.md`, section 15.

mod totals;

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lotbook_core::command::TradeKind;
use lotbook_core::rules::LotMethod;
use lotbook_engine::{EngineConfig, Host, HostError, StartError};
use serde::Serialize;

use crate::cli::{ExitCode, ImportArgs, PastArgs, ReplayArgs};
use crate::exit;
use crate::input::{InputOptions, Line, Mapping, Reader};
use crate::output::{Outcome, ReplayDocument, TradeRow};
use crate::replay::{self, Defaults, ReplayError};

pub use totals::{Difference, Totals, TotalsError};

/// Refused lines that are listed one by one; all of them are counted.
const LISTED_MAX: usize = 20;
/// What makes up a book in a data directory. The journal is a door's and no part of it.
const BOOK_DIRS: [&str; 3] = ["log", "side", "checkpoints"];

/// Why an import did not come to a verdict.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line that cannot be read, or is none of an opening book.
    #[error("{place}: {what}")]
    Line {
        /// File and line.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The file of wanted totals.
    #[error(transparent)]
    Totals(#[from] TotalsError),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine stopped.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Booking went wrong; of a copy, nothing is booked.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The copy could not be made.
    #[error("cannot copy the book for the dry run: {0}")]
    Copy(io::Error),
    /// The report could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

impl ImportError {
    /// The documented exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Line { .. } => ExitCode::Unreadable,
            Self::Totals(error) => error.exit_code(),
            Self::Start(error) => exit::exit_code_of(error),
            Self::Host(error) => exit::of_host(error),
            Self::Replay(error) => error.exit_code(),
            Self::Copy(error) | Self::Output(error) => exit::of_io(error),
        }
    }
}

/// A line that the book refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// File as named on the command line.
    pub file: String,
    /// Line in that file.
    pub line: u64,
    /// Its trade id.
    pub trade_id: String,
    /// Why, a stable code.
    pub reason: String,
}

/// What an import found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Lots, quantity and cost of the files, by instrument.
    pub totals: Totals,
    /// Where they are not what was wanted.
    pub differences: Vec<Difference>,
    /// Lines that the book refuses.
    pub refused: Vec<Refused>,
    /// Lines of contracts, instruments, dates and rates that it refuses.
    pub refused_commands: u64,
    /// Lots that the book had already, from an earlier import of the same lines.
    pub known: u64,
    /// Lots that are booked by this run, or would be.
    pub new: u64,
    /// They are booked.
    pub committed: bool,
}

impl Report {
    /// Whether nothing speaks against booking it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty() && self.refused.is_empty() && self.refused_commands == 0
    }
}

/// The command as the binary runs it.
pub fn run(args: &ImportArgs, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let told = execute(args, err).and_then(|report| {
        let written = if args.json { write_json(&report, out) } else { write_text(&report, args, out) };
        written.map_err(ImportError::Output)?;
        Ok(if report.is_clean() { ExitCode::Ok } else { ExitCode::Broken })
    });
    match told {
        Ok(code) => code,
        Err(ImportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
        Err(error) => {
            // Where standard error is gone too, the exit code still tells.
            let _ = writeln!(err, "lotbook: {error}");
            error.exit_code()
        }
    }
}

/// Checks the files, and books them where that was asked for and nothing speaks against it. Blocks.
///
/// # Errors
/// [`ImportError`]. Nothing is booked then, but for an engine that stops while it books: whatever it
/// acknowledged is in the log, and the same import again takes the rest.
pub fn execute(args: &ImportArgs, err: &mut dyn Write) -> Result<Report, ImportError> {
    let totals = read(&args.files)?;
    let differences = match &args.expect {
        Some(path) => totals.differences(&Totals::load(path)?),
        None => Vec::new(),
    };
    let copy = tempfile::Builder::new().prefix("lotbook-import-").tempdir().map_err(ImportError::Copy)?;
    if args.data_dir.exists() {
        settle(&args.data_dir, args.tail_dir.as_deref())?;
        copy_book(&args.data_dir, copy.path()).map_err(ImportError::Copy)?;
    }
    let dry = book(args, copy.path(), err)?;
    drop(copy);
    let mut report = judge(totals, differences, &dry);
    if args.commit && report.is_clean() {
        let booked = book(args, &args.data_dir, err)?;
        report = judge(report.totals, report.differences, &booked);
        report.committed = true;
    }
    Ok(report)
}

/// Reads all lines once, before anything is started.
fn read(files: &[PathBuf]) -> Result<Totals, ImportError> {
    let mut totals = Totals::default();
    let options = InputOptions { mapping: Mapping::default(), ..InputOptions::default() };
    for located in Reader::new(files.to_vec(), options, None) {
        let failed = |what: String| ImportError::Line { place: located.place(), what };
        match located.line_result.as_ref().map_err(|error| failed(error.to_string()))? {
            Line::Trade(line) if line.kind == TradeKind::OpenLot => {
                let cost_e8 = line.consideration_e8.unwrap_or(0);
                totals.add(&line.instrument, line.side.sign() * line.quantity_e8, cost_e8);
            }
            Line::Contract(_) | Line::Instrument(_) | Line::BusinessDate(_) | Line::Fx(_) => {}
            _ => {
                return Err(failed(
                    "an opening book has lines of type open_lot, contract, instrument, business_date and fx only"
                        .into(),
                ));
            }
        }
    }
    Ok(totals)
}

/// Opens a data directory as a start does, and closes it in order: afterwards its files are the whole book.
fn settle(data_dir: &Path, tail_dir: Option<&Path>) -> Result<(), ImportError> {
    let mut config = EngineConfig::new(data_dir);
    config.tail_dir = tail_dir.map(Path::to_path_buf);
    config.segment_bytes = replay::SEGMENT_BYTES;
    Host::start(&config)?.stop()?;
    Ok(())
}

fn copy_book(from: &Path, to: &Path) -> io::Result<()> {
    for part in BOOK_DIRS {
        let (from, to) = (from.join(part), to.join(part));
        fs::create_dir(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

fn book(args: &ImportArgs, data_dir: &Path, err: &mut dyn Write) -> Result<ReplayDocument, ImportError> {
    let args = ReplayArgs {
        files: args.files.clone(),
        input_format: None,
        rules: None,
        allow_short: args.allow_short,
        lot_method: LotMethod::Fifo,
        base_currency: args.base_currency.clone(),
        round: false,
        past: PastArgs::default(),
        skip_bad: false,
        data_dir: Some(data_dir.to_path_buf()),
        tail_dir: args.tail_dir.clone(),
        json: true,
        map: Vec::new(),
        filters: Vec::new(),
    };
    let (document, unreadable) = replay::book(&args, Defaults::AsHeld, err)?;
    unreadable.map_or(Ok(document), |error| Err(error.into()))
}

fn judge(totals: Totals, differences: Vec<Difference>, document: &ReplayDocument) -> Report {
    let refused_commands = document.counts.refused_commands;
    let mut report = Report { totals, differences, refused_commands, ..Report::default() };
    let breaks = document.positions.iter().flat_map(|position| &position.breaks);
    let broken: HashMap<&str, &str> = breaks.map(|broken| (broken.trade_id.as_str(), broken.reason)).collect();
    for row in &document.trades {
        // Accepted below what is booked already, and illegal there.
        let broken = broken.get(row.trade_id.as_str());
        match (row.outcome, broken) {
            (Outcome::Rejected, _) => report.refused.push(refused(row, row.reason.unwrap_or_default())),
            (Outcome::Duplicate, _) => report.known += 1,
            (_, Some(reason)) => report.refused.push(refused(row, reason)),
            (_, None) => report.new += 1,
        }
    }
    report
}

fn refused(row: &TradeRow, reason: &str) -> Refused {
    Refused { file: row.file.to_string(), line: row.line, trade_id: row.trade_id.clone(), reason: reason.to_owned() }
}

fn write_json(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)?;
    out.flush()
}

fn write_text(report: &Report, args: &ImportArgs, out: &mut dyn Write) -> io::Result<()> {
    report.totals.write(out)?;
    for difference in &report.differences {
        writeln!(out, "differs: {difference}")?;
    }
    for refused in report.refused.iter().take(LISTED_MAX) {
        let Refused { file, line, trade_id, reason } = refused;
        writeln!(out, "refused {file}:{line}: {trade_id}: {reason}")?;
    }
    if report.refused.len() > LISTED_MAX {
        writeln!(out, "... and {} more refused", report.refused.len() - LISTED_MAX)?;
    }
    let Report { new, known, .. } = report;
    let lots = |count: u64| format!("{count} {}", if count == 1 { "lot" } else { "lots" });
    let known = if *known > 0 { format!(", {} already there", lots(*known)) } else { String::new() };
    match (report.is_clean(), report.committed, args.commit) {
        (true, true, _) => writeln!(out, "booked {}{known}", lots(*new))?,
        (true, false, _) => writeln!(out, "dry run: {} to book{known}; --commit books them", lots(*new))?,
        (false, ..) => writeln!(out, "nothing was booked")?,
    }
    out.flush()
}
