//! Every message that is sent, byte by byte.

use super::super::fixtures::{parsed, shown};
use super::super::message::{MsgType, Tag};
use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_583_418_600_123_456_789;

fn ack() -> TradeAck<'static> {
    TradeAck {
        exec_type: AckType::Trade,
        target_id: "",
        trade_id: "T-1",
        account: "A1",
        instrument: "AAPL",
        correlation_id: "C-1",
        transact_utc_ns: NOW,
        outcome: AckOutcome::Applied,
        log_seq: 42,
        position_version: 7,
        ack: AckPolicy::Durable,
        side: None,
        order: None,
    }
}

fn encoded(seq: u64, first_sent_utc_ns: Option<i64>, what: &Outbound<'_>) -> (Vec<u8>, Encoded) {
    let mut out = b"before".to_vec();
    let encoded = Encoder::new(Version::Fix44, "LOTBOOK", "CLIENT").encode(&mut out, seq, NOW, first_sent_utc_ns, what);
    assert_eq!(encoded.message, 6..out.len());
    (out, encoded)
}

/// The message without BeginString, BodyLength, ids, SendingTime and CheckSum.
fn essence(what: &Outbound<'_>) -> String {
    let (out, _) = encoded(5, None, what);
    let message = parsed(&out[6..]);
    assert_eq!(message.fault(), None);
    let text = shown(&out[6..]);
    let (msg_type, rest) = text.split_once("|35=").unwrap().1.split_once('|').unwrap();
    let rest = rest.strip_prefix("49=LOTBOOK|56=CLIENT|34=5|52=20200305-14:30:00.123|").unwrap();
    format!("{msg_type}: {}", rest.rsplit_once("10=").unwrap().0)
}

