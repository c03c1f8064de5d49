//! What the model tests share: trades by plain numbers, a book driven without threads and checked after
//! every event, the oracle's view of the same trades, and a shrinker for failing histories.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lotbook_core::apply::Place;
use lotbook_core::codec::{self, Decoder};
use lotbook_core::command::{Command, InstrumentTerms, NameClass, Origin, Side, TradeInput, TradeType};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, Event, Reason};
use lotbook_core::history::Item;
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::lots::Lot;
use lotbook_core::outcome::Outcome;
use lotbook_core::position::Position;
use lotbook_core::replay::{allocations, replay};
use lotbook_core::rules::{ContractTerms, LotMethod, Rules};
use lotbook_core::{Book, Limits, Scratch};
use lotbook_engine::read_model::PositionView;
use lotbook_perf::oracle;
use lotbook_perf::rng::Rng;

pub(crate) const E8: i64 = 100_000_000;

/// A trade by plain numbers; its id is `t<id>`, its account `A<account>`, its instrument `I<instrument>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) id: u32,
    pub(crate) account: u32,
    pub(crate) instrument: u32,
    pub(crate) side: Side,
    pub(crate) trade_type: TradeType,
    pub(crate) quantity_e8: i64,
    pub(crate) price_e8: i64,
    pub(crate) fees_e8: i64,
    pub(crate) day: i32,
    pub(crate) at_ns: i64,
    pub(crate) order: u64,
}

impl Spec {
    /// A buy or a sell with everything else at rest.
    pub(crate) fn new(id: u32, side: Side, quantity_e8: i64, price_e8: i64, day: i32) -> Self {
        let trade_type = TradeType::Any;
        Self {
            id,
            account: 0,
            instrument: 0,
            side,
            trade_type,
            quantity_e8,
            price_e8,
            fees_e8: 0,
            day,
            at_ns: 0,
            order: 0,
        }
    }

    pub(crate) fn trade_id(&self) -> String {
        format!("t{}", self.id)
    }

    pub(crate) fn position(&self) -> (u32, u32) {
        (self.account, self.instrument)
    }

    pub(crate) fn oracle(&self) -> oracle::OracleTrade {
        oracle::OracleTrade {
            trade_id: self.trade_id(),
            buy: self.side.sign() > 0,
            quantity_e8: self.quantity_e8,
            price_e8: self.price_e8,
            fees_e8: self.fees_e8,
            effective_days: self.day,
            executed_at_ns: self.at_ns,
            source_order: self.order,
        }
    }

    /// The input for a book in which the names were interned as `account` and `instrument`.
    pub(crate) fn input(&self, account: u32, instrument: u32) -> TradeInput {
        let id = self.trade_id();
        TradeInput {
            trade_id: TradeId::new(id.as_bytes()).expect("short"),
            hash: TradeHash::new(b"test", id.as_bytes()),
            namespace: 0,
            account,
            instrument,
            side: self.side,
            trade_type: self.trade_type,
            quantity_e8: self.quantity_e8,
            price_e8: self.price_e8,
            fees_e8: self.fees_e8,
            effective_date: Date(self.day),
            executed_at_ns: self.at_ns,
            source_order: self.order,
            ..TradeInput::EMPTY
        }
    }
}

pub(crate) fn sort_chronologically(history: &mut [Spec]) {
    history.sort_by(|a, b| a.oracle().chronological(&b.oracle()));
}

pub(crate) fn shuffle<T>(list: &mut [T], rng: &mut Rng) {
    for index in (1..list.len()).rev() {
        list.swap(index, rng.below(index as u64 + 1) as usize);
    }
}

/// The methods that the naive program knows; the others are compared in `engine/core`.
pub(crate) const ORACLE_METHODS: [LotMethod; 3] = [LotMethod::Fifo, LotMethod::Lifo, LotMethod::Hifo];

