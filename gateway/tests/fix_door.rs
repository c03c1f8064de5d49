//! Who comes in through the FIX door, when, and how: logins, certificates, TLS, schedules, peers that do not read.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lotbook_core::Date;
use lotbook_core::limits::Limits;
use lotbook_core::rules::Rules;
use lotbook_engine::EngineConfig;
use lotbook_gateway::access::credentials::hash_password;
use lotbook_gateway::access::tls::provider;
use lotbook_gateway::access::{Access, AccessTerms, ClientCertificates, Tls, TlsTerms};
use lotbook_gateway::fix::acceptor::{AcceptorConfig, SessionTerms};
use lotbook_gateway::fix::encode::AckPolicy;
use lotbook_gateway::fix::stamp::Stamp;
use lotbook_gateway::office::OfficeTerms;
use lotbook_gateway::server::{Defaults, Server};
use lotbook_perf::wire::{self, Header};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "canary-7f3a-of-desk-1";

fn config() -> AcceptorConfig {
    AcceptorConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        comp_id: "LOTBOOK".into(),
        base_currency: None,
        ack: AckPolicy::Applied,
        sessions: Vec::new(),
        service_id: "test".into(),
        schedule: None,
        access: None,
        tls: None,
    }
}

fn serve(dir: &Path, config: AcceptorConfig) -> (Server, SocketAddr) {
    let mut engine = EngineConfig::new(dir.join("data"));
    std::fs::create_dir_all(dir.join("tails")).expect("a directory");
    engine.tail_dir = Some(dir.join("tails"));
    engine.segment_bytes = 1 << 20;
    engine.tail_blocks = 16;
    engine.trade_ids_max = 1 << 16;
    engine.limits = Limits { positions_max: 1 << 12, lots_max: 1 << 16, names_max: 1 << 12, ..Limits::HOST };
    let office = OfficeTerms::default();
    let defaults = Defaults { business_date: Date::parse("2020-03-05"), rules: Rules::DEFAULT, office };
    let (server, known) = Server::start(&engine, &defaults).expect("a host");
    let server = server.open_fix(config, known).expect("a door");
    let address = server.acceptor().expect("a door").local_addr;
    (server, address)
}

/// A socket of either kind.
trait Socket: Read + Write {}
impl<T: Read + Write> Socket for T {}

fn plain(to: SocketAddr) -> Box<dyn Socket> {
    let stream = TcpStream::connect(to).expect("an open door");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    Box::new(stream)
}

fn message(out: &mut Vec<u8>, kind: &str, sender: &str, number: u64, fields: &[(&str, &str)]) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let mut stamp = Stamp::default();
    let header = Header {
        msg_type: kind.as_bytes(),
        seq: number,
        sender: sender.as_bytes(),
        target: b"LOTBOOK",
        sending_time: stamp.text(since.as_nanos() as i64),
        poss_dup: false,
        poss_resend: false,
    };
    wire::write(out, &header, |out| {
        for (tag, value) in fields {
            wire::push(out, tag.as_bytes(), value.as_bytes());
        }
    });
}

/// Logs on, and gives number and type of the first message that comes; `None` where the connection ends without one.
fn log_on(socket: &mut dyn Socket, comp_id: &str, number: u64, more: &[(&str, &str)]) -> Option<(u64, String)> {
    let mut fields = vec![("98", "0"), ("108", "30")];
    fields.extend_from_slice(more);
    let mut bytes = Vec::new();
    message(&mut bytes, "A", comp_id, number, &fields);
    if socket.write_all(&bytes).is_err() {
        return None;
    }
    let mut read = Vec::new();
    loop {
        // What is no FIX is TLS's alert to one who speaks none.
        let framed = wire::frame(&read).ok()?;
        if let Some(length) = framed {
            let text = String::from_utf8_lossy(&read[..length]).into_owned();
            let get = |tag: &str| {
                let found = text.split('\u{1}').find_map(|field| field.strip_prefix(tag)?.strip_prefix('='));
                found.unwrap_or_default().to_owned()
            };
            return Some((get("34").parse().expect("a number"), get("35")));
        }
        let mut piece = [0; 4096];
        match socket.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&piece[..count]),
        }
    }
}

fn credentials(dir: &Path, certificates: &str) -> Arc<Access> {
    let hash = hash_password(SECRET.as_bytes()).expect("a hash");
    let other = hash_password(b"another word of twelve").expect("a hash");
    let text = format!(
        "[[password]]\nuser = \"DESK1\"\nrole = \"trader\"\nargon2 = \"{hash}\"\n\
         [[password]]\nuser = \"VIEW\"\nrole = \"viewer\"\nargon2 = \"{hash}\"\n\
         [[password]]\nuser = \"ann\"\nrole = \"trader\"\nargon2 = \"{other}\"\n{certificates}"
    );
    let path = dir.join("credentials.toml");
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
    Arc::new(Access::open(AccessTerms { credentials: Some(path), jwt: None }).expect("credentials"))
}

