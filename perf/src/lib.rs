//! The market-close load generator and the independent check behind its verdict.
//!
//! The data path, in the order of the modules:
//!
//! ```text
//! plan -> universe -> flow -> ledger (what will be sent, and what was answered)
//!                               |
//!         schedule -> driver -> fixclient -> host under test (or control: an echo without an engine)
//!                               |
//!                               |  answers (settle)
//!                     ledger -> oracle -> verdict -> report, page, hgrm
//! ```
//!
//! What is absent on purpose: this crate depends on nothing of ours. It speaks to a host only through its FIX door, and it books the trades
//! of its own ledger a second time with the simplest code that can be right (`oracle`). If the engine and the oracle agree, they agree
//! because the figures are right and not because they share a function.

pub mod answer;
pub mod burst;
pub mod chart;
pub mod compare;
pub mod control;
pub mod doctor;
pub mod driver;
pub mod fixclient;
pub mod flow;
pub mod hgrm;
pub mod invalid;
pub mod ledger;
pub mod limits;
pub mod machine;
pub mod message;
pub mod oracle;
pub mod page;
pub mod plan;
pub mod poll;
pub mod report;
pub mod rng;
pub mod schedule;
pub mod settle;
pub mod text;
pub mod universe;
pub mod verdict;
pub mod wire;
