//! The book's behaviour as tables: one event a line with its expected outcome.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::amount::{ONE_E8, format_e8, format_e16};
use crate::apply::Place;
use crate::book::Book;
use crate::codec;
use crate::command::{Command, NameClass, Origin, Side, TradeInput};
use crate::date::Date;
use crate::event::{Class, Event};
use crate::history::Item;
use crate::id::{NO_NAME, TradeHash, TradeId};
use crate::limits::Limits;
use crate::rules::{ContractTerms, LotMethod, Rules};
use crate::select::Scratch;

/// A book with a second one that sees only encoded events: what `apply` alone makes of the log.
pub(crate) struct Rig {
    pub book: Book,
    follower: Book,
    scratch: Scratch,
    sequence: u64,
    pub accepted: Vec<TradeInput>,
}

impl Rig {
    pub(crate) fn new(method: LotMethod, allow_short: bool) -> Self {
        let mut rig = Self {
            book: Book::new(Limits::SMALL),
            follower: Book::new(Limits::SMALL),
            scratch: Scratch::new(),
            sequence: 0,
            accepted: Vec::new(),
        };
        for (class, text) in [
            (NameClass::Account, "A1"),
            (NameClass::Instrument, "AAPL"),
            (NameClass::Contract, "C"),
            (NameClass::Namespace, "n"),
        ] {
            let text = TradeId::new(text.as_bytes()).unwrap();
            rig.send(&Command::Define { class, text });
        }
        let terms = ContractTerms {
            contract: 0,
            account: NO_NAME,
            instrument: NO_NAME,
            rules: Rules { method, allow_short, ..Rules::DEFAULT },
            effective_date: Date(0),
        };
        rig.send(&Command::Contract(terms));
        rig
    }

    /// Decides, encodes, decodes, applies to both books, compares them; says what happened.
    pub(crate) fn send(&mut self, command: &Command) -> String {
        self.mature();
        let event = self.book.decide(command, &Origin::INTERNAL, &mut self.scratch);
        if let (Command::Trade(input), Event::Trade(trade)) = (command, &event)
            && trade.class.is_accepted()
            && trade.class != Class::Forward
        {
            self.accepted.push(*input);
        }
        let said = match &event {
            Event::Trade(t) if t.class == Class::Rejected => t.reason.code().to_string(),
            Event::Trade(t) => format!("{} realized {}", t.class.as_str(), format_e16(t.realized_e16)),
            _ => String::new(),
        };
        let bytes = Self::round_trip(&event);
        self.sequence += 1;
        let place = Place { sequence: self.sequence, address: self.sequence * 100 };
        self.book.apply(&event, place, None).unwrap();
        Self::follow(&mut self.follower, &bytes, place);
        self.compare();
        said
    }

    fn mature(&mut self) {
        while let Some(date) = self.book.business_date()
            && let Some(forward) = self.book.forwards().first_due(date).copied()
        {
            let decision = self.book.decide_matured(&forward, &mut self.scratch).unwrap();
            let event = Event::Trade(decision.event(&forward.input, &Origin::INTERNAL, &self.scratch));
            self.accepted.push(forward.input);
            let bytes = Self::round_trip(&event);
            self.sequence += 1;
            let place = Place { sequence: self.sequence, address: 0 };
            self.book.apply(&event, place, None).unwrap();
            Self::follow(&mut self.follower, &bytes, place);
        }
        self.compare();
    }

    fn round_trip(event: &Event<'_>) -> (u16, Vec<u128>, usize) {
        let len = codec::payload_bytes(event);
        let mut bytes = Vec::new();
        bytes.resize(len, 0xAA);
        codec::encode(event, &mut bytes);
        // Aligned as the log's readers align.
        let mut aligned = Vec::new();
        for chunk in bytes.chunks(16) {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            aligned.push(u128::from_le_bytes(word));
        }
        (codec::kind_of(event), aligned, len)
    }

