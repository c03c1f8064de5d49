//! The `lotbook` binary: arguments in, exit codes out. What the commands do is in the library.

use std::io::{ErrorKind, IsTerminal, Write as _, stderr, stdin, stdout};

use clap::Parser as _;
use lotbook_engine::memory::Memory;
use lotbook_gateway::archive::ArchiveError;
use lotbook_gateway::cli::{Cli, Command, ExitCode, ServeArgs};
use lotbook_gateway::load::{self, LoadFailure};
use lotbook_gateway::office::OfficeError;
use lotbook_gateway::scenario::{self, ScenarioFailure};
use lotbook_gateway::serve::{self, ServeFailure};
use lotbook_gateway::server::ServeError;
use lotbook_gateway::{audit, burst, coldpath, control, dlq, exit, import, position, replay, tools};
use tracing_subscriber::EnvFilter;

/// The system's, and huge pages for the book of a host that asks for them.
#[global_allocator]
static MEMORY: Memory = Memory;

fn main() -> std::process::ExitCode {
    keep_to_the_owner();
    let cli = Cli::parse();
    log_to_stderr(&cli.command);
    let code = match &cli.command {
        Command::Serve(args) => run_serve(args),
        Command::Burst(args) => match burst::run(args, &mut stdout()) {
            Ok(true) => ExitCode::Ok,
            Ok(false) => ExitCode::Broken,
            Err(error) => fail(&error, of_load(&error)),
        },
        Command::Load(args) => match load::run(args, &mut stdout()) {
            Ok(true) => ExitCode::Ok,
            Ok(false) => ExitCode::Broken,
            Err(error) => fail(&error, of_load(&error)),
        },
        Command::Scenario(args) => match scenario::run(&args.command, &mut stdout()) {
            Ok(true) => ExitCode::Ok,
            Ok(false) => ExitCode::Broken,
            Err(ScenarioFailure::Load(error)) => fail(&error, of_load(&error)),
            Err(error @ ScenarioFailure::Data(_)) => fail(&error, ExitCode::Unreadable),
        },
        Command::Replay(args) => replay::run(args, &mut stdout(), &mut stderr()),
        Command::Import(args) => import::run(args, &mut stdout(), &mut stderr()),
        Command::Position(args) => match position::run(args, &mut stdout()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Config(args) => match tools::config::run(&args.command, &mut stdout()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Doctor(args) => match tools::doctor::run(args, &mut stdout()) {
            Ok(code) => code,
            Err(error) => fail(&error, exit::of_io(&error)),
        },
        Command::Profile(args) => match tools::profile::run(args, &mut stdout()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Coldpath(args) => match coldpath::run(args, &mut stdout()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Control(args) => match control::run(args, &mut stdout()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Dlq(args) => match dlq::run(args, &mut stdout()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Archive(args) => match tools::archive::run(args, &mut stdout()) {
            Ok(code) => code,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Audit(args) => match audit::run(args, &mut stdout(), &mut stderr()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Token(args) => match tools::token::run(args, &mut stdin(), &mut stdout()) {
            Ok(()) => ExitCode::Ok,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Wal(args) => match tools::wal::run(args, &mut stdout()) {
            Ok(code) => code,
            Err(error) => fail(&error, error.exit_code()),
        },
    };
    code.into()
}

/// Whatever is made from here on, nobody but its owner may read: logs, tails, checkpoints, and reports.
fn keep_to_the_owner() {
    // SAFETY: sets a number of this process and touches no memory; no other thread is there yet.
    unsafe { libc::umask(0o077) };
}

fn run_serve(args: &ServeArgs) -> ExitCode {
    let config = match args.told.effective_config() {
        Ok(config) => config,
        Err(error) => return fail(&error, ExitCode::BadConfig),
    };
    if args.print_config {
        return match stdout().write_all(config.to_toml().as_bytes()).and_then(|()| stdout().flush()) {
            Ok(()) => ExitCode::Ok,
            // Who reads a pipe to its head has what was wanted.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::Ok,
            Err(error) => fail(&error, exit::of_io(&error)),
        };
    }
    match serve::run(&config, &mut stdout()) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            let code = match &error {
                ServeFailure::Start(error) => of_serve(error),
                ServeFailure::Host(error) => exit::of_host(error),
                ServeFailure::AppliedUnsafe
                | ServeFailure::Objects(_)
                | ServeFailure::Access(_)
                | ServeFailure::Tls(_) => ExitCode::BadConfig,
                ServeFailure::Signals(error) | ServeFailure::Sink(error) | ServeFailure::Trail(error) => {
                    exit::of_io(error)
                }
                ServeFailure::Archive(ArchiveError::Target(_)) => ExitCode::BadConfig,
                ServeFailure::Archive(ArchiveError::Cursor(error)) => exit::of_cursor(error),
                ServeFailure::Archive(ArchiveError::Projection(error)) => exit::of_io(error),
            };
            fail(&error, code)
        }
    }
}

fn fail(error: &dyn std::error::Error, code: ExitCode) -> ExitCode {
    // A standard error that nobody reads any more changes nothing about the code; `eprintln` would panic.
    let _ = writeln!(stderr(), "lotbook: {error}");
    code
}

fn of_serve(error: &ServeError) -> ExitCode {
    use lotbook_gateway::journal::JournalError;
    match error {
        ServeError::Start(error) => exit::exit_code_of(error),
        ServeError::Journal(JournalError::Open(error)) => exit::of_open(error),
        ServeError::Journal(JournalError::Read(error)) => exit::of_read(error),
        ServeError::Journal(JournalError::Cursor(error)) => exit::of_cursor(error),
        ServeError::Journal(JournalError::Malformed(_)) => ExitCode::Damaged,
        ServeError::Office(OfficeError::Open(error)) => exit::of_open(error),
        ServeError::Office(OfficeError::Read(error)) => exit::of_read(error),
        ServeError::Office(OfficeError::Cursor(error)) => exit::of_cursor(error),
        ServeError::Office(OfficeError::Malformed(_)) => ExitCode::Damaged,
        ServeError::Listen { source, .. } => exit::of_io(source),
        ServeError::Stopped(error) => error.as_ref().map_or(ExitCode::NoSpace, exit::of_host),
    }
}

fn of_load(error: &LoadFailure) -> ExitCode {
    match error {
        LoadFailure::Plan(_) | LoadFailure::Tape(_) | LoadFailure::Usage(_) => ExitCode::Unreadable,
        LoadFailure::Serve(error) => of_serve(error),
        LoadFailure::Io { source, .. } => exit::of_io(source),
        LoadFailure::Door(_) => ExitCode::Unreachable,
        // A host that stopped answering while it was loaded has lost the verdict, not the log.
        LoadFailure::Load(_) => ExitCode::Broken,
        LoadFailure::ReadBack(_) => ExitCode::Damaged,
    }
}

/// Logs go to stderr: JSON lines for `serve`, plain and only warnings for commands that a person watches.
/// `LOTBOOK_LOG` says otherwise, as `debug` or `lotbook_gateway=debug`.
fn log_to_stderr(command: &Command) {
    let serving = matches!(command, Command::Serve(_));
    let fallback = if serving { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("LOTBOOK_LOG").unwrap_or_else(|_| EnvFilter::new(fallback));
    // A collector of logs that goes away must not take the host along: complaining about a standard error that cannot be
    // written, on standard error, panics in whichever thread has just logged.
    let logging = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter).with_writer(stderr);
    if serving {
        logging.json().flatten_event(true).init();
    } else {
        logging.with_ansi(stderr().is_terminal()).init();
    }
}
