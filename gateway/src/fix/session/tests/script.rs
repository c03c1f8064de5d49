//! Scripts: a conversation each.

use super::super::super::encode::BusinessReason;
use super::super::super::frame::Garbled;
use super::super::super::limits::{GARBLED_RUN_MAX, OUT_NUMBERS_PER_CALL_MAX};
use super::super::super::trade::FixTrade;
use super::super::table::Phase;
use super::*;

#[test]
fn logon_trade_logout() {
    let mut line = Line::connected(1, 1);
    let step = line.take(1, "35=A", "98=0|108=30|");
    assert_eq!(step, Step { row: Some('c'), persist: consumed(1, Consumed::Admin), ..Step::default() });
    assert_eq!(line.sent(), ["A 1 98=0|108=30"]);
    let step = line.take(2, "35=8", &trade("T-1"));
    assert_eq!(step, Step { row: Some('n'), deliver: Some(2), ..Step::default() });
    assert_eq!(line.answer("T-1"), 2);
    assert_eq!(line.sent(), ["AR 2 571=T-1"]);
    let step = line.take(3, "35=5", "58=done|");
    let expected = Step {
        row: Some('p'),
        persist: consumed(3, Consumed::Admin),
        disconnect: Some(Disconnect::PeerLogout),
        deliver: None,
    };
    assert_eq!(step, expected);
    assert_eq!(line.sent(), ["5 3"]);
}

#[test]
fn logons_that_are_refused() {
    let good = "35=A|49=CLIENT|56=LOTBOOK|34=1|52=20200305-14:30:00.000|98=0|108=30|";
    let table: &[(&str, &str, &str, Disconnect)] = &[
        ("108=30", "108=0", "5 1 58=HeartBtInt must be 1 to 300 seconds", Disconnect::LogonRefused),
        ("108=30", "108=301", "5 1 58=HeartBtInt must be 1 to 300 seconds", Disconnect::LogonRefused),
        ("108=30", "108=x", "5 1 58=HeartBtInt must be 1 to 300 seconds", Disconnect::LogonRefused),
        ("108=30|", "", "5 1 58=HeartBtInt must be 1 to 300 seconds", Disconnect::LogonRefused),
        ("98=0", "98=1", "5 1 58=EncryptMethod must be 0", Disconnect::LogonRefused),
        ("98=0|", "", "5 1 58=EncryptMethod must be 0", Disconnect::LogonRefused),
        ("98=0", "98=0|98=0", "5 1 58=Logon has a field twice or out of place", Disconnect::LogonRefused),
        ("52=20200305-14:30:00.000|", "", "5 1 58=SendingTime is missing or malformed", Disconnect::LogonRefused),
        ("52=20200305-14:30:00.000", "52=now", "5 1 58=SendingTime is missing or malformed", Disconnect::LogonRefused),
        (
            "52=20200305-14:30:00.000",
            "52=20200305-14:27:59.999",
            "5 1 58=SendingTime is too far from now, or before OrigSendingTime",
            Disconnect::SendingTime,
        ),
        // A stranger is told nothing.
        ("49=CLIENT", "49=OTHER", "", Disconnect::Stranger),
        ("49=CLIENT|", "", "", Disconnect::Stranger),
        ("56=LOTBOOK", "56=OTHER", "", Disconnect::Stranger),
        ("34=1", "34=0", "5 1 58=MsgSeqNum too low, expecting 1 but received 0", Disconnect::SeqTooLow),
        ("34=1", "34=x", "", Disconnect::Stranger),
        ("34=1|", "", "", Disconnect::Stranger),
        ("35=A", "35=0", "", Disconnect::Stranger),
        ("35=A", "35=8", "", Disconnect::Stranger),
    ];
    for (from, to, sent, why) in table {
        let mut line = Line::connected(1, 1);
        let step = line.take_body(&good.replace(from, to));
        assert_eq!(step.disconnect, Some(*why), "{from} -> {to}");
        assert_eq!(step.persist, None);
        assert_eq!(line.sent().join(" "), *sent, "{from} -> {to}");
        assert_eq!(line.session.next_in(), 1);
    }
    let mut line = Line::connected(1, 1);
    let bytes = framed("FIX.4.2", good);
    let step = line.session.on_message(&parsed(&bytes), line.now, &mut line.out);
    assert_eq!(step.disconnect, Some(Disconnect::Stranger));
    assert!(line.out.is_empty());
}

