//! The file of credentials: tokens and passwords as hashes, certificates by name; each with its user and role.
//!
//! ```toml
//! [[token]]
//! id = "4f2a9c01d3b7"
//! user = "ann"
//! role = "trader"
//! sha256 = "9f86d0…"                    # of the secret, which nobody has but ann
//! created = "2026-03-05T14:30:00Z"
//! expires = "2027-03-05T14:30:00Z"      # may be left out
//!
//! [[password]]                          # for doors that send one, such as the logon of FIX
//! user = "DESK1"
//! role = "trader"
//! argon2 = "$argon2id$v=19$…"
//!
//! [[certificate]]
//! name = "ann.desk.example"             # a DNS name, a URI or the common name
//! user = "ann"
//! role = "trader"
//! ```
//! A token is `lb_ID_SECRET`, 256 random bits as hexadecimal: no hash function makes guessing it slower than it is, so one round of
//! SHA-256 does. Passwords are chosen by people and get argon2id. `lotbook token` writes the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::private::{self, PrivateError};
use super::{Principal, Refusal, Role};
use crate::input::text::check_id;

/// What a token begins with, so that a scanner of sources finds one that has leaked.
const PREFIX: &str = "lb_";
/// Bytes of a token's id, which is no secret.
const ID_BYTES: usize = 6;
/// Random bytes of a token's secret.
const SECRET_BYTES: usize = 32;
/// Longest bearer text that is looked at, in bytes.
pub const BEARER_BYTES_MAX: usize = 8 << 10;
/// Shortest password that is taken, in bytes.
pub const PASSWORD_BYTES_MIN: usize = 12;

/// Why the file is not used. No variant shows a hash.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read, or others may read it.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// It is no such file.
    #[error("{}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// No random numbers, or no hash: nothing was made.
    #[error("the system gives no random numbers")]
    Random,
    /// A password that is too easy.
    #[error("a password has at least {PASSWORD_BYTES_MIN} bytes")]
    Short,
}

/// A token as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its public name.
    pub id: String,
    /// Who bears it.
    pub user: String,
    /// What the bearer may do.
    pub role: Role,
    /// Of the secret.
    pub sha256: String,
    /// When it was made.
    pub created: String,
    /// When it ends; `None`: by revocation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// A password as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// Who says it.
    pub user: String,
    /// What the user may do.
    pub role: Role,
    /// Its hash with salt and cost, as a PHC string.
    pub argon2: String,
}

/// A certificate as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// A name that it has.
    pub name: String,
    /// Who shows it.
    pub user: String,
    /// What the user may do.
    pub role: Role,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsFile {
    /// Tokens.
    #[serde(default, rename = "token", skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
    /// Passwords.
    #[serde(default, rename = "password", skip_serializing_if = "Vec::is_empty")]
    pub passwords: Vec<Password>,
    /// Certificates.
    #[serde(default, rename = "certificate", skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
}

impl CredentialsFile {
    /// Reads a file's text; `path` is its name in messages.
    ///
    /// # Errors
    /// [`CredentialsError::Form`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, CredentialsError> {
        // The library's message shows the line that it stumbled over, which may be a hash: only its place is told.
        let form = |what: String| CredentialsError::Form { path: path.into(), what };
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            form(format!("line {line} is no entry of credentials"))
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Texts only: it always serializes.
        toml::to_string(self).unwrap_or_default()
    }
}

/// A token, once: whoever makes it is told its secret, and nobody else ever is.
pub struct NewToken {
    /// What goes to the file.
    pub entry: Token,
    /// What goes to the bearer.
    pub bearer: String,
}

/// Makes a token. `now_s` and `expires_s` are seconds since 1970.
///
/// # Errors
/// [`CredentialsError::Random`].
pub fn new_token(user: &str, role: Role, now_s: i64, expires_s: Option<i64>) -> Result<NewToken, CredentialsError> {
    let mut bytes = [0; ID_BYTES + SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| CredentialsError::Random)?;
    let (id, secret) = (hex(&bytes[..ID_BYTES]), hex(&bytes[ID_BYTES..]));
    let bearer = format!("{PREFIX}{id}_{secret}");
    let entry = Token {
        sha256: hex(digest(&SHA256, secret.as_bytes()).as_ref()),
        id,
        user: user.to_owned(),
        role,
        created: timestamp(now_s),
        expires: expires_s.map(timestamp),
    };
    Ok(NewToken { entry, bearer })
}

