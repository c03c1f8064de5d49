//! What the integration tests share: an embedded host with one door, and `lotbook serve` as a child process.

pub mod rig;
pub mod server;
