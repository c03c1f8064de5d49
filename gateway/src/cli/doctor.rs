//! `lotbook doctor`.

use std::path::PathBuf;

use clap::Args;

/// `lotbook doctor`.
#[derive(Clone, Debug, Args)]
#[command(
    long_about = "Look at this machine as a host would use it: cores and who else runs on them, clocks, memory, the disk and what a sync \
                  costs on it. Says what to change and why, and changes nothing itself; for about two seconds it writes and syncs a small \
                  file in the data directory, and removes it. Exit code 1 where something keeps a host from what it promises.",
    after_help = "Examples:\n  \
                  lotbook doctor\n  \
                  lotbook doctor --data-dir /srv/book --shard-core 3 --json\n  \
                  lotbook doctor --fix-script"
)]
pub struct DoctorArgs {
    /// Data directory of the host; it need not exist yet
    #[arg(long, value_name = "DIR", default_value = "lotbook-data")]
    pub data_dir: PathBuf,
    /// Directory of the mapped tail
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub tail_dir: PathBuf,
    /// Core of the shard thread [default: the last one that may be used]
    #[arg(long, value_name = "CORE")]
    pub shard_core: Option<usize>,
    /// Print JSON
    #[arg(long, conflicts_with = "fix_script")]
    pub json: bool,
    /// Print a shell script that would change what commands can change; read it, then run it as root
    #[arg(long)]
    pub fix_script: bool,
}
