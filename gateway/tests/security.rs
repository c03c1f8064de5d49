//! Who comes in at the HTTP door, and who does not: every endpoint with every kind of credential, and bounds that hold.

mod support;

use std::fs::Permissions;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lotbook_gateway::access::credentials::{Certificate, CredentialsFile, new_token};
use lotbook_gateway::access::{Access, AccessTerms, ClientCertificates, Privilege, Role, Tls, TlsTerms, Trail, tls};
use lotbook_gateway::http::endpoints::{Body, ENDPOINTS, Endpoint};
use lotbook_gateway::http::{DoorTerms, Health, HttpServer, HttpState, Operator, serve, serve_health};
use lotbook_gateway::office::{Office, OfficeTerms};
use lotbook_gateway::resolver::Resolver;
use lotbook_wal::Retention;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use support::Rig;

const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const PATIENCE: Duration = Duration::from_secs(60);
const YEAR_S: i64 = 365 * 86_400;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Reads the head and what of the body there is: of a stream that does not end, the head alone.
fn read(stream: &mut impl Read) -> Answer {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse::<usize>().ok());
            let is_whole = head.contains("text/event-stream") || length.is_some_and(|length| body.len() >= length);
            if is_whole {
                let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
                return Answer { status, head, body: body.into() };
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) => panic!("it ends too early: {text}"),
            Ok(read) => bytes.extend(&chunk[..read]),
            Err(error) => panic!("{error}: {text}"),
        }
    }
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