fn terms(comp_id: &str, user: Option<&str>, schedule: Option<&str>) -> SessionTerms {
    SessionTerms {
        comp_id: comp_id.into(),
        ack: AckPolicy::Applied,
        namespace: None,
        version: None,
        schedule: schedule.map(|text| text.parse().expect("a schedule")),
        user: user.map(str::to_owned),
    }
}

/// Whether the bytes are in any file below a directory.
fn holds(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => holds(&path, bytes),
            false => std::fs::read(&path).is_ok_and(|all| memchr::memmem::find(&all, bytes).is_some()),
        }
    })
}

#[test]
fn a_session_is_its_users_and_the_password_is_kept_nowhere() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let access = credentials(dir.path(), "");
    let sessions = vec![terms("DESK1", None, None), terms("DESK2", Some("ann"), None), terms("VIEW", None, None)];
    let (server, to) = serve(dir.path(), AcceptorConfig { access: Some(access), sessions, ..config() });
    let ask = |comp_id: &str, user: &str, password: &str| {
        let said: &[(&str, &str)] = if user.is_empty() { &[] } else { &[("553", user), ("554", password)] };
        log_on(&mut *plain(to), comp_id, 1, said).map(|(_, kind)| kind)
    };
    for (comp_id, user, password) in [
        ("DESK1", "", ""),
        ("DESK1", "DESK1", "another word of twelve"),
        ("DESK1", "nobody", SECRET),
        // Of another session, and of a role that does not trade.
        ("DESK1", "ann", "another word of twelve"),
        ("DESK2", "DESK1", SECRET),
        ("VIEW", "VIEW", SECRET),
    ] {
        assert_eq!(ask(comp_id, user, password), None, "{user} on {comp_id}");
    }
    assert_eq!(ask("DESK1", "DESK1", SECRET).as_deref(), Some("A"));
    assert_eq!(ask("DESK2", "ann", "another word of twelve").as_deref(), Some("A"));
    server.stop().expect("a clean end");
    assert!(holds(&dir.path().join("data"), b"\x01553=DESK1\x01"), "the wire log has the Logons");
    assert!(!holds(&dir.path().join("data"), SECRET.as_bytes()), "a password was written");
    assert!(!holds(&dir.path().join("tails"), SECRET.as_bytes()), "a password was written");
}

/// A certificate and its key, signed by an authority.
struct Pair {
    chain: String,
    key: String,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "The desks");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn signs(&self, name: &str) -> Pair {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { chain, key: key.serialize_pem() }
    }

    /// A connection through TLS, its certificate shown where there is one.
    fn connect(&self, to: SocketAddr, client: Option<&Pair>) -> Box<dyn Socket> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM")).expect("a root");
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("versions").with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.chain.as_bytes()).expect("PEM");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("PEM");
                builder.with_client_auth_cert(vec![chain], key).expect("a key that fits")
            }
        };
        let name = ServerName::try_from("book.example").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = TcpStream::connect(to).expect("an open door");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Box::new(StreamOwned::new(connection, stream))
    }
}

