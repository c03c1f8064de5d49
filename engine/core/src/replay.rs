//! The coldpath's decision: the items of one position's history, in chronological order, decided again.
//!
//! Acceptance is final: nothing is dropped here. A trade that is illegal at its place is booked
//! exactly and named as a break.

use alloc::vec::Vec;

use crate::amount::{Money, Overflow, add, notional};
use crate::apply::{Misfit, lots_digest, settle};
use crate::command::{Origin, TradeInput};
use crate::decide::{Decision, Ground, Legality, Scratch, sums_fit};
use crate::event::{Class, Figures, Reason, Run, TradeEvent};
use crate::history::Item;
use crate::id::{TradeHash, TradeId};
use crate::limits::LOT_BLOCK_MIN;
use crate::lots::LotArena;
use crate::outcome::{Allocation, Outcome, TradeFigures};
use crate::position::Position;
use crate::rules::{ContractBook, Rules};

/// Why a replay has no outcome. The position stays PROVISIONAL and a person must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Booking this item at its place leaves an exact range or a named limit.
    Item(TradeId, Reason),
    /// A defect: a decision did not fit the state that it was made on.
    Misfit(Misfit),
}

/// Books `items` in chronological order on an empty position. They come in any order and are sorted here.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(
    items: &mut [Item],
    contracts: &ContractBook,
    multiplier_e8: i64,
    scratch: &mut Scratch,
) -> Result<Outcome, ReplayError> {
    items.sort_unstable_by_key(Item::key);
    let mut replayer = Replayer {
        contracts,
        multiplier_e8,
        scratch,
        // A block moves to one of twice its size, so four times the lots is room for every move.
        lots: LotArena::new((items.len() * 4).max(LOT_BLOCK_MIN * 4).next_power_of_two()),
        position: Position::new(0, 0, 0),
        trades: Vec::with_capacity(items.len()),
        breaks: Vec::new(),
    };
    for item in items.iter() {
        replayer.book(item)?;
    }
    Ok(replayer.outcome())
}

/// A replay under way: the book of one position, and what was found so far.
struct Replayer<'a> {
    contracts: &'a ContractBook,
    multiplier_e8: i64,
    scratch: &'a mut Scratch,
    lots: LotArena,
    position: Position,
    trades: Vec<TradeFigures>,
    breaks: Vec<(TradeHash, Reason)>,
}

impl Replayer<'_> {
    fn book(&mut self, item: &Item) -> Result<(), ReplayError> {
        match item {
            Item::Trade(input) => self.trade(input),
        }
    }

    fn trade(&mut self, input: &TradeInput) -> Result<(), ReplayError> {
        let failed = |reason| ReplayError::Item(input.trade_id, reason);
        let rules = self
            .contracts
            .in_force(input.account, input.instrument, input.contract, input.effective_date)
            .unwrap_or(Rules::DEFAULT);
        let ground = Ground {
            quantity_e8: self.position.quantity_e8,
            lots: &self.lots,
            block: &self.position.block,
            multiplier_e8: self.multiplier_e8,
        };
        let booked = ground.book(rules, input, Legality::Carried, self.scratch).map_err(failed)?;
        sums_fit(&self.position, input, &booked).map_err(failed)?;
        if booked.broke != Reason::None {
            self.breaks.push((input.hash, booked.broke));
        }
        let decision = Decision {
            class: Class::Applied,
            reason: booked.broke,
            position: 0,
            version: self.position.version + 1,
            on_provisional: false,
            late: false,
            backdated: false,
            booked,
            first: None,
        };
        let event = decision.event(input, &Origin::INTERNAL, self.scratch);
        let allocations = allocations(&self.lots, &self.position, &event, self.multiplier_e8)
            .map_err(|_| failed(Reason::Overflow))?;
        self.trades.push(TradeFigures {
            hash: input.hash,
            realized_e16: booked.realized_e16,
            reason: booked.broke,
            allocations,
        });
        settle(&mut self.lots, &mut self.position, &event).map_err(ReplayError::Misfit)?;
        self.position.version += 1;
        Ok(())
    }

    fn outcome(self) -> Outcome {
        let lots: Vec<_> = self.lots.iter(&self.position.block).collect();
        let after = Figures { lot_count: lots.len() as u32, ..self.position.figures() };
        assert!(
            lots_digest(0, &lots) == self.position.lots_digest,
            "the digest kept step by step is the digest of the result"
        );
        Outcome { after, lots, trades: self.trades, breaks: self.breaks }
    }
}

/// The allocations of an event, from the lots as they stand before it is applied. The realized parts
/// sum to the event's figure: the last one takes what a multiplier's rounding leaves.
///
/// # Errors
/// [`Overflow`] cannot happen for an event that was decided; it is passed on all the same.
pub fn allocations(
    lots: &LotArena,
    before: &Position,
    event: &TradeEvent<'_>,
    multiplier_e8: i64,
) -> Result<Vec<Allocation>, Overflow> {
    let long = before.quantity_e8 > 0;
    let mut found: Vec<Allocation> = Vec::new();
    let mut realized: Money = 0;
    let mut take = |index: usize, quantity_e8: i64, cost_e16: Money| -> Result<(), Overflow> {
        let lot = lots.get(&before.block, index);
        let value = notional(event.input.price_e8, quantity_e8, multiplier_e8)?;
        let realized_e16 = if long { value - cost_e16 } else { cost_e16 - value };
        realized = add(realized, realized_e16)?;
        found.push(Allocation { lot: lot.origin, quantity_e8, price_e8: lot.price_e8, cost_e16, realized_e16 });
        Ok(())
    };
    for &Run { from, count, part_quantity_e8, part_cost_e16 } in event.runs {
        if part_quantity_e8 > 0 {
            take(from as usize, part_quantity_e8, part_cost_e16)?;
            continue;
        }
        for index in from as usize..(from + count) as usize {
            let lot = lots.get(&before.block, index);
            take(index, lot.quantity_e8, lot.cost_e16)?;
        }
    }
    if let Some(last) = found.last_mut() {
        last.realized_e16 += event.realized_e16 - realized;
    }
    Ok(found)
}