fn ask(at: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let mut headers = "Content-Type: application/json\r\n".to_owned();
    if !token.is_empty() {
        headers.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    let mut stream = connect(at);
    stream.write_all(request(method, path, &headers, body).as_bytes()).expect("sent");
    read(&mut stream)
}

/// A token of each role, one that has expired, and the file that knows them.
struct Tokens {
    by_role: Vec<(Role, String)>,
    expired: String,
    file: CredentialsFile,
}

impl Tokens {
    fn new() -> Self {
        let now_s = 1_700_000_000;
        let made =
            |role: Role, expires_s| new_token(role.as_str(), role, now_s, Some(expires_s)).expect("random numbers");
        let mut file = CredentialsFile::default();
        let mut by_role = Vec::new();
        for role in Role::ALL {
            let token = made(role, now_s + 200 * YEAR_S);
            by_role.push((role, token.bearer));
            file.tokens.push(token.entry);
        }
        let expired = made(Role::Admin, now_s + 1);
        file.tokens.push(expired.entry);
        file.certificates.push(Certificate { name: "ann.desk.example".into(), user: "ann".into(), role: Role::Viewer });
        Self { by_role, expired: expired.bearer, file }
    }

    fn of(&self, role: Role) -> &str {
        self.by_role.iter().find(|(other, _)| *other == role).map(|(_, token)| token.as_str()).expect("a token")
    }

    fn access(&self, dir: &Path) -> Arc<Access> {
        let path = dir.join("credentials.toml");
        write(&path, &self.file.to_toml());
        let terms = AccessTerms { credentials: Some(path), jwt: None };
        Arc::new(Access::open(terms).expect("credentials"))
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a mode");
}

fn state(rig: &mut Rig) -> HttpState {
    let door = rig.host.open_door().expect("a door");
    let operator = Operator::new(door, Resolver::new(rig.host.directory().clone(), "lotbook"));
    let mut state = HttpState::of(&rig.host, Arc::new(Health::default)).with_operator(operator);
    state.terms.failures_per_second = 1_000_000;
    state
}

fn guarded(rig: &mut Rig, dir: &Path) -> (HttpServer, Tokens) {
    let tokens = Tokens::new();
    let mut state = state(rig);
    state.access = Some(tokens.access(dir));
    state.trail = Some(Arc::new(Trail::open(dir).expect("a trail")));
    let office = Office::open(dir, None, &Retention::default(), OfficeTerms::default()).expect("an office");
    state.office = Some(Arc::new(office));
    (serve(ANY_PORT.into(), state).expect("a free port"), tokens)
}

/// A path that is served, and a body that changes nothing.
fn sample(endpoint: &Endpoint) -> (String, &'static str) {
    let path = endpoint.path.replace("{account}", "A1").replace("{*instrument}", "EUR/USD");
    let path = path.replace("{letter}", "x").replace("{deed}", "discard");
    let body = match endpoint.body {
        Body::None => "",
        // The line is a trader's, so that each role that may use the endpoint may send it.
        Body::Lines => r#"{"type": "cancel", "trade_id": "", "cancels": "t"}"#,
        Body::Json(_) => r#"{"do": "nothing", "type": "nothing"}"#,
    };
    (path, body)
}

#[test]
fn every_endpoint_with_every_credential() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    let (server, tokens) = guarded(&mut rig, dir.path());
    let at = server.local_addr;
    let wrong = format!("{}0", &tokens.of(Role::Admin)[..tokens.of(Role::Admin).len() - 1]);
    let wrong = if wrong == tokens.of(Role::Admin) { wrong.replace('0', "1") } else { wrong };
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJhZG1pbiJ9.";
    let strangers = [("none", ""), ("wrong", &wrong), ("expired", &tokens.expired), ("unsigned", jwt)];
    let mut asked = 0;
    for endpoint in ENDPOINTS {
        let (path, body) = sample(endpoint);
        let ask = |token: &str| ask(at, endpoint.method, &path, token, body);
        let is_open = endpoint.privilege == Privilege::Open;
        for (kind, token) in strangers {
            let answer = ask(token);
            assert_eq!(answer.status == 401, !is_open, "{path} {kind}: {}", answer.body);
            if !is_open {
                assert_eq!(answer.json()["type"], "/problems/unauthorized", "{path} {kind}");
                assert!(answer.head.contains("www-authenticate: bearer"), "{path} {kind}: {}", answer.head);
            }
            asked += 1;
        }
        for (role, token) in &tokens.by_role {
            let answer = ask(token);
            let may = role.may(endpoint.privilege);
            assert_eq!(answer.status == 403, !may, "{path} {role}: {} {}", answer.status, answer.body);
            assert_ne!(answer.status, 401, "{path} {role}");
            assert!(
                answer.status < 500 && answer.status != 404 || path.contains("/A1/"),
                "{path} {role}: {}",
                answer.body
            );
            asked += 1;
        }
    }
    println!("{} endpoints, {asked} requests", ENDPOINTS.len());
    // A credential in another form is none.
    for header in ["Basic YWRtaW46YWRtaW4=", "Bearer", "", &format!("Token {}", tokens.of(Role::Admin))] {
        let mut stream = connect(at);
        let head = format!("Authorization: {header}\r\n");
        stream.write_all(request("GET", "/v1/positions", &head, "").as_bytes()).expect("sent");
        assert_eq!(read(&mut stream).status, 401, "{header}");
    }
    let twice = format!("Authorization: Bearer {0}\r\nAuthorization: Bearer {0}\r\n", tokens.of(Role::Admin));
    let mut stream = connect(at);
    stream.write_all(request("GET", "/v1/positions", &twice, "").as_bytes()).expect("sent");
    assert_eq!(read(&mut stream).status, 401, "two of them");
    // HEAD is GET without a body, and no way around.
    assert_eq!(ask(at, "GET", "/v1/nowhere", "", "").status, 404);
    let mut stream = connect(at);
    stream.write_all(b"HEAD /v1/positions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    server.stop();
    rig.host.stop().expect("a clean stop");
}

#[test]
fn the_credential_signs_what_is_recorded() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    rig.lay_the_table();
    let (server, tokens) = guarded(&mut rig, dir.path());
    let at = server.local_addr;
    let trade = |id: &str, user: Option<&str>| {
        let mut line = json!({"type": "trade", "trade_id": id, "account": "A1", "instrument": "X", "side": "buy", "quantity": "1",
            "price": "10", "effective_date": "2020-03-05"});
        if let Some(user) = user {
            line["user_id"] = user.into();
        }
        line.to_string()
    };
    let (trader, operator) = (tokens.of(Role::Trader), tokens.of(Role::Operator));
    let auditor = tokens.of(Role::Auditor);
    let refused = ask(at, "POST", "/v1/commands", trader, &trade("t0", Some("eve")));
    assert_eq!((refused.status, &refused.json()["parameter"]), (403, &json!("user_id")), "{}", refused.body);
    for (id, user) in [("t1", None), ("t2", Some("trader"))] {
        let done = ask(at, "POST", "/v1/commands", trader, &trade(id, user));
        assert_eq!(done.status, 200, "{}", done.body);
    }
    let found = ask(at, "GET", "/v1/audit?user_id=trader", auditor, "").json();
    let ids: Vec<&Value> = found["events"].as_array().expect("events").iter().map(|event| &event["trade_id"]).collect();
    assert_eq!(ids, ["t1", "t2"], "{found:#}");
    assert_eq!(ask(at, "GET", "/v1/audit?user_id=eve", auditor, "").json()["events"], json!([]));

    // What changes rules is an operator's, though the endpoint is a trader's as well; one such line refuses the whole body.
    let contract =
        json!({"type": "contract", "contract_id": "K", "lot_method": "LIFO", "effective_date": "2020-03-05"});
    let refused = ask(at, "POST", "/v1/commands", trader, &contract.to_string());
    assert_eq!((refused.status, &refused.json()["parameter"]), (403, &json!("type")), "{}", refused.body);
    assert_eq!(ask(at, "POST", "/v1/commands", operator, &contract.to_string()).status, 200);
    for wish in ["pause", "resume"] {
        let done = ask(at, "POST", "/v1/coldpath", operator, &json!({ "do": wish }).to_string());
        assert_eq!(done.status, 200, "{}", done.body);
    }
    let resolve = json!({"type": "resolve", "account": "A1", "instrument": "X", "reason": "looked at"});
    let resolved = ask(at, "POST", "/v1/resolutions", operator, &resolve.to_string());
    assert_eq!((resolved.status, &resolved.json()["code"]), (409, &json!("NOT_PENDING")), "a user is not wanted");
    let trail = ask(at, "GET", "/v1/access?limit=2", auditor, "").json();
    assert_eq!((&trail["next"], &trail["broken_at"]), (&json!(2), &Value::Null), "{trail:#}");
    let rest = ask(at, "GET", "/v1/access?after=2", auditor, "").json();
    let lines = [&trail["lines"], &rest["lines"]].map(|lines| lines.as_array().expect("lines").clone()).concat();
    let told: Vec<(&Value, &Value)> = lines.iter().map(|line| (&line["action"], &line["detail"])).collect();
    assert_eq!(
        told,
        [
            (&json!("POST /v1/commands"), &json!({"contract": 1})),
            (&json!("POST /v1/coldpath"), &json!({"do": "pause"})),
            (&json!("POST /v1/coldpath"), &json!({"do": "resume"})),
            (
                &json!("POST /v1/resolutions"),
                &json!({"account": "A1", "instrument": "X", "reason": "looked at", "user_id": "operator"})
            ),
        ],
    );
    for line in &lines {
        assert_eq!((&line["user"], &line["role"]), (&json!("operator"), &json!("operator")), "{line}");
        assert_eq!(line["source"], "127.0.0.1");
    }
    server.stop();
    rig.host.stop().expect("a clean stop");
}

/// What a host is told of TLS, and a client with a certificate or without.
struct World {
    ca: String,
    client: (String, String),
}

fn world(dir: &Path) -> (World, TlsTerms) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let pair = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &issuer).expect("a certificate").pem(), key.serialize_pem())
    };
    let (chain, key) = pair("localhost");
    for (name, text) in [("chain.pem", &chain), ("key.pem", &key), ("ca.pem", &ca)] {
        write(&dir.join(name), text);
    }
    let terms = TlsTerms {
        certificate: dir.join("chain.pem"),
        key: dir.join("key.pem"),
        client_ca: Some(dir.join("ca.pem")),
        clients: ClientCertificates::Optional,
    };
    (World { ca, client: pair("ann.desk.example") }, terms)
}

