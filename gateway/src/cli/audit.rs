//! Words of the command line about what a running host has recorded.

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::EVENT_KINDS;

/// `lotbook audit`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Ask a running host what it has recorded, over its HTTP door: about a position, a trade, a user, a correlation, a time; or what \
                  caused what.\n\n\
                  Events come in the log's order, as far as they survive power loss. The last line on standard error says up to which log \
                  sequence the answer is complete. All conditions must hold; without any, everything is printed.",
    after_help = "Examples:\n  \
                  lotbook audit --trade t4\n  \
                  lotbook audit --account A1 --instrument AAPL --from 2026-03-05T14:00:00Z --format csv > events.csv\n  \
                  lotbook audit --chain 812"
)]
pub struct AuditArgs {
    /// Of positions of this account
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Of positions in this instrument
    #[arg(long, value_name = "INSTRUMENT")]
    pub instrument: Option<String>,
    /// Of this trade, action or amendment, and amendments of it
    #[arg(long, value_name = "ID")]
    pub trade: Option<String>,
    /// With this correlation id
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Sent by this user
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(EVENT_KINDS))]
    pub kind: Option<String>,
    /// Caused by the event of this sequence
    #[arg(long, value_name = "SEQUENCE")]
    pub causation: Option<u64>,
    /// Decided at this time or later, such as 2026-03-05T14:30:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<String>,
    /// Decided before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<String>,
    /// Only what lies behind this sequence
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub after: u64,
    /// The tree of all that belongs to the event of this sequence
    #[arg(long, value_name = "SEQUENCE", conflicts_with_all = ["account", "instrument", "trade", "correlation", "user", "kind", "causation", "from", "to", "after", "format"])]
    pub chain: Option<u64>,
    /// How events are written
    #[arg(long, value_enum, default_value_t = AuditFormat::Lines)]
    pub format: AuditFormat,
    /// Address of the host's HTTP door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8787")]
    pub url: String,
}

/// A time as it was written, if it is one.
fn time(text: &str) -> Result<String, String> {
    super::parse_time(text).map(|_| text.to_owned())
}

/// How `lotbook audit` writes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuditFormat {
    /// A JSON document a line
    Lines,
    /// Comma-separated, with a line of names; the last column is the whole event as JSON
    Csv,
}
