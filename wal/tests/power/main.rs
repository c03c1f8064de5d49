//! Power cuts, two ways: images rebuilt from a trace of writes and syncs, and a real file system copied in the middle of a burst.
//!
//! The short form runs in CI, the long form with `LOTBOOK_LONG=1`; both print what they counted. See `docs/wal-testing.md`.

mod loop_device;
#[path = "../support/mod.rs"]
mod support;
mod trace;
mod traced;

/// The process that writes while its disk is copied; does nothing unless a test starts it.
#[test]
fn victim() {
    support::victim::serve();
}
