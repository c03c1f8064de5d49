//! Rules 4, 7, 8, 10 and 15 of `docs/rules.md` as tables: every figure was computed by hand.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::amount::{ONE_E8, format_e8, format_e16};
use crate::command::{
    Command, InstrumentTerms, NO_CONSIDERATION, NO_PRICE, NameClass, TradeInput, TradeKind, TradeType,
};
use crate::date::Date;
use crate::history::Item;
use crate::id::{NO_NAME, TradeHash, TradeId};
use crate::lots::Lot;
use crate::rules::{ContractTerms, FeesRule, LotMethod, Rules};
use crate::select::Scratch;
use crate::tests::{Rig, trade};

pub(crate) const SHORTS: Rules = Rules { allow_short: true, ..Rules::DEFAULT };
const IN_BASIS: Rules = Rules { fees_rule: FeesRule::InBasis, ..SHORTS };

/// A book with these rules; `USD` and `EUR` are currencies 0 and 1, the instrument is in USD.
pub(crate) fn rig(rules: Rules, multiplier_e8: i64) -> Rig {
    let mut rig = Rig::new(LotMethod::Fifo, false);
    for (class, text) in [
        (NameClass::Currency, "USD"),
        (NameClass::Currency, "EUR"),
        (NameClass::SubAccount, "ALPHA"),
        (NameClass::SubAccount, "BETA"),
    ] {
        rig.send(&Command::Define { class, text: TradeId::new(text.as_bytes()).unwrap() });
    }
    let instrument = InstrumentTerms {
        instrument: 0,
        currency: 0,
        multiplier_e8,
        tick_e8: 0,
        price_min_e8: 0,
        price_max_e8: 0,
        isin: [0; 12],
        cusip: [0; 9],
    };
    rig.send(&Command::Instrument(instrument));
    let (account, instrument) = (NO_NAME, NO_NAME);
    rig.send(&Command::Contract(ContractTerms { contract: 0, account, instrument, rules, effective_date: Date(0) }));
    rig
}

/// One lot: `quantity@price cost C`, and what is not plain of it.
fn lot_text(lot: &Lot) -> String {
    let mut text =
        format!("{}@{} cost {}", format_e8(lot.quantity_e8), format_e8(lot.price_e8), format_e16(lot.cost_e16));
    if lot.base_cost_e16 != lot.cost_e16 {
        text += &format!(" base {}", format_e16(lot.base_cost_e16));
    }
    if lot.sub_account != NO_NAME {
        text += &format!(" sub {}", lot.sub_account);
    }
    format!("{text} day {}", lot.acquired.0)
}

/// `realized R (long-term L) (base B); lots`.
fn position_text(rig: &Rig) -> String {
    let Some(number) = rig.book.find(0, 0) else { return "none".to_string() };
    let p = &rig.book.positions()[number as usize];
    let mut text = format!("realized {}", format_e16(p.realized_e16));
    if p.realized_long_e16 != 0 {
        text += &format!(" long-term {}", format_e16(p.realized_long_e16));
    }
    if p.realized_base_e16 != p.realized_e16 {
        text += &format!(" base {}", format_e16(p.realized_base_e16));
    }
    let lots: Vec<String> = rig.book.lots().iter(&p.block).map(|lot| lot_text(&lot)).collect();
    format!("{text}; {}", lots.join(", "))
}

/// After each trade: the answer, and the position.
fn check(rules: Rules, multiplier: i64, table: &[(TradeInput, &str, &str)]) {
    let mut rig = rig(rules, multiplier);
    for (input, said, position) in table {
        assert_eq!(rig.send(&Command::Trade(*input)), *said, "{}", input.trade_id);
        assert_eq!(position_text(&rig), *position, "{}", input.trade_id);
        conserved(&rig);
    }
    replay_agrees(&rig, multiplier);
}

/// A position's sums are those of its lots, and none of them is empty.
pub(crate) fn conserved(rig: &Rig) {
    for position in rig.book.positions() {
        let lots: Vec<Lot> = rig.book.lots().iter(&position.block).collect();
        let quantity: i128 = lots.iter().map(|lot| i128::from(lot.quantity_e8)).sum();
        assert_eq!(quantity, i128::from(position.quantity_e8).abs());
        assert_eq!(lots.iter().map(|lot| lot.cost_e16).sum::<i128>(), position.cost_e16);
        assert_eq!(lots.iter().map(|lot| lot.base_cost_e16).sum::<i128>(), position.base_cost_e16);
        assert!(lots.iter().all(|lot| lot.quantity_e8 > 0));
        assert!(lots.is_sorted_by_key(|lot| lot.acquired), "the lot order begins with the acquired date");
    }
}

