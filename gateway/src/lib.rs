//! Under construction.

pub mod cli;
pub mod config;
pub mod fix;
pub mod input;
pub mod output;
pub mod journal;
pub mod resolver;
pub mod burst;
pub mod server;
pub mod http;
pub mod tools;
pub mod view;
