//! The log on a simulated disk: seeds decide what happens, an oracle says what must come of it.
//!
//! - `LOTBOOK_SEED=N` runs seed N alone and prints every call it makes.
//! - `LOTBOOK_LONG=1` runs 100,000 seeds.
//!
//! See `docs/wal-testing.md`.

mod campaign;
mod hands;
mod life;
mod oracle;
mod run;
mod tally;
mod truth;
