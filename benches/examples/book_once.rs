//! One pass of decide + apply over 10,000 positions, for profilers: `valgrind --tool=callgrind`.

use lotbook_benches::{book, decide_and_apply, trades};
use lotbook_core::Scratch;
use lotbook_core::rules::LotMethod;

fn main() {
    let trades = trades(10_000, 200_000);
    let mut book = book(10_000, LotMethod::Fifo);
    decide_and_apply(&mut book, &mut Scratch::new(), &trades);
    println!("{:016x}", book.economic_digest());
}
