//! `lotbook archive status|migrate|verify|rebuild|restore|...`: the archive in Postgres, beside a running host or without one, and data
//! directories from shipped segments.

mod reference;
mod restore;
mod trades;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lotbook_archiver::objects::ObjectsError;
use lotbook_archiver::postgres::rebuild;
use lotbook_archiver::postgres::trades::check::{self, TradesReport};
use lotbook_archiver::postgres::trades::follow;
use lotbook_archiver::postgres::verify::{self, Report};
use lotbook_archiver::postgres::{FromLogError, Link, Mend, PgError, Target, migrate};
use lotbook_wal::{DiskError, OpenError, ReadOnlyLog, open_read_only};
use serde_json::json;

use crate::cli::{ArchiveArgs, ArchiveCommand, ExitCode};
use crate::config::{Config, ConfigError, TargetError};
use crate::exit;

/// The shard whose log it is; a host has one.
const SHARD: i16 = 0;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveToolError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The object store's.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// A data directory was not brought back.
    #[error(transparent)]
    Restore(#[from] restore::RestoreFailure),
    /// There is no archive.
    #[error("no archive is configured: set archive.postgres.url")]
    Off,
    /// A rebuild was not told to do it.
    #[error("rebuild throws away everything in the schema lotbook of {place}; add --yes to do it")]
    NotTold {
        /// Host, port and database.
        place: String,
    },
    /// The database.
    #[error("{place}: {source}")]
    Archive {
        /// Host, port and database.
        place: String,
        /// Why.
        source: PgError,
    },
    /// Reference data is none; nothing of it was loaded.
    #[error("{}: {what}", file.display())]
    Reference {
        /// The file.
        file: PathBuf,
        /// The line, and what is wrong with it.
        what: String,
    },
    /// The log cannot be opened or read.
    #[error("{}: {source}", dir.display())]
    Log {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// Segments that are wanted are neither here nor where they were shipped to. Nothing was thrown away.
    #[error(
        "{}: {count} archived segments are neither here nor in {place}, the first with sequences {first} to {last}; nothing was thrown away",
        dir.display()
    )]
    Missing {
        /// The log's directory.
        dir: PathBuf,
        /// Where they were shipped to.
        place: String,
        /// How many.
        count: usize,
        /// First record of the first.
        first: u64,
        /// Its last one.
        last: u64,
    },
    /// The log's start is not within reach.
    #[error("{}: the log begins at sequence {first}; name the directory that its segments were shipped to: --archive-dir", dir.display())]
    Begins {
        /// The log's directory.
        dir: PathBuf,
        /// First record within reach.
        first: u64,
    },
    /// No runtime, or the output cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl ArchiveToolError {
    /// How the command ends.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Target(_) | Self::Objects(_) | Self::Off => ExitCode::BadConfig,
            Self::Restore(failure) => failure.exit_code(),
            Self::NotTold { .. } | Self::Reference { .. } => ExitCode::Unreadable,
            // Who reads a pipe to its head has what was wanted.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
            Self::Output(error) => exit::of_io(error),
            Self::Archive { source, .. } => match (source, source.mend()) {
                (PgError::Connect(_), _) | (_, Mend::Time) => ExitCode::Unreachable,
                (_, Mend::Person) => ExitCode::Unreadable,
            },
            Self::Log { source: OpenError::Disk(disk), .. } => exit::of_io(&disk.source),
            Self::Log { source, .. } => match exit::of_open(source) {
                ExitCode::Damaged => ExitCode::Unreadable,
                other => other,
            },
            Self::Begins { .. } | Self::Missing { .. } => ExitCode::Unreadable,
        }
    }
}

/// Runs a command; what it prints goes to `out`, its progress to standard error where that is a terminal.
///
/// # Errors
/// [`ArchiveToolError`], with its exit code. Differences that `verify` finds are no error: they are the answer.
pub fn run(args: &ArchiveArgs, out: &mut dyn Write) -> Result<ExitCode, ArchiveToolError> {
    let config = args.effective_config()?;
    if let ArchiveCommand::Restore(restore) = &args.command {
        return restore::run(&config, restore, args.json, out);
    }
    let target = config.postgres.target()?.ok_or(ArchiveToolError::Off)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let job = Job { args, config: &config, target: &target };
    runtime.block_on(async {
        match &args.command {
            ArchiveCommand::Status => job.status(out).await,
            ArchiveCommand::Migrate => job.migrate(out).await,
            ArchiveCommand::Verify { list, archive_dir } => job.verify(*list, archive_dir.as_deref(), out).await,
            ArchiveCommand::Reference { table, file } => job.reference(*table, file, out).await,
            ArchiveCommand::Unenriched { list } => job.unenriched(*list, out).await,
            ArchiveCommand::Retry => job.retry(out).await,
            ArchiveCommand::Restore(_) => unreachable!("has no database to ask"),
            ArchiveCommand::Rebuild { yes, archive_dir } => job.rebuild(*yes, archive_dir.as_deref(), out).await,
        }
    })
}

