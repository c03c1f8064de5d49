//! Every arithmetic step of a trade at the edge of its range: beyond it the trade is refused as `OVERFLOW` and the book is bit for
//! bit what it was; just inside it is booked.
//!
//! Steps that cannot leave their range need no case: a share of a cost is no larger than the cost, the difference of two
//! amounts of one sign no larger than the larger, and no book lives to see fees of 10^38 (each trade adds less than 10^27).

use crate::amount::ONE_E8;
use crate::command::{Command, TradeInput};
use crate::date::Date;
use crate::edge_tests::state;
use crate::id::TradeHash;
use crate::rules::{FeesRule, LotMethod, Rules};
use crate::tests::trade;
use crate::trade_tests::{SHORTS, conserved, replay_agrees, rig};

const M: i64 = i64::MAX;
const IN_BASIS: Rules = Rules { fees_rule: FeesRule::InBasis, ..SHORTS };
const MIN_TAX: Rules = Rules { method: LotMethod::MinTax, ..SHORTS };
/// A multiplier of a hundred: of 10^10 units at 10^10 the value is 10^38, one more than money holds.
const HUNDRED: i64 = 100 * ONE_E8;
const E17: i64 = 100_000_000_000_000_000;
const E18: i64 = 10 * E17;

/// A trade of these units of 10^-8.
fn at(id: &str, side: &str, quantity_e8: i64, price_e8: i64, day: i32) -> TradeInput {
    TradeInput { quantity_e8, price_e8, ..trade(id, side, 1, 1, day) }
}

fn buy(id: &str, quantity_e8: i64, price_e8: i64) -> TradeInput {
    at(id, "buy", quantity_e8, price_e8, 1)
}

fn sell(id: &str, quantity_e8: i64, price_e8: i64) -> TradeInput {
    at(id, "sell", quantity_e8, price_e8, 2)
}

/// One step: what comes before, the trade that leaves the range, and the one that just does not.
struct Step<'a> {
    name: &'a str,
    rules: Rules,
    multiplier_e8: i64,
    before: &'a [TradeInput],
    beyond: TradeInput,
    inside: TradeInput,
}

