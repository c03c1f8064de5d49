//! Trades read from messages, and every refusal.

use super::super::fixtures::{framed, parsed, pipes};
use super::*;
use crate::fix::frame::check_sum;
use proptest::prelude::*;

pub(super) const EXECUTION: &str = "35=8|49=CLIENT|56=LOTBOOK|34=7|52=20200305-14:30:00.500|37=O-9|17=E-1|150=F|39=2|1=A1|55=AAPL|54=1|32=100|\
                         31=167.63|151=0|14=100|6=167.63|60=20200305-14:30:00.123|";
const CAPTURE: &str = "35=AE|49=CLIENT|56=LOTBOOK|34=8|52=20200305-14:30:00.500|571=R-1|570=N|55=AAPL|32=100|31=167.63|75=20200304|\
                       60=20200305-14:30:00|552=1|54=2|37=O-9|1=A1|12=1.25|13=3|";

/// `base` with fields changed: `tag=value` replaces or adds, `-tag` removes.
pub(super) fn edited(base: &str, edits: &str) -> Vec<u8> {
    edited_in(Version::Fix44, base, edits)
}

/// The same, in a message of any version.
fn edited_in(version: Version, base: &str, edits: &str) -> Vec<u8> {
    let mut fields: Vec<String> = base.split('|').filter(|field| !field.is_empty()).map(str::to_owned).collect();
    for edit in edits.split('|').filter(|edit| !edit.is_empty()) {
        let (tag, keep) = match edit.strip_prefix('-') {
            Some(tag) => (tag, false),
            None => (edit.split_once('=').unwrap().0, true),
        };
        let at = fields.iter().position(|field| field.split_once('=').unwrap().0 == tag);
        match (at, keep) {
            (Some(at), true) => fields[at] = edit.to_owned(),
            (Some(at), false) => drop(fields.remove(at)),
            (None, true) if edit.starts_with("97=") => fields.insert(1, edit.to_owned()),
            (None, true) => fields.push(edit.to_owned()),
            (None, false) => panic!("{tag} is not there"),
        }
    }
    let body: String = fields.iter().map(|field| format!("{field}|")).collect();
    framed(version.begin_string(), &body)
}

fn expected() -> FixTrade<'static> {
    FixTrade {
        trade_id: "E-1",
        account: "A1",
        instrument: "AAPL",
        side: FixSide::Buy,
        trade_type: None,
        quantity_e8: 10_000_000_000,
        price_e8: 16_763_000_000,
        consideration_e8: None,
        currency: None,
        settlement: None,
        fees_e8: 0,
        effective_date: Some(18_326),
        executed_at_ns: Some(1_583_418_600_123_000_000),
        correlation_id: None,
        poss_resend: false,
        seq: 7,
    }
}

