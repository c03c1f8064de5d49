//! Commands that look at files and need no host.

pub mod archive;
pub mod config;
pub mod doctor;
pub mod profile;
pub mod token;
pub mod wal;
