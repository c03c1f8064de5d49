//! A store that speaks S3, of a test's own: SeaweedFS on free loopback ports, its files in a temporary directory, ended by its own id.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lotbook_tests::rig::PATIENCE;
use tempfile::TempDir;

/// The bucket of every server.
pub(crate) const BUCKET: &str = "segments";
/// Ports that one server wants: each of its parts one, and one for its calls among themselves.
const PORTS: usize = 10;
/// Tries to find ports that nobody takes between looking and listening.
const TRIES: usize = 5;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    dir: TempDir,
}

/// The server's program: `LOTBOOK_WEED`, else beside the tests' Python.
fn program() -> Option<PathBuf> {
    let beside = || Some(PathBuf::from(std::env::var_os("LOTBOOK_PYTHON")?).parent()?.join("weed"));
    std::env::var_os("LOTBOOK_WEED").map(PathBuf::from).or_else(beside).filter(|path| path.is_file())
}

fn free_ports() -> Vec<u16> {
    // All at once, so that they differ.
    let listeners: Vec<TcpListener> = (0..PORTS).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("its address").port()).collect()
}

impl Server {
    /// Starts one and waits until it takes requests; `None`, said, where it is not installed or the long form was not asked for.
    pub(crate) fn start() -> Option<Self> {
        if std::env::var_os("LOTBOOK_LONG").is_none() {
            eprintln!("a store that speaks S3 is for the long form: passed over");
            return None;
        }
        let Some(program) = program() else {
            eprintln!("there is no SeaweedFS here: passed over; scripts/test --long installs it");
            return None;
        };
        for _ in 0..TRIES {
            if let Some(server) = Self::try_start(&program) {
                return Some(server);
            }
        }
        panic!("SeaweedFS does not start");
    }

    fn try_start(program: &PathBuf) -> Option<Self> {
        let dir = TempDir::with_prefix("lotbook-objects-").expect("a temporary directory");
        let keys = dir.path().join("ids.json");
        let ids = r#"{"identities":[{"name":"lotbook","credentials":[{"accessKey":"the-user","secretKey":"the-secret-of-tests"}],"actions":["Admin","Read","Write","List"]}]}"#;
        fs::write(&keys, ids).expect("room for it");
        fs::write(
            dir.path().join("keys"),
            "aws_access_key_id = the-user\naws_secret_access_key = the-secret-of-tests\n",
        )
        .expect("room for it");
        let ports = free_ports();
        let mut command = Command::new(program);
        command.arg("mini").arg(format!("-dir={}", dir.path().display())).arg(format!("-s3.config={}", keys.display()));
        command.args([
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-webdav=false",
            "-admin.ui=false",
        ]);
        command.arg(format!("-bucket={BUCKET}"));
        let names = [
            "s3.port",
            "s3.port.grpc",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
            "admin.port",
            "admin.port.grpc",
        ];
        command.args(names.iter().zip(&ports).map(|(name, port)| format!("-{name}={port}")));
        let said = fs::File::create(dir.path().join("said")).expect("a file");
        command.current_dir(dir.path()).env("HOME", dir.path()).env("TMPDIR", dir.path());
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("another")).stderr(said);
        // SAFETY: prctl is async-signal-safe and takes plain numbers. A test that dies takes its server along.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().expect("SeaweedFS runs");
        let mut server = Self { child, port: ports[0], dir };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = server.child.try_wait() {
                eprintln!("SeaweedFS ended ({status}): {}", server.said());
                return None;
            }
            let said = server.said();
            if said.contains("is Ready") || said.contains("All enabled components are running") {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("SeaweedFS is neither ready nor gone: {}", server.said());
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }

    /// The section of the configuration that ships there, under a prefix.
    pub(crate) fn section(&self, prefix: &str) -> String {
        let keys = self.dir.path().join("keys");
        format!(
            "\n[archive.objects]\nurl = \"s3://{BUCKET}/{prefix}\"\nendpoint = \"http://127.0.0.1:{}\"\ncredentials_file = \"{}\"\n",
            self.port,
            keys.display()
        )
    }

    /// The file with the keys.
    pub(crate) fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
