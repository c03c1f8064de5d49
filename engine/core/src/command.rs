//! What comes in: one command, one event.

use core::cmp::Ordering;

use crate::action_input::ActionInput;
use crate::amend::AmendInput;
use crate::amend_event::ResolveInput;
use crate::amount::ONE_E8;
use crate::date::Date;
use crate::event::Reason;
use crate::id::{ChronoKey, DayPart, NO_NAME, NameId, TradeHash, TradeId};
use crate::rules::ContractTerms;
use crate::wide_event::LockInput;

/// "No price": the trade gives a consideration instead. No decimal string reads as this number.
pub const NO_PRICE: i64 = i64::MIN;
/// "No consideration": the trade's value is price x quantity x multiplier.
pub const NO_CONSIDERATION: i64 = i64::MIN;

/// Side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Side {
    /// Buys; covers a short first, and what is beyond it goes long.
    Buy = 1,
    /// Sells; closes a long first, and what is beyond it goes short where the contract allows.
    Sell = 2,
    /// Opens or enlarges a short; refused on a long.
    SellShort = 3,
    /// Closes a short or part of it; refused beyond it.
    BuyToCover = 4,
}

impl Side {
    /// +1 for the buying sides, -1 for the selling ones.
    #[inline]
    #[must_use]
    pub fn sign(self) -> i64 {
        match self {
            Self::Buy | Self::BuyToCover => 1,
            Self::Sell | Self::SellShort => -1,
        }
    }

    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
            Self::SellShort => "sell_short",
            Self::BuyToCover => "buy_to_cover",
        }
    }

    /// From the wire name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Buy, Self::Sell, Self::SellShort, Self::BuyToCover].into_iter().find(|side| side.as_str() == text)
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        [Self::Buy, Self::Sell, Self::SellShort, Self::BuyToCover].into_iter().find(|side| *side as u8 == value)
    }
}

/// What the sender says that the trade does; checked against what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TradeType {
    /// Not said: anything goes.
    Any = 0,
    /// Opens a lot: on a flat position or beside lots of the same side.
    NewTrade = 1,
    /// Adds to an open position of the same side.
    Increase = 2,
    /// Reduces an open position, at most to zero.
    Decrease = 3,
}

impl TradeType {
    /// The wire name; empty for [`TradeType::Any`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::NewTrade => "NEW_TRADE",
            Self::Increase => "INCREASE",
            Self::Decrease => "DECREASE",
        }
    }

    /// From the wire name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::NewTrade, Self::Increase, Self::Decrease].into_iter().find(|kind| kind.as_str() == text)
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        [Self::Any, Self::NewTrade, Self::Increase, Self::Decrease].into_iter().find(|kind| *kind as u8 == value)
    }
}

/// What kind of thing an input is: both are items of a position's history with a key of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TradeKind {
    /// A trade.
    Trade = 0,
    /// A lot from elsewhere, with its cost and acquisition date; realizes nothing and sets no mark.
    OpenLot = 1,
    /// Lots go to another account, with their dates and costs.
    Transfer = 2,
}

impl TradeKind {
    /// The type of the input line that brings one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::OpenLot => "open_lot",
            Self::Transfer => "transfer",
        }
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        [Self::Trade, Self::OpenLot, Self::Transfer].into_iter().find(|kind| *kind as u8 == value)
    }
}

/// A trade as accepted by a door: complete, validated in form, every name interned.
///
/// It is stored whole in the event, so that the coldpath can decide again from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeInput {
    /// Unique within its namespace.
    pub trade_id: TradeId,
    /// Hash of (namespace, trade id).
    pub hash: TradeHash,
    /// Interned namespace of the trade id.
    pub namespace: NameId,
    /// Interned account.
    pub account: NameId,
    /// Interned instrument.
    pub instrument: NameId,
    /// Interned contract id, or `NO_NAME`: the contract in force for account and instrument.
    pub contract: NameId,
    /// Side.
    pub side: Side,
    /// What the sender says it does.
    pub trade_type: TradeType,
    /// A trade, an opening lot or a transfer. An opening lot buys (long) or sells (short); a transfer sells where it
    /// moves long lots and buys where it moves short ones.
    pub kind: TradeKind,
    /// Always positive.
    pub quantity_e8: i64,
    /// Zero or more, or [`NO_PRICE`].
    pub price_e8: i64,
    /// Gross amount of the whole trade, or cost of the opening lot: zero or more, or [`NO_CONSIDERATION`].
    pub consideration_e8: i64,
    /// Fees and commissions, zero or more; enter cost and proceeds where the contract says so.
    pub fees_e8: i64,
    /// Interned currency that the sender named, or `NO_NAME`.
    pub currency: NameId,
    /// Units of the base currency for one of the trade's, positive; stamped by the door where none was given.
    pub fx_to_base_e8: i64,
    /// Interned sub-account (strategy), or `NO_NAME`.
    pub sub_account: NameId,
    /// Of an opening lot: when it was acquired, not after the effective date. Else [`Date::NONE`].
    pub acquired: Date,
    /// Date on which the trade takes effect.
    pub effective_date: Date,
    /// Execution time, UTC nanoseconds; stamped by the door where the sender gave none.
    pub executed_at_ns: i64,
    /// Order within the source; stamped by the door where the sender gave none.
    pub source_order: u64,
    /// The opening trade of the lot to use, or [`TradeHash::NONE`].
    pub lot: TradeHash,
    /// Of a transfer: the interned account that the lots go to. Else `NO_NAME`.
    pub to_account: NameId,
    /// Interned user, or `NO_NAME`.
    pub user: NameId,
    /// Correlation id; the door makes one where the sender gave none.
    pub correlation: TradeId,
}

