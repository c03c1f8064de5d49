//! Why a command was refused, or why an accepted trade is a break: one line a reason, with its number and its code.

/// Declares the reasons once; numbers stand in records and are never used again.
macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $number:literal $code:literal,)+) => {
        /// Why a command was refused, or why an accepted trade is a break. Codes are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $variant = $number,)+
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable code on the wire.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }
        }
    };
}

reasons! {
    /// None.
    None = 0 "",
    /// Sells more than the long holds where the contract forbids short positions.
    Oversell = 1 "OVERSELL",
    /// Side or trade type contradict what the trade would do.
    TradeTypeMismatch = 2 "TRADE_TYPE_MISMATCH",
    /// The named lot is not open in this position.
    UnknownLot = 3 "UNKNOWN_LOT",
    /// The named lot holds less than the trade would take.
    LotTooSmall = 4 "LOT_TOO_SMALL",
    /// No such contract is known.
    UnknownContract = 5 "UNKNOWN_CONTRACT",
    /// The named contract does not cover this account and instrument on this date.
    ContractNotInForce = 6 "CONTRACT_NOT_IN_FORCE",
    /// A quantity or amount would leave its exact range.
    Overflow = 7 "OVERFLOW",
    /// The decision needs more allocation runs than one event holds.
    TooManyLots = 8 "TOO_MANY_LOTS",
    /// No room for another position.
    PositionCapacity = 9 "POSITION_CAPACITY",
    /// No room for another lot.
    LotCapacity = 10 "LOT_CAPACITY",
    /// No room for another forward-dated trade.
    ForwardCapacity = 11 "FORWARD_CAPACITY",
    /// No room for another trade id in the recent window.
    TradeIdCapacity = 12 "TRADE_ID_CAPACITY",
    /// No room for another name of this class.
    NameCapacity = 13 "NAME_CAPACITY",
    /// No room for another contract version.
    ContractCapacity = 14 "CONTRACT_CAPACITY",
    /// The business date would move back.
    BusinessDateBack = 15 "BUSINESS_DATE_BACK",
    /// Quantity is zero or negative.
    BadQuantity = 17 "BAD_QUANTITY",
    /// Price is negative, or the mark is not a price.
    BadPrice = 18 "BAD_PRICE",
    /// Fees are negative.
    BadFees = 19 "BAD_FEES",
    /// A name that was never defined.
    UnknownName = 20 "UNKNOWN_NAME",
    /// A multiplier of zero or less, or a changed multiplier while positions are open.
    BadTerms = 21 "BAD_TERMS",
    /// The same id was accepted before with another content.
    IdConflict = 22 "ID_CONFLICT",
    /// The sender's effective date is outside the calendar that the book holds, or an opening lot was acquired after it.
    BadDate = 23 "BAD_DATE",
    /// The consideration is negative, or an opening lot has none.
    BadConsideration = 24 "BAD_CONSIDERATION",
    /// The rate to the base currency is zero or negative.
    BadRate = 25 "BAD_RATE",
    /// The currency is not the instrument's.
    CurrencyMismatch = 26 "CURRENCY_MISMATCH",
    /// The trade's sub-account holds less than it would close.
    SubAccountOversell = 27 "SUB_ACCOUNT_OVERSELL",
    /// An opening lot on the other side of the position.
    OppositeSide = 28 "OPPOSITE_SIDE",
    /// The position does not hold what a transfer would move.
    NotHeld = 29 "NOT_HELD",
    /// It changes history that a period lock has closed.
    PeriodLocked = 40 "PERIOD_LOCKED",
    /// A position that the period lock concerns is not RECONCILED, or waits for something that is due.
    NotReconciled = 41 "NOT_RECONCILED",
    /// The period lock would move back.
    LockBack = 42 "LOCK_BACK",
    /// No room for another action, or for another change of history that positions are still to take.
    ActionCapacity = 43 "ACTION_CAPACITY",
    /// No room for another lot that leaves its position for another one.
    LegCapacity = 44 "LEG_CAPACITY",
    /// What no amendment may change, or an effect on other positions.
    NotSupported = 64 "NOT_SUPPORTED",
    /// An amendment that targets itself, by way of others or not, or a target that is none.
    BadTarget = 65 "BAD_TARGET",
    /// No target came while the business date moved on as often as an amendment is held.
    HeldExpired = 66 "HELD_EXPIRED",
    /// No room for another held amendment.
    HeldCapacity = 67 "HELD_CAPACITY",
    /// No room for another amendment.
    AmendmentCapacity = 68 "AMENDMENT_CAPACITY",
    /// The trade has as many amendments as one may have.
    TooManyAmendments = 69 "TOO_MANY_AMENDMENTS",
    /// The position has no breaks that wait for a person.
    NotPending = 70 "NOT_PENDING",
    /// The position is not at the version that was named.
    VersionMoved = 71 "VERSION_MOVED",
    /// A price below the lowest or above the highest price of the instrument.
    PriceOutOfBounds = 72 "PRICE_OUT_OF_BOUNDS",
    /// A price that is not a whole number of the instrument's price steps.
    PriceOffTick = 73 "PRICE_OFF_TICK",
    /// The effective date is further after the business date than the gate lets pass.
    DateTooFarAhead = 96 "DATE_TOO_FAR_AHEAD",
    /// The effective date is further before the business date than the gate lets pass.
    DateTooFarBack = 97 "DATE_TOO_FAR_BACK",
}

impl Reason {
    /// From the number in records and checkpoints.
    #[must_use]
    pub fn from_u16(value: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| *reason as u16 == value)
    }
}
