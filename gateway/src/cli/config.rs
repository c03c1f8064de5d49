//! Words of the command line about the configuration.

use clap::{Args, Subcommand};

use super::Told;

/// `lotbook config`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Look at the configuration as `lotbook serve` would take it, without starting anything.\n\n\
                  check reads it and tells the first thing wrong: file, line, key, value and what is allowed; passwords are \
                  looked for where it says they are. show prints what somebody has set, with who said it: a line of the \
                  file, or an option; with --effective the defaults as well. Secrets are masked.",
    after_help = "Examples:\n  \
                  lotbook config check --config lotbook.toml\n  \
                  lotbook config show --effective\n  \
                  lotbook config show --effective --json --fix-listen off"
)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What `lotbook config` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a host would take the configuration; exit code 3 where it would not
    Check {
        /// What it is told.
        #[command(flatten)]
        told: Told,
    },
    /// Print values with their origins, as TOML
    Show {
        /// What it is told.
        #[command(flatten)]
        told: Told,
        /// Print defaults too: everything that holds
        #[arg(long)]
        effective: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
