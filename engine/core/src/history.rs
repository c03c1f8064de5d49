//! What a position's history is made of: its items, gathered from its events, amended, in chronological order.
//!
//! An item is anything that has a place in the history of a position and moves its book there. The set
//! of items and amendments decides, never the order in which they came. What amendments make of the set is
//! [`History::effective`]: rule 9 of `docs/rules.md`, as one pure function.

mod keep;
mod order;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use order::{Order, Slot};

use crate::action_input::ActionInput;
use crate::amend::{AmendInput, AmendKind};
use crate::apply::Place;
use crate::closed::{BodyPlace, PeriodFigures, Reported};
use crate::command::TradeInput;
use crate::date::Date;
use crate::event::{Class, Event, Reason};
use crate::forward::Forward;
use crate::id::{ChronoKey, TradeHash, TradeId};
use crate::legs::{Due, Leg, Sending};

/// One thing in a position's history, as it counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are trades")]
pub enum Item {
    /// A trade.
    Trade(TradeInput),
    /// A corporate action or a reset of the position's instrument. It does not come from the position's own events.
    Action(ActionInput),
    /// A lot that arrives from another position.
    Arrival(Leg),
}

impl Item {
    /// Its place in history.
    #[must_use]
    pub fn key(&self) -> ChronoKey {
        self.as_ref().key()
    }

    /// The same, where it lies.
    #[must_use]
    pub fn as_ref(&self) -> ItemRef<'_> {
        match self {
            Self::Trade(input) => ItemRef::Trade(input),
            Self::Action(input) => ItemRef::Action(input),
            Self::Arrival(leg) => ItemRef::Arrival(leg),
        }
    }

    /// Its id, for messages.
    #[must_use]
    pub fn id(&self) -> TradeId {
        match self {
            Self::Trade(input) => input.trade_id,
            Self::Action(input) => input.action_id,
            Self::Arrival(leg) => leg.key.trade_id,
        }
    }
}

