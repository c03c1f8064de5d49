//! What other books do otherwise than the product, each proved by a ledger; `docs/rules-differences.md` gives the reasons.
//!
//! A row of a ledger reads `ID SIDE QUANTITY PRICE DATE[THH:MM:SS] [fees=F] [lot=ID]`. What a book made of a closing trade reads
//! `ID < LOT QUANTITY cost COST TERM`, one for each part, and `ID = REALIZED` for the whole of it.

use lotbook_core::amount::parse_e8;
use lotbook_core::date::Date;
use lotbook_perf::rng::Rng;

use super::books::{Booked, Part, both};
use super::compare::first_apart;
use super::ledger::{Fees, Kind, Ledger, Trade, lines};

const TIMED: Kind = Kind { fees: Fees::OnAll, ..Kind::new("FIFO") };
const DATED: Kind = Kind { shorts: true, timed: false, ..Kind::new("FIFO") };

fn trade(row: &str) -> Trade {
    let mut words = row.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let (id, side, quantity, price, when) = (word(), word(), word(), word(), word());
    let (date, time) = when.split_once('T').map_or((when, None), |(date, time)| (date, Some(time)));
    let seconds = |time: &str| time.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u32>().expect("a time"));
    let mut trade = Trade {
        id: id.into(),
        buys: side == "buy",
        quantity_e8: parse_e8(quantity, false).expect("a quantity"),
        price_e8: parse_e8(price, false).expect("a price"),
        fees_e8: 0,
        day: Date::parse(date).expect("a date").0,
        second: time.map(seconds),
        lot: None,
    };
    for more in words {
        match more.split_once('=').expect("a name and a value") {
            ("fees", fees) => trade.fees_e8 = parse_e8(fees, false).expect("fees"),
            ("lot", lot) => trade.lot = Some(lot.into()),
            (name, _) => panic!("{name} is nothing that a row says"),
        }
    }
    trade
}

fn ledger(kind: Kind, long_term_days: Option<u32>, rows: &[&str]) -> Ledger {
    let trades = rows.iter().map(|row| trade(row)).collect();
    Ledger { account: "L".into(), kind, shuffled: false, amended: false, long_term_days, trades }
}

/// Books a ledger both ways; what each says must be exactly these lines. Of a refusal the text begins with its line.
#[track_caller]
fn differs(ledger: &Ledger, script: &str, arguments: &[&str], ours: &[&str], theirs: &[&str]) {
    let text = lines(std::slice::from_ref(ledger), &mut Rng::new(0, 0));
    let Some((product, peer)) = both(&text, script, arguments) else { return };
    for (who, book, wanted) in [("the product", &product["L"], ours), (script, &peer["L"], theirs)] {
        match book {
            Ok(booked) => assert_eq!(told(ledger, booked), wanted, "{who}"),
            Err(error) => assert!(wanted.len() == 1 && error.contains(wanted[0]), "{who}: {error}, not {wanted:?}"),
        }
    }
    assert_ne!(ours, theirs, "a difference");
}

fn told(ledger: &Ledger, booked: &Booked) -> Vec<String> {
    let name = |part: &Part| {
        let Some(lot) = &part.lot else { return "pool".into() };
        let named = ledger.trades.iter().find(|trade| trade.id == *lot || trade.at().as_ref() == Some(lot));
        named.map_or_else(|| lot.clone(), |trade| trade.id.clone())
    };
    let mut said = Vec::new();
    for trade in &ledger.trades {
        let Some(parts) = booked.trades.get(&trade.id) else { continue };
        for part in parts {
            let term = part.long.map_or("", |long| if long { " long" } else { " short" });
            let (quantity, cost) = (decimal(part.quantity_e8, 8), decimal(part.cost_e16, 16));
            said.push(format!("{} < {} {quantity} cost {cost}{term}", trade.id, name(part)));
        }
        let realized_e16 = parts.iter().filter_map(|part| part.realized_e16).sum();
        said.push(format!("{} = {}", trade.id, decimal(realized_e16, 16)));
    }
    said
}

/// Without zeros at the end.
fn decimal(units: i128, scale: usize) -> String {
    let one = 10i128.pow(scale as u32);
    let sign = if units < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:0scale$}", units.abs() / one, units.abs() % one);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

// --- holding period --------------------------------------------------------------------------------------------------------