impl TradeInput {
    /// Nothing said: what is left out of a trade's words has these values.
    pub const EMPTY: Self = Self {
        trade_id: TradeId::EMPTY,
        hash: TradeHash::NONE,
        namespace: NO_NAME,
        account: NO_NAME,
        instrument: NO_NAME,
        contract: NO_NAME,
        side: Side::Buy,
        trade_type: TradeType::Any,
        kind: TradeKind::Trade,
        quantity_e8: 0,
        price_e8: NO_PRICE,
        consideration_e8: NO_CONSIDERATION,
        fees_e8: 0,
        currency: NO_NAME,
        fx_to_base_e8: ONE_E8,
        sub_account: NO_NAME,
        acquired: Date::NONE,
        effective_date: Date::NONE,
        executed_at_ns: 0,
        source_order: 0,
        lot: TradeHash::NONE,
        to_account: NO_NAME,
        user: NO_NAME,
        correlation: TradeId::EMPTY,
    };

    /// The date from which the lot that this opens is held. A correct may have dated an opening lot before the date that
    /// it gave; it is held from its effective date then.
    #[inline]
    #[must_use]
    pub fn acquired(&self) -> Date {
        if self.acquired == Date::NONE { self.effective_date } else { self.acquired.min(self.effective_date) }
    }

    /// The price, where one was given.
    #[inline]
    #[must_use]
    pub fn price(&self) -> Option<i64> {
        (self.price_e8 != NO_PRICE).then_some(self.price_e8)
    }

    /// The consideration, where one was given.
    #[inline]
    #[must_use]
    pub fn consideration(&self) -> Option<i64> {
        (self.consideration_e8 != NO_CONSIDERATION).then_some(self.consideration_e8)
    }

    /// The trade's place in history.
    #[inline]
    #[must_use]
    pub fn key(&self) -> ChronoKey {
        ChronoKey {
            date: self.effective_date,
            part: DayPart::Trading,
            executed_at_ns: self.executed_at_ns,
            source_order: self.source_order,
            trade_id: self.trade_id,
            hash: self.hash,
        }
    }

    /// Whether its place in history is after this one. The key is made, and the ids are compared, only where all else is equal.
    #[inline]
    #[must_use]
    pub fn is_after(&self, key: &ChronoKey) -> bool {
        let own = (self.effective_date, DayPart::Trading, self.executed_at_ns, self.source_order);
        match own.cmp(&(key.date, key.part, key.executed_at_ns, key.source_order)) {
            Ordering::Equal => self.key() > *key,
            ordering => ordering == Ordering::Greater,
        }
    }

    /// Quantity with the sign of the side.
    #[inline]
    #[must_use]
    pub fn signed_quantity_e8(&self) -> i64 {
        self.side.sign() * self.quantity_e8
    }

    /// By how much it moves the position, where it closes so much. A transfer never opens.
    #[inline]
    #[must_use]
    pub fn moved_e8(&self, closed_quantity_e8: i64) -> i64 {
        match self.kind {
            TradeKind::Transfer => self.side.sign() * closed_quantity_e8,
            TradeKind::Trade | TradeKind::OpenLot => self.signed_quantity_e8(),
        }
    }
}

/// Where a command came from, for audit, for session recovery and for idempotent re-reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Interned source: a FIX session, a topic partition, a file.
    pub source: NameId,
    /// The source's own sequence: MsgSeqNum, offset, line.
    pub source_offset: u64,
    /// When the door received it, UTC nanoseconds.
    pub received_at_ns: i64,
    /// When the shard decided, UTC nanoseconds; stamped by the shard.
    pub occurred_at_ns: i64,
    /// Hash of the raw bytes, 0 where there were none.
    pub raw_hash: u64,
    /// Trace id, zero where tracing is off.
    pub trace_id: u128,
    /// Sequence of the event that caused this command, 0 for none.
    pub causation: u64,
}