struct Job<'a> {
    args: &'a ArchiveArgs,
    config: &'a Config,
    target: &'a Target,
}

impl Job<'_> {
    fn failed(&self, source: PgError) -> ArchiveToolError {
        ArchiveToolError::Archive { place: self.target.place(), source }
    }

    fn of_log(&self, error: FromLogError, dir: &Path) -> ArchiveToolError {
        let dir = dir.to_path_buf();
        match error {
            FromLogError::Archive(source) => self.failed(source),
            FromLogError::Log(source) => ArchiveToolError::Log { dir, source },
            FromLogError::Begins { first } => ArchiveToolError::Begins { dir, first },
        }
    }

    async fn link(&self) -> Result<Link, ArchiveToolError> {
        self.target.connect(self.config.postgres.timeout()).await.map_err(|source| self.failed(source))
    }

    /// To a schema that is this program's.
    async fn checked_link(&self) -> Result<Link, ArchiveToolError> {
        let link = self.link().await?;
        migrate::check(&link.client).await.map_err(|source| self.failed(source))?;
        Ok(link)
    }

    /// The log, its shipped segments included.
    fn log(&self, archive_dir: Option<&Path>) -> Result<(PathBuf, ReadOnlyLog), ArchiveToolError> {
        let dir = self.config.data.dir.join("log");
        let mut log = open_read_only(&dir).map_err(|source| ArchiveToolError::Log { dir: dir.clone(), source })?;
        if let Some(tail_dir) = &self.config.data.tail_dir {
            log = log.with_tail_dir(tail_dir);
        }
        if let Some(shipped) = self.config.archive_target(archive_dir.map(Path::to_path_buf))? {
            log = log.with_target(shipped);
        }
        Ok((dir, log))
    }

    /// Before anything goes: all of the log can be had.
    fn check_reach(&self, dir: &Path, log: &ReadOnlyLog, archive_dir: Option<&Path>) -> Result<(), ArchiveToolError> {
        let failed = |source: DiskError| ArchiveToolError::Log { dir: dir.to_path_buf(), source: source.into() };
        let missing = log.missing_archives().map_err(failed)?;
        let shipped = self.config.archive_target(archive_dir.map(Path::to_path_buf))?;
        // Where there is no such place the log begins later, which is said as such.
        let (Some(entry), Some(place)) = (missing.first(), shipped) else { return Ok(()) };
        Err(ArchiveToolError::Missing {
            dir: dir.to_path_buf(),
            place: place.describe(),
            count: missing.len(),
            first: entry.first_sequence,
            last: entry.last_sequence,
        })
    }

    async fn status(&self, out: &mut dyn Write) -> Result<ExitCode, ArchiveToolError> {
        let link = self.link().await?;
        let applied = migrate::applied(&link.client).await.map_err(|source| self.failed(source))?;
        let problem = migrate::check(&link.client).await.err();
        let cursor = match problem {
            Some(_) => None,
            None => link.cursor(SHARD).await.map_err(|source| self.failed(source))?,
        };
        let version = applied.last().map_or(0, |(version, _)| *version);
        if self.args.json {
            let document = json!({
                "place": self.target.place(),
                "schema_version": version,
                "program_version": migrate::newest(),
                "problem": problem.as_ref().map(ToString::to_string),
                "cursor": cursor.map(|cursor| json!({
                    "log_id": format!("{:016x}", cursor.position.log_id),
                    "epoch": cursor.position.epoch,
                    "sequence": cursor.position.sequence,
                    "checksum": format!("{:08x}", cursor.position.checksum),
                })),
            });
            serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}: schema version {version} of {}", self.target.place(), migrate::newest())?;
            match (&problem, cursor) {
                (Some(problem), _) => writeln!(out, "  {problem}")?,
                (None, Some(cursor)) => writeln!(out, "  archived up to {}", cursor.position)?,
                (None, None) => writeln!(out, "  empty")?,
            }
        }
        Ok(if problem.is_some() { ExitCode::Broken } else { ExitCode::Ok })
    }

    async fn migrate(&self, out: &mut dyn Write) -> Result<ExitCode, ArchiveToolError> {
        let mut link = self.link().await?;
        let done = migrate::migrate(&mut link.client).await.map_err(|source| self.failed(source))?;
        let place = self.target.place();
        if self.args.json {
            writeln!(out, "{}", json!({ "place": place, "applied": done, "schema_version": migrate::newest() }))?;
        } else if done.is_empty() {
            writeln!(out, "{place}: schema version {} is there already", migrate::newest())?;
        } else {
            let done: Vec<String> = done.iter().map(ToString::to_string).collect();
            writeln!(out, "{place}: applied {}", done.join(", "))?;
        }
        Ok(ExitCode::Ok)
    }

    async fn verify(
        &self,
        list: usize,
        archive_dir: Option<&Path>,
        out: &mut dyn Write,
    ) -> Result<ExitCode, ArchiveToolError> {
        let (dir, mut log) = self.log(archive_dir)?;
        let mut link = self.link().await?;
        migrate::check(&link.client).await.map_err(|source| self.failed(source))?;
        let bar = bar("comparing");
        let mut progress = progress(&bar);
        let report = verify::verify(&mut link, SHARD, &mut log, list, &mut progress).await;
        let report = report.map_err(|error| self.of_log(error, &dir))?;
        bar.finish_and_clear();
        let trades = check::check(&mut link, SHARD, list).await.map_err(|source| self.failed(source))?;
        self.print(&report, &trades, out)?;
        let equal = report.differences_count == 0 && trades.wrong_count == 0;
        Ok(if equal { ExitCode::Ok } else { ExitCode::Broken })
    }

    fn print(&self, report: &Report, trades: &TradesReport, out: &mut dyn Write) -> io::Result<()> {
        let through = report.archived.map_or(0, |archived| archived.position.sequence);
        if self.args.json {
            let document = json!({
                "place": self.target.place(),
                "complete_through": through,
                "records": report.records,
                "rows": report.rows,
                "differences_count": report.differences_count,
                "differences": report.differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "trades": {
                    "complete_through": trades.complete_through,
                    "trades": trades.trades,
                    "wrong_count": trades.wrong_count,
                    "wrong": trades.wrong.iter().map(ToString::to_string).collect::<Vec<_>>(),
                },
            });
            serde_json::to_writer_pretty(&mut *out, &document)?;
            return writeln!(out);
        }
        let verdict = if report.differences_count == 0 { "equal" } else { "DIFFERENT" };
        let place = self.target.place();
        writeln!(out, "{place}: {verdict}; {} records, {} rows, up to {through}", report.records, report.rows)?;
        for difference in &report.differences {
            writeln!(out, "  {difference}")?;
        }
        let unlisted = report.differences_count - report.differences.len() as u64;
        if unlisted > 0 {
            writeln!(out, "  and {unlisted} more")?;
        }
        let verdict = if trades.wrong_count == 0 { "as they should be" } else { "NOT as they should be" };
        writeln!(out, "{place}: {} trades {verdict}, up to {}", trades.trades, trades.complete_through)?;
        for wrong in &trades.wrong {
            writeln!(out, "  {wrong}")?;
        }
        let unlisted = trades.wrong_count - trades.wrong.len() as u64;
        if unlisted > 0 {
            writeln!(out, "  and {unlisted} more")?;
        }
        Ok(())
    }

    async fn rebuild(
        &self,
        yes: bool,
        archive_dir: Option<&Path>,
        out: &mut dyn Write,
    ) -> Result<ExitCode, ArchiveToolError> {
        if !yes {
            return Err(ArchiveToolError::NotTold { place: self.target.place() });
        }
        let (dir, mut log) = self.log(archive_dir)?;
        self.check_reach(&dir, &log, archive_dir)?;
        let mut link = self.link().await?;
        let bar = bar("archiving");
        let rows = self.config.postgres.backlog_rows;
        let mut progress = progress(&bar);
        let done = rebuild::rebuild(&mut link, SHARD, &mut log, rows, &mut progress).await;
        let done = done.map_err(|error| self.of_log(error, &dir))?;
        bar.finish_and_clear();
        let bar = self::bar("projecting trades");
        let mut progress = self::progress(&bar);
        let versions = follow::catch_up(&mut link, SHARD, done.sequence, &mut progress).await;
        let versions = versions.map_err(|source| self.failed(source))?;
        bar.finish_and_clear();
        let place = self.target.place();
        if self.args.json {
            let document = json!({ "place": place, "rows": done.rows, "trade_versions": versions, "complete_through": done.sequence });
            writeln!(out, "{document}")?;
        } else {
            let (rows, sequence) = (done.rows, done.sequence);
            writeln!(out, "{place}: made anew, {rows} rows, {versions} versions of trades, up to sequence {sequence}")?;
        }
        Ok(ExitCode::Ok)
    }
}

fn progress(bar: &ProgressBar) -> impl FnMut(u64, u64) {
    |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    }
}

/// A bar of records on standard error; nothing where that is no terminal.
fn bar(what: &'static str) -> ProgressBar {
    let bar = if io::stderr().is_terminal() {
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    };
    // The template is constant; were it refused, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}
