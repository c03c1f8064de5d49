//! Splits, cash in lieu of fractions and distributions that are no dividends: examples of tax authorities and of advisers.

use super::{Example, hold};

/// The cost of a lot is the cost of what it becomes.
#[test]
fn stock_splits() {
    hold(&[
        // The dates are ours.
        Example {
            source: "IRS Publication 550, Stock dividends: one share at $45, two new ones for it",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 1 45 1998-01-05", "split 3:1 1999-06-01", "s1 sell 1 20 1999-07-01"],
            says: &["s1: b1 1 cost 15 gain 5 long", "left: b1 2 cost 30"],
        },
        Example {
            source: "IRS Publication 550, Stock dividends: two shares at $30 and $45 become three at $10 and three at $15",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 1 30 1998-01-05", "b2 buy 1 45 1998-02-02", "split 3:1 1999-06-01"],
            says: &["left: b1 3 cost 30", "left: b2 3 cost 45"],
        },
        Example {
            source: "irs.gov, frequently asked questions, stocks (options, splits, traders) 1: two for one, lot by lot",
            method: "FIFO",
            terms: &[],
            rows: &[
                "b1 buy 100 10 2020-01-02",
                "b2 buy 100 12 2020-02-03",
                "split 2:1 2020-06-01",
                "s1 sell 200 7 2020-07-01",
                "s2 sell 200 7 2020-07-02",
            ],
            says: &["s1: b1 200 cost 1000 gain 400 short", "s2: b2 200 cost 1200 gain 200 short", "left: nothing"],
        },
        Example {
            source: "ttlc.intuit.com (2019-06-03), reverse split one for ten: 10,000 shares for $5,000",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 10000 0.5 2018-01-02", "split 1:10 2018-06-01", "s1 sell 1 6 2018-07-02"],
            says: &["s1: b1 1 cost 5 gain 1 short", "left: b1 999 cost 4995"],
        },
    ]);
}

/// The fraction is sold at what is paid for it.
#[test]
fn cash_in_lieu_of_fractions() {
    hold(&[
        // $6.06 and $3.94 in the source, rounded.
        Example {
            source: "hrblock.com, Fractional shares: Dana's 55 shares for $1,000, three for two, $10 for the half share",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 55 - 2010-01-04 consideration=1000", "split 3:2 2011-06-01 cash_in_lieu_price=20"],
            says: &["left: b1 82 cost 993.9393939393939394", "realized 3.9393939393939394 long 3.9393939393939394"],
        },
        // The cash is ours: $13 a new share.
        Example {
            source: "forum.thetaxbook.com, Reverse stock split (5039): 1,783 shares at $1, one for ten, three old shares paid out",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 1783 1 2008-01-02", "split 1:10 2009-06-01 cash_in_lieu_price=13"],
            says: &["left: b1 178 cost 1780", "realized 0.9 long 0.9"],
        },
    ]);
}

/// Costs first, then gains.
#[test]
fn nondividend_distributions() {
    hold(&[
        // The years are the source's, the days are ours.
        Example {
            source: "IRS Publication 17 (2017), Nondividend distributions: $100, then $80 and $30 paid back",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 1 100 2004-03-01", "return_of_capital 80 2007-06-01"],
            says: &["left: b1 1 cost 20", "realized 0 long 0"],
        },
        Example {
            source: "IRS Publication 17 (2017), Nondividend distributions: the second, $10 of it a long-term gain",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 1 100 2004-03-01", "return_of_capital 80 2007-06-01", "return_of_capital 30 2017-06-01"],
            says: &["left: b1 1 cost 0", "realized 10 long 10"],
        },
        Example {
            source: "26 CFR 1.1016-5(a), example: stock for $5,000, a distribution of $2,000, an adjusted basis of $3,000",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 100 50 1923-02-01", "return_of_capital 20 1924-02-01", "s1 sell 100 45 1954-02-01"],
            says: &["s1: b1 100 cost 3000 gain 1500 long", "left: nothing"],
        },
    ]);
}
