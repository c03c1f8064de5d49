//! `lotbook profile`: where a running host spends its time, as a flame graph. `perf` samples its threads by the clock of their cores, which works
//! without hardware counters; reading and drawing are ours.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lotbook_perf::flame::{folded, svg};

use crate::cli::{ExitCode, ProfileArgs};
use crate::exit::of_io;

/// Why there is no flame graph.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Nothing says which process.
    #[error("{}: {source}; is a host running there? --pid names one", path.display())]
    NoHost {
        /// The lock that names its owner.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no `perf`.
    #[error("perf: {0}; install it (Debian: linux-perf)")]
    NoPerf(io::Error),
    /// It ran and failed, in its own words.
    #[error("perf {what}: {words}")]
    Perf {
        /// What it was to do.
        what: &'static str,
        /// What it said.
        words: String,
    },
    /// Nothing was sampled: the process slept all the while, or is not ours to look at.
    #[error("no sample of process {0}: it slept, or it is another user's")]
    Nothing(u32),
    /// A file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ProfileError {
    /// How the command ends.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoHost { .. } => ExitCode::Unreachable,
            Self::NoPerf(_) | Self::Perf { .. } | Self::Nothing(_) => ExitCode::Io,
            Self::Io { source, .. } => of_io(source),
        }
    }
}

/// Samples, folds, draws. Blocks for the seconds asked, and for some more while `perf` reads what it has.
///
/// # Errors
/// [`ProfileError`].
pub fn run(args: &ProfileArgs, out: &mut dyn Write) -> Result<(), ProfileError> {
    let pid = match args.pid {
        Some(pid) => pid,
        None => owner(&args.data_dir.join("log"))?,
    };
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ProfileError::Io { path, source }
    };
    let dir = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
    let data = dir.path().join("perf.data");
    let (pid_text, rate, seconds) = (pid.to_string(), args.rate.to_string(), args.seconds.to_string());
    let mut record = Command::new("perf");
    // Stacks are unwound from what the compiler wrote down: the product keeps no frame pointers.
    record.args([
        "record",
        "-q",
        "-e",
        "cpu-clock:u",
        "--call-graph",
        "dwarf,16384",
        "-F",
        &rate,
        "-p",
        &pid_text,
        "-o",
    ]);
    record.arg(&data).args(["--", "sleep", &seconds]);
    done("record", record.output())?;
    let mut script = Command::new("perf");
    script.args(["script", "-F", "comm,tid,ip,sym", "-i"]).arg(&data);
    let read = done("script", script.output())?;
    let root = folded(&String::from_utf8_lossy(&read.stdout));
    if root.samples == 0 {
        return Err(ProfileError::Nothing(pid));
    }
    let heading = format!("lotbook, process {pid}: {} samples in {} s", root.samples, args.seconds);
    std::fs::write(&args.output, svg(&root, &heading)).map_err(failed(&args.output))?;
    // A standard output that nobody reads any more changes nothing about the file.
    let _ = writeln!(out, "{heading}: {}", args.output.display());
    Ok(())
}

/// The process that holds a log.
fn owner(log: &Path) -> Result<u32, ProfileError> {
    let path = log.join("LOCK");
    let no_host = |source| ProfileError::NoHost { path: path.clone(), source };
    let text = std::fs::read_to_string(&path).map_err(no_host)?;
    let pid: u32 = text.trim().parse().map_err(|_| no_host(io::Error::other("it names no process")))?;
    // The name stays when its process has gone.
    std::fs::metadata(format!("/proc/{pid}")).map_err(no_host)?;
    Ok(pid)
}

fn done(what: &'static str, ran: io::Result<Output>) -> Result<Output, ProfileError> {
    let ran = ran.map_err(ProfileError::NoPerf)?;
    match ran.status.success() {
        true => Ok(ran),
        false => Err(ProfileError::Perf { what, words: String::from_utf8_lossy(&ran.stderr).trim().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_log_is_found_as_long_as_it_lives() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(owner(dir.path()).map_err(|error| error.exit_code()), Err(ExitCode::Unreachable));
        for (text, wanted) in [
            (format!("{}\n", std::process::id()), Ok(std::process::id())),
            ("nobody\n".to_owned(), Err(ExitCode::Unreachable)),
            // No process has the greatest number.
            (format!("{}\n", u32::MAX), Err(ExitCode::Unreachable)),
        ] {
            std::fs::write(dir.path().join("LOCK"), text).expect("written");
            assert_eq!(owner(dir.path()).map_err(|error| error.exit_code()), wanted);
        }
    }
}
