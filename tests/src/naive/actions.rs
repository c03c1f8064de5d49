//! Corporate actions and resets on one position of the naive model (rules 12 and 13).

use super::choose::{Wanted, choose};
use super::holding::is_long_term;
use super::in_force::{Contract, Rules, in_force};
use super::leading::{self, Terms};
use super::lots::{Book, Closing, Figures, Lot, Scaled};
use super::numbers::{ONE, add, convert, fraction, money, small, sub, unit_price, value};
use super::words::{BAD_DATE, BAD_PRICE, BAD_RATE, BAD_TERMS, Day, Id, Instrument, Name, Reason};

/// Largest number of a split.
pub(super) const TERM_MAX: i128 = 1_000_000_000;

/// What an action does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// New units for old ones; the fraction above whole ones may be paid out.
    Split {
        /// New units.
        numerator: i128,
        /// Old units.
        denominator: i128,
        /// Price of a new unit at which the fraction is paid out.
        cash_in_lieu: Option<i128>,
    },
    /// A distribution that lowers the cost.
    ReturnOfCapital {
        /// Cash a unit.
        cash: i128,
    },
    /// Every unit is closed at this value.
    Merger {
        /// Cash a unit.
        cash: i128,
    },
    /// Units of another instrument, and cash, for the old ones.
    StockMerger {
        /// The other instrument.
        to: Name,
        /// New units for old ones.
        terms: Terms,
        /// Cash an old unit.
        cash: i128,
    },
    /// Units of another instrument beside the old ones.
    SpinOff {
        /// The other instrument.
        to: Name,
        /// New units for held ones.
        terms: Terms,
        /// The part of the cost that goes with them, at 10^-8.
        fraction: i128,
    },
    /// The instrument goes on as another one.
    SymbolChange {
        /// The other instrument.
        to: Name,
    },
    /// Cash on what is held at the end of the record date.
    Dividend {
        /// Cash a unit.
        cash: i128,
        /// The record date, where it is not the effective date.
        record_date: Option<Day>,
    },
    /// Open lots are struck anew.
    Reset {
        /// At this price.
        price: i128,
        /// Only where this contract covers the position.
        contract: Option<Name>,
    },
}

/// A corporate action or a reset of an instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its id.
    pub id: Id,
    /// The hash of namespace and id.
    pub hash: u128,
    /// The instrument.
    pub instrument: Name,
    /// What it does.
    pub kind: Kind,
    /// Effective date.
    pub date: Day,
    /// Units of base currency for one of the instrument's.
    pub fx_to_base: i128,
}

impl Action {
    /// The first thing that is wrong with its numbers.
    ///
    /// # Errors
    /// A reason.
    pub fn form(&self) -> Result<(), Reason> {
        let (terms, cash, record) = match self.kind {
            Kind::Split { numerator, denominator, cash_in_lieu } => {
                (vec![numerator, denominator], cash_in_lieu.unwrap_or(0), None)
            }
            Kind::ReturnOfCapital { cash } | Kind::Merger { cash } => (vec![], cash, None),
            Kind::StockMerger { terms: Terms { numerator, denominator, cash_in_lieu }, cash, .. } => {
                (vec![numerator, denominator], cash.min(cash_in_lieu.unwrap_or(0)), None)
            }
            Kind::SpinOff { terms: Terms { numerator, denominator, cash_in_lieu }, .. } => {
                (vec![numerator, denominator], cash_in_lieu.unwrap_or(0), None)
            }
            Kind::SymbolChange { .. } => (vec![], 0, None),
            Kind::Dividend { cash, record_date } => (vec![], cash, record_date),
            Kind::Reset { price, .. } => (vec![], price, None),
        };
        let checks = [
            (terms.iter().any(|term| !(1..=TERM_MAX).contains(term)), BAD_TERMS),
            (matches!(self.kind, Kind::SpinOff { fraction, .. } if !(0..=ONE).contains(&fraction)), BAD_TERMS),
            (self.leads_to() == Some(self.instrument), BAD_TERMS),
            (cash < 0, BAD_PRICE),
            (self.fx_to_base <= 0, BAD_RATE),
            (record.is_some_and(|record| record > self.date), BAD_DATE),
        ];
        checks.into_iter().find(|check| check.0).map_or(Ok(()), |check| Err(check.1))
    }

