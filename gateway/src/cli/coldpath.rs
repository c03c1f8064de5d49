//! Words of the command line about the coldpath of a running host.

use clap::{Args, Subcommand};

/// `lotbook coldpath`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Look after the workers of a running host that reconcile late trades, over its HTTP door.\n\n\
                  status shows what waits, what is overdue and the dead letters; retry sends dead letters again, one \
                  position's or all; pause and resume hold and release the workers while trading goes on; resize \
                  changes how many there are until the next start.",
    after_help = "Examples:\n  \
                  lotbook coldpath status\n  \
                  lotbook coldpath retry A1 AAPL\n  \
                  lotbook coldpath retry\n  \
                  lotbook coldpath resize 4"
)]
pub struct ColdpathArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ColdpathCommand,
    /// Address of the host's HTTP door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8787", global = true)]
    pub url: String,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What `lotbook coldpath` does.
#[derive(Clone, Debug, Subcommand)]
pub enum ColdpathCommand {
    /// Show workers, queue and dead letters
    Status,
    /// Try dead letters again: of one position, or all
    Retry {
        /// Account
        #[arg(value_name = "ACCOUNT", requires = "instrument")]
        account: Option<String>,
        /// Instrument
        #[arg(value_name = "INSTRUMENT")]
        instrument: Option<String>,
    },
    /// Let the workers end their positions and wait
    Pause,
    /// Let the workers go on
    Resume,
    /// Change the number of workers
    Resize {
        /// Workers, from 1 on
        #[arg(value_name = "WORKERS")]
        workers: usize,
    },
}