impl World {
    fn ask(&self, at: SocketAddr, path: &str, headers: &str, with_certificate: bool) -> Answer {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes()).expect("PEM")).expect("a root");
        let builder = rustls::ClientConfig::builder_with_provider(tls::provider());
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
        let config = if with_certificate {
            let chain = CertificateDer::from_pem_slice(self.client.0.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(self.client.1.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![chain], key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = rustls::StreamOwned::new(client, connect(at));
        stream.write_all(request("GET", path, headers, "").as_bytes()).expect("sent");
        read(&mut stream)
    }
}

#[test]
fn tls_and_certificates() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    let (world, terms) = world(dir.path());
    let tokens = Tokens::new();
    let mut state = state(&mut rig);
    state.access = Some(tokens.access(dir.path()));
    state.tls = Some(Arc::new(Tls::open(terms).expect("TLS")));
    // With both it may listen anywhere.
    let server = serve(([0, 0, 0, 0], 0).into(), state).expect("a free port");
    let at = SocketAddr::from(([127, 0, 0, 1], server.local_addr.port()));
    assert_eq!(world.ask(at, "/health", "", false).status, 200);
    assert_eq!(world.ask(at, "/v1/positions", "", false).status, 401);
    assert_eq!(world.ask(at, "/v1/positions", "", true).status, 200, "a viewer by certificate");
    assert_eq!(world.ask(at, "/v1/audit", "", true).status, 403);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(world.ask(at, "/v1/audit", &bearer(tokens.of(Role::Auditor)), true).status, 200, "the token counts");
    assert_eq!(world.ask(at, "/v1/positions", &bearer("lb_x_y"), true).status, 401, "and if it is wrong, too");
    // Who speaks plain to it is not answered.
    let mut plain = connect(at);
    plain.write_all(request("GET", "/health", "", "").as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    server.stop();
    rig.host.stop().expect("a clean stop");
}

#[test]
fn bounds_of_requests() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    let mut state = state(&mut rig);
    state.terms.head_patience = Duration::from_millis(500);
    state.terms.body_patience = Duration::from_millis(500);
    let server = serve(ANY_PORT.into(), state).expect("a free port");
    let at = server.local_addr;
    let answer = ask(at, "POST", "/v1/resolutions", "", &"x".repeat(4097));
    assert_eq!((answer.status, &answer.json()["type"]), (413, &json!("/problems/too-large")));
    let answer = ask(at, "POST", "/v1/commands", "", &"x".repeat(4097));
    assert_eq!(answer.status, 400, "here it may be longer: {}", answer.body);
    // A head without end, and one with too many lines.
    for head in [format!("X: {}\r\n", "x".repeat(40 << 10)), "X: y\r\n".repeat(100)] {
        let mut stream = connect(at);
        let _ = stream.write_all(request("GET", "/health", &head, "").as_bytes());
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        assert!(text.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&text));
    }
    // A head that comes too slowly: the connection ends, whatever else comes.
    let mut stream = connect(at);
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: loc").expect("sent");
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => assert!(!text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text)),
        Err(error) => assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
    }
    // A body that does not come.
    let mut stream = connect(at);
    let head = "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("sent");
    let answer = read(&mut stream);
    assert_eq!((answer.status, &answer.json()["type"]), (408, &json!("/problems/too-slow")));
    // Another name for this machine, as a page of another origin would have it.
    let mut stream = connect(at);
    stream.write_all(b"GET /v1/positions HTTP/1.1\r\nHost: evil.example\r\n\r\n").expect("sent");
    assert_eq!(read(&mut stream).status, 421);
    server.stop();
    rig.host.stop().expect("a clean stop");
}

