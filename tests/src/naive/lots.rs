//! Lots of the naive model: a list in lot order, the totals of a position, and how a part of them is closed
//! (rules 4, 5, 7, 8).

use super::holding::is_long_term;
use super::in_force::Rules;
use super::numbers::{add, convert, money, share, small, sub, value};
use super::words::{Day, Id, Name, Reason};

/// An open lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Id of the trade that opened it.
    pub origin: Id,
    /// Remaining quantity.
    pub quantity: i128,
    /// Remaining cost; of a short lot remaining proceeds.
    pub cost: i128,
    /// The same in base currency.
    pub base_cost: i128,
    /// Its price.
    pub price: i128,
    /// From when it is held.
    pub acquired: Day,
    /// Whose it is.
    pub sub_account: Option<Name>,
}

/// A lot, or a part of one, on its way to another position (rule 16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Account and instrument that it arrives at.
    pub to: (Name, Name),
    /// What leaves.
    pub lot: Lot,
    /// Whether it is short.
    pub is_short: bool,
    /// Units and cost are unchanged: so is the price.
    pub keeps_price: bool,
    /// Its place in lot order among those that it leaves.
    pub at: usize,
}

/// A lot whose units an action changes, or takes as the measure for new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaled {
    /// As it stood before.
    pub lot: Lot,
    /// Units of the lot that it becomes, or gives; zero where that vanishes.
    pub units: i128,
}

/// A position's lots and totals.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Book {
    /// The side of the lots; false where there are none.
    pub is_short: bool,
    /// Open lots, in lot order: by acquired date, then by the order of opening.
    pub lots: Vec<Lot>,
    /// Realized.
    pub realized: i128,
    /// Of it long-term.
    pub realized_long: i128,
    /// Realized in base currency.
    pub realized_base: i128,
    /// Fees.
    pub fees: i128,
    /// Dividends received less paid.
    pub dividends: i128,
}

/// A part of a lot, or a whole one, that was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The lot as it stood before.
    pub lot: Lot,
    /// Its place in lot order then.
    pub at: usize,
    /// Quantity taken.
    pub quantity: i128,
    /// Cost taken.
    pub cost: i128,
    /// Base cost taken.
    pub base_cost: i128,
    /// Realized.
    pub realized: i128,
    /// Whether the lot was held long-term.
    pub is_long_term: bool,
}

/// What an item of history did to its position.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Figures {
    /// Realized.
    pub realized: i128,
    /// Of it long-term.
    pub realized_long: i128,
    /// Realized in base currency.
    pub realized_base: i128,
    /// Of it the market part; the rest is the FX part.
    pub realized_market: i128,
    /// Dividend received or paid.
    pub dividends: i128,
    /// Fees.
    pub fees: i128,
    /// The date of its place in history.
    pub date: Day,
    /// Quantity that closed lots.
    pub closed: i128,
    /// Quantity that opened or enlarged a lot.
    pub opened: i128,
    /// Cost of that.
    pub opened_cost: i128,
    /// Base cost of that.
    pub opened_base: i128,
    /// It enlarged the lot that it names.
    pub enlarges: bool,
    /// In lot order.
    pub allocations: Vec<Allocation>,
    /// What leaves for other positions.
    pub leaves: Vec<Leaving>,
    /// Of a split, a stock merger and a spin-off: all lots and their new units, in lot order.
    pub scaled: Vec<Scaled>,
    /// Parts of a spin-off's new lots that are paid out.
    pub paid: Vec<Allocation>,
    /// The rule that it breaks at its place.
    pub broken: Option<Reason>,
}

impl Figures {
    /// Sets what was realized; long-term and short-term, market and FX part are held to their ranges.
    ///
    /// # Errors
    /// `OVERFLOW`.
    pub fn realize(&mut self, realized: i128, long: i128, base: i128, rate: i128) -> Result<(), Reason> {
        (self.realized, self.realized_long, self.realized_base) = (money(realized)?, money(long)?, money(base)?);
        sub(realized, long)?;
        self.realized_market = convert(realized, rate)?;
        sub(base, self.realized_market)?;
        Ok(())
    }
}