    /// The date of its place in history.
    #[must_use]
    pub fn place(&self) -> Day {
        match self.kind {
            Kind::Dividend { record_date: Some(record), .. } => record,
            _ => self.date,
        }
    }

    /// The part of its date, and its rank there.
    #[must_use]
    pub fn rank(&self) -> (u8, i64) {
        match self.kind {
            Kind::Split { .. } => (0, 0),
            Kind::ReturnOfCapital { .. } => (0, 1),
            Kind::SpinOff { .. } => (0, 2),
            Kind::Merger { .. } | Kind::StockMerger { .. } => (0, 3),
            Kind::SymbolChange { .. } => (0, 4),
            Kind::Dividend { .. } => (2, 5),
            Kind::Reset { .. } => (3, 6),
        }
    }

    /// The other instrument that it leads to.
    #[must_use]
    pub fn leads_to(&self) -> Option<Name> {
        match self.kind {
            Kind::StockMerger { to, .. } | Kind::SpinOff { to, .. } | Kind::SymbolChange { to } => Some(to),
            _ => None,
        }
    }

    /// The contract whose positions a reset strikes.
    #[must_use]
    pub fn named_contract(&self) -> Option<Name> {
        match self.kind {
            Kind::Reset { contract, .. } => contract,
            _ => None,
        }
    }

    /// Whether it concerns the positions of this account.
    #[must_use]
    pub fn concerns(&self, account: Name, contracts: &[Contract]) -> bool {
        match self.kind {
            Kind::Reset { contract: Some(name), .. } => {
                in_force(contracts, account, self.instrument, Some(name), self.date).is_ok()
            }
            _ => true,
        }
    }
}

/// Books an action on an account's position that is not flat.
///
/// # Errors
/// `OVERFLOW`: it is passed over.
pub fn book(
    before: &Book,
    account: Name,
    action: &Action,
    rules: &Rules,
    instrument: &Instrument,
) -> Result<(Book, Figures), Reason> {
    let mut after = before.clone();
    let mut figures = match action.kind {
        Kind::Split { numerator, denominator, cash_in_lieu } => {
            let mut gains = Gains::of(&after, action, rules);
            let scaled = scale(&mut after, &mut gains, numerator, denominator)?;
            let mut figures = gains.figures(action.fx_to_base)?;
            let part = after.quantity().abs() % ONE;
            if let Some(price) = cash_in_lieu.filter(|_| part > 0) {
                after.settle()?;
                figures = close(&mut after, action, part, price, rules, instrument)?;
            }
            figures.scaled = scaled;
            figures
        }
        Kind::ReturnOfCapital { cash } => {
            let mut gains = Gains::of(&after, action, rules);
            return_of_capital(&mut after, &mut gains, action, cash, instrument)?;
            gains.figures(action.fx_to_base)?
        }
        Kind::StockMerger { to, ref terms, cash } => {
            leading::merger(&mut after, account, action, to, terms, cash, rules, instrument)?
        }
        Kind::SpinOff { to, ref terms, fraction } => {
            leading::spin_off(&mut after, account, action, to, terms, fraction, rules, instrument)?
        }
        Kind::SymbolChange { to } => leading::symbol_change(&mut after, account, to),
        Kind::Merger { cash } => {
            let all = after.quantity().abs();
            close(&mut after, action, all, cash, rules, instrument)?
        }
        Kind::Dividend { cash, .. } => Figures { dividends: money(cash * after.quantity())?, ..Figures::default() },
        Kind::Reset { price, .. } => reset(&mut after, action, price, rules, instrument)?,
    };
    after.total(&figures)?;
    after.settle()?;
    figures.broken = None;
    Ok((after, figures))
}

/// What lots gain, lot by lot, and its parts.
pub(super) struct Gains<'a> {
    is_short: bool,
    place: Day,
    rules: &'a Rules,
    realized: i128,
    long: i128,
    base: i128,
}

impl<'a> Gains<'a> {
    pub(super) fn of(book: &Book, action: &Action, rules: &'a Rules) -> Self {
        Self { is_short: book.is_short, place: action.place(), rules, realized: 0, long: 0, base: 0 }
    }

