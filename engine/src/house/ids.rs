//! The directory of ids: which shard has an id, so that one id is decided in one place.
//!
//! Rebuilt at every start from the shards' own windows, which decide. An id on its way to a shard is *claimed* by it: the
//! same id for another shard waits until the first is answered, and then goes where it was accepted, or on where it was
//! not. Locks are a map's own, by shard of the map; only the doors' threads and the house's take them.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use lotbook_core::event::{Class, Reason};
use lotbook_core::id::TradeHash;

use crate::door::{Answer, Status};
use crate::idempotency::{IdKind, TradeIds};

/// Where an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// Nowhere.
    Unknown,
    /// Accepted by this shard, or on its way there.
    Shard(u16),
    /// All shards have it: an action, or an amendment of one.
    Common,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Goes to this shard.
    Goes(u16),
    /// All shards have it.
    Common,
    /// On its way to another shard: ask again when that has answered.
    Waits,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    shard: u16,
    /// Requests with it that are not answered.
    in_flight: u16,
    /// Sequence in that shard's log by which it was accepted.
    sequence: u64,
    is_accepted: bool,
    is_common: bool,
}

/// All ids of a house.
#[derive(Debug, Default)]
pub(crate) struct HouseIds(DashMap<u128, Known>);

impl HouseIds {
    /// Takes in what a shard's recovery found.
    pub(crate) fn learn(&self, shard: u16, ids: &TradeIds) {
        for (first, ..) in ids.iter() {
            let is_amendment_of_action =
                first.kind == IdKind::Amendment && first.position == u32::MAX && first.class == Class::Applied;
            let is_common = first.kind == IdKind::Action || is_amendment_of_action;
            let known = Known { shard, in_flight: 0, sequence: first.sequence, is_accepted: true, is_common };
            match self.0.entry(first.hash.0) {
                Entry::Vacant(entry) => {
                    entry.insert(known);
                }
                // A kill came between its booking on one shard and its release on the one that held it.
                Entry::Occupied(mut entry) if first.class != Class::Held => {
                    entry.insert(known);
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    pub(crate) fn whereabouts(&self, hash: TradeHash) -> Whereabouts {
        match self.0.get(&hash.0) {
            None => Whereabouts::Unknown,
            Some(known) if known.is_common => Whereabouts::Common,
            Some(known) => Whereabouts::Shard(known.shard),
        }
    }

    /// The shard that accepted an id, once it has.
    pub(crate) fn accepted_by(&self, hash: TradeHash) -> Option<Whereabouts> {
        let known = self.0.get(&hash.0).filter(|known| known.is_accepted)?;
        Some(if known.is_common { Whereabouts::Common } else { Whereabouts::Shard(known.shard) })
    }

    /// Claims an id for a shard. [`Claim::Goes`] is to be settled by [`Self::settle`].
    pub(crate) fn claim(&self, hash: TradeHash, shard: u16) -> Claim {
        match self.0.entry(hash.0) {
            Entry::Vacant(entry) => {
                entry.insert(Known { shard, in_flight: 1, sequence: 0, is_accepted: false, is_common: false });
                Claim::Goes(shard)
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                if known.is_common {
                    return Claim::Common;
                }
                if !known.is_accepted && known.shard != shard {
                    return Claim::Waits;
                }
                known.in_flight += 1;
                Claim::Goes(known.shard)
            }
        }
    }

    /// A claimed request was answered.
    pub(crate) fn settle(&self, hash: TradeHash, answer: &Answer) {
        let Entry::Occupied(mut entry) = self.0.entry(hash.0) else { return };
        let known = entry.get_mut();
        known.in_flight = known.in_flight.saturating_sub(1);
        if answer.status == Status::OutOfSpace && answer.reason == Reason::HeldExpired {
            known.is_accepted = false;
        }
        if matches!(answer.status, Status::Trade(class) if class.is_accepted() || matches!(class, Class::Held | Class::Duplicate))
        {
            known.is_accepted = true;
            known.sequence = known.sequence.max(answer.sequence);
        }
        if !known.is_accepted && known.in_flight == 0 {
            entry.remove();
        }
    }

    /// All shards have it from now on.
    pub(crate) fn make_common(&self, hash: TradeHash) {
        let known = Known { shard: 0, in_flight: 0, sequence: 0, is_accepted: true, is_common: true };
        self.0.insert(hash.0, known);
    }

    /// A held amendment is at another shard from now on.
    pub(crate) fn moved(&self, hash: TradeHash, shard: u16, sequence: u64) {
        if let Some(mut known) = self.0.get_mut(&hash.0) {
            (known.shard, known.sequence) = (shard, sequence);
        }
    }

    /// An amendment that a shard held came to nothing there, by this event: its id is free, unless it was accepted again since.
    pub(crate) fn lapsed(&self, hash: TradeHash, shard: u16, sequence: u64) {
        let Entry::Occupied(mut entry) = self.0.entry(hash.0) else { return };
        let known = entry.get_mut();
        if known.is_common || known.shard != shard || known.sequence > sequence {
            return;
        }
        known.is_accepted = false;
        if known.in_flight == 0 {
            entry.remove();
        }
    }
}
