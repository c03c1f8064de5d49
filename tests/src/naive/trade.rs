//! What a trade or an opening lot does in the naive model (rules 4, 6, 7, 8, 15).

use super::choose::{Choice, Wanted, choose};
use super::in_force::{Method, Rules};
use super::lots::{Book, Closing, Figures, Lot};
use super::numbers::{ONE, add, convert, money, share, sub, unit, unit_price, value};
use super::words::{
    BAD_CONSIDERATION, BAD_DATE, BAD_FEES, BAD_PRICE, BAD_QUANTITY, BAD_RATE, BAD_TERMS, CURRENCY_MISMATCH, Instrument,
    OPPOSITE_SIDE, OVERSELL, Reason, Side, TRADE_TYPE_MISMATCH, Trade, TradeType, UNKNOWN_LOT,
};

/// Rule 4, step 1, and the form of rule 15.
///
/// # Errors
/// The first that fails.
pub fn form(trade: &Trade, instrument: &Instrument) -> Result<(), Reason> {
    let checks = [
        (trade.quantity < 1, BAD_QUANTITY),
        (trade.price.is_some_and(|price| price < 0), BAD_PRICE),
        (trade.fees < 0, BAD_FEES),
        (trade.consideration.is_some_and(|amount| amount < 0), BAD_CONSIDERATION),
        (trade.opens_a_lot() && trade.consideration.is_none(), BAD_CONSIDERATION),
        (trade.price.is_none() && trade.consideration.is_none() && !trade.moves(), BAD_PRICE),
        (trade.fx_to_base <= 0, BAD_RATE),
        (trade.acquired.is_some_and(|acquired| acquired > trade.date), BAD_DATE),
        (
            trade.currency.is_some() && instrument.currency.is_some_and(|own| Some(own) != trade.currency),
            CURRENCY_MISMATCH,
        ),
        (trade.to_account == Some(trade.account), BAD_TERMS),
    ];
    checks.into_iter().find(|(fails, _)| *fails).map_or(Ok(()), |(_, reason)| Err(reason))
}

/// Rule 4, steps 3 and 4, against a position's quantity.
#[must_use]
pub fn effect(trade: &Trade, held: i128, rules: &Rules) -> Option<Reason> {
    let moved = trade.signed();
    let opens = held == 0;
    let increases = !opens && (held > 0) == (moved > 0);
    let decreases = !opens && !increases && moved.abs() <= held.abs();
    if trade.opens_a_lot() && !opens && !increases {
        return Some(OPPOSITE_SIDE);
    }
    let type_fits = match trade.trade_type {
        TradeType::Any => true,
        TradeType::NewTrade => opens || increases,
        TradeType::Increase => increases,
        TradeType::Decrease => decreases,
    };
    let side_fits = match trade.side {
        // An opening lot is no side's trade: it is on the side of its sign.
        _ if trade.opens_a_lot() => true,
        Side::Buy | Side::Sell => true,
        Side::SellShort => held <= 0,
        Side::BuyToCover => decreases,
    };
    if !type_fits || !side_fits {
        return Some(TRADE_TYPE_MISMATCH);
    }
    oversells(trade, held, rules).then_some(OVERSELL)
}

/// Rule 4, step 4: all that a late trade is held against as the position stands.
#[must_use]
pub fn oversells(trade: &Trade, held: i128, rules: &Rules) -> bool {
    trade.signed() < 0 && held + trade.signed() < 0 && !rules.allow_short
}

/// How much of a trade closes lots.
fn closed_part(trade: &Trade, held: i128) -> i128 {
    let closes = held != 0 && (held > 0) != (trade.signed() > 0);
    if closes { trade.quantity.min(held.abs()) } else { 0 }
}

/// The lots that the closing part takes, if any.
fn chosen(before: &Book, trade: &Trade, rules: &Rules, multiplier: i128) -> Result<Option<Choice>, Reason> {
    let closed = closed_part(trade, before.quantity());
    if closed == 0 {
        return Ok(None);
    }
    let price = match (trade.consideration, trade.price) {
        (Some(amount), _) => unit(amount * ONE, trade.quantity, multiplier)?,
        (None, price) => price.expect("refused by its form"),
    };
    let wanted = Wanted {
        quantity: closed,
        flips: closed < trade.quantity,
        price,
        date: trade.date,
        lot: trade.lot.as_ref(),
        scope: rules.scope_is_sub_account.then_some(trade.sub_account),
    };
    Ok(Some(choose(before, rules, &wanted)))
}

