//! The engine's book, driven by the steps of a drawn history and compared with the naive model after each.

use std::collections::BTreeMap;

use lotbook_core::apply::Place;
use lotbook_core::codec::{self, Decoder};
use lotbook_core::command::{
    Command, InstrumentTerms, NO_CONSIDERATION, NO_PRICE, NameClass, Origin, Side, TradeInput, TradeKind, TradeType,
};
use lotbook_core::date::Date;
use lotbook_core::event::{Class, CorrectedEvent, Event, Figures as Totals, Reason, TradeEvent};
use lotbook_core::history::{Addition, History};
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::lots::Lot;
use lotbook_core::outcome::{Allocation, Outcome};
use lotbook_core::position::{Position, Reconciliation};
use lotbook_core::replay::{allocations, replay_history};
use lotbook_core::rules::{
    ContractTerms, FeesRule, LockedChanges, LotMethod, LotScope, Rules, ShortRank, TaxRates, WashSale,
};
use lotbook_core::{Book, Limits, Scratch};
use lotbook_tests::naive::desk::{Answer, Desk};
use lotbook_tests::naive::in_force::{self, Method, Wash, in_force};
use lotbook_tests::naive::lots::{Book as NaiveBook, Figures, Lot as NaiveLot};
use lotbook_tests::naive::words::{Name, Side as NaiveSide, Trade, TradeType as NaiveType};

use super::draw::{CONTRACTS, NAMES};
use super::steps::Step;

const LIMITS: Limits = Limits {
    positions_max: 16,
    lots_max: 1 << 12,
    names_max: 16,
    forwards_max: 1 << 10,
    contracts_max: 64,
    ..Limits::SMALL
};

fn name(given: Option<Name>) -> u32 {
    given.unwrap_or(NO_NAME)
}

fn hash(id: &str) -> TradeHash {
    TradeHash::new(b"test", id.as_bytes())
}

fn e8(value: i128) -> i64 {
    i64::try_from(value).expect("drawn within 64 bits")
}

/// The rules in the engine's words.
fn rules(rules: &in_force::Rules) -> Rules {
    Rules {
        method: match rules.method {
            Method::Fifo => LotMethod::Fifo,
            Method::Lifo => LotMethod::Lifo,
            Method::Hifo => LotMethod::Hifo,
            Method::Lofo => LotMethod::Lofo,
            Method::Average => LotMethod::Average,
            Method::MinTax => LotMethod::MinTax,
        },
        allow_short: rules.allow_short,
        short_rank: if rules.short_rank_is_result { ShortRank::Result } else { ShortRank::Price },
        lot_scope: if rules.scope_is_sub_account { LotScope::SubAccount } else { LotScope::Position },
        fees_rule: if rules.fees_in_basis { FeesRule::InBasis } else { FeesRule::Apart },
        tax_rates: rules.tax_rates.map(|(short, long)| TaxRates { short_e8: short as u32, long_e8: long as u32 }),
        long_term_days: rules.long_term_days.unwrap_or(0) as u16,
        wash_sale: match rules.wash {
            Wash::None => WashSale::None,
            Wash::Account => WashSale::Account,
            Wash::Taxpayer => WashSale::Taxpayer,
        },
        wash_window_days: rules.wash_window as u16,
        taxpayer: name(rules.taxpayer),
        locked_changes: if rules.locked_changes_adjust { LockedChanges::Adjust } else { LockedChanges::Refuse },
    }
}

