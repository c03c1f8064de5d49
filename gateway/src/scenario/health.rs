//! The health scenario: a host as a child process, from which its dependencies are taken one by one; how long until its health says so.
//!
//! - *coldpath*: its workers are told to pause, and to go on.
//! - *disk*: every fdatasync fails from now on (`strace` injects the error; where it is missing or not allowed, this is not measured).

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lotbook_perf::http::HttpTarget;
use lotbook_perf::scenario::Measures;
use serde_json::{Value, json};

use crate::client::{Client, ClientError};

/// How long anything may take before it counts as never: far beyond what is asked for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A host that is ended when dropped.
struct Host {
    child: Child,
    client: Client,
    addr: SocketAddr,
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself: that is part of the scenario.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Host {
    fn start(program: &Path, dir: &Path) -> Result<Self, String> {
        let tail = dir.join("tail");
        std::fs::create_dir_all(&tail).map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .args(["serve", "--fix-listen", "off", "--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.join("data"))
            .arg("--tail-dir")
            .arg(&tail)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let said = child.stdout.take().ok_or("a host without an output")?;
        let (heard, ready) = mpsc::channel();
        // Reads to the end, so that the host never waits for a reader. It ends with the host.
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let _ = heard.send(line);
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let word = |line: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix("http="))?;
            word.parse::<SocketAddr>().ok()
        };
        loop {
            match ready.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(addr) = word(&line) {
                        return Ok(Self { child, client: Client::new(&format!("http://{addr}")), addr });
                    }
                }
                Err(_) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err("the host did not say where it listens".to_owned());
                }
            }
        }
    }

    /// `/health`, whatever its status; none when nobody answers.
    fn health(&self) -> Option<Value> {
        match self.client.get(&["health"], &[]) {
            Ok(health) => Some(health),
            Err(ClientError::Unreachable { .. }) => None,
            // A host that is not ready answers with another status and the same document.
            Err(_) => Some(json!({ "ready": false })),
        }
    }

    /// Seconds until `/health` is as wanted; none when it never is.
    fn until(&self, wanted: impl Fn(Option<&Value>) -> bool) -> Option<f64> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if wanted(self.health().as_ref()) {
                return Some(start.elapsed().as_secs_f64());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        None
    }

    fn coldpath(&self, what: &str) -> Result<(), String> {
        self.client.post(&["v1", "coldpath"], &json!({ "do": what })).map(|_| ()).map_err(|error| error.to_string())
    }
}

fn is_well(health: Option<&Value>) -> bool {
    health.is_some_and(|health| health["ready"] == true && health["status"] == "ok")
}

/// Takes the measures. What never showed is infinite: it meets no bound.
pub(super) fn run(program: &Path) -> Result<Measures, String> {
    let dir = tempfile::Builder::new().prefix("lotbook-health-").tempdir().map_err(|error| error.to_string())?;
    let mut measures = Measures::new();
    let mut take = |name: &str, seconds: Option<f64>| {
        measures.insert(name.to_owned(), seconds.unwrap_or(f64::INFINITY));
    };
    let host = Host::start(program, dir.path())?;
    take("ready_s", host.until(is_well));
    host.coldpath("pause")?;
    take("coldpath_shown_s", host.until(|health| health.is_some() && !is_well(health)));
    host.coldpath("resume")?;
    take("coldpath_over_s", host.until(is_well));
    if let Some(mut tracer) = fail_syncs(host.child.id()) {
        // Something to be made durable: the disk is asked for nothing by a host that idles.
        let target = HttpTarget::new(host.addr);
        let line = r#"{"type":"business_date","date":"2020-03-05"}"#.to_owned();
        std::thread::scope(|scope| {
            // It is answered late or never; what it is answered is not the question.
            scope.spawn(|| drop(target.send(&[line])));
            // A host whose log has latched is not ready, and ends soon after.
            take("disk_shown_s", host.until(|health| health.is_none_or(|health| health["ready"] == false)));
        });
        drop(host);
        let _ = tracer.wait();
    }
    Ok(measures)
}

/// Lets every fdatasync of the process fail from now on; none where no tracer can be had.
fn fail_syncs(pid: u32) -> Option<Child> {
    let mut tracer = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p"])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut said = BufReader::new(tracer.stderr.take()?);
    let mut line = String::new();
    // It says that it is attached, or ends.
    while said.read_line(&mut line).is_ok_and(|read| read > 0) {
        if line.contains("attached") {
            // Read on, so that it never waits for a reader. It ends with the tracer.
            std::thread::spawn(move || {
                let _ = said.read_to_end(&mut Vec::new());
            });
            return Some(tracer);
        }
        line.clear();
    }
    let _ = tracer.wait();
    None
}
