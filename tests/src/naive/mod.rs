//! A second book: every rule of `docs/rules.md`, written from that page alone and without sight of the first one.
//!
//! Obvious before fast: lots are a list, choosing is sorting, a history is booked from its beginning. It shares no
//! code with the engine; what both say is compared in `tests/all/naive.rs`.

pub mod actions;
pub mod amend;
pub mod choose;
pub mod desk;
pub mod history;
pub mod holding;
pub mod in_force;
pub mod lots;
pub mod numbers;
pub mod trade;
pub mod words;
