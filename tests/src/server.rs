//! `lotbook serve` as a child process: started from a configuration file, killed without a word.
//!
//! Everything a host leaves behind lies in two temporary directories that end with the [`Place`]: the data directory, and a private
//! directory for the mapped tails (on shared memory where there is any).

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::rig::PATIENCE;

const SHARED_MEMORY: &str = "/dev/shm";

/// The `lotbook` program: `LOTBOOK_BIN`, else the one beside the tests, built when it is not there.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(given) = std::env::var_os("LOTBOOK_BIN") {
            return given.into();
        }
        let test = std::env::current_exe().expect("the test's own path");
        let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
        let path = profile.join("lotbook");
        if !path.exists() {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["build", "-p", "lotbook-gateway", "--bin", "lotbook", "--target-dir"]);
            cargo.arg(profile.parent().expect("the target directory"));
            if profile.ends_with("release") {
                cargo.arg("--release");
            }
            let built = cargo.status().expect("cargo");
            assert!(built.success(), "building lotbook: {built}");
        }
        path
    })
}

/// What the configuration file says, as far as tests vary it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// CompIDs and their acknowledgement, `applied` or `durable`.
    pub sessions: Vec<(String, &'static str)>,
    /// Records between two checkpoints.
    pub checkpoint_records: u64,
    /// Business date of a new log.
    pub business_date: String,
    /// Trade ids that the host remembers.
    pub trade_ids_max: usize,
}

impl Default for Terms {
    /// No session, and a checkpoint every few records.
    fn default() -> Self {
        Self {
            sessions: vec![],
            checkpoint_records: 50,
            business_date: "2020-01-31".to_owned(),
            trade_ids_max: 1 << 16,
        }
    }
}

/// Where a host lives.
#[derive(Debug)]
pub struct Place {
    root: TempDir,
    tails: TempDir,
}

impl Place {
    /// An empty place with the configuration file of a host.
    #[must_use]
    pub fn new(terms: &Terms) -> Self {
        let root = TempDir::with_prefix("lotbook-crash-").expect("a temporary directory");
        let shared = Path::new(SHARED_MEMORY);
        let tails = if shared.is_dir() {
            TempDir::with_prefix_in("lotbook-crash-", shared)
        } else {
            TempDir::with_prefix("lotbook-crash-tails-")
        };
        let place = Self { root, tails: tails.expect("a temporary directory") };
        let mut text = format!(
            "[data]\ndir = \"{}\"\ntail_dir = \"{}\"\nsegment_mib = 1\n\n[engine.limits]\npositions_max = 16384\nlots_max = 4194304\n\
             trade_ids_max = {}\n\n[fix]\nlisten = \"127.0.0.1:0\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n\n[business]\ndate = \"{}\"\n\
             allow_short = true\n\n[checkpoint]\nevery_records = {}\n",
            place.data_dir().display(),
            place.tail_dir().display(),
            terms.trade_ids_max,
            terms.business_date,
            terms.checkpoint_records,
        );
        for (comp_id, ack) in &terms.sessions {
            text.push_str(&format!("\n[[fix.session]]\ncomp_id = \"{comp_id}\"\nack = \"{ack}\"\n"));
        }
        std::fs::write(place.config(), text).expect("the configuration file");
        place
    }

    /// Says more in the configuration file: whole sections.
    pub fn configure(&self, sections: &str) {
        let mut file = File::options().append(true).open(self.config()).expect("the configuration file");
        file.write_all(sections.as_bytes()).expect("room for it");
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.path().join("lotbook.toml")
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// The directory of the mapped tails.
    #[must_use]
    pub fn tail_dir(&self) -> &Path {
        self.tails.path()
    }

    /// Where the standard error of each host is collected.
    #[must_use]
    pub fn said_path(&self) -> PathBuf {
        self.root.path().join("stderr")
    }

    /// What the last host said on its standard error.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read(self.said_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Starts a process and does not wait for it to be ready.
    #[must_use]
    pub fn spawn(&self) -> Starting {
        let said = File::create(self.said_path()).expect("a file for the standard error");
        let mut command = Command::new(program());
        command.arg("serve").arg("--config").arg(self.config());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said);
        // SAFETY: prctl is async-signal-safe and takes plain numbers. A test that dies takes its host along.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program().display()));
        let out = child.stdout.take().expect("piped");
        let (lines_in, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = lines_in.send(line);
            }
        });
        Starting { process: Process { child }, lines }
    }

    /// Starts a host and waits until it serves.
    #[must_use]
    pub fn start(&self) -> Served {
        self.spawn().ready().unwrap_or_else(|status| panic!("lotbook serve ended ({status}):\n{}", self.said()))
    }
}

