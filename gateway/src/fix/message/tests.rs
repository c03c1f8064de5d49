//! Messages in, fields out; damaged ones refused.

use super::super::fixtures::{framed, parsed};
use super::*;
use proptest::prelude::*;

const HEADER: &str = "35=8|49=CLIENT|56=LOTBOOK|34=2|52=20200305-14:30:00.000|";

fn fault_of(body: &str) -> Option<(u32, RejectReason)> {
    parsed(&framed("FIX.4.4", body)).fault().map(|fault| (fault.tag, fault.reason))
}

#[test]
fn fields_are_where_they_are() {
    let bytes = framed("FIX.4.4", &format!("{HEADER}1=A1|55=AAPL|9999=x|58=a=b|"));
    let message = parsed(&bytes);
    assert_eq!(message.msg_type(), MsgType::ExecutionReport);
    assert_eq!(message.fault(), None);
    assert_eq!(message.get(Tag::BeginString), Some(&b"FIX.4.4"[..]));
    assert_eq!(message.get(Tag::BodyLength), Some(&b"83"[..]));
    assert_eq!(message.get(Tag::MsgSeqNum), Some(&b"2"[..]));
    assert_eq!(message.get(Tag::Account), Some(&b"A1"[..]));
    assert_eq!(message.get(Tag::Text), Some(&b"a=b"[..]));
    assert_eq!(message.get(Tag::Side), None);
    let tags: Vec<u32> = message.fields().map(|(tag, _)| tag).collect();
    assert_eq!(tags, [35, 49, 56, 34, 52, 1, 55, 9999, 58]);
}

#[test]
fn faults() {
    use RejectReason::*;
    let table: &[(&str, Option<(u32, RejectReason)>)] = &[
        ("1=A|", None),
        ("20000=A|", None),
        ("x=A|", Some((0, InvalidTagNumber))),
        ("=A|", Some((0, InvalidTagNumber))),
        ("0=A|", Some((0, InvalidTagNumber))),
        ("01=A|", Some((0, InvalidTagNumber))),
        ("-1=A|", Some((0, InvalidTagNumber))),
        ("1A|", Some((0, InvalidTagNumber))),
        ("1|", Some((0, InvalidTagNumber))),
        ("|", Some((0, InvalidTagNumber))),
        ("||1=A|", Some((0, InvalidTagNumber))),
        ("12345678901=A|", Some((0, InvalidTagNumber))),
        ("1=|", Some((1, TagWithoutValue))),
        ("20000=|", Some((20_000, TagWithoutValue))),
        ("1=A|1=A|", Some((1, TagRepeated))),
        ("43=N|43=Y|", Some((43, TagRepeated))),
        ("8=FIX.4.4|", Some((8, TagRepeated))),
        ("9=12|", Some((9, TagRepeated))),
        ("35=0|", Some((35, TagRepeated))),
        ("1=A|43=Y|", Some((43, TagOutOfOrder))),
        ("1=A|128=X|", Some((128, TagOutOfOrder))),
        ("128=X|43=Y|1=A|", None),
        ("10=123|1=A|", Some((10, TagOutOfOrder))),
        ("448=A|448=B|", None),
        ("552=2|54=1|54=2|", None),
        ("552=1|54=1|54=2|", Some((54, TagRepeated))),
        ("552=2|55=A|55=B|", Some((55, TagRepeated))),
        // Only the first fault is told.
        ("1=|x=1|", Some((1, TagWithoutValue))),
        // Data fields may hold anything, SOH and `=` too.
        ("95=5|96=a|b=c|1=A|", None),
        ("95=3|96=abc|1=A|", None),
        ("95=1|96=|||", Some((0, InvalidTagNumber))),
        ("95=1|96=||", None),
        ("95=4|96=abc|1=A|", Some((95, ValueIncorrect))),
        ("95=2|96=abc|1=A|", Some((95, ValueIncorrect))),
        ("95=x|96=abc|", Some((95, IncorrectDataFormat))),
        ("95=99999999999999999999|96=abc|", Some((95, IncorrectDataFormat))),
        ("95=18446744073709551615|96=abc|", Some((95, ValueIncorrect))),
        ("95=3|", Some((95, ValueIncorrect))),
    ];
    for (fields, expected) in table {
        assert_eq!(fault_of(&format!("{HEADER}{fields}")), *expected, "{fields}");
    }
}

