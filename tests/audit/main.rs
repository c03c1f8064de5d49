//! Audit questions over HTTP against the real binary: by position, trade, user, correlation and time, page by page; and what caused what.

use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served, Terms, program};
use serde_json::{Value, json};

fn place() -> Place {
    Place::new(&Terms::default())
}

fn trade(id: &str, account: &str, side: &str, quantity: u32, date: &str, user: &str) -> Value {
    json!({"type": "trade", "trade_id": id, "account": account, "instrument": "X", "side": side, "quantity": quantity.to_string(),
        "price": "10", "effective_date": date, "user_id": user, "correlation_id": format!("of-{id}")})
}

/// A day with a late trade and a cancel.
fn day(host: &Served) {
    let mut lines: Vec<Value> = (0..30)
        .map(|n| trade(&format!("t{n}"), ["A", "B"][n % 2], "buy", 5, "2020-01-10", ["ann", "bob", "eve"][n % 3]))
        .collect();
    lines.push(trade("late", "A", "buy", 7, "2020-01-02", "ann"));
    lines.push(
        json!({"type": "cancel", "trade_id": "x4", "cancels": "t4", "user_id": "bob", "correlation_id": "of-x4"}),
    );
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (status, answer) = host.post("application/x-ndjson", &body);
    assert_eq!(status, 200, "{answer:#}");
    host.wait_reconciled(PATIENCE);
    // The audit tells only what is durable, and the last correction is applied before it is that.
    host.until("/log/lag_records", "everything is durable", PATIENCE, |lag| *lag == 0);
}

/// All events of a question, over as many pages as it takes.
fn all(host: &Served, question: &str, limit: usize) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = host.json(&format!("/v1/audit?limit={limit}&after={after}&{question}"));
        let found = page["events"].as_array().expect("events");
        assert!(found.len() <= limit);
        events.extend_from_slice(found);
        let complete = page["complete_through"].as_u64().expect("a sequence");
        assert!(found.iter().all(|event| event["sequence"].as_u64().expect("a sequence") <= complete));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => {
                assert_eq!(page["complete_through"], page["durable_sequence"], "the last page has everything");
                return events;
            }
        }
    }
}

fn words(events: &[Value], field: &str) -> Vec<String> {
    events.iter().map(|event| event[field].as_str().unwrap_or("?").to_owned()).collect()
}

#[test]
fn questions_are_answered_page_by_page() {
    let place = place();
    let host = place.start();
    day(&host);
    let whole = all(&host, "", 1_000);
    assert!(whole.iter().is_sorted_by_key(|event| event["sequence"].as_u64()), "in the log's order");

    let of_t4 = all(&host, "trade_id=t4", 100);
    assert_eq!(words(&of_t4, "trade_id")[0], "t4");
    assert_eq!(words(&of_t4, "kind").len(), 2, "the trade and its cancel: {of_t4:#?}");
    assert_eq!(of_t4[1]["user_id"], "bob");
    let kinds = words(&all(&host, "correlation_id=of-late", 100), "kind");
    assert_eq!(kinds, ["ProvisionalTradeApplied"]);
    for (user, count) in [("ann", 11), ("bob", 11), ("eve", 10), ("nobody", 0)] {
        let found = all(&host, &format!("user_id={user}"), 3);
        assert_eq!(found.len(), count, "{user}: {:?}", words(&found, "trade_id"));
        assert!(words(&found, "user_id").iter().all(|found| found == user));
    }
    // By pages of any size the same events, and the two positions are all that any event is of.
    let of = |account: &str, limit| all(&host, &format!("account={account}&instrument=X"), limit);
    let (a, b) = (of("A", 1_000), of("B", 1_000));
    for limit in [1, 2, 7] {
        assert_eq!(of("A", limit), a);
    }
    let with_account = whole.iter().filter(|event| event["account"].is_string());
    assert_eq!(a.len() + b.len(), with_account.count());
    assert!(all(&host, "instrument=Y", 100).is_empty());
    let corrected = all(&host, "kind=corrected&account=A", 100);
    assert!(!corrected.is_empty() && corrected.iter().all(|event| event["kind"] == "HistoricalPositionCorrected"));
    assert!(corrected[0]["lots"].is_array(), "lot by lot: {:#}", corrected[0]);
    // Times: from the one on, before the other.
    let at = |event: &Value| event["origin"]["occurred_at"].as_str().expect("a time").to_owned();
    let (first, last) = (at(&a[0]), at(&a[a.len() - 1]));
    let within = all(&host, &format!("account=A&from={first}&to={last}"), 100);
    let expected: Vec<&Value> = a.iter().filter(|event| (&first..&last).contains(&&at(event))).collect();
    assert_eq!(within.iter().collect::<Vec<_>>(), expected);
    assert!(all(&host, "from=2200-01-01T00:00:00Z", 100).is_empty());

    for (question, status) in [("after=999999999", 409), ("colour=red", 400), ("limit=0", 400)] {
        assert_eq!(host.get(&format!("/v1/audit?{question}")).0, status, "{question}");
    }
    println!("{} events, {} of A, {} of B", whole.len(), a.len(), b.len());
}

