//! Words of the command line about dead letters.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `lotbook dlq`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Look after dead letters of a running host over its HTTP door: inputs that did not come in, with their bytes \
                  as they came, why, and how often they were tried.\n\n\
                  list shows those that wait; show prints one whole, with what was done about it; resubmit sends one again, as it \
                  came or corrected; discard gives one up. Who and why are recorded before anything is done. What is refused \
                  does not consume its id: corrected, it comes in under the same id, once.",
    after_help = "Examples:\n  \
                  lotbook dlq list\n  \
                  lotbook dlq list --class Validation --state all\n  \
                  lotbook dlq show 7\n  \
                  lotbook dlq resubmit 7 --user ann --reason price-was-typed-wrongly --line corrected.json\n  \
                  lotbook dlq discard 7 --user ann --reason a-test"
)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DlqCommand,
    /// Address of the host's HTTP door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8787", global = true)]
    pub url: String,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What `lotbook dlq` does.
#[derive(Clone, Debug, Subcommand)]
pub enum DlqCommand {
    /// Show letters, the oldest first
    List {
        /// Where they stand: open, resubmitted, discarded or all
        #[arg(long, value_name = "STATE", default_value = "open")]
        state: String,
        /// Only of this class: Deserialization, Validation, Processing, Timeout or Downstream
        #[arg(long, value_name = "CLASS")]
        class: Option<String>,
        /// Only with this code
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// Only from this source: http, or a FIX session
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// Only behind this number
        #[arg(long, value_name = "LETTER", default_value_t = 0)]
        after: u64,
        /// At most so many
        #[arg(long, value_name = "LETTERS", default_value_t = 100)]
        limit: u32,
    },
    /// Print one letter with its bytes and what was done about it
    Show {
        /// Number of the letter
        #[arg(value_name = "LETTER")]
        letter: u64,
    },
    /// Send one again
    Resubmit {
        /// Who and why.
        #[command(flatten)]
        by: By,
        /// File with the corrected line as JSON, - for standard input; without it the letter is sent as it came
        #[arg(long, value_name = "FILE")]
        line: Option<PathBuf>,
    },
    /// Give one up
    Discard {
        /// Who and why.
        #[command(flatten)]
        by: By,
    },
}

/// Which letter, who, and why.
#[derive(Clone, Debug, Args)]
pub struct By {
    /// Number of the letter
    #[arg(value_name = "LETTER")]
    pub letter: u64,
    /// Who does it
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// Why
    #[arg(long, value_name = "REASON")]
    pub reason: String,
}