#[test]
fn tls_carries_sessions_and_a_certificate_is_a_login() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = Authority::new();
    let server = authority.signs("book.example");
    for (name, text, mode) in
        [("key.pem", &server.key, 0o600), ("chain.pem", &server.chain, 0o644), ("ca.pem", &authority.pem, 0o644)]
    {
        std::fs::write(dir.path().join(name), text).expect("written");
        std::fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).expect("a mode");
    }
    let path = |name: &str| dir.path().join(name);
    let tls = Tls::open(TlsTerms {
        certificate: path("chain.pem"),
        key: path("key.pem"),
        client_ca: Some(path("ca.pem")),
        clients: ClientCertificates::Optional,
    });
    let tls = Some(Arc::new(tls.expect("TLS")));
    let named = "[[certificate]]\nname = \"ann.example\"\nuser = \"ann\"\nrole = \"trader\"\n";
    let access = Some(credentials(dir.path(), named));
    let sessions = vec![terms("DESK1", None, None), terms("DESK2", Some("ann"), None)];
    let (host, to) = serve(dir.path(), AcceptorConfig { access, tls, sessions, ..config() });

    // A plain Logon is no TLS.
    assert_eq!(log_on(&mut *plain(to), "DESK1", 1, &[("553", "DESK1"), ("554", SECRET)]), None);
    // A password within TLS; a certificate in its place; another's certificate.
    let mut desk1 = authority.connect(to, None);
    assert_eq!(log_on(&mut *desk1, "DESK1", 1, &[("553", "DESK1"), ("554", SECRET)]), Some((1, "A".into())));
    let ann = authority.signs("ann.example");
    let mut desk2 = authority.connect(to, Some(&ann));
    assert_eq!(log_on(&mut *desk2, "DESK2", 1, &[]), Some((1, "A".into())));
    let eve = authority.signs("eve.example");
    assert_eq!(log_on(&mut *authority.connect(to, Some(&eve)), "DESK2", 1, &[]), None);
    // More than one record's worth in both directions: trades, and their answers.
    const TRADES: u64 = 2_000;
    let mut bytes = Vec::new();
    for number in 2..TRADES + 2 {
        let id = format!("T{number}");
        let fields =
            [("17", id.as_str()), ("150", "F"), ("1", "A"), ("55", "I"), ("54", "1"), ("32", "1"), ("31", "1")];
        message(&mut bytes, "8", "DESK1", number, &fields);
    }
    desk1.write_all(&bytes).expect("the host reads");
    let (mut read, mut answers) = (Vec::new(), 0);
    while answers < TRADES {
        while let Some(length) = wire::frame(&read).expect("well framed") {
            let is_answer = memchr::memmem::find(&read[..length], b"\x01outcome=applied").is_some()
                || memchr::memmem::find(&read[..length], b"58=outcome=applied").is_some();
            answers += u64::from(is_answer);
            read.drain(..length);
        }
        if answers < TRADES {
            let mut piece = [0; 16 << 10];
            let count = desk1.read(&mut piece).expect("answers in time");
            assert_ne!(count, 0);
            read.extend_from_slice(&piece[..count]);
        }
    }
    host.stop().expect("a clean end");
}

#[test]
fn numbers_begin_anew_with_the_next_window_and_nobody_logs_on_between() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let on = |schedule: &str, number: u64| {
        let sessions = vec![terms("DESK1", None, Some(schedule))];
        let (server, to) = serve(dir.path(), AcceptorConfig { sessions, ..config() });
        let mut socket = plain(to);
        let found = log_on(&mut *socket, "DESK1", number, &[]);
        // A lost connection, as far as the host can tell.
        drop(socket);
        server.stop().expect("a clean end");
        found
    };
    // Every edge lies hours from now, so that none falls into this test.
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let hour = (now.hour() + 12) % 24;
    let (day, elsewhere) = (format!("{hour:02}:00-{hour:02}:00 UTC"), format!("{hour:02}:00-{hour:02}:30 UTC"));
    let week = |days: i8| {
        const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let name = DAYS[usize::from((now.weekday().to_monday_zero_offset() + days).unsigned_abs()) % 7];
        format!("{name} 12:34-{name} 12:34 UTC")
    };
    assert_eq!(on(&day, 1), Some((1, "A".into())));
    let again = on(&day, 2).expect("an answer");
    assert_eq!(again.1, "A");
    assert!(again.0 > 1, "numbers go on within a window: {again:?}");
    // Windows that began at other times.
    assert_eq!(on(&week(2), 1), Some((1, "A".into())));
    assert_eq!(on(&week(4), 1), Some((1, "A".into())));
    assert_eq!(on(&elsewhere, 1), None);
}

/// The host stops reading from a peer that does not take its answers; then the peer counts as silent, and is cut.
#[test]
fn a_peer_that_reads_nothing_is_cut_and_others_are_served() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (server, to) = serve(dir.path(), config());
    let mut stuck = TcpStream::connect(to).expect("an open door");
    stuck.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    let mut bytes = Vec::new();
    message(&mut bytes, "A", "STUCK", 1, &[("98", "0"), ("108", "1")]);
    stuck.write_all(&bytes).expect("written");
    let (began, mut number) = (Instant::now(), 2);
    let error = loop {
        assert!(began.elapsed() < PATIENCE * 2, "never cut after {number} messages");
        bytes.clear();
        for _ in 0..64 {
            // Refused at once, and answered: what is of interest is the answers' way.
            message(&mut bytes, "D", "STUCK", number, &[("11", "X")]);
            number += 1;
        }
        if let Err(error) = stuck.write_all(&bytes) {
            break error;
        }
    };
    assert!(!matches!(error.kind(), std::io::ErrorKind::WouldBlock), "the host neither reads nor cuts: {error}");
    let mut other = plain(to);
    assert_eq!(log_on(&mut *other, "OTHER", 1, &[]), Some((1, "A".into())));
    drop(other);
    server.stop().expect("a clean end");
}
