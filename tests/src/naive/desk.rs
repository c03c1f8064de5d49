//! What the naive model says to each input as it comes: accepted, late, waiting, held, refused (rules 2, 4, 9).

use std::collections::{BTreeMap, BTreeSet};

use super::amend::{AMENDMENTS_OF_A_TRADE, Amendment, MOVES_HELD, counts, goes_round, root};
use super::history::{Booked, Item, Key, book_all, book_item};
use super::in_force::{Contract, in_force};
use super::lots::{Book, Figures};
use super::numbers::{ONE, small};
use super::trade;
use super::words::{BAD_TARGET, Day, Id, Instrument, NOT_SUPPORTED, Name, OVERSELL, Reason, Trade};

/// What became of a trade when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Booked at its place.
    Applied(Figures),
    /// Late: booked as an estimate until the replay.
    Late(Figures),
    /// Accepted, and waits for its date.
    Waits,
    /// Refused.
    Refused(Reason),
}

/// What became of an amendment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amended {
    /// Accepted: its position awaits the replay.
    Accepted,
    /// Its target is unknown.
    Held,
    /// Refused, or held and given up.
    Refused(Reason),
}

/// An accepted trade.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// As it came.
    pub trade: Trade,
    /// Its date has come.
    pub is_due: bool,
}

/// A position as it is shown.
#[derive(Clone, Debug, Default)]
pub struct Position {
    /// Lots and totals: exact, or an estimate.
    pub book: Book,
    /// Accepted items that were late since the last replay, and amendments.
    pub late: usize,
    /// Accepted items that break a rule at their place.
    pub breaks: Vec<(Id, Reason)>,
    /// The breaks that an operator has resolved.
    pub resolved: Vec<(Id, Reason)>,
    /// The greatest key that was booked.
    pub frontier: Option<Key>,
    /// All that was accepted, as it came.
    pub accepted: Vec<Accepted>,
    /// What waits for its date, as it counts.
    pub waiting: Vec<Trade>,
    /// Amended since the last replay: of all figures only these two are said, quantity and what waits.
    pub amended: Option<(i128, i128)>,
}

impl Position {
    /// RECONCILED, PROVISIONAL or PENDING.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.late {
            0 if same_set(&self.breaks, &self.resolved) => "RECONCILED",
            0 => "PENDING",
            _ => "PROVISIONAL",
        }
    }
}

/// Whether breaks are the same, in whatever order.
#[must_use]
pub fn same_set(a: &[(Id, Reason)], b: &[(Id, Reason)]) -> bool {
    a.iter().collect::<BTreeSet<_>>() == b.iter().collect::<BTreeSet<_>>()
}

/// All positions, and what inputs are held against.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// Versions of contracts, in the order in which they came.
    pub contracts: Vec<Contract>,
    /// Instruments with terms of their own; the others have a multiplier of one.
    pub instruments: BTreeMap<Name, Instrument>,
    /// The business date, once there is one.
    pub today: Option<Day>,
    /// How often it has moved.
    pub moves: usize,
    /// By account and instrument.
    pub positions: BTreeMap<(Name, Name), Position>,
    /// Where each accepted trade is.
    pub places: BTreeMap<Id, (Name, Name)>,
    /// Accepted amendments, in the order in which they were.
    pub amendments: Vec<Amendment>,
    /// Held ones, each with how often the business date had moved.
    pub held: Vec<(Amendment, usize)>,
}

/// Trades as they count after their amendments: what is booked, and what waits.
fn effective(position: &Position, amendments: &[Amendment], today: Option<Day>) -> (Vec<Trade>, Vec<Trade>) {
    let (mut booked, mut waiting) = (Vec::new(), Vec::new());
    let amended: BTreeSet<Id> = amendments.iter().map(|other| root(&other.id, amendments)).collect();
    for Accepted { trade, is_due } in &position.accepted {
        let is_amended = amended.contains(&trade.id);
        // Of an amended trade the business date decides.
        match if is_amended { counts(trade, amendments) } else { Some(trade.clone()) } {
            Some(trade) if is_amended && today.is_some_and(|today| trade.date > today) => waiting.push(trade),
            Some(trade) if is_amended || *is_due => booked.push(trade),
            Some(trade) => waiting.push(trade),
            None => {}
        }
    }
    (booked, waiting)
}

