//! Signed tokens: what is taken, and every way in which one is not.

use super::*;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use crate::access::now_s;

/// A key of 2048 bits made by OpenSSL, its private half thrown away, and a token that it has signed: `sub` ann, good until 2100.
const RSA_MODULUS: &str = "tjwSLhl07pvASVXLnjXBaUYbQBXrqH4eMe3uwNPqxpKvQsmdIHJtp7uu7SuXsNXm0GY2s8_Xbj9CHziWcDwG_CFFqk4I4G9m-rp8CnBGXk1i8M0AtMwFnClo\
     u4lWxGr1a2F1aTO-WKgeZFY9bW3cDzcjcA4sig9HT1kWymR9DKs5MvtL1kY78AhjdcwD7AqTyjPn7KHoQ7xfTCPtwuiNGji2LCOswNKuvuNyFD5qjf6h-a2l\
     gHzQrChoFUid5hkP3C3jJnvckyQYcgmBOaJ3nbPlcr6W7aCXjs4jbJeF7vx9LxGXVj5mFYPLBQ1cL5RbhV3ccRkAeKehUoSz6DtTeQ";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJzdWIiOiAiYW5uIiwgInJvbGUiOiAidHJhZGVyIiwgImlzcyI6ICJodHRwczovL2xvZ2luLmV4YW1wbGU\
     iLCAiYXVkIjogImxvdGJvb2siLCAiZXhwIjogNDEwMjQ0NDgwMH0.aNXMDtlE9L0l1MsEX76QFeG0gtxAYSs7rbVhWIBGMXjdVYYFTgXRaoIY5YzsKaCtaYz\
     btAYbBljEaQoJDNaEPx8gqVA-cD1YKhlVd76jZ1Kr-hoHkDIyL9NW4exh2WYDZI-LWLnkqrSOog5XubIbEBAvIxpzbJg5NX7rRGuaNTDwabImikKdABKZSQV\
     zaanHiYA3Wu6ip36YI130S0lK5qdaTIvQ18eRUGWVNXWsT2dS72URiE8dfcJctD56HpbTmTKfcBgKxegXJrMDOYeCtHWaZOpS3aGBjRK2KvT4P9HzsKN9gjI\
     uMy70_3qMkYQp6jwZIIo1LWqQbztLLOXLHw";

const SHARED: &[u8] = b"canary-canary-canary-canary-canary";

/// Base64 for addresses, without padding (RFC 4648, 5).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(DIGITS[(word >> (18 - 6 * digit)) as usize & 63] as char);
        }
    }
    text
}

struct Signer {
    dir: tempfile::TempDir,
    ec: EcdsaKeyPair,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        Self { dir: tempfile::tempdir().expect("a directory"), ec }
    }

    fn jwks(&self) -> Value {
        let point = self.ec.public_key().as_ref();
        json!({"keys": [
            {"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64(SHARED)},
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB"},
            {"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256", "x": base64(&point[1..33]), "y": base64(&point[33..])},
        ]})
    }

    fn open(&self, jwks: &str) -> Result<JwtKeys, JwtError> {
        let keys = self.dir.path().join("keys.json");
        std::fs::write(&keys, jwks).expect("written");
        std::fs::set_permissions(&keys, Permissions::from_mode(0o600)).expect("a mode");
        let text = str::to_owned;
        let (issuer, audience, role_claim) = (text("https://login.example"), text("lotbook"), text("role"));
        JwtKeys::read(&JwtTerms { keys, issuer, audience, role_claim })
    }

    fn token(&self, algorithm: &str, kid: &str, claims: &Value) -> String {
        let header = json!({"typ": "JWT", "alg": algorithm, "kid": kid});
        let message = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let signature = match algorithm {
            "ES256" => self.ec.sign(&SystemRandom::new(), message.as_bytes()).expect("signed").as_ref().to_vec(),
            "HS256" => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SHARED), message.as_bytes()).as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{message}.{}", base64(&signature))
    }
}

fn claims() -> Value {
    json!({"sub": "ann", "role": "trader", "iss": "https://login.example", "aud": "lotbook", "exp": now_s() + 600})
}

#[test]
fn tokens_of_all_three_algorithms_are_taken() {
    let signer = Signer::new();
    let keys = signer.open(&signer.jwks().to_string()).expect("fine");
    for (kid, token) in [
        ("shared", signer.token("HS256", "shared", &claims())),
        ("ec", signer.token("ES256", "ec", &claims())),
        ("rsa", RSA_TOKEN.to_owned()),
    ] {
        let credential = format!("jwt:{kid}");
        assert_eq!(keys.check(&token), Ok(Principal { user: "ann".into(), role: Role::Trader, credential }), "{kid}");
        // One bit of the signature.
        let at = token.len() - 20;
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let bent = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        assert_eq!(keys.check(&bent), Err(Refusal::Unknown), "{kid}");
    }
    assert!(!format!("{keys:?}").contains("canary"), "{keys:?}");
}