/// The place of the lot that a trade enlarges: one that is open where it increases, and not for a `NEW_TRADE`.
fn enlarged(before: &Book, trade: &Trade) -> Option<usize> {
    let increases = !before.lots.is_empty() && closed_part(trade, before.quantity()) == 0;
    let name = trade.lot.as_ref().filter(|_| increases && trade.trade_type != TradeType::NewTrade)?;
    before.lots.iter().position(|lot| lot.origin == *name)
}

/// Rule 4, steps 3 to 5: the first rule that a trade breaks at its place.
///
/// # Errors
/// `OVERFLOW`.
pub fn broken(before: &Book, trade: &Trade, rules: &Rules, instrument: &Instrument) -> Result<Option<Reason>, Reason> {
    let held = before.quantity();
    if let Some(reason) = effect(trade, held, rules) {
        return Ok(Some(reason));
    }
    match chosen(before, trade, rules, instrument.multiplier)? {
        Some(choice) => Ok(choice.broken),
        None => Ok((trade.lot.is_some() && enlarged(before, trade).is_none()).then_some(UNKNOWN_LOT)),
    }
}

/// Books a trade at its place. It is booked whatever it breaks; the first rule that it breaks is in the figures.
///
/// # Errors
/// `OVERFLOW`: it cannot be booked.
pub fn book(before: &Book, trade: &Trade, rules: &Rules, instrument: &Instrument) -> Result<(Book, Figures), Reason> {
    let multiplier = instrument.multiplier;
    let mut after = before.clone();
    let broken = broken(before, trade, rules, instrument)?;
    let closed = closed_part(trade, before.quantity());
    let opened = trade.quantity - closed;
    // The value and the fees of both parts.
    let fees = trade.fees * ONE;
    let fees_closed = if closed == 0 { 0 } else { share(fees, closed, trade.quantity)? };
    let fees_opened = fees - fees_closed;
    let (value_closed, value_opened) = match (trade.consideration, trade.price) {
        (Some(amount), _) => {
            let closed_part = if closed == 0 { 0 } else { share(amount * ONE, closed, trade.quantity)? };
            (closed_part, amount * ONE - closed_part)
        }
        (None, Some(price)) => (value(price, closed, multiplier)?, value(price, opened, multiplier)?),
        (None, None) => unreachable!("refused by its form"),
    };
    let mut figures = Figures::default();
    if let Some(choice) = chosen(before, trade, rules, multiplier)? {
        if let (Method::MinTax, Some(amount)) = (rules.method, trade.consideration) {
            // The price that it ranks by is held to the range of prices, whether or not there is something to rank.
            unit_price(amount * ONE, trade.quantity, multiplier)?;
        }
        let closing = Closing {
            parts: choice.parts,
            pool: choice.pool,
            value: value_closed,
            base_value: None,
            price: if trade.consideration.is_some() { None } else { trade.price },
            fees: if rules.fees_in_basis { fees_closed } else { 0 },
            rate: trade.fx_to_base,
            date: trade.date,
        };
        figures = after.close(&closing, multiplier, rules)?;
        after.total(&figures)?;
    }
    figures.opened = opened;
    if opened > 0 {
        after.is_short = trade.signed() < 0;
        let fees = if !rules.fees_in_basis { 0 } else { fees_opened };
        let cost = if after.is_short { sub(value_opened, fees)? } else { add(value_opened, fees)? };
        let base_cost = convert(cost, trade.fx_to_base)?;
        (figures.opened_cost, figures.opened_base) = (cost, base_cost);
        if let Some(place) = enlarged(before, trade) {
            let lot = &mut after.lots[place];
            lot.quantity += opened;
            (lot.cost, lot.base_cost) = (add(lot.cost, cost)?, add(lot.base_cost, base_cost)?);
            lot.price = unit_price(lot.cost, lot.quantity, multiplier)?;
            figures.enlarges = true;
        } else {
            let own_price = match trade.price {
                // The price that an opening lot gives is its lot's.
                Some(price) if trade.opens_a_lot() => Some(price),
                Some(price) if trade.consideration.is_none() && !rules.fees_in_basis => Some(price),
                _ => None,
            };
            let price = match own_price {
                Some(price) => price,
                None => unit_price(cost, opened, multiplier)?,
            };
            after.open(Lot {
                origin: trade.id.clone(),
                quantity: opened,
                cost,
                base_cost,
                price,
                acquired: trade.acquired.map_or(trade.date, |acquired| acquired.min(trade.date)),
                sub_account: trade.sub_account,
            });
        }
    }
    after.fees = add(after.fees, money(fees)?)?;
    figures.fees = fees;
    after.settle()?;
    figures.broken = broken;
    Ok((after, figures))
}
