//! Cases that tools for the same work keep for themselves: of their tests, only the numbers.

use super::{Example, hold};

/// beancount 3.2.3, `parser/booking_full_test.py`: lots of 5, 4 and 6, of which the second to stand there is the oldest.
macro_rules! ambiguous {
    ($($case:ident $method:literal $sold:literal [$($says:literal),*])*) => {
        &[$(Example {
            source: concat!("beancount 3.2.3, booking_full_test.py, ambiguous, ", $method, ", ", stringify!($case)),
            method: $method,
            terms: &[],
            rows: &[
                "b2 buy 5 111.11 2015-10-02",
                "b1 buy 4 100 2015-10-01",
                "b3 buy 6 122.22 2015-10-03",
                concat!("s1 sell ", $sold, " 130 2016-02-22"),
            ],
            says: &[$($says),*],
        }),*]
    };
}

#[test]
fn beancount_reduces_ambiguous_lots() {
    hold(ambiguous! {
        partial_first_lot "FIFO" "2" ["s1: b1 2 cost 200", "left: b1 2 cost 200", "left: b2 5 cost 555.55", "left: b3 6 cost 733.32"]
        complete_first_lot "FIFO" "4" ["s1: b1 4 cost 400", "left: b2 5 cost 555.55", "left: b3 6 cost 733.32"]
        partial_first_two_lots "FIFO" "7" ["s1: b1 4 cost 400", "s1: b2 3 cost 333.33", "left: b2 2 cost 222.22", "left: b3 6 cost 733.32"]
        complete_first_two_lots "FIFO" "9" ["s1: b1 4 cost 400", "s1: b2 5 cost 555.55", "left: b3 6 cost 733.32"]
        partial_first_three_lots "FIFO" "12" ["s1: b1 4 cost 400", "s1: b2 5 cost 555.55", "s1: b3 3 cost 366.66", "left: b3 3 cost 366.66"]
        complete_first_three_lots "FIFO" "15" ["s1: b1 4 cost 400", "s1: b2 5 cost 555.55", "s1: b3 6 cost 733.32", "left: nothing"]
        more_than_is_available "FIFO" "16" ["s1! OVERSELL", "left: b1 4 cost 400", "left: b2 5 cost 555.55", "left: b3 6 cost 733.32"]
        complete_first_two_lots "LIFO" "11" ["s1: b2 5 cost 555.55", "s1: b3 6 cost 733.32", "left: b1 4 cost 400"]
        partial_first_three_lots "LIFO" "12" ["s1: b1 1 cost 100", "s1: b2 5 cost 555.55", "s1: b3 6 cost 733.32", "left: b1 3 cost 300"]
        complete_first_three_lots "LIFO" "15" ["s1: b1 4 cost 400", "s1: b2 5 cost 555.55", "s1: b3 6 cost 733.32", "left: nothing"]
        more_than_is_available "LIFO" "16" ["s1! OVERSELL", "left: b1 4 cost 400", "left: b2 5 cost 555.55", "left: b3 6 cost 733.32"]
    });
}

