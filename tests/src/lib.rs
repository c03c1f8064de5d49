//! What the integration tests share: an embedded host with one door, `lotbook serve` as a child process, and the naive
//! model of all rules.

pub mod naive;
pub mod rig;
pub mod server;