#[test]
fn heartbeat_bounds() {
    for (heartbeat_s, accepted) in [(1, true), (300, true), (0, false), (301, false)] {
        let mut line = Line::connected(1, 1);
        let step = line.take(1, "35=A", &format!("98=0|108={heartbeat_s}|"));
        assert_eq!(step.disconnect.is_none(), accepted);
    }
}

#[test]
fn a_restart_begins_both_directions_at_one() {
    for phase in [Phase::AwaitLogon, Phase::Active] {
        let mut line = match phase {
            Phase::AwaitLogon => Line::connected(700, 900),
            _ => Line::active(700, 900),
        };
        line.answer("before");
        line.out.clear();
        let step = line.take(1, "35=A", "98=0|108=30|141=Y|");
        let persist = Some(Persist::Restarted { out_reserved_through: OUT_BLOCK_DEFAULT });
        assert_eq!(step, Step { row: Some('f'), persist, ..Step::default() });
        assert_eq!(line.sent(), ["A 1 98=0|108=30|141=Y"]);
        assert_eq!((line.session.next_in(), line.session.next_out()), (2, 2));
        // What was answered before is not under these numbers.
        line.take(2, "35=2", "7=1|16=0|");
        assert_eq!(line.sent(), ["4 1 dup 123=Y|36=2"]);
    }
}

#[test]
fn a_restart_needs_number_one() {
    let mut line = Line::connected(700, 900);
    let step = line.take(700, "35=A", "98=0|108=30|141=Y|");
    assert_eq!(step.disconnect, Some(Disconnect::LogonRefused));
    assert_eq!(line.sent(), ["5 900 58=ResetSeqNumFlag needs MsgSeqNum 1"]);
    assert_eq!(line.session.next_in(), 700);
}

#[test]
fn a_gap_is_asked_for_once_and_closed() {
    let mut line = Line::active(1, 1);
    assert_eq!(line.take(4, "35=8", &trade("T-4")).deliver, None);
    assert_eq!(line.sent(), ["2 2 7=2|16=0"]);
    assert_eq!(line.take(5, "35=8", &trade("T-5")).deliver, None);
    assert_eq!(line.sent(), [""; 0]);
    let dup = "35=8|43=Y|122=20200305-14:29:59.000";
    assert_eq!(line.take(2, dup, &trade("T-2")).deliver, Some(2));
    let step = line.take(3, "35=4|43=Y|122=20200305-14:29:59.000", "123=Y|36=4|");
    assert_eq!(step.persist, consumed(3, Consumed::Skipped));
    assert_eq!(line.session.phase(), Phase::AwaitResend);
    assert_eq!(line.take(4, dup, &trade("T-4")).deliver, Some(4));
    assert_eq!(line.session.phase(), Phase::Active);
    assert_eq!(line.take(5, dup, &trade("T-5")).deliver, Some(5));
    assert_eq!(line.take(6, "35=8", &trade("T-6")).deliver, Some(6));
    assert_eq!(line.sent(), [""; 0]);
}

#[test]
fn a_logon_above_the_expected_number_is_answered_then_asked_after() {
    let mut line = Line::connected(5, 10);
    let step = line.take(9, "35=A", "98=0|108=30|");
    assert_eq!(step, Step { row: Some('d'), ..Step::default() });
    assert_eq!(line.sent(), ["A 10 98=0|108=30", "2 11 7=5|16=0"]);
    let step = line.take(5, "35=4|43=Y|122=20200305-14:30:00.000", "123=Y|36=10|");
    let skipped = Persist::Consumed { first_seq: 5, last_seq: 9, what: Consumed::Skipped };
    assert_eq!(step.persist, Some(skipped));
    assert_eq!(line.session.phase(), Phase::Active);
    assert_eq!(line.take(10, "35=8", &trade("T")).deliver, Some(10));
}