#[test]
fn beancount_reduces_several_times() {
    hold(&[
        Example {
            source: "beancount 3.2.3, booking_full_test.py, multiple reductions",
            method: "FIFO",
            terms: &[],
            rows: &[
                "b1 buy 50 115 2016-01-15",
                "b2 buy 50 116 2016-01-16",
                "s1 sell 40 120 2016-05-02",
                "s2 sell 35 120 2016-05-02",
            ],
            says: &["s1: b1 40 cost 4600", "s2: b1 10 cost 1150", "s2: b2 25 cost 2900", "left: b2 25 cost 2900"],
        },
        Example {
            source: "beancount 3.2.3, booking_full_test.py, multiple reductions by HIFO",
            method: "HIFO",
            terms: &[],
            rows: &[
                "b1 buy 50 115 2016-01-15",
                "b2 buy 50 116 2016-01-16",
                "b3 buy 50 114 2016-01-17",
                "s1 sell 40 120 2016-05-02",
                "s2 sell 35 120 2016-05-02",
                "s3 sell 30 120 2016-05-02",
            ],
            says: &[
                "s1: b2 40 cost 4640",
                "s2: b1 25 cost 2875",
                "s2: b2 10 cost 1160",
                "s3: b1 25 cost 2875",
                "s3: b3 5 cost 570",
                "left: b3 45 cost 5130",
            ],
        },
        Example {
            source: "beancount 3.2.3, booking_full_test.py, matching existing: the lot at 101 of two of one date",
            method: "FIFO",
            terms: &[],
            rows: &["b1 buy 5 100 2015-10-01", "b2 buy 5 101 2015-10-01", "s1 sell 2 110 2016-06-01 lot=b2"],
            says: &["s1: b2 2 cost 202", "left: b1 5 cost 500", "left: b2 3 cost 303"],
        },
    ]);
}

