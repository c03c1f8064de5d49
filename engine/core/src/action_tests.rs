//! Actions on lots as tables: a lot a line, `quantity@cost` before and after. Published examples name their source.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::amount::{ONE_E16, format_e8, format_e16, parse_e8};
use crate::command::NO_PRICE;
use crate::id::{NO_NAME, TradeHash};

fn e8(text: &str) -> i64 {
    parse_e8(text, false).expect("a decimal")
}

/// `quantity@cost`, bought on days 1, 2, 3 and so on; base cost twice the cost.
fn lots(text: &str) -> Vec<Lot> {
    text.split_whitespace()
        .zip(1..)
        .map(|(lot, day)| {
            let (quantity, cost) = lot.split_once('@').expect("quantity@cost");
            let cost_e16 = Money::from(e8(cost)) * Money::from(ONE_E8);
            let quantity_e8 = e8(quantity);
            Lot {
                origin: TradeHash(day as u128),
                quantity_e8,
                cost_e16,
                base_cost_e16: cost_e16 * 2,
                price_e8: unit(cost_e16, quantity_e8, ONE_E8).expect("a price"),
                acquired: Date(day),
                sub_account: NO_NAME,
            }
        })
        .collect()
}

fn shown(lots: &[Lot]) -> String {
    let shown: Vec<String> =
        lots.iter().map(|lot| format!("{}@{}", format_e8(lot.quantity_e8), format_e16(lot.cost_e16))).collect();
    shown.join(" ")
}

fn long() -> Holding<'static> {
    Holding { is_long: true, multiplier_e8: ONE_E8, rules: &Rules::DEFAULT }
}

fn short() -> Holding<'static> {
    Holding { is_long: false, ..long() }
}

/// An action long after all lots were acquired.
fn action(kind: ActionKind) -> ActionInput {
    ActionInput { kind, effective_date: Date(100), ..ActionInput::EMPTY }
}

fn split_of(numerator: u32, denominator: u32) -> ActionInput {
    ActionInput { numerator, denominator, ..action(ActionKind::Split) }
}

fn cash_of(kind: ActionKind, cash: &str) -> ActionInput {
    ActionInput { cash_e8: e8(cash), ..action(kind) }
}

fn check(name: &str, input: &ActionInput, holding: &Holding<'_>, before: &str, after: &str, realized: &str) {
    let mut lots = lots(before);
    let gains = rewrite(input, holding, &mut lots, &mut Vec::new()).expect(name);
    assert_eq!(shown(&lots), after, "{name}");
    assert_eq!(format_e16(gains.realized_e16), realized, "{name}");
    assert_eq!(gains.base_e16, gains.realized_e16 * 2, "{name}: base costs were twice the costs");
}

#[test]
fn splits_round_the_position_once() {
    for (name, numerator, denominator, before, after, realized) in [
        ("two for one", 2, 1, "100@1000 50@600", "200@1000 100@600", "0"),
        ("three for two, halves stay", 3, 2, "55@6895", "82.5@6895", "0"),
        ("one for ten", 1, 10, "100@1000 55@600", "10@1000 5.5@600", "0"),
        // Each lot alone would lose 2/3 of the last unit; the position loses what it must.
        ("thirds", 1, 3, "1@3 1@3 1@3", "0.33333333@3 0.33333333@3 0.33333334@3", "0"),
        ("a lot vanishes", 1, 2, "0.00000001@5 1@10", "0.5@15", "0"),
        ("several in turn", 1, 4, "0.00000001@1 0.00000001@2 0.00000002@4 1@8", "0.00000001@7 0.25@8", "0"),
        ("the last gives back", 1, 2, "1@10 0.00000001@5", "0.5@15", "0"),
        ("all vanish", 1, 2, "0.00000001@5", "", "-5"),
        ("nothing happens", 7, 7, "1@10 2@20", "1@10 2@20", "0"),
    ] {
        check(name, &split_of(numerator, denominator), &long(), before, after, realized);
        let realized = realized.strip_prefix('-').unwrap_or(realized);
        check(name, &split_of(numerator, denominator), &short(), before, after, realized);
    }
}

