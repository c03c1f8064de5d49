//! What a trade is worth: value and fees of its closed and its opened part, base figures, holding period.
//!
//! Pure functions of the input, the rules and the lots that were chosen; `docs/rules.md`, sections 4, 7, 8 and 10.

use crate::amount::{Money, ONE_E8, Overflow, convert, notional, share, sub, unit};
use crate::command::{TradeInput, TradeKind};
use crate::date::Date;
use crate::event::{Averaged, Run};
use crate::lots::{Lot, LotArena, LotBlock};
use crate::outcome::Allocation;
use crate::rules::{FeesRule, Rules};

/// One number for each part of a trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub closed: Money,
    pub opened: Money,
}

/// `total` by quantity: the opened part takes the remainder.
fn parted(total: Money, closed_e8: i64, quantity_e8: i64) -> Parts {
    let closed = if closed_e8 == 0 { 0 } else { share(total, closed_e8, quantity_e8) };
    Parts { closed, opened: total - closed }
}

/// An amount at 10^-8 as money: never out of range.
pub(crate) fn money(amount_e8: i64) -> Money {
    Money::from(amount_e8) * Money::from(ONE_E8)
}

/// Value of the closed and of the opened part: by the consideration where there is one, else by the price.
#[inline]
pub(crate) fn values(input: &TradeInput, closed_e8: i64, multiplier_e8: i64) -> Result<Parts, Overflow> {
    if let Some(consideration_e8) = input.consideration() {
        return Ok(parted(money(consideration_e8), closed_e8, input.quantity_e8));
    }
    let value = |quantity_e8| notional(input.price_e8, quantity_e8, multiplier_e8);
    let opened_e8 = input.quantity_e8 - closed_e8;
    Ok(Parts {
        closed: if closed_e8 > 0 { value(closed_e8)? } else { 0 },
        opened: if opened_e8 > 0 { value(opened_e8)? } else { 0 },
    })
}

/// Fees that enter the figures: those of the closed and of the opened part, or none.
#[inline]
pub(crate) fn fees(input: &TradeInput, rules: &Rules, closed_e8: i64) -> Parts {
    match rules.fees_rule {
        FeesRule::Apart => Parts::default(),
        FeesRule::InBasis => parted(fees_e16(input), closed_e8, input.quantity_e8),
    }
}

/// The trade's fees as money: never out of range.
pub(crate) fn fees_e16(input: &TradeInput) -> Money {
    money(input.fees_e8)
}

/// Price of the lot that a trade opens with this cost.
#[inline]
pub(crate) fn lot_price(
    input: &TradeInput,
    rules: &Rules,
    cost_e16: Money,
    quantity_e8: i64,
    multiplier_e8: i64,
) -> Result<i64, Overflow> {
    let by_price = match input.kind {
        TradeKind::Trade => input.consideration().is_none() && rules.fees_rule == FeesRule::Apart,
        TradeKind::OpenLot | TradeKind::Transfer => true,
    };
    match input.price() {
        Some(price_e8) if by_price => Ok(price_e8),
        _ => unit(cost_e16, quantity_e8, multiplier_e8),
    }
}

/// A part of a reduction: what is taken of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The lot before.
    pub lot: Lot,
    pub quantity_e8: i64,
    pub cost_e16: Money,
    pub base_cost_e16: Money,
}

impl Taken {
    /// As an allocation that realizes so much.
    pub(crate) fn allocation(&self, realized_e16: Money, is_long_term: bool) -> Allocation {
        Allocation {
            lot: self.lot.origin,
            quantity_e8: self.quantity_e8,
            price_e8: self.lot.price_e8,
            cost_e16: self.cost_e16,
            base_cost_e16: self.base_cost_e16,
            realized_e16,
            acquired: self.lot.acquired,
            is_long_term,
        }
    }
}

/// What a reduction takes in all, where its cost comes from a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Average {
    quantity_e8: i64,
    cost_e16: Money,
    base_cost_e16: Money,
}

impl Average {
    pub(crate) fn of(averaged: Averaged, quantity_e8: i64, cost_e16: Money, base_cost_e16: Money) -> Option<Self> {
        (averaged != Averaged::No).then_some(Self { quantity_e8, cost_e16, base_cost_e16 })
    }

