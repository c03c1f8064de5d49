//! A second book: all rules of `docs/rules.md`, written from that page alone.
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
pub mod leading;
pub mod locks;
pub mod lots;
pub mod moving;
pub mod numbers;
pub mod trade;
pub mod wash;
pub mod words;
pub mod world;
