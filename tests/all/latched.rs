//! A disk that fails under a serving host: the sender is told that the answer is unknown, the host ends with its documented code, and the
//! next start has everything that was answered.
//!
//! The failure is the system's own: `strace` attaches to the host and lets the next fdatasync end in EIO.

use std::process::{Child, Command, Stdio};

use crate::process::{Serving, collect, until};
use crate::wire::Client;

/// The documented code of a latched log (`docs/cli.md`).
const LATCHED: i32 = 8;

/// Lets every fdatasync of the process fail from now on; the reason when no tracer can be had.
fn fail_syncs(pid: u32) -> Result<Child, String> {
    let mut tracer = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p"])
        .arg(pid.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("strace: {e}"))?;
    let said = collect(tracer.stderr.take().expect("piped"));
    let mut refused = None;
    until("a tracer that is attached", || {
        refused = tracer.try_wait().expect("a child of ours");
        refused.is_some() || said.lock().expect("no panic").iter().any(|line| line.contains("attached"))
    });
    match refused {
        Some(status) => Err(format!("strace ended with {status}: {}", said.lock().expect("no panic").join(" "))),
        None => Ok(tracer),
    }
}

#[test]
fn a_host_whose_log_latches_says_unknown_and_ends_with_its_code() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut host = Serving::start(dir.path(), &["--ack", "durable"]);
    let mut client = Client::log_on(host.fix, "DESK");
    client.buy("T1", &[]);
    assert_eq!(client.answer().word("outcome"), "applied");
    let mut tracer = match fail_syncs(host.pid()) {
        Ok(tracer) => tracer,
        Err(reason) => {
            println!("passed over: no call can be made to fail here: {reason}");
            return;
        }
    };
    client.buy("T2", &[]);
    let answer = client.answer();
    assert_eq!((answer.get(35), answer.get(379), answer.word("code")), ("j", "T2", "UNKNOWN_RESEND"), "{answer:?}");
    let status = host.wait();
    assert_eq!(status.code(), Some(LATCHED), "{}", host.said());
    let said = host.said();
    for word in ["fdatasync", "errno 5", "seg-", "durable up to sequence"] {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    tracer.wait().expect("the tracer ends with the host");
    // The disk is well again. What was answered is there; what was unknown is sent again, and is booked once.
    let host = Serving::start(dir.path(), &["--ack", "durable"]);
    let mut client = Client::log_on(host.fix, "DESK");
    client.buy("T1", &[]);
    assert_eq!(client.answer().word("outcome"), "duplicate");
    client.buy("T2", &[]);
    let again = client.answer();
    assert!(["applied", "duplicate"].contains(&again.word("outcome")), "{again:?}");
    client.buy("T2", &[]);
    assert_eq!(client.answer().word("outcome"), "duplicate");
    client.log_out();
    host.stop();
}
