//! Worked examples of wash sales: a history a line, and what the view says of it, a line each.
//!
//! Published ones name their source. Golden files of two public calculators are given beside the publications where they
//! say more; where this book decides otherwise the reason stands there.

pub(super) mod rig;

use alloc::vec::Vec;

use super::*;
use rig::{check, own, steps};

#[test]
fn publications() {
    check(
        "Publication 550, Wash Sales, example 1 (dates: golden file of a public calculator)",
        "2014-05-01 A buy a 100 1000
         2014-07-01 A sell s 100 750 a
         2014-07-05 A buy b 100 800",
        "loss s a 100: 250 on 100 -> b 100 +250 61d
         lot b: 100 +250 61d
         A: disallowed 250 recognized 0 carried 250 long 0",
    );
    check(
        "26 CFR 1.1091-1(h), example 1: bought twice in December, the first lot sold on 3 January",
        "1954-12-01 A buy a 100 10000
         1954-12-15 A buy b 100 9000
         1955-01-03 A sell s 100 9000 a",
        "loss s a 100: 1000 on 100 -> b 100 +1000 33d
         lot b: 100 +1000 33d
         A: disallowed 1000 recognized 0 carried 1000 long 0",
    );
    check(
        "26 CFR 1.1091-1(h), example 2; Publication 550, Wash Sales, more or less stock bought than sold, example 1",
        "1954-09-21 A buy a 100 5000
         1954-12-21 A buy b 50 2750
         1954-12-27 A buy c 25 1125
         1955-01-03 A sell s 100 4000 a",
        "loss s a 100: 750 on 75 -> b 50 +500 104d, c 25 +250 104d
         lot b: 50 +500 104d
         lot c: 25 +250 104d
         A: disallowed 750 recognized 0 carried 750 long 0",
    );
    check(
        "26 CFR 1.1091-1(h), example 3; Publication 550, Wash Sales, more or less stock bought than sold, example 2",
        "1954-09-15 A buy a 100 5000
         1956-02-01 A sell s 100 4000 a
         1956-02-15 A buy b 50 2000
         1956-02-16 A buy c 50 2000
         1956-02-17 A buy d 50 2000
         1956-02-18 A buy e 50 2000",
        "loss s a 100: 1000 on 100 -> b 50 +500 504d, c 50 +500 504d
         lot b: 50 +500 504d
         lot c: 50 +500 504d
         A: disallowed 1000 recognized 0 carried 1000 long 1000",
    );
    check(
        "26 CFR 1.1091-2(a), example 1: bought in 1935 for 100, sold for 80, bought for 90: basis 110",
        "1935-01-01 A buy a 1 100
         1955-01-15 A sell s 1 80 a
         1955-02-01 A buy b 1 90",
        "loss s a 1: 20 on 1 -> b 1 +20 7319d
         lot b: 1 +20 7319d
         A: disallowed 20 recognized 0 carried 20 long 20",
    );
    check(
        "26 CFR 1.1091-2(a), example 2: bought for 70: basis 90",
        "1935-01-01 A buy a 1 100
         1955-01-15 A sell s 1 80 a
         1955-02-01 A buy b 1 70",
        "loss s a 1: 20 on 1 -> b 1 +20 7319d
         lot b: 1 +20 7319d
         A: disallowed 20 recognized 0 carried 20 long 20",
    );
    check(
        "Publication 550, Wash Sales, loss and gain on same day: no gain of the other blocks is reduced",
        "2008-01-05 A buy a 100 15800
         2008-01-06 A buy b 100 10000
         2008-01-07 A buy c 100 9500
         2013-12-27 A sell s 300 37500 a:100 b:100 c:100
         2014-01-09 A buy d 250 25000",
        "loss s a 100: 3300 on 100 -> d 100 +3300 2183d
         lot d: 100 +3300 2183d, 150 +0 0d
         A: disallowed 3300 recognized 0 carried 3300 long 3300",
    );
    check(
        "Publication 550, \"Holding period\" of wash sales; 26 USC 1223(3): the new units are long-term with the old ones' days",
        "2020-01-01 A buy a 10 100
         2020-06-01 A sell s 10 90 a
         2020-06-11 A buy b 10 90
         2021-01-20 A sell t 10 200 b",
        "loss s a 10: 10 on 10 -> b 10 +10 152d
         A: disallowed 10 recognized 10 carried 0 long 100",
    );
    check(
        "Rev. Rul. 56-602; Fairmark, \"Selling half\": the rest of the lot that is sold is no replacement",
        "2014-06-01 A buy a 200 10000
         2014-06-12 A sell s 100 4000 a",
        "",
    );
    check(
        "Fairmark, \"Same-day trades\": a day trader's first loss reduces the second round's gain",
        "2014-05-01 A buy a 100 1000
         2014-05-01 A sell s 100 900 a
         2014-05-01 A buy b 100 800
         2014-05-01 A sell t 100 900 b",
        "loss s a 100: 100 on 100 -> b 100 +100 0d
         A: disallowed 100 recognized 100 carried 0 long 0",
    );
}

