//! All positions of the naive model at once (rules 2, 9, 12 and 16): every cause in chronological order, and what it
//! moves from one position arrives at the other before the next cause.

use std::collections::{BTreeMap, BTreeSet};

use super::actions::Action;
use super::amend::{
    AMENDMENTS_OF_A_TRADE, Amendment, MOVES_HELD, corrected, counts, counts_action, goes_round, laid_over, root,
};
use super::desk::{Amended, Answer};
use super::history::{Booked, Item, Key, book_item};
use super::in_force::{Contract, in_force};
use super::locks::Locks;
use super::lots::{Book, Figures, Leaving};
use super::moving;
use super::numbers::{ONE, small};
use super::trade;
use super::words::{
    BAD_TARGET, Day, Id, Instrument, NOT_HELD, NOT_RECONCILED, NOT_SUPPORTED, Name, OVERFLOW, OVERSELL, PERIOD_LOCKED,
    Reason, Trade, UNKNOWN_CONTRACT,
};

/// Account and instrument.
pub type Place = (Name, Name);

/// What somebody sees who looks on while everything is booked from the beginning.
#[derive(Debug)]
pub enum Seen<'a> {
    /// The next cause in history, before any position takes it.
    Cause(&'a Item),
    /// What it did to a position.
    Did {
        /// The position.
        place: Place,
        /// The cause.
        cause: &'a Item,
        /// A lot that arrives from another position; `None`: the cause itself is booked here.
        arrival: Option<&'a Leaving>,
        /// The position before.
        before: &'a Book,
        /// The position behind it.
        after: &'a Book,
        /// What was done.
        figures: &'a Figures,
    },
}

/// What was accepted, and the rules by which it is booked.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Versions of contracts, in the order in which they came.
    pub contracts: Vec<Contract>,
    /// Instruments with terms of their own; the others have a multiplier of one.
    pub instruments: BTreeMap<Name, Instrument>,
    /// The business date, once there is one.
    pub today: Option<Day>,
    /// How often it has moved.
    pub moves: usize,
    /// What was accepted before there was one.
    pub dateless: BTreeSet<Id>,
    /// Accepted trades, opening lots and transfers, as they came.
    pub trades: Vec<Trade>,
    /// Accepted actions and resets, as they came.
    pub actions: Vec<Action>,
    /// Accepted amendments, in the order in which they were.
    pub amendments: Vec<Amendment>,
    /// Held ones, each with how often the business date had moved.
    pub held: Vec<(Amendment, usize)>,
    /// What is closed, and what was reported of it.
    pub locks: Locks,
}

impl World {
    /// Terms of an instrument.
    #[must_use]
    pub fn instrument(&self, name: Name) -> Instrument {
        self.instruments.get(&name).copied().unwrap_or(Instrument { multiplier: ONE, currency: None })
    }

    /// Whether a date has come. Before there is a business date nothing waits.
    fn has_come(&self, day: Day) -> bool {
        self.today.is_none_or(|today| day <= today)
    }

    /// Whether what stands on this date is booked. What was booked before there was a business date stays so, until it
    /// is amended: of an amended one the business date decides.
    fn is_due(&self, id: &Id, day: Day) -> bool {
        let is_amended = || self.amendments.iter().any(|other| root(&other.id, &self.amendments) == *id);
        self.has_come(day) || (self.dateless.contains(id) && !is_amended())
    }

    /// Takes an accepted trade in.
    pub fn accept_trade(&mut self, trade: &Trade, known: &BTreeSet<Place>) {
        self.trades.push(trade.clone());
        self.arrived(&trade.id, known);
    }

    /// Takes an accepted action in.
    pub fn accept_action(&mut self, action: &Action, known: &BTreeSet<Place>) {
        self.actions.push(action.clone());
        self.arrived(&action.id, known);
    }

    fn arrived(&mut self, id: &Id, known: &BTreeSet<Place>) {
        if self.today.is_none() {
            self.dateless.insert(id.clone());
        }
        self.follow_all(id, known);
    }

    /// Trades as they count after their amendments, due or not.
    #[must_use]
    pub fn counting(&self) -> Vec<Trade> {
        self.trades.iter().filter_map(|trade| counts(trade, &self.amendments)).collect()
    }

    /// Trades of a position that wait for their date.
    #[must_use]
    pub fn waiting(&self, place: Place) -> Vec<Trade> {
        // A moved one that waits is counted where it came for.
        let of_it = self.trades.iter().filter(|trade| (trade.account, trade.instrument) == place);
        let counting = of_it.filter_map(|trade| counts(trade, &self.amendments));
        counting.filter(|trade| !self.is_due(&trade.id, trade.date)).collect()
    }

