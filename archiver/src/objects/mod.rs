//! Archived segments in an object store that speaks S3: a place for the log to ship to, behind the log's own trait.
//!
//! - [`terms`]: where the store is, and with which keys.
//! - [`target`]: what the log asks of such a place, in an object store's words.
//! - [`file`]: an object that is read in parts, as a file.
//! - [`http`]: the connections: one client, TLS by the provider that everything else uses.
//!
//! The log's threads block; the client wants a runtime. So each target has a runtime of one thread of its own, and who calls waits for what it
//! does there, for so long at most as the terms say.

mod file;
mod http;
mod target;
mod terms;

pub use target::ObjectTarget;
pub use terms::{Keys, ObjectsError, S3Terms};
