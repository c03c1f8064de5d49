//! The outcome of a replay, and its bytes in the side log (body version 1, little endian):
//!
//! ```text
//! header  magic u32 "LBO1" | lots u32 | trades u32 | allocations u32 | actions u32 | breaks u32 | amended u32
//!         averaged u32
//!         quantity i64 | realized i128 | realized long-term i128 | realized in base i128
//!         cost i128 | base cost i128 | fees i128 | dividends i128                   (152 bytes)
//! lot     origin u128 | cost i128 | base cost i128 | quantity i64 | price i64
//!         acquired i32 | sub-account u32                                            (72 bytes)
//! trade   hash u128 | realized i128 | long-term i128 | in base i128 | market part i128
//!         allocations u32 | reason u16 | 0 u16 | date i32 | 0 u32                   (96 bytes)
//! alloc   lot u128 | cost i128 | base cost i128 | realized i128 | quantity i64 | price i64
//!         acquired i32 | long-term u32                                              (88 bytes)
//! action  hash u128 | realized i128 | long-term i128 | in base i128 | dividends i128
//!         date i32 | 0 u32                                                          (88 bytes)
//! break   hash u128 | reason u16 | 0 u16 | 0 u32                                    (24 bytes)
//! amended hash u128 | standing u64                                                  (24 bytes)
//! tail    frontier | forward count u32 | quantity i64 | gross i64 | waiting u32     (no fixed size)
//! waiting sequence u64 | address u64 | the trade's input                            (no fixed size)
//! then    leaving u32, and as many lots that leave, with their cause and target     (no fixed size)
//! then    days u32, and as many: date i32 | realized, long-term, in base, fees, dividends i128
//! then    last closed day i32 | realized, long-term, in base, fees, dividends i128
//! then    changed lots u32, and as many: index among the lots u32 (all ones: closed) | 1 u32 and the lot before, or 0 u32 (opened)
//! then    as many ids of the trades that opened them, each with its length u32; empty: only another position knows it
//! ```
//! `trades` lists, in chronological order, the trades whose figures may be others than events and earlier bodies told, which are the
//! last ones of the history ([`crate::course`]); all else is whole: `actions` has the figures of every action that is booked; `days` the totals at the end of each date; the last line what closed days differ by.

use alloc::vec::Vec;

use crate::action::Gains;
use crate::amount::Money;
use crate::book::NO_POSITION;
use crate::bytes::{Reader, Truncated, Writer};
use crate::closed::{Adjusted, Days, PeriodFigures};
use crate::date::Date;
use crate::event::{Figures, Reason};
use crate::forward::Forward;
use crate::history::Standing;
use crate::id::{ChronoKey, TradeHash, TradeId};
use crate::input_bytes::BadInput;
use crate::legs::Leaving;
use crate::lot_changes::LotChange;
use crate::lots::Lot;

const MAGIC: u32 = u32::from_le_bytes(*b"LBO1");
const HEADER_BYTES: usize = 152;
const LOT_BYTES: usize = 72;
const TRADE_BYTES: usize = 96;
const ALLOCATION_BYTES: usize = 88;
const ACTION_BYTES: usize = 88;
const BREAK_BYTES: usize = 24;
const AMENDED_BYTES: usize = 24;

/// How many of each row a body holds.
#[derive(Clone, Copy)]
struct Counts {
    lots: usize,
    trades: usize,
    allocations: usize,
    actions: usize,
    breaks: usize,
    amended: usize,
}

impl Counts {
    /// Bytes of everything before the tail.
    fn body_bytes(&self) -> usize {
        HEADER_BYTES
            + self.lots * LOT_BYTES
            + self.trades * TRADE_BYTES
            + self.allocations * ALLOCATION_BYTES
            + self.actions * ACTION_BYTES
            + self.breaks * BREAK_BYTES
            + self.amended * AMENDED_BYTES
    }
}

/// A part of a reduction: which lot, how much, at what cost, what it realized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The trade that opened the lot.
    pub lot: TradeHash,
    /// Quantity taken.
    pub quantity_e8: i64,
    /// The lot's opening price.
    pub price_e8: i64,
    /// Cost taken.
    pub cost_e16: Money,
    /// Base cost taken.
    pub base_cost_e16: Money,
    /// Realized.
    pub realized_e16: Money,
    /// From when the lot is held.
    pub acquired: Date,
    /// The lot was long-term on the trade's date.
    pub is_long_term: bool,
}

