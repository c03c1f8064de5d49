//! Commands through the HTTP door of a real process: every type of line, one or many; what was answered is there after a
//! kill, and sent again it is a duplicate.

use lotbook_tests::rig::PATIENCE;
use lotbook_tests::server::{Place, Served, Terms};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn place() -> Place {
    Place::new(&Terms::default())
}

fn post(host: &Served, kind: &str, body: &str) -> (u16, Value) {
    host.post(kind, body)
}

fn one(host: &Served, line: &Value) -> (u16, Value) {
    post(host, JSON, &line.to_string())
}

fn many(host: &Served, lines: &[Value]) -> Vec<Value> {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (status, answer) = post(host, LINES, &body);
    assert_eq!(status, 200, "{answer:#}");
    answer["results"].as_array().expect("results").clone()
}

fn trade(id: &str, side: &str, quantity: &str, price: &str, date: &str) -> Value {
    json!({"type": "trade", "trade_id": id, "account": "A", "instrument": "X", "side": side, "quantity": quantity,
        "price": price, "effective_date": date})
}

fn position(host: &Served, path: &str) -> Value {
    host.wait_reconciled(PATIENCE);
    host.json(&format!("/v1/positions/{path}"))
}

#[test]
fn one_line_is_answered_by_itself() {
    let place = place();
    let host = place.start();
    let (status, done) = one(&host, &trade("b", "buy", "10", "10", "2020-01-02"));
    assert_eq!(status, 200, "{done}");
    assert_eq!((&done["type"], &done["id"], &done["outcome"]), (&json!("trade"), &json!("b"), &json!("applied")));
    assert_eq!((&done["version"], &done["reason"]), (&json!(1), &json!(null)));
    let first = done["sequence"].clone();
    assert!(done["correlation_id"].as_str().is_some_and(|id| id.len() > 36), "{done}");

    let (status, again) = one(&host, &trade("b", "buy", "10", "10", "2020-01-02"));
    assert_eq!((status, &again["outcome"], &again["first_outcome"]), (200, &json!("duplicate"), &json!("applied")));
    assert_eq!(again["sequence"], first);

    let (status, sold) = one(&host, &trade("s", "sell", "4", "12", "2020-01-03"));
    assert_eq!((status, &sold["realized_pnl"]), (200, &json!("8")));

    let (status, refused) = one(&host, &trade("b", "buy", "11", "10", "2020-01-02"));
    assert_eq!((status, &refused["type"], &refused["code"]), (409, &json!("/problems/refused"), &json!("ID_CONFLICT")));
    let (status, refused) = one(&host, &trade("z", "buy", "0", "10", "2020-01-02"));
    assert_eq!((status, &refused["code"]), (409, &json!("BAD_QUANTITY")));

    // What cannot be read sends nothing.
    for (body, parameter) in [
        ("{\"type\":\"trade\"}", None),
        ("", None),
        ("{", None),
        (
            "{\"type\":\"trade\",\"trade_id\":\"q\",\"account\":\"A\",\"instrument\":\"X\",\"side\":\"up\",\"quantity\":\"1\",\"price\":\"1\",\"effective_date\":\"2020-01-02\"}",
            Some("side"),
        ),
        (
            "{\"type\":\"resolve\",\"account\":\"A\",\"instrument\":\"X\",\"user_id\":\"u\",\"reason\":\"r\"}",
            Some("type"),
        ),
    ] {
        let (status, problem) = post(&host, JSON, body);
        assert_eq!((status, &problem["type"]), (400, &json!("/problems/bad-parameter")), "{body}: {problem}");
        if let Some(parameter) = parameter {
            assert_eq!(problem["parameter"], parameter, "{body}");
        }
    }
    let (status, problem) = post(&host, "text/plain", &trade("t", "buy", "1", "1", "2020-01-02").to_string());
    assert_eq!((status, &problem["type"]), (415, &json!("/problems/wrong-type")));
    let bad = format!("{}\n{{\n", trade("never", "buy", "1", "1", "2020-01-02"));
    let (status, problem) = post(&host, LINES, &bad);
    assert_eq!((status, &problem["parameter"]), (400, &json!("line 2: body")), "{problem}");
    let (status, problem) = post(&host, LINES, &"{}\n".repeat(1_001));
    assert_eq!(status, 400, "{problem}");
    assert_eq!(position(&host, "A/X")["quantity"], "6");
    assert!(host.process.stop().success(), "{}", place.said());
}

