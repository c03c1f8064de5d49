//! The words of the naive model: names, dates, reasons, and what may be said to a book.

use std::sync::Arc;

/// An account, instrument, contract, sub-account or currency, by a number.
pub type Name = u32;
/// A business date: days since 1970-01-01.
pub type Day = i32;
/// The id of a trade, an action, an amendment; compared as bytes.
pub type Id = Arc<str>;
/// Why something is refused or a break, as its code.
pub type Reason = &'static str;

/// A step left its range.
pub const OVERFLOW: Reason = "OVERFLOW";
/// Sells more than there is, where no short may be.
pub const OVERSELL: Reason = "OVERSELL";
/// Type or side against the effect.
pub const TRADE_TYPE_MISMATCH: Reason = "TRADE_TYPE_MISMATCH";
/// The named lot is not open here.
pub const UNKNOWN_LOT: Reason = "UNKNOWN_LOT";
/// The named lot holds too little.
pub const LOT_TOO_SMALL: Reason = "LOT_TOO_SMALL";
/// The sub-account holds too little.
pub const SUB_ACCOUNT_OVERSELL: Reason = "SUB_ACCOUNT_OVERSELL";
/// An opening lot against the position's side.
pub const OPPOSITE_SIDE: Reason = "OPPOSITE_SIDE";
/// No such contract.
pub const UNKNOWN_CONTRACT: Reason = "UNKNOWN_CONTRACT";
/// The named contract does not cover the position on that date.
pub const CONTRACT_NOT_IN_FORCE: Reason = "CONTRACT_NOT_IN_FORCE";
/// A quantity below one.
pub const BAD_QUANTITY: Reason = "BAD_QUANTITY";
/// A negative price, or none.
pub const BAD_PRICE: Reason = "BAD_PRICE";
/// Negative fees.
pub const BAD_FEES: Reason = "BAD_FEES";
/// A negative consideration, or none where one is needed.
pub const BAD_CONSIDERATION: Reason = "BAD_CONSIDERATION";
/// A rate that is not above zero.
pub const BAD_RATE: Reason = "BAD_RATE";
/// Another currency than the instrument's.
pub const CURRENCY_MISMATCH: Reason = "CURRENCY_MISMATCH";
/// A date that cannot be.
pub const BAD_DATE: Reason = "BAD_DATE";
/// The numbers of a split are not.
pub const BAD_TERMS: Reason = "BAD_TERMS";
/// What an amendment may not do.
pub const NOT_SUPPORTED: Reason = "NOT_SUPPORTED";
/// An amendment that amends itself by way of others.
pub const BAD_TARGET: Reason = "BAD_TARGET";
/// A known id with another content.
pub const ID_CONFLICT: Reason = "ID_CONFLICT";
/// The target of an amendment did not come in time.
pub const HELD_EXPIRED: Reason = "HELD_EXPIRED";
/// A transfer of more than there is on that side.
pub const NOT_HELD: Reason = "NOT_HELD";
/// A change to closed history.
pub const PERIOD_LOCKED: Reason = "PERIOD_LOCKED";
/// A lock that would move back.
pub const LOCK_BACK: Reason = "LOCK_BACK";
/// A lock that must wait.
pub const NOT_RECONCILED: Reason = "NOT_RECONCILED";

/// Side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Buys.
    Buy,
    /// Sells.
    Sell,
    /// Sells, on a position that is not long.
    SellShort,
    /// Buys, to decrease a short.
    BuyToCover,
}

impl Side {
    /// Whether quantity is added.
    #[must_use]
    pub fn buys(self) -> bool {
        matches!(self, Self::Buy | Self::BuyToCover)
    }
}

/// What a trade says that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeType {
    /// Nothing is said.
    Any,
    /// Opens or increases.
    NewTrade,
    /// Increases.
    Increase,
    /// Decreases.
    Decrease,
}

/// A trade, an opening lot or a transfer, by whole numbers at 10^-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Its id.
    pub id: Id,
    /// Last step of the chronological key: the hash of namespace and id.
    pub hash: u128,
    /// Account.
    pub account: Name,
    /// Instrument.
    pub instrument: Name,
    /// The contract that it names.
    pub contract: Option<Name>,
    /// Side.
    pub side: Side,
    /// What it says that it does.
    pub trade_type: TradeType,
    /// Of an opening lot: when it was acquired.
    pub acquired: Option<Day>,
    /// Of a transfer: the account that lots go to. It sells where long lots leave, and buys where short ones do.
    pub to_account: Option<Name>,
    /// Quantity.
    pub quantity: i128,
    /// Price, where one was given.
    pub price: Option<i128>,
    /// Gross amount, where one was given; the cost of an opening lot.
    pub consideration: Option<i128>,
    /// Fees.
    pub fees: i128,
    /// Currency, where one was given.
    pub currency: Option<Name>,
    /// Units of the base currency for one of the trade's.
    pub fx_to_base: i128,
    /// Sub-account.
    pub sub_account: Option<Name>,
    /// Effective date.
    pub date: Day,
    /// Execution time, UTC nanoseconds.
    pub executed_at: i64,
    /// Source order.
    pub source_order: u64,
    /// The lot that it names, by the id of the trade that opened it.
    pub lot: Option<Id>,
}

impl Trade {
    /// Quantity with the sign of the side.
    #[must_use]
    pub fn signed(&self) -> i128 {
        if self.side.buys() { self.quantity } else { -self.quantity }
    }

    /// Whether it is an opening lot.
    #[must_use]
    pub fn opens_a_lot(&self) -> bool {
        self.acquired.is_some()
    }

    /// Whether it moves lots to another account.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.to_account.is_some()
    }
}

/// What the book knows of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Money for one unit of price and quantity, at 10^-8.
    pub multiplier: i128,
    /// Its currency, where it has one.
    pub currency: Option<Name>,
}
