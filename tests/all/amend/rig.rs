//! A book with its ids, driven without threads by trades and amendments, and the naive view of the same lists:
//! which trades count, and how, written from `docs/rules.md` alone.

use std::collections::BTreeMap;

use lotbook_core::amend::{AmendInput, AmendKind, Changes};
use lotbook_core::amend_event::ResolveInput;
use lotbook_core::apply::Place;
use lotbook_core::codec::Decoder;
use lotbook_core::command::{Command, InstrumentTerms, NameClass, Origin, Side};
use lotbook_core::date::Date;
use lotbook_core::decide_amend::Target;
use lotbook_core::event::{Class, CorrectedEvent, Event, Reason};
use lotbook_core::history::{Addition, History};
use lotbook_core::id::{NO_NAME, TradeHash, TradeId};
use lotbook_core::note::Note;
use lotbook_core::outcome::Outcome;
use lotbook_core::position::Position;
use lotbook_core::replay::replay_history;
use lotbook_core::rules::{ContractTerms, Rules};
use lotbook_core::{Book, Scratch};
use lotbook_engine::idempotency::{Lookup, TradeIds};

use crate::support::{E8, LIMITS, Spec, follow, image};

/// What an amendment names: a trade, another amendment, or nothing that ever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Trade(u32),
    Amend(u32),
    Nothing(u32),
}

impl Of {
    pub(crate) fn id(self) -> String {
        match self {
            Self::Trade(id) => format!("t{id}"),
            Self::Amend(id) => format!("a{id}"),
            Self::Nothing(id) => format!("n{id}"),
        }
    }
}

/// An amendment by plain numbers; its id is `a<id>`. No field changed: a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amend {
    pub(crate) id: u32,
    pub(crate) of: Of,
    pub(crate) at_ns: i64,
    pub(crate) order: u64,
    pub(crate) is_cancel: bool,
    pub(crate) side: Option<Side>,
    pub(crate) quantity_e8: Option<i64>,
    pub(crate) price_e8: Option<i64>,
    pub(crate) fees_e8: Option<i64>,
    pub(crate) day: Option<i32>,
    pub(crate) executed_ns: Option<i64>,
}

impl Amend {
    pub(crate) fn cancel(id: u32, of: Of) -> Self {
        Self {
            id,
            of,
            at_ns: 0,
            order: u64::from(id),
            is_cancel: true,
            side: None,
            quantity_e8: None,
            price_e8: None,
            fees_e8: None,
            day: None,
            executed_ns: None,
        }
    }

    pub(crate) fn correct(id: u32, of: Of) -> Self {
        Self { is_cancel: false, ..Self::cancel(id, of) }
    }

    pub(crate) fn input(&self) -> AmendInput {
        let hash = |id: &str| TradeHash::new(b"test", id.as_bytes());
        let text = |id: &str| TradeId::new(id.as_bytes()).expect("short");
        let (id, target) = (format!("a{}", self.id), self.of.id());
        let mut changes = Changes::NONE;
        changes.set_side(self.side);
        changes.set_quantity(self.quantity_e8);
        changes.set_price(self.price_e8);
        changes.set_fees(self.fees_e8);
        changes.set_effective_date(self.day.map(Date));
        changes.set_executed_at(self.executed_ns);
        AmendInput {
            amend_id: text(&id),
            hash: hash(&id),
            namespace: 0,
            kind: if self.is_cancel { AmendKind::Cancel } else { AmendKind::Correct },
            target_id: text(&target),
            target: hash(&target),
            executed_at_ns: self.at_ns,
            source_order: self.order,
            account: NO_NAME,
            instrument: NO_NAME,
            changes,
            user: NO_NAME,
            correlation: TradeId::EMPTY,
        }
    }
}

/// One thing that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Trade(Spec),
    Amend(Amend),
    /// The business date moves on.
    Date(i32),
    /// The coldpath serves every position.
    Reconcile,
}

/// Rule 9 as it reads: an amendment is live unless a live cancel targets it.
pub(crate) fn is_live(amends: &[Amend], of: Of) -> bool {
    !amends.iter().any(|other| other.is_cancel && other.of == of && is_live(amends, Of::Amend(other.id)))
}

