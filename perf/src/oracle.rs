//! A second book, kept as naively as possible.
//!
//! One position at a time: sort its trades chronologically, walk them, keep the open lots in a plain `Vec`. No arenas, no incremental state,
//! no shared code with the engine. Slow is fine here; obvious is the point.
//!
//! The rules, all of them:
//! - Order: effective date, execution time, source order, then the bytes of the trade id. Arrival never orders.
//! - A trade against the open side closes lots first; what is left opens a lot at the trade's price on the other side (a flip), and that lot
//!   keeps the trade's id.
//! - FIFO takes the lot opened first, LIFO the one opened last, HIFO the one with the highest unit price, for short lots as for long ones; equal
//!   prices go to the lot opened first.
//! - A lot's cost is price x quantity (for a short lot: the proceeds of opening it). A part takes cost x part / quantity rounded half-even; the
//!   last part takes what is left, so no cost is made or lost.
//! - Realized: long = proceeds - cost, short = proceeds at opening - cost to cover. Fees are summed apart and never touch a basis.

use core::cmp::Ordering;

/// How the lots that a trade closes are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LotMethod {
    /// First in, first out.
    Fifo,
    /// Last in, first out.
    Lifo,
    /// Highest unit price first.
    Hifo,
}

/// The side of an open lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LotSide {
    /// Bought, to be sold.
    Long,
    /// Sold short, to be covered.
    Short,
}

/// A trade as its sender knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OracleTrade {
    /// The sender's id.
    pub trade_id: String,
    /// True for a buy, false for any kind of sell.
    pub buy: bool,
    /// Quantity at 10^-8, positive.
    pub quantity_e8: i64,
    /// Price at 10^-8.
    pub price_e8: i64,
    /// Fees at 10^-8.
    pub fees_e8: i64,
    /// Effective date, days from 1970-01-01.
    pub effective_days: i32,
    /// Execution time, nanoseconds from 1970-01-01.
    pub executed_at_ns: i64,
    /// Number in the sender's own sequence.
    pub source_order: u64,
}

impl OracleTrade {
    /// The chronological order.
    pub fn chronological(&self, other: &Self) -> Ordering {
        (self.effective_days, self.executed_at_ns, self.source_order, self.trade_id.as_bytes()).cmp(&(
            other.effective_days,
            other.executed_at_ns,
            other.source_order,
            other.trade_id.as_bytes(),
        ))
    }
}

/// An open lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLot {
    /// The trade that opened it.
    pub trade_id: String,
    /// Long or short.
    pub side: LotSide,
    /// What is still open, at 10^-8, positive.
    pub quantity_e8: i64,
    /// Price at which it was opened, at 10^-8.
    pub price_e8: i64,
    /// Cost (short: proceeds) still in it, at 10^-16.
    pub cost_e16: i128,
    /// The effective date of the trade that opened it, days from 1970-01-01.
    pub acquired_days: i32,
}

/// A position, from the oracle or as seen in a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPosition {
    /// Account.
    pub account: String,
    /// Instrument.
    pub instrument: String,
    /// Quantity at 10^-8; below zero when short.
    pub quantity_e8: i64,
    /// Realized P&L at 10^-16, fees not in it.
    pub realized_e16: i128,
    /// Open lots in chronological order of opening.
    pub lots: Vec<SeenLot>,
}

/// What the oracle makes of one position's trades.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Open lots in chronological order of opening.
    pub lots: Vec<SeenLot>,
    /// Realized P&L at 10^-16.
    pub realized_e16: i128,
    /// Sum of the fees at 10^-8.
    pub fees_e8: i128,
}

impl Book {
    /// Signed quantity at 10^-8.
    pub fn quantity_e8(&self) -> i64 {
        let total: i128 = self
            .lots
            .iter()
            .map(|lot| match lot.side {
                LotSide::Long => i128::from(lot.quantity_e8),
                LotSide::Short => -i128::from(lot.quantity_e8),
            })
            .sum();
        i64::try_from(total).expect("a position fits 64 bits")
    }
}

/// Books `trades` of one position, in any order of arrival.
pub fn book(mut trades: Vec<OracleTrade>, method: LotMethod) -> Book {
    trades.sort_by(OracleTrade::chronological);
    let mut book = Book::default();
    for trade in &trades {
        take(&mut book, trade, method);
    }
    book
}

