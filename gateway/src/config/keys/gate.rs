//! Keys of `[gate]`.

use super::{Allowed, Key, Value};
use crate::config::Config;

/// Three centuries: beyond what dates of FIX hold.
const DAYS_MAX: u64 = 110_000;

pub(super) const GATE: &[Key<Config>] = &[
    number!(
        "days_ahead_max",
        "Days that an effective date may lie after the business date; 0: any number.",
        0..=DAYS_MAX,
        gate.days_ahead_max
    ),
    number!(
        "days_back_max",
        "Days that it may lie before it, but of opening lots; 0: any number.",
        0..=DAYS_MAX,
        gate.days_back_max
    ),
];