#[test]
fn execution_reports() {
    let base = expected();
    let decrease = Some(FixTradeType::Decrease);
    let table: Vec<(&str, FixTrade<'_>)> = vec![
        ("", base),
        ("54=2", FixTrade { side: FixSide::Sell, ..base }),
        ("54=5", FixTrade { side: FixSide::SellShort, ..base }),
        ("77=O", base),
        ("54=2|77=O", FixTrade { side: FixSide::Sell, ..base }),
        ("54=5|77=O", FixTrade { side: FixSide::SellShort, ..base }),
        ("77=C", FixTrade { side: FixSide::BuyToCover, ..base }),
        ("54=2|77=C", FixTrade { side: FixSide::Sell, trade_type: decrease, ..base }),
        ("75=20200304", FixTrade { effective_date: Some(18_325), ..base }),
        ("-60", FixTrade { effective_date: None, executed_at_ns: None, ..base }),
        ("-60|75=20200304", FixTrade { effective_date: Some(18_325), executed_at_ns: None, ..base }),
        ("12=1.5", FixTrade { fees_e8: 150_000_000, ..base }),
        ("12=-0.25|13=3", FixTrade { fees_e8: -25_000_000, ..base }),
        ("13=1", base),
        ("15=EUR", FixTrade { currency: Some("EUR"), ..base }),
        ("120=USD", base),
        ("155=1.1", base),
        (
            "120=USD|155=1.1",
            FixTrade { settlement: Some(Settlement { currency: "USD", rate_e8: 110_000_000 }), ..base },
        ),
        (
            "120=USD|155=1.1|156=D",
            FixTrade { settlement: Some(Settlement { currency: "USD", rate_e8: 90_909_091 }), ..base },
        ),
        ("381=16763.02", FixTrade { consideration_e8: Some(1_676_302_000_000), ..base }),
        ("381=0", FixTrade { consideration_e8: Some(0), ..base }),
        ("527=C-1", FixTrade { correlation_id: Some("C-1"), ..base }),
        ("97=Y", FixTrade { poss_resend: true, ..base }),
        ("97=N", base),
        ("31=0", FixTrade { price_e8: 0, ..base }),
        ("32=0.00000001", FixTrade { quantity_e8: 1, ..base }),
        ("-37|-39|-151|-14|-6", base),
        ("9999=x", base),
    ];
    for (edits, trade) in table {
        assert_eq!(FixTrade::from_message(&parsed(&edited(EXECUTION, edits))), Ok(trade), "{edits}");
    }
}

/// FIX 4.2 tells a fill by ExecTransType and ExecType.
#[test]
fn execution_reports_of_fix_42() {
    let read = |edits: &str| {
        let bytes = edited_in(Version::Fix42, EXECUTION, edits);
        let item = amend::FixItem::from_message(&parsed(&bytes));
        item.map(|item| match item {
            amend::FixItem::Trade(trade) => (None, trade.trade_id.to_owned(), trade.quantity_e8),
            amend::FixItem::Amend(amend) => (
                Some((amend.kind, amend.target_id.to_owned())),
                amend.amend_id.to_owned(),
                amend.quantity_e8.unwrap_or(0),
            ),
        })
    };
    let trade = || Ok((None, "E-1".to_owned(), 10_000_000_000));
    assert_eq!(read("20=0|150=2"), trade());
    assert_eq!(read("20=0|150=1"), trade());
    let amendment = |kind, quantity| Ok((Some((kind, "E-0".to_owned())), "E-1".to_owned(), quantity));
    assert_eq!(read("20=1|19=E-0|150=2"), amendment(AmendKind::Cancel, 0));
    assert_eq!(read("20=1|19=E-0|150=4"), amendment(AmendKind::Cancel, 0));
    assert_eq!(read("20=2|19=E-0|150=1"), amendment(AmendKind::Correct, 10_000_000_000));
    for (edits, tag, code) in [
        ("150=2", 20, "MISSING_FIELD"),
        ("20=3|150=2", 20, "BAD_ENUM"),
        ("20=x|150=2", 20, "BAD_ENUM"),
        ("20=0|150=0", 150, "BAD_ENUM"),
        ("20=0|150=F", 150, "BAD_ENUM"),
        ("20=0|-150", 150, "MISSING_FIELD"),
        ("20=1|150=2", 19, "MISSING_FIELD"),
    ] {
        assert_eq!(read(edits).map_err(|refusal| (refusal.tag, refusal.code)), Err((tag, code)), "{edits}");
    }
    // And the later versions do not look at it.
    let bytes = edited(EXECUTION, "20=1|19=E-0");
    assert_eq!(FixTrade::from_message(&parsed(&bytes)), Ok(expected()));
}