/// The replay of what was accepted gives the same position, and its allocations sum to it.
pub(crate) fn replay_agrees(rig: &Rig, multiplier_e8: i64) {
    let mut items: Vec<Item> = rig.accepted.iter().map(|input| Item::Trade(*input)).collect();
    let outcome = crate::replay::replay(&mut items, rig.book.contracts(), multiplier_e8, &mut Scratch::new()).unwrap();
    let position = &rig.book.positions()[0];
    assert_eq!(outcome.after, position.figures());
    assert!(outcome.lots.iter().copied().eq(rig.book.lots().iter(&position.block)));
    let parts = || outcome.trades.iter().flat_map(|trade| &trade.allocations);
    assert_eq!(parts().map(|part| part.realized_e16).sum::<i128>(), position.realized_e16);
    let long: i128 = parts().filter(|part| part.is_long_term).map(|part| part.realized_e16).sum();
    assert_eq!(long, position.realized_long_e16);
}

fn consideration(amount: i64, of: TradeInput) -> TradeInput {
    TradeInput { consideration_e8: amount * ONE_E8, ..of }
}

fn fees(amount: i64, of: TradeInput) -> TradeInput {
    TradeInput { fees_e8: amount * ONE_E8, ..of }
}

fn rate(rate_e8: i64, of: TradeInput) -> TradeInput {
    TradeInput { fx_to_base_e8: rate_e8, ..of }
}

fn lot(name: &str, of: TradeInput) -> TradeInput {
    TradeInput { lot: TradeHash::new(b"n", name.as_bytes()), ..of }
}

fn opening(id: &str, side: &str, quantity: i64, cost: i64, acquired: i32, day: i32) -> TradeInput {
    TradeInput {
        kind: TradeKind::OpenLot,
        price_e8: NO_PRICE,
        consideration_e8: cost * ONE_E8,
        acquired: Date(acquired),
        ..trade(id, side, quantity, 0, day)
    }
}

/// Rule 7: a consideration is the value, whatever price x quantity says; without a price the lot's is the unit.
#[test]
fn considerations() {
    check(
        SHORTS,
        ONE_E8,
        &[
            // 1,001 for 100 at 10: the lot costs 1,001, a unit is 10.01.
            (
                consideration(1001, trade("t1", "buy", 100, 10, 1)),
                "applied realized 0",
                "realized 0; 100@10.01 cost 1001 day 1",
            ),
            // 30 of 100: cost 300.3; value 450, not 30 x 16.
            (
                consideration(450, trade("t2", "sell", 30, 16, 2)),
                "applied realized 149.7",
                "realized 149.7; 70@10.01 cost 700.7 day 1",
            ),
            // A flip of 100 for 1,000: 70 of 100 to the closed part (700), 300 to the opened one; 700 - 700.7.
            (
                TradeInput { price_e8: NO_PRICE, ..consideration(1000, trade("t3", "sell", 100, 0, 3)) },
                "applied realized -0.7",
                "realized 149; 30@10 cost 300 day 3",
            ),
            // A consideration of nothing is one: the short's proceeds are gained.
            (consideration(0, trade("t4", "buy", 30, 5, 4)), "applied realized 300", "realized 449; "),
        ],
    );
    // A third of 100: the closed part takes the half-even share at 10^-16, the opened one the rest.
    check(
        SHORTS,
        ONE_E8,
        &[
            (trade("t1", "buy", 1, 10, 1), "applied realized 0", "realized 0; 1@10 cost 10 day 1"),
            (
                consideration(100, trade("t2", "sell", 3, 33, 2)),
                "applied realized 23.3333333333333333",
                "realized 23.3333333333333333; 2@33.33333333 cost 66.6666666666666667 day 2",
            ),
        ],
    );
    // With a multiplier of 50 a unit is cost / (quantity x 50).
    check(
        SHORTS,
        50 * ONE_E8,
        &[(
            consideration(100_001, trade("t1", "buy", 2, 999, 1)),
            "applied realized 0",
            "realized 0; 2@1000.01 cost 100001 day 1",
        )],
    );
}

