//! Messages of a FIX file as trades, cancels and corrects: the same reading as the FIX door's, without a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use lotbook_core::date::Date;
use lotbook_core::limits::NAME_BYTES_MAX;

use crate::fix::frame::{self, Framed};
use crate::fix::message::{Message, MsgType, RejectReason, Tag};
use crate::fix::trade::amend::{FixAmend, FixItem};
use crate::fix::trade::{FixTrade, Refusal, RefusalAnswer, is_order_step};
use crate::fix::value;
use crate::input::text::check_name;
use crate::input::{AmendLine, Code, FixDecoder, Line, LineError, TradeLine};

/// "No business date yet".
pub(super) const NO_DATE: i32 = i32::MIN;

/// A decoder for the reader. `today` is the business date for trades that give no date, `base` the currency to which a
/// message may bring a rate.
pub(super) fn decoder(today: Arc<AtomicI32>, base: Option<String>) -> FixDecoder {
    Box::new(move |bytes| {
        // ORDERING: written by the same thread, between two messages.
        let today = today.load(Ordering::Relaxed);
        decode(bytes, (today != NO_DATE).then_some(Date(today)), base.as_deref()).transpose()
    })
}

/// A trade, or nothing for a message that says nothing about the book.
pub(crate) fn decode(bytes: &[u8], today: Option<Date>, base: Option<&str>) -> Result<Option<Line>, LineError> {
    let frame = match frame::next(bytes) {
        Framed::Frame(frame) => frame,
        Framed::NeedMore { .. } | Framed::Garbled { .. } => {
            return Err(LineError::line(Code::MalformedFix, "is no message that the FIX door would take"));
        }
    };
    let message = Message::parse(bytes, &frame);
    match message.msg_type() {
        MsgType::ExecutionReport | MsgType::TradeCaptureReport => {}
        MsgType::Invalid => return Err(LineError::of("tag 35", Code::MalformedFix, "is no message type")),
        _ => return Ok(None),
    }
    // Other versions tell fills by other fields; passing over them in silence would lose trades.
    if message.version().is_none() {
        return Err(LineError::of("tag 8", Code::BadEnum, "only FIX.4.2, FIX.4.4 and FIXT.1.1 are read"));
    }
    if let Some(fault) = message.fault() {
        return Err(line_error(&Refusal::from(fault)));
    }
    if is_order_step(&message) {
        // An order's life: new, replaced, cancelled, rejected.
        return Ok(None);
    }
    let date = |days: Option<i32>| {
        days.map(Date).or(today).ok_or_else(|| {
            LineError::of(
                "tag 75",
                Code::MissingField,
                "neither TradeDate (75) nor TransactTime (60), and there is no business date yet",
            )
        })
    };
    Ok(Some(match FixItem::from_message(&message).map_err(|refusal| line_error(&refusal))? {
        FixItem::Trade(trade) => {
            let date = date(trade.effective_date)?;
            Line::Trade(line_of(&trade, date, &namespace(&message, date)?, base))
        }
        FixItem::Amend(amend) => {
            let namespace = namespace(&message, date(amend.trade_date)?)?;
            Line::Amend(amend_of(&amend, &namespace, base))
        }
    }))
}

fn amend_of(amend: &FixAmend<'_>, namespace: &str, base: Option<&str>) -> AmendLine {
    let changes = amend.change_words(base);
    let words = amend.words(namespace, &changes);
    AmendLine {
        amend_id: words.amend_id.to_owned(),
        namespace: Some(words.namespace.to_owned()),
        kind: words.kind,
        target_id: words.target_id.to_owned(),
        account: words.account.map(str::to_owned),
        instrument: words.instrument.map(str::to_owned),
        executed_at_ns: words.executed_at_ns,
        source_order: Some(words.source_order),
        correlation_id: words.correlation.map(str::to_owned),
        user_id: words.user.map(str::to_owned),
        changes,
    }
}

