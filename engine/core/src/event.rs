//! What was decided: one event a command, a fixed part plus byte slices.

use crate::amount::Money;
use crate::command::{InstrumentTerms, Mark, NameClass, Origin, TradeInput};
use crate::date::Date;
use crate::id::{NameId, TradeHash};
use crate::rules::{ContractTerms, LotMethod};

/// What became of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Booked at or after the frontier.
    Applied = 1,
    /// Late: booked as an estimate; the coldpath replays.
    Provisional = 2,
    /// Forward-dated: accepted, kept apart until its date.
    Forward = 3,
    /// A forward-dated trade whose date has come, booked.
    Matured = 4,
    /// Refused; changes nothing and does not consume its id.
    Rejected = 5,
    /// An id that was accepted before; changes nothing.
    Duplicate = 6,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 6] =
        [Self::Applied, Self::Provisional, Self::Forward, Self::Matured, Self::Rejected, Self::Duplicate];

    /// The outcome's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied | Self::Matured => "applied",
            Self::Provisional => "provisional",
            Self::Forward => "forward",
            Self::Rejected => "rejected",
            Self::Duplicate => "duplicate",
        }
    }

    /// Whether the trade belongs to the accepted set.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Applied | Self::Provisional | Self::Forward | Self::Matured)
    }

    /// From the number in records and checkpoints.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| *class as u8 == value)
    }
}

/// Why a command was refused, or why an accepted trade is a break. Codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Reason {
    /// None.
    None = 0,
    /// Sells more than the long holds where the contract forbids short positions.
    Oversell = 1,
    /// Side or trade type contradict what the trade would do.
    TradeTypeMismatch = 2,
    /// The named lot is not open in this position.
    UnknownLot = 3,
    /// The named lot holds less than the trade would take.
    LotTooSmall = 4,
    /// No such contract is known.
    UnknownContract = 5,
    /// The named contract does not cover this account and instrument on this date.
    ContractNotInForce = 6,
    /// A quantity or amount would leave its exact range.
    Overflow = 7,
    /// The decision needs more allocation runs than one event holds.
    TooManyLots = 8,
    /// No room for another position.
    PositionCapacity = 9,
    /// No room for another lot.
    LotCapacity = 10,
    /// No room for another forward-dated trade.
    ForwardCapacity = 11,
    /// No room for another trade id in the recent window.
    TradeIdCapacity = 12,
    /// No room for another name of this class.
    NameCapacity = 13,
    /// No room for another contract version.
    ContractCapacity = 14,
    /// The business date would move back.
    BusinessDateBack = 15,
    /// A contract change dated before trades that it would change.
    RetroactiveRules = 16,
    /// Quantity is zero or negative.
    BadQuantity = 17,
    /// Price is negative, or the mark is not a price.
    BadPrice = 18,
    /// Fees are negative.
    BadFees = 19,
    /// A name that was never defined.
    UnknownName = 20,
    /// A multiplier of zero or less, or a changed multiplier while positions are open.
    BadTerms = 21,
    /// The same id was accepted before with another content.
    IdConflict = 22,
    /// The sender's effective date is outside the calendar that the book holds, or an opening lot was acquired after it.
    BadDate = 23,
    /// The consideration is negative, or an opening lot has none.
    BadConsideration = 24,
    /// The rate to the base currency is zero or negative.
    BadRate = 25,
    /// The currency is not the instrument's.
    CurrencyMismatch = 26,
    /// The trade's sub-account holds less than it would close.
    SubAccountOversell = 27,
    /// An opening lot on the other side of the position.
    OppositeSide = 28,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 29] = [
        Self::None,
        Self::Oversell,
        Self::TradeTypeMismatch,
        Self::UnknownLot,
        Self::LotTooSmall,
        Self::UnknownContract,
        Self::ContractNotInForce,
        Self::Overflow,
        Self::TooManyLots,
        Self::PositionCapacity,
        Self::LotCapacity,
        Self::ForwardCapacity,
        Self::TradeIdCapacity,
        Self::NameCapacity,
        Self::ContractCapacity,
        Self::BusinessDateBack,
        Self::RetroactiveRules,
        Self::BadQuantity,
        Self::BadPrice,
        Self::BadFees,
        Self::UnknownName,
        Self::BadTerms,
        Self::IdConflict,
        Self::BadDate,
        Self::BadConsideration,
        Self::BadRate,
        Self::CurrencyMismatch,
        Self::SubAccountOversell,
        Self::OppositeSide,
    ];

    /// The stable code on the wire.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Oversell => "OVERSELL",
            Self::TradeTypeMismatch => "TRADE_TYPE_MISMATCH",
            Self::UnknownLot => "UNKNOWN_LOT",
            Self::LotTooSmall => "LOT_TOO_SMALL",
            Self::UnknownContract => "UNKNOWN_CONTRACT",
            Self::ContractNotInForce => "CONTRACT_NOT_IN_FORCE",
            Self::Overflow => "OVERFLOW",
            Self::TooManyLots => "TOO_MANY_LOTS",
            Self::PositionCapacity => "POSITION_CAPACITY",
            Self::LotCapacity => "LOT_CAPACITY",
            Self::ForwardCapacity => "FORWARD_CAPACITY",
            Self::TradeIdCapacity => "TRADE_ID_CAPACITY",
            Self::NameCapacity => "NAME_CAPACITY",
            Self::ContractCapacity => "CONTRACT_CAPACITY",
            Self::BusinessDateBack => "BUSINESS_DATE_BACK",
            Self::RetroactiveRules => "RETROACTIVE_RULES",
            Self::BadQuantity => "BAD_QUANTITY",
            Self::BadPrice => "BAD_PRICE",
            Self::BadFees => "BAD_FEES",
            Self::UnknownName => "UNKNOWN_NAME",
            Self::BadTerms => "BAD_TERMS",
            Self::IdConflict => "ID_CONFLICT",
            Self::BadDate => "BAD_DATE",
            Self::BadConsideration => "BAD_CONSIDERATION",
            Self::BadRate => "BAD_RATE",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
            Self::SubAccountOversell => "SUB_ACCOUNT_OVERSELL",
            Self::OppositeSide => "OPPOSITE_SIDE",
        }
    }

    pub(crate) fn from_u16(value: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u16 == value)
    }
}

