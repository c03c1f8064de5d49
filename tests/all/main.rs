//! All integration tests, one file a concern.

mod book;
mod coldpath;
mod exact;
mod forward;
mod real_data;
mod recovery;
mod support;
mod tidy;
