//! What was decided: one event a command, a fixed part plus byte slices.

use crate::amend_event::{AmendEvent, ResolvedEvent};
use crate::amount::Money;
use crate::arrival::ArrivedEvent;
use crate::carried::{DeliveredEvent, ReceivedEvent};
use crate::closed::Adjusted;
use crate::command::{InstrumentTerms, Mark, NameClass, Origin, TradeInput};
use crate::date::Date;
use crate::id::{NameId, TradeHash};
use crate::mark::Valued;
pub use crate::reason::Reason;
use crate::rules::{ContractTerms, LotMethod};
use crate::wide_event::{ActionEvent, LockEvent, SettledEvent, TakenEvent};

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
    /// An amendment whose target has not come: kept, apart from every position.
    Held = 7,
    /// A held amendment that came to nothing: its time ran out, or its target is none for it. Frees its id.
    Lapsed = 8,
    /// A trade that came behind what a correction has replayed, booked again on the corrected lots. It follows the correction in
    /// the same group of records.
    Rebooked = 9,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 9] = [
        Self::Applied,
        Self::Provisional,
        Self::Forward,
        Self::Matured,
        Self::Rejected,
        Self::Duplicate,
        Self::Held,
        Self::Lapsed,
        Self::Rebooked,
    ];

    /// The outcome's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied | Self::Matured | Self::Rebooked => "applied",
            Self::Provisional => "provisional",
            Self::Forward => "forward",
            Self::Held => "held",
            Self::Rejected | Self::Lapsed => "rejected",
            Self::Duplicate => "duplicate",
        }
    }

    /// Whether the trade belongs to the accepted set.
    #[must_use]
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Applied | Self::Provisional | Self::Forward | Self::Matured)
    }

    /// Whether a trade's event of this class is a version of its position.
    #[must_use]
    pub fn is_a_version(self) -> bool {
        self.is_accepted() || self == Self::Rebooked
    }

    /// From the number in records and checkpoints.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| *class as u8 == value)
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
    /// Cost that the part takes with it; 0 where costs are averaged.
    pub part_cost_e16: Money,
}

/// Where the cost of a reduction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Averaged {
    /// From the lots that were taken.
    No = 0,
    /// From all lots of the position, whose costs are then stated anew.
    Position = 1,
    /// From all lots of the trade's sub-account, alike.
    SubAccount = 2,
}

impl Averaged {
    /// The scope of the pool, as contracts name it; empty where there is none.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Position => "POSITION",
            Self::SubAccount => "SUB_ACCOUNT",
        }
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        [Self::No, Self::Position, Self::SubAccount].into_iter().find(|averaged| *averaged as u8 == value)
    }
}

/// A trade's event: the accepted input and everything that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeEvent<'a> {
    /// The input as accepted (or refused). Borrowed: it is ten lines long, and most of who reads an event reads little of it.
    pub input: &'a TradeInput,
    /// Where it came from.
    pub origin: Origin,
    /// What became of it.
    pub class: Class,
    /// Why it was refused; for [`Class::Matured`] and [`Class::Rebooked`] the break, where booking it broke a rule.
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
    /// Dated in a closed period, and final: what it realized is an adjustment of the open one.
    pub adjusts: bool,
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
    /// Where the cost of the closed lots and parts comes from.
    pub averaged: Averaged,
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
    /// For a duplicate, a matured or a rebooked trade: sequence of the first event, else 0.
    pub first_sequence: u64,
    /// For a duplicate, a matured or a rebooked trade: log address of the first event, else `u64::MAX`.
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
    /// Fees since inception.
    pub fees_e16: Money,
    /// Dividends since inception.
    pub dividends_e16: Money,
    /// Open lots.
    pub lot_count: u32,
}

/// The coldpath's outcome was accepted: HistoricalPositionCorrected.
///
/// Fixed size: the lots are in a body in the side log, named by address, length and digest. It speaks of the position as it stood at
/// `base_version`. Trades that came since, `tail` of them, are booked again by the events that follow it in the same group.
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
    /// The version that was replayed, equal to `version - 1 - tail`.
    pub base_version: u64,
    /// The first late trade that caused it.
    pub cause: TradeHash,
    /// Sequence of that trade's event.
    pub cause_sequence: u64,
    /// How many late trades it reconciles.
    pub late_trades: u32,
    /// Events since the base version: trades, which are booked again.
    pub tail: u32,
    /// Late ones among them: with any the position stays PROVISIONAL.
    pub left: u32,
    /// Trades that became illegal by it; with any the position is PENDING.
    pub breaks: u32,
    /// Changes of history that are in it, as an ordinal.
    pub seen: u32,
    /// Before: at the base version, as it was estimated.
    pub before: Figures,
    /// After: at the base version, as it was replayed.
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
    /// What it changes in closed days: an adjustment of the open period.
    pub adjusted: Adjusted,
    /// The mark when it was accepted, if there was one.
    pub valued: Option<Valued>,
}

impl CorrectedEvent {
    /// Exposure before and after, at the mark when it was accepted; `None` where there was none, or it leaves its exact range. Nothing is
    /// exposed where nothing is held.
    #[must_use]
    pub fn exposures_e16(&self) -> [Option<Money>; 2] {
        [self.before.quantity_e8, self.after.quantity_e8].map(|quantity_e8| match quantity_e8 {
            0 => Some(0),
            _ => self.valued?.exposure_e16(quantity_e8),
        })
    }
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
    /// A cancel or correct, whatever became of it.
    Amended(AmendEvent<'a>),
    /// An operator resolved the breaks of a position.
    Resolved(ResolvedEvent),
    /// An action or reset, whatever became of it.
    Action(ActionEvent),
    /// What a position took of a change of history.
    Taken(TakenEvent<'a>),
    /// A lot arrived from another position.
    Arrived(ArrivedEvent<'a>),
    /// A leg came from another shard.
    Received(ReceivedEvent),
    /// Legs that were sent to other shards are durable there.
    Delivered(DeliveredEvent),
    /// Every position has been looked at for a change.
    Settled(SettledEvent),
    /// A period lock, granted or refused.
    PeriodLock(LockEvent),
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

impl Event<'_> {
    /// Where it came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Defined { origin, .. }
            | Self::Instrument { origin, .. }
            | Self::Contract { origin, .. }
            | Self::BusinessDate { origin, .. }
            | Self::Mark { origin, .. }
            | Self::Digests { origin, .. } => origin,
            Self::Trade(event) => &event.origin,
            Self::Amended(event) => &event.origin,
            Self::Resolved(event) => &event.origin,
            Self::Action(event) => &event.origin,
            Self::Taken(event) => &event.origin,
            Self::Arrived(event) => &event.origin,
            Self::Received(event) => &event.origin,
            Self::Delivered(event) => &event.origin,
            Self::Settled(event) => &event.origin,
            Self::PeriodLock(event) => &event.origin,
            Self::Corrected(event) => &event.origin,
        }
    }
}
