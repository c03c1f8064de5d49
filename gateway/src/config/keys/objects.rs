//! Keys of `[archive.objects]`.

use std::path::PathBuf;

use lotbook_archiver::objects::S3Terms;

use super::{Allowed, Key, Value, text};
use crate::config::Config;

/// None, or none of its own.
const OFF: &str = "off";
/// What an address is.
const URL_FORM: &str = "must be s3://bucket or s3://bucket/prefix, or \"off\"";
/// What a server is.
const ENDPOINT_FORM: &str = "must be an address that begins with https:// or http://, or \"off\"";

fn url(given: &str) -> Result<Option<String>, String> {
    if given == OFF {
        return Ok(None);
    }
    S3Terms::split(given).map(|_| Some(given.to_owned())).map_err(|_| URL_FORM.to_owned())
}

fn endpoint(given: &str) -> Result<Option<String>, String> {
    match given {
        OFF => Ok(None),
        _ if given.starts_with("https://") || given.starts_with("http://") => Ok(Some(given.to_owned())),
        _ => Err(ENDPOINT_FORM.to_owned()),
    }
}

fn path(given: &str) -> Option<PathBuf> {
    (given != OFF).then(|| PathBuf::from(given))
}

pub(super) const OBJECTS: &[Key<Config>] = &[
    Key {
        name: "url",
        meaning: "Bucket of a store that speaks S3, and a prefix of its own for this host, that sealed segments of all logs are shipped to \
                  instead of `retention.archive_dir` (docs/objects.md); `off`: none.",
        allowed: Allowed::Text(URL_FORM),
        default_words: "",
        set: |c, v| url(v.text()).map(|url| c.objects.url = url),
        show: |c| text(c.objects.url.as_deref().unwrap_or(OFF)),
    },
    Key {
        name: "endpoint",
        meaning: "The store's server; `off`: Amazon's of the region. Without TLS (`http://`) on this machine alone.",
        allowed: Allowed::Text(ENDPOINT_FORM),
        default_words: "",
        set: |c, v| endpoint(v.text()).map(|endpoint| c.objects.endpoint = endpoint),
        show: |c| text(c.objects.endpoint.as_deref().unwrap_or(OFF)),
    },
    key!(
        "region",
        "The region that requests are signed for.",
        Allowed::Text("must be a region's name"),
        |c, v| c.objects.region = v.text().to_owned(),
        |c| text(&c.objects.region)
    ),
    key!(
        "credentials_file",
        "File with the lines `aws_access_key_id = ...` and `aws_secret_access_key = ...`, read at the start; `off`: AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY.",
        Allowed::Path,
        |c, v| c.objects.credentials_file = path(v.text()),
        |c| c.objects.credentials_file.as_ref().map_or_else(|| text(OFF), |file| text(file.display()))
    ),
    key!(
        "ca_file",
        "PEM file of the certificates that the server's is signed by; `off`: those that the system trusts.",
        Allowed::Path,
        |c, v| c.objects.ca_file = path(v.text()),
        |c| c.objects.ca_file.as_ref().map_or_else(|| text(OFF), |file| text(file.display()))
    ),
    number!("timeout_ms", "Milliseconds for one call, its retries included.", 1_000..=3_600_000, objects.timeout_ms),
];