    /// What falls on the quantity between two cumulated ones.
    fn between(&self, from_e8: i64, to_e8: i64) -> (Money, Money) {
        let up_to = |total, part| if part == 0 { 0 } else { share(total, part, self.quantity_e8) };
        let of = |total| up_to(total, to_e8) - up_to(total, from_e8);
        (of(self.cost_e16), of(self.base_cost_e16))
    }
}

/// What the runs take, lot by lot in their order.
pub(crate) fn taken<'a>(
    lots: &'a LotArena,
    block: &'a LotBlock,
    runs: &'a [Run],
    average: Option<Average>,
) -> impl Iterator<Item = Taken> + 'a {
    let mut before_e8 = 0;
    let of_run =
        move |run: &'a Run| lots.range(block, run.from as usize, run.count as usize).map(move |lot| (run, lot));
    runs.iter().flat_map(of_run).map(move |(run, lot)| {
        let is_whole = run.part_quantity_e8 == 0;
        let quantity_e8 = if is_whole { lot.quantity_e8 } else { run.part_quantity_e8 };
        let from_e8 = before_e8;
        before_e8 += quantity_e8;
        let (cost_e16, base_cost_e16) = match &average {
            Some(average) => average.between(from_e8, before_e8),
            None if is_whole => (lot.cost_e16, lot.base_cost_e16),
            None => (run.part_cost_e16, share(lot.base_cost_e16, quantity_e8, lot.quantity_e8)),
        };
        Taken { lot, quantity_e8, cost_e16, base_cost_e16 }
    })
}

/// A closing as its allocations: values are attributed in lot order, and the last one takes the remainder and the fees.
pub(crate) struct Closing<'a> {
    pub input: &'a TradeInput,
    pub multiplier_e8: i64,
    pub is_long: bool,
    /// Positive.
    pub quantity_e8: i64,
    pub value_e16: Money,
    pub realized_e16: Money,
}

impl Closing<'_> {
    /// What an allocation that is not the last realizes. A part of a value and a part of a cost that are both in
    /// range: their difference needs no check of its own.
    fn realized(&self, part: &Taken) -> Result<Money, Overflow> {
        let value = match self.input.consideration() {
            Some(_) => share(self.value_e16, part.quantity_e8, self.quantity_e8),
            None => notional(self.input.price_e8, part.quantity_e8, self.multiplier_e8)?,
        };
        Ok(if self.is_long { value - part.cost_e16 } else { part.cost_e16 - value })
    }

    /// Calls `each` with every allocation and what it realized; these sum to the whole.
    ///
    /// # Errors
    /// [`Overflow`]: never where the whole value is in range.
    pub(crate) fn allocate(
        &self,
        parts: impl Iterator<Item = Taken>,
        mut each: impl FnMut(&Taken, Money),
    ) -> Result<(), Overflow> {
        let mut parts = parts.peekable();
        let mut before: Money = 0;
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                each(&part, self.realized_e16 - before);
                break;
            }
            let realized = self.realized(&part)?;
            before += realized;
            each(&part, realized);
        }
        Ok(())
    }
}

/// Realized in base: the value at the trade's rate less the base cost taken, less the fees at the rate.
pub(crate) fn realized_base(
    rate_e8: i64,
    is_long: bool,
    value_e16: Money,
    fees_e16: Money,
    base_cost_e16: Money,
) -> Result<Money, Overflow> {
    let value = convert(value_e16, rate_e8)?;
    let gross = if is_long { sub(value, base_cost_e16)? } else { sub(base_cost_e16, value)? };
    sub(gross, convert(fees_e16, rate_e8)?)
}

/// The market part of what was realized in base; the rest is the FX part.
///
/// # Errors
/// [`Overflow`]: never for an event that was decided.
pub fn market_part(realized_e16: Money, rate_e8: i64) -> Result<Money, Overflow> {
    convert(realized_e16, rate_e8)
}

/// Whether a lot of this side that is held since `acquired` is long-term on `date`.
#[must_use]
pub fn is_long_term(rules: &Rules, is_long: bool, acquired: Date, date: Date) -> bool {
    is_long && acquired <= rules.long_term_until(date)
}

/// Whether a lot held since `oldest` can be long-term on `date`, without looking at the calendar: a year is never
/// shorter than 365 days.
#[inline]
pub(crate) fn may_be_long_term(rules: &Rules, oldest: Date, date: Date) -> bool {
    let days = if rules.long_term_days == 0 { 365 } else { i64::from(rules.long_term_days) };
    i64::from(date.0) - i64::from(oldest.0) > days
}
