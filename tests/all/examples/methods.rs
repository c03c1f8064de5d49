//! Methods explained by example: by an encyclopedia, by brokers and by makers of tax software.

use super::{Example, hold};

/// 100 units at 50, 125 at 55, 75 at 59; 210 are sold. The dates and the price of sale are ours.
const FOO: &[&str] =
    &["b1 buy 100 50 2020-11-01", "b2 buy 125 55 2020-11-02", "b3 buy 75 59 2020-11-03", "s1 sell 210 60 2020-11-30"];

#[test]
fn inventory_of_a_company() {
    hold(&[
        Example {
            source: "Wikipedia, FIFO and LIFO accounting: Foo Co. by FIFO",
            method: "FIFO",
            terms: &[],
            rows: FOO,
            says: &["s1: b1 100 cost 5000", "s1: b2 110 cost 6050", "s1 = cost 11050"],
        },
        Example {
            source: "Wikipedia, FIFO and LIFO accounting: Foo Co. by LIFO",
            method: "LIFO",
            terms: &[],
            rows: FOO,
            says: &["s1: b1 10 cost 500", "s1: b2 125 cost 6875", "s1: b3 75 cost 4425", "s1 = cost 11800"],
        },
    ]);
}

const DAVE: &[&str] =
    &["b1 buy 1 2000 2017-09-22", "b2 buy 2 2500 2018-01-06", "b3 buy 1 8000 2018-04-19", "s1 sell 1 4000 2018-05-03"];

#[test]
fn one_sale_by_four_methods() {
    let recap = |method, source, says| Example { source, method, terms: &[], rows: DAVE, says };
    hold(&[
        recap("LIFO", "docs.recap.io, Cost basis methods: LIFO", &["s1: b3 1 cost 8000 gain -4000 short"]),
        recap("FIFO", "docs.recap.io, Cost basis methods: FIFO", &["s1: b1 1 cost 2000 gain 2000 short"]),
        recap("HIFO", "docs.recap.io, Cost basis methods: HIFO", &["s1: b3 1 cost 8000 gain -4000 short"]),
        recap("LOFO", "docs.recap.io, Cost basis methods: LOFO", &["s1: b1 1 cost 2000 gain 2000 short"]),
    ]);
}

/// Bought by mistake and sold at once, at a tiny short-term gain: old lots with great long-term gains go first all the same.
/// The numbers of units are the source's; its prices are not told, these are ours.
#[test]
fn minimum_tax_takes_long_term_gains_before_small_short_term_ones() {
    hold(&[Example {
        source: "A. Roth, Select the Right Cost Basis Method (etf.com, 2025-04-14): MinTax of a broker",
        method: "MIN_TAX",
        terms: &[],
        rows: &["b1 buy 2700 100 2015-03-02", "b2 buy 3000 155 2025-03-03", "s1 sell 2700 156 2025-03-03"],
        says: &["s1: b1 2700 cost 270000 gain 151200 long", "left: b2 3000 cost 465000"],
    }]);
}

/// Where we differ: of several losses the greatest goes first here, the short-term one there. The numbers are ours.
#[test]
fn minimum_tax_takes_the_greatest_loss_of_any_term() {
    hold(&[Example {
        source: "A. Roth, Select the Right Cost Basis Method (etf.com, 2025-04-14): MinTax, long-term losses second there",
        method: "MIN_TAX",
        terms: &[],
        rows: &["b1 buy 1 130 2020-01-02", "b2 buy 1 110 2024-11-01", "s1 sell 1 100 2025-01-02"],
        says: &["s1: b1 1 cost 130 gain -30 long", "left: b2 1 cost 110"],
    }]);
}

/// The order of that broker's list where it is also ours: a loss, then long-term gains, then short-term ones, each the
/// smallest first. The numbers are ours.
#[test]
fn minimum_tax_in_order() {
    hold(&[Example {
        source: "A. Roth, Select the Right Cost Basis Method (etf.com, 2025-04-14): priorities of MinTax",
        method: "MIN_TAX",
        terms: &[],
        rows: &[
            "b1 buy 1 60 2020-01-02",
            "b2 buy 1 80 2020-02-03",
            "b3 buy 1 90 2024-10-01",
            "b4 buy 1 120 2024-11-01",
            "b5 buy 1 97 2024-12-02",
            "s1 sell 1 100 2025-01-02",
            "s2 sell 1 100 2025-01-03",
            "s3 sell 1 100 2025-01-06",
            "s4 sell 1 100 2025-01-07",
            "s5 sell 1 100 2025-01-08",
        ],
        says: &[
            "s1: b4 1 cost 120 gain -20 short",
            "s2: b2 1 cost 80 gain 20 long",
            "s3: b1 1 cost 60 gain 40 long",
            "s4: b5 1 cost 97 gain 3 short",
            "s5: b3 1 cost 90 gain 10 short",
            "left: nothing",
        ],
    }]);
}
