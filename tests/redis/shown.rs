//! What Redis shows of a host that nothing befalls: every position, its lots, messages about it, and how far it has come.

use std::collections::BTreeMap;

use lotbook_tests::rig::PATIENCE;
use serde_json::Value;

use crate::desk::{Desk, equal, place, sink, until};
use crate::server::{Answer, Redis};

#[test]
fn positions_lots_and_messages() {
    let Some(redis) = Redis::start(&[]) else { return };
    let place = place(&redis.address(), "prefix = \"desk:\"\n");
    let mut listener = redis.client();
    listener.ask(&["PSUBSCRIBE", "desk:pnl:*"]);
    let (host, mut desk) = (place.start(), Desk::default());
    for _ in 0..10 {
        desk.trade(&host, 200);
    }
    let positions = equal(&host, &redis, "desk:");
    let status = until(&host, "all is shown", |sink| sink["lag_records"] == 0 && sink["rebuilding"].is_null());
    assert_eq!((&status["state"], &status["breaker"]), (&"following".into(), &"closed".into()), "{status:#}");
    assert_eq!((&status["rebuilds"], &status["failures"]), (&1.into(), &0.into()), "{status:#}");
    let mut client = redis.client();
    let through = client.ask(&["HGET", "desk:lotbook", "complete_through"]).text();
    assert!(through.parse::<u64>().expect("a sequence") >= desk.traded(), "{through}");
    assert_eq!(client.ask(&["EXISTS", "lotbook", "positions:acc0"]), Answer::Number(0), "nothing without the prefix");

    // The last message about each position is what the hash has.
    let wanted = status["messages"].as_u64().expect("a number");
    let mut last: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut version = BTreeMap::new();
    for _ in 0..wanted {
        let message = listener.next().expect("a message").list();
        let [_, _, channel, text] = <[Answer; 4]>::try_from(message).expect("pattern, channel and message");
        let channel = channel.text();
        for position in serde_json::from_slice::<Vec<Value>>(&text.bytes()).expect("JSON") {
            let word = |name: &str| position[name].as_str().expect("a name").to_owned();
            assert_eq!(channel, format!("desk:pnl:{}", word("account")));
            let key = (word("account"), word("instrument"));
            let before = version.insert(key.clone(), position["version"].as_u64());
            assert!(before <= Some(position["version"].as_u64()), "versions rise");
            last.insert(key, position);
        }
    }
    assert_eq!(last.len(), positions);
    for ((account, instrument), position) in last {
        let held = client.ask(&["HGET", &format!("desk:positions:{account}"), &instrument]).bytes();
        assert_eq!(serde_json::from_slice::<Value>(&held).expect("JSON"), position);
    }
    let (status, metrics) = host.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("lotbook_redis_state{state=\"following\"} 1"), "{metrics}");
    assert!(metrics.contains("lotbook_redis_lag_records 0"), "{metrics}");
    println!("{} trades, {positions} positions, {wanted} messages: {}", desk.traded(), sink(&host)["conflated"]);
}

/// What the host did last is written before it ends; the next one finds it, and writes what changed since.
#[test]
fn a_host_that_is_stopped_or_killed() {
    let Some(redis) = Redis::start(&[]) else { return };
    let place = place(&redis.address(), "");
    let mut desk = Desk::default();
    for round in 0..4 {
        let mut host = place.start();
        desk.trade(&host, 300);
        if round == 1 {
            equal(&host, &redis, "");
            // A field of a position that no book has, as a book restored to an earlier state would leave it.
            let mut client = redis.client();
            client.ask(&["HSET", "positions:acc1", "gone", "{}"]);
            client.ask(&["HSET", "snapshots:acc1", "gone", "{}"]);
            client.ask(&["HSET", "positions:nobody", "gone", "{}"]);
            client.ask(&["SADD", "lotbook:accounts", "nobody"]);
        }
        if round % 2 == 0 {
            host.process.kill();
        } else {
            assert!(host.process.stop().success(), "{}", place.said());
        }
    }
    let host = place.start();
    host.wait_reconciled(PATIENCE);
    let positions = equal(&host, &redis, "");
    let mut client = redis.client();
    assert_eq!(client.ask(&["EXISTS", "positions:nobody"]), Answer::Number(0));
    println!("5 hosts, {} trades, {positions} positions", desk.traded());
}
