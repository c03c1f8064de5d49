//! Keys of `[archive.redis]`.

use std::path::PathBuf;

use lotbook_archiver::redis::{BATCH_MAX, UNIX};

use super::{Allowed, Key, Value, text};
use crate::config::Config;

/// No sink, no user, no password.
const OFF: &str = "off";
/// What an address is.
const ADDRESS_FORM: &str =
    "must be HOST:PORT such as \"127.0.0.1:6379\", \"unix:\" and the path of a socket, or \"off\"";

fn address(given: &str) -> Result<Option<String>, String> {
    if given == OFF {
        return Ok(None);
    }
    let is_socket = given.strip_prefix(UNIX).is_some_and(|path| path.starts_with('/'));
    let is_address = given
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok());
    if is_address || is_socket { Ok(Some(given.to_owned())) } else { Err(ADDRESS_FORM.to_owned()) }
}

pub(super) const REDIS: &[Key<Config>] = &[
    Key {
        name: "address",
        meaning: "Redis that published positions are written to (docs/redis.md); `off`: none. Without TLS: on this machine, or through a tunnel.",
        allowed: Allowed::Text(ADDRESS_FORM),
        default_words: "",
        set: |c, v| address(v.text()).map(|address| c.redis.address = address),
        show: |c| text(c.redis.address.as_deref().unwrap_or(OFF)),
    },
    number!("database", "Number of the database there; best one of its own.", 0..=65_535, redis.database),
    key!(
        "user",
        "User of Redis's access lists; `off`: the default one. Used with `password_file`.",
        Allowed::Id,
        |c, v| c.redis.user = (v.text() != OFF).then(|| v.text().to_owned()),
        |c| text(c.redis.user.as_deref().unwrap_or(OFF))
    ),
    key!(
        "password_file",
        "File with the password, read at each connection; `off`: no login.",
        Allowed::Path,
        |c, v| c.redis.password_file = (v.text() != OFF).then(|| PathBuf::from(v.text())),
        |c| c.redis.password_file.as_ref().map_or_else(|| text(OFF), |file| text(file.display()))
    ),
    key!(
        "prefix",
        "In front of every key and channel, so that hosts can share a database.",
        Allowed::Text("must be a text, in quotes"),
        |c, v| c.redis.prefix = v.text().to_owned(),
        |c| text(&c.redis.prefix)
    ),
    number!("interval_ms", "Milliseconds between two looks at what changed.", 1..=60_000, redis.interval_ms),
    number!("batch", "Positions in a transaction, at most.", 1..=BATCH_MAX as u64, redis.batch),
    number!(
        "timeout_ms",
        "Milliseconds for a connection, and for the answer to a transaction.",
        10..=600_000,
        redis.timeout_ms
    ),
    number!("breaker_failures", "Failures in a row that open the breaker.", 1..=1_000, redis.breaker_failures),
    number!(
        "breaker_open_ms",
        "Milliseconds, or up to a fifth less, that an open breaker lets nothing through; then one try decides.",
        1..=3_600_000,
        redis.breaker_open_ms
    ),
];
