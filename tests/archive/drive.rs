//! A host that trades and archives: what it is sent, and how the archive is held against its log.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served, Terms, program};
use serde_json::{Value, json};

/// Database of the archive.
pub(crate) const DATABASE: &str = "books";

/// A place with an archive at this address; small batches, so that there are many, and short waits after failures. Trades of any date come in.
pub(crate) fn place(url: &str, more: &str) -> Place {
    let place = Place::new(&Terms { checkpoint_records: 500, trade_ids_max: 1 << 20, ..Terms::default() });
    place.configure(&format!(
        "\n[gate]\ndays_ahead_max = 0\n\n[archive.postgres]\nurl = \"{url}\"\nbatch_rows = 100\nbacklog_rows = 200\nbatch_delay_ms = 20\nbreaker_failures = 3\n\
         breaker_open_ms = 50\n{more}"
    ));
    place
}

/// Trades with numbers: over a few positions, some late, some refused, some cancelled later.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    sent: u64,
}

impl Desk {
    /// Sends so many lines and wants an answer to each.
    pub(crate) fn send(&mut self, host: &Served, count: u64) {
        let lines: Vec<Value> = (self.sent..self.sent + count).map(line).collect();
        self.sent += count;
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let answer = post(host, &body);
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(lines.len()), "{answer:#}");
    }
}

fn line(number: u64) -> Value {
    let account = format!("ACC/{}", number % 7);
    let instrument = format!("I{}", number % 5);
    let id = format!("t-{number}");
    let date = format!("2020-01-{:02}", 1 + number * 7 % 30);
    match number % 11 {
        // A cancel of a trade that came a while ago, or is none.
        9 => json!({"type": "cancel", "trade_id": id, "cancels": format!("t-{}", number.saturating_sub(11 * 3 + 2))}),
        // Refused: no such quantity.
        10 => json!({"type": "trade", "trade_id": id, "account": account, "instrument": instrument, "side": "buy",
            "quantity": "0", "price": "1", "effective_date": date}),
        kind => json!({"type": "trade", "trade_id": id, "account": account, "instrument": instrument,
            "side": if kind % 3 == 0 { "sell" } else { "buy" }, "quantity": format!("{}.{:08}", 1 + number % 90, number),
            "price": format!("{}.5", 10 + number % 13), "effective_date": date, "user_id": "jo"}),
    }
}

pub(crate) fn post(host: &Served, body: &str) -> Value {
    let mut stream = TcpStream::connect_timeout(&host.http, PATIENCE).expect("an open door");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let length = body.len();
    let head =
        "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n";
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// What the host says of its archive.
pub(crate) fn status(host: &Served) -> Value {
    host.json("/health/detailed")["archive"]["postgres"].clone()
}

/// Waits until what it says holds.
#[track_caller]
pub(crate) fn until(host: &Served, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    host.until("/archive/postgres", what, PATIENCE, holds)
}

/// Waits until everything is archived, late trades reconciled and no more to come.
#[track_caller]
pub(crate) fn until_archived(host: &Served) -> Value {
    host.wait_reconciled(PATIENCE);
    until(host, "all is archived", |status| status["lag_records"] == 0 && status["state"] == "following")
}

/// Waits until all that is archived is projected.
#[track_caller]
pub(crate) fn until_projected(host: &Served) -> Value {
    until_archived(host);
    until(host, "all is projected", |status| {
        status["trades"]["lag_records"] == 0 && status["trades"]["state"] == "following"
    })
}

/// Runs `lotbook archive ...`: exit code, the JSON that it printed (null for none), what it complained of.
pub(crate) fn archive(place: &Place, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(program());
    command.current_dir("/").env_remove("PGPASSWORD").arg("archive").args(arguments).arg("--json");
    let output = command.arg("--config").arg(place.config()).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap_or(-1), document, said)
}

/// The archive equals the log in every row and column; how many rows.
#[track_caller]
pub(crate) fn verify(place: &Place) -> u64 {
    let (code, report, said) = archive(place, &["verify"]);
    assert_eq!(code, 0, "{report:#}\n{said}");
    assert_eq!((&report["differences_count"], &report["records"]), (&json!(0), &report["rows"]), "{report:#}");
    report["rows"].as_u64().expect("a number")
}
