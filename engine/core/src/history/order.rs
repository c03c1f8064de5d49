//! The chronological order of a history, kept up with its events: what is booked, and from which place on it is another than before.
//!
//! An event costs nothing here. [`History::settle`] puts what came since the last time into its place: what goes behind
//! everything is appended, and the rest moves only what stands behind it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Effective, Forwards, History, ItemRef, Standing};
use crate::action_input::ActionInput;
use crate::amend::{AmendInput, AmendKind};
use crate::apply::Place;
use crate::command::TradeInput;
use crate::date::Date;
use crate::forward::Forward;
use crate::id::{ChronoKey, TradeHash};

/// An item, by its place in the list where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    Trade(u32),
    Arrival(u32),
    Action(u32),
}

/// An amended trade.
#[derive(Clone, Debug)]
struct Laid {
    /// Its amendments, in the order of their events.
    by: Vec<u32>,
    standing: Standing,
    /// With the corrects that are live.
    input: TradeInput,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    pub(super) slots: Vec<Slot>,
    /// Trades that were looked at: each is among the slots, or not booked.
    pub(super) trades: usize,
    /// What has changed since, with the key under which it is among the slots.
    pub(super) touched: BTreeMap<Slot, Option<ChronoKey>>,
    pub(super) today: Option<Date>,
    pub(super) actions: Vec<ActionInput>,
    /// By the place of the trade.
    laid: BTreeMap<u32, Laid>,
    /// Of each amendment: the place of the trade that it amends in the end.
    roots: BTreeMap<TradeHash, Option<u32>>,
    /// Places of the first so many trades, once something asks for them.
    by_hash: BTreeMap<TradeHash, u32>,
    by_hash_is: usize,
}

impl History {
    /// This is about to change.
    pub(super) fn touch(&mut self, slot: Slot) {
        if matches!(slot, Slot::Trade(at) if at as usize >= self.order.trades) || self.order.touched.contains_key(&slot)
        {
            return;
        }
        let key = self.item(slot).map(|item| item.key());
        self.order.touched.insert(slot, key);
    }

    /// An amendment came. Says from which place on it may make history another.
    pub(super) fn amend(&mut self, input: &AmendInput) -> ChronoKey {
        let at = self.amendments.len() as u32;
        self.amendments.push(*input);
        let root = self.order.roots.get(&input.target).copied().unwrap_or_else(|| self.find_trade(input.target));
        self.order.roots.insert(input.hash, root);
        let Some(root) = root else { return ChronoKey::MIN };
        let was = self.laid_key(root).min(self.trades[root as usize].input.key());
        self.touch(Slot::Trade(root));
        let accepted = &mut self.trades[root as usize];
        accepted.is_amended = true;
        let input = accepted.input;
        let fresh = || Laid { by: Vec::new(), standing: Standing::AsAccepted, input };
        self.order.laid.entry(root).or_insert_with(fresh).by.push(at);
        self.lay(root);
        was.min(self.laid_key(root))
    }

    fn find_trade(&mut self, hash: TradeHash) -> Option<u32> {
        let order = &mut self.order;
        let new = self.trades.iter().enumerate().skip(order.by_hash_is);
        order.by_hash.extend(new.map(|(at, accepted)| (accepted.input.hash, at as u32)));
        order.by_hash_is = self.trades.len();
        order.by_hash.get(&hash).copied()
    }

