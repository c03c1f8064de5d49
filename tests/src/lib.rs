//! What the integration tests share: an embedded host with one door, `lotbook serve` as a child process, the naive
//! model of all rules, and a reader of what corrections say lot by lot, and a published position beside the second book's.

pub mod beside;
pub mod lots_told;
pub mod naive;
pub mod rig;
pub mod server;
