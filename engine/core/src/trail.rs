//! The trail of a replay: states of the book of one position at places of its history, from which the next replay goes on.
//!
//! ```text
//! history  ...........................................................................!.....  ! the earliest change
//! states   ^                    ^                 ^              ^          ^      ^  ^ ^ ^   as dense as the end is near
//!                                                                                  |--------> booked again
//! ```
//! What stands before the earliest change is booked as before, so its book is the one that was kept. States lie the closer
//! together the nearer they are to the end, for late trades are mostly recent: a history of n items has a number of states that grows with
//! the logarithm of n, and what is booked again for nothing is a named share of what must be ([`KEPT_STATE_SHARE`]).
//! Nothing depends on the trail but time: [`replay_history`] of the same history gives the same outcome.
//!
//! [`replay_history`]: crate::replay::replay_history

mod keep;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action_input::ActionInput;
use crate::closed::PeriodFigures;
use crate::date::Date;
use crate::decide::Scratch;
use crate::digest;
use crate::event::Reason;
use crate::history::{Effective, History};
use crate::id::{ChronoKey, TradeId};
use crate::legs::Leaving;
use crate::limits::{KEPT_STATE_ITEMS_MIN, KEPT_STATE_LOTS_MAX, KEPT_STATE_SHARE};
use crate::lots::{Lot, LotArena, LotBlock};
use crate::outcome::Outcome;
use crate::position::Position;
use crate::replay::{Found, ReplayError, ReplayRoom, Replayer};
use crate::rules::{ContractBook, ContractTerms};

/// What a history is replayed by.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The business date, if there is one.
    pub today: Option<Date>,
    /// Actions on the instrument that are in history by then.
    pub actions: &'a [ActionInput],
    /// Contracts.
    pub contracts: &'a ContractBook,
    /// Multiplier of the instrument.
    pub multiplier_e8: i64,
}

/// The book after the first so many items.
#[derive(Clone, Debug)]
struct Kept {
    items: usize,
    /// Its block is empty: the lots are here.
    position: Position,
    averaged: bool,
    lots: Vec<Lot>,
    /// How much had been found, and the last day, which goes on.
    actions: usize,
    breaks: usize,
    leaving: usize,
    days: usize,
    day: Option<(Date, PeriodFigures)>,
}

impl Kept {
    fn of(items: usize, position: &Position, lots: &LotArena, found: &Found) -> Self {
        Self {
            items,
            position: Position { block: LotBlock::EMPTY, ..*position },
            averaged: position.block.is_averaged(),
            lots: lots.iter(&position.block).collect(),
            actions: found.actions.len(),
            breaks: found.breaks.len(),
            leaving: found.leaving.len(),
            days: found.days.0.len(),
            day: found.days.0.last().copied(),
        }
    }
}

/// What replays of one history leave for the next. See the module's text.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Items between two states, at least.
    gap_min: usize,
    found: Found,
    kept: VecDeque<Kept>,
    /// Lots in all that is kept.
    lots: usize,
    contracts: Vec<ContractTerms>,
    multiplier_e8: i64,
    /// From here on history is another than it was when a correction was accepted last.
    changed: Option<ChronoKey>,
    /// A correction was accepted of what this was made of: `changed` is known.
    is_accepted: bool,
    booked: usize,
}

impl Default for Trail {
    fn default() -> Self {
        Self::new(KEPT_STATE_ITEMS_MIN)
    }
}

impl Trail {
    /// Without a state, which are to lie at least so many items apart.
    #[must_use]
    pub fn new(gap_min: usize) -> Self {
        Self {
            gap_min,
            found: Found::default(),
            kept: VecDeque::new(),
            lots: 0,
            contracts: Vec::new(),
            multiplier_e8: 0,
            changed: None,
            is_accepted: false,
            booked: 0,
        }
    }

    /// Replays a history, from the nearest state before what has changed since the last time. The outcome names the figures of the
    /// trades from `named_from` on, and of all behind the first change since a correction was accepted; all else in it is whole.
    ///
    /// # Errors
    /// [`ReplayError`]. The trail serves the next replay all the same.
    pub fn replay(
        &mut self,
        history: &mut History,
        by: &By<'_>,
        named_from: ChronoKey,
        room: &mut ReplayRoom,
        scratch: &mut Scratch,
    ) -> Result<Outcome, ReplayError> {
        let before = history.places();
        let settled = history.settle(by.today, by.actions);
        let first = settled.min(self.first_by_rules(history, by));
        if first < before {
            let key = history.items_from(first).next().map_or(ChronoKey::MIN, |item| item.key());
            // Where the last ones have gone, nothing is left to name.
            let is_shorter = first == history.places();
            self.changed = if is_shorter { self.changed } else { Some(self.changed.map_or(key, |was| was.min(key))) };
        }
        self.forget_from(first);
        let mut named = history.place_of(named_from);
        if let Some(changed) = self.changed {
            named = named.min(history.place_of(changed));
        }
        let Effective { moved, waiting, forwards, amended, .. } = history.beside();
        // Each was accepted; only corrects can bring their sums out of range.
        let (forwards, forward_quantity_e8, forward_gross_e8) = forwards.ok_or_else(|| {
            ReplayError::Item(waiting.first().map_or(TradeId::EMPTY, |w| w.input.trade_id), Reason::Overflow)
        })?;
        let booked = self.book(history, by, named, room, scratch);
        if booked.is_err() {
            // The room holds lots of what was begun.
            *room = ReplayRoom::new(0);
        }
        let mut outcome = booked?;
        outcome.leaving.extend(moved.iter().map(Leaving::of_moved));
        Ok(Outcome { waiting, amended, forwards, forward_quantity_e8, forward_gross_e8, ..outcome })
    }

