//! One trade out of an ExecutionReport or a TradeCaptureReport, or a typed refusal.
//!
//! Pure reading: nothing is looked up, and nothing is made up. Where the sender gave no trade date and no execution time, both are `None` and
//! the host stamps the business date.

use lotbook_core::amend::AmendKind;
use lotbook_core::command::Side;

use super::encode::BusinessReason;
use super::limits::{ACCOUNT_BYTES_MAX, CORRELATION_ID_BYTES_MAX, CURRENCY_BYTES_MAX};
use super::limits::{INSTRUMENT_BYTES_MAX, TRADE_ID_BYTES_MAX};
use super::message::{Fault, Message, MsgType, RejectReason, Tag};
use super::value::{self, ValueError};
use super::version::Version;
use crate::input::Code;
use crate::input::text::WILDCARD;

/// Side (54), and PositionEffect (77) where it makes a buy one to cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixSide {
    /// 54=1
    Buy,
    /// 54=2
    Sell,
    /// 54=5
    SellShort,
    /// 54=1 with 77=C
    BuyToCover,
}

impl FixSide {
    /// The book's word for it.
    #[must_use]
    pub fn of_book(self) -> Side {
        match self {
            Self::Buy => Side::Buy,
            Self::Sell => Side::Sell,
            Self::SellShort => Side::SellShort,
            Self::BuyToCover => Side::BuyToCover,
        }
    }
}

/// What the sender says the trade does to the position. FIX can say only that a sell closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixTradeType {
    /// 54=2 with 77=C
    Decrease,
}

/// A trade as its sender told it, borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixTrade<'a> {
    /// ExecID (17) or TradeReportID (571); 1 to 64 printable bytes.
    pub trade_id: &'a str,
    /// Account (1); 1 to 32 printable bytes.
    pub account: &'a str,
    /// Symbol (55); 1 to 32 printable bytes.
    pub instrument: &'a str,
    /// Side (54).
    pub side: FixSide,
    /// From PositionEffect (77).
    pub trade_type: Option<FixTradeType>,
    /// LastQty (32) at 10^-8; above zero.
    pub quantity_e8: i64,
    /// LastPx (31) at 10^-8; zero or above.
    pub price_e8: i64,
    /// GrossTradeAmt (381) at 10^-8, where it is given; zero or above.
    pub consideration_e8: Option<i64>,
    /// Currency (15), where it is given; 1 to 32 printable bytes.
    pub currency: Option<&'a str>,
    /// SettlCurrency (120) and SettlCurrFxRate (155), where both are given.
    pub settlement: Option<Settlement<'a>>,
    /// Commission (12) at 10^-8; 0 where absent, below zero for a rebate.
    pub fees_e8: i64,
    /// TradeDate (75), else the UTC day of TransactTime (60), as days since 1970-01-01.
    pub effective_date: Option<i32>,
    /// TransactTime (60), nanoseconds since the epoch.
    pub executed_at_ns: Option<i64>,
    /// SecondaryExecID (527) or SecondaryTradeReportID (818); 1 to 64 printable bytes.
    pub correlation_id: Option<&'a str>,
    /// PossResend (97).
    pub poss_resend: bool,
    /// MsgSeqNum (34).
    pub seq: u64,
}

/// How a refusal is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalAnswer {
    /// Reject (35=3).
    Session(RejectReason),
    /// BusinessMessageReject (35=j).
    Business(BusinessReason),
}

/// Why a message is not a trade that the engine could decide on. No engine state was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which message answers it, with its reason.
    pub answer: RefusalAnswer,
    /// The tag at fault.
    pub tag: u32,
    /// A stable code, the same in every release.
    pub code: &'static str,
    /// The reason in words.
    pub text: &'static str,
}

impl Refusal {
    /// Overload, or the engine takes no trades now: the sender may try again.
    pub const NOT_AVAILABLE: Refusal = Refusal {
        answer: RefusalAnswer::Business(BusinessReason::ApplicationNotAvailable),
        tag: 0,
        code: "NOT_AVAILABLE",
        text: "overloaded or closing; not processed, send again later with PossResend",
    };