    /// A lot of this age gains so much where it is long, and loses it where it is short.
    pub(super) fn gain(&mut self, acquired: Day, amount: i128, base: i128) -> Result<(), Reason> {
        let signed = |amount: i128| if self.is_short { -amount } else { amount };
        let (amount, base) = (signed(amount), signed(base));
        self.realized = add(self.realized, amount)?;
        if is_long_term(acquired, self.place, self.is_short, self.rules) {
            self.long = add(self.long, amount)?;
        }
        self.base = add(self.base, base)?;
        Ok(())
    }

    pub(super) fn figures(&self, rate: i128) -> Result<Figures, Reason> {
        let mut figures = Figures::default();
        figures.realize(self.realized, self.long, self.base, rate)?;
        Ok(figures)
    }
}

/// Closes a quantity at a price by the method in force, over all lots.
pub(super) fn close(
    book: &mut Book,
    action: &Action,
    quantity: i128,
    price: i128,
    rules: &Rules,
    instrument: &Instrument,
) -> Result<Figures, Reason> {
    let wanted = Wanted { quantity, flips: false, price, date: action.place(), lot: None, scope: None };
    let choice = choose(book, rules, &wanted);
    let closing = Closing {
        parts: choice.parts,
        pool: choice.pool,
        value: value(price, quantity, instrument.multiplier)?,
        base_value: None,
        price: Some(price),
        fees: 0,
        rate: action.fx_to_base,
        date: action.place(),
    };
    book.close(&closing, instrument.multiplier, rules)
}

/// New units for old ones: costs stay, what vanishes gives its cost on. All lots are given back as they were, each with
/// its new units.
pub(super) fn scale(
    book: &mut Book,
    gains: &mut Gains<'_>,
    numerator: i128,
    denominator: i128,
) -> Result<Vec<Scaled>, Reason> {
    let (mut held, mut given) = (0, 0);
    let (mut kept, mut scaled): (Vec<Lot>, Vec<Scaled>) = Default::default();
    // Cost of lots that vanished, for the next one that does not.
    let (mut cost, mut base_cost) = (0, 0);
    for lot in &book.lots {
        held += lot.quantity;
        let until = held * numerator / denominator;
        let mut new = lot.clone();
        new.quantity = small(until - given)?;
        (cost, base_cost) = (add(cost, lot.cost)?, add(base_cost, lot.base_cost)?);
        scaled.push(Scaled { lot: lot.clone(), units: new.quantity });
        if new.quantity > 0 {
            new.price = small(fraction(lot.price, denominator, numerator)?)?;
            (new.cost, new.base_cost, cost, base_cost) = (cost, base_cost, 0, 0);
            kept.push(new);
        }
        given = until;
    }
    match kept.last_mut() {
        Some(last) => (last.cost, last.base_cost) = (add(last.cost, cost)?, add(last.base_cost, base_cost)?),
        None => {
            for lot in &book.lots {
                gains.gain(lot.acquired, -lot.cost, -lot.base_cost)?;
            }
        }
    }
    book.lots = kept;
    Ok(scaled)
}

/// Cash lowers the cost of each lot; what is beyond it is gained.
fn return_of_capital(
    book: &mut Book,
    gains: &mut Gains<'_>,
    action: &Action,
    cash: i128,
    instrument: &Instrument,
) -> Result<(), Reason> {
    for lot in &mut book.lots {
        let amount = money(cash * lot.quantity)?;
        let (cost, base_cost) = (sub(lot.cost, amount)?, sub(lot.base_cost, convert(amount, action.fx_to_base)?)?);
        gains.gain(lot.acquired, (-cost).max(0), (-base_cost).max(0))?;
        (lot.cost, lot.base_cost) = (cost.max(0), base_cost.max(0));
        lot.price = unit_price(lot.cost, lot.quantity, instrument.multiplier)?;
    }
    Ok(())
}

