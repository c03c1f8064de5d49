//! Who may come in, and what they may do: TLS, logins, roles. All doors ask here.
//!
//! ```text
//! handshake  -> tls: a chain, a key, certificates of clients
//! credential -> credentials: tokens, passwords, certificates by name    -> principal: user and role
//!               jwt: tokens that another service signed                 ->
//! principal  -> role: what a role may do                                -> trail: who did what
//! ```
//! Nothing here knows of HTTP or FIX. No secret is kept as it is: tokens and passwords as their hashes, keys inside the
//! libraries that use them. No error, no `Debug` and no log line shows one.

pub mod credentials;
pub mod jwt;
pub mod private;
pub mod role;
pub mod tls;
pub mod trail;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;

pub use credentials::{Credentials, CredentialsError};
pub use jwt::{JwtError, JwtKeys, JwtTerms};
pub use role::{Privilege, Role};
pub use tls::{ClientCertificates, Tls, TlsError, TlsTerms};
pub use trail::{Deed, Trail};

use private::Stamp;

/// Who asks: a user by name, what the user may do, and what proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name that events carry.
    pub user: String,
    /// What the user may do.
    pub role: Role,
    /// Which credential, by its public name: `token:4f2a9c01`, `password:DESK1`, `certificate:ann.desk.example`, `jwt:key-1`.
    pub credential: String,
}

/// Why nobody comes in with a credential. The words say nothing about the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such credential, or its secret is another one.
    #[error("the credential is not known")]
    Unknown,
    /// It was good until a time that is over.
    #[error("the credential has expired")]
    Expired,
    /// It is good from a time on that has not come.
    #[error("the credential is not valid yet")]
    TooEarly,
    /// A signed token for another audience or from another issuer.
    #[error("the token is from another issuer or for another audience")]
    Foreign,
    /// A signed token without a user name that events can carry, or without a role that is known.
    #[error("the token names no user or no role")]
    Nobody,
}

/// Where credentials are read from. At least one is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessTerms {
    /// The file of tokens, passwords and certificates.
    pub credentials: Option<std::path::PathBuf>,
    /// Keys of signed tokens.
    pub jwt: Option<JwtTerms>,
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The keys of signed tokens.
    #[error(transparent)]
    Jwt(#[from] JwtError),
}

/// What is known of credentials now. Shared by all doors; read again when a file changes.
#[derive(Debug)]
pub struct Access {
    terms: AccessTerms,
    known: RwLock<Arc<Known>>,
}

#[derive(Debug)]
struct Known {
    credentials: Credentials,
    jwt: Option<JwtKeys>,
    stamps: [Option<Stamp>; 2],
}

impl Known {
    fn read(terms: &AccessTerms) -> Result<Self, AccessError> {
        // The stamps first: what changes while it is read is read again.
        let stamps = stamps(terms);
        let credentials = terms.credentials.as_deref().map(Credentials::read).transpose()?.unwrap_or_default();
        let jwt = terms.jwt.as_ref().map(JwtKeys::read).transpose()?;
        Ok(Self { credentials, jwt, stamps })
    }
}

fn stamps(terms: &AccessTerms) -> [Option<Stamp>; 2] {
    let of = |path: Option<&std::path::Path>| path.and_then(Stamp::of);
    [of(terms.credentials.as_deref()), of(terms.jwt.as_ref().map(|jwt| jwt.keys.as_path()))]
}

impl Access {
    /// Reads all of it. Blocks.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(terms: AccessTerms) -> Result<Self, AccessError> {
        let known = RwLock::new(Arc::new(Known::read(&terms)?));
        Ok(Self { terms, known })
    }

    /// Reads again what has changed. `Ok(true)`: something had. Blocks on a disk; not for the threads of doors.
    ///
    /// # Errors
    /// [`AccessError`]: then everything stays as it was.
    pub fn refresh(&self) -> Result<bool, AccessError> {
        if self.known.read().stamps == stamps(&self.terms) {
            return Ok(false);
        }
        *self.known.write() = Arc::new(Known::read(&self.terms)?);
        Ok(true)
    }

    /// Whoever bears this: a token of ours, or a signed one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn bearer(&self, text: &str) -> Result<Principal, Refusal> {
        let known = self.known.read().clone();
        match &known.jwt {
            // Ours have no dot, signed ones have two.
            Some(keys) if text.contains('.') => keys.check(text),
            _ => known.credentials.token(text, now_s()),
        }
    }

    /// A user with a password. Takes some 20 ms of a core, and 19 MiB: a door limits how often it is asked.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn password(&self, user: &str, password: &[u8]) -> Result<Principal, Refusal> {
        let known = self.known.read().clone();
        known.credentials.password(user, password)
    }

    /// Whoever showed a certificate that names one of these. TLS has verified it.
    ///
    /// # Errors
    /// [`Refusal::Unknown`]: no user has such a certificate.
    pub fn certificate(&self, names: &[String]) -> Result<Principal, Refusal> {
        self.known.read().credentials.certificate(names)
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