/// What is to be closed, and at which value.
#[derive(Clone, Debug)]
pub struct Closing {
    /// Lots by their places, ascending, with the quantity of each.
    pub parts: Vec<(usize, i128)>,
    /// Under `AVERAGE` the lots whose cost is averaged, ascending.
    pub pool: Option<Vec<usize>>,
    /// Value of all of it.
    pub value: i128,
    /// The same in base currency, where it is not converted at the rate.
    pub base_value: Option<i128>,
    /// The price at which each allocation is valued; `None`: by its share of the value.
    pub price: Option<i128>,
    /// Fees that lower what is realized.
    pub fees: i128,
    /// Units of base currency for one of the instrument's.
    pub rate: i128,
    /// The date by which terms are told.
    pub date: Day,
}

impl Book {
    /// Net quantity; negative is short.
    #[must_use]
    pub fn quantity(&self) -> i128 {
        let sum: i128 = self.lots.iter().map(|lot| lot.quantity).sum();
        if self.is_short { -sum } else { sum }
    }

    /// Cost of all lots.
    #[must_use]
    pub fn cost(&self) -> i128 {
        self.lots.iter().map(|lot| lot.cost).sum()
    }

    /// Base cost of all lots.
    #[must_use]
    pub fn base_cost(&self) -> i128 {
        self.lots.iter().map(|lot| lot.base_cost).sum()
    }

    /// Puts a lot at its place in lot order: behind those that are held for as long or longer.
    pub fn open(&mut self, lot: Lot) {
        let place = self.lots.iter().filter(|other| other.acquired <= lot.acquired).count();
        self.lots.insert(place, lot);
    }

    /// Adds what an item realized to the totals.
    ///
    /// # Errors
    /// `OVERFLOW`.
    pub fn total(&mut self, figures: &Figures) -> Result<(), Reason> {
        self.realized = add(self.realized, figures.realized)?;
        self.realized_long = add(self.realized_long, figures.realized_long)?;
        sub(self.realized, self.realized_long)?;
        self.realized_base = add(self.realized_base, figures.realized_base)?;
        self.dividends = add(self.dividends, figures.dividends)?;
        Ok(())
    }

    /// Holds lots and their totals to the ranges, and forgets the side of a flat position.
    ///
    /// # Errors
    /// `OVERFLOW`.
    pub fn settle(&mut self) -> Result<(), Reason> {
        small(self.quantity())?;
        let (mut cost, mut base_cost) = (0, 0);
        for lot in &self.lots {
            small(lot.price)?;
            cost = add(cost, money(lot.cost)?)?;
            base_cost = add(base_cost, money(lot.base_cost)?)?;
        }
        self.is_short &= !self.lots.is_empty();
        Ok(())
    }

    /// Takes parts out of the lots and says what that realized. Totals are left to [`Self::total`].
    ///
    /// # Errors
    /// `OVERFLOW`.
    pub fn close(&mut self, closing: &Closing, multiplier: i128, rules: &Rules) -> Result<Figures, Reason> {
        let closed: i128 = closing.parts.iter().map(|part| part.1).sum();
        let mut allocations = self.give(closing)?;
        // Each but the last has its own value, the last the remainder.
        let (mut rest, last) = (closing.value, allocations.len() - 1);
        let (mut realized, mut long, mut base) = (0, 0, 0);
        for (number, part) in allocations.iter_mut().enumerate() {
            let worth = match closing.price {
                _ if number == last => rest,
                Some(price) => value(price, part.quantity, multiplier)?,
                None => share(closing.value, part.quantity, closed)?,
            };
            rest = sub(rest, worth)?;
            part.realized = if self.is_short { sub(part.cost, worth)? } else { sub(worth, part.cost)? };
            if number == last {
                part.realized = sub(part.realized, closing.fees)?;
            }
            part.is_long_term = is_long_term(part.lot.acquired, closing.date, self.is_short, rules);
            realized = add(realized, part.realized)?;
            long = add(long, if part.is_long_term { part.realized } else { 0 })?;
            base = add(base, part.base_cost)?;
        }
        let base_value = match closing.base_value {
            Some(value) => value,
            None => convert(closing.value, closing.rate)?,
        };
        let base = if self.is_short { sub(base, base_value)? } else { sub(base_value, base)? };
        let base = sub(base, convert(closing.fees, closing.rate)?)?;
        let mut figures = Figures { closed, allocations, ..Figures::default() };
        figures.realize(realized, long, base, closing.rate)?;
        Ok(figures)
    }

