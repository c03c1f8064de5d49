//! Keys of `[archive.postgres]`.

use std::path::PathBuf;

use lotbook_archiver::postgres::Target;

use super::{Allowed, Key, Value, text};
use crate::config::Config;

/// No archive, no file.
const OFF: &str = "off";
/// What an address is.
const URL_FORM: &str = "must be an address without a password, such as \"postgresql://lotbook@db:5432/books\", or \"off\"; the password is \
                        in password_file or PGPASSWORD";

fn url(given: &str) -> Result<Option<String>, String> {
    if given == OFF {
        return Ok(None);
    }
    let target = Target::parse(given).map_err(|error| error.to_string())?;
    if target.names_password() { Err(URL_FORM.to_owned()) } else { Ok(Some(given.to_owned())) }
}

pub(super) const POSTGRES: &[Key<Config>] = &[
    Key {
        name: "url",
        meaning: "Postgres that every record of the log is archived in (docs/archive.md); `off`: none. Without TLS: on this machine, or through a tunnel.",
        allowed: Allowed::Text(URL_FORM),
        default_words: "",
        set: |c, v| url(v.text()).map(|url| c.postgres.url = url),
        show: |c| text(c.postgres.url.as_deref().unwrap_or(OFF)),
    },
    key!(
        "password_file",
        "File with the password, read at the start; `off`: PGPASSWORD where it is set, else none.",
        Allowed::Path,
        |c, v| c.postgres.password_file = (v.text() != OFF).then(|| PathBuf::from(v.text())),
        |c| c.postgres.password_file.as_ref().map_or_else(|| text(OFF), |file| text(file.display()))
    ),
    key!(
        "migrate",
        "Whether a start brings the schema up; else `lotbook archive migrate` does.",
        Allowed::Bool,
        |c, v| c.postgres.migrate = matches!(v, Value::Bool(true)),
        |c| c.postgres.migrate.to_string()
    ),
    key!(
        "required",
        "Whether the log keeps what is not archived yet when space runs short, and closes admission rather than drop it.",
        Allowed::Bool,
        |c, v| c.postgres.required = matches!(v, Value::Bool(true)),
        |c| c.postgres.required.to_string()
    ),
    number!("batch_rows", "Rows that make a batch.", 1..=1_000_000, postgres.batch_rows),
    number!(
        "backlog_rows",
        "Rows of a batch where so many wait; `batch_rows` where that is more.",
        1..=1_000_000,
        postgres.backlog_rows
    ),
    number!(
        "batch_delay_ms",
        "After so many milliseconds fewer rows make a batch too.",
        1..=600_000,
        postgres.batch_delay_ms
    ),
    number!("timeout_ms", "Milliseconds for a connection, and for an answer.", 100..=3_600_000, postgres.timeout_ms),
    number!("breaker_failures", "Failures in a row that open the breaker.", 1..=1_000, postgres.breaker_failures),
    number!(
        "breaker_open_ms",
        "Milliseconds, or up to a fifth less, that an open breaker lets nothing through; then one try decides.",
        1..=3_600_000,
        postgres.breaker_open_ms
    ),
];
