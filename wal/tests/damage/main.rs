//! Damaged logs: bytes changed below and above the durable watermark, files misplaced, the tail file between kill and restart.
//!
//! The short form runs in CI, the long form with `LOTBOOK_LONG=1`; both print what they counted. See `docs/wal-testing.md`.

mod below;
mod misplaced;
#[path = "../support/mod.rs"]
mod support;
mod tail_file;
mod torn;

/// The process that the tests kill; does nothing unless they start it.
#[test]
fn victim() {
    support::victim::serve();
}