    /// Takes parts out of the lots with their cost, and says nothing of what that realizes.
    ///
    /// # Errors
    /// `OVERFLOW`.
    pub fn give(&mut self, closing: &Closing) -> Result<Vec<Allocation>, Reason> {
        let closed = closing.parts.iter().map(|part| part.1).sum();
        let allocations = match &closing.pool {
            Some(pool) => self.take_averaged(closing, pool, closed)?,
            None => self.take(closing)?,
        };
        self.lots.retain(|lot| lot.quantity > 0);
        Ok(allocations)
    }

    /// Takes each part with its share of its lot's own cost.
    fn take(&mut self, closing: &Closing) -> Result<Vec<Allocation>, Reason> {
        let mut allocations = Vec::new();
        for &(at, quantity) in &closing.parts {
            let lot = &mut self.lots[at];
            let before = lot.clone();
            let (cost, base_cost) =
                (share(lot.cost, quantity, lot.quantity)?, share(lot.base_cost, quantity, lot.quantity)?);
            lot.quantity -= quantity;
            (lot.cost, lot.base_cost) = (sub(lot.cost, cost)?, sub(lot.base_cost, base_cost)?);
            allocations.push(Allocation {
                lot: before,
                at,
                quantity,
                cost,
                base_cost,
                realized: 0,
                is_long_term: false,
            });
        }
        Ok(allocations)
    }

    /// Takes the parts with their share of the pool's cost, and states the costs of what remains in the pool anew.
    fn take_averaged(&mut self, closing: &Closing, pool: &[usize], closed: i128) -> Result<Vec<Allocation>, Reason> {
        let whole: i128 = pool.iter().map(|at| self.lots[*at].quantity).sum();
        let cost: i128 = pool.iter().map(|at| self.lots[*at].cost).sum();
        let base_cost: i128 = pool.iter().map(|at| self.lots[*at].base_cost).sum();
        let (cost_taken, base_taken) = (share(cost, closed, whole)?, share(base_cost, closed, whole)?);
        let mut allocations = Vec::new();
        let mut before = 0;
        for &(at, quantity) in &closing.parts {
            let lot = self.lots[at].clone();
            let after = before + quantity;
            allocations.push(Allocation {
                lot,
                at,
                quantity,
                cost: between(cost_taken, before, after, closed)?,
                base_cost: between(base_taken, before, after, closed)?,
                realized: 0,
                is_long_term: false,
            });
            self.lots[at].quantity -= quantity;
            before = after;
        }
        let mut before = 0;
        for &at in pool {
            let after = before + self.lots[at].quantity;
            if after > before {
                self.lots[at].cost = between(sub(cost, cost_taken)?, before, after, whole - closed)?;
                self.lots[at].base_cost = between(sub(base_cost, base_taken)?, before, after, whole - closed)?;
            }
            before = after;
        }
        Ok(allocations)
    }
}

