//! `lotbook load`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use lotbook_perf::profile::Profile;

use super::burst::RunFiles;
use super::{Ppm, parse_percent};
use crate::config::Ack;
use crate::load::LoadFailure;

/// What is loaded, and through which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadTarget {
    /// Rings of an embedded host.
    Rings,
    /// HTTP door of an embedded host.
    Http,
    /// FIX door of an embedded host.
    Fix,
    /// HTTP door of a running host.
    HttpAt(SocketAddr),
    /// FIX door of a running host.
    FixAt(SocketAddr),
}

impl FromStr for LoadTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let addr = |text: &str| text.parse().map_err(|_| format!("\"{text}\" is no address such as 127.0.0.1:8787"));
        match text.split_once('=') {
            None => match text {
                "rings" => Ok(Self::Rings),
                "http" => Ok(Self::Http),
                "fix" => Ok(Self::Fix),
                _ => Err("rings, http, fix, http=ADDRESS:PORT or fix=ADDRESS:PORT is wanted".to_owned()),
            },
            Some(("http", text)) => addr(text).map(Self::HttpAt),
            Some(("fix", text)) => addr(text).map(Self::FixAt),
            Some(_) => Err("only http= and fix= name a running host".to_owned()),
        }
    }
}

impl fmt::Display for LoadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rings => f.write_str("rings"),
            Self::Http => f.write_str("http"),
            Self::Fix => f.write_str("fix"),
            Self::HttpAt(addr) => write!(f, "http={addr}"),
            Self::FixAt(addr) => write!(f, "fix={addr}"),
        }
    }
}

/// A profile by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileName(pub Profile);

impl FromStr for ProfileName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Profile::parse(text).filter(|profile| *profile != Profile::Recorded);
        known
            .map(Self)
            .ok_or_else(|| "flat, step, ramp, burst or close is wanted; a recorded file is named by --tape".to_owned())
    }
}

/// `lotbook load`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Load a host in the open: each message is offered when it is due, whatever became of the ones before it, and its latency \
                  runs from then, so that no stall is hidden. At the end the book is recomputed by a separate program from the senders' own \
                  ledger; the exit code is 1 where a position differs or a message was not answered.\n\n\
                  An embedded host is loaded through its rings, its HTTP door or its FIX door, and its log is read back at the end. A running \
                  host (http=, fix=) gets accounts of its own, L and the seed, so give each run another seed; shorts are allowed to them by \
                  contracts that are sent first.",
    after_help = "Examples:\n  \
                  lotbook load\n  \
                  lotbook load --target http --profile close --rate 2000 --seconds 20 --report close.html\n  \
                  lotbook load --target http=127.0.0.1:8787 --seed 7 --profile flat --rate 5000 --hgrm run.hgrm --hlog run.hlog\n  \
                  lotbook load --search --ack applied --ceiling-us 2000\n  \
                  lotbook load --profile flat --rate 10000 --ticks 5000\n  \
                  lotbook load --tape trades.csv.gz --seconds 60 --accounts 200\n  \
                  lotbook load --compare before.json after.json --report both.html"
)]
pub struct LoadArgs {
    /// What is loaded: rings, http or fix of an embedded host, http=ADDRESS:PORT or fix=ADDRESS:PORT of a running one
    #[arg(long, value_name = "TARGET", default_value = "rings")]
    pub target: LoadTarget,
    /// HTTP door of the running host whose FIX door is loaded: it is prepared and judged there
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<SocketAddr>,
    /// Shape of the load: flat, step, ramp, burst or close
    #[arg(long, value_name = "SHAPE", default_value = "close")]
    pub profile: ProfileName,
    /// Recorded trades, CSV or gzip of it: their times stretched to --seconds, their symbols, prices and quantities
    #[arg(long, value_name = "FILE")]
    pub tape: Option<PathBuf>,
    /// Messages a second in the quiet
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: u64,
    /// How many times that at the peak
    #[arg(long, value_name = "TIMES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub burst_multiplier: u64,
    /// Length of the run, or of one probe of a search
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Senders: threads with a door, a connection or a session each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=12))]
    pub senders: u64,
    /// Spin until the next message is due instead of sleeping: needs a core a sender
    #[arg(long)]
    pub spin: bool,
    /// Seed of the flow
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Positions that the flow spreads over
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub positions: u64,
    /// Accounts
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub accounts: u64,
    /// Instruments, of skewed popularity
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub instruments: u64,
    /// Prices a second beside the trades: last, bid and ask, and at the end official closes, through the HTTP door
    #[arg(long, value_name = "RATE", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=lotbook_perf::limits::TICKS_A_SECOND_MAX))]
    pub ticks: u64,
    /// Share of backdated trades, in percent
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = parse_percent)]
    pub backdated: Ppm,
    /// Share of duplicates, in percent
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = parse_percent)]
    pub duplicates: Ppm,
    /// Share of invalid trades, in percent; through rings and HTTP short sales of what is long
    #[arg(long, value_name = "PERCENT", default_value = "0.5", value_parser = parse_percent)]
    pub invalid: Ppm,
    /// When an embedded host answers: applied (rings and FIX), or durable
    #[arg(long, value_enum, default_value = "durable")]
    pub ack: Ack,
    /// Look for the highest rate from --rate to --rate-max that holds the ceiling, in flat probes
    #[arg(long, conflicts_with = "ticks")]
    pub search: bool,
    /// Highest rate that a search tries
    #[arg(long, value_name = "RATE", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate_max: u64,
    /// Ceiling of a search, in microseconds from the scheduled time
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=60_000_000))]
    pub ceiling_us: u64,
    /// Percentile that a search holds against the ceiling
    #[arg(long, value_name = "PERCENT", default_value_t = 99.0)]
    pub percentile: f64,
    /// Where it runs, and where its result goes.
    #[command(flatten)]
    pub files: RunFiles,
    /// Write the percentile table for HdrHistogram's plotters
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Write the interval log for HdrHistogram's tools: a histogram each quarter of a second
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
    /// Load nothing: put the JSON results of two runs beside each other on the page of --report
    #[arg(long, value_name = "FILE", num_args = 2)]
    pub compare: Vec<PathBuf>,
}

impl LoadArgs {
    /// The HTTP door of the running host that is loaded; none for an embedded one.
    ///
    /// # Errors
    /// A running host's FIX door is loaded, and nobody says where its HTTP door is.
    pub fn running(&self) -> Result<Option<SocketAddr>, LoadFailure> {
        match (self.target, self.http) {
            (LoadTarget::HttpAt(addr), _) => Ok(Some(addr)),
            (LoadTarget::FixAt(_), Some(addr)) => Ok(Some(addr)),
            (LoadTarget::FixAt(_), None) => {
                Err(LoadFailure::Usage("--target fix=ADDRESS:PORT wants --http ADDRESS:PORT".to_owned()))
            }
            _ => Ok(None),
        }
    }
}