pub(crate) fn oracle_method(method: LotMethod) -> oracle::LotMethod {
    match method {
        LotMethod::Fifo => oracle::LotMethod::Fifo,
        LotMethod::Lifo => oracle::LotMethod::Lifo,
        LotMethod::Hifo => oracle::LotMethod::Hifo,
        other => panic!("the oracle knows no {other:?}"),
    }
}

/// The oracle's books over an accepted set, by position.
pub(crate) fn oracle_books(accepted: &[Spec], method: LotMethod) -> BTreeMap<(u32, u32), oracle::Book> {
    let mut by_position: BTreeMap<(u32, u32), Vec<oracle::OracleTrade>> = BTreeMap::new();
    for spec in accepted {
        by_position.entry(spec.position()).or_default().push(spec.oracle());
    }
    by_position.into_iter().map(|(key, trades)| (key, oracle::book(trades, oracle_method(method)))).collect()
}

/// Compares quantity, realized, fees and every lot with the oracle's.
pub(crate) fn compare(
    wanted: &oracle::Book,
    quantity_e8: i64,
    realized_e16: i128,
    lots: impl ExactSizeIterator<Item = Lot>,
) -> Result<(), String> {
    if wanted.quantity_e8() != quantity_e8 {
        return Err(format!("quantity {quantity_e8}, oracle {}", wanted.quantity_e8()));
    }
    if wanted.realized_e16 != realized_e16 {
        return Err(format!("realized {realized_e16}, oracle {}", wanted.realized_e16));
    }
    if wanted.lots.len() != lots.len() {
        return Err(format!("{} lots, oracle {}", lots.len(), wanted.lots.len()));
    }
    for (at, (want, lot)) in wanted.lots.iter().zip(lots).enumerate() {
        let same = TradeHash::new(b"test", want.trade_id.as_bytes()) == lot.origin
            && want.quantity_e8 == lot.quantity_e8
            && want.price_e8 == lot.price_e8
            && want.cost_e16 == lot.cost_e16
            && want.acquired_days == lot.acquired.0
            && (want.side == oracle::LotSide::Long) == (quantity_e8 > 0);
        if !same {
            return Err(format!("lot {at}: {lot:?}, oracle {want:?}"));
        }
    }
    Ok(())
}

/// Compares a published position with the oracle's.
pub(crate) fn compare_view(wanted: &oracle::Book, view: &PositionView) -> Result<(), String> {
    let lots: Vec<Lot> = view
        .lots
        .iter()
        .map(|lot| Lot {
            origin: TradeHash::new(b"test", lot.trade_id.as_bytes()),
            quantity_e8: lot.quantity_e8,
            cost_e16: lot.cost_e16,
            base_cost_e16: lot.base_cost_e16,
            price_e8: lot.price_e8,
            acquired: lot.acquired,
            sub_account: NO_NAME,
        })
        .collect();
    if wanted.fees_e8 * i128::from(E8) != view.fees_e16 {
        return Err(format!("fees {}, oracle {} at 10^-8", view.fees_e16, wanted.fees_e8));
    }
    compare(wanted, view.quantity_e8, view.realized_e16, lots.into_iter())
}

pub(crate) const LIMITS: Limits = Limits {
    positions_max: 64,
    lots_max: 1 << 16,
    names_max: 64,
    forwards_max: 1 << 10,
    amendments_max: 1 << 10,
    held_max: 1 << 8,
    contracts_max: 64,
    actions_max: 64,
    legs_max: 1 << 12,
};

pub(crate) fn image(book: &Book) -> Vec<u8> {
    let mut bytes = Vec::new();
    book.write_image(&mut |piece| bytes.extend_from_slice(piece));
    bytes
}

