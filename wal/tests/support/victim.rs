//! A process to be killed: this very test program, started again with orders in its environment.
//!
//! It opens a log, appends records that name themselves and says on standard output what it could promise: a line is written after what
//! it says is true, so whoever has read it may hold the log to it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lotbook_wal::{AppendError, DirectMode, Group, IoMode, LatchedError, LogConfig, OpenError, Opened, open, open_on};

use super::shim::{Call, Gate, Op, Say, Shim};
use super::{PATIENCE, append_bytes, append_many, payload, settle};

const ORDERS: &str = "LOTBOOK_WAL_VICTIM";

/// How the process counts the calls after which it kills itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillAt {
    /// Never.
    Never,
    /// Before the n-th changing call of the process.
    Any(u64),
    /// Before the n-th sync of a directory after opening: a segment has just got its name.
    Named(u64),
    /// Before the n-th first write into a segment file that others were written before: the log thread has gone over to it.
    Roll(u64),
}

/// What a victim is told. Encoded as `key=value` lines in one environment variable.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// Log in `root/log`, tail in `root/tail`.
    pub(crate) root: std::path::PathBuf,
    /// Records to append before it closes the log in order.
    pub(crate) records: u64,
    /// When it dies by its own hand.
    pub(crate) kill: KillAt,
    /// After `records` it settles, stalls its disk, appends so many more and waits to be killed.
    pub(crate) stalled: Option<u64>,
    /// Through the page cache with plain calls (so that a tracer sees every write), or as the machine allows.
    pub(crate) plain: bool,
    /// Where the tail lies, when not in `root/tail`.
    pub(crate) tail_dir: Option<std::path::PathBuf>,
    /// Payloads of that many bytes instead of those that name themselves.
    pub(crate) filler_bytes: usize,
    /// Waits until each sixteen records are durable before it goes on.
    pub(crate) paced: bool,
}

impl Orders {
    /// A burst of `records` in `root`.
    pub(crate) fn burst(root: &Path, records: u64) -> Self {
        Self {
            root: root.to_path_buf(),
            records,
            kill: KillAt::Never,
            stalled: None,
            plain: true,
            tail_dir: None,
            filler_bytes: 0,
            paced: false,
        }
    }

    fn encode(&self) -> String {
        let (how, at) = match self.kill {
            KillAt::Never => ("never", 0),
            KillAt::Any(n) => ("any", n),
            KillAt::Named(n) => ("named", n),
            KillAt::Roll(n) => ("roll", n),
        };
        let tail = self.tail_dir.as_deref().unwrap_or(Path::new("")).display();
        let stalled = self.stalled.map_or(-1, |n| n as i64);
        format!(
            "{}\n{}\n{how}\n{at}\n{stalled}\n{}\n{tail}\n{}\n{}",
            self.root.display(),
            self.records,
            self.plain,
            self.filler_bytes,
            self.paced
        )
    }

    fn decode(text: &str) -> Self {
        let fields: Vec<&str> = text.split('\n').collect();
        let number = |i: usize| fields[i].parse::<i64>().unwrap();
        let at = number(3) as u64;
        let kill = match fields[2] {
            "any" => KillAt::Any(at),
            "named" => KillAt::Named(at),
            "roll" => KillAt::Roll(at),
            _ => KillAt::Never,
        };
        Self {
            root: fields[0].into(),
            records: number(1) as u64,
            kill,
            stalled: u64::try_from(number(4)).ok(),
            plain: fields[5] == "true",
            tail_dir: (!fields[6].is_empty()).then(|| fields[6].into()),
            filler_bytes: number(7) as usize,
            paced: fields[8] == "true",
        }
    }

    /// The settings of the victim's log.
    pub(crate) fn config(&self) -> LogConfig {
        let mut config = super::config(&self.root);
        if !self.plain {
            (config.io, config.direct) = (IoMode::Auto, DirectMode::Auto);
        }
        if let Some(dir) = &self.tail_dir {
            config.tail_dir = Some(dir.clone());
        }
        config
    }
}

