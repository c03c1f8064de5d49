//! A book that takes changes in slices as the shard does, forgets everything but the image now and then as a killed
//! process does, and has a second book beside it that applies nothing but what was encoded and decoded again.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::told::Followed;
use crate::action_input::{ActionInput, ActionKind};
use crate::amend::{AmendInput, AmendKind, Changes, NO_TIME};
use crate::amount::ONE_E8;
use crate::apply::Place;
use crate::book::{Book, NO_POSITION};
use crate::closed::PeriodFigures;
use crate::codec;
use crate::command::{Command, NameClass, Origin, Side, TradeInput};
use crate::date::Date;
use crate::decide::Scratch;
use crate::decide_amend::Target;
use crate::decide_wide::Due;
use crate::event::{Class, CorrectedEvent, Event, Reason};
use crate::history::{Addition, Item};
use crate::id::{NO_NAME, TradeHash, TradeId};
use crate::limits::Limits;
use crate::outcome::Outcome;
use crate::position::Reconciliation;
use crate::replay::replay_history;
use crate::rules::{ContractTerms, Rules};
use crate::taking::ActionRoom;
use crate::trail::By;
use crate::wide_event::SettledEvent;

pub(super) const ACCOUNTS: u32 = 4;
pub(super) const INSTRUMENTS: u32 = 2;
pub(super) const LIMITS: Limits = Limits {
    positions_max: 64,
    lots_max: 1 << 12,
    names_max: 32,
    forwards_max: 1 << 10,
    amendments_max: 64,
    held_max: 16,
    contracts_max: 64,
    actions_max: 64,
    legs_max: 64,
};

pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index as u64 + 1) as usize);
        }
    }
}

pub(super) struct Rig {
    pub(super) book: Book,
    follower: Book,
    scratch: Scratch,
    room: ActionRoom,
    sequence: u64,
    /// What the events of each position say.
    followed: Vec<Followed>,
    /// Where the sweep for the oldest pending change stands.
    sweep: Option<(u32, Option<u32>)>,
    pub(super) replays: u32,
    /// The outcomes of all replays: bodies by their number.
    bodies: Vec<Outcome>,
    /// Position, signed quantity and date of each accepted trade, as it was accepted.
    trades: BTreeMap<TradeHash, Target>,
    /// Position of each accepted amendment.
    amended: BTreeMap<TradeHash, u32>,
}

impl Rig {
    pub(super) fn new(rules: Rules) -> Self {
        let mut rig = Self {
            book: Book::new(LIMITS),
            follower: Book::new(LIMITS),
            scratch: Scratch::new(),
            room: ActionRoom::new(LIMITS.lots_max),
            sequence: 0,
            followed: Vec::new(),
            sweep: None,
            replays: 0,
            bodies: Vec::new(),
            trades: BTreeMap::new(),
            amended: BTreeMap::new(),
        };
        let numbered = |class, count: u32| (0..count).map(move |n| (class, format!("{class:?}{n}")));
        let names = numbered(NameClass::Account, ACCOUNTS)
            .chain(numbered(NameClass::Instrument, INSTRUMENTS))
            .chain(numbered(NameClass::Contract, 3))
            .chain(numbered(NameClass::Namespace, 1));
        for (class, text) in names {
            let text = TradeId::new(text.as_bytes()).unwrap();
            assert_eq!(rig.send(&Command::Define { class, text }), Reason::None);
        }
        // The others are known, and in force from later on.
        for (number, day) in [(0, -1_000_000), (1, 900), (2, 901)] {
            assert_eq!(rig.send(&Command::Contract(contract(number, rules, day))), Reason::None);
        }
        rig
    }

    /// Logs an event: both books apply it, one of them from its bytes.
    fn log(
        (book, follower): (&mut Book, &mut Book),
        sequence: &mut u64,
        followed: &mut Vec<Followed>,
        event: &Event<'_>,
        outcome: Option<&Outcome>,
    ) {
        let mut bytes = rkyv::util::AlignedVec::<16>::new();
        bytes.resize(codec::payload_bytes(event), 0xAA);
        codec::encode(event, &mut bytes);
        let mut decoder = codec::Decoder::new();
        let read = decoder.decode(codec::kind_of(event), codec::SCHEMA_VERSION, &bytes).unwrap();
        assert_eq!(read, *event);
        *sequence += 1;
        let place = Place { sequence: *sequence, address: *sequence * 100 };
        if let Some((position, version, addition)) = Addition::of(event, place) {
            followed.resize_with(followed.len().max(position as usize + 1), Followed::default);
            followed[position as usize].take(book, event, version, &addition);
        }
        follower.apply(&read, place, outcome).unwrap();
        book.apply(event, place, outcome).unwrap();
        assert_eq!(book.economic_digest(), follower.economic_digest());
        assert_eq!(book.full_digest(), follower.full_digest());
    }