/// A trade's figures after a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeFigures {
    /// The trade.
    pub hash: TradeHash,
    /// Realized.
    pub realized_e16: Money,
    /// The long-term part of it.
    pub realized_long_e16: Money,
    /// Realized in base currency.
    pub realized_base_e16: Money,
    /// The market part of that; the rest is the FX part.
    pub realized_market_e16: Money,
    /// Its effective date.
    pub date: Date,
    /// The rule it breaks at its place, or [`Reason::None`].
    pub reason: Reason,
    /// Its allocations.
    pub allocations: Vec<Allocation>,
}

/// An action's figures on the position after a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionFigures {
    /// The action.
    pub hash: TradeHash,
    /// Date of its place.
    pub date: Date,
    /// What it realized.
    pub gains: Gains,
    /// Dividend received, negative where a short paid it.
    pub dividends_e16: Money,
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The position's figures.
    pub after: Figures,
    /// Its open lots, in lot order.
    pub lots: Vec<Lot>,
    /// Their costs were averaged since the position was flat.
    pub averaged: bool,
    /// The trades whose figures may be others than they were told, in chronological order: the last ones of the history, or all.
    pub trades: Vec<TradeFigures>,
    /// The actions that were booked, in chronological order.
    pub actions: Vec<ActionFigures>,
    /// Accepted trades that are illegal at their place, and actions that leave a range there.
    pub breaks: Vec<(TradeHash, Reason)>,
    /// The greatest key that was booked.
    pub frontier: ChronoKey,
    /// Lots that leave for other positions, in the order of what sends them.
    pub leaving: Vec<Leaving>,
    /// Totals at the end of each date.
    pub days: Days,
    /// What it changes in closed days: who knows what was reported says so.
    pub adjusted: Adjusted,
    /// The lots that it opens, changes and closes: who knows what the events told says so.
    pub changed: Vec<LotChange>,
    /// For each of them the id of the trade that opened it; empty where only another position knows it.
    pub changed_ids: Vec<TradeId>,
    /// Amended trades that wait for their date; their position's number is not set.
    pub waiting: Vec<Forward>,
    /// How each trade that anything ever amended stands.
    pub amended: Vec<(TradeHash, Standing)>,
    /// All trades that wait for their date: how many.
    pub forwards: u32,
    /// Their quantity with its sign.
    pub forward_quantity_e8: i64,
    /// The sum of the magnitudes.
    pub forward_gross_e8: i64,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            after: Figures::default(),
            lots: Vec::new(),
            averaged: false,
            trades: Vec::new(),
            actions: Vec::new(),
            breaks: Vec::new(),
            frontier: ChronoKey::MIN,
            leaving: Vec::new(),
            days: Days::default(),
            adjusted: Adjusted::NONE,
            changed: Vec::new(),
            changed_ids: Vec::new(),
            waiting: Vec::new(),
            amended: Vec::new(),
            forwards: 0,
            forward_quantity_e8: 0,
            forward_gross_e8: 0,
        }
    }
}

/// A body that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

impl From<BadInput> for BadBody {
    fn from(_: BadInput) -> Self {
        Self
    }
}

impl From<Truncated> for BadBody {
    fn from(_: Truncated) -> Self {
        Self
    }
}

