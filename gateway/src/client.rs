//! A client of a host's own HTTP door, for commands that ask a running host.

use std::time::Duration;

use serde_json::Value;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use crate::access::private;
use crate::access::tls::{certificates, provider};
use crate::cli::ExitCode;

/// How long an answer may take: a long history is read from the disk.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an answer: a position of 100,000 lots has some 30 MB.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Names a file with a bearer token, which nobody but its owner may read.
pub const TOKEN_FILE: &str = "LOTBOOK_TOKEN_FILE";
/// Names a PEM file of who signs certificates of hosts.
pub const CA_FILE: &str = "LOTBOOK_CA_FILE";
/// Names a PEM file with a certificate of the client.
pub const CERTIFICATE_FILE: &str = "LOTBOOK_CERTIFICATE_FILE";
/// Names a PEM file with its key, which nobody but its owner may read.
pub const KEY_FILE: &str = "LOTBOOK_KEY_FILE";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no host answers at {url}: {source}")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// A credential of the environment cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// The host refuses; in its own words.
    #[error("{detail} ({kind}, status {status})")]
    Refused {
        /// Status code.
        status: u16,
        /// The problem's type.
        kind: String,
        /// What is wrong.
        detail: String,
    },
    /// Somebody answers who is not a host.
    #[error("what answers at {url} is no host of this product")]
    Stranger {
        /// The address.
        url: String,
    },
}

impl ClientError {
    /// The exit code of a command that ends with it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } | Self::Stranger { .. } => ExitCode::Unreachable,
            Self::Refused { status: 500.., .. } => ExitCode::Io,
            Self::Credentials(_) => ExitCode::BadConfig,
            Self::Refused { .. } => ExitCode::Unreadable,
        }
    }
}

/// A way to one host. Blocking; one request at a time.
pub struct Client {
    agent: Agent,
    base: String,
    /// The token, or why there is none.
    bearer: Result<Option<String>, String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// What the environment says: not on the command line, where every user of the machine could read it.
struct Credentials {
    tls: TlsConfig,
    bearer: Option<String>,
}

impl Credentials {
    fn of_environment() -> Result<Self, String> {
        let path = |name| std::env::var_os(name).map(std::path::PathBuf::from);
        let bearer = match path(TOKEN_FILE) {
            None => None,
            Some(file) => {
                let bytes = private::read(&file).map_err(|error| format!("{TOKEN_FILE}: {error}"))?;
                Some(String::from_utf8_lossy(&bytes).trim().to_owned())
            }
        };
        let read = |name: &str, file: &std::path::Path| {
            let found = certificates(file).map_err(|error| format!("{name}: {error}"))?;
            Ok::<_, String>(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>())
        };
        // Only who is named is believed: a book has few who sign for it.
        let roots = path(CA_FILE).map(|file| read(CA_FILE, &file)).transpose()?.unwrap_or_default();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider())
            .root_certs(RootCerts::new_with_certs(&roots));
        let client = match (path(CERTIFICATE_FILE), path(KEY_FILE)) {
            (Some(chain), Some(key)) => {
                let chain = read(CERTIFICATE_FILE, &chain)?;
                let bytes = private::read(&key).map_err(|error| format!("{KEY_FILE}: {error}"))?;
                let key = PrivateKey::from_pem(&bytes).map_err(|_| format!("{KEY_FILE}: has no private key as PEM"))?;
                Some(ClientCert::new_with_certs(&chain, key))
            }
            _ => None,
        };
        Ok(Self { tls: tls.client_cert(client).build(), bearer })
    }
}

impl Client {
    /// To a host that listens at `base`, such as `http://127.0.0.1:8787` or `https://book.example:8787`, with the credentials of
    /// the environment. Nothing is sent yet; what of the environment cannot be used is told by the first request.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let (config, bearer) = match Credentials::of_environment() {
            Ok(Credentials { tls, bearer }) => (config.tls_config(tls), Ok(bearer)),
            Err(error) => (config, Err(error)),
        };
        Self { agent: config.build().new_agent(), base: base.trim_end_matches('/').to_owned(), bearer }
    }

    /// The header of a credential, where there is one.
    fn authorization(&self) -> Result<Option<String>, ClientError> {
        match &self.bearer {
            Ok(bearer) => Ok(bearer.as_ref().map(|token| format!("Bearer {token}"))),
            Err(words) => Err(ClientError::Credentials(words.clone())),
        }
    }

    /// `GET`: the parts of the path and the parameters are escaped here.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get(&self, path: &[&str], parameters: &[(&str, String)]) -> Result<Value, ClientError> {
        let url = self.url(path);
        let pairs = parameters.iter().map(|(key, value)| (*key, value.as_str()));
        let mut request = self.agent.get(&url).query_pairs(pairs);
        if let Some(value) = self.authorization()? {
            request = request.header("authorization", value);
        }
        read(&url, request.call())
    }

    /// `POST` of a JSON document.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn post(&self, path: &[&str], document: &Value) -> Result<Value, ClientError> {
        let url = self.url(path);
        let mut request = self.agent.post(&url).header("content-type", "application/json");
        if let Some(value) = self.authorization()? {
            request = request.header("authorization", value);
        }
        read(&url, request.send(document.to_string()))
    }

    fn url(&self, path: &[&str]) -> String {
        path.iter().fold(self.base.clone(), |url, part| url + "/" + &escape(part))
    }
}

/// A part of a path: whatever is not plain is written as its bytes in hexadecimal.
fn escape(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes().fold(String::new(), |mut out, byte| {
        match plain(byte) {
            true => out.push(byte.into()),
            false => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn read(url: &str, response: Result<ureq::http::Response<Body>, ureq::Error>) -> Result<Value, ClientError> {
    let unreachable = |source: ureq::Error| ClientError::Unreachable { url: url.into(), source: Box::new(source) };
    let mut response = response.map_err(unreachable)?;
    let status = response.status().as_u16();
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
    let document: Value = serde_json::from_str(&text).map_err(|_| ClientError::Stranger { url: url.into() })?;
    if (200..300).contains(&status) {
        return Ok(document);
    }
    let text = |field: &str| document[field].as_str().map(str::to_owned);
    match (text("type"), text("detail")) {
        (Some(kind), Some(detail)) => Err(ClientError::Refused { status, kind, detail }),
        _ => Err(ClientError::Stranger { url: url.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds_are_parts_of_a_path() {
        assert_eq!(
            Client::new("http://h:1/").url(&["v1", "positions", "A 1", "EUR/USD", "ü%"]),
            "http://h:1/v1/positions/A%201/EUR%2FUSD/%C3%BC%25"
        );
    }

    #[test]
    fn nobody_there_is_said_so() {
        // Bound and never accepted from is still a listener; a port of a socket that is gone is none.
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let error = Client::new(&format!("http://{port}")).get(&["health"], &[]).expect_err("nobody there");
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Unreachable);
    }
}
