//! The market-close load generator and the independent check behind its verdict.
//!
//! The data path, in the order of the modules:
//!
//! ```text
//! profile, tape -> plan -> universe -> flow -> ledger (what will be sent, and what was answered)
//!                                                |
//!        schedule -> driver -> fixclient ------> host under test (or control: an echo without an engine)
//!                 -> load   -> door (http, or a caller's own) --> host under test
//!                                                |
//!                                                |  answers (settle)
//!                          ledger -> oracle -> verdict -> report, page, versus, hgrm, hlog
//! ```
//!
//! What is absent on purpose: this crate depends on nothing of ours. It speaks to a host only through its FIX and HTTP doors, or through a
//! [`door::Door`] that a caller gives it, and it books the trades of its own ledger a second time with the simplest code that can be right
//! (`oracle`). If the engine and the oracle agree, they agree because the figures are right and not because they share a function.

pub mod answer;
pub mod burst;
pub mod chart;
pub mod compare;
pub mod control;
pub mod doctor;
pub mod door;
pub mod driver;
pub mod feed;
pub mod fixclient;
pub mod flame;
pub mod flow;
pub mod hgrm;
pub mod hlog;
pub mod http;
pub mod invalid;
pub mod ledger;
pub mod limits;
pub mod load;
pub mod machine;
pub mod message;
pub mod oracle;
pub mod page;
pub mod plan;
pub mod poll;
pub mod prices;
pub mod profile;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod schedule;
pub mod search;
pub mod settle;
pub mod stand_in;
pub mod tape;
pub mod text;
pub mod universe;
pub mod verdict;
pub mod versus;
pub mod wire;
