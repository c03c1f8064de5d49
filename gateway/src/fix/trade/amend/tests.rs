//! Cancels and corrects read from messages, and every refusal.

use super::super::tests::{EXECUTION, edited};
use super::*;
use crate::fix::fixtures::parsed;

/// A correct that restates everything.
fn restated() -> FixAmend<'static> {
    FixAmend {
        kind: AmendKind::Correct,
        amend_id: "X-1",
        target_id: "E-1",
        account: Some("A1"),
        instrument: "AAPL",
        side: Some(FixSide::Buy),
        trade_type: None,
        quantity_e8: Some(10_000_000_000),
        price_e8: Some(16_763_000_000),
        consideration_e8: None,
        fees_e8: None,
        currency: None,
        settlement: None,
        trade_date: Some(18_326),
        executed_at_ns: Some(1_583_418_600_123_000_000),
        correlation_id: None,
        seq: 7,
    }
}

fn read(edits: &str) -> Result<FixAmend<'static>, Refusal> {
    // Leaked: what is read borrows from the message, and there are a few dozen of them.
    let bytes: &'static [u8] = edited(EXECUTION, &format!("150=G|17=X-1|19=E-1|{edits}")).leak();
    match FixItem::from_message(&parsed(bytes))? {
        FixItem::Amend(amend) => Ok(amend),
        FixItem::Trade(trade) => panic!("{trade:?}"),
    }
}

#[test]
fn what_is_there_is_changed_and_what_is_absent_stays() {
    let all = restated();
    let cancel = FixAmend { kind: AmendKind::Cancel, side: None, quantity_e8: None, price_e8: None, ..all };
    for (edits, want) in [
        ("", all),
        ("-54", FixAmend { side: None, ..all }),
        ("-32", FixAmend { quantity_e8: None, ..all }),
        ("-31", FixAmend { price_e8: None, ..all }),
        ("-32|-31", FixAmend { quantity_e8: None, price_e8: None, ..all }),
        ("-32|-31|-54|12=0", FixAmend { quantity_e8: None, price_e8: None, side: None, fees_e8: Some(0), ..all }),
        ("12=-0.25|13=3", FixAmend { fees_e8: Some(-25_000_000), ..all }),
        ("381=16763.02", FixAmend { consideration_e8: Some(1_676_302_000_000), ..all }),
        ("15=EUR", FixAmend { currency: Some("EUR"), ..all }),
        ("54=2|77=C", FixAmend { side: Some(FixSide::Sell), trade_type: Some(TradeType::Decrease), ..all }),
        ("54=2|77=O", FixAmend { side: Some(FixSide::Sell), trade_type: Some(TradeType::Any), ..all }),
        ("77=C", FixAmend { side: Some(FixSide::BuyToCover), trade_type: Some(TradeType::Any), ..all }),
        ("-1", FixAmend { account: None, ..all }),
        ("75=20200304", FixAmend { trade_date: Some(18_325), ..all }),
        ("-60", FixAmend { trade_date: None, executed_at_ns: None, ..all }),
        ("527=C-1", FixAmend { correlation_id: Some("C-1"), ..all }),
        // A cancel repeats the trade, and changes nothing of it, whatever it says.
        ("150=H", cancel),
        ("150=H|-54|-32|-31", cancel),
        ("150=H|32=0|31=-1|54=9|12=x", cancel),
    ] {
        assert_eq!(read(edits), Ok(want), "{edits}");
    }
    let changes = read("54=5|12=1|381=2|15=EUR").expect("reads").changes();
    let want = ChangeWords {
        side: Some(Side::SellShort),
        quantity_e8: Some(10_000_000_000),
        price_e8: Some(16_763_000_000),
        fees_e8: Some(100_000_000),
        consideration_e8: Some(200_000_000),
        currency: Some("EUR".into()),
        ..ChangeWords::default()
    };
    assert_eq!(changes, want);
}

#[test]
fn refusals() {
    use BusinessReason::ConditionallyRequiredFieldMissing as Needed;
    use RefusalAnswer::{Business, Session};
    use RejectReason::*;
    let long_65 = "x".repeat(65);
    for (edits, answer, tag, code) in [
        ("-17".to_owned(), Session(RequiredTagMissing), 17, "MISSING_FIELD"),
        ("-19".to_owned(), Business(Needed), 19, "MISSING_FIELD"),
        ("150=H|-19".to_owned(), Business(Needed), 19, "MISSING_FIELD"),
        (format!("19={long_65}"), Session(ValueIncorrect), 19, "TOO_LONG"),
        ("19=é".to_owned(), Session(IncorrectDataFormat), 19, "BAD_TEXT"),
        ("-55".to_owned(), Session(RequiredTagMissing), 55, "MISSING_FIELD"),
        ("32=0".to_owned(), Session(ValueIncorrect), 32, "BAD_QUANTITY"),
        ("31=-1".to_owned(), Session(ValueIncorrect), 31, "BAD_PRICE"),
        ("381=-1".to_owned(), Session(ValueIncorrect), 381, "BAD_CONSIDERATION"),
        ("12=x".to_owned(), Session(IncorrectDataFormat), 12, "BAD_DECIMAL"),
        ("54=3".to_owned(), Session(ValueIncorrect), 54, "BAD_ENUM"),
        ("-54|77=C".to_owned(), Session(RequiredTagMissing), 54, "MISSING_FIELD"),
        ("-54|-32|-31|-1".to_owned(), Business(Needed), 32, "MISSING_FIELD"),
        ("60=x".to_owned(), Session(IncorrectDataFormat), 60, "BAD_TIMESTAMP"),
        ("75=20200230".to_owned(), Session(IncorrectDataFormat), 75, "BAD_DATE"),
    ] {
        let refusal = read(&edits).expect_err(&edits);
        assert_eq!((refusal.answer, refusal.tag, refusal.code), (answer, tag, code), "{edits}");
    }
}

#[test]
fn a_trade_is_a_trade() {
    let bytes = edited(EXECUTION, "19=E-0");
    let Ok(FixItem::Trade(trade)) = FixItem::from_message(&parsed(&bytes)) else { panic!("a trade") };
    assert_eq!(trade.trade_id, "E-1");
}