    fn follow(follower: &mut Book, (kind, aligned, len): &(u16, Vec<u128>, usize), place: Place) {
        let bytes: Vec<u8> = aligned.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut copy = Vec::<u128>::with_capacity(aligned.len());
        copy.extend_from_slice(aligned);
        let payload = aligned_bytes(&bytes);
        let mut decoder = codec::Decoder::new();
        let event = decoder.decode(*kind, codec::SCHEMA_VERSION, &payload[..*len]).unwrap();
        follower.apply(&event, place, None).unwrap();
    }

    fn compare(&self) {
        assert_eq!(self.book.economic_digest(), self.follower.economic_digest());
        assert_eq!(self.book.full_digest(), self.follower.full_digest());
        // An image a step would make the long tests slow.
        if self.sequence % 16 != 5 {
            return;
        }
        let mut image = Vec::new();
        self.book.write_image(&mut |piece| image.extend_from_slice(piece));
        let read = Book::read_image(&image, Limits::SMALL).unwrap();
        assert_eq!(read.full_digest(), self.book.full_digest());
        assert_eq!(read.forwards().len(), self.book.forwards().len());
    }

    pub(crate) fn position(&self) -> String {
        let Some(number) = self.book.find(0, 0) else { return "none".into() };
        let p = &self.book.positions()[number as usize];
        let lots: Vec<String> = self
            .book
            .lots()
            .iter(&p.block)
            .map(|lot| format!("{}@{}", format_e8(lot.quantity_e8), format_e8(lot.price_e8)))
            .collect();
        format!(
            "{} {} v{} realized {} [{}]",
            format_e8(p.quantity_e8),
            p.reconciliation().as_str(),
            p.version,
            format_e16(p.realized_e16),
            lots.join(" ")
        )
    }
}

/// Copies into memory that starts at a multiple of 16.
fn aligned_bytes(bytes: &[u8]) -> rkyv::util::AlignedVec<16> {
    let mut aligned = rkyv::util::AlignedVec::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    aligned
}

pub(crate) fn trade(id: &str, side: &str, quantity: i64, price: i64, day: i32) -> TradeInput {
    TradeInput {
        trade_id: TradeId::new(id.as_bytes()).unwrap(),
        hash: TradeHash::new(b"n", id.as_bytes()),
        namespace: 0,
        account: 0,
        instrument: 0,
        side: Side::parse(side).unwrap(),
        quantity_e8: quantity * ONE_E8,
        price_e8: price * ONE_E8,
        effective_date: Date(day),
        ..TradeInput::EMPTY
    }
}

fn check(method: LotMethod, allow_short: bool, table: &[(&str, &str, i64, i64, i32, &str, &str)]) {
    let mut rig = Rig::new(method, allow_short);
    for &(id, side, quantity, price, day, said, position) in table {
        let input = trade(id, side, quantity, price, day);
        assert_eq!(rig.send(&Command::Trade(input)), said, "{id}");
        assert_eq!(rig.position(), position, "{id}");
    }
}

#[test]
fn fifo_long() {
    check(
        LotMethod::Fifo,
        false,
        &[
            ("t1", "buy", 100, 10, 1, "applied realized 0", "100 RECONCILED v1 realized 0 [100@10]"),
            ("t2", "buy", 50, 12, 2, "applied realized 0", "150 RECONCILED v2 realized 0 [100@10 50@12]"),
            ("t3", "sell", 120, 15, 3, "applied realized 560", "30 RECONCILED v3 realized 560 [30@12]"),
            ("t4", "sell", 31, 15, 3, "OVERSELL", "30 RECONCILED v3 realized 560 [30@12]"),
            ("t5", "sell_short", 1, 15, 3, "TRADE_TYPE_MISMATCH", "30 RECONCILED v3 realized 560 [30@12]"),
            ("t6", "buy_to_cover", 1, 15, 3, "TRADE_TYPE_MISMATCH", "30 RECONCILED v3 realized 560 [30@12]"),
            ("t7", "sell", 30, 11, 4, "applied realized -30", "0 RECONCILED v4 realized 530 []"),
            ("t8", "sell", 1, 11, 4, "OVERSELL", "0 RECONCILED v4 realized 530 []"),
            ("t9", "buy", 0, 11, 4, "BAD_QUANTITY", "0 RECONCILED v4 realized 530 []"),
        ],
    );
}