/// A run of allocations, by index into the position's lots (0 = first) as they stood before the event.
///
/// `part_quantity_e8 == 0`: lots `from .. from + count` were taken whole. Otherwise `count == 1` and
/// a part of lot `from` was taken, with `part_cost_e16` of its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Run {
    /// First lot.
    pub from: u32,
    /// Number of lots.
    pub count: u32,
    /// Quantity of the part, or 0 for whole lots.
    pub part_quantity_e8: i64,
    /// Cost that the part takes with it.
    pub part_cost_e16: Money,
}

/// A trade's event: the accepted input and everything that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeEvent<'a> {
    /// The input as accepted (or refused).
    pub input: TradeInput,
    /// Where it came from.
    pub origin: Origin,
    /// What became of it.
    pub class: Class,
    /// Why it was refused; for [`Class::Matured`] the break, where booking it broke a rule.
    pub reason: Reason,
    /// The position's number in this book; for a refusal without a position `u32::MAX`.
    pub position: u32,
    /// The position's version after this event; for refusals and duplicates the one before, unchanged.
    pub version: u64,
    /// Lot method used.
    pub method: LotMethod,
    /// The position was PROVISIONAL when this was decided: the figures may change.
    pub on_provisional: bool,
    /// Below the frontier: booked as an estimate. Every provisional trade is, and a matured one may be.
    pub late: bool,
    /// The late trade's date is before the frontier's date (the label BACKDATED).
    pub backdated: bool,
    /// Quantity that closed lots, positive.
    pub closed_quantity_e8: i64,
    /// Quantity of the lot it opened, or added to the lot it enlarged; positive, 0 for none.
    pub opened_quantity_e8: i64,
    /// Cost of that quantity.
    pub opened_cost_e16: Money,
    /// Base cost of that quantity.
    pub opened_base_e16: Money,
    /// Price that the opened or enlarged lot has then; 0 for none.
    pub lot_price_e8: i64,
    /// It enlarged the lot that it names instead of opening one.
    pub enlarges: bool,
    /// Cost of the closed lots and parts.
    pub closed_cost_e16: Money,
    /// Base cost of the closed lots and parts.
    pub closed_base_e16: Money,
    /// Realized profit and loss of this trade, in the instrument's currency.
    pub realized_e16: Money,
    /// The part of it that lots held long-term realized; the rest is short-term.
    pub realized_long_e16: Money,
    /// Realized in base currency. The market part is `convert(realized, rate)`, the FX part the rest.
    pub realized_base_e16: Money,
    /// For a duplicate: class of the first result, else the event's own class.
    pub first_class: Class,
    /// For a duplicate or a matured trade: sequence of the first event, else 0.
    pub first_sequence: u64,
    /// For a duplicate or a matured trade: log address of the first event, else `u64::MAX`.
    pub first_address: u64,
    /// Which lots, how much, at what cost.
    pub runs: &'a [Run],
}

