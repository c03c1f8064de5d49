//! `lotbook replay`: files through the same engine, log and coldpath as a host, and the resulting book out.
//!
//! ```text
//! input -> feed -> door -> shard -> log -> follower -> read model --+
//!                                              |                    +-> document
//!                                              +-> ledger ----------+
//! ```
//!
//! The coldpath begins when all input has been fed, so every position is corrected at most once and the
//! document does not depend on timing. What is absent: nothing here books anything; the ledger only
//! remembers what the follower's events say.

mod amend;
mod document;
mod feed;
mod fix_lines;
mod ledger;
mod past;
mod progress;
mod wash;
mod wide;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lotbook_core::rules::Rules;
use lotbook_engine::coldpath::{ColdConfig, Order};
use lotbook_engine::past::PastError;
use lotbook_engine::wash::HistoryError;
use lotbook_engine::{EngineConfig, Host, HostError, StartError};
use parking_lot::Mutex;

use crate::cli::{ExitCode, ReplayArgs};
use crate::exit;
use crate::input::{LineError, Located, MapError, Reader, read_rules};
use crate::output::{Colours, ReplayDocument, SkippedRow, write_json, write_table};

use feed::Feeder;
pub(crate) use fix_lines::{decode as decode_fix, namespace_of as fix_namespace_of};
use ledger::{Ledger, Listener};
use progress::Progress;

/// Bytes of a log segment: a run is short, and a segment is zeroed before its first use.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;
/// How long nothing at all may happen before the run goes on without what it waits for.
const STALLED: Duration = Duration::from_secs(60);
/// Warnings that are shown one by one.
const WARNINGS_SHOWN_MAX: usize = 20;

/// Why a run did not end with exit code 0.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A `--map` that cannot be understood. Nothing was started.
    #[error("--map: {0}")]
    Map(#[from] MapError),
    /// Unreadable input. What stood before it was applied and printed; of a rules file, nothing.
    #[error("{place}: {error}")]
    Unreadable {
        /// File and line.
        place: String,
        /// What is wrong.
        error: LineError,
    },
    /// No temporary directory for the log.
    #[error("cannot make a temporary directory: {0}")]
    TempDir(io::Error),
    /// The engine did not start. Nothing was read.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The engine stopped. What it had acknowledged is in the log; nothing was printed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// No room for the log. What came before is in it; nothing was printed.
    #[error("{place}: no room on the disk; what stands before it is in the log, the rest was not taken in")]
    NoSpace {
        /// File and line that found no room.
        place: String,
    },
    /// The log could not be read again for the wash sales. Nothing was printed.
    #[error("wash sales: {0}")]
    Wash(#[from] HistoryError),
    /// The past that was asked for does not answer. Nothing was printed.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The document could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// A fault of the program.
    #[error("{0}; please report this")]
    Internal(&'static str),
}

impl ReplayError {
    /// The documented exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Map(_) | Self::Unreadable { .. } => ExitCode::Unreadable,
            Self::TempDir(source) | Self::Output(source) => exit::of_io(source),
            Self::Start(source) => exit::exit_code_of(source),
            Self::Host(source) => exit::of_host(source),
            Self::NoSpace { .. } => ExitCode::NoSpace,
            Self::Past(source) => exit::of_past(source),
            Self::Wash(_) | Self::Internal(_) => ExitCode::Internal,
        }
    }

    fn unreadable(located: &Located, error: &LineError) -> Self {
        Self::Unreadable { place: located.place(), error: error.clone() }
    }
}

/// The command as the binary runs it: `out` and `err` are standard output and standard error. Colours and
/// progress appear where those are terminals.
pub fn run(args: &ReplayArgs, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    match execute(args, Colours::for_output(&io::stdout()), out, err) {
        Ok(()) => ExitCode::Ok,
        // Whoever reads, as `head` does, has seen enough.
        Err(ReplayError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
        Err(error) => {
            // Where standard error is gone too, the exit code still tells.
            let _ = writeln!(err, "lotbook: {error}");
            error.exit_code()
        }
    }
}

/// Feeds the files; the book goes to `out`, warnings to `err`. Blocks until everything is reconciled and the
/// log is closed.
///
/// # Errors
/// [`ReplayError`]. After [`ReplayError::Unreadable`] in an input file the book as it stood before that
/// line is on `out`; after every other error there is nothing.
pub fn execute(
    args: &ReplayArgs,
    colours: Colours,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), ReplayError> {
    let (document, unreadable) = book(args, Defaults::AsAsked, err)?;
    let written = if args.json { write_json(&document, out) } else { write_table(&document, colours, out) };
    written.map_err(ReplayError::Output)?;
    unreadable.map_or(Ok(()), Err)
}

/// What holds where no contract is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defaults {
    /// What the arguments say, whatever the book had.
    AsAsked,
    /// What the book has; the arguments can only allow short positions.
    AsHeld,
}