fn hold(steps: &[Step<'_>]) {
    for step in steps {
        let mut rig = rig(step.rules, step.multiplier_e8);
        for input in step.before {
            let said = rig.send(&Command::Trade(*input));
            assert!(said.starts_with("applied"), "{}: {} is {said}", step.name, input.trade_id);
        }
        let before = state(&rig);
        assert_eq!(rig.send(&Command::Trade(step.beyond)), "OVERFLOW", "{}", step.name);
        assert_eq!(state(&rig), before, "{}: a refusal changes nothing", step.name);
        let said = rig.send(&Command::Trade(step.inside));
        assert!(said.starts_with("applied"), "{}: inside it is {said}", step.name);
        assert_ne!(state(&rig), before, "{}", step.name);
        conserved(&rig);
        replay_agrees(&rig, step.multiplier_e8);
    }
}

#[test]
fn what_one_trade_is_worth() {
    hold(&[
        Step {
            name: "the value of an opening trade",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[],
            beyond: buy("b", E18, E18),
            inside: buy("b", E18, E18 - 1),
        },
        Step {
            name: "the value of a closing trade",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[buy("a", E18, 1)],
            beyond: sell("b", E18, E18),
            inside: sell("b", E18, E18 - 1),
        },
        Step {
            name: "cost and fees",
            rules: IN_BASIS,
            multiplier_e8: HUNDRED,
            before: &[],
            beyond: TradeInput { fees_e8: E18, ..buy("b", E18, E18 - 1) },
            inside: TradeInput { fees_e8: ONE_E8, ..buy("b", E18, E18 - 1) },
        },
        Step {
            name: "the base cost",
            rules: SHORTS,
            multiplier_e8: ONE_E8,
            before: &[],
            beyond: TradeInput { fx_to_base_e8: 2 * ONE_E8, ..buy("b", M, M) },
            inside: TradeInput { fx_to_base_e8: ONE_E8 + ONE_E8 / 10, ..buy("b", M, M) },
        },
        Step {
            name: "the price of a lot whose amount was given",
            rules: SHORTS,
            multiplier_e8: ONE_E8,
            before: &[],
            beyond: TradeInput { consideration_e8: E17, ..buy("b", 1, 1) },
            inside: TradeInput { consideration_e8: E17 / 10_000_000, ..buy("b", 1, 1) },
        },
        Step {
            name: "the price that minimum tax looks at",
            rules: MIN_TAX,
            multiplier_e8: ONE_E8,
            before: &[buy("a", 2, 1)],
            beyond: TradeInput { consideration_e8: E17, ..sell("b", 1, 1) },
            inside: TradeInput { consideration_e8: E17 / 10_000_000, ..sell("b", 1, 1) },
        },
    ]);
}

#[test]
fn what_one_trade_realizes() {
    hold(&[
        Step {
            name: "a loss and the fees of a sale",
            rules: IN_BASIS,
            multiplier_e8: HUNDRED,
            before: &[buy("a", E18, E18 - 1)],
            beyond: TradeInput { fees_e8: E18, ..sell("b", E18, 0) },
            inside: TradeInput { fees_e8: ONE_E8, ..sell("b", E18, 0) },
        },
        // Sold short for nothing, with fees: the proceeds are below zero.
        Step {
            name: "proceeds below zero less the value of covering",
            rules: IN_BASIS,
            multiplier_e8: HUNDRED,
            before: &[TradeInput { fees_e8: E18, ..at("a", "sell", E18, 0, 1) }],
            beyond: at("b", "buy", E18, E18 - 1, 2),
            inside: at("b", "buy", E18, E18 - 1_000_000_000, 2),
        },
        Step {
            name: "the value in base currency",
            rules: SHORTS,
            multiplier_e8: ONE_E8,
            before: &[buy("a", M, 1)],
            beyond: TradeInput { fx_to_base_e8: 2 * ONE_E8, ..sell("b", M, M) },
            inside: TradeInput { fx_to_base_e8: ONE_E8 + ONE_E8 / 10, ..sell("b", M, M) },
        },
        // Nothing is paid, so in base currency the loss is what the lot cost there; at today's rate it would be twice as much.
        Step {
            name: "the market part of what is realized",
            rules: SHORTS,
            multiplier_e8: ONE_E8,
            before: &[buy("a", M, M)],
            beyond: TradeInput { fx_to_base_e8: 2 * ONE_E8, ..sell("b", M, 0) },
            inside: TradeInput { fx_to_base_e8: ONE_E8 + ONE_E8 / 10, ..sell("b", M, 0) },
        },
    ]);
}

#[test]
fn what_a_lot_holds() {
    let enlarging =
        |consideration_e8| TradeInput { consideration_e8, lot: TradeHash::new(b"n", b"a"), ..at("b", "buy", 1, 1, 2) };
    hold(&[Step {
        name: "the price of an enlarged lot",
        rules: SHORTS,
        multiplier_e8: ONE_E8,
        before: &[buy("a", 1, 1)],
        beyond: enlarging(E17),
        inside: enlarging(E17 / 10_000_000),
    }]);
}

#[test]
fn what_a_position_holds() {
    hold(&[
        Step {
            name: "the quantity of a long position",
            rules: SHORTS,
            multiplier_e8: ONE_E8,
            before: &[buy("a", M - 1, 0)],
            beyond: buy("b", 2, 0),
            inside: buy("b", 1, 0),
        },
        // The most negative number has no magnitude: it is refused as well.
        Step {
            name: "the quantity of a short position",
            rules: SHORTS,
            multiplier_e8: ONE_E8,
            before: &[sell("a", M - 1, 0)],
            beyond: sell("b", 2, 0),
            inside: sell("b", 1, 0),
        },
        Step {
            name: "the quantity after a flip",
            rules: SHORTS,
            multiplier_e8: ONE_E8,
            before: &[buy("a", 1, 0), at("b", "sell", M, 0, 2)],
            beyond: at("c", "sell", 2, 0, 3),
            inside: at("c", "sell", 1, 0, 3),
        },
        Step {
            name: "the cost of all lots",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[buy("a", 5 * E17, E18)],
            beyond: buy("b", 5 * E17, E18),
            inside: buy("b", 5 * E17, E18 - 1),
        },
        Step {
            name: "the base cost of all lots",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[TradeInput { fx_to_base_e8: 2 * ONE_E8, ..buy("a", 5 * E17, 5 * E17) }],
            beyond: TradeInput { fx_to_base_e8: 2 * ONE_E8, ..buy("b", 5 * E17, 5 * E17) },
            inside: TradeInput { fx_to_base_e8: 2 * ONE_E8 - 1, ..buy("b", 5 * E17, 5 * E17) },
        },
        Step {
            name: "all that was gained",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[buy("a", E18, 0), sell("s", 5 * E17, E18)],
            beyond: at("b", "sell", 5 * E17, E18, 3),
            inside: at("b", "sell", 5 * E17, E18 - 1, 3),
        },
        Step {
            name: "all that was lost",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[buy("a", 5 * E17, E18), sell("s", 5 * E17, 0), at("c", "buy", 5 * E17, E18, 3)],
            beyond: at("b", "sell", 5 * E17, 0, 4),
            inside: at("b", "sell", 5 * E17, 1, 4),
        },
        Step {
            name: "all that was gained in base currency",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[buy("a", E18, 0), TradeInput { fx_to_base_e8: 2 * ONE_E8, ..sell("s", 5 * E17, 5 * E17) }],
            beyond: TradeInput { fx_to_base_e8: 2 * ONE_E8, ..at("b", "sell", 5 * E17, 5 * E17, 3) },
            inside: TradeInput { fx_to_base_e8: 2 * ONE_E8 - 1, ..at("b", "sell", 5 * E17, 5 * E17, 3) },
        },
        // Realized in all and long-term are both in range; what they leave for short-term is not.
        Step {
            name: "the short-term part of all that was realized",
            rules: SHORTS,
            multiplier_e8: HUNDRED,
            before: &[
                at("a", "buy", E17, 9 * E18, 1),
                at("c", "buy", 5 * E17, 0, 1_000),
                at("s", "sell", E17, 0, 1_001),
                at("t", "sell", E17, 9 * E18, 1_002),
            ],
            beyond: at("b", "sell", E17, E18, 1_003),
            inside: at("b", "sell", E17, E18 - 1, 1_003),
        },
    ]);
}

/// What waits for its date is added up by magnitude.
#[test]
fn what_waits() {
    let mut rig = rig(SHORTS, ONE_E8);
    rig.send(&Command::BusinessDate(Date(10)));
    assert!(rig.send(&Command::Trade(at("a", "buy", M - 1, 0, 11))).starts_with("forward"));
    let before = state(&rig);
    for side in ["buy", "sell"] {
        assert_eq!(rig.send(&Command::Trade(at("b", side, 2, 0, 12))), "OVERFLOW", "{side}");
        assert_eq!(state(&rig), before, "{side}");
    }
    assert!(rig.send(&Command::Trade(at("b", "sell", 1, 0, 12))).starts_with("forward"));
}