/// The trades that count, as corrected.
pub(crate) fn effective(trades: &[Spec], amends: &[Amend]) -> Vec<Spec> {
    let mut found = Vec::new();
    for trade in trades {
        if !is_live(amends, Of::Trade(trade.id)) {
            continue;
        }
        let corrects = |amend: &&Amend| !amend.is_cancel && amend.of == Of::Trade(trade.id);
        let live = |amend: &&Amend| is_live(amends, Of::Amend(amend.id));
        let mut mine: Vec<&Amend> = amends.iter().filter(corrects).filter(live).collect();
        mine.sort_by(|a, b| (a.at_ns, a.order, format!("a{}", a.id)).cmp(&(b.at_ns, b.order, format!("a{}", b.id))));
        let mut spec = *trade;
        for amend in mine {
            spec.side = amend.side.unwrap_or(spec.side);
            spec.quantity_e8 = amend.quantity_e8.unwrap_or(spec.quantity_e8);
            spec.price_e8 = amend.price_e8.unwrap_or(spec.price_e8);
            spec.fees_e8 = amend.fees_e8.unwrap_or(spec.fees_e8);
            if let Some(day) = amend.day {
                (spec.day, spec.at_ns) = (day, Date(day).end_ns());
            }
            spec.at_ns = amend.executed_ns.unwrap_or(spec.at_ns);
        }
        found.push(spec);
    }
    found
}

/// A book that decides, one that only applies what was encoded and decoded, the ids, and each position's history.
pub(crate) struct AmendRig {
    pub(crate) book: Book,
    pub(crate) shadow: Book,
    pub(crate) trades: Vec<Spec>,
    /// Accepted amendments, held ones left out.
    pub(crate) amends: Vec<Amend>,
    /// Sums of what corrections changed, by position: quantity and realized.
    pub(crate) deltas: BTreeMap<u32, (i128, i128)>,
    ids: TradeIds,
    histories: BTreeMap<u32, History>,
    sent: BTreeMap<TradeHash, Amend>,
    scratch: Scratch,
    unbounded: Scratch,
    sequence: u64,
    bytes: Vec<u8>,
    decoder: Decoder,
}

impl AmendRig {
    /// `names` accounts, and as many instruments.
    pub(crate) fn new(rules: Rules, names: u32) -> Self {
        let mut rig = Self {
            book: Book::new(LIMITS),
            shadow: Book::new(LIMITS),
            trades: Vec::new(),
            amends: Vec::new(),
            deltas: BTreeMap::new(),
            ids: TradeIds::new(1 << 12),
            histories: BTreeMap::new(),
            sent: BTreeMap::new(),
            scratch: Scratch::new(),
            unbounded: Scratch::unbounded(),
            sequence: 0,
            bytes: Vec::new(),
            decoder: Decoder::new(),
        };
        let text = |text: &str| TradeId::new(text.as_bytes()).expect("short");
        for name in 0..names {
            rig.command(&Command::Define { class: NameClass::Account, text: text(&format!("A{name}")) });
            rig.command(&Command::Define { class: NameClass::Instrument, text: text(&format!("I{name}")) });
        }
        for (class, name) in [(NameClass::Contract, "C"), (NameClass::Namespace, "test"), (NameClass::User, "ann")] {
            rig.command(&Command::Define { class, text: text(name) });
        }
        let (account, instrument, effective_date) = (NO_NAME, NO_NAME, Date(-1_000_000));
        rig.command(&Command::Contract(ContractTerms { contract: 0, account, instrument, rules, effective_date }));
        rig
    }

    fn command(&mut self, command: &Command) -> Reason {
        let mut scratch = std::mem::take(&mut self.scratch);
        let event = self.book.decide(command, &Origin::INTERNAL, &mut scratch);
        let reason = match &event {
            Event::Resolved(resolved) => resolved.reason,
            Event::BusinessDate { reason, .. }
            | Event::Defined { reason, .. }
            | Event::Contract { reason, .. }
            | Event::Instrument { reason, .. } => *reason,
            _ => unreachable!("another command"),
        };
        self.log(&event, None);
        self.scratch = scratch;
        reason
    }

    fn log(&mut self, event: &Event<'_>, outcome: Option<&Outcome>) {
        self.sequence += 1;
        let place = Place { sequence: self.sequence, address: self.sequence * 8 };
        if let Some((position, _, addition)) = Addition::of(event, place) {
            self.histories.entry(position).or_default().add(&addition);
        }
        follow(&mut self.shadow, &mut self.bytes, &mut self.decoder, event, place, outcome);
        self.book.apply(event, place, outcome).expect("an event of this book");
        match event {
            Event::Trade(trade) => self.ids.insert(trade, place.sequence, place.address),
            Event::Amended(amend) => self.ids.note_amend(amend, place.sequence, place.address),
            _ => {}
        }
        assert_eq!(self.book.full_digest(), self.shadow.full_digest());
        assert_eq!(self.book.economic_digest(), self.shadow.economic_digest());
    }

