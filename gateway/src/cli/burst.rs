//! `lotbook burst`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Ppm, parse_percent};
use crate::config::Ack;

/// A fault that `burst` plants to show that its verdict can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// An acknowledged trade is missing from the log.
    Drop,
    /// A trade is booked twice.
    Double,
    /// A trade closes another lot than it should.
    WrongLot,
    /// A trade is acknowledged before it is in the log.
    AckBeforeLog,
}

/// Files of a run against an embedded host.
#[derive(Clone, Debug, Args)]
pub struct RunFiles {
    /// Keep log and checkpoints of an embedded host here [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of the mapped tail, on tmpfs [default: chosen]
    #[arg(long, value_name = "DIR")]
    pub tail_dir: Option<PathBuf>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the result as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `lotbook burst`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Load an embedded host over real FIX sessions as a market close does: a base rate, then a \
                  multiplied burst, with shorts, backdated trades, duplicates and invalid ones among them.\n\n\
                  Latencies count from the moment at which each message was scheduled, so a stall is not hidden. \
                  At the end every acknowledged trade is looked up in the log, and every position is recomputed by \
                  a separate program from the senders' own ledger; the exit code is 1 where anything differs. The \
                  flow is the same for the same seed.",
    after_help = "Examples:\n  \
                  lotbook burst\n  \
                  lotbook burst --rate 2000 --seconds 10 --ack applied\n  \
                  lotbook burst --seed 7 --json result.json --report result.html"
)]
pub struct BurstArgs {
    /// Trades a second before and after the burst
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: u64,
    /// How many times the base rate the burst offers
    #[arg(long, value_name = "TIMES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub burst_multiplier: u64,
    /// Length of the run
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Positions that the flow spreads over
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub positions: u64,
    /// Seed of the flow
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// When trades are answered: in the mapped tail (survives kill -9), or after fdatasync (a power cut too)
    #[arg(long, value_enum, default_value = "durable")]
    pub ack: Ack,
    /// Accounts
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub accounts: u64,
    /// Instruments, of skewed popularity
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub instruments: u64,
    /// FIX sessions
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub sessions: u64,
    /// Share of backdated trades, in percent
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = parse_percent)]
    pub backdated: Ppm,
    /// Share of duplicates, in percent
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = parse_percent)]
    pub duplicates: Ppm,
    /// Share of invalid trades, in percent
    #[arg(long, value_name = "PERCENT", default_value = "0.5", value_parser = parse_percent)]
    pub invalid: Ppm,
    /// Where it runs, and where its result goes.
    #[command(flatten)]
    pub files: RunFiles,
    /// Plant a fault: the verdict must be "broken"
    #[arg(long, value_enum, hide = true)]
    pub plant: Option<Plant>,
}