/// Everything that `replay` reads, in one body.
fn day() -> Vec<Value> {
    vec![
        json!({"type": "instrument", "instrument": "X", "currency": "USD"}),
        json!({"type": "contract", "contract_id": "K", "allow_short": false, "lot_method": "LIFO", "effective_date": "2020-01-01"}),
        json!({"type": "fx", "pair": "USD/EUR", "rate": "0.9", "at": "2020-01-01"}),
        trade("b1", "buy", "10", "10", "2020-01-02"),
        trade("b2", "buy", "10", "12", "2020-01-03"),
        json!({"type": "open_lot", "trade_id": "o", "account": "A", "instrument": "X", "quantity": "5", "consideration": "40",
            "acquired": "2015-06-30", "effective_date": "2020-01-06"}),
        trade("s1", "sell", "4", "13", "2020-01-07"),
        json!({"type": "transfer", "trade_id": "t", "account": "A", "to_account": "B", "instrument": "X", "quantity": "6",
            "effective_date": "2020-01-08"}),
        json!({"type": "corporate_action", "action": "split", "instrument": "X", "numerator": 2, "denominator": 1,
            "effective_date": "2020-01-09"}),
        json!({"type": "reset", "instrument": "X", "price": "7", "effective_date": "2020-01-10"}),
        json!({"type": "mark", "instrument": "X", "kind": "last", "price": "8", "at": "2020-01-31T10:00:00Z"}),
        json!({"type": "correct", "trade_id": "c", "corrects": "b1", "quantity": "11"}),
        json!({"type": "cancel", "trade_id": "x", "cancels": "s1"}),
        json!({"type": "cancel", "trade_id": "h", "cancels": "nobody"}),
        trade("late", "buy", "1", "9", "2020-01-01"),
        trade("ahead", "buy", "1", "9", "2020-02-03"),
        trade("over", "sell", "1000", "9", "2020-01-31"),
        json!({"type": "period_lock", "account": "NEW", "through": "2020-02-01"}),
    ]
}

const OUTCOMES: [&str; 18] = [
    "applied",
    "applied",
    "applied",
    "applied",
    "applied",
    "applied",
    "applied",
    "applied",
    "applied",
    "applied",
    "applied",
    "provisional",
    "provisional",
    "held",
    "provisional",
    "held",
    "rejected",
    "rejected",
];

#[test]
fn all_types_come_in_and_outlive_a_kill() {
    let place = place();
    let mut host = place.start();
    let results = many(&host, &day());
    let outcomes: Vec<&str> = results.iter().map(|done| done["outcome"].as_str().expect("an outcome")).collect();
    assert_eq!(outcomes, OUTCOMES, "{results:#?}");
    assert_eq!((&results[16]["reason"], &results[17]["reason"]), (&json!("OVERSELL"), &json!("BAD_DATE")));
    let types: Vec<&str> = results.iter().map(|done| done["type"].as_str().expect("a type")).collect();
    assert_eq!((types[8], types[9], types[11], types[12]), ("corporate_action", "reset", "correct", "cancel"));

    // All that was answered survives power loss, so a kill at once takes nothing of it.
    host.process.kill();
    drop(host);
    let host = place.start();
    let (here, there) = (position(&host, "A/X"), position(&host, "B/X"));
    // 11 + 10 + 5, with one late, less 6 that moved, all twice; what waits is apart.
    assert_eq!((&here["quantity"], &there["quantity"]), (&json!("42"), &json!("12")), "{here:#} {there:#}");
    assert_eq!(here["forward_quantity"], "1", "{here:#}");
    assert_eq!(host.json("/v1/amendments/held")["held"][0]["trade_id"], "h");

    // The same again: what has an id is a duplicate, and the book stays as it is.
    let again = many(&host, &day());
    for (first, again) in results.iter().zip(&again) {
        let wanted = match (first["id"].is_null(), first["outcome"].as_str()) {
            (_, Some("rejected")) => "rejected",
            (true, _) => continue,
            _ => "duplicate",
        };
        assert_eq!(again["outcome"], wanted, "{first} {again}");
    }
    let figures = |position: &Value| ["quantity", "cost", "realized_pnl", "lots"].map(|field| position[field].clone());
    assert_eq!(figures(&position(&host, "A/X")), figures(&here));
    assert!(host.process.stop().success(), "{}", place.said());
}
