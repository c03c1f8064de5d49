//! The engine's book, driven by the steps of a drawn history and compared with the naive model after each.

use std::collections::BTreeMap;

use lotbook_core::amend_event::{ResolveInput, ResolvedEvent};
use lotbook_core::apply::Place;
use lotbook_core::codec::{self, Decoder};
use lotbook_core::command::{Command, NameClass, Origin};
use lotbook_core::date::Date;
use lotbook_core::decide_amend::Target;
use lotbook_core::event::{Class, CorrectedEvent, Event, Reason, TradeEvent};
use lotbook_core::history::{Addition, History};
use lotbook_core::id::{ChronoKey, NO_NAME, TradeHash, TradeId};
use lotbook_core::note::Note;
use lotbook_core::outcome::Outcome;
use lotbook_core::position::Position;
use lotbook_core::replay::{allocations, replay_history};
use lotbook_core::{Book, Limits, Scratch};
use lotbook_tests::naive::amend::Amendment;
use lotbook_tests::naive::desk::{Accepted, Amended, Answer, Desk};
use lotbook_tests::naive::in_force::in_force;
use lotbook_tests::naive::lots::Figures;
use lotbook_tests::naive::words::{Id, Name, OVERFLOW, Trade};

use super::compare::{alike, breaks, lots, same, totals};
use super::draw::NAMES;
use super::steps::Step;
use super::translate::{amend_input, contract_terms, e8, hash, input, instrument_terms, names, rules};

