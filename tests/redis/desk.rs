//! A host with a Redis, a desk that trades on it, and the comparison of what both show.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served, Terms};
use serde_json::{Value, json};

use crate::server::{Answer, Client, Redis};

/// Accounts and instruments of the desk.
const ACCOUNTS: u64 = 12;
const INSTRUMENTS: u64 = 25;
/// What there may be of positions.
pub(crate) const POSITIONS_MAX: u64 = ACCOUNTS * INSTRUMENTS;

/// A place whose host writes to no Redis.
pub(crate) fn plain() -> Place {
    Place::new(&Terms {
        checkpoint_records: 5_000,
        business_date: "2020-03-31".to_owned(),
        trade_ids_max: 1 << 20,
        ..Terms::default()
    })
}

/// A place whose host writes to a Redis.
pub(crate) fn place(address: &str, more: &str) -> Place {
    let place = plain();
    let section = "interval_ms = 5\nbatch = 64\ntimeout_ms = 2000\nbreaker_open_ms = 200\n";
    place.configure(&format!("\n[archive.redis]\naddress = \"{address}\"\n{section}{more}"));
    place
}

/// Trades, one after the other, the same in every run.
#[derive(Default)]
pub(crate) struct Desk {
    next: u64,
}

impl Desk {
    /// Sends some trades; each must be answered as it should.
    pub(crate) fn trade(&mut self, host: &Served, count: u64) {
        let mut body = String::new();
        for number in self.next..self.next + count {
            // A plain mixing of the number: accounts, instruments, sides and dates in no order, some of them late.
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            let (account, instrument) = (mixed % ACCOUNTS, mixed / 64 % INSTRUMENTS);
            let side = if mixed / 4_096 % 3 == 0 { "sell" } else { "buy" };
            let day = if mixed / 65_536 % 40 == 0 { "2020-03-02" } else { "2020-03-31" };
            let line = json!({"type": "trade", "trade_id": format!("T{number}"), "account": format!("acc{account}"),
                "instrument": format!("I {instrument}"), "side": side, "quantity": (mixed % 97 + 1).to_string(),
                "price": format!("{}.{:02}", mixed % 50 + 1, mixed % 100), "effective_date": day});
            body.push_str(&format!("{line}\n"));
        }
        self.next += count;
        let (status, answer) = host.post("application/x-ndjson", &body);
        assert_eq!(status, 200, "{answer:#}");
        for result in answer["results"].as_array().expect("results") {
            let outcome = result["outcome"].as_str();
            assert!(matches!(outcome, Some("applied" | "provisional")), "{result}");
        }
    }

    pub(crate) fn traded(&self) -> u64 {
        self.next
    }
}

/// What the host says of its sink.
pub(crate) fn sink(host: &Served) -> Value {
    host.json("/health/detailed")["redis"].clone()
}

/// Waits until something holds of what the host says of its sink.
#[track_caller]
pub(crate) fn until(host: &Served, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    host.until("/redis", what, PATIENCE, holds)
}

/// Every position of the host by account and instrument, as HTTP gives it.
fn told(host: &Served) -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    let mut next = String::new();
    loop {
        let page = host.json(&format!("/v1/positions?lots=true&limit=1000{next}"));
        for position in page["positions"].as_array().expect("positions") {
            let word = |name: &str| position[name].as_str().expect("a name").to_owned();
            all.insert((word("account"), word("instrument")), position.clone());
        }
        match page["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => return all,
        }
    }
}

/// Fields of a hash.
fn hash(client: &mut Client, key: &str) -> Vec<(String, Vec<u8>)> {
    let mut fields = client.ask(&["HGETALL", key]).list().into_iter();
    let mut all = Vec::new();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        all.push((name.text(), value.bytes()));
    }
    all
}

/// Positions and lots of every account, as Redis has them.
fn held(client: &mut Client, prefix: &str) -> [BTreeMap<(String, String), Value>; 2] {
    let accounts = client.ask(&["SMEMBERS", &format!("{prefix}lotbook:accounts")]).list();
    let (mut positions, mut snapshots) = (BTreeMap::new(), BTreeMap::new());
    for account in accounts.into_iter().map(Answer::text) {
        for (instrument, value) in hash(client, &format!("{prefix}positions:{account}")) {
            let value = serde_json::from_slice(&value).expect("JSON");
            positions.insert((account.clone(), instrument), value);
        }
        for (instrument, value) in hash(client, &format!("{prefix}snapshots:{account}")) {
            let value = zstd::stream::decode_all(&value[..]).expect("zstd");
            snapshots.insert((account.clone(), instrument), serde_json::from_slice(&value).expect("JSON"));
        }
    }
    [positions, snapshots]
}

/// What is true only at the moment of an answer is left out.
fn lasting(mut position: Value) -> (Value, Value) {
    let fields = position.as_object_mut().expect("an object");
    fields.remove("as_of_sequence");
    let mut lots = fields.remove("lots").unwrap_or_default();
    if let Some(mark) = fields.get_mut("mark").and_then(Value::as_object_mut) {
        mark.remove("age_ms");
        mark.remove("at");
    }
    for lot in lots.as_array_mut().into_iter().flatten() {
        lot["unrealized_pnl"] = Value::Null;
    }
    (position, lots)
}

/// What is different, if anything is.
fn difference(host: &Served, client: &mut Client, prefix: &str) -> Option<String> {
    let told = told(host);
    let [positions, snapshots] = held(client, prefix);
    let names = |map: &BTreeMap<(String, String), Value>| map.keys().cloned().collect::<Vec<_>>();
    if names(&told) != names(&positions) || names(&told) != names(&snapshots) {
        return Some(format!("{} positions, {} in Redis, lots of {}", told.len(), positions.len(), snapshots.len()));
    }
    for (key, position) in told {
        let (position, lots) = lasting(position);
        let (shown, _) = lasting(positions[&key].clone());
        if position != shown {
            return Some(format!("{key:?}: HTTP {position:#}\nRedis {shown:#}"));
        }
        let snapshot = &snapshots[&key];
        let same = ["account", "instrument", "version", "quantity", "reconciliation_status"]
            .iter()
            .all(|name| snapshot[name] == position[name]);
        if !same || snapshot["lots"] != lots {
            return Some(format!("{key:?}: HTTP {lots:#}\nRedis {snapshot:#}"));
        }
    }
    let state = client.ask(&["HGET", &format!("{prefix}lotbook"), "state"]);
    (state != Answer::Text(b"complete".to_vec())).then(|| format!("the marker is {state:?}"))
}

/// Waits until Redis shows what HTTP says, of every position and every field; says how many there are.
#[track_caller]
pub(crate) fn equal(host: &Served, redis: &Redis, prefix: &str) -> usize {
    host.wait_reconciled(PATIENCE);
    let mut client = redis.client();
    let deadline = Instant::now() + PATIENCE;
    while let Some(different) = difference(host, &mut client, prefix) {
        assert!(Instant::now() < deadline, "{different}\n{:#}", sink(host));
        std::thread::sleep(Duration::from_millis(20));
    }
    told(host).len()
}