    const fn value(tag: Tag, code: &'static str, text: &'static str) -> Refusal {
        Refusal { answer: RefusalAnswer::Session(RejectReason::ValueIncorrect), tag: tag.number(), code, text }
    }

    const fn missing(tag: Tag, code: &'static str, text: &'static str) -> Refusal {
        let answer = RefusalAnswer::Business(BusinessReason::ConditionallyRequiredFieldMissing);
        Refusal { answer, tag: tag.number(), code, text }
    }
}

/// A field's stable codes, by its type: those of every door ([`crate::gate`]).
struct Codes {
    missing: &'static str,
    malformed: &'static str,
}

impl Codes {
    const fn of(field: &str) -> Self {
        let malformed = match field.as_bytes() {
            b"QUANTITY" | b"PRICE" | b"CONSIDERATION" | b"FEES" | b"RATE" => Code::BadDecimal,
            b"EFFECTIVE_DATE" => Code::BadDate,
            b"EXECUTED_AT" => Code::BadTimestamp,
            b"SEQ" => Code::BadInteger,
            _ => Code::BadText,
        };
        Self { missing: Code::MissingField.as_str(), malformed: malformed.as_str() }
    }
}

macro_rules! codes {
    ($field:literal) => {
        const { Codes::of($field) }
    };
}

// Behind the macro, which they use.
pub mod amend;
pub mod settlement;
mod words;

use settlement::Settlement;

impl Codes {
    #[cold]
    fn refusal(&self, tag: Tag, error: ValueError) -> Refusal {
        let (code, text) = match error {
            ValueError::Format => (self.malformed, "not of this field's type"),
            ValueError::Decimals => (Code::TooManyDecimals.as_str(), "more than eight decimals"),
            ValueError::Range => (Code::OutOfRange.as_str(), "out of range"),
            ValueError::TooLong => (Code::TooLong.as_str(), "longer than this field may be"),
        };
        Refusal { answer: RefusalAnswer::Session(error.into()), tag: tag.number(), code, text }
    }

    /// A field that the message cannot be without: session-level reject.
    #[cold]
    fn required(&self, tag: Tag) -> Refusal {
        let answer = RefusalAnswer::Session(RejectReason::RequiredTagMissing);
        Refusal { answer, tag: tag.number(), code: self.missing, text: "a required field is missing" }
    }

    /// A field that FIX leaves optional and a trade needs: business reject.
    #[cold]
    fn needed(&self, tag: Tag) -> Refusal {
        Refusal::missing(tag, self.missing, "a trade needs this field")
    }
}

/// Which tags carry what in one type of message.
struct Layout {
    trade_id: Tag,
    /// What a cancel or correct amends.
    target_id: Tag,
    correlation_id: Tag,
    /// Whether the FIX dictionary itself requires the trade id.
    trade_id_required: bool,
    /// Whether it requires quantity and price.
    quantity_required: bool,
}

const EXECUTION_REPORT: Layout = Layout {
    trade_id: Tag::ExecId,
    target_id: Tag::ExecRefId,
    correlation_id: Tag::SecondaryExecId,
    trade_id_required: true,
    quantity_required: false,
};

const TRADE_CAPTURE_REPORT: Layout = Layout {
    trade_id: Tag::TradeReportId,
    target_id: Tag::TradeReportRefId,
    correlation_id: Tag::SecondaryTradeReportId,
    trade_id_required: true,
    quantity_required: true,
};

const TRADE_CAPTURE_REPORT_50: Layout =
    Layout { trade_id_required: false, quantity_required: false, ..TRADE_CAPTURE_REPORT };

impl Layout {
    fn of(message: &Message<'_>) -> &'static Layout {
        match (message.msg_type(), message.version()) {
            (MsgType::TradeCaptureReport, Some(Version::Fix50Sp2)) => &TRADE_CAPTURE_REPORT_50,
            (MsgType::TradeCaptureReport, _) => &TRADE_CAPTURE_REPORT,
            _ => &EXECUTION_REPORT,
        }
    }

    fn trade_id<'a>(&self, message: &Message<'a>) -> Result<&'a str, Refusal> {
        let codes = codes!("TRADE_ID");
        match optional_text(message, self.trade_id, TRADE_ID_BYTES_MAX, &codes)? {
            Some(trade_id) => Ok(trade_id),
            None if self.trade_id_required => Err(codes.required(self.trade_id)),
            None => Err(codes.needed(self.trade_id)),
        }
    }
}

