//! Events of amendments, and of an operator who resolves the breaks of a position.

use crate::amend::AmendInput;
use crate::amendments::Root;
use crate::amount::Money;
use crate::command::Origin;
use crate::event::{Class, Reason, Run};
use crate::id::{NameId, TradeHash, TradeId};
use crate::note::Note;

/// What the hot thread does about an amendment until the replay has come: it moves the quantity, which it
/// knows, at cost, and realizes nothing. Units that go are taken from the newest lots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Signed change of the position's quantity.
    pub moved_e8: i64,
    /// Part of it that closes lots, positive.
    pub closed_quantity_e8: i64,
    /// Part of it that opens a lot of the amendment's own, positive.
    pub opened_quantity_e8: i64,
    /// Cost of the opened lot.
    pub opened_cost_e16: Money,
    /// Base cost of the opened lot.
    pub opened_base_e16: Money,
    /// Price of the opened lot.
    pub lot_price_e8: i64,
    /// Cost of the closed lots and parts.
    pub closed_cost_e16: Money,
    /// Base cost of the closed lots and parts.
    pub closed_base_e16: Money,
    /// Signed quantity of the trade that waited for its date until now.
    pub waiting_before_e8: i64,
    /// Signed quantity of the trade that waits for its date from now on.
    pub waiting_after_e8: i64,
}

/// An amendment's event: the accepted input and everything that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmendEvent<'a> {
    /// The input as accepted (or refused).
    pub input: AmendInput,
    /// Where it came from.
    pub origin: Origin,
    /// What became of it: [`Class::Provisional`] where it was accepted and awaits the replay, [`Class::Applied`] where
    /// it amends an action, [`Class::Held`],
    /// [`Class::Lapsed`], [`Class::Rejected`] or [`Class::Duplicate`].
    pub class: Class,
    /// Why it was refused or lapsed.
    pub reason: Reason,
    /// The position's number; `u32::MAX` where it has none (yet).
    pub position: u32,
    /// Its account, `NO_NAME` where it has no position (yet).
    pub account: NameId,
    /// Its instrument, likewise.
    pub instrument: NameId,
    /// The position's version after this event; for all but accepted ones the one before, unchanged.
    pub version: u64,
    /// The trade at the end of its chain of targets; of an accepted one.
    pub root: Root,
    /// What it does until the replay.
    pub estimate: Estimate,
    /// For a duplicate: class of the first result, else the event's own class.
    pub first_class: Class,
    /// For a duplicate, and for one that was held before: sequence of the first event, else 0.
    pub first_sequence: u64,
    /// Log address of that event, else `u64::MAX`.
    pub first_address: u64,
    /// Which lots the estimate takes.
    pub runs: &'a [Run],
}

/// An operator looked at the breaks of a PENDING position: it is RECONCILED until a replay finds others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolvedEvent {
    /// Where it came from.
    pub origin: Origin,
    /// Refusal, or [`Reason::None`].
    pub reason: Reason,
    /// The position's number; `u32::MAX` where there is none.
    pub position: u32,
    /// The position's version after this event; for a refusal the one before, unchanged.
    pub version: u64,
    /// Breaks that were resolved.
    pub breaks: u32,
    /// Digest of the set of breaks that was resolved.
    pub break_set: u64,
    /// What was asked.
    pub input: ResolveInput,
}

/// An operator's command: the breaks of this position are known and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolveInput {
    /// Interned account.
    pub account: NameId,
    /// Interned instrument.
    pub instrument: NameId,
    /// The version that was looked at; 0 for whichever it is.
    pub version: u64,
    /// Interned user who does it.
    pub user: NameId,
    /// Why.
    pub note: Note,
    /// Correlation id.
    pub correlation: TradeId,
}

/// What a break adds to the digest of a position's set of breaks; the digest is the sum.
#[must_use]
pub fn break_digest(trade: TradeHash, reason: Reason) -> u64 {
    let hash = crate::digest::mix(trade.0 as u64, (trade.0 >> 64) as u64);
    crate::digest::mix(hash, reason as u64)
}