/// The value of a closed part is attributed in lot order, the last allocation takes the remainder.
#[test]
fn considerations_by_allocation() {
    let mut rig = rig(SHORTS, ONE_E8);
    for (id, day) in [("t1", 1), ("t2", 2), ("t3", 3)] {
        rig.send(&Command::Trade(trade(id, "buy", 1, 1, day)));
    }
    rig.send(&Command::Trade(consideration(10, trade("t4", "sell", 3, 3, 4))));
    let mut items: Vec<Item> = rig.accepted.iter().map(|input| Item::Trade(*input)).collect();
    let outcome = crate::replay::replay(&mut items, rig.book.contracts(), ONE_E8, &mut Scratch::new()).unwrap();
    let parts: Vec<String> = outcome.trades[3].allocations.iter().map(|part| format_e16(part.realized_e16)).collect();
    assert_eq!(parts, ["2.3333333333333333", "2.3333333333333333", "2.3333333333333334"]);
}

/// Rule 7: fees in the basis. *Publication 551, "Stocks and bonds": commissions are added to the basis.*
#[test]
fn fees_in_the_basis() {
    check(
        IN_BASIS,
        ONE_E8,
        &[
            (fees(7, trade("t1", "buy", 100, 10, 1)), "applied realized 0", "realized 0; 100@10.07 cost 1007 day 1"),
            // Closes 40 of 100: cost 402.8; 480 - 402.8 - 3.
            (
                fees(3, trade("t2", "sell", 40, 12, 2)),
                "applied realized 74.2",
                "realized 74.2; 60@10.07 cost 604.2 day 1",
            ),
            // A flip of 90 with fees 9: 6 to the closed 60, 3 to the opened 30; 720 - 604.2 - 6; proceeds 360 - 3.
            (fees(9, trade("t3", "sell", 90, 12, 3)), "applied realized 109.8", "realized 184; 30@11.9 cost 357 day 3"),
            // Covers the short: 357 - 300 - 2.
            (fees(2, trade("t4", "buy", 30, 10, 4)), "applied realized 55", "realized 239; "),
        ],
    );
    // Fees beyond a short's proceeds make its cost negative, and its price.
    check(
        IN_BASIS,
        ONE_E8,
        &[
            (fees(30, trade("t1", "sell_short", 10, 2, 1)), "applied realized 0", "realized 0; 10@-1 cost -10 day 1"),
            (trade("t2", "buy_to_cover", 5, 1, 2), "applied realized -10", "realized -10; 5@-1 cost -5 day 1"),
        ],
    );
    // Apart: summed, and in no figure.
    check(
        SHORTS,
        ONE_E8,
        &[
            (fees(7, trade("t1", "buy", 100, 10, 1)), "applied realized 0", "realized 0; 100@10 cost 1000 day 1"),
            (fees(3, trade("t2", "sell", 40, 12, 2)), "applied realized 80", "realized 80; 60@10 cost 600 day 1"),
        ],
    );
}

/// Rule 4: a trade that increases and names a lot enlarges it.
#[test]
fn a_named_lot_is_enlarged() {
    let new = |of: TradeInput| TradeInput { trade_type: TradeType::NewTrade, ..of };
    let increase = |of: TradeInput| TradeInput { trade_type: TradeType::Increase, ..of };
    check(
        SHORTS,
        ONE_E8,
        &[
            (lot("t1", trade("t1", "buy", 10, 10, 1)), "UNKNOWN_LOT", "none"),
            (trade("t1", "buy", 10, 10, 1), "applied realized 0", "realized 0; 10@10 cost 100 day 1"),
            (
                trade("t2", "buy", 5, 20, 2),
                "applied realized 0",
                "realized 0; 10@10 cost 100 day 1, 5@20 cost 100 day 2",
            ),
            // 100 + 140 over 20 is 12; the date and the identity stay the first one's.
            (
                lot("t1", trade("t3", "buy", 10, 14, 3)),
                "applied realized 0",
                "realized 0; 20@12 cost 240 day 1, 5@20 cost 100 day 2",
            ),
            (
                lot("t3", trade("t4", "buy", 1, 14, 3)),
                "UNKNOWN_LOT",
                "realized 0; 20@12 cost 240 day 1, 5@20 cost 100 day 2",
            ),
            (
                new(lot("t1", trade("t5", "buy", 1, 14, 3))),
                "UNKNOWN_LOT",
                "realized 0; 20@12 cost 240 day 1, 5@20 cost 100 day 2",
            ),
            (
                increase(lot("t2", fees(1, rate(2 * ONE_E8, trade("t6", "buy", 5, 30, 4))))),
                "applied realized 0",
                "realized 0; 20@12 cost 240 day 1, 10@25 cost 250 base 400 day 2",
            ),
            // Closing by name takes the enlarged lot: 6 of 10, cost 150, base 240.
            (
                lot("t2", trade("t7", "sell", 6, 30, 5)),
                "applied realized 30",
                "realized 30 base -60; 20@12 cost 240 day 1, 4@25 cost 100 base 160 day 2",
            ),
            (
                lot("t1", trade("t8", "sell", 25, 30, 5)),
                "LOT_TOO_SMALL",
                "realized 30 base -60; 20@12 cost 240 day 1, 4@25 cost 100 base 160 day 2",
            ),
        ],
    );
    // A lot of a short, with fees in the basis: its proceeds are lowered; the price is the unit all the same.
    check(
        IN_BASIS,
        ONE_E8,
        &[
            (trade("t1", "sell_short", 10, 10, 1), "applied realized 0", "realized 0; 10@10 cost 100 day 1"),
            (
                lot("t1", fees(4, trade("t2", "sell_short", 10, 12, 2))),
                "applied realized 0",
                "realized 0; 20@10.8 cost 216 day 1",
            ),
        ],
    );
}

