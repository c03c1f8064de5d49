//! A log whose process is killed, whose calls fail, whose disk is full: in a real process, with the system's own errors.
//!
//! The short form runs in CI, the long form with `LOTBOOK_LONG=1`; both print what they counted. See `docs/wal-testing.md`.

mod errors;
mod kill;
mod space;
#[path = "../support/mod.rs"]
mod support;

/// The process that the tests kill; does nothing unless they start it.
#[test]
fn victim() {
    support::victim::serve();
}
