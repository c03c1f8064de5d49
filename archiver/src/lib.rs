//! The truth path: what follows the log and turns it into rows for people and databases.
//!
//! Followers read the log behind the engine's back and can fail without it noticing. Here are the
//! pieces that every one of them uses: [`json`] shows a record as a line of text, with [`names`]
//! that were interned in the log itself; [`cursor`] remembers durably how far a sink has come, and
//! refuses to go on in a log that does not hold that place.
//!
//! What is absent: nothing here decides or applies anything, and nothing writes to the log.

pub mod cursor;
pub mod json;
pub mod names;
pub mod text;

pub use cursor::{CursorError, CursorFile, LogPosition};
pub use names::{LearnedNames, Names};
