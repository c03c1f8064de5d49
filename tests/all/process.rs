//! The real binary as a child process: started on free loopback ports, stopped by its own id, never left behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything in these tests: the machine may be very busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary: `LOTBOOK_BIN`, or the one that cargo puts beside the test programs, built if it is not there.
pub(crate) fn lotbook() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        if let Some(given) = std::env::var_os("LOTBOOK_BIN") {
            return given.into();
        }
        let mut beside = std::env::current_exe().expect("the path of this program");
        beside.pop();
        beside.pop();
        beside.push("lotbook");
        if !beside.is_file() {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["build", "--quiet", "-p", "lotbook-gateway", "--bin", "lotbook"]);
            if let Some(target) = beside.parent().and_then(Path::parent) {
                cargo.env("CARGO_TARGET_DIR", target);
            }
            assert!(cargo.status().expect("cargo").success(), "the binary does not build");
        }
        beside
    })
}

/// A command on the binary, deaf to the surroundings: no configuration in the working directory, no colours, no log level.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(lotbook());
    command.current_dir(dir).env_remove("LOTBOOK_LOG").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs to the end.
pub(crate) fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir).args(arguments).output().expect("the binary runs")
}

/// Runs to the end and expects an exit code; gives standard output and standard error.
#[track_caller]
pub(crate) fn expect(dir: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let output = run(dir, arguments);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "lotbook {}\n{out}\n{err}", arguments.join(" "));
    (out, err)
}

/// Both outputs as texts.
pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that is free now. Another process may take it before it is used; tests that can, bind to 0 instead.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Lines that a child has printed so far.
pub(crate) type Lines = Arc<Mutex<Vec<String>>>;

/// Collects the lines of a stream in a thread of its own.
pub(crate) fn collect(stream: impl std::io::Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let into = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            into.lock().expect("no panic while collecting").push(line);
        }
    });
    lines
}

/// A host.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
    /// Where its FIX door is.
    pub(crate) fix: SocketAddr,
    /// Where its HTTP door is.
    pub(crate) http: SocketAddr,
    /// What it says on standard error: JSON lines.
    pub(crate) log: Lines,
}

impl Serving {
    /// Starts `lotbook serve` on `DIR/data`, ports chosen by the system unless `arguments` say otherwise, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::spawn(&mut Self::command(dir, arguments))
    }

    /// The command that [`Serving::start`] runs.
    pub(crate) fn command(dir: &Path, arguments: &[&str]) -> Command {
        let mut command = command(dir);
        command.arg("serve").args(arguments);
        let given = |option: &str| arguments.contains(&option);
        if !given("--data-dir") && !given("--config") {
            command.arg("--data-dir").arg(dir.join("data"));
        }
        for door in ["--fix-listen", "--http-listen"] {
            if !given(door) {
                command.args([door, "127.0.0.1:0"]);
            }
        }
        command
    }

    /// Starts a command and waits until it says where it listens.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_stderr(command, Stdio::piped())
    }

    /// As [`Serving::spawn`], with a standard error of the caller's.
    #[track_caller]
    pub(crate) fn spawn_with_stderr(command: &mut Command, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the binary starts");
        let out = collect(child.stdout.take().expect("piped"));
        let log = child.stderr.take().map(collect).unwrap_or_default();
        let mut ready = None;
        until("a host that is ready", || {
            ready =
                out.lock().expect("no panic").iter().find_map(|line| line.strip_prefix("ready: ").map(str::to_owned));
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the host ended with {status}: {}", log.lock().expect("no panic").join("\n"));
            }
            ready.is_some()
        });
        let ready = ready.unwrap_or_default();
        let address = |name: &str| {
            let found = ready.split(' ').find_map(|word| word.strip_prefix(name)).expect(name);
            found.parse().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)))
        };
        Self { fix: address("fix="), http: address("http="), child, log }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the number is still its own.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0, "signal {signal}");
    }

    /// How it ended, within [`PATIENCE`].
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of the host", || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.unwrap_or_default()
    }

    /// Ends it in an orderly way and expects exit code 0.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(libc::SIGTERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }

    /// Ends it as `kill -9` does.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        self.signal(libc::SIGKILL);
        self.wait();
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Everything on its standard error so far.
    pub(crate) fn said(&self) -> String {
        self.log.lock().expect("no panic").join("\n")
    }

    /// Its log lines with this message.
    pub(crate) fn log_lines(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lock().expect("no panic");
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["message"] == message).collect()
    }

    /// What its HTTP door answers.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, "")
    }

    /// What it answers to commands, one a line.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, lines: &str) -> (u16, Value) {
        self.ask("POST", path, lines)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.http).expect("an open HTTP door");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let kind = if body.is_empty() { String::new() } else { "Content-Type: application/x-ndjson\r\n".to_owned() };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // In order if it can, so that nothing is left in shared memory; else at once.
            self.signal(libc::SIGTERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