#[test]
fn a_resend_that_stands_still_is_asked_for_again_then_given_up() {
    let mut line = Line::active(1, 1);
    line.take(4, "35=0", "");
    assert_eq!(line.sent(), ["2 2 7=2|16=0"]);
    assert_eq!(line.pass(9_999), Step::default());
    assert_eq!(line.sent_types(), "");
    line.pass(1);
    assert_eq!(line.sent(), ["2 3 7=2|16=0"]);
    // Progress starts the patience anew.
    line.take(2, "35=8|43=Y|122=20200305-14:29:59.000", &trade("T-2"));
    line.pass(9_999);
    assert_eq!(line.sent_types(), "");
    for _ in 1..RESEND_TRIES_MAX {
        line.take(5, "35=0", "");
        line.pass(10_000);
        assert_eq!(line.sent_types(), "2");
    }
    line.take(6, "35=0", "");
    let step = line.pass(10_000);
    assert_eq!(step.disconnect, Some(Disconnect::ResendUnanswered));
    assert_eq!(line.sent_types(), "5");
}

#[test]
fn answers_are_sent_again_and_the_rest_is_filled() {
    let mut line = Line::active(1, 1); // 1: Logon
    assert_eq!(line.answer("T-1"), 2);
    assert_eq!(line.answer("T-2"), 3);
    line.take(2, "35=1", "112=ping|"); // 4: Heartbeat
    line.take(3, "35=D", "11=X|"); // 5: BusinessMessageReject
    line.take(4, "35=8", "58=|"); // 6: Reject
    assert_eq!(line.answer("T-3"), 7);
    line.pass(29_000);
    line.pass(1_000); // 8: Heartbeat
    let first = line.sent();
    assert_eq!(first.last().unwrap(), "0 8");
    line.pass(1_000);

    line.take(5, "35=2", "7=1|16=0|");
    let sent = line.sent();
    let reject = "3 6 dup 45=4|371=58|372=8|373=4|58=code=FIELD_EMPTY a field has no value";
    let business = "j 5 dup 45=3|372=D|380=3|58=code=UNKNOWN_TYPE send ExecutionReport (8) or TradeCaptureReport (AE)";
    let expected = [
        "4 1 dup 123=Y|36=2",
        "AR 2 dup 571=T-1",
        "AR 3 dup 571=T-2",
        "4 4 dup 123=Y|36=5",
        business,
        reject,
        "AR 7 dup 571=T-3",
        "4 8 dup 123=Y|36=9",
    ];
    assert_eq!(sent, expected);
    for (again, original) in [(4, 3), (5, 4)] {
        assert_eq!(sent[again].replace(" dup", ""), first[original]);
    }
    // Our next number has not moved.
    assert_eq!(line.answer("T-4"), 9);
    line.out.clear();

    // Parts, and an end beyond what was sent.
    let table: &[(&str, &[&str])] = &[
        ("7=3|16=3|", &["AR 3 dup 571=T-2"]),
        ("7=3|16=4|", &["AR 3 dup 571=T-2", "4 4 dup 123=Y|36=5"]),
        ("7=4|16=4|", &["4 4 dup 123=Y|36=5"]),
        ("7=8|16=999999|", &["4 8 dup 123=Y|36=9", "AR 9 dup 571=T-4"]),
        ("7=10|16=0|", &[]),
        ("7=1000|16=2000|", &[]),
        ("7=999999999999|16=0|", &[]),
    ];
    for (seq, (range, expected)) in (6..).zip(table) {
        line.take(seq, "35=2", range);
        assert_eq!(line.sent(), *expected, "{range}");
    }
}

#[test]
fn a_resent_answer_carries_when_it_was_first_sent() {
    let mut line = Line::active(1, 1);
    line.answer("T-1");
    line.out.clear();
    line.pass(5_250);
    line.take(2, "35=2", "7=2|16=2|");
    let bytes = std::mem::take(&mut line.out);
    let message = parsed(&bytes);
    assert_eq!(message.get(Tag::SendingTime), Some(&b"20200305-14:30:05.250"[..]));
    assert_eq!(message.get(Tag::OrigSendingTime), Some(&b"20200305-14:30:00.000"[..]));
}

/// After a crash the first outbound number is that of a new block, and nothing sent before is stored.
#[test]
fn after_a_crash_the_jump_is_filled() {
    let mut line = Line::connected(34, 20_001);
    let step = line.take(34, "35=A", "98=0|108=30|");
    assert_eq!(step.disconnect, None);
    assert_eq!(line.sent(), ["A 20001 98=0|108=30"]);
    // The initiator last saw 10,007.
    line.take(35, "35=2", "7=10008|16=0|");
    assert_eq!(line.sent(), ["4 10008 dup 123=Y|36=20002"]);
    assert_eq!(line.answer("T"), 20_002);
}

