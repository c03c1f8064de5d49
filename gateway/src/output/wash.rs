//! Rows of wash sales: the view beside the plain figures (rule 11 of `docs/rules.md`).

use serde::Serialize;

use super::{Day, E8, E16, LotSide};

/// A position in which wash sales changed anything. Its plain figures stand among the positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WashRow {
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// Losses that are disallowed, as a positive amount.
    pub disallowed: E16,
    /// Additions that left with the units that carried them: what those realized is less by it.
    pub recognized: E16,
    /// Additions that open units carry.
    pub carried: E16,
    /// Realized since inception, as adjusted: the plain amount, more what is disallowed, less what is recognized.
    pub realized_pnl: E16,
    /// The long-term part of that, by the adjusted acquisition dates.
    pub realized_long_term: E16,
    /// The short-term part.
    pub realized_short_term: E16,
    /// Losses of this position of which at least a part is disallowed, in chronological order.
    pub losses: Vec<WashLossRow>,
    /// Its open lots in which units replace others, in lot order. All others are as in the plain book.
    pub lots: Vec<WashLotRow>,
}

/// A loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WashLossRow {
    /// The closing trade.
    pub trade_id: String,
    /// Its effective date.
    pub date: Day,
    /// The trade that opened the lot.
    pub lot_trade_id: String,
    /// Units sold.
    pub quantity: E8,
    /// What they realized in the plain book.
    pub realized_pnl: E16,
    /// Additions that they carried.
    pub addition: E16,
    /// Units that are replaced.
    pub replaced_quantity: E8,
    /// What is disallowed, as a positive amount.
    pub disallowed: E16,
    /// What replaces them, in chronological order of opening.
    pub replacements: Vec<ReplacementRow>,
}

/// Units that replace others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplacementRow {
    /// Account in which they are.
    pub account: String,
    /// Instrument in which they are: the same, or one that a symbol change led to or from.
    pub instrument: String,
    /// The trade that opened them.
    pub trade_id: String,
    /// The trade that opened their lot.
    pub lot_trade_id: String,
    /// Units; of a lot opened behind a split, new ones.
    pub quantity: E8,
    /// What they carry from this loss.
    pub addition: E16,
    /// Days by which their holding period is longer.
    pub tacked_days: i32,
}

/// An open lot as adjusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WashLotRow {
    /// The trade that opened it.
    pub trade_id: String,
    /// Side.
    pub side: LotSide,
    /// Remaining quantity.
    pub quantity: E8,
    /// Remaining cost as adjusted; of a short lot its proceeds.
    pub cost: E16,
    /// Its units, in the order in which they leave.
    pub pieces: Vec<WashPieceRow>,
}

/// Units of an open lot that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WashPieceRow {
    /// Units.
    pub quantity: E8,
    /// Their cost as adjusted.
    pub cost: E16,
    /// What of it is an addition; off the proceeds of a short lot.
    pub addition: E16,
    /// From when they count as held.
    pub acquired: Day,
}
