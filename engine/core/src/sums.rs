//! What a book keeps of all its positions: digests, and how many are not RECONCILED.
//!
//! A position remembers what it was counted with, so whoever changes one calls [`Sums::refresh`] at the
//! end, and nobody counts by hand.

use alloc::vec::Vec;

use crate::digest;
use crate::id::NameId;
use crate::position::{Position, Reconciliation};

/// What one position was counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    economic: u64,
    full: u64,
    reconciliation: Reconciliation,
}

impl Counted {
    /// Not counted yet.
    pub(crate) const NOTHING: Self = Self { economic: 0, full: 0, reconciliation: Reconciliation::Reconciled };
}

/// Sums over all positions of a book.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) economic: u64,
    pub(crate) full: u64,
    /// Positions that are PROVISIONAL.
    pub(crate) provisional: usize,
    /// Positions that are PROVISIONAL or PENDING.
    unreconciled: usize,
    /// The same by account, dense as the accounts' numbers are.
    unreconciled_of: Vec<u32>,
}

impl Sums {
    /// Room for `accounts` accounts.
    pub(crate) fn new(accounts: usize) -> Self {
        Self { economic: 0, full: 0, provisional: 0, unreconciled: 0, unreconciled_of: Vec::with_capacity(accounts) }
    }

    /// An account was defined; the caller has checked for room.
    pub(crate) fn add_account(&mut self) {
        assert!(self.unreconciled_of.len() < self.unreconciled_of.capacity());
        self.unreconciled_of.push(0);
    }

    /// Positions that are not RECONCILED: of one account, or of all.
    pub(crate) fn unreconciled(&self, account: Option<NameId>) -> usize {
        match account {
            Some(account) => self.unreconciled_of.get(account as usize).map_or(0, |&count| count as usize),
            None => self.unreconciled,
        }
    }

    /// Counts a position as it is now instead of as it was.
    #[inline]
    pub(crate) fn refresh(&mut self, position: &mut Position) {
        let economic = digest::economic(position);
        let now =
            Counted { economic, full: digest::full(position, economic), reconciliation: position.reconciliation() };
        let was = core::mem::replace(&mut position.counted, now);
        self.economic = self.economic.wrapping_sub(was.economic).wrapping_add(now.economic);
        self.full = self.full.wrapping_sub(was.full).wrapping_add(now.full);
        if was.reconciliation != now.reconciliation {
            self.recount(position.account, was.reconciliation, now.reconciliation);
        }
    }

    #[cold]
    fn recount(&mut self, account: NameId, was: Reconciliation, now: Reconciliation) {
        let provisional = |status| usize::from(status == Reconciliation::Provisional);
        let open = |status| u32::from(status != Reconciliation::Reconciled);
        self.provisional = self.provisional + provisional(now) - provisional(was);
        self.unreconciled = self.unreconciled + open(now) as usize - open(was) as usize;
        let of = &mut self.unreconciled_of[account as usize];
        *of = *of + open(now) - open(was);
    }
}