#[test]
fn an_answer_without_a_connection_waits_for_the_next_logon() {
    let mut line = Line::active(1, 1);
    line.take(2, "35=8", &trade("T-1"));
    line.session.disconnected();
    assert_eq!(line.answer("T-1"), 2);
    assert!(line.out.is_empty());
    line.session.connect(line.now);
    assert_eq!(line.answer("T-2"), 3);
    assert!(line.out.is_empty());
    line.take(3, "35=A", "98=0|108=30|");
    assert_eq!(line.sent(), ["A 4 98=0|108=30"]);
    line.take(4, "35=2", "7=2|16=0|");
    assert_eq!(line.sent(), ["AR 2 dup 571=T-1", "AR 3 dup 571=T-2", "4 4 dup 123=Y|36=5"]);
}

#[test]
fn refusals_of_delivered_messages() {
    let mut line = Line::active(1, 1);
    let cases = [
        (
            "17=T-1|150=F|55=AAPL|54=1|32=100|31=10|",
            "j 2 45=2|372=8|379=T-1|380=5|58=code=MISSING_FIELD a trade needs this field",
        ),
        (
            "17=T-2|150=F|1=A1|55=AAPL|54=1|32=0|31=10|",
            "3 3 45=3|371=32|372=8|373=5|58=code=BAD_QUANTITY LastQty must be above zero",
        ),
    ];
    for (seq, (fields, expected)) in (2..).zip(cases) {
        let body = format!("35=8|49=CLIENT|56=LOTBOOK|34={seq}|52=20200305-14:30:00.000|{fields}");
        assert_eq!(line.take_body(&body).deliver, Some(seq));
        let bytes = framed("FIX.4.4", &body);
        let message = parsed(&bytes);
        let refusal = FixTrade::from_message(&message).unwrap_err();
        line.session.refuse(&message, &refusal, line.now, &mut line.out);
        assert_eq!(line.sent(), [expected]);
    }
    let body = format!("35=8|49=CLIENT|56=LOTBOOK|34=4|52=20200305-14:30:00.000|{}", trade("T-3"));
    let bytes = framed("FIX.4.4", &body);
    line.session.refuse(&parsed(&bytes), &Refusal::NOT_AVAILABLE, line.now, &mut line.out);
    let reason = BusinessReason::ApplicationNotAvailable as u8;
    assert!(line.sent()[0].starts_with(&format!("j 4 45=4|372=8|379=T-3|380={reason}|58=code=NOT_AVAILABLE ")));
}

#[test]
fn faults_of_form_are_rejected_and_consumed() {
    let table: &[(&str, &str, &str)] = &[
        ("35=0", "x=1|", "372=0|373=0|58=code=INVALID_TAG"),
        ("35=0", "58=|", "371=58|372=0|373=4|58=code=FIELD_EMPTY"),
        ("35=8", "1=A|1=B|", "371=1|372=8|373=13|58=code=FIELD_REPEATED"),
        ("35=8", "1=A|43=Y|", "371=43|372=8|373=14|58=code=FIELD_OUT_OF_ORDER"),
        ("35=8|43=X", "", "371=43|372=8|373=6|58=code=VALUE_MALFORMED"),
        ("35=8|97=1", "", "371=97|372=8|373=6|58=code=VALUE_MALFORMED"),
        ("35=1", "", "371=112|372=1|373=1|58=code=FIELD_MISSING"),
        ("35=2", "16=0|", "371=7|372=2|373=1|58=code=FIELD_MISSING"),
        ("35=2", "7=1|", "371=16|372=2|373=1|58=code=FIELD_MISSING"),
        ("35=2", "7=0|16=0|", "371=7|372=2|373=5|58=code=VALUE_OUT_OF_RANGE"),
        ("35=2", "7=5|16=4|", "371=16|372=2|373=5|58=code=VALUE_OUT_OF_RANGE"),
        ("35=2", "7=-1|16=0|", "371=7|372=2|373=6|58=code=VALUE_MALFORMED"),
        ("35=4", "123=Y|", "371=36|372=4|373=1|58=code=FIELD_MISSING"),
        ("35=4", "123=Y|36=2|", "371=36|372=4|373=5|58=code=VALUE_OUT_OF_RANGE"),
        ("35=4", "123=Y|36=1|", "371=36|372=4|373=5|58=code=VALUE_OUT_OF_RANGE"),
        ("35=*", "", "371=35|372=*|373=11|58=code=INVALID_MSG_TYPE"),
    ];
    for (kind, fields, expected) in table {
        let mut line = Line::active(1, 1);
        let step = line.take(2, kind, fields);
        assert!(
            matches!(step.persist, Some(Persist::Consumed { first_seq: 2, last_seq: 2, what: Consumed::Refused(_) })),
            "{kind} {fields}"
        );
        assert_eq!(step.deliver, None);
        assert_eq!(line.session.next_in(), 3);
        let sent = line.sent();
        assert!(sent[0].starts_with(&format!("3 2 45=2|{expected} ")), "{kind} {fields}: {sent:?}");
        assert_eq!(line.session.phase(), Phase::Active);
    }
}