/// TradeReportTransType says that a report cancels or replaces another one, which TradeReportRefID names.
#[test]
fn trade_capture_reports_that_amend() {
    for version in [Version::Fix44, Version::Fix50Sp2] {
        let read = |edits: &str| {
            let bytes = edited_in(version, CAPTURE, edits);
            match amend::FixItem::from_message(&parsed(&bytes)) {
                Ok(amend::FixItem::Amend(amend)) => Ok((
                    amend.kind,
                    amend.amend_id.to_owned(),
                    amend.target_id.to_owned(),
                    amend.price_e8,
                    amend.correlation_id.map(str::to_owned),
                )),
                Ok(other) => panic!("{other:?}"),
                Err(refusal) => Err((refusal.tag, refusal.code)),
            }
        };
        let (id, target) = ("R-1".to_owned(), "R-0".to_owned());
        assert_eq!(
            read("487=1|572=R-0|818=C"),
            Ok((AmendKind::Cancel, id.clone(), target.clone(), None, Some("C".to_owned())))
        );
        assert_eq!(read("487=2|572=R-0"), Ok((AmendKind::Correct, id, target, Some(16_763_000_000), None)));
        assert_eq!(read("487=1"), Err((572, "MISSING_FIELD")));
        assert_eq!(read("487=2|572=R-0|552=2"), Err((552, "BAD_ENUM")));
        assert_eq!(read("487=1|572=R-0|-571").unwrap_err().0, 571);
    }
    let missing = |version| {
        let bytes = edited_in(version, CAPTURE, "-571");
        FixTrade::from_message(&parsed(&bytes)).unwrap_err().answer
    };
    assert_eq!(missing(Version::Fix44), RefusalAnswer::Session(RejectReason::RequiredTagMissing));
    // FIX 5.0 leaves it optional.
    let needed = RefusalAnswer::Business(BusinessReason::ConditionallyRequiredFieldMissing);
    assert_eq!(missing(Version::Fix50Sp2), needed);
}

#[test]
fn trade_capture_reports() {
    let base = FixTrade {
        trade_id: "R-1",
        side: FixSide::Sell,
        fees_e8: 125_000_000,
        effective_date: Some(18_325),
        executed_at_ns: Some(1_583_418_600_000_000_000),
        seq: 8,
        ..expected()
    };
    let table: Vec<(&str, FixTrade<'_>)> = vec![
        ("", base),
        ("487=0", base),
        ("150=F", base),
        ("-75", FixTrade { effective_date: Some(18_326), ..base }),
        ("818=C-1", FixTrade { correlation_id: Some("C-1"), ..base }),
        // 527 is another message's field.
        ("527=C-1", base),
        ("77=C", FixTrade { trade_type: Some(FixTradeType::Decrease), ..base }),
    ];
    for (edits, trade) in table {
        assert_eq!(FixTrade::from_message(&parsed(&edited(CAPTURE, edits))), Ok(trade), "{edits}");
    }
}