/// `FIX:<SenderCompID>:<trade date>`, as the FIX door has it by default.
fn namespace(message: &Message<'_>, date: Date) -> Result<String, LineError> {
    let sender = message
        .get(Tag::SenderCompId)
        .ok_or_else(|| LineError::of("tag 49", Code::MissingField, "SenderCompID (49) is missing"))?;
    let bad = || LineError::of("tag 49", Code::BadText, "is no name of printable ASCII");
    check_name(sender).map_err(|_| bad())?;
    let sender = std::str::from_utf8(sender).map_err(|_| bad())?;
    let (year, month, day) = date.ymd();
    let namespace = format!("FIX:{sender}:{year:04}{month:02}{day:02}");
    if namespace.len() > NAME_BYTES_MAX {
        return Err(LineError::of("tag 49", Code::TooLong, "is too long for a namespace of trade ids"));
    }
    Ok(namespace)
}

/// The namespace that a message's ids have by default, by its own trade date, or by `date`; `None` where it does not say who sent it.
pub(crate) fn namespace_of(bytes: &[u8], date: Option<Date>) -> Option<String> {
    let Framed::Frame(frame) = frame::next(bytes) else { return None };
    let message = Message::parse(bytes, &frame);
    let own = message.get(Tag::TradeDate).and_then(|text| value::local_date(text).ok()).map(Date);
    let executed = message.get(Tag::TransactTime).and_then(|text| value::utc_timestamp_ns(text).ok());
    namespace(&message, date.or(own).or(executed.map(Date::of_ns))?).ok()
}

fn line_of(trade: &FixTrade<'_>, effective_date: Date, namespace: &str, base: Option<&str>) -> TradeLine {
    // A time that the message does not give is stamped where the line is fed.
    let words = trade.words(namespace, effective_date, trade.executed_at_ns.unwrap_or_default(), base);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    TradeLine {
        trade_id: words.trade_id.to_owned(),
        namespace: Some(words.namespace.to_owned()),
        account: words.account.to_owned(),
        instrument: words.instrument.to_owned(),
        kind: words.kind,
        to_account: owned(words.to_account),
        side: words.side,
        trade_type: words.trade_type,
        quantity_e8: words.quantity_e8,
        price_e8: words.price_e8,
        consideration_e8: words.consideration_e8,
        currency: owned(words.currency),
        fx_to_base_e8: words.fx_to_base_e8,
        sub_account: owned(words.sub_account),
        acquired: words.acquired,
        fees_e8: words.fees_e8,
        effective_date: words.effective_date,
        executed_at_ns: trade.executed_at_ns,
        source_order: Some(words.source_order),
        lot: owned(words.lot),
        contract_id: owned(words.contract),
        correlation_id: owned(words.correlation),
        user_id: owned(words.user),
    }
}

/// The FIX door's refusal in the words of unreadable input.
fn line_error(refusal: &Refusal) -> LineError {
    let known = Code::ALL.iter().copied().find(|code| code.as_str() == refusal.code);
    let code = known.unwrap_or(match refusal.answer {
        RefusalAnswer::Business(_) | RefusalAnswer::Session(RejectReason::RequiredTagMissing) => Code::MissingField,
        // What only the gate has a word for: a quantity of zero, a negative price.
        RefusalAnswer::Session(RejectReason::ValueIncorrect) => Code::OutOfRange,
        RefusalAnswer::Session(_) => Code::MalformedFix,
    });
    LineError::of(format!("tag {}", refusal.tag), code, format!("{}: {}", refusal.code, refusal.text))
}

#[cfg(test)]
mod tests {
    use lotbook_core::amend::AmendKind;

    use super::*;
    use crate::fix::fixtures::framed;
    use crate::input::ChangeWords;

    const TRADE: &str = "35=8|49=DESK1|56=LOTBOOK|34=7|52=20200305-14:30:00|17=E1|150=F|1=A1|55=AAPL|54=1|32=100|\
                         31=167.63|";

