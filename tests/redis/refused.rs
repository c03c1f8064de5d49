//! A Redis that refuses: a clear word, a breaker that opens, trades answered all the while, and no restart once it is put right.

use crate::desk::{Desk, equal, place, until};
use crate::server::Redis;

#[test]
fn a_wrong_password() {
    let Some(redis) = Redis::start(&["--requirepass", "right"]) else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("password");
    let place = place(&redis.address(), &format!("password_file = \"{}\"\n", file.display()));
    let (host, mut desk) = (place.start(), Desk::default());
    let told =
        |what: &'static str| move |sink: &serde_json::Value| sink["problem"].as_str().is_some_and(|p| p.contains(what));
    until(&host, "no file", told("the password of Redis cannot be read"));
    std::fs::write(&file, "wrong\n").expect("the file");
    until(&host, "a wrong password", told("Redis refuses AUTH: WRONGPASS"));
    desk.trade(&host, 100);
    until(&host, "the breaker opens", |sink| sink["breaker_opened"].as_u64() >= Some(1));
    let health = host.json("/health");
    assert_eq!((&health["status"], &health["ready"]), (&"degraded".into(), &true.into()), "{health:#}");
    std::fs::write(&file, "right\n").expect("the file");
    let status = until(&host, "the right one", |sink| sink["state"] == "following");
    assert_eq!((&status["problem"], &status["breaker"]), (&serde_json::Value::Null, &"closed".into()));
    let mut client = redis.client();
    client.ask(&["AUTH", "right"]);
    client.ask(&["CONFIG", "SET", "requirepass", ""]);
    println!("{} positions", equal(&host, &redis, ""));
}

#[test]
fn a_wrong_database() {
    let Some(redis) = Redis::start(&["--databases", "4"]) else { return };
    let place = place(&redis.address(), "database = 7\n");
    let (host, mut desk) = (place.start(), Desk::default());
    until(&host, "no such database", |sink| {
        sink["problem"].as_str().is_some_and(|problem| problem.contains("Redis refuses SELECT: ERR"))
    });
    desk.trade(&host, 100);
    assert!(host.process.stop().success(), "{}", place.said());
}

#[test]
fn nobody_there() {
    let Some(mut redis) = Redis::start(&[]) else { return };
    redis.kill();
    let place = place(&redis.address(), "");
    let (host, mut desk) = (place.start(), Desk::default());
    until(&host, "nobody", |sink| {
        sink["problem"].as_str().is_some_and(|problem| problem.contains("cannot be connected"))
    });
    desk.trade(&host, 100);
    redis.run();
    println!("{} positions", equal(&host, &redis, ""));
}

/// Two hosts with one database: the second is refused, naming both logs, and the first goes on; until it is handed over.
#[test]
fn the_database_of_another_log() {
    let Some(redis) = Redis::start(&[]) else { return };
    let places = [place(&redis.address(), ""), place(&redis.address(), "")];
    let (first, mut desk) = (places[0].start(), Desk::default());
    desk.trade(&first, 100);
    equal(&first, &redis, "");
    let (second, mut other) = (places[1].start(), Desk::default());
    let log = |host: &lotbook_tests::server::Served| {
        host.json("/health/detailed")["log"]["log_id"].as_str().expect("an id").to_owned()
    };
    let status = until(&second, "refused", |sink| sink["state"] == "refused");
    let problem = status["problem"].as_str().expect("words").to_owned();
    assert!(problem.contains(&log(&first)) && problem.contains(&log(&second)), "{problem}");
    other.trade(&second, 50);
    desk.trade(&first, 100);
    equal(&first, &redis, "");
    assert!(first.process.stop().success(), "{}", places[0].said());
    redis.client().ask(&["DEL", "lotbook"]);
    println!("{} positions", equal(&second, &redis, ""));
}
