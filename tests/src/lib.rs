//! What the integration tests share: an embedded host with one door, `lotbook serve` and a Postgres as child processes, the naive
//! model of all rules, and a reader of what corrections say lot by lot, and a published position beside the second book's.

pub mod beside;
pub mod lots_told;
pub mod naive;
pub mod postgres;
pub mod rig;
pub mod server;
