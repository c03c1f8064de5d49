//! `lotbook profile`.

use std::path::PathBuf;

use clap::Args;

/// `lotbook profile`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Sample the threads of a running host and draw where they spend their time, as a flame graph: callers above what they call, widths by \
                  samples. Uses `perf` with the clock of the cores, so that no hardware counter is needed; the host is stopped for a moment by each \
                  sample, and by nothing else. docs/profiling.md has recipes for what a flame graph does not show.",
    after_help = "Examples:\n  \
                  lotbook profile --data-dir /srv/book --seconds 10\n  \
                  lotbook profile --pid 4711 --seconds 5 --output shard.svg"
)]
pub struct ProfileArgs {
    /// Data directory of the host; its log names the process
    #[arg(long, value_name = "DIR", default_value = "lotbook-data")]
    pub data_dir: PathBuf,
    /// The process itself
    #[arg(long, conflicts_with = "data_dir")]
    pub pid: Option<u32>,
    /// How long to sample
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Samples a second of each thread that runs
    #[arg(long, default_value_t = 199, value_parser = clap::value_parser!(u64).range(1..=4_000))]
    pub rate: u64,
    /// Where the flame graph goes
    #[arg(long, value_name = "FILE", default_value = "lotbook-profile.svg")]
    pub output: PathBuf,
}
