//! The outcome of a replay, and its bytes in the side log (body version 1, little endian):
//!
//! ```text
//! header  magic u32 "LBO1" | lots u32 | trades u32 | allocations u32 | breaks u32 | reserved u32
//!         quantity i64 | realized i128 | cost i128                                  (64 bytes)
//! lot     origin u128 | cost i128 | quantity i64 | price i64 | acquired i32 | 0 u32  (56 bytes)
//! trade   hash u128 | realized i128 | allocations u32 | reason u16 | 0 u16          (40 bytes)
//! alloc   lot u128 | cost i128 | realized i128 | quantity i64 | price i64           (64 bytes)
//! break   hash u128 | reason u16 | 0 u16 | 0 u32                                    (24 bytes)
//! ```
//! `trades` lists, in chronological order, the figures of every trade that the replay decided again.

use alloc::vec::Vec;

use crate::amount::Money;
use crate::bytes::{Reader, Truncated, Writer};
use crate::date::Date;
use crate::event::{Figures, Reason};
use crate::id::TradeHash;
use crate::lots::Lot;

const MAGIC: u32 = u32::from_le_bytes(*b"LBO1");

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
    /// Realized.
    pub realized_e16: Money,
}

/// A trade's figures after a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradeFigures {
    /// The trade.
    pub hash: TradeHash,
    /// Realized.
    pub realized_e16: Money,
    /// The rule it breaks at its place, or [`Reason::None`].
    pub reason: Reason,
    /// Its allocations.
    pub allocations: Vec<Allocation>,
}

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The position's figures.
    pub after: Figures,
    /// Its open lots, in the order in which they were opened.
    pub lots: Vec<Lot>,
    /// The trades that were decided again, in chronological order.
    pub trades: Vec<TradeFigures>,
    /// Accepted trades that are illegal at their place.
    pub breaks: Vec<(TradeHash, Reason)>,
}

/// A body that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

impl From<Truncated> for BadBody {
    fn from(_: Truncated) -> Self {
        Self
    }
}

impl Outcome {
    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let allocations: usize = self.trades.iter().map(|t| t.allocations.len()).sum();
        let bytes = 64 + self.lots.len() * 56 + self.trades.len() * 40 + allocations * 64 + self.breaks.len() * 24;
        let mut out = Writer::with_capacity(bytes);
        out.u32(MAGIC);
        for count in [self.lots.len(), self.trades.len(), allocations, self.breaks.len(), 0] {
            out.u32(count as u32);
        }
        out.i64(self.after.quantity_e8);
        out.i128(self.after.realized_e16);
        out.i128(self.after.cost_e16);
        for lot in &self.lots {
            out.lot(lot);
        }
        for trade in &self.trades {
            out.u128(trade.hash.0);
            out.i128(trade.realized_e16);
            out.u32(trade.allocations.len() as u32);
            out.u32(u32::from(trade.reason as u16));
        }
        for allocation in self.trades.iter().flat_map(|t| &t.allocations) {
            out.u128(allocation.lot.0);
            out.i128(allocation.cost_e16);
            out.i128(allocation.realized_e16);
            out.i64(allocation.quantity_e8);
            out.i64(allocation.price_e8);
        }
        for (hash, reason) in &self.breaks {
            out.u128(hash.0);
            out.u64(u64::from(*reason as u16));
        }
        let encoded = out.into_bytes();
        assert!(encoded.len() == bytes);
        encoded
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
        let (lots, trades) = (read.u32()? as usize, read.u32()? as usize);
        let (allocations, breaks, zero) = (read.u32()? as usize, read.u32()? as usize, read.u32()?);
        let expected = 64 + lots * 56 + trades * 40 + allocations * 64 + breaks * 24;
        if zero != 0 || body.len() != expected {
            return Err(BadBody);
        }
        let after = Figures {
            quantity_e8: read.i64()?,
            realized_e16: read.i128()?,
            cost_e16: read.i128()?,
            lot_count: lots as u32,
        };
        let lots = (0..lots).map(|_| read.lot()).collect::<Result<Vec<_>, _>>()?;
        let mut heads = Vec::with_capacity(trades);
        for _ in 0..trades {
            heads.push((TradeHash(read.u128()?), read.i128()?, read.u32()? as usize, reason(read.u32()?)?));
        }
        if heads.iter().map(|head| head.2).sum::<usize>() != allocations {
            return Err(BadBody);
        }
        let mut figures = Vec::with_capacity(trades);
        for (hash, realized_e16, count, reason) in heads {
            let allocations = (0..count).map(|_| allocation(&mut read)).collect::<Result<Vec<_>, _>>()?;
            figures.push(TradeFigures { hash, realized_e16, reason, allocations });
        }
        let mut broken = Vec::with_capacity(breaks);
        for _ in 0..breaks {
            let hash = TradeHash(read.u128()?);
            let code = u32::try_from(read.u64()?).map_err(|_| BadBody)?;
            broken.push((hash, reason(code)?));
        }
        Ok(Self { after, lots, trades: figures, breaks: broken })
    }
}

fn reason(code: u32) -> Result<Reason, BadBody> {
    u16::try_from(code).ok().and_then(Reason::from_u16).ok_or(BadBody)
}

fn allocation(read: &mut Reader<'_>) -> Result<Allocation, Truncated> {
    let (lot, cost_e16, realized_e16) = (TradeHash(read.u128()?), read.i128()?, read.i128()?);
    Ok(Allocation { lot, cost_e16, realized_e16, quantity_e8: read.i64()?, price_e8: read.i64()? })
}

impl Writer {
    pub(crate) fn lot(&mut self, lot: &Lot) {
        self.u128(lot.origin.0);
        self.i128(lot.cost_e16);
        self.i64(lot.quantity_e8);
        self.i64(lot.price_e8);
        self.u64(u64::from(lot.acquired.0 as u32));
    }
}

impl Reader<'_> {
    pub(crate) fn lot(&mut self) -> Result<Lot, Truncated> {
        let (origin, cost_e16) = (TradeHash(self.u128()?), self.i128()?);
        let (quantity_e8, price_e8) = (self.i64()?, self.i64()?);
        Ok(Lot { origin, quantity_e8, cost_e16, price_e8, acquired: Date(self.u64()? as u32 as i32) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn bodies_round_trip_and_damage_is_refused() {
        let lot = Lot { origin: TradeHash(7), quantity_e8: 5, cost_e16: -1, price_e8: 9, acquired: Date(-3) };
        let one = Allocation { lot: TradeHash(8), quantity_e8: 1, price_e8: 2, cost_e16: 3, realized_e16: -4 };
        let outcome = Outcome {
            after: Figures { quantity_e8: -5, realized_e16: 11, cost_e16: 12, lot_count: 1 },
            lots: vec![lot],
            trades: vec![
                TradeFigures { hash: TradeHash(1), realized_e16: 0, reason: Reason::None, allocations: vec![] },
                TradeFigures {
                    hash: TradeHash(2),
                    realized_e16: 5,
                    reason: Reason::Oversell,
                    allocations: vec![one, one],
                },
            ],
            breaks: vec![(TradeHash(2), Reason::Oversell)],
        };
        let body = outcome.encode();
        assert_eq!(Outcome::decode(&body), Ok(outcome));
        for cut in 0..body.len() {
            assert_eq!(Outcome::decode(&body[..cut]), Err(BadBody), "cut at {cut}");
        }
    }
}