#[test]
fn what_caused_what() {
    let place = place();
    let host = place.start();
    day(&host);
    let late = &all(&host, "trade_id=late", 100)[0];
    let chain = |sequence: &Value| host.json(&format!("/v1/audit/chain?sequence={sequence}"));
    let of_late = chain(&late["sequence"]);
    assert_eq!((&of_late["chain"]["trade_id"], &of_late["found"]), (&json!("late"), &json!(true)), "{of_late:#}");
    let caused = all(&host, &format!("causation={}", late["sequence"]), 100);
    let below = of_late["chain"]["caused"].as_array().cloned().unwrap_or_default();
    assert_eq!(words(&caused, "kind"), words(&below, "kind"));
    // A replay may have taken the cancel along, and then that is the correction's cause.
    let corrected = &all(&host, "kind=corrected&account=A", 100)[0];
    let of_corrected = chain(&corrected["sequence"]);
    assert_eq!(of_corrected["root_sequence"], corrected["origin"]["causation"], "{of_corrected:#}");
    let below = of_corrected["chain"]["caused"].as_array().expect("what it caused");
    assert!(below.iter().any(|event| event["sequence"] == corrected["sequence"]));
    let plain = &all(&host, "trade_id=t7", 100)[0];
    assert_eq!(
        (&chain(&plain["sequence"])["events"], &chain(&plain["sequence"])["chain"]["caused"]),
        (&json!(1), &Value::Null)
    );
    for (question, status) in [("", 400), ("?sequence=0", 400), ("?sequence=999999999", 409)] {
        assert_eq!(host.get(&format!("/v1/audit/chain{question}")).0, status, "{question}");
    }
}

/// The command line asks as many pages as it takes, and says up to where it is complete.
#[test]
fn the_command_line_writes_what_http_says() {
    let place = place();
    let host = place.start();
    day(&host);
    let url = format!("http://{}", host.http);
    let run = |arguments: &[&str], code: i32| {
        let mut command = std::process::Command::new(program());
        let output = command.arg("audit").args(arguments).args(["--url", &url]).output().expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}\n{err}");
        (out, err)
    };
    let durable = host.json("/v1/audit?limit=1")["durable_sequence"].clone();
    for (arguments, question) in [
        (&["--account", "A", "--instrument", "X"][..], "account=A&instrument=X"),
        (&["--trade", "t4"], "trade_id=t4"),
        (&["--user", "ann", "--kind", "trade"], "user_id=ann&kind=trade"),
        (&["--correlation", "of-late"], "correlation_id=of-late"),
        (&["--from", "2200-01-01T00:00:00Z"], "from=2200-01-01T00:00:00Z"),
    ] {
        let (out, err) = run(arguments, 0);
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let told = all(&host, question, 1_000);
        assert_eq!(lines, told, "{arguments:?}");
        assert!(err.contains(&format!("complete through sequence {durable}")), "{err}");
        let (csv, _) = run(&[arguments, &["--format", "csv"]].concat(), 0);
        assert!(csv.starts_with("sequence,kind,occurred_at,account,"), "{csv}");
        assert_eq!(csv.lines().count(), told.len() + 1, "{csv}");
    }
    let late = &all(&host, "trade_id=late", 100)[0];
    let (out, _) = run(&["--chain", &late["sequence"].to_string()], 0);
    let tree: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(tree, host.json(&format!("/v1/audit/chain?sequence={}", late["sequence"]))["chain"]);
    let (_, err) = run(&["--from", "yesterday"], 2);
    assert!(err.contains("--from"), "{err}");
}