/// An item, where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemRef<'a> {
    /// A trade.
    Trade(&'a TradeInput),
    /// A corporate action or a reset.
    Action(&'a ActionInput),
    /// A lot that arrives.
    Arrival(&'a Leg),
}

impl ItemRef<'_> {
    /// Its place in history.
    #[inline]
    #[must_use]
    pub fn key(&self) -> ChronoKey {
        match self {
            Self::Trade(input) => input.key(),
            Self::Action(input) => input.key(),
            Self::Arrival(leg) => leg.key,
        }
    }
}

/// What one event adds to its position's history. Owned, so that events may be read newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are trades")]
pub enum Addition {
    /// A trade was accepted.
    Trade {
        /// As accepted.
        input: TradeInput,
        /// Where its event lies.
        place: Place,
        /// It waits for its date: not part of the history before [`Self::Matured`].
        waits: bool,
        /// Below the frontier: the position waits for a replay because of it.
        late: bool,
        /// What it added to the position's totals.
        figures: PeriodFigures,
    },
    /// The date of a forward-dated trade came.
    Matured {
        /// The trade.
        hash: TradeHash,
        /// As for [`Self::Trade`].
        late: bool,
        /// Its date.
        date: Date,
        /// As for [`Self::Trade`].
        figures: PeriodFigures,
    },
    /// An amendment was accepted: the position waits for a replay because of it.
    Amended(AmendInput),
    /// The position took a change of history, which the book of actions and contracts holds.
    Taken {
        /// Hash and id of what caused it.
        cause: TradeHash,
        /// As for [`Self::Trade`].
        late: bool,
        /// Date of the action's place.
        date: Date,
        /// As for [`Self::Trade`].
        figures: PeriodFigures,
    },
    /// A lot arrived from another position, or what had arrived is another.
    Arrived {
        /// What.
        due: Due,
        /// As for [`Self::Trade`].
        late: bool,
        /// As for [`Self::Trade`].
        figures: PeriodFigures,
    },
    /// A replay was accepted; what was late up to its base version is reconciled.
    Corrected {
        /// The version that was replayed.
        base_version: u64,
        /// Where its outcome lies.
        body: BodyPlace,
    },
    /// A trade behind a correction was booked again: its figures are others, and the history has it already.
    Rebooked {
        /// Its effective date.
        date: Date,
        /// It awaits the next replay.
        late: bool,
        /// As for [`Self::Trade`].
        figures: PeriodFigures,
    },
    /// An event of the position that adds nothing.
    Nothing,
}

impl Addition {
    /// What an event adds, with its position's number and version after it. `None`: the event belongs to no
    /// position's history.
    #[must_use]
    pub fn of(event: &Event<'_>, place: Place) -> Option<(u32, u64, Self)> {
        match event {
            Event::Trade(trade) => {
                let (input, late) = (*trade.input, trade.late);
                let figures = PeriodFigures::of_trade(trade);
                let addition = match trade.class {
                    Class::Applied | Class::Provisional => Self::Trade { input, place, waits: false, late, figures },
                    Class::Forward => {
                        Self::Trade { input, place, waits: true, late: false, figures: PeriodFigures::default() }
                    }
                    Class::Matured => Self::Matured { hash: input.hash, late, date: input.effective_date, figures },
                    // The history has it already.
                    Class::Rebooked => Self::Rebooked { date: input.effective_date, late, figures },
                    Class::Rejected | Class::Duplicate | Class::Held | Class::Lapsed => return None,
                };
                Some((trade.position, trade.version, addition))
            }
            Event::Amended(amend) if amend.class == Class::Provisional => {
                Some((amend.position, amend.version, Self::Amended(amend.input)))
            }
            Event::Taken(taken) => {
                let figures = if taken.books { PeriodFigures::of_taken(&taken.took) } else { PeriodFigures::default() };
                let (cause, late, date) = (taken.cause, taken.late, taken.date);
                Some((taken.position, taken.version, Self::Taken { cause, late, date, figures }))
            }
            Event::Arrived(arrived) => {
                let figures = arrived.figures();
                let addition = Self::Arrived { due: arrived.due, late: arrived.late, figures };
                Some((arrived.position, arrived.version, addition))
            }
            Event::Corrected(corrected) => {
                let (base_version, body) = (corrected.base_version, BodyPlace::of(corrected));
                Some((corrected.position, corrected.version, Self::Corrected { base_version, body }))
            }
            // A refused one is no version, and in no chain.
            Event::Resolved(resolved) if resolved.reason == Reason::None => {
                Some((resolved.position, resolved.version, Self::Nothing))
            }
            _ => None,
        }
    }

    /// What makes the position wait for a replay, if this does.
    #[must_use]
    pub fn cause(&self) -> Option<TradeHash> {
        match self {
            Self::Trade { input, late: true, .. } => Some(input.hash),
            Self::Matured { hash, late: true, .. } => Some(*hash),
            Self::Amended(input) => Some(input.hash),
            Self::Taken { cause, late: true, .. } => Some(*cause),
            Self::Arrived { due, late: true, .. } => Some(due.leg.key.hash),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Accepted {
    input: TradeInput,
    place: Place,
    /// Its date has not come, as far as events say.
    waits: bool,
    is_amended: bool,
}

/// The accepted items of one position, and their amendments.
#[derive(Clone, Debug, Default)]
pub struct History {
    trades: Vec<Accepted>,
    /// In the order of their events: a target stands before its amendments.
    amendments: Vec<AmendInput>,
    /// Trades that wait, by hash: their place in the list of trades.
    waiting: BTreeMap<TradeHash, u32>,
    /// As they were sent last; `None`: withdrawn.
    legs: Vec<Option<Leg>>,
    /// By identity: the place in the list of legs.
    arrivals: BTreeMap<TradeHash, u32>,
    order: Order,
    /// Totals by date, as they were when the position was reconciled last.
    pub reported: Reported,
}

/// What the amendments make of a history on a business date.
#[derive(Clone, Debug, Default)]
pub struct Effective {
    /// The items that are booked, in chronological order.
    pub items: Vec<Item>,
    /// Trades that corrects have moved to another position, as corrected; in chronological order.
    pub moved: Vec<TradeInput>,
    /// Amended trades whose date has not come, each with the account and instrument that it came with; trades that
    /// nothing amended wait where they are.
    pub waiting: Vec<Forward>,
    /// All trades that wait: how many, their quantity with its sign, and the sum of the magnitudes. `None`: the sums
    /// leave their range.
    pub forwards: Option<(u32, i64, i64)>,
    /// How each trade that anything ever amended stands, in no particular order.
    pub amended: Vec<(TradeHash, Standing)>,
}

/// What amendments have made of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// They were all cancelled: it is as it was accepted.
    AsAccepted = 0,
    /// It counts with other fields.
    Corrected = 1,
    /// It is out of the history.
    Cancelled = 2,
}

impl Standing {
    /// From the number in bodies.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        [Self::AsAccepted, Self::Corrected, Self::Cancelled].into_iter().find(|standing| *standing as u8 == value)
    }
}

/// What stands on one amended trade.
#[derive(Debug, Default)]
struct Amended {
    live_cancels: u32,
    /// Live corrects, by their place in the list of amendments.
    corrects: Vec<usize>,
}

impl Amended {
    fn standing(&self) -> Standing {
        match (self.live_cancels, self.corrects.is_empty()) {
            (0, true) => Standing::AsAccepted,
            (0, false) => Standing::Corrected,
            _ => Standing::Cancelled,
        }
    }
}

impl History {
    /// How many trades, amendments and arrivals it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trades.len() + self.amendments.len() + self.legs.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether anything in it was ever amended.
    #[must_use]
    pub fn has_amendments(&self) -> bool {
        !self.amendments.is_empty()
    }

    /// Bytes that it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let amended = size_of::<AmendInput>() + size_of::<TradeInput>() + 256;
        self.trades.len() * (size_of::<Accepted>() + size_of::<Slot>())
            + self.amendments.len() * amended
            + self.legs.len() * (size_of::<Leg>() + 64)
    }

    /// Takes what an event adds. Events come in their order. Says from which place on it makes history another than the
    /// event itself told; `None`: it goes behind everything, or nothing changes.
    pub fn add(&mut self, addition: &Addition) -> Option<ChronoKey> {
        self.report(addition);
        match addition {
            Addition::Trade { input, place, waits, late, .. } => {
                if *waits {
                    self.waiting.insert(input.hash, self.trades.len() as u32);
                }
                self.trades.push(Accepted { input: *input, place: *place, waits: *waits, is_amended: false });
                late.then(|| input.key())
            }
            Addition::Matured { hash, late, .. } => self.mature(*hash, *late),
            Addition::Amended(input) => Some(self.amend(input)),
            Addition::Arrived { due, late, .. } => self.arrive(due, *late),
            Addition::Taken { late, .. } => late.then_some(ChronoKey::MIN),
            // Late trades behind a correction have said so themselves.
            Addition::Corrected { .. } | Addition::Rebooked { .. } | Addition::Nothing => None,
        }
    }

    fn mature(&mut self, hash: TradeHash, late: bool) -> Option<ChronoKey> {
        let Some(at) = self.waiting.remove(&hash) else {
            // One that an amendment lets wait: its date decides, and the event only says that it has come.
            return late.then_some(ChronoKey::MIN);
        };
        self.touch(Slot::Trade(at));
        let accepted = &mut self.trades[at as usize];
        accepted.waits = false;
        let key = accepted.input.key();
        late.then(|| self.laid_key(at).min(key))
    }

    fn arrive(&mut self, due: &Due, late: bool) -> Option<ChronoKey> {
        let hash = due.leg.key.hash;
        let at = match self.arrivals.get(&hash) {
            Some(&at) => at,
            None if due.sending == Sending::Withdrawn => return late.then_some(due.leg.key),
            None => {
                self.legs.push(None);
                self.legs.len() as u32 - 1
            }
        };
        self.touch(Slot::Arrival(at));
        let before = self.legs[at as usize].take();
        match due.sending {
            Sending::New | Sending::Instead => {
                self.legs[at as usize] = Some(due.leg);
                self.arrivals.insert(hash, at);
            }
            Sending::Withdrawn => {
                self.arrivals.remove(&hash);
            }
        }
        let was = before.map(|leg| leg.trade.map_or(leg.key, |trade| trade.key()));
        let is = due.leg.trade.map_or(due.leg.key, |trade| trade.key()).min(due.leg.key);
        match was {
            Some(was) => Some(was.min(is)),
            None => late.then_some(is),
        }
    }

    /// What the addition makes of the totals by date.
    fn report(&mut self, addition: &Addition) {
        if addition.cause().is_some() {
            return self.reported.waits();
        }
        match addition {
            Addition::Trade { waits: true, .. } | Addition::Amended(_) | Addition::Nothing => {}
            Addition::Trade { input, figures, .. } => self.reported.booked(input.effective_date, figures),
            Addition::Matured { date, figures, .. } => self.reported.booked(*date, figures),
            Addition::Taken { date, figures, .. } => self.reported.booked(*date, figures),
            Addition::Arrived { due, figures, .. } => self.reported.booked(due.leg.key.date, figures),
            Addition::Rebooked { late: true, .. } => self.reported.waits(),
            Addition::Rebooked { date, figures, .. } => self.reported.booked(*date, figures),
            Addition::Corrected { body, .. } => self.reported.corrected(*body),
        }
    }

    /// Its newest trades, by the order of their events, with their ids.
    pub fn newest_ids(&self) -> impl Iterator<Item = (TradeHash, TradeId)> {
        self.trades.iter().rev().map(|accepted| (accepted.input.hash, accepted.input.trade_id))
    }

    /// The lots that arrived, as they were sent last.
    pub fn arrivals(&self) -> impl Iterator<Item = &Leg> {
        self.legs.iter().flatten()
    }

    /// The lot that arrived under this identity.
    #[must_use]
    pub fn arrival(&self, identity: TradeHash) -> Option<&Leg> {
        self.arrivals.get(&identity).and_then(|&at| self.legs[at as usize].as_ref())
    }

    /// What is booked, what waits and what is out on a business date (`None`: before any was set nothing waits).
    ///
    /// A trade that nothing amended is booked or waits as its events say; of an amended one its date decides.
    #[must_use]
    pub fn effective(&self, today: Option<Date>) -> Effective {
        let amended = self.amended();
        let mut found = Effective { items: Vec::with_capacity(self.trades.len()), ..Effective::default() };
        let mut forwards = Forwards::default();
        for accepted in &self.trades {
            let mut input = accepted.input;
            let Some(amended) = amended.get(&input.hash) else {
                if accepted.waits {
                    forwards.add(&input);
                } else {
                    found.items.push(Item::Trade(input));
                }
                continue;
            };
            let standing = amended.standing();
            found.amended.push((input.hash, standing));
            if standing == Standing::Cancelled {
                continue;
            }
            for &correct in &amended.corrects {
                self.amendments[correct].lay_over(&mut input);
            }
            if today.is_some_and(|today| input.effective_date > today) {
                let TradeInput { account, instrument, .. } = accepted.input;
                let input = TradeInput { account, instrument, ..input };
                forwards.add(&input);
                let Place { sequence, address } = accepted.place;
                found.waiting.push(Forward { input, position: u32::MAX, sequence, address });
            } else if (input.account, input.instrument) != (accepted.input.account, accepted.input.instrument) {
                found.moved.push(input);
            } else {
                found.items.push(Item::Trade(input));
            }
        }
        let arrived = |leg: &Leg| leg.trade.map_or(Item::Arrival(*leg), Item::Trade);
        found.items.extend(self.arrivals().map(arrived));
        found.items.sort_unstable_by_key(Item::key);
        found.moved.sort_unstable_by_key(TradeInput::key);
        found.waiting.sort_unstable_by_key(|waiting| waiting.input.key());
        found.forwards = forwards.in_range();
        found
    }

    /// The amended trades with what is live on each, corrects in the order in which they are laid over it.
    fn amended(&self) -> BTreeMap<TradeHash, Amended> {
        let index: BTreeMap<TradeHash, usize> =
            self.amendments.iter().enumerate().map(|(at, amend)| (amend.hash, at)).collect();
        let mut found: BTreeMap<TradeHash, Amended> = BTreeMap::new();
        let mut live_cancels = alloc::vec![0u32; self.amendments.len()];
        // Newest first: what targets an amendment came after it, so its liveness is known when its turn comes.
        for (at, amend) in self.amendments.iter().enumerate().rev() {
            let target = index.get(&amend.target);
            let on_trade = match target {
                None => Some(found.entry(amend.target).or_default()),
                Some(_) => None,
            };
            if live_cancels[at] > 0 {
                continue;
            }
            match (amend.kind, on_trade, target) {
                (AmendKind::Cancel, Some(trade), _) => trade.live_cancels += 1,
                (AmendKind::Cancel, None, Some(&target)) => live_cancels[target] += 1,
                (AmendKind::Correct, Some(trade), _) => trade.corrects.push(at),
                // A correct of an amendment is never accepted.
                (AmendKind::Correct, None, _) | (AmendKind::Cancel, None, None) => {}
            }
        }
        for trade in found.values_mut() {
            trade.corrects.sort_unstable_by_key(|&at| self.amendments[at].key());
        }
        found
    }
}

/// Sums of what waits.
#[derive(Debug, Default)]
struct Forwards {
    count: u32,
    quantity_e8: i128,
    gross_e8: i128,
}

impl Forwards {
    fn add(&mut self, input: &TradeInput) {
        self.count += 1;
        self.quantity_e8 += i128::from(input.signed_quantity_e8());
        self.gross_e8 += i128::from(input.quantity_e8);
    }

    fn in_range(&self) -> Option<(u32, i64, i64)> {
        Some((self.count, i64::try_from(self.quantity_e8).ok()?, i64::try_from(self.gross_e8).ok()?))
    }
}
