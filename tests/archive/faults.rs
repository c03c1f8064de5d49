//! Killed servers, cut connections, killed hosts: afterwards the archive is the log, nothing twice and nothing missing.

use lotbook_tests::postgres::{Postgres, USER};

use crate::drive::{DATABASE, Desk, place, status, until, until_archived, until_projected, verify};
use crate::proxy::{Cut, Proxy, Whose};

/// Of each kind.
fn faults() -> u64 {
    if std::env::var_os("LOTBOOK_LONG").is_some() { 50 } else { 5 }
}

fn server() -> Postgres {
    let server = Postgres::start();
    server.run("postgres", &format!("CREATE DATABASE {DATABASE}"));
    server
}

fn complete_through(status: &serde_json::Value) -> u64 {
    status["complete_through"].as_u64().expect("a number")
}

#[test]
fn the_server_is_killed_under_load() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let mut server = server();
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = place.start();
    let mut desk = Desk::default();
    for _ in 0..faults() {
        desk.send(&host, 300);
        let before = complete_through(&until(&host, "it follows", |status| status["state"] == "following"));
        desk.send(&host, 300);
        until(&host, "a batch", |status| complete_through(status) > before);
        server.kill();
        // Trading goes on, and the archive says that it does not.
        desk.send(&host, 300);
        until(&host, "it is noticed", |status| status["state"] == "failing");
        server.go_on();
    }
    until_archived(&host);
    let rows = verify(&place);
    let failures = status(&host)["failures"].as_u64().expect("a number");
    assert!(failures >= faults(), "{failures} failures");
    println!("{} kills of the server, {rows} rows, {failures} failed tries", faults());
    assert!(host.process.stop().success());
    let host = place.start();
    until_archived(&host);
    assert!(verify(&place) > rows, "what a stopped host leaves is archived by the next one");
}

#[test]
fn the_connection_is_cut_when_a_commit_was_sent() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = server();
    let proxy = Proxy::to(server.socket());
    let url = format!("host=127.0.0.1 port={} user={USER} dbname={DATABASE}", proxy.address.port());
    let place = place(&url, "migrate = true\n");
    let host = place.start();
    let mut desk = Desk::default();
    desk.send(&host, 200);
    until(&host, "a batch", |status| status["batches"].as_u64() > Some(0));
    for number in 0..faults() {
        let cut = if number % 2 == 0 { Cut::AfterAnswer } else { Cut::AfterCommit };
        let before = until_archived(&host);
        proxy.cut(Whose::Rows, cut);
        desk.send(&host, 250);
        until(&host, "it is cut", |status| status["failures"].as_u64() > before["failures"].as_u64());
        assert_eq!(proxy.cuts(), 2 * number + 1);
        let before = until_projected(&host);
        proxy.cut(Whose::Trades, cut);
        desk.send(&host, 50);
        let failures = |status: &serde_json::Value| status["trades"]["failures"].as_u64();
        until(&host, "the trades are cut", |status| failures(status) > failures(&before));
        assert_eq!(proxy.cuts(), 2 * number + 2);
    }
    until_projected(&host);
    let last = until_archived(&host);
    let rows = verify(&place);
    // Of those that were cut after the answer every batch was there.
    let found = last["commits_found"].as_u64().expect("a number");
    assert!(found >= faults().div_ceil(2), "{last:#}");
    println!("{} cuts each, {found} batches found committed, {rows} rows", faults());
}

#[test]
fn the_host_is_killed_while_it_drains() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let mut server = server();
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let mut host = place.start();
    let mut desk = Desk::default();
    for _ in 0..faults() {
        let before = complete_through(&until(&host, "it follows", |status| status["state"] == "following"));
        server.kill();
        desk.send(&host, 900);
        server.go_on();
        until(&host, "it drains", |status| complete_through(status) > before);
        host.process.kill();
        host = place.start();
    }
    until_archived(&host);
    let rows = verify(&place);
    println!("{} kills of the host, {rows} rows", faults());
}
