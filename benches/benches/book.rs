//! decide + apply beside the bare FIFO loop on the same trades, and beside the harness alone.
//!
//! `cargo bench -p lotbook-benches --bench book`. Compare within one run only.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lotbook_benches::{BareBook, book, decide_and_apply, later, trades};
use lotbook_core::Scratch;
use lotbook_core::rules::LotMethod;

const TRADES: u64 = 100_000;

fn stage(c: &mut Criterion) {
    for positions in [1_000, 10_000, 100_000] {
        let trades = trades(positions, TRADES);
        let mut group = c.benchmark_group(format!("book/{positions}"));
        group.throughput(Throughput::Elements(TRADES)).sample_size(20);
        group.bench_function("harness alone", |b| {
            b.iter(|| trades.iter().fold(0u64, |sum, t| sum.wrapping_add(black_box(t).source_order)));
        });
        group.bench_function("bare FIFO loop", |b| {
            let mut bare = BareBook::new(positions);
            b.iter_batched_ref(
                || trades.clone(),
                |trades| {
                    trades.iter().for_each(|t| bare.trade(t));
                    black_box(&bare);
                },
                BatchSize::PerIteration,
            );
        });
        for method in LotMethod::ALL {
            group.bench_function(format!("decide + apply, {}", method.as_str()), |b| {
                let (mut book, mut scratch, mut pass) = (book(positions, method), Scratch::new(), 0);
                b.iter_batched_ref(
                    || {
                        pass += 1;
                        later(&trades, pass)
                    },
                    |trades| decide_and_apply(&mut book, &mut scratch, trades),
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, stage);
criterion_main!(benches);