/// rp2 1.7.2, `tests/test_accounting_method.py`: lots are there before the first sale. The price of sale is ours.
#[test]
fn rp2_seeks_lots() {
    let case = |source, method, rows, says| Example { source, method, terms: &[], rows, says };
    hold(&[
        case(
            "rp2 1.7.2, test_accounting_method.py, FIFO, simple",
            "FIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "b2 buy 20 11 2021-01-02",
                "b3 buy 30 12 2021-01-03",
                "s1 sell 6 20 2021-02-01",
                "s2 sell 4 20 2021-02-02",
                "s3 sell 2 20 2021-02-03",
                "s4 sell 18 20 2021-02-04",
                "s5 sell 3 20 2021-02-05",
            ],
            &["s1: b1 6", "s2: b1 4", "s3: b2 2", "s4: b2 18", "s5: b3 3", "left: b3 27"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, FIFO, more than a lot",
            "FIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "b2 buy 20 11 2021-01-02",
                "b3 buy 30 12 2021-01-03",
                "s1 sell 15 20 2021-02-01",
                "s2 sell 10 20 2021-02-02",
                "s3 sell 5 20 2021-02-03",
            ],
            &["s1: b1 10", "s1: b2 5", "s2: b2 10", "s3: b2 5", "left: b3 30"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, LIFO, simple",
            "LIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "b2 buy 20 11 2021-01-02",
                "b3 buy 30 12 2021-01-03",
                "s1 sell 7 20 2021-02-01",
                "s2 sell 23 20 2021-02-02",
                "s3 sell 19 20 2021-02-03",
                "s4 sell 1 20 2021-02-04",
                "s5 sell 9 20 2021-02-05",
            ],
            &["s1: b3 7", "s2: b3 23", "s3: b2 19", "s4: b2 1", "s5: b1 9", "left: b1 1"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, LIFO, more than a lot",
            "LIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "b2 buy 20 11 2021-01-02",
                "b3 buy 30 12 2021-01-03",
                "s1 sell 55 20 2021-02-01",
                "s2 sell 5 20 2021-02-02",
            ],
            &["s1: b1 5", "s1: b2 20", "s1: b3 30", "s2: b1 5", "left: nothing"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, LIFO, lots that come between sales",
            "LIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "s1 sell 4 20 2021-01-01",
                "b2 buy 20 11 2021-01-02",
                "s2 sell 15 20 2021-01-02",
                "b3 buy 30 12 2021-01-03",
                "s3 sell 27 20 2021-01-03",
                "s4 sell 14 20 2021-01-04",
            ],
            &["s1: b1 4", "s2: b2 15", "s3: b3 27", "s4: b1 6", "s4: b2 5", "s4: b3 3", "left: nothing"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, HIFO, simple",
            "HIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "b2 buy 20 12 2021-01-02",
                "b3 buy 30 11 2021-01-03",
                "s1 sell 15 20 2021-02-01",
                "s2 sell 5 20 2021-02-02",
                "s3 sell 20 20 2021-02-03",
                "s4 sell 10 20 2021-02-04",
                "s5 sell 7 20 2021-02-05",
            ],
            &["s1: b2 15", "s2: b2 5", "s3: b3 20", "s4: b3 10", "s5: b1 7", "left: b1 3"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, HIFO, more than a lot",
            "HIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "b2 buy 20 12 2021-01-02",
                "b3 buy 30 11 2021-01-03",
                "s1 sell 15 20 2021-02-01",
                "s2 sell 5 20 2021-02-02",
                "s3 sell 35 20 2021-02-03",
                "s4 sell 5 20 2021-02-04",
            ],
            &["s1: b2 15", "s2: b2 5", "s3: b1 5", "s3: b3 30", "s4: b1 5", "left: nothing"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, HIFO, lots that come between sales",
            "HIFO",
            &[
                "b1 buy 10 10 2021-01-01",
                "s1 sell 4 20 2021-01-01",
                "b2 buy 20 12 2021-01-02",
                "s2 sell 16 20 2021-01-02",
                "b3 buy 30 11 2021-01-03",
                "s3 sell 40 20 2021-01-03",
            ],
            &["s1: b1 4", "s2: b2 16", "s3: b1 6", "s3: b2 4", "s3: b3 30", "left: nothing"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, LOFO, simple",
            "LOFO",
            &[
                "b1 buy 10 12 2021-01-01",
                "b2 buy 20 10 2021-01-02",
                "b3 buy 30 11 2021-01-03",
                "s1 sell 15 20 2021-02-01",
                "s2 sell 5 20 2021-02-02",
                "s3 sell 20 20 2021-02-03",
                "s4 sell 10 20 2021-02-04",
                "s5 sell 7 20 2021-02-05",
            ],
            &["s1: b2 15", "s2: b2 5", "s3: b3 20", "s4: b3 10", "s5: b1 7", "left: b1 3"],
        ),
        case(
            "rp2 1.7.2, test_accounting_method.py, LOFO, lots that come between sales",
            "LOFO",
            &[
                "b1 buy 10 12 2021-01-01",
                "s1 sell 4 20 2021-01-01",
                "b2 buy 20 10 2021-01-02",
                "s2 sell 16 20 2021-01-02",
                "b3 buy 30 11 2021-01-03",
                "s3 sell 40 20 2021-01-03",
            ],
            &["s1: b1 4", "s2: b2 16", "s3: b1 6", "s3: b2 4", "s3: b3 30", "left: nothing"],
        ),
    ]);
}

/// Fees in the basis: 20 on 2.0002 units at 10,000, of which 0.001 are sold at 12,500. The source shows four decimals: 10.0100 and 2.4900.
#[test]
fn rp2_keeps_buying_fees_in_the_basis() {
    hold(&[Example {
        source: "rp2 1.7.2, test_gain_loss.py, transaction 30 from lot 10",
        method: "FIFO",
        terms: &[("fees_rule", "IN_BASIS")],
        rows: &["b1 buy 2.0002 10000 2020-01-02 fees=20", "s1 sell 0.001 12500 2021-03-10"],
        says: &["s1: b1 0.001 cost 10.00999900009999 gain 2.49000099990001 long"],
    }]);
}

#[test]
fn coinbasis_starts_quickly() {
    let rows: &[&str] = &["b1 buy 1 100 2020-01-01", "b2 buy 1 300 2021-01-01", "s1 sell 1 500 2022-01-01"];
    let case = |source, method, says| Example { source, method, terms: &[], rows, says };
    hold(&[
        case("coinbasis 0.1.0, README, quickstart by FIFO", "FIFO", &["s1: b1 1 cost 100 gain 400 long"]),
        case("coinbasis 0.1.0, README, quickstart by HIFO", "HIFO", &["s1: b2 1 cost 300 gain 200"]),
    ]);
}
