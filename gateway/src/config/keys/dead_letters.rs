//! Keys of `[dead_letters]`.

use super::{Allowed, Key, Value};
use crate::config::Config;

pub(super) const DEAD_LETTERS: &[Key<Config>] = &[
    limit!(
        "letters_max",
        "Dead letters in memory; when as many wait, what is refused is answered and not kept.",
        1 << 20,
        dead_letters.letters_max
    ),
    key!(
        "bytes_max",
        "Bytes of them, about.",
        Allowed::Integer { min: 1 << 20, max: 1 << 36 },
        |c, v| c.dead_letters.bytes_max = usize::try_from(v.integer()).unwrap_or(usize::MAX),
        |c| c.dead_letters.bytes_max.to_string()
    ),
    number!(
        "retention_days",
        "Days that one that waits is kept at least; after them the oldest gives way to newer ones where there is no room.",
        0..=36_500,
        dead_letters.retention_days
    ),
];