impl Outcome {
    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let counts = Counts {
            lots: self.lots.len(),
            trades: self.trades.len(),
            allocations: self.trades.iter().map(|t| t.allocations.len()).sum(),
            actions: self.actions.len(),
            breaks: self.breaks.len(),
            amended: self.amended.len(),
        };
        let bytes = counts.body_bytes();
        let mut out = Writer::with_capacity(bytes);
        out.u32(MAGIC);
        let Counts { lots, trades, allocations, actions, breaks, amended } = counts;
        for count in [lots, trades, allocations, actions, breaks, amended] {
            out.u32(count as u32);
        }
        out.u32(u32::from(self.averaged));
        out.i64(self.after.quantity_e8);
        out.i128(self.after.realized_e16);
        out.i128(self.after.realized_long_e16);
        out.i128(self.after.realized_base_e16);
        out.i128(self.after.cost_e16);
        out.i128(self.after.base_cost_e16);
        out.i128(self.after.fees_e16);
        out.i128(self.after.dividends_e16);
        for lot in &self.lots {
            out.lot(lot);
        }
        for trade in &self.trades {
            out.u128(trade.hash.0);
            out.i128(trade.realized_e16);
            out.i128(trade.realized_long_e16);
            out.i128(trade.realized_base_e16);
            out.i128(trade.realized_market_e16);
            out.u32(trade.allocations.len() as u32);
            out.u32(u32::from(trade.reason as u16));
            out.u64(u64::from(trade.date.0 as u32));
        }
        for allocation in self.trades.iter().flat_map(|t| &t.allocations) {
            out.u128(allocation.lot.0);
            out.i128(allocation.cost_e16);
            out.i128(allocation.base_cost_e16);
            out.i128(allocation.realized_e16);
            out.i64(allocation.quantity_e8);
            out.i64(allocation.price_e8);
            out.u32(allocation.acquired.0 as u32);
            out.u32(u32::from(allocation.is_long_term));
        }
        for action in &self.actions {
            out.u128(action.hash.0);
            for money in [action.gains.realized_e16, action.gains.long_e16, action.gains.base_e16, action.dividends_e16]
            {
                out.i128(money);
            }
            out.u64(u64::from(action.date.0 as u32));
        }
        for (hash, reason) in &self.breaks {
            out.u128(hash.0);
            out.u64(u64::from(*reason as u16));
        }
        for (hash, standing) in &self.amended {
            out.u128(hash.0);
            out.u64(u64::from(*standing as u8));
        }
        assert!(out.len() == bytes);
        out.key(&self.frontier);
        out.u32(self.forwards);
        out.i64(self.forward_quantity_e8);
        out.i64(self.forward_gross_e8);
        out.u32(self.waiting.len() as u32);
        for waiting in &self.waiting {
            out.u64(waiting.sequence);
            out.u64(waiting.address);
            out.trade_input(&waiting.input);
        }
        out.u32(self.leaving.len() as u32);
        for leaving in &self.leaving {
            out.leaving(leaving);
        }
        self.days.write(&mut out);
        out.u32(self.adjusted.through.0 as u32);
        self.adjusted.figures.write(&mut out);
        out.lot_changes(&self.changed);
        assert!(self.changed_ids.len() == self.changed.len(), "an id for each lot");
        self.changed_ids.iter().for_each(|id| out.text(id.as_bytes()));
        out.into_bytes()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`BadBody`] for anything that [`Self::encode`] would not have written.
    pub fn decode(body: &[u8]) -> Result<Self, BadBody> {
        let mut read = Reader::new(body);
        if read.u32()? != MAGIC {
            return Err(BadBody);
        }
        let mut count = || read.u32().map(|count| count as usize);
        let (lots, trades, allocations) = (count()?, count()?, count()?);
        let (actions, breaks, amended, averaged) = (count()?, count()?, count()?, count()?);
        let counts = Counts { lots, trades, allocations, actions, breaks, amended };
        if averaged > 1 || body.len() < counts.body_bytes() {
            return Err(BadBody);
        }
        let after = Figures {
            quantity_e8: read.i64()?,
            realized_e16: read.i128()?,
            realized_long_e16: read.i128()?,
            realized_base_e16: read.i128()?,
            cost_e16: read.i128()?,
            base_cost_e16: read.i128()?,
            fees_e16: read.i128()?,
            dividends_e16: read.i128()?,
            lot_count: lots as u32,
        };
        let lots = (0..lots).map(|_| read.lot()).collect::<Result<Vec<_>, _>>()?;
        let mut heads = Vec::with_capacity(trades);
        for _ in 0..trades {
            let hash = TradeHash(read.u128()?);
            let (realized_e16, realized_long_e16) = (read.i128()?, read.i128()?);
            let (realized_base_e16, realized_market_e16) = (read.i128()?, read.i128()?);
            let (count, reason, date) = (read.u32()? as usize, reason(read.u32()?)?, date(&mut read)?);
            let figures = TradeFigures {
                hash,
                realized_e16,
                realized_long_e16,
                realized_base_e16,
                realized_market_e16,
                date,
                reason,
                allocations: Vec::new(),
            };
            heads.push((figures, count));
        }
        if heads.iter().map(|head| head.1).sum::<usize>() != allocations {
            return Err(BadBody);
        }
        let mut figures = Vec::with_capacity(trades);
        for (mut head, count) in heads {
            head.allocations = (0..count).map(|_| allocation(&mut read)).collect::<Result<Vec<_>, _>>()?;
            figures.push(head);
        }
        let mut acted = Vec::with_capacity(actions);
        for _ in 0..actions {
            let hash = TradeHash(read.u128()?);
            let gains = Gains { realized_e16: read.i128()?, long_e16: read.i128()?, base_e16: read.i128()? };
            acted.push(ActionFigures { hash, gains, dividends_e16: read.i128()?, date: date(&mut read)? });
        }
        let mut broken = Vec::with_capacity(breaks);
        for _ in 0..breaks {
            let hash = TradeHash(read.u128()?);
            let code = u32::try_from(read.u64()?).map_err(|_| BadBody)?;
            broken.push((hash, reason(code)?));
        }
        let mut standings = Vec::with_capacity(amended);
        for _ in 0..amended {
            let hash = TradeHash(read.u128()?);
            let standing = u8::try_from(read.u64()?).ok().and_then(Standing::from_u8).ok_or(BadBody)?;
            standings.push((hash, standing));
        }
        let mut outcome = Self {
            after,
            lots,
            averaged: averaged == 1,
            trades: figures,
            actions: acted,
            breaks: broken,
            amended: standings,
            frontier: read.key()?,
            forwards: read.u32()?,
            forward_quantity_e8: read.i64()?,
            forward_gross_e8: read.i64()?,
            waiting: Vec::new(),
            leaving: Vec::new(),
            days: Days::default(),
            adjusted: Adjusted::NONE,
            changed: Vec::new(),
            changed_ids: Vec::new(),
        };
        for _ in 0..read.u32()? {
            let (sequence, address) = (read.u64()?, read.u64()?);
            outcome.waiting.push(Forward { input: read.trade_input()?, position: NO_POSITION, sequence, address });
        }
        for _ in 0..read.u32()? {
            outcome.leaving.push(read.leaving()?);
        }
        outcome.days = Days::read(&mut read)?;
        outcome.adjusted = Adjusted { through: Date(read.u32()? as i32), figures: PeriodFigures::read(&mut read)? };
        outcome.changed = read.lot_changes(outcome.lots.len())?;
        outcome.changed_ids = outcome.changed.iter().map(|_| read.id()).collect::<Result<Vec<_>, _>>()?;
        if read.is_empty() { Ok(outcome) } else { Err(BadBody) }
    }
}

