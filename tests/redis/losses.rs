//! A Redis that is killed, flushed or frozen while trading goes on: all is there again, without a restart of the host.

use std::time::{Duration, Instant};

use lotbook_tests::rig::PATIENCE;

use crate::desk::{Desk, POSITIONS_MAX, equal, place, sink, until};
use crate::server::Redis;
use crate::{is_long, times};

/// Killed and started again, without what it kept, or with a file of commands that may lack the last of them.
#[test]
fn killed_and_started_again() {
    for options in [&[][..], &["--appendonly", "yes", "--appendfsync", "no"]] {
        let Some(mut redis) = Redis::start(options) else { return };
        let place = place(&redis.address(), "");
        let (host, mut desk) = (place.start(), Desk::default());
        for kill in 0..times() {
            desk.trade(&host, 100);
            if kill % 2 == 0 {
                until(&host, "it follows", |sink| sink["state"] == "following");
            }
            desk.trade(&host, 100);
            redis.kill();
            desk.trade(&host, 100);
            redis.run();
        }
        let positions = equal(&host, &redis, "");
        let status = sink(&host);
        println!(
            "{} kills {options:?}: {} trades, {positions} positions, {} rebuilds, {} failures, breaker opened {} times",
            times(),
            desk.traded(),
            status["rebuilds"],
            status["failures"],
            status["breaker_opened"]
        );
    }
}

#[test]
fn flushed_while_trading() {
    let Some(redis) = Redis::start(&[]) else { return };
    let place = place(&redis.address(), "");
    let (host, mut desk) = (place.start(), Desk::default());
    let mut client = redis.client();
    for flush in 0..times() {
        let rebuilds = until(&host, "it follows", |sink| sink["state"] == "following")["rebuilds"].clone();
        desk.trade(&host, 200);
        client.ask(&[if flush % 2 == 0 { "FLUSHALL" } else { "FLUSHDB" }]);
        desk.trade(&host, 200);
        until(&host, "all is written anew", |sink| sink["rebuilds"].as_u64() > rebuilds.as_u64());
    }
    let positions = equal(&host, &redis, "");
    let status = sink(&host);
    assert_eq!(status["failures"], 0, "a flushed database is no failure: {status:#}");
    println!("{} flushes: {} trades, {positions} positions, {} rebuilds", times(), desk.traded(), status["rebuilds"]);
}

/// Whatever Redis does, trades are answered, and what waits for it is never more than there are positions.
#[test]
fn frozen_while_trading() {
    let Some(redis) = Redis::start(&[]) else { return };
    let place = place(&redis.address(), "");
    let (host, mut desk) = (place.start(), Desk::default());
    desk.trade(&host, 1_000);
    equal(&host, &redis, "");
    let before = memory_kib(host.process.pid());
    redis.signal(libc::SIGSTOP);
    let (least, began) = (Duration::from_secs(if is_long() { 60 } else { 3 }), Instant::now());
    let mut rounds = 0;
    // Until it was silent for so long that the sink has given up at least once.
    while rounds < 10 || began.elapsed() < least || sink(&host)["failures"].as_u64() < Some(1) {
        if rounds < 10_000 {
            desk.trade(&host, 100);
        }
        let status = sink(&host);
        assert!(status["backlog_positions"].as_u64() <= Some(POSITIONS_MAX), "{status:#}");
        rounds += 1;
        assert!(began.elapsed() < least + Duration::from_secs(60), "{status:#}");
    }
    let status = sink(&host);
    redis.signal(libc::SIGCONT);
    let positions = equal(&host, &redis, "");
    println!(
        "frozen for {:?}: {} trades answered, {positions} positions, {} failures, {} conflated, {} KiB before, {} KiB after",
        began.elapsed(),
        desk.traded(),
        status["failures"],
        status["conflated"],
        before,
        memory_kib(host.process.pid())
    );
    assert!(status["conflated"].as_u64() > Some(0), "{status:#}");
    if is_long() {
        // The control: a host without a sink, given the same trades, and asked for its positions as often.
        let plain = crate::desk::plain();
        let (host, mut control) = (plain.start(), Desk::default());
        while control.traded() < desk.traded() {
            control.trade(&host, 100);
        }
        host.wait_reconciled(PATIENCE);
        println!("a host without a sink, {} trades: {} KiB", control.traded(), memory_kib(host.process.pid()));
    }
}

fn memory_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process that lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
