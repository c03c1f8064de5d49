//! Readers, archives, cursors and retention: every form of a segment read by one interface, and nothing lost on the way between forms.
//!
//! The short form runs in CI, the long form with `LOTBOOK_LONG=1`; both print what they counted. See `docs/wal-testing.md`.

mod archives;
mod cursors;
mod forms;
mod mended;
mod reach;
mod restored;
mod shelf;
#[path = "../support/mod.rs"]
mod support;
mod waiting;
