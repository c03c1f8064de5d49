//! What the benches share: a book with names, seeded trades, and the bare loop that is the limit.

use std::collections::VecDeque;

use lotbook_core::apply::Place;
use lotbook_core::command::{Command, NameClass, Origin, Side, TradeInput};
use lotbook_core::date::Date;
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
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

const INSTRUMENTS: u64 = 256;

/// A book with `positions / 256` accounts and 256 instruments, all names defined, shorts allowed.
#[must_use]
pub fn book(positions: u64, method: LotMethod) -> Book {
    book_with(positions, Rules { method, allow_short: true, ..Rules::DEFAULT })
}

/// The same under any rules, and with sixteen sub-accounts.
#[must_use]
pub fn book_with(positions: u64, rules: Rules) -> Book {
    let limits = Limits { positions_max: 1 << 18, lots_max: 1 << 22, ..Limits::HOST };
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

/// Seeded trades over `positions` positions, in chronological order.
#[must_use]
pub fn trades(positions: u64, count: u64) -> Vec<TradeInput> {
    let mut rng = Rng(positions);
    let one = |n: u64| {
        let (pick, roll) = (rng.draw() % positions, rng.draw());
        let id = format!("{n:012}");
        TradeInput {
            trade_id: TradeId::new(id.as_bytes()).unwrap_or(TradeId::EMPTY),
            hash: TradeHash::new(b"bench", id.as_bytes()),
            namespace: 0,
            account: (pick / INSTRUMENTS) as u32,
            instrument: (pick % INSTRUMENTS) as u32,
            side: if roll & 1 == 0 { Side::Buy } else { Side::Sell },
            quantity_e8: (1 + (roll >> 8) % 100) as i64 * 100_000_000,
            price_e8: (5_000 + (roll >> 20) % 1_000) as i64 * 1_000_000,
            effective_date: Date(100),
            executed_at_ns: n as i64,
            source_order: n,
            ..TradeInput::EMPTY
        }
    };
    (0..count).map(one).collect()
}

/// The same trades, `pass` rounds later, so that a book that has booked them goes on in warm memory.
#[must_use]
pub fn later(trades: &[TradeInput], pass: i64) -> Vec<TradeInput> {
    let shift = pass * trades.len() as i64;
    trades.iter().map(|t| TradeInput { executed_at_ns: t.executed_at_ns + shift, ..*t }).collect()
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

/// Books trades with the real thing: decide, then apply.
pub fn decide_and_apply(book: &mut Book, scratch: &mut Scratch, trades: &[TradeInput]) {
    for (n, input) in trades.iter().enumerate() {
        let decision = book.decide_trade(input, scratch);
        let event = decision.event(input, &Origin::INTERNAL, scratch);
        let place = Place { sequence: n as u64, address: 0 };
        book.apply_trade(&event, place).unwrap_or_else(|misfit| panic!("{misfit}"));
    }
}