    /// Takes one thing in, as the shard does.
    pub(crate) fn arrive(&mut self, arrival: &Arrival) -> (Class, Reason) {
        match arrival {
            Arrival::Trade(spec) => self.trade(spec),
            Arrival::Amend(amend) => self.amend(amend),
            Arrival::Date(day) => {
                assert_eq!(self.command(&Command::BusinessDate(Date(*day))), Reason::None);
                self.lapse();
                self.mature();
                (Class::Applied, Reason::None)
            }
            Arrival::Reconcile => {
                self.reconcile();
                (Class::Applied, Reason::None)
            }
        }
    }

    pub(crate) fn trade(&mut self, spec: &Spec) -> (Class, Reason) {
        let input = spec.input(spec.account, spec.instrument);
        assert_eq!(self.ids.lookup(&input), Lookup::New);
        let mut scratch = std::mem::take(&mut self.scratch);
        let decision = self.book.decide_trade(&input, &mut scratch);
        self.log(&Event::Trade(decision.event(&input, &Origin::INTERNAL, &scratch)), None);
        self.scratch = scratch;
        if decision.class.is_accepted() {
            self.trades.push(*spec);
            self.match_held(input.hash);
        }
        self.conserved(decision.position);
        (decision.class, decision.reason)
    }

    pub(crate) fn amend(&mut self, amend: &Amend) -> (Class, Reason) {
        let input = amend.input();
        self.sent.insert(input.hash, *amend);
        match self.ids.lookup_amend(&input) {
            Lookup::New => {}
            Lookup::Same(_) => return (Class::Duplicate, Reason::None),
            Lookup::Conflict(_) => return (Class::Rejected, Reason::IdConflict),
        }
        let target = self.ids.target(input.target, input.target_id.as_bytes());
        let mut scratch = std::mem::take(&mut self.scratch);
        let decision = self.book.decide_amend(&input, target, &mut scratch);
        let refused = (decision.class == Class::Rejected).then(|| image(&self.book));
        self.log(&Event::Amended(decision.event(&input, &Origin::INTERNAL, &scratch)), None);
        self.scratch = scratch;
        if let Some(before) = refused {
            assert!(image(&self.book) == before, "a refused amendment changed the image");
        }
        if decision.class == Class::Provisional {
            self.amends.push(*amend);
            self.match_held(input.hash);
        }
        self.conserved(decision.position);
        (decision.class, decision.reason)
    }

    fn match_held(&mut self, target: TradeHash) {
        let mut arrived = vec![target];
        while let Some(target) = arrived.pop() {
            while let Some(held) = self.book.held().first_for(target).copied() {
                if self.book_held(&held) == Class::Provisional {
                    arrived.push(held.input.hash);
                }
            }
        }
    }

    fn book_held(&mut self, held: &lotbook_core::held::Held) -> Class {
        let target = self.ids.target(held.input.target, held.input.target_id.as_bytes());
        let mut scratch = std::mem::take(&mut self.scratch);
        let decision = self.book.decide_held(held, target, &mut scratch);
        self.log(&Event::Amended(decision.event(&held.input, &Origin::INTERNAL, &scratch)), None);
        self.scratch = scratch;
        if decision.class == Class::Provisional {
            self.amends.push(self.sent[&held.input.hash]);
        }
        self.conserved(decision.position);
        decision.class
    }

    fn lapse(&mut self) {
        while let Some(held) = self.book.held().first_overdue(self.book.date_moves()).copied() {
            assert_eq!(self.book_held(&held), Class::Lapsed);
        }
    }

    fn mature(&mut self) {
        while let Some(today) = self.book.business_date()
            && let Some(forward) = self.book.forwards().first_due(today).copied()
        {
            let mut scratch = std::mem::take(&mut self.scratch);
            let decision = self.book.decide_matured(&forward, &mut scratch).expect("in range");
            self.log(&Event::Trade(decision.event(&forward.input, &Origin::INTERNAL, &scratch)), None);
            self.scratch = scratch;
            self.conserved(decision.position);
        }
    }

