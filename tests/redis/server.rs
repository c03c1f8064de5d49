//! A `redis-server` of a test's own, on a socket in a temporary folder, and a client that asks it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lotbook_tests::rig::PATIENCE;
use tempfile::TempDir;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(Vec<u8>),
    Refused(String),
    Number(i64),
    Nil,
    List(Vec<Answer>),
}

impl Answer {
    pub(crate) fn text(self) -> String {
        String::from_utf8(self.bytes()).expect("a text")
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text(bytes) => bytes,
            other => panic!("no text: {other:?}"),
        }
    }

    pub(crate) fn list(self) -> Vec<Answer> {
        match self {
            Self::List(answers) => answers,
            other => panic!("no list: {other:?}"),
        }
    }
}

/// A connection.
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    /// What is answered; `None` when the connection breaks.
    pub(crate) fn try_ask(&mut self, words: &[&str]) -> Option<Answer> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(command.as_bytes()).ok()?;
        self.next()
    }

    pub(crate) fn ask(&mut self, words: &[&str]) -> Answer {
        self.try_ask(words).unwrap_or_else(|| panic!("no answer to {words:?}"))
    }

    /// The next answer or message.
    pub(crate) fn next(&mut self) -> Option<Answer> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        Some(match kind {
            "+" => Answer::Text(rest.into()),
            "-" => Answer::Refused(rest.into()),
            ":" => Answer::Number(number()),
            "$" if number() < 0 => Answer::Nil,
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()).expect("a length") + 2];
                self.0.read_exact(&mut bytes).ok()?;
                bytes.truncate(bytes.len() - 2);
                Answer::Text(bytes)
            }
            "*" if number() < 0 => Answer::Nil,
            "*" => Answer::List((0..number()).map(|_| self.next()).collect::<Option<_>>()?),
            other => panic!("{other:?} in {line:?}"),
        })
    }
}

/// A server, killed when it is dropped.
pub(crate) struct Redis {
    dir: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts one; `None` where it is not installed, which CI does not accept.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let there = Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if there.is_err() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "redis-server is not installed");
            println!("skipped: redis-server is not installed");
            return None;
        }
        let dir = TempDir::with_prefix("lb-redis-").expect("a temporary directory");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut redis = Self { dir, options, child: None };
        redis.run();
        Some(redis)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// As the configuration names it.
    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Starts it, if it does not run, and waits until it answers.
    pub(crate) fn run(&mut self) {
        if self.child.is_some() {
            return;
        }
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--daemonize", "no", "--unixsocket"]).arg(self.socket());
        command.arg("--dir").arg(self.dir.path()).args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: prctl is async-signal-safe and takes plain numbers. A test that dies takes its server along.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        self.child = Some(command.spawn().expect("it was there a moment ago"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.try_client().and_then(|mut client| client.try_ask(&["PING"]));
            match answer {
                Some(Answer::Text(pong)) if pong == b"PONG" => return,
                // It wants the password first, so it answers.
                Some(Answer::Refused(words)) if words.starts_with("NOAUTH") => return,
                _ => assert!(Instant::now() < deadline, "redis-server does not answer: {answer:?}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn try_client(&self) -> Option<Client> {
        let stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Client(BufReader::new(stream)))
    }

    pub(crate) fn client(&self) -> Client {
        self.try_client().expect("a server that listens")
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = self.child.as_ref().expect("it runs").id();
        // SAFETY: a plain system call; the child was not waited for, so its number is still its own.
        assert_eq!(unsafe { libc::kill(i32::try_from(pid).expect("a process id"), signal) }, 0);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error says that it has ended already.
            let _ = child.kill();
            child.wait().expect("a child of ours");
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
