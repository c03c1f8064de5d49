//! What an action does to lots that go on in another instrument: stock merger, spin-off, symbol change.
//!
//! Pure functions of the action and the lots. Where what leaves arrives is the business of [`crate::legs`].
//! `docs/rules.md`, sections 12 and 16.

use alloc::vec::Vec;

use crate::action::{Gains, Holding, cash, give_on, return_capital, split};
use crate::action_input::{ActionInput, ActionKind};
use crate::amount::{Money, ONE_E8, Overflow, add, convert, share, sub, unit};
use crate::command::NO_PRICE;
use crate::lots::Lot;

/// Whether, after the action, everything that is left of the position goes to another instrument.
#[must_use]
pub fn empties(input: &ActionInput) -> bool {
    match input.kind {
        ActionKind::SymbolChange => true,
        ActionKind::Merger => input.leads_on(),
        _ => false,
    }
}

/// A lot as it arrives: without a price where units or cost have changed, for the target's multiplier is another one.
#[must_use]
pub fn as_arriving(input: &ActionInput, lot: &Lot) -> Lot {
    match input.kind {
        ActionKind::SymbolChange => *lot,
        _ => Lot { price_e8: NO_PRICE, ..*lot },
    }
}

/// A stock merger before its fraction is paid out: cash against cost, then old units into new ones.
///
/// # Errors
/// [`Overflow`].
pub(crate) fn exchange(input: &ActionInput, holding: &Holding<'_>, lots: &mut Vec<Lot>) -> Result<Gains, Overflow> {
    let gains = exchanged(input, holding, lots)?;
    let vanished = give_on(holding, input.date(), lots)?;
    lots.retain(|lot| lot.quantity_e8 != 0);
    gains.plus(&vanished)
}

/// The same before what vanishes gives its cost on.
///
/// # Errors
/// [`Overflow`].
pub(crate) fn exchanged(input: &ActionInput, holding: &Holding<'_>, lots: &mut [Lot]) -> Result<Gains, Overflow> {
    let mut gains = Gains::default();
    match input.cash_in_lieu() {
        None => {
            for lot in lots.iter_mut() {
                return_capital(input, holding, lot, &mut gains)?;
            }
            split(input, lots)?;
        }
        Some(price_e8) => {
            let before: Vec<i64> = lots.iter().map(|lot| lot.quantity_e8).collect();
            split(input, lots)?;
            for (lot, before_e8) in lots.iter_mut().zip(before) {
                let (boot, value) = (cash(input.cash_e8, before_e8)?, cash(price_e8, lot.quantity_e8)?);
                let rate = input.fx_to_base_e8;
                let realized = boot_gain(lot.cost_e16, boot, value)?;
                let (base_boot, base_value) = (convert(boot, rate)?, convert(value, rate)?);
                let base = boot_gain(lot.base_cost_e16, base_boot, base_value)?;
                lot.cost_e16 = add(sub(lot.cost_e16, boot)?, realized)?;
                lot.base_cost_e16 = add(sub(lot.base_cost_e16, base_boot)?, base)?;
                let is_long_term = holding.is_long_term(lot, input.date());
                gains.add(holding.signed(realized), is_long_term, holding.signed(base))?;
            }
        }
    }
    Ok(gains)
}

/// Of the gain on an exchange, what the cash makes taxable. *Source: 26 USC 356(a), (c).*
fn boot_gain(cost: Money, boot: Money, value: Money) -> Result<Money, Overflow> {
    let gain = sub(add(value, boot)?, cost)?;
    Ok(gain.min(boot).max(0))
}

/// A spin-off: each lot gives a part of its cost to a new one, the fraction is paid out. New lots come in lot order;
/// where not one new unit comes of it, nothing happens. `paid` is told what of each new lot the fraction takes: units,
/// what they realize, whether that is long-term.
///
/// # Errors
/// [`Overflow`].
pub(crate) fn spin_off(
    input: &ActionInput,
    holding: &Holding<'_>,
    lots: &mut [Lot],
    spun: &mut Vec<Lot>,
    paid: &mut dyn FnMut(i64, Money, bool),
) -> Result<Gains, Overflow> {
    spun.extend(unpriced(lots));
    split(input, spun)?;
    if spun.iter().all(|lot| lot.quantity_e8 == 0) {
        spun.clear();
        return Ok(Gains::default());
    }
    for (lot, new) in lots.iter_mut().zip(spun.iter_mut()) {
        new.cost_e16 = convert(lot.cost_e16, input.basis_fraction_e8)?;
        new.base_cost_e16 = convert(lot.base_cost_e16, input.basis_fraction_e8)?;
        lot.cost_e16 = sub(lot.cost_e16, new.cost_e16)?;
        lot.base_cost_e16 = sub(lot.base_cost_e16, new.base_cost_e16)?;
        lot.price_e8 = unit(lot.cost_e16, lot.quantity_e8, holding.multiplier_e8)?;
    }
    give_on(holding, input.date(), spun)?;
    spun.retain(|lot| lot.quantity_e8 != 0);
    match input.cash_in_lieu() {
        None => Ok(Gains::default()),
        Some(price_e8) => pay_fraction(input, holding, spun, price_e8, paid),
    }
}

/// Lots of which the units alone count, as of the new lots of a spin-off, which have no price before they arrive: none can
/// leave its range.
pub(crate) fn unpriced(lots: &[Lot]) -> impl Iterator<Item = Lot> {
    lots.iter().map(|lot| Lot { price_e8: 0, ..*lot })
}

/// Closes what is above whole units, in lot order.
fn pay_fraction(
    input: &ActionInput,
    holding: &Holding<'_>,
    lots: &mut Vec<Lot>,
    price_e8: i64,
    paid: &mut dyn FnMut(i64, Money, bool),
) -> Result<Gains, Overflow> {
    let mut gains = Gains::default();
    let total: i128 = lots.iter().map(|lot| i128::from(lot.quantity_e8)).sum();
    let mut open_e8 = (total % i128::from(ONE_E8)) as i64;
    for lot in lots.iter_mut() {
        let part_e8 = open_e8.min(lot.quantity_e8);
        if part_e8 == 0 {
            break;
        }
        let cost = share(lot.cost_e16, part_e8, lot.quantity_e8);
        let base_cost = share(lot.base_cost_e16, part_e8, lot.quantity_e8);
        let value = cash(price_e8, part_e8)?;
        let realized = holding.signed(sub(value, cost)?);
        let base = holding.signed(sub(convert(value, input.fx_to_base_e8)?, base_cost)?);
        let is_long_term = holding.is_long_term(lot, input.date());
        gains.add(realized, is_long_term, base)?;
        paid(part_e8, realized, is_long_term);
        lot.quantity_e8 -= part_e8;
        lot.cost_e16 -= cost;
        lot.base_cost_e16 -= base_cost;
        open_e8 -= part_e8;
    }
    lots.retain(|lot| lot.quantity_e8 != 0);
    Ok(gains)
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
