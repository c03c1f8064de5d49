//! What must hold of every history, whatever the book says in detail. The comparisons hold the engine to the model; this
//! holds the model to these.

use lotbook_perf::rng::Rng;
use lotbook_tests::naive::actions::{Action, Kind};
use lotbook_tests::naive::history::{Item, book_all, book_item};
use lotbook_tests::naive::in_force::{Contract, Method};
use lotbook_tests::naive::lots::Book;
use lotbook_tests::naive::numbers::ONE;
use lotbook_tests::naive::trade::form;
use lotbook_tests::naive::words::{Instrument, OVERFLOW};

use super::draw::{Draw, Flavour};
use super::steps::Step;

const METHODS: [Method; 6] = [Method::Fifo, Method::Lifo, Method::Hifo, Method::Lofo, Method::Average, Method::MinTax];

/// Contracts, terms and items of a drawn position, in chronological order.
fn parts(steps: &[Step]) -> (Vec<Contract>, Instrument, Vec<Item>) {
    let (mut contracts, mut terms) = (Vec::new(), Instrument { multiplier: ONE, currency: None });
    let mut items = Vec::new();
    for step in steps {
        match step {
            Step::Contract(contract) => contracts.push(*contract),
            Step::Instrument(0, given) => terms = Instrument { currency: None, ..*given },
            Step::Trade(trade) if form(trade, &terms).is_ok() => items.push(Item::Trade(trade.clone())),
            Step::Action(action) if action.form().is_ok() => items.push(Item::Action(0, action.clone())),
            _ => {}
        }
    }
    items.retain(|item| !matches!(item, Item::Action(_, action) if !action.concerns(0, &contracts)));
    items.sort_by_cached_key(Item::key);
    (contracts, terms, items)
}

/// Realized less what the open lots have cost: what is left when every lot is worth nothing. At any mark the same value
/// of the position is added to it.
fn worth(book: &Book) -> (i128, i128, i128) {
    let sign = if book.is_short { -1 } else { 1 };
    (book.quantity(), book.realized - sign * book.cost(), book.dividends)
}

/// Realized and unrealized amounts together, quantity and dividends hang on no method, after every item.
#[test]
fn realized_and_unrealized_are_the_same_by_every_method() {
    let histories = if crate::support::long_form() { 30_000 } else { 600 };
    let (mut items_seen, mut whole) = (0, 0);
    for seed in 0..histories {
        let flavour = [Flavour::Plain, Flavour::Fractions][seed as usize % 2];
        let history = Draw::new(Rng::new(seed, 20), flavour, false).position(Method::Fifo, 60);
        let (contracts, terms, items) = parts(&history);
        let by = |method| -> Vec<Contract> {
            let of = |contract: &Contract| Contract {
                rules: lotbook_tests::naive::in_force::Rules { method, ..contract.rules },
                ..*contract
            };
            contracts.iter().map(of).collect()
        };
        let rules: Vec<Vec<Contract>> = METHODS.into_iter().map(by).collect();
        let mut books = vec![Book::default(); METHODS.len()];
        let mut complete = true;
        for item in &items {
            let booked: Vec<_> = books
                .iter()
                .zip(&rules)
                .map(|(book, contracts)| match book_item(book, item, contracts, &terms) {
                    Ok(None) => Some(book.clone()),
                    Ok(Some((after, figures))) if figures.broken != Some(OVERFLOW) => Some(after),
                    Ok(Some(_)) | Err(_) => None,
                })
                .collect();
            // What leaves a range under one method is left out of all.
            let Some(after) = booked.into_iter().collect::<Option<Vec<Book>>>() else {
                complete = false;
                continue;
            };
            books = after;
            for (book, method) in books.iter().zip(METHODS) {
                assert_eq!(worth(book), worth(&books[0]), "seed {seed} {method:?} behind {:?}", item.key());
                assert!(book.lots.iter().all(|lot| lot.quantity > 0), "seed {seed} {method:?}: an empty lot");
            }
            items_seen += 1;
        }
        whole += u32::from(complete);
    }
    println!("{items_seen} items in {histories} histories, {whole} of them whole");
    assert!(items_seen > histories * 20);
}

/// A split and its inverse leave quantities, costs and dates as they were.
#[test]
fn a_split_and_its_inverse_leave_nothing_behind() {
    let mut lots_seen = 0;
    for seed in 0..400 {
        let history = Draw::new(Rng::new(seed, 21), Flavour::Fractions, false).position(Method::Average, 40);
        let (contracts, terms, items) = parts(&history);
        let items: Vec<Item> = items.into_iter().filter(|item| matches!(item, Item::Trade(_))).collect();
        let Ok(before) = book_all(items, &contracts, &terms) else { continue };
        for (numerator, denominator) in [(2, 1), (7, 1), (1_000, 1)] {
            let of = |(numerator, denominator)| {
                let kind = Kind::Split { numerator, denominator, cash_in_lieu: None };
                Item::Action(0, Action { id: "x".into(), hash: 0, instrument: 0, kind, date: 30_000, fx_to_base: ONE })
            };
            let mut book = before.book.clone();
            for item in [of((numerator, denominator)), of((denominator, numerator))] {
                if let Some((after, _)) = book_item(&book, &item, &contracts, &terms).expect("never refused") {
                    book = after;
                }
            }
            assert_eq!(worth(&book), worth(&before.book), "seed {seed}");
            for (lot, was) in book.lots.iter().zip(&before.book.lots) {
                assert_eq!((lot.quantity, lot.cost, lot.base_cost), (was.quantity, was.cost, was.base_cost));
                assert_eq!((&lot.origin, lot.acquired, lot.sub_account), (&was.origin, was.acquired, was.sub_account));
                lots_seen += 1;
            }
        }
    }
    assert!(lots_seen > 1_000, "{lots_seen} lots");
}
