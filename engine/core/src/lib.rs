//! The book: exact amounts, lots, rules, events, and the three functions that move them.
//!
//! - [`Book::decide`] looks at one position and chooses; it changes nothing.
//! - [`Book::apply`] is the only mutator; it never chooses and never fails on a valid event.
//! - [`replay`](replay::replay) re-decides a position's accepted inputs in chronological order.
//!
//! What is absent matters most: no clock, no file, no environment, no thread, no float, no unsafe,
//! and no hash map whose iteration order decides anything. Time, ids, prices and business dates
//! arrive inside commands. The same events give the same digest on every machine and build.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
pub mod action_input;
pub mod actions;
pub mod amend;
pub mod amend_event;
pub mod amendments;
pub mod amount;
pub mod apply;
mod apply_amend;
mod apply_wide;
pub mod arrival;
pub mod book;
mod bytes;
pub mod carried;
pub mod closed;
pub mod codec;
pub mod command;
pub mod compress;
pub mod course;
pub mod date;
pub mod decide;
pub mod decide_amend;
pub mod decide_wide;
pub mod digest;
pub mod event;
pub mod forward;
pub mod gate;
pub mod held;
pub mod history;
pub mod id;
pub mod image;
mod image_wide;
mod input_bytes;
pub mod leaving;
pub mod legs;
pub mod limits;
pub mod locks;
pub mod lot_changes;
pub mod lots;
pub mod mark;
pub mod names;
pub mod note;
pub mod outcome;
pub mod past;
pub mod position;
pub mod reason;
pub mod rebook;
pub mod replay;
pub mod rules;
pub mod select;
mod sums;
pub mod taking;
pub mod trail;
pub mod values;
pub mod wash;
pub mod wide_event;

#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod overflow_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trade_tests;
#[cfg(test)]
mod wide_tests;

pub use amount::{Money, Overflow};
pub use book::Book;
pub use command::{Command, Side, TradeInput, TradeType};
pub use date::Date;
pub use decide::{Decision, Scratch};
pub use event::{Class, Event, Reason, Run, TradeEvent};
pub use id::{ChronoKey, TradeHash, TradeId};
pub use limits::Limits;
pub use rules::{LotMethod, Rules};