    /// What a trade's amendments make of it.
    fn lay(&mut self, root: u32) {
        let amendments = &self.amendments;
        let Some(laid) = self.order.laid.get_mut(&root) else { return };
        let by: Vec<&AmendInput> = laid.by.iter().map(|&at| &amendments[at as usize]).collect();
        let mut live_cancels = alloc::vec![0u32; by.len()];
        let (mut cancels, mut corrects) = (0u32, Vec::new());
        // Newest first: what targets an amendment came after it, so its liveness is known when its turn comes.
        for (at, amend) in by.iter().enumerate().rev() {
            if live_cancels[at] > 0 {
                continue;
            }
            let target = by[..at].iter().position(|other| other.hash == amend.target);
            match (amend.kind, target) {
                (AmendKind::Cancel, None) => cancels += 1,
                (AmendKind::Cancel, Some(target)) => live_cancels[target] += 1,
                (AmendKind::Correct, None) => corrects.push(*amend),
                // A correct of an amendment is never accepted.
                (AmendKind::Correct, Some(_)) => {}
            }
        }
        corrects.sort_unstable_by_key(|amend| amend.key());
        laid.input = self.trades[root as usize].input;
        corrects.iter().for_each(|amend| amend.lay_over(&mut laid.input));
        laid.standing = match (cancels, corrects.is_empty()) {
            (0, true) => Standing::AsAccepted,
            (0, false) => Standing::Corrected,
            _ => Standing::Cancelled,
        };
    }

    /// The key of a trade as its amendments make it, booked or not.
    pub(super) fn laid_key(&self, at: u32) -> ChronoKey {
        self.order.laid.get(&at).map_or_else(|| self.trades[at as usize].input.key(), |laid| laid.input.key())
    }

    /// A trade as it is booked; `None`: it waits, is cancelled, or has moved to another position.
    fn booked(&self, at: u32) -> Option<&TradeInput> {
        let accepted = &self.trades[at as usize];
        if !accepted.is_amended {
            return (!accepted.waits).then_some(&accepted.input);
        }
        let laid = &self.order.laid[&at];
        let is_out = laid.standing == Standing::Cancelled || self.waits(laid) || Self::has_moved(laid, &accepted.input);
        (!is_out).then_some(&laid.input)
    }

    fn waits(&self, laid: &Laid) -> bool {
        self.order.today.is_some_and(|today| laid.input.effective_date > today)
    }

    fn has_moved(laid: &Laid, accepted: &TradeInput) -> bool {
        (laid.input.account, laid.input.instrument) != (accepted.account, accepted.instrument)
    }