/// A book that decides, and a second one that only ever applies what was encoded and decoded again.
pub(crate) struct BookRig {
    pub(crate) book: Book,
    pub(crate) shadow: Book,
    pub(crate) scratch: Scratch,
    pub(crate) accepted: Vec<Spec>,
    limits: Limits,
    sequence: u64,
    bytes: Vec<u8>,
    decoder: Decoder,
    accounts: Vec<u32>,
    instruments: Vec<u32>,
    /// Sum of all cash flows of a position, modulo 2^128.
    cash_e16: BTreeMap<u32, i128>,
    whole_multiplier: bool,
}

impl BookRig {
    /// Interns `names` accounts and as many instruments, in reverse where told, and one contract for all.
    pub(crate) fn new(rules: Rules, names: u32, reversed: bool, limits: Limits) -> Self {
        let mut rig = Self {
            book: Book::new(limits),
            shadow: Book::new(limits),
            scratch: Scratch::new(),
            accepted: Vec::new(),
            limits,
            sequence: 0,
            bytes: Vec::new(),
            decoder: Decoder::new(),
            accounts: vec![0; names as usize],
            instruments: vec![0; names as usize],
            cash_e16: BTreeMap::new(),
            whole_multiplier: true,
        };
        let mut order: Vec<u32> = (0..names).collect();
        if reversed {
            order.reverse();
        }
        for (number, &name) in order.iter().enumerate() {
            rig.define(NameClass::Account, &format!("A{name}"));
            rig.define(NameClass::Instrument, &format!("I{name}"));
            rig.accounts[name as usize] = number as u32;
            rig.instruments[name as usize] = number as u32;
        }
        rig.define(NameClass::Contract, "C");
        rig.define(NameClass::Namespace, "test");
        let (account, instrument, effective_date) = (NO_NAME, NO_NAME, Date(-1_000_000));
        rig.other(&Command::Contract(ContractTerms { contract: 0, account, instrument, rules, effective_date }));
        rig
    }

    fn define(&mut self, class: NameClass, text: &str) {
        let text = TradeId::new(text.as_bytes()).expect("short");
        self.other(&Command::Define { class, text });
    }

    pub(crate) fn set_multiplier(&mut self, instrument: u32, multiplier_e8: i64) {
        self.whole_multiplier &= multiplier_e8 % E8 == 0;
        let instrument = self.instruments[instrument as usize];
        let (currency, tick_e8, price_min_e8, price_max_e8) = (NO_NAME, 0, 0, 0);
        let (isin, cusip) = ([0; 12], [0; 9]);
        self.other(&Command::Instrument(InstrumentTerms {
            instrument,
            currency,
            multiplier_e8,
            tick_e8,
            price_min_e8,
            price_max_e8,
            isin,
            cusip,
        }));
    }

    /// Decides and applies a command that is not a trade; it must be taken.
    pub(crate) fn other(&mut self, command: &Command) {
        assert_eq!(self.try_other(command), Reason::None, "{command:?}");
    }

    /// Decides and applies a command that is not a trade.
    pub(crate) fn try_other(&mut self, command: &Command) -> Reason {
        let event = self.book.decide(command, &Origin::INTERNAL, &mut self.scratch);
        let reason = match &event {
            Event::Defined { reason, .. }
            | Event::Instrument { reason, .. }
            | Event::Contract { reason, .. }
            | Event::BusinessDate { reason, .. }
            | Event::Mark { reason, .. } => *reason,
            _ => unreachable!("not a trade"),
        };
        self.sequence += 1;
        let place = Place { sequence: self.sequence, address: self.sequence * 8 };
        follow(&mut self.shadow, &mut self.bytes, &mut self.decoder, &event, place, None);
        self.book.apply(&event, place, None).expect("an event of this book");
        reason
    }

    pub(crate) fn input(&self, spec: &Spec) -> TradeInput {
        spec.input(self.accounts[spec.account as usize], self.instruments[spec.instrument as usize])
    }

    pub(crate) fn find(&self, account: u32, instrument: u32) -> Option<&Position> {
        let number = self.book.find(self.accounts[account as usize], self.instruments[instrument as usize])?;
        Some(&self.book.positions()[number as usize])
    }

