//! Period locks and adjustments of the naive model (rule 14).

use std::collections::BTreeMap;

use super::history::Booked;
use super::in_force::Rules;
use super::words::{BAD_DATE, Day, LOCK_BACK, Name, Reason};
use super::world::Place;

/// Sums over the closed days of a position: realized, of it long-term, realized in base, fees, dividends.
pub type Closed = [i128; 5];

/// The closed figures of a position up to and with a date.
#[must_use]
pub fn closed_figures(booked: &Booked, through: Day) -> Closed {
    let mut sums = [0; 5];
    for (_, item) in booked.items.iter().filter(|(_, item)| item.date <= through) {
        let of = [item.realized, item.realized_long, item.realized_base, item.fees, item.dividends];
        sums.iter_mut().zip(of).for_each(|(sum, more)| *sum += more);
    }
    sums
}

/// What is closed, and what was reported of it.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    /// By account; `None`: all of them.
    through: BTreeMap<Option<Name>, Day>,
    /// What was reported when the account's closed date moved last.
    reported: BTreeMap<Name, BTreeMap<Place, Closed>>,
}

impl Locks {
    /// The date up to which an account is closed.
    #[must_use]
    pub fn closed(&self, account: Name) -> Option<Day> {
        let of = |key: Option<Name>| self.through.get(&key).copied();
        of(Some(account)).max(of(None))
    }

    /// Whether a change of this account's history on this date is refused.
    #[must_use]
    pub fn refuses(&self, account: Name, date: Day, rules: &Rules) -> bool {
        !rules.locked_changes_adjust && self.closed(account).is_some_and(|through| date <= through)
    }

    /// Whether the lock may be at all.
    ///
    /// # Errors
    /// `LOCK_BACK`, `BAD_DATE`.
    pub fn form(&self, account: Option<Name>, through: Day, today: Option<Day>) -> Result<(), Reason> {
        let closed = match account {
            Some(name) => self.closed(name),
            None => self.through.get(&None).copied(),
        };
        if closed.is_some_and(|closed| through < closed) {
            return Err(LOCK_BACK);
        }
        if today.is_some_and(|today| through > today) { Err(BAD_DATE) } else { Ok(()) }
    }

    /// Closes; of accounts whose closed date moves the closed figures are reported anew.
    pub fn close(&mut self, account: Option<Name>, through: Day, books: &BTreeMap<Place, Booked>) {
        let before = self.clone();
        self.through.insert(account, through);
        for name in books.keys().map(|place| place.0).collect::<std::collections::BTreeSet<Name>>() {
            let closed = self.closed(name);
            if closed == before.closed(name) {
                continue;
            }
            let of_it = books.iter().filter(|(place, _)| place.0 == name);
            let figures = of_it.filter_map(|(place, booked)| Some((*place, closed_figures(booked, closed?))));
            self.reported.insert(name, figures.collect());
        }
    }

    /// What the open period of a position's account carries for it: nothing where all of it is zero.
    #[must_use]
    pub fn adjustment(&self, place: Place, booked: &Booked) -> Option<(Day, Closed)> {
        let through = self.closed(place.0)?;
        let reported = self.reported.get(&place.0).and_then(|of| of.get(&place)).copied().unwrap_or_default();
        let mut now = closed_figures(booked, through);
        now.iter_mut().zip(reported).for_each(|(now, before)| *now -= before);
        (now != [0; 5]).then_some((through, now))
    }
}
