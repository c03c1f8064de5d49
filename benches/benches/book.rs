//! decide + apply beside the bare FIFO loop on the same trades, and beside the harness alone.
//!
//! `cargo bench -p lotbook-benches --bench book`. Trades come in batches that stay in cache, as a ring's do; making them is not timed.
//! Compare within one run only.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use lotbook_benches::{BareBook, Flow, book, decide_and_apply};
use lotbook_core::Scratch;
use lotbook_core::command::TradeInput;
use lotbook_core::rules::LotMethod;

const BATCH: usize = 256;
/// Batches before anything is timed: positions have their lots by then.
const WARM_UP: u64 = 200_000 / BATCH as u64;

/// Times what `run` does with each batch.
fn batches(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, positions: u64, mut run: impl FnMut(&[TradeInput])) {
    let (mut flow, mut batch) = (Flow::new(positions), Flow::batch(BATCH));
    for _ in 0..WARM_UP {
        flow.fill(&mut batch);
        run(&batch);
    }
    group.bench_function(name, |b| {
        b.iter_custom(|count| {
            let mut timed = Duration::ZERO;
            for _ in 0..count {
                flow.fill(&mut batch);
                let start = Instant::now();
                run(black_box(&batch));
                timed += start.elapsed();
            }
            timed
        });
    });
}

fn stage(c: &mut Criterion) {
    for positions in [1_000, 10_000, 100_000] {
        let mut group = c.benchmark_group(format!("book/{positions}"));
        group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
        batches(&mut group, "harness alone", positions, |batch| {
            black_box(batch.iter().fold(0u64, |sum, t| sum.wrapping_add(black_box(t).source_order)));
        });
        let mut bare = BareBook::new(positions);
        batches(&mut group, "bare FIFO loop", positions, |batch| {
            batch.iter().for_each(|t| bare.trade(t));
            black_box(&bare);
        });
        for method in LotMethod::ALL {
            let (mut book, mut scratch) = (book(positions, method), Scratch::new());
            let name = format!("decide + apply, {}", method.as_str());
            batches(&mut group, &name, positions, |batch| decide_and_apply(&mut book, &mut scratch, batch));
        }
        group.finish();
    }
}

criterion_group!(benches, stage);
criterion_main!(benches);