// --- the child ------------------------------------------------------------------------------------------------------------

/// Kills the process at a call, or holds all calls back.
#[derive(Debug)]
struct Fate {
    kill: KillAt,
    opened: AtomicBool,
    stalled: AtomicBool,
    seen: AtomicU64,
    last_written: std::sync::Mutex<std::path::PathBuf>,
}

impl Gate for Fate {
    fn before(&self, op: &Op<'_>) -> Say {
        while self.stalled.load(Ordering::SeqCst) {
            std::thread::park();
        }
        let opened = self.opened.load(Ordering::SeqCst);
        let (counts, at) = match self.kill {
            KillAt::Never => (false, 0),
            KillAt::Any(n) => (op.call != Call::Open, n),
            KillAt::Named(n) => (opened && op.call == Call::SyncDir, n),
            KillAt::Roll(n) => (opened && self.rolls(op), n),
        };
        if counts && self.seen.fetch_add(1, Ordering::SeqCst) == at {
            // SAFETY: plain system calls. The whole process ends here, without a word.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            loop {
                std::thread::park();
            }
        }
        Say::Go
    }
}

impl Fate {
    fn rolls(&self, op: &Op<'_>) -> bool {
        if op.call != Call::Write || op.path.extension().is_none_or(|x| x != "lotlog") {
            return false;
        }
        let mut last = self.last_written.lock().unwrap();
        let other = *last != op.path;
        let began = !last.as_os_str().is_empty();
        last.clone_from(&op.path.to_path_buf());
        other && began
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // One write a line: a process that is killed has said it or has not.
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Does what the environment orders; returns at once where it orders nothing.
pub(crate) fn serve() {
    let Ok(text) = std::env::var(ORDERS) else { return };
    let orders = Orders::decode(&text);
    let config = orders.config();
    let gated = orders.kill != KillAt::Never || orders.stalled.is_some();
    let fate = Arc::new(Fate {
        kill: orders.kill,
        opened: AtomicBool::new(false),
        stalled: AtomicBool::new(false),
        seen: AtomicU64::new(0),
        last_written: std::sync::Mutex::default(),
    });
    let result = if gated { open_on(config.clone(), Shim::new(&config, Arc::clone(&fate) as _)) } else { open(config) };
    let mut opened = match result {
        Ok(opened) => opened,
        Err(error) => end_refused(&error),
    };
    fate.opened.store(true, Ordering::SeqCst);
    say(&format!("opened {} {}", opened.report.row, opened.report.next_sequence));
    burst(&mut opened, &orders);
    if let Some(more) = orders.stalled {
        settle(&opened.log);
        fate.stalled.store(true, Ordering::SeqCst);
        append_many(&mut opened.appender, more);
        say(&format!("ack {} {}", opened.log.published_sequence(), opened.log.durable_sequence()));
        say("stalled");
        loop {
            std::thread::park();
        }
    }
    let log = Arc::clone(&opened.log);
    match opened.appender.close() {
        Ok(()) => say(&format!("closed {}", log.durable_sequence())),
        Err(error) => end_latched(&error),
    }
    std::process::exit(0);
}

fn burst(opened: &mut Opened, orders: &Orders) {
    let mut full = false;
    let mut left = orders.records;
    while left > 0 {
        let bytes = match orders.filler_bytes {
            0 => payload(opened.appender.next_sequence()),
            bytes => vec![1; bytes],
        };
        match append_bytes(&mut opened.appender, Group::Single, &bytes) {
            Ok(_) => {
                left -= 1;
                if full {
                    full = false;
                    say("room");
                }
            }
            Err(AppendError::OutOfSpace) => {
                if !full {
                    full = true;
                    say("full");
                }
                if let Some(error) = opened.log.latched() {
                    end_latched(&error);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(AppendError::Latched) => end_latched(&opened.log.latched().unwrap()),
            Err(error) => panic!("{error}"),
        }
        if left.is_multiple_of(16) {
            if orders.paced
                && let Err(error) = opened.log.wait_durable(opened.log.published_sequence(), PATIENCE)
            {
                end_latched(&error);
            }
            // In this order: what is answered as durable was published before.
            let durable = opened.log.durable_sequence();
            say(&format!("ack {} {durable}", opened.log.published_sequence()));
        }
    }
}

fn end_latched(error: &LatchedError) -> ! {
    let LatchedError { errno, call, file, offset, durable_sequence } = error;
    say(&format!("latched {errno} {} {offset} {durable_sequence} {}", call.replace(' ', "-"), file.display()));
    std::process::exit(8)
}

fn end_refused(error: &OpenError) -> ! {
    match error {
        OpenError::Disk(e) => say(&format!("failed {} {} {}", e.errno(), e.call.replace(' ', "-"), e.path.display())),
        OpenError::Latched(e) => end_latched(e),
        OpenError::OutOfSpace { dir, needed_bytes } => say(&format!("no-room {needed_bytes} {}", dir.display())),
        other => say(&format!("refused {other}")),
    }
    std::process::exit(5)
}

// --- the parent -----------------------------------------------------------------------------------------------------------

/// What a victim has promised and how it ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// Row and next sequence of its opening.
    pub(crate) opened: Option<(char, u64)>,
    /// The last sequence it answered as applied, as durable.
    pub(crate) applied: u64,
    pub(crate) durable: u64,
    /// Everything else it said, word by word.
    pub(crate) other: Vec<Vec<String>>,
    /// What it wrote that was no line of ours: a panic's text, a tracer's complaint.
    pub(crate) noise: Vec<String>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let Some((_, line)) = line.split_once('@') else {
            self.noise.push(line.to_owned());
            return;
        };
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["opened", row, next] => {
                self.opened = Some((row.chars().next().unwrap(), next.parse().unwrap()));
                // What recovery found is durable when opening returns, the epoch's first record with it.
                (self.applied, self.durable) = (next.parse::<u64>().unwrap() - 1, next.parse::<u64>().unwrap() - 1);
            }
            ["ack", applied, durable] => {
                (self.applied, self.durable) = (applied.parse().unwrap(), durable.parse().unwrap());
            }
            _ => self.other.push(words.into_iter().map(str::to_owned).collect()),
        }
    }

    /// The words after the first of the first line that begins so.
    pub(crate) fn line(&self, word: &str) -> Option<&[String]> {
        self.other.iter().find(|words| words[0] == word).map(|words| &words[1..])
    }
}

/// A running victim; killed when dropped.
#[derive(Debug)]
pub(crate) struct Victim {
    child: Child,
    lines: Receiver<String>,
    said: Said,
}

impl Victim {
    /// Starts one.
    pub(crate) fn start(orders: &Orders) -> Self {
        Self::start_under(orders, &[])
    }

