//! `[http]`, `[tls]`, `[auth]`: where the HTTP door listens, and who may come in at any door.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Config, Listen};
use crate::access::{AccessTerms, ClientCertificates, JwtTerms, TlsTerms};

/// `[http]`: the HTTP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens.
    pub listen: Listen,
    /// It may listen where other machines reach it though TLS or logins are missing.
    pub insecure: bool,
    /// Where health alone is served, on a thread of its own.
    pub health_listen: Listen,
    /// Connections at a time.
    pub connections_max: u32,
    /// Requests a second of one credential, or of one source without one; 0: any number.
    pub requests_per_second: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(8787),
            insecure: false,
            health_listen: Listen(None),
            connections_max: 1_024,
            requests_per_second: 10_000,
        }
    }
}

/// `[tls]`: the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain; `None`: no TLS.
    pub certificate: Option<PathBuf>,
    /// The key.
    pub key: Option<PathBuf>,
    /// Who signs certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// What is asked of clients.
    pub client_certificates: ClientCertificates,
}

impl TlsFiles {
    /// In the words of who opens them, where there is TLS.
    #[must_use]
    pub fn terms(&self) -> Option<TlsTerms> {
        Some(TlsTerms {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
            client_ca: self.client_ca.clone(),
            clients: self.client_certificates,
        })
    }
}

/// `[auth]`: credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The file of tokens, passwords and certificates.
    pub credentials: Option<PathBuf>,
    /// Keys of signed tokens.
    pub jwt_keys: Option<PathBuf>,
    /// Who signs them.
    pub jwt_issuer: String,
    /// For whom they are.
    pub jwt_audience: String,
    /// The claim that names the role.
    pub jwt_role_claim: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            credentials: None,
            jwt_keys: None,
            jwt_issuer: String::new(),
            jwt_audience: "lotbook".into(),
            jwt_role_claim: "role".into(),
        }
    }
}

impl Auth {
    /// In the words of who reads them; `None`: there are no logins.
    #[must_use]
    pub fn terms(&self) -> Option<AccessTerms> {
        let jwt = self.jwt_keys.clone().map(|keys| JwtTerms {
            keys,
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
            role_claim: self.jwt_role_claim.clone(),
        });
        let terms = AccessTerms { credentials: self.credentials.clone(), jwt };
        (terms != AccessTerms::default()).then_some(terms)
    }
}

impl Config {
    /// The first key that would let strangers in, or half a setting of who may come in: the key, its value, what is missing.
    #[must_use]
    pub fn open_door(&self) -> Option<(&'static str, String, String)> {
        let wide = |listen: Listen| listen.0.filter(|address: &SocketAddr| !address.ip().is_loopback());
        let shown = |value: &str| toml::Value::String(value.into()).to_string();
        let path =
            |file: &Option<PathBuf>| shown(&file.as_ref().map_or("off".into(), |file| file.display().to_string()));
        let (tls, auth) = (self.tls.terms().is_some(), self.auth.terms().is_some());
        if let Some(address) = wide(self.http.listen).filter(|_| !(self.http.insecure || tls && auth)) {
            let missing = match (tls, auth) {
                (false, false) => "tls.certificate with tls.key, and auth.credentials or auth.jwt_keys",
                (false, true) => "tls.certificate with tls.key",
                _ => "auth.credentials or auth.jwt_keys",
            };
            let words = format!(
                "must be a loopback address, for other machines can reach this one, and {missing} are not set; \
                 http.insecure = true serves them nevertheless"
            );
            return Some(("http.listen", shown(&address.to_string()), words));
        }
        // Whoever logs on by FIX has a password or a certificate: signed tokens let nobody in there.
        if let Some(address) = wide(self.fix.listen).filter(|_| !(tls && self.auth.credentials.is_some())) {
            let words = "must be a loopback address, for other machines can reach this one, and tls.certificate with tls.key, and \
                         auth.credentials are not all set; or put a proxy that has TLS and logins in front";
            return Some(("fix.listen", shown(&address.to_string()), words.to_owned()));
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            let words = "tls.certificate and tls.key are set together, or neither".to_owned();
            return Some(("tls.certificate", path(&self.tls.certificate), words));
        }
        if self.tls.client_certificates != ClientCertificates::Off && self.tls.client_ca.is_none() {
            let words = "must be set where tls.client_certificates is not off".to_owned();
            return Some(("tls.client_ca", path(&self.tls.client_ca), words));
        }
        if self.auth.jwt_keys.is_some() && (self.auth.jwt_issuer.is_empty() || self.auth.jwt_audience.is_empty()) {
            let words = "auth.jwt_issuer and auth.jwt_audience must be set beside it".to_owned();
            return Some(("auth.jwt_keys", path(&self.auth.jwt_keys), words));
        }
        None
    }
}
