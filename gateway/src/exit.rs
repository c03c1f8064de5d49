//! From errors to exit codes: one table for all commands. Classified by variant and errno, never by text.

use std::io;

use lotbook_engine::past::PastError;
use lotbook_engine::{HostError, StartError};
use lotbook_wal::{CursorError, LatchedError, OpenError, ReadError};

use crate::cli::ExitCode;

/// Why a host did not start.
#[must_use]
pub fn exit_code_of(error: &StartError) -> ExitCode {
    match error {
        StartError::Log { source, .. } => of_open(source),
        StartError::Read { source, .. } => of_read(source),
        StartError::Event { .. } | StartError::Gap { .. } => ExitCode::Damaged,
        // The directory is whole; the configured limits are too small for it.
        // Nothing is damaged: what is needed lies elsewhere.
        StartError::Missing { .. } => ExitCode::Io,
        StartError::Cursor(error) => of_cursor(error),
        StartError::Checkpoint { .. } | StartError::Layout { .. } => ExitCode::BadConfig,
        StartError::Shard { .. } => ExitCode::Internal,
        StartError::Io { source, .. } => of_io(source),
    }
}

/// Why a cursor of ours cannot be used.
#[must_use]
pub fn of_cursor(error: &CursorError) -> ExitCode {
    match error {
        CursorError::Disk(disk) => of_io(&disk.source),
        CursorError::Read(read) => of_read(read),
        _ => ExitCode::Damaged,
    }
}

/// Why a running host stopped.
#[must_use]
pub fn of_host(error: &HostError) -> ExitCode {
    match error {
        HostError::Latched(_) => ExitCode::Latched,
        HostError::Diverged { .. } | HostError::Panicked(_) | HostError::Disagree(_) => ExitCode::Internal,
        HostError::Checkpoint(error) => of_io(error),
    }
}

/// Why a log did not open.
#[must_use]
pub fn of_open(error: &OpenError) -> ExitCode {
    match error {
        OpenError::Locked { .. } => ExitCode::Locked,
        OpenError::Config(_) => ExitCode::BadConfig,
        OpenError::NotALog { .. } => ExitCode::Io,
        OpenError::Meta { .. }
        | OpenError::Manifest { .. }
        | OpenError::Cursor(_)
        | OpenError::MissingSegment { .. }
        | OpenError::WrongSegment { .. }
        | OpenError::Corrupt(_)
        | OpenError::TailForeign { .. }
        | OpenError::TailDiffers { .. }
        | OpenError::TailGap { .. } => ExitCode::Damaged,
        OpenError::OutOfSpace { .. } => ExitCode::NoSpace,
        OpenError::Disk(disk) => of_io(&disk.source),
        OpenError::Latched(latched) => of_latched(latched),
        OpenError::Start(source) => of_io(source),
    }
}

/// Why a log could not be read on.
#[must_use]
pub fn of_read(error: &ReadError) -> ExitCode {
    match error {
        ReadError::Disk(disk) => of_io(&disk.source),
        ReadError::Latched(latched) => of_latched(latched),
        ReadError::Gone { .. } | ReadError::Beyond { .. } | ReadError::NoRecord { .. } | ReadError::Corrupt(_) => {
            ExitCode::Damaged
        }
    }
}

/// The failure that a log has latched.
#[must_use]
pub fn of_latched(latched: &LatchedError) -> ExitCode {
    match latched.errno {
        libc::ENOSPC | libc::EDQUOT => ExitCode::NoSpace,
        _ => ExitCode::Latched,
    }
}

/// Why the past does not answer.
#[must_use]
pub fn of_past(error: &PastError) -> ExitCode {
    match error {
        PastError::Unknown { .. } | PastError::Beyond { .. } | PastError::Order { .. } => ExitCode::Unreadable,
        PastError::Read(error) => of_read(error),
        PastError::Body(_) | PastError::Codec { .. } | PastError::Misfit { .. } => ExitCode::Damaged,
        PastError::Replay(_) => ExitCode::Internal,
    }
}

/// A file or socket operation that failed.
#[must_use]
pub fn of_io(error: &io::Error) -> ExitCode {
    match (error.raw_os_error(), error.kind()) {
        (Some(libc::EADDRINUSE), _) | (None, io::ErrorKind::AddrInUse) => ExitCode::AddressInUse,
        (Some(libc::ENOSPC | libc::EDQUOT), _) | (None, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            ExitCode::NoSpace
        }
        _ => ExitCode::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn errno_decides() {
        for (errno, want) in [
            (libc::EADDRINUSE, ExitCode::AddressInUse),
            (libc::ENOSPC, ExitCode::NoSpace),
            (libc::EDQUOT, ExitCode::NoSpace),
            (libc::EACCES, ExitCode::Io),
            (libc::EROFS, ExitCode::Io),
            (libc::EIO, ExitCode::Io),
        ] {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(of_io(&error), want, "{error}");
            let start = StartError::Io { what: "creating", path: PathBuf::from("d"), source: error };
            assert_eq!(exit_code_of(&start), want);
        }
        assert_eq!(of_io(&io::ErrorKind::AddrInUse.into()), ExitCode::AddressInUse);
        assert_eq!(of_io(&io::Error::other("no room")), ExitCode::Io, "the text decides nothing");
    }

    #[test]
    fn starts() {
        let log = |source| StartError::Log { dir: PathBuf::from("d"), source };
        let latched =
            |errno| LatchedError { errno, call: "pwrite", file: PathBuf::from("f"), offset: 0, durable_sequence: 0 };
        for (error, want) in [
            (log(OpenError::Locked { dir: PathBuf::from("d"), pid: None }), ExitCode::Locked),
            (log(OpenError::Config("x".into())), ExitCode::BadConfig),
            (log(OpenError::OutOfSpace { dir: PathBuf::from("d"), needed_bytes: 1 }), ExitCode::NoSpace),
            (log(OpenError::MissingSegment { path: PathBuf::from("s"), address: 0 }), ExitCode::Damaged),
            (log(OpenError::Latched(latched(libc::EIO))), ExitCode::Latched),
            (log(OpenError::Latched(latched(libc::ENOSPC))), ExitCode::NoSpace),
            (StartError::Gap { first: 3 }, ExitCode::Damaged),
        ] {
            assert_eq!(exit_code_of(&error), want, "{error}");
        }
    }
}
