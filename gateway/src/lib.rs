//! The doors: FIX, HTTP, files, command line.
//!
//! ```text
//! socket -> fix (or file -> input) -> resolver -> door -> shard ... -> answer -> fix
//!                                                  read model -> http
//! ```
//! Names become numbers here, times are stamped here, and an answer leaves here when what it promises
//! is true. The engine's types come in as they are; none of ours go out.

pub mod access;
pub mod archive;
pub mod audit;
pub mod burst;
pub mod cli;
pub mod client;
pub mod coldpath;
pub mod config;
pub mod control;
pub mod dlq;
mod event;
pub mod exit;
pub mod fix;
pub mod gate;
pub mod http;
pub mod import;
pub mod input;
pub mod journal;
pub mod load;
pub mod office;
pub mod output;
pub mod past;
pub mod position;
pub mod rates;
pub mod redis;
pub mod replay;
pub mod resolver;
pub mod scenario;
pub mod serve;
pub mod server;
mod sinks;
pub mod tools;
pub mod view;
pub mod wire_log;
