//! Stock mergers and spin-offs as tables: a lot is `quantity@cost`. Published examples name their source.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::action::{closing, rewrite};
use crate::amount::{format_e8, format_e16, parse_e8};
use crate::date::Date;
use crate::id::{NO_NAME, TradeHash};
use crate::rules::Rules;

fn e8(text: &str) -> i64 {
    parse_e8(text, false).expect("a decimal")
}

/// `quantity@cost`, bought on days 1, 2, 3 and so on; base cost twice the cost.
fn lots(text: &str) -> Vec<Lot> {
    let lot = |(lot, day): (&str, i32)| {
        let (quantity, cost) = lot.split_once('@').expect("quantity@cost");
        let cost_e16 = Money::from(e8(cost)) * Money::from(ONE_E8);
        Lot {
            origin: TradeHash(day as u128),
            quantity_e8: e8(quantity),
            cost_e16,
            base_cost_e16: cost_e16 * 2,
            price_e8: 0,
            acquired: Date(day),
            sub_account: NO_NAME,
        }
    };
    text.split_whitespace().zip(1..).map(lot).collect()
}

fn shown(lots: &[Lot]) -> String {
    let shown: Vec<String> =
        lots.iter().map(|lot| format!("{}@{}", format_e8(lot.quantity_e8), format_e16(lot.cost_e16))).collect();
    shown.join(" ")
}

fn holding(is_long: bool) -> Holding<'static> {
    Holding { is_long, multiplier_e8: ONE_E8, rules: &Rules::DEFAULT }
}

fn action(kind: ActionKind, numerator: u32, denominator: u32, cash: &str, in_lieu: Option<&str>) -> ActionInput {
    ActionInput {
        kind,
        to_instrument: 7,
        numerator,
        denominator,
        cash_e8: e8(cash),
        cash_in_lieu_e8: in_lieu.map_or(NO_PRICE, e8),
        fx_to_base_e8: 2 * ONE_E8,
        effective_date: Date(100),
        ..ActionInput::EMPTY
    }
}

#[test]
fn mergers_pay_cash_first_and_then_change_units() {
    for (name, terms, cash, value, before, after, realized) in [
        ("one for one", (1, 1), "0", None, "100@1000 50@600", "100@1000 50@600", "0"),
        ("two for five", (2, 5), "0", None, "100@1000 55@600", "40@1000 22@600", "0"),
        ("cash without a value lowers the cost", (1, 2), "3", None, "100@1000", "50@700", "0"),
        ("and what is beyond it is realized", (1, 2), "12", None, "100@1000 100@2000", "50@0 50@800", "200"),
        // 26 USC 356(a): 100 at 10, for each one of 20 and 5 in cash: gain 1,500, of which 500 by the cash.
        ("cash of a gain is realized, the basis stays", (1, 1), "5", Some("20"), "100@1000", "100@1000", "500"),
        // Gain 200 below the cash of 500: the basis is 1000 - 500 + 200, what the units are worth.
        ("a gain below the cash", (1, 1), "5", Some("7"), "100@1000", "100@700", "200"),
        // 26 USC 356(c): no loss is recognized.
        ("a loss is not realized", (1, 1), "5", Some("2"), "100@1000", "100@500", "0"),
        ("lot by lot", (1, 1), "5", Some("7"), "100@1000 100@2000", "100@700 100@1500", "200"),
        ("a lot that vanishes gives on", (1, 2), "0", None, "0.00000001@5 1@10", "0.5@15", "0"),
    ] {
        for is_long in [true, false] {
            let input = action(ActionKind::Merger, terms.0, terms.1, cash, value);
            let mut held = lots(before);
            let gains = rewrite(&input, &holding(is_long), &mut held, &mut Vec::new()).expect(name);
            assert_eq!(shown(&held), after, "{name}");
            let signed = if is_long || realized == "0" { String::from(realized) } else { format!("-{realized}") };
            assert_eq!(format_e16(gains.realized_e16), signed, "{name}");
            assert_eq!(gains.base_e16, gains.realized_e16 * 2, "{name}: base costs were twice the costs");
            assert!(empties(&input));
        }
    }
}

#[test]
fn the_fraction_of_a_merger_is_closed() {
    let input = action(ActionKind::Merger, 1, 3, "0", Some("9"));
    let fraction = closing(&input, e8("33.33333333"), 0).expect("a fraction");
    assert_eq!((format_e8(fraction.quantity_e8), format_e8(fraction.price_e8)), ("0.33333333".into(), "9".into()));
    assert_eq!(closing(&action(ActionKind::Merger, 1, 3, "0", None), e8("33.3"), 0), None);
}

#[test]
fn spin_offs_divide_the_basis() {
    for (name, terms, fraction, in_lieu, before, kept, new, realized) in [
        ("a quarter of the basis", (1, 4), "0.25", None, "100@1000", "100@750", "25@250", "0"),
        ("lot by lot", (1, 2), "0.1", None, "100@1000 50@600", "100@900 50@540", "50@100 25@60", "0"),
        ("half to even", (1, 1), "0.5", None, "1@0.00000001", "1@0.000000005", "1@0.000000005", "0"),
        ("none of it", (1, 1), "0", None, "1@10", "1@10", "1@0", "0"),
        ("all of it", (1, 1), "1", None, "1@10", "1@0", "1@10", "0"),
        // 15 held, 7.5 new with 75: half a unit with 5 is paid at 12, by the oldest lot.
        ("the fraction is paid", (1, 2), "0.5", Some("12"), "10@100 5@50", "10@50 5@25", "4.5@45 2.5@25", "1"),
        ("more than the first lot", (1, 4), "0.5", Some("40"), "1@4 1@8", "1@2 1@4", "", "14"),
        ("too little for a new unit", (1, 100_000_000), "0.5", None, "0.5@10", "0.5@10", "", "0"),
        ("one new lot vanishes", (1, 100_000_000), "0.5", None, "0.5@10 1.5@10", "0.5@5 1.5@5", "0.00000002@10", "0"),
    ] {
        for is_long in [true, false] {
            let mut input = action(ActionKind::SpinOff, terms.0, terms.1, "0", in_lieu);
            input.basis_fraction_e8 = e8(fraction);
            let (mut held, mut spun) = (lots(before), Vec::new());
            let gains = rewrite(&input, &holding(is_long), &mut held, &mut spun).expect(name);
            assert_eq!((shown(&held), shown(&spun)), (kept.into(), new.into()), "{name}");
            let signed = if is_long || realized == "0" { String::from(realized) } else { format!("-{realized}") };
            assert_eq!(format_e16(gains.realized_e16), signed, "{name}");
            assert_eq!(gains.base_e16, gains.realized_e16 * 2, "{name}: base costs were twice the costs");
            assert!(!empties(&input));
        }
    }
}

#[test]
fn only_a_symbol_change_keeps_the_price() {
    let lot = Lot { price_e8: 5, ..lots("1@20")[0] };
    assert_eq!(as_arriving(&action(ActionKind::SymbolChange, 0, 0, "0", None), &lot).price_e8, 5);
    assert_eq!(as_arriving(&action(ActionKind::Merger, 1, 1, "0", None), &lot).price_e8, NO_PRICE);
}

#[test]
fn overflow_is_said() {
    let input = ActionInput { fx_to_base_e8: i64::MAX, ..action(ActionKind::Merger, 1, 1, "92233720368", Some("1")) };
    let told = rewrite(&input, &holding(true), &mut lots("92233720368@1"), &mut Vec::new());
    assert_eq!(told, Err(Overflow));
}
