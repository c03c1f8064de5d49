//! QuickFIX speaks the other versions: 4.2, and 5.0 SP2 over FIXT 1.1, each by the dictionaries that it ships.

use super::*;

/// The answer of FIX 4.2 to a trade: a status that refers to it, or DontKnowTrade.
#[track_caller]
fn answer_42(peer: &Peer, kind: &str, trade_id: &str, after: usize) -> Seen {
    let tag = if kind == "8" { 19 } else { 17 };
    let mut found = None;
    until(&format!("an answer {kind} to {trade_id}"), || {
        found = peer.got(kind).into_iter().filter(|seen| seen.get(tag) == trade_id).nth(after);
        found.is_some()
    });
    found.expect("waited for")
}

/// A fill of FIX 4.2.
fn fill(id: &str, side: &str, quantity: &str, more: &[(u32, &str)]) -> Value {
    let mut fields = vec![(20, "0"), (150, "2")];
    fields.extend_from_slice(more);
    execution(id, side, quantity, "10", &fields)
}

#[test]
fn quickfix_trades_by_fix_42() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let mut serving = host(dir.path(), port);
    let arguments = ["--comp-id", "QF42", "--version", "4.2"];
    let Some(mut peer) = Peer::start_with(port, &dir.path().join("store"), &arguments) else { return };
    peer.log_on();

    // A fill, and a part of one: ExecType 2 and 1, ExecTransType 0.
    peer.tell(&fill("E1", "1", "100", &[]));
    let status = answer_42(&peer, "8", "E1", 0);
    assert_eq!((status.get(20), status.get(17), status.get(37), status.get(14)), ("3", "0", "O1", "100"), "{status:?}");
    assert_eq!(status.word("outcome"), "applied");
    peer.tell(&fill("E2", "1", "20", &[(150, "1"), (39, "1"), (151, "80.5")]));
    let status = answer_42(&peer, "8", "E2", 0);
    assert_eq!((status.get(150), status.get(39), status.get(151)), ("1", "1", "80.5"), "{status:?}");
    peer.tell(&with_header(fill("E2", "1", "20", &[(150, "1"), (39, "1"), (151, "80.5")]), 97, "Y"));
    assert_eq!(answer_42(&peer, "8", "E2", 1).word("outcome"), "duplicate");
    // What the engine refuses is a trade that it does not know.
    peer.tell(&fill("E3", "2", "1000", &[]));
    let unknown = answer_42(&peer, "Q", "E3", 0);
    assert_eq!((unknown.get(127), unknown.word("code")), ("Z", "OVERSELL"), "{unknown:?}");

    // Cancel and correct, by ExecTransType and ExecRefID.
    peer.tell(&fill("X1", "1", "100", &[(20, "1"), (19, "E1")]));
    assert_eq!(answer_42(&peer, "8", "X1", 0).word("outcome"), "provisional");
    peer.tell(&fill("X2", "1", "30", &[(20, "2"), (19, "E2")]));
    assert_eq!(answer_42(&peer, "8", "X2", 0).word("outcome"), "provisional");
    until("the reconciled position", || position(&serving).0 == "30");

    // What is no fill: an order's step, a status, a message of a later version, an order.
    let refused =
        [fill("N1", "1", "1", &[(150, "0")]), fill("N2", "1", "1", &[(20, "3")]), capture("N3", "1", "1", "1", &[])];
    refused.iter().for_each(|order| peer.tell(order));
    until("three Rejects", || peer.got("3").len() == 3);
    let mut rejects: Vec<(String, String, String)> = peer
        .got("3")
        .iter()
        .map(|seen| (seen.get(371).to_owned(), seen.get(373).to_owned(), seen.word("code").to_owned()))
        .collect();
    // What is recorded is answered when the record is durable; what changes nothing, at once.
    rejects.sort();
    let wanted = [("150", "5", "BAD_ENUM"), ("20", "5", "BAD_ENUM"), ("35", "11", "INVALID_MSG_TYPE")];
    assert_eq!(rejects, wanted.map(|(tag, reason, code)| (tag.to_owned(), reason.to_owned(), code.to_owned())));

    // The session goes on over a lost connection and a killed host, each trade once.
    peer.tell(&json!({"do": "cut"}));
    until("a second logon", || peer.count("logon") == 2);
    peer.tell(&fill("E4", "1", "1", &[]));
    answer_42(&peer, "8", "E4", 0);
    serving.kill();
    serving = host(dir.path(), port);
    until("a third logon", || peer.count("logon") == 3);
    peer.tell(&fill("E5", "1", "1", &[]));
    answer_42(&peer, "8", "E5", 0);
    until("each trade once", || position(&serving).0 == "32");
    peer.log_out();
    peer.assert_content();
    serving.stop();
}

