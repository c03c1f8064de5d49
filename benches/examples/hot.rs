//! Decide + apply by number of positions and method beside the bare loop, for profilers and quick looks.
//!
//! `cargo run --release -p lotbook-benches --example hot -- [POSITIONS] [METHOD] [TRADES]`; also under `valgrind --tool=callgrind
//! --toggle-collect='lotbook_benches::decide_and_apply*'`.

use std::time::{Duration, Instant};

use lotbook_benches::{BareBook, Flow, book, decide_and_apply};
use lotbook_core::Scratch;
use lotbook_core::rules::LotMethod;

const BATCH: usize = 64;

fn main() {
    let mut args = std::env::args().skip(1);
    let positions: u64 = args.next().map_or(10_000, |n| n.parse().expect("a number of positions"));
    let method = args.next().unwrap_or("FIFO".into());
    let method = LotMethod::ALL.into_iter().find(|known| known.as_str() == method).expect("a method");
    let count: u64 = args.next().map_or(2_000_000, |n| n.parse().expect("a number of trades"));
    let (mut flow, mut batch) = (Flow::new(positions), Flow::batch(BATCH));
    let (mut real, mut bare, mut scratch) = (book(positions, method), BareBook::new(positions), Scratch::new());
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    let rounds = count / BATCH as u64;
    for round in 0..rounds {
        flow.fill(&mut batch);
        let start = Instant::now();
        decide_and_apply(&mut real, &mut scratch, &batch);
        let middle = Instant::now();
        batch.iter().for_each(|trade| bare.trade(trade));
        // The first quarter fills the positions.
        if round >= rounds / 4 {
            ours += middle - start;
            theirs += middle.elapsed();
        }
    }
    let of = |spent: Duration| spent.as_nanos() as f64 / ((rounds - rounds / 4) * BATCH as u64) as f64;
    println!("{positions} positions, {}: {:.1} ns a trade, bare loop {:.1}", method.as_str(), of(ours), of(theirs));
    println!("economic digest {:016x}", real.economic_digest());
}
