//! Words of the command line about the archive in Postgres.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::CONFIG_FILE;
use crate::config::{Config, ConfigError};

/// `lotbook archive`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Look after the archive in Postgres, beside a running host or without one.\n\n\
                  status shows schema and cursor; migrate brings the schema up to this version; verify compares the log \
                  with every row and every column, and the trades with the rows, and its exit code is 0 where they are equal, 1 where they \
                  differ or records are parked; rebuild throws the archive away and makes it anew from the log. The log is read without its lock; \
                  verify and rebuild need all of it, shipped segments too.\n\n\
                  reference loads traders, strategies, accounts or securities, from which trades are enriched; unenriched lists \
                  trades whose reference data is missing; retry tries again what the trades could not take.\n\n\
                  restore needs no database: it brings a data directory back from shipped segments.",
    after_help = "Examples:\n  \
                  lotbook archive status\n  \
                  lotbook archive migrate --config lotbook.toml\n  \
                  lotbook archive verify --json --archive-dir /mnt/archive\n  \
                  lotbook archive rebuild --yes\n  \
                  lotbook archive reference securities master.csv\n  \
                  lotbook archive unenriched\n  \
                  lotbook archive restore --into /srv/book"
)]
pub struct ArchiveArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ArchiveCommand,
    /// Configuration file with [archive.postgres] and [data] [default: lotbook.toml in this directory, where there is one]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What `lotbook archive` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ArchiveCommand {
    /// Show which schema is there and how far the archive has come
    Status,
    /// Bring the schema up to this version
    Migrate,
    /// Compare the log with every row and every column
    Verify {
        /// Differences that are listed; all are counted
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        list: usize,
        /// Directory that sealed segments were shipped to [default: retention.archive_dir]
        #[arg(long, value_name = "DIR")]
        archive_dir: Option<PathBuf>,
    },
    /// Load reference data, from which trades are enriched: all rows of a file, or none
    Reference {
        /// What it is: each row has a key (trader_id, strategy_id, account, instrument), valid_from, and what is known from then on
        #[arg(value_enum)]
        table: Table,
        /// CSV with a header, or JSON lines where its name ends in .jsonl; columns in docs/archive.md
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// List trades whose reference data is missing; exit code 1 where there are any
    Unenriched {
        /// Trades that are listed; all are counted
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        list: usize,
    },
    /// Try again what the trades could not take; exit code 1 where some is left
    Retry,
    /// Throw the archive away and make it anew from the log
    Rebuild {
        /// Do it: everything in the schema lotbook goes
        #[arg(long)]
        yes: bool,
        /// Directory that sealed segments were shipped to [default: retention.archive_dir]
        #[arg(long, value_name = "DIR")]
        archive_dir: Option<PathBuf>,
    },
    /// Bring a whole data directory back from the segments that were shipped
    Restore(RestoreArgs),
}

/// `lotbook archive restore`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Bring a whole data directory back from the segments that were shipped, and from the copies of what was not \
                  sealed yet.\n\n\
                  Every segment is checked; one that is missing or damaged is named, and nothing takes the directory's place. \
                  The directory must be empty or missing. It is made beside its place, as DIR.restoring, and renamed when all of it \
                  is there: run again, a restore goes on with what it has. The exit code is 0 where everything is back that is \
                  known to have been durable, 1 where the newest records are not, 2 where nothing was brought back.",
    after_help = "Examples:\n  \
                  lotbook archive restore --list\n  \
                  lotbook archive restore --config lotbook.toml\n  \
                  lotbook archive restore --archive-dir /mnt/archive --into /srv/book"
)]
pub struct RestoreArgs {
    /// Directory to bring back [default: data.dir]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Directory that sealed segments were shipped to [default: archive.objects, or retention.archive_dir]
    #[arg(long, value_name = "DIR")]
    pub archive_dir: Option<PathBuf>,
    /// Which data directory, as --list shows it, where several were shipped there
    #[arg(long, value_name = "HOST:DIR")]
    pub of: Option<String>,
    /// Only this log, by its id; repeatable, where one directory held several
    #[arg(long, value_name = "ID")]
    pub log: Vec<String>,
    /// Show what was shipped there, and bring nothing back
    #[arg(long)]
    pub list: bool,
}

impl ArchiveArgs {
    /// The configuration that says where log and archive are.
    ///
    /// # Errors
    /// What is wrong with the file. A named file must exist; the default one need not.
    pub fn effective_config(&self) -> Result<Config, ConfigError> {
        match &self.config {
            Some(path) => Config::load(path),
            None if std::path::Path::new(CONFIG_FILE).exists() => Config::load(CONFIG_FILE.as_ref()),
            None => Ok(Config::default()),
        }
    }
}

/// A table of reference data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// trader_id, valid_from, name, mpid
    Traders,
    /// strategy_id, valid_from, name, desk
    Strategies,
    /// account, valid_from, trader_id, strategy_id
    Accounts,
    /// instrument, valid_from, name, cusip, isin
    Securities,
}