#[test]
fn every_message() {
    let fault = Fault { tag: 54, reason: RejectReason::ValueIncorrect };
    let reject = |tag, text| Outbound::Reject {
        ref_seq: 9,
        ref_msg_type: b"8",
        fault: Fault { tag, ..fault },
        code: "SIDE",
        text,
    };
    let business = |trade_id| Outbound::BusinessReject {
        ref_seq: 9,
        ref_msg_type: b"8",
        trade_id,
        reason: BusinessReason::ConditionallyRequiredFieldMissing,
        code: "MISSING_FIELD",
        text: "no account",
    };
    let duplicate = TradeAck { outcome: AckOutcome::Duplicate { first_seq: 40 }, ack: AckPolicy::Applied, ..ack() };
    let rejected = TradeAck { outcome: AckOutcome::Rejected { code: "OVERSELL" }, ..ack() };
    let cancelled = TradeAck {
        exec_type: AckType::Cancel,
        trade_id: "X-1",
        target_id: "T-1",
        account: "",
        outcome: AckOutcome::Held,
        position_version: 0,
        ..ack()
    };
    let table: &[(Outbound<'_>, &str)] = &[
        (Outbound::Logon { heartbeat_s: 30, reset: false }, "A: 98=0|108=30|"),
        (Outbound::Logon { heartbeat_s: 30, reset: true }, "A: 98=0|108=30|141=Y|"),
        (Outbound::Heartbeat { test_req_id: None }, "0: "),
        (Outbound::Heartbeat { test_req_id: Some(b"ping") }, "0: 112=ping|"),
        (Outbound::TestRequest { test_req_id: b"ping" }, "1: 112=ping|"),
        (Outbound::ResendRequest { begin_seq: 17 }, "2: 7=17|16=0|"),
        (Outbound::SequenceReset { new_seq: 12, gap_fill: true }, "4: 123=Y|36=12|"),
        (Outbound::SequenceReset { new_seq: 12, gap_fill: false }, "4: 123=N|36=12|"),
        (Outbound::Logout { text: "" }, "5: "),
        (Outbound::Logout { text: "bye" }, "5: 58=bye|"),
        (reject(54, "no such side"), "3: 45=9|371=54|372=8|373=5|58=code=SIDE no such side|"),
        (reject(0, "a\u{1}b=é"), "3: 45=9|372=8|373=5|58=code=SIDE a?b=??|"),
        (business(Some("T-1")), "j: 45=9|372=8|379=T-1|380=5|58=code=MISSING_FIELD no account|"),
        (business(None), "j: 45=9|372=8|380=5|58=code=MISSING_FIELD no account|"),
        (
            Outbound::TradeAck(&ack()),
            "AR: 571=T-1|150=F|939=0|818=C-1|17=T-1|527=42|55=AAPL|60=20200305-14:30:00.123|\
             58=outcome=applied seq=42 ver=7 ack=durable|1=A1|",
        ),
        (
            Outbound::TradeAck(&duplicate),
            "AR: 571=T-1|150=F|939=0|818=C-1|17=T-1|527=42|55=AAPL|60=20200305-14:30:00.123|\
             58=outcome=duplicate seq=42 ver=7 ack=applied first=40|1=A1|",
        ),
        (
            Outbound::TradeAck(&rejected),
            "AR: 571=T-1|150=F|939=1|751=99|818=C-1|17=T-1|527=42|55=AAPL|60=20200305-14:30:00.123|\
             58=outcome=rejected seq=42 ver=7 ack=durable code=OVERSELL|1=A1|",
        ),
        (
            Outbound::TradeAck(&cancelled),
            "AR: 571=X-1|572=T-1|150=H|939=0|818=C-1|17=X-1|527=42|55=AAPL|60=20200305-14:30:00.123|\
             58=outcome=held seq=42 ver=0 ack=durable|",
        ),
    ];
    for (what, expected) in table {
        assert_eq!(essence(what), *expected);
    }
}

#[test]
fn acknowledgements_of_other_versions() {
    let shown_in = |version, ack: &TradeAck<'_>| {
        let mut out = Vec::new();
        Encoder::new(version, "LOTBOOK", "CLIENT").encode(&mut out, 5, NOW, None, &Outbound::TradeAck(ack));
        assert_eq!(parsed(&out).fault(), None);
        let text = shown(&out);
        let (head, rest) = text.split_once("|52=").unwrap();
        let msg_type = head.split_once("|35=").unwrap().1.split_once('|').unwrap().0;
        let fields = rest.split_once('|').unwrap().1.rsplit_once("10=").unwrap().0;
        format!("{msg_type}: {fields}")
    };
    let order = Order {
        order_id: "O-9",
        ord_status: b'1',
        exec_type: b'1',
        side: b'2',
        leaves_e8: 150_000_000,
        cum_e8: 10_000_000_000,
        avg_e8: -16_763_000_001,
    };
    let of_42 = TradeAck { order: Some(order), ..ack() };
    assert_eq!(
        shown_in(Version::Fix42, &of_42),
        "8: 37=O-9|17=0|20=3|19=T-1|150=1|1=A1|55=AAPL|39=1|54=2|151=1.5|14=100|6=-167.63000001|\
         60=20200305-14:30:00.123|58=outcome=applied seq=42 ver=7 ack=durable|"
    );
    let refused = TradeAck { outcome: AckOutcome::Rejected { code: "OVERSELL" }, ..of_42 };
    assert_eq!(
        shown_in(Version::Fix42, &refused),
        "Q: 37=O-9|17=T-1|127=Z|55=AAPL|54=2|58=outcome=rejected seq=42 ver=7 ack=durable code=OVERSELL|"
    );
    let of_50 = TradeAck { side: Some(b'2'), ..ack() };
    let common = "AR: 571=T-1|150=F|939=0|818=C-1|17=T-1|527=42|55=AAPL|60=20200305-14:30:00.123|\
                  58=outcome=applied seq=42 ver=7 ack=durable|";
    assert_eq!(shown_in(Version::Fix50Sp2, &of_50), format!("{common}552=1|54=2|1=A1|"));
    assert_eq!(shown_in(Version::Fix50Sp2, &ack()), common);
    assert_eq!(shown_in(Version::Fix44, &of_50), format!("{common}1=A1|"));
}