    fn read(body: &str) -> Result<Option<TradeLine>, String> {
        match decode(&framed("FIX.4.4", body), None, None) {
            Ok(Some(Line::Trade(trade))) => Ok(Some(trade)),
            Ok(None) => Ok(None),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_trade() {
        let trade = read(&format!("{TRADE}60=20200305-14:29:59.500|75=20200304|")).expect("reads").expect("a trade");
        assert_eq!(trade.namespace.as_deref(), Some("FIX:DESK1:20200304"));
        assert_eq!(trade.source_order, Some(7));
        assert_eq!(trade.effective_date.to_string(), "2020-03-04");
        assert_eq!(trade.executed_at_ns, crate::input::time::parse_timestamp("2020-03-05T14:29:59.5Z"));
        let today = Date::parse("2020-03-06");
        let Ok(Some(Line::Trade(trade))) = decode(&framed("FIX.4.4", TRADE), today, None) else { panic!("a trade") };
        assert_eq!((Some(trade.effective_date), trade.executed_at_ns), (today, None));
    }

    #[test]
    fn rates_come_as_through_the_door() {
        let settled = format!("{TRADE}75=20200304|120=USD|155=1.1|");
        for (base, want) in [(Some("USD"), Some(110_000_000)), (Some("CHF"), None), (None, None)] {
            let Ok(Some(Line::Trade(trade))) = decode(&framed("FIX.4.4", &settled), None, base) else {
                panic!("a trade")
            };
            assert_eq!(trade.fx_to_base_e8, want, "{base:?}");
            let correct = settled.replace("17=E1|150=F|", "17=X1|150=G|19=E1|");
            let Ok(Some(Line::Amend(amend))) = decode(&framed("FIX.4.4", &correct), None, base) else {
                panic!("a correct")
            };
            assert_eq!(amend.changes.fx_to_base_e8, want, "{base:?}");
        }
    }

    #[test]
    fn amendments() {
        let report = |fields: &str| TRADE.replace("17=E1|150=F|", &format!("17=X1|150={fields}|19=E1|75=20200304|"));
        let read = |body: &str| match decode(&framed("FIX.4.4", body), None, None) {
            Ok(Some(Line::Amend(amend))) => amend,
            other => panic!("{other:?}"),
        };
        let cancel = read(&report("H"));
        assert_eq!((cancel.amend_id.as_str(), cancel.target_id.as_str(), cancel.kind), ("X1", "E1", AmendKind::Cancel));
        assert_eq!((cancel.namespace.as_deref(), cancel.source_order), (Some("FIX:DESK1:20200304"), Some(7)));
        assert_eq!(cancel.changes, ChangeWords::default());
        let correct = read(&report("G"));
        assert_eq!((correct.kind, correct.changes.price_e8), (AmendKind::Correct, Some(16_763_000_000)));
    }

    #[test]
    fn others_are_passed_over_or_named() {
        let report = |fields: &str| TRADE.replace("150=F|", fields) + "75=20200304|";
        for (body, want) in [
            ("35=0|49=DESK1|56=LOTBOOK|34=2|".to_owned(), None),
            ("35=D|49=DESK1|56=LOTBOOK|34=2|".to_owned(), None),
            (report("150=0|"), None),
            (report("150=H|"), Some("MISSING_FIELD: tag 19")),
            (report(""), Some("MISSING_FIELD: tag 150")),
            (TRADE.to_owned(), Some("MISSING_FIELD: tag 75")),
            (report("150=F|").replace("49=DESK1|", ""), Some("MISSING_FIELD: tag 49")),
            (report("150=F|").replace("54=1|", "54=9|"), Some("BAD_ENUM: tag 54")),
            (report("150=F|").replace("32=100|", "32=1e2|"), Some("BAD_DECIMAL: tag 32")),
            (report("150=F|").replace("32=100|", "32=0|"), Some("OUT_OF_RANGE: tag 32")),
            (report("150=F|").replace("20200304", "20201304"), Some("BAD_DATE: tag 75")),
            (report("150=F|").replace("1=A1|", ""), Some("MISSING_FIELD: tag 1")),
            (report("150=F|").replace("1=A1|", "1=A1|1=A2|"), Some("MALFORMED_FIX: tag 1")),
            (report("150=F|").replace("49=DESK1|", &format!("49={}|", "X".repeat(60))), Some("TOO_LONG: tag 49")),
        ] {
            match (read(&body), want) {
                (Ok(None), None) => {}
                (Err(error), Some(want)) => assert!(error.starts_with(want), "{body}: {error}"),
                (other, _) => panic!("{body}: {other:?}"),
            }
        }
        let old = decode(&framed("FIX.4.3", TRADE), None, None).expect_err("another version");
        assert_eq!(old.code, Code::BadEnum);
    }
}