/// The cash of a stock merger: with the value of a new unit no more of it is gained than there is gain; without, it is
/// a return of capital.
pub(super) fn take_cash(
    book: &mut Book,
    gains: &mut Gains<'_>,
    action: &Action,
    cash: i128,
    terms: &Terms,
    instrument: &Instrument,
) -> Result<(), Reason> {
    let Some(price) = terms.cash_in_lieu else {
        return return_of_capital(book, gains, action, cash, instrument);
    };
    let (mut held, mut given) = (0, 0);
    for lot in &mut book.lots {
        held += lot.quantity;
        let until = held * terms.numerator / terms.denominator;
        let (worth, cash) = (money(price * small(until - given)?)?, money(cash * lot.quantity)?);
        given = until;
        let (base_worth, base_cash) = (convert(worth, action.fx_to_base)?, convert(cash, action.fx_to_base)?);
        let part = |worth: i128, cash: i128, cost: i128| -> Result<i128, Reason> {
            Ok(sub(add(worth, cash)?, cost)?.min(cash).max(0))
        };
        let (gained, base_gained) = (part(worth, cash, lot.cost)?, part(base_worth, base_cash, lot.base_cost)?);
        gains.gain(lot.acquired, gained, base_gained)?;
        lot.cost = add(sub(lot.cost, cash)?, gained)?;
        lot.base_cost = add(sub(lot.base_cost, base_cash)?, base_gained)?;
    }
    Ok(())
}

fn reset(
    book: &mut Book,
    action: &Action,
    price: i128,
    rules: &Rules,
    instrument: &Instrument,
) -> Result<Figures, Reason> {
    let mut gains = Gains::of(book, action, rules);
    for lot in &mut book.lots {
        let cost = value(price, lot.quantity, instrument.multiplier)?;
        let base_cost = convert(cost, action.fx_to_base)?;
        gains.gain(lot.acquired, sub(cost, lot.cost)?, sub(base_cost, lot.base_cost)?)?;
        (lot.cost, lot.base_cost, lot.price) = (cost, base_cost, price);
    }
    gains.figures(action.fx_to_base)
}

#[cfg(test)]
mod tests {
    use super::*;

    const E16: i128 = ONE * ONE;
    const PLAIN: Instrument = Instrument { multiplier: ONE, currency: None };

    fn lot(origin: &str, quantity: i128, cost: i128, acquired: Day) -> Lot {
        let price = unit_price(cost, quantity, ONE).unwrap();
        Lot { origin: origin.into(), quantity, cost, base_cost: cost, price, acquired, sub_account: None }
    }

    fn position(is_short: bool) -> Book {
        Book {
            is_short,
            lots: vec![lot("a", 3 * ONE, 30 * E16, 0), lot("b", 4 * ONE, 80 * E16, 400)],
            ..Book::default()
        }
    }

    fn act(book_before: &Book, kind: Kind) -> (Book, Figures) {
        let action = Action { id: "x".into(), hash: 0, instrument: 0, kind, date: 500, fx_to_base: ONE };
        book(book_before, 0, &action, &Rules::DEFAULT, &PLAIN).unwrap()
    }

    fn lots(book: &Book) -> Vec<(i128, i128, i128)> {
        book.lots.iter().map(|lot| (lot.quantity, lot.cost, lot.price)).collect()
    }

    #[test]
    fn a_split_keeps_cost() {
        let (after, figures) = act(&position(false), Kind::Split { numerator: 3, denominator: 2, cash_in_lieu: None });
        // 3 become 4.5, 7 become 10.5: the second lot has 6.
        let third = |n: i128| (n * ONE * 2 + 1) / 3;
        assert_eq!(lots(&after), [(450_000_000, 30 * E16, third(10)), (6 * ONE, 80 * E16, third(20))]);
        assert_eq!(figures.realized, 0);
    }

    #[test]
    fn the_fraction_is_paid_out() {
        // 7 become 10.5, of which 0.5 of the first lot are paid at 8: 4 for cost 30 x 0.5 / 4.5 = 3.333...
        let kind = Kind::Split { numerator: 3, denominator: 2, cash_in_lieu: Some(8 * ONE) };
        let (after, figures) = act(&position(false), kind);
        let cost = (30 * E16 + 4) / 9;
        assert_eq!(figures.realized, 4 * E16 - cost);
        assert_eq!(figures.realized_long, figures.realized, "held since day 0, sold on day 500");
        assert_eq!(after.quantity(), 10 * ONE);
        assert_eq!(after.cost(), 110 * E16 - cost);
    }