#[test]
fn sending_time_missing_is_rejected() {
    for time in ["", "52=2020|"] {
        let mut line = Line::active(1, 1);
        let step = line.take_body(&format!("35=0|49=CLIENT|56=LOTBOOK|34=2|{time}"));
        assert_eq!(step.disconnect, None);
        assert_eq!(line.session.next_in(), 3);
        assert_eq!(line.sent_types(), "3");
    }
}

#[test]
fn a_reset_goes_forward_only() {
    let mut line = Line::active(1, 1);
    // Backwards: rejected, and its own number does not count.
    let step = line.take(2, "35=4", "36=1|");
    assert_eq!((step.persist, line.session.next_in()), (None, 2));
    assert!(line.sent()[0].starts_with("3 2 45=2|371=36|372=4|373=5|"));
    // Some engines number it 0.
    assert_eq!(line.take(0, "35=4", "36=2|").row, Some('x'));
    // To where we are: nothing to do.
    assert_eq!(line.take(99, "35=4", "123=N|36=2|").persist, None);
    let step = line.take(99, "35=4", "123=N|36=50|");
    assert_eq!(step.persist, Some(Persist::Consumed { first_seq: 2, last_seq: 49, what: Consumed::Skipped }));
    assert_eq!(line.session.next_in(), 50);
    assert_eq!(line.sent_types(), "");
}

#[test]
fn envelope_errors_end_the_session() {
    let good = "35=0|49=CLIENT|56=LOTBOOK|34=2|52=20200305-14:30:00.000|";
    let table: &[(&str, &str, &str, u64, Disconnect)] = &[
        ("34=2|", "", "5", 2, Disconnect::SeqMissing),
        ("34=2", "34=x", "5", 2, Disconnect::SeqMissing),
        ("34=2", "34=0", "5", 2, Disconnect::SeqTooLow),
        ("34=2", "34=1000000000000", "5", 2, Disconnect::SeqMissing),
        ("49=CLIENT", "49=OTHER", "3,5", 3, Disconnect::WrongCompId),
        ("56=LOTBOOK|", "", "3,5", 3, Disconnect::WrongCompId),
        ("49=CLIENT|56=LOTBOOK|34=2", "49=OTHER|56=LOTBOOK|34=7", "3,5", 2, Disconnect::WrongCompId),
        ("14:30:00", "14:32:01", "3,5", 3, Disconnect::SendingTime),
        ("14:30:00", "14:27:59", "3,5", 3, Disconnect::SendingTime),
    ];
    for (from, to, sent, next_in, why) in table {
        let mut line = Line::active(1, 1);
        let step = line.take_body(&good.replace(from, to));
        assert_eq!(step.disconnect, Some(*why), "{to}");
        assert_eq!(line.sent_types(), *sent, "{to}");
        assert_eq!(line.session.next_in(), *next_in, "{to}");
        assert_eq!(step.persist.is_some(), *next_in == 3, "{to}");
    }
    let mut line = Line::active(1, 1);
    let bytes = framed("FIX.4.2", good);
    let step = line.session.on_message(&parsed(&bytes), line.now, &mut line.out);
    assert_eq!(step.disconnect, Some(Disconnect::WrongBeginString));
    assert_eq!(line.sent(), ["5 2 58=BeginString must be FIX.4.4"]);
}

