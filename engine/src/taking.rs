//! What positions take beside their own trades: forward-dated trades whose date has come, actions, changes of history,
//! and lots that arrive from other positions.
//!
//! A position takes everything that is due, in chronological order, before its own next event; the rest is taken in
//! slices between batches. Nothing here is remembered over a restart but what the book says: a sweep begins again, and
//! who has taken a change already passes it by.

use lotbook_core::actions::Change;
use lotbook_core::command::Origin;
use lotbook_core::decide_wide::Due;
use lotbook_core::event::{Class, Event};
use lotbook_core::forward::Forward;
use lotbook_core::id::{ChronoKey, NO_NAME, NameId};
use lotbook_core::legs::{self, Sending};
use lotbook_core::wide_event::SettledEvent;
use lotbook_wal::NO_ADDRESS;

use crate::limits::{MATURITY_SLICE, TAKE_SLICE, VISIT_SLICE};
use crate::shard::{NotLogged, Shard, apply, log_trade};

/// Where the look at all positions for the oldest pending change stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sweep {
    ordinal: u32,
    next: Option<u32>,
    taken: u32,
}

impl Shard {
    /// Everything that is due on a position, the least key first; late changes before anything else. Says how many
    /// events it took.
    pub(crate) fn bring_up(&mut self, position: u32) -> Result<u32, NotLogged> {
        self.bring_on(position, u32::MAX)
    }

    /// The same, `most` events of it: between batches, where no event of the position itself is waited for.
    fn bring_on(&mut self, position: u32, most: u32) -> Result<u32, NotLogged> {
        let mut taken = 0;
        let mut is_stuck = false;
        while taken < most {
            let due = self.book.next_due(position);
            let forward = if is_stuck { None } else { self.due_forward(position) };
            let forward = forward.filter(|forward| match due {
                Some(Due::Late(_)) => false,
                Some(Due::Ahead(action)) => forward.input.key() < self.key_of(action),
                None => true,
            });
            if let Some(leg) = self.next_leg(position, due.as_ref(), forward.as_ref()) {
                self.arrive(&leg)?;
                taken += 1;
                continue;
            }
            match (forward, due) {
                (Some(forward), _) => {
                    is_stuck = !self.mature(&forward)?;
                    taken += u32::from(!is_stuck);
                }
                (None, Some(due)) => {
                    self.take(position, &due)?;
                    taken += 1;
                }
                (None, None) => break,
            }
        }
        Ok(taken)
    }

    /// What is on its way to the position, where its turn has come: late changes come first, then what has the least key.
    fn next_leg(&self, position: u32, due: Option<&Due>, forward: Option<&Forward>) -> Option<legs::Due> {
        if self.book.legs().due_len() == 0 {
            return None;
        }
        let held = &self.book.positions()[position as usize];
        let leg = *self.book.legs().due_to(held.account, held.instrument)?;
        let is_before = |key: ChronoKey| leg.sending != Sending::New || leg.leg.key < key;
        let is_next = match due {
            Some(Due::Late(_)) => false,
            Some(Due::Ahead(action)) => is_before(self.key_of(*action)),
            None => true,
        };
        (is_next && forward.is_none_or(|forward| is_before(forward.input.key()))).then_some(leg)
    }

    /// A lot arrives. Says whether there was room for it.
    fn arrive(&mut self, due: &legs::Due) -> Result<bool, NotLogged> {
        let origin = Origin { occurred_at_ns: self.now_ns, ..Origin::INTERNAL };
        let Some(arrived) = self.book.decide_arrived(due, &origin, &mut self.scratch) else { return Ok(false) };
        let number = arrived.position;
        let previous = self.book.positions().get(number as usize).map_or(NO_ADDRESS, |held| held.last_address);
        let partition = self.book.partition(due.leg.account, due.leg.instrument);
        let event = Event::Arrived(arrived);
        let place = self.journal.append(&event, partition, previous)?;
        apply(&mut self.book, &event, place, None);
        self.book.set_last_address(number, place.address);
        self.journal.counters.note_taken();
        self.log_digests_if_due(place);
        Ok(true)
    }

    /// Lots that are on their way, a slice of them. Says whether one arrived.
    pub(crate) fn deliver_slice(&mut self) -> bool {
        let mut arrived = 0;
        while arrived < TAKE_SLICE {
            let Some(due) = self.book.legs().first_due() else { break };
            if arrived == 0 {
                self.stamp();
            }
            let mut is_new = false;
            let told = match self.book.find(due.leg.account, due.leg.instrument) {
                Some(position) => self.bring_on(position, TAKE_SLICE - arrived),
                None => self.arrive(&due).map(u32::from).inspect(|_| is_new = true),
            };
            if is_new && let Some(position) = self.book.find(due.leg.account, due.leg.instrument) {
                self.follow_up(position);
            }
            match told {
                // Without room it stays due, and everybody sees that.
                Ok(0) | Err(_) => break,
                Ok(events) => arrived += events,
            }
        }
        arrived > 0
    }

    /// A position that was opened below an action takes it at once.
    #[inline]
    pub(crate) fn follow_up(&mut self, position: u32) {
        if !self.book.is_quiet() && self.bring_up(position).is_err() {
            self.catch_up = Some(0);
        }
    }

