//! Tables over single lines: what is read, and which code answers what cannot be.

use super::*;
use crate::input::time::parse_timestamp;
use crate::input::{AmendLine, ChangeWords, ContractLine, InstrumentLine, MarkLine, ResolveLine, TradeLine};
use lotbook_core::amend::AmendKind;
use lotbook_core::command::{MarkKind, Side, TradeKind, TradeType};
use lotbook_core::date::Date;
use lotbook_core::rules::{FeesRule, LockedChanges, LotMethod, LotScope, ShortRank, TaxRates, WashSale};

const TRADE: &str = r#""type":"trade","trade_id":"t1","account":"A1","instrument":"AAPL","side":"buy","quantity":"100","price":"167.63","effective_date":"2020-03-05""#;

fn date(text: &str) -> Date {
    Date::parse(text).expect(text)
}

fn read(text: &str) -> Result<Line, LineError> {
    parse_line(text.as_bytes(), false)
}

fn trade() -> TradeLine {
    TradeLine {
        to_account: None,
        trade_id: "t1".to_owned(),
        namespace: None,
        account: "A1".to_owned(),
        instrument: "AAPL".to_owned(),
        kind: TradeKind::Trade,
        side: Side::Buy,
        trade_type: TradeType::Any,
        quantity_e8: 10_000_000_000,
        price_e8: Some(16_763_000_000),
        consideration_e8: None,
        currency: None,
        fx_to_base_e8: None,
        sub_account: None,
        acquired: None,
        fees_e8: 0,
        effective_date: date("2020-03-05"),
        executed_at_ns: None,
        source_order: None,
        lot: None,
        contract_id: None,
        correlation_id: None,
        user_id: None,
    }
}

fn amend() -> AmendLine {
    AmendLine {
        amend_id: String::new(),
        namespace: None,
        kind: AmendKind::Correct,
        target_id: "t1".to_owned(),
        account: None,
        instrument: None,
        changes: ChangeWords::default(),
        executed_at_ns: None,
        source_order: None,
        correlation_id: None,
        user_id: None,
    }
}

fn contract() -> ContractLine {
    ContractLine {
        contract_id: "K".to_owned(),
        account: None,
        instrument: None,
        lot_method: None,
        allow_short: None,
        short_rank: None,
        lot_scope: None,
        fees_rule: None,
        tax_rates: None,
        long_term_days: None,
        wash_sale: None,
        wash_window_days: None,
        taxpayer: None,
        locked_changes: None,
        effective_date: date("2020-01-01"),
    }
}

#[test]
fn smallest_and_largest_trade() {
    assert_eq!(read(&format!("{{{TRADE}}}")), Ok(Line::Trade(trade())));
    let text = r#" { "user_id":"u", "correlation_id":"c-1", "contract_id":"K", "lot":"t0", "source_order":18446744073709551615,
        "executed_at":"2020-03-05T14:30:00Z", "effective_date":"2020-03-05", "fees":"0.01", "price":"-1", "consideration":"-2", "currency":"USD", "fx_to_base":"1.1", "sub_account":"ALPHA", "quantity":"0",
        "trade_type":"DECREASE", "side":"sell_short", "instrument":"BRK B", "account":"A\u0031", "trade_id":"t1", "type":"trade" } "#;
    let want = TradeLine {
        instrument: "BRK B".to_owned(),
        side: Side::SellShort,
        trade_type: TradeType::Decrease,
        quantity_e8: 0,
        price_e8: Some(-100_000_000),
        consideration_e8: Some(-200_000_000),
        currency: Some("USD".to_owned()),
        fx_to_base_e8: Some(110_000_000),
        sub_account: Some("ALPHA".to_owned()),
        fees_e8: 1_000_000,
        executed_at_ns: parse_timestamp("2020-03-05T14:30:00Z"),
        source_order: Some(u64::MAX),
        lot: Some("t0".to_owned()),
        contract_id: Some("K".to_owned()),
        correlation_id: Some("c-1".to_owned()),
        user_id: Some("u".to_owned()),
        ..trade()
    };
    assert_eq!(read(text), Ok(Line::Trade(want)));
}

