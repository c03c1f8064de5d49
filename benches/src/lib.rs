//! What the benches share: a book with names, seeded trades, and the bare loop that is the limit.

pub mod course;
#[cfg(feature = "fix")]
pub mod fix;
pub mod growth;
pub mod instructions;
pub mod ratios;

use std::collections::VecDeque;

use lotbook_core::apply::Place;
use lotbook_core::command::{Command, NameClass, Origin, Side, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::limits::LOOK_AHEAD_MAX;
use lotbook_core::lots::Lot;
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_core::{Book, Limits, Scratch};

/// A fixed generator: SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Instruments of a bench's book.
pub const INSTRUMENTS: u64 = 256;

/// A book with `positions / 256` accounts and 256 instruments, all names defined, shorts allowed.
#[must_use]
pub fn book(positions: u64, method: LotMethod) -> Book {
    book_with(positions, Rules { method, allow_short: true, ..Rules::DEFAULT })
}

/// The same under any rules, and with sixteen sub-accounts.
#[must_use]
pub fn book_with(positions: u64, rules: Rules) -> Book {
    let limits = Limits {
        positions_max: (positions + INSTRUMENTS).next_power_of_two().max(1 << 18) as usize,
        lots_max: (positions * 16).next_power_of_two().max(1 << 22) as usize,
        ..Limits::HOST
    };
    let mut book = Book::new(limits);
    let mut scratch = Scratch::new();
    let mut send = |command: Command| {
        let event = book.decide(&command, &Origin::INTERNAL, &mut scratch);
        let place = Place { sequence: 1, address: 0 };
        // The same book decided it; a misfit is a defect worth a panic in a bench.
        book.apply(&event, place, None).unwrap_or_else(|misfit| panic!("{misfit}"));
    };
    let mut define = |class, text: String| {
        let text = TradeId::new(text.as_bytes()).unwrap_or(TradeId::EMPTY);
        send(Command::Define { class, text });
    };
    for n in 0..positions.div_ceil(INSTRUMENTS) {
        define(NameClass::Account, format!("A{n}"));
    }
    for n in 0..INSTRUMENTS {
        define(NameClass::Instrument, format!("I{n}"));
    }
    for n in 0..16 {
        define(NameClass::SubAccount, format!("S{n}"));
    }
    define(NameClass::Contract, "C".into());
    let terms = ContractTerms { contract: 0, account: NO_NAME, instrument: NO_NAME, rules, effective_date: Date(0) };
    send(Command::Contract(terms));
    book
}

/// Seeded trades over positions that hold a handful of lots each, in chronological order: long or short, back toward flat where they hold much.
#[derive(Debug)]
pub struct Flow {
    rng: Rng,
    /// Of each position, in whole units.
    held: Vec<i64>,
    next: u64,
}

/// Units from which on a position goes back toward flat.
const HELD_MOST: u64 = 400;

impl Flow {
    /// A flow over so many positions, all flat.
    #[must_use]
    pub fn new(positions: u64) -> Self {
        Self { rng: Rng(positions), held: vec![0; positions as usize], next: 0 }
    }

    /// A batch of trades to fill again and again.
    #[must_use]
    pub fn batch(len: usize) -> Vec<TradeInput> {
        vec![TradeInput { namespace: 0, effective_date: Date(100), ..TradeInput::EMPTY }; len]
    }

    /// Writes the next trades over these. Their ids are hashes only.
    pub fn fill(&mut self, batch: &mut [TradeInput]) {
        for input in batch {
            let (pick, roll) = (self.rng.draw() % self.held.len() as u64, self.rng.draw());
            let held = &mut self.held[pick as usize];
            let sells = if held.unsigned_abs() > HELD_MOST { *held > 0 } else { roll & 1 == 0 };
            let quantity = (1 + (roll >> 8) % 100) as i64;
            *held += if sells { -quantity } else { quantity };
            input.hash = TradeHash(u128::from(self.rng.draw()) << 64 | u128::from(roll));
            input.account = (pick / INSTRUMENTS) as u32;
            input.instrument = (pick % INSTRUMENTS) as u32;
            input.side = if sells { Side::Sell } else { Side::Buy };
            input.quantity_e8 = quantity * 100_000_000;
            input.price_e8 = (5_000 + (roll >> 20) % 1_000) as i64 * 1_000_000;
            input.executed_at_ns = self.next as i64;
            input.source_order = self.next;
            self.next += 1;
        }
    }
}

/// The first trades of a flow, with ids.
#[must_use]
pub fn trades(positions: u64, count: u64) -> Vec<TradeInput> {
    let mut trades = Flow::batch(count as usize);
    Flow::new(positions).fill(&mut trades);
    for (n, input) in trades.iter_mut().enumerate() {
        let id = format!("{n:012}");
        input.trade_id = TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY);
        input.hash = TradeHash::new(b"bench", id.as_bytes());
    }
    trades
}