impl<'a> FixTrade<'a> {
    /// Reads a trade. The session has checked the header and the form of all fields before it delivers a message.
    pub fn from_message(message: &Message<'a>) -> Result<FixTrade<'a>, Refusal> {
        check(message)?;
        read(message, Layout::of(message))
    }
}

/// The answer to an application message of another type.
pub(super) const UNSUPPORTED_TYPE: Refusal = Refusal {
    answer: RefusalAnswer::Business(BusinessReason::UnsupportedMessageType),
    tag: Tag::MsgType.number(),
    code: "UNKNOWN_TYPE",
    text: "send ExecutionReport (8) or TradeCaptureReport (AE)",
};

/// The trade id of a message that is being refused, where it can be read.
pub(super) fn trade_id_of<'a>(message: &Message<'a>) -> Option<&'a str> {
    let tag = match message.msg_type() {
        MsgType::ExecutionReport => Tag::ExecId,
        MsgType::TradeCaptureReport => Tag::TradeReportId,
        _ => return None,
    };
    value::text(message.get(tag)?, TRADE_ID_BYTES_MAX).ok()
}

/// What the message is, by the fields that say it in its version: `None` for a trade.
pub(super) fn amendment(message: &Message<'_>) -> Option<AmendKind> {
    match message.msg_type() {
        MsgType::ExecutionReport if message.version() == Some(Version::Fix42) => {
            match message.get(Tag::ExecTransType)? {
                b"1" => Some(AmendKind::Cancel),
                b"2" => Some(AmendKind::Correct),
                _ => None,
            }
        }
        MsgType::ExecutionReport => match message.get(Tag::ExecType)? {
            b"H" => Some(AmendKind::Cancel),
            b"G" => Some(AmendKind::Correct),
            _ => None,
        },
        MsgType::TradeCaptureReport => match message.get(Tag::TradeReportTransType)? {
            b"1" => Some(AmendKind::Cancel),
            b"2" => Some(AmendKind::Correct),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a FIX 4.2 ExecutionReport is a step of an order's life, and no trade nor an amendment of one.
pub(crate) fn is_order_step(message: &Message<'_>) -> bool {
    match message.version() {
        Some(Version::Fix42) => {
            let status = message.get(Tag::ExecTransType) == Some(b"3");
            let other = |kind: &[u8]| !matches!(kind, b"1" | b"2");
            status || (amendment(message).is_none() && message.get(Tag::ExecType).is_some_and(other))
        }
        _ => message.get(Tag::ExecType).is_some_and(|kind| !matches!(kind, b"F" | b"G" | b"H")),
    }
}

fn check(message: &Message<'_>) -> Result<(), Refusal> {
    match (message.msg_type(), message.version()) {
        (MsgType::ExecutionReport, Some(Version::Fix42)) => check_execution_report_42(message),
        (MsgType::ExecutionReport, _) => check_execution_report(message),
        (MsgType::TradeCaptureReport, _) => check_trade_capture_report(message),
        _ => Err(UNSUPPORTED_TYPE),
    }
}

fn check_execution_report(message: &Message<'_>) -> Result<(), Refusal> {
    match message.get(Tag::ExecType) {
        Some(b"F") => Ok(()),
        Some(_) => Err(EXEC_TYPE),
        None => Err(codes!("EXEC_TYPE").required(Tag::ExecType)),
    }
}

/// FIX 4.2 tells a fill by ExecType, and what is done with it by ExecTransType.
fn check_execution_report_42(message: &Message<'_>) -> Result<(), Refusal> {
    match message.get(Tag::ExecTransType) {
        Some(b"0") => {}
        Some(_) => {
            return Err(Refusal::value(
                Tag::ExecTransType,
                "BAD_ENUM",
                "only ExecTransType 0 (new), 1 (cancel) and 2 (correct) are taken",
            ));
        }
        None => return Err(codes!("EXEC_TRANS_TYPE").required(Tag::ExecTransType)),
    }
    match message.get(Tag::ExecType) {
        Some(b"1" | b"2") => Ok(()),
        Some(_) => {
            Err(Refusal::value(Tag::ExecType, "BAD_ENUM", "only ExecType 1 (partial fill) and 2 (fill) are taken"))
        }
        None => Err(codes!("EXEC_TYPE").required(Tag::ExecType)),
    }
}

const EXEC_TYPE: Refusal =
    Refusal::value(Tag::ExecType, "BAD_ENUM", "only ExecType F, in ExecutionReport also G and H, is taken");

fn check_trade_capture_report(message: &Message<'_>) -> Result<(), Refusal> {
    if !matches!(message.get(Tag::ExecType), None | Some(b"F")) {
        return Err(EXEC_TYPE);
    }
    if !matches!(message.get(Tag::TradeReportTransType), None | Some(b"0")) {
        return Err(Refusal::value(
            Tag::TradeReportTransType,
            "NOT_SUPPORTED_YET",
            "only TradeReportTransType 0 (new), 1 (cancel) and 2 (replace) are taken",
        ));
    }
    check_sides(message)
}

fn check_sides(message: &Message<'_>) -> Result<(), Refusal> {
    match message.get(Tag::NoSides) {
        Some(b"1") => Ok(()),
        Some(_) => Err(Refusal::value(Tag::NoSides, "BAD_ENUM", "exactly one side is taken")),
        None => Err(codes!("SIDES").required(Tag::NoSides)),
    }
}

#[inline]
fn read<'a>(message: &Message<'a>, layout: &Layout) -> Result<FixTrade<'a>, Refusal> {
    let trade_id = layout.trade_id(message)?;
    let instrument = required_text(message, Tag::Symbol, INSTRUMENT_BYTES_MAX, &codes!("INSTRUMENT"))?;
    let (side, trade_type) = side_of(message)?;
    let account = match optional_text(message, Tag::Account, ACCOUNT_BYTES_MAX, &codes!("ACCOUNT"))? {
        Some(account) => account,
        None => return Err(codes!("ACCOUNT").needed(Tag::Account)),
    };

    let quantity_e8 = amount(message, Tag::LastQty, layout.quantity_required, &codes!("QUANTITY"))?;
    if quantity_e8 <= 0 {
        return Err(Refusal::value(Tag::LastQty, "BAD_QUANTITY", "LastQty must be above zero"));
    }
    let price_e8 = amount(message, Tag::LastPx, layout.quantity_required, &codes!("PRICE"))?;
    if price_e8 < 0 {
        return Err(Refusal::value(Tag::LastPx, "BAD_PRICE", "LastPx must not be below zero"));
    }
    let consideration_e8 = optional(message, Tag::GrossTradeAmt, value::decimal_e8, &codes!("CONSIDERATION"))?;
    if consideration_e8.is_some_and(|amount| amount < 0) {
        let text = "GrossTradeAmt must not be below zero";
        return Err(Refusal::value(Tag::GrossTradeAmt, "BAD_CONSIDERATION", text));
    }
    let currency = optional_text(message, Tag::Currency, CURRENCY_BYTES_MAX, &codes!("CURRENCY"))?;
    let settlement = Settlement::read(message)?;
    let fees_e8 = fees_of(message)?;

    let codes = codes!("EXECUTED_AT");
    let executed_at_ns = optional(message, Tag::TransactTime, value::utc_timestamp_ns, &codes)?;
    let codes = codes!("EFFECTIVE_DATE");
    let trade_date = optional(message, Tag::TradeDate, value::local_date, &codes)?;
    let codes = codes!("CORRELATION_ID");
    let correlation_id = optional_text(message, layout.correlation_id, CORRELATION_ID_BYTES_MAX, &codes)?;
    let seq = optional(message, Tag::MsgSeqNum, value::sequence, &codes!("SEQ"))?;

    Ok(FixTrade {
        trade_id,
        account,
        instrument,
        side,
        trade_type,
        quantity_e8,
        price_e8,
        consideration_e8,
        currency,
        settlement,
        fees_e8,
        effective_date: trade_date.or(executed_at_ns.map(value::day_of_ns)),
        executed_at_ns,
        correlation_id,
        poss_resend: message.is_set(Tag::PossResend),
        seq: seq.ok_or_else(|| codes!("SEQ").required(Tag::MsgSeqNum))?,
    })
}

fn side_of(message: &Message<'_>) -> Result<(FixSide, Option<FixTradeType>), Refusal> {
    let closes = match message.get(Tag::PositionEffect) {
        None | Some(b"O") => false,
        Some(b"C") => true,
        Some(_) => {
            return Err(Refusal::value(Tag::PositionEffect, "BAD_ENUM", "only PositionEffect O and C are taken"));
        }
    };
    match (message.get(Tag::Side), closes) {
        (Some(b"1"), false) => Ok((FixSide::Buy, None)),
        (Some(b"1"), true) => Ok((FixSide::BuyToCover, None)),
        (Some(b"2"), false) => Ok((FixSide::Sell, None)),
        (Some(b"2"), true) => Ok((FixSide::Sell, Some(FixTradeType::Decrease))),
        (Some(b"5"), false) => Ok((FixSide::SellShort, None)),
        (Some(b"5"), true) => {
            Err(Refusal::value(Tag::PositionEffect, "BAD_ENUM", "a short sale cannot close a position"))
        }
        (Some(_), _) => {
            Err(Refusal::value(Tag::Side, "BAD_ENUM", "only Side 1 (buy), 2 (sell) and 5 (sell short) are taken"))
        }
        (None, _) => Err(codes!("SIDE").required(Tag::Side)),
    }
}

fn fees_of(message: &Message<'_>) -> Result<i64, Refusal> {
    let Some(text) = message.get(Tag::Commission) else {
        return Ok(0);
    };
    if !matches!(message.get(Tag::CommType), None | Some(b"3")) {
        return Err(Refusal::value(Tag::CommType, "BAD_ENUM", "only CommType 3 (absolute) is taken"));
    }
    value::decimal_e8(text).map_err(|error| codes!("FEES").refusal(Tag::Commission, error))
}

fn amount(message: &Message<'_>, tag: Tag, required: bool, codes: &Codes) -> Result<i64, Refusal> {
    match message.get(tag) {
        Some(text) => value::decimal_e8(text).map_err(|error| codes.refusal(tag, error)),
        None if required => Err(codes.required(tag)),
        None => Err(codes.needed(tag)),
    }
}

fn optional<'a, T>(
    message: &Message<'a>,
    tag: Tag,
    read: impl FnOnce(&'a [u8]) -> Result<T, ValueError>,
    codes: &Codes,
) -> Result<Option<T>, Refusal> {
    match message.get(tag) {
        None => Ok(None),
        Some(text) => read(text).map(Some).map_err(|error| codes.refusal(tag, error)),
    }
}

fn optional_text<'a>(
    message: &Message<'a>,
    tag: Tag,
    bytes_max: usize,
    codes: &Codes,
) -> Result<Option<&'a str>, Refusal> {
    optional(message, tag, |bytes| name(tag, value::text(bytes, bytes_max)?), codes)
}

/// The form of names that all doors have in common (`crate::input::text`), beside what [`value::text`] has seen.
#[inline]
fn name(tag: Tag, text: &str) -> Result<&str, ValueError> {
    let is_wild = text == WILDCARD && matches!(tag, Tag::Account | Tag::Symbol);
    if text.starts_with(' ') || text.ends_with(' ') || is_wild { Err(ValueError::Format) } else { Ok(text) }
}

fn required_text<'a>(message: &Message<'a>, tag: Tag, bytes_max: usize, codes: &Codes) -> Result<&'a str, Refusal> {
    match optional_text(message, tag, bytes_max, codes)? {
        Some(text) => Ok(text),
        None => Err(codes.required(tag)),
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        let (code, text) = super::encode::fault_text(fault.reason);
        Refusal { answer: RefusalAnswer::Session(fault.reason), tag: fault.tag, code, text }
    }
}

#[cfg(test)]
mod tests;