#[test]
fn quickfix_trades_by_fix_50_over_fixt() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let serving = host(dir.path(), port);
    let arguments = ["--comp-id", "QF50", "--version", "5.0SP2"];
    let Some(mut peer) = Peer::start_with(port, &dir.path().join("store"), &arguments) else { return };
    peer.log_on();
    assert_eq!(peer.got("A")[0].get(1137), "9");

    peer.tell(&execution("E1", "1", "100", "10", &[]));
    let answer = peer.answer("E1", 0);
    assert_eq!((answer.word("outcome"), answer.get(552), answer.get(54), answer.get(1)), ("applied", "1", "1", "ACC1"));
    peer.tell(&capture("R1", "1", "50", "11", &[]));
    assert_eq!(peer.answer("R1", 0).word("outcome"), "applied");
    peer.tell(&execution("E2", "2", "1000", "10", &[]));
    let refused = peer.answer("E2", 0);
    assert_eq!((refused.get(939), refused.get(751), refused.word("code")), ("1", "99", "OVERSELL"));
    // A report replaces another one, and cancels what replaced it.
    peer.tell(&capture("R2", "1", "60", "11", &[(487, "2"), (572, "R1")]));
    let replaced = peer.answer("R2", 0);
    assert_eq!((replaced.word("outcome"), replaced.get(150), replaced.get(572)), ("provisional", "G", "R1"));
    until("the replaced report", || position(&serving).0 == "160");
    peer.tell(&capture("R3", "1", "60", "11", &[(487, "1"), (572, "R1")]));
    let cancelled = peer.answer("R3", 0);
    assert_eq!((cancelled.word("outcome"), cancelled.get(150), cancelled.get(572)), ("provisional", "H", "R1"));
    until("the cancelled report", || position(&serving).0 == "100");
    // Refusals, of the session and of the business.
    peer.tell(&capture("R4", "1", "-5", "10", &[]));
    until("a Reject", || peer.got("3").len() == 1);
    assert_eq!((peer.got("3")[0].get(371), peer.got("3")[0].word("code")), ("32", "BAD_QUANTITY"));
    peer.tell(&execution("E5", "1", "5", "10", &[(1, "")]));
    until("a BusinessMessageReject", || peer.got("j").len() == 1);
    assert_eq!(peer.got("j")[0].word("code"), "MISSING_FIELD");

    peer.tell(&json!({"do": "cut"}));
    until("a second logon", || peer.count("logon") == 2);
    let (_, expected) = peer.numbers();
    peer.tell(&json!({"do": "expect", "next": expected - 4}));
    peer.tell(&execution("E6", "1", "1", "10", &[]));
    assert_eq!(peer.answer("E6", 0).word("outcome"), "applied");
    until("each trade once", || position(&serving).0 == "101");
    peer.log_out();
    peer.assert_content();
    serving.stop();
}

#[test]
fn one_counterparty_may_speak_two_versions_and_numbers_are_apart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let serving = host(dir.path(), port);
    let Some(mut old) = Peer::start_with(port, &dir.path().join("old"), &["--comp-id", "QF", "--version", "4.2"])
    else {
        return;
    };
    old.log_on();
    old.tell(&fill("E1", "1", "5", &[]));
    answer_42(&old, "8", "E1", 0);
    let Some(mut new) = Peer::start_with(port, &dir.path().join("new"), &["--comp-id", "QF", "--version", "4.4"])
    else {
        return;
    };
    new.log_on();
    // One trade, whichever version tells it: ids are of the counterparty and the trade date.
    new.tell(&execution("E1", "1", "5", "10", &[]));
    assert_eq!(new.answer("E1", 0).word("outcome"), "duplicate");
    until("the trade, once", || position(&serving).0 == "5");
    for peer in [&mut old, &mut new] {
        peer.log_out();
        peer.assert_content();
    }
    serving.stop();
}