impl Desk {
    /// Terms of an instrument.
    #[must_use]
    pub fn instrument(&self, name: Name) -> Instrument {
        self.instruments.get(&name).copied().unwrap_or(Instrument { multiplier: ONE, currency: None })
    }

    /// A trade or an opening lot comes. Its id is new. Amendments that were held for it follow: [`Self::follow`].
    pub fn trade(&mut self, new: &Trade) -> Answer {
        self.try_trade(new).unwrap_or_else(Answer::Refused)
    }

    fn try_trade(&mut self, new: &Trade) -> Result<Answer, Reason> {
        let instrument = self.instrument(new.instrument);
        trade::form(new, &instrument)?;
        let rules = in_force(&self.contracts, new.account, new.instrument, new.contract, new.date)?;
        let place = (new.account, new.instrument);
        let mut after = self.positions.get(&place).cloned().unwrap_or_default();
        let waits = self.today.is_some_and(|today| new.date > today);
        after.accepted.push(Accepted { trade: new.clone(), is_due: !waits });
        let answer = if waits {
            after.waiting.push(new.clone());
            small(after.waiting.iter().map(|trade| trade.quantity).sum())?;
            Answer::Waits
        } else {
            let key = Item::Trade(new.clone()).key();
            let late = after.frontier.as_ref().is_some_and(|frontier| key < *frontier);
            if late {
                if trade::oversells(new, after.book.quantity(), &rules) {
                    return Err(OVERSELL);
                }
                after.late += 1;
            } else if let Some(reason) = trade::broken(&after.book, new, &rules, &instrument)? {
                return Err(reason);
            } else {
                after.frontier = Some(key);
            }
            let (book, mut figures) = trade::book(&after.book, new, &rules, &instrument)?;
            figures.broken = None;
            after.book = book;
            if late { Answer::Late(figures) } else { Answer::Applied(figures) }
        };
        self.positions.insert(place, after);
        self.places.insert(new.id.clone(), place);
        Ok(answer)
    }

    /// An amendment comes. Its id is new.
    pub fn amend(&mut self, new: &Amendment) -> Amended {
        let done = match new.changes.as_ref().map_or(Ok(()), super::amend::Changes::form) {
            Err(reason) => Err(reason),
            Ok(()) if goes_round(new, &self.held) => Err(BAD_TARGET),
            Ok(()) => match self.place_of(&new.target) {
                Some(place) => self.accept(new, place),
                None => {
                    self.held.push((new.clone(), self.moves));
                    return Amended::Held;
                }
            },
        };
        done.map_or_else(Amended::Refused, |()| Amended::Accepted)
    }

    /// The position of an accepted trade or amendment.
    #[must_use]
    pub fn place_of(&self, id: &Id) -> Option<(Name, Name)> {
        self.places.get(&root(id, &self.amendments)).copied()
    }

    fn accept(&mut self, new: &Amendment, place: (Name, Name)) -> Result<(), Reason> {
        let of_amendment = !self.places.contains_key(&new.target);
        let elsewhere =
            new.account.is_some_and(|name| name != place.0) || new.instrument.is_some_and(|name| name != place.1);
        if (new.changes.is_some() && of_amendment) || elsewhere {
            return Err(NOT_SUPPORTED);
        }
        let trade = root(&new.target, &self.amendments);
        let so_far = self.amendments.iter().filter(|other| root(&other.id, &self.amendments) == trade).count();
        if so_far == AMENDMENTS_OF_A_TRADE {
            return Err("TOO_MANY_AMENDMENTS");
        }
        let mut all = self.amendments.clone();
        all.push(new.clone());
        let position = self.positions.get_mut(&place).expect("a position");
        let (booked, waiting) = effective(position, &all, self.today);
        small(waiting.iter().map(|trade| trade.quantity).sum())?;
        let quantity = small(booked.iter().map(Trade::signed).sum())?;
        position.amended = Some((quantity, waiting.iter().map(Trade::signed).sum()));
        position.late += 1;
        self.amendments = all;
        Ok(())
    }