fn take(book: &mut Book, trade: &OracleTrade, method: LotMethod) {
    assert!(trade.quantity_e8 > 0, "trade {} has no quantity", trade.trade_id);
    book.fees_e8 += i128::from(trade.fees_e8);
    let opens = if trade.buy { LotSide::Long } else { LotSide::Short };
    let mut left_e8 = trade.quantity_e8;
    while left_e8 > 0 {
        let Some(chosen) = choose(&book.lots, opens, method) else { break };
        let lot = &mut book.lots[chosen];
        let part_e8 = left_e8.min(lot.quantity_e8);
        let basis_e16 = part_of_cost(lot.cost_e16, part_e8, lot.quantity_e8);
        let trade_value_e16 = i128::from(trade.price_e8) * i128::from(part_e8);
        book.realized_e16 += match lot.side {
            LotSide::Long => trade_value_e16 - basis_e16,
            LotSide::Short => basis_e16 - trade_value_e16,
        };
        lot.cost_e16 -= basis_e16;
        lot.quantity_e8 -= part_e8;
        left_e8 -= part_e8;
        if lot.quantity_e8 == 0 {
            assert_eq!(lot.cost_e16, 0, "a closed lot keeps no cost");
            book.lots.remove(chosen);
        }
    }
    if left_e8 > 0 {
        book.lots.push(SeenLot {
            trade_id: trade.trade_id.clone(),
            side: opens,
            quantity_e8: left_e8,
            price_e8: trade.price_e8,
            cost_e16: i128::from(trade.price_e8) * i128::from(left_e8),
            acquired_days: trade.effective_days,
        });
    }
}

/// The lot that the next part closes: none when nothing is open on the other side. Lots stand in the order of opening.
fn choose(lots: &[SeenLot], opens: LotSide, method: LotMethod) -> Option<usize> {
    if lots.first()?.side == opens {
        return None;
    }
    Some(match method {
        LotMethod::Fifo => 0,
        LotMethod::Lifo => lots.len() - 1,
        LotMethod::Hifo => {
            let mut best = 0;
            for (at, lot) in lots.iter().enumerate() {
                if lot.price_e8 > lots[best].price_e8 {
                    best = at;
                }
            }
            best
        }
    })
}