/// Golden files of the public tools adlr/wash-sale-calculator and bbreslauer/wash-sale-tracker, their cases written anew.
#[test]
fn golden_cases_of_public_calculators() {
    check(
        "same_day_loss_compute: the replacement is sold at a loss itself, with its addition",
        "2014-01-25 A buy a 2 100
         2014-01-28 A sell s 2 50 a
         2014-02-25 A buy b 5 250
         2014-02-28 A sell t 5 125 b",
        "loss s a 2: 50 on 2 -> b 2 +50 3d
         A: disallowed 50 recognized 50 carried 0 long 0",
    );
    check(
        "two_lots_different_buy_days, sold one after the other: the second was there when the first was sold",
        "2014-09-15 A buy a 10 2000
         2014-09-25 A buy b 10 1900
         2014-10-05 A sell s 10 1800 a
         2014-10-05 A sell t 10 1800 b",
        "loss s a 10: 200 on 10 -> b 10 +200 20d
         A: disallowed 200 recognized 200 carried 0 long 0",
    );
    check(
        "the same, sold by one trade: nothing is left that could replace (rule 11.2; the calculator knows no trades)",
        "2014-09-15 A buy a 10 2000
         2014-09-25 A buy b 10 1900
         2014-10-05 A sell s 20 3600 a:10 b:10",
        "",
    );
    check(
        "two_lots_same_days, sold one after the other: part of the first is replaced by the second",
        "2014-09-25 A buy a 4 2351.96
         2014-09-25 A buy b 2 1175.98
         2014-10-24 A sell s 4 2148.64 a
         2014-10-24 A sell t 2 1074.32 b",
        "loss s a 4: 101.66 on 2 -> b 2 +101.66 29d
         A: disallowed 101.66 recognized 101.66 carried 0 long 0",
    );
}

