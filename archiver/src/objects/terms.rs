//! Where the object store is and with which keys: an address, and secrets that come from a file or the environment and are never shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Certificates that the system trusts, where Debian keeps them.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why there is no object store to go to.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The address is not understood.
    #[error("archive.objects.url {url:?}: must be s3://bucket or s3://bucket/prefix")]
    Url {
        /// It.
        url: String,
    },
    /// The address of the server is not understood.
    #[error("archive.objects.endpoint {endpoint:?}: must begin with https:// or http://")]
    Endpoint {
        /// It.
        endpoint: String,
    },
    /// A file cannot be read.
    #[error("{what} {}: {source}", file.display())]
    File {
        /// Which key of the configuration names it.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Neither a file nor the environment has keys.
    #[error(
        "archive.objects: no keys: set credentials_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
    )]
    NoKeys,
    /// The file does not say both keys.
    #[error("archive.objects.credentials_file {}: no {missing}", file.display())]
    Keys {
        /// The file.
        file: PathBuf,
        /// What it does not say.
        missing: &'static str,
    },
    /// The client could not be made.
    #[error("archive.objects: {0}")]
    Client(String),
}

/// What proves who asks. Its debug form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Which user.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// Of keys that were lent for a while.
    pub session_token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    /// Of a file of lines `name = value`, as other tools for S3 write it; other lines are passed over.
    ///
    /// # Errors
    /// [`ObjectsError::File`], [`ObjectsError::Keys`].
    pub fn of_file(file: &Path) -> Result<Self, ObjectsError> {
        let text = read("archive.objects.credentials_file", file)?;
        let text = String::from_utf8_lossy(&text);
        let value = |wanted: &str| {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let need = |missing: &'static str| {
            let found = value(missing).map(|(_, value)| value.to_owned()).filter(|value| !value.is_empty());
            found.ok_or_else(|| ObjectsError::Keys { file: file.to_path_buf(), missing })
        };
        Ok(Self {
            access_key_id: need("aws_access_key_id")?,
            secret_access_key: need("aws_secret_access_key")?,
            session_token: value("aws_session_token").map(|(_, value)| value.to_owned()),
        })
    }

    /// Of the environment.
    ///
    /// # Errors
    /// [`ObjectsError::NoKeys`].
    pub fn of_environment() -> Result<Self, ObjectsError> {
        let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
            (Some(access_key_id), Some(secret_access_key)) => {
                Ok(Self { access_key_id, secret_access_key, session_token: value("AWS_SESSION_TOKEN") })
            }
            _ => Err(ObjectsError::NoKeys),
        }
    }
}

/// One bucket, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Terms {
    /// The bucket.
    pub bucket: String,
    /// Names begin with it; without a slash at either end, may be empty.
    pub prefix: String,
    /// The server; `None`: Amazon's own, of the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// Who asks.
    pub keys: Keys,
    /// PEM file of the certificates that are trusted; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one call may take, its retries included.
    pub patience: Duration,
}

impl S3Terms {
    /// Bucket and prefix of an address.
    ///
    /// # Errors
    /// [`ObjectsError::Url`].
    pub fn split(url: &str) -> Result<(String, String), ObjectsError> {
        let refused = || ObjectsError::Url { url: url.to_owned() };
        let rest = url.strip_prefix("s3://").ok_or_else(refused)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let sound = !bucket.is_empty() && bucket.chars().all(named) && prefix.chars().all(|c| named(c) || c == '/');
        if !sound
            || prefix.starts_with('/')
            || prefix.contains("//")
            || prefix.split('/').any(|part| matches!(part, "." | ".."))
        {
            return Err(refused());
        }
        Ok((bucket.to_owned(), prefix.trim_matches('/').to_owned()))
    }

    /// Where it is, in words, without secrets.
    #[must_use]
    pub fn place(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("s3://{}", self.bucket),
            prefix => format!("s3://{}/{prefix}", self.bucket),
        }
    }

    /// PEM bytes of the certificates that are trusted.
    pub(super) fn certificates(&self) -> Result<Vec<u8>, ObjectsError> {
        let system = Path::new(SYSTEM_CERTIFICATES);
        read("archive.objects.ca_file", self.ca_file.as_deref().unwrap_or(system))
    }
}

fn read(what: &'static str, file: &Path) -> Result<Vec<u8>, ObjectsError> {
    std::fs::read(file).map_err(|source| ObjectsError::File { what, file: file.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_bucket_and_prefix() {
        let cases = [
            ("s3://b", Some(("b", ""))),
            ("s3://b/", Some(("b", ""))),
            ("s3://b-1.x/a/c_d/", Some(("b-1.x", "a/c_d"))),
            ("s3://", None),
            ("s3:///a", None),
            ("s3://b//a", None),
            ("s3://b/../a", None),
            ("s3://b/a b", None),
            ("http://b/a", None),
            ("", None),
        ];
        for (url, wanted) in cases {
            let found = S3Terms::split(url).ok();
            let found = found.as_ref().map(|(bucket, prefix)| (bucket.as_str(), prefix.as_str()));
            assert_eq!(found, wanted, "{url}");
        }
    }

    #[test]
    fn keys_come_from_a_file_as_others_write_it_and_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        std::fs::write(&file, "[default]\n# mine\naws_access_key_id = one\nAWS_SECRET_ACCESS_KEY=two=2\n").unwrap();
        let keys = Keys::of_file(&file).unwrap();
        assert_eq!((keys.access_key_id.as_str(), keys.secret_access_key.as_str()), ("one", "two=2"));
        let shown = format!("{keys:?}");
        assert!(!shown.contains("one") && !shown.contains("two"), "{shown}");
        std::fs::write(&file, "aws_access_key_id = one\n").unwrap();
        assert!(matches!(Keys::of_file(&file), Err(ObjectsError::Keys { missing: "aws_secret_access_key", .. })));
        assert!(matches!(Keys::of_file(&dir.path().join("none")), Err(ObjectsError::File { .. })));
    }
}
