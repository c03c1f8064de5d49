//! The state of a shard.

use alloc::vec::Vec;
use core::hint::black_box;

use hashbrown::HashTable;

use crate::action::split_price;
use crate::action_input::ActionKind;
use crate::actions::ActionBook;
use crate::amendments::Amendments;
use crate::closed::Adjustments;
use crate::command::{InstrumentTerms, NameClass};
use crate::date::Date;
use crate::digest;
use crate::forward::Forwards;
use crate::held::HeldSet;
use crate::id::{ChronoKey, NO_NAME, NameId};
use crate::legs::{Leaving, Legs};
use crate::limits::{LOOK_AHEAD_MAX, LOTS_PER_POSITION_MAX, Limits};
use crate::locks::Locks;
use crate::lots::{Lot, LotArena};
use crate::mark::{Marked, Marks};
use crate::names::Names;
use crate::position::Position;
use crate::rules::ContractBook;
use crate::sums::Sums;

/// "No position": the position of a refused trade that would have opened one.
pub const NO_POSITION: u32 = u32::MAX;

/// An instrument's terms and marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Terms.
    pub terms: InstrumentTerms,
    /// Marks.
    pub marks: Marks,
    /// Its newest position, or [`NO_POSITION`].
    pub(crate) newest_position: u32,
}

impl Instrument {
    /// Until terms arrive: multiplier one, nothing else.
    #[must_use]
    pub fn unnamed(instrument: NameId) -> Self {
        let terms = InstrumentTerms {
            instrument,
            currency: NO_NAME,
            multiplier_e8: crate::amount::ONE_E8,
            tick_e8: 0,
            price_min_e8: 0,
            price_max_e8: 0,
            isin: [0; 12],
            cusip: [0; 9],
        };
        Self { terms, marks: Marks::default(), newest_position: NO_POSITION }
    }
}

/// Positions, lots, names, instruments, contracts, forward-dated trades, business date, digests.
#[derive(Debug)]
pub struct Book {
    pub(crate) limits: Limits,
    pub(crate) names: Names,
    /// One for each interned instrument, in step with the names.
    pub(crate) instruments: Vec<Instrument>,
    pub(crate) contracts: ContractBook,
    pub(crate) positions: Vec<Position>,
    pub(crate) index: HashTable<u32>,
    pub(crate) lots: LotArena,
    pub(crate) forwards: Forwards,
    pub(crate) amendments: Amendments,
    pub(crate) held: HeldSet,
    pub(crate) actions: ActionBook,
    pub(crate) locks: Locks,
    pub(crate) business_date: Option<Date>,
    /// Address of the last event that says something to all positions; kept by the host, in no digest.
    pub(crate) last_fact: u64,
    /// How often the business date has moved: what the time of held amendments is counted in.
    pub(crate) date_moves: u32,
    /// Room for the lots of one position while an action rewrites them.
    pub(crate) room: Vec<Lot>,
    /// Room for the lots that an action takes away from a position.
    pub(crate) gone: Vec<Lot>,
    /// What the event that is being applied sends elsewhere.
    pub(crate) leaving: Vec<Leaving>,
    pub(crate) legs: Legs,
    pub(crate) adjustments: Adjustments,
    pub(crate) sums: Sums,
    /// What is decided now was decided for all shards of the house before: no state, and false between decisions.
    pub(crate) is_settled: bool,
}

#[inline]
pub(crate) fn index_hash(account: NameId, instrument: NameId) -> u64 {
    digest::mix(u64::from(account) << 32 | u64::from(instrument), 0)
}