/// A hundred requests in one write against one a second: whatever the machine does, they do not last a hundred seconds.
#[test]
fn too_often_is_said() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    for failures in [false, true] {
        let mut state = state(&mut rig);
        if failures {
            state.access = Some(Tokens::new().access(dir.path()));
            state.terms.failures_per_second = 1;
        } else {
            state.terms.requests_per_second = 1;
        }
        let server = serve(ANY_PORT.into(), state).expect("a free port");
        let mut stream = connect(server.local_addr);
        stream.write_all(request("GET", "/v1/positions", "", "").repeat(100).as_bytes()).expect("sent");
        let mut text = String::new();
        let mut chunk = [0; 4096];
        while text.matches("HTTP/1.1 ").count() < 100 {
            let read = stream.read(&mut chunk).expect("answers");
            assert!(read > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        let first = if failures { "HTTP/1.1 401" } else { "HTTP/1.1 200" };
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("HTTP/1.1 429") && text.contains("retry-after: 1"), "{text}");
        server.stop();
    }
    rig.host.stop().expect("a clean stop");
}

/// Whoever opens connections and says nothing keeps nobody out. The long form opens ten thousand.
#[test]
fn idle_connections_make_room() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut rig = Rig::start(dir.path());
    let (many, max) = if std::env::var_os("LOTBOOK_LONG").is_some() { (10_000, 1_024) } else { (300, 50) };
    let many = many.min(descriptors().saturating_sub(200));
    let mut state = state(&mut rig);
    state.terms = DoorTerms { connections_max: max, head_patience: Duration::from_secs(600), ..state.terms };
    let health = serve_health(ANY_PORT.into(), state.clone()).expect("a free port");
    let server = serve(ANY_PORT.into(), state).expect("a free port");
    let mut idle: Vec<TcpStream> = (0..many).map(|_| connect(server.local_addr)).collect();
    for path in ["/health", "/v1/positions"] {
        assert_eq!(ask(server.local_addr, "GET", path, "", "").status, 200, "{path}");
    }
    assert_eq!(ask(health.local_addr, "GET", "/health/liveness", "", "").status, 200);
    assert_eq!(ask(health.local_addr, "GET", "/v1/positions", "", "").status, 404, "only health there");
    let page = ask(server.local_addr, "GET", "/metrics", "", "").body;
    let figure = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {page}"));
        line.rsplit(' ').next().and_then(|value| value.parse::<usize>().ok()).expect("a number")
    };
    let closed = figure("lotbook_http_connections_closed_total{state=\"idle\"}");
    // Three more came to ask, and two of them are gone by themselves.
    assert!(closed > many - max, "{closed} of {many} were closed for others, and {max} may be open");
    assert_eq!(figure("lotbook_http_connections_closed_total{state=\"new\"}"), 0);
    // The oldest one has been closed; nothing was ever sent to it.
    let mut byte = [0];
    assert!(!matches!(idle[0].read(&mut byte), Ok(1..)), "something was said to it");
    println!("{many} idle connections, {max} open at most, {closed} closed for others");
    drop(idle);
    server.stop();
    health.stop();
    rig.host.stop().expect("a clean stop");
}

/// As many descriptors as this process may have, for both ends of each connection: halved.
fn descriptors() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes a structure of this frame.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    usize::try_from(limit.rlim_cur / 2).unwrap_or(usize::MAX)
}