/// The trade in the engine's words.
pub(crate) fn input(trade: &Trade) -> TradeInput {
    TradeInput {
        trade_id: TradeId::new(trade.id.as_bytes()).expect("short"),
        hash: hash(&trade.id),
        namespace: 0,
        account: trade.account,
        instrument: trade.instrument,
        contract: name(trade.contract),
        side: match trade.side {
            NaiveSide::Buy => Side::Buy,
            NaiveSide::Sell => Side::Sell,
            NaiveSide::SellShort => Side::SellShort,
            NaiveSide::BuyToCover => Side::BuyToCover,
        },
        trade_type: match trade.trade_type {
            NaiveType::Any => TradeType::Any,
            NaiveType::NewTrade => TradeType::NewTrade,
            NaiveType::Increase => TradeType::Increase,
            NaiveType::Decrease => TradeType::Decrease,
        },
        kind: if trade.opens_a_lot() { TradeKind::OpenLot } else { TradeKind::Trade },
        quantity_e8: e8(trade.quantity),
        price_e8: trade.price.map_or(NO_PRICE, e8),
        consideration_e8: trade.consideration.map_or(NO_CONSIDERATION, e8),
        fees_e8: e8(trade.fees),
        currency: name(trade.currency),
        fx_to_base_e8: e8(trade.fx_to_base),
        sub_account: name(trade.sub_account),
        acquired: trade.acquired.map_or(Date::NONE, Date),
        effective_date: Date(trade.date),
        executed_at_ns: trade.executed_at,
        source_order: trade.source_order,
        lot: trade.lot.as_ref().map_or(TradeHash::NONE, |id| hash(id)),
        user: NO_NAME,
        correlation: TradeId::EMPTY,
    }
}

/// The two books side by side.
pub(crate) struct Both {
    engine: Book,
    model: Desk,
    scratch: Scratch,
    decoder: Decoder,
    bytes: Vec<u8>,
    sequence: u64,
    /// Of the engine's positions, by number, from its events.
    histories: BTreeMap<u32, History>,
    /// A waiting trade cannot be booked: the histories end here.
    pub(crate) over: bool,
}

/// Fails with both values where they differ.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, engine: T, model: T) -> Result<(), String> {
    if engine == model { Ok(()) } else { Err(format!("{what}: engine {engine:?}, model {model:?}")) }
}

impl Both {
    pub(crate) fn new() -> Self {
        let mut both = Self {
            engine: Book::new(LIMITS),
            model: Desk::default(),
            scratch: Scratch::new(),
            decoder: Decoder::new(),
            bytes: Vec::new(),
            sequence: 0,
            histories: BTreeMap::new(),
            over: false,
        };
        for (class, letter, count) in [
            (NameClass::Account, 'A', NAMES),
            (NameClass::Instrument, 'I', NAMES),
            (NameClass::SubAccount, 'S', NAMES),
            (NameClass::Currency, 'C', NAMES),
            (NameClass::Contract, 'K', CONTRACTS + 1),
        ] {
            for number in 0..count {
                let text = TradeId::new(format!("{letter}{number}").as_bytes()).expect("short");
                both.command(&Command::Define { class, text }).expect("a name");
            }
        }
        let text = TradeId::new(b"test").expect("short");
        both.command(&Command::Define { class: NameClass::Namespace, text }).expect("a name");
        both
    }

    /// Encodes an event, reads it back and applies what was read.
    fn follow(&mut self, event: &Event<'_>, outcome: Option<&Outcome>) -> Result<(), String> {
        let len = codec::payload_bytes(event);
        self.bytes.clear();
        self.bytes.resize(len + 16, 0xAA);
        let at = self.bytes.as_ptr().align_offset(16);
        let payload = &mut self.bytes[at..at + len];
        codec::encode(event, payload);
        let decoded = self
            .decoder
            .decode(codec::kind_of(event), codec::SCHEMA_VERSION, payload)
            .map_err(|error| format!("unreadable event: {error:?}"))?;
        if decoded != *event {
            return Err("an event that was read back differs".into());
        }
        self.sequence += 1;
        let place = Place { sequence: self.sequence, address: self.sequence * 8 };
        self.engine.apply(&decoded, place, outcome).map_err(|misfit| format!("misfit: {misfit:?}"))?;
        if let Some((position, _, addition)) = Addition::of(&decoded, place) {
            self.histories.entry(position).or_default().add(&addition);
        }
        Ok(())
    }