#[test]
fn prices_follow_a_split() {
    for (price, numerator, denominator, want) in [
        ("10", 2, 1, "5"),
        ("10", 1, 3, "30"),
        ("10", 3, 1, "3.33333333"),
        ("0.00000001", 2, 1, "0"),
        ("0.00000003", 2, 1, "0.00000002"),
    ] {
        assert_eq!(split_price(e8(price), numerator, denominator).map(format_e8), Ok(want.into()));
    }
    assert_eq!(split_price(i64::MAX, 1, 2), Err(Overflow));
}

/// A split and its inverse: the identity where quantities divide.
#[test]
fn a_split_and_its_inverse() {
    for terms in [(2, 1), (3, 2), (1, 4), (7, 5)] {
        let before = lots("84@1234.5 42@99 21@7");
        let mut there = before.clone();
        rewrite(&split_of(terms.0, terms.1), &long(), &mut there, &mut Vec::new()).expect("fits");
        rewrite(&split_of(terms.1, terms.0), &long(), &mut there, &mut Vec::new()).expect("fits");
        for (lot, was) in there.iter().zip(&before) {
            let price = lot.price_e8.abs_diff(was.price_e8);
            assert!(price <= u64::from(terms.0), "informational and rounded twice");
            assert_eq!(Lot { price_e8: was.price_e8, ..*lot }, *was, "{terms:?}");
        }
        assert_eq!(there.len(), before.len());
    }
}

#[test]
fn returned_capital_lowers_the_basis() {
    let input = |cash: &str| ActionInput { fx_to_base_e8: 2 * ONE_E8, ..cash_of(ActionKind::ReturnOfCapital, cash) };
    for (name, cash, before, after, realized) in [
        ("part of the basis", "1", "100@1000 50@600", "100@900 50@550", "0"),
        ("to zero", "10", "100@1000", "100@0", "0"),
        ("beyond it", "11", "100@1000 100@1200", "100@0 100@100", "100"),
        ("nothing", "0", "100@1000", "100@1000", "0"),
    ] {
        check(name, &input(cash), &long(), before, after, realized);
        let lost = if realized == "0" { realized.into() } else { format!("-{realized}") };
        check(name, &input(cash), &short(), before, after, &lost);
    }
    let mut held = lots("100@1000");
    rewrite(&input("2.5"), &long(), &mut held, &mut Vec::new()).expect("fits");
    assert_eq!(format_e8(held[0].price_e8), "7.5", "unit(cost, quantity)");
}

/// Publication 550 (2023), "Nondividend distributions", example 1: stock for $100; a distribution of $80, then one of
/// $30, of which $20 bring the basis to zero and $10 are a long-term gain.
#[test]
fn nondividend_distributions_of_publication_550() {
    let mut held = lots("1@100");
    let input = |day, cash| ActionInput { effective_date: Date(day), ..cash_of(ActionKind::ReturnOfCapital, cash) };
    let first = rewrite(&input(1000, "80"), &long(), &mut held, &mut Vec::new()).expect("fits");
    assert_eq!((first, shown(&held)), (Gains { base_e16: 0, ..Gains::default() }, "1@20".into()));
    let second = rewrite(&input(5000, "30"), &long(), &mut held, &mut Vec::new()).expect("fits");
    assert_eq!((second.realized_e16, second.long_e16), (10 * ONE_E16, 10 * ONE_E16));
    assert_eq!(shown(&held), "1@0");
    let later = rewrite(&input(6000, "3"), &long(), &mut held, &mut Vec::new()).expect("fits");
    assert_eq!(later.long_e16, 3 * ONE_E16, "any later one is a gain as a whole");
}

