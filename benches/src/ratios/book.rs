//! Stages without a disk: decide + apply, rings, ids, and what the state weighs.

use std::collections::HashSet;
use std::hint::black_box;

use crossbeam::queue::ArrayQueue;
use lotbook_core::Scratch;
use lotbook_core::command::Origin;
use lotbook_core::rules::LotMethod;
use lotbook_engine::idempotency::{Lookup, TradeIds};
use lotbook_engine::memory::Guard;

use super::{Best, Pair};
use crate::{BareBook, Flow, book, decide_and_apply as real, trades};

const BATCH: usize = 256;
/// Batches until positions hold their lots.
const WARM_UP: usize = 1_600;
const ROUNDS: usize = 8_000;

/// Decide + apply against the bare loop on the same trades.
pub(super) fn decide_and_apply(positions: u64) -> Pair {
    let _huge = Guard::new();
    let (mut flow, mut batch) = (Flow::new(positions), Flow::batch(BATCH));
    let (mut book, mut scratch, mut bare) =
        (book(positions, LotMethod::Fifo), Scratch::new(), BareBook::new(positions));
    let (mut ours, mut limit, mut empty) = (Sums::new(), Sums::new(), Best::new());
    for round in 0..WARM_UP + ROUNDS {
        flow.fill(&mut batch);
        if round < WARM_UP {
            real(&mut book, &mut scratch, &batch);
            batch.iter().for_each(|trade| bare.trade(trade));
            continue;
        }
        empty.time(BATCH, || {
            black_box(batch.iter().fold(0u64, |sum, trade| sum.wrapping_add(black_box(trade).source_order)));
        });
        ours.time(|| real(&mut book, &mut scratch, black_box(&batch)));
        limit.time(|| black_box(&batch).iter().for_each(|trade| bare.trade(trade)));
    }
    (ours.best().less(empty), limit.best().less(empty))
}

/// Batches differ in their misses, so that the fastest single one says little: ten together are one measurement, and the fastest such counts.
struct Sums {
    best: Best,
    sum_ns: u128,
    count: usize,
}

const TOGETHER: usize = 10;

impl Sums {
    fn new() -> Self {
        Self { best: Best::new(), sum_ns: 0, count: 0 }
    }

    #[inline]
    fn time(&mut self, work: impl FnOnce()) {
        let start = std::time::Instant::now();
        work();
        self.sum_ns += start.elapsed().as_nanos();
        self.count += 1;
        if self.count == TOGETHER {
            let each = self.sum_ns as f64 / (TOGETHER * BATCH) as f64;
            self.best = Best(self.best.0.min(each));
            (self.sum_ns, self.count) = (0, 0);
        }
    }

    fn best(&self) -> Best {
        self.best
    }
}

/// A message of a cache line through the rings of a door, against the best-known queue for many threads.
pub(super) fn ring_hop() -> Pair {
    type Message = [u64; 8];
    const COUNT: usize = 64;
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Message>::new(8_192);
    let queue = ArrayQueue::<Message>::new(8_192);
    let (mut ours, mut limit, mut empty) = (Best::new(), Best::new(), Best::new());
    let message = |n: usize| black_box([n as u64; 8]);
    for _ in 0..50_000 {
        empty.time(COUNT, || {
            (0..COUNT).for_each(|n| {
                black_box(message(n));
            })
        });
        ours.time(COUNT, || {
            for n in 0..COUNT {
                let _ = producer.push(message(n));
            }
            for _ in 0..COUNT {
                let _ = black_box(consumer.pop());
            }
        });
        limit.time(COUNT, || {
            for n in 0..COUNT {
                let _ = queue.push(message(n));
            }
            for _ in 0..COUNT {
                let _ = black_box(queue.pop());
            }
        });
    }
    (ours.less(empty), limit.less(empty))
}

/// Looking a known id up, against a plain hash set of the hashes.
pub(super) fn known_ids() -> Pair {
    const IDS: usize = 1 << 16;
    let inputs = trades(1_000, IDS as u64);
    let (book, mut scratch) = (book(1_000, LotMethod::Fifo), Scratch::new());
    let mut ids = TradeIds::new(IDS);
    let mut set: HashSet<u128> = HashSet::with_capacity(IDS);
    for input in &inputs {
        let decision = book.decide_trade(input, &mut scratch);
        ids.insert(&decision.event(input, &Origin::INTERNAL, &scratch), 1, 0);
        set.insert(input.hash.0);
    }
    let (mut ours, mut limit, mut empty) = (Best::new(), Best::new(), Best::new());
    for _ in 0..5 {
        for batch in inputs.chunks(4_096) {
            empty.time(batch.len(), || {
                black_box(batch.iter().fold(0u128, |sum, input| sum ^ black_box(input).hash.0));
            });
            ours.time(batch.len(), || {
                for input in batch {
                    assert!(matches!(ids.lookup(black_box(input)), Lookup::Same(_)));
                }
            });
            limit.time(batch.len(), || {
                for input in batch {
                    assert!(set.contains(&black_box(input).hash.0));
                }
            });
        }
    }
    (ours.less(empty), limit.less(empty))
}

/// Looking a new id up and keeping it, against a plain hash set of the hashes.
pub(super) fn new_ids() -> Pair {
    const IDS: usize = 1 << 20;
    let inputs = trades(1_000, IDS as u64);
    let (mut book, mut scratch) = (book(1_000, LotMethod::Fifo), Scratch::new());
    let (mut ours, mut limit, mut empty) = (Best::new(), Best::new(), Best::new());
    for _ in 0..3 {
        let mut ids = TradeIds::new(IDS);
        let mut set: HashSet<u128> = HashSet::with_capacity(IDS);
        for batch in inputs.chunks(4_096) {
            // Events of the trades, made before anything is timed: an id is kept with what became of it.
            let decisions: Vec<_> = batch
                .iter()
                .map(|input| {
                    let decision = book.decide_trade(input, &mut scratch);
                    let event = decision.event(input, &Origin::INTERNAL, &scratch);
                    let place = lotbook_core::apply::Place { sequence: 1, address: 0 };
                    book.apply_trade(&event, place).unwrap_or_else(|misfit| panic!("{misfit}"));
                    decision
                })
                .collect();
            empty.time(batch.len(), || {
                black_box(batch.iter().fold(0u128, |sum, input| sum ^ black_box(input).hash.0));
            });
            ours.time(batch.len(), || {
                for (input, decision) in batch.iter().zip(&decisions) {
                    assert!(matches!(ids.lookup(black_box(input)), Lookup::New));
                    ids.insert(&decision.event(input, &Origin::INTERNAL, &scratch), 1, 0);
                }
            });
            limit.time(batch.len(), || {
                for input in batch {
                    assert!(set.insert(black_box(input).hash.0));
                }
            });
        }
        book = crate::book(1_000, LotMethod::Fifo);
    }
    (ours.less(empty), limit.less(empty))
}
