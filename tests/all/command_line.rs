//! The binary in the hands of a new user: wrong input, a directory that cannot be used, signals, outputs that go away.
//! Every failure has a message that names the thing, and an exit code that `docs/cli.md` promises.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::process::{Serving, command, expect, run, texts, until};
use crate::wire::Client;

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("a file in a temporary directory");
}

/// A JSON line of a trade; `more` begins with a comma.
fn trade(id: &str, more: &str) -> String {
    format!(
        "{{\"type\":\"trade\",\"trade_id\":\"{id}\",\"account\":\"A1\",\"instrument\":\"AAPL\",\"side\":\"buy\",\
         \"quantity\":\"1\",\"price\":\"10\",\"effective_date\":\"2020-03-05\"{more}}}\n"
    )
}

/// A closed log of `count` trades in `DIR/data`.
#[track_caller]
fn log_of(dir: &Path, count: usize) {
    let text: String = (0..count).map(|at| trade(&format!("t{at}"), "")).collect();
    write(dir, "trades.jsonl", &text);
    expect(dir, &["replay", "--data-dir", "data", "trades.jsonl"], 0);
}

// --- usage ---------------------------------------------------------------------------------------------------------------

#[test]
fn help_teaches() {
    let dir = place();
    let (help, _) = expect(dir.path(), &["--help"], 0);
    assert_says(
        &help,
        &[
            "lotbook burst",
            "lotbook replay",
            "lotbook serve",
            "Exit codes:",
            "held by another process",
            "Out of disk space",
        ],
    );
    for (arguments, words) in [
        (&["serve", "--help"][..], &["--config", "--data-dir", "Examples:"][..]),
        (&["burst", "--help"], &["--burst-multiplier", "[default: 10000]", "Examples:"]),
        (&["replay", "--help"], &["--round", "--skip-bad", "Examples:"]),
        (&["wal", "--help"], &["inspect", "verify", "dump", "Examples:"]),
        (&["wal", "dump", "--help"], &["--correlation", "corrected"]),
    ] {
        let (help, _) = expect(dir.path(), arguments, 0);
        assert_says(&help, words);
    }
    let (_, nothing) = expect(dir.path(), &[], 2);
    assert_says(&nothing, &["Usage: lotbook <COMMAND>"]);
}

#[test]
fn wrong_usage_ends_with_two_and_names_the_argument() {
    let dir = place();
    for (arguments, word) in [
        (&["nonsense"][..], "nonsense"),
        (&["serve", "--bogus"], "--bogus"),
        (&["serve", "--ack", "maybe"], "--ack"),
        (&["serve", "--fix-listen", "nowhere"], "--fix-listen"),
        (&["burst", "--rate", "0"], "--rate"),
        (&["burst", "--invalid", "101"], "--invalid"),
        (&["burst", "--plant", "nothing"], "--plant"),
        (&["replay"], "FILE"),
        (&["replay", "--lot-method", "RANDOM", "x.jsonl"], "--lot-method"),
        (&["replay", "--map", "nonsense", "x.csv"], "--map"),
        (&["wal", "verify"], "DIR"),
        (&["wal", "dump", "data", "--kind", "nope"], "--kind"),
        (&["wal", "dump", "data", "--position", "A1"], "--position"),
    ] {
        let (_, err) = expect(dir.path(), arguments, 2);
        assert_says(&err, &[word]);
    }
    // An address that is one, and that nobody guards here.
    let (_, err) = expect(dir.path(), &["serve", "--fix-listen", "0.0.0.0:9878"], 3);
    assert_says(&err, &["fix.listen = \"0.0.0.0:9878\"", "loopback"]);
    assert!(fs::read_dir(dir.path()).expect("a directory").next().is_none(), "nothing was made");
}

