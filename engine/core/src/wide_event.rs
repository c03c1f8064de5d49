//! Events of what reaches into many positions at once: actions, what a position takes of them, period locks.

use crate::action_input::ActionInput;
use crate::command::Origin;
use crate::date::Date;
use crate::event::{Class, Reason, Run};
use crate::id::{NO_NAME, NameId, TradeHash, TradeId};
use crate::taking::Took;

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionEvent {
    /// Where it came from.
    pub origin: Origin,
    /// As accepted (or refused).
    pub input: ActionInput,
    /// Applied: in history, and positions are taking it. Forward: it waits for its date. Or rejected, or a duplicate.
    pub class: Class,
    /// Why it was refused.
    pub reason: Reason,
    /// For a duplicate: class of the first result, else the event's own class.
    pub first_class: Class,
    /// For a duplicate: sequence of the first event, else 0.
    pub first_sequence: u64,
}

/// A position has taken a change of history: an action ahead of its frontier, or a late change as an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenEvent<'a> {
    /// Where it came from.
    pub origin: Origin,
    /// The position's number.
    pub position: u32,
    /// Account.
    pub account: NameId,
    /// Instrument.
    pub instrument: NameId,
    /// The position's version after this event.
    pub version: u64,
    /// The action, as its number in the book, or [`crate::actions::NO_ACTION`] for a change of another kind.
    pub action: u32,
    /// Hash of the action or amendment, of a contract change one of the contract's id.
    pub cause: TradeHash,
    /// Id of the action or contract, empty for an amendment.
    pub cause_id: TradeId,
    /// Date of the action's place; [`Date::NONE`] for a change of another kind.
    pub date: Date,
    /// Changes that the position has seen after this event, as an ordinal.
    pub seen: u32,
    /// The action lay ahead of the frontier, which moves there.
    pub ahead: bool,
    /// An estimate, until the coldpath has replayed: a change below the frontier, or one that has no room here.
    pub late: bool,
    /// The position was PROVISIONAL when this was decided, or is by it.
    pub on_provisional: bool,
    /// The action is at its place and cannot be booked there: it is passed over, a break.
    pub reason: Reason,
    /// It moves lots or figures; else it only changes status, frontier and what was seen.
    pub books: bool,
    /// Dated in a closed period, and final: what it realized is an adjustment of the open one.
    pub adjusts: bool,
    /// What it did.
    pub took: Took,
    /// Which lots its closing took, by index into the lots as it rewrote them.
    pub runs: &'a [Run],
}

/// Every position has been looked at for a change of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledEvent {
    /// Where it came from.
    pub origin: Origin,
    /// The change's ordinal.
    pub ordinal: u32,
    /// Positions that took it in this run of the host.
    pub positions: u32,
}

/// Wishes to close history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockInput {
    /// Interned account, or `NO_NAME` for all.
    pub account: NameId,
    /// Up to and with this date.
    pub through: Date,
}

impl LockInput {
    /// The one account, or `None` for all.
    #[must_use]
    pub fn account(&self) -> Option<NameId> {
        (self.account != NO_NAME).then_some(self.account)
    }
}

/// A period lock, granted or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockEvent {
    /// Where it came from.
    pub origin: Origin,
    /// Why it was refused, or [`Reason::None`].
    pub reason: Reason,
    /// What was asked.
    pub input: LockInput,
}