#[test]
fn lifo_and_hifo() {
    check(
        LotMethod::Lifo,
        false,
        &[
            ("t1", "buy", 100, 10, 1, "applied realized 0", "100 RECONCILED v1 realized 0 [100@10]"),
            ("t2", "buy", 50, 12, 2, "applied realized 0", "150 RECONCILED v2 realized 0 [100@10 50@12]"),
            ("t3", "sell", 60, 15, 3, "applied realized 200", "90 RECONCILED v3 realized 200 [90@10]"),
        ],
    );
    check(
        LotMethod::Hifo,
        false,
        &[
            ("t1", "buy", 10, 11, 1, "applied realized 0", "10 RECONCILED v1 realized 0 [10@11]"),
            ("t2", "buy", 10, 13, 2, "applied realized 0", "20 RECONCILED v2 realized 0 [10@11 10@13]"),
            ("t3", "buy", 10, 12, 3, "applied realized 0", "30 RECONCILED v3 realized 0 [10@11 10@13 10@12]"),
            ("t4", "buy", 10, 13, 3, "applied realized 0", "40 RECONCILED v4 realized 0 [10@11 10@13 10@12 10@13]"),
            ("t5", "sell", 4, 20, 4, "applied realized 28", "36 RECONCILED v5 realized 28 [10@11 6@13 10@12 10@13]"),
            ("t6", "sell", 18, 20, 5, "applied realized 128", "18 RECONCILED v6 realized 156 [10@11 8@12]"),
        ],
    );
}

#[test]
fn shorts_and_flips() {
    check(
        LotMethod::Fifo,
        true,
        &[
            ("t1", "sell_short", 10, 20, 1, "applied realized 0", "-10 RECONCILED v1 realized 0 [10@20]"),
            ("t2", "sell", 5, 22, 2, "applied realized 0", "-15 RECONCILED v2 realized 0 [10@20 5@22]"),
            ("t3", "buy_to_cover", 12, 15, 3, "applied realized 64", "-3 RECONCILED v3 realized 64 [3@22]"),
            ("t4", "buy_to_cover", 4, 15, 3, "TRADE_TYPE_MISMATCH", "-3 RECONCILED v3 realized 64 [3@22]"),
            ("t5", "buy", 10, 23, 4, "applied realized -3", "7 RECONCILED v4 realized 61 [7@23]"),
            ("t6", "sell", 9, 24, 5, "applied realized 7", "-2 RECONCILED v5 realized 68 [2@24]"),
        ],
    );
}

#[test]
fn late_trades_are_provisional() {
    check(
        LotMethod::Fifo,
        false,
        &[
            ("t1", "buy", 10, 20, 5, "applied realized 0", "10 RECONCILED v1 realized 0 [10@20]"),
            ("t3", "sell", 5, 30, 6, "applied realized 50", "5 RECONCILED v2 realized 50 [5@20]"),
            ("t0", "buy", 10, 10, 4, "provisional realized 0", "15 PROVISIONAL v3 realized 50 [10@10 5@20]"),
            ("t4", "sell", 5, 30, 7, "applied realized 100", "10 PROVISIONAL v4 realized 150 [5@10 5@20]"),
            ("t2", "sell", 11, 30, 5, "OVERSELL", "10 PROVISIONAL v4 realized 150 [5@10 5@20]"),
        ],
    );
}