/// Rule 8: the base cost goes the way of the cost, at the rates of the days.
#[test]
fn currencies() {
    check(
        SHORTS,
        ONE_E8,
        &[
            (
                rate(110_000_000, trade("t1", "buy", 10, 10, 1)),
                "applied realized 0",
                "realized 0; 10@10 cost 100 base 110 day 1",
            ),
            (
                rate(120_000_000, trade("t2", "buy", 10, 12, 2)),
                "applied realized 0",
                "realized 0; 10@10 cost 100 base 110 day 1, 10@12 cost 120 base 144 day 2",
            ),
            // 15 at 14: value 210, cost 100 + 60; base 210 x 1.3 - (110 + 72) = 91; market 65, FX 26.
            (
                rate(130_000_000, trade("t3", "sell", 15, 14, 3)),
                "applied realized 50",
                "realized 50 base 91; 5@12 cost 60 base 72 day 2",
            ),
            // A flip at 0.5: closes 5 (70 - 60; 35 - 72), opens 5 short with proceeds 70, base 35.
            (
                rate(50_000_000, trade("t4", "sell", 10, 14, 4)),
                "applied realized 10",
                "realized 60 base 54; 5@14 cost 70 base 35 day 4",
            ),
            // Covers at 2: 70 - 50 = 20; base 35 - 100.
            (rate(2 * ONE_E8, trade("t5", "buy", 5, 10, 5)), "applied realized 20", "realized 80 base -11; "),
        ],
    );
    // Fees in the basis are converted with the rest: 2 at 1.5.
    check(
        IN_BASIS,
        ONE_E8,
        &[
            (
                rate(150_000_000, fees(2, trade("t1", "buy", 10, 10, 1))),
                "applied realized 0",
                "realized 0; 10@10.2 cost 102 base 153 day 1",
            ),
            (rate(150_000_000, fees(2, trade("t2", "sell", 10, 11, 2))), "applied realized 6", "realized 6 base 9; "),
        ],
    );
    // The currency must be the instrument's; zero is no rate.
    let currency = |currency, of: TradeInput| TradeInput { currency, ..of };
    check(
        SHORTS,
        ONE_E8,
        &[
            (currency(1, trade("t1", "buy", 10, 10, 1)), "CURRENCY_MISMATCH", "none"),
            (rate(0, trade("t1", "buy", 10, 10, 1)), "BAD_RATE", "none"),
            (rate(-1, trade("t1", "buy", 10, 10, 1)), "BAD_RATE", "none"),
            (currency(0, trade("t1", "buy", 10, 10, 1)), "applied realized 0", "realized 0; 10@10 cost 100 day 1"),
        ],
    );
}

fn day(text: &str) -> i32 {
    Date::parse(text).expect(text).0
}