/// A child process that is killed and reaped when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Asks it to stop and waits for its end; a process that does not end is killed.
    #[must_use]
    pub fn stop(mut self) -> ExitStatus {
        // SAFETY: a plain system call; the child was not waited for, so its number is still its own.
        unsafe { libc::kill(self.pid(), libc::SIGTERM) };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill()
    }

    /// Kills it, if it lives still, and waits for its end.
    pub fn kill(&mut self) -> ExitStatus {
        // An error says that it has ended already.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that has not said yet that it is ready.
#[derive(Debug)]
pub struct Starting {
    /// The process.
    pub process: Process,
    lines: Receiver<String>,
}

impl Starting {
    /// Waits for the line that says where it listens.
    ///
    /// # Errors
    /// How the process ended instead.
    pub fn ready(mut self) -> Result<Served, ExitStatus> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Served::at(&line, self.process)),
            // It closed its output: it has ended, or is about to.
            Err(RecvTimeoutError::Disconnected) => Err(self.process.child.wait().expect("a child of ours")),
            Err(RecvTimeoutError::Timeout) => {
                panic!("lotbook serve is neither ready nor gone: {:?}", self.process.kill())
            }
        }
    }
}

/// A host that serves.
#[derive(Debug)]
pub struct Served {
    /// The process.
    pub process: Process,
    /// Its FIX door.
    pub fix: SocketAddr,
    /// Its HTTP door.
    pub http: SocketAddr,
}

impl Served {
    fn at(line: &str, process: Process) -> Self {
        let word = |name: &str| {
            let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name} in {line:?}"))
        };
        assert!(line.starts_with("ready: "), "{line:?}");
        assert_eq!(word("pid"), process.pid().to_string());
        let address = |name: &str| word(name).parse().unwrap_or_else(|error| panic!("{name} in {line:?}: {error}"));
        Self { fix: address("fix"), http: address("http"), process }
    }

    fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.http, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// `POST /v1/commands` with a body of this type: status and answer.
    #[must_use]
    pub fn post(&self, kind: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect_timeout(&self.http, PATIENCE).expect("an open door");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let length = body.len();
        write!(
            stream,
            "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// `GET path`: status and body.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {path}: {answer:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "a body in one piece: {head}");
        (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
    }

    /// `GET path`, a JSON document with status 200.
    #[must_use]
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Waits until something holds of a part of `/health/detailed`, named by its JSON pointer, and gives the part.
    ///
    /// # Panics
    /// It does not hold in time.
    #[track_caller]
    pub fn until(&self, part: &str, what: &str, patience: Duration, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            let mut health = self.json("/health/detailed");
            let part = health.pointer_mut(part).map(Value::take).unwrap_or_default();
            if holds(&part) {
                return part;
            }
            assert!(Instant::now() < deadline, "not in time: {what}: {part:#}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// PROVISIONAL positions and all positions; `None` from a host that is being killed.
    #[must_use]
    pub fn late_positions(&self) -> Option<(u64, u64)> {
        let answer = self.ask("/health/detailed").ok()?;
        let health: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let model = &health["read_model"];
        Some((model["provisional_positions"].as_u64()?, model["positions"].as_u64()?))
    }

    /// Waits until no position is PROVISIONAL and readers see all of the log.
    pub fn wait_reconciled(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let health = self.json("/health/detailed");
            let model = &health["read_model"];
            if model["provisional_positions"] == 0 && model["lag_records"] == 0 && health["coldpath"]["queue"] == 0 {
                assert_eq!(health["coldpath"]["dead_letters"], serde_json::json!([]));
                return;
            }
            assert!(Instant::now() < deadline, "not reconciled: {health:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