    /// The coldpath: every PROVISIONAL position replayed and corrected.
    pub(crate) fn reconcile(&mut self) {
        for number in 0..self.book.positions().len() as u32 {
            if self.book.positions()[number as usize].provisional > 0 {
                self.correct(number);
            }
        }
        self.mature();
    }

    fn correct(&mut self, number: u32) {
        let today = self.book.business_date();
        let history = &self.histories[&number];
        let outcome =
            replay_history(history, today, &[], self.book.contracts(), E8, &mut self.unbounded).expect("in range");
        let body = outcome.encode();
        assert_eq!(Outcome::decode(&body).as_ref(), Ok(&outcome), "a body that was read differs");
        let position = self.book.positions()[number as usize];
        let event = Event::Corrected(CorrectedEvent {
            origin: Origin::INTERNAL,
            position: number,
            account: position.account,
            instrument: position.instrument,
            version: position.version + 1,
            base_version: position.version,
            cause: TradeHash::NONE,
            cause_sequence: 0,
            late_trades: position.provisional,
            tail: 0,
            left: 0,
            breaks: outcome.breaks.len() as u32,
            seen: self.book.actions().changes(),
            before: position.figures(),
            after: outcome.after,
            body_log_id: 0,
            body_address: 0,
            body_sequence: 0,
            body_bytes: body.len() as u32,
            body_digest: 0,
            adjusted: outcome.adjusted,
            valued: None,
        });
        self.log(&event, Some(&outcome));
        let (before, after) = (position.figures(), outcome.after);
        let (quantity, realized) = self.deltas.entry(number).or_default();
        *quantity += i128::from(after.quantity_e8) - i128::from(before.quantity_e8);
        *realized += after.realized_e16 - before.realized_e16;
        self.conserved(number);
    }

    pub(crate) fn resolve(&mut self, account: u32, instrument: u32, version: u64) -> Reason {
        let note = Note::new(b"known").expect("short");
        let correlation = TradeId::EMPTY;
        self.command(&Command::Resolve(ResolveInput { account, instrument, version, user: 0, note, correlation }))
    }

    /// Prices of this instrument from 8 to 12, in steps of a quarter.
    pub(crate) fn bound_prices(&mut self, instrument: u32) {
        let terms = InstrumentTerms {
            instrument,
            currency: NO_NAME,
            multiplier_e8: E8,
            tick_e8: E8 / 4,
            price_min_e8: 8 * E8,
            price_max_e8: 12 * E8,
            isin: [0; 12],
            cusip: [0; 9],
        };
        assert_eq!(self.command(&Command::Instrument(terms)), Reason::None);
    }

    pub(crate) fn find(&self, account: u32, instrument: u32) -> Option<&Position> {
        self.book.find(account, instrument).map(|number| &self.book.positions()[number as usize])
    }

    /// Whether this is an amendment that is held.
    pub(crate) fn holds(&self, arrival: &Arrival) -> bool {
        matches!(arrival, Arrival::Amend(amend) if self.book.held().find(amend.input().hash).is_some())
    }

    /// What the ids say about a target.
    pub(crate) fn target(&self, of: Of) -> Target {
        let id = of.id();
        self.ids.target(TradeHash::new(b"test", id.as_bytes()), id.as_bytes())
    }

    /// Quantity and cost are the sums of the lots'.
    fn conserved(&self, number: u32) {
        let Some(p) = self.book.positions().get(number as usize) else { return };
        let quantity: i128 = self.book.lots().iter(&p.block).map(|lot| i128::from(lot.quantity_e8)).sum();
        assert_eq!(quantity, i128::from(p.quantity_e8).abs(), "quantity is not conserved");
        let cost: i128 = self.book.lots().iter(&p.block).map(|lot| lot.cost_e16).sum();
        assert_eq!(cost, p.cost_e16, "cost is not conserved");
        let waiting = self.book.forwards().iter().filter(|forward| forward.position == number).count();
        assert_eq!(waiting, p.forwards as usize, "waiting trades are not counted");
    }

    /// The image reads back as the same book, and the book that only applied has the same one.
    pub(crate) fn images_agree(&self) -> Result<(), String> {
        let bytes = image(&self.book);
        if bytes != image(&self.shadow) {
            return Err("the book that only applied has another image".into());
        }
        let again = Book::read_image(&bytes, LIMITS).map_err(|error| error.to_string())?;
        if image(&again) != bytes {
            return Err("an image that was read is written differently".into());
        }
        if again.full_digest() != self.book.full_digest() {
            return Err("an image that was read has another digest".into());
        }
        Ok(())
    }
}