    /// Books the trade of every due forward-dated one, as the shard does between batches.
    pub(crate) fn mature(&mut self) -> Vec<(TradeId, Reason)> {
        let mut matured = Vec::new();
        while let Some(today) = self.book.business_date()
            && let Some(forward) = self.book.forwards().first_due(today).copied()
        {
            let Ok(decision) = self.book.decide_matured(&forward, &mut self.scratch) else { break };
            let event = Event::Trade(decision.event(&forward.input, &Origin::INTERNAL, &self.scratch));
            self.sequence += 1;
            let place = Place { sequence: self.sequence, address: self.sequence * 8 };
            follow(&mut self.shadow, &mut self.bytes, &mut self.decoder, &event, place, None);
            self.book.apply(&event, place, None).expect("a decision of this book");
            // What was passed over moved nothing.
            if decision.reason != Reason::Overflow {
                *self.cash_e16.entry(decision.position).or_default() -= cash(&forward.input);
            }
            self.conserved(decision.position);
            matured.push((forward.input.trade_id, decision.reason));
        }
        matured
    }

    /// Decides and applies a trade; checks what must hold after every event.
    pub(crate) fn trade(&mut self, spec: &Spec) -> (Class, Reason) {
        let input = self.input(spec);
        self.trade_input(&input, spec)
    }

    pub(crate) fn trade_input(&mut self, input: &TradeInput, spec: &Spec) -> (Class, Reason) {
        let decision = self.book.decide_trade(input, &mut self.scratch);
        let trade = decision.event(input, &Origin::INTERNAL, &self.scratch);
        if let Some(before) = self.book.positions().get(decision.position as usize)
            && !trade.runs.is_empty()
        {
            let terms = self.book.instrument(input.instrument).expect("interned").terms;
            let parts =
                allocations(self.book.lots(), before, &trade, &Rules::DEFAULT, terms.multiplier_e8).expect("in range");
            assert_eq!(parts.iter().map(|p| p.quantity_e8).sum::<i64>(), trade.closed_quantity_e8);
            assert_eq!(parts.iter().map(|p| p.cost_e16).sum::<i128>(), trade.closed_cost_e16);
            let realized = parts.iter().fold(0i128, |sum, p| sum.wrapping_add(p.realized_e16));
            assert_eq!(realized, trade.realized_e16);
        }
        assert_eq!(trade.closed_quantity_e8 > 0, !trade.runs.is_empty());
        let event = Event::Trade(trade);
        self.sequence += 1;
        let place = Place { sequence: self.sequence, address: self.sequence * 8 };
        follow(&mut self.shadow, &mut self.bytes, &mut self.decoder, &event, place, None);
        let refused = decision.class == Class::Rejected;
        let before = refused.then(|| image(&self.book));
        self.book.apply(&event, place, None).expect("a decision of this book");
        if let Some(before) = before {
            assert!(image(&self.book) == before, "a refused trade changed the image");
        } else {
            self.accepted.push(*spec);
            if decision.class != Class::Forward {
                let cash_e16 = self.cash_e16.entry(decision.position).or_default();
                *cash_e16 = cash_e16.wrapping_sub(cash(input));
            }
            self.conserved(decision.position);
        }
        assert_eq!(self.book.economic_digest(), self.shadow.economic_digest());
        assert_eq!(self.book.full_digest(), self.shadow.full_digest());
        (decision.class, decision.reason)
    }

