//! `lotbook wal inspect|verify|dump|stats|repair`: what a log holds, whether it is whole, every record of it, and the mending.
//!
//! All but `repair` write nothing and take no lock: a running host is not disturbed, and of its log a
//! picture is shown that may be a moment old. A directory is a data directory (the log is in `log`, the bodies
//! of corrections are in `side`) or a log directory itself.

mod dump;
mod history;
mod inspect;
mod repair;
mod stats;
mod verify;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lotbook_archiver::objects::ObjectsError;
use lotbook_wal::{ArchiveTarget, OpenError, ReadError, ReadOnlyLog, RecordHeader, RepairError, open_read_only};

use crate::cli::{ExitCode, WalArgs, WalCommand, WalDirArgs};
use crate::config::{Config, ConfigError};
use crate::exit::of_io;

/// Why a command did not do what it should. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The log cannot be opened or read.
    #[error("{}: {source}", dir.display())]
    Log {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// What was asked for was printed up to a record, and behind it the log is damaged.
    #[error(
        "{}: the log cannot be read beyond sequence {last}, and sequence {durable} was durable; \
         `lotbook wal verify` names the place", dir.display()
    )]
    EndsEarly {
        /// The log's directory.
        dir: PathBuf,
        /// Last sequence that could be read.
        last: u64,
        /// Sequence that a witness calls durable.
        durable: u64,
    },
    /// A record that is referred to cannot be read.
    #[error("{}: {source}", dir.display())]
    Record {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// A back-link that leads forward.
    #[error("{}: the record at {address:#x} names one behind it, at {previous:#x}; `lotbook wal verify` says more", dir.display())]
    Forward {
        /// The log's directory.
        dir: PathBuf,
        /// The record.
        address: u64,
        /// What it names.
        previous: u64,
    },
    /// A repair did not do what it should.
    #[error("{}: {source}", dir.display())]
    Repair {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        source: RepairError,
    },
    /// The checkpoints cannot be listed.
    #[error("listing {}: {source}", dir.display())]
    Checkpoints {
        /// Their directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What it says of the object store.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[from] io::Error),
}

impl WalError {
    /// How the command ends.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            // Who reads a pipe to its head has what was wanted.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
            Self::Config(_) | Self::Objects(_) => ExitCode::BadConfig,
            Self::Output(_) | Self::Checkpoints { .. } | Self::Log { source: OpenError::Disk(_), .. } => ExitCode::Io,
            Self::Record { source: ReadError::Disk(disk), .. } => of_io(&disk.source),
            Self::Repair { source, .. } => match source {
                RepairError::Log(OpenError::Locked { .. }) => ExitCode::Locked,
                RepairError::Log(OpenError::Disk(disk)) | RepairError::Disk(disk) => of_io(&disk.source),
                RepairError::Log(_) => ExitCode::Unreadable,
                RepairError::NotWritten { .. } | RepairError::Changed { .. } => ExitCode::Io,
            },
            Self::Log { .. } | Self::EndsEarly { .. } | Self::Record { .. } | Self::Forward { .. } => {
                ExitCode::Unreadable
            }
        }
    }
}

/// Runs a command; what it prints goes to `out`, its progress to standard error where that is a terminal.
///
/// # Errors
/// [`WalError`], with its exit code. Damage that `verify` finds is no error: it is the answer.
pub fn run(args: &WalArgs, out: &mut dyn Write) -> Result<ExitCode, WalError> {
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    let code = match &args.command {
        WalCommand::Inspect(args) => inspect::run(args, &mut out)?,
        WalCommand::Verify(args) => verify::run(args, &mut out)?,
        WalCommand::Dump(args) => dump::run(args, &mut out)?,
        WalCommand::Stats(args) => stats::run(args, &mut out)?,
        WalCommand::Repair(args) => repair::run(args, &mut out)?,
    };
    out.flush()?;
    Ok(code)
}

/// A log to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    /// `log` or `side`.
    name: &'static str,
    dir: PathBuf,
}

/// The logs of a directory, the main one first.
fn targets(dir: &Path) -> Vec<Target> {
    let (main, side) = (dir.join("log"), dir.join("side"));
    if !main.is_dir() {
        return vec![Target { name: "log", dir: dir.to_path_buf() }];
    }
    let mut targets = vec![Target { name: "log", dir: main }];
    if side.is_dir() {
        targets.push(Target { name: "side", dir: side });
    }
    targets
}

/// Where the checkpoints are: in the data directory, or beside a log directory of that name.
fn checkpoints_dir(dir: &Path) -> Option<PathBuf> {
    let beside = dir.join("../checkpoints");
    [dir.join("checkpoints"), beside].into_iter().find(|found| found.is_dir())
}

fn open(args: &WalDirArgs, target: &Target) -> Result<ReadOnlyLog, WalError> {
    let mut log = open_read_only(&target.dir).map_err(|source| failed(target, source))?;
    if let Some(dir) = &args.tail_dir {
        log = log.with_tail_dir(dir);
    }
    if let Some(shipped) = shipped(args)? {
        log = log.with_target(shipped);
    }
    Ok(log)
}

/// Where sealed segments were shipped to.
fn shipped(args: &WalDirArgs) -> Result<Option<Arc<dyn ArchiveTarget>>, WalError> {
    let config = args.config.as_deref().map_or_else(|| Ok(Config::default()), Config::load)?;
    Ok(config.archive_target(args.archive_dir.clone())?)
}

fn failed(target: &Target, source: OpenError) -> WalError {
    WalError::Log { dir: target.dir.clone(), source }
}

/// A bar of bytes on standard error; nothing where that is no terminal.
fn bar(what: &str, target: &Target) -> ProgressBar {
    let bar = if io::stderr().is_terminal() {
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    };
    let style = "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    // The template is constant; were it refused, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_message(format!("{what} {}", target.dir.display()));
    bar
}

/// Progress of reading records in order, and whether they were all.
struct Steps {
    bar: ProgressBar,
    dir: PathBuf,
    first_address: u64,
    /// The highest sequence that a tail slot calls durable.
    durable: u64,
    last: u64,
}

impl Steps {
    fn over(log: &ReadOnlyLog, what: &str, target: &Target) -> Result<Self, WalError> {
        let segments = log.segments().map_err(|source| failed(target, source))?;
        let bar = bar(what, target);
        let (first_address, begun) =
            (segments.first().map_or(0, |s| s.first_address), segments.iter().filter(|s| s.begun));
        bar.set_length(begun.count() as u64 * log.segment_bytes());
        let durable = segments.iter().map(|segment| segment.watermark_sequence).max().unwrap_or(0);
        Ok(Self { bar, dir: target.dir.clone(), first_address, durable, last: 0 })
    }

    fn at(&mut self, header: &RecordHeader) {
        self.last = header.sequence;
        if header.sequence.is_multiple_of(4_096) {
            self.bar.set_position(header.address.saturating_sub(self.first_address));
        }
    }

    /// There are no more records: an error where there should be.
    fn finish(self) -> Result<(), WalError> {
        self.bar.finish_and_clear();
        let Self { dir, durable, last, .. } = self;
        if last < durable { Err(WalError::EndsEarly { dir, last, durable }) } else { Ok(()) }
    }
}

/// Bytes for people.
fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