    /// Books everything that is due, from the beginning.
    ///
    /// # Errors
    /// A trade that cannot be booked at its place, and why.
    pub fn book(&self) -> Result<BTreeMap<Place, Booked>, (Id, Reason)> {
        self.book_before(&mut |_| ())
    }

    /// The same before somebody who looks on.
    ///
    /// # Errors
    /// As [`Self::book`].
    pub fn book_before(&self, look: &mut dyn FnMut(Seen<'_>)) -> Result<BTreeMap<Place, Booked>, (Id, Reason)> {
        let trades = self.counting().into_iter().filter(|trade| self.is_due(&trade.id, trade.date)).map(Item::Trade);
        let actions = self.actions.iter().filter_map(|action| counts_action(action, &self.amendments));
        let actions =
            actions.filter(|action| self.is_due(&action.id, action.place())).map(|action| Item::Action(0, action));
        let mut causes: Vec<Item> = trades.chain(actions).collect();
        causes.sort_by_cached_key(Item::key);
        let mut books = BTreeMap::new();
        for cause in causes {
            look(Seen::Cause(&cause));
            match cause {
                Item::Trade(ref trade) => self.take(&mut books, (trade.account, trade.instrument), &cause, look)?,
                Item::Action(_, action) => {
                    let of_it = |place: &&Place| place.1 == action.instrument;
                    for place in books.keys().filter(of_it).copied().collect::<Vec<Place>>() {
                        if action.concerns(place.0, &self.contracts) {
                            self.take(&mut books, place, &Item::Action(place.0, action.clone()), look)?;
                        }
                    }
                }
            }
        }
        Ok(books)
    }

    /// One cause on one position, and the arrivals that come of it.
    fn take(
        &self,
        books: &mut BTreeMap<Place, Booked>,
        place: Place,
        cause: &Item,
        look: &mut dyn FnMut(Seen<'_>),
    ) -> Result<(), (Id, Reason)> {
        let key = cause.key();
        let before = &books.entry(place).or_default().book;
        let booked = book_item(before, cause, &self.contracts, &self.instrument(place.1));
        let Some((book, figures)) = booked.map_err(|reason| (key.id.clone(), reason))? else { return Ok(()) };
        look(Seen::Did { place, cause, arrival: None, before, after: &book, figures: &figures });
        let leaves = figures.leaves.clone();
        note(books.entry(place).or_default(), &key, book, figures);
        for arrival in leaves {
            let target = books.entry(arrival.to).or_default();
            let (book, figures) = self.arrive(target, &arrival, key.date).map_err(|reason| (key.id.clone(), reason))?;
            let before = &target.book;
            look(Seen::Did {
                place: arrival.to,
                cause,
                arrival: Some(&arrival),
                before,
                after: &book,
                figures: &figures,
            });
            note(target, &key, book, figures);
        }
        Ok(())
    }

    /// One that would leave a range is passed over.
    fn arrive(&self, target: &Booked, arrival: &Leaving, date: Day) -> Result<(Book, Figures), Reason> {
        let (account, name) = arrival.to;
        let rules = in_force(&self.contracts, account, name, None, date)?;
        match moving::arrive(&target.book, arrival, date, &rules, &self.instrument(name)) {
            Err(OVERFLOW) => Ok((target.book.clone(), Figures { broken: Some(OVERFLOW), ..Figures::default() })),
            done => done,
        }
    }

    /// What is said to a trade, an opening lot or a transfer whose id is new, where every position is as [`Self::book`]
    /// has it. It is not taken in.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn answer(&self, new: &Trade, books: &BTreeMap<Place, Booked>) -> Result<Answer, Reason> {
        let instrument = self.instrument(new.instrument);
        trade::form(new, &instrument)?;
        let rules = in_force(&self.contracts, new.account, new.instrument, new.contract, new.date)?;
        if self.is_closed(new) {
            return Err(PERIOD_LOCKED);
        }
        let place = (new.account, new.instrument);
        if !self.has_come(new.date) {
            let waiting: i128 = self.waiting(place).iter().map(|trade| trade.quantity).sum();
            small(waiting + new.quantity)?;
            return Ok(Answer::Waits);
        }
        let nothing = Booked::default();
        let before = books.get(&place).unwrap_or(&nothing);
        let key = Item::Trade(new.clone()).key();
        let is_late = before.frontier.as_ref().is_some_and(|frontier| key < *frontier);
        let (_, mut figures) = if new.moves() {
            if moving::is_not_held(&before.book, new) {
                return Err(NOT_HELD);
            }
            moving::transfer(&before.book, new, &rules)?
        } else {
            if is_late && trade::oversells(new, before.book.quantity(), &rules) {
                return Err(OVERSELL);
            }
            if !is_late && let Some(reason) = trade::broken(&before.book, new, &rules, &instrument)? {
                return Err(reason);
            }
            trade::book(&before.book, new, &rules, &instrument)?
        };
        match figures.broken.take() {
            Some(reason) if !is_late => Err(reason),
            _ if is_late => Ok(Answer::Late(figures)),
            _ => Ok(Answer::Applied(figures)),
        }
    }

    /// Whether a trade changes a day that is closed to it, here or where it moves lots to.
    #[must_use]
    pub fn is_closed(&self, new: &Trade) -> bool {
        let rules = in_force(&self.contracts, new.account, new.instrument, new.contract, new.date);
        rules.is_ok_and(|rules| self.locks.refuses(new.account, new.date, &rules)) || self.is_closed_elsewhere(new)
    }

    /// Whether the account that a transfer goes to is closed to it.
    fn is_closed_elsewhere(&self, trade: &Trade) -> bool {
        trade.to_account.is_some_and(|to| self.refuses_at((to, trade.instrument), trade.date))
    }

    /// Whether the rules in force for a position, with no contract named, refuse a change on this date.
    fn refuses_at(&self, place: Place, date: Day) -> bool {
        let rules = in_force(&self.contracts, place.0, place.1, None, date);
        rules.is_ok_and(|rules| self.locks.refuses(place.0, date, &rules))
    }

    /// Whether one of these positions refuses a change of the instrument on this date.
    fn refuses_for(&self, instrument: Name, date: Day, known: &BTreeSet<Place>) -> bool {
        known.iter().any(|place| place.1 == instrument && self.refuses_at(*place, date))
    }

    /// What is said to an action whose id is new. `known`: positions that ever had an item.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn answer_action(&self, new: &Action, known: &BTreeSet<Place>) -> Result<(), Reason> {
        new.form()?;
        match new.named_contract() {
            Some(name) if self.contracts.iter().all(|version| version.id != name) => Err(UNKNOWN_CONTRACT),
            _ if self.refuses_for(new.instrument, new.place(), known) => Err(PERIOD_LOCKED),
            _ => Ok(()),
        }
    }

