//! `lotbook wal inspect|verify|dump`: what a log holds, whether it is whole, and every record of it.
//!
//! Nothing is written, no lock is taken: a running host is not disturbed, and of its log a picture is
//! shown that may be a moment old. A directory is a data directory (the log is in `log`, the bodies
//! of corrections are in `side`) or a log directory itself.

mod dump;
mod inspect;
mod verify;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lotbook_wal::{OpenError, ReadOnlyLog, open_read_only};

use crate::cli::{ExitCode, WalArgs, WalCommand, WalDirArgs};

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
    /// The checkpoints cannot be listed.
    #[error("listing {}: {source}", dir.display())]
    Checkpoints {
        /// Their directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
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
            Self::Output(_) | Self::Checkpoints { .. } | Self::Log { source: OpenError::Disk(_), .. } => ExitCode::Io,
            Self::Log { .. } | Self::EndsEarly { .. } => ExitCode::Unreadable,
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
    let log = open_read_only(&target.dir).map_err(|source| failed(target, source))?;
    Ok(match &args.tail_dir {
        Some(dir) => log.with_tail_dir(dir),
        None => log,
    })
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

/// Bytes for people.
fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