#[test]
fn refusals() {
    use BusinessReason::ConditionallyRequiredFieldMissing as Needed;
    use RefusalAnswer::{Business, Session};
    use RejectReason::*;
    let long_33 = "x".repeat(33);
    let long_65 = "x".repeat(65);
    let table: Vec<(&str, String, RefusalAnswer, u32, &str)> = vec![
        (EXECUTION, "-17".into(), Session(RequiredTagMissing), 17, "MISSING_FIELD"),
        (EXECUTION, format!("17={long_65}"), Session(ValueIncorrect), 17, "TOO_LONG"),
        (EXECUTION, "17=é".into(), Session(IncorrectDataFormat), 17, "BAD_TEXT"),
        (EXECUTION, "-55".into(), Session(RequiredTagMissing), 55, "MISSING_FIELD"),
        (EXECUTION, format!("55={long_33}"), Session(ValueIncorrect), 55, "TOO_LONG"),
        (EXECUTION, "-1".into(), Business(Needed), 1, "MISSING_FIELD"),
        (EXECUTION, format!("1={long_33}"), Session(ValueIncorrect), 1, "TOO_LONG"),
        (EXECUTION, "1=a\tb".into(), Session(IncorrectDataFormat), 1, "BAD_TEXT"),
        (EXECUTION, "-150".into(), Session(RequiredTagMissing), 150, "MISSING_FIELD"),
        (EXECUTION, "150=0".into(), Session(ValueIncorrect), 150, "BAD_ENUM"),
        (EXECUTION, "150=H".into(), Session(ValueIncorrect), 150, "BAD_ENUM"),
        (EXECUTION, "-54".into(), Session(RequiredTagMissing), 54, "MISSING_FIELD"),
        (EXECUTION, "54=3".into(), Session(ValueIncorrect), 54, "BAD_ENUM"),
        (EXECUTION, "54=12".into(), Session(ValueIncorrect), 54, "BAD_ENUM"),
        (EXECUTION, "77=R".into(), Session(ValueIncorrect), 77, "BAD_ENUM"),
        (EXECUTION, "54=5|77=C".into(), Session(ValueIncorrect), 77, "BAD_ENUM"),
        (EXECUTION, "-32".into(), Business(Needed), 32, "MISSING_FIELD"),
        (EXECUTION, "32=0".into(), Session(ValueIncorrect), 32, "BAD_QUANTITY"),
        (EXECUTION, "32=-5".into(), Session(ValueIncorrect), 32, "BAD_QUANTITY"),
        (EXECUTION, "32=1e3".into(), Session(IncorrectDataFormat), 32, "BAD_DECIMAL"),
        (EXECUTION, "32=0.000000001".into(), Session(ValueIncorrect), 32, "TOO_MANY_DECIMALS"),
        (EXECUTION, "32=92233720369".into(), Session(ValueIncorrect), 32, "OUT_OF_RANGE"),
        (EXECUTION, "-31".into(), Business(Needed), 31, "MISSING_FIELD"),
        (EXECUTION, "31=-0.01".into(), Session(ValueIncorrect), 31, "BAD_PRICE"),
        (EXECUTION, "31=+1".into(), Session(IncorrectDataFormat), 31, "BAD_DECIMAL"),
        (EXECUTION, "75=20200230".into(), Session(IncorrectDataFormat), 75, "BAD_DATE"),
        (EXECUTION, "75=18000101".into(), Session(ValueIncorrect), 75, "OUT_OF_RANGE"),
        (EXECUTION, "60=14:30:00".into(), Session(IncorrectDataFormat), 60, "BAD_TIMESTAMP"),
        (EXECUTION, "12=x".into(), Session(IncorrectDataFormat), 12, "BAD_DECIMAL"),
        (EXECUTION, "381=-1".into(), Session(ValueIncorrect), 381, "BAD_CONSIDERATION"),
        (EXECUTION, "381=x".into(), Session(IncorrectDataFormat), 381, "BAD_DECIMAL"),
        (EXECUTION, format!("15={long_33}"), Session(ValueIncorrect), 15, "TOO_LONG"),
        (EXECUTION, "120=USD|155=0".to_owned(), Session(ValueIncorrect), 155, "BAD_RATE"),
        (EXECUTION, "120=USD|155=x".to_owned(), Session(IncorrectDataFormat), 155, "BAD_DECIMAL"),
        (EXECUTION, "120=USD|155=2|156=X".to_owned(), Session(ValueIncorrect), 156, "BAD_ENUM"),
        (EXECUTION, "120=USD|155=90000000000|156=D".to_owned(), Session(ValueIncorrect), 155, "OUT_OF_RANGE"),
        (EXECUTION, "12=1|13=2".into(), Session(ValueIncorrect), 13, "BAD_ENUM"),
        (EXECUTION, format!("527={long_65}"), Session(ValueIncorrect), 527, "TOO_LONG"),
        (CAPTURE, "-571".into(), Session(RequiredTagMissing), 571, "MISSING_FIELD"),
        (CAPTURE, "150=H".into(), Session(ValueIncorrect), 150, "BAD_ENUM"),
        (CAPTURE, "487=1".into(), Session(ValueIncorrect), 487, "NOT_SUPPORTED_YET"),
        (CAPTURE, "-552".into(), Session(RequiredTagMissing), 552, "MISSING_FIELD"),
        (CAPTURE, "552=2".into(), Session(ValueIncorrect), 552, "BAD_ENUM"),
        (CAPTURE, "-32".into(), Session(RequiredTagMissing), 32, "MISSING_FIELD"),
        (CAPTURE, "-31".into(), Session(RequiredTagMissing), 31, "MISSING_FIELD"),
        (CAPTURE, "-1".into(), Business(Needed), 1, "MISSING_FIELD"),
    ];
    for (base, edits, answer, tag, code) in table {
        let bytes = edited(base, &edits);
        let refusal = FixTrade::from_message(&parsed(&bytes)).unwrap_err();
        assert_eq!((refusal.answer, refusal.tag, refusal.code), (answer, tag, code), "{edits}");
    }
}

