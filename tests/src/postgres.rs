//! A Postgres server of a test's own: made in a temporary directory, reached by a socket in it, killed by its own id.
//!
//! Postgres refuses to run as root; there it runs as the user `postgres`, else `nobody`. Its data is made once a test program and copied.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use tempfile::TempDir;

use crate::rig::PATIENCE;

/// The superuser of every server; it needs no password on the socket.
pub const USER: &str = "lotbook_test";

/// Where the server's programs are; `None` where Postgres is not installed.
fn programs() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let mut places: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        // Debian keeps each version's programs off the path.
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        places.extend(versions.map(|version| version.path().join("bin")));
        places.into_iter().find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
    });
    found.as_deref()
}

/// Whether tests with a server can run. In CI they must.
///
/// # Panics
/// In CI, where there is no Postgres.
#[must_use]
pub fn is_here() -> bool {
    let is_here = programs().is_some();
    if !is_here {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "there is no Postgres: scripts/test installs it");
        eprintln!("there is no Postgres here: passed over; scripts/test installs it");
    }
    is_here
}

/// Who the server runs as, where we are root.
fn servant() -> Option<(u32, u32)> {
    static FOUND: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: a plain system call.
        if unsafe { libc::geteuid() } != 0 {
            return None;
        }
        ["postgres", "nobody"].into_iter().find_map(|name| {
            let name = CString::new(name).expect("no zero in it");
            // SAFETY: the name is a C string; the entry is copied before anything else asks, for this runs once.
            let entry = unsafe { libc::getpwnam(name.as_ptr()).as_ref() };
            entry.map(|entry| (entry.pw_uid, entry.pw_gid))
        })
    })
}

fn command(program: &str) -> Command {
    let mut command = Command::new(programs().expect("asked before").join(program));
    command.stdin(Stdio::null()).env("LC_ALL", "C").env_remove("PGPASSWORD");
    if let Some((uid, gid)) = servant() {
        command.uid(uid).gid(gid).current_dir("/");
    }
    command
}

fn give(path: &Path) {
    if let Some((uid, gid)) = servant() {
        chown(path, Some(uid), Some(gid)).expect("a directory of ours");
    }
}

fn expect(what: &str, output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// A directory of a server's own. In `/tmp` where there is one: whoever runs the server must come to it, and the name of a socket is short.
fn directory(prefix: &str) -> TempDir {
    let shared = Path::new("/tmp");
    let made = if shared.is_dir() { TempDir::with_prefix_in(prefix, shared) } else { TempDir::with_prefix(prefix) };
    let made = made.expect("a temporary directory");
    give(made.path());
    made
}

/// The directory of what servers copy.
static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();

/// A data directory fresh from initdb, which servers copy; it goes when the test program ends.
fn template() -> &'static Path {
    TEMPLATE.get_or_init(|| {
        // Nothing that is static is dropped, so the end of the program removes it.
        let dir = directory("lotbook-pg-template-").keep();
        let mut init = command("initdb");
        init.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username", USER, "-D"]);
        let made = init.arg(dir.join("data")).output().expect("initdb runs");
        // SAFETY: registers a function of this program, which may run at its end: it only removes files.
        unsafe { libc::atexit(remove_template) };
        expect("initdb", &made);
        dir
    })
}

extern "C" fn remove_template() {
    if let Some(dir) = TEMPLATE.get() {
        let _ = fs::remove_dir_all(dir);
    }
}

/// A server.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    server: Option<Child>,
}

impl Postgres {
    /// Makes one and starts it.
    #[must_use]
    pub fn start() -> Self {
        let dir = directory("lotbook-pg-");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(template().join("data")).arg(dir.path());
        expect("cp", &copy.output().expect("cp runs"));
        let mut postgres = Self { dir, server: None };
        postgres.go_on();
        postgres
    }

    /// Starts it again on its data, and waits until it answers.
    pub fn go_on(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let said = fs::File::options().create(true).append(true).open(self.dir.path().join("said")).expect("a file");
        let mut server = command("postgres");
        server.arg("-D").arg(self.dir.path().join("data")).arg("-k").arg(self.dir.path());
        // A process that is killed loses nothing that it gave to the system, so nothing needs to be synced here.
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "shared_buffers=16MB",
            "max_connections=20",
            "autovacuum=off",
            "logging_collector=off",
            "unix_socket_permissions=0777",
        ] {
            server.args(["-c", setting]);
        }
        server.stdout(Stdio::null()).stderr(said);
        // SAFETY: prctl is async-signal-safe and takes plain numbers. A test that dies takes its server along.
        unsafe {
            server.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGQUIT);
                Ok(())
            });
        }
        // Whoever connects goes through the directory.
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).expect("a directory of ours");
        self.server = Some(server.spawn().expect("postgres starts"));
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            let server = self.server.as_mut().expect("spawned");
            if let Some(ended) = server.try_wait().expect("a child of ours") {
                panic!("postgres ended ({ended}):\n{}", self.said());
            }
            assert!(Instant::now() < deadline, "postgres is not ready:\n{}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        self.psql("postgres", "SELECT 1").is_ok()
    }

    /// What it said.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }

    /// The directory of its socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    /// The address of a database, by the socket.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("host={} user={user} dbname={database}", self.socket_dir().display())
    }

    /// Wants a password of this user from now on.
    pub fn want_password(&self, user: &str) {
        let file = self.dir.path().join("data/pg_hba.conf");
        let rules = fs::read_to_string(&file).expect("the rules of access");
        fs::write(&file, format!("local all {user} scram-sha-256\n{rules}")).expect("written");
        self.run("postgres", "SELECT pg_reload_conf()");
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What psql said.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new("psql");
        psql.env_remove("PGPASSWORD").env("PGCONNECT_TIMEOUT", "10").arg("-h").arg(self.socket_dir());
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-c", sql]);
        let output = psql.output().expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Runs statements that must go well.
    #[track_caller]
    pub fn run(&self, database: &str, sql: &str) -> String {
        self.psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Kills it and all its processes with SIGKILL, and waits until they are gone.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = i32::try_from(server.id()).expect("a process id");
        // Stopped first, so that it makes no more processes while they are counted.
        // SAFETY: plain system calls on a child that was not waited for, so its number is still its own.
        unsafe { libc::kill(pid, libc::SIGSTOP) };
        let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children: Vec<i32> = listed.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        for child in &children {
            // SAFETY: as above; a stopped parent does not wait for its children, so their numbers are still theirs.
            unsafe { libc::kill(*child, libc::SIGKILL) };
        }
        let _ = server.kill();
        let _ = server.wait();
        let deadline = Instant::now() + PATIENCE;
        while children.iter().any(|child| is_running(*child)) {
            assert!(Instant::now() < deadline, "processes of postgres do not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Whether a process is there and no corpse.
fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}
