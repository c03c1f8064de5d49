//! Messages that a host must refuse, by class, and how each may be refused.

use serde::Serialize;

/// One way for a message to be wrong. Each appears in a flow in equal share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum InvalidClass {
    /// No Account (1).
    MissingAccount,
    /// No Symbol (55).
    MissingSymbol,
    /// No ExecID (17): nothing to be idempotent by.
    MissingTradeId,
    /// LastQty (32) of zero.
    ZeroQuantity,
    /// LastQty (32) below zero.
    NegativeQuantity,
    /// LastPx (31) with nine decimals.
    NineDecimals,
    /// LastPx (31) that is no number.
    NotANumber,
    /// Side (54) outside the dictionary.
    BadSide,
    /// TradeDate (75) with a thirteenth month.
    BadDate,
    /// Symbol (55) present and empty.
    EmptyValue,
    /// A trade id longer than 64 bytes.
    LongTradeId,
    /// A NewOrderSingle: a type that a position engine does not take.
    UnsupportedType,
    /// Sell short (54=5) on a position that is long: only the engine can know.
    ShortOnLong,
}

/// How a host answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// Reject (35=3): the message is ill-formed.
    SessionReject,
    /// BusinessMessageReject (35=j).
    BusinessReject,
    /// TradeCaptureReportAck (35=AR) with 939=1: the engine looked at it and said no.
    Rejected,
}

impl InvalidClass {
    /// All classes.
    pub const ALL: [Self; 13] = [
        Self::MissingAccount,
        Self::MissingSymbol,
        Self::MissingTradeId,
        Self::ZeroQuantity,
        Self::NegativeQuantity,
        Self::NineDecimals,
        Self::NotANumber,
        Self::BadSide,
        Self::BadDate,
        Self::EmptyValue,
        Self::LongTradeId,
        Self::UnsupportedType,
        Self::ShortOnLong,
    ];

    /// The class with this number, if any.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }

    /// The refusals that are right for this class. Where FIX leaves the choice between a session-level and a business-level refusal (a field that
    /// the dictionary does not require but the business does), both are.
    pub fn expected(self) -> &'static [RefusalKind] {
        use RefusalKind::{BusinessReject, Rejected, SessionReject};
        match self {
            Self::MissingAccount | Self::MissingSymbol | Self::MissingTradeId => &[BusinessReject, SessionReject],
            Self::NotANumber | Self::BadSide | Self::BadDate | Self::EmptyValue => &[SessionReject],
            Self::ZeroQuantity | Self::NegativeQuantity | Self::NineDecimals | Self::LongTradeId => {
                &[SessionReject, BusinessReject, Rejected]
            }
            Self::UnsupportedType => &[BusinessReject],
            Self::ShortOnLong => &[Rejected],
        }
    }

    /// A name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingAccount => "missing account",
            Self::MissingSymbol => "missing symbol",
            Self::MissingTradeId => "missing trade id",
            Self::ZeroQuantity => "zero quantity",
            Self::NegativeQuantity => "negative quantity",
            Self::NineDecimals => "nine decimals",
            Self::NotANumber => "price is no number",
            Self::BadSide => "side outside the dictionary",
            Self::BadDate => "date that does not exist",
            Self::EmptyValue => "empty symbol",
            Self::LongTradeId => "trade id over 64 bytes",
            Self::UnsupportedType => "unsupported message type",
            Self::ShortOnLong => "sell short on a long",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_classes_agree() {
        for (at, class) in InvalidClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, at);
            assert_eq!(InvalidClass::from_index(at as u8), Some(class));
            assert!(!class.expected().is_empty());
        }
        assert_eq!(InvalidClass::from_index(InvalidClass::ALL.len() as u8), None);
    }
}
