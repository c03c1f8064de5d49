//! A cancel or correct of a trade out of an ExecutionReport (150=H and G; in FIX 4.2, 20=1 and 2) or a TradeCaptureReport (487=1 and 2), or a
//! typed refusal.
//!
//! ExecRefID (19) or TradeReportRefID (572) names the id of what is amended. A correct restates the trade: each field that is there is changed to what it says, each
//! that is absent stays. TradeDate (75) is that of the amended trade, for it is a part of the trade's identity, and is not changed here.

use lotbook_core::command::TradeType;

use super::*;
use crate::input::ChangeWords;

/// A trade or an amendment of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixItem<'a> {
    /// 150=F, 487=0 and what else is a new trade.
    Trade(FixTrade<'a>),
    /// 150=G or H, 20=1 or 2, 487=1 or 2.
    Amend(FixAmend<'a>),
}

/// A cancel or correct as its sender told it, borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixAmend<'a> {
    /// Cancel (H) or correct (G).
    pub kind: AmendKind,
    /// ExecID (17) or TradeReportID (571), its own; 1 to 64 printable bytes.
    pub amend_id: &'a str,
    /// ExecRefID (19) or TradeReportRefID (572); 1 to 64 printable bytes.
    pub target_id: &'a str,
    /// Account (1), where it is given.
    pub account: Option<&'a str>,
    /// Symbol (55); 1 to 32 printable bytes.
    pub instrument: &'a str,
    /// Side (54), where a correct gives it.
    pub side: Option<FixSide>,
    /// From PositionEffect (77), where a correct gives it.
    pub trade_type: Option<TradeType>,
    /// LastQty (32) at 10^-8, where a correct gives it; above zero.
    pub quantity_e8: Option<i64>,
    /// LastPx (31) at 10^-8, where a correct gives it; zero or above.
    pub price_e8: Option<i64>,
    /// GrossTradeAmt (381) at 10^-8, where a correct gives it; zero or above.
    pub consideration_e8: Option<i64>,
    /// Commission (12) at 10^-8, where a correct gives it.
    pub fees_e8: Option<i64>,
    /// Currency (15), where a correct gives it.
    pub currency: Option<&'a str>,
    /// SettlCurrency (120) and SettlCurrFxRate (155), where a correct gives both.
    pub settlement: Option<Settlement<'a>>,
    /// TradeDate (75) of the amended trade, else the UTC day of TransactTime (60), as days since 1970-01-01.
    pub trade_date: Option<i32>,
    /// TransactTime (60): when the amendment was made, nanoseconds since the epoch.
    pub executed_at_ns: Option<i64>,
    /// SecondaryExecID (527) or SecondaryTradeReportID (818); 1 to 64 printable bytes.
    pub correlation_id: Option<&'a str>,
    /// MsgSeqNum (34).
    pub seq: u64,
}

impl<'a> FixItem<'a> {
    /// Reads a trade or an amendment. The session has checked the header and the form of all fields before it delivers a message.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn from_message(message: &Message<'a>) -> Result<FixItem<'a>, Refusal> {
        match amendment(message) {
            None => FixTrade::from_message(message).map(FixItem::Trade),
            Some(kind) => FixAmend::read(message, kind).map(FixItem::Amend),
        }
    }
}