#[test]
fn null_says_nothing() {
    let text =
        format!(r#"{{{TRADE},"fees":null,"trade_type":null,"executed_at":null,"source_order":null,"lot":null}}"#);
    assert_eq!(read(&text), Ok(Line::Trade(trade())));
}

#[test]
fn other_types() {
    for (text, want) in [
        (r#"{"type":"business_date","date":"2020-03-06"}"#, Line::BusinessDate(date("2020-03-06"))),
        (
            r#"{"type":"cancel","cancels":"t1"}"#,
            Line::Amend(AmendLine { amend_id: "CANCEL:t1".to_owned(), kind: AmendKind::Cancel, ..amend() }),
        ),
        (
            r#"{"type":"cancel","trade_id":"c1","cancels":"t1","executed_at":"1970-01-01T00:00:00.000000007Z","source_order":3,"user_id":"ann","correlation_id":"x"}"#,
            Line::Amend(AmendLine {
                amend_id: "c1".to_owned(),
                kind: AmendKind::Cancel,
                executed_at_ns: Some(7),
                source_order: Some(3),
                user_id: Some("ann".to_owned()),
                correlation_id: Some("x".to_owned()),
                ..amend()
            }),
        ),
        (
            r#"{"type":"correct","trade_id":"c2","corrects":"t1","account":"A1","side":"sell","trade_type":"DECREASE","quantity":"1","price":"2","consideration":"3","fees":"-4","fx_to_base":"5","effective_date":"2020-03-06","executed_at":"1970-01-01T00:00:00.000000008Z","lot":"t0","contract_id":"K","currency":"USD","sub_account":"S","at":"1970-01-01T00:00:00.000000009Z"}"#,
            Line::Amend(AmendLine {
                amend_id: "c2".to_owned(),
                account: Some("A1".to_owned()),
                executed_at_ns: Some(9),
                changes: ChangeWords {
                    side: Some(Side::Sell),
                    trade_type: Some(TradeType::Decrease),
                    quantity_e8: Some(100_000_000),
                    price_e8: Some(200_000_000),
                    consideration_e8: Some(300_000_000),
                    fees_e8: Some(-400_000_000),
                    fx_to_base_e8: Some(500_000_000),
                    effective_date: Some(date("2020-03-06")),
                    executed_at_ns: Some(8),
                    lot: Some("t0".to_owned()),
                    contract_id: Some("K".to_owned()),
                    currency: Some("USD".to_owned()),
                    sub_account: Some("S".to_owned()),
                    numerator: None,
                    denominator: None,
                    cash_e8: None,
                    cash_in_lieu_e8: None,
                    record_date: None,
                },
                ..amend()
            }),
        ),
        (
            r#"{"type":"resolve","account":"A1","instrument":"AAPL","user_id":"ops","reason":" seen ","version":7}"#,
            Line::Resolve(ResolveLine {
                account: "A1".to_owned(),
                instrument: "AAPL".to_owned(),
                user_id: "ops".to_owned(),
                reason: "seen".to_owned(),
                version: Some(7),
                correlation_id: None,
            }),
        ),
        (
            r#"{"type":"contract","contract_id":"K","account":"*","lot_method":"HIFO","allow_short":true,"effective_date":"2020-01-01"}"#,
            Line::Contract(ContractLine { lot_method: Some(LotMethod::Hifo), allow_short: Some(true), ..contract() }),
        ),
        (
            r#"{"type":"contract","contract_id":"K","short_rank":"RESULT","lot_scope":"SUB_ACCOUNT","fees_rule":"IN_BASIS","tax_rate_short":"0.37","tax_rate_long":"1","long_term_days":36500,"wash_sale":"TAXPAYER","wash_window_days":0,"taxpayer":"SMITH","locked_changes":"ADJUST","effective_date":"2020-01-01"}"#,
            Line::Contract(ContractLine {
                short_rank: Some(ShortRank::Result),
                lot_scope: Some(LotScope::SubAccount),
                fees_rule: Some(FeesRule::InBasis),
                tax_rates: Some(TaxRates { short_e8: 37_000_000, long_e8: 100_000_000 }),
                long_term_days: Some(36_500),
                wash_sale: Some(WashSale::Taxpayer),
                wash_window_days: Some(0),
                taxpayer: Some("SMITH".to_owned()),
                locked_changes: Some(LockedChanges::Adjust),
                ..contract()
            }),
        ),
        (
            r#"{"type":"open_lot","trade_id":"t1","account":"A1","instrument":"AAPL","quantity":"-100","consideration":"16763","acquired":"2019-12-31","sub_account":"ALPHA","effective_date":"2020-03-05"}"#,
            Line::Trade(TradeLine {
                kind: TradeKind::OpenLot,
                side: Side::SellShort,
                price_e8: None,
                consideration_e8: Some(1_676_300_000_000),
                sub_account: Some("ALPHA".to_owned()),
                acquired: Some(date("2019-12-31")),
                ..trade()
            }),
        ),
        (
            r#"{"type":"contract","contract_id":"K","account":"A1","instrument":"AAPL","effective_date":"2020-01-01"}"#,
            Line::Contract(ContractLine {
                account: Some("A1".to_owned()),
                instrument: Some("AAPL".to_owned()),
                ..contract()
            }),
        ),
        (
            r#"{"type":"instrument","instrument":"ES","currency":"USD","multiplier":"50","tick":"0.25","isin":"US0378331005","cusip":"037833100","price_min":"1","price_max":"99999"}"#,
            Line::Instrument(InstrumentLine {
                instrument: "ES".to_owned(),
                currency: Some("USD".to_owned()),
                multiplier_e8: Some(5_000_000_000),
                tick_e8: Some(25_000_000),
                isin: Some(*b"US0378331005"),
                cusip: Some(*b"037833100"),
                price_min_e8: Some(100_000_000),
                price_max_e8: Some(9_999_900_000_000),
            }),
        ),
        (
            r#"{"type":"mark","instrument":"ES","kind":"last","price":"4000.25","at":"1970-01-01T00:00:01Z"}"#,
            Line::Mark(MarkLine {
                instrument: "ES".to_owned(),
                kind: MarkKind::Last,
                price_e8: 400_025_000_000,
                ask_e8: 0,
                at_ns: 1_000_000_000,
            }),
        ),
        (
            r#"{"type":"mark","instrument":"ES","kind":"bid_ask","bid":"1","ask":"2","at":"1970-01-01"}"#,
            Line::Mark(MarkLine {
                instrument: "ES".to_owned(),
                kind: MarkKind::BidAsk,
                price_e8: 100_000_000,
                ask_e8: 200_000_000,
                at_ns: 86_399_999_999_999,
            }),
        ),
    ] {
        assert_eq!(read(text), Ok(want), "{text}");
    }
}

/// One line, its code and field. `TRADE` stands for a complete trade's fields.
#[test]
fn refusals() {
    let without = |field: &str| {
        let kept: Vec<&str> = TRADE.split(',').filter(|part| !part.starts_with(&format!("\"{field}\""))).collect();
        format!("{{{}}}", kept.join(","))
    };
    let with = |field: &str, value: &str| {
        let text = without(field);
        format!("{},\"{field}\":{value}}}", text.trim_end_matches('}'))
    };
    let terms =
        |fields: &str| format!(r#"{{"type":"contract","contract_id":"K","effective_date":"2020-01-01",{fields}}}"#);
    let split = |fields: &str| {
        let rest = r#""instrument":"I","effective_date":"2020-01-01""#;
        format!(r#"{{"type":"corporate_action","action":"split",{rest},{fields}}}"#)
    };
    let long = format!("\"{}\"", "x".repeat(65));
    for (text, code, field) in [
        ("{".to_owned(), Code::MalformedJson, None),
        ("[]".to_owned(), Code::MalformedJson, None),
        ("17".to_owned(), Code::MalformedJson, None),
        ("{} {}".to_owned(), Code::MalformedJson, None),
        (format!("{{{TRADE}}}}}"), Code::MalformedJson, None),
        (format!("{{{TRADE},}}"), Code::MalformedJson, None),
        ("a".repeat(100), Code::MalformedJson, None),
        ("[".repeat(100_000), Code::MalformedJson, None),
        (format!("{{\"x\":{}", "[".repeat(100_000)), Code::MalformedJson, None),
        ("{}".to_owned(), Code::MissingField, Some("type")),
        (r#"{"type":7}"#.to_owned(), Code::WrongType, Some("type")),
        (r#"{"type":"Trade"}"#.to_owned(), Code::UnknownType, Some("type")),
        (r#"{"type":"cancel","trade_id":"t"}"#.to_owned(), Code::MissingField, Some("cancels")),
        (r#"{"type":"cancel","cancels":"t","quantity":"1"}"#.to_owned(), Code::UnknownField, Some("quantity")),
        (
            r#"{"type":"cancel","cancels":"t","at":"2020-03-05T00:00:00Z","executed_at":"2020-03-05T00:00:00Z"}"#
                .to_owned(),
            Code::ConflictingFields,
            Some("at"),
        ),
        (r#"{"type":"correct","corrects":"t"}"#.to_owned(), Code::MissingField, None),
        (r#"{"type":"correct","corrects":"t","user_id":"ann"}"#.to_owned(), Code::MissingField, None),
        (r#"{"type":"correct","corrects":"t","price":1}"#.to_owned(), Code::WrongType, Some("price")),
        (
            r#"{"type":"resolve","account":"A1","instrument":"I","user_id":"u"}"#.to_owned(),
            Code::MissingField,
            Some("reason"),
        ),
        (
            format!(
                r#"{{"type":"resolve","account":"A1","instrument":"I","user_id":"u","reason":"{}"}}"#,
                "x".repeat(201)
            ),
            Code::TooLong,
            Some("reason"),
        ),
        (r#"{"type":"transfer"}"#.to_owned(), Code::MissingField, Some("quantity")),
        (r#"{"type":"corporate_action"}"#.to_owned(), Code::MissingField, Some("action")),
        (r#"{"type":"corporate_action","action":"reset"}"#.to_owned(), Code::BadEnum, Some("action")),
        (split(r#""numerator":2"#), Code::MissingField, Some("denominator")),
        (split(r#""numerator":2,"denominator":"1.5""#), Code::BadInteger, Some("denominator")),
        (split(r#""numerator":4294967296,"denominator":1"#), Code::OutOfRange, Some("numerator")),
        (split(r#""numerator":2,"denominator":1,"cash_per_unit":"1""#), Code::ConflictingFields, Some("cash_per_unit")),
        (split(r#""numerator":2,"denominator":1,"price":"1""#), Code::UnknownField, Some("price")),
        (
            split(r#""numerator":2,"denominator":1"#).replace("\"I\"", &format!("{:?}", "I".repeat(60))),
            Code::TooLong,
            Some("action_id"),
        ),
        (
            r#"{"type":"reset","instrument":"I","effective_date":"2020-01-01"}"#.to_owned(),
            Code::MissingField,
            Some("price"),
        ),
        (r#"{"type":"period_lock","through":"2020-01-01"}"#.to_owned(), Code::MissingField, Some("account")),
        (r#"{"type":"period_lock","account":"A"}"#.to_owned(), Code::MissingField, Some("through")),
        (r#"{"type":"open_lot","quantity":"1"}"#.to_owned(), Code::MissingField, Some("trade_id")),
        (r#"{"type":"open_lot","side":"buy"}"#.to_owned(), Code::UnknownField, Some("side")),
        (with("acquired", "\"2020-01-01\""), Code::UnknownField, Some("acquired")),
        (with("fx_to_base", "1"), Code::WrongType, Some("fx_to_base")),
        (with("consideration", "\"1.000000001\""), Code::TooManyDecimals, Some("consideration")),
        (with("price", "\"-92233720368.54775808\""), Code::OutOfRange, Some("price")),
        (with("qty", "\"1\""), Code::UnknownField, Some("qty")),
        (with("qty", "null"), Code::UnknownField, Some("qty")),
        (with("bid", "\"1\""), Code::UnknownField, Some("bid")),
        (format!("{{{TRADE},\"price\":\"2\"}}"), Code::DuplicateField, Some("price")),
        (without("trade_id"), Code::MissingField, Some("trade_id")),
        (without("account"), Code::MissingField, Some("account")),
        (without("instrument"), Code::MissingField, Some("instrument")),
        (without("side"), Code::MissingField, Some("side")),
        (without("quantity"), Code::MissingField, Some("quantity")),
        (without("effective_date"), Code::MissingField, Some("effective_date")),
        (with("trade_id", "\"\""), Code::MissingField, Some("trade_id")),
        (with("trade_id", "17"), Code::WrongType, Some("trade_id")),
        (with("trade_id", &long), Code::TooLong, Some("trade_id")),
        (with("account", "\"*\""), Code::BadText, Some("account")),
        (with("account", "\" A\""), Code::BadText, Some("account")),
        (with("account", r#""A\u0000""#), Code::BadText, Some("account")),
        (with("account", r#""A\u0001""#), Code::BadText, Some("account")),
        (with("instrument", "\"Ä\""), Code::BadText, Some("instrument")),
        (with("side", "\"BUY\""), Code::BadEnum, Some("side")),
        (with("side", "1"), Code::WrongType, Some("side")),
        (with("trade_type", "\"\""), Code::BadEnum, Some("trade_type")),
        (with("quantity", "100"), Code::WrongType, Some("quantity")),
        (with("quantity", "-100"), Code::WrongType, Some("quantity")),
        (with("quantity", "1.5"), Code::WrongType, Some("quantity")),
        (with("quantity", "[\"1\"]"), Code::WrongType, Some("quantity")),
        (with("quantity", "\"1e3\""), Code::BadDecimal, Some("quantity")),
        (with("quantity", "\"\""), Code::BadDecimal, Some("quantity")),
        (with("quantity", "\"1,000\""), Code::BadDecimal, Some("quantity")),
        (with("price", "\"0.123456789\""), Code::TooManyDecimals, Some("price")),
        (with("price", "\"92233720368.54775808\""), Code::OutOfRange, Some("price")),
        (with("fees", "\"NaN\""), Code::BadDecimal, Some("fees")),
        (with("effective_date", "\"2020-02-30\""), Code::BadDate, Some("effective_date")),
        (with("effective_date", "\"20200305\""), Code::BadDate, Some("effective_date")),
        (with("executed_at", "\"2020-03-05T14:30:00\""), Code::BadTimestamp, Some("executed_at")),
        (with("executed_at", "1583418600"), Code::WrongType, Some("executed_at")),
        (with("source_order", "-1"), Code::BadInteger, Some("source_order")),
        (with("source_order", "1.0"), Code::BadInteger, Some("source_order")),
        (with("source_order", "\"17\""), Code::BadInteger, Some("source_order")),
        (with("source_order", "18446744073709551616"), Code::BadInteger, Some("source_order")),
        (
            r#"{"type":"contract","contract_id":"K","allow_short":"yes","effective_date":"2020-01-01"}"#.to_owned(),
            Code::BadBoolean,
            Some("allow_short"),
        ),
        (
            r#"{"type":"contract","contract_id":"K","lot_method":"fifo","effective_date":"2020-01-01"}"#.to_owned(),
            Code::BadEnum,
            Some("lot_method"),
        ),
        (r#"{"type":"contract","contract_id":"K"}"#.to_owned(), Code::MissingField, Some("effective_date")),
        (terms(r#""tax_rate_short":"0.1""#), Code::MissingField, Some("tax_rate_long")),
        (terms(r#""tax_rate_long":"0.1""#), Code::MissingField, Some("tax_rate_short")),
        (terms(r#""tax_rate_short":"1.1","tax_rate_long":"0""#), Code::OutOfRange, Some("tax_rate_short")),
        (terms(r#""tax_rate_short":"0","tax_rate_long":"-0.1""#), Code::OutOfRange, Some("tax_rate_long")),
        (terms(r#""long_term_days":0"#), Code::OutOfRange, Some("long_term_days")),
        (terms(r#""long_term_days":36501"#), Code::OutOfRange, Some("long_term_days")),
        (terms(r#""wash_window_days":367"#), Code::OutOfRange, Some("wash_window_days")),
        (terms(r#""lot_scope":"position""#), Code::BadEnum, Some("lot_scope")),
        (terms(r#""fees_rule":"BASIS""#), Code::BadEnum, Some("fees_rule")),
        (r#"{"type":"instrument","instrument":"*"}"#.to_owned(), Code::BadText, Some("instrument")),
        (r#"{"type":"instrument","instrument":"E","isin":"X"}"#.to_owned(), Code::BadSecurityId, Some("isin")),
        (r#"{"type":"business_date"}"#.to_owned(), Code::MissingField, Some("date")),
        (
            r#"{"type":"mark","instrument":"E","kind":"bid_ask","price":"1","at":"1970-01-01"}"#.to_owned(),
            Code::ConflictingFields,
            Some("price"),
        ),
        (
            r#"{"type":"mark","instrument":"E","kind":"last","price":"1","ask":"1","at":"1970-01-01"}"#.to_owned(),
            Code::ConflictingFields,
            Some("ask"),
        ),
        (
            r#"{"type":"mark","instrument":"E","kind":"bid_ask","bid":"1","at":"1970-01-01"}"#.to_owned(),
            Code::MissingField,
            Some("ask"),
        ),
        (r#"{"type":"mark","instrument":"E","kind":"last","price":"1"}"#.to_owned(), Code::MissingField, Some("at")),
        (
            r#"{"type":"mark","instrument":"E","kind":"mid","price":"1","at":"1970-01-01"}"#.to_owned(),
            Code::BadEnum,
            Some("kind"),
        ),
    ] {
        let shown: String = text.chars().take(200).collect();
        let error = read(&text).expect_err(&shown);
        assert_eq!((error.code, error.field.as_deref()), (code, field), "{shown}: {error}");
        assert!(error.message.len() < 400, "{error}");
        assert!(error.message.chars().all(|c| !c.is_control()), "{error}");
        assert!(!error.is_fatal, "{error}");
    }
}

#[test]
fn bytes_that_are_no_text() {
    for (bytes, code) in [(&b"{\"type\":\"a\0\"}"[..], Code::NulByte), (b"{\"type\":\"\xff\"}", Code::NotUtf8)] {
        assert_eq!(parse_line(bytes, false).map_err(|e| e.code), Err(code));
    }
}

#[test]
fn rounding_is_half_even_and_asked_for() {
    for (text, want) in [
        ("4.82375000001", 482_375_000),
        ("0.000000005", 0),
        ("0.000000015", 2),
        ("-0.000000015", -2),
        ("0.0000000250000001", 3),
    ] {
        let line = format!("{{{}}}", TRADE.replace("167.63", text));
        assert_eq!(read(&line).map_err(|e| e.code), Err(Code::TooManyDecimals), "{text}");
        let Ok(Line::Trade(trade)) = parse_line(line.as_bytes(), true) else { panic!("{text}") };
        assert_eq!(trade.price_e8, Some(want), "{text}");
    }
}