    /// What is said to a version of a contract.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn answer_contract(&self, new: &Contract, books: &BTreeMap<Place, Booked>) -> Result<(), Reason> {
        let reaches = |booked: &Booked| booked.frontier.as_ref().is_some_and(|key| key.date >= new.from);
        let refuses = |(place, booked): (&Place, &Booked)| {
            new.covers(place.0, place.1) && reaches(booked) && self.refuses_at(*place, new.from)
        };
        if books.iter().any(refuses) { Err(PERIOD_LOCKED) } else { Ok(()) }
    }

    /// An account, or all of them, is to be closed up to and with a date. `settled`: whether every position that it
    /// concerns is RECONCILED.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn lock(
        &mut self,
        account: Option<Name>,
        through: Day,
        settled: bool,
        books: &BTreeMap<Place, Booked>,
    ) -> Result<(), Reason> {
        self.locks.form(account, through, self.today)?;
        if !settled {
            return Err(NOT_RECONCILED);
        }
        self.locks.close(account, through, books);
        Ok(())
    }

    /// The trade or action at the root of what an id amends.
    fn is_known(&self, id: &Id) -> bool {
        let root = root(id, &self.amendments);
        self.trades.iter().any(|trade| trade.id == root) || self.actions.iter().any(|action| action.id == root)
    }

    /// An amendment comes. Its id is new. What was held for it follows by [`Self::follow`]. `known`: positions that ever
    /// had an item.
    pub fn amend(&mut self, new: &Amendment, known: &BTreeSet<Place>) -> Amended {
        let done = match new.changes.as_ref().map_or(Ok(()), super::amend::Changes::form) {
            Err(reason) => Err(reason),
            Ok(()) if goes_round(new, &self.held) => Err(BAD_TARGET),
            Ok(()) if self.is_known(&new.target) => self.accept(new, known),
            Ok(()) => {
                self.held.push((new.clone(), self.moves));
                return Amended::Held;
            }
        };
        done.map_or_else(Amended::Refused, |()| Amended::Accepted)
    }

    fn accept(&mut self, new: &Amendment, known: &BTreeSet<Place>) -> Result<(), Reason> {
        let root_id = root(&new.target, &self.amendments);
        let of_amendment = root_id != new.target;
        if new.changes.is_some() && of_amendment {
            return Err(NOT_SUPPORTED);
        }
        let of = |name: Option<Name>, own: Name| name.is_none_or(|name| name == own);
        if let Some(trade) = self.trades.iter().find(|trade| trade.id == root_id) {
            let own = of(new.account, trade.account) && of(new.instrument, trade.instrument);
            let may_move = new.changes.is_some() && !trade.moves();
            if !(own || may_move) || new.changes.as_ref().is_some_and(|changes| changes.of_actions.is_some()) {
                return Err(NOT_SUPPORTED);
            }
        }
        if let Some(action) = self.actions.iter().find(|action| action.id == root_id) {
            if new.account.is_some() || !of(new.instrument, action.instrument) {
                return Err(NOT_SUPPORTED);
            }
            if new.changes.as_ref().is_some_and(|changes| !changes.fits(action)) {
                return Err(NOT_SUPPORTED);
            }
            let named = new.changes.as_ref().and_then(|changes| changes.contract);
            if named.is_some_and(|name| self.contracts.iter().all(|version| version.id != name)) {
                return Err(UNKNOWN_CONTRACT);
            }
        }
        let so_far = self.amendments.iter().filter(|other| root(&other.id, &self.amendments) == root_id).count();
        if so_far == AMENDMENTS_OF_A_TRADE {
            return Err("TOO_MANY_AMENDMENTS");
        }
        let closed = self.is_closed_to(&root_id, known);
        self.amendments.push(new.clone());
        let action = self.actions.iter().find(|action| action.id == root_id);
        let form = match action.filter(|_| new.changes.is_some()) {
            Some(action) => corrected(action, &self.amendments).form(),
            None => Ok(()),
        };
        let done = match form {
            Ok(()) if closed || self.is_closed_to(&root_id, known) => Err(PERIOD_LOCKED),
            form => form,
        };
        done.inspect_err(|_| drop(self.amendments.pop()))
    }

    /// Whether the lock refuses an amendment of what is at this root, as it is corrected by now.
    fn is_closed_to(&self, root_id: &Id, known: &BTreeSet<Place>) -> bool {
        if let Some(action) = self.actions.iter().find(|action| action.id == *root_id) {
            return self.refuses_for(action.instrument, corrected(action, &self.amendments).place(), known);
        }
        let trade =
            self.trades.iter().find(|trade| trade.id == *root_id).map(|trade| laid_over(trade, &self.amendments));
        trade.is_some_and(|trade| {
            self.refuses_at((trade.account, trade.instrument), trade.date) || self.is_closed_elsewhere(&trade)
        })
    }

    /// After a target came: the next amendment that was held for it, by key, and what became of it.
    pub fn follow(&mut self, target: &Id, known: &BTreeSet<Place>) -> Option<(Amendment, Amended)> {
        let next = self.held.iter().filter(|(held, _)| held.target == *target).min_by_key(|(held, _)| held.key())?;
        let next = next.0.clone();
        self.held.retain(|(held, _)| held.id != next.id);
        let done = self.accept(&next, known).map_or_else(Amended::Refused, |()| Amended::Accepted);
        Some((next, done))
    }

    /// All that follows the coming of an id.
    pub fn follow_all(&mut self, target: &Id, known: &BTreeSet<Place>) {
        while let Some((next, done)) = self.follow(target, known) {
            if done == Amended::Accepted {
                self.follow_all(&next.id, known);
            }
        }
    }

    /// The business date moves on; held amendments whose time has run out are gone.
    pub fn move_date(&mut self, today: Day) {
        self.moves += usize::from(self.today != Some(today));
        self.today = Some(today);
        let moves = self.moves;
        self.held.retain(|(_, since)| moves - since < MOVES_HELD);
    }
}

/// Notes what a cause did to a position.
fn note(booked: &mut Booked, key: &Key, book: Book, mut figures: Figures) {
    figures.date = key.date;
    booked.frontier = Some(key.clone());
    booked.breaks.extend(figures.broken.map(|reason| (key.id.clone(), reason)));
    booked.items.push((key.id.clone(), figures));
    booked.book = book;
}