impl<'a> FixAmend<'a> {
    #[cold]
    fn read(message: &Message<'a>, kind: AmendKind) -> Result<Self, Refusal> {
        let layout = Layout::of(message);
        if message.msg_type() == MsgType::TradeCaptureReport {
            check_sides(message)?;
        }
        let amend_id = layout.trade_id(message)?;
        let codes = codes!("REF_ID");
        let target_id = optional_text(message, layout.target_id, TRADE_ID_BYTES_MAX, &codes)?
            .ok_or_else(|| Refusal::missing(layout.target_id, codes.missing, "a cancel or correct needs this field"))?;
        let instrument = required_text(message, Tag::Symbol, INSTRUMENT_BYTES_MAX, &codes!("INSTRUMENT"))?;
        let account = optional_text(message, Tag::Account, ACCOUNT_BYTES_MAX, &codes!("ACCOUNT"))?;
        let codes = codes!("EXECUTED_AT");
        let executed_at_ns = optional(message, Tag::TransactTime, value::utc_timestamp_ns, &codes)?;
        let codes = codes!("EFFECTIVE_DATE");
        let trade_date = optional(message, Tag::TradeDate, value::local_date, &codes)?;
        let codes = codes!("CORRELATION_ID");
        let correlation_id = optional_text(message, layout.correlation_id, CORRELATION_ID_BYTES_MAX, &codes)?;
        let seq = optional(message, Tag::MsgSeqNum, value::sequence, &codes!("SEQ"))?;
        let amend = Self {
            kind,
            amend_id,
            target_id,
            account,
            instrument,
            side: None,
            trade_type: None,
            quantity_e8: None,
            price_e8: None,
            consideration_e8: None,
            fees_e8: None,
            currency: None,
            settlement: None,
            trade_date: trade_date.or(executed_at_ns.map(value::day_of_ns)),
            executed_at_ns,
            correlation_id,
            seq: seq.ok_or_else(|| codes!("SEQ").required(Tag::MsgSeqNum))?,
        };
        match kind {
            // What a cancel says of the trade is what the trade was.
            AmendKind::Cancel => Ok(amend),
            AmendKind::Correct => amend.restated(message),
        }
    }

    fn restated(self, message: &Message<'a>) -> Result<Self, Refusal> {
        let (side, trade_type) = match (message.get(Tag::Side), message.get(Tag::PositionEffect)) {
            (None, None) => (None, None),
            (_, effect) => {
                let (side, decreases) = side_of(message)?;
                let trade_type = if decreases.is_some() { TradeType::Decrease } else { TradeType::Any };
                (Some(side), effect.map(|_| trade_type))
            }
        };
        let restated = Self {
            side,
            trade_type,
            quantity_e8: optional(message, Tag::LastQty, value::decimal_e8, &codes!("QUANTITY"))?,
            price_e8: optional(message, Tag::LastPx, value::decimal_e8, &codes!("PRICE"))?,
            consideration_e8: optional(message, Tag::GrossTradeAmt, value::decimal_e8, &codes!("CONSIDERATION"))?,
            fees_e8: message.get(Tag::Commission).map(|_| fees_of(message)).transpose()?,
            currency: optional_text(message, Tag::Currency, CURRENCY_BYTES_MAX, &codes!("CURRENCY"))?,
            settlement: Settlement::read(message)?,
            ..self
        };
        restated.check()?;
        Ok(restated)
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.quantity_e8.is_some_and(|quantity| quantity <= 0) {
            return Err(Refusal::value(Tag::LastQty, "BAD_QUANTITY", "LastQty must be above zero"));
        }
        if self.price_e8.is_some_and(|price| price < 0) {
            return Err(Refusal::value(Tag::LastPx, "BAD_PRICE", "LastPx must not be below zero"));
        }
        if self.consideration_e8.is_some_and(|amount| amount < 0) {
            let text = "GrossTradeAmt must not be below zero";
            return Err(Refusal::value(Tag::GrossTradeAmt, "BAD_CONSIDERATION", text));
        }
        if self.changes() == ChangeWords::default() && self.account.is_none() && self.settlement.is_none() {
            return Err(Refusal::missing(Tag::LastQty, "MISSING_FIELD", "a correct restates at least one field"));
        }
        Ok(())
    }

    /// What it changes, in the door's words; the rate to a base currency apart, which only a host has.
    #[must_use]
    pub fn changes(&self) -> ChangeWords {
        ChangeWords {
            side: self.side.map(FixSide::of_book),
            trade_type: self.trade_type,
            quantity_e8: self.quantity_e8,
            price_e8: self.price_e8,
            consideration_e8: self.consideration_e8,
            fees_e8: self.fees_e8,
            currency: self.currency.map(str::to_owned),
            ..ChangeWords::default()
        }
    }
}

#[cfg(test)]
mod tests;