/// Two sides repeat their tags; the answer names the number of sides, not the repetition.
#[test]
fn two_sides_are_refused_as_two_sides() {
    let bytes = framed("FIX.4.4", &format!("{}54=1|37=O-10|1=A2|", CAPTURE.replace("552=1", "552=2")));
    let message = parsed(&bytes);
    assert_eq!(message.fault(), None);
    assert_eq!(FixTrade::from_message(&message).unwrap_err().code, "BAD_ENUM");
}

#[test]
fn other_types_are_no_trades() {
    let bytes = framed("FIX.4.4", "35=D|49=CLIENT|56=LOTBOOK|34=7|11=X|");
    assert_eq!(FixTrade::from_message(&parsed(&bytes)), Err(UNSUPPORTED_TYPE));
}

/// jspurefix pads BodyLength to seven digits.
#[test]
fn a_padded_length_changes_nothing() {
    let body = pipes(EXECUTION);
    let mut bytes = format!("8=FIX.4.4\u{1}9={:07}\u{1}", body.len()).into_bytes();
    bytes.extend_from_slice(&body);
    let sum = check_sum(&bytes);
    bytes.extend_from_slice(format!("10={sum:03}\u{1}").as_bytes());
    assert_eq!(FixTrade::from_message(&parsed(&bytes)), Ok(expected()));
}

proptest! {
    #[test]
    fn a_trade_comes_back(
        trade_id in "[!-~]{1,64}", account in "[!-~]{1,32}", instrument in "[!-~]{1,32}",
        quantity_e8 in 1..=i64::MAX, price_e8 in 0..=i64::MAX, day in 0_i32..40_000,
    ) {
        prop_assume!(![&trade_id, &account, &instrument].iter().any(|text| text.contains('|')));
        // "All": no account or instrument has this name.
        prop_assume!(account != "*" && instrument != "*");
        let decimal = |value: i64| format!("{}.{:08}", value / value::ONE_E8, value % value::ONE_E8);
        let (year, month, of_month) = value::civil_from_days(day);
        let bytes = edited(EXECUTION, &format!(
            "17={trade_id}|1={account}|55={instrument}|32={}|31={}|75={year:04}{month:02}{of_month:02}",
            decimal(quantity_e8), decimal(price_e8),
        ));
        let trade = FixTrade { trade_id: &trade_id, account: &account, instrument: &instrument, quantity_e8, price_e8, effective_date: Some(day), ..expected() };
        prop_assert_eq!(FixTrade::from_message(&parsed(&bytes)), Ok(trade));
    }

    #[test]
    fn no_values_panic(tag in 1_u32..1000, value in "[ -~]{1,40}", capture in any::<bool>()) {
        prop_assume!(!value.contains('|') && !value.contains('-') && !value.contains('='));
        let bytes = edited(if capture { CAPTURE } else { EXECUTION }, &format!("{tag}={value}"));
        if let crate::fix::frame::Framed::Frame(frame) = crate::fix::frame::next(&bytes) {
            let _ = FixTrade::from_message(&Message::parse(&bytes, &frame));
        }
    }
}