#[test]
fn a_malformed_configuration_names_file_key_and_value() {
    let dir = place();
    for (text, words) in [
        ("[data]\nsegment_mib = 0\n", &["lotbook.toml:2:", "data.segment_mib = 0", "from 1 to 4096"][..]),
        ("[data]\ndir = 5\n", &["lotbook.toml:2:", "data.dir = 5"]),
        ("[fix]\n\nack = \"never\"\n", &["lotbook.toml:3:", "fix.ack = \"never\"", "applied", "durable"]),
        ("[fix]\nlistne = \"off\"\n", &["lotbook.toml:2:", "fix.listne = \"off\"", "listen"]),
        ("[nonsense]\nx = 1\n", &["lotbook.toml:1:", "nonsense", "business"]),
        ("[fix]\nlisten = \"0.0.0.0:9878\"\n", &["lotbook.toml:2:", "fix.listen = \"0.0.0.0:9878\"", "loopback"]),
        ("[business]\ndate = \"2020-02-30\"\n", &["lotbook.toml:2:", "business.date = \"2020-02-30\""]),
        ("[engine]\ncore = 1\nlog_core = 1\n", &["lotbook.toml:3:", "engine.log_core = 1", "engine.core"]),
        ("[[fix.session]]\nack = \"durable\"\n", &["lotbook.toml:1:", "fix.session.comp_id", "missing"]),
        ("[data\n", &["lotbook.toml:1:", "TOML"]),
        ("[data]\ndir = \"a\"\ndir = \"b\"\n", &["lotbook.toml:3:", "duplicate"]),
    ] {
        write(dir.path(), "lotbook.toml", text);
        // Found by itself in the working directory, and by name.
        for arguments in [&["serve"][..], &["serve", "--config", "lotbook.toml"], &["serve", "--print-config"]] {
            let (out, err) = expect(dir.path(), arguments, 3);
            assert_says(&err, words);
            assert_eq!(out, "");
        }
    }
    fs::remove_file(dir.path().join("lotbook.toml")).expect("it is there");
    let (_, err) = expect(dir.path(), &["serve", "--config", "none.toml"], 3);
    assert_says(&err, &["none.toml"]);
    // What a start would say is said without one.
    write(dir.path(), "lotbook.toml", "[fix]\nack = \"never\"\n");
    let (_, err) = expect(dir.path(), &["config", "check"], 3);
    assert_says(&err, &["lotbook.toml:2:", "fix.ack = \"never\""]);
    write(dir.path(), "lotbook.toml", "[fix]\nack = \"durable\"\n");
    assert_eq!(expect(dir.path(), &["config", "check"], 0).0, "lotbook.toml: a host takes this; 1 keys are set\n");
    let (shown, _) = expect(dir.path(), &["config", "show", "--fix-listen", "off"], 0);
    assert_says(&shown, &["# lotbook.toml:2", "listen = \"off\"", "# command line, --fix-listen"]);
    assert_eq!(shown.lines().count(), 3, "{shown}");
    fs::remove_file(dir.path().join("lotbook.toml")).expect("it is there");
    // What is printed reads back as the same.
    let (printed, _) = expect(dir.path(), &["serve", "--print-config", "--ack", "applied"], 0);
    write(dir.path(), "printed.toml", &printed);
    assert_eq!(expect(dir.path(), &["serve", "--config", "printed.toml", "--print-config"], 0).0, printed);
}

#[test]
fn unreadable_input_names_file_and_line() {
    let dir = place();
    write(dir.path(), "good.jsonl", &trade("t1", ""));
    write(dir.path(), "bad.jsonl", &format!("{}\n{}", trade("t2", ""), "{\"type\":\"trade\"\n"));
    write(dir.path(), "float.jsonl", &trade("t3", "").replace("\"10\"", "10.5"));
    write(dir.path(), "bad.csv", "trade_id,account\nt1,A1\n");
    for (file, place) in [
        ("bad.jsonl", "bad.jsonl:3:"),
        ("float.jsonl", "float.jsonl:1:"),
        ("bad.csv", "bad.csv:2:"),
        ("none.jsonl", "none.jsonl"),
    ] {
        let (_, err) = expect(dir.path(), &["replay", "good.jsonl", file], 2);
        assert_says(&err, &[place]);
    }
    // Nothing is applied from that line on; what lies before it is.
    let (out, _) = expect(dir.path(), &["replay", "--json", "bad.jsonl", "good.jsonl"], 2);
    let document: Value = serde_json::from_str(&out).expect("a document all the same");
    assert_eq!(document["positions"][0]["quantity"], "1", "{out}");
    let (out, err) = expect(dir.path(), &["replay", "--skip-bad", "bad.jsonl", "good.jsonl"], 0);
    assert_says(&format!("{out}{err}"), &["bad.jsonl:3", "1 skipped"]);
}

// --- directories and addresses -----------------------------------------------------------------------------------------

