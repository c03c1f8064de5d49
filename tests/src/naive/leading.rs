//! Actions that lead to another instrument, in the naive model (rule 12): symbol change, stock merger, spin-off.

use super::actions::{Action, Gains, close, scale, take_cash};
use super::holding::is_long_term;
use super::in_force::Rules;
use super::lots::{Allocation, Book, Figures, Leaving, Lot, Scaled};
use super::numbers::{ONE, add, convert, money, share, small, sub, unit_price};
use super::words::{Instrument, Name, Reason};

/// What a stock merger or a spin-off says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// New units.
    pub numerator: i128,
    /// For so many old ones.
    pub denominator: i128,
    /// Price of a new unit at which the fraction is paid out.
    pub cash_in_lieu: Option<i128>,
}

/// All lots of a position, on their way to the same account's position in another instrument.
fn leave(book: &mut Book, account: Name, to: Name, keeps_price: bool) -> Vec<Leaving> {
    let is_short = book.is_short;
    let lots = std::mem::take(&mut book.lots);
    lots.into_iter()
        .enumerate()
        .map(|(at, lot)| Leaving { to: (account, to), lot, is_short, keeps_price, at })
        .collect()
}

/// All lots leave as they are.
pub fn symbol_change(book: &mut Book, account: Name, to: Name) -> Figures {
    Figures { leaves: leave(book, account, to, true), ..Figures::default() }
}

/// First the cash, then the units, then the fraction, then what is left leaves.
///
/// # Errors
/// `OVERFLOW`.
#[allow(clippy::too_many_arguments, reason = "what the action says, where it is, and by which rules")]
pub fn merger(
    book: &mut Book,
    account: Name,
    action: &Action,
    to: Name,
    terms: &Terms,
    cash: i128,
    rules: &Rules,
    instrument: &Instrument,
) -> Result<Figures, Reason> {
    let mut gains = Gains::of(book, action, rules);
    take_cash(book, &mut gains, action, cash, terms, instrument)?;
    let scaled = scale(book, &mut gains, terms.numerator, terms.denominator)?;
    let mut figures = gains.figures(action.fx_to_base)?;
    let part = book.quantity().abs() % ONE;
    if let Some(price) = terms.cash_in_lieu.filter(|_| part > 0) {
        book.settle()?;
        let paid = close(book, action, part, price, rules, instrument)?;
        let sums = (
            add(figures.realized, paid.realized)?,
            add(figures.realized_long, paid.realized_long)?,
            add(figures.realized_base, paid.realized_base)?,
        );
        figures = paid;
        figures.realize(sums.0, sums.1, sums.2, action.fx_to_base)?;
    }
    figures.scaled = scaled;
    figures.leaves = leave(book, account, to, false);
    Ok(figures)
}

/// Each lot gives a part of its cost to a new lot of the other instrument.
///
/// # Errors
/// `OVERFLOW`.
#[allow(clippy::too_many_arguments, reason = "what the action says, where it is, and by which rules")]
pub fn spin_off(
    book: &mut Book,
    account: Name,
    action: &Action,
    to: Name,
    terms: &Terms,
    fraction: i128,
    rules: &Rules,
    instrument: &Instrument,
) -> Result<Figures, Reason> {
    if book.quantity().abs() * terms.numerator / terms.denominator == 0 {
        // All new lots vanish: nothing happens.
        return Ok(Figures::default());
    }
    let mut gains = Gains::of(book, action, rules);
    let (mut held, mut given) = (0, 0);
    let (mut new, mut scaled, mut paid): (Vec<Lot>, Vec<Scaled>, Vec<Allocation>) = Default::default();
    // Cost of new lots that vanished, for the next one that does not.
    let (mut cost, mut base_cost) = (0, 0);
    for lot in &mut book.lots {
        let (part, base_part) = (convert(lot.cost, fraction)?, convert(lot.base_cost, fraction)?);
        (lot.cost, lot.base_cost) = (sub(lot.cost, part)?, sub(lot.base_cost, base_part)?);
        lot.price = unit_price(lot.cost, lot.quantity, instrument.multiplier)?;
        (cost, base_cost) = (add(cost, part)?, add(base_cost, base_part)?);
        held += lot.quantity;
        let until = held * terms.numerator / terms.denominator;
        let quantity = small(until - given)?;
        scaled.push(Scaled { lot: lot.clone(), units: quantity });
        if quantity > 0 {
            new.push(Lot { quantity, cost, base_cost, ..lot.clone() });
            (cost, base_cost) = (0, 0);
        }
        given = until;
    }
    let last = new.last_mut().expect("there are new units");
    (last.cost, last.base_cost) = (add(last.cost, cost)?, add(last.base_cost, base_cost)?);
    if let Some(price) = terms.cash_in_lieu {
        let mut part = given % ONE;
        for (at, lot) in new.iter_mut().enumerate() {
            let taken = part.min(lot.quantity);
            if taken == 0 {
                continue;
            }
            let worth = money(price * taken)?;
            let (cost, base_cost) = (share(lot.cost, taken, lot.quantity)?, share(lot.base_cost, taken, lot.quantity)?);
            let gain = sub(worth, cost)?;
            gains.gain(lot.acquired, gain, sub(convert(worth, action.fx_to_base)?, base_cost)?)?;
            paid.push(Allocation {
                lot: lot.clone(),
                at,
                quantity: taken,
                cost,
                base_cost,
                realized: if book.is_short { -gain } else { gain },
                is_long_term: is_long_term(lot.acquired, action.place(), book.is_short, rules),
            });
            (lot.quantity, lot.cost, lot.base_cost) =
                (lot.quantity - taken, sub(lot.cost, cost)?, sub(lot.base_cost, base_cost)?);
            part -= taken;
        }
        new.retain(|lot| lot.quantity > 0);
    }
    let mut figures = gains.figures(action.fx_to_base)?;
    let is_short = book.is_short;
    let on_its_way = |(at, lot)| Leaving { to: (account, to), lot, is_short, keeps_price: false, at };
    figures.leaves = new.into_iter().enumerate().map(on_its_way).collect();
    (figures.scaled, figures.paid) = (scaled, paid);
    Ok(figures)
}
