//! Archived segments: compressed, checked twice, readable by any zstd tool and by every reader of the log.
//!
//! - [`entry`]: what is known of an archived segment, 128 bytes, in its own file and in the manifest.
//! - [`seekable`]: the file: independent zstd frames, the entry, a table of the frames.
//! - [`file`]: an archived segment as a file of the same bytes as the segment it was made of.
//! - [`pack`]: making one, and checking one.
//! - [`manifest`]: what the log knows of its archived segments and of what is gone for good.
//! - [`restored`]: the mark of a log that came back from a target.
//! - [`shipped`]: what was shipped of a log, and by whom.
//! - [`tail_copy`]: a copy of the records that are in no shipped segment yet.
//! - [`target`]: the place elsewhere that archived segments are shipped to.

pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod manifest;
pub(crate) mod pack;
pub(crate) mod restored;
pub(crate) mod seekable;
pub(crate) mod shipped;
pub(crate) mod tail_copy;
pub(crate) mod target;