fn reason(code: u32) -> Result<Reason, BadBody> {
    u16::try_from(code).ok().and_then(Reason::from_u16).ok_or(BadBody)
}

fn date(read: &mut Reader<'_>) -> Result<Date, BadBody> {
    u32::try_from(read.u64()?).map(|days| Date(days as i32)).map_err(|_| BadBody)
}

fn allocation(read: &mut Reader<'_>) -> Result<Allocation, BadBody> {
    Ok(Allocation {
        lot: TradeHash(read.u128()?),
        cost_e16: read.i128()?,
        base_cost_e16: read.i128()?,
        realized_e16: read.i128()?,
        quantity_e8: read.i64()?,
        price_e8: read.i64()?,
        acquired: Date(read.u32()? as i32),
        is_long_term: match read.u32()? {
            0 => false,
            1 => true,
            _ => return Err(BadBody),
        },
    })
}

impl Writer {
    pub(crate) fn lot(&mut self, lot: &Lot) {
        self.u128(lot.origin.0);
        self.i128(lot.cost_e16);
        self.i128(lot.base_cost_e16);
        self.i64(lot.quantity_e8);
        self.i64(lot.price_e8);
        self.u32(lot.acquired.0 as u32);
        self.u32(lot.sub_account);
    }
}

impl Reader<'_> {
    pub(crate) fn lot(&mut self) -> Result<Lot, Truncated> {
        Ok(Lot {
            origin: TradeHash(self.u128()?),
            cost_e16: self.i128()?,
            base_cost_e16: self.i128()?,
            quantity_e8: self.i64()?,
            price_e8: self.i64()?,
            acquired: Date(self.u32()? as i32),
            sub_account: self.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::TradeInput;
    use alloc::vec;

    #[test]
    fn bodies_round_trip_and_damage_is_refused() {
        let lot = Lot {
            origin: TradeHash(7),
            quantity_e8: 5,
            cost_e16: -1,
            base_cost_e16: -2,
            price_e8: 9,
            acquired: Date(-3),
            sub_account: 4,
        };
        let one = Allocation {
            lot: TradeHash(8),
            quantity_e8: 1,
            price_e8: 2,
            cost_e16: 3,
            base_cost_e16: 4,
            realized_e16: -4,
            acquired: Date(-5),
            is_long_term: false,
        };
        let none = TradeFigures {
            hash: TradeHash(1),
            realized_e16: 0,
            realized_long_e16: 0,
            realized_base_e16: 0,
            realized_market_e16: 0,
            date: Date(9),
            reason: Reason::None,
            allocations: vec![],
        };
        let leaving = Leaving {
            key: ChronoKey { date: Date(9), ..ChronoKey::MIN },
            to_account: 1,
            to_instrument: 2,
            number: 3,
            is_long: true,
            lot,
            trade: None,
        };
        let moved = Leaving::of_moved(&TradeInput::EMPTY);
        let figures = PeriodFigures { realized_e16: 1, long_e16: -2, base_e16: 3, fees_e16: 4, dividends_e16: -5 };
        let outcome = Outcome {
            leaving: vec![leaving, moved],
            days: Days(vec![(Date(-3), figures), (Date(7), PeriodFigures::default())]),
            adjusted: Adjusted { through: Date(5), figures },
            changed: vec![
                LotChange { before: Some(Lot { quantity_e8: 4, ..lot }), after: Some(0) },
                LotChange { before: Some(lot), after: None },
            ],
            changed_ids: vec![TradeId::EMPTY, TradeId::new(b"t-1").unwrap()],
            after: Figures {
                quantity_e8: -5,
                realized_e16: 11,
                realized_long_e16: -11,
                realized_base_e16: 13,
                cost_e16: 12,
                base_cost_e16: 14,
                fees_e16: 15,
                dividends_e16: -15,
                lot_count: 1,
            },
            lots: vec![lot],
            averaged: true,
            trades: vec![
                none.clone(),
                TradeFigures {
                    hash: TradeHash(2),
                    realized_e16: 5,
                    realized_long_e16: 6,
                    realized_base_e16: 7,
                    realized_market_e16: 8,
                    date: Date(-9),
                    reason: Reason::Oversell,
                    allocations: vec![one, Allocation { is_long_term: true, ..one }],
                },
            ],
            actions: vec![ActionFigures {
                hash: TradeHash(3),
                date: Date(-1),
                gains: Gains { realized_e16: 1, long_e16: -2, base_e16: 3 },
                dividends_e16: -4,
            }],
            breaks: vec![(TradeHash(2), Reason::Oversell)],
            frontier: ChronoKey { date: Date(7), executed_at_ns: 8, source_order: 9, ..ChronoKey::MIN },
            waiting: vec![Forward { input: TradeInput::EMPTY, position: NO_POSITION, sequence: 3, address: 24 }],
            amended: vec![(TradeHash(2), Standing::Corrected), (TradeHash(3), Standing::Cancelled)],
            forwards: 1,
            forward_quantity_e8: -4,
            forward_gross_e8: 4,
        };
        let body = outcome.encode();
        assert_eq!(Outcome::decode(&body), Ok(outcome));
        for cut in 0..body.len() {
            assert_eq!(Outcome::decode(&body[..cut]), Err(BadBody), "cut at {cut}");
        }
    }
}
