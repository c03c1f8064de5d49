//! Differences on purpose: `lotbook archive verify` finds every one of them, and names record and column.

use lotbook_tests::postgres::{Postgres, USER};
use serde_json::Value;

use crate::drive::{DATABASE, Desk, archive, place, until_archived, verify};

/// Each is planted into a row of its own: `{}` stands for its sequence.
const PLANTED: [(&str, &str); 20] = [
    ("no row", "DELETE FROM lotbook.event_store WHERE sequence = {}"),
    (
        "2 rows",
        "INSERT INTO lotbook.event_store SELECT (jsonb_populate_record(e, '{\"position_key\": \"twice\"}')).* FROM lotbook.event_store e WHERE sequence = {}",
    ),
    (
        "event_ver",
        "DO $$ DECLARE a lotbook.event_store; b lotbook.event_store; BEGIN
            SELECT * INTO a FROM lotbook.event_store WHERE sequence = {};
            SELECT * INTO b FROM lotbook.event_store WHERE position_key = a.position_key ORDER BY event_ver DESC LIMIT 1;
            UPDATE lotbook.event_store SET event_ver = event_ver + 1000000 WHERE sequence = a.sequence;
            UPDATE lotbook.event_store SET event_ver = a.event_ver WHERE sequence = b.sequence;
            UPDATE lotbook.event_store SET event_ver = b.event_ver WHERE sequence = a.sequence;
         END $$",
    ),
    ("position_key", "UPDATE lotbook.event_store SET position_key = 'another' WHERE sequence = {}"),
    ("epoch", "UPDATE lotbook.event_store SET epoch = epoch + 1 WHERE sequence = {}"),
    ("address", "UPDATE lotbook.event_store SET address = address + 64 WHERE sequence = {}"),
    ("previous_address", "UPDATE lotbook.event_store SET previous_address = 7 WHERE sequence = {}"),
    ("checksum", "UPDATE lotbook.event_store SET checksum = checksum # 1 WHERE sequence = {}"),
    ("event_type", "UPDATE lotbook.event_store SET event_type = 'Other' WHERE sequence = {}"),
    ("account", "UPDATE lotbook.event_store SET account = NULL WHERE sequence = {}"),
    ("trade_id", "UPDATE lotbook.event_store SET trade_id = trade_id || ' ' WHERE sequence = {}"),
    ("trade_hash", "UPDATE lotbook.event_store SET trade_hash = gen_random_uuid() WHERE sequence = {}"),
    ("correlation_id", "UPDATE lotbook.event_store SET correlation_id = 'x' WHERE sequence = {}"),
    ("effective_date", "UPDATE lotbook.event_store SET effective_date = effective_date + 1 WHERE sequence = {}"),
    ("occurred_at_ns", "UPDATE lotbook.event_store SET occurred_at_ns = occurred_at_ns + 1 WHERE sequence = {}"),
    ("side", "UPDATE lotbook.event_store SET side = 'sell_short' WHERE sequence = {}"),
    ("quantity", "UPDATE lotbook.event_store SET quantity = quantity + 0.00000001 WHERE sequence = {}"),
    ("price", "UPDATE lotbook.event_store SET price = NULL WHERE sequence = {}"),
    ("realized_pnl", "UPDATE lotbook.event_store SET realized_pnl = realized_pnl + 0.0000000000000001 WHERE sequence = {}"),
    ("payload", "UPDATE lotbook.event_store SET payload = jsonb_set(payload, '{fees}', '\"1\"') WHERE sequence = {}"),
];

#[test]
fn every_planted_difference_is_found() {
    if !lotbook_tests::postgres::is_here() {
        return;
    }
    let server = Postgres::start();
    server.run("postgres", &format!("CREATE DATABASE {DATABASE}"));
    let place = place(&server.url(USER, DATABASE), "migrate = true\n");
    let host = place.start();
    Desk::default().send(&host, 1_000);
    until_archived(&host);
    assert!(host.process.stop().success());
    verify(&place);

    // The first ones of a position have others behind them to swap with.
    let rows = server.run(
        DATABASE,
        "SELECT sequence FROM lotbook.event_store WHERE event_type = 'ProvisionalTradeApplied' AND previous_address IS NOT NULL \
         ORDER BY sequence LIMIT 20",
    );
    let sequences: Vec<&str> = rows.lines().collect();
    assert_eq!(sequences.len(), PLANTED.len());
    for ((_, sql), sequence) in PLANTED.iter().zip(&sequences) {
        let refused = server.psql(DATABASE, &sql.replace("{}", sequence));
        let appends = sql.starts_with("INSERT");
        assert_eq!(refused.is_ok(), appends, "history is append-only: {refused:?}");
        if appends {
            continue;
        }
        // Triggers do not fire for a superuser who says that he replays what another server did.
        server.run(DATABASE, &format!("SET session_replication_role = replica; {}", sql.replace("{}", sequence)));
    }
    let (code, report, said) = archive(&place, &["verify"]);
    assert_eq!(code, 1, "{report:#}\n{said}");
    let found: Vec<&str> = report["differences"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for ((what, _), sequence) in PLANTED.iter().zip(&sequences) {
        let named = |difference: &&str| {
            let place = difference.strip_prefix("sequence ").and_then(|rest| rest.strip_prefix(sequence));
            place.is_some_and(|rest| rest.trim_start_matches([',', ':', ' ']).starts_with(what))
        };
        assert!(found.iter().any(named), "{what} of {sequence} is not among {found:#?}");
    }
    // The swapped row has a partner.
    assert_eq!(report["differences_count"], PLANTED.len() as u64 + 1, "{found:#?}");
    println!("{} of {} planted differences found", PLANTED.len(), PLANTED.len());

    let (code, rebuilt, said) = archive(&place, &["rebuild"]);
    assert_eq!((code, rebuilt), (2, Value::Null), "not without being told: {said}");
    let (code, rebuilt, said) = archive(&place, &["rebuild", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(rebuilt["rows"], verify(&place), "made anew, it is the log again");
}