/// Acquired 2023-03-01: by the calendar long-term from 2024-03-02 on, the 367th day; by days from the 365th on.
#[test]
fn a_year_with_a_leap_day_has_365_days_for_others() {
    let rows = &["t1 buy 1 10 2023-03-01T09:00:00", "t2 sell 1 12 2024-03-01T10:00:00"];
    let ours = &["t2 < t1 1 cost 10 short", "t2 = 2"];
    let theirs = &["t2 < t1 1 cost 10 long", "t2 = 2"];
    differs(&ledger(TIMED, None, rows), "rp2_peer.py", &[], ours, theirs);
    differs(&ledger(TIMED, None, rows), "coinbasis_peer.py", &[], ours, theirs);
}

/// 365 days after: the anniversary, on which the calendar rule says short-term.
#[test]
fn the_anniversary_is_long_term_for_rp2() {
    let rows = &["t1 buy 1 10 2021-03-01T09:00:00", "t2 sell 1 12 2022-03-01T09:00:00"];
    let ours = &["t2 < t1 1 cost 10 short", "t2 = 2"];
    differs(&ledger(TIMED, None, rows), "rp2_peer.py", &[], ours, &["t2 < t1 1 cost 10 long", "t2 = 2"]);
    // At the same second it is short-term for coinbasis, a second later long-term.
    let rows = &["t1 buy 1 10 2021-03-01T09:00:00", "t2 sell 1 12 2022-03-01T09:00:01"];
    differs(&ledger(TIMED, None, rows), "coinbasis_peer.py", &[], ours, &["t2 < t1 1 cost 10 long", "t2 = 2"]);
}

/// Terms by times of day: sold on the 365th day, an hour before the hour of the purchase.
#[test]
fn the_time_of_day_decides_terms_for_others() {
    let rows = &["t1 buy 1 10 2021-03-01T10:00:00", "t2 sell 1 12 2022-03-01T09:00:00"];
    let ours = &["t2 < t1 1 cost 10 long", "t2 = 2"];
    let theirs = &["t2 < t1 1 cost 10 short", "t2 = 2"];
    differs(&ledger(TIMED, Some(364), rows), "rp2_peer.py", &[], ours, theirs);
    differs(&ledger(TIMED, Some(364), rows), "coinbasis_peer.py", &[], ours, theirs);
}

#[test]
fn a_pool_has_no_terms_for_coinbasis() {
    let kind = Kind { method: "AVERAGE", ..TIMED };
    let rows =
        &["t1 buy 1 10 2021-03-01T09:00:00", "t2 buy 1 20 2022-03-01T09:00:00", "t3 sell 1 12 2022-06-01T09:00:00"];
    let ours = &["t3 < t1 1 cost 15 long", "t3 = -3"];
    differs(&ledger(kind, None, rows), "coinbasis_peer.py", &[], ours, &["t3 < pool 1 cost 15", "t3 = -3"]);
}

// --- fees ------------------------------------------------------------------------------------------------------------------

#[test]
fn fees_of_a_sale_lower_no_gain_for_rp2() {
    let rows = &["t1 buy 2 10 2020-01-01T09:00:00 fees=1", "t2 sell 1 12 2020-02-01T09:00:00 fees=0.3"];
    let ours = &["t2 < t1 1 cost 10.5 short", "t2 = 1.2"];
    differs(&ledger(TIMED, None, rows), "rp2_peer.py", &[], ours, &["t2 < t1 1 cost 10.5 short", "t2 = 1.5"]);
}

/// 0.4 of fees on four units from two lots: a tenth a unit there, all of it in the last part here. The trade's sum is the same.
#[test]
fn fees_of_a_sale_are_shared_out_by_coinbasis() {
    let rows = &[
        "t1 buy 1 10 2020-01-01T09:00:00",
        "t2 buy 3 10 2020-01-02T09:00:00",
        "t3 sell 4 12 2020-02-01T09:00:00 fees=0.4",
    ];
    let text = lines(&[ledger(TIMED, None, rows)], &mut Rng::new(0, 0));
    let Some((ours, theirs)) = both(&text, "coinbasis_peer.py", &[]) else { return };
    let realized = |book: &Result<Booked, String>| -> Vec<String> {
        let parts = &book.as_ref().expect("booked").trades["t3"];
        parts.iter().map(|part| decimal(part.realized_e16.expect("told"), 16)).collect()
    };
    assert_eq!(realized(&ours["L"]), ["2", "5.6"]);
    assert_eq!(realized(&theirs["L"]), ["1.9", "5.7"]);
}

