//! Which shares were sold, what they cost and how long they were held: examples of tax authorities and of books on taxes.

use super::{Example, hold};

/// First in first out where nothing is named; the named lot where one is.
#[test]
fn identified_shares_and_first_in_first_out() {
    hold(&[
        // The source gives 50 shares to a son: here a sale of them at what they cost. Years change with the edition; days and
        // prices of sale are ours.
        Example {
            source: "IRS Publication 550, Stocks and bonds, identification not possible: 130 shares of XYZ",
            method: "FIFO",
            terms: &[],
            rows: &[
                "b1 buy 100 10 1996-06-03",
                "b2 buy 200 11 1997-01-06",
                "gift sell 50 10 1997-07-01",
                "b3 buy 100 9 1998-12-01",
                "s1 sell 130 12 2002-04-01",
            ],
            says: &[
                "gift = cost 500 gain 0",
                "s1: b1 50 cost 500",
                "s1: b2 80 cost 880",
                "s1 = cost 1380",
                "left: b2 120 cost 1320",
                "left: b3 100 cost 900",
            ],
        },
        Example {
            source: "IRS Publication 564 (2003), table 3: FIFO basis of 210 shares of a fund",
            method: "FIFO",
            terms: &[],
            rows: &[
                "b1 buy 160 25 2002-02-05",
                "b2 buy 240 20 2002-08-06",
                "b3 buy 10 30 2002-12-17",
                "s1 sell 210 32 2003-09-30",
            ],
            says: &[
                "s1: b1 160 cost 4000 gain 1120 long",
                "s1: b2 50 cost 1000 gain 600 long",
                "s1 = cost 5000 gain 1720",
                "left: b2 190 cost 3800",
                "left: b3 10 cost 300",
            ],
        },
        // The years are the source's, the days are ours.
        Example {
            source: "J.K. Lasser's Your Income Tax 2013, 30.2: earmarking stock lots, Acme Steel",
            method: "FIFO",
            terms: &[],
            rows: &[
                "b1 buy 100 77 1998-03-02",
                "b2 buy 200 84 1999-03-02",
                "b3 buy 100 105 2000-03-02",
                "s1 sell 100 90 2012-03-02 lot=b3",
            ],
            says: &["s1: b3 100 cost 10500 gain -1500 long", "left: b1 100 cost 7700", "left: b2 200 cost 16800"],
        },
        Example {
            source: "R. Lewis, Identifying Stock Sold for Tax Purposes (fool.com, 2000-08-18): not identified",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 1000 15 2000-01-10", "b2 buy 1000 35 2000-02-25", "s1 sell 1000 32 2000-04-12"],
            says: &["s1: b1 1000 cost 15000 gain 17000 short"],
        },
        Example {
            source: "R. Lewis, Identifying Stock Sold for Tax Purposes (fool.com, 2000-08-18): the February shares",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 1000 15 2000-01-10", "b2 buy 1000 35 2000-02-25", "s1 sell 1000 32 2000-04-12 lot=b2"],
            says: &["s1: b2 1000 cost 35000 gain -3000 short"],
        },
    ]);
}

/// The average basis of all shares, held in the order in which they were acquired.
#[test]
fn average_basis() {
    hold(&[
        // The source rounds the average to $22.20 before it multiplies, hence its $4,662.
        Example {
            source: "IRS Publication 564 (2003), table 3: average basis (single category), $9,100 / 410 shares x 210",
            method: "AVERAGE",
            terms: &[],
            rows: &[
                "b1 buy 160 25 2002-02-05",
                "b2 buy 240 20 2002-08-06",
                "b3 buy 10 30 2002-12-17",
                "s1 sell 210 32 2003-09-30",
            ],
            says: &["s1 = cost 4660.975609756097561 gain 2059.024390243902439"],
        },
        // The days of purchase are ours.
        Example {
            source: "IRS Publication 564 (2003), average basis, examples 1 to 3: $16 a share, after another purchase $15",
            method: "AVERAGE",
            terms: &[],
            rows: &[
                "b1 buy 100 10 2001-01-16",
                "b2 buy 100 12 2001-08-15",
                "b3 buy 100 26 2002-02-15",
                "s1 sell 150 20 2003-05-12",
                "b4 buy 150 14 2003-09-19",
                "s2 sell 50 20 2003-12-16",
            ],
            says: &["s1 = cost 2400 gain 600", "s2 = cost 750 gain 250"],
        },
        // The prices are ours: an average of $15.
        Example {
            source: "IRS Publication 564 (2009), LJO Mutual Fund: one basis, 200 shares long-term and 100 short-term",
            method: "AVERAGE",
            terms: &[],
            rows: &["b1 buy 200 10 2008-05-15", "b2 buy 200 20 2009-05-14", "s1 sell 300 16 2009-11-10"],
            says: &["s1: b1 200 cost 3000 gain 200 long", "s1: b2 100 cost 1500 gain 100 short"],
        },
        // Years of purchase are the source's "three years"; the price of sale is ours.
        Example {
            source: "madfientist.com, Specific Share Identification: the average of 10, 20 and 30",
            method: "AVERAGE",
            terms: &[],
            rows: &[
                "b1 buy 100 10 2010-06-01",
                "b2 buy 100 20 2011-06-01",
                "b3 buy 100 30 2012-06-01",
                "s1 sell 50 30 2012-07-02",
            ],
            says: &["s1: b1 50 cost 1000"],
        },
    ]);
}

/// More than a year: counted from the day after, by the calendar.
#[test]
fn holding_period() {
    hold(&[
        Example {
            source: "J.K. Lasser's Your Income Tax 2013, 5.9, example 1: bought on September 19",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 2 10 2012-09-19", "s1 sell 1 11 2013-09-19", "s2 sell 1 11 2013-09-20"],
            says: &["s1: b1 1 cost 10 gain 1 short", "s2: b1 1 cost 10 gain 1 long"],
        },
        Example {
            source: "J.K. Lasser's Your Income Tax 2013, 5.9, example 2: bought on the last day of November",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 2 10 2012-11-30", "s1 sell 1 11 2013-11-30", "s2 sell 1 11 2013-12-01"],
            says: &["s1: b1 1 cost 10 gain 1 short", "s2: b1 1 cost 10 gain 1 long"],
        },
        Example {
            source: "fool.com, How to Calculate a Holding Period (2005-04-22): Lorna's 100 shares",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 100 10 2005-01-01", "s1 sell 50 11 2006-01-01", "s2 sell 50 11 2006-01-02"],
            says: &["s1: b1 50 cost 500 gain 50 short", "s2: b1 50 cost 500 gain 50 long"],
        },
        // Acquired on the last day of a month: long-term from the first day of the thirteenth month after. The dates are ours.
        Example {
            source: "Rev. Rul. 66-7: the last day of February, before and in a leap year",
            method: "FIFO",
            terms: &[],
            rows: &[
                "b1 buy 2 10 2023-02-28",
                "s1 sell 1 11 2024-02-29",
                "s2 sell 1 11 2024-03-01",
                "b2 buy 2 10 2024-02-29",
                "s3 sell 1 11 2025-02-28",
                "s4 sell 1 11 2025-03-01",
            ],
            says: &[
                "s1: b1 1 cost 10 gain 1 short",
                "s2: b1 1 cost 10 gain 1 long",
                "s3: b2 1 cost 10 gain 1 short",
                "s4: b2 1 cost 10 gain 1 long",
            ],
        },
    ]);
}
