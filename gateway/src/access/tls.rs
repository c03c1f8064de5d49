//! TLS for every door: a chain and a key from PEM files, certificates of clients, and a change of files while the host runs.
//!
//! HTTP hands a connection to `tokio-rustls`, FIX to `rustls` itself; both take [`Tls::config`] for each new connection, so a
//! renewed certificate is in use from the next connection on, and those under way keep theirs. Versions 1.2 and 1.3.
//! One cryptography, ring, is named everywhere: none is taken from the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::private::{self, PrivateError, Stamp};

/// What is asked of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    Off,
    /// One may be shown, and is verified then.
    Optional,
    /// Without one there is no connection.
    Required,
}

impl ClientCertificates {
    /// The name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// The files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsTerms {
    /// The chain, its own certificate first, as PEM.
    pub certificate: PathBuf,
    /// The key, as PEM; only its owner may read it.
    pub key: PathBuf,
    /// Who signs certificates of clients, as PEM. Used unless `clients` is [`ClientCertificates::Off`].
    pub client_ca: Option<PathBuf>,
    /// What is asked of clients.
    pub clients: ClientCertificates,
}

/// Why there is no TLS. No variant holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file with certificates.
    #[error("{}: {what}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The key's file.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The key's file has no key.
    #[error("{}: has no private key as PEM", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Chain and key do not go together, or cannot be used.
    #[error("{} and {}: {source}", certificate.display(), key.display())]
    Misfit {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// Clients are asked for certificates that nobody is known to sign.
    #[error("tls.client_ca names no file, and tls.client_certificates is not off")]
    NoClientCa,
    /// What signs certificates of clients cannot be used.
    #[error("{}: {source}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// The only cryptography of the product.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS of the doors, by files that may change.
#[derive(Debug)]
pub struct Tls {
    terms: TlsTerms,
    current: RwLock<(Arc<ServerConfig>, [Option<Stamp>; 3])>,
}

impl Tls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(terms: TlsTerms) -> Result<Self, TlsError> {
        // The stamps first: what changes while it is read is read again.
        let stamps = stamps(&terms);
        let config = read(&terms)?;
        Ok(Self { current: RwLock::new((config, stamps)), terms })
    }

    /// For one new connection. Does not block for long.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().0.clone()
    }

    /// Reads the files again where one has changed. `Ok(true)`: new connections use what was read. Blocks.
    ///
    /// # Errors
    /// [`TlsError`]: then everything stays as it was, and the next call tries again.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let stamps = stamps(&self.terms);
        if self.current.read().1 == stamps {
            return Ok(false);
        }
        let config = read(&self.terms)?;
        *self.current.write() = (config, stamps);
        Ok(true)
    }

    /// What is asked of clients.
    #[must_use]
    pub fn clients(&self) -> ClientCertificates {
        self.terms.clients
    }
}

fn stamps(terms: &TlsTerms) -> [Option<Stamp>; 3] {
    [Stamp::of(&terms.certificate), Stamp::of(&terms.key), terms.client_ca.as_deref().and_then(Stamp::of)]
}

fn read(terms: &TlsTerms) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&terms.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&private::read(&terms.key)?)
        .map_err(|_| TlsError::NoKey { path: terms.key.clone() })?;
    let misfit = |source| TlsError::Misfit { certificate: terms.certificate.clone(), key: terms.key.clone(), source };
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(misfit)?;
    let builder = match verifier(terms)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(builder.with_single_cert(chain, key).map_err(misfit)?))
}

fn verifier(terms: &TlsTerms) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if terms.clients == ClientCertificates::Off {
        return Ok(None);
    }
    let path = terms.client_ca.as_ref().ok_or(TlsError::NoClientCa)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Certificates { path: path.clone(), what: error.to_string() })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if terms.clients == ClientCertificates::Optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map(Some).map_err(|source| TlsError::ClientCa { path: path.clone(), source })
}

/// All certificates of a PEM file.
///
/// # Errors
/// [`TlsError::Certificates`]: it cannot be read or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |what: String| TlsError::Certificates { path: path.into(), what };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(failed("has no certificate as PEM".into())),
        Ok(found) => Ok(found),
        Err(pem::Error::Io(error)) => Err(failed(format!("cannot be read: {error}"))),
        Err(error) => Err(failed(format!("is not PEM: {error}"))),
    }
}

/// The names of a certificate that TLS has verified: its DNS names, its URIs, then the common name of its subject.
#[must_use]
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let mut names: Vec<String> = parsed.valid_dns_names().chain(parsed.valid_uri_names()).map(str::to_owned).collect();
    names.extend(common_name(parsed.subject()));
    names
}

/// The last common name (2.5.4.3) of a subject: a sequence of sets of pairs, each pair an identifier and a text (RFC 5280, 4.1.2.4).
fn common_name(subject: &[u8]) -> Option<String> {
    const SET: u8 = 0x31;
    const SEQUENCE: u8 = 0x30;
    const IDENTIFIER: u8 = 0x06;
    const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
    // A printable text, or one in UTF-8.
    const TEXTS: [u8; 2] = [0x13, 0x0c];
    let mut found = None;
    let mut sets = subject;
    while !sets.is_empty() {
        let (tag, mut pairs, rest) = element(sets)?;
        sets = rest;
        while tag == SET && !pairs.is_empty() {
            let (tag, pair, rest) = element(pairs)?;
            pairs = rest;
            let (kind, identifier, value) = element(pair)?;
            let (text_kind, text, _) = element(value)?;
            if tag == SEQUENCE && kind == IDENTIFIER && identifier == COMMON_NAME && TEXTS.contains(&text_kind) {
                found = std::str::from_utf8(text).ok().map(str::to_owned);
            }
        }
    }
    found
}

/// One element of DER: its tag, its content, and what follows. Lengths up to two bytes: a name is shorter.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), &rest[2..]),
        _ => return None,
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