/// A price of 10 with a fee of 3 a unit is dearer than a price of 12 without.
#[test]
fn hifo_of_rp2_does_not_see_fees() {
    let kind = Kind { method: "HIFO", ..TIMED };
    let rows = &[
        "t1 buy 1 10 2020-01-01T09:00:00 fees=3",
        "t2 buy 1 12 2020-01-02T09:00:00",
        "t3 sell 1 20 2020-02-01T09:00:00",
    ];
    let ours = &["t3 < t1 1 cost 13 short", "t3 = 7"];
    differs(&ledger(kind, None, rows), "rp2_peer.py", &[], ours, &["t3 < t2 1 cost 12 short", "t3 = 8"]);
}

/// Unit costs of 10.00333333|33... and 10.00333333|00: equal at 10^-8, hence the earlier lot first here.
#[test]
fn hifo_of_coinbasis_ranks_beyond_eight_decimals() {
    let kind = Kind { method: "HIFO", ..TIMED };
    let rows = &[
        "t1 buy 3 10.00333333 2020-01-01T09:00:00",
        "t2 buy 3 10 2020-01-02T09:00:00 fees=0.01",
        "t3 sell 3 20 2020-02-01T09:00:00",
    ];
    let ours = &["t3 < t1 3 cost 30.00999999 short", "t3 = 29.99000001"];
    differs(&ledger(kind, None, rows), "coinbasis_peer.py", &[], ours, &["t3 < t2 3 cost 30.01 short", "t3 = 29.99"]);
}

// --- order -----------------------------------------------------------------------------------------------------------------

/// Sold and bought in one instant, in this order of the source: for rp2 all that was bought in it can be sold.
#[test]
fn buys_of_an_instant_come_first_for_rp2() {
    let kind = Kind { method: "LIFO", ..TIMED };
    let rows =
        &["t1 buy 1 10 2020-01-01T09:00:00", "t2 sell 1 12 2020-02-01T09:00:00", "t3 buy 1 11 2020-02-01T09:00:00"];
    let ours = &["t2 < t1 1 cost 10 short", "t2 = 2"];
    differs(&ledger(kind, None, rows), "rp2_peer.py", &[], ours, &["t2 < t3 1 cost 11 short", "t2 = 1"]);
}

/// Its sort by date is stable also when reversed, so of the lots of one date the earlier one goes first.
#[test]
fn lifo_of_beancount_takes_the_earlier_lot_of_a_date() {
    let kind = Kind { method: "LIFO", ..DATED };
    let rows = &["t1 buy 1 10 2020-01-01", "t2 buy 1 11 2020-01-01", "t3 sell 1 12 2020-02-01"];
    let ours = &["t3 < t2 1 cost 11 short", "t3 = 1"];
    differs(&ledger(kind, None, rows), "beancount_peer.py", &[], ours, &["t3 < t1 1 cost 10", "t3 = 2"]);
}

// --- what others refuse ----------------------------------------------------------------------------------------------------

#[test]
fn a_flip_is_two_postings_for_beancount() {
    let rows = &["t1 buy 1 10 2020-01-01", "t2 sell 3 12 2020-02-01", "t3 buy 2 11 2020-03-01"];
    let ours = &["t2 < t1 1 cost 10 short", "t2 = 2", "t3 < t2 2 cost 24 short", "t3 = 2"];
    let refused = &["Not enough lots to reduce"];
    differs(&ledger(DATED, None, rows), "beancount_peer.py", &["--flip-whole"], ours, refused);
}

#[test]
fn beancount_has_no_average_cost() {
    let kind = Kind { method: "AVERAGE", ..DATED };
    let rows = &["t1 buy 1 10 2020-01-01", "t2 buy 1 20 2020-01-02", "t3 sell 1 12 2020-02-01"];
    let ours = &["t3 < t1 1 cost 15 short", "t3 = -3"];
    differs(&ledger(kind, None, rows), "beancount_peer.py", &[], ours, &["AVERAGE method is not supported"]);
}

