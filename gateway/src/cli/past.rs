//! Words of the command line about the past: moments of knowledge, and `lotbook position`.

use std::path::PathBuf;

use clap::Args;
use lotbook_core::Date;
use lotbook_engine::past::Moment;

use crate::input::text::check_name;
use crate::input::time::parse_timestamp;

/// `lotbook position`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Show a position as it is, as it was known at a moment, or as of a business date by what was known then.\n\n\
                  A running host is asked over HTTP. With --data-dir the book of a stopped host is opened as a start \
                  does, and nothing in the directory changes. --known-at takes a sequence of the log or a time; everything \
                  that came later is left out. --as-of gives the book of a business date; --since lists the corrections between two moments. A \
                  figure that awaited its replay at that moment is shown as it stood, marked PROVISIONAL.",
    after_help = "Examples:\n  \
                  lotbook position A1 AAPL\n  \
                  lotbook position A1 AAPL --as-of 2026-03-31\n  \
                  lotbook position A1 AAPL --as-of 2026-03-31 --known-at 2026-04-02T09:00:00Z\n  \
                  lotbook position A1 EUR/USD --known-at 1204417 --since 1200000 --json\n  \
                  lotbook position A1 AAPL --data-dir lotbook-data --as-of 2025-12-31"
)]
pub struct PositionArgs {
    /// Account
    #[arg(value_name = "ACCOUNT", value_parser = parse_name)]
    pub account: String,
    /// Instrument
    #[arg(value_name = "INSTRUMENT", value_parser = parse_name)]
    pub instrument: String,
    /// What is asked of the past.
    #[command(flatten)]
    pub past: PastArgs,
    /// Only corrections after this moment, listed: a sequence of the log, or a time
    #[arg(long, value_name = "SEQUENCE|TIME", value_parser = parse_moment)]
    pub since: Option<Moment>,
    /// Address of the host's HTTP door
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8787", conflicts_with = "data_dir")]
    pub url: String,
    /// Open this data directory instead; no host may be running on it
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of the mapped tail, on tmpfs [default: chosen]
    #[arg(long, value_name = "DIR", requires = "data_dir")]
    pub tail_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which book: of which date, by what knowledge.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct PastArgs {
    /// The book of this business date, such as 2026-03-31
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub as_of: Option<Date>,
    /// By what was known then: a sequence of the log, or a time such as 2026-03-05T14:30:00Z
    #[arg(long, value_name = "SEQUENCE|TIME", value_parser = parse_moment)]
    pub known_at: Option<Moment>,
}

impl PastArgs {
    /// Whether anything but the present is asked for.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.as_of.is_some() || self.known_at.is_some()
    }
}

/// A moment by its words.
///
/// # Errors
/// What is wanted.
pub fn parse_moment(text: &str) -> Result<Moment, String> {
    let sequence = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).map(Moment::Sequence);
    sequence
        .or_else(|| parse_timestamp(text).map(Moment::Time))
        .ok_or_else(|| "a sequence of the log, or a time such as 2026-03-05T14:30:00Z, is wanted".to_owned())
}

/// A business date by its words.
///
/// # Errors
/// What is wanted.
pub fn parse_date(text: &str) -> Result<Date, String> {
    Date::parse(text).ok_or_else(|| "a date such as 2026-03-31 is wanted".to_owned())
}

fn parse_name(text: &str) -> Result<String, String> {
    check_name(text.as_bytes()).map(|()| text.to_owned()).map_err(|error| format!("a name {error}"))
}
