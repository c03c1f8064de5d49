//! Words of the command line about what operators stop.

use clap::{Args, Subcommand, ValueEnum};

/// `lotbook control`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Stop and resume what a running host takes, over its HTTP door.\n\n\
                  halt refuses trades, amendments and actions of an account, an instrument, a session or all; resume takes \
                  them again. read-only refuses commands of every type; drain does too, and says that the host is not ready. \
                  Who and why are recorded, and an order holds over restarts until it is taken back.",
    after_help = "Examples:\n  \
                  lotbook control show\n  \
                  lotbook control halt account A1 --user ann --reason under-review\n  \
                  lotbook control resume account A1 --user ann --reason reviewed\n  \
                  lotbook control halt all --user ann --reason close\n  \
                  lotbook control drain on --user ann --reason maintenance"
)]
pub struct ControlArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ControlCommand,
    /// Address of the host's HTTP door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8787", global = true)]
    pub url: String,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What `lotbook control` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ControlCommand {
    /// Print what is stopped, by whom and why
    Show,
    /// Refuse what an account, an instrument, a session or everybody sends
    Halt(ScopeArgs),
    /// Take it again
    Resume(ScopeArgs),
    /// Refuse commands of every type, or take them again
    ReadOnly(SwitchArgs),
    /// As read-only, and say that the host is not ready
    Drain(SwitchArgs),
}

/// What a halt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeKind {
    /// Everything.
    All,
    /// An account.
    Account,
    /// An instrument.
    Instrument,
    /// A FIX session by its name, or http.
    Session,
}

/// What, who, and why.
#[derive(Clone, Debug, Args)]
pub struct ScopeArgs {
    /// What it is about
    #[arg(value_name = "SCOPE")]
    pub scope: ScopeKind,
    /// Its name, of all but `all`
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Who does it
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// Why
    #[arg(long, value_name = "REASON")]
    pub reason: String,
}

/// On or off, who, and why.
#[derive(Clone, Debug, Args)]
pub struct SwitchArgs {
    /// On, or off
    #[arg(value_name = "ON|OFF", value_parser = ["on", "off"])]
    pub switch: String,
    /// Who does it
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// Why
    #[arg(long, value_name = "REASON")]
    pub reason: String,
}