    #[test]
    fn what_vanishes_gives_its_cost_on() {
        let split = |denominator| Kind::Split { numerator: 1, denominator, cash_in_lieu: None };
        let small = Book { lots: vec![lot("a", 3, 30, 0), lot("b", 1, 5, 0), lot("c", 4, 80, 400)], ..Book::default() };
        // Cumulated 3, 4, 8 over four: 0, 1, 2: the first lot vanishes.
        assert_eq!(lots(&act(&small, split(4)).0).iter().map(|l| (l.0, l.1)).collect::<Vec<_>>(), [(1, 35), (1, 80)]);
        // Over three: 1, 1, 2: the second one vanishes.
        assert_eq!(lots(&act(&small, split(3)).0).iter().map(|l| (l.0, l.1)).collect::<Vec<_>>(), [(1, 30), (1, 85)]);
        // Of 4 and 1 over four nothing is left of the last: to the one before.
        let last = Book { lots: vec![lot("a", 4, 30, 0), lot("b", 1, 5, 0)], ..Book::default() };
        assert_eq!(lots(&act(&last, split(4)).0).iter().map(|l| (l.0, l.1)).collect::<Vec<_>>(), [(1, 35)]);
        // Over nine nothing is left: the cost is lost, of which 35 long-term on day 500.
        let (after, figures) = act(&small, split(9));
        assert_eq!((after.quantity(), figures.realized, figures.realized_long), (0, -115, -35));
        let short = Book { is_short: true, ..small };
        assert_eq!(act(&short, split(9)).1.realized, 115);
    }

    #[test]
    fn a_dividend_is_on_what_is_held() {
        let kind = Kind::Dividend { cash: 2 * ONE, record_date: None };
        assert_eq!(act(&position(false), kind).0.dividends, 14 * E16);
        assert_eq!(act(&position(true), kind).0.dividends, -14 * E16, "a short pays");
    }

    #[test]
    fn a_return_of_capital_lowers_the_cost_to_zero_at_most() {
        // 12 a unit: 36 of 30, six too much; 48 of 80.
        let (after, figures) = act(&position(false), Kind::ReturnOfCapital { cash: 12 * ONE });
        assert_eq!(lots(&after), [(3 * ONE, 0, 0), (4 * ONE, 32 * E16, 8 * ONE)]);
        assert_eq!((figures.realized, figures.realized_long), (6 * E16, 6 * E16));
        assert_eq!(act(&position(true), Kind::ReturnOfCapital { cash: 12 * ONE }).1.realized, -6 * E16);
    }

    #[test]
    fn a_merger_for_cash_closes_everything() {
        let (after, figures) = act(&position(false), Kind::Merger { cash: 20 * ONE });
        assert_eq!((after.quantity(), figures.realized, figures.realized_long), (0, 30 * E16, 30 * E16));
        assert_eq!(act(&position(true), Kind::Merger { cash: 20 * ONE }).1.realized, -30 * E16);
    }

    #[test]
    fn a_reset_strikes_lots_anew() {
        let kind = Kind::Reset { price: 15 * ONE, contract: None };
        let (after, figures) = act(&position(false), kind);
        assert_eq!(lots(&after), [(3 * ONE, 45 * E16, 15 * ONE), (4 * ONE, 60 * E16, 15 * ONE)]);
        assert_eq!((figures.realized, figures.realized_long), (-5 * E16, 15 * E16));
        assert_eq!(act(&position(true), kind).1.realized, 5 * E16);
    }

    #[test]
    fn the_form_is_checked() {
        let form = |kind| Action { id: "x".into(), hash: 0, instrument: 0, kind, date: 5, fx_to_base: ONE }.form();
        assert_eq!(form(Kind::Split { numerator: 0, denominator: 1, cash_in_lieu: None }), Err(BAD_TERMS));
        assert_eq!(form(Kind::Split { numerator: 1, denominator: TERM_MAX + 1, cash_in_lieu: None }), Err(BAD_TERMS));
        assert_eq!(form(Kind::Merger { cash: -1 }), Err(BAD_PRICE));
        assert_eq!(form(Kind::Dividend { cash: 1, record_date: Some(6) }), Err(BAD_DATE));
        assert_eq!(form(Kind::Dividend { cash: 1, record_date: Some(5) }), Ok(()));
    }
}