/// Publication 550 (2023), "Stock dividends" and "Stock splits": one share for $45 and two new ones for each: three of
/// $15. With another one for $30: three of $10 and three of $15.
#[test]
fn stock_splits_of_publication_550() {
    check("one share", &split_of(3, 1), &long(), "1@45", "3@45", "0");
    check("two shares", &split_of(3, 1), &long(), "1@30 1@45", "3@30 3@45", "0");
    let mut held = lots("1@30 1@45");
    rewrite(&split_of(3, 1), &long(), &mut held, &mut Vec::new()).expect("fits");
    assert_eq!(held.iter().map(|lot| format_e8(lot.price_e8)).collect::<Vec<_>>(), ["10", "15"]);
    // VITA case study "Basis of stock": 100 shares for $1,100 and a dividend of ten more.
    check("ten percent", &split_of(110, 100), &long(), "100@1100", "110@1100", "0");
}

/// Publication 550 (2023), "Fractional shares": one share for $100, a stock dividend of 5% worth $10 that is paid out:
/// the basis of what is paid is 10/210 of $100, $4.76, and the gain $5.24.
#[test]
fn fractional_shares_of_publication_550() {
    let input = ActionInput { cash_in_lieu_e8: e8("200"), ..split_of(105, 100) };
    let mut held = lots("1@100");
    rewrite(&input, &long(), &mut held, &mut Vec::new()).expect("fits");
    let paid = closing(&input, held[0].quantity_e8, held[0].quantity_e8).expect("a fraction");
    assert_eq!((format_e8(paid.quantity_e8), format_e8(paid.price_e8)), ("0.05".into(), "200".into()));
    let cost = crate::amount::share(held[0].cost_e16, paid.quantity_e8, held[0].quantity_e8);
    assert_eq!(format_e16(cost), "4.7619047619047619");
    let value = notional(paid.price_e8, paid.quantity_e8, ONE_E8).expect("fits");
    assert_eq!(format_e16(value - cost), "5.2380952380952381");
}

#[test]
fn resets_strike_anew() {
    let input = cash_of(ActionKind::Reset, "12");
    let mut held = lots("100@1000 50@650");
    let gains = rewrite(&input, &long(), &mut held, &mut Vec::new()).expect("fits");
    assert_eq!(shown(&held), "100@1200 50@600");
    assert_eq!(gains.realized_e16, 150 * ONE_E16);
    // The reset's rate is one; the base costs were twice the costs.
    assert_eq!(gains.base_e16, -1500 * ONE_E16);
    assert_eq!(held.iter().map(|lot| format_e8(lot.price_e8)).collect::<Vec<_>>(), ["12", "12"]);
    let mut held = lots("100@1000 50@650");
    let gains =
        rewrite(&input, &Holding { multiplier_e8: 2 * ONE_E8, ..short() }, &mut held, &mut Vec::new()).expect("fits");
    assert_eq!((shown(&held), gains.realized_e16), ("100@2400 50@1200".into(), -1950 * ONE_E16));
}

#[test]
fn what_closes_and_what_pays() {
    let fraction = |held: &str| {
        let input = ActionInput { cash_in_lieu_e8: e8("9"), ..split_of(1, 3) };
        closing(&input, e8(held), 0).map(|trade| (trade.side, format_e8(trade.quantity_e8)))
    };
    assert_eq!(fraction("33.33333333"), Some((Side::Sell, "0.33333333".into())));
    assert_eq!(fraction("-0.5"), Some((Side::BuyToCover, "0.5".into())));
    assert_eq!(fraction("7"), None);
    assert_eq!(closing(&split_of(1, 3), e8("0.5"), 0), None, "no price, no cash");
    let merger = cash_of(ActionKind::Merger, "40");
    assert_eq!(closing(&merger, e8("-7"), e8("7")).map(|t| (t.side, t.quantity_e8)), Some((Side::BuyToCover, e8("7"))));
    assert_eq!(closing(&cash_of(ActionKind::CashDividend, "1"), e8("7"), e8("7")), None);
    let dividend_of = |held: &str| dividend(&cash_of(ActionKind::CashDividend, "0.25"), e8(held));
    assert_eq!((dividend_of("100"), dividend_of("-100")), (Ok(25 * ONE_E16), Ok(-25 * ONE_E16)));
}

