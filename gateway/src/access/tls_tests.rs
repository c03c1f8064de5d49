//! TLS as doors use it: handshakes in memory against certificates that are made here.

use super::*;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection};

/// Who signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
struct Pair {
    chain: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn signs(&self, common_name: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (uris, dns): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.contains("://"));
        let mut params = CertificateParams::new(dns).expect("names");
        params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().expect("ASCII"))));
        params.distinguished_name.push(DnType::OrganizationName, "Desk & Sons");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { chain, key: key.serialize_pem() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let pem = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(pem).expect("a root");
        roots
    }
}

/// A server's files in a directory.
struct Files(tempfile::TempDir);

impl Files {
    fn of(pair: &Pair, client_ca: &Authority) -> Self {
        let files = Self(tempfile::tempdir().expect("a directory"));
        files.put(pair);
        std::fs::write(files.path("ca.pem"), &client_ca.pem).expect("written");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As a renewal does: beside, then over.
    fn put(&self, pair: &Pair) {
        for (name, text, mode) in [("key.pem", &pair.key, 0o600), ("chain.pem", &pair.chain, 0o644)] {
            std::fs::write(self.path("new"), text).expect("written");
            std::fs::set_permissions(self.path("new"), Permissions::from_mode(mode)).expect("a mode");
            std::fs::rename(self.path("new"), self.path(name)).expect("renamed");
        }
    }

    fn terms(&self, clients: ClientCertificates) -> TlsTerms {
        let (certificate, key) = (self.path("chain.pem"), self.path("key.pem"));
        TlsTerms { certificate, key, client_ca: Some(self.path("ca.pem")), clients }
    }
}

/// Shakes hands. Gives the names that the server sees, and the server's certificate.
fn shake(
    tls: &Tls,
    roots: RootCertStore,
    client: Option<&Pair>,
) -> Result<(Vec<String>, CertificateDer<'static>), rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::from_pem_slice(pair.chain.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![chain], key)?
        }
    };
    let name = ServerName::try_from("book.example").expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut server = ServerConnection::new(tls.config())?;
    // Each flight crosses; a handshake has few.
    for _ in 0..8 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("to memory");
        }
        let mut sent = flight.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent).expect("from memory");
            server.process_new_packets()?;
        }
        flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).expect("to memory");
        }
        let mut sent = flight.as_slice();
        while !sent.is_empty() {
            client.read_tls(&mut sent).expect("from memory");
            client.process_new_packets()?;
        }
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    let names = server.peer_certificates().and_then(<[_]>::first).map(names_of).unwrap_or_default();
    let shown = client.peer_certificates().and_then(<[_]>::first).expect("a server has one").clone();
    Ok((names, shown.into_owned()))
}

#[test]
fn who_may_connect_and_under_which_names() {
    let (ours, theirs, strangers) = (Authority::new("ours"), Authority::new("clients"), Authority::new("strangers"));
    let files = Files::of(&ours.signs("book", &["book.example"]), &theirs);
    let ann = theirs.signs("Ann Lee", &["ann.desk.example", "spiffe://desk/ann"]);
    let eve = strangers.signs("Ann Lee", &["ann.desk.example"]);
    let names = ["ann.desk.example", "spiffe://desk/ann", "Ann Lee"].map(str::to_owned).to_vec();
    let none: Vec<String> = Vec::new();
    for (clients, client, wanted) in [
        (ClientCertificates::Off, None, Some(&none)),
        (ClientCertificates::Off, Some(&ann), Some(&none)),
        (ClientCertificates::Optional, None, Some(&none)),
        (ClientCertificates::Optional, Some(&ann), Some(&names)),
        (ClientCertificates::Optional, Some(&eve), None),
        (ClientCertificates::Required, None, None),
        (ClientCertificates::Required, Some(&ann), Some(&names)),
        (ClientCertificates::Required, Some(&eve), None),
    ] {
        let tls = Tls::open(files.terms(clients)).expect("fine");
        let seen = shake(&tls, ours.roots(), client).map(|(names, _)| names);
        assert_eq!(seen.as_ref().ok(), wanted, "{clients:?} {seen:?}");
    }
    let tls = Tls::open(files.terms(ClientCertificates::Off)).expect("fine");
    assert!(shake(&tls, strangers.roots(), None).is_err(), "a client that does not know who signed us");
    let terms = TlsTerms { client_ca: None, ..files.terms(ClientCertificates::Required) };
    assert!(matches!(Tls::open(terms), Err(TlsError::NoClientCa)));
}

#[test]
fn a_renewed_certificate_is_used_and_a_broken_one_is_not() {
    let ours = Authority::new("ours");
    let files = Files::of(&ours.signs("book", &["book.example"]), &ours);
    let tls = Tls::open(files.terms(ClientCertificates::Off)).expect("fine");
    let (_, first) = shake(&tls, ours.roots(), None).expect("a connection");
    assert!(!tls.refresh().expect("fine"), "nothing has changed");
    files.put(&ours.signs("book", &["book.example"]));
    assert!(tls.refresh().expect("fine"));
    let (_, second) = shake(&tls, ours.roots(), None).expect("a connection");
    assert_ne!(first, second);
    // Half of a renewal: the chain is new, the key is another one's.
    std::fs::write(files.path("chain.pem"), ours.signs("book", &["book.example"]).chain).expect("written");
    assert!(matches!(tls.refresh(), Err(TlsError::Misfit { .. })));
    assert!(tls.refresh().is_err(), "and said again until it is mended");
    assert_eq!(shake(&tls, ours.roots(), None).expect("as before").1, second);
    files.put(&ours.signs("book", &["book.example"]));
    assert!(tls.refresh().expect("mended"));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let ours = Authority::new("ours");
    let good = ours.signs("book", &["book.example"]);
    let files = Files::of(&good, &ours);
    let open = || Tls::open(files.terms(ClientCertificates::Required)).map(|_| ()).expect_err("refused");
    std::fs::set_permissions(files.path("key.pem"), Permissions::from_mode(0o640)).expect("a mode");
    assert!(open().to_string().contains("key.pem: has mode 640"));
    files.put(&Pair { key: "-----BEGIN canary".into(), chain: good.chain.clone() });
    let error = open();
    assert!(matches!(&error, TlsError::NoKey { .. }) && !error.to_string().contains("canary"), "{error}");
    files.put(&Pair { key: ours.signs("other", &[]).key, chain: good.chain.clone() });
    assert!(matches!(open(), TlsError::Misfit { .. }));
    files.put(&Pair { key: good.key.clone(), chain: "nothing".into() });
    assert!(open().to_string().contains("chain.pem: has no certificate"));
    files.put(&good);
    std::fs::remove_file(files.path("ca.pem")).expect("removed");
    assert!(open().to_string().contains("ca.pem: cannot be read"));
}

#[test]
fn a_subject_that_is_no_subject_has_no_name() {
    for bytes in
        [&[][..], &[0x31], &[0x31, 0x05, 0x30], &[0x31, 0x02, 0x30, 0x00], &[0x31, 0x84, 0xff, 0xff, 0xff, 0xff]]
    {
        assert_eq!(common_name(bytes), None, "{bytes:x?}");
    }
    // Every prefix of a good one, and every single byte of it changed: no panic.
    let good = [&[0x31, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x03][..], b"Ann"].concat();
    assert_eq!(common_name(&good).as_deref(), Some("Ann"));
    for at in 0..good.len() {
        let _ = common_name(&good[..at]);
        for value in 0..=u8::MAX {
            let mut bytes = good.clone();
            bytes[at] = value;
            let _ = common_name(&bytes);
        }
    }
}