    /// Quantity and cost are the sums of the lots'; realized less signed cost is all the cash that flowed.
    fn conserved(&self, number: u32) {
        let p = &self.book.positions()[number as usize];
        let lots = || self.book.lots().iter(&p.block);
        let quantity: i128 = lots().map(|lot| i128::from(lot.quantity_e8)).sum();
        assert_eq!(quantity, i128::from(p.quantity_e8).abs(), "quantity is not conserved");
        assert!(lots().all(|lot| lot.quantity_e8 > 0));
        assert_eq!(lots().map(|lot| lot.cost_e16).sum::<i128>(), p.cost_e16, "cost is not conserved");
        assert!(lots().all(|lot| lot.cost_e16 >= 0));
        let terms = self.book.instrument(p.instrument).expect("interned").terms;
        if terms.multiplier_e8 == E8 {
            let signed_cost = if p.quantity_e8 < 0 { -p.cost_e16 } else { p.cost_e16 };
            let cash_e16 = self.cash_e16.get(&number).copied().unwrap_or_default();
            assert_eq!(p.realized_e16.wrapping_sub(signed_cost), cash_e16, "cash is not conserved");
        }
    }

    /// The image of the book reads back as the same book, and the shadow has the same image.
    pub(crate) fn images_agree(&self) -> Result<(), String> {
        let bytes = image(&self.book);
        if bytes != image(&self.shadow) {
            return Err("apply-only book has another image".into());
        }
        let again = Book::read_image(&bytes, self.limits).map_err(|error| error.to_string())?;
        if image(&again) != bytes {
            return Err("an image that was read is written differently".into());
        }
        Ok(())
    }

    /// Every position against the oracle over what was accepted so far.
    pub(crate) fn agrees(&self, method: LotMethod) -> Result<(), String> {
        for ((account, instrument), wanted) in oracle_books(&self.accepted, method) {
            let p = self.find(account, instrument).ok_or("a position is missing")?;
            compare(&wanted, p.quantity_e8, p.realized_e16, self.book.lots().iter(&p.block))
                .map_err(|what| format!("A{account}/I{instrument}: {what}"))?;
            if wanted.fees_e8 * i128::from(E8) != p.fees_e16 {
                return Err(format!("A{account}/I{instrument}: fees {}", p.fees_e16));
            }
        }
        Ok(())
    }

    /// The coldpath's replay of one position's accepted trades, in the order in which they arrived.
    pub(crate) fn replayed(&mut self, account: u32, instrument: u32) -> Outcome {
        let mut items: Vec<Item> = self
            .accepted
            .iter()
            .filter(|spec| spec.position() == (account, instrument))
            .map(|spec| Item::Trade(self.input(spec)))
            .collect();
        replay(&mut items, self.book.contracts(), E8, &mut self.scratch).expect("a replay in range")
    }
}

fn cash(input: &TradeInput) -> i128 {
    i128::from(input.signed_quantity_e8()) * i128::from(input.price_e8)
}

/// Encodes, decodes from aligned memory, applies.
pub(crate) fn follow(
    book: &mut Book,
    bytes: &mut Vec<u8>,
    decoder: &mut Decoder,
    event: &Event<'_>,
    place: Place,
    outcome: Option<&Outcome>,
) {
    let len = codec::payload_bytes(event);
    bytes.clear();
    bytes.resize(len + 16, 0xAA);
    let at = bytes.as_ptr().align_offset(16);
    let payload = &mut bytes[at..at + len];
    codec::encode(event, payload);
    let decoded = decoder.decode(codec::kind_of(event), codec::SCHEMA_VERSION, payload).expect("own bytes");
    assert_eq!(&decoded, event, "an event that was read back differs");
    book.apply(&decoded, place, outcome).expect("an event of an equal book");
}