    fn item(&self, slot: Slot) -> Option<ItemRef<'_>> {
        match slot {
            Slot::Trade(at) => self.booked(at).map(ItemRef::Trade),
            Slot::Action(at) => self.order.actions.get(at as usize).map(ItemRef::Action),
            Slot::Arrival(at) => self.legs[at as usize]
                .as_ref()
                .map(|leg| leg.trade.as_ref().map_or(ItemRef::Arrival(leg), ItemRef::Trade)),
        }
    }

    fn booked_item(&self, slot: Slot) -> ItemRef<'_> {
        let Some(item) = self.item(slot) else { unreachable!("what is among the slots is booked") };
        item
    }

    /// Brings the order up to date, with the actions that are in history by `today`. Says the first place at which it is
    /// another than the last time, or how many there are where none is.
    pub(crate) fn settle(&mut self, today: Option<Date>, actions: &[ActionInput]) -> usize {
        if today != self.order.today {
            let roots: Vec<u32> = self.order.laid.keys().copied().collect();
            roots.into_iter().for_each(|root| self.touch(Slot::Trade(root)));
            self.order.today = today;
        }
        self.take_actions(actions);
        let touched = core::mem::take(&mut self.order.touched);
        let left = self.leave(&touched);
        let came = self.come(&touched);
        left.min(came)
    }

    fn take_actions(&mut self, actions: &[ActionInput]) {
        let same = self.order.actions.iter().zip(actions).take_while(|(mine, theirs)| mine == theirs).count();
        for at in same..self.order.actions.len().max(actions.len()) {
            self.touch(Slot::Action(at as u32));
        }
        self.order.actions.truncate(same);
        self.order.actions.extend_from_slice(&actions[same..]);
    }

    /// Takes what has changed out of the slots. Says the first place that is another.
    fn leave(&mut self, touched: &BTreeMap<Slot, Option<ChronoKey>>) -> usize {
        let slots = &self.order.slots;
        let key = |slot: Slot| touched.get(&slot).copied().flatten().unwrap_or_else(|| self.booked_item(slot).key());
        let place = |(slot, was): (&Slot, &Option<ChronoKey>)| {
            let was = (*was)?;
            let at = slots.partition_point(|&other| key(other) < was);
            assert!(slots.get(at) == Some(slot), "what was booked is where its key says");
            Some(at)
        };
        let mut gone: Vec<usize> = touched.iter().filter_map(place).collect();
        gone.sort_unstable();
        let Some(&first) = gone.first() else { return slots.len() };
        let (mut at, mut next) = (0, 0);
        self.order.slots.retain(|_| {
            let is_gone = gone.get(next) == Some(&at);
            (at, next) = (at + 1, next + usize::from(is_gone));
            !is_gone
        });
        first
    }

    /// Puts what has changed, and what is new, among the slots. Says the first place that is another.
    fn come(&mut self, touched: &BTreeMap<Slot, Option<ChronoKey>>) -> usize {
        let fresh = (self.order.trades..self.trades.len()).map(|at| Slot::Trade(at as u32));
        let is_booked = |slot: &Slot| self.item(*slot).is_some();
        let mut new: Vec<Slot> = touched.keys().copied().chain(fresh).filter(is_booked).collect();
        let key = |slot: Slot| self.booked_item(slot).key();
        if !new.is_sorted_by(|one, other| key(*one) < key(*other)) {
            new.sort_unstable_by_key(|slot| key(*slot));
        }
        let end = self.order.slots.len();
        let is_behind = |first: Slot| self.order.slots.last().is_none_or(|&last| key(last) < key(first));
        let place = match new.first() {
            Some(&first) if is_behind(first) => end,
            Some(&first) => self.place_of(key(first)),
            None => end,
        };
        self.order.trades = self.trades.len();
        let mut slots = core::mem::take(&mut self.order.slots);
        let mut rest = slots.split_off(place).into_iter().peekable();
        slots.reserve(rest.len() + new.len());
        for slot in new {
            let at = self.booked_item(slot).key();
            while let Some(before) = rest.next_if(|&before| self.booked_item(before).key() < at) {
                slots.push(before);
            }
            slots.push(slot);
        }
        slots.extend(rest);
        self.order.slots = slots;
        place
    }

    /// How many items are booked, as of the last [`Self::settle`].
    pub(crate) fn places(&self) -> usize {
        self.order.slots.len()
    }

    /// How many of them stand before a key.
    pub(crate) fn place_of(&self, key: ChronoKey) -> usize {
        self.order.slots.partition_point(|&slot| self.booked_item(slot).key() < key)
    }

    /// How many of them are dated before.
    pub(crate) fn place_of_date(&self, date: Date) -> usize {
        self.order.slots.partition_point(|&slot| self.booked_item(slot).key().date < date)
    }

    /// The items from a place on.
    pub(crate) fn items_from(&self, place: usize) -> impl ExactSizeIterator<Item = ItemRef<'_>> {
        self.order.slots[place..].iter().map(|&slot| self.booked_item(slot))
    }

    /// What stands beside the items: as [`Self::effective`] says it, without them.
    pub(crate) fn beside(&self) -> Effective {
        let mut found = Effective::default();
        let mut forwards = Forwards::default();
        for &at in self.waiting.values() {
            let accepted = &self.trades[at as usize];
            if !accepted.is_amended {
                forwards.add(&accepted.input);
            }
        }
        for (&at, laid) in &self.order.laid {
            let accepted = &self.trades[at as usize];
            found.amended.push((accepted.input.hash, laid.standing));
            if laid.standing == Standing::Cancelled {
                continue;
            }
            if self.waits(laid) {
                let TradeInput { account, instrument, .. } = accepted.input;
                let input = TradeInput { account, instrument, ..laid.input };
                forwards.add(&input);
                let Place { sequence, address } = accepted.place;
                found.waiting.push(Forward { input, position: u32::MAX, sequence, address });
            } else if Self::has_moved(laid, &accepted.input) {
                found.moved.push(laid.input);
            }
        }
        found.moved.sort_unstable_by_key(TradeInput::key);
        found.waiting.sort_unstable_by_key(|waiting| waiting.input.key());
        found.forwards = forwards.in_range();
        found
    }
}
