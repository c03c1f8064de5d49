//! What the naive model says to each input as it comes: accepted, late, waiting, refused (rules 2, 4, 9).

use std::collections::BTreeMap;

use super::history::{Booked, Item, Key, book_all, book_item};
use super::in_force::{Contract, in_force};
use super::lots::{Book, Figures};
use super::numbers::{ONE, small};
use super::trade;
use super::words::{Day, Id, Instrument, Name, OVERSELL, Reason, Trade};

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

/// A position as it is shown.
#[derive(Clone, Debug, Default)]
pub struct Position {
    /// Lots and totals: exact, or an estimate.
    pub book: Book,
    /// Accepted items that were late since the last replay.
    pub late: usize,
    /// Accepted trades that break a rule at their place.
    pub breaks: usize,
    /// The greatest key that was booked.
    pub frontier: Option<Key>,
    /// All that was accepted and is due.
    pub items: Vec<Item>,
    /// What waits for its date.
    pub waiting: Vec<Trade>,
}

impl Position {
    /// RECONCILED, PROVISIONAL or PENDING.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match (self.late, self.breaks) {
            (0, 0) => "RECONCILED",
            (0, _) => "PENDING",
            _ => "PROVISIONAL",
        }
    }
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
    /// By account and instrument.
    pub positions: BTreeMap<(Name, Name), Position>,
}

impl Desk {
    /// Terms of an instrument.
    #[must_use]
    pub fn instrument(&self, name: Name) -> Instrument {
        self.instruments.get(&name).copied().unwrap_or(Instrument { multiplier: ONE, currency: None })
    }

    /// A trade or an opening lot comes. Its id is new.
    pub fn trade(&mut self, new: &Trade) -> Answer {
        self.try_trade(new).unwrap_or_else(Answer::Refused)
    }

    fn try_trade(&mut self, new: &Trade) -> Result<Answer, Reason> {
        let instrument = self.instrument(new.instrument);
        trade::form(new, &instrument)?;
        let rules = in_force(&self.contracts, new.account, new.instrument, new.contract, new.date)?;
        let place = (new.account, new.instrument);
        let mut after = self.positions.get(&place).cloned().unwrap_or_default();
        let answer = if self.today.is_some_and(|today| new.date > today) {
            after.waiting.push(new.clone());
            small(after.waiting.iter().map(|trade| trade.quantity).sum())?;
            Answer::Waits
        } else {
            let item = Item::Trade(new.clone());
            let key = item.key();
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
            after.items.push(item);
            if late { Answer::Late(figures) } else { Answer::Applied(figures) }
        };
        self.positions.insert(place, after);
        Ok(answer)
    }

    /// The business date moves on, and what waited for a date up to it is booked. Gives what each trade did.
    ///
    /// # Errors
    /// The id of a trade that cannot be booked, and why; it goes on waiting.
    pub fn set_today(&mut self, today: Day) -> Result<Vec<(Id, Figures)>, (Id, Reason)> {
        self.today = Some(today);
        let mut all = Vec::new();
        for ((_, name), position) in &mut self.positions {
            let instrument =
                self.instruments.get(name).copied().unwrap_or(Instrument { multiplier: ONE, currency: None });
            position.waiting.sort_by_cached_key(|trade| Item::Trade(trade.clone()).key());
            while position.waiting.first().is_some_and(|trade| trade.date <= today) {
                let item = Item::Trade(position.waiting[0].clone());
                let key = item.key();
                let (book, figures) = book_item(&position.book, &item, &self.contracts, &instrument)
                    .map_err(|reason| (key.id.clone(), reason))?;
                position.waiting.remove(0);
                position.book = book;
                if position.frontier.as_ref().is_some_and(|frontier| key < *frontier) {
                    position.late += 1;
                } else {
                    position.frontier = Some(key.clone());
                }
                position.breaks += usize::from(figures.broken.is_some());
                position.items.push(item);
                all.push((key.id, figures));
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
        let booked = book_all(position.items.clone(), &self.contracts, &instrument)?;
        position.book = booked.book.clone();
        (position.late, position.breaks) = (0, booked.breaks.len());
        Ok(booked)
    }
}
