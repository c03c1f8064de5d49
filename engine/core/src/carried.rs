//! Legs that a courier carries between the books of two shards: the events at both ends, and applying them.
//!
//! The source's event sends a leg, the target's book *receives* it, durably, and then the source is told that it was
//! *delivered*. A courier may do each step again: the target takes a leg once, by its shard and number.

use crate::apply::Misfit;
use crate::book::Book;
use crate::command::{NameClass, Origin};
use crate::id::{NameId, TradeId};
use crate::legs::Due;

/// A leg came from another shard: it is due here from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedEvent {
    /// Where it came from.
    pub origin: Origin,
    /// The shard that sent it.
    pub shard: u16,
    /// Its number among all that this shard sent to others, from 1 on.
    pub number: u64,
    /// Account and instrument of the position that sent it.
    pub from: (NameId, NameId),
    /// Id of the trade that opened the lot; empty where it is not known.
    pub lot_id: TradeId,
    /// The leg; its source's number is the other shard's own and counts for nothing here.
    pub due: Due,
}

/// Everything up to this number is durable at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveredEvent {
    /// Where it came from.
    pub origin: Origin,
    /// Number of a leg that this shard sent.
    pub through: u64,
}

impl Book {
    /// Sets which partitions are in this book, a bit each; before anything is applied to it.
    pub fn set_home(&mut self, partitions: u16) {
        self.legs.set_home(partitions);
    }

    pub(crate) fn apply_received(&mut self, event: &ReceivedEvent) -> Result<(), Misfit> {
        let leg = &event.due.leg;
        let is_known = |(account, instrument)| {
            self.names.text(NameClass::Account, account).is_some()
                && self.names.text(NameClass::Instrument, instrument).is_some()
        };
        if !is_known((leg.account, leg.instrument)) || !is_known(event.from) {
            return Err(Misfit("a leg between undefined names"));
        }
        if !self.legs.receive((event.shard, event.number), event.from, &event.due, &self.names) {
            return Err(Misfit("a leg was received twice"));
        }
        Ok(())
    }

    pub(crate) fn apply_delivered(&mut self, event: &DeliveredEvent) -> Result<(), Misfit> {
        if self.legs.delivered(event.through, &self.names) {
            Ok(())
        } else {
            Err(Misfit("what was delivered was not on its way"))
        }
    }
}