/// Rule 10. *Publication 550, "Holding period": begin counting on the date after the day you acquired the property;
/// the day you disposed of it is part of the holding period.*
#[test]
fn holding_periods() {
    let buy = |date| trade("t1", "buy", 10, 10, day(date));
    let sell = |date| trade("t2", "sell", 10, 12, day(date));
    for (days, bought, sold, is_long) in [
        (0, "2023-03-01", "2024-03-01", false),
        (0, "2023-03-01", "2024-03-02", true),
        (0, "2023-02-28", "2024-02-29", false),
        (0, "2023-02-28", "2024-03-01", true),
        // Bought on the 28th of a leap year: the day after is the 29th, a year later 1 March.
        (0, "2024-02-28", "2025-02-28", false),
        (0, "2024-02-28", "2025-03-01", true),
        (0, "2024-02-29", "2025-03-01", true),
        (0, "2024-02-29", "2025-02-28", false),
        (0, "2023-12-31", "2024-12-31", false),
        (0, "2023-12-31", "2025-01-01", true),
        (365, "2023-03-01", "2024-02-29", false),
        (365, "2023-03-01", "2024-03-01", true),
        (1, "2023-03-01", "2023-03-02", false),
        (1, "2023-03-01", "2023-03-03", true),
    ] {
        let rules = Rules { long_term_days: days, ..SHORTS };
        let mut rig = rig(rules, ONE_E8);
        rig.send(&Command::Trade(buy(bought)));
        rig.send(&Command::Trade(sell(sold)));
        assert_eq!(rules.long_term_from(Date(day(bought))) <= Date(day(sold)), is_long, "{days}: {bought} {sold}");
        let wanted = if is_long { "realized 20 long-term 20; " } else { "realized 20; " };
        assert_eq!(position_text(&rig), wanted, "{days}: {bought} {sold}");
        replay_agrees(&rig, ONE_E8);
    }
    // Allocation by allocation; the fees are in the last one. A short is short-term, however long it was held.
    let date = day("2024-06-01");
    check(
        IN_BASIS,
        ONE_E8,
        &[
            (
                trade("t1", "buy", 10, 10, date - 400),
                "applied realized 0",
                &format!("realized 0; 10@10 cost 100 day {}", date - 400),
            ),
            (
                trade("t2", "buy", 10, 11, date - 300),
                "applied realized 0",
                &format!("realized 0; 10@10 cost 100 day {}, 10@11 cost 110 day {}", date - 400, date - 300),
            ),
            (fees(4, trade("t3", "sell", 20, 12, date)), "applied realized 26", "realized 26 long-term 20; "),
            (
                trade("t4", "sell_short", 10, 12, date),
                "applied realized 0",
                &format!("realized 26 long-term 20; 10@12 cost 120 day {date}"),
            ),
            (trade("t5", "buy", 10, 11, date + 800), "applied realized 10", "realized 36 long-term 20; "),
        ],
    );
}

/// Rule 15.
#[test]
fn opening_lots() {
    check(
        SHORTS,
        ONE_E8,
        &[
            (opening("o1", "buy", 10, 105, -400, 1), "applied realized 0", "realized 0; 10@10.5 cost 105 day -400"),
            (
                trade("t1", "buy", 10, 12, 1),
                "applied realized 0",
                "realized 0; 10@10.5 cost 105 day -400, 10@12 cost 120 day 1",
            ),
            // Acquired between the two: its place in the lot order is between them. A price of its own is shown.
            (
                TradeInput {
                    price_e8: 9 * ONE_E8,
                    sub_account: 1,
                    ..rate(2 * ONE_E8, opening("o2", "buy", 4, 40, -100, 2))
                },
                "applied realized 0",
                "realized 0; 10@10.5 cost 105 day -400, 4@9 cost 40 base 80 sub 1 day -100, 10@12 cost 120 day 1",
            ),
            // FIFO takes them by acquired date; the first is long-term: 12 x 20 = 240 less 105 and 20.
            (
                trade("t2", "sell", 12, 20, 3),
                "applied realized 115",
                "realized 115 long-term 95 base 95; 2@9 cost 20 base 40 sub 1 day -100, 10@12 cost 120 day 1",
            ),
            (
                opening("x3", "sell_short", 1, 10, 3, 3),
                "OPPOSITE_SIDE",
                "realized 115 long-term 95 base 95; 2@9 cost 20 base 40 sub 1 day -100, 10@12 cost 120 day 1",
            ),
        ],
    );
    let bad = |of: TradeInput, want: &str| {
        let mut rig = rig(Rules::DEFAULT, ONE_E8);
        assert_eq!(rig.send(&Command::Trade(of)), want);
    };
    bad(opening("o", "buy", 1, 10, 2, 1), "BAD_DATE");
    bad(TradeInput { consideration_e8: NO_CONSIDERATION, ..opening("o", "buy", 1, 10, 1, 1) }, "BAD_CONSIDERATION");
    bad(TradeInput { consideration_e8: -1, ..opening("o", "buy", 1, 10, 1, 1) }, "BAD_CONSIDERATION");
    bad(opening("o", "sell_short", 1, 10, 1, 1), "OVERSELL");
    bad(opening("o", "buy", 0, 10, 1, 1), "BAD_QUANTITY");
    bad(opening("o", "buy", 1, 0, 1, 1), "applied realized 0");
    // It sets no mark, and neither does a trade without a price.
    let mut rig = rig(SHORTS, ONE_E8);
    rig.send(&Command::Trade(TradeInput { price_e8: ONE_E8, ..opening("o", "buy", 1, 10, 1, 1) }));
    rig.send(&Command::Trade(TradeInput { price_e8: NO_PRICE, ..consideration(3, trade("t", "buy", 1, 0, 1)) }));
    assert_eq!(rig.book.instrument(0).unwrap().marks.waterfall(), None);
}