/// The hash of a password, with a salt of its own. Takes some 20 ms.
///
/// # Errors
/// [`CredentialsError`].
pub fn hash_password(password: &[u8]) -> Result<String, CredentialsError> {
    if password.len() < PASSWORD_BYTES_MIN {
        return Err(CredentialsError::Short);
    }
    Ok(Argon2::default().hash_password(password).map_err(|_| CredentialsError::Random)?.to_string())
}

/// A hash at the usual cost that nobody's password is compared with.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_password(&[0; PASSWORD_BYTES_MIN]).unwrap_or_default())
}

fn timestamp(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    is_hex.then_some(bytes)
}

/// A token as it is looked up.
#[derive(Debug)]
struct Known {
    principal: Principal,
    hash: [u8; 32],
    expires_s: Option<i64>,
}

/// What the file says, ready to be asked.
#[derive(Debug, Default)]
pub struct Credentials {
    tokens: HashMap<String, Known>,
    passwords: HashMap<String, (Principal, String)>,
    certificates: HashMap<String, Principal>,
}

impl Credentials {
    /// Reads the file. Blocks.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let bytes = private::read(path)?;
        let form = |what: &str| CredentialsError::Form { path: path.into(), what: what.into() };
        let text = std::str::from_utf8(&bytes).map_err(|_| form("is no text"))?;
        Self::of(&CredentialsFile::parse(path, text)?).map_err(|what| form(&what))
    }

    /// Checks the entries.
    fn of(file: &CredentialsFile) -> Result<Self, String> {
        let mut known = Self::default();
        let principal = |user: &str, role, kind: &str, name: &str| match check_id(user.as_bytes()) {
            Ok(()) => Ok(Principal { user: user.into(), role, credential: format!("{kind}:{name}") }),
            Err(_) => Err(format!("{kind} {name}: a user has 1 to 64 characters of printable ASCII")),
        };
        for Token { id, user, role, sha256, expires, .. } in &file.tokens {
            let principal = principal(user, *role, "token", id)?;
            let hash = unhex(sha256).ok_or_else(|| format!("token {id}: sha256 has 64 hexadecimal digits"))?;
            let at = |text: &String| text.parse::<Timestamp>().map(Timestamp::as_second);
            let expires_s = expires.as_ref().map(at).transpose();
            let expires_s =
                expires_s.map_err(|_| format!("token {id}: expires is no time such as 2027-03-05T14:30:00Z"))?;
            if known.tokens.insert(id.clone(), Known { principal, hash, expires_s }).is_some() {
                return Err(format!("token {id} stands there twice"));
            }
        }
        for Password { user, role, argon2 } in &file.passwords {
            let principal = principal(user, *role, "password", user)?;
            PasswordHash::new(argon2).map_err(|_| format!("password {user}: argon2 is no hash"))?;
            if known.passwords.insert(user.clone(), (principal, argon2.clone())).is_some() {
                return Err(format!("password {user} stands there twice"));
            }
        }
        for Certificate { name, user, role } in &file.certificates {
            let principal = principal(user, *role, "certificate", name)?;
            if known.certificates.insert(name.clone(), principal).is_some() {
                return Err(format!("certificate {name} stands there twice"));
            }
        }
        Ok(known)
    }

    /// Who bears a token at a time in seconds since 1970.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn token(&self, bearer: &str, now_s: i64) -> Result<Principal, Refusal> {
        let parts = bearer.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, secret) = parts.filter(|_| bearer.len() <= BEARER_BYTES_MAX).ok_or(Refusal::Unknown)?;
        let known = self.tokens.get(id).ok_or(Refusal::Unknown)?;
        // Hashes are compared: how long that takes says nothing of the secret.
        if digest(&SHA256, secret.as_bytes()).as_ref() != known.hash {
            return Err(Refusal::Unknown);
        }
        match known.expires_s {
            Some(expires_s) if expires_s <= now_s => Err(Refusal::Expired),
            _ => Ok(known.principal.clone()),
        }
    }

    /// Who says a password.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn password(&self, user: &str, password: &[u8]) -> Result<Principal, Refusal> {
        // An unknown user takes as long as a wrong password: how long it takes does not say who is known.
        let known = self.passwords.get(user);
        let argon2: &str = match known {
            Some((_, argon2)) => argon2,
            None => nobodys_hash(),
        };
        let hash = PasswordHash::new(argon2).map_err(|_| Refusal::Unknown)?;
        let verified = Argon2::default().verify_password(password, &hash);
        known.filter(|_| verified.is_ok()).map(|(principal, _)| principal.clone()).ok_or(Refusal::Unknown)
    }

    /// Whose certificate has one of these names. The first that is known counts.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    pub fn certificate(&self, names: &[String]) -> Result<Principal, Refusal> {
        names.iter().find_map(|name| self.certificates.get(name)).cloned().ok_or(Refusal::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn file() -> (CredentialsFile, String) {
        let NewToken { entry, bearer } = new_token("ann", Role::Trader, 1_000, Some(2_000)).expect("random numbers");
        let argon2 = hash_password(b"correct horse battery").expect("a hash");
        let file = CredentialsFile {
            tokens: vec![entry],
            passwords: vec![Password { user: "DESK1".into(), role: Role::Trader, argon2 }],
            certificates: vec![Certificate { name: "bob.example".into(), user: "bob".into(), role: Role::Auditor }],
        };
        (file, bearer)
    }

    #[test]
    fn who_comes_in() {
        let (file, bearer) = file();
        assert_eq!(CredentialsFile::parse(Path::new("f"), &file.to_toml()).expect("reads back"), file);
        let known = Credentials::of(&file).expect("fine");
        let ann = known.token(&bearer, 1_999).expect("ann");
        assert_eq!((ann.user.as_str(), ann.role), ("ann", Role::Trader));
        assert_eq!(ann.credential, format!("token:{}", file.tokens[0].id));
        assert_eq!(known.token(&bearer, 2_000), Err(Refusal::Expired));
        let other = new_token("ann", Role::Trader, 0, None).expect("random numbers").bearer;
        let swapped = format!("{}{}", &bearer[..bearer.len() - 64], &other[other.len() - 64..]);
        let hash = format!("lb_{}_{}", file.tokens[0].id, file.tokens[0].sha256);
        for wrong in [&other, &swapped, &hash, "", "lb_", "lb__", &bearer[..bearer.len() - 1], &bearer[3..]] {
            assert_eq!(known.token(wrong, 0), Err(Refusal::Unknown), "{wrong}");
        }
        assert_eq!(known.password("DESK1", b"correct horse battery").map(|p| p.user), Ok("DESK1".into()));
        for (user, password) in
            [("DESK1", &b"correct horse batterz"[..]), ("DESK1", b""), ("desk1", b"correct horse battery")]
        {
            assert_eq!(known.password(user, password), Err(Refusal::Unknown), "{user}");
        }
        let bob = known.certificate(&["bob".into(), "bob.example".into()]).expect("bob");
        assert_eq!((bob.user.as_str(), bob.role), ("bob", Role::Auditor));
        assert_eq!(known.certificate(&["BOB.example".into()]), Err(Refusal::Unknown));
    }

    #[test]
    fn nothing_that_is_kept_or_printed_has_a_secret() {
        let (file, bearer) = file();
        let secret = &bearer[bearer.len() - 64..];
        let known = Credentials::of(&file).expect("fine");
        for text in
            [file.to_toml(), format!("{file:?}"), format!("{known:?}"), format!("{:?}", known.token(&bearer, 0))]
        {
            assert!(!text.contains(secret) && !text.contains("battery"), "{text}");
        }
        assert!(matches!(hash_password(b"short"), Err(CredentialsError::Short)));
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("credentials.toml");
        let (file, _) = file();
        let good = file.to_toml();
        let twice = format!("{good}\n[[certificate]]\nname = \"bob.example\"\nuser = \"eve\"\nrole = \"admin\"\n");
        for (text, says) in [
            (good.replace("trader", "root"), "line "),
            (good.replace("sha256 = \"", "sha256 = \"canary"), "sha256 has 64"),
            (good.replace("$argon2id$", "canary"), "argon2 is no hash"),
            (good.replace("1970-01-01T00:33:20Z", "soon"), "expires"),
            (good.replace("user = \"bob\"", "user = \"\""), "1 to 64"),
            (good.replace("user = \"bob\"", "user = \"bob\"\ncanary = 1"), "line "),
            (twice, "certificate bob.example stands there twice"),
            ("\u{0}canary".into(), "line 1"),
        ] {
            std::fs::write(&path, &text).expect("written");
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
            let error = Credentials::read(&path).expect_err(says).to_string();
            assert!(error.contains(says) && !error.contains("canary"), "{error}");
        }
        std::fs::write(&path, &good).expect("written");
        assert!(Credentials::read(&path).is_ok());
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
        assert!(matches!(Credentials::read(&path), Err(CredentialsError::Private(PrivateError::Open { .. }))));
    }
}