/// `cost x part / quantity`, rounded half-even; the whole cost for the last part.
///
/// The quotient and the remainder of `cost / quantity` are scaled apart: the remainder is below 2^63, so nothing here can exceed 128 bits.
pub fn part_of_cost(cost_e16: i128, part_e8: i64, quantity_e8: i64) -> i128 {
    assert!(part_e8 > 0);
    assert!(part_e8 <= quantity_e8);
    if part_e8 == quantity_e8 {
        return cost_e16;
    }
    let (part, quantity) = (i128::from(part_e8), i128::from(quantity_e8));
    let whole = cost_e16.div_euclid(quantity) * part;
    let scaled = cost_e16.rem_euclid(quantity) * part;
    let floor = scaled / quantity;
    let twice = 2 * (scaled % quantity);
    let odd = (whole + floor) % 2 != 0;
    let up = twice > quantity || (twice == quantity && odd);
    whole + floor + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use LotMethod::{Fifo, Hifo, Lifo};
    use LotSide::{Long, Short};

    const E8: i64 = 100_000_000;
    const E16: i128 = 10_000_000_000_000_000;

    /// `id side quantity@price day`, quantities and prices in whole units.
    fn trades(lines: &[&str]) -> Vec<OracleTrade> {
        lines
            .iter()
            .enumerate()
            .map(|(at, line)| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let (quantity, price) = words[2].split_once('@').expect("quantity@price");
                OracleTrade {
                    trade_id: words[0].to_owned(),
                    buy: words[1] == "buy",
                    quantity_e8: quantity.parse::<i64>().expect("a number") * E8,
                    price_e8: price.parse::<i64>().expect("a number") * E8,
                    fees_e8: 0,
                    effective_days: words[3].parse().expect("a day"),
                    executed_at_ns: 0,
                    source_order: at as u64,
                }
            })
            .collect()
    }

    #[track_caller]
    fn check(lines: &[&str], method: LotMethod, realized: i64, lots: &[(&str, LotSide, i64, i64)]) {
        let book = book(trades(lines), method);
        assert_eq!(book.realized_e16, i128::from(realized) * E16, "{method:?} realized");
        let seen: Vec<_> = book
            .lots
            .iter()
            .map(|lot| (lot.trade_id.as_str(), lot.side, lot.quantity_e8 / E8, lot.price_e8 / E8))
            .collect();
        assert_eq!(seen, lots, "{method:?} lots");
        for lot in &book.lots {
            assert_eq!(lot.cost_e16, i128::from(lot.price_e8) * i128::from(lot.quantity_e8));
        }
    }

    #[test]
    fn the_three_methods_on_one_table() {
        // Three lots at 10, 30, 20; then 150 sold at 40.
        let table = ["a buy 100@10 1", "b buy 100@30 2", "c buy 100@20 3", "s sell 150@40 4"];
        check(&table, Fifo, 100 * 30 + 50 * 10, &[("b", Long, 50, 30), ("c", Long, 100, 20)]);
        check(&table, Lifo, 100 * 20 + 50 * 10, &[("a", Long, 100, 10), ("b", Long, 50, 30)]);
        check(&table, Hifo, 100 * 10 + 50 * 20, &[("a", Long, 100, 10), ("c", Long, 50, 20)]);
    }

    #[test]
    fn short_lots_follow_the_same_methods() {
        let table = ["a sell 100@10 1", "b sell 100@30 2", "c sell 100@20 3", "x buy 150@15 4"];
        check(&table, Fifo, -5 * 100 + 15 * 50, &[("b", Short, 50, 30), ("c", Short, 100, 20)]);
        check(&table, Lifo, 5 * 100 + 15 * 50, &[("a", Short, 100, 10), ("b", Short, 50, 30)]);
        check(&table, Hifo, 15 * 100 + 5 * 50, &[("a", Short, 100, 10), ("c", Short, 50, 20)]);
    }

    #[test]
    fn a_flip_closes_first_and_opens_the_rest_at_its_own_price() {
        let table = ["a buy 100@10 1", "s sell 250@12 2"];
        for method in [Fifo, Lifo, Hifo] {
            check(&table, method, 200, &[("s", Short, 150, 12)]);
        }
        let back = ["a buy 100@10 1", "s sell 250@12 2", "b buy 200@11 3"];
        for method in [Fifo, Lifo, Hifo] {
            check(&back, method, 200 + 150, &[("b", Long, 50, 11)]);
        }
    }

    #[test]
    fn ties_in_price_go_to_the_lot_opened_first() {
        let table = ["a buy 10@5 1", "b buy 10@5 2", "c buy 10@4 3", "s sell 15@6 4"];
        check(&table, Hifo, 15, &[("b", Long, 5, 5), ("c", Long, 10, 4)]);
    }

    #[test]
    fn arrival_does_not_order() {
        // `late` arrives last, yet it is the first lot.
        let table = ["b buy 100@20 5", "s sell 100@40 6", "late buy 100@10 1"];
        check(&table, Fifo, 100 * 30, &[("b", Long, 100, 20)]);
        check(&table, Lifo, 100 * 20, &[("late", Long, 100, 10)]);
    }

    #[test]
    fn the_key_goes_by_date_then_time_then_order_then_id() {
        let at = |id: &str, days, ns, order| OracleTrade {
            trade_id: id.to_owned(),
            buy: true,
            quantity_e8: 1,
            price_e8: 1,
            fees_e8: 0,
            effective_days: days,
            executed_at_ns: ns,
            source_order: order,
        };
        let sorted = [at("z", 1, 9, 9), at("y", 2, 1, 9), at("x", 2, 2, 1), at("B", 2, 2, 2), at("a", 2, 2, 2)];
        let mut shuffled = sorted.to_vec();
        shuffled.reverse();
        shuffled.sort_by(OracleTrade::chronological);
        assert_eq!(shuffled, sorted);
    }

    #[test]
    fn flat_keeps_its_realized_and_fees_stay_apart() {
        let mut list = trades(&["a buy 100@10 1", "s sell 100@9 2"]);
        list[0].fees_e8 = 5;
        list[1].fees_e8 = 7;
        let book = book(list, Fifo);
        assert_eq!((book.quantity_e8(), book.lots.len()), (0, 0));
        assert_eq!(book.realized_e16, -100 * E16);
        assert_eq!(book.fees_e8, 12);
    }

    #[test]
    fn a_part_of_a_cost_rounds_half_even_and_the_last_takes_the_rest() {
        for (cost, part, quantity, expected) in [
            (10, 1, 4, 2),   // 2.5 -> 2
            (14, 1, 4, 4),   // 3.5 -> 4
            (10, 3, 4, 8),   // 7.5 -> 8
            (6, 3, 4, 4),    // 4.5 -> 4
            (10, 1, 3, 3),   // 3.33
            (11, 1, 3, 4),   // 3.67
            (-10, 1, 4, -2), // -2.5 -> -2
            (-14, 1, 4, -4), // -3.5 -> -4
            (-11, 1, 3, -4), // -3.67
            (7, 4, 4, 7),
        ] {
            assert_eq!(part_of_cost(cost, part, quantity), expected, "{cost} x {part} / {quantity}");
        }
        // The greatest figures that can meet: no overflow, and the parts add up.
        let (cost, quantity) = (i128::from(i64::MAX) * i128::from(i64::MAX), i64::MAX);
        let part = part_of_cost(cost, quantity - 1, quantity);
        assert_eq!(part, i128::from(i64::MAX) * i128::from(i64::MAX - 1));
    }

    #[test]
    fn total_pnl_is_the_same_for_every_method() {
        // Realized + unrealized at any one mark does not depend on the choice of lots.
        let mut rng = crate::rng::Rng::new(3, 0);
        let list: Vec<OracleTrade> = (0..500)
            .map(|at| OracleTrade {
                trade_id: format!("t{at}"),
                buy: rng.below(2) == 0,
                quantity_e8: rng.between(1, 900_000_007),
                price_e8: rng.between(1, 50_000_000_003),
                fees_e8: 0,
                effective_days: rng.between(0, 9) as i32,
                executed_at_ns: rng.between(0, 9),
                source_order: at,
            })
            .collect();
        let total = |method| {
            let book = book(list.clone(), method);
            let mark_e8 = 12_345_678_901i128;
            let open: i128 = book
                .lots
                .iter()
                .map(|lot| {
                    let value = mark_e8 * i128::from(lot.quantity_e8);
                    if lot.side == Long { value - lot.cost_e16 } else { lot.cost_e16 - value }
                })
                .sum();
            (book.quantity_e8(), book.realized_e16 + open)
        };
        assert_eq!(total(Fifo), total(Lifo));
        assert_eq!(total(Fifo), total(Hifo));
    }
}
