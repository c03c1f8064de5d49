//! Cost as the work grows: decide + apply by the number of positions and by the number of lots, each beside the bare loop in the same run.

use std::hint::black_box;

use lotbook_core::command::{Side, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::id::TradeHash;
use lotbook_core::rules::LotMethod;
use lotbook_core::{Book, Scratch};
use lotbook_perf::chart::{Chart, Scale, Series};
use serde::Serialize;

use crate::ratios::Best;
use crate::{BareBook, Flow, Rng, book, decide_and_apply};

/// What a trade costs at one size.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Positions, or lots of the one position.
    pub size: u64,
    /// Whose time: a lot method's name, or the bare loop's.
    pub way: &'static str,
    /// Nanoseconds a trade, the fastest of many batches.
    pub ns: f64,
}

const BATCH: usize = 2_560;
const ROUNDS: usize = 40;
/// Trades of a position before anything is timed.
const WARM_UP: u64 = 8;
/// The name of the limit.
pub const BARE: &str = "bare FIFO loop";

/// Trades over so many positions that hold a handful of lots each, first in first out.
#[must_use]
pub fn by_positions(positions: u64) -> [Point; 2] {
    let (mut flow, mut batch, mut scratch) = (Flow::new(positions), Flow::batch(BATCH), Scratch::new());
    let (mut book, mut bare) = (book(positions, LotMethod::Fifo), BareBook::new(positions));
    let (mut ours, mut limit) = (Best::new(), Best::new());
    let warm_up = (positions * WARM_UP).div_ceil(BATCH as u64);
    for round in 0..warm_up + ROUNDS as u64 {
        flow.fill(&mut batch);
        if round < warm_up {
            decide_and_apply(&mut book, &mut scratch, &batch);
            batch.iter().for_each(|trade| bare.trade(trade));
            continue;
        }
        ours.time(BATCH, || decide_and_apply(&mut book, &mut scratch, black_box(&batch)));
        limit.time(BATCH, || black_box(&batch).iter().for_each(|trade| bare.trade(trade)));
    }
    [
        Point { size: positions, way: LotMethod::Fifo.as_str(), ns: ours.get() },
        Point { size: positions, way: BARE, ns: limit.get() },
    ]
}

/// One position that always holds so many lots: sales of one lot's quantity and purchases of the same, by turns.
#[must_use]
pub fn by_lots(lots: u64) -> Vec<Point> {
    let mut points = Vec::new();
    for method in LotMethod::ALL {
        let (mut one, mut scratch, mut trades) = (book(1, method), Scratch::new(), Trades { rng: Rng(lots), next: 0 });
        (0..lots).for_each(|_| take(&mut one, &mut scratch, &[trades.next(Side::Buy)]));
        let mut best = Best::new();
        for _ in 0..ROUNDS {
            let batch = trades.batch(256);
            best.time(batch.len(), || take(&mut one, &mut scratch, black_box(&batch)));
        }
        points.push(Point { size: lots, way: method.as_str(), ns: best.get() });
    }
    let (mut bare, mut trades, mut best) = (BareBook::new(1), Trades { rng: Rng(lots), next: 0 }, Best::new());
    (0..lots).for_each(|_| bare.trade(&trades.next(Side::Buy)));
    for _ in 0..ROUNDS {
        let batch = trades.batch(256);
        best.time(batch.len(), || black_box(&batch).iter().for_each(|trade| bare.trade(trade)));
    }
    points.push(Point { size: lots, way: BARE, ns: best.get() });
    points
}

fn take(book: &mut Book, scratch: &mut Scratch, trades: &[TradeInput]) {
    decide_and_apply(book, scratch, trades);
}

struct Trades {
    rng: Rng,
    next: u64,
}

impl Trades {
    fn next(&mut self, side: Side) -> TradeInput {
        self.next += 1;
        let roll = self.rng.draw();
        TradeInput {
            hash: TradeHash(u128::from(roll) << 64 | u128::from(self.next)),
            namespace: 0,
            account: 0,
            instrument: 0,
            side,
            quantity_e8: 100 * 100_000_000,
            price_e8: (5_000 + (roll % 1_000) as i64) * 1_000_000,
            effective_date: Date(1_000),
            executed_at_ns: self.next as i64,
            source_order: self.next,
            ..TradeInput::EMPTY
        }
    }

    fn batch(&mut self, len: usize) -> Vec<TradeInput> {
        (0..len).map(|n| self.next(if n % 2 == 0 { Side::Sell } else { Side::Buy })).collect()
    }
}

/// A curve a way, both scales by powers of ten.
#[must_use]
pub fn chart(title: &'static str, x_label: &'static str, points: &[Point]) -> Chart {
    let mut series: Vec<Series> = Vec::new();
    let mut x_ticks: Vec<(f64, String)> = Vec::new();
    for point in points {
        let x = point.size as f64;
        if x_ticks.last().is_none_or(|(last, _)| *last < x) {
            x_ticks.push((x, point.size.to_string()));
        }
        match series.iter_mut().find(|series| series.name == point.way) {
            Some(series) => series.points.push((x, point.ns)),
            None => {
                let class = if point.way == BARE { "c2" } else { "c1" };
                series.push(Series { name: point.way, class, points: vec![(x, point.ns)] });
            }
        }
    }
    let y_words = |ns: f64| format!("{ns:.0} ns");
    Chart { title, x_label, x_scale: Scale::Log, y_scale: Scale::Log, x_ticks, y_words, shaded: Vec::new(), series }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_a_tick_and_every_way_a_curve() {
        let point = |size, way| Point { size, way, ns: 1.0 };
        let points = [point(1, "FIFO"), point(1, BARE), point(10, "FIFO"), point(10, BARE)];
        let chart = chart("t", "x", &points);
        assert_eq!(chart.x_ticks.iter().map(|(_, words)| words.as_str()).collect::<Vec<_>>(), ["1", "10"]);
        assert_eq!(
            chart.series.iter().map(|series| (series.name, series.points.len())).collect::<Vec<_>>(),
            [("FIFO", 2), (BARE, 2)]
        );
    }
}
