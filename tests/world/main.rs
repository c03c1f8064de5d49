//! A simulated world: hot thread, log, side log, coldpath, follower, checkpoints and retention on one thread, by one seed.
//!
//! - `LOTBOOK_SEED=N` runs seed N alone and prints every turn.
//! - `LOTBOOK_LONG=1` runs `LOTBOOK_SEEDS=FROM..UNTIL`, 10,000 seeds where nothing is said.
//!
//! See `docs/simulation.md`.

mod actor;
mod audit;
mod client;
mod life;
mod mischief;
mod naive;
mod oracle;
mod planted;
mod seeds;
mod tally;
mod world;