    /// Starts one as an argument of `tracer` (empty: directly).
    pub(crate) fn start_under(orders: &Orders, tracer: &[String]) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut command = match tracer {
            [] => Command::new(&exe),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(&exe);
                command
            }
        };
        command.args(["--exact", "victim", "--nocapture", "--test-threads", "1"]);
        command.env(ORDERS, orders.encode()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: prctl is async-signal-safe and takes plain numbers. A test that dies takes its victim along.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let error_sender = sender.clone();
        let (out, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        std::thread::spawn(move || {
            let lines = BufReader::new(errors).lines().map_while(Result::ok);
            lines.map(|line| line.replace('@', " at ")).try_for_each(|line| error_sender.send(line))
        });
        Self { child, lines, said: Said::default() }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Listens until `enough`; false when it ended before.
    pub(crate) fn listen(&mut self, mut enough: impl FnMut(&Said) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.said) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.hear(&line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(_) => panic!("the victim said nothing more: {:?}", self.said),
            }
        }
        true
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> &Said {
        &self.said
    }

    /// `kill -9`, then everything it has said.
    pub(crate) fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        self.end().0
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> (Said, ExitStatus) {
        self.listen(|_| false);
        let status = self.child.wait().unwrap();
        (self.said.clone(), status)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// True for a process that died by SIGKILL.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGKILL)
}