/// A late action is estimated on what was acquired before its place.
#[test]
fn younger_lots_are_left_alone() {
    let held = lots("1@10 1@20 1@30");
    for (kind, day, want) in [
        (ActionKind::Split, 2, 1),
        (ActionKind::Split, 3, 2),
        (ActionKind::CashDividend, 2, 2),
        (ActionKind::Reset, 3, 3),
        (ActionKind::Merger, 1, 0),
    ] {
        let input = ActionInput { effective_date: Date(day), ..action(kind) };
        assert_eq!(concerned(&input, &held), want, "{kind:?} on day {day}");
    }
    let late = ActionInput { effective_date: Date(3), ..split_of(2, 1) };
    check("late", &late, &long(), "1@10 1@20 1@30", "2@10 2@20 1@30", "0");
}

#[test]
fn overflow_is_said() {
    let all = |text: &str| lots(text);
    for (name, input, before) in [
        ("quantity", split_of(1_000_000_000, 1), all("92233720368@1")),
        ("price", split_of(1, 1_000_000_000), all("10@92233720368")),
        (
            "cash",
            ActionInput { fx_to_base_e8: i64::MAX, ..cash_of(ActionKind::ReturnOfCapital, "92233720368") },
            all("92233720368@1"),
        ),
        (
            "reset",
            ActionInput { fx_to_base_e8: i64::MAX, ..cash_of(ActionKind::Reset, "92233720368") },
            all("92233720368@1"),
        ),
    ] {
        assert_eq!(rewrite(&input, &long(), &mut before.clone(), &mut Vec::new()), Err(Overflow), "{name}");
    }
}

#[test]
fn forms_are_checked() {
    use crate::event::Reason;
    let ok = split_of(2, 1);
    for (name, input, want) in [
        ("a split", ok, Ok(())),
        ("no numerator", ActionInput { numerator: 0, ..ok }, Err(Reason::BadTerms)),
        ("too large", ActionInput { denominator: 1_000_000_001, ..ok }, Err(Reason::BadTerms)),
        ("negative cash", ActionInput { cash_in_lieu_e8: -1, ..ok }, Err(Reason::BadPrice)),
        ("no date", ActionInput { effective_date: Date::NONE, ..ok }, Err(Reason::BadDate)),
        ("no rate", ActionInput { fx_to_base_e8: 0, ..ok }, Err(Reason::BadRate)),
        ("negative dividend", cash_of(ActionKind::CashDividend, "-1"), Err(Reason::BadPrice)),
        (
            "record date late",
            ActionInput { record_date: Date(101), ..action(ActionKind::CashDividend) },
            Err(Reason::BadDate),
        ),
        ("symbol change", ActionInput { to_instrument: 1, ..action(ActionKind::SymbolChange) }, Ok(())),
        ("symbol change to nothing", action(ActionKind::SymbolChange), Err(Reason::BadTerms)),
        (
            "symbol change to itself",
            ActionInput { instrument: 1, to_instrument: 1, ..action(ActionKind::SymbolChange) },
            Err(Reason::BadTerms),
        ),
        ("spin-off", ActionInput { kind: ActionKind::SpinOff, to_instrument: 1, ..ok }, Ok(())),
        ("spin-off to nothing", ActionInput { kind: ActionKind::SpinOff, ..ok }, Err(Reason::BadTerms)),
        (
            "more than all of the basis",
            ActionInput { kind: ActionKind::SpinOff, to_instrument: 1, basis_fraction_e8: ONE_E8 + 1, ..ok },
            Err(Reason::BadTerms),
        ),
        ("stock merger", ActionInput { kind: ActionKind::Merger, to_instrument: 1, ..ok }, Ok(())),
        (
            "stock merger without terms",
            ActionInput { to_instrument: 1, ..action(ActionKind::Merger) },
            Err(Reason::BadTerms),
        ),
        ("cash merger", action(ActionKind::Merger), Ok(())),
        ("reset", ActionInput { cash_in_lieu_e8: NO_PRICE, ..action(ActionKind::Reset) }, Ok(())),
    ] {
        assert_eq!(input.check(), want, "{name}");
    }
}
