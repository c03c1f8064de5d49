//! What was known when, through the binary: `replay --as-of --known-at`, `lotbook position` on a directory and on a running host.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Serving, expect, until};

/// Two trades, and a third that is dated before both and comes last.
const LINES: [&str; 4] = [
    r#"{"type":"trade","trade_id":"t1","account":"A1","instrument":"EUR/X","side":"buy","quantity":"100","price":"10","effective_date":"2024-01-02"}"#,
    r#"{"type":"trade","trade_id":"t2","account":"A1","instrument":"EUR/X","side":"sell","quantity":"40","price":"12","effective_date":"2024-01-03"}"#,
    r#"{"type":"trade","trade_id":"t0","account":"A1","instrument":"EUR/X","side":"buy","quantity":"50","price":"8","effective_date":"2024-01-01"}"#,
    r#"{"type":"business_date","date":"2024-01-05"}"#,
];

fn json(dir: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&expect(dir, arguments, 0).0).expect("JSON")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("?")
}

fn fed(lines: &[&str], dir: &Path, more: &[&str]) -> Value {
    fs::write(dir.join("lines.jsonl"), lines.join("\n")).expect("a file in a temporary directory");
    let tail = dir.join("tail");
    fs::create_dir_all(&tail).expect("a directory");
    let tail = tail.to_string_lossy().into_owned();
    json(dir, &[&["replay", "--json", "--data-dir", "data", "--tail-dir", &tail], more, &["lines.jsonl"]].concat())
}

/// A position of the directory, or of a host.
fn position(dir: &Path, of: &[&str], more: &[&str]) -> Value {
    json(dir, &[&["position", "A1", "EUR/X", "--json"], of, more].concat())
}

fn check(dir: &Path, of: &[&str]) {
    let now = position(dir, of, &["--since", "0"]);
    assert_eq!((text(&now, "realized_pnl"), text(&now, "reconciliation_status")), ("160", "RECONCILED"));
    let corrections = now["corrections"].as_array().expect("a list");
    assert_eq!(corrections.len(), 1);
    assert_eq!(text(&corrections[0], "cause"), "t0");
    assert_eq!(text(&corrections[0]["delta"], "realized_pnl"), "80");
    let late = corrections[0]["cause_sequence"].as_u64().expect("a sequence");

    // Before the late trade came, right after it, and by its time.
    let before = position(dir, of, &["--known-at", &(late - 1).to_string()]);
    assert_eq!((text(&before, "realized_pnl"), text(&before, "quantity")), ("80", "60"));
    assert_eq!(text(&before, "reconciliation_status"), "RECONCILED");
    let open = position(dir, of, &["--known-at", &late.to_string()]);
    assert_eq!((text(&open, "realized_pnl"), text(&open, "quantity")), ("80", "110"));
    assert_eq!(text(&open, "reconciliation_status"), "PROVISIONAL");
    assert_eq!(open["provisional_trade_ids"], serde_json::json!(["t0"]));
    let at = text(&corrections[0], "at");
    let by_time = position(dir, of, &["--known-at", at]);
    assert_eq!(text(&by_time, "realized_pnl"), "160");

    // As of the day before the sale: with the late trade, and without.
    let day = position(dir, of, &["--as-of", "2024-01-02"]);
    assert_eq!((text(&day, "as_of"), text(&day, "quantity"), text(&day, "realized_pnl")), ("2024-01-02", "150", "0"));
    assert_eq!(text(&day, "forward_quantity"), "-40");
    let origins: Vec<&str> = day["lots"].as_array().expect("lots").iter().map(|lot| text(lot, "trade_id")).collect();
    assert_eq!(origins, ["t0", "t1"]);
    let sequence = (late - 1).to_string();
    // No business date was set by then: the last one that is booked is the date.
    let day = position(dir, of, &["--as-of", "2024-01-02", "--known-at", &sequence]);
    assert_eq!((text(&day, "quantity"), text(&day, "cost")), ("100", "1000"));
    let flat = position(dir, of, &["--as-of", "2023-12-31"]);
    assert_eq!((text(&flat, "quantity"), text(&flat, "status")), ("0", "CLOSED"));
}

