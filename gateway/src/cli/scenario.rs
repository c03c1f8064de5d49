//! `lotbook scenario`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Plant;

/// `lotbook scenario`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Run named scenarios against hosts of this machine and hold what is measured against criteria: throughput, latency, burst, \
                  integrity, health. Criteria, their sources, and what cannot be measured yet are data (perf/scenarios.toml). Exit code 1 \
                  where one fails; what is not available is said to be so, and is never counted as passed.",
    after_help = "Examples:\n  \
                  lotbook scenario list\n  \
                  lotbook scenario run throughput latency\n  \
                  lotbook scenario run --json result.json"
)]
pub struct ScenarioArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ScenarioCommand,
}

/// List or run.
#[derive(Clone, Debug, Subcommand)]
pub enum ScenarioCommand {
    /// Show every scenario with its criteria and where they come from
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run scenarios one after the other, all where none is named
    Run(ScenarioRunArgs),
}

/// `lotbook scenario run`.
#[derive(Clone, Debug, Args)]
pub struct ScenarioRunArgs {
    /// Names of scenarios [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Cut loads to so many seconds: a quick look, not the criterion's length
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// Offer so many messages a second instead: to see a machine at its limit
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,
    /// Scenarios of your own, in the form of perf/scenarios.toml
    #[arg(long, value_name = "FILE", conflicts_with = "names")]
    pub file: Option<PathBuf>,
    /// Write the result as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Plant a fault in loaded hosts: the integrity of a scenario must fail
    #[arg(long, value_enum, hide = true)]
    pub plant: Option<Plant>,
    /// The program of which the health scenario starts a host [default: this one]
    #[arg(long, value_name = "FILE", hide = true)]
    pub program: Option<PathBuf>,
}
