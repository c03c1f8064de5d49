//! Lots that leave one position for another in the naive model (rule 16): transfers, and how lots arrive.

use super::choose::{Wanted, choose};
use super::in_force::{Method, Rules};
use super::lots::{Book, Closing, Figures, Leaving, Lot};
use super::numbers::{ONE, share, sub, unit, unit_price};
use super::words::{Day, Instrument, NOT_HELD, OPPOSITE_SIDE, Reason, Trade};

/// How much of a transfer there is to move: what is held on its side.
fn there(before: &Book, transfer: &Trade) -> i128 {
    let held = before.quantity();
    if held != 0 && (held > 0) == (transfer.signed() < 0) { held.abs() } else { 0 }
}

/// Whether the position holds less than a transfer moves.
#[must_use]
pub fn is_not_held(before: &Book, transfer: &Trade) -> bool {
    there(before, transfer) < transfer.quantity
}

/// Books a transfer on the position that it leaves. It moves what there is; the first rule that it breaks is in the
/// figures.
///
/// # Errors
/// `OVERFLOW`.
pub fn transfer(before: &Book, transfer: &Trade, rules: &Rules) -> Result<(Book, Figures), Reason> {
    let to = transfer.to_account.expect("a transfer");
    let quantity = transfer.quantity.min(there(before, transfer));
    let mut broken = is_not_held(before, transfer).then_some(NOT_HELD);
    let (mut after, mut figures) = (before.clone(), Figures::default());
    if quantity > 0 {
        // Without a price to rank by, least tax is lot order.
        let method = if rules.method == Method::MinTax { Method::Fifo } else { rules.method };
        let wanted = Wanted {
            quantity,
            flips: false,
            price: 0,
            date: transfer.date,
            lot: transfer.lot.as_ref(),
            scope: rules.scope_is_sub_account.then_some(transfer.sub_account),
        };
        let choice = choose(before, &Rules { method, ..*rules }, &wanted);
        broken = broken.or(choice.broken);
        let from_a_pool = choice.pool.is_some();
        let closing = Closing {
            parts: choice.parts,
            pool: choice.pool,
            value: 0,
            base_value: None,
            price: None,
            fees: 0,
            rate: ONE,
            date: transfer.date,
        };
        for part in after.give(&closing)? {
            figures.leaves.push(Leaving {
                to: (to, transfer.instrument),
                keeps_price: part.quantity == part.lot.quantity && !from_a_pool,
                lot: Lot { quantity: part.quantity, cost: part.cost, base_cost: part.base_cost, ..part.lot },
                is_short: before.is_short,
                at: part.at,
            });
        }
    }
    after.settle()?;
    figures.broken = broken;
    Ok((after, figures))
}

/// Books a lot that arrives. On the other side it closes lots at cost, and is a break.
///
/// # Errors
/// `OVERFLOW`: it is passed over.
pub fn arrive(
    before: &Book,
    arrival: &Leaving,
    date: Day,
    rules: &Rules,
    instrument: &Instrument,
) -> Result<(Book, Figures), Reason> {
    let (mut lot, multiplier) = (arrival.lot.clone(), instrument.multiplier);
    let held = before.quantity();
    let is_against = held != 0 && before.is_short != arrival.is_short;
    let closed = if is_against { lot.quantity.min(held.abs()) } else { 0 };
    let (mut after, mut figures) = (before.clone(), Figures::default());
    if closed > 0 {
        let price = match rules.method {
            Method::MinTax => unit_price(lot.cost, lot.quantity, multiplier)?,
            _ => unit(lot.cost, lot.quantity, multiplier)?,
        };
        let scope = rules.scope_is_sub_account.then_some(lot.sub_account);
        let wanted = Wanted { quantity: closed, flips: closed < lot.quantity, price, date, lot: None, scope };
        let choice = choose(before, rules, &wanted);
        let (value, base) = (share(lot.cost, closed, lot.quantity)?, share(lot.base_cost, closed, lot.quantity)?);
        let closing = Closing {
            parts: choice.parts,
            pool: choice.pool,
            value,
            base_value: Some(base),
            price: None,
            fees: 0,
            rate: ONE,
            date,
        };
        figures = after.close(&closing, multiplier, rules)?;
        after.total(&figures)?;
        (lot.quantity, lot.cost, lot.base_cost) =
            (lot.quantity - closed, sub(lot.cost, value)?, sub(lot.base_cost, base)?);
    }
    if lot.quantity > 0 {
        if !arrival.keeps_price || closed > 0 {
            lot.price = unit_price(lot.cost, lot.quantity, multiplier)?;
        }
        (figures.opened, figures.opened_cost, figures.opened_base) = (lot.quantity, lot.cost, lot.base_cost);
        after.is_short = arrival.is_short;
        after.open(lot);
    }
    after.settle()?;
    figures.broken = is_against.then_some(OPPOSITE_SIDE);
    Ok((after, figures))
}