#[test]
fn sending_time_may_go_unchecked() {
    let config = SessionConfig { sending_time_tolerance_ns: None, ..SessionConfig::new("LOTBOOK", "CLIENT") };
    let mut line = Line::with(config, 1, 1);
    line.session.connect(line.now);
    let step = line.take_body("35=A|49=CLIENT|56=LOTBOOK|34=1|52=19990101-00:00:00|98=0|108=30|");
    assert_eq!(step.disconnect, None);
    assert_eq!(line.sent_types(), "A");
}

#[test]
fn duplicates_are_ignored_if_they_are_some() {
    let table: &[(&str, &str, Option<Disconnect>)] = &[
        ("|43=Y|122=20200305-14:29:00", "", None),
        ("|43=Y|122=20200305-14:30:00.000", "", None),
        ("|43=Y", "3", None),
        ("|43=Y|122=x", "3", None),
        ("|43=Y|122=20200305-14:30:00.001", "3,5", Some(Disconnect::SendingTime)),
        ("|43=N", "5", Some(Disconnect::SeqTooLow)),
        ("", "5", Some(Disconnect::SeqTooLow)),
    ];
    for (header, sent, why) in table {
        let mut line = Line::active(8, 1);
        let step = line.take(3, &format!("35=8{header}"), &trade("T"));
        assert_eq!((step.deliver, step.persist, step.disconnect), (None, None, *why), "{header}");
        assert_eq!(line.sent_types(), *sent, "{header}");
        assert_eq!(line.session.next_in(), 9);
    }
    let mut line = Line::active(8, 1);
    line.take(3, "35=8", &trade("T"));
    assert_eq!(line.sent(), ["5 2 58=MsgSeqNum too low, expecting 9 but received 3"]);
}

#[test]
fn silence_is_broken_tested_then_cut() {
    let mut line = Line::active(1, 1);
    assert_eq!(line.session.next_deadline_ns(), Some(line.now.mono_ns + 30 * SECOND_NS));
    line.pass(29_999);
    assert_eq!(line.sent(), [""; 0]);
    line.pass(1);
    assert_eq!(line.sent(), ["0 2"]);
    line.pass(5_999);
    assert_eq!(line.sent(), [""; 0]);
    line.pass(1);
    assert_eq!(line.sent(), ["1 3 112=LOTBOOK"]);
    line.pass(30_000);
    assert_eq!(line.sent(), ["0 4"]);
    assert_eq!(line.session.next_deadline_ns(), Some(line.now.mono_ns + 6 * SECOND_NS));
    assert_eq!(line.pass(5_999), Step::default());
    assert_eq!(line.pass(1).disconnect, Some(Disconnect::Silence));
    assert_eq!(line.session.next_deadline_ns(), None);
}

#[test]
fn any_message_ends_the_silence() {
    let mut line = Line::active(1, 1);
    line.pass(36_000);
    assert_eq!(line.sent_types(), "1");
    line.take(2, "35=0", "112=LOTBOOK|");
    line.pass(35_999);
    assert_eq!(line.sent_types(), "0");
    line.pass(1);
    assert_eq!(line.sent_types(), "1");
}

/// A wall clock that is set back or forth must neither cut a session nor make it fall silent.
#[test]
fn intervals_do_not_look_at_the_wall_clock() {
    let mut line = Line::active(1, 1);
    for jump_ns in [3_600_000_000_000, -7_200_000_000_000] {
        line.now.utc_ns += jump_ns;
        assert_eq!(line.session.tick(line.now, &mut line.out), Step::default());
        assert_eq!(line.sent_types(), "");
    }
}

#[test]
fn timeouts_of_logon_and_logout() {
    let mut line = Line::connected(1, 1);
    assert_eq!(line.session.next_deadline_ns(), Some(line.now.mono_ns + 10 * SECOND_NS));
    assert_eq!(line.pass(9_999), Step::default());
    assert_eq!(line.pass(1).disconnect, Some(Disconnect::LogonTimeout));
    assert!(line.out.is_empty());

    let mut line = Line::active(1, 1);
    line.session.logout("end of day", line.now, &mut line.out);
    assert_eq!(line.sent(), ["5 2 58=end of day"]);
    assert_eq!(line.session.next_deadline_ns(), Some(line.now.mono_ns + 2 * SECOND_NS));
    assert_eq!(line.pass(1_999), Step::default());
    assert_eq!(line.pass(1).disconnect, Some(Disconnect::LogoutTimeout));
    assert!(line.out.is_empty());
}