/// Feeds the files and gives the book, with what made an input file end early: the book is then as it stood there.
/// Warnings go to `err`. Blocks as [`execute`] does.
///
/// # Errors
/// [`ReplayError`].
pub fn book(
    args: &ReplayArgs,
    defaults_as: Defaults,
    err: &mut dyn Write,
) -> Result<(ReplayDocument, Option<ReplayError>), ReplayError> {
    let options = args.input_options()?;
    let rules = match &args.rules {
        Some(path) => read_rules(path).map_err(|located| match &located.line_result {
            Err(error) => ReplayError::unreadable(&located, error),
            Ok(_) => ReplayError::Internal("a readable line among the unreadable"),
        })?,
        None => Vec::new(),
    };
    let data_dir = DataDir::of(args)?;
    let mut config = EngineConfig::new(data_dir.path());
    config.tail_dir.clone_from(&args.tail_dir);
    config.segment_bytes = SEGMENT_BYTES;
    config.coldpath = false;
    // One worker, in the order of arrival: the output depends on no race.
    config.cold = ColdConfig { workers: 1, order: Order::OldestFirst, ..ColdConfig::default() };
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut host = Host::start_observed(&config, Some(Box::new(Listener(ledger.clone()))))?;
    let known = ledger::read_log(&host, &ledger)?;

    let defaults = Rules { method: args.lot_method, allow_short: args.allow_short, ..Rules::DEFAULT };
    let door = host.open_door().ok_or(ReplayError::Internal("a new host has no door"))?;
    let mut feeder = Feeder::new(&host, door, ledger.clone(), defaults, known);
    let progress = Progress::new();
    feeder.default_contract(defaults_as)?;
    feeder.base_currency(args.base_currency.as_deref())?;
    for located in &rules {
        feeder.line(located)?;
    }
    let mut reader = Reader::new(
        args.files.clone(),
        options,
        Some(fix_lines::decoder(feeder.business_date_of_fix(), args.base_currency.clone())),
    );
    let (skipped, unreadable) = feed_all(&mut reader, &mut feeder, args.skip_bad, &progress)?;
    feeder.finish()?;
    let fed = feeder.into_fed();
    reconcile(&host, &progress)?;
    let (model, directory) = (host.model().clone(), host.directory().clone());
    let mut warnings = fed.warnings.clone();
    let wash = wash::rows(&host, &ledger.lock(), &mut warnings)?;
    let past = past::rows(&host, &args.past)?;
    warnings.extend(host.dead_letters().iter().map(|letter| format!("a position stays PROVISIONAL: {}", letter.error)));
    match host.stop() {
        Ok(_) => {}
        // The log has everything; only the next start takes longer.
        Err(error @ HostError::Checkpoint(_)) => warnings.push(error.to_string()),
        Err(error) => return Err(error.into()),
    }
    progress.clear();

    let ledger = std::mem::take(&mut *ledger.lock());
    let document = document::build(fed, &ledger, &model, &directory, past, (skipped, wash), &reader.stats());
    warn(&warnings, err).map_err(ReplayError::Output)?;
    drop(data_dir);
    Ok((document, unreadable))
}

/// Feeds all lines. Gives what was passed over, and what makes the input not read whole.
fn feed_all(
    reader: &mut Reader,
    feeder: &mut Feeder<'_>,
    skip_bad: bool,
    progress: &Progress,
) -> Result<(Vec<SkippedRow>, Option<ReplayError>), ReplayError> {
    let mut skipped = Vec::new();
    let mut unreadable = None;
    for located in reader {
        progress.line(&located);
        let Err(error) = &located.line_result else {
            feeder.line(&located)?;
            continue;
        };
        if !skip_bad {
            return Ok((skipped, Some(ReplayError::unreadable(&located, error))));
        }
        // A file of which the rest is lost was not read whole, whatever may be skipped.
        if error.is_fatal {
            unreadable.get_or_insert_with(|| ReplayError::unreadable(&located, error));
        }
        skipped.extend(SkippedRow::of(&located));
    }
    Ok((skipped, unreadable))
}

/// Lets the coldpath run and waits until it has reconciled what can be.
fn reconcile(host: &Host, progress: &Progress) -> Result<(), ReplayError> {
    let (model, log, queue) = (host.model(), host.log(), host.coldpath());
    let mut seen = (0, 0);
    let mut since = Instant::now();
    let mut resumed = false;
    loop {
        let target = log.published_sequence();
        let (sequence, provisional) = (model.sequence(), model.provisional_positions());
        // Every late trade is known to the follower before the coldpath begins: one correction a position.
        if !resumed && sequence >= target {
            progress.reconciling(provisional);
            queue.resume();
            resumed = true;
        }
        let settled = resumed
            && host.counters().rested_at() >= target
            && model.changes_pending() == 0
            && sequence >= target
            && provisional <= host.dead_letters().len() as u64;
        if settled && model.published_sequence() >= target {
            return Ok(());
        }
        match host.error() {
            None | Some(HostError::Checkpoint(_)) => {}
            Some(error) => return Err(error.into()),
        }
        if seen != (sequence, provisional) {
            seen = (sequence, provisional);
            since = Instant::now();
        } else if since.elapsed() > STALLED {
            return Err(ReplayError::Internal("the reconciliation does not go on"));
        }
        progress.provisional(provisional);
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn warn(warnings: &[String], err: &mut dyn Write) -> io::Result<()> {
    for warning in warnings.iter().take(WARNINGS_SHOWN_MAX) {
        writeln!(err, "lotbook: warning: {warning}")?;
    }
    if warnings.len() > WARNINGS_SHOWN_MAX {
        writeln!(err, "lotbook: ... and {} more warnings", warnings.len() - WARNINGS_SHOWN_MAX)?;
    }
    Ok(())
}

/// The directory of the log: kept where it was named, else removed at the end.
enum DataDir {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl DataDir {
    fn of(args: &ReplayArgs) -> Result<Self, ReplayError> {
        match &args.data_dir {
            Some(dir) => Ok(Self::Kept(dir.clone())),
            None => tempfile::Builder::new()
                .prefix("lotbook-replay-")
                .tempdir()
                .map(Self::Temporary)
                .map_err(ReplayError::TempDir),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Kept(dir) => dir.clone(),
            Self::Temporary(dir) => dir.path().to_path_buf(),
        }
    }
}
