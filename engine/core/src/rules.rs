//! Contract rules: lot method and permission to go short, by account, instrument and effective date.
//!
//! Which contract is in force for a trade: the one it names; else the most specific that covers it:
//! (account, instrument), (account, any), (any, instrument), (any, any); else [`Rules::DEFAULT`].
//! Of that contract, the version with the greatest effective date not after the trade's. Of two
//! versions with one date the later event wins.

use alloc::vec::Vec;

use crate::date::Date;
use crate::event::Reason;
use crate::id::{NO_NAME, NameId};

/// How lots are chosen when a position is reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LotMethod {
    /// First in, first out, by the chronological key.
    Fifo = 0,
    /// Last in, first out.
    Lifo = 1,
    /// Highest unit price first; ties by the chronological key, earlier first. For short lots too,
    /// where it realizes the greatest gain first.
    Hifo = 2,
}

impl LotMethod {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::Fifo, Self::Lifo, Self::Hifo];

    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fifo => "FIFO",
            Self::Lifo => "LIFO",
            Self::Hifo => "HIFO",
        }
    }

    /// From the wire name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|method| *method as u8 == value)
    }
}

/// The rules that decide about one trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Lot method.
    pub method: LotMethod,
    /// Whether the position may be short.
    pub allow_short: bool,
}

impl Rules {
    /// With no contract in force: FIFO, no short positions.
    pub const DEFAULT: Self = Self { method: LotMethod::Fifo, allow_short: false };
}

/// A contract's rules from a date on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContractTerms {
    /// Interned contract id.
    pub contract: NameId,
    /// Interned account, or `NO_NAME` for all.
    pub account: NameId,
    /// Interned instrument, or `NO_NAME` for all.
    pub instrument: NameId,
    /// The rules.
    pub rules: Rules,
    /// From this date on.
    pub effective_date: Date,
}

impl ContractTerms {
    fn covers(&self, account: NameId, instrument: NameId) -> bool {
        (self.account == NO_NAME || self.account == account)
            && (self.instrument == NO_NAME || self.instrument == instrument)
    }

    fn scope(&self) -> Scope {
        (self.account, self.instrument)
    }
}

type Scope = (NameId, NameId);

/// All contract versions that were accepted, in the order of their events.
///
/// Lookups walk a short sorted list: contracts are few, and a position caches its scope.
#[derive(Clone, Debug, Default)]
pub struct ContractBook {
    /// Sorted by (account, instrument, effective date, arrival).
    by_scope: Vec<ContractTerms>,
    /// Sorted by (contract, effective date, arrival).
    by_id: Vec<ContractTerms>,
    /// In the order of arrival, for images.
    arrived: Vec<ContractTerms>,
    capacity: usize,
}

impl ContractBook {
    /// Room for `capacity` versions.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            by_scope: Vec::with_capacity(capacity),
            by_id: Vec::with_capacity(capacity),
            arrived: Vec::with_capacity(capacity),
            capacity,
        }
    }

    /// Whether another version fits.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.arrived.len() < self.capacity
    }

    /// Versions in the order of arrival.
    #[must_use]
    pub fn versions(&self) -> &[ContractTerms] {
        &self.arrived
    }

    /// Takes a version. The caller has checked for room.
    pub fn insert(&mut self, terms: ContractTerms) {
        assert!(self.has_room());
        self.arrived.push(terms);
        let at =
            self.by_scope.partition_point(|t| (t.scope(), t.effective_date) <= (terms.scope(), terms.effective_date));
        self.by_scope.insert(at, terms);
        let at =
            self.by_id.partition_point(|t| (t.contract, t.effective_date) <= (terms.contract, terms.effective_date));
        self.by_id.insert(at, terms);
    }

    /// The rules in force for a trade on `date`.
    ///
    /// # Errors
    /// A named contract that is unknown, or not in force for this position and date.
    pub fn in_force(&self, account: NameId, instrument: NameId, contract: NameId, date: Date) -> Result<Rules, Reason> {
        if contract != NO_NAME {
            return self.named(account, instrument, contract, date);
        }
        if self.by_scope.is_empty() {
            return Ok(Rules::DEFAULT);
        }
        let scopes = [(account, instrument), (account, NO_NAME), (NO_NAME, instrument), (NO_NAME, NO_NAME)];
        Ok(scopes.into_iter().find_map(|scope| self.scoped(scope, date)).unwrap_or(Rules::DEFAULT))
    }

    fn scoped(&self, scope: Scope, date: Date) -> Option<Rules> {
        let after = self.by_scope.partition_point(|t| (t.scope(), t.effective_date) <= (scope, date));
        let found = self.by_scope.get(after.checked_sub(1)?)?;
        (found.scope() == scope).then_some(found.rules)
    }

    fn named(&self, account: NameId, instrument: NameId, contract: NameId, date: Date) -> Result<Rules, Reason> {
        let after = self.by_id.partition_point(|t| (t.contract, t.effective_date) <= (contract, date));
        let first = self.by_id.partition_point(|t| t.contract < contract);
        if self.by_id.get(first).is_none_or(|t| t.contract != contract) {
            return Err(Reason::UnknownContract);
        }
        self.by_id[first..after]
            .iter()
            .rev()
            .find(|t| t.covers(account, instrument))
            .map(|t| t.rules)
            .ok_or(Reason::ContractNotInForce)
    }
}