/// Runs `check` on the history. Where it fails, removes ever smaller stretches as long as it goes on
/// failing, and panics with the shortest history found.
pub(crate) fn hold<T: Clone + std::fmt::Debug>(name: &str, history: &[T], check: impl Fn(&[T]) -> Result<(), String>) {
    let fails = |history: &[T]| match catch_unwind(AssertUnwindSafe(|| check(history))) {
        Ok(Ok(())) => None,
        Ok(Err(what)) => Some(what),
        Err(panic) => Some(
            panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                .unwrap_or_else(|| "panic".into()),
        ),
    };
    let Some(mut what) = fails(history) else { return };
    let mut shortest = history.to_vec();
    let mut stretch = shortest.len() / 2;
    while stretch > 0 {
        let mut at = 0;
        while at < shortest.len() {
            let mut fewer = shortest.clone();
            fewer.drain(at..(at + stretch).min(fewer.len()));
            if let Some(still) = fails(&fewer) {
                (shortest, what) = (fewer, still);
            } else {
                at += stretch;
            }
        }
        stretch /= 2;
    }
    panic!("{name}: {what}\nshortest failing history ({} of {}):\n{shortest:#?}", shortest.len(), history.len());
}

/// How the numbers and times of a random history are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flavour {
    /// Whole numbers, few prices: ties everywhere.
    Ties,
    /// Eight decimals.
    Fractions,
    /// Same date, time and order: only the trade id orders.
    OneKey,
    /// Seven buys in eight: many lots.
    Lots,
    /// Everything on one position, large and small quantities.
    Wild,
}

pub(crate) const FLAVOURS: [Flavour; 5] =
    [Flavour::Ties, Flavour::Fractions, Flavour::OneKey, Flavour::Lots, Flavour::Wild];

/// A random history in the order in which it was drawn.
pub(crate) fn history(rng: &mut Rng, flavour: Flavour, len: u32, names: u32) -> Vec<Spec> {
    let mut buying = true;
    (0..len)
        .map(|id| {
            let swing = if rng.below(40) == 0 { rng.below(2) == 0 } else { buying };
            buying = swing;
            let share = match flavour {
                Flavour::Lots if buying => 950,
                Flavour::Lots => 50,
                _ => 500,
            };
            let buy = rng.permille(share);
            let (quantity_e8, price_e8) = match flavour {
                Flavour::Ties | Flavour::OneKey => (rng.between(1, 9) * E8, rng.between(10, 14) * E8),
                Flavour::Lots if buy == buying => (rng.between(1, 5) * E8 / 2, rng.between(1, 1_000_000_007)),
                Flavour::Lots => (rng.between(1, 2_000_000_011), rng.between(1, 1_000_000_007)),
                Flavour::Fractions => (rng.between(1, 900_000_007), rng.between(1, 50_000_000_003)),
                Flavour::Wild => {
                    let bits = |rng: &mut Rng, most: u64| 1 + (rng.bits() >> (64 - 1 - rng.below(most))) as i64;
                    (bits(rng, 50), bits(rng, 60) - 1)
                }
            };
            let one = matches!(flavour, Flavour::OneKey);
            let side = match (buy, rng.below(16)) {
                (true, 0) => Side::BuyToCover,
                (true, _) => Side::Buy,
                (false, 0) => Side::SellShort,
                (false, _) => Side::Sell,
            };
            let trade_type = match rng.below(24) {
                0 => TradeType::NewTrade,
                1 => TradeType::Increase,
                2 => TradeType::Decrease,
                _ => TradeType::Any,
            };
            let single = matches!(flavour, Flavour::Wild | Flavour::Lots);
            Spec {
                id,
                account: if single { 0 } else { rng.below(u64::from(names)) as u32 },
                instrument: if single { 0 } else { rng.below(u64::from(names)) as u32 },
                side,
                trade_type,
                quantity_e8,
                price_e8,
                fees_e8: if rng.below(3) == 0 { rng.between(0, 1_000_003) } else { 0 },
                day: if one { 100 } else { rng.between(100, 104) as i32 },
                at_ns: if one { 7 } else { rng.between(-1, 3) },
                order: if one { 3 } else { rng.below(4) },
            }
        })
        .collect()
}

/// Whether the long form was asked for.
pub(crate) fn long_form() -> bool {
    std::env::var_os("LOTBOOK_LONG").is_some_and(|value| value == "1")
}