    /// Decides and applies a command; what the position of a trade is to take comes first.
    pub(super) fn send(&mut self, command: &Command) -> Reason {
        if let Command::Trade(input) = command {
            return self.trade(input).1;
        }
        if let Command::Amend(input) = command {
            let of_trade = self.trades.get(&input.target).copied();
            let of_amendment = self.amended.get(&input.target).map(|&position| Target::Amendment { position });
            if let Some(target) = of_trade.or(of_amendment) {
                return self.amend(input, target);
            }
            let target = match (self.book.actions().find(input.target), self.book.actions().root_of(input.target)) {
                (Some(_), _) => Target::Action,
                (None, Some(_)) => Target::Amendment { position: NO_POSITION },
                (None, None) => Target::Unknown,
            };
            return self.amend(input, target);
        }
        let event = self.book.decide(command, &Origin::INTERNAL, &mut self.scratch);
        let reason = match &event {
            Event::Defined { reason, .. }
            | Event::Contract { reason, .. }
            | Event::Mark { reason, .. }
            | Event::BusinessDate { reason, .. } => *reason,
            Event::Action(action) => action.reason,
            Event::PeriodLock(lock) => lock.reason,
            _ => unreachable!("of another kind"),
        };
        Self::log((&mut self.book, &mut self.follower), &mut self.sequence, &mut self.followed, &event, None);
        reason
    }

    fn amend(&mut self, input: &AmendInput, target: Target) -> Reason {
        if let Target::Trade { position, .. } | Target::Amendment { position } = target
            && position != NO_POSITION
        {
            self.bring_up(position);
        }
        let decision = self.book.decide_amend(input, target, &mut self.scratch);
        let event = Event::Amended(decision.event(input, &Origin::INTERNAL, &self.scratch));
        Self::log((&mut self.book, &mut self.follower), &mut self.sequence, &mut self.followed, &event, None);
        if decision.class == Class::Provisional {
            self.amended.insert(input.hash, decision.position);
        }
        decision.reason
    }

    pub(super) fn trade(&mut self, input: &TradeInput) -> (Class, Reason) {
        if let Some(position) = self.book.find(input.account, input.instrument) {
            self.bring_up(position);
        }
        let decision = self.book.decide_trade(input, &mut self.scratch);
        let event = Event::Trade(decision.event(input, &Origin::INTERNAL, &self.scratch));
        Self::log((&mut self.book, &mut self.follower), &mut self.sequence, &mut self.followed, &event, None);
        if decision.class.is_accepted() {
            let (quantity_e8, date, to_account) = (input.signed_quantity_e8(), input.effective_date, input.to_account);
            let of = Target::Trade { position: decision.position, quantity_e8, date, to_account };
            self.trades.insert(input.hash, of);
        }
        (decision.class, decision.reason)
    }

    /// Everything that is due on a position, in chronological order, late changes first.
    pub(super) fn bring_up(&mut self, position: u32) -> u32 {
        let mut taken = 0;
        loop {
            let due = self.book.next_due(position);
            let today = self.book.business_date();
            let forward = today.and_then(|today| self.book.forwards().first_due_of(position, today)).copied();
            let ahead = match due {
                Some(Due::Late(_)) => None,
                Some(Due::Ahead(entry)) => Some(self.book.actions().entries()[entry as usize].input.key()),
                None if forward.is_none() => return taken,
                None => None,
            };
            match (forward, due) {
                (Some(forward), Some(Due::Ahead(_)) | None) if ahead.is_none_or(|key| forward.input.key() < key) => {
                    let decision = self.book.decide_matured(&forward, &mut self.scratch).unwrap();
                    let event = Event::Trade(decision.event(&forward.input, &Origin::INTERNAL, &self.scratch));
                    Self::log(
                        (&mut self.book, &mut self.follower),
                        &mut self.sequence,
                        &mut self.followed,
                        &event,
                        None,
                    );
                }
                (_, Some(due)) => {
                    let event = Event::Taken(self.book.decide_taken(
                        position,
                        &due,
                        &Origin::INTERNAL,
                        &mut self.room,
                        &mut self.scratch,
                    ));
                    Self::log(
                        (&mut self.book, &mut self.follower),
                        &mut self.sequence,
                        &mut self.followed,
                        &event,
                        None,
                    );
                    taken += 1;
                }
                _ => unreachable!("one of them is due"),
            }
        }
    }

