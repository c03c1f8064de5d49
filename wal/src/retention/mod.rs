//! Retention: what stays on this disk, in which form, and what goes first when space runs short.
//!
//! - [`settings`]: what an operator says.
//! - [`ladder`]: one table that says what to do next.
//! - [`keeper`]: the thread that does it, one step at a time.
//! - [`missing`]: what was archived and is not within reach.
//! - [`shipping`]: what one opening puts into the archive target, and its claim to do so.
//! - [`outlook`]: when the disk is full, judged by the files alone.
//! - [`report`]: who holds what, what it takes, and when the disk is full.

pub(crate) mod growth;
pub(crate) mod keeper;
pub(crate) mod ladder;
pub(crate) mod missing;
pub(crate) mod outlook;
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod shipping;
