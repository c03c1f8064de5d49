//! The same ledgers in other people's books: beancount, coinbasis and rp2 book what the product books, and agree to the last unit.
//!
//! Thousands of random ledgers, each an account of one file. `lotbook replay` reads it as any file; a script in
//! `tests/peers/differential` reads the same file and books it by the other package, as a process of its own. Half of the
//! ledgers reach the product in any order of arrival, half of those with cancels and corrections of what was wrong. What the packages do otherwise than the product is not in these
//! ledgers: `differences` proves each of those and `docs/rules-differences.md` gives the reasons.

mod books;
mod compare;
mod differences;
mod ledger;

use lotbook_perf::rng::Rng;

use crate::support::long_form;
use compare::{first_apart, shrink_and_fail};
use ledger::{Fees, Kind, Ledger};

/// Ledgers of one run of the product and of the peer.
const BATCH: usize = 1_000;

/// Books random ledgers of these kinds by both, in equal numbers.
fn ledgers_agree(script: &str, kinds: &[Kind]) {
    let batches = if long_form() { 10 } else { 1 };
    let (mut booked, mut trades, mut same_day, mut amended) = (0, 0, 0, 0);
    for batch in 0..batches {
        let mut rng = Rng::new(batch, script.len() as u64);
        let ledgers: Vec<Ledger> = (0..BATCH)
            .map(|number| Ledger::random(format!("L{number}"), kinds[number % kinds.len()], &mut rng))
            .collect();
        match first_apart(&ledgers, script) {
            None => return,
            Some(None) => {}
            Some(Some((index, what))) => {
                let ledger = ledgers[index].clone();
                let name = format!("{script} batch {batch} {:?}", ledger.kind);
                shrink_and_fail(&name, ledger, what, script);
            }
        }
        booked += ledgers.len();
        for ledger in &ledgers {
            trades += ledger.trades.len();
            same_day += ledger.trades.windows(2).filter(|pair| pair[0].day == pair[1].day).count();
            amended += usize::from(ledger.amended);
        }
    }
    println!(
        "{script}: {booked} ledgers ({amended} amended), {trades} trades ({same_day} on the day of the one before), no \
         difference"
    );
}

#[test]
fn beancount_books_the_same() {
    let dated = |method| Kind { shorts: true, timed: false, free_lots: true, ..Kind::new(method) };
    ledgers_agree(
        "beancount_peer.py",
        &[
            dated("FIFO"),
            dated("HIFO"),
            Kind { one_opening_a_day: true, ..dated("LIFO") },
            Kind { named: true, ..dated("FIFO") },
        ],
    );
}

#[test]
fn coinbasis_books_the_same() {
    let with = |method, fees| Kind { fees, free_lots: true, ..Kind::new(method) };
    ledgers_agree(
        "coinbasis_peer.py",
        &[
            with("FIFO", Fees::None),
            with("FIFO", Fees::OnAll),
            with("LIFO", Fees::None),
            with("LIFO", Fees::OnAll),
            with("HIFO", Fees::None),
            with("HIFO", Fees::OwnRate),
            with("AVERAGE", Fees::None),
            with("AVERAGE", Fees::OnAll),
            Kind { named: true, ..with("FIFO", Fees::None) },
            Kind { named: true, ..with("FIFO", Fees::OnAll) },
        ],
    );
}

#[test]
fn rp2_books_the_same() {
    let with = |method, fees| Kind { fees, ..Kind::new(method) };
    ledgers_agree(
        "rp2_peer.py",
        &[
            with("FIFO", Fees::None),
            with("FIFO", Fees::OnBuys),
            with("LIFO", Fees::None),
            with("LIFO", Fees::OnBuys),
            with("HIFO", Fees::None),
            with("HIFO", Fees::SameRate),
            with("LOFO", Fees::None),
            with("LOFO", Fees::SameRate),
        ],
    );
}
