//! `lotbook token`: the file of credentials, changed as a whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::access::credentials::{Certificate, CredentialsFile, Password, hash_password, new_token};
use crate::access::private::{self, PrivateError};
use crate::access::{Credentials, CredentialsError, now_s};
use crate::cli::{ExitCode, TokenArgs, TokenCommand};
use crate::exit;

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Why nothing was changed or shown.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The file cannot be written.
    #[error("writing {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing in the file has this name.
    #[error("{}: has no token, password or certificate \"{name}\"", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was named.
        name: String,
    },
    /// The password cannot be read, or the output not be written.
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
}

impl TokenError {
    /// The exit code of the command.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Credentials(CredentialsError::Random) => ExitCode::Internal,
            Self::Credentials(CredentialsError::Short) | Self::Unknown { .. } => ExitCode::Unreadable,
            Self::Credentials(_) => ExitCode::BadConfig,
            Self::Write { source, .. } | Self::Io(source) => exit::of_io(source),
        }
    }
}

/// Does what the command says.
///
/// # Errors
/// [`TokenError`]: then the file is as it was.
pub fn run(args: &TokenArgs, input: &mut dyn Read, out: &mut dyn Write) -> Result<(), TokenError> {
    let path = &args.file;
    if let TokenCommand::List { json } = &args.command {
        let text = list(&read(path)?, *json);
        return match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Who reads a pipe to its head has what was wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        };
    }
    let failed = |source| TokenError::Write { path: path.clone(), source };
    // One at a time: the directory is what all of them have.
    let dir = File::open(folder(path)).map_err(failed)?;
    dir.lock().map_err(failed)?;
    let mut file = read(path)?;
    let said = match &args.command {
        TokenCommand::New { user, role, days } => {
            let now_s = now_s();
            let made = new_token(user, *role, now_s, days.map(|days| now_s + i64::from(days) * 86_400))?;
            file.tokens.push(made.entry);
            made.bearer
        }
        TokenCommand::Revoke { name } => {
            let before = entries(&file);
            file.tokens.retain(|token| token.id != *name);
            file.passwords.retain(|password| password.user != *name);
            file.certificates.retain(|certificate| certificate.name != *name);
            if entries(&file) == before {
                return Err(TokenError::Unknown { path: path.clone(), name: name.clone() });
            }
            format!("revoked {name}")
        }
        TokenCommand::Password { user, role } => {
            let mut password = Vec::new();
            input.take(PASSWORD_BYTES_MAX).read_to_end(&mut password)?;
            let argon2 = hash_password(password.trim_ascii_end())?;
            file.passwords.retain(|other| other.user != *user);
            file.passwords.push(Password { user: user.clone(), role: *role, argon2 });
            format!("the password of {user} is kept")
        }
        TokenCommand::Certificate { name, user, role } => {
            file.certificates.retain(|other| other.name != *name);
            file.certificates.push(Certificate { name: name.clone(), user: user.clone(), role: *role });
            format!("the certificate {name} is of {user}")
        }
        TokenCommand::List { .. } => return Ok(()),
    };
    write(path, &file, &dir).map_err(failed)?;
    Ok(writeln!(out, "{said}").and_then(|()| out.flush())?)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn entries(file: &CredentialsFile) -> usize {
    file.tokens.len() + file.passwords.len() + file.certificates.len()
}

/// A file that is not there is an empty one; one that a host would refuse is not changed.
fn read(path: &Path) -> Result<CredentialsFile, CredentialsError> {
    let bytes = match private::read(path) {
        Err(PrivateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(CredentialsFile::default());
        }
        read => read?,
    };
    Credentials::read(path)?;
    CredentialsFile::parse(path, &String::from_utf8_lossy(&bytes))
}

/// Beside, then over: a host that reads it meanwhile sees the one or the other.
fn write(path: &Path, file: &CredentialsFile, dir: &File) -> io::Result<()> {
    let mut new = tempfile::NamedTempFile::new_in(folder(path))?;
    new.as_file().set_permissions(Permissions::from_mode(0o600))?;
    new.write_all(file.to_toml().as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    dir.sync_all()
}

fn list(file: &CredentialsFile, as_json: bool) -> String {
    let rows = |of: &mut dyn FnMut(&str, &str, &str, &str, &str)| {
        for token in &file.tokens {
            let expires = token.expires.as_deref().unwrap_or("never");
            of("token", &token.id, &token.user, token.role.as_str(), expires);
        }
        for password in &file.passwords {
            of("password", &password.user, &password.user, password.role.as_str(), "never");
        }
        for certificate in &file.certificates {
            of("certificate", &certificate.name, &certificate.user, certificate.role.as_str(), "as it says");
        }
    };
    if as_json {
        let mut found = Vec::new();
        rows(&mut |kind, name, user, role, expires| {
            found.push(json!({"kind": kind, "name": name, "user": user, "role": role, "expires": expires}));
        });
        return format!("{:#}\n", json!(found));
    }
    let mut text = format!("{:<12} {:<24} {:<16} {:<9} expires\n", "kind", "name", "user", "role");
    rows(&mut |kind, name, user, role, expires| {
        text.push_str(&format!("{kind:<12} {name:<24} {user:<16} {role:<9} {expires}\n"));
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Refusal, Role};

    #[test]
    fn a_token_comes_and_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("credentials.toml");
        let run = |command, input: &str| {
            let mut out = Vec::new();
            run(&TokenArgs { command, file: file.clone() }, &mut input.as_bytes(), &mut out)?;
            Ok::<_, TokenError>(String::from_utf8(out).expect("text"))
        };
        let new = |user: &str, role| TokenCommand::New { user: user.into(), role, days: Some(1) };
        let ann = run(new("ann", Role::Trader), "").expect("made");
        let bob = run(new("bob", Role::Viewer), "").expect("made");
        let (user, role) = ("DESK1".to_owned(), Role::Trader);
        run(TokenCommand::Password { user: user.clone(), role }, "first password of it\n").expect("kept");
        run(TokenCommand::Password { user, role }, "canary of a password\n").expect("kept in its place");
        let (name, user) = ("ann.example".to_owned(), "ann".to_owned());
        run(TokenCommand::Certificate { name, user, role }, "").expect("kept");
        let known = Credentials::read(&file).expect("what a host takes");
        assert_eq!(known.token(ann.trim(), now_s()).map(|who| who.user), Ok("ann".into()));
        assert!(known.password("DESK1", b"canary of a password").is_ok(), "without the line feed");
        assert_eq!(known.password("DESK1", b"first password of it"), Err(Refusal::Unknown));

        let listed = run(TokenCommand::List { json: false }, "").expect("shown");
        assert_eq!(listed.lines().count(), 5, "{listed}");
        let id = ann[3..15].to_owned();
        assert!(listed.contains(&id) && !listed.contains("argon2") && !listed.contains(&ann[16..40]), "{listed}");
        run(TokenCommand::Revoke { name: id.clone() }, "").expect("revoked");
        assert!(matches!(run(TokenCommand::Revoke { name: id }, ""), Err(TokenError::Unknown { .. })));
        let known = Credentials::read(&file).expect("what a host takes");
        assert_eq!(known.token(ann.trim(), now_s()), Err(Refusal::Unknown));
        assert!(known.token(bob.trim(), now_s()).is_ok());
        // What a host would refuse is not touched.
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("a mode");
        assert!(run(new("eve", Role::Admin), "").is_err());
    }
}