#[test]
fn a_second_process_is_refused_and_disturbs_nothing() {
    let dir = place();
    let host = Serving::start(dir.path(), &[]);
    write(dir.path(), "trades.jsonl", &trade("t1", ""));
    let pid = host.pid().to_string();
    for arguments in [
        &["serve", "--data-dir", "data", "--fix-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"][..],
        &["replay", "--data-dir", "data", "trades.jsonl"],
        &["burst", "--seconds", "3", "--rate", "100", "--burst-multiplier", "1", "--data-dir", "data"],
    ] {
        let (_, err) = expect(dir.path(), arguments, 4);
        assert_says(&err, &[&pid, "data"]);
    }
    // Looking is allowed, and the first host's page of phases is still there for a post-mortem.
    expect(dir.path(), &["wal", "verify", "data"], 0);
    expect(dir.path(), &["wal", "inspect", "data"], 0);
    assert!(fs::metadata(dir.path().join("data/phases")).is_ok(), "the page of the host that runs");
    let mut client = Client::log_on(host.fix, "DESK");
    client.buy("T1", &[]);
    assert_eq!(client.answer().word("outcome"), "applied");
    client.log_out();
    host.stop();
}

#[test]
fn a_busy_port_is_named() {
    let dir = place();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    for (busy, other, door) in [("--fix-listen", "--http-listen", "FIX"), ("--http-listen", "--fix-listen", "HTTP")] {
        let (out, err) = expect(dir.path(), &["serve", "--data-dir", "data", busy, &address, other, "127.0.0.1:0"], 6);
        assert_says(&err, &[&address, door]);
        assert_eq!(out, "", "it does not say that it is ready");
    }
    drop(taken);
    // The attempts left a log that is whole and closed.
    expect(dir.path(), &["wal", "verify", "data"], 0);
    Serving::start(dir.path(), &[]).stop();
}

