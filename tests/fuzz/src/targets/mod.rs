//! The targets, in the order of the bytes: the wire, the session, files, the configuration, the log.

pub mod config;
pub mod event;
pub mod frame;
pub mod lines;
pub mod session;