/// What is left alone after our Logout is not lost: it comes again after the next Logon.
#[test]
fn trades_behind_our_logout_come_again() {
    let mut line = Line::active(1, 1);
    line.session.logout("", line.now, &mut line.out);
    assert_eq!(line.take(2, "35=8", &trade("T-2")).deliver, None);
    assert_eq!(line.take(3, "35=5", "").disconnect, Some(Disconnect::LoggedOut));
    line.session.disconnected();
    line.session.connect(line.now);
    line.out.clear();
    line.take(4, "35=A", "98=0|108=30|");
    assert_eq!(line.sent(), ["A 3 98=0|108=30", "2 4 7=2|16=0"]);
    let step = line.take(2, "35=8|43=Y|122=20200305-14:29:59.000", &trade("T-2"));
    assert_eq!(step.deliver, Some(2));
}

#[test]
fn logout_before_logon_just_closes() {
    let mut line = Line::connected(1, 1);
    assert_eq!(line.session.logout("", line.now, &mut line.out).disconnect, Some(Disconnect::Closed));
    assert!(line.out.is_empty());
}

#[test]
fn garbled_bytes_are_ignored_up_to_a_point() {
    let mut line = Line::active(1, 1);
    for _ in 0..2 {
        for _ in 1..GARBLED_RUN_MAX {
            let step = line.session.on_garbled(Garbled::WrongCheckSum, line.now, &mut line.out);
            assert_eq!(step, Step::default());
        }
        let seq = line.session.next_in();
        line.take(seq, "35=0", "");
    }
    for _ in 1..GARBLED_RUN_MAX {
        line.session.on_garbled(Garbled::NoBeginString, line.now, &mut line.out);
    }
    let step = line.session.on_garbled(Garbled::NoBeginString, line.now, &mut line.out);
    assert_eq!(step.disconnect, Some(Disconnect::Garbled));
    assert_eq!(line.sent_types(), "5");

    let mut line = Line::active(1, 1);
    let step = line.session.on_garbled(Garbled::Oversize, line.now, &mut line.out);
    assert_eq!(step.disconnect, Some(Disconnect::Oversize));
    assert_eq!(line.sent_types(), "5");

    let mut line = Line::connected(1, 1);
    let step = line.session.on_garbled(Garbled::WrongCheckSum, line.now, &mut line.out);
    assert_eq!(step.disconnect, Some(Disconnect::Stranger));
    assert!(line.out.is_empty());
}

#[test]
fn identities() {
    let bytes = framed("FIX.4.4", "35=A|49=CLIENT|56=LOTBOOK|34=1|");
    assert_eq!(identity(&parsed(&bytes)), Ok((Version::Fix44, "CLIENT", "LOTBOOK")));
    let bytes = framed("FIX.4.4", "35=A|49=CLIENT|34=1|");
    assert_eq!(identity(&parsed(&bytes)).unwrap_err().tag, 56);
    let bytes = framed("FIX.4.4", &format!("35=A|49={}|56=LOTBOOK|34=1|", "x".repeat(33)));
    assert_eq!(identity(&parsed(&bytes)).unwrap_err().tag, 49);
}

#[test]
#[should_panic(expected = "reserve outbound numbers")]
fn a_number_that_is_not_reserved_is_never_used() {
    let mut session = Session::new(SessionConfig::new("LOTBOOK", "CLIENT"), RingStore::new(1, 1), Resume::FRESH);
    session.answer(&ack("T"), Line::new(1, 1).now, &mut Vec::new());
}

#[test]
fn reserved_numbers_are_counted() {
    let mut session = Session::new(SessionConfig::new("LOTBOOK", "CLIENT"), RingStore::new(1, 1), Resume::FRESH);
    assert_eq!(session.numbers_left(), 0);
    session.reserve_through(OUT_NUMBERS_PER_CALL_MAX);
    for left in (0..OUT_NUMBERS_PER_CALL_MAX).rev() {
        session.answer(&ack("T"), Line::new(1, 1).now, &mut Vec::new());
        assert_eq!(session.numbers_left(), left);
    }
}