#[test]
fn a_claim_that_is_missing_or_wrong_refuses_the_token() {
    let signer = Signer::new();
    let keys = signer.open(&signer.jwks().to_string()).expect("fine");
    let with = |claim: &str, value: Value| {
        let mut claims = claims();
        claims[claim] = value;
        keys.check(&signer.token("ES256", "ec", &claims)).map(|who| who.user)
    };
    for (claim, value, wanted) in [
        ("aud", json!(["other", "lotbook"]), Ok("ann".to_owned())),
        ("exp", json!(now_s() - 31), Err(Refusal::Expired)),
        ("exp", json!("4102444800"), Err(Refusal::Unknown)),
        ("exp", json!(null), Err(Refusal::Unknown)),
        ("nbf", json!(now_s() + 300), Err(Refusal::TooEarly)),
        ("aud", json!("other"), Err(Refusal::Foreign)),
        ("iss", json!("https://evil.example"), Err(Refusal::Foreign)),
        ("role", json!("root"), Err(Refusal::Nobody)),
        ("role", json!(["admin"]), Err(Refusal::Nobody)),
        ("sub", json!(""), Err(Refusal::Nobody)),
        ("sub", json!("\u{e4}nn"), Err(Refusal::Nobody)),
        ("sub", json!("x".repeat(65)), Err(Refusal::Nobody)),
    ] {
        assert_eq!(with(claim, value.clone()), wanted, "{claim} = {value}");
    }
    for claim in ["sub", "iss", "aud", "exp", "role"] {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(claim);
        assert!(keys.check(&signer.token("ES256", "ec", &claims)).is_err(), "without {claim}");
    }
}

/// The classic confusions: no algorithm, a public key as a shared one, one algorithm with the key of another, a key of the sender's.
#[test]
fn the_key_says_which_algorithm() {
    let signer = Signer::new();
    let keys = signer.open(&signer.jwks().to_string()).expect("fine");
    let message = |header: Value| {
        format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims().to_string().as_bytes()))
    };
    let by_public = |kid: &str, public: &[u8]| {
        let message = message(json!({"alg": "HS256", "kid": kid}));
        let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public), message.as_bytes());
        format!("{message}.{}", base64(signed.as_ref()))
    };
    let own = {
        let point = signer.ec.public_key().as_ref();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..])});
        let message = message(json!({"alg": "ES256", "kid": "mine", "jwk": jwk}));
        let signed = signer.ec.sign(&SystemRandom::new(), message.as_bytes()).expect("signed");
        format!("{message}.{}", base64(signed.as_ref()))
    };
    for (why, token) in [
        ("no algorithm", format!("{}.", message(json!({"alg": "none", "kid": "ec"})))),
        ("no algorithm, none named", format!("{}.", message(json!({"alg": "none"})))),
        ("a public key as a shared one", by_public("ec", signer.ec.public_key().as_ref())),
        ("a modulus as a shared key", by_public("rsa", RSA_MODULUS.as_bytes())),
        ("a shared key's token for another key", signer.token("HS256", "ec", &claims())),
        ("another algorithm for the shared key", signer.token("ES256", "shared", &claims())),
        ("an unknown key", signer.token("ES256", "nobody", &claims())),
        ("a key that the token brings", own),
        ("three parts of nothing", "..".into()),
        ("two parts", "a.b".into()),
        ("four parts", format!("{}.x", signer.token("ES256", "ec", &claims()))),
        ("much too long", format!("{}{}", signer.token("ES256", "ec", &claims()), "A".repeat(BEARER_BYTES_MAX))),
    ] {
        assert_eq!(keys.check(&token), Err(Refusal::Unknown), "{why}");
    }
}

#[test]
fn keys_that_cannot_be_used_are_named_and_not_shown() {
    let signer = Signer::new();
    let key = |key: Value| json!({ "keys": [key] }).to_string();
    let twice = json!({"keys": [signer.jwks()["keys"][0], signer.jwks()["keys"][0]]}).to_string();
    for (jwks, says) in [
        ("canary".to_owned(), "is no JWKS file"),
        (key(json!({"kty": "oct", "kid": "a", "k": base64(SHARED)})), "key a: has no alg"),
        (key(json!({"kty": "oct", "kid": "a", "alg": "HS512", "k": base64(SHARED)})), "key a: alg is none of"),
        (key(json!({"kty": "oct", "alg": "RS256", "k": base64(SHARED)})), "key at place 1: alg is none of"),
        (key(json!({"kty": "oct", "kid": "a", "alg": "HS256", "k": base64(b"canary")})), "at least 32 bytes"),
        (key(json!({"kty": "oct", "kid": "a", "alg": "HS256", "k": "canary!"})), "key a: cannot be used"),
        (twice, "key shared: stands there twice"),
    ] {
        let error = signer.open(&jwks).expect_err(says).to_string();
        assert!(error.contains(says) && !error.contains("canary") && !error.contains(&base64(SHARED)), "{error}");
    }
}