/// What lies between two cumulated quantities: `share(total, after, whole) - share(total, before, whole)`.
fn between(total: i128, before: i128, after: i128, whole: i128) -> Result<i128, Reason> {
    let until = |quantity: i128| if quantity == 0 { Ok(0) } else { share(total, quantity, whole) };
    sub(until(after)?, until(before)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive::numbers::ONE;

    const E16: i128 = ONE * ONE;

    fn lot(origin: &str, quantity: i128, cost: i128, acquired: Day) -> Lot {
        Lot {
            origin: origin.into(),
            quantity: quantity * ONE,
            cost,
            base_cost: cost * 2,
            price: ONE,
            acquired,
            sub_account: None,
        }
    }

    fn closing(parts: Vec<(usize, i128)>, value: i128) -> Closing {
        Closing { parts, pool: None, value, base_value: None, price: None, fees: 0, rate: 2 * ONE, date: 10 }
    }

    #[test]
    fn lot_order_is_by_acquired_date_then_by_opening() {
        let mut book = Book::default();
        for (origin, acquired) in [("a", 5), ("b", 3), ("c", 5), ("d", 4)] {
            book.open(lot(origin, 1, 0, acquired));
        }
        let origins: Vec<&str> = book.lots.iter().map(|lot| &*lot.origin).collect();
        assert_eq!(origins, ["b", "d", "a", "c"]);
    }

    /// Three pieces that cost 100: one takes 33.3..., two times; the last one takes the remainder.
    #[test]
    fn the_last_share_takes_the_remainder() {
        let mut book = Book { lots: vec![lot("a", 3, 100, 0)], ..Book::default() };
        let costs: Vec<i128> = (0..3)
            .map(|_| {
                let figures = book.close(&closing(vec![(0, ONE)], 50), ONE, &Rules::DEFAULT).unwrap();
                assert_eq!(figures.realized, 50 - figures.allocations[0].cost);
                figures.allocations[0].cost
            })
            .collect();
        // 100/3 = 33; of the 67 for two, a half is 33.5: to the even 34; 33 is left.
        assert_eq!(costs, [33, 34, 33]);
        assert!(book.lots.is_empty());
    }

    /// Average cost: 10 at 1 and 30 at 2 cost 70; 20 of 40 take 35: ten of each lot, 17.5 and 17.5.
    #[test]
    fn average_cost_is_that_of_the_pool() {
        let mut book = Book { lots: vec![lot("a", 10, 10 * E16, 0), lot("b", 30, 60 * E16, 1)], ..Book::default() };
        let mut what = closing(vec![(0, 10 * ONE), (1, 10 * ONE)], 100 * E16);
        what.pool = Some(vec![0, 1]);
        let figures = book.close(&what, ONE, &Rules::DEFAULT).unwrap();
        assert_eq!(figures.realized, 65 * E16);
        let costs: Vec<i128> = figures.allocations.iter().map(|part| part.cost).collect();
        assert_eq!(costs, [175 * E16 / 10, 175 * E16 / 10]);
        assert_eq!((book.lots[0].quantity, book.lots[0].cost), (20 * ONE, 35 * E16));
        // Base cost is 140, of which 70 are taken; the value is 200 at a rate of two.
        assert_eq!((figures.realized_base, figures.realized_market), (130 * E16, 130 * E16));
    }

    /// Bought at a rate of 2, sold at 2: no FX part. Sold at a rate of 3: the cost's gain of one is the FX part.
    #[test]
    fn market_and_fx_part() {
        for (rate, base, fx) in [(2, 40, 0), (3, 160, 100)] {
            let mut book = Book { lots: vec![lot("a", 10, 100 * E16, 0)], ..Book::default() };
            let what = Closing { rate: rate * ONE, ..closing(vec![(0, 10 * ONE)], 120 * E16) };
            let figures = book.close(&what, ONE, &Rules::DEFAULT).unwrap();
            assert_eq!(figures.realized, 20 * E16);
            assert_eq!(figures.realized_base, base * E16);
            assert_eq!(figures.realized_base - figures.realized_market, fx * E16);
        }
    }
}