/// Where lots are to be named, an unnamed sale of several is ambiguous there; here the method takes its place.
#[test]
fn a_sale_without_a_lot_is_ambiguous_under_strict_booking() {
    let rows = &[
        "t1 buy 2 10 2020-01-01",
        "t2 buy 2 20 2020-01-02",
        "t3 sell 1 12 2020-02-01 lot=t2",
        "t4 sell 1 12 2020-02-02",
    ];
    let ours = &["t3 < t2 1 cost 20 short", "t3 = -8", "t4 < t1 1 cost 10 short", "t4 = 2"];
    differs(&ledger(DATED, None, rows), "beancount_peer.py", &[], ours, &["Ambiguous matches"]);
}

#[test]
fn short_sales_are_refused_by_coinbasis_and_rp2() {
    let rows =
        &["t1 buy 1 10 2020-01-01T09:00:00", "t2 sell 2 12 2020-02-01T09:00:00", "t3 buy 1 11 2020-03-01T09:00:00"];
    let ours = &["t2 < t1 1 cost 10 short", "t2 = 2", "t3 < t2 1 cost 12 short", "t3 = 1"];
    differs(&ledger(TIMED, None, rows), "coinbasis_peer.py", &[], ours, &["InsufficientLots"]);
    let refused = &["Total in-transaction crypto value < total taxable crypto value"];
    differs(&ledger(TIMED, None, rows), "rp2_peer.py", &[], ours, refused);
}

#[test]
fn a_price_of_zero_is_refused_by_rp2() {
    let rows = &["t1 buy 1 0 2020-01-01T09:00:00", "t2 sell 1 12 2020-02-01T09:00:00"];
    let ours = &["t2 < t1 1 cost 0 short", "t2 = 12"];
    differs(&ledger(TIMED, None, rows), "rp2_peer.py", &[], ours, &["'spot_price' cannot be 0"]);
}

// --- rounding --------------------------------------------------------------------------------------------------------------

/// A lot of three units for 10: the last third takes what is left, so that costs sum to 10. rp2 takes a third of 10 three times.
#[test]
fn the_last_part_takes_the_remainder() {
    let rows = &[
        "t1 buy 3 3 2020-01-01T09:00:00 fees=1",
        "t2 sell 1 12 2020-02-01T09:00:00",
        "t3 sell 1 12 2020-02-02T09:00:00",
        "t4 sell 1 12 2020-02-03T09:00:00",
    ];
    let third =
        |id: &str, cost: &str, realized: &str| [format!("{id} < t1 1 cost {cost} short"), format!("{id} = {realized}")];
    let ours = [
        third("t2", "3.3333333333333333", "8.6666666666666667"),
        third("t3", "3.3333333333333334", "8.6666666666666666"),
        third("t4", "3.3333333333333333", "8.6666666666666667"),
    ];
    let theirs = ["t2", "t3", "t4"].map(|id| third(id, "3.3333333333333333", "8.6666666666666667"));
    let flat = |told: &[[String; 2]]| told.iter().flatten().cloned().collect::<Vec<_>>();
    let (ours, theirs) = (flat(&ours), flat(&theirs));
    let (ours, theirs): (Vec<&str>, Vec<&str>) =
        (ours.iter().map(String::as_str).collect(), theirs.iter().map(String::as_str).collect());
    differs(&ledger(TIMED, None, rows), "rp2_peer.py", &[], &ours, &theirs);
}

// --- the comparison itself -------------------------------------------------------------------------------------------------

/// What the random ledgers leave out is found when it is let in: the comparison is not blind.
#[test]
fn a_difference_is_found() {
    let found = |script: &str, kind: Kind, long_term_days: Option<u32>| {
        let mut rng = Rng::new(3, 3);
        let ledgers: Vec<Ledger> = (0..150)
            .map(|number| {
                let ledger = Ledger::random(format!("L{number}"), kind, &mut rng);
                Ledger { long_term_days, ..ledger }
            })
            .collect();
        if let Some(found) = first_apart(&ledgers, script) {
            assert!(found.is_some(), "{script} {kind:?}");
        }
    };
    found("beancount_peer.py", Kind { method: "LIFO", ..DATED }, None);
    found("rp2_peer.py", Kind { fees: Fees::OnBuys, ..Kind::new("HIFO") }, Some(364));
    found("rp2_peer.py", Kind::new("FIFO"), Some(365));
    found("rp2_peer.py", Kind { fees: Fees::OnAll, ..Kind::new("FIFO") }, Some(364));
    found("coinbasis_peer.py", Kind::new("LIFO"), Some(363));
    found("coinbasis_peer.py", Kind::new("FIFO"), None);
}
