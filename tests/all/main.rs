//! All integration tests, one file a concern.

mod actions;
mod amend;
mod book;
mod coldpath;
mod command_line;
mod correlation;
mod crash;
mod differential;
mod exact;
mod examples;
mod fix_peer;
mod forward;
mod import;
mod latched;
mod legs;
mod naive;
mod process;
mod real_data;
mod recovery;
mod regressions;
mod retention;
mod rules_page;
mod support;
mod tidy;
mod wal_tools;
mod wire;
