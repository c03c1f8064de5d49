//! The FIX door, as pure functions over bytes.
//!
//! Nothing in the modules listed here opens a socket, reads a clock or knows the engine: bytes and the time come in as arguments, bytes and
//! small values go out. That is what lets every rule be a table with a test that walks all of it, and what lets one thread own many
//! sessions without a lock. In steady state nothing here allocates.
//!
//! The files are in the order a message travels:
//!
//! | file | what it does |
//! |---|---|
//! | [`limits`] | every bound of the door, named once |
//! | [`version`] | the versions that are spoken, and what differs |
//! | [`frame`] | finds one whole message in a byte buffer; length and checksum first |
//! | [`message`] | splits it into fields; a view of the tags that Lotbook reads |
//! | [`value`] | text to exact numbers, dates and times |
//! | [`session`] | the state machine: numbers, gaps, heartbeats, resends |
//! | [`schedule`] | when a session may be logged on, and when its numbers begin anew |
//! | [`store`] | answers already sent, kept for resends |
//! | [`trade`] | ExecutionReport or TradeCaptureReport to one trade, or a typed refusal |
//! | [`order`] | what a fill says of its order, for answers of FIX 4.2 |
//! | [`encode`] | every message that Lotbook sends |
//! | [`stamp`] | UTC time stamps as text, the last second cached |
//!
//! The wire contract for users is `docs/fix.md`; why the session layer is our own is decision 0004.

pub mod acceptor;
mod connection;
pub mod encode;
pub mod frame;
pub mod limits;
pub mod message;
pub mod order;
pub mod schedule;
pub mod session;
pub mod stamp;
pub mod store;
mod stream;
pub mod trade;
pub mod value;
pub mod version;

#[cfg(test)]
pub(crate) mod fixtures;