    /// What was replayed was accepted: its figures are told.
    pub fn accepted(&mut self) {
        (self.changed, self.is_accepted) = (None, true);
    }

    /// Whether a correction of what this was made of was accepted: then what has changed since is known here, whatever events say.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.is_accepted
    }

    /// Items that the last replay booked.
    #[must_use]
    pub fn booked(&self) -> usize {
        self.booked
    }

    /// Bytes that it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lots * size_of::<Lot>() + self.kept.len() * size_of::<Kept>() + self.found.days.0.len() * 96
    }

    /// The first place whose booking other rules may change.
    fn first_by_rules(&mut self, history: &History, by: &By<'_>) -> usize {
        let versions = by.contracts.versions();
        let known = self.contracts.len();
        if by.multiplier_e8 != self.multiplier_e8 || versions.get(..known) != Some(&self.contracts[..]) {
            (self.contracts, self.multiplier_e8) = (versions.to_vec(), by.multiplier_e8);
            return 0;
        }
        let new = &versions[known..];
        self.contracts.extend_from_slice(new);
        let earliest = new.iter().map(|terms| terms.effective_date).min();
        earliest.map_or_else(|| history.places(), |date| history.place_of_date(date))
    }

    /// States behind a place are of another history.
    fn forget_from(&mut self, place: usize) {
        while self.kept.back().is_some_and(|kept| kept.items > place) {
            self.drop_newest();
        }
    }

    fn drop_newest(&mut self) {
        self.lots -= self.kept.pop_back().map_or(0, |kept| kept.lots.len());
    }

    fn book(
        &mut self,
        history: &History,
        by: &By<'_>,
        named: usize,
        room: &mut ReplayRoom,
        scratch: &mut Scratch,
    ) -> Result<Outcome, ReplayError> {
        self.forget_from(named);
        let places = history.places();
        let (at, position) = self.go_back(places, room);
        self.booked = places - at;
        let mut replayer = Replayer {
            contracts: by.contracts,
            multiplier_e8: by.multiplier_e8,
            scratch,
            room,
            position,
            found: &mut self.found,
            names_trades: false,
            witness: &mut (),
        };
        let mut last = at;
        for (place, item) in (at..).zip(history.items_from(at)) {
            replayer.names_trades = place >= named;
            replayer.book(&item)?;
            let items = place + 1;
            if items - last >= gap(self.gap_min, places - items, replayer.position.block.len()) {
                let kept = Kept::of(items, &replayer.position, &replayer.room.lots, replayer.found);
                self.lots += kept.lots.len();
                self.kept.push_back(kept);
                last = items;
            }
        }
        let outcome = replayer.outcome();
        self.thin(places);
        Ok(outcome)
    }

    /// Brings the room to the newest state, and says how many items are in it.
    fn go_back(&mut self, places: usize, room: &mut ReplayRoom) -> (usize, Position) {
        let found = &mut self.found;
        found.trades = Vec::new();
        let Some(kept) = self.kept.back() else {
            *found = Found::default();
            room.fit(places);
            return (0, Position::new(0, 0, 0));
        };
        found.actions.truncate(kept.actions);
        found.breaks.truncate(kept.breaks);
        found.leaving.truncate(kept.leaving);
        found.days.0.truncate(kept.days);
        if let (Some(day), Some(last)) = (kept.day, found.days.0.last_mut()) {
            *last = day;
        }
        room.fit(places - kept.items + kept.lots.len());
        let mut position = kept.position;
        let key_hash = position.key_hash;
        let ReplayRoom { lots, names, .. } = room;
        let tag = |lot: &Lot| digest::lot_tag(key_hash, names, lot);
        lots.replace(&mut position.block, kept.averaged, kept.lots.iter().copied(), tag);
        (kept.items, position)
    }

    /// Drops states that lie closer together than is worth it so far from the end, and the oldest while there are too many lots.
    fn thin(&mut self, places: usize) {
        let (mut last, mut dropped) = (0, 0);
        self.kept.retain(|kept| {
            let stays = kept.items - last >= gap(self.gap_min, places - kept.items, 0);
            (last, dropped) = if stays { (kept.items, dropped) } else { (last, dropped + kept.lots.len()) };
            stays
        });
        self.lots -= dropped;
        while self.lots > KEPT_STATE_LOTS_MAX
            && let Some(kept) = self.kept.pop_front()
        {
            self.lots -= kept.lots.len();
        }
    }
}

/// Items between two states, so many before the end, with so many lots to keep.
fn gap(least: usize, to_end: usize, lots: usize) -> usize {
    least.max(to_end / KEPT_STATE_SHARE).max(lots / KEPT_STATE_SHARE)
}