#[test]
fn forward_dated_trades_wait() {
    let mut rig = Rig::new(LotMethod::Fifo, false);
    rig.send(&Command::BusinessDate(Date(10)));
    for (input, said, position) in [
        (trade("t1", "buy", 10, 20, 10), "applied realized 0", "10 RECONCILED v1 realized 0 [10@20]"),
        (trade("t2", "sell", 4, 25, 12), "forward realized 0", "10 RECONCILED v2 realized 0 [10@20]"),
        (trade("t3", "buy", 1, 21, 11), "forward realized 0", "10 RECONCILED v3 realized 0 [10@20]"),
        (trade("t4", "sell", 5, 30, 10), "applied realized 50", "5 RECONCILED v4 realized 50 [5@20]"),
    ] {
        assert_eq!(rig.send(&Command::Trade(input)), said);
        assert_eq!(rig.position(), position);
    }
    assert_eq!(rig.book.positions()[0].forward_quantity_e8, -3 * ONE_E8);
    rig.send(&Command::BusinessDate(Date(12)));
    rig.send(&Command::BusinessDate(Date(12)));
    assert_eq!(rig.position(), "2 RECONCILED v6 realized 70 [1@20 1@21]");
    assert_eq!(rig.book.positions()[0].forward_quantity_e8, 0);
}

/// Any order of arrival, once replayed, is the chronological book.
#[test]
fn replay_equals_the_chronological_book() {
    for method in LotMethod::ALL {
        let mut state = 7u64;
        for round in 0..60 {
            let mut next = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % below
            };
            let mut trades: Vec<TradeInput> = (0..12)
                .map(|n| {
                    let side = if next(2) == 0 { "buy" } else { "sell" };
                    let mut input =
                        trade(&format!("t{n}"), side, 1 + next(9) as i64, 10 + next(5) as i64, 1 + next(4) as i32);
                    input.source_order = n;
                    input
                })
                .collect();
            let mut shuffled = Rig::new(method, true);
            for input in &trades {
                shuffled.send(&Command::Trade(*input));
            }
            trades.sort_by_key(TradeInput::key);
            let mut chronological = Rig::new(method, true);
            for input in &trades {
                chronological.send(&Command::Trade(*input));
            }
            let contracts = chronological.book.contracts().clone();
            let mut items: Vec<Item> = shuffled.accepted.iter().copied().map(Item::Trade).collect();
            let outcome = crate::replay::replay(&mut items, &contracts, ONE_E8, &mut Scratch::new()).unwrap();
            let wanted = chronological.book.positions()[0];
            assert_eq!(outcome.after, wanted.figures(), "round {round}");
            assert!(outcome.lots.iter().copied().eq(chronological.book.lots().iter(&wanted.block)));
            let realized: i128 = outcome.trades.iter().map(|t| t.realized_e16).sum();
            assert_eq!(realized, wanted.realized_e16);
            let allocated: i128 = outcome.trades.iter().flat_map(|t| &t.allocations).map(|a| a.realized_e16).sum();
            assert_eq!(allocated, wanted.realized_e16);
        }
    }
}

#[test]
fn overflow_is_refused_and_changes_nothing() {
    let mut rig = Rig::new(LotMethod::Fifo, true);
    let mut huge = trade("t1", "buy", 1, 1, 1);
    (huge.quantity_e8, huge.price_e8) = (i64::MAX, i64::MAX);
    assert_eq!(rig.send(&Command::Trade(huge)), "applied realized 0");
    let before = rig.book.full_digest();
    huge.trade_id = TradeId::new(b"t2").unwrap();
    huge.source_order = 1;
    assert_eq!(rig.send(&Command::Trade(huge)), "OVERFLOW");
    assert_eq!(rig.book.full_digest(), before);
}

#[test]
fn sizes() {
    assert!(core::mem::size_of::<crate::position::Position>() <= 400);
    assert!(core::mem::size_of::<Command>() <= 400);
}
