//! The log on a simulated disk: seeds decide what happens, an oracle says what must come of it.
//!
//! - `LOTBOOK_SEED=N` runs seed N alone and prints every call it makes.
//! - `LOTBOOK_LONG=1` runs 100,000 seeds.
//!
//! See `docs/wal-testing.md`.

mod base;
mod bits;
mod campaign;
mod defects;
mod flights;
mod hands;
mod latch;
mod life;
mod mended;
mod oracle;
mod order;
mod planted;
mod run;
mod space;
mod tally;
mod truth;