#[test]
fn an_unusable_directory_is_named() {
    let dir = place();
    write(dir.path(), "file", "");
    fn serve(data: &str) -> [&str; 7] {
        ["serve", "--data-dir", data, "--fix-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    }
    // Permissions do not bind the superuser; a file in the way binds everybody.
    for data in ["file", "file/data"] {
        let (_, err) = expect(dir.path(), &serve(data), 5);
        assert_says(&err, &["file"]);
    }
    write(dir.path(), "trades.jsonl", &trade("t1", ""));
    expect(dir.path(), &["replay", "--data-dir", "file/data", "trades.jsonl"], 5);
    let Some(mount) = Mount::tmpfs("1m") else { return };
    mount.read_only();
    let data = mount.path().join("data");
    let (_, err) = expect(dir.path(), &serve(data.to_str().expect("UTF-8")), 5);
    assert_says(&err, &["data", "Read-only file system"]);
}

/// A small file system of its own; where this process may not mount, the reason is printed and the test passes over.
struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    fn tmpfs(size: &str) -> Option<Self> {
        let dir = place();
        let options = format!("size={size}");
        let mount = Self::call(&["-t", "tmpfs", "-o", &options, "lotbook-test"], dir.path());
        if let Err(reason) = mount {
            println!("skipped: no file system can be mounted here: {reason}");
            return None;
        }
        Some(Self { dir })
    }

    fn call(arguments: &[&str], at: &Path) -> Result<(), String> {
        let output = std::process::Command::new("mount").args(arguments).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(texts(&output).1.trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn read_only(&self) {
        Self::call(&["-o", "remount,ro"], self.path()).expect("what was mounted can be remounted");
    }

    /// Takes all room that there is.
    fn fill(&self) {
        let file = fs::File::create(self.path().join("filler")).expect("a file");
        for piece in [64 << 10, 4 << 10, 1] {
            let bytes = vec![1; piece];
            let mut at = file.metadata().expect("its length").len();
            while let Ok(count) = file.write_at(&bytes, at) {
                at += count as u64;
                if count < piece {
                    break;
                }
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.path().join("filler")).expect("it was filled");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, for a process that is just ending may hold it for a moment more.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Sizes of a log that fits a small file system.
const SMALL: &str = "[data]\nsegment_mib = 1\ntail_mib = 1\n[engine.limits]\npositions_max = 1024\nlots_max = 131072\n\
                     names_max = 1024\ntrade_ids_max = 131072\n[business]\ndate = \"2020-03-05\"\n";

#[test]
fn a_full_disk_at_the_start_is_said() {
    let Some(mount) = Mount::tmpfs("1m") else { return };
    write(mount.path(), "lotbook.toml", SMALL);
    mount.fill();
    let serve = ["serve", "--fix-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"];
    for round in 0..2 {
        let (out, err) = expect(mount.path(), &serve, 7);
        assert_says(&err, &["room"]);
        assert_eq!(out, "", "round {round}");
    }
    let elsewhere = place();
    write(elsewhere.path(), "trades.jsonl", &trade("t1", ""));
    let trades = elsewhere.path().join("trades.jsonl");
    expect(mount.path(), &["replay", "--data-dir", "data", trades.to_str().expect("UTF-8")], 7);
}

#[test]
fn a_disk_that_fills_up_closes_admission_until_there_is_room() {
    // Room for the journal's segments of 16 MiB too, so that a checkpoint at the end still fits.
    let Some(mount) = Mount::tmpfs("96m") else { return };
    write(mount.path(), "lotbook.toml", SMALL);
    let mut host = Serving::start(mount.path(), &["--config", "lotbook.toml"]);
    mount.fill();
    let mut client = Client::log_on(host.fix, "DESK");
    let (mut accepted, mut sent, mut refused) = (0, 0, 0);
    // A window at a time, each message answered. The segments that were set aside hold some thousands of trades.
    let mut window = |client: &mut Client, accepted: &mut u64, refused: &mut u64| {
        for _ in 0..200 {
            client.buy(&format!("T{sent}"), &[(60, "20200305-10:00:00")]);
            sent += 1;
        }
        for _ in 0..200 {
            let answer = client.answer();
            match (answer.get(35), answer.get(380)) {
                ("AR", _) => {
                    assert_eq!(answer.get(939), "0", "{answer:?}");
                    *accepted += 1;
                }
                ("j", "4") => {
                    assert_eq!(answer.word("code"), "OUT_OF_SPACE", "{answer:?}");
                    assert!(answer.get(379).starts_with('T'), "{answer:?}");
                    *refused += 1;
                }
                _ => panic!("{answer:?}"),
            }
        }
    };
    let mut rounds = 0;
    while refused == 0 {
        window(&mut client, &mut accepted, &mut refused);
        rounds += 1;
        assert!(rounds < 500, "the disk does not fill");
    }
    window(&mut client, &mut accepted, &mut refused);
    assert!(host.runs(), "no signal, no exit: {}", host.said());
    let (status, _) = host.get("/v1/positions/ACC1/AAPL");
    assert_eq!(status, 200, "readers are served all the while");

    mount.make_room();
    let before = accepted;
    until("admission after there is room", || {
        window(&mut client, &mut accepted, &mut refused);
        accepted > before
    });
    client.log_out();
    until("the read model", || {
        host.get("/v1/positions/ACC1/AAPL").1["quantity"].as_str() == Some(&accepted.to_string())
    });
    println!("{accepted} {before} {refused}");
    host.stop();
    // Each accepted trade once, the others never, and the log is whole.
    expect(mount.path(), &["wal", "verify", "lotbook-data"], 0);
    let (trades, _) = expect(mount.path(), &["wal", "dump", "lotbook-data", "--kind", "trade"], 0);
    assert_eq!(trades.lines().count() as u64, accepted);
    assert!(refused > 0);
}

// --- the log's tools ---------------------------------------------------------------------------------------------------

/// Where the stream begins in a segment: behind the head and its slots.
const HEAD_BYTES: u64 = 64 << 10;

#[test]
fn verify_tells_whole_torn_and_damaged() {
    let dir = place();
    log_of(dir.path(), 600);
    let (out, _) = expect(dir.path(), &["wal", "verify", "--json", "data"], 0);
    let document: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(document["verdict"], "whole");
    let bytes = document["logs"][0]["bytes"].as_u64().expect("a number");
    assert!(bytes > 128 << 10, "more than two blocks, so that the first is written for good");
    let segment =
        fs::OpenOptions::new().write(true).read(true).open(dir.path().join("data/log/seg-0000000000000000.lotlog"));
    let segment = segment.expect("the first segment");

    // A write behind the end that never completed: nobody was answered for it.
    segment.write_all_at(&[7; 40], HEAD_BYTES + bytes).expect("a write");
    let (out, _) = expect(dir.path(), &["wal", "verify", "data"], 1);
    assert_says(&out, &["torn", "a start cuts"]);
    let (out, _) = expect(dir.path(), &["wal", "verify", "--json", "data"], 1);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["verdict"], "torn");
    Serving::start(dir.path(), &["--data-dir", "data"]).stop();
    expect(dir.path(), &["wal", "verify", "data"], 0);

    // One bit of what was durable.
    let mut byte = [0];
    segment.read_exact_at(&mut byte, HEAD_BYTES + 30_000).expect("a read");
    segment.write_all_at(&[byte[0] ^ 1], HEAD_BYTES + 30_000).expect("a write");
    let (out, _) = expect(dir.path(), &["wal", "verify", "data"], 2);
    assert_says(&out, &["DAMAGED", "seg-0000000000000000.lotlog", "sequence"]);
    let (out, _) = expect(dir.path(), &["wal", "verify", "--json", "data"], 2);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["verdict"], "damaged");
    let (dumped, err) = expect(dir.path(), &["wal", "dump", "data"], 2);
    assert!(!dumped.is_empty(), "what lies before it is printed");
    assert_says(&err, &["wal verify"]);
    let (_, err) =
        expect(dir.path(), &["serve", "--data-dir", "data", "--fix-listen", "off", "--http-listen", "off"], 9);
    assert_says(&err, &["data/log"]);

    for arguments in [["wal", "verify", "nothing"], ["wal", "dump", "nothing"], ["wal", "inspect", "nothing"]] {
        let (_, err) = expect(dir.path(), &arguments, 2);
        assert_says(&err, &["nothing", "no log"]);
    }
}

#[test]
fn dump_takes_what_all_filters_take() {
    let dir = place();
    let mut text: String = (0..20).map(|at| trade(&format!("t{at}"), "")).collect();
    text.push_str(&trade("m1", ",\"correlation_id\":\"c-1\"").replace("AAPL", "EUR/USD"));
    text.push_str(
        "{\"type\":\"mark\",\"instrument\":\"AAPL\",\"kind\":\"last\",\"price\":\"11\",\"at\":\"2020-03-05\"}\n",
    );
    write(dir.path(), "trades.jsonl", &text);
    expect(dir.path(), &["replay", "--data-dir", "data", "trades.jsonl"], 0);
    let dump = |more: &[&str]| -> Vec<Value> {
        let (out, _) = expect(dir.path(), &[&["wal", "dump", "data"], more].concat(), 0);
        out.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    };
    let all = dump(&[]);
    assert!(all.iter().enumerate().all(|(at, line)| line["sequence"] == at + 1), "every record, in order");
    assert_eq!(dump(&["--kind", "trade"]).len(), 21);
    assert_eq!(dump(&["--kind", "trade", "--kind", "mark"]).len(), 22);
    assert_eq!(dump(&["--position", "A1/AAPL"]).len(), 20);
    assert_eq!(dump(&["--position", "A1/EUR/USD"])[0]["trade_id"], "m1", "the first slash divides");
    assert_eq!(dump(&["--position", "A2/AAPL"]).len(), 0);
    assert_eq!(dump(&["--correlation", "c-1"]).len(), 1);
    assert_eq!(dump(&["--correlation", "c-1", "--position", "A1/AAPL"]).len(), 0);
    let (from, to) = (all[5]["sequence"].to_string(), all[9]["sequence"].to_string());
    assert_eq!(dump(&["--from-sequence", &from, "--to-sequence", &to]), all[5..10]);
}

// --- signals and outputs -----------------------------------------------------------------------------------------------

#[test]
fn signals_end_it_in_order() {
    let dir = place();
    let mut recovered = None;
    for (round, signal) in [libc::SIGINT, libc::SIGTERM].into_iter().enumerate() {
        let mut host = Serving::start(dir.path(), &[]);
        recovered = host.log_lines("recovered").pop();
        let mut client = Client::log_on(host.fix, "DESK");
        client.buy(&format!("T{round}"), &[]);
        assert_eq!(client.answer().word("outcome"), "applied");
        host.signal(signal);
        let farewell = client.answer();
        assert_eq!((farewell.get(35), farewell.get(58)), ("5", "shutting down"));
        let status = host.wait();
        assert_eq!(status.code(), Some(0), "signal {signal}: {}", host.said());
        let (out, _) = expect(dir.path(), &["wal", "verify", "--json", "data"], 0);
        let document: Value = serde_json::from_str(&out).expect("JSON");
        for log in document["logs"].as_array().expect("logs") {
            assert_eq!((&log["closed"], &log["tail"]), (&Value::Bool(true), &Value::from("missing")), "{log}");
        }
    }
    // Row F of recovery: closed in order.
    assert_eq!(recovered.expect("the second start says how it recovered")["row"], "F");
    let host = Serving::start(dir.path(), &[]);
    assert_eq!(host.get("/v1/positions/ACC1/AAPL").1["quantity"], "2");
    host.stop();
}

/// Complaining about a standard error that cannot be written, on standard error, panics in the thread that has just logged:
/// a collector of logs that went away took the FIX thread along.
#[test]
fn a_host_outlives_those_who_read_its_outputs() {
    let dir = place();
    let mut command = Serving::command(dir.path(), &[]);
    command.env("LOTBOOK_LOG", "debug");
    // A pipe that nobody reads, from the beginning.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut host = Serving::spawn_with_stderr(&mut command, writer.into());
    let mut client = Client::log_on(host.fix, "DESK");
    for trade in 0..10 {
        client.buy(&format!("T{trade}"), &[]);
        assert_eq!(client.answer().word("outcome"), "applied");
    }
    client.log_out();
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait().code(), Some(0));
    expect(dir.path(), &["wal", "verify", "data"], 0);
}

#[test]
fn outputs_that_go_away_are_no_crash() {
    let dir = place();
    log_of(dir.path(), 3);
    for (arguments, full) in [
        (&["--help"][..], 0),
        (&["serve", "--print-config"], 7),
        (&["replay", "trades.jsonl"], 7),
        (&["replay", "--json", "trades.jsonl"], 7),
        (&["wal", "dump", "data"], 5),
        (&["wal", "verify", "data"], 5),
        (&["wal", "inspect", "data"], 5),
    ] {
        // Who closes a pipe has seen enough.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = command(dir.path()).args(arguments).stdout(writer).stderr(Stdio::null()).status();
        assert_eq!(status.expect("it runs").code(), Some(0), "closed: {arguments:?}");
        // A result that is lost is a failure.
        let device = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let output = command(dir.path()).args(arguments).stdout(device).output().expect("it runs");
        assert_eq!(output.status.code(), Some(full), "full: {arguments:?}: {}", texts(&output).1);
        // And a standard error that is lost besides changes nothing.
        let device = || fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let status = command(dir.path()).args(arguments).stdout(device()).stderr(device()).status();
        assert_eq!(status.expect("it runs").code(), Some(full), "both full: {arguments:?}");
    }
}

// --- the verdict of the burst ------------------------------------------------------------------------------------------

/// Names in shared memory that belong to a process.
fn left_in_shared_memory(pid: u32) -> Vec<String> {
    let Ok(found) = fs::read_dir("/dev/shm") else { return Vec::new() };
    let names = found.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&format!("lotbook-{pid}-"))).collect()
}

#[test]
fn planted_faults_break_the_verdict() {
    let dir = place();
    for (plant, want) in [
        (None, "exact"),
        (Some("drop"), "broken"),
        (Some("double"), "broken"),
        (Some("wrong-lot"), "broken"),
        (Some("ack-before-log"), "broken"),
    ] {
        let mut burst = command(dir.path());
        burst.args(["burst", "--seconds", "4", "--rate", "3000", "--burst-multiplier", "3", "--json", "burst.json"]);
        if let Some(plant) = plant {
            burst.args(["--plant", plant]);
        }
        let child = burst.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let pid = child.id();
        let output = child.wait_with_output().expect("it ends");
        let (out, err) = texts(&output);
        let document: Value =
            serde_json::from_slice(&fs::read(dir.path().join("burst.json")).expect("a result")).expect("JSON");
        assert_eq!(document["integrity"]["verdict"], want, "{plant:?}\n{out}\n{err}");
        match plant {
            Some(_) => assert_eq!(output.status.code(), Some(1), "{plant:?}\n{out}\n{err}"),
            // A machine that is too slow fails the run for its rate or latency, never for its verdict.
            None => assert!(matches!(output.status.code(), Some(0 | 1)), "{out}\n{err}"),
        }
        assert_eq!(left_in_shared_memory(pid), Vec::<String>::new(), "a temporary run leaves nothing");
        fs::remove_file(dir.path().join("burst.json")).expect("it is there");
    }
    let (_, err) = texts(&run(dir.path(), &["burst", "--seconds", "3", "--rate", "100", "--data-dir", "/dev/null/x"]));
    assert_says(&err, &["/dev/null"]);
}