#[test]
fn a_position_of_the_past_from_a_directory_and_from_a_host() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path();
    fed(&LINES, dir, &[]);
    let tail = dir.join("tail").to_string_lossy().into_owned();
    let of_dir = ["--data-dir", "data", "--tail-dir", &tail];
    check(dir, &of_dir);
    // For people.
    let (out, _) = expect(dir, &[&["position", "A1", "EUR/X", "--since", "0"], &of_dir[..]].concat(), 0);
    assert!(out.contains("CLOSED") || out.contains("OPEN RECONCILED"), "{out}");
    assert!(out.contains("corrected at sequence") && out.contains("trade id"), "{out}");
    let (_, err) = expect(dir, &[&["position", "A1", "NONE"], &of_dir[..]].concat(), 2);
    assert!(err.contains("never held"), "{err}");
    let far = [&["position", "A1", "EUR/X", "--known-at", "999999"], &of_dir[..]].concat();
    assert!(expect(dir, &far, 2).1.contains("beyond what is complete"));

    let host = Serving::start(dir, &["--tail-dir", &tail]);
    let url = format!("http://{}", host.http);
    check(dir, &["--url", &url]);
    let (_, err) = expect(dir, &["position", "A1", "EUR/X", "--known-at", "999999", "--url", &url], 2);
    assert!(err.contains("beyond what is complete"), "{err}");
    let (_, err) = expect(dir, &["position", "A1", "NONE", "--as-of", "2024-01-02", "--url", &url], 2);
    assert!(err.contains("never held"), "{err}");
    // The directory is the host's while it runs.
    expect(dir, &[&["position", "A1", "EUR/X"], &of_dir[..]].concat(), 4);
    host.stop();
    let (_, err) = expect(dir, &["position", "A1", "EUR/X", "--url", &url], 11);
    assert!(err.contains("no host answers"), "{err}");
    for wrong in [["--as-of", "2024-02-30"], ["--known-at", "yesterday"], ["--since", "-1"]] {
        expect(dir, &[&["position", "A1", "EUR/X"], &wrong[..]].concat(), 2);
    }
}

#[test]
fn a_replay_prints_the_book_of_the_past() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let book = fed(&LINES, place.path(), &["--as-of", "2024-01-02"]);
    let row = &book["positions"][0];
    assert_eq!((text(row, "quantity"), text(row, "realized_pnl"), text(row, "cost")), ("150", "0", "1400"));
    // What was read is listed as ever.
    assert_eq!(book["trades"].as_array().expect("trades").len(), 3);
    let place = tempfile::tempdir().expect("a temporary directory");
    fed(&LINES, place.path(), &[]);
    let empty = fed(&[], place.path(), &["--known-at", "1"]);
    assert_eq!(empty["positions"], serde_json::json!([]));
}

/// Every file below a directory: what is in it, or where a link leads.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut next = vec![dir.to_path_buf()];
    while let Some(dir) = next.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            if kind.is_dir() {
                next.push(path.clone());
            }
            let bytes = match (kind.is_dir(), kind.is_symlink()) {
                (true, _) => Vec::new(),
                (_, true) => fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes(),
                _ => fs::read(&path).expect("a file"),
            };
            found.insert(path, bytes);
        }
    }
    found
}

/// `lotbook position --data-dir` started a host on the directory, which mended, wrote and cut as any start does.
#[test]
fn asking_a_directory_changes_nothing_in_it() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let dir = place.path();
    fed(&LINES[..2], dir, &[]);
    let tail = dir.join("tail").to_string_lossy().into_owned();
    let of_dir = ["--data-dir", "data", "--tail-dir", &tail];
    let asked = |more: &[&str]| {
        let before = contents(dir);
        let answer = position(dir, &of_dir, more);
        let after = contents(dir);
        assert!(before.len() > 10, "{} files", before.len());
        let names = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after));
        let changed: Vec<_> =
            before.iter().filter(|(path, bytes)| after[*path] != **bytes).map(|(path, _)| path).collect();
        assert!(changed.is_empty(), "{changed:?}");
        answer
    };
    assert_eq!(text(&asked(&[]), "quantity"), "60");

    // Of a host that was killed: its end is in the tail, and a start would have to mend the log first.
    let host = Serving::start(dir, &["--tail-dir", &tail]);
    let (status, answer) = host.post("/v1/commands", &LINES[2..].join("\n"));
    assert_eq!(status, 200, "{answer}");
    host.kill();
    let now = asked(&[]);
    assert_eq!(text(&now, "quantity"), "110");
    assert_eq!(text(&asked(&["--as-of", "2024-01-02"]), "quantity"), "150");
    assert_eq!(asked(&[]), now, "asked again, it answers the same");
    let (_, err) = expect(dir, &["position", "A1", "EUR/X", "--data-dir", "nowhere"], 2);
    assert!(err.contains("is not the data directory of a book") && !dir.join("nowhere").exists(), "{err}");

    // And the start after it has everything.
    let host = Serving::start(dir, &["--tail-dir", &tail]);
    until("the late trade is reconciled", || {
        host.get("/v1/positions/A1/EUR%2FX").1["reconciliation_status"] == "RECONCILED"
    });
    let url = format!("http://{}", host.http);
    check(dir, &["--url", &url]);
    host.stop();
}