impl Origin {
    /// From nowhere: commands that the engine makes for itself.
    pub const INTERNAL: Self = Self {
        source: NO_NAME,
        source_offset: 0,
        received_at_ns: 0,
        occurred_at_ns: 0,
        raw_hash: 0,
        trace_id: 0,
        causation: 0,
    };
}

/// Class of an interned name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NameClass {
    /// Account (trader, book).
    Account = 0,
    /// Instrument.
    Instrument = 1,
    /// Contract.
    Contract = 2,
    /// User.
    User = 3,
    /// Source: FIX session, topic partition, file.
    Source = 4,
    /// Namespace of trade ids.
    Namespace = 5,
    /// Currency.
    Currency = 6,
    /// Sub-account: a strategy inside a position.
    SubAccount = 7,
}

impl NameClass {
    /// Number of classes.
    pub const COUNT: usize = 8;

    /// All classes, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Account,
        Self::Instrument,
        Self::Contract,
        Self::User,
        Self::Source,
        Self::Namespace,
        Self::Currency,
        Self::SubAccount,
    ];

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }
}

/// Terms of an instrument. Bounds and tick are checked by the gate; the multiplier is the book's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentTerms {
    /// Interned instrument.
    pub instrument: NameId,
    /// Interned currency, or `NO_NAME`.
    pub currency: NameId,
    /// Money per unit of price and quantity, at 10^-8; positive.
    pub multiplier_e8: i64,
    /// Smallest price step, 0 for none.
    pub tick_e8: i64,
    /// Lowest admissible price, 0 for none.
    pub price_min_e8: i64,
    /// Highest admissible price, 0 for none.
    pub price_max_e8: i64,
    /// ISIN, 12 characters, zeros where there is none.
    pub isin: [u8; 12],
    /// CUSIP, 9 characters, zeros where there is none.
    pub cusip: [u8; 9],
}

impl InstrumentTerms {
    /// Whether the instrument can have this price; bounds come before the tick. A negative price passes: it has a
    /// reason of its own.
    ///
    /// # Errors
    /// [`Reason::PriceOutOfBounds`], [`Reason::PriceOffTick`].
    #[inline]
    pub fn check_price(&self, price_e8: i64) -> Result<(), Reason> {
        if price_e8 < 0 {
            return Ok(());
        }
        if price_e8 < self.price_min_e8 || (self.price_max_e8 > 0 && price_e8 > self.price_max_e8) {
            return Err(Reason::PriceOutOfBounds);
        }
        if self.tick_e8 > 0 && price_e8 % self.tick_e8 != 0 {
            return Err(Reason::PriceOffTick);
        }
        Ok(())
    }
}

/// Kind of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MarkKind {
    /// The exchange's official close.
    OfficialClose = 1,
    /// Last trade.
    Last = 2,
    /// Bid and ask; the mark is their middle.
    BidAsk = 3,
    /// The previous day's close.
    PreviousClose = 4,
}

impl MarkKind {
    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OfficialClose => "official_close",
            Self::Last => "last",
            Self::BidAsk => "bid_ask",
            Self::PreviousClose => "previous_close",
        }
    }

    /// From the wire name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::OfficialClose, Self::Last, Self::BidAsk, Self::PreviousClose].into_iter().find(|k| k.as_str() == text)
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        [Self::OfficialClose, Self::Last, Self::BidAsk, Self::PreviousClose].into_iter().find(|k| *k as u8 == value)
    }
}

/// A price for valuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Interned instrument.
    pub instrument: NameId,
    /// Kind.
    pub kind: MarkKind,
    /// The price, or the bid.
    pub price_e8: i64,
    /// The ask for [`MarkKind::BidAsk`], else 0.
    pub ask_e8: i64,
    /// Time of the price, UTC nanoseconds.
    pub at_ns: i64,
}

/// A command to a shard. Each yields exactly one event before its answer.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant, reason = "commands live in preallocated ring slots of one size")]
pub enum Command {
    /// A trade.
    Trade(TradeInput),
    /// A cancel or correct.
    Amend(AmendInput),
    /// An operator resolves the breaks of a position.
    Resolve(ResolveInput),
    /// Interns a name of a class; the text is at most 64 bytes.
    Define {
        /// Class.
        class: NameClass,
        /// Text.
        text: TradeId,
    },
    /// Sets an instrument's terms.
    Instrument(InstrumentTerms),
    /// A contract's rules from a date on.
    Contract(ContractTerms),
    /// The business date moves on; never back.
    BusinessDate(Date),
    /// A mark.
    Mark(Mark),
    /// A corporate action or a reset.
    Action(ActionInput),
    /// Closes history up to a date.
    PeriodLock(LockInput),
}
