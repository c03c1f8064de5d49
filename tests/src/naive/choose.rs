//! Which lots of the naive model a closing part takes (rules 5 and 6).

use std::cmp::Reverse;

use num_bigint::BigInt;

use super::holding::is_long_term;
use super::in_force::{Method, Rules};
use super::lots::{Book, Lot};
use super::words::{Day, Id, LOT_TOO_SMALL, Name, Reason, SUB_ACCOUNT_OVERSELL, UNKNOWN_LOT};

/// What is asked of the lots.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Quantity to close; the position holds as much.
    pub quantity: i128,
    /// Something is left to open the other side.
    pub flips: bool,
    /// The price that `MIN_TAX` ranks by.
    pub price: i128,
    /// The date by which it tells long-term from short-term.
    pub date: Day,
    /// The lot that is named.
    pub lot: Option<&'a Id>,
    /// The sub-account whose lots are taken; `None`: all lots.
    pub scope: Option<Option<Name>>,
}

/// What is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Lots by their places, ascending, with the quantity of each.
    pub parts: Vec<(usize, i128)>,
    /// Under `AVERAGE` the lots whose cost is averaged, ascending.
    pub pool: Option<Vec<usize>>,
    /// The rule that is broken by it; then the parts are what is taken where acceptance is final.
    pub broken: Option<Reason>,
}

/// The places of lots in the order in which the method takes them.
fn ranked(book: &Book, rules: &Rules, wanted: &Wanted<'_>, mut places: Vec<usize>) -> Vec<usize> {
    let lot = |place: usize| -> &Lot { &book.lots[place] };
    // What a unit of the lot gains at the price.
    let gain = |place: usize| {
        if book.is_short { lot(place).price - wanted.price } else { wanted.price - lot(place).price }
    };
    let is_long = |place: usize| is_long_term(lot(place).acquired, wanted.date, book.is_short, rules);
    let reversed = book.is_short && rules.short_rank_is_result;
    // Sorting keeps the lot order where ranks are equal.
    places.sort_unstable();
    match (rules.method, rules.tax_rates) {
        (Method::Fifo | Method::Average, _) => {}
        (Method::Lifo, _) => places.reverse(),
        (Method::Hifo, _) if !reversed => places.sort_by_key(|place| Reverse(lot(*place).price)),
        (Method::Lofo, _) if reversed => places.sort_by_key(|place| Reverse(lot(*place).price)),
        (Method::Hifo | Method::Lofo, _) => places.sort_by_key(|place| lot(*place).price),
        (Method::MinTax, None) => places.sort_by_key(|place| match gain(*place) {
            loss if loss < 0 => (0, loss),
            gain if is_long(*place) => (1, gain),
            gain => (2, gain),
        }),
        (Method::MinTax, Some((short, long))) => {
            places.sort_by_cached_key(|place| BigInt::from(gain(*place)) * if is_long(*place) { long } else { short });
        }
    }
    places
}

/// Takes from the places in turn until the quantity is there.
fn fill(book: &Book, places: &[usize], mut quantity: i128) -> Vec<(usize, i128)> {
    let mut parts = Vec::new();
    for &place in places {
        let part = quantity.min(book.lots[place].quantity);
        if part > 0 {
            parts.push((place, part));
        }
        quantity -= part;
    }
    assert_eq!(quantity, 0, "the position holds less than is closed");
    parts.sort_unstable();
    parts
}