    /// Looks at so many positions for the oldest pending change. Says whether there was one.
    pub(super) fn slice(&mut self, positions: u32) -> bool {
        let Some(change) = self.book.actions().pending().first().copied() else { return false };
        let all = change.instrument == NO_NAME;
        let first = if all { Some(0) } else { self.book.positions_of(change.instrument).next() };
        if self.sweep.is_none_or(|(ordinal, _)| ordinal != change.ordinal) {
            self.sweep = Some((change.ordinal, first));
        }
        for _ in 0..positions {
            let next = self.sweep.and_then(|(_, next)| next).filter(|&n| (n as usize) < self.book.positions().len());
            let Some(position) = next else {
                let settled = SettledEvent { origin: Origin::INTERNAL, ordinal: change.ordinal, positions: 0 };
                let event = Event::Settled(settled);
                Self::log((&mut self.book, &mut self.follower), &mut self.sequence, &mut self.followed, &event, None);
                return true;
            };
            self.bring_up(position);
            let next = if all { Some(position + 1) } else { self.book.next_of_instrument(position) };
            self.sweep = Some((change.ordinal, next));
        }
        true
    }

    pub(super) fn settle(&mut self) {
        while self.slice(3) {}
        for position in 0..self.book.positions().len() as u32 {
            self.bring_up(position);
        }
    }

    /// The coldpath for one position.
    pub(super) fn reconcile(&mut self, number: u32) {
        let position = self.book.positions()[number as usize];
        let through = self.book.locks().through(position.account);
        if position.reconciliation() != Reconciliation::Provisional {
            return;
        }
        self.replays += 1;
        let actions: Vec<ActionInput> = self
            .book
            .actions()
            .after(position.instrument, &crate::id::ChronoKey::MIN)
            .map(|(_, input)| *input)
            .collect();
        let (history, today) = (&self.followed[number as usize].history, self.book.business_date());
        let multiplier_e8 = self.book.instrument(position.instrument).unwrap().terms.multiplier_e8;
        let mut scratch = Scratch::unbounded();
        let mut outcome =
            replay_history(history, today, &actions, self.book.contracts(), multiplier_e8, &mut scratch).unwrap();
        let by = By { today, actions: &actions, contracts: self.book.contracts(), multiplier_e8 };
        let has_seen = position.seen == self.book.actions().changes();
        self.followed[number as usize].resume(&by, has_seen, &outcome);
        let reported = &mut self.followed[number as usize].history.reported;
        if let Some(body) = reported.unread() {
            reported.found(self.bodies[body.sequence as usize].days.clone());
        }
        outcome.adjusted = reported.adjusted(&outcome.days, through);
        let outcome = Outcome::decode(&outcome.encode()).unwrap();
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
            body_sequence: self.bodies.len() as u64,
            body_bytes: 0,
            body_digest: 0,
            adjusted: outcome.adjusted,
            valued: None,
        });
        Self::log((&mut self.book, &mut self.follower), &mut self.sequence, &mut self.followed, &event, Some(&outcome));
        self.followed[number as usize].corrected(position.version, &outcome);
        // A coldpath that has not forgotten need not read what it wrote.
        if number.is_multiple_of(2) {
            self.followed[number as usize].history.reported.reconciled(outcome.days.clone());
        }
        self.bodies.push(outcome);
    }

    /// The sums over all items dated up to a date of what the book says of each now, from the figures of the items.
    pub(super) fn closed_figures(&self, number: u32, through: Date) -> PeriodFigures {
        let position = self.book.positions()[number as usize];
        let all = self.book.actions().after(position.instrument, &crate::id::ChronoKey::MIN);
        let actions: Vec<ActionInput> = all.map(|(_, input)| *input).collect();
        let (history, today) = (&self.followed[number as usize].history, self.book.business_date());
        let (contracts, mut scratch) = (self.book.contracts(), Scratch::unbounded());
        let outcome = replay_history(history, today, &actions, contracts, ONE_E8, &mut scratch).unwrap();
        let mut sums = PeriodFigures::default();
        for trade in outcome.trades.iter().filter(|trade| trade.date <= through) {
            sums.realized_e16 += trade.realized_e16;
            sums.long_e16 += trade.realized_long_e16;
            sums.base_e16 += trade.realized_base_e16;
        }
        for action in outcome.actions.iter().filter(|action| action.date <= through) {
            sums.realized_e16 += action.gains.realized_e16;
            sums.long_e16 += action.gains.long_e16;
            sums.base_e16 += action.gains.base_e16;
            sums.dividends_e16 += action.dividends_e16;
        }
        for item in history.effective(today).items {
            if let Item::Trade(input) = item
                && input.effective_date <= through
            {
                sums.fees_e16 += crate::values::fees_e16(&input);
            }
        }
        sums
    }

    /// Items that replays booked which went on from kept states, and how many there were.
    pub(super) fn booked(&self) -> (usize, usize) {
        let add = |sum: (usize, usize), one: &Followed| (sum.0 + one.booked.0, sum.1 + one.booked.1);
        self.followed.iter().fold((0, 0), add)
    }

    pub(super) fn reconcile_all(&mut self) {
        for number in 0..self.book.positions().len() as u32 {
            self.reconcile(number);
        }
    }

    /// Forgets everything but the image, as a process that starts again.
    pub(super) fn restart(&mut self) {
        let mut image = Vec::new();
        self.book.write_image(&mut |piece| image.extend_from_slice(piece));
        self.book = Book::read_image(&image, LIMITS).unwrap();
        assert_eq!(self.book.full_digest(), self.follower.full_digest());
        assert_eq!(self.book.economic_digest(), self.follower.economic_digest());
        self.sweep = None;
    }

    pub(super) fn lots_of(&self, account: u32, instrument: u32) -> Vec<crate::lots::Lot> {
        let number = self.book.find(account, instrument).unwrap();
        self.book.lots().iter(&self.book.positions()[number as usize].block).collect()
    }
}

