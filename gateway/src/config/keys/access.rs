//! Keys of `[http]`, `[tls]`, `[auth]`.

use std::path::PathBuf;

use super::{Allowed, Key, Value, text};
use crate::access::ClientCertificates;
use crate::config::Config;

/// No file.
const OFF: &str = "off";

fn file(value: &Value) -> Option<PathBuf> {
    (value.text() != OFF).then(|| PathBuf::from(value.text()))
}

fn show(file: Option<&PathBuf>) -> String {
    file.map_or_else(|| text(OFF), |file| text(file.display()))
}

pub(super) const HTTP: &[Key<Config>] = &[
    Key {
        name: "listen",
        meaning: "Address of the HTTP door; `off` keeps it shut. Other machines reach it only with TLS and logins, or with `insecure`.",
        allowed: Allowed::Listen,
        default_words: "",
        set: |c, v| v.text().parse().map(|listen| c.http.listen = listen),
        show: |c| text(c.http.listen),
    },
    key!(
        "insecure",
        "Listen where other machines reach it though TLS or logins are missing, whatever host they ask for: only behind a proxy that has both.",
        Allowed::Bool,
        |c, v| c.http.insecure = matches!(v, Value::Bool(true)),
        |c| c.http.insecure.to_string()
    ),
    Key {
        name: "health_listen",
        meaning: "Address where `/health`, `/health/liveness` and `/health/readiness` alone are served, without TLS and logins, by a thread that nothing else uses; `off`: only at `listen`.",
        allowed: Allowed::Listen,
        default_words: "",
        set: |c, v| v.text().parse().map(|listen| c.http.health_listen = listen),
        show: |c| text(c.http.health_listen),
    },
    number!(
        "connections_max",
        "Connections at a time; one more closes the one that has been idle for longest.",
        1..=65_536,
        http.connections_max
    ),
    number!(
        "requests_per_second",
        "Requests a second of one credential, or of one source without credentials, with bursts of as many; more are answered 429. 0: any number.",
        0..=1_000_000,
        http.requests_per_second
    ),
];

pub(super) const TLS: &[Key<Config>] = &[
    key!(
        "certificate",
        "PEM file of the certificate and those that signed it; read again when it changes. `off`: no TLS.",
        Allowed::Path,
        |c, v| c.tls.certificate = file(&v),
        |c| show(c.tls.certificate.as_ref())
    ),
    key!(
        "key",
        "PEM file of its key, which nobody but its owner may read (mode 600).",
        Allowed::Path,
        |c, v| c.tls.key = file(&v),
        |c| show(c.tls.key.as_ref())
    ),
    key!(
        "client_ca",
        "PEM file of who signs certificates of clients.",
        Allowed::Path,
        |c, v| c.tls.client_ca = file(&v),
        |c| show(c.tls.client_ca.as_ref())
    ),
    key!(
        "client_certificates",
        "Certificates of clients: none is asked for, one may be shown, or without one there is no connection.",
        Allowed::OneOf(&["off", "optional", "required"]),
        |c, v| {
            c.tls.client_certificates = match v.text() {
                "optional" => ClientCertificates::Optional,
                "required" => ClientCertificates::Required,
                _ => ClientCertificates::Off,
            };
        },
        |c| text(c.tls.client_certificates.as_str())
    ),
];

pub(super) const AUTH: &[Key<Config>] = &[
    key!(
        "credentials",
        "File of tokens, passwords and certificates with their users and roles, which `lotbook token` writes (mode 600); read again when it changes. `off`: none.",
        Allowed::Path,
        |c, v| c.auth.credentials = file(&v),
        |c| show(c.auth.credentials.as_ref())
    ),
    key!(
        "jwt_keys",
        "JWKS file of keys for tokens that another service signs: HS256, RS256, ES256, as each key's `alg` says (mode 600). `off`: none.",
        Allowed::Path,
        |c, v| c.auth.jwt_keys = file(&v),
        |c| show(c.auth.jwt_keys.as_ref())
    ),
    key!(
        "jwt_issuer",
        "What `iss` of such a token must be.",
        Allowed::Text("must be a text, in quotes"),
        |c, v| c.auth.jwt_issuer = v.text().to_owned(),
        |c| text(&c.auth.jwt_issuer)
    ),
    key!(
        "jwt_audience",
        "What `aud` of such a token must be or contain.",
        Allowed::Text("must be a text, in quotes"),
        |c, v| c.auth.jwt_audience = v.text().to_owned(),
        |c| text(&c.auth.jwt_audience)
    ),
    key!(
        "jwt_role_claim",
        "The claim of such a token that names the role; `sub` names the user.",
        Allowed::Id,
        |c, v| c.auth.jwt_role_claim = v.text().to_owned(),
        |c| text(&c.auth.jwt_role_claim)
    ),
];