    /// Positions that a kill, or a log without room, left behind an action that they hold something at: a slice of all.
    /// Says whether there was something to look at.
    pub(crate) fn catch_up_slice(&mut self) -> bool {
        let Some(first) = self.catch_up else { return false };
        let positions = self.book.positions().len() as u32;
        self.stamp();
        for position in first..positions.min(first + VISIT_SLICE) {
            if self.bring_up(position).is_err() {
                self.catch_up = Some(position);
                return false;
            }
        }
        self.catch_up = Some(first + VISIT_SLICE).filter(|next| *next < positions);
        true
    }

    /// What is on its way to a position that a command is about arrives before anything is decided there.
    #[cold]
    pub(crate) fn deliver_to(&mut self, account: NameId, instrument: NameId) -> Result<(), NotLogged> {
        while let Some(due) = self.book.legs().due_to(account, instrument).copied() {
            let taken = match self.book.find(account, instrument) {
                Some(position) => self.bring_up(position)?,
                None => u32::from(self.arrive(&due)?),
            };
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    fn key_of(&self, action: u32) -> ChronoKey {
        self.book.actions().entries()[action as usize].input.key()
    }

    fn due_forward(&self, position: u32) -> Option<Forward> {
        if self.book.positions()[position as usize].forwards == 0 {
            return None;
        }
        self.book.forwards().first_due_of(position, self.book.business_date()?).copied()
    }

    fn take(&mut self, position: u32, due: &Due) -> Result<(), NotLogged> {
        let causation = match due {
            Due::Ahead(action) => self.book.actions().entries()[*action as usize].sequence,
            Due::Late(_) => 0,
        };
        let origin = Origin { occurred_at_ns: self.now_ns, causation, ..Origin::INTERNAL };
        let taken = self.book.decide_taken(position, due, &origin, &mut self.room, &mut self.scratch);
        let (account, instrument) = (taken.account, taken.instrument);
        let event = Event::Taken(taken);
        let previous = self.book.positions()[position as usize].last_address;
        let place = self.journal.append(&event, self.book.partition(account, instrument), previous)?;
        apply(&mut self.book, &event, place, None);
        self.book.set_last_address(position, place.address);
        self.journal.counters.note_taken();
        self.log_digests_if_due(place);
        Ok(())
    }

    /// Forward-dated trades whose date has come, a slice of them. Says whether there was one.
    pub(crate) fn mature_slice(&mut self) -> bool {
        let Some(today) = self.book.business_date() else { return false };
        let mut worked = false;
        // Those that cannot be booked now are passed over, and tried again in the next round.
        let (mut stuck, mut left) = (0, MATURITY_SLICE as u32);
        while left > 0 {
            let Some(forward) = self.book.forwards().due(today, stuck).copied() else { break };
            if !worked {
                self.stamp();
            }
            let waited = self.book.forwards().len();
            let Ok(taken) = self.bring_on(forward.position, left) else { break };
            worked |= taken > 0;
            left -= taken.max(1);
            stuck += usize::from(left > 0 && self.book.forwards().len() == waited);
        }
        worked
    }

    fn mature(&mut self, forward: &Forward) -> Result<bool, NotLogged> {
        let Ok(decision) = self.book.decide_matured(forward, &mut self.scratch) else { return Ok(false) };
        let origin = Origin { occurred_at_ns: self.now_ns, causation: forward.sequence, ..Origin::INTERNAL };
        let event = Event::Trade(decision.event(&forward.input, &origin, &self.scratch));
        let place = log_trade(&mut self.journal, &mut self.book, &event)?;
        debug_assert!(decision.class == Class::Matured);
        self.log_digests_if_due(place);
        Ok(true)
    }

    /// Looks at a slice of the positions that the oldest pending change may concern. Says whether there was one.
    pub(crate) fn take_slice(&mut self) -> bool {
        let Some(change) = self.book.actions().pending().first().copied() else { return false };
        if self.sweep.ordinal != change.ordinal {
            self.sweep = Sweep { ordinal: change.ordinal, next: self.first_of(&change), taken: 0 };
        }
        self.stamp();
        let mut taken = 0;
        for _ in 0..VISIT_SLICE {
            let Some(position) = self.sweep.next else { return self.log_settled(&change).is_ok() };
            // Without room in the log nothing is taken; the position is looked at again.
            let Ok(events) = self.bring_on(position, TAKE_SLICE - taken) else {
                self.sweep.taken += taken;
                return taken > 0;
            };
            taken += events;
            if taken >= TAKE_SLICE {
                // It may have more to take, and is looked at again.
                break;
            }
            self.sweep.next = self.next_of(&change, position);
        }
        self.sweep.taken += taken;
        true
    }

    fn first_of(&self, change: &Change) -> Option<u32> {
        match change.instrument {
            NO_NAME => (!self.book.positions().is_empty()).then_some(0),
            instrument => self.book.positions_of(instrument).next(),
        }
    }

    fn next_of(&self, change: &Change, position: u32) -> Option<u32> {
        match change.instrument {
            NO_NAME => Some(position + 1).filter(|&next| (next as usize) < self.book.positions().len()),
            _ => self.book.next_of_instrument(position),
        }
    }

    fn log_settled(&mut self, change: &Change) -> Result<(), NotLogged> {
        let origin = Origin { occurred_at_ns: self.now_ns, ..Origin::INTERNAL };
        let event = Event::Settled(SettledEvent { origin, ordinal: change.ordinal, positions: self.sweep.taken });
        let place = self.journal.append(&event, 0, NO_ADDRESS)?;
        apply(&mut self.book, &event, place, None);
        self.log_digests_if_due(place);
        Ok(())
    }
}
