//! What a position's history is made of: its items, gathered from its events, in chronological order.
//!
//! An item is anything that has a place in the history of a position and moves its book there. The set
//! of items decides, never the order in which they came: [`History`] takes the events of a position in any order.

use alloc::vec::Vec;

use crate::action_input::ActionInput;
use crate::command::TradeInput;
use crate::event::{Class, Event};
use crate::id::{ChronoKey, TradeHash, TradeId};

/// One thing in a position's history, as it counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are trades")]
pub enum Item {
    /// A trade.
    Trade(TradeInput),
    /// A corporate action or a reset of the position's instrument. It does not come from the position's own events.
    Action(ActionInput),
}

impl Item {
    /// Its place in history.
    #[must_use]
    pub fn key(&self) -> ChronoKey {
        match self {
            Self::Trade(input) => input.key(),
            Self::Action(input) => input.key(),
        }
    }

    /// Its id, for messages.
    #[must_use]
    pub fn id(&self) -> TradeId {
        match self {
            Self::Trade(input) => input.trade_id,
            Self::Action(input) => input.action_id,
        }
    }
}

/// What one event adds to its position's history. Owned, so that events may be read newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly all of them are trades")]
pub enum Addition {
    /// A trade was accepted.
    Trade {
        /// As accepted.
        input: TradeInput,
        /// It waits for its date: not part of the history before [`Self::Matured`].
        waits: bool,
        /// Below the frontier: the position waits for a replay because of it.
        late: bool,
    },
    /// The date of a forward-dated trade came.
    Matured {
        /// The trade.
        hash: TradeHash,
        /// As for [`Self::Trade`].
        late: bool,
    },
    /// The position took a change of history, which the book of actions and contracts holds.
    Taken {
        /// Hash and id of what caused it.
        cause: TradeHash,
        /// As for [`Self::Trade`].
        late: bool,
    },
    /// A replay was accepted; what was late before it is reconciled.
    Corrected,
}

impl Addition {
    /// What an event adds, with its position's number and version after it. `None`: the event belongs to no
    /// position's history.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Option<(u32, u64, Self)> {
        match event {
            Event::Trade(trade) => {
                let addition = match trade.class {
                    Class::Applied | Class::Provisional => {
                        Self::Trade { input: trade.input, waits: false, late: trade.late }
                    }
                    Class::Forward => Self::Trade { input: trade.input, waits: true, late: false },
                    Class::Matured => Self::Matured { hash: trade.input.hash, late: trade.late },
                    Class::Rejected | Class::Duplicate => return None,
                };
                Some((trade.position, trade.version, addition))
            }
            Event::Taken(taken) => {
                Some((taken.position, taken.version, Self::Taken { cause: taken.cause, late: taken.late }))
            }
            Event::Corrected(corrected) => Some((corrected.position, corrected.version, Self::Corrected)),
            _ => None,
        }
    }

    /// What makes the position wait for a replay, if this does.
    #[must_use]
    pub fn cause(&self) -> Option<TradeHash> {
        match self {
            Self::Trade { input, late: true, .. } => Some(input.hash),
            Self::Matured { hash, late: true } => Some(*hash),
            Self::Taken { cause, late: true } => Some(*cause),
            _ => None,
        }
    }
}

/// The accepted items of one position.
#[derive(Clone, Debug, Default)]
pub struct History {
    trades: Vec<TradeInput>,
    waiting: Vec<TradeInput>,
}

impl History {
    /// Takes what an event adds. The events of one trade come in their order; else any order will do.
    pub fn add(&mut self, addition: &Addition) {
        match addition {
            Addition::Trade { input, waits: false, .. } => self.trades.push(*input),
            Addition::Trade { input, waits: true, .. } => self.waiting.push(*input),
            Addition::Matured { hash, .. } => {
                if let Some(at) = self.waiting.iter().position(|input| input.hash == *hash) {
                    self.trades.push(self.waiting.swap_remove(at));
                }
            }
            Addition::Taken { .. } | Addition::Corrected => {}
        }
    }

    /// The items that are booked, in chronological order.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        let mut items: Vec<Item> = self.trades.iter().copied().map(Item::Trade).collect();
        items.sort_unstable_by_key(Item::key);
        items
    }
}
