//! A data directory that is gone comes back with the same book; what cannot come back is named.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, program};
use serde_json::json;

use crate::desk::{archive_dir, digest, folder, lose, place, restore, run, segments, send, shipped};
use crate::server::Server;

/// Trades that fill a few segments.
const TRADES: u64 = 8_000;

/// Stopped, its directory deleted, brought back, and it goes on; then killed, and brought back up to what was copied.
fn comes_back(place: &Place) {
    let host = place.start();
    send(&host, 0, TRADES);
    let wanted = digest(&host);
    let status = host.process.stop();
    assert!(status.success(), "{status}: {}", place.said());
    lose(place);
    let (code, report, said) = restore(place);
    assert_eq!(code, 0, "{report:#}\n{said}");
    assert_eq!(report["complete"], json!(true));
    let main = report["logs"].as_array().expect("logs").iter().find(|log| log["name"] == "log").expect("the main log");
    assert!(main["segments"].as_u64() >= Some(2), "{report:#}");

    let host = place.start();
    assert_eq!(digest(&host), wanted);
    // What was answered is known: sent again it changes nothing.
    send(&host, TRADES - 500, 500);
    assert_eq!(digest(&host), wanted);
    // It goes on, and is killed.
    send(&host, TRADES, 2_000);
    let wanted = digest(&host);
    drop(host);
    lose(place);
    let (code, report, said) = restore(place);
    assert!(code == 0 || code == 1, "{report:#}\n{said}");
    let host = place.start();
    // Whatever did not come back comes by being sent again, and nothing counts twice.
    send(&host, TRADES, 2_000);
    assert_eq!(digest(&host), wanted);
    assert!(host.process.stop().success());
    println!("brought back twice: {report:#}");
}

#[test]
fn a_deleted_data_directory_comes_back_with_the_same_book() {
    comes_back(&folder());
}

#[test]
fn it_comes_back_from_a_store_that_speaks_s3() {
    let Some(server) = Server::start() else { return };
    let place = place(&server.section("hosts/one"));
    place.configure("\n[retention]\ntail_copy_ms = 100\ncheck_ms = 10\nplain_segments = 1\n");
    comes_back(&place);
    // Wrong keys are told, and are in no message.
    let keys = fs::read_to_string(server.keys()).expect("the keys");
    fs::write(server.keys(), keys.replace("the-secret-of-tests", "another-secret")).expect("room");
    lose(&place);
    let (code, _, said) = restore(&place);
    assert_eq!(code, 2, "{said}");
    assert!(!said.contains("another-secret"), "{said}");
    fs::write(server.keys(), keys).expect("room");
    let (code, report, said) = restore(&place);
    assert!(code == 0 || code == 1, "{report:#}\n{said}");
    // A damaged segment comes back from there.
    let data = place.data_dir();
    let victim = segments(&data.join("log")).remove(0);
    let mut bytes = fs::read(&victim).expect("an archive");
    bytes[1_000] ^= 1;
    fs::write(&victim, bytes).expect("room");
    let data = data.display().to_string();
    let (code, report, said) = run(&["wal", "repair", &data, "--write"], &place);
    assert_eq!((code, &report["state"]), (0, &json!("repaired")), "{report:#}\n{said}");
    let copy = report["logs"][0]["steps"][0]["copy"].as_str().expect("a copy").to_owned();
    assert!(copy.starts_with("s3://"), "{copy}");
    let (code, report, said) = run(&["wal", "verify", &data], &place);
    assert_eq!(code, 0, "{report:#}\n{said}");
}

#[test]
fn what_is_missing_is_named_and_nothing_takes_the_place_of_anything() {
    let place = folder();
    let host = place.start();
    send(&host, 0, TRADES);
    let wanted = digest(&host);
    assert!(host.process.stop().success());
    // A directory that is not empty stays as it is.
    let (code, _, said) = restore(&place);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("not empty"), "{said}");
    let there = shipped(&place, "log");
    assert!(there.len() >= 2, "{there:?}");
    lose(&place);
    let aside = there[0].with_extension("aside");
    fs::rename(&there[0], &aside).expect("renamed");
    let whole = fs::read(&there[1]).expect("an archive");
    let mut bytes = whole.clone();
    bytes[2_000] ^= 1;
    fs::write(&there[1], bytes).expect("room");
    let (code, _, said) = restore(&place);
    assert_eq!(code, 2, "{said}");
    for path in &there[..2] {
        assert!(said.contains(&path.display().to_string()), "{said}");
    }
    assert!(!place.data_dir().exists(), "nothing took the directory's place");
    fs::rename(&aside, &there[0]).expect("renamed");
    fs::write(&there[1], whole).expect("room");
    let (code, report, said) = restore(&place);
    assert_eq!(code, 0, "{report:#}\n{said}");
    let host = place.start();
    assert_eq!(digest(&host), wanted);
    assert!(host.process.stop().success());

    // One copy of a segment is damaged, then both.
    let (here, away) = (segments(&place.data_dir().join("log")).remove(0), shipped(&place, "log").remove(0));
    let harm = |path: &std::path::Path| {
        let mut bytes = fs::read(path).expect("an archive");
        bytes[1_500] ^= 1;
        fs::write(path, bytes).expect("room");
    };
    harm(&here);
    let data = place.data_dir().display().to_string();
    let (code, report, said) = run(&["wal", "repair", &data], &place);
    assert_eq!((code, &report["state"]), (1, &json!("repairable")), "{report:#}\n{said}");
    let (code, report, said) = run(&["wal", "repair", &data, "--write"], &place);
    assert_eq!((code, &report["state"]), (0, &json!("repaired")), "{report:#}\n{said}");
    harm(&here);
    harm(&away);
    let (code, report, said) = run(&["wal", "repair", &data, "--write"], &place);
    assert_eq!((code, &report["state"]), (2, &json!("damaged")), "{report:#}\n{said}");
    let named = report.to_string();
    assert!(named.contains(&here.display().to_string()), "{report:#}");
}

#[test]
fn a_restore_that_is_killed_goes_on_when_it_is_run_again() {
    let place = folder();
    let host = place.start();
    send(&host, 0, TRADES);
    let wanted = digest(&host);
    assert!(host.process.stop().success());
    lose(&place);
    let staging = place.data_dir().with_file_name("data.restoring");
    let rounds = if std::env::var_os("LOTBOOK_LONG").is_some() { 50 } else { 5 };
    let mut cut = 0;
    for round in 0..rounds {
        let mut command = Command::new(program());
        command
            .args(["archive", "restore", "--config"])
            .arg(place.config())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        let begun = Instant::now();
        // Somewhere in it: after so many files are there.
        let files = || fs::read_dir(staging.join("log")).into_iter().flatten().count();
        while child.try_wait().expect("a child").is_none() && files() < 1 + round % 7 {
            assert!(begun.elapsed() < PATIENCE, "it neither ends nor goes on");
            std::thread::sleep(Duration::from_micros(200));
        }
        // An error says that it has ended already.
        let _ = child.kill();
        cut += u32::from(!child.wait().expect("a child").success());
        if place.data_dir().exists() {
            lose(&place);
        }
    }
    let (code, report, said) = restore(&place);
    assert_eq!(code, 0, "{report:#}\n{said}");
    assert!(!staging.exists());
    let host = place.start();
    assert_eq!(digest(&host), wanted);
    assert!(host.process.stop().success());
    println!(
        "{cut} of {rounds} restores were killed; {} archives in {}",
        segments(&archive_dir(&place)).len(),
        staging.display()
    );
}
