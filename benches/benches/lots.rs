//! decide + apply in one position with 1, 10, 1,000 and 100,000 open lots, for every way of choosing, beside the bare FIFO loop.
//!
//! `cargo bench -p lotbook-benches --bench lots`. A step is two trades, a sale of one lot's quantity and a purchase of the
//! same, so that the number of lots stays; what is printed is the time of a step. Compare within one run only.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lotbook_benches::{BareBook, Rng, book_with, decide_and_apply};
use lotbook_core::command::TradeKind;
use lotbook_core::id::{NO_NAME, TradeHash};
use lotbook_core::rules::{LotMethod, LotScope, Rules, TaxRates};
use lotbook_core::{Book, Date, Scratch, Side, TradeInput};
use lotbook_engine::memory::{Guard, Memory};

/// A book whose pages were never touched is timed by the kernel, not by its code.
#[global_allocator]
static MEMORY: Memory = Memory;

const E8: i64 = 100_000_000;
const LOTS: [usize; 4] = [1, 10, 1_000, 100_000];

/// What differs between two ways.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    rules: Rules,
    /// Sales name a lot at random.
    names_lots: bool,
    /// Lots come from elsewhere with acquisition dates at random.
    any_date: bool,
    /// Trades name one of so many sub-accounts.
    subs: u64,
}

fn ways() -> Vec<Way> {
    let of = |name, method| Way {
        name,
        rules: Rules { method, ..Rules::DEFAULT },
        names_lots: false,
        any_date: false,
        subs: 0,
    };
    let rates = Some(TaxRates { short_e8: 37_000_000, long_e8: 20_000_000 });
    let scope = LotScope::SubAccount;
    let mut ways: Vec<Way> = LotMethod::ALL.into_iter().map(|method| of(method.as_str(), method)).collect();
    let (fifo, hifo, tax) = (ways[0], ways[2], ways[5]);
    ways.extend([
        Way { name: "MIN_TAX with rates", rules: Rules { tax_rates: rates, ..tax.rules }, ..tax },
        Way { name: "a named lot", names_lots: true, ..fifo },
        Way { name: "FIFO, dates at random", any_date: true, ..fifo },
        Way { name: "MIN_TAX, dates at random", any_date: true, ..tax },
        Way { name: "FIFO in 2 sub-accounts", rules: Rules { lot_scope: scope, ..fifo.rules }, subs: 2, ..fifo },
        Way { name: "HIFO in 2 sub-accounts", rules: Rules { lot_scope: scope, ..hifo.rules }, subs: 2, ..hifo },
    ]);
    ways
}

/// One position, and who trades in it.
struct Desk {
    book: Book,
    scratch: Scratch,
    way: Way,
    rng: Rng,
    next: u64,
    sub_account: u32,
    open: Vec<TradeHash>,
}

impl Desk {
    fn new(way: Way, lots: usize) -> Self {
        let _huge = Guard::new();
        let mut desk = Self {
            book: book_with(256, way.rules),
            scratch: Scratch::new(),
            way,
            rng: Rng(lots as u64),
            next: 0,
            sub_account: NO_NAME,
            open: Vec::new(),
        };
        for number in 0..lots as u64 {
            desk.choose_sub_account(number);
            let input = desk.input(Side::Buy);
            desk.book(&input);
        }
        desk
    }

    fn choose_sub_account(&mut self, number: u64) {
        self.sub_account = number.checked_rem(self.way.subs).map_or(NO_NAME, |number| number as u32);
    }

    fn input(&mut self, side: Side) -> TradeInput {
        self.next += 1;
        let (roll, is_sale) = (self.rng.draw(), side == Side::Sell);
        let hash = TradeHash(u128::from(roll) << 64 | u128::from(self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut input = TradeInput {
            hash,
            namespace: 0,
            account: 0,
            instrument: 0,
            side,
            quantity_e8: 100 * E8,
            price_e8: (5_000 + (roll % 1_000) as i64) * 1_000_000,
            effective_date: Date(1_000),
            executed_at_ns: self.next as i64,
            source_order: self.next,
            sub_account: self.sub_account,
            ..TradeInput::EMPTY
        };
        if is_sale && self.way.names_lots {
            let at = roll as usize % self.open.len();
            input.lot = self.open.swap_remove(at);
        }
        if !is_sale {
            if self.way.names_lots {
                self.open.push(hash);
            }
            if self.way.any_date {
                input.kind = TradeKind::OpenLot;
                input.acquired = Date(1_000 - ((roll >> 32) % 900) as i32);
                input.consideration_e8 = input.price_e8 * 100;
            }
        }
        input
    }

    fn book(&mut self, input: &TradeInput) {
        decide_and_apply(&mut self.book, &mut self.scratch, core::slice::from_ref(input));
    }

    fn step(&mut self) {
        let number = self.rng.draw();
        self.choose_sub_account(number);
        for side in [Side::Sell, Side::Buy] {
            let input = self.input(side);
            self.book(&input);
        }
    }
}

fn methods(c: &mut Criterion) {
    for lots in LOTS {
        let mut group = c.benchmark_group(format!("lots/{lots}"));
        group.sample_size(20);
        group.bench_function("bare FIFO loop", |b| {
            let mut desk = Desk::new(ways()[0], 1);
            let mut bare = BareBook::new(256);
            for _ in 0..lots {
                bare.trade(&desk.input(Side::Buy));
            }
            b.iter(|| {
                bare.trade(&desk.input(Side::Sell));
                bare.trade(&desk.input(Side::Buy));
                black_box(&bare);
            });
        });
        for way in ways() {
            // Made once: touching its pages takes longer than a sample.
            let mut desk = Desk::new(way, lots);
            group.bench_function(way.name, |b| b.iter(|| desk.step()));
            let held = desk.book.positions()[0].block.len();
            assert!(held.abs_diff(lots) <= 2 + lots / 2, "{held} lots of {lots}");
        }
        group.finish();
    }
}

criterion_group!(benches, methods);
criterion_main!(benches);