#[test]
fn each_sentence_of_the_rule() {
    check(
        "1: a gain is none, whatever follows",
        "2020-01-02 A buy a 10 100
         2020-01-06 A sell s 10 101 a
         2020-01-07 A buy b 10 100",
        "",
    );
    check(
        "1: without the rule nothing is disallowed, and what units carry is realized all the same",
        "2020-01-02 A buy a 10 100
         2020-01-06 A sell s 10 90 a
         2020-01-07 A buy b 10 95
         wash=NONE
         2020-01-08 A sell t 10 80 b
         2020-01-09 A buy c 10 80",
        "loss s a 10: 10 on 10 -> b 10 +10 4d
         A: disallowed 10 recognized 10 carried 0 long 0",
    );
    check(
        "1: an addition makes a loss of a gain",
        "2020-01-02 A buy a 10 100
         2020-01-06 A sell s 10 50 a
         2020-01-07 A buy b 10 50
         2020-01-08 A sell t 10 60 b
         2020-01-09 A buy c 10 60",
        "loss s a 10: 50 on 10 -> b 10 +50 4d
         loss t b 10: 40 on 10 -> c 10 +40 5d
         lot c: 10 +40 5d
         A: disallowed 90 recognized 50 carried 40 long 0",
    );
    check(
        "1: units of one lot that carry another addition are another loss: here the matched ones lose, the others gain",
        "2020-01-02 A buy a 10 100
         2020-01-06 A sell s 10 50 a
         2020-01-07 A buy b 30 150
         2020-01-08 A sell t 30 180 b
         2020-01-09 A buy c 5 30",
        "loss s a 10: 50 on 10 -> b 10 +50 4d
         loss t b 10: 20 on 5 -> c 5 +20 5d
         lot c: 5 +20 5d
         A: disallowed 70 recognized 50 carried 20 long 0",
    );
    check(
        "2: thirty days before and after count, thirty-one do not",
        "2020-03-01 A buy x 1 10
         2020-03-02 A buy a 1 10
         2020-04-01 A sell s 1 9 x
         2020-05-02 A buy b 1 9",
        "loss s x 1: 1 on 1 -> a 1 +1 31d
         lot a: 1 +1 31d
         A: disallowed 1 recognized 0 carried 1 long 0",
    );
    check(
        "2: one day beyond the window, to either side",
        "2020-03-01 A buy a 1 10
         2020-03-01 A buy b 1 10
         2020-04-01 A sell s 1 9 a
         2020-05-02 A buy c 1 9",
        "",
    );
    check(
        "2: a window of the contract's own",
        "wash=ACCOUNT days=0
         2020-03-01 A buy a 3 30
         2020-03-31 A sell s 1 9 a
         2020-04-01 A buy b 1 9
         2020-04-01 A sell t 1 9 a",
        "loss t a 1: 1 on 1 -> b 1 +1 31d
         lot b: 1 +1 31d
         A: disallowed 1 recognized 0 carried 1 long 0",
    );
    check(
        "2: units that were sold before the loss replace nothing; money.stackexchange.com, question 91884",
        "2020-01-01 A buy a 1 100
         2020-01-01 A sell r 1 110 a
         2020-01-02 A buy b 3 300
         2020-01-02 A sell s 3 270 b
         2020-01-03 A buy c 1 100
         2020-01-03 A sell t 1 110 c",
        "loss s b 3: 10 on 1 -> c 1 +10 0d
         A: disallowed 10 recognized 10 carried 0 long 0",
    );
    check(
        "2: a unit replaces once",
        "2020-01-02 A buy a 10 100
         2020-01-03 A buy b 10 100
         2020-01-06 A sell s 10 90 a
         2020-01-07 A sell t 5 40 b
         2020-01-20 A buy c 3 20",
        "loss s a 10: 10 on 10 -> b 10 +10 4d
         loss t b 5: 9 on 3 -> c 3 +9 8d
         lot b: 5 +5 4d
         lot c: 3 +9 8d
         A: disallowed 19 recognized 5 carried 14 long 0",
    );
    check(
        "2: units by which a lot is enlarged are units of their own: the lot's first ones are sold, the new ones replace them",
        "2020-01-02 A buy a 10 100
         2020-02-06 A enlarge b 10 60 a
         2020-02-07 A sell s 10 70 a",
        "loss s a 10: 10 on 10 -> b 10 +10 36d
         lot a: 10 +10 36d
         A: disallowed 10 recognized 0 carried 10 long 0",
    );
    check(
        "2: an opening lot is opened on its acquired date",
        "2020-01-02 A buy a 10 100
         2020-02-03 A sell s 10 90 a
         2020-02-10 A bring b 10 90 on=2015-06-30
         2020-02-10 A bring c 4 90 on=2020-01-31",
        "loss s a 10: 4 on 4 -> c 4 +4 32d
         lot c: 4 +4 32d
         A: disallowed 4 recognized 0 carried 4 long 0",
    );
    check(
        "2: the other side replaces nothing; a short's loss is replaced by a short. Proceeds of 80 less 30 are the basis",
        "2020-01-02 A short a 10 100
         2020-01-06 A cover s 10 130 a
         2020-01-07 A buy b 10 130
         2020-01-08 A sell t 10 140 b
         2020-01-09 A short c 10 80",
        "loss s a 10: 30 on 10 -> c 10 +30 4d
         lot c: 10 +30 4d
         A: disallowed 30 recognized 0 carried 30 long 0",
    );
    check(
        "2: other accounts count by contract, and only those of the taxpayer",
        "wash=TAXPAYER
         2020-01-02 A/T buy a 10 100
         2020-01-03 B/T buy b 4 40
         2020-01-03 C/U buy c 10 100
         2020-01-06 A/T sell s 10 90 a
         2020-01-07 A/T buy d 3 27",
        "loss s a 10: 7 on 7 -> b 4 +4 4d, d 3 +3 4d
         lot d: 3 +3 4d
         lot b: 4 +4 4d
         A: disallowed 7 recognized 0 carried 3 long 0
         B: disallowed 0 recognized 0 carried 4 long 0",
    );
    check(
        "2: in the account alone",
        "2020-01-02 A/T buy a 10 100
         2020-01-03 B/T buy b 4 40
         2020-01-06 A/T sell s 10 90 a",
        "",
    );
    check(
        "2: units in the same account count whoever the contract says the taxpayer was when they were bought",
        "wash=TAXPAYER
         2020-01-02 A/T buy a 10 100
         2020-01-03 A/U buy b 4 40
         2020-01-06 A/T sell s 10 90 a",
        "loss s a 10: 4 on 4 -> b 4 +4 4d
         lot b: 4 +4 4d
         A: disallowed 4 recognized 0 carried 4 long 0",
    );
    check(
        "3: parts by cumulated units: a third of 10, of 1 in all that is disallowed",
        "2020-01-02 A buy a 3 4
         2020-01-06 A sell s 3 3 a
         2020-01-07 A buy b 1 1
         2020-01-08 A buy c 1 1
         2020-01-09 A buy d 1 1",
        "loss s a 3: 1 on 3 -> b 1 +0.3333333333333333 4d, c 1 +0.3333333333333334 4d, d 1 +0.3333333333333333 4d
         lot b: 1 +0.3333333333333333 4d
         lot c: 1 +0.3333333333333334 4d
         lot d: 1 +0.3333333333333333 4d
         A: disallowed 1 recognized 0 carried 1 long 0",
    );
    check(
        "3: days add up along a chain",
        "2020-01-02 A buy a 10 100
         2020-01-12 A sell s 10 90 a
         2020-01-22 A buy b 10 90
         2020-02-01 A sell t 10 80 b
         2020-02-11 A buy c 10 80
         2020-02-21 A sell u 10 70 c
         2020-03-02 A buy d 10 70",
        "loss s a 10: 10 on 10 -> b 10 +10 10d
         loss t b 10: 20 on 10 -> c 10 +20 20d
         loss u c 10: 30 on 10 -> d 10 +30 30d
         lot d: 10 +30 30d
         A: disallowed 60 recognized 30 carried 30 long 0",
    );
    check(
        "4: units that replaced leave first, in the order of their matches, whatever opened them",
        "2020-01-02 A buy a 1 12
         2020-01-02 A buy b 1 13
         2020-01-06 A sell s 1 10 a
         2020-01-07 A sell t 1 10 b
         2020-01-08 A buy c 3 30
         2020-01-09 A sell u 1 10 c
         2020-01-10 A sell v 1 10 c",
        "loss s a 1: 2 on 1 -> b 1 +2 4d
         loss t b 1: 5 on 1 -> c 1 +5 9d
         A: disallowed 7 recognized 7 carried 0 long 0",
    );
    check(
        "5: a split between loss and replacement: 10 old units are 20 new ones",
        "2020-01-02 A buy a 10 100
         2020-01-06 A sell s 10 90 a
         2020-01-07 * split 2 1
         2020-01-08 A buy b 16 72
         2020-01-09 A buy c 16 72",
        "loss s a 10: 10 on 10 -> b 16 +8 4d, c 4 +2 4d
         lot b: 16 +8 4d
         lot c: 4 +2 4d, 12 +0 0d
         A: disallowed 10 recognized 0 carried 10 long 0",
    );
    check(
        "5: a reverse split scales matched units; thirds are rounded down",
        "2020-01-02 A buy a 10 100
         2020-01-03 A buy b 20 200
         2020-01-06 A sell s 10 90 a
         2020-01-07 * split 1 3
         2020-01-08 A sell t 3 60 b",
        "loss s a 10: 10 on 10 -> b 10 +10 4d
         lot b: 0.33333333 +0.999999991 4d, 3.33333333 +0 0d
         A: disallowed 10 recognized 9.000000009 carried 0.999999991 long 0",
    );
    check(
        "5: what vanishes in a split leaves its addition to the lot that gets its cost",
        "2020-01-02 A buy a 10 100
         2020-01-03 A buy b 0.00000002 2
         2020-01-04 A buy c 10 90
         2020-01-06 A sell s 10 90 a
         2020-01-07 * split 1 100",
        "loss s a 10: 10 on 10 -> b 0.00000002 +0.00000002 4d, c 9.99999998 +9.99999998 4d
         lot c: 0.09999999 +10 4d, 0.00000001 +0 0d
         A: disallowed 10 recognized 0 carried 10 long 0",
    );
    check(
        "6: what an action closes is no loss here, and realizes what its units carry",
        "2020-01-02 A buy a 10 100
         2020-01-06 A sell s 10 90 a
         2020-01-07 A buy b 10 90
         2020-01-08 A close m 10 80 b
         2020-01-09 A buy c 10 80",
        "loss s a 10: 10 on 10 -> b 10 +10 4d
         A: disallowed 10 recognized 10 carried 0 long 0",
    );
    check(
        "6: a reset realizes additions; the units have replaced all the same, and keep their days",
        "2020-01-02 A buy a 10 100
         2020-01-06 A sell s 10 90 a
         2020-01-07 A buy b 12 96
         2020-01-08 A reset - 0 7
         2020-01-09 A sell t 2 10 b",
        "loss s a 10: 10 on 10 -> b 10 +10 4d
         lot b: 8 +0 4d, 2 +0 0d
         A: disallowed 10 recognized 10 carried 0 long 0",
    );
}

#[test]
fn a_view_that_is_not_to_be_had() {
    let max = crate::amount::MONEY_E16_MAX;
    let mut history = steps(
        "2020-01-02 A buy a 1 10
         2020-01-06 A sell s 1 9 a
         2020-01-07 A buy b 1 9
         2020-01-08 A sell t 1 8 b",
    );
    let realize = |steps: &mut Vec<Step>, at: usize, realized_e16| match &mut steps[at].what {
        What::Booked(booked) => booked.closed[0].realized_e16 = realized_e16,
        other => panic!("{other:?}"),
    };
    realize(&mut history, 1, -max);
    assert_eq!(walk(&history, own), Err(WashError::Overflow), "an addition of all there is, and a loss behind it");
    realize(&mut history, 3, max);
    let view = walk(&history, own).expect("in range");
    assert_eq!(view.totals[&u32::from(b'A')].disallowed_e16, max);
    history.remove(2);
    assert_eq!(walk(&history, own), Err(WashError::Misfit), "a lot that was never opened");
}
