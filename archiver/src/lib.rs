//! The truth path: what follows the log and turns it into rows for people and databases.
//!
//! Followers read the log behind the engine's back and can fail without it noticing. Here are the
//! pieces that every one of them uses: [`json`] shows a record as a line of text, with [`names`]
//! that were interned in the log itself; [`cursor`] says how far a sink has come, in the log's own
//! cursors, so that retention keeps what the sink has not taken; [`retry`] says when it tries again, and
//! [`status`] what it says of itself. [`objects`] is a place for archived segments; [`redis`] shows positions in a Redis; [`postgres`] archives every record as a row.
//!
//! What is absent: nothing here decides or applies anything, and nothing writes to the log.

pub mod cursor;
pub mod event;
pub mod json;
pub mod names;
pub mod objects;
pub mod postgres;
pub mod redis;
pub mod retry;
pub mod status;
pub mod text;

pub use cursor::{Cursor, CursorClass, CursorError, LogPosition};
pub use names::{LearnedNames, Names};
