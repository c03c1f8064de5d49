//! The vocabulary of a simulation: kinds of calls, how they fail, how a process ends and what a power cut leaves.

use std::path::PathBuf;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Opening a file that is there.
    Open,
    /// Opening a file that is made or emptied.
    Create,
    /// Making and mapping a tail.
    Map,
    /// Reserving space.
    Allocate,
    /// Reading.
    Read,
    /// Writing, alone or as one of several.
    Write,
    /// Making a file's bytes durable.
    Sync,
    /// Renaming.
    Rename,
    /// Removing.
    Unlink,
    /// Reading a directory.
    List,
    /// Making a directory's names durable.
    SyncDir,
    /// Making a directory.
    MakeDir,
    /// Asking for a file's length.
    Length,
    /// Taking the lock.
    Lock,
}

impl Call {
    /// The name an error carries: what the real disk calls it.
    pub fn name(self) -> &'static str {
        match self {
            Call::Open => "open",
            Call::Create | Call::Map => "create",
            Call::Allocate => "fallocate",
            Call::Read => "pread",
            Call::Write => "pwrite",
            Call::Sync => "fdatasync",
            Call::Rename => "rename",
            Call::Unlink => "unlink",
            Call::List => "readdir",
            Call::SyncDir => "fsync directory",
            Call::MakeDir => "mkdir",
            Call::Length => "fstat",
            Call::Lock => "flock",
        }
    }

    /// True for the calls that change something.
    pub fn changes(self) -> bool {
        !matches!(self, Call::Open | Call::Read | Call::List | Call::Length | Call::Lock)
    }
}

/// What reaches the disk of what was not synced when the power goes. Always per write and per name; whole writes are torn in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// None of it.
    Nothing,
    /// All of it.
    Everything,
    /// The first writes, the last of them in part.
    InOrder,
    /// Only the last writes: the first ones are lost.
    Reversed,
    /// Any sectors of any writes.
    Torn,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The process dies; what it has stored and written stays.
    Kill,
    /// The machine loses power: shared memory is gone, unsynced writes are what the cut says, and the boot id is another one.
    PowerCut(Cut),
    /// As a power cut, and one unsynced write arrives at another place.
    Misplacing(Cut),
}

/// A call that is to fail.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Which kind; `None` for every kind that changes something.
    pub call: Option<Call>,
    /// How many of that kind go well before.
    pub after: u64,
    /// The reason given.
    pub errno: i32,
    /// All later ones of that kind fail as well.
    pub lasting: bool,
}

/// A call that was made to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which kind.
    pub call: Call,
    /// On what.
    pub path: PathBuf,
    /// At which byte of it.
    pub offset: u64,
    /// The reason given.
    pub errno: i32,
}