    /// After a target came: the next amendment that was held for it, by key, and what became of it.
    pub fn follow(&mut self, target: &Id) -> Option<(Amendment, Amended)> {
        let next = self.held.iter().filter(|(held, _)| held.target == *target).min_by_key(|(held, _)| held.key())?;
        let next = next.0.clone();
        self.held.retain(|(held, _)| held.id != next.id);
        let place = self.place_of(target).expect("it came");
        let done = self.accept(&next, place).map_or_else(Amended::Refused, |()| Amended::Accepted);
        Some((next, done))
    }

    /// The business date moves on. Gives the held amendments whose time has run out.
    pub fn move_date(&mut self, today: Day) -> Vec<Amendment> {
        if self.today != Some(today) {
            self.moves += 1;
        }
        self.today = Some(today);
        let moves = self.moves;
        let (overdue, held) = self.held.drain(..).partition(|(_, since)| moves - since >= MOVES_HELD);
        self.held = held;
        Vec::into_iter(overdue).map(|(amendment, _)| amendment).collect()
    }

    /// What waited for a date up to today is booked. Gives what each trade did.
    ///
    /// # Errors
    /// The id of a trade that cannot be booked, and why; it goes on waiting.
    pub fn mature(&mut self) -> Result<Vec<(Id, Figures)>, (Id, Reason)> {
        let today = self.today.expect("a business date");
        let mut all = Vec::new();
        for ((_, name), position) in &mut self.positions {
            let instrument =
                self.instruments.get(name).copied().unwrap_or(Instrument { multiplier: ONE, currency: None });
            position.waiting.sort_by_cached_key(|trade| Item::Trade(trade.clone()).key());
            while position.waiting.first().is_some_and(|trade| trade.date <= today) {
                let item = Item::Trade(position.waiting[0].clone());
                let key = item.key();
                let (book, figures) = book_item(&position.book, &item, &self.contracts, &instrument)
                    .map_err(|reason| (key.id.clone(), reason))?
                    .expect("a trade is never passed over");
                position.waiting.remove(0);
                position.book = book;
                if position.frontier.as_ref().is_some_and(|frontier| key < *frontier) {
                    position.late += 1;
                } else {
                    position.frontier = Some(key.clone());
                }
                position.breaks.extend(figures.broken.map(|reason| (key.id.clone(), reason)));
                for accepted in position.accepted.iter_mut().filter(|accepted| accepted.trade.id == key.id) {
                    accepted.is_due = true;
                }
                all.push((key.id, figures));
                // What was resolved stays so until there are other breaks.
                if !same_set(&position.breaks, &position.resolved) {
                    position.resolved.clear();
                }
            }
        }
        Ok(all)
    }

    /// Books a position's history anew and shows the result.
    ///
    /// # Errors
    /// Why an item cannot be booked at all; the position stays as it is.
    pub fn replay(&mut self, account: Name, name: Name) -> Result<Booked, Reason> {
        let instrument = self.instrument(name);
        let position = self.positions.get_mut(&(account, name)).expect("a position");
        let (booked, waiting) = effective(position, &self.amendments, self.today);
        let items: Vec<Item> = booked.into_iter().map(Item::Trade).collect();
        let booked = book_all(items, &self.contracts, &instrument)?;
        for accepted in &mut position.accepted {
            accepted.is_due = waiting.iter().all(|trade| trade.id != accepted.trade.id);
        }
        (position.book, position.frontier, position.waiting) = (booked.book.clone(), booked.frontier.clone(), waiting);
        (position.late, position.breaks, position.amended) = (0, booked.breaks.clone(), None);
        // What was resolved stays so until there are other breaks.
        if !same_set(&position.breaks, &position.resolved) {
            position.resolved.clear();
        }
        Ok(booked)
    }

    /// An operator resolves the breaks of a position that is PENDING.
    pub fn resolve(&mut self, account: Name, instrument: Name) {
        let position = self.positions.get_mut(&(account, instrument)).expect("a position");
        position.resolved = position.breaks.clone();
    }
}
