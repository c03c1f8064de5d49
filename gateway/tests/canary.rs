//! A canary in every secret that a host is told, and everything that a host says or leaves searched for it: a secret that sings
//! anywhere has leaked.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Longest wait for anything: the machine may be very busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// In each secret, raw or as base64.
const SHARED_KEY_BASE64: &str = "Y2FuYXJ5LW9mLXRoZS1zaGFyZWQta2V5LTAxMjM0NTY3ODk";
const REDIS_PASSWORD: &str = "canary-of-redis-4711";
const POSTGRES_PASSWORD: &str = "canary-of-postgres-4711";
const FIX_PASSWORD: &str = "canary-of-the-logon-4711";
const WRONG_TOKEN: &str = "lb_canary0id_canary-of-a-wrong-token";
const PRIVATE_KEY: &str = "Y2FuYXJ5LW9mLWEtcHJpdmF0ZS1rZXk";

fn secret(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// Logs on at the FIX door with a password, and out again; gives what is answered.
fn log_on(at: SocketAddr, password: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H:%M:%S").to_string();
    let message = |number: u32, kind: &str, fields: &str| {
        let body = format!("35={kind}|49=DESK1|56=LOTBOOK|34={number}|52={now}|{fields}").replace('|', "\u{1}");
        let text = format!("8=FIX.4.4\u{1}9={}\u{1}{body}", body.len());
        let sum = text.bytes().fold(0u8, u8::wrapping_add);
        format!("{text}10={sum:03}\u{1}")
    };
    let mut stream = TcpStream::connect(at).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let words = message(1, "A", &format!("98=0|108=60|141=Y|553=DESK1|554={password}|")) + &message(2, "5", "");
    stream.write_all(words.as_bytes()).expect("sent");
    let mut answer = String::new();
    // It ends with the answered Logout, or at once: a stranger may be cut off.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// A command on the binary, deaf to the surroundings.
fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lotbook"));
    command.current_dir(dir).env_remove("LOTBOOK_LOG").env("NO_COLOR", "1").args(arguments).stdin(Stdio::null());
    command
}

fn texts(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().expect("the binary runs")
}

/// A host, killed when it is dropped.
struct Serving(Child);

impl Serving {
    /// Starts one that logs everything to a file; gives where its doors for HTTP and FIX are.
    fn start(dir: &Path) -> (Self, SocketAddr, SocketAddr) {
        let log = std::fs::File::create(dir.join("log")).expect("a file");
        let mut command = command(dir, &["serve", "--config", "lotbook.toml"]);
        let mut child =
            command.env("LOTBOOK_LOG", "trace").stdout(Stdio::piped()).stderr(log).spawn().expect("it starts");
        let mut ready = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut ready).expect("a line");
        let host = Self(child);
        let door = |name: &str| {
            let at = ready.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            at.and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("no host: {ready}"))
        };
        (host, door("http"), door("fix"))
    }

    fn stop(mut self) {
        // SAFETY: a plain system call; the child was not waited for, so its number is still its own.
        unsafe { libc::kill(i32::try_from(self.0.id()).expect("a process id"), libc::SIGTERM) };
        assert!(self.0.wait().expect("a child of ours").success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a head as it is, and gives whatever comes back.
fn ask(at: SocketAddr, method: &str, path: &str, authorization: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if !authorization.is_empty() {
        write!(head, "Authorization: {authorization}\r\n").expect("to a text");
    }
    write!(head, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("to a text");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // A head that is too long is answered while it is sent: the connection may end hard.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Everything below a directory, names and contents.
fn everything(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            everything(&entry, found);
        } else {
            found.push((entry.display().to_string(), std::fs::read(&entry).unwrap_or_default()));
        }
    }
}

fn has(text: &[u8], needle: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[test]
fn no_secret_is_ever_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    let jwks = format!(
        "{{\"keys\": [{{\"kty\": \"oct\", \"kid\": \"k\", \"alg\": \"HS256\", \"k\": \"{SHARED_KEY_BASE64}\"}}]}}"
    );
    secret(root, "jwks.json", &jwks);
    secret(root, "redis.txt", REDIS_PASSWORD);
    secret(root, "postgres.txt", POSTGRES_PASSWORD);
    let token = |arguments: &[&str]| {
        let output = run(root, &[&["token"][..], arguments].concat());
        assert!(output.status.success(), "{}", texts(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let good = token(&["new", "--user", "ann", "--role", "admin"]).trim().to_owned();
    let kept = command(root, &["token", "password", "--user", "DESK1", "--role", "trader"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            child.stdin.take().expect("piped").write_all(FIX_PASSWORD.as_bytes())?;
            child.wait_with_output()
        })
        .expect("the binary runs");
    assert!(kept.status.success(), "{kept:?}");
    // Nobody is at these addresses: the sinks fail, and say so.
    let nobody = TcpListener::bind(("127.0.0.1", 0)).and_then(|gone| gone.local_addr()).expect("a port").port();
    let text = format!(
        "[data]\ndir = \"data\"\ntail_dir = \"tail\"\nsegment_mib = 1\ntail_mib = 1\n\n[engine.limits]\npositions_max = 16384\nlots_max = 65536\n\
         trade_ids_max = 65536\n\n[fix]\nlisten = \"127.0.0.1:0\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n\n[auth]\n\
         credentials = \"credentials.toml\"\njwt_keys = \"jwks.json\"\njwt_issuer = \"i\"\n\n[archive.redis]\n\
         address = \"127.0.0.1:{nobody}\"\npassword_file = \"redis.txt\"\n\n[archive.postgres]\n\
         url = \"postgres://book@127.0.0.1:{nobody}/book\"\npassword_file = \"postgres.txt\"\n"
    );
    std::fs::create_dir(root.join("tail")).expect("a directory");
    std::fs::write(root.join("lotbook.toml"), text).expect("written");

    let mut heard = Vec::new();
    let mut hears = |what: &str, text: String| heard.push((what.to_owned(), text.into_bytes()));
    hears("token list", token(&["list"]));
    hears("token list --json", token(&["list", "--json"]));
    hears("token password", texts(&kept));
    for arguments in [&["config", "show", "--effective"][..], &["config", "check"], &["serve", "--print-config"]] {
        let output = run(root, arguments);
        hears(&arguments.join(" "), texts(&output));
    }
    let (host, at, fix) = Serving::start(root);
    for (password, answered) in [(FIX_PASSWORD, true), (WRONG_TOKEN, false)] {
        assert_eq!(log_on(fix, password).contains("35=A\u{1}"), answered, "{password}");
    }
    let bearer = format!("Bearer {good}");
    let forged = format!("Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.e30.{SHARED_KEY_BASE64}");
    let long = format!("Bearer {}", WRONG_TOKEN.repeat(2_000));
    for (authorization, status) in [
        (bearer.as_str(), "200"),
        ("", "401"),
        (&format!("Bearer {WRONG_TOKEN}"), "401"),
        (&format!("Basic {REDIS_PASSWORD}"), "401"),
        (&forged, "401"),
        (&long, "431"),
    ] {
        for path in ["/v1/positions", "/metrics", "/health/detailed", "/v1/access", "/v1/stream", "/v1/audit"] {
            // A stream does not end.
            if path == "/v1/stream" && status == "200" {
                continue;
            }
            // So many wrong credentials from one source must wait for their turn.
            let answer = loop {
                let answer = ask(at, "GET", path, authorization, "");
                if !answer.starts_with("HTTP/1.1 429") {
                    break answer;
                }
                hears("429", answer);
                std::thread::sleep(Duration::from_millis(200));
            };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {authorization:.20}: {answer}");
            hears(path, answer);
        }
    }
    hears("pause", ask(at, "POST", "/v1/coldpath", &bearer, "{\"do\": \"pause\"}"));
    hears("openapi", ask(at, "GET", "/openapi.json", "", ""));
    hears("health", ask(at, "GET", "/health", "", ""));
    host.stop();
    let said = std::fs::read_to_string(root.join("log")).expect("the log");
    assert!(
        said.contains("\"level\":\"DEBUG\"") || said.contains("\"level\":\"TRACE\""),
        "everything is logged: {said}"
    );
    hears("the log", said);
    let dump = run(root, &["wal", "dump", "data"]);
    hears("wal dump", texts(&dump));

    // Files that cannot be used are told, and not shown.
    secret(root, "key.pem", &format!("-----BEGIN PRIVATE KEY-----\n{PRIVATE_KEY}\n-----END PRIVATE KEY-----\n"));
    secret(root, "odd.toml", &format!("[[token]]\nid = \"{POSTGRES_PASSWORD}\nsha256 = \"{REDIS_PASSWORD}\"\n"));
    for sections in [
        "[tls]\ncertificate = \"key.pem\"\nkey = \"key.pem\"\n",
        "[auth]\ncredentials = \"odd.toml\"\n",
        "[auth]\njwt_keys = \"redis.txt\"\njwt_issuer = \"i\"\n",
    ] {
        std::fs::write(root.join("odd-host.toml"), format!("[data]\ndir = \"odd\"\ntail_dir = \"tail\"\n{sections}"))
            .expect("written");
        let output = run(root, &["serve", "--config", "odd-host.toml"]);
        assert_eq!(output.status.code(), Some(3), "{sections}: {}", texts(&output));
        hears(sections, texts(&output));
    }
    for left in ["data", "tail"] {
        everything(&root.join(left), &mut heard);
    }
    heard.push(("credentials.toml".into(), std::fs::read(root.join("credentials.toml")).expect("there")));

    let good_secret = good.rsplit('_').next().expect("three parts").to_owned();
    // The word is in all that are texts, and its base64 in the others.
    let canaries = ["canary", "Y2FuYXJ5", good_secret.as_str()];
    let bytes: usize = heard.iter().map(|(_, text)| text.len()).sum();
    for (what, text) in &heard {
        for canary in canaries {
            assert!(!has(text, canary.as_bytes()), "{canary} in {what}: {}", String::from_utf8_lossy(text));
        }
    }
    println!("{} canaries, {} places, {bytes} bytes: none sings", canaries.len(), heard.len());

    // And what the host has made is its owner's alone.
    let mut made = Vec::new();
    everything(&root.join("data"), &mut made);
    for (path, _) in made {
        let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{path} has mode {mode:o}");
    }
    let mode = std::fs::metadata(root.join("data")).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "the data directory");
}
