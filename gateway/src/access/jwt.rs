//! Tokens that another service signed (RFC 7519): keys from a JWKS file, the algorithm pinned by the key.
//!
//! `HS256`, `RS256` and `ES256`. A key says in `alg` which one it is for, and a token that says another is refused before anything is
//! computed: no key is ever used with an algorithm that it was not made for, and there is no `none`. `exp`, `iss`, `aud` and `sub` must
//! be there and hold. The parts and claims are `jsonwebtoken`'s, the signatures ring's, as everywhere here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{AlgorithmParameters, JwkSet, KeyAlgorithm};
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Validation, decode, decode_header};
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::credentials::BEARER_BYTES_MAX;
use super::private::{self, PrivateError};
use super::{Principal, Refusal, Role};
use crate::input::text::check_id;

/// Clocks of two machines may differ by so many seconds.
const LEEWAY_S: u64 = 30;
/// Shortest shared key, in bytes: as many as the hash has (RFC 7518, 3.2).
const SHARED_KEY_BYTES_MIN: usize = 32;

/// What signed tokens must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtTerms {
    /// The JWKS file (RFC 7517); only its owner may read it, as it may hold shared keys.
    pub keys: PathBuf,
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must be or contain this.
    pub audience: String,
    /// The claim that names the role.
    pub role_claim: String,
}

/// Why keys cannot be used. No variant shows one.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// The file cannot be read, or others may read it.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// It is no JWKS file.
    #[error("{}: is no JWKS file", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// A key in it.
    #[error("{}: key {kid}: {what}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Its `kid`, or its place.
        kid: String,
        /// What is wrong.
        what: &'static str,
    },
}

struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The keys, and what tokens must say.
pub struct JwtKeys {
    terms: JwtTerms,
    keys: HashMap<String, Key>,
}

impl std::fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtKeys").field("terms", &self.terms).field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl JwtKeys {
    /// Reads the file. Blocks.
    ///
    /// # Errors
    /// [`JwtError`].
    pub fn read(terms: &JwtTerms) -> Result<Self, JwtError> {
        install();
        let path = terms.keys.clone();
        let set: JwkSet =
            serde_json::from_slice(&private::read(&path)?).map_err(|_| JwtError::Form { path: path.clone() })?;
        let mut keys = HashMap::new();
        for (place, jwk) in set.keys.iter().enumerate() {
            let kid = jwk.common.key_id.clone().unwrap_or_default();
            let named = if kid.is_empty() { format!("at place {}", place + 1) } else { kid.clone() };
            let bad = |what| JwtError::Key { path: path.clone(), kid: named.clone(), what };
            let algorithm = match (jwk.common.key_algorithm, &jwk.algorithm) {
                (Some(KeyAlgorithm::HS256), AlgorithmParameters::OctetKey(_)) => Algorithm::HS256,
                (Some(KeyAlgorithm::RS256), AlgorithmParameters::RSA(_)) => Algorithm::RS256,
                (Some(KeyAlgorithm::ES256), AlgorithmParameters::EllipticCurve(_)) => Algorithm::ES256,
                (None, _) => return Err(bad("has no alg: which algorithm it is for must be said")),
                _ => return Err(bad("alg is none of HS256, RS256, ES256, or does not fit kty")),
            };
            let key = DecodingKey::from_jwk(jwk).map_err(|_| bad("cannot be used"))?;
            if algorithm == Algorithm::HS256 && key.try_get_as_bytes().map_or(0, <[u8]>::len) < SHARED_KEY_BYTES_MIN {
                return Err(bad("a shared key has at least 32 bytes"));
            }
            if keys.insert(kid, Key { algorithm, key }).is_some() {
                return Err(bad("stands there twice, or two keys have no kid"));
            }
        }
        Ok(Self { terms: terms.clone(), keys })
    }

    /// Whoever bears a signed token now.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, token: &str) -> Result<Principal, Refusal> {
        if token.len() > BEARER_BYTES_MAX {
            return Err(Refusal::Unknown);
        }
        let header = decode_header(token).map_err(|_| Refusal::Unknown)?;
        let kid = header.kid.unwrap_or_default();
        let known = self.keys.get(&kid).ok_or(Refusal::Unknown)?;
        let mut wanted = Validation::new(known.algorithm);
        wanted.leeway = LEEWAY_S;
        wanted.validate_nbf = true;
        wanted.set_audience(&[&self.terms.audience]);
        wanted.set_issuer(&[&self.terms.issuer]);
        wanted.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Map<String, Value>>(token, &known.key, &wanted).map_err(|error| refusal(&error))?.claims;
        let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
        let user = text("sub").filter(|user| check_id(user.as_bytes()).is_ok()).ok_or(Refusal::Nobody)?;
        let role = text(&self.terms.role_claim).and_then(Role::parse).ok_or(Refusal::Nobody)?;
        Ok(Principal { user: user.into(), role, credential: format!("jwt:{kid}") })
    }
}

fn refusal(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::TooEarly,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => Refusal::Foreign,
        _ => Refusal::Unknown,
    }
}

/// Ring under the library's parts and claims. It keeps one for the process; nobody else here uses the library.
fn install() {
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    static ONCE: Once = Once::new();
    // An error says that it is there already.
    ONCE.call_once(|| {
        let _ = RING.install_default();
    });
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::UnsupportedAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match algorithm {
        Algorithm::HS256 | Algorithm::RS256 | Algorithm::ES256 => {
            Ok(Box::new(Signature { algorithm: *algorithm, key: key.kind().clone() }))
        }
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

struct Signature {
    algorithm: Algorithm,
    key: DecodingKeyKind,
}

impl Verifier<Vec<u8>> for Signature {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (self.algorithm, &self.key) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), message, signed)
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signed)
            }
            // From the two coordinates, as an uncompressed point.
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signed)
            }
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Signature {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