    fn command(&mut self, command: &Command) -> Result<(), String> {
        let mut scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        let event = self.engine.decide(command, &Origin::INTERNAL, &mut scratch);
        let done = match &event {
            Event::Defined { reason, .. }
            | Event::Instrument { reason, .. }
            | Event::Contract { reason, .. }
            | Event::BusinessDate { reason, .. } => same("reason", reason.code(), ""),
            _ => unreachable!("no trade"),
        };
        let done = done.and_then(|()| self.follow(&event, None));
        self.scratch = scratch;
        done
    }

    /// Takes a step in both books and compares them.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Contract(contract) => {
                self.command(&Command::Contract(ContractTerms {
                    contract: contract.id,
                    account: name(contract.account),
                    instrument: name(contract.instrument),
                    rules: rules(&contract.rules),
                    effective_date: Date(contract.from),
                }))?;
                self.model.contracts.push(*contract);
                Ok(())
            }
            Step::Instrument(number, terms) => {
                self.command(&Command::Instrument(InstrumentTerms {
                    instrument: *number,
                    currency: name(terms.currency),
                    multiplier_e8: e8(terms.multiplier),
                    tick_e8: 0,
                    price_min_e8: 0,
                    price_max_e8: 0,
                    isin: [0; 12],
                    cusip: [0; 9],
                }))?;
                self.model.instruments.insert(*number, *terms);
                Ok(())
            }
            Step::Today(day) => {
                self.command(&Command::BusinessDate(Date(*day)))?;
                self.mature(*day)
            }
            Step::Trade(trade) => self.trade(trade),
            Step::Replay(account, instrument) => self.replay(*account, *instrument),
        }
    }

    fn trade(&mut self, trade: &Trade) -> Result<(), String> {
        let input = input(trade);
        let mut scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        let decision = self.engine.decide_trade(&input, &mut scratch);
        let event = decision.event(&input, &Origin::INTERNAL, &scratch);
        let answer = self.model.trade(trade);
        let done = match &answer {
            Answer::Refused(reason) => same("refused", (event.class, event.reason.code()), (Class::Rejected, *reason)),
            Answer::Waits => same("waits", (event.class, event.reason), (Class::Forward, Reason::None)),
            Answer::Applied(figures) => same("applied", (event.class, event.reason), (Class::Applied, Reason::None))
                .and_then(|()| self.decided(trade, &event, figures)),
            Answer::Late(figures) => same("late", (event.class, event.reason), (Class::Provisional, Reason::None))
                .and_then(|()| self.decided(trade, &event, figures)),
        };
        let done = done.and_then(|()| self.follow(&Event::Trade(event), None));
        self.scratch = scratch;
        done.and_then(|()| self.shown(trade.account, trade.instrument))
    }

    /// What was decided for a trade, before it is applied.
    fn decided(&self, trade: &Trade, event: &TradeEvent<'_>, figures: &Figures) -> Result<(), String> {
        same("closed", i128::from(event.closed_quantity_e8), figures.closed)?;
        same("opened", i128::from(event.opened_quantity_e8), figures.opened)?;
        same("opened cost", event.opened_cost_e16, figures.opened_cost)?;
        same("opened base", event.opened_base_e16, figures.opened_base)?;
        same("enlarges", event.enlarges, figures.enlarges)?;
        same("realized", event.realized_e16, figures.realized)?;
        same("realized long-term", event.realized_long_e16, figures.realized_long)?;
        same("realized in base", event.realized_base_e16, figures.realized_base)?;
        let Some(position) = self.engine.positions().get(event.position as usize) else {
            return same("allocations of a first trade", event.runs.len(), figures.allocations.len());
        };
        let in_force = in_force(&self.model.contracts, trade.account, trade.instrument, trade.contract, trade.date)?;
        let multiplier = e8(self.model.instrument(trade.instrument).multiplier);
        let parts = if event.runs.is_empty() {
            Vec::new()
        } else {
            allocations(self.engine.lots(), position, event, &rules(&in_force), multiplier)
                .map_err(|_| "allocations overflow")?
        };
        alike(&parts, figures)
    }

    fn mature(&mut self, day: i32) -> Result<(), String> {
        let mut wanted = self.model.set_today(day);
        let mut scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        while let Some(forward) = self.engine.forwards().first_due(Date(day)).copied() {
            let decision = match self.engine.decide_matured(&forward, &mut scratch) {
                Ok(decision) => decision,
                Err(reason) => {
                    same("cannot mature", reason.code(), wanted.err().map_or("", |(_, reason)| reason))?;
                    // Nothing is said about what comes after it.
                    self.over = true;
                    return Ok(());
                }
            };
            let event = decision.event(&forward.input, &Origin::INTERNAL, &scratch);
            if let Ok(wanted) = &mut wanted {
                let at = wanted
                    .iter()
                    .position(|(id, _)| id.as_bytes() == forward.input.trade_id.as_bytes())
                    .ok_or("matures in the engine alone")?;
                let (id, figures) = wanted.remove(at);
                same(&format!("{id} breaks"), event.reason.code(), figures.broken.unwrap_or(""))?;
                same(&format!("{id} realized"), event.realized_e16, figures.realized)?;
                same(&format!("{id} realized in base"), event.realized_base_e16, figures.realized_base)?;
            }
            self.follow(&Event::Trade(event), None)?;
        }
        self.scratch = scratch;
        let left = wanted.map_err(|(id, reason)| format!("{id} matures in the engine alone: {reason}"))?;
        same("matured", 0, left.len())?;
        for (account, instrument) in self.model.positions.keys().copied().collect::<Vec<_>>() {
            self.shown(account, instrument)?;
        }
        Ok(())
    }

    fn replay(&mut self, account: Name, instrument: Name) -> Result<(), String> {
        let Some(number) = self.engine.find(account, instrument) else { return Ok(()) };
        let history = &self.histories[&number];
        let multiplier = e8(self.model.instrument(instrument).multiplier);
        let (today, contracts) = (self.engine.business_date(), self.engine.contracts());
        let outcome = replay_history(history, today, &[], contracts, multiplier, &mut self.scratch);
        let (outcome, wanted) = match (outcome, self.model.replay(account, instrument)) {
            (Err(_), Err(_)) => return Ok(()),
            (Ok(outcome), Ok(wanted)) => (outcome, wanted),
            (outcome, wanted) => return Err(format!("replay: engine {:?}, model {:?}", outcome.err(), wanted.err())),
        };
        same("items", outcome.trades.len(), wanted.items.len())?;
        for (trade, (id, figures)) in outcome.trades.iter().zip(&wanted.items) {
            let differs = |what: String| format!("{id} replayed: {what}");
            same("item", trade.hash, hash(id)).map_err(differs)?;
            same("breaks", trade.reason.code(), figures.broken.unwrap_or("")).map_err(differs)?;
            same("realized", trade.realized_e16, figures.realized).map_err(differs)?;
            same("realized long-term", trade.realized_long_e16, figures.realized_long).map_err(differs)?;
            same("realized in base", trade.realized_base_e16, figures.realized_base).map_err(differs)?;
            same("market part", trade.realized_market_e16, figures.realized_market).map_err(differs)?;
            alike(&trade.allocations, figures).map_err(differs)?;
        }
        let breaks: Vec<_> = wanted.breaks.iter().map(|(id, reason)| (hash(id), *reason)).collect();
        same("breaks", outcome.breaks.iter().map(|(id, reason)| (*id, reason.code())).collect(), breaks)?;
        lots(outcome.lots.iter().copied(), &wanted.book.lots)?;
        totals(&outcome.after, &wanted.book)?;
        if Outcome::decode(&outcome.encode()).as_ref() != Ok(&outcome) {
            return Err("a body that was read back differs".into());
        }
        self.correct(account, instrument, &outcome)?;
        self.shown(account, instrument)
    }

    /// The outcome takes the place of the estimate.
    fn correct(&mut self, account: Name, instrument: Name, outcome: &Outcome) -> Result<(), String> {
        let number = self.engine.find(account, instrument).ok_or("the engine has no such position")?;
        let position = &self.engine.positions()[number as usize];
        let event = Event::Corrected(CorrectedEvent {
            origin: Origin::INTERNAL,
            position: number,
            account,
            instrument,
            version: position.version + 1,
            base_version: position.version,
            cause: TradeHash::NONE,
            cause_sequence: 0,
            late_trades: position.provisional,
            breaks: outcome.breaks.len() as u32,
            seen: self.engine.actions().changes(),
            before: position.figures(),
            after: outcome.after,
            body_log_id: 0,
            body_address: 0,
            body_sequence: 0,
            body_bytes: 0,
            body_digest: 0,
        });
        self.follow(&event, Some(outcome))
    }

    /// A position as both books show it.
    fn shown(&self, account: Name, instrument: Name) -> Result<(), String> {
        let wanted = self.model.positions.get(&(account, instrument));
        let found = self.engine.find(account, instrument).map(|number| &self.engine.positions()[number as usize]);
        let (position, wanted): (&Position, _) = match (found, wanted) {
            (Some(position), Some(wanted)) => (position, wanted),
            (None, None) => return Ok(()),
            (found, _) => return Err(format!("A{account}/I{instrument}: the engine has one: {}", found.is_some())),
        };
        totals(&position.figures(), &wanted.book)?;
        same("fees", position.fees_e16, wanted.book.fees)?;
        let status = match position.reconciliation() {
            Reconciliation::Reconciled => "RECONCILED",
            Reconciliation::Provisional => "PROVISIONAL",
            Reconciliation::Pending => "PENDING",
        };
        same("status", status, wanted.status())?;
        let waiting: i128 = wanted.waiting.iter().map(Trade::signed).sum();
        same("waiting", i128::from(position.forward_quantity_e8), waiting)?;
        lots(self.engine.lots().iter(&position.block), &wanted.book.lots)
    }
}

