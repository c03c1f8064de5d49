//! Cancels and corrects of actions: what is live, and what an action says by that (rules 9 and 12 of `docs/rules.md`).
//!
//! Actions are few and their amendments fewer, so nothing is kept but the amendments themselves: liveness is read off them.

use super::{ActionBook, Change, Entry, NO_ACTION, NO_AMENDMENT};
use crate::action_input::ActionInput;
use crate::amend::{AmendInput, AmendKind};
use crate::date::Date;
use crate::digest;
use crate::event::Reason;
use crate::id::{ChronoKey, NO_NAME, NameId, TradeHash};
use crate::limits::AMENDMENTS_PER_TRADE_MAX;

/// An accepted amendment of an action.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amending {
    input: AmendInput,
    entry: u32,
    /// The next older one of the same action.
    next: u32,
}

impl ActionBook {
    /// Amendments in the order of arrival, with the action's number.
    pub(crate) fn amendments(&self) -> impl ExactSizeIterator<Item = (&AmendInput, u32)> {
        self.amendments.iter().map(|amending| (&amending.input, amending.entry))
    }

    /// The action at the root of an amendment, or the action itself.
    #[must_use]
    pub fn root_of(&self, hash: TradeHash) -> Option<u32> {
        let amends = || self.amendments.iter().find(|amending| amending.input.hash == hash).map(|found| found.entry);
        self.find(hash).or_else(amends)
    }

    /// Whether another amendment may join those of this action.
    ///
    /// # Errors
    /// A named limit.
    pub(crate) fn admit(&self, entry: u32) -> Result<(), Reason> {
        if self.at(entry).amendments as usize >= AMENDMENTS_PER_TRADE_MAX {
            return Err(Reason::TooManyAmendments);
        }
        if self.amendments.len() == self.capacity {
            return Err(Reason::AmendmentCapacity);
        }
        if self.has_room_for_change() { Ok(()) } else { Err(Reason::ActionCapacity) }
    }

    /// Whether an action is in the history and what it says there, with one more amendment supposed.
    #[must_use]
    pub fn effective(&self, entry: u32, extra: Option<&AmendInput>) -> (bool, ActionInput) {
        let mut input = self.at(entry).original;
        let is_in = !self.is_cancelled(entry, input.hash, extra);
        let mut laid = None;
        loop {
            let live = |amend: &&AmendInput| {
                amend.kind == AmendKind::Correct
                    && laid.is_none_or(|key| amend.key() > key)
                    && !self.is_cancelled(entry, amend.hash, extra)
            };
            let Some(next) = self.of(entry, extra).filter(live).min_by_key(|amend| amend.key()) else {
                return (is_in, input);
            };
            next.changes.lay_over_action(&mut input);
            laid = Some(next.key());
        }
    }

    /// Whether a live cancel targets it. Ends, because a target stands before its amendments.
    fn is_cancelled(&self, entry: u32, target: TradeHash, extra: Option<&AmendInput>) -> bool {
        self.of(entry, extra).any(|amend| {
            amend.kind == AmendKind::Cancel && amend.target == target && !self.is_cancelled(entry, amend.hash, extra)
        })
    }

    fn of<'a>(&'a self, entry: u32, extra: Option<&'a AmendInput>) -> impl Iterator<Item = &'a AmendInput> {
        let held = |number: u32| self.amendments.get(number as usize);
        core::iter::successors(held(self.at(entry).newest), move |amending| held(amending.next))
            .map(|amending| &amending.input)
            .chain(extra)
    }

    /// Keeps an amendment.
    pub(super) fn keep(&mut self, input: &AmendInput, entry: u32) {
        let number = self.amendments.len() as u32;
        assert!(number != NO_AMENDMENT && self.amendments.len() < self.capacity);
        let found = &mut self.entries[entry as usize];
        let next = core::mem::replace(&mut found.newest, number);
        found.amendments += 1;
        self.amendments.push(Amending { input: *input, entry, next });
        let own = digest::mix(input.hash.0 as u64, input.target.0 as u64);
        self.digest = self.digest.wrapping_add(digest::mix(own, input.changes.digest()));
    }

    /// Takes an accepted amendment; `after` is what [`Self::effective`] gives with it, `names` the hash of the names in that.
    pub(crate) fn amend(
        &mut self,
        amend: &AmendInput,
        entry: u32,
        after: (bool, ActionInput),
        names: u64,
        today: Option<Date>,
    ) {
        self.keep(amend, entry);
        let before = *self.at(entry);
        let (is_in, input) = after;
        if (is_in, input) == (before.is_in, before.input) {
            return;
        }
        self.order.retain(|&other| other != entry);
        self.waiting.retain(|&other| other != entry);
        let is_due = today.is_none_or(|today| input.date() <= today);
        let entered = if is_due && before.counts() { before.entered } else { 0 };
        self.rewrite(entry, Entry { input, is_in, entered, names, ..before });
        if is_in {
            self.place(entry);
        }
        let now = *self.at(entry);
        if before.counts() {
            let from = if now.counts() { before.input.key().min(input.key()) } else { before.input.key() };
            let (account, instrument) = (NO_NAME, input.instrument);
            self.change(Change {
                ordinal: 0,
                action: NO_ACTION,
                cause: amend.hash,
                contract: NO_NAME,
                account,
                instrument,
                from,
            });
        }
        match now.waits() {
            true if is_due => self.enter(entry),
            true => self.wait(entry),
            false => {}
        }
        self.find_last(input.instrument);
    }

    fn find_last(&mut self, instrument: NameId) {
        let place = |input: &ActionInput| (input.date(), input.kind.part());
        self.last[instrument as usize] = self.after(instrument, &ChronoKey::MIN).map(|(_, input)| place(input)).max();
    }
}