/// Rule 9: an accepted opening lot that finds the other side at its place is booked as a trade, and is a break.
#[test]
fn an_opening_lot_on_the_wrong_side_is_carried() {
    let mut rig = rig(SHORTS, ONE_E8);
    assert_eq!(rig.send(&Command::Trade(opening("o", "buy", 10, 100, 1, 5))), "applied realized 0");
    assert_eq!(rig.send(&Command::Trade(trade("t", "sell", 15, 12, 3))), "provisional realized 20");
    let mut items: Vec<Item> = rig.accepted.iter().map(|input| Item::Trade(*input)).collect();
    let outcome = crate::replay::replay(&mut items, rig.book.contracts(), ONE_E8, &mut Scratch::new()).unwrap();
    // Short 15 at 12, then 10 of it covered for 100: 120 - 100.
    assert_eq!(outcome.breaks, [(TradeHash::new(b"n", b"o"), crate::event::Reason::OppositeSide)]);
    assert_eq!(format_e16(outcome.after.realized_e16), "20");
    assert_eq!(outcome.after.quantity_e8, -5 * ONE_E8);
}

/// Rule 4: the first check that fails is the reason.
#[test]
fn checks_are_made_in_their_order() {
    let none = TradeInput { price_e8: NO_PRICE, ..trade("t", "buy", 1, 0, 1) };
    for (input, want) in [
        (TradeInput { quantity_e8: 0, price_e8: -1, fees_e8: -1, ..none }, "BAD_QUANTITY"),
        (TradeInput { price_e8: -1, fees_e8: -1, consideration_e8: -1, ..none }, "BAD_PRICE"),
        (TradeInput { fees_e8: -1, consideration_e8: -1, fx_to_base_e8: 0, ..none }, "BAD_FEES"),
        (TradeInput { consideration_e8: -1, fx_to_base_e8: 0, ..none }, "BAD_CONSIDERATION"),
        (TradeInput { fx_to_base_e8: 0, ..none }, "BAD_PRICE"),
        (TradeInput { price_e8: 0, fx_to_base_e8: 0, currency: 1, ..none }, "BAD_RATE"),
        (TradeInput { price_e8: 0, currency: 1, contract: 7, ..none }, "CURRENCY_MISMATCH"),
        (TradeInput { price_e8: 0, contract: 7, trade_type: TradeType::Decrease, ..none }, "UNKNOWN_CONTRACT"),
        (TradeInput { price_e8: 0, trade_type: TradeType::Decrease, ..lot("x", none) }, "TRADE_TYPE_MISMATCH"),
        (TradeInput { price_e8: 0, ..lot("x", trade("t", "sell", 1, 0, 1)) }, "OVERSELL"),
        (
            TradeInput { price_e8: i64::MAX, quantity_e8: i64::MAX, fx_to_base_e8: i64::MAX, ..lot("x", none) },
            "UNKNOWN_LOT",
        ),
        (TradeInput { price_e8: i64::MAX, quantity_e8: i64::MAX, fx_to_base_e8: i64::MAX, ..none }, "OVERFLOW"),
    ] {
        let mut rig = rig(Rules::DEFAULT, ONE_E8);
        assert_eq!(rig.send(&Command::Trade(input)), want, "{input:?}");
    }
}