/// Seeded lots as a position has them that trades now and then.
#[must_use]
pub fn lots(count: usize) -> Vec<Lot> {
    let mut rng = Rng(7);
    let lot = |n: usize| {
        let quantity_e8 = (1 + rng.draw() % 100) as i64 * 100_000_000;
        let price_e8 = (5_000 + rng.draw() % 1_000) as i64 * 1_000_000;
        let cost_e16 = i128::from(quantity_e8) * i128::from(price_e8);
        Lot {
            origin: TradeHash(u128::from(rng.draw()) << 64 | u128::from(rng.draw())),
            quantity_e8,
            price_e8,
            cost_e16,
            base_cost_e16: cost_e16,
            acquired: Date(n as i32 / 10),
            sub_account: 0,
        }
    };
    (0..count).map(lot).collect()
}

/// The limit: the least that a FIFO book with lots must do, with plain integers and no checks.
#[derive(Debug)]
pub struct BareBook {
    positions: Vec<BarePosition>,
}

/// Quantity, realized, lots of (quantity, price).
type BarePosition = (i64, i128, VecDeque<(i64, i64)>);

impl BareBook {
    /// Positions, all flat.
    #[must_use]
    pub fn new(positions: u64) -> Self {
        Self { positions: (0..positions + INSTRUMENTS).map(|_| (0, 0, VecDeque::new())).collect() }
    }

    /// Books one trade.
    #[inline]
    pub fn trade(&mut self, input: &TradeInput) {
        let slot = input.account as usize * INSTRUMENTS as usize + input.instrument as usize;
        let (quantity, realized, lots) = &mut self.positions[slot];
        let sign = if input.side == Side::Buy { 1 } else { -1 };
        let mut rest = input.quantity_e8;
        if *quantity * sign < 0 {
            while rest > 0 {
                let Some((held, price)) = lots.front_mut() else { break };
                let take = rest.min(*held);
                *realized += i128::from(take) * i128::from((input.price_e8 - *price) * -sign);
                rest -= take;
                *held -= take;
                if *held == 0 {
                    lots.pop_front();
                }
            }
        }
        if rest > 0 {
            lots.push_back((rest, input.price_e8));
        }
        *quantity += sign * input.quantity_e8;
    }
}

/// Books trades with the real thing, as a shard does: a look ahead at the next few, then each decided and applied.
pub fn decide_and_apply(book: &mut Book, scratch: &mut Scratch, trades: &[TradeInput]) {
    for ahead in trades.chunks(LOOK_AHEAD_MAX) {
        book.look_ahead(ahead.iter().map(|input| (input.account, input.instrument)));
        for (n, input) in ahead.iter().enumerate() {
            let decision = book.decide_trade(input, scratch);
            let event = decision.event(input, &Origin::INTERNAL, scratch);
            let place = Place { sequence: n as u64, address: 0 };
            book.apply_trade(&event, place).unwrap_or_else(|misfit| panic!("{misfit}"));
        }
    }
}