/// Figures of a position at one moment, for corrections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Figures {
    /// Net quantity, signed.
    pub quantity_e8: i64,
    /// Realized since inception.
    pub realized_e16: Money,
    /// The long-term part of it.
    pub realized_long_e16: Money,
    /// Realized since inception, in base currency.
    pub realized_base_e16: Money,
    /// Remaining cost of the open lots.
    pub cost_e16: Money,
    /// Remaining base cost of the open lots.
    pub base_cost_e16: Money,
    /// Open lots.
    pub lot_count: u32,
}

/// The coldpath's outcome was accepted: HistoricalPositionCorrected.
///
/// Fixed size: the lots are in a body in the side log, named by address, length and digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorrectedEvent {
    /// Where it came from.
    pub origin: Origin,
    /// The position's number.
    pub position: u32,
    /// Account.
    pub account: NameId,
    /// Instrument.
    pub instrument: NameId,
    /// The position's version after this event.
    pub version: u64,
    /// The version that the replay started from, equal to `version - 1`.
    pub base_version: u64,
    /// The first late trade that caused it.
    pub cause: TradeHash,
    /// Sequence of that trade's event.
    pub cause_sequence: u64,
    /// How many late trades it reconciles.
    pub late_trades: u32,
    /// Trades that became illegal by it; with any the position is PENDING.
    pub breaks: u32,
    /// Before.
    pub before: Figures,
    /// After.
    pub after: Figures,
    /// Log id of the side log.
    pub body_log_id: u64,
    /// Address of the body's first record.
    pub body_address: u64,
    /// Sequence of the body's first record.
    pub body_sequence: u64,
    /// Bytes of the body.
    pub body_bytes: u32,
    /// Digest of the body.
    pub body_digest: u64,
}

/// An event. Kinds and schema versions are in [`crate::codec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a view for one event at a time, never stored in bulk")]
pub enum Event<'a> {
    /// A name was interned.
    Defined {
        /// Origin.
        origin: Origin,
        /// Class.
        class: NameClass,
        /// Its number, dense by class; `NO_NAME` when refused.
        id: NameId,
        /// Refusal, or [`Reason::None`].
        reason: Reason,
        /// The text.
        text: &'a [u8],
    },
    /// An instrument's terms.
    Instrument {
        /// Origin.
        origin: Origin,
        /// Refusal, or [`Reason::None`].
        reason: Reason,
        /// Terms.
        terms: InstrumentTerms,
    },
    /// A contract's rules.
    Contract {
        /// Origin.
        origin: Origin,
        /// Refusal, or [`Reason::None`].
        reason: Reason,
        /// Terms.
        terms: ContractTerms,
    },
    /// The business date.
    BusinessDate {
        /// Origin.
        origin: Origin,
        /// Refusal, or [`Reason::None`].
        reason: Reason,
        /// The date.
        date: Date,
    },
    /// A mark.
    Mark {
        /// Origin.
        origin: Origin,
        /// Refusal, or [`Reason::None`].
        reason: Reason,
        /// The mark.
        mark: Mark,
    },
    /// A trade, whatever became of it.
    Trade(TradeEvent<'a>),
    /// The coldpath's outcome was accepted.
    Corrected(CorrectedEvent),
    /// Both digests of the book after all events before this one; every applier compares.
    Digests {
        /// Origin.
        origin: Origin,
        /// Lots, quantities, realized.
        economic: u64,
        /// With versions and statuses.
        full: u64,
    },
}