#[test]
fn what_follows_a_data_field_is_read() {
    let bytes = framed("FIX.4.4", &format!("{HEADER}95=12|96=1=WRONG|58=x|1=A|"));
    assert_eq!(parsed(&bytes).get(Tag::Account), Some(&b"A"[..]));
    assert_eq!(parsed(&bytes).get(Tag::Text), None);
}

#[test]
fn message_types() {
    let table = [
        ("0", MsgType::Heartbeat),
        ("A", MsgType::Logon),
        ("AE", MsgType::TradeCaptureReport),
        ("AR", MsgType::Other),
        ("D", MsgType::Other),
        ("n", MsgType::Other),
        ("U1", MsgType::Other),
        ("UCUSTOM", MsgType::Other),
        ("a0", MsgType::Invalid),
        ("ZZ", MsgType::Invalid),
        ("*", MsgType::Invalid),
    ];
    for (text, expected) in table {
        assert_eq!(parsed(&framed("FIX.4.4", &format!("35={text}|34=1|"))).msg_type(), expected, "{text}");
    }
}

#[test]
fn soh_is_found_at_every_distance() {
    for len in 0..40 {
        for noise in [0_u8, 2, 0x80, 0x81, 0xff] {
            let mut bytes = vec![noise; len];
            assert_eq!(soh_from(&bytes, 0), len);
            bytes.push(SOH);
            bytes.extend_from_slice(&[noise; 3]);
            assert_eq!(soh_from(&bytes, 0), len);
            bytes.push(SOH);
            assert_eq!(soh_from(&bytes, 0), len);
        }
    }
}

#[test]
fn every_tag_number_reads_back() {
    for tag in (1..20_000).chain([99_999, 1_234_567, 12_345_678, 99_999_999, 100_000_000, 999_999_999]) {
        let bytes = format!("{tag}=x\u{1}10=000\u{1}");
        let field = field_at(bytes.as_bytes(), 0);
        assert_eq!((field.tag, &bytes[field.start..field.end]), (tag, "x"));
    }
    for not_a_tag in ["1234567890", "4294967297", "1a", "a1", "1:", "1/", "", "0", "00", "01", " 1", "1\u{80}"] {
        let bytes = format!("{not_a_tag}=x\u{1}10=000\u{1}");
        assert_eq!(field_at(bytes.as_bytes(), 0).tag, 0, "{not_a_tag}");
    }
}

#[test]
fn every_class_is_its_tag() {
    for (at, (number, _)) in TAGS.iter().enumerate() {
        assert_eq!(usize::from(CLASSES[usize::from(*number)] & SLOT_BITS), at + 1);
    }
}

proptest! {
    /// Whatever fields are written come back in their order, and the first of each known tag is what the view holds.
    #[test]
    fn fields_come_back(fields in proptest::collection::vec((1_u32..2000, "[ -~]{1,20}"), 0..20)) {
        let fields: Vec<_> = fields.into_iter().filter(|(tag, text)| {
            !text.contains('|') && !LENGTH_TAGS.iter().any(|length| u32::from(*length) == *tag)
        }).collect();
        let body: String = fields.iter().map(|(tag, text)| format!("{tag}={text}|")).collect();
        let bytes = framed("FIX.4.4", &format!("35=8|{body}"));
        let message = parsed(&bytes);
        let back: Vec<_> = message.fields().skip(1).map(|(tag, text)| (tag, String::from_utf8(text.to_vec()).unwrap())).collect();
        prop_assert_eq!(&back, &fields);
        if let Some((_, first)) = fields.iter().find(|(tag, _)| *tag == 55) {
            prop_assert_eq!(message.get(Tag::Symbol), Some(first.as_bytes()));
        }
    }

    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut bytes = b"8=FIX.4.4\x019=".to_vec();
        let mut inner = b"35=8\x01".to_vec();
        inner.extend_from_slice(&body);
        inner.push(SOH);
        bytes.extend_from_slice(format!("{}\u{1}", inner.len()).as_bytes());
        bytes.extend_from_slice(&inner);
        let sum = crate::fix::frame::check_sum(&bytes);
        bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
        let message = parsed(&bytes);
        let _ = message.fields().count();
    }
}
