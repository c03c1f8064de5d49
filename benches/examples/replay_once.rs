//! Replays one position's history once and again: for a profiler.

use lotbook_benches::trades;
use lotbook_core::Scratch;
use lotbook_core::history::Item;
use lotbook_core::replay::replay;
use lotbook_core::rules::ContractBook;

fn main() {
    let n: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(10_000);
    let mut items: Vec<Item> = trades(1, n).into_iter().map(Item::Trade).collect();
    let contracts = ContractBook::new(1);
    let mut scratch = Scratch::unbounded();
    let mut best = std::time::Duration::MAX;
    println!("{} bytes an item", size_of::<Item>());
    for _ in 0..2_000_000 / n {
        let began = std::time::Instant::now();
        let outcome = replay(&mut items, &contracts, 100_000_000, &mut scratch).expect("an outcome");
        best = best.min(began.elapsed());
        assert_eq!(outcome.trades.len() as u64, n);
    }
    println!("{:.0} ns a trade at best", best.as_nanos() as f64 / n as f64);
}
