//! What a corporate action or a reset says: its input, its place in history, its form.
//!
//! *Source*: `docs/rules.md`, sections 2, 12 and 13.

use crate::amount::ONE_E8;
use crate::command::NO_PRICE;
use crate::date::Date;
use crate::event::Reason;
use crate::id::{ChronoKey, DayPart, NO_NAME, NameId, TradeHash, TradeId};
use crate::limits::SPLIT_TERM_MAX;

/// Kind of an action. The numbers are the order in which actions of one date take place before its trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ActionKind {
    /// Split, or reverse split.
    Split = 0,
    /// Return of capital: a distribution that lowers the basis.
    ReturnOfCapital = 1,
    /// Spin-off into another instrument.
    SpinOff = 2,
    /// Merger: for cash, or into another instrument.
    Merger = 3,
    /// The instrument goes on under another name.
    SymbolChange = 4,
    /// Cash dividend on what is held at the record date.
    CashDividend = 5,
    /// Market-data reset: open lots are struck anew at a price.
    Reset = 6,
}

impl ActionKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Split,
        Self::ReturnOfCapital,
        Self::SpinOff,
        Self::Merger,
        Self::SymbolChange,
        Self::CashDividend,
        Self::Reset,
    ];

    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::ReturnOfCapital => "return_of_capital",
            Self::SpinOff => "spin_off",
            Self::Merger => "merger",
            Self::SymbolChange => "symbol_change",
            Self::CashDividend => "cash_dividend",
            Self::Reset => "reset",
        }
    }

    /// From the wire name of an action; a reset has a type of its own.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind != Self::Reset && kind.as_str() == text)
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == value)
    }

    /// Which part of its date it belongs to.
    #[must_use]
    pub fn part(self) -> DayPart {
        match self {
            Self::Split | Self::ReturnOfCapital | Self::SpinOff | Self::Merger | Self::SymbolChange => DayPart::Opening,
            Self::CashDividend => DayPart::Record,
            Self::Reset => DayPart::Closing,
        }
    }
}

/// An action or reset as accepted by a door: complete, validated in form, every name interned.
///
/// It concerns every position of its instrument. It is stored whole in its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionInput {
    /// Unique within its namespace, among trades and amendments too.
    pub action_id: TradeId,
    /// Hash of (namespace, action id).
    pub hash: TradeHash,
    /// Interned namespace of the id.
    pub namespace: NameId,
    /// Kind.
    pub kind: ActionKind,
    /// Interned instrument.
    pub instrument: NameId,
    /// Interned instrument that it leads to, or `NO_NAME`.
    pub to_instrument: NameId,
    /// Of a reset: the interned contract whose positions it strikes, or `NO_NAME` for all. Else `NO_NAME`.
    pub contract: NameId,
    /// Of a split, spin-off or stock merger: new units, from 1 to [`SPLIT_TERM_MAX`]. Else 0.
    pub numerator: u32,
    /// Of these: old units, as the numerator.
    pub denominator: u32,
    /// Cash a unit, or the reset's price: zero or more.
    pub cash_e8: i64,
    /// Price at which the fraction of a split, spin-off or stock merger is paid out: zero or more, or [`NO_PRICE`].
    pub cash_in_lieu_e8: i64,
    /// Of a spin-off: the part of the basis that goes with it.
    pub basis_fraction_e8: i64,
    /// Units of base currency for one of the instrument's, positive.
    pub fx_to_base_e8: i64,
    /// Date on which it takes effect; of a cash dividend: on which it is paid.
    pub effective_date: Date,
    /// Of a cash dividend: its place in history, not after the effective date. [`Date::NONE`]: the effective date.
    pub record_date: Date,
    /// Interned user, or `NO_NAME`.
    pub user: NameId,
    /// Correlation id.
    pub correlation: TradeId,
}

impl ActionInput {
    /// Nothing said; what is left out of an action's words has these values.
    pub const EMPTY: Self = Self {
        action_id: TradeId::EMPTY,
        hash: TradeHash::NONE,
        namespace: NO_NAME,
        kind: ActionKind::Split,
        instrument: NO_NAME,
        to_instrument: NO_NAME,
        contract: NO_NAME,
        numerator: 0,
        denominator: 0,
        cash_e8: 0,
        cash_in_lieu_e8: NO_PRICE,
        basis_fraction_e8: 0,
        fx_to_base_e8: ONE_E8,
        effective_date: Date::NONE,
        record_date: Date::NONE,
        user: NO_NAME,
        correlation: TradeId::EMPTY,
    };

    /// The date of its place in history.
    #[must_use]
    pub fn date(&self) -> Date {
        match self.kind {
            ActionKind::CashDividend if self.record_date != Date::NONE => self.record_date,
            _ => self.effective_date,
        }
    }

    /// Its place in history: before, or after, the trades of its date; there by kind, then by id.
    #[must_use]
    pub fn key(&self) -> ChronoKey {
        ChronoKey {
            date: self.date(),
            part: self.kind.part(),
            executed_at_ns: self.kind as i64,
            source_order: 0,
            trade_id: self.action_id,
            hash: self.hash,
        }
    }

    /// Price of the fraction that is paid out, where one was given.
    #[must_use]
    pub fn cash_in_lieu(&self) -> Option<i64> {
        (self.cash_in_lieu_e8 != NO_PRICE).then_some(self.cash_in_lieu_e8)
    }

    /// Whether it brings lots to another instrument.
    #[must_use]
    pub fn leads_on(&self) -> bool {
        self.to_instrument != NO_NAME
    }

    /// Whether it is one: the numbers of its kind are in their ranges.
    ///
    /// # Errors
    /// `BAD_TERMS`, `BAD_PRICE`, `BAD_RATE`, `BAD_DATE`.
    pub fn check(&self) -> Result<(), Reason> {
        let is_term = |term: u32| (1..=SPLIT_TERM_MAX).contains(&term);
        let are_terms = is_term(self.numerator) && is_term(self.denominator);
        let leads_elsewhere = self.leads_on() && self.to_instrument != self.instrument;
        let fits = match self.kind {
            ActionKind::Split => are_terms,
            ActionKind::SpinOff => are_terms && leads_elsewhere && (0..=ONE_E8).contains(&self.basis_fraction_e8),
            ActionKind::SymbolChange => leads_elsewhere,
            ActionKind::Merger => !self.leads_on() || (are_terms && leads_elsewhere),
            ActionKind::ReturnOfCapital | ActionKind::CashDividend | ActionKind::Reset => true,
        };
        if !fits {
            return Err(Reason::BadTerms);
        }
        if self.cash_e8 < 0 || (self.cash_in_lieu_e8 < 0 && self.cash_in_lieu_e8 != NO_PRICE) {
            return Err(Reason::BadPrice);
        }
        if self.fx_to_base_e8 <= 0 {
            return Err(Reason::BadRate);
        }
        if self.effective_date == Date::NONE || self.record_date > self.effective_date {
            return Err(Reason::BadDate);
        }
        Ok(())
    }
}