impl Book {
    /// An empty book. Reserves memory for its limits and touches next to none of it.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            names: Names::new(limits.names_max),
            instruments: Vec::with_capacity(limits.names_max),
            contracts: ContractBook::new(limits.contracts_max),
            positions: Vec::with_capacity(limits.positions_max),
            index: HashTable::with_capacity(limits.positions_max),
            lots: LotArena::new(limits.lots_max),
            forwards: Forwards::new(limits.forwards_max),
            amendments: Amendments::new(limits.amendments_max),
            held: HeldSet::new(limits.held_max),
            actions: ActionBook::new(limits.actions_max, limits.names_max),
            locks: Locks::new(limits.names_max),
            business_date: None,
            last_fact: u64::MAX,
            date_moves: 0,
            room: Vec::with_capacity(limits.lots_max.min(LOTS_PER_POSITION_MAX)),
            gone: Vec::new(),
            leaving: Vec::new(),
            legs: Legs::default(),
            adjustments: Adjustments::default(),
            sums: Sums::new(limits.names_max),
            is_settled: false,
        }
    }

    /// While it is on, nothing that only positions of this book speak against is refused: all shards of a house were
    /// asked before, and each is to accept what all of them accept.
    pub fn settle_for_all(&mut self, on: bool) {
        self.is_settled = on;
    }

    /// The sizes it was made with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Interned names.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Contract versions.
    #[must_use]
    pub fn contracts(&self) -> &ContractBook {
        &self.contracts
    }

    /// The open lots of all positions.
    #[must_use]
    pub fn lots(&self) -> &LotArena {
        &self.lots
    }

    /// Forward-dated trades that wait.
    #[must_use]
    pub fn forwards(&self) -> &Forwards {
        &self.forwards
    }

    /// Accepted amendments.
    #[must_use]
    pub fn amendments(&self) -> &Amendments {
        &self.amendments
    }

    /// Amendments that are held for a target that has not come.
    #[inline]
    #[must_use]
    pub fn held(&self) -> &HeldSet {
        &self.held
    }

    /// How often the business date has moved.
    #[inline]
    #[must_use]
    pub fn date_moves(&self) -> u32 {
        self.date_moves
    }

    /// Whether no position has anything to take: no forward-dated trade, no action, no change of history.
    #[inline]
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.forwards.is_empty() && self.actions.is_empty() && self.legs.due_len() == 0
    }

    /// Actions and resets, and what positions are still taking.
    #[must_use]
    pub fn actions(&self) -> &ActionBook {
        &self.actions
    }

    /// The mark in force for an instrument, in today's units: marks are kept as they came, and those of before a
    /// split's date are read through it, so that neither order of arrival nor a cancelled split leaves a trace.
    #[must_use]
    pub fn mark(&self, instrument: NameId) -> Option<Marked> {
        let mut marked = self.instrument(instrument)?.marks.on(self.business_date).waterfall()?;
        let day = Date::of_ns(marked.at_ns);
        for (_, input) in self.actions.after(instrument, &ChronoKey::MIN) {
            if input.kind == ActionKind::Split && day < input.effective_date {
                // A price beyond its range is none.
                marked.price_e8 = split_price(marked.price_e8, input.numerator, input.denominator).ok()?;
            }
        }
        Some(marked)
    }

    /// Period locks.
    #[must_use]
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// What the open period carries of changes of closed days.
    #[must_use]
    pub fn adjustments(&self) -> &Adjustments {
        &self.adjustments
    }

    /// Positions of an instrument, the newest first.
    pub fn positions_of(&self, instrument: NameId) -> impl Iterator<Item = u32> + '_ {
        let held = |number: u32| (number != NO_POSITION).then_some(number);
        let newest = self.instruments.get(instrument as usize).map_or(NO_POSITION, |i| i.newest_position);
        core::iter::successors(held(newest), move |&number| held(self.positions[number as usize].next_of_instrument))
    }

    /// The position of the same instrument that [`Self::positions_of`] gives after this one.
    #[must_use]
    pub fn next_of_instrument(&self, number: u32) -> Option<u32> {
        let next = self.positions.get(number as usize)?.next_of_instrument;
        (next != NO_POSITION).then_some(next)
    }

    /// The business date, once one was set. Before that no trade is forward-dated.
    #[must_use]
    pub fn business_date(&self) -> Option<Date> {
        self.business_date
    }

    /// All positions, by number.
    #[must_use]
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// The number of a position, if it has had an event.
    #[inline]
    #[must_use]
    pub fn find(&self, account: NameId, instrument: NameId) -> Option<u32> {
        self.index
            .find(index_hash(account, instrument), |&number| {
                let position = &self.positions[number as usize];
                position.account == account && position.instrument == instrument
            })
            .copied()
    }

    /// Brings near what trades of these positions will read, at most [`LOOK_AHEAD_MAX`] of them, so that their cache
    /// misses overlap instead of coming one after the other. Changes nothing; whoever leaves it out only waits longer.
    #[inline]
    pub fn look_ahead(&self, ahead: impl Iterator<Item = (NameId, NameId)>) {
        let mut numbers = [NO_POSITION; LOOK_AHEAD_MAX];
        for (number, (account, instrument)) in numbers.iter_mut().zip(ahead) {
            *number = self.find(account, instrument).unwrap_or(NO_POSITION);
        }
        for number in numbers {
            if let Some(position) = self.positions.get(number as usize) {
                let read = position.version ^ position.cost_e16 as u64 ^ position.base_cost_e16 as u64;
                black_box(read ^ u64::from(position.frontier.trade_id.as_bytes().len() as u32));
            }
        }
        for number in numbers {
            if let Some(position) = self.positions.get(number as usize) {
                black_box(self.lots.look_ahead(&position.block));
            }
        }
    }

    /// An instrument's terms and marks; defaults where the name is defined and no terms have come.
    #[must_use]
    pub fn instrument(&self, instrument: NameId) -> Option<&Instrument> {
        self.instruments.get(instrument as usize)
    }

    /// How many positions are PROVISIONAL.
    #[must_use]
    pub fn provisional_positions(&self) -> usize {
        self.sums.provisional
    }

    /// How many positions are PROVISIONAL or PENDING: of one account, or of all.
    #[must_use]
    pub fn unreconciled_positions(&self, account: Option<NameId>) -> usize {
        self.sums.unreconciled(account)
    }

    /// Digest of lots, quantities, realized amounts and fees.
    #[must_use]
    pub fn economic_digest(&self) -> u64 {
        self.sums.economic
    }

    /// Digest of everything that events determine: the economic part, versions, statuses, business date.
    #[must_use]
    pub fn full_digest(&self) -> u64 {
        let date = self.business_date.map_or(0, |date| u64::from(date.0 as u32) + 1);
        let date = date | u64::from(self.date_moves) << 33;
        let apart = self.amendments.digest().wrapping_add(digest::mix(self.held.digest(), 0));
        let hash = digest::mix(digest::mix(self.sums.full, date), apart);
        let account = |account| self.names.hash(NameClass::Account, account).unwrap_or(0);
        let wide = digest::mix(digest::mix(hash, self.actions.digest()), self.locks.digest(account));
        // A book in which nothing ever left a position has the digest that it would have without legs; adjustments alike.
        let with = |hash, part| if part == 0 { hash } else { digest::mix(hash, part) };
        let wide = with(with(wide, self.legs.digest()), self.adjustments.digest());
        with(wide, self.legs.channels().digest())
    }

    /// Where the last event lies that says something to all positions ([`crate::past::is_fact`]); `u64::MAX` before the first.
    #[must_use]
    pub fn last_fact(&self) -> u64 {
        self.last_fact
    }

    /// Remembers where that is, for the back-link of the next one.
    pub fn set_last_fact(&mut self, address: u64) {
        self.last_fact = address;
    }

    /// Remembers where a position's last event lies, for the back-link of the next one.
    #[inline]
    pub fn set_last_address(&mut self, position: u32, address: u64) {
        self.positions[position as usize].last_address = address;
    }

    /// Takes a new position. The caller has checked for room and that it is new.
    pub(crate) fn add_position(&mut self, mut position: Position) -> u32 {
        let number = self.positions.len() as u32;
        self.sums.refresh(&mut position);
        let newest = &mut self.instruments[position.instrument as usize].newest_position;
        position.next_of_instrument = core::mem::replace(newest, number);
        self.positions.push(position);
        let positions = &self.positions;
        self.index.insert_unique(index_hash(position.account, position.instrument), number, |&n| {
            let p = &positions[n as usize];
            index_hash(p.account, p.instrument)
        });
        number
    }

    /// Hash of a position's two names. Both are defined.
    pub(crate) fn key_hash(&self, account: NameId, instrument: NameId) -> Option<u64> {
        let account = self.names.hash(NameClass::Account, account)?;
        Some(digest::mix(account, self.names.hash(NameClass::Instrument, instrument)?))
    }

    /// One of the sixteen partitions of a position: by the hash of its names, the same everywhere.
    #[inline]
    #[must_use]
    pub fn partition(&self, account: NameId, instrument: NameId) -> u16 {
        self.key_hash(account, instrument).map_or(0, digest::partition)
    }
}