/// Chooses the lots. It always chooses; what is broken by it is said.
#[must_use]
pub fn choose(book: &Book, rules: &Rules, wanted: &Wanted<'_>) -> Choice {
    let all: Vec<usize> = (0..book.lots.len()).collect();
    let own: Vec<usize> = match wanted.scope {
        None => all.clone(),
        Some(name) => all.iter().copied().filter(|place| book.lots[*place].sub_account == name).collect(),
    };
    let mut broken = None;
    if let Some(name) = wanted.lot {
        let named = own.iter().copied().find(|place| book.lots[*place].origin == *name);
        match named {
            _ if wanted.flips => broken = Some(LOT_TOO_SMALL),
            None => broken = Some(UNKNOWN_LOT),
            Some(place) if book.lots[place].quantity < wanted.quantity => broken = Some(LOT_TOO_SMALL),
            Some(place) => return Choice { parts: vec![(place, wanted.quantity)], pool: None, broken },
        }
    }
    let averages = rules.method == Method::Average;
    let held: i128 = own.iter().map(|place| book.lots[*place].quantity).sum();
    if held >= wanted.quantity {
        let parts = fill(book, &ranked(book, rules, wanted, own.clone()), wanted.quantity);
        return Choice { parts, pool: averages.then_some(own), broken };
    }
    // The sub-account first, the rest from the others by the method.
    let others = all.iter().copied().filter(|place| !own.contains(place)).collect();
    let mut places = own;
    places.extend(ranked(book, rules, wanted, others));
    let parts = fill(book, &places, wanted.quantity);
    Choice { parts, pool: averages.then_some(all), broken: broken.or(Some(SUB_ACCOUNT_OVERSELL)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lots a, b, c, ... at these prices, one piece each, one day after the other.
    fn book(prices: &[i128], is_short: bool) -> Book {
        let lots = prices.iter().zip("abcdef".chars()).enumerate().map(|(day, (price, name))| Lot {
            origin: name.to_string().into(),
            quantity: 1,
            cost: 0,
            base_cost: 0,
            price: *price,
            acquired: day as Day,
            sub_account: None,
        });
        Book { is_short, lots: lots.collect(), ..Book::default() }
    }

    /// The whole order in which the lots go: by taking one, two, three of them.
    fn order(book: &Book, rules: &Rules, price: i128, date: Day) -> String {
        let mut order = Vec::new();
        for quantity in 1..=book.lots.len() as i128 {
            let wanted = Wanted { quantity, flips: false, price, date, lot: None, scope: None };
            let choice = choose(book, rules, &wanted);
            assert_eq!(choice.broken, None);
            let new = choice.parts.iter().find(|part| !order.contains(&part.0)).expect("one more").0;
            order.push(new);
        }
        order.iter().map(|place| book.lots[*place].origin.to_string()).collect()
    }

    #[test]
    fn each_method_has_its_order() {
        let rules = |method| Rules { method, long_term_days: Some(1), ..Rules::DEFAULT };
        let long = book(&[10, 30, 20, 30, 10], false);
        for (method, wanted) in [
            (Method::Fifo, "abcde"),
            (Method::Lifo, "edcba"),
            (Method::Hifo, "bdcae"),
            (Method::Lofo, "aecbd"),
            (Method::Average, "abcde"),
            // At 25 on day 4: losses b and d (5 each), long-term gains c (held since day 2: 4 >= 2 + 2) and a, then e.
            (Method::MinTax, "bdcae"),
        ] {
            assert_eq!(order(&long, &rules(method), 25, 4), wanted, "{method:?}");
        }
        let short = book(&[10, 30, 20], true);
        let result = |method| Rules { short_rank_is_result: true, ..rules(method) };
        assert_eq!(order(&short, &rules(Method::Hifo), 0, 4), "bca", "the greatest gain first");
        assert_eq!(order(&short, &rules(Method::Lofo), 0, 4), "acb");
        assert_eq!(order(&short, &result(Method::Hifo), 0, 4), "acb", "the smallest gain first");
        assert_eq!(order(&short, &result(Method::Lofo), 0, 4), "bca");
        // Covering at 15: a loses 5; b and c gain 15 and 5, always short-term.
        assert_eq!(order(&short, &rules(Method::MinTax), 15, 4), "acb");
    }

    #[test]
    fn least_tax_first_where_there_are_rates() {
        // At 25 on day 4, long-term after one day: gains a 15, c 5, e 15 (short-term), losses b -5, d -5 (short-term).
        let book = book(&[10, 30, 20, 30, 10], false);
        let rules = Rules {
            method: Method::MinTax,
            long_term_days: Some(1),
            tax_rates: Some((40_000_000, 20_000_000)),
            ..Rules::DEFAULT
        };
        // Taxes a unit: a 3, b -1, c 1, d -2, e 6.
        assert_eq!(order(&book, &rules, 25, 4), "dbcae");
        let none_on_long = Rules { tax_rates: Some((40_000_000, 0)), ..rules };
        // a 0, b 0, c 0, d -2, e 6: ties in lot order.
        assert_eq!(order(&book, &none_on_long, 25, 4), "dabce");
    }

    #[test]
    fn a_named_lot_wins() {
        let mut book = book(&[10, 30], false);
        book.lots[1].quantity = 5;
        let name: Id = "b".into();
        let gone: Id = "z".into();
        let base = Wanted { quantity: 5, flips: false, price: 0, date: 0, lot: Some(&name), scope: None };
        let choice = choose(&book, &Rules::DEFAULT, &base);
        assert_eq!((choice.parts, choice.broken), (vec![(1, 5)], None));
        let choice = choose(&book, &Rules::DEFAULT, &Wanted { quantity: 6, ..base.clone() });
        assert_eq!((choice.parts, choice.broken), (vec![(0, 1), (1, 5)], Some(LOT_TOO_SMALL)));
        let choice = choose(&book, &Rules::DEFAULT, &Wanted { lot: Some(&gone), ..base.clone() });
        assert_eq!((choice.parts, choice.broken), (vec![(0, 1), (1, 4)], Some(UNKNOWN_LOT)));
        let choice = choose(&book, &Rules::DEFAULT, &Wanted { flips: true, quantity: 6, lot: Some(&gone), ..base });
        assert_eq!(choice.broken, Some(LOT_TOO_SMALL), "whichever lot it names");
    }

    #[test]
    fn a_sub_account_takes_its_own_lots() {
        let mut book = book(&[10, 30, 20, 40], false);
        (book.lots[1].sub_account, book.lots[3].sub_account) = (Some(1), Some(1));
        let rules = Rules { method: Method::Lifo, ..Rules::DEFAULT };
        let own = |quantity, name| {
            let wanted = Wanted { quantity, flips: false, price: 0, date: 0, lot: None, scope: Some(name) };
            let choice = choose(&book, &rules, &wanted);
            (choice.parts, choice.broken)
        };
        assert_eq!(own(1, Some(1)), (vec![(3, 1)], None));
        assert_eq!(own(1, None), (vec![(2, 1)], None), "trades without one are a sub-account of their own");
        // Its own two and, as it is final, the last of the others.
        assert_eq!(own(3, Some(1)), (vec![(1, 1), (2, 1), (3, 1)], Some(SUB_ACCOUNT_OVERSELL)));
        let name: Id = "a".into();
        let named = Wanted { quantity: 1, flips: false, price: 0, date: 0, lot: Some(&name), scope: Some(Some(1)) };
        assert_eq!(choose(&book, &rules, &named).broken, Some(UNKNOWN_LOT));
    }
}