pub(super) fn contract(number: u32, rules: Rules, day: i32) -> ContractTerms {
    ContractTerms { contract: number, account: NO_NAME, instrument: NO_NAME, rules, effective_date: Date(day) }
}

pub(super) fn id(text: &str, number: usize) -> (TradeId, TradeHash) {
    let text = format!("{text}{number}");
    (TradeId::new(text.as_bytes()).unwrap(), TradeHash::new(b"n", text.as_bytes()))
}

pub(super) fn trade(number: usize, account: u32, side: Side, quantity_e8: i64, price_e8: i64, day: i32) -> TradeInput {
    let (trade_id, hash) = id("t", number);
    TradeInput {
        trade_id,
        hash,
        namespace: 0,
        account,
        instrument: 0,
        side,
        quantity_e8,
        price_e8,
        effective_date: Date(day),
        ..TradeInput::EMPTY
    }
}

pub(super) fn action(number: usize, kind: ActionKind, day: i32) -> ActionInput {
    let (action_id, hash) = id("a", number);
    ActionInput { action_id, hash, namespace: 0, kind, instrument: 0, effective_date: Date(day), ..ActionInput::EMPTY }
}

pub(super) fn split(number: usize, numerator: u32, denominator: u32, day: i32) -> ActionInput {
    ActionInput { numerator, denominator, ..action(number, ActionKind::Split, day) }
}

pub(super) fn amend(number: usize, kind: AmendKind, target: (TradeId, TradeHash), changes: Changes) -> AmendInput {
    let (amend_id, hash) = id("m", number);
    AmendInput {
        amend_id,
        hash,
        namespace: 0,
        kind,
        target_id: target.0,
        target: target.1,
        executed_at_ns: NO_TIME,
        source_order: number as u64,
        account: NO_NAME,
        instrument: NO_NAME,
        changes,
        user: NO_NAME,
        correlation: TradeId::EMPTY,
    }
}

/// Short positions are allowed, so that nothing is refused in any order.
pub(super) fn free() -> Rules {
    Rules { allow_short: true, ..Rules::DEFAULT }
}