#[test]
fn amounts() {
    for (amount_e8, text) in [
        (0, "0"),
        (100_000_000, "1"),
        (150_000_000, "1.5"),
        (1, "0.00000001"),
        (-1, "-0.00000001"),
        (10_000_000, "0.1"),
        (i64::MIN, "-92233720368.54775808"),
        (i64::MAX, "92233720368.54775807"),
    ] {
        let mut out = Vec::new();
        decimal(&mut out, amount_e8);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

#[test]
fn a_stored_body_sent_again_differs_in_its_header_only() {
    let (out, first) = encoded(5, None, &Outbound::TradeAck(&ack()));
    let stored = Outbound::Stored { msg_type: b"AR", body: &out[first.body.clone()] };
    let (again, second) = encoded(5, Some(NOW - 1_000_000_000), &stored);
    assert_eq!(out[first.body], again[second.body]);
    let message = parsed(&again[6..]);
    assert_eq!(message.get(Tag::PossDup), Some(&b"Y"[..]));
    assert_eq!(message.get(Tag::OrigSendingTime), Some(&b"20200305-14:29:59.123"[..]));
    assert_eq!(message.fault(), None);
}

#[test]
fn numbers() {
    for value in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
        let mut out = Vec::new();
        number(&mut out, value);
        assert_eq!(out, value.to_string().into_bytes());
    }
}

#[test]
fn long_text_is_cut() {
    let text = "x".repeat(TEXT_BYTES_MAX + 1);
    let (out, _) = encoded(5, None, &Outbound::Logout { text: &text });
    assert_eq!(parsed(&out[6..]).get(Tag::Text).unwrap().len(), TEXT_BYTES_MAX);
}

proptest! {
    /// BodyLength takes two, three or four digits; in each the message frames, parses and names its body rightly.
    #[test]
    fn what_is_written_reads_back(
        body_fields in 0_usize..400,
        seq in 1_u64..1_000_000_000,
        resend in any::<bool>(),
    ) {
        let body = "9=xxx\u{1}".replace('9', "9999").repeat(body_fields);
        let what = Outbound::Stored { msg_type: b"AR", body: body.as_bytes() };
        let (out, encoded) = encoded(seq, resend.then_some(NOW), &what);
        let message = parsed(&out[6..]);
        prop_assert_eq!(message.fault(), None);
        prop_assert_eq!(message.msg_type(), MsgType::Other);
        let seq = seq.to_string();
        prop_assert_eq!(message.get(Tag::MsgSeqNum), Some(seq.as_bytes()));
        prop_assert_eq!(&out[encoded.body], body.as_bytes());
    }

    #[test]
    fn an_ack_reads_back(trade_id in "[!-~]{1,64}", account in "[!-~]{1,32}", instrument in "[!-~]{1,32}", log_seq in any::<u64>()) {
        let ack = TradeAck { trade_id: &trade_id, account: &account, instrument: &instrument, log_seq, ..ack() };
        let (out, _) = encoded(1, None, &Outbound::TradeAck(&ack));
        let message = parsed(&out[6..]);
        prop_assert_eq!(message.fault(), None);
        prop_assert_eq!(message.get(Tag::TradeReportId), Some(trade_id.as_bytes()));
        prop_assert_eq!(message.get(Tag::ExecId), Some(trade_id.as_bytes()));
        prop_assert_eq!(message.get(Tag::Account), Some(account.as_bytes()));
        prop_assert_eq!(message.get(Tag::Symbol), Some(instrument.as_bytes()));
        let log_seq = log_seq.to_string();
        prop_assert_eq!(message.get(Tag::SecondaryExecId), Some(log_seq.as_bytes()));
    }
}
