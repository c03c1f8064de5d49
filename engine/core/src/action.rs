//! What a corporate action or a reset does to the lots of one position: pure functions, a rule each.
//!
//! An action has up to four steps here: it rewrites lots ([`rewrite`]), it closes a part of the position at a price
//! ([`closing`], booked like a trade's closed part), what is left may leave ([`crate::leaving`]), it pays a dividend
//! ([`dividend`]). `docs/rules.md`, sections
//! 12 and 13. A change in what these functions give for an event that was written is a new version of that event.

use alloc::vec::Vec;

use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{Money, ONE_E8, Overflow, add, convert, div_half_even, notional, sub, unit};
use crate::command::{Side, TradeInput};
use crate::date::Date;
use crate::id::DayPart;
use crate::leaving::{exchange, spin_off};
use crate::lots::Lot;
use crate::rules::Rules;
use crate::values::{is_long_term, market_part};

/// What an action realized on one position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gains {
    /// Realized.
    pub realized_e16: Money,
    /// The long-term part of it.
    pub long_e16: Money,
    /// Realized in base currency.
    pub base_e16: Money,
}

impl Gains {
    pub(crate) fn add(&mut self, more: Money, is_long_term: bool, base: Money) -> Result<(), Overflow> {
        self.realized_e16 = add(self.realized_e16, more)?;
        self.base_e16 = add(self.base_e16, base)?;
        if is_long_term {
            self.long_e16 = add(self.long_e16, more)?;
        }
        Ok(())
    }

    /// Both together.
    ///
    /// # Errors
    /// [`Overflow`].
    pub fn plus(&self, other: &Self) -> Result<Self, Overflow> {
        Ok(Self {
            realized_e16: add(self.realized_e16, other.realized_e16)?,
            long_e16: add(self.long_e16, other.long_e16)?,
            base_e16: add(self.base_e16, other.base_e16)?,
        })
    }
}

/// The position that an action finds, beside its lots.
#[derive(Clone, Copy, Debug)]
pub struct Holding<'a> {
    /// Long, or short.
    pub is_long: bool,
    /// Multiplier of the instrument.
    pub multiplier_e8: i64,
    /// Rules in force for the position on the action's date.
    pub rules: &'a Rules,
}

impl Holding<'_> {
    /// A gain for a long is a loss for a short.
    pub(crate) fn signed(&self, amount: Money) -> Money {
        if self.is_long { amount } else { -amount }
    }

    pub(crate) fn is_long_term(&self, lot: &Lot, date: Date) -> bool {
        is_long_term(self.rules, self.is_long, lot.acquired, date)
    }
}

/// How many lots an action concerns: those acquired before its place. At its own place in history that is all of
/// them; a late action is estimated on lots of which some may be younger.
///
/// `lots` are in lot order, which is by acquired date.
#[must_use]
pub fn concerned(input: &ActionInput, lots: &[Lot]) -> usize {
    let date = input.date();
    let is_before = |lot: &Lot| match input.kind.part() {
        DayPart::Opening => lot.acquired < date,
        DayPart::Trading | DayPart::Record | DayPart::Closing => lot.acquired <= date,
    };
    lots.iter().take_while(|lot| is_before(lot)).count()
}

/// Rewrites the lots that the action concerns; lots that vanish are removed. In lot order. New lots of another
/// instrument go to `spun`, which comes empty.
///
/// # Errors
/// [`Overflow`]; the lots are then good for nothing.
pub fn rewrite(
    input: &ActionInput,
    holding: &Holding<'_>,
    lots: &mut Vec<Lot>,
    spun: &mut Vec<Lot>,
) -> Result<Gains, Overflow> {
    let concerned = concerned(input, lots);
    let mut gains = Gains::default();
    match input.kind {
        ActionKind::Split => {
            split(input, &mut lots[..concerned])?;
            gains = give_on(holding, input.date(), lots)?;
            lots.retain(|lot| lot.quantity_e8 != 0);
        }
        ActionKind::ReturnOfCapital => {
            for lot in &mut lots[..concerned] {
                return_capital(input, holding, lot, &mut gains)?;
            }
        }
        ActionKind::Reset => {
            for lot in &mut lots[..concerned] {
                strike(input, holding, lot, &mut gains)?;
            }
        }
        ActionKind::SpinOff => {
            gains = spin_off(input, holding, &mut lots[..concerned], spun, &mut |_, _, _| ())?;
        }
        ActionKind::Merger if input.leads_on() => gains = exchange(input, holding, lots)?,
        ActionKind::Merger | ActionKind::SymbolChange | ActionKind::CashDividend => {}
    }
    // As for trades, the short-term and the FX part are differences, and the market part is held to its range too.
    sub(gains.realized_e16, gains.long_e16)?;
    sub(gains.base_e16, market_part(gains.realized_e16, input.fx_to_base_e8)?)?;
    Ok(gains)
}

/// Whether the action changes lots one by one.
#[must_use]
pub fn rewrites(input: &ActionInput) -> bool {
    match input.kind {
        ActionKind::Split | ActionKind::ReturnOfCapital | ActionKind::Reset | ActionKind::SpinOff => true,
        ActionKind::Merger => input.leads_on(),
        ActionKind::SymbolChange | ActionKind::CashDividend => false,
    }
}

/// A price in new units.
///
/// # Errors
/// [`Overflow`].
pub fn split_price(price_e8: i64, numerator: u32, denominator: u32) -> Result<i64, Overflow> {
    let price = div_half_even(i128::from(price_e8) * i128::from(denominator), i128::from(numerator));
    i64::try_from(price).map_err(|_| Overflow)
}

