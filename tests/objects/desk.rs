//! A host whose segments are shipped: what it is sent, what its book is, and the tools that bring it back.

use std::path::{Path, PathBuf};
use std::process::Command;

use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served, Terms, program};
use serde_json::{Value, json};

/// Trades of one request.
const BATCH: u64 = 500;

/// A place that ships to where `section` says, and copies its tails all the time.
pub(crate) fn place(section: &str) -> Place {
    let place = Place::new(&Terms { checkpoint_records: 2_000, trade_ids_max: 1 << 18, ..Terms::default() });
    place.configure(section);
    place
}

/// Ships to a directory beside the data directory.
pub(crate) fn folder() -> Place {
    let place = place("");
    let archive = archive_dir(&place);
    place.configure(&format!(
        "\n[retention]\narchive_dir = \"{}\"\ntail_copy_ms = 100\ncheck_ms = 10\nplain_segments = 1\n",
        archive.display()
    ));
    place
}

/// What [`folder`] ships to.
pub(crate) fn archive_dir(place: &Place) -> PathBuf {
    place.config().with_file_name("archive")
}

/// Sends trades with numbers from `from` on; one in a hundred is late, one in fifty cancels another.
pub(crate) fn send(host: &Served, from: u64, count: u64) {
    for begin in (from..from + count).step_by(BATCH as usize) {
        let lines: String =
            (begin..(begin + BATCH).min(from + count)).map(|number| format!("{}\n", line(number))).collect();
        let (status, answer) = host.post("application/x-ndjson", &lines);
        assert_eq!(status, 200, "{answer:#}");
    }
}

fn line(number: u64) -> Value {
    let id = format!("t-{number}");
    if number % 50 == 49 {
        return json!({"type": "cancel", "trade_id": id, "cancels": format!("t-{}", number - 20)});
    }
    let day = if number % 100 == 37 { 3 } else { 31 };
    json!({"type": "trade", "trade_id": id, "account": format!("A{}", number % 40), "instrument": format!("I{}", number % 9),
        "side": if number.is_multiple_of(3) { "sell" } else { "buy" }, "quantity": format!("{}", 1 + number % 90),
        "price": format!("{}.25", 10 + number % 13), "effective_date": format!("2020-01-{day:02}"),
        "correlation_id": format!("a-correlation-id-{number:040}")})
}

/// Waits until all late trades are reconciled; then the digest of the book and how many positions it has.
#[track_caller]
pub(crate) fn digest(host: &Served) -> Value {
    host.wait_reconciled(PATIENCE);
    let health = host.json("/health/detailed");
    let book = &health["read_model"];
    assert!(book["economic_digest"].is_string(), "{health:#}");
    json!([book["economic_digest"], book["positions"]])
}

/// Runs `lotbook` with arguments: exit code, the JSON that it printed (null for none), what it complained of.
pub(crate) fn run(arguments: &[&str], place: &Place) -> (i32, Value, String) {
    let mut command = Command::new(program());
    command.current_dir("/").args(arguments).arg("--json").arg("--config").arg(place.config());
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap_or(-1), document, said)
}

/// `lotbook archive restore` into the data directory.
pub(crate) fn restore(place: &Place) -> (i32, Value, String) {
    run(&["archive", "restore"], place)
}

/// Removes the data directory and all that is in shared memory of it, as a lost machine does.
pub(crate) fn lose(place: &Place) {
    std::fs::remove_dir_all(place.data_dir()).expect("the data directory");
    for entry in std::fs::read_dir(place.tail_dir()).expect("the tails").flatten() {
        std::fs::remove_file(entry.path()).expect("a tail");
    }
}

/// Archived segments of the log in that folder of the data directory, shipped to the directory, oldest first.
pub(crate) fn shipped(place: &Place, name: &str) -> Vec<PathBuf> {
    let (_, listed, said) = run(&["archive", "restore", "--list"], place);
    let logs = listed[0]["logs"].as_array().unwrap_or_else(|| panic!("{listed:#}\n{said}"));
    let id =
        logs.iter().find(|log| log["name"] == name).expect("the log")["log_id"].as_str().expect("its id").to_owned();
    segments(&archive_dir(place).join(id))
}

/// Archives in a directory, oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "zst"))
        .collect();
    found.sort();
    found
}
