//! Kinds of records in a shard's log. Numbers are never reused.

/// A name was interned.
pub const DEFINED: u16 = 1;
/// Terms of an instrument.
pub const INSTRUMENT: u16 = 2;
/// Rules of a contract.
pub const CONTRACT: u16 = 3;
/// The business date.
pub const BUSINESS_DATE: u16 = 4;
/// A mark.
pub const MARK: u16 = 5;
/// TradeApplied.
pub const TRADE_APPLIED: u16 = 16;
/// ProvisionalTradeApplied.
pub const TRADE_PROVISIONAL: u16 = 17;
/// A forward-dated trade was accepted.
pub const TRADE_FORWARD: u16 = 18;
/// A forward-dated trade's date came.
pub const TRADE_MATURED: u16 = 19;
/// A trade was refused.
pub const TRADE_REJECTED: u16 = 20;
/// A trade had been accepted before.
pub const TRADE_DUPLICATE: u16 = 21;
/// A cancel or correct was accepted.
pub const AMEND_APPLIED: u16 = 24;
/// A cancel or correct is held for its target.
pub const AMEND_HELD: u16 = 25;
/// A held one came to nothing.
pub const AMEND_LAPSED: u16 = 26;
/// A cancel or correct was refused.
pub const AMEND_REJECTED: u16 = 27;
/// A cancel or correct had been accepted before.
pub const AMEND_DUPLICATE: u16 = 28;
/// A corporate action or a reset.
pub const ACTION: u16 = 40;
/// A position took a change of history.
pub const TAKEN: u16 = 41;
/// A lot arrived from another position.
pub const ARRIVED: u16 = 44;
/// A leg came from another shard.
pub const RECEIVED: u16 = 45;
/// Legs that were sent to other shards are durable there.
pub const DELIVERED: u16 = 46;
/// Every position has been looked at for a change.
pub const SETTLED: u16 = 42;
/// A period lock.
pub const PERIOD_LOCK: u16 = 43;
/// HistoricalPositionCorrected.
pub const CORRECTED: u16 = 32;
/// An operator resolved the breaks of a position.
pub const RESOLVED: u16 = 33;
/// A trade behind a correction, booked again.
pub const TRADE_REBOOKED: u16 = 34;
/// Digests of the book.
pub const DIGESTS: u16 = 48;

/// All kinds with their names, for tools.
pub const ALL: [(u16, &str); 27] = [
    (DEFINED, "Defined"),
    (INSTRUMENT, "Instrument"),
    (CONTRACT, "ContractRulesChanged"),
    (BUSINESS_DATE, "BusinessDate"),
    (MARK, "Mark"),
    (TRADE_APPLIED, "TradeApplied"),
    (TRADE_PROVISIONAL, "ProvisionalTradeApplied"),
    (TRADE_FORWARD, "ForwardTradeAccepted"),
    (TRADE_MATURED, "ForwardTradeMatured"),
    (TRADE_REJECTED, "Rejected"),
    (TRADE_DUPLICATE, "Duplicate"),
    (AMEND_APPLIED, "ProvisionalAmendmentApplied"),
    (AMEND_HELD, "AmendmentHeld"),
    (AMEND_LAPSED, "HeldAmendmentLapsed"),
    (AMEND_REJECTED, "AmendmentRejected"),
    (AMEND_DUPLICATE, "AmendmentDuplicate"),
    (CORRECTED, "HistoricalPositionCorrected"),
    (RESOLVED, "BreaksResolved"),
    (TRADE_REBOOKED, "TradeRebooked"),
    (ACTION, "CorporateAction"),
    (TAKEN, "ChangeTaken"),
    (ARRIVED, "LotArrived"),
    (RECEIVED, "LegReceived"),
    (DELIVERED, "LegsDelivered"),
    (SETTLED, "ChangeSettled"),
    (PERIOD_LOCK, "PeriodLock"),
    (DIGESTS, "Digests"),
];