const LIMITS: Limits = Limits {
    positions_max: 16,
    lots_max: 1 << 12,
    names_max: 16,
    forwards_max: 1 << 10,
    contracts_max: 64,
    ..Limits::SMALL
};

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
    /// Nothing more is said of this history.
    pub(crate) over: bool,
    /// How often what was seen.
    pub(crate) seen: BTreeMap<&'static str, usize>,
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
            seen: BTreeMap::new(),
        };
        for (class, _, text) in names(NAMES, NAMES) {
            let text = TradeId::new(text.as_bytes()).expect("short");
            both.command(&Command::Define { class, text }).expect("a name");
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
            | Event::BusinessDate { reason, .. }
            | Event::Resolved(ResolvedEvent { reason, .. }) => same("reason", reason.code(), ""),
            _ => unreachable!("no trade"),
        };
        let done = done.and_then(|()| self.follow(&event, None));
        self.scratch = scratch;
        done
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Takes a step in both books and compares them.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Contract(contract) => {
                self.command(&Command::Contract(contract_terms(contract)))?;
                self.model.contracts.push(*contract);
                Ok(())
            }
            Step::Instrument(number, terms) => {
                self.command(&Command::Instrument(instrument_terms(*number, terms)))?;
                self.model.instruments.insert(*number, *terms);
                Ok(())
            }
            Step::Today(day) => {
                for (account, instrument) in self.places() {
                    self.settle(account, instrument)?;
                }
                if self.over {
                    return Ok(());
                }
                self.command(&Command::BusinessDate(Date(*day)))?;
                same("overdue", 0, self.model.move_date(*day).len())?;
                self.mature(*day)
            }
            Step::Trade(trade) => {
                self.settle(trade.account, trade.instrument)?;
                if self.over {
                    return Ok(());
                }
                self.trade(trade)
            }
            Step::Replay(account, instrument) => self.replay(*account, *instrument),
            Step::Amend(amendment) => self.amend(amendment),
            Step::Resolve(account, instrument) => self.resolve(*account, *instrument),
            // Taken position by position by a shard: compared by the replay alone, and through the whole host.
            Step::Action(_) | Step::Lock(..) => Ok(()),
        }
    }

    /// All positions.
    fn places(&self) -> Vec<(Name, Name)> {
        self.model.positions.keys().copied().collect()
    }

    /// After an amendment only quantities are said until the replay: it comes before anything is decided on them.
    fn settle(&mut self, account: Name, instrument: Name) -> Result<(), String> {
        let position = self.model.positions.get(&(account, instrument));
        if position.is_some_and(|position| position.amended.is_some()) {
            self.replay(account, instrument)
        } else {
            Ok(())
        }
    }

    fn resolve(&mut self, account: Name, instrument: Name) -> Result<(), String> {
        if self.model.positions.get(&(account, instrument)).is_none_or(|position| position.status() != "PENDING") {
            return Ok(());
        }
        let note = Note::new(b"drawn").expect("short");
        let (version, user, correlation) = (0, NO_NAME, TradeId::EMPTY);
        self.command(&Command::Resolve(ResolveInput { account, instrument, version, user, note, correlation }))?;
        self.saw("resolved");
        self.model.resolve(account, instrument);
        self.shown(account, instrument)
    }

    /// What the keeper of ids says of an amendment's target.
    fn target(&self, id: &Id) -> Target {
        if self.model.held.iter().any(|(held, _)| held.id == *id) {
            return Target::Held;
        }
        let Some(place) = self.model.place_of(id) else { return Target::Unknown };
        let position = self.engine.find(place.0, place.1).expect("a position of both");
        match self.model.positions[&place].accepted.iter().find(|accepted| accepted.trade.id == *id) {
            Some(Accepted { trade, .. }) => {
                Target::Trade { position, quantity_e8: e8(trade.signed()), date: Date(trade.date), to_account: NO_NAME }
            }
            None => Target::Amendment { position },
        }
    }

    fn amend(&mut self, amendment: &Amendment) -> Result<(), String> {
        let (input, target) = (amend_input(amendment), self.target(&amendment.target));
        let mut scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        let decision = self.engine.decide_amend(&input, target, &mut scratch);
        let event = decision.event(&input, &Origin::INTERNAL, &scratch);
        let answer = self.model.amend(amendment);
        if event.reason == Reason::Overflow && answer == Amended::Accepted {
            // Whether the estimate stays in its ranges is not said.
            self.saw("over");
            self.over = true;
            return Ok(());
        }
        self.saw(match answer {
            Amended::Accepted => "amended",
            Amended::Held => "held",
            Amended::Refused(reason) => reason,
        });
        let is = (event.class, event.reason.code());
        let done = match answer {
            Amended::Accepted => same("amendment", is, (Class::Provisional, "")),
            Amended::Held => same("amendment", is, (Class::Held, "")),
            Amended::Refused(reason) => same("amendment", is, (Class::Rejected, reason)),
        };
        let done = done.and_then(|()| self.follow(&Event::Amended(event), None));
        self.scratch = scratch;
        done?;
        if answer != Amended::Accepted {
            return Ok(());
        }
        let place = self.model.place_of(&amendment.id).expect("accepted");
        self.shown(place.0, place.1)?;
        self.arrived(&amendment.id)
    }

    /// What was held for this id follows, in both books.
    fn arrived(&mut self, id: &Id) -> Result<(), String> {
        loop {
            let target = self.target(id);
            let held = self.engine.held().first_for(hash(id)).copied();
            let Some((next, done)) = self.model.follow(id) else {
                return same("held", held.map(|held| held.input.amend_id.as_str().to_owned()), None);
            };
            self.saw("followed");
            let held = held.ok_or("held by the model alone")?;
            same("held", held.input.amend_id.as_bytes(), next.id.as_bytes())?;
            let mut scratch = std::mem::replace(&mut self.scratch, Scratch::new());
            let decision = self.engine.decide_held(&held, target, &mut scratch);
            let event = decision.event(&held.input, &Origin::INTERNAL, &scratch);
            if event.reason == Reason::Overflow && done == Amended::Accepted {
                self.over = true;
                return Ok(());
            }
            let wanted = match done {
                Amended::Accepted => (Class::Provisional, ""),
                Amended::Held => return Err("held twice".into()),
                Amended::Refused(reason) => (Class::Lapsed, reason),
            };
            let done = same("followed", (event.class, event.reason.code()), wanted);
            let done = done.and_then(|()| self.follow(&Event::Amended(event), None));
            self.scratch = scratch;
            done?;
            if wanted.0 == Class::Provisional {
                let place = self.model.place_of(&next.id).expect("accepted");
                self.shown(place.0, place.1)?;
                self.arrived(&next.id)?;
                if self.over {
                    return Ok(());
                }
            }
        }
    }

    fn trade(&mut self, trade: &Trade) -> Result<(), String> {
        let input = input(trade);
        let mut scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        let decision = self.engine.decide_trade(&input, &mut scratch);
        let event = decision.event(&input, &Origin::INTERNAL, &scratch);
        let answer = self.model.trade(trade);
        self.saw(match &answer {
            Answer::Refused(reason) => reason,
            Answer::Waits => "waits",
            Answer::Applied(figures) if figures.enlarges => "enlarged",
            Answer::Applied(figures) if figures.closed > 0 && figures.opened > 0 => "flipped",
            Answer::Applied(figures) if figures.closed > 0 => "closed",
            Answer::Applied(_) => "opened",
            Answer::Late(_) => "late",
        });
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
        done?;
        self.shown(trade.account, trade.instrument)?;
        match answer {
            Answer::Refused(_) => Ok(()),
            _ => self.arrived(&trade.id),
        }
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
        let mut wanted = self.model.mature();
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
        for (account, instrument) in self.places() {
            self.shown(account, instrument)?;
        }
        self.end_behind_overflows();
        Ok(())
    }

    fn replay(&mut self, account: Name, instrument: Name) -> Result<(), String> {
        let Some(number) = self.engine.find(account, instrument) else { return Ok(()) };
        let history = &self.histories[&number];
        let multiplier = e8(self.model.instrument(instrument).multiplier);
        let (today, contracts) = (self.engine.business_date(), self.engine.contracts());
        let outcome = replay_history(history, today, &[], contracts, multiplier, &mut self.scratch);
        let (outcome, wanted) = match (outcome, self.model.replay(account, instrument)) {
            (Err(_), Err(_)) => {
                // An estimate that stays: of one that amendments made nothing more is said.
                self.over = self.model.positions[&(account, instrument)].amended.is_some();
                return Ok(());
            }
            (Ok(outcome), Ok(wanted)) => (outcome, wanted),
            (outcome, wanted) => return Err(format!("replay: engine {:?}, model {:?}", outcome.err(), wanted.err())),
        };
        self.saw("replayed");
        for (_, figures) in &wanted.items {
            self.saw(figures.broken.map_or("kept", breaks));
        }
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
        self.shown(account, instrument)?;
        self.end_behind_overflows();
        Ok(())
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
            tail: 0,
            left: 0,
            breaks: outcome.breaks.len() as u32,
            seen: self.engine.actions().changes(),
            before: position.figures(),
            after: outcome.after,
            body_log_id: 0,
            body_address: 0,
            body_sequence: 0,
            body_bytes: 0,
            body_digest: 0,
            adjusted: outcome.adjusted,
            valued: None,
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
        let is = (i128::from(position.quantity_e8), i128::from(position.forward_quantity_e8));
        if let Some(amended) = wanted.amended {
            same("amended", is, amended)?;
            return same("status", position.reconciliation().as_str(), "PROVISIONAL");
        }
        totals(&position.figures(), &wanted.book)?;
        same("fees", position.fees_e16, wanted.book.fees)?;
        same("status", position.reconciliation().as_str(), wanted.status())?;
        let frontier = wanted.frontier.as_ref().map(|key| (key.date, key.at, key.order, key.id.as_bytes()));
        let key = position.frontier;
        let key = (key.date.0, key.executed_at_ns, key.source_order, key.trade_id.as_bytes());
        if position.frontier != ChronoKey::MIN || frontier.is_some() {
            same("frontier", Some(key), frontier)?;
        }
        let waiting: i128 = wanted.waiting.iter().map(Trade::signed).sum();
        same("waiting", is.1, waiting)?;
        lots(self.engine.lots().iter(&position.block), &wanted.book.lots)
    }

    /// Where a trade was passed over at its place, estimates go on from other quantities in the two books: nothing is said
    /// about what comes after it.
    fn end_behind_overflows(&mut self) {
        self.over |= self.model.positions.values().any(|position| {
            let is_trade = |id: &Id| position.accepted.iter().any(|accepted| accepted.trade.id == *id);
            position.breaks.iter().any(|(id, reason)| *reason == OVERFLOW && is_trade(id))
        });
    }
}
