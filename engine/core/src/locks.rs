//! Period locks: dates up to which history is closed, for one account or for all. `docs/rules.md`, section 14.

use alloc::vec::Vec;

use crate::date::Date;
use crate::digest;
use crate::id::NameId;

/// Closed periods of a book.
#[derive(Debug)]
pub struct Locks {
    all: Date,
    /// By account, dense as the accounts' numbers are; [`Date::NONE`]: never closed.
    of: Vec<Date>,
    /// The latest of all dates here: before it, and only there, a lock is worth a look.
    latest: Date,
}

impl Locks {
    /// Room for `accounts` accounts; nothing is closed.
    #[must_use]
    pub fn new(accounts: usize) -> Self {
        Self { all: Date::NONE, of: Vec::with_capacity(accounts), latest: Date::NONE }
    }

    /// An account was defined; the caller has checked for room.
    pub(crate) fn add_account(&mut self) {
        self.of.push(Date::NONE);
    }

    /// The date up to which an account is closed, [`Date::NONE`] where it is not.
    #[inline]
    #[must_use]
    pub fn through(&self, account: NameId) -> Date {
        self.of.get(account as usize).map_or(self.all, |&own| own.max(self.all))
    }

    /// The lock of all accounts together.
    #[must_use]
    pub fn through_all(&self) -> Date {
        self.all
    }

    /// An account's own lock.
    #[must_use]
    pub fn own(&self, account: NameId) -> Date {
        self.of.get(account as usize).copied().unwrap_or(Date::NONE)
    }

    /// The latest date that is closed for anyone.
    #[inline]
    #[must_use]
    pub fn latest(&self) -> Date {
        self.latest
    }

    /// Closes history for an account, or for all. Never opens it again: the caller has checked.
    pub(crate) fn close(&mut self, account: Option<NameId>, through: Date) {
        match account {
            Some(account) => self.of[account as usize] = through,
            None => self.all = through,
        }
        self.latest = self.latest.max(through);
    }

    /// Digest; `hash_of` gives the hash of an account's name.
    pub(crate) fn digest(&self, hash_of: impl Fn(NameId) -> u64) -> u64 {
        if self.latest == Date::NONE {
            return 0;
        }
        let closed = self.of.iter().enumerate().filter(|(_, date)| **date != Date::NONE);
        let sum = closed.fold(0u64, |sum, (account, date)| {
            sum.wrapping_add(digest::mix(hash_of(account as NameId), u64::from(date.0 as u32)))
        });
        digest::mix(sum, u64::from(self.all.0 as u32))
    }
}