fn totals(engine: &Totals, model: &NaiveBook) -> Result<(), String> {
    same("quantity", i128::from(engine.quantity_e8), model.quantity())?;
    same("total realized", engine.realized_e16, model.realized)?;
    same("total realized long-term", engine.realized_long_e16, model.realized_long)?;
    same("total realized in base", engine.realized_base_e16, model.realized_base)?;
    same("cost", engine.cost_e16, model.cost())?;
    same("base cost", engine.base_cost_e16, model.base_cost())
}

fn lots(engine: impl ExactSizeIterator<Item = Lot>, model: &[NaiveLot]) -> Result<(), String> {
    same("lots", engine.len(), model.len())?;
    for (at, (lot, wanted)) in engine.zip(model).enumerate() {
        let is = Lot {
            origin: hash(&wanted.origin),
            quantity_e8: e8(wanted.quantity),
            cost_e16: wanted.cost,
            base_cost_e16: wanted.base_cost,
            price_e8: e8(wanted.price),
            acquired: Date(wanted.acquired),
            sub_account: name(wanted.sub_account),
        };
        same(&format!("lot {at} ({})", wanted.origin), lot, is)?;
    }
    Ok(())
}

fn alike(engine: &[Allocation], model: &Figures) -> Result<(), String> {
    same("allocations", engine.len(), model.allocations.len())?;
    for (part, wanted) in engine.iter().zip(&model.allocations) {
        let is = Allocation {
            lot: hash(&wanted.lot.origin),
            quantity_e8: e8(wanted.quantity),
            price_e8: e8(wanted.lot.price),
            cost_e16: wanted.cost,
            base_cost_e16: wanted.base_cost,
            realized_e16: wanted.realized,
            acquired: Date(wanted.lot.acquired),
            is_long_term: wanted.is_long_term,
        };
        same(&format!("allocation of {}", wanted.lot.origin), *part, is)?;
    }
    Ok(())
}