/// Quantities by cumulated rounding, so that the position as a whole is rounded once.
pub(crate) fn split(input: &ActionInput, lots: &mut [Lot]) -> Result<(), Overflow> {
    let (numerator, denominator) = (i128::from(input.numerator), i128::from(input.denominator));
    let (mut before, mut after) = (0i128, 0i64);
    for lot in lots {
        before += i128::from(lot.quantity_e8);
        // Lots of one position hold less than 2^63 together, and a term is below 2^30.
        let until = i64::try_from(before * numerator / denominator).map_err(|_| Overflow)?;
        lot.quantity_e8 = until - after;
        // A lot that vanishes has no price that could leave its range.
        if lot.quantity_e8 != 0 {
            lot.price_e8 = split_price(lot.price_e8, input.numerator, input.denominator)?;
        }
        after = until;
    }
    Ok(())
}

/// A lot that vanished gives its costs to the next one that is left, or else to the last; where none is left they are
/// realized.
pub(crate) fn give_on(holding: &Holding<'_>, date: Date, lots: &mut [Lot]) -> Result<Gains, Overflow> {
    let mut gains = Gains::default();
    let Some(last) = lots.iter().rposition(|lot| lot.quantity_e8 != 0) else {
        for lot in lots.iter() {
            let (cost, base) = (holding.signed(-lot.cost_e16), holding.signed(-lot.base_cost_e16));
            gains.add(cost, holding.is_long_term(lot, date), base)?;
        }
        return Ok(gains);
    };
    let (mut cost, mut base) = (0, 0);
    for lot in lots.iter_mut() {
        if lot.quantity_e8 == 0 {
            cost = add(cost, lot.cost_e16)?;
            base = add(base, lot.base_cost_e16)?;
        } else {
            lot.cost_e16 = add(lot.cost_e16, core::mem::take(&mut cost))?;
            lot.base_cost_e16 = add(lot.base_cost_e16, core::mem::take(&mut base))?;
        }
    }
    lots[last].cost_e16 = add(lots[last].cost_e16, cost)?;
    lots[last].base_cost_e16 = add(lots[last].base_cost_e16, base)?;
    Ok(gains)
}

/// Lowers a cost; what goes below zero is given apart.
fn lowered(cost: Money, amount: Money) -> Result<(Money, Money), Overflow> {
    let rest = sub(cost, amount)?;
    Ok(if rest < 0 { (0, -rest) } else { (rest, 0) })
}

pub(crate) fn return_capital(
    input: &ActionInput,
    holding: &Holding<'_>,
    lot: &mut Lot,
    gains: &mut Gains,
) -> Result<(), Overflow> {
    let amount = cash(input.cash_e8, lot.quantity_e8)?;
    let (cost, excess) = lowered(lot.cost_e16, amount)?;
    let (base_cost, base_excess) = lowered(lot.base_cost_e16, convert(amount, input.fx_to_base_e8)?)?;
    let is_long_term = holding.is_long_term(lot, input.date());
    gains.add(holding.signed(excess), is_long_term, holding.signed(base_excess))?;
    (lot.cost_e16, lot.base_cost_e16) = (cost, base_cost);
    lot.price_e8 = unit(cost, lot.quantity_e8, holding.multiplier_e8)?;
    Ok(())
}

fn strike(input: &ActionInput, holding: &Holding<'_>, lot: &mut Lot, gains: &mut Gains) -> Result<(), Overflow> {
    let cost = notional(input.cash_e8, lot.quantity_e8, holding.multiplier_e8)?;
    let base_cost = convert(cost, input.fx_to_base_e8)?;
    let realized = holding.signed(sub(cost, lot.cost_e16)?);
    let base = holding.signed(sub(base_cost, lot.base_cost_e16)?);
    gains.add(realized, holding.is_long_term(lot, input.date()), base)?;
    (lot.cost_e16, lot.base_cost_e16, lot.price_e8) = (cost, base_cost, input.cash_e8);
    Ok(())
}

/// Price x quantity, without a multiplier.
pub(crate) fn cash(cash_e8: i64, quantity_e8: i64) -> Result<Money, Overflow> {
    notional(cash_e8, quantity_e8, ONE_E8)
}

/// The trade that the action amounts to where it closes a part of the position: the fraction of a split above whole
/// units, or everything that a merger concerns. It is booked like a trade and is none: it has no id of its own.
///
/// `held_e8` is the signed quantity after [`rewrite`], `concerned_e8` the magnitude of what the action concerns.
#[must_use]
pub fn closing(input: &ActionInput, held_e8: i64, concerned_e8: i64) -> Option<TradeInput> {
    let (price_e8, quantity_e8) = match input.kind {
        ActionKind::Split => (input.cash_in_lieu()?, (held_e8 % ONE_E8).abs()),
        ActionKind::Merger if input.leads_on() => (input.cash_in_lieu()?, (held_e8 % ONE_E8).abs()),
        ActionKind::Merger => (input.cash_e8, concerned_e8),
        _ => return None,
    };
    (quantity_e8 > 0).then_some(TradeInput {
        instrument: input.instrument,
        side: if held_e8 > 0 { Side::Sell } else { Side::BuyToCover },
        quantity_e8,
        price_e8,
        fx_to_base_e8: input.fx_to_base_e8,
        effective_date: input.date(),
        ..TradeInput::EMPTY
    })
}

/// What a dividend pays on a signed quantity: a long receives, a short pays.
///
/// # Errors
/// [`Overflow`].
pub fn dividend(input: &ActionInput, quantity_e8: i64) -> Result<Money, Overflow> {
    match input.kind {
        ActionKind::CashDividend => cash(input.cash_e8, quantity_e8),
        _ => Ok(0),
    }
}

#[cfg(test)]
#[path = "action_tests.rs"]
mod tests;
