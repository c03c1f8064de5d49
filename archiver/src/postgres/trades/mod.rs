//! The regulatory trades: a projection of `event_store`, enriched from reference data, with a cursor of its own.
//!
//! It reads what is archived already, on a thread and a connection of its own, so nothing of it can stop `event_store`; rows and cursor are
//! committed together. [`batch`] writes a stretch of the log; [`follow`] is the thread, which halves a stretch that is refused until one
//! record is left, and parks that; [`terms`] lays corrects over a trade; [`check`] holds the tables against `event_store`.
//! Why it is as it is: `docs/decisions/0030-the-trades-projection.md`.

pub mod check;
pub mod follow;
pub mod parked;

mod batch;
mod statements;
mod terms;
