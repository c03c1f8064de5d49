//! `kill -9` at random moments of a burst, in another process: what was answered must be there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const ROOT: &str = "LOTBOOK_WAL_KILL_ROOT";

fn child_config(root: &Path) -> LogConfig {
    LogConfig {
        tail_dir: Some(root.join("tail")),
        segment_bytes: 256 << 10,
        tail_blocks: 8,
        idle_watermark_ms: 5,
        ..LogConfig::new(root.join("log"))
    }
}

/// The victim: does nothing unless started by the test below.
#[test]
fn victim() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let mut opened = open(child_config(Path::new(&root))).unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{} -1", opened.report.next_sequence - 1).unwrap();
    loop {
        for _ in 0..20 {
            append_one(&mut opened.appender, Group::Single);
        }
        // Answered as applied up to here, as durable up to there.
        let applied = opened.log.published_sequence();
        writeln!(out, "@{applied} {}", opened.log.durable_sequence()).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn nothing_answered_is_lost_to_kill_9() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("tail")).unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut from_tail = 0;
    let mut rows = std::collections::BTreeMap::new();
    for round in 0..12u64 {
        let mut child = Command::new(&exe)
            .args(["--exact", "tests::kill::victim", "--nocapture", "--test-threads", "1"])
            .env(ROOT, root.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        // Some rounds die while opening, the others a few milliseconds into the burst.
        let reader = std::thread::spawn(move || {
            let mut last = (0u64, 0i64);
            for line in lines.lines().map_while(Result::ok) {
                let Some((_, line)) = line.split_once('@') else { continue };
                let Some((applied, durable)) = line.split_once(' ') else { continue };
                if let (Ok(applied), Ok(durable)) = (applied.parse(), durable.parse()) {
                    last = (applied, durable);
                }
            }
            last
        });
        std::thread::sleep(Duration::from_millis(3 + round * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let (applied, durable) = reader.join().unwrap();
        let opened = open(child_config(root.path())).unwrap();
        let report = &opened.report;
        assert_eq!(report.lost_from_sequence, None, "round {round}: {report:?}");
        assert!(opened.log.durable_sequence() > applied, "round {round}: {report:?}");
        assert!(durable <= applied as i64);
        // Every sequence is there and holds what was written under it.
        let users = read_back(&opened.log, Limit::Durable);
        assert!(users.last().copied().unwrap_or(0) + 1 >= applied.min(users.len() as u64));
        from_tail += report.from_tail_records;
        *rows.entry(report.row).or_insert(0) += 1;
        opened.appender.abandon();
    }
    println!("{from_tail} records came back from the tail; rows {rows:?}");
    let report = open_read_only(&root.path().join("log")).unwrap().verify(&mut |_, _| {}).unwrap();
    assert!(!matches!(report.outcome, VerifyOutcome::Damaged(_)), "{report:?}");
}
