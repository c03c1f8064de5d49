//! All integration tests, one file a concern.

mod book;
mod coldpath;
mod crash;
mod command_line;
mod correlation;
mod exact;
mod fix_peer;
mod forward;
mod process;
mod real_data;
mod recovery;
mod support;
mod tidy;
