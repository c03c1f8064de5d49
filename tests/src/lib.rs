//! What the integration tests share: an embedded host with one door.

pub mod rig;
